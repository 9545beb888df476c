/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens after a workload has ended: a pure decision from a rule (taken from the spec), the history of this
 * replica and the exit itself. Nothing here waits, reads a clock or draws random numbers: both are arguments, so the
 * decision can be tested and simulated.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <zlayer/spec.h>

#include "base/clock.h"

/* The documented crash-loop limit: at most 5 restarts within 300 s. */
enum { ZL_RESTART_LIMIT = 5 };
#define ZL_RESTART_WINDOW (300 * ZL_NSEC_PER_SEC)
#define ZL_RESTART_FIRST_DELAY (100 * ZL_NSEC_PER_MSEC)
#define ZL_RESTART_MAX_DELAY (30 * ZL_NSEC_PER_SEC)
#define ZL_CRASH_LOOP_DELAY (30 * ZL_NSEC_PER_SEC)
#define ZL_CRASH_LOOP_MAX_DELAY (300 * ZL_NSEC_PER_SEC)
/* A workload that ran this long is well again: its delays begin anew. */
#define ZL_RESTART_RESET_AFTER (60 * ZL_NSEC_PER_SEC)

struct zl_restart_rule {
        enum zl_restart_kind kind;
        enum zl_panic_action panic;
        uint32_t max_attempts; /* consecutive restarts after failures; 0: no limit */
        int64_t delay;         /* first delay; 0: ZL_RESTART_FIRST_DELAY */
};

struct zl_restart_history {
        int64_t instants[ZL_RESTART_LIMIT]; /* monotonic, of the last restarts; oldest first */
        unsigned n_instants;
        uint32_t consecutive; /* restarts since it was last well */
        uint32_t loops;       /* crash-loop pauses since it was last well */
        uint32_t total;       /* restarts in its life */
};

struct zl_exit_fact {
        int exit_code;       /* -1: it could not even be started */
        bool stop_requested; /* somebody asked for the end */
        int64_t ran_nsec;
        int64_t now;     /* monotonic */
        uint64_t random; /* spreads the delay by ±20 % */
};

enum zl_verdict {
        ZL_VERDICT_COMPLETED,  /* ended well and need not run again */
        ZL_VERDICT_STOPPED,    /* somebody wanted it to end: it stays so */
        ZL_VERDICT_RESTART,    /* again after *ret_delay */
        ZL_VERDICT_CRASH_LOOP, /* again after *ret_delay, which is long */
        ZL_VERDICT_GIVE_UP,    /* failed for good: no restart wanted, or max_attempts used up */
        ZL_VERDICT_SHUTDOWN,   /* failed: stop the whole service */
        ZL_VERDICT_ISOLATE,    /* failed: leave it as it is, the others go on */
};

/* The rule of a spec. Jobs are restarted only by an explicit on_failure policy. -EINVAL if restart_policy.delay is no
 * duration. */
int zl_restart_rule_from_spec(const struct zl_service_spec *spec, struct zl_restart_rule *ret);

/* Decides and, with RESTART and CRASH_LOOP, notes the restart in `history`. */
enum zl_verdict zl_supervise(const struct zl_restart_rule *rule, struct zl_restart_history *history,
                             const struct zl_exit_fact *fact, int64_t *ret_delay);
