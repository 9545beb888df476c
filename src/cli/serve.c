/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `serve`: the daemon. One per root directory; it takes up every deployment that was looked after when the last agent ended,
 * and answers on its socket. TERM ends the daemon and nothing else: workloads go on under their monitors, and the next start
 * takes them up as they are, so an upgrade of the program is a restart.
 *
 * What may go wrong: another daemon has the root directory or the socket (told with its process id), a deployment cannot be
 * taken up (told in the log; the others are).
 */
#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/control.h"
#include "api/api.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/socket.h"
#include "base/systemd.h"
#include "cli/cli.h"
#include "runtimes/networks.h"

/* How long requests under way may take after TERM; a second TERM does not wait. */
#define DRAIN_MSEC 10000
/* How long other agents may take to hand over, and one to answer that it will. */
#define YIELD_TIMEOUT (15 * ZL_NSEC_PER_SEC)
#define YIELD_ANSWER (2 * ZL_NSEC_PER_SEC)

struct options {
        const char *group;
};

static const struct zl_cli_option options_table[] = {
        { "group", 0, ZL_CLI_STRING, offsetof(struct options, group), "GROUP",
          "members of this group may use the socket (which makes them root)" },
        { 0 },
};

struct serve {
        struct zl_cli *cli;
        const struct options *o;
        struct zl_runtime *rt;
        struct zl_manager *manager;
        struct zl_api *api;
        uv_signal_t signals[2];
        uv_timer_t drain;
        int root_lock, listener;
        bool own_socket, has_group, stopping, hurry;
        gid_t group;
};

/* ---- alone on the root directory ------------------------------------------------------------------------------- */

static void ask_to_yield(const char *deployment, void *data)
{
        const struct serve *s = data;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        /* Who does not want to, or is gone, is seen by the lock. */
        (void)zl_control_ask(s->cli->runtime_dir, deployment, "yield", YIELD_ANSWER, &err);
}

/* Agents of one deployment, which came while no daemon was there, hand it over. */
static int lock_root(struct serve *s, struct zl_error *err)
{
        int64_t deadline = zl_now_monotonic() + YIELD_TIMEOUT;

        for (;;) {
                pid_t daemon = 0;
                int r = s->root_lock = zl_root_lock_take(s->cli->root_dir, true, &daemon, err);

                if (r >= 0 || err->code != ZL_E_BUSY || daemon > 0)
                        return r;
                if (zl_now_monotonic() >= deadline) {
                        zl_error_hint(err, "it does not hand over: end its up, or wait for it");
                        return r;
                }
                zl_error_done(err);
                r = zl_control_each(s->cli->runtime_dir, ask_to_yield, s, err);
                if (r < 0)
                        return r;
                usleep(20000);
        }
}

/* ---- the socket ---------------------------------------------------------------------------------------------------- */

static int find_group(struct serve *s, struct zl_error *err)
{
        struct group *group;
        uint32_t number;

        if (!s->o->group)
                return 0;
        group = getgrnam(s->o->group);
        if (!group && zl_parse_u32(s->o->group, 10, &number) < 0)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "no group \"%s\"", s->o->group);
        s->group = group ? group->gr_gid : number;
        s->has_group = true;
        return 0;
}

/* What a daemon that was killed left is replaced; one that answers is not. */
static int make_way(struct serve *s, struct zl_error *err)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (lstat(s->cli->socket, &st) < 0)
                return 0;
        if (!S_ISSOCK(st.st_mode))
                return zl_fail(err, ZL_E_EXISTS, 0, "%s is in the way: it is no socket",
                               s->cli->socket);
        fd = zl_unix_connect_at(AT_FDCWD, s->cli->socket, SOCK_STREAM);
        if (fd >= 0)
                return zl_fail(err, ZL_E_BUSY, 0, "another daemon listens on %s", s->cli->socket);
        if (unlink(s->cli->socket) < 0)
                return zl_fail_errno(err, errno, "cannot remove the old %s", s->cli->socket);
        return 0;
}

static int make_parent(const char *path, struct zl_error *err)
{
        _cleanup_free_ char *parent = strdup(path);
        char *slash = parent ? strrchr(parent, '/') : NULL;
        int r;

        if (!parent)
                return zl_fail_oom(err);
        if (!slash || slash == parent)
                return 0;
        *slash = 0;
        r = zl_mkdir_p_at(AT_FDCWD, parent, 0755);
        return r < 0 ? zl_fail_errno(err, -r, "cannot make %s", parent) : 0;
}

static int listen_on_path(struct serve *s, struct zl_error *err)
{
        int r = make_parent(s->cli->socket, err);

        if (r >= 0)
                r = make_way(s, err);
        if (r < 0)
                return r;
        r = zl_unix_listen_at(AT_FDCWD, s->cli->socket, SOCK_STREAM, s->has_group ? 0600 : 0660);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot listen on %s", s->cli->socket);
        s->listener = r;
        s->own_socket = true;
        /* The group first: nobody of another one gets in between. */
        if (s->has_group &&
            (chown(s->cli->socket, (uid_t)-1, s->group) < 0 || chmod(s->cli->socket, 0660) < 0))
                return zl_fail_errno(err, errno, "cannot give %s to group %s", s->cli->socket,
                                     s->o->group);
        return 0;
}

static int open_socket(struct serve *s, struct zl_error *err)
{
        int r = find_group(s, err);

        if (r < 0)
                return r;
        r = zl_systemd_take_socket(err);
        if (r == -ENOENT)
                return listen_on_path(s, err);
        if (r >= 0)
                s->listener = r;
        return r;
}

/* ---- ending --------------------------------------------------------------------------------------------------------- */

static void on_drain_timeout(uv_timer_t *timer)
{
        struct serve *s = timer->data;

        s->hurry = true;
        uv_stop(zl_manager_uv(s->manager));
}

static void on_signal(uv_signal_t *handle, int sig)
{
        struct serve *s = handle->data;

        (void)sig;
        if (s->stopping) {
                on_drain_timeout(&s->drain);
                return;
        }
        s->stopping = true;
        zl_systemd_notify("STOPPING=1");
        uv_timer_start(&s->drain, on_drain_timeout, DRAIN_MSEC, 0);
        zl_api_drain(s->api);
        uv_stop(zl_manager_uv(s->manager));
}

static void say_goodbye(struct serve *s)
{
        struct zl_status *list = NULL;
        size_t n = 0, n_running = 0;

        if (zl_runtime_list(s->rt, &list, &n, NULL) < 0)
                return;
        for (size_t i = 0; i < n; i++) {
                n_running += list[i].state == ZL_STATE_RUNNING || list[i].state == ZL_STATE_PAUSED;
                zl_status_done(&list[i]);
        }
        free(list);
        fprintf(stderr,
                "%s: the daemon ends; %zu container%s go%s on running and will be taken up by the "
                "next one\n",
                s->cli->program, n_running, n_running == 1 ? "" : "s", n_running == 1 ? "es" : "");
}

static bool is_over(const struct serve *s)
{
        return s->hurry ||
               (s->stopping && zl_api_is_idle(s->api) && zl_manager_is_idle(s->manager));
}

/* ---- setting up --------------------------------------------------------------------------------------------------------- */

static void on_event(const struct zl_event *event, void *data)
{
        struct serve *s = data;

        if (s->api)
                zl_api_event(s->api, event);
}

static int watch_signals(struct serve *s, struct zl_error *err)
{
        static const int numbers[] = { SIGTERM, SIGINT };
        uv_loop_t *uv = zl_manager_uv(s->manager);
        int r = 0;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(numbers); i++) {
                s->signals[i].data = s;
                if (r >= 0)
                        r = uv_signal_init(uv, &s->signals[i]);
                if (r >= 0)
                        r = uv_signal_start(&s->signals[i], on_signal, numbers[i]);
        }
        uv_timer_init(uv, &s->drain);
        s->drain.data = s;
        return r < 0 ? zl_fail_errno(err, -r, "cannot watch signals") : 0;
}

/* A watch per container and a descriptor per connection: the usual 1024 are soon too few. */
static void raise_limits(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit);
        }
        /* Workers come and go; an arena for each would only hold memory. */
        mallopt(M_ARENA_MAX, 2);
}

static int begin(struct serve *s, struct zl_error *err)
{
        struct zl_manager_options m = { .root_dir = s->cli->root_dir,
                                        .runtime_dir = s->cli->runtime_dir,
                                        .on_event = on_event,
                                        .data = s };
        struct zl_api_options a = { .root_dir = s->cli->root_dir,
                                    .runtime_dir = s->cli->runtime_dir };
        int r = lock_root(s, err);

        if (r >= 0)
                r = open_socket(s, err);
        s->cli->spares = true;
        if (r >= 0)
                r = zl_cli_runtime(s->cli, &s->rt, err);
        if (r < 0)
                return r;
        m.rt = s->rt;
        r = zl_manager_new(&m, &s->manager, err);
        if (r >= 0)
                r = watch_signals(s, err);
        if (r < 0)
                return r;
        a.manager = s->manager;
        a.listener = s->listener;
        a.has_group = s->has_group;
        a.group = s->group;
        r = zl_api_new(&a, &s->api, err);
        if (r < 0)
                return r;
        s->listener = -EBADF;
        return zl_manager_recover(s->manager, err);
}

static void end(struct serve *s)
{
        /* First of all: who comes now is to find nobody rather than somebody who does not answer. */
        if (s->own_socket)
                unlink(s->cli->socket);
        if (s->manager) {
                zl_api_free(s->api);
                for (size_t i = 0; i < ZL_ARRAY_SIZE(s->signals); i++)
                        if (s->signals[i].loop)
                                uv_close((uv_handle_t *)&s->signals[i], NULL);
                if (s->drain.loop)
                        uv_close((uv_handle_t *)&s->drain, NULL);
                zl_manager_free(s->manager);
        }
        zl_close(s->listener);
        zl_close(s->root_lock);
}

/* Deployments may do without; those that do not say so when they are told why. */
static void warn_of_networks(const struct zl_cli *cli)
{
        const struct zl_networks networks = { cli->root_dir, cli->runtime_dir };
        struct zl_networks_facts facts;

        if (zl_networks_probe(&networks, &facts, NULL) == 0 && !facts.way)
                zl_warn("there is the host's network only: %s", facts.detail);
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        struct serve s = { .cli = cli, .o = options, .root_lock = -EBADF, .listener = -EBADF };
        struct zl_error err = ZL_ERROR_INIT;
        int code = ZL_EXIT_OK;

        (void)argc;
        (void)argv;
        raise_limits();
        if (begin(&s, &err) < 0) {
                code = zl_cli_fail(cli, &err);
                end(&s);
                return code;
        }
        zl_systemd_notify("READY=1");
        zl_info("listening on %s", cli->socket);
        warn_of_networks(cli);
        while (!is_over(&s))
                uv_run(zl_manager_uv(s.manager), UV_RUN_ONCE);
        say_goodbye(&s);
        if (s.hurry && !(zl_api_is_idle(s.api) && zl_manager_is_idle(s.manager))) {
                /* Somebody hangs in a call that nobody can end: what is left ends with the process. */
                if (s.own_socket)
                        unlink(cli->socket);
                fflush(NULL);
                _exit(ZL_EXIT_OK);
        }
        end(&s);
        return code;
}

const struct zl_cli_command zl_cmd_serve = {
        .name = "serve",
        .args = "",
        .summary = "Run the daemon: look after deployments and answer on the socket",
        .details =
                "One daemon per root directory; an `up` that embeds its agent hands over to it. TERM ends the daemon alone: containers go on running and are taken\n"
                "up at the next start. Under systemd it tells when it is ready, and takes a socket from a socket\n"
                "unit. The socket is for root, the daemon's own user and the members of --group.",
        .options = options_table,
        .options_size = sizeof(struct options),
        .run = run,
};
