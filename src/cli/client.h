/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other side of the daemon's socket, for commands. One request per connection, in HTTP/1.0, so that the end of an answer
 * is the end of the connection; that costs some ten microseconds on a unix socket and spares a library.
 *
 * What only looks at containers or acts on one of them (ps, logs, exec, stop …) does not come here: it asks the monitors and
 * reads the records itself, with or without a daemon. What changes a wish goes to the daemon, if there is one.
 */
#pragma once

#include <stdbool.h>

#include "base/json.h"
#include "cli/cli.h"

/* Does a daemon listen? Does not block: one that listens but hangs is there. */
bool zl_client_has_daemon(const struct zl_cli *cli);

/* Before a command embeds an agent: 1 if it may, `*ret_lock` then holds the lock of the root directory (agent/control.h); 0 if
 * there is a daemon after all, which is to be asked instead. Waits some seconds for a daemon that is just coming up, and says so if it takes long. ZL_E_BUSY
 * if one has the root directory and does not listen on --socket. */
int zl_client_embed(const struct zl_cli *cli, int *ret_lock, struct zl_error *err);
/* Waits some seconds for a daemon; false if none came. */
bool zl_client_await_daemon(const struct zl_cli *cli);

struct zl_client_request {
        const char *method, *path; /* the path may hold what zl_client_escape() has made */
        const char *type;          /* of the body; NULL without one */
        const char *body;          /* NUL-terminated */
};

/* Sends a request and returns the connection, blocking, to be read by zl_client_finish() or as a stream. ZL_E_NOT_FOUND if
 * no daemon listens. */
int zl_client_send(const struct zl_cli *cli, const struct zl_client_request *request,
                   struct zl_error *err);
/* Reads what is left of the answer (blocks until the daemon has answered). `received` is what has been read already, or NULL.
 * `*ret` (may be NULL) is the JSON of the answer, NULL if it is empty. A fault that the daemon tells becomes `err` with its code,
 * message and hint; then `*ret` is not touched. Does not close. */
int zl_client_finish(int fd, struct zl_buf *received, json_t **ret, struct zl_error *err);
/* Both in one go. */
int zl_client_ask(const struct zl_cli *cli, const struct zl_client_request *request, json_t **ret,
                  struct zl_error *err);

/* Takes the head of an answer off the front of `received`, if it is complete. 1: done, `*ret_status` set; 0: not yet; -EPROTO. */
int zl_client_take_head(struct zl_buf *received, unsigned *ret_status);

/* Percent-encodes what is not safe in a path or query; the caller frees. NULL without memory. */
char *zl_client_escape(const char *text);
