/* SPDX-License-Identifier: Apache-2.0 */
/* See client.h. The answer is trusted as much as the daemon, but its size and form are checked all the same. */
#include "cli/client.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/control.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/socket.h"

enum { ANSWER_MAX = 256 << 20 };
/* How long one may need to come up. */
#define AWAIT_DAEMON (10 * ZL_NSEC_PER_SEC)
/* Who waits longer than this wants to know what for. */
#define TELL_THAT_WE_WAIT ZL_NSEC_PER_SEC

static int connect_daemon(const struct zl_cli *cli)
{
        return zl_unix_connect_at(AT_FDCWD, cli->socket, SOCK_STREAM);
}

bool zl_client_has_daemon(const struct zl_cli *cli)
{
        _cleanup_close_ int fd = connect_daemon(cli);

        return fd >= 0;
}

bool zl_client_await_daemon(const struct zl_cli *cli)
{
        int64_t deadline = zl_now_monotonic() + AWAIT_DAEMON;

        /* Nothing tells of a socket that begins to listen. */
        while (!zl_client_has_daemon(cli)) {
                if (zl_now_monotonic() >= deadline)
                        return false;
                usleep(50000);
        }
        return true;
}

int zl_client_embed(const struct zl_cli *cli, int *ret_lock, struct zl_error *err)
{
        int64_t begin = zl_now_monotonic();
        bool told = false;

        for (;;) {
                pid_t holder = 0;
                int fd = zl_root_lock_take(cli->root_dir, false, &holder, err);

                if (fd >= 0) {
                        *ret_lock = fd;
                        return 1;
                }
                if (err->code != ZL_E_BUSY)
                        return fd;
                if (zl_client_has_daemon(cli)) {
                        zl_error_done(err);
                        return 0;
                }
                if (zl_now_monotonic() - begin >= AWAIT_DAEMON) {
                        zl_error_hint(err, "it does not listen on %s: say where with --socket",
                                      cli->socket);
                        return fd;
                }
                zl_error_done(err);
                if (!told && zl_now_monotonic() - begin >= TELL_THAT_WE_WAIT) {
                        fprintf(stderr,
                                "%s: waiting for the daemon that has %s (pid %d) to listen on %s\n",
                                cli->program, cli->root_dir, (int)holder, cli->socket);
                        told = true;
                }
                usleep(50000);
        }
}

int zl_client_send(const struct zl_cli *cli, const struct zl_client_request *request,
                   struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(ANSWER_MAX);
        _cleanup_close_ int fd = connect_daemon(cli);
        size_t len = request->body ? strlen(request->body) : 0;
        int r;

        if (fd == -ENOENT || fd == -ECONNREFUSED) {
                r = zl_fail(err, ZL_E_NOT_FOUND, 0, "no daemon listens on %s", cli->socket);
                zl_error_hint(err, "zlayer-agent serve starts it");
                return r;
        }
        if (fd < 0)
                return zl_fail_errno(err, -fd, "cannot reach the daemon on %s", cli->socket);
        zl_buf_putf(&out, "%s %s HTTP/1.0\r\nHost: zlayer\r\n", request->method, request->path);
        if (request->type)
                zl_buf_putf(&out, "Content-Type: %s\r\n", request->type);
        zl_buf_putf(&out, "Content-Length: %zu\r\n\r\n%s", len, request->body ?: "");
        if (zl_buf_error(&out) < 0)
                return zl_fail_oom(err);
        r = zl_write_full(fd, out.data, out.len);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot ask the daemon on %s", cli->socket);
        return zl_take_fd(fd);
}

int zl_client_take_head(struct zl_buf *received, unsigned *ret_status)
{
        const char *end = received->len ? memmem(received->data, received->len, "\r\n\r\n", 4)
                                        : NULL;
        const char *space;
        char digits[4] = { 0 };
        uint64_t status;

        if (!end)
                return received->len > 64 * 1024 ? -EPROTO : 0;
        space = memchr(received->data, ' ', received->len);
        if (strncmp(received->data, "HTTP/1.", 7) != 0 || !space || end - space < 4)
                return -EPROTO;
        memcpy(digits, space + 1, 3);
        if (zl_parse_u64(digits, 10, &status) < 0 || status < 100)
                return -EPROTO;
        *ret_status = (unsigned)status;
        zl_buf_consume(received, (size_t)(end - received->data) + 4);
        return 1;
}

static enum zl_code code_by_name(const char *name)
{
        for (unsigned code = ZL_E_INVALID; code < ZL_E_MAX_; code++)
                if (zl_streq(zl_code_name((enum zl_code)code), name))
                        return (enum zl_code)code;
        return ZL_E_INTERNAL;
}

static int take_fault(json_t *body, unsigned status, struct zl_error *err)
{
        const json_t *o = json_object_get(body, "error");
        const char *hint, *message = zl_json_str(body, "failure", NULL);
        const char *back = zl_json_str(body, "rolled_back", NULL);
        int r;

        if (json_is_object(o)) {
                hint = zl_json_str(o, "hint", NULL);
                r = zl_fail(err, code_by_name(zl_json_str(o, "code", "")), 0, "%s",
                            zl_json_str(o, "message", "the daemon refuses"));
        } else {
                hint = zl_json_str(body, "hint", NULL);
                if (back)
                        r = zl_fail(err, ZL_E_START, 0, "the change was taken back: %s", back);
                else
                        r = zl_fail(err, ZL_E_START, 0, "%s", message ?: "the daemon refuses");
        }
        if (hint)
                zl_error_hint(err, "%s", hint);
        (void)status;
        return r;
}

static int read_all(int fd, struct zl_buf *received, struct zl_error *err)
{
        for (;;) {
                void *at = zl_buf_reserve(received, 16 * 1024);
                ssize_t n = at ? read(fd, at, 16 * 1024) : -1;

                if (!at)
                        return zl_fail(err, ZL_E_PROTOCOL, 0,
                                       "the answer of the daemon is too long");
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return zl_fail_errno(err, errno, "cannot read the answer of the daemon");
                if (n == 0)
                        return 0;
                received->len += (size_t)n;
        }
}

int zl_client_finish(int fd, struct zl_buf *received, json_t **ret, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf own = ZL_BUF_INIT(ANSWER_MAX);
        _cleanup_json_ json_t *body = NULL;
        struct zl_buf *buf = received ?: &own;
        unsigned status = 0;
        int r;

        zl_fd_set_nonblock(fd, false); /* a loop may have watched it */
        r = read_all(fd, buf, err);
        if (r < 0)
                return r;
        if (zl_client_take_head(buf, &status) <= 0)
                return zl_fail(err, ZL_E_PROTOCOL, 0, "the daemon ended without an answer");
        if (buf->len > 0)
                r = zl_json_parse(buf->data, buf->len, "the daemon's answer", &body, err);
        if (r < 0)
                return r;
        if (status >= 300)
                return take_fault(body, status, err);
        if (ret)
                *ret = zl_take_ptr(body);
        return 0;
}

int zl_client_ask(const struct zl_cli *cli, const struct zl_client_request *request, json_t **ret,
                  struct zl_error *err)
{
        _cleanup_close_ int fd = zl_client_send(cli, request, err);

        return fd < 0 ? fd : zl_client_finish(fd, NULL, ret, err);
}

char *zl_client_escape(const char *text)
{
        struct zl_buf out = ZL_BUF_INIT(ANSWER_MAX);
        char *taken;

        for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
                bool safe = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                            (*p >= '0' && *p <= '9') || strchr("-._~", *p);

                if (safe)
                        zl_buf_putc(&out, (char)*p);
                else
                        zl_buf_putf(&out, "%%%02X", *p);
        }
        taken = zl_buf_take(&out);
        zl_buf_done(&out);
        return taken;
}
