/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities by raw system calls: names to masks, and setting the five sets. */
#pragma once

#include <stdint.h>

#include "oci/runtime_config.h"

struct zl_caps {
        uint64_t bounding, effective, permitted, inheritable, ambient;
};

/* The number of "CAP_CHOWN" (also "chown", any case), or -EINVAL. */
int zl_cap_parse(const char *name);
/* "CAP_CHOWN", or NULL. */
const char *zl_cap_name(unsigned number);
/* How many of the names below ZL_CAP_COUNT this program knows. */
unsigned zl_cap_count(void);
/* All that this kernel has; one read of /proc or a few prctl() calls. */
uint64_t zl_cap_kernel_mask(void);

/* Masks of a config's sets (NULL: all empty). Names that neither we nor the kernel know are dropped with a warning, as
 * the specification asks; `field` names the place in messages. */
int zl_caps_from_config(const struct zl_oci_capabilities *config, struct zl_caps *ret,
                        struct zl_error *err);

/* Before the bounding set is dropped: what may be inheritable without being bounding must be so already. Nothing is done, and no
 * call made, when the set is empty. */
int zl_caps_raise_inheritable(const struct zl_caps *caps);
/* The steps around a change of user, all async-signal-safe, each 0 or a negative errno:
 * drop the bounding set (needs CAP_SETPCAP, so before), ... */
int zl_caps_drop_bounding(const struct zl_caps *caps);
/* ... then set the other sets (after setuid, with PR_SET_KEEPCAPS before it). What is not permitted to us gives -EPERM. */
int zl_caps_apply(const struct zl_caps *caps);
