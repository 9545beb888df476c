/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See timezone.h. A file has a header and data with 32-bit times, from version 2 on the same again with 64-bit times, and
 * behind them a rule in the form of POSIX TZ for all time after the last transition. The transitions of the rule are made
 * here for each year up to 2100, so that looking up is one binary search and knows nothing of rules.
 *
 * What may go wrong: a damaged or hostile file. Every count is checked against the length before anything is read.
 */
#include "base/timezone.h"

#include <endian.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"

#define ZONE_DIR "/usr/share/zoneinfo"

enum { FILE_MAX = 1 << 20, HEADER_LEN = 44, LAST_YEAR = 2100, DAY = 86400, NAME_MAX_LEN = 100 };

struct transition {
        int64_t at;
        int32_t offset; /* from then on */
};

struct zl_timezone {
        int32_t first; /* before the first transition */
        size_t n;
        struct transition *transitions;
};

/* ---- looking up ------------------------------------------------------------------------------------------------ */

void zl_timezone_period(const struct zl_timezone *zone, int64_t t, struct zl_timezone_period *ret)
{
        size_t low = 0, high = zone ? zone->n : 0; /* how many transitions are at or before t */

        while (low < high) {
                size_t mid = (low + high) / 2;

                if (zone->transitions[mid].at <= t)
                        low = mid + 1;
                else
                        high = mid;
        }
        *ret = (struct zl_timezone_period){ .begin = INT64_MIN, .end = INT64_MAX };
        if (!zone)
                return;
        ret->offset = ret->before = zone->first;
        if (low > 0) {
                ret->begin = zone->transitions[low - 1].at;
                ret->offset = zone->transitions[low - 1].offset;
        }
        if (low > 1)
                ret->before = zone->transitions[low - 2].offset;
        if (low < zone->n)
                ret->end = zone->transitions[low].at;
}

static int add_transition(struct zl_timezone *zone, int64_t at, int32_t offset)
{
        struct transition *more;

        if (zone->n > 0 && at <= zone->transitions[zone->n - 1].at)
                return -EINVAL;
        if ((zone->n & (zone->n + 1)) == 0) {
                more = reallocarray(zone->transitions, 2 * zone->n + 1, sizeof(*more));
                if (!more)
                        return -ENOMEM;
                zone->transitions = more;
        }
        /* A change of name or of the summer time flag alone is none of the clock. */
        if (offset == (zone->n > 0 ? zone->transitions[zone->n - 1].offset : zone->first))
                return 0;
        zone->transitions[zone->n++] = (struct transition){ at, offset };
        return 0;
}

/* ---- the rule for the future -------------------------------------------------------------------------------------- */

/* One day of the year: "Jn" (1…365, never 29 February), "n" (0…365), "Mm.w.d". */
struct rule_day {
        char kind; /* 'J', 'N', 'M' */
        int a, week, day;
        int32_t time; /* seconds after midnight, may be negative or beyond a day */
};

struct rule {
        int32_t standard, summer; /* seconds east of UTC */
        bool has_summer;
        struct rule_day begin, end; /* of summer time */
};

static int days_before_month(int year, int month)
{
        static const short before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };

        return before[month - 1] + (month > 2 && zl_is_leap_year(year));
}

/* Day of the year from 0. */
static int day_of_year(const struct rule_day *d, int year)
{
        int first, weekday, day, length;

        if (d->kind == 'N')
                return d->a;
        if (d->kind == 'J')
                return d->a - 1 + (d->a >= 60 && zl_is_leap_year(year));
        first = days_before_month(year, d->a);
        /* 1 January 1970 was a Thursday; Sunday is 0 */
        weekday = (int)(((zl_days_before_year(year) + first + 4) % 7 + 7) % 7);
        day = (d->day - weekday + 7) % 7 + (d->week - 1) * 7;
        length = d->a == 12 ? 31 : days_before_month(year, d->a + 1) - first;
        while (day >= length)
                day -= 7;
        return first + day;
}

static int64_t instant_of(const struct rule_day *d, int year, int32_t offset)
{
        return (zl_days_before_year(year) + day_of_year(d, year)) * DAY + d->time - offset;
}

static bool read_number(const char **p, int max, int *ret)
{
        int value = 0;

        if (**p < '0' || **p > '9')
                return false;
        for (; **p >= '0' && **p <= '9'; ++*p) {
                value = value * 10 + (**p - '0');
                if (value > max)
                        return false;
        }
        *ret = value;
        return true;
}

/* "[+-]hh[:mm[:ss]]" */
static bool read_time(const char **p, int32_t *ret)
{
        int parts[3] = { 0 };
        bool negative = **p == '-';

        if (**p == '-' || **p == '+')
                ++*p;
        for (size_t i = 0; i < 3; i++) {
                if (i > 0 && *(*p)++ != ':')
                        return false;
                if (!read_number(p, i == 0 ? 167 : 59, &parts[i]))
                        return false;
                if (**p != ':')
                        break;
        }
        *ret = parts[0] * 3600 + parts[1] * 60 + parts[2];
        if (negative)
                *ret = -*ret;
        return true;
}

static bool read_name(const char **p)
{
        const char *start = *p;

        if (**p == '<') {
                *p += strcspn(*p, ">");
                return *(*p)++ == '>';
        }
        while ((**p | 0x20) >= 'a' && (**p | 0x20) <= 'z')
                ++*p;
        return *p - start >= 3;
}

/* "Mm.w.d", with the first letter read. */
static bool read_month_day(const char **p, struct rule_day *d)
{
        return read_number(p, 12, &d->a) && d->a >= 1 && *(*p)++ == '.' &&
               read_number(p, 5, &d->week) && d->week >= 1 && *(*p)++ == '.' &&
               read_number(p, 6, &d->day);
}

/* ",DAY[/time]" */
static bool read_day(const char **p, struct rule_day *d)
{
        if (*(*p)++ != ',')
                return false;
        *d = (struct rule_day){ .kind = 'N', .time = 2 * 3600 };
        if (**p == 'M' || **p == 'J')
                d->kind = *(*p)++;
        if (d->kind == 'M' ? !read_month_day(p, d) : !read_number(p, 365, &d->a))
                return false;
        if (d->kind == 'J' && d->a < 1)
                return false;
        if (**p != '/')
                return true;
        ++*p;
        return read_time(p, &d->time);
}

/* "CET-1CEST,M3.5.0,M10.5.0/3": offsets count west of Greenwich. */
static bool parse_rule(const char *p, struct rule *ret)
{
        struct rule rule = { 0 };

        if (!read_name(&p) || !read_time(&p, &rule.standard))
                return false;
        rule.standard = -rule.standard;
        rule.summer = rule.standard + 3600;
        if (*p) {
                rule.has_summer = true;
                if (!read_name(&p))
                        return false;
                if (*p != ',') {
                        if (!read_time(&p, &rule.summer))
                                return false;
                        rule.summer = -rule.summer;
                }
                if (!read_day(&p, &rule.begin) || !read_day(&p, &rule.end) || *p)
                        return false;
        }
        *ret = rule;
        return true;
}

static int add_ruled(struct zl_timezone *zone, int64_t last, int64_t at, int32_t offset)
{
        return at > last ? add_transition(zone, at, offset) : 0;
}

static int extend(struct zl_timezone *zone, const struct rule *rule, int64_t last)
{
        int r = 0;

        if (!rule->has_summer)
                return 0;
        for (int year = 1970; r == 0 && year <= LAST_YEAR; year++) {
                int64_t begin = instant_of(&rule->begin, year, rule->standard);
                int64_t end = instant_of(&rule->end, year, rule->summer);

                if (begin < end) {
                        r = add_ruled(zone, last, begin, rule->summer);
                        r = r ? r : add_ruled(zone, last, end, rule->standard);
                } else {
                        r = add_ruled(zone, last, end, rule->standard);
                        r = r ? r : add_ruled(zone, last, begin, rule->summer);
                }
        }
        return r;
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

struct header {
        uint32_t n_isut, n_isstd, n_leap, n_times, n_types, n_chars;
        unsigned version, time_size;
        const uint8_t *data;
        size_t data_len;
};

static uint32_t be32(const uint8_t *p)
{
        uint32_t v;

        memcpy(&v, p, sizeof(v));
        return be32toh(v);
}

static int64_t be64(const uint8_t *p)
{
        uint64_t v;

        memcpy(&v, p, sizeof(v));
        return (int64_t)be64toh(v);
}

static int read_header(const uint8_t *p, size_t len, unsigned time_size, struct header *ret)
{
        struct header h = { .time_size = time_size };
        uint32_t *const counts[] = { &h.n_isut,  &h.n_isstd, &h.n_leap,
                                     &h.n_times, &h.n_types, &h.n_chars };

        if (len < HEADER_LEN || memcmp(p, "TZif", 4) != 0)
                return -EINVAL;
        h.version = p[4] ? (unsigned)(p[4] - '0') : 1;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(counts); i++) {
                *counts[i] = be32(p + 20 + 4 * i);
                if (*counts[i] > FILE_MAX)
                        return -EINVAL;
        }
        h.data = p + HEADER_LEN;
        h.data_len = (size_t)h.n_times * (time_size + 1) + (size_t)h.n_types * 6 + h.n_chars +
                     (size_t)h.n_leap * (time_size + 4) + h.n_isstd + h.n_isut;
        if (h.n_types == 0 || h.data_len > len - HEADER_LEN)
                return -EINVAL;
        *ret = h;
        return 0;
}

static int32_t type_offset(const struct header *h, unsigned type)
{
        return (int32_t)be32(h->data + (size_t)h->n_times * (h->time_size + 1) + (size_t)type * 6);
}

static int read_transitions(struct zl_timezone *zone, const struct header *h, int64_t *ret_last)
{
        const uint8_t *types = h->data + (size_t)h->n_times * h->time_size;
        int r = 0;

        zone->first = type_offset(h, 0);
        *ret_last = INT64_MIN;
        for (size_t i = 0; r == 0 && i < h->n_times; i++) {
                const uint8_t *p = h->data + i * h->time_size;
                int64_t at = h->time_size == 8 ? be64(p) : (int32_t)be32(p);

                if (types[i] >= h->n_types || (i > 0 && at <= *ret_last))
                        return -EINVAL;
                r = add_transition(zone, at, type_offset(h, types[i]));
                *ret_last = at;
        }
        return r;
}

/* "\nRULE\n" at the end; an empty one says nothing of the future. */
static int read_footer(struct zl_timezone *zone, const uint8_t *p, size_t len, int64_t last)
{
        _cleanup_free_ char *text = NULL;
        const uint8_t *end;
        struct rule rule;

        if (len < 2 || p[0] != '\n' || !(end = memchr(p + 1, '\n', len - 1)))
                return -EINVAL;
        text = strndup((const char *)p + 1, (size_t)(end - p - 1));
        if (!text)
                return -ENOMEM;
        if (!*text)
                return 0;
        return parse_rule(text, &rule) ? extend(zone, &rule, last) : -EINVAL;
}

static int parse(struct zl_timezone *zone, const uint8_t *data, size_t len)
{
        const uint8_t *end = data + len;
        struct header h;
        int64_t last;
        int r = read_header(data, len, 4, &h);

        if (r < 0)
                return r;
        if (h.version < 2)
                return read_transitions(zone, &h, &last);
        data = h.data + h.data_len;
        r = read_header(data, (size_t)(end - data), 8, &h);
        if (r == 0)
                r = read_transitions(zone, &h, &last);
        data = h.data + h.data_len;
        return r < 0 ? r : read_footer(zone, data, (size_t)(end - data), last);
}

int zl_timezone_parse(const void *data, size_t len, struct zl_timezone **ret, struct zl_error *err)
{
        _cleanup_timezone_ struct zl_timezone *zone = calloc(1, sizeof(*zone));
        int r = zone ? parse(zone, data, len) : -ENOMEM;

        if (r == -ENOMEM)
                return zl_fail_oom(err);
        if (r < 0)
                return zl_fail(err, ZL_E_CORRUPT, 0, "the time zone file is damaged");
        *ret = zl_take_ptr(zone);
        return 0;
}

void zl_timezone_free(struct zl_timezone *zone)
{
        if (!zone)
                return;
        free(zone->transitions);
        free(zone);
}

static bool name_is_valid(const char *name)
{
        if (!*name || strlen(name) > NAME_MAX_LEN || name[0] == '/' || strstr(name, ".."))
                return false;
        for (const char *p = name; *p; p++)
                if (!((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z') && !strchr("0123456789+-_/", *p))
                        return false;
        return true;
}

int zl_timezone_load(const char *name, struct zl_timezone **ret, struct zl_error *err)
{
        _cleanup_close_ int dir = open(ZONE_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -EBADF;
        _cleanup_free_ char *data = NULL;
        size_t len;
        int r;

        if (zl_streq(name, "UTC")) {
                struct zl_timezone *utc = calloc(1, sizeof(*utc));

                *ret = utc;
                return utc ? 0 : zl_fail_oom(err);
        }
        if (name_is_valid(name) && dir >= 0)
                fd = zl_open_in(dir, name, O_RDONLY, 0, ZL_PATH_BENEATH);
        r = fd < 0 ? -ENOENT : zl_read_fd(fd, FILE_MAX, &data, &len);
        if (r == -ENOENT || r == -EISDIR) {
                r = zl_fail(err, ZL_E_NOT_FOUND, 0, "there is no time zone \"%s\" in %s", name,
                            ZONE_DIR);
                zl_error_hint(err, dir < 0 ? "install the package tzdata"
                                           : "names are like UTC, Europe/Berlin, America/New_York");
                return r;
        }
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read the time zone %s", name);
        r = zl_timezone_parse(data, len, ret, err);
        if (r < 0)
                zl_error_prefix(err, "%s/%s", ZONE_DIR, name);
        return r;
}
