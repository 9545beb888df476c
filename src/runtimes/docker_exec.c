/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands inside Docker containers. The engine hands out one stream for input and output of a command, and the interface wants
 * the caller's descriptors or a terminal: a thread per command carries the bytes. When the stream ends, it asks for the exit
 * code and makes the handle's descriptor readable.
 *
 * What may go wrong: the engine answers a start before it knows whether the command can be executed, so the beginning is
 * asked for in growing steps of a few milliseconds; there is no event for it. So is the end, which comes an instant after that
 * of the stream.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/thread.h"
#include "runtimes/docker.h"

enum { COPY_SIZE = 32 << 10, TEXT_MAX = 4096 };

#define STEP_FIRST (2 * ZL_NSEC_PER_MSEC)
#define STEP_MAX (50 * ZL_NSEC_PER_MSEC)

enum phase { RUNS, ENDED, BROKEN };

struct docker_exec {
        struct zl_exec base;
        struct docker *d;
        char *id;                    /* the engine's */
        struct zl_docker_conn *conn; /* the thread's, once it runs */
        struct zl_docker_frames frames;
        int stdio[3]; /* of the thread: its side of the terminal, or copies of the caller's */
        int tty_fd;   /* the caller's side */
        int end_fd, quit_fd;
        bool tty, started;
        pthread_t thread;
        _Atomic enum phase phase;
        int code;
};

/* ---- asking the engine ------------------------------------------------------------------------------- */

struct facts {
        bool running;
        pid_t pid;
        int code;
};

static int ask(struct docker_exec *x, struct facts *ret, struct zl_error *err)
{
        _cleanup_json_ json_t *json = NULL;
        int r = docker_ask(x->d, "GET", docker_path(x->d, "/exec/%s/json", x->id), &json, err);

        if (r < 0)
                return r;
        ret->running = zl_json_bool(json, "Running", false);
        ret->pid = (pid_t)zl_json_int(json, "Pid", 0);
        ret->code = (int)zl_json_int(json, "ExitCode", -1);
        return 0;
}

static void signal_event(int fd)
{
        uint64_t one = 1;

        if (write(fd, &one, sizeof(one)) < 0)
                return; /* it is readable already */
}

/* ---- the thread -------------------------------------------------------------------------------------- */

/* All output that is there: 0, or negative when the stream is over. */
static int copy_output(struct docker_exec *x)
{
        for (;;) {
                const char *data;
                size_t len;
                int stream, r = zl_docker_next_frame(x->conn, &x->frames, &stream, &data, &len);

                if (r <= 0)
                        return r;
                /* Nobody may be left to read it. */
                if (x->stdio[stream] >= 0 && zl_write_full(x->stdio[stream], data, len) < 0)
                        x->stdio[stream] = zl_close(x->stdio[stream]);
        }
}

static void copy_input(struct docker_exec *x, char *buf)
{
        ssize_t n = read(x->stdio[0], buf, COPY_SIZE);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0 && zl_docker_write(x->conn, buf, (size_t)n) == 0)
                return;
        x->stdio[0] = zl_close(x->stdio[0]);
        zl_docker_shutdown(x->conn);
}

/* -ENODATA at the end of the stream, -ECANCELED if the handle is closed. */
static int carry(struct docker_exec *x)
{
        _cleanup_free_ char *buf = malloc(COPY_SIZE);
        int r = buf ? 0 : -ENOMEM;

        while (r == 0) {
                struct pollfd fds[] = { { .fd = zl_docker_fd(x->conn), .events = POLLIN },
                                        { .fd = x->quit_fd, .events = POLLIN },
                                        { .fd = x->stdio[0], .events = POLLIN } };

                r = copy_output(x);
                if (r < 0)
                        break;
                if (poll(fds, 3, -1) < 0 && errno != EINTR)
                        return -errno;
                if (fds[1].revents)
                        return -ECANCELED;
                if (fds[2].revents)
                        copy_input(x, buf);
        }
        return r;
}

static enum phase wait_for_end(struct docker_exec *x)
{
        for (int64_t step = STEP_FIRST, slept = 0; slept < ZL_DOCKER_TIMEOUT; slept += step) {
                struct timespec ts = { 0, step };
                struct facts now;

                if (ask(x, &now, NULL) < 0)
                        return BROKEN;
                if (!now.running && now.code >= 0) {
                        x->code = now.code;
                        return ENDED;
                }
                nanosleep(&ts, NULL);
                step = ZL_MIN(step * 2, STEP_MAX);
        }
        return BROKEN;
}

static void *run_thread(void *data)
{
        struct docker_exec *x = data;
        int r = carry(x);

        /* Whoever reads the output sees its end before the handle tells that of the command. */
        for (int i = 0; i < 3; i++)
                if (!x->tty)
                        x->stdio[i] = zl_close(x->stdio[i]);
        x->phase = r == -ENODATA ? wait_for_end(x) : BROKEN;
        if (x->tty)
                shutdown(x->stdio[1], SHUT_WR);
        signal_event(x->end_fd);
        return NULL;
}

/* Without signals: a reader that goes away is an error here, not an end. */
static int start_thread(struct docker_exec *x)
{
        int r = zl_thread_start(&x->thread, run_thread, x);

        x->started = r == 0;
        return r;
}

/* ---- beginning --------------------------------------------------------------------------------------- */

static json_t *json_strings(char *const *strv)
{
        json_t *list = json_array();

        for (; list && strv && *strv; strv++)
                json_array_append_new(list, zl_json_string_lossy(*strv, strlen(*strv)));
        return list;
}

static int make(struct docker_exec *x, const char *name, const struct zl_exec_options *o,
                struct zl_error *err)
{
        _cleanup_json_ json_t *body = json_pack(
                "{s:o, s:o, s:b, s:b, s:b, s:b, s:b}", "Cmd", json_strings(o->argv), "Env",
                json_strings(o->env), "Tty", o->tty, "Privileged", o->privileged, "AttachStdin",
                o->tty || o->stdio[0] >= 0, "AttachStdout", true, "AttachStderr", true);
        _cleanup_free_ char *text = NULL, *path = NULL;
        _cleanup_json_ json_t *answer = NULL;
        int r;

        if (o->cwd)
                zl_json_set(body, "WorkingDir", json_string(o->cwd));
        if (o->user)
                zl_json_set(body, "User", json_string(o->user));
        text = body ? zl_json_dump(body, 0) : NULL;
        path = docker_path(x->d, "/containers/" DOCKER_PREFIX "%s/exec", name);
        if (!text)
                return zl_fail_oom(err);
        const struct zl_docker_request q = {
                .method = "POST", .path = path, .body = text, .len = strlen(text)
        };

        r = docker_call(x->d, &q, &answer, err);
        if (r < 0)
                return r;
        x->id = strdup(zl_json_str(answer, "Id", ""));
        return x->id ? 0 : zl_fail_oom(err);
}

static int begin(struct docker_exec *x, const struct zl_exec_options *o, struct zl_error *err)
{
        _cleanup_free_ char *path = docker_path(x->d, "/exec/%s/start", x->id), *text = NULL;
        struct zl_docker_request q = { .method = "POST", .path = path, .upgrade = true };
        int r = asprintf(&text, "{\"Detach\":false,\"Tty\":%s}", o->tty ? "true" : "false");

        if (r < 0)
                return zl_fail_oom(err);
        q.body = text;
        q.len = (size_t)r;
        r = docker_open(x->d, &q, &x->conn, err);
        return r < 0 ? r : 0;
}

/* The command could not be executed; the stream says why. */
static int explain(struct docker_exec *x, int code, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(TEXT_MAX);
        int64_t deadline = zl_now_monotonic() + ZL_NSEC_PER_SEC;
        const char *data, *detail;
        size_t len;
        int stream, r;

        while ((r = zl_docker_next_frame(x->conn, &x->frames, &stream, &data, &len)) >= 0) {
                if (r > 0)
                        zl_buf_put(&text, data, len);
                else if (poll(&(struct pollfd){ .fd = zl_docker_fd(x->conn), .events = POLLIN }, 1,
                              100) <= 0 &&
                         zl_now_monotonic() > deadline)
                        break;
        }
        if (text.data)
                text.data[strcspn(text.data, "\r\n")] = 0;
        detail = text.data ? text.data : "the command cannot be executed";
        if (strstr(detail, "not found") || strstr(detail, "no such file") || code == 127)
                return zl_fail(err, ZL_E_NO_COMMAND, ENOENT, "Docker: %s", detail);
        return zl_fail(err, ZL_E_NOT_RUNNABLE, EACCES, "Docker: %s", detail);
}

/* Until the command is executed, or cannot be. Output or its end wakes us at once. */
static int wait_for_start(struct docker_exec *x, struct zl_error *err)
{
        int64_t deadline = zl_now_monotonic() + ZL_DOCKER_TIMEOUT;

        for (int64_t step = STEP_FIRST; zl_now_monotonic() < deadline;
             step = ZL_MIN(step * 2, STEP_MAX)) {
                struct pollfd pfd = { .fd = zl_docker_fd(x->conn), .events = POLLIN };
                struct timespec ts = { 0, step };
                struct facts now;
                int r = ask(x, &now, err);

                if (r < 0)
                        return r;
                if (now.pid > 0)
                        return 0;
                if (!now.running && now.code >= 0)
                        return now.code == 126 || now.code == 127 ? explain(x, now.code, err) : 0;
                ppoll(&pfd, 1, &ts, NULL);
        }
        return zl_fail(err, ZL_E_TIMEOUT, 0, "Docker does not execute the command");
}

static int set_stdio(struct docker_exec *x, const struct zl_exec_options *o, struct zl_error *err)
{
        int pair[2];

        if (x->tty) {
                if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                        return zl_fail_errno(err, errno, "cannot make a pair of sockets");
                x->tty_fd = pair[0];
                x->stdio[1] = pair[1];
                x->stdio[0] = fcntl(pair[1], F_DUPFD_CLOEXEC, 3);
                return x->stdio[0] < 0 ? zl_fail_errno(err, errno, "cannot copy a descriptor") : 0;
        }
        for (int i = 0; i < 3; i++) {
                if (o->stdio[i] < 0)
                        continue;
                x->stdio[i] = fcntl(o->stdio[i], F_DUPFD_CLOEXEC, 3);
                if (x->stdio[i] < 0)
                        return zl_fail_errno(err, errno, "cannot copy a descriptor");
        }
        if (x->stdio[0] < 0)
                zl_docker_shutdown(x->conn);
        return 0;
}

static int open_exec(struct docker_exec *x, const char *name, const struct zl_exec_options *o,
                     struct zl_error *err)
{
        int r;

        x->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        x->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (x->end_fd < 0 || x->quit_fd < 0)
                return zl_fail_errno(err, errno, "cannot make an event descriptor");
        r = make(x, name, o, err);
        if (r == 0)
                r = begin(x, o, err);
        if (r == 0 && x->tty && o->rows && o->cols)
                docker_exec_resize(&x->base, o->rows, o->cols, NULL);
        if (r == 0)
                r = wait_for_start(x, err);
        if (r == 0)
                r = set_stdio(x, o, err);
        if (r < 0)
                return r;
        if (x->tty && o->rows && o->cols)
                docker_exec_resize(&x->base, o->rows, o->cols, NULL);
        r = start_thread(x);
        return r < 0 ? zl_fail_errno(err, -r, "cannot start a thread") : 0;
}

int docker_exec_open(struct zl_runtime *rt, const char *name, const struct zl_exec_options *options,
                     struct zl_exec **ret, struct zl_error *err)
{
        struct docker_exec *x = calloc(1, sizeof(*x));
        int r;

        if (!x)
                return zl_fail_oom(err);
        x->base.ops = rt->ops;
        x->d = docker_from(rt);
        x->tty = options->tty;
        x->frames = ZL_DOCKER_FRAMES_INIT(options->tty);
        x->stdio[0] = x->stdio[1] = x->stdio[2] = x->tty_fd = x->end_fd = x->quit_fd = -EBADF;
        r = open_exec(x, name, options, err);
        if (r < 0) {
                docker_exec_close(&x->base);
                return r;
        }
        *ret = &x->base;
        return 0;
}

/* ---- the handle -------------------------------------------------------------------------------------- */

int docker_exec_fd(const struct zl_exec *base)
{
        return ((const struct docker_exec *)base)->end_fd;
}

int docker_exec_tty_fd(const struct zl_exec *base)
{
        return ((const struct docker_exec *)base)->tty_fd;
}

int docker_exec_resize(struct zl_exec *base, uint16_t rows, uint16_t cols, struct zl_error *err)
{
        struct docker_exec *x = (struct docker_exec *)base;
        int r;

        if (!x->tty)
                return zl_fail(err, ZL_E_STATE, 0, "the command has no terminal");
        r = docker_ask(x->d, "POST",
                       docker_path(x->d, "/exec/%s/resize?h=%u&w=%u", x->id, rows, cols), NULL,
                       err);
        return r < 0 ? r : 0;
}

/* The engine has no word for it: the kernel of this machine does it, if the engine runs here. */
int docker_exec_kill(struct zl_exec *base, int sig, struct zl_error *err)
{
        struct docker_exec *x = (struct docker_exec *)base;
        _cleanup_close_ int fd = -EBADF;
        struct facts now;
        int r;

        if (!x->d->ep.unix_path)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                               "Docker at %s cannot send signals to a command", x->d->ep.text);
        r = ask(x, &now, err);
        if (r < 0)
                return r;
        if (!now.running || now.pid <= 0)
                return zl_fail(err, ZL_E_STATE, ESRCH, "the command has ended");
        fd = (int)syscall(SYS_pidfd_open, now.pid, 0);
        /* Asked once more, so that the descriptor is known to be of that process and not of a later one with its number. */
        if (fd < 0 || ask(x, &now, NULL) < 0 || !now.running ||
            syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) < 0)
                return zl_fail_errno(err, errno ? errno : ESRCH,
                                     "cannot send signal %d to the command", sig);
        return 0;
}

int docker_exec_result(struct zl_exec *base, int *ret_code, struct zl_error *err)
{
        struct docker_exec *x = (struct docker_exec *)base;

        switch ((enum phase)x->phase) {
        case ENDED:
                *ret_code = x->code;
                return 1;
        case BROKEN:
                return zl_fail(err, ZL_E_NETWORK, 0, "the connection to Docker broke");
        default:
                return 0;
        }
}

void docker_exec_close(struct zl_exec *base)
{
        struct docker_exec *x = (struct docker_exec *)base;

        if (x->started) {
                signal_event(x->quit_fd);
                pthread_join(x->thread, NULL);
        }
        zl_docker_conn_free(x->conn);
        zl_buf_done(&x->frames.buf);
        for (int i = 0; i < 3; i++)
                zl_close(x->stdio[i]);
        zl_close(x->tty_fd);
        zl_close(x->end_fd);
        zl_close(x->quit_fd);
        free(x->id);
        free(x);
}
