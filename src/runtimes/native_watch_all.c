/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All native workloads in one watch: the watches of each, and the directories in which they come and go. A workload is there
 * when its status.json is; that file is written again when it is started again, and its directory is renamed away when it
 * is removed. So inotify tells when to open a watch for one life of a workload, and the monitor tells the rest.
 *
 * What may go wrong: the kernel's queue of names overflows. Then everything is looked at again; what was told is not told twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/map.h"
#include "base/path.h"
#include "runtimes/native.h"
#include "runtimes/news.h"
#include "runtimes/status.h"

struct member {
        char *name;
        struct zl_watch *watch; /* of its present life; NULL: that is over */
        int directory;          /* inotify's number */
};

struct all_watch {
        struct zl_watch base;
        struct zl_runtime_ops ops; /* the runtime's, with our own watch functions */
        struct zl_runtime *rt;
        struct native *n;
        int epoll_fd, inotify_fd, top; /* top: inotify's number of the containers' directory */
        struct zl_map *members;
        struct zl_news news;
};

static void member_free(void *p)
{
        struct member *m = p;

        zl_watch_close(m->watch);
        free(m->name);
        free(m);
}

/* Opens the watch of a life that has begun, if it has. */
static int open_life(struct all_watch *w, struct member *m)
{
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = m };

        zl_watch_close(m->watch);
        m->watch = NULL;
        /* Half made, or gone again: its directory tells when that changes. */
        if (native_watch_open(w->rt, m->name, &m->watch, NULL) < 0)
                return 0;
        return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, zl_watch_fd(m->watch), &e) < 0 ? -errno : 0;
}

/* inotify's number of a workload's directory: always the same for the same directory. */
static int watch_directory(const struct all_watch *w, const char *name)
{
        _cleanup_free_ char *path = zl_path_join(w->n->containers_dir, name);
        int wd = path ? inotify_add_watch(w->inotify_fd, path, IN_MOVED_TO | IN_ONLYDIR) : -1;

        return wd >= 0 ? wd : path ? -errno : -ENOMEM;
}

static int add_member(struct all_watch *w, const char *name)
{
        struct zl_ident ident;
        struct member *m;

        if (zl_ident_parse(name, &ident) < 0 || zl_map_has(w->members, name))
                return 0;
        m = calloc(1, sizeof(*m));
        if (!m || !(m->name = strdup(name))) {
                free(m);
                return -ENOMEM;
        }
        m->directory = watch_directory(w, name);
        if (m->directory < 0 || zl_map_put(w->members, name, m) < 0) {
                int r = m->directory == -ENOENT ? 0 : m->directory < 0 ? m->directory : -ENOMEM;

                member_free(m);
                return r;
        }
        return open_life(w, m);
}

static int remove_member(struct all_watch *w, const char *name)
{
        struct member *m = zl_map_take(w->members, name);
        int r;

        if (!m)
                return 0;
        inotify_rm_watch(w->inotify_fd, m->directory);
        r = zl_news_forget(&w->news, m->name);
        member_free(m);
        return r;
}

/* Those that are gone (another directory under the name is another workload), and the lives that have begun. */
static int look_at_members(struct all_watch *w, const struct zl_status *all, size_t n)
{
        const char *name;
        size_t pos = 0;
        void *value;
        int r = 0;

        while (r == 0 && zl_map_next(w->members, &pos, &name, &value)) {
                struct member *m = value;
                bool there = false;

                for (size_t i = 0; i < n && !there; i++)
                        there = zl_streq(all[i].name, name);
                if (!there || watch_directory(w, name) != m->directory)
                        r = remove_member(w, name);
                else if (!m->watch)
                        r = open_life(w, m);
        }
        return r;
}

static int look_again(struct all_watch *w, struct zl_error *err)
{
        struct zl_status *all;
        size_t n;
        int r = native_list(w->rt, NULL, &all, &n, err);

        if (r < 0)
                return r;
        r = look_at_members(w, all, n);
        for (size_t i = 0; r == 0 && i < n; i++)
                r = add_member(w, all[i].name);
        zl_status_free_all(all, n);
        return r < 0 ? zl_fail_errno(err, -r, "cannot watch all workloads") : 0;
}

static struct member *by_directory(struct all_watch *w, int directory)
{
        size_t pos = 0;
        const char *name;
        void *value;

        while (zl_map_next(w->members, &pos, &name, &value))
                if (((struct member *)value)->directory == directory)
                        return value;
        return NULL;
}

static int on_name(void *data, const struct inotify_event *e, struct zl_error *err)
{
        struct all_watch *w = data;
        struct member *m;
        int r = 0;

        if (e->mask & IN_Q_OVERFLOW)
                return look_again(w, err);
        if (e->wd == w->top && e->mask & (IN_MOVED_FROM | IN_DELETE))
                r = remove_member(w, e->name);
        else if (e->wd == w->top && e->mask & (IN_CREATE | IN_MOVED_TO))
                r = add_member(w, e->name);
        else if (e->len && zl_streq(e->name, NATIVE_STATUS) && (m = by_directory(w, e->wd)))
                r = open_life(w, m);
        return r < 0 ? zl_fail_errno(err, -r, "cannot watch all workloads") : 0;
}

static int read_member(struct all_watch *w, struct member *m)
{
        struct zl_status s;
        int r = native_watch_next(m->watch, &s, NULL);

        if (r < 0) {
                zl_watch_close(m->watch);
                m->watch = NULL;
        }
        return r <= 0 ? 0 : zl_news_learn(&w->news, &s);
}

static int all_next(struct zl_watch *base, struct zl_status *ret, struct zl_error *err)
{
        struct all_watch *w = (struct all_watch *)base;
        struct epoll_event e;
        int r = 0;

        while (!zl_news_next(&w->news, ret)) {
                if (epoll_wait(w->epoll_fd, &e, 1, 0) != 1)
                        return 0;
                if (e.data.ptr) {
                        r = read_member(w, e.data.ptr);
                        r = r < 0 ? zl_fail_oom(err) : 0;
                } else {
                        r = zl_inotify_each(w->inotify_fd, on_name, w, err);
                }
                if (r < 0)
                        return r;
        }
        return 1;
}

static int all_fd(const struct zl_watch *base)
{
        return ((const struct all_watch *)base)->epoll_fd;
}

static void all_close(struct zl_watch *base)
{
        struct all_watch *w = (struct all_watch *)base;

        if (w->members)
                zl_map_free(w->members);
        zl_news_done(&w->news);
        zl_close(w->inotify_fd);
        zl_close(w->epoll_fd);
        free(w);
}

int native_watch_open_all(struct zl_runtime *rt, struct zl_watch **ret, struct zl_error *err)
{
        struct all_watch *w = calloc(1, sizeof(*w));
        struct epoll_event e = { .events = EPOLLIN };
        int r;

        if (!w)
                return zl_fail_oom(err);
        w->ops = *rt->ops;
        w->ops.watch_fd = all_fd;
        w->ops.watch_next = all_next;
        w->ops.watch_close = all_close;
        w->base.ops = &w->ops;
        w->rt = rt;
        w->n = native_from(rt);
        w->members = zl_map_new(member_free);
        w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        w->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (w->inotify_fd >= 0)
                w->top = inotify_add_watch(w->inotify_fd, w->n->containers_dir,
                                           IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                                                   IN_ONLYDIR);
        if (zl_news_init(&w->news) < 0 || !w->members || w->epoll_fd < 0 || w->inotify_fd < 0 ||
            w->top < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->inotify_fd, &e) < 0)
                r = zl_fail_errno(err, errno ? errno : ENOMEM, "cannot watch all workloads");
        else
                r = look_again(w, err);
        if (r < 0) {
                all_close(&w->base);
                return r;
        }
        *ret = &w->base;
        return 0;
}
