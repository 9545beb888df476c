/* SPDX-License-Identifier: Apache-2.0 */
/* Order of services, cycles, unknown names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/depends.h"

/* "a:b,c b: c:b" */
static struct zl_deployment_spec make(struct zl_service_entry *entries, size_t n,
                                      struct zl_service_spec *specs)
{
        for (size_t i = 0; i < n; i++)
                entries[i].spec = &specs[i];
        return (struct zl_deployment_spec){ .services = entries, .n_services = n };
}

static void order_respects_bonds_and_the_file(void **state)
{
        struct zl_depends_spec web[] = { { .service = (char[]){ "db" } },
                                         { .service = (char[]){ "cache" } } };
        struct zl_depends_spec cache[] = { { .service = (char[]){ "db" } } };
        struct zl_service_spec specs[4] = { { 0 },
                                            { .depends = web, .n_depends = 2 },
                                            { .depends = cache, .n_depends = 1 },
                                            { 0 } };
        struct zl_service_entry entries[4] = { { .name = (char[]){ "first" } },
                                               { .name = (char[]){ "web" } },
                                               { .name = (char[]){ "cache" } },
                                               { .name = (char[]){ "db" } } };
        struct zl_deployment_spec spec = make(entries, 4, specs);
        size_t *order = NULL;

        (void)state;
        assert_int_equal(zl_depends_order(&spec, &order, NULL), 0);
        assert_int_equal(order[0], 0);
        assert_int_equal(order[1], 3);
        assert_int_equal(order[2], 2);
        assert_int_equal(order[3], 1);
        free(order);
}

static void cycles_are_refused_with_their_path(void **state)
{
        struct zl_depends_spec on[3][1] = { { { .service = (char[]){ "b" } } },
                                            { { .service = (char[]){ "c" } } },
                                            { { .service = (char[]){ "b" } } } };
        struct zl_service_spec specs[3];
        struct zl_service_entry entries[3] = { { .name = (char[]){ "a" } },
                                               { .name = (char[]){ "b" } },
                                               { .name = (char[]){ "c" } } };
        struct zl_deployment_spec spec;
        struct zl_error err = ZL_ERROR_INIT;
        size_t *order = NULL;

        (void)state;
        for (int i = 0; i < 3; i++)
                specs[i] = (struct zl_service_spec){ .depends = on[i], .n_depends = 1 };
        spec = make(entries, 3, specs);
        assert_int_equal(zl_depends_order(&spec, &order, &err), -EINVAL);
        assert_non_null(strstr(zl_error_message(&err), "b -> c -> b"));
        assert_null(strstr(zl_error_message(&err), "a ->"));
        zl_error_done(&err);
        /* itself */
        on[0][0].service = (char[]){ "a" };
        assert_int_equal(zl_depends_order(&spec, &order, &err), -EINVAL);
        assert_non_null(strstr(zl_error_message(&err), "a -> a"));
        zl_error_done(&err);
}

static void unknown_names_are_refused(void **state)
{
        struct zl_depends_spec on[] = { { .service = (char[]){ "nobody" } } };
        struct zl_service_spec specs[1] = { { .depends = on, .n_depends = 1 } };
        struct zl_service_entry entries[1] = { { .name = (char[]){ "a" } } };
        struct zl_deployment_spec spec = make(entries, 1, specs);
        struct zl_error err = ZL_ERROR_INIT;
        size_t *order = NULL;

        (void)state;
        assert_int_equal(zl_depends_order(&spec, &order, &err), -EINVAL);
        assert_non_null(strstr(zl_error_message(&err), "\"nobody\", which does not exist"));
        zl_error_done(&err);
}

static void long_chains_need_no_deep_stack(void **state)
{
        enum { N = 3000 };
        struct zl_service_spec *specs = calloc(N, sizeof(*specs));
        struct zl_service_entry *entries = calloc(N, sizeof(*entries));
        struct zl_depends_spec *deps = calloc(N, sizeof(*deps));
        char(*names)[16] = calloc(N, sizeof(*names));
        struct zl_deployment_spec spec;
        size_t *order = NULL;

        (void)state;
        for (size_t i = 0; i < N; i++) {
                snprintf(names[i], sizeof(names[i]), "s%zu", i);
                entries[i].name = names[i];
                deps[i].service = names[i + 1 < N ? i + 1 : 0];
                specs[i] = (struct zl_service_spec){ .depends = &deps[i], .n_depends = i + 1 < N };
        }
        spec = make(entries, N, specs);
        assert_int_equal(zl_depends_order(&spec, &order, NULL), 0);
        assert_int_equal(order[0], N - 1);
        free(order);
        free(names);
        free(deps);
        free(entries);
        free(specs);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(order_respects_bonds_and_the_file),
                cmocka_unit_test(cycles_are_refused_with_their_path),
                cmocka_unit_test(unknown_names_are_refused),
                cmocka_unit_test(long_chains_need_no_deep_stack),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
