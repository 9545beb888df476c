/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The services of a deployment and their revisions: made from a spec, with every check that a start would need, and the
 * image that all replicas of a revision share.
 *
 * What makes a container is hashed; what only guides the agent (how many, who waits for whom, health, restarts) is left
 * out of the hash, so that changing it disturbs no container.
 */
#include "agent/core.h"
#include "agent/depends.h"
#include "agent/env.h"
#include "base/strv.h"
#include "spec/spec.h"

#define DEFAULT_DEPENDS_TIMEOUT (300 * ZL_NSEC_PER_SEC)

char *zl_service_full_name(const struct service *s, char buf[ZL_IDENT_NAME_MAX])
{
        snprintf(buf, ZL_IDENT_NAME_MAX, "%s.%s", s->d->name, s->name);
        return buf;
}

/* ---- revisions ------------------------------------------------------------------------------------------------ */

struct revision *zl_revision_ref(struct revision *rev)
{
        if (rev)
                rev->refs++;
        return rev;
}

void zl_revision_unref(struct revision *rev)
{
        if (!rev || --rev->refs > 0)
                return;
        zl_service_spec_free(rev->spec);
        zl_health_plan_done(&rev->health);
        zl_init_plan_done(&rev->init);
        free(rev);
}

/* Another digest, of both. */
static void mix(char hash[ZL_DIGEST_TEXT_MAX], const char *digest)
{
        char both[2 * ZL_DIGEST_TEXT_MAX];
        int n = snprintf(both, sizeof(both), "%s %s", hash, digest);

        zl_sha256_text(both, (size_t)n, hash);
}

int zl_revision_hash(struct revision *rev)
{
        struct zl_service_spec view = *rev->spec; /* shallow: nothing in it is changed or freed */
        int r;

        view.scale = (struct zl_scale_spec){ .mode = ZL_SCALE_MANUAL };
        r = zl_spec_service_hash(&view, rev->rules);
        if (r < 0)
                return r;
        view.depends = NULL;
        view.n_depends = 0;
        view.health = (struct zl_health_spec){ .check.type = ZL_HEALTH_TCP };
        view.errors = (struct zl_errors_spec){ 0 };
        view.lifecycle = (struct zl_lifecycle_spec){ 0 };
        view.restart_policy = NULL;
        r = zl_spec_service_hash(&view, rev->hash);
        if (r >= 0 && rev->moved) {
                mix(rev->hash, rev->digest);
                mix(rev->rules, rev->digest);
        }
        return r;
}

static int fill_revision(struct revision *rev, const struct zl_service_entry *entry, bool networked,
                         struct zl_error *err)
{
        int r;

        rev->spec = zl_service_spec_copy(entry->spec);
        if (!rev->spec)
                return zl_fail_oom(err);
        if (networked && rev->spec->network_mode.kind == ZL_NETWORK_DEFAULT)
                rev->spec->network_mode.kind = ZL_NETWORK_BRIDGE;
        zl_pin_load(rev);
        if (zl_revision_hash(rev) < 0)
                return zl_fail_oom(err);
        if (zl_restart_rule_from_spec(rev->spec, &rev->rule) < 0)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "service %s: restart_policy.delay: \"%s\" is not a duration",
                               entry->name, rev->spec->restart_policy->delay);
        r = zl_health_plan_make(rev->spec, &rev->health, err);
        if (r >= 0)
                r = zl_init_plan_make(rev->spec, &rev->init, err);
        if (r < 0)
                zl_error_prefix(err, "service %s", entry->name);
        return r;
}

/* "networked": its deployment has a network (zl_spec_has_network). */
static int make_revision(struct deployment *d, const struct zl_service_entry *entry, bool networked,
                         struct revision **ret, struct zl_error *err)
{
        struct revision *rev = calloc(1, sizeof(*rev));
        int r;

        if (!rev)
                return zl_fail_oom(err);
        rev->refs = 1;
        rev->d = d;
        snprintf(rev->service, sizeof(rev->service), "%s", entry->name);
        r = fill_revision(rev, entry, networked, err);
        if (r < 0) {
                zl_revision_unref(rev);
                return r;
        }
        *ret = rev;
        return 0;
}

struct revision *zl_revision_copy(const struct revision *rev)
{
        const struct zl_service_entry entry = { .name = (char *)(uintptr_t)rev->service,
                                                .spec = rev->spec };
        struct revision *copy = NULL;

        return make_revision(rev->d, &entry, false, &copy, NULL) < 0 ? NULL : copy;
}

static void on_pull(struct zl_op *op)
{
        struct revision *rev = op->owner;
        struct deployment *d = rev->d;
        struct zl_agent *agent = d->agent;
        char full[ZL_IDENT_NAME_MAX];

        agent->n_ops--;
        d->n_pulls--;
        rev->pull = NULL;
        rev->pulled = op->result >= 0;
        if (rev->pulled)
                zl_pin_take(rev, op->digest);
        if (rev->pulled)
                rev->fresh = false;
        d->dirty = true;
        snprintf(full, sizeof(full), "%s.%s", d->name, rev->service);
        if (rev->pulled)
                zl_agent_tellf(agent, (struct zl_event){ .type = ZL_EVENT_PULLED, .name = full },
                               "%s %s", rev->spec->image.name, op->digest ?: "");
        for (size_t i = 0; i < d->n_replicas; i++) {
                struct replica *r = d->replicas[i];

                if (r->rev != rev || r->phase != ZL_PHASE_PULLING)
                        continue;
                r->dirty = true;
                if (!rev->pulled)
                        zl_replica_pull_failed(r, &op->error);
        }
        if (!rev->pulled)
                zl_rollout_pull_failed(rev, &op->error);
        zl_op_free(op);
        zl_revision_unref(rev);
        zl_agent_settle(agent);
}

void zl_revision_pull(struct revision *rev)
{
        struct zl_agent *agent = rev->d->agent;
        char full[ZL_IDENT_NAME_MAX];

        if (rev->pull || rev->pulled)
                return;
        rev->pull = zl_op_new(ZL_OP_PULL, NULL);
        if (rev->pull)
                rev->pull->image = strdup(rev->spec->image.name);
        if (!rev->pull || !rev->pull->image ||
            zl_replace_str(&rev->pull->pin, zl_pin_of(rev)) < 0) {
                struct zl_error err = ZL_ERROR_INIT;

                zl_op_free(zl_take_ptr(rev->pull));
                zl_fail_oom(&err);
                zl_deployment_fail(rev->d, rev->service, &err);
                return;
        }
        rev->pull->policy = zl_spec_pull_policy(&rev->spec->image);
        snprintf(full, sizeof(full), "%s.%s", rev->d->name, rev->service);
        zl_agent_tellf(agent, (struct zl_event){ .type = ZL_EVENT_PULLING, .name = full }, "%s",
                       rev->spec->image.name);
        rev->d->n_pulls++;
        zl_agent_submit(agent, rev->pull, zl_revision_ref(rev), on_pull);
}

/* ---- services --------------------------------------------------------------------------------------------------- */

static void service_free(struct service *s)
{
        zl_revision_unref(s->rev);
        zl_revision_unref(s->fallback);
        free(s->depends);
        free(s->name);
        free(s);
}

void zl_services_done(struct services *services)
{
        for (size_t i = 0; i < services->n; i++)
                service_free(services->items[i]);
        free(services->items);
        *services = (struct services){ 0 };
}

static size_t position_of(const struct services *services, const char *name)
{
        for (size_t i = 0; i < services->n; i++)
                if (zl_streq(services->items[i]->name, name))
                        return i;
        return SIZE_MAX;
}

struct service *zl_services_find(const struct services *services, const char *name)
{
        size_t at = position_of(services, name);

        return at == SIZE_MAX ? NULL : services->items[at];
}

static int prepare_depends(const struct services *services, struct service *s, struct zl_error *err)
{
        const struct zl_service_spec *spec = s->rev->spec;

        if (spec->n_depends == 0)
                return 0;
        s->depends = calloc(spec->n_depends, sizeof(*s->depends));
        if (!s->depends)
                return zl_fail_oom(err);
        for (size_t i = 0; i < spec->n_depends; i++) {
                const struct zl_depends_spec *dep = &spec->depends[i];
                size_t target = position_of(services, dep->service); /* the order has found it */
                bool is_job = services->items[target]->rev->spec->rtype == ZL_RTYPE_JOB;
                enum zl_need need = is_job ? ZL_NEED_COMPLETED : ZL_NEED_AVAILABLE;

                s->depends[s->n_depends++] = (struct dependency){
                        .target = target,
                        .need = dep->condition == ZL_DEPENDS_STARTED ? ZL_NEED_STARTED : need,
                        .timeout = dep->has_timeout ? dep->timeout : DEFAULT_DEPENDS_TIMEOUT,
                        .on_timeout = dep->on_timeout,
                };
        }
        return 0;
}

static int prepare_service(struct service *s, const struct zl_service_entry *entry, bool networked,
                           struct zl_error *err)
{
        struct zl_ident id;
        int r;

        r = zl_ident_make(&id, s->d->name, entry->name, 1, err);
        if (r < 0)
                return r;
        s->name = strdup(entry->name);
        if (!s->name)
                return zl_fail_oom(err);
        s->desired = zl_spec_initial_replicas(&entry->spec->scale);
        if (entry->spec->rtype == ZL_RTYPE_CRON)
                s->desired = 0;
        if (s->desired > ZL_REPLICAS_MAX)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "service %s: %u replicas are more than the %d of one machine",
                               s->name, s->desired, ZL_REPLICAS_MAX);
        if (entry->spec->rtype != ZL_RTYPE_SERVICE) {
                struct zl_job_settings settings;

                r = zl_job_settings_load(entry->spec, &settings, err);
                if (r < 0) {
                        zl_error_prefix(err, "service %s", s->name);
                        return r;
                }
                zl_job_settings_done(&settings);
        }
        return make_revision(s->d, entry, networked, &s->rev, err);
}

int zl_services_check_env(struct deployment *d, const struct services *services,
                          struct zl_error *err)
{
        struct zl_host *host = &d->agent->host;
        struct zl_env_source source = { .getenv = host->getenv,
                                        .secret = host->secret,
                                        .deployment = d->name,
                                        .host_data = host->data };

        for (size_t i = 0; i < services->n; i++) {
                const struct service *s = services->items[i];
                _cleanup_strv_ char **env = NULL;
                int r = zl_env_resolve(&s->rev->spec->env, &source, &env, err);

                if (r < 0) {
                        zl_error_prefix(err, "service %s", s->name);
                        return r;
                }
        }
        return 0;
}

static int make_all(struct deployment *d, const struct zl_deployment_spec *spec,
                    struct services *services, struct zl_error *err)
{
        _cleanup_free_ size_t *order = NULL;
        bool networked = zl_spec_has_network(spec);
        int r = zl_depends_order(spec, &order, err);

        if (r < 0)
                return r;
        services->items = calloc(spec->n_services + 1, sizeof(*services->items));
        if (!services->items)
                return zl_fail_oom(err);
        for (size_t i = 0; i < spec->n_services; i++) {
                struct service *s = calloc(1, sizeof(*s));

                if (!s)
                        return zl_fail_oom(err);
                services->items[services->n++] = s;
                s->d = d;
                r = prepare_service(s, &spec->services[order[i]], networked, err);
                if (r >= 0)
                        r = prepare_depends(services, s, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

int zl_services_make(struct deployment *d, const struct zl_deployment_spec *spec,
                     struct services *ret, struct zl_error *err)
{
        struct services services = { 0 };
        int r = make_all(d, spec, &services, err);

        if (r < 0) {
                zl_services_done(&services);
                return r;
        }
        *ret = services;
        return 0;
}
