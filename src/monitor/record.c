/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing the exit record. The text is made by hand: the monitor does not link a JSON library for one small document.
 * Reading is in record_load.c, which the monitor does not link.
 */
#include "monitor/record.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/parse.h"

enum { DOCUMENT_MAX = 64 * 1024, REASON_MAX = 4096, BLANK_SIZE = 4096 };

void zl_exit_record_done(struct zl_exit_record *record)
{
        free(record->reason);
        *record = ZL_EXIT_RECORD_INIT;
}

static void put_string(struct zl_buf *buf, const char *s)
{
        size_t len = strnlen(s, REASON_MAX);
        bool utf8;

        while (len > 0 && len == REASON_MAX && ((unsigned char)s[len] & 0xc0) == 0x80)
                len--;
        utf8 = zl_utf8_is_valid(s, len);
        zl_buf_putc(buf, '"');
        for (size_t i = 0; i < len; i++) {
                unsigned char c = (unsigned char)s[i];

                if (c == '"' || c == '\\')
                        zl_buf_putf(buf, "\\%c", c);
                else if (c < 0x20 || c == 0x7f)
                        zl_buf_putf(buf, "\\u%04x", c);
                else if (c >= 0x80 && !utf8)
                        zl_buf_putc(buf, '?');
                else
                        zl_buf_putc(buf, (char)c);
        }
        zl_buf_putc(buf, '"');
}

static void put_time(struct zl_buf *buf, const char *name, int64_t time)
{
        char text[ZL_RFC3339_SIZE];

        if (time > 0)
                zl_buf_putf(buf, ",\n  \"%s\": \"%s\"", name, zl_format_rfc3339(time, text));
}

static const char *bool_text(bool b)
{
        return b ? "true" : "false";
}

/* ---- a file that was made ahead ---------------------------------------------------------------------------------- */

static int sync_dir(int dir, const char *path)
{
        _cleanup_close_ int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int zl_exit_record_prepare(int state_dir_fd)
{
        _cleanup_close_ int fd = openat(state_dir_fd, ZL_EXIT_RECORD_NAME,
                                        O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        char blank[BLANK_SIZE];
        int r;

        if (fd < 0)
                return -errno;
        memset(blank, ' ', sizeof(blank));
        r = zl_write_full(fd, blank, sizeof(blank));
        if (r == 0 && (fchmod(fd, 0640) < 0 || fsync(fd) < 0))
                r = -errno;
        return r < 0 ? r : sync_dir(state_dir_fd, ".");
}

/* A descriptor, or a negative errno if there is none that is blank. */
static int open_blank(int state_dir_fd)
{
        _cleanup_close_ int fd = openat(state_dir_fd, ZL_EXIT_RECORD_NAME,
                                        O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        char first;

        if (fd < 0)
                return -errno;
        return pread(fd, &first, 1, 0) == 1 && first == ' ' ? zl_take_fd(fd) : -EEXIST;
}

/* In one write, into a block that the disk has: a reader, or the disk after a power cut, has all of it or a blank. The directory may have been
 * renamed since that was made; whoever did so has mostly waited for it meanwhile. */
static int fill_blank(int fd, int state_dir_fd, const struct zl_buf *buf)
{
        ssize_t n = pwrite(fd, buf->data, buf->len, 0);

        if (n < 0 || fdatasync(fd) < 0)
                return -errno;
        return (size_t)n == buf->len ? sync_dir(state_dir_fd, "..") : -EIO;
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

static int put_record(int state_dir_fd, const struct zl_buf *buf)
{
        _cleanup_close_ int blank = buf->len < BLANK_SIZE ? open_blank(state_dir_fd) : -EFBIG;

        if (blank >= 0)
                return fill_blank(blank, state_dir_fd, buf);
        return zl_write_file_at(state_dir_fd, ZL_EXIT_RECORD_NAME, buf->data, buf->len, 0640,
                                ZL_WRITE_SYNC);
}

int zl_exit_record_save(int state_dir_fd, const struct zl_exit_record *record, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf buf = ZL_BUF_INIT(DOCUMENT_MAX);
        int r;

        zl_buf_putf(&buf, "{\n  \"version\": 1,\n  \"generation\": %" PRIu32, record->generation);
        zl_buf_putf(&buf, ",\n  \"exit_code\": %d,\n  \"signal\": %d", record->exit_code,
                    record->signal);
        zl_buf_putf(&buf, ",\n  \"oom\": %s,\n  \"stop_requested\": %s,\n  \"failed\": %s",
                    bool_text(record->oom), bool_text(record->stop_requested),
                    bool_text(record->failed));
        if (record->reason) {
                zl_buf_puts(&buf, ",\n  \"reason\": ");
                put_string(&buf, record->reason);
        }
        put_time(&buf, "created_at", record->created_at);
        put_time(&buf, "started_at", record->started_at);
        put_time(&buf, "finished_at", record->finished_at);
        zl_buf_putf(&buf, ",\n  \"memory_peak\": %" PRIu64 ",\n  \"cpu_usec\": %" PRIu64,
                    record->memory_peak, record->cpu_usec);
        zl_buf_putf(&buf,
                    ",\n  \"oom_kills\": %" PRIu64 ",\n  \"log_bytes\": %" PRIu64
                    ",\n  \"log_dropped\": %" PRIu64 "\n}\n",
                    record->oom_kills, record->log_bytes, record->log_dropped);
        if (zl_buf_error(&buf))
                return zl_fail_oom(err);
        r = put_record(state_dir_fd, &buf);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot write the exit record %s",
                                     ZL_EXIT_RECORD_NAME);
        return 0;
}

int zl_exit_record_remove(int state_dir_fd, struct zl_error *err)
{
        _cleanup_close_ int blank = open_blank(state_dir_fd);

        if (blank >= 0)
                return 0;
        if (unlinkat(state_dir_fd, ZL_EXIT_RECORD_NAME, 0) < 0 && errno != ENOENT)
                return zl_fail_errno(err, errno, "cannot remove the old exit record %s",
                                     ZL_EXIT_RECORD_NAME);
        return 0;
}
