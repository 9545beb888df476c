/* SPDX-License-Identifier: Apache-2.0 */
/* What mock.c (life) and mock_streams.c (watches, logs, exec, attach) share. */
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "runtimes/mock.h"

struct mock_line {
        int64_t time;
        int stream;
        char *text;
};

/* Counted: the table holds one reference, each handle one. All members are guarded by mock.lock. */
struct mock_workload {
        unsigned refs;
        bool removed;
        bool auto_remove, attach_stdin, ready;
        struct zl_status status;
        struct zl_stats stats;
        struct mock_line *lines;
        size_t n_lines;
        struct mock_handle *handles;
};

/* One watch, log reader or attached stream; woken through an eventfd. */
struct mock_handle {
        struct mock *mock;
        struct mock_workload *workload;
        struct mock_handle *next;
        int fd;
        /* watches only: what has not been told yet */
        bool is_watch;
        struct zl_status *queue;
        size_t n_queue;
};

struct mock_failure {
        enum zl_mock_op op;
        char *name;
        enum zl_code code;
        unsigned times;
};

struct mock {
        struct zl_runtime rt;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct zl_map *workloads;
        struct zl_mock_hooks hooks;
        struct mock_failure *failures;
        size_t n_failures;
        uint64_t counts[ZL_MOCK_OP_MAX_];
};

static inline struct mock *mock_from(struct zl_runtime *rt)
{
        return (struct mock *)rt;
}

static inline void mock_unlockp(pthread_mutex_t **lock)
{
        if (*lock)
                pthread_mutex_unlock(*lock);
}
/* Holds the lock until the end of the scope. */
#define MOCK_LOCKED(mock)                                                                          \
        _cleanup_(mock_unlockp) _unused_ pthread_mutex_t *_locked = &(mock)->lock;                 \
        pthread_mutex_lock(_locked)

/* All of these want the lock held. */
int mock_begin(struct mock *mock, enum zl_mock_op op, const char *name, struct zl_error *err);
int mock_find(struct mock *mock, const char *name, struct mock_workload **ret,
              struct zl_error *err);
void mock_unref(struct mock_workload *workload);
int64_t mock_now(struct mock *mock);
int mock_add_line(struct mock *mock, struct mock_workload *workload, int stream, const char *text);
/* Tells the present state to every watch and wakes all handles. */
void mock_announce(struct mock *mock, struct mock_workload *workload);

int zl_mock_watch_open(struct zl_runtime *rt, const char *name, struct zl_watch **ret,
                       struct zl_error *err);
int zl_mock_watch_fd(const struct zl_watch *watch);
int zl_mock_watch_next(struct zl_watch *watch, struct zl_status *ret, struct zl_error *err);
void zl_mock_watch_close(struct zl_watch *watch);
int zl_mock_logs_open(struct zl_runtime *rt, const char *name, const struct zl_log_options *options,
                      struct zl_logs **ret, struct zl_error *err);
int zl_mock_logs_fd(const struct zl_logs *logs);
int zl_mock_logs_next(struct zl_logs *logs, struct zl_log_entry *ret, struct zl_error *err);
void zl_mock_logs_close(struct zl_logs *logs);
int zl_mock_exec_open(struct zl_runtime *rt, const char *name,
                      const struct zl_exec_options *options, struct zl_exec **ret,
                      struct zl_error *err);
int zl_mock_exec_fd(const struct zl_exec *exec);
int zl_mock_exec_tty_fd(const struct zl_exec *exec);
int zl_mock_exec_resize(struct zl_exec *exec, uint16_t rows, uint16_t cols, struct zl_error *err);
int zl_mock_exec_kill(struct zl_exec *exec, int sig, struct zl_error *err);
int zl_mock_exec_result(struct zl_exec *exec, int *ret_code, struct zl_error *err);
void zl_mock_exec_close(struct zl_exec *exec);
int zl_mock_attach_open(struct zl_runtime *rt, const char *name, struct zl_attach **ret,
                        struct zl_error *err);
int zl_mock_attach_fd(const struct zl_attach *attach);
int zl_mock_attach_next(struct zl_attach *attach, int *ret_stream, const char **ret_data,
                        size_t *ret_len, struct zl_error *err);
int zl_mock_attach_write(struct zl_attach *attach, const void *data, size_t len,
                         struct zl_error *err);
int zl_mock_attach_resize(struct zl_attach *attach, uint16_t rows, uint16_t cols,
                          struct zl_error *err);
void zl_mock_attach_close(struct zl_attach *attach);
