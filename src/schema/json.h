/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text to a node tree: RFC 8259, strict, UTF-8 checked, positions kept. Links nothing. */
#pragma once

#include "base/error.h"
#include "schema/node.h"

enum { ZL_JSON_DEPTH_MAX = 128 };

/* Parses exactly one value. Strings become quoted scalars, everything else plain ones. Repeated keys are kept
 * (the decoder judges them). `what` names the document in errors ("config.json"); the error tells line and
 * column. The tree lives in `arena` and does not refer to `text`. NUL characters (also as \u0000), more than 128 levels and trailing text are errors. */
int zl_json_read(struct zl_arena *arena, const char *text, size_t len, const char *what,
                 struct zl_node **ret, struct zl_error *err);
/* The same, but members called `key` whose value is a list are left out, for who has no use for them: of these only where they end is
 * looked for.
 * zl-size: as above */
int zl_json_read_without(struct zl_arena *arena, const char *text, size_t len, const char *what,
                         const char *key, struct zl_node **ret, struct zl_error *err);
