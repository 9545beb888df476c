/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that walk tables; not for other rooms. */
#pragma once

#include "schema/scalar.h"
#include "schema/schema.h"

/* Where the decoder is, as a chain on its stack; only made into text when something is wrong. */
struct zl_frame {
        const struct zl_frame *up;
        const char *key; /* NULL: an index */
        size_t index;
};

enum { ZL_DEFAULTS_CACHED = 8 };

struct zl_decoder {
        unsigned flags;
        bool strict;
        struct zl_arena *arena;
        struct zl_problems *problems;
        const struct zl_frame *frame;
        unsigned depth; /* of nested collections */
        /* Trees of defaults that are written in JSON, by the address of their text. */
        struct zl_arena *scratch;
        struct {
                const char *text;
                struct zl_node *node;
        } defaults[ZL_DEFAULTS_CACHED];
};

/* Small things all walkers need. `field->offset` etc. resolved against a struct. */
static inline void *zl_field_at(const struct zl_field *field, const void *base)
{
        return (char *)base + field->offset;
}
static inline size_t *zl_field_count(const struct zl_field *field, const void *base)
{
        /* Maps of texts are { items; n } and need no ZL_COUNT. */
        size_t at = field->count_offset ? field->count_offset : field->offset + sizeof(void *);

        return (size_t *)(void *)((char *)base + at);
}
static inline bool *zl_field_has(const struct zl_field *field, const void *base)
{
        return field->has_offset ? (bool *)base + (field->has_offset - 1) : NULL;
}
static inline const struct zl_variant *zl_union_variant(const struct zl_type *type,
                                                        const void *value)
{
        int v = *(const int *)(const void *)((const char *)value + type->tag_offset);

        for (size_t i = 0; i < type->n_variants; i++)
                if (type->variants[i].value == v)
                        return &type->variants[i];
        return NULL;
}
static inline bool zl_field_is_optional(const struct zl_field *field)
{
        return field->has_offset || (field->flags & (ZL_PTR | ZL_OPTIONAL));
}

/* free.c: a field with all that its storage needs (pointer, count). */
void zl_schema_free_field(const struct zl_field *field, void *base);
/* The type of a scalar by itself, its core tag considered. */
enum zl_core zl_node_core(const struct zl_node *node);
/* "!name": a tag that is not one of YAML's own. */
static inline bool zl_node_has_local_tag(const struct zl_node *node)
{
        return node->tag && node->tag[0] == '!';
}

/* decode.c */
int zl_decode_expected(struct zl_decoder *dec, const struct zl_node *node, const char *what);
/* "did you mean 'x'?" and the list if it is short. Caller frees; NULL is fine. */
char *zl_decode_hint(const char *word, const char *const *names, size_t n, const char *label);
char *zl_decode_keep_text(struct zl_decoder *dec, const struct zl_node *node);

/* decode_scalar.c; all return 0, -EINVAL (reported) or -ENOMEM */
int zl_decode_str(struct zl_decoder *dec, const struct zl_node *node, char **value);
int zl_decode_bool(struct zl_decoder *dec, const struct zl_node *node, bool *value);
int zl_decode_uint(struct zl_decoder *dec, size_t size, const struct zl_node *node, void *value);
int zl_decode_int(struct zl_decoder *dec, size_t size, const struct zl_node *node, void *value);
int zl_decode_f64(struct zl_decoder *dec, const struct zl_node *node, double *value);
int zl_decode_enum(struct zl_decoder *dec, const struct zl_type *type, const struct zl_node *node,
                   int *value);
int zl_decode_unknown_value(struct zl_decoder *dec, const struct zl_node *node, const char *word,
                            const char *const *names, size_t n);
/* In strict context a local tag makes any value a variant of an enum, which nothing here wants. */
int zl_decode_refuse_tag(struct zl_decoder *dec, const struct zl_node *node);
/* Does the node stand for "absent"? 1, 0, or -EINVAL reported. */
int zl_decode_is_absent(struct zl_decoder *dec, const struct zl_node *node);
