/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instances that are kept ready: a process that has loaded the engine and a module, and from which every instance is forked. It
 * runs no guest itself, so what is forked has never seen one: instances share what none of them can write.
 *
 * A spare (`zlayer-wasm spare`, monitor/server_spare.c) is the simpler case: a process that has loaded the engine, and runs one
 * request of the same form itself.
 *
 * The two sides talk over a socket of messages (SOCK_SEQPACKET): zlayer-monitor asks (monitor/server_keep.c), the process
 * `zlayer-wasm keep` answers. A message is a struct zl_keep_message, for RUN with its texts behind it, each ended by a null byte.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum zl_keep_kind {
        ZL_KEEP_RUN =
                1, /* an instance, please: arguments, variables; three descriptors, which become its streams */
        ZL_KEEP_STARTED, /* it runs: one descriptor, its pidfd */
        ZL_KEEP_FAILED,  /* it could not be made: `value` is an errno */
        ZL_KEEP_ENDED,   /* `value` is its exit code, 128 + signal */
};

struct zl_keep_message {
        uint32_t kind;
        uint32_t serial; /* of the one who asks; answers bear it */
        int32_t value;
        uint32_t n_args, n_env;
};

/* Longer arguments go another way. */
enum { ZL_KEEP_MAX = 64 << 10 };

/* Waits for one request. The texts point into `*ret_buffer`; all three are the caller's to free. 0; -EPIPE if the other side is gone, -EPROTO if it is no request, other errnos. */
int zl_keep_receive(int fd, char **ret_buffer, char ***ret_args, char ***ret_env);

/* What runs in the process of an instance, whose streams are in place; its result is the exit code. */
typedef int zl_keep_instance(void *data, char *const *args, char *const *env);

struct zl_keep {
        int fd;       /* the socket */
        size_t ready; /* processes that wait for their instance, at least 1 */
        zl_keep_instance *run;
        void *data;
};

/* Serves until the other side closes the socket. The calling process must have one thread only, and should be alone with its
 * children. 0, or a negative errno if nothing can be served any more. */
int zl_keep_serve(const struct zl_keep *keep);
