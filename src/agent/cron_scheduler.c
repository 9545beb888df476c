/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calendar of cron jobs, as pure functions of the schedule and two instants. Whatever made time pass without us (an
 * agent that was not there, a machine that slept, a clock that was set) looks the same: the last instant that was dealt
 * with lies further back than the one before now. A clock that was set back gives nothing until it has caught up.
 */
#include "agent/job.h"
#include "base/clock.h"

enum { COUNT_MAX = 1000 };

size_t zl_job_next_times(const struct zl_job_settings *settings, int64_t after, int64_t *ret,
                         size_t n)
{
        size_t found = 0;

        while (found < n) {
                after = zl_cron_next_in(&settings->cron, settings->zone, after);
                if (after < 0)
                        break;
                ret[found++] = after;
        }
        return found;
}

/* Takes one more in at the end; a full list loses its oldest. */
static void push(struct zl_cron_due *due, int64_t t, size_t room)
{
        if (due->n == room) {
                due->n_skipped++;
                if (room == 0)
                        return;
                for (size_t i = 1; i < due->n; i++)
                        due->times[i - 1] = due->times[i];
                due->n--;
        }
        due->times[due->n++] = t;
}

void zl_cron_due(const struct zl_job_settings *settings, int64_t last, int64_t now,
                 struct zl_cron_due *ret)
{
        static const size_t rooms[] = { [ZL_MISSED_NONE] = 0,
                                        [ZL_MISSED_LATEST] = 1,
                                        [ZL_MISSED_ALL] = ZL_CRON_CATCH_UP_MAX - 1 };
        struct zl_cron_due due = { 0 };
        int64_t t = last, on_time = 0;
        unsigned steps = 0;

        while ((t = zl_cron_next_in(&settings->cron, settings->zone, t)) >= 0 && t <= now) {
                if (now - t <= ZL_CRON_TOLERANCE) {
                        due.n_skipped += on_time != 0;
                        on_time = t;
                        continue;
                }
                push(&due, t, rooms[settings->missed]);
                /* The rest of a long gap is jumped over, but for what is just due. */
                if (++steps == COUNT_MAX)
                        t = now - ZL_CRON_TOLERANCE - 1;
        }
        if (on_time) {
                /* What was missed and only its newest wanted: that is this one. */
                if (settings->missed == ZL_MISSED_LATEST && due.n > 0) {
                        due.n_skipped += due.n;
                        due.n = 0;
                }
                due.times[due.n++] = on_time;
        }
        *ret = due;
}
