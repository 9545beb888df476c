/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A single container of `run` that is to be restarted. Somebody has to do that, so it is a deployment of one service with one replica: NAME
 * is run-NAME.NAME.1, and everything else (agents, the daemon, what a reboot leaves) is as with any deployment.
 */
#pragma once

#include <zlayer/runtime.h>
#include <zlayer/spec.h>

#include "base/ident.h"

/* Does the spec of a single container ask for it? */
bool zl_kept_run_is_wanted(const struct zl_service_spec *spec) _pure_;
/* ZL_E_INVALID if a deployment cannot be called so. */
int zl_kept_run_ident(const char *name, struct zl_ident *ret, struct zl_error *err);
/* The wish. Values of its environment are literal: one that a deployment would take for a reference is refused. Freed by the caller. */
int zl_kept_run_spec(const struct zl_ident *ident, const struct zl_service_spec *service,
                     struct zl_deployment_spec **ret, struct zl_error *err);
/* Before a container of `run` is made: ZL_E_EXISTS if there is one of this name and the other kind, or the same kind if that is `kept`: a wish
 * would change it. */
int zl_kept_run_check_free(struct zl_runtime *rt, const char *name, bool kept,
                           struct zl_error *err);
