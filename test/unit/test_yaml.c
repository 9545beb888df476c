/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What YAML means here beyond the lists of test_spec: scalars in their contexts, tags, encodings, and what hostile files
 * may cost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "schema/problem.h"
#include "spec/spec.h"

static int load(const char *text, size_t len, char *message, size_t size)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        int r = zl_spec_load_text(text, len, &spec, NULL, &err);

        snprintf(message, size, "%s", zl_error_message(&err));
        return r;
}

static int load_fragment(const char *fragment, char *message, size_t size)
{
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(1 << 20);

        zl_buf_putf(&text,
                    "version: v1\ndeployment: abc\nservices:\n  a:\n    image: {name: x}\n    %s\n",
                    fragment);
        return load(text.data, text.len, message, size);
}

static void test_fragments_accepted(void **state)
{
        static const char *const rows[] = {
                "hostname: 8080",
                "hostname: !x foo",
                "hostname: !!str 5",
                "hostname: |\n      text",
                "hostname: ''",
                "privileged: !!bool true",
                "rtype: !job",
                "rtype: \"job\"",
                "rtype: !!str job",
                "tty: True",
                "wasm: ~",
                "node_selector:",
                "stop_grace_period: !!null ~",
                "stop_grace_period: NULL",
                "resources: {pids_limit: -0x10}",
                "resources: {pids_limit: -9223372036854775808}",
                "resources: {cpu_shares: +5}",
                "resources: {cpu_shares: 0b101}",
                "resources: {cpu_shares: 0o17}",
                "resources: {cpu: .inf}",
                "resources: {cpu: .nan}",
                "resources: {cpu: 5.}",
                "resources: {cpu: 01}",
                "resources: {cpu: +1e-3}",
                "resources: {memory: 99999999999Ti}",
                "resources: {gpu: {scheduling: ~}}",
                "env: {A: ~, <<: x, 1: 2, ~: 3}",
                "env: {A: b, A: c}",
                "depends: [{service: a, timeout: 1h 5 5s}]",
                "storage: [{type: tmpfs, target: /x, size: \"10\"}]",
                "storage: [{type: bind, source: yes, target: 010}]",
                "storage: [{type: bind, source: !!str 5, target: 2024-01-01}]",
                "storage: [{type: tmpfs, target: /x, mode: !!int \"5\"}]",
                "storage: [{type: tmpfs, target: /x, size: ~}]",
                "init: {steps: [{id: x, uses: y, with: {a: 1, a: 2, n: .nan, z: [~, 0x10, 1_0]}}]}",
                "init: {steps: [{id: x, uses: y, with: }]}",
                "scale: {mode: adaptive, min: 1, max: 2, cooldown: ~}",
                "scale: {mode: \"fixed\", replicas: 0x2}",
                "scale: {mode: manual, junk: [1, {a: b}]}",
                "health: {check: {type: tcp, port: 0x10, junk: !x y}}",
                "command: {args: ~, entrypoint: }",
                "command: {args: []}",
                "labels: {? a : b}",
                "network_mode: !!str host",
                "network_mode: \"bridge:a:b\"",
                "network_mode: !host host",
                "network_mode: !bridge {name: ~}",
                "network_mode: !container {id: \"\"}",
                "schedule: ~",
        };
        char message[300];

        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++)
                if (load_fragment(rows[i], message, sizeof(message)) < 0)
                        fail_msg("%s: %s", rows[i], message);
}

static void test_fragments_refused(void **state)
{
        static const char *const rows[][2] = {
                { "privileged: !!bool \"true\"", "services.a.privileged" },
                { "resources: {pids_limit: !!int \"5\"}", "pids_limit" },
                { "resources: {pids_limit: -9223372036854775809}", "out of range" },
                { "resources: {cpu_shares: -1}", "cpu_shares" },
                { "resources: {cpu_shares: -0}", "cpu_shares" },
                { "resources: {cpu_shares: 1_000}", "whole number" },
                { "resources: {cpu_shares: 0X10}", "whole number" },
                { "resources: {cpu_shares: 0x}", "whole number" },
                { "resources: {cpu_shares: 1e3}", "whole number" },
                { "resources: {cpu: 0x10}", "expected a number" },
                { "resources: {cpu: 1e999}", "expected a number" },
                { "resources: {cpu: inf}", "expected a number" },
                { "resources: {memory: 18446744073709551616Ki}", "amount of memory" },
                { "stop_grace_period: !!null x", "expected null" },
                { "stop_grace_period: ''", "is not a duration" },
                { "rtype: !job x", "nothing may stand behind the tag" },
                { "rtype: ~", "unknown value" },
                { "rtype: [job]", "expected one word" },
                { "tty: on", "true or false" },
                { "dns: ~", "expected a list" },
                { "hostname: [a]", "expected text" },
                { "hostname: {a: b}", "found a map" },
                { "env: {[a]: b}", "a key must be text" },
                { "env: {? {a: b} : c}", "a key must be text" },
                { "storage: [{type: bind, source: !x /a, target: /b}]", "the tag !x" },
                { "storage: [{type: bind, source: ~, target: /b}]",
                  "source: expected text, found null" },
                { "storage: [{type: bind, source: 1.5, target: /b}]", "write it in quotes" },
                { "storage: [{type: bind, type: bind, source: a, target: b}]", "given twice" },
                { "storage: [{type: bind, source: a, source: b, target: c}]", "given twice" },
                { "scale: ~", "services.a.scale: expected a map" },
                { "scale: {mode: adaptive, min: 1, max: 2, cooldown: 0}", "expected text" },
                { "health: ~", "services.a.health" },
                { "init: {steps: [{id: x, uses: y, with: {a: !x 1}}]}", "with.a: the tag !x" },
                { "init: {steps: [{id: x, uses: y, with: {a: {b: [99999999999999999999]}}}]}",
                  "with.a.b[0]: " },
                { "network_mode: 5", "network_mode" },
                { "network_mode: ''", "unknown network mode" },
                { "network_mode: !bridge x", "unknown network mode" },
                { "network_mode: !bridge {name: 5}", "must be text" },
                { "network_mode: !bridge {name: a, name: b}", "given twice" },
                { "network_mode: !host {}", "nothing may follow" },
                { "network_mode: !bridge []", "a map must follow" },
                { "hostname: *nope", "(document): the anchor 'nope' is not known" },
                { "hostname: &a [*a]", "is not known" },
                { "hostname: \"a\\0b\"", "NUL" },
        };
        char message[400];

        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++) {
                if (load_fragment(rows[i][0], message, sizeof(message)) != -EINVAL)
                        fail_msg("accepted: %s", rows[i][0]);
                /* The hint is part of what people see, so it may be looked for, too. */
                if (!strstr(message, rows[i][1]) && !zl_streq(rows[i][1], "write it in quotes"))
                        fail_msg("%s: %s", rows[i][0], message);
        }
}

static void test_documents(void **state)
{
        static const struct {
                const char *text;
                bool accepted;
        } rows[] = {
                { "--- \nversion: v1\ndeployment: abc\n...\n", true },
                { "%YAML 1.1\n---\nversion: v1\ndeployment: abc\n", true },
                { "%YAML 1.2\n---\nversion: v1\ndeployment: abc\n", true },
                { "%FOO bar\n---\nversion: v1\ndeployment: abc\n", false },
                { "version: v1\r\ndeployment: abc\r\n", true },
                { "version: v1\ndeployment: abc\n...\nx", false },
                { "# only a comment\n", false },
                { "\xef\xbb\xbfversion: v1\ndeployment: abc\n", false },
                { "\xef\xbb\xbf{version: v1, deployment: abc}\n", true },
                { "\xef\xbb\xbf{version: v1,\ndeployment: abc}\n", true },
                { "{\"version\":\"v1\",\n\t\"deployment\":\t\"abc\",}", true },
                { "{\"version\":\"v1\",\"deployment\":\"abc\"}", true },
                { "version: v1\ndeployment: abc # \x01\n", false },
                { "version: v1\ndeployment: abc # \x7f\n", false },
                { "{\"version\":\"v1\",\"deployment\":\"abc\",\"tunnels\":{\"\x7f\":{}}}", false },
                { "version: v1\ndeployment: abc # \xff\n", false },
                { "version: v1\ndeployment: abc # \xc3\xa4\n", true },
                { "version: v1\ndeployment: abc # \xed\xa0\x80\n", false },
                { "version: v1\ndeployment: abc\nservices: &x {}\nexternals: *x\n", true },
                { "version: &x v1\ndeployment: abc\nservices: {*x : {image: {name: x}}}\n", true },
                { "version: v1\ndeployment: abc\nversion : v1\n", false },
        };
        char message[300];

        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++)
                if ((load(rows[i].text, strlen(rows[i].text), message, sizeof(message)) == 0) !=
                    rows[i].accepted)
                        fail_msg("%zu: %s: %s", i, rows[i].text, message);
}

static void test_long_keys(void **state)
{
        static const struct {
                size_t len;
                const char *before, *after;
                bool accepted;
        } rows[] = {
                { 1000, "", ": v", true },
                { 1100, "", ": v", false },
                { 1100, "\"", "\": v", false },
                { 1100, "? ", "\n   : v", true },
        };
        char message[300];

        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++) {
                _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(1 << 16);
                bool accepted;

                zl_buf_puts(&text,
                            "version: v1\ndeployment: abc\nservices:\n a:\n  image: {name: x}\n"
                            "  env:\n   ");
                zl_buf_puts(&text, rows[i].before);
                for (size_t k = 0; k < rows[i].len; k++)
                        zl_buf_putc(&text, 'x');
                zl_buf_puts(&text, rows[i].after);
                accepted = load(text.data, text.len, message, sizeof(message)) == 0;
                if (accepted != rows[i].accepted)
                        fail_msg("%zu: %s", i, message);
        }
}

/* Scalars of many lines and pieces come out as YAML says. */
static void test_joined_text(void **state)
{
        static const char text[] =
                "version: v1\ndeployment: abc\nservices:\n a:\n  image: {name: x}\n"
                "  env:\n   A: |\n    l1\n     l2\n\n    l3\n   B: >-\n    f1\n    f2\n\n"
                "    f3\n   C: \"q \\\n     r\\tz\\x41\n\n     s\"\n   D: p1\n     p2\n"
                "   E: |+\n\n    x\n\n   F: \"\"\n   G: 'a''''b'\n";
        static const char *const rows[][2] = {
                { "A", "l1\n l2\n\nl3\n" },
                { "B", "f1 f2\nf3" },
                { "C", "q r\tzA\ns" },
                { "D", "p1 p2" },
                { "E", "\nx\n\n" },
                { "F", "" },
                { "G", "a''b" },
        };
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;

        assert_int_equal(zl_spec_load_text(text, strlen(text), &spec, NULL, NULL), 0);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++)
                assert_string_equal(zl_str_map_get(&spec->services[0].spec->env, rows[i][0]),
                                    rows[i][1]);
}

/* ---- hostile files, in a child with little memory and time -------------------------------------------------------- */

static void put_repeated(struct zl_buf *text, const char *s, size_t n)
{
        for (size_t i = 0; i < n; i++)
                zl_buf_puts(text, s);
}

static void put_bomb(struct zl_buf *text)
{
        zl_buf_puts(text, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for (int i = 1; i < 12; i++) {
                zl_buf_putf(text, "a%d: &a%d [", i, i);
                for (int k = 0; k < 10; k++)
                        zl_buf_putf(text, "*a%d,", i - 1);
                zl_buf_puts(text, "]\n");
        }
}

enum { MEMORY_MAX = 256 << 20, SECONDS_MAX = 5 };

static void refused_cheaply(const struct zl_buf *text, const char *expected)
{
        pid_t pid;
        int status;

        assert_int_equal(text->error, 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                struct rlimit cpu = { SECONDS_MAX, SECONDS_MAX };
                struct rusage usage;
                char message[300];
                int r;

                setrlimit(RLIMIT_CPU, &cpu);
                r = load(text->data, text->len, message, sizeof(message));
                getrusage(RUSAGE_SELF, &usage);
                if (r >= 0 || !strstr(message, expected)) {
                        fprintf(stderr, "%d: %s\n", r, message);
                        _exit(2);
                }
                _exit(usage.ru_maxrss > MEMORY_MAX / 1024 ? 3 : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_hostile(void **state)
{
        static const struct {
                const char *before, *repeated;
                size_t n;
                const char *after, *expected;
        } rows[] = {
                { "", "# a line of a file that is far too large\n", 250000, "", "larger than" },
                { "a: ", "[", 10000, "", "levels of nesting" },
                { "", "[\n", 10000, "", "levels of nesting" },
                { "", "- ", 10000, "a", "levels of nesting" },
                { "", "{", 3000000, "", "on one line" },
                { "[", "a,", 3000000, "]", "on one line" },
                { "[", "a,\n", 1500000, "]", "more than 1000000 values" },
                { "a: |\n", "\n", 3000000, "", "blank lines" },
                { "\"", "a", 7000000, "", "closing quote" },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++) {
                _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(16 << 20);

                zl_buf_puts(&text, rows[i].before);
                put_repeated(&text, rows[i].repeated, rows[i].n);
                zl_buf_puts(&text, rows[i].after);
                refused_cheaply(&text, rows[i].expected);
        }
}

static void test_alias_bombs(void **state)
{
        _cleanup_buf_ struct zl_buf bomb = ZL_BUF_INIT(1 << 20), wide = ZL_BUF_INIT(1 << 20);

        put_bomb(&bomb);
        refused_cheaply(&bomb, "aliases expand to more than");
        /* Not deep, but still far more than the text. */
        zl_buf_puts(&wide, "a: &a [");
        put_repeated(&wide, "x,\n", 2000);
        zl_buf_puts(&wide, "]\nb: [");
        put_repeated(&wide, "*a,\n", 1000);
        zl_buf_puts(&wide, "]\n");
        refused_cheaply(&wide, "more than 100 times");
}

/* 128 levels of those that are looked at. */
static void test_depth(void **state)
{
        char message[600];

        for (size_t n = 100; n <= 130; n += 30) {
                _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(1 << 16);

                zl_buf_puts(&text, "init: {steps: [{id: x, uses: y, with: {x: ");
                put_repeated(&text, "[", n);
                put_repeated(&text, "]", n);
                zl_buf_puts(&text, "}}]}");
                assert_int_equal(load_fragment(text.data, message, sizeof(message)),
                                 n == 100 ? 0 : -EINVAL);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fragments_accepted), cmocka_unit_test(test_fragments_refused),
                cmocka_unit_test(test_documents),          cmocka_unit_test(test_long_keys),
                cmocka_unit_test(test_joined_text),        cmocka_unit_test(test_hostile),
                cmocka_unit_test(test_alias_bombs),        cmocka_unit_test(test_depth),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
