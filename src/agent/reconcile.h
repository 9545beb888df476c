/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heart of the agent as a pure function: from what is wished and what is, to what is to be done now. It is called
 * after every change; what cannot be done yet (a dependency is missing, a dependent still runs) is simply not in the
 * list and comes with a later call.
 *
 * It decides which replicas exist and under which spec. How one replica lives (create, start, back off …) is its own
 * small machine in replica.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <zlayer/runtime.h>

#include "base/error.h"

/* What all replicas of a dependency must have come to. */
enum zl_need {
        ZL_NEED_STARTED,
        ZL_NEED_AVAILABLE, /* those that are excused aside; at least one */
        ZL_NEED_COMPLETED, /* it is a job, and must have ended well */
};

struct zl_wish_dependency {
        size_t service; /* index in zl_wish.services */
        enum zl_need need;
};

struct zl_wish_service {
        const char *name;
        const char *hash;  /* of its spec: a replica made from another one is replaced */
        uint32_t replicas; /* 0: none of it may run */
        bool prepared;     /* its image is here: a replica that works may be replaced */
        bool released;     /* do not wait for dependencies (any more) */
        const struct zl_wish_dependency *depends;
        size_t n_depends;
};

struct zl_wish {
        const struct zl_wish_service *services; /* in an order that respects the dependencies */
        size_t n_services;
        bool recovering; /* an agent was killed: what ended meanwhile is judged, not started anew */
        bool remove_ended; /* remove surplus replicas that have ended; else leave their records */
};

struct zl_fact {
        const char *service;
        uint32_t replica;
        enum zl_workload_state state; /* of a managed one that is not made yet: PENDING */
        const char *hash;             /* of the spec it was made from; NULL: unknown */
        bool managed;                 /* a machine of ours looks after it */
        bool has_started; /* managed: its process was seen running in this life or is over */
        bool completed;   /* managed: it ended well */
        bool available;   /* managed: it does its work */
        bool settled;     /* managed: nothing more happens to it by itself */
        bool excused;     /* managed: it ended as somebody wanted, or well: nobody waits for it */
        bool going;       /* managed: it was told to stop already */
        bool spent; /* managed: it ended and was removed, as its spec wants; counts as there */
};

enum zl_action_kind {
        ZL_ACTION_START, /* there is none: make one */
        ZL_ACTION_ADOPT, /* it is there and right: look after it */
        ZL_ACTION_REPLACE, /* it is there (or managed) but wrong or used up: stop, remove, make anew */
        ZL_ACTION_STOP,    /* surplus and alive: stop it (and remove it, if so wished) */
        ZL_ACTION_REMOVE, /* surplus and ended */
};

struct zl_action {
        enum zl_action_kind kind;
        size_t service; /* index in wish.services, or SIZE_MAX if the service is not in it */
        size_t fact;    /* index in facts, or SIZE_MAX (START) */
        uint32_t replica;
};

/*
 * Which replicas of a service stay when there are too many: first those that do their work, then those that live, then by
 * number. Missing ones get the lowest free numbers.
 *
 * A working replica of another spec is replaced only when the image of the new one is here, its dependencies are met and
 * of the new spec themselves, and every replica that is new already is available or has settled: one at a time.
 *
 * Facts may be in any order. The caller frees `*ret`. 0 or -ENOMEM. */
int zl_reconcile(const struct zl_wish *wish, const struct zl_fact *facts, size_t n_facts,
                 struct zl_action **ret, size_t *ret_n);

/* Pending, initializing, running, paused or stopping: something of it may be on the machine. */
bool zl_state_is_alive(enum zl_workload_state state) _const_;
