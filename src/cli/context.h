/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the commands about containers share: the store, the list of all containers, which of them the arguments
 * mean, and doing one thing to each of them.
 */
#pragma once

#include "agent/store.h"
#include "agent/view.h"
#include "cli/cli.h"

/* Runtime and store opened, list loaded. `store` is NULL if there is none yet. */
struct zl_cli_context {
        struct zl_runtime *rt; /* belongs to the struct zl_cli */
        struct zl_store *store;
        struct zl_view_list views;
};
/* With what `names` (NULL-terminated) may mean: only those can be found in it. NULL or none: all there are. */
int zl_cli_context_open(struct zl_cli *cli, char *const *names, struct zl_cli_context *ret,
                        struct zl_error *err);
void zl_cli_context_done(struct zl_cli_context *context);
#define _cleanup_context_ _cleanup_(zl_cli_context_done)

/* Exactly one container. A service of several replicas is ambiguous (ZL_E_INVALID) unless `first` allows its first
 * running one. `*ret` points into the context. */
int zl_cli_find_one(const struct zl_cli_context *context, const char *name, bool first,
                    const struct zl_view **ret, struct zl_error *err);

/* down.c: ends a deployment and removes its containers, whoever looks after it. */
int zl_cli_down(struct zl_cli *cli, struct zl_store *store, const char *deployment,
                struct zl_error *err);
/* A replica that is only being prepared: ZL_E_STATE. */
int zl_cli_fail_not_there(const struct zl_view *view, struct zl_error *err);

/* Calls `each` for all that the names (a NULL-terminated vector) mean. Errors are printed and the next one is tried; returns the exit code. Replicas
 * that are only being prepared are passed too. */
int zl_cli_for_each(struct zl_cli *cli, const struct zl_cli_context *context, char **names,
                    int (*each)(struct zl_cli *cli, const struct zl_cli_context *context,
                                const struct zl_view *view, void *data, struct zl_error *err),
                    void *data);
