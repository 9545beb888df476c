/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that go beyond the form of a spec (spec §9): single values (phase V) and values that must go together (phase
 * X). All faults are collected. The decoder has run before and may have reported faults of its own; a rule keeps quiet when
 * one of the values it looks at is missing or unusable for that reason, so one mistake is told once.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/map.h"
#include "spec/cron.h"
#include "spec/duration.h"
#include "spec/rules.h"
#include "spec/spec.h"
#include "spec/tables.h"

struct checker {
        const struct zl_deployment_spec *spec;
        const struct zl_node *root;
        struct zl_problems *problems;
        struct zl_map *names; /* of services */
        bool had_problems;    /* of the decoder */
        bool no_memory;
};

/* A path, grown by value: in(in_key(service, "endpoints"), 0). */
struct step {
        const char *key; /* NULL: an index */
        size_t index;
};
struct where {
        struct step steps[8];
        size_t n;
};

static struct where in(struct where w, const char *key)
{
        w.steps[w.n++] = (struct step){ .key = key };
        return w;
}

static struct where nth(struct where w, size_t index)
{
        w.steps[w.n++] = (struct step){ .index = index };
        return w;
}

static const struct where top = { .n = 0 };

static char *where_text(const struct where *w)
{
        struct zl_buf out = ZL_BUF_INIT(1 << 16);
        char *text;

        for (size_t i = 0; i < w->n; i++) {
                if (w->steps[i].key)
                        zl_buf_putf(&out, "%s%.200s", i ? "." : "", w->steps[i].key);
                else
                        zl_buf_putf(&out, "[%zu]", w->steps[i].index);
        }
        text = zl_buf_take(&out);
        zl_buf_done(&out);
        return text;
}

/* The node at a path, or the nearest one around it that exists. */
static const struct zl_node *where_node(const struct checker *c, const struct where *w)
{
        static const char *const aliases[][2] = { { "wasm", "wasm_http" },
                                                  { "capabilities", "cap_add" } };
        const struct zl_node *node = c->root;

        for (size_t i = 0; i < w->n; i++) {
                const struct step *s = &w->steps[i];
                const struct zl_node *next = s->key ? zl_node_get(node, s->key)
                                                    : zl_node_at(node, s->index);

                for (size_t k = 0; s->key && !next && k < ZL_ARRAY_SIZE(aliases); k++)
                        if (zl_streq(s->key, aliases[k][0]))
                                next = zl_node_get(node, aliases[k][1]);
                if (!next)
                        break;
                node = next;
        }
        return node;
}

/* Did the decoder already complain about what is at `w`? */
static bool is_broken(const struct checker *c, struct where w)
{
        _cleanup_free_ char *path = NULL;

        if (!c->had_problems)
                return false;
        path = where_text(&w);
        return !path || zl_problems_touch(c->problems, path);
}

/* No room for more: nobody needs to look for places and hints, which takes time in large files. */
static bool is_full(const struct checker *c)
{
        return c->problems->n >= ZL_PROBLEMS_MAX;
}

struct fault {
        enum zl_phase phase;
        const char *kind; /* of the cross-field rules */
        struct where path;
        struct where place; /* where it is in the file; n 0: at `path` */
        const char *hint;
};

static void report(struct checker *c, const struct fault *f, const char *fmt, ...) ZL_PRINTF(3, 4);
static void report(struct checker *c, const struct fault *f, const char *fmt, ...)
{
        const struct zl_node *node;
        _cleanup_free_ char *path = NULL;
        struct zl_problem *p;
        va_list ap;

        if (is_full(c)) {
                c->problems->n_dropped++;
                return;
        }
        node = where_node(c, f->place.n ? &f->place : &f->path);
        path = where_text(&f->path);
        p = zl_problems_add(c->problems, f->phase, node->line, node->column,
                            path ? path : "(unknown)");
        if (!p)
                return;
        va_start(ap, fmt);
        if (vasprintf(&p->message, fmt, ap) < 0)
                p->message = NULL;
        va_end(ap);
        p->hint = f->hint ? strdup(f->hint) : NULL;
        p->kind = f->kind ? strdup(f->kind) : NULL;
}

/* ---- phase V: single values ------------------------------------------------------------------------------ */

static bool is_alnum(char c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void check_head(struct checker *c)
{
        const char *version = c->spec->version, *name = c->spec->deployment;
        bool fine;

        if (version && !zl_streq(version, "v1"))
                report(c, &(struct fault){ ZL_PHASE_VALIDATE, NULL, in(top, "version") },
                       "the version must be v1, not '%.60s'", version);
        if (!name)
                return;
        fine = strlen(name) >= 3 && strlen(name) <= 63 && is_alnum(name[0]);
        for (const char *s = name; *s; s++)
                fine = fine && (is_alnum(*s) || *s == '-');
        if (!fine)
                report(c,
                       &(struct fault){
                               ZL_PHASE_VALIDATE, NULL, in(top, "deployment"),
                               .hint = "3 to 63 letters, digits and hyphens, beginning with "
                                       "a letter or digit" },
                       "'%.80s' is not a name of a deployment", name);
}

static void check_endpoint_values(struct checker *c, struct where holder,
                                  const struct zl_endpoint_spec *endpoints, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                struct where w = nth(in(holder, "endpoints"), i);

                if (endpoints[i].name && !*endpoints[i].name)
                        report(c, &(struct fault){ ZL_PHASE_VALIDATE, NULL, in(w, "name") },
                               "the name of an endpoint must not be empty");
                if (endpoints[i].port == 0 && !is_broken(c, in(w, "port")))
                        report(c, &(struct fault){ ZL_PHASE_VALIDATE, NULL, in(w, "port") },
                               "the port must not be 0");
        }
}

static void check_schedule(struct checker *c, struct where w, const struct zl_service_spec *s)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_cron cron;

        if (s->schedule && zl_cron_parse(s->schedule, &cron, &err) < 0)
                report(c,
                       &(struct fault){ ZL_PHASE_VALIDATE, NULL, in(w, "schedule"),
                                        .hint = err.hint },
                       "%s", zl_error_message(&err));
}

static void check_values(struct checker *c, struct where w, const struct zl_service_spec *s)
{
        struct where resources = in(w, "resources");
        uint64_t number;
        unsigned shift;

        check_schedule(c, w, s);
        if (s->resources.has_cpu && s->resources.cpu <= 0)
                report(c, &(struct fault){ ZL_PHASE_VALIDATE, NULL, in(resources, "cpu") },
                       "cpu must be more than 0");
        if (s->resources.memory && zl_spec_memory_parse(s->resources.memory, &number, &shift) < 0)
                report(c,
                       &(struct fault){ ZL_PHASE_VALIDATE, NULL, in(resources, "memory"),
                                        .hint = "a whole number with Ki, Mi, Gi or Ti, for "
                                                "example 512Mi" },
                       "'%.60s' is not an amount of memory", s->resources.memory);
        check_endpoint_values(c, w, s->endpoints, s->n_endpoints);
        if (s->scale.mode == ZL_SCALE_ADAPTIVE && s->scale.min > s->scale.max &&
            !is_broken(c, in(w, "scale")))
                report(c, &(struct fault){ ZL_PHASE_VALIDATE, NULL, in(w, "scale") },
                       "min (%u) is larger than max (%u)", s->scale.min, s->scale.max);
}

/* ---- phase X: values that go together ------------------------------------------------------------------------ */

static void unknown_dependency(struct checker *c, struct where w, size_t i, const char *target)
{
        _cleanup_free_ const char **names = NULL;
        _cleanup_free_ char *hint = NULL;
        const char *near;
        bool external = false;

        if (!is_full(c))
                names = calloc(c->spec->n_services + 1, sizeof(*names));
        for (size_t k = 0; names && k < c->spec->n_services; k++)
                names[k] = c->spec->services[k].name;
        near = names ? zl_nearest(target, names, c->spec->n_services) : NULL;
        for (size_t k = 0; names && k < c->spec->n_externals; k++)
                external = external || zl_streq(c->spec->externals[k].name, target);
        if (near && asprintf(&hint, "did you mean '%s'?", near) < 0)
                hint = NULL;
        report(c,
               &(struct fault){ ZL_PHASE_CROSS_CHECK, "UnknownDependency", in(w, "depends"),
                                in(nth(in(w, "depends"), i), "service"),
                                external ? "externals are always there and cannot be waited for"
                                         : hint },
               "there is no service '%.60s'", target);
}

static void check_depends(struct checker *c, struct where w, const struct zl_service_spec *s)
{
        if (is_broken(c, in(top, "services")) && c->spec->n_services == 0)
                return;
        for (size_t i = 0; i < s->n_depends; i++)
                if (s->depends[i].service && !zl_map_has(c->names, s->depends[i].service))
                        unknown_dependency(c, w, i, s->depends[i].service);
}

static void check_endpoint_names(struct checker *c, struct where w, const struct zl_service_spec *s)
{
        _cleanup_map_ struct zl_map *seen = s->n_endpoints > 1 ? zl_map_new(NULL) : NULL;

        for (size_t i = 0; seen && i < s->n_endpoints; i++) {
                const char *name = s->endpoints[i].name;

                if (!name)
                        continue;
                if (!zl_map_has(seen, name)) {
                        c->no_memory = c->no_memory || zl_map_put(seen, name, c) < 0;
                        continue;
                }
                report(c,
                       &(struct fault){ ZL_PHASE_CROSS_CHECK, "DuplicateEndpoint",
                                        in(w, "endpoints"),
                                        in(nth(in(w, "endpoints"), i), "name") },
                       "the name '%.60s' is used by two endpoints", name);
        }
        c->no_memory = c->no_memory || (s->n_endpoints > 1 && !seen);
}

static void check_rtype(struct checker *c, struct where w, const struct zl_service_spec *s)
{
        if (is_broken(c, in(w, "rtype")) || is_broken(c, in(w, "schedule")))
                return;
        if (s->schedule && s->rtype != ZL_RTYPE_CRON)
                report(c,
                       &(struct fault){ ZL_PHASE_CROSS_CHECK, "ScheduleOnlyForCron",
                                        in(w, "schedule"),
                                        .hint = "add 'rtype: cron' or remove the schedule" },
                       "a schedule is only for services of rtype cron, this is a %s",
                       zl_rtype_name(s->rtype));
        if (!s->schedule && s->rtype == ZL_RTYPE_CRON)
                report(c,
                       &(struct fault){ ZL_PHASE_CROSS_CHECK, "CronRequiresSchedule",
                                        in(w, "schedule"), in(w, "rtype"),
                                        "for example 'schedule: \"0 30 2 * * *\"' for every night "
                                        "at 02:30 UTC" },
                       "a service of rtype cron needs a schedule");
}

static void check_tunnel_ttl(struct checker *c, struct where w, const struct zl_service_spec *s)
{
        for (size_t i = 0; i < s->n_endpoints; i++) {
                const struct zl_endpoint_tunnel *t = s->endpoints[i].tunnel;
                struct where at = in(in(nth(in(w, "endpoints"), i), "tunnel"), "access");
                const char *why;
                int64_t nsec;

                if (!t || !t->access || !t->access->max_ttl ||
                    zl_duration_parse(t->access->max_ttl, &nsec, &why) == 0)
                        continue;
                report(c,
                       &(struct fault){ ZL_PHASE_CROSS_CHECK, "InvalidTunnelTtl", in(at, "max_ttl"),
                                        .hint = "for example 2h 15m" },
                       "'%.60s' is not a duration: %s", t->access->max_ttl, why);
        }
}

static void check_tunnels(struct checker *c)
{
        for (size_t i = 0; i < c->spec->n_tunnels; i++) {
                const struct zl_tunnel_spec *t = &c->spec->tunnels[i].spec;
                struct where w = in(in(top, "tunnels"), c->spec->tunnels[i].name);
                const struct {
                        const char *key;
                        uint16_t port;
                } ports[] = { { "local_port", t->local_port }, { "remote_port", t->remote_port } };

                for (size_t k = 0; k < ZL_ARRAY_SIZE(ports); k++)
                        if (ports[k].port == 0 && !is_broken(c, in(w, ports[k].key)))
                                report(c,
                                       &(struct fault){ ZL_PHASE_CROSS_CHECK, "InvalidTunnelPort",
                                                        in(w, ports[k].key) },
                                       "the port must not be 0");
        }
}

/* ---- WASM -------------------------------------------------------------------------------------------------------- */

static void check_capabilities(struct checker *c, struct where w, const struct zl_service_spec *s,
                               const struct zl_wasm_capabilities *allowed)
{
        const struct zl_wasm_capabilities *wanted = s->wasm->capabilities;
        const struct {
                const char *name;
                bool wanted, allowed;
        } rows[] = {
                { "config", wanted->config, allowed->config },
                { "keyvalue", wanted->keyvalue, allowed->keyvalue },
                { "logging", wanted->logging, allowed->logging },
                { "secrets", wanted->secrets, allowed->secrets },
                { "metrics", wanted->metrics, allowed->metrics },
                { "http_client", wanted->http_client, allowed->http_client },
                { "cli", wanted->cli, allowed->cli },
                { "filesystem", wanted->filesystem, allowed->filesystem },
                { "sockets", wanted->sockets, allowed->sockets },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++) {
                struct where at = in(in(w, "capabilities"), rows[i].name);
                _cleanup_free_ char *hint = NULL;

                if (!rows[i].wanted || rows[i].allowed || is_broken(c, at))
                        continue;
                if (asprintf(&hint,
                             "write '%s: false' (it is on unless written), or leave out "
                             "'capabilities'",
                             rows[i].name) < 0)
                        hint = NULL;
                report(c,
                       &(struct fault){ ZL_PHASE_CROSS_CHECK, "WasmCapabilityNotAvailable", at,
                                        .hint = hint },
                       "the capability %s is not available to %s", rows[i].name,
                       zl_service_type_name(s->service_type));
        }
}

static void check_preopens(struct checker *c, struct where w, const struct zl_wasm_spec *wasm)
{
        for (size_t i = 0; i < wasm->n_preopens; i++) {
                const struct zl_wasm_preopen *p = &wasm->preopens[i];
                struct where at = nth(in(w, "preopens"), i);

                if (p->source && !*p->source)
                        report(c,
                               &(struct fault){ ZL_PHASE_CROSS_CHECK, "WasmPreopenEmpty",
                                                in(at, "source") },
                               "the source must not be empty");
                if (p->target && !*p->target)
                        report(c,
                               &(struct fault){ ZL_PHASE_CROSS_CHECK, "WasmPreopenEmpty",
                                                in(at, "target") },
                               "the target must not be empty");
        }
}

static void check_wasm_http(struct checker *c, struct where w, const struct zl_service_spec *s)
{
        if (s->service_type != ZL_SERVICE_WASM_HTTP || s->n_endpoints == 0 ||
            is_broken(c, in(w, "endpoints")))
                return;
        for (size_t i = 0; i < s->n_endpoints; i++)
                if (s->endpoints[i].protocol == ZL_PROTOCOL_HTTP ||
                    s->endpoints[i].protocol == ZL_PROTOCOL_HTTPS)
                        return;
        report(c,
               &(struct fault){ ZL_PHASE_CROSS_CHECK, "WasmHttpMissingHttpEndpoint",
                                in(w, "endpoints") },
               "a wasm_http service with endpoints needs one of protocol http or https");
}

static void check_wasm(struct checker *c, struct where service, const struct zl_service_spec *s)
{
        struct where w = in(service, "wasm");
        struct zl_wasm_capabilities allowed;
        uint64_t number;
        unsigned shift;

        if (!s->wasm || is_broken(c, in(service, "service_type")))
                return;
        if (!zl_wasm_capabilities_allowed(s->service_type, &allowed)) {
                report(c,
                       &(struct fault){ ZL_PHASE_CROSS_CHECK, "WasmConfigOnNonWasmType", w,
                                        .hint = "add for example 'service_type: wasm_http'" },
                       "wasm options on a service of type %s",
                       zl_service_type_name(s->service_type));
                return;
        }
        if (s->wasm->max_memory && zl_spec_memory_parse(s->wasm->max_memory, &number, &shift) < 0)
                report(c,
                       &(struct fault){ ZL_PHASE_CROSS_CHECK, "InvalidMemoryFormat",
                                        in(w, "max_memory"),
                                        .hint = "a whole number with Ki, Mi, Gi or Ti, for "
                                                "example 64Mi" },
                       "'%.60s' is not an amount of memory", s->wasm->max_memory);
        if (s->wasm->min_instances > s->wasm->max_instances &&
            !is_broken(c, in(w, "min_instances")) && !is_broken(c, in(w, "max_instances")))
                report(c,
                       &(struct fault){ ZL_PHASE_CROSS_CHECK, "InvalidWasmInstanceRange", w,
                                        in(w, "min_instances") },
                       "min_instances (%u) is larger than max_instances (%u)",
                       s->wasm->min_instances, s->wasm->max_instances);
        if (s->wasm->capabilities)
                check_capabilities(c, w, s, &allowed);
        check_wasm_http(c, service, s);
        check_preopens(c, w, s->wasm);
}

static void check_externals(struct checker *c)
{
        for (size_t i = 0; i < c->spec->n_externals; i++) {
                const struct zl_external_spec *e = &c->spec->externals[i].spec;
                struct where w = in(in(top, "externals"), c->spec->externals[i].name);

                if ((!e->backends || !e->backends[0]) && !is_broken(c, in(w, "backends")))
                        report(c, &(struct fault){ ZL_PHASE_VALIDATE, NULL, in(w, "backends") },
                               "at least one back end is needed");
                check_endpoint_values(c, w, e->endpoints, e->n_endpoints);
        }
}

static int note_names(struct checker *c)
{
        c->names = zl_map_new(NULL);
        if (!c->names)
                return -ENOMEM;
        for (size_t i = 0; i < c->spec->n_services; i++)
                if (zl_map_put(c->names, c->spec->services[i].name, c) < 0)
                        return -ENOMEM;
        return 0;
}

static void check_service(struct checker *c, const struct zl_service_entry *entry)
{
        struct where w = in(in(top, "services"), entry->name);

        check_values(c, w, entry->spec);
        check_depends(c, w, entry->spec);
        check_endpoint_names(c, w, entry->spec);
        check_rtype(c, w, entry->spec);
        check_tunnel_ttl(c, w, entry->spec);
        check_wasm(c, w, entry->spec);
}

int zl_spec_validate(const struct zl_deployment_spec *spec, const struct zl_node *root,
                     struct zl_problems *problems)
{
        struct checker c = {
                .spec = spec, .root = root, .problems = problems, .had_problems = problems->n > 0
        };

        if (note_names(&c) < 0) {
                c.no_memory = true;
        } else {
                check_head(&c);
                for (size_t i = 0; i < spec->n_services; i++)
                        check_service(&c, &spec->services[i]);
                check_externals(&c);
                check_tunnels(&c);
        }
        zl_map_free(c.names);
        return c.no_memory ? -ENOMEM : 0;
}
