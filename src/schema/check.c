/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at tables for what the compiler cannot see: a field whose C member is of another size than its type says, too many fields for the
 * decoder's bit set, missing names. Run by the unit tests of every room that has tables. */
#include "schema/decode_internal.h"

enum { FIELDS_MAX = 64, DEPTH_MAX = 16 };

static const char *check_type(const struct zl_type *type, unsigned depth);

static const char *check_fields(const struct zl_field *fields, size_t n, unsigned depth)
{
        if (n > FIELDS_MAX)
                return "more than 64 fields in a struct";
        for (size_t i = 0; i < n; i++) {
                const struct zl_field *f = &fields[i];
                size_t size = f->type->size;
                const char *why;

                if (f->flags & ZL_PTR)
                        size = sizeof(void *);
                else if (f->type->kind == ZL_KIND_LIST || f->type->kind == ZL_KIND_MAP)
                        size = f->count_offset ? sizeof(void *) : 2 * sizeof(void *);
                if (f->size != size)
                        return f->name;
                if ((f->flags & ZL_PTR) && f->type->kind != ZL_KIND_STRUCT &&
                    f->type->kind != ZL_KIND_UNION)
                        return f->name;
                if (f->has_offset && (f->flags & ZL_REQUIRED))
                        return f->name;
                why = check_type(f->type, depth + 1);
                if (why)
                        return why;
        }
        return NULL;
}

static const char *check_type(const struct zl_type *type, unsigned depth)
{
        const char *why = NULL;

        if (depth > DEPTH_MAX)
                return "types nest too deep (or in a circle)";
        switch (type->kind) {
        case ZL_KIND_STRUCT:
                return type->name ? check_fields(type->fields, type->n_fields, depth)
                                  : "a struct type has no name";
        case ZL_KIND_UNION:
                if (!type->name || !type->tag)
                        return "a union type has no name or no tag";
                for (size_t i = 0; i < type->n_variants && !why; i++)
                        why = check_fields(type->variants[i].fields, type->variants[i].n_fields,
                                           depth);
                return why;
        case ZL_KIND_LIST:
        case ZL_KIND_MAP:
                if (type->elem->kind == ZL_KIND_STRV && type->kind == ZL_KIND_LIST)
                        return NULL;
                return check_type(type->elem, depth + 1);
        case ZL_KIND_ENUM:
                return type->name && type->n_items <= FIELDS_MAX ? NULL
                                                                 : "an enum type has no name";
        case ZL_KIND_CUSTOM:
                return type->name && type->custom && type->custom->decode
                               ? NULL
                               : "a custom type has no name or no functions";
        default:
                return NULL;
        }
}

const char *zl_schema_check(const struct zl_type *type)
{
        return check_type(type, 0);
}
