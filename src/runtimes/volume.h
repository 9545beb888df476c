/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes: directories that outlive containers.
 *
 * A volume NAME is the directory <root_dir>/volumes/NAME: its content in `_data`, and one empty file per
 * container that uses it in `users`. While a user is there the volume cannot be removed; because users are files, that
 * holds over any restart of ours. Volumes of a deployment are called DEPLOYMENT.NAME, so two deployments never share one
 * by accident; those of `run` and of `volume create` are plain NAMEs and global. Anonymous volumes belong to one
 * container and die with it; they stand in volumes/_anon/CONTAINER/.
 *
 * All functions may be called from several threads and processes at once (a lock on the volume's directory).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/ident.h"

struct zl_volumes;

/* Opens <root_dir>/volumes, or what $ZLAYER_VOLUME_DIR names, making it if it is missing. */
int zl_volumes_open(const char *root_dir, struct zl_volumes **ret, struct zl_error *err);
void zl_volumes_close(struct zl_volumes *volumes);
ZL_DEFINE_CLEANUP(struct zl_volumes *, zl_volumes_closep, zl_volumes_close)
#define _cleanup_volumes_ _cleanup_(zl_volumes_closep)

struct zl_volume_info {
        char *name;
        char *path;   /* of the content, absolute */
        char **users; /* names of containers, sorted; NULL: none */
        int64_t created_at;
};
void zl_volume_info_done(struct zl_volume_info *info);
void zl_volume_info_free(struct zl_volume_info *infos, size_t n);

/* NAME or DEPLOYMENT.NAME: letters, digits, '-', '_' in each part, 1 to 63 bytes, beginning with a letter or digit. */
bool zl_volume_name_is_valid(const char *name) _pure_;
/* The full name of a volume called `name` in the spec of `ident`: that of a `run` is global. */
int zl_volume_full_name(const struct zl_ident *ident, const char *name, char **ret,
                        struct zl_error *err);

/* Makes a volume. ZL_E_EXISTS if it is there. */
int zl_volume_create(struct zl_volumes *volumes, const char *name, struct zl_error *err);
/* Named volumes in order of name; the caller frees with zl_volume_info_free(). */
int zl_volume_list(struct zl_volumes *volumes, struct zl_volume_info **ret, size_t *ret_n,
                   struct zl_error *err);
int zl_volume_inspect(struct zl_volumes *volumes, const char *name, struct zl_volume_info *ret,
                      struct zl_error *err);
/* Removes a volume with its content. ZL_E_NOT_FOUND, or ZL_E_BUSY (naming the users) while it is used. */
int zl_volume_remove(struct zl_volumes *volumes, const char *name, struct zl_error *err);
/* Removes all named volumes of a deployment; `removed` (may be NULL) is called for each. Stops at the first that cannot be. */
int zl_volume_remove_of(struct zl_volumes *volumes, const char *deployment,
                        void (*removed)(const char *name, void *data), void *data,
                        struct zl_error *err);
/* Removes all named volumes without users, and anonymous ones whose container is gone (not in `containers_dir`, may
 * be NULL: then anonymous ones are left alone). `*ret_names` (may be NULL) is a vector of what was removed,
 * `*ret_bytes` (may be NULL) the disk space. */
int zl_volume_prune(struct zl_volumes *volumes, const char *containers_dir, char ***ret_names,
                    uint64_t *ret_bytes, struct zl_error *err);

/* ---- for runtimes -------------------------------------------------------------------------------- */

/* Marks `user` as a user of a volume, making the volume if it is missing. `*ret_path` is its content directory,
 * `*ret_fresh` whether it is empty and nobody else uses it, so that the image's content may be copied up. */
int zl_volume_attach(struct zl_volumes *volumes, const char *name, const char *user,
                     char **ret_path, bool *ret_fresh, struct zl_error *err);
/* Forgets one user. Missing is success. */
int zl_volume_detach(struct zl_volumes *volumes, const char *name, const char *user,
                     struct zl_error *err);
/* Forgets `user` in every volume: for containers of which no record tells what they used. */
int zl_volume_detach_all(struct zl_volumes *volumes, const char *user, struct zl_error *err);

/* Makes anonymous volume number `index` of a container; if it is there already, it is used again. */
int zl_volume_make_anonymous(struct zl_volumes *volumes, const char *user, unsigned index,
                             char **ret_path, bool *ret_fresh, struct zl_error *err);
/* Where they all are; the caller frees. NULL without memory. */
char *zl_volume_anonymous_path(const struct zl_volumes *volumes, const char *user);
/* The container has another name now; there is no other one of that name. None is success. */
int zl_volume_rename_anonymous(struct zl_volumes *volumes, const char *user, const char *new_user,
                               struct zl_error *err);
/* Removes all anonymous volumes of a container. None is success. */
int zl_volume_remove_anonymous(struct zl_volumes *volumes, const char *user, struct zl_error *err);
