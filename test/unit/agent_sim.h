/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small world for the agent core: a mock runtime, a virtual clock, operations that are done when the test says so, and
 * everything the agent told. For test_agent.c and test_replica.c.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/strv.h"
#include "runtimes/mock.h"
#include "runtimes/runtime.h"

enum { SIM_MAX = 4096 };

struct sim {
        struct zl_runtime *rt;
        struct zl_agent *agent;
        int64_t now, deadline;
        int64_t wall_ahead; /* of the wall clock: somebody set it */
        struct zl_op *ops[SIM_MAX];
        size_t n_ops;
        struct sim_watch {
                void *cookie;
                bool used;
        } watches[SIM_MAX];
        size_t n_watches;
        char **events;                    /* "started shop.web.1" in order */
        struct zl_probe *probes[SIM_MAX]; /* under way */
        size_t n_probes, n_probed;
        /* What a probe finds: 0 well, negative not; NULL: well. -EAGAIN: it stays under way. */
        int (*look)(struct sim *sim, const struct zl_probe *probe);
        struct zl_map *hashes, *failed; /* of replicas, by name; failed: those that were given up */
        char *saved_spec;
        bool saved_active;
        enum zl_care saved_care;
        bool fail_save;
};

/* A deployment of one service of one replica, shop.web.1, with more lines of its spec. */
#define SIM_ONE(more)                                                                              \
        "version: v1\n"                                                                            \
        "deployment: shop\n"                                                                       \
        "services:\n"                                                                              \
        "  web:\n"                                                                                 \
        "    image: {name: nginx}\n"                                                               \
        "    scale: {mode: fixed, replicas: 1}\n" more

static int64_t sim_now(void *data)
{
        return ((struct sim *)data)->now;
}

static int64_t sim_wall(void *data)
{
        const struct sim *sim = data;

        return sim->now + sim->wall_ahead;
}

static uint64_t sim_random(void *data)
{
        (void)data;
        return 20; /* the middle of the spread: delays are exact */
}

static const char *sim_getenv(void *data, const char *name)
{
        (void)data;
        return strcmp(name, "SET") == 0 ? "value" : NULL;
}

static void sim_submit(void *data, struct zl_op *op)
{
        struct sim *sim = data;

        assert_true(sim->n_ops < SIM_MAX);
        sim->ops[sim->n_ops++] = op;
}

static void sim_probe(void *data, struct zl_probe *probe)
{
        struct sim *sim = data;

        assert_true(sim->n_probes < SIM_MAX);
        sim->probes[sim->n_probes++] = probe;
}

static void sim_probe_cancel(void *data, struct zl_probe *probe)
{
        (void)data;
        probe->cancelled = true;
}

static int sim_watch_add(void *data, struct zl_watch *watch, void *cookie, void **ret_token)
{
        struct sim *sim = data;

        (void)watch;
        assert_true(sim->n_watches < SIM_MAX);
        sim->watches[sim->n_watches] = (struct sim_watch){ cookie, true };
        *ret_token = &sim->watches[sim->n_watches++];
        return 0;
}

static void sim_watch_remove(void *data, void *token)
{
        (void)data;
        ((struct sim_watch *)token)->used = false;
}

static void sim_arm(void *data, int64_t deadline)
{
        ((struct sim *)data)->deadline = deadline;
}

static int sim_save_deployment(void *data, const char *name, const char *spec, enum zl_care care,
                               struct zl_error *err)
{
        struct sim *sim = data;

        (void)name;
        if (sim->fail_save)
                return zl_fail(err, ZL_E_NO_SPACE, 0, "disk full");
        free(sim->saved_spec);
        sim->saved_spec = spec ? strdup(spec) : NULL;
        sim->saved_active = care == ZL_CARE_NOW;
        sim->saved_care = care;
        return 0;
}

static void sim_save_replica(void *data, const struct zl_replica_record *record)
{
        struct sim *sim = data;

        if (strcmp(record->phase, "failed") == 0)
                assert_int_equal(zl_map_put(sim->failed, record->name, strdup("")), 0);
        else
                zl_map_remove(sim->failed, record->name);
        if (record->hash)
                assert_int_equal(zl_map_put(sim->hashes, record->name, strdup(record->hash)), 0);
}

static void sim_forget_replica(void *data, const char *name)
{
        zl_map_remove(((struct sim *)data)->hashes, name);
}

static void sim_forget_others(void *data, const char *deployment, char *const *names)
{
        struct sim *sim = data;
        const char *name;
        size_t pos = 0;

        while (zl_map_next(sim->hashes, &pos, &name, NULL)) {
                const char *rest = zl_startswith(name, deployment);

                if (rest && *rest == '.' && !zl_strv_contains(names, name)) {
                        zl_map_remove(sim->hashes, name);
                        pos = 0;
                }
        }
}

static char *sim_load_hash(void *data, const char *name, uint32_t *ret_restarts, bool *ret_failed)
{
        const char *hash = zl_map_get(((struct sim *)data)->hashes, name);

        *ret_restarts = 0;
        *ret_failed = zl_map_has(((struct sim *)data)->failed, name);
        return hash ? strdup(hash) : NULL;
}

static void sim_event(void *data, const struct zl_event *event)
{
        struct sim *sim = data;

        assert_int_equal(
                zl_strv_pushf(&sim->events, "%s %s", zl_event_type_name(event->type), event->name),
                0);
}

/* What a test adds to the host of each new agent. */
static _unused_ void (*sim_host_hook)(struct zl_host *host);

static void sim_new_agent(struct sim *sim)
{
        struct zl_host host = {
                .data = sim,
                .monotonic = sim_now,
                .wall = sim_wall,
                .random = sim_random,
                .getenv = sim_getenv,
                .submit = sim_submit,
                .probe = sim_probe,
                .probe_cancel = sim_probe_cancel,
                .watch_add = sim_watch_add,
                .watch_remove = sim_watch_remove,
                .arm = sim_arm,
                .save_deployment = sim_save_deployment,
                .save_replica = sim_save_replica,
                .forget_replica = sim_forget_replica,
                .forget_others = sim_forget_others,
                .load_hash = sim_load_hash,
                .event = sim_event,
        };

        if (sim_host_hook)
                sim_host_hook(&host);
        sim->agent = zl_agent_new(&host);
        assert_non_null(sim->agent);
        sim->deadline = INT64_MAX;
}

static struct sim *sim_new(void)
{
        struct sim *sim = calloc(1, sizeof(*sim));
        struct zl_mock_hooks hooks = { .now = sim_now, .data = sim };

        assert_non_null(sim);
        sim->now = 1000 * ZL_NSEC_PER_SEC;
        sim->hashes = zl_map_new(free);
        sim->failed = zl_map_new(free);
        assert_int_equal(zl_runtime_new(ZL_RUNTIME_MOCK, NULL, &sim->rt, NULL), 0);
        zl_mock_set_hooks(sim->rt, &hooks);
        sim_new_agent(sim);
        return sim;
}

static void sim_free(struct sim *sim)
{
        zl_agent_free(sim->agent);
        zl_runtime_free(sim->rt);
        zl_map_free(sim->hashes);
        zl_map_free(sim->failed);
        zl_strv_free(sim->events);
        free(sim->saved_spec);
        free(sim);
}

/* The agent dies, and another one comes that knows nothing yet. */
static _unused_ void sim_kill_agent(struct sim *sim)
{
        zl_agent_free(sim->agent);
        sim_new_agent(sim);
}

/* Does the oldest operation. */
static bool sim_do_one(struct sim *sim)
{
        struct zl_op *op;

        if (sim->n_ops == 0)
                return false;
        op = sim->ops[0];
        memmove(sim->ops, sim->ops + 1, --sim->n_ops * sizeof(*sim->ops));
        zl_op_run(op, sim->rt);
        op->done(op);
        return true;
}

/* Gives the probes their results. */
static void sim_do_probes(struct sim *sim)
{
        for (size_t i = 0; i < sim->n_probes; i++) {
                struct zl_probe *probe = sim->probes[i];
                int r = sim->look && !probe->cancelled ? sim->look(sim, probe) : 0;

                if (r == -EAGAIN)
                        continue;
                sim->probes[i--] = sim->probes[--sim->n_probes];
                sim->n_probed++;
                probe->result = r < 0 ? zl_fail(&probe->error, ZL_E_NETWORK, 0, "the test says no")
                                      : 0;
                probe->done(probe);
        }
}

/* Everything that can happen without time passing. */
static void sim_settle(struct sim *sim)
{
        size_t n_before;

        do {
                n_before = zl_strv_len(sim->events);
                while (sim_do_one(sim))
                        ;
                sim_do_probes(sim);
                for (size_t i = 0; i < sim->n_watches; i++)
                        if (sim->watches[i].used)
                                zl_agent_on_watch(sim->agent, sim->watches[i].cookie);
        } while (sim->n_ops > 0 || zl_strv_len(sim->events) != n_before);
}

/* Lets time pass, stopping at every armed instant. */
static _unused_ void sim_advance(struct sim *sim, int64_t span)
{
        int64_t until = sim->now + span;

        while (sim->deadline <= until) {
                sim->now = sim->deadline;
                sim->deadline = INT64_MAX;
                zl_agent_on_time(sim->agent);
                sim_settle(sim);
        }
        sim->now = until;
}

static _unused_ size_t sim_count(const struct sim *sim, const char *event)
{
        size_t n = 0;

        ZL_STRV_FOREACH(e, sim->events)
                n += strcmp(*e, event) == 0;
        return n;
}

/* Position of the first such event; fails the test if there is none. */
static _unused_ size_t sim_index(const struct sim *sim, const char *event)
{
        for (size_t i = 0; sim->events && sim->events[i]; i++)
                if (strcmp(sim->events[i], event) == 0)
                        return i;
        fail_msg("no event \"%s\"", event);
        return 0;
}

static struct zl_deployment_spec *sim_spec(const char *yaml)
{
        struct zl_deployment_spec *spec = NULL;
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_spec_load_text(yaml, strlen(yaml), &spec, NULL, &err) < 0)
                fail_msg("%s", zl_error_message(&err));
        return spec;
}

static void sim_up(struct sim *sim, const char *yaml, enum zl_begin begin)
{
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_agent_up(sim->agent, sim_spec(yaml), begin, &err) < 0)
                fail_msg("%s", zl_error_message(&err));
        sim_settle(sim);
}

static _unused_ enum zl_workload_state sim_state(struct sim *sim, const char *name)
{
        struct zl_status status = { 0 };
        enum zl_workload_state state;

        assert_int_equal(zl_runtime_state(sim->rt, name, &status, NULL), 0);
        state = status.state;
        zl_status_done(&status);
        return state;
}

static _unused_ bool sim_exists(struct sim *sim, const char *name)
{
        struct zl_status status = { 0 };
        int r = zl_runtime_state(sim->rt, name, &status, NULL);

        if (r >= 0)
                zl_status_done(&status);
        return r >= 0;
}
