/* SPDX-License-Identifier: Apache-2.0 */
/* The log: what the writer stores the reader gives back, byte for byte, also after damage, rotation and a full disk. */
#include "support.h"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/buf.h"
#include "base/clock.h"
#include "monitor/log_reader.h"
#include "monitor/log_writer.h"
#include "monitor/record.h"

static struct zl_log_writer open_writer(struct place *p, uint64_t max_size, uint32_t max_files)
{
        struct zl_log_writer w;

        assert_int_equal(zl_log_writer_open(&w, p->fd, 1, max_size, max_files, NULL), 0);
        assert_int_equal(zl_log_writer_begin(&w, NULL), 0);
        return w;
}

static void put(struct zl_log_writer *w, int stream, const char *text)
{
        zl_log_writer_put(w, stream, text, (uint32_t)strlen(text));
}

static struct zl_log_reader *open_reader(struct place *p, struct zl_log_reader_options options)
{
        struct zl_log_reader *reader;

        assert_int_equal(zl_log_reader_open(p->fd, &options, &reader, NULL), 0);
        return reader;
}

static void expect(struct zl_log_reader *reader, int stream, const char *text, bool partial)
{
        struct zl_log_reader_entry e;

        assert_int_equal(zl_log_reader_next(reader, &e, NULL), 1);
        assert_int_equal(e.len, strlen(text));
        assert_memory_equal(e.data, text, e.len);
        assert_int_equal(e.stream, stream);
        assert_int_equal(e.partial, partial);
        assert_true(e.time > 0);
}

static void expect_result(struct zl_log_reader *reader, int want)
{
        struct zl_log_reader_entry e;

        assert_int_equal(zl_log_reader_next(reader, &e, NULL), want);
}

static void test_lines(void **state)
{
        struct place *p = *state;
        struct zl_log_writer w = open_writer(p, 1 << 20, 3);
        struct zl_log_reader *r;
        struct zl_log_reader_entry e;

        put(&w, 1, "one\ntwo\n\nthr");
        put(&w, 2, "error\n");
        put(&w, 1, "ee\n");
        zl_log_writer_put(&w, 1, "a\0b\n", 4);
        put(&w, 1, "open end");
        zl_log_writer_close(&w);
        assert_int_equal(w.dropped, 0);
        r = open_reader(p, ZL_LOG_READER_OPTIONS_INIT);
        expect(r, 1, "one", false);
        expect(r, 1, "two", false);
        expect(r, 1, "", false);
        expect(r, 2, "error", false);
        expect(r, 1, "three", false);
        assert_int_equal(zl_log_reader_next(r, &e, NULL), 1);
        assert_int_equal(e.len, 3);
        assert_memory_equal(e.data, "a\0b", 3);
        expect(r, 1, "open end", true);
        expect_result(r, -ENODATA);
        expect_result(r, -ENODATA);
        zl_log_reader_close(r);
        r = open_reader(p, (struct zl_log_reader_options){ .tail = -1, .no_stdout = true });
        expect(r, 2, "error", false);
        expect_result(r, -ENODATA);
        zl_log_reader_close(r);
}

static void test_no_log(void **state)
{
        struct place *p = *state;
        struct zl_log_reader *r = open_reader(p, ZL_LOG_READER_OPTIONS_INIT);

        expect_result(r, -ENODATA);
        zl_log_reader_close(r);
}

static void test_long_lines(void **state)
{
        struct place *p = *state;
        enum { SIZE = 300 * 1000 };
        struct zl_log_writer w = open_writer(p, 1 << 20, 3);
        struct zl_log_reader *r;
        struct zl_log_reader_entry e;
        char *big = malloc(SIZE);
        size_t total = 0;
        int partial = 0;

        memset(big, 'x', SIZE);
        for (size_t pos = 0; pos < SIZE; pos += 50000)
                zl_log_writer_put(&w, 1, big + pos, 50000);
        put(&w, 1, "\nnext\n");
        zl_log_writer_close(&w);
        r = open_reader(p, ZL_LOG_READER_OPTIONS_INIT);
        do {
                assert_int_equal(zl_log_reader_next(r, &e, NULL), 1);
                assert_true(e.len <= ZL_LOG_ENTRY_MAX);
                total += e.len;
                partial += e.partial;
        } while (e.partial);
        assert_int_equal(total, SIZE);
        assert_true(partial > 0);
        expect(r, 1, "next", false);
        zl_log_reader_close(r);
        free(big);
}

/* Lines "N" from `from` to `to` on alternating streams, in pieces that do not end with the lines. */
static void put_numbers(struct zl_log_writer *w, int from, int to)
{
        char text[32];

        for (int i = from; i <= to; i++) {
                snprintf(text, sizeof(text), "%d", i);
                put(w, 1 + i % 2, text);
                put(w, 1 + i % 2, "\n");
        }
}

static int read_numbers(struct zl_log_reader *r, int *ret_first, int *ret_last)
{
        struct zl_log_reader_entry e;
        int n = 0, before = 0;

        while (zl_log_reader_next(r, &e, NULL) == 1) {
                char text[32] = "";
                int number;

                assert_true(e.len < sizeof(text));
                memcpy(text, e.data, e.len);
                number = atoi(text);
                if (n++ == 0)
                        *ret_first = number;
                else
                        assert_int_equal(number, before + 1);
                assert_int_equal(e.stream, 1 + number % 2);
                before = number;
        }
        *ret_last = before;
        return n;
}

static void test_rotation(void **state)
{
        struct place *p = *state;
        struct zl_log_writer w = open_writer(p, 4096, 3);
        struct zl_log_reader *r;
        uint32_t first, last;
        int from, to, n, dir;

        for (int i = 1; i <= 1000; i++) {
                char text[32];

                snprintf(text, sizeof(text), "%d\n", i);
                put(&w, 1 + i % 2, text);
        }
        zl_log_writer_close(&w);
        dir = openat(p->fd, "log", O_RDONLY | O_CLOEXEC);
        assert_int_equal(zl_log_file_range(dir, &first, &last), 0);
        close(dir);
        assert_true(last > 3);
        assert_int_equal(first, last - 2);
        r = open_reader(p, ZL_LOG_READER_OPTIONS_INIT);
        n = read_numbers(r, &from, &to);
        assert_int_equal(to, 1000);
        assert_int_equal(n, 1000 - from + 1);
        zl_log_reader_close(r);
}

static void test_tail(void **state)
{
        static const int wants[] = { 0, 1, 2, 3, 10, 149, 150, 999, 1000, 1001, 5000 };
        struct place *p = *state;
        struct zl_log_writer w = open_writer(p, 8192, 100);

        put_numbers(&w, 1, 1000);
        zl_log_writer_close(&w);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(wants); i++) {
                struct zl_log_reader *r = open_reader(
                        p, (struct zl_log_reader_options){ .tail = wants[i] });
                int from = 0, to, n = read_numbers(r, &from, &to);

                assert_int_equal(n, ZL_MIN(wants[i], 1000));
                if (n)
                        assert_int_equal(from, 1000 - n + 1);
                zl_log_reader_close(r);
        }
}

static void test_tail_of_open_lines(void **state)
{
        struct place *p = *state;
        struct zl_log_writer w = open_writer(p, 1 << 20, 2);
        struct zl_log_reader *r;

        put(&w, 1, "first\nlong ");
        put(&w, 2, "e1\ne2\n");
        put(&w, 1, "line\nopen");
        zl_log_writer_close(&w);
        /* The begin of "long line" lies before the records that hold the last two entries. */
        r = open_reader(p, (struct zl_log_reader_options){ .tail = 2 });
        expect(r, 1, "long line", false);
        expect(r, 1, "open", true);
        expect_result(r, -ENODATA);
        zl_log_reader_close(r);
}

static void test_since_until(void **state)
{
        struct place *p = *state;
        struct zl_log_writer w = open_writer(p, 1 << 20, 2);
        struct zl_log_reader *r;
        int64_t first, second;

        put(&w, 1, "a\n");
        usleep(2000);
        first = zl_now_realtime();
        put(&w, 1, "b\n");
        second = zl_now_realtime();
        usleep(2000);
        put(&w, 1, "c\n");
        zl_log_writer_close(&w);
        r = open_reader(
                p, (struct zl_log_reader_options){ .tail = -1, .since = first, .until = second });
        expect(r, 1, "b", false);
        expect_result(r, -ENODATA);
        zl_log_reader_close(r);
        r = open_reader(p, (struct zl_log_reader_options){ .tail = 5, .since = first });
        expect(r, 1, "b", false);
        expect(r, 1, "c", false);
        expect_result(r, -ENODATA);
        zl_log_reader_close(r);
}

static bool is_ready(struct zl_log_reader *r)
{
        struct pollfd f = { .fd = zl_log_reader_fd(r), .events = POLLIN };

        return poll(&f, 1, 0) == 1;
}

static void test_follow(void **state)
{
        struct place *p = *state;
        /* Opened before there is anything at all. */
        struct zl_log_reader *r = open_reader(
                p, (struct zl_log_reader_options){ .tail = -1, .follow = true });
        struct zl_log_writer w;
        char text[32];

        expect_result(r, 0);
        assert_false(is_ready(r));
        w = open_writer(p, 4096, 2);
        assert_true(is_ready(r));
        expect_result(r, 0);
        put(&w, 1, "prompt> ");
        assert_true(is_ready(r));
        expect(r, 1, "prompt> ", true);
        put(&w, 1, "answer\n");
        expect(r, 1, "answer", false);
        expect_result(r, 0);
        /* Across many rotations, of which each follows the reading. */
        for (int i = 0; i < 1000; i++) {
                snprintf(text, sizeof(text), "line %d", i);
                put(&w, 1, text);
                put(&w, 1, "\n");
                expect(r, 1, text, false);
        }
        assert_true(w.number > 5);
        expect_result(r, 0);
        assert_false(is_ready(r));
        zl_log_writer_close(&w);
        assert_true(is_ready(r));
        expect_result(r, -ENODATA);
        zl_log_reader_close(r);
}

static void test_follow_ends_with_the_record(void **state)
{
        struct place *p = *state;
        struct zl_log_writer w = open_writer(p, 1 << 20, 2);
        struct zl_exit_record record = { .generation = 1, .exit_code = 3 };
        struct zl_log_reader *r = open_reader(
                p, (struct zl_log_reader_options){ .tail = -1, .follow = true });

        put(&w, 1, "last word\n");
        expect(r, 1, "last word", false);
        expect_result(r, 0);
        /* The monitor is killed: no END. Somebody else writes the record. */
        close(w.fd);
        close(w.dir_fd);
        assert_int_equal(zl_exit_record_save(p->fd, &record, NULL), 0);
        assert_true(is_ready(r));
        expect_result(r, -ENODATA);
        zl_log_reader_close(r);
        /* An old record does not end the log of a new start. */
        assert_int_equal(zl_log_writer_open(&w, p->fd, 2, 1 << 20, 2, NULL), 0);
        assert_int_equal(zl_log_writer_begin(&w, NULL), 0);
        r = open_reader(p, (struct zl_log_reader_options){ .tail = -1, .follow = true });
        expect(r, 1, "last word", false);
        expect_result(r, 0);
        put(&w, 1, "again\n");
        expect(r, 1, "again", false);
        zl_log_writer_close(&w);
        expect_result(r, -ENODATA);
        zl_log_reader_close(r);
}

/* A launch that fails has opened the log and leaves no trace in it. */
static void test_never_begun(void **state)
{
        struct place *p = *state;
        struct zl_log_writer w = open_writer(p, 1 << 20, 2);
        struct stat before, after;

        put(&w, 1, "first life\n");
        zl_log_writer_close(&w);
        assert_int_equal(fstatat(p->fd, "log/0000000001.zlog", &before, 0), 0);
        assert_int_equal(zl_log_writer_open(&w, p->fd, 2, 1 << 20, 2, NULL), 0);
        zl_log_writer_close(&w);
        assert_int_equal(fstatat(p->fd, "log/0000000001.zlog", &after, 0), 0);
        assert_int_equal(after.st_size, before.st_size);
}

static int open_file(struct place *p, const char *name)
{
        int fd = openat(p->fd, name, O_RDWR | O_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

static void test_torn_end(void **state)
{
        struct place *p = *state;
        struct zl_log_writer w = open_writer(p, 1 << 20, 3);
        struct zl_log_reader *r;
        struct stat st;
        int fd;

        put(&w, 1, "whole\n");
        put(&w, 1, "torn in the middle\n");
        close(w.fd);
        close(w.dir_fd);
        fd = open_file(p, "log/0000000001.zlog");
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(ftruncate(fd, st.st_size - 7), 0);
        close(fd);
        /* The next writer does not append behind a torn record. */
        w = open_writer(p, 1 << 20, 3);
        assert_int_equal(w.number, 2);
        put(&w, 1, "after\n");
        zl_log_writer_close(&w);
        for (int tail = -1; tail <= 2; tail += 3) {
                r = open_reader(p, (struct zl_log_reader_options){ .tail = tail });
                expect(r, 1, "whole", false);
                expect(r, 1, "after", false);
                expect_result(r, -ENODATA);
                zl_log_reader_close(r);
        }
}

static void test_damage(void **state)
{
        struct place *p = *state;
        struct zl_log_writer w = open_writer(p, 1 << 20, 3);
        struct zl_log_reader *r;
        char forged[200];
        struct zl_log_record fake = { .magic = ZL_LOG_RECORD_MAGIC, .len = 4, .type = 1 };
        off_t middle;
        int fd;

        put(&w, 1, "before\n");
        middle = (off_t)w.size;
        /* A workload that writes what looks like a record. */
        memset(forged, 'f', sizeof(forged));
        memcpy(forged + 50, &fake, sizeof(fake));
        zl_log_writer_put(&w, 1, forged, sizeof(forged));
        put(&w, 1, "\nafter\n");
        zl_log_writer_close(&w);
        fd = open_file(p, "log/0000000001.zlog");
        assert_int_equal(pwrite(fd, "\xff\xff\xff\xff", 4, middle + 4), 4);
        close(fd);
        for (int tail = -1; tail <= 3; tail += 4) {
                r = open_reader(p, (struct zl_log_reader_options){ .tail = tail });
                expect(r, 1, "before", false);
                expect(r, 1, "", false);
                expect(r, 1, "after", false);
                expect_result(r, -ENODATA);
                zl_log_reader_close(r);
        }
}

static void test_full_disk(void **state)
{
        struct place *p = *state;
        struct zl_log_writer w = open_writer(p, 1 << 20, 3);
        struct rlimit old, small = { .rlim_cur = 2000 };
        struct zl_log_reader_entry e;
        struct zl_log_reader *r;
        char line[1000];

        memset(line, 'l', sizeof(line));
        line[sizeof(line) - 1] = '\n';
        signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &old);
        small.rlim_max = old.rlim_max;
        setrlimit(RLIMIT_FSIZE, &small);
        for (int i = 0; i < 5; i++)
                zl_log_writer_put(&w, 1, line, sizeof(line));
        setrlimit(RLIMIT_FSIZE, &old);
        assert_int_equal(w.bytes, 1000);
        assert_int_equal(w.dropped, 4000);
        w.retry_at = 0;
        put(&w, 1, "works again\n");
        zl_log_writer_close(&w);
        r = open_reader(p, ZL_LOG_READER_OPTIONS_INIT);
        assert_int_equal(zl_log_reader_next(r, &e, NULL), 1);
        assert_int_equal(e.len, 999);
        assert_int_equal(zl_log_reader_next(r, &e, NULL), 1);
        assert_true(e.notice);
        assert_memory_equal(e.data, "4000 bytes", 10);
        expect(r, 1, "works again", false);
        zl_log_reader_close(r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_lines),       TEST(test_no_log), TEST(test_long_lines),
                TEST(test_rotation),    TEST(test_tail),   TEST(test_tail_of_open_lines),
                TEST(test_since_until), TEST(test_follow), TEST(test_follow_ends_with_the_record),
                TEST(test_torn_end),    TEST(test_damage), TEST(test_full_disk),
                TEST(test_never_begun),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
