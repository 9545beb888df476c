/* SPDX-License-Identifier: Apache-2.0 */
/* Files made complete before they are seen, trees removed without leaving them, reading with limits. */
#include "support.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

static size_t count_entries(int dirfd)
{
        DIR *d = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        size_t n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n - 2;
}

static void writes_whole_files(void **state)
{
        struct place *p = *state;
        struct stat st;
        mode_t mask = umask(077);

        assert_int_equal(zl_write_file_at(p->fd, "f", "one", 3, 0644, 0), 0);
        check_file(p->fd, "f", "one");
        assert_int_equal(fstatat(p->fd, "f", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0644); /* the umask does not decide */
        assert_int_equal(zl_write_file_at(p->fd, "f", "second", 6, 0600, ZL_WRITE_SYNC), 0);
        check_file(p->fd, "f", "second");
        assert_int_equal(zl_write_file_at(p->fd, "f", "x", 1, 0600, ZL_WRITE_EXCLUSIVE), -EEXIST);
        check_file(p->fd, "f", "second");
        assert_int_equal(
                zl_write_file_at(p->fd, "g", "x", 1, 0600, ZL_WRITE_EXCLUSIVE | ZL_WRITE_SYNC), 0);
        assert_int_equal(zl_write_file_at(p->fd, "no/f", "x", 1, 0600, 0), -ENOENT);
        assert_int_equal(mkdirat(p->fd, "d", 0755), 0);
        assert_int_equal(zl_write_file_at(p->fd, "d", "x", 1, 0600, 0), -EISDIR);
        assert_int_equal(zl_write_file_at(p->fd, "d/f", "x", 1, 0600, ZL_WRITE_SYNC), 0);
        umask(mask);
        assert_int_equal(count_entries(p->fd), 3); /* f, g, d: no temporary file is left */
}

static void leaves_nothing_when_the_disk_is_full(void **state)
{
        struct place *p = *state;
        struct rlimit old, limit;
        char data[4096] = { 0 };

        /* A size limit is the disk-full that needs no disk; SIGXFSZ would kill us otherwise. */
        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
        limit = old;
        limit.rlim_cur = 1000;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(zl_write_file_at(p->fd, "big", data, sizeof data, 0644, 0), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(count_entries(p->fd), 0);
}

static void reads_with_a_limit(void **state)
{
        struct place *p = *state;
        char *text = NULL;
        size_t len = 0;
        int pipe_fds[2];

        put_file(p->fd, "f", "12345");
        assert_int_equal(zl_read_file_at(p->fd, "f", 5, &text, &len), 0);
        assert_int_equal(len, 5);
        assert_string_equal(text, "12345");
        free(text);
        text = NULL;
        assert_int_equal(zl_read_file_at(p->fd, "f", 4, &text, &len), -EFBIG);
        assert_null(text);
        put_file(p->fd, "empty", "");
        assert_int_equal(zl_read_file_at(p->fd, "empty", 0, &text, &len), 0);
        assert_string_equal(text, "");
        free(text);
        assert_int_equal(zl_read_file_at(p->fd, "missing", 5, &text, NULL), -ENOENT);
        assert_int_equal(zl_read_file_at(AT_FDCWD, "/proc/self/status", SIZE_MAX, &text, &len), 0);
        assert_true(len > 100); /* a file that says it has size 0 */
        free(text);
        assert_int_equal(pipe(pipe_fds), 0);
        assert_int_equal(zl_write_full(pipe_fds[1], "abc", 3), 0);
        close(pipe_fds[1]);
        assert_int_equal(zl_read_fd(pipe_fds[0], 10, &text, NULL), 0);
        assert_string_equal(text, "abc");
        free(text);
        close(pipe_fds[0]);
}

static void waits_for_room_in_a_full_pipe(void **state)
{
        enum { N = 1 << 20 };
        char *out = malloc(N), *in = malloc(N);
        int fds[2], status;
        pid_t pid;

        for (int i = 0; i < N; i++)
                out[i] = (char)(i * 7);
        assert_int_equal(pipe(fds), 0);
        assert_int_equal(zl_fd_set_nonblock(fds[1], true), 0);
        pid = fork();
        if (pid == 0) {
                close(fds[0]);
                _exit(zl_write_full(fds[1], out, N) == 0 ? 0 : 1);
        }
        close(fds[1]);
        assert_int_equal(zl_read_full(fds[0], in, N), N);
        assert_memory_equal(in, out, N);
        assert_int_equal(zl_read_full(fds[0], in, 1), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        close(fds[0]);
        free(in);
        free(out);
}

static void makes_directories(void **state)
{
        struct place *p = *state;

        assert_int_equal(zl_mkdir_p_at(p->fd, "a/b/c", 0755), 0);
        assert_int_equal(zl_mkdir_p_at(p->fd, "a//b/c/", 0755), 0);
        assert_int_equal(faccessat(p->fd, "a/b/c", F_OK, 0), 0);
        put_file(p->fd, "a/file", "");
        assert_int_equal(zl_mkdir_p_at(p->fd, "a/file", 0755), -ENOTDIR);
        assert_int_equal(zl_mkdir_p_at(p->fd, "a/file/x", 0755), -ENOTDIR);
        assert_int_equal(symlinkat("b", p->fd, "a/link"), 0);
        assert_int_equal(zl_mkdir_p_at(p->fd, "a/link", 0755), 0);
}

static void removes_trees_but_not_what_links_lead_to(void **state)
{
        struct place *p = *state;

        assert_int_equal(zl_mkdir_p_at(p->fd, "keep/sub", 0755), 0);
        put_file(p->fd, "keep/sub/file", "kept");
        assert_int_equal(zl_mkdir_p_at(p->fd, "tree/a/b", 0755), 0);
        put_file(p->fd, "tree/a/file", "x");
        assert_int_equal(symlinkat("../keep", p->fd, "tree/link"), 0);
        assert_int_equal(symlinkat("/", p->fd, "tree/a/root"), 0);
        assert_int_equal(fchmodat(p->fd, "tree/a", 0, 0), 0);
        assert_int_equal(zl_rm_rf_at(p->fd, "tree"), 0);
        check_file(p->fd, "keep/sub/file", "kept");
        assert_int_equal(symlinkat("keep", p->fd, "link"), 0);
        assert_int_equal(zl_rm_rf_at(p->fd, "link"), 0);
        check_file(p->fd, "keep/sub/file", "kept");
        assert_int_equal(zl_rm_rf_at(p->fd, "keep/sub/file"), 0);
        assert_int_equal(zl_rm_rf_at(p->fd, "missing"), 0);
        assert_int_equal(zl_rm_rf_at(p->fd, "missing/too"), 0);
        assert_int_equal(zl_rm_rf_at(p->fd, "keep/.."), -EINVAL);
        assert_int_equal(zl_rm_rf_at(p->fd, "."), -EINVAL);
        assert_int_equal(zl_rm_rf_at(p->fd, ""), -EINVAL);
        assert_int_equal(zl_rm_rf_at(p->fd, "keep"), 0);
        assert_int_equal(count_entries(p->fd), 0);
}

static void removes_wide_and_deep_trees(void **state)
{
        enum { DEPTH = 3000, WIDTH = 3000 };
        struct place *p = *state;
        int fd;
        char name[16];

        assert_int_equal(mkdirat(p->fd, "deep", 0755), 0);
        fd = openat(p->fd, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (int i = 0; i < DEPTH; i++) {
                int next;

                if (i % 100 == 0)
                        put_file(fd, "file", "x");
                assert_int_equal(mkdirat(fd, "d", 0755), 0);
                next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                close(fd);
                fd = next;
        }
        close(fd);
        assert_int_equal(mkdirat(p->fd, "deep/wide", 0755), 0);
        fd = openat(p->fd, "deep/wide", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (int i = 0; i < WIDTH; i++) {
                snprintf(name, sizeof name, "%d", i);
                put_file(fd, name, "");
        }
        close(fd);
        assert_int_equal(zl_rm_rf_at(p->fd, "deep"), 0);
        assert_int_equal(count_entries(p->fd), 0);
}

/* 1: a mount inside was removed through; 2: the tree with a mount on its top was. */
static int rm_with_mounts(const struct place *p)
{
        char host[128], inside[128], top[128];

        snprintf(host, sizeof host, "%s/host", p->path);
        snprintf(inside, sizeof inside, "%s/tree/inside", p->path);
        snprintf(top, sizeof top, "%s/tree", p->path);
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount(host, inside, NULL, MS_BIND, NULL) < 0)
                return 99;
        if (zl_rm_rf_at(AT_FDCWD, top) != -EBUSY || faccessat(p->fd, "host/precious", F_OK, 0) < 0)
                return 1;
        if (umount(inside) < 0 || mount(host, top, NULL, MS_BIND, NULL) < 0)
                return 99;
        if (zl_rm_rf_at(AT_FDCWD, top) != -EBUSY || faccessat(p->fd, "host/precious", F_OK, 0) < 0)
                return 2;
        return umount(top) < 0 || zl_rm_rf_at(AT_FDCWD, top) != 0 ? 3 : 0;
}

/* A volume that is still bound into a container's root must survive the removal of the container. Both are on
 * one file system, so only the mount tells them apart. */
static void does_not_remove_through_mounts(void **state)
{
        struct place *p = *state;

        if (geteuid() != 0)
                skip();
        for (int walk = 0; walk < 2; walk++) {
                int status;
                pid_t pid;

                assert_int_equal(zl_mkdir_p_at(p->fd, "tree/inside", 0755), 0);
                assert_int_equal(zl_mkdir_p_at(p->fd, "host", 0755), 0);
                put_file(p->fd, "host/precious", "x");
                pid = fork();
                if (pid == 0) {
                        if (walk)
                                setenv("ZL_FORBID", "openat2", 1);
                        _exit(rm_with_mounts(p));
                }
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_int_equal(status, 0);
        }
}

static void keeps_descriptors_in_order(void **state)
{
        int fd = open("/dev/null", O_RDONLY), moved;

        errno = ERANGE;
        moved = zl_take_fd(fd);
        assert_int_equal(fd, -EBADF);
        assert_true(moved >= 0);
        assert_int_equal(zl_close(moved), -EBADF);
        assert_int_equal(zl_close(-1), -EBADF);
        assert_int_equal(errno, ERANGE);
        assert_int_equal(fcntl(moved, F_GETFD), -1);
}

static void locks(void **state)
{
        struct place *p = *state;
        int a, b;

        put_file(p->fd, "lock", "");
        a = openat(p->fd, "lock", O_RDONLY | O_CLOEXEC);
        b = openat(p->fd, "lock", O_RDONLY | O_CLOEXEC);
        assert_int_equal(zl_lock_fd(a, true, false), 0);
        assert_int_equal(zl_lock_fd(b, true, false), -EWOULDBLOCK);
        assert_int_equal(zl_lock_fd(b, false, false), -EWOULDBLOCK);
        assert_int_equal(zl_lock_fd(a, false, false), 0);
        assert_int_equal(zl_lock_fd(b, false, false), 0);
        close(a);
        close(b);
}

static void opens_directories_with_errors_that_name_them(void **state)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct place *p = *state;
        int fd;

        assert_int_equal(zl_open_dir_at(p->fd, "missing", 0, &err), -ENOENT);
        assert_int_equal(err.code, ZL_E_NOT_FOUND);
        assert_non_null(strstr(err.message, "missing"));
        fd = zl_open_dir_at(p->fd, "made/below", 0700, &err);
        assert_true(fd >= 0);
        close(fd);
        put_file(p->fd, "file", "");
        assert_int_equal(zl_open_dir_at(p->fd, "file", 0700, &err), -ENOTDIR);
}

#define IN_PLACE(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

static void a_staged_file_appears_when_it_is_published(void **state)
{
        struct place *p = *state;
        int fd = zl_file_stage_at(p->fd, "staged", "text", 4, 0640);
        _cleanup_free_ char *text = NULL;
        struct stat st;

        if (fd == -EOPNOTSUPP)
                skip();
        assert_true(fd >= 0);
        assert_int_equal(faccessat(p->fd, "staged", F_OK, 0), -1);
        assert_int_equal(zl_file_publish_at(fd, p->fd, "staged"), 0);
        assert_int_equal(zl_read_file_at(p->fd, "staged", 100, &text, NULL), 0);
        assert_string_equal(text, "text");
        assert_int_equal(fstatat(p->fd, "staged", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
        assert_int_equal(zl_file_publish_at(fd, p->fd, "staged"), -EEXIST);
        close(fd);
        assert_int_equal(zl_file_stage_at(p->fd, "no/f", "x", 1, 0600), -ENOENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                IN_PLACE(writes_whole_files),
                IN_PLACE(a_staged_file_appears_when_it_is_published),
                IN_PLACE(leaves_nothing_when_the_disk_is_full),
                IN_PLACE(reads_with_a_limit),
                IN_PLACE(waits_for_room_in_a_full_pipe),
                IN_PLACE(makes_directories),
                IN_PLACE(removes_trees_but_not_what_links_lead_to),
                IN_PLACE(removes_wide_and_deep_trees),
                IN_PLACE(does_not_remove_through_mounts),
                IN_PLACE(keeps_descriptors_in_order),
                IN_PLACE(locks),
                IN_PLACE(opens_directories_with_errors_that_name_them),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
