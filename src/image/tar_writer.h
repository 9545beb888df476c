/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing tar: entries go in, bytes come out through a sink. ustar, with pax records where it is too narrow (long
 * names, large numbers, attributes), which is what every reader of images understands. It touches no files; runtimes/tar_tree.h writes what lies in a
 * directory.
 */
#pragma once

#include "image/tar_reader.h"

/* Returns 0, or a negative errno with `err` filled, which ends the writing. */
typedef int (*zl_tar_sink)(void *ctx, const void *data, size_t len, struct zl_error *err);

struct zl_tar_writer;
/* NULL without memory. */
struct zl_tar_writer *zl_tar_writer_new(zl_tar_sink sink, void *ctx);
void zl_tar_writer_free(struct zl_tar_writer *writer);
ZL_DEFINE_CLEANUP(struct zl_tar_writer *, zl_tar_writer_freep, zl_tar_writer_free)
#define _cleanup_tar_writer_ _cleanup_(zl_tar_writer_freep)
/* A sink that writes to the descriptor that `ctx` points to (a const int). */
int zl_tar_sink_fd(void *ctx, const void *data, size_t len, struct zl_error *err);

/* Begins an entry; exactly `entry->size` bytes of a file's data have to follow. */
int zl_tar_writer_entry(struct zl_tar_writer *writer, const struct zl_tar_entry *entry,
                        struct zl_error *err);
int zl_tar_writer_data(struct zl_tar_writer *writer, const void *data, size_t len,
                       struct zl_error *err);
/* The end of the archive; all is at the sink then. */
int zl_tar_writer_finish(struct zl_tar_writer *writer, struct zl_error *err);
