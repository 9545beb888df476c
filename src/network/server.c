/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zlayer-net: start, requests, loop, end. It is started by whoever needs it first (network/client.c) and goes when nothing has
 * needed it for a moment; a file lock makes sure that there is one.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/fnv.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/socket.h"
#include "network/datagrams.h"
#include "network/main.h"
#include "network/passage.h"
#include "network/pid.h"
#include "network/protocol.h"
#include "network/server.h"

enum { READY_FD = 3, LOG_MAX = 256 * 1024 };

/* So long an unused network, and then an unused process, is kept: a container that is replaced finds them. */
#define LINGER_NSEC (500 * ZL_NSEC_PER_MSEC)
#define ACCEPT_PAUSE_NSEC (100 * ZL_NSEC_PER_MSEC)
#define PASSAGE_PAUSE_NSEC (50 * ZL_NSEC_PER_MSEC)

/* ---- requests ------------------------------------------------------------------------------------- */

static json_t *error_document(const struct zl_error *e)
{
        json_t *inner = json_pack("{s:i,s:i,s:s,s:s*}", "code", (int)e->code, "errno", e->sys_errno,
                                  "message", zl_error_message(e), "hint", e->hint);

        return json_pack("{s:o}", "error", inner);
}

static int handle_attach(struct zl_net_server *s, json_t *request, int fds[2], json_t **ret,
                         struct zl_error *err)
{
        _cleanup_close_ int netns = zl_take_fd(fds[1]);
        json_t *record;
        int r;

        if (fds[0] < 0 || netns < 0) {
                fds[0] = zl_close(fds[0]);
                return zl_fail(err, ZL_E_PROTOCOL, 0, "attach wants a process and a namespace");
        }
        r = zl_net_attach(s, request, zl_take_fd(fds[0]), netns, &record, err);
        if (r == 0)
                *ret = json_incref(record);
        return r;
}

/* 1: the answer comes later. */
static int handle_drain(struct zl_net_server *s, struct zl_net_source *source,
                        struct zl_net_attachment *a, const json_t *request, struct zl_error *err)
{
        int r = a ? zl_net_set_ready(s, a, false, err) : 0;

        if (!a || r < 0)
                return r;
        r = zl_net_drain_begin(s, source, a, zl_json_int(request, "timeout", 0), err);
        return r < 0 ? r : 1;
}

static int handle_keep(struct zl_net_server *s, const char *name, struct zl_error *err)
{
        if (!zl_net_is_network_name(name))
                return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" cannot be the name of a network",
                               name);
        return zl_net_network_keep(s, name, err);
}

/* 1: the answer comes later. */
static int handle(struct zl_net_server *s, struct zl_net_source *source, json_t *request,
                  int fds[2], json_t **ret, struct zl_error *err)
{
        const char *op = zl_json_str(request, "op", ""), *name = zl_json_str(request, "name", "");
        struct zl_net_attachment *a = zl_map_get(s->attachments, name);

        if (zl_streq(op, ZL_NET_OP_ATTACH))
                return handle_attach(s, request, fds, ret, err);
        if (zl_streq(op, ZL_NET_OP_READY))
                return a ? zl_net_set_ready(s, a, zl_json_bool(request, "ready", false), err) : 0;
        if (zl_streq(op, ZL_NET_OP_DRAIN))
                return handle_drain(s, source, a, request, err);
        if (zl_streq(op, ZL_NET_OP_PORTS))
                return zl_net_ports_count(s, ret, err);
        if (zl_streq(op, ZL_NET_OP_KEEP))
                return handle_keep(s, name, err);
        if (zl_streq(op, ZL_NET_OP_REMOVE))
                return zl_net_network_remove(s, name, err);
        if (zl_streq(op, ZL_NET_OP_DETACH)) {
                if (a)
                        zl_net_detach(s, a);
                return 0;
        }
        return zl_fail(err, ZL_E_UNSUPPORTED, 0, "zlayer-net does not know \"%s\"", op);
}

void zl_net_answer(int fd, json_t *document)
{
        _cleanup_json_ json_t *reply = document;
        _cleanup_free_ char *text = zl_json_dump(reply, 0);

        if (text)
                zl_send_fds(fd, text, strlen(text), NULL, 0, MSG_DONTWAIT);
}

static void close_connection(struct zl_net_server *s, struct zl_net_source *source)
{
        zl_net_drain_forget(s, source);
        zl_close(source->fd);
        free(source);
        s->idle_at = zl_now_monotonic();
}

static void request_ready(struct zl_net_server *s, struct zl_net_source *source, uint32_t events)
{
        _cleanup_free_ char *text = malloc(ZL_NET_REQUEST_MAX);
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_json_ json_t *request = NULL, *reply = NULL;
        int fds[2] = { -1, -1 };
        size_t n_fds = 2;
        ssize_t n = text ? zl_recv_fds(source->fd, text, ZL_NET_REQUEST_MAX, fds, &n_fds,
                                       MSG_DONTWAIT)
                         : -1;
        int r;

        if (n == -EAGAIN)
                return;
        if (n <= 0) {
                close_connection(s, source);
                return;
        }
        r = zl_json_parse(text, (size_t)n, "request", &request, &err);
        if (r == 0)
                r = handle(s, source, request, fds, &reply, &err);
        zl_close(fds[0]);
        zl_close(fds[1]);
        if (r < 0)
                zl_net_answer(source->fd, error_document(&err));
        else if (r == 0)
                zl_net_answer(source->fd, json_pack("{s:O*}", "ok", reply ? reply : json_null()));
}

int zl_net_source_add(struct zl_net_server *s, struct zl_net_source *source)
{
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = source };

        return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0 ? -errno : 0;
}

int zl_net_source_watch(struct zl_net_server *s, struct zl_net_source *source, bool on)
{
        struct epoll_event event = { .events = on ? EPOLLIN : 0, .data.ptr = source };

        return epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0 ? -errno : 0;
}

void zl_net_put_aside(struct zl_net_server *s, struct zl_net_source *listener)
{
        if (zl_net_source_watch(s, listener, false) == 0 && !s->accept_at)
                s->accept_at = zl_now_monotonic() + ACCEPT_PAUSE_NSEC;
}

char *zl_net_buffer(struct zl_net_server *s)
{
        if (!s->buffer)
                s->buffer = malloc(ZL_NET_BUFFER);
        return s->buffer;
}

int zl_net_accept(struct zl_net_server *s, struct zl_net_source *listener,
                  union zl_sockaddr *ret_peer)
{
        socklen_t len = sizeof(*ret_peer);
        int fd = accept4(listener->fd, &ret_peer->any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
                zl_net_put_aside(s, listener);
        return fd;
}

static void listener_ready(struct zl_net_server *s, struct zl_net_source *source, uint32_t events)
{
        union zl_sockaddr peer;
        int fd = zl_net_accept(s, source, &peer);
        struct zl_net_source *c = fd < 0 ? NULL : calloc(1, sizeof(*c));

        if (!c) {
                zl_close(fd);
                return;
        }
        *c = (struct zl_net_source){ .fd = fd, .ready = request_ready };
        if (zl_net_source_add(s, c) < 0)
                close_connection(s, c);
}

/* ---- start ---------------------------------------------------------------------------------------- */

static void log_sink(enum zl_log_level level, const char *message, void *data)
{
        const struct zl_net_server *s = data;
        char time[ZL_RFC3339_SIZE];
        struct stat st;

        if (fstat(s->log_fd, &st) == 0 && st.st_size < LOG_MAX)
                dprintf(s->log_fd, "%s %s: %s\n", zl_format_rfc3339(zl_now_realtime(), time),
                        zl_log_level_name(level), message);
}

/* 0, or 1 if another process has it. */
static int take_lock(struct zl_net_server *s, struct zl_error *err)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        s->lock_fd = openat(s->dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (s->lock_fd < 0)
                return zl_fail_errno(err, errno, "cannot make %s/lock", s->dir);
        if (fcntl(s->lock_fd, F_SETLK, &lock) < 0)
                return errno == EAGAIN || errno == EACCES
                               ? 1
                               : zl_fail_errno(err, errno, "cannot lock %s/lock", s->dir);
        return 0;
}

/* Our prefix of unique local addresses and our tag: the same for each life, others for other directories and machines. */
static void choose_names(struct zl_net_server *s)
{
        _cleanup_free_ char *machine = NULL;
        uint64_t h = zl_fnv(ZL_FNV_INIT, s->dir, strlen(s->dir));

        snprintf(s->tag, sizeof(s->tag), "%04x", (unsigned)(h >> 16 & 0xffff));
        if (zl_read_file_at(AT_FDCWD, "/etc/machine-id", 4096, &machine, NULL) == 0)
                h = zl_fnv(h, machine, strlen(machine));
        s->ula[0] = 0xfd;
        for (int i = 1; i < 6; i++)
                s->ula[i] = (uint8_t)(h >> 8 * i);
}

static int read_pool(struct zl_net_server *s, const char *text, struct zl_error *err)
{
        char address[64];
        struct zl_ip ip;
        uint32_t bits = 0;
        const char *slash = strchr(text, '/');

        snprintf(address, sizeof(address), "%.*s", slash ? (int)(slash - text) : 0, text);
        if (!slash || zl_ip_parse(address, &ip) < 0 || ip.family != AF_INET ||
            zl_parse_u32(slash + 1, 10, &bits) < 0 || bits < 8 || bits > ZL_NET_SUBNET_BITS)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "ZLAYER_NETWORK_POOL: \"%s\" is not ADDRESS/BITS with 8 to %d bits",
                               text, ZL_NET_SUBNET_BITS);
        s->pool = (uint32_t)ip.bytes[0] << 24 | (uint32_t)ip.bytes[1] << 16 |
                  (uint32_t)ip.bytes[2] << 8 | ip.bytes[3];
        s->pool &= ~(uint32_t)(UINT64_C(0xffffffff) >> bits);
        s->pool_bits = bits;
        return 0;
}

static int open_all(struct zl_net_server *s, struct zl_error *err)
{
        char table[16];
        int r;

        s->netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        s->networks = zl_map_new((void (*)(void *))zl_net_network_free);
        s->attachments = zl_map_new((void (*)(void *))zl_net_attachment_free);
        s->fronts = zl_map_new((void (*)(void *))zl_net_front_free);
        if (s->netns_fd < 0 || s->epoll_fd < 0 || !s->networks || !s->attachments || !s->fronts)
                return zl_fail_errno(err, errno, "cannot start");
        r = zl_nl_open(&s->route, NETLINK_ROUTE, err);
        snprintf(table, sizeof(table), "zlayer-%s", s->tag);
        if (r == 0)
                r = zl_net_names_open(s, err);
        return r < 0 ? r : zl_firewall_open(table, &s->firewall, err);
}

static void explain(int r, struct zl_error *err)
{
        if (r == -EPERM)
                zl_error_hint(err,
                              "networks need CAP_NET_ADMIN, which this process does not have; the "
                              "host's network (network_mode: host) needs nothing");
        else if (r == -EOPNOTSUPP || r == -EPROTONOSUPPORT)
                zl_error_hint(err, "networks need a kernel with nf_tables (CONFIG_NF_TABLES_INET)");
}

/* The whole table in one batch: packets meet the old one or the new one. */
static int build_firewall(struct zl_net_server *s, struct zl_error *err)
{
        _cleanup_free_ struct zl_firewall_network *networks = NULL;
        struct zl_firewall_front *fronts = NULL;
        size_t n, n_fronts = 0;
        int r;

        if (zl_net_firewall_networks(s, &networks, &n) < 0 ||
            zl_net_ports_list(s, &fronts, &n_fronts) < 0)
                return zl_fail_oom(err);
        r = zl_firewall_build(&s->firewall, networks, n, fronts, n_fronts, err);
        zl_net_ports_forget(fronts, n_fronts);
        return r;
}

static void open_passage(struct zl_net_server *s, bool is_first)
{
        char prefix[IF_NAMESIZE];

        s->passage_at = 0;
        zl_passage_open(&s->firewall.nl, s->firewall.table, zl_net_bridge_prefix(s, prefix),
                        is_first);
}

/* Somebody flushed all rules, as a firewall that is restarted does: ours are made again, also those in its own chains, once it is
 * done. */
static void rules_ready(struct zl_net_server *s, struct zl_net_source *source, uint32_t events)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;

        unsigned changes = zl_firewall_look(&s->firewall, source->fd);

        if (changes & ZL_FIREWALL_OTHERS)
                s->passage_at = zl_now_monotonic() + PASSAGE_PAUSE_NSEC;
        if (!(changes & ZL_FIREWALL_DESTROYED))
                return;
        zl_warn("somebody removed our table of rules, it is made again");
        if (build_firewall(s, &why) < 0)
                zl_log_error(ZL_LOG_ERROR, &why, "cannot make the rules again");
}

static int watch_rules(struct zl_net_server *s, struct zl_error *err)
{
        int r = zl_firewall_watch(err);

        if (r < 0)
                return r;
        s->rules_source = (struct zl_net_source){ .fd = r, .ready = rules_ready };
        r = zl_net_source_add(s, &s->rules_source);
        return r < 0 ? zl_fail_errno(err, -r, "cannot watch the rules") : 0;
}

static int start(struct zl_net_server *s, const char *pool, struct zl_error *err)
{
        static const char *const rooms[] = { "networks", "containers" };
        int r = read_pool(s, pool, err);

        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(rooms); i++) {
                r = zl_mkdir_p_at(s->dir_fd, rooms[i], 0700);
                if (r < 0)
                        return zl_fail_errno(err, -r, "cannot make %s/%s", s->dir, rooms[i]);
        }
        choose_names(s);
        if (r == 0 && zl_outside_is_needed())
                r = zl_outside_move(s->dir, &s->outside_fd, err);
        if (r == 0)
                r = open_all(s, err);
        /* Without rules nothing is begun: a kernel or a right that is missing is noticed here. The table of an earlier life stays
         * until there is another: connections are under way. */
        if (r == 0) {
                r = zl_firewall_probe(&s->firewall, err);
                explain(r, err);
        }
        if (r == 0)
                r = zl_net_recover(s, err);
        if (r == 0)
                r = watch_rules(s, err);
        if (r == 0)
                r = build_firewall(s, err);
        if (r < 0)
                return r;
        open_passage(s, true);
        unlinkat(s->dir_fd, ZL_NET_SOCKET, 0);
        s->listener.ready = listener_ready;
        s->listener.fd = zl_unix_listen_at(s->dir_fd, ZL_NET_SOCKET, SOCK_SEQPACKET, 0600);
        if (s->listener.fd < 0)
                return zl_fail_errno(err, -s->listener.fd, "cannot listen on %s/%s", s->dir,
                                     ZL_NET_SOCKET);
        zl_fd_set_nonblock(s->listener.fd, true);
        r = zl_net_source_add(s, &s->listener);
        return r < 0 ? zl_fail_errno(err, -r, "cannot watch the socket") : 0;
}

/* ---- loop ----------------------------------------------------------------------------------------- */

static void listen_again(struct zl_net_server *s)
{
        s->accept_at = 0;
        zl_net_source_watch(s, &s->listener, true);
        zl_net_ports_resume(s);
}

/* The earlier of two instants, of which 0 is never. */
static int64_t earlier(int64_t a, int64_t b)
{
        return a && b ? ZL_MIN(a, b) : a + b;
}

/* Milliseconds to sleep; -1: no limit; -2: there is nothing left to do. */
static int look_around(struct zl_net_server *s)
{
        int64_t now = zl_now_monotonic(), idle_at = s->idle_at ? s->idle_at + LINGER_NSEC : 0, next;

        if (s->accept_at && s->accept_at <= now)
                listen_again(s);
        if (s->passage_at && s->passage_at <= now)
                open_passage(s, false);
        if (s->datagrams_at && s->datagrams_at <= now)
                zl_net_datagrams_look(s);
        if (s->drain_at && s->drain_at <= now)
                zl_net_drain_look(s);
        if (idle_at && idle_at <= now) {
                s->idle_at = idle_at = 0;
                zl_net_network_sweep(s);
                if (zl_map_size(s->attachments) == 0)
                        return -2;
        }
        next = earlier(earlier(earlier(idle_at, s->accept_at), earlier(s->drain_at, s->passage_at)),
                       s->datagrams_at);
        return next ? (int)(ZL_MAX(next - now, (int64_t)0) / ZL_NSEC_PER_MSEC) + 1 : -1;
}

static void leave(struct zl_net_server *s)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;

        char prefix[IF_NAMESIZE];

        zl_passage_close(&s->firewall.nl, zl_net_bridge_prefix(s, prefix));
        if (zl_firewall_remove(&s->firewall, &why) < 0)
                zl_log_error(ZL_LOG_WARNING, &why, "leaving");
        unlinkat(s->dir_fd, ZL_NET_SOCKET, 0);
}

static int loop(struct zl_net_server *s)
{
        for (;;) {
                struct epoll_event event;
                int msec = look_around(s);

                if (msec == -2) {
                        leave(s);
                        return EXIT_SUCCESS;
                }
                /* One at a time: what one event frees, another may have been about. */
                if (epoll_wait(s->epoll_fd, &event, 1, msec) == 1) {
                        struct zl_net_source *source = event.data.ptr;

                        source->ready(s, source, event.events);
                }
        }
}

static int become_daemon(void)
{
        struct rlimit files;
        pid_t pid = fork();
        int fd;

        if (pid != 0)
                _exit(pid < 0);
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int i = 0; fd >= 0 && i < 3; i++)
                dup2(fd, i);
        if (fd > 2)
                zl_close(fd);
        /* Each connection of a relay and each query that is forwarded is a descriptor. */
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                setrlimit(RLIMIT_NOFILE, &files);
        }
        umask(022);
        prctl(PR_SET_NAME, "zlayer-net");
        signal(SIGPIPE, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        return chdir("/");
}

int zl_net_main(int argc, char **argv)
{
        static struct zl_net_server s = { .lock_fd = -EBADF,
                                          .outside_fd = -EBADF,
                                          .route = ZL_NL_INIT };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct stat st;
        int r;

        if (argc != 4 || fstat(READY_FD, &st) < 0 || !S_ISSOCK(st.st_mode)) {
                dprintf(STDERR_FILENO, "zlayer-net is started by zlayer-agent, one for each "
                                       "runtime directory, and not by hand\n");
                return 2;
        }
        zl_fd_set_cloexec(READY_FD, true);
        s.dir = argv[1];
        s.memory_dir = argv[3];
        s.dir_fd = zl_open_dir_at(AT_FDCWD, s.dir, 0700, &err);
        s.memory_fd = s.dir_fd < 0 ? -EBADF : zl_open_dir_at(AT_FDCWD, s.memory_dir, 0700, &err);
        if (become_daemon() < 0)
                return EXIT_FAILURE;
        r = s.dir_fd < 0 ? s.dir_fd : s.memory_fd < 0 ? s.memory_fd : take_lock(&s, &err);
        if (r > 0)
                return EXIT_SUCCESS;
        if (r == 0) {
                s.log_fd = openat(s.dir_fd, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
                zl_log_set(ZL_LOG_WARNING, log_sink, &s);
                r = start(&s, argv[2], &err);
        }
        if (r < 0) {
                zl_log_error(ZL_LOG_ERROR, &err, "cannot start");
                zl_net_answer(READY_FD, error_document(&err));
                return EXIT_FAILURE;
        }
        zl_net_answer(READY_FD, json_pack("{s:n}", "ok"));
        zl_close(READY_FD);
        return loop(&s);
}
