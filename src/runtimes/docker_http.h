/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Docker Engine's side of the door: where the daemon listens, one exchange of HTTP/1.1 with it, and the streams that
 * come out of one. A connection serves one exchange (but see zl_docker_conn_next()), belongs to one thread, and its
 * descriptor can be waited for, which is why this is no library's transfer: logs, events and hijacked streams live for hours.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/macro.h"

/* ---- where ----------------------------------------------------------------------------------------- */

struct zl_docker_endpoint {
        char *text;      /* for messages: "unix:///var/run/docker.sock" */
        char *unix_path; /* or */
        char *host;      /* with */
        char *port;
        char *certs; /* TLS: directory of ca.pem, cert.pem and key.pem; NULL: no TLS */
        bool verify; /* the server's certificate */
};
void zl_docker_endpoint_done(struct zl_docker_endpoint *ep);

/* `host` (may be NULL), $DOCKER_HOST, the context of the Docker CLI, /var/run/docker.sock, $XDG_RUNTIME_DIR/docker.sock: the
 * first that is set (or, for the last two, there). ZL_E_CONFIGURATION for what cannot be understood. */
int zl_docker_endpoint_find(const char *host, struct zl_docker_endpoint *ret, struct zl_error *err);

/* ---- one exchange ------------------------------------------------------------------------------------ */

#define ZL_DOCKER_TIMEOUT (INT64_C(60) * 1000000000)

struct zl_docker_request {
        const char *method;
        const char *path; /* complete, with version and query */
        const char *auth; /* X-Registry-Auth, or NULL */
        const char *body; /* or NULL */
        const char *type; /* of the body; NULL: JSON */
        size_t len;
        int body_fd;     /* positive: the body is read from here to its end */
        bool upgrade;    /* wants the connection for itself: 101 */
        bool keep;       /* more requests follow on this connection */
        int64_t timeout; /* until the answer begins, nsec; 0: ZL_DOCKER_TIMEOUT; negative: none */
};

struct zl_docker_conn;

/* Connects. ZL_E_NETWORK, ZL_E_PERMISSION, ZL_E_TIMEOUT (10 s). */
int zl_docker_connect(const struct zl_docker_endpoint *ep, struct zl_docker_conn **ret,
                      struct zl_error *err);
void zl_docker_conn_free(struct zl_docker_conn *conn); /* NULL is allowed */
ZL_DEFINE_CLEANUP(struct zl_docker_conn *, zl_docker_conn_freep, zl_docker_conn_free)
#define _cleanup_docker_conn_ _cleanup_(zl_docker_conn_freep)

/* Sends a request. An engine that answers and hangs up before it has read all of it is no fault here. */
int zl_docker_send(struct zl_docker_conn *conn, const struct zl_docker_request *request,
                   struct zl_error *err);
/* Reads the head of the answer; 100 and its like are skipped. An answer of 400 and more is an error in the engine's own
 * words: ZL_E_NOT_FOUND, ZL_E_STATE (409), ZL_E_INVALID, ZL_E_UNSUPPORTED (501), ZL_E_IO (5xx). Otherwise its status. */
int zl_docker_receive(struct zl_docker_conn *conn, const struct zl_docker_request *request,
                      struct zl_error *err);
/* After a whole body has been read: makes the connection ready for the next answer. */
void zl_docker_conn_next(struct zl_docker_conn *conn);

/* A header of the answer ("api-version", "x-docker-container-path-stat"; lower case), or NULL. */
const char *zl_docker_header(const struct zl_docker_conn *conn, const char *name);

/* ---- bodies ------------------------------------------------------------------------------------------ */

/* Becomes readable when the calls below may have something. They do not block, except where a deadline is given. */
int zl_docker_fd(const struct zl_docker_conn *conn);
/* Bytes of the body: > 0; 0: the end; -EAGAIN: nothing now; -EPROTO: broken off or malformed; other errnos. */
ssize_t zl_docker_read(struct zl_docker_conn *conn, void *buf, size_t len);
/* The same, waiting up to `deadline` (monotonic; negative: none): -ETIMEDOUT. */
ssize_t zl_docker_read_wait(struct zl_docker_conn *conn, void *buf, size_t len, int64_t deadline);
/* The whole body, waiting. ZL_E_PROTOCOL if it is more than `ret` may hold. */
int zl_docker_read_all(struct zl_docker_conn *conn, struct zl_buf *ret, struct zl_error *err);
/* The whole body to a file descriptor. A pause of more than 5 minutes is ZL_E_TIMEOUT. */
int zl_docker_copy(struct zl_docker_conn *conn, int fd, struct zl_error *err);
/* One JSON document of a body that is a sequence of them, each on a line: 1; 0: nothing now; -ENODATA: the end. */
int zl_docker_next_json(struct zl_docker_conn *conn, json_t **ret, struct zl_error *err);

/* After a 101: input. Blocks. Closing ends the engine's input only. */
int zl_docker_write(struct zl_docker_conn *conn, const void *data, size_t len);
int zl_docker_shutdown(struct zl_docker_conn *conn);

/* ---- framed output ----------------------------------------------------------------------------------- */

/* Output of containers: frames of a stream number and bytes, or (terminals) bytes only. */
struct zl_docker_frames {
        struct zl_buf buf;
        size_t used; /* of the buffer, by the frame told last */
        bool raw;
};
#define ZL_DOCKER_FRAMES_INIT(raw_)                                                                \
        ((struct zl_docker_frames){ .buf = ZL_BUF_INIT(16 << 20), .raw = (raw_) })
/* 1: a whole frame, valid until the next call; 0: nothing now; -ENODATA: the end; negative: broken. */
int zl_docker_next_frame(struct zl_docker_conn *conn, struct zl_docker_frames *frames,
                         int *ret_stream, const char **ret_data, size_t *ret_len);
