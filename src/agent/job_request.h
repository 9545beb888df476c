/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests about jobs on the control socket of a deployment (control.h), one line each:
 *
 *     job-run SERVICE        "ok NAME" of the execution
 *     job-cancel NAME        "ok"
 *     cron-enable SERVICE    "ok"
 *     cron-disable SERVICE   "ok"
 */
#pragma once

#include "agent/agent.h"

/* Does what the line says and makes the answer, freed by the caller. False if it is no request about jobs (or without
 * memory). */
bool zl_job_request(struct zl_agent *agent, const char *deployment, const char *line,
                    char **ret_answer);
