/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bump allocator in chunks. Chunks double up to 2 MiB, so a small document costs one malloc and a large one
 * few; requests above a quarter of a chunk get a chunk of their own and leave the current one in use. The
 * bound counts what is handed out, which is how the readers limit what a hostile document may cost.
 *
 * A file of 1 MB fills ten times that, and a tenth of its time was page faults: the largest chunks are huge pages where the
 * system has them.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#include "schema/arena.h"

enum { CHUNK_FIRST = 8 << 10, CHUNK_LAST = 2 << 20, ALIGNMENT = 16 };

struct chunk {
        struct chunk *next;
        _Alignas(ALIGNMENT) unsigned char data[];
};

struct zl_arena {
        struct chunk *chunks;
        unsigned char *pos, *end; /* of the chunk in use */
        size_t chunk_size;        /* of the next one */
        size_t used, max;
};

struct zl_arena *zl_arena_new(size_t max)
{
        struct zl_arena *arena = calloc(1, sizeof(*arena));

        if (!arena)
                return NULL;
        arena->max = max;
        arena->chunk_size = CHUNK_FIRST;
        return arena;
}

void zl_arena_free(struct zl_arena *arena)
{
        if (!arena)
                return;
        while (arena->chunks) {
                struct chunk *c = arena->chunks;

                arena->chunks = c->next;
                free(c);
        }
        free(arena);
}

static unsigned char *chunk_add(struct zl_arena *arena, size_t size)
{
        bool huge = size + sizeof(struct chunk) == CHUNK_LAST;
        struct chunk *c = huge ? aligned_alloc(CHUNK_LAST, CHUNK_LAST) : malloc(sizeof(*c) + size);

        if (!c)
                return NULL;
#ifdef MADV_HUGEPAGE
        if (huge)
                (void)madvise(c, CHUNK_LAST, MADV_HUGEPAGE);
#endif
        c->next = arena->chunks;
        arena->chunks = c;
        return c->data;
}

static void *alloc_raw(struct zl_arena *arena, size_t size)
{
        unsigned char *p;

        if (size > SIZE_MAX - ALIGNMENT)
                return NULL;
        size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
        if (arena->max && size > arena->max - arena->used)
                return NULL;
        if (size > (size_t)(arena->end - arena->pos)) {
                if (size > arena->chunk_size / 4) {
                        p = chunk_add(arena, size);
                        if (p)
                                arena->used += size;
                        return p;
                }
                p = chunk_add(arena, arena->chunk_size - sizeof(struct chunk));
                if (!p)
                        return NULL;
                arena->pos = p;
                arena->end = p + arena->chunk_size - sizeof(struct chunk);
                arena->chunk_size = ZL_MIN(arena->chunk_size * 2, (size_t)CHUNK_LAST);
        }
        p = arena->pos;
        arena->pos += size;
        arena->used += size;
        return p;
}

void *zl_arena_alloc(struct zl_arena *arena, size_t size)
{
        void *p = alloc_raw(arena, size);

        return p ? memset(p, 0, size) : NULL;
}

char *zl_arena_strndup(struct zl_arena *arena, const char *s, size_t len)
{
        char *p = len < SIZE_MAX ? alloc_raw(arena, len + 1) : NULL;

        if (!p)
                return NULL;
        if (len)
                memcpy(p, s, len);
        p[len] = 0;
        return p;
}
