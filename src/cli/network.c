/* SPDX-License-Identifier: Apache-2.0 */
/* `network ls|create|rm|inspect|prune`: networks of containers. That of a deployment is called DEPLOYMENT_default. */
#include "base/json.h"
#include "cli/cli.h"
#include "runtimes/networks.h"

static struct zl_networks networks_of(const struct zl_cli *cli)
{
        return (struct zl_networks){ .root_dir = cli->root_dir, .runtime_dir = cli->runtime_dir };
}

static int print_list(struct zl_cli *cli, const json_t *list)
{
        static const char *const headers[] = { "NAME",   "SUBNET",     "SUBNET6",
                                               "BRIDGE", "CONTAINERS", NULL };
        _cleanup_table_ struct zl_cli_table *table = zl_cli_table_new(headers);
        const json_t *n;
        size_t i;

        if (!table)
                return -ENOMEM;
        json_array_foreach(list, i, n)
        {
                zl_cli_table_cell(table, zl_json_str(n, "name", ""));
                zl_cli_table_cell(table, zl_json_str(n, "subnet4", "-"));
                zl_cli_table_cell(table, zl_json_str(n, "subnet6", "-"));
                zl_cli_table_cell(table, zl_json_str(n, "bridge", "-"));
                zl_cli_table_cellf(table, "%zu", json_array_size(json_object_get(n, "containers")));
        }
        return zl_cli_table_print(table, cli, stdout);
}

static int run_ls(struct zl_cli *cli, void *options, int argc, char **argv)
{
        const struct zl_networks networks = networks_of(cli);
        _cleanup_json_ json_t *list = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        int r;

        (void)options;
        (void)argc;
        (void)argv;
        r = zl_networks_list(&networks, &list, &err);
        if (r == 0 && (cli->json ? zl_cli_print_json(list) : print_list(cli, list)) < 0)
                r = zl_fail_oom(&err);
        return r < 0 ? zl_cli_fail(cli, &err) : ZL_EXIT_OK;
}

static int create_one(void *networks, const char *name, struct zl_error *err)
{
        return zl_networks_create(networks, name, err);
}

static int run_create(struct zl_cli *cli, void *options, int argc, char **argv)
{
        struct zl_networks networks = networks_of(cli);

        (void)options;
        (void)argc;
        return zl_cli_each(cli, argv, create_one, &networks);
}

static int remove_one(void *networks, const char *name, struct zl_error *err)
{
        return zl_networks_remove(networks, name, err);
}

static int run_rm(struct zl_cli *cli, void *options, int argc, char **argv)
{
        struct zl_networks networks = networks_of(cli);

        (void)options;
        (void)argc;
        return zl_cli_each(cli, argv, remove_one, &networks);
}

static json_t *find_network(const json_t *list, const char *name)
{
        json_t *n;
        size_t i;

        json_array_foreach(list, i, n) if (zl_streq(zl_json_str(n, "name", ""), name)) return n;
        return NULL;
}

static int run_inspect(struct zl_cli *cli, void *options, int argc, char **argv)
{
        const struct zl_networks networks = networks_of(cli);
        _cleanup_json_ json_t *list = NULL, *found = json_array();
        struct zl_error err = ZL_ERROR_INIT;
        int code = ZL_EXIT_OK;

        (void)options;
        (void)argc;
        if (zl_networks_list(&networks, &list, &err) < 0)
                return zl_cli_fail(cli, &err);
        for (; *argv; argv++) {
                json_t *n = find_network(list, *argv);

                if (n) {
                        json_array_append(found, n);
                        continue;
                }
                zl_fail(&err, ZL_E_NOT_FOUND, 0, "there is no network %s", *argv);
                code = zl_cli_fail(cli, &err);
        }
        if (zl_cli_print_json(found) < 0) {
                zl_fail_oom(&err);
                code = zl_cli_fail(cli, &err);
        }
        return code;
}

static int run_prune(struct zl_cli *cli, void *options, int argc, char **argv)
{
        const struct zl_networks networks = networks_of(cli);
        _cleanup_json_ json_t *list = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        int code = ZL_EXIT_OK;
        json_t *n;
        size_t i;

        (void)options;
        (void)argc;
        (void)argv;
        if (zl_networks_list(&networks, &list, &err) < 0)
                return zl_cli_fail(cli, &err);
        json_array_foreach(list, i, n)
        {
                const char *name = zl_json_str(n, "name", "");

                if (json_array_size(json_object_get(n, "containers")) > 0)
                        continue;
                if (zl_networks_remove(&networks, name, &err) == 0)
                        puts(name);
                else if (err.code == ZL_E_BUSY || err.code == ZL_E_NOT_FOUND)
                        zl_error_done(&err); /* meanwhile */
                else
                        code = zl_cli_fail(cli, &err);
        }
        return code;
}

static const struct zl_cli_command cmd_ls = {
        .name = "ls", .args = "", .summary = "List networks", .run = run_ls
};
static const struct zl_cli_command cmd_create = {
        .name = "create",
        .args = "NAME…",
        .summary = "Make networks",
        .details =
                "A network that a container or a deployment asks for is made without this, and goes with the last "
                "container. One that was made here stays, also over a restart of the machine, until it is removed.",
        .min_args = 1,
        .max_args = UINT32_MAX,
        .run = run_create
};
static const struct zl_cli_command cmd_rm = { .name = "rm",
                                              .args = "NAME…",
                                              .summary = "Remove networks that no container is in",
                                              .min_args = 1,
                                              .max_args = UINT32_MAX,
                                              .run = run_rm };
static const struct zl_cli_command cmd_inspect = { .name = "inspect",
                                                   .args = "NAME…",
                                                   .summary = "Show networks and who is in them",
                                                   .min_args = 1,
                                                   .max_args = UINT32_MAX,
                                                   .run = run_inspect };
static const struct zl_cli_command cmd_prune = {
        .name = "prune",
        .args = "",
        .summary = "Remove all networks that no container is in",
        .run = run_prune
};
static const struct zl_cli_command *const sub_commands[] = { &cmd_ls,      &cmd_create, &cmd_rm,
                                                             &cmd_inspect, &cmd_prune,  NULL };

const struct zl_cli_command zl_cmd_network = {
        .name = "network",
        .args = "",
        .summary = "Networks of containers",
        .sub_commands = sub_commands,
};
