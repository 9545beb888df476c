/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small client of D-Bus (D-Bus Specification 0.43).
 *
 * Who we are the other side learns from the socket (SO_PEERCRED): EXTERNAL without a name, as sd-bus does it. So a process that is root
 * of a user namespace need not know its number outside.
 *
 * What may go wrong: the bus sends what nobody asked for (NameAcquired, signals of others), so whatever is not waited for is dropped; and
 * the signal that tells the end of a job may come before the answer that names the job, so signals are kept during a call.
 */
#include "linux/dbus.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/socket.h"

enum { TYPE_CALL = 1, TYPE_RETURN = 2, TYPE_ERROR = 3, TYPE_SIGNAL = 4 };
enum {
        FIELD_PATH = 1,
        FIELD_INTERFACE,
        FIELD_MEMBER,
        FIELD_ERROR_NAME,
        FIELD_REPLY_SERIAL,
        FIELD_DESTINATION,
        FIELD_SENDER,
        FIELD_SIGNATURE,
        FIELD_UNIX_FDS
};
enum { FIXED_HEADER = 16, SIGNALS_MAX = 64 };

struct zl_dbus {
        int fd;
        uint32_t serial;
        struct zl_dbus_message signals[SIGNALS_MAX]; /* kept for who waits */
        size_t n_signals;
};

/* --- writing ---------------------------------------------------------------------------------------------- */

void zl_dbus_put_align(struct zl_buf *b, size_t to)
{
        static const char zeros[8];

        zl_buf_put(b, zeros, (to - b->len % to) % to);
}

void zl_dbus_put_u32(struct zl_buf *b, uint32_t v)
{
        v = htole32(v);
        zl_dbus_put_align(b, 4);
        zl_buf_put(b, &v, sizeof v);
}

void zl_dbus_put_u64(struct zl_buf *b, uint64_t v)
{
        v = htole64(v);
        zl_dbus_put_align(b, 8);
        zl_buf_put(b, &v, sizeof v);
}

void zl_dbus_put_string(struct zl_buf *b, const char *s)
{
        size_t len = strlen(s);

        zl_dbus_put_u32(b, (uint32_t)len);
        zl_buf_put(b, s, len + 1);
}

void zl_dbus_put_signature(struct zl_buf *b, const char *s)
{
        size_t len = strlen(s);

        zl_buf_putc(b, (char)len);
        zl_buf_put(b, s, len + 1);
}

size_t zl_dbus_array_begin(struct zl_buf *b, size_t align)
{
        size_t place;

        zl_dbus_put_u32(b, 0);
        place = b->len;
        zl_dbus_put_align(b, align);
        return place;
}

/* The length does not count what aligns the first element. */
void zl_dbus_array_end(struct zl_buf *b, size_t place, size_t align)
{
        size_t first = (place + align - 1) / align * align;
        uint32_t len;

        if (zl_buf_error(b))
                return;
        len = htole32((uint32_t)(b->len - first));
        memcpy(b->data + place - sizeof len, &len, sizeof len);
}

static void put_field(struct zl_buf *b, uint8_t code, const char *type, const char *value)
{
        zl_dbus_put_align(b, 8);
        zl_buf_putc(b, (char)code);
        zl_dbus_put_signature(b, type);
        if (*type == 'g')
                zl_dbus_put_signature(b, value);
        else
                zl_dbus_put_string(b, value);
}

static int send_call(struct zl_dbus *bus, const struct zl_dbus_call *call)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(ZL_DBUS_MESSAGE_MAX);
        const char fixed[4] = { 'l', TYPE_CALL, 0, 1 };
        size_t fields;

        zl_buf_put(&b, fixed, sizeof fixed);
        zl_dbus_put_u32(&b, call->body ? (uint32_t)call->body->len : 0);
        zl_dbus_put_u32(&b, ++bus->serial);
        fields = zl_dbus_array_begin(&b, 8);
        put_field(&b, FIELD_PATH, "o", call->path);
        put_field(&b, FIELD_DESTINATION, "s", call->destination);
        put_field(&b, FIELD_INTERFACE, "s", call->interface);
        put_field(&b, FIELD_MEMBER, "s", call->member);
        if (*call->signature)
                put_field(&b, FIELD_SIGNATURE, "g", call->signature);
        zl_dbus_array_end(&b, fields, 8);
        zl_dbus_put_align(&b, 8);
        if (call->body) {
                if (zl_buf_error(call->body))
                        return zl_buf_error(call->body);
                zl_buf_put(&b, call->body->data, call->body->len);
        }
        return zl_buf_error(&b) ? zl_buf_error(&b) : zl_write_full(bus->fd, b.data, b.len);
}

/* --- reading ---------------------------------------------------------------------------------------------- */

static int take(struct zl_dbus_message *m, size_t align, size_t len, const char **ret)
{
        size_t at = (m->at + align - 1) / align * align;

        if (at > m->data.len || len > m->data.len - at)
                return -EBADMSG;
        *ret = m->data.data + at;
        m->at = at + len;
        return 0;
}

int zl_dbus_take_u32(struct zl_dbus_message *m, uint32_t *ret)
{
        const char *p;
        uint32_t v;

        if (take(m, 4, sizeof v, &p) < 0)
                return -EBADMSG;
        memcpy(&v, p, sizeof v);
        *ret = le32toh(v);
        return 0;
}

static int take_text(struct zl_dbus_message *m, size_t len, const char **ret)
{
        const char *p;

        if (len >= ZL_DBUS_MESSAGE_MAX || take(m, 1, len + 1, &p) < 0 || p[len] || strlen(p) != len)
                return -EBADMSG;
        *ret = p;
        return 0;
}

int zl_dbus_take_string(struct zl_dbus_message *m, const char **ret)
{
        uint32_t len;

        return zl_dbus_take_u32(m, &len) < 0 ? -EBADMSG : take_text(m, len, ret);
}

int zl_dbus_take_signature(struct zl_dbus_message *m, const char **ret)
{
        const char *p;

        return take(m, 1, 1, &p) < 0 ? -EBADMSG : take_text(m, (uint8_t)*p, ret);
}

static int take_field(struct zl_dbus_message *m)
{
        const char *code, *type, *text = NULL;
        uint32_t number = 0;
        int r;

        if (take(m, 8, 1, &code) < 0 || zl_dbus_take_signature(m, &type) < 0)
                return -EBADMSG;
        if (zl_streq(type, "s") || zl_streq(type, "o"))
                r = zl_dbus_take_string(m, &text);
        else if (zl_streq(type, "g"))
                r = zl_dbus_take_signature(m, &text);
        else if (zl_streq(type, "u"))
                r = zl_dbus_take_u32(m, &number);
        else
                r = -EBADMSG; /* the specification knows no other */
        if (r < 0)
                return r;
        if (*code == FIELD_MEMBER)
                m->member = text;
        else if (*code == FIELD_ERROR_NAME)
                m->error_name = text;
        else if (*code == FIELD_SIGNATURE)
                m->signature = text;
        else if (*code == FIELD_REPLY_SERIAL)
                m->reply_to = number;
        return 0;
}

static int parse(struct zl_dbus_message *m, size_t fields_end)
{
        m->type = (uint8_t)m->data.data[1];
        m->at = FIXED_HEADER;
        while (m->at < fields_end)
                if (take_field(m) < 0)
                        return -EBADMSG;
        m->at = m->body;
        return 0;
}

void zl_dbus_message_done(struct zl_dbus_message *m)
{
        zl_buf_done(&m->data);
        *m = (struct zl_dbus_message){ .data = ZL_BUF_INIT(ZL_DBUS_MESSAGE_MAX) };
}

static int read_until(struct zl_dbus *bus, struct zl_buf *b, size_t len, int64_t until)
{
        while (b->len < len) {
                struct pollfd p = { .fd = bus->fd, .events = POLLIN };
                int64_t left = (until - zl_now_monotonic()) / ZL_NSEC_PER_MSEC;
                char *to = zl_buf_reserve(b, len - b->len);
                ssize_t n;

                if (!to)
                        return zl_buf_error(b);
                if (left < 0 || poll(&p, 1, (int)left) == 0)
                        return -ETIMEDOUT;
                n = read(bus->fd, to, len - b->len);
                if (n == 0)
                        return -ECONNRESET;
                if (n < 0 && errno != EINTR && errno != EAGAIN)
                        return -errno;
                if (n > 0)
                        b->len += (size_t)n;
        }
        return 0;
}

static uint32_t header_u32(const struct zl_buf *b, size_t at)
{
        uint32_t v;

        memcpy(&v, b->data + at, sizeof v);
        return le32toh(v);
}

static int receive(struct zl_dbus *bus, int64_t until, struct zl_dbus_message *ret)
{
        struct zl_dbus_message m = { .data = ZL_BUF_INIT(ZL_DBUS_MESSAGE_MAX) };
        size_t fields, body;
        int r = read_until(bus, &m.data, FIXED_HEADER, until);

        if (r == 0 && m.data.data[0] != 'l')
                r = -EBADMSG; /* every machine that we run on sends in its own order */
        if (r == 0) {
                body = header_u32(&m.data, 4);
                fields = header_u32(&m.data, 12);
                r = body > ZL_DBUS_MESSAGE_MAX || fields > ZL_DBUS_MESSAGE_MAX ? -E2BIG : 0;
        }
        if (r == 0) {
                fields += FIXED_HEADER;
                m.body = (fields + 7) / 8 * 8;
                r = read_until(bus, &m.data, m.body + body, until);
        }
        if (r == 0)
                r = parse(&m, fields);
        if (r < 0)
                zl_dbus_message_done(&m);
        else
                *ret = m;
        return r;
}

/* --- talking ---------------------------------------------------------------------------------------------- */

static int wait_failed(int r, const char *what, struct zl_error *err)
{
        return zl_fail_errno(err, -r, "no answer from systemd to %s", what);
}

static void keep_signal(struct zl_dbus *bus, struct zl_dbus_message *m)
{
        if (bus->n_signals == SIGNALS_MAX) { /* the oldest goes */
                zl_dbus_message_done(&bus->signals[0]);
                memmove(bus->signals, bus->signals + 1, (SIGNALS_MAX - 1) * sizeof bus->signals[0]);
                bus->n_signals--;
        }
        bus->signals[bus->n_signals++] = *m;
}

static int refused(struct zl_dbus_message *m, const char *what, char **ret_refusal,
                   struct zl_error *err)
{
        const char *text = "", *name = m->error_name ? m->error_name : "";

        if (m->signature && *m->signature == 's')
                zl_dbus_take_string(m, &text);
        if (ret_refusal)
                *ret_refusal = strdup(name);
        zl_fail(err, ZL_E_INTERNAL, 0, "systemd refuses %s: %s (%s)", what, text, name);
        zl_dbus_message_done(m);
        return -EREMOTEIO;
}

int zl_dbus_call(struct zl_dbus *bus, const struct zl_dbus_call *call, struct zl_dbus_message *ret,
                 char **ret_refusal, struct zl_error *err)
{
        int64_t until = zl_now_monotonic() + ZL_DBUS_WAIT_NSEC;
        int r = send_call(bus, call);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot send %s to systemd", call->member);
        for (;;) {
                struct zl_dbus_message m;

                r = receive(bus, until, &m);
                if (r < 0)
                        return wait_failed(r, call->member, err);
                if (m.type == TYPE_SIGNAL) {
                        keep_signal(bus, &m);
                        continue;
                }
                if (m.reply_to == bus->serial && m.type == TYPE_ERROR)
                        return refused(&m, call->member, ret_refusal, err);
                if (m.reply_to == bus->serial && m.type == TYPE_RETURN) {
                        if (ret)
                                *ret = m;
                        else
                                zl_dbus_message_done(&m);
                        return 0;
                }
                zl_dbus_message_done(&m);
        }
}

int zl_dbus_wait_signal(struct zl_dbus *bus, const char *member, struct zl_dbus_message *ret,
                        struct zl_error *err)
{
        int64_t until = zl_now_monotonic() + ZL_DBUS_WAIT_NSEC;

        for (;;) {
                struct zl_dbus_message m;
                int r = 0;

                if (bus->n_signals > 0) {
                        m = bus->signals[0];
                        bus->n_signals--;
                        memmove(bus->signals, bus->signals + 1,
                                bus->n_signals * sizeof bus->signals[0]);
                } else {
                        r = receive(bus, until, &m);
                }
                if (r < 0)
                        return wait_failed(r, member, err);
                if (m.type == TYPE_SIGNAL && m.member && zl_streq(m.member, member)) {
                        *ret = m;
                        return 0;
                }
                zl_dbus_message_done(&m);
        }
}

static int call_bus(struct zl_dbus *bus, const char *member, const char *argument,
                    struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf body = ZL_BUF_INIT(ZL_DBUS_MESSAGE_MAX);
        struct zl_dbus_call call = { "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                     "org.freedesktop.DBus", member,
                                     argument ? "s" : "",    NULL };

        if (argument) {
                zl_dbus_put_string(&body, argument);
                call.body = &body;
        }
        return zl_dbus_call(bus, &call, NULL, NULL, err);
}

int zl_dbus_match(struct zl_dbus *bus, const char *rule, struct zl_error *err)
{
        return call_bus(bus, "AddMatch", rule, err);
}

/* All at once; the answers are two lines: "DATA" and "OK" with the name of the server. */
static int authenticate(struct zl_dbus *bus)
{
        static const char hello[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(4096);
        int64_t until = zl_now_monotonic() + ZL_DBUS_WAIT_NSEC;
        int lines = 0, r = zl_write_full(bus->fd, hello, sizeof hello - 1);

        while (r == 0 && lines < 2) {
                r = read_until(bus, &b, b.len + 1, until);
                lines += r == 0 && b.data[b.len - 1] == '\n';
        }
        if (r == 0 && !zl_startswith(b.data, "DATA\r\nOK "))
                r = -EACCES;
        return r;
}

int zl_dbus_open(const char *path, struct zl_dbus **ret, struct zl_error *err)
{
        _cleanup_(zl_dbus_closep) struct zl_dbus *bus = calloc(1, sizeof *bus);
        int r;

        if (!bus)
                return zl_fail_oom(err);
        bus->fd = zl_unix_connect_at(AT_FDCWD, path, SOCK_STREAM);
        if (bus->fd < 0)
                return zl_fail_errno(err, -bus->fd, "cannot reach systemd through the bus %s",
                                     path);
        r = authenticate(bus);
        if (r < 0)
                return zl_fail_errno(err, -r, "the bus %s does not let us in", path);
        r = call_bus(bus, "Hello", NULL, err);
        if (r < 0)
                return r;
        *ret = zl_take_ptr(bus);
        return 0;
}

void zl_dbus_close(struct zl_dbus *bus)
{
        if (!bus)
                return;
        for (size_t i = 0; i < bus->n_signals; i++)
                zl_dbus_message_done(&bus->signals[i]);
        zl_close(bus->fd);
        free(bus);
}
