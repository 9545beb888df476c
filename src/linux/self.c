/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Against CVE-2019-5736. A container may have us execute "/proc/self/exe" (as its command, as the interpreter of a
 * script, through a link that an exec of "/bin/sh" follows). That is this very program, then running inside,
 * no longer protected by being undumpable, and whoever opens /proc/PID/exe there has our file on the host; once nobody
 * runs it any more it can be written.
 *
 * The name cannot be recognised: links and "#!" lines can be exchanged between look and exec. So the file itself is put out of
 * reach: opened through a mount that is read-only, /proc/PID/exe leads to that mount and a write fails with EROFS, for ever.
 * The mount is a detached clone that belongs to no namespace, so nobody can remount it. It costs two calls and
 * one execution of a small static program; a copy in memory would cost its size on top, and is the fallback.
 *
 * When the last descriptor of a detached mount is closed the kernel takes the mount apart and waits for a grace period of RCU: 0.1 ms
 * where all is quiet, several ms on a busy machine. Closed by exec, that would be the first thing that happens; so the descriptor
 * stays open, and the caller closes it when it waits for something anyway.
 */
#include "linux/self.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/forbid.h"
#include "base/parse.h"

static const char self[] = "/proc/self/exe";

/* A detached read-only clone of the mount, with our file as its root. */
static int open_readonly(void)
{
        struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                               MOUNT_ATTR_NODEV };
        _cleanup_close_ int fd = -EBADF;

        if (zl_forbidden("mount_api"))
                return -ENOSYS;
        fd = (int)syscall(SYS_open_tree, AT_FDCWD, self, OPEN_TREE_CLONE);
        if (fd < 0 || syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
                return -errno;
        return zl_take_fd(fd);
}

/* A copy that nobody can change any more. */
static int open_copy(void)
{
        _cleanup_close_ int from = openat(AT_FDCWD, self, O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int to = memfd_create("zlayer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        struct stat st;
        off_t done = 0;

        if (from < 0 || to < 0 || fstat(from, &st) < 0)
                return -errno;
        while (done < st.st_size) {
                ssize_t n = sendfile(to, from, NULL, (size_t)(st.st_size - done));

                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                done += n;
        }
        if (fcntl(to, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return -errno;
        return zl_take_fd(to);
}

/* The kernel names what it executed by descriptor, and so tells which one that was: "3". NULL: it was executed by name. */
static const char *executed_name(void)
{
        const char *name = (const char *)(uintptr_t)getauxval(AT_EXECFN);

        return name ? zl_startswith(name, "/dev/fd/") : NULL;
}

static bool is_protected(void)
{
        _cleanup_close_ int fd = -EBADF;
        struct statvfs fs;
        int seals;

        if (statvfs(self, &fs) == 0 && fs.f_flag & ST_RDONLY)
                return true;
        /* Ids of a container are ours or less: what we may not write, it may not. */
        if (geteuid() != 0 && faccessat(AT_FDCWD, self, W_OK, AT_EACCESS) < 0)
                return true;
        /* A copy has no name: whoever executed it, the kernel calls it by its descriptor. */
        if (!executed_name())
                return false;
        fd = openat(AT_FDCWD, self, O_RDONLY | O_CLOEXEC);
        seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
        return seals >= 0 && seals & F_SEAL_WRITE;
}

/* That descriptor. From here on it is close-on-exec, as all that is ours. */
static int executed_fd(void)
{
        const char *digits = executed_name();
        struct stat own, other;
        uint32_t fd;

        if (!digits || zl_parse_u32(digits, 10, &fd) < 0 || stat(self, &own) < 0 ||
            fstat((int)fd, &other) < 0 || own.st_ino != other.st_ino ||
            own.st_dev != other.st_dev || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
                return -EBADF;
        return (int)fd;
}

int zl_self_protect(char **argv, int *ret_fd, struct zl_error *err)
{
        int fd;

        if (is_protected()) {
                *ret_fd = executed_fd();
                return 0;
        }
        fd = open_readonly();
        if (fd < 0)
                fd = open_copy();
        if (fd < 0)
                return zl_fail_errno(err, -fd, "cannot protect %s from containers", self);
        syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
        zl_fail_errno(err, errno, "cannot execute a protected copy of %s", self);
        close(fd);
        return -EIO;
}
