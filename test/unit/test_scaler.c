/* SPDX-License-Identifier: Apache-2.0 */
/* Adaptive services in the core: from figures of the runtime to replicas. */
#include "agent_sim.h"

#define SPEC                                                                                       \
        "version: v1\ndeployment: app\nservices:\n  web:\n    image: {name: x}\n"                  \
        "    scale: {mode: adaptive, min: 1, max: 5, cooldown: 20s, targets: {cpu: 50}}\n"

/* Each replica uses this part of one processor while `span` passes. */
static void work(struct sim *sim, double part, int64_t span)
{
        static uint64_t used; /* one counter for all: only differences count */

        for (int64_t left = span; left > 0; left -= ZL_NSEC_PER_SEC) {
                used += (uint64_t)(part * 1e6);
                for (unsigned i = 1; i <= 5; i++) {
                        struct zl_stats stats = { .time = sim->now,
                                                  .cpu_usec = used,
                                                  .memory_limit = UINT64_MAX };
                        char name[32];

                        snprintf(name, sizeof(name), "app.web.%u", i);
                        if (sim_exists(sim, name))
                                assert_int_equal(zl_mock_set_stats(sim->rt, name, &stats, NULL), 0);
                }
                sim_advance(sim, ZL_NSEC_PER_SEC);
        }
}

static unsigned count(struct sim *sim)
{
        unsigned n = 0;

        for (unsigned i = 1; i <= 6; i++) {
                char name[32];

                snprintf(name, sizeof(name), "app.web.%u", i);
                n += sim_exists(sim, name);
        }
        return n;
}

static void test_up_and_down(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SPEC, false);
        work(sim, 0.45, 60 * ZL_NSEC_PER_SEC);
        assert_int_equal(count(sim), 1);
        work(sim, 1.0, 60 * ZL_NSEC_PER_SEC);
        assert_true(count(sim) >= 2);
        work(sim, 1.0, 120 * ZL_NSEC_PER_SEC);
        assert_int_equal(count(sim), 5);
        assert_true(sim_count(sim, "scaled app.web") >= 2);
        work(sim, 0.0, 300 * ZL_NSEC_PER_SEC);
        assert_int_equal(count(sim), 1);
        sim_free(sim);
}

static void test_what_was_found_stays(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SPEC, false);
        work(sim, 1.0, 180 * ZL_NSEC_PER_SEC);
        assert_int_equal(count(sim), 5);
        sim_kill_agent(sim);
        sim_up(sim, SPEC, true);
        assert_int_equal(count(sim), 5);
        work(sim, 0.5, 60 * ZL_NSEC_PER_SEC);
        assert_int_equal(count(sim), 5);
        sim_free(sim);
}

static void test_figures_that_cannot_be_had(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SPEC, false);
        sim_advance(sim, 120 * ZL_NSEC_PER_SEC);
        assert_int_equal(count(sim), 1);
        assert_int_equal(sim_count(sim, "scaled app.web"), 0);
        sim_free(sim);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_up_and_down),
                cmocka_unit_test(test_what_was_found_stays),
                cmocka_unit_test(test_figures_that_cannot_be_had),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
