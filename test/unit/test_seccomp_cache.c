/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled filters on disk: the right one for each set of capabilities, also from memory, also when the files are gone or damaged. */
#include <dirent.h>

#include "base/path.h"
#include "linux/seccomp.h"
#include "runtimes/seccomp_cache.h"
#include "support.h"

static char *few[] = { (char *)"CAP_CHOWN", NULL };
static char *many[] = { (char *)"CAP_CHOWN", (char *)"CAP_SYS_ADMIN", NULL };

static struct zl_seccomp_facts facts_with(char *const *capabilities)
{
        return (struct zl_seccomp_facts){ .capabilities = capabilities,
                                          .arch = "x86_64",
                                          .kernel_major = 6 };
}

static void take(int fd, struct zl_seccomp_program *ret)
{
        assert_true(fd >= 0);
        assert_int_equal(zl_seccomp_program_read_fd(fd, ret, NULL), 0);
        close(fd);
}

static void assert_same(const struct zl_seccomp_program *a, const struct zl_seccomp_program *b)
{
        assert_int_equal(a->n, b->n);
        assert_memory_equal(a->insns, b->insns, a->n * sizeof *a->insns);
}

/* What the compiler makes of the built-in profile, and what the cache gives. */
static void check_builtin(struct zl_seccomp_cache *cache, char *const *capabilities)
{
        const struct zl_seccomp_facts facts = facts_with(capabilities);
        struct zl_seccomp_program wanted = { 0 }, got = { 0 };
        struct zl_oci_seccomp *profile = NULL;

        assert_int_equal(zl_seccomp_default(&facts, &profile), 0);
        assert_int_equal(zl_seccomp_compile(profile, &wanted, NULL), 0);
        take(zl_seccomp_cache_open_builtin(cache, &facts, NULL), &got);
        assert_same(&wanted, &got);
        zl_seccomp_program_done(&got);
        take(zl_seccomp_cache_open(cache, profile, NULL), &got);
        assert_same(&wanted, &got);
        zl_seccomp_program_done(&got);
        zl_seccomp_program_done(&wanted);
        zl_seccomp_profile_free(profile);
}

static struct zl_seccomp_cache *make_cache(const struct place *p, char **ret_dir)
{
        *ret_dir = zl_path_join(p->path, "filters");
        assert_non_null(*ret_dir);
        return zl_seccomp_cache_new(*ret_dir);
}

static void test_builtin(void **state)
{
        char *dir;
        struct zl_seccomp_cache *cache = make_cache(*state, &dir);

        assert_non_null(cache);
        for (int i = 0; i < 3; i++) {
                check_builtin(cache, few);
                check_builtin(cache, many);
        }
        /* Somebody has emptied the directory, which is remembered. */
        assert_int_equal(zl_rm_rf_at(AT_FDCWD, dir), 0);
        check_builtin(cache, many);
        check_builtin(cache, few);
        zl_seccomp_cache_free(cache);
        free(dir);
}

/* More sets than are remembered. */
static void test_many_sets(void **state)
{
        static const char names[] = "CHOWN\0KILL\0SETGID\0SETUID\0MKNOD\0BPF\0SYSLOG\0SYS_TIME\0"
                                    "SYS_BOOT\0SYS_NICE\0";
        char *dir;
        struct zl_seccomp_cache *cache = make_cache(*state, &dir);

        for (int twice = 0; twice < 2; twice++)
                for (const char *name = names; *name; name += strlen(name) + 1) {
                        char text[32];
                        char *set[] = { text, NULL };

                        snprintf(text, sizeof text, "CAP_%s", name);
                        check_builtin(cache, set);
                }
        zl_seccomp_cache_free(cache);
        free(dir);
}

static void test_damaged(void **state)
{
        char *dir;
        struct zl_seccomp_cache *cache = make_cache(*state, &dir);
        const struct dirent *entry;
        size_t damaged = 0;
        DIR *d;

        check_builtin(cache, few);
        d = opendir(dir);
        assert_non_null(d);
        while ((entry = readdir(d)))
                if (entry->d_name[0] != '.') {
                        put_file(dirfd(d), entry->d_name, "not a filter");
                        damaged++;
                }
        closedir(d);
        assert_true(damaged > 0);
        check_builtin(cache, few);
        zl_seccomp_cache_free(cache);
        free(dir);
}

/* One more name on the same file system; a copy on another, and of a file that has no name any more. */
static void test_keep(void **state)
{
        const struct place *p = *state;
        const struct zl_seccomp_facts facts = facts_with(few);
        char elsewhere[] = "/dev/shm/zl-unit-XXXXXX", *dir;
        struct zl_seccomp_cache *cache = make_cache(p, &dir);
        struct zl_seccomp_program wanted = { 0 }, got = { 0 };
        int fd = zl_seccomp_cache_open_builtin(cache, &facts, NULL), other;
        struct stat one, two;

        assert_true(fd >= 0);
        assert_non_null(mkdtemp(elsewhere));
        other = open(elsewhere, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(zl_seccomp_program_read_fd(fd, &wanted, NULL), 0);
        assert_int_equal(zl_seccomp_cache_keep(fd, p->fd, "kept"), 0);
        assert_int_equal(zl_seccomp_cache_keep(fd, p->fd, "kept"), -EEXIST);
        assert_int_equal(fstat(fd, &one), 0);
        assert_int_equal(fstatat(p->fd, "kept", &two, 0), 0);
        assert_int_equal(one.st_ino, two.st_ino);
        assert_int_equal(zl_seccomp_cache_keep(fd, other, "elsewhere"), 0);
        assert_int_equal(zl_rm_rf_at(AT_FDCWD, dir), 0);
        assert_int_equal(unlinkat(p->fd, "kept", 0), 0);
        assert_int_equal(zl_seccomp_cache_keep(fd, other, "nameless"), 0);
        take(openat(other, "elsewhere", O_RDONLY | O_CLOEXEC), &got);
        assert_same(&wanted, &got);
        zl_seccomp_program_done(&got);
        take(openat(other, "nameless", O_RDONLY | O_CLOEXEC), &got);
        assert_same(&wanted, &got);
        zl_seccomp_program_done(&got);
        zl_seccomp_program_done(&wanted);
        close(fd);
        close(other);
        assert_int_equal(zl_rm_rf_at(AT_FDCWD, elsewhere), 0);
        zl_seccomp_cache_free(cache);
        free(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_builtin),
                cmocka_unit_test(test_many_sets),
                cmocka_unit_test(test_damaged),
                cmocka_unit_test(test_keep),
        };

        return cmocka_run_group_tests(tests, place_setup, place_teardown);
}
