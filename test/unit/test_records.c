/* SPDX-License-Identifier: Apache-2.0 */
/* The records of zlayer-net in a directory: which files are some, and what is told of those that cannot be read. */
#include "support.h"

#include "network/records.h"

/* Sums up the slots, 1000 for a document that cannot be read; 7 is the end. */
static int add(void *data, const char *name, json_t *document)
{
        int64_t slot = zl_json_int(document, "slot", 0);

        assert_int_equal(strlen(name), 1);
        *(int64_t *)data += document ? slot : 1000;
        return slot == 7;
}

static void every_record_and_nothing_else(void **state)
{
        const struct place *p = *state;
        int64_t sum = 0;

        put_file(p->fd, "a.json", "{\"slot\": 1}");
        put_file(p->fd, "b.json", "{\"slot\": 20}");
        put_file(p->fd, "c.json", "{\"slot\": ");
        put_file(p->fd, ".json", "{\"slot\": 100}");
        put_file(p->fd, "d.json.old", "{\"slot\": 100}");
        put_file(p->fd, "json", "{\"slot\": 100}");
        assert_int_equal(zl_net_each_record(p->fd, ".", add, &sum), 0);
        assert_int_equal(sum, 1021);
        assert_true(zl_net_is_record("a.json"));
        assert_false(zl_net_is_record(".json"));
        assert_false(zl_net_is_record("a"));
}

static void the_first_other_than_0_is_the_end(void **state)
{
        const struct place *p = *state;
        int64_t sum = 0;

        assert_int_equal(mkdirat(p->fd, "room", 0700), 0);
        put_file(p->fd, "room/e.json", "{\"slot\": 7}");
        put_file(p->fd, "room/f.json", "{\"slot\": 7}");
        assert_int_equal(zl_net_each_record(p->fd, "room", add, &sum), 1);
        assert_int_equal(sum, 7);
        assert_int_equal(zl_net_each_record(p->fd, "nowhere", add, &sum), -ENOENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_record_and_nothing_else),
                cmocka_unit_test(the_first_other_than_0_is_the_end),
        };

        return cmocka_run_group_tests(tests, place_setup, place_teardown);
}
