/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the client share: one connection, one question, one answer. */
#pragma once

#include "monitor/client.h"
#include "monitor/protocol.h"

#define ZL_MONITOR_SOCKET "monitor.sock"
#define ZL_MONITOR_PID_FILE "monitor.pid"

/* The arguments of a monitor that waits: this word in the place of a name, and so many blanks as room for one. */
#define ZL_MONITOR_WAITING "waiting"
enum { ZL_MONITOR_NAME_ROOM = 192 };

enum { ZL_MONITOR_TIMEOUT_MSEC = 60 * 1000 };

/* What stands in the pid file: the pid as a line of text, and from ZL_MONITOR_NOTE_AT the present state for those who do not
 * want to ask: zl_wire_sum() of the message behind it, then that message (ZL_WIRE_STATE). */
enum { ZL_MONITOR_NOTE_AT = 32, ZL_MONITOR_NOTE_MAX = 1024 };

struct zl_monitor {
        int fd;
        pid_t first; /* of one that was just started: ends at once, and is waited for before the first answer; 0: none */
        uint32_t serial;
        int timeout_msec;  /* how long an answer may take */
        bool over;         /* a stream of events has told its last */
        bool prepared;     /* it holds a directory, and nothing was launched yet */
        struct zl_buf out; /* the message being made */
        struct zl_buf in;  /* the last message received */
        struct zl_wire wire;
        struct zl_wire_head head; /* of it */
};

/* Takes over `fd`, also on failure. */
int zl_monitor_new(int fd, struct zl_monitor **ret, struct zl_error *err);

/* Waits for m->first. */
void zl_monitor_reap(struct zl_monitor *m);

/* Begins a message in m->out. */
void zl_monitor_begin(struct zl_monitor *m, enum zl_wire_type type);
/* Sends it with descriptors; waits while the other side is busy. */
int zl_monitor_send(struct zl_monitor *m, const int *fds, size_t n_fds, struct zl_error *err);

/* Receives one message into m->head and m->wire. 1: received; 0: none within `timeout_msec` (0: do not wait; negative: no
 * limit). `*ret_fd` (may be NULL) is a descriptor that came along, or negative. */
int zl_monitor_receive(struct zl_monitor *m, int timeout_msec, int *ret_fd, struct zl_error *err);

/* Sends m->out and waits for the answer, which must be of type `want`. */
int zl_monitor_call(struct zl_monitor *m, enum zl_wire_type want, int timeout_msec,
                    struct zl_error *err);
