/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups that systemd makes (the "systemd driver"): a transient scope per container, delegated to us, so that systemd does not
 * count it as a stranger in its tree and shows it in `systemctl`. On version 1 systemd has a hierarchy of its own and makes the group in those
 * of the controllers that it knows; the others are ours to make, under the same path.
 *
 * The system's systemd for root, that of the user for everybody else and for root of a user namespace. Calls block until systemd has
 * done its job, at most 30 s each. A handle belongs to one thread at a time.
 */
#pragma once

#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "linux/cgroup.h"

struct zl_scope;

/* Finds names and place: `cgroups_path` is "SLICE:PREFIX:NAME", or NULL or empty for one named after the container. Nothing is made. */
int zl_scope_plan(const char *cgroups_path, const char *id, struct zl_scope **ret,
                  struct zl_error *err);
/* That of a group that was made before. */
int zl_scope_of(const char *cgroup_path, struct zl_scope **ret, struct zl_error *err);
void zl_scope_free(struct zl_scope *scope);
ZL_DEFINE_CLEANUP(struct zl_scope *, zl_scope_freep, zl_scope_free)

/* Where its group is: "/machine.slice/zlayer-web.scope". Belongs to the handle. */
const char *zl_scope_path(const struct zl_scope *scope);

/* Makes the scope, with this process in it. `annotations` with the prefix "org.systemd.property." become properties of the unit; their
 * values are in the text form of GVariant: 'text', true, uint64 7, ['a', 'b']. The device rules of `resources` (may be NULL) are told on
 * version 1. ZL_E_EXISTS if there is a unit of that name. */
int zl_scope_start(struct zl_scope *scope, pid_t pid, const char *description,
                   const struct zl_str_map *annotations, const struct zl_oci_resources *resources,
                   struct zl_error *err);
/* Has systemd move a process into the scope: for a user whose processes are outside of his systemd's tree (a login session) the kernel
 * does not. */
int zl_scope_attach(struct zl_scope *scope, pid_t pid, struct zl_error *err);
/* Tells systemd the limits that the group has now: it would set its own again at the next daemon-reload. */
int zl_scope_tell_limits(struct zl_scope *scope, struct zl_cgroup *cg, struct zl_error *err);
/* Ends the unit and forgets how it ended. One that is gone is success. */
int zl_scope_stop(struct zl_scope *scope, struct zl_error *err);

/* Appends a variant of D-Bus for such a text. 0, -EINVAL, or the error of the buffer. */
int zl_scope_put_variant(struct zl_buf *b, const char *text);
