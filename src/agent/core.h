/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the core share: agent.c (entry points, settling, timers), deployment.c (wish and facts of one
 * deployment), service.c (its services and their revisions), rollout.c (from one revision to the next), waits.c (who
 * waits for whom), ready.c (who may get traffic), replica.c (the machine of one replica). Nobody else includes this.
 *
 * The rule of the house: an input (a finished operation, an event of a watch, a timer, a call) only notes facts and
 * marks what is dirty; zl_agent_settle() then lets every machine take its next step until nothing moves. So no machine is
 * entered twice at a time, and the order of inputs cannot matter more than it must.
 */
#pragma once

#include "agent/agent.h"
#include "agent/autoscale.h"
#include "agent/container_supervisor.h"
#include "agent/job.h"
#include "agent/reconcile.h"
#include "agent/url.h"
#include "base/hash.h"
#include "runtimes/runtime.h"

enum { ZL_REPLICAS_MAX = 10000 }; /* of one service on one machine */

/* How long a new replica without a health check must have run before the next one is replaced. */
#define ZL_ROLLOUT_MONITOR ZL_NSEC_PER_SEC
/* So many failures of a new replica that has never been well end a rollout. */
enum { ZL_ROLLOUT_FAULTS = 3 };

enum zl_replica_goal { ZL_GOAL_RUN, ZL_GOAL_STOP, ZL_GOAL_REMOVE };

enum zl_replica_phase {
        ZL_PHASE_WAITING, /* nothing done yet */
        ZL_PHASE_PULLING,
        ZL_PHASE_CREATING,
        ZL_PHASE_INITIALIZING, /* its init steps run */
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

enum zl_health {
        ZL_HEALTH_NONE, /* nobody looks */
        ZL_HEALTH_STARTING,
        ZL_HEALTH_HEALTHY,
        ZL_HEALTH_UNHEALTHY,
};
const char *zl_health_name(enum zl_health health) _const_;

/* Has the runtime been told that a replica may get traffic? */
enum zl_ready {
        ZL_READY_UNKNOWN, /* taken over, or the runtime failed to take it in */
        ZL_READY_NO,
        ZL_READY_YES,
};

/* How the replicas of a revision are looked at. */
struct health_plan {
        bool wanted;
        bool ask_image; /* the spec has no check of its own, and what the image has is not known yet */
        enum zl_probe_kind kind;
        struct zl_url url; /* tcp: host and port only */
        uint16_t expect_status;
        char **argv;
        int64_t grace, interval, timeout; /* spans */
        uint32_t retries;                 /* failures in a row that make it unhealthy; at least 1 */
};

/* What happens between the creation of a container and its start. */
struct init_step {
        char *id;
        enum zl_probe_kind kind;
        struct zl_url url; /* waits; tcp: host and port only */
        uint16_t expect_status;
        char **argv; /* run */
        bool is_s3;
        struct zl_s3_request s3; /* owns its strings */
        int64_t timeout;         /* a span: of the step with all its tries */
        int64_t action_timeout;  /* of one try; of a wait as a whole */
        uint32_t retries;
        enum zl_on_fault on_failure;
};

struct init_plan {
        struct init_step *steps;
        size_t n;
        enum zl_init_failure on_failure;
};

/* How far a replica has come with it. */
struct init_state {
        size_t step;
        unsigned round;            /* how often the whole list has begun again */
        uint32_t attempt;          /* how often the step has been tried again */
        uint32_t tries;            /* looks of a wait */
        int64_t step_began, began; /* monotonic: the step, this attempt */
        bool began_at_all;
        uint64_t run;           /* results of an older one do not count */
        struct zl_probe *probe; /* under way */
        struct zl_op *op;       /* the same */
        struct revision *rev;   /* what they work with */
};

/* One form of a service: what its replicas are made from. Counted: the service holds references, and so does each
 * replica and each operation that works with it. Never changes, but for what is known of its image. */
struct revision {
        unsigned refs;
        struct deployment *d;
        char service[64];
        struct zl_service_spec *spec;
        char hash[ZL_DIGEST_TEXT_MAX];  /* of what makes a container */
        char rules[ZL_DIGEST_TEXT_MAX]; /* of all but the number of replicas */
        struct zl_restart_rule rule;
        bool env_warned, create_warned; /* once per revision, not per replica */
        bool no_ready;                  /* its runtime does not steer traffic */
        bool pulled;
        int64_t pull_after;              /* monotonic; the last try failed: not before then */
        struct zl_op *pull;              /* under way */
        char digest[ZL_DIGEST_TEXT_MAX]; /* of the image that it means; "": not known */
        bool moved;                      /* the tag meant another one before */
        bool fresh;          /* somebody has just wished it: the digest of before does not bind */
        struct zl_op *check; /* whether the tag has moved, under way */
        struct health_plan health;
        struct init_plan init;
        struct zl_op *ask; /* for the image's health check, under way */
};

struct dependency {
        size_t target; /* index in services */
        enum zl_need need;
        bool dropped;    /* timed out, and the spec says to go on */
        bool given_up;   /* timed out, and told; it may still come true */
        int64_t since;   /* monotonic: the target was begun; 0: not yet */
        int64_t timeout; /* a span, counted from then */
        enum zl_on_fault on_timeout;
};

struct service {
        struct deployment *d;
        char *name;
        struct revision *rev;      /* wished */
        struct revision *fallback; /* during a rollout: the last one that was good; else NULL */
        uint32_t desired;
        struct zl_autoscale autoscale;
        int64_t measure_at; /* monotonic; of an adaptive service: the next round */
        struct dependency *depends;
        size_t n_depends;
        bool told_waiting;
};

struct services {
        struct service **items; /* in order of dependency */
        size_t n;
};

/* What an adaptive service knows of one replica. */
struct measure {
        struct zl_op *op;      /* under way */
        struct zl_usage usage; /* as of the last round */
        int64_t time;          /* of the last figures; 0: none yet */
        uint64_t cpu_usec;
};

struct replica {
        struct deployment *d;
        struct service *service; /* NULL: no part of the spec (any more) */
        struct revision *rev;    /* what it is, or is to be, made from; NULL: unknown */
        struct revision *making; /* what the CREATE under way works with */
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
        bool spent; /* ended, and removed because the spec wants that; counts as one that ended */
        bool awaits_end; /* stopped; the watch has not told it yet, and may until `deadline` */
        bool end_failed; /* it could not be stopped or removed: not tried again by itself */
        unsigned end_tries;
        bool dirty;
        struct zl_op *op; /* under way */
        struct zl_watch *watch;
        void *watch_token;
        int64_t deadline;      /* monotonic; INT64_MAX: none */
        int exit_code;         /* of the last end; -1: none yet */
        int64_t running_since; /* monotonic, of this run; 0: does not run */
        struct init_state init;
        enum zl_health health;
        bool again;               /* to be started by hand: its next end is not judged */
        bool again_stop;          /* and what runs is to be stopped for that */
        int64_t again_grace;      /* with this grace */
        bool sick;                /* unhealthy, and to be restarted for that */
        bool was_well;            /* healthy at least once in this run */
        uint32_t probe_failures;  /* in a row */
        uint32_t n_probes;        /* of this run */
        uint64_t run;             /* counts the runs: the result of an older probe does not count */
        int64_t probe_at;         /* monotonic; INT64_MAX: not looked at */
        struct zl_probe *probe;   /* under way */
        struct revision *probing; /* what it works with */
        enum zl_ready ready;      /* as last told */
        bool ready_failed;        /* the runtime failed to take it in, and that was told */
        int64_t ready_at;         /* monotonic: not to be tried before; 0: any time */
        uint64_t ready_life;      /* counts workloads and their ends: older answers do not count */
        unsigned rollout_faults;  /* failures since its revision is new */
        struct zl_restart_history history;
        struct execution *execution; /* of a job; else NULL */
        struct measure measure;
        char *reason;
};

/* One run of a job: queued, then a replica, then history. */
struct execution {
        struct job *job;
        struct zl_execution_record record; /* its reason is the member below */
        char *reason;
        struct replica *replica; /* NULL: it waits, or its container is gone */
        bool wished; /* of the deployment's own start: zl_reconcile() looks after its replica */
        bool cancelled, timed_out; /* and so it is being stopped */
        int64_t deadline;          /* monotonic; INT64_MAX: it may take as long as it wants */
};

/* A service of rtype job or cron. */
struct job {
        struct deployment *d;
        char *name; /* of the service */
        struct zl_job_settings settings;
        bool enabled;         /* its schedule */
        int64_t last;         /* wall clock: until here the schedule has been dealt with */
        int64_t next;         /* wall clock; INT64_MAX: never */
        uint32_t last_number; /* of an execution */
        struct execution *
                *executions; /* in order of age; ended ones as long as they have a container */
        size_t n;
};

/* What the runtime had of this deployment before any machine took it over. */
struct found {
        struct zl_status status;
        struct zl_ident id;
        char *hash;
        uint32_t restarts;
        bool failed; /* it was given up */
};

struct deployment {
        struct zl_agent *agent;
        char *name;
        struct zl_deployment_spec *spec; /* NULL: unknown (only to be stopped) */
        struct services services;
        struct replica **replicas;
        size_t n_replicas;
        struct found *found;
        size_t n_found;
        struct job **jobs;
        size_t n_jobs;
        struct zl_op *list;       /* under way */
        struct zl_error *failure; /* points to failure_ once set */
        struct zl_error failure_;
        enum zl_deployment_phase phase;
        int64_t begun;    /* monotonic */
        int64_t deadline; /* monotonic; as armed */
        int exit_code;
        unsigned n_kills, n_pulls; /* operations under way */
        enum zl_begin begin;
        bool listed, remove, only_new, dirty;
        bool found_all; /* listed, and that did not fail */
        char **wanted;  /* full names: to be started by hand once they have been found */
        struct deployment *next;
};

struct zl_agent {
        struct zl_host host;
        struct deployment *deployments;
        unsigned n_ops;         /* submitted, not done */
        int64_t last_execution; /* highest identity given */
        bool settling;
        int64_t armed; /* what the host was last asked to come back for */
        int64_t now; /* monotonic, while it settles: one instant for all, and one look at the clock */
};

/* agent.c */
int64_t zl_agent_now(const struct zl_agent *agent);
struct deployment *zl_agent_find(const struct zl_agent *agent, const char *name);
void zl_agent_submit(struct zl_agent *agent, struct zl_op *op, void *owner,
                     void (*done)(struct zl_op *op));
void zl_agent_settle(struct zl_agent *agent);
/* A deadline that is new, of a machine that need not be settled for it. */
void zl_agent_arm_by(struct zl_agent *agent, int64_t deadline);
void zl_agent_tell(struct zl_agent *agent, struct zl_event event);
/* The same, with a message by format. */
void zl_agent_tellf(struct zl_agent *agent, struct zl_event event, const char *fmt, ...)
        ZL_PRINTF(3, 4);

/* deployment.c */
int zl_deployment_new(struct zl_agent *agent, const char *name, struct deployment **ret);
void zl_deployment_free(struct deployment *d);
/* Stores the wish. */
int zl_deployment_save(struct deployment *d, const struct zl_deployment_spec *spec,
                       enum zl_care care, struct zl_error *err);
/* Tells what the spec wishes and nobody can honour yet. */
void zl_deployment_warn(struct deployment *d);
void zl_deployment_drop_spec(struct deployment *d);
void zl_deployment_list(struct deployment *d);
/* One round of reconciliation; true if something moved. */
bool zl_deployment_step(struct deployment *d);
/* It is being stopped, or was. */
bool zl_deployment_is_stopping(const struct deployment *d);
/* Notes the first failure of a start; moves `err`. */
void zl_deployment_fail(struct deployment *d, const char *name, struct zl_error *err);

/* One more machine, which waits for its first step. NULL without memory. */
struct replica *zl_deployment_add_replica(struct deployment *d, struct service *s,
                                          const char *service_name, uint32_t number);
/* Gives a found one a machine. Its place in `found` is freed later (zl_deployment_forget_taken). */
struct replica *zl_deployment_manage(struct deployment *d, struct service *s, struct found *found);
/* Facts are addressed by index, so what has been taken over leaves `found` only after all actions. */
void zl_deployment_forget_taken(struct deployment *d);
/* A deployment that had come to rest goes on. */
int zl_deployment_wake(struct deployment *d, struct zl_error *err);

/* job.c */
/* The jobs of d->services: after each change of those. 0 or -ENOMEM. */
int zl_jobs_sync(struct deployment *d);
void zl_jobs_done(struct deployment *d);
/* Is this, of what the runtime has, an execution? Then it is given to zl_jobs_adopt(), and after all of them
 * zl_jobs_adopted() is called. */
bool zl_jobs_owns(const struct deployment *d, const struct zl_ident *id);
void zl_jobs_adopt(struct replica *r);
void zl_jobs_adopted(struct deployment *d);
/* It is an execution whose end is known already. */
bool zl_jobs_is_over(const struct replica *r);
/* The same of one that the deployment's own start began; then `*ret_well`. */
bool zl_jobs_knows_end(const struct deployment *d, const struct zl_ident *id, bool *ret_well);
/* One round: begins, ends, remembers; true if something moved. */
bool zl_jobs_step(struct deployment *d);
int64_t zl_jobs_deadline(const struct deployment *d);
/* Something may yet begin by itself. */
bool zl_jobs_are_alive(const struct deployment *d);
/* An execution that zl_reconcile() has nothing to do with. */
bool zl_replica_is_triggered(const struct replica *r);

/* service.c */
void zl_services_done(struct services *services);
/* NULL: there is none of that name. */
struct service *zl_services_find(const struct services *services, const char *name);
/* The services of a spec, with all checks of it. They are not in `d` yet. */
int zl_services_make(struct deployment *d, const struct zl_deployment_spec *spec,
                     struct services *ret, struct zl_error *err);
/* Can the environment of every service be resolved? So that a wish is refused before anything has been touched. */
int zl_services_check_env(struct deployment *d, const struct services *services,
                          struct zl_error *err);
struct revision *zl_revision_ref(struct revision *rev);
void zl_revision_unref(struct revision *rev);
/* The same again, nothing done yet; NULL without memory. */
struct revision *zl_revision_copy(const struct revision *rev);
/* Fetches its image, unless that is done or under way; replicas and rollouts go on when it is there. */
void zl_revision_pull(struct revision *rev);
/* Full name "DEPLOYMENT.SERVICE" for events. */
char *zl_service_full_name(const struct service *s, char buf[ZL_IDENT_NAME_MAX]);

/* What makes a container, and all rules, in digests. 0 or -ENOMEM. */
int zl_revision_hash(struct revision *rev);

/* pin.c */
/* What is remembered of its image. */
void zl_pin_load(struct revision *rev);
void zl_pin_save(const struct revision *rev);
/* The digest that its image must have; NULL: whatever its name means. */
const char *zl_pin_of(const struct revision *rev);
/* It has been fetched, and has this digest (or NULL). */
void zl_pin_take(struct revision *rev, const char *digest);
/* Has the tag moved? */
void zl_pin_check(struct revision *rev);

/* health.c */
int zl_health_plan_make(const struct zl_service_spec *spec, struct health_plan *ret,
                        struct zl_error *err);
void zl_health_plan_done(struct health_plan *plan);
/* It began to run, or a run was adopted. */
void zl_health_begin(struct replica *r);
/* It runs no more. */
void zl_health_end(struct replica *r);
/* Looks, if it is time to; true if something moved. */
bool zl_health_step(struct replica *r);

/* ready.c */
/* The runtime is still to be told something. */
bool zl_ready_is_due(const struct replica *r);
/* Tells the runtime, if something is to be told; true if so. */
bool zl_ready_step(struct replica *r);
/* A new workload, or one that has ended. */
void zl_ready_reset(struct replica *r);

/* init.c */
int zl_init_plan_make(const struct zl_service_spec *spec, struct init_plan *ret,
                      struct zl_error *err);
void zl_init_plan_done(struct init_plan *plan);
bool zl_init_is_done(const struct replica *r);
/* "init step "db" (1 of 3) is not done"; NULL if none is under way. */
const char *zl_init_describe(const struct replica *r, char *buf, size_t size);
/* A new container: from the beginning. */
void zl_init_reset(struct replica *r);
/* What is under way ends soon and does not count. */
void zl_init_cancel(struct replica *r);
/* The next try of the present step; true if something moved. */
bool zl_init_step(struct replica *r);

/* rollout.c */
/* Are all replicas of the wished revision, and well? Does its part of a rollout; true if something moved. */
bool zl_rollout_step(struct deployment *d);
int64_t zl_rollout_deadline(const struct deployment *d);
/* A replica failed. If it is of a new revision, and that was the last straw or `fatal`, the service goes back to the
 * old one, and true is returned: the replica is made anew, and nothing else is to be done about the fault. */
bool zl_rollout_fault(struct replica *r, const char *why, bool fatal);
/* The image of the revision cannot be had: nothing has been touched, and nothing will be. */
void zl_rollout_pull_failed(struct revision *rev, const struct zl_error *err);

/* The tag of its image means another one: its replicas are replaced. */
void zl_rollout_moved(struct service *s, const char *digest);

/* scaler.c */
bool zl_scaler_step(struct deployment *d);
int64_t zl_scaler_deadline(const struct deployment *d);

/* returns.c */
/* Does this one, which has ended, come back because an agent is started? */
bool zl_found_returns(const struct deployment *d, const struct found *found);
/* Is there one that would, with the next agent? */
bool zl_deployment_returns(const struct deployment *d);
/* Of a deployment that was at rest all others get a machine at rest, also those that are gone. 0 or -ENOMEM. */
int zl_deployment_revive(struct deployment *d);

/* waits.c */
/* Tells who waits for whom, and ends waits that are over time or hopeless. */
void zl_waits_check(struct deployment *d);
int64_t zl_waits_deadline(const struct deployment *d);

/* replica.c */
struct replica *zl_replica_new(struct deployment *d, struct service *service,
                               const char *service_name, uint32_t number);
void zl_replica_free(struct replica *r);
void zl_replica_adopt(struct replica *r, const struct zl_status *status, uint32_t restarts);
/* One that has ended is kept as it is. */
void zl_replica_rest(struct replica *r);
/* One that could not be ended is tried again. */
void zl_replica_end_again(struct replica *r);
void zl_replica_set_goal(struct replica *r, enum zl_replica_goal goal);
/* One step; true if something moved. */
bool zl_replica_step(struct replica *r);
bool zl_replica_is_terminal(const struct replica *r);
/* Something of it is under way: it must not be freed. */
bool zl_replica_is_busy(const struct replica *r);
void zl_replica_on_watch(struct replica *r);
/* The image of its revision cannot be had. */
void zl_replica_pull_failed(struct replica *r, const struct zl_error *err);
void zl_replica_kill(struct replica *r);
/* From now on it is to be made from the service's revision; what there is of it goes. */
void zl_replica_renew(struct replica *r);
/* It has ended, or waits to be started again: now, as it is. */
void zl_replica_again(struct replica *r);
/* The same container under a new revision: the next decisions follow the new rules. */
void zl_replica_rebase(struct replica *r, struct revision *rev);
/* It is unhealthy: restarted or left, as its policy wants. */
void zl_replica_unhealthy(struct replica *r, const char *why);
/* Its init steps failed for good; moves `err`. */
void zl_replica_init_failed(struct replica *r, struct zl_error *err);
/* What is known of it goes to the store. */
void zl_replica_save(struct replica *r);
/* Made from the wished revision? */
bool zl_replica_is_current(const struct replica *r);
/* Ended as somebody wanted, or well. */
bool zl_replica_is_excused(const struct replica *r);
/* Does it do its work: running, and as far as anybody looks, healthy? */
bool zl_replica_is_available(const struct replica *r);
/* When one that runs counts as available: during a rollout it must have lived for a while. */
int64_t zl_replica_steady_at(const struct replica *r);
