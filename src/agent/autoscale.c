/* SPDX-License-Identifier: Apache-2.0 */
/* See autoscale.h. */
#include "agent/autoscale.h"

#include "base/clock.h"
#include "base/macro.h"

#define SMOOTHING 0.34
#define TOO_MUCH 1.1
#define TOO_LITTLE 0.5
#define AFTER_SHRINKING 0.75

bool zl_autoscale_is_wanted(const struct zl_scale_spec *spec)
{
        return spec->mode == ZL_SCALE_ADAPTIVE && spec->max > spec->min &&
               ((spec->targets.has_cpu && spec->targets.cpu > 0) ||
                (spec->targets.has_memory && spec->targets.memory > 0));
}

static void smooth(bool *has, double *mean, bool has_new, double value)
{
        if (!has_new)
                return;
        *mean = *has ? *mean + (value - *mean) * SMOOTHING : value;
        *has = true;
}

/* The smallest whole number that is not below. */
static uint32_t round_up(double v)
{
        uint32_t n = (uint32_t)v;

        return n + ((double)n < v);
}

/* What one figure wants: 0 if it has nothing to say. */
static uint32_t want(bool has_target, uint32_t target, bool has, double mean, uint32_t current)
{
        double ratio;

        if (!has_target || target == 0 || !has)
                return 0;
        ratio = mean / (double)target;
        if (ratio > TOO_MUCH)
                return ZL_MIN(round_up((double)current * ratio), current * 2);
        if (ratio < TOO_LITTLE)
                return ZL_MAX(round_up((double)current * ratio / AFTER_SHRINKING),
                              (current + 1) / 2);
        return current;
}

uint32_t zl_autoscale_decide(struct zl_autoscale *state, const struct zl_scale_spec *spec,
                             const struct zl_usage *usage, uint32_t current, int64_t now)
{
        const struct zl_scale_targets *t = &spec->targets;
        int64_t cooldown = spec->has_cooldown ? spec->cooldown : ZL_AUTOSCALE_COOLDOWN;
        struct zl_usage *mean = &state->mean;
        uint32_t cpu, memory, wished;

        smooth(&mean->has_cpu, &mean->cpu, usage->has_cpu, usage->cpu);
        smooth(&mean->has_memory, &mean->memory, usage->has_memory, usage->memory);
        if (state->changed && now - state->changed_at < cooldown)
                return current;
        cpu = want(t->has_cpu, t->cpu, mean->has_cpu, mean->cpu, current);
        memory = want(t->has_memory, t->memory, mean->has_memory, mean->memory, current);
        wished = ZL_MAX(cpu, memory);
        if (wished == 0)
                return current;
        wished = ZL_MAX(spec->min, ZL_MIN(wished, spec->max));
        if (wished != current) {
                state->changed = true;
                state->changed_at = now;
                /* With another number of replicas the old mean says nothing. */
                state->mean = (struct zl_usage){ 0 };
        }
        return wished;
}
