/* SPDX-License-Identifier: Apache-2.0 */
/* See view.h. */
#include "agent/view.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/control.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"
#include "runtimes/runtime.h"

void zl_view_list_done(struct zl_view_list *list)
{
        for (size_t i = 0; i < list->n; i++) {
                zl_status_done(&list->items[i].status);
                free(list->items[i].health);
        }
        free(list->items);
        *list = (struct zl_view_list){ 0 };
}

/* How well NAME fits: 3 full name, 2 deployment.service or a run, 1 service, 0 not. */
static int rank(const struct zl_ident *id, const char *name)
{
        const char *rest = zl_startswith(name, id->deployment);
        char full[ZL_IDENT_NAME_MAX];

        if (zl_streq(id->service, name))
                return zl_ident_is_run(id) ? 2 : 1;
        rest = rest && *rest == '.' ? zl_startswith(rest + 1, id->service) : NULL;
        if (!rest)
                return 0;
        return !*rest ? 2 : *rest == '.' && zl_streq(zl_ident_name(id, full), name) ? 3 : 0;
}

static bool is_wanted(const struct zl_ident *id, const void *data)
{
        const struct zl_view_query *q = data;

        if (!q->names && !q->deployment)
                return true;
        if (q->deployment && zl_streq(q->deployment, id->deployment))
                return true;
        for (char *const *name = q->names; name && *name; name++)
                if (rank(id, *name) > 0)
                        return true;
        return false;
}

static int compare_views(const void *a, const void *b)
{
        const struct zl_view *x = a, *y = b;
        int r = strcmp(x->id.deployment, y->id.deployment);

        if (r == 0)
                r = strcmp(x->id.service, y->id.service);
        return r ? r : (x->id.replica > y->id.replica) - (x->id.replica < y->id.replica);
}

static struct zl_view *append(struct zl_view_list *list)
{
        struct zl_view *items = reallocarray(list->items, list->n + 1, sizeof(*items));

        if (!items)
                return NULL;
        list->items = items;
        items[list->n] = (struct zl_view){ 0 };
        return &items[list->n++];
}

/* Has the deployment an agent? Asked once for all its replicas, which stand together. */
struct served {
        const char *runtime_dir;
        char deployment[64];
        bool yes;
};

static bool is_served(struct served *served, const char *deployment)
{
        if (!zl_streq(served->deployment, deployment)) {
                snprintf(served->deployment, sizeof(served->deployment), "%s", deployment);
                served->yes = zl_control_is_served(served->runtime_dir, deployment);
        }
        return served->yes;
}

/* What only the agent knows of a replica that the runtime has. */
static int join(struct zl_view *view, const struct zl_stored_replica *stored, struct served *served)
{
        bool runs = view->status.state == ZL_STATE_RUNNING || view->status.state == ZL_STATE_PAUSED;

        if (view->status.state == ZL_STATE_PENDING && zl_streq(stored->phase, "initializing"))
                view->status.state = ZL_STATE_INITIALIZING;
        view->restarts = ZL_MAX(view->restarts, stored->restarts);
        if (runs && stored->health && is_served(served, view->id.deployment) &&
            zl_replace_str(&view->health, stored->health) < 0)
                return -ENOMEM;
        if (view->status.state != ZL_STATE_EXITED && view->status.state != ZL_STATE_FAILED)
                return 0;
        if (zl_streq(stored->phase, "backoff") && !view->status.reason)
                return zl_replace_str(&view->status.reason, "waits to be restarted");
        if (!view->status.reason && stored->reason)
                return zl_replace_str(&view->status.reason, stored->reason);
        return 0;
}

static const struct {
        const char *phase;
        enum zl_workload_state state;
} preparing[] = {
        { "waiting", ZL_STATE_PENDING },       { "pulling", ZL_STATE_PENDING },
        { "creating", ZL_STATE_INITIALIZING }, { "backoff", ZL_STATE_PENDING },
        { "failed", ZL_STATE_FAILED },
};

/* A replica that the runtime does not have (yet). Told only as long as somebody works on it. */
static int add_prepared(const struct zl_view_query *query, struct zl_view_list *list,
                        const struct zl_stored_replica *stored, struct served *served)
{
        struct zl_ident id;
        struct zl_view *view;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(preparing); i++) {
                if (!zl_streq(preparing[i].phase, stored->phase))
                        continue;
                if (zl_ident_parse(stored->name, &id) < 0 || !is_wanted(&id, query) ||
                    !is_served(served, id.deployment))
                        return 0;
                view = append(list);
                if (!view)
                        return -ENOMEM;
                view->id = id;
                view->restarts = stored->restarts;
                view->status.state = preparing[i].state;
                view->status.exit_code = -1;
                if (zl_replace_str(&view->status.name, stored->name) < 0 ||
                    zl_replace_str(&view->status.image, stored->image) < 0 ||
                    zl_replace_str(&view->status.reason, stored->reason ?: stored->phase) < 0)
                        return -ENOMEM;
                return 0;
        }
        return 0;
}

static int join_stored(const struct zl_view_query *query, struct zl_view_list *list,
                       const struct zl_stored_replica *stored, size_t n, struct zl_error *err)
{
        _cleanup_map_ struct zl_map *by_name = zl_map_new(NULL);
        struct served served = { .runtime_dir = query->runtime_dir };
        size_t n_real = list->n;
        int r = by_name ? 0 : -ENOMEM;

        /* Indices from 1, since the array moves when it grows and NULL means absent. */
        for (size_t i = 0; i < n_real && r >= 0; i++)
                r = zl_map_put(by_name, list->items[i].status.name, (void *)(uintptr_t)(i + 1));
        for (size_t i = 0; i < n && r >= 0; i++) {
                size_t at = (uintptr_t)zl_map_get(by_name, stored[i].name);

                r = at ? join(&list->items[at - 1], &stored[i], &served)
                       : add_prepared(query, list, &stored[i], &served);
        }
        return r < 0 ? zl_fail_oom(err) : 0;
}

static int take_status(struct zl_view_list *list, struct zl_status *status)
{
        struct zl_ident id;
        struct zl_view *view;

        if (zl_ident_parse(status->name, &id) < 0)
                return 0;
        view = append(list);
        if (!view)
                return -ENOMEM;
        *view = (struct zl_view){
                .status = *status,
                .id = id,
                .is_real = true,
                .restarts = status->generation > 1 ? status->generation - 1 : 0,
        };
        *status = (struct zl_status){ 0 };
        return 0;
}

int zl_view_load_stored(const struct zl_view_query *query, const struct zl_stored_replica *stored,
                        size_t n_stored, struct zl_view_list *ret, struct zl_error *err)
{
        const struct zl_list_filter filter = { .wants = is_wanted, .data = query };
        _cleanup_views_ struct zl_view_list list = { 0 };
        struct zl_status *statuses = NULL;
        size_t n = 0;
        int r = zl_runtime_list_some(query->rt, &filter, &statuses, &n, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                if (r >= 0 && take_status(&list, &statuses[i]) < 0)
                        r = zl_fail_oom(err);
                zl_status_done(&statuses[i]);
        }
        free(statuses);
        if (r >= 0)
                r = join_stored(query, &list, stored, n_stored, err);
        if (r < 0)
                return r;
        if (list.n > 0)
                qsort(list.items, list.n, sizeof(*list.items), compare_views);
        *ret = list;
        list = (struct zl_view_list){ 0 };
        return 0;
}

int zl_view_load(const struct zl_view_query *query, struct zl_store *store,
                 struct zl_view_list *ret, struct zl_error *err)
{
        struct zl_stored_replica *stored = NULL;
        /* The store looks for one name; for several it is asked for all. */
        const char *one = query->deployment && !query->names ? query->deployment : NULL;
        size_t n = 0;
        int r;

        if (query->names && query->names[0] && !query->names[1] &&
            (!query->deployment || zl_streq(query->deployment, query->names[0])))
                one = query->names[0];
        r = store ? zl_store_list_replicas(store, one, &stored, &n, err) : 0;
        if (r >= 0)
                r = zl_view_load_stored(query, stored, n, ret, err);
        zl_stored_replica_free(stored, n);
        return r;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

static json_t *json_text(const char *s)
{
        return s ? zl_json_string_lossy(s, strlen(s)) : json_null();
}

static json_t *json_time(int64_t nsec)
{
        char buf[ZL_RFC3339_SIZE];

        return nsec > 0 ? json_string(zl_format_rfc3339(nsec, buf)) : json_null();
}

json_t *zl_view_to_json(const struct zl_view *view)
{
        const struct zl_status *s = &view->status;
        bool ended = s->state == ZL_STATE_EXITED || s->state == ZL_STATE_FAILED;
        bool has_code = ended && s->exit_code >= 0;
        _cleanup_json_ json_t *o = json_object();
        const struct {
                const char *key;
                json_t *value;
        } members[] = {
                { "name", json_text(s->name) },
                { "deployment", json_string(view->id.deployment) },
                { "service", json_string(view->id.service) },
                { "replica", json_integer(view->id.replica) },
                { "runtime", json_string(zl_runtime_kind_name(s->runtime)) },
                { "image", json_text(s->image) },
                { "state", json_string(zl_workload_state_name(s->state)) },
                { "health", json_string(view->health ?: "none") },
                { "pid", s->pid > 0 ? json_integer(s->pid) : json_null() },
                { "exit_code", has_code ? json_integer(s->exit_code) : json_null() },
                { "signal", ended && s->signal > 0 ? json_integer(s->signal) : json_null() },
                { "oom", json_boolean(s->oom) },
                { "restarts", json_integer(view->restarts) },
                { "reason", json_text(s->reason) },
                { "ip", json_text(s->ip) },
                { "ports", zl_status_ports_json(s) },
                { "created_at", json_time(s->created_at) },
                { "started_at", json_time(s->started_at) },
                { "finished_at", json_time(s->finished_at) },
        };
        int r = o ? 0 : -ENOMEM;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(members); i++) {
                if (r >= 0)
                        r = zl_json_set(o, members[i].key, members[i].value);
                else
                        json_decref(members[i].value);
        }
        return r < 0 ? NULL : zl_take_ptr(o);
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static int fail_ambiguous(const struct zl_view_list *list, const char *name, int best,
                          struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf names = ZL_BUF_INIT(2000);
        int r;

        for (size_t i = 0; i < list->n; i++)
                if (rank(&list->items[i].id, name) == best)
                        zl_buf_putf(&names, "%s%s", names.len ? ", " : "",
                                    list->items[i].status.name);
        r = zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is a service of several deployments", name);
        zl_error_hint(err, "say which: %s", zl_buf_error(&names) < 0 ? "see ps -a" : names.data);
        return r;
}

int zl_view_find(const struct zl_view_list *list, const char *name, size_t **ret, size_t *ret_n,
                 struct zl_error *err)
{
        _cleanup_free_ size_t *found = calloc(list->n + 1, sizeof(*found));
        size_t n = 0;
        int best = 0, r;

        if (!found)
                return zl_fail_oom(err);
        for (size_t i = 0; i < list->n; i++)
                best = ZL_MAX(best, rank(&list->items[i].id, name));
        if (best == 0) {
                r = zl_fail(err, ZL_E_NOT_FOUND, 0, "no container or service \"%s\"", name);
                zl_error_hint(err, "zlayer-agent ps -a lists all");
                return r;
        }
        for (size_t i = 0; i < list->n; i++)
                if (rank(&list->items[i].id, name) == best)
                        found[n++] = i;
        for (size_t i = 1; i < n; i++)
                if (!zl_streq(list->items[found[i]].id.deployment,
                              list->items[found[0]].id.deployment))
                        return fail_ambiguous(list, name, best, err);
        *ret = zl_take_ptr(found);
        *ret_n = n;
        return 0;
}
