/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections into the network of a workload, and the health check of an image.
 *
 * A socket belongs to the network namespace in which it was made, wherever it is used later. So a thread of its own enters the
 * namespace, makes the socket, begins to connect, and ends: nothing has to be undone, and no other thread is ever in
 * a strange network. The process is found through its monitor, whose child it is: as long as the monitor says that it
 * lives its number is its own, and it is asked again after the namespace is in our hands.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/strv.h"
#include "network/ip.h"
#include "runtimes/native.h"
#include "runtimes/native_network.h"

enum { THREAD_STACK = 64 * 1024 };

struct call {
        int netns;
        union zl_sockaddr address;
        socklen_t address_len;
        int fd, error;
};

static void *make_socket(void *data)
{
        struct call *call = data;

        if (setns(call->netns, CLONE_NEWNET) < 0) {
                call->error = errno;
                return NULL;
        }
        call->fd = socket(call->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                          0);
        if (call->fd < 0) {
                call->error = errno;
                return NULL;
        }
        /* What fails at once is told by SO_ERROR too, so that the caller has one way to learn it. */
        if (connect(call->fd, &call->address.any, call->address_len) < 0 && errno != EINPROGRESS)
                call->error = errno;
        return NULL;
}

static int run_in_thread(struct call *call)
{
        pthread_attr_t attr;
        pthread_t thread;
        int r = pthread_attr_init(&attr);

        if (r != 0)
                return -r;
        pthread_attr_setstacksize(&attr, THREAD_STACK);
        r = pthread_create(&thread, &attr, make_socket, call);
        pthread_attr_destroy(&attr);
        if (r != 0)
                return -r;
        pthread_join(thread, NULL);
        if (call->error != 0)
                call->fd = zl_close(call->fd);
        return -call->error;
}

static int parse_address(const char *host, uint16_t port, struct call *call)
{
        struct zl_ip ip;
        int r = zl_ip_parse(host, &ip);

        if (r == 0)
                call->address_len = zl_ip_to_sockaddr(&ip, port, &call->address);
        return r;
}

/* Its first process and how often it has been started, as cheaply as can be: thousands of checks come here. */
static int find_process(struct native *n, const char *name, pid_t *ret_pid, uint32_t *ret_life,
                        struct zl_error *err)
{
        struct zl_monitor_status m = ZL_MONITOR_STATUS_INIT;
        struct zl_status status;
        int r;

        if (zl_monitor_glance(n->run_fd, name, &m) == 1) {
                *ret_pid = m.state <= ZL_STATE_STOPPING ? m.pid : 0;
                *ret_life = m.record.generation;
                zl_monitor_status_done(&m);
                return 0;
        }
        r = native_look(n, name, zl_now_monotonic() + NATIVE_LOOK_SPAN, &status, err);
        if (r < 0)
                return r;
        *ret_pid = status.pid;
        *ret_life = status.generation;
        zl_status_done(&status);
        return 0;
}

/* A descriptor with which a thread can enter the network of the workload. Looked at once more, the process of that number has
 * been the workload's all the time; one that has just ended has no network. */
static int open_network(struct native *n, const char *name, struct zl_error *err)
{
        _cleanup_close_ int fd = -EBADF;
        uint32_t life, life_again = 0;
        pid_t pid, again = 0;
        char path[64];
        int r = find_process(n, name, &pid, &life, err);

        if (r < 0)
                return r;
        if (pid > 0) {
                snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
                fd = open(path, O_RDONLY | O_CLOEXEC);
        }
        if (fd < 0 || find_process(n, name, &again, &life_again, NULL) < 0 || again != pid ||
            life_again != life)
                return zl_fail(err, ZL_E_STATE, 0, "%s does not run", name);
        return zl_take_fd(fd);
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
        _cleanup_close_ int netns = open_network(n, name, err);
        int r;

        if (netns < 0)
                return netns;
        if (host && parse_address(host, port, &call) < 0)
                return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is no address", host);
        if (!host)
                own_address(n, name, port, &call);
        call.netns = netns;
        r = run_in_thread(&call);
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
