/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way back: a value becomes a node tree in canonical order (that of the tables), and the writers of node.h make text of
 * it. What is written when empty or absent is said by the flags of each field (spec §11).
 */
#include <stdio.h>

#include "base/strv.h"
#include "schema/decode_internal.h"

struct zl_encoder {
        struct zl_arena *arena;
        enum zl_encode_form form;
};

enum zl_encode_form zl_encode_form(const struct zl_encoder *enc)
{
        return enc->form;
}

struct zl_arena *zl_encode_arena(const struct zl_encoder *enc)
{
        return enc->arena;
}

static struct zl_node *encode_value(struct zl_encoder *enc, const struct zl_type *type,
                                    const void *value);

static struct zl_node *null_node(struct zl_encoder *enc)
{
        return zl_node_new_text(enc->arena, "null", false);
}

static uint64_t read_uint(size_t size, const void *value)
{
        switch (size) {
        case 1:
                return *(const uint8_t *)value;
        case 2:
                return *(const uint16_t *)value;
        case 4:
                return *(const uint32_t *)value;
        default:
                return *(const uint64_t *)value;
        }
}

static int64_t read_int(size_t size, const void *value)
{
        switch (size) {
        case 1:
                return *(const int8_t *)value;
        case 2:
                return *(const int16_t *)value;
        case 4:
                return *(const int32_t *)value;
        default:
                return *(const int64_t *)value;
        }
}

static struct zl_node *encode_number(struct zl_encoder *enc, const struct zl_type *type,
                                     const void *value)
{
        char text[ZL_F64_TEXT_MAX];

        if (type->kind == ZL_KIND_F64)
                zl_f64_text(*(const double *)value, text);
        else if (type->kind == ZL_KIND_UINT)
                snprintf(text, sizeof(text), "%llu",
                         (unsigned long long)read_uint(type->size, value));
        else
                snprintf(text, sizeof(text), "%lld", (long long)read_int(type->size, value));
        return zl_node_new_text(enc->arena, text, false);
}

static struct zl_node *encode_strv(struct zl_encoder *enc, char *const *strv)
{
        struct zl_node *seq = zl_node_new(enc->arena, ZL_NODE_SEQ);

        if (!seq)
                return NULL;
        ZL_STRV_FOREACH(s, strv) {
                if (zl_node_add(seq, zl_node_new_text(enc->arena, *s, true)) < 0)
                        return NULL;
        }
        return seq;
}

static struct zl_node *encode_array(struct zl_encoder *enc, const struct zl_type *type,
                                    const char *items, size_t n)
{
        bool map = type->kind == ZL_KIND_MAP;
        size_t size = map || type->elem->kind != ZL_KIND_MAP ? type->elem->size
                                                             : 2 * sizeof(void *);
        struct zl_node *node = zl_node_new(enc->arena, map ? ZL_NODE_MAP : ZL_NODE_SEQ);

        if (map)
                size = type->size;
        for (size_t i = 0; node && i < n; i++) {
                const char *at = items + i * size;
                const void *value = map ? at + type->value_offset : at;
                struct zl_node *child;

                if (map && type->elem_ptr)
                        value = *(void *const *)value;
                child = encode_value(enc, type->elem, value);
                if (map ? zl_node_put(enc->arena, node, *(char *const *)(const void *)at, child) < 0
                        : zl_node_add(node, child) < 0)
                        return NULL;
        }
        return node;
}

/* Has the field a value that is worth writing? */
static bool is_present(const struct zl_field *f, const void *base)
{
        const void *at = zl_field_at(f, base);

        if (f->has_offset)
                return *zl_field_has(f, base);
        if (f->flags & ZL_PTR)
                return *(void *const *)at != NULL;
        switch (f->type->kind) {
        case ZL_KIND_STR:
        case ZL_KIND_VALUE:
                return *(void *const *)at != NULL;
        case ZL_KIND_STRV:
                /* An optional list differs from an empty one. */
                return (f->flags & ZL_OPTIONAL) ? *(void *const *)at != NULL
                                                : zl_strv_len(*(char **const *)at) > 0;
        case ZL_KIND_LIST:
        case ZL_KIND_MAP:
                return *zl_field_count(f, base) > 0;
        case ZL_KIND_CUSTOM:
                return !f->type->custom->is_empty || !f->type->custom->is_empty(at);
        default:
                return true;
        }
}

static struct zl_node *encode_field(struct zl_encoder *enc, const struct zl_field *f,
                                    const void *base)
{
        const void *at = zl_field_at(f, base);

        if (f->type->kind == ZL_KIND_LIST || f->type->kind == ZL_KIND_MAP)
                return encode_array(enc, f->type, *(void *const *)at, *zl_field_count(f, base));
        return encode_value(enc, f->type, (f->flags & ZL_PTR) ? *(void *const *)at : at);
}

/* Left out of the canonical forms? */
static bool is_hidden(const struct zl_field *f, const void *base)
{
        const char *text;

        if (f->flags & ZL_OUT_NEVER)
                return true;
        if (!(f->flags & ZL_OUT_TEXT))
                return false;
        text = *(char *const *)zl_field_at(f, base);
        return !text || !*text;
}

static int encode_fields(struct zl_encoder *enc, const struct zl_field *fields, size_t n,
                         const void *base, struct zl_node *map)
{
        for (size_t i = 0; i < n; i++) {
                const struct zl_field *f = &fields[i];
                struct zl_node *child;

                if (enc->form != ZL_FORM_STORED && is_hidden(f, base))
                        continue;
                if (is_present(f, base))
                        child = encode_field(enc, f, base);
                else if ((f->flags & ZL_OUT_NULL) ||
                         (enc->form == ZL_FORM_STORED && f->has_offset && f->def))
                        child = null_node(enc);
                else if (f->flags & ZL_OUT_ALWAYS)
                        child = zl_node_new(enc->arena, f->type->kind == ZL_KIND_MAP ? ZL_NODE_MAP
                                                                                     : ZL_NODE_SEQ);
                else
                        continue;
                if (zl_node_put(enc->arena, map, f->name, child) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static struct zl_node *encode_union(struct zl_encoder *enc, const struct zl_type *type,
                                    const void *value)
{
        const struct zl_variant *variant = zl_union_variant(type, value);
        struct zl_node *map = zl_node_new(enc->arena, ZL_NODE_MAP);

        if (!map || !variant)
                return NULL;
        if (zl_node_put(enc->arena, map, type->tag,
                        zl_node_new_text(enc->arena, variant->name, true)) < 0 ||
            encode_fields(enc, variant->fields, variant->n_fields, value, map) < 0)
                return NULL;
        return map;
}

static struct zl_node *encode_enum(struct zl_encoder *enc, const struct zl_type *type, int value)
{
        for (size_t i = 0; i < type->n_items; i++)
                if (type->items[i].value == value)
                        return zl_node_new_text(enc->arena, type->items[i].name, true);
        return NULL;
}

static struct zl_node *encode_struct(struct zl_encoder *enc, const struct zl_type *type,
                                     const void *value)
{
        struct zl_node *map = zl_node_new(enc->arena, ZL_NODE_MAP);

        if (!map || encode_fields(enc, type->fields, type->n_fields, value, map) < 0)
                return NULL;
        return map;
}

static struct zl_node *encode_text(struct zl_encoder *enc, const char *text, bool raw_json)
{
        struct zl_node *node = zl_node_new_text(enc->arena,
                                                text       ? text
                                                : raw_json ? "null"
                                                           : "",
                                                !raw_json);

        if (node)
                node->raw_json = raw_json;
        return node;
}

static struct zl_node *encode_value(struct zl_encoder *enc, const struct zl_type *type,
                                    const void *value)
{
        switch (type->kind) {
        case ZL_KIND_STR:
        case ZL_KIND_VALUE:
                return encode_text(enc, *(char *const *)value, type->kind == ZL_KIND_VALUE);
        case ZL_KIND_BOOL:
                return zl_node_new_text(enc->arena, *(const bool *)value ? "true" : "false", false);
        case ZL_KIND_UINT:
        case ZL_KIND_INT:
        case ZL_KIND_F64:
                return encode_number(enc, type, value);
        case ZL_KIND_ENUM:
                return encode_enum(enc, type, *(const int *)value);
        case ZL_KIND_STRV:
                return encode_strv(enc, *(char **const *)value);
        case ZL_KIND_STRUCT:
                return encode_struct(enc, type, value);
        case ZL_KIND_UNION:
                return encode_union(enc, type, value);
        case ZL_KIND_LIST:
        case ZL_KIND_MAP:
                return encode_array(
                        enc, type, *(void *const *)value,
                        *(const size_t *)(const void *)((const char *)value + sizeof(void *)));
        case ZL_KIND_CUSTOM:
                return type->custom->encode(enc, value);
        }
        return NULL;
}

struct zl_node *zl_schema_encode(const struct zl_type *type, const void *value,
                                 enum zl_encode_form form, struct zl_arena *arena)
{
        struct zl_encoder enc = { .arena = arena, .form = form };

        return encode_value(&enc, type, value);
}

enum { DUMP_MAX = 64 << 20 };

char *zl_schema_dump_json(const struct zl_type *type, const void *value, unsigned indent)
{
        _cleanup_arena_ struct zl_arena *arena = zl_arena_new(0);
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(DUMP_MAX);
        struct zl_node *node;

        node = arena ? zl_schema_encode(type, value, ZL_FORM_JSON, arena) : NULL;
        if (!node)
                return NULL;
        zl_node_write_json(node, indent, &out);
        return zl_buf_error(&out) ? NULL : zl_buf_take(&out);
}
