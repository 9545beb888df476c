/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way out for somebody who may not change the network that he is in: a user without privileges, or root without CAP_NET_ADMIN, in a
 * user namespace. zlayer-net then moves into a network namespace of its own, and leaves a child outside, which makes sockets there and has
 * pasta or slirp4netns carry what containers send to the world.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

enum { ZL_OUTSIDE_PATH_SIZE = 512 };
#define ZL_OUTSIDE_NOTHING                                                                         \
        "networks need CAP_NET_ADMIN, or the program pasta or slirp4netns: none of them is here"

/* The program that is tried first: its name, and where it is. NULL: there is none. */
const char *zl_outside_find(char ret_path[ZL_OUTSIDE_PATH_SIZE]);

/* Does the network namespace that we are in belong to a user namespace above ours? */
bool zl_outside_is_needed(void);

/*
 * Moves the calling thread, which must be the only one, into a new network namespace with nothing but an address on loopback and the way
 * out, which is there when this returns. `*ret` is the socket to the child; it and the way out go when it is closed, by death, too.
 * ZL_E_CONFIGURATION: neither program is there, or the one that is does not work (the message has what it said). Blocks for as long as
 * that takes (tenths of a second). `dir` is where the program may write its process id.
 */
int zl_outside_move(const char *dir, int *ret, struct zl_error *err);

/* A socket (close-on-exec, not blocking) of the namespace outside; with `outside` < 0 of ours. A negative errno. */
int zl_outside_socket(int outside, int family, int type);
