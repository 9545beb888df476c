/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the root of a native workload is laid over: the layers of its image, above a layer of ours that all share. That one holds the places
 * that every workload has something mounted on. An image that has them too hides them; one that lacks them (most have no
 * etc/resolv.conf, small ones not even proc) would have them made in the writable layer of each workload, at each
 * first start, and shown as its changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/path.h"
#include "base/strv.h"
#include "runtimes/native.h"

#define SKELETON "skeleton"

/* In this order: who finds the last one finds all of them. */
static const struct {
        const char *name;
        bool is_dir;
} places[] = {
        { "dev", true },
        { "etc", true },
        { "proc", true },
        { "sys", true },
        { "etc/hosts", false },
        { "etc/hostname", false },
        { "etc/resolv.conf", false },
};

/* For other users inside, too, whatever our umask is. */
static int make_place(int dir, const char *name, bool is_dir)
{
        _cleanup_close_ int fd = -EBADF;

        if (is_dir)
                return (mkdirat(dir, name, 0755) < 0 && errno != EEXIST) ||
                                       fchmodat(dir, name, 0755, 0) < 0
                               ? -errno
                               : 0;
        fd = openat(dir, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
        return fd < 0 || fchmod(fd, 0644) < 0 ? -errno : 0;
}

/* Several may make it at once: each step can be done twice. */
static int make_skeleton(const char *path, struct zl_error *err)
{
        _cleanup_close_ int dir = zl_open_dir_at(AT_FDCWD, path, 0755, err);
        size_t last = ZL_ARRAY_SIZE(places) - 1;

        if (dir < 0)
                return dir;
        if (faccessat(dir, places[last].name, F_OK, 0) == 0)
                return 0;
        for (size_t i = 0; i <= last; i++) {
                int r = make_place(dir, places[i].name, places[i].is_dir);

                if (r < 0)
                        return zl_fail_errno(err, -r, "cannot make %s/%s", path, places[i].name);
        }
        return 0;
}

bool native_is_skeleton(const struct native *n, const char *layer)
{
        const char *name = zl_startswith(layer, n->settings.root_dir);

        return name && zl_streq(name, "/" SKELETON);
}

int native_mix_layers(struct zl_buf *buf, const struct native *n, char *const *layers)
{
        ZL_STRV_FOREACH(layer, layers) {
                struct stat st;

                if (native_is_skeleton(n, *layer))
                        continue;
                if (stat(*layer, &st) < 0)
                        return -errno;
                zl_buf_putf(buf, "%ju %ju %jd.%09ld\n", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino,
                            (intmax_t)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
        }
        return zl_buf_error(buf);
}

/* It becomes the lowest. */
static int add_skeleton(struct native *n, char ***layers, struct zl_error *err)
{
        _cleanup_free_ char *path = zl_path_join(n->settings.root_dir, SKELETON);
        _cleanup_strv_ char **all = NULL;
        int r = path ? make_skeleton(path, err) : zl_fail_oom(err);

        if (r < 0)
                return r;
        if (zl_strv_push(&all, path) < 0)
                return zl_fail_oom(err);
        ZL_STRV_FOREACH(layer, *layers)
                if (zl_strv_push(&all, *layer) < 0)
                        return zl_fail_oom(err);
        zl_strv_free(*layers);
        *layers = zl_take_ptr(all);
        return 0;
}

/* The writable layer's root is the root directory that the workload sees: as the image has it. */
int native_copy_root(char *const *layers, int state_fd, struct zl_error *err)
{
        const char *layer = layers[zl_strv_len(layers) - 1];
        struct stat st;

        if (stat(layer, &st) < 0)
                return zl_fail_errno(err, errno, "cannot look at the layer %s", layer);
        if (fchownat(state_fd, "upper", st.st_uid, st.st_gid, 0) < 0 ||
            fchmodat(state_fd, "upper", st.st_mode & 07777, 0) < 0)
                return zl_fail_errno(err, errno, "cannot set up the writable layer");
        return 0;
}

int native_make_root_dirs(int state_fd)
{
        return mkdirat(state_fd, "rootfs", 0755) < 0 || mkdirat(state_fd, "work", 0700) < 0 ||
                               mkdirat(state_fd, "upper", 0755) < 0
                       ? -errno
                       : 0;
}

int native_see_layers(const struct native *n, char *const *layers, char ret[ZL_DIGEST_TEXT_MAX])
{
        _cleanup_buf_ struct zl_buf buf = ZL_BUF_INIT(64 << 10);
        int r = native_mix_layers(&buf, n, layers);

        if (r == 0 && !zl_sha256_text(buf.data, buf.len, ret))
                r = -ENOMEM;
        return r;
}

int native_make_layers(struct native *n, int state_fd, char ***layers, struct zl_error *err)
{
        int r;

        if (zl_strv_len(*layers) == 0)
                return 0;
        r = native_copy_root(*layers, state_fd, err);
        return r < 0 ? r : add_skeleton(n, layers, err);
}
