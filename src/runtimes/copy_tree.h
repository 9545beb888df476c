/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image has at a path, copied into a fresh volume ("copy-up"). The image's layers are looked at merged, as the
 * container will see them, but nothing is ever mounted where others could see it.
 */
#pragma once

#include "base/error.h"

/* Copies the content of the directory `path` of an image (layers LOWEST first) into the empty directory `to_fd`, which also
 * gets its owner and mode. Owners, modes, times, extended attributes, symbolic links, devices and hard links inside
 * are kept. A `path` that the image does not have, or that is no directory there, is success without effect. */
int zl_copy_up(char *const *lower_dirs, const char *path, int to_fd, struct zl_error *err);
