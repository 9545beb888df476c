/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `job run|ls|logs|cancel`: executions of the services of rtype job and cron. What changes something is asked of the agent
 * that looks after the deployment; for a deployment of jobs that has finished, `run` begins one. What only looks reads the agent's
 * database, so it works without any agent.
 */
#include "cli/job.h"
#include "agent/control.h"
#include "agent/documents.h"
#include "base/clock.h"
#include "base/ident.h"
#include "base/json.h"
#include "cli/client.h"
#include "cli/up.h"

#define ANSWER_TIMEOUT (30 * ZL_NSEC_PER_SEC)

int zl_cli_job_parse(const char *text, struct zl_cli_job_name *ret, struct zl_error *err)
{
        const char *dot = strchr(text, '.');
        struct zl_ident id;
        int r;

        snprintf(ret->deployment, sizeof(ret->deployment), "%.*s",
                 dot ? (int)(dot - text) : (int)strlen(text), text);
        r = dot ? zl_ident_make(&id, ret->deployment, dot + 1, 1, NULL) : -EINVAL;
        if (r < 0) {
                r = zl_fail(err, ZL_E_INVALID, 0, "\"%s\" names no job", text);
                zl_error_hint(err, "DEPLOYMENT.SERVICE; see: zlayer-agent job ls, cron ls");
                return r;
        }
        snprintf(ret->service, sizeof(ret->service), "%s", dot + 1);
        return 0;
}

/* The daemon knows more than the socket of a deployment: also those that have finished. */
static int ask_daemon(struct zl_cli *cli, const char *deployment, const char *verb,
                      const char *what, char **ret_answer, struct zl_error *err)
{
        _cleanup_json_ json_t *body = NULL, *answer = NULL;
        _cleanup_free_ char *path = NULL, *text = NULL;
        struct zl_client_request request = { .method = "POST" };
        int r;

        if (zl_streq(verb, "job-run")) {
                body = json_pack("{s:s, s:s}", "deployment", deployment, "service", what);
                text = body ? zl_json_dump(body, 0) : NULL;
                path = strdup("/v1/executions");
                request.type = "application/json";
                request.body = text;
        } else if (zl_streq(verb, "job-cancel")) {
                if (asprintf(&path, "/v1/executions/%s/cancel", what) < 0)
                        path = NULL;
        } else if (asprintf(&path, "/v1/schedules/%s.%s/%s", deployment, what,
                            zl_streq(verb, "cron-enable") ? "enable" : "disable") < 0) {
                path = NULL;
        }
        if (!path || (request.type && !text))
                return zl_fail_oom(err);
        request.path = path;
        r = zl_client_ask(cli, &request, &answer, err);
        if (r < 0)
                return r;
        *ret_answer = strdup(zl_json_str(answer, "name", ""));
        return *ret_answer ? 0 : zl_fail_oom(err);
}

int zl_cli_job_ask(struct zl_cli *cli, const char *deployment, const char *verb, const char *what,
                   char **ret_answer, struct zl_error *err)
{
        char line[256];
        int r;

        if (zl_client_has_daemon(cli))
                return ask_daemon(cli, deployment, verb, what, ret_answer, err);
        snprintf(line, sizeof(line), "%s %s", verb, what);
        r = zl_control_query(cli->runtime_dir, deployment, line, ANSWER_TIMEOUT, ret_answer, err);
        if (r < 0 && err->code == ZL_E_NOT_FOUND)
                zl_error_hint(err, "zlayer-agent up -d FILE, or zlayer-agent serve");
        return r;
}

/* ---- run, cancel ----------------------------------------------------------------------------------------------- */

static int run_run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        _cleanup_free_ char *answer = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_cli_job_name name;
        int r;

        (void)options;
        (void)argc;
        if (zl_cli_job_parse(argv[0], &name, &err) < 0)
                return zl_cli_fail_argument(cli, &err);
        r = zl_cli_job_ask(cli, name.deployment, "job-run", name.service, &answer, &err);
        if (r < 0 && err.code == ZL_E_NOT_FOUND && !zl_client_has_daemon(cli)) {
                int code = zl_up_for_job(cli, name.deployment, name.service);

                if (code != ZL_UP_DAEMON_THERE) {
                        zl_error_done(&err);
                        return code;
                }
                zl_error_done(&err);
                r = zl_cli_job_ask(cli, name.deployment, "job-run", name.service, &answer, &err);
        }
        if (r < 0)
                return zl_cli_fail_argument(cli, &err);
        puts(answer);
        return ZL_EXIT_OK;
}

static int cancel_one(void *data, const char *name, struct zl_error *err)
{
        struct zl_cli *cli = data;
        _cleanup_free_ char *answer = NULL;
        struct zl_ident id;
        int r;

        if (zl_ident_parse(name, &id) < 0) {
                r = zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is not the name of an execution", name);
                zl_error_hint(err, "DEPLOYMENT.SERVICE.NUMBER; see: zlayer-agent job ls");
                return r;
        }
        return zl_cli_job_ask(cli, id.deployment, "job-cancel", name, &answer, err);
}

static int run_cancel(struct zl_cli *cli, void *options, int argc, char **argv)
{
        (void)options;
        (void)argc;
        return zl_cli_each(cli, argv, cancel_one, cli);
}

/* ---- ls ---------------------------------------------------------------------------------------------------------- */

struct listing {
        struct zl_cli_table *table;
        json_t *array;
};

static int add_row(const struct zl_execution_record *e, void *data)
{
        struct listing *l = data;
        char name[ZL_IDENT_NAME_MAX], text[ZL_CLI_TEXT_SIZE], age[ZL_RFC3339_SIZE];
        int64_t now = zl_now_realtime(), end = e->finished_at > 0 ? e->finished_at : now;

        snprintf(name, sizeof(name), "%s.%s.%u", e->deployment, e->service, e->number);
        zl_cli_table_cell(l->table, name);
        zl_cli_table_cell(l->table, zl_trigger_name(e->trigger));
        zl_cli_table_cell(l->table, zl_execution_state_name(e->state));
        zl_cli_table_cellf(l->table, "%s ago", zl_format_age(now - e->created_at, age));
        zl_cli_table_cell(l->table,
                          e->started_at > 0 ? zl_cli_format_span(end - e->started_at, text) : NULL);
        if (e->exit_code >= 0)
                zl_cli_table_cellf(l->table, "%d", e->exit_code);
        else
                zl_cli_table_cell(l->table, NULL);
        zl_cli_table_cellf(l->table, "%u", e->retries);
        zl_cli_table_cell(l->table, e->reason);
        return json_array_append_new(l->array, zl_execution_to_json(e)) < 0 ? -ENOMEM : 0;
}

/* DEPLOYMENT or DEPLOYMENT.SERVICE; nothing is everything. */
static int read_records(struct zl_cli *cli, const char *which, struct listing *l,
                        struct zl_error *err)
{
        _cleanup_store_ struct zl_store *store = NULL;
        _cleanup_free_ char *deployment = which ? strdup(which) : NULL;
        char *dot = deployment ? strchr(deployment, '.') : NULL;
        int r;

        if (which && !deployment)
                return zl_fail_oom(err);
        if (dot)
                *dot++ = 0;
        r = zl_store_open_existing(cli->root_dir, &store, err);
        if (r < 0 || !store)
                return r;
        return zl_store_read_executions(store, deployment, dot, add_row, l, err);
}

static int run_ls(struct zl_cli *cli, void *options, int argc, char **argv)
{
        static const char *const headers[] = { "NAME", "TRIGGER", "STATE",  "CREATED", "DURATION",
                                               "EXIT", "RETRIES", "REASON", NULL };
        _cleanup_table_ struct zl_cli_table *table = zl_cli_table_new(headers);
        _cleanup_json_ json_t *array = json_array();
        struct listing l = { table, array };
        struct zl_error err = ZL_ERROR_INIT;
        int r;

        (void)options;
        r = table && array ? read_records(cli, argc > 0 ? argv[0] : NULL, &l, &err)
                           : zl_fail_oom(&err);
        if (r == 0 &&
            (cli->json ? zl_cli_print_json(array) : zl_cli_table_print(table, cli, stdout)) < 0)
                r = zl_fail_oom(&err);
        return r < 0 ? zl_cli_fail(cli, &err) : ZL_EXIT_OK;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static const struct zl_cli_command cmd_run = {
        .name = "run",
        .args = "DEPLOYMENT.SERVICE",
        .summary = "Begin one more execution of a job",
        .details =
                "Prints the name of the execution, DEPLOYMENT.SERVICE.NUMBER, under which logs, inspect,\n"
                "wait and job cancel know it. If zlayer.job.concurrency executions run already, it waits.",
        .min_args = 1,
        .max_args = 1,
        .run = run_run,
};
static const struct zl_cli_command cmd_ls = {
        .name = "ls",
        .args = "[DEPLOYMENT[.SERVICE]]",
        .summary = "List executions, oldest first",
        .max_args = 1,
        .run = run_ls,
};
static const struct zl_cli_command cmd_cancel = { .name = "cancel",
                                                  .args = "EXECUTION…",
                                                  .summary = "End executions, or take them out of "
                                                             "the queue",
                                                  .min_args = 1,
                                                  .max_args = UINT32_MAX,
                                                  .run = run_cancel };
static const struct zl_cli_command *const sub_commands[] = { &cmd_run, &cmd_ls, &zl_cmd_logs,
                                                             &cmd_cancel, NULL };

const struct zl_cli_command zl_cmd_job = {
        .name = "job",
        .args = "",
        .summary = "Executions of jobs and cron jobs",
        .sub_commands = sub_commands,
};
