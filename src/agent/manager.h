/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many deployments in one process: the agent core on its loop, the store, and for each deployment what makes it ours alone
 * (control.h). The daemon and the public service manager are made of this; `up` in the foreground is the same for one
 * deployment and has its own file.
 *
 * A deployment whose first start fails is ended again and stays known as failed, with the reason. One that was taken up
 * after a restart of ours is not given up: it is tried again, with growing pauses.
 *
 * Everything belongs to the thread that runs the loop; no call blocks, but for the disk of the store.
 */
#pragma once

#include <uv.h>

#include "agent/loop.h"

struct zl_manager;

struct zl_manager_options {
        const char *root_dir, *runtime_dir; /* copied */
        struct zl_runtime *rt;              /* must outlive the manager */
        /* Every event after it was stored; may be NULL. Must not call back into the manager. */
        void (*on_event)(const struct zl_event *event, void *data);
        void *data;
};

int zl_manager_new(const struct zl_manager_options *options, struct zl_manager **ret,
                   struct zl_error *err);
/* Workloads go on and are taken up by the next manager. zl_manager_is_idle() must hold. */
void zl_manager_free(struct zl_manager *manager);

/* Takes up every deployment that was looked after when the last agent ended, and those at rest of which something comes back with the
 * start of an agent (returns.c). One that cannot be (another process has it,
 * its spec is refused by this version) is told in the log and left as it is. */
int zl_manager_recover(struct zl_manager *manager, struct zl_error *err);

uv_loop_t *zl_manager_uv(struct zl_manager *manager);
struct zl_pool *zl_manager_pool(struct zl_manager *manager);
struct zl_store *zl_manager_store(struct zl_manager *manager);
struct zl_runtime *zl_manager_runtime(struct zl_manager *manager);
/* Nothing that was asked of the runtime is under way. */
bool zl_manager_is_idle(struct zl_manager *manager);

/* Makes a wish true, or, if the deployment is here, the change of one. Takes over `spec` on success. The wish is durable
 * when the call returns. ZL_E_BUSY if another process looks after it. */
int zl_manager_up(struct zl_manager *manager, struct zl_deployment_spec *spec,
                  struct zl_error *err);
/* Stops a deployment that is here or was; with `remove` also removes its containers and forgets it. */
int zl_manager_stop(struct zl_manager *manager, const char *name, bool remove,
                    struct zl_error *err);
int zl_manager_scale(struct zl_manager *manager, const char *name, const char *service,
                     uint32_t replicas, struct zl_error *err);

/* zl_agent_start() of a replica. A deployment at rest is taken up for it, and what else has ended of it stays as it is. 1: begun; 0: it
 * belongs to no deployment that we know. */
int zl_manager_start(struct zl_manager *manager, const char *name,
                     const struct zl_agent_start_options *options, struct zl_error *err);

/* One more execution of a job; `ret_name` is its name. A deployment that has finished is taken up for it, and what has ended of it is
 * not begun again. */
int zl_manager_job_run(struct zl_manager *manager, const char *name, const char *service,
                       char ret_name[ZL_IDENT_NAME_MAX], struct zl_error *err);
/* zl_agent_job_cancel() and zl_agent_cron_enable() of this manager's core. */
int zl_manager_job_cancel(struct zl_manager *manager, const char *execution, struct zl_error *err);
int zl_manager_cron_enable(struct zl_manager *manager, const char *name, const char *service,
                           bool enabled, struct zl_error *err);

/* Notes an event of something that the core does not look after (`run`). The time is filled in if it is 0. */
void zl_manager_tell(struct zl_manager *manager, const struct zl_event *event);

struct zl_deployment_info {
        const char *name;
        enum zl_deployment_phase phase;
        const char *failure, *hint; /* why FAILED; or NULL */
        const char *rolled_back;    /* the last change was taken back, and why; or NULL */
        int exit_code;
};
/* Calls `each` for every deployment that is here, in order of name. Strings are valid during the call. A deployment that only
 * the store knows is not told. */
void zl_manager_each(struct zl_manager *manager,
                     void (*each)(const struct zl_deployment_info *info, void *data), void *data);
/* False if it is not here. */
bool zl_manager_get(struct zl_manager *manager, const char *name, struct zl_deployment_info *ret);

enum zl_manager_until {
        ZL_UNTIL_SETTLED, /* started and not changing any more, finished, failed or stopped */
        ZL_UNTIL_STOPPED, /* finished, failed or stopped: nothing of it is under way */
};
/* Calls `done` once, never before it has returned, also if the state is there already or the deployment is unknown (phase UNKNOWN: it
 * was removed). The token is for zl_manager_unwait(); NULL without memory. */
struct zl_manager_wait;
struct zl_manager_wait *zl_manager_wait(
        struct zl_manager *manager, const char *name, enum zl_manager_until until,
        void (*done)(const struct zl_deployment_info *info, void *data), void *data);
void zl_manager_unwait(struct zl_manager *manager, struct zl_manager_wait *wait);
