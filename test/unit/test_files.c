/* SPDX-License-Identifier: Apache-2.0 */
/* The contents of a container's /etc/hosts, /etc/hostname and /etc/resolv.conf. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "network/files.h"

static char *list(char *a[2], const char *entry)
{
        a[0] = (char *)(uintptr_t)entry;
        a[1] = NULL;
        return a[0];
}

static void test_hosts(void **state)
{
        char *extra[2];
        struct zl_net_files in = { .hostname = "web.shop.example", .extra_hosts = extra };
        _cleanup_free_ char *text = NULL;

        list(extra, "db:10.0.0.7");
        assert_int_equal(zl_net_make_hosts(&in, &text, NULL), 0);
        assert_non_null(strstr(text, "127.0.0.1\tlocalhost\n"));
        assert_non_null(strstr(text, "127.0.1.1\tweb.shop.example web\n"));
        assert_non_null(strstr(text, "\n10.0.0.7\tdb\n"));
}

static void test_hosts_addresses(void **state)
{
        char *extra[2];
        struct zl_net_files in = { .hostname = "w", .extra_hosts = extra, .address = "10.1.2.3" };
        static const struct {
                const char *entry, *line;
        } good[] = { { "six:fd00::1", "fd00::1\tsix\n" }, { "six:[fd00::1]", "fd00::1\tsix\n" } };
        static const char *const bad[] = { "nocolon", ":1.2.3.4", "x:1.2.3",    "a b:1.2.3.4",
                                           "x:",      "x:y",      "x\n:1.2.3.4" };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(good); i++) {
                _cleanup_free_ char *text = NULL;

                list(extra, good[i].entry);
                assert_int_equal(zl_net_make_hosts(&in, &text, NULL), 0);
                assert_non_null(strstr(text, good[i].line));
                assert_non_null(strstr(text, "10.1.2.3\tw\n"));
        }
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++) {
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
                char *text = NULL;

                list(extra, bad[i]);
                assert_int_equal(zl_net_make_hosts(&in, &text, &err), -EINVAL);
                assert_int_equal(err.code, ZL_E_INVALID);
                assert_null(text);
        }
}

static void test_host_gateway(void **state)
{
        char *extra[2];
        struct zl_net_files in = { .hostname = "w", .extra_hosts = extra };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        char *text = NULL;

        list(extra, "up:host-gateway");
        assert_true(zl_net_make_hosts(&in, &text, &err) < 0);
        assert_int_equal(err.code, ZL_E_UNSUPPORTED);
        in.gateway = "10.0.0.1";
        assert_int_equal(zl_net_make_hosts(&in, &text, NULL), 0);
        assert_non_null(strstr(text, "10.0.0.1\tup\n"));
        free(text);
}

static void test_host_network(void **state)
{
        struct zl_net_files in = { .hostname = "w",
                                   .host_network = true,
                                   .host_hosts = "127.0.0.1 localhost\n10.9.9.9 nas" };
        _cleanup_free_ char *text = NULL;

        assert_int_equal(zl_net_make_hosts(&in, &text, NULL), 0);
        assert_non_null(strstr(text, "10.9.9.9 nas\n"));
        assert_null(strstr(text, "ip6-allnodes"));
}

static void test_hostname(void **state)
{
        struct zl_net_files in = { .hostname = "w" };
        _cleanup_free_ char *text = NULL;

        assert_int_equal(zl_net_make_hostname(&in, &text, NULL), 0);
        assert_string_equal(text, "w\n");
}

static const char host_resolv[] = "# made by somebody\nsearch example.org\nnameserver 127.0.0.53\n"
                                  "nameserver 9.9.9.9\noptions edns0";

static void test_resolv(void **state)
{
        struct zl_net_files in = { .hostname = "w", .host_resolv = host_resolv };
        char *text = NULL;
        size_t dropped = 0;

        assert_int_equal(zl_net_make_resolv_conf(&in, &text, &dropped, NULL), 0);
        assert_int_equal(dropped, 1);
        assert_null(strstr(text, "127.0.0.53"));
        assert_non_null(strstr(text, "nameserver 9.9.9.9\n"));
        assert_non_null(strstr(text, "search example.org\n"));
        assert_non_null(strstr(text, "options edns0\n"));
        free(text);

        in.host_network = true;
        assert_int_equal(zl_net_make_resolv_conf(&in, &text, &dropped, NULL), 0);
        assert_int_equal(dropped, 0);
        assert_non_null(strstr(text, "nameserver 127.0.0.53\n"));
        free(text);

        /* A line is read as a resolver reads it. */
        in.host_network = false;
        in.host_resolv =
                "nameserver\t127.0.0.1# here\r\nnameservers 127.0.0.2\n nameserver 127.0.0.3\n";
        assert_int_equal(zl_net_make_resolv_conf(&in, &text, &dropped, NULL), 0);
        assert_int_equal(dropped, 1);
        assert_null(strstr(text, "127.0.0.1"));
        assert_non_null(strstr(text, "nameservers 127.0.0.2\n nameserver 127.0.0.3\n"));
        free(text);
}

static void test_resolv_own(void **state)
{
        char *dns[2];
        struct zl_net_files in = { .hostname = "w", .host_resolv = host_resolv, .dns = dns };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        char *text = NULL;

        list(dns, "192.0.2.1");
        assert_int_equal(zl_net_make_resolv_conf(&in, &text, NULL, NULL), 0);
        assert_ptr_equal(strstr(text, "nameserver"), text);
        assert_non_null(strstr(text, "nameserver 192.0.2.1\n"));
        assert_null(strstr(text, "9.9.9.9"));
        assert_non_null(strstr(text, "search example.org\n"));
        free(text);
        text = NULL;
        list(dns, "resolver.example");
        assert_true(zl_net_make_resolv_conf(&in, &text, NULL, &err) < 0);
        assert_int_equal(err.code, ZL_E_INVALID);
}

static void test_resolv_search(void **state)
{
        char *dns[2];
        struct zl_net_files in = {
                .hostname = "w", .host_resolv = host_resolv, .dns = dns, .search = "service.local"
        };
        _cleanup_free_ char *text = NULL;

        list(dns, "10.0.0.1");
        assert_int_equal(zl_net_make_resolv_conf(&in, &text, NULL, NULL), 0);
        assert_string_equal(
                text, "nameserver 10.0.0.1\nsearch service.local example.org\noptions edns0\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hosts),        cmocka_unit_test(test_hosts_addresses),
                cmocka_unit_test(test_host_gateway), cmocka_unit_test(test_host_network),
                cmocka_unit_test(test_hostname),     cmocka_unit_test(test_resolv),
                cmocka_unit_test(test_resolv_own),   cmocka_unit_test(test_resolv_search),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
