/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name of an entry is the digest of everything that goes into the compiled filter: all of the profile, the version of
 * the compiler and of this program. An entry is written under a temporary name and renamed, so a reader sees all or
 * nothing; the header of the format tells a damaged one, which is then made anew.
 */
#include "runtimes/seccomp_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/path.h"
#include "base/random.h"
#include "base/strv.h"
#include "linux/mounts.h"
#include "linux/seccomp.h"

/* So many sets of capabilities are remembered. */
#define KNOWN_MAX 8

struct zl_seccomp_cache {
        char *dir;
        pthread_mutex_t lock; /* guards what follows */
        struct {
                char **capabilities;
                char digest[ZL_DIGEST_TEXT_MAX]; /* of the profile */
        } known[KNOWN_MAX];
        size_t n_known;
};

/* ---- entries ------------------------------------------------------------------------------------- */

static void hash_string(struct zl_hash *h, const char *s)
{
        zl_hash_update(h, s ? s : "\1", s ? strlen(s) + 1 : 2);
}

static void hash_strings(struct zl_hash *h, char *const *strv)
{
        ZL_STRV_FOREACH(s, strv)
                hash_string(h, *s);
        hash_string(h, NULL);
}

static void hash_number(struct zl_hash *h, uint64_t n)
{
        zl_hash_update(h, &n, sizeof(n));
}

static int make_key(const struct zl_oci_seccomp *p, char text[ZL_DIGEST_TEXT_MAX])
{
        struct zl_hash *h = zl_hash_new(ZL_SHA256);

        if (!h)
                return -ENOMEM;
        hash_string(h, ZL_VERSION " " ZL_LIBSECCOMP_VERSION);
        hash_string(h, p->default_action);
        hash_number(h, p->has_default_errno_ret ? p->default_errno_ret : UINT64_MAX);
        hash_strings(h, p->architectures);
        hash_strings(h, p->flags);
        for (size_t i = 0; i < p->n_syscalls; i++) {
                const struct zl_oci_seccomp_rule *rule = &p->syscalls[i];

                hash_strings(h, rule->names);
                hash_string(h, rule->action);
                hash_number(h, rule->has_errno_ret ? rule->errno_ret : UINT64_MAX);
                for (size_t k = 0; k < rule->n_args; k++) {
                        hash_number(h, rule->args[k].index);
                        hash_number(h, rule->args[k].value);
                        hash_number(h, rule->args[k].value_two);
                        hash_string(h, rule->args[k].op);
                }
                hash_string(h, NULL);
        }
        zl_hash_finish(h, text);
        zl_hash_free(h);
        return 0;
}

static int open_entry(const char *path)
{
        struct zl_seccomp_program program = { 0 };
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0)
                return -errno;
        if (zl_seccomp_program_read_fd(fd, &program, NULL) < 0)
                return -EBADMSG;
        zl_seccomp_program_done(&program);
        return zl_take_fd(fd);
}

static int write_entry(const struct zl_seccomp_program *program, const char *path)
{
        _cleanup_free_ char *temp = NULL;
        _cleanup_close_ int fd = -EBADF;
        char hex[17];
        int r;

        zl_random_hex(hex, 16);
        if (asprintf(&temp, "%s.%s", path, hex) < 0) {
                temp = NULL;
                return -ENOMEM;
        }
        fd = open(temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        r = zl_seccomp_program_write_fd(program, fd);
        if (r == 0 && rename(temp, path) < 0)
                r = -errno;
        if (r < 0)
                unlink(temp);
        return r;
}

/* ---- the cache ----------------------------------------------------------------------------------- */

struct zl_seccomp_cache *zl_seccomp_cache_new(const char *dir)
{
        struct zl_seccomp_cache *cache = calloc(1, sizeof(*cache));

        if (!cache)
                return NULL;
        cache->dir = strdup(dir);
        if (!cache->dir) {
                free(cache);
                return NULL;
        }
        pthread_mutex_init(&cache->lock, NULL);
        return cache;
}

void zl_seccomp_cache_free(struct zl_seccomp_cache *cache)
{
        if (!cache)
                return;
        for (size_t i = 0; i < cache->n_known; i++)
                zl_strv_free(cache->known[i].capabilities);
        pthread_mutex_destroy(&cache->lock);
        free(cache->dir);
        free(cache);
}

static int open_or_compile(struct zl_seccomp_cache *cache, const struct zl_oci_seccomp *profile,
                           const char *digest, struct zl_error *err)
{
        struct zl_seccomp_program program = { 0 };
        _cleanup_free_ char *path = zl_path_join(cache->dir, digest + 7);
        int fd, r;

        if (!path)
                return zl_fail_oom(err);
        fd = open_entry(path);
        if (fd >= 0)
                return fd;
        r = zl_seccomp_compile(profile, &program, err);
        if (r < 0)
                return r;
        r = zl_mkdir_p_at(AT_FDCWD, cache->dir, 0700);
        if (r == 0)
                r = write_entry(&program, path);
        zl_seccomp_program_done(&program);
        if (r == 0)
                fd = open_entry(path);
        if (r < 0 || fd < 0)
                return zl_fail_errno(err, r < 0 ? -r : -fd, "cannot keep a seccomp filter in %s",
                                     cache->dir);
        return fd;
}

int zl_seccomp_cache_open(struct zl_seccomp_cache *cache, const struct zl_oci_seccomp *profile,
                          struct zl_error *err)
{
        char digest[ZL_DIGEST_TEXT_MAX];

        return make_key(profile, digest) < 0 ? zl_fail_oom(err)
                                             : open_or_compile(cache, profile, digest, err);
}

/* ---- the built-in profile ------------------------------------------------------------------------ */

static bool strings_equal(char *const *a, char *const *b)
{
        size_t n = zl_strv_len(a);

        if (n != zl_strv_len(b))
                return false;
        for (size_t i = 0; i < n; i++)
                if (strcmp(a[i], b[i]) != 0)
                        return false;
        return true;
}

/* The machine and its kernel stay as they are: the capabilities are all that differs. */
static bool recall(struct zl_seccomp_cache *cache, char *const *capabilities, char *digest)
{
        bool found = false;

        pthread_mutex_lock(&cache->lock);
        for (size_t i = 0; i < cache->n_known && !found; i++)
                if (strings_equal(cache->known[i].capabilities, capabilities)) {
                        strcpy(digest, cache->known[i].digest);
                        found = true;
                }
        pthread_mutex_unlock(&cache->lock);
        return found;
}

/* What does not fit, or finds no memory, is made anew each time. */
static void remember(struct zl_seccomp_cache *cache, char *const *capabilities, const char *digest)
{
        pthread_mutex_lock(&cache->lock);
        if (cache->n_known < ZL_ARRAY_SIZE(cache->known) &&
            zl_strv_dup(capabilities, &cache->known[cache->n_known].capabilities) == 0)
                strcpy(cache->known[cache->n_known++].digest, digest);
        pthread_mutex_unlock(&cache->lock);
}

int zl_seccomp_cache_open_builtin(struct zl_seccomp_cache *cache,
                                  const struct zl_seccomp_facts *facts, struct zl_error *err)
{
        _cleanup_(zl_seccomp_profile_freep) struct zl_oci_seccomp *profile = NULL;
        char digest[ZL_DIGEST_TEXT_MAX];
        int fd;

        if (recall(cache, facts->capabilities, digest)) {
                _cleanup_free_ char *path = zl_path_join(cache->dir, digest + 7);

                fd = path ? open_entry(path) : -ENOMEM;
                if (fd >= 0)
                        return fd;
        }
        if (zl_seccomp_default(facts, &profile) < 0 || make_key(profile, digest) < 0)
                return zl_fail_oom(err);
        fd = open_or_compile(cache, profile, digest, err);
        if (fd >= 0)
                remember(cache, facts->capabilities, digest);
        return fd;
}

int zl_seccomp_cache_keep(int fd, int dir_fd, const char *name)
{
        struct zl_seccomp_program program = { 0 };
        _cleanup_close_ int copy = -EBADF;
        char path[ZL_FD_PATH_MAX];
        int r;

        if (linkat(AT_FDCWD, zl_fd_path(fd, path), dir_fd, name, AT_SYMLINK_FOLLOW) == 0)
                return 0;
        /* Another file system, one whose files cannot have that many names, or a file that has lost its own: another process has
         * made the same filter at the same time. */
        if (errno != EXDEV && errno != EMLINK && errno != EPERM && errno != ENOENT)
                return -errno;
        copy = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (copy < 0)
                return -errno;
        r = zl_seccomp_program_read_fd(fd, &program, NULL);
        if (r == 0)
                r = zl_seccomp_program_write_fd(&program, copy);
        zl_seccomp_program_done(&program);
        return r;
}
