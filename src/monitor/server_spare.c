/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spare: a container that nobody has asked for yet. Either its process runs already, with the engine loaded, and waits at its standard
 * input for the module and the arguments (`zlayer-wasm spare`), or it waits at the gate for its command. To everybody but the one who
 * launched it there is nothing yet. Whoever launched it may adopt it: then it has a name and waits for its start, which for the first kind is
 * a message to the process in the place of an exec.
 *
 * What may go wrong: the launcher ends, and so does the spare; the process ends while it waits, and the adoption is refused.
 */
#include <signal.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/socket.h"
#include "base/strv.h"
#include "monitor/server.h"
#include "wasm/keep.h"

int zl_server_spare_open(struct zl_server *s, int *ret_theirs)
{
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        s->spare_fd = pair[0];
        *ret_theirs = pair[1];
        return 0;
}

int zl_server_spare_adopt(struct zl_server *s, const struct zl_monitor_adoption *what,
                          struct zl_error *err)
{
        _cleanup_strv_ char **args = NULL, **env = NULL;
        int r = 0;

        if (s->phase != ZL_LIFE_PENDING || s->record.stop_requested)
                return zl_fail(err, ZL_E_STATE, 0, "%s has ended", s->name);
        if (zl_strv_dup(what->args, &args) < 0 || zl_strv_dup(what->env, &env) < 0 ||
            zl_replace_str(&s->name, what->name) < 0)
                return zl_fail_oom(err);
        if (what->hostname)
                r = zl_container_set_hostname(s->container, what->hostname, err);
        if (r < 0)
                return r;
        /* The old ones lie in the arena of the configuration. */
        if (s->spare_fd >= 0)
                s->spare_args = zl_take_ptr(args);
        else
                s->config->process->args = zl_take_ptr(args);
        s->config->process->env = zl_take_ptr(env);
        s->record.created_at = zl_now_realtime();
        s->owner = NULL;
        zl_server_show_name(s->name);
        zl_server_note_state(s);
        return 0;
}

int zl_server_spare_start(struct zl_server *s, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf buf = ZL_BUF_INIT(ZL_KEEP_MAX);
        int fd = s->spare_fd;
        ssize_t n = zl_server_keep_put(&buf, 1, s->spare_args, s->config->process->env);

        if (n == 0)
                n = zl_send_fds(fd, buf.data, buf.len, NULL, 0, MSG_NOSIGNAL | MSG_DONTWAIT);
        s->spare_fd = zl_close(fd);
        zl_strv_free(s->spare_args);
        s->spare_args = NULL;
        return n < 0 ? zl_fail_errno(err, (int)-n, "cannot tell the process of %s what to run",
                                     s->name)
                     : 0;
}

void zl_server_spare_orphan(struct zl_server *s, const struct zl_conn *conn)
{
        if (!conn || s->owner != conn)
                return;
        s->owner = NULL;
        zl_server_stop(s, SIGKILL, 0, NULL);
}
