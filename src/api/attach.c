/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The streams of a workload that runs, joined to a connection ("Upgrade: zlayer-stream", docs/api.md). The same frames as
 * for a command; the exit code comes when the workload has ended. The client's end is not that of the workload's input, which may
 * be somebody else's, too: only an empty frame of input closes that.
 *
 * Writing to a workload could block while it does not read. So it is done in small pieces, when its descriptor says that there is
 * room. A signal is sent by a worker, since a monitor is asked.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "api/handlers.h"
#include "api/session.h"
#include "api/views.h"

struct attach_query {
        uint16_t rows, cols;
};

static const struct zl_field attach_fields[] = {
        ZL_FIELD(struct attach_query, "rows", rows, zl_type_u16, .def = "0"),
        ZL_FIELD(struct attach_query, "cols", cols, zl_type_u16, .def = "0"),
};
const struct zl_type zl_api_attach_query = ZL_TYPE_STRUCT(struct attach_query, "AttachQuery",
                                                          attach_fields);

struct attach_session {
        struct zl_api_session base; /* first */
        struct zl_attach *attach;
        struct zl_watch *watch;
        char name[ZL_IDENT_NAME_MAX];
        bool resized;        /* to `rows` and `cols`, and it has not been told */
        bool input_is_ended; /* it has been told */
        uint16_t rows, cols;
};

static struct attach_session *attach_of(struct zl_api_session *s)
{
        return (struct attach_session *)s;
}

static void free_attach(struct zl_api_session *s)
{
        if (attach_of(s)->attach)
                zl_attach_close(attach_of(s)->attach);
        if (attach_of(s)->watch)
                zl_watch_close(attach_of(s)->watch);
        free(s);
}

/* ---- what the workload writes -------------------------------------------------------------------------------------- */

static void take_output(struct zl_api_session *s, enum zl_api_which which)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        const char *data;
        size_t len;
        int stream, r = 1;

        while (r > 0 && s->ends[which].fd >= 0 && s->out[0].len < ZL_API_QUEUE_HIGH) {
                r = zl_attach_next(attach_of(s)->attach, &stream, &data, &len, &err);
                if (r > 0)
                        zl_api_session_put(s, stream == 2 ? ZL_FRAME_STDERR : ZL_FRAME_STDOUT, data,
                                           len);
        }
        if (r == -ENODATA)
                zl_api_session_close(s, which);
        else if (r < 0)
                zl_api_session_end(s); /* cut off: without an exit code the client knows */
}

static void take_end(struct zl_api_session *s)
{
        struct zl_status status = { 0 };
        int r;

        while (!s->ended && (r = zl_watch_next(attach_of(s)->watch, &status, NULL)) != 0) {
                s->ended = r < 0 || status.state == ZL_STATE_EXITED ||
                           status.state == ZL_STATE_FAILED;
                s->exit_code = r < 0 || status.exit_code < 0 ? 125 : status.exit_code;
                zl_status_done(&status);
        }
        if (!s->ended)
                return;
        zl_api_session_close(s, ZL_END_DONE);
        take_output(s, ZL_END_OUT);
}

/* ---- what the client writes ------------------------------------------------------------------------------------------- */

static bool has_room(const struct zl_api_session *s)
{
        struct pollfd p = { .fd = s->ends[ZL_END_OUT].fd, .events = POLLOUT };

        return p.fd >= 0 && poll(&p, 1, 0) > 0 && (p.revents & POLLOUT);
}

static void give_input(struct zl_api_session *s)
{
        struct attach_session *a = attach_of(s);
        int r = 0;

        if (a->resized && has_room(s)) {
                (void)zl_attach_resize(a->attach, a->rows, a->cols, NULL);
                a->resized = false;
        }
        while (r >= 0 && s->in.len > 0 && has_room(s)) {
                size_t n = ZL_MIN(s->in.len, (size_t)ZL_API_CHUNK);

                r = zl_attach_write(a->attach, s->in.data, n, NULL);
                zl_buf_consume(&s->in, n);
        }
        if (r < 0 || s->ends[ZL_END_OUT].fd < 0)
                zl_buf_reset(&s->in); /* nobody reads it */
        if (s->in.len == 0 && s->input_over && !a->input_is_ended && has_room(s)) {
                (void)zl_attach_write(a->attach, NULL, 0, NULL);
                a->input_is_ended = true;
        }
}

struct signal_task {
        struct zl_task task; /* first */
        struct zl_runtime *rt;
        char name[ZL_IDENT_NAME_MAX];
        int sig;
};

static void send_signal(struct zl_task *task)
{
        struct signal_task *t = (struct signal_task *)task;

        /* It may have ended this instant. */
        (void)zl_runtime_kill(t->rt, t->name, t->sig, false, NULL);
}

static void signal_sent(struct zl_task *task)
{
        free(task);
}

static void begin_signal(struct zl_api_session *s, int sig)
{
        struct signal_task *t = calloc(1, sizeof(*t));

        if (!t)
                return;
        *t = (struct signal_task){ .task = { .run = send_signal, .done = signal_sent },
                                   .rt = s->api->rt,
                                   .sig = sig };
        snprintf(t->name, sizeof(t->name), "%s", attach_of(s)->name);
        zl_pool_submit(zl_manager_pool(s->api->manager), &t->task);
}

static void take_frame(struct zl_api_session *s, enum zl_api_frame type, const unsigned char *data,
                       size_t len)
{
        struct attach_session *a = attach_of(s);

        if (type == ZL_FRAME_STDIN && len == 0)
                s->input_over = true;
        else if (type == ZL_FRAME_STDIN && !s->input_over)
                zl_buf_put(&s->in, data, len);
        else if (type == ZL_FRAME_SIGNAL && len == 1 && !s->ended)
                begin_signal(s, data[0]);
        if (type != ZL_FRAME_RESIZE || len != 4)
                return;
        a->rows = (uint16_t)(data[0] << 8 | data[1]);
        a->cols = (uint16_t)(data[2] << 8 | data[3]);
        a->resized = true;
}

/* ---- beginning ------------------------------------------------------------------------------------------------------------ */

static int open_ends(struct zl_api_session *s)
{
        int r = zl_api_session_open(s, ZL_END_DONE, zl_watch_fd(attach_of(s)->watch), true);

        return r < 0 ? r
                     : zl_api_session_open(s, ZL_END_OUT, zl_attach_fd(attach_of(s)->attach), true);
}

int zl_api_attach_begin(struct zl_api_request *rq, struct zl_error *err)
{
        if (!zl_api_wants_stream(rq)) {
                zl_fail(err, ZL_E_INVALID, 0,
                        "Upgrade: the streams of a container need a connection of their own");
                zl_error_hint(err, "send Connection: Upgrade and Upgrade: zlayer-stream");
                zl_api_answer_field(rq, err, "Upgrade");
                return -EINVAL;
        }
        return zl_api_fetch_meaning(rq, err);
}

int zl_api_attach_work(struct zl_api_request *rq, struct zl_error *err)
{
        static const struct zl_api_session_ops ops = { .open = open_ends,
                                                       .take_output = take_output,
                                                       .take_end = take_end,
                                                       .give_input = give_input,
                                                       .take_frame = take_frame,
                                                       .free = free_attach };
        const struct attach_query *q = rq->query;
        struct attach_session *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return zl_fail_oom(err);
        s->rows = q->rows;
        s->cols = q->cols;
        s->resized = q->rows > 0 && q->cols > 0;
        r = zl_api_resolve(rq, true, s->name, err);
        if (r >= 0)
                r = zl_attach_open(rq->api->rt, s->name, &s->attach, err);
        if (r >= 0)
                r = zl_watch_open(rq->api->rt, s->name, &s->watch, err);
        if (r < 0) {
                free_attach(&s->base);
                return r;
        }
        zl_api_session_hold(&s->base, rq, &ops);
        return 0;
}

int zl_api_attach_finish(struct zl_api_request *rq, struct zl_error *err)
{
        zl_api_session_init(rq);
        return zl_api_session_begin(rq->data, err);
}
