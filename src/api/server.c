/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket, and libmicrohttpd on the loop: MHD has its own epoll instance, whose descriptor we watch like any other. Who
 * is at the other end is asked of the kernel once per connection.
 *
 * MHD must not be entered twice: whoever has woken a request from inside of it only leaves a note, and it is run again.
 */
#include <errno.h>
#include <grp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/internal.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/socket.h"

enum { CONNECTION_MEMORY = 16 * 1024, IDLE_TIMEOUT_SEC = 60, ACCEPTS_AT_ONCE = 64 };

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

/* ---- running MHD ---------------------------------------------------------------------------------------------- */

static void on_time(uv_timer_t *timer)
{
        zl_api_kick(timer->data);
}

static void on_again(uv_idle_t *idle)
{
        uv_idle_stop(idle);
        zl_api_kick(idle->data);
}

void zl_api_kick(struct zl_api *api)
{
        MHD_UNSIGNED_LONG_LONG left;

        if (api->running) {
                uv_idle_start(&api->again, on_again);
                return;
        }
        api->running = true;
        MHD_run(api->mhd);
        api->running = false;
        if (MHD_get_timeout(api->mhd, &left) == MHD_YES)
                uv_timer_start(&api->timer, on_time, left, 0);
        else
                uv_timer_stop(&api->timer);
}

static void on_epoll(uv_poll_t *poll, int status, int events)
{
        (void)status;
        (void)events;
        zl_api_kick(poll->data);
}

/* ---- accepting --------------------------------------------------------------------------------------------------- */

/* Linux 4.13: all groups of the peer at the time of its connect(). */
static bool has_group(int fd, gid_t group)
{
        gid_t groups[256];
        socklen_t len = sizeof(groups);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
                return false;
        for (size_t i = 0; i < len / sizeof(*groups); i++)
                if (groups[i] == group)
                        return true;
        return false;
}

static bool is_allowed(const struct zl_api *api, int fd)
{
        pid_t pid;
        uid_t uid;
        gid_t gid;

        if (zl_unix_peer(fd, &pid, &uid, &gid) < 0)
                return false;
        if (uid == 0 || uid == geteuid())
                return true;
        return api->options.has_group &&
               (gid == api->options.group || has_group(fd, api->options.group));
}

static void on_listener(uv_poll_t *poll, int status, int events)
{
        struct zl_api *api = poll->data;
        int fd;

        (void)status;
        (void)events;
        for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
                fd = accept4(api->options.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd < 0) {
                        if (errno == EINTR || errno == ECONNABORTED)
                                continue;
                        break;
                }
                /* Whatever comes of it, the descriptor is MHD's. */
                (void)MHD_add_connection(api->mhd, fd, NULL, 0);
        }
        zl_api_kick(api);
}

/* Who may not use the agent is told so in answer to his first request (request.c): closing at once would look to
 * clients as if nobody listened. */
static void on_connection(void *data, struct MHD_Connection *conn, void **context,
                          enum MHD_ConnectionNotificationCode how)
{
        struct zl_api *api = data;
        const union MHD_ConnectionInfo *info;

        if (how != MHD_CONNECTION_NOTIFY_STARTED) {
                api->n_connections--;
                return;
        }
        api->n_connections++;
        info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
        *context = is_allowed(api, info->connect_fd) ? api : NULL;
}

bool zl_api_is_allowed(struct MHD_Connection *conn)
{
        return MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void on_log(void *data, const char *fmt, va_list ap)
{
        _cleanup_free_ char *text = NULL;

        (void)data;
        if (zl_log_level() < ZL_LOG_DEBUG || vasprintf(&text, fmt, ap) < 0)
                return;
        text[strcspn(text, "\n")] = 0;
        zl_debug("http: %s", text);
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static int start_mhd(struct zl_api *api, struct zl_error *err)
{
        const union MHD_DaemonInfo *info;
        int r;

        api->mhd = MHD_start_daemon(
                MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
                        MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG,
                0, NULL, NULL, zl_api_on_request, api, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
                MHD_OPTION_UNESCAPE_CALLBACK, zl_api_unescape, NULL, MHD_OPTION_NOTIFY_COMPLETED,
                zl_api_on_completed, api, MHD_OPTION_NOTIFY_CONNECTION, on_connection, api,
                MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
                MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_SEC,
                MHD_OPTION_CONNECTION_LIMIT, (unsigned)ZL_API_CONNECTIONS_MAX,
                MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
        info = api->mhd ? MHD_get_daemon_info(api->mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
        if (!info)
                return zl_fail(err, ZL_E_INTERNAL, 0, "cannot start the HTTP server");
        r = uv_poll_init(api->uv, &api->epoll, info->epoll_fd);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot watch the HTTP server");
        api->n_handles++;
        api->epoll.data = api;
        uv_poll_start(&api->epoll, UV_READABLE, on_epoll);
        return 0;
}

static int start_listener(struct zl_api *api, struct zl_error *err)
{
        int r = zl_fd_set_nonblock(api->options.listener, true);

        if (r >= 0)
                r = uv_poll_init(api->uv, &api->listener, api->options.listener);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot watch the socket");
        api->n_handles++;
        api->listening = true;
        api->listener.data = api;
        uv_poll_start(&api->listener, UV_READABLE, on_listener);
        return 0;
}

int zl_api_new(const struct zl_api_options *options, struct zl_api **ret, struct zl_error *err)
{
        struct zl_api *api;
        int r = zl_mhd_load(err);

        if (r < 0)
                return r;
        api = calloc(1, sizeof(*api));
        if (!api)
                return zl_fail_oom(err);
        *api = (struct zl_api){
                .options = *options,
                .manager = options->manager,
                .rt = zl_manager_runtime(options->manager),
                .uv = zl_manager_uv(options->manager),
                .started_at = zl_now_realtime(),
        };
        uv_timer_init(api->uv, &api->timer);
        uv_idle_init(api->uv, &api->again);
        api->timer.data = api->again.data = api;
        api->n_handles = 2;
        r = start_mhd(api, err);
        if (r >= 0)
                r = start_listener(api, err);
        if (r < 0) {
                api->options.listener = -EBADF; /* still the caller's */
                zl_api_free(api);
                return r;
        }
        *ret = api;
        return 0;
}

static void on_closed(uv_handle_t *handle)
{
        struct zl_api *api = handle->data;

        if (--api->n_handles == 0) {
                if (api->mhd)
                        MHD_stop_daemon(api->mhd);
                free(api);
        }
}

static void stop_listening(struct zl_api *api)
{
        if (!api->listening)
                return;
        api->listening = false;
        uv_close((uv_handle_t *)&api->listener, on_closed);
        zl_close(api->options.listener);
}

void zl_api_drain(struct zl_api *api)
{
        api->draining = true;
        stop_listening(api);
        zl_api_stream_end_all(api);
        zl_api_cancel_waits(api);
        zl_api_sessions_close(api);
        zl_api_kick(api);
}

bool zl_api_is_idle(const struct zl_api *api)
{
        return !api->requests && !api->sessions;
}

void zl_api_free(struct zl_api *api)
{
        if (!api)
                return;
        stop_listening(api);
        if (api->epoll.data)
                uv_close((uv_handle_t *)&api->epoll, on_closed);
        uv_close((uv_handle_t *)&api->timer, on_closed);
        uv_close((uv_handle_t *)&api->again, on_closed);
}
