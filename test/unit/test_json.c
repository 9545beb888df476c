/* SPDX-License-Identifier: Apache-2.0 */
/* JSON of our own: strict reading, limits, members with defaults, text that is not UTF-8. */
#include "support.h"

#include "base/json.h"

static int parse(const char *text, json_t **ret, struct zl_error *err)
{
        return zl_json_parse(text, strlen(text), "doc", ret, err);
}

static void reads_strictly(void **state)
{
        static const char *const bad[] = { "",        "{",        "{\"a\":1,\"a\":2}",
                                           "{'a':1}", "[1,]",     "01",
                                           "{} {}",   "nul",      "\"\xff\"",
                                           "[1e999]", "{\"a\":}", "\"a\nb\"" };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++) {
                json_t *json = NULL;

                if (parse(bad[i], &json, &err) != -EINVAL)
                        fail_msg("%s is taken", bad[i]);
                assert_null(json);
                assert_int_equal(err.code, ZL_E_INVALID);
                assert_ptr_equal(strstr(err.message, "doc:"), err.message);
        }
}

static void bounds_the_depth(void **state)
{
        enum { DEEP = 100000 };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        char *text = malloc(DEEP * 2 + 1);
        json_t *json = NULL;

        memset(text, '[', DEEP);
        memset(text + DEEP, ']', DEEP);
        text[DEEP * 2] = 0;
        assert_int_equal(parse(text, &json, &err), -EINVAL);
        assert_non_null(strstr(err.message, "512"));
        text[DEEP + 512] = 0;
        assert_int_equal(parse(text + DEEP - 512, &json, NULL), 0);
        json_decref(json);
        free(text);
        /* Brackets in strings do not nest. */
        assert_int_equal(parse("[\"[[[\\\"[[[\"]", &json, NULL), 0);
        json_decref(json);
}

static void members_have_defaults(void **state)
{
        _cleanup_json_ json_t *json = NULL;

        assert_int_equal(parse("{\"s\":\"x\",\"i\":-5,\"b\":false,\"n\":null}", &json, NULL), 0);
        assert_string_equal(zl_json_str(json, "s", "d"), "x");
        assert_string_equal(zl_json_str(json, "i", "d"), "d");
        assert_string_equal(zl_json_str(json, "absent", "d"), "d");
        assert_int_equal(zl_json_int(json, "i", 7), -5);
        assert_int_equal(zl_json_int(json, "s", 7), 7);
        assert_int_equal(zl_json_int(json, "n", 7), 7);
        assert_false(zl_json_bool(json, "b", true));
        assert_true(zl_json_bool(json, "s", true));
        assert_string_equal(zl_json_str(NULL, "s", "d"), "d");
}

static void sets_and_dumps_in_order(void **state)
{
        _cleanup_json_ json_t *json = json_object();
        char *text;

        assert_int_equal(zl_json_set(json, "z", json_integer(1)), 0);
        assert_int_equal(zl_json_set(json, "a", json_string("ü")), 0);
        assert_int_equal(zl_json_set(json, "b", NULL), -ENOMEM);
        text = zl_json_dump(json, 0);
        assert_string_equal(text, "{\"z\":1,\"a\":\"ü\"}");
        free(text);
        text = zl_json_dump(json, 2);
        assert_string_equal(text, "{\n  \"z\": 1,\n  \"a\": \"ü\"\n}");
        free(text);
}

static void replaces_bad_bytes(void **state)
{
        static const struct {
                const char *in, *out;
                size_t len;
        } cases[] = {
                { "plain", "plain", 5 },
                { "", "", 0 },
                { "a\xff"
                  "b",
                  "a\xef\xbf\xbd"
                  "b",
                  3 },
                { "\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd", 2 },
                { "x\0y", "x\xef\xbf\xbdy", 3 },
                { "\xe2\x82\xac\xff", "\xe2\x82\xac\xef\xbf\xbd", 4 },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                json_t *s = zl_json_string_lossy(cases[i].in, cases[i].len);

                assert_non_null(s);
                assert_string_equal(json_string_value(s), cases[i].out);
                json_decref(s);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_strictly),        cmocka_unit_test(bounds_the_depth),
                cmocka_unit_test(members_have_defaults), cmocka_unit_test(sets_and_dumps_in_order),
                cmocka_unit_test(replaces_bad_bytes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
