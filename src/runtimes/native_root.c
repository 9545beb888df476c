/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Into the file system of a native workload, from outside. A thread of its own enters, so that the program's other threads
 * see nothing of it.
 *
 * A workload that has a process: the thread enters the mount namespace of that process. The descriptor of its root alone would do for
 * reading, but only who is in the namespace is told by the kernel that a name is a mount point; from outside, removing a
 * name takes away what the workload has mounted there. One that has ended: the overlay is mounted once more, with its volumes, in
 * a mount namespace that ends with the thread, and the workload stays locked so that nobody starts it meanwhile. For reading
 * the upper directory is one more lower one, which spares the kernel the sync of the disk at the end.
 *
 * What may go wrong: the process of a delegate whose create has failed is a placeholder in the root of the host. A root that is ours is
 * therefore refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/strv.h"
#include "base/thread.h"
#include "image/unpack.h"
#include "linux/mounts.h"
#include "oci/runtime_config.h"
#include "runtimes/native.h"

struct visit {
        struct native *n;
        const char *name;
        unsigned flags;
        native_visitor run;
        void *data;
        int root, mount_ns; /* of the process; -EBADF: there is none */
        int state;          /* locked, as long as there is no process */
        char **lower_dirs;
        int result;
        struct zl_error *err;
};

/* ---- one that lives ---------------------------------------------------------------------------------------- */

static int open_of(pid_t pid, const char *what, int flags)
{
        char path[64];
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
        fd = open(path, flags | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* The process may have ended and its number be somebody else's by now, so it is asked for once more. */
static int open_process(struct visit *v, pid_t pid)
{
        struct stat theirs, ours;
        struct zl_status again;
        pid_t now;
        int r;

        v->root = open_of(pid, "root", O_PATH | O_DIRECTORY);
        v->mount_ns = open_of(pid, "ns/mnt", O_RDONLY);
        if (v->root < 0 || v->mount_ns < 0)
                return zl_fail_errno(v->err, v->root < 0 ? -v->root : -v->mount_ns,
                                     "cannot open the root of %s", v->name);
        r = native_status(v->n, v->name, &again, v->err);
        if (r < 0)
                return r;
        now = again.pid;
        zl_status_done(&again);
        if (now != pid)
                return zl_fail(v->err, ZL_E_STATE, 0, "%s has just ended", v->name);
        if (fstat(v->root, &theirs) < 0 || stat("/", &ours) < 0)
                return zl_fail_errno(v->err, errno, "cannot look at the root of %s", v->name);
        if (theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino)
                return zl_fail(v->err, ZL_E_STATE, 0, "%s has no file system of its own", v->name);
        return 0;
}

/* ---- one that has ended ------------------------------------------------------------------------------------ */

static int mount_overlay(struct visit *v, char **ret_place)
{
        _cleanup_free_ char *upper = NULL, *work = NULL, *joined = NULL, *place = NULL;
        bool write = v->flags & NATIVE_ROOT_WRITE;
        _cleanup_close_ int target = -EBADF;
        struct zl_overlay_plan plan;

        if (asprintf(&place, "%s/%s/rootfs", v->n->containers_dir, v->name) < 0 ||
            asprintf(&upper, "%s/%s/upper", v->n->containers_dir, v->name) < 0 ||
            asprintf(&work, "%s/%s/work", v->n->containers_dir, v->name) < 0 ||
            (!write && zl_strv_push(&v->lower_dirs, upper) < 0))
                return zl_fail_oom(v->err);
        joined = zl_overlay_options(v->lower_dirs, write ? upper : NULL, write ? work : NULL);
        if (!joined)
                return zl_fail_oom(v->err);
        plan = (struct zl_overlay_plan){ v->lower_dirs, zl_strv_len(v->lower_dirs),
                                         write ? upper : NULL, write ? work : NULL, joined };
        target = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (target < 0)
                return zl_fail_errno(v->err, errno, "cannot open %s", place);
        v->root = zl_mount_overlay_on(target, &plan);
        if (v->root < 0)
                return zl_fail_errno(v->err, -v->root, "cannot mount the files of %s", v->name);
        *ret_place = zl_take_ptr(place);
        return 0;
}

/* A volume, or a directory of the host. One whose source or place is gone is left out. */
static int mount_one(struct visit *v, const struct zl_oci_mount *m)
{
        struct zl_mount_options options = { 0 };
        _cleanup_close_ int source = -EBADF, target = -EBADF, mounted = -EBADF;
        int r = zl_mount_options_parse(m->options, &options, v->err);

        if (r < 0)
                return r;
        free(options.data);
        if ((!options.bind && !options.rbind) || !m->source || m->source[0] != '/')
                return 0;
        source = open(m->source, O_PATH | O_CLOEXEC);
        target = zl_open_in(v->root, m->destination, O_PATH, 0, ZL_PATH_IN_ROOT);
        if (source < 0 || target < 0)
                return 0;
        mounted = zl_mount_bind_on(target, source, options.rbind);
        if (mounted >= 0 && (options.flags & MS_RDONLY))
                r = zl_mount_set_flags(mounted, MS_RDONLY, 0, options.rbind);
        if (mounted < 0 || r < 0)
                return zl_fail_errno(v->err, mounted < 0 ? -mounted : -r, "cannot mount %s",
                                     m->destination);
        return 0;
}

static int mount_volumes(struct visit *v)
{
        _cleanup_(zl_oci_config_freep) struct zl_oci_config *config = NULL;
        int r = zl_oci_config_load_at(v->state, NATIVE_CONFIG, &config, v->err);

        for (size_t i = 0; r >= 0 && i < config->n_mounts; i++)
                r = mount_one(v, &config->mounts[i]);
        if (r >= 0 && config->root && config->root->readonly)
                r = zl_mount_set_flags(v->root, MS_RDONLY, 0, false);
        return r < 0 && !zl_error_is_set(v->err)
                       ? zl_fail_errno(v->err, -r, "cannot mount the files of %s", v->name)
                       : r;
}

static int visit_mounted(struct visit *v)
{
        _cleanup_free_ char *place = NULL;
        int r;

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return zl_fail_errno(v->err, errno, "cannot make a mount namespace");
        r = mount_overlay(v, &place);
        if (r == 0 && !(v->flags & NATIVE_ROOT_BARE))
                r = mount_volumes(v);
        if (r == 0)
                r = v->run(v->root, v->data, v->err);
        v->root = zl_close(v->root);
        /* Now and not when the namespace ends: the next start wants the directories for itself. */
        if (place)
                umount2(place, MNT_DETACH);
        return r;
}

static int visit_live(struct visit *v)
{
        if (setns(v->mount_ns, CLONE_NEWNS) < 0)
                return zl_fail_errno(v->err, errno, "cannot enter the mount namespace of %s",
                                     v->name);
        return v->run(v->root, v->data, v->err);
}

/* ---- both -------------------------------------------------------------------------------------------------- */

static void *visit_thread(void *data)
{
        struct visit *v = data;

        v->result = zl_unpack_thread_init(v->err);
        if (v->result == 0)
                v->result = v->mount_ns >= 0 ? visit_live(v) : visit_mounted(v);
        return NULL;
}

static int run_thread(struct visit *v)
{
        pthread_t thread;
        int r = zl_thread_start(&thread, visit_thread, v);

        if (r < 0)
                return zl_fail_errno(v->err, -r, "cannot start a thread");
        pthread_join(thread, NULL);
        return v->result;
}

static int find_root(struct visit *v)
{
        _cleanup_record_ struct native_record record = { 0 };
        struct zl_status status;
        bool over;
        pid_t pid;
        int r;

        v->state = native_lock_state(v->n, v->name, true, v->err);
        if (v->state < 0)
                return v->state;
        r = native_record_load(v->n, v->state, v->name, &record, v->err);
        if (r < 0)
                return r;
        if (record.wasm)
                return zl_fail(v->err, ZL_E_UNSUPPORTED, 0,
                               "%s is WebAssembly, it has no file system of its own", v->name);
        r = native_status_locked(v->n, v->state, v->name, &status, v->err);
        if (r < 0)
                return r;
        pid = status.pid;
        over = status.state == ZL_STATE_EXITED || status.state == ZL_STATE_FAILED;
        zl_status_done(&status);
        if (pid > 0) {
                v->state = zl_close(v->state); /* it may be stopped meanwhile */
                return open_process(v, pid);
        }
        if (!over)
                return zl_fail(v->err, ZL_E_STATE, 0, "%s is being made or ended", v->name);
        v->lower_dirs = zl_take_ptr(record.lower_dirs);
        return 0;
}

int native_visit_root(struct native *n, const char *name, unsigned flags,
                      const struct native_visit *visit, struct zl_error *err)
{
        struct zl_error own = ZL_ERROR_INIT;
        struct visit v = { .n = n,
                           .name = name,
                           .flags = flags,
                           .run = visit->run,
                           .data = visit->data,
                           .root = -EBADF,
                           .mount_ns = -EBADF,
                           .state = -EBADF,
                           .err = &own };
        int r = find_root(&v);

        if (r == 0)
                r = run_thread(&v);
        zl_close(v.root);
        zl_close(v.mount_ns);
        zl_close(v.state);
        zl_strv_free(v.lower_dirs);
        zl_error_move(err, &own);
        return r;
}
