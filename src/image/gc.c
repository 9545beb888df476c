/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stays and what goes: holds, remove, tag, prune. Mark and sweep under the store's lock: marked is what names, holds and
 * running pulls (their leases) reach; the rest is moved out of sight by a rename and deleted after the
 * lock is given back, so the lock is held for milliseconds however large a layer is.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strv.h"
#include "image/store.h"
#include "oci/image.h"
#include "oci/reference.h"

enum { HOLD_MAX = 4096, LEASE_MAX = 1 << 20 };

static const char ahead_name[] = "hold"; /* below a temporary place */

static char marked[] = "marked"; /* any value: the map is used as a set */

static int mark(struct zl_map *set, const char *digest)
{
        return zl_map_put(set, digest, marked);
}

/* ---- walking directories -------------------------------------------------------------------------------------- */

typedef int (*visit)(void *ctx, int dirfd, const char *name, struct zl_error *err);

static int for_each(int dirfd, const char *path, visit f, void *ctx, struct zl_error *err)
{
        int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        const struct dirent *de;
        DIR *dir;

        if (fd < 0)
                return errno == ENOENT ? 0 : zl_fail_errno(err, errno, "cannot open %s", path);
        dir = fdopendir(fd);
        if (!dir) {
                zl_close(fd);
                return zl_fail_oom(err);
        }
        while (r >= 0 && (de = readdir(dir)))
                if (de->d_name[0] != '.')
                        r = f(ctx, fd, de->d_name, err);
        closedir(dir);
        return r;
}

/* ---- holds ------------------------------------------------------------------------------------------------------ */

/* Reads the digest in a hold; NULL if the file is gone or not ours. */
static char *read_hold(int dirfd, const char *holder)
{
        char *text = NULL;

        if (zl_read_file_at(dirfd, holder, HOLD_MAX, &text, NULL) < 0)
                return NULL;
        text[strcspn(text, "\n")] = 0;
        if (zl_digest_check(text, NULL) == 0)
                return text;
        free(text);
        return NULL;
}

/* ext4 may look long for a free inode, and a start waits for it: one is taken before, as a file in a temporary place. */
void zl_image_hold_ahead(struct zl_image_store *store)
{
        _cleanup_close_ int fd = -EBADF;

        pthread_mutex_lock(&store->lock);
        if (!store->ahead) {
                store->ahead = calloc(1, sizeof(*store->ahead));
                if (store->ahead && zl_store_tmp_new(store, store->ahead, NULL) < 0)
                        zl_freep(&store->ahead);
        }
        /* Exclusively: the last one may be about to get its name. */
        if (store->ahead && !store->has_hold) {
                fd = openat(store->ahead->fd, ahead_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                            0600);
                store->has_hold = fd >= 0;
        }
        pthread_mutex_unlock(&store->lock);
}

/* -ENOENT if none was made. */
static int hold_by_ahead(struct zl_image_store *store, const char *holder, const char *text)
{
        _cleanup_close_ int fd = -EBADF;
        bool had;
        int r;

        pthread_mutex_lock(&store->lock);
        had = store->has_hold;
        store->has_hold = false;
        pthread_mutex_unlock(&store->lock);
        if (!had)
                return -ENOENT;
        fd = openat(store->ahead->fd, ahead_name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
        r = fd < 0 ? -errno : zl_write_full(fd, text, strlen(text));
        if (r == 0 && renameat(store->ahead->fd, ahead_name, store->holds_fd, holder) < 0)
                r = -errno;
        if (r < 0)
                unlinkat(store->ahead->fd, ahead_name, 0);
        return r;
}

int zl_image_hold(struct zl_image_store *store, const char *digest, const char *holder,
                  struct zl_error *err)
{
        _cleanup_close_ int lock = -EBADF;
        _cleanup_free_ char *now = NULL;
        char text[ZL_DIGEST_TEXT_MAX + 1];
        int r;

        if (!zl_path_is_name(holder) || holder[0] == '.')
                return zl_fail(err, ZL_E_INVALID, 0, "%.300s cannot be the name of a holder",
                               holder);
        if (zl_digest_check(digest, NULL) < 0)
                return zl_fail(err, ZL_E_INVALID, 0, "%.200s is not a digest", digest);
        lock = zl_store_lock(store, true, err);
        if (lock < 0)
                return lock;
        if (!zl_store_has_blob(store, digest))
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "image %s is not in the store", digest);
        snprintf(text, sizeof text, "%s\n", digest);
        /* Recovery holds again what is held; replacing a file would leave something behind if we were killed in the middle. */
        if (zl_read_file_at(store->holds_fd, holder, sizeof text, &now, NULL) == 0 &&
            zl_streq(now, text))
                return 0;
        /* Not synced: it stands in the way of every start, and recovery holds again for every holder that it finds. */
        r = hold_by_ahead(store, holder, text);
        if (r < 0)
                r = zl_write_file_at(store->holds_fd, holder, text, strlen(text), 0600, 0);
        return r < 0 ? zl_fail_errno(err, -r, "cannot write %s/holds/%s", store->path, holder) : 0;
}

int zl_image_release(struct zl_image_store *store, const char *holder, struct zl_error *err)
{
        if (!zl_path_is_name(holder) || holder[0] == '.')
                return zl_fail(err, ZL_E_INVALID, 0, "%.300s cannot be the name of a holder",
                               holder);
        if (unlinkat(store->holds_fd, holder, 0) < 0 && errno != ENOENT)
                return zl_fail_errno(err, errno, "cannot remove %s/holds/%s", store->path, holder);
        return 0;
}

struct find_holder {
        const char *digest;
        char *holder;
};

static int find_holder(void *ctx, int dirfd, const char *name, struct zl_error *err)
{
        struct find_holder *f = ctx;
        _cleanup_free_ char *digest = read_hold(dirfd, name);

        if (!f->holder && digest && zl_streq(digest, f->digest)) {
                f->holder = strdup(name);
                if (!f->holder)
                        return zl_fail_oom(err);
        }
        return 0;
}

/* Who holds the image: a name that the caller frees, or NULL. */
static int holder_of(struct zl_image_store *store, const char *digest, char **ret,
                     struct zl_error *err)
{
        struct find_holder f = { digest, NULL };
        int r = for_each(store->holds_fd, ".", find_holder, &f, err);

        *ret = f.holder;
        return r;
}

/* ---- marking ---------------------------------------------------------------------------------------------------- */

struct sweep {
        struct zl_image_store *store;
        struct zl_map *live; /* digests, and names of layers */
        struct zl_store_tmp trash;
        uint64_t freed;
        unsigned n_trash;
};

static int mark_layers(struct sweep *s, const char *config_digest)
{
        _cleanup_image_config_ struct zl_image_config config = { 0 };
        _cleanup_free_ char *text = NULL;
        char name[ZL_LAYER_NAME_MAX];
        size_t len;

        if (zl_store_get_blob(s->store, config_digest, &text, &len, NULL) < 0 ||
            zl_image_config_parse(text, len, config_digest, &config, NULL) < 0)
                return 0; /* damaged, or no container: there is nothing to reach */
        ZL_STRV_FOREACH(id, config.diff_ids)
                if (mark(s->live, zl_layer_name(*id, name)) < 0)
                        return -ENOMEM;
        return 0;
}

static int mark_image(struct sweep *s, const char *digest, struct zl_error *err)
{
        _cleanup_document_ struct zl_document manifest = { 0 };
        _cleanup_free_ char *text = NULL;
        size_t len;

        if (zl_map_has(s->live, digest))
                return 0;
        if (mark(s->live, digest) < 0)
                return zl_fail_oom(err);
        if (zl_store_get_blob(s->store, digest, &text, &len, NULL) < 0 ||
            zl_document_parse(text, len, NULL, digest, &manifest, NULL) < 0 ||
            manifest.kind != ZL_DOCUMENT_MANIFEST)
                return 0;
        if (mark(s->live, manifest.config.digest) < 0 || mark_layers(s, manifest.config.digest) < 0)
                return zl_fail_oom(err);
        for (size_t i = 0; i < manifest.n_items; i++) /* modules are kept as blobs */
                if (mark(s->live, manifest.items[i].digest) < 0)
                        return zl_fail_oom(err);
        return 0;
}

static int mark_hold(void *ctx, int dirfd, const char *name, struct zl_error *err)
{
        _cleanup_free_ char *digest = read_hold(dirfd, name);

        return digest ? mark_image(ctx, digest, err) : 0;
}

static int mark_lease(void *ctx, int dirfd, const char *name, struct zl_error *err)
{
        struct sweep *s = ctx;
        _cleanup_free_ char *path = NULL, *text = NULL;
        char layer[ZL_LAYER_NAME_MAX], *save = NULL;

        if (asprintf(&path, "%s/lease", name) < 0) {
                path = NULL;
                return zl_fail_oom(err);
        }
        if (zl_read_file_at(dirfd, path, LEASE_MAX, &text, NULL) < 0)
                return 0;
        for (char *d = strtok_r(text, "\n", &save); d; d = strtok_r(NULL, "\n", &save))
                if (mark(s->live, d) < 0 || mark(s->live, zl_layer_name(d, layer)) < 0)
                        return zl_fail_oom(err);
        return 0;
}

/* ---- sweeping --------------------------------------------------------------------------------------------------- */

static int to_trash(struct sweep *s, int dirfd, const char *name, struct zl_error *err)
{
        char trash[24];

        snprintf(trash, sizeof trash, "trash-%u", s->n_trash++);
        if (renameat(dirfd, name, s->trash.fd, trash) < 0 && errno != ENOENT)
                return zl_fail_errno(err, errno, "cannot remove %s", name);
        return 0;
}

static int sweep_blob(void *ctx, int dirfd, const char *name, struct zl_error *err,
                      const char *algorithm)
{
        struct sweep *s = ctx;
        char digest[ZL_DIGEST_TEXT_MAX + 256];
        struct stat st;

        snprintf(digest, sizeof digest, "%s:%s", algorithm, name);
        if (zl_map_has(s->live, digest))
                return 0;
        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                s->freed += (uint64_t)st.st_size;
        return to_trash(s, dirfd, name, err);
}

static int sweep_sha256(void *ctx, int dirfd, const char *name, struct zl_error *err)
{
        return sweep_blob(ctx, dirfd, name, err, "sha256");
}

static int sweep_sha384(void *ctx, int dirfd, const char *name, struct zl_error *err)
{
        return sweep_blob(ctx, dirfd, name, err, "sha384");
}

static int sweep_sha512(void *ctx, int dirfd, const char *name, struct zl_error *err)
{
        return sweep_blob(ctx, dirfd, name, err, "sha512");
}

static int sweep_layer(void *ctx, int dirfd, const char *name, struct zl_error *err)
{
        struct sweep *s = ctx;

        return zl_map_has(s->live, name) ? 0 : to_trash(s, dirfd, name, err);
}

/* Records whose layer is not live. */
static int sweep_meta(void *ctx, int dirfd, const char *name, struct zl_error *err)
{
        struct sweep *s = ctx;
        _cleanup_free_ char *layer = strndup(name, strcspn(name, "."));

        if (!layer)
                return zl_fail_oom(err);
        return zl_map_has(s->live, layer) ? 0 : to_trash(s, dirfd, name, err);
}

/* Bytes below a directory that is ours alone. */
static uint64_t tree_size(int dirfd, const char *name, int depth)
{
        int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *de;
        uint64_t sum = 0;
        struct stat st;

        if (!dir) {
                zl_close(fd);
                return 0;
        }
        while (depth < 256 && (de = readdir(dir))) {
                if (zl_streq(de->d_name, ".") || zl_streq(de->d_name, ".."))
                        continue;
                if (fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (S_ISDIR(st.st_mode))
                        sum += tree_size(fd, de->d_name, depth + 1);
                else if (st.st_nlink == 1)
                        sum += (uint64_t)st.st_blocks * 512;
        }
        closedir(dir);
        return sum;
}

/* With the lock held and the index as it shall be: moves everything unreachable to s->trash. */
static int collect(struct sweep *s, const struct zl_map *index, struct zl_error *err)
{
        struct zl_image_store *store = s->store;
        const char *name;
        size_t pos = 0;
        void *value;
        int r;

        s->live = zl_map_new(NULL);
        if (!s->live)
                return zl_fail_oom(err);
        while (zl_map_next(index, &pos, &name, &value)) {
                r = mark_image(s, ((struct zl_index_entry *)value)->digest, err);
                if (r < 0)
                        return r;
        }
        if ((r = for_each(store->holds_fd, ".", mark_hold, s, err)) < 0 ||
            (r = for_each(store->tmp_fd, ".", mark_lease, s, err)) < 0 ||
            (r = for_each(store->fd, "blobs/sha256", sweep_sha256, s, err)) < 0 ||
            (r = for_each(store->fd, "blobs/sha384", sweep_sha384, s, err)) < 0 ||
            (r = for_each(store->fd, "blobs/sha512", sweep_sha512, s, err)) < 0 ||
            (r = for_each(store->layers_fd, ".", sweep_layer, s, err)) < 0)
                return r;
        return for_each(store->meta_fd, ".", sweep_meta, s, err);
}

typedef int (*edit)(struct zl_image_store *store, struct zl_map *index, void *ctx,
                    struct zl_error *err);

/* Changes the index by `f` (1: changed, 0: not, negative: fault) and removes what is then unreachable. */
static int edit_and_collect(struct zl_image_store *store, edit f, void *ctx, uint64_t *ret_freed,
                            struct zl_error *err)
{
        struct sweep s = { .store = store, .trash = ZL_STORE_TMP_INIT };
        _cleanup_close_ int lock = -EBADF;
        _cleanup_map_ struct zl_map *index = NULL;
        int r = zl_store_tmp_new(store, &s.trash, err);

        if (r < 0)
                return r;
        lock = zl_store_lock(store, true, err);
        r = lock < 0 ? lock : zl_index_load(store, &index, err);
        if (r >= 0)
                r = f(store, index, ctx, err);
        if (r > 0)
                r = zl_index_save(store, index, err);
        if (r >= 0)
                r = collect(&s, index, err);
        lock = zl_close(lock);
        if (ret_freed)
                *ret_freed = s.freed + tree_size(s.trash.fd, ".", 0);
        zl_map_free(s.live);
        zl_store_tmp_done(&s.trash);
        return r < 0 ? r : 0;
}

/* ---- removing ---------------------------------------------------------------------------------------------------- */

struct removal {
        const char *name;
        bool force;
};

static size_t count_names(const struct zl_map *index, const char *digest)
{
        const char *name;
        size_t pos = 0, n = 0;
        void *value;

        while (zl_map_next(index, &pos, &name, &value))
                n += zl_streq(((struct zl_index_entry *)value)->digest, digest);
        return n;
}

static int edit_remove(struct zl_image_store *store, struct zl_map *index, void *ctx,
                       struct zl_error *err)
{
        const struct removal *q = ctx;
        _cleanup_free_ char *digest = NULL, *canonical = NULL, *holder = NULL;
        const char *name;
        size_t pos = 0;
        void *value;
        int r = zl_index_resolve(store, index, q->name, &digest, &canonical, err);

        if (r < 0)
                return r;
        if (!canonical || count_names(index, digest) == 1) {
                r = holder_of(store, digest, &holder, err);
                if (r < 0)
                        return r;
                if (holder && !q->force) {
                        r = zl_fail(err, ZL_E_BUSY, 0, "image %s is in use by %s", q->name, holder);
                        zl_error_hint(err, "remove that first, or use --force to remove only the "
                                           "name");
                        return r;
                }
        }
        if (canonical)
                return zl_map_remove(index, canonical);
        while (zl_map_next(index, &pos, &name, &value))
                if (zl_streq(((struct zl_index_entry *)value)->digest, digest))
                        zl_map_remove(index, name);
        return 1;
}

int zl_image_remove(struct zl_image_store *store, const char *name, bool force,
                    struct zl_error *err)
{
        struct removal q = { name, force };

        return edit_and_collect(store, edit_remove, &q, NULL, err);
}

static int edit_prune(struct zl_image_store *store, struct zl_map *index, void *ctx,
                      struct zl_error *err)
{
        const bool *all = ctx;
        const char *name;
        size_t pos = 0;
        void *value;

        while (*all && zl_map_next(index, &pos, &name, &value)) {
                _cleanup_free_ char *holder = NULL;
                int r = holder_of(store, ((struct zl_index_entry *)value)->digest, &holder, err);

                if (r < 0)
                        return r;
                if (!holder)
                        zl_map_remove(index, name);
        }
        return *all;
}

int zl_image_prune(struct zl_image_store *store, bool all, uint64_t *ret_freed,
                   struct zl_error *err)
{
        return edit_and_collect(store, edit_prune, &all, ret_freed, err);
}

int zl_image_tag(struct zl_image_store *store, const char *name, const char *new_name,
                 struct zl_error *err)
{
        _cleanup_map_ struct zl_map *index = NULL;
        _cleanup_free_ char *canonical = NULL, *digest = NULL;
        _cleanup_reference_ struct zl_reference ref = { 0 };
        _cleanup_close_ int lock = -EBADF;
        struct zl_index_entry *entry;
        int r = zl_reference_parse(new_name, &ref, NULL, err);

        if (r < 0)
                return r;
        if (ref.digest)
                return zl_fail(err, ZL_E_INVALID, 0, "%s: a new name cannot hold a digest",
                               new_name);
        canonical = zl_reference_text(&ref);
        entry = calloc(1, sizeof *entry);
        if (!canonical || !entry) {
                free(entry);
                return zl_fail_oom(err);
        }
        lock = zl_store_lock(store, true, err);
        r = lock < 0 ? lock : zl_index_load(store, &index, err);
        if (r >= 0)
                r = zl_index_resolve(store, index, name, &digest, NULL, err);
        if (r >= 0) {
                entry->digest = zl_take_ptr(digest);
                entry->source = strdup(entry->digest);
                entry->local = true;
                entry->updated = zl_now_realtime();
                r = entry->source && zl_map_put(index, canonical, entry) == 0 ? 0
                                                                              : zl_fail_oom(err);
        }
        if (r < 0) {
                zl_index_entry_free(entry);
                return r;
        }
        return zl_index_save(store, index, err);
}
