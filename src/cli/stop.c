/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `stop`, `kill`, `rm`, `wait`: one thing done to each container that the arguments name. What was stopped or killed by
 * hand stays down until the next `up`, or, by its policy, the next agent: the record says that it was asked for, and the agent looks there.
 */
#include <signal.h>

#include "cli/context.h"

static bool has_ended(const struct zl_view *view)
{
        return view->status.state == ZL_STATE_EXITED || view->status.state == ZL_STATE_FAILED;
}

/* ---- stop ----------------------------------------------------------------------------------------------------- */

struct stop_options {
        struct zl_cli_i64 grace;
};

static const struct zl_cli_option stop_table[] = {
        { "time", 't', ZL_CLI_DURATION, offsetof(struct stop_options, grace), "SPAN",
          "from the stop signal to the kill (default: the container's own grace period)" },
        { 0 },
};

static int stop_one(struct zl_cli *cli, const struct zl_cli_context *context,
                    const struct zl_view *view, void *data, struct zl_error *err)
{
        const struct stop_options *o = data;
        int r;

        (void)cli;
        if (!view->is_real)
                return zl_cli_fail_not_there(view, err);
        r = zl_runtime_stop(context->rt, view->status.name, o->grace.set ? o->grace.value : -1,
                            err);
        if (r >= 0)
                puts(view->status.name);
        return r;
}

static int run_stop(struct zl_cli *cli, void *options, int argc, char **argv)
{
        _cleanup_context_ struct zl_cli_context context = { 0 };
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_cli_context_open(cli, argv, &context, &err) < 0)
                return zl_cli_fail(cli, &err);
        return zl_cli_for_each(cli, &context, argv, stop_one, options);
}

const struct zl_cli_command zl_cmd_stop = {
        .name = "stop",
        .args = "NAME…",
        .summary = "Stop containers and leave them stopped",
        .details =
                "Sends the stop signal, and KILL when the grace period is over. NAME is a full name, the name\n"
                "given to run, or a service: then all its replicas. What an agent looks after stays down until `start` or the\n"
                "next `up`; with the restart policy always, until the daemon is started again.",
        .options = stop_table,
        .options_size = sizeof(struct stop_options),
        .min_args = 1,
        .max_args = UINT32_MAX,
        .run = run_stop,
};

/* ---- kill ------------------------------------------------------------------------------------------------------- */

struct kill_options {
        int sig;
        bool all;
};

static const struct zl_cli_option kill_table[] = {
        { "signal", 's', ZL_CLI_SIGNAL, offsetof(struct kill_options, sig), "SIGNAL",
          "signal to send (default KILL)" },
        { "all", 'a', ZL_CLI_FLAG, offsetof(struct kill_options, all), NULL,
          "send it to every process, not only the first" },
        { 0 },
};

static int kill_one(struct zl_cli *cli, const struct zl_cli_context *context,
                    const struct zl_view *view, void *data, struct zl_error *err)
{
        const struct kill_options *o = data;
        int r;

        (void)cli;
        if (!view->is_real)
                return zl_cli_fail_not_there(view, err);
        if (has_ended(view))
                return zl_fail(err, ZL_E_STATE, 0, "%s is not running", view->status.name);
        r = zl_runtime_kill(context->rt, view->status.name, o->sig ?: SIGKILL, o->all, err);
        if (r >= 0)
                puts(view->status.name);
        return r;
}

static int run_kill(struct zl_cli *cli, void *options, int argc, char **argv)
{
        _cleanup_context_ struct zl_cli_context context = { 0 };
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_cli_context_open(cli, argv, &context, &err) < 0)
                return zl_cli_fail(cli, &err);
        return zl_cli_for_each(cli, &context, argv, kill_one, options);
}

const struct zl_cli_command zl_cmd_kill = {
        .name = "kill",
        .args = "NAME…",
        .summary = "Send a signal to containers",
        .options = kill_table,
        .options_size = sizeof(struct kill_options),
        .min_args = 1,
        .max_args = UINT32_MAX,
        .run = run_kill,
};

/* ---- rm --------------------------------------------------------------------------------------------------------- */

struct rm_options {
        bool force;
};

static const struct zl_cli_option rm_table[] = {
        { "force", 'f', ZL_CLI_FLAG, offsetof(struct rm_options, force), NULL,
          "kill it first if it runs; a missing one is no error" },
        { 0 },
};

/* What is restarted is a deployment of its own: that ends with it, and is not waited for longer than with any other container. */
static int end_kept(struct zl_cli *cli, const struct zl_cli_context *context,
                    const struct zl_view *view, struct zl_error *err)
{
        int r = 0;

        if (!has_ended(view))
                r = zl_runtime_kill(context->rt, view->status.name, SIGKILL, true, err);
        if (r < 0 && err && (err->code == ZL_E_STATE || err->code == ZL_E_NOT_FOUND)) {
                zl_error_done(err);
                r = 0;
        }
        if (r >= 0)
                r = zl_cli_down(cli, context->store, view->id.deployment, err);
        if (r >= 0)
                puts(view->status.name);
        return r;
}

static int rm_one(struct zl_cli *cli, const struct zl_cli_context *context,
                  const struct zl_view *view, void *data, struct zl_error *err)
{
        const struct rm_options *o = data;
        int r;

        if (!view->is_real)
                return zl_cli_fail_not_there(view, err);
        if (!o->force && !has_ended(view) && view->status.state != ZL_STATE_PENDING) {
                r = zl_fail(err, ZL_E_STATE, 0, "%s is %s", view->status.name,
                            zl_workload_state_name(view->status.state));
                zl_error_hint(err, "stop it first, or use rm -f");
                return r;
        }
        if (context->store && zl_ident_is_kept_run(&view->id))
                return end_kept(cli, context, view, err);
        r = zl_runtime_remove(context->rt, view->status.name, o->force, err);
        if (r < 0)
                return r;
        if (context->store)
                r = zl_store_forget_replica(context->store, view->status.name, err);
        if (r >= 0)
                puts(view->status.name);
        return r;
}

static int run_rm(struct zl_cli *cli, void *options, int argc, char **argv)
{
        const struct rm_options *o = options;
        _cleanup_context_ struct zl_cli_context context = { 0 };
        struct zl_error err = ZL_ERROR_INIT;
        int code = ZL_EXIT_OK;

        if (zl_cli_context_open(cli, argv, &context, &err) < 0)
                return zl_cli_fail(cli, &err);
        for (int i = 0; i < argc; i++) {
                _cleanup_free_ size_t *found = NULL;
                char *one[] = { argv[i], NULL };
                size_t n = 0;

                if (o->force && zl_view_find(&context.views, argv[i], &found, &n, &err) < 0 &&
                    err.code == ZL_E_NOT_FOUND) {
                        zl_error_done(&err);
                        continue;
                }
                zl_error_done(&err);
                if (zl_cli_for_each(cli, &context, one, rm_one, options) != ZL_EXIT_OK)
                        code = ZL_EXIT_FAILED;
        }
        return code;
}

const struct zl_cli_command zl_cmd_rm = {
        .name = "rm",
        .args = "NAME…",
        .summary = "Remove ended containers with their logs and records",
        .options = rm_table,
        .options_size = sizeof(struct rm_options),
        .min_args = 1,
        .max_args = UINT32_MAX,
        .run = run_rm,
};

/* ---- wait ------------------------------------------------------------------------------------------------------- */

struct wait_options {
        struct zl_cli_i64 timeout;
        int last; /* exit code of the last one */
};

static const struct zl_cli_option wait_table[] = {
        { "timeout", 0, ZL_CLI_DURATION, offsetof(struct wait_options, timeout), "SPAN",
          "give up after this time" },
        { 0 },
};

static int wait_one(struct zl_cli *cli, const struct zl_cli_context *context,
                    const struct zl_view *view, void *data, struct zl_error *err)
{
        struct wait_options *o = data;
        struct zl_status status = { 0 };
        int r;

        if (!view->is_real)
                return zl_cli_fail_not_there(view, err);
        r = zl_runtime_wait(context->rt, view->status.name, o->timeout.set ? o->timeout.value : -1,
                            &status, err);
        if (r < 0)
                return r;
        if (status.state == ZL_STATE_FAILED) {
                r = zl_fail(err, ZL_E_STATE, 0, "%s failed: %s", view->status.name,
                            status.reason ?: "reason unknown");
        } else {
                printf("%d\n", status.exit_code);
                fflush(stdout);
                o->last = status.exit_code;
        }
        (void)cli;
        zl_status_done(&status);
        return r;
}

static int run_wait(struct zl_cli *cli, void *options, int argc, char **argv)
{
        struct wait_options *o = options;
        _cleanup_context_ struct zl_cli_context context = { 0 };
        struct zl_error err = ZL_ERROR_INIT;
        int code;

        if (zl_cli_context_open(cli, argv, &context, &err) < 0) {
                zl_cli_fail(cli, &err);
                return ZL_EXIT_AGENT;
        }
        code = zl_cli_for_each(cli, &context, argv, wait_one, options);
        return code == ZL_EXIT_OK ? o->last : ZL_EXIT_AGENT;
}

const struct zl_cli_command zl_cmd_wait = {
        .name = "wait",
        .args = "NAME…",
        .summary = "Wait until containers have ended, print and return the exit code",
        .details =
                "Returns the exit code of the last one; 125 if waiting failed or the time was over.",
        .options = wait_table,
        .options_size = sizeof(struct wait_options),
        .min_args = 1,
        .max_args = UINT32_MAX,
        .run = run_wait,
};
