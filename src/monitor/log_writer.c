/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log writer: one writev() per chunk of output, rotation by size.
 *
 * What may go wrong: the disk fills up. Then a record may be cut short; the file is truncated back to the end of the last
 * whole record, so readers always find whole records, and the workload's bytes are counted as dropped. Rotation that
 * fails (no inode, no space) keeps the present file until it succeeds or the file is twice as large as wanted, and
 * from then on drops too.
 */
#include "monitor/log_writer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/random.h"

enum { MODE_FILE = 0640, MODE_DIR = 0750 };

/* Appends one record or nothing. */
static int put_record(struct zl_log_writer *w, struct zl_log_record head, const void *payload)
{
        uint32_t total = head.len + ZL_LOG_OVERHEAD;
        struct iovec iov[3] = {
                { &head, sizeof(head) },
                { (void *)payload, head.len },
                { &total, sizeof(total) },
        };
        ssize_t n;

        if (w->fd < 0)
                return -EBADF;
        head.magic = ZL_LOG_RECORD_MAGIC;
        head.check = zl_log_record_check(&head, w->key);
        do
                n = writev(w->fd, iov, 3);
        while (n < 0 && errno == EINTR);
        if (n == (ssize_t)total) {
                w->size += total;
                return 0;
        }
        w->last_errno = n < 0 ? errno : ENOSPC;
        /* Take the torn part back. If even that fails the reader's resynchronisation has to do. */
        if (n > 0 && ftruncate(w->fd, (off_t)w->size) < 0)
                w->size += (uint64_t)n;
        return -w->last_errno;
}

static int put_generation(struct zl_log_writer *w, enum zl_log_record_type type)
{
        return put_record(w,
                          (struct zl_log_record){ .len = sizeof(w->generation),
                                                  .time = zl_now_realtime(),
                                                  .type = (uint8_t)type },
                          &w->generation);
}

static int begin_file(struct zl_log_writer *w, uint32_t number)
{
        struct zl_log_file_head head = { .magic = ZL_LOG_FILE_MAGIC,
                                         .number = number,
                                         .time = zl_now_realtime() };
        char name[ZL_LOG_NAME_SIZE];
        _cleanup_close_ int fd = -EBADF;

        snprintf(name, sizeof(name), ZL_LOG_FILE_FORMAT, number);
        fd = openat(w->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC,
                    MODE_FILE);
        if (fd < 0)
                return -errno;
        zl_random_bytes(&head.key, sizeof(head.key));
        if (zl_write_full(fd, &head, sizeof(head)) < 0) {
                int saved = errno ? errno : ENOSPC;

                unlinkat(w->dir_fd, name, 0);
                return -saved;
        }
        zl_close(w->fd);
        w->fd = zl_take_fd(fd);
        w->number = number;
        w->key = head.key;
        w->size = sizeof(head);
        return 0;
}

static void remove_old(struct zl_log_writer *w, uint32_t first)
{
        char name[ZL_LOG_NAME_SIZE];

        for (; first && first + w->max_files <= w->number; first++) {
                snprintf(name, sizeof(name), ZL_LOG_FILE_FORMAT, first);
                unlinkat(w->dir_fd, name, 0);
        }
}

/* Goes on in the last file of an earlier start, if its end is whole. */
static int continue_file(struct zl_log_writer *w, uint32_t number)
{
        struct zl_log_file_head head;
        struct zl_log_record record;
        char name[ZL_LOG_NAME_SIZE];
        struct stat st;
        uint32_t total;
        _cleanup_close_ int fd = -EBADF;

        snprintf(name, sizeof(name), ZL_LOG_FILE_FORMAT, number);
        fd = openat(w->dir_fd, name, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size >= (off_t)w->max_size ||
            pread(fd, &head, sizeof(head), 0) != sizeof(head) || head.magic != ZL_LOG_FILE_MAGIC ||
            head.number != number)
                return -EINVAL;
        if (st.st_size > (off_t)sizeof(head)) {
                if (pread(fd, &total, sizeof(total), st.st_size - 4) != 4 ||
                    total < ZL_LOG_OVERHEAD || total > st.st_size - (off_t)sizeof(head) ||
                    pread(fd, &record, sizeof(record), st.st_size - total) != sizeof(record) ||
                    record.magic != ZL_LOG_RECORD_MAGIC || record.len + ZL_LOG_OVERHEAD != total ||
                    record.check != zl_log_record_check(&record, head.key))
                        return -EINVAL;
        }
        w->fd = zl_take_fd(fd);
        w->number = number;
        w->key = head.key;
        w->size = (uint64_t)st.st_size;
        return 0;
}

int zl_log_writer_open(struct zl_log_writer *w, int state_dir_fd, uint32_t generation,
                       uint64_t max_size, uint32_t max_files, struct zl_error *err)
{
        uint32_t first, last;
        int r;

        *w = (struct zl_log_writer){ .dir_fd = -EBADF,
                                     .fd = -EBADF,
                                     .max_size = ZL_MAX(max_size, (uint64_t)4096),
                                     .max_files = ZL_MAX(max_files, 1U),
                                     .generation = generation };
        w->dir_fd = zl_open_dir_at(state_dir_fd, ZL_LOG_DIR_NAME, MODE_DIR, err);
        if (w->dir_fd < 0)
                return w->dir_fd;
        r = zl_log_file_range(w->dir_fd, &first, &last);
        if (r >= 0 && (!last || continue_file(w, last) < 0))
                r = begin_file(w, last + 1);
        if (r < 0) {
                w->fd = zl_close(w->fd);
                w->dir_fd = zl_close(w->dir_fd);
                return zl_fail_errno(err, -r, "cannot begin the log in %s/", ZL_LOG_DIR_NAME);
        }
        remove_old(w, first);
        return 0;
}

int zl_log_writer_begin(struct zl_log_writer *w, struct zl_error *err)
{
        int r = put_generation(w, ZL_LOG_START);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot begin the log in %s/", ZL_LOG_DIR_NAME);
        w->has_begun = true;
        return 0;
}

static void rotate(struct zl_log_writer *w)
{
        uint32_t first, last;

        if (begin_file(w, w->number + 1) < 0)
                return;
        /* The whole range is looked up, so that leftovers of a smaller setting go too. */
        if (zl_log_file_range(w->dir_fd, &first, &last) == 0)
                remove_old(w, first);
}

static void tell_dropped(struct zl_log_writer *w)
{
        char text[160];
        int n = snprintf(text, sizeof(text), "%" PRIu64 " bytes of output were lost: %s",
                         w->dropped_untold, strerror(w->last_errno));

        if (put_record(w,
                       (struct zl_log_record){ .len = (uint32_t)ZL_MIN((size_t)n, sizeof(text) - 1),
                                               .time = zl_now_realtime(),
                                               .type = ZL_LOG_NOTICE },
                       text) >= 0)
                w->dropped_untold = 0;
}

void zl_log_writer_put(struct zl_log_writer *w, int stream, const void *data, uint32_t len)
{
        struct zl_log_record head = { .len = len,
                                      .time = zl_now_realtime(),
                                      .type = (uint8_t)stream };
        uint32_t total = len + ZL_LOG_OVERHEAD;
        int r = -EFBIG;

        if (len == 0)
                return;
        if (w->size > sizeof(struct zl_log_file_head) && w->size + total > w->max_size)
                rotate(w);
        if (w->dropped_untold && head.time >= w->retry_at)
                tell_dropped(w);
        if (w->in_line[stream])
                head.flags |= ZL_LOG_CONTINUES;
        if (((const char *)data)[len - 1] != '\n')
                head.flags |= ZL_LOG_PARTIAL;
        if (w->size < 2 * w->max_size + ZL_LOG_PAYLOAD_MAX && !w->dropped_untold)
                r = put_record(w, head, data);
        /* The line state follows the workload's bytes even when they are lost. */
        w->in_line[stream] = !!(head.flags & ZL_LOG_PARTIAL);
        if (r >= 0) {
                w->bytes += len;
                return;
        }
        if (r == -EFBIG && !w->last_errno)
                w->last_errno = EFBIG;
        /* A full disk is not asked again for every chunk: the notices alone would use up what becomes free. */
        if (!w->dropped_untold || head.time >= w->retry_at)
                w->retry_at = head.time + ZL_NSEC_PER_SEC;
        w->dropped += len;
        w->dropped_untold += len;
}

void zl_log_writer_close(struct zl_log_writer *w)
{
        if (w->fd >= 0 && w->has_begun) {
                if (w->dropped_untold)
                        tell_dropped(w);
                put_generation(w, ZL_LOG_END);
        }
        w->fd = zl_close(w->fd);
        w->dir_fd = zl_close(w->dir_fd);
}
