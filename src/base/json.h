/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small helpers over jansson for documents of our own (state files, API bodies). Documents from outside
 * with a schema go through src/schema instead.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

static inline void zl_json_decrefp(json_t **json)
{
        json_decref(*json);
}
#define _cleanup_json_ _cleanup_(zl_json_decrefp)

/* Parses strictly: one value, UTF-8, no duplicate keys, nesting at most 512 (checked before the recursive
 * parser sees the text). `what` names the document in errors ("state.json", a URL). */
int zl_json_parse(const char *text, size_t len, const char *what, json_t **ret,
                  struct zl_error *err);

/* Serialises compactly (keys in order of insertion); `indent` > 0 for people. Caller frees; NULL without
 * memory. */
char *zl_json_dump(const json_t *json, int indent);

/* Typed members with defaults for absent or wrong-typed ones. Strings belong to the object. */
const char *zl_json_str(const json_t *object, const char *key, const char *fallback);
int64_t zl_json_int(const json_t *object, const char *key, int64_t fallback);
bool zl_json_bool(const json_t *object, const char *key, bool fallback);

/* Sets a member and takes over `value`; -ENOMEM if either is NULL or it does not fit. */
int zl_json_set(json_t *object, const char *key, json_t *value);
/* A JSON string from text that may not be UTF-8: bad bytes become U+FFFD. */
json_t *zl_json_string_lossy(const char *s, size_t len);
