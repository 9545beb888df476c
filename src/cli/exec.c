/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `exec`: a command inside a running container. Without -t it gets our own descriptors, so pipes and half-closed input
 * work as they are; with -t it gets a terminal of its own, and ours goes raw.
 */
#include <signal.h>
#include <unistd.h>

#include "base/ident.h"
#include "base/strv.h"
#include "cli/context.h"
#include "cli/terminal.h"

struct options {
        bool interactive, tty, privileged;
        char **env;
        const char *cwd, *user;
};

static const struct zl_cli_option options_table[] = {
        { "interactive", 'i', ZL_CLI_FLAG, offsetof(struct options, interactive), NULL,
          "pass standard input on" },
        { "tty", 't', ZL_CLI_FLAG, offsetof(struct options, tty), NULL, "give it a terminal" },
        { "env", 'e', ZL_CLI_LIST, offsetof(struct options, env), "NAME=VALUE",
          "set a variable; NAME alone takes it from here" },
        { "workdir", 'w', ZL_CLI_STRING, offsetof(struct options, cwd), "DIR",
          "working directory inside" },
        { "user", 'u', ZL_CLI_STRING, offsetof(struct options, user), "USER[:GROUP]",
          "user inside, by name or number" },
        { "privileged", 0, ZL_CLI_FLAG, offsetof(struct options, privileged), NULL,
          "with all capabilities" },
        { 0 },
};

static void on_signal(int sig, void *data)
{
        /* Too late for it if the command has just ended. */
        (void)zl_exec_kill(data, sig, NULL);
}

static void on_resize(uint16_t rows, uint16_t cols, void *data)
{
        (void)zl_exec_resize(data, rows, cols, NULL);
}

/* "NAME" alone means our own value; not set here, it is left out. */
static int build_env(char *const *given, char ***ret, struct zl_error *err)
{
        ZL_STRV_FOREACH(e, given) {
                const char *value = strchr(*e, '=') ? NULL : getenv(*e);
                int r = 0;

                if (!**e || **e == '=')
                        return zl_fail(err, ZL_E_INVALID, 0, "--env: \"%s\" is not NAME=VALUE", *e);
                if (strchr(*e, '='))
                        r = zl_strv_push(ret, *e);
                else if (value)
                        r = zl_strv_pushf(ret, "%s=%s", *e, value);
                if (r < 0)
                        return zl_fail_oom(err);
        }
        return 0;
}

static int execute(struct zl_runtime *rt, const char *name, const struct options *o, char **argv,
                   struct zl_error *err)
{
        _cleanup_strv_ char **env = NULL;
        struct zl_exec_options e = {
                .argv = argv,
                .cwd = o->cwd,
                .user = o->user,
                .privileged = o->privileged,
                .tty = o->tty,
                .stdio = { o->interactive ? STDIN_FILENO : -1, STDOUT_FILENO, STDERR_FILENO },
        };
        struct zl_foreground fg = { .on_signal = on_signal,
                                    .on_resize = on_resize,
                                    .no_input = !o->interactive };
        struct zl_exec *exec = NULL;
        int r = build_env(o->env, &env, err), code = ZL_EXIT_AGENT;

        if (r < 0)
                return r;
        e.env = env;
        if (o->tty)
                (void)zl_terminal_size(STDIN_FILENO, &e.rows, &e.cols);
        r = zl_foreground_prepare(err);
        if (r >= 0)
                r = zl_exec_open(rt, name, &e, &exec, err);
        if (r < 0)
                return r;
        fg.tty_fd = o->tty ? zl_exec_tty_fd(exec) : -1;
        fg.done_fd = zl_exec_fd(exec);
        fg.data = exec;
        do {
                r = zl_foreground_run(&fg, err);
                if (r >= 0)
                        r = zl_exec_result(exec, &code, err);
        } while (r == 0);
        zl_exec_close(exec);
        return r < 0 ? r : code;
}

/* NAME as the full name of a container, or as the name that was given to `run`: then nobody has to be asked about the other
 * containers. ZL_E_NOT_FOUND if there is no such container. */
static int execute_exact(struct zl_cli *cli, const struct options *o, char **argv,
                         struct zl_error *err)
{
        struct zl_runtime *rt;
        struct zl_ident id;
        char name[ZL_IDENT_NAME_MAX];
        int r = zl_cli_runtime(cli, &rt, err);

        if (r < 0)
                return r;
        if (zl_ident_parse(argv[0], &id) < 0 &&
            zl_ident_make(&id, ZL_IDENT_RUN_DEPLOYMENT, argv[0], 1, NULL) < 0)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "no container \"%s\"", argv[0]);
        return execute(rt, zl_ident_name(&id, name), o, argv + 1, err);
}

/* NAME as `ps` knows it: also a service, of which the first replica that runs is taken. */
static int execute_any(struct zl_cli *cli, const struct options *o, char **argv,
                       struct zl_error *err)
{
        _cleanup_context_ struct zl_cli_context context = { 0 };
        const struct zl_view *view = NULL;
        int r = zl_cli_context_open(cli, (char *[]){ argv[0], NULL }, &context, err);

        if (r >= 0)
                r = zl_cli_find_one(&context, argv[0], true, &view, err);
        if (r >= 0 && !view->is_real)
                r = zl_fail(err, ZL_E_STATE, 0, "%s has not been created yet", view->status.name);
        return r < 0 ? r : execute(context.rt, view->status.name, o, argv + 1, err);
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        const struct options *o = options;
        struct zl_error err = ZL_ERROR_INIT;
        int r;

        (void)argc;
        if (o->tty && o->interactive && !isatty(STDIN_FILENO))
                return zl_cli_usage(cli, "-it: standard input is not a terminal");
        r = execute_exact(cli, o, argv, &err);
        if (r < 0 && err.code == ZL_E_NOT_FOUND) {
                zl_error_done(&err);
                r = execute_any(cli, o, argv, &err);
        }
        return r < 0 ? zl_cli_fail_workload(cli, &err) : r;
}

const struct zl_cli_command zl_cmd_exec = {
        .name = "exec",
        .args = "NAME COMMAND [ARG…]",
        .summary = "Run a command in a running container",
        .details =
                "Returns the command's exit code (128+n after signal n), 126 if it cannot be executed, 127 if it\n"
                "does not exist, 125 if the agent failed. Of a service the first running replica is taken.",
        .options = options_table,
        .options_size = sizeof(struct options),
        .min_args = 2,
        .max_args = UINT32_MAX,
        .stop_at_first = true,
        .run = run,
};
