/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command in a container. A plain request is answered when it has ended, with its exit code and what it wrote. A request
 * with "Upgrade: zlayer-stream" becomes a two-way connection (docs/api.md): frames of a type, a length and bytes, so that both
 * outputs, the size of a terminal, signals and the exit code go over one socket; the client's half-close is the end of the
 * input.
 *
 * The command is begun on a worker; then everything hangs on the loop, without blocking. A client that does not read is not
 * read for: the command waits in its write, as at any pipe.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "api/handlers.h"
#include "api/session.h"
#include "api/views.h"
#include "base/fd.h"
#include "base/strv.h"

struct exec_body {
        char **command, **env;
        char *workdir, *user, *input;
        bool privileged, tty;
        uint16_t rows, cols;
};

static const struct zl_field exec_fields[] = {
        ZL_FIELD(struct exec_body, "command", command, zl_type_strv, .flags = ZL_REQUIRED),
        ZL_FIELD(struct exec_body, "env", env, zl_type_strv, .flags = ZL_OPTIONAL),
        ZL_FIELD(struct exec_body, "workdir", workdir, zl_type_str, .flags = ZL_OPTIONAL),
        ZL_FIELD(struct exec_body, "user", user, zl_type_str, .flags = ZL_OPTIONAL),
        ZL_FIELD(struct exec_body, "input", input, zl_type_str, .flags = ZL_OPTIONAL),
        ZL_FIELD(struct exec_body, "privileged", privileged, zl_type_bool, .def = "false"),
        ZL_FIELD(struct exec_body, "tty", tty, zl_type_bool, .def = "false"),
        ZL_FIELD(struct exec_body, "rows", rows, zl_type_u16, .def = "0"),
        ZL_FIELD(struct exec_body, "cols", cols, zl_type_u16, .def = "0"),
};
const struct zl_type zl_api_exec_body = ZL_TYPE_STRUCT(struct exec_body, "Exec", exec_fields);

struct exec_session {
        struct zl_api_session base; /* first */
        struct zl_exec *exec;
        int fds[3]; /* our sides, until they are watched; with a terminal: none */
        bool truncated;
};

static struct exec_session *exec_of(struct zl_api_session *s)
{
        return (struct exec_session *)s;
}

static void free_exec(struct zl_api_session *s)
{
        if (exec_of(s)->exec)
                zl_exec_close(exec_of(s)->exec);
        for (int i = 0; i < 3; i++)
                zl_close(exec_of(s)->fds[i]);
        free(s);
}

/* ---- what the command writes ---------------------------------------------------------------------------------------- */

static void take_output(struct zl_api_session *s, enum zl_api_which which)
{
        char buf[ZL_API_CHUNK];
        ssize_t n = 1;

        while (n > 0 && s->ends[which].fd >= 0 &&
               !(s->streams && s->out[0].len >= ZL_API_QUEUE_HIGH)) {
                n = read(s->ends[which].fd, buf, sizeof(buf));
                if (n > 0 && s->streams) {
                        zl_api_session_put(s,
                                           which == ZL_END_ERR ? ZL_FRAME_STDERR : ZL_FRAME_STDOUT,
                                           buf, (size_t)n);
                } else if (n > 0) {
                        struct zl_buf *to = &s->out[which == ZL_END_ERR];
                        size_t room = ZL_API_CAPTURE_MAX -
                                      ZL_MIN(to->len, (size_t)ZL_API_CAPTURE_MAX);

                        exec_of(s)->truncated |= (size_t)n > room;
                        zl_buf_put(to, buf, ZL_MIN((size_t)n, room));
                        if (room == 0)
                                return; /* once per turn of the loop is enough for what is dropped */
                }
        }
        /* A terminal whose other side is closed gives EIO. */
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                zl_api_session_close(s, which);
}

static void answer_captured(struct zl_api_session *s)
{
        json_t *o = json_pack("{s:i, s:o, s:o, s:b}", "exit_code", s->exit_code, "stdout",
                              zl_json_string_lossy(s->out[0].data ?: "", s->out[0].len), "stderr",
                              zl_json_string_lossy(s->out[1].data ?: "", s->out[1].len),
                              "truncated", exec_of(s)->truncated);

        zl_api_answer_json(s->rq, 200, o);
        zl_api_session_end(s);
}

static void take_end(struct zl_api_session *s)
{
        int r = zl_exec_result(exec_of(s)->exec, &s->exit_code, NULL);

        if (r == 0)
                return;
        if (r < 0)
                s->exit_code = 125; /* its monitor is gone */
        s->ended = true;
        zl_api_session_close(s, ZL_END_DONE);
        zl_api_session_close(s, ZL_END_IN);
        for (enum zl_api_which w = ZL_END_OUT; w <= ZL_END_ERR; w++)
                if (s->ends[w].fd >= 0)
                        take_output(s, w);
}

/* ---- what the client writes -------------------------------------------------------------------------------------------- */

static void give_input(struct zl_api_session *s)
{
        /* a terminal is one descriptor for both ways */
        int fd = s->ends[ZL_END_IN].fd >= 0 ? s->ends[ZL_END_IN].fd
                                            : zl_exec_tty_fd(exec_of(s)->exec);
        ssize_t n = 1;

        while (s->in.len > 0 && n > 0 && fd >= 0) {
                n = write(fd, s->in.data, s->in.len);
                if (n > 0)
                        zl_buf_consume(&s->in, (size_t)n);
        }
        if (fd < 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
                zl_buf_reset(&s->in); /* nobody reads it */
                zl_api_session_close(s, ZL_END_IN);
        }
        if (s->in.len == 0 && (s->input_over || s->client_over))
                zl_api_session_close(s, ZL_END_IN);
}

static void take_frame(struct zl_api_session *s, enum zl_api_frame type, const unsigned char *data,
                       size_t len)
{
        switch (type) {
        case ZL_FRAME_STDIN:
                if (len == 0)
                        s->input_over = true;
                zl_buf_put(&s->in, data, len);
                break;
        case ZL_FRAME_RESIZE:
                if (len == 4)
                        (void)zl_exec_resize(exec_of(s)->exec, (uint16_t)(data[0] << 8 | data[1]),
                                             (uint16_t)(data[2] << 8 | data[3]), NULL);
                break;
        case ZL_FRAME_SIGNAL:
                if (len == 1 && !s->ended)
                        (void)zl_exec_kill(exec_of(s)->exec, data[0], NULL);
                break;
        default:
                break; /* of a newer client */
        }
}

/* ---- beginning ------------------------------------------------------------------------------------------------------------ */

int zl_api_exec_begin(struct zl_api_request *rq, struct zl_error *err)
{
        const struct exec_body *body = rq->body_value;

        if (!body->command || !body->command[0]) {
                zl_fail(err, ZL_E_INVALID, 0, "command: it must have at least one word");
                zl_api_answer_field(rq, err, "command");
                return -EINVAL;
        }
        return zl_api_fetch_meaning(rq, err);
}

static int make_pipes(struct exec_session *s, int theirs[3], struct zl_error *err)
{
        for (int i = 0; i < 3; i++) {
                int fds[2];

                if (pipe2(fds, O_CLOEXEC) < 0)
                        return zl_fail_errno(err, errno, "cannot make a pipe");
                s->fds[i] = fds[i == 0];
                theirs[i] = fds[i != 0];
                zl_fd_set_nonblock(s->fds[i], true);
        }
        return 0;
}

static int open_ends(struct zl_api_session *s)
{
        struct exec_session *e = exec_of(s);
        int tty = zl_exec_tty_fd(e->exec), r;

        if (tty >= 0)
                zl_fd_set_nonblock(tty, true);
        r = zl_api_session_open(s, ZL_END_DONE, zl_exec_fd(e->exec), true);
        if (r >= 0)
                r = zl_api_session_open(s, ZL_END_OUT, tty >= 0 ? tty : zl_take_fd(e->fds[1]),
                                        tty >= 0);
        if (r >= 0 && tty < 0)
                r = zl_api_session_open(s, ZL_END_IN, zl_take_fd(e->fds[0]), false);
        if (r >= 0 && tty < 0)
                r = zl_api_session_open(s, ZL_END_ERR, zl_take_fd(e->fds[2]), false);
        return r;
}

int zl_api_exec_work(struct zl_api_request *rq, struct zl_error *err)
{
        static const struct zl_api_session_ops ops = { .open = open_ends,
                                                       .take_output = take_output,
                                                       .take_end = take_end,
                                                       .give_input = give_input,
                                                       .take_frame = take_frame,
                                                       .answer = answer_captured,
                                                       .free = free_exec };
        const struct exec_body *body = rq->body_value;
        struct zl_exec_options options = { .argv = body->command,
                                           .env = body->env,
                                           .cwd = body->workdir,
                                           .user = body->user,
                                           .privileged = body->privileged,
                                           .tty = body->tty,
                                           .rows = body->rows,
                                           .cols = body->cols,
                                           .stdio = { -1, -1, -1 } };
        char name[ZL_IDENT_NAME_MAX];
        struct exec_session *s;
        int r = zl_api_resolve(rq, true, name, err);

        if (r < 0)
                return r;
        s = calloc(1, sizeof(*s));
        if (!s)
                return zl_fail_oom(err);
        for (int i = 0; i < 3; i++)
                s->fds[i] = -EBADF;
        if (!body->tty)
                r = make_pipes(s, options.stdio, err);
        if (r >= 0)
                r = zl_exec_open(rq->api->rt, name, &options, &s->exec, err);
        for (int i = 0; i < 3; i++)
                zl_close(options.stdio[i]);
        if (r < 0) {
                free_exec(&s->base);
                return r;
        }
        zl_api_session_hold(&s->base, rq, &ops);
        return 0;
}

int zl_api_exec_finish(struct zl_api_request *rq, struct zl_error *err)
{
        const struct exec_body *body = rq->body_value;
        struct zl_api_session *s = rq->data;

        zl_api_session_init(rq);
        if (body->input)
                zl_buf_puts(&s->in, body->input);
        s->input_over = !s->streams;
        return zl_api_session_begin(s, err);
}
