/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing the entries of a layer into a directory that will be an overlayfs lower directory. Archives are
 * hostile: no entry can touch anything outside of the directory, and one that tries is an error.
 */
#pragma once

#include "image/image.h"
#include "image/tar_reader.h"

struct zl_unpack;

/* `root` (a directory, stays the caller's) receives the files; `scratch` is a directory for a temporary file.
 * The calling thread must have its own file system context, see zl_unpack_thread_init(). */
int zl_unpack_new(int root, int scratch, const struct zl_image_limits *limits,
                  struct zl_unpack **ret, struct zl_error *err);
void zl_unpack_free(struct zl_unpack *unpack);
ZL_DEFINE_CLEANUP(struct zl_unpack *, zl_unpack_freep, zl_unpack_free)

enum zl_unpack_flags {
        ZL_UNPACK_OWNERS = 1 << 0, /* as in the archive; otherwise all is root's */
        ZL_UNPACK_NO_OVERWRITE_DIR =
                1 << 1, /* a directory never replaces a file, nor the other way */
};
/* Before the first entry: `root` is that of a workload and the files go to `directory` in it, a clean relative path ("" is the root) that exists. Symbolic links
 * are then resolved as the workload sees them, and white-outs are files like others. The calling thread should be in the workload's mount namespace, so that the
 * kernel knows what is a mount point. */
int zl_unpack_set_live(struct zl_unpack *unpack, const char *directory, unsigned flags,
                       struct zl_error *err);

/* Gives the calling thread an umask and a working directory of its own. Never call it in a thread that is not
 * ours. */
int zl_unpack_thread_init(struct zl_error *err);

/* The callbacks of a tar reader, in its order. */
int zl_unpack_entry(struct zl_unpack *unpack, const struct zl_tar_entry *entry,
                    struct zl_error *err);
int zl_unpack_data(struct zl_unpack *unpack, uint64_t offset, const void *data, size_t len,
                   struct zl_error *err);
int zl_unpack_entry_end(struct zl_unpack *unpack, struct zl_error *err);
/* After the last entry: sets the times of directories. */
int zl_unpack_finish(struct zl_unpack *unpack, struct zl_error *err);

/* Bytes of all files and number of entries so far. */
uint64_t zl_unpack_bytes(const struct zl_unpack *unpack);
uint64_t zl_unpack_entries(const struct zl_unpack *unpack);
