/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Netlink. One property of the kernel carries the whole file: sendmsg() returns after the requests have been worked off and the
 * answers queued, so answers are read without waiting, and silence is an error and not a reason to be patient.
 *
 * What may go wrong: a receive buffer too small for all answers (ENOBUFS). Only the last request asks for an
 * acknowledgement, the others speak up when they fail; the buffer holds hundreds of such.
 */
#include "linux/nl.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

enum { ANSWER_MAX = 64 * 1024, RECEIVE_BUFFER = 1 << 20 };

int zl_nl_open(struct zl_nl *nl, int protocol, struct zl_error *err)
{
        const int one = 1, size = RECEIVE_BUFFER;
        struct sockaddr_nl any = { .nl_family = AF_NETLINK };
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

        if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
                return zl_fail_errno(err, errno, "cannot open a netlink socket");
        /* Refinements: words with errors, answers without a copy of the request, room. */
        setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
        setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        *nl = (struct zl_nl){ .fd = zl_take_fd(fd), .protocol = protocol, .seq = 1 };
        return 0;
}

int zl_netns_call(int netns_fd, int (*call)(void *data, struct zl_error *err), void *data,
                  struct zl_error *err)
{
        _cleanup_close_ int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        int r;

        if (own < 0)
                return zl_fail_errno(err, errno, "cannot open our own network namespace");
        if (setns(netns_fd, CLONE_NEWNET) < 0)
                return zl_fail_errno(err, errno, "cannot enter the network namespace");
        r = call(data, err);
        /* In the wrong namespace nothing may go on. */
        if (setns(own, CLONE_NEWNET) < 0)
                abort();
        return r;
}

struct opening {
        struct zl_nl *nl;
        int protocol;
};

static int open_here(void *data, struct zl_error *err)
{
        const struct opening *o = data;

        return zl_nl_open(o->nl, o->protocol, err);
}

int zl_nl_open_in(struct zl_nl *nl, int protocol, int netns_fd, struct zl_error *err)
{
        struct opening o = { nl, protocol };

        return zl_netns_call(netns_fd, open_here, &o, err);
}

void zl_nl_close(struct zl_nl *nl)
{
        nl->fd = zl_close(nl->fd);
}

/* ---- building ------------------------------------------------------------------------------------- */

static void pad(struct zl_buf *buf)
{
        static const char zeros[NLMSG_ALIGNTO];

        zl_buf_put(buf, zeros, NLMSG_ALIGN(buf->len) - buf->len);
}

size_t zl_nl_begin(struct zl_buf *buf, uint16_t type, uint16_t flags, const void *header,
                   size_t len)
{
        const struct nlmsghdr head = { .nlmsg_type = type,
                                       .nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST) };
        size_t begin = buf->len;

        zl_buf_put(buf, &head, sizeof(head));
        zl_buf_put(buf, header, len);
        pad(buf);
        return begin;
}

void zl_nl_end(struct zl_buf *buf, size_t begin)
{
        uint32_t len = (uint32_t)(buf->len - begin);

        if (!zl_buf_error(buf))
                memcpy(buf->data + begin, &len, sizeof(len));
}

void zl_nl_put(struct zl_buf *buf, uint16_t type, const void *data, size_t len)
{
        const struct nlattr head = { .nla_type = type, .nla_len = (uint16_t)(NLA_HDRLEN + len) };

        zl_buf_put(buf, &head, sizeof(head));
        zl_buf_put(buf, data, len);
        pad(buf);
}

void zl_nl_put_str(struct zl_buf *buf, uint16_t type, const char *s)
{
        zl_nl_put(buf, type, s, strlen(s) + 1);
}

void zl_nl_put_u32(struct zl_buf *buf, uint16_t type, uint32_t v)
{
        zl_nl_put(buf, type, &v, sizeof(v));
}

void zl_nl_put_be32(struct zl_buf *buf, uint16_t type, uint32_t v)
{
        zl_nl_put_u32(buf, type, htonl(v));
}

size_t zl_nl_nest(struct zl_buf *buf, uint16_t type)
{
        size_t nest = buf->len;

        zl_nl_put(buf, type | NLA_F_NESTED, NULL, 0);
        return nest;
}

void zl_nl_nest_end(struct zl_buf *buf, size_t nest)
{
        uint16_t len = (uint16_t)(buf->len - nest);

        if (zl_buf_error(buf))
                return;
        if (buf->len - nest > UINT16_MAX)
                buf->error = -E2BIG;
        else
                memcpy(buf->data + nest, &len, sizeof(len));
}

/* ---- reading -------------------------------------------------------------------------------------- */

const void *zl_nl_find_in(const void *attrs, size_t len, uint16_t type, size_t min, size_t *ret_len)
{
        const char *p = attrs;

        while (len >= NLA_HDRLEN) {
                struct nlattr head;

                memcpy(&head, p, sizeof(head));
                if (head.nla_len < NLA_HDRLEN || head.nla_len > len)
                        return NULL;
                if ((head.nla_type & NLA_TYPE_MASK) == type) {
                        if (ret_len)
                                *ret_len = (size_t)(head.nla_len - NLA_HDRLEN);
                        return head.nla_len < NLA_HDRLEN + min ? NULL : p + NLA_HDRLEN;
                }
                if (NLA_ALIGN((size_t)head.nla_len) >= len)
                        return NULL;
                p += NLA_ALIGN(head.nla_len);
                len -= NLA_ALIGN(head.nla_len);
        }
        return NULL;
}

const void *zl_nl_find(const struct nlmsghdr *message, size_t header, uint16_t type, size_t min,
                       size_t *ret_len)
{
        size_t skip = NLMSG_HDRLEN + NLMSG_ALIGN(header);

        if (message->nlmsg_len < skip)
                return NULL;
        return zl_nl_find_in((const char *)message + skip, message->nlmsg_len - skip, type, min,
                             ret_len);
}

/* ---- talking -------------------------------------------------------------------------------------- */

/* Their numbers mean something else elsewhere. */
static bool is_batch_mark(const struct zl_nl *nl, const struct nlmsghdr *m)
{
        if (nl->protocol != NETLINK_NETFILTER)
                return false;
        return m->nlmsg_type == NFNL_MSG_BATCH_BEGIN || m->nlmsg_type == NFNL_MSG_BATCH_END;
}

/* Numbers the requests; the last one shall be acknowledged. */
static void number(struct zl_nl *nl, struct zl_buf *buf)
{
        struct nlmsghdr *last = NULL;

        for (size_t at = 0; at + NLMSG_HDRLEN <= buf->len;) {
                struct nlmsghdr *m = (struct nlmsghdr *)(void *)(buf->data + at);

                m->nlmsg_seq = nl->seq++;
                if (!is_batch_mark(nl, m))
                        last = m;
                at += NLMSG_ALIGN(m->nlmsg_len);
        }
        if (last)
                last->nlmsg_flags |= NLM_F_ACK;
}

static int send_all(struct zl_nl *nl, const struct zl_buf *buf)
{
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        char drop;

        /* What an earlier talk left unread (an answer after a failure) must not be taken for ours. */
        while (recv(nl->fd, &drop, sizeof(drop), MSG_DONTWAIT) >= 0)
                ;
        if (sendto(nl->fd, buf->data, buf->len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
                return -errno;
        return 0;
}

/* Error number of a NLMSG_ERROR message, and the kernel's words. */
static int read_error(const struct nlmsghdr *m, const char **ret_text)
{
        const struct nlmsgerr *e = NLMSG_DATA(m);
        size_t skip = sizeof(*e);

        if (m->nlmsg_len < NLMSG_LENGTH(sizeof(*e)))
                return EPROTO;
        if (!(m->nlmsg_flags & NLM_F_CAPPED) && e->msg.nlmsg_len > NLMSG_HDRLEN)
                skip += e->msg.nlmsg_len - NLMSG_HDRLEN;
        if (m->nlmsg_flags & NLM_F_ACK_TLVS)
                *ret_text = zl_nl_find(m, skip, NLMSGERR_ATTR_MSG, 1, NULL);
        return -e->error;
}

/* 1: everything was told and done; 0: nothing yet; a negative errno and `err` for the first refusal. */
static int read_answers(char *answer, int n, struct zl_error *err)
{
        int done = 0;

        for (struct nlmsghdr *m = (struct nlmsghdr *)(void *)answer;
             n > 0 && NLMSG_OK(m, (unsigned)n); m = NLMSG_NEXT(m, n)) {
                const char *text = NULL;
                int e;

                if (m->nlmsg_type != NLMSG_ERROR)
                        continue;
                e = read_error(m, &text);
                if (e > 0 && text)
                        return zl_fail_errno(err, e, "the kernel says \"%s\"", text);
                if (e > 0)
                        return zl_fail_errno(err, e, "the kernel refuses");
                done = 1;
        }
        return done;
}

int zl_nl_transact(struct zl_nl *nl, struct zl_buf *buf, struct zl_error *err)
{
        _cleanup_free_ char *answer = NULL;
        int r = zl_buf_error(buf);

        if (r < 0 || !(answer = malloc(ANSWER_MAX)))
                return zl_fail_errno(err, r < 0 ? -r : ENOMEM, "netlink request");
        if (buf->len == 0)
                return 0;
        number(nl, buf);
        r = send_all(nl, buf);
        if (r < 0)
                return zl_fail_errno(err, -r, "netlink request");
        for (;;) {
                ssize_t n = recv(nl->fd, answer, ANSWER_MAX, MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return zl_fail_errno(err, errno == EAGAIN ? EIO : errno, "netlink answer");
                r = read_answers(answer, (int)n, err);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
}

/* 1: that was the last; 0: more to come. */
static int walk(struct nlmsghdr *m, int n, zl_nl_each *each, void *data, int *ret)
{
        for (; n > 0 && NLMSG_OK(m, (unsigned)n); m = NLMSG_NEXT(m, n)) {
                const char *text = NULL;

                if (m->nlmsg_flags & NLM_F_DUMP_INTR)
                        *ret = *ret ? *ret : -EINTR;
                if (m->nlmsg_type == NLMSG_DONE)
                        return 1;
                if (m->nlmsg_type == NLMSG_ERROR) {
                        *ret = -read_error(m, &text);
                        return 1;
                }
                if (*ret == 0)
                        *ret = each(m, data);
        }
        return 0;
}

/* A dump goes over several datagrams, the answer to a single question is one. */
static int ask(struct zl_nl *nl, struct zl_buf *buf, bool single, zl_nl_each *each, void *data)
{
        _cleanup_free_ char *answer = malloc(ANSWER_MAX);
        int r = zl_buf_error(buf), ret = 0;

        if (r < 0 || !answer)
                return r < 0 ? r : -ENOMEM;
        number(nl, buf);
        ((struct nlmsghdr *)(void *)buf->data)->nlmsg_flags &= (uint16_t)~NLM_F_ACK;
        r = send_all(nl, buf);
        if (r < 0)
                return r;
        for (;;) {
                ssize_t n = recv(nl->fd, answer, ANSWER_MAX, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (walk((struct nlmsghdr *)(void *)answer, (int)n, each, data, &ret) || single)
                        return ret;
        }
}

int zl_nl_dump(struct zl_nl *nl, struct zl_buf *buf, zl_nl_each *each, void *data)
{
        return ask(nl, buf, false, each, data);
}

int zl_nl_get(struct zl_nl *nl, struct zl_buf *buf, zl_nl_each *each, void *data)
{
        return ask(nl, buf, true, each, data);
}
