/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The config document of a container image: what to run, and the digests of the unpacked layers. Docker
 * and the OCI write the same members; healthcheck is Docker's own and kept because specs rely on it.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/strv.h"
#include "oci/image.h"

void zl_image_config_done(struct zl_image_config *c)
{
        zl_platform_done(&c->platform);
        zl_strv_free(c->diff_ids);
        zl_strv_free(c->env);
        zl_strv_free(c->entrypoint);
        zl_strv_free(c->cmd);
        zl_strv_free(c->volumes);
        zl_strv_free(c->labels);
        zl_strv_free(c->exposed_ports);
        zl_strv_free(c->health_test);
        free(c->user);
        free(c->working_dir);
        free(c->stop_signal);
        *c = (struct zl_image_config){ 0 };
}

static int wrong(const char *what, const char *key, const char *wanted, struct zl_error *err)
{
        return zl_fail(err, ZL_E_PROTOCOL, 0, "%s: \"%s\" is not %s", what, key, wanted);
}

static int take_string(const json_t *object, const char *key, char **ret, const char *what,
                       struct zl_error *err)
{
        const json_t *value = json_object_get(object, key);

        if (!value || json_is_null(value))
                return 0;
        if (!json_is_string(value))
                return wrong(what, key, "a string", err);
        /* Docker writes "" where it means nothing. */
        if (json_string_length(value) == 0)
                return 0;
        return zl_replace_str(ret, json_string_value(value)) < 0 ? zl_fail_oom(err) : 0;
}

static int take_strings(const json_t *object, const char *key, char ***ret, const char *what,
                        struct zl_error *err)
{
        const json_t *list = json_object_get(object, key), *item;
        size_t i;

        if (!list || json_is_null(list))
                return 0;
        /* A lone string is a list of one: some old builders write Entrypoint so. */
        if (json_is_string(list))
                return zl_strv_push(ret, json_string_value(list)) < 0 ? zl_fail_oom(err) : 0;
        if (!json_is_array(list))
                return wrong(what, key, "a list of strings", err);
        json_array_foreach(list, i, item)
        {
                if (!json_is_string(item))
                        return wrong(what, key, "a list of strings", err);
                if (zl_strv_push(ret, json_string_value(item)) < 0)
                        return zl_fail_oom(err);
        }
        return 0;
}

/* The keys of an object ("Volumes", "ExposedPorts"), or with `values` "KEY=VALUE" ("Labels"). */
/* zl-size: called from one table-like list */
static int take_keys(json_t *object, const char *key, bool values, char ***ret, const char *what,
                     struct zl_error *err)
{
        json_t *map = json_object_get(object, key), *value;
        const char *name;

        if (!map || json_is_null(map))
                return 0;
        if (!json_is_object(map))
                return wrong(what, key, "an object", err);
        json_object_foreach(map, name, value)
        {
                const char *text = json_string_value(value);

                if (zl_strv_pushf(ret, "%s%s%s", name, values ? "=" : "",
                                  values && text ? text : "") < 0)
                        return zl_fail_oom(err);
        }
        return 0;
}

static int parse_health(json_t *config, struct zl_image_config *c, const char *what,
                        struct zl_error *err)
{
        json_t *health = json_object_get(config, "Healthcheck");

        if (!json_is_object(health))
                return 0;
        c->has_healthcheck = true;
        c->health_interval = zl_json_int(health, "Interval", 0);
        c->health_timeout = zl_json_int(health, "Timeout", 0);
        c->health_start_period = zl_json_int(health, "StartPeriod", 0);
        c->health_retries = zl_json_int(health, "Retries", 0);
        return take_strings(health, "Test", &c->health_test, what, err);
}

static int parse_run_config(json_t *config, struct zl_image_config *c, const char *what,
                            struct zl_error *err)
{
        int r;

        if (!config || json_is_null(config))
                return 0;
        if (!json_is_object(config))
                return wrong(what, "config", "an object", err);
        if ((r = take_strings(config, "Env", &c->env, what, err)) < 0 ||
            (r = take_strings(config, "Entrypoint", &c->entrypoint, what, err)) < 0 ||
            (r = take_strings(config, "Cmd", &c->cmd, what, err)) < 0 ||
            (r = take_string(config, "User", &c->user, what, err)) < 0 ||
            (r = take_string(config, "WorkingDir", &c->working_dir, what, err)) < 0 ||
            (r = take_string(config, "StopSignal", &c->stop_signal, what, err)) < 0 ||
            (r = take_keys(config, "Volumes", false, &c->volumes, what, err)) < 0 ||
            (r = take_keys(config, "Labels", true, &c->labels, what, err)) < 0 ||
            (r = take_keys(config, "ExposedPorts", false, &c->exposed_ports, what, err)) < 0)
                return r;
        return parse_health(config, c, what, err);
}

static int parse_rootfs(const json_t *json, struct zl_image_config *c, const char *what,
                        struct zl_error *err)
{
        const json_t *rootfs = json_object_get(json, "rootfs");
        int r;

        if (!json_is_object(rootfs))
                return 0;
        r = take_strings(rootfs, "diff_ids", &c->diff_ids, what, err);
        if (r < 0)
                return r;
        ZL_STRV_FOREACH(id, c->diff_ids)
                if (zl_digest_check(*id, NULL) < 0)
                        return zl_fail(err, ZL_E_PROTOCOL, 0,
                                       "%s: the diff id \"%.100s\" is not a digest", what, *id);
        return 0;
}

static int parse_config(json_t *json, struct zl_image_config *c, const char *what,
                        struct zl_error *err)
{
        const char *created = zl_json_str(json, "created", NULL);
        int r;

        if (!json_is_object(json))
                return zl_fail(err, ZL_E_PROTOCOL, 0, "%s is not a JSON object", what);
        if (created && zl_parse_rfc3339(created, &c->created) < 0)
                c->created = 0; /* only shown to people: not worth refusing an image */
        if ((r = take_string(json, "os", &c->platform.os, what, err)) < 0 ||
            (r = take_string(json, "architecture", &c->platform.architecture, what, err)) < 0 ||
            (r = take_string(json, "variant", &c->platform.variant, what, err)) < 0 ||
            (r = take_string(json, "os.version", &c->platform.os_version, what, err)) < 0 ||
            (r = parse_run_config(json_object_get(json, "config"), c, what, err)) < 0)
                return r;
        return parse_rootfs(json, c, what, err);
}

int zl_image_config_parse(const char *text, size_t len, const char *what,
                          struct zl_image_config *ret, struct zl_error *err)
{
        _cleanup_image_config_ struct zl_image_config config = { 0 };
        _cleanup_json_ json_t *json = NULL;
        int r = zl_json_parse(text, len, what, &json, err);

        if (r < 0)
                return r;
        r = parse_config(json, &config, what, err);
        if (r < 0)
                return r;
        *ret = config;
        config = (struct zl_image_config){ 0 };
        return 0;
}
