/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent core: keeps deployments true. One thread; every call returns at once; all that takes time is submitted to
 * the host and comes back as a fact (host.h). The core never looks at files, clocks or processes by itself.
 *
 * Life of a deployment: zl_agent_up() → STARTING → STARTED → … ; zl_agent_stop() → STOPPING → STOPPED. If the first start
 * of any part fails, the phase is FAILED and what runs is left to the caller, who as a rule stops it. When nothing is left to
 * run or to restart (jobs done, everything stopped by hand), the phase is FINISHED. What is stopped as a whole stays so; what is
 * stopped by hand stays so for this life of the agent (returns.c).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <zlayer/spec.h>

#include "agent/host.h"

struct zl_agent;

enum zl_deployment_phase {
        ZL_DEPLOYMENT_UNKNOWN, /* no such deployment here */
        ZL_DEPLOYMENT_STARTING,
        ZL_DEPLOYMENT_STARTED,
        ZL_DEPLOYMENT_FAILED,
        ZL_DEPLOYMENT_FINISHED,
        ZL_DEPLOYMENT_STOPPING,
        ZL_DEPLOYMENT_STOPPED,
};

/* `host` is copied; what it points to must outlive the agent. NULL without memory. */
struct zl_agent *zl_agent_new(const struct zl_host *host);
/* Workloads go on. zl_agent_is_idle() must hold. */
void zl_agent_free(struct zl_agent *agent);
ZL_DEFINE_CLEANUP(struct zl_agent *, zl_agent_freep, zl_agent_free)

/* What becomes of that which a new agent finds of a deployment. What runs is taken over in any case. */
enum zl_begin {
        /* Somebody wishes it now: what has ended is made anew. */
        ZL_BEGIN_ANEW,
        /* Somebody looked after it until now: what has ended is judged by its policy. */
        ZL_BEGIN_RECOVER,
        /* The same, and it is the start of an agent: what was stopped by hand and has the policy `always` is started again. */
        ZL_BEGIN_RETURN,
        /* It was at rest (ZL_CARE_NEXT_START), and it is the start of an agent: that alone is started; the rest stays as it is, and what
         * has been removed is not made again. */
        ZL_BEGIN_REVIVE,
};

/* Checks the whole wish, stores it, and begins to make it true. Takes over `spec` on success. Nothing has been touched on
 * failure. ZL_E_EXISTS if it is here already. */
int zl_agent_up(struct zl_agent *agent, struct zl_deployment_spec *spec, enum zl_begin begin,
                struct zl_error *err);
/* It is known what there was of it: what its beginning had to decide is decided. */
bool zl_agent_has_found(const struct zl_agent *agent, const char *deployment);

/* A changed wish for a deployment that is here: services that are the same go on untouched, changed ones are replaced replica
 * by replica (one at a time, the next when the new one is well; if the new ones fail, the old service comes back by itself,
 * event rolled_back), new ones are started, those that are gone are stopped and removed. What only guides the agent (scale,
 * depends, health, restart_policy, errors, lifecycle) changes without touching a container.
 *
 * Checks and stores first, then returns; takes over `spec` on success. ZL_E_NOT_FOUND if it is not here (then it is
 * zl_agent_up()), ZL_E_STATE if it is being stopped. */
int zl_agent_update(struct zl_agent *agent, struct zl_deployment_spec *spec, struct zl_error *err);

/* Another number of replicas of one service, from now on. Down: those go first that do not work, then those with the highest
 * numbers. Stored as scale mode fixed, but a service with mode adaptive stays so and refuses what is not between min and
 * max. */
int zl_agent_scale(struct zl_agent *agent, const char *deployment, const char *service,
                   uint32_t replicas, struct zl_error *err);

struct zl_agent_stop_options {
        bool remove;   /* also remove ended replicas with their logs and records */
        bool only_new; /* leave what was running before this agent came */
};
/* Somebody has wished a deployment that runs already: have the tags of its images moved? What follows is told by events. */
void zl_agent_check_images(struct zl_agent *agent, const char *deployment);
/* Stops a deployment, dependents first. A deployment that is not here may be given with its last spec (taken over; NULL if
 * unknown): then what the runtime has of it is stopped. */
int zl_agent_stop(struct zl_agent *agent, const char *deployment, struct zl_deployment_spec *spec,
                  const struct zl_agent_stop_options *options, struct zl_error *err);
/* Kills everything of a deployment that is being stopped, at once. */
void zl_agent_kill(struct zl_agent *agent, const char *deployment);

struct zl_agent_start_options {
        bool restart;  /* one that runs is stopped first; else nothing happens to it */
        int64_t grace; /* of that stop; negative: its own */
};
/* Starts a replica now, whatever its policy says of its last end, whose restarts before that are forgiven. The container stays the same. A
 * deployment that had finished goes on. zl_agent_is_changing() until it has been started, or that has failed. In a deployment that is just being
 * taken up it is started when it has been found. ZL_E_NOT_FOUND; ZL_E_STATE if it is an execution of a job, or on its way out. */
int zl_agent_start(struct zl_agent *agent, const char *name,
                   const struct zl_agent_start_options *options, struct zl_error *err);
/* ZL_E_STATE if nothing of this service can be started by hand. */
int zl_agent_check_start(const struct zl_service_spec *service, const char *name,
                         struct zl_error *err);
/* "start NAME" or "restart NAME GRACE" (nanoseconds, negative: its own), as on the control socket (control.h). 1: begun; 0: it is another request. */
int zl_agent_start_request(struct zl_agent *agent, const char *line, struct zl_error *err);

/* Lets go of a deployment that is FINISHED or STOPPED; no-op in any other phase. Not from inside an event. */
void zl_agent_forget(struct zl_agent *agent, const char *deployment);

/* ---- jobs ------------------------------------------------------------------------------------------------ */

/* One more execution of a service of rtype job or cron, now or when its turn comes. ZL_E_BUSY if too many wait. A
 * deployment that had finished goes on. `ret_name` is that of the execution's container. */
int zl_agent_job_run(struct zl_agent *agent, const char *deployment, const char *service,
                     char ret_name[ZL_IDENT_NAME_MAX], struct zl_error *err);
/* Ends an execution (with its grace period), or takes it out of the queue. */
int zl_agent_job_cancel(struct zl_agent *agent, const char *name, struct zl_error *err);
/* Switches the schedule of a cron job on or off; remembered beyond `down`. What is running goes on. */
int zl_agent_cron_enable(struct zl_agent *agent, const char *deployment, const char *service,
                         bool enabled, struct zl_error *err);
/* The wall clock was set: schedules are looked at anew. */
void zl_agent_on_clock(struct zl_agent *agent);

enum zl_deployment_phase zl_agent_phase(const struct zl_agent *agent, const char *deployment);
/* Is a changed service still being replaced, one of too many or too few replicas being brought to its number, or a replica being
 * started by hand? */
bool zl_agent_is_changing(const struct zl_agent *agent, const char *deployment);
/* Why the phase is FAILED; NULL otherwise. Belongs to the agent. */
const struct zl_error *zl_agent_failure(const struct zl_agent *agent, const char *deployment);
/* Exit code of the first job that failed, or 0. */
int zl_agent_exit_code(const struct zl_agent *agent, const char *deployment);
/* Nothing that was submitted is still under way. */
bool zl_agent_is_idle(const struct zl_agent *agent);

/* ---- called by the host ------------------------------------------------------------------------------ */

/* The watch that was added with this cookie is readable. */
void zl_agent_on_watch(struct zl_agent *agent, void *cookie);
/* The armed instant has come. */
void zl_agent_on_time(struct zl_agent *agent);
