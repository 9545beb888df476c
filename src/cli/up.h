/* SPDX-License-Identifier: Apache-2.0 */
/* What other commands have from `up`. */
#pragma once

#include "cli/cli.h"

/* Begins one more execution of a job whose deployment has finished and has no agent: one in the background takes the deployment up
 * for it, says the name of the execution and ends when that is over. Returns the exit code (twice: the agent's process comes
 * back, too, when it ends) and has printed what is to be said; or ZL_UP_DAEMON_THERE: a daemon has come up, it is to be asked. */
int zl_up_for_job(struct zl_cli *cli, const char *deployment, const char *service);
#define ZL_UP_DAEMON_THERE (-1)
