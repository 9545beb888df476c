/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the name service. */
#include "support.h"

#include "base/strv.h"
#include "network/names.h"

enum { FOUND_MAX = 64 };

struct found {
        char text[FOUND_MAX][ZL_IP_TEXT_MAX];
        size_t n;
};

static bool collect(const struct zl_ip *address, void *data)
{
        struct found *f = data;

        assert_true(f->n < FOUND_MAX);
        zl_ip_format(address, f->text[f->n++]);
        return true;
}

static struct found look(struct zl_names *names, const char *network, const char *name, bool known)
{
        struct found f = { .n = 0 };

        assert_int_equal(zl_names_lookup(names, network, name, collect, &f), known);
        return f;
}

/* Puts a replica of a service into the table. */
static int put(struct zl_names *names, const char *network, const char *service,
               const char *replica, const char *address)
{
        char owner[100];
        char *aliases[] = { (char[]){ "Store" }, NULL };
        _cleanup_strv_ char **list = NULL;
        struct zl_ip ip;
        struct zl_names_record record = { .network = network,
                                          .owner = owner,
                                          .addresses = &ip,
                                          .n_addresses = 1,
                                          .ready = true };

        snprintf(owner, sizeof(owner), "shop.%s.%s", service, replica);
        assert_int_equal(zl_ip_parse(address, &ip), 0);
        assert_int_equal(zl_names_of_replica(service, replica, aliases, &list, NULL), 0);
        record.names = list;
        return zl_names_set(names, &record, NULL);
}

static void test_lookup(void **state)
{
        static const char *const all[] = { "db", "DB.service.local", "1.db.service.local", "store",
                                           "store.Service.Local" };
        _cleanup_names_ struct zl_names *names = zl_names_new();

        assert_int_equal(put(names, "shop", "db", "1", "10.0.0.2"), 0);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(all); i++) {
                struct found f = look(names, "shop", all[i], true);

                assert_int_equal(f.n, 1);
                assert_string_equal(f.text[0], "10.0.0.2");
                look(names, "other", all[i], false);
        }
        look(names, "shop", "2.db.service.local", false);
        look(names, "shop", "local", false);
        look(names, "shop", "", false);
}

static void test_ready(void **state)
{
        _cleanup_names_ struct zl_names *names = zl_names_new();
        struct found f;

        put(names, "shop", "web", "1", "10.0.0.2");
        put(names, "shop", "web", "2", "10.0.0.3");
        assert_int_equal(look(names, "shop", "web", true).n, 2);
        assert_true(zl_names_set_ready(names, NULL, "shop.web.1", false));
        f = look(names, "shop", "web", true);
        assert_int_equal(f.n, 1);
        assert_string_equal(f.text[0], "10.0.0.3");
        assert_int_equal(look(names, "shop", "1.web.service.local", true).n, 0);
        assert_true(zl_names_set_ready(names, "shop", "shop.web.2", false));
        assert_int_equal(look(names, "shop", "web", true).n, 0);
        assert_true(zl_names_set_ready(names, "shop", "shop.web.1", true));
        assert_int_equal(look(names, "shop", "web", true).n, 1);
        assert_false(zl_names_set_ready(names, "other", "shop.web.1", true));
        assert_false(zl_names_set_ready(names, NULL, "shop.web.9", true));
}

static void test_turns(void **state)
{
        _cleanup_names_ struct zl_names *names = zl_names_new();
        unsigned first[4] = { 0 };

        for (int i = 0; i < 4; i++) {
                char replica[2] = { (char)('1' + i), 0 }, address[] = "10.0.0.1";

                address[7] = replica[0];
                put(names, "shop", "web", replica, address);
        }
        for (int i = 0; i < 40; i++)
                first[look(names, "shop", "web", true).text[0][7] - '1']++;
        for (int i = 0; i < 4; i++)
                assert_int_equal(first[i], 10);
}

static void test_reverse(void **state)
{
        _cleanup_names_ struct zl_names *names = zl_names_new();
        struct zl_ip ip;

        put(names, "shop", "web", "1", "fd00::2");
        zl_ip_parse("fd00::2", &ip);
        assert_string_equal(zl_names_reverse(names, "shop", &ip), "1.web.service.local");
        assert_null(zl_names_reverse(names, "other", &ip));
        zl_names_set_ready(names, NULL, "shop.web.1", false);
        assert_non_null(zl_names_reverse(names, "shop", &ip));
        zl_names_remove(names, NULL, "shop.web.1");
        assert_null(zl_names_reverse(names, "shop", &ip));
}

static void test_replace(void **state)
{
        _cleanup_names_ struct zl_names *names = zl_names_new();
        struct zl_names_record record = { .network = "shop", .owner = "shop.db.1", .ready = true };
        char *list[] = { (char[]){ "new" }, (char[]){ "NEW" }, NULL };
        struct zl_ip ips[2];

        put(names, "shop", "db", "1", "10.0.0.2");
        zl_ip_parse("10.0.0.2", &ips[0]);
        zl_ip_parse("fd00::2", &ips[1]);
        record.names = list;
        record.addresses = ips;
        record.n_addresses = 2;
        assert_int_equal(zl_names_set(names, &record, NULL), 0);
        assert_int_equal(zl_names_size(names), 1);
        look(names, "shop", "db", false);
        assert_int_equal(look(names, "shop", "new", true).n, 2);
        assert_string_equal(zl_names_reverse(names, "shop", &ips[0]), "new");
        record.n_addresses = 1;
        assert_int_equal(zl_names_set(names, &record, NULL), 0);
        assert_null(zl_names_reverse(names, "shop", &ips[1]));
        assert_non_null(zl_names_reverse(names, "shop", &ips[0]));
}

static void test_remove(void **state)
{
        _cleanup_names_ struct zl_names *names = zl_names_new();

        put(names, "a", "web", "1", "10.0.0.2");
        put(names, "b", "web", "1", "10.0.0.2");
        put(names, "b", "web", "2", "10.0.0.3");
        assert_true(zl_names_remove(names, "a", "shop.web.1"));
        assert_false(zl_names_remove(names, "a", "shop.web.1"));
        look(names, "a", "web", false);
        assert_int_equal(look(names, "b", "web", true).n, 2);
        assert_int_equal(zl_names_remove_network(names, "b"), 2);
        assert_int_equal(zl_names_size(names), 0);
        look(names, "b", "web", false);
}

static void test_conflict(void **state)
{
        _cleanup_names_ struct zl_names *names = zl_names_new();

        assert_int_equal(put(names, "shop", "db", "1", "10.0.0.2"), 0);
        assert_int_equal(put(names, "shop", "web", "1", "10.0.0.2"), -EEXIST);
        look(names, "shop", "web", false);
        assert_int_equal(put(names, "other", "web", "1", "10.0.0.2"), 0);
}

static void test_bad(void **state)
{
        static const char *const bad[] = {
                "",         ".",
                "a.",       ".a",
                "a..b",     "a b",
                "a\n",      "a/b",
                "\xc3\xa4", "a123456789012345678901234567890123456789012345678901234567890123"
        };
        _cleanup_names_ struct zl_names *names = zl_names_new();
        char *list[] = { NULL, NULL };
        struct zl_names_record record = { .network = "n", .owner = "o", .names = list };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++) {
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

                list[0] = (char *)(uintptr_t)bad[i];
                assert_int_equal(zl_names_set(names, &record, &err), -EINVAL);
                assert_int_equal(err.code, ZL_E_INVALID);
        }
        list[0] = (char[]){ "_ok-1.x" };
        assert_int_equal(zl_names_set(names, &record, NULL), 0);
        record.network = "n\nx";
        assert_int_equal(zl_names_set(names, &record, NULL), -EINVAL);
        record.network = "n";
        record.owner = "";
        assert_int_equal(zl_names_set(names, &record, NULL), -EINVAL);
        record.owner = "p";
        record.n_addresses = ZL_NAMES_ADDRESSES_PER_OWNER + 1;
        assert_int_equal(zl_names_set(names, &record, NULL), -EINVAL);
        assert_int_equal(zl_names_size(names), 1);
}

/* Many records, half of them gone again: nobody is lost, nobody stays. */
static void test_many(void **state)
{
        _cleanup_names_ struct zl_names *names = zl_names_new();
        char replica[16], address[32], name[64];

        for (int i = 0; i < 2000; i++) {
                snprintf(replica, sizeof(replica), "%d", i);
                snprintf(address, sizeof(address), "10.0.%d.%d", i / 250, i % 250);
                assert_int_equal(put(names, "n", i % 2 ? "odd" : "even", replica, address), 0);
        }
        for (int i = 0; i < 2000; i += 2) {
                snprintf(name, sizeof(name), "shop.even.%d", i);
                assert_true(zl_names_remove(names, NULL, name));
        }
        look(names, "n", "even", false);
        assert_int_equal(zl_names_size(names), 1000);
        assert_int_equal(look(names, "n", "1999.odd.service.local", true).n, 1);
        look(names, "n", "1998.even.service.local", false);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lookup),   cmocka_unit_test(test_ready),
                cmocka_unit_test(test_turns),    cmocka_unit_test(test_reverse),
                cmocka_unit_test(test_replace),  cmocka_unit_test(test_remove),
                cmocka_unit_test(test_conflict), cmocka_unit_test(test_bad),
                cmocka_unit_test(test_many),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
