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
#include "agent/store.h"

/* The stored spec of a deployment that nobody looks after, so that one more execution of its job `service` can be begun: taken up again
 * with it, nothing else comes back to life. `finished`: it is known to have ended by itself; else it must have jobs alone.
 * ZL_E_NOT_FOUND if it is not so. Freed by the caller. */
int zl_job_spec_at_rest(struct zl_store *store, const char *deployment, const char *service,
                        bool finished, struct zl_deployment_spec **ret, struct zl_error *err);

/* Does what the line says and makes the answer, freed by the caller. False if it is no request about jobs (or without
 * memory). */
bool zl_job_request(struct zl_agent *agent, const char *deployment, const char *line,
                    char **ret_answer);
