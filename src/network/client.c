/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to zlayer-net. It may go at any moment, since it leaves when it is not needed, and it may be killed: a request that got no
 * answer is made again, at a process that is started for it. All requests may be repeated.
 */
#include "network/client.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"
#include "base/socket.h"
#include "base/spawn.h"
#include "network/pid.h"
#include "network/protocol.h"

#define POOL_DEFAULT "10.208.0.0/12"

enum { ANSWER_MAX = 128 * 1024, TRIES = 200, PAUSE_USEC = 20 * 1000, PATIENCE_SEC = 60 };

void zl_net_info_done(struct zl_net_info *info)
{
        json_decref(info->document);
        *info = (struct zl_net_info){ 0 };
}

/* ---- starting it ---------------------------------------------------------------------------------- */

static int spawn(const struct zl_net *net, int fd, pid_t *ret)
{
        const char *pool = net->pool ? net->pool : POOL_DEFAULT;
        char *argv[] = { (char *)"zlayer-net", (char *)(uintptr_t)net->dir, (char *)(uintptr_t)pool,
                         (char *)(uintptr_t)net->memory, NULL };
        char *env[] = { NULL };

        return zl_spawn_detached(net->program, argv, env, fd, ret);
}

static int read_error(const json_t *e, struct zl_error *err)
{
        int code = (int)zl_json_int(e, "code", ZL_E_INTERNAL);
        int r = zl_fail(err, (enum zl_code)code, 0, "%s", zl_json_str(e, "message", "no reason"));

        if (err) {
                err->sys_errno = (int)zl_json_int(e, "errno", 0);
                if (zl_json_str(e, "hint", NULL))
                        zl_error_hint(err, "%s", zl_json_str(e, "hint", ""));
        }
        return r;
}

/* 1: an answer, 0: none. `*ret` is what stands under "ok", or NULL. */
static int receive(int fd, json_t **ret, struct zl_error *err)
{
        const struct timeval patience = { .tv_sec = PATIENCE_SEC };
        _cleanup_free_ char *text = malloc(ANSWER_MAX);
        _cleanup_json_ json_t *answer = NULL;
        size_t none = 0;
        ssize_t n;
        int r;

        if (!text)
                return zl_fail_oom(err);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        n = zl_recv_fds(fd, text, ANSWER_MAX, NULL, &none, 0);
        if (n == -EAGAIN)
                return zl_fail(err, ZL_E_TIMEOUT, 0, "zlayer-net does not answer");
        if (n <= 0)
                return 0;
        r = zl_json_parse(text, (size_t)n, "answer of zlayer-net", &answer, err);
        if (r < 0)
                return r;
        if (json_object_get(answer, "error"))
                return read_error(json_object_get(answer, "error"), err);
        if (ret)
                *ret = json_incref(json_object_get(answer, "ok"));
        return 1;
}

/* Returns when it is ready, or when there is another one already; an error only if it says one. */
static int start(const struct zl_net *net, struct zl_error *err)
{
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
        int pair[2], r;
        pid_t pid;

        if (!net->program || access(net->program, X_OK) < 0)
                return zl_fail(err, ZL_E_CONFIGURATION, 0,
                               "the program zlayer-net is nowhere to be found");
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return zl_fail_errno(err, errno, "cannot make a socket");
        ours = pair[0];
        theirs = pair[1];
        r = spawn(net, theirs, &pid);
        if (r < 0)
                return zl_fail(err, ZL_E_CONFIGURATION, -r, "cannot run %s", net->program);
        theirs = zl_close(theirs);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        r = receive(ours, NULL, err);
        return r < 0 ? r : 0;
}

/* ---- asking --------------------------------------------------------------------------------------- */

static int ask(const struct zl_net *net, const json_t *request, const int fds[2], json_t **ret,
               struct zl_error *err)
{
        _cleanup_free_ char *text = zl_json_dump(request, 0);
        _cleanup_free_ char *path = zl_path_join(net->dir, ZL_NET_SOCKET);

        if (!text || !path)
                return zl_fail_oom(err);
        for (int i = 0; i < TRIES; i++) {
                _cleanup_close_ int fd = zl_unix_connect_at(AT_FDCWD, path, SOCK_SEQPACKET);
                int r;

                if (fd >= 0 && zl_send_fds(fd, text, strlen(text), fds, fds ? 2 : 0, 0) > 0) {
                        r = receive(fd, ret, err);
                        if (r != 0)
                                return r < 0 ? r : 0;
                }
                if (fd < 0 && fd != -ENOENT && fd != -ECONNREFUSED)
                        return zl_fail_errno(err, -fd, "cannot connect to %s", path);
                /* The one that is about to leave has still got the lock. */
                if (i > 0)
                        usleep(PAUSE_USEC);
                r = start(net, err);
                if (r < 0)
                        return r;
        }
        return zl_fail(err, ZL_E_NETWORK, 0, "zlayer-net comes and goes without an answer");
}

static void fill_info(json_t *document, struct zl_net_info *ret)
{
        *ret = (struct zl_net_info){
                .document = document,
                .network = zl_json_str(document, "network", NULL),
                .ipv4 = zl_json_str(document, "ipv4", NULL),
                .ipv6 = zl_json_str(document, "ipv6", NULL),
                .gateway4 = zl_json_str(document, "gateway4", NULL),
                .gateway6 = zl_json_str(document, "gateway6", NULL),
                .resolver = zl_json_str(document, "resolver", NULL),
        };
}

int zl_net_client_attach(const struct zl_net *net, const struct zl_net_request *request,
                         struct zl_net_info *ret, struct zl_error *err)
{
        uint64_t started = zl_process_start_time(request->pid);
        _cleanup_close_ int pidfd = zl_pid_open(request->pid, started), netns = -EBADF;
        _cleanup_json_ json_t *document = NULL;
        json_t *answer = NULL;
        int r;

        netns = pidfd < 0 ? pidfd : zl_pid_netns(request->pid, pidfd);
        if (netns < 0)
                return zl_fail_errno(err, -netns, "%s: its process cannot be found", request->name);
        document = json_pack("{s:s,s:s,s:s,s:I,s:I}", "op", ZL_NET_OP_ATTACH, "name", request->name,
                             "network", request->network, "pid", (json_int_t)request->pid,
                             "started", (json_int_t)started);
        if (!document ||
            (request->wish &&
             json_object_update_missing(document, (json_t *)(uintptr_t)request->wish) < 0))
                return zl_fail_oom(err);
        r = ask(net, document, (const int[]){ pidfd, netns }, &answer, err);
        if (r == 0)
                fill_info(answer, ret);
        return r;
}

/* A request about a container that is in a network; success if it is in none. The request is taken over, NULL is no memory. */
static int ask_about(const struct zl_net *net, const char *name, json_t *request,
                     struct zl_error *err)
{
        _cleanup_json_ json_t *document = request;
        _cleanup_net_info_ struct zl_net_info info = { 0 };
        int r = document ? zl_net_client_get(net, name, &info, err) : zl_fail_oom(err);

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        return ask(net, document, NULL, NULL, err);
}

int zl_net_client_detach(const struct zl_net *net, const char *name, struct zl_error *err)
{
        return ask_about(net, name, json_pack("{s:s,s:s}", "op", ZL_NET_OP_DETACH, "name", name),
                         err);
}

int zl_net_client_ready(const struct zl_net *net, const char *name, bool ready,
                        struct zl_error *err)
{
        return ask_about(net, name,
                         json_pack("{s:s,s:s,s:b}", "op", ZL_NET_OP_READY, "name", name, "ready",
                                   (int)ready),
                         err);
}

int zl_net_client_drain(const struct zl_net *net, const char *name, int64_t timeout_nsec,
                        struct zl_error *err)
{
        struct zl_error own = ZL_ERROR_INIT;
        int r = ask_about(net, name,
                          json_pack("{s:s,s:s,s:I}", "op", ZL_NET_OP_DRAIN, "name", name, "timeout",
                                    (json_int_t)timeout_nsec),
                          &own);

        /* The process may be older than we are: it goes with its last container only. */
        if (r < 0 && own.code == ZL_E_UNSUPPORTED) {
                zl_error_done(&own);
                return zl_net_client_ready(net, name, false, err);
        }
        if (r < 0)
                zl_error_move(err, &own);
        zl_error_done(&own);
        return r;
}

int zl_net_client_ports(const struct zl_net *net, json_t **ret, struct zl_error *err)
{
        static const char request[] = "{\"op\":\"" ZL_NET_OP_PORTS "\"}";
        _cleanup_free_ char *path = zl_path_join(net->dir, ZL_NET_SOCKET);
        _cleanup_close_ int fd = path ? zl_unix_connect_at(AT_FDCWD, path, SOCK_SEQPACKET)
                                      : -ENOMEM;
        int r;

        if (fd == -ENOENT || fd == -ECONNREFUSED)
                return -ENOENT;
        if (fd < 0 || zl_send_fds(fd, request, strlen(request), NULL, 0, 0) < 0)
                return zl_fail_errno(err, fd < 0 ? -fd : errno, "cannot ask zlayer-net");
        r = receive(fd, ret, err);
        return r == 0 ? -ENOENT : r < 0 ? r : 0;
}

static int ask_of_network(const struct zl_net *net, const char *op, const char *name,
                          struct zl_error *err)
{
        _cleanup_json_ json_t *document = json_pack("{s:s,s:s}", "op", op, "name", name);

        return document ? ask(net, document, NULL, NULL, err) : zl_fail_oom(err);
}

int zl_net_client_keep(const struct zl_net *net, const char *name, struct zl_error *err)
{
        return ask_of_network(net, ZL_NET_OP_KEEP, name, err);
}

int zl_net_client_remove(const struct zl_net *net, const char *name, struct zl_error *err)
{
        return ask_of_network(net, ZL_NET_OP_REMOVE, name, err);
}

int zl_net_client_get(const struct zl_net *net, const char *name, struct zl_net_info *ret,
                      struct zl_error *err)
{
        _cleanup_free_ char *path = NULL, *text = NULL;
        json_t *document;
        size_t len;
        int r;

        if (asprintf(&path, "%s/containers/%s.json", net->dir, name) < 0)
                return zl_fail_oom(err);
        r = zl_read_file_at(AT_FDCWD, path, 1 << 20, &text, &len);
        if (r == -ENOENT || r == -ENOTDIR)
                return -ENOENT;
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", path);
        r = zl_json_parse(text, len, path, &document, err);
        if (r == 0)
                fill_info(document, ret);
        return r;
}
