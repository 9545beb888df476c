/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time. Wall-clock instants are nanoseconds since 1970 UTC (int64_t, good until 2262); spans and
 * monotonic instants are nanoseconds too.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macro.h"

#define ZL_NSEC_PER_SEC INT64_C(1000000000)
#define ZL_NSEC_PER_MSEC INT64_C(1000000)
#define ZL_NSEC_PER_USEC INT64_C(1000)

enum { ZL_RFC3339_SIZE = 64 };

int64_t zl_now_realtime(void);
int64_t zl_now_monotonic(void); /* does not count suspend */
int64_t zl_now_boottime(void);

/* "2026-01-31T23:59:59.123456789Z"; always nine digits of fraction. Returns buf. */
char *zl_format_rfc3339(int64_t nsec, char buf[ZL_RFC3339_SIZE]);
/* Any RFC 3339 time with any offset; digits of the fraction behind the ninth are cut. Years 1678 to 2261, second 60
 * is that of a leap second and counts as the next minute. 0 or -EINVAL. */
int zl_parse_rfc3339(const char *s, int64_t *ret);

/* The calendar of the years: leap years, and days from 1970-01-01 to the first of January (negative before 1970). */
bool zl_is_leap_year(int year) _const_;
int64_t zl_days_before_year(int year) _const_;

/* "3s", "2m", "5h", "4d" … a coarse age for people. Returns buf. */
char *zl_format_age(int64_t span_nsec, char buf[ZL_RFC3339_SIZE]);
