/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets belong to the namespace they are made in, wherever they are used. So nothing of a published port or of a question to the host's
 * resolvers is special: the child outside makes the socket, we bind or connect it. What listens outside is carried on by the relay, as
 * connections to the host's loopback are anyway; the programs (pasta, slirp4netns) have nothing to do with ports.
 *
 * What may go wrong: no program, no /dev/net/tun, a host without a route to anywhere (pasta wants one). Each is told with what the program
 * said.
 */
#include "network/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/socket.h"
#include "linux/netns.h"

enum { SAID_MAX = 400, READY_MSEC = 20000 };

struct request {
        int family, type; /* 0, 0: open the way out */
};

struct answer {
        int error;           /* errno, or 0 */
        char said[SAID_MAX]; /* by the program; or what is missing */
};

bool zl_outside_is_needed(void)
{
        _cleanup_close_ int net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), user = -EBADF;

        if (net >= 0)
                user = ioctl(net, NS_GET_USERNS);
        return user < 0 && errno == EPERM;
}

/* ---- the programs ---------------------------------------------------------------------------------- */

static bool find(const char *name, char ret[ZL_OUTSIDE_PATH_SIZE])
{
        static const char *const directories[] = { "/usr/bin", "/bin", "/usr/local/bin",
                                                   "/run/current-system/sw/bin" };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(directories); i++) {
                snprintf(ret, ZL_OUTSIDE_PATH_SIZE, "%s/%s", directories[i], name);
                if (access(ret, X_OK) == 0)
                        return true;
        }
        return false;
}

const char *zl_outside_find(char ret_path[ZL_OUTSIDE_PATH_SIZE])
{
        static const char *const programs[] = { "pasta", "slirp4netns" };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(programs); i++)
                if (find(programs[i], ret_path))
                        return programs[i];
        return NULL;
}

/* With standard error in a pipe; `keep` are descriptors that it gets under their own numbers. -1 ends them. */
static pid_t execute(char *const argv[], int error_fd, const int *keep)
{
        static char *const env[] = { NULL };
        pid_t pid = fork();
        int null;

        if (pid != 0)
                return pid;
        for (; keep && *keep >= 0; keep++)
                zl_fd_set_cloexec(*keep, false);
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(error_fd, STDERR_FILENO);
        signal(SIGPIPE, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        execve(argv[0], argv, env);
        _exit(127);
}

/* The last line that it wrote. */
static void read_said(int fd, char said[SAID_MAX])
{
        char text[4096];
        ssize_t n = read(fd, text, sizeof(text) - 1);
        char *line;

        text[ZL_MAX(n, (ssize_t)0)] = 0;
        while ((line = strrchr(text, '\n')) && !line[1])
                *line = 0;
        snprintf(said, SAID_MAX, "%s", line ? line + 1 : text);
}

/* Goes into the background when the namespace is set up, and leaves its process id in a file. A pidfd of it. */
static int start_pasta(const char *path, int netns_fd, const char *pid_file, struct answer *answer)
{
        char netns[32];
        char *argv[] = { (char *)(uintptr_t)path,
                         (char *)"-q",
                         (char *)"--config-net",
                         (char *)"-t",
                         (char *)"none",
                         (char *)"-u",
                         (char *)"none",
                         (char *)"-T",
                         (char *)"none",
                         (char *)"-U",
                         (char *)"none",
                         (char *)"--no-map-gw",
                         (char *)"-P",
                         (char *)(uintptr_t)pid_file,
                         (char *)"--netns-only",
                         (char *)"--netns",
                         (char *)(uintptr_t)netns,
                         NULL };
        _cleanup_free_ char *text = NULL;
        int fds[2], status = -1, fd = -ESRCH;
        uint32_t number;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        snprintf(netns, sizeof(netns), "/proc/self/fd/%d", netns_fd);
        unlink(pid_file);
        pid = execute(argv, fds[1], (const int[]){ netns_fd, -1 });
        close(fds[1]);
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        read_said(fds[0], answer->said);
        close(fds[0]);
        if (status == 0 && zl_read_file_at(AT_FDCWD, pid_file, 32, &text, NULL) == 0 &&
            zl_parse_u32(strtok(text, "\n"), 10, &number) == 0)
                fd = (int)syscall(SYS_pidfd_open, (pid_t)number, 0);
        unlink(pid_file);
        return fd;
}

/* Says when it is ready. Ends by a pipe, whose end stays open here: also when we are killed. A pidfd of it. */
static int start_slirp(const char *path, const char *netns, struct answer *answer)
{
        char ready_arg[32], exit_arg[32], byte = 0;
        char *argv[] = { (char *)(uintptr_t)path,
                         (char *)"--configure",
                         (char *)"--mtu=65520",
                         (char *)"--disable-host-loopback",
                         (char *)"--enable-ipv6",
                         (char *)"--netns-type=path",
                         ready_arg,
                         exit_arg,
                         (char *)(uintptr_t)netns,
                         (char *)"tap0",
                         NULL };
        int said[2], ready[2], life[2];
        struct pollfd wait;
        pid_t pid;

        if (pipe2(said, O_CLOEXEC | O_NONBLOCK) < 0 || pipe2(ready, O_CLOEXEC) < 0 ||
            pipe2(life, O_CLOEXEC) < 0)
                return -errno;
        snprintf(ready_arg, sizeof(ready_arg), "--ready-fd=%d", ready[1]);
        snprintf(exit_arg, sizeof(exit_arg), "--exit-fd=%d", life[0]);
        pid = execute(argv, said[1], (const int[]){ ready[1], life[0], -1 });
        close(ready[1]);
        close(life[0]);
        close(said[1]);
        wait = (struct pollfd){ .fd = ready[0], .events = POLLIN };
        if (poll(&wait, 1, READY_MSEC) == 1 && read(ready[0], &byte, 1) == 1 && byte == '1') {
                close(ready[0]);
                close(said[0]); /* it warns at times, and may; nobody reads on */
                return (int)syscall(SYS_pidfd_open, pid, 0);
        }
        close(ready[0]);
        close(life[1]);
        while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        read_said(said[0], answer->said);
        close(said[0]);
        return -ECHILD;
}

/* ---- the child outside ------------------------------------------------------------------------------ */

struct porter {
        int socket;
        int way; /* pidfd of the program; -EBADF: there is none */
        pid_t parent;
        char pid_file[ZL_OUTSIDE_PATH_SIZE];
};

static void open_way(struct porter *p, struct answer *answer)
{
        char pasta[ZL_OUTSIDE_PATH_SIZE], slirp[ZL_OUTSIDE_PATH_SIZE], netns[64];
        bool has_pasta = find("pasta", pasta), has_slirp = find("slirp4netns", slirp);
        _cleanup_close_ int fd = -EBADF;

        snprintf(netns, sizeof(netns), "/proc/%d/ns/net", p->parent);
        fd = open(netns, O_RDONLY | O_CLOEXEC);
        /* As a descriptor: pasta gives rights up before it looks, and may not look at us then. */
        if (has_pasta)
                p->way = start_pasta(pasta, fd, p->pid_file, answer);
        /* pasta wants a host that has a way out itself. */
        if (p->way < 0 && has_slirp)
                p->way = start_slirp(slirp, netns, answer);
        answer->error = p->way >= 0 ? 0 : has_pasta || has_slirp ? EIO : ENOENT;
}

static void serve(struct porter *p)
{
        struct request request;
        size_t none = 0;

        while (zl_recv_fds(p->socket, &request, sizeof(request), NULL, &none, 0) ==
               sizeof(request)) {
                _cleanup_close_ int fd = -EBADF;
                struct answer answer = { 0 };

                if (request.family) {
                        fd = socket(request.family, request.type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                        answer.error = fd < 0 ? errno : 0;
                } else {
                        open_way(p, &answer);
                }
                if (zl_send_fds(p->socket, &answer, sizeof(answer), &fd, fd >= 0, 0) < 0)
                        break;
                none = 0;
        }
        if (p->way >= 0)
                syscall(SYS_pidfd_send_signal, p->way, SIGTERM, NULL, 0);
        _exit(0);
}

static void be_porter(int socket, const char *dir, pid_t parent)
{
        struct porter p = { .socket = socket, .way = -EBADF };

        p.parent = parent;
        snprintf(p.pid_file, sizeof(p.pid_file), "%s/pasta.pid", dir);
        prctl(PR_SET_NAME, "zlayer-net-out");
        serve(&p);
}

/* ---- we ------------------------------------------------------------------------------------------------ */

static int ask(int outside, const struct request *request, struct answer *answer, int *ret_fd)
{
        size_t n = 1;
        ssize_t len;

        if (zl_send_fds(outside, request, sizeof(*request), NULL, 0, 0) < 0)
                return -EPIPE;
        *ret_fd = -EBADF;
        len = zl_recv_fds(outside, answer, sizeof(*answer), ret_fd, &n, 0);
        if (len != sizeof(*answer))
                return -EPIPE;
        return -answer->error;
}

int zl_outside_socket(int outside, int family, int type)
{
        const struct request request = { family, type };
        struct answer answer;
        int fd, r;

        if (outside < 0) {
                fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                return fd < 0 ? -errno : fd;
        }
        r = ask(outside, &request, &answer, &fd);
        return r < 0 ? r : fd;
}

static int explain(int r, const struct answer *answer, struct zl_error *err)
{
        if (r == -ENOENT) {
                r = zl_fail(err, ZL_E_CONFIGURATION, 0, ZL_OUTSIDE_NOTHING);
                zl_error_hint(err, "install the package passt or slirp4netns; the host's network "
                                   "(network_mode: host) needs nothing");
                return r;
        }
        r = zl_fail(err, ZL_E_CONFIGURATION, 0, "networks have no way out: %s",
                    *answer->said ? answer->said : "the program for it failed without a word");
        zl_error_hint(err, "the host's network (network_mode: host) needs nothing");
        return r;
}

int zl_outside_move(const char *dir, int *ret, struct zl_error *err)
{
        const struct request request = { 0 };
        struct answer answer = { 0 };
        pid_t self = getpid(), pid;
        int pair[2], ignored, r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return zl_fail_errno(err, errno, "cannot make a socket");
        pid = fork();
        if (pid == 0) {
                close(pair[0]);
                be_porter(pair[1], dir, self);
        }
        close(pair[1]);
        if (pid < 0 || unshare(CLONE_NEWNET) < 0) {
                r = zl_fail_errno(err, errno, "cannot make a network namespace");
                close(pair[0]);
                return r;
        }
        r = zl_netns_loopback_up();
        if (r < 0) {
                zl_fail_errno(err, -r, "cannot set up the loopback interface");
        } else {
                r = ask(pair[0], &request, &answer, &ignored);
                r = r < 0 ? explain(r, &answer, err) : 0;
        }
        if (r < 0)
                close(pair[0]);
        else
                *ret = pair[0];
        return r;
}
