/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: every change that the agent makes or sees is one event, with a number of its own. `events`, the live
 * view of `up` and the history in the store are all fed from these. A struct zl_event is a view: its strings
 * belong to whoever made it and are valid during the call.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"

enum zl_event_type {
        ZL_EVENT_DEPLOYMENT_UP,      /* a wish was accepted */
        ZL_EVENT_DEPLOYMENT_STARTED, /* all of it has been started */
        ZL_EVENT_DEPLOYMENT_FAILED,  /* the first start of some part failed */
        ZL_EVENT_DEPLOYMENT_STOPPED, /* nothing of it runs any more and the agent lets go */
        ZL_EVENT_WARNING, /* a field that is not honoured, a dependency that timed out … */
        ZL_EVENT_WAITING, /* a service waits for its dependencies */
        ZL_EVENT_PULLING,
        ZL_EVENT_PULLED,
        ZL_EVENT_CREATED,
        ZL_EVENT_STARTED,
        ZL_EVENT_ADOPTED, /* it ran already when the agent came */
        ZL_EVENT_PAUSED,
        ZL_EVENT_RESUMED,
        ZL_EVENT_STOPPING,
        ZL_EVENT_EXITED,     /* exit_code, signal, oom, stop_requested are true */
        ZL_EVENT_RESTARTING, /* it will be started again after delay_nsec */
        ZL_EVENT_CRASH_LOOP, /* the same, but too many restarts: the delay is long */
        ZL_EVENT_COMPLETED,  /* it ended and need not run again */
        ZL_EVENT_ISOLATED,   /* it failed and is left as it is */
        ZL_EVENT_SHUTDOWN,   /* it failed and its whole service is stopped */
        ZL_EVENT_FAILED,     /* it could not be created or started, or was given up */
        ZL_EVENT_REMOVED,
        ZL_EVENT_HEALTHY,
        ZL_EVENT_UNHEALTHY,
        ZL_EVENT_DEPLOYMENT_UPDATE, /* a changed wish was accepted */
        ZL_EVENT_SCALED,            /* another number of replicas is wished */
        ZL_EVENT_ROLLING,           /* a service changed: its replicas are replaced one by one */
        ZL_EVENT_UPDATED,           /* all of them have been, and are well */
        ZL_EVENT_ROLLED_BACK,       /* the new ones failed: back to the old ones */
        ZL_EVENT_QUEUED,            /* an execution of a job waits to begin */
        ZL_EVENT_CANCELLED, /* an execution was ended, or never began, because somebody wanted it so */
        ZL_EVENT_TIMED_OUT, /* an execution took too long */
        ZL_EVENT_SKIPPED,   /* it was time for an execution, but there is none */
        ZL_EVENT_TYPE_MAX_,
};

struct zl_event {
        int64_t seq;  /* given by the store; 0 before */
        int64_t time; /* wall clock */
        enum zl_event_type type;
        const char *name;    /* DEPLOYMENT, DEPLOYMENT.SERVICE or DEPLOYMENT.SERVICE.REPLICA */
        const char *message; /* in words, or NULL */
        bool has_exit;       /* the next four mean something */
        int exit_code, signal;
        bool oom, stop_requested;
        int64_t delay_nsec; /* 0: none */
        uint32_t restarts;
        int64_t pid; /* 0: none */
};

/* "started", "crash_loop" …; never NULL. */
const char *zl_event_type_name(enum zl_event_type type) _const_;

/* The object that `events --json` prints: seq, time, type, name and what belongs to the type. NULL without memory. */
json_t *zl_event_to_json(const struct zl_event *event);
