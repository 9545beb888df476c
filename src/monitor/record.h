/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exit record: what a workload's end was, in STATE_DIR/exit.json.
 *
 * It is durable (file and directory are synced) before anybody is told of the end, so whoever learns of an end can
 * read it, also after a crash of any process or of the machine. The writer is the monitor; when a monitor was killed,
 * whoever finds that out (the runtime's recover) writes it in its place.
 *
 * Its file may have been made ahead, blank and on the disk already: then the end writes one block, and waits for no more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define ZL_EXIT_RECORD_NAME "exit.json"

/* What `reason` says when the monitor itself was killed and somebody else writes the record. */
#define ZL_EXIT_REASON_MONITOR_DIED "the monitor died"

struct zl_exit_record {
        uint32_t generation; /* which start under this name, from 1 */
        int exit_code;       /* 0..255; 128 + signal if a signal ended it; -1 if unknown */
        int signal;          /* the signal that ended it, or 0 */
        bool oom;            /* the kernel's out-of-memory killer struck in its cgroup */
        bool stop_requested; /* it ended because somebody asked for it through us */
        bool failed;         /* the command never ran (and its exit code is not 126 or 127) */
        char *reason;        /* in words, or NULL */
        int64_t created_at, started_at, finished_at; /* nsec since 1970 UTC; 0: did not happen */
        uint64_t memory_peak, cpu_usec, oom_kills;   /* 0: unknown */
        uint64_t log_bytes, log_dropped; /* output that was logged, and that could not be stored */
};

#define ZL_EXIT_RECORD_INIT ((struct zl_exit_record){ .exit_code = -1 })

void zl_exit_record_done(struct zl_exit_record *record);
#define _cleanup_exit_record_ _cleanup_(zl_exit_record_done)

/* Writes the record durably to `state_dir_fd`, replacing an older one. Blocks for the disk. */
int zl_exit_record_save(int state_dir_fd, const struct zl_exit_record *record,
                        struct zl_error *err);

/* Makes a blank one, on the disk with its name when this returns. Blocks for the disk. 0 or a negative errno. */
int zl_exit_record_prepare(int state_dir_fd);

/* Reads it. ZL_E_NOT_FOUND (-ENOENT) if there is none or a blank one, ZL_E_CORRUPT if it is not one. The caller releases `*ret`. */
int zl_exit_record_load(int state_dir_fd, struct zl_exit_record *ret, struct zl_error *err);

/* Removes it; missing is success, and a blank one stays. */
int zl_exit_record_remove(int state_dir_fd, struct zl_error *err);
