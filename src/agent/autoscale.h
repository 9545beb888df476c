/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many replicas an adaptive service should have: a pure decision from its targets and what its replicas use.
 *
 * Use is smoothed (a third of each new figure), and put in relation to the target: 1 is on target. Above 1.1 as many replicas are
 * wished as would bring it back to the target, at most twice as many as there are; below 0.5 as many as would bring it to 0.75 of
 * it, at least half as many. In between nothing happens, and for a cooldown after each change neither. With several targets the
 * one that wants most replicas decides. Without targets nothing ever happens.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <zlayer/spec.h>

#define ZL_AUTOSCALE_INTERVAL (10 * ZL_NSEC_PER_SEC)
#define ZL_AUTOSCALE_COOLDOWN (30 * ZL_NSEC_PER_SEC) /* if the spec has none */

/* The mean over the replicas, in percent: of the processor limit (of one processor without a limit), of the memory limit. */
struct zl_usage {
        bool has_cpu, has_memory; /* false: unknown now */
        double cpu, memory;
};

struct zl_autoscale {
        struct zl_usage mean;
        bool changed;
        int64_t changed_at; /* monotonic; of the last change, if there was one */
};

/* Can this service ever be scaled by itself? */
bool zl_autoscale_is_wanted(const struct zl_scale_spec *spec);
/* Takes in `usage` and returns how many there should be: `current` for "no change". Notes a change in `state`. */
uint32_t zl_autoscale_decide(struct zl_autoscale *state, const struct zl_scale_spec *spec,
                             const struct zl_usage *usage, uint32_t current, int64_t now);
