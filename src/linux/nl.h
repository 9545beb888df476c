/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Netlink: requests in a growing buffer, and the talk with the kernel. The kernel works a request off while it is sent, so
 * nothing here waits for anybody. Not thread-safe: a socket belongs to one thread at a time.
 *
 * A request is built from zl_nl_begin() to zl_nl_end(); several in one buffer go out together. Errors stick to the buffer.
 */
#pragma once

#include <linux/netlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

struct zl_nl {
        int fd, protocol;
        uint32_t seq;
};

#define ZL_NL_INIT ((struct zl_nl){ .fd = -EBADF })
#define ZL_NL_BUF ZL_BUF_INIT(8 << 20)

/* `protocol` is NETLINK_ROUTE or NETLINK_NETFILTER; the socket belongs to the network namespace of the caller. */
int zl_nl_open(struct zl_nl *nl, int protocol, struct zl_error *err);
/* The same in another namespace, which the calling thread enters for it and leaves again. */
int zl_nl_open_in(struct zl_nl *nl, int protocol, int netns_fd, struct zl_error *err);
/* Calls `call` with the calling thread in another network namespace, and returns what it returns. */
int zl_netns_call(int netns_fd, int (*call)(void *data, struct zl_error *err), void *data,
                  struct zl_error *err);
void zl_nl_close(struct zl_nl *nl);
#define _cleanup_nl_ _cleanup_(zl_nl_close)

/* ---- building ------------------------------------------------------------------------------------- */

/* Appends a message's head and the family's own header behind it. NLM_F_REQUEST is added. Returns what zl_nl_end() wants. */
size_t zl_nl_begin(struct zl_buf *buf, uint16_t type, uint16_t flags, const void *header,
                   size_t len);
void zl_nl_end(struct zl_buf *buf, size_t begin);

void zl_nl_put(struct zl_buf *buf, uint16_t type, const void *data, size_t len);
void zl_nl_put_str(struct zl_buf *buf, uint16_t type, const char *s); /* with its NUL */
void zl_nl_put_u32(struct zl_buf *buf, uint16_t type, uint32_t v);
void zl_nl_put_be32(struct zl_buf *buf, uint16_t type, uint32_t v);
size_t zl_nl_nest(struct zl_buf *buf, uint16_t type); /* returns what zl_nl_nest_end() wants */
void zl_nl_nest_end(struct zl_buf *buf, size_t nest);

/* ---- talking -------------------------------------------------------------------------------------- */

/* Sends all requests of the buffer and reads what the kernel says. The first refusal is the error; what the kernel adds in
 * words stands in the message. Requests behind a refused one are still carried out by NETLINK_ROUTE. */
int zl_nl_transact(struct zl_nl *nl, struct zl_buf *buf, struct zl_error *err);

/* Sends one request with NLM_F_DUMP and calls `each` for every message of the answer, until it returns non-zero. Returns
 * that, 0, or a negative errno. -EINTR: the kernel's table changed meanwhile, so the answer may have holes. */
typedef int zl_nl_each(const struct nlmsghdr *message, void *data);
int zl_nl_dump(struct zl_nl *nl, struct zl_buf *buf, zl_nl_each *each, void *data);

/* Sends one request without NLM_F_DUMP, to which one message answers; otherwise as zl_nl_dump(). */
int zl_nl_get(struct zl_nl *nl, struct zl_buf *buf, zl_nl_each *each, void *data);

/* The payload of an attribute of a message whose own header has `header` bytes; NULL if it has none or fewer than `min`
 * bytes. `ret_len` may be NULL. */
const void *zl_nl_find(const struct nlmsghdr *message, size_t header, uint16_t type, size_t min,
                       size_t *ret_len);
/* The same inside a nest. */
const void *zl_nl_find_in(const void *attrs, size_t len, uint16_t type, size_t min,
                          size_t *ret_len);
