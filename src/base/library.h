/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared libraries that are loaded when they are first needed. For those that most commands never need and that would
 * cost all of them: mapping, relocating, initialising.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/macro.h"

struct zl_library_function {
        const char *name;
        size_t offset; /* of its pointer in the table */
};

struct zl_library {
        const char *soname, *purpose; /* "libx.so.1", "to do this" */
        const struct zl_library_function *functions;
        size_t n_functions;
        void *table; /* filled by the first load */
        pthread_mutex_t lock;
        bool loaded;
};

/* To be static; `functions_` is an array, `table_` the address of a struct of pointers. */
#define ZL_LIBRARY_INIT(soname_, purpose_, functions_, table_)                                     \
        {                                                                                          \
                .soname = (soname_), .purpose = (purpose_), .functions = (functions_),             \
                .n_functions = ZL_ARRAY_SIZE(functions_), .table = (table_),                       \
                .lock = PTHREAD_MUTEX_INITIALIZER                                                  \
        }

/* Fills the table if that has not been done. It is never unloaded. ZL_E_UNSUPPORTED, with the purpose in the message, if it is
 * not installed or lacks a function. May block on the disk. Thread-safe. */
int zl_library_load(struct zl_library *library, struct zl_error *err);
