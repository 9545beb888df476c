/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML text to a node tree, over libfyaml. In a library of its own (schema_yaml_dep), so that programs which read
 * only JSON do not link it.
 */
#pragma once

#include "base/error.h"
#include "schema/node.h"
#include "schema/problem.h"

/* Parses exactly one document; empty input gives an empty map. A NUL must follow the `len` bytes of `text`. What is refused, beyond bad syntax: a second document,
 * directives other than %YAML 1.1/1.2 and %TAG, collections as keys, NUL in text, aliases that
 * expand to more than 100 times the document, excessive depth and number of nodes. Returns -EINVAL with a problem at "(document)" in
 * `problems`, or -ENOMEM. */
int zl_yaml_read(struct zl_arena *arena, const char *text, size_t len, struct zl_problems *problems,
                 struct zl_node **ret, struct zl_error *err);
