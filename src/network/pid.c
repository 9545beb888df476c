/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes by number and start time. What is read from /proc about a number is only believed after a look that the process which was
 * meant is still there: until then the number cannot have been given away.
 */
#include "network/pid.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"

static int is_alive(int pidfd)
{
        struct pollfd p = { .fd = pidfd, .events = POLLIN };

        return poll(&p, 1, 0) == 0;
}

int zl_pid_open(pid_t pid, uint64_t started)
{
        int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

        if (fd < 0)
                return pid > 0 ? -errno : -ESRCH;
        if (started && zl_process_start_time(pid) == started && is_alive(fd))
                return fd;
        zl_close(fd);
        return -ESRCH;
}

int zl_pid_netns(pid_t pid, int pidfd)
{
        char path[32];
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (is_alive(pidfd))
                return fd;
        zl_close(fd);
        return -ESRCH;
}
