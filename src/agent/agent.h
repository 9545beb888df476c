/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent core: keeps deployments true. One thread; every call returns at once; all that takes time is submitted to
 * the host and comes back as a fact (host.h). The core never looks at files, clocks or processes by itself.
 *
 * Life of a deployment: zl_agent_up() → STARTING → STARTED → … ; zl_agent_stop() → STOPPING → STOPPED. If the first start
 * of any part fails, the phase is FAILED and what runs is left to the caller, who as a rule stops it. When nothing is left to
 * run or to restart (jobs done, everything stopped by hand), the phase is FINISHED.
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

/* Checks the whole wish, stores it, and begins to make it true. `recovering`: the agent that looked after it before did
 * not end in an orderly way, so what ended meanwhile is judged by its policy instead of being started anew. Takes over `spec`
 * on success. Nothing has been touched on failure. ZL_E_EXISTS if it is here already. */
int zl_agent_up(struct zl_agent *agent, struct zl_deployment_spec *spec, bool recovering,
                struct zl_error *err);

struct zl_agent_stop_options {
        bool remove;   /* also remove ended replicas with their logs and records */
        bool only_new; /* leave what was running before this agent came */
};
/* Stops a deployment, dependents first. A deployment that is not here may be given with its last spec (taken over; NULL if
 * unknown): then what the runtime has of it is stopped. */
int zl_agent_stop(struct zl_agent *agent, const char *deployment, struct zl_deployment_spec *spec,
                  const struct zl_agent_stop_options *options, struct zl_error *err);
/* Kills everything of a deployment that is being stopped, at once. */
void zl_agent_kill(struct zl_agent *agent, const char *deployment);

enum zl_deployment_phase zl_agent_phase(const struct zl_agent *agent, const char *deployment);
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
