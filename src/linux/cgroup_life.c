/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a group: listing, signalling all, freezing, and removing the group in the end.
 *
 * What may go wrong: processes fork while they are being listed. With KILL the list is therefore read again until nobody is
 * left that was not killed yet; kernels from 5.14 have cgroup.kill on version 2 (also in the "unified" part of a hybrid
 * layout), which is atomic.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"
#include "linux/cgroup_internal.h"

struct pid_list {
        pid_t *pids;
        size_t n, size;
};

enum { DEPTH_MAX = 32, WAIT_STEP_MSEC = 2 };
#define WAIT_NSEC (2 * ZL_NSEC_PER_SEC)

static void sleep_msec(int msec)
{
        struct timespec ts = { .tv_nsec = msec * ZL_NSEC_PER_MSEC };

        nanosleep(&ts, NULL);
}

static int add_pids(struct pid_list *list, const char *text)
{
        for (const char *p = text; *p;) {
                char *end;
                long pid = strtol(p, &end, 10);

                if (end == p)
                        break;
                if (list->n == list->size) {
                        size_t size = list->size ? 2 * list->size : 32;
                        pid_t *more = reallocarray(list->pids, size, sizeof *more);

                        if (!more)
                                return -ENOMEM;
                        list->pids = more;
                        list->size = size;
                }
                if (pid > 0) /* 0: a process of another pid namespace that we cannot see */
                        list->pids[list->n++] = (pid_t)pid;
                p = end + (*end == '\n');
        }
        return 0;
}

/* Calls itself for the groups below. Consumes fd. */
static int collect_pids(int fd, struct pid_list *list, int depth)
{
        _cleanup_free_ char *text = NULL;
        DIR *dir = fdopendir(fd);
        struct dirent *d;
        int r;

        if (!dir) {
                zl_close(fd);
                return -errno;
        }
        r = zl_read_file_at(fd, "cgroup.procs", 16 << 20, &text, NULL);
        if (r == -EOPNOTSUPP) /* a threaded group: its processes show up in the parent */
                r = 0;
        else if (r == 0)
                r = add_pids(list, text);
        while (r == 0 && depth < DEPTH_MAX && (d = readdir(dir))) {
                int child;

                if (d->d_type != DT_DIR || d->d_name[0] == '.')
                        continue;
                child = openat(fd, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (child >= 0)
                        r = collect_pids(child, list, depth + 1);
        }
        closedir(dir);
        return r == -ENODEV || r == -ENOENT ? 0 : r; /* removed while we looked */
}

int zl_cgroup_pids(struct zl_cgroup *cg, pid_t **ret, size_t *ret_n, struct zl_error *err)
{
        struct pid_list list = { NULL };
        int fd = !cg ? -ENOENT
                     : zl_cgroup_open_file(cg, zl_cgroup_any(cg), ".", O_RDONLY | O_DIRECTORY);
        int r;

        r = fd == -ENOENT ? 0 : fd < 0 ? fd : collect_pids(fd, &list, 0);
        if (r < 0) {
                free(list.pids);
                return zl_fail_errno(err, -r, "cannot list the processes of cgroup %s",
                                     cg->shown_path);
        }
        *ret = list.pids;
        *ret_n = list.n;
        return 0;
}

static int kill_listed(struct zl_cgroup *cg, int sig, size_t *ret_n, struct zl_error *err)
{
        _cleanup_free_ pid_t *pids = NULL;
        size_t n = 0;
        int r = zl_cgroup_pids(cg, &pids, &n, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                if (kill(pids[i], sig) < 0 && errno != ESRCH)
                        return zl_fail_errno(err, errno, "cannot signal process %d of cgroup %s",
                                             pids[i], cg->shown_path);
        *ret_n = n;
        return 0;
}

/* Frozen processes of version 1 take their signal only when thawed. A group that others have frozen, and that was there before us, is
 * theirs to thaw. */
static bool must_thaw(struct zl_cgroup *cg)
{
        const struct zl_hierarchy *h = cg->v2 ? NULL : zl_cgroup_controller(cg, "freezer");

        return h && h->created && zl_cgroup_is_frozen(cg);
}

int zl_cgroup_kill_all(struct zl_cgroup *cg, int sig, struct zl_error *err)
{
        const struct zl_hierarchy *h = zl_cgroup_any(cg);
        int64_t until = zl_now_monotonic() + WAIT_NSEC;
        bool frozen = false;
        size_t n = 0;
        int r;

        if (sig != SIGKILL)
                return kill_listed(cg, sig, &n, err);
        if (h->v2) {
                _cleanup_close_ int fd = zl_cgroup_open_file(cg, h, "cgroup.kill", O_WRONLY);

                if (fd >= 0 && write(fd, "1", 1) == 1) {
                        if (must_thaw(cg))
                                zl_cgroup_freeze(cg, false, NULL);
                        return 0;
                }
        }
        frozen = must_thaw(cg);
        for (;;) {
                r = kill_listed(cg, SIGKILL, &n, err);
                if (frozen)
                        zl_cgroup_freeze(cg, false, NULL);
                frozen = false;
                if (r < 0 || n == 0 || zl_now_monotonic() > until)
                        return r;
                sleep_msec(WAIT_STEP_MSEC);
        }
}

/* --- freezing ---------------------------------------------------------------------------------------- */

bool zl_cgroup_is_frozen(struct zl_cgroup *cg)
{
        const struct zl_hierarchy *h = cg->v2 ? &cg->h[0] : zl_cgroup_controller(cg, "freezer");
        _cleanup_free_ char *text = NULL;

        if (!h)
                return false;
        if (cg->v2)
                return zl_cgroup_read(cg, h, "cgroup.events", &text) == 0 &&
                       zl_cgroup_stat_value(text, "frozen", 0) == 1;
        return zl_cgroup_read(cg, h, "freezer.state", &text) == 0 && !zl_startswith(text, "THAWED");
}

/* Is the wished state reached? FREEZING is not. */
static bool freeze_is_done(struct zl_cgroup *cg, const struct zl_hierarchy *h, bool freeze)
{
        _cleanup_free_ char *text = NULL;

        if (zl_cgroup_read(cg, h, cg->v2 ? "cgroup.events" : "freezer.state", &text) < 0)
                return true;
        if (cg->v2)
                return zl_cgroup_stat_value(text, "frozen", freeze) == freeze;
        return zl_startswith(text, freeze ? "FROZEN" : "THAWED") != NULL;
}

int zl_cgroup_freeze(struct zl_cgroup *cg, bool freeze, struct zl_error *err)
{
        const struct zl_hierarchy *h = cg->v2 ? &cg->h[0] : zl_cgroup_controller(cg, "freezer");
        const char *file = cg->v2 ? "cgroup.freeze" : "freezer.state";
        const char *value = cg->v2 ? (freeze ? "1" : "0") : (freeze ? "FROZEN" : "THAWED");
        int64_t until = zl_now_monotonic() + WAIT_NSEC;
        int r;

        if (!h)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                               "cgroup %s has no freezer controller: cannot pause", cg->shown_path);
        for (;;) {
                r = zl_cgroup_write(cg, h, file, value, err);
                if (r < 0 || freeze_is_done(cg, h, freeze))
                        return r;
                if (zl_now_monotonic() > until) {
                        if (freeze)
                                zl_cgroup_write(cg, h, file, cg->v2 ? "0" : "THAWED", NULL);
                        return zl_fail(err, ZL_E_TIMEOUT, ETIMEDOUT,
                                       "the processes of cgroup %s do not %s", cg->shown_path,
                                       freeze ? "freeze" : "thaw");
                }
                sleep_msec(WAIT_STEP_MSEC);
        }
}

void zl_cgroup_thaw_process(pid_t pid)
{
        _cleanup_free_ char *text = NULL;
        char path[PATH_MAX];
        char *line, *save = NULL;

        snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
        if (zl_read_file_at(AT_FDCWD, path, 1 << 20, &text, NULL) < 0)
                return;
        for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                const char *group = strstr(line, ":freezer:");

                if (!group)
                        continue;
                snprintf(path, sizeof path, "/sys/fs/cgroup/freezer%s/freezer.state",
                         group + strlen(":freezer:"));
                zl_write_string_at(AT_FDCWD, path, "THAWED");
        }
}

/* --- removing ---------------------------------------------------------------------------------------- */

/* rmdir of the group and, when it has children, of these first. */
static int remove_tree(int parent_fd, const char *name, int depth)
{
        int fd, r = 0;
        struct dirent *d;
        DIR *dir;

        if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
                return 0;
        if (errno != EBUSY || depth >= DEPTH_MAX)
                return -errno;
        fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir) {
                zl_close(fd);
                return errno == ENOENT ? 0 : -errno;
        }
        while ((d = readdir(dir)))
                if (d->d_type == DT_DIR && d->d_name[0] != '.') {
                        int child = remove_tree(fd, d->d_name, depth + 1);

                        if (child < 0)
                                r = child;
                }
        closedir(dir);
        if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
                return 0;
        return r < 0 ? r : -errno;
}

/* The hierarchy that is asked for processes tells by EBUSY that there are some, before anything is changed. */
int zl_cgroup_remove_unused(struct zl_cgroup *cg)
{
        const struct zl_hierarchy *any = zl_cgroup_any(cg);
        struct zl_hierarchy *h = &cg->h[any - cg->h];
        _cleanup_free_ char *path = NULL;

        if (!h->created)
                return -EBUSY;
        path = zl_path_join(h->dir, cg->path);
        if (!path)
                return -ENOMEM;
        if (unlinkat(cg->root_fd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return -errno;
        h->created = false;
        return zl_cgroup_remove(cg, NULL);
}

int zl_cgroup_remove(struct zl_cgroup *cg, struct zl_error *err)
{
        int64_t until = zl_now_monotonic() + WAIT_NSEC;

        for (size_t i = 0; i < cg->n; i++) {
                _cleanup_free_ char *path = NULL;
                int r;

                if (!cg->h[i].created)
                        continue;
                path = zl_path_join(cg->h[i].dir, cg->path);
                if (!path)
                        return zl_fail_oom(err);
                while ((r = remove_tree(cg->root_fd, path, 0)) == -EBUSY &&
                       zl_now_monotonic() < until)
                        sleep_msec(WAIT_STEP_MSEC);
                if (r < 0)
                        return zl_fail_errno(err, -r, "cannot remove cgroup %s from hierarchy %s",
                                             cg->shown_path, cg->h[i].dir);
                cg->h[i].created = false;
        }
        return 0;
}
