/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry points of the core, settling, and the one timer. After every input all dirty machines take steps until nothing
 * moves; then the earliest deadline is armed. A machine that would move for ever would hang the agent, so the number of
 * rounds is bounded, and exceeding it is a bug that is told loudly.
 */
#include "agent/agent.h"

#include <stdarg.h>

#include "agent/core.h"
#include "base/log.h"
#include "spec/spec.h"

enum { MAX_ROUNDS = 1000 };

struct zl_agent *zl_agent_new(const struct zl_host *host)
{
        struct zl_agent *agent = calloc(1, sizeof(*agent));

        if (!agent)
                return NULL;
        agent->host = *host;
        agent->armed = INT64_MAX;
        return agent;
}

void zl_agent_free(struct zl_agent *agent)
{
        if (!agent)
                return;
        while (agent->deployments) {
                struct deployment *d = agent->deployments;

                agent->deployments = d->next;
                zl_deployment_free(d);
        }
        free(agent);
}

int64_t zl_agent_now(const struct zl_agent *agent)
{
        return agent->settling ? agent->now : agent->host.monotonic(agent->host.data);
}

void zl_agent_submit(struct zl_agent *agent, struct zl_op *op, void *owner,
                     void (*done)(struct zl_op *op))
{
        op->owner = owner;
        op->agent = agent;
        op->done = done;
        agent->n_ops++;
        agent->host.submit(agent->host.data, op);
}

bool zl_agent_is_idle(const struct zl_agent *agent)
{
        return agent->n_ops == 0;
}

void zl_agent_tell(struct zl_agent *agent, struct zl_event event)
{
        event.time = agent->host.wall(agent->host.data);
        agent->host.event(agent->host.data, &event);
}

void zl_agent_tellf(struct zl_agent *agent, struct zl_event event, const char *fmt, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&text, fmt, ap);
        va_end(ap);
        if (n < 0)
                text = NULL;
        event.message = text;
        zl_agent_tell(agent, event);
}

/* ---- settling ------------------------------------------------------------------------------------------- */

static int64_t deployment_deadline(const struct deployment *d)
{
        int64_t deadline = ZL_MIN(zl_waits_deadline(d), zl_rollout_deadline(d));

        deadline = ZL_MIN(deadline, zl_scaler_deadline(d));
        return ZL_MIN(deadline, zl_jobs_deadline(d));
}

static void arm(struct zl_agent *agent)
{
        int64_t deadline = INT64_MAX;

        for (struct deployment *d = agent->deployments; d; d = d->next) {
                d->deadline = deployment_deadline(d);
                deadline = ZL_MIN(deadline, d->deadline);
                for (size_t i = 0; i < d->n_replicas; i++) {
                        const struct replica *r = d->replicas[i];

                        deadline = ZL_MIN(deadline, r->deadline);
                        if (r->ready_at > 0)
                                deadline = ZL_MIN(deadline, r->ready_at);
                        if (!r->probe)
                                deadline = ZL_MIN(deadline, r->probe_at);
                }
        }
        agent->armed = deadline;
        agent->host.arm(agent->host.data, deadline);
}

void zl_agent_arm_by(struct zl_agent *agent, int64_t deadline)
{
        if (deadline >= agent->armed)
                return;
        agent->armed = deadline;
        agent->host.arm(agent->host.data, deadline);
}

static bool step_replicas(struct deployment *d)
{
        bool moved = false;

        for (size_t i = 0; i < d->n_replicas; i++) {
                struct replica *r = d->replicas[i];

                if (!r->dirty)
                        continue;
                r->dirty = false;
                moved |= zl_replica_step(r);
                moved |= zl_health_step(r);
        }
        return moved;
}

void zl_agent_settle(struct zl_agent *agent)
{
        unsigned rounds = 0;
        bool moved = true;

        if (agent->settling)
                return;
        agent->now = zl_agent_now(agent);
        agent->settling = true;
        while (moved && rounds++ < MAX_ROUNDS) {
                moved = false;
                for (struct deployment *d = agent->deployments; d; d = d->next) {
                        moved |= step_replicas(d);
                        if (d->dirty) {
                                d->dirty = false;
                                moved |= zl_deployment_step(d);
                        }
                }
        }
        if (moved)
                zl_log(ZL_LOG_ERROR, "the agent does not come to rest: please report this");
        arm(agent);
        agent->settling = false;
}

void zl_agent_on_time(struct zl_agent *agent)
{
        int64_t now = zl_agent_now(agent);

        for (struct deployment *d = agent->deployments; d; d = d->next) {
                if (d->deadline <= now)
                        d->dirty = true;
                for (size_t i = 0; i < d->n_replicas; i++) {
                        struct replica *r = d->replicas[i];

                        r->dirty |= r->probe_at <= now;
                        if (r->ready_at > 0 && r->ready_at <= now) {
                                r->ready_at = 0;
                                r->dirty = true;
                        }
                        if (r->deadline <= now) {
                                r->deadline = INT64_MAX;
                                r->dirty = true;
                        }
                }
        }
        zl_agent_settle(agent);
}

void zl_agent_on_clock(struct zl_agent *agent)
{
        for (struct deployment *d = agent->deployments; d; d = d->next)
                d->dirty = true;
        zl_agent_settle(agent);
}

void zl_agent_on_watch(struct zl_agent *agent, void *cookie)
{
        zl_replica_on_watch(cookie);
        zl_agent_settle(agent);
}

/* ---- wishes ---------------------------------------------------------------------------------------------- */

struct deployment *zl_agent_find(const struct zl_agent *agent, const char *name)
{
        for (struct deployment *d = agent->deployments; d; d = d->next)
                if (zl_streq(d->name, name))
                        return d;
        return NULL;
}

int zl_agent_up(struct zl_agent *agent, struct zl_deployment_spec *spec, enum zl_begin begin,
                struct zl_error *err)
{
        struct deployment *d;
        int r;

        if (zl_agent_find(agent, spec->deployment))
                return zl_fail(err, ZL_E_EXISTS, 0, "deployment %s is up already",
                               spec->deployment);
        r = zl_deployment_new(agent, spec->deployment, &d);
        if (r < 0)
                return zl_fail_oom(err);
        d->spec = spec;
        r = zl_services_make(d, spec, &d->services, err);
        if (r >= 0)
                r = zl_services_check_env(d, &d->services, err);
        if (r >= 0)
                r = zl_deployment_save(d, spec, ZL_CARE_NOW, err);
        if (r >= 0 && zl_jobs_sync(d) < 0)
                r = zl_fail_oom(err);
        if (r < 0) {
                d->spec = NULL; /* still the caller's */
                zl_deployment_free(d);
                return r;
        }
        for (size_t i = 0; i < d->services.n; i++)
                d->services.items[i]->rev->fresh = begin == ZL_BEGIN_ANEW;
        d->begin = begin;
        d->phase = ZL_DEPLOYMENT_STARTING;
        d->begun = zl_agent_now(agent);
        d->next = agent->deployments;
        agent->deployments = d;
        zl_agent_tell(agent, (struct zl_event){ .type = ZL_EVENT_DEPLOYMENT_UP, .name = d->name });
        zl_deployment_warn(d);
        zl_deployment_list(d);
        zl_agent_settle(agent);
        return 0;
}

static int add_unknown(struct zl_agent *agent, const char *name, struct zl_deployment_spec *spec,
                       struct deployment **ret, struct zl_error *err)
{
        _cleanup_error_ struct zl_error ignored = ZL_ERROR_INIT;
        struct deployment *d;

        if (zl_deployment_new(agent, name, &d) < 0)
                return zl_fail_oom(err);
        d->spec = spec;
        /* An old spec that we would refuse today still must not keep us from cleaning up: then without order. */
        if (spec && zl_services_make(d, spec, &d->services, &ignored) < 0)
                zl_deployment_drop_spec(d);
        /* So that its executions come to an end on record, too; what runs ends in any case. */
        if (zl_jobs_sync(d) < 0)
                zl_log(ZL_LOG_WARNING, "%s: no memory to note the end of its jobs", name);
        d->next = agent->deployments;
        agent->deployments = d;
        zl_deployment_list(d);
        *ret = d;
        return 0;
}

int zl_agent_stop(struct zl_agent *agent, const char *name, struct zl_deployment_spec *spec,
                  const struct zl_agent_stop_options *options, struct zl_error *err)
{
        struct deployment *d = zl_agent_find(agent, name);
        int r;

        if (!d) {
                r = add_unknown(agent, name, spec, &d, err);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < d->n_replicas; i++)
                zl_replica_end_again(d->replicas[i]);
        d->phase = ZL_DEPLOYMENT_STOPPING;
        d->remove = options->remove;
        d->only_new = options->only_new;
        d->dirty = true;
        for (size_t i = 0; i < d->services.n; i++) {
                const struct revision *rev = d->services.items[i]->rev;
                struct zl_op *pulls[] = { rev->pull, rev->check };

                for (size_t k = 0; k < ZL_ARRAY_SIZE(pulls); k++)
                        if (pulls[k])
                                __atomic_store_n(&pulls[k]->cancel, 1, __ATOMIC_RELAXED);
        }
        zl_agent_settle(agent);
        return 0;
}

void zl_agent_kill(struct zl_agent *agent, const char *name)
{
        struct deployment *d = zl_agent_find(agent, name);

        for (size_t i = 0; d && i < d->n_replicas; i++)
                zl_replica_kill(d->replicas[i]);
}

void zl_agent_forget(struct zl_agent *agent, const char *name)
{
        for (struct deployment **at = &agent->deployments; *at; at = &(*at)->next) {
                struct deployment *d = *at;

                if (!zl_streq(d->name, name))
                        continue;
                /* In these phases nothing of it is under way (update_phase). */
                if (d->phase == ZL_DEPLOYMENT_FINISHED || d->phase == ZL_DEPLOYMENT_STOPPED) {
                        *at = d->next;
                        zl_deployment_free(d);
                }
                return;
        }
}

enum zl_deployment_phase zl_agent_phase(const struct zl_agent *agent, const char *name)
{
        const struct deployment *d = zl_agent_find(agent, name);

        return d ? d->phase : ZL_DEPLOYMENT_UNKNOWN;
}

/* Jobs come and go; what a number is wished of are services. */
static bool has_its_number(const struct deployment *d, const struct service *s)
{
        uint32_t n = 0;

        if (s->fallback)
                return false;
        if (s->rev->spec->rtype != ZL_RTYPE_SERVICE)
                return true;
        for (size_t i = 0; i < d->n_replicas; i++) {
                const struct replica *r = d->replicas[i];

                n += r->service == s && r->goal == ZL_GOAL_RUN &&
                     (r->has_started || zl_replica_is_terminal(r));
        }
        return n == s->desired;
}

bool zl_agent_is_changing(const struct zl_agent *agent, const char *name)
{
        const struct deployment *d = zl_agent_find(agent, name);

        for (size_t i = 0; d && i < d->services.n; i++)
                if (!has_its_number(d, d->services.items[i]) || d->services.items[i]->rev->check)
                        return true;
        for (size_t i = 0; d && i < d->n_replicas; i++)
                if (d->replicas[i]->again || (d->replicas[i]->goal != ZL_GOAL_RUN &&
                                              !zl_replica_is_terminal(d->replicas[i])))
                        return true;
        return d && d->wanted != NULL;
}

bool zl_agent_has_found(const struct zl_agent *agent, const char *name)
{
        const struct deployment *d = zl_agent_find(agent, name);

        return d && d->found_all;
}

const struct zl_error *zl_agent_failure(const struct zl_agent *agent, const char *name)
{
        const struct deployment *d = zl_agent_find(agent, name);

        return d ? d->failure : NULL;
}

int zl_agent_exit_code(const struct zl_agent *agent, const char *name)
{
        const struct deployment *d = zl_agent_find(agent, name);

        return d ? d->exit_code : 0;
}
