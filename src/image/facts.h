/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry says about an image, without pulling it. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "image/registry.h"

struct zl_image_facts {
        char **systems; /* the operating systems it is there for: "linux", "windows" ...; NULL: it does not say */
        bool wasm; /* a WebAssembly artifact */
};
void zl_image_facts_done(struct zl_image_facts *facts);

/* Asks for the manifest, and the configuration if that alone tells. Blocks as the network does. */
int zl_image_facts_fetch(const char *reference, const struct zl_registry_options *options,
                         struct zl_image_facts *ret, struct zl_error *err);
