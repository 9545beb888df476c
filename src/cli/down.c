/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `down`: ends a deployment and removes its containers. If an agent looks after it, that agent is asked, so the two cannot
 * work against each other; if there is none any more, we do it ourselves with the same core.
 */
#include <fcntl.h>
#include <unistd.h>

#include "agent/control.h"
#include "agent/loop.h"
#include "base/fd.h"
#include "base/strv.h"
#include "cli/client.h"
#include "cli/context.h"
#include "runtimes/volume.h"
#include "spec/spec.h"

struct options {
        bool all, volumes;
};

static const struct zl_cli_option options_table[] = {
        { "all", 'a', ZL_CLI_FLAG, offsetof(struct options, all), NULL,
          "every deployment, and what run has started" },
        { "volumes", 'v', ZL_CLI_FLAG, offsetof(struct options, volumes), NULL,
          "also remove its named volumes with their content" },
        { 0 },
};

struct down {
        struct zl_cli *cli;
        struct zl_runtime *rt;
        struct zl_store *store;
        bool quiet;
};

static void on_event(const struct zl_event *event, void *data)
{
        const struct down *down = data;

        if (down->quiet)
                return;
        if (event->type == ZL_EVENT_FAILED)
                zl_cli_warn(down->cli, "%s", event->message ?: event->name);
        else if (event->type == ZL_EVENT_REMOVED && !down->cli->json)
                fprintf(stderr, "%s removed\n", event->name);
}

/* Ends what the runtime has of a deployment, without an agent. The lock is held. */
static int end_orphans(struct down *down, const char *name, struct zl_error *err)
{
        struct zl_agent_loop_options options = {
                .rt = down->rt, .store = down->store, .on_event = on_event, .data = down
        };
        struct zl_agent_stop_options stop = { .remove = true };
        struct zl_agent_loop *loop = NULL;
        struct zl_deployment_spec *spec = NULL;
        _cleanup_free_ char *text = NULL;
        const struct zl_error *failure;
        struct zl_agent *agent;
        bool active;
        int r;

        r = zl_store_get_deployment(down->store, name, &text, &active, err);
        if (r < 0)
                return r;
        /* For the order only: one that cannot be read any more must not keep us from ending it. */
        if (text && zl_spec_load_text(text, strlen(text), &spec, NULL, NULL) < 0)
                spec = NULL;
        r = zl_agent_loop_new(&options, &loop, err);
        if (r < 0) {
                zl_spec_free(spec);
                return r;
        }
        agent = zl_agent_loop_agent(loop);
        r = zl_agent_stop(agent, name, spec, &stop, err);
        while (r >= 0 &&
               !(zl_agent_phase(agent, name) == ZL_DEPLOYMENT_STOPPED && zl_agent_is_idle(agent)))
                uv_run(zl_agent_loop_uv(loop), UV_RUN_ONCE);
        failure = r >= 0 ? zl_agent_failure(agent, name) : NULL;
        if (failure)
                r = zl_fail(err, failure->code, 0, "%s", failure->message);
        zl_agent_loop_free(loop);
        return r;
}

static void remove_log(const struct zl_cli *cli, const char *name)
{
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/deployments/%s.log", cli->root_dir, name) >= 0)
                unlink(path);
}

static void tell_volume(const char *name, void *data)
{
        const struct zl_cli *cli = data;

        if (!cli->json)
                fprintf(stderr, "volume %s removed\n", name);
}

static int remove_volumes(struct zl_cli *cli, const char *name, struct zl_error *err)
{
        _cleanup_volumes_ struct zl_volumes *volumes = NULL;
        int r = zl_volumes_open(cli->root_dir, &volumes, err);

        return r < 0 ? r : zl_volume_remove_of(volumes, name, tell_volume, cli, err);
}

/* What is no container. */
static int remove_rest(struct down *down, const char *name, const struct options *o,
                       struct zl_error *err)
{
        int r = o->volumes ? remove_volumes(down->cli, name, err) : 0;

        if (r >= 0)
                remove_log(down->cli, name);
        return r;
}

static int down_by_daemon(struct down *down, const char *name, const struct options *o,
                          struct zl_error *err)
{
        _cleanup_free_ char *escaped = zl_client_escape(name), *path = NULL;
        struct zl_client_request request = { .method = "DELETE" };

        if (!escaped ||
            asprintf(&path, "/v1/deployments/%s%s", escaped, o->volumes ? "?volumes" : "") < 0) {
                path = NULL;
                return zl_fail_oom(err);
        }
        request.path = path;
        return zl_client_ask(down->cli, &request, NULL, err);
}

/* No agent looks after it: the same core does it here. */
static int down_here(struct down *down, const char *name, const struct options *o,
                     struct zl_error *err)
{
        struct zl_deployment_lock *lock = NULL;
        _cleanup_close_ int root_lock = -EBADF;
        int r = zl_client_embed(down->cli, &root_lock, err);

        if (r == 0)
                return down_by_daemon(down, name, o, err);
        /* Behind this there is no agent, and none can come. */
        if (r > 0)
                r = zl_deployment_lock_take(down->cli->root_dir, name, false, &lock, err);
        if (r < 0)
                return r;
        zl_control_forget(down->cli->runtime_dir, name);
        r = end_orphans(down, name, err);
        if (r >= 0)
                r = remove_rest(down, name, o, err);
        zl_deployment_lock_release(lock);
        return r;
}

static int down_one(struct down *down, const char *name, const struct options *o,
                    struct zl_error *err)
{
        struct zl_deployment_lock *lock = NULL;
        int r;

        if (zl_client_has_daemon(down->cli))
                return down_by_daemon(down, name, o, err);
        r = zl_control_ask(down->cli->runtime_dir, name, "down", -1, err);
        if (r < 0 && err->code == ZL_E_NOT_FOUND) {
                zl_error_done(err);
                return down_here(down, name, o, err);
        }
        /* So that whoever comes next does not meet it on its way out. */
        if (r >= 0)
                r = zl_deployment_lock_take(down->cli->root_dir, name, true, &lock, err);
        if (r >= 0)
                r = remove_rest(down, name, o, err);
        zl_deployment_lock_release(lock);
        return r;
}

int zl_cli_down(struct zl_cli *cli, struct zl_store *store, const char *deployment,
                struct zl_error *err)
{
        static const struct options options = { 0 };
        struct down down = { .cli = cli, .store = store, .quiet = true };
        int r = zl_cli_runtime(cli, &down.rt, err);

        return r < 0 ? r : down_one(&down, deployment, &options, err);
}

/* What only the runtime knows. `deployment` NULL: all. */
static int add_known(struct down *down, const char *deployment, char ***names, struct zl_error *err)
{
        const struct zl_view_query query = { .rt = down->rt,
                                             .runtime_dir = down->cli->runtime_dir,
                                             .deployment = deployment };
        _cleanup_views_ struct zl_view_list views = { 0 };
        int r = zl_view_load(&query, NULL, &views, err);

        for (size_t i = 0; r >= 0 && i < views.n; i++)
                if (!zl_strv_contains(*names, views.items[i].id.deployment) &&
                    zl_strv_push(names, views.items[i].id.deployment) < 0)
                        r = zl_fail_oom(err);
        return r;
}

/* Every deployment that the store or the runtime knows; of the runtime's only the `wanted` ones, unless there are none. */
static int list_known(struct down *down, char *const *wanted, char ***ret, struct zl_error *err)
{
        _cleanup_strv_ char **names = NULL;
        int r = zl_store_list_deployments(down->store, &names, err);

        if (r >= 0 && !*wanted)
                r = add_known(down, NULL, &names, err);
        for (; r >= 0 && *wanted; wanted++)
                if (!zl_strv_contains(names, *wanted))
                        r = add_known(down, *wanted, &names, err);
        if (r >= 0)
                *ret = zl_take_ptr(names);
        return r;
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        const struct options *o = options;
        struct down down = { .cli = cli };
        _cleanup_strv_ char **known = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        int code = ZL_EXIT_OK, r;

        if (o->all == (argc > 0))
                return zl_cli_usage(cli, "either NAME or --all");
        r = zl_cli_runtime(cli, &down.rt, &err);
        if (r >= 0)
                r = zl_store_open(cli->root_dir, &down.store, &err);
        if (r >= 0)
                r = list_known(&down, argv, &known, &err);
        if (r < 0)
                code = zl_cli_fail(cli, &err);
        for (char **name = o->all ? known : argv; r >= 0 && name && *name; name++) {
                if (!zl_strv_contains(known, *name) && !zl_client_has_daemon(cli) &&
                    !zl_control_is_served(cli->runtime_dir, *name)) {
                        zl_fail(&err, ZL_E_NOT_FOUND, 0, "no deployment \"%s\"", *name);
                        code = zl_cli_fail(cli, &err);
                } else if (down_one(&down, *name, o, &err) < 0) {
                        code = zl_cli_fail(cli, &err);
                }
        }
        zl_store_close(down.store);
        return code;
}

const struct zl_cli_command zl_cmd_down = {
        .name = "down",
        .args = "NAME… | --all",
        .summary = "Stop deployments and remove their containers",
        .details =
                "NAME is the name of the deployment, as its file says. Dependents are stopped first.",
        .options = options_table,
        .options_size = sizeof(struct options),
        .max_args = UINT32_MAX,
        .run = run,
};
