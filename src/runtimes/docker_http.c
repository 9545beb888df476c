/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One exchange of HTTP/1.1 with the Docker Engine (see docker_http.h). The descriptor never blocks; whoever wants to wait
 * does so with a deadline in one place. Bodies come with a length, in chunks, or to the end of the connection; the engine
 * uses all three. TLS is libcurl's, of which we use the connection only: it is loaded when it is needed.
 *
 * What may go wrong: an engine that dies in the middle (-EPROTO), that says nothing (-ETIMEDOUT), or that talks nonsense
 * (ZL_E_PROTOCOL). Heads are limited to 64 KiB, and nothing of an answer is believed that does not parse.
 */
#include "runtimes/docker_http.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/library.h"
#include "base/parse.h"
#include "base/socket.h"
#include "base/strv.h"
#include "image/curl.h"
#include "runtimes/status.h"

enum { HEAD_MAX = 64 << 10, READ_SIZE = 32 << 10, LINE_SIZE = 1000, JSON_MAX = 16 << 20 };

#define CONNECT_TIMEOUT (10 * ZL_NSEC_PER_SEC)
#define IDLE_TIMEOUT (300 * ZL_NSEC_PER_SEC)

enum body { BODY_LENGTH, BODY_CHUNKED, BODY_TO_END, BODY_DONE };

struct zl_docker_conn {
        int fd;
        const struct zl_curl *curl; /* with TLS */
        CURL *easy;
        const char *where;  /* for messages; the endpoint's */
        struct zl_buf in;   /* received and not yet taken */
        struct zl_buf line; /* of a JSON stream */
        char **headers;     /* "name: value" */
        enum body body;
        uint64_t left;  /* of the body, or of the chunk */
        bool chunk_end; /* the line end behind a chunk is still to come */
};

/* ---- bytes ------------------------------------------------------------------------------------------- */

static ssize_t raw_receive(struct zl_docker_conn *c, void *buf, size_t len)
{
        if (c->easy) {
                size_t n = 0;
                CURLcode code = c->curl->easy_recv(c->easy, buf, len, &n);

                return code == CURLE_OK ? (ssize_t)n : code == CURLE_AGAIN ? -EAGAIN : -ECONNRESET;
        }
        for (;;) {
                ssize_t n = recv(c->fd, buf, len, 0);

                if (n >= 0 || errno != EINTR)
                        return n < 0 ? -errno : n;
        }
}

static ssize_t raw_send(struct zl_docker_conn *c, const void *buf, size_t len)
{
        if (c->easy) {
                size_t n = 0;
                CURLcode code = c->curl->easy_send(c->easy, buf, len, &n);

                return code == CURLE_OK ? (ssize_t)n : code == CURLE_AGAIN ? -EAGAIN : -EPIPE;
        }
        for (;;) {
                ssize_t n = send(c->fd, buf, len, MSG_NOSIGNAL);

                if (n >= 0 || errno != EINTR)
                        return n < 0 ? -errno : n;
        }
}

static int send_all(struct zl_docker_conn *c, const void *data, size_t len)
{
        const char *p = data;

        while (len > 0) {
                struct pollfd pfd = { .fd = c->fd, .events = POLLOUT };
                ssize_t n = raw_send(c, p, len);

                if (n == -EAGAIN) {
                        if (poll(&pfd, 1, (int)(IDLE_TIMEOUT / ZL_NSEC_PER_MSEC)) == 0)
                                return -ETIMEDOUT;
                        continue;
                }
                if (n < 0)
                        return (int)n;
                p += n;
                len -= (size_t)n;
        }
        return 0;
}

/* More into the buffer: > 0, 0 at the end, -EAGAIN ... */
static ssize_t fill(struct zl_docker_conn *c)
{
        char *room = zl_buf_reserve(&c->in, READ_SIZE);
        ssize_t n = room ? raw_receive(c, room, READ_SIZE) : -ENOMEM;

        if (n > 0) {
                c->in.len += (size_t)n;
                c->in.data[c->in.len] = 0;
        }
        return n;
}

static ssize_t fill_wait(struct zl_docker_conn *c, int64_t deadline)
{
        for (;;) {
                ssize_t n = fill(c);

                if (n != -EAGAIN)
                        return n;
                n = zl_sleep_on(c->fd, deadline);
                if (n < 0)
                        return n;
        }
}

/* ---- connecting -------------------------------------------------------------------------------------- */

static int connect_unix(const struct zl_docker_endpoint *ep, struct zl_error *err)
{
        int fd = zl_unix_connect_at(AT_FDCWD, ep->unix_path, SOCK_STREAM);

        if (fd >= 0)
                return fd;
        if (fd == -EACCES || fd == -EPERM) {
                fd = zl_fail(err, ZL_E_PERMISSION, -fd, "cannot talk to Docker at %s", ep->text);
                zl_error_hint(err, "run as root, or be in the group of that socket");
                return fd;
        }
        fd = zl_fail(err, ZL_E_NETWORK, -fd, "no Docker daemon answers at %s", ep->text);
        zl_error_hint(err, "start it, or say where it is with DOCKER_HOST");
        return fd;
}

static int connect_address(const struct addrinfo *ai, int64_t deadline)
{
        _cleanup_close_ int fd = socket(
                ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
        int fault = 0;
        socklen_t len = sizeof(fault);

        if (fd < 0)
                return -errno;
        if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
                struct pollfd pfd = { .fd = fd, .events = POLLOUT };
                int64_t left = deadline - zl_now_monotonic();

                if (errno != EINPROGRESS)
                        return -errno;
                if (left <= 0 || poll(&pfd, 1, (int)(left / ZL_NSEC_PER_MSEC) + 1) <= 0)
                        return -ETIMEDOUT;
                if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &len) < 0)
                        return -errno;
        }
        return fault ? -fault : zl_take_fd(fd);
}

static int connect_tcp(const struct zl_docker_endpoint *ep, struct zl_error *err)
{
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
        int64_t deadline = zl_now_monotonic() + CONNECT_TIMEOUT;
        struct addrinfo *list;
        int r = getaddrinfo(ep->host, ep->port, &hints, &list);

        if (r != 0)
                return zl_fail(err, ZL_E_NETWORK, 0, "Docker at %s: %s", ep->text, gai_strerror(r));
        r = -EHOSTUNREACH;
        for (const struct addrinfo *ai = list; ai && r < 0; ai = ai->ai_next)
                r = connect_address(ai, deadline);
        freeaddrinfo(list);
        if (r < 0)
                return zl_fail(err, r == -ETIMEDOUT ? ZL_E_TIMEOUT : ZL_E_NETWORK, -r,
                               "no Docker daemon answers at %s", ep->text);
        return r;
}

static int set_tls_files(const struct zl_docker_endpoint *ep, struct zl_docker_conn *c)
{
        static const struct {
                CURLoption option;
                const char *file;
        } files[] = { { CURLOPT_CAINFO, "ca.pem" },
                      { CURLOPT_SSLCERT, "cert.pem" },
                      { CURLOPT_SSLKEY, "key.pem" } };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s/%s", ep->certs, files[i].file) < 0)
                        return -ENOMEM;
                if (access(path, R_OK) == 0)
                        c->curl->easy_setopt(c->easy, files[i].option, path);
        }
        return 0;
}

static int connect_tls(const struct zl_docker_endpoint *ep, struct zl_docker_conn *c,
                       struct zl_error *err)
{
        _cleanup_free_ char *url = NULL;
        curl_socket_t fd = -1;
        CURLcode code;
        int r = zl_curl_load(&c->curl, err);

        if (r < 0)
                return r;
        c->easy = c->curl->easy_init();
        if (!c->easy || asprintf(&url, "https://%s:%s/", ep->host, ep->port) < 0 ||
            set_tls_files(ep, c) < 0)
                return zl_fail_oom(err);
        c->curl->easy_setopt(c->easy, CURLOPT_URL, url);
        c->curl->easy_setopt(c->easy, CURLOPT_CONNECT_ONLY, 1L);
        c->curl->easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
        c->curl->easy_setopt(c->easy, CURLOPT_PROXY, "");
        c->curl->easy_setopt(c->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        c->curl->easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT,
                             (long)(CONNECT_TIMEOUT / ZL_NSEC_PER_SEC));
        if (!ep->verify) {
                c->curl->easy_setopt(c->easy, CURLOPT_SSL_VERIFYPEER, 0L);
                c->curl->easy_setopt(c->easy, CURLOPT_SSL_VERIFYHOST, 0L);
        }
        code = c->curl->easy_perform(c->easy);
        if (code == CURLE_OK)
                code = c->curl->easy_getinfo(c->easy, CURLINFO_ACTIVESOCKET, &fd);
        if (code != CURLE_OK) {
                r = zl_fail(err, code == CURLE_OPERATION_TIMEDOUT ? ZL_E_TIMEOUT : ZL_E_NETWORK, 0,
                            "Docker at %s: %s", ep->text, c->curl->easy_strerror(code));
                zl_error_hint(err,
                              "ca.pem, cert.pem and key.pem are taken from %s "
                              "(DOCKER_CERT_PATH)",
                              ep->certs);
                return r;
        }
        c->fd = fd;
        return 0;
}

int zl_docker_connect(const struct zl_docker_endpoint *ep, struct zl_docker_conn **ret,
                      struct zl_error *err)
{
        _cleanup_docker_conn_ struct zl_docker_conn *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return zl_fail_oom(err);
        c->fd = -EBADF;
        c->where = ep->text;
        c->in = ZL_BUF_INIT(HEAD_MAX + 2 * READ_SIZE);
        c->line = ZL_BUF_INIT(JSON_MAX);
        c->body = BODY_DONE;
        if (ep->certs) {
                r = connect_tls(ep, c, err);
        } else {
                r = ep->unix_path ? connect_unix(ep, err) : connect_tcp(ep, err);
                c->fd = r < 0 ? -EBADF : r;
        }
        if (r < 0)
                return r;
        if (zl_fd_set_nonblock(c->fd, true) < 0)
                return zl_fail_errno(err, errno, "cannot set up the connection to %s", ep->text);
        *ret = zl_take_ptr(c);
        return 0;
}

void zl_docker_conn_free(struct zl_docker_conn *c)
{
        if (!c)
                return;
        if (c->easy)
                c->curl->easy_cleanup(c->easy); /* closes the descriptor */
        else
                zl_close(c->fd);
        zl_buf_done(&c->in);
        zl_buf_done(&c->line);
        zl_strv_free(c->headers);
        free(c);
}

int zl_docker_fd(const struct zl_docker_conn *c)
{
        return c->fd;
}

/* ---- asking ------------------------------------------------------------------------------------------ */

static int send_file(struct zl_docker_conn *c, int fd, struct zl_error *err)
{
        _cleanup_free_ char *buf = malloc(READ_SIZE);
        char head[32];

        if (!buf)
                return zl_fail_oom(err);
        for (;;) {
                ssize_t n = zl_read_full(fd, buf, READ_SIZE);
                int len, r;

                if (n < 0)
                        return zl_fail_errno(err, (int)-n,
                                             "cannot read what is to be sent to Docker");
                len = snprintf(head, sizeof(head), "%zx\r\n", (size_t)n);
                r = send_all(c, head, (size_t)len);
                if (r == 0)
                        r = send_all(c, buf, (size_t)n);
                if (r == 0)
                        r = send_all(c, "\r\n", 2);
                if (r < 0 || n == 0)
                        return r == -EPIPE || r == -ECONNRESET ? 0 : r;
        }
}

int zl_docker_send(struct zl_docker_conn *c, const struct zl_docker_request *q,
                   struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf head = ZL_BUF_INIT(HEAD_MAX);
        int r;

        zl_buf_putf(&head, "%s %s HTTP/1.1\r\nHost: docker\r\nUser-Agent: zlayer-agent/%s\r\n",
                    q->method, q->path, ZL_VERSION);
        if (q->upgrade)
                zl_buf_puts(&head, "Connection: Upgrade\r\nUpgrade: tcp\r\n");
        else if (!q->keep)
                zl_buf_puts(&head, "Connection: close\r\n");
        if (q->auth)
                zl_buf_putf(&head, "X-Registry-Auth: %s\r\n", q->auth);
        if (q->body || q->body_fd > 0)
                zl_buf_putf(&head, "Content-Type: %s\r\n", q->type ? q->type : "application/json");
        if (q->body_fd > 0)
                zl_buf_puts(&head, "Transfer-Encoding: chunked\r\n");
        else if (q->body || !zl_streq(q->method, "GET"))
                zl_buf_putf(&head, "Content-Length: %zu\r\n", q->body ? q->len : (size_t)0);
        zl_buf_puts(&head, "\r\n");
        if (zl_buf_error(&head) < 0)
                return zl_fail(err, ZL_E_INVALID, -zl_buf_error(&head), "a request to Docker");
        r = send_all(c, head.data, head.len);
        if (r == 0 && q->body && q->body_fd <= 0)
                r = send_all(c, q->body, q->len);
        /* It may have answered and closed already: the answer tells why. */
        if (r == -EPIPE || r == -ECONNRESET)
                return 0;
        if (r < 0)
                return zl_fail(err, r == -ETIMEDOUT ? ZL_E_TIMEOUT : ZL_E_NETWORK, -r,
                               "cannot send a request to Docker at %s", c->where);
        return q->body_fd > 0 ? send_file(c, q->body_fd, err) : 0;
}

/* ---- the head of the answer -------------------------------------------------------------------------- */

const char *zl_docker_header(const struct zl_docker_conn *c, const char *name)
{
        size_t n = strlen(name);

        ZL_STRV_FOREACH(h, c->headers)
                if (strncasecmp(*h, name, n) == 0 && (*h)[n] == ':')
                        return *h + n + 1 + strspn(*h + n + 1, " \t");
        return NULL;
}

static int garbage(const struct zl_docker_conn *c, struct zl_error *err)
{
        return zl_fail(err, ZL_E_PROTOCOL, 0, "what answers at %s is no Docker Engine", c->where);
}

/* How the body comes. `status` has no body: 1xx, 204, 304. */
static int begin_body(struct zl_docker_conn *c, int status, const struct zl_docker_request *q)
{
        const char *length = zl_docker_header(c, "content-length");
        const char *coding = zl_docker_header(c, "transfer-encoding");

        c->left = 0;
        c->chunk_end = false;
        if (status == 101) {
                c->body = BODY_TO_END;
        } else if (status == 204 || status == 304 || zl_streq(q->method, "HEAD")) {
                c->body = BODY_DONE;
        } else if (coding && strcasecmp(coding, "chunked") == 0) {
                c->body = BODY_CHUNKED;
        } else if (length) {
                c->body = BODY_LENGTH;
                return zl_parse_u64(length, 10, &c->left);
        } else {
                c->body = BODY_TO_END;
        }
        return 0;
}

/* The head without its last empty line, in `text`. Returns the status. */
static int parse_head(struct zl_docker_conn *c, char *text)
{
        char *save = NULL, *line = strtok_r(text, "\r\n", &save);
        int status;

        if (!line || sscanf(line, "HTTP/1.%*[01] %3d", &status) != 1 || status < 100 ||
            status > 599)
                return -EPROTO;
        zl_strv_free(zl_take_ptr(c->headers));
        while ((line = strtok_r(NULL, "\r\n", &save)))
                if (zl_strv_push(&c->headers, line) < 0)
                        return -ENOMEM;
        return status;
}

static int read_head(struct zl_docker_conn *c, int64_t deadline, struct zl_error *err)
{
        const char *end;
        int status;

        while (!c->in.data || !(end = strstr(c->in.data, "\r\n\r\n"))) {
                ssize_t n = c->in.len > HEAD_MAX ? -EPROTO : fill_wait(c, deadline);

                if (n == -EPROTO ||
                    (n > 0 && memcmp(c->in.data, "HTTP/1.1", ZL_MIN(c->in.len, (size_t)7)) != 0))
                        return garbage(c, err);
                if (n == -ETIMEDOUT)
                        return zl_fail(err, ZL_E_TIMEOUT, 0, "Docker at %s does not answer",
                                       c->where);
                if (n <= 0)
                        return zl_fail(err, ZL_E_NETWORK, (int)-n,
                                       "Docker at %s closed the connection without an answer",
                                       c->where);
        }
        size_t len = (size_t)(end - c->in.data);
        _cleanup_free_ char *text = strndup(c->in.data, len);

        status = text ? parse_head(c, text) : -ENOMEM;
        if (status < 0)
                return status == -ENOMEM ? zl_fail_oom(err) : garbage(c, err);
        zl_buf_consume(&c->in, len + 4);
        return status;
}

/* The engine's own words: {"message": "..."}, or plain text. */
static int refuse(struct zl_docker_conn *c, int status, struct zl_error *err)
{
        static const struct {
                int status;
                enum zl_code code;
        } codes[] = { { 400, ZL_E_INVALID },    { 401, ZL_E_UNAUTHORIZED },
                      { 403, ZL_E_PERMISSION }, { 404, ZL_E_NOT_FOUND },
                      { 409, ZL_E_STATE },      { 501, ZL_E_UNSUPPORTED },
                      { 503, ZL_E_UNSUPPORTED } };
        _cleanup_buf_ struct zl_buf body = ZL_BUF_INIT(HEAD_MAX);
        _cleanup_json_ json_t *json = NULL;
        enum zl_code code = ZL_E_IO;
        const char *text = NULL;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(codes); i++)
                if (codes[i].status == status)
                        code = codes[i].code;
        if (zl_docker_read_all(c, &body, NULL) == 0 && body.len > 0) {
                body.data[strcspn(body.data, "\n")] = 0;
                if (zl_json_parse(body.data, strlen(body.data), "answer", &json, NULL) == 0)
                        text = zl_json_str(json, "message", NULL);
                else
                        text = body.data;
        }
        if (text && *text)
                return zl_fail(err, code, 0, "Docker: %s", text);
        return zl_fail(err, code, 0, "Docker answers with status %d", status);
}

int zl_docker_receive(struct zl_docker_conn *c, const struct zl_docker_request *q,
                      struct zl_error *err)
{
        int64_t timeout = q->timeout ? q->timeout : ZL_DOCKER_TIMEOUT;
        int64_t deadline = timeout < 0 ? -1 : zl_now_monotonic() + timeout;
        int status;

        do {
                status = read_head(c, deadline, err);
                if (status < 0)
                        return status;
        } while (status < 200 && status != 101);
        if (begin_body(c, status, q) < 0)
                return garbage(c, err);
        return status >= 400 ? refuse(c, status, err) : status;
}

void zl_docker_conn_next(struct zl_docker_conn *c)
{
        c->body = BODY_DONE;
        zl_buf_reset(&c->line);
}

/* ---- the body ---------------------------------------------------------------------------------------- */

/* A line in front of the received bytes, without its end, into `line`: 1, 0 at the end of the stream, negative. */
static ssize_t take_line(struct zl_docker_conn *c, char line[LINE_SIZE])
{
        for (;;) {
                const char *end = c->in.len ? memchr(c->in.data, '\n', c->in.len) : NULL;
                ssize_t n;

                if (end) {
                        size_t len = (size_t)(end - c->in.data);

                        if (len >= LINE_SIZE)
                                return -EPROTO;
                        memcpy(line, c->in.data, len);
                        line[len > 0 && line[len - 1] == '\r' ? len - 1 : len] = 0;
                        zl_buf_consume(&c->in, len + 1);
                        return 1;
                }
                n = c->in.len >= LINE_SIZE ? -EPROTO : fill(c);
                if (n <= 0)
                        return n == 0 ? -EPROTO : n;
        }
}

/* To the data of the next chunk: 1, 0 if it was the last, negative. */
static ssize_t next_chunk(struct zl_docker_conn *c)
{
        char line[LINE_SIZE];
        char *end;
        ssize_t n;

        if (c->chunk_end) {
                n = take_line(c, line);
                if (n < 0)
                        return n;
                if (*line)
                        return -EPROTO;
                c->chunk_end = false;
        }
        n = take_line(c, line);
        if (n < 0)
                return n;
        errno = 0;
        c->left = strtoull(line, &end, 16);
        if (errno || end == line || (*end && *end != ';'))
                return -EPROTO;
        if (c->left > 0) {
                c->chunk_end = true;
                return 1;
        }
        /* Docker sends no trailers; what may come is dropped with the connection. */
        c->body = BODY_DONE;
        take_line(c, line);
        return 0;
}

ssize_t zl_docker_read(struct zl_docker_conn *c, void *buf, size_t len)
{
        ssize_t n;

        if (c->body == BODY_DONE || (c->body == BODY_LENGTH && c->left == 0))
                return 0;
        if (c->body == BODY_CHUNKED && c->left == 0) {
                n = next_chunk(c);
                if (n <= 0)
                        return n;
        }
        if (c->body != BODY_TO_END && len > c->left)
                len = (size_t)c->left;
        if (c->in.len > 0) {
                n = (ssize_t)ZL_MIN(len, c->in.len);
                memcpy(buf, c->in.data, (size_t)n);
                zl_buf_consume(&c->in, (size_t)n);
        } else {
                n = raw_receive(c, buf, len);
                if (n == 0 && c->body != BODY_TO_END)
                        return -EPROTO;
                if (n <= 0)
                        return n;
        }
        if (c->body != BODY_TO_END)
                c->left -= (uint64_t)n;
        return n;
}

ssize_t zl_docker_read_wait(struct zl_docker_conn *c, void *buf, size_t len, int64_t deadline)
{
        for (;;) {
                ssize_t n = zl_docker_read(c, buf, len);

                if (n != -EAGAIN)
                        return n;
                n = zl_sleep_on(c->fd, deadline);
                if (n < 0)
                        return n;
        }
}

static int broken_body(const struct zl_docker_conn *c, int r, struct zl_error *err)
{
        if (r == -ETIMEDOUT)
                return zl_fail(err, ZL_E_TIMEOUT, 0, "Docker at %s says nothing any more",
                               c->where);
        return zl_fail(err, ZL_E_NETWORK, r == -EPROTO ? 0 : -r,
                       "the answer of Docker at %s breaks off", c->where);
}

int zl_docker_read_all(struct zl_docker_conn *c, struct zl_buf *ret, struct zl_error *err)
{
        char part[8192];

        for (;;) {
                ssize_t n = zl_docker_read_wait(c, part, sizeof(part),
                                                zl_now_monotonic() + ZL_DOCKER_TIMEOUT);

                if (n < 0)
                        return broken_body(c, (int)n, err);
                if (n == 0)
                        return 0;
                if (zl_buf_put(ret, part, (size_t)n) < 0)
                        return zl_fail(err, ZL_E_PROTOCOL, -zl_buf_error(ret),
                                       "cannot hold the answer of Docker at %s", c->where);
        }
}

int zl_docker_copy(struct zl_docker_conn *c, int fd, struct zl_error *err)
{
        _cleanup_free_ char *buf = malloc(READ_SIZE);

        if (!buf)
                return zl_fail_oom(err);
        for (;;) {
                ssize_t n = zl_docker_read_wait(c, buf, READ_SIZE,
                                                zl_now_monotonic() + IDLE_TIMEOUT);
                int r;

                if (n < 0)
                        return broken_body(c, (int)n, err);
                if (n == 0)
                        return 0;
                r = zl_write_full(fd, buf, (size_t)n);
                if (r < 0)
                        return zl_fail_errno(err, -r, "cannot write what Docker sends");
        }
}

int zl_docker_next_json(struct zl_docker_conn *c, json_t **ret, struct zl_error *err)
{
        for (;;) {
                char *end = c->line.len ? memchr(c->line.data, '\n', c->line.len) : NULL;
                char *room;
                ssize_t n;
                int r;

                if (end && end - c->line.data <= 1) { /* an empty line keeps connections alive */
                        zl_buf_consume(&c->line, (size_t)(end - c->line.data) + 1);
                        continue;
                }
                if (end) {
                        r = zl_json_parse(c->line.data, (size_t)(end - c->line.data),
                                          "a message of Docker", ret, err);
                        zl_buf_consume(&c->line, (size_t)(end - c->line.data) + 1);
                        return r < 0 ? r : 1;
                }
                room = zl_buf_reserve(&c->line, READ_SIZE);
                if (!room)
                        return zl_fail(err, ZL_E_PROTOCOL, 0, "a message of Docker is too long");
                n = zl_docker_read(c, room, READ_SIZE);
                if (n == -EAGAIN)
                        return 0;
                if (n < 0)
                        return broken_body(c, (int)n, err);
                /* The last one may lack its line end. */
                if (n == 0 && c->line.len == 0)
                        return -ENODATA;
                if (n == 0)
                        *room = '\n';
                c->line.len += n == 0 ? 1 : (size_t)n;
        }
}

int zl_docker_write(struct zl_docker_conn *c, const void *data, size_t len)
{
        return send_all(c, data, len);
}

/* libcurl has no call that ends one direction of TLS, but gives away the session of OpenSSL, which is in the process by then. */
static int shutdown_tls(const struct zl_docker_conn *c)
{
        static struct {
                int (*shutdown)(void *session);
        } ssl;
        static const struct zl_library_function functions[] = { { "SSL_shutdown", 0 } };
        static struct zl_library library = ZL_LIBRARY_INIT(
                "libssl.so.3", "to end the input of a workload", functions, &ssl);
        struct curl_tlssessioninfo *tls = NULL;

        if (c->curl->easy_getinfo(c->easy, CURLINFO_TLS_SSL_PTR, &tls) != CURLE_OK || !tls ||
            !tls->internals || tls->backend != CURLSSLBACKEND_OPENSSL ||
            zl_library_load(&library, NULL) < 0)
                return -EOPNOTSUPP;
        return ssl.shutdown(tls->internals) < 0 ? -EIO : 0;
}

int zl_docker_shutdown(struct zl_docker_conn *c)
{
        if (c->easy)
                return shutdown_tls(c);
        return shutdown(c->fd, SHUT_WR) < 0 ? -errno : 0;
}

/* ---- frames ------------------------------------------------------------------------------------------ */

int zl_docker_next_frame(struct zl_docker_conn *c, struct zl_docker_frames *f, int *ret_stream,
                         const char **ret_data, size_t *ret_len)
{
        zl_buf_consume(&f->buf, f->used);
        f->used = 0;
        for (;;) {
                const unsigned char *h = (const unsigned char *)f->buf.data;
                size_t size = f->buf.len < 8 ? 0
                                             : ((size_t)h[4] << 24 | (size_t)h[5] << 16 |
                                                (size_t)h[6] << 8 | h[7]);
                char *room;
                ssize_t n;

                if (f->raw && f->buf.len > 0) {
                        *ret_stream = 1;
                        *ret_data = f->buf.data;
                        *ret_len = f->used = f->buf.len;
                        return 1;
                }
                if (f->buf.len >= 8 &&
                    (h[0] > 3 || h[1] || h[2] || h[3] || size > f->buf.max - READ_SIZE))
                        return -EPROTO;
                if (f->buf.len >= 8 && f->buf.len - 8 >= size) {
                        *ret_stream = h[0] == 2 || h[0] == 3 ? 2 : 1;
                        *ret_data = f->buf.data + 8;
                        *ret_len = size;
                        f->used = size + 8;
                        return 1;
                }
                room = zl_buf_reserve(&f->buf, READ_SIZE);
                n = room ? zl_docker_read(c, room, READ_SIZE) : -ENOMEM;
                if (n == -EAGAIN)
                        return 0;
                if (n <= 0)
                        return n < 0 ? (int)n : f->buf.len ? -EPROTO : -ENODATA;
                f->buf.len += (size_t)n;
        }
}
