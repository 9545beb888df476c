/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user namespace lives as long as somebody is in it, and it can be entered by way of a process alone. So a small process keeps it; which
 * one it is stands in RUNTIME-DIR/world. Each invocation of ours holds a shared lock of that file for as long as it lives. The keeper
 * waits for the exclusive one, looks who else is in the namespace (monitors, zlayer-net), and goes when nobody is: under the lock, so
 * nobody enters a world that ends. While there is somebody it sleeps until one of them ends. It never polls.
 *
 * What may go wrong: user namespaces are forbidden (a sysctl, AppArmor, no CONFIG_USER_NS), which is told with how to allow them.
 */
#include "cli/world.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/path.h"
#include "base/process.h"
#include "linux/userns.h"
#include "network/pid.h"

#define RECORD "world"
enum { OTHERS_MAX = 4096 };

/* ---- the keeper ---------------------------------------------------------------------------------- */

/* pidfds of all processes of our user namespace but ourselves, and up to `max` of them. */
static size_t find_others(struct pollfd *list, size_t max)
{
        struct stat own, st;
        struct dirent *de;
        DIR *dir = opendir("/proc");
        size_t n = 0;

        if (!dir || stat("/proc/self/ns/user", &own) < 0)
                abort();
        while (n < max && (de = readdir(dir))) {
                char path[64];
                uint32_t pid;
                int fd;

                if (zl_parse_u32(de->d_name, 10, &pid) < 0 || (pid_t)pid == getpid())
                        continue;
                snprintf(path, sizeof(path), "/proc/%u/ns/user", pid);
                fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
                if (fd >= 0 && stat(path, &st) == 0 && st.st_ino == own.st_ino)
                        list[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
                else
                        zl_close(fd);
        }
        closedir(dir);
        return n;
}

static void keep(const char *path)
{
        static struct pollfd others[OTHERS_MAX];

        for (;;) {
                int fd = open(path, O_RDWR | O_CLOEXEC);
                size_t n;

                /* Somebody took the directory away: who is in here is on his own. */
                if (fd < 0 || flock(fd, LOCK_EX) < 0)
                        _exit(0);
                n = find_others(others, OTHERS_MAX);
                if (n == 0) {
                        unlink(path);
                        _exit(0);
                }
                zl_close(fd);
                poll(others, n, -1);
                for (size_t i = 0; i < n; i++)
                        zl_close(others[i].fd);
        }
}

/* Tells whether it has its namespace, and goes on when its maps are written. */
static void be_keeper(const char *path, int sync)
{
        char byte = unshare(CLONE_NEWUSER) < 0 ? (char)errno : 0;
        int null;

        if (write(sync, &byte, 1) != 1 || byte || read(sync, &byte, 1) != 1)
                _exit(1);
        null = open("/dev/null", O_RDWR);
        for (int i = 0; i < 3; i++)
                dup2(null, i);
        close_range(3, ~0U, 0);
        setsid();
        signal(SIGHUP, SIG_IGN);
        prctl(PR_SET_NAME, "zlayer-world");
        if (chdir("/") < 0)
                _exit(1);
        keep(path);
}

/* ---- making and entering --------------------------------------------------------------------------- */

static int refuse(int why, struct zl_error *err)
{
        int r = zl_fail_errno(err, why, "cannot make a user namespace");

        zl_error_hint(err, "without being root, containers need user namespaces: see the sysctls "
                           "user.max_user_namespaces, kernel.unprivileged_userns_clone and "
                           "kernel.apparmor_restrict_unprivileged_userns");
        return r;
}

static int map_ids(pid_t pid, struct zl_error *err)
{
        struct zl_oci_id_map storage[ZL_USERNS_OWN_MAX];
        struct zl_userns_maps maps;
        int r = zl_userns_own_maps(storage, &maps, err);

        return r < 0 ? r : zl_userns_write_maps(pid, &maps, err);
}

static int make(const char *path, int record_fd, pid_t *ret, struct zl_error *err)
{
        _cleanup_close_ int ours = -EBADF;
        char byte = 0, text[64];
        int pair[2], r;
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return zl_fail_errno(err, errno, "cannot make a socket");
        ours = pair[0];
        pid = fork();
        if (pid == 0) {
                close(ours);
                be_keeper(path, pair[1]);
        }
        close(pair[1]);
        if (pid < 0)
                return zl_fail_errno(err, errno, "cannot make a process");
        if (read(ours, &byte, 1) != 1 || byte)
                return refuse(byte ? byte : ECHILD, err);
        r = map_ids(pid, err);
        if (r < 0)
                return r; /* and the keeper goes, because nobody tells it to go on */
        r = snprintf(text, sizeof(text), "%d %llu\n", pid,
                     (unsigned long long)zl_process_start_time(pid));
        if (ftruncate(record_fd, 0) < 0 || pwrite(record_fd, text, (size_t)r, 0) != r ||
            write(ours, &byte, 1) != 1)
                return zl_fail_errno(err, errno, "cannot write %s", path);
        *ret = pid;
        return 0;
}

/* A pidfd of the keeper that is on record. */
static int find(int record_fd, pid_t *ret)
{
        char text[64] = "";
        unsigned long long started;
        int pid;

        if (pread(record_fd, text, sizeof(text) - 1, 0) <= 0 ||
            sscanf(text, "%d %llu", &pid, &started) != 2)
                return -ESRCH;
        *ret = pid;
        return zl_pid_open(pid, started);
}

/* With the lock held: nothing ends meanwhile. */
static int find_or_make(const char *path, int record_fd, pid_t *ret, struct zl_error *err)
{
        _cleanup_close_ int pidfd = find(record_fd, ret);

        if (pidfd >= 0)
                return 0;
        if (flock(record_fd, LOCK_EX) < 0)
                return zl_fail_errno(err, errno, "cannot lock %s", path);
        pidfd = find(record_fd, ret); /* somebody was faster */
        if (pidfd < 0) {
                int r = make(path, record_fd, ret, err);

                if (r < 0)
                        return r;
        }
        return flock(record_fd, LOCK_SH) < 0 ? zl_fail_errno(err, errno, "cannot lock %s", path)
                                             : 0;
}

/* The record, with a shared lock of the file that has that name now. */
static int open_record(const char *path, struct zl_error *err)
{
        for (;;) {
                _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
                                              0600);
                struct stat ours, now;

                if (fd < 0)
                        return zl_fail_errno(err, errno, "cannot open %s", path);
                if (flock(fd, LOCK_SH) < 0 || fstat(fd, &ours) < 0)
                        return zl_fail_errno(err, errno, "cannot lock %s", path);
                if (stat(path, &now) == 0 && now.st_ino == ours.st_ino)
                        return zl_take_fd(fd);
        }
}

int zl_world_enter(const char *runtime_dir, char **argv, struct zl_error *err)
{
        _cleanup_free_ char *path = zl_path_join(runtime_dir, RECORD);
        _cleanup_close_ int dir = zl_open_dir_at(AT_FDCWD, runtime_dir, 0700, err);
        _cleanup_close_ int record = dir < 0 ? dir : -EBADF, ns = -EBADF;
        char name[64];
        pid_t keeper;
        int r;

        if (dir < 0)
                return dir;
        if (!path)
                return zl_fail_oom(err);
        record = open_record(path, err);
        r = record < 0 ? record : find_or_make(path, record, &keeper, err);
        if (r < 0)
                return r;
        snprintf(name, sizeof(name), "/proc/%d/ns/user", keeper);
        ns = open(name, O_RDONLY | O_CLOEXEC);
        if (ns < 0 || setns(ns, CLONE_NEWUSER) < 0)
                return zl_fail_errno(err, errno, "cannot enter the user namespace of process %d",
                                     keeper);
        if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
                return zl_fail_errno(err, errno, "cannot be root of our user namespace");
        zl_fd_set_cloexec(record, false); /* the lock is ours as long as we live */
        execv("/proc/self/exe", argv);
        return zl_fail_errno(err, errno, "cannot run this program again");
}
