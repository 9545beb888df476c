/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spec decoder against the lists of what must be accepted and what must be refused (test/data/spec), the decoded
 * values, and the way back to text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strv.h"
#include "schema/schema.h"
#include "spec/cron.h"
#include "spec/spec.h"
#include "spec/tables.h"

static char *data_path(const char *name)
{
        const char *root = getenv("ZL_SOURCE_ROOT");
        char *path;

        if (asprintf(&path, "%s/test/data/spec/%s", root ? root : ".", name) < 0)
                abort();
        return path;
}

static struct zl_deployment_spec *load_example(const char *name)
{
        _cleanup_free_ char *path = data_path(name);
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_deployment_spec *spec = NULL;

        if (zl_spec_load_file(path, &spec, NULL, &err) < 0)
                fail_msg("%s", zl_error_message(&err));
        return spec;
}

static const struct zl_service_spec *service(const struct zl_deployment_spec *spec,
                                             const char *name)
{
        const struct zl_service_spec *s = zl_spec_get_service(spec, name);

        if (!s)
                fail_msg("service %s is missing", name);
        return s;
}

static void load(const char *text, struct zl_deployment_spec **spec, struct zl_problems **problems)
{
        zl_spec_load_text(text, strlen(text), spec, problems, NULL);
}

static void test_tables(void **state)
{
        assert_null(zl_schema_check(&zl_deployment_type));
}

/* ---- what must be refused ------------------------------------------------------------------------------- */

static bool row_matches(const json_t *row, const struct zl_problems *problems)
{
        const char *location = zl_json_str(row, "location", "?");
        const char *kind = zl_json_str(row, "kind", NULL);

        for (size_t i = 0; i < problems->n; i++) {
                const struct zl_problem *p = &problems->items[i];

                if (zl_startswith(p->path, location) &&
                    zl_streq(zl_phase_name(p->phase), zl_json_str(row, "phase", "?")) &&
                    zl_streq_ptr(p->kind, kind))
                        return true;
        }
        return false;
}

static void test_rejected(void **state)
{
        _cleanup_free_ char *path = data_path("reject.json"), *text = NULL;
        _cleanup_json_ json_t *rows = NULL;
        size_t len, i, failed = 0;
        json_t *row;

        assert_int_equal(zl_read_file_at(AT_FDCWD, path, 1 << 20, &text, &len), 0);
        assert_int_equal(zl_json_parse(text, len, path, &rows, NULL), 0);
        assert_int_equal(json_array_size(rows), 212);
        json_array_foreach(rows, i, row)
        {
                _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
                struct zl_problems *problems = NULL;
                const char *doc = zl_json_str(row, "text", "");
                bool bad;
                int r = zl_spec_load_text(doc, strlen(doc), &spec, &problems, &err);

                bad = r != -EINVAL || !problems ||
                      (int64_t)problems->n != zl_json_int(row, "problems", 1) ||
                      !row_matches(row, problems) || problems->items[0].line == 0 ||
                      !problems->items[0].message;
                if (bad) {
                        failed++;
                        print_error("%d: expected %s %s\n", (int)zl_json_int(row, "n", 0),
                                    zl_json_str(row, "phase", "?"),
                                    zl_json_str(row, "location", "?"));
                        for (size_t k = 0; problems && k < problems->n; k++)
                                print_error("    got %s %s: %s\n",
                                            zl_phase_name(problems->items[k].phase),
                                            problems->items[k].path, problems->items[k].message);
                }
                zl_problems_free(problems);
        }
        assert_int_equal(failed, 0);
}

/* ---- the rules, one by one ------------------------------------------------------------------------------- */

static bool is_at(const struct zl_problem *p, const char *location, const char *phase)
{
        return zl_startswith(p->path, location) && p->line > 0 &&
               (!phase || zl_streq(zl_phase_name(p->phase), phase));
}

/* Scalars in every context, durations, sizes, cron text, image names, tags, empty values: rows without a location are
 * accepted. */
static void test_rules(void **state)
{
        _cleanup_free_ char *path = data_path("rules.json"), *text = NULL;
        _cleanup_json_ json_t *rows = NULL;
        size_t len, i, failed = 0;
        json_t *row;

        assert_int_equal(zl_read_file_at(AT_FDCWD, path, 1 << 20, &text, &len), 0);
        assert_int_equal(zl_json_parse(text, len, path, &rows, NULL), 0);
        assert_true(json_array_size(rows) > 450);
        json_array_foreach(rows, i, row)
        {
                _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
                struct zl_problems *problems = NULL;
                const char *doc = zl_json_str(row, "text", "");
                const char *location = zl_json_str(row, "location", NULL);
                bool found = false;
                int r = zl_spec_load_text(doc, strlen(doc), &spec, &problems, NULL);

                for (size_t k = 0; location && problems && k < problems->n; k++)
                        found = found || is_at(&problems->items[k], location,
                                               zl_json_str(row, "phase", NULL));
                if ((r >= 0) == (location == NULL) && (!location || found)) {
                        zl_problems_free(problems);
                        continue;
                }
                failed++;
                print_error("expected %s at '%s':\n%s\n", location ? "a problem" : "none",
                            location ? location : "", doc);
                for (size_t k = 0; problems && k < problems->n; k++)
                        print_error("    got %s: %s\n", problems->items[k].path,
                                    problems->items[k].message);
                zl_problems_free(problems);
        }
        assert_int_equal(failed, 0);
}

/* ---- what must be accepted ------------------------------------------------------------------------------- */

/* Loads, dumps and loads again: the same text, and the same hash for every service. */
static void check_round_trip(const char *name, const struct zl_deployment_spec *spec)
{
        _cleanup_free_ char *yaml = zl_spec_dump_yaml(spec), *again = NULL, *json = NULL;
        _cleanup_spec_ struct zl_deployment_spec *back = NULL;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_json_ json_t *parsed = NULL;

        assert_non_null(yaml);
        if (zl_spec_load_text(yaml, strlen(yaml), &back, NULL, &err) < 0)
                fail_msg("%s: the dump does not load: %s\n%s", name, zl_error_message(&err), yaml);
        again = zl_spec_dump_yaml(back);
        assert_string_equal(yaml, again);
        json = zl_spec_dump_json(spec);
        assert_int_equal(zl_json_parse(json, strlen(json), name, &parsed, NULL), 0);
        assert_int_equal(spec->n_services, back->n_services);
        for (size_t i = 0; i < spec->n_services; i++) {
                _cleanup_service_spec_ struct zl_service_spec *copy = zl_service_spec_copy(
                        spec->services[i].spec);
                _cleanup_service_spec_ struct zl_service_spec *stored = NULL;
                _cleanup_free_ char *text = zl_service_spec_dump_json(copy);
                char h1[ZL_DIGEST_TEXT_MAX], h2[ZL_DIGEST_TEXT_MAX];

                assert_int_equal(zl_spec_service_hash(spec->services[i].spec, h1), 0);
                assert_int_equal(zl_spec_service_hash(copy, h2), 0);
                assert_string_equal(h1, h2);
                if (zl_service_spec_load_json(text, strlen(text), &stored, &err) < 0)
                        fail_msg("%s", zl_error_message(&err));
                assert_int_equal(zl_spec_service_hash(stored, h2), 0);
                assert_string_equal(h1, h2);
        }
}

static void test_accepted(void **state)
{
        for (char n = '1'; n <= '8'; n++) {
                char name[] = "accept/a1.yaml";
                _cleanup_spec_ struct zl_deployment_spec *spec = NULL;

                name[8] = n;
                spec = load_example(name);
                check_round_trip(name, spec);
        }
}

static void test_values_a2(void **state)
{
        static const char *const args[] = { "web", "--port", "9000", "--debug", "true" };
        _cleanup_spec_ struct zl_deployment_spec *spec = load_example("accept/a2.yaml");
        const struct zl_service_spec *web = service(spec, "web");
        const struct zl_service_spec *cache = service(spec, "cache");

        assert_int_equal(zl_strv_len(web->command.args), ZL_ARRAY_SIZE(args));
        for (size_t i = 0; i < ZL_ARRAY_SIZE(args); i++)
                assert_string_equal(web->command.args[i], args[i]);
        assert_string_equal(zl_str_map_get(&web->env, "EMPTY"), "");
        assert_string_equal(zl_str_map_get(&web->env, "WORKERS"), "4");
        assert_string_equal(zl_str_map_get(&web->env, "VERBOSE"), "true");
        assert_int_equal(web->endpoints[4].port, 8080);
        assert_int_equal(web->endpoints[1].expose, ZL_EXPOSE_INTERNAL);
        assert_int_equal(web->endpoints[2].stream->health_check->type, ZL_STREAM_UDP_PROBE);
        assert_string_equal(web->endpoints[2].stream->health_check->expect, "pong");
        assert_true(web->storage[4].has_mode);
        assert_int_equal(web->storage[4].mode, 1016);
        assert_string_equal(web->storage[5].credentials, "assets-key");
        assert_true(web->health.interval == 90 * ZL_NSEC_PER_SEC);
        assert_true(web->health.timeout == 750 * ZL_NSEC_PER_MSEC);
        assert_int_equal(web->health.check.expect_status, 204);
        assert_false(cache->health.has_start_grace);
        assert_int_equal(cache->health.retries, 3);
        assert_int_equal(cache->health.check.type, ZL_HEALTH_COMMAND);
        assert_string_equal(web->platform->os_version, "6.8");
        assert_int_equal(web->network_mode.kind, ZL_NETWORK_BRIDGE);
        assert_string_equal(web->network_mode.name, "acme-net");
        assert_false(web->host_network);
        assert_string_equal(web->init.steps[0].with,
                            "{\"host\":\"cache\",\"port\":6400,\"timeout\":20,"
                            "\"nested\":{\"list\":[1,2.5,null,true]}}");
        assert_int_equal(web->n_ulimits, 2);
        assert_int_equal(web->ulimits[1].limit.soft, -1);
        assert_string_equal(web->capabilities[1], "cap_sys_nice");
        assert_string_equal(web->expose[0], "9000");
        assert_true(web->has_init_container && web->init_container);
        assert_int_equal(web->resources.gpu->sharing, ZL_GPU_TIME_SLICE);
        assert_int_equal(web->resources.oom_score_adj, -250);
        assert_int_equal(web->scale.targets.rps, 900);
        assert_int_equal(web->logs->max_size_bytes, 1048576);
        assert_false(spec->api.swagger);
        assert_int_equal(spec->n_tunnels, 2);
        assert_int_equal(spec->tunnels[1].spec.protocol, ZL_TRANSPORT_UDP);
}

static void test_values_a3(void **state)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = load_example("accept/a3.yaml");
        const struct zl_service_spec *waits = service(spec, "waits");
        const char *schedule = service(spec, "windowed")->schedule;
        struct zl_cron cron;

        assert_true(waits->depends[0].has_timeout);
        assert_true(waits->depends[0].timeout == 300 * ZL_NSEC_PER_SEC);
        assert_false(waits->depends[1].has_timeout);
        assert_int_equal(zl_cron_parse(schedule, &cron, NULL), 0);
        assert_int_equal(cron.seconds, 1ULL | 1ULL << 15 | 1ULL << 30 | 1ULL << 45);
        assert_int_equal(cron.minutes, 1ULL | 1ULL << 5 | 1ULL << 10);
        assert_int_equal(cron.hours, 1U << 8 | 1U << 12);
        assert_int_equal(cron.days, 0xfe);
        assert_int_equal(cron.months, 1U << 1 | 1U << 3);
        assert_int_equal(cron.week_days, 0xfe);
        assert_int_equal(cron.years[0], 1ULL << 56 | 1ULL << 58 | 1ULL << 60);
        assert_int_equal(service(spec, "once")->restart_policy->kind, ZL_RESTART_NO);
        assert_int_equal(zl_spec_initial_replicas(&service(spec, "jobtype")->scale), 0);
        assert_int_equal(zl_spec_initial_replicas(&service(spec, "once")->scale), 1);
        assert_string_equal(service(spec, "gpus")->resources.gpu->distributed->backend, "nccl");
}

static void test_values_a4_a5(void **state)
{
        _cleanup_spec_ struct zl_deployment_spec *a4 = load_example("accept/a4.yaml");
        _cleanup_spec_ struct zl_deployment_spec *a5 = load_example("accept/a5.yaml");
        static const struct {
                const char *name;
                enum zl_network_mode_kind kind;
                const char *text;
                bool host;
        } rows[] = {
                { "a", ZL_NETWORK_DEFAULT, NULL, false },
                { "b", ZL_NETWORK_HOST, NULL, true },
                { "c", ZL_NETWORK_NONE, NULL, false },
                { "d", ZL_NETWORK_BRIDGE, NULL, false },
                { "e", ZL_NETWORK_BRIDGE, NULL, false },
                { "f", ZL_NETWORK_BRIDGE, "lan0", false },
                { "g", ZL_NETWORK_BRIDGE, NULL, false },
                { "h", ZL_NETWORK_CONTAINER, "abc", false },
                { "i", ZL_NETWORK_CONTAINER, "abc", false },
                { "j", ZL_NETWORK_HOST, NULL, true },
                { "k", ZL_NETWORK_HOST, NULL, true },
                { "l", ZL_NETWORK_NONE, NULL, true },
        };

        assert_true(service(a4, "h")->wasm->idle_timeout == 120 * ZL_NSEC_PER_SEC);
        assert_int_equal(service(a4, "old")->wasm->max_instances, 0);
        assert_null(service(a4, "nocfg")->wasm);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++) {
                const struct zl_service_spec *s = service(a5, rows[i].name);

                assert_int_equal(s->network_mode.kind, rows[i].kind);
                assert_true(zl_streq_ptr(s->network_mode.name, rows[i].text));
                assert_int_equal(s->host_network, rows[i].host);
        }
        assert_string_equal(service(a5, "m")->capabilities[0], "SYS_PTRACE");
}

/* What is stored or handed to a daemon comes back as it was. */
static void test_stored(void **state)
{
        static const char *const examples[] = { "accept/a2.yaml", "accept/a3.yaml",
                                                "accept/a4.yaml", "accept/a5.yaml",
                                                "accept/a6.yaml", "accept/a7.yaml" };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(examples); i++) {
                _cleanup_spec_ struct zl_deployment_spec *spec = load_example(examples[i]),
                                                         *back = NULL;
                _cleanup_free_ char *text = zl_spec_dump_stored(spec),
                                    *before = zl_spec_dump_yaml(spec), *after = NULL;

                assert_int_equal(zl_spec_load_text(text, strlen(text), &back, NULL, NULL), 0);
                after = zl_spec_dump_yaml(back);
                assert_string_equal(before, after);
                for (size_t k = 0; k < spec->n_services; k++)
                        assert_int_equal(spec->services[k].spec->host_network,
                                         back->services[k].spec->host_network);
        }
}

static void test_values_a6_a7(void **state)
{
        _cleanup_spec_ struct zl_deployment_spec *a6 = load_example("accept/a6.yaml");
        _cleanup_spec_ struct zl_deployment_spec *a7 = load_example("accept/a7.yaml");
        const struct zl_service_spec *one = service(a6, "1"), *odd = service(a6, "odd name/..");

        assert_string_equal(a6->deployment, "2024");
        assert_int_equal(a6->n_services, 2);
        assert_int_equal(one->labels.n, 3);
        assert_string_equal(zl_str_map_get(&one->labels, "a"), "last-wins");
        assert_string_equal(zl_str_map_get(&one->labels, "b"), "no");
        assert_string_equal(zl_str_map_get(&one->labels, "c"), "0x10");
        assert_true(one->network.overlays.service.enabled &&
                    one->network.overlays.service.encrypted &&
                    one->network.overlays.service.isolated);
        assert_true(one->network.overlays.global.enabled &&
                    one->network.overlays.global.encrypted &&
                    !one->network.overlays.global.isolated);
        assert_null(one->wasm);
        assert_null(one->hostname);
        assert_true(odd->has_stop_grace_period && odd->stop_grace_period == 0);
        assert_true(odd->resources.cpu > 0.49 && odd->resources.cpu < 0.51);
        assert_string_equal(zl_str_map_get(&odd->env, "a"), "last-wins");
        assert_int_equal(service(a7, "a")->scale.mode, ZL_SCALE_MANUAL);
}

static void test_default_service(void **state)
{
        _cleanup_service_spec_ struct zl_service_spec *s = NULL;

        assert_int_equal(zl_service_spec_new_default("nginx", &s, NULL), 0);
        assert_string_equal(s->image.name, "docker.io/library/nginx:latest");
        assert_int_equal(s->image.pull_policy, ZL_PULL_IF_NOT_PRESENT);
        assert_int_equal(zl_spec_pull_policy(&s->image), ZL_PULL_NEWER);
        assert_int_equal(s->rtype, ZL_RTYPE_SERVICE);
        assert_int_equal(s->service_type, ZL_SERVICE_STANDARD);
        assert_int_equal(s->node_mode, ZL_NODE_MODE_SHARED);
        assert_int_equal(s->scale.mode, ZL_SCALE_ADAPTIVE);
        assert_int_equal(s->scale.min, 1);
        assert_int_equal(s->scale.max, 10);
        assert_true(s->scale.has_cooldown && s->scale.cooldown == 30 * ZL_NSEC_PER_SEC);
        assert_false(s->scale.targets.has_cpu);
        assert_int_equal(s->health.check.type, ZL_HEALTH_TCP);
        assert_int_equal(s->health.check.port, 0);
        assert_true(s->health.has_start_grace && s->health.start_grace == 5 * ZL_NSEC_PER_SEC);
        assert_int_equal(s->health.retries, 3);
        assert_false(s->health.has_interval || s->health.has_timeout);
        assert_true(s->network.overlays.service.isolated && s->network.overlays.global.enabled);
        assert_false(s->network.overlays.global.isolated);
        assert_int_equal(s->network.join.mode, ZL_JOIN_TOKEN);
        assert_int_equal(s->network.join.scope, ZL_JOIN_SERVICE);
        assert_int_equal(s->errors.on_init_failure.action, ZL_INIT_FAILURE_FAIL);
        assert_int_equal(s->errors.on_panic.action, ZL_PANIC_RESTART);
        assert_int_equal(s->network_mode.kind, ZL_NETWORK_DEFAULT);
        assert_false(s->host_network || s->privileged || s->read_only_root_fs || s->tty ||
                     s->stdin_open || s->lifecycle.delete_on_exit);
        assert_null(s->command.entrypoint);
        assert_int_equal(zl_spec_health_port(s), 8080);
        assert_int_equal(zl_service_spec_new_default("UPPER", &s, NULL), -EINVAL);
}

/* What is accepted can be stored and read again, also a name whose canonical form is not. */
static void test_odd_image(void **state)
{
        static const char text[] =
                "{version: v1, deployment: abc, services: {a: {image: {name: UPPER/x}}}}";
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;

        load(text, &spec, NULL);
        assert_non_null(spec);
        check_round_trip("UPPER/x", spec);
}

static void test_overlay_rules(void **state)
{
        static const char text[] = "{version: v1, deployment: abc, services: {"
                                   "a: {image: {name: x}, network: {overlays: }},"
                                   "b: {image: {name: x}, network: {overlays: {service: {}}}}}}";
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        const struct zl_overlays_spec *a, *b;

        load(text, &spec, NULL);
        assert_non_null(spec);
        a = &service(spec, "a")->network.overlays;
        b = &service(spec, "b")->network.overlays;
        assert_false(a->service.enabled || a->service.encrypted || a->global.enabled);
        assert_true(b->service.enabled && b->service.encrypted && !b->service.isolated);
        assert_false(b->global.enabled || b->global.encrypted);
}

/* ---- all problems at once ------------------------------------------------------------------------------------ */

static void test_many_problems(void **state)
{
        static const char text[] = "version: v2\n"
                                   "deployment: x\n"
                                   "services:\n"
                                   "  web:\n"
                                   "    image: {name: UPPER}\n"
                                   "    rytpe: job\n"
                                   "    resources: {cpu: 0, memory: 5MB}\n"
                                   "    depends: [{service: dbb}]\n"
                                   "    endpoints:\n"
                                   "      - {name: a, protocol: htp, port: 0}\n"
                                   "    volumes: []\n"
                                   "  db: {rtype: cron}\n";
        static const struct {
                unsigned line;
                const char *path, *hint;
        } rows[] = {
                { 1, "version", NULL },
                { 2, "deployment", "3 to 63" },
                { 5, "services.web.image.name", "registry" },
                { 6, "services.web", "'rtype'" },
                { 7, "services.web.resources.cpu", NULL },
                { 7, "services.web.resources.memory", "Mi" },
                { 8, "services.web.depends", "'db'" },
                { 10, "services.web.endpoints[0].protocol", "'http'" },
                { 10, "services.web.endpoints[0].port", NULL },
                { 11, "services.web", "storage" },
                { 12, "services.db", NULL },
                { 12, "services.db.schedule", "02:30" },
        };
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        struct zl_problems *problems = NULL;

        load(text, &spec, &problems);
        assert_null(spec);
        assert_non_null(problems);
        for (size_t i = 0; i < ZL_MIN(problems->n, ZL_ARRAY_SIZE(rows)); i++) {
                const struct zl_problem *p = &problems->items[i];

                if (p->line != rows[i].line || !zl_streq(p->path, rows[i].path) || p->column == 0 ||
                    (rows[i].hint && (!p->hint || !strstr(p->hint, rows[i].hint))))
                        fail_msg("%zu: %u:%u: %s: %s (%s)", i, p->line, p->column, p->path,
                                 p->message, p->hint ? p->hint : "-");
        }
        assert_int_equal(problems->n, ZL_ARRAY_SIZE(rows));
        zl_problems_free(problems);
}

/* ---- rules --------------------------------------------------------------------------------------------------------- */

static void check_args(char **entrypoint, char **args, const char *expected)
{
        char *image_entrypoint[] = { (char *)"IE", NULL };
        char *image_cmd[] = { (char *)"IC", NULL };
        struct zl_command_spec command = { .entrypoint = entrypoint, .args = args };
        _cleanup_strv_ char **argv = NULL;
        char text[100] = "";

        assert_int_equal(zl_spec_process_args(&command, image_entrypoint, image_cmd, &argv), 0);
        ZL_STRV_FOREACH(s, argv) {
                strcat(text, *s);
                strcat(text, " ");
        }
        assert_string_equal(text, expected);
}

static void test_process_args(void **state)
{
        char *e[] = { (char *)"e", NULL }, *a[] = { (char *)"a", NULL }, *none[] = { NULL };
        struct zl_command_spec command = { 0 };
        _cleanup_strv_ char **argv = NULL;

        check_args(NULL, NULL, "IE IC ");
        check_args(e, a, "e a ");
        check_args(e, NULL, "e ");
        check_args(NULL, a, "IE a ");
        check_args(NULL, none, "IE IC ");
        check_args(none, a, "a ");
        check_args(none, none, "IE IC ");
        assert_int_equal(zl_spec_process_args(&command, NULL, NULL, &argv), 0);
        assert_string_equal(argv[0], "/bin/sh");
        assert_null(argv[1]);
}

static void test_sizes(void **state)
{
        uint64_t v = 0;

        assert_int_equal(zl_spec_memory_bytes("+007Mi", &v), 0);
        assert_int_equal(v, 7 << 20);
        assert_int_equal(zl_spec_memory_bytes("18446744073709551615Ki", &v), -ERANGE);
        assert_int_equal(zl_spec_memory_bytes("18446744073709551616Ki", &v), -EINVAL);
        assert_int_equal(zl_spec_memory_bytes("0Ki", &v), -EINVAL);
        assert_int_equal(zl_spec_memory_bytes("1 Ki", &v), -EINVAL);
        assert_int_equal(zl_spec_memory_bytes("1K", &v), -EINVAL);
        assert_int_equal(zl_spec_size_bytes(" 2K ", &v), 0);
        assert_int_equal(v, 2000);
        assert_int_equal(zl_spec_size_bytes("2Ki", &v), 0);
        assert_int_equal(v, 2048);
        assert_int_equal(zl_spec_size_bytes("10", &v), 0);
        assert_int_equal(v, 10);
        assert_int_equal(zl_spec_size_bytes("-1", &v), 0);
        assert_true(v == UINT64_MAX);
        assert_int_equal(zl_spec_size_bytes("99999999999T", &v), -ERANGE);
        assert_int_equal(zl_spec_size_bytes("1.5G", &v), -EINVAL);
        assert_int_equal(zl_spec_size_bytes("", &v), -EINVAL);
}

/* Every difference of a service shows in its hash; order of maps in the file and notation of defaults do not. */
static void test_hash(void **state)
{
        static const char text[] =
                "{version: v1, deployment: abc, services: {"
                "a: {image: {name: x}},"
                "b: {image: {name: 'docker.io/library/x:latest'}, rtype: service, env: {}},"
                "c: {image: {name: x}, network_mode: none},"
                "d: {image: {name: x}, network_mode: none, host_network: true}}}";
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        char h[4][ZL_DIGEST_TEXT_MAX];

        load(text, &spec, NULL);
        assert_non_null(spec);
        for (size_t i = 0; i < 4; i++)
                assert_int_equal(zl_spec_service_hash(spec->services[i].spec, h[i]), 0);
        assert_string_equal(h[0], h[1]);
        assert_string_not_equal(h[0], h[2]);
        assert_string_not_equal(h[2], h[3]);
}

static void test_json_schema(void **state)
{
        _cleanup_free_ char *text = zl_spec_json_schema();
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_json_ json_t *schema = NULL;
        json_t *defs;

        if (zl_json_parse(text, strlen(text), "schema", &schema, &err) < 0)
                fail_msg("%s", zl_error_message(&err));
        defs = json_object_get(schema, "$defs");
        assert_non_null(json_object_get(defs, "Service"));
        assert_non_null(json_object_get(
                json_object_get(json_object_get(defs, "Service"), "properties"), "cap_add"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tables),
                cmocka_unit_test(test_rejected),
                cmocka_unit_test(test_accepted),
                cmocka_unit_test(test_values_a2),
                cmocka_unit_test(test_values_a3),
                cmocka_unit_test(test_values_a4_a5),
                cmocka_unit_test(test_stored),
                cmocka_unit_test(test_values_a6_a7),
                cmocka_unit_test(test_default_service),
                cmocka_unit_test(test_odd_image),
                cmocka_unit_test(test_overlay_rules),
                cmocka_unit_test(test_many_problems),
                cmocka_unit_test(test_process_args),
                cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_hash),
                cmocka_unit_test(test_json_schema),
                cmocka_unit_test(test_rules),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
