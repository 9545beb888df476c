/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `ps` and its like show: the runtime's truth about every workload, joined with what the agent remembers of it
 * (restarts, why it is not running), and replicas that the agent is still preparing. Also: which of them a NAME means.
 */
#pragma once

#include <stdbool.h>

#include <zlayer/runtime.h>

#include "agent/store.h"
#include "base/ident.h"
#include "base/json.h"

struct zl_view {
        struct zl_status status; /* name, image, state … */
        struct zl_ident id;
        bool is_real; /* the runtime knows it; else it is only being prepared */
        uint32_t restarts;
        char *health; /* as the agent that looks after it sees it; NULL: nobody looks */
};

struct zl_view_list {
        struct zl_view *items; /* in order of deployment, service, replica number */
        size_t n;
};
void zl_view_list_done(struct zl_view_list *list);
#define _cleanup_views_ _cleanup_(zl_view_list_done)

struct zl_view_query {
        struct zl_runtime *rt;
        const char *runtime_dir; /* tells which deployments have an agent */
        /* Only those that one of these names may mean (NULL-terminated), and those of this deployment. Of the others nothing is
         * read. Both NULL: all there are. */
        char *const *names;
        const char *deployment;
};
/* `store` may be NULL. */
int zl_view_load(const struct zl_view_query *query, struct zl_store *store,
                 struct zl_view_list *ret, struct zl_error *err);
/* The same with what zl_store_list_replicas() has returned, for another thread than the store's. */
int zl_view_load_stored(const struct zl_view_query *query, const struct zl_stored_replica *stored,
                        size_t n_stored, struct zl_view_list *ret, struct zl_error *err);

/* The object of `ps --json`. NULL without memory. */
json_t *zl_view_to_json(const struct zl_view *view);

/* Which items NAME means: a full name DEPLOYMENT.SERVICE.REPLICA, the name given to `run`, or all replicas of
 * DEPLOYMENT.SERVICE, or of SERVICE if only one deployment has such a service. `*ret` is an array of indices, freed by
 * the caller. ZL_E_NOT_FOUND, or ZL_E_INVALID if it is ambiguous, with the candidates in the hint. */
int zl_view_find(const struct zl_view_list *list, const char *name, size_t **ret, size_t *ret_n,
                 struct zl_error *err);
