/* SPDX-License-Identifier: Apache-2.0 */
/* Carrying the bytes of one TCP connection over to another, in the loop of zlayer-net. */
#pragma once

#include "network/ip.h"

/* Connects to the target and carries on until both sides have ended. `fd` (non-blocking) is the relay's on success. */
int zl_net_relay_start(int epoll_fd, int fd, const struct zl_ip *target, uint16_t port);
