/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See probe.h. The course of a probe: a worker makes the socket (in the network of the workload) or the command; then the
 * loop waits for its descriptor; a timer bounds the whole. Of an HTTP answer nothing but the status line is read. Over TLS the
 * worker asks the question, too, since a handshake takes a processor and not only time.
 *
 * Workloads are near: as a rule the connection is there when the worker looks once more, and so is the answer when the loop
 * begins. Then nobody waits for anything.
 *
 * What may go wrong: the worker is still busy when the time is over. Then the result is told at once, and what the
 * worker brings later is closed, or killed. So a runtime that hangs holds up nobody but itself.
 */
#include "agent/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/strv.h"
#include "runtimes/runtime.h"

enum { STATUS_LINE_MAX = 1024 };

struct running {
        struct zl_task task;    /* first: the pool gives it back */
        struct zl_probe *probe; /* NULL: the result has been told */
        struct zl_runtime *rt;
        uv_loop_t *uv;
        uv_timer_t timer;
        uv_poll_t poll;
        bool working, polling;
        unsigned n_handles; /* not closed yet */

        /* the worker's, and what it works with: the probe may be gone by then */
        enum zl_probe_kind kind;
        char workload[ZL_IDENT_NAME_MAX];
        char *host, **argv;
        char *url; /* over TLS */
        int64_t timeout;
        uint16_t port;
        unsigned status; /* over TLS */
        struct zl_error error;
        int result, fd;
        bool connected; /* and HTTP's question is on its way */
        struct zl_exec *exec;

        struct zl_buf out; /* HTTP: what is still to be sent */
        char line[STATUS_LINE_MAX];
        size_t n_line;
};

static void release(struct running *p)
{
        if (p->n_handles > 0 || p->working || p->probe)
                return;
        if (p->exec)
                zl_exec_close(p->exec);
        zl_close(p->fd);
        zl_error_done(&p->error);
        zl_buf_done(&p->out);
        zl_strv_free(p->argv);
        free(p->host);
        free(p->url);
        free(p);
}

static void on_closed(uv_handle_t *handle)
{
        struct running *p = handle->data;

        p->n_handles--;
        release(p);
}

/* Tells the result and takes everything down. */
static void finish(struct running *p, int result)
{
        struct zl_probe *probe = zl_take_ptr(p->probe);

        if (!probe)
                return;
        uv_close((uv_handle_t *)&p->timer, on_closed);
        if (p->polling) {
                uv_poll_stop(&p->poll);
                uv_close((uv_handle_t *)&p->poll, on_closed);
        }
        if (p->exec && result < 0)
                (void)zl_exec_kill(p->exec, SIGKILL, NULL);
        probe->host_data = NULL;
        probe->result = result;
        probe->done(probe);
}

static void on_timeout(uv_timer_t *timer)
{
        struct running *p = timer->data;
        struct zl_probe *probe = p->probe;

        finish(p, zl_fail(&probe->error, ZL_E_TIMEOUT, 0, "no answer within %.3g s",
                          (double)probe->timeout / 1e9));
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

static void on_command(struct running *p)
{
        struct zl_error *err = &p->probe->error;
        int code = 0, r = zl_exec_result(p->exec, &code, err);

        if (r == 0)
                return;
        if (r > 0)
                r = code == 0 ? 0 : zl_fail(err, ZL_E_START, 0, "the check ended with %d", code);
        finish(p, r);
}

static int fail_connection(struct running *p, int e)
{
        return zl_fail(&p->probe->error, ZL_E_NETWORK, e, "port %u: %s", p->port, strerror(e));
}

/* What has come of the answer. 1: it is known, with *ret_status. */
static int read_status(struct running *p, unsigned *ret_status)
{
        ssize_t n = recv(p->fd, p->line + p->n_line, sizeof(p->line) - 1 - p->n_line, MSG_DONTWAIT);
        const char *digits;

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        p->n_line += (size_t)n;
        p->line[p->n_line] = 0;
        digits = strchr(p->line, ' ');
        if (p->n_line >= 13 && strncmp(p->line, "HTTP/1.", 7) == 0 && digits == p->line + 8 &&
            sscanf(digits, " %3u", ret_status) == 1)
                return 1;
        return n == 0 || p->n_line >= 13 ? -EBADMSG : 0;
}

static void judge_status(struct running *p, unsigned status)
{
        struct zl_probe *probe = p->probe;

        if (probe->expect_status ? status == probe->expect_status : status / 100 == 2)
                finish(p, 0);
        else
                finish(p, zl_fail(&probe->error, ZL_E_PROTOCOL, 0, "%s: status %u", probe->path,
                                  status));
}

static void on_answer(struct running *p)
{
        struct zl_probe *probe = p->probe;
        unsigned status = 0;
        int r = read_status(p, &status);

        if (r == 0)
                return;
        if (r == -EBADMSG)
                finish(p, zl_fail(&probe->error, ZL_E_PROTOCOL, 0,
                                  "port %u: the answer is not HTTP", p->port));
        else if (r < 0)
                finish(p, fail_connection(p, -r));
        else
                judge_status(p, status);
}

static void poll_for(struct running *p, int events);

static void on_writable(struct running *p)
{
        int e = 0;
        socklen_t len = sizeof(e);
        ssize_t n;

        if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
                e = errno;
        if (e != 0) {
                finish(p, fail_connection(p, e));
                return;
        }
        if (p->probe->kind == ZL_PROBE_TCP) {
                finish(p, 0);
                return;
        }
        n = send(p->fd, p->out.data, p->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
                finish(p, fail_connection(p, errno));
                return;
        }
        zl_buf_consume(&p->out, n > 0 ? (size_t)n : 0);
        if (p->out.len == 0)
                poll_for(p, UV_READABLE);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
        struct running *p = handle->data;

        (void)status;
        if (!p->probe)
                return;
        if (p->kind == ZL_PROBE_COMMAND)
                on_command(p);
        else if (p->out.len > 0 || p->kind == ZL_PROBE_TCP)
                on_writable(p);
        else if (events & (UV_READABLE | UV_DISCONNECT) || status < 0)
                on_answer(p);
}

static void poll_for(struct running *p, int events)
{
        int r = uv_poll_start(&p->poll, events, on_poll);

        if (r < 0)
                finish(p, zl_fail_errno(&p->probe->error, -r, "cannot wait for an answer"));
}

/* ---- the worker ------------------------------------------------------------------------------------------------- */

/* "db" → "10.0.0.7". Of several addresses the first. */
static int resolve(const char *host, char address[NI_MAXHOST], struct zl_error *err)
{
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC };
        struct addrinfo *list = NULL;
        int e = getaddrinfo(host, NULL, &hints, &list);

        if (e == 0)
                e = getnameinfo(list->ai_addr, list->ai_addrlen, address, NI_MAXHOST, NULL, 0,
                                NI_NUMERICHOST);
        if (list)
                freeaddrinfo(list);
        return e == 0 ? 0 : zl_fail(err, ZL_E_NETWORK, 0, "%s: %s", host, gai_strerror(e));
}

/* From our own network. */
static int dial_here(const char *address, uint16_t port, int *ret_fd, struct zl_error *err)
{
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                                        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
        struct addrinfo *list = NULL;
        char service[8];
        int fd, r = 0;

        snprintf(service, sizeof(service), "%u", port);
        if (getaddrinfo(address, service, &hints, &list) != 0)
                return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is no address", address);
        fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || (connect(fd, list->ai_addr, list->ai_addrlen) < 0 && errno != EINPROGRESS))
                r = zl_fail(err, ZL_E_NETWORK, errno, "%s port %u: %s", address, port,
                            strerror(errno));
        freeaddrinfo(list);
        if (r < 0)
                zl_close(fd);
        else
                *ret_fd = fd;
        return r;
}

static bool is_address(const char *host)
{
        struct in6_addr any;

        return inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
}

/* Whatever does not go well here is found, and told, by the loop. */
static void look_once_more(struct running *p)
{
        struct pollfd fd = { .fd = p->fd, .events = POLLOUT };
        int e = 0;
        socklen_t len = sizeof(e);
        ssize_t n = 0;

        if (poll(&fd, 1, 0) != 1 || fd.revents != POLLOUT ||
            getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0 || e != 0)
                return;
        if (p->kind == ZL_PROBE_HTTP)
                n = send(p->fd, p->out.data, p->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        zl_buf_consume(&p->out, n > 0 ? (size_t)n : 0);
        p->connected = p->out.len == 0;
}

static void work(struct zl_task *task)
{
        struct running *p = (struct running *)task;
        char address[NI_MAXHOST];

        if (p->kind == ZL_PROBE_COMMAND) {
                struct zl_exec_options options = { .argv = p->argv, .stdio = { -1, -1, -1 } };

                p->result = zl_exec_open(p->rt, p->workload, &options, &p->exec, &p->error);
                return;
        }
        p->result = p->host ? resolve(p->host, address, &p->error) : 0;
        if (p->result < 0)
                return;
        if (p->workload[0])
                p->result = zl_runtime_dial(p->rt, p->workload, p->host ? address : NULL, p->port,
                                            &p->fd, &p->error);
        else
                p->result = dial_here(p->host ? address : "127.0.0.1", p->port, &p->fd, &p->error);
        if (p->result >= 0 && p->url)
                p->result = zl_https_status(zl_take_fd(p->fd), p->url, p->timeout, &p->status,
                                            &p->error);
        else if (p->result >= 0)
                look_once_more(p);
}

static void on_worked(struct zl_task *task)
{
        struct running *p = (struct running *)task;
        int r;

        p->working = false;
        if (!p->probe) {
                if (p->exec)
                        (void)zl_exec_kill(p->exec, SIGKILL, NULL);
                release(p);
                return;
        }
        if (p->result < 0) {
                zl_error_move(&p->probe->error, &p->error);
                finish(p, p->result);
                return;
        }
        if (p->url) {
                judge_status(p, p->status);
                return;
        }
        if (p->connected && p->kind == ZL_PROBE_TCP)
                finish(p, 0);
        else if (p->connected)
                on_answer(p);
        if (!p->probe)
                return;
        r = uv_poll_init(p->uv, &p->poll, p->exec ? zl_exec_fd(p->exec) : p->fd);
        if (r < 0) {
                finish(p, zl_fail_errno(&p->probe->error, -r, "cannot wait for an answer"));
                return;
        }
        p->poll.data = p;
        p->polling = true;
        p->n_handles++;
        poll_for(p, p->exec        ? UV_READABLE | UV_DISCONNECT
                    : p->connected ? UV_READABLE
                                   : UV_WRITABLE);
}

/* ---- beginning --------------------------------------------------------------------------------------------------- */

static int fill(struct running *p, const struct zl_probe *probe)
{
        snprintf(p->workload, sizeof(p->workload), "%s", probe->workload);
        if (zl_replace_str(&p->host, probe->host) < 0 || zl_strv_dup(probe->argv, &p->argv) < 0)
                return -ENOMEM;
        if (probe->kind != ZL_PROBE_HTTP)
                return 0;
        if (probe->tls)
                return asprintf(&p->url, "https://%s%s", probe->authority, probe->path) < 0
                               ? -ENOMEM
                               : 0;
        return zl_buf_putf(&p->out,
                           "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: zlayer-agent\r\n"
                           "Accept: */*\r\nConnection: close\r\n\r\n",
                           probe->path, probe->authority);
}

static void on_begun_badly(uv_timer_t *timer)
{
        struct running *p = timer->data;

        finish(p, zl_fail_oom(&p->probe->error));
}

void zl_probe_run(uv_loop_t *uv, struct zl_pool *pool, struct zl_runtime *rt,
                  struct zl_probe *probe)
{
        struct running *p = calloc(1, sizeof(*p));

        /* A probe is small beside all that has gone well before: without memory for it there is no way on. */
        if (!p)
                abort();
        *p = (struct running){ .probe = probe,
                               .rt = rt,
                               .uv = uv,
                               .kind = probe->kind,
                               .port = probe->port,
                               .timeout = probe->timeout,
                               .fd = -EBADF,
                               .task = { .run = work, .done = on_worked },
                               .out = ZL_BUF_INIT(16384) };
        probe->host_data = p;
        uv_timer_init(uv, &p->timer);
        p->timer.data = p;
        p->n_handles = 1;
        uv_update_time(uv);
        if (fill(p, probe) < 0) {
                uv_timer_start(&p->timer, on_begun_badly, 0, 0);
                return;
        }
        uv_timer_start(&p->timer, on_timeout, (uint64_t)(probe->timeout / ZL_NSEC_PER_MSEC + 1), 0);
        p->working = true;
        /* A name may be long in being found, a command and a handshake take their time. */
        p->task.brief = p->kind != ZL_PROBE_COMMAND && !p->url && (!p->host || is_address(p->host));
        zl_pool_submit(pool, &p->task);
}

static void on_aborted(uv_timer_t *timer)
{
        struct running *p = timer->data;

        finish(p, zl_fail(&p->probe->error, ZL_E_CANCELLED, 0, "not wanted any more"));
}

void zl_probe_abort(struct zl_probe *probe)
{
        struct running *p = probe->host_data;

        probe->cancelled = true;
        if (p)
                uv_timer_start(&p->timer, on_aborted, 0, 0);
}
