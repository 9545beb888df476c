/* SPDX-License-Identifier: Apache-2.0 */
/* What `up` shows: a line for each event, and the log lines of all replicas with their names in front. */
#pragma once

#include <uv.h>

#include <zlayer/runtime.h>

#include "agent/event.h"
#include "cli/cli.h"

struct zl_up_view;

struct zl_up_view_options {
        const struct zl_cli *cli;
        struct zl_runtime *rt;
        uv_loop_t *uv;
        bool quiet_logs; /* events only (the background agent) */
        int name_width;  /* of the longest SERVICE.REPLICA */
};

/* What the options point to must outlive the view. */
int zl_up_view_new(const struct zl_up_view_options *options, struct zl_up_view **ret,
                   struct zl_error *err);
void zl_up_view_free(struct zl_up_view *view);
/* Shows an event, and begins to follow the log of what has been started. */
void zl_up_view_event(struct zl_up_view *view, const struct zl_event *event);
/* Are there logs whose end has not been reached? */
bool zl_up_view_is_busy(const struct zl_up_view *view);
