/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar parser that is fed: bytes go in as they arrive, entries and file data come out through
 * callbacks. Formats: V7, ustar, GNU (long names, base-256 numbers, sparse) and pax (with xattrs and GNU
 * sparse 0.0, 0.1, 1.0). It touches no files; names come out as they stand in the archive.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macro.h"

struct zl_tar_xattr {
        char *name;
        char *value; /* `len` bytes */
        size_t len;
};

struct zl_tar_entry {
        char type; /* '0' file, '1' hard link, '2' symbolic link, '3' char, '4' block, '5' dir, '6' FIFO */
        const char *path; /* never NULL, no NUL inside */
        const char *link; /* "" if there is none */
        uint64_t size;    /* of the file as it will stand (sparse files: with their holes) */
        uint32_t mode, uid, gid;
        uint32_t major, minor;
        int64_t mtime;
        uint32_t mtime_nsec;
        const struct zl_tar_xattr *xattrs;
        size_t n_xattrs;
};

/* Every callback returns 0, or a negative errno with `err` filled, which ends the reading. */
struct zl_tar_handler {
        int (*entry)(void *ctx, const struct zl_tar_entry *entry, struct zl_error *err);
        /* Part of the file of the last entry; holes are left out. */
        int (*data)(void *ctx, uint64_t offset, const void *data, size_t len, struct zl_error *err);
        int (*entry_end)(void *ctx, struct zl_error *err);
        /* All bytes of the archive that are not file data, in order; may be NULL. */
        int (*raw)(void *ctx, const void *data, size_t len, struct zl_error *err);
};

struct zl_tar_reader;
/* NULL without memory. `handler` must stay. */
struct zl_tar_reader *zl_tar_reader_new(const struct zl_tar_handler *handler, void *ctx);
void zl_tar_reader_free(struct zl_tar_reader *reader);
ZL_DEFINE_CLEANUP(struct zl_tar_reader *, zl_tar_reader_freep, zl_tar_reader_free)

/* Errors: ZL_E_INVALID for what is no tar archive or breaks its rules, else what a callback said. */
int zl_tar_reader_feed(struct zl_tar_reader *reader, const void *data, size_t len,
                       struct zl_error *err);
/* The end of the input: fails if the archive is cut off. Zeros missing behind the last data are not a cut. */
int zl_tar_reader_finish(struct zl_tar_reader *reader, struct zl_error *err);
/* Bytes of the archive taken so far: inside a data callback the offset of that data. */
uint64_t zl_tar_reader_position(const struct zl_tar_reader *reader);
