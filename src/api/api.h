/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP interface of the daemon: HTTP/1.1 and JSON over a unix socket. It hangs on the manager's loop and has no thread
 * of its own; what blocks goes to the manager's pool. The routes stand in routes.c, the document for users is
 * docs/openapi.yaml, how it works inside is told in docs/api.md.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "agent/manager.h"

struct zl_api;

struct zl_api_options {
        struct zl_manager *manager; /* must outlive the API */
        const char *root_dir, *runtime_dir;
        int listener; /* a listening unix socket; becomes ours on success */
        bool has_group;
        gid_t group; /* members may connect too; otherwise root and our own user only */
};

int zl_api_new(const struct zl_api_options *options, struct zl_api **ret, struct zl_error *err);
/* Takes no more connections and ends those that stream; requests that work on something are still answered. */
void zl_api_drain(struct zl_api *api);
/* Nothing is under way any more. */
bool zl_api_is_idle(const struct zl_api *api);
/* The pool must have nothing of ours: zl_manager_is_idle(). The loop must run once more. */
void zl_api_free(struct zl_api *api);

/* Every event of the manager, for the streams; never calls back. */
void zl_api_event(struct zl_api *api, const struct zl_event *event);
