/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world as the agent core sees it. The core (agent.c, replica.c …) has no clock, no thread, no file and no runtime
 * of its own: all of it comes in through these interfaces, so the very same core runs on libuv with real containers
 * (loop.c) and, in tests and the simulator, on a virtual clock with a mock runtime.
 *
 * Blocking operations are objects: the core fills a struct zl_op and submits it; the host runs zl_op_run() wherever it
 * may block, and then, on the core's thread, calls op->done(op). Exactly once, also if it failed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <zlayer/runtime.h>
#include <zlayer/spec.h>

#include "agent/event.h"
#include "base/error.h"
#include "base/ident.h"

enum zl_op_kind {
        ZL_OP_LIST, /* recover, then list everything */
        ZL_OP_PULL,
        ZL_OP_CREATE,
        ZL_OP_START, /* start, and open a watch also if that failed with an exit to tell */
        ZL_OP_WATCH, /* open a watch */
        ZL_OP_STOP,
        ZL_OP_KILL,
        ZL_OP_REMOVE, /* success if it is not there */
};

struct zl_op {
        enum zl_op_kind kind;
        char name[ZL_IDENT_NAME_MAX];
        const struct zl_service_spec *spec; /* CREATE; must stay until done */
        char **env;                         /* CREATE; owned */
        char *image;                        /* PULL; owned */
        enum zl_pull_policy policy;         /* PULL */
        int cancel;                         /* PULL: set to non-zero to make it end soon */
        int64_t grace;                      /* STOP; negative: the workload's own */
        int sig;                            /* KILL */

        /* results */
        int result;
        struct zl_error error;
        char *digest;           /* PULL; owned */
        char **warnings;        /* CREATE; owned: wishes of the spec that are not honoured */
        struct zl_watch *watch; /* START, WATCH; owned until taken */
        struct zl_status *list; /* LIST; owned until taken */
        size_t n_list;

        void (*done)(struct zl_op *op);
        void *owner, *agent; /* for done() */
        struct zl_op *next;  /* for the host */
};

struct zl_op *zl_op_new(enum zl_op_kind kind, const char *name);
/* Also what of the results nobody has taken. */
void zl_op_free(struct zl_op *op);
/* Does the work. Blocks; may run on any thread. */
void zl_op_run(struct zl_op *op, struct zl_runtime *rt);

/* What the agent wants to be remembered of one replica. */
struct zl_replica_record {
        const char *name;
        const char *phase; /* "pulling", "backoff", "running" … */
        const char *image, *hash, *reason;
        uint32_t restarts;
};

struct zl_host {
        void *data;
        int64_t (*monotonic)(void *data);
        int64_t (*wall)(void *data);
        uint64_t (*random)(void *data);
        const char *(*getenv)(void *data, const char *name);

        /* Takes over `op`. Must not call op->done() before it has returned. */
        void (*submit)(void *data, struct zl_op *op);
        /* From now on zl_agent_on_watch(agent, cookie) is called whenever the watch has something to tell. The watch stays
         * the core's. 0 and a token for watch_remove(), or a negative errno. */
        int (*watch_add)(void *data, struct zl_watch *watch, void *cookie, void **ret_token);
        void (*watch_remove)(void *data, void *token);
        /* zl_agent_on_time() is to be called at this monotonic instant (INT64_MAX: never); replaces the one before. */
        void (*arm)(void *data, int64_t deadline);

        /* Storage. Deployment: `spec` is canonical JSON, `active` says that an agent looks after it. Must be durable when it
         * returns; the others may lag and do not fail the agent. */
        int (*save_deployment)(void *data, const char *name, const char *spec, bool active,
                               struct zl_error *err);
        void (*save_replica)(void *data, const struct zl_replica_record *record);
        void (*forget_replica)(void *data, const char *name);
        /* The hash a replica was made with, freed by the caller; NULL: unknown. */
        char *(*load_hash)(void *data, const char *name, uint32_t *ret_restarts);

        /* Every event, in order. */
        void (*event)(void *data, const struct zl_event *event);
};
