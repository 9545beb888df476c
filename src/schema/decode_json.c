/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values without a type of their own (init.steps[].with): kept as JSON text, scalars typed by themselves
 * (spec §2.4). Numbers that JSON cannot hold become null, as upstream; integers beyond 64 bits are errors.
 */
#include <math.h>
#include <stdlib.h>

#include "schema/decode_internal.h"

enum { DEPTH_MAX = 128, TEXT_MAX = 16 << 20 };

static int put_value(struct zl_decoder *dec, const struct zl_node *node, struct zl_buf *out);

static int put_scalar(struct zl_decoder *dec, const struct zl_node *node, struct zl_buf *out)
{
        char text[ZL_F64_TEXT_MAX];
        struct zl_number n;
        double f;
        bool b;

        switch (zl_node_core(node)) {
        case ZL_CORE_NULL:
                zl_buf_puts(out, "null");
                return 0;
        case ZL_CORE_BOOL:
                zl_core_bool(node->text, &b);
                zl_buf_puts(out, b ? "true" : "false");
                return 0;
        case ZL_CORE_HUGE:
                return zl_decode_problem(dec, node, "write it in quotes if it is text",
                                         "%.60s does not fit 64 bits", node->text);
        case ZL_CORE_INT:
                zl_core_int(node->text, &n);
                zl_buf_putf(out, "%s%llu", n.negative && n.magnitude ? "-" : "",
                            (unsigned long long)n.magnitude);
                return 0;
        case ZL_CORE_FLOAT:
                zl_core_f64(node->text, &f);
                zl_f64_text(f, text);
                zl_buf_puts(out, isfinite(f) ? text : "null");
                return 0;
        case ZL_CORE_STR:
                break;
        }
        zl_json_quote(out, node->text, node->len);
        return 0;
}

/* Is there a later child with the same key? (The last one wins.) */
static bool is_overridden(const struct zl_node *child)
{
        for (const struct zl_node *next = child->next; next; next = next->next)
                if (zl_streq(next->key->text, child->key->text))
                        return true;
        return false;
}

enum { DUPLICATE_CHECK_MAX = 4096 };

static int put_children(struct zl_decoder *dec, const struct zl_node *node, struct zl_buf *out)
{
        struct zl_frame frame = { .up = dec->frame };
        bool map = node->kind == ZL_NODE_MAP, first = true;
        int r, result = 0;

        if (map && node->n > DUPLICATE_CHECK_MAX)
                return zl_decode_problem(dec, node, NULL, "more than %d keys in a map",
                                         DUPLICATE_CHECK_MAX);
        dec->frame = &frame;
        zl_buf_putc(out, map ? '{' : '[');
        ZL_NODE_FOREACH(child, node)
        {
                frame.key = map ? child->key->text : NULL;
                if (!map || !is_overridden(child)) {
                        if (!first)
                                zl_buf_putc(out, ',');
                        first = false;
                        if (map) {
                                zl_json_quote(out, child->key->text, child->key->len);
                                zl_buf_putc(out, ':');
                        }
                        r = put_value(dec, child, out);
                        if (r < 0)
                                result = r;
                }
                frame.index++;
        }
        zl_buf_putc(out, map ? '}' : ']');
        dec->frame = frame.up;
        return result;
}

static int put_value(struct zl_decoder *dec, const struct zl_node *node, struct zl_buf *out)
{
        int r;

        if (zl_node_has_local_tag(node))
                return zl_decode_problem(dec, node, NULL, "the tag %s has no meaning here",
                                         node->tag);
        if (node->kind == ZL_NODE_SCALAR)
                return put_scalar(dec, node, out);
        if (dec->depth >= DEPTH_MAX)
                return zl_decode_problem(dec, node, NULL, "more than %d levels of nesting",
                                         DEPTH_MAX);
        dec->depth++;
        r = put_children(dec, node, out);
        dec->depth--;
        return r;
}

int zl_decode_json(struct zl_decoder *dec, const struct zl_node *node, char **ret)
{
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(TEXT_MAX);
        int r = put_value(dec, node, &out);

        if (r < 0)
                return r;
        if (zl_buf_error(&out) == -E2BIG)
                return zl_decode_problem(dec, node, NULL, "the value is larger than 16 MiB");
        if (zl_buf_error(&out))
                return -ENOMEM;
        *ret = zl_decode_strdup(dec, out.data);
        return *ret ? 0 : -ENOMEM;
}
