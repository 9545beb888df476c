/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On the host's network the workload listens itself: its endpoint is at every address of the host, if the port that it listens on is the
 * port that is wished. So the target has to be the same, and each port belongs to one replica of one service. (Replicas may share one
 * by SO_REUSEPORT, but then the kernel gives connections also to those that are not ready, or are about to end: that is
 * not what an endpoint promises.) Without any network nobody comes in; and a joined network is another workload's, who
 * can have the endpoint instead.
 */
#include "agent/endpoints.h"

#include "agent/autoscale.h"
#include "spec/spec.h"

static bool is_on_host(const struct zl_service_spec *s)
{
        return s->host_network || s->network_mode.kind == ZL_NETWORK_HOST;
}

static bool is_udp(const struct zl_endpoint_spec *e)
{
        return e->protocol == ZL_PROTOCOL_UDP;
}

int zl_endpoints_check_scale(const char *service, const struct zl_service_spec *spec,
                             uint32_t replicas, struct zl_error *err)
{
        int r;

        if (replicas < 2 || spec->n_endpoints == 0 || !is_on_host(spec))
                return 0;
        r = zl_fail(err, ZL_E_INVALID, 0,
                    "service %s: endpoints: %u replicas on the host's network cannot all have port "
                    "%u of the host",
                    service, replicas, spec->endpoints[0].port);
        zl_error_hint(err, "network_mode: bridge balances between replicas; on the host's network "
                           "there can be one");
        return r;
}

/* How many it may come to without anybody's hand. */
static uint32_t most_replicas(const struct zl_scale_spec *scale)
{
        return zl_autoscale_is_wanted(scale) ? scale->max : zl_spec_initial_replicas(scale);
}

static int check_target(const char *service, const struct zl_endpoint_spec *e, struct zl_error *err)
{
        uint16_t target = zl_spec_target_port(e);
        int r;

        if (target == e->port)
                return 0;
        r = zl_fail(
                err, ZL_E_INVALID, 0,
                "service %s: endpoints: %s: on the host's network nothing leads from port %u to "
                "port %u",
                service, e->name, e->port, target);
        zl_error_hint(err,
                      "let the workload listen on port %u and leave target_port out, or take "
                      "network_mode: bridge",
                      e->port);
        return r;
}

/* Who else on the host's network has it, of the services before the n-th. */
static int check_taken(const struct zl_deployment_spec *spec, size_t n,
                       const struct zl_endpoint_spec *e, struct zl_error *err)
{
        for (size_t i = 0; i < n; i++) {
                const struct zl_service_spec *s = spec->services[i].spec;

                for (size_t k = 0; is_on_host(s) && k < s->n_endpoints; k++) {
                        int r;

                        if (s->endpoints[k].port != e->port ||
                            is_udp(&s->endpoints[k]) != is_udp(e))
                                continue;
                        r = zl_fail(err, ZL_E_INVALID, 0,
                                    "service %s: endpoints: %s: port %u of the host is that of "
                                    "service %s already",
                                    spec->services[n].name, e->name, e->port,
                                    spec->services[i].name);
                        zl_error_hint(err, "give one of them another port, or take "
                                           "network_mode: bridge");
                        return r;
                }
        }
        return 0;
}

static int refuse_mode(const char *service, const struct zl_service_spec *s, struct zl_error *err)
{
        bool none = s->network_mode.kind == ZL_NETWORK_NONE;
        int r = zl_fail(err, ZL_E_INVALID, 0,
                        none ? "service %s: endpoints: %s: with network_mode none nobody reaches it"
                             : "service %s: endpoints: %s: with network_mode container it has no "
                               "address of its own",
                        service, s->endpoints[0].name);

        if (none)
                zl_error_hint(err,
                              "leave network_mode out, which is a bridge then, or the endpoints");
        else
                zl_error_hint(err,
                              "give the endpoint to the service of %s, whose network it is: its "
                              "target_port reaches this workload, too",
                              s->network_mode.name);
        return r;
}

static int check_service(const struct zl_deployment_spec *spec, size_t n, struct zl_error *err)
{
        const struct zl_service_spec *s = spec->services[n].spec;
        const char *name = spec->services[n].name;
        int r = 0;

        if (s->n_endpoints == 0)
                return 0;
        if (s->network_mode.kind == ZL_NETWORK_NONE || s->network_mode.kind == ZL_NETWORK_CONTAINER)
                return refuse_mode(name, s, err);
        if (!is_on_host(s))
                return 0;
        for (size_t i = 0; r == 0 && i < s->n_endpoints; i++) {
                r = check_target(name, &s->endpoints[i], err);
                if (r == 0)
                        r = check_taken(spec, n, &s->endpoints[i], err);
        }
        return r < 0 || s->rtype != ZL_RTYPE_SERVICE
                       ? r
                       : zl_endpoints_check_scale(name, s, most_replicas(&s->scale), err);
}

int zl_endpoints_check(const struct zl_deployment_spec *spec, struct zl_error *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < spec->n_services; i++)
                r = check_service(spec, i, err);
        return r;
}
