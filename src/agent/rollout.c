/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one wish to the next: zl_agent_update() and zl_agent_scale(), and the course of a rollout. A changed service keeps its
 * last good revision as a fallback until every replica is of the new one and well. The replacing itself is the affair of
 * zl_reconcile() (when) and of the replicas (how); here its image is fetched before anything is touched, and its end is
 * judged.
 *
 * What may go wrong: the new replicas fail. Then the fallback becomes the wish again, also in the stored spec, so that an
 * agent that comes up later does not try the bad one once more.
 */
#include "agent/core.h"
#include "agent/endpoints.h"
#include "agent/unhonoured.h"
#include "base/log.h"
#include "spec/spec.h"

#define PULL_RETRY_DELAY (30 * ZL_NSEC_PER_SEC)

static void tell_service(const struct service *s, enum zl_event_type type, const char *message)
{
        char full[ZL_IDENT_NAME_MAX];

        zl_agent_tell(s->d->agent, (struct zl_event){ .type = type,
                                                      .name = zl_service_full_name(s, full),
                                                      .message = message });
}

/* ---- a changed wish -------------------------------------------------------------------------------------------- */

static struct zl_service_spec *find_spec(const struct deployment *d, const char *name)
{
        for (size_t i = 0; d->spec && i < d->spec->n_services; i++)
                if (zl_streq(d->spec->services[i].name, name))
                        return d->spec->services[i].spec;
        return NULL;
}

static uint32_t clamp(uint32_t n, const struct zl_scale_spec *scale)
{
        return ZL_MAX(scale->min, ZL_MIN(n, scale->max));
}

/* The new form of a service takes over from the old one. */
static void succeed(struct service *new, struct service *old)
{
        struct deployment *d = old->d;
        bool same = zl_streq(new->rev->hash, old->rev->hash);
        const struct zl_scale_spec *scale = &new->rev->spec->scale;

        /* What runs once has its number from elsewhere (service.c). */
        if (scale->mode == ZL_SCALE_ADAPTIVE && new->rev->spec->rtype == ZL_RTYPE_SERVICE)
                new->desired = clamp(old->desired, scale);
        new->autoscale = old->autoscale;
        if (same && zl_streq(new->rev->rules, old->rev->rules)) {
                zl_revision_unref(new->rev);
                new->rev = zl_revision_ref(old->rev);
        } else if (same) {
                new->rev->pulled = old->rev->pulled;
                new->rev->env_warned = old->rev->env_warned;
                new->rev->create_warned = old->rev->create_warned;
        }
        /* If the last rollout is not over, what was good before it is what to go back to. */
        new->fallback = zl_revision_ref(old->fallback ?: old->rev);
        if (zl_streq(new->fallback->hash, new->rev->hash)) {
                zl_revision_unref(new->fallback);
                new->fallback = NULL;
        }
        /* What is made anew anyway takes what its policy wants. */
        new->rev->fresh = !same;
        if (same)
                zl_pin_check(new->rev);
        for (size_t i = 0; i < d->n_replicas; i++) {
                struct replica *r = d->replicas[i];

                if (r->service != old)
                        continue;
                r->service = new;
                r->rollout_faults = 0;
                if (r->rev && r->rev != new->rev &&zl_streq(r->rev->hash, new->rev->hash))
                        zl_replica_rebase(r, new->rev);
        }
        if (!same)
                tell_service(new, ZL_EVENT_ROLLING, NULL);
}

static void wake(struct deployment *d)
{
        if (d->phase == ZL_DEPLOYMENT_FAILED) {
                zl_error_done(&d->failure_);
                d->failure = NULL;
        }
        if (d->phase != ZL_DEPLOYMENT_STARTING)
                d->phase = ZL_DEPLOYMENT_STARTED;
        d->dirty = true;
}

int zl_deployment_wake(struct deployment *d, struct zl_error *err)
{
        int r = d->phase == ZL_DEPLOYMENT_FINISHED
                        ? zl_deployment_save(d, d->spec, ZL_CARE_NOW, err)
                        : 0;

        if (r >= 0)
                wake(d);
        return r < 0 ? r : 0;
}

static int find_living(const struct zl_agent *agent, const char *name, struct deployment **ret,
                       struct zl_error *err)
{
        struct deployment *d = zl_agent_find(agent, name);

        if (!d || d->phase == ZL_DEPLOYMENT_STOPPED)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "deployment %s is not up", name);
        if (d->phase == ZL_DEPLOYMENT_STOPPING || !d->spec)
                return zl_fail(err, ZL_E_STATE, 0, "deployment %s is being stopped", name);
        *ret = d;
        return 0;
}

/* What somebody has stopped, or removed, stays so until the next `up`: this one. */
static void start_stopped(struct deployment *d)
{
        for (size_t i = 0; i < d->n_replicas; i++) {
                struct replica *r = d->replicas[i];

                if (r->service && r->goal == ZL_GOAL_RUN && r->phase == ZL_PHASE_STOPPED &&
                    !r->spent && r->service->rev->spec->rtype == ZL_RTYPE_SERVICE)
                        zl_replica_again(r);
        }
}

int zl_agent_update(struct zl_agent *agent, struct zl_deployment_spec *spec, struct zl_error *err)
{
        struct services services = { 0 };
        struct deployment *d;
        int r = find_living(agent, spec->deployment, &d, err);

        if (r < 0)
                return r;
        r = zl_services_make(d, spec, &services, err);
        if (r >= 0)
                r = zl_services_check_env(d, &services, err);
        if (r >= 0)
                r = zl_deployment_save(d, spec, ZL_CARE_NOW, err);
        if (r < 0) {
                zl_services_done(&services);
                return r;
        }
        zl_agent_tell(agent,
                      (struct zl_event){ .type = ZL_EVENT_DEPLOYMENT_UPDATE, .name = d->name });
        for (size_t i = 0; i < d->services.n; i++) {
                struct service *old = d->services.items[i];
                struct service *new = zl_services_find(&services, old->name);

                if (new)
                        succeed(new, old);
                for (size_t k = 0; k < d->n_replicas && !new; k++)
                        if (d->replicas[k]->service == old)
                                d->replicas[k]->service = NULL;
        }
        zl_deployment_drop_spec(d);
        d->spec = spec;
        d->services = services;
        start_stopped(d);
        if (zl_jobs_sync(d) < 0)
                zl_log(ZL_LOG_ERROR, "%s: no memory for a job", d->name);
        d->begun = zl_agent_now(agent);
        zl_deployment_warn(d);
        wake(d);
        zl_agent_settle(agent);
        return 0;
}

static int check_scale(const struct service *s, uint32_t replicas, struct zl_error *err)
{
        const struct zl_service_spec *spec = s->rev->spec;

        if (spec->rtype == ZL_RTYPE_CRON)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "service %s runs on a schedule: it has no replicas", s->name);
        if (replicas > ZL_REPLICAS_MAX)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "service %s: %u replicas are more than the %d of one machine",
                               s->name, replicas, ZL_REPLICAS_MAX);
        if (spec->scale.mode == ZL_SCALE_ADAPTIVE && replicas != clamp(replicas, &spec->scale))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "service %s: %u is not between scale.min %u and scale.max %u",
                               s->name, replicas, spec->scale.min, spec->scale.max);
        return zl_endpoints_check_scale(s->name, spec, replicas, err);
}

int zl_agent_scale(struct zl_agent *agent, const char *deployment, const char *service,
                   uint32_t replicas, struct zl_error *err)
{
        struct zl_scale_spec fixed = { .mode = ZL_SCALE_FIXED, .replicas = replicas }, before;
        struct zl_service_spec *spec;
        struct deployment *d;
        struct service *s;
        char text[32];
        int r = find_living(agent, deployment, &d, err);

        if (r < 0)
                return r;
        s = zl_services_find(&d->services, service);
        spec = find_spec(d, service);
        if (!s || !spec)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "deployment %s has no service %s",
                               deployment, service);
        r = check_scale(s, replicas, err);
        if (r < 0)
                return r;
        before = spec->scale;
        if (before.mode != ZL_SCALE_ADAPTIVE)
                spec->scale = fixed;
        r = zl_deployment_save(d, d->spec, ZL_CARE_NOW, err);
        if (r < 0) {
                spec->scale = before;
                return r;
        }
        s->desired = replicas;
        snprintf(text, sizeof(text), "%u", replicas);
        tell_service(s, ZL_EVENT_SCALED, text);
        wake(d);
        zl_agent_settle(agent);
        return 0;
}

void zl_rollout_moved(struct service *s, const char *digest)
{
        struct revision *old = s->rev, *new = zl_revision_copy(old);
        char full[ZL_IDENT_NAME_MAX];

        if (!new) {
                struct zl_error err = ZL_ERROR_INIT;

                zl_fail_oom(&err);
                zl_deployment_fail(s->d, s->name, &err);
                return;
        }
        snprintf(new->digest, sizeof(new->digest), "%s", digest);
        new->moved = new->pulled = true;
        if (zl_revision_hash(new) < 0) {
                zl_revision_unref(new);
                return;
        }
        zl_agent_tellf(s->d->agent,
                       (struct zl_event){ .type = ZL_EVENT_ROLLING,
                                          .name = zl_service_full_name(s, full) },
                       "%s has moved from %s to %s", old->spec->image.name, old->digest, digest);
        zl_pin_save(new);
        s->rev = new;
        if (s->fallback && zl_streq(s->fallback->hash, new->hash))
                zl_revision_unref(zl_take_ptr(s->fallback));
        else if (!s->fallback)
                s->fallback = zl_revision_ref(old);
        zl_revision_unref(old);
        for (size_t i = 0; i < s->d->n_replicas; i++)
                if (s->d->replicas[i]->service == s)
                        s->d->replicas[i]->rollout_faults = 0;
}

/* ---- the course of a rollout --------------------------------------------------------------------------------- */

static void store_rollback(struct service *s)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_service_spec *copy = zl_service_spec_copy(s->rev->spec);
        struct zl_deployment_spec *spec = s->d->spec;

        if (!copy)
                zl_fail_oom(&err);
        for (size_t i = 0; copy && i < spec->n_services; i++)
                if (zl_streq(spec->services[i].name, s->name)) {
                        copy->scale = spec->services[i].spec->scale;
                        zl_service_spec_free(spec->services[i].spec);
                        spec->services[i].spec = zl_take_ptr(copy);
                }
        zl_service_spec_free(copy);
        if (err.code || zl_deployment_save(s->d, spec, ZL_CARE_NOW, &err) < 0)
                zl_agent_tellf(s->d->agent,
                               (struct zl_event){ .type = ZL_EVENT_WARNING, .name = s->d->name },
                               "the way back is not stored: %s", zl_error_message(&err));
}

static void roll_back(struct service *s, const char *why)
{
        zl_revision_unref(s->rev);
        s->rev = zl_take_ptr(s->fallback);
        zl_pin_save(s->rev);
        s->d->dirty = true;
        tell_service(s, ZL_EVENT_ROLLED_BACK, why);
        for (size_t i = 0; i < s->d->n_replicas; i++) {
                struct replica *r = s->d->replicas[i];

                if (r->service == s && r->rev && zl_streq(r->rev->hash, s->rev->hash))
                        zl_replica_rebase(r, s->rev);
        }
        store_rollback(s);
}

bool zl_rollout_fault(struct replica *r, const char *why, bool fatal)
{
        struct service *s = r->service;

        if (!s || !s->fallback || !zl_replica_is_current(r))
                return false;
        if (++r->rollout_faults < ZL_ROLLOUT_FAULTS && !fatal)
                return false;
        roll_back(s, why);
        return true;
}

void zl_rollout_pull_failed(struct revision *rev, const struct zl_error *err)
{
        struct deployment *d = rev->d;

        rev->pull_after = zl_agent_now(d->agent) + PULL_RETRY_DELAY;
        for (size_t i = 0; i < d->services.n; i++) {
                struct service *s = d->services.items[i];

                if (s->rev == rev && s->fallback) {
                        roll_back(s, zl_error_message(err));
                        return;
                }
        }
}

static bool is_outdated(const struct service *s, const char *hash)
{
        return hash && !zl_streq(hash, s->rev->hash);
}

/* What is left to be replaced, and what is new but not well yet. */
static void count(const struct service *s, size_t *ret_outdated, size_t *ret_unready)
{
        const struct deployment *d = s->d;
        uint32_t n = 0;

        *ret_outdated = *ret_unready = 0;
        for (size_t i = 0; i < d->n_found; i++)
                *ret_outdated += zl_streq(d->found[i].id.service, s->name) &&
                                 is_outdated(s, d->found[i].hash);
        for (size_t i = 0; i < d->n_replicas; i++) {
                const struct replica *r = d->replicas[i];

                if (r->service != s || zl_replica_is_triggered(r) ||
                    (r->goal != ZL_GOAL_RUN && !r->spent))
                        continue;
                n++;
                if (r->rev && is_outdated(s, r->rev->hash))
                        (*ret_outdated)++;
                else if (!zl_replica_is_available(r) && !zl_replica_is_terminal(r))
                        (*ret_unready)++;
        }
        *ret_unready += n < s->desired;
}

static bool step_service(struct service *s)
{
        int64_t now = zl_agent_now(s->d->agent);
        size_t outdated, unready;

        count(s, &outdated, &unready);
        /* Before the first replica is taken away the image of its successor is here. */
        if (outdated > 0 && !s->rev->pulled && !s->rev->pull && s->rev->pull_after <= now)
                zl_revision_pull(s->rev);
        if (outdated > 0 || unready > 0 || !s->fallback)
                return false;
        zl_revision_unref(s->fallback);
        s->fallback = NULL;
        tell_service(s, ZL_EVENT_UPDATED, NULL);
        return true;
}

bool zl_rollout_step(struct deployment *d)
{
        bool moved = false;

        if (d->phase == ZL_DEPLOYMENT_STOPPING)
                return false;
        for (size_t i = 0; i < d->services.n; i++)
                moved |= step_service(d->services.items[i]);
        return moved;
}

int64_t zl_rollout_deadline(const struct deployment *d)
{
        int64_t now = zl_agent_now(d->agent), deadline = INT64_MAX;

        for (size_t i = 0; i < d->services.n; i++) {
                const struct service *s = d->services.items[i];

                if (!s->rev->pulled && !s->rev->pull && s->rev->pull_after > now)
                        deadline = ZL_MIN(deadline, s->rev->pull_after);
        }
        for (size_t i = 0; i < d->n_replicas; i++) {
                const struct replica *r = d->replicas[i];

                if (r->running_since > 0 && zl_replica_steady_at(r) > now)
                        deadline = ZL_MIN(deadline, zl_replica_steady_at(r));
        }
        return deadline;
}
