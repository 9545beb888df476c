/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent inside of your program: give it deployment specs, and it keeps them true, as `zlayer-agent serve` does.
 *
 * A manager has one thread of its own and some workers. All functions may be called from any thread, except from inside the
 * event callback; each blocks only as long as it says. Workloads outlive the manager: the next one (or a zlayer-agent) on the
 * same directories takes them up as they are. Per root directory a deployment has one manager at a time (ZL_E_BUSY).
 *
 * All functions follow the error convention of <zlayer/error.h>.
 */
#ifndef ZLAYER_SERVICE_MANAGER_H
#define ZLAYER_SERVICE_MANAGER_H

#include <stdbool.h>
#include <stdint.h>

#include <zlayer/error.h>
#include <zlayer/runtime.h>
#include <zlayer/spec.h>

#ifdef __cplusplus
extern "C" {
#endif

struct zl_service_manager;

/* Valid during the callback. */
struct zl_service_event {
        int64_t time; /* nanoseconds since 1970 UTC */
        const char *
                type; /* "started", "exited", "restarting" ... as `zlayer-agent events` tells them */
        const char *name;    /* DEPLOYMENT, DEPLOYMENT.SERVICE or DEPLOYMENT.SERVICE.REPLICA */
        const char *message; /* in words, or NULL */
        bool has_exit;       /* exit_code means something */
        int exit_code;
};

struct zl_service_manager_options {
        const struct zl_runtime_options *runtime; /* NULL: defaults */
        /* Every change, in order, on the manager's thread; must be quick and must not call the manager. May be NULL. */
        void (*on_event)(const struct zl_service_event *event, void *data);
        void *data;
        /* Take up what was looked after when the last manager of these directories ended; what was stopped by hand and has the policy
         * `always` is started again. */
        bool recover;
};

/* Makes a manager over a runtime of this kind and starts its thread. `options` may be NULL. */
ZL_PUBLIC int zl_service_manager_new(enum zl_runtime_kind kind,
                                     const struct zl_service_manager_options *options,
                                     struct zl_service_manager **ret, struct zl_error *err);
/* Blocks until what is under way has been done (a stop: its grace period). Workloads go on. NULL is allowed. */
ZL_PUBLIC void zl_service_manager_free(struct zl_service_manager *manager);

/* Makes a spec true, or the change of one: services that are the same go on untouched. Returns when the wish is checked and
 * durable; zl_service_manager_wait() tells what came of it. The spec is copied. ZL_E_INVALID names what cannot be. */
ZL_PUBLIC int zl_service_manager_deploy(struct zl_service_manager *manager,
                                        const struct zl_deployment_spec *spec,
                                        struct zl_error *err);
/* Another number of replicas of one service. */
ZL_PUBLIC int zl_service_manager_scale(struct zl_service_manager *manager, const char *deployment,
                                       const char *service, uint32_t replicas,
                                       struct zl_error *err);
/* Blocks until the deployment is stopped, dependents first; with `remove` its containers are removed and it is forgotten. */
ZL_PUBLIC int zl_service_manager_stop(struct zl_service_manager *manager, const char *deployment,
                                      bool remove, struct zl_error *err);

enum zl_deployment_state {
        ZL_DEPLOYMENT_STATE_STARTING,
        ZL_DEPLOYMENT_STATE_UP, /* all has been started; what has a health check and is depended on was healthy */
        ZL_DEPLOYMENT_STATE_FAILED,   /* the first start failed and was undone */
        ZL_DEPLOYMENT_STATE_FINISHED, /* nothing of it needs to run any more */
        ZL_DEPLOYMENT_STATE_STOPPING,
        ZL_DEPLOYMENT_STATE_STOPPED,
};

/* Blocks until the deployment has settled: up and not changing any more, finished, failed or stopped; at most `timeout_nsec` (negative:
 * no limit; then ZL_E_TIMEOUT). 0 if it is up or finished; ZL_E_START with the reason if it failed or its change was taken back. */
ZL_PUBLIC int zl_service_manager_wait(struct zl_service_manager *manager, const char *deployment,
                                      int64_t timeout_nsec, struct zl_error *err);
/* Does not block. ZL_E_NOT_FOUND. `ret_exit_code` (may be NULL): of the first job that failed, or 0. */
ZL_PUBLIC int zl_service_manager_state(struct zl_service_manager *manager, const char *deployment,
                                       enum zl_deployment_state *ret, int *ret_exit_code,
                                       struct zl_error *err);
/* The runtime, for statuses, logs and commands in containers. Belongs to the manager. */
ZL_PUBLIC struct zl_runtime *zl_service_manager_runtime(struct zl_service_manager *manager);

#ifdef __cplusplus
}
#endif
#endif
