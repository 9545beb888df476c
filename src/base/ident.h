/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity of a workload: deployment / service / replica. This is the only module that makes the name
 * under which it stands on disk, in cgroups and in messages: "DEPLOYMENT.SERVICE.REPLICA".
 *
 * Grammar of both parts: a letter or digit, then letters, digits, '-' and '_'; 1 to 63 bytes (a spec wants at
 * least 3 for a deployment). A spec may hold service names outside it; they are refused when deployed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { ZL_IDENT_NAME_MAX = 63 + 1 + 63 + 1 + 10 + 1 };

/* The deployment under which `run` puts single containers. One that is to be restarted needs an agent, and so a deployment of its own: NAME is
 * run-NAME.NAME.1 then. */
#define ZL_IDENT_RUN_DEPLOYMENT "run"
#define ZL_IDENT_RUN_PREFIX "run-"

struct zl_ident {
        char deployment[64];
        char service[64];
        uint32_t replica; /* from 1 */
};

bool zl_ident_part_is_valid(const char *part) _pure_;
int zl_ident_make(struct zl_ident *ret, const char *deployment, const char *service,
                  uint32_t replica, struct zl_error *err);
/* Writes the full name; returns buf. */
char *zl_ident_name(const struct zl_ident *id, char buf[ZL_IDENT_NAME_MAX]);
/* Reads a full name. 0 or -EINVAL. */
int zl_ident_parse(const char *name, struct zl_ident *ret);
/* The full name of what a spec of `deployment` calls "NAME", "SERVICE" or "SERVICE-rep-N". 0 or -EINVAL. */
int zl_ident_resolve(const char *text, const char *deployment, char ret[ZL_IDENT_NAME_MAX]);
/* Did `run` make it, to be restarted? And, of zl_ident_is_run(), at all? */
bool zl_ident_is_kept_run(const struct zl_ident *id) _pure_;
bool zl_ident_is_run(const struct zl_ident *id) _pure_;
bool zl_ident_equal(const struct zl_ident *a, const struct zl_ident *b) _pure_;
