/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is told of executions and schedules, read from the store: the same for the command line (which reads it itself
 * while there is no daemon) and for the API.
 */
#pragma once

#include "agent/job.h"
#include "agent/store.h"
#include "base/json.h"

enum { ZL_SCHEDULE_NEXT = 5 };

/* A cron job of a deployment that the store knows. Strings are valid during the call that tells it. What cannot be read
 * is told as well, so that it hides nobody else's: then `problem` says why, and what is not known is NULL. */
struct zl_schedule_info {
        const char *deployment, *service, *schedule, *timezone;
        const char *problem;            /* NULL: none */
        bool up;                        /* an agent looks after the deployment, or is to */
        bool enabled;                   /* nobody has switched it off */
        int64_t last;                   /* wall clock: its last execution was made; 0: never */
        int64_t next[ZL_SCHEDULE_NEXT]; /* wall clock */
        size_t n_next;
};

/* In order of deployment and of the spec. `each` may stop it by a negative return, which is then returned. */
int zl_schedules_read(struct zl_store *store,
                      int (*each)(const struct zl_schedule_info *info, void *data), void *data,
                      struct zl_error *err);

/* New documents; NULL without memory. */
json_t *zl_execution_to_json(const struct zl_execution_record *record);
json_t *zl_schedule_to_json(const struct zl_schedule_info *info);
