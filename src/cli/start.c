/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `start` and `restart`. What belongs to a deployment is started by the agent that looks after it, so that it is watched and restarted
 * as before; everything else through the runtime. The container stays what it is, with its files and its log.
 *
 * What may go wrong: nobody looks after the deployment any more. A container of `run --restart` then gets an agent again; one of
 * a file is started all the same, and what is missing is said.
 */
#include <stdlib.h>
#include <unistd.h>

#include "agent/control.h"
#include "agent/event.h"
#include "base/clock.h"
#include "base/strv.h"
#include "cli/client.h"
#include "cli/context.h"
#include "cli/up.h"
#include "spec/spec.h"

struct options {
        struct zl_cli_i64 grace;
        bool restart;
        char **resting; /* what is to have an agent again */
};

static int64_t grace_of(const struct options *o)
{
        return o->grace.set ? o->grace.value : -1;
}

static int ask_daemon(struct zl_cli *cli, const struct options *o, const char *name,
                      struct zl_error *err)
{
        struct zl_client_request request = { .method = "POST" };
        _cleanup_free_ char *path = NULL;
        int n;

        if (o->restart && o->grace.set)
                n = asprintf(&path, "/v1/containers/%s/restart?grace=%lldms", name,
                             (long long)(o->grace.value / ZL_NSEC_PER_MSEC));
        else
                n = asprintf(&path, "/v1/containers/%s/%s", name, o->restart ? "restart" : "start");
        if (n < 0) {
                path = NULL;
                return zl_fail_oom(err);
        }
        request.path = path;
        return zl_client_ask(cli, &request, NULL, err);
}

static int ask_agent(struct zl_cli *cli, const struct options *o, const struct zl_view *view,
                     struct zl_error *err)
{
        /* What has ended without its agent having heard of it yet is stopped, too, as far as that one sees. */
        bool stop = o->restart || view->status.state == ZL_STATE_EXITED ||
                    view->status.state == ZL_STATE_FAILED;
        _cleanup_free_ char *line = NULL;
        int n = stop ? asprintf(&line, "restart %s %lld", view->status.name, (long long)grace_of(o))
                     : asprintf(&line, "start %s", view->status.name);

        if (n < 0) {
                line = NULL;
                return zl_fail_oom(err);
        }
        return zl_control_ask(cli->runtime_dir, view->id.deployment, line, -1, err);
}

static void note(const struct zl_cli_context *context, const char *name)
{
        struct zl_event event = { .time = zl_now_realtime(),
                                  .type = ZL_EVENT_STARTED,
                                  .name = name };

        /* A history that cannot be written is no reason to fail. */
        if (context->store)
                (void)zl_store_put_event(context->store, &event, NULL, NULL);
}

static int start_directly(const struct zl_cli_context *context, const struct options *o,
                          const char *name, struct zl_error *err)
{
        int r = o->restart ? zl_runtime_stop(context->rt, name, grace_of(o), err) : 0;

        if (r >= 0)
                r = zl_runtime_start(context->rt, name, err);
        if (r >= 0)
                note(context, name);
        return r;
}

/* 1: it is done; 0: nobody looks after it. */
static int ask_its_agent(struct zl_cli *cli, const struct options *o, const struct zl_view *view,
                         struct zl_error *err)
{
        int r;

        if (zl_client_has_daemon(cli)) {
                r = ask_daemon(cli, o, view->status.name, err);
                return r < 0 ? r : 1;
        }
        r = ask_agent(cli, o, view, err);
        if (r < 0 && err->code == ZL_E_NOT_FOUND) {
                zl_error_done(err);
                return 0;
        }
        return r < 0 ? r : 1;
}

static int start_one(struct zl_cli *cli, const struct zl_cli_context *context,
                     const struct zl_view *view, void *data, struct zl_error *err)
{
        struct options *o = data;
        const char *name = view->status.name;
        bool runs = view->status.state == ZL_STATE_RUNNING || view->status.state == ZL_STATE_PAUSED;
        bool active;
        int r = 0;

        if (!view->is_real)
                return zl_cli_fail_not_there(view, err);
        if (runs && !o->restart) {
                puts(name);
                return 0;
        }
        if (context->store)
                r = zl_store_get_deployment(context->store, view->id.deployment, NULL, &active,
                                            err);
        if (r > 0) {
                r = ask_its_agent(cli, o, view, err);
                if (r == 0 && zl_ident_is_kept_run(&view->id) && !runs)
                        return zl_strv_push(&o->resting, name) < 0 ? zl_fail_oom(err) : 0;
                if (r == 0)
                        zl_cli_warn(cli, "%s: no agent looks after deployment %s", name,
                                    view->id.deployment);
        }
        if (r == 0)
                r = start_directly(context, o, name, err);
        if (r >= 0)
                puts(name);
        return r;
}

/* By an agent of its own. The store is closed: there will be two processes. */
static int start_resting(struct zl_cli *cli, const struct options *o, const char *name)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        struct zl_store *store = NULL;
        _cleanup_free_ char *text = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        pid_t self = getpid();
        struct zl_ident id;
        bool active;
        int code, r = zl_ident_parse(name, &id);

        if (r >= 0)
                r = zl_store_open(cli->root_dir, &store, &err);
        if (r >= 0)
                r = zl_store_get_deployment(store, id.deployment, &text, &active, &err);
        zl_store_close(store);
        if (r == 0)
                r = zl_fail(&err, ZL_E_NOT_FOUND, 0, "no deployment \"%s\"", id.deployment);
        if (r > 0)
                r = zl_spec_load_text(text, strlen(text), &spec, NULL, &err);
        if (r < 0)
                return zl_cli_fail(cli, &err);
        code = zl_up_spec(cli, &spec, name);
        if (getpid() != self)
                exit(code); /* the agent, at its end */
        if (code == ZL_UP_DAEMON_THERE)
                code = ask_daemon(cli, o, name, &err) < 0 ? zl_cli_fail(cli, &err) : ZL_EXIT_OK;
        if (code == ZL_EXIT_OK)
                puts(name);
        return code;
}

static int begin(struct zl_cli *cli, struct options *o, char **argv)
{
        struct zl_cli_context context = { 0 };
        struct zl_error err = ZL_ERROR_INIT;
        int code;

        if (zl_cli_context_open(cli, argv, &context, &err) < 0)
                return zl_cli_fail(cli, &err);
        code = zl_cli_for_each(cli, &context, argv, start_one, o);
        zl_cli_context_done(&context);
        ZL_STRV_FOREACH(name, o->resting)
                if (start_resting(cli, o, *name) != ZL_EXIT_OK)
                        code = ZL_EXIT_FAILED;
        zl_strv_free(o->resting);
        return code;
}

static int run_start(struct zl_cli *cli, void *options, int argc, char **argv)
{
        (void)argc;
        return begin(cli, options, argv);
}

const struct zl_cli_command zl_cmd_start = {
        .name = "start",
        .args = "NAME…",
        .summary = "Start containers that have ended or were stopped",
        .details =
                "The container is the same, with its files and its log. One of a deployment is looked after again, and\n"
                "what was counted against it is forgiven; one that runs is left alone. NAME is as for stop.",
        .options_size = sizeof(struct options),
        .min_args = 1,
        .max_args = UINT32_MAX,
        .run = run_start,
};

static const struct zl_cli_option restart_table[] = {
        { "time", 't', ZL_CLI_DURATION, offsetof(struct options, grace), "SPAN",
          "from the stop signal to the kill (default: the container's own grace period)" },
        { 0 },
};

static int run_restart(struct zl_cli *cli, void *options, int argc, char **argv)
{
        struct options *o = options;

        (void)argc;
        o->restart = true;
        return begin(cli, o, argv);
}

const struct zl_cli_command zl_cmd_restart = {
        .name = "restart",
        .args = "NAME…",
        .summary = "Stop containers and start them again",
        .details =
                "As stop and then start: the container is the same, with its files and its log. One that has ended is\n"
                "started. Of a service all replicas are restarted, one after the other.",
        .options = restart_table,
        .options_size = sizeof(struct options),
        .min_args = 1,
        .max_args = UINT32_MAX,
        .run = run_restart,
};
