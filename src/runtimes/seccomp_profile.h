/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seccomp profiles in the resolved form that config.json wants: the built-in one, and files in the format that
 * Docker and podman use (conditions on capabilities, architecture and kernel) or in that of the OCI
 * specification.
 */
#pragma once

#include "oci/runtime_config.h"

/* What conditions of a profile look at. */
struct zl_seccomp_facts {
        char *const *capabilities; /* bounding set, "CAP_SYS_ADMIN" ... */
        const char *arch;          /* machine as uname(2) has it: "x86_64" */
        unsigned kernel_major, kernel_minor;
};

/* The built-in profile; the caller frees with zl_seccomp_profile_free(). 0 or -ENOMEM. */
int zl_seccomp_default(const struct zl_seccomp_facts *facts, struct zl_oci_seccomp **ret);

/* One that refuses every call; the same. */
int zl_seccomp_refuse_all(struct zl_oci_seccomp **ret);

/* Reads a profile; `what` names it in errors. ZL_E_INVALID for a text that is none. Does not block. */
int zl_seccomp_parse(const char *text, size_t len, const char *what,
                     const struct zl_seccomp_facts *facts, struct zl_oci_seccomp **ret,
                     struct zl_error *err);

void zl_seccomp_profile_free(struct zl_oci_seccomp *profile);
ZL_DEFINE_CLEANUP(struct zl_oci_seccomp *, zl_seccomp_profile_freep, zl_seccomp_profile_free)

/* For profile builders: appends a rule for the names in a blank-separated text. The returned rule may be given
 * arguments. NULL without memory. */
struct zl_oci_seccomp_rule *zl_seccomp_add_rule(struct zl_oci_seccomp *profile, const char *names,
                                                const char *action);
int zl_seccomp_add_arg(struct zl_oci_seccomp_rule *rule, uint32_t index, uint64_t value,
                       uint64_t value_two, const char *op);
