/* SPDX-License-Identifier: Apache-2.0 */
/* The wire form of criu's requests, and answers of a criu that behaves and of one that does not. */
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/criu.h"
#include "support.h"

#define BYTES(...)                                                                                 \
        ((const unsigned char[]){ __VA_ARGS__ }), sizeof((unsigned char[]){ __VA_ARGS__ })

struct talk {
        int ours, theirs;
        char events[256];
        int refuse;
        pid_t event_pid;
};

static int on_event(const char *event, pid_t pid, int fd, void *data, struct zl_error *err)
{
        struct talk *t = data;

        zl_close(fd);
        strcat(t->events, event);
        strcat(t->events, ";");
        t->event_pid = pid;
        return t->refuse ? zl_fail(err, ZL_E_CREATE, 0, "no, thanks") : 0;
}

static void begin(struct talk *t)
{
        int fds[2];

        *t = (struct talk){ 0 };
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        t->ours = fds[0];
        t->theirs = fds[1];
}

static void answer(struct talk *t, const unsigned char *data, size_t len)
{
        assert_int_equal(send(t->theirs, data, len, 0), len);
}

/* What was sent to criu, in order. */
static void expect(struct talk *t, const unsigned char *data, size_t len)
{
        unsigned char got[512];
        ssize_t n = recv(t->theirs, got, sizeof got, MSG_DONTWAIT);

        assert_int_equal(n, len);
        assert_memory_equal(got, data, len);
}

static int ask(struct talk *t, const struct zl_buf *options, pid_t *pid, struct zl_error *err)
{
        struct zl_criu_listener listener = { on_event, t };

        return zl_criu_ask(t->ours, ZL_CRIU_RESTORE, options, &listener, pid, err);
}

static void end(struct talk *t)
{
        close(t->ours);
        close(t->theirs);
}

static void test_request(void **state _unused_)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(1024);
        struct zl_error err = ZL_ERROR_INIT;
        struct talk t;
        pid_t pid = 0;

        begin(&t);
        zl_criu_put(&b, ZL_CRIU_IMAGES_DIR_FD, 300);
        zl_criu_put_text(&b, ZL_CRIU_LOG_FILE, "l");
        zl_criu_put_pair(&b, ZL_CRIU_EXTERNAL_MOUNT, "/a", "/b");
        zl_criu_put_numbered(&b, ZL_CRIU_INHERIT_FD, "pipe:[1]", 2);
        /* type RESTORE, success, restore { pid 1234 } */
        answer(&t, BYTES(0x08, 2, 0x10, 1, 0x22, 3, 0x08, 0xd2, 0x09));
        assert_int_equal(ask(&t, &b, &pid, &err), 0);
        assert_int_equal(pid, 1234);
        expect(&t, BYTES(0x08, 2, 0x12, 32, /* RESTORE, options */
                         0x08, 0xac, 0x02,  /* images_dir_fd 300 */
                         0x52, 1, 'l',      /* log_file */
                         0xba, 0x01, 8, 0x0a, 2, '/', 'a', 0x12, 2, '/', 'b', /* ext_mnt */
                         0xda, 0x01, 12, 0x0a, 8, 'p', 'i', 'p', 'e', ':', '[', '1', ']', 0x10, 2));
        end(&t);
}

static void test_events(void **state _unused_)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(1024);
        struct zl_error err = ZL_ERROR_INIT;
        struct talk t;
        pid_t pid = 0;

        for (int refuse = 0; refuse < 2; refuse++) {
                begin(&t);
                t.refuse = refuse;
                zl_buf_reset(&b);
                zl_criu_put(&b, ZL_CRIU_PID, 1);
                /* NOTIFY { "go", pid 7 }, then the end */
                answer(&t, BYTES(0x08, 6, 0x10, 1, 0x2a, 6, 0x0a, 2, 'g', 'o', 0x10, 7));
                answer(&t, BYTES(0x08, 2, 0x10, 1));
                assert_int_equal(ask(&t, &b, &pid, &err) < 0, refuse);
                assert_string_equal(t.events, "go;");
                assert_int_equal(t.event_pid, 7);
                expect(&t, BYTES(0x08, 2, 0x12, 2, 0x10, 1));
                expect(&t, BYTES(0x08, 6, 0x18, refuse ? 0 : 1));
                end(&t);
        }
        assert_string_equal(zl_error_message(&err), "no, thanks");
        zl_error_done(&err);
}

static void test_failures(void **state _unused_)
{
        static const struct {
                unsigned char data[16];
                size_t len;
                const char *message;
        } answers[] = {
                { { 0x08, 2, 0x10, 0, 0x38, 2 }, 6, "criu failed" },
                { { 0x08, 2, 0x10, 0, 0x4a, 3, 'w', 'h', 'y' }, 9, "criu failed: why" },
                { { 0x08 }, 1, "criu's answer cannot be read" },
                { { 0x22, 0x7f, 1 }, 3, "criu's answer cannot be read" },
                { { 0x2a, 2, 0x0a, 9 }, 4, "criu's answer cannot be read" },
                { { 0x0b, 1 }, 2, "criu's answer cannot be read" },
                { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1 },
                  11,
                  "criu's answer cannot be read" },
        };
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(1024);

        zl_criu_put(&b, ZL_CRIU_PID, 1);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(answers); i++) {
                struct zl_error err = ZL_ERROR_INIT;
                struct talk t;

                begin(&t);
                answer(&t, answers[i].data, answers[i].len);
                assert_true(ask(&t, &b, NULL, &err) < 0);
                assert_non_null(strstr(zl_error_message(&err), answers[i].message));
                zl_error_done(&err);
                end(&t);
        }
}

static void test_silence(void **state _unused_)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(1024);
        struct zl_error err = ZL_ERROR_INIT;
        struct talk t;

        begin(&t);
        shutdown(t.theirs, SHUT_WR);
        zl_criu_put(&b, ZL_CRIU_PID, 1);
        assert_true(ask(&t, &b, NULL, &err) < 0);
        assert_string_equal(zl_error_message(&err), "criu ended without an answer");
        zl_error_done(&err);
        end(&t);
}

static void test_words(void **state _unused_)
{
        assert_int_equal(zl_criu_cgroups_mode("ignore"), 0);
        assert_int_equal(zl_criu_cgroups_mode("soft"), 3);
        assert_int_equal(zl_criu_cgroups_mode("Soft"), -EINVAL);
        assert_int_equal(zl_criu_network_lock("nftables"), 2);
        assert_int_equal(zl_criu_network_lock(""), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_request),  cmocka_unit_test(test_events),
                cmocka_unit_test(test_failures), cmocka_unit_test(test_silence),
                cmocka_unit_test(test_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
