/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world for the agent core in which nothing is real but the core itself: a virtual clock, a mock runtime whose operations
 * take their time, come back in any order and fail, a store that may fail and lose what was not synced, workloads that
 * crash, and an agent that may be killed at any instant. Everything that happens follows from one seed.
 *
 * After every input the invariants are checked; one that does not hold ends the program with the seed and what led there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "agent/agent.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/strv.h"
#include "runtimes/mock.h"
#include "runtimes/runtime.h"

enum { WORLD_DEPLOYMENTS = 2, WORLD_TRACE = 400 };

/* What is going to happen, and when. */
struct happening {
        int64_t at;
        uint64_t order; /* of equal instants */
        enum { DO_OP, TELL_OP, TELL_PROBE, TELL_WATCH, ACT, END_JOB } kind;
        void *what;
        uint64_t life; /* of the agent it belongs to */
};

struct world {
        uint64_t seed, state;
        int64_t now, deadline;
        struct zl_runtime *rt;
        struct zl_agent *agent;
        uint64_t life;
        bool dead; /* the agent is being killed: nothing of what it does reaches the world */
        bool calm; /* no more faults: everything must come to a good end */
        bool verbose;
        bool tags_move; /* without it no chance is taken for them: old seeds stay what they are */

        struct happening *queue; /* a heap */
        size_t n_queue, room;
        uint64_t n_orders;

        struct world_watch {
                void *cookie;
                bool used, scheduled;
        } * *watches;
        size_t n_watches;

        /* the store */
        char *specs[WORLD_DEPLOYMENTS];
        enum zl_care care[WORLD_DEPLOYMENTS];
        struct zl_map *hashes,
                *unsynced; /* name -> hash; unsynced: before the last sync, "" if there was none */

        struct zl_map *busy;       /* names with an operation under way */
        struct zl_map *not_before; /* name -> instant before which it must not be started again */
        struct zl_map *restarts;   /* name -> instants of the last restarts */
        struct zl_map *rolling;    /* services that are being replaced */
        struct zl_map *last;       /* name -> last event */
        struct zl_map *started;    /* name -> instant of the last start */
        struct zl_map *sick;       /* name -> its checks fail */
        struct zl_map
                *unsteered; /* names of which the runtime would not hear whether they are ready */

        struct jobs *jobs; /* jobs.c */
        struct tags *tags; /* tags.c */

        uint64_t n_inputs, n_crashes, n_acts;
        char **trace; /* the last things that happened, a ring */
        size_t n_trace;
};

struct world *world_new(uint64_t seed, bool verbose, bool tags_move);
void world_free(struct world *w);

uint64_t world_random(struct world *w);
/* True once in `n` times; never when calm. */
bool world_chance(struct world *w, unsigned n);
/* A span up to `max`, short ones more often. */
int64_t world_delay(struct world *w, int64_t max);
/* In words, for the trace. */
void world_note(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* An invariant does not hold: tells all and ends. */
void world_fail(struct world *w, const char *fmt, ...)
        __attribute__((format(printf, 2, 3), noreturn));

void world_push(struct world *w, int64_t at, int kind, void *what);
/* Lets the next thing happen, at latest at `until`; false if there is none by then. */
bool world_step(struct world *w, int64_t until);
/* Whatever was done to the runtime, the watches hear of it sooner or later. */
void world_wake_watches(struct world *w);
/* The agent dies (kill -9) and comes back. With `power` the machine goes down with it. */
void world_crash(struct world *w, bool power);
const char *world_deployment(size_t i);
/* A replica's count of restarts, and the pause before the next, begin anew. */
void world_forgive(struct world *w, const char *name);

/* people.c: what people, and the workloads themselves, do. */
void people_act(struct world *w);
/* Brings every deployment up if it is not. */
void people_bring_up(struct world *w);
/* All that is wished is there, and nothing else? Ends the program if not. */
void people_check_wishes(struct world *w);

/* Stops some by hand, lets agent or machine go down and come back: comes back who has the policy `always`, and nobody else? */
void people_check_returns(struct world *w, int64_t span);

/* tags.c: tags of images that move. */
struct tags *tags_new(void);
void tags_free(struct world *w);
void tags_host(struct zl_host *host);
/* A pull has succeeded: what it tells. */
void tags_resolve(struct world *w, struct zl_op *op);
/* A tag moves, or somebody asks whether one has. */
void tags_act(struct world *w, const char *deployment);
/* How an image is pulled, behind its name in a spec. */
const char *tags_policy(struct world *w);
/* Somebody has asked for this deployment anew; it is down; a service is replaced from now on, or has been; the agent is gone. */
void tags_asked(struct world *w, const char *deployment);
void tags_forget(struct world *w, const char *deployment);
void tags_rolling(struct world *w, const char *service, bool begins);
void tags_crash(struct world *w);
/* A replica is to be made: from what those before it were? And it has been made. */
void tags_check_submit(struct world *w, const struct zl_op *op);
void tags_made(struct world *w, const struct zl_op *op);
/* Do all that run below `prefix` have one image? */
void tags_check(struct world *w, const struct zl_status *list, size_t n, const char *prefix);

/* jobs.c: executions and schedules. Names of workloads are those of the runtime. */
struct jobs *jobs_new(void);
void jobs_free(struct world *w);
void jobs_host(struct zl_host *host);
bool jobs_owns(const char *name);
/* Services of jobs, at the end of a spec. */
void jobs_write(struct world *w, struct zl_buf *text);
/* The store is durable up to now, or loses what is not. */
void jobs_synced(struct world *w);
void jobs_lose_tail(struct world *w);
void jobs_check_submit(struct world *w, const struct zl_op *op);
void jobs_started(struct world *w, const char *name);
void jobs_end(struct world *w, const char *name);
/* It has ended with `code`; negative: nobody can say. */
void jobs_ended(struct world *w, const char *name, int code);
void jobs_go_on(struct world *w);
void jobs_act(struct world *w, const char *deployment);
void jobs_check_promises(struct world *w);
void jobs_check_over(struct world *w);
