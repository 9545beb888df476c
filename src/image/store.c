/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image store's directories and locks (see store.h for the layout). Nothing here is kept in memory
 * between calls, so any number of processes may use one store; every change is a rename.
 *
 * Locks are flock()s on descriptors opened per call, so they also exclude threads of one process, and the
 * kernel releases them when a process dies. That is how garbage is told from work: a directory below
 * tmp/ whose lock is free belongs to nobody.
 */
#include "image/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/random.h"

const struct zl_image_limits zl_image_limits_default = {
        .manifest_bytes = UINT64_C(4) << 20,
        .layers = 256,
        .layer_bytes = UINT64_C(256) << 30,
        .layer_entries = 4000000,
        .expansion = 400,
        .expansion_floor = UINT64_C(4) << 30,
};

int zl_store_lock(struct zl_image_store *store, bool exclusive, struct zl_error *err)
{
        int fd = openat(store->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        int r;

        if (fd < 0)
                return zl_fail_errno(err, errno, "cannot open %s/lock", store->path);
        r = zl_lock_fd(fd, exclusive, true);
        if (r < 0) {
                zl_close(fd);
                return zl_fail_errno(err, -r, "cannot lock %s", store->path);
        }
        return fd;
}

/* ---- opening ---------------------------------------------------------------------------------------- */

/* Removes what operations of dead processes left. Failing to is no reason not to open the store. */
static void sweep(struct zl_image_store *store)
{
        int fd = openat(store->tmp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *de;

        if (!dir) {
                zl_close(fd);
                return;
        }
        while ((de = readdir(dir))) {
                _cleanup_close_ int tmp = -EBADF;

                if (de->d_name[0] == '.')
                        continue;
                tmp = openat(store->tmp_fd, de->d_name,
                             O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (tmp >= 0 && zl_lock_fd(tmp, true, false) == 0)
                        (void)zl_rm_rf_at(store->tmp_fd, de->d_name);
        }
        closedir(dir);
}

static int open_directories(struct zl_image_store *store, struct zl_error *err)
{
        const struct {
                const char *name;
                int *fd;
        } dirs[] = {
                { "layers", &store->layers_fd }, { "meta", &store->meta_fd },
                { "holds", &store->holds_fd },   { "locks", &store->locks_fd },
                { "tmp", &store->tmp_fd },
        };

        store->fd = zl_open_dir_at(AT_FDCWD, store->path, 0700, err);
        if (store->fd < 0)
                return store->fd;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(dirs); i++) {
                *dirs[i].fd = zl_open_dir_at(store->fd, dirs[i].name, 0700, err);
                if (*dirs[i].fd < 0)
                        return *dirs[i].fd;
        }
        return 0;
}

int zl_image_store_open(const char *path, const struct zl_image_store_options *options,
                        struct zl_image_store **ret, struct zl_error *err)
{
        _cleanup_image_store_ struct zl_image_store *store = calloc(1, sizeof *store);
        int r;

        if (!store)
                return zl_fail_oom(err);
        zl_recent_init(store);
        store->fd = store->layers_fd = store->meta_fd = -EBADF;
        store->holds_fd = store->locks_fd = store->tmp_fd = -EBADF;
        store->limits = options && options->limits ? *options->limits : zl_image_limits_default;
        store->plain_http = options && options->plain_http;
        /* Layer directories are handed out as absolute paths. */
        if (path[0] == '/') {
                store->path = strdup(path);
        } else {
                _cleanup_free_ char *cwd = getcwd(NULL, 0);

                if (cwd && asprintf(&store->path, "%s/%s", cwd, path) < 0)
                        store->path = NULL;
        }
        if (!store->path)
                return zl_fail_oom(err);
        r = open_directories(store, err);
        if (r < 0) {
                zl_error_prefix(err, "image store");
                return r;
        }
        sweep(store);
        *ret = zl_take_ptr(store);
        return 0;
}

void zl_image_store_close(struct zl_image_store *store)
{
        if (!store)
                return;
        if (store->ahead)
                zl_store_tmp_done(store->ahead);
        free(store->ahead);
        zl_close(store->fd);
        zl_close(store->layers_fd);
        zl_close(store->meta_fd);
        zl_close(store->holds_fd);
        zl_close(store->locks_fd);
        zl_close(store->tmp_fd);
        zl_recent_done(store);
        free(store->path);
        free(store);
}

/* ---- temporary places ------------------------------------------------------------------------------- */

int zl_store_tmp_new(struct zl_image_store *store, struct zl_store_tmp *ret, struct zl_error *err)
{
        /* Between mkdir and flock somebody may sweep the directory away: then try another. */
        for (int tries = 0; tries < 16; tries++) {
                _cleanup_close_ int fd = -EBADF;
                struct stat st;
                char name[sizeof ret->name];

                zl_random_hex(name, sizeof name - 1);
                if (mkdirat(store->tmp_fd, name, 0700) < 0)
                        return zl_fail_errno(err, errno, "cannot make %s/tmp/%s", store->path,
                                             name);
                fd = openat(store->tmp_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (fd < 0 || zl_lock_fd(fd, true, false) < 0 || fstat(fd, &st) < 0 ||
                    st.st_nlink == 0)
                        continue;
                ret->store = store;
                ret->fd = zl_take_fd(fd);
                memcpy(ret->name, name, sizeof name);
                return 0;
        }
        return zl_fail(err, ZL_E_BUSY, 0, "cannot make a temporary directory in %s/tmp",
                       store->path);
}

void zl_store_tmp_done(struct zl_store_tmp *tmp)
{
        if (tmp->fd < 0)
                return;
        (void)zl_rm_rf_at(tmp->store->tmp_fd, tmp->name); /* what stays is swept at the next open */
        tmp->fd = zl_close(tmp->fd);
}

int zl_store_lease(struct zl_store_tmp *tmp, char *const *digests, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(1 << 20);
        _cleanup_close_ int lock = zl_store_lock(tmp->store, false, err);
        int r;

        if (lock < 0)
                return lock;
        for (char *const *d = digests; d && *d; d++)
                zl_buf_putf(&text, "%s\n", *d);
        if (zl_buf_error(&text))
                return zl_fail_oom(err);
        r = zl_write_file_at(tmp->fd, "lease", text.data ? text.data : "", text.len, 0600, 0);
        return r < 0 ? zl_fail_errno(err, -r, "cannot write to %s/tmp", tmp->store->path) : 0;
}

/* ---- blobs ------------------------------------------------------------------------------------------- */

char *zl_store_blob_path(const char *digest)
{
        char *path;

        if (asprintf(&path, "blobs/%s", digest) < 0)
                return NULL;
        *strchr(path, ':') = '/';
        return path;
}

bool zl_digest_matches(const char *digest, const void *data, size_t len)
{
        _cleanup_(zl_hash_freep) struct zl_hash *hash = NULL;
        char text[ZL_DIGEST_TEXT_MAX];
        enum zl_hash_kind kind;

        if (zl_digest_check(digest, &kind) < 0)
                return false;
        hash = zl_hash_new(kind);
        if (!hash)
                return false;
        zl_hash_update(hash, data, len);
        return zl_streq(zl_hash_finish(hash, text), digest);
}

bool zl_store_has_blob(struct zl_image_store *store, const char *digest)
{
        _cleanup_free_ char *path = zl_store_blob_path(digest);

        return path && faccessat(store->fd, path, F_OK, 0) == 0;
}

int zl_store_put_blob(struct zl_image_store *store, const char *digest, const void *data,
                      size_t len, struct zl_error *err)
{
        _cleanup_free_ char *path = zl_store_blob_path(digest);
        _cleanup_close_ int lock = -EBADF;
        char *slash;
        int r;

        if (!path)
                return zl_fail_oom(err);
        /* A prune must not take the file while it still has its temporary name. */
        lock = zl_store_lock(store, false, err);
        if (lock < 0)
                return lock;
        slash = strrchr(path, '/');
        *slash = 0;
        r = zl_mkdir_p_at(store->fd, path, 0700);
        *slash = '/';
        if (r >= 0)
                r = zl_write_file_at(store->fd, path, data, len, 0600, ZL_WRITE_SYNC);
        return r < 0 ? zl_fail_errno(err, -r, "cannot write %s/%s", store->path, path) : 0;
}

int zl_store_get_blob(struct zl_image_store *store, const char *digest, char **ret, size_t *ret_len,
                      struct zl_error *err)
{
        _cleanup_free_ char *path = NULL, *text = NULL;
        size_t len;
        int r;

        if (zl_digest_check(digest, NULL) < 0)
                return zl_fail(err, ZL_E_INVALID, 0, "%.200s is not a digest", digest);
        path = zl_store_blob_path(digest);
        if (!path)
                return zl_fail_oom(err);
        r = zl_read_file_at(store->fd, path, store->limits.manifest_bytes, &text, &len);
        if (r == -ENOENT)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "%s is not in the image store", digest);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s/%s", store->path, path);
        if (!zl_digest_matches(digest, text, len))
                return zl_fail(err, ZL_E_CORRUPT, 0, "%s/%s does not match its digest", store->path,
                               path);
        *ret = zl_take_ptr(text);
        *ret_len = len;
        return 0;
}

/* ---- layers ------------------------------------------------------------------------------------------ */

char *zl_layer_name(const char *diff_id, char buf[ZL_LAYER_NAME_MAX])
{
        const char *hex = zl_startswith(diff_id, "sha256:");

        snprintf(buf, ZL_LAYER_NAME_MAX, "%s", hex ? hex : diff_id);
        if (!hex && strchr(buf, ':'))
                *strchr(buf, ':') = '-';
        return buf;
}

bool zl_store_has_layer(struct zl_image_store *store, const char *diff_id)
{
        char name[ZL_LAYER_NAME_MAX];

        return faccessat(store->layers_fd, zl_layer_name(diff_id, name), F_OK, 0) == 0;
}

int zl_store_layer_tar_size(struct zl_image_store *store, const char *diff_id, uint64_t *ret,
                            struct zl_error *err)
{
        char name[ZL_LAYER_NAME_MAX], file[ZL_LAYER_NAME_MAX + 8];
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *json = NULL;
        size_t len;
        int r;

        snprintf(file, sizeof file, "%s.json", zl_layer_name(diff_id, name));
        r = zl_read_file_at(store->meta_fd, file, 1 << 20, &text, &len);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s/meta/%s", store->path, file);
        r = zl_json_parse(text, len, file, &json, err);
        if (r >= 0)
                *ret = (uint64_t)zl_json_int(json, "tar_size", 0);
        return r;
}

int zl_store_lock_layer(struct zl_image_store *store, const char *diff_id, const int *cancel,
                        struct zl_error *err)
{
        char name[ZL_LAYER_NAME_MAX];

        zl_layer_name(diff_id, name);
        for (int64_t wait_msec = 5;; wait_msec = ZL_MIN(wait_msec * 2, (int64_t)200)) {
                _cleanup_close_ int fd = openat(store->locks_fd, name, O_RDWR | O_CREAT | O_CLOEXEC,
                                                0600);
                struct stat mine, now;
                int r;

                if (fd < 0)
                        return zl_fail_errno(err, errno, "cannot open %s/locks/%s", store->path,
                                             name);
                r = zl_lock_fd(fd, true, false);
                /* Holders unlink the file when they are done: ours must still be the one with the name. */
                if (r == 0 && fstat(fd, &mine) == 0 &&
                    fstatat(store->locks_fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
                    mine.st_ino == now.st_ino)
                        return zl_take_fd(fd);
                if (r == 0)
                        continue;
                if (r != -EWOULDBLOCK)
                        return zl_fail_errno(err, -r, "cannot lock %s/locks/%s", store->path, name);
                if (cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED))
                        return zl_fail(err, ZL_E_CANCELLED, 0, "cancelled");
                /* Another process makes this layer. A blocking flock() could not be cancelled. */
                nanosleep(&(struct timespec){ 0, wait_msec * 1000000 }, NULL);
        }
}
