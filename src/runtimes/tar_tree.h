/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory tree as a tar archive: files of a workload for who asks for them, or the upper directory of overlayfs as a
 * layer of an image.
 */
#pragma once

#include "image/tar_writer.h"

enum zl_tar_tree_flags {
        ZL_TAR_ONE_MOUNT = 1 << 0, /* what is mounted on a name is not told, the name alone is */
        ZL_TAR_LAYER = 1 << 1, /* the directory is an upper one of overlayfs: a layer comes out */
};
/* Writes what stands at the path `base` of `dirfd` ("." is the directory itself), with all below it, under names that begin with `name` (no slash at the
 * end); if that is "", the directory itself is not told. Nothing is followed. File systems of the kernel (proc, sysfs ...) are told as empty directories. What vanishes meanwhile is left out; a file that shrinks
 * is filled up with zeros. ZL_E_UNSUPPORTED if an upper directory holds what a layer cannot express. */
int zl_tar_tree(struct zl_tar_writer *writer, int dirfd, const char *base, const char *name,
                unsigned flags, struct zl_error *err);
