/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name of an entry is the digest of everything that goes into the compiled filter: all of the profile, the version of
 * the compiler and of this program. An entry is written under a temporary name and renamed, so a reader sees all or
 * nothing; the header of the format tells a damaged one, which is then made anew.
 */
#include "runtimes/seccomp_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/path.h"
#include "base/random.h"
#include "base/strv.h"
#include "linux/seccomp.h"

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
        if (zl_seccomp_program_read_fd(fd, &program, NULL) < 0 || lseek(fd, 0, SEEK_SET) != 0) {
                zl_seccomp_program_done(&program);
                return -EBADMSG;
        }
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

int zl_seccomp_cache_open(const char *cache_dir, const struct zl_oci_seccomp *profile,
                          struct zl_error *err)
{
        struct zl_seccomp_program program = { 0 };
        char digest[ZL_DIGEST_TEXT_MAX];
        _cleanup_free_ char *path = NULL;
        int fd, r;

        if (make_key(profile, digest) < 0 || !(path = zl_path_join(cache_dir, digest + 7)))
                return zl_fail_oom(err);
        fd = open_entry(path);
        if (fd >= 0)
                return fd;
        r = zl_seccomp_compile(profile, &program, err);
        if (r < 0)
                return r;
        r = zl_mkdir_p_at(AT_FDCWD, cache_dir, 0700);
        if (r == 0)
                r = write_entry(&program, path);
        zl_seccomp_program_done(&program);
        if (r == 0)
                fd = open_entry(path);
        if (r < 0 || fd < 0)
                return zl_fail_errno(err, r < 0 ? -r : -fd, "cannot keep a seccomp filter in %s",
                                     cache_dir);
        return fd;
}
