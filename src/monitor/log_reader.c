/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log reader: from records to lines.
 *
 * Following costs nothing while nothing happens: an inotify descriptor watches the directory of the log (growth, new
 * files) and the state directory (the exit record). The end of a followed log is the END record with nothing
 * behind it, or, if a killed monitor could not write one, the exit record that somebody else wrote for it.
 *
 * What may go wrong: a follower may be slower than the rotation; then the files it missed are gone and it goes on with
 * the oldest that is there.
 */
#include "monitor/log_reader.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "monitor/log_cursor.h"
#include "monitor/log_tail.h"
#include "monitor/log_writer.h"
#include "monitor/record.h"

/* A line that is not complete yet. */
struct pending {
        struct zl_buf text;
        int64_t time;
        bool told; /* has been handed out: forget it at the next call */
};

struct zl_log_reader {
        struct zl_log_reader_options options;
        int state_dir_fd, dir_fd;
        int poll_fd, inotify_fd, timer_fd; /* poll_fd: an epoll of the other two */
        bool dir_watched;
        struct zl_log_cursor cursor;
        struct zl_log_record record; /* the one being split */
        const char *rest;            /* what is left of its payload; NULL: read the next record */
        size_t rest_len;
        struct pending pending[3]; /* by stream */
        uint64_t skip;             /* entries to leave out at the begin (tail) */
        uint32_t generation;       /* of the last START record */
        bool ended;                /* nothing behind the last record read, as far as it told */
        bool over;                 /* beyond `until`, or the directory is gone */
};

/* ---- opening ------------------------------------------------------------------------------------- */

static int watch_dir(struct zl_log_reader *reader, int dir_fd, uint32_t mask)
{
        char path[32];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", dir_fd);
        if (inotify_add_watch(reader->inotify_fd, path, mask | IN_ONLYDIR) < 0)
                return -errno;
        return 0;
}

static int poll_add(struct zl_log_reader *reader, int fd)
{
        struct epoll_event event = { .events = EPOLLIN };

        return epoll_ctl(reader->poll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_timer(struct zl_log_reader *reader)
{
        struct itimerspec when = {
                .it_value = { .tv_sec = reader->options.until / ZL_NSEC_PER_SEC,
                              .tv_nsec = reader->options.until % ZL_NSEC_PER_SEC + 1 }
        };

        if (when.it_value.tv_nsec >= ZL_NSEC_PER_SEC)
                when.it_value.tv_nsec--;
        reader->timer_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
        if (reader->timer_fd < 0 ||
            timerfd_settime(reader->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
                return -errno;
        return poll_add(reader, reader->timer_fd);
}

static int open_watches(struct zl_log_reader *reader)
{
        int r;

        reader->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (reader->inotify_fd < 0)
                return -errno;
        r = watch_dir(reader, reader->state_dir_fd, IN_CREATE | IN_MOVED_TO | IN_DELETE);
        if (r >= 0)
                r = poll_add(reader, reader->inotify_fd);
        if (r >= 0 && reader->options.until > 0)
                r = open_timer(reader);
        return r;
}

/* Without follow there is always something to fetch: a timer that has run out. */
static int open_always_ready(struct zl_log_reader *reader)
{
        struct itimerspec now = { .it_value.tv_nsec = 1 };

        reader->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (reader->timer_fd < 0 || timerfd_settime(reader->timer_fd, 0, &now, NULL) < 0)
                return -errno;
        return poll_add(reader, reader->timer_fd);
}

/* The directory may appear later: a workload that has not been launched yet. */
static int open_log_dir(struct zl_log_reader *reader)
{
        int r;

        if (reader->dir_fd < 0)
                reader->dir_fd = openat(reader->state_dir_fd, ZL_LOG_DIR_NAME,
                                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (reader->dir_fd < 0)
                return errno == ENOENT ? 0 : -errno;
        if (reader->inotify_fd >= 0 && !reader->dir_watched) {
                r = watch_dir(reader, reader->dir_fd, IN_CREATE | IN_MODIFY | IN_DELETE);
                if (r < 0)
                        return r;
                reader->dir_watched = true;
        }
        return 0;
}

int zl_log_reader_open(int state_dir_fd, const struct zl_log_reader_options *options,
                       struct zl_log_reader **ret, struct zl_error *err)
{
        _cleanup_(zl_log_reader_closep) struct zl_log_reader *reader = calloc(1, sizeof(*reader));
        int r;

        if (!reader)
                return zl_fail_oom(err);
        reader->options = options ? *options : ZL_LOG_READER_OPTIONS_INIT;
        reader->dir_fd = reader->inotify_fd = reader->timer_fd = -EBADF;
        reader->cursor = ZL_LOG_CURSOR_INIT;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(reader->pending); i++)
                reader->pending[i].text = ZL_BUF_INIT(ZL_LOG_ENTRY_MAX + 1);
        reader->poll_fd = epoll_create1(EPOLL_CLOEXEC);
        reader->state_dir_fd = fcntl(state_dir_fd, F_DUPFD_CLOEXEC, 3);
        if (reader->poll_fd < 0 || reader->state_dir_fd < 0)
                return zl_fail_errno(err, errno, "cannot open the log");
        r = reader->options.follow ? open_watches(reader) : open_always_ready(reader);
        if (r >= 0)
                r = open_log_dir(reader);
        if (r >= 0 && reader->dir_fd >= 0 && reader->options.tail >= 0) {
                struct zl_log_tail tail = { .want = (uint64_t)reader->options.tail,
                                            .options = &reader->options };

                r = zl_log_tail_seek(&reader->cursor, reader->dir_fd, &tail);
                reader->skip = tail.skip;
        }
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot open the log");
        *ret = zl_take_ptr(reader);
        return 0;
}

int zl_log_reader_fd(const struct zl_log_reader *reader)
{
        return reader->poll_fd;
}

void zl_log_reader_close(struct zl_log_reader *reader)
{
        if (!reader)
                return;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(reader->pending); i++)
                zl_buf_done(&reader->pending[i].text);
        zl_log_cursor_done(&reader->cursor);
        zl_close(reader->timer_fd);
        zl_close(reader->inotify_fd);
        zl_close(reader->poll_fd);
        zl_close(reader->dir_fd);
        zl_close(reader->state_dir_fd);
        free(reader);
}

/* ---- records --------------------------------------------------------------------------------------- */

/* The number of the file to read after the present one; 0 if there is none yet. */
static int next_number(struct zl_log_reader *reader, uint32_t *ret)
{
        uint32_t first = 0, last = 0, want = reader->cursor.number + 1;
        int r = 0;

        if (reader->dir_fd >= 0)
                r = zl_log_file_range(reader->dir_fd, &first, &last);
        want = ZL_MAX(want, first);
        *ret = want <= last ? want : 0;
        return r;
}

/* 1: reader->record is filled; 0: nothing now. */
static int next_record(struct zl_log_reader *reader)
{
        struct zl_log_cursor *cursor = &reader->cursor;
        uint32_t number;
        int r;

        for (;;) {
                if (cursor->fd >= 0) {
                        r = zl_log_cursor_next(cursor, &reader->record, &reader->rest);
                        if (r != 0)
                                return r;
                }
                r = next_number(reader, &number);
                if (r < 0 || !number)
                        return r;
                /* A later file means that the present one is complete; but it may have grown since we looked. */
                if (cursor->fd >= 0) {
                        r = zl_log_cursor_next(cursor, &reader->record, &reader->rest);
                        if (r != 0)
                                return r;
                }
                r = zl_log_cursor_open(cursor, reader->dir_fd, number);
                if (r == -ENOENT)
                        return 0; /* just made, or just removed: the next call sees which */
                if (r == -EBADMSG)
                        cursor->number = number; /* not ours: pass over it */
                else if (r < 0)
                        return r;
        }
}

/* Reads records until one holds output that is wanted. 1, 0 (nothing now) or an error. */
static int next_output(struct zl_log_reader *reader)
{
        for (;;) {
                int r = next_record(reader);

                if (r <= 0) {
                        reader->rest = NULL;
                        return r;
                }
                reader->rest_len = reader->record.len;
                if (reader->record.type == ZL_LOG_START && reader->rest_len == 4)
                        memcpy(&reader->generation, reader->rest, 4);
                reader->ended = reader->record.type == ZL_LOG_END;
                if (reader->options.follow && reader->options.until > 0 &&
                    reader->record.time > reader->options.until)
                        reader->over = true;
                if (zl_log_tail_wants(&reader->options, &reader->record))
                        return 1;
                reader->rest = NULL;
        }
}

/* ---- lines ----------------------------------------------------------------------------------------- */

static void fill_entry(struct zl_log_reader_entry *ret, int stream, int64_t time, const char *data,
                       size_t len)
{
        *ret = (struct zl_log_reader_entry){
                .time = time, .stream = stream, .data = data, .len = len
        };
}

/* Hands out what there is of an incomplete line. */
static void tell_pending(struct zl_log_reader *reader, int stream, bool partial,
                         struct zl_log_reader_entry *ret)
{
        struct pending *pending = &reader->pending[stream];

        fill_entry(ret, stream, pending->time, pending->text.data, pending->text.len);
        ret->partial = partial;
        pending->told = true;
}

/* Takes one line, or a piece, off the record. 1: `*ret` is an entry; 0: go on; negative: no memory. */
static int take_line(struct zl_log_reader *reader, struct zl_log_reader_entry *ret)
{
        int stream = reader->record.type;
        struct pending *pending = &reader->pending[stream];
        const char *data = reader->rest;
        const char *newline = memchr(data, '\n', reader->rest_len);
        size_t len = newline ? (size_t)(newline - data) : reader->rest_len;

        if (pending->text.len > 0 && pending->text.len + len > ZL_LOG_ENTRY_MAX) {
                tell_pending(reader, stream, true, ret);
                return 1;
        }
        reader->rest_len -= len + !!newline;
        reader->rest = reader->rest_len ? data + len + !!newline : NULL;
        if (newline && !pending->text.len) {
                fill_entry(ret, stream, reader->record.time, data, len);
                return 1;
        }
        if (!pending->text.len)
                pending->time = reader->record.time;
        if (zl_buf_put(&pending->text, data, len) < 0)
                return -ENOMEM;
        if (newline)
                tell_pending(reader, stream, false, ret);
        return !!newline;
}

static int take_entry(struct zl_log_reader *reader, struct zl_log_reader_entry *ret)
{
        if (reader->record.type != ZL_LOG_NOTICE)
                return take_line(reader, ret);
        fill_entry(ret, ZL_LOG_STDERR, reader->record.time, reader->rest, reader->rest_len);
        ret->notice = true;
        reader->rest = NULL;
        return 1;
}

static void drain_watches(struct zl_log_reader *reader)
{
        _Alignas(struct inotify_event) char events[2048];
        struct stat st;

        if (reader->inotify_fd < 0)
                return;
        while (read(reader->inotify_fd, events, sizeof(events)) > 0)
                ;
        if (reader->dir_fd >= 0 && fstat(reader->dir_fd, &st) == 0 && st.st_nlink == 0)
                reader->over = true;
}

static bool has_exit_record(struct zl_log_reader *reader)
{
        _cleanup_exit_record_ struct zl_exit_record record = ZL_EXIT_RECORD_INIT;

        return zl_exit_record_load(reader->state_dir_fd, &record, NULL) >= 0 &&
               record.generation >= reader->generation;
}

static bool is_at_end(struct zl_log_reader *reader)
{
        return !reader->options.follow || reader->over || reader->ended ||
               (reader->options.until > 0 && zl_now_realtime() > reader->options.until);
}

/* Nothing to read: is it the end? 1: there is more after all; 0: nothing now; -ENODATA: the end. */
static int wait_or_end(struct zl_log_reader *reader)
{
        bool gone;
        int r;

        if (is_at_end(reader))
                return -ENODATA;
        /* Order matters: forget the wake-ups, look at the record, and only then read once more. */
        drain_watches(reader);
        r = open_log_dir(reader);
        if (r < 0)
                return r;
        gone = has_exit_record(reader);
        r = next_output(reader);
        if (r != 0)
                return r;
        return gone || is_at_end(reader) ? -ENODATA : 0;
}

static void forget_told(struct zl_log_reader *reader)
{
        for (size_t i = 1; i < ZL_ARRAY_SIZE(reader->pending); i++) {
                if (reader->pending[i].told)
                        zl_buf_reset(&reader->pending[i].text);
                reader->pending[i].told = false;
        }
}

static bool tell_any_pending(struct zl_log_reader *reader, struct zl_log_reader_entry *ret)
{
        for (int i = 1; i < (int)ZL_ARRAY_SIZE(reader->pending); i++) {
                if (reader->pending[i].text.len > 0) {
                        tell_pending(reader, i, true, ret);
                        return true;
                }
        }
        return false;
}

int zl_log_reader_next(struct zl_log_reader *reader, struct zl_log_reader_entry *ret,
                       struct zl_error *err)
{
        struct zl_log_reader_entry entry;
        int r = 0;

        for (;;) {
                forget_told(reader);
                if (!reader->rest) {
                        r = reader->over ? 0 : next_output(reader);
                        if (r == 0 && tell_any_pending(reader, &entry))
                                goto told;
                        if (r == 0)
                                r = wait_or_end(reader);
                        if (r == 0 || r == -ENODATA)
                                return r;
                        if (r < 0)
                                break;
                }
                r = take_entry(reader, &entry);
                if (r < 0)
                        break;
                if (r == 0)
                        continue;
told:
                if (reader->skip == 0) {
                        *ret = entry;
                        return 1;
                }
                reader->skip--;
        }
        return zl_fail_errno(err, -r, "cannot read the log");
}
