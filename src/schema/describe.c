/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON Schema of a type, draft 2020-12, for editors that complete and check spec files. Named types become "$defs" and
 * are referred to. The schema cannot say everything the decoder and the validators check; it never refuses what they accept in
 * plain notation.
 */
#include <stdio.h>

#include "schema/decode_internal.h"

struct describer {
        struct zl_buf *out;
        const struct zl_type *done[256]; /* named types already in $defs, or waiting */
        size_t n_done, n_written;
};

static void put_type(struct describer *d, const struct zl_type *type);

static void put_text(struct describer *d, const char *text)
{
        zl_json_quote(d->out, text, strlen(text));
}

static void put_member(struct describer *d, const char *key, const char *text)
{
        put_text(d, key);
        zl_buf_putc(d->out, ':');
        put_text(d, text);
}

static void put_ref(struct describer *d, const struct zl_type *type)
{
        size_t i;

        for (i = 0; i < d->n_done && d->done[i] != type; i++)
                ;
        if (i == d->n_done && d->n_done < ZL_ARRAY_SIZE(d->done))
                d->done[d->n_done++] = type;
        zl_buf_putf(d->out, "\"$ref\":\"#/$defs/%s\"", type->name);
}

static void put_default(struct describer *d, const struct zl_field *f)
{
        bool quoted = true;

        if (!f->def)
                return;
        zl_buf_puts(d->out, ",\"default\":");
        switch (f->type->kind) {
        case ZL_KIND_STR:
        case ZL_KIND_ENUM:
        case ZL_KIND_CUSTOM:
                quoted = f->def[0] != '{';
                break;
        default:
                quoted = false;
        }
        if (quoted)
                put_text(d, f->def);
        else
                zl_buf_puts(d->out, f->def);
}

static void put_field(struct describer *d, const struct zl_field *f, const char *name)
{
        bool optional = zl_field_is_optional(f);

        put_text(d, name);
        zl_buf_puts(d->out, ":{");
        if (optional) {
                zl_buf_puts(d->out, "\"anyOf\":[{");
                put_type(d, f->type);
                zl_buf_puts(d->out, "},{\"type\":\"null\"}]");
        } else {
                put_type(d, f->type);
        }
        if (f->doc || name != f->name) {
                zl_buf_putc(d->out, ',');
                put_member(d, "description",
                           name == f->name ? f->doc : "Another name of the field above.");
        }
        put_default(d, f);
        zl_buf_putc(d->out, '}');
}

static void put_object(struct describer *d, const struct zl_type *type,
                       const struct zl_variant *variant)
{
        const struct zl_field *fields = variant ? variant->fields : type->fields;
        size_t n = variant ? variant->n_fields : type->n_fields;
        bool first = true, ignore = type->ignore_unknown || (variant && variant->ignore_unknown);

        zl_buf_puts(d->out, "\"type\":\"object\",");
        if (variant && variant->doc) {
                put_member(d, "description", variant->doc);
                zl_buf_putc(d->out, ',');
        }
        zl_buf_puts(d->out, "\"properties\":{");
        if (variant) {
                put_text(d, type->tag);
                zl_buf_puts(d->out, ":{\"const\":");
                put_text(d, variant->name);
                zl_buf_putc(d->out, '}');
                first = false;
        }
        for (size_t i = 0; i < n; i++) {
                if (!first)
                        zl_buf_putc(d->out, ',');
                first = false;
                put_field(d, &fields[i], fields[i].name);
                if (fields[i].alias) {
                        zl_buf_putc(d->out, ',');
                        put_field(d, &fields[i], fields[i].alias);
                }
        }
        zl_buf_puts(d->out, "},\"required\":[");
        first = true;
        if (variant) {
                put_text(d, type->tag);
                first = false;
        }
        for (size_t i = 0; i < n; i++) {
                if (!(fields[i].flags & ZL_REQUIRED))
                        continue;
                if (!first)
                        zl_buf_putc(d->out, ',');
                first = false;
                put_text(d, fields[i].name);
        }
        zl_buf_puts(d->out, ignore ? "]" : "],\"additionalProperties\":false");
}

static void put_int(struct describer *d, const struct zl_type *type)
{
        unsigned bits = type->size * 8;

        zl_buf_puts(d->out, "\"type\":\"integer\"");
        if (type->kind == ZL_KIND_UINT)
                zl_buf_puts(d->out, ",\"minimum\":0");
        /* The bounds of 64 bits are beyond what many readers of schemas can hold. */
        if (bits == 64)
                return;
        if (type->kind == ZL_KIND_UINT)
                zl_buf_putf(d->out, ",\"maximum\":%llu", (1ULL << bits) - 1);
        else
                zl_buf_putf(d->out, ",\"minimum\":-%llu,\"maximum\":%llu", 1ULL << (bits - 1),
                            (1ULL << (bits - 1)) - 1);
}

static void put_enum(struct describer *d, const struct zl_type *type)
{
        zl_buf_puts(d->out, "\"enum\":[");
        for (size_t i = 0; i < type->n_items; i++) {
                if (i)
                        zl_buf_putc(d->out, ',');
                put_text(d, type->items[i].name);
        }
        zl_buf_putc(d->out, ']');
}

/* The members of a named type's definition. */
static void put_definition(struct describer *d, const struct zl_type *type)
{
        if (type->doc) {
                put_member(d, "description", type->doc);
                zl_buf_putc(d->out, ',');
        }
        if (type->kind == ZL_KIND_ENUM) {
                put_enum(d, type);
        } else if (type->kind == ZL_KIND_CUSTOM) {
                zl_buf_put(d->out, type->custom->schema + 1, strlen(type->custom->schema) - 2);
        } else if (type->kind == ZL_KIND_STRUCT) {
                put_object(d, type, NULL);
        } else {
                zl_buf_puts(d->out, "\"oneOf\":[");
                for (size_t i = 0; i < type->n_variants; i++) {
                        zl_buf_puts(d->out, i ? ",{" : "{");
                        put_object(d, type, &type->variants[i]);
                        zl_buf_putc(d->out, '}');
                }
                zl_buf_putc(d->out, ']');
        }
}

static void put_elements(struct describer *d, const char *key, const struct zl_type *elem)
{
        zl_buf_putf(d->out, "\"%s\":{", key);
        put_type(d, elem);
        zl_buf_putc(d->out, '}');
}

static void put_type(struct describer *d, const struct zl_type *type)
{
        /* Text fields take numbers and flags as they are written. */
        static const char text[] = "\"type\":[\"string\",\"number\",\"boolean\"]";

        switch (type->kind) {
        case ZL_KIND_STR:
                zl_buf_puts(d->out, text);
                break;
        case ZL_KIND_BOOL:
                zl_buf_puts(d->out, "\"type\":\"boolean\"");
                break;
        case ZL_KIND_UINT:
        case ZL_KIND_INT:
                put_int(d, type);
                break;
        case ZL_KIND_F64:
                zl_buf_puts(d->out, "\"type\":\"number\"");
                break;
        case ZL_KIND_LIST:
                zl_buf_puts(d->out, "\"type\":\"array\",");
                put_elements(d, "items", type->elem);
                break;
        case ZL_KIND_STRV:
                zl_buf_puts(d->out, "\"type\":\"array\",");
                put_elements(d, "items", &zl_type_str);
                break;
        case ZL_KIND_MAP:
                zl_buf_puts(d->out, "\"type\":\"object\",");
                put_elements(d, "additionalProperties", type->elem);
                break;
        case ZL_KIND_VALUE:
                break;
        default:
                put_ref(d, type);
        }
}

enum { SCHEMA_MAX = 4 << 20 };

char *zl_schema_describe(const struct zl_type *type, const char *title)
{
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(SCHEMA_MAX);
        struct describer d = { .out = &out };

        zl_buf_puts(&out, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",");
        put_member(&d, "title", title);
        zl_buf_putc(&out, ',');
        put_definition(&d, type);
        zl_buf_puts(&out, ",\"$defs\":{");
        for (; d.n_written < d.n_done; d.n_written++) {
                const struct zl_type *t = d.done[d.n_written];

                if (d.n_written)
                        zl_buf_putc(&out, ',');
                put_text(&d, t->name);
                zl_buf_puts(&out, ":{");
                put_definition(&d, t);
                zl_buf_putc(&out, '}');
        }
        zl_buf_puts(&out, "}}");
        return zl_buf_error(&out) ? NULL : zl_buf_take(&out);
}
