/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cron text: "sec min hour day-of-month month day-of-week [year]" or @yearly @monthly @weekly @daily @hourly, in UTC or in
 * a time zone. All fields must match (day-of-month AND day-of-week).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/timezone.h"

enum { ZL_CRON_YEAR_FIRST = 1970, ZL_CRON_YEAR_LAST = 2100 };

/* Bit n stands for the value n; for years, bit n of the array is 1970 + n. */
struct zl_cron {
        uint64_t seconds, minutes;
        uint32_t hours;
        uint32_t days;     /* 1..31 */
        uint16_t months;   /* 1..12 */
        uint8_t week_days; /* 1 is Sunday ... 7 is Saturday */
        uint64_t years[3];
};

/* 0 or -EINVAL with an error that says which field and why. */
int zl_cron_parse(const char *text, struct zl_cron *ret, struct zl_error *err);

/* The first matching instant strictly after `after` (both nanoseconds since 1970 UTC; the result is a whole
 * second), or -1 if there is none until the end of 2100. */
int64_t zl_cron_next(const struct zl_cron *cron, int64_t after);

/* The same by the clocks of a time zone (NULL: UTC). Where clocks change:
 * - what falls into the hour that is left out happens once, at the change;
 * - what falls into the hour that comes twice happens in the first one only, unless it happens in every hour anyway. */
int64_t zl_cron_next_in(const struct zl_cron *cron, const struct zl_timezone *zone, int64_t after);
