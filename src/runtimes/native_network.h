/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The networks of native workloads: what a spec wants becomes a request, which stands in spec.json under "network" and is made at
 * each start; the files that tell the container its address are filled in then.
 */
#pragma once

#include "base/ident.h"
#include "runtimes/native.h"

struct zl_service_spec;

/* Fills in the paths of n->net. 0 or -ENOMEM. */
int native_network_init(struct native *n);
void native_network_done(struct native *n);

/* Does the workload get a network of ours? */
bool native_network_is_wanted(const struct zl_service_spec *spec);
/* What spec.json says about it. ZL_E_INVALID for a bad name. */
int native_network_describe(const struct zl_service_spec *spec, const struct zl_ident *ident,
                            const char *hostname, json_t **ret, struct zl_error *err);
/* Puts the workload into its network and writes its files. It waits at the start gate; `monitor` is its monitor. */
int native_network_attach(struct native *n, int state_fd, const struct native_record *record,
                          struct zl_monitor *monitor, struct zl_error *err);
/* Takes it out; nothing to do is success. */
int native_network_detach(struct native *n, const char *name, struct zl_error *err);
/* Whether names lead to it. */
int native_network_set_ready(struct native *n, const char *name, bool ready, struct zl_error *err);
/* No name leads to it any more; waits for the end of its connections, but not longer than that. */
int native_network_drain(struct native *n, const char *name, int64_t timeout_nsec,
                         struct zl_error *err);
/* Adds addresses to a status. */
int native_network_status(struct native *n, const struct native_record *record,
                          struct zl_status *status, struct zl_error *err);
