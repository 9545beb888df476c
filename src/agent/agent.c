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

        if (agent)
                agent->host = *host;
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
        return agent->host.monotonic(agent->host.data);
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

static void arm(struct zl_agent *agent)
{
        int64_t deadline = INT64_MAX;

        for (struct deployment *d = agent->deployments; d; d = d->next) {
                deadline = ZL_MIN(deadline, zl_deployment_deadline(d));
                for (size_t i = 0; i < d->n_replicas; i++)
                        deadline = ZL_MIN(deadline, d->replicas[i]->deadline);
        }
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
        }
        return moved;
}

void zl_agent_settle(struct zl_agent *agent)
{
        unsigned rounds = 0;
        bool moved = true;

        if (agent->settling)
                return;
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
        agent->settling = false;
        arm(agent);
}

void zl_agent_on_time(struct zl_agent *agent)
{
        int64_t now = zl_agent_now(agent);

        for (struct deployment *d = agent->deployments; d; d = d->next) {
                if (zl_deployment_deadline(d) <= now)
                        d->dirty = true;
                for (size_t i = 0; i < d->n_replicas; i++)
                        if (d->replicas[i]->deadline <= now) {
                                d->replicas[i]->deadline = INT64_MAX;
                                d->replicas[i]->dirty = true;
                        }
        }
        zl_agent_settle(agent);
}

void zl_agent_on_watch(struct zl_agent *agent, void *cookie)
{
        zl_replica_on_watch(cookie);
        zl_agent_settle(agent);
}

/* ---- wishes ---------------------------------------------------------------------------------------------- */

static struct deployment *find(const struct zl_agent *agent, const char *name)
{
        for (struct deployment *d = agent->deployments; d; d = d->next)
                if (zl_streq(d->name, name))
                        return d;
        return NULL;
}

static int save(struct deployment *d, bool active, struct zl_error *err)
{
        struct zl_agent *agent = d->agent;
        _cleanup_free_ char *text = NULL;

        if (d->spec) {
                text = zl_spec_dump_json(d->spec);
                if (!text)
                        return zl_fail_oom(err);
        }
        return agent->host.save_deployment(agent->host.data, d->name, text, active, err);
}

int zl_agent_up(struct zl_agent *agent, struct zl_deployment_spec *spec, bool recovering,
                struct zl_error *err)
{
        struct deployment *d;
        int r;

        if (find(agent, spec->deployment))
                return zl_fail(err, ZL_E_EXISTS, 0, "deployment %s is up already",
                               spec->deployment);
        r = zl_deployment_new(agent, spec->deployment, &d);
        if (r < 0)
                return zl_fail_oom(err);
        d->spec = spec;
        r = zl_deployment_prepare(d, err);
        if (r >= 0)
                r = zl_deployment_check_env(d, err);
        if (r >= 0)
                r = save(d, true, err);
        if (r < 0) {
                d->spec = NULL; /* still the caller's */
                zl_deployment_free(d);
                return r;
        }
        d->recovering = recovering;
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
        if (spec && zl_deployment_prepare(d, &ignored) < 0)
                zl_deployment_drop_spec(d);
        d->next = agent->deployments;
        agent->deployments = d;
        zl_deployment_list(d);
        *ret = d;
        return 0;
}

int zl_agent_stop(struct zl_agent *agent, const char *name, struct zl_deployment_spec *spec,
                  const struct zl_agent_stop_options *options, struct zl_error *err)
{
        struct deployment *d = find(agent, name);
        int r;

        if (!d) {
                r = add_unknown(agent, name, spec, &d, err);
                if (r < 0)
                        return r;
        }
        d->phase = ZL_DEPLOYMENT_STOPPING;
        d->remove = options->remove;
        d->only_new = options->only_new;
        d->dirty = true;
        for (size_t i = 0; i < d->n_services; i++)
                if (d->services[i].pull)
                        __atomic_store_n(&d->services[i].pull->cancel, 1, __ATOMIC_RELAXED);
        zl_agent_settle(agent);
        return 0;
}

void zl_agent_kill(struct zl_agent *agent, const char *name)
{
        struct deployment *d = find(agent, name);

        for (size_t i = 0; d && i < d->n_replicas; i++)
                zl_replica_kill(d->replicas[i]);
}

enum zl_deployment_phase zl_agent_phase(const struct zl_agent *agent, const char *name)
{
        const struct deployment *d = find(agent, name);

        return d ? d->phase : ZL_DEPLOYMENT_UNKNOWN;
}

const struct zl_error *zl_agent_failure(const struct zl_agent *agent, const char *name)
{
        const struct deployment *d = find(agent, name);

        return d ? d->failure : NULL;
}

int zl_agent_exit_code(const struct zl_agent *agent, const char *name)
{
        const struct deployment *d = find(agent, name);

        return d ? d->exit_code : 0;
}
