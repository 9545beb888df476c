/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deployments: up (new or changed), validate, down, stop, scale, and how they are. Documents are parsed on a worker, the rest
 * is the manager's on the loop. An answer with "wait" comes when the deployment has settled.
 */
#include <errno.h>

#include "agent/explain.h"
#include "api/handlers.h"
#include "api/views.h"
#include "base/strv.h"
#include "runtimes/volume.h"
#include "spec/spec.h"

enum { WHY_LINES_MAX = 1000 };

static const char *phase_name(enum zl_deployment_phase phase)
{
        static const char *const names[] = {
                [ZL_DEPLOYMENT_UNKNOWN] = "unknown",   [ZL_DEPLOYMENT_STARTING] = "starting",
                [ZL_DEPLOYMENT_STARTED] = "started",   [ZL_DEPLOYMENT_FAILED] = "failed",
                [ZL_DEPLOYMENT_FINISHED] = "finished", [ZL_DEPLOYMENT_STOPPING] = "stopping",
                [ZL_DEPLOYMENT_STOPPED] = "stopped",
        };

        return names[phase];
}

static int set_text(json_t *o, const char *key, const char *text)
{
        return zl_json_set(o, key, text ? zl_json_string_lossy(text, strlen(text)) : json_null());
}

static json_t *info_to_json(const struct zl_deployment_info *info)
{
        json_t *o = json_object();

        if (!o || set_text(o, "deployment", info->name) < 0 ||
            set_text(o, "phase", phase_name(info->phase)) < 0 ||
            zl_json_set(o, "exit_code", json_integer(info->exit_code)) < 0 ||
            set_text(o, "failure", info->failure) < 0 || set_text(o, "hint", info->hint) < 0 ||
            set_text(o, "rolled_back", info->rolled_back) < 0) {
                json_decref(o);
                return NULL;
        }
        return o;
}

/* ---- how they are ----------------------------------------------------------------------------------------------- */

static void add_info(const struct zl_deployment_info *info, void *data)
{
        json_array_append_new(data, info_to_json(info));
}

static int by_name(const void *a, const void *b)
{
        return strcmp(zl_json_str(*(json_t *const *)a, "deployment", ""),
                      zl_json_str(*(json_t *const *)b, "deployment", ""));
}

static json_t *sorted(json_t *list)
{
        size_t n = json_array_size(list);
        _cleanup_free_ json_t **items = calloc(n + 1, sizeof(*items));
        json_t *ret = items ? json_array() : NULL;

        for (size_t i = 0; ret && i < n; i++)
                items[i] = json_array_get(list, i);
        if (ret)
                qsort(items, n, sizeof(*items), by_name);
        for (size_t i = 0; ret && i < n; i++)
                json_array_append(ret, items[i]);
        json_decref(list);
        return ret;
}

/* What is here, and what the store knows of earlier. */
int zl_api_deployments(struct zl_api_request *rq, struct zl_error *err)
{
        _cleanup_strv_ char **names = NULL;
        struct zl_deployment_info info;
        json_t *list = json_array();
        int r = zl_store_list_deployments(zl_manager_store(rq->api->manager), &names, err);

        if (r < 0 || !list) {
                json_decref(list);
                return r < 0 ? r : zl_fail_oom(err);
        }
        zl_manager_each(rq->api->manager, add_info, list);
        ZL_STRV_FOREACH(name, names) {
                if (zl_manager_get(rq->api->manager, *name, &info))
                        continue;
                info = (struct zl_deployment_info){ .name = *name, .phase = ZL_DEPLOYMENT_STOPPED };
                add_info(&info, list);
        }
        list = sorted(list);
        if (!list)
                return zl_fail_oom(err);
        zl_api_answer_json(rq, 200, list);
        return 0;
}

static int get_info(struct zl_api_request *rq, struct zl_deployment_info *ret, char **ret_spec,
                    struct zl_error *err)
{
        bool active = false, here = zl_manager_get(rq->api->manager, rq->name, ret);
        int r = zl_store_get_deployment(zl_manager_store(rq->api->manager), rq->name, ret_spec,
                                        &active, err);

        if (r < 0 || here)
                return r < 0 ? r : 0;
        if (r == 0)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "no deployment \"%s\"", rq->name);
        *ret = (struct zl_deployment_info){ .name = rq->name, .phase = ZL_DEPLOYMENT_STOPPED };
        return 0;
}

int zl_api_deployment(struct zl_api_request *rq, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        struct zl_deployment_info info;
        json_t *o, *spec = NULL;
        int r = get_info(rq, &info, &text, err);

        if (r < 0)
                return r;
        o = info_to_json(&info);
        if (text && zl_json_parse(text, strlen(text), "spec", &spec, NULL) < 0)
                spec = NULL;
        if (!o || zl_json_set(o, "spec", spec ?: json_null()) < 0) {
                json_decref(o);
                return zl_fail_oom(err);
        }
        zl_api_answer_json(rq, 200, o);
        return 0;
}

struct why_query {
        uint64_t lines;
};

static const struct zl_field why_fields[] = {
        ZL_FIELD(struct why_query, "lines", lines, zl_type_u64, .def = "5"),
};
const struct zl_type zl_api_why_query = ZL_TYPE_STRUCT(struct why_query, "WhyQuery", why_fields);

/* With a connection of its own to the store: it looks through many events. */
int zl_api_why_work(struct zl_api_request *rq, struct zl_error *err)
{
        const struct why_query *q = rq->query;
        _cleanup_explanation_ struct zl_explanation x = { 0 };
        _cleanup_store_ struct zl_store *store = NULL;
        struct zl_explain_source source = { .rt = rq->api->rt,
                                            .runtime_dir = rq->api->options.runtime_dir,
                                            .n_lines = ZL_MIN(q->lines, WHY_LINES_MAX) };
        int r = zl_store_open_existing(rq->api->options.root_dir, &store, err);

        source.store = store;
        if (r >= 0)
                r = zl_explain(&source, rq->name, &x, err);
        if (r < 0)
                return r;
        rq->result = zl_explanation_to_json(&x, rq->name);
        return rq->result ? 0 : zl_fail_oom(err);
}

/* ---- up and validate ----------------------------------------------------------------------------------------------- */

struct up_query {
        bool wait;
};

static const struct zl_field up_fields[] = {
        ZL_FIELD(struct up_query, "wait", wait, zl_type_bool, .def = "false"),
};
const struct zl_type zl_api_up_query = ZL_TYPE_STRUCT(struct up_query, "UpQuery", up_fields);

struct document {
        struct zl_deployment_spec *spec;
        struct zl_problems *problems;
        struct zl_error err;
        char *name;
};

static void drop_document(void *data)
{
        struct document *doc = data;

        zl_spec_free(doc->spec);
        zl_problems_free(doc->problems);
        zl_error_done(&doc->err);
        free(doc->name);
        free(doc);
}

int zl_api_spec_work(struct zl_api_request *rq, struct zl_error *err)
{
        struct document *doc = calloc(1, sizeof(*doc));

        if (!doc)
                return zl_fail_oom(err);
        rq->data = doc;
        rq->drop = drop_document;
        /* What is wrong with it is told by finish(), with all problems. */
        if (zl_spec_load_text(rq->body.data ?: "", rq->body.len, &doc->spec, &doc->problems,
                              &doc->err) >= 0 &&
            !(doc->name = strdup(doc->spec->deployment)))
                return zl_fail_oom(err);
        return 0;
}

int zl_api_validate_finish(struct zl_api_request *rq, struct zl_error *err)
{
        struct document *doc = rq->data;
        json_t *o;

        if (!doc->spec) {
                zl_api_answer_problems(rq, &doc->err, doc->problems);
                return 0;
        }
        o = json_pack("{s:s}", "deployment", doc->name);
        if (!o)
                return zl_fail_oom(err);
        zl_api_answer_json(rq, 200, o);
        return 0;
}

/* ---- answers that wait ------------------------------------------------------------------------------------------------ */

/* The rest of a `down` with volumes: no path leads here. */
static int remove_volumes(struct zl_api_request *rq, struct zl_error *err);
static const struct zl_api_route volumes_route = { .work = remove_volumes };

struct settle {
        enum zl_manager_until until;
        bool removes_volumes;
};

/* A deployment that failed to start is an error of the one who wished it, with its own words. */
static void answer_info(struct zl_api_request *rq, bool was_wish,
                        const struct zl_deployment_info *info)
{
        unsigned status = 200;

        if (info->phase == ZL_DEPLOYMENT_FAILED || (info->rolled_back && was_wish))
                status = 409;
        zl_api_answer_json(rq, status, info_to_json(info));
}

static void on_settled(struct zl_api_request *rq, const struct zl_deployment_info *info)
{
        const struct settle *settle = rq->data;

        if (settle->removes_volumes && info->phase != ZL_DEPLOYMENT_FAILED) {
                rq->route = &volumes_route;
                zl_api_start_work(rq);
        } else {
                answer_info(rq, settle->until == ZL_UNTIL_SETTLED, info);
        }
}

static int settle(struct zl_api_request *rq, const char *name, enum zl_manager_until until,
                  bool removes_volumes, struct zl_error *err)
{
        struct settle *s = zl_arena_alloc(rq->arena, sizeof(*s));
        int r;

        if (!s)
                return zl_fail_oom(err);
        *s = (struct settle){ .until = until, .removes_volumes = removes_volumes };
        r = zl_api_wait_for(rq, name, until, on_settled, err);
        if (r < 0)
                return r;
        if (rq->drop && rq->data)
                rq->drop(rq->data);
        rq->drop = NULL;
        rq->data = s;
        return 0;
}

int zl_api_up_finish(struct zl_api_request *rq, struct zl_error *err)
{
        const struct up_query *q = rq->query;
        struct document *doc = rq->data;
        struct zl_deployment_info info;
        int r;

        if (!doc->spec) {
                zl_api_answer_problems(rq, &doc->err, doc->problems);
                return 0;
        }
        r = zl_manager_up(rq->api->manager, doc->spec, err);
        if (r < 0)
                return r;
        doc->spec = NULL;
        if (q->wait)
                return settle(rq, doc->name, ZL_UNTIL_SETTLED, false, err);
        zl_manager_get(rq->api->manager, doc->name, &info);
        zl_api_answer_json(rq, 202, info_to_json(&info));
        return 0;
}

/* ---- the end ------------------------------------------------------------------------------------------------------------ */

struct down_query {
        bool volumes;
};

static const struct zl_field down_fields[] = {
        ZL_FIELD(struct down_query, "volumes", volumes, zl_type_bool, .def = "false"),
};
const struct zl_type zl_api_down_query = ZL_TYPE_STRUCT(struct down_query, "DownQuery",
                                                        down_fields);

/* Is there anything of that name? Also what only the runtime knows. */
int zl_api_known_work(struct zl_api_request *rq, struct zl_error *err)
{
        struct zl_api_stored *stored = rq->data;
        _cleanup_views_ struct zl_view_list views = { 0 };
        int r;

        if (stored->known)
                return 0;
        r = zl_api_load_views(rq, &views, err);
        for (size_t i = 0; r >= 0 && i < views.n; i++)
                if (zl_streq(views.items[i].id.deployment, rq->name))
                        return 0;
        return r < 0 ? r : zl_fail(err, ZL_E_NOT_FOUND, 0, "no deployment \"%s\"", rq->name);
}

int zl_api_known_begin(struct zl_api_request *rq, struct zl_error *err)
{
        _cleanup_error_ struct zl_error ignored = ZL_ERROR_INIT;
        struct zl_deployment_info info;
        struct zl_api_stored *stored;
        int r = zl_api_fetch_stored(rq, err);

        if (r < 0)
                return r;
        stored = rq->data;
        stored->known = get_info(rq, &info, NULL, &ignored) >= 0;
        return 0;
}

int zl_api_down_finish(struct zl_api_request *rq, struct zl_error *err)
{
        const struct down_query *q = rq->query;
        int r = zl_manager_stop(rq->api->manager, rq->name, true, err);

        return r < 0 ? r : settle(rq, rq->name, ZL_UNTIL_STOPPED, q->volumes, err);
}

int zl_api_stop_deployment_finish(struct zl_api_request *rq, struct zl_error *err)
{
        int r = zl_manager_stop(rq->api->manager, rq->name, false, err);

        return r < 0 ? r : settle(rq, rq->name, ZL_UNTIL_STOPPED, false, err);
}

static int remove_volumes(struct zl_api_request *rq, struct zl_error *err)
{
        struct zl_deployment_info info = { .name = rq->name };
        _cleanup_volumes_ struct zl_volumes *volumes = NULL;
        int r = zl_volumes_open(rq->api->options.root_dir, &volumes, err);

        if (r >= 0)
                r = zl_volume_remove_of(volumes, rq->name, NULL, NULL, err);
        if (r < 0)
                return r;
        rq->result = info_to_json(&info);
        return rq->result ? 0 : zl_fail_oom(err);
}

/* ---- scale ----------------------------------------------------------------------------------------------------------------- */

struct scale_body {
        char *service;
        uint32_t replicas;
};

static const struct zl_field scale_fields[] = {
        ZL_FIELD(struct scale_body, "service", service, zl_type_str, .flags = ZL_REQUIRED),
        ZL_FIELD(struct scale_body, "replicas", replicas, zl_type_u32, .flags = ZL_REQUIRED),
};
const struct zl_type zl_api_scale_body = ZL_TYPE_STRUCT(struct scale_body, "Scale", scale_fields);

int zl_api_scale(struct zl_api_request *rq, struct zl_error *err)
{
        const struct scale_body *body = rq->body_value;
        const struct up_query *q = rq->query;
        struct zl_deployment_info info;
        int r = zl_manager_scale(rq->api->manager, rq->name, body->service, body->replicas, err);

        if (r < 0)
                return r;
        if (q->wait)
                return settle(rq, rq->name, ZL_UNTIL_SETTLED, false, err);
        zl_manager_get(rq->api->manager, rq->name, &info);
        zl_api_answer_json(rq, 200, info_to_json(&info));
        return 0;
}
