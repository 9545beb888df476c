/* SPDX-License-Identifier: Apache-2.0 */
/* Finds where the last N lines of a log begin, reading from its end. Used by the log reader only. */
#pragma once

#include "monitor/log_cursor.h"
#include "monitor/log_reader.h"

struct zl_log_tail {
        uint64_t want;
        const struct zl_log_reader_options *options;
        uint64_t
                skip; /* result: how many entries behind the place found come before the wanted ones */
};

/* Is the record output that the options ask for? */
bool zl_log_tail_wants(const struct zl_log_reader_options *options,
                       const struct zl_log_record *record);

/* Moves the cursor to a place from which, after `skip` entries, the last `want` follow. Leaves a cursor without file if
 * there is no log. */
int zl_log_tail_seek(struct zl_log_cursor *cursor, int log_dir_fd, struct zl_log_tail *tail);
