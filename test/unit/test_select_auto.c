/* SPDX-License-Identifier: Apache-2.0 */
/* What "auto" means on every system, whatever this one is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "runtimes/select_auto.h"

/* Bits of the kinds that can be used; how often each was asked for. */
struct world {
        unsigned usable;
        unsigned asked[ZL_RUNTIME_KIND_MAX_];
};

static bool fact(enum zl_runtime_kind kind, void *data, struct zl_error *why)
{
        struct world *w = data;

        w->asked[kind]++;
        if (w->usable & 1U << kind)
                return true;
        zl_fail(why, ZL_E_CONFIGURATION, 0, "broken in this test");
        zl_error_hint(why, "mend %s", zl_runtime_kind_name(kind));
        return false;
}

#define BIT(kind) (1U << ZL_RUNTIME_##kind)

static const struct {
        enum zl_host_system system;
        unsigned usable;
        enum zl_runtime_kind expected[ZL_SELECTION_MAX];
        size_t n;
} cases[] = {
        { ZL_HOST_LINUX, BIT(NATIVE) | BIT(DOCKER), { ZL_RUNTIME_NATIVE }, 1 },
        { ZL_HOST_LINUX, BIT(NATIVE) | BIT(WASM), { ZL_RUNTIME_NATIVE }, 1 },
        { ZL_HOST_LINUX, BIT(DOCKER), { ZL_RUNTIME_DOCKER }, 1 },
        { ZL_HOST_LINUX, BIT(DOCKER) | BIT(WASM), { ZL_RUNTIME_DOCKER, ZL_RUNTIME_WASM }, 2 },
        { ZL_HOST_MACOS,
          BIT(SEATBELT) | BIT(LIBKRUN_VM) | BIT(DOCKER),
          { ZL_RUNTIME_SEATBELT, ZL_RUNTIME_LIBKRUN_VM },
          2 },
        { ZL_HOST_MACOS, BIT(SEATBELT) | BIT(DOCKER), { ZL_RUNTIME_SEATBELT }, 1 },
        { ZL_HOST_MACOS, BIT(LIBKRUN_VM) | BIT(DOCKER), { ZL_RUNTIME_LIBKRUN_VM }, 1 },
        { ZL_HOST_MACOS, BIT(DOCKER), { ZL_RUNTIME_DOCKER }, 1 },
        { ZL_HOST_WINDOWS,
          BIT(HCS) | BIT(WSL) | BIT(WASM),
          { ZL_RUNTIME_HCS, ZL_RUNTIME_WSL, ZL_RUNTIME_WASM },
          3 },
        { ZL_HOST_WINDOWS, BIT(HCS), { ZL_RUNTIME_HCS }, 1 },
        /* A delegate alone is no runtime. */
        { ZL_HOST_WINDOWS, BIT(WSL) | BIT(DOCKER), { ZL_RUNTIME_DOCKER }, 1 },
};

static void test_choices(void **state)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                struct world w = { .usable = cases[i].usable };
                struct zl_selection s;

                assert_int_equal(zl_select_auto(cases[i].system, fact, &w, &s, NULL), 0);
                assert_int_equal(s.n, cases[i].n);
                for (size_t k = 0; k < s.n; k++)
                        assert_int_equal(s.kinds[k], cases[i].expected[k]);
        }
}

static void test_looks_no_further(void **state)
{
        struct world w = { .usable = BIT(NATIVE) | BIT(DOCKER) };
        struct zl_selection s;

        assert_int_equal(zl_select_auto(ZL_HOST_LINUX, fact, &w, &s, NULL), 0);
        assert_int_equal(w.asked[ZL_RUNTIME_NATIVE], 1);
        assert_int_equal(w.asked[ZL_RUNTIME_DOCKER], 0);
}

static void test_nothing(void **state)
{
        static const char *const named[][4] = {
                [ZL_HOST_LINUX] = { "native: broken", "docker: broken", NULL },
                [ZL_HOST_MACOS] = { "seatbelt: broken", "libkrun-vm: broken", "docker: broken",
                                    NULL },
                [ZL_HOST_WINDOWS] = { "hcs: broken", "docker: broken", NULL },
        };

        for (int os = 0; os < ZL_HOST_SYSTEM_MAX_; os++) {
                /* WebAssembly alone runs no containers. */
                struct world w = { .usable = BIT(WASM) };
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
                struct zl_selection s;

                assert_true(zl_select_auto((enum zl_host_system)os, fact, &w, &s, &err) < 0);
                assert_int_equal(err.code, ZL_E_CONFIGURATION);
                for (size_t i = 0; named[os][i]; i++)
                        assert_non_null(strstr(err.message, named[os][i]));
                assert_non_null(strstr(err.hint, "mend "));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_choices),
                cmocka_unit_test(test_looks_no_further),
                cmocka_unit_test(test_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
