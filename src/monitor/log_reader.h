/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the log of a workload (format: monitor/log_format.h), whether its monitor lives or not.
 *
 * One entry is one line. A line that came in several pieces is put together if the pieces are there when it is read
 * and it is not longer than ZL_LOG_ENTRY_MAX; otherwise it comes in several entries of which all but the last are
 * `partial`. So `data` of all entries, with a newline behind each that is not partial, is what the workload wrote,
 * byte for byte.
 *
 * Nothing here blocks but for the disk. A reader belongs to one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { ZL_LOG_ENTRY_MAX = 64 * 1024 };

struct zl_log_reader;

struct zl_log_reader_options {
        bool follow;          /* wait for more until the workload has ended and all is read */
        int64_t tail;         /* only the last N entries; negative: all */
        int64_t since, until; /* instants in nsec, both inclusive; 0: no bound */
        bool no_stdout, no_stderr;
};
#define ZL_LOG_READER_OPTIONS_INIT ((struct zl_log_reader_options){ .tail = -1 })

struct zl_log_reader_entry {
        int64_t time;     /* when its first byte was read */
        int stream;       /* 1 stdout, 2 stderr */
        const char *data; /* without the newline; valid until the next call; may hold NULs */
        size_t len;
        bool partial; /* no newline ended it (yet) */
        bool notice;  /* not by the workload: our own word on lost output, told as stderr */
};

/* `state_dir_fd` is duplicated. A workload without any log has an empty one. `options` may be NULL. */
int zl_log_reader_open(int state_dir_fd, const struct zl_log_reader_options *options,
                       struct zl_log_reader **ret, struct zl_error *err);

/* Readable when zl_log_reader_next() is worth a call: with follow an inotify descriptor, else one that is always
 * readable. After opening, and after every 1, call next without waiting. Owned by the reader. */
int zl_log_reader_fd(const struct zl_log_reader *reader);

/* 1: an entry; 0: nothing now (follow only); -ENODATA: the end (err is not set); else a failure. */
int zl_log_reader_next(struct zl_log_reader *reader, struct zl_log_reader_entry *ret,
                       struct zl_error *err);

void zl_log_reader_close(struct zl_log_reader *reader);
ZL_DEFINE_CLEANUP(struct zl_log_reader *, zl_log_reader_closep, zl_log_reader_close)
