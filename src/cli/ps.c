/* SPDX-License-Identifier: Apache-2.0 */
/* `ps`: what runs, and with -a what has ended. The JSON form is a promise to scripts (docs). */
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "cli/context.h"

struct options {
        bool all, quiet;
};

static const struct zl_cli_option options_table[] = {
        { "all", 'a', ZL_CLI_FLAG, offsetof(struct options, all), NULL,
          "also show what has ended" },
        { "quiet", 'q', ZL_CLI_FLAG, offsetof(struct options, quiet), NULL, "names only" },
        { 0 },
};

static bool is_shown(const struct zl_view *view, const struct options *o, int argc, char **argv)
{
        enum zl_workload_state state = view->status.state;

        if (argc > 0 && !zl_streq(argv[0], view->id.deployment))
                return false;
        /* What the agent still works on is shown also where the attempt failed. */
        return o->all || !view->is_real || (state != ZL_STATE_EXITED && state != ZL_STATE_FAILED);
}

static int print_json(const struct zl_cli_context *context, const struct options *o, int argc,
                      char **argv)
{
        _cleanup_json_ json_t *array = json_array();
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; array && i < context->views.n; i++) {
                const struct zl_view *view = &context->views.items[i];

                if (is_shown(view, o, argc, argv) &&
                    json_array_append_new(array, zl_view_to_json(view)) < 0)
                        return -ENOMEM;
        }
        text = array ? zl_json_dump(array, 2) : NULL;
        if (!text)
                return -ENOMEM;
        puts(text);
        return 0;
}

/* "running", "running (healthy)", "exited (42)", "exited (137, out of memory)" … */
static void state_cell(struct zl_cli_table *table, const struct zl_view *view)
{
        const struct zl_status *s = &view->status;
        const char *name = zl_workload_state_name(s->state);

        if (s->state == ZL_STATE_EXITED)
                zl_cli_table_cellf(table, "%s (%d%s)", name, s->exit_code,
                                   s->oom ? ", out of memory" : "");
        else if (s->state == ZL_STATE_RUNNING && view->health && !zl_streq(view->health, "none"))
                zl_cli_table_cellf(table, "%s (%s)", name, view->health);
        else
                zl_cli_table_cell(table, name);
}

/* "0.0.0.0:8080->80, [::1]:53->53/udp" */
static void ports_cell(struct zl_cli_table *table, const struct zl_status *s)
{
        _cleanup_buf_ struct zl_buf buf = ZL_BUF_INIT(1 << 16);

        for (size_t i = 0; i < s->n_ports; i++) {
                const struct zl_port *p = &s->ports[i];
                bool six = strchr(p->host_ip, ':');

                zl_buf_putf(&buf, "%s%s%s%s:%u->%u%s", i > 0 ? ", " : "", six ? "[" : "",
                            p->host_ip, six ? "]" : "", p->host_port, p->container_port,
                            p->udp ? "/udp" : "");
        }
        zl_cli_table_cell(table, s->n_ports > 0 && zl_buf_error(&buf) == 0 ? buf.data : NULL);
}

static int print_table(struct zl_cli *cli, const struct zl_cli_context *context,
                       const struct options *o, int argc, char **argv)
{
        static const char *const headers[] = { "NAME",    "IMAGE", "STATE", "PID",    "RESTARTS",
                                               "STARTED", "IP",    "PORTS", "REASON", NULL };
        _cleanup_table_ struct zl_cli_table *table = zl_cli_table_new(headers);
        int64_t now = zl_now_realtime();

        if (!table)
                return -ENOMEM;
        for (size_t i = 0; i < context->views.n; i++) {
                const struct zl_view *view = &context->views.items[i];
                const struct zl_status *s = &view->status;
                char age[ZL_RFC3339_SIZE];

                if (!is_shown(view, o, argc, argv))
                        continue;
                zl_cli_table_cell(table, s->name);
                zl_cli_table_cell(table, s->image);
                state_cell(table, view);
                zl_cli_table_cellf(table, s->pid > 0 ? "%d" : "-", (int)s->pid);
                zl_cli_table_cellf(table, "%u", view->restarts);
                if (s->started_at > 0)
                        zl_cli_table_cellf(table, "%s ago",
                                           zl_format_age(now - s->started_at, age));
                else
                        zl_cli_table_cell(table, NULL);
                zl_cli_table_cell(table, s->ip);
                ports_cell(table, s);
                zl_cli_table_cell(table, s->reason);
        }
        return zl_cli_table_print(table, cli, stdout);
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        const struct options *o = options;
        _cleanup_context_ struct zl_cli_context context = { 0 };
        struct zl_error err = ZL_ERROR_INIT;
        int r = 0;

        if (zl_cli_context_open(cli, NULL, &context, &err) < 0)
                return zl_cli_fail(cli, &err);
        if (o->quiet) {
                for (size_t i = 0; i < context.views.n; i++)
                        if (is_shown(&context.views.items[i], o, argc, argv))
                                puts(context.views.items[i].status.name);
        } else if (cli->json) {
                r = print_json(&context, o, argc, argv);
        } else {
                r = print_table(cli, &context, o, argc, argv);
        }
        if (r < 0) {
                zl_fail_oom(&err);
                return zl_cli_fail(cli, &err);
        }
        return ZL_EXIT_OK;
}

const struct zl_cli_command zl_cmd_ps = {
        .name = "ps",
        .args = "[DEPLOYMENT]",
        .summary = "List running containers",
        .details =
                "With --json an array of objects with name (DEPLOYMENT.SERVICE.REPLICA), deployment, service,\n"
                "replica, runtime, image, state (pending, initializing, running, paused, stopping, exited,\n"
                "failed), health, pid, exit_code, signal, oom, restarts, reason, ip, ports, created_at,\n"
                "started_at, finished_at.",
        .options = options_table,
        .options_size = sizeof(struct options),
        .max_args = 1,
        .run = run,
};
