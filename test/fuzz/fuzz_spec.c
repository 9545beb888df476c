/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a spec file: they load or are refused. What loads must dump, load again and dump to the same text, and
 * survive copying, storing and hashing: whatever breaks that is a bug too.
 */
#include <stdio.h>

#include "base/macro.h"
#include "schema/problem.h"
#include "spec/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool fine, const char *what, const char *a, const char *b)
{
        if (fine)
                return;
        fprintf(stderr, "%s\n--- first\n%s\n--- second\n%s\n", what, a ? a : "", b ? b : "");
        abort();
}

static void check_service(const struct zl_service_spec *service)
{
        _cleanup_service_spec_ struct zl_service_spec *copy = zl_service_spec_copy(service);
        _cleanup_service_spec_ struct zl_service_spec *back = NULL;
        _cleanup_free_ char *stored = NULL, *again = NULL;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        check(copy != NULL, "no copy", NULL, NULL);
        stored = zl_service_spec_dump_json(copy);
        if (zl_service_spec_load_json(stored, strlen(stored), &back, &err) < 0)
                check(false, "what was stored does not load", stored, zl_error_message(&err));
        again = zl_service_spec_dump_json(back);
        check(zl_streq(stored, again), "what was stored loads differently", stored, again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL, *back = NULL;
        _cleanup_(zl_problems_freep) struct zl_problems *problems = NULL;
        _cleanup_free_ char *yaml = NULL, *again = NULL, *json = NULL;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        int r = zl_spec_load_text((const char *)data, size, &spec, &problems, &err);

        if (r == -EINVAL)
                check(problems && problems->n > 0 && problems->items[0].line > 0,
                      "refused without a problem", zl_error_message(&err), NULL);
        if (r < 0)
                return 0;
        yaml = zl_spec_dump_yaml(spec);
        json = zl_spec_dump_json(spec);
        check(yaml && json, "no dump", yaml, json);
        if (zl_spec_load_text(yaml, strlen(yaml), &back, NULL, &err) < 0)
                check(false, "the dump does not load", yaml, zl_error_message(&err));
        again = zl_spec_dump_yaml(back);
        check(zl_streq(yaml, again), "the dump loads differently", yaml, again);
        for (size_t i = 0; i < spec->n_services; i++)
                check_service(spec->services[i].spec);
        return 0;
}
