/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a watch of all workloads has told, and what it has yet to tell: one of these is in each backend's, which only has to find
 * out what is so now. Not for several threads.
 */
#pragma once

#include <sys/inotify.h>

#include "base/map.h"
#include "runtimes/runtime.h"

struct zl_news {
        struct zl_map *known; /* name -> struct zl_status, what was told last */
        struct zl_status *queue;
        size_t n, taken;
};

/* 0 or -ENOMEM, as all that follow but zl_news_next(). zl_news_done() is allowed on a zeroed one. */
int zl_news_init(struct zl_news *news);
void zl_news_done(struct zl_news *news);

/* A status as it is now, which is taken over. Told if it differs from what was told last of its name. */
int zl_news_learn(struct zl_news *news, struct zl_status *status);
/* There is no such workload any more: told as REMOVED if it was ever told. */
int zl_news_forget(struct zl_news *news, const char *name);
/* `all` is a list of everything that is there; the others are forgotten. */
int zl_news_forget_others(struct zl_news *news, const struct zl_status *all, size_t n);
/* True: `*ret` is the caller's. */
bool zl_news_next(struct zl_news *news, struct zl_status *ret);

/* Calls `each` with what an inotify descriptor has to tell now; 0, or the first that is less, of it or as an errno. */
int zl_inotify_each(int fd,
                    int (*each)(void *data, const struct inotify_event *event,
                                struct zl_error *err),
                    void *data, struct zl_error *err);
