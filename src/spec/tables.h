/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the spec (tables.c) and their custom types (types.c): for this room, and for the API, whose bodies hold parts of
 * a spec and are read by the same tables. */
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

/* tables_network.c */
extern const struct zl_type zl_expose_type;
extern const struct zl_type zl_endpoints_type;       /* list of struct zl_endpoint_spec */
extern const struct zl_type zl_service_network_type; /* struct zl_service_network_spec */

/* Short forms for tables: a member named like its key, one with has_KEY, the count n_KEY. */
#define F(S, key, type, ...) ZL_FIELD(struct S, #key, key, type, ##__VA_ARGS__)
#define OPT(S, key, type, ...)                                                                     \
        ZL_FIELD(struct S, #key, key, type, ZL_HAS(struct S, has_##key), ##__VA_ARGS__)
#define COUNT(S, member) ZL_COUNT(struct S, n_##member)
#define DOC(text) .doc = (text)

/* Folds host_network and network_mode into each other (spec §6.3). */
int zl_service_finish(struct zl_decoder *dec, const struct zl_node *node, void *value);

/* validate.c: adds what breaks rules to `problems`; values that are already reported are left alone. `root` is
 * where the spec was decoded from, for places. 0 (also with problems) or -ENOMEM. */
int zl_spec_validate(const struct zl_deployment_spec *spec, const struct zl_node *root,
                     struct zl_problems *problems);
