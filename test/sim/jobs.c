/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs and schedules in the simulator: what the store has of them, how their workloads end, what people ask, and what must
 * hold: never more at once than the limit, none begun again once it is over, none of those that were promised lost, and the
 * history says how they really ended.
 *
 * Services of jobs are called j0 and j1, those of schedules c0 and c1; the number decides the limit.
 */
#include <stdlib.h>
#include <string.h>

#include "base/ident.h"
#include "sim/world.h"

struct record {
        struct zl_execution_record r;
        char deployment[16], service[16];
};

/* What a change in the store replaced; lost with the power, the newest first. */
struct change {
        char *name;
        struct record *before; /* NULL: there was none */
};

struct jobs {
        struct zl_map *records;   /* name -> struct record */
        struct zl_map *schedules; /* "deployment.service" -> struct zl_schedule */
        struct zl_map *promised;  /* names that zl_agent_job_run() has told */
        struct zl_map *codes;     /* name -> the exit code of its last end */
        struct zl_map
                *lost; /* names of which a record went with the power: nobody can count them */
        struct change *unsynced;
        size_t n_unsynced;
};

/* ---- names -------------------------------------------------------------------------------------------------------- */

bool jobs_owns(const char *name)
{
        const char *dot = strchr(name, '.');

        return dot && (dot[1] == 'j' || dot[1] == 'c');
}

static unsigned limit_of(const char *service)
{
        static const unsigned limits[] = { 1, 3 };

        return limits[service[1] - '0'];
}

void jobs_write(struct world *w, struct zl_buf *text)
{
        static const char *const overlaps[] = { "allow", "forbid", "replace" };
        static const char *const missed[] = { "none", "latest", "all" };

        for (unsigned i = 0; i < 2; i++) {
                if (world_random(w) % 3 == 0)
                        continue;
                zl_buf_putf(text,
                            "  j%u:\n    image: {name: 'image:1'}\n    rtype: job\n"
                            "    scale: {mode: fixed, replicas: 0}\n"
                            "    restart_policy: {kind: on_failure, max_attempts: %u, delay: 1s}\n"
                            "    labels: {zlayer.job.concurrency: '%u', zlayer.job.queue: '5',"
                            " zlayer.job.history: '3'%s}\n",
                            i, (unsigned)(world_random(w) % 3), limit_of(i ? "j1" : "j0"),
                            world_random(w) % 2 ? ", zlayer.job.timeout: 50s" : "");
        }
        for (unsigned i = 0; i < 2; i++)
                if (world_random(w) % 3 == 0)
                        zl_buf_putf(text,
                                    "  c%u:\n    image: {name: 'image:1'}\n    rtype: cron\n"
                                    "    schedule: '*/%u * * * * *'\n"
                                    "    labels: {zlayer.job.concurrency: '%u',"
                                    " zlayer.cron.overlap: %s, zlayer.cron.missed: %s}\n",
                                    i, i ? 40 : 20, limit_of(i ? "c1" : "c0"),
                                    overlaps[world_random(w) % 3], missed[world_random(w) % 3]);
}

/* ---- the store ---------------------------------------------------------------------------------------------------- */

static void free_record(void *data)
{
        struct record *record = data;

        if (record)
                free((char *)(uintptr_t)record->r.reason);
        free(record);
}

static struct record *copy_record(const struct zl_execution_record *r)
{
        struct record *copy = calloc(1, sizeof(*copy));

        if (!copy)
                abort();
        copy->r = *r;
        copy->r.reason = r->reason ? strdup(r->reason) : NULL;
        snprintf(copy->deployment, sizeof(copy->deployment), "%s", r->deployment);
        snprintf(copy->service, sizeof(copy->service), "%s", r->service);
        copy->r.deployment = copy->deployment;
        copy->r.service = copy->service;
        return copy;
}

static void put(struct zl_map *map, const char *key, void *value)
{
        if (zl_map_put(map, key, value) < 0)
                abort();
}

static bool is_over(const struct zl_execution_record *r)
{
        return r->state >= ZL_EXECUTION_SUCCEEDED;
}

/* The history says how it really ended, as far as the world has seen it. */
static void check_history(struct world *w, const char *name, const struct zl_execution_record *r)
{
        const int *code = zl_map_get(w->jobs->codes, name);

        if (!code)
                return;
        if (r->state == ZL_EXECUTION_SUCCEEDED && *code != 0)
                world_fail(w, "%s ended with %d and is told to have succeeded", name, *code);
        if (r->state == ZL_EXECUTION_FAILED && r->exit_code >= 0 && r->exit_code != *code)
                world_fail(w, "%s ended with %d and is told to have ended with %d", name, *code,
                           r->exit_code);
}

static void save_execution(void *data, const struct zl_execution_record *r)
{
        struct world *w = data;
        struct jobs *j = w->jobs;
        const struct record *before;
        struct change *change;
        char name[ZL_IDENT_NAME_MAX];

        if (w->dead)
                return;
        snprintf(name, sizeof(name), "%s.%s.%u", r->deployment, r->service, r->number);
        before = zl_map_get(j->records, name);
        if (before && is_over(&before->r) && before->r.state != r->state)
                world_fail(w, "%s was %s and becomes %s", name,
                           zl_execution_state_name(before->r.state),
                           zl_execution_state_name(r->state));
        check_history(w, name, r);
        j->unsynced = reallocarray(j->unsynced, j->n_unsynced + 1, sizeof(*j->unsynced));
        if (!j->unsynced)
                abort();
        change = &j->unsynced[j->n_unsynced++];
        *change = (struct change){ strdup(name), before ? copy_record(&before->r) : NULL };
        world_note(w, "store %s %s", name, zl_execution_state_name(r->state));
        put(j->records, name, copy_record(r));
}

static int by_id(const void *a, const void *b)
{
        const struct record *const *x = a, *const *y = b;

        return ((*x)->r.id > (*y)->r.id) - ((*x)->r.id < (*y)->r.id);
}

static void load_executions(void *data, const char *deployment, const char *service,
                            int (*each)(const struct zl_execution_record *record, void *to),
                            void *to)
{
        struct jobs *j = ((struct world *)data)->jobs;
        struct record **list = calloc(zl_map_size(j->records) + 1, sizeof(*list));
        size_t pos = 0, n = 0;
        void *value;

        if (!list)
                abort();
        while (zl_map_next(j->records, &pos, NULL, &value)) {
                struct record *record = value;

                if (strcmp(record->deployment, deployment) == 0 &&
                    (!service || strcmp(record->service, service) == 0))
                        list[n++] = record;
        }
        qsort(list, n, sizeof(*list), by_id);
        for (size_t i = 0; i < n; i++)
                if (!is_over(&list[i]->r) || n - i <= 200)
                        each(&list[i]->r, to);
        free(list);
}

static void save_schedule(void *data, const char *deployment, const char *service,
                          const struct zl_schedule *schedule)
{
        struct world *w = data;
        struct zl_schedule *copy = malloc(sizeof(*copy));
        char key[64];

        if (!copy)
                abort();
        *copy = *schedule;
        snprintf(key, sizeof(key), "%s.%s", deployment, service);
        if (w->dead)
                free(copy);
        else
                put(w->jobs->schedules, key, copy);
}

static void load_schedule(void *data, const char *deployment, const char *service,
                          struct zl_schedule *schedule)
{
        const struct zl_schedule *stored;
        char key[64];

        snprintf(key, sizeof(key), "%s.%s", deployment, service);
        stored = zl_map_get(((struct world *)data)->jobs->schedules, key);
        if (stored)
                *schedule = *stored;
}

void jobs_synced(struct world *w)
{
        struct jobs *j = w->jobs;

        while (j->n_unsynced > 0) {
                struct change *change = &j->unsynced[--j->n_unsynced];

                free(change->name);
                free_record(change->before);
        }
}

/* A journal loses its tail: the newest changes, as many as chance wants. */
void jobs_lose_tail(struct world *w)
{
        struct jobs *j = w->jobs;
        size_t keep = j->n_unsynced ? world_random(w) % (j->n_unsynced + 1) : 0;

        while (j->n_unsynced > keep) {
                struct change *change = &j->unsynced[--j->n_unsynced];

                put(j->lost, change->name, strdup("x"));
                if (change->before) {
                        put(j->records, change->name, change->before);
                } else {
                        zl_map_remove(j->records, change->name);
                        zl_map_remove(j->promised, change->name);
                }
                free(change->name);
        }
        jobs_synced(w);
}

void jobs_host(struct zl_host *host)
{
        host->save_execution = save_execution;
        host->load_executions = load_executions;
        host->save_schedule = save_schedule;
        host->load_schedule = load_schedule;
}

/* ---- workloads ----------------------------------------------------------------------------------------------------- */

/* Nothing that is over is begun once more. */
void jobs_check_submit(struct world *w, const struct zl_op *op)
{
        const struct record *record = zl_map_get(w->jobs->records, op->name);

        if ((op->kind == ZL_OP_CREATE || op->kind == ZL_OP_START) && record && is_over(&record->r))
                world_fail(w, "%s is begun again, though it is %s", op->name,
                           zl_execution_state_name(record->r.state));
}

static void check_limit(struct world *w, const char *name)
{
        struct zl_status *list = NULL;
        const char *service = strchr(name, '.') + 1;
        size_t n = 0, len = (size_t)(strchr(service, '.') - name);
        unsigned running = 0;

        if (zl_runtime_list(w->rt, &list, &n, NULL) < 0)
                return; /* the mock was told to fail */
        for (size_t i = 0; i < n; i++) {
                running += strncmp(list[i].name, name, len + 1) == 0 &&
                           !zl_map_has(w->jobs->lost, list[i].name) &&
                           (list[i].state == ZL_STATE_RUNNING || list[i].state == ZL_STATE_PAUSED);
                zl_status_done(&list[i]);
        }
        free(list);
        if (running > limit_of(service))
                world_fail(w, "%u executions of %.*s run, %u may", running, (int)len, name,
                           limit_of(service));
}

void jobs_started(struct world *w, const char *name)
{
        char *copy = strdup(name);

        if (!copy)
                abort();
        zl_map_remove(w->jobs->codes, name);
        check_limit(w, name);
        world_push(w, w->now + world_delay(w, 60 * ZL_NSEC_PER_SEC), END_JOB, copy);
}

void jobs_end(struct world *w, const char *name)
{
        int code = w->calm ? 0 : (int)(world_random(w) % 3);

        if (zl_mock_exit(w->rt, name, code, 0, false, NULL) >= 0)
                jobs_ended(w, name, code);
}

void jobs_ended(struct world *w, const char *name, int code)
{
        int *copy = malloc(sizeof(*copy));

        if (!copy)
                abort();
        *copy = code;
        if (code < 0) {
                free(copy);
                zl_map_remove(w->jobs->codes, name);
        } else {
                put(w->jobs->codes, name, copy);
        }
        world_note(w, "world: %s ends with %d", name, code);
}

/* The agent was killed; what runs goes on to its end. */
void jobs_go_on(struct world *w)
{
        struct zl_status *list = NULL;
        size_t n = 0;

        if (zl_runtime_list(w->rt, &list, &n, NULL) < 0)
                return;
        for (size_t i = 0; i < n; i++) {
                if (jobs_owns(list[i].name) && list[i].state != ZL_STATE_EXITED &&
                    list[i].state != ZL_STATE_FAILED)
                        world_push(w, w->now + world_delay(w, 60 * ZL_NSEC_PER_SEC), END_JOB,
                                   strdup(list[i].name));
                zl_status_done(&list[i]);
        }
        free(list);
}

/* ---- people -------------------------------------------------------------------------------------------------------- */

void jobs_act(struct world *w, const char *deployment)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        char service[4], name[ZL_IDENT_NAME_MAX];
        unsigned what = (unsigned)(world_random(w) % 10);
        int r;

        snprintf(service, sizeof(service), "%c%u", world_random(w) % 4 ? 'j' : 'c',
                 (unsigned)(world_random(w) % 2));
        if (what < 6) {
                r = zl_agent_job_run(w->agent, deployment, service, name, &err);
                world_note(w, "people: job run %s.%s: %s", deployment, service,
                           r < 0 ? zl_error_message(&err) : name);
                if (r >= 0)
                        put(w->jobs->promised, name, strdup("x"));
        } else if (what < 8) {
                snprintf(name, sizeof(name), "%s.%s.%u", deployment, service,
                         1 + (unsigned)(world_random(w) % 30));
                r = zl_agent_job_cancel(w->agent, name, &err);
                world_note(w, "people: job cancel %s: %d", name, r);
        } else {
                r = zl_agent_cron_enable(w->agent, deployment, service, what % 2, &err);
                world_note(w, "people: cron %s %s.%s: %d", what % 2 ? "enable" : "disable",
                           deployment, service, r);
        }
}

/* Each promise was kept, and nothing hangs in the queue. */
void jobs_check_promises(struct world *w)
{
        const char *name;
        size_t pos = 0;

        while (zl_map_next(w->jobs->promised, &pos, &name, NULL)) {
                const struct record *record = zl_map_get(w->jobs->records, name);

                if (!record)
                        world_fail(w, "the execution %s is forgotten", name);
                if (!is_over(&record->r))
                        world_fail(w, "the execution %s is still %s", name,
                                   zl_execution_state_name(record->r.state));
        }
}

/* After a `down` nothing of it waits or runs, so nothing may be told to. */
void jobs_check_over(struct world *w)
{
        const char *name;
        size_t pos = 0;
        void *value;

        while (zl_map_next(w->jobs->records, &pos, &name, &value)) {
                const struct record *record = value;

                if (!is_over(&record->r))
                        world_fail(w, "the execution %s is still %s after a down", name,
                                   zl_execution_state_name(record->r.state));
        }
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

struct jobs *jobs_new(void)
{
        struct jobs *j = calloc(1, sizeof(*j));

        if (!j)
                abort();
        j->records = zl_map_new(free_record);
        j->schedules = zl_map_new(free);
        j->promised = zl_map_new(free);
        j->codes = zl_map_new(free);
        j->lost = zl_map_new(free);
        return j;
}

void jobs_free(struct world *w)
{
        struct jobs *j = w->jobs;

        jobs_synced(w);
        free(j->unsynced);
        zl_map_free(j->records);
        zl_map_free(j->schedules);
        zl_map_free(j->promised);
        zl_map_free(j->codes);
        zl_map_free(j->lost);
        free(j);
}
