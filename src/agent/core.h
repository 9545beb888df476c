/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the core share: agent.c (entry points, settling, timers), deployment.c (wish and facts of one
 * deployment), replica.c (the machine of one replica). Nobody else includes this.
 *
 * The rule of the house: an input (a finished operation, an event of a watch, a timer, a call) only notes facts and
 * marks what is dirty; zl_agent_settle() then lets every machine take its next step until nothing moves. So no machine is
 * entered twice at a time, and the order of inputs cannot matter more than it must.
 */
#pragma once

#include "agent/agent.h"
#include "agent/container_supervisor.h"
#include "agent/reconcile.h"
#include "base/hash.h"

enum { ZL_REPLICAS_MAX = 10000 }; /* of one service on one machine */

enum zl_replica_goal { ZL_GOAL_RUN, ZL_GOAL_STOP, ZL_GOAL_REMOVE };

enum zl_replica_phase {
        ZL_PHASE_WAITING, /* nothing done yet */
        ZL_PHASE_PULLING,
        ZL_PHASE_CREATING,
        ZL_PHASE_STARTING,
        ZL_PHASE_RUNNING,
        ZL_PHASE_BACKOFF, /* ended; will be started again at `deadline` */
        ZL_PHASE_STOPPING,
        ZL_PHASE_REMOVING,
        /* From here on nothing more happens by itself. */
        ZL_PHASE_STOPPED,   /* somebody asked for it */
        ZL_PHASE_COMPLETED, /* ended well */
        ZL_PHASE_FAILED,    /* ended badly and is not to be started again, or never ran */
        ZL_PHASE_ISOLATED,
        ZL_PHASE_GONE, /* removed */
};
const char *zl_replica_phase_name(enum zl_replica_phase phase) _const_;

struct deployment;

struct dependency {
        size_t target; /* index in services */
        bool complete; /* the target is a job that must have ended well */
        bool dropped;  /* timed out, and the spec says to go on */
        int64_t timeout;
        enum zl_on_fault on_timeout;
};

struct service {
        struct deployment *d;
        const char *name; /* of the spec */
        const struct zl_service_spec *spec;
        char hash[ZL_DIGEST_TEXT_MAX];
        struct zl_restart_rule rule;
        uint32_t desired;
        struct dependency *depends;
        size_t n_depends;
        bool told_waiting;
        bool env_warned, create_warned; /* once per service, not per replica */
        bool pulled;
        struct zl_op *pull; /* under way */
};

struct replica {
        struct deployment *d;
        struct service *service; /* NULL: no part of the spec (any more) */
        uint32_t number;
        char service_name[64];
        char name[ZL_IDENT_NAME_MAX];
        enum zl_replica_goal goal;
        enum zl_replica_phase phase;
        enum zl_workload_state state; /* as last told; meaningful if `exists` */
        bool exists;                  /* the runtime knows it */
        bool stale;                   /* what exists must go before a new one is made */
        bool ours;                    /* begun in this life of the agent */
        bool adopted;
        bool told_started; /* STARTED or ADOPTED was told for this run */
        bool has_started;  /* for dependencies: ran at least once */
        bool completed;
        bool awaits_end; /* stopped; the watch has not told it yet, and may until `deadline` */
        bool end_failed; /* it could not be stopped or removed: not tried again by itself */
        bool dirty;
        struct zl_op *op; /* under way */
        struct zl_watch *watch;
        void *watch_token;
        int64_t deadline; /* monotonic; INT64_MAX: none */
        int exit_code;    /* of the last end; -1: none yet */
        struct zl_restart_history history;
        char *reason;
};

/* What the runtime had of this deployment before any machine took it over. */
struct found {
        struct zl_status status;
        struct zl_ident id;
        char *hash;
        uint32_t restarts;
};

struct deployment {
        struct zl_agent *agent;
        char *name;
        struct zl_deployment_spec *spec; /* NULL: unknown (only to be stopped) */
        struct service *services;        /* in order of dependency */
        size_t n_services;
        struct replica **replicas;
        size_t n_replicas;
        struct found *found;
        size_t n_found;
        struct zl_op *list;       /* under way */
        struct zl_error *failure; /* points to failure_ once set */
        struct zl_error failure_;
        enum zl_deployment_phase phase;
        int64_t begun; /* monotonic */
        int exit_code;
        unsigned n_kills; /* KILL operations under way */
        bool listed, recovering, remove, only_new, dirty;
        struct deployment *next;
};

struct zl_agent {
        struct zl_host host;
        struct deployment *deployments;
        unsigned n_ops; /* submitted, not done */
        bool settling;
};

/* agent.c */
int64_t zl_agent_now(const struct zl_agent *agent);
void zl_agent_submit(struct zl_agent *agent, struct zl_op *op, void *owner,
                     void (*done)(struct zl_op *op));
void zl_agent_settle(struct zl_agent *agent);
void zl_agent_tell(struct zl_agent *agent, struct zl_event event);
/* The same, with a message by format. */
void zl_agent_tellf(struct zl_agent *agent, struct zl_event event, const char *fmt, ...)
        ZL_PRINTF(3, 4);

/* deployment.c */
int zl_deployment_new(struct zl_agent *agent, const char *name, struct deployment **ret);
void zl_deployment_free(struct deployment *d);
/* Makes the services of d->spec, with all checks. */
int zl_deployment_prepare(struct deployment *d, struct zl_error *err);
/* Can the environment of every service be resolved? */
int zl_deployment_check_env(struct deployment *d, struct zl_error *err);
/* Tells what the spec wishes and nobody can honour yet. */
void zl_deployment_warn(struct deployment *d);
void zl_deployment_drop_spec(struct deployment *d);
void zl_deployment_list(struct deployment *d);
/* One round of reconciliation; true if something moved. */
bool zl_deployment_step(struct deployment *d);
/* Notes the first failure of a start; moves `err`. */
void zl_deployment_fail(struct deployment *d, const char *name, struct zl_error *err);
int64_t zl_deployment_deadline(const struct deployment *d);
/* Full name "DEPLOYMENT.SERVICE" for events. */
char *zl_service_full_name(const struct service *s, char buf[ZL_IDENT_NAME_MAX]);

/* replica.c */
struct replica *zl_replica_new(struct deployment *d, struct service *service,
                               const char *service_name, uint32_t number);
void zl_replica_free(struct replica *r);
void zl_replica_adopt(struct replica *r, const struct zl_status *status, uint32_t restarts);
void zl_replica_set_goal(struct replica *r, enum zl_replica_goal goal);
/* One step; true if something moved. */
bool zl_replica_step(struct replica *r);
bool zl_replica_is_terminal(const struct replica *r);
void zl_replica_on_watch(struct replica *r);
/* The image of its service cannot be had. */
void zl_replica_pull_failed(struct replica *r, const struct zl_error *err);
void zl_service_pull(struct service *s);
void zl_replica_kill(struct replica *r);
