/* SPDX-License-Identifier: Apache-2.0 */
/* See job_request.h. */
#include "agent/job_request.h"

#include <stdio.h>

#include "base/strv.h"
#include "spec/spec.h"

static int run(struct zl_agent *agent, const char *deployment, const char *service,
               char name[ZL_IDENT_NAME_MAX], struct zl_error *err)
{
        return zl_agent_job_run(agent, deployment, service, name, err);
}

static int cancel(struct zl_agent *agent, const char *deployment, const char *execution,
                  char name[ZL_IDENT_NAME_MAX], struct zl_error *err)
{
        (void)deployment;
        (void)name;
        return zl_agent_job_cancel(agent, execution, err);
}

static int enable(struct zl_agent *agent, const char *deployment, const char *service,
                  char name[ZL_IDENT_NAME_MAX], struct zl_error *err)
{
        (void)name;
        return zl_agent_cron_enable(agent, deployment, service, true, err);
}

static int disable(struct zl_agent *agent, const char *deployment, const char *service,
                   char name[ZL_IDENT_NAME_MAX], struct zl_error *err)
{
        (void)name;
        return zl_agent_cron_enable(agent, deployment, service, false, err);
}

static const struct {
        const char *verb; /* with the blank behind it */
        int (*run)(struct zl_agent *agent, const char *deployment, const char *what,
                   char name[ZL_IDENT_NAME_MAX], struct zl_error *err);
} requests[] = {
        { "job-run ", run },
        { "job-cancel ", cancel },
        { "cron-enable ", enable },
        { "cron-disable ", disable },
};

bool zl_job_request(struct zl_agent *agent, const char *deployment, const char *line,
                    char **ret_answer)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(requests); i++) {
                const char *what = zl_startswith(line, requests[i].verb);
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
                char name[ZL_IDENT_NAME_MAX] = "";
                int n;

                if (!what)
                        continue;
                if (requests[i].run(agent, deployment, what, name, &err) < 0)
                        n = asprintf(ret_answer, "error %s", zl_error_message(&err));
                else
                        n = asprintf(ret_answer, "ok%s%s", *name ? " " : "", name);
                return n >= 0;
        }
        return false;
}

/* Nothing of it would be brought back to life with it. */
static bool has_only_jobs(const struct zl_deployment_spec *spec)
{
        for (size_t i = 0; i < spec->n_services; i++)
                if (spec->services[i].spec->rtype != ZL_RTYPE_JOB)
                        return false;
        return true;
}

int zl_job_spec_at_rest(struct zl_store *store, const char *deployment, const char *service,
                        bool finished, struct zl_deployment_spec **ret, struct zl_error *err)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        _cleanup_free_ char *text = NULL;
        const struct zl_service_spec *job;
        bool active;
        int r = zl_store_get_deployment(store, deployment, &text, &active, err);

        if (r > 0)
                r = zl_spec_load_text(text, strlen(text), &spec, NULL, err);
        if (r < 0)
                return r;
        if (!spec || (!finished && !has_only_jobs(spec)))
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "deployment %s is not up", deployment);
        job = zl_spec_get_service(spec, service);
        if (!job || job->rtype != ZL_RTYPE_JOB)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "%s.%s is no job", deployment, service);
        *ret = zl_take_ptr(spec);
        return 0;
}
