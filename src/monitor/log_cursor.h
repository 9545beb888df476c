/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks over the records of one log file, both ways, through a window of memory. Used by the log reader only.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "monitor/log_format.h"

struct zl_log_cursor {
        int fd;
        uint32_t number;
        uint64_t key;
        uint64_t pos; /* of the next record (forward), or of the end of the one before (backward) */
        char *window; /* WINDOW_SIZE bytes, made by open */
        uint64_t window_pos;
        size_t window_len;
};
#define ZL_LOG_CURSOR_INIT ((struct zl_log_cursor){ .fd = -EBADF })

void zl_log_cursor_done(struct zl_log_cursor *cursor);

/* Moves to the begin of another file. -ENOENT if it is not there; -EBADMSG if it is no log file. The cursor is unchanged
 * on failure. */
int zl_log_cursor_open(struct zl_log_cursor *cursor, int log_dir_fd, uint32_t number);

/* The record at pos, which moves behind it. 1: `*ret` and `*ret_payload` (valid until the next call) are filled; 0: no whole
 * record is there (yet). Damaged places are skipped. Negative errno when reading fails. */
int zl_log_cursor_next(struct zl_log_cursor *cursor, struct zl_log_record *ret,
                       const char **ret_payload);

/* Puts pos behind the last whole record. */
int zl_log_cursor_to_end(struct zl_log_cursor *cursor);
/* The record before pos, which moves to its begin. 0: the begin of the file. */
int zl_log_cursor_prev(struct zl_log_cursor *cursor, struct zl_log_record *ret,
                       const char **ret_payload);
