/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups in all hierarchies of the machine: which there are, making, joining, removing.
 *
 * The layout is read from the directory /sys/fs/cgroup itself: its file system type tells version 2 at once, and on version 1 every
 * directory in it that is the root of a cgroup file system is a hierarchy named after its controllers. That needs no
 * mountinfo, which on a busy machine has thousands of lines.
 *
 * What may go wrong: on version 1 a fresh cpuset is empty and refuses processes (ENOSPC): it is filled from its
 * parent then. A group whose processes are dying cannot be removed (EBUSY): removal retries for a while.
 */
#include "linux/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/forbid.h"
#include "base/path.h"
#include "linux/cgroup_internal.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

static int add_hierarchy(struct zl_cgroup *cg, const char *dir, bool v2)
{
        if (cg->n == ZL_HIERARCHIES_MAX)
                return -E2BIG;
        cg->h[cg->n] = (struct zl_hierarchy){ .dir = strdup(dir), .v2 = v2 };
        return cg->h[cg->n++].dir ? 0 : -ENOMEM;
}

/* Directories of a cgroup file system are hierarchies; those where nothing is mounted are not, nor are symbolic links ("cpu" to
 * "cpu,cpuacct"). */
static int look_at(void *data, const char *name, unsigned char type)
{
        char path[sizeof CGROUP_ROOT + NAME_MAX + 2];
        struct zl_cgroup *cg = data;
        struct statfs fs;

        if (type != DT_DIR || *name == '.')
                return 0;
        snprintf(path, sizeof path, CGROUP_ROOT "/%s", name);
        if (statfs(path, &fs) < 0)
                return -errno;
        if (fs.f_type != CGROUP_SUPER_MAGIC && fs.f_type != CGROUP2_SUPER_MAGIC)
                return 0;
        return add_hierarchy(cg, name, fs.f_type == CGROUP2_SUPER_MAGIC);
}

/* Version 1 and hybrid: every directory is looked at. */
static int find_v1(struct zl_cgroup *cg)
{
        _cleanup_close_ int fd = openat(cg->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? -errno : zl_dir_each(fd, look_at, cg);
}

/* What was found before anybody asked. A program that looks ahead lives for one container, and has one thread. */
static struct zl_cgroup *layout;

static int find_layout(struct zl_cgroup *cg, struct zl_error *err)
{
        struct statfs fs;
        int r;

        if (layout) {
                cg->root_fd = layout->root_fd;
                cg->v2 = layout->v2;
                cg->n = layout->n;
                memcpy(cg->h, layout->h, sizeof cg->h);
                free(zl_take_ptr(layout));
                return 0;
        }
        cg->root_fd = openat(AT_FDCWD, CGROUP_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (cg->root_fd < 0 || fstatfs(cg->root_fd, &fs) < 0)
                return zl_fail_errno(err, errno, "cannot open %s", CGROUP_ROOT);
        cg->v2 = fs.f_type == CGROUP2_SUPER_MAGIC;
        r = cg->v2 ? add_hierarchy(cg, ".", true) : find_v1(cg);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read the hierarchies in %s", CGROUP_ROOT);
        if (cg->n == 0)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0, "no cgroup hierarchy is mounted in %s",
                               CGROUP_ROOT);
        return 0;
}

void zl_cgroup_look_ahead(void)
{
        struct zl_cgroup *cg = layout ? NULL : calloc(1, sizeof *cg);

        if (!cg)
                return;
        cg->root_fd = cg->dir_fd = -EBADF;
        if (find_layout(cg, NULL) == 0)
                layout = cg;
        else
                zl_cgroup_free(cg);
}

static bool list_has(const char *list, const char *name, size_t len)
{
        while (*list) {
                size_t n = strcspn(list, ", \n");

                if (n == len && memcmp(list, name, n) == 0)
                        return true;
                list += n + (list[n] != 0);
        }
        return false;
}

const struct zl_hierarchy *zl_cgroup_controller(const struct zl_cgroup *cg, const char *name)
{
        if (cg->v2) {
                _cleanup_free_ char *text = NULL;

                if (zl_cgroup_read(cg, &cg->h[0], "cgroup.controllers", &text) < 0)
                        return NULL;
                return list_has(text, name, strlen(name)) ? &cg->h[0] : NULL;
        }
        for (size_t i = 0; i < cg->n; i++)
                if (!cg->h[i].v2 && list_has(cg->h[i].dir, name, strlen(name)))
                        return &cg->h[i];
        return NULL;
}

const struct zl_hierarchy *zl_cgroup_any(const struct zl_cgroup *cg)
{
        const struct zl_hierarchy *pids = NULL;

        for (size_t i = 0; i < cg->n; i++)
                if (cg->h[i].v2)
                        return &cg->h[i];
        pids = zl_cgroup_controller(cg, "pids");
        return pids ? pids : &cg->h[0];
}

/* --- files ---------------------------------------------------------------------------------------- */

int zl_cgroup_open_file(const struct zl_cgroup *cg, const struct zl_hierarchy *h, const char *file,
                        int flags)
{
        char path[PATH_MAX];
        int fd;

        if (snprintf(path, sizeof path, "%s/%s/%s", h->dir, cg->path, file) >= (int)sizeof path)
                return -ENAMETOOLONG;
        fd = openat(cg->root_fd, path, flags | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int zl_cgroup_read(const struct zl_cgroup *cg, const struct zl_hierarchy *h, const char *file,
                   char **ret)
{
        _cleanup_close_ int fd = zl_cgroup_open_file(cg, h, file, O_RDONLY);

        if (fd < 0)
                return fd;
        return zl_read_fd(fd, ZL_CGROUP_TEXT_MAX, ret, NULL);
}

uint64_t zl_cgroup_read_u64(const struct zl_cgroup *cg, const struct zl_hierarchy *h,
                            const char *file, uint64_t fallback)
{
        _cleanup_free_ char *text = NULL;
        char *end;
        uint64_t value;

        if (!h || zl_cgroup_read(cg, h, file, &text) < 0)
                return fallback;
        if (zl_startswith(text, "max"))
                return UINT64_MAX;
        errno = 0;
        value = strtoull(text, &end, 10);
        return errno || end == text || (*end && *end != '\n' && *end != ' ') ? fallback : value;
}

uint64_t zl_cgroup_stat_value(const char *text, const char *key, uint64_t fallback)
{
        size_t len = strlen(key);

        for (const char *line = text; line && *line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, key, len) == 0 && line[len] == ' ')
                        return strtoull(line + len + 1, NULL, 10);
        }
        return fallback;
}

int zl_cgroup_write(const struct zl_cgroup *cg, const struct zl_hierarchy *h, const char *file,
                    const char *value, struct zl_error *err)
{
        char path[PATH_MAX];
        int r;

        if (snprintf(path, sizeof path, "%s/%s/%s", h->dir, cg->path, file) >= (int)sizeof path)
                return zl_fail(err, ZL_E_INVALID, ENAMETOOLONG, "cgroup %s", cg->path);
        r = zl_write_string_at(cg->root_fd, path, value);
        if (r == -ENOENT || r == -EACCES)
                return zl_fail(err, ZL_E_UNSUPPORTED, -r, "this kernel has no %s in cgroup %s",
                               file, cg->shown_path);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot write \"%s\" to %s of cgroup %s", value, file,
                                     cg->shown_path);
        return 0;
}

/* --- making ------------------------------------------------------------------------------------------ */

/* A cpuset of version 1 begins empty. The parent's values are copied, upwards as far as needed. `path` is the
 * group below the hierarchy and is cut and restored on the way. */
static int fill_cpuset(int hierarchy_fd, char *path)
{
        static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
        char *slash = strrchr(path, '/');
        int r = 0;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(files) && r == 0; i++) {
                _cleanup_free_ char *own = zl_path_join(path, files[i]);
                _cleanup_free_ char *value = NULL, *parent_value = NULL, *parent_file = NULL;

                if (!own)
                        return -ENOMEM;
                r = zl_read_file_at(hierarchy_fd, own, 4096, &value, NULL);
                if (r < 0 || (*value && *value != '\n'))
                        continue;
                if (slash) {
                        *slash = 0;
                        r = fill_cpuset(hierarchy_fd, path);
                        parent_file = zl_path_join(path, files[i]);
                        *slash = '/';
                } else {
                        parent_file = strdup(files[i]);
                }
                if (r == 0 && !parent_file)
                        r = -ENOMEM;
                if (r == 0)
                        r = zl_read_file_at(hierarchy_fd, parent_file, 4096, &parent_value, NULL);
                if (r == 0)
                        r = zl_write_string_at(hierarchy_fd, own, parent_value);
        }
        return r;
}

static int fill_cpuset_of(struct zl_cgroup *cg, const struct zl_hierarchy *h)
{
        _cleanup_close_ int fd = openat(cg->root_fd, h->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *path = strdup(cg->path);

        if (fd < 0)
                return -errno;
        return path ? fill_cpuset(fd, path) : -ENOMEM;
}

/* Every controller of `dir` is handed on to its children. One by one when all at once is refused: one that cannot (busy, threaded)
 * must not keep the others away. What is then missing is named when a limit asks for it. */
static void enable_controllers(int root_fd, const char *dir)
{
        _cleanup_free_ char *text = NULL, *file = NULL, *all = NULL;
        char *save = NULL;
        size_t len = 0;
        int r;

        if (asprintf(&file, "%s/cgroup.controllers", dir) < 0 ||
            zl_read_file_at(root_fd, file, 4096, &text, NULL) < 0)
                return;
        all = malloc(2 * strlen(text) + 2);
        if (!all)
                return;
        zl_freep(&file);
        if (asprintf(&file, "%s/cgroup.subtree_control", dir) < 0) {
                file = NULL;
                return;
        }
        for (const char *p = text; *p && *p != '\n';) {
                size_t n = strcspn(p, " \n");

                len += (size_t)sprintf(all + len, "%s+%.*s", len ? " " : "", (int)n, p);
                p += n + (p[n] == ' ');
        }
        r = len == 0 ? 0 : zl_write_string_at(root_fd, file, all);
        /* Busy: it has processes of its own. The controllers of threads alone would make it one of threads, below which nothing could live. */
        if (r == 0 || r == -EBUSY)
                return;
        for (char *word = strtok_r(all, " ", &save); word; word = strtok_r(NULL, " ", &save))
                zl_write_string_at(root_fd, file, word);
}

/* Makes the parents that are missing. On v1 the first of them hands its cpuset down by itself from then on. */
static int make_parents(struct zl_cgroup *cg, const struct zl_hierarchy *h, char *path)
{
        for (char *p = path + strlen(h->dir) + 1; (p = strchr(p, '/')); p++) {
                *p = 0;
                if (mkdirat(cg->root_fd, path, 0755) < 0 && errno != EEXIST) {
                        *p = '/';
                        return -errno;
                }
                if (!h->v2 && list_has(h->dir, "cpuset", 6)) {
                        _cleanup_close_ int fd = openat(cg->root_fd, h->dir,
                                                        O_PATH | O_DIRECTORY | O_CLOEXEC);
                        _cleanup_free_ char *flag = zl_path_join(path, "cgroup.clone_children");

                        if (fd >= 0)
                                fill_cpuset(fd, path + strlen(h->dir) + 1);
                        if (flag)
                                zl_write_string_at(cg->root_fd, flag, "1");
                }
                *p = '/';
        }
        return 0;
}

static void enable_on_the_way(struct zl_cgroup *cg, char *path)
{
        enable_controllers(cg->root_fd, ".");
        for (char *p = path + 2; (p = strchr(p, '/')); p++) {
                *p = 0;
                enable_controllers(cg->root_fd, path);
                *p = '/';
        }
}

static int make_group(struct zl_cgroup *cg, struct zl_hierarchy *h)
{
        char path
                [PATH_MAX]; /* not from musl's allocator, which maps and unmaps a page for it, for each hierarchy */
        int n = snprintf(path, sizeof path, "%s/%s", h->dir, cg->path), r = 0;

        if (n < 0 || (size_t)n >= sizeof path)
                return -ENAMETOOLONG;
        /* Somebody may remove an empty parent between our two steps: then both are taken again. */
        for (int tries = 0; tries < 16; tries++) {
                r = mkdirat(cg->root_fd, path, 0755) < 0 ? -errno : 0;
                h->created = r == 0;
                if (r != -ENOENT)
                        break;
                r = make_parents(cg, h, path);
                if (r < 0 && r != -ENOENT)
                        break;
                r = -ENOENT;
        }
        if (r < 0 && r != -EEXIST)
                return r;
        if (cg->v2)
                enable_on_the_way(cg, path);
        return 0;
}

/* In a group that was there before, and is frozen, nobody would ever run. */
static int check_thawed(struct zl_cgroup *cg, struct zl_error *err)
{
        const struct zl_hierarchy *h = cg->v2 ? &cg->h[0] : zl_cgroup_controller(cg, "freezer");

        if (!h || h->created || !zl_cgroup_is_frozen(cg))
                return 0;
        return zl_fail(err, ZL_E_BUSY, EBUSY, "container's cgroup unexpectedly frozen: %s",
                       cg->shown_path);
}

static int check_empty(struct zl_cgroup *cg, struct zl_error *err)
{
        _cleanup_free_ pid_t *pids = NULL;
        size_t n = 0;
        int r;

        if (zl_cgroup_any(cg)->created) /* a moment ago */
                return 0;
        r = check_thawed(cg, err);
        if (r < 0)
                return r;
        r = zl_cgroup_pids(cg, &pids, &n, err);
        if (r < 0)
                return r;
        if (n > 0)
                return zl_fail(err, ZL_E_BUSY, EBUSY,
                               "container's cgroup is not empty: %s holds %zu processes",
                               cg->shown_path, n);
        return 0;
}

/* Of one version. A hierarchy that cannot be written (read-only, delegated elsewhere) is skipped; a limit that needs it will name it. */
static int make_groups(struct zl_cgroup *cg, bool v2, struct zl_error *err)
{
        for (size_t i = 0; i < cg->n; i++) {
                int r = cg->h[i].v2 == v2 ? make_group(cg, &cg->h[i]) : 0;

                if (r == -EROFS || r == -EACCES || r == -EPERM) {
                        if (cg->n == 1)
                                return zl_fail_errno(err, -r, "cannot create cgroup %s",
                                                     cg->shown_path);
                        free(cg->h[i].dir);
                        memmove(&cg->h[i], &cg->h[i + 1], (cg->n - i - 1) * sizeof cg->h[0]);
                        cg->n--;
                        i--;
                        continue;
                }
                if (r < 0)
                        return zl_fail_errno(err, -r, "cannot create cgroup %s in %s/%s",
                                             cg->shown_path, CGROUP_ROOT, cg->h[i].dir);
        }
        return 0;
}

/* Processes are looked for in one hierarchy, and before ours is born there: in that of version 2 if there is one. */
static int make_v2(struct zl_cgroup *cg, bool exclusive, struct zl_error *err)
{
        int r = make_groups(cg, true, err);

        cg->exclusive = exclusive;
        return r == 0 && exclusive && zl_cgroup_any(cg)->v2 ? check_empty(cg, err) : r;
}

static int open_v2(struct zl_cgroup *cg, struct zl_error *err)
{
        for (size_t i = 0; i < cg->n; i++) {
                if (!cg->h[i].v2)
                        continue;
                cg->dir_fd = zl_cgroup_open_file(cg, &cg->h[i], ".", O_RDONLY | O_DIRECTORY);
                if (cg->dir_fd < 0)
                        return zl_fail_errno(err, -cg->dir_fd, "cannot open cgroup %s",
                                             cg->shown_path);
        }
        return 0;
}

int zl_cgroup_make(struct zl_cgroup *cg, struct zl_error *err)
{
        int r = cg->late ? make_v2(cg, cg->exclusive, err) : 0;

        if (r == 0 && cg->late)
                r = open_v2(cg, err);
        if (r == 0)
                r = make_groups(cg, false, err);
        if (r == 0 && cg->exclusive)
                r = check_thawed(cg, err);
        return r == 0 && cg->exclusive && !zl_cgroup_any(cg)->v2 ? check_empty(cg, err) : r;
}

static int find_groups(struct zl_cgroup *cg, bool owned, struct zl_error *err)
{
        size_t n = 0;

        for (size_t i = 0; i < cg->n; i++) {
                _cleanup_free_ char *path = zl_path_join(cg->h[i].dir, cg->path);

                if (path && faccessat(cg->root_fd, path, F_OK, 0) == 0) {
                        cg->h[i].created = owned;
                        cg->h[n++] = cg->h[i];
                } else {
                        free(cg->h[i].dir);
                }
        }
        cg->n = n;
        if (n == 0)
                return zl_fail(err, ZL_E_NOT_FOUND, ENOENT, "cgroup %s does not exist",
                               cg->shown_path);
        return 0;
}

static int open_into(struct zl_cgroup *cg, const struct zl_cgroup_options *options,
                     struct zl_error *err)
{
        const char *path = options->path + strspn(options->path, "/");
        int r;

        if (!zl_path_is_clean_relative(path))
                return zl_fail(err, ZL_E_INVALID, 0, "bad cgroup path \"%s\"", options->path);
        cg->path = strdup(path);
        if (!cg->path || asprintf(&cg->shown_path, "/%s", path) < 0)
                return zl_fail_oom(err);
        r = find_layout(cg, err);
        if (r < 0)
                return r;
        cg->rootless = options->rootless;
        cg->late = options->create && options->late;
        cg->exclusive = options->exclusive;
        if (cg->late)
                return 0;
        r = options->create ? make_v2(cg, options->exclusive, err)
                            : find_groups(cg, options->owned, err);
        if (r == 0 && options->create && !options->born_only)
                r = zl_cgroup_make(cg, err);
        return r < 0 ? r : open_v2(cg, err);
}

/* --- delegation -------------------------------------------------------------------------------------- */

/* To move a process one must be allowed to write the list of the group that both places have in common, too. */
static bool is_delegated(const char *path)
{
        static const char *const files[] = { "", "/cgroup.procs" };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *file = NULL;

                if (asprintf(&file, CGROUP_ROOT "%s%s", path, files[i]) < 0) {
                        file = NULL;
                        return false;
                }
                if (faccessat(AT_FDCWD, file, W_OK, AT_EACCESS) < 0)
                        return false;
        }
        return true;
}

int zl_cgroup_find_delegated(char **ret)
{
        _cleanup_free_ char *text = NULL;
        char *own, *slash;

        *ret = NULL;
        if (access(CGROUP_ROOT "/cgroup.controllers", F_OK) < 0 ||
            zl_read_file_at(AT_FDCWD, "/proc/self/cgroup", ZL_CGROUP_TEXT_MAX, &text, NULL) < 0)
                return 0;
        own = strstr(text, "0::/");
        if (!own || (own > text && own[-1] != '\n'))
                return 0;
        own += strlen("0::");
        own[strcspn(own, "\n")] = 0;
        if (!zl_path_is_clean_relative(
                    own +
                    1)) /* ours is outside of what we see; or the root, beside which nothing is */
                return 0;
        slash = strrchr(own, '/');
        *slash = 0;
        if (!is_delegated(own)) {
                *slash = '/';
                if (!is_delegated(own))
                        return 0;
        }
        *ret = strdup(own);
        return *ret ? 0 : -ENOMEM;
}

static bool read_text(const char *path, const char *name, char **ret)
{
        _cleanup_free_ char *file = NULL;

        if (asprintf(&file, CGROUP_ROOT "%s/%s", path, name) < 0) {
                file = NULL;
                return false;
        }
        return zl_read_file_at(AT_FDCWD, file, ZL_CGROUP_TEXT_MAX, ret, NULL) == 0;
}

bool zl_cgroup_hands_on(const char *path, const char *controller)
{
        _cleanup_free_ char *there = NULL, *handed = NULL, *processes = NULL;
        size_t len = strlen(controller);

        if (!read_text(path, "cgroup.controllers", &there) || !list_has(there, controller, len) ||
            !read_text(path, "cgroup.subtree_control", &handed))
                return false;
        return list_has(handed, controller, len) ||
               (read_text(path, "cgroup.procs", &processes) && !*processes);
}

int zl_cgroup_open(const struct zl_cgroup_options *options, struct zl_cgroup **ret,
                   struct zl_error *err)
{
        struct zl_cgroup *cg = calloc(1, sizeof *cg);
        int r;

        if (!cg)
                return zl_fail_oom(err);
        cg->root_fd = cg->dir_fd = -EBADF;
        r = open_into(cg, options, err);
        if (r < 0) {
                if (options->create)
                        zl_cgroup_remove(cg, NULL);
                zl_cgroup_free(cg);
                return r;
        }
        *ret = cg;
        return 0;
}

void zl_cgroup_free(struct zl_cgroup *cg)
{
        if (!cg)
                return;
        for (size_t i = 0; i < cg->n; i++)
                free(cg->h[i].dir);
        zl_close(cg->root_fd);
        zl_close(cg->dir_fd);
        free(cg->path);
        free(cg->shown_path);
        free(cg);
}

const char *zl_cgroup_path(const struct zl_cgroup *cg)
{
        return cg->shown_path;
}

bool zl_cgroup_is_v2(const struct zl_cgroup *cg)
{
        return cg->v2;
}

const char *zl_cgroup_hierarchy(const struct zl_cgroup *cg, size_t i)
{
        return cg && i < cg->n ? cg->h[i].dir : NULL;
}

int zl_cgroup_dir_fd(const struct zl_cgroup *cg)
{
        return cg ? cg->dir_fd : -EBADF;
}

int zl_cgroup_apply(struct zl_cgroup *cg, const struct zl_oci_resources *resources,
                    struct zl_error *err)
{
        if (!resources)
                return 0;
        return cg->v2 ? zl_cgroup_apply_v2(cg, resources, err)
                      : zl_cgroup_apply_v1(cg, resources, err);
}

/* --- joining ----------------------------------------------------------------------------------------- */

int zl_cgroup_attach(struct zl_cgroup *cg, pid_t pid, struct zl_error *err)
{
        char path[PATH_MAX], text[24];

        snprintf(text, sizeof text, "%d", pid);
        for (size_t i = 0; cg && i < cg->n; i++) {
                const struct zl_hierarchy *h = &cg->h[i];
                int r;

                if (snprintf(path, sizeof path, "%s/%s/cgroup.procs", h->dir, cg->path) >=
                    (int)sizeof path)
                        return zl_fail(err, ZL_E_INVALID, ENAMETOOLONG, "cgroup %s",
                                       cg->shown_path);
                r = zl_write_string_at(cg->root_fd, path, text);
                if (r == -ENOSPC && !h->v2 && list_has(h->dir, "cpuset", 6)) {
                        r = fill_cpuset_of(cg, h);
                        if (r == 0)
                                r = zl_write_string_at(cg->root_fd, path, text);
                }
                if (r == -ESRCH)
                        return zl_fail(err, ZL_E_NOT_FOUND, ESRCH,
                                       "process %d ended while joining cgroup %s", pid,
                                       cg->shown_path);
                if (r < 0)
                        return zl_fail_errno(err, -r, "process %d cannot join cgroup %s in %s/%s",
                                             pid, cg->shown_path, CGROUP_ROOT, h->dir);
        }
        return 0;
}

int zl_cgroup_doors_open(struct zl_cgroup *cg, struct zl_cgroup_doors *ret, struct zl_error *err)
{
        ret->n = 0;
        for (size_t i = 0; cg && i < cg->n; i++) {
                int fd;

                if (cg->h[i].v2)
                        continue;
                fd = zl_cgroup_open_file(cg, &cg->h[i], "tasks", O_WRONLY);
                if (fd < 0) {
                        zl_cgroup_doors_close(ret);
                        return zl_fail_errno(err, -fd, "cannot open cgroup %s in %s/%s",
                                             cg->shown_path, CGROUP_ROOT, cg->h[i].dir);
                }
                ret->fds[ret->n++] = fd;
        }
        return 0;
}

int zl_cgroup_doors_add(struct zl_cgroup *cg, const char *controller, const char *below,
                        struct zl_cgroup_doors *doors, struct zl_error *err)
{
        const struct zl_hierarchy *h = cg && !cg->v2 ? zl_cgroup_controller(cg, controller) : NULL;
        _cleanup_free_ char *file = *below ? zl_path_join(below, "tasks") : strdup("tasks");
        int fd;

        if (!h)
                return zl_fail(err, ZL_E_INVALID, 0, "unknown controller %s", controller);
        if (!file)
                return zl_fail_oom(err);
        if (doors->n == ZL_CGROUP_DOORS_MAX)
                return zl_fail(err, ZL_E_INVALID, 0, "too many groups");
        fd = zl_cgroup_open_file(cg, h, file, O_WRONLY);
        if (fd < 0)
                return zl_fail_errno(err, -fd, "error adding pid to the sub cgroup %s of %s in %s",
                                     below, cg->shown_path, h->dir);
        doors->fds[doors->n++] = fd;
        return 0;
}

/* They were opened one after the other, so that most numbers follow one another. */
void zl_cgroup_doors_close(struct zl_cgroup_doors *doors)
{
        while (doors->n > 0) {
                int last = doors->fds[--doors->n], first = last;

                while (doors->n > 0 && doors->fds[doors->n - 1] == first - 1)
                        first = doors->fds[--doors->n];
                if (first < last &&
                    syscall(SYS_close_range, (unsigned)first, (unsigned)last, 0U) == 0)
                        continue;
                while (first <= last)
                        zl_close(first++);
        }
}

/* "tasks" moves one thread, and "0" is the caller, who cannot end or change its id meanwhile: only then does the kernel do without
 * cgroup_threadgroup_rwsem, whose first writer after a pause waits for an RCU grace period. */
int zl_cgroup_doors_enter(const struct zl_cgroup_doors *doors)
{
        if (zl_forbidden("cgroup_doors"))
                return -ENOSYS;
        for (size_t i = 0; i < doors->n; i++)
                if (write(doors->fds[i], "0", 1) < 0)
                        return -errno;
        return 0;
}
