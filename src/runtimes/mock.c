/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mock runtime: the life of workloads that exist in memory only. It keeps the contract of the interface to the
 * letter (who may do what in which state, which error, which event), because the agent's simulation believes it:
 * a mock that is kinder than the real runtime hides bugs, one that is harsher invents them.
 *
 * One mutex guards everything; hooks of the test are called without it, so a hook may call back.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <zlayer/spec.h>

#include "base/clock.h"
#include "runtimes/mock_private.h"
#include "runtimes/status.h"

/* ---- helpers, all with the lock held ---------------------------------------------------------------- */

int mock_begin(struct mock *mock, enum zl_mock_op op, const char *name, struct zl_error *err)
{
        mock->counts[op]++;
        for (size_t i = 0; i < mock->n_failures; i++) {
                struct mock_failure *f = &mock->failures[i];

                if (f->op != op || f->times == 0 || (f->name && !zl_streq_ptr(f->name, name)))
                        continue;
                f->times--;
                return zl_fail(err, f->code, 0, "the test wants this call on %s to fail",
                               name ? name : "the runtime");
        }
        return 0;
}

int mock_find(struct mock *mock, const char *name, struct mock_workload **ret, struct zl_error *err)
{
        struct mock_workload *w = zl_map_get(mock->workloads, name);

        if (!w)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "there is no workload %s", name);
        *ret = w;
        return 0;
}

int64_t mock_now(struct mock *mock)
{
        return mock->hooks.now ? mock->hooks.now(mock->hooks.data) : zl_now_realtime();
}

void mock_unref(struct mock_workload *w)
{
        if (--w->refs > 0)
                return;
        for (size_t i = 0; i < w->n_lines; i++)
                free(w->lines[i].text);
        free(w->lines);
        zl_status_done(&w->status);
        free(w);
}

static void drop_from_table(void *p)
{
        struct mock_workload *w = p;

        w->removed = true;
        mock_unref(w);
}

static void wake(const struct mock_handle *h)
{
        uint64_t one = 1;

        if (write(h->fd, &one, sizeof(one)) < 0)
                return; /* the counter is at its maximum: readable already */
}

void mock_announce(struct mock *mock, struct mock_workload *w)
{
        for (struct mock_handle *h = w->handles; h; h = h->next) {
                if (h->is_watch) {
                        struct zl_status *q = reallocarray(h->queue, h->n_queue + 1, sizeof(*q));

                        if (q) {
                                h->queue = q;
                                if (zl_status_copy(&w->status, &q[h->n_queue]) == 0)
                                        h->n_queue++;
                        }
                }
                wake(h);
        }
        pthread_cond_broadcast(&mock->changed);
}

int mock_add_line(struct mock *mock, struct mock_workload *w, int stream, const char *text)
{
        struct mock_line *lines = reallocarray(w->lines, w->n_lines + 1, sizeof(*lines));
        char *copy = strdup(text);

        if (lines)
                w->lines = lines;
        if (!lines || !copy) {
                free(copy);
                return -ENOMEM;
        }
        lines[w->n_lines++] = (struct mock_line){ .time = mock_now(mock),
                                                  .stream = stream,
                                                  .text = copy };
        for (struct mock_handle *h = w->handles; h; h = h->next)
                if (!h->is_watch)
                        wake(h);
        return 0;
}

static bool is_alive(const struct mock_workload *w)
{
        return w->status.state == ZL_STATE_RUNNING || w->status.state == ZL_STATE_PAUSED ||
               w->status.state == ZL_STATE_STOPPING;
}

static int wrong_state(const struct mock_workload *w, const char *operation, struct zl_error *err)
{
        return zl_fail(err, ZL_E_STATE, 0, "cannot %s %s: it is %s", operation, w->status.name,
                       zl_workload_state_name(w->status.state));
}

/* Records the end of a living workload and tells it. */
static void finish(struct mock *mock, struct mock_workload *w, int code, int sig, bool oom)
{
        char reason[64];

        if (!is_alive(w))
                return;
        w->ready = false;
        w->status.state = ZL_STATE_EXITED;
        w->status.exit_code = sig > 0 ? 128 + sig : code;
        w->status.signal = sig;
        w->status.oom = oom;
        w->status.pid = 0;
        w->status.finished_at = mock_now(mock);
        if (sig > 0)
                snprintf(reason, sizeof(reason), "ended by signal %d", sig);
        else
                snprintf(reason, sizeof(reason), "exited with %d", code);
        if (zl_replace_str(&w->status.reason, reason) < 0)
                w->status.reason = NULL;
        mock_announce(mock, w);
        if (w->auto_remove)
                zl_map_remove(mock->workloads, w->status.name);
}

/* ---- life -------------------------------------------------------------------------------------------- */

static int mock_pull(struct zl_runtime *rt, const char *image,
                     const struct zl_pull_options *options, char **ret_digest, struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        int r = mock_begin(mock, ZL_MOCK_PULL, image, err);

        if (r < 0)
                return r;
        if (ret_digest) {
                char *digest = NULL;

                if (asprintf(&digest, "sha256:%064x", 0) < 0)
                        return zl_fail_oom(err);
                *ret_digest = digest;
        }
        return 0;
}

static int mock_create(struct zl_runtime *rt, const struct zl_create_options *options,
                       struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;
        int r = mock_begin(mock, ZL_MOCK_CREATE, options->name, err);

        if (r < 0)
                return r;
        if (zl_map_has(mock->workloads, options->name))
                return zl_fail(err, ZL_E_EXISTS, 0, "workload %s exists already", options->name);
        w = calloc(1, sizeof(*w));
        if (!w)
                return zl_fail_oom(err);
        w->refs = 1;
        w->auto_remove = options->auto_remove;
        w->attach_stdin = options->attach_stdin;
        w->status = (struct zl_status){ .state = ZL_STATE_PENDING,
                                        .runtime = ZL_RUNTIME_MOCK,
                                        .exit_code = -1,
                                        .created_at = mock_now(mock) };
        w->stats = (struct zl_stats){ .memory_limit = UINT64_MAX, .pids_limit = UINT64_MAX };
        if (zl_replace_str(&w->status.name, options->name) < 0 ||
            zl_replace_str(&w->status.image, options->spec->image.name) < 0 ||
            zl_map_put(mock->workloads, options->name, w) < 0) {
                mock_unref(w);
                return zl_fail_oom(err);
        }
        return 0;
}

static int mock_start(struct zl_runtime *rt, const char *name, struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        uint32_t generation;
        int code;

        {
                MOCK_LOCKED(mock);
                struct mock_workload *w = NULL;
                int r = mock_begin(mock, ZL_MOCK_START, name, err);

                if (r == 0)
                        r = mock_find(mock, name, &w, err);
                if (r < 0)
                        return r;
                if (w->status.state != ZL_STATE_PENDING && w->status.state != ZL_STATE_EXITED)
                        return wrong_state(w, "start", err);
                free(w->status.reason);
                w->status.reason = NULL;
                w->status.state = ZL_STATE_RUNNING;
                w->status.exit_code = -1;
                w->status.signal = 0;
                w->status.oom = w->status.stop_requested = false;
                w->status.finished_at = 0;
                w->status.started_at = mock_now(mock);
                w->status.pid = 1000 + (pid_t)(mock->counts[ZL_MOCK_START] % 1000000);
                generation = ++w->status.generation;
                mock_announce(mock, w);
                if (!mock->hooks.on_start)
                        return 0;
        }
        code = mock->hooks.on_start(name, generation, mock->hooks.data);
        return code >= 0 ? zl_mock_exit(rt, name, code, 0, false, err) : 0;
}

/* Waits (lock held) until the workload has ended or the deadline of the real clock has passed. */
static bool wait_for_end(struct mock *mock, struct mock_workload *w, int64_t nsec)
{
        int64_t until = zl_now_realtime() + nsec;
        struct timespec ts = { until / ZL_NSEC_PER_SEC, until % ZL_NSEC_PER_SEC };

        while (is_alive(w))
                if (pthread_cond_timedwait(&mock->changed, &mock->lock, &ts) == ETIMEDOUT)
                        return !is_alive(w);
        return true;
}

static int mock_stop(struct zl_runtime *rt, const char *name, int64_t grace_nsec,
                     struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        struct mock_workload *w = NULL;
        bool obeys = true;
        int code = 0;
        {
                MOCK_LOCKED(mock);
                int r = mock_begin(mock, ZL_MOCK_STOP, name, err);

                if (r == 0)
                        r = mock_find(mock, name, &w, err);
                if (r < 0)
                        return r;
                if (w->status.state != ZL_STATE_PENDING && !is_alive(w))
                        return 0;
                w->status.stop_requested = true;
                if (w->status.state == ZL_STATE_PENDING) {
                        /* Nothing runs yet that could be asked. */
                        w->status.state = ZL_STATE_STOPPING;
                        finish(mock, w, 0, 9, false);
                        return 0;
                }
                w->refs++;
                w->status.state = ZL_STATE_STOPPING;
                mock_announce(mock, w);
        }
        if (mock->hooks.on_stop)
                obeys = mock->hooks.on_stop(name, &code, mock->hooks.data);
        {
                MOCK_LOCKED(mock);

                /* A virtual clock cannot be waited for: with one, the grace period is over at once. */
                if (obeys)
                        finish(mock, w, code, 0, false);
                else if (mock->hooks.now ||
                         !wait_for_end(mock, w, grace_nsec < 0 ? 10 * ZL_NSEC_PER_SEC : grace_nsec))
                        finish(mock, w, 0, 9, false);
                mock_unref(w);
        }
        return 0;
}

static int mock_kill(struct zl_runtime *rt, const char *name, int sig, bool all,
                     struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;
        int r = mock_begin(mock, ZL_MOCK_KILL, name, err);

        if (r == 0)
                r = mock_find(mock, name, &w, err);
        if (r < 0)
                return r;
        if (!is_alive(w))
                return wrong_state(w, "send a signal to", err);
        if (sig == 9)
                w->status.stop_requested = true;
        if (sig == 9 || sig == 15)
                finish(mock, w, 0, sig, false);
        return 0;
}

static int mock_pause(struct zl_runtime *rt, const char *name, bool pause, struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;
        int r = mock_begin(mock, ZL_MOCK_PAUSE, name, err);

        if (r == 0)
                r = mock_find(mock, name, &w, err);
        if (r < 0)
                return r;
        if (w->status.state != (pause ? ZL_STATE_RUNNING : ZL_STATE_PAUSED))
                return wrong_state(w, pause ? "pause" : "resume", err);
        w->status.state = pause ? ZL_STATE_PAUSED : ZL_STATE_RUNNING;
        mock_announce(mock, w);
        return 0;
}

static int mock_set_ready(struct zl_runtime *rt, const char *name, bool ready, struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;
        int r = mock_begin(mock, ZL_MOCK_SET_READY, name, err);

        if (r == 0)
                r = mock_find(mock, name, &w, err);
        if (r < 0)
                return r;
        if (ready && w->status.state != ZL_STATE_RUNNING)
                return wrong_state(w, "lead traffic to", err);
        w->ready = ready;
        return 0;
}

bool zl_mock_is_ready(struct zl_runtime *rt, const char *name)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;

        return mock_find(mock, name, &w, NULL) == 0 && w->ready;
}

static int mock_remove(struct zl_runtime *rt, const char *name, bool force, struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;
        int r = mock_begin(mock, ZL_MOCK_REMOVE, name, err);

        if (r == 0)
                r = mock_find(mock, name, &w, err);
        if (r < 0)
                return r;
        if (is_alive(w)) {
                if (!force)
                        return wrong_state(w, "remove", err);
                w->auto_remove = false;
                w->status.stop_requested = true;
                finish(mock, w, 0, 9, false);
        }
        zl_map_remove(mock->workloads, name);
        return 0;
}

static int mock_state(struct zl_runtime *rt, const char *name, struct zl_status *ret,
                      struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;
        int r = mock_begin(mock, ZL_MOCK_STATE, name, err);

        if (r == 0)
                r = mock_find(mock, name, &w, err);
        if (r < 0)
                return r;
        return zl_status_copy(&w->status, ret) < 0 ? zl_fail_oom(err) : 0;
}

static int mock_list(struct zl_runtime *rt, const struct zl_list_filter *filter,
                     struct zl_status **ret, size_t *ret_n, struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        size_t pos = 0, n = 0;
        struct zl_status *all;
        void *w;
        int r = mock_begin(mock, ZL_MOCK_LIST, NULL, err);

        if (r < 0)
                return r;
        all = calloc(zl_map_size(mock->workloads) + 1, sizeof(*all));
        while (all && zl_map_next(mock->workloads, &pos, NULL, &w)) {
                const struct zl_status *status = &((struct mock_workload *)w)->status;

                if (!zl_list_filter_wants(filter, status->name))
                        continue;
                if (zl_status_copy(status, &all[n]) < 0) {
                        zl_status_free_all(all, n);
                        all = NULL;
                        break;
                }
                n++;
        }
        if (!all)
                return zl_fail_oom(err);
        qsort(all, n, sizeof(*all), zl_status_compare);
        *ret = all;
        *ret_n = n;
        return 0;
}

static int mock_inspect(struct zl_runtime *rt, const char *name, char **ret_json,
                        struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;
        int r = mock_find(mock, name, &w, err);

        if (r < 0)
                return r;
        /* Names and states cannot hold a character that JSON wants escaped. */
        r = asprintf(ret_json, "{\"name\":\"%s\",\"runtime\":\"mock\",\"state\":\"%s\"}",
                     w->status.name, zl_workload_state_name(w->status.state));
        return r < 0 ? zl_fail_oom(err) : 0;
}

static int mock_stats(struct zl_runtime *rt, const char *name, struct zl_stats *ret,
                      struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;
        int r = mock_begin(mock, ZL_MOCK_STATS, name, err);

        if (r == 0)
                r = mock_find(mock, name, &w, err);
        if (r < 0)
                return r;
        *ret = w->stats;
        ret->time = mock_now(mock);
        return 0;
}

static int mock_recover(struct zl_runtime *rt, struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);

        return mock_begin(mock, ZL_MOCK_RECOVER, NULL, err);
}

static int mock_image_health(struct zl_runtime *rt, const char *image, struct zl_image_health *ret,
                             struct zl_error *err)
{
        struct zl_mock_hooks *hooks = &mock_from(rt)->hooks;

        if (hooks->on_image_health && hooks->on_image_health(image, ret, hooks->data) < 0)
                return zl_fail(err, ZL_E_IO, 0, "the test wants the health check of %s to fail",
                               image);
        return 0;
}

static void mock_free(struct zl_runtime *rt)
{
        struct mock *mock = mock_from(rt);

        zl_map_free(mock->workloads);
        for (size_t i = 0; i < mock->n_failures; i++)
                free(mock->failures[i].name);
        free(mock->failures);
        pthread_cond_destroy(&mock->changed);
        pthread_mutex_destroy(&mock->lock);
        free(mock);
}

/* ---- the control panel --------------------------------------------------------------------------------- */

int zl_mock_exit(struct zl_runtime *rt, const char *name, int exit_code, int signal, bool oom,
                 struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;
        int r = mock_find(mock, name, &w, err);

        if (r < 0)
                return r;
        if (!is_alive(w))
                return wrong_state(w, "end", err);
        finish(mock, w, exit_code, signal, oom);
        return 0;
}

int zl_mock_lose(struct zl_runtime *rt, const char *name, const char *reason, struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;
        int r = mock_find(mock, name, &w, err);

        if (r < 0)
                return r;
        if (zl_replace_str(&w->status.reason, reason) < 0)
                return zl_fail_oom(err);
        w->ready = false;
        w->status.state = ZL_STATE_FAILED;
        w->status.pid = 0;
        w->status.finished_at = mock_now(mock);
        mock_announce(mock, w);
        return 0;
}

int zl_mock_fail_next(struct zl_runtime *rt, enum zl_mock_op op, const char *name,
                      enum zl_code code, unsigned times)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_failure *f = reallocarray(mock->failures, mock->n_failures + 1, sizeof(*f));

        if (!f)
                return -ENOMEM;
        mock->failures = f;
        f[mock->n_failures] = (struct mock_failure){ .op = op, .code = code, .times = times };
        if (zl_replace_str(&f[mock->n_failures].name, name) < 0)
                return -ENOMEM;
        mock->n_failures++;
        return 0;
}

uint64_t zl_mock_count(struct zl_runtime *rt, enum zl_mock_op op)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);

        return mock->counts[op];
}

void zl_mock_set_hooks(struct zl_runtime *rt, const struct zl_mock_hooks *hooks)
{
        mock_from(rt)->hooks = *hooks;
}

int zl_mock_say(struct zl_runtime *rt, const char *name, int stream, const char *line,
                struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;
        int r = mock_find(mock, name, &w, err);

        if (r < 0)
                return r;
        return mock_add_line(mock, w, stream, line) < 0 ? zl_fail_oom(err) : 0;
}

int zl_mock_set_stats(struct zl_runtime *rt, const char *name, const struct zl_stats *stats,
                      struct zl_error *err)
{
        struct mock *mock = mock_from(rt);
        MOCK_LOCKED(mock);
        struct mock_workload *w = NULL;
        int r = mock_find(mock, name, &w, err);

        if (r == 0)
                w->stats = *stats;
        return r;
}

/* ---- the table ------------------------------------------------------------------------------------------ */

const struct zl_runtime_ops zl_mock_ops = {
        .kind = ZL_RUNTIME_MOCK,
        .free = mock_free,
        .pull = mock_pull,
        .create = mock_create,
        .start = mock_start,
        .stop = mock_stop,
        .kill = mock_kill,
        .pause = mock_pause,
        .set_ready = mock_set_ready,
        .remove = mock_remove,
        .state = mock_state,
        .list = mock_list,
        .inspect = mock_inspect,
        .recover = mock_recover,
        .stats = mock_stats,
        .watch_open = zl_mock_watch_open,
        .watch_fd = zl_mock_watch_fd,
        .watch_next = zl_mock_watch_next,
        .watch_close = zl_mock_watch_close,
        .logs_open = zl_mock_logs_open,
        .logs_fd = zl_mock_logs_fd,
        .logs_next = zl_mock_logs_next,
        .logs_close = zl_mock_logs_close,
        .exec_open = zl_mock_exec_open,
        .exec_fd = zl_mock_exec_fd,
        .exec_tty_fd = zl_mock_exec_tty_fd,
        .exec_resize = zl_mock_exec_resize,
        .exec_kill = zl_mock_exec_kill,
        .exec_result = zl_mock_exec_result,
        .exec_close = zl_mock_exec_close,
        .image_health = mock_image_health,
        .attach_open = zl_mock_attach_open,
        .attach_fd = zl_mock_attach_fd,
        .attach_next = zl_mock_attach_next,
        .attach_write = zl_mock_attach_write,
        .attach_resize = zl_mock_attach_resize,
        .attach_close = zl_mock_attach_close,
};

int zl_mock_new(const struct zl_runtime_options *options, struct zl_runtime **ret,
                struct zl_error *err)
{
        struct mock *mock = calloc(1, sizeof(*mock));

        if (!mock || !(mock->workloads = zl_map_new(drop_from_table))) {
                free(mock);
                return zl_fail_oom(err);
        }
        mock->rt.ops = &zl_mock_ops;
        pthread_mutex_init(&mock->lock, NULL);
        pthread_cond_init(&mock->changed, NULL);
        *ret = &mock->rt;
        return 0;
}
