/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a native workload, and how it comes together to one status. Three sources, asked in this order:
 * its monitor, if one answers; the exit record, if it is of the present generation; else the workload has no
 * end on record and nobody to tell one, so its monitor was killed or the machine was restarted. Then the
 * end is settled: leftovers removed, record written, so that everybody reads the same from then on.
 *
 * The order matters: a monitor writes the record before it stops listening, so after a failed connection
 * the record is there if there ever will be one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strv.h"
#include "linux/cgroup.h"
#include "runtimes/native.h"
#include "runtimes/native_network.h"

enum { DOCUMENT_MAX = 32 << 20 };

/* So long even those are asked for whom no time is left. */
#define LOOK_LEAST (50 * ZL_NSEC_PER_MSEC)

void native_record_done(struct native_record *r)
{
        free(r->name);
        free(r->boot_id);
        free(r->image);
        free(r->digest);
        free(r->cgroup);
        free(r->delegate);
        zl_strv_free(r->volumes);
        zl_strv_free(r->lower_dirs);
        json_decref(r->document);
        *r = (struct native_record){ 0 };
}

/* ---- directories --------------------------------------------------------------------------------- */

int native_open_state(struct native *n, const char *name, struct zl_error *err)
{
        int fd = openat(n->containers_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd >= 0)
                return fd;
        if (errno == ENOENT || errno == ENOTDIR)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "there is no workload %s", name);
        return zl_fail_errno(err, errno, "cannot open the directory of %s", name);
}

int native_lock_state(struct native *n, const char *name, bool wait, struct zl_error *err)
{
        for (;;) {
                _cleanup_close_ int fd = native_open_state(n, name, err);
                struct stat mine, now;
                int r;

                if (fd < 0)
                        return fd;
                r = zl_lock_fd(fd, true, wait);
                if (r == -EWOULDBLOCK)
                        return zl_fail(err, ZL_E_BUSY, EWOULDBLOCK, "another process works on %s",
                                       name);
                if (r < 0 || fstat(fd, &mine) < 0)
                        return zl_fail_errno(err, r < 0 ? -r : errno, "cannot lock %s", name);
                /* Whoever held it before may have removed it, and somebody else made a new one. */
                if (fstatat(n->containers_fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
                    mine.st_ino == now.st_ino && mine.st_dev == now.st_dev)
                        return zl_take_fd(fd);
        }
}

int native_open_run(struct native *n, const char *name)
{
        int fd = openat(n->run_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

/* ---- documents ----------------------------------------------------------------------------------- */

static int read_json(int state_fd, const char *file, json_t **ret, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r = zl_read_file_at(state_fd, file, DOCUMENT_MAX, &text, &len);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", file);
        return zl_json_parse(text, len, file, ret, err);
}

static int read_strings(const json_t *list, char ***ret)
{
        const json_t *v;
        size_t i;

        json_array_foreach(list, i,
                           v) if (json_is_string(v) &&
                                  zl_strv_push(ret, json_string_value(v)) < 0) return -ENOMEM;
        return 0;
}

static int copy_text(const json_t *object, const char *key, char **ret)
{
        return zl_replace_str(ret, zl_json_str(object, key, NULL));
}

int native_record_load(struct native *n, int state_fd, const char *name, struct native_record *ret,
                       struct zl_error *err)
{
        _cleanup_record_ struct native_record r = { 0 };
        _cleanup_json_ json_t *status = NULL;
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        const json_t *d;

        /* The status comes last when a workload is made: without it there is nothing yet (or nothing any more). */
        if (read_json(state_fd, NATIVE_STATUS, &status, &why) < 0)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "there is no workload %s", name);
        if (read_json(state_fd, NATIVE_SPEC, &r.document, err) < 0) {
                zl_error_prefix(err, "%s", name);
                zl_error_recode(err, ZL_E_CORRUPT);
                return -EBADMSG;
        }
        d = r.document;
        r.generation = (uint32_t)zl_json_int(status, "generation", 1);
        r.created_at = zl_json_int(d, "created_at", 0);
        r.stop_signal = (int)zl_json_int(d, "stop_signal", 0);
        r.grace_nsec = zl_json_int(d, "grace_nsec", -1);
        r.log_max_size = (uint64_t)zl_json_int(d, "log_max_size", 0);
        r.keep_most = (uint32_t)zl_json_int(d, "keep_most", 0);
        r.init_reaper = zl_json_bool(d, "init_reaper", false);
        r.attach_stdin = zl_json_bool(d, "attach_stdin", false);
        r.auto_remove = zl_json_bool(d, "auto_remove", false);
        r.seccomp = zl_json_bool(d, "seccomp", false);
        r.wasm = zl_json_bool(d, "wasm", false);
        r.secret = zl_json_bool(d, "secret", false);
        r.rows = (uint16_t)zl_json_int(d, "rows", 0);
        r.cols = (uint16_t)zl_json_int(d, "cols", 0);
        r.network = json_object_get(d, "network");
        if (zl_replace_str(&r.name, name) < 0 || copy_text(status, "boot_id", &r.boot_id) < 0 ||
            copy_text(d, "image", &r.image) < 0 || copy_text(d, "digest", &r.digest) < 0 ||
            copy_text(*zl_json_str(d, "cgroup", "") ? d : status, "cgroup", &r.cgroup) < 0 ||
            copy_text(d, "delegate", &r.delegate) < 0 ||
            read_strings(json_object_get(d, "volumes"), &r.volumes) < 0 ||
            read_strings(json_object_get(d, "lower_dirs"), &r.lower_dirs) < 0)
                return zl_fail_oom(err);
        *ret = r;
        r = (struct native_record){ 0 };
        return 0;
}

/* The first of a state that was a shell has its file already, empty. */
static int write_status(int state_fd, const char *text)
{
        _cleanup_close_ int fd = openat(state_fd, NATIVE_STATUS_NEW,
                                        O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        int r = fd < 0 ? -errno : zl_write_full(fd, text, strlen(text));

        /* Somebody may have died over a longer one. */
        return r == 0 && ftruncate(fd, (off_t)strlen(text)) < 0 ? -errno : r;
}

int native_record_draft_status(struct native *n, int state_fd, const struct native_record *record,
                               struct zl_error *err)
{
        _cleanup_json_ json_t *d = json_pack("{s:i, s:s, s:s?, s:I, s:b, s:b}", "generation",
                                             (int)record->generation, "boot_id", n->host.boot_id,
                                             "image", record->image, "created_at",
                                             (json_int_t)record->created_at, "delegated",
                                             record->delegate != NULL, "wasm", (int)record->wasm);
        _cleanup_free_ char *text = NULL;
        int r = d ? 0 : -ENOMEM;

        if (r == 0 && n->host.facts.rootless && record->cgroup && *record->cgroup)
                r = zl_json_set(d, "cgroup", json_string(record->cgroup));
        if (r < 0 || !(text = zl_json_dump(d, 0)))
                return zl_fail_oom(err);
        r = write_status(state_fd, text);
        return r < 0 ? zl_fail_errno(err, -r, "cannot write %s", NATIVE_STATUS) : 0;
}

int native_record_publish_status(int state_fd, struct zl_error *err)
{
        if (renameat(state_fd, NATIVE_STATUS_NEW, state_fd, NATIVE_STATUS) < 0)
                return zl_fail_errno(err, errno, "cannot write %s", NATIVE_STATUS);
        return 0;
}

int native_record_save_status(struct native *n, int state_fd, const struct native_record *record,
                              struct zl_error *err)
{
        int r = native_record_draft_status(n, state_fd, record, err);

        return r < 0 ? r : native_record_publish_status(state_fd, err);
}

/* ---- status -------------------------------------------------------------------------------------- */

static int fill_status(const struct native_record *record, const struct zl_exit_record *x,
                       struct zl_status *ret, struct zl_error *err)
{
        struct zl_status s = { .runtime = record->delegate ? ZL_RUNTIME_OCI
                                          : record->wasm   ? ZL_RUNTIME_WASM
                                                           : ZL_RUNTIME_NATIVE,
                               .exit_code = x->exit_code,
                               .signal = x->signal,
                               .oom = x->oom,
                               .stop_requested = x->stop_requested,
                               .generation = record->generation,
                               .created_at = record->created_at,
                               .started_at = x->started_at,
                               .finished_at = x->finished_at };

        if (zl_replace_str(&s.name, record->name) < 0 ||
            zl_replace_str(&s.image, record->image) < 0 ||
            zl_replace_str(&s.reason, x->reason) < 0) {
                zl_status_done(&s);
                return zl_fail_oom(err);
        }
        *ret = s;
        return 0;
}

int native_status_from_monitor(const struct native_record *record,
                               const struct zl_monitor_status *m, struct zl_status *ret,
                               struct zl_error *err)
{
        int r = fill_status(record, &m->record, ret, err);

        if (r < 0)
                return r;
        ret->state = m->state;
        ret->pid = m->pid;
        return 0;
}

static int status_from_exit(const struct native_record *record, const struct zl_exit_record *x,
                            struct zl_status *ret, struct zl_error *err)
{
        int r = fill_status(record, x, ret, err);

        if (r == 0)
                ret->state = x->failed || x->exit_code < 0 ? ZL_STATE_FAILED : ZL_STATE_EXITED;
        return r;
}

/* Is it there and no zombie? What ended may be so for a moment before its monitor knows. The link to its program goes with its
 * memory; to look at it is one call, where the state in words takes five, and lists have thousands. */
static bool is_process_alive(pid_t pid)
{
        _cleanup_free_ char *text = NULL;
        char path[64], target[16];
        const char *p;

        snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
        if (readlink(path, target, sizeof(target)) >= 0)
                return true;
        if (errno != EACCES && errno != EPERM)
                return false;
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        if (zl_read_file_at(AT_FDCWD, path, 4096, &text, NULL) < 0)
                return false;
        p = strrchr(text, ')');
        return p && p[1] == ' ' && !strchr("ZXx", p[2]);
}

int native_glance(struct native *n, const char *name, struct zl_status *ret)
{
        _cleanup_json_ json_t *d = NULL;
        _cleanup_free_ char *path = zl_path_join(name, NATIVE_STATUS);
        struct zl_monitor_status m = ZL_MONITOR_STATUS_INIT;
        struct native_record record = { .name = (char *)(uintptr_t)name };
        char delegated[] = "yes";
        int r;

        if (!path || zl_monitor_glance(n->run_fd, name, &m) == 0)
                return 0;
        r = m.state <= ZL_STATE_PAUSED && m.pid > 0 && is_process_alive(m.pid) &&
            read_json(n->containers_fd, path, &d, NULL) == 0 &&
            m.record.generation == (uint32_t)zl_json_int(d, "generation", 0);
        record.generation = m.record.generation;
        record.image = r ? (char *)(uintptr_t)zl_json_str(d, "image", NULL) : NULL;
        record.created_at = r ? zl_json_int(d, "created_at", 0) : 0;
        record.wasm = r && zl_json_bool(d, "wasm", false);
        record.delegate = r && zl_json_bool(d, "delegated", false) ? delegated : NULL;
        r = r && record.image && native_status_from_monitor(&record, &m, ret, NULL) == 0;
        if (r)
                (void)native_network_status(n, &record, ret, NULL); /* as in ask() */
        zl_monitor_status_done(&m);
        return r;
}

int native_connect(struct native *n, const char *name, struct zl_monitor **ret,
                   struct zl_error *err)
{
        _cleanup_close_ int run = native_open_run(n, name);

        if (run < 0)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "%s has no monitor", name);
        return zl_monitor_connect(run, ret, err);
}

/* 0: there is none. */
static ino_t run_inode(const struct native *n, const char *name)
{
        struct stat st;

        return fstatat(n->run_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_ino;
}

void native_keep_connection(struct native *n, const char *name, struct zl_monitor *monitor)
{
        struct zl_monitor *old;
        char *copy = monitor ? strdup(name) : NULL;

        pthread_mutex_lock(&n->lock);
        old = copy ? n->last.monitor : monitor;
        if (copy) {
                free(n->last.name);
                n->last.name = copy;
                n->last.run = run_inode(n, name);
                n->last.monitor = monitor;
        }
        pthread_mutex_unlock(&n->lock);
        zl_monitor_close(old);
}

struct zl_monitor *native_take_connection(struct native *n, const char *name)
{
        struct zl_monitor *monitor = NULL;

        pthread_mutex_lock(&n->lock);
        if (n->last.monitor && zl_streq(n->last.name, name))
                monitor = zl_take_ptr(n->last.monitor);
        pthread_mutex_unlock(&n->lock);
        if (!monitor || (run_inode(n, name) == n->last.run && zl_monitor_is_waiting(monitor)))
                return monitor;
        zl_monitor_close(monitor);
        return NULL;
}

/* 1 and `*ret` if the monitor answers. */
static int ask(struct native *n, struct zl_monitor *monitor, const struct native_record *record,
               struct zl_status *ret)
{
        struct zl_monitor_status m = ZL_MONITOR_STATUS_INIT;
        int r;

        if (zl_monitor_get_status(monitor, &m, NULL) < 0)
                return 0;
        /* Between the end of one generation and the launch of the next, the old one may still answer. */
        r = m.record.generation == record->generation &&
            native_status_from_monitor(record, &m, ret, NULL) == 0;
        /* One that runs and whose address cannot be told just now is not taken for dead. */
        if (r)
                (void)native_network_status(n, record, ret, NULL);
        zl_monitor_status_done(&m);
        return r;
}

static int ask_monitor(struct native *n, const struct native_record *record, struct zl_status *ret)
{
        _cleanup_(zl_monitor_closep) struct zl_monitor *monitor = NULL;

        return native_connect(n, record->name, &monitor, NULL) == 0 && ask(n, monitor, record, ret);
}

static int ask_monitor_until(struct native *n, const struct native_record *record, int64_t until,
                             struct zl_status *ret)
{
        _cleanup_(zl_monitor_closep) struct zl_monitor *monitor = NULL;
        _cleanup_close_ int run = native_open_run(n, record->name);
        int64_t left = ZL_MAX(until - zl_now_monotonic(), LOOK_LEAST);

        return run >= 0 &&
               zl_monitor_connect_within(run, (int)(left / ZL_NSEC_PER_MSEC), &monitor, NULL) ==
                       0 &&
               ask(n, monitor, record, ret);
}

static int read_exit(int state_fd, const struct native_record *record, struct zl_status *ret)
{
        _cleanup_exit_record_ struct zl_exit_record x = ZL_EXIT_RECORD_INIT;

        if (zl_exit_record_load(state_fd, &x, NULL) < 0 || x.generation != record->generation)
                return 0;
        return status_from_exit(record, &x, ret, NULL) == 0;
}

static bool is_monitor_alive(struct native *n, const char *name)
{
        _cleanup_close_ int run = native_open_run(n, name);

        return run >= 0 && zl_monitor_is_alive(run, NULL, NULL) == 1;
}

static void remove_cgroup(const char *path)
{
        const struct zl_cgroup_options options = { .path = path, .owned = true };
        _cleanup_(zl_cgroup_freep) struct zl_cgroup *cg = NULL;

        if (!path || zl_cgroup_open(&options, &cg, NULL) < 0)
                return;
        zl_cgroup_kill_all(cg, 9, NULL);
        zl_cgroup_remove(cg, NULL);
}

int native_settle(struct native *n, int state_fd, const struct native_record *record,
                  const char *reason, struct zl_error *err)
{
        _cleanup_close_ int run = native_open_run(n, record->name);
        _cleanup_exit_record_ struct zl_exit_record x = ZL_EXIT_RECORD_INIT;

        remove_cgroup(record->cgroup);
        if (run >= 0)
                zl_monitor_clean_run_dir(run, NULL);
        x.generation = record->generation;
        x.failed = true;
        x.created_at = record->created_at;
        x.finished_at = zl_now_realtime();
        x.reason = strdup(reason);
        return x.reason ? zl_exit_record_save(state_fd, &x, err) : zl_fail_oom(err);
}

static const char *settle_reason(const struct native *n, const struct native_record *record)
{
        if (record->boot_id && n->host.boot_id[0] && !zl_streq(record->boot_id, n->host.boot_id))
                return "the machine was restarted";
        return ZL_EXIT_REASON_MONITOR_DIED;
}

/* Of a workload whose monitor does not answer. */
static int last_known(struct native *n, const struct native_record *record, struct zl_status *ret,
                      struct zl_error *err)
{
        struct zl_monitor_status m = ZL_MONITOR_STATUS_INIT;
        int r;

        if (zl_monitor_glance(n->run_fd, record->name, &m) == 0 ||
            m.record.generation != record->generation) {
                zl_monitor_status_done(&m);
                m.state = ZL_STATE_RUNNING;
        }
        r = native_status_from_monitor(record, &m, ret, err);
        zl_monitor_status_done(&m);
        if (r == 0 && !ret->reason)
                ret->reason = strdup("its monitor does not answer");
        if (r == 0)
                (void)native_network_status(n, record, ret, NULL); /* as in ask() */
        return r;
}

int native_status_locked(struct native *n, int state, const char *name, struct zl_status *ret,
                         struct zl_error *err)
{
        _cleanup_record_ struct native_record record = { 0 };
        int r = native_record_load(n, state, name, &record, err);

        if (r < 0)
                return r;
        if (ask_monitor(n, &record, ret) || read_exit(state, &record, ret))
                return 0;
        /* It lives but does not answer (stopped by somebody, or swapped out): no end to put down. */
        if (is_monitor_alive(n, name))
                return last_known(n, &record, ret, err);
        r = native_settle(n, state, &record, settle_reason(n, &record), err);
        if (r < 0)
                return r;
        return read_exit(state, &record, ret)
                       ? 0
                       : zl_fail(err, ZL_E_IO, 0, "cannot read back the exit record of %s", name);
}

int native_status(struct native *n, const char *name, struct zl_status *ret, struct zl_error *err)
{
        _cleanup_close_ int state = native_open_state(n, name, err);
        _cleanup_record_ struct native_record record = { 0 };
        int r;

        if (state < 0)
                return state;
        r = native_record_load(n, state, name, &record, err);
        if (r < 0)
                return r;
        if (ask_monitor(n, &record, ret) || read_exit(state, &record, ret))
                return 0;
        /* Nobody answers and nothing is on record: under the lock, look once more and put down the end. */
        zl_close(state);
        state = native_lock_state(n, name, true, err);
        return state < 0 ? state : native_status_locked(n, state, name, ret, err);
}

/* Somebody makes its next life, or takes it away, and no monitor is there. */
static int status_of_busy(const struct native_record *record, struct zl_status *ret,
                          struct zl_error *err)
{
        const struct zl_exit_record x = ZL_EXIT_RECORD_INIT;
        int r = fill_status(record, &x, ret, err);

        if (r == 0)
                ret->state = ZL_STATE_INITIALIZING;
        return r;
}

int native_look(struct native *n, const char *name, int64_t until, struct zl_status *ret,
                struct zl_error *err)
{
        _cleanup_close_ int state = -EBADF;
        _cleanup_record_ struct native_record record = { 0 };
        int r;

        if (native_glance(n, name, ret) == 1)
                return 0;
        state = native_open_state(n, name, err);
        if (state < 0)
                return state;
        r = native_record_load(n, state, name, &record, err);
        if (r < 0)
                return r;
        if (ask_monitor_until(n, &record, until, ret) || read_exit(state, &record, ret))
                return 0;
        if (is_monitor_alive(n, name))
                return last_known(n, &record, ret, err);
        zl_close(state);
        state = native_lock_state(n, name, false, err);
        if (state == -EWOULDBLOCK) {
                zl_error_done(err);
                return status_of_busy(&record, ret, err);
        }
        return state < 0 ? state : native_status_locked(n, state, name, ret, err);
}
