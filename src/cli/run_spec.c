/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See run_spec.h. The texts are those of docker's command line as far as the spec can say the same. What cannot be said is
 * refused with the text that was given.
 */
#include "cli/run_spec.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/parse.h"
#include "base/path.h"
#include "base/strv.h"
#include "oci/reference.h"
#include "runtimes/cdi.h"
#include "spec/spec.h"

static int bad(struct zl_error *err, const char *option, const char *value, const char *form)
{
        return zl_fail(err, ZL_E_INVALID, 0, "--%s: \"%s\" is not %s", option, value, form);
}

/* One more element at the end of an array of structs. */
static void *grow(void **array, size_t *n, size_t size)
{
        char *more = reallocarray(*array, *n + 1, size);

        if (!more)
                return NULL;
        *array = more;
        memset(more + *n * size, 0, size);
        return more + (*n)++ * size;
}

/* ---- volumes: SOURCE:TARGET[:ro], NAME:TARGET[:ro], TARGET ------------------------------------------------------ */

static int add_volume(struct zl_service_spec *spec, const char *text, struct zl_error *err)
{
        _cleanup_free_ char *copy = strdup(text);
        struct zl_storage_spec *s;
        char *target, *mode;

        if (!copy)
                return zl_fail_oom(err);
        target = strchr(copy, ':');
        mode = target ? strchr(target + 1, ':') : NULL;
        if (target)
                *target++ = 0;
        if (mode)
                *mode++ = 0;
        if ((mode && !zl_streq(mode, "ro") && !zl_streq(mode, "rw")) ||
            (target ? target[0] : copy[0]) != '/')
                return bad(err, "volume", text, "SOURCE:TARGET[:ro], NAME:TARGET[:ro] or TARGET");
        s = grow((void **)&spec->storage, &spec->n_storage, sizeof(*s));
        if (!s)
                return zl_fail_oom(err);
        s->readonly = mode && zl_streq(mode, "ro");
        s->target = strdup(target ?: copy);
        if (!target) {
                s->type = ZL_STORAGE_ANONYMOUS;
        } else if (copy[0] == '/' || copy[0] == '.') {
                s->type = ZL_STORAGE_BIND;
                s->source = realpath(copy, NULL);
                if (!s->source)
                        return zl_fail_errno(err, errno, "--volume: cannot use %s", copy);
        } else {
                s->type = ZL_STORAGE_NAMED;
                s->name = strdup(copy);
        }
        if (!s->target || (s->type == ZL_STORAGE_NAMED && !s->name))
                return zl_fail_oom(err);
        return 0;
}

/* TARGET[:size=SIZE] */
static int add_tmpfs(struct zl_service_spec *spec, const char *text, struct zl_error *err)
{
        const char *colon = strchr(text, ':');
        const char *size = colon ? zl_startswith(colon, ":size=") : NULL;
        struct zl_storage_spec *s;
        uint64_t bytes;

        if (text[0] != '/' || (colon && (!size || zl_spec_size_bytes(size, &bytes) < 0)))
                return bad(err, "tmpfs", text, "TARGET or TARGET:size=SIZE");
        s = grow((void **)&spec->storage, &spec->n_storage, sizeof(*s));
        if (!s)
                return zl_fail_oom(err);
        s->type = ZL_STORAGE_TMPFS;
        s->target = colon ? strndup(text, (size_t)(colon - text)) : strdup(text);
        s->size = size ? strdup(size) : NULL;
        return !s->target || (size && !s->size) ? zl_fail_oom(err) : 0;
}

/* ---- ports: [[IP:]HOST:]CONTAINER[/PROTO], ports may be ranges --------------------------------------------------- */

#define PUBLISH_FORM "[[IP:]HOST[-LAST]:]CONTAINER[-LAST][/tcp|/udp]"

struct port_range {
        uint16_t first;
        unsigned n;
};

/* "80" or "8000-8009". */
static int parse_ports(char *text, struct port_range *ret)
{
        char *dash = strchr(text, '-');
        uint32_t first, last;

        if (dash)
                *dash++ = 0;
        if (zl_parse_u32(text, 10, &first) < 0 || first > UINT16_MAX ||
            zl_parse_u32(dash ? dash : text, 10, &last) < 0 || last > UINT16_MAX || last < first)
                return -EINVAL;
        *ret = (struct port_range){ .first = (uint16_t)first, .n = last - first + 1 };
        return 0;
}

/* Drops the brackets of an IPv6 address. */
static bool is_address(char *ip)
{
        unsigned char bytes[16];
        size_t n = strlen(ip);

        if (ip[0] == '[' && n > 2 && ip[n - 1] == ']') {
                ip[n - 1] = 0;
                memmove(ip, ip + 1, n - 1);
                return inet_pton(AF_INET6, ip, bytes) == 1;
        }
        return inet_pton(AF_INET, ip, bytes) == 1;
}

static int add_mapping(struct zl_service_spec *spec, const struct zl_port_mapping *p,
                       const char *ip, struct zl_error *err)
{
        struct zl_port_mapping *at = grow((void **)&spec->port_mappings, &spec->n_port_mappings,
                                          sizeof(*at));

        if (!at)
                return zl_fail_oom(err);
        *at = *p;
        at->host_ip = strdup(ip);
        return at->host_ip ? 0 : zl_fail_oom(err);
}

static int add_port(struct zl_service_spec *spec, const char *text, struct zl_error *err)
{
        _cleanup_free_ char *copy = strdup(text);
        char *proto, *container, *host = NULL, *ip = NULL;
        struct zl_port_mapping p = { .protocol = ZL_TRANSPORT_TCP };
        struct port_range inside = { 0 }, outside = { 0 };
        int r = 0;

        if (!copy)
                return zl_fail_oom(err);
        proto = strchr(copy, '/');
        if (proto)
                *proto++ = 0;
        container = strrchr(copy, ':');
        if (container) {
                *container++ = 0;
                host = strrchr(copy, ':');
                if (host) {
                        *host++ = 0;
                        ip = copy;
                } else {
                        host = copy;
                }
        } else {
                container = copy;
        }
        if (proto && zl_streq(proto, "udp"))
                p.protocol = ZL_TRANSPORT_UDP;
        else if (proto && !zl_streq(proto, "tcp"))
                return bad(err, "publish", text, PUBLISH_FORM);
        p.has_host_port = host && *host;
        if ((ip && *ip && !is_address(ip)) || parse_ports(container, &inside) < 0 ||
            inside.first == 0 || (p.has_host_port && parse_ports(host, &outside) < 0))
                return bad(err, "publish", text, PUBLISH_FORM);
        if (p.has_host_port && outside.n != inside.n)
                return bad(err, "publish", text, "as many ports of the host as of the container");
        for (unsigned i = 0; i < inside.n && r == 0; i++) {
                p.container_port = (uint16_t)(inside.first + i);
                /* 0 is any free one, for each. */
                p.host_port = (uint16_t)(outside.first ? outside.first + i : 0);
                r = add_mapping(spec, &p, ip && *ip ? ip : "0.0.0.0", err);
        }
        return r;
}

/* ---- maps and single values ------------------------------------------------------------------------------------------ */

/* "NAME=VALUE", or NAME alone for the value here (none, and there is no such variable inside). */
static int add_env(struct zl_service_spec *spec, const char *text, struct zl_error *err)
{
        const char *eq = strchr(text, '=');
        _cleanup_free_ char *key = strndup(text, eq ? (size_t)(eq - text) : strlen(text));
        const char *value = eq ? eq + 1 : getenv(text);

        if (!key)
                return zl_fail_oom(err);
        if (!*key)
                return bad(err, "env", text, "NAME=VALUE");
        if (!value)
                return 0;
        return zl_str_map_set(&spec->env, key, value) < 0 ? zl_fail_oom(err) : 0;
}

static int add_pair(struct zl_str_map *map, const char *option, const char *text, bool value_needed,
                    struct zl_error *err)
{
        const char *eq = strchr(text, '=');
        _cleanup_free_ char *key = strndup(text, eq ? (size_t)(eq - text) : strlen(text));

        if (!key)
                return zl_fail_oom(err);
        if (!*key || (value_needed && !eq))
                return bad(err, option, text, "NAME=VALUE");
        return zl_str_map_set(map, key, eq ? eq + 1 : "") < 0 ? zl_fail_oom(err) : 0;
}

/* NAME=SOFT[:HARD] */
static int add_ulimit(struct zl_service_spec *spec, const char *text, struct zl_error *err)
{
        _cleanup_free_ char *copy = strdup(text);
        char *soft = copy ? strchr(copy, '=') : NULL, *hard;
        struct zl_ulimit_entry *e;
        struct zl_ulimit_spec limit;

        if (!copy)
                return zl_fail_oom(err);
        if (soft)
                *soft++ = 0;
        hard = soft ? strchr(soft, ':') : NULL;
        if (hard)
                *hard++ = 0;
        if (!soft || !*copy || zl_parse_i64(soft, &limit.soft) < 0 ||
            zl_parse_i64(hard ?: soft, &limit.hard) < 0)
                return bad(err, "ulimit", text, "NAME=SOFT[:HARD]");
        e = grow((void **)&spec->ulimits, &spec->n_ulimits, sizeof(*e));
        if (!e)
                return zl_fail_oom(err);
        e->limit = limit;
        e->name = strdup(copy);
        return e->name ? 0 : zl_fail_oom(err);
}

/* PATH[:rwm], or a CDI name, in which there may be colons */
static int add_device(struct zl_service_spec *spec, const char *text, struct zl_error *err)
{
        bool named = zl_cdi_is_name(text);
        const char *colon = named ? NULL : strchr(text, ':');
        const char *access = colon ? colon + 1 : "rw";
        struct zl_device_spec *d;

        if ((text[0] != '/' && !named) || !*access || strspn(access, "rwm") != strlen(access))
                return bad(err, "device", text, "PATH, PATH:rwm or VENDOR/CLASS=NAME");
        d = grow((void **)&spec->devices, &spec->n_devices, sizeof(*d));
        if (!d)
                return zl_fail_oom(err);
        d->path = colon ? strndup(text, (size_t)(colon - text)) : strdup(text);
        d->read = strchr(access, 'r');
        d->write = strchr(access, 'w');
        d->mknod = strchr(access, 'm');
        return d->path ? 0 : zl_fail_oom(err);
}

static int set_network(struct zl_service_spec *spec, const char *text, struct zl_error *err)
{
        static const struct {
                const char *text;
                enum zl_network_mode_kind kind;
        } modes[] = {
                { "default", ZL_NETWORK_DEFAULT }, { "host", ZL_NETWORK_HOST },
                { "none", ZL_NETWORK_NONE },       { "bridge", ZL_NETWORK_BRIDGE },
                { "bridge:", ZL_NETWORK_BRIDGE },  { "container:", ZL_NETWORK_CONTAINER },
        };
        const char *rest = NULL;
        size_t i;

        for (i = 0; i < ZL_ARRAY_SIZE(modes); i++) {
                bool takes_name = strchr(modes[i].text, ':');

                rest = takes_name ? zl_startswith(text, modes[i].text) : NULL;
                if (takes_name ? rest && *rest : zl_streq(text, modes[i].text))
                        break;
        }
        if (i == ZL_ARRAY_SIZE(modes))
                return bad(err, "network", text,
                           "default, none, host, bridge[:NAME] or container:NAME");
        spec->network_mode.kind = modes[i].kind;
        spec->host_network = modes[i].kind == ZL_NETWORK_HOST;
        if (rest)
                return zl_replace_str(&spec->network_mode.name, rest) < 0 ? zl_fail_oom(err) : 0;
        return 0;
}

static int set_pull(struct zl_service_spec *spec, const char *text, struct zl_error *err)
{
        static const struct {
                const char *text;
                enum zl_pull_policy policy;
        } policies[] = {
                { "missing", ZL_PULL_IF_NOT_PRESENT },
                { "if_not_present", ZL_PULL_IF_NOT_PRESENT },
                { "always", ZL_PULL_ALWAYS },
                { "newer", ZL_PULL_NEWER },
                { "never", ZL_PULL_NEVER },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(policies); i++)
                if (zl_streq(text, policies[i].text)) {
                        spec->image.pull_policy = policies[i].policy;
                        return 0;
                }
        return bad(err, "pull", text, "missing, always, newer or never");
}

/* As docker's, and with the spec's own spelling. */
static int set_restart(struct zl_service_spec *spec, const char *text, struct zl_error *err)
{
        static const struct {
                const char *text;
                enum zl_restart_kind kind;
        } kinds[] = {
                { "no", ZL_RESTART_NO },
                { "always", ZL_RESTART_ALWAYS },
                { "unless-stopped", ZL_RESTART_UNLESS_STOPPED },
                { "unless_stopped", ZL_RESTART_UNLESS_STOPPED },
                { "on-failure", ZL_RESTART_ON_FAILURE },
                { "on_failure", ZL_RESTART_ON_FAILURE },
        };
        struct zl_restart_policy policy = { 0 };
        size_t n = strcspn(text, ":"), i;

        for (i = 0; i < ZL_ARRAY_SIZE(kinds); i++)
                if (strlen(kinds[i].text) == n && memcmp(kinds[i].text, text, n) == 0)
                        break;
        if (i < ZL_ARRAY_SIZE(kinds))
                policy.kind = kinds[i].kind;
        if (text[n])
                policy.has_max_attempts = true;
        if (i == ZL_ARRAY_SIZE(kinds) ||
            (text[n] && (policy.kind != ZL_RESTART_ON_FAILURE ||
                         zl_parse_u32(text + n + 1, 10, &policy.max_attempts) < 0)))
                return bad(err, "restart", text, "no, always, unless-stopped or on-failure[:N]");
        spec->restart_policy = calloc(1, sizeof(policy));
        if (!spec->restart_policy)
                return zl_fail_oom(err);
        *spec->restart_policy = policy;
        return 0;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------- */

struct list_option {
        char *const *values;
        int (*add)(struct zl_service_spec *spec, const char *text, struct zl_error *err);
};

static int add_label(struct zl_service_spec *spec, const char *text, struct zl_error *err)
{
        return add_pair(&spec->labels, "label", text, false, err);
}

static int add_sysctl(struct zl_service_spec *spec, const char *text, struct zl_error *err)
{
        return add_pair(&spec->sysctls, "sysctl", text, true, err);
}

/* The spec has no field for them, but a label. */
static int add_aliases(struct zl_service_spec *spec, char *const *aliases, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(64 * 1024);

        if (!aliases || !*aliases)
                return 0;
        zl_buf_puts(&text, ZL_NETWORK_ALIASES_LABEL "=");
        ZL_STRV_FOREACH(alias, aliases)
                zl_buf_putf(&text, "%s%s", alias == aliases ? "" : ",", *alias);
        return zl_buf_error(&text) ? zl_fail_oom(err) : add_label(spec, text.data, err);
}

static int apply_lists(const struct zl_run_options *o, struct zl_service_spec *spec,
                       struct zl_error *err)
{
        const struct list_option lists[] = {
                { o->volumes, add_volume }, { o->tmpfs, add_tmpfs },    { o->ports, add_port },
                { o->env, add_env },        { o->labels, add_label },   { o->sysctls, add_sysctl },
                { o->ulimits, add_ulimit }, { o->devices, add_device },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(lists); i++)
                ZL_STRV_FOREACH(v, lists[i].values) {
                        int r = lists[i].add(spec, *v, err);

                        if (r < 0)
                                return r;
                }
        if (zl_strv_extend(&spec->capabilities, o->cap_add) < 0 ||
            zl_strv_extend(&spec->cap_drop, o->cap_drop) < 0 ||
            zl_strv_extend(&spec->dns, o->dns) < 0 ||
            zl_strv_extend(&spec->extra_hosts, o->add_hosts) < 0 ||
            zl_strv_extend(&spec->security_opt, o->security_opt) < 0)
                return zl_fail_oom(err);
        return add_aliases(spec, o->network_aliases, err);
}

static int apply_resources(const struct zl_run_options *o, struct zl_service_spec *spec,
                           struct zl_error *err)
{
        struct zl_resources_spec *r = &spec->resources;

        if (o->cpus.set) {
                r->has_cpu = true;
                r->cpu = o->cpus.value;
        }
        if (o->pids_limit.set) {
                r->has_pids_limit = true;
                r->pids_limit = (int64_t)ZL_MIN(o->pids_limit.value, (uint64_t)INT64_MAX);
        }
        /* The spec's texts know powers of 1024 only, and no smaller unit than Ki. */
        if (o->memory.set &&
            (o->memory.value < 1024 ||
             asprintf(&r->memory, "%lluKi", (unsigned long long)(o->memory.value / 1024)) < 0)) {
                r->memory = NULL;
                return zl_fail(err, ZL_E_INVALID, 0, "--memory: less than 1Ki");
        }
        if (o->stop_timeout.set) {
                spec->has_stop_grace_period = true;
                spec->stop_grace_period = o->stop_timeout.value;
        }
        return 0;
}

static int apply_flags(const struct zl_run_options *o, struct zl_service_spec *spec,
                       struct zl_error *err)
{
        struct {
                char **at;
                const char *value;
        } texts[] = {
                { &spec->user, o->user },
                { &spec->hostname, o->hostname },
                { &spec->command.workdir, o->workdir },
                { &spec->stop_signal, o->stop_signal },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(texts); i++)
                if (texts[i].value && zl_replace_str(texts[i].at, texts[i].value) < 0)
                        return zl_fail_oom(err);
        spec->tty = o->tty;
        spec->stdin_open = o->interactive;
        spec->read_only_root_fs = o->read_only;
        spec->privileged = o->privileged;
        if (o->init)
                spec->has_init_container = spec->init_container = true;
        return 0;
}

int zl_run_spec_build(const struct zl_run_options *o, const char *image, char *const *argv,
                      struct zl_service_spec **ret, struct zl_error *err)
{
        _cleanup_service_spec_ struct zl_service_spec *spec = NULL;
        _cleanup_reference_ struct zl_reference ref = { 0 };
        int r = zl_reference_parse(image, &ref, NULL, err);

        if (r >= 0)
                r = zl_service_spec_new_default(image, &spec, err);
        if (r < 0)
                return r;
        if ((o->entrypoint && zl_strv_push(&spec->command.entrypoint, o->entrypoint) < 0) ||
            zl_strv_dup(argv, &spec->command.args) < 0)
                return zl_fail_oom(err);
        r = apply_flags(o, spec, err);
        if (r >= 0)
                r = apply_resources(o, spec, err);
        if (r >= 0)
                r = apply_lists(o, spec, err);
        if (r >= 0 && o->network)
                r = set_network(spec, o->network, err);
        if (r >= 0 && o->pull)
                r = set_pull(spec, o->pull, err);
        if (r >= 0 && o->restart)
                r = set_restart(spec, o->restart, err);
        if (r < 0)
                return r;
        *ret = zl_take_ptr(spec);
        return 0;
}
