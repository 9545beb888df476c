/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Docker runtime: workloads are containers of a Docker Engine. This file makes the runtime (finds the engine, agrees on a
 * version of its API), asks it, and does the short operations.
 *
 * What may go wrong is the engine: every call ends in bounded time and says what the engine said. It may be restarted at
 * any time; nothing of it is kept here but its address, so the next call finds the new one.
 */
#include "runtimes/docker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <zlayer/spec.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/path.h"
#include "image/http.h"

#define STOP_SLACK (30 * ZL_NSEC_PER_SEC)

/* ---- asking ------------------------------------------------------------------------------------------ */

char *docker_path(const struct docker *d, const char *fmt, ...)
{
        _cleanup_free_ char *rest = NULL;
        char *path = NULL;
        va_list ap;
        int r;

        va_start(ap, fmt);
        r = vasprintf(&rest, fmt, ap);
        va_end(ap);
        return r < 0 || asprintf(&path, "/v1.%u%s", d->minor, rest) < 0 ? NULL : path;
}

char *docker_escape(const char *text)
{
        return zl_http_escape(text);
}

int docker_open(struct docker *d, const struct zl_docker_request *q, struct zl_docker_conn **ret,
                struct zl_error *err)
{
        _cleanup_docker_conn_ struct zl_docker_conn *conn = NULL;
        int r, status;

        if (!q->path)
                return zl_fail_oom(err);
        r = zl_docker_connect(&d->ep, &conn, err);
        if (r == 0)
                r = zl_docker_send(conn, q, err);
        if (r < 0)
                return r;
        status = zl_docker_receive(conn, q, err);
        if (status >= 0)
                *ret = zl_take_ptr(conn);
        return status;
}

int docker_call(struct docker *d, const struct zl_docker_request *q, json_t **ret,
                struct zl_error *err)
{
        _cleanup_docker_conn_ struct zl_docker_conn *conn = NULL;
        _cleanup_buf_ struct zl_buf body = ZL_BUF_INIT(DOCKER_ANSWER_MAX);
        int r, status = docker_open(d, q, &conn, err);

        if (status < 0)
                return status;
        if (ret)
                *ret = NULL;
        r = zl_docker_read_all(conn, &body, err);
        if (r == 0 && ret && body.len > 0)
                r = zl_json_parse(body.data, body.len, "an answer of Docker", ret, err);
        return r < 0 ? r : status;
}

int docker_ask(struct docker *d, const char *method, char *path, json_t **ret, struct zl_error *err)
{
        const struct zl_docker_request q = { .method = method, .path = path };
        int r = docker_call(d, &q, ret, err);

        free(path);
        return r;
}

/* ---- life -------------------------------------------------------------------------------------------- */

static int docker_create(struct zl_runtime *rt, const struct zl_create_options *o,
                         struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        static const char *const archs[] = { [ZL_ARCH_AMD64] = "amd64", [ZL_ARCH_ARM64] = "arm64" };
        const struct zl_platform_spec *platform = o->spec->platform;
        const struct docker_record record = { .generation = 1 };
        _cleanup_json_ json_t *body = NULL;
        _cleanup_error_ struct zl_error own = ZL_ERROR_INIT;
        _cleanup_free_ char *text = NULL, *path = NULL, *pinned = NULL;
        int r = docker_spec_make(d, o, &body, &own);

        if (r >= 0 && o->digest) {
                r = docker_find_pinned(d, o->spec->image.name, o->digest, &pinned, &own);
                if (r >= 0 && zl_json_set(body, "Image", json_string(pinned)) < 0)
                        r = zl_fail_oom(&own);
        }
        for (int tries = 0; r >= 0 && tries < 2; tries++) {
                free(text);
                free(path);
                text = zl_json_dump(body, 0);
                path = docker_path(d, "/containers/create?name=" DOCKER_PREFIX "%s%s%s", o->name,
                                   platform && d->minor >= 41 ? "&platform=linux%2F" : "",
                                   platform && d->minor >= 41 ? archs[platform->arch] : "");
                const struct zl_docker_request q = {
                        .method = "POST", .path = path, .body = text, .len = text ? strlen(text) : 0
                };

                r = text ? docker_call(d, &q, NULL, &own) : zl_fail_oom(&own);
                /* Neither spec nor image say what to run: as everywhere, that is a shell. */
                if (r >= 0 || !strcasestr(zl_error_message(&own), "no command specified"))
                        break;
                zl_json_set(body, "Cmd", json_pack("[s]", "/bin/sh"));
                r = 0;
        }
        if (r >= 0)
                r = docker_record_save(d, o->name, &record, &own);
        if (r >= 0)
                return 0;
        if (own.code == ZL_E_STATE)
                r = zl_fail(&own, ZL_E_EXISTS, 0, "the name is taken");
        if (own.code == ZL_E_NOT_FOUND)
                zl_error_hint(&own, "pull the image %s first", o->spec->image.name);
        zl_error_prefix(&own, "cannot create %s", o->name);
        zl_error_move(err, &own);
        return r;
}

/* An engine that cannot start a container leaves its exit code, as a shell would tell it. */
static int explain_start(struct docker *d, const char *name, struct docker_record *record,
                         struct zl_error *err)
{
        struct zl_status status;
        int r = -EIO;

        docker_record_save(d, name, record, NULL); /* wakes the watchers */
        if (docker_status(d, name, &status, NULL) < 0)
                return r;
        if (status.exit_code == 127)
                zl_error_recode(err, ZL_E_NO_COMMAND);
        else if (status.exit_code == 126)
                zl_error_recode(err, ZL_E_NOT_RUNNABLE);
        else if (status.state == ZL_STATE_FAILED)
                zl_error_recode(err, ZL_E_START);
        zl_error_prefix(err, "cannot start %s", name);
        zl_status_done(&status);
        return r;
}

/* The state alone; <0 on error. */
static int state_of(struct docker *d, const char *name, struct zl_error *err)
{
        struct zl_status status;
        int r = docker_status(d, name, &status, err);

        if (r < 0)
                return r;
        r = (int)status.state;
        zl_status_done(&status);
        return r;
}

static int docker_start(struct zl_runtime *rt, const char *name, struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        struct docker_record record;
        int r, state = state_of(d, name, err);

        if (state < 0)
                return state;
        if (state != ZL_STATE_PENDING && state != ZL_STATE_EXITED && state != ZL_STATE_FAILED)
                return zl_fail(err, ZL_E_STATE, 0, "cannot start %s: it is %s", name,
                               zl_workload_state_name((enum zl_workload_state)state));
        docker_record_load(d, name, &record);
        if (state != ZL_STATE_PENDING) {
                record.generation++;
                record.killed = false;
                r = docker_record_save(d, name, &record, err);
                if (r < 0)
                        return r;
        }
        r = docker_ask(d, "POST", docker_path(d, "/containers/" DOCKER_PREFIX "%s/start", name),
                       NULL, err);
        if (r < 0 && zl_error_is_set(err))
                return explain_start(d, name, &record, err);
        return r < 0 ? r : 0;
}

/* It never ran, and the engine has no end for that. */
static int end_unstarted(struct docker *d, const char *name, struct docker_record *record,
                         struct zl_error *err)
{
        record->killed = true;
        record->killed_at = zl_now_realtime();
        record->stopped = record->generation;
        return docker_record_save(d, name, record, err);
}

/* Notes that the end is asked for; 1 if it is over or has now ended without the engine. */
static int begin_end(struct docker *d, const char *name, struct zl_error *err)
{
        struct docker_record record;
        int r, state = state_of(d, name, err);

        if (state < 0)
                return state;
        if (state == ZL_STATE_EXITED || state == ZL_STATE_FAILED)
                return 1;
        docker_record_load(d, name, &record);
        if (state == ZL_STATE_PENDING) {
                r = end_unstarted(d, name, &record, err);
                return r < 0 ? r : 1;
        }
        record.stopped = record.generation;
        return docker_record_save(d, name, &record, err);
}

static int docker_stop(struct zl_runtime *rt, const char *name, int64_t grace_nsec,
                       struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        /* The engine counts in seconds: what is not whole is rounded up. */
        int64_t sec = grace_nsec < 0 ? -1 : (grace_nsec + ZL_NSEC_PER_SEC - 1) / ZL_NSEC_PER_SEC;
        _cleanup_free_ char *path = NULL;
        int r = begin_end(d, name, err);

        if (r != 0)
                return r < 0 ? r : 0;
        if (sec < 0)
                path = docker_path(d, "/containers/" DOCKER_PREFIX "%s/stop", name);
        else
                path = docker_path(d, "/containers/" DOCKER_PREFIX "%s/stop?t=%lld", name,
                                   (long long)ZL_MIN(sec, (int64_t)INT32_MAX));
        /* Its own grace period may be long, and is the engine's to keep. */
        const struct zl_docker_request q = {
                .method = "POST",
                .path = path,
                .timeout = sec < 0 ? -1 : sec * ZL_NSEC_PER_SEC + STOP_SLACK
        };

        r = docker_call(d, &q, NULL, err);
        return r < 0 ? r : 0;
}

static int docker_kill(struct zl_runtime *rt, const char *name, int sig, bool all,
                       struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        int r;

        /* With the first process of a process namespace all others are killed. */
        if (all && sig != SIGKILL)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                               "Docker can send signal %d only to the first process of %s", sig,
                               name);
        if (sig == SIGKILL) {
                r = begin_end(d, name, err);
                if (r > 0)
                        return 0;
                if (r < 0)
                        return r;
        }
        r = docker_ask(d, "POST",
                       docker_path(d, "/containers/" DOCKER_PREFIX "%s/kill?signal=%d", name, sig),
                       NULL, err);
        return r < 0 ? r : 0;
}

static int docker_pause(struct zl_runtime *rt, const char *name, bool pause, struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        int r = docker_ask(d, "POST",
                           docker_path(d, "/containers/" DOCKER_PREFIX "%s/%s", name,
                                       pause ? "pause" : "unpause"),
                           NULL, err);

        /* Older engines call a wrong state an internal error. */
        if (r < 0 && err && err->code == ZL_E_IO && strstr(err->message, "not paused"))
                zl_error_recode(err, ZL_E_STATE);
        return r < 0 ? r : 0;
}

static int docker_remove(struct zl_runtime *rt, const char *name, bool force, struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        int r = state_of(d, name, err);

        if (r < 0)
                return r;
        r = docker_ask(d, "DELETE",
                       docker_path(d, "/containers/" DOCKER_PREFIX "%s?v=1&force=%d", name, force),
                       NULL, err);
        if (r < 0)
                return r;
        docker_record_remove(d, name);
        return 0;
}

static int docker_rename(struct zl_runtime *rt, const char *name, const char *new_name,
                         struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        struct docker_record record;
        int r = state_of(d, name, err);

        if (r < 0)
                return r;
        docker_record_load(d, name, &record);
        r = docker_record_save(d, new_name, &record, err);
        if (r < 0)
                return r;
        r = docker_ask(
                d, "POST",
                docker_path(d, "/containers/" DOCKER_PREFIX "%s/rename?name=" DOCKER_PREFIX "%s",
                            name, new_name),
                NULL, err);
        docker_record_remove(d, r < 0 ? new_name : name);
        if (r < 0 && err && err->code == ZL_E_STATE)
                zl_error_recode(err, ZL_E_EXISTS);
        return r < 0 ? r : 0;
}

/* ---- making one -------------------------------------------------------------------------------------- */

static void docker_free(struct zl_runtime *rt)
{
        struct docker *d = docker_from(rt);

        zl_runtime_settings_done(&d->settings);
        docker_cache_free(d->cache);
        zl_docker_endpoint_done(&d->ep);
        free(d->engine);
        free(d->state_dir);
        zl_close(d->state_fd);
        free(d);
}

const struct zl_runtime_ops zl_docker_ops = {
        .kind = ZL_RUNTIME_DOCKER,
        .free = docker_free,
        .pull = docker_pull,
        .create = docker_create,
        .start = docker_start,
        .stop = docker_stop,
        .kill = docker_kill,
        .pause = docker_pause,
        .remove = docker_remove,
        .rename = docker_rename,
        .state = docker_state,
        .list = docker_list,
        .inspect = docker_inspect,
        .recover = docker_recover,
        .watch_open = docker_watch_open,
        .watch_open_all = docker_watch_open_all,
        .watch_fd = docker_watch_fd,
        .watch_next = docker_watch_next,
        .watch_close = docker_watch_close,
        .logs_open = docker_logs_open,
        .logs_fd = docker_logs_fd,
        .logs_next = docker_logs_next,
        .logs_close = docker_logs_close,
        .exec_open = docker_exec_open,
        .exec_fd = docker_exec_fd,
        .exec_tty_fd = docker_exec_tty_fd,
        .exec_resize = docker_exec_resize,
        .exec_kill = docker_exec_kill,
        .exec_result = docker_exec_result,
        .exec_close = docker_exec_close,
        .attach_open = docker_attach_open,
        .attach_fd = docker_attach_fd,
        .attach_next = docker_attach_next,
        .attach_write = docker_attach_write,
        .attach_resize = docker_attach_resize,
        .attach_close = docker_attach_close,
        .dial = docker_dial,
        .image_health = docker_image_health,
        .stats = docker_stats,
        .top = docker_top,
        .update = docker_update,
        .archive_head = docker_archive_head,
        .archive_get = docker_archive_get,
        .archive_put = docker_archive_put,
        .export = docker_export,
        .changes = docker_changes,
        .commit = docker_commit,
        .image_list = docker_image_list,
        .image_inspect = docker_image_inspect,
        .image_history = docker_image_history,
        .image_search = docker_image_search,
        .image_tag = docker_image_tag,
        .image_remove = docker_image_remove,
        .image_prune = docker_image_prune,
        .image_save = docker_image_save,
        .image_load = docker_image_load,
};

/* "1.41" -> 41 */
static int parse_api(const char *text, unsigned *ret)
{
        const char *minor = zl_startswith(text, "1.");
        uint32_t n;

        if (!minor || zl_parse_u32(minor, 10, &n) < 0)
                return -EINVAL;
        *ret = n;
        return 0;
}

/* "Docker/20.10.24+dfsg1 (linux)" -> "20.10.24+dfsg1" */
static char *engine_version(const char *server)
{
        const char *version = server ? zl_startswith(server, "Docker/") : NULL;

        return version ? strndup(version, strcspn(version, " ")) : NULL;
}

static int agree_on_version(struct docker *d, const struct zl_docker_conn *conn,
                            struct zl_error *err)
{
        const char *pinned = getenv("DOCKER_API_VERSION");
        const char *offered = zl_docker_header(conn, "api-version");
        unsigned theirs = DOCKER_API_MAX;

        if (offered && parse_api(offered, &theirs) < 0)
                return zl_fail(err, ZL_E_PROTOCOL, 0,
                               "Docker at %s offers \"%s\" as the version of its API", d->ep.text,
                               offered);
        d->minor = ZL_MIN(theirs, (unsigned)DOCKER_API_MAX);
        if (pinned && *pinned && parse_api(pinned, &d->minor) < 0)
                return zl_fail(err, ZL_E_CONFIGURATION, 0,
                               "DOCKER_API_VERSION is \"%s\", which is no version such as 1.41",
                               pinned);
        if (d->minor < DOCKER_API_MIN)
                return zl_fail(
                        err, ZL_E_UNSUPPORTED, 0,
                        "Docker at %s speaks version 1.%u of its API; at least 1.%d is needed",
                        d->ep.text, d->minor, DOCKER_API_MIN);
        return 0;
}

static int ping(struct docker *d, struct zl_error *err)
{
        const struct zl_docker_request q = { .method = "GET",
                                             .path = "/_ping",
                                             .timeout = 10 * ZL_NSEC_PER_SEC };
        _cleanup_docker_conn_ struct zl_docker_conn *conn = NULL;
        int r = docker_open(d, &q, &conn, err);

        /* What is no Docker, or wants TLS, finds fault with the simplest of questions. */
        if (r < 0 && zl_error_is_set(err) && err->code == ZL_E_INVALID) {
                zl_error_recode(err, ZL_E_PROTOCOL);
                zl_error_prefix(err, "Docker at %s", d->ep.text);
                zl_error_hint(err, "if it wants TLS, set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH");
        }
        if (r < 0)
                return r;
        d->engine = engine_version(zl_docker_header(conn, "server"));
        return agree_on_version(d, conn, err);
}

int zl_docker_probe(const struct zl_runtime_options *options, char **ret_version,
                    struct zl_error *err)
{
        struct docker d = { .state_fd = -EBADF };
        int r = zl_docker_endpoint_find(options->docker_host, &d.ep, err);

        if (r == 0)
                r = ping(&d, err);
        if (r == 0 && ret_version)
                *ret_version = zl_take_ptr(d.engine);
        free(d.engine);
        zl_docker_endpoint_done(&d.ep);
        return r;
}

int zl_docker_new(const struct zl_runtime_options *options, struct zl_runtime **ret,
                  struct zl_error *err)
{
        struct docker *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return zl_fail_oom(err);
        d->rt.ops = &zl_docker_ops;
        d->state_fd = -EBADF;
        r = zl_runtime_settings_make(options, &d->settings, err);
        if (r == 0)
                r = zl_docker_endpoint_find(d->settings.docker_host, &d->ep, err);
        if (r == 0)
                r = ping(d, err);
        if (r == 0)
                r = docker_cache_new(d, err);
        if (r == 0) {
                d->state_dir = zl_path_join(d->settings.root_dir, "docker");
                r = d->state_dir ? d->state_fd = zl_open_dir_at(AT_FDCWD, d->state_dir, 0700, err)
                                 : zl_fail_oom(err);
        }
        if (r < 0) {
                docker_free(&d->rt);
                return r;
        }
        *ret = &d->rt;
        return 0;
}
