/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy `always` beyond restarts. What somebody has stopped by hand stays down, whatever its policy, as long as this agent lives;
 * when an agent is started, what has the policy `always` is started again, as with Docker. That it was stopped is known from the
 * runtime's record of its end, so it does not matter whether an agent lived then, nor how it died.
 *
 * If nothing of a deployment runs any more it comes to rest, and no agent would take it up. So it is noted that the next one
 * shall (ZL_CARE_NEXT_START), and then that alone is started which comes back: a job is not run once more, what has failed is not
 * tried again, and what was removed is not made anew. A deployment that was stopped as a whole is not noted: that is a wish, and stays.
 *
 * What may go wrong: on_panic: shutdown ends replicas by a stop, too. They must not come back without the one that failed, which
 * the store, or its record, tells.
 */
#include "agent/core.h"
#include "base/strv.h"
#include "spec/spec.h"

/* A replica has failed, and took the others with it. */
static bool was_shut_down(const struct deployment *d, const struct service *s)
{
        if (s->rev->rule.panic != ZL_PANIC_SHUTDOWN)
                return false;
        for (size_t i = 0; i < d->n_found; i++) {
                const struct found *f = &d->found[i];
                const struct zl_status *status = &f->status;

                if (zl_streq(f->id.service, s->name) &&
                    (f->failed || (status->state == ZL_STATE_EXITED && !status->stop_requested &&
                                   status->exit_code != 0)))
                        return true;
        }
        return false;
}

bool zl_found_returns(const struct deployment *d, const struct found *found)
{
        const struct service *s = zl_services_find(&d->services, found->id.service);

        return (d->begin == ZL_BEGIN_RETURN || d->begin == ZL_BEGIN_REVIVE) && s &&
               s->rev->rule.kind == ZL_RESTART_ALWAYS && found->status.state == ZL_STATE_EXITED &&
               found->status.stop_requested && !was_shut_down(d, s);
}

bool zl_deployment_returns(const struct deployment *d)
{
        for (size_t i = 0; i < d->n_replicas; i++) {
                const struct replica *r = d->replicas[i];

                if (r->service && r->exists && r->goal == ZL_GOAL_RUN &&
                    r->phase == ZL_PHASE_STOPPED && r->rev->rule.kind == ZL_RESTART_ALWAYS)
                        return true;
        }
        return false;
}

/* ---- what stays at rest --------------------------------------------------------------------------------------- */

static bool is_job(const struct service *s)
{
        return s->rev->spec->rtype != ZL_RTYPE_SERVICE;
}

static void rest_found(struct replica *r, const struct zl_status *status)
{
        struct deployment *d = r->d;

        zl_replica_rest(r);
        (void)zl_replace_str(&r->reason, status->reason);
        r->exit_code = status->exit_code;
        r->completed = status->state == ZL_STATE_EXITED && status->exit_code == 0;
        if (status->stop_requested)
                r->phase = ZL_PHASE_STOPPED;
        else if (!r->completed)
                r->phase = ZL_PHASE_FAILED;
        if (!r->completed && is_job(r->service) && d->exit_code == 0)
                d->exit_code = r->exit_code > 0 ? r->exit_code : 1;
}

static int rest_all_found(struct deployment *d)
{
        for (size_t i = 0; i < d->n_found; i++) {
                struct found *found = &d->found[i];
                struct service *s = zl_services_find(&d->services, found->id.service);
                enum zl_workload_state state = found->status.state;
                struct replica *r;

                /* Somebody has started it without an agent: it is taken over. */
                if (!s || zl_found_returns(d, found) ||
                    (zl_state_is_alive(state) && state != ZL_STATE_PENDING))
                        continue;
                r = zl_deployment_manage(d, s, found);
                if (!r)
                        return -ENOMEM;
                rest_found(r, &found->status);
        }
        return 0;
}

static int rest_missing(struct deployment *d, struct service *s, uint32_t number)
{
        struct replica *r = zl_deployment_add_replica(d, s, s->name, number);
        struct zl_ident id;
        bool well = false;

        if (!r)
                return -ENOMEM;
        zl_replica_rest(r);
        r->phase = ZL_PHASE_STOPPED;
        (void)zl_replace_str(&r->reason, "it was removed");
        if (is_job(s) && zl_ident_parse(r->name, &id) >= 0 && zl_jobs_knows_end(d, &id, &well)) {
                r->completed = well;
                r->phase = well ? ZL_PHASE_COMPLETED : ZL_PHASE_FAILED;
        }
        return 0;
}

static int rest_all_missing(struct deployment *d, struct service *s)
{
        bool *there = calloc((size_t)s->desired + 1, sizeof(*there));
        uint32_t n_missing = s->desired;
        int e = 0;

        if (!there)
                return -ENOMEM;
        for (size_t i = 0; i < d->n_found; i++) {
                const struct zl_ident *id = &d->found[i].id;

                if (!zl_streq(id->service, s->name))
                        continue;
                n_missing -= n_missing > 0;
                if (id->replica <= s->desired)
                        there[id->replica] = true;
        }
        for (uint32_t number = 1; e == 0 && n_missing > 0 && number <= s->desired; number++)
                if (!there[number]) {
                        e = rest_missing(d, s, number);
                        n_missing--;
                }
        free(there);
        return e;
}

int zl_deployment_revive(struct deployment *d)
{
        int e = rest_all_found(d);

        for (size_t i = 0; e == 0 && i < d->services.n; i++)
                e = rest_all_missing(d, d->services.items[i]);
        zl_deployment_forget_taken(d);
        return e;
}
