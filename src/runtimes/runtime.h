/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one interface of all backends: a table of operations per backend. The public functions of
 * <zlayer/runtime.h> are thin calls through this table (runtime.c); an operation that is NULL answers
 * ZL_E_UNSUPPORTED. Contracts (blocking, ownership, errors) are those of the public header.
 */
#pragma once

#include <zlayer/runtime.h>

#include "base/error.h"
#include "base/ident.h"

struct zl_image_store;

/* Every handle begins with the runtime's table, so the public functions can find their way. */
struct zl_watch {
        const struct zl_runtime_ops *ops;
};
struct zl_logs {
        const struct zl_runtime_ops *ops;
};
struct zl_exec {
        const struct zl_runtime_ops *ops;
};
struct zl_attach {
        const struct zl_runtime_ops *ops;
};

struct zl_runtime {
        const struct zl_runtime_ops *ops;
};

struct zl_runtime_ops {
        enum zl_runtime_kind kind;
        void (*free)(struct zl_runtime *rt);

        int (*pull)(struct zl_runtime *rt, const char *image, const struct zl_pull_options *options,
                    char **ret_digest, struct zl_error *err);

        int (*create)(struct zl_runtime *rt, const struct zl_create_options *options,
                      struct zl_error *err);
        int (*start)(struct zl_runtime *rt, const char *name, struct zl_error *err);
        int (*stop)(struct zl_runtime *rt, const char *name, int64_t grace_nsec,
                    struct zl_error *err);
        int (*kill)(struct zl_runtime *rt, const char *name, int sig, bool all,
                    struct zl_error *err);
        int (*pause)(struct zl_runtime *rt, const char *name, bool pause, struct zl_error *err);
        int (*remove)(struct zl_runtime *rt, const char *name, bool force, struct zl_error *err);
        int (*state)(struct zl_runtime *rt, const char *name, struct zl_status *ret,
                     struct zl_error *err);
        int (*list)(struct zl_runtime *rt, struct zl_status **ret, size_t *ret_n,
                    struct zl_error *err);
        int (*inspect)(struct zl_runtime *rt, const char *name, char **ret_json,
                       struct zl_error *err);
        int (*recover)(struct zl_runtime *rt, struct zl_error *err);

        int (*watch_open)(struct zl_runtime *rt, const char *name, struct zl_watch **ret,
                          struct zl_error *err);
        int (*watch_fd)(const struct zl_watch *watch);
        int (*watch_next)(struct zl_watch *watch, struct zl_status *ret, struct zl_error *err);
        void (*watch_close)(struct zl_watch *watch);

        int (*logs_open)(struct zl_runtime *rt, const char *name,
                         const struct zl_log_options *options, struct zl_logs **ret,
                         struct zl_error *err);
        int (*logs_fd)(const struct zl_logs *logs);
        int (*logs_next)(struct zl_logs *logs, struct zl_log_entry *ret, struct zl_error *err);
        void (*logs_close)(struct zl_logs *logs);

        int (*exec_open)(struct zl_runtime *rt, const char *name,
                         const struct zl_exec_options *options, struct zl_exec **ret,
                         struct zl_error *err);
        int (*exec_fd)(const struct zl_exec *exec);
        int (*exec_tty_fd)(const struct zl_exec *exec);
        int (*exec_resize)(struct zl_exec *exec, uint16_t rows, uint16_t cols,
                           struct zl_error *err);
        int (*exec_kill)(struct zl_exec *exec, int sig, struct zl_error *err);
        int (*exec_result)(struct zl_exec *exec, int *ret_code, struct zl_error *err);
        void (*exec_close)(struct zl_exec *exec);

        int (*attach_open)(struct zl_runtime *rt, const char *name, struct zl_attach **ret,
                           struct zl_error *err);
        int (*attach_fd)(const struct zl_attach *attach);
        int (*attach_next)(struct zl_attach *attach, int *ret_stream, const char **ret_data,
                           size_t *ret_len, struct zl_error *err);
        int (*attach_write)(struct zl_attach *attach, const void *data, size_t len,
                            struct zl_error *err);
        int (*attach_resize)(struct zl_attach *attach, uint16_t rows, uint16_t cols,
                             struct zl_error *err);
        void (*attach_close)(struct zl_attach *attach);

        int (*stats)(struct zl_runtime *rt, const char *name, struct zl_stats *ret,
                     struct zl_error *err);
};

/* zl_runtime_wait() for any backend that has watches. */
int zl_runtime_wait_by_watch(struct zl_runtime *rt, const char *name, int64_t timeout_nsec,
                             struct zl_status *ret, struct zl_error *err);

/* Constructors of the backends; `options` is never NULL and has its defaults filled in. */
int zl_native_new(const struct zl_runtime_options *options, struct zl_runtime **ret,
                  struct zl_error *err);
int zl_mock_new(const struct zl_runtime_options *options, struct zl_runtime **ret,
                struct zl_error *err);
