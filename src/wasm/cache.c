/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of compiled modules. An entry is machine code that will be run, so who may write it may do everything: the
 * directory is the owner's alone, and owner, mode and kind of each file are looked at before it is used. The digest in the
 * trailer is for the other fault, a disk or a copy that lost something.
 *
 * One lock for all who compile: a compilation uses all processors anyway, and twenty instances that start at once shall
 * wait for one compilation instead of doing twenty. Readers take no lock: entries appear and vanish whole.
 */
#include "wasm/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__x86_64__) && defined(__GLIBC__)
#include <sys/platform/x86.h>
#endif

#include "base/fd.h"
#include "base/hash.h"
#include "base/parse.h"
#include "base/path.h"

/* Counts in every key: change it whenever engine.c configures anything else. */
#define SETTINGS "1 epoch stack=1M component"
#define TRAILER_MAGIC "zlwasm1\n"
enum { TRAILER_SIZE = 8 + 64 };

/* ---- keys ---------------------------------------------------------------------------------------------- */

/* What the processor can do decides what is compiled for it. The C library has asked it already; asking again would be a
 * trap each in a virtual machine. */
static void hash_processor(struct zl_hash *hash)
{
        const unsigned long caps[] = { getauxval(AT_HWCAP), getauxval(AT_HWCAP2) };

#if defined(__x86_64__) && defined(__GLIBC__)
        for (unsigned leaf = 0; leaf <= CPUID_INDEX_19; leaf++) {
                const struct cpuid_feature *f = __x86_get_cpuid_feature_leaf(leaf);

                zl_hash_update(hash, f->active_array, sizeof(f->active_array));
        }
#endif
        zl_hash_update(hash, caps, sizeof(caps));
}

char *zl_wasm_cache_key(const char *digest, bool fuel, char key[ZL_WASM_KEY_SIZE])
{
        static const char constant[] = SETTINGS " wasmtime " ZL_WASMTIME_VERSION;
        struct zl_hash *hash = zl_hash_new(ZL_SHA256);
        char text[ZL_DIGEST_TEXT_MAX];

        if (!hash)
                return NULL;
        zl_hash_update(hash, constant, sizeof(constant));
        zl_hash_update(hash, fuel ? "fuel" : "none", 4);
        hash_processor(hash);
        zl_hash_update(hash, digest, strlen(digest));
        zl_hash_finish(hash, text);
        zl_hash_free(hash);
        memcpy(key, text + strlen("sha256:"), ZL_WASM_KEY_SIZE);
        return key;
}

/* ---- finding -------------------------------------------------------------------------------------------- */

static void make_trailer(const void *code, size_t len, char trailer[TRAILER_SIZE])
{
        char text[ZL_DIGEST_TEXT_MAX];

        memcpy(trailer, TRAILER_MAGIC, 8);
        if (zl_sha256_text(code, len, text))
                memcpy(trailer + 8, text + strlen("sha256:"), 64);
        else
                memset(trailer + 8, 0, 64);
}

static bool is_right(int fd)
{
        char trailer[TRAILER_SIZE];
        struct stat st;
        const char *map;
        bool right;

        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
            (st.st_mode & 0022) || st.st_size <= TRAILER_SIZE)
                return false;
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
                return false;
        make_trailer(map, (size_t)st.st_size - TRAILER_SIZE, trailer);
        right = memcmp(map + st.st_size - TRAILER_SIZE, trailer, TRAILER_SIZE) == 0;
        munmap((void *)(uintptr_t)map, (size_t)st.st_size);
        return right;
}

static char *entry_path(const char *cache, const char *key)
{
        char *path = NULL;

        return asprintf(&path, "%s/code/%s", cache, key) < 0 ? NULL : path;
}

int zl_wasm_cache_find(const char *cache, const char *key, char **ret_path, struct zl_error *err)
{
        _cleanup_free_ char *path = entry_path(cache, key);
        _cleanup_close_ int fd = path ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
                                      : -EBADF;

        if (!path)
                return zl_fail_oom(err);
        if (fd < 0 && errno == ENOENT)
                return 0;
        if (fd < 0 || !is_right(fd)) {
                if (zl_rm_rf_at(AT_FDCWD, path) < 0)
                        return zl_fail(err, ZL_E_CORRUPT, 0,
                                       "%s is no compiled module and cannot be removed", path);
                return 0;
        }
        futimens(fd, NULL); /* used now; on a read-only file system it cannot be noted */
        *ret_path = zl_take_ptr(path);
        return 1;
}

int zl_wasm_cache_max(uint64_t *ret, struct zl_error *err)
{
        const char *text = getenv("ZLAYER_WASM_CACHE_MAX");

        *ret = ZL_WASM_CACHE_MAX;
        return text && *text && zl_parse_size(text, ret) < 0
                       ? zl_fail(err, ZL_E_CONFIGURATION, 0, "ZLAYER_WASM_CACHE_MAX is no size: %s",
                                 text)
                       : 0;
}

/* ---- making --------------------------------------------------------------------------------------------- */

static int open_code(const char *cache, struct zl_error *err)
{
        _cleanup_close_ int dir = zl_open_dir_at(AT_FDCWD, cache, 0700, err);
        struct stat st;

        if (dir < 0)
                return dir;
        if (fstat(dir, &st) < 0)
                return zl_fail_errno(err, errno, "cannot look at %s", cache);
        if (st.st_uid != geteuid() || (st.st_mode & 0022)) {
                int r = zl_fail(err, ZL_E_CONFIGURATION, 0,
                                "others may write to the WebAssembly cache %s", cache);

                zl_error_hint(err, "it holds code that is run: chown and chmod 700 it");
                return r;
        }
        return zl_open_dir_at(dir, "code", 0700, err);
}

int zl_wasm_cache_lock(const char *cache, struct zl_error *err)
{
        _cleanup_close_ int code = open_code(cache, err), lock = -EBADF;
        int r;

        if (code < 0) {
                zl_error_prefix(err, "WebAssembly cache");
                return code;
        }
        lock = openat(code, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (lock < 0)
                return zl_fail_errno(err, errno, "cannot lock the WebAssembly cache %s", cache);
        r = zl_lock_fd(lock, true, true);
        return r < 0 ? zl_fail_errno(err, -r, "cannot lock the WebAssembly cache %s", cache)
                     : zl_take_fd(lock);
}

struct entry {
        char name[ZL_WASM_KEY_SIZE];
        uint64_t size;
        struct timespec used;
};

static int compare_use(const void *a, const void *b)
{
        const struct entry *x = a, *y = b;

        if (x->used.tv_sec != y->used.tv_sec)
                return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
        return (x->used.tv_nsec > y->used.tv_nsec) - (x->used.tv_nsec < y->used.tv_nsec);
}

/* The entries with their sizes; what else lies there is garbage and is removed. */
static int list_entries(int code, struct entry **ret, size_t *ret_n)
{
        int fd = openat(code, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *d;

        if (!dir) {
                zl_close(fd);
                return -errno;
        }
        while ((d = readdir(dir))) {
                struct entry *grown, e = { 0 };
                struct stat st;

                if (zl_streq(d->d_name, ".") || zl_streq(d->d_name, "..") ||
                    zl_streq(d->d_name, "lock"))
                        continue;
                if (strlen(d->d_name) != ZL_WASM_KEY_SIZE - 1 ||
                    fstatat(code, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                    !S_ISREG(st.st_mode)) {
                        zl_rm_rf_at(code, d->d_name);
                        continue;
                }
                grown = reallocarray(*ret, *ret_n + 1, sizeof(*grown));
                if (!grown)
                        break;
                *ret = grown;
                memcpy(e.name, d->d_name, sizeof(e.name));
                e.size = (uint64_t)st.st_size;
                e.used = st.st_mtim;
                grown[(*ret_n)++] = e;
        }
        closedir(dir);
        return 0;
}

/* The newest, which is the one just made, stays in any case. */
static void trim(int code, uint64_t max)
{
        _cleanup_free_ struct entry *entries = NULL;
        uint64_t sum = 0;
        size_t n = 0;

        if (list_entries(code, &entries, &n) < 0)
                return;
        for (size_t i = 0; i < n; i++)
                sum += entries[i].size;
        if (n > 0)
                qsort(entries, n, sizeof(*entries), compare_use);
        for (size_t i = 0; i + 1 < n && sum > max; i++)
                if (unlinkat(code, entries[i].name, 0) == 0)
                        sum -= entries[i].size;
}

int zl_wasm_cache_put(const char *cache, const char *key, const void *code, size_t len,
                      uint64_t max, struct zl_error *err)
{
        _cleanup_close_ int dir = open_code(cache, err);
        char *data;
        int r;

        if (dir < 0)
                return dir;
        data = malloc(len + TRAILER_SIZE);
        if (!data)
                return zl_fail_oom(err);
        memcpy(data, code, len);
        make_trailer(code, len, data + len);
        /* Others may read it: an instance may run as another user. The directory lets nobody in. */
        r = zl_write_file_at(dir, key, data, len + TRAILER_SIZE, 0644, ZL_WRITE_SYNC);
        free(data);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot write the compiled module to %s/code", cache);
        trim(dir, max);
        return 0;
}
