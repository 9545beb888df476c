/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs of one container as a stream: lines of JSON, or with "Accept: text/plain" the lines themselves. Opened on a
 * worker; then the loop reads a portion whenever the client has taken the last one, so a slow client holds nothing up, and waits
 * at the log's descriptor when there is nothing yet.
 */
#include <errno.h>

#include "api/handlers.h"
#include "api/views.h"
#include "base/clock.h"

enum { PORTION = 64 * 1024, LINE_MAX_BYTES = 1 << 20 };

struct logs_query {
        bool follow, out, err, times;
        bool has_tail;
        uint32_t tail;
        char *since, *until;
};

static const struct zl_field logs_fields[] = {
        ZL_FIELD(struct logs_query, "follow", follow, zl_type_bool, .def = "false"),
        ZL_FIELD(struct logs_query, "stdout", out, zl_type_bool, .def = "true"),
        ZL_FIELD(struct logs_query, "stderr", err, zl_type_bool, .def = "true"),
        ZL_FIELD(struct logs_query, "timestamps", times, zl_type_bool, .def = "false"),
        ZL_FIELD(struct logs_query, "tail", tail, zl_type_u32, ZL_HAS(struct logs_query, has_tail)),
        ZL_FIELD(struct logs_query, "since", since, zl_type_str, .flags = ZL_OPTIONAL),
        ZL_FIELD(struct logs_query, "until", until, zl_type_str, .flags = ZL_OPTIONAL),
};
const struct zl_type zl_api_logs_query = ZL_TYPE_STRUCT(struct logs_query, "LogsQuery",
                                                        logs_fields);

struct reading {
        struct zl_api *api;
        struct zl_logs *logs;
        struct zl_loop_poll *poll;
        struct zl_api_stream *stream;
        bool text, times;
};

static int parse_bound(struct zl_api_request *rq, const char *text, const char *field, int64_t *ret,
                       struct zl_error *err)
{
        if (!text || zl_parse_rfc3339(text, ret) == 0)
                return 0;
        zl_fail(err, ZL_E_INVALID, 0, "%s: \"%s\" is no time of RFC 3339", field, text);
        zl_api_answer_field(rq, err, field);
        return -EINVAL;
}

static void bounds_of(const struct logs_query *q, struct zl_log_options *ret)
{
        *ret = (struct zl_log_options){
                .follow = q->follow,
                .tail = q->has_tail ? (int64_t)q->tail : -1,
                .no_stdout = !q->out,
                .no_stderr = !q->err,
        };
        /* they were checked in begin() */
        if (q->since)
                zl_parse_rfc3339(q->since, &ret->since);
        if (q->until)
                zl_parse_rfc3339(q->until, &ret->until);
}

int zl_api_logs_begin(struct zl_api_request *rq, struct zl_error *err)
{
        const struct logs_query *q = rq->query;
        int64_t at;
        int r = parse_bound(rq, q->since, "since", &at, err);

        if (r >= 0)
                r = parse_bound(rq, q->until, "until", &at, err);
        return r < 0 ? r : zl_api_fetch_meaning(rq, err);
}

static void drop_logs(void *data)
{
        zl_logs_close(data);
}

int zl_api_logs_work(struct zl_api_request *rq, struct zl_error *err)
{
        char name[ZL_IDENT_NAME_MAX];
        struct zl_log_options options;
        struct zl_logs *logs;
        int r = zl_api_resolve(rq, false, name, err);

        bounds_of(rq->query, &options);
        if (r >= 0)
                r = zl_logs_open(rq->api->rt, name, &options, &logs, err);
        if (r < 0)
                return r;
        rq->drop(rq->data);
        rq->data = logs;
        rq->drop = drop_logs;
        return 0;
}

static int put_json(struct zl_buf *out, const struct zl_log_entry *entry)
{
        char time[ZL_RFC3339_SIZE];
        _cleanup_json_ json_t *o = json_object();
        _cleanup_free_ char *text = NULL;

        if (!o || zl_json_set(o, "time", json_string(zl_format_rfc3339(entry->time, time))) < 0 ||
            zl_json_set(o, "stream", json_string(entry->stream == 2 ? "stderr" : "stdout")) < 0 ||
            zl_json_set(o, "line", zl_json_string_lossy(entry->data, entry->len)) < 0 ||
            (entry->partial && zl_json_set(o, "partial", json_true()) < 0))
                return -ENOMEM;
        text = zl_json_dump(o, 0);
        return text ? zl_buf_putf(out, "%s\n", text) : -ENOMEM;
}

static int put_text(const struct reading *reading, struct zl_buf *out,
                    const struct zl_log_entry *entry)
{
        char time[ZL_RFC3339_SIZE];

        if (reading->times)
                zl_buf_putf(out, "%s ", zl_format_rfc3339(entry->time, time));
        zl_buf_put(out, entry->data, entry->len);
        return entry->partial ? zl_buf_error(out) : zl_buf_putc(out, '\n');
}

static void more(struct zl_api_stream *stream, void *data);

static void on_readable(void *data)
{
        struct reading *reading = data;

        /* Level-triggered: not looked at again before the client has taken what there is. */
        zl_loop_poll_stop(zl_take_ptr(reading->poll));
        more(reading->stream, reading);
}

/* Nothing is there now: the log's descriptor tells when there is. */
static void await_more(struct reading *reading)
{
        if (reading->poll)
                return;
        if (zl_loop_poll_start(reading->api->uv, zl_logs_fd(reading->logs), on_readable, reading,
                               &reading->poll) < 0)
                zl_api_stream_end(reading->stream);
}

/* Puts one portion into the stream. */
static void more(struct zl_api_stream *stream, void *data)
{
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(PORTION + LINE_MAX_BYTES);
        struct reading *reading = data;
        struct zl_log_entry entry;
        int r = 1;

        reading->stream = stream;
        while (r > 0 && out.len < PORTION) {
                r = zl_logs_next(reading->logs, &entry, NULL);
                if (r > 0 &&
                    (reading->text ? put_text(reading, &out, &entry) : put_json(&out, &entry)) < 0)
                        r = -ENOMEM;
        }
        if (out.len > 0)
                zl_api_stream_put(stream, out.data, out.len);
        if (r < 0)
                zl_api_stream_end(stream);
        else if (r == 0 && out.len == 0)
                await_more(reading);
}

static void close_reading(void *data)
{
        struct reading *reading = data;

        zl_loop_poll_stop(reading->poll);
        zl_logs_close(reading->logs);
        free(reading);
}

static const struct zl_api_stream_ops ops = { .more = more, .close = close_reading };

int zl_api_logs_finish(struct zl_api_request *rq, struct zl_error *err)
{
        const struct logs_query *q = rq->query;
        const char *accept = rq->conn ? MHD_lookup_connection_value(rq->conn, MHD_HEADER_KIND,
                                                                    "Accept")
                                      : NULL;
        struct reading *reading = calloc(1, sizeof(*reading));

        if (!reading)
                return zl_fail_oom(err);
        *reading = (struct reading){
                .api = rq->api,
                .logs = zl_take_ptr(rq->data),
                .text = accept && strstr(accept, "text/plain"),
                .times = q->times,
        };
        (void)zl_api_stream_new(
                rq, reading->text ? "text/plain; charset=utf-8" : "application/x-ndjson", &ops,
                reading);
        return 0;
}
