/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a replica whose workload has ended, or whose operation has failed: the policy of its service is asked, and what it
 * says is told. What fails in the first start of a deployment fails that; later it counts like a crash.
 */
#include "agent/core.h"
#include "agent/replica.h"
#include "base/strv.h"
#include "spec/spec.h"

/* How often a stop or a removal is tried while a deployment ends. */
enum { END_TRIES = 3 };

static bool is_first_start(const struct replica *r)
{
        bool starting = r->d->phase == ZL_DEPLOYMENT_STARTING ||
                        r->d->phase == ZL_DEPLOYMENT_FAILED;

        return starting && !r->has_started && r->ours && !zl_replica_is_triggered(r);
}

static void shut_down_service(struct replica *r)
{
        struct deployment *d = r->d;

        for (size_t i = 0; i < d->n_replicas; i++)
                if (d->replicas[i]->service == r->service && d->replicas[i] != r &&
                    d->replicas[i]->goal == ZL_GOAL_RUN)
                        zl_replica_set_goal(d->replicas[i], ZL_GOAL_STOP);
}

static void give_up(struct replica *r, enum zl_replica_phase phase, enum zl_event_type type)
{
        struct deployment *d = r->d;

        if (r->rev && r->rev->spec->rtype == ZL_RTYPE_JOB && d->exit_code == 0 &&
            !zl_replica_is_triggered(r))
                d->exit_code = r->exit_code > 0 ? r->exit_code : 1;
        zl_replica_set_phase(r, phase);
        zl_agent_tell(d->agent, zl_replica_event_of(r, type));
}

/* The workload ended, or an attempt to start it failed (`exit_code` -1 … then). What now? */
static void judge(struct replica *r, struct zl_exit_fact fact)
{
        struct zl_agent *agent = r->d->agent;
        int64_t now = zl_agent_now(agent), delay = 0;
        enum zl_verdict verdict;
        struct zl_event event;

        fact.now = now;
        fact.random = agent->host.random(agent->host.data);
        verdict = zl_supervise(&r->rev->rule, &r->history, &fact, &delay);
        if (fact.exit_code != 0 && !fact.stop_requested && !zl_replica_is_triggered(r) &&
            zl_rollout_fault(r, r->reason, verdict != ZL_VERDICT_RESTART)) {
                zl_replica_set_phase(r, ZL_PHASE_FAILED);
                return;
        }
        switch (verdict) {
        case ZL_VERDICT_COMPLETED:
                r->completed = true;
                zl_replica_set_phase(r, ZL_PHASE_COMPLETED);
                zl_replica_tell(r, ZL_EVENT_COMPLETED);
                break;
        case ZL_VERDICT_STOPPED:
                zl_replica_set_phase(r, ZL_PHASE_STOPPED);
                break;
        case ZL_VERDICT_RESTART:
        case ZL_VERDICT_CRASH_LOOP:
                r->deadline = now + delay;
                zl_replica_set_phase(r, ZL_PHASE_BACKOFF);
                event = zl_replica_event_of(r, verdict == ZL_VERDICT_RESTART ? ZL_EVENT_RESTARTING
                                                                             : ZL_EVENT_CRASH_LOOP);
                event.delay_nsec = delay;
                zl_agent_tell(agent, event);
                break;
        case ZL_VERDICT_GIVE_UP:
                give_up(r, ZL_PHASE_FAILED, ZL_EVENT_FAILED);
                break;
        case ZL_VERDICT_SHUTDOWN:
                give_up(r, ZL_PHASE_FAILED, ZL_EVENT_SHUTDOWN);
                shut_down_service(r);
                break;
        case ZL_VERDICT_ISOLATE:
                give_up(r, ZL_PHASE_ISOLATED, ZL_EVENT_ISOLATED);
                break;
        }
}

static void tell_exit(struct replica *r, const struct zl_status *status)
{
        struct zl_event event = zl_replica_event_of(r, ZL_EVENT_EXITED);

        event.message = status->reason;
        event.has_exit = true;
        event.exit_code = status->exit_code;
        event.signal = status->signal;
        event.oom = status->oom;
        event.stop_requested = status->stop_requested;
        zl_agent_tell(r->d->agent, event);
}

void zl_replica_ended(struct replica *r, enum zl_workload_state state)
{
        r->state = state;
        r->running_since = 0;
        zl_ready_reset(r);
        zl_health_end(r);
}

void zl_replica_judge_sick(struct replica *r, int64_t ran_nsec)
{
        struct zl_exit_fact fact = { .exit_code = -1, .ran_nsec = r->was_well ? ran_nsec : 0 };

        r->sick = false;
        if (r->goal == ZL_GOAL_RUN && r->service && !r->stale)
                judge(r, fact);
}

void zl_replica_unhealthy(struct replica *r, const char *why)
{
        const struct zl_restart_rule *rule = &r->rev->rule;
        _cleanup_free_ char *reason = NULL;

        if (asprintf(&reason, "unhealthy: %s", why) < 0)
                reason = NULL;
        zl_replica_set_reason(r, reason);
        zl_replica_save(r);
        if (zl_rollout_fault(r, reason, true))
                return;
        if (rule->panic == ZL_PANIC_ISOLATE)
                zl_agent_tell(r->d->agent, zl_replica_event_of(r, ZL_EVENT_ISOLATED));
        else if (rule->kind != ZL_RESTART_NO || rule->panic == ZL_PANIC_SHUTDOWN)
                r->sick = true;
}

void zl_replica_again(struct replica *r)
{
        r->again = true;
        r->again_stop = false;
        r->completed = false;
        r->deadline = INT64_MAX;
        r->dirty = r->d->dirty = true;
        zl_replica_set_reason(r, NULL);
        zl_replica_set_phase(r, ZL_PHASE_WAITING);
}

void zl_replica_on_end(struct replica *r, const struct zl_status *status)
{
        struct zl_exit_fact fact = {
                .exit_code = status->state == ZL_STATE_FAILED ? -1 : status->exit_code,
                .stop_requested = status->stop_requested,
        };

        zl_replica_close_watch(r);
        if (r->awaits_end) {
                r->awaits_end = false;
                r->deadline = INT64_MAX;
        }
        zl_replica_ended(r, status->state);
        r->adopted = false;
        r->exit_code = status->exit_code;
        if (status->started_at > 0 && status->finished_at > status->started_at)
                fact.ran_nsec = status->finished_at - status->started_at;
        if (!r->sick)
                zl_replica_set_reason(r, status->reason);
        tell_exit(r, status);
        r->dirty = true;
        r->d->dirty = true;
        if (r->again)
                zl_replica_again(r);
        else if (r->sick)
                zl_replica_judge_sick(r, fact.ran_nsec);
        else if (r->goal == ZL_GOAL_RUN && r->service && !r->stale)
                judge(r, fact);
        if (zl_replica_is_terminal(r) && r->rev && r->rev->spec->lifecycle.delete_on_exit) {
                r->spent = true;
                zl_replica_set_goal(r, ZL_GOAL_REMOVE);
        }
}

/* It could not be stopped or removed. That is tried again; in the end of a deployment only a few times, then it is left for
 * the next try of a human. Moves `err`. */
static void on_end_fault(struct replica *r, struct zl_error *err)
{
        int64_t delay = ZL_RESTART_FIRST_DELAY;

        for (unsigned i = 0; i < r->end_tries && delay < ZL_RESTART_MAX_DELAY; i++)
                delay *= 2;
        zl_agent_tell(r->d->agent, zl_replica_event_of(r, ZL_EVENT_FAILED));
        if (r->d->phase == ZL_DEPLOYMENT_STOPPING && ++r->end_tries >= END_TRIES) {
                r->end_failed = true;
                zl_replica_set_phase(r, ZL_PHASE_FAILED);
                zl_deployment_fail(r->d, r->name, err);
                return;
        }
        zl_error_done(err);
        r->deadline = zl_agent_now(r->d->agent) + delay;
}

void zl_replica_on_fault(struct replica *r, struct zl_error *err)
{
        struct zl_exit_fact fact = { .exit_code = r->exit_code > 0 ? r->exit_code : -1 };

        if (!zl_startswith(zl_error_message(err), r->name))
                zl_error_prefix(err, "%s", r->name);
        zl_replica_set_reason(r, zl_error_message(err));
        r->dirty = true;
        r->again = false;
        if (r->goal != ZL_GOAL_RUN || !r->service) {
                on_end_fault(r, err);
                return;
        }
        if (is_first_start(r)) {
                give_up(r, ZL_PHASE_FAILED, ZL_EVENT_FAILED);
                zl_deployment_fail(r->d, r->name, err);
                return;
        }
        zl_error_done(err);
        if (r->stale) {
                /* What it was cannot be taken away, so nothing new is made: no affair of any policy. */
                r->deadline = zl_agent_now(r->d->agent) + ZL_RESTART_MAX_DELAY;
                zl_agent_tell(r->d->agent, zl_replica_event_of(r, ZL_EVENT_FAILED));
                return;
        }
        judge(r, fact);
}

void zl_replica_init_failed(struct replica *r, struct zl_error *err)
{
        zl_error_prefix(err, "%s", r->name);
        zl_replica_set_reason(r, zl_error_message(err));
        if (zl_rollout_fault(r, r->reason, true)) {
                zl_error_done(err);
                zl_replica_set_phase(r, ZL_PHASE_FAILED);
                return;
        }
        give_up(r, ZL_PHASE_FAILED, ZL_EVENT_FAILED);
        if (is_first_start(r))
                zl_deployment_fail(r->d, r->name, err);
        else
                zl_error_done(err);
}
