/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which containers there are and which one a name means, for handlers on workers. The runtime is asked there, where it may
 * block; what the agent remembers comes from the store, which belongs to the loop, so it is fetched in begin().
 */
#include "api/views.h"
#include "agent/view.h"
#include "api/internal.h"

static void drop_stored(void *data)
{
        struct zl_api_stored *stored = data;

        zl_stored_replica_free(stored->replicas, stored->n);
        free(stored);
}

static int fetch(struct zl_api_request *rq, bool empty, struct zl_error *err)
{
        struct zl_api_stored *stored = calloc(1, sizeof(*stored));

        if (!stored)
                return zl_fail_oom(err);
        rq->data = stored;
        rq->drop = drop_stored;
        if (empty)
                return 0;
        return zl_store_list_replicas(zl_manager_store(rq->api->manager), rq->name,
                                      &stored->replicas, &stored->n, err);
}

int zl_api_fetch_stored(struct zl_api_request *rq, struct zl_error *err)
{
        return fetch(rq, false, err);
}

int zl_api_fetch_meaning(struct zl_api_request *rq, struct zl_error *err)
{
        struct zl_ident id;

        return fetch(rq, zl_ident_parse(rq->name, &id) >= 0, err);
}

int zl_api_load_views(struct zl_api_request *rq, struct zl_view_list *ret, struct zl_error *err)
{
        struct zl_api_stored *stored = rq->data;
        char *names[] = { rq->name, NULL };
        const struct zl_view_query query = { .rt = rq->api->rt,
                                             .runtime_dir = rq->api->options.runtime_dir,
                                             .names = rq->name ? names : NULL,
                                             .deployment = rq->name };

        return zl_view_load_stored(&query, stored->replicas, stored->n, ret, err);
}

int zl_api_choose(const struct zl_view_list *views, const char *name, bool running,
                  const struct zl_view **ret, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf names = ZL_BUF_INIT(2000);
        _cleanup_free_ size_t *found = NULL;
        size_t n = 0;
        int r = zl_view_find(views, name, &found, &n, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                const struct zl_view *view = &views->items[found[i]];

                if (n == 1 || (running && view->status.state == ZL_STATE_RUNNING)) {
                        *ret = view;
                        return 0;
                }
                zl_buf_putf(&names, "%s%s", i ? ", " : "", view->status.name);
        }
        if (running)
                return zl_fail(err, ZL_E_STATE, 0, "no replica of \"%s\" is running", name);
        r = zl_fail(err, ZL_E_INVALID, 0, "\"%s\" has %zu replicas", name, n);
        zl_error_hint(err, "say which: %s", zl_buf_error(&names) < 0 ? "see ps" : names.data);
        return r;
}

int zl_api_resolve(struct zl_api_request *rq, bool running, char ret[ZL_IDENT_NAME_MAX],
                   struct zl_error *err)
{
        _cleanup_views_ struct zl_view_list views = { 0 };
        const struct zl_view *view;
        struct zl_ident id;
        int r;

        /* A full name needs no look at all the others. */
        if (zl_ident_parse(rq->name, &id) >= 0) {
                zl_ident_name(&id, ret);
                return 0;
        }
        r = zl_api_load_views(rq, &views, err);
        if (r >= 0)
                r = zl_api_choose(&views, rq->name, running, &view, err);
        if (r < 0)
                return r;
        if (!view->is_real)
                return zl_fail(err, ZL_E_STATE, 0, "%s has not been created yet",
                               view->status.name);
        snprintf(ret, ZL_IDENT_NAME_MAX, "%s", view->status.name);
        return 0;
}
