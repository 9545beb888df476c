/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of the host's resolv.conf. */
#include "support.h"

#include "base/strv.h"
#include "network/resolv_conf.h"

static void test_whole(void **state)
{
        static const char text[] =
                "# made by somebody\n; nameserver 192.0.2.9\nnameserver 127.0.0.53\n"
                "nameserver\t2001:db8::53 trailing\nnameserver fe80::1%1\r\n"
                " nameserver 192.0.2.8\nnameservers 192.0.2.7\nnameserver what\n"
                "domain old.example\nsearch a.example  b.example\n"
                "options edns0 ndots:4 timeout:99 attempts:0 rotate\noptions ndots:x";
        _cleanup_resolv_conf_ struct zl_resolv_conf conf = ZL_RESOLV_CONF_INIT;
        char buf[ZL_IP_TEXT_MAX];

        assert_int_equal(zl_resolv_conf_parse(text, &conf), 0);
        assert_int_equal(conf.n_resolvers, 3);
        assert_string_equal(zl_ip_format(&conf.resolvers[0].address, buf), "127.0.0.53");
        assert_int_equal(conf.resolvers[0].port, 53);
        assert_string_equal(zl_ip_format(&conf.resolvers[1].address, buf), "2001:db8::53");
        assert_string_equal(zl_ip_format(&conf.resolvers[2].address, buf), "fe80::1");
        assert_int_equal(conf.resolvers[2].scope, 1);
        assert_int_equal(zl_strv_len(conf.search), 2);
        assert_string_equal(conf.search[1], "b.example");
        assert_int_equal(conf.ndots, 4);
        assert_int_equal(conf.timeout, 30);
        assert_int_equal(conf.attempts, 1);
}

static void test_defaults(void **state)
{
        _cleanup_resolv_conf_ struct zl_resolv_conf conf = ZL_RESOLV_CONF_INIT;

        assert_int_equal(zl_resolv_conf_parse("", &conf), 0);
        assert_int_equal(conf.n_resolvers, 0);
        assert_null(conf.search);
        assert_int_equal(conf.ndots, 1);
        assert_int_equal(conf.timeout, 2);
        assert_int_equal(conf.attempts, 2);
}

static void test_many(void **state)
{
        _cleanup_resolv_conf_ struct zl_resolv_conf conf = ZL_RESOLV_CONF_INIT;
        char text[4096] = "";

        for (int i = 0; i < 100; i++)
                sprintf(text + strlen(text), "nameserver 192.0.2.%d\n", i);
        assert_int_equal(zl_resolv_conf_parse(text, &conf), 0);
        assert_int_equal(conf.n_resolvers, ZL_RESOLVERS_MAX);
        assert_int_equal(conf.resolvers[7].address.bytes[3], 7);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_whole),
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_many),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
