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
#include "base/json.h"

struct zl_image_store;

/* Which workloads a list shall have. Asked by name before anything of a workload is read: to look at one must not cost what to look
 * at thousands does. */
struct zl_list_filter {
        bool (*wants)(const struct zl_ident *id, const void *data);
        const void *data;
};
/* `filter` may be NULL: all. Also false for what is no name of a workload. */
bool zl_list_filter_wants(const struct zl_list_filter *filter, const char *name);
/* zl_runtime_list() without those that the filter does not want. */
int zl_runtime_list_some(struct zl_runtime *rt, const struct zl_list_filter *filter,
                         struct zl_status **ret, size_t *ret_n, struct zl_error *err);

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
        int (*set_ready)(struct zl_runtime *rt, const char *name, bool ready, struct zl_error *err);
        int (*drain)(struct zl_runtime *rt, const char *name, int64_t timeout_nsec,
                     struct zl_error *err);
        int (*remove)(struct zl_runtime *rt, const char *name, bool force, struct zl_error *err);
        int (*state)(struct zl_runtime *rt, const char *name, struct zl_status *ret,
                     struct zl_error *err);
        int (*list)(struct zl_runtime *rt, const struct zl_list_filter *filter,
                    struct zl_status **ret, size_t *ret_n, struct zl_error *err);
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

        int (*dial)(struct zl_runtime *rt, const char *name, const char *host, uint16_t port,
                    int *ret_fd, struct zl_error *err);
        int (*image_health)(struct zl_runtime *rt, const char *image, struct zl_image_health *ret,
                            struct zl_error *err);

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

        int (*image_list)(struct zl_runtime *rt, struct zl_image_info **ret, size_t *ret_n,
                          struct zl_error *err);
        int (*image_inspect)(struct zl_runtime *rt, const char *image, char **ret_json,
                             struct zl_error *err);
        int (*image_history)(struct zl_runtime *rt, const char *image, char **ret_json,
                             struct zl_error *err);
        int (*image_search)(struct zl_runtime *rt, const char *term, unsigned limit,
                            char **ret_json, struct zl_error *err);
        int (*image_tag)(struct zl_runtime *rt, const char *image, const char *name,
                         struct zl_error *err);
        int (*image_remove)(struct zl_runtime *rt, const char *image, bool force,
                            struct zl_error *err);
        int (*image_prune)(struct zl_runtime *rt, bool all, uint64_t *ret_freed,
                           struct zl_error *err);
        int (*image_save)(struct zl_runtime *rt, const char *image, int fd, struct zl_error *err);
        int (*image_load)(struct zl_runtime *rt, const char *path, const char *name,
                          const struct zl_pull_options *progress, char **ret_digest,
                          struct zl_error *err);

        int (*rename)(struct zl_runtime *rt, const char *name, const char *new_name,
                      struct zl_error *err);
        int (*watch_open_all)(struct zl_runtime *rt, struct zl_watch **ret, struct zl_error *err);
        int (*top)(struct zl_runtime *rt, const char *name, const char *ps_args, struct zl_top *ret,
                   struct zl_error *err);
        int (*update)(struct zl_runtime *rt, const char *name, const struct zl_update *update,
                      struct zl_error *err);
        int (*archive_head)(struct zl_runtime *rt, const char *name, const char *path,
                            struct zl_file_stat *ret, struct zl_error *err);
        int (*archive_get)(struct zl_runtime *rt, const char *name, const char *path, int fd,
                           struct zl_error *err);
        int (*archive_put)(struct zl_runtime *rt, const char *name, const char *path, int fd,
                           unsigned flags, struct zl_error *err);
        int (*export)(struct zl_runtime *rt, const char *name, int fd, struct zl_error *err);
        int (*changes)(struct zl_runtime *rt, const char *name, struct zl_change **ret,
                       size_t *ret_n, struct zl_error *err);
        int (*commit)(struct zl_runtime *rt, const char *name,
                      const struct zl_commit_options *options, char **ret_id, struct zl_error *err);
};

/* Does the table have the i-th named operation (zl_runtime_operation_name())? */
bool zl_runtime_ops_have(const struct zl_runtime_ops *ops, size_t i);
/* Takes it out. */
void zl_runtime_ops_drop(struct zl_runtime_ops *ops, size_t i);
/* The operation of a table that a caller misses: ZL_E_UNSUPPORTED in the usual words. */
int zl_runtime_unsupported(const struct zl_runtime_ops *ops, const char *operation,
                           struct zl_error *err);
/* Grammar of a workload's name, ZL_E_INVALID with a hint. */
int zl_runtime_check_name(const char *name, struct zl_error *err);

/* zl_runtime_wait() for any backend that has watches. */
int zl_runtime_wait_by_watch(struct zl_runtime *rt, const char *name, int64_t timeout_nsec,
                             struct zl_status *ret, struct zl_error *err);

/* The tables of the backends, for telling what one can do without making it. */
extern const struct zl_runtime_ops zl_native_ops, zl_wasm_ops, zl_mock_ops, zl_docker_ops;

/* One object, or with `push` a file or all files of a directory, between a bucket and a workload that runs or waits for its
 * start. Blocks until it is done, `timeout` is over or *cancel is not zero. ZL_E_NOT_FOUND, ZL_E_UNAUTHORIZED, ZL_E_NETWORK … */
struct zl_s3_request {
        bool push;
        const char *workload;
        const char *bucket, *key;
        const char *path;     /* in the workload, absolute */
        const char *endpoint; /* "http://host:port"; NULL: Amazon's */
        const char *region;   /* NULL: $AWS_REGION, $AWS_DEFAULT_REGION, us-east-1 */
        int64_t timeout;      /* a span */
        const int *cancel;    /* or NULL */
};
int zl_runtime_s3(struct zl_runtime *rt, const struct zl_s3_request *q, struct zl_error *err);
/* With which status does the HTTPS server at the other end of `fd` answer a GET of `url` ("https://HOST[:PORT]/PATH")? Its certificate
 * is not verified. `fd` is a connection, or one that is being made; it is closed in every case. Blocks for `timeout` (a span) at
 * most. ZL_E_TIMEOUT, ZL_E_NETWORK, ZL_E_UNSUPPORTED (no libcurl). */
int zl_https_status(int fd, const char *url, int64_t timeout, unsigned *ret_status,
                    struct zl_error *err);
/* [{"host_ip":"0.0.0.0","host_port":8080,"container_port":80,"protocol":"tcp"}]; NULL without memory. */
json_t *zl_status_ports_json(const struct zl_status *status);
/* {"cpu": {"some": {"avg10", "avg60", "avg300", "total_usec"}, "full": …}, "memory": …, "io": …}, or null where nothing is known. NULL without
 * memory. */
json_t *zl_stats_pressure_json(const struct zl_stats *stats);

/* Constructors of the backends; `options` is never NULL and has its defaults filled in. */
int zl_native_new(const struct zl_runtime_options *options, struct zl_runtime **ret,
                  struct zl_error *err);
int zl_wasm_new(const struct zl_runtime_options *options, struct zl_runtime **ret,
                struct zl_error *err);
int zl_oci_new(const struct zl_runtime_options *options, struct zl_runtime **ret,
               struct zl_error *err);
int zl_docker_new(const struct zl_runtime_options *options, struct zl_runtime **ret,
                  struct zl_error *err);
int zl_mock_new(const struct zl_runtime_options *options, struct zl_runtime **ret,
                struct zl_error *err);
