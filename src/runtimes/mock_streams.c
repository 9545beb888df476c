/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handles of the mock runtime: watches, logs, commands and attached streams. Each has an eventfd that is
 * readable exactly while there may be something to fetch: it is drained before the state is looked at, so a change that
 * comes in between makes it readable again and nothing is missed.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtimes/mock_private.h"
#include "runtimes/status.h"

struct mock_watch {
        struct zl_watch base;
        struct mock_handle handle;
        bool over;
};

struct mock_logs {
        struct zl_logs base;
        struct mock_handle handle;
        struct zl_log_options options;
        size_t pos;
};

struct mock_exec {
        struct zl_exec base;
        int fd;
        int code;
};

struct mock_attach {
        struct zl_attach base;
        struct mock_handle handle;
        size_t pos;
        char *line; /* told last, with its newline */
};

/* Opens a handle of a workload; the lock is held. */
static int handle_init(struct mock *mock, struct mock_workload *w, struct mock_handle *h,
                       struct zl_error *err)
{
        h->fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        if (h->fd < 0)
                return zl_fail_errno(err, errno, "cannot make an event descriptor");
        h->mock = mock;
        h->workload = w;
        h->next = w->handles;
        w->handles = h;
        w->refs++;
        return 0;
}

static void handle_done(struct mock_handle *h)
{
        MOCK_LOCKED(h->mock);

        for (struct mock_handle **p = &h->workload->handles; *p; p = &(*p)->next)
                if (*p == h) {
                        *p = h->next;
                        break;
                }
        mock_unref(h->workload);
        zl_status_free_all(h->queue, h->n_queue);
        zl_close(h->fd);
}

static void drain(int fd)
{
        uint64_t n;

        if (read(fd, &n, sizeof(n)) < 0)
                return; /* nothing was pending */
}

static void rearm(int fd)
{
        uint64_t one = 1;

        if (write(fd, &one, sizeof(one)) < 0)
                return; /* readable already */
}

/* ---- watch ------------------------------------------------------------------------------------------- */

int zl_mock_watch_open(struct zl_runtime *rt, const char *name, struct zl_watch **ret,
                       struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;
        struct mock_watch *watch;
        int r = mock_begin(mock, ZL_MOCK_WATCH, name, err);

        if (r == 0)
                r = mock_find(mock, name, &w, err);
        if (r < 0)
                return r;
        watch = calloc(1, sizeof(*watch));
        if (!watch || !(watch->handle.queue = calloc(1, sizeof(struct zl_status))) ||
            zl_status_copy(&w->status, watch->handle.queue) < 0) {
                if (watch)
                        free(watch->handle.queue);
                free(watch);
                return zl_fail_oom(err);
        }
        watch->base.ops = rt->ops;
        watch->handle.n_queue = 1;
        watch->handle.is_watch = true;
        r = handle_init(mock, w, &watch->handle, err);
        if (r < 0) {
                zl_status_free_all(watch->handle.queue, 1);
                free(watch);
                return r;
        }
        *ret = &watch->base;
        return 0;
}

int zl_mock_watch_fd(const struct zl_watch *base)
{
        return ((const struct mock_watch *)base)->handle.fd;
}

int zl_mock_watch_next(struct zl_watch *base, struct zl_status *ret, struct zl_error *err)
{
        struct mock_watch *watch = (struct mock_watch *)base;
        struct mock_handle *h = &watch->handle;
        MOCK_LOCKED(h->mock);

        drain(h->fd);
        if (watch->over || (h->n_queue == 0 && h->workload->removed)) {
                rearm(h->fd);
                return -ENODATA;
        }
        if (h->n_queue == 0)
                return 0;
        *ret = h->queue[0];
        memmove(h->queue, h->queue + 1, --h->n_queue * sizeof(*h->queue));
        watch->over = zl_status_is_over(ret);
        if (watch->over || h->n_queue > 0)
                rearm(h->fd);
        return 1;
}

void zl_mock_watch_close(struct zl_watch *base)
{
        struct mock_watch *watch = (struct mock_watch *)base;

        handle_done(&watch->handle);
        free(watch);
}

/* ---- logs -------------------------------------------------------------------------------------------- */

static bool is_wanted(const struct mock_line *line, const struct zl_log_options *o)
{
        if (line->stream == 1 ? o->no_stdout : o->no_stderr)
                return false;
        return (o->since == 0 || line->time >= o->since) &&
               (o->until == 0 || line->time <= o->until);
}

int zl_mock_logs_open(struct zl_runtime *rt, const char *name, const struct zl_log_options *options,
                      struct zl_logs **ret, struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;
        struct mock_logs *logs;
        int64_t left = options->tail;
        int r = mock_begin(mock, ZL_MOCK_LOGS, name, err);

        if (r == 0)
                r = mock_find(mock, name, &w, err);
        if (r < 0)
                return r;
        logs = calloc(1, sizeof(*logs));
        if (!logs)
                return zl_fail_oom(err);
        logs->base.ops = rt->ops;
        logs->options = *options;
        if (left >= 0) {
                logs->pos = w->n_lines;
                while (left > 0 && logs->pos > 0)
                        if (is_wanted(&w->lines[--logs->pos], options))
                                left--;
        }
        r = handle_init(mock, w, &logs->handle, err);
        if (r < 0) {
                free(logs);
                return r;
        }
        *ret = &logs->base;
        return 0;
}

int zl_mock_logs_fd(const struct zl_logs *base)
{
        return ((const struct mock_logs *)base)->handle.fd;
}

int zl_mock_logs_next(struct zl_logs *base, struct zl_log_entry *ret, struct zl_error *err)
{
        struct mock_logs *logs = (struct mock_logs *)base;
        struct mock_workload *w = logs->handle.workload;
        MOCK_LOCKED(logs->handle.mock);

        while (logs->pos < w->n_lines) {
                const struct mock_line *line = &w->lines[logs->pos++];

                if (!is_wanted(line, &logs->options))
                        continue;
                *ret = (struct zl_log_entry){ .time = line->time,
                                              .stream = line->stream,
                                              .data = line->text,
                                              .len = strlen(line->text) };
                return 1;
        }
        if (!logs->options.follow || w->removed || zl_status_is_over(&w->status))
                return -ENODATA;
        drain(logs->handle.fd);
        return 0;
}

void zl_mock_logs_close(struct zl_logs *base)
{
        struct mock_logs *logs = (struct mock_logs *)base;

        handle_done(&logs->handle);
        free(logs);
}

/* ---- exec -------------------------------------------------------------------------------------------- */

static int check_running(struct mock *mock, enum zl_mock_op op, const char *name,
                         struct mock_workload **ret, struct zl_error *err)
{
        int r = mock_begin(mock, op, name, err);

        if (r == 0)
                r = mock_find(mock, name, ret, err);
        if (r < 0)
                return r;
        if ((*ret)->status.state != ZL_STATE_RUNNING)
                return zl_fail(err, ZL_E_STATE, 0, "%s is not running, it is %s", name,
                               zl_workload_state_name((*ret)->status.state));
        return 0;
}

int zl_mock_exec_open(struct zl_runtime *rt, const char *name,
                      const struct zl_exec_options *options, struct zl_exec **ret,
                      struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        struct mock_exec *exec;
        {
                MOCK_LOCKED(mock);
                struct mock_workload *w = NULL;
                int r = check_running(mock, ZL_MOCK_EXEC, name, &w, err);

                if (r < 0)
                        return r;
        }
        exec = calloc(1, sizeof(*exec));
        if (!exec)
                return zl_fail_oom(err);
        exec->base.ops = rt->ops;
        exec->fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        if (exec->fd < 0) {
                int e = errno;

                free(exec);
                return zl_fail_errno(err, e, "cannot make an event descriptor");
        }
        if (mock->hooks.on_exec)
                exec->code = mock->hooks.on_exec(name, options->argv, mock->hooks.data);
        *ret = &exec->base;
        return 0;
}

int zl_mock_exec_fd(const struct zl_exec *exec)
{
        return ((const struct mock_exec *)exec)->fd;
}

int zl_mock_exec_tty_fd(const struct zl_exec *exec)
{
        return -1;
}

int zl_mock_exec_resize(struct zl_exec *exec, uint16_t rows, uint16_t cols, struct zl_error *err)
{
        return zl_fail(err, ZL_E_STATE, 0, "the command has no terminal");
}

int zl_mock_exec_kill(struct zl_exec *exec, int sig, struct zl_error *err)
{
        return zl_fail(err, ZL_E_STATE, 0, "the command has ended");
}

int zl_mock_exec_result(struct zl_exec *exec, int *ret_code, struct zl_error *err)
{
        *ret_code = ((struct mock_exec *)exec)->code;
        return 1;
}

void zl_mock_exec_close(struct zl_exec *base)
{
        struct mock_exec *exec = (struct mock_exec *)base;

        zl_close(exec->fd);
        free(exec);
}

/* ---- attach ------------------------------------------------------------------------------------------ */

int zl_mock_attach_open(struct zl_runtime *rt, const char *name, struct zl_attach **ret,
                        struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;
        struct mock_attach *attach;
        int r = mock_begin(mock, ZL_MOCK_ATTACH, name, err);

        if (r == 0)
                r = mock_find(mock, name, &w, err);
        if (r < 0)
                return r;
        if (zl_status_is_over(&w->status))
                return zl_fail(err, ZL_E_STATE, 0, "%s has ended", name);
        attach = calloc(1, sizeof(*attach));
        if (!attach)
                return zl_fail_oom(err);
        attach->base.ops = rt->ops;
        attach->pos = w->n_lines;
        r = handle_init(mock, w, &attach->handle, err);
        if (r < 0) {
                free(attach);
                return r;
        }
        *ret = &attach->base;
        return 0;
}

int zl_mock_attach_fd(const struct zl_attach *attach)
{
        return ((const struct mock_attach *)attach)->handle.fd;
}

int zl_mock_attach_next(struct zl_attach *base, int *ret_stream, const char **ret_data,
                        size_t *ret_len, struct zl_error *err)
{
        struct mock_attach *attach = (struct mock_attach *)base;
        struct mock_workload *w = attach->handle.workload;
        MOCK_LOCKED(attach->handle.mock);

        if (attach->pos < w->n_lines) {
                const struct mock_line *line = &w->lines[attach->pos];
                size_t len = strlen(line->text);
                char *copy = malloc(len + 2);

                if (!copy)
                        return zl_fail_oom(err);
                memcpy(copy, line->text, len);
                memcpy(copy + len, "\n", 2);
                free(attach->line);
                attach->line = copy;
                attach->pos++;
                *ret_stream = line->stream;
                *ret_data = copy;
                *ret_len = len + 1;
                return 1;
        }
        if (w->removed || zl_status_is_over(&w->status))
                return -ENODATA;
        drain(attach->handle.fd);
        return 0;
}

/* The mock's process is a `cat`: what it reads, it says. */
int zl_mock_attach_write(struct zl_attach *base, const void *data, size_t len, struct zl_error *err)
{
        struct mock_attach *attach = (struct mock_attach *)base;
        struct mock_workload *w = attach->handle.workload;
        MOCK_LOCKED(attach->handle.mock);
        char *text;
        int r;

        if (!w->attach_stdin)
                return zl_fail(err, ZL_E_STATE, 0, "the standard input of %s is not open",
                               w->status.name);
        if (len == 0)
                return 0;
        text = strndup(data, len);
        r = text ? mock_add_line(attach->handle.mock, w, 1, text) : -ENOMEM;
        free(text);
        return r < 0 ? zl_fail_oom(err) : 0;
}

int zl_mock_attach_resize(struct zl_attach *attach, uint16_t rows, uint16_t cols,
                          struct zl_error *err)
{
        return zl_fail(err, ZL_E_STATE, 0, "the workload has no terminal");
}

void zl_mock_attach_close(struct zl_attach *base)
{
        struct mock_attach *attach = (struct mock_attach *)base;

        handle_done(&attach->handle);
        free(attach->line);
        free(attach);
}
