/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Node trees and their way back to text. The YAML writer quotes whatever could be taken for something else than
 * text, so what it writes reads back as the same tree; everything unusual goes into double quotes with JSON
 * escapes, which YAML understands too.
 */
#include <errno.h>

#include "schema/node.h"
#include "schema/scalar.h"

struct zl_node *zl_node_new(struct zl_arena *arena, enum zl_node_kind kind)
{
        struct zl_node *node = zl_arena_alloc(arena, sizeof(*node));

        if (node)
                node->kind = kind;
        return node;
}

struct zl_node *zl_node_new_text(struct zl_arena *arena, const char *text, bool quoted)
{
        struct zl_node *node = zl_node_new(arena, ZL_NODE_SCALAR);
        size_t len = strlen(text);

        if (!node || len >= UINT32_MAX)
                return NULL;
        node->text = zl_arena_strndup(arena, text, len);
        node->len = (uint32_t)len;
        node->quoted = quoted;
        return node->text ? node : NULL;
}

int zl_node_add(struct zl_node *seq, struct zl_node *child)
{
        if (!child)
                return -ENOMEM;
        if (seq->last)
                seq->last->next = child;
        else
                seq->first = child;
        seq->last = child;
        seq->n++;
        return 0;
}

int zl_node_put(struct zl_arena *arena, struct zl_node *map, const char *key, struct zl_node *child)
{
        if (!child)
                return -ENOMEM;
        child->key = zl_node_new_text(arena, key, true);
        if (!child->key)
                return -ENOMEM;
        return zl_node_add(map, child);
}

struct zl_node *zl_node_get(const struct zl_node *node, const char *key)
{
        struct zl_node *found = NULL;

        if (!node || node->kind != ZL_NODE_MAP)
                return NULL;
        ZL_NODE_FOREACH(child, node)
        {
                if (zl_streq(child->key->text, key))
                        found = child;
        }
        return found;
}

struct zl_node *zl_node_at(const struct zl_node *node, size_t index)
{
        if (!node || node->kind != ZL_NODE_SEQ)
                return NULL;
        ZL_NODE_FOREACH(child, node)
        {
                if (index-- == 0)
                        return child;
        }
        return NULL;
}

bool zl_node_is_null(const struct zl_node *node)
{
        return node->kind == ZL_NODE_SCALAR && !node->quoted && !node->tag &&
               zl_core_is_null(node->text);
}

const char *zl_node_describe(const struct zl_node *node)
{
        static const char *const names[] = { "null",     "true or false", "a number",
                                             "a number", "a number",      "text" };

        if (node->kind == ZL_NODE_SEQ)
                return "a list";
        if (node->kind == ZL_NODE_MAP)
                return "a map";
        if (node->quoted)
                return "text";
        return node->len == 0 ? "nothing" : names[zl_core_type(node->text)];
}

/* Characters that JSON allows and YAML (or a terminal) does not: DEL, C1 controls, line separators, byte order marks. Tells
 * the code point and its length in bytes, or 0. */
static unsigned unprintable(const unsigned char *s, size_t len, size_t *ret_len)
{
        if (s[0] == 0x7f) {
                *ret_len = 1;
                return 0x7f;
        }
        if (len >= 2 && s[0] == 0xc2 && s[1] < 0xa0) {
                *ret_len = 2;
                return s[1];
        }
        *ret_len = 3;
        if (len >= 3 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9))
                return 0x2000u + (s[2] & 0x3f);
        if (len >= 3 && s[0] == 0xef && s[1] == 0xbb && s[2] == 0xbf)
                return 0xfeff;
        if (len >= 3 && s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe)
                return 0xffc0u + (s[2] & 0x3f);
        return 0;
}

void zl_json_quote(struct zl_buf *out, const char *s, size_t len)
{
        static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
        size_t start = 0, skip;

        zl_buf_putc(out, '"');
        for (size_t i = 0; i < len;) {
                unsigned char c = (unsigned char)s[i];
                unsigned code;

                if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
                        i++;
                        continue;
                }
                code = unprintable((const unsigned char *)s + i, len - i, &skip);
                if (!code && c > 0x7f) {
                        i++;
                        continue;
                }
                zl_buf_put(out, s + start, i - start);
                if (code) {
                        zl_buf_putf(out, "\\u%04x", code);
                        i += skip;
                } else {
                        const char *hit = c ? strchr(from, c) : NULL;

                        if (hit)
                                zl_buf_putf(out, "\\%c", to[hit - from]);
                        else
                                zl_buf_putf(out, "\\u%04x", c);
                        i++;
                }
                start = i;
        }
        zl_buf_put(out, s + start, len - start);
        zl_buf_putc(out, '"');
}

static void json_scalar(const struct zl_node *node, struct zl_buf *out)
{
        if (node->quoted)
                zl_json_quote(out, node->text, node->len);
        else if (node->len == 0 || strspn(node->text, "+-") != strcspn(node->text, "."))
                zl_buf_puts(out, node->len ? node->text : "null");
        else
                zl_buf_puts(out, "null"); /* .inf and .nan: JSON has no such numbers */
}

static void new_line(struct zl_buf *out, unsigned indent, unsigned level)
{
        if (indent)
                zl_buf_putf(out, "\n%*s", (int)(indent * level), "");
}

static void json_node(const struct zl_node *node, unsigned indent, unsigned level,
                      struct zl_buf *out)
{
        bool map = node->kind == ZL_NODE_MAP, first = true;

        if (node->kind == ZL_NODE_SCALAR) {
                if (node->raw_json)
                        zl_buf_puts(out, node->text);
                else
                        json_scalar(node, out);
                return;
        }
        zl_buf_putc(out, map ? '{' : '[');
        ZL_NODE_FOREACH(child, node)
        {
                if (!first)
                        zl_buf_putc(out, ',');
                first = false;
                new_line(out, indent, level + 1);
                if (map) {
                        zl_json_quote(out, child->key->text, child->key->len);
                        zl_buf_puts(out, indent ? ": " : ":");
                }
                json_node(child, indent, level + 1, out);
        }
        if (!first)
                new_line(out, indent, level);
        zl_buf_putc(out, map ? '}' : ']');
}

void zl_node_write_json(const struct zl_node *node, unsigned indent, struct zl_buf *out)
{
        json_node(node, indent, 0, out);
}

/* Can the text stand in YAML as it is and still be text? Narrower than the grammar needs. */
static bool is_safe_plain(const char *s, size_t len)
{
        static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "_./:-+@";

        if (len == 0 || len > 128 || strchr("-+:.@", s[0]) || s[len - 1] == ':')
                return false;
        return strspn(s, fine) == len && zl_core_type(s) == ZL_CORE_STR && !strstr(s, "::");
}

static void yaml_scalar(const struct zl_node *node, struct zl_buf *out)
{
        if (node->raw_json || !node->quoted)
                zl_buf_puts(out, node->len ? node->text : "null");
        else if (is_safe_plain(node->text, node->len))
                zl_buf_puts(out, node->text);
        else
                zl_json_quote(out, node->text, node->len);
}

static void yaml_node(const struct zl_node *node, unsigned level, bool here, struct zl_buf *out);

/* What follows "key:" or "-". */
static void yaml_child(const struct zl_node *node, unsigned level, bool in_seq, struct zl_buf *out)
{
        if (node->tag)
                zl_buf_putf(out, " %s", node->tag);
        if (node->kind == ZL_NODE_SCALAR) {
                zl_buf_putc(out, ' ');
                yaml_scalar(node, out);
                zl_buf_putc(out, '\n');
        } else if (node->n == 0) {
                zl_buf_puts(out, node->kind == ZL_NODE_MAP ? " {}\n" : " []\n");
        } else if (in_seq && !node->tag) {
                zl_buf_putc(out, ' ');
                yaml_node(node, level, true, out);
        } else {
                zl_buf_putc(out, '\n');
                yaml_node(node, level, false, out);
        }
}

enum {
        SIMPLE_KEY_MAX = 900
}; /* a key on one line with its value may have 1024 bytes, escapes included */

/* A collection that is not empty; `here`: the cursor is already where its first line begins. */
static void yaml_node(const struct zl_node *node, unsigned level, bool here, struct zl_buf *out)
{
        ZL_NODE_FOREACH(child, node)
        {
                if (!here)
                        zl_buf_putf(out, "%*s", (int)(level * 2), "");
                here = false;
                if (node->kind == ZL_NODE_SEQ) {
                        zl_buf_putc(out, '-');
                        yaml_child(child, level + 1, true, out);
                        continue;
                }
                if (child->key->len * 6 > SIMPLE_KEY_MAX) {
                        zl_buf_puts(out, "? ");
                        yaml_scalar(child->key, out);
                        zl_buf_putf(out, "\n%*s", (int)(level * 2), "");
                } else {
                        yaml_scalar(child->key, out);
                }
                zl_buf_putc(out, ':');
                yaml_child(child, level + 1, false, out);
        }
}

void zl_node_write_yaml(const struct zl_node *node, struct zl_buf *out)
{
        if (node->kind != ZL_NODE_SCALAR && node->n) {
                yaml_node(node, 0, false, out);
                return;
        }
        if (node->kind == ZL_NODE_SCALAR)
                yaml_scalar(node, out);
        else
                zl_buf_puts(out, node->kind == ZL_NODE_MAP ? "{}" : "[]");
        zl_buf_putc(out, '\n');
}
