/* SPDX-License-Identifier: Apache-2.0 */
/* Options by table, and what `run` makes of them. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/strv.h"
#include "cli/cli.h"
#include "cli/run_spec.h"

struct options {
        bool flag, other;
        const char *text;
        char **list;
        struct zl_cli_u64 number, size;
        struct zl_cli_i64 span;
        struct zl_cli_double cores;
        int sig;
};

static const struct zl_cli_option table[] = {
        { "flag", 'f', ZL_CLI_FLAG, offsetof(struct options, flag), NULL, "" },
        { "other", 'o', ZL_CLI_FLAG, offsetof(struct options, other), NULL, "" },
        { "text", 't', ZL_CLI_STRING, offsetof(struct options, text), "X", "" },
        { "list", 'l', ZL_CLI_LIST, offsetof(struct options, list), "X", "" },
        { "number", 'n', ZL_CLI_U64, offsetof(struct options, number), "X", "" },
        { "size", 0, ZL_CLI_SIZE, offsetof(struct options, size), "X", "" },
        { "span", 0, ZL_CLI_DURATION, offsetof(struct options, span), "X", "" },
        { "cores", 0, ZL_CLI_DOUBLE, offsetof(struct options, cores), "X", "" },
        { "sig", 's', ZL_CLI_SIGNAL, offsetof(struct options, sig), "X", "" },
        { 0 },
};
static struct zl_cli_command cmd = {
        .name = "test", .args = "", .options = table, .options_size = sizeof(struct options)
};

/* Words of one line; at most 31. */
static int parse(const char *line, struct options *o, char **argv, char *copy, bool *json)
{
        struct zl_error err = ZL_ERROR_INIT;
        char *save = NULL;
        int argc = 0, r;

        memset(o, 0, sizeof(*o));
        strcpy(copy, line);
        for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
                argv[argc++] = w;
        argv[argc] = NULL;
        r = zl_cli_parse(&cmd, argc, argv, o, json, &err);
        assert_true((r == -EINVAL) == (zl_error_is_set(&err) != 0));
        zl_error_done(&err);
        return r;
}

static void all_types(void **state)
{
        struct options o;
        char *argv[32], copy[256];
        bool json = false;
        int first;

        (void)state;
        first = parse(
                "test a -fo --text=x -l 1 -l2 -n 7 --size 2Ki --span 1m30s --cores 1.5 -s HUP "
                "b --json",
                &o, argv, copy, &json);
        assert_true(first > 0);
        assert_string_equal(argv[first], "a");
        assert_string_equal(argv[first + 1], "b");
        assert_null(argv[first + 2]);
        assert_true(o.flag && o.other && json);
        assert_string_equal(o.text, "x");
        assert_int_equal(zl_strv_len(o.list), 2);
        assert_string_equal(o.list[1], "2");
        assert_true(o.number.set && o.number.value == 7);
        assert_int_equal(o.size.value, 2048);
        assert_int_equal(o.span.value, 90 * ZL_NSEC_PER_SEC);
        assert_true(o.cores.value > 1.49 && o.cores.value < 1.51);
        assert_int_equal(o.sig, 1);
        zl_cli_options_done(&cmd, &o);
        assert_null(o.list);
}

static void wrong_usage(void **state)
{
        static const char *const lines[] = { "test --nothing", "test -x",        "test --text",
                                             "test -n x",      "test -n -1",     "test --size 1.5Q",
                                             "test --span x",  "test --cores 0", "test --cores nan",
                                             "test -s NOSUCH", "test --flag=1",  "test -n" };

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(lines); i++) {
                struct options o;
                char *argv[32], copy[256];
                bool json;

                if (parse(lines[i], &o, argv, copy, &json) != -EINVAL)
                        fail_msg("accepted: %s", lines[i]);
                zl_cli_options_done(&cmd, &o);
        }
}

static void help_and_stop_at_first(void **state)
{
        struct options o;
        char *argv[32], copy[256];
        bool json = false;
        int first;

        (void)state;
        assert_int_equal(parse("test --help", &o, argv, copy, &json), -EAGAIN);
        assert_int_equal(parse("test -f -h", &o, argv, copy, &json), -EAGAIN);
        cmd.stop_at_first = true;
        first = parse("test -f image -o --json", &o, argv, copy, &json);
        cmd.stop_at_first = false;
        assert_string_equal(argv[first], "image");
        assert_string_equal(argv[first + 1], "-o");
        assert_true(o.flag && !o.other && !json);
        first = parse("test -- -f", &o, argv, copy, &json);
        assert_string_equal(argv[first], "-f");
        assert_false(o.flag);
}

static void durations(void **state)
{
        static const struct {
                const char *text;
                int64_t nsec;
        } good[] = { { "0", 0 },
                     { "10", 10 * ZL_NSEC_PER_SEC },
                     { "1.5", 1500 * ZL_NSEC_PER_MSEC },
                     { "500ms", 500 * ZL_NSEC_PER_MSEC },
                     { "1h1m1s", 3661 * ZL_NSEC_PER_SEC },
                     { "2d", 172800 * ZL_NSEC_PER_SEC } };
        static const char *const bad[] = { "",    "s",   "-1",     "1x",  "1h2",
                                           "1 s", "inf", "1e300h", "0x10" };
        int64_t v;

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(good); i++) {
                assert_int_equal(zl_cli_parse_duration(good[i].text, &v), 0);
                assert_int_equal(v, good[i].nsec);
        }
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                if (zl_cli_parse_duration(bad[i], &v) != -EINVAL)
                        fail_msg("accepted: \"%s\"", bad[i]);
}

static struct zl_service_spec *build(const struct zl_run_options *o)
{
        static char word[] = "true";
        char *argv[] = { word, NULL };
        struct zl_service_spec *spec = NULL;
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_run_spec_build(o, "bb", argv, &spec, &err) < 0)
                fail_msg("%s", zl_error_message(&err));
        return spec;
}

static void run_options_become_a_spec(void **state)
{
        char *env[] = { (char[]){ "A=1" }, (char[]){ "B=" }, (char[]){ "ZL_NOT_SET_HERE" }, NULL };
        char *volumes[] = { (char[]){ "/tmp:/a:ro" }, (char[]){ "data:/b" }, (char[]){ "/c" },
                            NULL };
        char *ports[] = { (char[]){ "80" }, (char[]){ "8080:81/udp" }, (char[]){ "1.2.3.4::82" },
                          NULL };
        char *ulimits[] = { (char[]){ "nofile=10:20" }, NULL };
        struct zl_run_options o = {
                .env = env,
                .volumes = volumes,
                .ports = ports,
                .ulimits = ulimits,
                .network = "bridge:x",
                .memory = { 65536, true },
                .cpus = { 0.5, true },
                .user = "app:audio",
                .tty = true,
        };
        struct zl_service_spec *spec = build(&o);

        (void)state;
        assert_string_equal(spec->image.name, "docker.io/library/bb:latest");
        assert_string_equal(spec->command.args[0], "true");
        assert_int_equal(spec->env.n, 2);
        assert_string_equal(zl_str_map_get(&spec->env, "B"), "");
        assert_int_equal(spec->n_storage, 3);
        assert_int_equal(spec->storage[0].type, ZL_STORAGE_BIND);
        assert_true(spec->storage[0].readonly);
        assert_int_equal(spec->storage[1].type, ZL_STORAGE_NAMED);
        assert_string_equal(spec->storage[1].name, "data");
        assert_int_equal(spec->storage[2].type, ZL_STORAGE_ANONYMOUS);
        assert_string_equal(spec->storage[2].target, "/c");
        assert_int_equal(spec->n_port_mappings, 3);
        assert_false(spec->port_mappings[0].has_host_port);
        assert_int_equal(spec->port_mappings[1].host_port, 8080);
        assert_int_equal(spec->port_mappings[1].protocol, ZL_TRANSPORT_UDP);
        assert_string_equal(spec->port_mappings[2].host_ip, "1.2.3.4");
        assert_int_equal(spec->network_mode.kind, ZL_NETWORK_BRIDGE);
        assert_string_equal(spec->network_mode.name, "x");
        assert_string_equal(spec->resources.memory, "64Ki");
        assert_int_equal(spec->ulimits[0].limit.hard, 20);
        assert_string_equal(spec->user, "app:audio");
        assert_true(spec->tty);
        zl_service_spec_free(spec);
}

static void bad_run_options_are_refused(void **state)
{
        static const char *const volumes[] = { "a", "a:b", "/x:/y:zz", "/no/such/dir:/y" };
        static const char *const ports[] = { "0", "x", "1:2:3:4", "99999", "80/sctp", "70000:80" };
        struct zl_service_spec *spec = NULL;
        struct zl_run_options o = { 0 };
        char *list[2] = { NULL, NULL };
        char *argv[] = { NULL };

        (void)state;
        o.volumes = list;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(volumes); i++) {
                list[0] = (char *)(uintptr_t)volumes[i];
                assert_true(zl_run_spec_build(&o, "bb", argv, &spec, NULL) < 0);
        }
        o.volumes = NULL;
        o.ports = list;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(ports); i++) {
                list[0] = (char *)(uintptr_t)ports[i];
                if (zl_run_spec_build(&o, "bb", argv, &spec, NULL) >= 0)
                        fail_msg("accepted: %s", ports[i]);
        }
        o.ports = NULL;
        o.network = "nowhere";
        assert_true(zl_run_spec_build(&o, "bb", argv, &spec, NULL) < 0);
        o.network = NULL;
        assert_true(zl_run_spec_build(&o, "Not An Image", argv, &spec, NULL) < 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(all_types),
                cmocka_unit_test(wrong_usage),
                cmocka_unit_test(help_and_stop_at_first),
                cmocka_unit_test(durations),
                cmocka_unit_test(run_options_become_a_spec),
                cmocka_unit_test(bad_run_options_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
