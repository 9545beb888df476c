/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real host of the agent core: libuv's loop and worker pool, the machine's clocks, the store. Everything happens
 * on the thread that runs the loop, except the blocking halves of operations.
 */
#pragma once

#include <uv.h>

#include "agent/agent.h"
#include "agent/pool.h"
#include "agent/store.h"

struct zl_agent_loop;

struct zl_agent_loop_options {
        struct zl_runtime *rt;  /* must outlive the loop */
        struct zl_store *store; /* the same */
        /* Called for each event after it was stored; may be NULL. */
        void (*on_event)(const struct zl_event *event, void *data);
        void *data;
};

int zl_agent_loop_new(const struct zl_agent_loop_options *options, struct zl_agent_loop **ret,
                      struct zl_error *err);
/* The agent must be idle, and handles that others put on the loop closed. Workloads go on. */
void zl_agent_loop_free(struct zl_agent_loop *loop);
ZL_DEFINE_CLEANUP(struct zl_agent_loop *, zl_agent_loop_freep, zl_agent_loop_free)

uv_loop_t *zl_agent_loop_uv(struct zl_agent_loop *loop);
struct zl_agent *zl_agent_loop_agent(struct zl_agent_loop *loop);
/* For other blocking work on the same loop; all of it must be done before the loop is freed. */
struct zl_pool *zl_agent_loop_pool(struct zl_agent_loop *loop);

/* A descriptor that others want to know about: `cb` is called while it is readable, until zl_loop_poll_stop(). */
struct zl_loop_poll;
int zl_loop_poll_start(uv_loop_t *uv, int fd, void (*cb)(void *data), void *data,
                       struct zl_loop_poll **ret);
/* The descriptor may be closed afterwards. NULL is allowed. */
void zl_loop_poll_stop(struct zl_loop_poll *poll);
