/* SPDX-License-Identifier: Apache-2.0 */
/* Dependencies between the services of one deployment: may it be started at all, and in which order. */
#pragma once

#include <zlayer/spec.h>

#include "base/error.h"

/* Indices of spec->services so that each stands behind those it depends on (those without a bond keep the order
 * of the file). A service that depends on itself, on an unknown one or on a cycle is refused, with the path.
 * The caller frees `*ret_order`. */
int zl_depends_order(const struct zl_deployment_spec *spec, size_t **ret_order,
                     struct zl_error *err);

/* Index of a service by name, or -1. */
ssize_t zl_depends_index(const struct zl_deployment_spec *spec, const char *name);
