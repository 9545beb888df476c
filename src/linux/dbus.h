/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much of D-Bus as a program needs that asks systemd for something: calls with their answers, and one signal to wait for. Without a
 * library, since the programs that use it are static and start often.
 *
 * Threads: a connection belongs to one thread at a time. Every call blocks until the answer is there, at most ZL_DBUS_WAIT_NSEC.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

#define ZL_DBUS_WAIT_NSEC (30 * ZL_NSEC_PER_SEC)
enum { ZL_DBUS_MESSAGE_MAX = 1 << 20 };

struct zl_dbus;

/* Connects to a unix socket ("/run/dbus/system_bus_socket") as whoever we are, and says hello. */
int zl_dbus_open(const char *path, struct zl_dbus **ret, struct zl_error *err);
void zl_dbus_close(struct zl_dbus *bus);
ZL_DEFINE_CLEANUP(struct zl_dbus *, zl_dbus_closep, zl_dbus_close)

/* Where a call goes. All members are needed. */
struct zl_dbus_call {
        const char *destination, *path, *interface, *member;
        const char *signature;     /* of the body; "" without one */
        const struct zl_buf *body; /* in the order of the wire, or NULL */
};

/* A message that came; the body is read from the front by zl_dbus_take…(). */
struct zl_dbus_message {
        struct zl_buf data;
        size_t at, body; /* where the next value is; where the body begins */
        uint8_t type;
        uint32_t reply_to;
        const char *member, *error_name, *signature; /* inside of `data`, or NULL */
};
void zl_dbus_message_done(struct zl_dbus_message *m);

/* Calls and waits for the answer; what comes in between is dropped, but for signals that zl_dbus_wait_signal() could want. `ret` may be
 * NULL. A refusal is ZL_E_INTERNAL with the words of the other side; its name ("org.freedesktop.systemd1.NoSuchUnit") goes to the
 * hint-free `*ret_refusal`, which the caller frees, if that is not NULL. */
int zl_dbus_call(struct zl_dbus *bus, const struct zl_dbus_call *call, struct zl_dbus_message *ret,
                 char **ret_refusal, struct zl_error *err);
/* Asks for a signal, by a rule in the language of the bus. */
int zl_dbus_match(struct zl_dbus *bus, const char *rule, struct zl_error *err);
/* The next signal of that name, also one that came during a call. */
int zl_dbus_wait_signal(struct zl_dbus *bus, const char *member, struct zl_dbus_message *ret,
                        struct zl_error *err);

/* --- the wire: little-endian, every value aligned to its size from the beginning of the message -------------- */

void zl_dbus_put_align(struct zl_buf *b, size_t to);
void zl_dbus_put_u32(struct zl_buf *b, uint32_t v);
void zl_dbus_put_u64(struct zl_buf *b, uint64_t v);
void zl_dbus_put_string(struct zl_buf *b, const char *s); /* also an object path */
void zl_dbus_put_signature(struct zl_buf *b, const char *s);
/* An array: begin() returns the place for end(); `align` is that of its elements. */
size_t zl_dbus_array_begin(struct zl_buf *b, size_t align);
void zl_dbus_array_end(struct zl_buf *b, size_t place, size_t align);

/* -EBADMSG if it is not there. Strings stay inside of the message. */
int zl_dbus_take_u32(struct zl_dbus_message *m, uint32_t *ret);
int zl_dbus_take_string(struct zl_dbus_message *m, const char **ret);
int zl_dbus_take_signature(struct zl_dbus_message *m, const char **ret);
