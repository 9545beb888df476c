/* SPDX-License-Identifier: Apache-2.0 */
/* Which runtime gets a workload, that it keeps it, and what is said if none fits. Two mocks, one per system. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/strv.h"
#include "runtimes/composite.h"
#include "runtimes/mock.h"
#include "runtimes/status.h"
#include "spec/spec.h"
#include "support.h"

static struct zl_runtime *lin, *win, *rt;
static const char *root;

/* The registry of this test: the name of an image says what it is for. */
static int ask(const char *image, const struct zl_registry_options *options,
               struct zl_image_facts *ret, struct zl_error *err)
{
        *ret = (struct zl_image_facts){ .wasm = strstr(image, "wasm") != NULL };
        if (strstr(image, "secret") && !zl_streq(options->username ? options->username : "", "me"))
                return zl_fail(err, ZL_E_UNAUTHORIZED, 0, "no");
        if (strstr(image, "win"))
                zl_strv_push(&ret->systems, "windows");
        if (strstr(image, "lin"))
                zl_strv_push(&ret->systems, "linux");
        if (strstr(image, "bsd"))
                zl_strv_push(&ret->systems, "freebsd");
        return 0;
}

static void open_composite(void)
{
        const struct zl_runtime_options o = { .root_dir = root, .runtime_dir = root };
        const struct zl_composite_target targets[] = { { lin, "linux" }, { win, "windows" } };

        assert_int_equal(zl_composite_new(targets, 2, &o, ask, &rt, NULL), 0);
}

static int setup(void **state)
{
        const struct zl_runtime_options o = { 0 };

        assert_int_equal(place_setup(state), 0);
        root = ((struct place *)*state)->path;
        assert_int_equal(zl_mock_new(&o, &lin, NULL), 0);
        assert_int_equal(zl_mock_new(&o, &win, NULL), 0);
        open_composite();
        return 0;
}

static int teardown(void **state)
{
        zl_runtime_free(rt);
        return place_teardown(state);
}

static int create(const char *name, const char *service, struct zl_error *err)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        struct zl_create_options o = { .name = name };
        char text[500];

        snprintf(text, sizeof(text), "{version: v1, deployment: abc, services: {s: {%s}}}",
                 service);
        assert_int_equal(zl_spec_load_text(text, strlen(text), &spec, NULL, NULL), 0);
        o.spec = spec->services[0].spec;
        if (zl_runtime_pull(rt, o.spec->image.name, NULL, NULL, err) < 0)
                return -1;
        return zl_runtime_create(rt, &o, err);
}

static bool has(struct zl_runtime *target, const char *name)
{
        struct zl_status s;

        if (zl_runtime_state(target, name, &s, NULL) < 0)
                return false;
        zl_status_done(&s);
        return true;
}

static void test_by_image(void **state)
{
        assert_int_equal(create("abc.s.1", "image: {name: lin}", NULL), 0);
        assert_int_equal(create("abc.s.2", "image: {name: win}", NULL), 0);
        assert_int_equal(create("abc.s.3", "image: {name: winlin}", NULL), 0);
        assert_int_equal(create("abc.s.4", "image: {name: unknown}", NULL), 0);
        assert_true(has(lin, "abc.s.1") && has(win, "abc.s.2"));
        assert_true(has(lin, "abc.s.3") && has(lin, "abc.s.4")); /* the primary, if it may choose */
        /* Only a runtime that can run an image pulls it. */
        assert_int_equal(zl_mock_count(lin, ZL_MOCK_PULL), 3);
        assert_int_equal(zl_mock_count(win, ZL_MOCK_PULL), 1);
}

static void test_spec_wins(void **state)
{
        assert_int_equal(
                create("abc.s.1", "image: {name: lin}, platform: {os: windows, arch: amd64}", NULL),
                0);
        assert_true(has(win, "abc.s.1"));
        assert_false(has(lin, "abc.s.1"));
}

static void test_nobody(void **state)
{
        struct zl_error err = ZL_ERROR_INIT;

        assert_true(create("abc.s.1", "image: {name: lin}, platform: {os: macos, arch: arm64}",
                           &err) < 0);
        assert_int_equal(err.code, ZL_E_ROUTE_TO_PEER);
        assert_non_null(strstr(err.message, "s needs macos: platform.os"));
        zl_error_done(&err);
        assert_true(create("abc.s.1", "image: {name: bsd}", &err) < 0);
        assert_int_equal(err.code, ZL_E_ROUTE_TO_PEER);
        assert_non_null(strstr(err.message, "freebsd"));
        zl_error_done(&err);
        assert_true(create("abc.s.1", "image: {name: wasm}", &err) < 0);
        assert_int_equal(err.code, ZL_E_ROUTE_TO_PEER);
        zl_error_done(&err);
        assert_false(has(rt, "abc.s.1"));
}

static void test_credentials(void **state)
{
        const struct zl_pull_options mine = { .username = "me", .password = "x" };

        assert_int_equal(zl_runtime_pull(rt, "secret-win", &mine, NULL, NULL), 0);
        assert_int_equal(zl_mock_count(win, ZL_MOCK_PULL), 1);
        /* Who cannot ask lets the primary try, which then says why not. */
        assert_int_equal(zl_runtime_pull(rt, "secret-win2", NULL, NULL, NULL), 0);
        assert_int_equal(zl_mock_count(lin, ZL_MOCK_PULL), 1);
}

static void test_forwarded(void **state)
{
        struct zl_status s, *all;
        size_t n;

        assert_int_equal(create("abc.s.2", "image: {name: win}", NULL), 0);
        assert_int_equal(create("abc.s.1", "image: {name: lin}", NULL), 0);
        assert_int_equal(zl_runtime_start(rt, "abc.s.2", NULL), 0);
        assert_int_equal(zl_mock_exit(win, "abc.s.2", 5, 0, false, NULL), 0);
        assert_int_equal(zl_runtime_wait(rt, "abc.s.2", -1, &s, NULL), 0);
        assert_int_equal(s.exit_code, 5);
        zl_status_done(&s);
        assert_int_equal(zl_runtime_list(rt, &all, &n, NULL), 0);
        assert_int_equal(n, 2);
        assert_string_equal(all[0].name, "abc.s.1");
        zl_status_free_all(all, n);
        assert_int_equal(zl_runtime_remove(rt, "abc.s.2", true, NULL), 0);
        assert_false(has(win, "abc.s.2") || has(rt, "abc.s.2"));
        /* The name is free again, also for the other one. */
        assert_int_equal(create("abc.s.2", "image: {name: lin}", NULL), 0);
        assert_true(has(lin, "abc.s.2"));
}

static void test_failed_create(void **state)
{
        struct zl_error err = ZL_ERROR_INIT;

        zl_mock_fail_next(win, ZL_MOCK_CREATE, NULL, ZL_E_NO_SPACE, 1);
        assert_true(create("abc.s.1", "image: {name: win}", &err) < 0);
        assert_int_equal(err.code, ZL_E_NO_SPACE);
        zl_error_done(&err);
        assert_true(zl_runtime_start(rt, "abc.s.1", &err) < 0);
        assert_int_equal(err.code, ZL_E_NOT_FOUND);
        zl_error_done(&err);
        assert_int_equal(create("abc.s.1", "image: {name: lin}", NULL), 0);
        assert_true(create("abc.s.1", "image: {name: win}", &err) < 0);
        assert_int_equal(err.code, ZL_E_EXISTS);
        zl_error_done(&err);
}

static void test_a_broken_delegate_hides_nothing(void **state)
{
        struct zl_status *all;
        size_t n;

        assert_int_equal(create("abc.s.1", "image: {name: lin}", NULL), 0);
        zl_mock_fail_next(win, ZL_MOCK_LIST, NULL, ZL_E_NETWORK, 1);
        assert_int_equal(zl_runtime_list(rt, &all, &n, NULL), 0);
        assert_int_equal(n, 1);
        zl_status_free_all(all, n);
        zl_mock_fail_next(lin, ZL_MOCK_LIST, NULL, ZL_E_IO, 1);
        assert_true(zl_runtime_list(rt, &all, &n, NULL) < 0);
}

static void test_operations(void **state)
{
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_top top;

        /* What no mock can, the composite cannot, and says so. */
        assert_false(zl_runtime_can(rt, "top"));
        assert_true(zl_runtime_top(rt, "abc.s.1", NULL, &top, &err) < 0);
        assert_int_equal(err.code, ZL_E_UNSUPPORTED);
        zl_error_done(&err);
        assert_true(zl_runtime_can(rt, "exec"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_by_image),   T(test_spec_wins),
                T(test_nobody),     T(test_credentials),
                T(test_forwarded),  T(test_failed_create),
                T(test_operations), T(test_a_broken_delegate_hides_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
