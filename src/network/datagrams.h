/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams to a published port that come by the host's loopback, which the kernel does not lead: carried to a target and the answers
 * back, in the loop of zlayer-net. A client (address and port) stays with its target as long as either says something.
 */
#pragma once

#include "network/server.h"

/* A target for a new client of that family: false if there is none. */
typedef bool zl_net_choose(struct zl_net_server *s, struct zl_net_gate *gate, bool six,
                           union zl_sockaddr *ret, socklen_t *ret_len);

/* What stands in the socket of the gate. */
void zl_net_datagrams_take(struct zl_net_server *s, struct zl_net_gate *gate,
                           zl_net_choose *choose);
/* The gate is about to go. */
void zl_net_datagrams_drop(struct zl_net_server *s, const struct zl_net_gate *gate);
/* Ends those that are silent for long. Due at datagrams_at. */
void zl_net_datagrams_look(struct zl_net_server *s);
