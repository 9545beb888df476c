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

/* Where to look. */
struct zl_explain_source {
        struct zl_runtime *rt;
        struct zl_store *store; /* NULL: there is none */
        const char *runtime_dir;
        size_t n_lines; /* of logs; 0: none */
};

/* `name` is a deployment, a service or a container, in the forms that other commands take. No causes: all of it runs and is well,
 * or has done what it was to do. ZL_E_NOT_FOUND. Blocks on the disk and asks the runtime. Any thread whose the store is. */
int zl_explain(const struct zl_explain_source *source, const char *name, struct zl_explanation *ret,
               struct zl_error *err);

/* A new document; NULL without memory. */
json_t *zl_explanation_to_json(const struct zl_explanation *explanation, const char *name);
