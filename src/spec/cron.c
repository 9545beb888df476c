/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cron text (spec §5) to bit sets, and the next instant that matches them. Blanks between tokens are optional where nothing
 * becomes ambiguous, so the reader works token by token and not by splitting at blanks. Days of the week count from 1 = Sunday,
 * and both day fields must match: neither is what Vixie cron does.
 */
#include <ctype.h>

#include "base/clock.h"
#include "spec/cron.h"

struct field {
        const char *label;
        unsigned first, last;
        const char *const *names; /* full names of first...last */
        bool question;            /* "?" allowed */
};

static const char *const month_names[] = { "january",  "february", "march",  "april",     "may",
                                           "june",     "july",     "august", "september", "october",
                                           "november", "december", NULL };
static const char *const day_names[] = { "sunday",   "monday", "tuesday",  "wednesday",
                                         "thursday", "friday", "saturday", NULL };

static const struct field fields[] = {
        { "seconds", 0, 59, NULL, false },
        { "minutes", 0, 59, NULL, false },
        { "hours", 0, 23, NULL, false },
        { "day of month", 1, 31, NULL, true },
        { "month", 1, 12, month_names, false },
        { "day of week", 1, 7, day_names, true },
        { "year", ZL_CRON_YEAR_FIRST, ZL_CRON_YEAR_LAST, NULL, false },
};
enum { N_FIELDS = 7, YEAR = 6 };

/* Values of one field, counted from its first. */
struct set {
        uint64_t bits[3];
};

struct reader {
        const char *text, *p;
        struct zl_error *err;
};

static int fault(struct reader *rd, const struct field *f, const char *why)
{
        return zl_fail(rd->err, ZL_E_INVALID, 0, "cron text '%s': %s: %s (at character %zu)",
                       rd->text, f->label, why, (size_t)(rd->p - rd->text) + 1);
}

static void skip_blanks(struct reader *rd)
{
        rd->p += strspn(rd->p, " \t\r\n");
}

/* Three letters or the full name; days also "tues" and "thurs". */
static bool name_is(const char *word, size_t len, const char *name)
{
        char lower[16];

        if (len >= sizeof(lower))
                return false;
        for (size_t i = 0; i < len; i++)
                lower[i] = (char)tolower((unsigned char)word[i]);
        lower[len] = 0;
        if (zl_streq(lower, name) || (len == 3 && strncmp(lower, name, 3) == 0))
                return true;
        return (zl_streq(lower, "tues") && zl_streq(name, "tuesday")) ||
               (zl_streq(lower, "thurs") && zl_streq(name, "thursday"));
}

static int read_name(struct reader *rd, const struct field *f, unsigned *ret)
{
        size_t len = strspn(rd->p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

        for (unsigned i = 0; f->names && f->names[i]; i++) {
                if (name_is(rd->p, len, f->names[i])) {
                        rd->p += len;
                        *ret = f->first + i;
                        return 0;
                }
        }
        return fault(rd, f, f->names ? "an unknown name" : "a number or '*' must stand here");
}

static int read_u32(struct reader *rd, const struct field *f, unsigned *ret)
{
        uint64_t v = 0;

        if (!isdigit((unsigned char)*rd->p))
                return fault(rd, f, *rd->p ? "a number must stand here" : "something is missing");
        for (; isdigit((unsigned char)*rd->p); rd->p++) {
                v = v * 10 + (uint64_t)(*rd->p - '0');
                if (v > UINT32_MAX)
                        return fault(rd, f, "the number is too large");
        }
        *ret = (unsigned)v;
        return 0;
}

static int read_value(struct reader *rd, const struct field *f, bool *is_name, unsigned *ret)
{
        const char *start = rd->p;
        int r;

        *is_name = isalpha((unsigned char)*rd->p) != 0;
        r = *is_name ? read_name(rd, f, ret) : read_u32(rd, f, ret);
        if (r == 0 && (*ret < f->first || *ret > f->last)) {
                rd->p = start;
                return fault(rd, f, "the value is out of range");
        }
        return r;
}

static int read_step(struct reader *rd, const struct field *f, unsigned *ret)
{
        const char *start;
        int r;

        rd->p++;
        skip_blanks(rd);
        start = rd->p;
        r = read_u32(rd, f, ret);
        if (r == 0 && (*ret == 0 || *ret > f->last)) {
                rd->p = start;
                return fault(rd, f, "the step is out of range");
        }
        return r;
}

/* "-M" behind a value; names and numbers do not mix. */
static int read_range_end(struct reader *rd, const struct field *f, bool was_name, unsigned from,
                          unsigned *ret)
{
        const char *start;
        bool is_name;
        int r;

        rd->p++;
        skip_blanks(rd);
        start = rd->p;
        r = read_value(rd, f, &is_name, ret);
        if (r < 0)
                return r;
        if (is_name == was_name && *ret >= from)
                return 0;
        rd->p = start;
        return fault(rd, f,
                     is_name == was_name ? "the range goes backwards"
                                         : "a range of a name and a number");
}

static int read_item(struct reader *rd, const struct field *f, struct set *set)
{
        unsigned from = f->first, to = f->last, step = 1;
        bool name = false, single = false;
        int r;

        if (*rd->p == '*' || (*rd->p == '?' && f->question)) {
                rd->p++;
        } else {
                r = read_value(rd, f, &name, &from);
                if (r < 0)
                        return r;
                single = true;
        }
        skip_blanks(rd);
        if (single && *rd->p == '-') {
                r = read_range_end(rd, f, name, from, &to);
                if (r < 0)
                        return r;
                single = false;
                skip_blanks(rd);
        }
        if (*rd->p == '/') {
                if (single && name)
                        return fault(rd, f, "a step behind a single name");
                r = read_step(rd, f, &step);
                if (r < 0)
                        return r;
        } else if (single) {
                to = from;
        }
        for (unsigned v = from; v <= to; v += step)
                set->bits[(v - f->first) / 64] |= UINT64_C(1) << ((v - f->first) % 64);
        return 0;
}

static int read_field(struct reader *rd, const struct field *f, struct set *set)
{
        int r;

        for (;;) {
                skip_blanks(rd);
                r = read_item(rd, f, set);
                if (r < 0)
                        return r;
                skip_blanks(rd);
                if (*rd->p != ',')
                        return 0;
                rd->p++;
        }
}

static const char *expand_macro(struct reader *rd)
{
        static const char *const macros[][2] = {
                { "@yearly", "0 0 0 1 1 *" }, { "@monthly", "0 0 0 1 * *" },
                { "@weekly", "0 0 0 * * 1" }, { "@daily", "0 0 0 * * *" },
                { "@hourly", "0 0 * * * *" },
        };
        size_t len = strcspn(rd->p, " \t\r\n");

        if (rd->p[len + strspn(rd->p + len, " \t\r\n")])
                return NULL;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(macros); i++)
                if (strlen(macros[i][0]) == len && memcmp(macros[i][0], rd->p, len) == 0)
                        return macros[i][1];
        return NULL;
}

int zl_cron_parse(const char *text, struct zl_cron *ret, struct zl_error *err)
{
        struct reader rd = { .text = text, .p = text, .err = err };
        struct set sets[N_FIELDS] = { 0 };
        int r;

        skip_blanks(&rd);
        if (*rd.p == '@') {
                const char *expanded = expand_macro(&rd);

                if (!expanded) {
                        r = zl_fail(err, ZL_E_INVALID, 0, "cron text '%s': unknown macro", text);
                        zl_error_hint(err, "known: @yearly, @monthly, @weekly, @daily, @hourly");
                        return r;
                }
                rd.p = rd.text = expanded;
        }
        for (size_t i = 0; i < N_FIELDS; i++) {
                skip_blanks(&rd);
                if (i == YEAR && !*rd.p) {
                        memset(sets[i].bits, 0xff, sizeof(sets[i].bits));
                        break;
                }
                r = read_field(&rd, &fields[i], &sets[i]);
                if (r < 0) {
                        if (!*rd.p && i < YEAR)
                                zl_error_hint(err, "six or seven fields: seconds minutes hours "
                                                   "day-of-month month day-of-week [year]");
                        return r;
                }
        }
        if (*rd.p)
                return zl_fail(err, ZL_E_INVALID, 0, "cron text '%s': more than seven fields",
                               text);
        *ret = (struct zl_cron){ .seconds = sets[0].bits[0],
                                 .minutes = sets[1].bits[0],
                                 .hours = (uint32_t)sets[2].bits[0],
                                 .days = (uint32_t)(sets[3].bits[0] << 1),
                                 .months = (uint16_t)(sets[4].bits[0] << 1),
                                 .week_days = (uint8_t)(sets[5].bits[0] << 1) };
        memcpy(ret->years, sets[YEAR].bits, sizeof(ret->years));
        return 0;
}

/* ---- the next instant ----------------------------------------------------------------------------------- */

enum { SECONDS_PER_DAY = 86400 };

static unsigned days_of_month(unsigned year, unsigned month)
{
        static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

        return month == 2 && zl_is_leap_year((int)year) ? 29 : days[month - 1];
}

static int lowest_bit_from(uint64_t bits, unsigned from)
{
        bits = from < 64 ? bits & (UINT64_MAX << from) : 0;
        return bits ? __builtin_ctzll(bits) : -1;
}

/* The first matching second of a day that is not before `from`, or -1. */
static int64_t match_time(const struct zl_cron *cron, int64_t from)
{
        unsigned hour = (unsigned)(from / 3600), minute = (unsigned)(from / 60 % 60);
        unsigned second = (unsigned)(from % 60);
        int h, m, s;

        for (h = lowest_bit_from(cron->hours, hour); h >= 0;
             h = lowest_bit_from(cron->hours, (unsigned)h + 1)) {
                bool same_hour = (unsigned)h == hour;

                for (m = lowest_bit_from(cron->minutes, same_hour ? minute : 0); m >= 0;
                     m = lowest_bit_from(cron->minutes, (unsigned)m + 1)) {
                        bool same_minute = same_hour && (unsigned)m == minute;

                        s = lowest_bit_from(cron->seconds, same_minute ? second : 0);
                        if (s >= 0)
                                return h * 3600 + m * 60 + s;
                }
        }
        return -1;
}

/* The first matching second in one month, `day0` being the number of its first day. */
static int64_t match_month(const struct zl_cron *cron, int64_t day0, unsigned n_days, int64_t from)
{
        for (unsigned d = 1; d <= n_days; d++) {
                int64_t day = day0 + d - 1, start = day * SECONDS_PER_DAY, t;
                unsigned week_day = (unsigned)((day + 4) % 7) + 1; /* 1970-01-01 was a Thursday */

                if (start + SECONDS_PER_DAY <= from || !(cron->days >> d & 1) ||
                    !(cron->week_days >> week_day & 1))
                        continue;
                t = match_time(cron, ZL_MAX(from - start, 0));
                if (t >= 0)
                        return start + t;
        }
        return -1;
}

int64_t zl_cron_next(const struct zl_cron *cron, int64_t after)
{
        int64_t from = after < 0 ? 0 : after / ZL_NSEC_PER_SEC + 1;

        for (unsigned year = ZL_CRON_YEAR_FIRST; year <= ZL_CRON_YEAR_LAST; year++) {
                unsigned n = year - ZL_CRON_YEAR_FIRST;
                int64_t day = zl_days_before_year((int)year);

                if (!(cron->years[n / 64] >> (n % 64) & 1) ||
                    zl_days_before_year((int)year + 1) * SECONDS_PER_DAY <= from)
                        continue;
                for (unsigned month = 1; month <= 12; month++) {
                        unsigned n_days = days_of_month(year, month);
                        int64_t t = cron->months >> month & 1 ? match_month(cron, day, n_days, from)
                                                              : -1;

                        if (t >= 0)
                                return t * ZL_NSEC_PER_SEC;
                        day += n_days;
                }
        }
        return -1;
}

/* ---- by the clocks of a zone --------------------------------------------------------------------------------- */

/* zl_cron_next() in whole seconds: the first match at or after `from`, or INT64_MAX. */
static int64_t next_at(const struct zl_cron *cron, int64_t from)
{
        int64_t next = zl_cron_next(cron, (from - 1) * ZL_NSEC_PER_SEC);

        return next < 0 ? INT64_MAX : next / ZL_NSEC_PER_SEC;
}

/* The first match at or after `from`, an instant of this period, or INT64_MAX if there is none in it. Clocks show
 * t + offset. */
static int64_t next_in_period(const struct zl_cron *cron, const struct zl_timezone_period *p,
                              int64_t from)
{
        bool every_hour = cron->hours == (1u << 24) - 1;
        int64_t clock = from + p->offset, match;

        if (from == p->begin && p->offset > p->before &&
            next_at(cron, p->begin + p->before) < p->begin + p->offset)
                return p->begin;
        if (p->begin != INT64_MIN && p->offset < p->before && !every_hour)
                clock = ZL_MAX(clock, p->begin + p->before);
        match = next_at(cron, clock);
        if (match == INT64_MAX || (p->end != INT64_MAX && match - p->offset >= p->end))
                return INT64_MAX;
        return match - p->offset;
}

int64_t zl_cron_next_in(const struct zl_cron *cron, const struct zl_timezone *zone, int64_t after)
{
        int64_t from = after < 0 ? 0 : after / ZL_NSEC_PER_SEC + 1, found = INT64_MAX;
        struct zl_timezone_period p = { .end = from };

        while (found == INT64_MAX && p.end != INT64_MAX) {
                zl_timezone_period(zone, from, &p);
                found = next_in_period(cron, &p, from);
                from = p.end;
        }
        return found == INT64_MAX ? -1 : found * ZL_NSEC_PER_SEC;
}
