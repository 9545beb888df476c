/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the spec (tables.c) and their custom types (types.c); private to this room. */
#pragma once

#include <zlayer/spec.h>

#include "schema/scalar.h"
#include "schema/schema.h"

extern const struct zl_type zl_deployment_type;
extern const struct zl_type zl_service_type_table;

extern const struct zl_type zl_duration_type;     /* int64_t nsec */
extern const struct zl_type zl_image_name_type;   /* char *, canonical reference */
extern const struct zl_type zl_network_mode_type; /* struct zl_network_mode */
extern const struct zl_type zl_json_map_type;     /* char *, one JSON object as text */

/* Folds host_network and network_mode into each other (spec §6.3). */
int zl_service_finish(struct zl_decoder *dec, const struct zl_node *node, void *value);

/* validate.c: adds what breaks rules to `problems`; values that are already reported are left alone. `root` is
 * where the spec was decoded from, for places. */
void zl_spec_validate(const struct zl_deployment_spec *spec, const struct zl_node *root,
                      struct zl_problems *problems);
