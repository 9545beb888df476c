/* SPDX-License-Identifier: Apache-2.0 */
/* Libraries that are loaded when they are needed: there, not there, without a function. */
#include "support.h"

#include "base/crypto.h"
#include "base/library.h"

struct table {
        double (*cos)(double);
};
static const struct zl_library_function good[] = { { "cos", offsetof(struct table, cos) } };
static const struct zl_library_function bad[] = { { "no_such_function", 0 } };

static void test_load(void **state)
{
        static struct table table;
        static struct zl_library library = ZL_LIBRARY_INIT("libm.so.6", "to count", good, &table);

        for (int i = 0; i < 2; i++)
                assert_int_equal(zl_library_load(&library, NULL), 0);
        assert_true(table.cos(0) > 0.99);
}

static void test_missing(void **state)
{
        static struct table table;
        static struct zl_library libraries[] = {
                ZL_LIBRARY_INIT("libzlayer-no-such.so.7", "to test", good, &table),
                ZL_LIBRARY_INIT("libm.so.6", "to test", bad, &table),
        };

        for (int i = 0; i < 4; i++) {
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

                assert_true(zl_library_load(&libraries[i / 2], &err) < 0);
                assert_int_equal(err.code, ZL_E_UNSUPPORTED);
                assert_non_null(strstr(err.message, "is needed to test and does not load"));
        }
}

static void test_crypto(void **state)
{
        const struct zl_crypto *lib = NULL;

        assert_int_equal(zl_crypto_load(&lib, NULL), 0);
        assert_non_null(lib->EVP_aes_256_gcm());
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_load),
                cmocka_unit_test(test_missing),
                cmocka_unit_test(test_crypto),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
