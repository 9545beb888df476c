/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs and attached streams of Docker containers. The engine writes a time in front of each piece of a line and ends a line
 * with a newline, so a piece without one goes on in the next. Without a terminal each piece is a frame; with one they
 * follow each other in a plain stream, which is cut at newlines.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "runtimes/docker.h"
#include "runtimes/status.h"

static bool has_terminal(const json_t *document)
{
        return zl_json_bool(json_object_get(document, "Config"), "Tty", false);
}

/* ---- logs -------------------------------------------------------------------------------------------- */

struct docker_logs {
        struct zl_logs base;
        struct zl_docker_conn *conn;
        struct zl_docker_frames frames;
        struct zl_buf lines; /* of a terminal */
        size_t used;
        bool follow, over;
};

/* An instant as the engine reads it: seconds and nine digits. */
static void put_instant(struct zl_buf *query, const char *key, int64_t t)
{
        if (t > 0)
                zl_buf_putf(query, "&%s=%lld.%09lld", key, (long long)(t / ZL_NSEC_PER_SEC),
                            (long long)(t % ZL_NSEC_PER_SEC));
}

static int open_log(struct docker *d, const char *name, const struct zl_log_options *o,
                    struct docker_logs *logs, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf query = ZL_BUF_INIT(4096);
        struct zl_docker_request q = { .method = "GET" };
        _cleanup_free_ char *path = NULL;
        int r;

        zl_buf_putf(&query, "timestamps=1&stdout=%d&stderr=%d&follow=%d", !o->no_stdout,
                    !o->no_stderr, o->follow);
        if (o->tail >= 0)
                zl_buf_putf(&query, "&tail=%lld", (long long)o->tail);
        put_instant(&query, "since", o->since);
        put_instant(&query, "until", o->until);
        if (zl_buf_error(&query) < 0)
                return zl_fail_oom(err);
        q.path = path = docker_path(d, "/containers/" DOCKER_PREFIX "%s/logs?%s", name, query.data);
        r = docker_open(d, &q, &logs->conn, err);
        return r < 0 ? r : 0;
}

int docker_logs_open(struct zl_runtime *rt, const char *name, const struct zl_log_options *options,
                     struct zl_logs **ret, struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        _cleanup_json_ json_t *document = NULL;
        struct docker_logs *logs;
        int r = docker_get(d, name, &document, err);

        if (r < 0)
                return r;
        logs = calloc(1, sizeof(*logs));
        if (!logs)
                return zl_fail_oom(err);
        logs->base.ops = rt->ops;
        logs->follow = options->follow;
        logs->frames = ZL_DOCKER_FRAMES_INIT(has_terminal(document));
        logs->lines = ZL_BUF_INIT(1 << 20);
        /* Docker takes "nothing of either" for a fault. */
        logs->over = options->no_stdout && options->no_stderr;
        r = logs->over ? 0 : open_log(d, name, options, logs, err);
        if (r < 0) {
                docker_logs_close(&logs->base);
                return r;
        }
        *ret = &logs->base;
        return 0;
}

int docker_logs_fd(const struct zl_logs *base)
{
        const struct docker_logs *logs = (const struct docker_logs *)base;

        return logs->conn ? zl_docker_fd(logs->conn) : -1;
}

/* "2026-01-31T23:59:59.123456789Z text\n" */
static void split_entry(const char *data, size_t len, struct zl_log_entry *ret)
{
        const char *blank = memchr(data, ' ', ZL_MIN(len, (size_t)40));
        char time[ZL_RFC3339_SIZE];

        ret->time = 0;
        if (blank && (size_t)(blank - data) < sizeof(time)) {
                memcpy(time, data, (size_t)(blank - data));
                time[blank - data] = 0;
                if (zl_parse_rfc3339(time, &ret->time) == 0) {
                        len -= (size_t)(blank + 1 - data);
                        data = blank + 1;
                }
        }
        ret->partial = len == 0 || data[len - 1] != '\n';
        ret->data = data;
        ret->len = ret->partial ? len : len - 1;
}

/* The next line of a terminal's stream: 1, 0, -ENODATA. */
static int next_line(struct docker_logs *logs, const char **ret_data, size_t *ret_len)
{
        zl_buf_consume(&logs->lines, logs->used);
        logs->used = 0;
        for (;;) {
                const char *data, *end = logs->lines.len
                                                 ? memchr(logs->lines.data, '\n', logs->lines.len)
                                                 : NULL;
                int stream, r;
                size_t len;

                if (end || logs->lines.len > 256 * 1024) {
                        *ret_data = logs->lines.data;
                        *ret_len = logs->used = end ? (size_t)(end - logs->lines.data) + 1
                                                    : logs->lines.len;
                        return 1;
                }
                r = zl_docker_next_frame(logs->conn, &logs->frames, &stream, &data, &len);
                if (r == -ENODATA && logs->lines.len > 0) {
                        *ret_data = logs->lines.data;
                        *ret_len = logs->used = logs->lines.len;
                        return 1;
                }
                if (r <= 0)
                        return r;
                if (zl_buf_put(&logs->lines, data, len) < 0)
                        return -ENOMEM;
        }
}

int docker_logs_next(struct zl_logs *base, struct zl_log_entry *ret, struct zl_error *err)
{
        struct docker_logs *logs = (struct docker_logs *)base;
        const char *data;
        size_t len;
        int r = -ENODATA, stream = 1;

        while (!logs->over) {
                if (logs->frames.raw)
                        r = next_line(logs, &data, &len);
                else
                        r = zl_docker_next_frame(logs->conn, &logs->frames, &stream, &data, &len);
                /* What is not followed is there, so its end is waited for. */
                if (r != 0 || logs->follow)
                        break;
                r = zl_sleep_on(zl_docker_fd(logs->conn), zl_now_monotonic() + ZL_DOCKER_TIMEOUT);
                if (r < 0)
                        break;
        }
        if (r == 0)
                return 0;
        if (r < 0) {
                logs->over = true;
                return r == -ENODATA
                               ? r
                               : zl_fail(err, ZL_E_NETWORK, 0, "the log of Docker breaks off");
        }
        split_entry(data, len, ret);
        ret->stream = stream;
        return 1;
}

void docker_logs_close(struct zl_logs *base)
{
        struct docker_logs *logs = (struct docker_logs *)base;

        zl_docker_conn_free(logs->conn);
        zl_buf_done(&logs->frames.buf);
        zl_buf_done(&logs->lines);
        free(logs);
}

/* ---- attach ------------------------------------------------------------------------------------------ */

struct docker_attach {
        struct zl_attach base;
        struct docker *d;
        char *name;
        struct zl_docker_conn *conn;
        struct zl_docker_frames frames;
        bool input;
};

int docker_attach_open(struct zl_runtime *rt, const char *name, struct zl_attach **ret,
                       struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        _cleanup_json_ json_t *document = NULL;
        _cleanup_free_ char *path = NULL;
        struct docker_attach *a;
        int r = docker_get(d, name, &document, err);

        if (r < 0)
                return r;
        a = calloc(1, sizeof(*a));
        path = docker_path(
                d, "/containers/" DOCKER_PREFIX "%s/attach?stream=1&stdin=1&stdout=1&stderr=1",
                name);
        if (!a || !path || !(a->name = strdup(name))) {
                free(a);
                return zl_fail_oom(err);
        }
        const struct zl_docker_request q = { .method = "POST", .path = path, .upgrade = true };

        a->base.ops = rt->ops;
        a->d = d;
        a->frames = ZL_DOCKER_FRAMES_INIT(has_terminal(document));
        a->input = zl_json_bool(json_object_get(document, "Config"), "OpenStdin", false);
        r = docker_open(d, &q, &a->conn, err);
        if (r < 0) {
                docker_attach_close(&a->base);
                return r;
        }
        *ret = &a->base;
        return 0;
}

int docker_attach_fd(const struct zl_attach *base)
{
        return zl_docker_fd(((const struct docker_attach *)base)->conn);
}

int docker_attach_next(struct zl_attach *base, int *ret_stream, const char **ret_data,
                       size_t *ret_len, struct zl_error *err)
{
        struct docker_attach *a = (struct docker_attach *)base;
        int r = zl_docker_next_frame(a->conn, &a->frames, ret_stream, ret_data, ret_len);

        if (r < 0 && r != -ENODATA)
                return zl_fail(err, ZL_E_NETWORK, 0, "the connection to %s broke", a->name);
        return r;
}

int docker_attach_write(struct zl_attach *base, const void *data, size_t len, struct zl_error *err)
{
        struct docker_attach *a = (struct docker_attach *)base;
        int r;

        if (!a->input)
                return zl_fail(err, ZL_E_STATE, 0, "the standard input of %s is not open", a->name);
        r = len ? zl_docker_write(a->conn, data, len) : zl_docker_shutdown(a->conn);
        return r < 0 ? zl_fail_errno(err, -r, "cannot write to %s", a->name) : 0;
}

int docker_attach_resize(struct zl_attach *base, uint16_t rows, uint16_t cols, struct zl_error *err)
{
        struct docker_attach *a = (struct docker_attach *)base;
        int r;

        if (!a->frames.raw)
                return zl_fail(err, ZL_E_STATE, 0, "%s has no terminal", a->name);
        r = docker_ask(a->d, "POST",
                       docker_path(a->d, "/containers/" DOCKER_PREFIX "%s/resize?h=%u&w=%u",
                                   a->name, rows, cols),
                       NULL, err);
        return r < 0 ? r : 0;
}

void docker_attach_close(struct zl_attach *base)
{
        struct docker_attach *a = (struct docker_attach *)base;

        zl_docker_conn_free(a->conn);
        zl_buf_done(&a->frames.buf);
        free(a->name);
        free(a);
}
