/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `wait`: the answer comes when the container has ended. The watch is opened on a worker and then polled by the loop, so
 * thousands may wait at the price of a descriptor each.
 */
#include <errno.h>

#include "api/handlers.h"
#include "api/views.h"
#include "base/clock.h"
#include "spec/tables.h"

struct wait_query {
        bool has_timeout;
        int64_t timeout;
};

static const struct zl_field wait_fields[] = {
        ZL_FIELD(struct wait_query, "timeout", timeout, zl_duration_type,
                 ZL_HAS(struct wait_query, has_timeout)),
};
const struct zl_type zl_api_wait_query = ZL_TYPE_STRUCT(struct wait_query, "WaitQuery",
                                                        wait_fields);

struct waiting {
        struct zl_api_request *rq;
        struct zl_watch *watch;
        struct zl_loop_poll *poll;
        uv_timer_t timer;
};

static void free_waiting(uv_handle_t *handle)
{
        free(handle->data);
}

/* Answers, by `status` or `err` (neither: not), and lets go of the request. */
static void end(struct waiting *w, const struct zl_status *status, struct zl_error *err)
{
        struct zl_api_request *rq = w->rq;
        struct zl_view view = { .is_real = true };
        json_t *o;

        zl_loop_poll_stop(w->poll);
        zl_watch_close(w->watch);
        uv_close((uv_handle_t *)&w->timer, free_waiting);
        rq->on_gone = NULL;
        rq->data = NULL;
        if (status) {
                view.status = *status;
                (void)zl_ident_parse(status->name, &view.id);
                o = zl_view_to_json(&view);
                zl_api_answer_json(rq, 200, o);
        } else if (err) {
                zl_api_answer_error(rq, err);
        }
        zl_api_unref(rq);
}

static void on_readable(void *data)
{
        struct waiting *w = data;
        struct zl_error err = ZL_ERROR_INIT;
        int r = 1;

        while (r > 0) {
                struct zl_status status = { 0 };
                bool ended;

                r = zl_watch_next(w->watch, &status, &err);
                ended = r > 0 &&
                        (status.state == ZL_STATE_EXITED || status.state == ZL_STATE_FAILED);
                if (ended)
                        end(w, &status, NULL);
                if (r > 0)
                        zl_status_done(&status);
                if (ended)
                        return;
        }
        if (r < 0) {
                if (!zl_error_is_set(&err))
                        zl_fail(&err, ZL_E_NOT_FOUND, 0, "%s is gone", w->rq->name);
                end(w, NULL, &err);
        }
}

static void on_timeout(uv_timer_t *timer)
{
        struct waiting *w = timer->data;
        struct zl_error err = ZL_ERROR_INIT;

        zl_fail(&err, ZL_E_TIMEOUT, 0, "%s has not ended in time", w->rq->name);
        end(w, NULL, &err);
}

static void on_gone(struct zl_api_request *rq)
{
        end(rq->data, NULL, NULL);
}

static void drop_watch(void *data)
{
        zl_watch_close(data);
}

int zl_api_wait_work(struct zl_api_request *rq, struct zl_error *err)
{
        struct zl_watch *watch;
        char name[ZL_IDENT_NAME_MAX];
        int r = zl_api_resolve(rq, false, name, err);

        if (r >= 0)
                r = zl_watch_open(rq->api->rt, name, &watch, err);
        if (r < 0)
                return r;
        rq->drop(rq->data);
        rq->data = watch;
        rq->drop = drop_watch;
        return 0;
}

int zl_api_wait_finish(struct zl_api_request *rq, struct zl_error *err)
{
        const struct wait_query *q = rq->query;
        struct waiting *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return zl_fail_oom(err);
        *w = (struct waiting){ .rq = rq, .watch = rq->data };
        r = zl_loop_poll_start(rq->api->uv, zl_watch_fd(w->watch), on_readable, w, &w->poll);
        if (r < 0) {
                free(w);
                return zl_fail_errno(err, -r, "cannot watch %s", rq->name);
        }
        zl_api_ref(rq);
        rq->data = w;
        rq->drop = NULL;
        rq->on_gone = on_gone;
        uv_timer_init(rq->api->uv, &w->timer);
        w->timer.data = w;
        if (q->has_timeout)
                uv_timer_start(&w->timer, on_timeout, (uint64_t)(q->timeout / ZL_NSEC_PER_MSEC) + 1,
                               0);
        if (rq->gone)
                on_gone(rq);
        else
                on_readable(w);
        return 0;
}
