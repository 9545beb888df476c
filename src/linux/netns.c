/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network namespace is what takes the kernel longest of all that a container is made of (half a millisecond, of which the others
 * together take a tenth), so whoever has time may make one beforehand.
 *
 * What may go wrong: the way back into our own namespace. It needs the same rights as the way out, and who is in the wrong
 * one must not go on.
 */
#include "linux/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"

int zl_netns_loopback_up(void)
{
        struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

int zl_netns_new(void)
{
        _cleanup_close_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int made = -EBADF;
        int r;

        /* Into our own first: where that is not allowed there is no way back. */
        if (own < 0 || setns(own, CLONE_NEWNET) < 0 || unshare(CLONE_NEWNET) < 0)
                return -errno;
        r = zl_netns_loopback_up();
        if (r == 0) {
                made = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
                r = made < 0 ? -errno : 0;
        }
        if (setns(own, CLONE_NEWNET) < 0)
                abort();
        return r < 0 ? r : zl_take_fd(made);
}
