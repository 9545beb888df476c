/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may get traffic. The runtime is told whenever the answer changes: yes once a replica runs and is well, or nobody
 * looks; no when it turns unhealthy, is paused, or is to go, and in that case before it is asked to stop, so that no new
 * connection meets a workload that is shutting down; those that are there get some time to end, unless all of the deployment goes.
 *
 * While its health is not known yet, nothing changes: a new workload is not ready by itself, and one that was taken over
 * stays what it was. A runtime that does not steer traffic is asked once per revision. One that fails to is asked again
 * after a while and holds up nothing: to stop a workload matters more than to drain it.
 */
#include "agent/core.h"

#define RETRY_PAUSE (5 * ZL_NSEC_PER_SEC)
/* Who keeps an idle connection must not hold up a rollout for longer. */
#define DRAIN_TIME (5 * ZL_NSEC_PER_SEC)

static enum zl_ready wanted(const struct replica *r)
{
        if (!r->exists || r->stale || r->sick || r->again_stop || r->goal != ZL_GOAL_RUN)
                return ZL_READY_NO;
        if (r->state != ZL_STATE_RUNNING || r->health == ZL_HEALTH_UNHEALTHY)
                return ZL_READY_NO;
        /* Nothing is known before the watch has told of the run. */
        if (r->running_since == 0 || r->health == ZL_HEALTH_STARTING)
                return r->ready;
        return ZL_READY_YES;
}

/* It is to be stopped while it works, and others go on. */
static bool is_to_drain(const struct replica *r)
{
        return (r->stale || r->again_stop || r->goal != ZL_GOAL_RUN) && !r->sick &&
               r->state == ZL_STATE_RUNNING && r->health != ZL_HEALTH_UNHEALTHY &&
               r->d->phase != ZL_DEPLOYMENT_STOPPING;
}

bool zl_ready_is_due(const struct replica *r)
{
        if (!r->exists || !zl_state_is_alive(r->state) || r->state == ZL_STATE_PENDING)
                return false;
        /* What runs once gets no traffic. */
        if (r->rev && (r->rev->no_ready || r->rev->spec->rtype != ZL_RTYPE_SERVICE))
                return false;
        return wanted(r) != r->ready && zl_agent_now(r->d->agent) >= r->ready_at;
}

void zl_ready_reset(struct replica *r)
{
        r->ready = ZL_READY_NO;
        r->ready_life++;
        r->ready_at = 0;
        r->ready_failed = false;
}

static void on_fault(struct replica *r, const struct zl_op *op)
{
        if (op->error.code == ZL_E_UNSUPPORTED) {
                r->ready = op->ready ? ZL_READY_YES : ZL_READY_NO;
                if (r->rev)
                        r->rev->no_ready = true;
                return;
        }
        r->ready = ZL_READY_UNKNOWN;
        r->ready_at = zl_agent_now(r->d->agent) + RETRY_PAUSE;
        /* It has ended meanwhile, as the watch will tell, or it was told already. */
        if (r->ready_failed || op->error.code == ZL_E_NOT_FOUND || op->error.code == ZL_E_STATE)
                return;
        r->ready_failed = true;
        zl_agent_tellf(r->d->agent, (struct zl_event){ .type = ZL_EVENT_WARNING, .name = r->name },
                       "traffic cannot be %s: %s", op->ready ? "led to it" : "led away from it",
                       zl_error_message(&op->error));
}

static void on_told(struct zl_op *op)
{
        struct replica *r = op->owner;
        struct zl_agent *agent = r->d->agent;

        agent->n_ops--;
        r->op = NULL;
        r->dirty = true;
        r->d->dirty = true;
        /* Of a life that is over nothing is left to know. */
        if (op->tag == r->ready_life && op->result < 0) {
                on_fault(r, op);
        } else if (op->tag == r->ready_life) {
                r->ready = op->ready ? ZL_READY_YES : ZL_READY_NO;
                r->ready_failed = false;
        }
        zl_op_free(op);
        zl_agent_settle(agent);
}

bool zl_ready_step(struct replica *r)
{
        struct zl_op *op;

        if (!zl_ready_is_due(r))
                return false;
        op = zl_op_new(ZL_OP_READY, r->name);
        if (!op) {
                r->ready_at = zl_agent_now(r->d->agent) + RETRY_PAUSE;
                return false;
        }
        op->ready = wanted(r) == ZL_READY_YES;
        op->drain = !op->ready && is_to_drain(r) ? DRAIN_TIME : 0;
        op->tag = r->ready_life;
        r->op = op;
        zl_agent_submit(r->d->agent, op, r, on_told);
        return true;
}
