/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire form of criu's requests and answers, and the conversation.
 *
 * Protocol buffers are a list of fields, each a number with its kind and a varint, or a length and bytes. We write what we need in any
 * order and read what we know, skipping the rest; a library for that would be larger than the few functions here, and none comes
 * without allocations of its own in a program that is linked statically.
 *
 * Messages are read into a fixed buffer: an answer of criu is small, and one that is not is refused.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/socket.h"
#include "linux/criu.h"

enum wire { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* Fields of a request. */
enum { REQ_TYPE = 1, REQ_OPTIONS = 2, REQ_NOTIFY_SUCCESS = 3 };
/* Fields of an answer, and of the messages in it. */
enum {
        ANSWER_TYPE = 1,
        ANSWER_SUCCESS = 2,
        ANSWER_RESTORE = 4,
        ANSWER_NOTIFY = 5,
        ANSWER_ERRNO = 7,
        ANSWER_MESSAGE = 9,
        RESTORE_PID = 1,
        NOTIFY_SCRIPT = 1,
        NOTIFY_PID = 2
};
enum { TYPE_NOTIFY = 6 };
enum { SOCKET_FD = 3, ANSWER_MAX = 16 << 10 };

/* --- writing ------------------------------------------------------------------------------------------------------- */

static void put_varint(struct zl_buf *b, uint64_t value)
{
        do {
                zl_buf_putc(b, (char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0)));
                value >>= 7;
        } while (value);
}

static void put_key(struct zl_buf *b, unsigned field, enum wire wire)
{
        put_varint(b, field << 3 | wire);
}

static void put_bytes(struct zl_buf *b, unsigned field, const void *data, size_t len)
{
        put_key(b, field, BYTES);
        put_varint(b, len);
        zl_buf_put(b, data, len);
}

void zl_criu_put(struct zl_buf *options, enum zl_criu_option option, uint64_t value)
{
        put_key(options, option, VARINT);
        put_varint(options, value);
}

void zl_criu_put_text(struct zl_buf *options, enum zl_criu_option option, const char *text)
{
        put_bytes(options, option, text, strlen(text));
}

static void put_message(struct zl_buf *options, enum zl_criu_option option,
                        const struct zl_buf *message)
{
        if (zl_buf_error(message))
                options->error = zl_buf_error(message);
        else
                put_bytes(options, option, message->data, message->len);
}

void zl_criu_put_pair(struct zl_buf *options, enum zl_criu_option option, const char *first,
                      const char *second)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(options->max);

        put_bytes(&b, 1, first, strlen(first));
        put_bytes(&b, 2, second, strlen(second));
        put_message(options, option, &b);
}

void zl_criu_put_numbered(struct zl_buf *options, enum zl_criu_option option, const char *text,
                          int number)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(options->max);

        put_bytes(&b, 1, text, strlen(text));
        put_key(&b, 2, VARINT);
        put_varint(&b, (uint64_t)number);
        put_message(options, option, &b);
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

struct reader {
        const unsigned char *at, *end;
};

struct field {
        unsigned number;
        uint64_t value;      /* of a varint */
        struct reader bytes; /* of BYTES */
};

struct answer {
        uint64_t type;
        bool success;
        int error;
        pid_t restored, event_pid;
        char event[64];
        char message[512];
};

static int get_varint(struct reader *r, uint64_t *ret)
{
        uint64_t value = 0;

        for (unsigned shift = 0; r->at < r->end && shift < 64; shift += 7) {
                unsigned char c = *r->at++;

                value |= (uint64_t)(c & 0x7f) << shift;
                if (!(c & 0x80)) {
                        *ret = value;
                        return 0;
                }
        }
        return -EBADMSG;
}

/* 1 with a field, 0 at the end. */
static int get_field(struct reader *r, struct field *ret)
{
        uint64_t key, len;

        if (r->at == r->end)
                return 0;
        if (get_varint(r, &key) < 0 || key >> 3 > INT32_MAX)
                return -EBADMSG;
        *ret = (struct field){ .number = (unsigned)(key >> 3) };
        switch (key & 7) {
        case VARINT:
                return get_varint(r, &ret->value) < 0 ? -EBADMSG : 1;
        case BYTES:
                if (get_varint(r, &len) < 0)
                        return -EBADMSG;
                break;
        case FIXED64:
        case FIXED32:
                len = (key & 7) == FIXED64 ? 8 : 4;
                break;
        default:
                return -EBADMSG;
        }
        if (len > (size_t)(r->end - r->at))
                return -EBADMSG;
        ret->bytes = (struct reader){ r->at, r->at + len };
        r->at += len;
        return 1;
}

static void take_text(const struct reader *from, char *to, size_t size)
{
        size_t n = ZL_MIN((size_t)(from->end - from->at), size - 1);

        if (n)
                memcpy(to, from->at, n);
        to[n] = 0;
}

static int take_restored(struct reader r, struct answer *a)
{
        struct field f;
        int n;

        while ((n = get_field(&r, &f)) > 0)
                if (f.number == RESTORE_PID)
                        a->restored = (pid_t)f.value;
        return n;
}

static int take_event(struct reader r, struct answer *a)
{
        struct field f;
        int n;

        while ((n = get_field(&r, &f)) > 0) {
                if (f.number == NOTIFY_SCRIPT)
                        take_text(&f.bytes, a->event, sizeof a->event);
                else if (f.number == NOTIFY_PID)
                        a->event_pid = (pid_t)f.value;
        }
        return n;
}

static int parse_answer(const void *data, size_t len, struct answer *a)
{
        struct reader r = { data, (const unsigned char *)data + len };
        struct field f;
        int n;

        *a = (struct answer){ 0 };
        while ((n = get_field(&r, &f)) > 0) {
                if (f.number == ANSWER_TYPE)
                        a->type = f.value;
                else if (f.number == ANSWER_SUCCESS)
                        a->success = f.value != 0;
                else if (f.number == ANSWER_ERRNO)
                        a->error = (int)f.value;
                else if (f.number == ANSWER_MESSAGE)
                        take_text(&f.bytes, a->message, sizeof a->message);
                else if (f.number == ANSWER_RESTORE)
                        n = take_restored(f.bytes, a);
                else if (f.number == ANSWER_NOTIFY)
                        n = take_event(f.bytes, a);
                if (n < 0)
                        break;
        }
        return n;
}

/* --- the conversation ---------------------------------------------------------------------------------------------- */

static int send_request(int fd, const struct zl_buf *request, struct zl_error *err)
{
        ssize_t n = zl_buf_error(request)
                            ? zl_buf_error(request)
                            : zl_send_fds(fd, request->data, request->len, NULL, 0, 0);

        return n < 0 ? zl_fail_errno(err, (int)-n, "cannot ask criu") : 0;
}

static int receive(int fd, struct answer *a, int *ret_fd, struct zl_error *err)
{
        char data[ANSWER_MAX];
        size_t n_fds = 1;
        ssize_t n = zl_recv_fds(fd, data, sizeof data, ret_fd, &n_fds, 0);

        if (n_fds == 0)
                *ret_fd = -EBADF;
        if (n < 0)
                return zl_fail_errno(err, (int)-n, "cannot hear from criu");
        if (n == 0)
                return zl_fail(err, ZL_E_PROTOCOL, 0, "criu ended without an answer");
        if (parse_answer(data, (size_t)n, a) < 0)
                return zl_fail(err, ZL_E_PROTOCOL, 0, "criu's answer cannot be read");
        return 0;
}

static int acknowledge(int fd, bool success, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(64);

        put_key(&b, REQ_TYPE, VARINT);
        put_varint(&b, TYPE_NOTIFY);
        put_key(&b, REQ_NOTIFY_SUCCESS, VARINT);
        put_varint(&b, success);
        return send_request(fd, &b, err);
}

/* A listener's error goes before criu's, which only says that somebody had one. */
static int tell(int fd, const struct zl_criu_listener *l, const struct answer *a, int extra_fd,
                struct zl_error *err)
{
        struct zl_error ignored = ZL_ERROR_INIT;
        int r = l->on_event(a->event, a->event_pid, extra_fd, l->data, err);
        int sent = acknowledge(fd, r >= 0, r < 0 ? &ignored : err);

        zl_error_done(&ignored);
        return r < 0 ? r : sent;
}

static int final(const struct answer *a, pid_t *ret_pid, struct zl_error *err)
{
        if (!a->success)
                return zl_fail(err, ZL_E_INTERNAL, a->error > 0 ? a->error : 0, "criu failed%s%s",
                               *a->message ? ": " : "", a->message);
        if (ret_pid)
                *ret_pid = a->restored;
        return 0;
}

int zl_criu_ask(int socket_fd, enum zl_criu_request request, const struct zl_buf *options,
                const struct zl_criu_listener *listener, pid_t *ret_pid, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(options->max + 64);
        int r;

        put_key(&b, REQ_TYPE, VARINT);
        put_varint(&b, request);
        if (zl_buf_error(options))
                b.error = zl_buf_error(options);
        put_bytes(&b, REQ_OPTIONS, options->data, options->len);
        r = send_request(socket_fd, &b, err);
        while (r == 0) {
                struct answer a;
                int fd = -EBADF;

                r = receive(socket_fd, &a, &fd, err);
                if (r < 0)
                        break;
                if (a.type != TYPE_NOTIFY) {
                        zl_close(fd);
                        return final(&a, ret_pid, err);
                }
                zl_debug("criu: %s (%d)", a.event, a.event_pid);
                r = tell(socket_fd, listener, &a, fd, err);
        }
        return r;
}

/* --- the program --------------------------------------------------------------------------------------------------- */

int zl_criu_exec(const char *program, int socket_fd, const int *fds, size_t n_fds)
{
        char socket_text[] = { '0' + SOCKET_FD, 0 }, word[] = "swrk", name[] = "criu";
        char *argv[] = { name, word, socket_text, NULL };
        extern char **environ;
        int above[ZL_CRIU_FDS_MAX + 1];

        if (n_fds < 3 || n_fds > ZL_CRIU_FDS_MAX)
                return -EINVAL;
        /* Out of each other's way first: what is to become 4 may be in the place of 5. */
        for (size_t i = 0; i <= n_fds; i++) {
                above[i] = fcntl(i < n_fds ? fds[i] : socket_fd, F_DUPFD_CLOEXEC, 64);
                if (above[i] < 0)
                        return -errno;
        }
        for (size_t i = 0; i < n_fds; i++)
                if (dup2(above[i], (int)i + (i < 3 ? 0 : ZL_CRIU_FIRST_FD - 3)) < 0)
                        return -errno;
        if (dup2(above[n_fds], SOCKET_FD) < 0)
                return -errno;
        syscall(SYS_close_range, (unsigned)(ZL_CRIU_FIRST_FD + n_fds - 3), ~0U, 0U);
        execve(program, argv, environ);
        return -errno;
}

/* --- words ----------------------------------------------------------------------------------------------------------- */

struct word {
        const char *name;
        int value;
};

static int find_word(const struct word *words, size_t n, const char *name)
{
        for (size_t i = 0; i < n; i++)
                if (zl_streq(words[i].name, name))
                        return words[i].value;
        return -EINVAL;
}

int zl_criu_cgroups_mode(const char *name)
{
        static const struct word words[] = {
                { "ignore", 0 }, { "none", 1 },   { "props", 2 },   { "soft", 3 },
                { "full", 4 },   { "strict", 5 }, { "default", 6 },
        };

        return find_word(words, ZL_ARRAY_SIZE(words), name);
}

int zl_criu_network_lock(const char *name)
{
        static const struct word words[] = { { "iptables", 1 }, { "nftables", 2 }, { "skip", 3 } };

        return find_word(words, ZL_ARRAY_SIZE(words), name);
}
