/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

/* Reads $ZLAYER_CONFIG or /etc/zlayer/agent.yaml, and sets the environment variables of what stands there as far as they are not set.
 * Call it before anything else looks at them, with one thread. ZL_E_CONFIGURATION names file, line and what is wrong. */
int zl_cli_config_load(struct zl_error *err);
