/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of subcommands, in the order in which the help shows them. One file per command; this is
 * the only place that knows them all.
 */
#include "cli/cli.h"

const struct zl_cli_command *const zl_cli_commands[] = {
        &zl_cmd_validate, &zl_cmd_schema, &zl_cmd_image, &zl_cmd_version, NULL,
};
