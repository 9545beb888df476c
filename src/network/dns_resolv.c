/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's resolv.conf, followed: a laptop changes its network, a VPN comes up, and containers go on resolving without being started anew.
 *
 * The directories are watched and not the file, because those who write it replace it; and it is often a link (systemd-resolved), so
 * those of its target are watched, too. What may go wrong: the file is gone or empty for a moment. Then there are no resolvers for
 * that moment, and the next event brings them back.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fd.h"
#include "network/dns_internal.h"

enum { FILE_MAX = 1 << 16 };

static const uint32_t changes = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_TO |
                                IN_MOVED_FROM | IN_ONLYDIR;

static int watch_directory_of(int fd, const char *path)
{
        _cleanup_free_ char *directory = strdup(path);
        char *slash = directory ? strrchr(directory, '/') : NULL;

        if (!slash)
                return directory ? -EINVAL : -ENOMEM;
        slash[slash == directory] = 0; /* "/file" is in "/" */
        return inotify_add_watch(fd, directory, changes) < 0 ? -errno : 0;
}

/* Where a link leads, also if nothing is there yet. NULL: it is none. */
static char *target_of(const char *path)
{
        char target[PATH_MAX];
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        const char *slash = strrchr(path, '/');
        char *ret;

        if (n < 0)
                return NULL;
        target[n] = 0;
        if (target[0] == '/')
                return strdup(target);
        return asprintf(&ret, "%.*s/%s", (int)(slash - path), path, target) < 0 ? NULL : ret;
}

/* First the watches, then the file: a change in between is an event. Watching a directory again changes nothing. */
static int watch_and_read(struct zl_dns_server *s)
{
        _cleanup_free_ char *target = target_of(s->resolv_path),
                            *last = realpath(s->resolv_path, NULL), *text = NULL;
        _cleanup_resolv_conf_ struct zl_resolv_conf conf = ZL_RESOLV_CONF_INIT;
        int r = watch_directory_of(s->resolv.fd, s->resolv_path);

        /* These may be missing: then the link itself is what changes. */
        if (target)
                watch_directory_of(s->resolv.fd, target);
        if (last)
                watch_directory_of(s->resolv.fd, last);
        /* What cannot be read, be it for want of memory, names no resolvers: the next event looks again. */
        if (zl_read_file_at(AT_FDCWD, s->resolv_path, FILE_MAX, &text, NULL) >= 0)
                (void)zl_resolv_conf_parse(text, &conf);
        zl_dns_server_set_resolvers(s, &conf);
        return r;
}

static void resolv_ready(struct zl_dns_server *s, struct zl_dns_source *source, uint32_t events)
{
        char ignored[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

        while (read(source->fd, ignored, sizeof(ignored)) > 0)
                ;
        watch_and_read(s);
}

int zl_dns_server_follow(struct zl_dns_server *s, const char *path, struct zl_error *err)
{
        _cleanup_free_ char *copy = strdup(path);
        int r;

        if (!copy)
                return zl_fail_oom(err);
        if (path[0] != '/')
                return zl_fail(err, ZL_E_INVALID, 0, "%s is no absolute path", path);
        zl_dns_server_unfollow(s);
        s->resolv = (struct zl_dns_source){ .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
                                            .ready = resolv_ready };
        if (s->resolv.fd < 0)
                return zl_fail_errno(err, errno, "cannot watch %s", path);
        s->resolv_path = zl_take_ptr(copy);
        r = watch_and_read(s);
        if (r >= 0)
                r = zl_dns_source_set(s, &s->resolv, EPOLLIN);
        return r < 0 ? zl_fail_errno(err, -r, "cannot watch %s", path) : 0;
}

void zl_dns_server_unfollow(struct zl_dns_server *s)
{
        zl_dns_source_close(&s->resolv);
        free(zl_take_ptr(s->resolv_path));
}
