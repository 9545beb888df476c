/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs from the image: the writable layer of the overlay tells. A character device 0:0 there is a deletion; what also
 * stands in a layer below was modified, what does not was added. A directory that is opaque hides everything below, so what it
 * lacks of that was deleted.
 *
 * What an opaque directory hides is not told entry by entry: the directory itself is told as modified.
 *
 * What may go wrong: the workload changes the tree while it is read. Names are taken as they come, nothing is followed, and
 * what vanishes on the way is not told.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/strv.h"
#include "runtimes/native.h"

enum { DEPTH_MAX = 256 };

struct walk {
        char *const *lower; /* LOWEST first */
        struct zl_change *changes;
        size_t n;
};

static int add(struct walk *w, const char *path, enum zl_change_kind kind)
{
        struct zl_change *grown = reallocarray(w->changes, w->n + 1, sizeof(*grown));

        if (!grown)
                return -ENOMEM;
        w->changes = grown;
        grown[w->n] = (struct zl_change){ .kind = kind };
        if (asprintf(&grown[w->n].path, "/%s", path) < 0)
                return -ENOMEM;
        w->n++;
        return 0;
}

static bool is_whiteout(const struct stat *st)
{
        return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* Is there such a file in the image? The highest layer that says something decides. */
static bool is_below(const struct walk *w, const char *path)
{
        for (size_t i = zl_strv_len(w->lower); i-- > 0;) {
                _cleanup_free_ char *full = zl_path_join(w->lower[i], path);
                struct stat st;

                if (full && lstat(full, &st) == 0)
                        return !is_whiteout(&st);
        }
        return false;
}

static int look_at(struct walk *w, int dir, const char *name, const char *path, unsigned depth);

/* The entries of an upper directory. Takes `fd` over. */
static int walk_dir(struct walk *w, int fd, const char *path, unsigned depth)
{
        DIR *dir = fdopendir(fd);
        const struct dirent *de;
        int r = 0;

        if (!dir) {
                zl_close(fd);
                return -errno;
        }
        while (r == 0 && (de = readdir(dir))) {
                _cleanup_free_ char *below = NULL;

                if (zl_streq(de->d_name, ".") || zl_streq(de->d_name, ".."))
                        continue;
                below = zl_path_join(path, de->d_name);
                r = below ? look_at(w, dirfd(dir), de->d_name, below, depth) : -ENOMEM;
        }
        closedir(dir);
        return r;
}

static int look_at(struct walk *w, int dir, const char *name, const char *path, unsigned depth)
{
        struct stat st;
        int fd;
        int r;

        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        if (is_whiteout(&st))
                return is_below(w, path) ? add(w, path, ZL_CHANGE_DELETED) : 0;
        r = add(w, path, is_below(w, path) ? ZL_CHANGE_MODIFIED : ZL_CHANGE_ADDED);
        if (r < 0 || !S_ISDIR(st.st_mode) || depth >= DEPTH_MAX)
                return r;
        fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? 0 : walk_dir(w, fd, path, depth + 1);
}

static int compare(const void *a, const void *b)
{
        return strcmp(((const struct zl_change *)a)->path, ((const struct zl_change *)b)->path);
}

int native_changes(struct zl_runtime *rt, const char *name, struct zl_change **ret, size_t *ret_n,
                   struct zl_error *err)
{
        struct native *n = native_from(rt);
        _cleanup_close_ int state = native_open_state(n, name, err);
        _cleanup_record_ struct native_record record = { 0 };
        struct walk w = { 0 };
        int fd, r;

        if (state < 0)
                return state;
        r = native_record_load(n, state, name, &record, err);
        if (r < 0)
                return r;
        fd = openat(state, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return zl_fail_errno(err, errno, "cannot open the writable layer of %s", name);
        w.lower = record.lower_dirs;
        r = walk_dir(&w, fd, "", 0);
        if (r < 0) {
                zl_change_free(w.changes, w.n);
                return zl_fail_errno(err, -r, "cannot read the writable layer of %s", name);
        }
        if (w.n)
                qsort(w.changes, w.n, sizeof(*w.changes), compare);
        *ret = w.changes;
        *ret_n = w.n;
        return 0;
}
