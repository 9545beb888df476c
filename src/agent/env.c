/* SPDX-License-Identifier: Apache-2.0 */
/* See env.h. Grammar of references: spec reference §6.2. */
#include "agent/env.h"

#include <fnmatch.h>
#include <stdio.h>

#include "agent/secrets.h"
#include "base/parse.h"
#include "base/strv.h"

static bool is_allowed(const char *name, const struct zl_env_source *source)
{
        const char *list = source->getenv(source->host_data, "ZLAYER_ENV_ALLOW");

        if (zl_startswith(name, "ZLAYER_SECRETS_"))
                return false;
        if (!list)
                return true;
        while (*list) {
                size_t len = strcspn(list, ",");
                _cleanup_free_ char *pattern = strndup(list, len);

                if (pattern && fnmatch(pattern, name, 0) == 0)
                        return true;
                list += len + (list[len] == ',');
        }
        return false;
}

static int resolve_host(const char *key, const char *name, const struct zl_env_source *source,
                        char ***env, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        const char *value;
        int r;

        if (!*name)
                return zl_fail(err, ZL_E_INVALID, 0, "env.%s: \"$E:\" names no variable", key);
        if (!is_allowed(name, source)) {
                r = zl_fail(err, ZL_E_PERMISSION, 0,
                            "env.%s: the variable %s of the agent is not for workloads", key, name);
                zl_error_hint(err, "ZLAYER_ENV_ALLOW lists those that are");
                return r;
        }
        value = source->getenv(source->host_data, name);
        if (!value) {
                r = zl_fail(err, ZL_E_INVALID, 0,
                            "env.%s: the variable %s is not set in the environment of the agent",
                            key, name);
                zl_error_hint(err, "set it: %s=… zlayer-agent …", name);
                return r;
        }
        if (!zl_utf8_is_valid(value, strlen(value)))
                return zl_fail(err, ZL_E_INVALID, 0, "env.%s: the variable %s is not UTF-8", key,
                               name);
        if (!*value && source->warn &&
            asprintf(&text, "env.%s: the variable %s of the agent is empty", key, name) >= 0)
                source->warn(text, source->warn_data);
        return zl_strv_pushf(env, "%s=%s", key, value) < 0 ? zl_fail_oom(err) : 0;
}

static int resolve_secret(const char *key, const char *reference,
                          const struct zl_env_source *source, char ***env, struct zl_error *err)
{
        struct zl_secret_ref ref;
        char *value = NULL;
        int r = zl_secret_ref_parse(reference, &ref);

        if (r == -ENOMEM)
                return zl_fail_oom(err);
        if (r < 0) {
                r = zl_fail(err, ZL_E_INVALID, 0, "env.%s: \"$S:%s\" is no reference to a secret",
                            key, reference);
                zl_error_hint(err, "forms: $S:NAME, $S:NAME/FIELD, $S:@SERVICE/NAME, $S::ENV/NAME, "
                                   "$S:PROJECT:ENV/NAME");
                return r;
        }
        if (source->secret)
                r = source->secret(source->host_data, source->deployment, &ref, &value, err);
        else
                r = zl_fail(err, ZL_E_CONFIGURATION, 0, "there is no secrets store");
        zl_secret_ref_done(&ref);
        if (r < 0) {
                zl_error_prefix(err, "env.%s", key);
                return r;
        }
        r = zl_strv_pushf(env, "%s=%s", key, value);
        zl_secret_wipe(value);
        return r < 0 ? zl_fail_oom(err) : 0;
}

int zl_env_resolve(const struct zl_str_map *map, const struct zl_env_source *source,
                   char ***ret_env, struct zl_error *err)
{
        _cleanup_strv_ char **env = NULL;

        for (size_t i = 0; i < map->n; i++) {
                const char *key = map->items[i].key, *value = map->items[i].value, *rest;
                int r;

                if (!*key || strchr(key, '='))
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "env: \"%s\" cannot be the name of a variable", key);
                if ((rest = zl_startswith(value, "$E:")))
                        r = resolve_host(key, rest, source, &env, err);
                else if ((rest = zl_startswith(value, "$S:")))
                        r = resolve_secret(key, rest, source, &env, err);
                else
                        r = zl_strv_pushf(&env, "%s=%s", key, value) < 0 ? zl_fail_oom(err) : 0;
                if (r < 0)
                        return r;
        }
        *ret_env = zl_take_ptr(env);
        return 0;
}

/* ---- references ------------------------------------------------------------------------------------------ */

/* "name[/field]" with no empty part and at most one slash. */
static bool split_name(char *s, struct zl_secret_ref *ref)
{
        char *slash = strchr(s, '/');

        if (slash) {
                *slash = 0;
                ref->field = slash + 1;
                if (!*ref->field || strchr(ref->field, '/'))
                        return false;
        }
        ref->name = s;
        return *s && !strchr(s, ':');
}

/* "@service/name[/field]": all behind the second slash is the field; an empty one is none. */
static bool split_service(char *s, struct zl_secret_ref *ref)
{
        char *slash = strchr(s, '/');

        if (!slash || slash == s)
                return false;
        *slash = 0;
        ref->service = s;
        ref->name = slash + 1;
        slash = strchr(slash + 1, '/');
        if (slash) {
                *slash = 0;
                ref->field = slash[1] ? slash + 1 : NULL;
        }
        return *ref->name != 0;
}

/* "[project]:env/name[/field]". */
static bool split_environment(char *s, char *colon, struct zl_secret_ref *ref)
{
        char *slash = strchr(s, '/');

        if (!slash || slash < colon)
                return false;
        *colon = 0;
        *slash = 0;
        ref->project = *s ? s : NULL;
        ref->environment = colon + 1;
        if (!*ref->environment || strchr(ref->environment, ':'))
                return false;
        return split_name(slash + 1, ref);
}

int zl_secret_ref_parse(const char *text, struct zl_secret_ref *ret)
{
        struct zl_secret_ref ref = { .buf = strdup(text) };
        char *colon;
        bool ok;

        if (!ref.buf)
                return -ENOMEM;
        colon = strchr(ref.buf, ':');
        if (ref.buf[0] == '@')
                ok = split_service(ref.buf + 1, &ref);
        else if (colon)
                ok = split_environment(ref.buf, colon, &ref);
        else
                ok = split_name(ref.buf, &ref);
        if (!ok) {
                free(ref.buf);
                return -EINVAL;
        }
        *ret = ref;
        return 0;
}

void zl_secret_ref_done(struct zl_secret_ref *ref)
{
        free(ref->buf);
        *ref = (struct zl_secret_ref){ 0 };
}
