/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Docker runtime against what a real engine does not do on demand: answers cut at every place, errors inside a stream, garbage,
 * old versions, silence, an upgrade with bytes behind it. The engine here is a thread with a list of canned answers.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/socket.h"
#include "runtimes/docker.h"
#include "runtimes/docker_http.h"
#include "runtimes/select.h"
#include "runtimes/status.h"
#include "spec/spec.h"
#include "support.h"

#define PING                                                                                       \
        "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nServer: Docker/20.10.24 (linux)\r\nContent-Length: 2\r\n\r\nOK"

/* For each connection: the next answer whose path is part of the request; "" hangs. */
struct answer {
        const char *path, *text;
        size_t len;  /* 0: strlen */
        size_t step; /* bytes at a time; 0: all at once */
};

struct engine {
        const struct answer *answers;
        int listener, quit[2];
        pthread_t thread;
        char host[120];
};

static void serve_one(struct engine *e, int fd)
{
        char request[4096] = "";
        size_t n = 0;

        while (n < sizeof(request) - 1 && !strstr(request, "\r\n\r\n")) {
                ssize_t got = read(fd, request + n, sizeof(request) - 1 - n);

                if (got <= 0)
                        return;
                n += (size_t)got;
                request[n] = 0;
        }
        for (const struct answer *a = e->answers; a->path; a++) {
                size_t len = a->len ? a->len : strlen(a->text);

                if (!strstr(request, a->path))
                        continue;
                if (len == 0) { /* silence, until the test is over or the client gives up */
                        char c;

                        if (read(fd, &c, 1) >= 0)
                                return;
                }
                for (size_t at = 0, step = a->step ? a->step : len; at < len; at += step) {
                        if (send(fd, a->text + at, ZL_MIN(step, len - at), MSG_NOSIGNAL) < 0)
                                return;
                        if (step < len)
                                usleep(50);
                }
                return;
        }
        fprintf(stderr, "no answer for %s\n", request);
}

static void *serve(void *data)
{
        struct engine *e = data;

        for (;;) {
                struct pollfd fds[] = { { .fd = e->listener, .events = POLLIN },
                                        { .fd = e->quit[0], .events = POLLIN } };
                int fd;

                poll(fds, 2, -1);
                if (fds[1].revents)
                        return NULL;
                fd = accept4(e->listener, NULL, NULL, SOCK_CLOEXEC);
                if (fd >= 0) {
                        serve_one(e, fd);
                        close(fd);
                }
        }
}

static void start(struct engine *e, void **state, const struct answer *answers)
{
        const struct place *p = *state;

        e->answers = answers;
        snprintf(e->host, sizeof(e->host), "unix://%s/sock", p->path);
        unlinkat(p->fd, "sock", 0);
        e->listener = zl_unix_listen_at(p->fd, "sock", SOCK_STREAM, 0600);
        assert_true(e->listener >= 0);
        assert_int_equal(pipe(e->quit), 0);
        assert_int_equal(pthread_create(&e->thread, NULL, serve, e), 0);
}

static void stop(struct engine *e)
{
        close(e->quit[1]);
        pthread_join(e->thread, NULL);
        close(e->quit[0]);
        close(e->listener);
}

static int make(const struct engine *e, void **state, struct zl_runtime **ret, struct zl_error *err)
{
        const struct place *p = *state;
        const struct zl_runtime_options o = { .root_dir = p->path,
                                              .runtime_dir = p->path,
                                              .docker_host = e->host };

        return zl_docker_new(&o, ret, err);
}

/* ---- what is no engine ----------------------------------------------------------------------------------- */

static void test_no_engine(void **state)
{
        static const struct {
                const char *ping;
                enum zl_code code;
                const char *says;
        } cases[] = {
                { "SSH-2.0-OpenSSH\r\n\r\n", ZL_E_PROTOCOL, "no Docker Engine" },
                { "HTTP/1.1 banana\r\n\r\n", ZL_E_PROTOCOL, "no Docker Engine" },
                { "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", ZL_E_PROTOCOL,
                  "no Docker Engine" },
                { "HTTP/1.1 200 OK\r\nApi-Version: new\r\nContent-Length: 0\r\n\r\n", ZL_E_PROTOCOL,
                  "\"new\"" },
                { "HTTP/1.1 200 OK\r\nApi-Version: 1.24\r\nContent-Length: 0\r\n\r\n",
                  ZL_E_UNSUPPORTED, "1.24" },
                { "HTTP/1.1 500 Oops\r\nContent-Length: 22\r\n\r\n{\"message\":\"it is ill\"}",
                  ZL_E_IO, "it is ill" },
                { "HTTP/1.1 200 OK\r\nApi-Ver", ZL_E_NETWORK, "closed the connection" },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                const struct answer answers[] = { { "/_ping", cases[i].ping, 0, 0 }, { 0 } };
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
                struct zl_runtime *rt = NULL;
                struct engine e;

                start(&e, state, answers);
                assert_true(make(&e, state, &rt, &err) < 0);
                assert_null(rt);
                assert_int_equal(err.code, cases[i].code);
                assert_non_null(strstr(err.message, cases[i].says));
                stop(&e);
        }
}

static void test_versions(void **state)
{
        static const struct {
                const char *offered, *pinned;
                unsigned expected;
        } cases[] = { { "1.41", NULL, 41 },
                      { "1.60", NULL, DOCKER_API_MAX },
                      { "1.45", "1.42", 42 } };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                char ping[200];
                const struct answer answers[] = { { "/_ping", ping, 0, 1 }, { 0 } };
                struct zl_runtime *rt = NULL;
                struct engine e;

                snprintf(ping, sizeof(ping),
                         "HTTP/1.1 200 OK\r\nApi-Version: %s\r\nContent-Length: 0\r\n\r\n",
                         cases[i].offered);
                if (cases[i].pinned)
                        setenv("DOCKER_API_VERSION", cases[i].pinned, 1);
                start(&e, state, answers);
                assert_int_equal(make(&e, state, &rt, NULL), 0);
                assert_int_equal(docker_from(rt)->minor, cases[i].expected);
                zl_runtime_free(rt);
                stop(&e);
                unsetenv("DOCKER_API_VERSION");
        }
}

/* ---- answers in pieces -------------------------------------------------------------------------------------- */

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

static void test_chunks_at_every_place(void **state)
{
        static const char text[] = CHUNKED
                "5;x=y\r\n{\"a\":\r\n9\r\n1}\n\n{\"b\":\r\n2\r\n2}\r\n0\r\n\r\n";

        for (size_t step = 1; step < sizeof(text); step++) {
                const struct answer answers[] = { { "/x", text, 0, step }, { 0 } };
                const struct zl_docker_request q = { .method = "GET", .path = "/x" };
                _cleanup_(zl_docker_endpoint_done) struct zl_docker_endpoint ep = { 0 };
                _cleanup_docker_conn_ struct zl_docker_conn *conn = NULL;
                struct engine e;
                int got = 0, r;

                start(&e, state, answers);
                assert_int_equal(zl_docker_endpoint_find(e.host, &ep, NULL), 0);
                assert_int_equal(zl_docker_connect(&ep, &conn, NULL), 0);
                assert_int_equal(zl_docker_send(conn, &q, NULL), 0);
                assert_int_equal(zl_docker_receive(conn, &q, NULL), 200);
                for (;;) {
                        _cleanup_json_ json_t *json = NULL;

                        r = zl_docker_next_json(conn, &json, NULL);
                        got += r > 0;
                        if (r == 0)
                                poll(&(struct pollfd){ .fd = zl_docker_fd(conn), .events = POLLIN },
                                     1, 5000);
                        if (r < 0)
                                break;
                }
                assert_int_equal(r, -ENODATA);
                assert_int_equal(got, 2);
                stop(&e);
        }
}

static void test_frames_behind_an_upgrade(void **state)
{
        static const char head[] =
                "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
        static const char frames[] = "\1\0\0\0\0\0\0\3out\2\0\0\0\0\0\0\3err\1\0\0\0\0\0\0\0";
        char text[200];
        size_t len = sizeof(head) - 1 + sizeof(frames) - 1;

        memcpy(text, head, sizeof(head) - 1);
        memcpy(text + sizeof(head) - 1, frames, sizeof(frames) - 1);
        for (size_t step = 1; step <= len; step++) {
                const struct answer answers[] = { { "/x", text, len, step }, { 0 } };
                const struct zl_docker_request q = { .method = "POST",
                                                     .path = "/x",
                                                     .upgrade = true };
                _cleanup_(zl_docker_endpoint_done) struct zl_docker_endpoint ep = { 0 };
                _cleanup_docker_conn_ struct zl_docker_conn *conn = NULL;
                struct zl_docker_frames f = ZL_DOCKER_FRAMES_INIT(false);
                char said[64] = "";
                struct engine e;
                const char *data;
                int stream, r;
                size_t n;

                start(&e, state, answers);
                assert_int_equal(zl_docker_endpoint_find(e.host, &ep, NULL), 0);
                assert_int_equal(zl_docker_connect(&ep, &conn, NULL), 0);
                assert_int_equal(zl_docker_send(conn, &q, NULL), 0);
                assert_int_equal(zl_docker_receive(conn, &q, NULL), 101);
                while ((r = zl_docker_next_frame(conn, &f, &stream, &data, &n)) >= 0) {
                        if (r > 0)
                                sprintf(said + strlen(said), "%d:%.*s|", stream, (int)n, data);
                        else
                                poll(&(struct pollfd){ .fd = zl_docker_fd(conn), .events = POLLIN },
                                     1, 5000);
                }
                assert_int_equal(r, -ENODATA);
                assert_string_equal(said, "1:out|2:err|1:|");
                zl_buf_done(&f.buf);
                stop(&e);
        }
}

static void test_broken_bodies(void **state)
{
        static const char *const bodies[] = {
                CHUNKED "zz\r\n",
                CHUNKED "5\r\n{\"a\"",
                CHUNKED "3\r\n{}\nxx2\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[]",
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1,",
                "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nnothing",
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(bodies); i++) {
                const struct answer answers[] = { { "/_ping", PING, 0, 0 },
                                                  { "/containers/json", bodies[i], 0, 0 },
                                                  { 0 } };
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
                struct zl_status *all;
                struct zl_runtime *rt;
                struct engine e;
                size_t n;

                start(&e, state, answers);
                assert_int_equal(make(&e, state, &rt, NULL), 0);
                assert_true(zl_runtime_list(rt, &all, &n, &err) < 0);
                assert_true(err.code == ZL_E_NETWORK || err.code == ZL_E_INVALID ||
                            err.code == ZL_E_PROTOCOL || err.code == ZL_E_CORRUPT);
                zl_runtime_free(rt);
                stop(&e);
        }
}

/* ---- pulls -------------------------------------------------------------------------------------------------- */

static void count(const struct zl_pull_progress *p, void *data)
{
        if (p->id && p->total == 100)
                ++*(int *)data;
}

static void test_error_inside_a_pull(void **state)
{
        static const char missing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 21\r\n\r\n"
                                      "{\"message\":\"no image\"}";
        static const char stream[] =
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
                "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":5,\"total\":100},\"id\":\"abc\"}\r\n"
                "{\"errorDetail\":{\"message\":\"unauthorized: authentication required\"},\"error\":\"x\"}\r\n";
        const struct answer answers[] = { { "/_ping", PING, 0, 0 },
                                          { "/images/create", stream, 0, 7 },
                                          { "/json", missing, 0, 0 },
                                          { 0 } };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        int told = 0;
        const struct zl_pull_options o = {
                .username = "u", .password = "p", .progress = count, .progress_data = &told
        };
        struct zl_runtime *rt;
        struct engine e;

        start(&e, state, answers);
        assert_int_equal(make(&e, state, &rt, NULL), 0);
        assert_true(zl_runtime_pull(rt, "example.org/x:1", &o, NULL, &err) < 0);
        assert_int_equal(err.code, ZL_E_UNAUTHORIZED);
        assert_non_null(strstr(err.message, "example.org/x:1"));
        assert_int_equal(told, 1);
        zl_runtime_free(rt);
        stop(&e);
}

static void test_search(void **state)
{
        static const char found[] =
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
                "[{\"name\":\"a/b\",\"description\":\"d\",\"star_count\":3,\"is_official\":true}]";
        static const char away[] = "HTTP/1.1 500 Oops\r\nContent-Length: 23\r\n\r\n"
                                   "{\"message\":\"hub is off\"}";
        const struct answer answers[] = {
                { "/_ping", PING, 0, 0 },
                { "/images/search?term=a%20b%26c&limit=7 ", found, 0, 5 },
                { "/images/search?term=x ", away, 0, 0 },
                { 0 },
        };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_free_ char *json = NULL;
        struct zl_runtime *rt;
        char *none = NULL;
        struct engine e;

        start(&e, state, answers);
        assert_int_equal(make(&e, state, &rt, NULL), 0);
        assert_int_equal(zl_runtime_image_search(rt, "a b&c", 7, &json, NULL), 0);
        for (const char *const *w =
                     (const char *const[]){ "\"a/b\"", "\"stars\"", "3", "\"official\"", NULL };
             *w; w++)
                assert_non_null(strstr(json, *w));
        assert_true(zl_runtime_image_search(rt, "x", 0, &none, &err) < 0);
        assert_null(none);
        assert_non_null(strstr(err.message, "hub is off"));
        zl_runtime_free(rt);
        stop(&e);
}

/* ---- documents that are kept ---------------------------------------------------------------------------------- */

#define ANSWER(body) "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" body
#define EVENT(n, id)                                                                               \
        "{\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{\"ID\":\"" id                     \
        "\"},\"timeNano\":" #n "}\n"
#define LIST(status) ANSWER("[{\"Id\":\"aa\",\"State\":\"" status "\"}]")

static const char *container(const struct place *p, const char *status, int pid)
{
        static char text[1000];

        snprintf(text, sizeof(text),
                 ANSWER("{\"Id\":\"aa\",\"Name\":\"/zlayer-abc.s.1\",\"Config\":{\"Labels\":{\"com."
                        "zlayer.root\":\"%s\"}},\"State\":{\"Status\":\"%s\",\"Pid\":%d}}"),
                 p->path, status, pid);
        return text;
}

/* A list with these answers; with `document` NULL the engine has none to give. The process number of the only workload. */
static int list_with(struct engine *e, struct zl_runtime *rt, const char *events, const char *list,
                     const char *document)
{
        static struct answer answers[4]; /* the engine looks at it for a moment longer */
        struct zl_status *all;
        size_t n;
        int pid;

        answers[0] = (struct answer){ "/events", events, 0, 0 };
        answers[1] = (struct answer){ "/containers/json", list, 0, 0 };
        answers[2] = (struct answer){ document ? "/containers/aa/json" : NULL, document, 0, 0 };
        e->answers = answers;
        if (zl_runtime_list(rt, &all, &n, NULL) < 0)
                return -1;
        assert_int_equal(n, 1);
        assert_string_equal(all[0].name, "abc.s.1");
        pid = all[0].pid;
        zl_status_free_all(all, n);
        return pid;
}

static void test_list_keeps_documents(void **state)
{
        const struct answer ping[] = { { "/_ping", PING, 0, 0 }, { 0 } };
        const struct place *p = *state;
        struct zl_runtime *rt;
        struct engine e;

        start(&e, state, ping);
        assert_int_equal(make(&e, state, &rt, NULL), 0);
        assert_int_equal(list_with(&e, rt, ANSWER(EVENT(1, "bb")), LIST("running"),
                                   container(p, "running", 5)),
                         5);
        /* Nothing has happened: the document is not asked for. */
        assert_int_equal(list_with(&e, rt, ANSWER(EVENT(1, "bb")), LIST("running"), NULL), 5);
        /* Something has, to it. */
        assert_int_equal(list_with(&e, rt, ANSWER(EVENT(1, "bb") EVENT(2, "aa")), LIST("running"),
                                   container(p, "running", 6)),
                         6);
        assert_int_equal(list_with(&e, rt, ANSWER(EVENT(2, "aa") EVENT(3, "cc")), LIST("running"),
                                   container(p, "running", 6)),
                         6);
        assert_int_equal(list_with(&e, rt, ANSWER(EVENT(3, "cc")), LIST("running"), NULL), 6);
        /* The engine has forgotten what we saw last. */
        assert_int_equal(list_with(&e, rt, ANSWER(EVENT(9, "cc")), LIST("running"),
                                   container(p, "running", 7)),
                         7);
        /* The list says something else than the document. */
        assert_int_equal(list_with(&e, rt, ANSWER(EVENT(9, "cc")), LIST("paused"),
                                   container(p, "paused", 8)),
                         8);
        /* No events at all. */
        assert_int_equal(list_with(&e, rt, "HTTP/1.1 500 Oops\r\n\r\n", LIST("paused"), NULL), -1);
        zl_runtime_free(rt);
        stop(&e);
}

static bool wants_web(const struct zl_ident *id, const void *data)
{
        (void)data;
        return zl_streq(id->service, "web");
}

/* Of one whose name is not asked for the engine is not asked: it has no answer here. */
static void test_list_asks_for_none_but_those_wanted(void **state)
{
        static const struct answer answers[] = {
                { "/_ping", PING, 0, 0 },
                { "/events", ANSWER(EVENT(1, "bb")), 0, 0 },
                { "/containers/json",
                  ANSWER("[{\"Id\":\"aa\",\"Names\":[\"/zlayer-abc.s.1\"],\"State\":\"running\"}]"),
                  0, 0 },
                { 0 }
        };
        static const struct zl_list_filter filter = { .wants = wants_web };
        struct zl_status *all = NULL;
        struct zl_runtime *rt;
        struct engine e;
        size_t n = 1;

        start(&e, state, answers);
        assert_int_equal(make(&e, state, &rt, NULL), 0);
        assert_int_equal(zl_runtime_list_some(rt, &filter, &all, &n, NULL), 0);
        assert_int_equal(n, 0);
        zl_status_free_all(all, n);
        assert_true(zl_runtime_list(rt, &all, &n, NULL) < 0);
        zl_runtime_free(rt);
        stop(&e);
}

/* ---- an engine that hangs ------------------------------------------------------------------------------------- */

static void test_silence_is_bounded(void **state)
{
        const struct answer answers[] = { { "/x", "", 0, 0 }, { 0 } };
        const struct zl_docker_request q = { .method = "GET",
                                             .path = "/x",
                                             .timeout = ZL_NSEC_PER_SEC / 5 };
        _cleanup_(zl_docker_endpoint_done) struct zl_docker_endpoint ep = { 0 };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_docker_conn *conn = NULL;
        int64_t begin = zl_now_monotonic();
        struct engine e;

        start(&e, state, answers);
        assert_int_equal(zl_docker_endpoint_find(e.host, &ep, NULL), 0);
        assert_int_equal(zl_docker_connect(&ep, &conn, NULL), 0);
        assert_int_equal(zl_docker_send(conn, &q, NULL), 0);
        assert_true(zl_docker_receive(conn, &q, &err) < 0);
        assert_int_equal(err.code, ZL_E_TIMEOUT);
        assert_true(zl_now_monotonic() - begin < 5 * ZL_NSEC_PER_SEC);
        zl_docker_conn_free(conn);
        stop(&e);
}

/* ---- what Docker cannot express --------------------------------------------------------------------------------- */

static int spec_body(const char *service, json_t **ret, struct zl_error *err)
{
        struct docker d = { .settings.root_dir = (char *)(uintptr_t) "/r" };
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        struct zl_create_options o = { .name = "abc.s.1" };
        char text[1000];

        snprintf(text, sizeof(text),
                 "{version: v1, deployment: abc, services: {s: {image: {name: bb}, %s}}}", service);
        assert_int_equal(zl_spec_load_text(text, strlen(text), &spec, NULL, NULL), 0);
        o.spec = spec->services[0].spec;
        return docker_spec_make(&d, &o, ret, err);
}

static void test_refused_fields(void **state)
{
        static const struct {
                const char *service, *field;
        } cases[] = {
                { "userns_mode: auto", "userns_mode" },
                { "storage: [{type: named, name: v, target: /x, size: 1Gi}]", "storage.size" },
                { "storage: [{type: named, name: v, target: /x, tier: network}]", "storage.tier" },
                { "storage: [{type: s3, bucket: b, target: /x}]", "storage" },
                { "resources: {gpu: {count: 1, vendor: amd}}", "resources.gpu" },
                { "devices: [{path: acme.test/dev=one}]", "devices" },
                { "service_type: wasm_plugin, wasm: {}", "service_type" },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
                json_t *body = NULL;

                assert_true(spec_body(cases[i].service, &body, &err) < 0);
                assert_int_equal(err.code, ZL_E_UNSUPPORTED);
                assert_non_null(zl_startswith(err.message, cases[i].field));
                assert_non_null(err.hint);
        }
}

static void test_expressed_fields(void **state)
{
        _cleanup_json_ json_t *body = NULL;
        const json_t *host;
        const char *mode;

        assert_int_equal(
                spec_body(
                        "network_mode: 'container:other', pid_mode: host, ipc_mode: 'container:other-rep-2', "
                        "userns_mode: host, security_opt: ['no-new-privileges:true'], cap_drop: [ALL], "
                        "resources: {cpu: 0.5, memory: 64Mi, memory_swap: '-1'}, "
                        "command: {entrypoint: [a, b], args: [c]}, tty: true, "
                        "ulimits: {nofile: {soft: 5, hard: 6}}, sysctls: {a.b: '1'}",
                        &body, NULL),
                0);
        host = json_object_get(body, "HostConfig");
        mode = zl_json_str(host, "NetworkMode", "");
        assert_string_equal(mode, "container:zlayer-abc.other.1");
        assert_string_equal(zl_json_str(host, "IpcMode", ""), "container:zlayer-abc.other.2");
        assert_string_equal(zl_json_str(host, "PidMode", ""), "host");
        assert_string_equal(zl_json_str(host, "UsernsMode", ""), "host");
        assert_int_equal(zl_json_int(host, "NanoCpus", 0), 500000000);
        assert_int_equal(zl_json_int(host, "Memory", 0), 64 << 20);
        assert_int_equal(zl_json_int(host, "MemorySwap", 0), -1);
        assert_null(json_object_get(body, "Hostname")); /* who shares a network shares its names */
        assert_int_equal(json_array_size(json_object_get(body, "Cmd")), 2);
        assert_true(zl_json_bool(body, "Tty", false));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)
        const struct CMUnitTest tests[] = {
                T(test_no_engine),
                T(test_versions),
                T(test_chunks_at_every_place),
                T(test_frames_behind_an_upgrade),
                T(test_broken_bodies),
                T(test_error_inside_a_pull),
                T(test_search),
                T(test_list_asks_for_none_but_those_wanted),
                T(test_list_keeps_documents),
                T(test_silence_is_bounded),
                cmocka_unit_test(test_refused_fields),
                cmocka_unit_test(test_expressed_fields),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
