/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of predicates: which wish, and what happens instead. A line goes away when its field is honoured. Defaults are
 * not wishes: the health check that every service has without asking is not told.
 */
#include "agent/unhonoured.h"

#include <stdio.h>

#include "base/ident.h"
#include "base/macro.h"
#include "spec/spec.h"

static bool wants_requests(const struct zl_service_spec *s)
{
        return s->scale.mode == ZL_SCALE_ADAPTIVE && s->scale.targets.has_rps;
}

static bool wants_proxy(const struct zl_service_spec *s)
{
        for (size_t i = 0; i < s->n_endpoints; i++) {
                const struct zl_endpoint_spec *e = &s->endpoints[i];

                if (e->host || e->path || e->stream || e->tunnel)
                        return true;
        }
        return false;
}

static bool wants_overlay(const struct zl_service_spec *s)
{
        const struct zl_overlays_spec *o = &s->network.overlays;
        const struct zl_overlay_settings *svc = &o->service, *glob = &o->global;
        bool is_default = svc->enabled && svc->encrypted && svc->isolated && glob->enabled &&
                          glob->encrypted && !glob->isolated;

        return !is_default && (svc->enabled || glob->enabled);
}

static bool wants_join(const struct zl_service_spec *s)
{
        return s->network.join.mode != ZL_JOIN_TOKEN || s->network.join.scope != ZL_JOIN_SERVICE;
}

static bool wants_node(const struct zl_service_spec *s)
{
        return s->node_mode != ZL_NODE_MODE_SHARED || s->node_selector;
}

static bool wants_log_settings(const struct zl_service_spec *s)
{
        return s->logs &&
               (!zl_streq(s->logs->destination, "disk") || s->logs->retention_secs != 604800);
}

static bool wants_gpu_placement(const struct zl_service_spec *s)
{
        const struct zl_gpu_spec *gpu = s->resources.gpu;

        return gpu && (gpu->model || gpu->has_scheduling || gpu->distributed);
}

static bool is_other_platform(const struct zl_service_spec *s)
{
        return s->platform && s->platform->os != ZL_OS_LINUX;
}

static bool job_restarts_always(const struct zl_service_spec *s)
{
        return s->rtype != ZL_RTYPE_SERVICE && s->restart_policy &&
               (s->restart_policy->kind == ZL_RESTART_ALWAYS ||
                s->restart_policy->kind == ZL_RESTART_UNLESS_STOPPED);
}

static const struct {
        bool (*is_wished)(const struct zl_service_spec *spec);
        const char *text;
} service_wishes[] = {
        { wants_requests,
          "scale.targets.rps: requests are not counted; cpu and memory are honoured" },
        { wants_proxy, "endpoints: connections are balanced as they are; host, path, stream and "
                       "tunnel are not honoured yet" },
        { wants_overlay, "network.overlays: there is no overlay network yet" },
        { wants_join, "network.join: there is no cluster to join yet" },
        { wants_node, "node_mode, node_selector: there is one node only" },
        { wants_log_settings, "logs: destination and retention_secs are not honoured yet; logs are "
                              "kept on disk until the container is removed" },
        { wants_gpu_placement,
          "resources.gpu: model, scheduling and distributed are not honoured yet" },
        { is_other_platform, "platform.os: this agent runs Linux workloads only" },
        { job_restarts_always, "restart_policy: a job runs once; only on_failure restarts it" },
};

void zl_unhonoured(const struct zl_deployment_spec *spec,
                   void (*tell)(const char *name, const char *text, void *data), void *data)
{
        if (spec->n_externals > 0)
                tell(spec->deployment, "externals: there is no proxy yet", data);
        if (spec->n_tunnels > 0)
                tell(spec->deployment, "tunnels: not opened yet", data);
        for (size_t i = 0; i < spec->n_services; i++) {
                char name[ZL_IDENT_NAME_MAX];

                snprintf(name, sizeof(name), "%s.%s", spec->deployment, spec->services[i].name);
                for (size_t k = 0; k < ZL_ARRAY_SIZE(service_wishes); k++)
                        if (service_wishes[k].is_wished(spec->services[i].spec))
                                tell(name, service_wishes[k].text, data);
        }
}
