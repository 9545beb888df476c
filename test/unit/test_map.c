/* SPDX-License-Identifier: Apache-2.0 */
/* The string map against a plain model, its order, and who destroys what. */
#include "support.h"

#include "base/map.h"

static int destroyed;

static void destroy(void *value)
{
        destroyed += value != NULL;
}

static void puts_gets_replaces_removes(void **state)
{
        _cleanup_map_ struct zl_map *m = zl_map_new(destroy);
        int a, b;

        destroyed = 0;
        assert_null(zl_map_get(m, "a"));
        assert_int_equal(zl_map_put(m, "a", &a), 0);
        assert_int_equal(zl_map_put(m, "", &b), 0);
        assert_ptr_equal(zl_map_get(m, "a"), &a);
        assert_ptr_equal(zl_map_get(m, ""), &b);
        assert_int_equal(zl_map_put(m, "a", &a), 0); /* the same value is not destroyed */
        assert_int_equal(destroyed, 0);
        assert_int_equal(zl_map_put(m, "a", &b), 0);
        assert_int_equal(destroyed, 1);
        assert_ptr_equal(zl_map_take(m, "a"), &b);
        assert_int_equal(destroyed, 1);
        assert_false(zl_map_remove(m, "a"));
        assert_true(zl_map_remove(m, ""));
        assert_int_equal(destroyed, 2);
        assert_int_equal(zl_map_size(m), 0);
        assert_null(zl_map_get(NULL, "a"));
        assert_int_equal(zl_map_size(NULL), 0);
}

static void a_null_value_is_a_value(void **state)
{
        _cleanup_map_ struct zl_map *m = zl_map_new(NULL);

        assert_int_equal(zl_map_put(m, "k", NULL), 0);
        assert_null(zl_map_get(m, "k"));
        assert_true(zl_map_has(m, "k"));
        assert_true(zl_map_remove(m, "k"));
}

static void walks_in_order_of_insertion(void **state)
{
        _cleanup_map_ struct zl_map *m = zl_map_new(NULL);
        const char *key;
        char name[16];
        size_t pos = 0, n = 0;
        void *value;

        for (int i = 0; i < 1000; i++) {
                snprintf(name, sizeof name, "k%d", i);
                assert_int_equal(zl_map_put(m, name, (void *)(intptr_t)(i + 1)), 0);
        }
        assert_int_equal(zl_map_put(m, "k7", (void *)(intptr_t)8), 0); /* keeps its place */
        while (zl_map_next(m, &pos, &key, &value)) {
                snprintf(name, sizeof name, "k%d", (int)n);
                assert_string_equal(key, name);
                assert_int_equal((intptr_t)value, n + 1);
                if (n % 3 == 0)
                        assert_true(zl_map_remove(m, name)); /* allowed in a walk */
                n++;
        }
        assert_int_equal(n, 1000);
        assert_int_equal(zl_map_size(m), 666);
}

/* Many puts and removes in a pattern that fills the map with holes, compared with an array. */
static void agrees_with_a_model(void **state)
{
        enum { KEYS = 97, STEPS = 200000 };
        _cleanup_map_ struct zl_map *m = zl_map_new(NULL);
        intptr_t model[KEYS] = { 0 };
        uint32_t random = 1;
        size_t live = 0;

        for (int i = 0; i < STEPS; i++) {
                char key[16];
                unsigned k;

                random = random * 1664525 + 1013904223;
                k = (random >> 8) % KEYS;
                snprintf(key, sizeof key, "%x", k * 2654435761u);
                assert_int_equal((intptr_t)zl_map_get(m, key), model[k]);
                if (random & 0x40000000) {
                        assert_int_equal(zl_map_put(m, key, (void *)(intptr_t)(i + 1)), 0);
                        live += model[k] == 0;
                        model[k] = i + 1;
                } else {
                        assert_int_equal(zl_map_remove(m, key), model[k] != 0);
                        live -= model[k] != 0;
                        model[k] = 0;
                }
                assert_int_equal(zl_map_size(m), live);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(puts_gets_replaces_removes),
                cmocka_unit_test(a_null_value_is_a_value),
                cmocka_unit_test(walks_in_order_of_insertion),
                cmocka_unit_test(agrees_with_a_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
