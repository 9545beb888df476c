/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists, removal and recovery: everything that looks at more than one workload, or takes one away.
 *
 * Recovery never disturbs what runs. For each directory it asks: locked (somebody works on it: leave it alone),
 * complete (then its status is asked for, which settles a dead monitor or an earlier boot), or not (the wreck of a
 * create: remove). After that it looks for things without an owner: run directories, holds on images, users of volumes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/random.h"
#include "base/strv.h"
#include "runtimes/native.h"
#include "runtimes/native_network.h"
#include "runtimes/status.h"

/* A workload that removes itself is kept so long after its end, for whoever waits for it to read the end. */
#define AUTO_REMOVE_DELAY (5 * ZL_NSEC_PER_SEC)

static int each_name(int dirfd, const char *path,
                     int (*each)(void *data, const char *name, unsigned char type), void *data)
{
        _cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? -errno : zl_dir_each(fd, each, data);
}

static int push_name(void *data, const char *name, unsigned char type _unused_)
{
        return *name == '.' ? 0 : zl_strv_push(data, name);
}

/* Names of entries of a directory, without hidden ones. */
static int list_dir(int dirfd, const char *path, char ***ret)
{
        _cleanup_strv_ char **names = NULL;
        int r = each_name(dirfd, path, push_name, &names);

        if (r == 0)
                *ret = zl_take_ptr(names);
        return r;
}

/* ---- erasing ------------------------------------------------------------------------------------- */

static int erase_run_dir(struct native *n, const char *name, struct zl_error *err)
{
        _cleanup_close_ int run = native_open_run(n, name);
        int r;

        if (run == -ENOENT)
                return 0;
        if (run < 0)
                return zl_fail_errno(err, -run, "cannot open %s/%s", n->run_dir, name);
        r = zl_monitor_clean_run_dir(run, err);
        if (r < 0)
                return r;
        r = zl_rm_rf_at(n->run_fd, name);
        return r < 0 ? zl_fail_errno(err, -r, "cannot remove %s/%s", n->run_dir, name) : 0;
}

/* The name is free from the rename on; what it takes to delete the rest is nobody's business. */
static int erase_state_dir(struct native *n, const char *name, struct zl_error *err)
{
        char temp[sizeof(NATIVE_TRASH) + 16];
        int r;

        memcpy(temp, NATIVE_TRASH, sizeof(NATIVE_TRASH));
        zl_random_hex(temp + sizeof(NATIVE_TRASH) - 1, 16);
        if (renameat(n->containers_fd, name, n->containers_fd, temp) < 0)
                return zl_fail_errno(err, errno, "cannot remove %s/%s", n->containers_dir, name);
        r = zl_rm_rf_at(n->containers_fd, temp);
        return r < 0 ? zl_fail_errno(err, -r, "cannot remove the files of %s", name) : 0;
}

/* `volumes` NULL: not known, look at all. */
static int release_volumes(struct native *n, const char *name, char *const *volumes, bool known,
                           struct zl_error *err)
{
        struct zl_volumes *v;
        int r = native_volumes(n, &v, err);

        if (r < 0)
                return r;
        if (!known)
                r = zl_volume_detach_all(v, name, err);
        ZL_STRV_FOREACH(volume, volumes)
                if (r == 0)
                        r = zl_volume_detach(v, *volume, name, err);
        return r < 0 ? r : zl_volume_remove_anonymous(v, name, err);
}

static int release_image(struct native *n, const char *name, struct zl_error *err)
{
        struct zl_image_store *images;
        int r = native_images(n, &images, err);

        return r < 0 ? r : zl_image_release(images, name, err);
}

int native_erase_dirs(struct native *n, const char *name, struct zl_error *err)
{
        int r = erase_run_dir(n, name, err);

        return r < 0 ? r : erase_state_dir(n, name, err);
}

static int erase(struct native *n, const char *name, char *const *volumes, bool known,
                 struct zl_error *err)
{
        int r = erase_run_dir(n, name, err);

        if (r == 0)
                r = native_network_detach(n, name, err);
        /* The directory last: as long as it is there, a recover finds the name and tries again. */
        if (r == 0)
                r = release_volumes(n, name, volumes, known, err);
        if (r == 0)
                r = release_image(n, name, err);
        return r < 0 ? r : erase_state_dir(n, name, err);
}

int native_erase(struct native *n, const char *name, char *const *volumes, struct zl_error *err)
{
        return erase(n, name, volumes, true, err);
}

int native_erase_wreck(struct native *n, int state_fd, const char *name, struct zl_error *err)
{
        _cleanup_(zl_monitor_closep) struct zl_monitor *monitor = NULL;

        /* The creator may have died after its monitor was up: nobody will ever start that container. */
        if (native_connect(n, name, &monitor, NULL) == 0)
                zl_monitor_stop(monitor, 9, 0, NULL, NULL);
        return erase(n, name, NULL, false, err);
}

/* ---- listing ------------------------------------------------------------------------------------- */

/* Removes a workload that asked for it and has ended a while ago. true if it is gone. */
static bool remove_ended(struct native *n, const char *name, const struct zl_status *status)
{
        _cleanup_close_ int state = -EBADF;
        _cleanup_record_ struct native_record record = { 0 };

        if (!zl_status_is_over(status) ||
            zl_now_realtime() - status->finished_at < AUTO_REMOVE_DELAY)
                return false;
        state = native_lock_state(n, name, false, NULL);
        if (state < 0 || native_record_load(n, state, name, &record, NULL) < 0 ||
            !record.auto_remove || record.generation != status->generation)
                return false;
        return native_erase(n, name, record.volumes, NULL) == 0;
}

/* A directory without a status is a create that is going on, or the wreck of one. */
static int half_made_status(struct native *n, const char *name, struct zl_status *ret)
{
        _cleanup_close_ int state = native_lock_state(n, name, false, NULL);
        bool busy = state == -EWOULDBLOCK;

        if (state < 0 && !busy)
                return 0; /* gone */
        *ret = (struct zl_status){ .name = strdup(name),
                                   .runtime = ZL_RUNTIME_NATIVE,
                                   .state = busy ? ZL_STATE_INITIALIZING : ZL_STATE_FAILED,
                                   .reason = busy ? NULL : strdup("its creation was interrupted"),
                                   .exit_code = -1 };
        if (!ret->name) {
                zl_status_done(ret);
                return -ENOMEM;
        }
        return 1;
}

/* 1: listed; 0: there is nothing (any more). */
static int list_one(struct native *n, const char *name, int64_t until, struct zl_status *ret)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        int r = native_look(n, name, until, ret, &why);

        if (r == 0) {
                if (!remove_ended(n, name, ret))
                        return 1;
                zl_status_done(ret);
                return 0;
        }
        if (why.code == ZL_E_NOT_FOUND)
                return half_made_status(n, name, ret);
        *ret = (struct zl_status){ .name = strdup(name),
                                   .runtime = ZL_RUNTIME_NATIVE,
                                   .state = ZL_STATE_FAILED,
                                   .reason = strdup(zl_error_message(&why)),
                                   .exit_code = -1 };
        return ret->name ? 1 : -ENOMEM;
}

int native_list(struct zl_runtime *rt, const struct zl_list_filter *filter, struct zl_status **ret,
                size_t *ret_n, struct zl_error *err)
{
        struct native *n = native_from(rt);
        _cleanup_strv_ char **names = NULL;
        int64_t until = zl_now_monotonic() + NATIVE_LOOK_SPAN;
        struct zl_status *all;
        size_t count = 0;
        int r = list_dir(n->containers_fd, ".", &names);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot list %s", n->containers_dir);
        all = calloc(zl_strv_len(names) + 1, sizeof(*all));
        if (!all)
                return zl_fail_oom(err);
        ZL_STRV_FOREACH(name, names) {
                if (!zl_list_filter_wants(filter, *name))
                        continue;
                r = list_one(n, *name, until, &all[count]);
                if (r < 0) {
                        zl_status_free_all(all, count);
                        return zl_fail_oom(err);
                }
                count += (size_t)r;
        }
        qsort(all, count, sizeof(*all), zl_status_compare);
        *ret = all;
        *ret_n = count;
        return 0;
}

/* ---- recovering ---------------------------------------------------------------------------------- */

/* Holds are not synced when they are made, so after a power cut one may be missing that is still needed. And a rename may have
 * been interrupted. */
static void tidy(struct native *n, const char *name)
{
        _cleanup_close_ int state = native_lock_state(n, name, false, NULL);
        _cleanup_record_ struct native_record record = { 0 };
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        struct zl_image_store *images;

        if (state < 0 || native_record_load(n, state, name, &record, NULL) < 0 || !record.digest)
                return;
        if (native_rename_finish(n, state, &record, &why) < 0) {
                zl_log_error(ZL_LOG_WARNING, &why, "%s", name);
                zl_error_done(&why);
        }
        if (native_images(n, &images, &why) < 0 ||
            zl_image_hold(images, record.digest, name, &why) < 0)
                zl_log_error(ZL_LOG_WARNING, &why, "cannot hold the image of %s", name);
}

static void recover_one(struct native *n, const char *name, int64_t until)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        _cleanup_close_ int state = -EBADF;
        struct zl_status status;

        if (native_look(n, name, until, &status, &why) == 0) {
                if (!remove_ended(n, name, &status))
                        tidy(n, name);
                zl_status_done(&status);
                return;
        }
        if (why.code != ZL_E_NOT_FOUND) {
                zl_log_error(ZL_LOG_WARNING, &why, "cannot recover %s", name);
                return;
        }
        state = native_lock_state(n, name, false, NULL);
        if (state < 0 || faccessat(state, NATIVE_STATUS, F_OK, 0) == 0)
                return;
        zl_error_done(&why);
        if (native_erase_wreck(n, state, name, &why) < 0)
                zl_log_error(ZL_LOG_WARNING, &why, "cannot remove what is left of %s", name);
}

static bool has_state(const struct native *n, const char *name)
{
        return faccessat(n->containers_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/* A run directory is made only while the lock of an existing state directory is held, so one without is left over. */
static void recover_run_dirs(struct native *n)
{
        _cleanup_strv_ char **names = NULL;

        if (list_dir(n->run_fd, ".", &names) < 0)
                return;
        ZL_STRV_FOREACH(name, names) {
                _cleanup_(zl_monitor_closep) struct zl_monitor *monitor = NULL;

                if (has_state(n, *name))
                        continue;
                if (native_connect(n, *name, &monitor, NULL) == 0)
                        zl_monitor_stop(monitor, 9, 0, NULL, NULL);
                erase_run_dir(n, *name, NULL);
        }
}

static void recover_holds(struct native *n)
{
        _cleanup_free_ char *path = zl_path_join(n->settings.root_dir, "images/holds");
        _cleanup_strv_ char **names = NULL;

        if (!path || list_dir(AT_FDCWD, path, &names) < 0)
                return;
        ZL_STRV_FOREACH(name, names) {
                struct zl_ident ident;

                if (zl_ident_parse(*name, &ident) == 0 && !has_state(n, *name))
                        release_image(n, *name, NULL);
        }
}

static void recover_volumes(struct native *n)
{
        struct zl_volume_info *infos;
        struct zl_volumes *volumes;
        size_t count;

        if (native_volumes(n, &volumes, NULL) < 0 ||
            zl_volume_list(volumes, &infos, &count, NULL) < 0)
                return;
        for (size_t i = 0; i < count; i++)
                ZL_STRV_FOREACH(user, infos[i].users)
                        if (!has_state(n, *user))
                                zl_volume_detach(volumes, infos[i].name, *user, NULL);
        zl_volume_info_free(infos, count);
}

struct hidden {
        struct native *n;
        int parent;
};

/* Directories that were renamed away and not deleted to the end, and spares that nobody will take any more. */
static int recover_hidden_one(void *data, const char *name, unsigned char type _unused_)
{
        const struct hidden *in = data;

        if (zl_startswith(name, NATIVE_TRASH))
                zl_rm_rf_at(in->parent, name);
        else if (zl_startswith(name, NATIVE_SPARE))
                native_spare_recover(in->n, name);
        else if (zl_startswith(name, NATIVE_SHELL))
                native_shell_recover(in->n, name);
        return 0;
}

void native_recover_hidden(struct native *n)
{
        struct hidden containers = { n, n->containers_fd }, run = { n, n->run_fd };

        each_name(n->containers_fd, ".", recover_hidden_one, &containers);
        each_name(n->run_fd, ".", recover_hidden_one, &run);
}

int native_recover(struct zl_runtime *rt, struct zl_error *err)
{
        struct native *n = native_from(rt);
        _cleanup_strv_ char **names = NULL;
        int64_t until = zl_now_monotonic() + NATIVE_LOOK_SPAN;
        int r = list_dir(n->containers_fd, ".", &names);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot list %s", n->containers_dir);
        ZL_STRV_FOREACH(name, names) {
                struct zl_ident ident;

                if (zl_ident_parse(*name, &ident) == 0)
                        recover_one(n, *name, until);
        }
        native_recover_hidden(n);
        recover_run_dirs(n);
        recover_holds(n);
        recover_volumes(n);
        return 0;
}
