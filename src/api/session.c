/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See session.h. A client that does not read is not read for: the other side waits in its write, as at any pipe. The order of things
 * in a turn matters: input first, since it may end the input; then the end, which may put the last frame; then the client.
 */
#include "api/session.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

enum {
        HEADER = 8,
        LINGER_MSEC = 100, /* for what a child of the command, that has ended, still writes */
};

/* ---- descriptors ------------------------------------------------------------------------------------------------ */

static void on_event(uv_poll_t *poll, int status, int events);

static void free_session(struct zl_api_session *s)
{
        for (int i = 0; i < 2; i++)
                zl_buf_done(&s->out[i]);
        zl_buf_done(&s->in);
        zl_buf_done(&s->frames);
        s->ops->free(s);
}

static void on_closed(uv_handle_t *handle)
{
        struct zl_api_session *s = handle->data;

        if (--s->n_handles == 0)
                free_session(s);
}

static void watch(struct zl_api_session *s, enum zl_api_which which, int events)
{
        struct zl_api_end *end = &s->ends[which];

        if (!end->open || end->events == events)
                return;
        end->events = events;
        if (events)
                uv_poll_start(&end->poll, events, on_event);
        else
                uv_poll_stop(&end->poll);
}

void zl_api_session_close(struct zl_api_session *s, enum zl_api_which which)
{
        struct zl_api_end *end = &s->ends[which];

        if (end->open) {
                end->open = false;
                uv_close((uv_handle_t *)&end->poll, on_closed);
        }
        end->fd = end->shared ? -EBADF : zl_close(end->fd);
}

int zl_api_session_open(struct zl_api_session *s, enum zl_api_which which, int fd, bool shared)
{
        struct zl_api_end *end = &s->ends[which];
        int r;

        end->fd = fd;
        end->shared = shared;
        r = uv_poll_init(s->api->uv, &end->poll, fd);
        if (r < 0)
                return r;
        end->poll.data = s;
        end->open = true;
        s->n_handles++;
        return 0;
}

void zl_api_session_end(struct zl_api_session *s)
{
        struct zl_api_session **at = &s->api->sessions;

        if (s->closing)
                return;
        s->closing = true;
        while (*at && *at != s)
                at = &(*at)->next;
        if (*at)
                *at = s->next;
        for (int i = 0; i < ZL_N_ENDS; i++)
                zl_api_session_close(s, (enum zl_api_which)i);
        if (s->upgrade)
                MHD_upgrade_action(s->upgrade, MHD_UPGRADE_ACTION_CLOSE);
        if (s->rq) {
                s->rq->on_gone = NULL;
                s->rq->data = NULL;
                if (s->holds)
                        zl_api_unref(s->rq);
        }
        uv_close((uv_handle_t *)&s->linger, on_closed);
        zl_api_kick(s->api);
}

void zl_api_session_put(struct zl_api_session *s, enum zl_api_frame type, const void *data,
                        size_t len)
{
        const unsigned char header[HEADER] = { (unsigned char)type,
                                               0,
                                               0,
                                               0,
                                               (unsigned char)(len >> 24),
                                               (unsigned char)(len >> 16),
                                               (unsigned char)(len >> 8),
                                               (unsigned char)len };

        zl_buf_put(&s->out[0], header, sizeof(header));
        zl_buf_put(&s->out[0], data, len);
}

static void on_linger(uv_timer_t *timer);
static void turn(struct zl_api_session *s);

/* Ends it if all is told; a child that holds the outputs open does not keep it. */
static void check_end(struct zl_api_session *s, bool hurry)
{
        bool silent = s->ends[ZL_END_OUT].fd < 0 && s->ends[ZL_END_ERR].fd < 0;
        unsigned char code[4] = { 0, 0, 0, (unsigned char)s->exit_code };

        if (!s->ended || s->closing)
                return;
        if (!silent && !hurry) {
                /* The pipe may hold more for a client that is slow. */
                if (!(s->streams && s->out[0].len > 0) && !uv_is_active((uv_handle_t *)&s->linger))
                        uv_timer_start(&s->linger, on_linger, LINGER_MSEC, 0);
                return;
        }
        if (!s->streams) {
                s->ops->answer(s);
                return;
        }
        if (!s->told)
                zl_api_session_put(s, ZL_FRAME_EXIT, code, sizeof(code));
        s->told = true;
        if (s->out[0].len == 0)
                zl_api_session_end(s);
}

static void on_linger(uv_timer_t *timer)
{
        struct zl_api_session *s = timer->data;

        if (!s->streams || s->out[0].len == 0)
                check_end(s, true);
        if (!s->closing)
                turn(s);
}

/* False: it is no frame. */
static bool take_frames(struct zl_api_session *s)
{
        while (s->frames.len >= HEADER) {
                const unsigned char *p = (const unsigned char *)s->frames.data;
                size_t len = (size_t)p[4] << 24 | (size_t)p[5] << 16 | (size_t)p[6] << 8 | p[7];

                if (len > ZL_API_QUEUE_HIGH)
                        return false;
                if (s->frames.len < HEADER + len)
                        return true;
                s->ops->take_frame(s, (enum zl_api_frame)p[0], p + HEADER, len);
                zl_buf_consume(&s->frames, HEADER + len);
        }
        return true;
}

/* Closed altogether, and not only for writing? */
static bool is_gone(int fd)
{
        struct pollfd p = { .fd = fd };

        return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

static void take_client(struct zl_api_session *s)
{
        char buf[ZL_API_CHUNK];
        ssize_t n = recv(s->ends[ZL_END_CLIENT].fd, buf, sizeof(buf), MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n < 0 || (n == 0 && is_gone(s->ends[ZL_END_CLIENT].fd))) {
                zl_api_session_end(s);
                return;
        }
        if (n == 0)
                s->client_over = true;
        else if (zl_buf_put(&s->frames, buf, (size_t)n) < 0 || !take_frames(s))
                zl_api_session_end(s);
}

static void give_client(struct zl_api_session *s)
{
        ssize_t n = 1;

        while (s->out[0].len > 0 && n > 0) {
                n = send(s->ends[ZL_END_CLIENT].fd, s->out[0].data, s->out[0].len,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n > 0)
                        zl_buf_consume(&s->out[0], (size_t)n);
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
                zl_api_session_end(s);
}

/* ---- the turn ------------------------------------------------------------------------------------------------------------ */

/* What is to be waited for, from what is. */
static void plan(struct zl_api_session *s)
{
        bool full = s->streams && s->out[0].len >= ZL_API_QUEUE_HIGH;
        bool tty = s->ends[ZL_END_OUT].open && s->ends[ZL_END_IN].fd < 0 && s->in.len > 0;

        watch(s, ZL_END_OUT, (full ? 0 : UV_READABLE) | (tty ? UV_WRITABLE : 0));
        watch(s, ZL_END_ERR, full ? 0 : UV_READABLE);
        watch(s, ZL_END_IN, s->in.len > 0 ? UV_WRITABLE : 0);
        watch(s, ZL_END_DONE, UV_READABLE);
        watch(s, ZL_END_CLIENT,
              (s->in.len < ZL_API_QUEUE_HIGH && !s->client_over ? UV_READABLE : 0) |
                      (s->out[0].len > 0 ? UV_WRITABLE : 0));
}

static void turn(struct zl_api_session *s)
{
        if (!s->closing)
                s->ops->give_input(s);
        if (!s->closing)
                check_end(s, false);
        if (!s->closing && s->streams && s->ends[ZL_END_CLIENT].open)
                give_client(s);
        if (!s->closing && s->told)
                check_end(s, true);
        if (!s->closing)
                plan(s);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
        struct zl_api_session *s = poll->data;
        bool readable = status < 0 || (events & UV_READABLE);

        if (poll == &s->ends[ZL_END_OUT].poll && readable)
                s->ops->take_output(s, ZL_END_OUT);
        else if (poll == &s->ends[ZL_END_ERR].poll && readable)
                s->ops->take_output(s, ZL_END_ERR);
        else if (poll == &s->ends[ZL_END_DONE].poll)
                s->ops->take_end(s);
        else if (poll == &s->ends[ZL_END_CLIENT].poll && readable)
                take_client(s);
        turn(s);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------------ */

bool zl_api_wants_stream(const struct zl_api_request *rq)
{
        const char *upgrade = rq->conn ? MHD_lookup_connection_value(rq->conn, MHD_HEADER_KIND,
                                                                     "Upgrade")
                                       : NULL;

        return upgrade && zl_streq(upgrade, "zlayer-stream");
}

static void on_gone(struct zl_api_request *rq)
{
        zl_api_session_end(rq->data);
}

/* zl-size: the signature is that of libmicrohttpd */
static void on_upgraded(void *data, struct MHD_Connection *conn, void *request, const char *extra,
                        size_t n_extra, MHD_socket fd, struct MHD_UpgradeResponseHandle *upgrade)
{
        struct zl_api_session *s = data;

        (void)conn;
        (void)request;
        s->upgrade = upgrade;
        if (zl_api_session_open(s, ZL_END_CLIENT, fd, true) < 0 ||
            zl_buf_put(&s->frames, extra, n_extra) < 0 || !take_frames(s)) {
                zl_api_session_end(s);
                return;
        }
        turn(s);
}

/* The request is freed. If no stream came of it (the client was gone, or did not ask properly), that is the end. */
static void drop_session(void *data)
{
        struct zl_api_session *s = data;

        s->rq = NULL;
        if (!s->upgrade)
                zl_api_session_end(s);
}

static void answer_upgrade(struct zl_api_session *s)
{
        struct MHD_Response *response = MHD_create_response_for_upgrade(on_upgraded, s);

        if (response)
                MHD_add_response_header(response, "Upgrade", "zlayer-stream");
        s->rq->drop = drop_session;
        zl_api_answer(s->rq, 101, response);
}

/* Nobody has taken it up: the client is gone. */
static void drop_held(void *data)
{
        struct zl_api_session *s = data;

        s->ops->free(s);
}

void zl_api_session_hold(struct zl_api_session *s, struct zl_api_request *rq,
                         const struct zl_api_session_ops *ops)
{
        s->ops = ops;
        rq->drop(rq->data);
        rq->data = s;
        rq->drop = drop_held;
}

void zl_api_session_init(struct zl_api_request *rq)
{
        struct zl_api_session *s = rq->data;

        *s = (struct zl_api_session){
                .ops = s->ops,
                .api = rq->api,
                .rq = rq,
                .streams = zl_api_wants_stream(rq),
                .out = { ZL_BUF_INIT(ZL_API_CAPTURE_MAX + 2 * ZL_API_QUEUE_HIGH),
                         ZL_BUF_INIT(ZL_API_CAPTURE_MAX) },
                .in = ZL_BUF_INIT(ZL_API_BODY_MAX),
                .frames = ZL_BUF_INIT(2 * ZL_API_QUEUE_HIGH),
                .next = rq->api->sessions,
                .n_handles = 1,
        };
        for (int i = 0; i < ZL_N_ENDS; i++)
                s->ends[i].fd = -EBADF;
        uv_timer_init(s->api->uv, &s->linger);
        s->linger.data = s;
        rq->api->sessions = s;
        rq->drop = NULL;
}

int zl_api_session_begin(struct zl_api_session *s, struct zl_error *err)
{
        int r = s->ops->open(s);

        if (r < 0) {
                zl_api_session_end(s);
                return zl_fail_errno(err, -r, "cannot watch what runs");
        }
        if (s->streams) {
                answer_upgrade(s);
                return 0;
        }
        zl_api_ref(s->rq);
        s->holds = true;
        s->rq->on_gone = on_gone;
        s->ops->take_end(s);
        turn(s);
        return 0;
}

void zl_api_sessions_close(struct zl_api *api)
{
        while (api->sessions)
                zl_api_session_end(api->sessions);
}
