/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets: paths of any length (sun_path is 108 bytes; longer ones go through a directory
 * descriptor), descriptors in messages, and who is on the other side.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* `type` is SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM (which is bound and no more); `path` may be relative to dirfd. Listening replaces nothing: -EADDRINUSE if the
 * name exists. Both return a descriptor (blocking, O_CLOEXEC). */
int zl_unix_listen_at(int dirfd, const char *path, int type, mode_t mode);
int zl_unix_connect_at(int dirfd, const char *path, int type);

enum { ZL_FDS_MAX = 16 }; /* descriptors in one message */

/* Sends one message with `n_fds` descriptors; flags as sendmsg (MSG_NOSIGNAL is added). Returns bytes sent. */
ssize_t zl_send_fds(int fd, const void *data, size_t len, const int *fds, size_t n_fds, int flags);
/* Receives one message; `*n_fds` is the room in `fds` and then the number received. Descriptors that do not
 * fit are closed and give -EMSGSIZE; so does a message larger than `len`. 0 is the end of the stream. */
ssize_t zl_recv_fds(int fd, void *data, size_t len, int *fds, size_t *n_fds, int flags);

/* Credentials of the connected peer (SO_PEERCRED and its like). */
int zl_unix_peer(int fd, pid_t *ret_pid, uid_t *ret_uid, gid_t *ret_gid);
