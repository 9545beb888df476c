/* SPDX-License-Identifier: Apache-2.0 */
/* Base64: the vectors of RFC 4648, section 10; all bytes there and back; text that is none. */
#include "support.h"

#include "base/base64.h"

static const char *const vectors[][2] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
};

static void test_vectors(void **state)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(vectors); i++) {
                _cleanup_free_ char *text = zl_base64_encode(vectors[i][0], strlen(vectors[i][0]));
                _cleanup_free_ char *back = NULL;
                size_t len;

                assert_string_equal(text, vectors[i][1]);
                assert_int_equal(zl_base64_decode(text, &back, &len), 0);
                assert_int_equal(len, strlen(vectors[i][0]));
                assert_string_equal(back, vectors[i][0]);
        }
}

static void test_all_bytes(void **state)
{
        unsigned char data[259];

        for (size_t i = 0; i < sizeof data; i++)
                data[i] = (unsigned char)(i * 7);
        for (size_t n = 0; n <= sizeof data; n++) {
                _cleanup_free_ char *text = zl_base64_encode(data, n), *back = NULL;
                size_t len;

                assert_int_equal(strlen(text), (n + 2) / 3 * 4);
                assert_int_equal(zl_base64_decode(text, &back, &len), 0);
                assert_int_equal(len, n);
                assert_memory_equal(back, data, n);
        }
}

static void test_other_text(void **state)
{
        static const char *const good[] = { "Zm9v\nYmE=", " Zm 9v YmE = ", "Zm9vYmE" };
        static const char *const bad[] = { "Z",    "Zm9vY", "Zg=",  "Z===", "=",       "Zg==Zg==",
                                           "Zm9*", "Zm9-",  "Zh==", "Zm9=", "Zm9v====" };
        char *data = NULL;
        size_t len;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(good); i++) {
                assert_int_equal(zl_base64_decode(good[i], &data, &len), 0);
                assert_string_equal(data, "fooba");
                free(data);
        }
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                if (zl_base64_decode(bad[i], &data, &len) != -EINVAL)
                        fail_msg("accepted: %s", bad[i]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_vectors),
                cmocka_unit_test(test_all_bytes),
                cmocka_unit_test(test_other_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
