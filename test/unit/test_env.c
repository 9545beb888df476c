/* SPDX-License-Identifier: Apache-2.0 */
/* Environment of workloads: $E:, $S: and what is literal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/env.h"
#include "base/strv.h"

static const char *allowed; /* ZLAYER_ENV_ALLOW */
static bool without_store;

static const char *fake_getenv(void *data, const char *name)
{
        (void)data;
        if (strcmp(name, "HOME_TOWN") == 0)
                return "Köln";
        if (strcmp(name, "EMPTY") == 0)
                return "";
        if (strcmp(name, "ZLAYER_ENV_ALLOW") == 0)
                return allowed;
        if (strncmp(name, "ZLAYER_SECRETS_", 15) == 0)
                return "the key";
        return strcmp(name, "BINARY") == 0 ? "\xff\xfe" : NULL;
}

static const char *or_dash(const char *s)
{
        return s ? s : "-";
}

static int fake_secret(void *data, const char *deployment, const struct zl_secret_ref *ref,
                       char **ret, struct zl_error *err)
{
        (void)data;
        if (strcmp(ref->name, "missing") == 0)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "there is no secret %s", ref->name);
        return asprintf(ret, "secret of %s: %s %s %s %s", deployment, or_dash(ref->service),
                        or_dash(ref->environment), ref->name, or_dash(ref->field)) < 0
                       ? -ENOMEM
                       : 0;
}

static unsigned n_warnings;

static void count_warning(const char *text, void *data)
{
        (void)data;
        assert_non_null(strstr(text, "EMPTY"));
        n_warnings++;
}

static int resolve(const char *key, const char *value, char ***env, struct zl_error *err)
{
        struct zl_str_map map = { 0 };
        struct zl_env_source source = { .getenv = fake_getenv,
                                        .warn = count_warning,
                                        .secret = without_store ? NULL : fake_secret,
                                        .deployment = "app" };
        int r;

        assert_int_equal(zl_str_map_set(&map, key, value), 0);
        r = zl_env_resolve(&map, &source, env, err);
        free(map.items[0].key);
        free(map.items[0].value);
        free(map.items);
        return r;
}

static void assert_value(const char *given, const char *expected)
{
        char **env = NULL;

        assert_int_equal(resolve("K", given, &env, NULL), 0);
        assert_string_equal(zl_env_get(env, "K"), expected);
        zl_strv_free(env);
}

static void assert_refused(const char *key, const char *given, const char *part)
{
        struct zl_error err = ZL_ERROR_INIT;
        char **env = NULL;

        assert_true(resolve(key, given, &env, &err) < 0);
        assert_null(env);
        if (!strstr(zl_error_message(&err), part))
                fail_msg("\"%s\" does not contain \"%s\"", zl_error_message(&err), part);
        zl_error_done(&err);
}

static void literals(void **state)
{
        (void)state;
        assert_value("", "");
        assert_value("a=b", "a=b");
        assert_value("x$E:HOME_TOWN", "x$E:HOME_TOWN");
        assert_value("$E", "$E");
        assert_value("$S", "$S");
        assert_value("${HOME}", "${HOME}");
        assert_value("$$E:X", "$$E:X");
}

static void host_variables(void **state)
{
        (void)state;
        assert_value("$E:HOME_TOWN", "Köln");
        n_warnings = 0;
        assert_value("$E:EMPTY", "");
        assert_int_equal(n_warnings, 1);
        assert_refused("K", "$E:MISSING", "MISSING is not set");
        assert_refused("K", "$E:", "names no variable");
        assert_refused("K", "$E:BINARY", "not UTF-8");
        assert_refused("A=B", "x", "cannot be the name");
        assert_refused("", "x", "cannot be the name");
}

static void some_variables_are_not_for_workloads(void **state)
{
        (void)state;
        assert_refused("K", "$E:ZLAYER_SECRETS_KEY", "not for workloads");
        allowed = "OTHER,HOME_*";
        assert_value("$E:HOME_TOWN", "Köln");
        assert_refused("K", "$E:EMPTY", "EMPTY of the agent is not for workloads");
        allowed = "";
        assert_refused("K", "$E:HOME_TOWN", "not for workloads");
        allowed = "*";
        assert_value("$E:HOME_TOWN", "Köln");
        assert_refused("K", "$E:ZLAYER_SECRETS_PASSWORD", "not for workloads");
        allowed = NULL;
}

static void secrets(void **state)
{
        (void)state;
        assert_value("$S:db", "secret of app: - - db -");
        assert_value("$S:@web/db/user", "secret of app: web - db user");
        assert_value("$S::prod/db", "secret of app: - prod db -");
        assert_refused("K", "$S:a/b/c", "no reference");
        assert_refused("PASSWORD", "$S:missing", "env.PASSWORD: there is no secret missing");
        without_store = true;
        assert_refused("PASSWORD", "$S:db", "env.PASSWORD: there is no secrets store");
        without_store = false;
}

static void references(void **state)
{
        static const struct {
                const char *text;
                const char *service, *project, *environment, *name, *field;
        } good[] = {
                { "name", NULL, NULL, NULL, "name", NULL },
                { "name/field", NULL, NULL, NULL, "name", "field" },
                { "@svc/name", "svc", NULL, NULL, "name", NULL },
                { "@svc/name/f/g", "svc", NULL, NULL, "name", "f/g" },
                { "@svc/name/", "svc", NULL, NULL, "name", NULL },
                { ":env/name", NULL, NULL, "env", "name", NULL },
                { ":env/name/field", NULL, NULL, "env", "name", "field" },
                { "proj:env/name", NULL, "proj", "env", "name", NULL },
        };
        static const char *const bad[] = { "",        "/x",    "a/",       "a/b/c",  "@/n",
                                           "@svc",    "@svc/", ":env",     ":/name", ":env/",
                                           "a:b:c/n", "a/b:c", ":e/n/f/g", "p:e/n/" };

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(good); i++) {
                struct zl_secret_ref ref = { 0 };

                assert_int_equal(zl_secret_ref_parse(good[i].text, &ref), 0);
                assert_true(zl_streq_ptr(ref.service, good[i].service));
                assert_true(zl_streq_ptr(ref.project, good[i].project));
                assert_true(zl_streq_ptr(ref.environment, good[i].environment));
                assert_string_equal(ref.name, good[i].name);
                assert_true(zl_streq_ptr(ref.field, good[i].field));
                zl_secret_ref_done(&ref);
        }
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++) {
                struct zl_secret_ref ref = { 0 };

                if (zl_secret_ref_parse(bad[i], &ref) != -EINVAL)
                        fail_msg("\"%s\" was accepted", bad[i]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(literals),
                cmocka_unit_test(host_variables),
                cmocka_unit_test(some_variables_are_not_for_workloads),
                cmocka_unit_test(secrets),
                cmocka_unit_test(references),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
