/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers: list, look at, run, start, stop, kill, pause, remove. Each is one call of the runtime on a worker; a
 * container that an agent's deployment owns is followed by the core through its watch, so nothing more is to be told to it.
 */
#include <signal.h>

#include "agent/kept_run.h"
#include "api/handlers.h"
#include "api/views.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/random.h"
#include "base/strv.h"
#include "runtimes/runtime.h"
#include "spec/spec.h"
#include "spec/tables.h"

/* ---- list, inspect, stats --------------------------------------------------------------------------------------- */

struct list_query {
        bool all;
        char *deployment;
};

static const struct zl_field list_fields[] = {
        ZL_FIELD(struct list_query, "all", all, zl_type_bool, .def = "false"),
        ZL_FIELD(struct list_query, "deployment", deployment, zl_type_str, .flags = ZL_OPTIONAL),
};
const struct zl_type zl_api_list_query = ZL_TYPE_STRUCT(struct list_query, "ListQuery",
                                                        list_fields);

int zl_api_list_work(struct zl_api_request *rq, struct zl_error *err)
{
        const struct list_query *q = rq->query;
        _cleanup_views_ struct zl_view_list views = { 0 };
        int r = zl_api_load_views(rq, &views, err);

        rq->result = json_array();
        for (size_t i = 0; r >= 0 && i < views.n; i++) {
                const struct zl_view *view = &views.items[i];
                bool ended = view->is_real && (view->status.state == ZL_STATE_EXITED ||
                                               view->status.state == ZL_STATE_FAILED);

                if ((q->deployment && !zl_streq(q->deployment, view->id.deployment)) ||
                    (ended && !q->all))
                        continue;
                if (json_array_append_new(rq->result, zl_view_to_json(view)) < 0)
                        r = zl_fail_oom(err);
        }
        return r;
}

int zl_api_inspect_work(struct zl_api_request *rq, struct zl_error *err)
{
        _cleanup_views_ struct zl_view_list views = { 0 };
        _cleanup_free_ char *text = NULL;
        const struct zl_view *view;
        int r = zl_api_load_views(rq, &views, err);

        if (r >= 0)
                r = zl_api_choose(&views, rq->name, false, &view, err);
        if (r < 0)
                return r;
        if (view->is_real) {
                r = zl_runtime_inspect(rq->api->rt, view->status.name, &text, err);
                if (r >= 0)
                        r = zl_json_parse(text, strlen(text), "container", &rq->result, err);
                if (r < 0)
                        return r;
        } else {
                rq->result = json_object();
        }
        return zl_json_set(rq->result, "status", zl_view_to_json(view)) < 0 ? zl_fail_oom(err) : 0;
}

static json_t *json_count(uint64_t n)
{
        /* No limit is told as null. */
        return n >= INT64_MAX ? json_null() : json_integer((json_int_t)n);
}

int zl_api_stats_work(struct zl_api_request *rq, struct zl_error *err)
{
        char name[ZL_IDENT_NAME_MAX], time[ZL_RFC3339_SIZE];
        struct zl_stats s;
        int r = zl_api_resolve(rq, true, name, err);

        if (r >= 0)
                r = zl_runtime_stats(rq->api->rt, name, &s, err);
        if (r < 0)
                return r;
        rq->result = json_pack(
                "{s:s, s:s, s:o, s:o, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                "name", name, "time", zl_format_rfc3339(s.time, time), "cpu_usec",
                json_count(s.cpu_usec), "cpu_throttled_usec", json_count(s.cpu_throttled_usec),
                "cpu_limit", s.cpu_limit, "memory_bytes", json_count(s.memory_bytes), "memory_peak",
                json_count(s.memory_peak), "memory_limit", json_count(s.memory_limit), "pids",
                json_count(s.pids), "pids_limit", json_count(s.pids_limit), "io_read_bytes",
                json_count(s.io_read_bytes), "io_write_bytes", json_count(s.io_write_bytes),
                "net_rx_bytes", json_count(s.net_rx_bytes), "net_tx_bytes",
                json_count(s.net_tx_bytes), "oom_kills", json_count(s.oom_kills), "pressure",
                zl_stats_pressure_json(&s));
        return rq->result ? 0 : zl_fail_oom(err);
}

/* ---- run --------------------------------------------------------------------------------------------------------- */

struct run_body {
        char *name;
        struct zl_service_spec service;
        bool start, remove;
};

static const struct zl_field run_fields[] = {
        ZL_FIELD(struct run_body, "name", name, zl_type_str, .flags = ZL_OPTIONAL),
        ZL_FIELD(struct run_body, "service", service, zl_service_type_table, .flags = ZL_REQUIRED),
        ZL_FIELD(struct run_body, "start", start, zl_type_bool, .def = "true"),
        ZL_FIELD(struct run_body, "remove", remove, zl_type_bool, .def = "false"),
};
const struct zl_type zl_api_run_body = ZL_TYPE_STRUCT(struct run_body, "Run", run_fields);

struct run {
        char name[ZL_IDENT_NAME_MAX];
        struct zl_status status;
        char **env, **warnings;
        struct zl_ident id;
        struct zl_deployment_spec
                *spec; /* of one that is to be restarted, which is a deployment; else NULL */
};

static void drop_run(void *data)
{
        struct run *run = data;

        zl_status_done(&run->status);
        zl_strv_free(run->env);
        zl_strv_free(run->warnings);
        zl_spec_free(run->spec);
        free(run);
}

int zl_api_run_begin(struct zl_api_request *rq, struct zl_error *err)
{
        const struct run_body *body = rq->body_value;
        struct run *run = calloc(1, sizeof(*run));
        bool kept = zl_kept_run_is_wanted(&body->service);
        char random[9];
        int r;

        if (!run)
                return zl_fail_oom(err);
        rq->data = run;
        rq->drop = drop_run;
        zl_random_hex(random, 8);
        if (kept && (body->remove || !body->start))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "service.restart_policy: what is to be restarted is started at once "
                               "and does not remove itself");
        r = kept ? zl_kept_run_ident(body->name ?: random, &run->id, err)
                 : zl_ident_make(&run->id, ZL_IDENT_RUN_DEPLOYMENT, body->name ?: random, 1, err);
        if (r >= 0 && kept)
                r = zl_kept_run_spec(&run->id, &body->service, &run->spec, err);
        if (r < 0)
                return r;
        zl_ident_name(&run->id, run->name);
        /* Values are literal here: "$E:" has a meaning in deployment files only. */
        for (size_t i = 0; i < body->service.env.n; i++)
                if (zl_strv_pushf(&run->env, "%s=%s", body->service.env.items[i].key,
                                  body->service.env.items[i].value) < 0)
                        return zl_fail_oom(err);
        return 0;
}

static void take_warning(const char *text, void *data)
{
        struct run *run = data;

        /* Without memory for a warning there will be none for the workload either. */
        (void)zl_strv_push(&run->warnings, text);
}

int zl_api_run_work(struct zl_api_request *rq, struct zl_error *err)
{
        const struct run_body *body = rq->body_value;
        struct run *run = rq->data;
        struct zl_runtime *rt = rq->api->rt;
        struct zl_pull_options pull = { .policy = zl_spec_pull_policy(&body->service.image) };
        struct zl_create_options create = {
                .name = run->name,
                .spec = &body->service,
                .env = run->env,
                .attach_stdin = body->service.stdin_open,
                .auto_remove = body->remove,
                .warn = take_warning,
                .warn_data = run,
        };
        int r = body->name ? zl_kept_run_check_free(rt, body->name, run->spec != NULL, err) : 0;

        if (r >= 0)
                r = zl_runtime_pull(rt, body->service.image.name, &pull, NULL, err);
        if (r >= 0 && run->spec)
                return 0; /* the rest is its agent's */
        if (r >= 0)
                r = zl_runtime_create(rt, &create, err);
        if (r < 0)
                return r;
        if (body->start)
                r = zl_runtime_start(rt, run->name, err);
        if (r < 0) {
                (void)zl_runtime_remove(rt, run->name, true, NULL);
                return r;
        }
        if (zl_runtime_state(rt, run->name, &run->status, NULL) < 0 &&
            zl_replace_str(&run->status.name, run->name) < 0) /* removed itself already */
                return zl_fail_oom(err);
        return 0;
}

/* ---- one that is to be restarted: when its deployment has been started, it is looked at */

static int look_at_kept(struct zl_api_request *rq, struct zl_error *err)
{
        struct run *run = rq->data;

        return zl_runtime_state(rq->api->rt, run->name, &run->status, err);
}

static int answer_run(struct zl_api_request *rq, struct zl_error *err);
static const struct zl_api_route kept_route = { .work = look_at_kept, .finish = answer_run };

static void on_kept(struct zl_api_request *rq, const struct zl_deployment_info *info)
{
        struct zl_error err = ZL_ERROR_INIT;

        if (info->failure) {
                zl_fail(&err, ZL_E_START, 0, "%s", info->failure);
                zl_api_answer_error(rq, &err);
        } else {
                rq->route = &kept_route;
                zl_api_start_work(rq);
        }
}

static int begin_kept(struct zl_api_request *rq, struct zl_error *err)
{
        struct run *run = rq->data;
        int r = zl_manager_up(rq->api->manager, run->spec, err);

        if (r < 0)
                return r;
        run->spec = NULL;
        return zl_api_wait_for(rq, run->id.deployment, ZL_UNTIL_SETTLED, on_kept, err);
}

int zl_api_run_finish(struct zl_api_request *rq, struct zl_error *err)
{
        const struct run_body *body = rq->body_value;
        struct run *run = rq->data;

        if (run->spec)
                return begin_kept(rq, err);
        zl_manager_tell(
                rq->api->manager,
                &(struct zl_event){ .type = body->start ? ZL_EVENT_STARTED : ZL_EVENT_CREATED,
                                    .name = run->name,
                                    .pid = run->status.pid });
        return answer_run(rq, err);
}

static int answer_run(struct zl_api_request *rq, struct zl_error *err)
{
        struct run *run = rq->data;
        struct zl_view view = { .status = run->status, .id = run->id, .is_real = true };
        json_t *warnings = json_array(), *o = zl_view_to_json(&view);

        ZL_STRV_FOREACH(w, run->warnings)
                json_array_append_new(warnings, zl_json_string_lossy(*w, strlen(*w)));
        if (!o || zl_json_set(o, "warnings", warnings) < 0) {
                json_decref(o);
                return zl_fail_oom(err);
        }
        zl_api_answer_json(rq, 201, o);
        return 0;
}

/* ---- one call each ------------------------------------------------------------------------------------------------- */

struct stop_query {
        bool has_grace;
        int64_t grace;
};

static const struct zl_field stop_fields[] = {
        ZL_FIELD(struct stop_query, "grace", grace, zl_duration_type,
                 ZL_HAS(struct stop_query, has_grace)),
};
const struct zl_type zl_api_stop_query = ZL_TYPE_STRUCT(struct stop_query, "StopQuery",
                                                        stop_fields);

int zl_api_stop_work(struct zl_api_request *rq, struct zl_error *err)
{
        const struct stop_query *q = rq->query;
        char name[ZL_IDENT_NAME_MAX];
        int r = zl_api_resolve(rq, false, name, err);

        return r < 0 ? r : zl_runtime_stop(rq->api->rt, name, q->has_grace ? q->grace : -1, err);
}

/* ---- start and restart ---------------------------------------------------------------------------------------------- */

/* What belongs to a deployment is started by its agent, which is asked on the loop; everything else by the runtime, on a worker. */
struct begin {
        char name[ZL_IDENT_NAME_MAX];
        struct zl_agent_start_options options;
};

static int find_begin(struct zl_api_request *rq, bool restart, struct zl_error *err)
{
        struct begin *b = zl_arena_alloc(rq->arena, sizeof(*b));
        struct zl_status status = { 0 };
        int r;

        if (!b)
                return zl_fail_oom(err);
        *b = (struct begin){ .options = { .restart = restart, .grace = -1 } };
        r = zl_api_resolve(rq, false, b->name, err);
        if (r >= 0)
                r = zl_runtime_state(rq->api->rt, b->name, &status, err);
        if (r < 0)
                return r;
        /* The agent may not have heard of its end yet. */
        b->options.restart |= status.state == ZL_STATE_EXITED || status.state == ZL_STATE_FAILED;
        zl_status_done(&status);
        rq->drop(rq->data);
        rq->drop = NULL;
        rq->data = b;
        return 0;
}

int zl_api_start_container_work(struct zl_api_request *rq, struct zl_error *err)
{
        return find_begin(rq, false, err);
}

int zl_api_restart_container_work(struct zl_api_request *rq, struct zl_error *err)
{
        const struct stop_query *q = rq->query;
        int r = find_begin(rq, true, err);

        if (r >= 0 && q->has_grace)
                ((struct begin *)rq->data)->options.grace = q->grace;
        return r;
}

/* Whether it runs now. What has ended again meanwhile has run. */
static int look_at_it(struct zl_api_request *rq, struct zl_error *err)
{
        const struct begin *b = rq->data;
        struct zl_status status = { 0 };
        int r = zl_runtime_state(rq->api->rt, b->name, &status, err);

        if (r >= 0 && (status.state == ZL_STATE_FAILED || status.state == ZL_STATE_PENDING))
                r = zl_fail(err, ZL_E_START, 0, "%s could not be started: %s", b->name,
                            status.reason ?: "see why");
        zl_status_done(&status);
        return r;
}
static const struct zl_api_route look_route = { .work = look_at_it, .status = 204 };

static void on_begun(struct zl_api_request *rq, const struct zl_deployment_info *info)
{
        (void)info;
        rq->route = &look_route;
        zl_api_start_work(rq);
}

static int begin_directly(struct zl_api_request *rq, struct zl_error *err)
{
        const struct begin *b = rq->data;
        struct zl_status status = { 0 };
        int r = 0;

        if (b->options.restart)
                r = zl_runtime_stop(rq->api->rt, b->name, b->options.grace, err);
        if (r >= 0)
                r = zl_runtime_state(rq->api->rt, b->name, &status, err);
        if (r >= 0 && status.state != ZL_STATE_RUNNING && status.state != ZL_STATE_PAUSED)
                r = zl_runtime_start(rq->api->rt, b->name, err);
        zl_status_done(&status);
        return r;
}
static const struct zl_api_route direct_route = { .work = begin_directly, .status = 204 };

int zl_api_start_container_finish(struct zl_api_request *rq, struct zl_error *err)
{
        struct begin *b = rq->data;
        struct zl_ident id;
        int r = zl_manager_start(rq->api->manager, b->name, &b->options, err);

        if (r < 0)
                return r;
        if (r == 0) {
                rq->route = &direct_route;
                zl_api_start_work(rq);
                return 0;
        }
        (void)zl_ident_parse(b->name, &id);
        return zl_api_wait_for(rq, id.deployment, ZL_UNTIL_SETTLED, on_begun, err);
}

/* ---- more of one call each -------------------------------------------------------------------------------------------- */

struct kill_query {
        char *signal;
        bool all;
        int number;
};

static const struct zl_field kill_fields[] = {
        ZL_FIELD(struct kill_query, "signal", signal, zl_type_str, .def = "KILL"),
        ZL_FIELD(struct kill_query, "all", all, zl_type_bool, .def = "false"),
};
const struct zl_type zl_api_kill_query = ZL_TYPE_STRUCT(struct kill_query, "KillQuery",
                                                        kill_fields);

int zl_api_kill_begin(struct zl_api_request *rq, struct zl_error *err)
{
        struct kill_query *q = rq->query;

        q->number = zl_parse_signal(q->signal);
        if (q->number < 0) {
                zl_fail(err, ZL_E_INVALID, 0, "signal: \"%s\" is no signal", q->signal);
                zl_api_answer_field(rq, err, "signal");
                return -EINVAL;
        }
        return zl_api_fetch_meaning(rq, err);
}

int zl_api_kill_work(struct zl_api_request *rq, struct zl_error *err)
{
        const struct kill_query *q = rq->query;
        struct zl_status status = { 0 };
        char name[ZL_IDENT_NAME_MAX];
        int r = zl_api_resolve(rq, true, name, err);

        if (r >= 0)
                r = zl_runtime_state(rq->api->rt, name, &status, err);
        if (r >= 0 && (status.state == ZL_STATE_EXITED || status.state == ZL_STATE_FAILED))
                r = zl_fail(err, ZL_E_STATE, 0, "%s is not running", name);
        zl_status_done(&status);
        return r < 0 ? r : zl_runtime_kill(rq->api->rt, name, q->number, q->all, err);
}

static int pause_or_resume(struct zl_api_request *rq, bool pause, struct zl_error *err)
{
        char name[ZL_IDENT_NAME_MAX];
        int r = zl_api_resolve(rq, false, name, err);

        return r < 0 ? r : zl_runtime_pause(rq->api->rt, name, pause, err);
}

int zl_api_pause_work(struct zl_api_request *rq, struct zl_error *err)
{
        return pause_or_resume(rq, true, err);
}

int zl_api_resume_work(struct zl_api_request *rq, struct zl_error *err)
{
        return pause_or_resume(rq, false, err);
}

struct remove_query {
        bool force;
};

static const struct zl_field remove_fields[] = {
        ZL_FIELD(struct remove_query, "force", force, zl_type_bool, .def = "false"),
};
const struct zl_type zl_api_remove_query = ZL_TYPE_STRUCT(struct remove_query, "RemoveQuery",
                                                          remove_fields);

static bool is_kept(const char *name)
{
        struct zl_ident id;

        return zl_ident_parse(name, &id) >= 0 && zl_ident_is_kept_run(&id);
}

int zl_api_remove_work(struct zl_api_request *rq, struct zl_error *err)
{
        const struct remove_query *q = rq->query;
        struct zl_status status = { 0 };
        char name[ZL_IDENT_NAME_MAX];
        bool alive;
        int r = zl_api_resolve(rq, false, name, err);

        if (r >= 0)
                r = zl_runtime_state(rq->api->rt, name, &status, err);
        if (r < 0)
                return r;
        alive = status.state != ZL_STATE_EXITED && status.state != ZL_STATE_FAILED &&
                status.state != ZL_STATE_PENDING;
        if (alive && !q->force) {
                r = zl_fail(err, ZL_E_STATE, 0, "%s is %s", name,
                            zl_workload_state_name(status.state));
                zl_error_hint(err, "stop it first, or use force");
        }
        zl_status_done(&status);
        if (r >= 0 && is_kept(name))
                r = alive ? zl_runtime_kill(rq->api->rt, name, SIGKILL, true, err) : 0;
        else if (r >= 0)
                r = zl_runtime_remove(rq->api->rt, name, q->force, err);
        /* For finish(): the name in full. */
        return r < 0 || zl_replace_str(&rq->name, name) >= 0 ? r : zl_fail_oom(err);
}

static void on_ended(struct zl_api_request *rq, const struct zl_deployment_info *info)
{
        struct zl_error err = ZL_ERROR_INIT;

        if (info->phase == ZL_DEPLOYMENT_FAILED) {
                zl_fail(&err, ZL_E_STATE, 0, "%s",
                        info->failure ?: "not everything could be ended");
                zl_api_answer_error(rq, &err);
        } else {
                zl_api_answer_empty(rq);
        }
}

/* It is a deployment, which ends with it. */
static int end_kept(struct zl_api_request *rq, struct zl_error *err)
{
        struct zl_ident id;
        int r;

        (void)zl_ident_parse(rq->name, &id);
        r = zl_manager_stop(rq->api->manager, id.deployment, true, err);
        if (r < 0)
                return r;
        return zl_api_wait_for(rq, id.deployment, ZL_UNTIL_STOPPED, on_ended, err);
}

int zl_api_remove_finish(struct zl_api_request *rq, struct zl_error *err)
{
        int r = is_kept(rq->name) ? end_kept(rq, err) : 0;

        if (r < 0 || is_kept(rq->name))
                return r;
        r = zl_store_forget_replica(zl_manager_store(rq->api->manager), rq->name, err);

        if (r >= 0)
                zl_api_answer_empty(rq);
        return r;
}
