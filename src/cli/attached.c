/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One poll() over our input, our outputs, the attached streams, the watch and a signalfd. Output is taken from the monitor
 * at once and queued here, since it drops readers that are too slow; a pipe behind us may be as slow as it likes up to
 * QUEUE_MAX.
 *
 * The third signal that asks for the end (three times ^C) is not passed on but kills: a workload that ignores signals must
 * not hold its user for ever.
 */
#include "cli/attached.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "cli/terminal.h"

enum { CHUNK = 4096, QUEUE_MAX = 256 << 20, KILL_AFTER = 3 };

struct loop {
        const struct zl_attached *a;
        struct zl_buf queue[2]; /* for our stdout and stderr */
        bool broken[2];         /* nobody reads there any more */
        bool input_open, output_open, ended, timed_out, left, after_p;
        unsigned n_ends; /* signals so far that ask for the end */
        int signals;
        int64_t deadline;
        struct zl_status status;
};

static int take_output(struct loop *l, struct zl_error *err)
{
        const char *data;
        size_t len;
        int stream, r;

        while ((r = zl_attach_next(l->a->attach, &stream, &data, &len, err)) > 0) {
                struct zl_buf *queue = &l->queue[stream == 2];

                if (l->broken[stream == 2])
                        continue;
                if (zl_buf_put(queue, data, len) < 0)
                        return zl_fail(err, ZL_E_NO_SPACE, 0,
                                       "more than %d MiB of output wait for a reader",
                                       QUEUE_MAX >> 20);
        }
        if (r == 0)
                return 0;
        l->output_open = false;
        if (r == -ENODATA) {
                zl_error_done(err);
                return 0;
        }
        return r;
}

/* Writes what the descriptor takes without blocking (a pipe that polls writable takes PIPE_BUF bytes). */
static void give_output(struct loop *l, int which)
{
        struct zl_buf *queue = &l->queue[which];
        ssize_t n = write(which ? STDERR_FILENO : STDOUT_FILENO, queue->data,
                          ZL_MIN(queue->len, (size_t)CHUNK));

        if (n > 0) {
                zl_buf_consume(queue, (size_t)n);
        } else if (n < 0 && errno != EINTR && errno != EAGAIN) {
                l->broken[which] = true;
                zl_buf_reset(queue);
        }
}

/* How many bytes of the input are to be passed on: not ^P ^Q and what follows. (A ^P that came alone has been passed on already.) */
static size_t before_leaving(struct loop *l, const char *buf, size_t n)
{
        enum { CTRL_P = 16, CTRL_Q = 17 };

        if (!l->a->visiting || !l->a->tty)
                return n;
        for (size_t i = 0; i < n; i++) {
                if (l->after_p && buf[i] == CTRL_Q) {
                        l->left = true;
                        return i > 0 ? i - 1 : 0;
                }
                l->after_p = buf[i] == CTRL_P;
        }
        return n;
}

static void take_input(struct loop *l)
{
        char buf[CHUNK];
        ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
        size_t len;

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        len = n > 0 ? before_leaving(l, buf, (size_t)n) : 0;
        /* The end of our input is the end of its input; an error counts as the end. */
        if (n <= 0)
                l->input_open = false;
        if ((n <= 0 && l->a->visiting) || (n > 0 && len == 0))
                return;
        if (zl_attach_write(l->a->attach, buf, len, NULL) < 0)
                l->input_open = false;
}

static void take_watch(struct loop *l)
{
        struct zl_status status = { 0 };
        int r;

        while (!l->ended && (r = zl_watch_next(l->a->watch, &status, NULL)) != 0) {
                if (r < 0) {
                        l->ended = true; /* the caller asks the runtime */
                        return;
                }
                if (status.state == ZL_STATE_EXITED || status.state == ZL_STATE_FAILED) {
                        l->ended = true;
                        l->status = status;
                        return;
                }
                zl_status_done(&status);
        }
}

static void take_signal(struct loop *l)
{
        struct signalfd_siginfo info;
        uint16_t rows, cols;
        int sig;

        if (read(l->signals, &info, sizeof(info)) != sizeof(info))
                return;
        sig = (int)info.ssi_signo;
        if (sig == SIGWINCH) {
                if (l->a->tty && zl_terminal_size(STDIN_FILENO, &rows, &cols))
                        (void)zl_attach_resize(l->a->attach, rows, cols, NULL);
                return;
        }
        if (!l->a->signals && (sig == SIGINT || sig == SIGTERM || sig == SIGHUP))
                l->left = true;
        else if ((sig == SIGINT || sig == SIGTERM) && ++l->n_ends >= KILL_AFTER)
                (void)zl_runtime_kill(l->a->rt, l->a->name, SIGKILL, true, NULL);
        else
                /* it may have ended this instant */
                (void)zl_runtime_kill(l->a->rt, l->a->name, sig, false, NULL);
}

static int time_left(const struct loop *l)
{
        int64_t left;

        if (l->ended)
                return 1000; /* for the last output */
        if (l->deadline == INT64_MAX)
                return -1;
        left = l->deadline - zl_now_monotonic();
        return left <= 0 ? 0 : (int)ZL_MIN(left / ZL_NSEC_PER_MSEC + 1, INT64_C(1000000));
}

static bool has_output(const struct loop *l)
{
        return l->queue[0].len > 0 || l->queue[1].len > 0;
}

/* 1: go on, 0: all done. */
static int turn(struct loop *l, struct zl_error *err)
{
        struct pollfd p[] = {
                { .fd = l->output_open ? zl_attach_fd(l->a->attach) : -1, .events = POLLIN },
                { .fd = l->ended ? -1 : zl_watch_fd(l->a->watch), .events = POLLIN },
                { .fd = l->signals, .events = POLLIN },
                { .fd = l->input_open && !l->ended ? STDIN_FILENO : -1, .events = POLLIN },
                { .fd = l->queue[0].len > 0 ? STDOUT_FILENO : -1, .events = POLLOUT },
                { .fd = l->queue[1].len > 0 ? STDERR_FILENO : -1, .events = POLLOUT },
        };
        int n = poll(p, ZL_ARRAY_SIZE(p), time_left(l)), r = 0;

        if (n < 0)
                return errno == EINTR ? 1
                                      : zl_fail_errno(err, errno, "cannot wait for %s", l->a->name);
        if (n == 0 && !l->ended) {
                l->deadline = INT64_MAX;
                l->timed_out = true;
                return zl_runtime_stop(l->a->rt, l->a->name, -1, err) < 0 ? -EIO : 1;
        }
        if (p[0].revents)
                r = take_output(l, err);
        if (p[1].revents)
                take_watch(l);
        if (p[2].revents)
                take_signal(l);
        if (p[3].revents)
                take_input(l);
        for (int i = 0; i < 2; i++)
                if (p[4 + i].revents)
                        give_output(l, i);
        if (r < 0)
                return r;
        if (l->left)
                return has_output(l) ? 1 : 0;
        /* A stray process may hold the streams open: silence after the end is the end. */
        return l->ended && !has_output(l) && (!l->output_open || n == 0) ? 0 : 1;
}

static int open_signals(struct loop *l, struct zl_error *err)
{
        sigset_t set;

        /* Those that zl_foreground_prepare() blocked. */
        if (sigprocmask(SIG_BLOCK, NULL, &set) < 0)
                return zl_fail_errno(err, errno, "cannot ask for the signal mask");
        l->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return l->signals < 0 ? zl_fail_errno(err, errno, "cannot make a signalfd") : 0;
}

int zl_attached_run(const struct zl_attached *a, struct zl_status *ret, struct zl_error *err)
{
        struct loop l = {
                .a = a,
                .queue = { ZL_BUF_INIT(QUEUE_MAX), ZL_BUF_INIT(QUEUE_MAX) },
                .input_open = a->input,
                .output_open = true,
                .signals = -EBADF,
                .deadline = a->timeout < 0 ? INT64_MAX : zl_now_monotonic() + a->timeout,
        };
        struct termios old, raw;
        bool is_raw = false;
        int r = open_signals(&l, err);

        if (r >= 0 && a->tty && a->input && tcgetattr(STDIN_FILENO, &old) == 0) {
                raw = old;
                cfmakeraw(&raw);
                is_raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
        }
        while (r >= 0 && (r = turn(&l, err)) > 0)
                ;
        if (is_raw)
                tcsetattr(STDIN_FILENO, TCSANOW, &old);
        zl_close(l.signals);
        zl_buf_done(&l.queue[0]);
        zl_buf_done(&l.queue[1]);
        if (r >= 0 && l.left)
                return 1;
        if (r >= 0 && !l.status.name)
                return zl_runtime_wait(a->rt, a->name, -1, ret, err);
        if (r < 0)
                zl_status_done(&l.status);
        else
                *ret = l.status;
        return r;
}
