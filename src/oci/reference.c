/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image references. The grammar is a regular expression upstream; here it is a handful of matchers over
 * [begin, end), because the expression is small, regexec() depends on the locale, and a specific reason
 * for a refusal is wanted.
 *
 *     ref = name [":" tag] ["@" digest]     name = [domain "/"] path
 *
 * The grammar is unambiguous to cut: neither a name nor a tag may hold "@", and a ":" behind the last "/" can
 * only begin a tag. Whether the first component is the registry is decided by its look, not by the
 * grammar: it needs a "." or ":" or must be "localhost", so "UPPER/x" is docker.io/UPPER/x.
 */
#include "oci/reference.h"

#include <stdio.h>

#include "base/parse.h"

enum { TAG_MAX = 128, DIGEST_HEX_MIN = 32 };

static bool is_lower_alnum(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alpha(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
        return is_alpha(c) || is_digit(c);
}

/* alnum, inner '-' */
static bool is_label(const char *p, const char *end)
{
        if (p == end || !is_alnum(p[0]) || !is_alnum(end[-1]))
                return false;
        for (; p < end; p++)
                if (!is_alnum(*p) && *p != '-')
                        return false;
        return true;
}

static bool is_domain(const char *p, const char *end)
{
        const char *colon = memchr(p, ':', (size_t)(end - p));

        if (colon) {
                if (colon + 1 == end)
                        return false;
                for (const char *d = colon + 1; d < end; d++)
                        if (!is_digit(*d))
                                return false;
                end = colon;
        }
        for (;;) {
                const char *dot = memchr(p, '.', (size_t)(end - p));

                if (!is_label(p, dot ? dot : end))
                        return false;
                if (!dot)
                        return true;
                p = dot + 1;
        }
}

/* Length of the separator at `p` inside a path component: "." "_" "__" or any run of "-"; 0 if none. */
static size_t separator_length(const char *p, const char *end)
{
        size_t n = 0;

        if (*p == '.')
                return 1;
        if (*p == '_')
                return p + 1 < end && p[1] == '_' ? 2 : 1;
        while (p + n < end && p[n] == '-')
                n++;
        return n;
}

static bool is_path_component(const char *p, const char *end)
{
        if (p == end || !is_lower_alnum(*p))
                return false;
        while (p < end) {
                size_t n;

                if (is_lower_alnum(*p)) {
                        p++;
                        continue;
                }
                n = separator_length(p, end);
                p += n;
                if (n == 0 || p == end || !is_lower_alnum(*p))
                        return false;
        }
        return true;
}

static bool is_path(const char *p, const char *end)
{
        for (;;) {
                const char *slash = memchr(p, '/', (size_t)(end - p));

                if (!is_path_component(p, slash ? slash : end))
                        return false;
                if (!slash)
                        return true;
                p = slash + 1;
        }
}

static bool is_name(const char *p, const char *end)
{
        const char *slash = memchr(p, '/', (size_t)(end - p));

        return is_path(p, end) || (slash && is_domain(p, slash) && is_path(slash + 1, end));
}

/* Decodes one UTF-8 character of valid text. */
static unsigned decode_utf8(const char **p)
{
        unsigned char c = (unsigned char)*(*p)++;
        unsigned code = c < 0x80 ? c : c < 0xe0 ? c & 0x1f : c < 0xf0 ? c & 0x0f : c & 0x07;

        for (int n = c < 0xc0 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3; n > 0; n--)
                code = code << 6 | ((unsigned char)*(*p)++ & 0x3f);
        return code;
}

/* Letters and digits of every script pass upstream. Without a table of all of Unicode we leave out the
 * blocks that hold none: Latin-1 signs, punctuation, arrows to dingbats, CJK marks, private use, emoji. */
static bool is_word_char(unsigned c)
{
        static const struct {
                unsigned from, to;
        } not_words[] = {
                { 0x80, 0xa9 },     { 0xab, 0xb4 },       { 0xb6, 0xb9 },        { 0xbb, 0xbf },
                { 0xd7, 0xd7 },     { 0xf7, 0xf7 },       { 0x2000, 0x203e },    { 0x2041, 0x2053 },
                { 0x2055, 0x2070 }, { 0x207a, 0x207e },   { 0x208a, 0x208f },    { 0x20a0, 0x20cf },
                { 0x2190, 0x2bff }, { 0x3000, 0x3004 },   { 0x3008, 0x3020 },    { 0xd800, 0xf8ff },
                { 0xfff0, 0xffff }, { 0x1f000, 0x1faff }, { 0xe0000, 0x10ffff },
        };

        if (c < 0x80)
                return is_alnum((char)c) || c == '_';
        for (size_t i = 0; i < ZL_ARRAY_SIZE(not_words); i++)
                if (c >= not_words[i].from && c <= not_words[i].to)
                        return false;
        return true;
}

static bool is_tag(const char *p, const char *end)
{
        size_t n = 0;

        if (!zl_utf8_is_valid(p, (size_t)(end - p)))
                return false;
        for (; p < end; n++) {
                unsigned c = decode_utf8(&p);

                if (!is_word_char(c) && (n == 0 || (c != '.' && c != '-')))
                        return false;
        }
        return n >= 1 && n <= TAG_MAX;
}

/* algorithm ":" 32*HEX, where the algorithm is words of alnum joined by one of "-_+." */
static bool is_digest(const char *p)
{
        const char *colon = strchr(p, ':');
        bool word_begins = true;

        if (!colon || colon == p)
                return false;
        for (; p < colon; p++) {
                if (word_begins ? !is_alpha(*p) : !is_alnum(*p) && !strchr("-_+.", *p))
                        return false;
                word_begins = !is_alnum(*p);
        }
        colon++;
        return !word_begins && strspn(colon, "0123456789abcdefABCDEF") == strlen(colon) &&
               strlen(colon) >= DIGEST_HEX_MIN;
}

static enum zl_reference_fault check_digest(const char *digest)
{
        static const struct {
                const char *prefix;
                size_t hex;
        } algorithms[] = { { "sha256:", 64 }, { "sha384:", 96 }, { "sha512:", 128 } };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(algorithms); i++) {
                const char *hex = zl_startswith(digest, algorithms[i].prefix);

                if (hex)
                        return strlen(hex) == algorithms[i].hex ? ZL_REFERENCE_OK
                                                                : ZL_REFERENCE_DIGEST_LENGTH;
        }
        return ZL_REFERENCE_DIGEST_ALGORITHM;
}

void zl_reference_done(struct zl_reference *ref)
{
        free(ref->registry);
        free(ref->repository);
        free(ref->tag);
        free(ref->digest);
        *ref = (struct zl_reference){ 0 };
}

static bool looks_like_registry(const char *p, const char *slash)
{
        size_t n = (size_t)(slash - p);

        return memchr(p, '.', n) || memchr(p, ':', n) || (n == 9 && memcmp(p, "localhost", 9) == 0);
}

/* Splits the name [p, end) into registry and repository, in normal form. */
static int split_name(const char *p, const char *end, struct zl_reference *ref)
{
        const char *slash = memchr(p, '/', (size_t)(end - p));

        if (slash && looks_like_registry(p, slash)) {
                ref->registry = strndup(p, (size_t)(slash - p));
                p = slash + 1;
        } else {
                ref->registry = strdup("docker.io");
        }
        if (ref->registry && zl_streq(ref->registry, "index.docker.io"))
                memmove(ref->registry, "docker.io", sizeof "docker.io");
        if (!ref->registry)
                return -ENOMEM;
        if (zl_streq(ref->registry, "docker.io") && !memchr(p, '/', (size_t)(end - p))) {
                if (asprintf(&ref->repository, "library/%.*s", (int)(end - p), p) < 0)
                        ref->repository = NULL;
        } else {
                ref->repository = strndup(p, (size_t)(end - p));
        }
        return ref->repository ? 0 : -ENOMEM;
}

static int parse(const char *text, struct zl_reference *ref, enum zl_reference_fault *fault)
{
        const char *at = strchr(text, '@');
        const char *end = at ? at : text + strlen(text);
        const char *slash = memrchr(text, '/', (size_t)(end - text));
        const char *last = slash ? slash : text;
        const char *colon = memchr(last, ':', (size_t)(end - last));
        const char *name_end = colon ? colon : end;

        *fault = *text ? ZL_REFERENCE_FORMAT : ZL_REFERENCE_EMPTY;
        if (!is_name(text, name_end) || (colon && !is_tag(colon + 1, end)) ||
            (at && !is_digest(at + 1)))
                return -EINVAL;
        if (split_name(text, name_end, ref) < 0)
                return -ENOMEM;
        if (colon || !at) {
                ref->tag = colon ? strndup(colon + 1, (size_t)(end - colon - 1)) : strdup("latest");
                if (!ref->tag)
                        return -ENOMEM;
        }
        *fault = ZL_REFERENCE_TOO_LONG;
        if (strlen(ref->repository) > ZL_REFERENCE_REPOSITORY_MAX)
                return -EINVAL;
        if (at) {
                *fault = check_digest(at + 1);
                if (*fault != ZL_REFERENCE_OK)
                        return -EINVAL;
                ref->digest = strdup(at + 1);
                if (!ref->digest)
                        return -ENOMEM;
        }
        *fault = ZL_REFERENCE_OK;
        return 0;
}

const char *zl_reference_fault_text(enum zl_reference_fault fault)
{
        static const char *const texts[] = {
                [ZL_REFERENCE_OK] = "the image reference is well-formed",
                [ZL_REFERENCE_EMPTY] = "the image reference is empty",
                [ZL_REFERENCE_FORMAT] = "the image reference is not of the form "
                                        "[registry/]repository[:tag][@digest]",
                [ZL_REFERENCE_TOO_LONG] = "the repository name has more than 255 bytes",
                [ZL_REFERENCE_DIGEST_LENGTH] = "the digest has the wrong number of hex digits for "
                                               "its algorithm",
                [ZL_REFERENCE_DIGEST_ALGORITHM] = "the digest algorithm is not sha256, sha384 or "
                                                  "sha512",
        };

        return texts[fault];
}

int zl_reference_parse(const char *text, struct zl_reference *ret,
                       enum zl_reference_fault *ret_fault, struct zl_error *err)
{
        struct zl_reference ref = { 0 };
        enum zl_reference_fault fault;
        int r = parse(text, &ref, &fault);

        if (r < 0) {
                zl_reference_done(&ref);
                if (r == -ENOMEM)
                        return zl_fail_oom(err);
                if (ret_fault)
                        *ret_fault = fault;
                if (fault == ZL_REFERENCE_EMPTY)
                        return zl_fail(err, ZL_E_INVALID, 0, "%s", zl_reference_fault_text(fault));
                return zl_fail(err, ZL_E_INVALID, 0, "%.300s: %s", text,
                               zl_reference_fault_text(fault));
        }
        *ret = ref;
        if (ret_fault)
                *ret_fault = ZL_REFERENCE_OK;
        return 0;
}

char *zl_reference_text(const struct zl_reference *ref)
{
        char *text;

        if (asprintf(&text, "%s/%s%s%s%s%s", ref->registry, ref->repository, ref->tag ? ":" : "",
                     ref->tag ? ref->tag : "", ref->digest ? "@" : "",
                     ref->digest ? ref->digest : "") < 0)
                return NULL;
        return text;
}

int zl_reference_canonical(const char *text, char **ret, enum zl_reference_fault *ret_fault,
                           struct zl_error *err)
{
        _cleanup_reference_ struct zl_reference ref = { 0 };
        char *canonical;
        int r = zl_reference_parse(text, &ref, ret_fault, err);

        if (r < 0)
                return r;
        canonical = zl_reference_text(&ref);
        if (!canonical)
                return zl_fail_oom(err);
        *ret = canonical;
        return 0;
}

bool zl_reference_is_mutable(const struct zl_reference *ref)
{
        return !ref->tag || zl_streq(ref->tag, "latest");
}

const char *zl_reference_host(const struct zl_reference *ref)
{
        return zl_streq(ref->registry, "docker.io") ? "registry-1.docker.io" : ref->registry;
}

bool zl_registry_is_loopback(const char *registry)
{
        unsigned a, b, c, d;
        char end = ':';

        if (zl_startswith(registry, "[::1]"))
                return true;
        for (const char *p = zl_startswith(registry, "localhost"); p; p = NULL)
                if (*p == 0 || *p == ':')
                        return true;
        /* Only a real dotted quad: "127.0.0.1.example.org" is somewhere else. */
        return sscanf(registry, "%3u.%3u.%3u.%3u%c", &a, &b, &c, &d, &end) >= 4 && a == 127 &&
               b < 256 && c < 256 && d < 256 && end == ':';
}
