/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs as data: what a service of rtype job or cron wishes beyond the spec's own fields, and the record of one execution.
 * The executor (job.c) and the calendar (cron_scheduler.c) work with these.
 *
 * The spec has no fields for these wishes, so they are labels:
 *
 *     zlayer.job.timeout      longest run of one execution, all its retries together      default: none
 *     zlayer.job.concurrency  executions at the same time; more wait in a queue            1 (cron with overlap allow: 10)
 *     zlayer.job.queue        executions that may wait                                     100
 *     zlayer.job.history      ended executions whose containers and logs are kept          10
 *     zlayer.cron.timezone    by whose clocks the schedule goes                            UTC
 *     zlayer.cron.overlap     it is time and the last one still runs: allow forbid replace forbid
 *     zlayer.cron.missed      times that passed while no agent was there: none latest all  latest
 *
 * Retries are the spec's restart_policy (on_failure, max_attempts, delay).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <zlayer/spec.h>

#include "base/error.h"
#include "base/timezone.h"
#include "spec/cron.h"

/* ---- wishes ------------------------------------------------------------------------------------------------ */

enum zl_overlap { ZL_OVERLAP_ALLOW, ZL_OVERLAP_FORBID, ZL_OVERLAP_REPLACE };
enum zl_missed { ZL_MISSED_NONE, ZL_MISSED_LATEST, ZL_MISSED_ALL };

enum {
        ZL_JOB_QUEUE_DEFAULT = 100,
        ZL_JOB_HISTORY_DEFAULT = 10,
        ZL_JOB_LIMIT_MAX = 1000, /* of concurrency, queue and history */
        ZL_CRON_CATCH_UP_MAX = 10,
        ZL_CRON_CONCURRENCY = 10, /* of a schedule whose executions may overlap */
};

struct zl_job_settings {
        bool is_cron;
        int64_t timeout; /* 0: none */
        uint32_t concurrency, queue, history;
        enum zl_overlap overlap;
        enum zl_missed missed;
        struct zl_cron cron;
        struct zl_timezone *zone; /* owned; NULL: UTC */
};

/* ZL_E_INVALID with the label's name. The spec is of rtype job or cron. May read a time zone file. */
int zl_job_settings_load(const struct zl_service_spec *spec, struct zl_job_settings *ret,
                         struct zl_error *err);
void zl_job_settings_done(struct zl_job_settings *settings);

/* ---- the calendar -------------------------------------------------------------------------------------------- */

/* The next `n` (or fewer) instants after `after`; returns how many. */
size_t zl_job_next_times(const struct zl_job_settings *settings, int64_t after, int64_t *ret,
                         size_t n);

struct zl_cron_due {
        int64_t times[ZL_CRON_CATCH_UP_MAX]; /* to be run now, oldest first */
        size_t n;
        uint64_t n_skipped; /* that passed and are not run (counted up to 1000) */
};
/* What is due at `now` (wall clock), the last instant that was dealt with being `last`. What passed more than
 * ZL_CRON_TOLERANCE ago was missed, and the policy for those says what becomes of it. */
void zl_cron_due(const struct zl_job_settings *settings, int64_t last, int64_t now,
                 struct zl_cron_due *ret);
/* Late by less than this is not missed: an agent that was busy or is just being replaced. */
#define ZL_CRON_TOLERANCE (5 * ZL_NSEC_PER_SEC)

/* ---- executions ------------------------------------------------------------------------------------------------ */

enum zl_execution_state {
        ZL_EXECUTION_QUEUED,
        ZL_EXECUTION_RUNNING,
        /* ended */
        ZL_EXECUTION_SUCCEEDED,
        ZL_EXECUTION_FAILED,
        ZL_EXECUTION_CANCELLED,
        ZL_EXECUTION_TIMED_OUT,
        ZL_EXECUTION_STATE_MAX_,
};
const char *zl_execution_state_name(enum zl_execution_state state) _const_;
/* -EINVAL for an unknown one. */
int zl_execution_state_parse(const char *text, enum zl_execution_state *ret);

enum zl_trigger {
        ZL_TRIGGER_UP,       /* the deployment was started */
        ZL_TRIGGER_MANUAL,   /* somebody asked for it */
        ZL_TRIGGER_SCHEDULE, /* it was time */
        ZL_TRIGGER_CATCH_UP, /* it had been time while no agent was there */
        ZL_TRIGGER_MAX_,
};
const char *zl_trigger_name(enum zl_trigger trigger) _const_;
int zl_trigger_parse(const char *text, enum zl_trigger *ret);

/* One execution. Its container is DEPLOYMENT.SERVICE.NUMBER. Strings belong to whoever made it. */
struct zl_execution_record {
        int64_t id; /* of the agent's database, growing with time */
        const char *deployment, *service;
        uint32_t number;
        enum zl_trigger trigger;
        enum zl_execution_state state;
        int64_t scheduled_at;                        /* of a schedule: the instant meant; else 0 */
        int64_t created_at, started_at, finished_at; /* 0: not yet */
        int exit_code;                               /* -1: none */
        uint32_t retries;
        const char *reason; /* in words, or NULL */
};
