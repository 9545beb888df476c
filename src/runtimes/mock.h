/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control panel of the mock runtime: workloads that exist in memory only and do what a test tells them. It
 * honours the whole contract of <zlayer/runtime.h> (states, events, blocking wait, logs, exec, errors), so code
 * above cannot tell the difference.
 *
 * `rt` must be a mock. All functions are thread-safe and do not block.
 */
#pragma once

#include "runtimes/runtime.h"

enum zl_mock_op {
        ZL_MOCK_PULL,
        ZL_MOCK_CREATE,
        ZL_MOCK_START,
        ZL_MOCK_STOP,
        ZL_MOCK_KILL,
        ZL_MOCK_PAUSE,
        ZL_MOCK_SET_READY,
        ZL_MOCK_REMOVE,
        ZL_MOCK_STATE,
        ZL_MOCK_LIST,
        ZL_MOCK_RECOVER,
        ZL_MOCK_WATCH,
        ZL_MOCK_LOGS,
        ZL_MOCK_EXEC,
        ZL_MOCK_ATTACH,
        ZL_MOCK_STATS,
        ZL_MOCK_OP_MAX_,
};

/* Ends a running (or paused) workload as if its process had. `signal` > 0 overrides `exit_code` with 128 + signal. */
int zl_mock_exit(struct zl_runtime *rt, const char *name, int exit_code, int signal, bool oom,
                 struct zl_error *err);
/* The monitor of a workload died: the workload is FAILED with `reason`. */
int zl_mock_lose(struct zl_runtime *rt, const char *name, const char *reason, struct zl_error *err);

/* The next `times` calls of `op` on `name` (NULL: on any) fail with `code`. */
int zl_mock_fail_next(struct zl_runtime *rt, enum zl_mock_op op, const char *name,
                      enum zl_code code, unsigned times);
/* How often `op` has been called, failed calls included. */
uint64_t zl_mock_count(struct zl_runtime *rt, enum zl_mock_op op);

/* Hooks; each may be NULL. They are called without any lock held, from the thread that called the runtime. */
struct zl_mock_hooks {
        int64_t (*now)(void *data); /* instants of the records; NULL: the real clock */
        /* After a start: negative lets it run, otherwise it ends at once with this exit code. */
        int (*on_start)(const char *name, uint32_t generation, void *data);
        /* When stop() sends the stop signal: true if the workload ends by it (with *ret_code, 0 at first), false if it
         * ignores it and must be killed (137). NULL: it ends with 0. */
        bool (*on_stop)(const char *name, int *ret_code, void *data);
        /* Exit code of a command run in it. NULL: 0. */
        int (*on_exec)(const char *name, char *const *argv, void *data);
        /* The health check of an image; *ret is empty at first. NULL: none has one. */
        int (*on_image_health)(const char *image, struct zl_image_health *ret, void *data);
        void *data;
};
/* Must be called before the runtime is used by a second thread. */
void zl_mock_set_hooks(struct zl_runtime *rt, const struct zl_mock_hooks *hooks);

/* Makes a workload say a line (no newline) on stream 1 or 2. */
int zl_mock_say(struct zl_runtime *rt, const char *name, int stream, const char *line,
                struct zl_error *err);
/* Whether a workload may get traffic now; false also if there is none of this name. */
bool zl_mock_is_ready(struct zl_runtime *rt, const char *name);
/* What `stats` answers for a workload from now on. */
int zl_mock_set_stats(struct zl_runtime *rt, const char *name, const struct zl_stats *stats,
                      struct zl_error *err);
