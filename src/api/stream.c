/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers that go on: events, logs, the progress of a pull. Whoever has something puts it into a bounded buffer; MHD
 * takes it from there when the client reads. While there is nothing to send the connection is suspended.
 *
 * A reader that is too slow is cut off when its buffer is full, so it costs at most that; a producer that can wait (logs)
 * is asked for more only when all has been sent, and never fills it.
 */
#include <errno.h>

#include "api/internal.h"

enum { BUFFER_MAX = 4 << 20 };

struct zl_api_stream {
        struct zl_api_request *rq;
        const struct zl_api_stream_ops *ops;
        void *data;
        struct zl_buf out;
        bool ended;
        struct zl_api_stream *next;
};

static void wake(struct zl_api_stream *stream)
{
        zl_api_resume(stream->rq);
}

int zl_api_stream_put(struct zl_api_stream *stream, const void *data, size_t len)
{
        if (stream->ended)
                return -EPIPE;
        if (zl_buf_put(&stream->out, data, len) < 0) {
                stream->ended = true;
                wake(stream);
                return -E2BIG;
        }
        wake(stream);
        return 0;
}

void zl_api_stream_end(struct zl_api_stream *stream)
{
        stream->ended = true;
        wake(stream);
}

void zl_api_stream_end_all(struct zl_api *api)
{
        for (struct zl_api_stream *s = api->streams, *next; s; s = next) {
                next = s->next;
                zl_api_stream_end(s);
        }
}

static ssize_t on_read(void *data, uint64_t pos, char *buf, size_t max)
{
        struct zl_api_stream *stream = data;
        size_t n;

        (void)pos;
        if (stream->rq->gone || zl_buf_error(&stream->out) < 0)
                return MHD_CONTENT_READER_END_WITH_ERROR;
        if (stream->out.len == 0 && !stream->ended && stream->ops->more)
                stream->ops->more(stream, stream->data);
        n = ZL_MIN(stream->out.len, max);
        if (n > 0) {
                memcpy(buf, stream->out.data, n);
                zl_buf_consume(&stream->out, n);
                return (ssize_t)n;
        }
        if (stream->ended)
                return MHD_CONTENT_READER_END_OF_STREAM;
        zl_api_suspend(stream->rq);
        return 0;
}

static void on_free(void *data)
{
        struct zl_api_stream *stream = data, **at = &stream->rq->api->streams;

        while (*at != stream)
                at = &(*at)->next;
        *at = stream->next;
        if (stream->ops->close)
                stream->ops->close(stream->data);
        zl_buf_done(&stream->out);
        zl_api_unref(stream->rq);
        free(stream);
}

struct zl_api_stream *zl_api_stream_new(struct zl_api_request *rq, const char *type,
                                        const struct zl_api_stream_ops *ops, void *data)
{
        struct zl_api_stream *stream = calloc(1, sizeof(*stream));
        struct MHD_Response *response;

        if (stream) {
                *stream = (struct zl_api_stream){
                        .rq = zl_api_ref(rq),
                        .ops = ops,
                        .data = data,
                        .out = ZL_BUF_INIT(BUFFER_MAX),
                        .next = rq->api->streams,
                };
                rq->api->streams = stream;
                response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16 * 1024, on_read,
                                                             stream, on_free);
                if (response) {
                        MHD_add_response_header(response, "Content-Type", type);
                        MHD_add_response_header(response, "Cache-Control", "no-store");
                        zl_api_answer(rq, 200, response);
                        return stream;
                }
                on_free(stream);
        } else if (ops->close) {
                ops->close(data);
        }
        zl_api_answer(rq, 500, NULL);
        return NULL;
}
