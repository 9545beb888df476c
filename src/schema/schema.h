/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents with a schema: one table per type describes its fields, and everything else follows from the tables:
 * decoding from YAML or JSON into C structs (with the path and place in every error, all errors of
 * one run together), encoding to canonical JSON or YAML, freeing, copying, and the JSON Schema.
 *
 * How a table is written, with all kinds of members:
 *
 *         struct mount { char *target; bool readonly; };
 *         struct box {
 *                 char *name;                             // text, required
 *                 bool has_limit; uint32_t limit;         // optional number
 *                 enum colour colour;                     // enum with default
 *                 struct mount *root;                     // optional struct
 *                 struct mount *mounts; size_t n_mounts;  // list of structs
 *                 char **args;                            // list of texts, NULL-terminated
 *                 struct zl_str_map env;                  // map of texts
 *                 int64_t grace;                          // custom scalar
 *         };
 *
 *         static const struct zl_field mount_fields[] = {
 *                 ZL_FIELD(struct mount, "target", target, zl_type_str, .flags = ZL_REQUIRED),
 *                 ZL_FIELD(struct mount, "readonly", readonly, zl_type_bool, .def = "false"),
 *         };
 *         static const struct zl_type mount_type = ZL_TYPE_STRUCT(struct mount, "Mount", mount_fields);
 *         static const struct zl_type mounts_type = ZL_TYPE_LIST(mount_type);
 *
 *         static const struct zl_enum_item colours[] = { { "red", RED }, { "blue", BLUE } };
 *         static const struct zl_type colour_type = ZL_TYPE_ENUM("Colour", colours);
 *
 *         static const struct zl_field box_fields[] = {
 *                 ZL_FIELD(struct box, "name", name, zl_type_str, .flags = ZL_REQUIRED),
 *                 ZL_FIELD(struct box, "limit", limit, zl_type_u32, ZL_HAS(struct box, has_limit)),
 *                 ZL_FIELD(struct box, "colour", colour, colour_type, .def = "red"),
 *                 ZL_FIELD(struct box, "root", root, mount_type, .flags = ZL_PTR),
 *                 ZL_FIELD(struct box, "mounts", mounts, mounts_type, ZL_COUNT(struct box, n_mounts)),
 *                 ZL_FIELD(struct box, "args", args, zl_type_strv),
 *                 ZL_FIELD(struct box, "env", env, zl_type_str_map),
 *                 ZL_FIELD(struct box, "grace", grace, duration_type, .def = "10s"),
 *         };
 *         static const struct zl_type box_type = ZL_TYPE_STRUCT(struct box, "Box", box_fields);
 *
 * A union whose form is told by one key ("type"): one flat C struct, each variant lists the fields it has:
 *
 *         struct check { enum check_type type; uint16_t port; char *url; };
 *         static const struct zl_variant check_variants[] = {
 *                 { "tcp", CHECK_TCP, tcp_fields, ZL_ARRAY_SIZE(tcp_fields) },
 *                 { "http", CHECK_HTTP, http_fields, ZL_ARRAY_SIZE(http_fields) },
 *         };
 *         static const struct zl_type check_type =
 *                 ZL_TYPE_UNION(struct check, "Check", "type", type, check_variants);
 *
 * and a whole document is read by
 *
 *         r = zl_schema_read_json(&box_type, text, len, "box.json", arena, &box, err);
 *
 * A custom scalar such as `duration_type` is a ZL_KIND_CUSTOM type with a table of functions (struct zl_custom).
 *
 * Tables are constant data; all functions may be used from several threads on different values.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "schema/arena.h"
#include "schema/node.h"
#include "schema/problem.h"

struct zl_decoder;
struct zl_encoder;
struct zl_type;

enum zl_kind {
        ZL_KIND_STR,    /* char *; NULL when absent */
        ZL_KIND_BOOL,   /* bool */
        ZL_KIND_UINT,   /* uint8_t ... uint64_t by `size` */
        ZL_KIND_INT,    /* int8_t ... int64_t by `size` */
        ZL_KIND_F64,    /* double */
        ZL_KIND_ENUM,   /* an enum (size of int) */
        ZL_KIND_STRUCT, /* inline, or by pointer with ZL_PTR */
        ZL_KIND_UNION,  /* likewise */
        ZL_KIND_LIST,   /* array + size_t count (ZL_COUNT) of any inline kind */
        ZL_KIND_STRV,   /* char **, NULL-terminated; NULL when absent */
        ZL_KIND_MAP,    /* array + count of { char *name; value }, any kind of value */
        ZL_KIND_VALUE,  /* char *: any value, kept as compact JSON text */
        ZL_KIND_CUSTOM, /* what its functions make of it */
};

enum zl_field_flags {
        ZL_REQUIRED = 1 << 0, /* absent is an error */
        ZL_PTR = 1 << 1,      /* struct or union behind a pointer: NULL when absent */
        ZL_OPTIONAL =
                1
                << 2, /* null means absent (implied by ZL_PTR and ZL_HAS; needed for texts and lists) */
        ZL_OUT_ALWAYS = 1 << 3, /* written even when empty */
        ZL_OUT_NULL = 1 << 4,   /* written as null when absent */
        ZL_OUT_NEVER = 1 << 5,  /* not written in canonical form */
        ZL_OUT_TEXT = 1 << 6,   /* not written in canonical form when it is an empty text */
};

struct zl_field {
        const char *name;
        const struct zl_type *type;
        const char *alias; /* second name, or NULL */
        const char *def; /* value when absent: the text of a scalar; JSON for structs and unions */
        const char *doc; /* one line for people, goes into the JSON Schema */
        uint32_t offset, size;
        uint32_t count_offset; /* ZL_COUNT: where the size_t count is */
        uint32_t has_offset;   /* ZL_HAS: 1 + where the bool is; 0 without */
        uint32_t flags;
};

#define ZL_FIELD(S, name_, member, type_, ...)                                                     \
        {                                                                                          \
                .name = (name_), .type = &(type_), .offset = offsetof(S, member),                  \
                .size = sizeof(((S *)0)->member), ##__VA_ARGS__                                    \
        }
#define ZL_HAS(S, member) .has_offset = offsetof(S, member) + 1
#define ZL_COUNT(S, member) .count_offset = offsetof(S, member)

struct zl_enum_item {
        const char *name;
        int value;
        const char *doc;
};

struct zl_variant {
        const char *name;
        int value;
        const struct zl_field *fields;
        size_t n_fields;
        bool ignore_unknown;
        const char *doc;
};

/* Functions of a custom type. Any but `decode` may be NULL if it is never needed. */
struct zl_custom {
        /* Reads `node` into `value` (zeroed). Reports by zl_decode_problem(). */
        int (*decode)(struct zl_decoder *dec, const struct zl_node *node, void *value);
        /* Makes the node that stands for `value`; NULL without memory. */
        struct zl_node *(*encode)(struct zl_encoder *enc, const void *value);
        void (*free)(void *value); /* values of malloc decoders only; NULL: nothing to free */
        int (*copy)(const void *src, void *dst); /* NULL: bytes are copied */
        bool (*is_empty)(const void *value);     /* not worth writing; NULL: never */
        const char *schema;                      /* its JSON Schema, as JSON text */
};

/* What people write who come from other tools; ends with a NULL key. */
struct zl_key_hint {
        const char *key, *hint;
};

struct zl_type {
        enum zl_kind kind;
        uint32_t size; /* of the C value, or of one entry of a map */
        const char *name;
        const char *doc;
        bool ignore_unknown;        /* struct: keys that are not in the table are dropped */
        uint32_t tag_offset;        /* union: where the enum is */
        uint32_t value_offset;      /* map: where the value is in an entry */
        bool elem_ptr;              /* map: the value is a pointer to a struct */
        const char *tag;            /* union: the key that tells the variant */
        const struct zl_type *elem; /* list, map */
        const struct zl_field *fields;
        size_t n_fields;
        const struct zl_enum_item *items;
        size_t n_items;
        const struct zl_variant *variants;
        size_t n_variants;
        const struct zl_custom *custom;
        const struct zl_key_hint *key_hints; /* struct: advice for unknown keys, or NULL */
        const char *
                passed_over; /* of a whole document in JSON: lists under this key, at any level, are not read; or NULL */
        /* struct: called after its fields are decoded; reports by zl_decode_problem(); may be NULL */
        int (*finish)(struct zl_decoder *dec, const struct zl_node *node, void *value);
};

#define ZL_TYPE_STRUCT(S, name_, fields_, ...)                                                     \
        {                                                                                          \
                .kind = ZL_KIND_STRUCT, .size = sizeof(S), .name = (name_), .fields = (fields_),   \
                .n_fields = ZL_ARRAY_SIZE(fields_), ##__VA_ARGS__                                  \
        }
#define ZL_TYPE_ENUM(name_, items_, ...)                                                           \
        {                                                                                          \
                .kind = ZL_KIND_ENUM, .size = sizeof(int), .name = (name_), .items = (items_),     \
                .n_items = ZL_ARRAY_SIZE(items_), ##__VA_ARGS__                                    \
        }
#define ZL_TYPE_UNION(S, name_, tag_, member, variants_, ...)                                      \
        {                                                                                          \
                .kind = ZL_KIND_UNION, .size = sizeof(S), .name = (name_), .tag = (tag_),          \
                .tag_offset = offsetof(S, member), .variants = (variants_),                        \
                .n_variants = ZL_ARRAY_SIZE(variants_), ##__VA_ARGS__                              \
        }
/* Of elements of any inline kind: use zl_type_strv for texts. */
#define ZL_TYPE_LIST(elem_)                                                                        \
        {                                                                                          \
                .kind = ZL_KIND_LIST, .size = sizeof(void *) + sizeof(size_t), .elem = &(elem_)    \
        }
/* Entries are `struct E { char *name; ... member; }`, the name first. */
#define ZL_TYPE_MAP(E, member, elem_, ...)                                                         \
        {                                                                                          \
                .kind = ZL_KIND_MAP, .size = sizeof(E), .value_offset = offsetof(E, member),       \
                .elem = &(elem_), ##__VA_ARGS__                                                    \
        }

extern const struct zl_type zl_type_str;
extern const struct zl_type zl_type_bool;
extern const struct zl_type zl_type_u8, zl_type_u16, zl_type_u32, zl_type_u64;
extern const struct zl_type zl_type_i32, zl_type_i64;
extern const struct zl_type zl_type_f64;
extern const struct zl_type zl_type_strv;
extern const struct zl_type
        zl_type_str_map; /* struct zl_str_map of <zlayer/spec.h>, no ZL_COUNT needed */
extern const struct zl_type zl_type_value;

/* ---- decoding ---------------------------------------------------------------------------------------- */

enum zl_decode_flags {
        /* Scalars must be of the type by themselves: a plain 5 is no text, "5" no number. JSON documents want this; so do the
         * values inside unions in YAML, where it is switched on by itself. */
        ZL_DECODE_STRICT = 1 << 0,
        /* null is the same as an absent key, everywhere (what Go programs write). */
        ZL_DECODE_NULL_IS_ABSENT = 1 << 1,
        /* Unknown keys are dropped at every level. */
        ZL_DECODE_IGNORE_UNKNOWN = 1 << 2,
        /* A repeated key of a map is an error, not only one of a struct. */
        ZL_DECODE_UNIQUE_KEYS = 1 << 3,
};

struct zl_decode_options {
        unsigned flags;
        /* Where values go. NULL: malloc, to be freed by zl_schema_free(). Otherwise values may share text with the tree,
         * which must live as long (the same arena is best). */
        struct zl_arena *arena;
};

/* Decodes `root` into `value` (of type->size bytes, any content before). All problems are added to `problems`. 0, -EINVAL (there are
 * problems; what could be decoded is in `value`, which must be freed all the same) or -ENOMEM. */
int zl_schema_decode(const struct zl_type *type, const struct zl_node *root,
                     const struct zl_decode_options *options, void *value,
                     struct zl_problems *problems);

/* Reads and decodes a JSON document in one go with flags for documents of other programs (STRICT, NULL_IS_ABSENT, IGNORE_UNKNOWN,
 * UNIQUE_KEYS). Fills `err` with the first problem: "config.json:3:7: process.args[0]: expected text, found a number". */
int zl_schema_read_json(const struct zl_type *type, const char *text, size_t len, const char *what,
                        struct zl_arena *arena, void *value, struct zl_error *err);

/* For custom types and finish functions: */

/* Reports that the value at `node` is bad (more of the path: zl_decode_problem_in()). Returns -EINVAL. */
int zl_decode_problem(struct zl_decoder *dec, const struct zl_node *node, const char *hint,
                      const char *fmt, ...) ZL_PRINTF(4, 5);
/* The text of `node` by the rules for ZL_KIND_STR in the present context. Reports and returns -EINVAL if it is not a text. */
int zl_decode_text(struct zl_decoder *dec, const struct zl_node *node, const char **ret);
/* Any value as compact JSON text by the core types; the caller owns it (or the arena does). Reports. */
int zl_decode_json(struct zl_decoder *dec, const struct zl_node *node, char **ret);
/* Strict context? (inside a union of YAML, or ZL_DECODE_STRICT) */
bool zl_decode_is_strict(const struct zl_decoder *dec);
/* Copy for a value; NULL without memory. */
char *zl_decode_strdup(struct zl_decoder *dec, const char *s);
void *zl_decode_alloc(struct zl_decoder *dec, size_t size); /* zeroed */

/* ---- the other directions -------------------------------------------------------------------------------- */

/* Frees what a value of a malloc decoder holds, not the value itself. */
void zl_schema_free(const struct zl_type *type, void *value);
/* Deep copy by malloc into `dst`, which is overwritten. 0 or -ENOMEM (dst then holds nothing). */
int zl_schema_copy(const struct zl_type *type, const void *src, void *dst);

enum zl_encode_form {
        ZL_FORM_JSON,   /* canonical JSON */
        ZL_FORM_YAML,   /* canonical YAML: custom types may use tags */
        ZL_FORM_STORED, /* for our own reading back: nothing is left out, not even ZL_OUT_NEVER */
};
/* A tree for the writers of node.h; NULL without memory. */
struct zl_node *zl_schema_encode(const struct zl_type *type, const void *value,
                                 enum zl_encode_form form, struct zl_arena *arena);
enum zl_encode_form zl_encode_form(const struct zl_encoder *enc);
struct zl_arena *zl_encode_arena(const struct zl_encoder *enc);

/* Encodes and writes in one go; the caller frees. NULL without memory. */
char *zl_schema_dump_json(const struct zl_type *type, const void *value, unsigned indent);

/* The JSON Schema (draft 2020-12) of a type; the caller frees. NULL without memory. */
char *zl_schema_describe(const struct zl_type *type, const char *title);

/* For tests: do the tables fit the C structs (sizes, kinds, defaults)? Returns NULL or what is wrong (static text). */
const char *zl_schema_check(const struct zl_type *type);
