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
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/handlers.h"
#include "api/views.h"
#include "base/fd.h"
#include "base/strv.h"

enum {
        CAPTURE_MAX = 1 << 20, /* of each output */
        QUEUE_HIGH = 256 * 1024,
        CHUNK = 16 * 1024,
        HEADER = 8,
        LINGER_MSEC = 100, /* for what a child of the command, that has ended, still writes */
};

enum frame { FRAME_STDIN, FRAME_STDOUT, FRAME_STDERR, FRAME_RESIZE, FRAME_EXIT, FRAME_SIGNAL };

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

/* One descriptor and what is waited for at it. */
struct end {
        uv_poll_t poll;
        int fd;            /* -EBADF: closed */
        bool open, shared; /* `shared`: the descriptor is somebody else's to close */
        int events;
};

enum which { IN, OUT, ERR, DONE, CLIENT, N_ENDS };

struct zl_api_session {
        struct zl_api *api;
        struct zl_api_request *rq; /* NULL when it is freed */
        struct zl_exec *exec;
        struct end ends[N_ENDS];
        struct zl_buf out[2]; /* captured; out[0] is the queue to the client of a stream */
        struct zl_buf in;     /* to the command */
        struct zl_buf frames; /* from the client, not complete */
        struct MHD_UpgradeResponseHandle *upgrade;
        uv_timer_t linger;
        bool streams, holds; /* `holds`: a reference to the request */
        bool input_over, ended, told, truncated, closing;
        unsigned n_handles;
        int exit_code;
        struct zl_api_session *next;
};

/* ---- descriptors ------------------------------------------------------------------------------------------------ */

static void on_event(uv_poll_t *poll, int status, int events);

static void free_session(struct zl_api_session *s)
{
        if (s->exec)
                zl_exec_close(s->exec);
        zl_buf_done(&s->out[0]);
        zl_buf_done(&s->out[1]);
        zl_buf_done(&s->in);
        zl_buf_done(&s->frames);
        free(s);
}

static void on_closed(uv_handle_t *handle)
{
        struct zl_api_session *s = handle->data;

        if (--s->n_handles == 0)
                free_session(s);
}

static void watch(struct zl_api_session *s, enum which which, int events)
{
        struct end *end = &s->ends[which];

        if (!end->open || end->events == events)
                return;
        end->events = events;
        if (events)
                uv_poll_start(&end->poll, events, on_event);
        else
                uv_poll_stop(&end->poll);
}

static void close_end(struct zl_api_session *s, enum which which)
{
        struct end *end = &s->ends[which];

        if (end->open) {
                end->open = false;
                uv_close((uv_handle_t *)&end->poll, on_closed);
        }
        end->fd = end->shared ? -EBADF : zl_close(end->fd);
}

static int open_end(struct zl_api_session *s, enum which which, int fd, bool shared)
{
        struct end *end = &s->ends[which];
        int r;

        end->fd = fd;
        end->shared = shared;
        r = uv_poll_init(s->api->uv, &end->poll, fd);
        if (r < 0)
                return r;
        end->poll.data = s;
        end->open = true;
        s->n_handles++;
        return 0;
}

static void end_session(struct zl_api_session *s)
{
        struct zl_api_session **at = &s->api->sessions;

        if (s->closing)
                return;
        s->closing = true;
        while (*at && *at != s)
                at = &(*at)->next;
        if (*at)
                *at = s->next;
        for (int i = 0; i < N_ENDS; i++)
                close_end(s, (enum which)i);
        if (s->upgrade)
                MHD_upgrade_action(s->upgrade, MHD_UPGRADE_ACTION_CLOSE);
        if (s->rq) {
                s->rq->on_gone = NULL;
                s->rq->data = NULL;
                if (s->holds)
                        zl_api_unref(s->rq);
        }
        uv_close((uv_handle_t *)&s->linger, on_closed);
        zl_api_kick(s->api);
}

/* ---- what the command writes ---------------------------------------------------------------------------------------- */

static void put_frame(struct zl_api_session *s, enum frame type, const void *data, size_t len)
{
        const unsigned char header[HEADER] = { (unsigned char)type,
                                               0,
                                               0,
                                               0,
                                               (unsigned char)(len >> 24),
                                               (unsigned char)(len >> 16),
                                               (unsigned char)(len >> 8),
                                               (unsigned char)len };

        zl_buf_put(&s->out[0], header, sizeof(header));
        zl_buf_put(&s->out[0], data, len);
}

static void take_output(struct zl_api_session *s, enum which which)
{
        char buf[CHUNK];
        ssize_t n = 1;

        while (n > 0 && s->ends[which].fd >= 0 && !(s->streams && s->out[0].len >= QUEUE_HIGH)) {
                n = read(s->ends[which].fd, buf, sizeof(buf));
                if (n > 0 && s->streams) {
                        put_frame(s, which == ERR ? FRAME_STDERR : FRAME_STDOUT, buf, (size_t)n);
                } else if (n > 0) {
                        struct zl_buf *to = &s->out[which == ERR];
                        size_t room = CAPTURE_MAX - ZL_MIN(to->len, (size_t)CAPTURE_MAX);

                        s->truncated |= (size_t)n > room;
                        zl_buf_put(to, buf, ZL_MIN((size_t)n, room));
                        if (room == 0)
                                return; /* once per turn of the loop is enough for what is dropped */
                }
        }
        /* A terminal whose other side is closed gives EIO. */
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                close_end(s, which);
}

static void answer_captured(struct zl_api_session *s)
{
        json_t *o = json_pack("{s:i, s:o, s:o, s:b}", "exit_code", s->exit_code, "stdout",
                              zl_json_string_lossy(s->out[0].data ?: "", s->out[0].len), "stderr",
                              zl_json_string_lossy(s->out[1].data ?: "", s->out[1].len),
                              "truncated", s->truncated);

        zl_api_answer_json(s->rq, 200, o);
        end_session(s);
}

static void on_linger(uv_timer_t *timer);
static void turn(struct zl_api_session *s);

/* Ends it if all is told; a child that holds the outputs open does not keep it. */
static void check_end(struct zl_api_session *s, bool hurry)
{
        bool silent = s->ends[OUT].fd < 0 && s->ends[ERR].fd < 0;
        unsigned char code[4] = { 0, 0, 0, (unsigned char)s->exit_code };

        if (!s->ended || s->closing)
                return;
        if (!silent && !hurry) {
                /* The pipe may hold more for a client that is slow. */
                if (!(s->streams && s->out[0].len > 0) && !uv_is_active((uv_handle_t *)&s->linger))
                        uv_timer_start(&s->linger, on_linger, LINGER_MSEC, 0);
                return;
        }
        if (!s->streams) {
                answer_captured(s);
                return;
        }
        if (!s->told)
                put_frame(s, FRAME_EXIT, code, sizeof(code));
        s->told = true;
        if (s->out[0].len == 0)
                end_session(s);
}

static void on_linger(uv_timer_t *timer)
{
        struct zl_api_session *s = timer->data;

        if (!s->streams || s->out[0].len == 0)
                check_end(s, true);
        if (!s->closing)
                turn(s);
}

static void take_end(struct zl_api_session *s)
{
        int r = zl_exec_result(s->exec, &s->exit_code, NULL);

        if (r == 0)
                return;
        if (r < 0)
                s->exit_code = 125; /* its monitor is gone */
        s->ended = true;
        close_end(s, DONE);
        close_end(s, IN);
        for (enum which w = OUT; w <= ERR; w++)
                if (s->ends[w].fd >= 0)
                        take_output(s, w);
}

/* ---- what the client writes -------------------------------------------------------------------------------------------- */

static void give_input(struct zl_api_session *s)
{
        /* a terminal is one descriptor for both ways */
        int fd = s->ends[IN].fd >= 0 ? s->ends[IN].fd : s->exec ? zl_exec_tty_fd(s->exec) : -1;
        ssize_t n = 1;

        while (s->in.len > 0 && n > 0 && fd >= 0) {
                n = write(fd, s->in.data, s->in.len);
                if (n > 0)
                        zl_buf_consume(&s->in, (size_t)n);
        }
        if (fd < 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
                zl_buf_reset(&s->in); /* nobody reads it */
                close_end(s, IN);
        }
        if (s->in.len == 0 && s->input_over)
                close_end(s, IN);
}

static void take_frame(struct zl_api_session *s, enum frame type, const unsigned char *data,
                       size_t len)
{
        switch (type) {
        case FRAME_STDIN:
                if (len == 0)
                        s->input_over = true;
                zl_buf_put(&s->in, data, len);
                break;
        case FRAME_RESIZE:
                if (len == 4)
                        (void)zl_exec_resize(s->exec, (uint16_t)(data[0] << 8 | data[1]),
                                             (uint16_t)(data[2] << 8 | data[3]), NULL);
                break;
        case FRAME_SIGNAL:
                if (len == 1 && !s->ended)
                        (void)zl_exec_kill(s->exec, data[0], NULL);
                break;
        default:
                break; /* of a newer client */
        }
}

/* False: it is no frame. */
static bool take_frames(struct zl_api_session *s)
{
        while (s->frames.len >= HEADER) {
                const unsigned char *p = (const unsigned char *)s->frames.data;
                size_t len = (size_t)p[4] << 24 | (size_t)p[5] << 16 | (size_t)p[6] << 8 | p[7];

                if (len > QUEUE_HIGH)
                        return false;
                if (s->frames.len < HEADER + len)
                        return true;
                take_frame(s, (enum frame)p[0], p + HEADER, len);
                zl_buf_consume(&s->frames, HEADER + len);
        }
        return true;
}

/* Closed altogether, and not only for writing? */
static bool is_gone(int fd)
{
        struct pollfd p = { .fd = fd };

        return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

static void take_client(struct zl_api_session *s)
{
        char buf[CHUNK];
        ssize_t n = recv(s->ends[CLIENT].fd, buf, sizeof(buf), MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n < 0 || (n == 0 && is_gone(s->ends[CLIENT].fd))) {
                end_session(s);
                return;
        }
        if (n == 0)
                s->input_over = true;
        else if (zl_buf_put(&s->frames, buf, (size_t)n) < 0 || !take_frames(s))
                end_session(s);
}

static void give_client(struct zl_api_session *s)
{
        ssize_t n = 1;

        while (s->out[0].len > 0 && n > 0) {
                n = send(s->ends[CLIENT].fd, s->out[0].data, s->out[0].len,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n > 0)
                        zl_buf_consume(&s->out[0], (size_t)n);
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
                end_session(s);
}

/* ---- the turn ------------------------------------------------------------------------------------------------------------ */

/* What is to be waited for, from what is. */
static void plan(struct zl_api_session *s)
{
        bool full = s->streams && s->out[0].len >= QUEUE_HIGH;
        bool tty = s->ends[OUT].open && s->ends[IN].fd < 0 && s->in.len > 0;

        watch(s, OUT, (full ? 0 : UV_READABLE) | (tty ? UV_WRITABLE : 0));
        watch(s, ERR, full ? 0 : UV_READABLE);
        watch(s, IN, s->in.len > 0 ? UV_WRITABLE : 0);
        watch(s, DONE, UV_READABLE);
        watch(s, CLIENT,
              (s->in.len < QUEUE_HIGH && !s->input_over ? UV_READABLE : 0) |
                      (s->out[0].len > 0 ? UV_WRITABLE : 0));
}

static void turn(struct zl_api_session *s)
{
        if (!s->closing)
                give_input(s);
        if (!s->closing)
                check_end(s, false);
        if (!s->closing && s->streams && s->ends[CLIENT].open)
                give_client(s);
        if (!s->closing && s->told)
                check_end(s, true);
        if (!s->closing)
                plan(s);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
        struct zl_api_session *s = poll->data;
        bool readable = status < 0 || (events & UV_READABLE);

        if (poll == &s->ends[OUT].poll && readable)
                take_output(s, OUT);
        else if (poll == &s->ends[ERR].poll && readable)
                take_output(s, ERR);
        else if (poll == &s->ends[DONE].poll)
                take_end(s);
        else if (poll == &s->ends[CLIENT].poll && readable)
                take_client(s);
        turn(s);
}

/* ---- beginning ------------------------------------------------------------------------------------------------------------ */

/* What the worker has opened. */
struct begun {
        struct zl_exec *exec;
        int fds[3]; /* our sides */
};

static void drop_begun(void *data)
{
        struct begun *begun = data;

        if (begun->exec)
                zl_exec_close(begun->exec);
        for (int i = 0; i < 3; i++)
                zl_close(begun->fds[i]);
        free(begun);
}

static bool wants_stream(const struct zl_api_request *rq)
{
        const char *upgrade = rq->conn ? MHD_lookup_connection_value(rq->conn, MHD_HEADER_KIND,
                                                                     "Upgrade")
                                       : NULL;

        return upgrade && zl_streq(upgrade, "zlayer-stream");
}

int zl_api_exec_begin(struct zl_api_request *rq, struct zl_error *err)
{
        const struct exec_body *body = rq->body_value;

        if (!body->command || !body->command[0]) {
                zl_fail(err, ZL_E_INVALID, 0, "command: it must have at least one word");
                zl_api_answer_field(rq, err, "command");
                return -EINVAL;
        }
        return zl_api_fetch_stored(rq, err);
}

static int make_pipes(struct begun *begun, int theirs[3], struct zl_error *err)
{
        for (int i = 0; i < 3; i++) {
                int fds[2];

                if (pipe2(fds, O_CLOEXEC) < 0)
                        return zl_fail_errno(err, errno, "cannot make a pipe");
                begun->fds[i] = fds[i == 0];
                theirs[i] = fds[i != 0];
                zl_fd_set_nonblock(begun->fds[i], true);
        }
        return 0;
}

int zl_api_exec_work(struct zl_api_request *rq, struct zl_error *err)
{
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
        struct begun *begun;
        int r = zl_api_resolve(rq, true, name, err);

        if (r < 0)
                return r;
        begun = malloc(sizeof(*begun));
        if (!begun)
                return zl_fail_oom(err);
        *begun = (struct begun){ .fds = { -EBADF, -EBADF, -EBADF } };
        if (!body->tty)
                r = make_pipes(begun, options.stdio, err);
        if (r >= 0)
                r = zl_exec_open(rq->api->rt, name, &options, &begun->exec, err);
        for (int i = 0; i < 3; i++)
                zl_close(options.stdio[i]);
        if (r < 0) {
                drop_begun(begun);
                return r;
        }
        rq->drop(rq->data);
        rq->data = begun;
        rq->drop = drop_begun;
        return 0;
}

static void on_gone(struct zl_api_request *rq)
{
        end_session(rq->data);
}

/* Takes over what the worker has begun. */
static int open_ends(struct zl_api_session *s, struct begun *begun)
{
        int tty = zl_exec_tty_fd(begun->exec), r;

        if (tty >= 0)
                zl_fd_set_nonblock(tty, true);
        r = open_end(s, DONE, zl_exec_fd(begun->exec), true);
        if (r >= 0)
                r = open_end(s, OUT, tty >= 0 ? tty : zl_take_fd(begun->fds[1]), tty >= 0);
        if (r >= 0 && tty < 0)
                r = open_end(s, IN, zl_take_fd(begun->fds[0]), false);
        if (r >= 0 && tty < 0)
                r = open_end(s, ERR, zl_take_fd(begun->fds[2]), false);
        return r;
}

/* zl-size: the signature is that of libmicrohttpd */
static void on_upgraded(void *data, struct MHD_Connection *conn, void *request, const char *extra,
                        size_t n_extra, MHD_socket fd, struct MHD_UpgradeResponseHandle *upgrade)
{
        struct zl_api_session *s = data;

        (void)conn;
        (void)request;
        s->upgrade = upgrade;
        if (open_end(s, CLIENT, fd, true) < 0 || zl_buf_put(&s->frames, extra, n_extra) < 0 ||
            !take_frames(s)) {
                end_session(s);
                return;
        }
        turn(s);
}

/* The request is freed. If no stream came of it (the client was gone, or did not ask properly), that is the end. */
static void drop_session(void *data)
{
        struct zl_api_session *s = data;

        s->rq = NULL;
        if (!s->upgrade)
                end_session(s);
}

static void answer_upgrade(struct zl_api_session *s)
{
        struct MHD_Response *response = MHD_create_response_for_upgrade(on_upgraded, s);

        if (response)
                MHD_add_response_header(response, "Upgrade", "zlayer-stream");
        s->rq->drop = drop_session;
        zl_api_answer(s->rq, 101, response);
}

int zl_api_exec_finish(struct zl_api_request *rq, struct zl_error *err)
{
        const struct exec_body *body = rq->body_value;
        struct begun *begun = rq->data;
        struct zl_api_session *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return zl_fail_oom(err);
        *s = (struct zl_api_session){
                .api = rq->api,
                .rq = rq,
                .streams = wants_stream(rq),
                .out = { ZL_BUF_INIT(CAPTURE_MAX + 2 * QUEUE_HIGH), ZL_BUF_INIT(CAPTURE_MAX) },
                .in = ZL_BUF_INIT(ZL_API_BODY_MAX),
                .frames = ZL_BUF_INIT(2 * QUEUE_HIGH),
                .next = rq->api->sessions,
                .n_handles = 1,
        };
        for (int i = 0; i < N_ENDS; i++)
                s->ends[i].fd = -EBADF;
        uv_timer_init(s->api->uv, &s->linger);
        s->linger.data = s;
        rq->api->sessions = s;
        r = open_ends(s, begun);
        s->exec = zl_take_ptr(begun->exec);
        drop_begun(begun);
        rq->data = s;
        rq->drop = NULL;
        if (r < 0) {
                end_session(s);
                return zl_fail_errno(err, -r, "cannot watch the command");
        }
        if (body->input)
                zl_buf_puts(&s->in, body->input);
        s->input_over = !s->streams;
        if (s->streams) {
                answer_upgrade(s);
        } else {
                zl_api_ref(rq);
                s->holds = true;
                rq->on_gone = on_gone;
                take_end(s);
                turn(s);
        }
        return 0;
}

void zl_api_sessions_close(struct zl_api *api)
{
        while (api->sessions)
                end_session(api->sessions);
}
