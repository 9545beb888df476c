/* SPDX-License-Identifier: Apache-2.0 */
/* `schema`: the JSON Schema of deployment specs, for editors and other checkers. */
#include <zlayer/spec.h>

#include "cli/cli.h"

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        _cleanup_free_ char *text = zl_spec_json_schema();
        struct zl_error err = ZL_ERROR_INIT;

        (void)options;
        (void)argc;
        (void)argv;
        if (!text) {
                zl_fail_oom(&err);
                return zl_cli_fail(cli, &err);
        }
        puts(text);
        return zl_cli_finish(cli, ZL_EXIT_OK);
}

const struct zl_cli_command zl_cmd_schema = {
        .name = "schema",
        .args = "",
        .summary = "Print the JSON Schema of deployment specs",
        .details =
                "An editor that is given it completes and checks spec files (draft 2020-12). `validate` checks "
                "more than the schema can say.",
        .run = run,
};
