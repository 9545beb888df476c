/* SPDX-License-Identifier: Apache-2.0 */
/* See kept_run.h. */
#include "agent/kept_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec/spec.h"

bool zl_kept_run_is_wanted(const struct zl_service_spec *spec)
{
        return spec->restart_policy && spec->restart_policy->kind != ZL_RESTART_NO;
}

int zl_kept_run_ident(const char *name, struct zl_ident *ret, struct zl_error *err)
{
        char deployment[sizeof(ret->deployment)];
        int r;

        if ((size_t)snprintf(deployment, sizeof(deployment), ZL_IDENT_RUN_PREFIX "%s", name) >=
                    sizeof(deployment) ||
            strchr(name, '_') || !zl_ident_part_is_valid(name)) {
                r = zl_fail(err, ZL_E_INVALID, 0, "\"%s\" cannot name what is to be restarted",
                            name);
                zl_error_hint(err, "use letters, digits and '-', beginning with a letter or digit, "
                                   "at most 59 characters");
                return r;
        }
        return zl_ident_make(ret, deployment, name, 1, err);
}

static int check_env(const struct zl_service_spec *service, struct zl_error *err)
{
        for (size_t i = 0; i < service->env.n; i++) {
                const char *value = service->env.items[i].value;

                if (!zl_startswith(value, "$E:") && !zl_startswith(value, "$S:"))
                        continue;
                return zl_fail(err, ZL_E_INVALID, 0,
                               "env: what is to be restarted cannot have %s=\"%.3s…\": in a "
                               "deployment that is a reference",
                               service->env.items[i].key, value);
        }
        return 0;
}

int zl_kept_run_spec(const struct zl_ident *ident, const struct zl_service_spec *service,
                     struct zl_deployment_spec **ret, struct zl_error *err)
{
        struct zl_service_spec *copy = zl_service_spec_copy(service);
        _cleanup_free_ char *text = NULL;
        struct zl_service_entry entry = { .name = (char *)(uintptr_t)ident->service, .spec = copy };
        const struct zl_deployment_spec spec = { .version = (char[]){ "v1" },
                                                 .deployment = (char *)(uintptr_t)ident->deployment,
                                                 .services = &entry,
                                                 .n_services = 1 };
        int r = copy ? check_env(service, err) : zl_fail_oom(err);

        if (r >= 0) {
                copy->scale = (struct zl_scale_spec){ .mode = ZL_SCALE_FIXED, .replicas = 1 };
                text = zl_spec_dump_stored(&spec);
                if (!text)
                        r = zl_fail_oom(err);
        }
        /* Read back it has been checked like any other. */
        if (r >= 0)
                r = zl_spec_load_text(text, strlen(text), ret, NULL, err);
        zl_service_spec_free(copy);
        return r;
}

static int check_one(struct zl_runtime *rt, const struct zl_ident *id, struct zl_error *err)
{
        _cleanup_error_ struct zl_error ignored = ZL_ERROR_INIT;
        struct zl_status status;
        char name[ZL_IDENT_NAME_MAX];

        if (zl_runtime_state(rt, zl_ident_name(id, name), &status, &ignored) < 0)
                return 0;
        zl_status_done(&status);
        return zl_fail(err, ZL_E_EXISTS, 0, "the name %s is taken by %s", id->service, name);
}

int zl_kept_run_check_free(struct zl_runtime *rt, const char *name, bool kept, struct zl_error *err)
{
        struct zl_ident id;
        int r = kept ? zl_ident_make(&id, ZL_IDENT_RUN_DEPLOYMENT, name, 1, err) : 0;

        if (kept && r >= 0)
                r = check_one(rt, &id, err);
        if (r >= 0 && zl_kept_run_ident(name, &id, NULL) >= 0)
                r = check_one(rt, &id, err);
        return r;
}
