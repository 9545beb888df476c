/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree that both front ends (json.h, yaml.h) make and that the decoder reads: scalars with their text
 * and style, sequences, maps, each with its place in the source. The encoder makes the same trees and the
 * writers here turn them into text. Nodes live in an arena and never change once their front end is done.
 *
 * An alias of YAML is a node of its own that shares its children with the anchored one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "schema/arena.h"

enum zl_node_kind { ZL_NODE_SCALAR, ZL_NODE_SEQ, ZL_NODE_MAP };

struct zl_node {
        enum zl_node_kind kind;
        bool quoted;      /* scalar: text for sure; a plain one may be a number, true, null ... */
        bool raw_json;    /* scalar: `text` is JSON to be written as it is (encoder only) */
        uint32_t line;    /* from 1; 0 if unknown */
        uint32_t column;  /* from 1 */
        uint32_t n;       /* number of children */
        uint32_t len;     /* scalar: bytes of text */
        const char *text; /* scalar: NUL-terminated, without NUL inside */
        const char *tag;  /* "!name", "tag:yaml.org,2002:int" ...; NULL without */
        struct zl_node *key; /* of a child of a map */
        struct zl_node *first, *last, *next;
};

#define ZL_NODE_FOREACH(child, parent)                                                             \
        for (struct zl_node *child = (parent)->first; child; child = child->next)

/* New nodes; NULL when the arena is exhausted. Text is copied. */
struct zl_node *zl_node_new(struct zl_arena *arena, enum zl_node_kind kind);
struct zl_node *zl_node_new_text(struct zl_arena *arena, const char *text, bool quoted);
/* Appends to a sequence, or to a map under `key` (copied). NULL children give -ENOMEM. */
int zl_node_add(struct zl_node *seq, struct zl_node *child);
int zl_node_put(struct zl_arena *arena, struct zl_node *map, const char *key,
                struct zl_node *child);

/* The value of `key` in a map (the last one if repeated) or NULL; also NULL if `node` is no map. */
struct zl_node *zl_node_get(const struct zl_node *node, const char *key);
/* The child at `index` of a sequence or NULL. */
struct zl_node *zl_node_at(const struct zl_node *node, size_t index);

/* Is it a plain scalar that means null (empty, ~, null ...)? */
bool zl_node_is_null(const struct zl_node *node);
/* "a list", "a map", "text", "a number" ... for messages. */
const char *zl_node_describe(const struct zl_node *node);

/* Writers. JSON: compact if `indent` is 0. Plain scalars are written as they are, so they must be JSON
 * literals. YAML: block style, flow for empty collections. The buffer's sticky error tells failure. */
void zl_node_write_json(const struct zl_node *node, unsigned indent, struct zl_buf *out);
void zl_node_write_yaml(const struct zl_node *node, struct zl_buf *out);
/* Writes a JSON string with its quotes. */
void zl_json_quote(struct zl_buf *out, const char *s, size_t len);
