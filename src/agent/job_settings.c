/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See job.h: labels to settings, by a table, and names of states. A label of ours that is unknown is refused: a misspelt
 * limit would be no limit.
 */
#include <stdio.h>

#include "agent/job.h"
#include "base/clock.h"
#include "base/parse.h"
#include "spec/duration.h"

static const char *const overlap_names[] = { "allow", "forbid", "replace", NULL };
static const char *const missed_names[] = { "none", "latest", "all", NULL };
static const char *const state_names[] = {
        [ZL_EXECUTION_QUEUED] = "queued",       [ZL_EXECUTION_RUNNING] = "running",
        [ZL_EXECUTION_SUCCEEDED] = "succeeded", [ZL_EXECUTION_FAILED] = "failed",
        [ZL_EXECUTION_CANCELLED] = "cancelled", [ZL_EXECUTION_TIMED_OUT] = "timed_out",
        [ZL_EXECUTION_STATE_MAX_] = NULL,
};
static const char *const trigger_names[] = {
        [ZL_TRIGGER_UP] = "up",
        [ZL_TRIGGER_MANUAL] = "manual",
        [ZL_TRIGGER_SCHEDULE] = "schedule",
        [ZL_TRIGGER_CATCH_UP] = "catch_up",
        [ZL_TRIGGER_MAX_] = NULL,
};

static int find_name(const char *const *names, const char *text)
{
        for (int i = 0; names[i]; i++)
                if (zl_streq(names[i], text))
                        return i;
        return -EINVAL;
}

const char *zl_execution_state_name(enum zl_execution_state state)
{
        return state_names[state];
}

int zl_execution_state_parse(const char *text, enum zl_execution_state *ret)
{
        int i = find_name(state_names, text);

        if (i >= 0)
                *ret = (enum zl_execution_state)i;
        return i < 0 ? i : 0;
}

const char *zl_trigger_name(enum zl_trigger trigger)
{
        return trigger_names[trigger];
}

int zl_trigger_parse(const char *text, enum zl_trigger *ret)
{
        int i = find_name(trigger_names, text);

        if (i >= 0)
                *ret = (enum zl_trigger)i;
        return i < 0 ? i : 0;
}

/* ---- labels -------------------------------------------------------------------------------------------------- */

static int set_timeout(struct zl_job_settings *s, const char *value, struct zl_error *err)
{
        if (zl_duration_parse(value, &s->timeout, NULL) < 0 || s->timeout <= 0)
                return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is not a duration like 90s or 1h",
                               value);
        return 0;
}

static int parse_limit(const char *value, uint32_t min, uint32_t *ret, struct zl_error *err)
{
        uint32_t n;

        if (zl_parse_u32(value, 10, &n) < 0 || n < min || n > ZL_JOB_LIMIT_MAX)
                return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is not a number from %u to %d", value,
                               min, ZL_JOB_LIMIT_MAX);
        *ret = n;
        return 0;
}

static int set_concurrency(struct zl_job_settings *s, const char *value, struct zl_error *err)
{
        return parse_limit(value, 1, &s->concurrency, err);
}

static int set_queue(struct zl_job_settings *s, const char *value, struct zl_error *err)
{
        return parse_limit(value, 0, &s->queue, err);
}

static int set_history(struct zl_job_settings *s, const char *value, struct zl_error *err)
{
        return parse_limit(value, 0, &s->history, err);
}

static int set_zone(struct zl_job_settings *s, const char *value, struct zl_error *err)
{
        return zl_timezone_load(value, &s->zone, err);
}

static int parse_name(const char *const *names, const char *value, int *ret, struct zl_error *err)
{
        *ret = find_name(names, value);
        if (*ret >= 0)
                return 0;
        return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is none of %s, %s, %s", value, names[0],
                       names[1], names[2]);
}

static int set_overlap(struct zl_job_settings *s, const char *value, struct zl_error *err)
{
        int i, r = parse_name(overlap_names, value, &i, err);

        if (r == 0)
                s->overlap = (enum zl_overlap)i;
        return r;
}

static int set_missed(struct zl_job_settings *s, const char *value, struct zl_error *err)
{
        int i, r = parse_name(missed_names, value, &i, err);

        if (r == 0)
                s->missed = (enum zl_missed)i;
        return r;
}

static const struct {
        const char *name;
        bool cron_only;
        int (*set)(struct zl_job_settings *s, const char *value, struct zl_error *err);
} labels[] = {
        { "zlayer.job.timeout", false, set_timeout },
        { "zlayer.job.concurrency", false, set_concurrency },
        { "zlayer.job.queue", false, set_queue },
        { "zlayer.job.history", false, set_history },
        { "zlayer.cron.timezone", true, set_zone },
        { "zlayer.cron.overlap", true, set_overlap },
        { "zlayer.cron.missed", true, set_missed },
};

static int set_label(struct zl_job_settings *s, const char *key, const char *value,
                     struct zl_error *err)
{
        int r;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(labels); i++) {
                if (!zl_streq(labels[i].name, key))
                        continue;
                r = labels[i].cron_only && !s->is_cron
                            ? zl_fail(err, ZL_E_INVALID, 0, "only a service of rtype cron has it")
                            : labels[i].set(s, value, err);
                if (r < 0)
                        zl_error_prefix(err, "labels.%s", key);
                return r;
        }
        if (!zl_startswith(key, "zlayer.job.") && !zl_startswith(key, "zlayer.cron."))
                return 0;
        r = zl_fail(err, ZL_E_INVALID, 0, "labels.%s: there is no such setting", key);
        zl_error_hint(err, "zlayer.job.: timeout, concurrency, queue, history; "
                           "zlayer.cron.: timezone, overlap, missed");
        return r;
}

int zl_job_settings_load(const struct zl_service_spec *spec, struct zl_job_settings *ret,
                         struct zl_error *err)
{
        struct zl_job_settings s = {
                .is_cron = spec->rtype == ZL_RTYPE_CRON,
                .queue = ZL_JOB_QUEUE_DEFAULT,
                .history = ZL_JOB_HISTORY_DEFAULT,
                .overlap = ZL_OVERLAP_FORBID,
                .missed = ZL_MISSED_LATEST,
        };
        int r = s.is_cron ? zl_cron_parse(spec->schedule, &s.cron, err) : 0;

        for (size_t i = 0; r >= 0 && i < spec->labels.n; i++)
                r = set_label(&s, spec->labels.items[i].key, spec->labels.items[i].value, err);
        if (s.concurrency == 0)
                s.concurrency = s.is_cron && s.overlap == ZL_OVERLAP_ALLOW ? ZL_CRON_CONCURRENCY
                                                                           : 1;
        if (r < 0)
                zl_job_settings_done(&s);
        else
                *ret = s;
        return r;
}

void zl_job_settings_done(struct zl_job_settings *s)
{
        zl_timezone_free(s->zone);
        *s = (struct zl_job_settings){ 0 };
}
