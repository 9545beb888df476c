/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers and tables that routes.c puts together. Contracts: struct zl_api_route in internal.h. */
#pragma once

#include "api/internal.h"

#define ZL_API_BEGIN(name) int name(struct zl_api_request *rq, struct zl_error *err)

/* system.c */
ZL_API_BEGIN(zl_api_version);
ZL_API_BEGIN(zl_api_info);
ZL_API_BEGIN(zl_api_metrics_begin);
ZL_API_BEGIN(zl_api_metrics_work);
ZL_API_BEGIN(zl_api_metrics_finish);

/* deployments.c */
extern const struct zl_type zl_api_why_query, zl_api_up_query, zl_api_down_query, zl_api_scale_body;
ZL_API_BEGIN(zl_api_deployments);
ZL_API_BEGIN(zl_api_deployment);
ZL_API_BEGIN(zl_api_spec_work);
ZL_API_BEGIN(zl_api_validate_finish);
ZL_API_BEGIN(zl_api_up_finish);
ZL_API_BEGIN(zl_api_known_begin);
ZL_API_BEGIN(zl_api_known_work);
ZL_API_BEGIN(zl_api_down_finish);
ZL_API_BEGIN(zl_api_stop_deployment_finish);
ZL_API_BEGIN(zl_api_scale);
ZL_API_BEGIN(zl_api_why_work);

/* jobs.c */
extern const struct zl_type zl_api_executions_query, zl_api_execute_body;
ZL_API_BEGIN(zl_api_executions);
ZL_API_BEGIN(zl_api_execute);
ZL_API_BEGIN(zl_api_execution_cancel);
ZL_API_BEGIN(zl_api_schedules);
ZL_API_BEGIN(zl_api_schedule_enable);
ZL_API_BEGIN(zl_api_schedule_disable);

/* secrets.c */
extern const struct zl_type zl_api_secret_body, zl_api_secret_query;
ZL_API_BEGIN(zl_api_secrets_work);
ZL_API_BEGIN(zl_api_secret_set_work);
ZL_API_BEGIN(zl_api_secret_remove_work);

/* containers.c */
extern const struct zl_type zl_api_list_query, zl_api_run_body, zl_api_stop_query,
        zl_api_kill_query, zl_api_remove_query;
ZL_API_BEGIN(zl_api_list_work);
ZL_API_BEGIN(zl_api_inspect_work);
ZL_API_BEGIN(zl_api_stats_work);
ZL_API_BEGIN(zl_api_run_begin);
ZL_API_BEGIN(zl_api_run_work);
ZL_API_BEGIN(zl_api_run_finish);
ZL_API_BEGIN(zl_api_start_container_work);
ZL_API_BEGIN(zl_api_restart_container_work);
ZL_API_BEGIN(zl_api_start_container_finish);
ZL_API_BEGIN(zl_api_stop_work);
ZL_API_BEGIN(zl_api_kill_begin);
ZL_API_BEGIN(zl_api_kill_work);
ZL_API_BEGIN(zl_api_pause_work);
ZL_API_BEGIN(zl_api_resume_work);
ZL_API_BEGIN(zl_api_remove_work);
ZL_API_BEGIN(zl_api_remove_finish);

/* attach.c */
extern const struct zl_type zl_api_attach_query;
ZL_API_BEGIN(zl_api_attach_begin);
ZL_API_BEGIN(zl_api_attach_work);
ZL_API_BEGIN(zl_api_attach_finish);

/* exec.c */
extern const struct zl_type zl_api_exec_body;
ZL_API_BEGIN(zl_api_exec_begin);
ZL_API_BEGIN(zl_api_exec_work);
ZL_API_BEGIN(zl_api_exec_finish);

/* wait.c */
extern const struct zl_type zl_api_wait_query;
ZL_API_BEGIN(zl_api_wait_work);
ZL_API_BEGIN(zl_api_wait_finish);

/* events.c, logs.c */
extern const struct zl_type zl_api_events_query, zl_api_logs_query;
ZL_API_BEGIN(zl_api_events);
ZL_API_BEGIN(zl_api_logs_begin);
ZL_API_BEGIN(zl_api_logs_work);
ZL_API_BEGIN(zl_api_logs_finish);

/* images.c */
extern const struct zl_type zl_api_pull_body, zl_api_image_query;
ZL_API_BEGIN(zl_api_images_work);
ZL_API_BEGIN(zl_api_image_remove_work);
ZL_API_BEGIN(zl_api_pull);
