/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the spec means beyond its fields: the rules that the agent and the runtimes share, so each of them stands
 * in one place. Pure functions; none blocks.
 */
#pragma once

#include <zlayer/spec.h>

#include "base/error.h"
#include "base/hash.h"

ZL_DEFINE_CLEANUP(struct zl_deployment_spec *, zl_spec_freep, zl_spec_free)
ZL_DEFINE_CLEANUP(struct zl_service_spec *, zl_service_spec_freep, zl_service_spec_free)
#define _cleanup_spec_ _cleanup_(zl_spec_freep)
#define _cleanup_service_spec_ _cleanup_(zl_service_spec_freep)

/* The spec as JSON that zl_spec_load_text() reads back exactly, whatever it says; what is stored and handed on. The caller
 * frees it; NULL without memory. */
char *zl_spec_dump_stored(const struct zl_deployment_spec *spec);

/* "sha256:HEX" over the canonical JSON of everything the service says: equal specs, equal text, whatever order or notation
 * the file used for maps and defaults. 0 or -ENOMEM. */
int zl_spec_service_hash(const struct zl_service_spec *spec, char ret[ZL_DIGEST_TEXT_MAX]);

/*
 * The arguments of the process, a new vector of at least one:
 *  - entrypoint present: entrypoint + args (the image's ENTRYPOINT and CMD are dropped);
 *  - only args, not empty: the image's ENTRYPOINT + args, as Docker and the OCI image specification have it;
 *  - otherwise the image's ENTRYPOINT + CMD, and "/bin/sh" if that is empty.
 * Vectors of the image may be NULL. 0 or -ENOMEM.
 */
int zl_spec_process_args(const struct zl_command_spec *command, char *const *image_entrypoint,
                         char *const *image_cmd, char ***ret);

/* The policy that counts: if_not_present becomes newer for an image with the tag "latest" or without a tag. */
enum zl_pull_policy zl_spec_pull_policy(const struct zl_image_spec *image);

/* Bytes of "512Mi" (resources.memory, wasm.max_memory: only Ki Mi Gi Ti). 0, -EINVAL (grammar or zero) or -ERANGE (more than 2^64-1). */
int zl_spec_memory_bytes(const char *text, uint64_t *ret);
/* Bytes of memory_swap, memory_reservation and sizes of storage: also K M G T of either case (1000ⁿ) or no suffix, blanks
 * around are dropped. "-1" gives UINT64_MAX (unlimited). 0, -EINVAL or -ERANGE. */
int zl_spec_size_bytes(const char *text, uint64_t *ret);

/* Label with more names in its network, separated by commas. */
#define ZL_NETWORK_ALIASES_LABEL "zlayer.network.aliases"

/* Where the workload listens for an endpoint. */
uint16_t zl_spec_target_port(const struct zl_endpoint_spec *endpoint);

/* Is there something to be reached: a published port, an endpoint? */
bool zl_spec_is_published(const struct zl_service_spec *spec);
/* Is its place a bridge: because it says so, or because it says nothing and is published? */
bool zl_spec_is_on_bridge(const struct zl_service_spec *spec);
/* Are there services of the kind that says nothing and is published? Then the deployment has a network, and all of its services that say
 * nothing are in it. */
bool zl_spec_has_network(const struct zl_deployment_spec *spec);

/* How many replicas a service begins with. */
uint32_t zl_spec_initial_replicas(const struct zl_scale_spec *scale);

/* The port that a tcp health check without a port of its own tries: the target port of the first http, https or
 * websocket endpoint, else 8080. */
uint16_t zl_spec_health_port(const struct zl_service_spec *spec);

/* What a WASM service of this type may use at most, which is also what it gets by default. false if the
 * type is none of WASM. */
bool zl_wasm_capabilities_allowed(enum zl_service_type type, struct zl_wasm_capabilities *ret);

/* Spellings of the file, for output; never NULL. */
const char *zl_rtype_name(enum zl_rtype rtype);
const char *zl_service_type_name(enum zl_service_type type);
