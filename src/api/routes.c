/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All routes in one table. docs/openapi.yaml describes the same ones; a test compares the two. What begin, work and finish do
 * stands at struct zl_api_route.
 */
#include "api/handlers.h"
#include "api/views.h"

#define V1 "/v1"

const struct zl_api_route zl_api_routes[] = {
        { "GET", V1 "/version", "getVersion", .begin = zl_api_version },
        { "GET", V1 "/info", "getInfo", .work = zl_api_info },
        { "GET", "/metrics", "getMetrics", .begin = zl_api_metrics_begin,
          .work = zl_api_metrics_work, .finish = zl_api_metrics_finish },
        { "GET", V1 "/events", "getEvents", .query = &zl_api_events_query, .begin = zl_api_events },

        { "GET", V1 "/deployments", "listDeployments", .begin = zl_api_deployments },
        { "POST", V1 "/deployments", "deploy", .query = &zl_api_up_query, .body_text = true,
          .work = zl_api_spec_work, .finish = zl_api_up_finish },
        { "POST", V1 "/deployments/validate", "validateDeployment", .body_text = true,
          .work = zl_api_spec_work, .finish = zl_api_validate_finish },
        { "GET", V1 "/deployments/{name}", "getDeployment", .begin = zl_api_deployment },
        { "DELETE", V1 "/deployments/{name}", "removeDeployment", .query = &zl_api_down_query,
          .begin = zl_api_known_begin, .work = zl_api_known_work, .finish = zl_api_down_finish },
        { "POST", V1 "/deployments/{name}/stop", "stopDeployment", .begin = zl_api_known_begin,
          .work = zl_api_known_work, .finish = zl_api_stop_deployment_finish },
        { "POST", V1 "/deployments/{name}/scale", "scaleService", .query = &zl_api_up_query,
          .body = &zl_api_scale_body, .begin = zl_api_scale },

        { "GET", V1 "/executions", "listExecutions", .query = &zl_api_executions_query,
          .begin = zl_api_executions },
        { "POST", V1 "/executions", "execute", .body = &zl_api_execute_body,
          .begin = zl_api_execute },
        { "POST", V1 "/executions/{name}/cancel", "cancelExecution",
          .begin = zl_api_execution_cancel, .status = 204 },
        { "GET", V1 "/schedules", "listSchedules", .begin = zl_api_schedules },
        { "POST", V1 "/schedules/{name}/enable", "enableSchedule", .begin = zl_api_schedule_enable,
          .status = 204 },
        { "POST", V1 "/schedules/{name}/disable", "disableSchedule",
          .begin = zl_api_schedule_disable, .status = 204 },

        { "GET", V1 "/secrets", "listSecrets", .work = zl_api_secrets_work },
        { "PUT", V1 "/secrets", "setSecret", .body = &zl_api_secret_body,
          .work = zl_api_secret_set_work, .status = 204 },
        { "DELETE", V1 "/secrets", "removeSecret", .query = &zl_api_secret_query,
          .work = zl_api_secret_remove_work, .status = 204 },

        { "GET", V1 "/why/{name}", "explain", .query = &zl_api_why_query, .work = zl_api_why_work },

        { "GET", V1 "/containers", "listContainers", .query = &zl_api_list_query,
          .begin = zl_api_fetch_stored, .work = zl_api_list_work },
        { "POST", V1 "/containers", "runContainer", .body = &zl_api_run_body,
          .begin = zl_api_run_begin, .work = zl_api_run_work, .finish = zl_api_run_finish },
        { "GET", V1 "/containers/{name}", "inspectContainer", .begin = zl_api_fetch_stored,
          .work = zl_api_inspect_work },
        { "DELETE", V1 "/containers/{name}", "removeContainer", .query = &zl_api_remove_query,
          .begin = zl_api_fetch_meaning, .work = zl_api_remove_work,
          .finish = zl_api_remove_finish },
        { "GET", V1 "/containers/{name}/stats", "getContainerStats", .begin = zl_api_fetch_meaning,
          .work = zl_api_stats_work },
        { "GET", V1 "/containers/{name}/logs", "getContainerLogs", .query = &zl_api_logs_query,
          .begin = zl_api_logs_begin, .work = zl_api_logs_work, .finish = zl_api_logs_finish },
        { "GET", V1 "/containers/{name}/wait", "waitContainer", .query = &zl_api_wait_query,
          .begin = zl_api_fetch_meaning, .work = zl_api_wait_work, .finish = zl_api_wait_finish },
        { "POST", V1 "/containers/{name}/start", "startContainer", .begin = zl_api_fetch_meaning,
          .work = zl_api_start_container_work, .finish = zl_api_start_container_finish },
        { "POST", V1 "/containers/{name}/restart", "restartContainer", .query = &zl_api_stop_query,
          .begin = zl_api_fetch_meaning, .work = zl_api_restart_container_work,
          .finish = zl_api_start_container_finish },
        { "POST", V1 "/containers/{name}/stop", "stopContainer", .query = &zl_api_stop_query,
          .begin = zl_api_fetch_meaning, .work = zl_api_stop_work, .status = 204 },
        { "POST", V1 "/containers/{name}/kill", "killContainer", .query = &zl_api_kill_query,
          .begin = zl_api_kill_begin, .work = zl_api_kill_work, .status = 204 },
        { "POST", V1 "/containers/{name}/pause", "pauseContainer", .begin = zl_api_fetch_meaning,
          .work = zl_api_pause_work, .status = 204 },
        { "POST", V1 "/containers/{name}/resume", "resumeContainer", .begin = zl_api_fetch_meaning,
          .work = zl_api_resume_work, .status = 204 },
        { "POST", V1 "/containers/{name}/exec", "exec", .body = &zl_api_exec_body,
          .begin = zl_api_exec_begin, .work = zl_api_exec_work, .finish = zl_api_exec_finish },
        { "POST", V1 "/containers/{name}/attach", "attach", .query = &zl_api_attach_query,
          .begin = zl_api_attach_begin, .work = zl_api_attach_work,
          .finish = zl_api_attach_finish },

        { "GET", V1 "/images", "listImages", .work = zl_api_images_work },
        { "POST", V1 "/images/pull", "pullImage", .body = &zl_api_pull_body, .begin = zl_api_pull },
        { "DELETE", V1 "/images", "removeImage", .query = &zl_api_image_query,
          .work = zl_api_image_remove_work, .status = 204 },
};
const size_t zl_api_n_routes = ZL_ARRAY_SIZE(zl_api_routes);
