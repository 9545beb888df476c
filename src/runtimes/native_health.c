/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections into the network of a workload, and the health check of an image.
 *
 * A socket belongs to the network namespace in which it was made, wherever it is used later. So the calling thread enters the
 * namespace, makes the socket, begins to connect, none of which waits for anything, and comes back: nothing else is
 * done there, and what other threads do meanwhile, to start programs included, is done at home. A thread that ends there in place
 * of coming back would be simpler, and costs more than all the rest. The process is found through its monitor, whose child it
 * is: as long as the monitor says that it lives its number is its own, and that is looked at again when the process is in our hands.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/strv.h"
#include "base/thread.h"
#include "network/ip.h"
#include "runtimes/native.h"
#include "runtimes/native_network.h"

struct call {
        union zl_sockaddr address;
        socklen_t address_len;
        int fd;
};

static int make_socket(struct call *call)
{
        call->fd = socket(call->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                          0);
        if (call->fd < 0)
                return -errno;
        /* What fails at once is told by SO_ERROR too, so that the caller has one way to learn it. */
        if (connect(call->fd, &call->address.any, call->address_len) == 0 || errno == EINPROGRESS)
                return 0;
        return -errno;
}

/* In the network of a process; -ESRCH if it has none any more. */
static int make_socket_there(int pidfd, int home, struct call *call)
{
        int r;

        if (setns(pidfd, CLONE_NEWNET) < 0)
                return -errno;
        r = make_socket(call);
        /* In the wrong namespace nothing may go on; without memory it takes a moment. */
        while (setns(home, CLONE_NEWNET) < 0) {
                if (errno != ENOMEM)
                        abort();
                usleep(1000);
        }
        if (r < 0)
                call->fd = zl_close(call->fd);
        return r;
}

/* For who has no rights on the network of this machine, and so no way back into it: a thread that ends there. */
struct errand {
        struct call *call;
        int pidfd, result;
};

static void *run_errand(void *data)
{
        struct errand *e = data;

        e->result = setns(e->pidfd, CLONE_NEWNET) < 0 ? -errno : make_socket(e->call);
        if (e->result < 0)
                e->call->fd = zl_close(e->call->fd);
        return NULL;
}

static int make_socket_by_thread(int pidfd, struct call *call)
{
        struct errand e = { .call = call, .pidfd = pidfd };
        pthread_t thread;
        int r = zl_thread_start(&thread, run_errand, &e);

        if (r < 0)
                return r;
        pthread_join(thread, NULL);
        return e.result;
}

static int parse_address(const char *host, uint16_t port, struct call *call)
{
        struct zl_ip ip;
        int r = zl_ip_parse(host, &ip);

        if (r == 0)
                call->address_len = zl_ip_to_sockaddr(&ip, port, &call->address);
        return r;
}

/* By its monitor, which is asked once more when the process is in our hands. */
static int ask_for_process(struct native *n, const char *name, struct zl_error *err)
{
        struct zl_status status, again;
        int fd, r = native_look(n, name, zl_now_monotonic() + NATIVE_LOOK_SPAN, &status, err);

        if (r < 0)
                return r;
        fd = status.pid > 0 ? (int)syscall(SYS_pidfd_open, status.pid, 0) : -1;
        if (fd >= 0 &&
            native_look(n, name, zl_now_monotonic() + NATIVE_LOOK_SPAN, &again, NULL) == 0) {
                if (again.pid != status.pid || again.generation != status.generation)
                        fd = zl_close(fd);
                zl_status_done(&again);
        } else {
                fd = zl_close(fd);
        }
        zl_status_done(&status);
        return fd < 0 ? -ESRCH : fd;
}

/* A pidfd of its first process, as cheaply as can be: thousands of checks come here. Looked at once more, the process of that
 * number has been the workload's all the time. -ESRCH: it does not run. */
static int find_process(struct native *n, const char *name, struct zl_error *err)
{
        struct zl_monitor_status m = ZL_MONITOR_STATUS_INIT;
        _cleanup_close_ int fd = -EBADF, note = -EBADF;
        uint64_t sum;

        if (zl_monitor_glance_open(n->run_fd, name, &m, &note, &sum) == 0)
                return ask_for_process(n, name, err);
        if (m.state <= ZL_STATE_STOPPING && m.pid > 0)
                fd = (int)syscall(SYS_pidfd_open, m.pid, 0);
        zl_monitor_status_done(&m);
        return fd >= 0 && zl_monitor_glance_holds(note, sum) ? zl_take_fd(fd) : -ESRCH;
}

/* Its own address, or loopback if it has none. */
static void own_address(struct native *n, const char *name, uint16_t port, struct call *call)
{
        const struct native_record record = { .name = (char *)(uintptr_t)name };
        struct zl_status status = { 0 };

        if (native_network_status(n, &record, &status, NULL) < 0 || !status.ip ||
            parse_address(status.ip, port, call) < 0)
                parse_address("127.0.0.1", port, call);
        zl_status_done(&status);
}

int native_dial(struct zl_runtime *rt, const char *name, const char *host, uint16_t port,
                int *ret_fd, struct zl_error *err)
{
        struct native *n = native_from(rt);
        struct call call = { .fd = -EBADF };
        _cleanup_close_ int home = -EBADF, pidfd = -EBADF;
        int r;

        if (host && parse_address(host, port, &call) < 0)
                return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is no address", host);
        if (!host)
                own_address(n, name, port, &call);
        if (!n->host.facts.rootless)
                home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        if (!n->host.facts.rootless && home < 0)
                return zl_fail_errno(err, errno, "cannot open our own network");
        pidfd = find_process(n, name, err);
        if (pidfd < 0 && pidfd != -ESRCH)
                return pidfd;
        if (pidfd < 0)
                r = pidfd;
        else
                r = home < 0 ? make_socket_by_thread(pidfd, &call)
                             : make_socket_there(pidfd, home, &call);
        if (r == -ESRCH)
                return zl_fail(err, ZL_E_STATE, 0, "%s does not run", name);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot connect to port %u of %s", port, name);
        *ret_fd = call.fd;
        return 0;
}

/* ---- the health check of an image ---------------------------------------------------------------------- */

/* {"CMD", ARGS…}, {"CMD-SHELL", TEXT} or {"NONE"}, as Docker has it. */
static int copy_test(char *const *test, char ***ret)
{
        static char *const shell[] = { (char *)"/bin/sh", (char *)"-c", NULL };
        _cleanup_strv_ char **argv = NULL;

        if (!test || !test[0] || !test[1] || zl_streq(test[0], "NONE"))
                return 0;
        if (zl_streq(test[0], "CMD-SHELL") && zl_strv_extend(&argv, shell) < 0)
                return -ENOMEM;
        if (zl_strv_extend(&argv, test + 1) < 0)
                return -ENOMEM;
        *ret = zl_take_ptr(argv);
        return 0;
}

int native_image_health(struct zl_runtime *rt, const char *name, struct zl_image_health *ret,
                        struct zl_error *err)
{
        _cleanup_image_ struct zl_image *image = NULL;
        struct zl_image_store *images;
        int r = native_images(native_from(rt), &images, err);

        if (r >= 0)
                r = zl_image_lookup(images, name, &image, err);
        if (r < 0 || !image->healthcheck)
                return r;
        if (copy_test(image->healthcheck->test, &ret->test) < 0)
                return zl_fail_oom(err);
        ret->interval = image->healthcheck->interval;
        ret->timeout = image->healthcheck->timeout;
        ret->start_period = image->healthcheck->start_period;
        ret->retries = image->healthcheck->retries;
        return 0;
}
