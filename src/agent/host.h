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

#include "agent/env.h"
#include "agent/event.h"
#include "agent/job.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/ident.h"

enum zl_op_kind {
        ZL_OP_LIST, /* recover, then list everything */
        ZL_OP_PULL,
        ZL_OP_CREATE,
        ZL_OP_START, /* start, and open a watch if that is possible */
        ZL_OP_WATCH, /* open a watch */
        ZL_OP_STOP,
        ZL_OP_KILL,
        ZL_OP_REMOVE, /* success if it is not there */
        ZL_OP_STATS,
        ZL_OP_READY,  /* it may get traffic, or may not */
        ZL_OP_HEALTH, /* the health check that an image brings along */
        ZL_OP_S3,     /* a file between a bucket and a workload */
};

struct zl_op {
        enum zl_op_kind kind;
        char name[ZL_IDENT_NAME_MAX];
        const struct zl_service_spec *spec; /* CREATE; must stay until done */
        char **env;                         /* CREATE; owned */
        char *image;                        /* PULL, HEALTH; owned */
        char *pin; /* PULL, CREATE, HEALTH: the digest that the image must have, or NULL; owned */
        enum zl_pull_policy policy;     /* PULL */
        int cancel;                     /* PULL, S3: set to non-zero to make it end soon */
        const struct zl_s3_request *s3; /* S3; must stay until done */
        int64_t timeout;                /* S3; a span */
        int64_t grace;                  /* STOP; negative: the workload's own */
        int sig;                        /* KILL */
        bool ready;                     /* READY */
        int64_t drain; /* READY, not ready: so long the end of its connections is waited for */

        /* results */
        int result;
        struct zl_error error;
        char *digest;           /* PULL; owned */
        char **warnings;        /* CREATE; owned: wishes of the spec that are not honoured */
        struct zl_watch *watch; /* START, WATCH; owned until taken */
        struct zl_status *list; /* LIST; owned until taken */
        size_t n_list;
        struct zl_image_health health; /* HEALTH; owned */
        struct zl_stats stats;         /* STATS */

        void (*done)(struct zl_op *op);
        void *owner, *agent; /* for done() */
        uint64_t tag;        /* the same */
        struct zl_op *next;  /* for the host */
};

struct zl_op *zl_op_new(enum zl_op_kind kind, const char *name);
/* Also what of the results nobody has taken. */
void zl_op_free(struct zl_op *op);
/* Does the work. Blocks; may run on any thread. */
void zl_op_run(struct zl_op *op, struct zl_runtime *rt);

/* A look whether something works. The core fills it and gives it to the host, which looks without blocking anybody and calls
 * done() on the core's thread: exactly once, not before probe() has returned, and not later than `timeout` from then. A
 * command that is not done by then is killed with all it has started. */
enum zl_probe_kind { ZL_PROBE_TCP, ZL_PROBE_HTTP, ZL_PROBE_COMMAND };

struct zl_probe {
        enum zl_probe_kind kind;
        char workload[ZL_IDENT_NAME_MAX]; /* in whose network or world; "": in the agent's */
        const char *host; /* TCP, HTTP: a name or an address; NULL: the workload itself */
        uint16_t port;
        const char *path;       /* HTTP: what to get */
        const char *authority;  /* HTTP: the Host header */
        bool tls;               /* HTTP: over TLS; certificates are not verified */
        uint16_t expect_status; /* HTTP; 0: any of 200 … 299 */
        char *const *argv;      /* COMMAND */
        int64_t timeout;        /* a span */
        bool cancelled;         /* by probe_cancel(); the result does not matter */

        /* results */
        int result; /* 0: it works */
        struct zl_error error;

        void (*done)(struct zl_probe *probe);
        void *owner, *agent; /* for done() */
        uint64_t tag;        /* the same */
        void *host_data;     /* the host's */
};

struct zl_probe *zl_probe_new(enum zl_probe_kind kind, const char *workload);
void zl_probe_free(struct zl_probe *probe);

/* What the agent wants to be remembered of one replica. */
struct zl_replica_record {
        const char *name;
        const char *phase; /* "pulling", "backoff", "running" … */
        const char *image, *hash, *reason;
        const char *health; /* "none", "starting", "healthy", "unhealthy" */
        uint32_t restarts;
};

/* What is remembered of a schedule. */
struct zl_schedule {
        bool enabled;
        int64_t last; /* wall clock: until here it has been dealt with */
};

/* The image that a name meant when it was last asked for. */
struct zl_image_pin {
        char digest[ZL_DIGEST_TEXT_MAX];
        bool moved; /* it meant another one before */
};

/* Who is to look after a deployment. */
enum zl_care {
        ZL_CARE_NONE,       /* nobody: it is at rest */
        ZL_CARE_NOW,        /* an agent does, or the next one is to */
        ZL_CARE_NEXT_START, /* nobody now; but some of it comes back when an agent is started */
};

struct zl_host {
        void *data;
        int64_t (*monotonic)(void *data);
        int64_t (*wall)(void *data);
        uint64_t (*random)(void *data);
        const char *(*getenv)(void *data, const char *name);
        /* The text that a reference of a deployment's spec stands for, freed by the caller. May be NULL: no secrets. */
        int (*secret)(void *data, const char *deployment, const struct zl_secret_ref *ref,
                      char **ret, struct zl_error *err);

        /* Takes over `op`. Must not call op->done() before it has returned. */
        void (*submit)(void *data, struct zl_op *op);
        /* The strings it points to stay until done(). */
        void (*probe)(void *data, struct zl_probe *probe);
        /* Its result is not wanted any more: done() comes soon. May be called again. */
        void (*probe_cancel)(void *data, struct zl_probe *probe);
        /* From now on zl_agent_on_watch(agent, cookie) is called whenever the watch has something to tell. The watch stays
         * the core's. 0 and a token for watch_remove(), or a negative errno. */
        int (*watch_add)(void *data, struct zl_watch *watch, void *cookie, void **ret_token);
        void (*watch_remove)(void *data, void *token);
        /* zl_agent_on_time() is to be called at this monotonic instant (INT64_MAX: never); replaces the one before. */
        void (*arm)(void *data, int64_t deadline);

        /* Storage. Deployment: `spec` is canonical JSON. Must be durable when it returns; the others may lag and do not fail the
         * agent. */
        int (*save_deployment)(void *data, const char *name, const char *spec, enum zl_care care,
                               struct zl_error *err);
        void (*save_replica)(void *data, const struct zl_replica_record *record);
        void (*forget_replica)(void *data, const char *name);
        /* Of this deployment nothing but these exists: what is remembered of others is of an agent that died before it could
         * forget. May be NULL. */
        void (*forget_others)(void *data, const char *deployment, char *const *names);
        /* The hash a replica was made with, freed by the caller; NULL: unknown. `failed`: it was given up. */
        char *(*load_hash)(void *data, const char *name, uint32_t *ret_restarts, bool *ret_failed);

        /* Jobs; each may be NULL: nothing is remembered. An execution is stored anew at each change. */
        void (*save_execution)(void *data, const struct zl_execution_record *record);
        /* Calls `each` for those that are not over, and for the newest ones that are, oldest first. `service` NULL: of all. */
        void (*load_executions)(void *data, const char *deployment, const char *service,
                                int (*each)(const struct zl_execution_record *record, void *to),
                                void *to);
        void (*save_schedule)(void *data, const char *deployment, const char *service,
                              const struct zl_schedule *schedule);
        /* Leaves `schedule` as it is if nothing is remembered. */
        void (*load_schedule)(void *data, const char *deployment, const char *service,
                              struct zl_schedule *schedule);

        /* Which image a service is made from; both may be NULL: nothing is remembered. load_pin() is false if nothing is known of
         * that name of an image. */
        void (*save_pin)(void *data, const char *deployment, const char *service, const char *image,
                         const struct zl_image_pin *pin);
        bool (*load_pin)(void *data, const char *deployment, const char *service, const char *image,
                         struct zl_image_pin *ret);

        /* Every event, in order. */
        void (*event)(void *data, const struct zl_event *event);
};
