/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workload's streams. Output: one read(), one log record, one or more frames to each who is attached. Input: what
 * those attached send, as fast as the workload takes it.
 *
 * A client that is attached and does not keep up makes the drain wait (so that a fast `cat` does not throw out its own
 * terminal), but only as long as it takes at least TAKE_MIN bytes in each STALL; then it is dropped, with a notice behind
 * what it has not read yet. So a client can slow the workload down to 128 KiB/s, and stop it for two seconds once.
 */
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "monitor/server.h"

/* ---- output ---------------------------------------------------------------------------------------------- */

static bool is_behind(const struct zl_conn *conn)
{
        return !conn->dead && conn->role == ZL_CONN_ATTACHED &&
               conn->queue.len >= ZL_SERVER_STALL_AT;
}

static void watch_outputs(struct zl_server *s, uint32_t events)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(s->outputs); i++)
                zl_source_set(s, &s->outputs[i].source, events);
}

static void begin_stall_period(struct zl_server *s)
{
        for (struct zl_conn *c = s->conns; c; c = c->next)
                c->taken = 0;
        s->stall_at = zl_now_monotonic() + ZL_SERVER_STALL_NSEC;
}

static void drop_slow(struct zl_server *s, struct zl_conn *conn)
{
        zl_wire_begin(&s->message, ZL_WIRE_DROPPED, 0);
        zl_conn_send(s, conn);
        conn->role = ZL_CONN_CLOSING;
        zl_conn_update(s, conn);
}

/* `now` 0: only look whether the wait is over. */
void zl_server_check_stall(struct zl_server *s, int64_t now)
{
        bool behind = false;

        for (struct zl_conn *c = s->conns; c; c = c->next) {
                if (!is_behind(c))
                        continue;
                if (now && s->stall_at <= now && c->taken < ZL_SERVER_TAKE_MIN)
                        drop_slow(s, c);
                else
                        behind = true;
        }
        if (!behind) {
                s->stalled = false;
                s->stall_at = 0;
                watch_outputs(s, EPOLLIN);
        } else if (now && s->stall_at <= now) {
                begin_stall_period(s);
        }
}

static void spread(struct zl_server *s, int stream, const char *data, size_t len)
{
        bool behind = false;

        for (struct zl_conn *c = s->conns; c; c = c->next) {
                if (c->dead || c->role != ZL_CONN_ATTACHED)
                        continue;
                zl_conn_send_output(s, c, stream, data, len);
                behind = behind || is_behind(c);
        }
        /* The rest of a dead workload's output is bounded by its pipes: no wait any more. */
        if (behind && !s->stalled && s->phase < ZL_LIFE_DEAD) {
                s->stalled = true;
                watch_outputs(s, 0);
                begin_stall_period(s);
        }
}

/* One chunk. 1: some was read; 0: nothing now; -ENODATA: the end. */
static int read_output(struct zl_server *s, struct zl_output *output)
{
        ssize_t n;

        do
                n = read(output->source.fd, s->scratch, ZL_LOG_PAYLOAD_MAX);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno == EAGAIN)
                return 0;
        /* A terminal whose other side is closed gives EIO. */
        if (n <= 0)
                return -ENODATA;
        s->dirty = true;
        if (s->logs)
                zl_log_writer_put(&s->log, output->stream, s->scratch, (uint32_t)n);
        if (s->conns)
                spread(s, output->stream, s->scratch, (size_t)n);
        return 1;
}

void zl_output_ready(struct zl_server *s, struct zl_source *source, uint32_t events)
{
        struct zl_output *output = (struct zl_output *)source;

        if (read_output(s, output) != -ENODATA)
                return;
        zl_source_close(s, source);
        if (s->phase == ZL_LIFE_DEAD)
                zl_server_try_finish(s);
}

bool zl_server_drain(struct zl_server *s)
{
        bool all = true;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(s->outputs); i++) {
                struct zl_output *output = &s->outputs[i];
                int r = 1;

                while (output->source.fd >= 0 && r > 0)
                        r = read_output(s, output);
                if (r == -ENODATA)
                        zl_source_close(s, &output->source);
                else if (output->source.fd >= 0)
                        all = zl_source_set(s, &output->source, EPOLLIN) < 0;
        }
        return all;
}

void zl_server_close_outputs(struct zl_server *s)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(s->outputs); i++)
                zl_source_close(s, &s->outputs[i].source);
        zl_source_close(s, &s->input);
        zl_buf_done(&s->input_queue);
        for (struct zl_conn *c = s->conns; c; c = c->next) {
                if (c->dead || c->role != ZL_CONN_ATTACHED)
                        continue;
                zl_wire_begin(&s->message, ZL_WIRE_END, 0);
                zl_conn_send(s, c);
        }
}

int zl_server_resize(struct zl_server *s, uint32_t rows, uint32_t cols, struct zl_error *err)
{
        struct winsize size = { .ws_row = (uint16_t)rows, .ws_col = (uint16_t)cols };

        if (!s->terminal || s->outputs[0].source.fd < 0)
                return zl_fail(err, ZL_E_STATE, 0, "%s has no terminal", s->name);
        if (ioctl(s->outputs[0].source.fd, TIOCSWINSZ, &size) < 0)
                return zl_fail_errno(err, errno, "cannot resize the terminal of %s", s->name);
        return 0;
}

/* ---- input ----------------------------------------------------------------------------------------------- */

static void update_attached(struct zl_server *s)
{
        for (struct zl_conn *c = s->conns; c; c = c->next) {
                if (c->role == ZL_CONN_ATTACHED)
                        zl_conn_update(s, c);
        }
}

static void stop_input(struct zl_server *s)
{
        zl_source_close(s, &s->input);
        zl_buf_done(&s->input_queue);
        s->input_ends = true;
}

/* The end of input: a pipe is closed, on a terminal the end-of-file character is typed. */
static void end_input(struct zl_server *s)
{
        struct termios t;
        char eof = 4;

        if (!s->terminal) {
                stop_input(s);
                return;
        }
        s->input_ends = false;
        if (tcgetattr(s->input.fd, &t) == 0)
                eof = (char)t.c_cc[VEOF];
        while (write(s->input.fd, &eof, 1) < 0 && errno == EINTR)
                ;
}

static void push_input(struct zl_server *s)
{
        while (s->input_queue.len > 0) {
                ssize_t n = write(s->input.fd, s->input_queue.data, s->input_queue.len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0) {
                        /* Nobody reads any more: the rest is dropped, like a shell's pipe does. */
                        stop_input(s);
                        break;
                }
                zl_buf_consume(&s->input_queue, (size_t)n);
        }
        if (s->input_queue.len == 0) {
                zl_buf_done(&s->input_queue);
                if (s->input_ends && s->input.fd >= 0)
                        end_input(s);
        }
        zl_source_set(s, &s->input, s->input_queue.len ? EPOLLOUT : 0);
}

void zl_input_ready(struct zl_server *s, struct zl_source *source, uint32_t events)
{
        push_input(s);
        if (s->input_queue.len == 0)
                update_attached(s);
}

void zl_server_input(struct zl_server *s, const char *data, size_t len)
{
        if (s->input.fd < 0 || (s->input_ends && !s->terminal))
                return;
        if (len == 0)
                s->input_ends = true;
        if (zl_buf_put(&s->input_queue, data, len) < 0) {
                stop_input(s);
                return;
        }
        push_input(s);
        if (s->input_queue.len > 0) {
                s->dirty = true;
                update_attached(s);
        }
}
