/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks of native workloads. The request is made between create and start: the first process waits at the gate, its namespace is
 * there, and when the command begins to run its addresses, routes and files are complete.
 *
 * The files (hosts, resolv.conf) are mounted into the container when it is created, so they are written in place.
 */
#include "runtimes/native_network.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlayer/spec.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/strv.h"
#include "network/files.h"
#include "network/names.h"
#include "runtimes/native.h"
#include "spec/spec.h"

#define DEFAULT_NETWORK "default"

int native_network_init(struct native *n)
{
        const char *monitor = n->settings.monitor_path;

        n->net_dir = zl_path_join(n->settings.runtime_dir, "net");
        n->net_program = zl_path_beside(monitor, "zlayer-net");
        n->net_memory = zl_path_join(n->settings.root_dir, "networks");
        return n->net_dir && n->net_memory && (n->net_program || !monitor || !strchr(monitor, '/'))
                       ? 0
                       : -ENOMEM;
}

void native_network_done(struct native *n)
{
        free(n->net_dir);
        free(n->net_program);
        free(n->net_memory);
}

static struct zl_net net_of(const struct native *n)
{
        return (struct zl_net){ .program = n->net_program,
                                .dir = n->net_dir,
                                .memory = n->net_memory,
                                .pool = getenv("ZLAYER_NETWORK_POOL") };
}

bool native_network_is_wanted(const struct zl_service_spec *spec)
{
        return !spec->host_network && zl_spec_is_on_bridge(spec);
}

/* ---- the request ---------------------------------------------------------------------------------- */

static int network_name(const struct zl_service_spec *spec, const struct zl_ident *ident,
                        char ret[96])
{
        const char *name = spec->network_mode.name;

        if (name && *name)
                return snprintf(ret, 96, "%s", name);
        if (zl_ident_is_run(ident))
                return snprintf(ret, 96, "%s", DEFAULT_NETWORK);
        return snprintf(ret, 96, "%s_default", ident->deployment);
}

static json_t *forget(json_t *list)
{
        json_decref(list);
        return NULL;
}

/* NULL without memory, as the next. */
static json_t *json_strings(char *const *strv)
{
        json_t *list = json_array();

        ZL_STRV_FOREACH(s, strv)
                if (json_array_append_new(list, zl_json_string_lossy(*s, strlen(*s))) < 0)
                        return forget(list);
        return list;
}

static json_t *json_endpoint(const struct zl_endpoint_spec *e)
{
        return json_pack("{s:i,s:i,s:b,s:b}", "host", e->port, "container",
                         (int)zl_spec_target_port(e), "udp", (int)(e->protocol == ZL_PROTOCOL_UDP),
                         "endpoint", 1);
}

static json_t *json_ports(const struct zl_service_spec *spec)
{
        json_t *list = json_array();

        for (size_t i = 0; i < spec->n_port_mappings; i++) {
                const struct zl_port_mapping *p = &spec->port_mappings[i];
                json_t *port = json_pack("{s:s*,s:i,s:i,s:b}", "ip", p->host_ip, "host",
                                         p->has_host_port ? p->host_port : 0, "container",
                                         p->container_port, "udp",
                                         (int)(p->protocol == ZL_TRANSPORT_UDP));

                if (json_array_append_new(list, port) < 0)
                        return forget(list);
        }
        /* The host's own addresses are one more place where a public endpoint is reached. */
        for (size_t i = 0; i < spec->n_endpoints; i++)
                if (spec->endpoints[i].expose == ZL_EXPOSE_PUBLIC &&
                    json_array_append_new(list, json_endpoint(&spec->endpoints[i])) < 0)
                        return forget(list);
        return list;
}

static json_t *json_endpoints(const struct zl_service_spec *spec)
{
        json_t *list = json_array();

        for (size_t i = 0; i < spec->n_endpoints; i++)
                if (json_array_append_new(list, json_endpoint(&spec->endpoints[i])) < 0)
                        return forget(list);
        return list;
}

/* Of the label that asks for them, with commas between: the spec has no field for that. */
static int read_aliases(const struct zl_service_spec *spec, char ***ret)
{
        const char *p = zl_str_map_get(&spec->labels, ZL_NETWORK_ALIASES_LABEL);
        int r = 0;

        while (r >= 0 && p && *p) {
                size_t len = strcspn(p, ",");
                _cleanup_free_ char *name = strndup(p, len);

                r = name ? (len > 0 ? zl_strv_push(ret, name) : 0) : -ENOMEM;
                p += len + (p[len] == ',');
        }
        return r < 0 ? r : 0;
}

int native_network_describe(const struct zl_service_spec *spec, const struct zl_ident *ident,
                            const char *hostname, json_t **ret, struct zl_error *err)
{
        _cleanup_strv_ char **aliases = NULL;
        char network[96];
        json_t *d;

        if (read_aliases(spec, &aliases) < 0)
                return zl_fail_oom(err);

        if (network_name(spec, ident, network) >= (int)sizeof(network))
                return zl_fail(err, ZL_E_INVALID, 0, "network_mode: \"%s\" is too long",
                               spec->network_mode.name);
        d = json_pack(
                "{s:s,s:s,s:i,s:s,s:o,s:o,s:o,s:o,s:o,s:b}", "network", network, "service",
                ident->service, "replica", (int)ident->replica, "hostname", hostname, "dns",
                json_strings(spec->dns), "extra_hosts", json_strings(spec->extra_hosts), "ports",
                json_ports(spec), "endpoints", json_endpoints(spec), "aliases",
                json_strings(aliases), "ready",
                zl_streq(ident->deployment, ZL_IDENT_RUN_DEPLOYMENT)); /* nobody will say so */
        if (!d)
                return zl_fail_oom(err);
        *ret = d;
        return 0;
}

/* ---- files ---------------------------------------------------------------------------------------- */

static int read_strings(const json_t *list, char ***ret)
{
        const json_t *v;
        size_t i;

        json_array_foreach(list, i, v)
        {
                if (json_is_string(v) && zl_strv_push(ret, json_string_value(v)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int write_in_place(int state_fd, const char *path, const char *text, struct zl_error *err)
{
        _cleanup_close_ int fd = openat(
                state_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
        int r = fd < 0 ? -errno : zl_write_full(fd, text, strlen(text));

        return r < 0 ? zl_fail_errno(err, -r, "cannot write %s", path) : 0;
}

static int write_files(int state_fd, const json_t *d, const struct zl_net_info *info,
                       struct zl_error *err)
{
        _cleanup_free_ char *resolv = zl_net_read_host_resolv(), *hosts = NULL, *resolv_file = NULL;
        _cleanup_strv_ char **dns = NULL, **extra = NULL;
        struct zl_net_files in = { .hostname = zl_json_str(d, "hostname", "localhost"),
                                   .address = info->ipv4,
                                   .gateway = info->gateway4,
                                   .host_resolv = resolv };
        int r;

        if (!resolv || read_strings(json_object_get(d, "dns"), &dns) < 0 ||
            read_strings(json_object_get(d, "extra_hosts"), &extra) < 0)
                return zl_fail_oom(err);
        if (!dns && info->resolver) {
                if (zl_strv_push(&dns, info->resolver) < 0)
                        return zl_fail_oom(err);
                in.search = ZL_NAMES_DOMAIN;
        }
        in.dns = dns;
        in.extra_hosts = extra;
        r = zl_net_make_hosts(&in, &hosts, err);
        if (r == 0)
                r = zl_net_make_resolv_conf(&in, &resolv_file, NULL, err);
        if (r == 0)
                r = write_in_place(state_fd, "hosts", hosts, err);
        return r < 0 ? r : write_in_place(state_fd, "resolv.conf", resolv_file, err);
}

/* ---- life ----------------------------------------------------------------------------------------- */

int native_network_attach(struct native *n, int state_fd, const struct native_record *record,
                          struct zl_monitor *monitor, struct zl_error *err)
{
        const struct zl_net net = net_of(n);
        struct zl_monitor_status status = ZL_MONITOR_STATUS_INIT;
        _cleanup_net_info_ struct zl_net_info info = { 0 };
        struct zl_net_request request = { .name = record->name,
                                          .wish = record->network,
                                          .network = zl_json_str(record->network, "network", "") };
        int r = zl_monitor_get_status(monitor, &status, err);

        if (r == 0) {
                request.pid = status.pid;
                r = zl_net_client_attach(&net, &request, &info, err);
        }
        zl_monitor_status_done(&status);
        if (r == 0)
                r = write_files(state_fd, record->network, &info, err);
        return r;
}

int native_network_detach(struct native *n, const char *name, struct zl_error *err)
{
        const struct zl_net net = net_of(n);

        return zl_net_client_detach(&net, name, err);
}

int native_network_set_ready(struct native *n, const char *name, bool ready, struct zl_error *err)
{
        const struct zl_net net = net_of(n);

        return zl_net_client_ready(&net, name, ready, err);
}

int native_network_drain(struct native *n, const char *name, int64_t timeout_nsec,
                         struct zl_error *err)
{
        const struct zl_net net = net_of(n);

        return zl_net_client_drain(&net, name, timeout_nsec, err);
}

/* `where` is the address of those that name none. */
static int add_ports(const json_t *list, const char *where, struct zl_status *status,
                     struct zl_error *err)
{
        const json_t *p;
        struct zl_port *ports;
        size_t i;

        if (json_array_size(list) == 0)
                return 0;
        ports = realloc(status->ports,
                        (status->n_ports + json_array_size(list)) * sizeof(*status->ports));
        if (!ports)
                return zl_fail_oom(err);
        status->ports = ports;
        json_array_foreach(list, i, p)
        {
                const char *ip = zl_json_str(p, "ip", "");
                struct zl_port *port = &status->ports[status->n_ports];

                *port = (struct zl_port){
                        .host_ip = strdup(*ip ? ip : where),
                        .host_port = (uint16_t)zl_json_int(p, "host", 0),
                        .container_port = (uint16_t)zl_json_int(p, "container", 0),
                        .udp = zl_json_bool(p, "udp", false),
                };
                if (!port->host_ip)
                        return zl_fail_oom(err);
                status->n_ports++;
        }
        return 0;
}

int native_network_status(struct native *n, const struct native_record *record,
                          struct zl_status *status, struct zl_error *err)
{
        const struct zl_net net = net_of(n);
        _cleanup_net_info_ struct zl_net_info info = { 0 };
        const char *service;
        int r;

        r = zl_net_client_get(&net, record->name, &info, err);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        if (zl_replace_str(&status->ip, info.ipv4) < 0)
                return zl_fail_oom(err);
        r = add_ports(json_object_get(info.document, "ports"), "0.0.0.0", status, err);
        service = zl_json_str(info.document, "service4", NULL);
        if (r == 0 && service)
                r = add_ports(json_object_get(info.document, "endpoints"), service, status, err);
        return r;
}
