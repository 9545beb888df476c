/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges of registries and credentials in Docker's configuration file. */
#include "support.h"

#include "image/auth.h"

static void test_challenges(void **state)
{
        static const struct {
                const char *text, *realm, *service, *scope;
                bool bearer;
        } good[] = {
                { "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull,push\"",
                  "https://a/t", "s", "repository:x:pull,push", true },
                { "bearer  realm=https://a/t , service=s", "https://a/t", "s", NULL, true },
                { "Bearer scope=\"\",realm=\"a \\\"quoted\\\" one\",error=\"x\"",
                  "a \"quoted\" one", NULL, "", true },
                { "Basic realm=\"r\"", "r", NULL, NULL, false },
                { "Basic", NULL, NULL, NULL, false },
        };
        static const char *const bad[] = { "",
                                           "Digest realm=x",
                                           "Bearer",
                                           "Bearer service=s",
                                           "Bearer realm",
                                           "Bearerrealm=x",
                                           "Bearer realm=\"\"" };

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(good); i++) {
                _cleanup_challenge_ struct zl_challenge c = { 0 };

                assert_int_equal(zl_challenge_parse(good[i].text, &c), 0);
                if (c.bearer != good[i].bearer || !zl_streq_ptr(c.realm, good[i].realm) ||
                    !zl_streq_ptr(c.service, good[i].service) ||
                    !zl_streq_ptr(c.scope, good[i].scope))
                        fail_msg("%s: %s %s %s", good[i].text, c.realm, c.service, c.scope);
        }
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++) {
                struct zl_challenge c = { 0 };

                if (zl_challenge_parse(bad[i], &c) != -EINVAL)
                        fail_msg("accepted: %s", bad[i]);
        }
}

static void test_docker_config(void **state)
{
        const struct place *p = *state;
        static const struct {
                const char *registry, *username, *password;
        } table[] = {
                { "plain.io", "u", "p" },  { "a.io:5000", "user", "pass:word" },
                { "https.io", "h", "w" },  { "docker.io", "hub", "secret" },
                { "none.io", NULL, NULL }, { "empty.io", NULL, NULL },
        };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_credentials bad = { 0 };

        setenv("DOCKER_CONFIG", p->path, 1);
        put_file(
                p->fd, "config.json",
                "{\"auths\":{\"plain.io\":{\"username\":\"u\",\"password\":\"p\"},"
                "\"a.io:5000\":{\"auth\":\"dXNlcjpwYXNzOndvcmQ=\"},"
                "\"https://https.io\":{\"auth\":\"aDp3\"},\"bad.io\":{\"auth\":\"!\"},"
                "\"https://index.docker.io/v1/\":{\"auth\":\"aHViOnNlY3JldA==\"},\"empty.io\":{}}}");
        for (size_t i = 0; i < ZL_ARRAY_SIZE(table); i++) {
                _cleanup_credentials_ struct zl_credentials c = { 0 };

                assert_int_equal(zl_credentials_load(table[i].registry, &c, NULL), 0);
                if (!zl_streq_ptr(c.username, table[i].username) ||
                    !zl_streq_ptr(c.password, table[i].password))
                        fail_msg("%s: %s %s", table[i].registry, c.username, c.password);
        }
        assert_int_equal(zl_credentials_load("bad.io", &bad, &err), -EINVAL);
        put_file(p->fd, "config.json", "{");
        assert_true(zl_credentials_load("plain.io", &bad, NULL) < 0);
        setenv("DOCKER_CONFIG", "/nonexistent", 1);
        assert_int_equal(zl_credentials_load("plain.io", &bad, NULL), 0);
        assert_null(bad.username);
}

static void test_basic(void **state)
{
        static char user[] = "Aladdin", password[] = "open sesame";
        const struct zl_credentials c = { user, password };
        _cleanup_free_ char *text = zl_credentials_basic(&c);

        (void)state;
        assert_string_equal(text, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_challenges),
                cmocka_unit_test(test_docker_config),
                cmocka_unit_test(test_basic),
        };

        return cmocka_run_group_tests(tests, place_setup, place_teardown);
}
