/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's tables of sockets, as /proc shows them: not every kernel has the netlink form. Reads the whole table, does not block. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct zl_socket_row {
        uint16_t port;  /* local, host order */
        unsigned state; /* TCP_… of <netinet/tcp.h>, or ZL_SOCKET_NEW */
        unsigned long inode;
};

enum { ZL_SOCKET_NEW = 12 }; /* a connection whose handshake is not done */

/* Calls `each` for every line of "/proc/net/tcp" or its like until it returns true. 1 if it did, 0, or a negative errno. */
int zl_sockets_each(const char *table, bool (*each)(const struct zl_socket_row *row, void *data),
                    void *data);
