/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native runtime: Linux containers by the built-in engine, each under a zlayer-monitor of its own. This file makes
 * the runtime and does the short operations, which are mostly a word with the monitor; the monitor orders what
 * comes from several sides, so only start (which may replace the monitor) and remove take the lock of the workload.
 *
 * Everything that matters is on disk or in the monitors. A runtime object is a few descriptors: any number of
 * processes may have one on the same directories.
 */
#include "runtimes/native.h"
#include "runtimes/environment.h"
#include "runtimes/native_network.h"
#include "runtimes/native_wasm.h"
#include "runtimes/seccomp_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"

/* ---- parts ------------------------------------------------------------------------------------------ */

int native_images(struct native *n, struct zl_image_store **ret, struct zl_error *err)
{
        const struct zl_image_store_options options = { .plain_http = n->settings.plain_http };
        int r = 0;

        pthread_mutex_lock(&n->lock);
        if (!n->images) {
                _cleanup_free_ char *path = zl_path_join(n->settings.root_dir, "images");

                r = path ? zl_image_store_open(path, &options, &n->images, err) : zl_fail_oom(err);
        }
        *ret = n->images;
        pthread_mutex_unlock(&n->lock);
        return r;
}

int native_volumes(struct native *n, struct zl_volumes **ret, struct zl_error *err)
{
        int r = 0;

        pthread_mutex_lock(&n->lock);
        if (!n->volumes)
                r = zl_volumes_open(n->settings.root_dir, &n->volumes, err);
        *ret = n->volumes;
        pthread_mutex_unlock(&n->lock);
        return r;
}

/* ---- operations ------------------------------------------------------------------------------------- */

static int wrong_state(const struct zl_status *s, const char *operation, struct zl_error *err)
{
        return zl_fail(err, ZL_E_STATE, 0, "cannot %s %s: it is %s", operation, s->name,
                       zl_workload_state_name(s->state));
}

/* The monitor of a workload, or why there is none: unknown, or ended. `*ret_over` is set if it has ended. */
static int connect_or_explain(struct native *n, const char *name, const char *operation,
                              struct zl_monitor **ret, bool *ret_over, struct zl_error *err)
{
        struct zl_status status;
        int r;

        *ret_over = false;
        if (native_connect(n, name, ret, NULL) == 0)
                return 0;
        r = native_status(n, name, &status, err);
        if (r < 0)
                return r;
        *ret_over = status.state == ZL_STATE_EXITED || status.state == ZL_STATE_FAILED;
        /* It may just have been created by somebody else. */
        r = *ret_over ? wrong_state(&status, operation, err) : native_connect(n, name, ret, err);
        zl_status_done(&status);
        return r;
}

int native_relaunch(struct native *n, int state, struct native_record *record, uint32_t generation,
                    struct zl_error *err)
{
        _cleanup_close_ int seccomp = -EBADF;
        _cleanup_error_ struct zl_error own = ZL_ERROR_INIT;
        _cleanup_free_ char *bundle = NULL;
        int r = native_bundle_path(n, record, &bundle, err);

        if (r < 0)
                return r;
        if (record->seccomp) {
                seccomp = openat(state, NATIVE_FILTER, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
                if (seccomp < 0)
                        return zl_fail_errno(err, errno, "cannot open %s/%s/%s", n->containers_dir,
                                             record->name, NATIVE_FILTER);
        }
        record->generation = generation;
        if (n->host.facts.rootless && !*zl_json_str(record->document, "cgroup", "")) {
                zl_freep(&record->cgroup);
                r = native_find_group(n, record->name, &record->cgroup, err);
                if (r < 0)
                        return r;
        }
        r = native_record_save_status(n, state, record, err);
        if (r < 0)
                return r;
        r = native_launch(n, record, generation, seccomp, &own);
        if (r < 0) {
                /* The old end is gone, so this one has to be on record. */
                native_settle(n, state, record, zl_error_message(&own), NULL);
                zl_error_prefix(&own, "cannot start %s again", record->name);
                zl_error_move(err, &own);
        }
        return r;
}

static int start(struct native *n, const char *name, struct zl_error *err)
{
        _cleanup_(zl_monitor_closep) struct zl_monitor *monitor = NULL;
        _cleanup_close_ int state = -EBADF;
        struct zl_status status;
        int r;

        /* The common case, a workload that was just created, needs neither lock nor records. */
        monitor = native_take_connection(n, name);
        if (monitor || native_connect(n, name, &monitor, NULL) == 0)
                return zl_monitor_start(monitor, err);
        state = native_lock_state(n, name, true, err);
        if (state < 0)
                return state;
        r = native_status_locked(n, state, name, &status, err);
        if (r < 0)
                return r;
        if (status.state == ZL_STATE_EXITED || status.state == ZL_STATE_FAILED) {
                _cleanup_record_ struct native_record record = { 0 };
                _cleanup_close_ int gpus = -EBADF;

                r = native_record_load(n, state, name, &record, err);
                if (r == 0)
                        r = native_rename_finish(n, state, &record, err);
                if (r == 0)
                        r = native_claim_gpus(n, state, name, &gpus, err);
                if (r == 0)
                        r = native_relaunch(n, state, &record, record.generation + 1, err);
        } else if (status.state != ZL_STATE_PENDING) {
                r = wrong_state(&status, "start", err);
        }
        zl_status_done(&status);
        if (r == 0)
                r = native_connect(n, name, &monitor, err);
        return r < 0 ? r : zl_monitor_start(monitor, err);
}

static int native_start(struct zl_runtime *rt, const char *name, struct zl_error *err)
{
        struct native *n = native_from(rt);
        int r = start(n, name, err);

        native_spare_started(n);
        return r;
}

static int native_stop(struct zl_runtime *rt, const char *name, int64_t grace_nsec,
                       struct zl_error *err)
{
        struct native *n = native_from(rt);
        _cleanup_(zl_monitor_closep) struct zl_monitor *monitor = NULL;
        struct zl_error own = ZL_ERROR_INIT;
        bool over;
        int r = connect_or_explain(n, name, "stop", &monitor, &over, &own);

        if (r == 0)
                r = zl_monitor_stop(monitor, 0, grace_nsec, NULL, &own);
        /* It ended while we asked: that is what was wanted. */
        if (r < 0 && (over || own.code == ZL_E_NETWORK || own.code == ZL_E_STATE)) {
                struct zl_status status;

                if (native_status(n, name, &status, NULL) == 0) {
                        over = status.state == ZL_STATE_EXITED || status.state == ZL_STATE_FAILED;
                        zl_status_done(&status);
                        if (over)
                                r = 0;
                }
        }
        if (r < 0)
                zl_error_move(err, &own);
        zl_error_done(&own);
        return r;
}

static int native_kill(struct zl_runtime *rt, const char *name, int sig, bool all,
                       struct zl_error *err)
{
        _cleanup_(zl_monitor_closep) struct zl_monitor *monitor = NULL;
        bool over;
        int r = connect_or_explain(native_from(rt), name, "send a signal to", &monitor, &over, err);

        return r < 0 ? r : zl_monitor_kill(monitor, sig, all, err);
}

static int native_pause(struct zl_runtime *rt, const char *name, bool pause, struct zl_error *err)
{
        _cleanup_(zl_monitor_closep) struct zl_monitor *monitor = NULL;
        bool over;
        int r = connect_or_explain(native_from(rt), name, pause ? "pause" : "resume", &monitor,
                                   &over, err);

        return r < 0 ? r : zl_monitor_pause(monitor, pause, err);
}

static int native_state(struct zl_runtime *rt, const char *name, struct zl_status *ret,
                        struct zl_error *err)
{
        struct native *n = native_from(rt);

        /* What a monitor has put down of one that runs is as true as its answer, and costs a quarter. */
        return native_glance(n, name, ret) == 1 ? 0 : native_status(n, name, ret, err);
}

/* Ends what is not over, or says that it is in the way. */
static int end_for_removal(struct native *n, const char *name, bool force, struct zl_error *err)
{
        _cleanup_(zl_monitor_closep) struct zl_monitor *monitor = NULL;
        struct zl_monitor_status m = ZL_MONITOR_STATUS_INIT;
        int r;

        if (native_connect(n, name, &monitor, NULL) < 0)
                return 0;
        if (!force && zl_monitor_get_status(monitor, &m, NULL) == 0) {
                enum zl_workload_state state = m.state;

                zl_monitor_status_done(&m);
                if (state == ZL_STATE_RUNNING || state == ZL_STATE_PAUSED ||
                    state == ZL_STATE_STOPPING) {
                        r = zl_fail(err, ZL_E_STATE, 0, "cannot remove %s: it is %s", name,
                                    zl_workload_state_name(state));
                        zl_error_hint(err, "stop it first, or use force");
                        return r;
                }
        }
        r = zl_monitor_stop(monitor, SIGKILL, 0, NULL, err);
        if (r < 0) {
                _cleanup_(zl_monitor_closep) struct zl_monitor *again = NULL;

                if (native_connect(n, name, &again, NULL) < 0) {
                        zl_error_done(err); /* it has ended all the same */
                        return 0;
                }
        }
        return r;
}

static int native_remove(struct zl_runtime *rt, const char *name, bool force, struct zl_error *err)
{
        struct native *n = native_from(rt);
        _cleanup_close_ int state = native_lock_state(n, name, true, err);
        _cleanup_record_ struct native_record record = { 0 };
        struct zl_status status;
        int r;

        if (state < 0)
                return state;
        if (native_record_load(n, state, name, &record, NULL) < 0)
                return native_erase_wreck(n, state, name, err);
        r = end_for_removal(n, name, force, err);
        if (r < 0)
                return r;
        /* If its monitor was killed there is still a cgroup, which goes when the end is put down. */
        if (native_status_locked(n, state, name, &status, NULL) == 0)
                zl_status_done(&status);
        return native_erase(n, name, record.volumes, err);
}

/* ---- making one -------------------------------------------------------------------------------------- */

static void native_free(struct zl_runtime *rt)
{
        struct native *n = native_from(rt);

        native_spares_close(n);
        zl_monitor_close(n->last.monitor);
        free(n->last.name);
        zl_image_store_close(n->images);
        zl_volumes_close(n->volumes);
        zl_close(n->containers_fd);
        zl_close(n->run_fd);
        free(n->delegate);
        free(n->delegate_monitor);
        native_network_done(n);
        free(n->containers_dir);
        free(n->run_dir);
        zl_seccomp_cache_free(n->filters);
        zl_runtime_settings_done(&n->settings);
        pthread_mutex_destroy(&n->lock);
        free(n);
}

static int native_set_ready(struct zl_runtime *rt, const char *name, bool ready,
                            struct zl_error *err)
{
        return native_network_set_ready(native_from(rt), name, ready, err);
}

static int native_drain(struct zl_runtime *rt, const char *name, int64_t timeout_nsec,
                        struct zl_error *err)
{
        return native_network_drain(native_from(rt), name, timeout_nsec, err);
}

/* What containers and WebAssembly have. */
#define COMMON_OPS                                                                                 \
        .free = native_free, .pull = native_pull, .create = native_create, .start = native_start,  \
        .stop = native_stop, .kill = native_kill, .pause = native_pause,                           \
        .set_ready = native_set_ready, .drain = native_drain, .remove = native_remove,             \
        .state = native_state, .rename = native_rename, .list = native_list,                       \
        .inspect = native_inspect, .recover = native_recover, .watch_open = native_watch_open,     \
        .watch_open_all = native_watch_open_all, .watch_fd = native_watch_fd,                      \
        .watch_next = native_watch_next, .watch_close = native_watch_close,                        \
        .logs_open = native_logs_open, .logs_fd = native_logs_fd, .logs_next = native_logs_next,   \
        .logs_close = native_logs_close, .exec_open = native_exec_open, .exec_fd = native_exec_fd, \
        .exec_tty_fd = native_exec_tty_fd, .exec_resize = native_exec_resize,                      \
        .exec_kill = native_exec_kill, .exec_result = native_exec_result,                          \
        .exec_close = native_exec_close, .dial = native_dial, .image_health = native_image_health, \
        .attach_open = native_attach_open, .attach_fd = native_attach_fd,                          \
        .attach_next = native_attach_next, .attach_write = native_attach_write,                    \
        .attach_resize = native_attach_resize, .attach_close = native_attach_close,                \
        .stats = native_stats, .top = native_top, .update = native_update,                         \
        .image_list = native_image_list, .image_inspect = native_image_inspect,                    \
        .image_history = native_image_history, .image_search = native_image_search,                \
        .image_tag = native_image_tag, .image_remove = native_image_remove,                        \
        .image_prune = native_image_prune, .image_save = native_image_save,                        \
        .image_load = native_image_load

const struct zl_runtime_ops zl_native_ops = {
        .kind = ZL_RUNTIME_NATIVE,
        COMMON_OPS,
        .changes = native_changes,
        .archive_head = native_archive_head,
        .archive_get = native_archive_get,
        .archive_put = native_archive_put,
        .export = native_export,
        .commit = native_commit,
};

/* A module has no file system of its own. */
const struct zl_runtime_ops zl_wasm_ops = {
        .kind = ZL_RUNTIME_WASM,
        COMMON_OPS,
};

int zl_native_probe(const struct zl_runtime_options *options, struct zl_error *err)
{
        int r;

        if (geteuid() != 0) {
                r = zl_fail(err, ZL_E_PERMISSION, 0, "containers can only be made by root");
                zl_error_hint(err, "run as root, for example with sudo");
                return r;
        }
        if (access("/sys/fs/cgroup", F_OK) < 0) {
                r = zl_fail(err, ZL_E_UNSUPPORTED, 0, "no cgroup file system is mounted");
                zl_error_hint(err, "mount one: mount -t cgroup2 none /sys/fs/cgroup");
                return r;
        }
        if (!options->monitor_path)
                return zl_fail(err, ZL_E_CONFIGURATION, 0,
                               "the program zlayer-monitor is nowhere to be found");
        if (access(options->monitor_path, X_OK) < 0)
                return zl_fail(err, ZL_E_CONFIGURATION, errno, "cannot run %s",
                               options->monitor_path);
        return 0;
}

int zl_native_new(const struct zl_runtime_options *options, struct zl_runtime **ret,
                  struct zl_error *err)
{
        struct native *n = calloc(1, sizeof(*n));
        _cleanup_free_ char *cache = NULL, *filters = NULL;
        int r;

        if (!n)
                return zl_fail_oom(err);
        n->ops = zl_native_ops;
        n->rt.ops = &n->ops;
        n->containers_fd = n->run_fd = -EBADF;
        pthread_mutex_init(&n->lock, NULL);
        r = zl_runtime_settings_make(options, &n->settings, err);
        if (r == 0) {
                n->containers_dir = zl_environment_dir("ZLAYER_STATE_DIR", n->settings.root_dir,
                                                       "containers");
                n->run_dir = zl_path_join(n->settings.runtime_dir, "containers");
                cache = zl_environment_dir("ZLAYER_CACHE_DIR", n->settings.root_dir, "cache");
                filters = cache ? zl_path_join(cache, "seccomp") : NULL;
                n->filters = filters ? zl_seccomp_cache_new(filters) : NULL;
                if (!n->containers_dir || !n->run_dir || !n->filters)
                        r = zl_fail_oom(err);
                /* Also without a delegate: a workload of one may be here and be started again. */
                n->delegate_monitor = zl_oci_monitor(n->settings.monitor_path);
                if (native_network_init(n) < 0)
                        r = zl_fail_oom(err);
        }
        if (r == 0)
                r = n->containers_fd = zl_open_dir_at(AT_FDCWD, n->containers_dir, 0711, err);
        if (r >= 0)
                r = n->run_fd = zl_open_dir_at(AT_FDCWD, n->run_dir, 0700, err);
        if (r >= 0) {
                zl_host_read(&n->host);
                r = native_spares_open(n, err);
        }
        if (r < 0) {
                native_free(&n->rt);
                return r;
        }
        *ret = &n->rt;
        return 0;
}

int zl_wasm_probe(const struct zl_runtime_options *options, char **ret_version,
                  struct zl_error *err)
{
        int r = zl_native_probe(options, err);

        if (r == 0)
                r = native_wasm_find_helper(options->monitor_path, NULL, err);
        if (r == 0 && ret_version)
                *ret_version = strdup("wasmtime " ZL_WASMTIME_VERSION);
        return r;
}

/* A native runtime that takes WebAssembly only. The native one takes it, too. */
int zl_wasm_new(const struct zl_runtime_options *options, struct zl_runtime **ret,
                struct zl_error *err)
{
        int r = zl_native_new(options, ret, err);

        if (r == 0)
                native_from(*ret)->ops = zl_wasm_ops;
        return r;
}

int zl_oci_new(const struct zl_runtime_options *options, struct zl_runtime **ret,
               struct zl_error *err)
{
        struct native *n;
        int r = zl_native_new(options, ret, err);

        if (r < 0)
                return r;
        n = native_from(*ret);
        n->ops.kind = ZL_RUNTIME_OCI;
        r = zl_oci_find(n->settings.oci_name, &n->delegate, err);
        if (r < 0)
                zl_runtime_free(*ret);
        return r;
}
