/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec: another process in a running container, described by options or by a process document (--process). In the
 * foreground we wait for it; with --detach it becomes a child of whoever reaps our orphans.
 */
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/strv.h"
#include "cli/oci/oci.h"
#include "cli/terminal.h"
#include "schema/arena.h"

enum { MAX_PROCESS_FILE = 1 << 20, MAX_GROUPS = 1024 };

struct exec_options {
        const char *process, *cwd, *user, *pid_file, *console_socket, *pidfd_socket, *label,
                *apparmor;
        char **env, **groups, **caps, **cgroups;
        struct zl_cli_u64 preserve_fds;
        bool tty, detach, no_new_privs, ignore_paused;
};

#define AT(member) offsetof(struct exec_options, member)

static const struct zl_cli_option table[] = {
        { "process", 'p', ZL_CLI_STRING, AT(process), "FILE",
          "process document instead of a command" },
        { "cwd", 0, ZL_CLI_STRING, AT(cwd), "DIR", "working directory" },
        { "env", 'e', ZL_CLI_LIST, AT(env), "NAME=VALUE", "add to the environment; repeatable" },
        { "tty", 't', ZL_CLI_FLAG, AT(tty), NULL, "give it a terminal" },
        { "user", 'u', ZL_CLI_STRING, AT(user), "USER[:GROUP]", "ids or names of the container" },
        { "additional-gids", 'g', ZL_CLI_LIST, AT(groups), "GID", "one more group; repeatable" },
        { "detach", 'd', ZL_CLI_FLAG, AT(detach), NULL, "do not wait for it" },
        { "pid-file", 0, ZL_CLI_STRING, AT(pid_file), "PATH", "write its pid there" },
        { "console-socket", 0, ZL_CLI_STRING, AT(console_socket), "PATH",
          "unix socket that gets the master of its terminal" },
        { "pidfd-socket", 0, ZL_CLI_STRING, AT(pidfd_socket), "PATH",
          "unix socket that gets a pidfd of it" },
        { "no-new-privs", 0, ZL_CLI_FLAG, AT(no_new_privs), NULL,
          "no gain of privileges by execve" },
        { "cap", 'c', ZL_CLI_LIST, AT(caps), "CAP", "add a capability; repeatable" },
        { "preserve-fds", 0, ZL_CLI_U64, AT(preserve_fds), "N", "pass descriptors 3 … 3+N-1 on" },
        { "cgroup", 0, ZL_CLI_LIST, AT(cgroups), "[CONTROLLERS:]PATH",
          "group below the container's own; repeatable for controllers of version 1" },
        { "process-label", 0, ZL_CLI_STRING, AT(label), "LABEL", "SELinux label" },
        { "apparmor", 0, ZL_CLI_STRING, AT(apparmor), "PROFILE", "AppArmor profile" },
        { "ignore-paused", 0, ZL_CLI_FLAG, AT(ignore_paused), NULL, "also in a paused container" },
        { 0 },
};

/* All that must live as long as the call of the engine. */
struct request {
        struct zl_exec_process process;
        struct zl_oci_process document;
        struct zl_arena *arena;
        char **env, **config_env;
        gid_t *gids;
        int *fds;
        int console_socket, pidfd_socket;
};

static void request_done(struct request *q)
{
        zl_strv_free(q->env);
        free(q->gids);
        free(q->fds);
        zl_close(q->console_socket);
        zl_close(q->pidfd_socket);
        zl_arena_free(q->arena);
}

static int load_process(struct request *q, const char *path, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r = zl_cli_read_input(path, MAX_PROCESS_FILE, &text, &len, err);

        if (r < 0)
                return r;
        r = zl_oci_process_parse(text, len, path, q->arena, &q->document, err);
        if (r < 0)
                return r;
        if (!q->document.args || !q->document.args[0])
                return zl_fail(err, ZL_E_INVALID, 0, "%s: args: must not be empty", path);
        q->process.process = &q->document;
        q->process.tty = q->document.terminal;
        return 0;
}

static int take_groups(struct request *q, char *const *groups, struct zl_error *err)
{
        size_t n = zl_strv_len(groups);

        if (n > MAX_GROUPS)
                return zl_fail(err, ZL_E_INVALID, 0, "--additional-gids: at most %d groups",
                               MAX_GROUPS);
        q->gids = calloc(n + 1, sizeof(gid_t));
        if (!q->gids)
                return zl_fail_oom(err);
        for (size_t i = 0; i < n; i++)
                if (zl_parse_u32(groups[i], 10, &q->gids[i]) < 0)
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "--additional-gids: \"%s\" is not a number of a group",
                                       groups[i]);
        q->process.additional_gids = q->gids;
        q->process.n_additional_gids = n;
        return 0;
}

/* The container's environment with what --env adds or replaces. */
static int take_env(struct request *q, struct zl_container *c, char *const *added,
                    struct zl_error *err)
{
        const struct zl_oci_config *config = zl_container_config(c);

        if (!added)
                return 0;
        if (zl_strv_dup(config->process ? config->process->env : NULL, &q->env) < 0)
                return zl_fail_oom(err);
        ZL_STRV_FOREACH(e, added) {
                _cleanup_free_ char *name = strdup(*e);
                char *equals = name ? strchr(name, '=') : NULL;

                if (!name)
                        return zl_fail_oom(err);
                if (!equals || equals == name)
                        return zl_fail(err, ZL_E_INVALID, 0, "--env: \"%s\" is not NAME=VALUE", *e);
                *equals = 0;
                if (zl_env_set(&q->env, name, equals + 1) < 0)
                        return zl_fail_oom(err);
        }
        q->process.env = q->env;
        return 0;
}

/* Labels stand in the process document only; options for them make a copy of the container's process. */
static int take_labels(struct request *q, struct zl_container *c, const struct exec_options *o,
                       char **argv, struct zl_error *err)
{
        const struct zl_oci_config *config = zl_container_config(c);

        if (!o->label && !o->apparmor)
                return 0;
        if (q->process.process || !config->process)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "--process-label and --apparmor do not go with --process");
        q->document = *config->process;
        q->document.args = argv;
        q->document.terminal = o->tty;
        if (q->env)
                q->document.env = q->env;
        if (o->cwd)
                q->document.cwd = (char *)o->cwd;
        if (o->user)
                q->document.user.username = (char *)o->user;
        if (o->label)
                q->document.selinux_label = (char *)o->label;
        if (o->apparmor)
                q->document.apparmor_profile = (char *)o->apparmor;
        q->document.no_new_privileges |= o->no_new_privs;
        q->process.process = &q->document;
        return 0;
}

/* In a container for WebAssembly a module is run by the engine. */
static int run_modules(struct request *q, struct zl_container *c, struct zl_error *err)
{
        struct zl_exec_process *p = &q->process;
        char *const *args = p->process ? q->document.args : p->argv;
        int r = zl_oci_wasm_exec(c, q->arena, p->process ? q->document.cwd : p->cwd, &args, err);

        if (r == 0 && p->process)
                q->document.args = (char **)(uintptr_t)args;
        else if (r == 0)
                p->argv = args;
        return r;
}

static int fill(struct request *q, struct zl_container *c, const struct exec_options *o,
                char **argv, struct zl_error *err)
{
        struct zl_exec_process *p = &q->process;
        int r;

        if (o->process && argv[0])
                return zl_fail(err, ZL_E_INVALID, 0,
                               "give either --process or a command, not both");
        if (!o->process && !argv[0])
                return zl_fail(err, ZL_E_INVALID, 0, "no command given");
        p->argv = argv;
        p->cwd = o->cwd;
        p->user = o->user;
        p->caps = o->caps;
        p->no_new_privs = o->no_new_privs;
        p->tty = o->tty;
        p->cgroups = o->cgroups;
        p->ignore_paused = o->ignore_paused;
        p->seccomp_compile = zl_seccomp_compile;
        for (int i = 0; i < 3; i++)
                p->stdio[i] = i;
        q->arena = zl_arena_new(0);
        if (!q->arena)
                return zl_fail_oom(err);
        r = o->process ? load_process(q, o->process, err) : 0;
        if (r == 0)
                r = take_groups(q, o->groups, err);
        if (r == 0)
                r = take_env(q, c, o->env, err);
        if (r == 0)
                r = take_labels(q, c, o, argv, err);
        if (r == 0)
                r = run_modules(q, c, err);
        if (r == 0)
                r = zl_oci_preserved_fds(o->preserve_fds.value, zl_oci_listen_fds(), &q->fds,
                                         &p->n_preserve_fds, err);
        if (r < 0)
                return r;
        p->preserve_fds = q->fds;
        if (p->tty && o->detach && !o->console_socket)
                return zl_fail(err, ZL_E_INVALID, 0, "--tty with --detach needs --console-socket");
        if (o->console_socket) {
                q->console_socket = zl_oci_connect("console-socket", o->console_socket, err);
                if (q->console_socket < 0)
                        return q->console_socket;
                p->console_socket_fd = q->console_socket;
        }
        if (o->pidfd_socket) {
                q->pidfd_socket = zl_oci_connect("pidfd-socket", o->pidfd_socket, err);
                if (q->pidfd_socket < 0)
                        return q->pidfd_socket;
        }
        zl_terminal_size(STDIN_FILENO, &p->rows, &p->cols);
        return 0;
}

static int finish(const struct exec_options *o, const struct zl_exec_result *result, int *ret_code,
                  struct zl_error *err)
{
        struct zl_oci_wait w = { result->pid, result->pidfd, result->console_fd };

        zl_oci_plain_lines(result->console_fd);
        if (o->pid_file) {
                int r = zl_oci_write_pid(o->pid_file, result->pid, err);

                if (r < 0)
                        return r;
        }
        return o->detach ? 0 : zl_oci_wait_foreground(&w, ret_code, err);
}

static int exec_in(struct zl_oci *oci, const char *id, const struct exec_options *o, char **argv,
                   int *ret_code, struct zl_error *err)
{
        _cleanup_(request_done) struct request q = { .process = ZL_EXEC_PROCESS_INIT,
                                                     .console_socket = -EBADF,
                                                     .pidfd_socket = -EBADF };
        _cleanup_(zl_container_freep) struct zl_container *c = NULL;
        struct zl_exec_result result = { .pidfd = -EBADF, .console_fd = -EBADF };
        enum zl_container_status status;
        int r = zl_oci_load(oci, id, &c, err);

        if (r < 0)
                return r;
        status = zl_container_status(c);
        if (status == ZL_CONTAINER_PAUSED && !o->ignore_paused)
                return zl_fail(err, ZL_E_STATE, 0,
                               "cannot exec in a paused container (use --ignore-paused)");
        if (status == ZL_CONTAINER_STOPPED)
                return zl_fail(err, ZL_E_STATE, 0, "cannot exec in a stopped container");
        q.process.idle_fd = oci->idle_fd;
        r = fill(&q, c, o, argv, err);
        if (r == 0 && !o->detach)
                r = zl_foreground_prepare(err);
        if (r == 0)
                r = zl_container_exec(c, &q.process, &result, err);
        if (r < 0)
                return r;
        r = zl_oci_send_pidfd(q.pidfd_socket, result.pidfd, err);
        if (r == 0)
                r = finish(o, &result, ret_code, err);
        zl_close(result.pidfd);
        zl_close(result.console_fd);
        return r;
}

static int cmd_exec(struct zl_cli *cli, void *options, int argc _unused_, char **argv)
{
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_oci *oci = zl_oci_of(cli);
        int status = ZL_EXIT_OK;

        if (exec_in(oci, argv[0], options, argv + 1, &status, &err) == 0)
                return status;
        zl_oci_fail(oci, &err);
        return 255; /* what runc exec gives when it failed itself, also for a command that is not there */
}

const struct zl_cli_command zl_oci_cmd_exec = {
        .name = "exec",
        .args = "ID [COMMAND [ARG…]]",
        .summary = "Run another process in a container",
        .options = table,
        .options_size = sizeof(struct exec_options),
        .min_args = 1,
        .max_args = UINT_MAX,
        .stop_at_first = true,
        .run = cmd_exec,
};
