/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shells: the directory of a workload's state with the directories and the empty files that each state begins with, made before
 * anybody asks for it. What a file system takes to make a file depends on what has been removed lately, and may be
 * a quarter of a millisecond; a create that has a shell renames one directory and fills what is there. In one that has waited for a while the
 * exit record, for which an end waits until it is on the disk, has its block there already.
 *
 * A monitor that waits goes with it: it has a lock and a socket in a run directory that is renamed, too.
 *
 * A shell is locked by us from its first instant on and stays so under its new name, so it is a create that is going on to
 * whoever looks. One that nobody holds was left by somebody who died, and is removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/random.h"
#include "monitor/record.h"
#include "runtimes/native.h"

static const struct {
        const char *name;
        mode_t mode;
} files[] = {
        { "hosts", 0644 },       { "hostname", 0644 },  { "resolv.conf", 0644 },
        { NATIVE_CONFIG, 0600 }, { NATIVE_SPEC, 0600 }, { NATIVE_STATUS_NEW, 0600 },
};

int native_shell_fill(int dir)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(files); i++) {
                _cleanup_close_ int fd = openat(dir, files[i].name, O_WRONLY | O_CREAT | O_CLOEXEC,
                                                files[i].mode);

                /* Whatever our umask is. */
                if (fd < 0 || fchmod(fd, files[i].mode) < 0)
                        r = -errno;
        }
        return r;
}

struct native_shell *native_shell_make(struct native *n)
{
        struct native_shell *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return NULL;
        memcpy(s->name, NATIVE_SHELL, sizeof(NATIVE_SHELL));
        zl_random_hex(s->name + sizeof(NATIVE_SHELL) - 1, 16);
        s->state_fd = -EBADF;
        if (mkdirat(n->containers_fd, s->name, 0700) < 0) {
                free(s);
                return NULL;
        }
        s->state_fd = native_lock_state(n, s->name, false, NULL);
        r = s->state_fd < 0 ? s->state_fd : native_make_root_dirs(s->state_fd);
        if (r == 0)
                r = native_shell_fill(s->state_fd);
        if (r == 0)
                return s;
        native_shell_discard(n, s);
        return NULL;
}

void native_shell_prepare(struct native_shell *s)
{
        zl_exit_record_prepare(s->state_fd); /* it is as well without */
        s->is_prepared = true;
}

void native_shell_marry(struct native *n, struct native_shell *s, struct zl_monitor *monitor,
                        const struct native_layers *layers)
{
        _cleanup_close_ int state = native_open_state(n, s->name, NULL);
        _cleanup_close_ int run = native_make_run(n, s->name, NULL);
        _cleanup_free_ char *upper = NULL, *work = NULL;
        struct zl_monitor_preparation what = { s->name + 1, state, run, NULL, NULL, NULL };

        s->monitor = monitor;
        if (asprintf(&upper, "%s/%s/upper", n->containers_dir, s->name) < 0)
                upper = NULL;
        if (asprintf(&work, "%s/%s/work", n->containers_dir, s->name) < 0)
                work = NULL;
        if (layers->dirs && upper && work && state >= 0 &&
            native_copy_root(layers->dirs, state, NULL) == 0) {
                what.lower_dirs = layers->dirs;
                what.upper_dir = upper;
                what.work_dir = work;
        }
        if (state < 0 || run < 0 || zl_monitor_prepare(monitor, &what, NULL) < 0)
                zl_monitor_close(native_shell_divorce(n, s));
        else if (what.lower_dirs)
                memcpy(s->layers, layers->seen, sizeof(s->layers));
}

struct zl_monitor *native_shell_divorce(struct native *n, struct native_shell *s)
{
        struct zl_monitor *monitor = zl_take_ptr(s->monitor);

        if (!monitor)
                return NULL;
        zl_rm_rf_at(n->run_fd, s->name);
        s->layers[0] = 0;
        if (zl_monitor_is_waiting(monitor))
                return monitor;
        zl_monitor_close(monitor);
        return NULL;
}

int native_shell_rename(struct native *n, struct native_shell *s, const char *name, int *ret_fd,
                        struct zl_monitor **ret_monitor)
{
        if (renameat2(n->containers_fd, s->name, n->containers_fd, name, RENAME_NOREPLACE) < 0)
                return -errno;
        if (s->is_prepared)
                native_spare_renamed(n, false);
        /* A directory of that name that somebody left there, or a monitor that has ended: then it is launched as if there were none. */
        if (s->monitor && (!zl_monitor_is_waiting(s->monitor) ||
                           renameat2(n->run_fd, s->name, n->run_fd, name, RENAME_NOREPLACE) < 0))
                zl_monitor_close(native_shell_divorce(n, s));
        *ret_monitor = s->monitor;
        *ret_fd = s->state_fd;
        free(s);
        return 0;
}

void native_shell_discard(struct native *n, struct native_shell *s)
{
        if (!s)
                return;
        zl_monitor_close(native_shell_divorce(n, s));
        zl_rm_rf_at(n->containers_fd, s->name);
        zl_close(s->state_fd);
        free(s);
}

void native_shell_recover(struct native *n, const char *name)
{
        _cleanup_close_ int state = native_lock_state(n, name, false, NULL);
        _cleanup_close_ int run = native_open_run(n, name);

        /* Somebody's, who lives, perhaps between two names; or its monitor has not noticed yet. */
        if ((state < 0 && state != -ENOENT) ||
            (run >= 0 && zl_monitor_is_alive(run, NULL, NULL) != 0))
                return;
        zl_rm_rf_at(n->containers_fd, name);
        zl_rm_rf_at(n->run_fd, name);
}
