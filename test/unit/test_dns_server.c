/* SPDX-License-Identifier: Apache-2.0 */
/* The name server on loopback: the test is the client, and the host's resolver too. */
#include "support.h"

#include <poll.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "network/dns_message.h"
#include "network/dns_server.h"

enum { PATIENCE_MSEC = 20000 };

/* A socket of the test that plays a resolver, or a place to listen at. */
struct place_at {
        int udp_fd, tcp_fd;
        uint16_t port;
};

struct fixture {
        struct zl_names *names;
        struct zl_dns_server *server;
        uint16_t port;
        struct place_at resolvers[2];
};

static const struct zl_ip loopback = { AF_INET, { 127, 0, 0, 1 } };

static int make_socket(int type, uint16_t port)
{
        union zl_sockaddr sa;
        socklen_t len = zl_ip_to_sockaddr(&loopback, port, &sa);
        int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

        if (bind(fd, &sa.any, len) < 0 || (type == SOCK_STREAM && listen(fd, 16) < 0))
                return zl_close(fd);
        return fd;
}

static uint16_t port_of(int fd)
{
        union zl_sockaddr sa;
        socklen_t len = sizeof(sa);

        assert_int_equal(getsockname(fd, &sa.any, &len), 0);
        return ntohs(sa.in.sin_port);
}

static struct place_at make_place(void)
{
        for (int i = 0; i < 100; i++) {
                struct place_at p = { .udp_fd = make_socket(SOCK_DGRAM, 0) };

                p.port = port_of(p.udp_fd);
                p.tcp_fd = make_socket(SOCK_STREAM, p.port);
                if (p.tcp_fd >= 0)
                        return p;
                close(p.udp_fd);
        }
        fail_msg("no port");
        return (struct place_at){ 0 };
}

static void set_resolvers(struct fixture *f, unsigned timeout)
{
        struct zl_resolv_conf conf = ZL_RESOLV_CONF_INIT;

        conf.timeout = timeout;
        conf.attempts = 1;
        conf.n_resolvers = 2;
        for (size_t i = 0; i < 2; i++)
                conf.resolvers[i] = (struct zl_resolver){ .address = loopback,
                                                          .port = f->resolvers[i].port };
        zl_dns_server_set_resolvers(f->server, &conf);
}

static int setup(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));
        struct place_at p = make_place();
        char *list[] = { (char[]){ "1.web.service.local" }, (char[]){ "web" }, NULL };
        struct zl_ip ip = { AF_INET, { 10, 0, 0, 2 } };
        struct zl_names_record record = { .network = "n",
                                          .owner = "d.web.1",
                                          .names = list,
                                          .addresses = &ip,
                                          .n_addresses = 1,
                                          .ready = true };
        struct zl_dns_listener l = { .network = "n",
                                     .address = loopback,
                                     .port = p.port,
                                     .udp_fd = p.udp_fd,
                                     .tcp_fd = p.tcp_fd };

        *state = f;
        f->port = p.port;
        f->names = zl_names_new();
        assert_int_equal(zl_names_set(f->names, &record, NULL), 0);
        assert_int_equal(zl_dns_server_new(f->names, &f->server, NULL), 0);
        assert_int_equal(zl_dns_server_listen(f->server, &l, NULL), 0);
        f->resolvers[0] = make_place();
        f->resolvers[1] = make_place();
        set_resolvers(f, 30);
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        zl_dns_server_free(f->server);
        zl_names_free(f->names);
        for (size_t i = 0; i < 2; i++) {
                zl_close(f->resolvers[i].udp_fd);
                zl_close(f->resolvers[i].tcp_fd);
        }
        free(f);
        return 0;
}

/* Lets the server work until there is something to read; false when it took too long. */
static bool pump(struct fixture *f, int fd)
{
        int64_t until = zl_now_monotonic() + PATIENCE_MSEC * ZL_NSEC_PER_MSEC;

        while (zl_now_monotonic() < until) {
                struct pollfd p[] = { { fd, POLLIN, 0 },
                                      { zl_dns_server_fd(f->server), POLLIN, 0 } };

                if (poll(p, 2, PATIENCE_MSEC) <= 0)
                        return false;
                if (p[1].revents)
                        zl_dns_server_dispatch(f->server);
                else if (p[0].revents)
                        return true;
        }
        return false;
}

static int client(struct fixture *f, int type)
{
        union zl_sockaddr sa;
        socklen_t len = zl_ip_to_sockaddr(&loopback, f->port, &sa);
        int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, &sa.any, len), 0);
        return fd;
}

/* A query for the A records of a name of one label. */
static size_t make_query(uint8_t *message, uint16_t id, const char *label)
{
        size_t n = strlen(label);

        memcpy(message, "\0\0\1\0\0\1\0\0\0\0\0\0", ZL_DNS_HEADER);
        message[0] = (uint8_t)(id >> 8);
        message[1] = (uint8_t)id;
        message[12] = (uint8_t)n;
        memcpy(message + 13, label, n);
        memcpy(message + 13 + n, "\0\0\1\0\1", 5);
        return ZL_DNS_HEADER + 1 + n + 5;
}

static void send_query(int fd, uint16_t id, const char *label)
{
        uint8_t message[100];
        size_t len = make_query(message, id, label);

        assert_int_equal(send(fd, message, len, 0), len);
}

static void send_framed(int fd, uint16_t id, const char *label)
{
        uint8_t message[100];
        size_t len = make_query(message + 2, id, label);

        message[0] = 0;
        message[1] = (uint8_t)len;
        assert_int_equal(send(fd, message, len + 2, 0), len + 2);
}

struct got {
        uint8_t data[ZL_DNS_MESSAGE_MAX];
        size_t len;
        struct zl_dns_reply reply;
        unsigned answers;
};

static struct got got;

static void check_got(ssize_t n)
{
        assert_true(n > 0);
        got.len = (size_t)n;
        assert_int_equal(zl_dns_read_reply(got.data, got.len, &got.reply), 0);
        got.answers = (unsigned)got.data[6] << 8 | got.data[7];
}

static void receive(struct fixture *f, int fd, uint16_t id, unsigned rcode)
{
        assert_true(pump(f, fd));
        check_got(recv(fd, got.data, sizeof(got.data), 0));
        assert_int_equal(got.reply.id, id);
        assert_int_equal(got.reply.rcode, rcode);
}

static void receive_framed(struct fixture *f, int fd, uint16_t id, unsigned rcode)
{
        size_t n = 0, wanted = 2;
        static uint8_t data[ZL_DNS_MESSAGE_MAX + 2];

        while (n < wanted) {
                ssize_t r;

                assert_true(pump(f, fd));
                r = recv(fd, data + n, wanted - n, 0);
                assert_true(r > 0);
                n += (size_t)r;
                if (n == 2)
                        wanted = 2 + ((size_t)data[0] << 8 | data[1]);
        }
        memcpy(got.data, data + 2, n - 2);
        check_got((ssize_t)n - 2);
        assert_int_equal(got.reply.id, id);
        assert_int_equal(got.reply.rcode, rcode);
}

/* A forwarded query as the resolver of the test sees it. */
struct asked {
        uint8_t data[512];
        size_t len;
        union zl_sockaddr from;
        socklen_t from_len;
};

static struct asked take_asked(struct fixture *f, int fd)
{
        struct asked a = { .from_len = sizeof(a.from) };
        ssize_t n;

        assert_true(pump(f, fd));
        n = recvfrom(fd, a.data, sizeof(a.data), 0, &a.from.any, &a.from_len);
        assert_true(n > ZL_DNS_HEADER);
        a.len = (size_t)n;
        return a;
}

/* The answer with `answers` A records (at most 4000); flags 0x8180, TC: 0x8380. */
static size_t make_answer(const struct asked *a, uint8_t *out, unsigned flags, unsigned answers)
{
        size_t len = a->len;

        memcpy(out, a->data, len);
        out[2] = (uint8_t)(flags >> 8);
        out[3] = (uint8_t)flags;
        out[6] = (uint8_t)(answers >> 8);
        out[7] = (uint8_t)answers;
        for (unsigned i = 0; i < answers; i++, len += 16)
                memcpy(out + len, "\xc0\x0c\0\1\0\1\0\0\0\5\0\4\1\2\3\4", 16);
        return len;
}

static void answer(int fd, const struct asked *a, unsigned flags, unsigned answers)
{
        static uint8_t out[ZL_DNS_MESSAGE_MAX];
        size_t len = make_answer(a, out, flags, answers);

        assert_int_equal(sendto(fd, out, len, 0, &a->from.any, a->from_len), len);
}

static void expect_stats(struct fixture *f, size_t pending, size_t connections)
{
        struct zl_dns_stats stats;

        zl_dns_server_get_stats(f->server, &stats);
        assert_int_equal(stats.pending, pending);
        assert_int_equal(stats.connections, connections);
}

/* ---- tests ------------------------------------------------------------------------------------------ */

static void test_own(void **state)
{
        struct fixture *f = *state;
        int udp = client(f, SOCK_DGRAM), tcp = client(f, SOCK_STREAM);

        send_query(udp, 1, "web");
        receive(f, udp, 1, ZL_DNS_NOERROR);
        assert_int_equal(got.answers, 1);
        send_framed(tcp, 2, "WEB");
        receive_framed(f, tcp, 2, ZL_DNS_NOERROR);
        assert_int_equal(got.answers, 1);
        zl_names_set_ready(f->names, NULL, "d.web.1", false);
        send_query(udp, 3, "web");
        receive(f, udp, 3, ZL_DNS_NOERROR);
        assert_int_equal(got.answers, 0);
        expect_stats(f, 0, 1);
        close(udp);
        close(tcp);
}

static void test_forward(void **state)
{
        struct fixture *f = *state;
        int udp = client(f, SOCK_DGRAM);
        struct asked a, b;

        send_query(udp, 7, "x");
        send_query(udp, 8, "x");
        a = take_asked(f, f->resolvers[0].udp_fd);
        b = take_asked(f, f->resolvers[0].udp_fd);
        assert_int_not_equal(a.from.in.sin_port, b.from.in.sin_port);
        answer(f->resolvers[0].udp_fd, &b, 0x8180, 2);
        receive(f, udp, 8, ZL_DNS_NOERROR);
        assert_int_equal(got.answers, 2);
        answer(f->resolvers[0].udp_fd, &a, 0x8183, 0);
        receive(f, udp, 7, ZL_DNS_NXDOMAIN);
        expect_stats(f, 0, 0);
        close(udp);
}

/* Ids and ports must not be guessable: of some queries no two have the same, and they do not count up. */
static void test_random(void **state)
{
        struct fixture *f = *state;
        int udp = client(f, SOCK_DGRAM), in_order = 0, ports_in_order = 0;
        struct asked a[32];

        for (unsigned i = 0; i < 32; i++) {
                send_query(udp, 1, "x");
                a[i] = take_asked(f, f->resolvers[0].udp_fd);
        }
        for (unsigned i = 1; i < 32; i++) {
                unsigned id = (unsigned)a[i].data[0] << 8 | a[i].data[1];

                in_order += id == ((unsigned)a[i - 1].data[0] << 8 | a[i - 1].data[1]) + 1;
                ports_in_order += abs(ntohs(a[i].from.in.sin_port) -
                                      ntohs(a[i - 1].from.in.sin_port)) <= 2;
        }
        assert_true(in_order < 4);
        assert_true(ports_in_order < 8);
        close(udp);
}

static void test_forged(void **state)
{
        struct fixture *f = *state;
        int udp = client(f, SOCK_DGRAM), fd = f->resolvers[0].udp_fd;
        struct asked a, forged;

        send_query(udp, 7, "x");
        a = take_asked(f, fd);
        forged = a;
        forged.data[0] ^= 1; /* another id */
        answer(fd, &forged, 0x8180, 3);
        forged = a;
        forged.data[13] = 'y'; /* another question */
        answer(fd, &forged, 0x8180, 3);
        answer(fd, &a, 0x0100, 3);                     /* a query */
        answer(f->resolvers[1].udp_fd, &a, 0x8180, 3); /* another resolver */
        forged = a;
        forged.data[11] = 1; /* a record that is not there */
        answer(fd, &forged, 0x8180, 3);
        answer(fd, &a, 0x8180, 1);
        receive(f, udp, 7, ZL_DNS_NOERROR);
        assert_int_equal(got.answers, 1);
        close(udp);
}

static void test_next_resolver(void **state)
{
        struct fixture *f = *state;
        int udp = client(f, SOCK_DGRAM);
        struct asked a;

        /* Silent. */
        set_resolvers(f, 1);
        send_query(udp, 1, "x");
        take_asked(f, f->resolvers[0].udp_fd);
        set_resolvers(f, 30);
        a = take_asked(f, f->resolvers[1].udp_fd);
        answer(f->resolvers[1].udp_fd, &a, 0x8180, 1);
        receive(f, udp, 1, ZL_DNS_NOERROR);
        /* It is not the first one now (unless more than ten seconds have gone). */
        send_query(udp, 2, "x");
        a = take_asked(f, f->resolvers[1].udp_fd);
        /* SERVFAIL: the other one; what the last one says counts. */
        answer(f->resolvers[1].udp_fd, &a, 0x8182, 0);
        a = take_asked(f, f->resolvers[0].udp_fd);
        answer(f->resolvers[0].udp_fd, &a, 0x8185, 0);
        receive(f, udp, 2, ZL_DNS_REFUSED);
        /* Nobody there: at once. */
        zl_close(f->resolvers[0].udp_fd);
        f->resolvers[0].udp_fd = -EBADF;
        set_resolvers(f, 30);
        send_query(udp, 3, "x");
        a = take_asked(f, f->resolvers[1].udp_fd);
        answer(f->resolvers[1].udp_fd, &a, 0x8180, 1);
        receive(f, udp, 3, ZL_DNS_NOERROR);
        /* None of them answers. */
        set_resolvers(f, 1);
        send_query(udp, 4, "x");
        receive(f, udp, 4, ZL_DNS_SERVFAIL);
        expect_stats(f, 0, 0);
        close(udp);
}

/* One that would ask ourselves is never asked; without any the answer comes at once. */
static void test_loop(void **state)
{
        struct fixture *f = *state;
        struct zl_resolv_conf conf = ZL_RESOLV_CONF_INIT;
        int udp = client(f, SOCK_DGRAM);
        struct zl_dns_stats stats;

        conf.n_resolvers = 1;
        conf.resolvers[0] = (struct zl_resolver){ .address = loopback, .port = f->port };
        zl_dns_server_set_resolvers(f->server, &conf);
        send_query(udp, 1, "x");
        receive(f, udp, 1, ZL_DNS_SERVFAIL);
        zl_dns_server_get_stats(f->server, &stats);
        assert_int_equal(stats.queries, 1);
        assert_int_equal(stats.forwarded, 0);
        close(udp);
}

/* A client without EDNS gets 512 bytes whatever the resolver sends. */
static void test_too_long_for_udp(void **state)
{
        struct fixture *f = *state;
        int udp = client(f, SOCK_DGRAM);
        struct asked a;

        send_query(udp, 1, "x");
        a = take_asked(f, f->resolvers[0].udp_fd);
        answer(f->resolvers[0].udp_fd, &a, 0x8180, 100);
        receive(f, udp, 1, ZL_DNS_NOERROR);
        assert_true(got.reply.truncated);
        assert_true(got.len <= 512);
        close(udp);
}

static void test_tcp_upstream(void **state)
{
        struct fixture *f = *state;
        int tcp = client(f, SOCK_STREAM), conn;
        static uint8_t out[ZL_DNS_MESSAGE_MAX];
        struct asked a, b = { 0 };
        size_t len;

        send_framed(tcp, 1, "x");
        a = take_asked(f, f->resolvers[0].udp_fd);
        answer(f->resolvers[0].udp_fd, &a, 0x8380, 0);
        assert_true(pump(f, f->resolvers[0].tcp_fd));
        conn = accept(f->resolvers[0].tcp_fd, NULL, NULL);
        assert_true(pump(f, conn));
        assert_int_equal(recv(conn, out, 2, MSG_WAITALL), 2);
        b.len = out[1];
        assert_int_equal(b.len, a.len);
        assert_int_equal(recv(conn, b.data, b.len, MSG_WAITALL), b.len);
        len = make_answer(&b, out + 2, 0x8180, 4000);
        out[0] = (uint8_t)(len >> 8);
        out[1] = (uint8_t)len;
        /* In pieces. */
        assert_int_equal(send(conn, out, 1, 0), 1);
        zl_dns_server_dispatch(f->server);
        assert_int_equal(send(conn, out + 1, 100, 0), 100);
        zl_dns_server_dispatch(f->server);
        assert_int_equal(send(conn, out + 101, len - 99, 0), len - 99);
        receive_framed(f, tcp, 1, ZL_DNS_NOERROR);
        assert_int_equal(got.answers, 4000);
        close(conn);
        /* The other side hangs up: the next resolver is asked. */
        send_framed(tcp, 2, "x");
        a = take_asked(f, f->resolvers[0].udp_fd);
        answer(f->resolvers[0].udp_fd, &a, 0x8380, 0);
        assert_true(pump(f, f->resolvers[0].tcp_fd));
        conn = accept(f->resolvers[0].tcp_fd, NULL, NULL);
        assert_true(pump(f, conn));
        close(conn);
        a = take_asked(f, f->resolvers[1].udp_fd);
        answer(f->resolvers[1].udp_fd, &a, 0x8180, 2);
        receive_framed(f, tcp, 2, ZL_DNS_NOERROR);
        expect_stats(f, 0, 1);
        close(tcp);
}

/* Several queries at once, in pieces of any size, answered in the order in which answers come; the client says that it will send no
 * more and still gets them all. */
static void test_pipelining(void **state)
{
        struct fixture *f = *state;
        int tcp = client(f, SOCK_STREAM);
        uint8_t stream[300];
        struct asked a;
        size_t len = 0;

        for (unsigned i = 0; i < 3; i++) {
                size_t n = make_query(stream + len + 2, (uint16_t)i, i == 0 ? "x" : "web");

                stream[len] = 0;
                stream[len + 1] = (uint8_t)n;
                len += n + 2;
        }
        for (size_t i = 0; i < len; i++) {
                assert_int_equal(send(tcp, stream + i, 1, 0), 1);
                zl_dns_server_dispatch(f->server);
        }
        shutdown(tcp, SHUT_WR);
        receive_framed(f, tcp, 1, ZL_DNS_NOERROR);
        receive_framed(f, tcp, 2, ZL_DNS_NOERROR);
        a = take_asked(f, f->resolvers[0].udp_fd);
        answer(f->resolvers[0].udp_fd, &a, 0x8180, 1);
        receive_framed(f, tcp, 0, ZL_DNS_NOERROR);
        assert_true(pump(f, tcp));
        assert_int_equal(recv(tcp, stream, 1, 0), 0);
        expect_stats(f, 0, 0);
        close(tcp);
}

/* Many queries in one connection while the resolver is silent: not read any further, none lost. */
static void test_many_in_one_connection(void **state)
{
        struct fixture *f = *state;
        int tcp = client(f, SOCK_STREAM);

        for (unsigned i = 0; i < 100; i++)
                send_framed(tcp, (uint16_t)i, "x");
        for (unsigned i = 0; i < 100; i++) {
                struct asked a = take_asked(f, f->resolvers[0].udp_fd);

                answer(f->resolvers[0].udp_fd, &a, 0x8180, 1);
                receive_framed(f, tcp, (uint16_t)i, ZL_DNS_NOERROR);
        }
        /* It goes away with queries waiting: they go, too. */
        send_framed(tcp, 0, "x");
        take_asked(f, f->resolvers[0].udp_fd);
        expect_stats(f, 1, 1);
        send_framed(tcp, 0, "");
        close(tcp);
        for (int i = 0; i < 100; i++)
                zl_dns_server_dispatch(f->server);
        zl_dns_server_unlisten(f->server, "n");
        expect_stats(f, 0, 0);
}

static void test_bad_stream(void **state)
{
        static const char *const bad[] = { "\xff\xff"
                                           "xx",
                                           "\0\1x" };
        struct fixture *f = *state;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++) {
                int tcp = client(f, SOCK_STREAM);
                char c;

                assert_int_equal(send(tcp, bad[i], i == 0 ? 4 : 3, 0), i == 0 ? 4 : 3);
                assert_true(pump(f, tcp));
                assert_true(recv(tcp, &c, 1, 0) <= 0);
                close(tcp);
        }
        expect_stats(f, 0, 0);
}

/* More at once than there is room for: those beyond hear so, and the table goes on answering. */
static void test_bounds(void **state)
{
        struct fixture *f = *state;
        int udp = client(f, SOCK_DGRAM), conns[ZL_DNS_CONNS_MAX];
        struct rlimit limit;
        struct zl_dns_stats stats;

        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        for (unsigned i = 0; i < ZL_DNS_QUERIES_MAX / 2; i++) {
                send_query(udp, (uint16_t)i, "x");
                zl_dns_server_dispatch(f->server);
        }
        expect_stats(f, ZL_DNS_QUERIES_MAX / 2, 0);
        send_query(udp, 5000, "x");
        receive(f, udp, 5000, ZL_DNS_SERVFAIL);
        send_query(udp, 5001, "web");
        receive(f, udp, 5001, ZL_DNS_NOERROR);
        assert_int_equal(got.answers, 1);
        zl_dns_server_get_stats(f->server, &stats);
        assert_int_equal(stats.refused, 1);

        for (unsigned i = 0; i < ZL_DNS_CONNS_MAX; i++) {
                conns[i] = client(f, SOCK_STREAM);
                zl_dns_server_dispatch(f->server);
        }
        expect_stats(f, ZL_DNS_QUERIES_MAX / 2, ZL_DNS_CONNS_MAX / 4);
        zl_dns_server_get_stats(f->server, &stats);
        assert_int_equal(stats.refused, 1 + ZL_DNS_CONNS_MAX - ZL_DNS_CONNS_MAX / 4);
        for (unsigned i = 0; i < ZL_DNS_CONNS_MAX; i++)
                close(conns[i]);
        close(udp);
}

static void test_listen_errors(void **state)
{
        struct fixture *f = *state;
        struct zl_dns_listener l = ZL_DNS_LISTENER_INIT;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        size_t fds = count_fds();

        l.network = "m";
        l.address = loopback;
        l.port = f->resolvers[0].port;
        assert_int_equal(zl_dns_server_listen(f->server, &l, &err), -EADDRINUSE);
        assert_int_equal(err.code, ZL_E_BUSY);
        l.port = f->port;
        assert_int_equal(zl_dns_server_listen(f->server, &l, &err), -EINVAL);
        l.port = 0;
        l.address = (struct zl_ip){ .family = AF_INET };
        assert_int_equal(zl_dns_server_listen(f->server, &l, &err), -EINVAL);
        l.address = (struct zl_ip){ 0 };
        assert_int_equal(zl_dns_server_listen(f->server, &l, &err), -EINVAL);
        assert_int_equal(count_fds(), fds);
        assert_int_equal(zl_dns_server_unlisten(f->server, "m"), 0);
        assert_int_equal(zl_dns_server_unlisten(f->server, "n"), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_own, setup, teardown),
                cmocka_unit_test_setup_teardown(test_forward, setup, teardown),
                cmocka_unit_test_setup_teardown(test_random, setup, teardown),
                cmocka_unit_test_setup_teardown(test_forged, setup, teardown),
                cmocka_unit_test_setup_teardown(test_next_resolver, setup, teardown),
                cmocka_unit_test_setup_teardown(test_loop, setup, teardown),
                cmocka_unit_test_setup_teardown(test_too_long_for_udp, setup, teardown),
                cmocka_unit_test_setup_teardown(test_tcp_upstream, setup, teardown),
                cmocka_unit_test_setup_teardown(test_pipelining, setup, teardown),
                cmocka_unit_test_setup_teardown(test_many_in_one_connection, setup, teardown),
                cmocka_unit_test_setup_teardown(test_bad_stream, setup, teardown),
                cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
                cmocka_unit_test_setup_teardown(test_listen_errors, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
