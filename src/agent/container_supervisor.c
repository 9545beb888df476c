/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restart policy. The delay doubles with each restart in a row (100 ms, 200 ms … 30 s); the sixth failure within
 * 300 s is a crash loop, whose pauses are 30 s, 60 s … 300 s. Both are spread by ±20 %, so that replicas which died of
 * one cause do not come back in one instant. Running well for a minute forgives everything.
 *
 * A stop that somebody asked for always wins: a workload stopped by hand stays down whatever the policy says, until the
 * next `up`, or, with `always`, the next agent (returns.c).
 */
#include "agent/container_supervisor.h"

#include "base/error.h"
#include "spec/duration.h"

int zl_restart_rule_from_spec(const struct zl_service_spec *spec, struct zl_restart_rule *ret)
{
        const struct zl_restart_policy *policy = spec->restart_policy;
        bool runs_once = spec->rtype != ZL_RTYPE_SERVICE;
        struct zl_restart_rule rule = {
                .kind = runs_once ? ZL_RESTART_NO : ZL_RESTART_ON_FAILURE,
                .panic = spec->errors.on_panic.action,
        };

        if (policy) {
                rule.kind = policy->kind;
                rule.max_attempts = policy->has_max_attempts ? policy->max_attempts : 0;
                if (policy->delay && zl_duration_parse(policy->delay, &rule.delay, NULL) < 0)
                        return -EINVAL;
        }
        /* A job that is started again after success would never end. */
        if (runs_once && rule.kind != ZL_RESTART_ON_FAILURE)
                rule.kind = ZL_RESTART_NO;
        *ret = rule;
        return 0;
}

static int64_t doubled(int64_t first, uint32_t times, int64_t max)
{
        int64_t v = first;

        while (times-- > 0 && v < max)
                v *= 2;
        return ZL_MIN(v, max);
}

/* 80 % … 120 % of `v`. */
static int64_t spread(int64_t v, uint64_t random)
{
        return v / 100 * (int64_t)(80 + random % 41);
}

static void forget_old(struct zl_restart_history *h, int64_t now)
{
        unsigned kept = 0;

        for (unsigned i = 0; i < h->n_instants; i++)
                if (now - h->instants[i] < ZL_RESTART_WINDOW)
                        h->instants[kept++] = h->instants[i];
        h->n_instants = kept;
}

static void note_restart(struct zl_restart_history *h, int64_t at)
{
        if (h->n_instants == ZL_RESTART_LIMIT) {
                memmove(h->instants, h->instants + 1,
                        sizeof(h->instants[0]) * (ZL_RESTART_LIMIT - 1));
                h->n_instants--;
        }
        h->instants[h->n_instants++] = at;
        h->consecutive++;
        h->total++;
}

static enum zl_verdict restart(const struct zl_restart_rule *rule, struct zl_restart_history *h,
                               const struct zl_exit_fact *fact, int64_t *ret_delay)
{
        int64_t now = fact->now;
        uint64_t random = fact->random;
        int64_t first = rule->delay > 0 ? rule->delay : ZL_RESTART_FIRST_DELAY;
        int64_t max = ZL_MAX(first, ZL_RESTART_MAX_DELAY);

        forget_old(h, now);
        if (h->n_instants >= ZL_RESTART_LIMIT) {
                int64_t pause = doubled(ZL_MAX(first, ZL_CRASH_LOOP_DELAY), h->loops,
                                        ZL_MAX(first, ZL_CRASH_LOOP_MAX_DELAY));

                *ret_delay = spread(pause, random);
                h->loops++;
                note_restart(h, now + *ret_delay);
                return ZL_VERDICT_CRASH_LOOP;
        }
        *ret_delay = spread(doubled(first, h->consecutive, max), random);
        note_restart(h, now + *ret_delay);
        return ZL_VERDICT_RESTART;
}

enum zl_verdict zl_supervise(const struct zl_restart_rule *rule, struct zl_restart_history *h,
                             const struct zl_exit_fact *fact, int64_t *ret_delay)
{
        *ret_delay = 0;
        if (fact->stop_requested)
                return ZL_VERDICT_STOPPED;
        if (fact->ran_nsec >= ZL_RESTART_RESET_AFTER) {
                h->consecutive = 0;
                h->loops = 0;
                h->n_instants = 0;
        }
        if (fact->exit_code == 0) {
                if (rule->kind != ZL_RESTART_ALWAYS && rule->kind != ZL_RESTART_UNLESS_STOPPED)
                        return ZL_VERDICT_COMPLETED;
                return restart(rule, h, fact, ret_delay);
        }
        if (rule->panic == ZL_PANIC_SHUTDOWN)
                return ZL_VERDICT_SHUTDOWN;
        if (rule->panic == ZL_PANIC_ISOLATE)
                return ZL_VERDICT_ISOLATE;
        if (rule->kind == ZL_RESTART_NO)
                return ZL_VERDICT_GIVE_UP;
        if (rule->max_attempts > 0 && h->consecutive >= rule->max_attempts)
                return ZL_VERDICT_GIVE_UP;
        return restart(rule, h, fact, ret_delay);
}
