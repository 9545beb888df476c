/* SPDX-License-Identifier: Apache-2.0 */
/* Carrying the bytes of one TCP connection over to another, in the loop of zlayer-net. */
#pragma once

#include <stdbool.h>

#include "network/ip.h"

struct zl_net_gate;
struct zl_net_server;

/* Whether a relay may begin without taking the descriptors that everything else needs. */
bool zl_net_relay_has_room(const struct zl_net_server *s);
/* Connects to the first target that answers (the second may have the family 0: none) and carries on until both sides have
 * ended. `fd` (non-blocking), which came in by `gate`, is the relay's on success. */
int zl_net_relay_start(struct zl_net_server *s, struct zl_net_gate *gate, int fd,
                       const struct zl_ip targets[2], uint16_t port);
/* What they carry is counted for their gates at once, the segments that it takes only here, and at their end. */
void zl_net_relays_count(struct zl_net_server *s);
/* The gate is about to go; those that came in by it go on. */
void zl_net_relays_forget(struct zl_net_server *s, const struct zl_net_gate *gate);
