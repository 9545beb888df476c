/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.netDevices: devices of the host become the container's. The parent moves them when the container's namespace is there and before
 * any hook runs, so hooks and the command find them in their place. If the creation fails they come back. When a container ends that
 * has made its own namespace the kernel brings physical devices back and removes the others; in a namespace that was
 * given by a path they stay (runtime-spec).
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "container/internal.h"
#include "linux/link.h"

static int open_namespace(const struct zl_plan *plan, pid_t pid)
{
        char path[48];
        int fd;

        for (size_t i = 0; i < plan->n_joins; i++)
                if (plan->joins[i].flag == CLONE_NEWNET)
                        return fcntl(plan->joins[i].fd, F_DUPFD_CLOEXEC, 3);
        snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd;
}

int zl_net_devices_move(const struct zl_plan *plan, pid_t pid, struct zl_net_devices *d,
                        struct zl_error *err)
{
        const struct zl_oci_linux *l = plan->config->linux_;
        _cleanup_nl_ struct zl_nl from = ZL_NL_INIT, to = ZL_NL_INIT;
        int r;

        if (l->n_net_devices == 0)
                return 0;
        d->netns_fd = open_namespace(plan, pid);
        if (d->netns_fd < 0)
                return zl_fail_errno(err, errno, "cannot open the container's network namespace");
        r = zl_nl_open(&from, NETLINK_ROUTE, err);
        if (r == 0)
                r = zl_nl_open_in(&to, NETLINK_ROUTE, d->netns_fd, err);
        for (size_t i = 0; r == 0 && i < l->n_net_devices; i++) {
                d->n_moved = i + 1; /* it may be there also where this fails */
                r = zl_link_move(&from, l->net_devices[i].host_name, &to, d->netns_fd,
                                 zl_oci_net_device_name(&l->net_devices[i]), err);
        }
        if (r < 0)
                zl_error_prefix(err, "linux.netDevices");
        return r;
}

void zl_net_devices_return(const struct zl_plan *plan, struct zl_net_devices *d)
{
        const struct zl_oci_linux *l = plan->config ? plan->config->linux_ : NULL;
        _cleanup_nl_ struct zl_nl inside = ZL_NL_INIT, host = ZL_NL_INIT;
        _cleanup_close_ int own = -EBADF;

        if (d->n_moved == 0)
                return;
        own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        if (own < 0 || zl_nl_open(&host, NETLINK_ROUTE, NULL) < 0 ||
            zl_nl_open_in(&inside, NETLINK_ROUTE, d->netns_fd, NULL) < 0)
                return;
        for (size_t i = d->n_moved; i-- > 0;) {
                const char *name = zl_oci_net_device_name(&l->net_devices[i]);
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

                /* The last may not have come as far as there. */
                if (zl_link_index(&inside, name) > 0 &&
                    zl_link_move(&inside, name, &host, own, l->net_devices[i].host_name, &err) < 0)
                        zl_log_error(ZL_LOG_WARNING, &err, "network device %s",
                                     l->net_devices[i].host_name);
        }
        d->n_moved = 0;
}

void zl_net_devices_done(struct zl_net_devices *d)
{
        d->netns_fd = zl_close(d->netns_fd);
}
