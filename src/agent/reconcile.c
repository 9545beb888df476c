/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See reconcile.h. One call costs facts × services comparisons of names for the index and is linear after that: it runs
 * after every change, so with a thousand replicas it must not be quadratic in them.
 *
 * Starting goes with the dependencies, stopping against them: a surplus replica is left alone while a service that
 * depends on it still has a living one.
 */
#include "agent/reconcile.h"

#include <stdlib.h>
#include <string.h>

struct view {
        const struct zl_wish *wish;
        const struct zl_fact *facts;
        size_t n_facts;
        size_t *service_of; /* per fact: index of its service or SIZE_MAX */
        size_t *offsets;    /* per service: where its replicas begin in `slots` */
        size_t *slots;      /* per wished replica: index of its fact or SIZE_MAX */
        size_t *alive;      /* per service: living replicas */
        struct zl_action *actions;
        size_t n_actions, room;
};

bool zl_state_is_alive(enum zl_workload_state state)
{
        return state != ZL_STATE_EXITED && state != ZL_STATE_FAILED;
}

static int add(struct view *v, enum zl_action_kind kind, size_t service, size_t fact,
               uint32_t replica)
{
        if (v->n_actions == v->room) {
                size_t room = v->room ? v->room * 2 : 16;
                struct zl_action *actions = reallocarray(v->actions, room, sizeof(*actions));

                if (!actions)
                        return -ENOMEM;
                v->actions = actions;
                v->room = room;
        }
        v->actions[v->n_actions++] = (struct zl_action){ kind, service, fact, replica };
        return 0;
}

static size_t find_service(const struct zl_wish *wish, const char *name)
{
        for (size_t i = 0; i < wish->n_services; i++)
                if (zl_streq(wish->services[i].name, name))
                        return i;
        return SIZE_MAX;
}

static void view_done(struct view *v)
{
        free(v->service_of);
        free(v->offsets);
        free(v->slots);
        free(v->alive);
        free(v->actions);
}

static int view_init(struct view *v, const struct zl_wish *wish, const struct zl_fact *facts,
                     size_t n_facts)
{
        size_t n_slots = 0;

        *v = (struct view){ .wish = wish, .facts = facts, .n_facts = n_facts };
        v->service_of = calloc(n_facts + 1, sizeof(size_t));
        v->offsets = calloc(wish->n_services + 1, sizeof(size_t));
        v->alive = calloc(wish->n_services + 1, sizeof(size_t));
        if (!v->service_of || !v->offsets || !v->alive)
                return -ENOMEM;
        for (size_t i = 0; i < wish->n_services; i++) {
                v->offsets[i] = n_slots;
                n_slots += wish->services[i].replicas;
        }
        v->slots = malloc((n_slots + 1) * sizeof(size_t));
        if (!v->slots)
                return -ENOMEM;
        memset(v->slots, 0xff, (n_slots + 1) * sizeof(size_t));
        for (size_t f = 0; f < n_facts; f++) {
                size_t s = v->service_of[f] = find_service(wish, facts[f].service);

                if (s == SIZE_MAX)
                        continue;
                v->alive[s] += zl_state_is_alive(facts[f].state);
                if (facts[f].replica >= 1 && facts[f].replica <= wish->services[s].replicas)
                        v->slots[v->offsets[s] + facts[f].replica - 1] = f;
        }
        return 0;
}

/* A dependency counts all wished replicas of its service. */
static bool is_met(const struct view *v, const struct zl_wish_dependency *dep)
{
        const size_t *slots = v->slots + v->offsets[dep->service];

        for (uint32_t i = 0; i < v->wish->services[dep->service].replicas; i++) {
                const struct zl_fact *fact;

                if (slots[i] == SIZE_MAX)
                        return false;
                fact = &v->facts[slots[i]];
                if (!fact->managed || !(dep->complete ? fact->completed : fact->has_started))
                        return false;
        }
        return true;
}

static bool is_ready(const struct view *v, size_t service)
{
        const struct zl_wish_service *s = &v->wish->services[service];

        for (size_t i = 0; i < s->n_depends && !s->released; i++)
                if (!is_met(v, &s->depends[i]))
                        return false;
        return true;
}

static int wanted_replica(struct view *v, size_t service, uint32_t replica, bool ready)
{
        const struct zl_wish_service *s = &v->wish->services[service];
        size_t f = v->slots[v->offsets[service] + replica - 1];
        const struct zl_fact *fact;
        bool keep;

        if (f == SIZE_MAX)
                return ready ? add(v, ZL_ACTION_START, service, SIZE_MAX, replica) : 0;
        fact = &v->facts[f];
        if (fact->managed)
                return 0;
        if (fact->state == ZL_STATE_EXITED)
                keep = v->wish->recovering;
        else
                keep = zl_state_is_alive(fact->state) && fact->state != ZL_STATE_PENDING;
        if (keep && (!fact->hash || zl_streq(fact->hash, s->hash)))
                return add(v, ZL_ACTION_ADOPT, service, f, replica);
        return ready ? add(v, ZL_ACTION_REPLACE, service, f, replica) : 0;
}

/* Does a service that depends on this one still have something alive? */
static bool is_needed(const struct view *v, size_t service)
{
        for (size_t i = 0; i < v->wish->n_services; i++) {
                const struct zl_wish_service *s = &v->wish->services[i];

                for (size_t d = 0; d < s->n_depends && v->alive[i] > 0; d++)
                        if (s->depends[d].service == service)
                                return true;
        }
        return false;
}

static int surplus(struct view *v, size_t f)
{
        const struct zl_fact *fact = &v->facts[f];
        size_t s = v->service_of[f];

        if (fact->going)
                return 0;
        if (s != SIZE_MAX && fact->replica >= 1 && fact->replica <= v->wish->services[s].replicas)
                return 0;
        if (!zl_state_is_alive(fact->state))
                return v->wish->remove_ended ? add(v, ZL_ACTION_REMOVE, s, f, fact->replica) : 0;
        if (s != SIZE_MAX && is_needed(v, s))
                return 0;
        return add(v, ZL_ACTION_STOP, s, f, fact->replica);
}

int zl_reconcile(const struct zl_wish *wish, const struct zl_fact *facts, size_t n_facts,
                 struct zl_action **ret, size_t *ret_n)
{
        struct view v;
        int r = view_init(&v, wish, facts, n_facts);

        for (size_t f = 0; r >= 0 && f < n_facts; f++)
                r = surplus(&v, f);
        for (size_t s = 0; r >= 0 && s < wish->n_services; s++) {
                bool ready = is_ready(&v, s);

                for (uint32_t i = 1; r >= 0 && i <= wish->services[s].replicas; i++)
                        r = wanted_replica(&v, s, i, ready);
        }
        if (r >= 0) {
                *ret = zl_take_ptr(v.actions);
                *ret_n = v.n_actions;
        }
        view_done(&v);
        return r;
}
