/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets: long paths, modes, descriptors in messages and what happens when they do not fit. */
#include "support.h"

#include <sys/socket.h>

#include "base/socket.h"

static void listens_and_connects(void **state)
{
        struct place *p = *state;
        struct stat st;
        pid_t pid;
        uid_t uid;
        gid_t gid;
        int l, c, a;

        l = zl_unix_listen_at(p->fd, "sock", SOCK_SEQPACKET, 0600);
        assert_true(l >= 0);
        assert_int_equal(fstatat(p->fd, "sock", &st, 0), 0);
        assert_true(S_ISSOCK(st.st_mode));
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(zl_unix_listen_at(p->fd, "sock", SOCK_SEQPACKET, 0600), -EADDRINUSE);
        c = zl_unix_connect_at(p->fd, "sock", SOCK_SEQPACKET);
        assert_true(c >= 0);
        a = accept(l, NULL, NULL);
        assert_int_equal(zl_unix_peer(a, &pid, &uid, &gid), 0);
        assert_int_equal(pid, getpid());
        assert_int_equal(uid, geteuid());
        assert_int_equal(zl_unix_connect_at(p->fd, "missing", SOCK_STREAM), -ENOENT);
        assert_int_equal(zl_unix_connect_at(p->fd, "", SOCK_STREAM), -EINVAL);
        assert_int_equal(zl_unix_listen_at(AT_FDCWD, "", SOCK_STREAM, 0600), -EINVAL);
        close(a);
        close(c);
        close(l);
        assert_int_equal(zl_unix_connect_at(p->fd, "sock", SOCK_SEQPACKET), -ECONNREFUSED);
}

static void reaches_long_paths(void **state)
{
        struct place *p = *state;
        char path[400];
        int l, c;

        snprintf(path, sizeof path, "%s/%0100d/%0100d", p->path, 1, 2);
        assert_int_equal(zl_mkdir_p_at(AT_FDCWD, path, 0755), 0);
        strcat(path, "/sock");
        l = zl_unix_listen_at(AT_FDCWD, path, SOCK_STREAM, 0600);
        assert_true(l >= 0);
        c = zl_unix_connect_at(AT_FDCWD, path, SOCK_STREAM);
        assert_true(c >= 0);
        close(c);
        c = zl_unix_connect_at(p->fd, path + strlen(p->path) + 1, SOCK_STREAM);
        assert_true(c >= 0);
        close(c);
        close(l);
}

static void hands_over_descriptors(void **state)
{
        struct place *p = *state;
        size_t before = count_fds(), n = 4;
        int pair[2], fds[4], file;
        char buf[16] = "";

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        put_file(p->fd, "f", "content");
        file = openat(p->fd, "f", O_RDONLY | O_CLOEXEC);
        assert_int_equal(zl_send_fds(pair[0], "hello", 5, (int[]){ file, p->fd }, 2, 0), 5);
        assert_int_equal(zl_recv_fds(pair[1], buf, sizeof buf, fds, &n, 0), 5);
        assert_int_equal(n, 2);
        assert_memory_equal(buf, "hello", 5);
        assert_int_equal(read(fds[0], buf, sizeof buf), 7);
        assert_int_equal(fcntl(fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        close(fds[0]);
        close(fds[1]);
        close(file);
        close(pair[0]);
        n = 4;
        assert_int_equal(zl_recv_fds(pair[1], buf, sizeof buf, fds, &n, 0), 0); /* the end */
        assert_int_equal(n, 0);
        close(pair[1]);
        assert_int_equal(count_fds(), before);
}

/* A peer must not be able to leave descriptors behind in us. */
static void closes_what_does_not_fit(void **state)
{
        struct place *p = *state;
        int pair[2], fds[2], many[ZL_FDS_MAX + 1];
        size_t before, n;
        char buf[4];

        for (int i = 0; i <= ZL_FDS_MAX; i++)
                many[i] = p->fd;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        before = count_fds();
        assert_int_equal(zl_send_fds(pair[0], "x", 1, many, ZL_FDS_MAX, 0), 1);
        n = 2;
        assert_int_equal(zl_recv_fds(pair[1], buf, sizeof buf, fds, &n, 0), -EMSGSIZE);
        assert_int_equal(n, 0);
        assert_int_equal(zl_send_fds(pair[0], "x", 1, many, 3, 0), 1);
        assert_int_equal(zl_recv_fds(pair[1], buf, sizeof buf, NULL, NULL, 0), -EMSGSIZE);
        assert_int_equal(zl_send_fds(pair[0], "longer than buf", 15, many, 1, 0), 15);
        n = 2;
        assert_int_equal(zl_recv_fds(pair[1], buf, sizeof buf, fds, &n, 0), -EMSGSIZE);
        assert_int_equal(zl_send_fds(pair[0], "x", 1, many, ZL_FDS_MAX + 1, 0), -EINVAL);
        assert_int_equal(count_fds(), before);
        n = 2;
        assert_int_equal(zl_recv_fds(pair[1], buf, sizeof buf, fds, &n, MSG_DONTWAIT), -EAGAIN);
        close(pair[1]);
        assert_int_equal(zl_send_fds(pair[0], "x", 1, NULL, 0, 0), -EPIPE); /* and no SIGPIPE */
        close(pair[0]);
}

#define IN_PLACE(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                IN_PLACE(listens_and_connects),
                IN_PLACE(reaches_long_paths),
                IN_PLACE(hands_over_descriptors),
                IN_PLACE(closes_what_does_not_fit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
