/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is released all at once: for parse trees and documents that live and die as a whole. An
 * allocation is a pointer bump; there is no single free. One thread at a time.
 */
#pragma once

#include <stddef.h>

#include "base/macro.h"

struct zl_arena;

/* `max` bounds the bytes handed out (0: no bound). NULL without memory. */
struct zl_arena *zl_arena_new(size_t max);
void zl_arena_free(struct zl_arena *arena);
ZL_DEFINE_CLEANUP(struct zl_arena *, zl_arena_freep, zl_arena_free)
#define _cleanup_arena_ _cleanup_(zl_arena_freep)

/* Zeroed, aligned for any type; NULL when memory or the bound is exhausted. */
void *zl_arena_alloc(struct zl_arena *arena, size_t size);
/* A NUL-terminated copy. */
char *zl_arena_strndup(struct zl_arena *arena, const char *s, size_t len);
