/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain scalars. The grammars are narrower than YAML's own (no yes/no, no octal by leading zero, no underscores), and exact:
 * what looks almost like a number is text, and a field that wants a number then says so. Numbers are read without the
 * locale: strtod() would take a decimal comma in half of Europe.
 */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>

#include "base/macro.h"
#include "base/parse.h"
#include "schema/scalar.h"

static bool is_one_of(const char *text, const char *const *list, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (zl_streq(text, list[i]))
                        return true;
        return false;
}

bool zl_core_is_null(const char *text)
{
        static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };

        return is_one_of(text, nulls, ZL_ARRAY_SIZE(nulls));
}

int zl_core_bool(const char *text, bool *ret)
{
        static const char *const yes[] = { "true", "True", "TRUE" };
        static const char *const no[] = { "false", "False", "FALSE" };

        if (is_one_of(text, yes, ZL_ARRAY_SIZE(yes)))
                *ret = true;
        else if (is_one_of(text, no, ZL_ARRAY_SIZE(no)))
                *ret = false;
        else
                return -EINVAL;
        return 0;
}

static int digits_u64(const char *s, unsigned base, uint64_t *ret)
{
        uint64_t v = 0;
        bool overflow = false;

        if (!*s)
                return -EINVAL;
        for (; *s; s++) {
                unsigned d = (unsigned)zl_hex_digit(*s);

                if (d >= base)
                        return -EINVAL;
                if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, d, &v))
                        overflow = true;
        }
        if (overflow)
                return -ERANGE;
        *ret = v;
        return 0;
}

int zl_core_int(const char *text, struct zl_number *ret)
{
        const char *s = text;
        struct zl_number n = { 0 };
        unsigned base = 10;
        int r;

        if (*s == '+' || *s == '-')
                n.negative = *s++ == '-';
        if (s[0] == '0' && s[1]) {
                base = s[1] == 'x' ? 16 : s[1] == 'o' ? 8 : s[1] == 'b' ? 2 : 0;
                if (!base)
                        return -EINVAL; /* a leading zero makes it text */
                s += 2;
        }
        r = digits_u64(s, base, &n.magnitude);
        if (r < 0)
                return r;
        if (n.negative && n.magnitude > (uint64_t)INT64_MAX + 1)
                return -ERANGE;
        if (n.magnitude == 0)
                n.negative = n.negative && base == 10;
        *ret = n;
        return 0;
}

/* [digits][.digits][e[+-]digits] with at least one digit before the exponent */
static bool is_decimal(const char *s)
{
        size_t n = strspn(s, "0123456789"), m = 0;

        s += n;
        if (*s == '.') {
                s++;
                m = strspn(s, "0123456789");
                s += m;
        }
        if (n + m == 0)
                return false;
        if (*s == 'e' || *s == 'E') {
                s++;
                if (*s == '+' || *s == '-')
                        s++;
                n = strspn(s, "0123456789");
                if (n == 0)
                        return false;
                s += n;
        }
        return *s == 0;
}

int zl_core_f64(const char *text, double *ret)
{
        static const char *const infinities[] = { ".inf", ".Inf", ".INF" };
        static const char *const nans[] = { ".nan", ".NaN", ".NAN" };
        const char *s = text + (*text == '+' || *text == '-');
        locale_t c;
        double v;

        if (is_one_of(text, nans, ZL_ARRAY_SIZE(nans))) {
                *ret = (double)NAN;
                return 0;
        }
        if (is_one_of(s, infinities, ZL_ARRAY_SIZE(infinities))) {
                *ret = *text == '-' ? -(double)INFINITY : (double)INFINITY;
                return 0;
        }
        if (!is_decimal(s))
                return -EINVAL;
        c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        if (!c)
                return -ENOMEM;
        v = strtod_l(s, NULL, c);
        freelocale(c);
        if (isinf(v))
                return -EINVAL;
        *ret = *text == '-' ? -v : v;
        return 0;
}

enum zl_core zl_core_type(const char *text)
{
        struct zl_number n;
        const char *digits;
        bool b;
        double f;
        int r;

        /* Most texts are words; nothing below begins with a letter other than these. */
        if (*text > '9' && !strchr("tTfFnN~", *text))
                return ZL_CORE_STR;
        if (zl_core_is_null(text))
                return ZL_CORE_NULL;
        if (zl_core_bool(text, &b) == 0)
                return ZL_CORE_BOOL;
        if (*text > '9')
                return ZL_CORE_STR;
        r = zl_core_int(text, &n);
        if (r == 0)
                return ZL_CORE_INT;
        if (r == -ERANGE)
                return ZL_CORE_HUGE;
        digits = text + (*text == '+' || *text == '-');
        if (digits[0] == '0' && digits[strspn(digits, "0123456789")] == 0)
                return ZL_CORE_STR;
        return zl_core_f64(text, &f) == 0 ? ZL_CORE_FLOAT : ZL_CORE_STR;
}

void zl_f64_text(double value, char ret[ZL_F64_TEXT_MAX])
{
        double back;

        if (isnan(value) || isinf(value)) {
                strcpy(ret, isnan(value) ? ".nan" : value < 0 ? "-.inf" : ".inf");
                return;
        }
        for (int digits = 15; digits <= 17; digits++) {
                snprintf(ret, ZL_F64_TEXT_MAX, "%.*g", digits, value);
                for (char *p = ret; *p; p++)
                        if (!strchr("0123456789+-e", *p))
                                *p = '.'; /* the decimal point of whatever locale is set */
                if (zl_core_f64(ret, &back) == 0 && !(back < value) && !(back > value))
                        break;
        }
        if (!strpbrk(ret, ".e"))
                strcat(ret, ".0");
}
