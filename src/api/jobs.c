/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executions of jobs and the schedules of cron jobs. What is told comes from the store, what is asked goes to the manager;
 * both belong to the loop.
 */
#include <errno.h>

#include "agent/documents.h"
#include "api/handlers.h"
#include "base/ident.h"

/* ---- executions ------------------------------------------------------------------------------------------------ */

struct executions_query {
        char *deployment, *service;
};

static const struct zl_field executions_fields[] = {
        ZL_FIELD(struct executions_query, "deployment", deployment, zl_type_str,
                 .flags = ZL_OPTIONAL),
        ZL_FIELD(struct executions_query, "service", service, zl_type_str, .flags = ZL_OPTIONAL),
};
const struct zl_type zl_api_executions_query = ZL_TYPE_STRUCT(struct executions_query,
                                                              "ExecutionsQuery", executions_fields);

static int add_execution(const struct zl_execution_record *record, void *data)
{
        return json_array_append_new(data, zl_execution_to_json(record)) < 0 ? -ENOMEM : 0;
}

int zl_api_executions(struct zl_api_request *rq, struct zl_error *err)
{
        const struct executions_query *q = rq->query;
        json_t *list;
        int r;

        if (q->service && !q->deployment) {
                zl_fail(err, ZL_E_INVALID, 0, "service: of which deployment?");
                zl_api_answer_field(rq, err, "service");
                return -EINVAL;
        }
        list = json_array();
        r = list ? zl_store_read_executions(zl_manager_store(rq->api->manager), q->deployment,
                                            q->service, add_execution, list, err)
                 : -ENOMEM;
        if (r < 0) {
                json_decref(list);
                return r == -ENOMEM ? zl_fail_oom(err) : r;
        }
        zl_api_answer_json(rq, 200, list);
        return 0;
}

struct execute_body {
        char *deployment, *service;
};

static const struct zl_field execute_fields[] = {
        ZL_FIELD(struct execute_body, "deployment", deployment, zl_type_str, .flags = ZL_REQUIRED),
        ZL_FIELD(struct execute_body, "service", service, zl_type_str, .flags = ZL_REQUIRED),
};
const struct zl_type zl_api_execute_body = ZL_TYPE_STRUCT(struct execute_body, "Execute",
                                                          execute_fields);

int zl_api_execute(struct zl_api_request *rq, struct zl_error *err)
{
        const struct execute_body *body = rq->body_value;
        char name[ZL_IDENT_NAME_MAX];
        json_t *o;
        int r = zl_manager_job_run(rq->api->manager, body->deployment, body->service, name, err);

        if (r < 0)
                return r;
        o = json_pack("{s:s}", "name", name);
        if (!o)
                return zl_fail_oom(err);
        zl_api_answer_json(rq, 201, o);
        return 0;
}

int zl_api_execution_cancel(struct zl_api_request *rq, struct zl_error *err)
{
        int r = zl_manager_job_cancel(rq->api->manager, rq->name, err);

        if (r >= 0)
                zl_api_answer_empty(rq);
        return r;
}

/* ---- schedules -------------------------------------------------------------------------------------------------- */

static int add_schedule(const struct zl_schedule_info *info, void *data)
{
        return json_array_append_new(data, zl_schedule_to_json(info)) < 0 ? -ENOMEM : 0;
}

int zl_api_schedules(struct zl_api_request *rq, struct zl_error *err)
{
        json_t *list = json_array();
        int r = list ? zl_schedules_read(zl_manager_store(rq->api->manager), add_schedule, list,
                                         err)
                     : -ENOMEM;

        if (r < 0) {
                json_decref(list);
                return r == -ENOMEM ? zl_fail_oom(err) : r;
        }
        zl_api_answer_json(rq, 200, list);
        return 0;
}

static int enable(struct zl_api_request *rq, bool enabled, struct zl_error *err)
{
        const char *dot = strchr(rq->name, '.');
        _cleanup_free_ char *deployment = dot ? strndup(rq->name, (size_t)(dot - rq->name)) : NULL;
        int r;

        if (!dot) {
                zl_fail(err, ZL_E_INVALID, 0, "name: \"%s\" is not DEPLOYMENT.SERVICE", rq->name);
                zl_api_answer_field(rq, err, "name");
                return -EINVAL;
        }
        if (!deployment)
                return zl_fail_oom(err);
        r = zl_manager_cron_enable(rq->api->manager, deployment, dot + 1, enabled, err);
        if (r >= 0)
                zl_api_answer_empty(rq);
        return r;
}

int zl_api_schedule_enable(struct zl_api_request *rq, struct zl_error *err)
{
        return enable(rq, true, err);
}

int zl_api_schedule_disable(struct zl_api_request *rq, struct zl_error *err)
{
        return enable(rq, false, err);
}
