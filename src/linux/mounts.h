/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts by descriptor. Parsing allocates; the functions that mount are async-signal-safe and fall back to mount(2)
 * through /proc/self/fd on kernels without the newer calls (or with ZL_FORBID=mount_api).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* What the option strings of one mount mean. */
struct zl_mount_options {
        unsigned long flags;   /* MS_ flags that were set ("ro", "nosuid") */
        unsigned long cleared; /* and those that were cleared ("rw", "suid") */
        unsigned long recursive_flags, recursive_cleared; /* "rro", "rnosuid": for the whole tree */
        unsigned long propagation[4]; /* MS_SHARED, MS_PRIVATE|MS_REC …, in order; 0 ends */
        bool bind, rbind;
        bool copy_up; /* tmpfs is filled with what it covers */
        bool idmap, ridmap;
        bool copy_symlink; /* a source that is a symbolic link is made anew instead of mounted */
        bool source_nofollow, dest_nofollow;
        char *data; /* the rest, joined by commas; NULL if none. malloc()ed */
};

/* Reads the options of a mount in config.json. Unknown ones go to `data`, for the file system to judge. */
int zl_mount_options_parse(char *const *options, struct zl_mount_options *ret,
                           struct zl_error *err);
/* All names known above, NULL-terminated (for `features`). */
const char *const *zl_mount_option_names(void);
/* "rshared" … to MS_ flags, or 0. */
unsigned long zl_propagation_parse(const char *name);

/* Makes a file system of `type` and mounts it on the directory or file `target_fd` (O_PATH). `flags`: MS_. `data`: comma list or
 * NULL. Returns a descriptor of the new mount's root or a negative errno. */
int zl_mount_fs_on(int target_fd, const char *type, const char *source, unsigned long flags,
                   const char *data);

/* Overlay from a list of directories, LOWEST first; `upper` and `work` may be NULL. `joined` is the classic option string for kernels
 * without lowerdir+ (zl_overlay_options()). */
struct zl_overlay_plan {
        char *const *lower_dirs;
        size_t n_lower;
        const char *upper, *work;
        const char *joined;
};
int zl_mount_overlay_on(int target_fd, const struct zl_overlay_plan *overlay);
/* The same without a place yet, for zl_mount_move_on(): it is nowhere to be seen, and gone with its descriptor. -ENOSYS or -EINVAL where the
 * kernel has no such thing. */
int zl_mount_overlay_new(const struct zl_overlay_plan *overlay);
/* The classic option string, escaped; the caller frees. NULL without memory. */
char *zl_overlay_options(char *const *lower_dirs, const char *upper, const char *work);

/* Mounts what `source_fd` (O_PATH) is, with (`recursive`) everything below it, on `target_fd`. Returns a descriptor of the new mount's
 * root or a negative errno. */
int zl_mount_bind_on(int target_fd, int source_fd, bool recursive);

/* The same of the directory at the path `source`, on the directory `name` in `dir_fd`: for places where nobody else can exchange
 * names. Half the calls. */
int zl_mount_bind_at(int dir_fd, const char *name, const char *source);

/* Changes flags of the mount whose root is `fd`: MS_RDONLY, NOSUID, NODEV, NOEXEC, NODIRATIME, NOSYMFOLLOW and the atime family. */
int zl_mount_set_flags(int fd, unsigned long set, unsigned long clear, bool recursive);
/* `propagation`: one of MS_SHARED, SLAVE, PRIVATE, UNBINDABLE, with MS_REC for the tree. */
int zl_mount_set_propagation(int fd, unsigned long propagation);
/* A detached copy of what `source_fd` (O_PATH) is, whose ids are mapped through the user namespace `userns_fd` (5.12, no fallback).
 * Needs rights over the source's file system, so whoever will be in a user namespace has it made before. */
int zl_mount_clone_idmapped(int source_fd, bool recursive, int userns_fd, bool map_recursive);
/* The same with its ids as they are. */
int zl_mount_clone(int source_fd, bool recursive);
/* A detached tmpfs; and a detached mount of one file `name` in a detached mount (6.15; -EINVAL before). */
int zl_mount_detached_tmpfs(const char *data);
int zl_mount_detached_file(int mount_fd, const char *name, unsigned long flags);
/* Puts a detached mount in its place. `fd` is then the root of it. */
int zl_mount_move_on(int target_fd, int fd);

/* "/proc/self/fd/N" for fallbacks; async-signal-safe. Returns buf. */
enum { ZL_FD_PATH_MAX = 32 };
char *zl_fd_path(int fd, char buf[ZL_FD_PATH_MAX]);
