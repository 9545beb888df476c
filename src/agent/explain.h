/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why something is not running, in plain words: the chain of causes from what was asked about to what is at the bottom of
 * it, each with the last lines of its log. Made from what is stored and what the runtime says, so it works with or without an
 * agent.
 */
#pragma once

#include <stdbool.h>

#include <zlayer/spec.h>

#include "agent/view.h"

struct zl_cause {
        char *name;     /* whose: DEPLOYMENT, DEPLOYMENT.SERVICE or a full name */
        char *text;     /* one sentence without its subject: "waits for db to become healthy" */
        char **log;     /* its last lines, oldest first; or NULL */
        unsigned depth; /* how far down the chain; 0: of what was asked about */
};

struct zl_explanation {
        struct zl_cause *causes;
        size_t n;
};
void zl_explanation_done(struct zl_explanation *explanation);
#define _cleanup_explanation_ _cleanup_(zl_explanation_done)

struct zl_explain_input {
        struct zl_runtime *rt; /* for logs; NULL: without */
        const struct zl_view_list *views;
        const struct zl_stored_replica *stored;
        size_t n_stored;
        const char *deployment;
        const struct zl_deployment_spec *spec; /* NULL: unknown */
        const char *failure;                   /* of its last start, or NULL */
        bool active;                           /* an agent looks after it */
        size_t n_lines;                        /* of logs */
};

/* `service` NULL: all of the deployment; `replica` 0: all of the service. No causes: all of it runs and is well, or has
 * done what it was to do. May block on the disk. Any thread. */
int zl_explain(const struct zl_explain_input *input, const char *service, uint32_t replica,
               struct zl_explanation *ret, struct zl_error *err);
