/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with a document: a list of problems, each with its place. Made by the readers of
 * specs and other documents with a schema, which report all they can find, not only the first.
 */
#ifndef ZLAYER_PROBLEM_H
#define ZLAYER_PROBLEM_H

#include <stddef.h>
#include <stdint.h>

#include <zlayer/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The step that found a problem. */
enum zl_phase {
        ZL_PHASE_DECODE,      /* the text is not YAML/JSON, or does not have the form of the type */
        ZL_PHASE_VALIDATE,    /* a single value breaks a rule */
        ZL_PHASE_CROSS_CHECK, /* values that do not go together */
};

struct zl_problem {
        enum zl_phase phase;
        uint32_t line, column; /* from 1; 0 where unknown */
        char *path;    /* "services.web.endpoints[0].port"; "(root)", or "(document)" for syntax */
        char *kind;    /* name of the rule, such as "UnknownDependency", or NULL */
        char *message; /* what is wrong, in words */
        char *hint;    /* what may be meant or is allowed, or NULL */
        char *subject; /* path of the value that is missing or unusable through this, or NULL */
};

/* Never more than a fixed number is kept; `n_dropped` counts the rest. */
struct zl_problems {
        struct zl_problem *items;
        size_t n;
        size_t n_dropped;
};

/* Frees the list itself too. NULL is allowed. */
ZL_PUBLIC void zl_problems_free(struct zl_problems *problems);
/* "decode", "validate" or "cross_check". */
ZL_PUBLIC const char *zl_phase_name(enum zl_phase phase);

#ifdef __cplusplus
}
#endif
#endif
