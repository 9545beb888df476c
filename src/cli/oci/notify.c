/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sd_notify for containers. The socket of the host is not for the container: it would let it speak as the service in everything. So there is
 * one of ours, in a directory of the container's state that is mounted read-only, and of what comes there READY=1 alone goes on, with
 * MAINPID and a barrier, so that the service manager has heard it before we are gone.
 *
 * `run` in the foreground is what the service manager watches itself, so the pid is our own, and a process beside us waits.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "base/socket.h"
#include "base/strv.h"
#include "base/systemd.h"
#include "cli/oci/oci.h"

#define INSIDE_DIR "/run/notify"
#define SOCKET "notify.sock"

enum { BARRIER_SEC = 5 };

static char *directory(const struct zl_oci *oci, const char *id)
{
        _cleanup_free_ char *state = zl_path_join(oci->root, id);

        return state ? zl_path_join(state, ZL_NOTIFY_DIR) : NULL;
}

int zl_oci_notify_prepare(const struct zl_oci *oci, const char *id, struct zl_oci_config *config,
                          struct zl_oci_notify *n, struct zl_error *err)
{
        static char *options[] = { (char *)"bind",  (char *)"nosuid", (char *)"noexec",
                                   (char *)"nodev", (char *)"ro",     NULL };
        const char *host = getenv("NOTIFY_SOCKET");
        size_t count = config->n_mounts;

        if (!host || !*host || !zl_path_is_name(id))
                return 0;
        n->dir = directory(oci, id);
        n->mounts = calloc(count + 1, sizeof(*n->mounts));
        if (!n->dir || !n->mounts)
                return zl_fail_oom(err);
        if (count > 0)
                memcpy(n->mounts, config->mounts, count * sizeof(*n->mounts));
        n->mounts[count] = (struct zl_oci_mount){
                .destination = (char *)INSIDE_DIR,
                .type = (char *)"bind",
                .source = n->dir,
                .options = options,
        };
        n->config = config;
        n->config_mounts = config->mounts;
        config->mounts = n->mounts;
        config->n_mounts = count + 1;
        return 0;
}

void zl_oci_notify_done(struct zl_oci_notify *n)
{
        if (n->config) {
                n->config->mounts = n->config_mounts;
                n->config->n_mounts--;
        }
        n->config = NULL;
        n->fd = zl_close(n->fd);
        free(n->mounts);
        n->mounts = NULL;
        free(n->dir);
        n->dir = NULL;
}

int zl_oci_notify_listen(const struct zl_oci *oci, const struct zl_container *c,
                         struct zl_oci_notify *n, struct zl_error *err)
{
        const char *host = getenv("NOTIFY_SOCKET");
        _cleanup_free_ char *dir = NULL, *path = NULL;

        if (!host || !*host)
                return 0;
        dir = directory(oci, zl_container_id(c));
        path = dir ? zl_path_join(dir, SOCKET) : NULL;
        if (!path)
                return zl_fail_oom(err);
        /* Anybody inside may tell: ids are the container's affair. */
        n->fd = zl_unix_listen_at(AT_FDCWD, path, SOCK_DGRAM, 0777);
        if (n->fd == -ENOENT) /* created when there was no $NOTIFY_SOCKET */
                return 0;
        return n->fd < 0 ? zl_fail_errno(err, -n->fd, "cannot make %s", path) : 0;
}

static bool says_ready(const char *text)
{
        for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
                if (zl_streq(p, "READY=1") || zl_startswith(p, "READY=1\n"))
                        return true;
        return false;
}

static void forward(int fd, int pidfd, pid_t main_pid)
{
        struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };
        char text[4096], told[64];
        int r;

        for (;;) {
                ssize_t n;

                if (poll(p, 2, -1) < 0 && errno != EINTR)
                        return;
                if (!p[0].revents && p[1].revents)
                        return;
                if (!p[0].revents)
                        continue;
                n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
                text[n < 0 ? 0 : n] = 0;
                if (says_ready(text))
                        break;
        }
        snprintf(told, sizeof(told), "READY=1\nMAINPID=%d", main_pid);
        r = zl_systemd_notify(told);
        if (r < 0)
                zl_warn("cannot tell $NOTIFY_SOCKET that the container is ready: %s", strerror(-r));
        else /* best effort: not every manager knows barriers */
                (void)zl_systemd_barrier(BARRIER_SEC * ZL_NSEC_PER_SEC);
}

void zl_oci_notify_forward(struct zl_oci_notify *n, const struct zl_container *c, bool wait)
{
        pid_t self = getpid(), pid;

        if (n->fd < 0)
                return;
        if (wait) {
                forward(n->fd, zl_container_pidfd(c), zl_container_pid(c));
        } else {
                pid = fork();
                if (pid == 0) {
                        forward(n->fd, zl_container_pidfd(c), self);
                        _exit(0);
                }
                if (pid < 0)
                        zl_warn("nobody waits for the container to be ready: %s", strerror(errno));
        }
        n->fd = zl_close(n->fd);
}
