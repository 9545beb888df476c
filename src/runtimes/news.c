/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See news.h. What is told is remembered whole, so that looking at everything once more, after a connection broke or a queue
 * ran over, tells nothing twice.
 */
#include "runtimes/news.h"

#include <errno.h>
#include <unistd.h>

#include "runtimes/status.h"

static void free_status(void *p)
{
        zl_status_done(p);
        free(p);
}

int zl_news_init(struct zl_news *news)
{
        news->known = zl_map_new(free_status);
        return news->known ? 0 : -ENOMEM;
}

void zl_news_done(struct zl_news *news)
{
        for (size_t i = news->taken; i < news->n; i++)
                zl_status_done(&news->queue[i]);
        free(news->queue);
        if (news->known)
                zl_map_free(news->known);
        *news = (struct zl_news){ 0 };
}

static bool differs(const struct zl_status *a, const struct zl_status *b)
{
        return a->state != b->state || a->generation != b->generation || a->pid != b->pid ||
               a->exit_code != b->exit_code || a->started_at != b->started_at ||
               a->finished_at != b->finished_at || a->stop_requested != b->stop_requested;
}

/* Takes `s` over. */
static int push(struct zl_news *news, struct zl_status *s)
{
        struct zl_status *grown = reallocarray(news->queue, news->n + 1, sizeof(*grown));

        if (!grown) {
                zl_status_done(s);
                return -ENOMEM;
        }
        news->queue = grown;
        grown[news->n++] = *s;
        return 0;
}

int zl_news_learn(struct zl_news *news, struct zl_status *s)
{
        const struct zl_status *old = zl_map_get(news->known, s->name);
        struct zl_status *copy;

        if (old && !differs(old, s)) {
                zl_status_done(s);
                return 0;
        }
        copy = malloc(sizeof(*copy));
        if (!copy || zl_status_copy(s, copy) < 0) {
                free(copy);
                zl_status_done(s);
                return -ENOMEM;
        }
        if (zl_map_put(news->known, s->name, copy) < 0) {
                free_status(copy);
                zl_status_done(s);
                return -ENOMEM;
        }
        return push(news, s);
}

int zl_news_forget(struct zl_news *news, const char *name)
{
        struct zl_status *s = zl_map_take(news->known, name), last;

        if (!s)
                return 0;
        last = *s;
        free(s);
        last.state = ZL_STATE_REMOVED;
        return push(news, &last);
}

int zl_news_forget_others(struct zl_news *news, const struct zl_status *all, size_t n)
{
        const char *name;
        size_t pos = 0;
        void *value;
        int r = 0;

        while (r == 0 && zl_map_next(news->known, &pos, &name, &value)) {
                bool there = false;

                for (size_t i = 0; i < n && !there; i++)
                        there = zl_streq(all[i].name, name);
                if (!there)
                        r = zl_news_forget(news, name);
        }
        return r;
}

bool zl_news_next(struct zl_news *news, struct zl_status *ret)
{
        if (news->taken == news->n)
                return false;
        *ret = news->queue[news->taken++];
        if (news->taken == news->n)
                news->taken = news->n = 0;
        return true;
}

int zl_inotify_each(int fd,
                    int (*each)(void *data, const struct inotify_event *event,
                                struct zl_error *err),
                    void *data, struct zl_error *err)
{
        _Alignas(struct inotify_event) char buf[4096];
        ssize_t n = read(fd, buf, sizeof(buf));
        int r = 0;

        for (ssize_t at = 0; r >= 0 && at < n;) {
                const struct inotify_event *e = (const void *)(buf + at);

                r = each(data, e, err);
                at += (ssize_t)sizeof(*e) + e->len;
        }
        return r < 0 ? r : 0;
}
