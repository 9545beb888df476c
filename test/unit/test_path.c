/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths inside a root. Every test of the resolver runs twice, with the kernel's openat2 and with our own walk
 * (ZL_FORBID=openat2): both must give the same answers, or the fallback would be a hole nobody looks into.
 */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/path.h"

/* The tree: root/{dir/file, dir/sub/deep, to_dir -> dir, abs -> /dir/file, up -> ../../secret, loop -> loop,
 * dangling -> nowhere}, and beside the root a file "secret". */
static int tree_setup(void **state)
{
        struct place *p;
        int fd;

        if (place_setup(state) < 0)
                return -1;
        p = *state;
        fd = p->fd;
        put_file(fd, "secret", "secret");
        assert_int_equal(zl_mkdir_p_at(fd, "root/dir/sub", 0755), 0);
        put_file(fd, "root/dir/file", "file");
        put_file(fd, "root/dir/sub/deep", "deep");
        assert_int_equal(symlinkat("dir", fd, "root/to_dir"), 0);
        assert_int_equal(symlinkat("/dir/file", fd, "root/abs"), 0);
        assert_int_equal(symlinkat("../../../../secret", fd, "root/up"), 0);
        assert_int_equal(symlinkat("loop", fd, "root/loop"), 0);
        assert_int_equal(symlinkat("dir/nowhere", fd, "root/dangling"), 0);
        p->fd = openat(fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        return p->fd < 0 ? -1 : 0;
}

static int with_kernel(void **state)
{
        unsetenv("ZL_FORBID");
        return tree_setup(state);
}

static int with_walk(void **state)
{
        setenv("ZL_FORBID", "clone3,openat2", 1);
        return tree_setup(state);
}

static int open_try(void **state, const char *path, int flags, enum zl_path_policy policy)
{
        int fd = zl_open_in(((struct place *)*state)->fd, path, flags, 0644, policy);

        if (fd >= 0)
                close(fd);
        return fd < 0 ? fd : 0;
}

static void check_opens(void **state, const char *path, const char *text)
{
        int fd = zl_open_in(((struct place *)*state)->fd, path, O_RDONLY, 0, ZL_PATH_IN_ROOT);
        char *got;

        if (fd < 0)
                fail_msg("%s: %s", path, strerror(-fd));
        assert_int_equal(zl_read_fd(fd, 100, &got, NULL), 0);
        assert_string_equal(got, text);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        free(got);
        close(fd);
}

static void links_stay_in_the_root(void **state)
{
        size_t fds = count_fds();

        check_opens(state, "dir/file", "file");
        check_opens(state, "/dir//./sub/../file", "file");
        check_opens(state, "to_dir/sub/deep", "deep");
        check_opens(state, "abs", "file");
        check_opens(state, "../../dir/file", "file");
        check_opens(state, "to_dir/../abs", "file");
        /* "up" is /secret of the root, which does not exist: the one outside must not be found. */
        assert_int_equal(open_try(state, "up", O_RDONLY, ZL_PATH_IN_ROOT), -ENOENT);
        assert_int_equal(open_try(state, "../secret", O_RDONLY, ZL_PATH_IN_ROOT), -ENOENT);
        assert_int_equal(open_try(state, "loop", O_RDONLY, ZL_PATH_IN_ROOT), -ELOOP);
        assert_int_equal(open_try(state, "dir/file/x", O_RDONLY, ZL_PATH_IN_ROOT), -ENOTDIR);
        assert_int_equal(open_try(state, "dir/file/", O_RDONLY, ZL_PATH_IN_ROOT), -ENOTDIR);
        assert_int_equal(open_try(state, "dir/file/.", O_RDONLY, ZL_PATH_IN_ROOT), -ENOTDIR);
        assert_int_equal(open_try(state, "to_dir/", O_RDONLY, ZL_PATH_IN_ROOT), 0);
        assert_int_equal(open_try(state, "", O_RDONLY | O_DIRECTORY, ZL_PATH_IN_ROOT), 0);
        assert_int_equal(open_try(state, "/..", O_PATH | O_DIRECTORY, ZL_PATH_IN_ROOT), 0);
        assert_int_equal(count_fds(), fds);
}

static void nofollow_keeps_the_last_link(void **state)
{
        assert_int_equal(open_try(state, "abs", O_RDONLY | O_NOFOLLOW, ZL_PATH_IN_ROOT), -ELOOP);
        assert_int_equal(open_try(state, "loop", O_PATH | O_NOFOLLOW, ZL_PATH_IN_ROOT), 0);
        assert_int_equal(open_try(state, "to_dir/file", O_RDONLY | O_NOFOLLOW, ZL_PATH_IN_ROOT), 0);
        assert_int_equal(open_try(state, "to_dir/", O_RDONLY | O_NOFOLLOW, ZL_PATH_IN_ROOT), 0);
}

static void stricter_policies_refuse_links_and_escapes(void **state)
{
        for (int policy = ZL_PATH_NO_SYMLINKS; policy <= ZL_PATH_NO_MOUNTS; policy++) {
                assert_int_equal(open_try(state, "dir/file", O_RDONLY, policy), 0);
                assert_int_equal(open_try(state, "dir/../dir/file", O_RDONLY, policy), 0);
                assert_int_equal(open_try(state, "to_dir/file", O_RDONLY, policy), -ELOOP);
                assert_int_equal(open_try(state, "abs", O_RDONLY, policy), -ELOOP);
                assert_int_equal(open_try(state, "../secret", O_RDONLY, policy), -EXDEV);
                assert_int_equal(open_try(state, "dir/../../secret", O_RDONLY, policy), -EXDEV);
        }
}

/* Links are followed as long as they lead to something inside by a way that stays inside. */
static void beneath_refuses_what_leads_out(void **state)
{
        assert_int_equal(open_try(state, "to_dir/file", O_RDONLY, ZL_PATH_BENEATH), 0);
        assert_int_equal(open_try(state, "to_dir/../to_dir/sub/deep", O_RDONLY, ZL_PATH_BENEATH),
                         0);
        assert_int_equal(open_try(state, "abs", O_RDONLY, ZL_PATH_BENEATH), -EXDEV);
        assert_int_equal(open_try(state, "up", O_RDONLY, ZL_PATH_BENEATH), -EXDEV);
        assert_int_equal(open_try(state, "../root/dir/file", O_RDONLY, ZL_PATH_BENEATH), -EXDEV);
        assert_int_equal(open_try(state, "to_dir/../../secret", O_RDONLY, ZL_PATH_BENEATH), -EXDEV);
        assert_int_equal(open_try(state, "loop", O_RDONLY, ZL_PATH_BENEATH), -ELOOP);
        assert_int_equal(open_try(state, "dangling", O_RDONLY, ZL_PATH_BENEATH), -ENOENT);
}

static void creates(void **state)
{
        struct place *p = *state;
        const int create = O_WRONLY | O_CREAT;

        assert_int_equal(open_try(state, "dir/new", create, ZL_PATH_IN_ROOT), 0);
        assert_int_equal(open_try(state, "dir/new", create, ZL_PATH_IN_ROOT), 0);
        assert_int_equal(open_try(state, "dir/new", create | O_EXCL, ZL_PATH_IN_ROOT), -EEXIST);
        assert_int_equal(open_try(state, "dangling", create | O_EXCL, ZL_PATH_IN_ROOT), -EEXIST);
        assert_int_equal(faccessat(p->fd, "dir/nowhere", F_OK, 0), -1);
        assert_int_equal(open_try(state, "dangling", create, ZL_PATH_IN_ROOT), 0);
        assert_int_equal(faccessat(p->fd, "dir/nowhere", F_OK, 0), 0);
        assert_int_equal(open_try(state, "dangling", create, ZL_PATH_NO_SYMLINKS), -ELOOP);
        assert_int_equal(open_try(state, "nodir/x", create, ZL_PATH_IN_ROOT), -ENOENT);
        assert_int_equal(open_try(state, "dir/other/", create, ZL_PATH_IN_ROOT), -EISDIR);
        /* A mode that is not needed is no fault. */
        assert_int_equal(open_try(state, "dir", O_RDONLY | O_DIRECTORY, ZL_PATH_IN_ROOT), 0);
}

static void makes_directories(void **state)
{
        struct place *p = *state;
        struct stat st;
        int fd;

        fd = zl_mkdir_p_in(p->fd, "to_dir/a/b//c/", 0755);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(fstatat(p->fd, "dir/a/b/c", &st, 0), 0);
        fd = zl_mkdir_p_in(p->fd, "/to_dir/a/b/c", 0755);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(zl_mkdir_p_in(p->fd, "dir/file/x", 0755), -ENOTDIR);
        /* A link to nothing: what it names is made; one that climbs out names something inside. */
        fd = zl_mkdir_p_in(p->fd, "dangling/x", 0755);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(fstatat(p->fd, "dir/nowhere/x", &st, 0), 0);
        fd = zl_mkdir_p_in(p->fd, "up/x", 0755);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(fstatat(p->fd, "secret/x", &st, 0), 0);
        assert_int_equal(fstatat(p->fd, "../secret", &st, 0), 0);
        assert_true(S_ISREG(st.st_mode));
        assert_int_equal(zl_mkdir_p_in(p->fd, "loop/x", 0755), -ELOOP);
}

static void opens_parents(void **state)
{
        struct place *p = *state;
        const char *base = NULL;
        int fd = zl_open_parent_in(p->fd, "to_dir/new", ZL_PATH_IN_ROOT, &base);

        assert_true(fd >= 0);
        assert_string_equal(base, "new");
        assert_int_equal(faccessat(fd, "file", F_OK, 0), 0);
        close(fd);
        assert_int_equal(zl_open_parent_in(p->fd, "dir/..", ZL_PATH_IN_ROOT, &base), -EINVAL);
        assert_int_equal(zl_open_parent_in(p->fd, "dir/", ZL_PATH_IN_ROOT, &base), -EINVAL);
        assert_int_equal(zl_open_parent_in(p->fd, "", ZL_PATH_IN_ROOT, &base), -EINVAL);
        assert_int_equal(zl_open_parent_in(p->fd, "to_dir/x", ZL_PATH_NO_SYMLINKS, &base), -ELOOP);
}

/* In a child, because the mounts must not be seen by anybody else. */
static void mounts_are_noticed(void **state)
{
        struct place *p = *state;
        int status;
        pid_t pid;

        if (geteuid() != 0)
                skip();
        pid = fork();
        if (pid == 0) {
                char root[128], dir[128], sub[128];
                int fd;

                snprintf(root, sizeof root, "%s/root", p->path);
                snprintf(dir, sizeof dir, "%s/dir", root);
                snprintf(sub, sizeof sub, "%s/sub", dir);
                if (unshare(CLONE_NEWNS) < 0 ||
                    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                    mount(dir, sub, NULL, MS_BIND, NULL) < 0)
                        _exit(99);
                fd = open(root, O_RDONLY | O_DIRECTORY); /* in this mount namespace */
                /* A bind mount of the very same file system: only the mount differs, not the device. */
                if (zl_open_in(fd, "dir/sub/file", O_RDONLY, 0, ZL_PATH_NO_MOUNTS) != -EXDEV)
                        _exit(1);
                if (zl_open_in(fd, "dir/sub/file", O_RDONLY, 0, ZL_PATH_NO_SYMLINKS) < 0)
                        _exit(2);
                if (zl_open_in(fd, "dir/sub", O_RDONLY, 0, ZL_PATH_NO_MOUNTS) != -EXDEV)
                        _exit(3);
                if (zl_open_in(fd, "dir/file", O_RDONLY, 0, ZL_PATH_NO_MOUNTS) < 0)
                        _exit(4);
                _exit(0);
        }
        assert_true(pid > 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

struct flipper {
        int fd;
        atomic_bool stop;
};

/* Makes "x" a directory and a link to the outside in turn, as fast as it can. */
static void *flip(void *data)
{
        struct flipper *f = data;

        while (!atomic_load(&f->stop))
                syscall(SYS_renameat2, f->fd, "x", f->fd, "y", 2 /* RENAME_EXCHANGE */);
        return NULL;
}

static void races_do_not_get_out(void **state)
{
        struct place *p = *state;
        struct flipper f = { .fd = p->fd };
        int64_t end = zl_now_monotonic() + 300 * ZL_NSEC_PER_MSEC;
        pthread_t thread;
        char *got;
        int inside = 0;

        assert_int_equal(mkdirat(p->fd, "x", 0755), 0);
        put_file(p->fd, "x/secret", "inside");
        assert_int_equal(symlinkat("..", p->fd, "y"), 0);
        assert_int_equal(pthread_create(&thread, NULL, flip, &f), 0);
        while (zl_now_monotonic() < end) {
                for (int policy = ZL_PATH_IN_ROOT; policy <= ZL_PATH_NO_SYMLINKS; policy++) {
                        int fd = zl_open_in(p->fd, "x/secret", O_RDONLY, 0, policy);

                        if (fd < 0)
                                continue;
                        assert_int_equal(zl_read_fd(fd, 100, &got, NULL), 0);
                        assert_string_equal(got, "inside");
                        inside++;
                        free(got);
                        close(fd);
                }
        }
        atomic_store(&f.stop, true);
        pthread_join(thread, NULL);
        assert_true(inside > 0);
}

static void joins(void **state)
{
        static const char *const cases[][3] = {
                { "a", "b", "a/b" }, { "a/", "/b", "a/b" }, { "/", "b", "/b" },
                { "/a", "", "/a/" }, { "", "b", "b" },      { "", "/b", "b" },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                char *s = zl_path_join(cases[i][0], cases[i][1]);

                assert_string_equal(s, cases[i][2]);
                free(s);
        }
}

static void finds_neighbours(void **state)
{
        static const char *const cases[][2] = { { "/usr/bin/a", "/usr/bin/b" },
                                                { "/a", "/b" },
                                                { "dir/a", "dir/b" },
                                                { "/dir/", "/dir/b" } };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                char *s = zl_path_beside(cases[i][0], "b");

                assert_string_equal(s, cases[i][1]);
                free(s);
        }
        assert_null(zl_path_beside("a", "b"));
        assert_null(zl_path_beside(NULL, "b"));
}

static void judges_names(void **state)
{
        char longest[257];

        memset(longest, 'x', sizeof longest);
        longest[256] = 0;
        assert_false(zl_path_is_name(longest));
        longest[255] = 0;
        assert_true(zl_path_is_name(longest));
        assert_true(zl_path_is_name("..."));
        assert_false(zl_path_is_name(""));
        assert_false(zl_path_is_name("."));
        assert_false(zl_path_is_name(".."));
        assert_false(zl_path_is_name("a/b"));
        assert_true(zl_path_is_clean_relative("a/b/.c"));
        assert_false(zl_path_is_clean_relative("a//b"));
        assert_false(zl_path_is_clean_relative("a/"));
        assert_false(zl_path_is_clean_relative("/a"));
        assert_false(zl_path_is_clean_relative("a/.."));
        assert_false(zl_path_is_clean_relative(""));
        assert_true(zl_path_is_clean_absolute("/"));
        assert_true(zl_path_is_clean_absolute("/a/b"));
        assert_false(zl_path_is_clean_absolute("//a"));
        assert_false(zl_path_is_clean_absolute("/a/../b"));
        assert_false(zl_path_is_clean_absolute("a"));
}

static void cleans(void **state)
{
        static const char *const cases[][2] = {
                { "", "/" },           { "/", "/" },           { "a", "/a" },
                { "//a//b/", "/a/b" }, { "/a/../../b", "/b" }, { "./a/./b/..", "/a" },
                { "/..", "/" },        { "/...", "/..." },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                char *s = zl_path_clean_absolute(cases[i][0]);

                assert_string_equal(s, cases[i][1]);
                free(s);
        }
}

#define BOTH(f)                                                                                    \
        { #f " with openat2", f, with_kernel, place_teardown, NULL },                              \
        {                                                                                          \
#f " with the walk", f, with_walk, place_teardown, NULL                            \
        }

int main(void)
{
        const struct CMUnitTest tests[] = {
                BOTH(links_stay_in_the_root),
                BOTH(nofollow_keeps_the_last_link),
                BOTH(stricter_policies_refuse_links_and_escapes),
                BOTH(beneath_refuses_what_leads_out),
                BOTH(creates),
                BOTH(makes_directories),
                BOTH(opens_parents),
                BOTH(mounts_are_noticed),
                BOTH(races_do_not_get_out),
                cmocka_unit_test(joins),
                cmocka_unit_test(finds_neighbours),
                cmocka_unit_test(judges_names),
                cmocka_unit_test(cleans),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
