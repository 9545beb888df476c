/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said on RUN_DIR/monitor.sock: messages of a SOCK_SEQPACKET socket, each a head and a body.
 *
 * The head carries a version, so that an agent can be upgraded while monitors of its predecessor live on: a newer client
 * speaks the version of the monitor it finds; a monitor refuses versions it does not know with ZL_E_PROTOCOL. Bodies
 * are fixed sequences of the items below, in the byte order of the machine. The decoder is strict: every length is
 * checked against what is there, strings have exactly one NUL at their end, and a message must be used up to its last
 * byte. Whatever does not fit closes the connection, nothing else happens.
 *
 * A connection has one role, given by the first message that decides: questions and orders (each answered by one reply
 * with the same serial), SUBSCRIBE, EXEC or ATTACH.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "monitor/client.h"

enum {
        ZL_WIRE_MAGIC = 0x314d4c5a, /* "ZLM1" */
        ZL_WIRE_VERSION = 1,
        ZL_WIRE_MAX = 124 * 1024, /* one message; fits the default buffer of a socket */
        ZL_WIRE_OUTPUT_MAX = 32 * 1024,
};

/* Types are never reused; new ones are appended. */
enum zl_wire_type {
        /* from the client */
        ZL_WIRE_STATUS = 1,
        ZL_WIRE_START,
        ZL_WIRE_STOP,   /* i32 signal, i64 grace */
        ZL_WIRE_KILL,   /* i32 signal, u8 all */
        ZL_WIRE_PAUSE,  /* u8 pause */
        ZL_WIRE_RESIZE, /* u32 rows, u32 columns */
        ZL_WIRE_SUBSCRIBE,
        ZL_WIRE_EXEC, /* strv argv, strv env, str cwd, str user, u8 privileged, u8 tty, u32 rows, u32 columns, u8 mask of
                              the streams whose descriptors come along */
        ZL_WIRE_EXEC_KILL, /* i32 signal */
        ZL_WIRE_ATTACH,
        ZL_WIRE_INPUT,   /* the rest of the message; empty: end of input */
        ZL_WIRE_LAUNCH,  /* see zl_wire_put_launch(); on the inherited socket only */
        ZL_WIRE_ADOPT,   /* str name, strv arguments, strv env; from whoever launched it only */
        ZL_WIRE_PREPARE, /* str name, strv lower directories or NULL, str upper, str work; on the inherited socket only, before the launch: its two
                            directories come along */
        /* from the monitor */
        ZL_WIRE_OK = 128,
        ZL_WIRE_ERROR,  /* u32 code, i32 errno, str message, str hint */
        ZL_WIRE_STATE,  /* a status: the answer to STATUS and the event of SUBSCRIBE (serial 0) */
        ZL_WIRE_EXITED, /* an exit record: the answer to STOP */
        ZL_WIRE_EXEC_STARTED, /* i32 pid; with a terminal its master comes along */
        ZL_WIRE_EXEC_EXITED,  /* i32 exit code */
        ZL_WIRE_OUTPUT,       /* u8 stream, then the rest of the message */
        ZL_WIRE_DROPPED,      /* too slow; the connection ends */
        ZL_WIRE_END,          /* of the output */
};

struct zl_wire_head {
        uint32_t magic;
        uint16_t version;
        uint16_t type;
        uint32_t serial;
        uint32_t len; /* of the body */
};
_Static_assert(sizeof(struct zl_wire_head) == 16, "format");

/* ---- encoding: appends to a buffer, errors stick to it ------------------------------------------------ */

/* Begins a message in an empty buffer; zl_wire_end() fills in the length. */
void zl_wire_begin(struct zl_buf *buf, enum zl_wire_type type, uint32_t serial);
/* 0, -ENOMEM, or -E2BIG if it is longer than ZL_WIRE_MAX. */
int zl_wire_end(struct zl_buf *buf);

void zl_wire_put_u8(struct zl_buf *buf, uint8_t v);
void zl_wire_put_u32(struct zl_buf *buf, uint32_t v);
void zl_wire_put_i32(struct zl_buf *buf, int32_t v);
void zl_wire_put_u64(struct zl_buf *buf, uint64_t v);
void zl_wire_put_i64(struct zl_buf *buf, int64_t v);
void zl_wire_put_str(struct zl_buf *buf, const char *s);      /* NULL is kept apart from "" */
void zl_wire_put_strv(struct zl_buf *buf, char *const *strv); /* NULL is kept apart from empty */
void zl_wire_put_error(struct zl_buf *buf, const struct zl_error *err);
void zl_wire_put_record(struct zl_buf *buf, const struct zl_exit_record *record);
void zl_wire_put_status(struct zl_buf *buf, const struct zl_monitor_status *status);
/* A sum over a message that others may read while it is being written. */
uint64_t zl_wire_sum(const void *message, size_t len);

/* ---- decoding: a reader over one message ---------------------------------------------------------------- */

/* Faults stick: after one every get gives 0 or NULL, and zl_wire_finish() tells. Strings point into the message. */
struct zl_wire {
        const char *pos, *end;
        bool bad;
};

/* Checks the head of a message of `len` bytes and begins to read its body. -EPROTO; -EPROTONOSUPPORT for another
 * version (`*ret_head` is filled then, too). */
int zl_wire_open(struct zl_wire *wire, const void *message, size_t len,
                 struct zl_wire_head *ret_head);

uint8_t zl_wire_get_u8(struct zl_wire *wire);
uint32_t zl_wire_get_u32(struct zl_wire *wire);
int32_t zl_wire_get_i32(struct zl_wire *wire);
uint64_t zl_wire_get_u64(struct zl_wire *wire);
int64_t zl_wire_get_i64(struct zl_wire *wire);
bool zl_wire_get_bool(struct zl_wire *wire); /* other values than 0 and 1 are faults */
const char *zl_wire_get_str(struct zl_wire *wire);
/* The vector is the caller's (free()), its strings point into the message. */
char **zl_wire_get_strv(struct zl_wire *wire);
/* All that is left. */
const char *zl_wire_get_rest(struct zl_wire *wire, size_t *ret_len);
/* Fills `err` with the error that came; returns its negative errno. */
int zl_wire_get_error(struct zl_wire *wire, struct zl_error *err);
/* The caller releases them also after a fault. */
void zl_wire_get_record(struct zl_wire *wire, struct zl_exit_record *ret);
void zl_wire_get_status(struct zl_wire *wire, struct zl_monitor_status *ret);

/* 0 if all was there and nothing is left, else -EPROTO. */
int zl_wire_finish(const struct zl_wire *wire);

/* ---- the launch request --------------------------------------------------------------------------------- */

/* What comes along with a launch, in this order; those that are not there are left out and their bit is 0. */
enum zl_launch_fd { ZL_LAUNCH_STATE_DIR, ZL_LAUNCH_RUN_DIR, ZL_LAUNCH_SECCOMP, ZL_LAUNCH_FDS };

void zl_wire_put_launch(struct zl_buf *buf, const struct zl_monitor_launch *launch);
/* Fills everything but the descriptors; `*ret_fd_mask` tells which came. Strings point into the message; lower_dirs is
 * to be freed. -EPROTO. */
int zl_wire_get_launch(struct zl_wire *wire, struct zl_monitor_launch *ret, uint32_t *ret_fd_mask);
