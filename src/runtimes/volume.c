/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes as directories. Whoever changes one holds a lock on its directory, and looks again whether the name still
 * leads there, because the one before may have removed it: so attach and remove can race and one of them
 * wins cleanly. A removal first renames the directory away, then deletes: nobody ever sees half a volume.
 *
 * What may go wrong: a container that is gone without having been detached (power cut, deleted by hand) keeps its
 * users file; the runtime's recover calls zl_volume_detach_all() for each it finds missing.
 */
#include "runtimes/volume.h"
#include "runtimes/environment.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/ident.h"
#include "base/path.h"
#include "base/random.h"
#include "base/strv.h"

#define DATA "_data"
#define USERS "users"
#define ANONYMOUS "_anon"
#define TRASH "_trash-"

struct zl_volumes {
        char *path;
        int fd;
};

int zl_volumes_open(const char *root_dir, struct zl_volumes **ret, struct zl_error *err)
{
        struct zl_volumes *v = calloc(1, sizeof(*v));
        int r;

        if (!v || !(v->path = zl_environment_dir("ZLAYER_VOLUME_DIR", root_dir, "volumes"))) {
                free(v);
                return zl_fail_oom(err);
        }
        v->fd = zl_open_dir_at(AT_FDCWD, v->path, 0711, err);
        if (v->fd < 0) {
                r = v->fd;
                free(v->path);
                free(v);
                return r;
        }
        *ret = v;
        return 0;
}

void zl_volumes_close(struct zl_volumes *v)
{
        if (!v)
                return;
        zl_close(v->fd);
        free(v->path);
        free(v);
}

void zl_volume_info_done(struct zl_volume_info *info)
{
        free(info->name);
        free(info->path);
        zl_strv_free(info->users);
        *info = (struct zl_volume_info){ 0 };
}

void zl_volume_info_free(struct zl_volume_info *infos, size_t n)
{
        for (size_t i = 0; i < n; i++)
                zl_volume_info_done(&infos[i]);
        free(infos);
}

/* ---- names --------------------------------------------------------------------------------------- */

bool zl_volume_name_is_valid(const char *name)
{
        for (unsigned parts = 0; parts < 2; parts++) {
                size_t n = 0;

                if (!isalnum((unsigned char)name[0]) || (unsigned char)name[0] > 127)
                        return false;
                while ((unsigned char)name[n] < 128 &&
                       (isalnum((unsigned char)name[n]) || name[n] == '-' || name[n] == '_'))
                        n++;
                if (n > 63)
                        return false;
                if (name[n] == 0)
                        return true;
                if (name[n] != '.')
                        return false;
                name += n + 1;
        }
        return false;
}

static int refuse_name(const char *name, struct zl_error *err)
{
        return zl_fail(err, ZL_E_INVALID, 0,
                       "\"%s\" cannot be the name of a volume (letters, digits, '-', '_')", name);
}

static int check_name(const char *name, struct zl_error *err)
{
        return zl_volume_name_is_valid(name) ? 0 : refuse_name(name, err);
}

int zl_volume_full_name(const struct zl_ident *ident, const char *name, char **ret,
                        struct zl_error *err)
{
        _cleanup_free_ char *full = NULL;
        int r;

        /* A dot in the spec's own name would reach into another deployment. */
        if (strchr(name, '.') || !zl_volume_name_is_valid(name))
                return refuse_name(name, err);
        if (zl_ident_is_run(ident))
                full = strdup(name);
        else if (asprintf(&full, "%s.%s", ident->deployment, name) < 0)
                full = NULL;
        if (!full)
                return zl_fail_oom(err);
        r = check_name(full, err);
        if (r == 0)
                *ret = zl_take_ptr(full);
        return r;
}

/* ---- locking ------------------------------------------------------------------------------------- */

/* Opens and locks the directory of a volume; -ENOENT if it is not there (any more). */
static int open_locked(const struct zl_volumes *v, const char *name)
{
        for (;;) {
                _cleanup_close_ int fd = openat(v->fd, name,
                                                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                struct stat mine, now;
                int r;

                if (fd < 0)
                        return -errno;
                r = zl_lock_fd(fd, true, true);
                if (r < 0)
                        return r;
                if (fstat(fd, &mine) < 0)
                        return -errno;
                if (fstatat(v->fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
                    mine.st_ino == now.st_ino && mine.st_dev == now.st_dev)
                        return zl_take_fd(fd);
        }
}

/* Makes the directory complete under another name first, so that whoever sees the name sees all of it. */
static int make_volume(const struct zl_volumes *v, const char *name)
{
        char temp[sizeof(TRASH) + 16];
        _cleanup_close_ int fd = -EBADF;
        int r = 0;

        memcpy(temp, TRASH, sizeof(TRASH));
        zl_random_hex(temp + sizeof(TRASH) - 1, 16);
        if (mkdirat(v->fd, temp, 0711) < 0)
                return -errno;
        fd = openat(v->fd, temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || mkdirat(fd, DATA, 0755) < 0 || mkdirat(fd, USERS, 0700) < 0 ||
            fchmodat(fd, DATA, 0755, 0) < 0 ||
            renameat2(v->fd, temp, v->fd, name, RENAME_NOREPLACE) < 0) {
                r = -errno;
                zl_rm_rf_at(v->fd, temp);
        }
        return r;
}

static int not_found(const char *name, int r, struct zl_error *err)
{
        if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "there is no volume %s", name);
        return zl_fail_errno(err, -r, "cannot open volume %s", name);
}

/* ---- reading ------------------------------------------------------------------------------------- */

static int compare_strings(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a directory, sorted; `keep` (may be NULL) chooses. */
static int list_names(int dirfd, const char *path, bool (*keep)(const char *), char ***ret)
{
        int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_strv_ char **names = NULL;
        const struct dirent *de;
        DIR *dir;
        int r = 0;

        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir) {
                zl_close(fd);
                return -ENOMEM;
        }
        while (r == 0 && (de = readdir(dir)))
                if (de->d_name[0] != '.' && (!keep || keep(de->d_name)))
                        r = zl_strv_push(&names, de->d_name);
        closedir(dir);
        if (r < 0)
                return r;
        if (names)
                qsort(names, zl_strv_len(names), sizeof(*names), compare_strings);
        *ret = zl_take_ptr(names);
        return 0;
}

static char *data_path(const struct zl_volumes *v, const char *name)
{
        char *path = NULL;

        return asprintf(&path, "%s/%s/" DATA, v->path, name) < 0 ? NULL : path;
}

int zl_volume_inspect(struct zl_volumes *v, const char *name, struct zl_volume_info *ret,
                      struct zl_error *err)
{
        _cleanup_(zl_volume_info_done) struct zl_volume_info info = { 0 };
        _cleanup_close_ int fd = -EBADF;
        struct statx stx;
        int r = check_name(name, err);

        if (r < 0)
                return r;
        fd = openat(v->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return not_found(name, -errno, err);
        r = list_names(fd, USERS, NULL, &info.users);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot list the users of volume %s", name);
        /* Where the file system does not remember births, the users directory was made at the same time. */
        if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME | STATX_MTIME, &stx) == 0) {
                const struct statx_timestamp *t = stx.stx_mask & STATX_BTIME ? &stx.stx_btime
                                                                             : &stx.stx_mtime;

                info.created_at = t->tv_sec * ZL_NSEC_PER_SEC + t->tv_nsec;
        }
        info.name = strdup(name);
        info.path = data_path(v, name);
        if (!info.name || !info.path)
                return zl_fail_oom(err);
        *ret = info;
        info = (struct zl_volume_info){ 0 };
        return 0;
}

int zl_volume_list(struct zl_volumes *v, struct zl_volume_info **ret, size_t *ret_n,
                   struct zl_error *err)
{
        _cleanup_strv_ char **names = NULL;
        struct zl_volume_info *infos;
        size_t n = 0;
        int r = list_names(v->fd, ".", zl_volume_name_is_valid, &names);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot list %s", v->path);
        infos = calloc(zl_strv_len(names) + 1, sizeof(*infos));
        if (!infos)
                return zl_fail_oom(err);
        ZL_STRV_FOREACH(name, names) {
                r = zl_volume_inspect(v, *name, &infos[n], err);
                if (r == -ENOENT) {
                        zl_error_done(err); /* removed since it was listed */
                        continue;
                }
                if (r < 0) {
                        zl_volume_info_free(infos, n);
                        return r;
                }
                n++;
        }
        *ret = infos;
        *ret_n = n;
        return 0;
}

/* ---- making and removing ------------------------------------------------------------------------- */

int zl_volume_create(struct zl_volumes *v, const char *name, struct zl_error *err)
{
        int r = check_name(name, err);

        if (r < 0)
                return r;
        r = make_volume(v, name);
        if (r == -EEXIST)
                return zl_fail(err, ZL_E_EXISTS, 0, "volume %s exists already", name);
        return r < 0 ? zl_fail_errno(err, -r, "cannot make volume %s", name) : 0;
}

/* Takes the name away at once, then deletes. */
static int remove_dir(const struct zl_volumes *v, int parent, const char *name)
{
        char temp[sizeof(TRASH) + 16];
        int r;

        memcpy(temp, TRASH, sizeof(TRASH));
        zl_random_hex(temp + sizeof(TRASH) - 1, 16);
        if (renameat(parent, name, v->fd, temp) < 0)
                return -errno;
        r = zl_rm_rf_at(v->fd, temp);
        return r;
}

int zl_volume_remove(struct zl_volumes *v, const char *name, struct zl_error *err)
{
        _cleanup_close_ int fd = -EBADF;
        _cleanup_strv_ char **users = NULL;
        int r = check_name(name, err);

        if (r < 0)
                return r;
        fd = open_locked(v, name);
        if (fd < 0)
                return not_found(name, fd, err);
        r = list_names(fd, USERS, NULL, &users);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot list the users of volume %s", name);
        if (users) {
                _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(1 << 16);

                ZL_STRV_FOREACH(user, users)
                        zl_buf_putf(&text, "%s%s", text.len ? ", " : "", *user);
                return zl_fail(err, ZL_E_BUSY, 0, "volume %s is used by %s", name,
                               text.data ? text.data : "a container");
        }
        r = remove_dir(v, v->fd, name);
        return r < 0 ? zl_fail_errno(err, -r, "cannot remove volume %s", name) : 0;
}

/* Disk blocks of a tree; what cannot be read counts nothing. */
static uint64_t tree_bytes(int dirfd, const char *name, unsigned depth)
{
        int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *de;
        uint64_t sum = 0;

        while (dir && depth < 128 && (de = readdir(dir))) {
                struct stat st;

                if (zl_streq(de->d_name, ".") || zl_streq(de->d_name, "..") ||
                    fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                sum += (uint64_t)st.st_blocks * 512;
                if (S_ISDIR(st.st_mode))
                        sum += tree_bytes(fd, de->d_name, depth + 1);
        }
        if (dir)
                closedir(dir);
        return sum;
}

static bool is_trash(const char *name)
{
        return zl_startswith(name, TRASH) != NULL;
}

/* What a process that died in the middle left: renamed away, but not deleted. An hour old, so nobody is at it. */
static void sweep(const struct zl_volumes *v)
{
        _cleanup_strv_ char **names = NULL;

        if (list_names(v->fd, ".", is_trash, &names) < 0)
                return;
        ZL_STRV_FOREACH(name, names) {
                struct stat st;

                if (fstatat(v->fd, *name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                    zl_now_realtime() / ZL_NSEC_PER_SEC - st.st_ctim.tv_sec > 3600)
                        zl_rm_rf_at(v->fd, *name);
        }
}

static int prune_anonymous(struct zl_volumes *v, const char *containers_dir, char ***removed,
                           uint64_t *bytes, struct zl_error *err)
{
        _cleanup_strv_ char **users = NULL;
        int r = list_names(v->fd, ANONYMOUS, NULL, &users);

        if (r < 0)
                return r == -ENOENT ? 0 : zl_fail_errno(err, -r, "cannot list anonymous volumes");
        ZL_STRV_FOREACH(user, users) {
                _cleanup_free_ char *container = zl_path_join(containers_dir, *user);
                _cleanup_free_ char *path = zl_path_join(ANONYMOUS, *user);
                uint64_t size;

                if (!container || !path)
                        return zl_fail_oom(err);
                if (access(container, F_OK) == 0 || errno != ENOENT)
                        continue;
                size = tree_bytes(v->fd, path, 0);
                r = zl_volume_remove_anonymous(v, *user, err);
                if (r < 0)
                        return r;
                *bytes += size;
                if (zl_strv_push(removed, path) < 0)
                        return zl_fail_oom(err);
        }
        return 0;
}

/* The name says whose it is: DEPLOYMENT.NAME. */
int zl_volume_remove_of(struct zl_volumes *volumes, const char *deployment,
                        void (*removed)(const char *name, void *data), void *data,
                        struct zl_error *err)
{
        struct zl_volume_info *infos = NULL;
        size_t n = 0;
        int r = zl_volume_list(volumes, &infos, &n, err);

        for (size_t i = 0; r >= 0 && i < n; i++) {
                const char *rest = zl_startswith(infos[i].name, deployment);

                if (!rest || *rest != '.')
                        continue;
                r = zl_volume_remove(volumes, infos[i].name, err);
                if (r >= 0 && removed)
                        removed(infos[i].name, data);
        }
        zl_volume_info_free(infos, n);
        return r;
}

int zl_volume_prune(struct zl_volumes *v, const char *containers_dir, char ***ret_names,
                    uint64_t *ret_bytes, struct zl_error *err)
{
        _cleanup_strv_ char **names = NULL, **removed = NULL;
        uint64_t bytes = 0;
        int r = list_names(v->fd, ".", zl_volume_name_is_valid, &names);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot list %s", v->path);
        ZL_STRV_FOREACH(name, names) {
                uint64_t size = tree_bytes(v->fd, *name, 0);
                _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;

                r = zl_volume_remove(v, *name, &why);
                if (r < 0 && why.code != ZL_E_BUSY && why.code != ZL_E_NOT_FOUND) {
                        zl_error_move(err, &why);
                        return r;
                }
                if (r < 0)
                        continue;
                bytes += size;
                if (zl_strv_push(&removed, *name) < 0)
                        return zl_fail_oom(err);
        }
        sweep(v);
        r = containers_dir ? prune_anonymous(v, containers_dir, &removed, &bytes, err) : 0;
        if (r < 0)
                return r;
        if (ret_names)
                *ret_names = zl_take_ptr(removed);
        if (ret_bytes)
                *ret_bytes = bytes;
        return 0;
}

/* ---- users --------------------------------------------------------------------------------------- */

/* Names that begin with a dot count here, unlike for list_names(). */
static bool is_empty_dir(int dirfd, const char *name)
{
        int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *de;
        bool empty = dir != NULL;

        if (!dir) {
                zl_close(fd);
                return false;
        }
        while (empty && (de = readdir(dir)))
                empty = zl_streq(de->d_name, ".") || zl_streq(de->d_name, "..");
        closedir(dir);
        return empty;
}

int zl_volume_attach(struct zl_volumes *v, const char *name, const char *user, char **ret_path,
                     bool *ret_fresh, struct zl_error *err)
{
        _cleanup_close_ int fd = -EBADF, file = -EBADF;
        _cleanup_free_ char *path = data_path(v, name), *mark = zl_path_join(USERS, user);
        bool fresh;
        int r = check_name(name, err);

        if (r < 0)
                return r;
        if (!path || !mark)
                return zl_fail_oom(err);
        while ((fd = open_locked(v, name)) == -ENOENT) {
                r = make_volume(v, name);
                if (r < 0 && r != -EEXIST)
                        return zl_fail_errno(err, -r, "cannot make volume %s", name);
        }
        if (fd < 0)
                return not_found(name, fd, err);
        fresh = is_empty_dir(fd, USERS) && is_empty_dir(fd, DATA);
        file = openat(fd, mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (file < 0)
                return zl_fail_errno(err, errno, "cannot mark volume %s as used", name);
        *ret_path = zl_take_ptr(path);
        *ret_fresh = fresh;
        return 0;
}

int zl_volume_detach(struct zl_volumes *v, const char *name, const char *user, struct zl_error *err)
{
        _cleanup_free_ char *mark = NULL;
        int r = check_name(name, err);

        if (r < 0)
                return r;
        if (asprintf(&mark, "%s/" USERS "/%s", name, user) < 0) {
                mark = NULL;
                return zl_fail_oom(err);
        }
        if (unlinkat(v->fd, mark, 0) < 0 && errno != ENOENT && errno != ENOTDIR)
                return zl_fail_errno(err, errno, "cannot release volume %s", name);
        return 0;
}

int zl_volume_detach_all(struct zl_volumes *v, const char *user, struct zl_error *err)
{
        _cleanup_strv_ char **names = NULL;
        int r = list_names(v->fd, ".", zl_volume_name_is_valid, &names);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot list %s", v->path);
        ZL_STRV_FOREACH(name, names) {
                r = zl_volume_detach(v, *name, user, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- anonymous ones ------------------------------------------------------------------------------ */

int zl_volume_make_anonymous(struct zl_volumes *v, const char *user, unsigned index,
                             char **ret_path, bool *ret_fresh, struct zl_error *err)
{
        _cleanup_free_ char *name = NULL, *path = NULL;
        int r;

        if (asprintf(&name, ANONYMOUS "/%s/%u", user, index) < 0) {
                name = NULL;
                return zl_fail_oom(err);
        }
        path = zl_path_join(v->path, name);
        if (!path)
                return zl_fail_oom(err);
        r = zl_mkdir_p_at(v->fd, name, 0711);
        if (r == 0 && fchmodat(v->fd, name, 0755, 0) < 0)
                r = -errno;
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot make an anonymous volume of %s", user);
        *ret_fresh = is_empty_dir(v->fd, name);
        *ret_path = zl_take_ptr(path);
        return 0;
}

char *zl_volume_anonymous_path(const struct zl_volumes *v, const char *user)
{
        char *path = NULL;

        return asprintf(&path, "%s/" ANONYMOUS "/%s", v->path, user) < 0 ? NULL : path;
}

int zl_volume_rename_anonymous(struct zl_volumes *v, const char *user, const char *new_user,
                               struct zl_error *err)
{
        _cleanup_free_ char *old = zl_path_join(ANONYMOUS, user);
        _cleanup_free_ char *name = zl_path_join(ANONYMOUS, new_user);

        if (!old || !name)
                return zl_fail_oom(err);
        if (renameat(v->fd, old, v->fd, name) < 0 && errno != ENOENT)
                return zl_fail_errno(err, errno, "cannot rename the anonymous volumes of %s", user);
        return 0;
}

int zl_volume_remove_anonymous(struct zl_volumes *v, const char *user, struct zl_error *err)
{
        _cleanup_free_ char *name = zl_path_join(ANONYMOUS, user);
        int r;

        if (!name)
                return zl_fail_oom(err);
        r = remove_dir(v, v->fd, name);
        if (r < 0 && r != -ENOENT)
                return zl_fail_errno(err, -r, "cannot remove the anonymous volumes of %s", user);
        return 0;
}
