/* SPDX-License-Identifier: Apache-2.0 */
/* What `job` and `cron` share: names, and asking the agent of a deployment. */
#pragma once

#include "base/ident.h"
#include "cli/cli.h"

struct zl_cli_job_name {
        char deployment[64], service[64];
};
/* "DEPLOYMENT.SERVICE". */
int zl_cli_job_parse(const char *text, struct zl_cli_job_name *ret, struct zl_error *err);
/* One request of agent/job_request.h; `*ret_answer` is freed by the caller. */
int zl_cli_job_ask(struct zl_cli *cli, const char *deployment, const char *verb, const char *what,
                   char **ret_answer, struct zl_error *err);
