/* SPDX-License-Identifier: Apache-2.0 */
/* String vectors and environments. */
#include "support.h"

#include "base/strv.h"

static void pushes_and_copies(void **state)
{
        _cleanup_strv_ char **v = NULL, **copy = NULL, **none = NULL;

        assert_int_equal(zl_strv_len(NULL), 0);
        assert_false(zl_strv_contains(NULL, "x"));
        for (int i = 0; i < 100; i++)
                assert_int_equal(zl_strv_pushf(&v, "s%d", i), 0);
        assert_int_equal(zl_strv_len(v), 100);
        assert_string_equal(v[99], "s99");
        assert_null(v[100]);
        assert_true(zl_strv_contains(v, "s57"));
        assert_false(zl_strv_contains(v, "s100"));
        assert_int_equal(zl_strv_dup(v, &copy), 0);
        assert_int_equal(zl_strv_extend(&copy, v), 0);
        assert_int_equal(zl_strv_len(copy), 200);
        assert_string_equal(copy[100], "s0");
        assert_int_equal(zl_strv_dup(NULL, &none), 0);
        assert_null(none);
        assert_int_equal(zl_strv_push_take(&none, NULL), -ENOMEM);
        assert_null(none);
}

/* A vector that was allocated to measure elsewhere may be appended to. */
static void appends_to_foreign_vectors(void **state)
{
        for (size_t n = 0; n < 9; n++) {
                char **v = calloc(n + 1, sizeof *v);

                for (size_t i = 0; i < n; i++)
                        v[i] = strdup("x");
                assert_int_equal(zl_strv_push(&v, "last"), 0);
                assert_string_equal(v[n], "last");
                assert_null(v[n + 1]);
                zl_strv_free(v);
        }
}

static void an_empty_vector_stays_one(void **state)
{
        char *empty[] = { NULL };
        _cleanup_strv_ char **copy = NULL;

        assert_int_equal(zl_strv_dup(empty, &copy), 0);
        assert_non_null(copy);
        assert_null(copy[0]);
}

static void environments(void **state)
{
        _cleanup_strv_ char **env = NULL;

        assert_null(zl_env_get(env, "A"));
        assert_int_equal(zl_env_set(&env, "AB", "1"), 0);
        assert_int_equal(zl_env_set(&env, "A", "x=y"), 0);
        assert_int_equal(zl_strv_push(&env, "ABC"), 0); /* no '=': not a variable */
        assert_string_equal(zl_env_get(env, "A"), "x=y");
        assert_string_equal(zl_env_get(env, "AB"), "1");
        assert_null(zl_env_get(env, "ABC"));
        assert_int_equal(zl_env_set(&env, "AB", ""), 0);
        assert_string_equal(zl_env_get(env, "AB"), "");
        assert_int_equal(zl_strv_len(env), 3);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(pushes_and_copies),
                cmocka_unit_test(appends_to_foreign_vectors),
                cmocka_unit_test(an_empty_vector_stays_one),
                cmocka_unit_test(environments),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
