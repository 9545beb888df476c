/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of compiled modules, and the directory from which the engine runs.
 *
 *   <cache>/              0700
 *       code/KEY          machine code, then a trailer with its digest
 *       code/lock         held by whoever compiles or removes
 *       engine-ID/        zlayer-wasm with the libraries it needs, complete: mounted read-only into every instance
 *
 * An entry is used only if it is a regular file of ours that nobody else may write and its digest is right; anything else is
 * removed and made again. The key holds all that decides what the code looks like, so entries of another version, machine or
 * configuration are simply never asked for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { ZL_WASM_KEY_SIZE = 64 + 1 };
#define ZL_WASM_CACHE_MAX (UINT64_C(1) << 30)

/* $ZLAYER_WASM_CACHE_MAX, or that. ZL_E_CONFIGURATION if it is no size. */
int zl_wasm_cache_max(uint64_t *ret, struct zl_error *err);

/* The key of a module whose digest is `digest`. NULL without memory, else `key`. */
char *zl_wasm_cache_key(const char *digest, bool fuel, char key[ZL_WASM_KEY_SIZE]);

/* 1: there, `*ret_path` is the verified entry's absolute path (the caller frees it) and it counts as used now. 0: not there, or it
 * was not right and is gone. */
int zl_wasm_cache_find(const char *cache, const char *key, char **ret_path, struct zl_error *err);

/* Takes the lock for making an entry: a descriptor to close. Waits as long as somebody else compiles. Makes the directory. */
int zl_wasm_cache_lock(const char *cache, struct zl_error *err);

/* Puts an entry down, durably and in one step, and removes the longest unused ones until the cache has at most `max` bytes. The lock
 * is held. */
int zl_wasm_cache_put(const char *cache, const char *key, const void *code, size_t len,
                      uint64_t max, struct zl_error *err);

/* The directory with the program `helper` (zlayer-wasm), made when it is missing by running `helper stage DIR`. The caller
 * frees it. ZL_E_CONFIGURATION if there is no such program. */
int zl_wasm_engine_dir(const char *cache, const char *helper, char **ret, struct zl_error *err);

struct zl_wasm_patience {
        void (*tick)(void *data,
                     unsigned seconds); /* it has taken so long already: 1, 2, 4, 8 ... */
        void *data;
};
/* Runs `helper` with these arguments to its end. 0 if it succeeds; else what it says as an error, with the code that its exit status
 * stands for (enum zl_wasm_exit). `*ret_printed` is what it has printed, for the caller to free; may be NULL, as may `patience`. */
int zl_wasm_call_helper(const char *helper, char *const *args,
                        const struct zl_wasm_patience *patience, char **ret_printed,
                        struct zl_error *err);

/* Exit statuses of zlayer-wasm for its own failures, beside those of the guest. */
enum zl_wasm_exit {
        ZL_WASM_EXIT_FAILED = 125,
        ZL_WASM_EXIT_INVALID = 65,     /* the module is not right */
        ZL_WASM_EXIT_UNSUPPORTED = 69, /* the module is right, but not for us */
};
