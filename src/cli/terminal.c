/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The foreground loop (see terminal.h): one poll() over standard input, the workload's terminal, a signalfd and the
 * descriptor that tells the end. Our own terminal is put into raw mode, so that ^C and window changes
 * reach the program inside and not us.
 *
 * What may go wrong: being killed in raw mode leaves the caller's terminal raw. Every signal that can be caught is
 * therefore read from the signalfd, and the old mode is restored on every way out.
 */
#include "cli/terminal.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"

enum { CHUNK = 16384 };

/* Everything that somebody may send on purpose. Faults of our own (SEGV …), job control by the kernel and SIGCHLD stay
 * as they are. */
static const int passed[] = {
        SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH
};

static void signal_set(sigset_t *set)
{
        sigemptyset(set);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(passed); i++)
                sigaddset(set, passed[i]);
}

int zl_foreground_prepare(struct zl_error *err)
{
        sigset_t set;

        signal_set(&set);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return zl_fail_errno(err, errno, "cannot block signals");
        return 0;
}

bool zl_terminal_size(int fd, uint16_t *rows, uint16_t *cols)
{
        struct winsize size;

        if (!isatty(fd) || ioctl(fd, TIOCGWINSZ, &size) < 0)
                return false;
        *rows = size.ws_row;
        *cols = size.ws_col;
        return true;
}

struct loop {
        const struct zl_foreground *fg;
        bool input_open, output_open, done;
        int signals;
        char buf[CHUNK];
};

static void tell_size(const struct zl_foreground *fg)
{
        uint16_t rows, cols;

        if (fg->on_resize && zl_terminal_size(STDIN_FILENO, &rows, &cols))
                fg->on_resize(rows, cols, fg->data);
}

static void take_signal(struct loop *l)
{
        struct signalfd_siginfo info;

        if (read(l->signals, &info, sizeof(info)) != sizeof(info))
                return;
        if (info.ssi_signo == SIGWINCH)
                tell_size(l->fg);
        else if (l->fg->on_signal)
                l->fg->on_signal((int)info.ssi_signo, l->fg->data);
}

/* Our input to the workload's terminal. The end of our input is told as ^D, as a terminal does. */
static void take_input(struct loop *l)
{
        ssize_t n = read(STDIN_FILENO, l->buf, sizeof(l->buf));

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0) {
                static const char end = 4;

                l->input_open = false;
                (void)zl_write_full(l->fg->tty_fd, &end, 1);
        } else if (zl_write_full(l->fg->tty_fd, l->buf, (size_t)n) < 0) {
                l->input_open = false;
        }
}

/* A pty master answers EIO when the last slave is closed: that is its end of file. */
static void take_output(struct loop *l)
{
        ssize_t n = read(l->fg->tty_fd, l->buf, sizeof(l->buf));

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0 || zl_write_full(STDOUT_FILENO, l->buf, (size_t)n) < 0)
                l->output_open = false;
}

/* One round. While the workload lives we wait for anything; afterwards only for what its terminal still holds. */
static int turn(struct loop *l)
{
        struct pollfd p[] = {
                { .fd = l->done ? -1 : l->fg->done_fd, .events = POLLIN },
                { .fd = l->signals, .events = POLLIN },
                { .fd = l->output_open ? l->fg->tty_fd : -1, .events = POLLIN },
                { .fd = l->input_open && !l->done ? STDIN_FILENO : -1, .events = POLLIN },
        };
        int n = poll(p, ZL_ARRAY_SIZE(p), l->done ? 200 : -1);

        if (n < 0)
                return errno == EINTR ? 1 : -errno;
        if (p[1].revents)
                take_signal(l);
        if (p[2].revents)
                take_output(l);
        if (p[3].revents)
                take_input(l);
        if (p[0].revents)
                l->done = true;
        /* A background process may hold the terminal open for ever: silence after the end is the end. */
        return l->done && (!l->output_open || n == 0) ? 0 : 1;
}

static bool make_raw(struct termios *old)
{
        struct termios raw;

        if (tcgetattr(STDIN_FILENO, old) < 0)
                return false;
        raw = *old;
        cfmakeraw(&raw);
        return tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

int zl_foreground_run(const struct zl_foreground *fg, struct zl_error *err)
{
        struct loop l = { .fg = fg,
                          .input_open = fg->tty_fd >= 0 && !fg->no_input,
                          .output_open = fg->tty_fd >= 0 };
        _cleanup_close_ int signals = -EBADF;
        struct termios old;
        sigset_t set;
        bool raw;
        int r;

        signal_set(&set);
        signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (signals < 0)
                return zl_fail_errno(err, errno, "cannot make a signalfd");
        l.signals = signals;
        raw = l.input_open && make_raw(&old);
        tell_size(fg);
        do
                r = turn(&l);
        while (r > 0);
        if (raw)
                tcsetattr(STDIN_FILENO, TCSANOW, &old);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot wait for the workload");
        return 0;
}
