/* SPDX-License-Identifier: Apache-2.0 */
/* See world.h: the clock, the host that the core sees, the store, and the invariants that are checked at once. */
#include "sim/world.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define RESTART_WINDOW (300 * ZL_NSEC_PER_SEC)
enum { RESTART_LIMIT = 5 };

/* ---- chance ------------------------------------------------------------------------------------------------- */

/* splitmix64 */
uint64_t world_random(struct world *w)
{
        uint64_t z = (w->state += 0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
}

bool world_chance(struct world *w, unsigned n)
{
        return world_random(w) % n == 0 && !w->calm;
}

int64_t world_delay(struct world *w, int64_t max)
{
        int64_t span = (int64_t)(world_random(w) % (uint64_t)max);

        return world_random(w) % 4 ? span / 100 : span;
}

/* ---- telling --------------------------------------------------------------------------------------------------- */

void world_note(struct world *w, const char *fmt, ...)
{
        char *text = NULL, *line = NULL;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&text, fmt, ap) < 0)
                abort();
        va_end(ap);
        if (asprintf(&line, "%12.6f  %s", (double)w->now / 1e9, text) < 0)
                abort();
        free(text);
        if (w->verbose)
                puts(line);
        free(w->trace[w->n_trace % WORLD_TRACE]);
        w->trace[w->n_trace++ % WORLD_TRACE] = line;
}

void world_fail(struct world *w, const char *fmt, ...)
{
        size_t first = w->n_trace > WORLD_TRACE ? w->n_trace - WORLD_TRACE : 0;
        va_list ap;

        for (size_t i = first; i < w->n_trace && !w->verbose; i++)
                printf("%s\n", w->trace[i % WORLD_TRACE]);
        printf("seed %llu, input %llu: ", (unsigned long long)w->seed,
               (unsigned long long)w->n_inputs);
        va_start(ap, fmt);
        vprintf(fmt, ap);
        va_end(ap);
        printf("\n");
        fflush(stdout);
        exit(1);
}

static void on_log(enum zl_log_level level, const char *message, void *data)
{
        if (level == ZL_LOG_ERROR)
                world_fail(data, "logged: %s", message);
}

/* ---- the queue ------------------------------------------------------------------------------------------------- */

static bool is_before(const struct happening *a, const struct happening *b)
{
        return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void swap(struct happening *a, struct happening *b)
{
        struct happening c = *a;

        *a = *b;
        *b = c;
}

void world_push(struct world *w, int64_t at, int kind, void *what)
{
        size_t i = w->n_queue;

        if (w->n_queue == w->room) {
                w->room = w->room ? w->room * 2 : 64;
                w->queue = reallocarray(w->queue, w->room, sizeof(*w->queue));
                if (!w->queue)
                        abort();
        }
        w->queue[w->n_queue++] = (struct happening){ at, w->n_orders++, kind, what, w->life };
        for (; i > 0 && is_before(&w->queue[i], &w->queue[(i - 1) / 2]); i = (i - 1) / 2)
                swap(&w->queue[i], &w->queue[(i - 1) / 2]);
}

static struct happening pop(struct world *w)
{
        struct happening top = w->queue[0];
        size_t i = 0;

        w->queue[0] = w->queue[--w->n_queue];
        while (2 * i + 1 < w->n_queue) {
                size_t c = 2 * i + 1;

                if (c + 1 < w->n_queue && is_before(&w->queue[c + 1], &w->queue[c]))
                        c++;
                if (!is_before(&w->queue[c], &w->queue[i]))
                        break;
                swap(&w->queue[c], &w->queue[i]);
                i = c;
        }
        return top;
}

/* ---- the host ----------------------------------------------------------------------------------------------------- */

static int64_t host_now(void *data)
{
        return ((struct world *)data)->now;
}

static uint64_t host_random(void *data)
{
        return world_random(data);
}

static const char *host_getenv(void *data, const char *name)
{
        (void)data;
        (void)name;
        return NULL;
}

static const char *const op_names[] = {
        [ZL_OP_LIST] = "list",   [ZL_OP_PULL] = "pull",     [ZL_OP_CREATE] = "create",
        [ZL_OP_START] = "start", [ZL_OP_WATCH] = "watch",   [ZL_OP_STOP] = "stop",
        [ZL_OP_KILL] = "kill",   [ZL_OP_REMOVE] = "remove", [ZL_OP_HEALTH] = "health",
        [ZL_OP_READY] = "ready",
};

static bool is_exclusive(const struct zl_op *op)
{
        return op->name[0] && op->kind != ZL_OP_KILL;
}

static void put(struct zl_map *map, const char *key, void *value)
{
        if (zl_map_put(map, key, value) < 0)
                abort();
}

static int64_t *instant(int64_t at)
{
        int64_t *p = malloc(sizeof(*p));

        if (!p)
                abort();
        *p = at;
        return p;
}

/* Never two operations on one replica at a time, never a start before its time. */
static void check_submit(struct world *w, const struct zl_op *op)
{
        const int64_t *not_before = zl_map_get(w->not_before, op->name);

        if (!is_exclusive(op))
                return;
        if (zl_map_has(w->busy, op->name))
                world_fail(w, "%s of %s while %s is under way", op_names[op->kind], op->name,
                           (const char *)zl_map_get(w->busy, op->name));
        put(w->busy, op->name, strdup(op_names[op->kind]));
        jobs_check_submit(w, op);
        if (op->kind == ZL_OP_CREATE)
                tags_check_submit(w, op);
        if (op->kind == ZL_OP_STOP && zl_mock_is_ready(w->rt, op->name) &&
            !zl_map_has(w->unsteered, op->name))
                world_fail(w, "%s is stopped while traffic is led to it", op->name);
        if (op->kind == ZL_OP_START && not_before && w->now < *not_before)
                world_fail(w, "%s is started %.3f s before its time", op->name,
                           (double)(*not_before - w->now) / 1e9);
        if (op->kind == ZL_OP_START || op->kind == ZL_OP_CREATE)
                zl_map_remove(w->not_before, op->name);
}

static void host_submit(void *data, struct zl_op *op)
{
        struct world *w = data;

        if (w->dead) {
                uint64_t life = w->life;

                /* What it wishes in its death throes never reaches the runtime. */
                w->life = 0;
                world_push(w, w->now, DO_OP, op);
                w->life = life;
                return;
        }
        check_submit(w, op);
        world_note(w, "submit %s %s", op_names[op->kind], op->name);
        world_push(w, w->now + world_delay(w, 200 * ZL_NSEC_PER_MSEC), DO_OP, op);
}

static void host_probe(void *data, struct zl_probe *probe)
{
        struct world *w = data;

        world_push(w, w->now + world_delay(w, probe->timeout), TELL_PROBE, probe);
}

static void host_probe_cancel(void *data, struct zl_probe *probe)
{
        (void)data;
        probe->cancelled = true;
}

static int host_watch_add(void *data, struct zl_watch *watch, void *cookie, void **ret_token)
{
        struct world *w = data;
        struct world_watch *added = calloc(1, sizeof(*added));

        (void)watch;
        w->watches = reallocarray(w->watches, w->n_watches + 1, sizeof(*w->watches));
        if (!added || !w->watches)
                abort();
        *added = (struct world_watch){ .cookie = cookie, .used = true };
        w->watches[w->n_watches++] = added;
        *ret_token = added;
        return 0;
}

static void host_watch_remove(void *data, void *token)
{
        struct world *w = data;
        struct world_watch *removed = token;

        removed->used = false;
        for (size_t i = 0; i < w->n_watches; i++)
                if (w->watches[i] == removed)
                        w->watches[i] = w->watches[--w->n_watches];
        if (!removed->scheduled)
                free(removed);
}

static void host_arm(void *data, int64_t deadline)
{
        ((struct world *)data)->deadline = deadline;
}

/* ---- the store ------------------------------------------------------------------------------------------------------ */

const char *world_deployment(size_t i)
{
        static const char *const names[WORLD_DEPLOYMENTS] = { "one", "two" };

        return names[i];
}

static void forget_hashes(struct world *w, const char *deployment)
{
        size_t pos = 0, len = strlen(deployment);
        const char *name;

        while (zl_map_next(w->hashes, &pos, &name, NULL))
                if (strncmp(name, deployment, len) == 0 && name[len] == '.')
                        zl_map_remove(w->hashes, name);
}

/* What begins a new count: it was well, or somebody wants something else now. */
void world_forgive(struct world *w, const char *name)
{
        zl_map_remove(w->restarts, name);
        zl_map_remove(w->not_before, name);
}

static int host_save_deployment(void *data, const char *name, const char *spec, enum zl_care care,
                                struct zl_error *err)
{
        struct world *w = data;

        if (w->dead)
                return 0;
        if (world_chance(w, 50))
                return zl_fail(err, ZL_E_NO_SPACE, 0, "the disk is full");
        for (size_t i = 0; i < WORLD_DEPLOYMENTS; i++)
                if (strcmp(name, world_deployment(i)) == 0) {
                        char *copy = spec ? strdup(spec) : NULL;

                        free(w->specs[i]);
                        w->specs[i] = copy;
                        w->care[i] = care;
                        if (!spec) {
                                forget_hashes(w, name);
                                tags_forget(w, name);
                        }
                }
        /* durable, and with it what was written before */
        jobs_synced(w);
        zl_map_free(w->unsynced);
        w->unsynced = zl_map_new(free);
        return 0;
}

static void remember(struct world *w, const char *name)
{
        const char *before = zl_map_get(w->hashes, name);

        if (!zl_map_has(w->unsynced, name))
                put(w->unsynced, name, strdup(before ?: ""));
}

static void host_save_replica(void *data, const struct zl_replica_record *record)
{
        struct world *w = data;

        if (w->dead || !record->hash || world_chance(w, 50))
                return;
        if (!zl_streq_ptr(zl_map_get(w->hashes, record->name), record->hash))
                world_forgive(w, record->name);
        remember(w, record->name);
        put(w->hashes, record->name, strdup(record->hash));
}

static void host_forget_replica(void *data, const char *name)
{
        struct world *w = data;

        if (w->dead)
                return;
        remember(w, name);
        zl_map_remove(w->hashes, name);
}

static char *host_load_hash(void *data, const char *name, uint32_t *ret_restarts, bool *ret_failed)
{
        const char *hash = zl_map_get(((struct world *)data)->hashes, name);

        *ret_restarts = 0;
        *ret_failed =
                false; /* it tells of nothing but a shutdown, which no spec of people.c wants */
        return hash ? strdup(hash) : NULL;
}

/* Power is gone: of what was not synced a part is lost. */
static void lose_tail(struct world *w)
{
        const char *name;
        size_t pos = 0;
        void *before;

        while (zl_map_next(w->unsynced, &pos, &name, &before)) {
                if (world_random(w) % 2)
                        continue;
                if (*(const char *)before)
                        put(w->hashes, name, strdup(before));
                else
                        zl_map_remove(w->hashes, name);
        }
        zl_map_free(w->unsynced);
        w->unsynced = zl_map_new(free);
        jobs_lose_tail(w);
}

/* ---- events ----------------------------------------------------------------------------------------------------------- */

static bool is_rolling(struct world *w, const char *name)
{
        const char *dot = strrchr(name, '.');
        char service[ZL_IDENT_NAME_MAX];

        snprintf(service, sizeof(service), "%.*s", (int)(dot - name), name);
        return zl_map_has(w->rolling, service);
}

/* At most five restarts within the window, then long pauses. */
static void check_restart(struct world *w, const struct zl_event *event)
{
        int64_t *list = zl_map_get(w->restarts, event->name); /* a count, then that many instants */
        size_t n = 0;

        if (is_rolling(w, event->name)) {
                world_forgive(w, event->name); /* it begins anew, now or soon */
                return;
        }
        put(w->not_before, event->name, instant(w->now + event->delay_nsec));
        if (!list) {
                list = calloc(RESTART_LIMIT + 2, sizeof(*list));
                if (!list)
                        abort();
                put(w->restarts, event->name, list);
        }
        if (event->type == ZL_EVENT_CRASH_LOOP) {
                if (event->delay_nsec < 24 * ZL_NSEC_PER_SEC)
                        world_fail(w, "%s is in a crash loop and waits only %.3f s", event->name,
                                   (double)event->delay_nsec / 1e9);
                return;
        }
        for (int64_t i = 0; i < list[0]; i++)
                if (w->now - list[1 + i] < RESTART_WINDOW)
                        list[1 + n++] = list[1 + i];
        if (n >= RESTART_LIMIT)
                world_fail(w, "%s is restarted for the %zuth time within 300 s", event->name,
                           n + 1);
        list[1 + n] = w->now;
        list[0] = (int64_t)n + 1;
}

/* One that ran for a minute is well again. It may have been told late, so a little less counts here. */
static bool was_well(struct world *w, const char *name)
{
        const int64_t *started = zl_map_get(w->started, name);

        return started && w->now - *started >= 55 * ZL_NSEC_PER_SEC;
}

static void forget_all(struct world *w)
{
        zl_map_free(w->restarts);
        zl_map_free(w->not_before);
        zl_map_free(w->rolling);
        w->rolling = zl_map_new(free);
        w->restarts = zl_map_new(free);
        w->not_before = zl_map_new(free);
}

static void host_event(void *data, const struct zl_event *event)
{
        struct world *w = data;

        if (w->dead)
                return;
        world_note(w, "event %s %s%s%s", zl_event_type_name(event->type), event->name,
                   event->message ? ": " : "", event->message ?: "");
        put(w->last, event->name, strdup(zl_event_type_name(event->type)));
        switch (event->type) {
        case ZL_EVENT_RESTARTING:
        case ZL_EVENT_CRASH_LOOP:
                check_restart(w, event);
                break;
        case ZL_EVENT_CREATED:
                zl_map_remove(w->not_before, event->name);
                break;
        case ZL_EVENT_REMOVED:
                world_forgive(w, event->name);
                break;
        case ZL_EVENT_DEPLOYMENT_UP:
        case ZL_EVENT_DEPLOYMENT_UPDATE:
                forget_all(w);
                break;
        case ZL_EVENT_ROLLED_BACK:
                forget_all(w);
                _fallthrough_;
        case ZL_EVENT_ROLLING:
                tags_rolling(w, event->name, true);
                put(w->rolling, event->name, instant(w->now));
                break;
        case ZL_EVENT_UPDATED:
                zl_map_remove(w->rolling, event->name);
                tags_rolling(w, event->name, false);
                break;
        case ZL_EVENT_STARTED:
                put(w->started, event->name, instant(w->now));
                break;
        case ZL_EVENT_EXITED:
                if (event->stop_requested || was_well(w, event->name))
                        world_forgive(w, event->name);
                break;
        default:
                break;
        }
}

static void new_agent(struct world *w)
{
        struct zl_host host = {
                .data = w,
                .monotonic = host_now,
                .wall = host_now,
                .random = host_random,
                .getenv = host_getenv,
                .submit = host_submit,
                .probe = host_probe,
                .probe_cancel = host_probe_cancel,
                .watch_add = host_watch_add,
                .watch_remove = host_watch_remove,
                .arm = host_arm,
                .save_deployment = host_save_deployment,
                .save_replica = host_save_replica,
                .forget_replica = host_forget_replica,
                .load_hash = host_load_hash,
                .event = host_event,
        };

        jobs_host(&host);
        tags_host(&host);
        w->life++;
        w->deadline = INT64_MAX;
        w->agent = zl_agent_new(&host);
        if (!w->agent)
                abort();
}

/* ---- happenings -------------------------------------------------------------------------------------------------------- */

void world_wake_watches(struct world *w)
{
        for (size_t i = 0; i < w->n_watches; i++)
                if (!w->watches[i]->scheduled) {
                        w->watches[i]->scheduled = true;
                        world_push(w, w->now + world_delay(w, ZL_NSEC_PER_SEC), TELL_WATCH,
                                   w->watches[i]);
                }
}

static const enum zl_mock_op mock_ops[] = {
        [ZL_OP_LIST] = ZL_MOCK_LIST,       [ZL_OP_PULL] = ZL_MOCK_PULL,
        [ZL_OP_CREATE] = ZL_MOCK_CREATE,   [ZL_OP_START] = ZL_MOCK_START,
        [ZL_OP_WATCH] = ZL_MOCK_WATCH,     [ZL_OP_STOP] = ZL_MOCK_STOP,
        [ZL_OP_KILL] = ZL_MOCK_KILL,       [ZL_OP_REMOVE] = ZL_MOCK_REMOVE,
        [ZL_OP_READY] = ZL_MOCK_SET_READY,
};

static void do_op(struct world *w, struct zl_op *op)
{
        static const enum zl_code codes[] = { ZL_E_IO, ZL_E_NO_SPACE, ZL_E_TIMEOUT, ZL_E_NETWORK };

        /* Not LIST: a runtime that cannot even be listed is an agent that cannot come up. */
        if (op->kind != ZL_OP_HEALTH && op->kind != ZL_OP_LIST && world_chance(w, 25))
                zl_mock_fail_next(w->rt, mock_ops[op->kind], op->name[0] ? op->name : NULL,
                                  codes[world_random(w) % ZL_ARRAY_SIZE(codes)], 1);
        if (op->kind == ZL_OP_START && world_chance(w, 25))
                zl_mock_fail_next(w->rt, ZL_MOCK_WATCH, op->name, ZL_E_IO, 1);
        zl_op_run(op, w->rt);
        if (op->kind == ZL_OP_PULL && op->result >= 0)
                tags_resolve(w, op);
        if (op->kind == ZL_OP_CREATE && op->result >= 0)
                tags_made(w, op);
        if (op->kind == ZL_OP_READY && op->result < 0)
                put(w->unsteered, op->name, instant(w->now));
        else if (op->kind == ZL_OP_READY)
                zl_map_remove(w->unsteered, op->name);
        if (op->kind == ZL_OP_START && op->result >= 0 && jobs_owns(op->name))
                jobs_started(w, op->name);
        if (op->name[0] && (op->kind == ZL_OP_START || op->kind == ZL_OP_CREATE))
                put(w->sick, op->name, instant(world_chance(w, 8)));
        world_wake_watches(w);
        world_push(w,
                   w->now + world_delay(w, world_chance(w, 30) ? 20 * ZL_NSEC_PER_SEC
                                                               : 100 * ZL_NSEC_PER_MSEC),
                   TELL_OP, op);
}

static void tell_op(struct world *w, struct zl_op *op)
{
        if (is_exclusive(op))
                zl_map_remove(w->busy, op->name);
        world_note(w, "done %s %s: %d", op_names[op->kind], op->name, op->result);
        w->n_inputs++;
        op->done(op);
}

static void tell_probe(struct world *w, struct zl_probe *probe)
{
        const int64_t *sick = zl_map_get(w->sick, probe->workload);

        if (!w->calm && ((sick && *sick) || world_chance(w, 30)))
                probe->result = zl_fail(&probe->error, ZL_E_NETWORK, 0, "it does not answer");
        w->n_inputs++;
        probe->done(probe);
}

static void tell_watch(struct world *w, struct world_watch *watch)
{
        watch->scheduled = false;
        if (!watch->used) {
                free(watch);
                return;
        }
        w->n_inputs++;
        zl_agent_on_watch(w->agent, watch->cookie);
}

static void happen(struct world *w, const struct happening *h)
{
        switch (h->kind) {
        case DO_OP:
                do_op(w, h->what);
                break;
        case TELL_OP:
                tell_op(w, h->what);
                break;
        case TELL_PROBE:
                tell_probe(w, h->what);
                break;
        case TELL_WATCH:
                tell_watch(w, h->what);
                break;
        case END_JOB:
                jobs_end(w, h->what);
                free(h->what);
                world_wake_watches(w);
                break;
        case ACT:
                w->n_acts++;
                people_act(w);
                world_wake_watches(w);
                break;
        }
}

bool world_step(struct world *w, int64_t until)
{
        int64_t next = w->n_queue > 0 ? w->queue[0].at : INT64_MAX;
        struct happening h;

        if (ZL_MIN(next, w->deadline) > until)
                return false;
        if (w->deadline < next) {
                w->now = ZL_MAX(w->now, w->deadline);
                w->deadline = INT64_MAX;
                w->n_inputs++;
                zl_agent_on_time(w->agent);
                return true;
        }
        h = pop(w);
        w->now = ZL_MAX(w->now, h.at);
        happen(w, &h);
        return true;
}

/* ---- death ----------------------------------------------------------------------------------------------------------------- */

/* Of operations that were under way some have reached the runtime, some not; no answer comes any more. */
static void drop_happening(struct world *w, const struct happening *h)
{
        if (h->kind == DO_OP) {
                struct zl_op *op = h->what;

                if (h->life == w->life && w->n_queue % 2)
                        zl_op_run(op, w->rt);
                if (op->result == 0)
                        op->result = zl_fail(&op->error, ZL_E_CANCELLED, 0, "the agent is dead");
                op->done(op);
        } else if (h->kind == TELL_OP) {
                ((struct zl_op *)h->what)->done(h->what);
        } else if (h->kind == TELL_PROBE) {
                ((struct zl_probe *)h->what)->done(h->what);
        } else if (h->kind == TELL_WATCH) {
                struct world_watch *watch = h->what;

                watch->scheduled = false;
                if (!watch->used)
                        free(watch);
        } else if (h->kind == END_JOB) {
                free(h->what); /* planned anew below */
        } else {
                w->n_acts++; /* people go on: planned anew below */
        }
}

/* What the machine takes with it when it goes down. */
static void lose_power(struct world *w)
{
        struct zl_status *list = NULL;
        size_t n = 0;

        lose_tail(w);
        if (zl_runtime_list(w->rt, &list, &n, NULL) < 0)
                return;
        for (size_t i = 0; i < n; i++) {
                if (list[i].state != ZL_STATE_EXITED && list[i].state != ZL_STATE_FAILED)
                        zl_mock_lose(w->rt, list[i].name, "the machine was restarted", NULL);
                zl_status_done(&list[i]);
        }
        free(list);
}

void world_crash(struct world *w, bool power)
{
        world_note(w, power ? "---- power is lost" : "---- the agent is killed");
        w->n_crashes++;
        w->dead = true;
        while (w->n_queue > 0) {
                struct happening h = pop(w);

                drop_happening(w, &h);
        }
        zl_agent_free(w->agent);
        if (w->n_watches > 0)
                world_fail(w, "%zu watches outlive their agent", w->n_watches);
        w->dead = false;
        zl_map_free(w->busy);
        w->busy = zl_map_new(free);
        forget_all(w);
        tags_crash(w);
        if (power)
                lose_power(w);
        w->now += world_delay(w, 10 * ZL_NSEC_PER_SEC);
        new_agent(w);
        people_bring_up(w);
        jobs_go_on(w);
        world_push(w, w->now, ACT, NULL);
}

/* ---- life -------------------------------------------------------------------------------------------------------------------- */

struct world *world_new(uint64_t seed, bool verbose, bool tags_move)
{
        struct world *w = calloc(1, sizeof(*w));
        struct zl_mock_hooks hooks = { .now = host_now, .data = w };

        if (!w || zl_runtime_new(ZL_RUNTIME_MOCK, NULL, &w->rt, NULL) < 0)
                abort();
        zl_mock_set_hooks(w->rt, &hooks);
        w->seed = w->state = seed;
        w->verbose = verbose;
        w->tags_move = tags_move;
        w->now = 1000 * ZL_NSEC_PER_SEC;
        w->trace = calloc(WORLD_TRACE, sizeof(*w->trace));
        w->hashes = zl_map_new(free);
        w->unsynced = zl_map_new(free);
        w->busy = zl_map_new(free);
        w->not_before = zl_map_new(free);
        w->restarts = zl_map_new(free);
        w->last = zl_map_new(free);
        w->rolling = zl_map_new(free);
        w->started = zl_map_new(free);
        w->sick = zl_map_new(free);
        w->unsteered = zl_map_new(free);
        w->jobs = jobs_new();
        w->tags = tags_new();
        zl_log_set(ZL_LOG_WARNING, on_log, w);
        new_agent(w);
        world_push(w, w->now, ACT, NULL);
        return w;
}

void world_free(struct world *w)
{
        w->dead = true;
        while (w->n_queue > 0) {
                struct happening h = pop(w);

                drop_happening(w, &h);
        }
        zl_agent_free(w->agent);
        zl_runtime_free(w->rt);
        for (size_t i = 0; i < WORLD_DEPLOYMENTS; i++)
                free(w->specs[i]);
        for (size_t i = 0; i < WORLD_TRACE; i++)
                free(w->trace[i]);
        zl_map_free(w->hashes);
        zl_map_free(w->unsynced);
        zl_map_free(w->busy);
        zl_map_free(w->not_before);
        zl_map_free(w->restarts);
        zl_map_free(w->last);
        zl_map_free(w->rolling);
        zl_map_free(w->started);
        zl_map_free(w->sick);
        zl_map_free(w->unsteered);
        jobs_free(w);
        tags_free(w);
        free(w->watches);
        free(w->queue);
        free(w->trace);
        free(w);
}
