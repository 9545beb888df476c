/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for whom. zl_reconcile() starts a service when its dependencies are met; here the waiting is told, and ended
 * when it is over time or can never come true. The time of a wait counts from when its target itself was begun, so in a chain
 * every link has its own.
 *
 * During the first start of a deployment a wait that ends badly fails the start; later it is told, and the service is
 * started all the same should the dependency come true one day.
 */
#include "agent/core.h"

static uint32_t count_replicas(const struct deployment *d, const struct service *s)
{
        uint32_t n = 0;

        for (size_t i = 0; i < d->n_replicas; i++)
                n += d->replicas[i]->service == s;
        return n;
}

static bool is_waiting(const struct deployment *d, const struct service *s)
{
        return s->n_depends > 0 && s->desired > 0 && count_replicas(d, s) < s->desired;
}

static bool is_met(const struct replica *r, enum zl_need need)
{
        if (need == ZL_NEED_COMPLETED)
                return r->completed;
        return zl_replica_is_excused(r) ||
               (need == ZL_NEED_AVAILABLE ? zl_replica_is_available(r) : r->has_started);
}

/* Is the dependency met, or can it never be? 1 met, 0 not yet, -1 never. */
static int judge_dependency(const struct deployment *d, const struct dependency *dep,
                            const struct replica **ret_culprit)
{
        const struct service *target = d->services.items[dep->target];
        uint32_t met = 0, available = 0;

        for (size_t i = 0; i < d->n_replicas; i++) {
                const struct replica *r = d->replicas[i];

                if (r->service != target || zl_replica_is_triggered(r))
                        continue;
                if (is_met(r, dep->need)) {
                        met++;
                        available += zl_replica_is_available(r);
                        if (zl_replica_is_terminal(r))
                                *ret_culprit = r;
                } else if (zl_replica_is_terminal(r)) {
                        *ret_culprit = r;
                        return -1;
                }
        }
        if (met < target->desired)
                return 0;
        return dep->need == ZL_NEED_AVAILABLE && available == 0 && target->desired > 0 ? -1 : 1;
}

static const char *const need_verbs[] = {
        [ZL_NEED_STARTED] = "start",
        [ZL_NEED_AVAILABLE] = "become healthy",
        [ZL_NEED_COMPLETED] = "complete",
};

static void dependency_failed(struct service *s, struct dependency *dep, const char *why)
{
        struct deployment *d = s->d;
        struct zl_error err = ZL_ERROR_INIT;
        char full[ZL_IDENT_NAME_MAX];
        struct zl_event event = { .type = ZL_EVENT_WARNING, .name = zl_service_full_name(s, full) };

        if (dep->on_timeout != ZL_ON_FAULT_FAIL) {
                dep->dropped = true;
                d->dirty = true;
                if (dep->on_timeout == ZL_ON_FAULT_WARN)
                        zl_agent_tellf(d->agent, event, "it is started although %s", why);
                return;
        }
        if (d->phase == ZL_DEPLOYMENT_STARTING) {
                zl_fail(&err, ZL_E_START, 0, "service %s is not started: %s", s->name, why);
                zl_deployment_fail(d, s->name, &err);
                return;
        }
        dep->given_up = true;
        event.type = ZL_EVENT_FAILED;
        zl_agent_tellf(d->agent, event, "it is not started: %s", why);
}

static void check_dependency(struct service *s, struct dependency *dep)
{
        struct deployment *d = s->d;
        const struct service *target = d->services.items[dep->target];
        const struct replica *culprit = NULL;
        int64_t now = zl_agent_now(d->agent);
        char full[ZL_IDENT_NAME_MAX], why[256];
        int met = judge_dependency(d, dep, &culprit);

        if (met > 0)
                return;
        if (dep->since == 0 && count_replicas(d, target) > 0)
                dep->since = now;
        if (met < 0 && culprit)
                snprintf(why, sizeof(why), "%s, which it depends on, ended with %d", culprit->name,
                         culprit->exit_code);
        else
                snprintf(why, sizeof(why), "%s did not %s in time", target->name,
                         need_verbs[dep->need]);
        if (met < 0 || (dep->since > 0 && now - dep->since >= dep->timeout)) {
                dependency_failed(s, dep, why);
        } else if (!s->told_waiting) {
                s->told_waiting = true;
                zl_agent_tellf(d->agent,
                               (struct zl_event){ .type = ZL_EVENT_WAITING,
                                                  .name = zl_service_full_name(s, full) },
                               "%s", target->name);
        }
}

static bool is_running(const struct deployment *d)
{
        return d->phase == ZL_DEPLOYMENT_STARTING || d->phase == ZL_DEPLOYMENT_STARTED;
}

void zl_waits_check(struct deployment *d)
{
        for (size_t i = 0; i < d->services.n; i++) {
                struct service *s = d->services.items[i];

                if (!is_waiting(d, s))
                        continue;
                for (size_t k = 0; k < s->n_depends && is_running(d); k++)
                        if (!s->depends[k].dropped && !s->depends[k].given_up)
                                check_dependency(s, &s->depends[k]);
        }
}

int64_t zl_waits_deadline(const struct deployment *d)
{
        int64_t deadline = INT64_MAX;

        for (size_t i = 0; i < d->services.n && is_running(d); i++) {
                const struct service *s = d->services.items[i];

                if (!is_waiting(d, s))
                        continue;
                for (size_t k = 0; k < s->n_depends; k++) {
                        const struct dependency *dep = &s->depends[k];

                        if (!dep->dropped && !dep->given_up && dep->since > 0 &&
                            dep->timeout < INT64_MAX - dep->since)
                                deadline = ZL_MIN(deadline, dep->since + dep->timeout);
                }
        }
        return deadline;
}
