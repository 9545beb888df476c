/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several runtimes behind one: each workload goes to the one that fits its operating system, and stays there.
 *
 * Which one is decided at create: by platform.os of the spec; else by what the image was made for; else the first. Which one it was
 * is a file <root_dir>/routes/NAME, so it survives us; a workload without one is looked for in all.
 */
#pragma once

#include "image/facts.h"
#include "runtimes/runtime.h"

enum { ZL_COMPOSITE_MAX = 4 };

/* `os`: "linux", "windows", "macos" or, for WebAssembly artifacts, "wasm"; each at most once. */
struct zl_composite_target {
        struct zl_runtime *rt;
        const char *os;
};

/* Asks a registry what an image is for; tests bring their own. */
typedef int (*zl_composite_ask)(const char *image, const struct zl_registry_options *options,
                                struct zl_image_facts *ret, struct zl_error *err);

/* The first of `n` targets is the primary one. They belong to the composite from then on, also if this fails. `ask` may be NULL:
 * zl_image_facts_fetch(). */
int zl_composite_new(const struct zl_composite_target *targets, size_t n,
                     const struct zl_runtime_options *options, zl_composite_ask ask,
                     struct zl_runtime **ret, struct zl_error *err);

extern const struct zl_runtime_ops zl_composite_ops;
