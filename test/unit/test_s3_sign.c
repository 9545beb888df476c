/* SPDX-License-Identifier: Apache-2.0 */
/* AWS signatures, against values of another implementation (Python's hmac, by the letter of the recipe). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/strv.h"
#include "runtimes/s3_sign.h"

#define HELLO "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

static const struct zl_s3_signature put = {
        .method = "PUT",
        .host = "s3.example.org:9000",
        .path = "/bucket/a%20b/c~1.txt",
        .payload = HELLO,
        .id = "AKIAIOSFODNN7EXAMPLE",
        .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        .region = "eu-central-1",
        .time = INT64_C(1769862896) * 1000000000,
};

static void signature_without_and_with_a_token(void **state)
{
        struct zl_s3_signature s = put;
        char **headers = NULL;

        (void)state;
        assert_int_equal(zl_s3_sign(&s, &headers), 0);
        assert_int_equal(zl_strv_len(headers), 3);
        assert_string_equal(headers[0], "x-amz-date: 20260131T123456Z");
        assert_string_equal(headers[1], "x-amz-content-sha256: " HELLO);
        assert_string_equal(
                headers[2],
                "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260131/"
                "eu-central-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
                "Signature=0814531be64422ffeccd6ba8976c6a0ba49d0a2d4b1bf7d6f2f5ad9ad0890cd6");
        zl_strv_free(headers);
        s.token = "tok/en+=";
        assert_int_equal(zl_s3_sign(&s, &headers), 0);
        assert_int_equal(zl_strv_len(headers), 4);
        assert_string_equal(headers[2], "x-amz-security-token: tok/en+=");
        assert_non_null(strstr(headers[3],
                               "x-amz-date;x-amz-security-token, Signature="
                               "628dff253b772410a504b708a22429116549dd403da79e8b7304231f8e230328"));
        zl_strv_free(headers);
}

static void every_part_counts(void **state)
{
        struct zl_s3_signature all[6] = { put, put, put, put, put, put };
        char *seen[6] = { 0 };

        (void)state;
        all[1].method = "GET";
        all[2].path = "/bucket/b";
        all[3].secret = "another";
        all[4].region = "us-east-1";
        all[5].time += INT64_C(1000000000);
        for (size_t i = 0; i < 6; i++) {
                char **headers = NULL;

                assert_int_equal(zl_s3_sign(&all[i], &headers), 0);
                seen[i] = strdup(strstr(headers[2], "Signature="));
                for (size_t k = 0; k < i; k++)
                        assert_string_not_equal(seen[k], seen[i]);
                zl_strv_free(headers);
        }
        for (size_t i = 0; i < 6; i++)
                free(seen[i]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(signature_without_and_with_a_token),
                cmocka_unit_test(every_part_counts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
