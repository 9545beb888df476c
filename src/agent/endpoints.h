/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Can the endpoints of a deployment be had? On a bridge always. Elsewhere there is no address to balance at, and what the workload does
 * not do itself nobody does: a wish that needs more is refused before anything starts, never dropped.
 */
#pragma once

#include <zlayer/spec.h>

#include "base/error.h"

/* For a wish that is new: one that was accepted by an earlier version goes on. ZL_E_INVALID, with the service and the endpoint. */
int zl_endpoints_check(const struct zl_deployment_spec *spec, struct zl_error *err);
/* Whether a service may have so many replicas. */
int zl_endpoints_check_scale(const char *service, const struct zl_service_spec *spec,
                             uint32_t replicas, struct zl_error *err);
