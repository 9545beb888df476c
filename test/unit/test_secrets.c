/* SPDX-License-Identifier: Apache-2.0 */
/* The secrets store: round trips, scopes, fields, keys, damage. */
#include "support.h"

#include "agent/seal.h"
#include "agent/secrets.h"
#include "base/strv.h"

static char **vars; /* the environment that the store sees */

static const char *fake_getenv(void *data, const char *name)
{
        (void)data;
        return zl_env_get(vars, name);
}

static void set_var(const char *name, const char *value)
{
        assert_int_equal(zl_env_set(&vars, name, value), 0);
}

static void forget_vars(void)
{
        zl_strv_free(vars);
        vars = NULL;
}

static struct zl_secrets *open_store(const char *root)
{
        struct zl_secrets_options options = { .root_dir = root, .getenv = fake_getenv };
        struct zl_secrets *s = NULL;

        assert_int_equal(zl_secrets_open(&options, &s, NULL), 0);
        return s;
}

static int put(struct zl_secrets *s, const char *scope, const char *name, const char *value)
{
        return zl_secret_put(s, scope, name, value, strlen(value), NULL);
}

static int resolve(struct zl_secrets *s, const char *deployment, const char *text, char **ret,
                   struct zl_error *err)
{
        struct zl_secret_ref ref;
        int r;

        assert_int_equal(zl_secret_ref_parse(text, &ref), 0);
        r = zl_secret_resolve(s, deployment, &ref, ret, err);
        zl_secret_ref_done(&ref);
        return r;
}

static void assert_value(struct zl_secrets *s, const char *deployment, const char *text,
                         const char *expected)
{
        char *got = NULL;

        assert_int_equal(resolve(s, deployment, text, &got, NULL), 0);
        assert_string_equal(got, expected);
        zl_secret_wipe(got);
}

static void assert_fault(struct zl_secrets *s, const char *deployment, const char *text,
                         enum zl_code code, const char *part)
{
        struct zl_error err = ZL_ERROR_INIT;
        char *got = NULL;

        assert_true(resolve(s, deployment, text, &got, &err) < 0);
        assert_int_equal(err.code, code);
        assert_non_null(strstr(zl_error_message(&err), part));
        zl_error_done(&err);
}

/* ---- sealing ------------------------------------------------------------------------------------------------ */

static void test_seal(void **state)
{
        struct zl_seal_key key, other;
        struct zl_sealed a, b;
        char *text = NULL;
        size_t len;

        (void)state;
        memset(&key, 7, sizeof(key));
        memset(&other, 8, sizeof(other));
        assert_int_equal(zl_seal(&key, "x", "hello", 5, &a), 0);
        assert_int_equal(zl_seal(&key, "x", "hello", 5, &b), 0);
        assert_int_equal(a.len, 5 + ZL_SEAL_OVERHEAD);
        /* never twice the same */
        assert_memory_not_equal(a.data, b.data, a.len);
        assert_int_equal(zl_unseal(&key, "x", &a, &text, &len), 0);
        assert_int_equal(len, 5);
        assert_string_equal(text, "hello");
        free(text);
        assert_int_equal(zl_unseal(&key, "y", &a, &text, &len), -EBADMSG);
        assert_int_equal(zl_unseal(&other, "x", &a, &text, &len), -EBADMSG);
        for (size_t i = 0; i < a.len; i++) {
                a.data[i] ^= 1;
                assert_int_equal(zl_unseal(&key, "x", &a, &text, &len), -EBADMSG);
                a.data[i] ^= 1;
        }
        a.len = ZL_SEAL_OVERHEAD - 1;
        assert_int_equal(zl_unseal(&key, "x", &a, &text, &len), -EBADMSG);
        free(a.data);
        assert_int_equal(zl_seal(&key, "x", "", 0, &a), 0);
        assert_int_equal(zl_unseal(&key, "x", &a, &text, &len), 0);
        assert_int_equal(len, 0);
        free(text);
        free(a.data);
        free(b.data);
}

static void test_key_text(void **state)
{
        char text[67];
        struct zl_seal_key key;

        (void)state;
        memset(text, 'a', 64);
        strcpy(text + 64, "\n");
        assert_int_equal(zl_seal_key_parse(text, &key), 0);
        assert_int_equal(key.bytes[31], 0xaa);
        text[63] = 'g';
        assert_int_equal(zl_seal_key_parse(text, &key), -EINVAL);
        text[63] = 0;
        assert_int_equal(zl_seal_key_parse(text, &key), -EINVAL);
        memset(text, 'a', 66);
        text[66] = 0;
        assert_int_equal(zl_seal_key_parse(text, &key), -EINVAL);
        assert_int_equal(zl_seal_key_parse("", &key), -EINVAL);
}

/* ---- the store ------------------------------------------------------------------------------------------------ */

static void test_scopes(void **state)
{
        struct place *p = *state;
        struct zl_secrets *s = open_store(p->path);

        assert_fault(s, "app", "pass", ZL_E_NOT_FOUND, "no secret pass of app");
        assert_int_equal(put(s, "", "pass", "for all"), 0);
        assert_value(s, "app", "pass", "for all");
        assert_int_equal(put(s, "app", "pass", "for app"), 0);
        assert_value(s, "app", "pass", "for app");
        assert_value(s, "other", "pass", "for all");
        assert_int_equal(put(s, "app/db", "pass", "for db"), 0);
        assert_value(s, "app", "@db/pass", "for db");
        /* what belongs to one service or environment is nobody else's, and "for all" is not meant by it */
        assert_fault(s, "other", "@db/pass", ZL_E_NOT_FOUND, "pass of other/db");
        assert_fault(s, "app", ":prod/pass", ZL_E_NOT_FOUND, "pass of :prod");
        assert_int_equal(put(s, ":prod", "pass", "for prod"), 0);
        assert_int_equal(put(s, "shop:prod", "pass", "for shop"), 0);
        assert_value(s, "app", ":prod/pass", "for prod");
        assert_value(s, "app", "shop:prod/pass", "for shop");
        zl_secrets_close(s);
}

static void test_fields(void **state)
{
        struct place *p = *state;
        struct zl_secrets *s = open_store(p->path);

        put(s, "", "doc",
            "{\"s\": \"t\\u00e9xt\", \"n\": 5, \"f\": 1.5, \"b\": true, \"z\": null, \"o\": {\"a\": [1, 2]}}");
        put(s, "", "plain", "word");
        put(s, "", "list", "[1]");
        assert_value(s, "app", "doc/s", "t\xc3\xa9xt");
        assert_value(s, "app", "doc/n", "5");
        assert_value(s, "app", "doc/f", "1.5");
        assert_value(s, "app", "doc/b", "true");
        assert_value(s, "app", "doc/z", "");
        assert_value(s, "app", "doc/o", "{\"a\":[1,2]}");
        assert_fault(s, "app", "doc/missing", ZL_E_NOT_FOUND, "no field \"missing\"");
        assert_fault(s, "app", "plain/x", ZL_E_INVALID, "no JSON object");
        assert_fault(s, "app", "list/x", ZL_E_INVALID, "no JSON object");
        zl_secrets_close(s);
}

static void test_put_and_remove(void **state)
{
        struct place *p = *state;
        struct zl_secrets *s = open_store(p->path), *again = open_store(p->path);
        struct zl_secret_info *infos = NULL;
        char *big = malloc(ZL_SECRET_VALUE_MAX + 2);
        struct stat st;
        size_t n = 0;

        assert_non_null(big);
        assert_int_equal(put(s, "b", "y", "1"), 0);
        assert_int_equal(put(s, "b", "x", "2"), 0);
        assert_int_equal(put(s, "a", "z", "3"), 0);
        assert_int_equal(put(s, "a", "z", "4"), 0);
        /* another one sees it, and it is nobody else's to read */
        assert_value(again, "a", "z", "4");
        assert_int_equal(fstatat(p->fd, "secrets.json", &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(fstatat(p->fd, "secrets.key", &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(zl_secret_list(again, &infos, &n, NULL), 0);
        assert_int_equal(n, 3);
        assert_string_equal(infos[0].name, "z");
        assert_string_equal(infos[1].name, "x");
        assert_string_equal(infos[2].scope, "b");
        assert_true(infos[0].updated_at > 0);
        zl_secret_info_free(infos, n);
        assert_int_equal(zl_secret_remove(again, "a", "z", NULL), 0);
        assert_fault(s, "a", "z", ZL_E_NOT_FOUND, "no secret z of a");
        assert_int_equal(zl_secret_remove(s, "a", "z", NULL), -ENOENT);
        memset(big, 'v', ZL_SECRET_VALUE_MAX + 1);
        big[ZL_SECRET_VALUE_MAX + 1] = 0;
        assert_int_equal(put(s, "", "big", big), -EINVAL);
        big[ZL_SECRET_VALUE_MAX] = 0;
        assert_int_equal(put(s, "", "big", big), 0);
        assert_value(s, "", "big", big);
        free(big);
        assert_int_equal(put(s, "", "", "v"), -EINVAL);
        assert_int_equal(put(s, "", "a/b", "v"), -EINVAL);
        assert_int_equal(put(s, "", "a:b", "v"), -EINVAL);
        assert_int_equal(zl_secret_put(s, "", "zero", "a\0b", 3, NULL), 0);
        assert_fault(s, "", "zero", ZL_E_INVALID, "zero byte");
        zl_secrets_close(s);
        zl_secrets_close(again);
}

/* ---- keys and damage -------------------------------------------------------------------------------------------- */

static void test_keys(void **state)
{
        struct place *p = *state;
        struct zl_secrets *s = open_store(p->path);

        set_var("ZLAYER_SECRETS_PASSWORD", "correct horse");
        assert_int_equal(put(s, "", "x", "1"), 0);
        assert_true(faccessat(p->fd, "secrets.key", F_OK, 0) < 0);
        zl_secrets_close(s);
        s = open_store(p->path);
        assert_value(s, "", "x", "1");
        zl_secrets_close(s);
        set_var("ZLAYER_SECRETS_PASSWORD", "wrong horse");
        s = open_store(p->path);
        assert_fault(s, "", "x", ZL_E_PERMISSION, "another key");
        /* nothing is mixed in that the first password could not read */
        assert_int_equal(put(s, "", "y", "2"), -EACCES);
        zl_secrets_close(s);
        forget_vars();
        s = open_store(p->path);
        assert_fault(s, "", "x", ZL_E_CONFIGURATION, "is missing");
        zl_secrets_close(s);
        set_var("ZLAYER_SECRETS_KEY", "abc");
        s = open_store(p->path);
        assert_fault(s, "", "x", ZL_E_INVALID, "64 hexadecimal");
        zl_secrets_close(s);
        forget_vars();
}

static void test_key_file(void **state)
{
        struct place *p = *state;
        struct zl_secrets *s = open_store(p->path);
        char path[128];

        snprintf(path, sizeof(path), "%s/my.key", p->path);
        set_var("ZLAYER_SECRETS_KEY_FILE", path);
        zl_secrets_close(s);
        s = open_store(p->path);
        assert_int_equal(put(s, "", "x", "1"), 0);
        assert_int_equal(access(path, F_OK), 0);
        zl_secrets_close(s);
        assert_int_equal(chmod(path, 0640), 0);
        s = open_store(p->path);
        assert_fault(s, "", "x", ZL_E_PERMISSION, "read by others");
        zl_secrets_close(s);
        assert_int_equal(chmod(path, 0600), 0);
        put_file(p->fd, "my.key", "not a key\n");
        s = open_store(p->path);
        assert_fault(s, "", "x", ZL_E_INVALID, "64 hexadecimal");
        zl_secrets_close(s);
        forget_vars();
}

static void test_damage(void **state)
{
        struct place *p = *state;
        struct zl_secrets *s = open_store(p->path);
        char *text, *at;

        assert_int_equal(put(s, "", "x", "1"), 0);
        assert_int_equal(put(s, "", "y", "2"), 0);
        assert_int_equal(zl_read_file_at(p->fd, "secrets.json", 1 << 20, &text, NULL), 0);
        /* x under the name of y */
        at = strstr(text, "\"x\"");
        assert_non_null(at);
        at[1] = 'w';
        put_file(p->fd, "secrets.json", text);
        assert_fault(s, "", "w", ZL_E_CORRUPT, "changed or moved");
        assert_value(s, "", "y", "2");
        put_file(p->fd, "secrets.json", "{\"version\": 9}");
        assert_fault(s, "", "y", ZL_E_CORRUPT, "not a store");
        put_file(p->fd, "secrets.json", "garbage");
        assert_fault(s, "", "y", ZL_E_INVALID, "secrets.json");
        assert_true(put(s, "", "z", "3") < 0);
        check_file(p->fd, "secrets.json", "garbage");
        free(text);
        zl_secrets_close(s);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_seal),
                cmocka_unit_test(test_key_text),
                T(test_scopes),
                T(test_fields),
                T(test_put_and_remove),
                T(test_keys),
                T(test_key_file),
                T(test_damage),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
