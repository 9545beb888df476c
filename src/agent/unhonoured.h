/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields of a spec that are accepted and cannot be honoured by the agent yet: named in a warning, never dropped in
 * silence. What the runtime cannot honour, it tells itself when a container is created.
 */
#pragma once

#include <zlayer/spec.h>

/* Calls `tell` once per wish; `name` is "DEPLOYMENT" or "DEPLOYMENT.SERVICE" and both texts are valid during the call. */
void zl_unhonoured(const struct zl_deployment_spec *spec,
                   void (*tell)(const char *name, const char *text, void *data), void *data);
