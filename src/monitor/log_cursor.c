/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One log file through a window. The file may grow while it is read, and a reader may see a record of which only the
 * first part is there: that is "nothing yet", not damage. Damage (a head that does not check, a way back that does
 * not fit) is skipped by looking for the next good head.
 */
#include "monitor/log_cursor.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

enum { WINDOW_SIZE = 2 * (ZL_LOG_PAYLOAD_MAX + ZL_LOG_OVERHEAD) };

void zl_log_cursor_done(struct zl_log_cursor *cursor)
{
        cursor->fd = zl_close(cursor->fd);
        free(cursor->window);
        cursor->window = NULL;
}

int zl_log_cursor_open(struct zl_log_cursor *cursor, int log_dir_fd, uint32_t number)
{
        struct zl_log_file_head head;
        char name[ZL_LOG_NAME_SIZE];
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;

        if (!cursor->window) {
                cursor->window = malloc(WINDOW_SIZE);
                if (!cursor->window)
                        return -ENOMEM;
        }
        snprintf(name, sizeof(name), ZL_LOG_FILE_FORMAT, number);
        fd = openat(log_dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = pread(fd, &head, sizeof(head), 0);
        if (n < 0)
                return -errno;
        /* A file that has just been made may still lack its head. */
        if (n < (ssize_t)sizeof(head))
                return -ENOENT;
        if (head.magic != ZL_LOG_FILE_MAGIC || head.number != number)
                return -EBADMSG;
        zl_close(cursor->fd);
        cursor->fd = zl_take_fd(fd);
        cursor->number = number;
        cursor->key = head.key;
        cursor->pos = sizeof(head);
        cursor->window_len = 0;
        return 0;
}

/* Makes [pos, pos+len) readable; 1 if it is all there, 0 if the file ends before. */
static int window_get(struct zl_log_cursor *c, uint64_t pos, size_t len, bool backward,
                      const char **ret)
{
        uint64_t from = pos;
        ssize_t n;

        if (pos < c->window_pos || pos + len > c->window_pos + c->window_len) {
                /* Going back, the bytes before are wanted next. */
                if (backward && pos + len > WINDOW_SIZE)
                        from = pos + len - WINDOW_SIZE;
                else if (backward)
                        from = 0;
                do
                        n = pread(c->fd, c->window, WINDOW_SIZE, (off_t)from);
                while (n < 0 && errno == EINTR);
                if (n < 0)
                        return -errno;
                c->window_pos = from;
                c->window_len = (size_t)n;
                if (pos + len > from + (uint64_t)n)
                        return 0;
        }
        *ret = c->window + (pos - c->window_pos);
        return 1;
}

static bool head_is_good(const struct zl_log_cursor *c, const struct zl_log_record *r)
{
        return r->magic == ZL_LOG_RECORD_MAGIC && r->len <= ZL_LOG_PAYLOAD_MAX && r->zero == 0 &&
               r->check == zl_log_record_check(r, c->key);
}

/* Reads the whole record at `pos`: 1 good, 0 not all there, -EBADMSG damaged. */
static int record_at(struct zl_log_cursor *c, uint64_t pos, bool backward,
                     struct zl_log_record *ret, const char **ret_payload)
{
        const char *p;
        uint32_t total;
        int r;

        r = window_get(c, pos, sizeof(*ret), backward, &p);
        if (r <= 0)
                return r;
        memcpy(ret, p, sizeof(*ret));
        if (!head_is_good(c, ret))
                return -EBADMSG;
        r = window_get(c, pos, ret->len + ZL_LOG_OVERHEAD, backward, &p);
        if (r <= 0)
                return r;
        memcpy(&total, p + sizeof(*ret) + ret->len, sizeof(total));
        if (total != ret->len + ZL_LOG_OVERHEAD)
                return -EBADMSG;
        *ret_payload = p + sizeof(*ret);
        return 1;
}

int zl_log_cursor_next(struct zl_log_cursor *cursor, struct zl_log_record *ret,
                       const char **ret_payload)
{
        for (uint64_t pos = cursor->pos;; pos++) {
                int r = record_at(cursor, pos, false, ret, ret_payload);

                if (r == -EBADMSG)
                        continue;
                if (r == 1)
                        cursor->pos = pos + ret->len + ZL_LOG_OVERHEAD;
                return r;
        }
}

int zl_log_cursor_to_end(struct zl_log_cursor *cursor)
{
        struct zl_log_record record;
        const char *payload;
        uint32_t total;
        struct stat st;
        int r;

        if (fstat(cursor->fd, &st) < 0)
                return -errno;
        cursor->pos = sizeof(struct zl_log_file_head);
        if (st.st_size >= (off_t)(sizeof(struct zl_log_file_head) + ZL_LOG_OVERHEAD) &&
            pread(cursor->fd, &total, sizeof(total), st.st_size - 4) == 4 &&
            total >= ZL_LOG_OVERHEAD &&
            total <= st.st_size - (off_t)sizeof(struct zl_log_file_head) &&
            record_at(cursor, (uint64_t)st.st_size - total, true, &record, &payload) == 1 &&
            record.len + ZL_LOG_OVERHEAD == total) {
                cursor->pos = (uint64_t)st.st_size;
                return 0;
        }
        /* Torn or empty: the last good record is found from the front. */
        do
                r = zl_log_cursor_next(cursor, &record, &payload);
        while (r == 1);
        return r;
}

int zl_log_cursor_prev(struct zl_log_cursor *cursor, struct zl_log_record *ret,
                       const char **ret_payload)
{
        const uint64_t first = sizeof(struct zl_log_file_head);
        const char *p;
        uint32_t total;
        int r;

        if (cursor->pos < first + ZL_LOG_OVERHEAD)
                return 0;
        r = window_get(cursor, cursor->pos - 4, 4, true, &p);
        if (r < 0)
                return r;
        if (r == 1) {
                memcpy(&total, p, sizeof(total));
                if (total >= ZL_LOG_OVERHEAD && total <= cursor->pos - first) {
                        r = record_at(cursor, cursor->pos - total, true, ret, ret_payload);
                        if (r == 1 && ret->len + ZL_LOG_OVERHEAD == total) {
                                cursor->pos -= total;
                                return 1;
                        }
                }
        }
        /* Damage before this place: look for a good record byte by byte. */
        for (uint64_t pos = cursor->pos - ZL_LOG_OVERHEAD;; pos--) {
                r = record_at(cursor, pos, true, ret, ret_payload);
                if (r == 1 && pos + ret->len + ZL_LOG_OVERHEAD <= cursor->pos) {
                        cursor->pos = pos;
                        return 1;
                }
                if (r < 0 && r != -EBADMSG)
                        return r;
                if (pos == first)
                        return 0;
        }
}
