/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One agent per deployment. An agent that looks after a deployment holds <root_dir>/deployments/NAME.lock and listens on
 * <runtime_dir>/deployments/NAME.sock, where others may ask it to stop. The lock goes away with the process, however it
 * ends, so its being held means that somebody is really there.
 *
 * The conversation is one line each way: "stop" (leave records and logs) or "down" (remove them too), answered by "ok"
 * or "error TEXT" when it is done.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/error.h"

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
void zl_control_close(struct zl_control *control);
/* Removes what an agent that was killed left at that place. The lock must be held. */
void zl_control_forget(const char *runtime_dir, const char *deployment);

/* Does an agent look after this deployment? */
bool zl_control_is_served(const char *runtime_dir, const char *deployment);

/* Asks the agent of a deployment and waits for the answer, at most `timeout_nsec` (negative: as long as it takes).
 * ZL_E_NOT_FOUND if nobody listens. */
int zl_control_ask(const char *runtime_dir, const char *deployment, const char *line,
                   int64_t timeout_nsec, struct zl_error *err);
