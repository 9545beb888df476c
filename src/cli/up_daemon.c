/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See up_daemon.h. Two connections: the events of the deployment, which feed the same view as the embedded agent, and the
 * wish itself, whose answer comes when the deployment has settled. In the foreground we stay until the deployment ends; INT
 * asks the daemon to stop it, a second one leaves it to itself.
 */
#include "cli/up_daemon.h"

#include <signal.h>
#include <unistd.h>

#include "agent/loop.h"
#include "base/clock.h"
#include "base/fd.h"
#include "cli/client.h"
#include "cli/up_view.h"
#include "spec/spec.h"

enum { LINES_MAX = 8 << 20, ANSWER_MAX = 256 << 20, DRAIN_MSEC = 2000 };

struct up {
        struct zl_cli *cli;
        const struct zl_up_daemon_options *o;
        const char *name;
        uv_loop_t uv;
        struct zl_up_view *view;
        uv_signal_t signals[2];
        uv_timer_t timer;
        int events_fd, wish_fd, stop_fd;
        struct zl_loop_poll *events_poll, *wish_poll, *stop_poll;
        struct zl_buf lines;
        bool has_head, settled, stopping, over;
        int code;
};

/* ---- events ---------------------------------------------------------------------------------------------------- */

static enum zl_event_type type_by_name(const char *name)
{
        for (unsigned type = 0; type < ZL_EVENT_TYPE_MAX_; type++)
                if (zl_streq(zl_event_type_name((enum zl_event_type)type), name))
                        return (enum zl_event_type)type;
        return ZL_EVENT_TYPE_MAX_;
}

static void on_drained(uv_timer_t *timer)
{
        struct up *up = timer->data;

        up->over = true;
}

static void take_event(struct up *up, const json_t *o)
{
        struct zl_event event = {
                .seq = zl_json_int(o, "seq", 0),
                .type = type_by_name(zl_json_str(o, "type", "")),
                .name = zl_json_str(o, "name", ""),
                .message = zl_json_str(o, "message", NULL),
                .has_exit = json_object_get(o, "exit_code") != NULL,
                .exit_code = (int)zl_json_int(o, "exit_code", 0),
                .signal = (int)zl_json_int(o, "signal", 0),
                .oom = zl_json_bool(o, "oom", false),
                .stop_requested = zl_json_bool(o, "stop_requested", false),
                .delay_nsec = zl_json_int(o, "delay_ms", 0) * ZL_NSEC_PER_MSEC,
                .restarts = (uint32_t)zl_json_int(o, "restarts", 0),
                .pid = zl_json_int(o, "pid", 0),
        };

        (void)zl_parse_rfc3339(zl_json_str(o, "time", ""), &event.time);
        if (event.type == ZL_EVENT_TYPE_MAX_)
                return; /* of a newer daemon */
        zl_up_view_event(up->view, &event);
        if (event.type == ZL_EVENT_DEPLOYMENT_STOPPED && up->settled)
                uv_timer_start(&up->timer, on_drained, DRAIN_MSEC, 0);
}

static void take_lines(struct up *up)
{
        unsigned status;
        char *end;

        if (!up->has_head)
                up->has_head = zl_client_take_head(&up->lines, &status) > 0;
        while (up->has_head && up->lines.len > 0 &&
               (end = memchr(up->lines.data, '\n', up->lines.len))) {
                size_t len = (size_t)(end - up->lines.data);
                _cleanup_json_ json_t *o = NULL;

                if (zl_json_parse(up->lines.data, len, "event", &o, NULL) >= 0)
                        take_event(up, o);
                zl_buf_consume(&up->lines, len + 1);
        }
}

static void on_events(void *data)
{
        struct up *up = data;
        void *at = zl_buf_reserve(&up->lines, 16 * 1024);
        ssize_t n = at ? read(up->events_fd, at, 16 * 1024) : -1;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0) {
                up->lines.len += (size_t)n;
                take_lines(up);
                return;
        }
        /* The daemon has ended. What it looked after goes on. */
        zl_loop_poll_stop(zl_take_ptr(up->events_poll));
        if (up->over || up->o->detach ||
            !up->settled) /* then the wish has not been answered, and that is told */
                return;
        zl_cli_warn(up->cli, "the daemon has ended; %s goes on", up->name);
        up->over = true;
}

/* ---- the wish --------------------------------------------------------------------------------------------------- */

/* It goes no further. `gone`: because no daemon is there any more. */
static void give_up(struct up *up, bool gone, struct zl_error *err)
{
        up->over = true;
        if (gone && up->o->may_end && !up->stopping) {
                up->code = ZL_UP_DAEMON_GONE;
                zl_error_done(err);
                return;
        }
        up->code = zl_cli_fail(up->cli, err);
}

static void on_wish(void *data)
{
        struct up *up = data;
        struct zl_error err = ZL_ERROR_INIT;
        _cleanup_buf_ struct zl_buf received = ZL_BUF_INIT(ANSWER_MAX);
        _cleanup_json_ json_t *o = NULL;

        zl_loop_poll_stop(zl_take_ptr(up->wish_poll));
        uv_timer_stop(&up->timer);
        up->settled = true;
        if (zl_client_finish(up->wish_fd, &received, &o, &err) < 0) {
                give_up(up, received.len == 0, &err);
                return;
        }
        up->code = (int)zl_json_int(o, "exit_code", 0);
        if (up->o->detach || !zl_streq(zl_json_str(o, "phase", ""), "started"))
                uv_timer_start(&up->timer, on_drained, up->o->detach ? 0 : DRAIN_MSEC, 0);
}

static void on_timeout(uv_timer_t *timer)
{
        struct up *up = timer->data;
        struct zl_error err = ZL_ERROR_INIT;
        char span[ZL_CLI_TEXT_SIZE];

        zl_fail(&err, ZL_E_TIMEOUT, 0, "not all of %s has been started within %s", up->name,
                zl_cli_format_span(up->o->timeout, span));
        zl_error_hint(&err, "the daemon goes on trying; zlayer-agent down %s ends it", up->name);
        up->code = zl_cli_fail(up->cli, &err);
        up->over = true;
}

static void on_stopped(void *data)
{
        struct up *up = data;
        struct zl_error err = ZL_ERROR_INIT;
        _cleanup_json_ json_t *o = NULL;

        zl_loop_poll_stop(zl_take_ptr(up->stop_poll));
        if (zl_client_finish(up->stop_fd, NULL, &o, &err) < 0)
                up->code = zl_cli_fail(up->cli, &err);
        else
                up->code = (int)zl_json_int(o, "exit_code", 0);
        if (!uv_is_active((uv_handle_t *)&up->timer))
                uv_timer_start(&up->timer, on_drained, DRAIN_MSEC, 0);
}

static int begin_stop(struct up *up, struct zl_error *err)
{
        _cleanup_free_ char *path = NULL;
        struct zl_client_request request = { .method = "POST" };

        if (asprintf(&path, "/v1/deployments/%s/stop", up->name) < 0) {
                path = NULL;
                return zl_fail_oom(err);
        }
        request.path = path;
        up->stop_fd = zl_client_send(up->cli, &request, err);
        if (up->stop_fd < 0)
                return up->stop_fd;
        return zl_loop_poll_start(&up->uv, up->stop_fd, on_stopped, up, &up->stop_poll);
}

static void on_signal(uv_signal_t *handle, int sig)
{
        struct up *up = handle->data;
        struct zl_error err = ZL_ERROR_INIT;

        (void)sig;
        if (up->stopping) {
                zl_cli_warn(up->cli, "%s is left to the daemon", up->name);
                up->code = ZL_EXIT_FAILED;
                up->over = true;
                return;
        }
        up->stopping = true;
        fprintf(stderr, "%s: stopping %s (once more leaves it to the daemon)\n", up->cli->program,
                up->name);
        if (begin_stop(up, &err) < 0) {
                up->code = zl_cli_fail(up->cli, &err);
                up->over = true;
        }
}

/* What became of jobs is known only at the end. */
static void take_exit_code(struct up *up)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_json_ json_t *o = NULL;
        _cleanup_free_ char *path = NULL;
        struct zl_client_request request = { .method = "GET" };

        if (asprintf(&path, "/v1/deployments/%s", up->name) < 0) {
                path = NULL;
                return;
        }
        request.path = path;
        if (zl_client_ask(up->cli, &request, &o, &err) >= 0)
                up->code = (int)zl_json_int(o, "exit_code", 0);
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

static int send_wish(struct up *up, const struct zl_deployment_spec *spec, struct zl_error *err)
{
        _cleanup_free_ char *text = zl_spec_dump_stored(spec), *path = NULL;
        struct zl_client_request events = { .method = "GET" };
        struct zl_client_request wish = { .method = "POST",
                                          .path = "/v1/deployments?wait",
                                          .type = "application/json",
                                          .body = text };
        int r;

        if (!text || asprintf(&path, "/v1/events?follow&name=%s", spec->deployment) < 0) {
                path = NULL;
                return zl_fail_oom(err);
        }
        events.path = path;
        r = up->events_fd = zl_client_send(up->cli, &events, err);
        if (r >= 0)
                r = up->wish_fd = zl_client_send(up->cli, &wish, err);
        if (r < 0)
                return r;
        zl_fd_set_nonblock(up->events_fd, true);
        r = zl_loop_poll_start(&up->uv, up->events_fd, on_events, up, &up->events_poll);
        if (r >= 0)
                r = zl_loop_poll_start(&up->uv, up->wish_fd, on_wish, up, &up->wish_poll);
        return r < 0 ? zl_fail_errno(err, -r, "cannot watch the daemon") : 0;
}

static int begin(struct up *up, const struct zl_deployment_spec *spec, struct zl_error *err)
{
        static const int numbers[] = { SIGINT, SIGTERM };
        struct zl_up_view_options view = { .cli = up->cli,
                                           .uv = &up->uv,
                                           .quiet_logs = up->o->detach,
                                           .name_width = up->o->name_width };
        int r = zl_cli_runtime(up->cli, &view.rt, err);

        if (r >= 0)
                r = zl_up_view_new(&view, &up->view, err);
        if (r >= 0)
                r = send_wish(up, spec, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(numbers); i++)
                uv_signal_start(&up->signals[i], on_signal, numbers[i]);
        if (up->o->timeout >= 0)
                uv_timer_start(&up->timer, on_timeout,
                               (uint64_t)(up->o->timeout / ZL_NSEC_PER_MSEC), 0);
        return 0;
}

static void end(struct up *up)
{
        zl_loop_poll_stop(up->events_poll);
        zl_loop_poll_stop(up->wish_poll);
        zl_loop_poll_stop(up->stop_poll);
        zl_up_view_free(up->view);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(up->signals); i++)
                uv_close((uv_handle_t *)&up->signals[i], NULL);
        uv_close((uv_handle_t *)&up->timer, NULL);
        uv_run(&up->uv, UV_RUN_DEFAULT);
        uv_loop_close(&up->uv);
        zl_close(up->events_fd);
        zl_close(up->wish_fd);
        zl_close(up->stop_fd);
        zl_buf_done(&up->lines);
}

int zl_up_daemon(struct zl_cli *cli, const struct zl_deployment_spec *spec,
                 const struct zl_up_daemon_options *options)
{
        struct up up = { .cli = cli,
                         .o = options,
                         .name = spec->deployment,
                         .events_fd = -EBADF,
                         .wish_fd = -EBADF,
                         .stop_fd = -EBADF,
                         .lines = ZL_BUF_INIT(LINES_MAX) };
        struct zl_error err = ZL_ERROR_INIT;
        int r = uv_loop_init(&up.uv);

        if (r < 0) {
                zl_fail_errno(&err, -r, "cannot make an event loop");
                return zl_cli_fail(cli, &err);
        }
        uv_timer_init(&up.uv, &up.timer);
        up.timer.data = &up;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(up.signals); i++) {
                uv_signal_init(&up.uv, &up.signals[i]);
                up.signals[i].data = &up;
        }
        if (begin(&up, spec, &err) < 0)
                give_up(&up, !zl_client_has_daemon(cli), &err);
        while (!up.over)
                uv_run(&up.uv, UV_RUN_ONCE);
        if (up.settled && up.code == ZL_EXIT_OK && !options->detach && !up.stopping)
                take_exit_code(&up);
        end(&up);
        return up.code;
}
