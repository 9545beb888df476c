/* SPDX-License-Identifier: Apache-2.0 */
/* How readers of documents collect problems (<zlayer/problem.h>), and how near misses are found for hints. */
#pragma once

#include <stdbool.h>

#include <zlayer/problem.h>

#include "base/error.h"
#include "base/macro.h"

enum { ZL_PROBLEMS_MAX = 200 };

struct zl_problems *zl_problems_new(void); /* NULL without memory */
ZL_DEFINE_CLEANUP(struct zl_problems *, zl_problems_freep, zl_problems_free)

/* A new problem to fill, or NULL if there are too many already or no memory is left: the caller then goes on, the
 * list counts it as dropped. Texts are malloc()ed and owned by the list. */
struct zl_problem *zl_problems_add(struct zl_problems *problems, enum zl_phase phase, uint32_t line,
                                   uint32_t column, const char *path);

/* Is the value at `path`, something in it or something around it, missing or unusable because of a problem
 * in the list? Later checks keep quiet about such values. */
bool zl_problems_touch(const struct zl_problems *problems, const char *path);

/* Sorts by place in the file. */
void zl_problems_sort(struct zl_problems *problems);

/* Makes an error out of the first problem ("services.a.rtype: unknown value ...") and returns its errno. */
int zl_problems_fail(const struct zl_problems *problems, struct zl_error *err);

/* The candidate that `word` was probably meant to be, or NULL if none is near. */
const char *zl_nearest(const char *word, const char *const *candidates, size_t n);
