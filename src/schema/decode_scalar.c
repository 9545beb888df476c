/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scalars: text, flags, numbers and enums in the two contexts (see decode.c). Every refusal says what was expected and
 * what was found, because "invalid type" sends people to the documentation.
 */
#include "schema/decode_internal.h"

static const char TAG_CORE[] = "tag:yaml.org,2002:";

bool zl_decode_is_strict(const struct zl_decoder *dec)
{
        return dec->strict;
}

/* The name behind "tag:yaml.org,2002:", or NULL. */
static const char *core_tag(const struct zl_node *node)
{
        return node->tag ? zl_startswith(node->tag, TAG_CORE) : NULL;
}

/* The type of a scalar in strict context. */
enum zl_core zl_node_core(const struct zl_node *node)
{
        const char *tag = core_tag(node);

        if (tag && (zl_streq(tag, "int") || zl_streq(tag, "float") || zl_streq(tag, "bool") ||
                    zl_streq(tag, "null")))
                return zl_core_type(node->text);
        return node->quoted || node->tag ? ZL_CORE_STR : zl_core_type(node->text);
}

/* In strict context a local tag makes any value a variant of an enum, which nothing here wants. */
int zl_decode_refuse_tag(struct zl_decoder *dec, const struct zl_node *node)
{
        if (dec->strict && zl_node_has_local_tag(node))
                return zl_decode_problem(dec, node, NULL, "the tag %s has no meaning here",
                                         node->tag);
        return 0;
}

/* Does the node stand for "absent"? 1, 0, or -EINVAL reported. */
int zl_decode_is_absent(struct zl_decoder *dec, const struct zl_node *node)
{
        const char *tag = core_tag(node);

        if (node->kind != ZL_NODE_SCALAR)
                return 0;
        if (tag && zl_streq(tag, "null")) {
                if (zl_core_is_null(node->text))
                        return 1;
                return zl_decode_expected(dec, node, "null");
        }
        return zl_node_is_null(node);
}

int zl_decode_text(struct zl_decoder *dec, const struct zl_node *node, const char **ret)
{
        int r = zl_decode_refuse_tag(dec, node);

        if (r < 0)
                return r;
        if (node->kind != ZL_NODE_SCALAR)
                return zl_decode_expected(dec, node, "text");
        if (dec->strict && zl_node_core(node) != ZL_CORE_STR)
                return zl_decode_problem(dec, node, "write it in quotes",
                                         "expected text, found %s %.60s", zl_node_describe(node),
                                         node->text);
        *ret = node->text;
        return 0;
}

int zl_decode_str(struct zl_decoder *dec, const struct zl_node *node, char **value)
{
        const char *text;
        int r = zl_decode_text(dec, node, &text);

        if (r < 0)
                return r;
        *value = zl_decode_keep_text(dec, node);
        return *value ? 0 : -ENOMEM;
}

/* Numbers and flags must be plain in both contexts; a core tag in strict context lets quotes pass. */
static bool may_be_literal(struct zl_decoder *dec, const struct zl_node *node)
{
        return node->kind == ZL_NODE_SCALAR && (!node->quoted || (dec->strict && core_tag(node)));
}

int zl_decode_bool(struct zl_decoder *dec, const struct zl_node *node, bool *value)
{
        int r = zl_decode_refuse_tag(dec, node);

        if (r < 0)
                return r;
        if (!may_be_literal(dec, node) || zl_core_bool(node->text, value) < 0)
                return zl_decode_expected(dec, node, "true or false");
        return 0;
}

int zl_decode_uint(struct zl_decoder *dec, size_t size, const struct zl_node *node, void *value)
{
        uint64_t max = size == 8 ? UINT64_MAX : (UINT64_C(1) << (size * 8)) - 1;
        struct zl_number n;
        int r = zl_decode_refuse_tag(dec, node);

        if (r < 0)
                return r;
        r = may_be_literal(dec, node) ? zl_core_int(node->text, &n) : -EINVAL;
        if (r == -EINVAL || (r == 0 && n.negative && n.magnitude == 0 && !dec->strict))
                return zl_decode_expected(dec, node, "a whole number");
        if (r < 0 || n.magnitude > max || (n.negative && n.magnitude))
                return zl_decode_problem(dec, node, NULL, "%.60s is out of range: 0 to %llu",
                                         node->text, (unsigned long long)max);
        memcpy(value,
               (const uint8_t *)&n.magnitude +
                       (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 8 - size : 0),
               size);
        return 0;
}

int zl_decode_int(struct zl_decoder *dec, size_t size, const struct zl_node *node, void *value)
{
        uint64_t max = (UINT64_C(1) << (size * 8 - 1)) - 1;
        struct zl_number n;
        uint64_t v;
        int r = zl_decode_refuse_tag(dec, node);

        if (r < 0)
                return r;
        r = may_be_literal(dec, node) ? zl_core_int(node->text, &n) : -EINVAL;
        if (r == -EINVAL)
                return zl_decode_expected(dec, node, "a whole number");
        if (r < 0 || n.magnitude > max + n.negative)
                return zl_decode_problem(dec, node, NULL, "%.60s is out of range: -%llu to %llu",
                                         node->text, (unsigned long long)max + 1,
                                         (unsigned long long)max);
        v = n.negative ? -n.magnitude : n.magnitude;
        memcpy(value, (const uint8_t *)&v + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 8 - size : 0),
               size);
        return 0;
}

int zl_decode_f64(struct zl_decoder *dec, const struct zl_node *node, double *value)
{
        struct zl_number n;
        int r = zl_decode_refuse_tag(dec, node);

        if (r < 0)
                return r;
        if (!may_be_literal(dec, node))
                return zl_decode_expected(dec, node, "a number");
        if (dec->strict && zl_node_core(node) == ZL_CORE_INT && zl_core_int(node->text, &n) == 0) {
                *value = n.negative ? -(double)n.magnitude : (double)n.magnitude;
                return 0;
        }
        if (zl_core_f64(node->text, value) < 0)
                return zl_decode_expected(dec, node, "a number");
        return 0;
}

int zl_decode_unknown_value(struct zl_decoder *dec, const struct zl_node *node, const char *word,
                            const char *const *names, size_t n)
{
        _cleanup_free_ char *hint = zl_decode_hint(word, names, n, "allowed");

        return zl_decode_problem(dec, node, hint, "unknown value '%.60s'", word);
}

int zl_decode_enum(struct zl_decoder *dec, const struct zl_type *type, const struct zl_node *node,
                   int *value)
{
        const char *names[64], *word = node->text;
        size_t n = ZL_MIN(type->n_items, ZL_ARRAY_SIZE(names));

        if (node->kind != ZL_NODE_SCALAR)
                return zl_decode_expected(dec, node, "one word");
        if (zl_node_has_local_tag(node)) {
                int r = zl_decode_refuse_tag(dec, node);

                if (r < 0)
                        return r;
                if (node->quoted || !zl_core_is_null(node->text))
                        return zl_decode_problem(dec, node, NULL,
                                                 "nothing may stand behind the tag %s", node->tag);
                word = node->tag + 1;
        } else if (dec->strict && zl_node_core(node) != ZL_CORE_STR) {
                return zl_decode_expected(dec, node, "one word");
        }
        for (size_t i = 0; i < n; i++) {
                if (zl_streq(word, type->items[i].name)) {
                        *value = type->items[i].value;
                        return 0;
                }
                names[i] = type->items[i].name;
        }
        return zl_decode_unknown_value(dec, node, word, names, n);
}
