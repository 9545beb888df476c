/* SPDX-License-Identifier: Apache-2.0 */
/* Cases: the life of a workload, and watching it. */
#include "contract.h"

#include "runtimes/runtime.h"
#include "runtimes/status.h"

static int case_life(const char *name)
{
        const struct zl_log_options out = { .tail = -1, .no_stderr = true };
        const struct zl_log_options errors = { .tail = -1, .no_stdout = true };
        _cleanup_free_ char *json = NULL;
        struct zl_status s;

        OK(create_with(name, "echo out; echo error >&2; echo more; exit 7", ""));
        if (expect_state(name, ZL_STATE_PENDING) < 0)
                return -1;
        FAILS(create_with(name, "true", ""), ZL_E_EXISTS);
        OK(zl_runtime_start(rt, name, &err));
        OK(zl_runtime_wait(rt, name, 20 * SEC, &s, &err));
        CHECK(s.state == ZL_STATE_EXITED && s.exit_code == 7 && s.signal == 0);
        CHECK(!s.oom && !s.stop_requested && s.pid == 0 && s.generation == 1);
        CHECK(s.created_at > 0 && s.started_at >= s.created_at && s.finished_at >= s.started_at);
        CHECK(zl_streq(s.name, name) && zl_streq(s.image, IMAGE));
        zl_status_done(&s);
        if (expect_log(name, &out, "1:out|1:more|") < 0 ||
            expect_log(name, &errors, "2:error|") < 0)
                return -1;
        OK(zl_runtime_inspect(rt, name, &json, &err));
        CHECK(json[0] == '{');
        OK(zl_runtime_remove(rt, name, false, &err));
        FAILS(zl_runtime_state(rt, name, &s, &err), ZL_E_NOT_FOUND);
        FAILS(zl_runtime_start(rt, name, &err), ZL_E_NOT_FOUND);
        FAILS(zl_runtime_stop(rt, name, 0, &err), ZL_E_NOT_FOUND);
        FAILS(zl_runtime_remove(rt, name, true, &err), ZL_E_NOT_FOUND);
        return 0;
}

static int case_no_image(const char *name)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        static const char text[] =
                "{version: v1, deployment: contract, services: {s: {image: {name: "
                "no-such-image, pull_policy: never}, network_mode: none}}}";
        struct zl_create_options o = { .name = name };
        struct zl_status s;

        OK(zl_spec_load_text(text, strlen(text), &spec, NULL, &err));
        o.spec = spec->services[0].spec;
        FAILS(zl_runtime_create(rt, &o, &err), ZL_E_NOT_FOUND);
        FAILS(zl_runtime_state(rt, name, &s, &err), ZL_E_NOT_FOUND);
        return 0;
}

static int case_stop(const char *name)
{
        struct zl_status s;
        int code, sig;

        OK(start_with(name, "trap \"exit 3\" TERM; echo ready; while :; do sleep 0.02; done", ""));
        OK(wait_line(name, "ready"));
        if (expect_state(name, ZL_STATE_RUNNING) < 0)
                return -1;
        OK(zl_runtime_stop(rt, name, 10 * SEC, &err));
        OK(zl_runtime_state(rt, name, &s, &err));
        CHECK(s.state == ZL_STATE_EXITED && s.exit_code == 3 && s.stop_requested);
        zl_status_done(&s);
        OK(zl_runtime_stop(rt, name, 0, &err)); /* it has ended: that is what was wanted */
        if (wait_end(name, &code, &sig) < 0)
                return -1;
        CHECK(code == 3);
        return 0;
}

static int case_stop_stubborn(const char *name)
{
        int code, sig;

        OK(start_with(name, "trap : TERM; echo ready; while :; do sleep 0.02; done", ""));
        OK(wait_line(name, "ready"));
        OK(zl_runtime_stop(rt, name, SEC, &err));
        if (wait_end(name, &code, &sig) < 0)
                return -1;
        CHECK(code == 137 && sig == SIGKILL);
        return 0;
}

static int case_stop_unstarted(const char *name)
{
        struct zl_status s;

        OK(create_with(name, "true", ""));
        OK(zl_runtime_stop(rt, name, SEC, &err));
        OK(zl_runtime_wait(rt, name, 5 * SEC, &s, &err));
        CHECK(s.state == ZL_STATE_EXITED && s.exit_code == 137 && s.stop_requested);
        zl_status_done(&s);
        return 0;
}

static int case_kill(const char *name)
{
        struct zl_status s;

        OK(start_with(name, "echo ready; exec sleep 1000", ""));
        OK(wait_line(name, "ready"));
        FAILS(zl_runtime_remove(rt, name, false, &err), ZL_E_STATE);
        OK(zl_runtime_kill(rt, name, SIGKILL, false, &err));
        OK(zl_runtime_wait(rt, name, 20 * SEC, &s, &err));
        CHECK(s.exit_code == 137 && s.signal == SIGKILL && s.stop_requested);
        zl_status_done(&s);
        FAILS(zl_runtime_kill(rt, name, SIGTERM, false, &err), ZL_E_STATE);
        return 0;
}

static int case_remove_force(const char *name)
{
        struct zl_status s;

        OK(start_with(name, "exec sleep 1000", ""));
        OK(zl_runtime_remove(rt, name, true, &err));
        FAILS(zl_runtime_state(rt, name, &s, &err), ZL_E_NOT_FOUND);
        return 0;
}

static int fails_to_start(const char *name, const char *entrypoint, enum zl_code code,
                          int exit_code)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        struct zl_create_options o = { .name = name };
        char text[400];
        struct zl_status s;

        snprintf(
                text, sizeof(text),
                "{version: v1, deployment: contract, services: {s: {image: {name: bb}, network_mode: "
                "none, command: {entrypoint: [%s]}}}}",
                entrypoint);
        OK(zl_spec_load_text(text, strlen(text), &spec, NULL, &err));
        o.spec = spec->services[0].spec;
        OK(zl_runtime_create(rt, &o, &err));
        FAILS(zl_runtime_start(rt, name, &err), code);
        OK(zl_runtime_wait(rt, name, 5 * SEC, &s, &err));
        CHECK(s.state == ZL_STATE_EXITED && s.exit_code == exit_code && s.reason);
        zl_status_done(&s);
        OK(zl_runtime_remove(rt, name, false, &err));
        return 0;
}

static int case_cannot_start(const char *name)
{
        if (fails_to_start(name, "no-such-command", ZL_E_NO_COMMAND, 127) < 0 ||
            fails_to_start(name, "/etc/passwd", ZL_E_NOT_RUNNABLE, 126) < 0)
                return -1;
        return 0;
}

static int case_again(const char *name)
{
        const struct zl_log_options o = { .tail = 1, .no_stderr = true };
        struct zl_status s;
        int code;

        OK(start_with(name, "echo x >>/count; wc -l </count; exit 4", ""));
        if (wait_end(name, &code, NULL) < 0)
                return -1;
        OK(zl_runtime_start(rt, name, &err));
        OK(zl_runtime_wait(rt, name, 20 * SEC, &s, &err));
        CHECK(s.exit_code == 4 && s.generation == 2);
        zl_status_done(&s);
        return expect_log(name, &o, "1:2|");
}

static int case_pause(const char *name)
{
        OK(start_with(name, "echo ready; exec sleep 1000", ""));
        OK(wait_line(name, "ready"));
        OK(zl_runtime_pause(rt, name, true, &err));
        if (expect_state(name, ZL_STATE_PAUSED) < 0)
                return -1;
        FAILS(zl_runtime_pause(rt, name, true, &err), ZL_E_STATE);
        OK(zl_runtime_pause(rt, name, false, &err));
        if (expect_state(name, ZL_STATE_RUNNING) < 0)
                return -1;
        FAILS(zl_runtime_pause(rt, name, false, &err), ZL_E_STATE);
        return 0;
}

static int case_recover(const char *name)
{
        struct zl_runtime_options o = { 0 };
        struct zl_runtime *other;
        enum zl_runtime_kind same;
        struct zl_status s;
        int code;

        OK(start_with(name, "echo ready; sleep 0.5; exit 6", ""));
        CHECK(zl_runtime_kind_parse(getenv("CONTRACT_KIND"), &same, &o.oci_name) == 0);
        OK(zl_runtime_new(same, &o, &other, &err));
        OK(zl_runtime_recover(other, &err));
        OK(zl_runtime_state(other, name, &s, &err));
        CHECK(s.state == ZL_STATE_RUNNING && s.generation == 1);
        zl_status_done(&s);
        OK(zl_runtime_wait(other, name, 20 * SEC, &s, &err));
        CHECK(s.exit_code == 6);
        zl_status_done(&s);
        zl_runtime_free(other);
        return wait_end(name, &code, NULL);
}

static bool has_name(const struct zl_ident *id, const void *data)
{
        char name[ZL_IDENT_NAME_MAX];

        return zl_streq(zl_ident_name(id, name), data);
}

static int list_by_name(const char *name)
{
        struct zl_list_filter filter = { .wants = has_name, .data = name };
        struct zl_status *all;
        size_t n;

        OK(zl_runtime_list_some(rt, &filter, &all, &n, &err));
        CHECK(n == 1 && zl_streq(all[0].name, name) && all[0].state == ZL_STATE_PENDING);
        zl_status_free_all(all, n);
        filter.data = "contract.nobody.1";
        OK(zl_runtime_list_some(rt, &filter, &all, &n, &err));
        CHECK(n == 0);
        zl_status_free_all(all, n);
        return 0;
}

static int case_list(const char *name)
{
        struct zl_status *all;
        bool found = false;
        size_t n;

        OK(create_with(name, "true", ""));
        OK(zl_runtime_list(rt, &all, &n, &err));
        for (size_t i = 0; i < n; i++) {
                found = found || (zl_streq(all[i].name, name) && all[i].state == ZL_STATE_PENDING &&
                                  zl_streq(all[i].image, IMAGE));
                zl_status_done(&all[i]);
        }
        free(all);
        CHECK(found);
        return list_by_name(name);
}

#define RENAMED "contract.renamed.9"

/* One that waits for its start, one that has ended: it is there under the new name only, whole, and starts. */
static int case_rename(const char *name)
{
        const struct zl_log_options out = { .tail = -1, .no_stderr = true };
        struct zl_status s;
        int code;

        OK(create_with(name, "echo one; exit 3", ""));
        FAILS(zl_runtime_rename(rt, "contract.nobody.1", RENAMED, &err), ZL_E_NOT_FOUND);
        FAILS(zl_runtime_rename(rt, name, name, &err), ZL_E_EXISTS);
        OK(zl_runtime_rename(rt, name, RENAMED, &err));
        FAILS(zl_runtime_state(rt, name, &s, &err), ZL_E_NOT_FOUND);
        if (expect_state(RENAMED, ZL_STATE_PENDING) < 0)
                return -1;
        OK(zl_runtime_start(rt, RENAMED, &err));
        if (wait_end(RENAMED, &code, NULL) < 0)
                return -1;
        CHECK(code == 3);
        /* The old name is free. */
        OK(create_with(name, "true", ""));
        FAILS(zl_runtime_rename(rt, RENAMED, name, &err), ZL_E_EXISTS);
        OK(zl_runtime_remove(rt, name, true, &err));
        OK(zl_runtime_rename(rt, RENAMED, name, &err));
        OK(zl_runtime_state(rt, name, &s, &err));
        CHECK(zl_streq(s.name, name) && s.state == ZL_STATE_EXITED && s.exit_code == 3);
        zl_status_done(&s);
        if (expect_log(name, &out, "1:one|") < 0)
                return -1;
        OK(zl_runtime_start(rt, name, &err));
        return wait_end(name, &code, NULL) < 0 || expect_log(name, &out, "1:one|1:one|") < 0 ? -1
                                                                                             : 0;
}

/* One that runs: another name and nothing else, or it is refused and nothing happens. */
static int case_rename_running(const char *name)
{
        const char *now = name;
        int code;

        OK(start_with(name, "trap \"exit 4\" TERM; echo ready; while :; do sleep 0.02; done", ""));
        OK(wait_line(name, "ready"));
        zl_error_done(&err);
        if (zl_runtime_rename(rt, name, RENAMED, &err) == 0)
                now = RENAMED;
        else
                CHECK(err.code == ZL_E_STATE);
        if (expect_state(now, ZL_STATE_RUNNING) < 0)
                return -1;
        OK(zl_runtime_stop(rt, now, 10 * SEC, &err));
        if (wait_end(now, &code, NULL) < 0)
                return -1;
        CHECK(code == 4);
        OK(zl_runtime_remove(rt, now, true, &err));
        return 0;
}

static int case_prune(const char *name)
{
        _cleanup_strv_ char **names = NULL;
        int code;

        OK(start_with(name, "true", ""));
        if (wait_end(name, &code, NULL) < 0)
                return -1;
        OK(zl_runtime_prune(rt, &names, &err));
        CHECK(zl_strv_contains(names, name));
        return 0;
}

/* ---- cases: watching ----------------------------------------------------------------------------------- */

/* The next status of a watch that is about `name`. */
static int next_of(struct zl_watch *watch, const char *name, struct zl_status *ret)
{
        for (;;) {
                struct pollfd pfd = { .fd = zl_watch_fd(watch), .events = POLLIN };
                int r = zl_watch_next(watch, ret, &err);

                if (r < 0)
                        FAIL("the watch is over");
                if (r > 0 && zl_streq(ret->name, name))
                        return 0;
                if (r > 0)
                        zl_status_done(ret);
                else if (poll(&pfd, 1, 20000) <= 0)
                        FAIL("nothing is told");
        }
}

/* Reads on until the state is told. */
static int until_state(struct zl_watch *watch, const char *name, enum zl_workload_state state)
{
        for (;;) {
                enum zl_workload_state is;
                struct zl_status s;

                if (next_of(watch, name, &s) < 0)
                        return -1;
                is = s.state;
                zl_status_done(&s);
                if (is == state)
                        return 0;
        }
}

static int case_watch(const char *name)
{
        struct zl_watch *watch;
        struct zl_status s;

        OK(create_with(name, "echo ready; sleep 0.2; exit 2", ""));
        OK(zl_watch_open(rt, name, &watch, &err));
        CHECK(next_of(watch, name, &s) == 0 && s.state == ZL_STATE_PENDING);
        zl_status_done(&s);
        CHECK(zl_watch_next(watch, &s, &err) == 0);
        OK(zl_runtime_start(rt, name, &err));
        if (until_state(watch, name, ZL_STATE_RUNNING) < 0)
                return -1;
        CHECK(next_of(watch, name, &s) == 0 && s.state == ZL_STATE_EXITED && s.exit_code == 2);
        zl_status_done(&s);
        CHECK(zl_watch_next(watch, &s, &err) == -ENODATA);
        zl_watch_close(watch);
        FAILS(zl_watch_open(rt, "contract.nobody.1", &watch, &err), ZL_E_NOT_FOUND);
        return 0;
}

static int case_watch_all(const char *name)
{
        struct zl_watch *watch;
        int code;

        OK(zl_watch_open_all(rt, &watch, &err));
        OK(start_with(name, "exit 2", ""));
        if (until_state(watch, name, ZL_STATE_EXITED) < 0 || wait_end(name, &code, NULL) < 0)
                return -1;
        OK(zl_runtime_remove(rt, name, false, &err));
        if (until_state(watch, name, ZL_STATE_REMOVED) < 0)
                return -1;
        zl_watch_close(watch);
        return 0;
}

/* So much happens in the directory of native workloads that the kernel drops what it would tell. */
static int flood_watch(void)
{
        const char *root = getenv("ZLAYER_ROOT_DIR");
        FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
        char path[2][4096];
        int most = 0, fd;

        CHECK(f && fscanf(f, "%d", &most) == 1);
        fclose(f);
        for (int i = 0; i < 2; i++)
                snprintf(path[i], sizeof(path[i]), "%s/containers/flood%d", root ? root : "", i);
        fd = open(path[0], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        CHECK(fd >= 0 && close(fd) == 0);
        /* Each is told twice, away from a name and to a name. */
        for (int i = 0; i <= most / 2; i++)
                CHECK(rename(path[i % 2], path[1 - i % 2]) == 0);
        return unlink(path[(most / 2 + 1) % 2]);
}

static int case_watch_all_flooded(const char *name)
{
        struct zl_watch *watch;
        int code;

        if (kind != ZL_RUNTIME_NATIVE)
                return 0;
        OK(zl_watch_open_all(rt, &watch, &err));
        OK(start_with(name, "exit 2", ""));
        if (until_state(watch, name, ZL_STATE_EXITED) < 0 || wait_end(name, &code, NULL) < 0)
                return -1;
        CHECK(flood_watch() == 0);
        OK(zl_runtime_remove(rt, name, false, &err));
        if (until_state(watch, name, ZL_STATE_REMOVED) < 0)
                return -1;
        zl_watch_close(watch);
        return 0;
}

static int case_wait_timeout(const char *name)
{
        struct zl_status s;

        OK(start_with(name, "exec sleep 1000", ""));
        FAILS(zl_runtime_wait(rt, name, SEC / 10, &s, &err), ZL_E_TIMEOUT);
        return 0;
}

static int case_wait_for(const char *name)
{
        struct zl_status s;

        OK(start_with(name, "sleep 0.2; exit 2", ""));
        OK(zl_runtime_wait_for(rt, name, ZL_WAIT_NEXT_EXIT, 20 * SEC, &s, &err));
        CHECK(s.exit_code == 2);
        zl_status_done(&s);
        FAILS(zl_runtime_wait_for(rt, name, ZL_WAIT_NEXT_EXIT, SEC / 10, &s, &err), ZL_E_TIMEOUT);
        FAILS(zl_runtime_wait_for(rt, name, ZL_WAIT_REMOVED, SEC / 10, &s, &err), ZL_E_TIMEOUT);
        return 0;
}

const struct contract_case life_cases[] = {
        { "life", "create start state inspect logs wait remove stop", case_life },
        { "no_image", "create state image_inspect", case_no_image },
        { "cannot_start", "create start wait remove shell", case_cannot_start },
        { "again", "create start wait logs shell", case_again },
        { "stop", "stop logs shell", case_stop },
        { "stop_stubborn", "stop logs shell", case_stop_stubborn },
        { "stop_unstarted", "stop wait", case_stop_unstarted },
        { "kill", "kill wait logs", case_kill },
        { "remove_force", "remove", case_remove_force },
        { "pause", "pause logs", case_pause },
        { "list", "list", case_list },
        { "recover", "recover process", case_recover },
        { "rename", "rename start logs shell", case_rename },
        { "rename_running", "rename stop logs shell", case_rename_running },
        { "prune", "list remove", case_prune },
        { "watch", "watch", case_watch },
        { "watch_all", "watch_all", case_watch_all },
        { "watch_all_flooded", "watch_all", case_watch_all_flooded },
        { "wait_timeout", "wait", case_wait_timeout },
        { "wait_for", "watch_all", case_wait_for },
        { NULL, NULL, NULL },
};
