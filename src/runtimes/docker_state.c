/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is: from the engine's documents to the interface's states, with what the engine does not know from a record of ours.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/ident.h"
#include "base/parse.h"
#include "runtimes/docker.h"
#include "runtimes/status.h"

enum { RECORD_MAX = 64 << 10 };

/* ---- records ----------------------------------------------------------------------------------------- */

static char *record_file(const char *name)
{
        char *file = NULL;

        return asprintf(&file, "%s.json", name) < 0 ? NULL : file;
}

void docker_record_load(struct docker *d, const char *name, struct docker_record *ret)
{
        _cleanup_free_ char *file = record_file(name), *text = NULL;
        _cleanup_json_ json_t *json = NULL;
        size_t len;

        *ret = (struct docker_record){ .generation = 1 };
        /* Without a record (another root directory was restored, say) nothing is lost but these facts. */
        if (!file || zl_read_file_at(d->state_fd, file, RECORD_MAX, &text, &len) < 0 ||
            zl_json_parse(text, len, file, &json, NULL) < 0)
                return;
        ret->generation = (uint32_t)zl_json_int(json, "generation", 1);
        ret->stopped = (uint32_t)zl_json_int(json, "stopped", 0);
        ret->killed = zl_json_bool(json, "killed", false);
        ret->killed_at = zl_json_int(json, "killed_at", 0);
}

int docker_record_save(struct docker *d, const char *name, const struct docker_record *record,
                       struct zl_error *err)
{
        _cleanup_free_ char *file = record_file(name), *text = NULL;
        int r;

        if (!file ||
            asprintf(&text, "{\"generation\":%u,\"stopped\":%u,\"killed\":%s,\"killed_at\":%lld}\n",
                     record->generation, record->stopped, record->killed ? "true" : "false",
                     (long long)record->killed_at) < 0)
                return zl_fail_oom(err);
        r = zl_write_file_at(d->state_fd, file, text, strlen(text), 0600, 0);
        return r < 0 ? zl_fail_errno(err, -r, "cannot write %s/%s", d->state_dir, file) : 0;
}

void docker_record_remove(struct docker *d, const char *name)
{
        _cleanup_free_ char *file = record_file(name);

        if (file)
                unlinkat(d->state_fd, file, 0);
}

/* ---- names and labels -------------------------------------------------------------------------------- */

const char *docker_name(const char *container)
{
        const char *name;
        struct zl_ident ident;

        if (!container)
                return NULL;
        name = zl_startswith(container + (*container == '/'), DOCKER_PREFIX);
        return name && zl_ident_parse(name, &ident) == 0 ? name : NULL;
}

char *docker_filters(const struct docker *d, bool events)
{
        _cleanup_json_ json_t *filters = json_pack(
                "{s:[o]}", "label", json_sprintf("%s=%s", DOCKER_LABEL_ROOT, d->settings.root_dir));
        _cleanup_free_ char *text = NULL;

        if (events)
                zl_json_set(filters, "type", json_pack("[s]", "container"));
        text = filters ? zl_json_dump(filters, 0) : NULL;
        return text ? docker_escape(text) : NULL;
}

static const json_t *labels_of(const json_t *document)
{
        return json_object_get(json_object_get(document, "Config"), "Labels");
}

bool docker_is_ours(const struct docker *d, const json_t *document)
{
        return zl_streq(zl_json_str(labels_of(document), DOCKER_LABEL_ROOT, ""),
                        d->settings.root_dir);
}

static int not_found(const char *name, struct zl_error *err)
{
        return zl_fail(err, ZL_E_NOT_FOUND, 0, "there is no workload %s", name);
}

int docker_get(struct docker *d, const char *name, json_t **ret, struct zl_error *err)
{
        _cleanup_error_ struct zl_error own = ZL_ERROR_INIT;
        json_t *document = NULL;
        int r = docker_ask(d, "GET", docker_path(d, "/containers/" DOCKER_PREFIX "%s/json", name),
                           &document, &own);

        if (r < 0 && own.code == ZL_E_NOT_FOUND)
                return not_found(name, err);
        if (r < 0) {
                zl_error_move(err, &own);
                return r;
        }
        if (!docker_is_ours(d, document)) {
                json_decref(document);
                return not_found(name, err);
        }
        *ret = document;
        return 0;
}

/* ---- states ------------------------------------------------------------------------------------------ */

static const struct {
        const char *text;
        enum zl_workload_state state;
} states[] = {
        { "created", ZL_STATE_PENDING },   { "running", ZL_STATE_RUNNING },
        { "paused", ZL_STATE_PAUSED },     { "restarting", ZL_STATE_INITIALIZING },
        { "removing", ZL_STATE_STOPPING }, { "exited", ZL_STATE_EXITED },
        { "dead", ZL_STATE_FAILED },
};

/* The year 1 stands for never. */
static int64_t time_of(const json_t *object, const char *key)
{
        const char *text = zl_json_str(object, key, "");
        int64_t t;

        return *text && !zl_startswith(text, "0001") && zl_parse_rfc3339(text, &t) == 0 ? t : 0;
}

static char *reason_of(const struct zl_status *s, const char *error)
{
        const char *signal = zl_signal_name(s->signal);
        char *text = NULL;
        int r = 0;

        if (*error)
                return strdup(error);
        if (s->oom)
                return strdup("the out-of-memory killer struck");
        if (!s->started_at)
                return strdup("stopped before it was started");
        if (signal)
                r = asprintf(&text, "ended by %s", signal);
        else if (s->signal)
                r = asprintf(&text, "ended by signal %d", s->signal);
        return r < 0 ? NULL : text;
}

static void fill_end(struct zl_status *s, const json_t *state, const struct docker_record *record)
{
        int code = (int)zl_json_int(state, "ExitCode", 0);

        s->pid = 0;
        s->finished_at = time_of(state, "FinishedAt");
        /* The engine notes the start after the fact: a command may have ended before. */
        if (s->finished_at > 0 && s->finished_at < s->started_at)
                s->started_at = s->finished_at;
        s->stop_requested = record->stopped == record->generation;
        s->oom = zl_json_bool(state, "OOMKilled", false);
        if (record->killed && s->state == ZL_STATE_PENDING) {
                s->state = ZL_STATE_EXITED;
                s->finished_at = record->killed_at;
                s->started_at = 0;
                code = 128 + 9;
        } else if (s->state == ZL_STATE_PENDING) {
                /* It could not be started; what the engine gives for all other causes is 128. */
                s->state = code == 126 || code == 127 ? ZL_STATE_EXITED : ZL_STATE_FAILED;
        }
        s->exit_code = s->state == ZL_STATE_FAILED && code == 128 ? -1 : code & 255;
        /* The engine does not tell a signal from an exit with that code. */
        if (s->state == ZL_STATE_EXITED && code > 128 && code <= 128 + 64)
                s->signal = code - 128;
        s->reason = reason_of(s, zl_json_str(state, "Error", ""));
}

static int fill_address(const json_t *document, struct zl_status *s)
{
        json_t *networks = json_object_get(json_object_get(document, "NetworkSettings"),
                                           "Networks");
        const char *key;
        json_t *network;

        json_object_foreach(networks, key, network)
        {
                const char *ip = zl_json_str(network, "IPAddress", "");

                if (*ip)
                        return zl_replace_str(&s->ip, ip);
        }
        return 0;
}

int docker_status_fill(struct docker *d, const char *name, const json_t *document,
                       struct zl_status *ret, struct zl_error *err)
{
        const json_t *state = json_object_get(document, "State");
        const char *text = zl_json_str(state, "Status", "");
        const char *image = zl_json_str(
                labels_of(document), DOCKER_LABEL_IMAGE,
                zl_json_str(json_object_get(document, "Config"), "Image", ""));
        struct zl_status s = { .runtime = ZL_RUNTIME_DOCKER, .exit_code = -1 };
        struct docker_record record;

        docker_record_load(d, name, &record);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(states); i++)
                if (zl_streq(states[i].text, text))
                        s.state = states[i].state;
        s.generation = record.generation;
        s.pid = (pid_t)zl_json_int(state, "Pid", 0);
        s.created_at = time_of(document, "Created");
        s.started_at = time_of(state, "StartedAt");
        if (s.state == ZL_STATE_RUNNING && record.stopped == record.generation)
                s.state = ZL_STATE_STOPPING;
        if (zl_status_is_over(&s) || (s.state == ZL_STATE_PENDING &&
                                      (record.killed || zl_json_int(state, "ExitCode", 0) != 0)))
                fill_end(&s, state, &record);
        if (zl_replace_str(&s.name, name) < 0 || zl_replace_str(&s.image, image) < 0 ||
            fill_address(document, &s) < 0) {
                zl_status_done(&s);
                return zl_fail_oom(err);
        }
        *ret = s;
        return 0;
}

int docker_status(struct docker *d, const char *name, struct zl_status *ret, struct zl_error *err)
{
        _cleanup_json_ json_t *document = NULL;
        int r = docker_get(d, name, &document, err);

        return r < 0 ? r : docker_status_fill(d, name, document, ret, err);
}

int docker_state(struct zl_runtime *rt, const char *name, struct zl_status *ret,
                 struct zl_error *err)
{
        return docker_status(docker_from(rt), name, ret, err);
}

int docker_inspect(struct zl_runtime *rt, const char *name, char **ret_json, struct zl_error *err)
{
        _cleanup_json_ json_t *document = NULL;
        int r = docker_get(docker_from(rt), name, &document, err);

        if (r < 0)
                return r;
        *ret_json = zl_json_dump(document, 2);
        return *ret_json ? 0 : zl_fail_oom(err);
}

/* ---- after a life of ours ---------------------------------------------------------------------------- */

/* Records whose container was removed behind our back. */
static void drop_records(struct docker *d, const struct zl_status *all, size_t n)
{
        int fd = openat(d->state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *de;

        while (dir && (de = readdir(dir))) {
                size_t len = strlen(de->d_name);
                _cleanup_free_ char *name = len > 5 ? strndup(de->d_name, len - 5) : NULL;
                bool known = false;

                for (size_t i = 0; name && !known && i < n; i++)
                        known = zl_streq(all[i].name, name);
                if (name && !known && zl_streq(de->d_name + len - 5, ".json"))
                        unlinkat(d->state_fd, de->d_name, 0);
        }
        if (dir)
                closedir(dir);
        else
                zl_close(fd);
}

/* The containers are where they were; what is left to do is what was to be removed, and old records. */
int docker_recover(struct zl_runtime *rt, struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        struct zl_status *all;
        size_t n;
        int r = docker_list(rt, NULL, &all, &n, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                _cleanup_json_ json_t *document = NULL;

                if (zl_status_is_over(&all[i]) &&
                    docker_get(d, all[i].name, &document, NULL) == 0 &&
                    zl_json_str(labels_of(document), DOCKER_LABEL_AUTO_REMOVE, NULL))
                        zl_runtime_remove(rt, all[i].name, false, NULL);
        }
        drop_records(d, all, n);
        zl_status_free_all(all, n);
        return 0;
}
