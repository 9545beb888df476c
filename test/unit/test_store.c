/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's database: what is put in comes out, a damaged file does not stop the agent. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/store.h"
#include "base/fd.h"
#include "base/strv.h"

static char dir[] = "/tmp/zl-unit-store.XXXXXX";

static int make_dir(void **state)
{
        (void)state;
        strcpy(dir + strlen(dir) - 6, "XXXXXX");
        return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
        (void)state;
        return zl_rm_rf_at(AT_FDCWD, dir);
}

static void pins_are_kept_per_name_and_go_with_the_deployment(void **state)
{
        struct zl_stored_pin pin = { .deployment = "shop",
                                     .service = "web",
                                     .image = "nginx",
                                     .pin = { .digest = "sha256:1", .moved = true } };
        struct zl_stored_pin found = { .deployment = "shop", .service = "web", .image = "nginx" };
        struct zl_store *store = NULL;

        (void)state;
        assert_int_equal(zl_store_open(dir, &store, NULL), 0);
        assert_int_equal(zl_store_get_pin(store, &found, NULL), 0);
        assert_int_equal(zl_store_put_pin(store, &pin, NULL), 0);
        assert_int_equal(zl_store_get_pin(store, &found, NULL), 1);
        assert_string_equal(found.pin.digest, "sha256:1");
        assert_true(found.pin.moved);
        found.image = "nginx:2";
        assert_int_equal(zl_store_get_pin(store, &found, NULL), 0);
        found.image = "nginx";
        assert_int_equal(zl_store_put_deployment(store, "shop", NULL, ZL_CARE_NONE, NULL), 0);
        assert_int_equal(zl_store_get_pin(store, &found, NULL), 0);
        zl_store_close(store);
}

static void deployments_come_and_go(void **state)
{
        struct zl_store *store = NULL;
        char *spec = NULL, **names = NULL;
        bool active = false;

        (void)state;
        assert_int_equal(zl_store_open_existing(dir, &store, NULL), 0);
        assert_null(store);
        assert_int_equal(zl_store_open(dir, &store, NULL), 0);
        assert_int_equal(zl_store_get_deployment(store, "shop", &spec, &active, NULL), 0);
        assert_int_equal(zl_store_put_deployment(store, "shop", "{}", ZL_CARE_NOW, NULL), 0);
        assert_int_equal(zl_store_put_deployment(store, "abc", "{\"a\":1}", ZL_CARE_NONE, NULL), 0);
        zl_store_close(store);

        assert_int_equal(zl_store_open_existing(dir, &store, NULL), 0);
        assert_int_equal(zl_store_get_deployment(store, "shop", &spec, &active, NULL), 1);
        assert_string_equal(spec, "{}");
        assert_true(active);
        assert_int_equal(zl_store_list_deployments(store, &names, NULL), 0);
        assert_int_equal(zl_strv_len(names), 2);
        assert_string_equal(names[0], "abc");
        /* At rest, but not for ever. */
        assert_int_equal(zl_store_awaits_start(store, "shop", NULL), 0);
        assert_int_equal(zl_store_awaits_start(store, "abc", NULL), 0);
        assert_int_equal(zl_store_awaits_start(store, "none", NULL), 0);
        assert_int_equal(zl_store_put_deployment(store, "abc", "{}", ZL_CARE_NEXT_START, NULL), 0);
        assert_int_equal(zl_store_get_deployment(store, "abc", NULL, &active, NULL), 1);
        assert_false(active);
        assert_int_equal(zl_store_awaits_start(store, "abc", NULL), 1);
        assert_int_equal(zl_store_put_deployment(store, "shop", NULL, ZL_CARE_NONE, NULL), 0);
        assert_int_equal(zl_store_get_deployment(store, "shop", NULL, &active, NULL), 0);
        zl_strv_free(names);
        free(spec);
        zl_store_close(store);
}

static void replicas_keep_their_hash(void **state)
{
        struct zl_replica_record record = { .name = "shop.web.1",
                                            .phase = "running",
                                            .image = "img",
                                            .hash = "sha256:1",
                                            .restarts = 3 };
        struct zl_stored_replica *list = NULL;
        struct zl_store *store = NULL;
        size_t n = 0;

        (void)state;
        assert_int_equal(zl_store_open(dir, &store, NULL), 0);
        assert_int_equal(zl_store_put_replica(store, &record, NULL), 0);
        record.hash = NULL;
        record.phase = "backoff";
        record.reason = "exited with 1";
        assert_int_equal(zl_store_put_replica(store, &record, NULL), 0);
        record.name = "shop.web.2";
        assert_int_equal(zl_store_put_replica(store, &record, NULL), 0);
        assert_int_equal(zl_store_list_replicas(store, "shop.web.1", &list, &n, NULL), 0);
        assert_int_equal(n, 1);
        assert_string_equal(list[0].hash, "sha256:1");
        assert_string_equal(list[0].phase, "backoff");
        assert_string_equal(list[0].reason, "exited with 1");
        assert_int_equal(list[0].restarts, 3);
        zl_stored_replica_free(list, n);
        assert_int_equal(zl_store_forget_replica(store, "shop.web.1", NULL), 0);
        assert_int_equal(zl_store_list_replicas(store, NULL, &list, &n, NULL), 0);
        assert_int_equal(n, 1);
        assert_string_equal(list[0].name, "shop.web.2");
        zl_stored_replica_free(list, n);
        zl_store_close(store);
}

/* The names of those that `text` may mean, in one line. */
static const char *names_for(struct zl_store *store, const char *text)
{
        static char line[512];
        struct zl_stored_replica *list = NULL;
        size_t n = 0, len = 0;

        line[0] = 0;
        assert_int_equal(zl_store_list_replicas(store, text, &list, &n, NULL), 0);
        for (size_t i = 0; i < n; i++)
                len += (size_t)snprintf(line + len, sizeof(line) - len, "%s%s", i ? " " : "",
                                        list[i].name);
        zl_stored_replica_free(list, n);
        return line;
}

static void replicas_are_found_by_what_a_name_may_mean(void **state)
{
        static const char *const names[] = { "a.web.1",    "a.web.2",  "a.web-2.1", "a.webx.1",
                                             "a-web.db.1", "b.db.1",   "b.web.10",  "c.db.1",
                                             "web.db.1",   "web.web.1" };
        struct zl_store *store = NULL;

        (void)state;
        assert_int_equal(zl_store_open(dir, &store, NULL), 0);
        assert_string_equal(names_for(store, "web"), "");
        for (size_t i = 0; i < ZL_ARRAY_SIZE(names); i++)
                assert_int_equal(
                        zl_store_put_replica(
                                store,
                                &(struct zl_replica_record){ .name = names[i], .phase = "running" },
                                NULL),
                        0);
        assert_string_equal(names_for(store, "web"), "a.web.1 a.web.2 b.web.10 web.db.1 web.web.1");
        assert_string_equal(names_for(store, "a"), "a.web-2.1 a.web.1 a.web.2 a.webx.1");
        assert_string_equal(names_for(store, "a.web"), "a.web.1 a.web.2");
        assert_string_equal(names_for(store, "b.web.10"), "b.web.10");
        assert_string_equal(names_for(store, "b.web.1"), "");
        assert_string_equal(names_for(store, "db"), "a-web.db.1 b.db.1 c.db.1 web.db.1");
        assert_string_equal(names_for(store, "nobody"), "");
        zl_store_close(store);
}

struct seen {
        int n;
        int64_t last;
        char text[512];
};

static int see(int64_t seq, int64_t time, const char *json, void *data)
{
        struct seen *seen = data;

        (void)time;
        seen->n++;
        seen->last = seq;
        snprintf(seen->text, sizeof(seen->text), "%s", json);
        return 0;
}

static void events_are_numbered_and_seen_by_others(void **state)
{
        struct zl_event event = { .time = 1,
                                  .type = ZL_EVENT_EXITED,
                                  .name = "shop.web.1",
                                  .has_exit = true,
                                  .exit_code = 137,
                                  .signal = 9 };
        struct zl_store *writer = NULL, *reader = NULL;
        struct seen seen = { 0 };
        json_t *o = NULL;
        int64_t seq = 0, last = 0;

        (void)state;
        assert_int_equal(zl_store_open(dir, &writer, NULL), 0);
        assert_int_equal(zl_store_open(dir, &reader, NULL), 0);
        assert_int_equal(zl_store_put_event(writer, &event, &seq, NULL), 0);
        assert_int_equal(zl_store_read_events(reader, 0, see, &seen, &last, NULL), 0);
        assert_int_equal(seen.n, 1);
        assert_int_equal(last, seq);
        assert_int_equal(zl_json_parse(seen.text, strlen(seen.text), "event", &o, NULL), 0);
        assert_int_equal(zl_json_int(o, "seq", -1), seq);
        assert_int_equal(zl_json_int(o, "exit_code", -1), 137);
        assert_string_equal(zl_json_str(o, "signal_name", ""), "SIGKILL");
        assert_string_equal(zl_json_str(o, "type", ""), "exited");
        assert_string_equal(zl_json_str(o, "time", ""), "1970-01-01T00:00:00.000000001Z");
        json_decref(o);
        assert_int_equal(zl_store_put_event(writer, &event, &seq, NULL), 0);
        assert_int_equal(zl_store_read_events(reader, last, see, &seen, &last, NULL), 0);
        assert_int_equal(seen.n, 2);
        zl_store_close(writer);
        zl_store_close(reader);
}

/* Several begin one root directory at the same moment, as an `up` and a `ps` beside it do. */
static void openers_of_a_new_database_do_not_meet(void **state)
{
        char root[64];

        (void)state;
        for (int round = 0; round < 30; round++) {
                pid_t pids[4];
                int start[2], failed = 0;

                snprintf(root, sizeof(root), "%s/%d", dir, round);
                assert_int_equal(mkdir(root, 0700), 0);
                assert_int_equal(pipe2(start, O_CLOEXEC), 0);
                for (size_t i = 0; i < 4; i++) {
                        pids[i] = fork();
                        if (pids[i] == 0) {
                                struct zl_store *store = NULL;
                                char byte;

                                close(start[1]);
                                (void)!read(start[0], &byte, 1);
                                _exit(zl_store_open(root, &store, NULL) == 0 ? 0 : 1);
                        }
                        assert_true(pids[i] > 0);
                }
                close(start[0]);
                close(start[1]);
                for (size_t i = 0; i < 4; i++) {
                        int status = 0;

                        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                        failed += status != 0;
                }
                assert_int_equal(failed, 0);
        }
}

static void old_events_are_dropped(void **state)
{
        struct zl_event event = { .time = 1, .type = ZL_EVENT_STARTED, .name = "shop.web.1" };
        struct zl_store *store = NULL;
        struct seen seen = { 0 };
        int64_t last = 0;

        (void)state;
        assert_int_equal(zl_store_open(dir, &store, NULL), 0);
        for (int i = 0; i < ZL_STORE_EVENTS_MAX + 2500; i++)
                assert_int_equal(zl_store_put_event(store, &event, NULL, NULL), 0);
        assert_int_equal(zl_store_read_events(store, 0, see, &seen, &last, NULL), 0);
        assert_true(seen.n >= ZL_STORE_EVENTS_MAX && seen.n < ZL_STORE_EVENTS_MAX + 1000);
        assert_int_equal(last, ZL_STORE_EVENTS_MAX + 2500);
        zl_store_close(store);
}

static void damaged_database_is_put_aside(void **state)
{
        static const char rubbish[] = "this is no database, but long enough to look at for a while "
                                      "and then to say that it is none, which is what counts here";
        struct zl_store *store = NULL;
        bool active;
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        (void)state;
        assert_int_equal(zl_write_file_at(fd, "agent.db", rubbish, sizeof(rubbish), 0600, 0), 0);
        assert_int_equal(zl_store_open(dir, &store, NULL), 0);
        assert_int_equal(zl_store_put_deployment(store, "shop", "{}", ZL_CARE_NOW, NULL), 0);
        assert_int_equal(zl_store_get_deployment(store, "shop", NULL, &active, NULL), 1);
        zl_store_close(store);
        zl_close(fd);
}

/* Commands that only look must not wait for the disk. */
static void opening_again_writes_nothing(void **state)
{
        struct zl_store *store = NULL;
        struct stat before, after;
        char path[512];

        (void)state;
        snprintf(path, sizeof(path), "%s/agent.db", dir);
        assert_int_equal(zl_store_open(dir, &store, NULL), 0);
        zl_store_close(store);
        assert_int_equal(stat(path, &before), 0);
        assert_int_equal(zl_store_open_existing(dir, &store, NULL), 0);
        zl_store_close(store);
        assert_int_equal(stat(path, &after), 0);
        assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim));
}

/* ---- jobs ------------------------------------------------------------------------------------------------------ */

static int join_record(const struct zl_execution_record *e, void *data)
{
        char *text = data;

        sprintf(text + strlen(text), "%s.%s.%u:%s:%s:%d:%s ", e->deployment, e->service, e->number,
                zl_trigger_name(e->trigger), zl_execution_state_name(e->state), e->exit_code,
                e->reason ? e->reason : "-");
        return 0;
}

static void test_executions(void **state)
{
        _cleanup_store_ struct zl_store *store = NULL;
        struct zl_execution_record e = { .id = 1,
                                         .deployment = "app",
                                         .service = "a",
                                         .number = 1,
                                         .trigger = ZL_TRIGGER_MANUAL,
                                         .state = ZL_EXECUTION_QUEUED,
                                         .exit_code = -1 };
        char text[16384] = "";

        (void)state;
        assert_int_equal(zl_store_open(dir, &store, NULL), 0);
        assert_int_equal(zl_store_put_execution(store, &e, NULL), 0);
        e.state = ZL_EXECUTION_FAILED;
        e.exit_code = 3;
        e.finished_at = 5;
        e.reason = "because";
        assert_int_equal(zl_store_put_execution(store, &e, NULL), 0);
        e = (struct zl_execution_record){
                .id = 2, .deployment = "app", .service = "b", .number = 7, .finished_at = 9
        };
        e.state = ZL_EXECUTION_SUCCEEDED;
        assert_int_equal(zl_store_put_execution(store, &e, NULL), 0);
        assert_int_equal(zl_store_read_executions(store, "app", "a", join_record, text, NULL), 0);
        assert_string_equal(text, "app.a.1:manual:failed:3:because ");
        text[0] = 0;
        assert_int_equal(zl_store_read_executions(store, NULL, NULL, join_record, text, NULL), 0);
        assert_string_equal(text, "app.a.1:manual:failed:3:because app.b.7:up:succeeded:0:- ");
        /* the oldest ended ones go, what waits stays, other jobs are not touched */
        e.state = ZL_EXECUTION_QUEUED;
        e.finished_at = 0;
        e.id = 3;
        assert_int_equal(zl_store_put_execution(store, &e, NULL), 0);
        e.state = ZL_EXECUTION_SUCCEEDED;
        e.finished_at = 1;
        for (e.id = 10; e.id < 10 + ZL_STORE_EXECUTIONS_MAX; e.id++)
                assert_int_equal(zl_store_put_execution(store, &e, NULL), 0);
        assert_int_equal(zl_store_trim_executions(store, "app", "b", NULL), 0);
        text[0] = 0;
        assert_int_equal(zl_store_read_executions(store, "app", "b", join_record, text, NULL), 0);
        assert_ptr_equal(strstr(text, "app.b.7:up:queued"), text);
        text[0] = 0;
        assert_int_equal(zl_store_read_executions(store, "app", "a", join_record, text, NULL), 0);
        assert_string_not_equal(text, "");
}

static void test_schedules(void **state)
{
        _cleanup_store_ struct zl_store *store = NULL;
        struct zl_schedule s = { .enabled = true, .last = 42 };

        (void)state;
        assert_int_equal(zl_store_open(dir, &store, NULL), 0);
        assert_int_equal(zl_store_get_schedule(store, "d", "s", &s, NULL), 0);
        assert_int_equal(s.last, 42);
        assert_int_equal(
                zl_store_put_schedule(store, "d", "s", &(struct zl_schedule){ false, 43 }, NULL),
                0);
        assert_int_equal(zl_store_get_schedule(store, "d", "s", &s, NULL), 1);
        assert_false(s.enabled);
        assert_int_equal(s.last, 43);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(deployments_come_and_go, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(pins_are_kept_per_name_and_go_with_the_deployment,
                                                make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(replicas_keep_their_hash, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(replicas_are_found_by_what_a_name_may_mean,
                                                make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(events_are_numbered_and_seen_by_others, make_dir,
                                                remove_dir),
                cmocka_unit_test_setup_teardown(openers_of_a_new_database_do_not_meet, make_dir,
                                                remove_dir),
                cmocka_unit_test_setup_teardown(old_events_are_dropped, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(test_executions, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(test_schedules, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(opening_again_writes_nothing, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(damaged_database_is_put_aside, make_dir,
                                                remove_dir),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
