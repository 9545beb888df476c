/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of native workloads: looked at, taken out, put in, all of them, and as a new image. native_root.c leads into the
 * file system; here every path is resolved inside of it, by descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strv.h"
#include "image/tar_stream.h"
#include "image/unpack.h"
#include "oci/runtime_config.h"
#include "runtimes/native.h"
#include "runtimes/tar_tree.h"

struct files {
        const char *name;
        char *path; /* clean, without the leading slash; "" is the root */
        int fd, scratch;
        unsigned flags;
        struct zl_file_stat *stat;
};

static int begin(struct files *f, const char *name, const char *path, struct zl_error *err)
{
        _cleanup_free_ char *clean = NULL;

        *f = (struct files){ .name = name, .fd = -EBADF, .scratch = -EBADF };
        if (!path || path[0] != '/')
                return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is not an absolute path",
                               path ? path : "");
        clean = zl_path_clean_absolute(path);
        f->path = clean ? strdup(clean + 1) : NULL;
        return f->path ? 0 : zl_fail_oom(err);
}

static int not_reached(const struct files *f, int errnum, struct zl_error *err)
{
        if (errnum == ENOENT || errnum == ENOTDIR)
                return zl_fail(err, ZL_E_NOT_FOUND, errnum, "%s has no /%s", f->name, f->path);
        return zl_fail_errno(err, errnum, "/%s in %s", f->path, f->name);
}

/* The directory that the path is in, and its name there: "." for the root. */
static int open_parent(const struct files *f, int root, const char **ret_base, struct stat *ret,
                       struct zl_error *err)
{
        int fd;

        *ret_base = ".";
        fd = *f->path ? zl_open_parent_in(root, f->path, ZL_PATH_IN_ROOT, ret_base)
                      : zl_open_in(root, ".", O_PATH | O_DIRECTORY, 0, ZL_PATH_IN_ROOT);
        if (fd < 0)
                return not_reached(f, -fd, err);
        if (fstatat(fd, *ret_base, ret, AT_SYMLINK_NOFOLLOW) < 0) {
                int e = errno;

                zl_close(fd);
                return not_reached(f, e, err);
        }
        return fd;
}

/* ---- looking ----------------------------------------------------------------------------------------------- */

static int fill_link(const struct files *f, int dir, const char *base, struct zl_error *err)
{
        _cleanup_free_ char *full = NULL;
        const char *slash = strrchr(f->path, '/');
        char target[4097];
        ssize_t n = readlinkat(dir, base, target, sizeof(target) - 1);

        if (n < 0)
                return not_reached(f, errno, err);
        target[n] = 0;
        if (target[0] != '/' &&
            asprintf(&full, "/%.*s/%s", slash ? (int)(slash - f->path) : 0, f->path, target) < 0)
                return zl_fail_oom(err);
        f->stat->link_target = zl_path_clean_absolute(full ? full : target);
        return f->stat->link_target ? 0 : zl_fail_oom(err);
}

static int visit_head(int root, void *data, struct zl_error *err)
{
        const struct files *f = data;
        const char *base;
        struct stat st;
        _cleanup_close_ int dir = open_parent(f, root, &base, &st, err);

        if (dir < 0)
                return dir;
        *f->stat = (struct zl_file_stat){
                .name = strdup(*f->path ? base : "/"),
                .size = st.st_size,
                .mode = st.st_mode,
                .mtime = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec,
        };
        if (!f->stat->name)
                return zl_fail_oom(err);
        return S_ISLNK(st.st_mode) ? fill_link(f, dir, base, err) : 0;
}

int native_archive_head(struct zl_runtime *rt, const char *name, const char *path,
                        struct zl_file_stat *ret, struct zl_error *err)
{
        const struct native_visit visit = { visit_head, &(struct files){ 0 } };
        struct files *f = visit.data;
        int r = begin(f, name, path, err);

        f->stat = ret;
        if (r == 0)
                r = native_visit_root(native_from(rt), name, 0, &visit, err);
        if (r < 0)
                zl_file_stat_done(ret);
        free(f->path);
        return r;
}

/* ---- taking out -------------------------------------------------------------------------------------------- */

static int write_tree(const struct files *f, int dir, const char *base, const char *name,
                      struct zl_error *err)
{
        _cleanup_tar_writer_ struct zl_tar_writer *writer = zl_tar_writer_new(
                zl_tar_sink_fd, (void *)(uintptr_t)&f->fd);
        int r = writer ? zl_tar_tree(writer, dir, base, name, f->flags, err) : zl_fail_oom(err);

        return r < 0 ? r : zl_tar_writer_finish(writer, err);
}

static int visit_get(int root, void *data, struct zl_error *err)
{
        const struct files *f = data;
        const char *base;
        struct stat st;
        _cleanup_close_ int dir = open_parent(f, root, &base, &st, err);

        return dir < 0 ? dir : write_tree(f, dir, base, base, err);
}

int native_archive_get(struct zl_runtime *rt, const char *name, const char *path, int fd,
                       struct zl_error *err)
{
        const struct native_visit visit = { visit_get, &(struct files){ 0 } };
        struct files *f = visit.data;
        int r = begin(f, name, path, err);

        f->fd = fd;
        if (r == 0)
                r = native_visit_root(native_from(rt), name, 0, &visit, err);
        free(f->path);
        return r;
}

static int visit_export(int root, void *data, struct zl_error *err)
{
        _cleanup_close_ int dir = zl_open_in(root, ".", O_PATH | O_DIRECTORY, 0, ZL_PATH_IN_ROOT);

        return dir < 0 ? zl_fail_errno(err, -dir, "cannot open the root")
                       : write_tree(data, dir, ".", "", err);
}

int native_export(struct zl_runtime *rt, const char *name, int fd, struct zl_error *err)
{
        struct files f = { .name = name, .fd = fd, .flags = ZL_TAR_ONE_MOUNT };
        const struct native_visit visit = { visit_export, &f };

        return native_visit_root(native_from(rt), name, NATIVE_ROOT_BARE, &visit, err);
}

/* ---- putting in -------------------------------------------------------------------------------------------- */

static int on_entry(void *ctx, const struct zl_tar_entry *entry, struct zl_error *err)
{
        return zl_unpack_entry(ctx, entry, err);
}

static int on_data(void *ctx, uint64_t offset, const void *data, size_t len, struct zl_error *err)
{
        return zl_unpack_data(ctx, offset, data, len, err);
}

static int on_entry_end(void *ctx, struct zl_error *err)
{
        return zl_unpack_entry_end(ctx, err);
}

static int unpack_from(int fd, struct zl_unpack *unpack, struct zl_error *err)
{
        static const struct zl_tar_handler handler = { on_entry, on_data, on_entry_end, NULL };
        int r = zl_tar_read_fd(fd, &handler, unpack, err);

        return r < 0 ? r : zl_unpack_finish(unpack, err);
}

static int visit_put(int root, void *data, struct zl_error *err)
{
        static const struct zl_image_limits none = { .layer_bytes = UINT64_MAX,
                                                     .layer_entries = UINT64_MAX };
        const struct files *f = data;
        _cleanup_(zl_unpack_freep) struct zl_unpack *unpack = NULL;
        _cleanup_close_ int dir = zl_open_in(root, *f->path ? f->path : ".", O_PATH, 0,
                                             ZL_PATH_IN_ROOT);
        struct stat st;
        int r;

        if (dir < 0 || fstat(dir, &st) < 0)
                return not_reached(f, dir < 0 ? -dir : errno, err);
        if (!S_ISDIR(st.st_mode))
                return zl_fail(err, ZL_E_INVALID, ENOTDIR, "/%s in %s is not a directory", f->path,
                               f->name);
        r = zl_unpack_new(root, f->scratch, &none, &unpack, err);
        if (r == 0)
                r = zl_unpack_set_live(unpack, f->path, f->flags, err);
        return r < 0 ? r : unpack_from(f->fd, unpack, err);
}

int native_archive_put(struct zl_runtime *rt, const char *name, const char *path, int fd,
                       unsigned flags, struct zl_error *err)
{
        struct native *n = native_from(rt);
        const struct native_visit visit = { visit_put, &(struct files){ 0 } };
        struct files *f = visit.data;
        int r = begin(f, name, path, err);

        if (r == 0)
                r = f->scratch = native_open_state(n, name, err);
        f->fd = fd;
        f->flags = (flags & ZL_ARCHIVE_COPY_UID_GID ? ZL_UNPACK_OWNERS : 0) |
                   (flags & ZL_ARCHIVE_NO_OVERWRITE_DIR ? ZL_UNPACK_NO_OVERWRITE_DIR : 0);
        if (r >= 0)
                r = native_visit_root(n, name, NATIVE_ROOT_WRITE, &visit, err);
        zl_close(f->scratch);
        free(f->path);
        return r;
}

/* ---- a new image ------------------------------------------------------------------------------------------- */

/* The writable layer as it lies there; the overlay above it is not needed. */
static int write_layer(void *ctx, struct zl_tar_writer *writer, struct zl_error *err)
{
        return zl_tar_tree(writer, *(const int *)ctx, ".", "", ZL_TAR_LAYER, err);
}

/* What the workload runs, for the history. */
static char *command_of(int state)
{
        _cleanup_(zl_oci_config_freep) struct zl_oci_config *config = NULL;
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(1 << 20);

        if (zl_oci_config_load_at(state, NATIVE_CONFIG, &config, NULL) < 0 || !config->process)
                return NULL;
        ZL_STRV_FOREACH(arg, config->process->args)
                zl_buf_putf(&text, "%s%s", text.len ? " " : "", *arg);
        return zl_buf_take(&text);
}

/* 1: it was frozen, and has to be thawed. */
static int freeze(struct zl_runtime *rt, const char *name, struct zl_error *err)
{
        struct zl_status status;
        bool running;
        int r = native_status(native_from(rt), name, &status, err);

        if (r < 0)
                return r;
        running = status.state == ZL_STATE_RUNNING;
        zl_status_done(&status);
        r = running ? zl_runtime_pause(rt, name, true, err) : 0;
        return r < 0 ? r : running;
}

int native_commit(struct zl_runtime *rt, const char *name, const struct zl_commit_options *options,
                  char **ret_id, struct zl_error *err)
{
        struct native *n = native_from(rt);
        _cleanup_close_ int state = native_open_state(n, name, err), upper = -EBADF;
        _cleanup_record_ struct native_record record = { 0 };
        _cleanup_free_ char *command = NULL;
        struct zl_image_store *images;
        int frozen, r;

        if (state < 0)
                return state;
        r = native_record_load(n, state, name, &record, err);
        if (r == 0 && record.wasm)
                r = zl_fail(err, ZL_E_UNSUPPORTED, 0,
                            "%s is WebAssembly, it has no file system of its own", name);
        if (r == 0)
                r = native_images(n, &images, err);
        if (r < 0)
                return r;
        upper = openat(state, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (upper < 0)
                return zl_fail_errno(err, errno, "cannot open the writable layer of %s", name);
        command = command_of(state);
        const struct zl_image_commit commit = { .base = record.digest,
                                                .name = options->image,
                                                .created_by = command,
                                                .comment = options->comment,
                                                .author = options->author,
                                                .write = write_layer,
                                                .ctx = &upper };

        frozen = options->no_pause ? 0 : freeze(rt, name, err);
        if (frozen < 0)
                return frozen;
        r = zl_image_commit(images, &commit, ret_id, err);
        if (frozen)
                zl_runtime_pause(rt, name, false, NULL);
        return r;
}
