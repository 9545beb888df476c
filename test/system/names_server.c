/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name server alone, for system tests and for measuring: the same code that runs beside containers, with its table and its settings taken
 * as lines from a named pipe. Each line is answered by one line on standard output, "ok" or "CODE: message", as soon as it is in force.
 *
 *         listen NETWORK ADDRESS PORT BITS        unlisten NETWORK
 *         set NETWORK OWNER ready|waiting ADDRESS[,ADDRESS…] NAME…
 *         replica NETWORK SERVICE NUMBER ADDRESS  all the names of a replica
 *         ready|waiting NETWORK OWNER             remove NETWORK OWNER
 *         resolvers ADDRESS PORT …                resolv FILE     a resolv.conf, followed
 *         stats                                   "ok queries malformed own forwarded failed refused pending connections"
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/strv.h"
#include "network/dns_server.h"

enum { WORDS_MAX = 64, LINE_MAX_BYTES = 4096 };

static struct zl_names *names;
static struct zl_dns_server *server;
static struct zl_error err;

static int usage(const char *word)
{
        return zl_fail(&err, ZL_E_INVALID, 0, "wrong arguments for \"%s\"", word);
}

static int parse_ip(const char *text, struct zl_ip *ret)
{
        if (zl_ip_parse(text, ret) < 0)
                return zl_fail(&err, ZL_E_INVALID, 0, "\"%s\" is no address", text);
        return 0;
}

static int do_listen(int n, char **word)
{
        struct zl_dns_listener l = ZL_DNS_LISTENER_INIT;
        uint32_t port, bits;

        if (n != 5 || zl_parse_u32(word[3], 10, &port) < 0 || zl_parse_u32(word[4], 10, &bits) < 0)
                return usage(word[0]);
        l.network = word[1];
        l.port = (uint16_t)port;
        l.prefix_bits = bits;
        if (parse_ip(word[2], &l.address) < 0)
                return -EINVAL;
        return zl_dns_server_listen(server, &l, &err);
}

static int do_unlisten(int n, char **word)
{
        if (n != 2)
                return usage(word[0]);
        zl_dns_server_unlisten(server, word[1]);
        return 0;
}

static int set(struct zl_names_record *record, char *addresses)
{
        struct zl_ip ips[ZL_NAMES_ADDRESSES_PER_OWNER];
        char *address;

        while ((address = strsep(&addresses, ",")) && record->n_addresses < ZL_ARRAY_SIZE(ips))
                if (parse_ip(address, &ips[record->n_addresses++]) < 0)
                        return -EINVAL;
        record->addresses = ips;
        return zl_names_set(names, record, &err);
}

static int do_set(int n, char **word)
{
        struct zl_names_record record = { .network = word[1], .owner = word[2], .names = word + 5 };

        if (n < 6)
                return usage(word[0]);
        record.ready = zl_streq(word[3], "ready");
        return set(&record, word[4]);
}

static int do_replica(int n, char **word)
{
        _cleanup_strv_ char **list = NULL;
        char owner[ZL_NAMES_OWNER_MAX];
        struct zl_names_record record = { .network = word[1], .owner = owner, .ready = true };

        if (n != 5)
                return usage(word[0]);
        snprintf(owner, sizeof(owner), "%s.%s", word[2], word[3]);
        if (zl_names_of_replica(word[2], word[3], NULL, &list, &err) < 0)
                return -ENOMEM;
        record.names = list;
        return set(&record, word[4]);
}

static int do_ready(int n, char **word)
{
        if (n != 3)
                return usage(word[0]);
        if (!zl_names_set_ready(names, word[1], word[2], zl_streq(word[0], "ready")))
                return zl_fail(&err, ZL_E_NOT_FOUND, 0, "no %s in %s", word[2], word[1]);
        return 0;
}

static int do_remove(int n, char **word)
{
        if (n != 3)
                return usage(word[0]);
        if (!zl_names_remove(names, word[1], word[2]))
                return zl_fail(&err, ZL_E_NOT_FOUND, 0, "no %s in %s", word[2], word[1]);
        return 0;
}

static int do_resolvers(int n, char **word)
{
        struct zl_resolv_conf conf = ZL_RESOLV_CONF_INIT;

        for (int i = 1; i + 1 < n && conf.n_resolvers < ZL_RESOLVERS_MAX; i += 2) {
                struct zl_resolver *r = &conf.resolvers[conf.n_resolvers++];
                uint32_t port;

                if (parse_ip(word[i], &r->address) < 0 || zl_parse_u32(word[i + 1], 10, &port) < 0)
                        return usage(word[0]);
                r->port = (uint16_t)port;
        }
        zl_dns_server_set_resolvers(server, &conf);
        return 0;
}

static int do_resolv(int n, char **word)
{
        return n == 2 ? zl_dns_server_follow(server, word[1], &err) : usage(word[0]);
}

static int do_stats(int n, char **word)
{
        struct zl_dns_stats s;

        zl_dns_server_get_stats(server, &s);
        printf("ok %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
               " %zu %zu\n",
               s.queries, s.malformed, s.own, s.forwarded, s.failed, s.refused, s.pending,
               s.connections);
        return 1;
}

static void do_line(char *line)
{
        static const struct {
                const char *name;
                int (*run)(int n, char **word);
        } commands[] = {
                { "listen", do_listen },   { "unlisten", do_unlisten },   { "set", do_set },
                { "replica", do_replica }, { "ready", do_ready },         { "waiting", do_ready },
                { "remove", do_remove },   { "resolvers", do_resolvers }, { "resolv", do_resolv },
                { "stats", do_stats },
        };
        char *word[WORDS_MAX + 1] = { NULL }, *part;
        int n = 0, r;

        while ((part = strsep(&line, " ")) && n < WORDS_MAX)
                if (*part)
                        word[n++] = part;
        r = n == 0 ? 1 : usage(word[0]);
        for (size_t i = 0; n > 0 && i < ZL_ARRAY_SIZE(commands); i++) {
                if (zl_streq(word[0], commands[i].name)) {
                        zl_error_done(&err);
                        r = commands[i].run(n, word);
                }
        }
        if (r == 0)
                puts("ok");
        else if (r < 0)
                printf("%s: %s\n", zl_code_name(err.code), zl_error_message(&err));
        zl_error_done(&err);
        fflush(stdout);
}

/* Takes the whole lines that are there. */
static int read_lines(int fd)
{
        static struct zl_buf buf = ZL_BUF_INIT(16 * LINE_MAX_BYTES);
        void *room = zl_buf_reserve(&buf, LINE_MAX_BYTES);
        ssize_t n = room ? read(fd, room, LINE_MAX_BYTES) : -1;
        char *end;

        if (n <= 0)
                return -EIO;
        buf.len += (size_t)n;
        while ((end = memchr(buf.data, '\n', buf.len))) {
                *end = 0;
                do_line(buf.data);
                zl_buf_consume(&buf, (size_t)(end - buf.data) + 1);
        }
        return 0;
}

int main(int argc, char **argv)
{
        struct rlimit files;
        int fd = argc == 2 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;

        if (fd < 0) {
                fprintf(stderr, "usage: names-server PIPE\n");
                return 2;
        }
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        names = zl_names_new();
        if (!names || zl_dns_server_new(names, &server, &err) < 0) {
                fprintf(stderr, "names-server: %s\n", zl_error_message(&err));
                return 1;
        }
        for (;;) {
                struct pollfd p[] = { { fd, POLLIN, 0 }, { zl_dns_server_fd(server), POLLIN, 0 } };

                if (poll(p, 2, -1) < 0 && errno != EINTR)
                        return 1;
                if (p[1].revents)
                        zl_dns_server_dispatch(server);
                if (p[0].revents && read_lines(fd) < 0)
                        return 1;
        }
}
