/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rest of the public functions of <zlayer/runtime.h>, in the manner of runtime.c: images, limits, files, waiting
 * for other instants than the end, and the table of what a backend can do. What can be made of other operations is made
 * here once, for all backends: a prune is a list and removals, a wait for an instant is a watch of all workloads.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/strv.h"
#include "runtimes/runtime_call.h"
#include "runtimes/status.h"

/* ---- what a backend can do --------------------------------------------------------------------------- */

#define OP(name_, member_)                                                                         \
        {                                                                                          \
                name_, offsetof(struct zl_runtime_ops, member_)                                    \
        }
static const struct {
        const char *name;
        size_t offset;
} operations[] = {
        OP("pull", pull),
        OP("create", create),
        OP("start", start),
        OP("stop", stop),
        OP("kill", kill),
        OP("pause", pause),
        OP("remove", remove),
        OP("rename", rename),
        OP("update", update),
        OP("state", state),
        OP("list", list),
        OP("inspect", inspect),
        OP("recover", recover),
        OP("wait", watch_open),
        OP("watch", watch_open),
        OP("watch_all", watch_open_all),
        OP("logs", logs_open),
        OP("exec", exec_open),
        OP("attach", attach_open),
        OP("dial", dial),
        OP("image_health", image_health),
        OP("stats", stats),
        OP("top", top),
        OP("changes", changes),
        OP("archive_head", archive_head),
        OP("archive_get", archive_get),
        OP("archive_put", archive_put),
        OP("export", export),
        OP("commit", commit),
        OP("image_list", image_list),
        OP("image_inspect", image_inspect),
        OP("image_history", image_history),
        OP("image_search", image_search),
        OP("image_tag", image_tag),
        OP("image_remove", image_remove),
        OP("image_prune", image_prune),
        OP("image_save", image_save),
        OP("image_load", image_load),
};

const char *zl_runtime_operation_name(size_t i)
{
        return i < ZL_ARRAY_SIZE(operations) ? operations[i].name : NULL;
}

bool zl_runtime_ops_have(const struct zl_runtime_ops *ops, size_t i)
{
        void (*op)(void);

        if (i >= ZL_ARRAY_SIZE(operations))
                return false;
        memcpy(&op, (const char *)ops + operations[i].offset, sizeof(op));
        return op != NULL;
}

void zl_runtime_ops_drop(struct zl_runtime_ops *ops, size_t i)
{
        void (*none)(void) = NULL;

        if (i < ZL_ARRAY_SIZE(operations))
                memcpy((char *)ops + operations[i].offset, &none, sizeof(none));
}

bool zl_runtime_can(const struct zl_runtime *rt, const char *operation)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(operations); i++)
                if (zl_streq(operations[i].name, operation))
                        return zl_runtime_ops_have(rt->ops, i);
        return false;
}

/* ---- images ------------------------------------------------------------------------------------------ */

static int check_image(const char *image, struct zl_error *err)
{
        return image && *image ? 0 : zl_fail(err, ZL_E_INVALID, 0, "no image is named");
}

#define BEGIN_IMAGE(member, operation)                                                             \
        do {                                                                                       \
                int _r = check_image(image, err);                                                  \
                                                                                                   \
                if (_r < 0)                                                                        \
                        return _r;                                                                 \
                CHECK_OP(rt->ops, member, operation);                                              \
        } while (0)

int zl_runtime_image_list(struct zl_runtime *rt, struct zl_image_info **ret, size_t *ret_n,
                          struct zl_error *err)
{
        CHECK_OP(rt->ops, image_list, "list images");
        *ret = NULL;
        *ret_n = 0;
        return rt->ops->image_list(rt, ret, ret_n, err);
}

void zl_image_info_free(struct zl_image_info *infos, size_t n)
{
        for (size_t i = 0; infos && i < n; i++) {
                free(infos[i].reference);
                free(infos[i].digest);
                free(infos[i].id);
                free(infos[i].os);
                free(infos[i].architecture);
        }
        free(infos);
}

int zl_runtime_image_inspect(struct zl_runtime *rt, const char *image, char **ret_json,
                             struct zl_error *err)
{
        BEGIN_IMAGE(image_inspect, "inspect images");
        return rt->ops->image_inspect(rt, image, ret_json, err);
}

int zl_runtime_image_history(struct zl_runtime *rt, const char *image, char **ret_json,
                             struct zl_error *err)
{
        BEGIN_IMAGE(image_history, "tell the history of images");
        return rt->ops->image_history(rt, image, ret_json, err);
}

int zl_runtime_image_search(struct zl_runtime *rt, const char *term, unsigned limit,
                            char **ret_json, struct zl_error *err)
{
        if (!term || !*term)
                return zl_fail(err, ZL_E_INVALID, 0, "nothing is given to search for");
        CHECK_OP(rt->ops, image_search, "search for images");
        return rt->ops->image_search(rt, term, limit, ret_json, err);
}

int zl_runtime_image_tag(struct zl_runtime *rt, const char *image, const char *name,
                         struct zl_error *err)
{
        BEGIN_IMAGE(image_tag, "give images names");
        if (!name || !*name)
                return zl_fail(err, ZL_E_INVALID, 0, "no name is given for image %s", image);
        return rt->ops->image_tag(rt, image, name, err);
}

int zl_runtime_image_remove(struct zl_runtime *rt, const char *image, bool force,
                            struct zl_error *err)
{
        BEGIN_IMAGE(image_remove, "remove images");
        return rt->ops->image_remove(rt, image, force, err);
}

int zl_runtime_image_prune(struct zl_runtime *rt, bool all, uint64_t *ret_freed,
                           struct zl_error *err)
{
        CHECK_OP(rt->ops, image_prune, "remove unused images");
        return rt->ops->image_prune(rt, all, ret_freed, err);
}

int zl_runtime_image_save(struct zl_runtime *rt, const char *image, int fd, struct zl_error *err)
{
        BEGIN_IMAGE(image_save, "save images");
        return rt->ops->image_save(rt, image, fd, err);
}

int zl_runtime_image_load(struct zl_runtime *rt, const char *path, const char *name,
                          const struct zl_pull_options *progress, char **ret_digest,
                          struct zl_error *err)
{
        static const struct zl_pull_options defaults;

        if (!path || !*path)
                return zl_fail(err, ZL_E_INVALID, 0, "no archive is named");
        CHECK_OP(rt->ops, image_load, "load images");
        return rt->ops->image_load(rt, path, name, progress ? progress : &defaults, ret_digest,
                                   err);
}

/* ---- life -------------------------------------------------------------------------------------------- */

int zl_runtime_rename(struct zl_runtime *rt, const char *name, const char *new_name,
                      struct zl_error *err)
{
        int r = zl_runtime_check_name(new_name, err);

        if (r < 0)
                return r;
        BEGIN(rename, "rename workloads");
        if (zl_streq(name, new_name))
                return zl_fail(err, ZL_E_EXISTS, 0, "%s is called that already", name);
        return rt->ops->rename(rt, name, new_name, err);
}

int zl_runtime_prune(struct zl_runtime *rt, char ***ret_names, struct zl_error *err)
{
        _cleanup_strv_ char **names = NULL;
        struct zl_status *all;
        size_t n;
        int r = zl_runtime_list(rt, &all, &n, err);

        if (r < 0)
                return r;
        for (size_t i = 0; r >= 0 && i < n; i++)
                if (zl_status_is_over(&all[i]) &&
                    zl_runtime_remove(rt, all[i].name, false, NULL) == 0)
                        r = zl_strv_push(&names, all[i].name);
        zl_status_free_all(all, n);
        if (r < 0)
                return zl_fail_oom(err);
        if (ret_names)
                *ret_names = zl_take_ptr(names);
        return 0;
}

int zl_watch_open_all(struct zl_runtime *rt, struct zl_watch **ret, struct zl_error *err)
{
        CHECK_OP(rt->ops, watch_open_all, "watch all workloads");
        return rt->ops->watch_open_all(rt, ret, err);
}

/* A wait that looks at every workload's events. */
struct instant {
        struct zl_status last; /* of the workload that it is about */
        bool removed;          /* its removal is meant, not its next end */
        bool reached;
};

/* Takes `s` over. */
static int look_at(struct instant *in, struct zl_status *s, struct zl_error *err)
{
        struct zl_status *last = &in->last;
        int r = 0;

        if (!zl_streq(s->name, last->name)) {
                zl_status_done(s);
                return 0;
        }
        if (s->state == ZL_STATE_REMOVED) {
                in->reached = in->removed;
                if (!in->removed)
                        r = zl_fail(err, ZL_E_NOT_FOUND, 0, "%s has been removed", s->name);
                zl_status_done(s);
                return r;
        }
        in->reached = !in->removed && zl_status_is_over(s) &&
                      (!zl_status_is_over(last) || s->finished_at != last->finished_at ||
                       s->generation != last->generation);
        zl_status_done(last);
        *last = *s;
        return 0;
}

static int wait_in_all(struct zl_watch *watch, struct instant *in, int64_t deadline,
                       struct zl_error *err)
{
        while (!in->reached) {
                struct zl_status s;
                int r = zl_watch_next(watch, &s, err);

                if (r > 0)
                        r = look_at(in, &s, err);
                else if (r == 0)
                        r = zl_sleep_on(zl_watch_fd(watch), deadline);
                if (r == -ETIMEDOUT)
                        return zl_fail(err, ZL_E_TIMEOUT, 0, "%s: time is up", in->last.name);
                if (r < 0)
                        return r;
        }
        return 0;
}

int zl_runtime_wait_for(struct zl_runtime *rt, const char *name, enum zl_wait_condition condition,
                        int64_t timeout_nsec, struct zl_status *ret, struct zl_error *err)
{
        struct instant in = { .last = { .exit_code = -1 },
                              .removed = condition == ZL_WAIT_REMOVED };
        struct zl_watch *watch = NULL;
        int64_t now = zl_now_monotonic(), deadline = -1;
        int r;

        if (condition == ZL_WAIT_NOT_RUNNING)
                return zl_runtime_wait(rt, name, timeout_nsec, ret, err);
        BEGIN(watch_open_all, "wait for this");
        if (timeout_nsec >= 0 && timeout_nsec <= INT64_MAX - now)
                deadline = now + timeout_nsec;
        /* The watch first: nothing may happen unseen between the two. */
        r = zl_watch_open_all(rt, &watch, err);
        if (r == 0)
                r = zl_runtime_state(rt, name, &in.last, err);
        if (r == 0)
                r = wait_in_all(watch, &in, deadline, err);
        zl_watch_close(watch);
        if (r < 0) {
                zl_status_done(&in.last);
                return r;
        }
        *ret = in.last;
        return 0;
}

int zl_runtime_update(struct zl_runtime *rt, const char *name, const struct zl_update *update,
                      struct zl_error *err)
{
        BEGIN(update, "change limits");
        return rt->ops->update(rt, name, update, err);
}

/* ---- processes --------------------------------------------------------------------------------------- */

int zl_runtime_top(struct zl_runtime *rt, const char *name, const char *ps_args, struct zl_top *ret,
                   struct zl_error *err)
{
        BEGIN(top, "list processes");
        *ret = (struct zl_top){ 0 };
        return rt->ops->top(rt, name, ps_args, ret, err);
}

void zl_top_done(struct zl_top *top)
{
        zl_strv_free(top->titles);
        for (size_t i = 0; i < top->n_rows; i++)
                zl_strv_free(top->rows[i]);
        free(top->rows);
        *top = (struct zl_top){ 0 };
}

/* ---- files ------------------------------------------------------------------------------------------- */

static int check_path(const char *name, const char *path, struct zl_error *err)
{
        if (path && path[0] == '/')
                return 0;
        return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is not an absolute path in %s",
                       path ? path : "", name);
}

#define BEGIN_PATH(member, operation)                                                              \
        do {                                                                                       \
                BEGIN(member, operation);                                                          \
                int _p = check_path(name, path, err);                                              \
                                                                                                   \
                if (_p < 0)                                                                        \
                        return _p;                                                                 \
        } while (0)

void zl_file_stat_done(struct zl_file_stat *stat)
{
        free(stat->name);
        free(stat->link_target);
        *stat = (struct zl_file_stat){ 0 };
}

int zl_runtime_archive_head(struct zl_runtime *rt, const char *name, const char *path,
                            struct zl_file_stat *ret, struct zl_error *err)
{
        BEGIN_PATH(archive_head, "look at files");
        *ret = (struct zl_file_stat){ 0 };
        return rt->ops->archive_head(rt, name, path, ret, err);
}

int zl_runtime_archive_get(struct zl_runtime *rt, const char *name, const char *path, int fd,
                           struct zl_error *err)
{
        BEGIN_PATH(archive_get, "copy files out");
        return rt->ops->archive_get(rt, name, path, fd, err);
}

int zl_runtime_archive_put(struct zl_runtime *rt, const char *name, const char *path, int fd,
                           unsigned flags, struct zl_error *err)
{
        BEGIN_PATH(archive_put, "copy files in");
        return rt->ops->archive_put(rt, name, path, fd, flags, err);
}

int zl_runtime_export(struct zl_runtime *rt, const char *name, int fd, struct zl_error *err)
{
        BEGIN(export, "export file systems");
        return rt->ops->export(rt, name, fd, err);
}

int zl_runtime_changes(struct zl_runtime *rt, const char *name, struct zl_change **ret,
                       size_t *ret_n, struct zl_error *err)
{
        BEGIN(changes, "tell changes of files");
        *ret = NULL;
        *ret_n = 0;
        return rt->ops->changes(rt, name, ret, ret_n, err);
}

void zl_change_free(struct zl_change *changes, size_t n)
{
        for (size_t i = 0; changes && i < n; i++)
                free(changes[i].path);
        free(changes);
}

int zl_runtime_commit(struct zl_runtime *rt, const char *name,
                      const struct zl_commit_options *options, char **ret_id, struct zl_error *err)
{
        BEGIN(commit, "make images of workloads");
        if (!options->image || !*options->image)
                return zl_fail(err, ZL_E_INVALID, 0, "no name is given for the image of %s", name);
        return rt->ops->commit(rt, name, options, ret_id, err);
}
