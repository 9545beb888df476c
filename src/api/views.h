/* SPDX-License-Identifier: Apache-2.0 */
/* Which containers there are, for handlers of the API that work on them. */
#pragma once

#include "agent/view.h"
#include "api/internal.h"

struct zl_api_stored {
        struct zl_stored_replica *replicas;
        size_t n;
        bool known; /* for the handlers of deployments */
};

/* On the loop: fetches what the agent remembers (of what rq->name may mean) into rq->data, which must be free. */
int zl_api_fetch_stored(struct zl_api_request *rq, struct zl_error *err);
/* The same for handlers that ask zl_api_resolve() and nothing else: of a full name nothing is looked up, which took a tenth of an exec's time
 * in the agent. */
int zl_api_fetch_meaning(struct zl_api_request *rq, struct zl_error *err);

/* On a worker, after zl_api_fetch_stored(): what rq->name may mean, as a container or as a deployment; without a name everything. */
int zl_api_load_views(struct zl_api_request *rq, struct zl_view_list *ret, struct zl_error *err);
/* The one that `name` means; of a service with several replicas the first that runs if `running`. */
int zl_api_choose(const struct zl_view_list *views, const char *name, bool running,
                  const struct zl_view **ret, struct zl_error *err);
/* On a worker, after zl_api_fetch_meaning(): the full name that rq->name means. */
int zl_api_resolve(struct zl_api_request *rq, bool running, char ret[ZL_IDENT_NAME_MAX],
                   struct zl_error *err);
