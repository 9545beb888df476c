/* SPDX-License-Identifier: Apache-2.0 */
/* What other commands have from `up`. */
#pragma once

#include "cli/cli.h"

/* Begins one more execution of a job whose deployment has finished and has no agent: one in the background takes the deployment up
 * for it, says the name of the execution and ends when that is over. Returns the exit code (twice: the agent's process comes
 * back, too, when it ends) and has printed what is to be said; or ZL_UP_DAEMON_THERE: a daemon has come up, it is to be asked. */
int zl_up_for_job(struct zl_cli *cli, const char *deployment, const char *service);
#define ZL_UP_DAEMON_THERE (-1)

struct zl_deployment_spec;
/* What `up -d` does with a file. Takes over `*spec`. `again`: nothing else of it than this replica, which has ended, is started, by an agent in the
 * background; or NULL. Returns the exit code, as above twice: in the process of the agent when that ends. */
int zl_up_spec(struct zl_cli *cli, struct zl_deployment_spec **spec, const char *again);
