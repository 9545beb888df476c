/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The composite runtime (see composite.h). Handles (watches, logs, commands, attachments) are those of the target itself and
 * need no wrapping; lists are merged; everything else is one call of the target that the route names.
 *
 * The operating system of an image is asked for before a pull, with the credentials of the pull, so that only a runtime that can
 * run it pulls it. No lock is held while a target is called.
 */
#include "runtimes/composite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <zlayer/spec.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/path.h"
#include "base/strv.h"
#include "oci/reference.h"
#include "runtimes/select.h"
#include "runtimes/status.h"

enum { ROUTE_MAX = 64 };

struct composite {
        struct zl_runtime rt;
        struct zl_runtime_ops ops; /* zl_composite_ops without what no target has */
        struct zl_composite_target targets[ZL_COMPOSITE_MAX];
        size_t n;
        struct zl_runtime_settings settings;
        zl_composite_ask ask;
        int routes_fd;
        pthread_mutex_t lock;   /* guards the next */
        struct zl_map *systems; /* canonical name of an image -> its system */
};

static struct composite *composite_from(struct zl_runtime *rt)
{
        return (struct composite *)rt;
}

static struct zl_composite_target *target_of(struct composite *c, const char *os)
{
        for (size_t i = 0; os && i < c->n; i++)
                if (zl_streq(c->targets[i].os, os))
                        return &c->targets[i];
        return NULL;
}

/* ---- routes ------------------------------------------------------------------------------------------ */

static int save_route(struct composite *c, const char *name, const struct zl_composite_target *t,
                      struct zl_error *err)
{
        int r = zl_write_file_at(c->routes_fd, name, t->os, strlen(t->os), 0600, 0);

        return r < 0 ? zl_fail_errno(err, -r, "cannot note which runtime has %s", name) : 0;
}

static void drop_route(struct composite *c, const char *name)
{
        unlinkat(c->routes_fd, name, 0);
}

/* The runtime that has the workload. ZL_E_NOT_FOUND. */
static int find(struct composite *c, const char *name, struct zl_runtime **ret,
                struct zl_error *err)
{
        _cleanup_free_ char *os = NULL;
        struct zl_composite_target *t = NULL;
        struct zl_status status;

        if (zl_read_file_at(c->routes_fd, name, ROUTE_MAX, &os, NULL) == 0)
                t = target_of(c, os);
        /* Made before there was a composite, or the note is lost. */
        for (size_t i = 0; !t && i < c->n; i++) {
                if (zl_runtime_state(c->targets[i].rt, name, &status, NULL) < 0)
                        continue;
                zl_status_done(&status);
                t = &c->targets[i];
                save_route(c, name, t, NULL);
        }
        if (!t)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "there is no workload %s", name);
        *ret = t->rt;
        return 0;
}

/* ---- what an image is for ---------------------------------------------------------------------------- */

static char *canonical(const char *image)
{
        char *name = NULL;

        return zl_reference_canonical(image, &name, NULL, NULL) < 0 ? strdup(image) : name;
}

static void remember(struct composite *c, const char *image, const char *os)
{
        _cleanup_free_ char *name = canonical(image);
        char *copy = strdup(os);

        pthread_mutex_lock(&c->lock);
        if (!name || !copy || zl_map_put(c->systems, name, copy) < 0)
                free(copy);
        pthread_mutex_unlock(&c->lock);
}

/* What a target says about an image that it has; NULL if it has none. The caller frees. */
static char *system_here(struct zl_runtime *rt, const char *image)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *json = NULL;
        const char *os;

        if (zl_runtime_image_inspect(rt, image, &text, NULL) < 0 ||
            zl_json_parse(text, strlen(text), image, &json, NULL) < 0)
                return NULL;
        if (zl_streq(zl_json_str(json, "kind", ""), "wasm"))
                return strdup("wasm");
        os = zl_json_str(json, "os", zl_json_str(json, "Os", ""));
        return *os ? strdup(zl_streq(os, "darwin") ? "macos" : os) : NULL;
}

/* Without asking anybody outside; NULL if it is not known. The caller frees. */
static char *known_system(struct composite *c, const char *image)
{
        _cleanup_free_ char *name = canonical(image);
        const char *known;
        char *os = NULL;

        if (!name)
                return NULL;
        pthread_mutex_lock(&c->lock);
        known = zl_map_get(c->systems, name);
        if (known)
                os = strdup(known);
        pthread_mutex_unlock(&c->lock);
        for (size_t i = 0; !os && i < c->n; i++)
                os = system_here(c->targets[i].rt, image);
        return os;
}

/* Of those that an image is there for, the one that we run, preferably the primary's. NULL if it does not say. */
static char *choose_system(struct composite *c, const struct zl_image_facts *facts)
{
        if (facts->wasm)
                return strdup("wasm");
        for (size_t i = 0; i < c->n; i++)
                ZL_STRV_FOREACH(os, facts->systems)
                        if (zl_streq(zl_streq(*os, "darwin") ? "macos" : *os, c->targets[i].os))
                                return strdup(c->targets[i].os);
        return facts->systems ? strdup(facts->systems[0]) : NULL;
}

static char *system_by_registry(struct composite *c, const char *image,
                                const struct zl_pull_options *options)
{
        const struct zl_registry_options o = { .plain_http = c->settings.plain_http,
                                               .username = options->username,
                                               .password = options->password };
        struct zl_image_facts facts = { 0 };
        char *os;

        if (c->ask(image, &o, &facts, NULL) < 0)
                return NULL;
        os = choose_system(c, &facts);
        zl_image_facts_done(&facts);
        return os;
}

static int route_to_peer(const char *service, const char *os, const char *reason,
                         struct zl_error *err)
{
        int r = zl_fail(err, ZL_E_ROUTE_TO_PEER, 0,
                        "%s needs %s: %s, and no runtime here is for %s", service, os, reason, os);

        zl_error_hint(err, "run it on a machine with %s", os);
        return r;
}

/* ---- pulling and creating ---------------------------------------------------------------------------- */

static int composite_pull(struct zl_runtime *rt, const char *image,
                          const struct zl_pull_options *options, char **ret_digest,
                          struct zl_error *err)
{
        struct composite *c = composite_from(rt);
        _cleanup_free_ char *os = c->n > 1 ? known_system(c, image) : NULL;
        struct zl_composite_target *t;

        if (!os && c->n > 1 && options->policy != ZL_PULL_NEVER)
                os = system_by_registry(c, image, options);
        t = os ? target_of(c, os) : &c->targets[0];
        if (!t)
                return route_to_peer(image, os, "the image is for it", err);
        if (os)
                remember(c, image, os);
        return zl_runtime_pull(t->rt, image, options, ret_digest, err);
}

static bool wants_wasm(const struct zl_service_spec *s)
{
        return s->wasm ||
               (s->service_type != ZL_SERVICE_STANDARD && s->service_type != ZL_SERVICE_JOB);
}

static int choose(struct composite *c, const struct zl_create_options *o,
                  struct zl_composite_target **ret, struct zl_error *err)
{
        static const char *const systems[] = {
                [ZL_OS_LINUX] = "linux", [ZL_OS_WINDOWS] = "windows", [ZL_OS_MACOS] = "macos"
        };
        _cleanup_free_ char *of_image = known_system(c, o->spec->image.name);
        const char *os = of_image, *reason = "the image is for it";
        struct zl_ident ident;

        /* A WebAssembly artifact runs on any system, so the spec's word does not exclude it. */
        if (o->spec->platform && (!of_image || !zl_streq(of_image, "wasm"))) {
                os = systems[o->spec->platform->os];
                reason = "platform.os asks for it";
        } else if (!os && wants_wasm(o->spec)) {
                os = "wasm";
                reason = "its service_type asks for it";
        }
        *ret = os ? target_of(c, os) : &c->targets[0];
        if (*ret)
                return 0;
        return route_to_peer(zl_ident_parse(o->name, &ident) == 0 ? ident.service : o->name, os,
                             reason, err);
}

static int composite_create(struct zl_runtime *rt, const struct zl_create_options *options,
                            struct zl_error *err)
{
        struct composite *c = composite_from(rt);
        struct zl_composite_target *t;
        struct zl_runtime *other;
        int r;

        if (find(c, options->name, &other, NULL) == 0)
                return zl_fail(err, ZL_E_EXISTS, 0, "cannot create %s: the name is taken",
                               options->name);
        r = choose(c, options, &t, err);
        /* The note comes first: a workload without one would be looked for everywhere. */
        if (r == 0)
                r = save_route(c, options->name, t, err);
        if (r < 0)
                return r;
        r = zl_runtime_create(t->rt, options, err);
        if (r < 0)
                drop_route(c, options->name);
        return r;
}

/* ---- one workload ------------------------------------------------------------------------------------ */

/* Each finds the target and calls it. */
#define FORWARD(operation, call_, parameters, arguments)                                           \
        static int composite_##operation parameters                                                \
        {                                                                                          \
                struct zl_runtime *to;                                                             \
                int r = find(composite_from(rt), name, &to, err);                                  \
                                                                                                   \
                return r < 0 ? r : call_ arguments;                                                \
        }

FORWARD(start, zl_runtime_start, (struct zl_runtime * rt, const char *name, struct zl_error *err),
        (to, name, err))
FORWARD(stop, zl_runtime_stop,
        (struct zl_runtime * rt, const char *name, int64_t grace, struct zl_error *err),
        (to, name, grace, err))
FORWARD(kill, zl_runtime_kill,
        (struct zl_runtime * rt, const char *name, int sig, bool all, struct zl_error *err),
        (to, name, sig, all, err))
FORWARD(pause, zl_runtime_pause,
        (struct zl_runtime * rt, const char *name, bool pause, struct zl_error *err),
        (to, name, pause, err))
FORWARD(state, zl_runtime_state,
        (struct zl_runtime * rt, const char *name, struct zl_status *ret, struct zl_error *err),
        (to, name, ret, err))
FORWARD(inspect, zl_runtime_inspect,
        (struct zl_runtime * rt, const char *name, char **ret, struct zl_error *err),
        (to, name, ret, err))
FORWARD(watch_open, zl_watch_open,
        (struct zl_runtime * rt, const char *name, struct zl_watch **ret, struct zl_error *err),
        (to, name, ret, err))
FORWARD(logs_open, zl_logs_open,
        (struct zl_runtime * rt, const char *name, const struct zl_log_options *o,
         struct zl_logs **ret, struct zl_error *err),
        (to, name, o, ret, err))
FORWARD(exec_open, zl_exec_open,
        (struct zl_runtime * rt, const char *name, const struct zl_exec_options *o,
         struct zl_exec **ret, struct zl_error *err),
        (to, name, o, ret, err))
FORWARD(attach_open, zl_attach_open,
        (struct zl_runtime * rt, const char *name, struct zl_attach **ret, struct zl_error *err),
        (to, name, ret, err))
FORWARD(dial, zl_runtime_dial,
        (struct zl_runtime * rt, const char *name, const char *host, uint16_t port, int *ret,
         struct zl_error *err),
        (to, name, host, port, ret, err))
FORWARD(stats, zl_runtime_stats,
        (struct zl_runtime * rt, const char *name, struct zl_stats *ret, struct zl_error *err),
        (to, name, ret, err))
FORWARD(top, zl_runtime_top,
        (struct zl_runtime * rt, const char *name, const char *args, struct zl_top *ret,
         struct zl_error *err),
        (to, name, args, ret, err))
FORWARD(update, zl_runtime_update,
        (struct zl_runtime * rt, const char *name, const struct zl_update *u, struct zl_error *err),
        (to, name, u, err))
FORWARD(archive_head, zl_runtime_archive_head,
        (struct zl_runtime * rt, const char *name, const char *path, struct zl_file_stat *ret,
         struct zl_error *err),
        (to, name, path, ret, err))
FORWARD(archive_get, zl_runtime_archive_get,
        (struct zl_runtime * rt, const char *name, const char *path, int fd, struct zl_error *err),
        (to, name, path, fd, err))
/* zl-size: the interface's own parameters */
FORWARD(archive_put, zl_runtime_archive_put,
        (struct zl_runtime * rt, const char *name, const char *path, int fd, unsigned flags,
         struct zl_error *err),
        (to, name, path, fd, flags, err))
FORWARD(export, zl_runtime_export,
        (struct zl_runtime * rt, const char *name, int fd, struct zl_error *err),
        (to, name, fd, err))
FORWARD(changes, zl_runtime_changes,
        (struct zl_runtime * rt, const char *name, struct zl_change **ret, size_t *n,
         struct zl_error *err),
        (to, name, ret, n, err))
FORWARD(commit, zl_runtime_commit,
        (struct zl_runtime * rt, const char *name, const struct zl_commit_options *o, char **ret,
         struct zl_error *err),
        (to, name, o, ret, err))

static int composite_remove(struct zl_runtime *rt, const char *name, bool force,
                            struct zl_error *err)
{
        struct composite *c = composite_from(rt);
        _cleanup_error_ struct zl_error own = ZL_ERROR_INIT;
        struct zl_runtime *to;
        int r = find(c, name, &to, err);

        if (r < 0)
                return r;
        r = zl_runtime_remove(to, name, force, &own);
        if (r == 0 || own.code == ZL_E_NOT_FOUND)
                drop_route(c, name);
        if (r < 0)
                zl_error_move(err, &own);
        return r;
}

static int composite_rename(struct zl_runtime *rt, const char *name, const char *new_name,
                            struct zl_error *err)
{
        struct composite *c = composite_from(rt);
        struct zl_runtime *to, *other;
        int r = find(c, name, &to, err);

        if (r < 0)
                return r;
        if (find(c, new_name, &other, NULL) == 0)
                return zl_fail(err, ZL_E_EXISTS, 0, "the name %s is taken", new_name);
        r = zl_runtime_rename(to, name, new_name, err);
        /* Without its note the new name is found by asking. */
        if (r == 0 && renameat(c->routes_fd, name, c->routes_fd, new_name) < 0)
                drop_route(c, name);
        return r;
}

/* ---- all of them ------------------------------------------------------------------------------------- */

static int append(struct zl_status **all, size_t *n, struct zl_status *more, size_t n_more)
{
        struct zl_status *grown = reallocarray(*all, *n + n_more + 1, sizeof(*grown));

        if (!grown) {
                zl_status_free_all(more, n_more);
                return -ENOMEM;
        }
        if (n_more)
                memcpy(grown + *n, more, n_more * sizeof(*more));
        *all = grown;
        *n += n_more;
        free(more);
        return 0;
}

static int composite_list(struct zl_runtime *rt, const struct zl_list_filter *filter,
                          struct zl_status **ret, size_t *ret_n, struct zl_error *err)
{
        struct composite *c = composite_from(rt);
        struct zl_status *all = NULL;
        size_t n = 0;
        int r = 0;

        for (size_t i = 0; r == 0 && i < c->n; i++) {
                _cleanup_error_ struct zl_error own = ZL_ERROR_INIT;
                struct zl_status *more;
                size_t n_more;

                r = zl_runtime_list_some(c->targets[i].rt, filter, &more, &n_more, &own);
                if (r == 0) {
                        r = append(&all, &n, more, n_more) < 0 ? zl_fail_oom(err) : 0;
                } else if (i > 0) {
                        /* One that is broken must not hide the others' workloads. */
                        zl_log_error(ZL_LOG_WARNING, &own, "cannot list the workloads for %s",
                                     c->targets[i].os);
                        r = 0;
                } else {
                        zl_error_move(err, &own);
                }
        }
        if (r < 0) {
                zl_status_free_all(all, n);
                return r;
        }
        qsort(all, n, sizeof(*all), zl_status_compare);
        *ret = all;
        *ret_n = n;
        return 0;
}

static int composite_recover(struct zl_runtime *rt, struct zl_error *err)
{
        struct composite *c = composite_from(rt);
        int r = zl_runtime_recover(c->targets[0].rt, err);

        for (size_t i = 1; i < c->n; i++) {
                _cleanup_error_ struct zl_error own = ZL_ERROR_INIT;

                if (zl_runtime_recover(c->targets[i].rt, &own) < 0)
                        zl_log_error(ZL_LOG_WARNING, &own, "cannot recover the workloads for %s",
                                     c->targets[i].os);
        }
        return r;
}

/* A watch of all is made of one per target. */
struct composite_watch {
        struct zl_watch base;
        struct zl_runtime_ops ops; /* the composite's, with the functions below */
        struct zl_watch *watches[ZL_COMPOSITE_MAX];
        size_t n, next;
        int epoll_fd;
};

static int composite_watch_fd(const struct zl_watch *base)
{
        return ((const struct composite_watch *)base)->epoll_fd;
}

/* Each in turn, so that none is kept waiting by another that has much to say. */
static int composite_watch_next(struct zl_watch *base, struct zl_status *ret, struct zl_error *err)
{
        struct composite_watch *w = (struct composite_watch *)base;
        int r = 0;

        for (size_t tries = 0; r == 0 && tries < w->n; tries++) {
                r = zl_watch_next(w->watches[w->next], ret, err);
                w->next = (w->next + 1) % w->n;
        }
        return r;
}

static void composite_watch_close(struct zl_watch *base)
{
        struct composite_watch *w = (struct composite_watch *)base;

        for (size_t i = 0; i < w->n; i++)
                zl_watch_close(w->watches[i]);
        zl_close(w->epoll_fd);
        free(w);
}

static int composite_watch_open_all(struct zl_runtime *rt, struct zl_watch **ret,
                                    struct zl_error *err)
{
        struct composite *c = composite_from(rt);
        struct composite_watch *w = calloc(1, sizeof(*w));
        int r = 0;

        if (!w)
                return zl_fail_oom(err);
        w->ops = *rt->ops;
        w->ops.watch_fd = composite_watch_fd;
        w->ops.watch_next = composite_watch_next;
        w->ops.watch_close = composite_watch_close;
        w->base.ops = &w->ops;
        w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        for (size_t i = 0; r == 0 && i < c->n; i++) {
                struct epoll_event e = { .events = EPOLLIN };

                r = zl_watch_open_all(c->targets[i].rt, &w->watches[i], err);
                if (r < 0)
                        break;
                w->n++;
                if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, zl_watch_fd(w->watches[i]), &e) < 0)
                        r = zl_fail_errno(err, errno, "cannot watch all workloads");
        }
        if (r < 0) {
                composite_watch_close(&w->base);
                return r;
        }
        *ret = &w->base;
        return 0;
}

/* ---- images ------------------------------------------------------------------------------------------ */

/* Asks one target after the other until one knows the image. */
#define FIRST(operation, call_, parameters, arguments)                                             \
        static int composite_##operation parameters                                                \
        {                                                                                          \
                struct composite *c = composite_from(rt);                                          \
                int r = -ENOENT;                                                                   \
                                                                                                   \
                for (size_t i = 0; r < 0 && i < c->n; i++) {                                       \
                        struct zl_runtime *to = c->targets[i].rt;                                  \
                                                                                                   \
                        zl_error_done(err);                                                        \
                        r = call_ arguments;                                                       \
                }                                                                                  \
                return r;                                                                          \
        }

FIRST(image_inspect, zl_runtime_image_inspect,
      (struct zl_runtime * rt, const char *image, char **ret, struct zl_error *err),
      (to, image, ret, err))
FIRST(image_history, zl_runtime_image_history,
      (struct zl_runtime * rt, const char *image, char **ret, struct zl_error *err),
      (to, image, ret, err))
FIRST(image_search, zl_runtime_image_search,
      (struct zl_runtime * rt, const char *term, unsigned limit, char **ret, struct zl_error *err),
      (to, term, limit, ret, err))
FIRST(image_tag, zl_runtime_image_tag,
      (struct zl_runtime * rt, const char *image, const char *name, struct zl_error *err),
      (to, image, name, err))
FIRST(image_remove, zl_runtime_image_remove,
      (struct zl_runtime * rt, const char *image, bool force, struct zl_error *err),
      (to, image, force, err))
FIRST(image_save, zl_runtime_image_save,
      (struct zl_runtime * rt, const char *image, int fd, struct zl_error *err),
      (to, image, fd, err))
FIRST(image_health, zl_runtime_image_health,
      (struct zl_runtime * rt, const char *image, struct zl_image_health *ret,
       struct zl_error *err),
      (to, image, ret, err))
/* zl-size: the interface's own parameters */
FIRST(image_load, zl_runtime_image_load,
      (struct zl_runtime * rt, const char *path, const char *name,
       const struct zl_pull_options *progress, char **ret, struct zl_error *err),
      (to, path, name, progress, ret, err))

static int composite_image_list(struct zl_runtime *rt, struct zl_image_info **ret, size_t *ret_n,
                                struct zl_error *err)
{
        struct composite *c = composite_from(rt);
        struct zl_image_info *all = NULL;
        size_t n = 0;

        for (size_t i = 0; i < c->n; i++) {
                struct zl_image_info *more = NULL, *grown;
                size_t n_more = 0;
                int r = zl_runtime_image_list(c->targets[i].rt, &more, &n_more, i ? NULL : err);

                if (r < 0 && i == 0)
                        return r;
                if (r < 0)
                        continue;
                grown = reallocarray(all, n + n_more + 1, sizeof(*grown));
                if (!grown) {
                        zl_image_info_free(more, n_more);
                        zl_image_info_free(all, n);
                        return zl_fail_oom(err);
                }
                all = grown;
                if (n_more)
                        memcpy(all + n, more, n_more * sizeof(*more));
                n += n_more;
                free(more);
        }
        *ret = all;
        *ret_n = n;
        return 0;
}

static int composite_image_prune(struct zl_runtime *rt, bool all, uint64_t *ret_freed,
                                 struct zl_error *err)
{
        struct composite *c = composite_from(rt);
        uint64_t sum = 0;

        for (size_t i = 0; i < c->n; i++) {
                uint64_t freed = 0;
                int r = zl_runtime_image_prune(c->targets[i].rt, all, &freed, i ? NULL : err);

                if (r < 0 && i == 0)
                        return r;
                sum = freed > UINT64_MAX - sum ? UINT64_MAX : sum + freed;
        }
        if (ret_freed)
                *ret_freed = sum;
        return 0;
}

/* ---- making one -------------------------------------------------------------------------------------- */

static void composite_free(struct zl_runtime *rt)
{
        struct composite *c = composite_from(rt);

        for (size_t i = 0; i < c->n; i++)
                zl_runtime_free(c->targets[i].rt);
        zl_runtime_settings_done(&c->settings);
        zl_map_free(c->systems);
        zl_close(c->routes_fd);
        pthread_mutex_destroy(&c->lock);
        free(c);
}

const struct zl_runtime_ops zl_composite_ops = {
        .kind = ZL_RUNTIME_COMPOSITE,
        .free = composite_free,
        .pull = composite_pull,
        .create = composite_create,
        .start = composite_start,
        .stop = composite_stop,
        .kill = composite_kill,
        .pause = composite_pause,
        .remove = composite_remove,
        .rename = composite_rename,
        .state = composite_state,
        .list = composite_list,
        .inspect = composite_inspect,
        .recover = composite_recover,
        .watch_open = composite_watch_open,
        .watch_open_all = composite_watch_open_all,
        .logs_open = composite_logs_open,
        .exec_open = composite_exec_open,
        .attach_open = composite_attach_open,
        .dial = composite_dial,
        .stats = composite_stats,
        .top = composite_top,
        .update = composite_update,
        .archive_head = composite_archive_head,
        .archive_get = composite_archive_get,
        .archive_put = composite_archive_put,
        .export = composite_export,
        .changes = composite_changes,
        .commit = composite_commit,
        .image_list = composite_image_list,
        .image_inspect = composite_image_inspect,
        .image_history = composite_image_history,
        .image_search = composite_image_search,
        .image_tag = composite_image_tag,
        .image_remove = composite_image_remove,
        .image_prune = composite_image_prune,
        .image_save = composite_image_save,
        .image_load = composite_image_load,
        .image_health = composite_image_health,
};

/* What no target can do, the composite cannot. */
static void drop_operations(struct composite *c)
{
        for (size_t i = 0; zl_runtime_operation_name(i); i++) {
                bool has = false;

                for (size_t k = 0; k < c->n; k++)
                        has = has || zl_runtime_ops_have(c->targets[k].rt->ops, i);
                if (!has)
                        zl_runtime_ops_drop(&c->ops, i);
        }
}

int zl_composite_new(const struct zl_composite_target *targets, size_t n,
                     const struct zl_runtime_options *options, zl_composite_ask ask,
                     struct zl_runtime **ret, struct zl_error *err)
{
        struct composite *c = calloc(1, sizeof(*c));
        _cleanup_free_ char *path = NULL;
        int r;

        if (!c || n == 0 || n > ZL_COMPOSITE_MAX) {
                for (size_t i = 0; i < n; i++)
                        zl_runtime_free(targets[i].rt);
                free(c);
                return c ? zl_fail(err, ZL_E_INTERNAL, 0, "%zu runtimes in one", n)
                         : zl_fail_oom(err);
        }
        c->n = n;
        memcpy(c->targets, targets, n * sizeof(*targets));
        c->ops = zl_composite_ops;
        c->rt.ops = &c->ops;
        c->routes_fd = -EBADF;
        c->ask = ask ? ask : zl_image_facts_fetch;
        pthread_mutex_init(&c->lock, NULL);
        drop_operations(c);
        c->systems = zl_map_new(free);
        r = c->systems ? zl_runtime_settings_make(options, &c->settings, err) : zl_fail_oom(err);
        if (r == 0) {
                path = zl_path_join(c->settings.root_dir, "routes");
                r = path ? c->routes_fd = zl_open_dir_at(AT_FDCWD, path, 0700, err)
                         : zl_fail_oom(err);
        }
        if (r < 0) {
                composite_free(&c->rt);
                return r;
        }
        *ret = &c->rt;
        return 0;
}
