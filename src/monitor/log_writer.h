/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the log of a workload (format: monitor/log_format.h). One writer per directory; the monitor holds it.
 *
 * Writing never fails towards the caller: what cannot be stored (disk full, input/output error) is dropped and counted, and
 * as soon as writing works again a notice says how much was lost. Blocks only for the disk.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "monitor/log_format.h"

struct zl_log_writer {
        int dir_fd, fd;
        uint32_t number;
        uint64_t key, size; /* of the current file */
        uint64_t max_size;
        uint32_t max_files, generation;
        uint8_t in_line[3]; /* by stream: the last record was PARTIAL */
        bool has_begun;
        int last_errno;
        int64_t retry_at;                        /* after a failure: no new attempt before */
        uint64_t bytes, dropped, dropped_untold; /* payload of the workload */
};

/* Opens STATE_DIR/log (made if missing) and begins with the next number, or goes on in the last file if that is
 * sound and not full. Writes nothing yet. `max_size` is the size of one file, at least one is kept. */
int zl_log_writer_open(struct zl_log_writer *w, int state_dir_fd, uint32_t generation,
                       uint64_t max_size, uint32_t max_files, struct zl_error *err);

/* Writes the START record. */
int zl_log_writer_begin(struct zl_log_writer *w, struct zl_error *err);

/* Output of stream 1 or 2, at most ZL_LOG_PAYLOAD_MAX bytes, with the present time. */
void zl_log_writer_put(struct zl_log_writer *w, int stream, const void *data, uint32_t len);

/* Writes the END record, if there was a START, and closes. */
void zl_log_writer_close(struct zl_log_writer *w);

/* Does the directory hold `name` as a log file? Returns its number, or 0. */
uint32_t zl_log_file_number(const char *name);
/* Lowest and highest number in the directory; 0 and 0 if there is none. */
int zl_log_file_range(int log_dir_fd, uint32_t *ret_first, uint32_t *ret_last);
