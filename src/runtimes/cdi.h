/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Container Device Interface: a device has a name, "VENDOR/CLASS=NAME" ("nvidia.com/gpu=0"), and files of the host, written by the
 * vendor's tools, say what a container needs for it: nodes, mounts, variables, hooks.
 *
 * Reads files. A file that somebody else than root or ourselves may write is not believed, since its hooks run as we do. In a user namespace of
 * his own a user's are believed, and root's are not: whose they are cannot be seen there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct zl_cdi_node {
        char *path, *host_path, *type; /* the latter two may be NULL: as `path`, as on the host */
        bool has_major, has_minor, has_file_mode, has_uid, has_gid;
        int64_t major, minor;
        uint32_t file_mode, uid, gid;
        char *permissions; /* of "rwm", or NULL */
};
struct zl_cdi_mount {
        char *host_path, *container_path, *type;
        char **options;
};
struct zl_cdi_hook {
        char *name, *path; /* createRuntime … */
        char **args, **env;
        bool has_timeout;
        int64_t timeout; /* seconds */
};
struct zl_cdi_edits {
        char **env;
        struct zl_cdi_node *nodes;
        size_t n_nodes;
        struct zl_cdi_mount *mounts;
        size_t n_mounts;
        struct zl_cdi_hook *hooks;
        size_t n_hooks;
        uint32_t *gids;
        size_t n_gids;
};
struct zl_cdi_device {
        char *name;
        struct zl_cdi_edits edits;
};
struct zl_cdi_spec {
        char *path; /* its file */
        char *kind; /* VENDOR/CLASS */
        struct zl_cdi_device *devices;
        size_t n_devices;
        struct zl_cdi_edits edits; /* of whoever gets any of them, once */
        struct zl_arena *arena;    /* where all of it lives */
};
void zl_cdi_spec_free(struct zl_cdi_spec *spec); /* NULL is allowed */
ZL_DEFINE_CLEANUP(struct zl_cdi_spec *, zl_cdi_spec_freep, zl_cdi_spec_free)

/* Is it such a name, by its form? */
bool zl_cdi_is_name(const char *text);

/* Finds a device in the files of `dirs` ("/etc/cdi:/var/run/cdi"; the last of them counts most). ZL_E_NOT_FOUND: there is none, or two of that
 * name in one directory. The caller frees *ret, in which *ret_device lies. */
int zl_cdi_find(const char *dirs, const char *name, struct zl_cdi_spec **ret,
                const struct zl_cdi_device **ret_device, struct zl_error *err);
