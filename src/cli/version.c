/* SPDX-License-Identifier: Apache-2.0 */
/* `version`: which program this is. */
#include "base/json.h"
#include "cli/cli.h"

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        (void)options;
        (void)argc;
        (void)argv;
        if (cli->json)
                printf("{\"version\":\"%s\",\"spec\":\"v1\",\"compiler\":\"%s\"}\n", ZL_VERSION,
                       __VERSION__);
        else
                printf("%s %s (spec v1)\n", cli->program, ZL_VERSION);
        return ZL_EXIT_OK;
}

const struct zl_cli_command zl_cmd_version = {
        .name = "version",
        .args = "",
        .summary = "Show the version of the program",
        .run = run,
};
