/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Duration text (spec §3). Spans of number and unit add up in any order; blanks may stand everywhere, even inside numbers, and
 * count for any Unicode white space. All arithmetic is unsigned 64-bit and checked; only the final result is squeezed
 * into an int64_t of nanoseconds, where 292 years stand for "longer than anybody waits".
 */
#include <errno.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/macro.h"
#include "spec/duration.h"

struct unit {
        const char *names[5];
        uint64_t sec, nsec;           /* one of them is 0 */
        const char *out, *out_plural; /* spelling in canonical text, NULL if not used there */
};

/* Ascending. A month is 30.44 days, a year 365.25. */
static const struct unit units[] = {
        { { "nanos", "nsec", "ns" }, 0, 1, "ns", "ns" },
        { { "usec", "us", "\xc2\xb5s" }, 0, 1000, "us", "us" },
        { { "millis", "msec", "ms" }, 0, 1000000, "ms", "ms" },
        { { "seconds", "second", "secs", "sec", "s" }, 1, 0, "s", "s" },
        { { "minutes", "minute", "min", "mins", "m" }, 60, 0, "m", "m" },
        { { "hours", "hour", "hr", "hrs", "h" }, 3600, 0, "h", "h" },
        { { "days", "day", "d" }, 86400, 0, "day", "days" },
        { { "weeks", "week", "wk", "wks", "w" }, 604800, 0, NULL, NULL },
        { { "months", "month", "M" }, 2630016, 0, "month", "months" },
        { { "years", "year", "yr", "yrs", "y" }, 31557600, 0, "year", "years" },
};

struct number {
        uint64_t whole;
        bool has_fraction;
        uint64_t numerator, denominator;
};

/* Bytes of a white space character at `s`, 0 if there is none. */
static size_t blank(const char *s)
{
        const unsigned char *u = (const unsigned char *)s;

        if ((u[0] >= '\t' && u[0] <= '\r') || u[0] == ' ')
                return 1;
        if (u[0] == 0xc2 && (u[1] == 0x85 || u[1] == 0xa0))
                return 2;
        if (u[0] == 0xe1 && u[1] == 0x9a && u[2] == 0x80)
                return 3;
        if (u[0] == 0xe2 && u[1] == 0x80 &&
            ((u[2] >= 0x80 && u[2] <= 0x8a) || u[2] == 0xa8 || u[2] == 0xa9 || u[2] == 0xaf))
                return 3;
        if ((u[0] == 0xe2 && u[1] == 0x81 && u[2] == 0x9f) ||
            (u[0] == 0xe3 && u[1] == 0x80 && u[2] == 0x80))
                return 3;
        return 0;
}

static const char *skip_blanks(const char *s)
{
        size_t n;

        while ((n = blank(s)) > 0)
                s += n;
        return s;
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

/* Digits with blanks between, at least one: value and 10^digits. */
static int read_digits(const char **s, uint64_t *ret, uint64_t *ret_scale)
{
        uint64_t v = 0, scale = 1;
        const char *p = *s;

        if (!is_digit(*p))
                return -EINVAL;
        for (;; p = skip_blanks(p)) {
                if (!is_digit(*p))
                        break;
                if (__builtin_mul_overflow(v, 10, &v) ||
                    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
                        return -ERANGE;
                if (ret_scale && __builtin_mul_overflow(scale, 10, &scale))
                        return -ERANGE;
                p++;
        }
        *s = p;
        *ret = v;
        if (ret_scale)
                *ret_scale = scale;
        return 0;
}

static int read_number(const char **s, struct number *ret)
{
        int r = read_digits(s, &ret->whole, NULL);

        if (r < 0 || **s != '.')
                return r;
        ret->has_fraction = true;
        *s = skip_blanks(*s + 1);
        return read_digits(s, &ret->numerator, &ret->denominator);
}

static const struct unit *find_unit(const char *s, size_t len)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(units); i++)
                for (size_t k = 0; k < 5 && units[i].names[k]; k++)
                        if (strlen(units[i].names[k]) == len &&
                            memcmp(units[i].names[k], s, len) == 0)
                                return &units[i];
        return NULL;
}

static size_t unit_length(const char *s)
{
        size_t n = 0;

        for (;;) {
                if ((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= 'A' && s[n] <= 'Z'))
                        n++;
                else if (s[n] == '\xc2' && s[n + 1] == '\xb5')
                        n += 2;
                else
                        return n;
        }
}

struct total {
        uint64_t sec, nsec;
};

static int add_total(struct total *total, uint64_t sec, uint64_t nsec)
{
        if (__builtin_add_overflow(total->nsec, nsec, &nsec) ||
            __builtin_add_overflow(sec, nsec / ZL_NSEC_PER_SEC, &sec) ||
            __builtin_add_overflow(total->sec, sec, &total->sec))
                return -ERANGE;
        total->nsec = nsec % ZL_NSEC_PER_SEC;
        return 0;
}

/* The fraction must come out even: in nanoseconds up to minutes, in whole seconds above. */
static int add_fraction(struct total *total, const struct number *n, const struct unit *unit)
{
        bool coarse = unit->sec >= 3600;
        uint64_t scale = coarse ? unit->sec : unit->sec * ZL_NSEC_PER_SEC + unit->nsec, v;

        if (unit->nsec == 1)
                return -EINVAL;
        if (__builtin_mul_overflow(n->numerator, scale, &v))
                return -ERANGE;
        if (v % n->denominator)
                return -EINVAL;
        v /= n->denominator;
        return coarse ? add_total(total, v, 0) : add_total(total, 0, v);
}

static int add_span(struct total *total, const struct number *n, const struct unit *unit)
{
        uint64_t sec = 0, nsec = 0;
        int r;

        if (unit->sec ? __builtin_mul_overflow(n->whole, unit->sec, &sec)
                      : __builtin_mul_overflow(n->whole, unit->nsec, &nsec))
                return -ERANGE;
        r = add_total(total, sec, nsec);
        if (r == 0 && n->has_fraction)
                r = add_fraction(total, n, unit);
        return r;
}

static int read_span(const char **s, struct total *total, const char **why)
{
        struct number n = { 0 };
        const struct unit *unit;
        size_t len;
        int r = read_number(s, &n);

        if (r < 0) {
                *why = r == -ERANGE ? "the number is too large" : "a number must stand here";
                return r;
        }
        len = unit_length(*s);
        if (len == 0) {
                *why = **s ? "an unexpected character" : "a number without unit";
                return -EINVAL;
        }
        unit = find_unit(*s, len);
        if (!unit) {
                *why = "an unknown unit";
                return -EINVAL;
        }
        *s += len;
        r = add_span(total, &n, unit);
        if (r < 0)
                *why = r == -ERANGE ? "the duration is too long"
                                    : "a fraction that does not come out even";
        return r;
}

int zl_duration_parse(const char *text, int64_t *ret_nsec, const char **ret_why)
{
        const char *s = skip_blanks(text), *why = NULL;
        struct total total = { 0 };
        unsigned __int128 nsec;
        int r = 0;

        if (!*s) {
                r = -EINVAL;
                why = "it is empty";
        }
        if (!zl_streq(text, "0"))
                for (; r == 0 && *s; s = skip_blanks(s))
                        r = read_span(&s, &total, &why);
        if (r < 0) {
                if (ret_why)
                        *ret_why = why;
                return r;
        }
        nsec = (unsigned __int128)total.sec * ZL_NSEC_PER_SEC + total.nsec;
        *ret_nsec = nsec > INT64_MAX ? INT64_MAX : (int64_t)nsec;
        return 0;
}

void zl_duration_format(int64_t nsec, struct zl_buf *out)
{
        uint64_t sec = (uint64_t)ZL_MAX(nsec, 0) / ZL_NSEC_PER_SEC;
        uint64_t rest = (uint64_t)ZL_MAX(nsec, 0) % ZL_NSEC_PER_SEC;
        bool first = true;

        if (nsec <= 0) {
                zl_buf_puts(out, "0s");
                return;
        }
        for (size_t i = ZL_ARRAY_SIZE(units); i > 0; i--) {
                const struct unit *u = &units[i - 1];
                uint64_t *from = u->sec ? &sec : &rest, size = u->sec ? u->sec : u->nsec;
                uint64_t n = *from / size;

                if (!u->out || n == 0)
                        continue;
                *from %= size;
                zl_buf_putf(out, "%s%llu%s", first ? "" : " ", (unsigned long long)n,
                            n == 1 ? u->out : u->out_plural);
                first = false;
        }
}
