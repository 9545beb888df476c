/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workload that keeps instances ready (wasm/keep.h): its process is asked for one over a socket, which is its standard input.
 * Such an instance is a child of that process and not of ours, so its end comes as a message, and signals go to its pidfd.
 *
 * The process is inside the container and not believed: what it says is checked, and if it says nothing nobody waits but the one
 * who wants the instance. If it ends, the container does, and all its instances.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/socket.h"
#include "base/strv.h"
#include "monitor/server.h"
#include "wasm/keep.h"

enum { KILLED = 128 + SIGKILL };

static struct zl_server_exec *find_kept(const struct zl_server *s, uint32_t serial)
{
        for (struct zl_server_exec *e = s->execs; e; e = e->next)
                if (e->kept && !e->ended && e->kept == serial)
                        return e;
        return NULL;
}

/* ---- what it says -------------------------------------------------------------------------------------------- */

/* The number of the process in our namespace, which only a look at the descriptor tells. 0: it is no pidfd, or the process is gone. */
static pid_t pid_of(int pidfd)
{
        char path[40];
        _cleanup_free_ char *text = NULL;
        const char *line;
        int pid = 0;

        snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
        if (zl_read_file_at(AT_FDCWD, path, 4096, &text, NULL) < 0)
                return 0;
        line = strstr(text, "\nPid:");
        return line && sscanf(line, "\nPid: %d", &pid) == 1 && pid > 0 ? pid : 0;
}

static void started(struct zl_server *s, struct zl_server_exec *exec, int pidfd)
{
        exec->pidfd = pidfd;
        exec->pid = pid_of(pidfd);
        if (!exec->conn)
                return;
        zl_wire_begin(&s->message, ZL_WIRE_EXEC_STARTED, exec->asked);
        zl_wire_put_i32(&s->message, exec->pid);
        zl_conn_send(s, exec->conn);
}

static void failed(struct zl_server *s, struct zl_server_exec *exec, int errnum)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_conn *conn = exec->conn;

        exec->conn = NULL;
        zl_server_exec_end(s, exec, KILLED);
        if (!conn || conn->dead)
                return;
        zl_fail_errno(&err, errnum > 0 ? errnum : EIO, "cannot make an instance in %s", s->name);
        conn->role = ZL_CONN_CONTROL;
        zl_conn_send_error(s, conn, exec->asked, &err);
}

static void take_message(struct zl_server *s, const struct zl_keep_message *m, int fd)
{
        struct zl_server_exec *exec = find_kept(s, m->serial);

        if (exec && m->kind == ZL_KEEP_STARTED && fd >= 0 && exec->pidfd < 0) {
                started(s, exec, fd);
                return;
        }
        zl_close(fd);
        if (exec && m->kind == ZL_KEEP_FAILED && exec->pidfd < 0)
                failed(s, exec, m->value);
        else if (exec && m->kind == ZL_KEEP_ENDED && exec->pidfd >= 0)
                zl_server_exec_end(s, exec, m->value & 0xff);
}

static void end_all(struct zl_server *s)
{
        zl_source_close(s, &s->keeper);
        for (struct zl_server_exec *e = s->execs; e; e = e->next) {
                if (!e->kept || e->ended)
                        continue;
                if (e->pidfd < 0)
                        failed(s, e, EPIPE);
                else
                        zl_server_exec_end(s, e, KILLED);
        }
}

static void keeper_ready(struct zl_server *s, struct zl_source *source, uint32_t events)
{
        struct zl_keep_message m;
        ssize_t n;

        (void)events;
        for (;;) {
                int fd = -EBADF;
                size_t n_fds = 1;

                n = zl_recv_fds(source->fd, &m, sizeof(m), &fd, &n_fds, 0);
                if (n == -EAGAIN)
                        return;
                if (n <= 0)
                        break;
                if (n == (ssize_t)sizeof(m))
                        take_message(s, &m, n_fds == 1 ? fd : -EBADF);
                else
                        zl_close(fd);
        }
        end_all(s);
}

/* ---- what it is asked ------------------------------------------------------------------------------------------ */

int zl_server_keep_open(struct zl_server *s, uint32_t most, int *ret_theirs)
{
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        s->keeper = (struct zl_source){ .fd = pair[0], .ready = keeper_ready };
        s->keep_most = most;
        *ret_theirs = pair[1];
        return zl_fd_set_nonblock(pair[0], true);
}

int zl_server_keep_watch(struct zl_server *s)
{
        return zl_source_set(s, &s->keeper, EPOLLIN);
}

/* Of a command that runs the module (the workload's own command with other arguments): those arguments. NULL: it is another. */
static char *const *arguments_of(const struct zl_server *s, char *const *argv)
{
        size_t n = zl_strv_len(s->config->process->args);

        return zl_strv_len(argv) >= n && zl_streq(argv[n - 1], s->config->process->args[n - 1])
                       ? argv + n
                       : NULL;
}

static size_t length_of(char *const *texts)
{
        size_t len = 0;

        ZL_STRV_FOREACH(text, texts)
                len += strlen(*text) + 1;
        return len;
}

bool zl_server_keep_takes(const struct zl_server *s, const struct zl_server_keep *what)
{
        char *const *args = s->keeper.fd >= 0 && s->phase == ZL_LIFE_RUNNING
                                    ? arguments_of(s, what->argv)
                                    : NULL;

        return args && sizeof(struct zl_keep_message) + length_of(args) + length_of(what->env) <=
                               ZL_KEEP_MAX;
}

int zl_server_keep_put(struct zl_buf *buf, uint32_t serial, char *const *args, char *const *env)
{
        const struct zl_keep_message m = { .kind = ZL_KEEP_RUN,
                                           .serial = serial,
                                           .n_args = (uint32_t)zl_strv_len(args),
                                           .n_env = (uint32_t)zl_strv_len(env) };

        zl_buf_put(buf, &m, sizeof(m));
        ZL_STRV_FOREACH(text, args)
                zl_buf_put(buf, *text, strlen(*text) + 1);
        ZL_STRV_FOREACH(text, env)
                zl_buf_put(buf, *text, strlen(*text) + 1);
        return zl_buf_error(buf) < 0 ? -ENOMEM : 0;
}

static size_t count_kept(const struct zl_server *s)
{
        size_t n = 0;

        for (const struct zl_server_exec *e = s->execs; e; e = e->next)
                n += e->kept && !e->ended;
        return n;
}

int zl_server_keep_run(struct zl_server *s, const struct zl_server_keep *what,
                       struct zl_server_exec *exec, struct zl_error *err)
{
        char *const *args = arguments_of(s, what->argv);
        _cleanup_buf_ struct zl_buf buf = ZL_BUF_INIT(ZL_KEEP_MAX);
        uint32_t serial = s->keep_serial + 1 ?: 1; /* 0 is none */
        ssize_t n;

        if (count_kept(s) >= s->keep_most) {
                int r = zl_fail(err, ZL_E_STATE, 0, "%s: %u instances run already", s->name,
                                s->keep_most);

                zl_error_hint(err, "wasm.max_instances is how many may");
                return r;
        }
        s->keep_serial = serial;
        if (zl_server_keep_put(&buf, serial, args, what->env) < 0)
                return zl_fail_oom(err);
        n = zl_send_fds(s->keeper.fd, buf.data, buf.len, what->stdio, 3,
                        MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
                return zl_fail_errno(err, (int)-n, "cannot ask for an instance in %s", s->name);
        exec->kept = serial;
        return 0;
}

void zl_server_keep_signal(const struct zl_server_exec *exec, int sig)
{
        if (exec->pidfd >= 0)
                syscall(SYS_pidfd_send_signal, exec->pidfd, sig, NULL, 0);
}
