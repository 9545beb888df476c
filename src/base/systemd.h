/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two conversations of a service with systemd, in the form of sd_notify(3) and sd_listen_fds(3), without its library: a
 * line to $NOTIFY_SOCKET, and sockets that were opened for us. Outside of systemd both do nothing.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* "READY=1", "STOPPING=1", "STATUS=…"; several lines at once are fine. 0 if there is nobody to tell; negative errno. */
int zl_systemd_notify(const char *state);

/* Returns when systemd has worked off all that was told before, which it must while we live to know whom it came from
 * (sd_notify_barrier(3)). Blocks for at most `timeout_nsec`. -ETIMEDOUT: it does not know barriers, or is busy. */
int zl_systemd_barrier(int64_t timeout_nsec);

/* The one socket that was passed to us (sd_listen_fds counts from 3), close-on-exec from here on; -ENOENT if none was, an
 * error if it is more than one or no listening stream socket. Forgets the variables, so that children do not find them. */
int zl_systemd_take_socket(struct zl_error *err);
