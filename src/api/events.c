/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of events: first what the store has, in portions as the client reads, then what happens. While a stream
 * still reads from the store nothing is pushed to it: the store gets every event first, so it finds them there and
 * nothing is missed or told twice.
 */
#include <errno.h>

#include "agent/event.h"
#include "api/handlers.h"
#include "base/clock.h"

enum { ROWS_AT_ONCE = 500 };

struct events_query {
        bool follow, has_after;
        int64_t after;
        char *since, *name;
};

static const struct zl_field events_fields[] = {
        ZL_FIELD(struct events_query, "follow", follow, zl_type_bool, .def = "false"),
        ZL_FIELD(struct events_query, "after", after, zl_type_i64,
                 ZL_HAS(struct events_query, has_after)),
        ZL_FIELD(struct events_query, "since", since, zl_type_str, .flags = ZL_OPTIONAL),
        ZL_FIELD(struct events_query, "name", name, zl_type_str, .flags = ZL_OPTIONAL),
};
const struct zl_type zl_api_events_query = ZL_TYPE_STRUCT(struct events_query, "EventsQuery",
                                                          events_fields);

struct zl_api_events {
        struct zl_api *api;
        struct zl_api_stream *stream;
        const struct events_query *q; /* the request's, which the stream keeps */
        bool sse, live;
        int64_t after, since;
        int n_rows, n_sent; /* of one portion */
        struct zl_api_events *next;
};

/* "shop" means "shop.web.1" too. */
static bool is_wanted(const struct zl_api_events *e, const char *name)
{
        const char *rest = e->q->name ? zl_startswith(name, e->q->name) : NULL;

        return !e->q->name || (rest && (*rest == 0 || *rest == '.'));
}

static int put(struct zl_api_events *e, int64_t seq, const char *json)
{
        _cleanup_buf_ struct zl_buf line = ZL_BUF_INIT(1 << 20);

        if (e->sse)
                zl_buf_putf(&line, "id: %lld\ndata: %s\n\n", (long long)seq, json);
        else
                zl_buf_putf(&line, "%s\n", json);
        return zl_buf_error(&line) < 0 ? 0 : zl_api_stream_put(e->stream, line.data, line.len);
}

static int each_row(int64_t seq, int64_t time, const char *json, void *data)
{
        struct zl_api_events *e = data;
        _cleanup_json_ json_t *o = NULL;

        if (e->n_rows++ >= ROWS_AT_ONCE)
                return -EAGAIN;
        e->after = seq;
        if (time < e->since)
                return 0;
        if (e->q->name && (zl_json_parse(json, strlen(json), "event", &o, NULL) < 0 ||
                           !is_wanted(e, zl_json_str(o, "name", ""))))
                return 0;
        e->n_sent++;
        return put(e, seq, json);
}

static void more(struct zl_api_stream *stream, void *data)
{
        struct zl_api_events *e = data;
        int64_t before = INT64_MIN, last;
        int r = -EAGAIN;

        /* A portion may hold nothing that is wanted. */
        while (!e->live && r == -EAGAIN && before != e->after) {
                before = e->after;
                e->n_rows = e->n_sent = 0;
                r = zl_store_read_events(zl_manager_store(e->api->manager), e->after, each_row, e,
                                         &last, NULL);
                if (r == -EAGAIN && e->n_sent > 0)
                        return;
        }
        if (r < 0 && !e->live) {
                zl_api_stream_end(stream);
                return;
        }
        e->live = true;
        if (!e->q->follow)
                zl_api_stream_end(stream);
}

static void close_events(void *data)
{
        struct zl_api_events *e = data, **at = &e->api->events;

        while (*at != e)
                at = &(*at)->next;
        *at = e->next;
        free(e);
}

static const struct zl_api_stream_ops ops = { .more = more, .close = close_events };

void zl_api_event(struct zl_api *api, const struct zl_event *event)
{
        _cleanup_free_ char *text = NULL;
        struct zl_api_events *next;

        for (struct zl_api_events *e = api->events; e; e = next) {
                next = e->next;
                if (!e->live || !is_wanted(e, event->name) || event->time < e->since)
                        continue;
                if (!text) {
                        _cleanup_json_ json_t *o = zl_event_to_json(event);

                        text = o ? zl_json_dump(o, 0) : NULL;
                }
                if (text)
                        put(e, event->seq, text);
        }
}

static int take_bounds(struct zl_api_request *rq, struct zl_api_events *e, struct zl_error *err)
{
        const struct events_query *q = rq->query;
        const char *last = MHD_lookup_connection_value(rq->conn, MHD_HEADER_KIND, "Last-Event-ID");
        int r;

        if (q->since && zl_parse_rfc3339(q->since, &e->since) < 0) {
                r = zl_fail(err, ZL_E_INVALID, 0, "since: \"%s\" is no time of RFC 3339", q->since);
                zl_api_answer_field(rq, err, "since");
                return r;
        }
        if (q->has_after || last) {
                e->after = q->has_after ? q->after : strtoll(last, NULL, 10);
                return 0;
        }
        /* Without a beginning a follower gets what comes, others all that is kept. */
        e->live = q->follow && !q->since;
        return 0;
}

int zl_api_events(struct zl_api_request *rq, struct zl_error *err)
{
        const char *accept = MHD_lookup_connection_value(rq->conn, MHD_HEADER_KIND, "Accept");
        struct zl_api_events *e = calloc(1, sizeof(*e));
        int r;

        if (!e)
                return zl_fail_oom(err);
        e->api = rq->api;
        e->q = rq->query;
        e->sse = accept && strstr(accept, "text/event-stream");
        r = take_bounds(rq, e, err);
        if (r < 0) {
                free(e);
                return r;
        }
        e->next = rq->api->events;
        rq->api->events = e;
        e->stream = zl_api_stream_new(rq, e->sse ? "text/event-stream" : "application/x-ndjson",
                                      &ops, e);
        return 0;
}
