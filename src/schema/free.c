/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freeing and copying by the tables. Both work on values that are only partly filled (zeroed members), because a decoder that
 * met faults leaves such values behind, and a copy that runs out of memory does too.
 */
#include "base/strv.h"
#include "schema/decode_internal.h"

static void free_value(const struct zl_type *type, void *value);

static void free_fields(const struct zl_field *fields, size_t n, void *base)
{
        for (size_t i = 0; i < n; i++)
                zl_schema_free_field(&fields[i], base);
}

static size_t value_size(const struct zl_type *type)
{
        return type->kind == ZL_KIND_MAP ? sizeof(void *) + sizeof(size_t) : type->size;
}

static void free_array(const struct zl_type *type, char *items, size_t n)
{
        size_t size = type->kind == ZL_KIND_MAP ? type->size : value_size(type->elem);

        for (size_t i = 0; i < n; i++) {
                char *at = items + i * size;

                if (type->kind == ZL_KIND_MAP) {
                        struct zl_field field = { .type = type->elem,
                                                  .offset = type->value_offset,
                                                  .flags = type->elem_ptr ? ZL_PTR : 0 };

                        free(*(char **)(void *)at);
                        zl_schema_free_field(&field, at);
                } else {
                        free_value(type->elem, at);
                }
        }
        free(items);
}

void zl_schema_free_field(const struct zl_field *field, void *base)
{
        void *at = zl_field_at(field, base);

        if (field->type->kind == ZL_KIND_LIST || field->type->kind == ZL_KIND_MAP) {
                free_array(field->type, *(void **)at, *zl_field_count(field, base));
        } else if (field->flags & ZL_PTR) {
                void *p = *(void **)at;

                if (p)
                        free_value(field->type, p);
                free(p);
        } else {
                free_value(field->type, at);
        }
}

static void free_value(const struct zl_type *type, void *value)
{
        const struct zl_variant *variant;

        switch (type->kind) {
        case ZL_KIND_STR:
        case ZL_KIND_VALUE:
                free(*(char **)value);
                break;
        case ZL_KIND_STRV:
                zl_strv_free(*(char ***)value);
                break;
        case ZL_KIND_STRUCT:
                free_fields(type->fields, type->n_fields, value);
                break;
        case ZL_KIND_UNION:
                variant = zl_union_variant(type, value);
                if (variant)
                        free_fields(variant->fields, variant->n_fields, value);
                break;
        case ZL_KIND_LIST:
        case ZL_KIND_MAP:
                free_array(type, *(void **)value,
                           *(size_t *)(void *)((char *)value + sizeof(void *)));
                break;
        case ZL_KIND_CUSTOM:
                if (type->custom->free)
                        type->custom->free(value);
                break;
        default:
                break;
        }
}

void zl_schema_free(const struct zl_type *type, void *value)
{
        free_value(type, value);
        memset(value, 0, value_size(type));
}

/* ---- copying ------------------------------------------------------------------------------------------ */

static int copy_value(const struct zl_type *type, const void *src, void *dst);

static int copy_array(const struct zl_type *type, const char *items, size_t n, void **ret,
                      size_t *ret_n);

/* `dst` is zeroed before. */
static int copy_field(const struct zl_field *field, const void *src, void *dst)
{
        void *from = zl_field_at(field, src), *to = zl_field_at(field, dst);

        if (field->has_offset)
                *zl_field_has(field, dst) = *zl_field_has(field, src);
        if (field->type->kind == ZL_KIND_LIST || field->type->kind == ZL_KIND_MAP)
                return copy_array(field->type, *(void **)from, *zl_field_count(field, src), to,
                                  zl_field_count(field, dst));
        if (field->flags & ZL_PTR) {
                void *p;

                if (!*(void **)from)
                        return 0;
                p = calloc(1, field->type->size);
                if (!p)
                        return -ENOMEM;
                *(void **)to = p;
                return copy_value(field->type, *(void **)from, p);
        }
        return copy_value(field->type, from, to);
}

static int copy_fields(const struct zl_field *fields, size_t n, const void *src, void *dst)
{
        for (size_t i = 0; i < n; i++)
                if (copy_field(&fields[i], src, dst) < 0)
                        return -ENOMEM;
        return 0;
}

static int copy_array(const struct zl_type *type, const char *items, size_t n, void **ret,
                      size_t *ret_n)
{
        size_t size = type->kind == ZL_KIND_MAP ? type->size : value_size(type->elem);
        char *copy;

        if (n == 0)
                return 0;
        copy = calloc(n, size);
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        *ret_n = n;
        for (size_t i = 0; i < n; i++) {
                const char *from = items + i * size;
                char *to = copy + i * size;

                if (type->kind == ZL_KIND_MAP) {
                        struct zl_field field = { .type = type->elem,
                                                  .offset = type->value_offset,
                                                  .flags = type->elem_ptr ? ZL_PTR : 0 };

                        *(char **)(void *)to = strdup(*(char *const *)(const void *)from);
                        if (!*(char **)(void *)to || copy_field(&field, from, to) < 0)
                                return -ENOMEM;
                } else if (copy_value(type->elem, from, to) < 0) {
                        return -ENOMEM;
                }
        }
        return 0;
}

static int copy_text(const char *src, char **dst)
{
        if (!src)
                return 0;
        *dst = strdup(src);
        return *dst ? 0 : -ENOMEM;
}

static int copy_strv(char **src, char ***dst)
{
        size_t n = zl_strv_len(src);

        if (!src)
                return 0;
        *dst = calloc(n + 1, sizeof(char *));
        if (!*dst)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                (*dst)[i] = strdup(src[i]);
                if (!(*dst)[i])
                        return -ENOMEM;
        }
        return 0;
}

static int copy_value(const struct zl_type *type, const void *src, void *dst)
{
        const struct zl_variant *variant;

        switch (type->kind) {
        case ZL_KIND_STR:
        case ZL_KIND_VALUE:
                return copy_text(*(char *const *)src, dst);
        case ZL_KIND_STRV:
                return copy_strv(*(char **const *)src, dst);
        case ZL_KIND_STRUCT:
                return copy_fields(type->fields, type->n_fields, src, dst);
        case ZL_KIND_UNION:
                memcpy((char *)dst + type->tag_offset, (const char *)src + type->tag_offset,
                       sizeof(int));
                variant = zl_union_variant(type, src);
                return variant ? copy_fields(variant->fields, variant->n_fields, src, dst) : 0;
        case ZL_KIND_LIST:
        case ZL_KIND_MAP:
                return copy_array(
                        type, *(void *const *)src,
                        *(const size_t *)(const void *)((const char *)src + sizeof(void *)), dst,
                        (size_t *)(void *)((char *)dst + sizeof(void *)));
        case ZL_KIND_CUSTOM:
                if (type->custom->copy)
                        return type->custom->copy(src, dst);
                break;
        default:
                break;
        }
        memcpy(dst, src, type->size);
        return 0;
}

int zl_schema_copy(const struct zl_type *type, const void *src, void *dst)
{
        int r;

        memset(dst, 0, value_size(type));
        r = copy_value(type, src, dst);
        if (r < 0)
                zl_schema_free(type, dst);
        return r;
}
