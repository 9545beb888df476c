/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent must remember, in <root_dir>/agent.db (SQLite, WAL): wished deployments, one record per replica, and
 * the last events. Several processes may have it open at once (an `up` per deployment, `ps`, `events`).
 *
 * Wishes, and which image a service has, are durable when the call returns. Records and events are written without waiting for the disk: after a power loss
 * the newest may be missing, and the runtime's own records (exit codes, logs) are the truth anyway.
 *
 * One object belongs to one thread. Every call may block on the disk, and up to 5 s on another writer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/event.h"
#include "agent/host.h"
#include "base/error.h"

struct zl_store;

enum {
        ZL_STORE_EVENTS_MAX = 20000,   /* older ones are dropped */
        ZL_STORE_EXECUTIONS_MAX = 200, /* the same, per job */
};

/* Opens or makes the database. One that is damaged is put aside ("agent.db.damaged-…") with a logged warning and a new
 * one begun: the workloads are in the runtime's hands and are found again there. */
int zl_store_open(const char *root_dir, struct zl_store **ret, struct zl_error *err);
/* The same without making anything: `*ret` is NULL if there is no database. */
int zl_store_open_existing(const char *root_dir, struct zl_store **ret, struct zl_error *err);
void zl_store_close(struct zl_store *store);
ZL_DEFINE_CLEANUP(struct zl_store *, zl_store_closep, zl_store_close)
#define _cleanup_store_ _cleanup_(zl_store_closep)

/* The root directory it was opened with; belongs to the store. */
const char *zl_store_root_dir(const struct zl_store *store);

/* ---- deployments ---------------------------------------------------------------------------------------- */

/* Stores the wish; `spec` NULL forgets it, and all that is remembered of its replicas. */
int zl_store_put_deployment(struct zl_store *store, const char *name, const char *spec,
                            enum zl_care care, struct zl_error *err);
/* 1: found, `*ret_spec` (may be NULL) is freed by the caller; 0: unknown. Active: ZL_CARE_NOW. */
int zl_store_get_deployment(struct zl_store *store, const char *name, char **ret_spec,
                            bool *ret_active, struct zl_error *err);
/* 1: it is at rest, and ZL_CARE_NEXT_START; 0: not. */
int zl_store_awaits_start(struct zl_store *store, const char *name, struct zl_error *err);
/* Names in order, a vector freed by the caller. */
int zl_store_list_deployments(struct zl_store *store, char ***ret, struct zl_error *err);

/* ---- replicas ---------------------------------------------------------------------------------------------- */

struct zl_stored_replica {
        char *name, *phase, *image, *hash, *reason,
                *health; /* all but name and phase may be NULL */
        uint32_t restarts;
        int64_t updated_at;
};
void zl_stored_replica_free(struct zl_stored_replica *replicas, size_t n);

int zl_store_put_replica(struct zl_store *store, const struct zl_replica_record *record,
                         struct zl_error *err);
int zl_store_forget_replica(struct zl_store *store, const char *name, struct zl_error *err);
/* All, in order of name; with `name`, only what it may mean: a full name, DEPLOYMENT.SERVICE, DEPLOYMENT, or SERVICE of any. */
int zl_store_list_replicas(struct zl_store *store, const char *name, struct zl_stored_replica **ret,
                           size_t *ret_n, struct zl_error *err);

/* ---- events --------------------------------------------------------------------------------------------------- */

/* Gives the event its number, in `*ret_seq` (may be NULL). */
int zl_store_put_event(struct zl_store *store, const struct zl_event *event, int64_t *ret_seq,
                       struct zl_error *err);
/* Calls `each` for the events after `seq` in order, with the JSON text of each (without "seq" …: complete). A negative return
 * of `each` stops the walk and is returned. Returns 0 and the last number seen in `*ret_last`. */
int zl_store_read_events(struct zl_store *store, int64_t after,
                         int (*each)(int64_t seq, int64_t time, const char *json, void *data),
                         void *data, int64_t *ret_last, struct zl_error *err);
/* The highest number so far. */
int zl_store_last_event(struct zl_store *store, int64_t *ret, struct zl_error *err);

/* ---- jobs ------------------------------------------------------------------------------------------------------ */

/* Stored under its id; replaces what is there. */
int zl_store_put_execution(struct zl_store *store, const struct zl_execution_record *record,
                           struct zl_error *err);
/* Drops the oldest ended ones of a job beyond ZL_STORE_EXECUTIONS_MAX. */
int zl_store_trim_executions(struct zl_store *store, const char *deployment, const char *service,
                             struct zl_error *err);
/* Calls `each` for every execution (of a deployment, of a service; NULL: of all), oldest first. Its strings are valid during
 * the call. A negative return of `each` stops and is returned. */
int zl_store_read_executions(struct zl_store *store, const char *deployment, const char *service,
                             int (*each)(const struct zl_execution_record *record, void *data),
                             void *data, struct zl_error *err);
int zl_store_put_schedule(struct zl_store *store, const char *deployment, const char *service,
                          const struct zl_schedule *schedule, struct zl_error *err);
/* 1: found; 0: nothing is stored. */
int zl_store_get_schedule(struct zl_store *store, const char *deployment, const char *service,
                          struct zl_schedule *ret, struct zl_error *err);

/* ---- images -------------------------------------------------------------------------------------------------------- */

struct zl_stored_pin {
        const char *deployment, *service, *image;
        struct zl_image_pin pin;
};
/* One per service; replaces what is there. Forgotten with the deployment. */
int zl_store_put_pin(struct zl_store *store, const struct zl_stored_pin *pin, struct zl_error *err);
/* 1: found, pin->pin is filled in; 0: nothing is stored of that image of the service. */
int zl_store_get_pin(struct zl_store *store, struct zl_stored_pin *pin, struct zl_error *err);
