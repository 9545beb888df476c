/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks and RFC 3339. Calendar arithmetic is done by hand because timegm() is not portable and
 * because everything here is UTC; the conversion is the well-known one over 400-year eras.
 */
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t now(clockid_t clock)
{
        struct timespec ts;

        clock_gettime(clock, &ts);
        return (int64_t)ts.tv_sec * ZL_NSEC_PER_SEC + ts.tv_nsec;
}

int64_t zl_now_realtime(void)
{
        return now(CLOCK_REALTIME);
}

int64_t zl_now_monotonic(void)
{
        return now(CLOCK_MONOTONIC);
}

int64_t zl_now_boottime(void)
{
#ifdef CLOCK_BOOTTIME
        return now(CLOCK_BOOTTIME);
#else
        return now(CLOCK_MONOTONIC);
#endif
}

/* Days since 1970-01-01 of a Gregorian date; years before 1 are not needed. */
static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
        int64_t y = year - (month <= 2);
        int64_t era = (y >= 0 ? y : y - 399) / 400;
        unsigned yoe = (unsigned)(y - era * 400);
        unsigned doy = (153 * (month + (month > 2 ? -3u : 9u)) + 2) / 5 + day - 1;
        unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

        return era * 146097 + (int64_t)doe - 719468;
}

static void date_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
        int64_t z = days + 719468;
        int64_t era = (z >= 0 ? z : z - 146096) / 146097;
        unsigned doe = (unsigned)(z - era * 146097);
        unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
        unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        unsigned mp = (5 * doy + 2) / 153;

        *day = doy - (153 * mp + 2) / 5 + 1;
        *month = mp < 10 ? mp + 3 : mp - 9;
        *year = (int64_t)yoe + era * 400 + (*month <= 2);
}

char *zl_format_rfc3339(int64_t nsec, char buf[ZL_RFC3339_SIZE])
{
        int64_t sec = nsec / ZL_NSEC_PER_SEC, frac = nsec % ZL_NSEC_PER_SEC, days, year;
        unsigned month, day, s;

        if (frac < 0)
                sec--, frac += ZL_NSEC_PER_SEC;
        days = (sec >= 0 ? sec : sec - 86399) / 86400;
        s = (unsigned)(sec - days * 86400);
        date_from_days(days, &year, &month, &day);
        snprintf(buf, ZL_RFC3339_SIZE, "%04" PRId64 "-%02u-%02uT%02u:%02u:%02u.%09" PRId64 "Z",
                 year, month, day, s / 3600, s / 60 % 60, s % 60, frac);
        return buf;
}

/* Reads exactly `n` digits. */
static int digits(const char **s, int n, unsigned *ret)
{
        unsigned v = 0;

        for (; n > 0; n--, (*s)++) {
                if (**s < '0' || **s > '9')
                        return -EINVAL;
                v = v * 10 + (unsigned)(**s - '0');
        }
        *ret = v;
        return 0;
}

static int literal(const char **s, const char *allowed)
{
        if (**s == 0 || !strchr(allowed, **s))
                return -EINVAL;
        (*s)++;
        return 0;
}

static int parse_fraction(const char **s, int64_t *ret)
{
        int64_t scale = ZL_NSEC_PER_SEC;

        *ret = 0;
        if (**s != '.')
                return 0;
        for ((*s)++; **s >= '0' && **s <= '9'; (*s)++) {
                scale /= 10;
                *ret += (**s - '0') * scale;
        }
        return scale == ZL_NSEC_PER_SEC ? -EINVAL : 0;
}

static int parse_offset(const char **s, int64_t *ret)
{
        int sign = **s == '-' ? -1 : 1;
        unsigned h, m;

        *ret = 0;
        if (**s == 'Z' || **s == 'z') {
                (*s)++;
                return 0;
        }
        if (literal(s, "+-") < 0 || digits(s, 2, &h) < 0 || literal(s, ":") < 0 ||
            digits(s, 2, &m) < 0 || h > 23 || m > 59)
                return -EINVAL;
        *ret = sign * (int64_t)(h * 3600 + m * 60);
        return 0;
}

int zl_parse_rfc3339(const char *s, int64_t *ret)
{
        unsigned year, month, day, h, m, sec, same_month, same_day;
        int64_t frac, offset, days, same_year;

        if (digits(&s, 4, &year) < 0 || literal(&s, "-") < 0 || digits(&s, 2, &month) < 0 ||
            literal(&s, "-") < 0 || digits(&s, 2, &day) < 0 || literal(&s, "Tt ") < 0 ||
            digits(&s, 2, &h) < 0 || literal(&s, ":") < 0 || digits(&s, 2, &m) < 0 ||
            literal(&s, ":") < 0 || digits(&s, 2, &sec) < 0 || parse_fraction(&s, &frac) < 0 ||
            parse_offset(&s, &offset) < 0 || *s != 0)
                return -EINVAL;
        if (month < 1 || month > 12 || day < 1 || day > 31 || h > 23 || m > 59 || sec > 60 ||
            year < 1678 || year > 2261)
                return -EINVAL;
        days = days_from_date(year, month, day);
        date_from_days(days, &same_year, &same_month, &same_day);
        if (same_day != day) /* February 30th */
                return -EINVAL;
        *ret = (days * 86400 + h * 3600 + m * 60 + sec - offset) * ZL_NSEC_PER_SEC + frac;
        return 0;
}

char *zl_format_age(int64_t span, char buf[ZL_RFC3339_SIZE])
{
        int64_t s = span / ZL_NSEC_PER_SEC;

        if (s < 120)
                snprintf(buf, ZL_RFC3339_SIZE, "%" PRId64 "s", s < 0 ? 0 : s);
        else if (s < 7200)
                snprintf(buf, ZL_RFC3339_SIZE, "%" PRId64 "m", s / 60);
        else if (s < 172800)
                snprintf(buf, ZL_RFC3339_SIZE, "%" PRId64 "h", s / 3600);
        else
                snprintf(buf, ZL_RFC3339_SIZE, "%" PRId64 "d", s / 86400);
        return buf;
}

bool zl_is_leap_year(int year)
{
        return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

int64_t zl_days_before_year(int year)
{
        int64_t y = (int64_t)year - 1;

        return y * 365 + y / 4 - y / 100 + y / 400 - 719162;
}
