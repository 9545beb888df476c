/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict readers (see parse.h). The C library's strto* functions accept blanks, signs and trailing
 * rubbish, which is how numbers that were never meant become user ids; so digits are read here.
 */
#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <strings.h>

#include "base/macro.h"

int zl_hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

int zl_parse_u64(const char *s, unsigned base, uint64_t *ret)
{
        uint64_t v = 0;

        if (base == 0) {
                base = 10;
                if (s[0] == '0' && s[1] == 'x')
                        base = 16, s += 2;
                else if (s[0] == '0' && s[1] == 'o')
                        base = 8, s += 2;
        }
        if (*s == 0)
                return -EINVAL;
        for (; *s; s++) {
                unsigned d = (unsigned)zl_hex_digit(*s);

                if (d >= base)
                        return -EINVAL;
                if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
                    __builtin_add_overflow(v, (uint64_t)d, &v))
                        return -ERANGE;
        }
        *ret = v;
        return 0;
}

int zl_parse_u32(const char *s, unsigned base, uint32_t *ret)
{
        uint64_t v;
        int r = zl_parse_u64(s, base, &v);

        if (r < 0)
                return r;
        if (v > UINT32_MAX)
                return -ERANGE;
        *ret = (uint32_t)v;
        return 0;
}

int zl_parse_i64(const char *s, int64_t *ret)
{
        bool negative = *s == '-';
        uint64_t v;
        int r = zl_parse_u64(s + negative, 10, &v);

        if (r < 0)
                return r;
        if (v > (uint64_t)INT64_MAX + negative)
                return -ERANGE;
        *ret = negative ? (int64_t)-v : (int64_t)v;
        return 0;
}

int zl_parse_bool(const char *s, bool *ret)
{
        static const char *const yes[] = { "1", "true", "yes", "on" };
        static const char *const no[] = { "0", "false", "no", "off" };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(yes); i++) {
                if (strcasecmp(s, yes[i]) == 0 || strcasecmp(s, no[i]) == 0) {
                        *ret = strcasecmp(s, yes[i]) == 0;
                        return 0;
                }
        }
        return -EINVAL;
}

int zl_parse_size(const char *s, uint64_t *ret)
{
        static const char units[] = "KMGTP";
        size_t n = strspn(s, "0123456789");
        char digits[24];
        const char *suffix = s + n;
        uint64_t v, base;
        int r;

        if (n >= sizeof digits)
                return -ERANGE;
        memcpy(digits, s, n);
        digits[n] = 0;
        r = zl_parse_u64(digits, 10, &v);
        if (r < 0)
                return r;
        if (*suffix && !strchr("Bb", *suffix)) {
                const char *unit = strchr(units, toupper((unsigned char)*suffix));

                if (!unit)
                        return -EINVAL;
                base = suffix[1] == 'i' ? 1024 : 1000;
                suffix += 1 + (suffix[1] == 'i');
                for (const char *p = units; p <= unit; p++)
                        if (__builtin_mul_overflow(v, base, &v))
                                return -ERANGE;
        }
        if (*suffix == 'B' || *suffix == 'b')
                suffix++;
        if (*suffix)
                return -EINVAL;
        *ret = v;
        return 0;
}

bool zl_is_cpu_list(const char *s)
{
        for (;;) {
                for (int part = 0; part < 2; part++) {
                        size_t n = strspn(s, "0123456789");

                        if (n == 0 || n > 5)
                                return false;
                        s += n;
                        if (part == 1 || *s != '-')
                                break;
                        s++;
                }
                if (*s == 0 || (*s == '\n' && s[1] == 0))
                        return true;
                if (*s++ != ',')
                        return false;
        }
}

static const struct {
        const char *name;
        int number;
} signals[] = {
        { "SIGHUP", SIGHUP },
        { "SIGINT", SIGINT },
        { "SIGQUIT", SIGQUIT },
        { "SIGILL", SIGILL },
        { "SIGTRAP", SIGTRAP },
        { "SIGABRT", SIGABRT },
        { "SIGBUS", SIGBUS },
        { "SIGFPE", SIGFPE },
        { "SIGKILL", SIGKILL },
        { "SIGUSR1", SIGUSR1 },
        { "SIGSEGV", SIGSEGV },
        { "SIGUSR2", SIGUSR2 },
        { "SIGPIPE", SIGPIPE },
        { "SIGALRM", SIGALRM },
        { "SIGTERM", SIGTERM },
        { "SIGCHLD", SIGCHLD },
        { "SIGCONT", SIGCONT },
        { "SIGSTOP", SIGSTOP },
        { "SIGTSTP", SIGTSTP },
        { "SIGTTIN", SIGTTIN },
        { "SIGTTOU", SIGTTOU },
        { "SIGURG", SIGURG },
        { "SIGXCPU", SIGXCPU },
        { "SIGXFSZ", SIGXFSZ },
        { "SIGPROF", SIGPROF },
        { "SIGVTALRM", SIGVTALRM },
        { "SIGWINCH", SIGWINCH },
        { "SIGIO", SIGIO },
        { "SIGSYS", SIGSYS },
#ifdef SIGSTKFLT
        { "SIGSTKFLT", SIGSTKFLT },
#endif
#ifdef SIGPWR
        { "SIGPWR", SIGPWR },
#endif
        /* other spellings; the first entry of a number is its name */
        { "SIGPOLL", SIGIO },
        { "SIGIOT", SIGABRT },
        { "SIGCLD", SIGCHLD },
};

int zl_parse_signal(const char *s)
{
        uint32_t n;

        if (zl_parse_u32(s, 10, &n) == 0)
                return n >= 1 && n <= 64 ? (int)n : -EINVAL;
        if (strncasecmp(s, "SIG", 3) == 0)
                s += 3;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(signals); i++)
                if (strcasecmp(s, signals[i].name + 3) == 0)
                        return signals[i].number;
#ifdef SIGRTMIN
        if (strcasecmp(s, "RTMIN") == 0)
                return SIGRTMIN;
        if (strcasecmp(s, "RTMAX") == 0)
                return SIGRTMAX;
        if (strncasecmp(s, "RTMIN+", 6) == 0 && zl_parse_u32(s + 6, 10, &n) == 0 &&
            n <= (uint32_t)(SIGRTMAX - SIGRTMIN))
                return SIGRTMIN + (int)n;
        if (strncasecmp(s, "RTMAX-", 6) == 0 && zl_parse_u32(s + 6, 10, &n) == 0 &&
            n <= (uint32_t)(SIGRTMAX - SIGRTMIN))
                return SIGRTMAX - (int)n;
#endif
        return -EINVAL;
}

const char *zl_signal_name(int sig)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(signals); i++)
                if (signals[i].number == sig)
                        return signals[i].name;
        return NULL;
}

/* Length of the sequence that begins at `s`, 0 if it is not well-formed (RFC 3629). */
static size_t utf8_sequence(const unsigned char *s, size_t left)
{
        size_t n = s[0] < 0x80   ? 1
                   : s[0] < 0xc2 ? 0
                   : s[0] < 0xe0 ? 2
                   : s[0] < 0xf0 ? 3
                   : s[0] < 0xf5 ? 4
                                 : 0;

        if (n == 0 || n > left || s[0] == 0)
                return 0;
        for (size_t i = 1; i < n; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
        if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
            (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
                return 0;
        return n;
}

bool zl_utf8_is_valid(const char *s, size_t len)
{
        while (len > 0) {
                size_t n = utf8_sequence((const unsigned char *)s, len);

                if (n == 0)
                        return false;
                s += n;
                len -= n;
        }
        return true;
}
