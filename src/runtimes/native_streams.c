/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handles of the native runtime: each is a connection to the monitor (watch, exec, attach) or a reader of its files
 * (logs), dressed in the interface's types. A watch of a workload without a monitor tells its end from the record; one whose
 * monitor dies on the way tells the end that is then put down, so no watch is ever left without a last word.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/strv.h"
#include "monitor/log_reader.h"
#include "runtimes/native.h"
#include "runtimes/native_wasm.h"
#include "runtimes/status.h"

/* ---- watch --------------------------------------------------------------------------------------- */

struct native_watch {
        struct zl_watch base;
        struct native *n;
        struct native_record record;
        struct zl_monitor *monitor; /* NULL: the end comes from the record */
        int ready_fd;               /* always readable, for when there is no monitor to wait for */
        bool over;
};

int native_watch_open(struct zl_runtime *rt, const char *name, struct zl_watch **ret,
                      struct zl_error *err)
{
        struct native *n = native_from(rt);
        _cleanup_close_ int state = native_open_state(n, name, err);
        struct native_watch *w;
        int r;

        if (state < 0)
                return state;
        w = calloc(1, sizeof(*w));
        if (!w)
                return zl_fail_oom(err);
        w->base.ops = rt->ops;
        w->n = n;
        w->ready_fd = -EBADF;
        r = native_record_load(n, state, name, &w->record, err);
        if (r == 0 && (w->ready_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
                r = zl_fail_errno(err, errno, "cannot make an event descriptor");
        if (r < 0) {
                native_watch_close(&w->base);
                return r;
        }
        if (native_connect(n, name, &w->monitor, NULL) == 0 &&
            zl_monitor_subscribe(w->monitor, NULL) < 0) {
                zl_monitor_close(w->monitor);
                w->monitor = NULL;
        }
        *ret = &w->base;
        return 0;
}

int native_watch_fd(const struct zl_watch *base)
{
        const struct native_watch *w = (const struct native_watch *)base;

        return w->monitor ? zl_monitor_fd(w->monitor) : w->ready_fd;
}

/* No monitor (any more): what native_status() finds is the end, or the beginning of another generation. */
static int last_word(struct native_watch *w, struct zl_status *ret, struct zl_error *err)
{
        int r = native_status(w->n, w->record.name, ret, err);

        if (r < 0)
                return r;
        w->over = true;
        if (zl_status_is_over(ret))
                return 1;
        /* Started again in between: this watch has missed the end it was for, a new one sees the new life. */
        zl_status_done(ret);
        return -ENODATA;
}

int native_watch_next(struct zl_watch *base, struct zl_status *ret, struct zl_error *err)
{
        struct native_watch *w = (struct native_watch *)base;
        struct zl_monitor_status m = ZL_MONITOR_STATUS_INIT;
        int r;

        if (w->over)
                return -ENODATA;
        if (!w->monitor)
                return last_word(w, ret, err);
        r = zl_monitor_next_event(w->monitor, &m, NULL);
        if (r == 0)
                return 0;
        if (r < 0) {
                zl_monitor_close(w->monitor);
                w->monitor = NULL;
                return last_word(w, ret, err);
        }
        w->record.generation = m.record.generation;
        r = native_status_from_monitor(&w->record, &m, ret, err);
        zl_monitor_status_done(&m);
        if (r < 0)
                return r;
        w->over = zl_status_is_over(ret);
        return 1;
}

void native_watch_close(struct zl_watch *base)
{
        struct native_watch *w = (struct native_watch *)base;

        zl_monitor_close(w->monitor);
        zl_close(w->ready_fd);
        native_record_done(&w->record);
        free(w);
}

/* ---- logs ---------------------------------------------------------------------------------------- */

struct native_logs {
        struct zl_logs base;
        struct zl_log_reader *reader;
};

int native_logs_open(struct zl_runtime *rt, const char *name, const struct zl_log_options *options,
                     struct zl_logs **ret, struct zl_error *err)
{
        _cleanup_close_ int state = native_open_state(native_from(rt), name, err);
        const struct zl_log_reader_options o = { .follow = options->follow,
                                                 .tail = options->tail,
                                                 .since = options->since,
                                                 .until = options->until,
                                                 .no_stdout = options->no_stdout,
                                                 .no_stderr = options->no_stderr };
        struct native_logs *logs;
        int r;

        if (state < 0)
                return state;
        logs = calloc(1, sizeof(*logs));
        if (!logs)
                return zl_fail_oom(err);
        logs->base.ops = rt->ops;
        r = zl_log_reader_open(state, &o, &logs->reader, err);
        if (r < 0) {
                free(logs);
                return r;
        }
        *ret = &logs->base;
        return 0;
}

int native_logs_fd(const struct zl_logs *logs)
{
        return zl_log_reader_fd(((const struct native_logs *)logs)->reader);
}

int native_logs_next(struct zl_logs *logs, struct zl_log_entry *ret, struct zl_error *err)
{
        struct zl_log_reader_entry e;
        int r = zl_log_reader_next(((struct native_logs *)logs)->reader, &e, err);

        if (r > 0)
                *ret = (struct zl_log_entry){ .time = e.time,
                                              .stream = e.stream,
                                              .data = e.data,
                                              .len = e.len,
                                              .partial = e.partial };
        return r;
}

void native_logs_close(struct zl_logs *logs)
{
        zl_log_reader_close(((struct native_logs *)logs)->reader);
        free(logs);
}

/* ---- exec and attach ------------------------------------------------------------------------------ */

struct native_exec {
        struct zl_exec base;
        struct zl_monitor_exec *exec;
};

struct native_attach {
        struct zl_attach base;
        struct zl_monitor_attach *attach;
};

/* The run directory of a workload that has a monitor; otherwise why there is none. */
static int open_running(struct native *n, const char *name, struct zl_error *err)
{
        _cleanup_close_ int run = native_open_run(n, name);
        struct zl_status status;
        int r;

        if (run >= 0 && faccessat(run, "monitor.sock", F_OK, 0) == 0)
                return zl_take_fd(run);
        r = native_status(n, name, &status, err);
        if (r < 0)
                return r;
        r = zl_fail(err, ZL_E_STATE, 0, "%s is not running, it is %s", name,
                    zl_workload_state_name(status.state));
        zl_status_done(&status);
        return r;
}

int native_exec_open(struct zl_runtime *rt, const char *name, const struct zl_exec_options *options,
                     struct zl_exec **ret, struct zl_error *err)
{
        _cleanup_close_ int run = open_running(native_from(rt), name, err);
        struct zl_monitor_exec_options o = {
                .argv = options->argv,
                .env = options->env,
                .cwd = options->cwd,
                .user = options->user,
                .privileged = options->privileged,
                .tty = options->tty,
                .rows = options->rows,
                .cols = options->cols,
                .stdio = { options->stdio[0], options->stdio[1], options->stdio[2] },
        };
        _cleanup_close_ int state = native_open_state(native_from(rt), name, NULL);
        _cleanup_strv_ char **instance = NULL;
        struct native_exec *exec;
        int r;

        if (run < 0)
                return run;
        r = native_wasm_exec_argv(state, options->argv, &instance, err);
        if (r < 0)
                return r;
        if (instance)
                o.argv = instance;
        exec = calloc(1, sizeof(*exec));
        if (!exec)
                return zl_fail_oom(err);
        exec->base.ops = rt->ops;
        r = zl_monitor_exec_open(run, &o, &exec->exec, err);
        if (r < 0) {
                free(exec);
                return r;
        }
        *ret = &exec->base;
        return 0;
}

static struct zl_monitor_exec *exec_of(const struct zl_exec *exec)
{
        return ((const struct native_exec *)exec)->exec;
}

int native_exec_fd(const struct zl_exec *exec)
{
        return zl_monitor_exec_fd(exec_of(exec));
}

int native_exec_tty_fd(const struct zl_exec *exec)
{
        return zl_monitor_exec_tty_fd(exec_of(exec));
}

int native_exec_resize(struct zl_exec *exec, uint16_t rows, uint16_t cols, struct zl_error *err)
{
        return zl_monitor_exec_resize(exec_of(exec), rows, cols, err);
}

int native_exec_kill(struct zl_exec *exec, int sig, struct zl_error *err)
{
        return zl_monitor_exec_kill(exec_of(exec), sig, err);
}

int native_exec_result(struct zl_exec *exec, int *ret_code, struct zl_error *err)
{
        return zl_monitor_exec_result(exec_of(exec), ret_code, err);
}

void native_exec_close(struct zl_exec *exec)
{
        zl_monitor_exec_close(exec_of(exec));
        free(exec);
}

int native_attach_open(struct zl_runtime *rt, const char *name, struct zl_attach **ret,
                       struct zl_error *err)
{
        _cleanup_close_ int run = open_running(native_from(rt), name, err);
        struct native_attach *attach;
        int r;

        if (run < 0)
                return run;
        attach = calloc(1, sizeof(*attach));
        if (!attach)
                return zl_fail_oom(err);
        attach->base.ops = rt->ops;
        r = zl_monitor_attach_open(run, &attach->attach, err);
        if (r < 0) {
                free(attach);
                return r;
        }
        *ret = &attach->base;
        return 0;
}

static struct zl_monitor_attach *attach_of(const struct zl_attach *attach)
{
        return ((const struct native_attach *)attach)->attach;
}

int native_attach_fd(const struct zl_attach *attach)
{
        return zl_monitor_attach_fd(attach_of(attach));
}

int native_attach_next(struct zl_attach *attach, int *ret_stream, const char **ret_data,
                       size_t *ret_len, struct zl_error *err)
{
        return zl_monitor_attach_next(attach_of(attach), ret_stream, ret_data, ret_len, err);
}

int native_attach_write(struct zl_attach *attach, const void *data, size_t len,
                        struct zl_error *err)
{
        return zl_monitor_attach_write(attach_of(attach), data, len, err);
}

int native_attach_resize(struct zl_attach *attach, uint16_t rows, uint16_t cols,
                         struct zl_error *err)
{
        return zl_monitor_attach_resize(attach_of(attach), rows, cols, err);
}

void native_attach_close(struct zl_attach *attach)
{
        zl_monitor_attach_close(attach_of(attach));
        free(attach);
}
