/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands run inside the container. The engine makes the process a child of ours; its streams are the client's own
 * descriptors, so no byte of them passes here. Of a terminal the client gets the master; a copy stays here, so that the
 * command does not get a hang-up when the client goes, and is drained from then on.
 */
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/strv.h"
#include "monitor/server.h"

struct command {
        char **argv, **env;
        const char *cwd, *user;
        bool privileged, tty;
        uint32_t rows, cols;
        uint8_t mask;
};

static void command_done(struct command *q)
{
        free(q->argv);
        free(q->env);
}

static int decode(struct zl_wire *wire, struct command *q, size_t n_fds)
{
        q->argv = zl_wire_get_strv(wire);
        q->env = zl_wire_get_strv(wire);
        q->cwd = zl_wire_get_str(wire);
        q->user = zl_wire_get_str(wire);
        q->privileged = zl_wire_get_bool(wire);
        q->tty = zl_wire_get_bool(wire);
        q->rows = zl_wire_get_u32(wire);
        q->cols = zl_wire_get_u32(wire);
        q->mask = zl_wire_get_u8(wire);
        if (zl_wire_finish(wire) == 0 &&
            (!q->argv || !q->argv[0] || q->rows > UINT16_MAX || q->cols > UINT16_MAX ||
             q->mask > 7 || (size_t)__builtin_popcount(q->mask) != n_fds || (q->tty && q->mask)))
                wire->bad = true;
        return zl_wire_finish(wire);
}

/* A container that waits for its start has all that a command needs: that is where init actions run. */
static int check_state(const struct zl_server *s, struct zl_error *err)
{
        if (s->phase > ZL_LIFE_RUNNING || (s->phase == ZL_LIFE_PENDING && s->record.stop_requested))
                return zl_fail(err, ZL_E_STATE, 0, "%s does not run", s->name);
        /* A new process would join the frozen group and never get as far as its exec. */
        if (s->paused)
                return zl_fail(err, ZL_E_STATE, 0, "%s is paused", s->name);
        return 0;
}

static int merge_env(const struct zl_server *s, char *const *more, char ***ret)
{
        _cleanup_strv_ char **env = NULL;

        if (s->config->process && zl_strv_dup(s->config->process->env, &env) < 0)
                return -ENOMEM;
        ZL_STRV_FOREACH(p, more) {
                const char *eq = strchr(*p, '=');
                _cleanup_free_ char *name = eq ? strndup(*p, (size_t)(eq - *p)) : NULL;

                if (eq && (!name || zl_env_set(&env, name, eq + 1) < 0))
                        return -ENOMEM;
        }
        *ret = zl_take_ptr(env);
        return 0;
}

static int run(struct zl_server *s, const struct command *q, const int *fds,
               struct zl_exec_result *ret, struct zl_error *err)
{
        struct zl_exec_process process = ZL_EXEC_PROCESS_INIT;
        _cleanup_strv_ char **env = NULL;
        size_t n = 0;

        process.argv = q->argv;
        if (q->env) {
                if (merge_env(s, q->env, &env) < 0)
                        return zl_fail_oom(err);
                process.env = env;
        }
        process.cwd = q->cwd;
        process.user = q->user;
        process.privileged = q->privileged;
        process.tty = q->tty;
        process.rows = (uint16_t)(q->rows ? q->rows : 24);
        process.cols = (uint16_t)(q->cols ? q->cols : 80);
        process.die_with_parent = true;
        for (int i = 0; i < 3; i++) {
                if (q->mask & 1 << i)
                        process.stdio[i] = fds[n++];
        }
        return zl_container_exec(s->container, &process, ret, err);
}

/* Output of a terminal that nobody reads any more. */
static void terminal_ready(struct zl_server *s, struct zl_source *source, uint32_t events)
{
        ssize_t n = read(source->fd, s->scratch, 4096);

        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                zl_source_close(s, source);
}

static int remember(struct zl_server *s, struct zl_conn *conn, struct zl_exec_result *result,
                    struct zl_server_exec **ret)
{
        struct zl_server_exec *exec = calloc(1, sizeof(*exec));

        if (!exec)
                return -ENOMEM;
        *exec = (struct zl_server_exec){
                .terminal = { .fd = result->console_fd, .ready = terminal_ready },
                .next = s->execs,
                .conn = conn,
                .pid = result->pid,
                .pidfd = result->pidfd,
        };
        s->execs = exec;
        conn->role = ZL_CONN_EXEC;
        *ret = exec;
        return 0;
}

/* An instance of those that are kept ready. 0: the command is no such thing; 1: it is on its way. */
static int run_kept(struct zl_server *s, const struct command *q,
                    const struct zl_server_request *request, struct zl_error *err)
{
        struct zl_server_keep what = { .argv = q->argv, .stdio = { 0, 0, 0 } /* /dev/null */ };
        struct zl_exec_result none = { .pidfd = -EBADF, .console_fd = -EBADF };
        struct zl_server_exec *exec;
        _cleanup_strv_ char **env = NULL;
        size_t n = 0;
        int r;

        if (s->keeper.fd < 0 || q->tty || q->user || q->cwd || q->privileged)
                return 0;
        if (merge_env(s, q->env, &env) < 0)
                return zl_fail_oom(err);
        what.env = env;
        for (int i = 0; i < 3; i++)
                if (q->mask & 1 << i)
                        what.stdio[i] = request->fds[n++];
        if (!zl_server_keep_takes(s, &what))
                return 0;
        if (remember(s, request->conn, &none, &exec) < 0)
                return zl_fail_oom(err);
        exec->asked = request->serial;
        r = zl_server_keep_run(s, &what, exec, err);
        if (r == 0)
                return 1;
        request->conn->role = ZL_CONN_CONTROL;
        exec->conn = NULL;
        zl_server_exec_end(s, exec, 0);
        return r;
}

void zl_server_exec(struct zl_server *s, struct zl_server_request *request)
{
        _cleanup_(command_done) struct command q = { 0 };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_exec_result result = { .pidfd = -1, .console_fd = -1 };
        struct zl_conn *conn = request->conn;
        struct zl_server_exec *exec;
        int r;

        if (decode(request->wire, &q, request->n_fds) < 0)
                return;
        r = check_state(s, &err);
        if (r >= 0)
                r = run_kept(s, &q, request, &err);
        s->dirty = true;
        if (r > 0)
                return;
        if (r == 0)
                r = run(s, &q, request->fds, &result, &err);
        if (r >= 0 && remember(s, conn, &result, &exec) < 0) {
                kill(result.pid, SIGKILL);
                zl_close(result.pidfd);
                zl_close(result.console_fd);
                r = zl_fail_oom(&err);
        }
        if (r < 0) {
                zl_conn_send_error(s, conn, request->serial, &err);
                return;
        }
        zl_wire_begin(&s->message, ZL_WIRE_EXEC_STARTED, request->serial);
        zl_wire_put_i32(&s->message, result.pid);
        if (result.console_fd >= 0)
                zl_conn_send_fd(s, conn, result.console_fd);
        else
                zl_conn_send(s, conn);
}

static struct zl_server_exec *find_by_conn(struct zl_server *s, const struct zl_conn *conn)
{
        for (struct zl_server_exec *e = s->execs; e; e = e->next) {
                if (e->conn == conn && !e->ended)
                        return e;
        }
        return NULL;
}

void zl_server_exec_kill(struct zl_server *s, struct zl_conn *conn, int sig)
{
        struct zl_server_exec *exec = find_by_conn(s, conn);

        /* It is our child and not waited for while it is in the list: the pid is its own. It leads a session, so what it has
         * started dies with it. */
        if (exec && exec->kept)
                zl_server_keep_signal(exec, sig);
        else if (exec && (sig != SIGKILL || kill(-exec->pid, sig) < 0))
                kill(exec->pid, sig);
}

void zl_server_exec_end(struct zl_server *s, struct zl_server_exec *exec, int code)
{
        if (exec->conn && !exec->conn->dead) {
                zl_wire_begin(&s->message, ZL_WIRE_EXEC_EXITED, 0);
                zl_wire_put_i32(&s->message, code);
                zl_conn_send(s, exec->conn);
        }
        exec->ended = true;
        exec->conn = NULL;
        zl_source_close(s, &exec->terminal);
        exec->pidfd = zl_close(exec->pidfd);
}

bool zl_server_exec_ended(struct zl_server *s, pid_t pid, int code)
{
        for (struct zl_server_exec *exec = s->execs; exec; exec = exec->next) {
                if (exec->pid != pid || exec->ended || exec->kept)
                        continue;
                zl_server_exec_end(s, exec, code);
                return true;
        }
        return false;
}

void zl_server_bury_execs(struct zl_server *s)
{
        for (struct zl_server_exec **p = &s->execs; *p;) {
                struct zl_server_exec *exec = *p;

                if (!exec->ended) {
                        p = &exec->next;
                        continue;
                }
                *p = exec->next;
                free(exec);
        }
}

void zl_server_exec_orphan(struct zl_server *s, struct zl_conn *conn)
{
        struct zl_server_exec *exec = find_by_conn(s, conn);

        if (!exec)
                return;
        exec->conn = NULL;
        if (exec->terminal.fd < 0)
                return;
        zl_fd_set_nonblock(exec->terminal.fd, true);
        zl_source_set(s, &exec->terminal, EPOLLIN);
}
