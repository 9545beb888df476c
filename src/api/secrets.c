/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets: they can be set, replaced, listed by name and removed. No answer holds a value. Each request opens the store anew
 * on a worker, since the key may have to be derived from a password, which takes its time.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent/secrets.h"
#include "api/handlers.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/ident.h"

static const char *from_environment(void *data, const char *name)
{
        (void)data;
        return getenv(name);
}

static int open_store(const struct zl_api_request *rq, struct zl_secrets **ret,
                      struct zl_error *err)
{
        struct zl_secrets_options options = { .root_dir = rq->api->options.root_dir,
                                              .getenv = from_environment };

        return zl_secrets_open(&options, ret, err);
}

/* ---- list -------------------------------------------------------------------------------------------------------- */

int zl_api_secrets_work(struct zl_api_request *rq, struct zl_error *err)
{
        _cleanup_secrets_ struct zl_secrets *secrets = NULL;
        struct zl_secret_info *infos = NULL;
        char time[ZL_RFC3339_SIZE];
        size_t n = 0;
        int r = open_store(rq, &secrets, err);

        if (r >= 0)
                r = zl_secret_list(secrets, &infos, &n, err);
        if (r < 0)
                return r;
        rq->result = json_array();
        for (size_t i = 0; i < n; i++)
                if (json_array_append_new(rq->result,
                                          json_pack("{s:s, s:s, s:s}", "scope", infos[i].scope,
                                                    "name", infos[i].name, "updated_at",
                                                    zl_format_rfc3339(infos[i].updated_at, time))) <
                    0)
                        r = -ENOMEM;
        zl_secret_info_free(infos, n);
        return r < 0 || !rq->result ? zl_fail_oom(err) : 0;
}

/* ---- set ---------------------------------------------------------------------------------------------------------- */

struct secret_body {
        char *name, *deployment, *value, *value_base64;
};

static const struct zl_field secret_fields[] = {
        ZL_FIELD(struct secret_body, "name", name, zl_type_str, .flags = ZL_REQUIRED),
        ZL_FIELD(struct secret_body, "deployment", deployment, zl_type_str, .flags = ZL_OPTIONAL),
        ZL_FIELD(struct secret_body, "value", value, zl_type_str, .flags = ZL_OPTIONAL),
        ZL_FIELD(struct secret_body, "value_base64", value_base64, zl_type_str,
                 .flags = ZL_OPTIONAL),
};
const struct zl_type zl_api_secret_body = ZL_TYPE_STRUCT(struct secret_body, "Secret",
                                                         secret_fields);

/* A name that is one by itself does not fit the deployment. */
static int parse_target(struct zl_api_request *rq, const char *name, const char *deployment,
                        struct zl_secret_target *ret, struct zl_error *err)
{
        struct zl_secret_ref ref = { 0 };
        bool is_name = zl_secret_ref_parse(name, &ref) >= 0 && !ref.field &&
                       zl_secret_name_is_valid(ref.name);

        zl_secret_ref_done(&ref);
        if (deployment && !zl_ident_part_is_valid(deployment)) {
                rq->field = "deployment";
                return zl_fail(err, ZL_E_INVALID, 0, "deployment: \"%s\" is no name of one",
                               deployment);
        }
        rq->field = is_name ? "deployment" : "name";
        return zl_secret_target_parse(name, deployment, ret, err);
}

int zl_api_secret_set_work(struct zl_api_request *rq, struct zl_error *err)
{
        const struct secret_body *body = rq->body_value;
        _cleanup_secrets_ struct zl_secrets *secrets = NULL;
        _cleanup_secret_target_ struct zl_secret_target target = { 0 };
        char *decoded = NULL;
        const void *value = body->value;
        size_t len = body->value ? strlen(body->value) : 0;
        int r = parse_target(rq, body->name, body->deployment, &target, err);

        if (r >= 0 && !body->value == !body->value_base64) {
                rq->field = "value";
                r = zl_fail(err, ZL_E_INVALID, 0, "value: either value or value_base64 is needed");
        } else if (r >= 0 && body->value_base64) {
                rq->field = "value_base64";
                if (zl_base64_decode(body->value_base64, &decoded, &len) < 0)
                        r = zl_fail(err, ZL_E_INVALID, 0, "value_base64: it is not base64");
                value = decoded;
        }
        if (r >= 0)
                rq->field = body->value ? "value" : "value_base64";
        if (r >= 0)
                r = open_store(rq, &secrets, err);
        if (r >= 0)
                r = zl_secret_put(secrets, target.scope, target.ref.name, value, len, err);
        if (decoded)
                explicit_bzero(decoded, len);
        free(decoded);
        /* What came in is not left in memory longer than it must. */
        if (rq->body.data)
                explicit_bzero(rq->body.data, rq->body.len);
        if (body->value)
                explicit_bzero(body->value, strlen(body->value));
        if (body->value_base64)
                explicit_bzero(body->value_base64, strlen(body->value_base64));
        return r;
}

/* ---- remove -------------------------------------------------------------------------------------------------------- */

struct secret_query {
        char *name, *deployment;
};

static const struct zl_field secret_query_fields[] = {
        ZL_FIELD(struct secret_query, "name", name, zl_type_str, .flags = ZL_REQUIRED),
        ZL_FIELD(struct secret_query, "deployment", deployment, zl_type_str, .flags = ZL_OPTIONAL),
};
const struct zl_type zl_api_secret_query = ZL_TYPE_STRUCT(struct secret_query, "SecretQuery",
                                                          secret_query_fields);

int zl_api_secret_remove_work(struct zl_api_request *rq, struct zl_error *err)
{
        const struct secret_query *q = rq->query;
        _cleanup_secrets_ struct zl_secrets *secrets = NULL;
        _cleanup_secret_target_ struct zl_secret_target target = { 0 };
        int r = parse_target(rq, q->name, q->deployment, &target, err);

        if (r >= 0)
                r = open_store(rq, &secrets, err);
        rq->field = r < 0 ? rq->field : "name";
        return r < 0 ? r : zl_secret_remove(secrets, target.scope, target.ref.name, err);
}
