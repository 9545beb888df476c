/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a replica's machine share (replica.c, replica_end.c). What others may call is in core.h. */
#pragma once

#include "agent/core.h"

/* ---- replica.c: what is told of it ---- */

/* About this replica, with its reason as the message. */
struct zl_event zl_replica_event_of(const struct replica *r, enum zl_event_type type);
void zl_replica_tell(struct replica *r, enum zl_event_type type); /* without a message */
void zl_replica_set_reason(struct replica *r, const char *reason);
/* Saves it, too. */
void zl_replica_set_phase(struct replica *r, enum zl_replica_phase phase);
void zl_replica_close_watch(struct replica *r);

/* ---- replica_end.c ---- */

/* Its workload is in no state to be well or ready in. */
void zl_replica_ended(struct replica *r, enum zl_workload_state state);
/* The end of its workload is known. */
void zl_replica_on_end(struct replica *r, const struct zl_status *status);
/* We stopped it because it was unhealthy: that counts as a failure of its own, whatever it ended with. */
void zl_replica_judge_sick(struct replica *r, int64_t ran_nsec);
/* An operation failed; moves `err`. */
void zl_replica_on_fault(struct replica *r, struct zl_error *err);
