/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar archive from a descriptor, compressed or not, through the callbacks of a reader.
 */
#pragma once

#include "image/tar_reader.h"

/* Reads to the end of the archive and of the input. Blocks. Errors: those of the input, of the archive, and of the callbacks. */
int zl_tar_read_fd(int fd, const struct zl_tar_handler *handler, void *ctx, struct zl_error *err);
