/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder and its tables with the example of schema.h, and the JSON reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <zlayer/spec.h>

#include "schema/json.h"
#include "schema/schema.h"

enum colour { RED, BLUE };
enum check_type { CHECK_TCP, CHECK_HTTP };

struct mount {
        char *target;
        bool readonly;
};

struct check {
        enum check_type type;
        uint16_t port;
        char *url;
};

struct box {
        char *name;
        bool has_limit;
        uint32_t limit;
        enum colour colour;
        struct mount *root;
        struct mount *mounts;
        size_t n_mounts;
        char **args;
        struct zl_str_map env;
        struct check check;
        int64_t delta;
        int32_t *ids;
        size_t n_ids;
};

static const struct zl_field mount_fields[] = {
        ZL_FIELD(struct mount, "target", target, zl_type_str, .flags = ZL_REQUIRED),
        ZL_FIELD(struct mount, "readonly", readonly, zl_type_bool, .def = "false"),
};
static const struct zl_type mount_type = ZL_TYPE_STRUCT(struct mount, "Mount", mount_fields);
static const struct zl_type mounts_type = ZL_TYPE_LIST(mount_type);
static const struct zl_type ids_type = ZL_TYPE_LIST(zl_type_i32);

static const struct zl_enum_item colours[] = { { "red", RED }, { "blue", BLUE } };
static const struct zl_type colour_type = ZL_TYPE_ENUM("Colour", colours);

static const struct zl_field tcp_fields[] = {
        ZL_FIELD(struct check, "port", port, zl_type_u16, .flags = ZL_REQUIRED),
};
static const struct zl_field http_fields[] = {
        ZL_FIELD(struct check, "url", url, zl_type_str, .flags = ZL_REQUIRED),
};
static const struct zl_variant check_variants[] = {
        { "tcp", CHECK_TCP, tcp_fields, ZL_ARRAY_SIZE(tcp_fields) },
        { "http", CHECK_HTTP, http_fields, ZL_ARRAY_SIZE(http_fields) },
};
static const struct zl_type check_type = ZL_TYPE_UNION(struct check, "Check", "type", type,
                                                       check_variants);

static const struct zl_field box_fields[] = {
        ZL_FIELD(struct box, "name", name, zl_type_str, .flags = ZL_REQUIRED),
        ZL_FIELD(struct box, "limit", limit, zl_type_u32, ZL_HAS(struct box, has_limit)),
        ZL_FIELD(struct box, "colour", colour, colour_type, .def = "red"),
        ZL_FIELD(struct box, "root", root, mount_type, .flags = ZL_PTR),
        ZL_FIELD(struct box, "mounts", mounts, mounts_type, ZL_COUNT(struct box, n_mounts)),
        ZL_FIELD(struct box, "args", args, zl_type_strv, .alias = "argv"),
        ZL_FIELD(struct box, "env", env, zl_type_str_map),
        ZL_FIELD(struct box, "check", check, check_type, .def = "{\"type\":\"tcp\",\"port\":7}"),
        ZL_FIELD(struct box, "delta", delta, zl_type_i64, .def = "-5"),
        ZL_FIELD(struct box, "ids", ids, ids_type, ZL_COUNT(struct box, n_ids)),
};
static const struct zl_type box_type = ZL_TYPE_STRUCT(struct box, "Box", box_fields);

static int read_box(const char *text, struct zl_arena *arena, struct box *box, struct zl_error *err)
{
        return zl_schema_read_json(&box_type, text, strlen(text), "box.json", arena, box, err);
}

static void test_tables(void **state)
{
        assert_null(zl_schema_check(&box_type));
}

static void test_everything(void **state)
{
        _cleanup_arena_ struct zl_arena *arena = zl_arena_new(0);
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct box box;

        assert_int_equal(
                read_box(
                        "{\"name\":\"n\\u00e4\\\"\",\"limit\":4294967295,\"colour\":\"blue\","
                        "\"root\":{\"target\":\"/\",\"x\":[1]},\"mounts\":[{\"target\":\"/a\"},"
                        "{\"target\":\"/b\",\"readonly\":true}],\"argv\":[\"a\",\"\"],"
                        "\"env\":{\"A\":\"1\",\"B\":\"\"},\"check\":{\"type\":\"http\",\"url\":\"u\"},"
                        "\"delta\":-9223372036854775808,\"ids\":[-1,2],\"unknown\":{}}",
                        arena, &box, &err),
                0);
        assert_string_equal(box.name, "n\xc3\xa4\"");
        assert_true(box.has_limit);
        assert_int_equal(box.limit, UINT32_MAX);
        assert_int_equal(box.colour, BLUE);
        assert_string_equal(box.root->target, "/");
        assert_int_equal(box.n_mounts, 2);
        assert_true(box.mounts[1].readonly);
        assert_string_equal(box.args[1], "");
        assert_null(box.args[2]);
        assert_int_equal(box.env.n, 2);
        assert_string_equal(box.env.items[0].value, "1");
        assert_int_equal(box.check.type, CHECK_HTTP);
        assert_string_equal(box.check.url, "u");
        assert_true(box.delta == INT64_MIN);
        assert_int_equal(box.n_ids, 2);
        assert_int_equal(box.ids[0], -1);
}

static void test_absent_and_null(void **state)
{
        _cleanup_arena_ struct zl_arena *arena = zl_arena_new(0);
        struct box box;

        assert_int_equal(read_box("{\"name\":\"x\",\"limit\":null,\"args\":null,\"mounts\":null,"
                                  "\"colour\":null,\"root\":null}",
                                  arena, &box, NULL),
                         0);
        assert_false(box.has_limit);
        assert_int_equal(box.colour, RED);
        assert_null(box.root);
        assert_null(box.args);
        assert_int_equal(box.n_mounts, 0);
        assert_int_equal(box.check.port, 7);
        assert_int_equal(box.delta, -5);
}

static void test_faults(void **state)
{
        static const struct {
                const char *text, *message;
        } rows[] = {
                { "{\"name\":1}", "box.json:1:9: name: expected text" },
                { "{}", "the field 'name' is missing" },
                { "{\"name\":\"x\",\"limit\":-1}", "limit: -1 is out of range" },
                { "{\"name\":\"x\",\"limit\":4294967296}", "out of range" },
                { "{\"name\":\"x\",\"limit\":\"1\"}", "expected a whole number, found text \"1\"" },
                { "{\"name\":\"x\",\"limit\":1.0}", "expected a whole number" },
                { "{\"name\":\"x\",\"colour\":\"blu\"}", "colour: unknown value 'blu'" },
                { "{\"name\":\"x\",\"args\":[\"a\",2]}", "args[1]: expected text" },
                { "{\"name\":\"x\",\"args\":\"a\"}", "args: expected a list, found text" },
                { "{\"name\":\"x\",\"args\":[],\"argv\":[]}", "given twice" },
                { "{\"name\":\"x\",\"env\":{\"A\":\"1\",\"A\":\"2\"}}", "is repeated" },
                { "{\"name\":\"x\",\"env\":[]}", "env: expected a map, found a list" },
                { "{\"name\":\"x\",\"mounts\":[{\"target\":\"/\"},{}]}",
                  "mounts[1]: the field 'target' is missing" },
                { "{\"name\":\"x\",\"check\":{\"port\":1}}", "the field 'type' is missing" },
                { "{\"name\":\"x\",\"check\":{\"type\":\"udp\"}}", "check.type: unknown value" },
                { "{\"name\":\"x\",\"check\":{\"type\":\"tcp\"}}", "'port' is missing" },
                { "[]", "(root): expected a map, found a list" },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++) {
                _cleanup_arena_ struct zl_arena *arena = zl_arena_new(0);
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
                struct box box;

                assert_int_equal(read_box(rows[i].text, arena, &box, &err), -EINVAL);
                if (!strstr(zl_error_message(&err), rows[i].message))
                        fail_msg("%s: got: %s", rows[i].text, zl_error_message(&err));
        }
}

/* All faults are told, with hints, and what could be read is there and can be freed. */
static void test_all_faults(void **state)
{
        static const char text[] =
                "{\"nam\":\"x\",\n\"colour\":\"bleu\",\"mounts\":[{\"target\":1},{\"target\":\"/b\"}],\n"
                "\"env\":{\"A\":[],\"B\":\"b\"},\"args\":[\"a\",{},\"c\"]}";
        _cleanup_arena_ struct zl_arena *arena = zl_arena_new(0);
        _cleanup_(zl_problems_freep) struct zl_problems *problems = zl_problems_new();
        struct zl_decode_options options = { .flags = ZL_DECODE_STRICT };
        struct zl_node *root;
        struct box box;

        assert_int_equal(zl_json_read(arena, text, strlen(text), "x", &root, NULL), 0);
        assert_int_equal(zl_schema_decode(&box_type, root, &options, &box, problems), -EINVAL);
        zl_problems_sort(problems);
        assert_int_equal(problems->n, 6);
        assert_string_equal(problems->items[0].path, "(root)");
        assert_non_null(strstr(problems->items[1].hint, "'name'"));
        assert_string_equal(problems->items[2].path, "colour");
        assert_int_equal(problems->items[2].line, 2);
        assert_int_equal(problems->items[2].column, 10);
        assert_non_null(strstr(problems->items[2].hint, "'blue'"));
        assert_string_equal(problems->items[3].path, "mounts[0].target");
        assert_string_equal(problems->items[4].path, "env.A");
        assert_string_equal(problems->items[5].path, "args[1]");
        assert_true(zl_problems_touch(problems, "name"));
        assert_true(zl_problems_touch(problems, "mounts[0]"));
        assert_false(zl_problems_touch(problems, "mounts[1].target"));
        assert_string_equal(box.mounts[1].target, "/b");
        assert_string_equal(box.args[1], "c");
        zl_schema_free(&box_type, &box);
}

static void test_round_trip(void **state)
{
        static const char text[] =
                "{\"name\":\"x\",\"colour\":\"red\",\"root\":{\"target\":\"/\",\"readonly\":false},"
                "\"args\":[\"a\\n\"],\"env\":{\"K\":\"v\"},\"check\":{\"type\":\"http\",\"url\":\"u\"},"
                "\"delta\":3,\"ids\":[1]}";
        _cleanup_arena_ struct zl_arena *arena = zl_arena_new(0);
        struct zl_decode_options options = { .flags = ZL_DECODE_STRICT };
        _cleanup_free_ char *out = NULL, *described = NULL;
        struct zl_node *root;
        struct box box, copy;

        assert_int_equal(zl_json_read(arena, text, strlen(text), "x", &root, NULL), 0);
        assert_int_equal(zl_schema_decode(&box_type, root, &options, &box, NULL), 0);
        assert_int_equal(zl_schema_copy(&box_type, &box, &copy), 0);
        zl_schema_free(&box_type, &box);
        out = zl_schema_dump_json(&box_type, &copy, 0);
        assert_string_equal(out, text);
        zl_schema_free(&box_type, &copy);

        described = zl_schema_describe(&box_type, "Box");
        assert_int_equal(zl_json_read(arena, described, strlen(described), "s", &root, NULL), 0);
        assert_non_null(zl_node_get(zl_node_get(root, "$defs"), "Check"));
}

static void test_json_reader(void **state)
{
        static const char *const bad[] = {
                "",           "{",           "[1,]",
                "{\"a\":1,}", "{a:1}",       "'a'",
                "[1 2]",      "01",          "+1",
                ".5",         "1.",          "1e",
                "nul",        "truex",       "\"a",
                "\"\\x\"",    "\"\\ud800\"", "\"\\u0000\"",
                "\"\x01\"",   "\"\xff\"",    "1 2",
                "[1]]",       "{\"a\" 1}",   "\"a\nb\"",
                "NaN",        "--1",         "\xef\xbb\xbf{}",
        };
        static const char *const good[] = {
                "0",    "-0", "1e5", "-1.5E-3", "\"\\ud83d\\ude00\"", " [ ] ", "{\"a\":{\"a\":[]}}",
                "null",
        };
        char deep[300];

        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++) {
                _cleanup_arena_ struct zl_arena *arena = zl_arena_new(0);
                struct zl_node *root;

                if (zl_json_read(arena, bad[i], strlen(bad[i]), "x", &root, NULL) != -EINVAL)
                        fail_msg("accepted: %s", bad[i]);
        }
        for (size_t i = 0; i < ZL_ARRAY_SIZE(good); i++) {
                _cleanup_arena_ struct zl_arena *arena = zl_arena_new(0);
                struct zl_node *root;

                if (zl_json_read(arena, good[i], strlen(good[i]), "x", &root, NULL) != 0)
                        fail_msg("refused: %s", good[i]);
        }
        for (size_t n = 128; n <= 129; n++) {
                _cleanup_arena_ struct zl_arena *arena = zl_arena_new(0);
                struct zl_node *root;

                memset(deep, '[', n);
                memset(deep + n, ']', n);
                assert_int_equal(zl_json_read(arena, deep, 2 * n, "x", &root, NULL),
                                 n == 128 ? 0 : -EINVAL);
        }
}

static void test_arena_bound(void **state)
{
        _cleanup_arena_ struct zl_arena *arena = zl_arena_new(1000);

        assert_non_null(zl_arena_alloc(arena, 900));
        assert_null(zl_arena_alloc(arena, 200));
        assert_non_null(zl_arena_alloc(arena, 64));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tables),          cmocka_unit_test(test_everything),
                cmocka_unit_test(test_absent_and_null), cmocka_unit_test(test_faults),
                cmocka_unit_test(test_all_faults),      cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_json_reader),     cmocka_unit_test(test_arena_bound),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
