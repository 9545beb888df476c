/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that keeps instances ready (see keep.h). Processes for the next instances are forked ahead and wait, each at a
 * socket of its own, for the request that is passed on to them; so a request wakes a process and costs no fork. The next is forked
 * in a pause between requests, so that it takes no time from an instance that runs.
 *
 * What may go wrong: no more processes (the one who asks is told), a waiting one that is killed (another is made, but
 * not before the next request: what kills one may kill the next).
 */
#include "wasm/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/socket.h"
#include "base/strv.h"

enum { STREAMS = 3, PAUSE_MSEC = 2 };

/* A process of ours: one that waits (fd >= 0), or an instance. */
struct child {
        struct child *next;
        pid_t pid;
        int fd, pidfd;
        uint32_t serial;
};

struct keeper {
        const struct zl_keep *keep;
        struct child *children;
        size_t waiting;
        int signals;
        sigset_t mask; /* of instances */
        bool hold;     /* make none ahead: the last one has died */
        char *buffer;
};

/* ---- the instance's side ------------------------------------------------------------------------------------- */

/* The texts behind a message, as a vector of pointers into it. */
static char **cut_texts(char **at, const char *end, uint32_t n)
{
        char **texts = n <= ZL_KEEP_MAX ? calloc(n + 1, sizeof(*texts)) : NULL;

        for (uint32_t i = 0; texts && i < n; i++) {
                char *null = memchr(*at, 0, (size_t)(end - *at));

                if (!null) {
                        free(texts);
                        return NULL;
                }
                texts[i] = *at;
                *at = null + 1;
        }
        return texts;
}

int zl_keep_receive(int fd, char **ret_buffer, char ***ret_args, char ***ret_env)
{
        _cleanup_free_ char *buffer = malloc(ZL_KEEP_MAX), **args = NULL;
        struct zl_keep_message m;
        char **env, *at;
        size_t n_fds = 0;
        ssize_t n;

        if (!buffer)
                return -ENOMEM;
        do
                n = zl_recv_fds(fd, buffer, ZL_KEEP_MAX, NULL, &n_fds, MSG_CMSG_CLOEXEC);
        while (n == -EINTR);
        if (n <= 0)
                return n < 0 ? (int)n : -EPIPE;
        if (n < (ssize_t)sizeof(m))
                return -EPROTO;
        memcpy(&m, buffer, sizeof(m));
        at = buffer + sizeof(m);
        args = cut_texts(&at, buffer + n, m.n_args);
        env = args ? cut_texts(&at, buffer + n, m.n_env) : NULL;
        if (m.kind != ZL_KEEP_RUN || !env) {
                free(env);
                return -EPROTO;
        }
        *ret_buffer = zl_take_ptr(buffer);
        *ret_args = zl_take_ptr(args);
        *ret_env = env;
        return 0;
}

/* Streams that are streams already are left alone: a request never has a descriptor below them. */
static int take_streams(const int fds[STREAMS])
{
        for (int i = 0; i < STREAMS; i++)
                if (dup2(fds[i], i) < 0)
                        return -errno;
        for (int i = 0; i < STREAMS; i++)
                if (fds[i] >= STREAMS)
                        close(fds[i]);
        return 0;
}

/* What belongs to the keeper is none of an instance's: the request's socket stays open elsewhere, and stays deaf here. */
static void forget_keeper(struct keeper *k)
{
        for (const struct child *c = k->children; c; c = c->next) {
                zl_close(c->fd);
                zl_close(c->pidfd);
        }
        zl_close(k->signals);
        if (k->keep->fd >= STREAMS)
                close(k->keep->fd);
        signal(SIGTERM, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        sigprocmask(SIG_SETMASK, &k->mask, NULL);
}

static _Noreturn void be_instance(struct keeper *k, int fd)
{
        struct zl_keep_message m;
        int fds[STREAMS] = { -1, -1, -1 };
        size_t n_fds = STREAMS;
        char **args, **env, *at = k->buffer + sizeof(m);
        ssize_t n;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        forget_keeper(k);
        setsid();
        n = zl_recv_fds(fd, k->buffer, ZL_KEEP_MAX, fds, &n_fds, MSG_CMSG_CLOEXEC);
        close(fd);
        if (n < (ssize_t)sizeof(m))
                _exit(0); /* nobody wants it any more */
        memcpy(&m, k->buffer, sizeof(m));
        args = cut_texts(&at, k->buffer + n, m.n_args);
        env = args ? cut_texts(&at, k->buffer + n, m.n_env) : NULL;
        if (!env || n_fds != STREAMS || take_streams(fds) < 0)
                _exit(125);
        _exit(k->keep->run(k->keep->data, args, env));
}

/* ---- the keeper's side ------------------------------------------------------------------------------------------ */

/* A process that waits, in `*ret`. */
static int fork_ahead(struct keeper *k, struct child **ret)
{
        struct child *c = calloc(1, sizeof(*c));
        int pair[2] = { -1, -1 }, r = 0;

        if (!c)
                return -ENOMEM;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                r = -errno;
        if (r == 0 && (c->pid = fork()) == 0) {
                close(pair[0]);
                be_instance(k, pair[1]);
        }
        if (r == 0 && c->pid < 0)
                r = -errno;
        zl_close(pair[1]);
        if (r < 0) {
                zl_close(pair[0]);
                free(c);
                return r;
        }
        c->fd = pair[0];
        /* Our child, not waited for: the number is its own. */
        c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
        c->next = k->children;
        k->children = c;
        k->waiting++;
        *ret = c;
        return 0;
}

static struct child *find_waiting(const struct keeper *k)
{
        for (struct child *c = k->children; c; c = c->next)
                if (c->fd >= 0)
                        return c;
        return NULL;
}

static void answer(const struct keeper *k, struct zl_keep_message m, int pidfd)
{
        /* Without the other side there is nobody to tell; the loop notices. */
        (void)zl_send_fds(k->keep->fd, &m, sizeof(m), &pidfd, pidfd >= 0, MSG_NOSIGNAL);
}

/* Passes the request on to a process that waits. It may have died meanwhile: then to another. */
static int hand_over(struct keeper *k, size_t len, const int *fds, struct child **ret)
{
        for (;;) {
                struct child *c = find_waiting(k);
                int r = c ? 0 : fork_ahead(k, &c);
                ssize_t n;

                if (r < 0)
                        return r;
                n = c->pidfd < 0 ? -EMFILE
                                 : zl_send_fds(c->fd, k->buffer, len, fds, STREAMS, MSG_NOSIGNAL);
                c->fd = zl_close(c->fd);
                k->waiting--;
                *ret = c;
                if (n >= 0)
                        return 0;
                if (n != -EPIPE && n != -ECONNRESET)
                        return (int)n;
        }
}

/* One request. 0: the other side is gone. */
static int serve_one(struct keeper *k)
{
        struct zl_keep_message m;
        int fds[STREAMS] = { -1, -1, -1 };
        size_t n_fds = STREAMS;
        ssize_t n = zl_recv_fds(k->keep->fd, k->buffer, ZL_KEEP_MAX, fds, &n_fds, MSG_CMSG_CLOEXEC);
        struct child *c = NULL;
        int r;

        if (n <= 0)
                return n == -EINTR ? 1 : (int)n;
        if (n < (ssize_t)sizeof(m) || n_fds != STREAMS) {
                r = -EPROTO;
        } else {
                memcpy(&m, k->buffer, sizeof(m));
                k->hold = false;
                r = hand_over(k, (size_t)n, fds, &c);
                if (r == 0) {
                        c->serial = m.serial;
                        answer(k, (struct zl_keep_message){ ZL_KEEP_STARTED, m.serial, 0, 0, 0 },
                               c->pidfd);
                } else {
                        answer(k, (struct zl_keep_message){ ZL_KEEP_FAILED, m.serial, -r, 0, 0 },
                               -1);
                }
                r = 1;
        }
        for (size_t i = 0; i < n_fds; i++)
                zl_close(fds[i]);
        return r;
}

static void end_child(struct keeper *k, pid_t pid, int status)
{
        for (struct child **p = &k->children; *p; p = &(*p)->next) {
                struct child *c = *p;

                if (c->pid != pid)
                        continue;
                if (c->fd >= 0) {
                        k->waiting--;
                        k->hold = true;
                } else if (c->serial) {
                        int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status)
                                                       : WEXITSTATUS(status);

                        answer(k, (struct zl_keep_message){ ZL_KEEP_ENDED, c->serial, code, 0, 0 },
                               -1);
                }
                *p = c->next;
                zl_close(c->fd);
                zl_close(c->pidfd);
                free(c);
                return;
        }
}

static void reap(struct keeper *k)
{
        struct signalfd_siginfo info;
        int status;
        pid_t pid;

        while (read(k->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
                ;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                end_child(k, pid, status);
}

static int loop(struct keeper *k)
{
        struct pollfd polls[] = { { .fd = k->signals, .events = POLLIN },
                                  { .fd = k->keep->fd, .events = POLLIN } };
        int r = 1;

        while (r > 0) {
                bool more = !k->hold && k->waiting < k->keep->ready;
                struct child *c;
                int n = poll(polls, ZL_ARRAY_SIZE(polls), more ? PAUSE_MSEC : -1);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        k->hold = fork_ahead(k, &c) < 0;
                if (n <= 0)
                        continue;
                if (polls[0].revents)
                        reap(k);
                if (polls[1].revents)
                        r = serve_one(k);
        }
        return r;
}

/* The first process of a pid namespace is deaf to signals it does not handle; with it all instances end. */
static void end(int sig)
{
        _exit(128 + sig);
}

int zl_keep_serve(const struct zl_keep *keep)
{
        struct keeper k = { .keep = keep, .buffer = malloc(ZL_KEEP_MAX) };
        struct sigaction action = { .sa_handler = end };
        sigset_t set;
        int r;

        if (!k.buffer)
                return -ENOMEM;
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGINT, &action, NULL);
        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        sigprocmask(SIG_BLOCK, &set, &k.mask);
        k.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        r = k.signals < 0 ? -errno : loop(&k);
        /* Instances that run end with us (PR_SET_PDEATHSIG). */
        while (k.children) {
                struct child *c = k.children;

                k.children = c->next;
                zl_close(c->fd);
                zl_close(c->pidfd);
                free(c);
        }
        zl_close(k.signals);
        free(k.buffer);
        return r;
}
