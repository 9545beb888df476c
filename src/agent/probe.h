/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes on libuv: connections and commands that are watched by the event loop, so that thousands cost no thread each.
 * Only what must block for a moment (entering a network, asking a monitor for a command) goes to the worker pool.
 */
#pragma once

#include <uv.h>

#include "agent/host.h"
#include "agent/pool.h"

/* Begins; probe->done() is called later on the loop's thread, whatever happens. `pool` and `rt` must outlive that. */
void zl_probe_run(uv_loop_t *uv, struct zl_pool *pool, struct zl_runtime *rt,
                  struct zl_probe *probe);
/* done() comes soon. */
void zl_probe_abort(struct zl_probe *probe);
