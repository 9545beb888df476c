/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `attach`: our streams joined to those of a container that runs already. What it has written before stands in `logs`; how it got its
 * streams is its own affair, so the end of our input does not end its.
 */
#include <unistd.h>

#include "cli/attached.h"
#include "cli/context.h"
#include "cli/terminal.h"

struct options {
        bool no_stdin, no_signals, tty;
};

static const struct zl_cli_option options_table[] = {
        { "no-stdin", 0, ZL_CLI_FLAG, offsetof(struct options, no_stdin), NULL,
          "do not pass standard input on" },
        { "no-signals", 0, ZL_CLI_FLAG, offsetof(struct options, no_signals), NULL,
          "INT, TERM and HUP leave the container alone instead of reaching it" },
        { "tty", 't', ZL_CLI_FLAG, offsetof(struct options, tty), NULL,
          "it has a terminal: pass every key on; ^P ^Q leaves" },
        { 0 },
};

/* The exit code of the workload; 0 if it was left alone. */
static int attach(struct zl_runtime *rt, const char *name, const struct options *o,
                  struct zl_error *err)
{
        struct zl_attached a = { .rt = rt,
                                 .name = name,
                                 .input = !o->no_stdin,
                                 .tty = o->tty,
                                 .visiting = true,
                                 .signals = !o->no_signals,
                                 .timeout = -1 };
        struct zl_status status = { 0 };
        uint16_t rows, cols;
        int r = zl_foreground_prepare(err);

        if (r >= 0)
                r = zl_attach_open(rt, name, &a.attach, err);
        if (r >= 0)
                r = zl_watch_open(rt, name, &a.watch, err);
        if (r >= 0 && o->tty && zl_terminal_size(STDIN_FILENO, &rows, &cols))
                (void)zl_attach_resize(a.attach, rows, cols, NULL);
        if (r >= 0)
                r = zl_attached_run(&a, &status, err);
        if (a.attach)
                zl_attach_close(a.attach);
        if (a.watch)
                zl_watch_close(a.watch);
        if (r != 0)
                return r < 0 ? r : ZL_EXIT_OK;
        r = status.exit_code >= 0 ? status.exit_code : ZL_EXIT_AGENT;
        zl_status_done(&status);
        return r;
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        const struct options *o = options;
        _cleanup_context_ struct zl_cli_context context = { 0 };
        struct zl_error err = ZL_ERROR_INIT;
        const struct zl_view *view = NULL;
        int r;

        (void)argc;
        if (o->tty && !o->no_stdin && !isatty(STDIN_FILENO))
                return zl_cli_usage(cli, "-t: standard input is not a terminal");
        r = zl_cli_context_open(cli, argv, &context, &err);
        if (r >= 0)
                r = zl_cli_find_one(&context, argv[0], true, &view, &err);
        if (r >= 0 && (!view->is_real || (view->status.state != ZL_STATE_RUNNING &&
                                          view->status.state != ZL_STATE_PAUSED)))
                r = zl_fail(&err, ZL_E_STATE, 0, "%s does not run", view->status.name);
        if (r < 0)
                return zl_cli_fail(cli, &err);
        r = attach(context.rt, view->status.name, o, &err);
        return r < 0 ? zl_cli_fail_workload(cli, &err) : r;
}

const struct zl_cli_command zl_cmd_attach = {
        .name = "attach",
        .args = "NAME",
        .summary = "Join the streams of a running container",
        .details =
                "Returns the exit code of the container when it ends. Signals are passed on; the third INT or TERM\n"
                "kills. Output from before is in `logs`.",
        .options = options_table,
        .options_size = sizeof(struct options),
        .min_args = 1,
        .max_args = 1,
        .run = run,
};
