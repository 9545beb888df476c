/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of subcommands, in the order in which the help shows them. One file per command; this is
 * the only place that knows them all.
 */
#include "cli/cli.h"

const struct zl_cli_command *const zl_cli_commands[] = {
        &zl_cmd_up,      &zl_cmd_down,    &zl_cmd_scale,   &zl_cmd_validate,
        &zl_cmd_schema,  &zl_cmd_run,     &zl_cmd_ps,      &zl_cmd_logs,
        &zl_cmd_exec,    &zl_cmd_stop,    &zl_cmd_start,   &zl_cmd_restart,
        &zl_cmd_kill,    &zl_cmd_rm,      &zl_cmd_inspect, &zl_cmd_stats,
        &zl_cmd_top,     &zl_cmd_serve,   &zl_cmd_wait,    &zl_cmd_why,
        &zl_cmd_events,  &zl_cmd_image,   &zl_cmd_job,     &zl_cmd_cron,
        &zl_cmd_volume,  &zl_cmd_network, &zl_cmd_secret,  &zl_cmd_info,
        &zl_cmd_version, &zl_cmd_cp,      &zl_cmd_attach,  NULL,
};
