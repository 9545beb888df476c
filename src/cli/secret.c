/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `secret set|ls|rm`: values that a spec names with "$S:…". A value is read from standard input or a file, never from the
 * command line, which everybody on the machine can see. There is no command that shows one.
 *
 * If a daemon listens it does the work, with its key: ours may be another one, or none.
 */
#include <unistd.h>

#include "agent/secrets.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/client.h"

struct secret_options {
        const char *deployment, *file;
};

static const char *from_environment(void *data, const char *name)
{
        (void)data;
        return getenv(name);
}

static int open_store(struct zl_cli *cli, struct zl_secrets **ret, struct zl_error *err)
{
        struct zl_secrets_options options = { .root_dir = cli->root_dir,
                                              .getenv = from_environment };

        return zl_secrets_open(&options, ret, err);
}

/* ---- by the daemon ----------------------------------------------------------------------------------------------- */

static int set_by_daemon(struct zl_cli *cli, const char *name, const char *deployment,
                         const char *value, size_t len, struct zl_error *err)
{
        char *encoded = zl_base64_encode(value, len);
        json_t *body = encoded ? json_pack("{s:s, s:s}", "name", name, "value_base64", encoded)
                               : NULL;
        char *text = NULL;
        struct zl_client_request request = { .method = "PUT",
                                             .path = "/v1/secrets",
                                             .type = "application/json" };
        int r = -ENOMEM;

        if (body && (!deployment || zl_json_set(body, "deployment", json_string(deployment)) >= 0))
                text = zl_json_dump(body, 0);
        request.body = text;
        r = text ? zl_client_ask(cli, &request, NULL, err) : zl_fail_oom(err);
        zl_secret_wipe(encoded);
        zl_secret_wipe(text);
        json_decref(body);
        return r;
}

static int remove_by_daemon(struct zl_cli *cli, const char *name, const char *deployment,
                            struct zl_error *err)
{
        _cleanup_free_ char *escaped = zl_client_escape(name), *path = NULL;
        _cleanup_free_ char *of = zl_client_escape(deployment ?: "");
        struct zl_client_request request = { .method = "DELETE" };

        if (!escaped || !of ||
            asprintf(&path, "/v1/secrets?name=%s%s%s", escaped, deployment ? "&deployment=" : "",
                     of) < 0) {
                path = NULL;
                return zl_fail_oom(err);
        }
        request.path = path;
        return zl_client_ask(cli, &request, NULL, err);
}

/* ---- set -------------------------------------------------------------------------------------------------------- */

/* One line break at the end is the editor's, or that of echo, not the secret's. */
static size_t without_newline(const char *value, size_t len)
{
        if (len > 0 && value[len - 1] == '\n')
                len--;
        if (len > 0 && value[len - 1] == '\r')
                len--;
        return len;
}

static int run_set(struct zl_cli *cli, void *options, int argc, char **argv)
{
        const struct secret_options *o = options;
        _cleanup_secrets_ struct zl_secrets *secrets = NULL;
        _cleanup_secret_target_ struct zl_secret_target t = { 0 };
        struct zl_error err = ZL_ERROR_INIT;
        const char *path = o->file ? o->file : "-";
        bool by_daemon;
        char *value = NULL;
        size_t len = 0, wiped;
        int r;

        (void)argc;
        r = zl_secret_target_parse(argv[0], o->deployment, &t, &err);
        by_daemon = r == 0 && zl_client_has_daemon(cli);
        if (r == 0 && !by_daemon)
                r = open_store(cli, &secrets, &err);
        if (r == 0 && !o->file && isatty(STDIN_FILENO))
                fprintf(stderr, "value of %s, ended by ^D: ", argv[0]);
        if (r == 0)
                r = zl_cli_read_input(path, ZL_SECRET_VALUE_MAX + 2, &value, &len, &err);
        wiped = len;
        if (r == 0 && !o->file)
                len = without_newline(value, len);
        if (r == 0 && by_daemon)
                r = set_by_daemon(cli, argv[0], o->deployment, value, len, &err);
        else if (r == 0)
                r = zl_secret_put(secrets, t.scope, t.ref.name, value, len, &err);
        if (value)
                explicit_bzero(value, wiped);
        free(value);
        return r < 0 ? zl_cli_fail_argument(cli, &err) : ZL_EXIT_OK;
}

/* ---- rm --------------------------------------------------------------------------------------------------------- */

static int remove_one(struct zl_secrets *secrets, const char *text, const char *deployment,
                      struct zl_error *err)
{
        _cleanup_secret_target_ struct zl_secret_target t = { 0 };
        int r = zl_secret_target_parse(text, deployment, &t, err);

        return r < 0 ? r : zl_secret_remove(secrets, t.scope, t.ref.name, err);
}

struct removal {
        struct zl_cli *cli;
        struct zl_secrets *secrets; /* NULL: the daemon does it */
        const char *deployment;
};

static int remove_each(void *data, const char *name, struct zl_error *err)
{
        const struct removal *r = data;

        return r->secrets ? remove_one(r->secrets, name, r->deployment, err)
                          : remove_by_daemon(r->cli, name, r->deployment, err);
}

static int run_rm(struct zl_cli *cli, void *options, int argc, char **argv)
{
        const struct secret_options *o = options;
        _cleanup_secrets_ struct zl_secrets *secrets = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        struct removal removal = { .cli = cli, .deployment = o->deployment };

        (void)argc;
        if (!zl_client_has_daemon(cli) && open_store(cli, &secrets, &err) < 0)
                return zl_cli_fail(cli, &err);
        removal.secrets = secrets;
        return zl_cli_each(cli, argv, remove_each, &removal);
}

/* ---- ls --------------------------------------------------------------------------------------------------------- */

static int print_list(struct zl_cli *cli, const struct zl_secret_info *infos, size_t n)
{
        static const char *const headers[] = { "SCOPE", "NAME", "UPDATED", NULL };
        _cleanup_table_ struct zl_cli_table *table = zl_cli_table_new(headers);
        _cleanup_json_ json_t *array = json_array();

        if (!table || !array)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                char time[ZL_RFC3339_SIZE];
                json_t *o = json_pack("{s:s, s:s, s:s}", "scope", infos[i].scope, "name",
                                      infos[i].name, "updated_at",
                                      zl_format_rfc3339(infos[i].updated_at, time));

                zl_cli_table_cell(table, *infos[i].scope ? infos[i].scope : NULL);
                zl_cli_table_cell(table, infos[i].name);
                zl_cli_table_cell(table, time);
                if (!o || json_array_append_new(array, o) < 0)
                        return -ENOMEM;
        }
        return cli->json ? zl_cli_print_json(array) : zl_cli_table_print(table, cli, stdout);
}

static int run_ls(struct zl_cli *cli, void *options, int argc, char **argv)
{
        _cleanup_secrets_ struct zl_secrets *secrets = NULL;
        struct zl_secret_info *infos = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        size_t n = 0;
        int r = open_store(cli, &secrets, &err);

        (void)options;
        (void)argc;
        (void)argv;
        if (r == 0)
                r = zl_secret_list(secrets, &infos, &n, &err);
        if (r == 0 && print_list(cli, infos, n) < 0)
                r = zl_fail_oom(&err);
        zl_secret_info_free(infos, n);
        return r < 0 ? zl_cli_fail(cli, &err) : ZL_EXIT_OK;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define DEPLOYMENT_OPTION                                                                          \
        {                                                                                          \
                "deployment", 'd', ZL_CLI_STRING, offsetof(struct secret_options, deployment),     \
                        "NAME", "of this deployment only (default: of all)"                        \
        }

static const struct zl_cli_option set_options[] = {
        DEPLOYMENT_OPTION,
        { "file", 'f', ZL_CLI_STRING, offsetof(struct secret_options, file), "PATH",
          "take the value from this file, byte for byte (default: standard input)" },
        { 0 },
};
static const struct zl_cli_option rm_options[] = { DEPLOYMENT_OPTION, { 0 } };

static const struct zl_cli_command cmd_set = {
        .name = "set",
        .args = "SECRET",
        .summary = "Store a secret, or replace it",
        .details =
                "SECRET is NAME, @SERVICE/NAME (with --deployment), :ENVIRONMENT/NAME or\n"
                "PROJECT:ENVIRONMENT/NAME; a spec names it by the same text behind \"$S:\". A line break\n"
                "at the end of standard input is not part of the value. Workloads that are started\n"
                "from now on get the new value.",
        .options = set_options,
        .options_size = sizeof(struct secret_options),
        .min_args = 1,
        .max_args = 1,
        .run = run_set,
};
static const struct zl_cli_command cmd_ls = {
        .name = "ls", .args = "", .summary = "List secrets, without their values", .run = run_ls
};
static const struct zl_cli_command cmd_rm = { .name = "rm",
                                              .args = "SECRET…",
                                              .summary = "Remove secrets",
                                              .options = rm_options,
                                              .options_size = sizeof(struct secret_options),
                                              .min_args = 1,
                                              .max_args = UINT32_MAX,
                                              .run = run_rm };
static const struct zl_cli_command *const sub_commands[] = { &cmd_set, &cmd_ls, &cmd_rm, NULL };

const struct zl_cli_command zl_cmd_secret = {
        .name = "secret",
        .args = "",
        .summary = "Secrets for workloads, stored encrypted",
        .sub_commands = sub_commands,
};
