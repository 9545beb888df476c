/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Launching a monitor, and telling whether one lives.
 *
 * The program is spawned with one inherited descriptor (3): a socket over which the launch request goes, with the
 * directories as descriptors beside it, and over which the answer comes. It forks once and the first process ends, so the
 * monitor is not a child of ours: nobody here has to wait for it, and it does not notice our end.
 *
 * Life is told by a POSIX record lock on monitor.pid: the kernel drops it when the monitor dies, whatever happens to pids,
 * it is not inherited by the monitor's children, and looking at it (F_GETLK) takes nothing from anybody.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/socket.h"
#include "base/spawn.h"
#include "monitor/client_internal.h"

/* What the monitor gets of our environment. It stands in /proc for the life of the container, and ours may hold secrets. */
static const char *const kept_variables[] = { "PATH", "ZL_FORBID" };

enum { KEPT = ZL_ARRAY_SIZE(kept_variables) };

static int make_env(char *env[KEPT + 1])
{
        size_t n = 0;

        for (size_t i = 0; i < KEPT; i++) {
                const char *value = getenv(kept_variables[i]);

                if (value && asprintf(&env[n++], "%s=%s", kept_variables[i], value) < 0) {
                        env[--n] = NULL;
                        return -ENOMEM;
                }
        }
        return 0;
}

/* name NULL: one that waits. Behind is room for a name to come. */
static int spawn(const char *program, const char *name, int fd, pid_t *ret_pid)
{
        char room[ZL_MONITOR_NAME_ROOM + 1] = "";
        char *argv[] = { (char *)"zlayer-monitor",
                         (char *)(uintptr_t)(name ? name : ZL_MONITOR_WAITING), room, NULL };
        char *env[KEPT + 1] = { NULL };
        int r = make_env(env);

        memset(room, ' ', sizeof(room) - 1);
        if (r >= 0)
                r = zl_spawn_detached(program, argv, env, fd, ret_pid);
        for (size_t i = 0; i < KEPT; i++)
                free(env[i]);
        return r;
}

void zl_monitor_reap(struct zl_monitor *m)
{
        while (m->first > 0 && waitpid(m->first, NULL, 0) < 0 && errno == EINTR)
                ;
        m->first = 0;
}

int zl_monitor_start_ahead(const char *program, const char *name, struct zl_monitor **ret,
                           struct zl_error *err)
{
        _cleanup_(zl_monitor_closep) struct zl_monitor *m = NULL;
        _cleanup_close_ int theirs = -EBADF;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return zl_fail_errno(err, errno, "cannot make a socket");
        theirs = pair[1];
        r = zl_monitor_new(pair[0], &m, err);
        if (r < 0)
                return r;
        r = spawn(program, name, theirs, &m->first);
        if (r < 0) {
                m->first = 0;
                return zl_fail(err, ZL_E_CONFIGURATION, -r, "cannot run the monitor %s", program);
        }
        /* For one that may wait long. */
        if (!name)
                zl_monitor_reap(m);
        *ret = zl_take_ptr(m);
        return 0;
}

bool zl_monitor_is_waiting(const struct zl_monitor *m)
{
        struct pollfd p = { .fd = m->fd, .events = POLLIN };

        /* It says nothing before it is asked; that its end is closed can be read. */
        return poll(&p, 1, 0) == 0;
}

int zl_monitor_prepare(struct zl_monitor *m, const struct zl_monitor_preparation *what,
                       struct zl_error *err)
{
        int fds[] = { what->state_dir_fd, what->run_dir_fd }, r;

        zl_monitor_begin(m, ZL_WIRE_PREPARE);
        zl_wire_put_str(&m->out, what->name);
        zl_wire_put_strv(&m->out, what->lower_dirs);
        zl_wire_put_str(&m->out, what->upper_dir);
        zl_wire_put_str(&m->out, what->work_dir);
        r = zl_monitor_send(m, fds, ZL_ARRAY_SIZE(fds), err);
        m->prepared = r >= 0;
        return r;
}

static int send_launch(struct zl_monitor *m, const struct zl_monitor_launch *launch,
                       struct zl_error *err)
{
        int fds[ZL_LAUNCH_FDS];
        size_t n = 0;

        zl_monitor_begin(m, ZL_WIRE_LAUNCH);
        zl_wire_put_launch(&m->out, launch);
        fds[n++] = launch->state_dir_fd;
        fds[n++] = launch->run_dir_fd;
        if (launch->seccomp_fd >= 0)
                fds[n++] = launch->seccomp_fd;
        return zl_monitor_send(m, fds, n, err);
}

static int check_launch(const char *program, const struct zl_monitor_launch *launch,
                        struct zl_error *err)
{
        if (!program || !launch->name || !launch->bundle || launch->bundle[0] != '/' ||
            launch->state_dir_fd < 0 || launch->run_dir_fd < 0)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "launching a monitor needs a program, a name, an absolute bundle "
                               "and two directories");
        return 0;
}

static int receive_answer(struct zl_monitor *m, const char *program,
                          const struct zl_monitor_launch *launch, struct zl_error *err)
{
        /* Hooks may take long, and a mount may hang: no limit. The monitor's death is noticed. */
        int r = zl_monitor_receive(m, -1, NULL, err);

        if (r < 0) {
                zl_error_prefix(err, "monitor of %s", launch->name);
                return r;
        }
        if (m->head.type == ZL_WIRE_ERROR)
                return zl_wire_get_error(&m->wire, err);
        if (m->head.type != ZL_WIRE_OK || zl_wire_finish(&m->wire) < 0)
                return zl_fail(err, ZL_E_PROTOCOL, 0, "%s is not our monitor", program);
        return 0;
}

int zl_monitor_launch(const char *program, const struct zl_monitor_launch *launch,
                      struct zl_monitor **ret, struct zl_error *err)
{
        _cleanup_(zl_monitor_closep) struct zl_monitor *m = launch->ahead;
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        int r = check_launch(program, launch, err), did = 0;

        if (r == 0 && !m)
                r = zl_monitor_start_ahead(program, launch->name, &m, err);
        if (r == 0)
                r = send_launch(m, launch, err);
        if (r < 0)
                return r;
        m->prepared = false;
        /* The answer comes from the second process; the first ends at once. */
        zl_monitor_reap(m);
        /* Also if that fails the answer is waited for: then it can be stopped. */
        if (launch->meanwhile)
                did = launch->meanwhile(launch->meanwhile_data, &why);
        r = receive_answer(m, program, launch, err);
        if (r == 0 && did < 0)
                zl_error_move(err, &why);
        r = r < 0 ? r : did;
        if (r == 0 && ret)
                *ret = zl_take_ptr(m);
        return r;
}

int zl_monitor_is_alive(int run_dir_fd, pid_t *ret_pid, struct zl_error *err)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        _cleanup_close_ int fd = openat(run_dir_fd, ZL_MONITOR_PID_FILE,
                                        O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

        if (fd < 0 && errno == ENOENT)
                return 0;
        if (fd < 0 || fcntl(fd, F_GETLK, &lock) < 0)
                return zl_fail_errno(err, errno, "cannot look at %s", ZL_MONITOR_PID_FILE);
        if (lock.l_type == F_UNLCK)
                return 0;
        if (ret_pid)
                *ret_pid = lock.l_pid;
        return 1;
}

bool zl_monitor_glance_holds(int fd, uint64_t sum)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        uint64_t now;

        /* The lock last: a monitor that had gone before has put its end on record. */
        return pread(fd, &now, sizeof(now), ZL_MONITOR_NOTE_AT) == sizeof(now) && now == sum &&
               fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int zl_monitor_glance_open(int dirfd, const char *name, struct zl_monitor_status *ret, int *ret_fd,
                           uint64_t *ret_sum)
{
        struct zl_monitor_status status = ZL_MONITOR_STATUS_INIT;
        char path[NAME_MAX + sizeof("/" ZL_MONITOR_PID_FILE)];
        char buf[sizeof(uint64_t) + ZL_MONITOR_NOTE_MAX];
        const char *message = buf + sizeof(uint64_t);
        _cleanup_close_ int fd = -EBADF;
        struct zl_wire_head head;
        struct zl_wire wire;
        uint64_t sum;
        ssize_t n;

        if (snprintf(path, sizeof(path), "%s/%s", name, ZL_MONITOR_PID_FILE) >= (int)sizeof(path))
                return 0;
        fd = openat(dirfd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        n = fd < 0 ? -1 : pread(fd, buf, sizeof(buf), ZL_MONITOR_NOTE_AT);
        if (n <= (ssize_t)sizeof(sum))
                return 0;
        memcpy(&sum, buf, sizeof(sum));
        n -= (ssize_t)sizeof(sum);
        if (sum != zl_wire_sum(message, (size_t)n) || !zl_monitor_glance_holds(fd, sum) ||
            zl_wire_open(&wire, message, (size_t)n, &head) < 0 || head.type != ZL_WIRE_STATE)
                return 0;
        zl_wire_get_status(&wire, &status);
        if (zl_wire_finish(&wire) < 0) {
                zl_monitor_status_done(&status);
                return 0;
        }
        *ret = status;
        *ret_fd = zl_take_fd(fd);
        *ret_sum = sum;
        return 1;
}

int zl_monitor_glance(int dirfd, const char *name, struct zl_monitor_status *ret)
{
        _cleanup_close_ int fd = -EBADF;
        uint64_t sum;

        return zl_monitor_glance_open(dirfd, name, ret, &fd, &sum);
}

int zl_monitor_clean_run_dir(int run_dir_fd, struct zl_error *err)
{
        static const char *const names[] = { ZL_MONITOR_SOCKET, ZL_MONITOR_PID_FILE };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(names); i++) {
                if (unlinkat(run_dir_fd, names[i], 0) < 0 && errno != ENOENT)
                        return zl_fail_errno(err, errno, "cannot remove %s", names[i]);
        }
        return 0;
}
