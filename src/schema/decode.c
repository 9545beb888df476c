/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder: walks a node tree along a type's tables and fills C structs. A fault in one value is reported and its siblings
 * are still looked at, so one run tells all faults; a value that could not be read stays zero. -EINVAL therefore
 * means "reported, go on", only -ENOMEM stops.
 *
 * Scalars are read in one of two contexts (spec §2.2). Direct: the type of the field decides, a plain 8080 is fine
 * as text. Strict: the scalar has a type by itself and it must match; this is so inside unions (upstream has to
 * buffer them to find their tag) and in JSON documents.
 */
#include <stdarg.h>
#include <stdio.h>

#include "schema/decode_internal.h"
#include "schema/json.h"
#include "schema/scalar.h"

enum { DEPTH_MAX = 128, PATH_MAX_BYTES = 4096, KEY_SHOWN_MAX = 200 };

static int decode_value(struct zl_decoder *dec, const struct zl_type *type,
                        const struct zl_node *node, void *value);

/* ---- reporting ------------------------------------------------------------------------------------- */

static void put_frames(const struct zl_frame *frame, struct zl_buf *out)
{
        if (!frame)
                return;
        put_frames(frame->up, out);
        if (!frame->key)
                zl_buf_putf(out, "[%zu]", frame->index);
        else
                zl_buf_putf(out, "%s%.*s", out->len ? "." : "", KEY_SHOWN_MAX, frame->key);
}

static struct zl_problem *problem_here(struct zl_decoder *dec, const struct zl_node *node)
{
        _cleanup_buf_ struct zl_buf path = ZL_BUF_INIT(PATH_MAX_BYTES);

        if (dec->problems && dec->problems->n >= ZL_PROBLEMS_MAX) {
                dec->problems->n_dropped++;
                return NULL;
        }
        put_frames(dec->frame, &path);
        return zl_problems_add(dec->problems, ZL_PHASE_DECODE, node->line, node->column,
                               path.len ? path.data : "(root)");
}

static int problem_text(struct zl_problem *p, const char *hint, const char *fmt, va_list ap)
{
        if (!p)
                return -EINVAL;
        if (vasprintf(&p->message, fmt, ap) < 0)
                p->message = NULL;
        p->hint = hint ? strdup(hint) : NULL;
        return -EINVAL;
}

int zl_decode_problem(struct zl_decoder *dec, const struct zl_node *node, const char *hint,
                      const char *fmt, ...)
{
        struct zl_problem *p = problem_here(dec, node);
        va_list ap;

        va_start(ap, fmt);
        problem_text(p, hint, fmt, ap);
        va_end(ap);
        if (p)
                p->subject = strdup(p->path);
        return -EINVAL;
}

/* A problem of the struct around: the value of one key (or none) is affected, not all. */
static int struct_problem(struct zl_decoder *dec, const struct zl_node *node, const char *subject,
                          const char *hint, const char *fmt, ...) ZL_PRINTF(5, 6);
static int struct_problem(struct zl_decoder *dec, const struct zl_node *node, const char *subject,
                          const char *hint, const char *fmt, ...)
{
        struct zl_problem *p = problem_here(dec, node);
        va_list ap;

        va_start(ap, fmt);
        problem_text(p, hint, fmt, ap);
        va_end(ap);
        if (!p || !subject)
                return -EINVAL;
        if (zl_streq(p->path, "(root)"))
                p->subject = strdup(subject);
        else if (asprintf(&p->subject, "%s.%s", p->path, subject) < 0)
                p->subject = NULL;
        return -EINVAL;
}

int zl_decode_expected(struct zl_decoder *dec, const struct zl_node *node, const char *what)
{
        if (node->kind != ZL_NODE_SCALAR || node->len == 0)
                return zl_decode_problem(dec, node, NULL, "expected %s, found %s", what,
                                         zl_node_describe(node));
        return zl_decode_problem(dec, node, NULL, "expected %s, found %s %s%.60s%s", what,
                                 zl_node_describe(node), node->quoted ? "\"" : "", node->text,
                                 node->quoted ? "\"" : "");
}

/* "did you mean `x`?" from a list of names, or the list itself if it is short. Caller frees; NULL is fine. */
char *zl_decode_hint(const char *word, const char *const *names, size_t n, const char *label)
{
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(4096);
        const char *near = zl_nearest(word, names, n);

        if (near)
                zl_buf_putf(&out, "did you mean '%s'?", near);
        if (n <= 24 && !(near && n > 12)) {
                zl_buf_putf(&out, "%s%s: ", near ? " " : "", label);
                for (size_t i = 0; i < n; i++)
                        zl_buf_putf(&out, "%s%s", i ? ", " : "", names[i]);
        }
        return out.len ? zl_buf_take(&out) : NULL;
}

/* ---- memory ------------------------------------------------------------------------------------------ */

void *zl_decode_alloc(struct zl_decoder *dec, size_t size)
{
        return dec->arena ? zl_arena_alloc(dec->arena, size) : calloc(1, size ? size : 1);
}

char *zl_decode_strdup(struct zl_decoder *dec, const char *s)
{
        return dec->arena ? zl_arena_strndup(dec->arena, s, strlen(s)) : strdup(s);
}

/* The text of a node: in an arena it is shared with the tree. */
char *zl_decode_keep_text(struct zl_decoder *dec, const struct zl_node *node)
{
        return dec->arena ? (char *)node->text : strndup(node->text, node->len);
}

/* ---- collections ------------------------------------------------------------------------------------------ */

static int enter(struct zl_decoder *dec, const struct zl_node *node)
{
        if (dec->depth >= DEPTH_MAX)
                return zl_decode_problem(dec, node, NULL, "more than %d levels of nesting",
                                         DEPTH_MAX);
        dec->depth++;
        return 0;
}

/* Is the node a collection of this kind? `key:` with nothing behind counts as an empty one in direct context: 0 with
 * `*ret_empty`. */
static int want_collection(struct zl_decoder *dec, const struct zl_node *node,
                           enum zl_node_kind kind, bool *ret_empty)
{
        int r = zl_decode_refuse_tag(dec, node);

        if (r < 0)
                return r;
        *ret_empty = !dec->strict && node->kind == ZL_NODE_SCALAR && !node->quoted &&
                     node->len == 0;
        if (node->kind != kind && !*ret_empty)
                return zl_decode_expected(dec, node, kind == ZL_NODE_MAP ? "a map" : "a list");
        return 0;
}

static size_t elem_size(const struct zl_type *type)
{
        /* The size of a map's type is that of an entry; as an element it is { items; n }. */
        return type->elem->kind == ZL_KIND_MAP ? sizeof(void *) + sizeof(size_t) : type->elem->size;
}

static int decode_list(struct zl_decoder *dec, const struct zl_type *type,
                       const struct zl_node *node, void **items, size_t *count)
{
        struct zl_frame frame = { .up = dec->frame };
        size_t size = elem_size(type);
        char *at;
        bool empty;
        int r, result = 0;

        r = want_collection(dec, node, ZL_NODE_SEQ, &empty);
        if (r < 0 || node->n == 0)
                return r;
        r = enter(dec, node);
        if (r < 0)
                return r;
        at = *items = zl_decode_alloc(dec, size * node->n);
        if (!at)
                return -ENOMEM;
        *count = node->n;
        dec->frame = &frame;
        ZL_NODE_FOREACH(child, node)
        {
                r = decode_value(dec, type->elem, child, at);
                if (r < 0)
                        result = r;
                if (r == -ENOMEM)
                        break;
                at += size;
                frame.index++;
        }
        dec->frame = frame.up;
        dec->depth--;
        return result;
}

static int decode_strv(struct zl_decoder *dec, const struct zl_node *node, char ***value)
{
        struct zl_frame frame = { .up = dec->frame };
        size_t n = 0;
        char **at;
        bool empty;
        int r, result = 0;

        r = want_collection(dec, node, ZL_NODE_SEQ, &empty);
        if (r < 0)
                return r;
        at = *value = zl_decode_alloc(dec, sizeof(char *) * ((size_t)node->n + 1));
        if (!at)
                return -ENOMEM;
        dec->frame = &frame;
        ZL_NODE_FOREACH(child, node)
        {
                r = zl_decode_str(dec, child, &at[n]);
                if (r == 0)
                        n++;
                else
                        result = r;
                if (r == -ENOMEM)
                        break;
                frame.index++;
        }
        dec->frame = frame.up;
        return result;
}

struct entry_ref {
        char *entry;
        const struct zl_node *node;
};

static int compare_entries(const void *a, const void *b)
{
        const struct entry_ref *p = a, *q = b;
        int c = strcmp(*(char **)(void *)p->entry, *(char **)(void *)q->entry);

        return c ? c : p->entry < q->entry ? -1 : p->entry > q->entry;
}

static void drop_entry(struct zl_decoder *dec, const struct zl_type *type, char *entry)
{
        if (!dec->arena) {
                struct zl_field field = { .type = type->elem,
                                          .offset = type->value_offset,
                                          .flags = type->elem_ptr ? ZL_PTR : 0 };

                zl_schema_free_field(&field, entry);
                free(*(char **)(void *)entry);
        }
        memset(entry, 0, type->size);
}

/* Keys in a map are unique: the last one wins, or (UNIQUE_KEYS) a second one is an error. Sorting keeps this
 * O(n log n) whatever the input. */
static int make_unique(struct zl_decoder *dec, const struct zl_type *type,
                       const struct zl_node *node, char *items, size_t *count)
{
        _cleanup_free_ struct entry_ref *refs = NULL;
        size_t n = 0, kept = 0;
        int result = 0;

        if (*count < 2)
                return 0;
        refs = calloc(*count, sizeof(*refs));
        if (!refs)
                return -ENOMEM;
        ZL_NODE_FOREACH(child, node)
        {
                refs[n] = (struct entry_ref){ items + n * type->size, child };
                n++;
        }
        qsort(refs, n, sizeof(*refs), compare_entries);
        for (size_t i = 1; i < n; i++) {
                char **a = (char **)(void *)refs[i - 1].entry;
                char **b = (char **)(void *)refs[i].entry;

                if (!zl_streq(*a, *b))
                        continue;
                if (dec->flags & ZL_DECODE_UNIQUE_KEYS)
                        result = struct_problem(dec, refs[i].node->key, *b, NULL,
                                                "the key '%.60s' is repeated", *b);
                drop_entry(dec, type, refs[i - 1].entry);
        }
        for (size_t i = 0; i < n; i++) {
                char *entry = items + i * type->size;

                if (!*(char **)(void *)entry)
                        continue;
                if (kept != i)
                        memcpy(items + kept * type->size, entry, type->size);
                kept++;
        }
        *count = kept;
        return result;
}

static int decode_entry(struct zl_decoder *dec, const struct zl_type *type,
                        const struct zl_node *child, char *entry)
{
        void *value = entry + type->value_offset;

        *(char **)(void *)entry = zl_decode_keep_text(dec, child->key);
        if (!*(char **)(void *)entry)
                return -ENOMEM;
        if (type->elem_ptr) {
                void *p = zl_decode_alloc(dec, type->elem->size);

                if (!p)
                        return -ENOMEM;
                *(void **)value = p;
                value = p;
        }
        return decode_value(dec, type->elem, child, value);
}

static int decode_map(struct zl_decoder *dec, const struct zl_type *type,
                      const struct zl_node *node, void **items, size_t *count)
{
        struct zl_frame frame = { .up = dec->frame };
        char *at;
        bool empty;
        int r, result = 0;

        r = want_collection(dec, node, ZL_NODE_MAP, &empty);
        if (r < 0 || node->n == 0)
                return r;
        r = enter(dec, node);
        if (r < 0)
                return r;
        at = *items = zl_decode_alloc(dec, (size_t)type->size * node->n);
        if (!at)
                return -ENOMEM;
        *count = node->n;
        dec->frame = &frame;
        ZL_NODE_FOREACH(child, node)
        {
                frame.key = child->key->text;
                r = decode_entry(dec, type, child, at);
                if (r < 0)
                        result = r;
                if (r == -ENOMEM)
                        break;
                at += type->size;
        }
        dec->frame = frame.up;
        dec->depth--;
        if (result == -ENOMEM)
                return result;
        r = make_unique(dec, type, node, *items, count);
        return r < 0 ? r : result;
}

/* ---- structs ------------------------------------------------------------------------------------------------- */

static int decode_into(struct zl_decoder *dec, const struct zl_field *f, const struct zl_node *node,
                       void *base)
{
        void *at = zl_field_at(f, base);
        int r;

        switch (f->type->kind) {
        case ZL_KIND_LIST:
                return decode_list(dec, f->type, node, at, zl_field_count(f, base));
        case ZL_KIND_MAP:
                return decode_map(dec, f->type, node, at, zl_field_count(f, base));
        default:
                break;
        }
        if (f->flags & ZL_PTR) {
                void *p = zl_decode_alloc(dec, f->type->size);

                if (!p)
                        return -ENOMEM;
                *(void **)at = p;
                at = p;
        }
        r = decode_value(dec, f->type, node, at);
        if (r == 0 && f->has_offset)
                *zl_field_has(f, base) = true;
        return r;
}

/* The tree of a default that is written in JSON; parsed once per decoder. */
static struct zl_node *default_tree(struct zl_decoder *dec, const char *text)
{
        size_t i;

        for (i = 0; i < ZL_DEFAULTS_CACHED && dec->defaults[i].text; i++)
                if (dec->defaults[i].text == text)
                        return dec->defaults[i].node;
        if (!dec->scratch)
                dec->scratch = zl_arena_new(0);
        if (!dec->scratch)
                return NULL;
        if (i == ZL_DEFAULTS_CACHED)
                i--;
        dec->defaults[i].node = NULL;
        if (zl_json_read(dec->scratch, text, strlen(text), "default", &dec->defaults[i].node,
                         NULL) < 0)
                return NULL;
        dec->defaults[i].text = text;
        return dec->defaults[i].node;
}

static int decode_default(struct zl_decoder *dec, const struct zl_field *f, void *base)
{
        static const struct zl_node nothing = { .kind = ZL_NODE_MAP };
        struct zl_node text = { .text = f->def, .len = f->def ? (uint32_t)strlen(f->def) : 0 };
        const struct zl_node *node = &text;
        bool strict = dec->strict;
        int r;

        if (!f->def) {
                if (f->type->kind != ZL_KIND_STRUCT || (f->flags & ZL_PTR))
                        return 0;
                node = &nothing;
        } else if (f->def[0] == '{' || f->def[0] == '[') {
                node = default_tree(dec, f->def);
                if (!node)
                        return -ENOMEM;
        }
        dec->strict = false;
        r = decode_into(dec, f, node, base);
        dec->strict = strict;
        return r;
}

static int decode_field(struct zl_decoder *dec, const struct zl_field *f,
                        const struct zl_node *node, void *base)
{
        struct zl_frame frame = { .up = dec->frame, .key = f->name };
        int r = 0;

        dec->frame = &frame;
        if (zl_field_is_optional(f))
                r = zl_decode_is_absent(dec, node);
        if (r == 0)
                r = decode_into(dec, f, node, base);
        dec->frame = frame.up;
        return ZL_MIN(r, 0);
}

static int unknown_key(struct zl_decoder *dec, const struct zl_type *type,
                       const struct zl_field *fields, size_t n, const struct zl_node *key)
{
        const char *names[72];
        _cleanup_free_ char *hint = NULL;
        size_t known = 0;

        for (const struct zl_key_hint *h = type->key_hints; h && h->key; h++)
                if (zl_streq(h->key, key->text))
                        return struct_problem(dec, key, NULL, h->hint, "unknown field '%.60s'",
                                              key->text);
        for (size_t i = 0; i < n && known < ZL_ARRAY_SIZE(names); i++)
                names[known++] = fields[i].name;
        if (type->tag && known < ZL_ARRAY_SIZE(names))
                names[known++] = type->tag;
        hint = zl_decode_hint(key->text, names, known, "known fields");
        return struct_problem(dec, key, NULL, hint, "unknown field '%.60s'", key->text);
}

/* Documents mostly have their keys in the order of the table, so the search begins behind the last hit. */
static size_t find_field(const struct zl_field *fields, size_t n, size_t from, const char *key)
{
        for (size_t k = 0; k < n; k++) {
                size_t i = from + k < n ? from + k : from + k - n;

                /* The first letter says no nine times out of ten, and a call costs more than it. */
                if ((fields[i].name[0] == key[0] && zl_streq(fields[i].name, key)) ||
                    (fields[i].alias && zl_streq(fields[i].alias, key)))
                        return i;
        }
        return n;
}

/* A struct (or a variant of a union) being decoded. */
struct members {
        const struct zl_type *type;
        const struct zl_field *fields;
        size_t n;
        bool ignore_unknown;
        const char *skip; /* the tag of a union, already read */
        void *base;
        uint64_t seen; /* one bit per field */
        size_t from;   /* behind the last hit */
};

static int absent_fields(struct zl_decoder *dec, const struct members *m,
                         const struct zl_node *node)
{
        int r, result = 0;

        for (size_t i = 0; i < m->n; i++) {
                const struct zl_field *f = &m->fields[i];

                if (m->seen & (UINT64_C(1) << i))
                        continue;
                if (f->flags & ZL_REQUIRED)
                        r = struct_problem(dec, node, f->name, NULL, "the field '%s' is missing",
                                           f->name);
                else
                        r = decode_default(dec, f, m->base);
                if (r < 0)
                        result = r;
                if (r == -ENOMEM)
                        break;
        }
        return result;
}

/* One key of a struct: which field it is, whether it is the first time, and its value. */
static int decode_member(struct zl_decoder *dec, struct members *m, const struct zl_node *child)
{
        size_t i = find_field(m->fields, m->n, m->from, child->key->text);
        const struct zl_field *f = i < m->n ? &m->fields[i] : NULL;

        if (m->skip && zl_streq(child->key->text, m->skip))
                return 0;
        if (!f)
                return m->ignore_unknown ? 0
                                         : unknown_key(dec, m->type, m->fields, m->n, child->key);
        m->from = i + 1;
        if (m->seen & (UINT64_C(1) << i))
                return struct_problem(dec, child->key, f->name, NULL,
                                      f->alias ? "the field '%s' is given twice (alias '%s')"
                                               : "the field '%s' is given twice",
                                      f->name, f->alias);
        if ((dec->flags & ZL_DECODE_NULL_IS_ABSENT) && zl_node_is_null(child))
                return 0;
        m->seen |= UINT64_C(1) << i;
        return decode_field(dec, f, child, m->base);
}

static int decode_members(struct zl_decoder *dec, struct members *m, const struct zl_node *node)
{
        int r, result;

        m->ignore_unknown = m->ignore_unknown || (dec->flags & ZL_DECODE_IGNORE_UNKNOWN);
        result = enter(dec, node);
        if (result < 0)
                return result;
        if (node->kind == ZL_NODE_MAP) {
                ZL_NODE_FOREACH(child, node)
                {
                        r = decode_member(dec, m, child);
                        if (r < 0)
                                result = r;
                        if (r == -ENOMEM)
                                return r;
                }
        }
        r = absent_fields(dec, m, node);
        dec->depth--;
        if (r < 0)
                result = r;
        if (result == 0 && m->type->finish)
                result = m->type->finish(dec, node, m->base);
        return result;
}

static int decode_struct(struct zl_decoder *dec, const struct zl_type *type,
                         const struct zl_node *node, void *value)
{
        bool empty;
        int r = want_collection(dec, node, ZL_NODE_MAP, &empty);

        struct members m = { .type = type,
                             .fields = type->fields,
                             .n = type->n_fields,
                             .ignore_unknown = type->ignore_unknown,
                             .base = value };

        return r < 0 ? r : decode_members(dec, &m, node);
}

/* Finds the variant by the tag, whose value is read in direct context. */
static int find_variant(struct zl_decoder *dec, const struct zl_type *type,
                        const struct zl_node *node, const struct zl_variant **ret)
{
        struct zl_frame frame = { .up = dec->frame, .key = type->tag };
        const struct zl_node *tag = NULL;
        const char *names[16], *word;
        size_t n = ZL_MIN(type->n_variants, ZL_ARRAY_SIZE(names));
        int r;

        for (size_t i = 0; i < n; i++)
                names[i] = type->variants[i].name;
        ZL_NODE_FOREACH(child, node)
        {
                if (!zl_streq(child->key->text, type->tag))
                        continue;
                if (tag)
                        return zl_decode_problem(dec, child->key, NULL,
                                                 "the field '%s' is given twice", type->tag);
                tag = child;
        }
        if (!tag) {
                _cleanup_free_ char *hint = zl_decode_hint("", names, n, "allowed");

                return zl_decode_problem(dec, node, hint, "the field '%s' is missing", type->tag);
        }
        dec->frame = &frame;
        if (tag->kind != ZL_NODE_SCALAR) {
                r = zl_decode_expected(dec, tag, "one word");
        } else {
                r = -ENOENT;
                word = zl_node_has_local_tag(tag) && tag->len == 0 ? tag->tag + 1 : tag->text;
                for (size_t i = 0; i < n; i++) {
                        if (zl_streq(word, names[i])) {
                                *ret = &type->variants[i];
                                r = 0;
                        }
                }
                if (r < 0)
                        r = zl_decode_unknown_value(dec, tag, word, names, n);
        }
        dec->frame = frame.up;
        return r;
}

static int decode_union(struct zl_decoder *dec, const struct zl_type *type,
                        const struct zl_node *node, void *value)
{
        const struct zl_variant *variant = NULL;
        struct members m;
        bool strict = dec->strict;
        int r = zl_decode_refuse_tag(dec, node);

        if (r < 0)
                return r;
        if (node->kind != ZL_NODE_MAP)
                return zl_decode_expected(dec, node, "a map");
        r = find_variant(dec, type, node, &variant);
        if (r < 0)
                return r;
        *(int *)(void *)((char *)value + type->tag_offset) = variant->value;
        dec->strict = true;
        m = (struct members){ .type = type,
                              .fields = variant->fields,
                              .n = variant->n_fields,
                              .ignore_unknown = type->ignore_unknown || variant->ignore_unknown,
                              .skip = type->tag,
                              .base = value };
        r = decode_members(dec, &m, node);
        dec->strict = strict;
        return r;
}

/* ---- any value ------------------------------------------------------------------------------------ */

static int decode_value(struct zl_decoder *dec, const struct zl_type *type,
                        const struct zl_node *node, void *value)
{
        switch (type->kind) {
        case ZL_KIND_STR:
                return zl_decode_str(dec, node, value);
        case ZL_KIND_BOOL:
                return zl_decode_bool(dec, node, value);
        case ZL_KIND_UINT:
                return zl_decode_uint(dec, type->size, node, value);
        case ZL_KIND_INT:
                return zl_decode_int(dec, type->size, node, value);
        case ZL_KIND_F64:
                return zl_decode_f64(dec, node, value);
        case ZL_KIND_ENUM:
                return zl_decode_enum(dec, type, node, value);
        case ZL_KIND_STRUCT:
                return decode_struct(dec, type, node, value);
        case ZL_KIND_UNION:
                return decode_union(dec, type, node, value);
        case ZL_KIND_STRV:
                return decode_strv(dec, node, value);
        case ZL_KIND_VALUE:
                return zl_decode_json(dec, node, value);
        case ZL_KIND_CUSTOM:
                return type->custom->decode(dec, node, value);
        case ZL_KIND_LIST: /* { items; n }, such as a list in a list or in a map */
                return decode_list(dec, type, node, value,
                                   (size_t *)(void *)((char *)value + sizeof(void *)));
        case ZL_KIND_MAP:
                return decode_map(dec, type, node, value,
                                  (size_t *)(void *)((char *)value + sizeof(void *)));
        }
        return -EINVAL;
}

int zl_schema_decode(const struct zl_type *type, const struct zl_node *root,
                     const struct zl_decode_options *options, void *value,
                     struct zl_problems *problems)
{
        struct zl_decoder dec = { .flags = options->flags,
                                  .strict = (options->flags & ZL_DECODE_STRICT) != 0,
                                  .arena = options->arena,
                                  .problems = problems };
        int r;

        memset(value, 0, type->size);
        r = decode_value(&dec, type, root, value);
        zl_arena_free(dec.scratch);
        return r;
}

/* The first problem, in the form of the JSON reader's own errors: "WHAT:LINE:COL: PATH: MESSAGE". */
static int fail_at(struct zl_problems *problems, const char *what, struct zl_error *err)
{
        const struct zl_problem *p = problems->items;
        int r;

        if (problems->n == 0)
                return zl_fail_oom(err);
        r = zl_fail(err, ZL_E_INVALID, 0, "%s:%u:%u: %s: %s", what, p->line, p->column, p->path,
                    p->message ? p->message : "not acceptable");
        if (p->hint)
                zl_error_hint(err, "%s", p->hint);
        return r;
}

/* zl-size: all in one call for programs that read one small document */
int zl_schema_read_json(const struct zl_type *type, const char *text, size_t len, const char *what,
                        struct zl_arena *arena, void *value, struct zl_error *err)
{
        struct zl_decode_options options = { .flags = ZL_DECODE_STRICT | ZL_DECODE_NULL_IS_ABSENT |
                                                      ZL_DECODE_IGNORE_UNKNOWN |
                                                      ZL_DECODE_UNIQUE_KEYS,
                                             .arena = arena };
        _cleanup_(zl_problems_freep) struct zl_problems *problems = zl_problems_new();
        struct zl_node *root;
        int r;

        if (!problems)
                return zl_fail_oom(err);
        r = zl_json_read_without(arena, text, len, what, type->passed_over, &root, err);
        if (r < 0)
                return r;
        r = zl_schema_decode(type, root, &options, value, problems);
        if (r == -ENOMEM)
                return zl_fail_oom(err);
        if (r < 0)
                return fail_at(problems, what, err);
        return r;
}
