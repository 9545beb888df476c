/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `exec`: a command inside a running container. Without -t it gets our own descriptors, so pipes and half-closed input
 * work as they are; with -t it gets a terminal of its own, and ours goes raw.
 */
#include <signal.h>
#include <unistd.h>

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
static int build_env(char *const *given, char ***ret)
{
        ZL_STRV_FOREACH(e, given) {
                const char *value = strchr(*e, '=') ? NULL : getenv(*e);
                int r = 0;

                if (strchr(*e, '='))
                        r = zl_strv_push(ret, *e);
                else if (value)
                        r = zl_strv_pushf(ret, "%s=%s", *e, value);
                if (r < 0)
                        return r;
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
        int r, code = ZL_EXIT_AGENT;

        if (build_env(o->env, &env) < 0)
                return zl_fail_oom(err);
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

static int code_of(const struct zl_error *err)
{
        if (err->code == ZL_E_NO_COMMAND)
                return ZL_EXIT_NO_COMMAND;
        return err->code == ZL_E_NOT_RUNNABLE ? ZL_EXIT_NOT_RUNNABLE : ZL_EXIT_AGENT;
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        const struct options *o = options;
        _cleanup_context_ struct zl_cli_context context = { 0 };
        struct zl_error err = ZL_ERROR_INIT;
        const struct zl_view *view = NULL;
        int r;

        (void)argc;
        if (o->tty && o->interactive && !isatty(STDIN_FILENO))
                return zl_cli_usage(cli, "-it: standard input is not a terminal");
        r = zl_cli_context_open(cli, &context, &err);
        if (r >= 0)
                r = zl_cli_find_one(&context, argv[0], true, &view, &err);
        if (r >= 0 && !view->is_real)
                r = zl_fail(&err, ZL_E_STATE, 0, "%s has not been created yet", view->status.name);
        if (r >= 0)
                r = execute(context.rt, view->status.name, o, argv + 1, &err);
        if (r < 0) {
                int code = code_of(&err);

                zl_cli_fail(cli, &err);
                return code;
        }
        return r;
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
