/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine of one replica: pull → create → start → running → ended → (again, after a pause) …, and at any point: stop,
 * remove. It is driven by levels, not by edges: a step looks at the goal and at what is, and submits at most one operation;
 * while one is under way it waits. So a change of mind in the middle of an operation is simply seen at the next step.
 *
 * What may go wrong: an operation fails. During the first start of a deployment that fails the start as a whole; later
 * it counts like a crash and is tried again after a pause by the same policy.
 */
#include <signal.h>

#include "agent/core.h"
#include "agent/env.h"
#include "agent/replica.h"
#include "base/strv.h"
#include "spec/spec.h"

/* How long after a stop the news of the end may take. */
#define END_NEWS_TIMEOUT ZL_NSEC_PER_SEC
static const char *const phase_names[] = {
        [ZL_PHASE_WAITING] = "waiting",     [ZL_PHASE_PULLING] = "pulling",
        [ZL_PHASE_CREATING] = "creating",   [ZL_PHASE_INITIALIZING] = "initializing",
        [ZL_PHASE_STARTING] = "starting",   [ZL_PHASE_RUNNING] = "running",
        [ZL_PHASE_BACKOFF] = "backoff",     [ZL_PHASE_STOPPING] = "stopping",
        [ZL_PHASE_REMOVING] = "removing",   [ZL_PHASE_STOPPED] = "stopped",
        [ZL_PHASE_COMPLETED] = "completed", [ZL_PHASE_FAILED] = "failed",
        [ZL_PHASE_ISOLATED] = "isolated",   [ZL_PHASE_GONE] = "gone",
};

const char *zl_replica_phase_name(enum zl_replica_phase phase)
{
        return phase_names[phase];
}

bool zl_replica_is_terminal(const struct replica *r)
{
        return r->phase >= ZL_PHASE_STOPPED;
}

bool zl_replica_is_busy(const struct replica *r)
{
        return r->op || r->probe || r->init.probe || r->init.op || r->measure.op;
}

/* ---- life of the object ------------------------------------------------------------------------------------- */

struct replica *zl_replica_new(struct deployment *d, struct service *service,
                               const char *service_name, uint32_t number)
{
        struct replica *r = calloc(1, sizeof(*r));
        struct zl_ident id = { .replica = number };

        if (!r)
                return NULL;
        r->d = d;
        r->service = service;
        r->rev = service ? zl_revision_ref(service->rev) : NULL;
        r->number = number;
        r->deadline = r->probe_at = INT64_MAX;
        r->exit_code = -1;
        r->dirty = true;
        snprintf(r->service_name, sizeof(r->service_name), "%s", service_name);
        snprintf(id.deployment, sizeof(id.deployment), "%s", d->name);
        snprintf(id.service, sizeof(id.service), "%s", service_name);
        zl_ident_name(&id, r->name);
        return r;
}

void zl_replica_close_watch(struct replica *r)
{
        struct zl_host *host = &r->d->agent->host;

        if (!r->watch)
                return;
        host->watch_remove(host->data, r->watch_token);
        zl_watch_close(r->watch);
        r->watch = NULL;
}

void zl_replica_free(struct replica *r)
{
        zl_replica_close_watch(r);
        if (r->execution)
                r->execution->replica = NULL;
        zl_revision_unref(r->rev);
        zl_revision_unref(r->making);
        free(r->reason);
        free(r);
}

/* ---- telling ---------------------------------------------------------------------------------------------------- */

struct zl_event zl_replica_event_of(const struct replica *r, enum zl_event_type type)
{
        return (struct zl_event){
                .type = type, .name = r->name, .message = r->reason, .restarts = r->history.total
        };
}

void zl_replica_tell(struct replica *r, enum zl_event_type type)
{
        struct zl_event event = zl_replica_event_of(r, type);

        event.message = NULL;
        zl_agent_tell(r->d->agent, event);
}

void zl_replica_set_reason(struct replica *r, const char *reason)
{
        /* Without memory an old reason would be a lie; none is not. */
        if (zl_replace_str(&r->reason, reason) < 0) {
                free(r->reason);
                r->reason = NULL;
        }
}

void zl_replica_save(struct replica *r)
{
        struct zl_host *host = &r->d->agent->host;
        char step[192];
        struct zl_replica_record record = {
                .name = r->name,
                .phase = phase_names[r->phase],
                .image = r->rev ? r->rev->spec->image.name : NULL,
                /* What is there goes, by our will: whoever finds it after us, ended on request, must not think that somebody wants it to
                 * stay down. No revision has this hash. */
                .hash = r->exists && (r->stale || r->goal == ZL_GOAL_REMOVE) ? ""
                        : r->rev && !r->stale                                ? r->rev->hash
                                                                             : NULL,
                .reason = r->reason,
                .health = zl_health_name(r->health),
                .restarts = r->history.total,
        };

        if (r->phase == ZL_PHASE_INITIALIZING && !r->reason)
                record.reason = zl_init_describe(r, step, sizeof(step));
        if (r->phase == ZL_PHASE_GONE)
                host->forget_replica(host->data, r->name);
        else
                host->save_replica(host->data, &record);
}

void zl_replica_set_phase(struct replica *r, enum zl_replica_phase phase)
{
        if (r->phase == phase && phase != ZL_PHASE_WAITING)
                return;
        r->phase = phase;
        r->d->dirty = true;
        zl_replica_save(r);
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

static void on_op(struct zl_op *op);

static void submit(struct replica *r, struct zl_op *op, enum zl_replica_phase phase)
{
        if (!op) {
                struct zl_error err = ZL_ERROR_INIT;

                zl_fail_oom(&err);
                zl_replica_on_fault(r, &err);
                return;
        }
        zl_replica_set_phase(r, phase);
        r->op = op;
        zl_agent_submit(r->d->agent, op, r, on_op);
}

static void submit_kind(struct replica *r, enum zl_op_kind kind, enum zl_replica_phase phase)
{
        submit(r, zl_op_new(kind, r->name), phase);
}

static void warn_env(const char *text, void *data)
{
        struct replica *r = data;
        char full[ZL_IDENT_NAME_MAX];

        if (r->rev->env_warned)
                return;
        snprintf(full, sizeof(full), "%s.%s", r->d->name, r->service_name);
        zl_agent_tellf(r->d->agent, (struct zl_event){ .type = ZL_EVENT_WARNING, .name = full },
                       "%s", text);
}

static void create(struct replica *r)
{
        struct zl_host *host = &r->d->agent->host;
        struct zl_env_source source = {
                .getenv = host->getenv,
                .warn = warn_env,
                .secret = host->secret,
                .deployment = r->d->name,
                .host_data = host->data,
                .warn_data = r,
        };
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_op *op = zl_op_new(ZL_OP_CREATE, r->name);

        if (!op) {
                submit(r, NULL, ZL_PHASE_CREATING);
                return;
        }
        op->spec = r->rev->spec;
        if (zl_replace_str(&op->pin, zl_pin_of(r->rev)) < 0)
                zl_fail_oom(&err);
        if (zl_error_is_set(&err) || zl_env_resolve(&op->spec->env, &source, &op->env, &err) < 0) {
                zl_op_free(op);
                zl_replica_on_fault(r, &err);
                return;
        }
        r->rev->env_warned = true;
        r->making = zl_revision_ref(r->rev);
        submit(r, op, ZL_PHASE_CREATING);
}

/* That it cannot be watched says nothing about how it does. */
static void watch_later(struct replica *r)
{
        r->deadline = zl_agent_now(r->d->agent) + ZL_RESTART_FIRST_DELAY;
}

static void take_watch(struct replica *r, struct zl_op *op)
{
        struct zl_host *host = &r->d->agent->host;

        r->watch = zl_take_ptr(op->watch);
        if (r->watch && host->watch_add(host->data, r->watch, r, &r->watch_token) < 0) {
                zl_watch_close(r->watch);
                r->watch = NULL;
        }
        if (r->watch)
                zl_replica_on_watch(r);
        else
                watch_later(r);
}

static void on_created(struct replica *r, struct zl_op *op)
{
        char full[ZL_IDENT_NAME_MAX];

        r->exists = true;
        /* The wish may have changed meanwhile. */
        r->stale = !r->rev || !zl_streq(r->making->hash, r->rev->hash);
        r->told_started = false;
        r->state = ZL_STATE_PENDING;
        zl_ready_reset(r);
        zl_init_reset(r);
        snprintf(full, sizeof(full), "%s.%s", r->d->name, r->service_name);
        for (char *const *w = op->warnings; w && *w && !r->making->create_warned; w++)
                zl_agent_tellf(r->d->agent,
                               (struct zl_event){ .type = ZL_EVENT_WARNING, .name = full }, "%s",
                               *w);
        r->making->create_warned = true;
        zl_replica_tell(r, ZL_EVENT_CREATED);
}

/* Somebody removed it meanwhile: as with one that was stopped by hand, that is what was wanted. */
static void on_vanished(struct replica *r)
{
        zl_replica_close_watch(r);
        r->exists = false;
        r->dirty = true;
        zl_replica_ended(r, ZL_STATE_EXITED);
        zl_replica_set_reason(r, "it was removed");
        r->again = r->again_stop = false;
        if (r->goal == ZL_GOAL_RUN && !r->stale)
                zl_replica_set_phase(r, ZL_PHASE_STOPPED);
}

/* It goes on as it was. Moves `err`. */
static void on_stop_failed(struct replica *r, struct zl_error *err)
{
        r->again = r->again_stop = false;
        zl_replica_set_reason(r, zl_error_message(err));
        zl_error_done(err);
        zl_agent_tell(r->d->agent, zl_replica_event_of(r, ZL_EVENT_FAILED));
        zl_replica_set_phase(r, ZL_PHASE_RUNNING);
}

static void on_op_failed(struct replica *r, struct zl_op *op)
{
        enum zl_code code = op->error.code;

        if (r->goal != ZL_GOAL_RUN && op->kind != ZL_OP_STOP && op->kind != ZL_OP_REMOVE)
                return; /* it was not to begin any more */
        switch (op->kind) {
        case ZL_OP_START:
                if (code == ZL_E_NOT_FOUND) {
                        on_vanished(r);
                        return;
                }
                if (r->state != ZL_STATE_PENDING &&
                    (code == ZL_E_STATE || code == ZL_E_UNSUPPORTED || code == ZL_E_EXISTS)) {
                        /* This runtime cannot start an ended workload again: make a new one. */
                        r->stale = true;
                        r->dirty = true;
                        return;
                }
                r->state = ZL_STATE_EXITED;
                if (code == ZL_E_NO_COMMAND || code == ZL_E_NOT_RUNNABLE)
                        r->exit_code = code == ZL_E_NO_COMMAND ? 127 : 126;
                break;
        case ZL_OP_WATCH:
        case ZL_OP_STOP:
                if (code == ZL_E_NOT_FOUND) {
                        on_vanished(r);
                        return;
                }
                if (op->kind == ZL_OP_STOP && !r->again)
                        break;
                if (op->kind == ZL_OP_STOP)
                        on_stop_failed(r, &op->error);
                else
                        watch_later(r);
                return;
        default:
                break;
        }
        /* What failed to begin is not wanted any more anyway: it only has to be cleared away. */
        if (r->goal != ZL_GOAL_RUN && (op->kind == ZL_OP_CREATE || op->kind == ZL_OP_START))
                return;
        zl_replica_on_fault(r, &op->error);
}

/* It was stopped, and the news of the end did not come in time. */
static void end_untold(struct replica *r)
{
        r->awaits_end = false;
        zl_replica_close_watch(r);
        zl_replica_ended(r, ZL_STATE_EXITED);
        r->dirty = true;
        if (r->again)
                zl_replica_again(r);
        else if (r->sick)
                zl_replica_judge_sick(r, 0);
}

/* The watch, if there is one, has the exit record or gets it in a moment. */
static void on_stopped(struct replica *r)
{
        if (r->watch)
                zl_replica_on_watch(r);
        if (r->watch && (r->goal != ZL_GOAL_RUN || r->stale || r->sick || r->again_stop)) {
                r->state = ZL_STATE_STOPPING;
                r->awaits_end = true;
                r->deadline = zl_agent_now(r->d->agent) + END_NEWS_TIMEOUT;
        } else if (zl_state_is_alive(r->state)) {
                end_untold(r);
        }
}

static void on_op_succeeded(struct replica *r, struct zl_op *op)
{
        switch (op->kind) {
        case ZL_OP_CREATE:
                on_created(r, op);
                break;
        case ZL_OP_START:
        case ZL_OP_WATCH:
                if (op->kind == ZL_OP_START) {
                        r->state = ZL_STATE_RUNNING;
                        r->again = false;
                }
                r->told_started &= op->kind == ZL_OP_WATCH;
                take_watch(r, op);
                break;
        case ZL_OP_STOP:
                on_stopped(r);
                break;
        case ZL_OP_REMOVE:
                zl_replica_close_watch(r);
                r->exists = false;
                r->stale = r->sick = false;
                r->told_started = false;
                zl_replica_ended(r, ZL_STATE_EXITED);
                if (r->goal == ZL_GOAL_REMOVE)
                        zl_replica_tell(r, ZL_EVENT_REMOVED);
                break;
        default:
                break;
        }
}

static void on_op(struct zl_op *op)
{
        struct replica *r = op->owner;
        struct zl_agent *agent = r->d->agent;

        agent->n_ops--;
        r->op = NULL;
        r->dirty = true;
        r->d->dirty = true;
        if (op->result < 0)
                on_op_failed(r, op);
        else
                on_op_succeeded(r, op);
        zl_op_free(op);
        zl_revision_unref(zl_take_ptr(r->making));
        zl_agent_settle(agent);
}

void zl_replica_pull_failed(struct replica *r, const struct zl_error *err)
{
        struct zl_error copy = ZL_ERROR_INIT;

        if (r->goal != ZL_GOAL_RUN)
                return;
        zl_fail(&copy, err->code, 0, "%s", zl_error_message(err));
        if (err->hint)
                zl_error_hint(&copy, "%s", err->hint);
        copy.sys_errno = err->sys_errno;
        zl_replica_on_fault(r, &copy);
}

/* ---- watching ------------------------------------------------------------------------------------------------------ */

void zl_replica_adopt(struct replica *r, const struct zl_status *status, uint32_t restarts)
{
        r->adopted = true;
        r->has_started = true;
        r->history.total = restarts;
        if (status->state == ZL_STATE_EXITED) {
                zl_replica_on_end(r, status);
                return;
        }
        zl_replica_set_phase(r, ZL_PHASE_RUNNING);
}

void zl_replica_rest(struct replica *r)
{
        r->adopted = r->has_started = r->told_started = true;
        r->phase = ZL_PHASE_COMPLETED;
}

static void on_status(struct replica *r, const struct zl_status *status)
{
        enum zl_workload_state before = r->state;
        struct zl_event event;

        if (status->state == ZL_STATE_EXITED || status->state == ZL_STATE_FAILED) {
                if (!r->told_started && status->started_at > 0 && !r->adopted)
                        zl_replica_tell(r, ZL_EVENT_STARTED);
                r->has_started |= status->started_at > 0;
                r->told_started = true;
                zl_replica_on_end(r, status);
                return;
        }
        r->state = status->state;
        if (status->state != ZL_STATE_RUNNING && status->state != ZL_STATE_PAUSED)
                return;
        r->has_started |= !r->stale;
        if (r->running_since == 0) {
                r->running_since = zl_agent_now(r->d->agent);
                if (r->rev && r->goal == ZL_GOAL_RUN && !r->stale)
                        zl_health_begin(r);
        }
        if (r->goal == ZL_GOAL_RUN && !r->stale)
                zl_replica_set_phase(r, ZL_PHASE_RUNNING);
        if (!r->told_started) {
                event = zl_replica_event_of(r, r->adopted ? ZL_EVENT_ADOPTED : ZL_EVENT_STARTED);
                event.message = NULL;
                event.pid = status->pid;
                zl_agent_tell(r->d->agent, event);
                r->told_started = true;
                r->adopted = false;
        }
        if (status->state == ZL_STATE_PAUSED && before != ZL_STATE_PAUSED)
                zl_replica_tell(r, ZL_EVENT_PAUSED);
        else if (status->state == ZL_STATE_RUNNING && before == ZL_STATE_PAUSED)
                zl_replica_tell(r, ZL_EVENT_RESUMED);
}

void zl_replica_on_watch(struct replica *r)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        int e = 1;

        r->dirty = true;
        r->d->dirty = true;
        while (r->watch && e > 0) {
                struct zl_status status = { 0 };

                e = zl_watch_next(r->watch, &status, &err);
                if (e > 0) {
                        on_status(r, &status);
                        zl_status_done(&status);
                }
        }
        /* Broken before the end was told: a new watch begins with the present state. */
        if (r->watch && e < 0) {
                zl_replica_close_watch(r);
                if (!zl_state_is_alive(r->state) || r->op)
                        return;
                r->deadline = zl_agent_now(r->d->agent) + ZL_RESTART_FIRST_DELAY;
        }
}

/* ---- the step -------------------------------------------------------------------------------------------------------- */

void zl_replica_end_again(struct replica *r)
{
        if (!r->end_failed)
                return;
        r->end_failed = false;
        r->end_tries = 0;
        r->dirty = true;
}

void zl_replica_set_goal(struct replica *r, enum zl_replica_goal goal)
{
        if (r->goal == goal)
                return;
        r->goal = goal;
        r->again = r->again_stop = false;
        r->deadline = INT64_MAX;
        zl_init_cancel(r);
        r->dirty = true;
        r->d->dirty = true;
}

void zl_replica_rebase(struct replica *r, struct revision *rev)
{
        if (r->rev == rev)
                return;
        zl_revision_ref(rev);
        zl_revision_unref(r->rev);
        r->rev = rev;
        r->dirty = true;
        if (r->running_since > 0 && r->goal == ZL_GOAL_RUN && !r->stale)
                zl_health_begin(r);
}

void zl_replica_renew(struct replica *r)
{
        /* First: what is there is not of that revision, and must not be put down as such. */
        r->stale = r->exists;
        zl_replica_rebase(r, r->service->rev);
        r->sick = r->again = r->again_stop = false;
        zl_health_end(r);
        zl_init_cancel(r);
        r->ours = true;
        r->has_started = r->completed = false;
        r->rollout_faults = 0;
        r->history = (struct zl_restart_history){ 0 };
        r->deadline = INT64_MAX;
        r->goal = ZL_GOAL_RUN;
        r->d->dirty = true;
        zl_replica_set_reason(r, NULL);
        zl_replica_set_phase(r, ZL_PHASE_WAITING);
}

bool zl_replica_is_excused(const struct replica *r)
{
        return r->phase == ZL_PHASE_STOPPED || r->phase == ZL_PHASE_COMPLETED || r->spent;
}

bool zl_replica_is_current(const struct replica *r)
{
        return r->service && r->rev && zl_streq(r->rev->hash, r->service->rev->hash);
}

bool zl_replica_is_available(const struct replica *r)
{
        if (!r->exists || r->stale || r->running_since == 0 || r->goal != ZL_GOAL_RUN ||
            (r->state != ZL_STATE_RUNNING && r->state != ZL_STATE_PAUSED))
                return false;
        if (r->health == ZL_HEALTH_STARTING || r->health == ZL_HEALTH_UNHEALTHY)
                return false;
        return !zl_ready_is_due(r) && zl_agent_now(r->d->agent) >= zl_replica_steady_at(r);
}

int64_t zl_replica_steady_at(const struct replica *r)
{
        if (!r->service || !r->service->fallback || !zl_replica_is_current(r) ||
            r->health != ZL_HEALTH_NONE)
                return r->running_since;
        return r->running_since + ZL_ROLLOUT_MONITOR;
}

static bool stop_it(struct replica *r)
{
        struct zl_op *op;

        /* Created but never started: nothing to be asked to end. */
        if (r->state == ZL_STATE_PENDING)
                submit_kind(r, ZL_OP_REMOVE, ZL_PHASE_REMOVING);
        else {
                if (r->phase != ZL_PHASE_STOPPING)
                        zl_replica_tell(r, ZL_EVENT_STOPPING);
                op = zl_op_new(ZL_OP_STOP, r->name);
                if (op && r->again_stop)
                        op->grace = r->again_grace;
                submit(r, op, ZL_PHASE_STOPPING);
        }
        return true;
}

static bool step_end(struct replica *r)
{
        if (r->phase == ZL_PHASE_GONE || r->end_failed || r->deadline != INT64_MAX)
                return false;
        if (r->awaits_end)
                end_untold(r);
        if (r->exists && zl_state_is_alive(r->state))
                return stop_it(r);
        if (r->goal == ZL_GOAL_REMOVE && r->exists) {
                submit_kind(r, ZL_OP_REMOVE, ZL_PHASE_REMOVING);
                return true;
        }
        if (r->goal == ZL_GOAL_REMOVE)
                zl_replica_set_phase(r, ZL_PHASE_GONE);
        else if (!zl_replica_is_terminal(r))
                zl_replica_set_phase(r, ZL_PHASE_STOPPED);
        return false;
}

static bool step_run(struct replica *r)
{
        if (r->deadline != INT64_MAX || zl_replica_is_terminal(r))
                return false;
        if (r->awaits_end) {
                end_untold(r);
                return true;
        }
        if ((r->sick || r->again_stop) && r->exists && zl_state_is_alive(r->state))
                return stop_it(r);
        if (r->exists && r->stale) {
                if (zl_state_is_alive(r->state))
                        return stop_it(r);
                submit_kind(r, ZL_OP_REMOVE, ZL_PHASE_REMOVING);
                return true;
        }
        if (!r->exists) {
                if (!r->rev->pulled) {
                        zl_replica_set_phase(r, ZL_PHASE_PULLING);
                        zl_revision_pull(r->rev);
                } else {
                        create(r);
                }
                return true;
        }
        if (r->state == ZL_STATE_PENDING && !zl_init_is_done(r)) {
                zl_replica_set_phase(r, ZL_PHASE_INITIALIZING);
                return zl_init_step(r);
        }
        if (r->state == ZL_STATE_PENDING || !zl_state_is_alive(r->state)) {
                submit_kind(r, ZL_OP_START, ZL_PHASE_STARTING);
                return true;
        }
        if (!r->watch) {
                submit_kind(r, ZL_OP_WATCH, r->phase);
                return true;
        }
        return false;
}

bool zl_replica_step(struct replica *r)
{
        if (r->op)
                return false;
        if (zl_ready_step(r))
                return true;
        return r->goal == ZL_GOAL_RUN ? step_run(r) : step_end(r);
}

static void on_kill(struct zl_op *op)
{
        struct replica *r = op->owner;
        struct zl_agent *agent = r->d->agent;

        agent->n_ops--;
        r->d->n_kills--;
        r->d->dirty = true;
        zl_op_free(op);
        zl_agent_settle(agent);
}

void zl_replica_kill(struct replica *r)
{
        struct zl_op *op;

        if (!r->exists || !zl_state_is_alive(r->state) || r->state == ZL_STATE_PENDING)
                return;
        op = zl_op_new(ZL_OP_KILL, r->name);
        if (!op)
                return;
        op->sig = SIGKILL;
        r->d->n_kills++;
        zl_agent_submit(r->d->agent, op, r, on_kill);
}
