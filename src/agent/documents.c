/* SPDX-License-Identifier: Apache-2.0 */
/* See documents.h. When a schedule is due next is computed by the same functions as in the agent (job.h). */
#include "agent/documents.h"

#include "base/clock.h"
#include "base/strv.h"
#include "spec/spec.h"

static json_t *time_json(int64_t t)
{
        char text[ZL_RFC3339_SIZE];

        return t > 0 ? json_string(zl_format_rfc3339(t, text)) : json_null();
}

json_t *zl_execution_to_json(const struct zl_execution_record *e)
{
        char name[ZL_IDENT_NAME_MAX];

        snprintf(name, sizeof(name), "%s.%s.%u", e->deployment, e->service, e->number);
        return json_pack(
                "{s:s, s:s, s:s, s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:i, s:s?}", "name", name,
                "deployment", e->deployment, "service", e->service, "number", (int)e->number,
                "trigger", zl_trigger_name(e->trigger), "state", zl_execution_state_name(e->state),
                "scheduled_at", time_json(e->scheduled_at), "created_at", time_json(e->created_at),
                "started_at", time_json(e->started_at), "finished_at", time_json(e->finished_at),
                "exit_code", e->exit_code >= 0 ? json_integer(e->exit_code) : json_null(),
                "retries", (int)e->retries, "reason", e->reason);
}

json_t *zl_schedule_to_json(const struct zl_schedule_info *info)
{
        json_t *next = json_array();
        char text[ZL_RFC3339_SIZE];

        for (size_t i = 0; i < info->n_next; i++)
                json_array_append_new(next, json_string(zl_format_rfc3339(info->next[i], text)));
        return json_pack("{s:s, s:s?, s:s?, s:s?, s:b, s:b, s:o, s:o, s:s?}", "deployment",
                         info->deployment, "service", info->service, "schedule", info->schedule,
                         "timezone", info->timezone, "up", info->up, "enabled", info->enabled,
                         "last_run", time_json(info->last), "next", next, "problem", info->problem);
}

/* ---- schedules ------------------------------------------------------------------------------------------------- */

static int note_last(const struct zl_execution_record *e, void *data)
{
        struct zl_schedule_info *info = data;

        info->last = ZL_MAX(info->last, e->created_at);
        return 0;
}

static const char *label(const struct zl_service_spec *spec, const char *key, const char *fallback)
{
        for (size_t i = 0; i < spec->labels.n; i++)
                if (zl_streq(spec->labels.items[i].key, key))
                        return spec->labels.items[i].value;
        return fallback;
}

/* `problem` is filled if the schedule itself is at fault, `err` if the store is. */
static int fill(struct zl_store *store, const struct zl_service_spec *spec,
                struct zl_schedule_info *info, struct zl_error *problem, struct zl_error *err)
{
        struct zl_schedule schedule = { .enabled = true };
        struct zl_job_settings settings;
        int r;

        info->schedule = spec->schedule;
        info->timezone = label(spec, "zlayer.cron.timezone", "UTC");
        if (zl_job_settings_load(spec, &settings, problem) < 0) {
                info->problem = zl_error_message(problem);
                return 0;
        }
        r = zl_store_get_schedule(store, info->deployment, info->service, &schedule, err);
        if (r >= 0)
                r = zl_store_read_executions(store, info->deployment, info->service, note_last,
                                             info, err);
        info->enabled = schedule.enabled;
        if (r >= 0 && schedule.enabled && info->up)
                info->n_next = zl_job_next_times(&settings, zl_now_realtime(), info->next,
                                                 ZL_SCHEDULE_NEXT);
        zl_job_settings_done(&settings);
        return r < 0 ? r : 0;
}

static int read_deployment(struct zl_store *store, const char *name,
                           int (*each)(const struct zl_schedule_info *info, void *data), void *data,
                           struct zl_error *err)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        _cleanup_error_ struct zl_error problem = ZL_ERROR_INIT;
        _cleanup_free_ char *text = NULL;
        bool active = false;
        int r = zl_store_get_deployment(store, name, &text, &active, err);

        if (r <= 0)
                return r;
        if (zl_spec_load_text(text, strlen(text), &spec, NULL, &problem) < 0) {
                struct zl_schedule_info info = { .deployment = name,
                                                 .up = active,
                                                 .problem = zl_error_message(&problem) };

                return each(&info, data);
        }
        for (size_t i = 0; r >= 0 && i < spec->n_services; i++) {
                struct zl_schedule_info info = { .deployment = name,
                                                 .service = spec->services[i].name,
                                                 .up = active };

                if (spec->services[i].spec->rtype != ZL_RTYPE_CRON)
                        continue;
                zl_error_done(&problem);
                r = fill(store, spec->services[i].spec, &info, &problem, err);
                if (r >= 0)
                        r = each(&info, data);
        }
        return r < 0 ? r : 0;
}

int zl_schedules_read(struct zl_store *store,
                      int (*each)(const struct zl_schedule_info *info, void *data), void *data,
                      struct zl_error *err)
{
        _cleanup_strv_ char **names = NULL;
        int r = zl_store_list_deployments(store, &names, err);

        for (char **name = names; r >= 0 && name && *name; name++)
                r = read_deployment(store, *name, each, data, err);
        return r < 0 ? r : 0;
}
