/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client.h"

#include "api/internal.h"
#include "support.h"

static void heads_are_taken_when_complete(void **state)
{
        static const struct {
                const char *text;
                int result;
                unsigned status;
                const char *rest;
        } cases[] = {
                { "HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", 1, 200, "body" },
                { "HTTP/1.0 404 Not Found\r\n\r\n", 1, 404, "" },
                { "HTTP/1.1 200 OK\r\nA: b\r\n", 0, 0, NULL },
                { "", 0, 0, NULL },
                { "SMTP 220 hello\r\n\r\n", -EPROTO, 0, NULL },
                { "HTTP/1.1 2x0 OK\r\n\r\n", -EPROTO, 0, NULL },
                { "HTTP/1.1 20\r\n\r\n", -EPROTO, 0, NULL },
                { "HTTP/1.1\r\n\r\n", -EPROTO, 0, NULL },
        };

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                _cleanup_buf_ struct zl_buf buf = ZL_BUF_INIT(1000);
                unsigned status = 0;

                zl_buf_puts(&buf, cases[i].text);
                assert_int_equal(zl_client_take_head(&buf, &status), cases[i].result);
                if (cases[i].result <= 0)
                        continue;
                assert_int_equal(status, cases[i].status);
                assert_int_equal(buf.len, strlen(cases[i].rest));
                assert_memory_equal(buf.data, cases[i].rest, buf.len);
        }
}

static void escapes_come_back_and_bad_ones_show(void **state)
{
        static const struct {
                const char *from, *to;
        } cases[] = {
                { "plain", "plain" },  { "a%20b", "a b" },  { "%e2%82%AC", "€" },
                { "%", "\001" },       { "a%2", "a\0012" }, { "%zz", "\001zz" },
                { "%00x", "\00100x" }, { "%%41", "\001A" },
        };
        static const char odd[] = "a b/ä?&=%+\"";
        char *escaped = zl_client_escape(odd);

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                char buf[64];

                snprintf(buf, sizeof(buf), "%s", cases[i].from);
                assert_int_equal(zl_api_unescape(NULL, NULL, buf), strlen(cases[i].to));
                assert_string_equal(buf, cases[i].to);
        }
        assert_non_null(escaped);
        zl_api_unescape(NULL, NULL, escaped);
        assert_string_equal(escaped, odd);
        free(escaped);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(heads_are_taken_when_complete),
                cmocka_unit_test(escapes_come_back_and_bad_ones_show),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
