/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads for what blocks, beside a libuv loop. libuv's own pool has a fixed number of threads for the whole process,
 * so as many calls that hang stop everything. This one runs a few tasks at a time, but a task that has been running for
 * more than a second is no longer counted: it blocks itself and nobody else. Threads that have had nothing to do for a
 * while end, so an idle agent has none.
 *
 * A brief task is one that as a rule takes less time than to wake a thread. Those that come together are done by one worker,
 * one after the other, and told together; when the first of them turns out to hang, others take the rest after a
 * quarter of a second.
 *
 * zl_pool_new(), zl_pool_submit() and zl_pool_free() are called on the loop's thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/macro.h"

struct zl_pool;

/* Embedded in what is to be done. */
struct zl_task {
        void (*run)(struct zl_task *task);  /* on a worker; may block */
        void (*done)(struct zl_task *task); /* then on the loop's thread; may free the task */
        bool brief;
        struct zl_task *next; /* the pool's */
};

/* At most `n_at_once` tasks that have begun within the last second run at the same time. 0 or a negative errno. */
int zl_pool_new(uv_loop_t *uv, unsigned n_at_once, struct zl_pool **ret);
/* All tasks must be done. The loop must run once more for the handles to be closed. NULL is allowed. */
void zl_pool_free(struct zl_pool *pool);

/* Never fails and never calls back before it has returned: without memory for a thread the task waits for one. */
void zl_pool_submit(struct zl_pool *pool, struct zl_task *task);
/* Submitted, not done. */
unsigned zl_pool_pending(const struct zl_pool *pool);
