/* SPDX-License-Identifier: Apache-2.0 */
/* `volume ls|create|rm|inspect|prune`: named volumes. Those of a deployment are called DEPLOYMENT.NAME. */
#include "runtimes/volume.h"
#include "runtimes/environment.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strv.h"
#include "cli/cli.h"

static json_t *info_json(const struct zl_volume_info *info)
{
        char time[ZL_RFC3339_SIZE];
        json_t *users = json_array();

        ZL_STRV_FOREACH(user, info->users)
                json_array_append_new(users, json_string(*user));
        return json_pack("{s:s, s:s, s:o, s:s}", "name", info->name, "path", info->path, "users",
                         users, "created_at", zl_format_rfc3339(info->created_at, time));
}

static int print_list(struct zl_cli *cli, const struct zl_volume_info *infos, size_t n)
{
        static const char *const headers[] = { "NAME", "USERS", "PATH", NULL };
        _cleanup_table_ struct zl_cli_table *table = zl_cli_table_new(headers);
        _cleanup_json_ json_t *array = json_array();

        if (!table || !array)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                zl_cli_table_cell(table, infos[i].name);
                zl_cli_table_cellf(table, "%zu", zl_strv_len(infos[i].users));
                zl_cli_table_cell(table, infos[i].path);
                if (json_array_append_new(array, info_json(&infos[i])) < 0)
                        return -ENOMEM;
        }
        return cli->json ? zl_cli_print_json(array) : zl_cli_table_print(table, cli, stdout);
}

static int run_ls(struct zl_cli *cli, void *options, int argc, char **argv)
{
        _cleanup_volumes_ struct zl_volumes *volumes = NULL;
        struct zl_volume_info *infos = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        size_t n = 0;
        int r;

        (void)options;
        (void)argc;
        (void)argv;
        r = zl_volumes_open(cli->root_dir, &volumes, &err);
        if (r >= 0)
                r = zl_volume_list(volumes, &infos, &n, &err);
        if (r >= 0 && print_list(cli, infos, n) < 0)
                r = zl_fail_oom(&err);
        zl_volume_info_free(infos, n);
        return r < 0 ? zl_cli_fail(cli, &err) : ZL_EXIT_OK;
}

static int run_each(struct zl_cli *cli, char **argv,
                    int (*each)(void *volumes, const char *name, struct zl_error *err))
{
        _cleanup_volumes_ struct zl_volumes *volumes = NULL;
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_volumes_open(cli->root_dir, &volumes, &err) < 0)
                return zl_cli_fail(cli, &err);
        return zl_cli_each(cli, argv, each, volumes);
}

static int create_one(void *volumes, const char *name, struct zl_error *err)
{
        return zl_volume_create(volumes, name, err);
}

static int run_create(struct zl_cli *cli, void *options, int argc, char **argv)
{
        (void)options;
        (void)argc;
        return run_each(cli, argv, create_one);
}

static int remove_one(void *volumes, const char *name, struct zl_error *err)
{
        return zl_volume_remove(volumes, name, err);
}

static int run_rm(struct zl_cli *cli, void *options, int argc, char **argv)
{
        (void)options;
        (void)argc;
        return run_each(cli, argv, remove_one);
}

static int run_inspect(struct zl_cli *cli, void *options, int argc, char **argv)
{
        _cleanup_volumes_ struct zl_volumes *volumes = NULL;
        _cleanup_json_ json_t *array = json_array();
        struct zl_error err = ZL_ERROR_INIT;
        int code = ZL_EXIT_OK;

        (void)options;
        (void)argc;
        if (zl_volumes_open(cli->root_dir, &volumes, &err) < 0)
                return zl_cli_fail(cli, &err);
        for (; *argv; argv++) {
                struct zl_volume_info info = { 0 };

                if (zl_volume_inspect(volumes, *argv, &info, &err) < 0) {
                        code = zl_cli_fail(cli, &err);
                        continue;
                }
                json_array_append_new(array, info_json(&info));
                zl_volume_info_done(&info);
        }
        if (zl_cli_print_json(array) < 0) {
                zl_fail_oom(&err);
                code = zl_cli_fail(cli, &err);
        }
        return code;
}

static int run_prune(struct zl_cli *cli, void *options, int argc, char **argv)
{
        _cleanup_volumes_ struct zl_volumes *volumes = NULL;
        _cleanup_free_ char *containers = zl_environment_dir("ZLAYER_STATE_DIR", cli->root_dir,
                                                             "containers");
        _cleanup_strv_ char **names = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        char size[ZL_CLI_TEXT_SIZE];
        uint64_t bytes = 0;
        int r;

        (void)options;
        (void)argc;
        (void)argv;
        r = containers ? zl_volumes_open(cli->root_dir, &volumes, &err) : zl_fail_oom(&err);
        if (r >= 0)
                r = zl_volume_prune(volumes, containers, &names, &bytes, &err);
        if (r < 0)
                return zl_cli_fail(cli, &err);
        ZL_STRV_FOREACH(name, names)
                puts(*name);
        fprintf(stderr, "%s freed\n", zl_cli_format_size(bytes, size));
        return ZL_EXIT_OK;
}

static const struct zl_cli_command cmd_ls = {
        .name = "ls", .args = "", .summary = "List named volumes", .run = run_ls
};
static const struct zl_cli_command cmd_create = { .name = "create",
                                                  .args = "NAME…",
                                                  .summary = "Make volumes",
                                                  .min_args = 1,
                                                  .max_args = UINT32_MAX,
                                                  .run = run_create };
static const struct zl_cli_command cmd_rm = { .name = "rm",
                                              .args = "NAME…",
                                              .summary = "Remove volumes that nobody uses",
                                              .min_args = 1,
                                              .max_args = UINT32_MAX,
                                              .run = run_rm };
static const struct zl_cli_command cmd_inspect = { .name = "inspect",
                                                   .args = "NAME…",
                                                   .summary = "Show volumes and who uses them",
                                                   .min_args = 1,
                                                   .max_args = UINT32_MAX,
                                                   .run = run_inspect };
static const struct zl_cli_command cmd_prune = { .name = "prune",
                                                 .args = "",
                                                 .summary = "Remove all volumes that nobody uses",
                                                 .run = run_prune };
static const struct zl_cli_command *const sub_commands[] = { &cmd_ls,      &cmd_create, &cmd_rm,
                                                             &cmd_inspect, &cmd_prune,  NULL };

const struct zl_cli_command zl_cmd_volume = {
        .name = "volume",
        .args = "",
        .summary = "Named volumes",
        .sub_commands = sub_commands,
};
