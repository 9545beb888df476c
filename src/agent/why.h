/* SPDX-License-Identifier: Apache-2.0 */
/* Why is something not running (or not well)? The chain of causes, in plain words, from what the core knows now. */
#pragma once

#include "agent/agent.h"

/* `name` is a deployment, DEPLOYMENT.SERVICE or a full name. `*ret` is a vector of sentences, the thing asked for first, then what
 * it waits for or failed of, one cause a line, deeper ones behind; freed by the caller. Does not block. ZL_E_NOT_FOUND if the core does
 * not look after it. */
int zl_agent_why(const struct zl_agent *agent, const char *name, char ***ret, struct zl_error *err);
