/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See reconcile.h. One call costs facts × services comparisons of names for the index and is linear after that: it runs
 * after every change, so with a thousand replicas it must not be quadratic in them.
 *
 * Starting goes with the dependencies, stopping against them: a surplus replica is left alone while a service that
 * depends on it still has a living one that is surplus, too.
 */
#include "agent/reconcile.h"

#include <stdlib.h>
#include <string.h>

struct view {
        const struct zl_wish *wish;
        const struct zl_fact *facts;
        size_t n_facts;
        size_t *service_of; /* per fact: index of its service or SIZE_MAX */
        size_t *members;    /* facts, sorted by service */
        bool *keep;         /* per fact: it may stay */
        struct group *groups;
        struct zl_action *actions;
        size_t n_actions, room;
};

/* What there is of one service: members[first] …, of which the first `n_kept` stay. */
struct group {
        size_t first, n, n_kept;
        size_t n_leaving; /* alive, but not to stay */
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
        free(v->members);
        free(v->keep);
        free(v->groups);
        free(v->actions);
}

static void sort_into_groups(struct view *v)
{
        size_t at = 0;

        for (size_t f = 0; f < v->n_facts; f++) {
                size_t s = v->service_of[f] = find_service(v->wish, v->facts[f].service);

                if (s == SIZE_MAX)
                        continue;
                v->groups[s].n++;
        }
        for (size_t s = 0; s < v->wish->n_services; s++) {
                v->groups[s].first = at;
                at += v->groups[s].n;
                v->groups[s].n = 0;
        }
        for (size_t f = 0; f < v->n_facts; f++)
                if (v->service_of[f] != SIZE_MAX) {
                        struct group *g = &v->groups[v->service_of[f]];

                        v->members[g->first + g->n++] = f;
                }
}

static int rank(const struct zl_fact *f)
{
        if (f->replica == 0 || (f->going && !f->spent))
                return 3;
        if (f->available || !f->managed)
                return zl_state_is_alive(f->state) ? 0 : 2;
        return zl_state_is_alive(f->state) ? 1 : 2;
}

static int compare_members(const void *a, const void *b, void *data)
{
        const struct view *v = data;
        const struct zl_fact *x = &v->facts[*(const size_t *)a], *y = &v->facts[*(const size_t *)b];
        int rx = rank(x), ry = rank(y);

        return rx != ry ? rx - ry : (x->replica > y->replica) - (x->replica < y->replica);
}

static void choose_kept(struct view *v, size_t service)
{
        struct group *g = &v->groups[service];
        uint32_t wanted = v->wish->services[service].replicas;

        if (g->n > 1)
                qsort_r(v->members + g->first, g->n, sizeof(size_t), compare_members, v);
        while (g->n_kept < g->n && g->n_kept < wanted &&
               rank(&v->facts[v->members[g->first + g->n_kept]]) < 3)
                v->keep[v->members[g->first + g->n_kept++]] = true;
        for (size_t i = g->n_kept; i < g->n; i++)
                g->n_leaving += zl_state_is_alive(v->facts[v->members[g->first + i]].state);
}

static int view_init(struct view *v, const struct zl_wish *wish, const struct zl_fact *facts,
                     size_t n_facts)
{
        *v = (struct view){ .wish = wish, .facts = facts, .n_facts = n_facts };
        v->service_of = calloc(n_facts + 1, sizeof(size_t));
        v->members = calloc(n_facts + 1, sizeof(size_t));
        v->keep = calloc(n_facts + 1, sizeof(bool));
        v->groups = calloc(wish->n_services + 1, sizeof(*v->groups));
        if (!v->service_of || !v->members || !v->keep || !v->groups)
                return -ENOMEM;
        sort_into_groups(v);
        for (size_t s = 0; s < wish->n_services; s++)
                choose_kept(v, s);
        return 0;
}

static const struct zl_fact *kept(const struct view *v, size_t service, size_t i)
{
        return &v->facts[v->members[v->groups[service].first + i]];
}

static bool satisfies(const struct zl_fact *fact, enum zl_need need)
{
        if (need == ZL_NEED_COMPLETED)
                return fact->completed;
        return fact->excused || (need == ZL_NEED_AVAILABLE ? fact->available : fact->has_started);
}

/* A dependency counts all wished replicas of its service. */
static bool is_met(const struct view *v, const struct zl_wish_dependency *dep)
{
        const struct group *g = &v->groups[dep->service];
        size_t n_available = 0;

        if (g->n_kept < v->wish->services[dep->service].replicas)
                return false;
        for (size_t i = 0; i < g->n_kept; i++) {
                const struct zl_fact *fact = kept(v, dep->service, i);

                if (!fact->managed || !satisfies(fact, dep->need))
                        return false;
                n_available += fact->available;
        }
        return n_available > 0 || g->n_kept == 0 || dep->need != ZL_NEED_AVAILABLE;
}

static bool is_ready(const struct view *v, size_t service)
{
        const struct zl_wish_service *s = &v->wish->services[service];

        for (size_t i = 0; i < s->n_depends && !s->released; i++)
                if (!is_met(v, &s->depends[i]))
                        return false;
        return true;
}

/* ---- from one spec to the next ---------------------------------------------------------------------------- */

static bool is_outdated(const struct zl_fact *fact, const struct zl_wish_service *s)
{
        return fact->hash && !zl_streq(fact->hash, s->hash);
}

static bool has_outdated(const struct view *v, size_t service)
{
        for (size_t i = 0; i < v->groups[service].n_kept; i++)
                if (is_outdated(kept(v, service, i), &v->wish->services[service]))
                        return true;
        return false;
}

/* Replaces one replica of an older spec, if now is the time. Those that do not work go first. */
static int roll(struct view *v, size_t service, bool ready)
{
        const struct zl_wish_service *s = &v->wish->services[service];
        size_t next = SIZE_MAX;

        if (!has_outdated(v, service) || !ready || !s->prepared)
                return 0;
        for (size_t i = 0; i < s->n_depends && !s->released; i++)
                if (has_outdated(v, s->depends[i].service))
                        return 0;
        for (size_t i = 0; i < v->groups[service].n_kept; i++) {
                const struct zl_fact *fact = kept(v, service, i);

                /* What was found dead is made anew at once: then that is the one of this time. */
                if (!fact->managed &&
                    (!zl_state_is_alive(fact->state) || fact->state == ZL_STATE_PENDING))
                        return 0;
                if (!is_outdated(fact, s)) {
                        if (fact->managed && !fact->available && !fact->settled)
                                return 0;
                } else if (next == SIZE_MAX || (rank(kept(v, service, next)) < rank(fact))) {
                        next = i;
                }
        }
        return add(v, ZL_ACTION_REPLACE, service, v->members[v->groups[service].first + next],
                   kept(v, service, next)->replica);
}

/* ---- one replica -------------------------------------------------------------------------------------------- */

static int wanted_replica(struct view *v, size_t service, size_t f, bool ready)
{
        const struct zl_wish_service *s = &v->wish->services[service];
        const struct zl_fact *fact = &v->facts[f];
        bool keep;

        if (fact->managed)
                return 0;
        if (fact->state == ZL_STATE_EXITED)
                keep = v->wish->recovering;
        else
                keep = zl_state_is_alive(fact->state) && fact->state != ZL_STATE_PENDING;
        if (keep && !is_outdated(fact, s))
                return add(v, ZL_ACTION_ADOPT, service, f, fact->replica);
        /* One that lives is replaced in its turn. */
        if (keep && zl_state_is_alive(fact->state))
                return 0;
        return ready ? add(v, ZL_ACTION_REPLACE, service, f, fact->replica) : 0;
}

/* Starts what is missing, under the lowest free numbers. A number whose last replica is still going is waited for. */
static int start_missing(struct view *v, size_t service)
{
        const struct group *g = &v->groups[service];
        size_t missing = v->wish->services[service].replicas - g->n_kept;
        size_t n_marks = g->n + missing + 1;
        _cleanup_free_ uint8_t *marks = NULL; /* 1: kept, 2: busy */
        int r = 0;

        if (missing == 0)
                return 0;
        marks = calloc(n_marks, 1);
        if (!marks)
                return -ENOMEM;
        for (size_t i = 0; i < g->n; i++) {
                const struct zl_fact *fact = kept(v, service, i);

                if (fact->replica < n_marks)
                        marks[fact->replica] = i < g->n_kept ? 1 : 2;
        }
        for (uint32_t number = 1; r >= 0 && missing > 0; number++) {
                if (marks[number] == 1)
                        continue;
                missing--;
                if (marks[number] == 0)
                        r = add(v, ZL_ACTION_START, service, SIZE_MAX, number);
        }
        return r;
}

/* Does a service that depends on this one still have something alive that is to go first? What is to stay does not
 * count: then somebody wants it without. */
static bool is_needed(const struct view *v, size_t service)
{
        for (size_t i = 0; i < v->wish->n_services; i++) {
                const struct zl_wish_service *s = &v->wish->services[i];

                for (size_t d = 0; d < s->n_depends && v->groups[i].n_leaving > 0; d++)
                        if (s->depends[d].service == service)
                                return true;
        }
        return false;
}

static int surplus(struct view *v, size_t f)
{
        const struct zl_fact *fact = &v->facts[f];
        size_t s = v->service_of[f];

        if (fact->going || v->keep[f])
                return 0;
        if (!zl_state_is_alive(fact->state))
                return v->wish->remove_ended ? add(v, ZL_ACTION_REMOVE, s, f, fact->replica) : 0;
        if (s != SIZE_MAX && is_needed(v, s))
                return 0;
        return add(v, ZL_ACTION_STOP, s, f, fact->replica);
}

static int wanted(struct view *v, size_t service)
{
        const struct group *g = &v->groups[service];
        bool ready = is_ready(v, service);
        int r = ready ? start_missing(v, service) : 0;

        for (size_t i = 0; r >= 0 && i < g->n_kept; i++)
                r = wanted_replica(v, service, v->members[g->first + i], ready);
        return r < 0 ? r : roll(v, service, ready);
}

int zl_reconcile(const struct zl_wish *wish, const struct zl_fact *facts, size_t n_facts,
                 struct zl_action **ret, size_t *ret_n)
{
        struct view v;
        int r = view_init(&v, wish, facts, n_facts);

        for (size_t f = 0; r >= 0 && f < n_facts; f++)
                r = surplus(&v, f);
        for (size_t s = 0; r >= 0 && s < wish->n_services; s++)
                r = wanted(&v, s);
        if (r >= 0) {
                *ret = zl_take_ptr(v.actions);
                *ret_n = v.n_actions;
        }
        view_done(&v);
        return r;
}
