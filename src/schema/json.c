/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON reader of our own, because the programs that live beside each container read a config.json in a
 * millisecond that is all they have: one copy of the text goes into the arena, strings are ended in place, and every value
 * is one node. Recursive, so the depth is bounded.
 */
#include <stdint.h>

#include "base/macro.h"
#include "base/parse.h"
#include "schema/json.h"

struct reader {
        struct zl_arena *arena;
        char *p, *end; /* of the copy; *end is NUL */
        char *line_start;
        uint32_t line;
        unsigned depth;
        const char *what;
        const char *without; /* lists under this key are passed over; or NULL */
        struct zl_error *err;
};

static int fault(struct reader *rd, const char *at, const char *why)
{
        return zl_fail(rd->err, ZL_E_INVALID, 0, "%s:%u:%zu: %s", rd->what, rd->line,
                       (size_t)(at - rd->line_start) + 1, why);
}

static void skip_blanks(struct reader *rd)
{
        for (;; rd->p++) {
                if (*rd->p == '\n') {
                        rd->line++;
                        rd->line_start = rd->p + 1;
                } else if (*rd->p != ' ' && *rd->p != '\t' && *rd->p != '\r') {
                        return;
                }
        }
}

static int hex4(const char *s, uint32_t *ret)
{
        uint32_t v = 0;

        for (int i = 0; i < 4; i++) {
                int d = zl_hex_digit(s[i]);

                if (d < 0)
                        return -EINVAL;
                v = v * 16 + (uint32_t)d;
        }
        *ret = v;
        return 0;
}

static char *put_utf8(char *out, uint32_t c)
{
        if (c < 0x80) {
                *out++ = (char)c;
        } else if (c < 0x800) {
                *out++ = (char)(0xc0 | c >> 6);
                *out++ = (char)(0x80 | (c & 63));
        } else if (c < 0x10000) {
                *out++ = (char)(0xe0 | c >> 12);
                *out++ = (char)(0x80 | (c >> 6 & 63));
                *out++ = (char)(0x80 | (c & 63));
        } else {
                *out++ = (char)(0xf0 | c >> 18);
                *out++ = (char)(0x80 | (c >> 12 & 63));
                *out++ = (char)(0x80 | (c >> 6 & 63));
                *out++ = (char)(0x80 | (c & 63));
        }
        return out;
}

/* \uXXXX, with a second one if it is the high half of a pair; rd->p is behind "\u". */
static int unicode_escape(struct reader *rd, char **out)
{
        uint32_t c, low;

        if (hex4(rd->p, &c) < 0)
                return fault(rd, rd->p, "\\u wants four hexadecimal digits");
        rd->p += 4;
        if (c >= 0xd800 && c < 0xdc00) {
                if (rd->p[0] != '\\' || rd->p[1] != 'u' || hex4(rd->p + 2, &low) < 0 ||
                    low < 0xdc00 || low > 0xdfff)
                        return fault(rd, rd->p, "half of a surrogate pair is missing");
                rd->p += 6;
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        } else if (c >= 0xdc00 && c < 0xe000) {
                return fault(rd, rd->p, "half of a surrogate pair is missing");
        }
        if (c == 0)
                return fault(rd, rd->p, "a NUL character cannot be used in text");
        *out = put_utf8(*out, c);
        return 0;
}

static int escape(struct reader *rd, char **out)
{
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        const char *hit;
        char c = *rd->p++;

        if (c == 'u')
                return unicode_escape(rd, out);
        hit = c ? strchr(from, c) : NULL;
        if (!hit)
                return fault(rd, rd->p - 1, "unknown escape");
        *(*out)++ = to[hit - from];
        return 0;
}

/* Reads a string in place; rd->p is behind its first quote. */
static int read_string(struct reader *rd, const char **ret, uint32_t *ret_len)
{
        char *start = rd->p, *out;
        unsigned char high = 0;
        int r;

        while ((unsigned char)*rd->p >= ' ' && *rd->p != '"' && *rd->p != '\\')
                high |= (unsigned char)*rd->p++;
        out = rd->p;
        while (*rd->p != '"') {
                if ((unsigned char)*rd->p < ' ')
                        return fault(rd, rd->p,
                                     rd->p == rd->end ? "the text ends inside a string"
                                                      : "control character in a string");
                high |= (unsigned char)*rd->p;
                if (*rd->p != '\\') {
                        *out++ = *rd->p++;
                        continue;
                }
                rd->p++;
                r = escape(rd, &out);
                if (r < 0)
                        return r;
        }
        *out = 0;
        rd->p++;
        if (high >= 0x80 && !zl_utf8_is_valid(start, (size_t)(out - start)))
                return fault(rd, start, "the string is not UTF-8");
        *ret = start;
        *ret_len = (uint32_t)(out - start);
        return 0;
}

static bool is_number(const char *s, size_t len)
{
        const char *end = s + len;

        if (s < end && *s == '-')
                s++;
        if (s == end)
                return false;
        if (*s == '0')
                s++;
        else if (*s >= '1' && *s <= '9')
                s += strspn(s, "0123456789");
        else
                return false;
        if (s < end && *s == '.') {
                size_t n = strspn(++s, "0123456789");

                if (n == 0)
                        return false;
                s += n;
        }
        if (s < end && (*s == 'e' || *s == 'E')) {
                size_t n;

                s++;
                if (*s == '+' || *s == '-')
                        s++;
                n = strspn(s, "0123456789");
                if (n == 0)
                        return false;
                s += n;
        }
        return s == end;
}

static int read_plain(struct reader *rd, struct zl_node *node)
{
        static const char *const words[] = { "true", "false", "null" };
        size_t len = strcspn(rd->p, " \t\r\n,:]}[{\"");

        for (size_t i = 0; i < ZL_ARRAY_SIZE(words); i++) {
                if (len == strlen(words[i]) && memcmp(rd->p, words[i], len) == 0)
                        node->text = words[i];
        }
        if (!node->text) {
                if (!is_number(rd->p, len))
                        return fault(rd, rd->p,
                                     rd->p == rd->end ? "the text ends where a value should be"
                                                      : "this is not a JSON value");
                node->text = zl_arena_strndup(rd->arena, rd->p, len);
                if (!node->text)
                        return zl_fail_oom(rd->err);
        }
        node->len = (uint32_t)len;
        rd->p += len;
        return 0;
}

static struct zl_node *node_here(struct reader *rd)
{
        struct zl_node *node = zl_arena_alloc(rd->arena, sizeof(*node));

        if (node) {
                node->line = rd->line;
                node->column = (uint32_t)(rd->p - rd->line_start) + 1;
        }
        return node;
}

static int read_value(struct reader *rd, struct zl_node **ret);

/* "key": of a member */
static int read_key(struct reader *rd, struct zl_node **ret)
{
        struct zl_node *key;
        int r;

        skip_blanks(rd);
        if (*rd->p != '"')
                return fault(rd, rd->p, "expected a key in double quotes");
        key = node_here(rd);
        if (!key)
                return zl_fail_oom(rd->err);
        rd->p++;
        key->quoted = true;
        r = read_string(rd, &key->text, &key->len);
        if (r < 0)
                return r;
        skip_blanks(rd);
        if (*rd->p != ':')
                return fault(rd, rd->p, "expected ':' behind the key");
        rd->p++;
        *ret = key;
        return 0;
}

/* From the bracket of a list to behind its end. */
static int pass_over(struct reader *rd)
{
        size_t depth = 0;

        do {
                rd->p += strcspn(rd->p, "\"[]\n");
                switch (*rd->p++) {
                case '[':
                        depth++;
                        break;
                case ']':
                        depth--;
                        break;
                case '\n':
                        rd->line++;
                        rd->line_start = rd->p;
                        break;
                case '"':
                        while (*rd->p != '"' && rd->p < rd->end)
                                rd->p += *rd->p == '\\' && rd->p + 1 < rd->end ? 2 : 1;
                        rd->p++;
                        break;
                }
                if (rd->p > rd->end) {
                        rd->p = rd->end;
                        return fault(rd, rd->p, "the text ends too early");
                }
        } while (depth > 0);
        return 0;
}

/* One member or element, which becomes a child unless it is one that nobody wants. */
static int read_child(struct reader *rd, struct zl_node *node)
{
        struct zl_node *key = NULL, *child;
        int r = node->kind == ZL_NODE_MAP ? read_key(rd, &key) : 0;

        if (r < 0)
                return r;
        if (key && rd->without && zl_streq(key->text, rd->without)) {
                skip_blanks(rd);
                if (*rd->p == '[')
                        return pass_over(rd);
        }
        r = read_value(rd, &child);
        if (r < 0)
                return r;
        child->key = key;
        zl_node_add(node, child);
        return 0;
}

static int read_children(struct reader *rd, struct zl_node *node, char close)
{
        int r;

        skip_blanks(rd);
        if (*rd->p == close) {
                rd->p++;
                return 0;
        }
        for (;;) {
                r = read_child(rd, node);
                if (r < 0)
                        return r;
                skip_blanks(rd);
                if (*rd->p == close) {
                        rd->p++;
                        return 0;
                }
                if (*rd->p != ',')
                        return fault(rd, rd->p,
                                     rd->p == rd->end ? "the text ends too early"
                                     : close == '}'   ? "expected ',' or '}'"
                                                      : "expected ',' or ']'");
                rd->p++;
        }
}

static int read_value(struct reader *rd, struct zl_node **ret)
{
        struct zl_node *node;
        int r;

        skip_blanks(rd);
        node = node_here(rd);
        if (!node)
                return zl_fail_oom(rd->err);
        switch (*rd->p) {
        case '{':
        case '[':
                if (++rd->depth > ZL_JSON_DEPTH_MAX)
                        return fault(rd, rd->p, "more than 128 levels of nesting");
                node->kind = *rd->p == '{' ? ZL_NODE_MAP : ZL_NODE_SEQ;
                rd->p++;
                r = read_children(rd, node, node->kind == ZL_NODE_MAP ? '}' : ']');
                rd->depth--;
                break;
        case '"':
                rd->p++;
                node->quoted = true;
                r = read_string(rd, &node->text, &node->len);
                break;
        default:
                r = read_plain(rd, node);
        }
        *ret = node;
        return r;
}

int zl_json_read(struct zl_arena *arena, const char *text, size_t len, const char *what,
                 struct zl_node **ret, struct zl_error *err)
{
        return zl_json_read_without(arena, text, len, what, NULL, ret, err);
}

/* zl-size: zl_json_read() and a key */
int zl_json_read_without(struct zl_arena *arena, const char *text, size_t len, const char *what,
                         const char *key, struct zl_node **ret, struct zl_error *err)
{
        struct reader rd = { .arena = arena, .line = 1, .what = what, .without = key, .err = err };
        struct zl_node *node = NULL;
        int r;

        if (len >= UINT32_MAX)
                return zl_fail(err, ZL_E_INVALID, EFBIG, "%s", what);
        rd.p = rd.line_start = zl_arena_strndup(arena, text, len);
        if (!rd.p)
                return zl_fail_oom(err);
        rd.end = rd.p + len;
        r = read_value(&rd, &node);
        if (r < 0)
                return r;
        skip_blanks(&rd);
        if (rd.p != rd.end)
                return fault(&rd, rd.p,
                             *rd.p ? "something follows the end of the document"
                                   : "a NUL character in the text");
        *ret = node;
        return 0;
}
