/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Netlink, links and the table of rules, against the kernel in a network namespace of the test's own. What stands in the table
 * afterwards is read back by nft(8), which shares no code with us.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "network/firewall.h"
#include "support.h"

static bool enter(void)
{
        return geteuid() == 0 && unshare(CLONE_NEWNET) == 0;
}

/* What a command prints. */
static char *output_of(const char *command)
{
        FILE *f = popen(command, "re");
        struct zl_buf buf = ZL_BUF_INIT(1 << 20);
        char part[4096];
        size_t n;

        assert_non_null(f);
        while ((n = fread(part, 1, sizeof(part), f)) > 0)
                zl_buf_put(&buf, part, n);
        assert_int_equal(pclose(f), 0);
        return zl_buf_take(&buf);
}

static void assert_lists(const char *text)
{
        _cleanup_free_ char *list = output_of("nft list ruleset");

        if (!strstr(list, text)) {
                fprintf(stderr, "%s", list);
                fail_msg("\"%s\" is not in the list", text);
        }
}

static void assert_lists_not(const char *text)
{
        _cleanup_free_ char *list = output_of("nft list ruleset");

        if (strstr(list, text))
                fail_msg("\"%s\" is in:\n%s", text, list);
}

static void test_links(void **state)
{
        static const uint8_t mac[ZL_MAC_SIZE] = { 2, 0, 0, 0, 0, 1 };
        static const struct zl_net_addr addresses[] = { { AF_INET, 20, { 10, 9, 0, 1 } },
                                                        { AF_INET6, 64, { 0xfd, [15] = 1 } } };
        static const struct zl_net_addr gateways[] = { { AF_INET, 0, { 10, 9, 0, 9 } } };
        const struct zl_link_setup bridge = { "zlbr", addresses, 2, NULL, 0 };
        const struct zl_link_setup host = { "eth7", addresses, 2, gateways, 1 };
        _cleanup_nl_ struct zl_nl nl = ZL_NL_INIT;
        struct zl_veth veth = { .host = "zlveth", .peer = "eth7", .mac = mac, .mtu = 1400 };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_free_ char *port = NULL;
        unsigned link;

        if (!enter())
                skip();
        assert_int_equal(zl_nl_open(&nl, NETLINK_ROUTE, &err), 0);
        assert_int_equal(zl_link_add_bridge(&nl, "zlbr", mac, 1400, &err), 0);
        assert_int_equal(zl_link_add_bridge(&nl, "zlbr", mac, 1400, &err), -EEXIST);
        assert_int_equal(err.code, ZL_E_EXISTS);
        zl_error_done(&err);
        assert_int_equal(zl_link_setup(&nl, &bridge, &err), 0);
        veth.bridge = (unsigned)zl_link_index(&nl, "zlbr");
        assert_true(veth.bridge > 0);
        veth.netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        assert_int_equal(zl_link_add_veth(&nl, &veth, &err), 0);
        port = output_of("bridge -d link show dev zlveth");
        assert_non_null(strstr(port, "hairpin on"));
        assert_int_equal(zl_link_delete(&nl, "zlbr", &err), 0);
        assert_int_equal(zl_link_index(&nl, "zlbr"), 0);
        assert_int_equal(zl_link_setup(&nl, &host, &err), 0);
        assert_int_equal(zl_route_default_mtu(&nl, AF_INET, &link), 1400);
        assert_int_equal(link, zl_link_index(&nl, "eth7"));
        assert_int_equal(zl_link_delete(&nl, "zlveth", &err), 0);
        assert_int_equal(zl_link_delete(&nl, "zlveth", &err), 0);
        assert_int_equal(zl_link_index(&nl, "eth7"), 0);
        zl_close(veth.netns_fd);
}

static const struct zl_firewall_network network = { .bridge = "zlbr",
                                                    .four = { AF_INET, 20, { 10, 9, 16, 0 } },
                                                    .six = { AF_INET6, 64, { 0xfd, 1 } } };

static void test_table(void **state)
{
        struct zl_firewall_target targets[] = {
                { .four = { AF_INET, { 10, 9, 16, 2 } },
                  .six = { AF_INET6, { 0xfd, 1, [15] = 2 } },
                  .port = 80 },
                { .four = { AF_INET, { 10, 9, 16, 3 } }, .port = 8080 },
        };
        struct zl_firewall_front fronts[] = {
                { .port = 8000, .targets = targets, .n_targets = 2 },
                { .address = { AF_INET, { 192, 0, 2, 1 } },
                  .port = 53,
                  .udp = true,
                  .targets = targets,
                  .n_targets = 1 },
        };
        struct zl_firewall fw = { .nl = ZL_NL_INIT };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        if (!enter() || access("/usr/sbin/nft", X_OK) < 0)
                skip();
        assert_int_equal(zl_firewall_open("zlt", &fw, &err), 0);
        assert_int_equal(zl_firewall_build(&fw, &network, 1, fronts, 2, &err), 0);
        assert_lists("ip saddr 10.9.16.0/20 oifname != \"zlbr\" masquerade");
        assert_lists("ip6 saddr fd01::/64 oifname != \"zlbr\" masquerade");
        assert_lists("numgen random mod 2 map { 0 : 10.9.16.2 . 80, 1 : 10.9.16.3 . 8080 }");
        assert_lists("dnat ip6 to numgen random mod 1 map { 0 : fd01::2 . 80 }");
        assert_lists("192.0.2.1 . udp . 53 : goto to-udp-192.0.2.1-53");
        assert_lists("tcp . 8000 : goto to-tcp-8000");
        assert_lists("counter name ct label . ct direction map @counts accept");
        assert_lists(" . original : \"in-tcp-8000\"");
        assert_lists(" . reply : \"out-udp-192.0.2.1-53\"");
        /* One target fewer, and once more the same. */
        fronts[0].targets++;
        fronts[0].n_targets = 1;
        for (int i = 0; i < 2; i++)
                assert_int_equal(zl_firewall_set_fronts(&fw, fronts, 1, &err), 0);
        assert_lists("numgen random mod 1 map { 0 : 10.9.16.3 . 8080 }");
        assert_lists_not("mod 2");
        assert_int_equal(zl_firewall_remove_front(&fw, &fronts[1], &err), 0);
        assert_lists_not("192.0.2.1");
        assert_lists("in-tcp-8000");
        assert_int_equal(zl_firewall_set_networks(&fw, NULL, 0, &err), 0);
        assert_lists_not("zlbr");
        /* What is not there cannot be changed, and the batch has no effect at all. */
        assert_int_equal(zl_firewall_remove_front(&fw, &fronts[1], &err), -ENOENT);
        assert_int_equal(zl_firewall_remove(&fw, &err), 0);
        assert_int_equal(zl_firewall_remove(&fw, &err), 0);
        assert_lists_not("zlt");
        zl_firewall_close(&fw);
}

/* A kernel without labels of connections counts those alone. */
static void test_without_labels(void **state)
{
        const struct zl_firewall_target target = { .four = { AF_INET, { 10, 9, 16, 2 } },
                                                   .port = 80 };
        const struct zl_firewall_front front = { .port = 8000, .targets = &target, .n_targets = 1 };
        struct zl_firewall fw = { .nl = ZL_NL_INIT };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        if (!enter() || access("/usr/sbin/nft", X_OK) < 0)
                skip();
        assert_int_equal(zl_firewall_open("zlt", &fw, &err), 0);
        assert_int_equal(zl_firewall_probe(&fw, &err), 0);
        assert_false(fw.lacks_labels);
        assert_lists_not("probe");
        setenv("ZL_FORBID", "ct-labels", 1);
        assert_int_equal(zl_firewall_probe(&fw, &err), 0);
        unsetenv("ZL_FORBID");
        assert_true(fw.lacks_labels);
        assert_int_equal(zl_firewall_build(&fw, &network, 1, &front, 1, &err), 0);
        assert_lists("numgen random mod 1 map { 0 : 10.9.16.2 . 80 }");
        assert_lists("counter name \"to-tcp-8000\"");
        assert_lists_not("label");
        assert_lists_not("in-tcp");
        assert_int_equal(zl_firewall_remove_front(&fw, &front, &err), 0);
        assert_lists_not("8000");
        zl_firewall_close(&fw);
}

static void test_many_targets(void **state)
{
        static struct zl_firewall_target targets[ZL_FIREWALL_TARGETS_MAX];
        const struct zl_firewall_front front = { .port = 80,
                                                 .targets = targets,
                                                 .n_targets = ZL_FIREWALL_TARGETS_MAX };
        struct zl_firewall fw = { .nl = ZL_NL_INIT };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        if (!enter() || access("/usr/sbin/nft", X_OK) < 0)
                skip();
        for (size_t i = 0; i < ZL_FIREWALL_TARGETS_MAX; i++)
                targets[i] = (struct zl_firewall_target){
                        .four = { AF_INET, { 10, 0, (uint8_t)(i / 256), (uint8_t)i } }, .port = 80
                };
        assert_int_equal(zl_firewall_open("zlt", &fw, &err), 0);
        assert_int_equal(zl_firewall_build(&fw, NULL, 0, &front, 1, &err), 0);
        assert_lists("numgen random mod 1024");
        assert_lists("1023 : 10.0.3.255 . 80");
        zl_firewall_close(&fw);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_links),
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_without_labels),
                cmocka_unit_test(test_many_targets),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
