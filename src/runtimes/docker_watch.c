/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching Docker containers: the engine's event stream says that something happened, its document says what is now. A watch
 * is one descriptor over three sources: the stream, a timer for taking it up again when the engine was restarted, and our own
 * records, in which the ends stand that the engine does not have. The stream is opened before the first look, so nothing
 * falls between the two; after a break everything is looked at again and only what differs is told.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "runtimes/docker.h"
#include "runtimes/news.h"
#include "runtimes/status.h"

#define RETRY_FIRST (100 * ZL_NSEC_PER_MSEC)
#define RETRY_MAX (5 * ZL_NSEC_PER_SEC)

struct docker_watch {
        struct zl_watch base;
        struct docker *d;
        char *name; /* NULL: all */
        int epoll_fd, timer_fd, inotify_fd;
        struct zl_docker_conn *conn; /* NULL: lost, the timer runs */
        int64_t retry;               /* the next pause */
        struct zl_news news;
        bool over;
};

/* ---- what is told ------------------------------------------------------------------------------------ */

static int look(struct docker_watch *w, const char *name, struct zl_error *err)
{
        _cleanup_error_ struct zl_error own = ZL_ERROR_INIT;
        struct zl_status s;
        int r = docker_status(w->d, name, &s, &own);

        if (r == 0)
                r = zl_news_learn(&w->news, &s);
        else if (own.code == ZL_E_NOT_FOUND && !w->name)
                return zl_news_forget(&w->news, name);
        else if (own.code == ZL_E_NOT_FOUND)
                w->over = true;
        else if (own.code != ZL_E_NOT_FOUND)
                return 0; /* the engine is away: the stream breaks, too, and then all is looked at */
        if (r < 0)
                zl_error_move(err, &own);
        return r;
}

static int look_at_all(struct docker_watch *w, struct zl_error *err)
{
        struct zl_status *all;
        size_t n;
        int r;

        if (w->name)
                return look(w, w->name, err);
        r = docker_list(&w->d->rt, NULL, &all, &n, err);
        if (r < 0)
                return r;
        r = zl_news_forget_others(&w->news, all, n);
        for (size_t i = 0; i < n; i++) {
                struct zl_status s = all[i];

                all[i] = (struct zl_status){ 0 };
                if (r == 0)
                        r = zl_news_learn(&w->news, &s);
                else
                        zl_status_done(&s);
        }
        free(all);
        return r < 0 ? zl_fail_oom(err) : 0;
}

/* ---- sources ----------------------------------------------------------------------------------------- */

static int add_source(struct docker_watch *w, int fd)
{
        struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

        return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static int open_stream(struct docker_watch *w, struct zl_error *err)
{
        _cleanup_free_ char *filters = docker_filters(w->d, true), *path = NULL;
        int r;

        if (!filters)
                return zl_fail_oom(err);
        path = docker_path(w->d, "/events?filters=%s", filters);
        const struct zl_docker_request q = { .method = "GET", .path = path };

        r = docker_open(w->d, &q, &w->conn, err);
        if (r < 0)
                return r;
        r = add_source(w, zl_docker_fd(w->conn));
        return r < 0 ? zl_fail_errno(err, -r, "cannot watch Docker") : 0;
}

static void lose_stream(struct docker_watch *w)
{
        struct itimerspec when = { .it_value = { w->retry / ZL_NSEC_PER_SEC,
                                                 w->retry % ZL_NSEC_PER_SEC } };

        zl_docker_conn_free(w->conn); /* closing takes it out of the set */
        w->conn = NULL;
        timerfd_settime(w->timer_fd, 0, &when, NULL);
        w->retry = ZL_MIN(w->retry * 2, RETRY_MAX);
}

static int take_up_again(struct docker_watch *w)
{
        uint64_t n;

        if (w->conn || read(w->timer_fd, &n, sizeof(n)) != sizeof(n))
                return 0;
        if (open_stream(w, NULL) < 0 || look_at_all(w, NULL) < 0) {
                lose_stream(w);
                return 0;
        }
        w->retry = RETRY_FIRST;
        return 0;
}

static bool matters(const char *action)
{
        static const char *const those[] = { "create", "start",   "die",     "stop",
                                             "kill",   "pause",   "unpause", "destroy",
                                             "rename", "restart", "oom" };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(those); i++)
                if (zl_streq(those[i], action))
                        return true;
        return false;
}

static int on_event(struct docker_watch *w, const json_t *event, struct zl_error *err)
{
        const json_t *attributes = json_object_get(json_object_get(event, "Actor"), "Attributes");
        const char *name = docker_name(zl_json_str(attributes, "name", NULL));
        const char *old = docker_name(zl_json_str(attributes, "oldName", NULL));
        int r = 0;

        if (!matters(zl_json_str(event, "Action", "")))
                return 0;
        if (old && (!w->name || zl_streq(old, w->name)))
                r = look(w, old, err);
        if (r == 0 && name && (!w->name || zl_streq(name, w->name)))
                r = look(w, name, err);
        return r;
}

static int read_stream(struct docker_watch *w, struct zl_error *err)
{
        while (w->conn) {
                _cleanup_json_ json_t *event = NULL;
                int r = zl_docker_next_json(w->conn, &event, NULL);

                if (r == 0)
                        return 0;
                if (r < 0)
                        lose_stream(w);
                else if ((r = on_event(w, event, err)) < 0)
                        return r;
        }
        return 0;
}

/* An end that stands in our records alone. */
static int on_record(void *data, const struct inotify_event *e, struct zl_error *err)
{
        struct docker_watch *w = data;
        size_t len = e->len ? strlen(e->name) : 0;
        _cleanup_free_ char *name = len > 5 && zl_streq(e->name + len - 5, ".json")
                                            ? strndup(e->name, len - 5)
                                            : NULL;

        return name && *name != '.' && (!w->name || zl_streq(name, w->name)) ? look(w, name, err)
                                                                             : 0;
}

/* ---- the handle -------------------------------------------------------------------------------------- */

static int make_sources(struct docker_watch *w)
{
        int r;

        w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        w->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (w->epoll_fd < 0 || w->timer_fd < 0 || w->inotify_fd < 0 ||
            inotify_add_watch(w->inotify_fd, w->d->state_dir, IN_MOVED_TO) < 0)
                return -errno;
        r = add_source(w, w->timer_fd);
        return r < 0 ? r : add_source(w, w->inotify_fd);
}

static int watch_open(struct docker *d, const char *name, struct zl_watch **ret,
                      struct zl_error *err)
{
        struct docker_watch *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return zl_fail_oom(err);
        w->base.ops = d->rt.ops;
        w->d = d;
        w->retry = RETRY_FIRST;
        w->epoll_fd = w->timer_fd = w->inotify_fd = -EBADF;
        r = zl_news_init(&w->news) == 0 && zl_replace_str(&w->name, name) == 0 ? make_sources(w)
                                                                               : -ENOMEM;
        if (r < 0)
                r = zl_fail_errno(err, -r, "cannot watch Docker");
        else
                r = open_stream(w, err);
        if (r == 0)
                r = look_at_all(w, err);
        if (r < 0) {
                docker_watch_close(&w->base);
                return r;
        }
        *ret = &w->base;
        return 0;
}

int docker_watch_open(struct zl_runtime *rt, const char *name, struct zl_watch **ret,
                      struct zl_error *err)
{
        return watch_open(docker_from(rt), name, ret, err);
}

int docker_watch_open_all(struct zl_runtime *rt, struct zl_watch **ret, struct zl_error *err)
{
        return watch_open(docker_from(rt), NULL, ret, err);
}

int docker_watch_fd(const struct zl_watch *base)
{
        return ((const struct docker_watch *)base)->epoll_fd;
}

static bool take(struct docker_watch *w, struct zl_status *ret)
{
        if (!zl_news_next(&w->news, ret))
                return false;
        w->over = w->name && zl_status_is_over(ret);
        return true;
}

int docker_watch_next(struct zl_watch *base, struct zl_status *ret, struct zl_error *err)
{
        struct docker_watch *w = (struct docker_watch *)base;
        int r;

        if (take(w, ret))
                return 1;
        if (w->over)
                return -ENODATA;
        r = take_up_again(w);
        if (r == 0)
                r = zl_inotify_each(w->inotify_fd, on_record, w, err);
        if (r == 0)
                r = read_stream(w, err);
        if (r < 0)
                return r;
        if (take(w, ret))
                return 1;
        return w->over ? -ENODATA : 0;
}

void docker_watch_close(struct zl_watch *base)
{
        struct docker_watch *w = (struct docker_watch *)base;

        zl_docker_conn_free(w->conn);
        zl_news_done(&w->news);
        zl_close(w->inotify_fd);
        zl_close(w->timer_fd);
        zl_close(w->epoll_fd);
        free(w->name);
        free(w);
}
