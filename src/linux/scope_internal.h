/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the scope*.c files: elements of a(sv), appended to the body of a call. */
#pragma once

#include "linux/scope.h"

/* Up to its value. */
void zl_scope_put_property(struct zl_buf *b, const char *name, const char *signature);
void zl_scope_put_text(struct zl_buf *b, const char *name, const char *value);
void zl_scope_put_number(struct zl_buf *b, const char *name, uint64_t value);
/* The limits that a group has. */
void zl_scope_put_limits(struct zl_buf *b, struct zl_cgroup *cg);
/* DevicePolicy and DeviceAllow, where the rules can be said so. For version 1, where systemd would otherwise allow all devices each time it
 * comes by; on version 2 its rules and ours hold both. */
int zl_scope_put_devices(struct zl_buf *b, const struct zl_oci_resources *resources,
                         struct zl_error *err);
