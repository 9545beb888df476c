/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One agent per deployment. An agent that looks after a deployment holds <root_dir>/deployments/NAME.lock and listens on
 * <runtime_dir>/deployments/NAME.sock, where others may ask it to stop. The lock goes away with the process, however it
 * ends, so its being held means that somebody is really there.
 *
 * The conversation is one line each way: "stop" (leave records and logs) or "down" (remove them too), answered by "ok"
 * or "error TEXT" when it is done. "start NAME" and "restart NAME GRACE" (agent.h) are answered when the
 * replica runs. The requests about jobs (job_request.h) are answered at once, and so is "yield", with which a
 * daemon that comes up asks for the deployment.
 *
 * Above these locks there is one for the whole root directory, <root_dir>/agent.lock: the daemon holds it alone, agents of one
 * deployment hold it together. So a daemon and other agents are never there at the same time, whoever came first.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/error.h"

/* Returns a descriptor that holds the lock of the root directory until it is closed, in every process that has it. Alone it
 * writes our process id into the file. ZL_E_BUSY, naming the process that has it alone, if it is held in a way that excludes
 * ours; `*ret_holder` (may be NULL) is then that process, or 0. Does not wait. */
int zl_root_lock_take(const char *root_dir, bool alone, pid_t *ret_holder, struct zl_error *err);

/* Calls `each` for every deployment for which somebody listens or did listen. */
int zl_control_each(const char *runtime_dir, void (*each)(const char *deployment, void *data),
                    void *data, struct zl_error *err);

struct zl_deployment_lock;

/* ZL_E_BUSY, naming the process, if somebody holds it. With `wait` waits for its end instead. */
int zl_deployment_lock_take(const char *root_dir, const char *deployment, bool wait,
                            struct zl_deployment_lock **ret, struct zl_error *err);
/* Writes our process id into it, for messages; again after a fork. */
int zl_deployment_lock_sign(struct zl_deployment_lock *lock, struct zl_error *err);
/* Removes the file too. */
void zl_deployment_lock_release(struct zl_deployment_lock *lock);
/* In a forked process that does not go on with it. */
void zl_deployment_lock_abandon(struct zl_deployment_lock *lock);

struct zl_control;        /* the listening side */
struct zl_control_client; /* one who waits for an answer */

struct zl_control_options {
        uv_loop_t *uv;
        const char *runtime_dir, *deployment;
        /* Called on the loop's thread with the line; must answer at once or later. */
        void (*on_request)(const char *line, struct zl_control_client *client, void *data);
        void *data;
};

/* The lock of the deployment must be held: what an earlier agent left at that place is replaced. */
int zl_control_listen(const struct zl_control_options *options, struct zl_control **ret,
                      struct zl_error *err);
/* Sends the answer and forgets the client. */
void zl_control_answer(struct zl_control_client *client, const char *line);
/* "error TEXT". */
void zl_control_answer_error(struct zl_control_client *client, const struct zl_error *err);
void zl_control_close(struct zl_control *control);
/* Removes what an agent that was killed left at that place. The lock must be held. */
void zl_control_forget(const char *runtime_dir, const char *deployment);

/* Does an agent look after this deployment? */
bool zl_control_is_served(const char *runtime_dir, const char *deployment);

/* The same, and hands back what stands behind "ok", freed by the caller ("" if nothing does). */
int zl_control_query(const char *runtime_dir, const char *deployment, const char *line,
                     int64_t timeout_nsec, char **ret_answer, struct zl_error *err);

/* Asks the agent of a deployment and waits for the answer, at most `timeout_nsec` (negative: as long as it takes).
 * ZL_E_NOT_FOUND if nobody listens. */
int zl_control_ask(const char *runtime_dir, const char *deployment, const char *line,
                   int64_t timeout_nsec, struct zl_error *err);
