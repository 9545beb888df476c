/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent-sim: runs the agent core in a world of its own for one seed after another.
 *
 *     agent-sim [-v] [--inputs N] [--steady-tags] SEED...      these seeds
 *     agent-sim [--inputs N] --fresh SECONDS                   new seeds for so long
 *
 * Each seed is a life of N inputs (default 20000) under faults; then it becomes calm, everything must come to a good end, and
 * after a `down` nothing may be left. The first seed that fails ends the program with 1 and the last things that happened.
 */
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "sim/world.h"

#define CALM_SPAN (4 * 3600 * ZL_NSEC_PER_SEC)

static void live(struct world *w, uint64_t inputs)
{
        while (w->n_inputs < inputs)
                if (!world_step(w, INT64_MAX - 1))
                        world_fail(w, "nothing will ever happen again");
}

/* No more faults. Whoever failed for good is brought up anew, like people would. */
static void calm_down(struct world *w)
{
        int64_t until;

        w->calm = true;
        for (int i = 0; i < 20; i++) {
                until = w->now + CALM_SPAN / 20;
                while (world_step(w, until))
                        ;
                w->now = until;
                people_bring_up(w);
        }
        people_check_wishes(w);
        people_check_returns(w, CALM_SPAN / 20);
}

static void check_nothing_left(struct world *w)
{
        struct zl_status *list = NULL;
        size_t n = 0;

        if (zl_runtime_list(w->rt, &list, &n, NULL) < 0)
                abort();
        if (n > 0)
                world_fail(w, "%s is left", list[0].name);
        free(list);
        if (!zl_agent_is_idle(w->agent))
                world_fail(w, "the agent is still busy");
        if (w->n_watches > 0)
                world_fail(w, "%zu watches are left", w->n_watches);
        if (zl_map_size(w->hashes) > 0) {
                const char *name;
                size_t pos = 0;

                zl_map_next(w->hashes, &pos, &name, NULL);
                world_fail(w, "the store still knows %s", name);
        }
}

static void take_down(struct world *w)
{
        struct zl_agent_stop_options stop = { .remove = true };
        int64_t until = w->now + 3600 * ZL_NSEC_PER_SEC;

        for (size_t d = 0; d < WORLD_DEPLOYMENTS; d++)
                if (zl_agent_stop(w->agent, world_deployment(d), NULL, &stop, NULL) < 0)
                        world_fail(w, "%s cannot be stopped", world_deployment(d));
        while (world_step(w, until))
                ;
        for (size_t d = 0; d < WORLD_DEPLOYMENTS; d++)
                if (zl_agent_phase(w->agent, world_deployment(d)) != ZL_DEPLOYMENT_STOPPED)
                        world_fail(w, "%s does not stop", world_deployment(d));
        check_nothing_left(w);
        jobs_check_over(w);
}

struct options {
        uint64_t inputs;
        bool verbose, tags_move;
};

static uint64_t run_seed(uint64_t seed, const struct options *o)
{
        struct world *w = world_new(seed, o->verbose, o->tags_move);
        uint64_t n;

        live(w, o->inputs);
        calm_down(w);
        take_down(w);
        n = w->n_inputs;
        world_free(w);
        return n;
}

int main(int argc, char **argv)
{
        int64_t begin = zl_now_monotonic(), fresh = 0;
        struct options options = { .inputs = 20000, .tags_move = true };
        uint64_t total = 0, seeds = 0;
        double took;

        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "-v") == 0) {
                        options.verbose = true;
                } else if (strcmp(argv[i], "--steady-tags") == 0) {
                        options.tags_move = false; /* of the seeds that follow */
                } else if (strcmp(argv[i], "--moving-tags") == 0) {
                        options.tags_move = true;
                } else if (strcmp(argv[i], "--inputs") == 0 && i + 1 < argc) {
                        options.inputs = strtoull(argv[++i], NULL, 10);
                } else if (strcmp(argv[i], "--fresh") == 0 && i + 1 < argc) {
                        fresh = strtoll(argv[++i], NULL, 10) * ZL_NSEC_PER_SEC;
                } else {
                        total += run_seed(strtoull(argv[i], NULL, 10), &options);
                        seeds++;
                }
        }
        while (fresh > 0 && zl_now_monotonic() - begin < fresh) {
                uint64_t seed = zl_random_u64() >> 16;

                printf("fresh seed %llu\n", (unsigned long long)seed);
                fflush(stdout);
                total += run_seed(seed, &options);
                seeds++;
        }
        took = (double)(zl_now_monotonic() - begin) / 1e9;
        printf("%llu seeds, %llu inputs in %.1f s: %.1f million a minute\n",
               (unsigned long long)seeds, (unsigned long long)total, took,
               (double)total / took * 60 / 1e6);
        return 0;
}
