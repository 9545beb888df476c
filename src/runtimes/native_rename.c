/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another name for a workload. The name is a directory, and it stands in documents: paths in the bundle, the control group, the
 * record. The directory is renamed first, which is the instant at which the name changes and which fails if the new one is taken;
 * then everything is brought into line with it. Since spec.json tells the name it was written for, whoever finds another directory
 * around it (recover, a start) finishes what a process that died in the middle began.
 *
 * A workload that runs keeps its name: its control group bears it, and a group of version 2 cannot be renamed, so a new workload of
 * the old name would find it taken. One that waits for its start is made anew under the new name; nobody can tell the difference.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/strv.h"
#include "oci/runtime_config.h"
#include "runtimes/native.h"
#include "runtimes/native_network.h"

struct renaming {
        struct native *n;
        int state_fd; /* locked */
        const char *old, *name;
        char *old_dir, *dir;   /* of the state */
        char *old_anon, *anon; /* of the anonymous volumes */
        struct zl_error *err;
};

static void renaming_done(struct renaming *r)
{
        free(r->old_dir);
        free(r->dir);
        free(r->old_anon);
        free(r->anon);
}
#define _cleanup_renaming_ _cleanup_(renaming_done)

static int fill_paths(struct renaming *r)
{
        struct zl_volumes *volumes;
        int e = native_volumes(r->n, &volumes, r->err);

        if (e < 0)
                return e;
        r->old_dir = zl_path_join(r->n->containers_dir, r->old);
        r->dir = zl_path_join(r->n->containers_dir, r->name);
        r->old_anon = zl_volume_anonymous_path(volumes, r->old);
        r->anon = zl_volume_anonymous_path(volumes, r->name);
        return r->old_dir && r->dir && r->old_anon && r->anon ? 0 : zl_fail_oom(r->err);
}

/* ---- documents --------------------------------------------------------------------------------------- */

/* A path in one of the directories that are called otherwise now: the new one, which the caller frees. NULL without memory. */
static char *moved_path(const struct renaming *r, const char *path)
{
        const char *const from[] = { r->old_dir, r->old_anon }, *const to[] = { r->dir, r->anon };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(from); i++) {
                const char *rest = zl_startswith(path, from[i]);

                if (rest && (!*rest || *rest == '/')) {
                        char *moved = NULL;

                        return asprintf(&moved, "%s%s", to[i], rest) < 0 ? NULL : moved;
                }
        }
        return strdup(path);
}

/* "…/OLD", "…:OLD" or "…zlayer-OLD.scope", as bundle.c and native_create.c write them. */
static char *moved_cgroup(const struct renaming *r, const char *path)
{
        static const char scope[] = ".scope", prefix[] = "zlayer-";
        size_t len = strlen(path), old = strlen(r->old);
        const char *end = path + len, *tail = "";
        char *moved = NULL;

        if (len > sizeof(scope) - 1 && zl_streq(end - (sizeof(scope) - 1), scope)) {
                tail = scope;
                end -= sizeof(scope) - 1;
        }
        if ((size_t)(end - path) <= old || strncmp(end - old, r->old, old) != 0)
                return strdup(path);
        end -= old;
        if (!strchr("/:", end[-1]) &&
            ((size_t)(end - path) < sizeof(prefix) - 1 ||
             strncmp(end - (sizeof(prefix) - 1), prefix, sizeof(prefix) - 1) != 0))
                return strdup(path);
        return asprintf(&moved, "%.*s%s%s", (int)(end - path), path, r->name, tail) < 0 ? NULL
                                                                                        : moved;
}

/* The configuration that the next monitor reads, in one of its two places. What was loaded lives in its arena, so new texts are kept
 * in `kept` until it is written. */
static int adapt_config(const struct renaming *r, int dirfd)
{
        _cleanup_(zl_oci_config_freep) struct zl_oci_config *config = NULL;
        _cleanup_strv_ char **kept = NULL;
        _cleanup_free_ char *text = NULL;
        char *moved;
        int e = zl_oci_config_load_at(dirfd, NATIVE_CONFIG, &config, r->err);

        if (e < 0)
                return e;
        if (!(moved = moved_path(r, config->root->path)) || zl_strv_push_take(&kept, moved) < 0)
                return zl_fail_oom(r->err);
        config->root->path = moved;
        for (size_t i = 0; i < config->n_mounts; i++) {
                if (!config->mounts[i].source)
                        continue;
                moved = moved_path(r, config->mounts[i].source);
                if (!moved || zl_strv_push_take(&kept, moved) < 0)
                        return zl_fail_oom(r->err);
                config->mounts[i].source = moved;
        }
        if (config->linux_->cgroups_path) {
                moved = moved_cgroup(r, config->linux_->cgroups_path);
                if (!moved || zl_strv_push_take(&kept, moved) < 0)
                        return zl_fail_oom(r->err);
                config->linux_->cgroups_path = moved;
        }
        e = zl_oci_config_dump(config, &text, r->err);
        if (e < 0)
                return e;
        e = zl_write_file_at(dirfd, NATIVE_CONFIG, text, strlen(text), 0600, 0);
        explicit_bzero(text, strlen(text));
        return e < 0 ? zl_fail_errno(r->err, -e, "cannot write %s/%s", r->dir, NATIVE_CONFIG) : 0;
}

static int adapt_mounts(const struct renaming *r, const json_t *mounts)
{
        json_t *mount;
        size_t i;

        json_array_foreach(mounts, i, mount)
        {
                _cleanup_free_ char *moved = moved_path(r, zl_json_str(mount, "source", ""));

                if (!moved || zl_json_set(mount, "source", json_string(moved)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* spec.json comes last: with it the old name is forgotten. */
static int adapt_document(const struct renaming *r, json_t *d)
{
        _cleanup_free_ char *cgroup = moved_cgroup(r, zl_json_str(d, "cgroup", "")), *text = NULL;
        json_t *network = json_object_get(d, "network");
        struct zl_ident ident;
        int e = zl_ident_parse(r->name, &ident);

        if (e == 0)
                e = cgroup ? zl_json_set(d, "cgroup", json_string(cgroup)) : -ENOMEM;
        if (e == 0)
                e = adapt_mounts(r, json_object_get(d, "mounts"));
        if (e == 0 && network) /* the names that lead to it */
                e = zl_json_set(network, "service", json_string(ident.service)) ||
                                    zl_json_set(network, "replica", json_integer(ident.replica))
                            ? -ENOMEM
                            : 0;
        if (e == 0)
                e = zl_json_set(d, "name", json_string(r->name));
        if (e < 0 || !(text = zl_json_dump(d, 0)))
                return zl_fail_oom(r->err);
        e = zl_write_file_at(r->state_fd, NATIVE_SPEC, text, strlen(text), 0600, 0);
        return e < 0 ? zl_fail_errno(r->err, -e, "cannot write %s/%s", r->dir, NATIVE_SPEC) : 0;
}

/* ---- what it owns ------------------------------------------------------------------------------------- */

/* Its image and volumes have it as their user under both names until all is done. */
static int hold_as_new(const struct renaming *r, const struct native_record *record)
{
        struct zl_image_store *images;
        struct zl_volumes *volumes;
        int e = native_images(r->n, &images, r->err);

        if (e == 0 && record->digest)
                e = zl_image_hold(images, record->digest, r->name, r->err);
        if (e == 0)
                e = native_volumes(r->n, &volumes, r->err);
        ZL_STRV_FOREACH(volume, record->volumes) {
                _cleanup_free_ char *path = NULL;
                bool fresh;

                if (e == 0)
                        e = zl_volume_attach(volumes, *volume, r->name, &path, &fresh, r->err);
        }
        return e;
}

static int release_as_old(const struct renaming *r, const struct native_record *record)
{
        struct zl_image_store *images;
        struct zl_volumes *volumes;
        int e = native_network_detach(r->n, r->old, r->err);

        if (e == 0)
                e = native_volumes(r->n, &volumes, r->err);
        ZL_STRV_FOREACH(volume, record->volumes)
                if (e == 0)
                        e = zl_volume_detach(volumes, *volume, r->old, r->err);
        if (e == 0)
                e = native_images(r->n, &images, r->err);
        return e < 0 ? e : zl_image_release(images, r->old, r->err);
}

/* Secrets are there, and nowhere else. */
static int move_run_dir(const struct renaming *r)
{
        int fd = r->n->run_fd;

        if (renameat(fd, r->old, fd, r->name) < 0 && errno != ENOENT)
                return zl_fail_errno(r->err, errno, "cannot rename %s/%s", r->n->run_dir, r->old);
        return 0;
}

static int adapt_configs(const struct renaming *r, const struct native_record *record)
{
        _cleanup_close_ int run = -EBADF;
        int e = adapt_config(r, r->state_fd);

        if (e < 0 || !record->secret)
                return e;
        run = native_open_run(r->n, r->name);
        /* A restart of the machine has wiped it. */
        if (run < 0 || faccessat(run, NATIVE_CONFIG, F_OK, 0) < 0)
                return 0;
        return adapt_config(r, run);
}

/* Everything behind the instant at which the name changes. May be repeated. */
static int bring_into_line(const struct renaming *r, const struct native_record *record)
{
        struct zl_volumes *volumes;
        int e = hold_as_new(r, record);

        if (e == 0)
                e = move_run_dir(r);
        if (e == 0)
                e = native_volumes(r->n, &volumes, r->err);
        if (e == 0)
                e = zl_volume_rename_anonymous(volumes, r->old, r->name, r->err);
        if (e == 0)
                e = adapt_configs(r, record);
        if (e == 0)
                e = release_as_old(r, record);
        return e < 0 ? e : adapt_document(r, record->document);
}

int native_rename_finish(struct native *n, int state_fd, struct native_record *record,
                         struct zl_error *err)
{
        _cleanup_free_ char *old = strdup(zl_json_str(record->document, "name", record->name));
        _cleanup_renaming_ struct renaming r = {
                .n = n, .state_fd = state_fd, .old = old, .name = record->name, .err = err
        };
        int e;

        if (!old)
                return zl_fail_oom(err);
        if (zl_streq(old, record->name))
                return 0;
        e = fill_paths(&r);
        if (e == 0)
                e = bring_into_line(&r, record);
        if (e < 0) {
                zl_error_prefix(err, "cannot finish renaming %s to %s", old, record->name);
                return e;
        }
        return zl_replace_str(&record->cgroup, zl_json_str(record->document, "cgroup", NULL)) < 0
                       ? zl_fail_oom(err)
                       : 0;
}

/* ---- the operation ------------------------------------------------------------------------------------ */

/* Ends one that only waits. `*ret_again`: it is to be made again under the new name. */
static int end_unstarted(struct native *n, const char *name, bool *ret_again, struct zl_error *err)
{
        _cleanup_(zl_monitor_closep) struct zl_monitor *monitor = NULL;
        _cleanup_exit_record_ struct zl_exit_record record = ZL_EXIT_RECORD_INIT;
        int r = native_connect(n, name, &monitor, err);

        if (r == 0)
                r = zl_monitor_stop(monitor, SIGKILL, 0, &record, err);
        /* Somebody else may have started it in this moment. */
        *ret_again = r == 0 && record.started_at == 0;
        return r;
}

static int end_before(struct native *n, int state, const char *name, bool *ret_again,
                      struct zl_error *err)
{
        struct zl_status status;
        enum zl_workload_state now;
        int r = native_status_locked(n, state, name, &status, err);

        *ret_again = false;
        if (r < 0)
                return r;
        now = status.state;
        zl_status_done(&status);
        if (now == ZL_STATE_PENDING)
                return end_unstarted(n, name, ret_again, err);
        if (now == ZL_STATE_EXITED || now == ZL_STATE_FAILED)
                return 0;
        r = zl_fail(err, ZL_E_STATE, 0, "cannot rename %s: it is %s", name,
                    zl_workload_state_name(now));
        zl_error_hint(err, "stop it first: its control group bears the name as long as it runs");
        return r;
}

static int take_new_name(struct native *n, const char *name, const char *new_name,
                         struct zl_error *err)
{
        if (renameat2(n->containers_fd, name, n->containers_fd, new_name, RENAME_NOREPLACE) == 0)
                return 0;
        return errno == EEXIST
                       ? zl_fail(err, ZL_E_EXISTS, 0, "workload %s exists already", new_name)
                       : zl_fail_errno(err, errno, "cannot rename %s/%s to %s", n->containers_dir,
                                       name, new_name);
}

int native_rename(struct zl_runtime *rt, const char *name, const char *new_name,
                  struct zl_error *err)
{
        struct native *n = native_from(rt);
        _cleanup_close_ int state = native_lock_state(n, name, true, err);
        _cleanup_record_ struct native_record record = { 0 };
        bool again = false;
        int r;

        if (state < 0)
                return state;
        r = native_record_load(n, state, name, &record, err);
        if (r == 0 && faccessat(n->containers_fd, new_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                return zl_fail(err, ZL_E_EXISTS, 0, "workload %s exists already", new_name);
        if (r == 0)
                r = native_rename_finish(n, state, &record, err);
        if (r == 0)
                r = end_before(n, state, name, &again, err);
        if (r == 0)
                r = take_new_name(n, name, new_name, err);
        if (r < 0 && again) /* somebody was faster: it waits on as before */
                native_relaunch(n, state, &record, record.generation, NULL);
        if (r == 0 && zl_replace_str(&record.name, new_name) < 0)
                r = zl_fail_oom(err);
        if (r == 0)
                r = native_rename_finish(n, state, &record, err);
        if (r < 0 || !again)
                return r;
        r = native_relaunch(n, state, &record, record.generation, err);
        if (r < 0)
                zl_error_prefix(err, "%s is called %s now", name, new_name);
        return r;
}
