/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cron ls|trigger|enable|disable`: the schedules of the deployments that the agent's database knows. ls reads it
 * itself; what changes something is asked of the agent.
 */
#include "agent/documents.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/job.h"

struct listing {
        const struct zl_cli *cli;
        struct zl_cli_table *table;
        json_t *array;
};

/* ---- ls ---------------------------------------------------------------------------------------------------------- */

/* Whole seconds: schedules know no others. */
static char *format_second(int64_t t, char text[ZL_RFC3339_SIZE])
{
        zl_format_rfc3339(t, text);
        memcpy(text + 19, "Z", 2);
        return text;
}

static const char *state_of(const struct zl_schedule_info *info)
{
        if (info->problem)
                return "unreadable";
        return !info->up ? "down" : info->enabled ? "enabled" : "disabled";
}

static int add(const struct zl_schedule_info *info, void *data)
{
        char next[ZL_SCHEDULE_NEXT * ZL_RFC3339_SIZE] = "", text[ZL_RFC3339_SIZE];
        struct listing *l = data;
        size_t used = 0;

        for (size_t i = 0; i < info->n_next; i++)
                used += (size_t)snprintf(next + used, sizeof(next) - used, "%s%s", i ? " " : "",
                                         format_second(info->next[i], text));
        if (info->problem)
                zl_cli_warn(l->cli, "the stored spec of deployment %s cannot be read: %s",
                            info->deployment, info->problem);
        zl_cli_table_cellf(l->table, "%s%s%s", info->deployment, info->service ? "." : "",
                           info->service ?: "");
        zl_cli_table_cell(l->table, info->schedule);
        zl_cli_table_cell(l->table, info->timezone);
        zl_cli_table_cell(l->table, state_of(info));
        if (info->last > 0)
                zl_cli_table_cellf(l->table, "%s ago",
                                   zl_format_age(zl_now_realtime() - info->last, text));
        else
                zl_cli_table_cell(l->table, NULL);
        zl_cli_table_cell(l->table, *next ? next : NULL);
        return json_array_append_new(l->array, zl_schedule_to_json(info)) < 0 ? -ENOMEM : 0;
}

static int read_schedules(struct zl_cli *cli, struct listing *l, struct zl_error *err)
{
        _cleanup_store_ struct zl_store *store = NULL;
        int r = zl_store_open_existing(cli->root_dir, &store, err);

        if (r >= 0 && store)
                r = zl_schedules_read(store, add, l, err);
        return r == -ENOMEM ? zl_fail_oom(err) : r;
}

static int run_ls(struct zl_cli *cli, void *options, int argc, char **argv)
{
        static const char *const headers[] = { "NAME", "SCHEDULE", "ZONE", "STATE",
                                               "LAST", "NEXT",     NULL };
        _cleanup_table_ struct zl_cli_table *table = zl_cli_table_new(headers);
        _cleanup_json_ json_t *array = json_array();
        struct listing l = { cli, table, array };
        struct zl_error err = ZL_ERROR_INIT;
        int r;

        (void)options;
        (void)argc;
        (void)argv;
        r = table && array ? read_schedules(cli, &l, &err) : zl_fail_oom(&err);
        if (r == 0 &&
            (cli->json ? zl_cli_print_json(array) : zl_cli_table_print(table, cli, stdout)) < 0)
                r = zl_fail_oom(&err);
        return r < 0 ? zl_cli_fail(cli, &err) : ZL_EXIT_OK;
}

/* ---- trigger, enable, disable -------------------------------------------------------------------------------------- */

static int ask_each(struct zl_cli *cli, char **argv, const char *verb)
{
        int code = ZL_EXIT_OK;

        for (; *argv; argv++) {
                _cleanup_free_ char *answer = NULL;
                struct zl_error err = ZL_ERROR_INIT;
                struct zl_cli_job_name name;

                if (zl_cli_job_parse(*argv, &name, &err) < 0 ||
                    zl_cli_job_ask(cli, name.deployment, verb, name.service, &answer, &err) < 0)
                        code = zl_cli_fail_argument(cli, &err);
                else
                        puts(*answer ? answer : *argv);
        }
        return code;
}

static int run_trigger(struct zl_cli *cli, void *options, int argc, char **argv)
{
        (void)options;
        (void)argc;
        return ask_each(cli, argv, "job-run");
}

static int run_enable(struct zl_cli *cli, void *options, int argc, char **argv)
{
        (void)options;
        (void)argc;
        return ask_each(cli, argv, "cron-enable");
}

static int run_disable(struct zl_cli *cli, void *options, int argc, char **argv)
{
        (void)options;
        (void)argc;
        return ask_each(cli, argv, "cron-disable");
}

#define EACH(NAME, SUMMARY)                                                                        \
        {                                                                                          \
                .name = #NAME, .args = "DEPLOYMENT.SERVICE…", .summary = (SUMMARY), .min_args = 1, \
                .max_args = UINT32_MAX, .run = run_##NAME                                          \
        }

static const struct zl_cli_command cmd_ls = { .name = "ls",
                                              .args = "",
                                              .summary = "List schedules with their next five runs",
                                              .run = run_ls };
static const struct zl_cli_command cmd_trigger = EACH(trigger, "Begin an execution now");
static const struct zl_cli_command cmd_enable = EACH(enable, "Switch schedules on");
static const struct zl_cli_command cmd_disable = EACH(disable,
                                                      "Switch schedules off; what runs goes on");
static const struct zl_cli_command *const sub_commands[] = { &cmd_ls, &cmd_trigger, &cmd_enable,
                                                             &cmd_disable, NULL };

const struct zl_cli_command zl_cmd_cron = {
        .name = "cron",
        .args = "",
        .summary = "Schedules of cron jobs",
        .sub_commands = sub_commands,
};
