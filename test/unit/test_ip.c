/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of both families. */
#include "support.h"

#include "network/ip.h"

static struct zl_ip ip(const char *text)
{
        struct zl_ip ret;

        assert_int_equal(zl_ip_parse(text, &ret), 0);
        return ret;
}

static void test_text(void **state)
{
        static const char *const good[] = { "0.0.0.0", "192.0.2.1", "::", "2001:db8::1" };
        static const char *const bad[] = { "",      "1.2.3", "1.2.3.4.5", "fe80::1%lo",
                                           "[::1]", "x",     "1.2.3.4 " };
        char buf[ZL_IP_TEXT_MAX];
        struct zl_ip none = { 0 };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(good); i++) {
                struct zl_ip a = ip(good[i]);

                assert_string_equal(zl_ip_format(&a, buf), good[i]);
        }
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                assert_int_equal(zl_ip_parse(bad[i], &none), -EINVAL);
        assert_string_equal(zl_ip_format(&none, buf), "");
}

static void test_prefix(void **state)
{
        static const struct {
                const char *address, *network;
                unsigned bits;
                bool in;
        } cases[] = {
                { "10.1.2.3", "10.1.0.0", 16, true },  { "10.2.2.3", "10.1.0.0", 16, false },
                { "10.1.2.3", "10.1.2.0", 25, true },  { "10.1.2.128", "10.1.2.0", 25, false },
                { "10.1.2.3", "10.1.2.3", 32, true },  { "10.1.2.3", "10.1.2.3", 33, false },
                { "10.1.2.3", "0.0.0.0", 0, true },    { "::1", "0.0.0.0", 0, false },
                { "fd00:1::5", "fd00:1::", 64, true }, { "fd00:2::5", "fd00:1::", 31, false },
                { "fd00:3::5", "fd00:2::", 31, true }, { "fd00::1", "fd00::1", 128, true },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                struct zl_ip a = ip(cases[i].address), n = ip(cases[i].network);

                assert_int_equal(zl_ip_in_prefix(&a, &n, cases[i].bits), cases[i].in);
        }
}

static void test_sockaddr(void **state)
{
        static const char *const texts[] = { "192.0.2.7", "2001:db8::7" };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(texts); i++) {
                struct zl_ip a = ip(texts[i]), b;
                union zl_sockaddr sa;
                uint16_t port;

                assert_true(zl_ip_to_sockaddr(&a, 5353, &sa) > 0);
                zl_ip_from_sockaddr(&sa, &b, &port);
                assert_true(zl_ip_equal(&a, &b));
                assert_int_equal(port, 5353);
        }
}

static void test_loopback(void **state)
{
        struct zl_ip a = ip("127.0.0.53"), b = ip("::1"), c = ip("128.0.0.1"), d = ip("::2");

        assert_true(zl_ip_is_loopback(&a));
        assert_true(zl_ip_is_loopback(&b));
        assert_false(zl_ip_is_loopback(&c));
        assert_false(zl_ip_is_loopback(&d));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_prefix),
                cmocka_unit_test(test_sockaddr),
                cmocka_unit_test(test_loopback),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
