/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last N lines, found backwards: the work depends on N and not on the size of the log.
 *
 * Records are counted from the end by the newlines in them. The place found must not lie within a line that is wanted:
 * a record may begin in the middle of one (CONTINUES), whose begin is in an earlier record of the same stream. So the
 * walk goes on until the first line of each stream is either whole or among those that will be skipped. For lines of
 * enormous length it gives up after EXTRA_MAX bytes and shows the rest of the line that it has.
 */
#include "monitor/log_tail.h"

#include "monitor/log_writer.h"

enum { EXTRA_MAX = 4 * 1024 * 1024 };

struct walk {
        uint64_t want, count, extra;
        bool met[3];       /* by stream: has a record in the part walked over */
        bool open[3];      /* its first line begins before */
        uint64_t after[3]; /* entries from its first record with a newline on */
};

bool zl_log_tail_wants(const struct zl_log_reader_options *options,
                       const struct zl_log_record *record)
{
        if (options->since > 0 && record->time < options->since)
                return false;
        if (options->until > 0 && record->time > options->until)
                return false;
        switch (record->type) {
        case ZL_LOG_STDOUT:
                return !options->no_stdout && record->len > 0;
        case ZL_LOG_STDERR:
                return !options->no_stderr && record->len > 0;
        case ZL_LOG_NOTICE:
                return !options->no_stderr;
        default:
                return false;
        }
}

static uint64_t count_newlines(const char *data, size_t len)
{
        const char *end = data + len;
        uint64_t n = 0;

        while ((data = memchr(data, '\n', (size_t)(end - data)))) {
                n++;
                data++;
        }
        return n;
}

/* Counts a record; true if the walk may stop at its begin. */
static bool walk_record(struct walk *walk, const struct zl_log_record *record, const char *payload)
{
        uint64_t n = 1;
        int s = record->type;

        if (s != ZL_LOG_NOTICE) {
                n = count_newlines(payload, record->len);
                if (!walk->met[s] && (record->flags & ZL_LOG_PARTIAL))
                        walk->count++; /* the unfinished line at the end is an entry, too */
                walk->met[s] = true;
                walk->open[s] = record->flags & ZL_LOG_CONTINUES;
        }
        walk->count += n;
        if (s != ZL_LOG_NOTICE && n > 0)
                walk->after[s] = walk->count;
        if (walk->count < walk->want)
                return false;
        walk->extra += record->len;
        if (walk->extra > EXTRA_MAX)
                return true;
        for (s = ZL_LOG_STDOUT; s <= ZL_LOG_STDERR; s++) {
                if (walk->open[s] && walk->after[s] <= walk->want)
                        return false;
        }
        return true;
}

/* Walks one file from its end. 1: found; 0: its begin was reached. */
static int walk_file(struct zl_log_cursor *cursor, struct zl_log_tail *tail, struct walk *walk)
{
        struct zl_log_record record;
        const char *payload;
        int r = zl_log_cursor_to_end(cursor);

        if (r < 0)
                return r;
        if (walk->want == 0)
                return 1;
        for (;;) {
                r = zl_log_cursor_prev(cursor, &record, &payload);
                if (r <= 0)
                        return r;
                if (tail->options->since > 0 && record.time < tail->options->since)
                        return 1;
                if (zl_log_tail_wants(tail->options, &record) &&
                    walk_record(walk, &record, payload))
                        return 1;
        }
}

int zl_log_tail_seek(struct zl_log_cursor *cursor, int log_dir_fd, struct zl_log_tail *tail)
{
        struct walk walk = { .want = tail->want };
        uint32_t first, last;
        int r;

        tail->skip = 0;
        r = zl_log_file_range(log_dir_fd, &first, &last);
        if (r < 0 || !last)
                return r;
        for (uint32_t number = last; number >= first; number--) {
                r = zl_log_cursor_open(cursor, log_dir_fd, number);
                if (r == -ENOENT || r == -EBADMSG)
                        continue;
                if (r == 0)
                        r = walk_file(cursor, tail, &walk);
                if (r < 0)
                        return r;
                if (r == 1)
                        break;
        }
        tail->skip = walk.count > walk.want ? walk.count - walk.want : 0;
        return 0;
}
