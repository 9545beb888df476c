/* SPDX-License-Identifier: Apache-2.0 */
/* Who may get traffic: what the core tells the runtime, and when. */
#include "agent_sim.h"

#define CHECKED                                                                                           \
        SIM_ONE("    health: {start_grace: 0s, interval: 1s, retries: 2, check: {type: tcp, port: 80}}\n" \
                "    restart_policy: {kind: no}\n")

static int look_ill(struct sim *sim, const struct zl_probe *probe)
{
        (void)sim;
        (void)probe;
        return -1;
}

static int look_busy(struct sim *sim, const struct zl_probe *probe)
{
        (void)sim;
        (void)probe;
        return -EAGAIN;
}

/* True if the next operation is of this kind; it is not done yet. */
static bool next_is(const struct sim *sim, enum zl_op_kind kind)
{
        return sim->n_ops > 0 && sim->ops[0]->kind == kind;
}

static void without_a_check_as_soon_as_it_runs(void **state)
{
        struct sim *sim = sim_new();
        struct zl_agent_stop_options stop = { .remove = true };

        (void)state;
        sim_up(sim, SIM_ONE(""), false);
        assert_true(zl_mock_is_ready(sim->rt, "shop.web.1"));
        assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_SET_READY), 1);
        assert_int_equal(zl_agent_stop(sim->agent, "shop", NULL, &stop, NULL), 0);
        assert_true(next_is(sim, ZL_OP_READY));
        assert_false(sim->ops[0]->ready);
        sim_do_one(sim);
        assert_false(zl_mock_is_ready(sim->rt, "shop.web.1"));
        assert_true(next_is(sim, ZL_OP_STOP));
        sim_settle(sim);
        assert_false(sim_exists(sim, "shop.web.1"));
        sim_free(sim);
}

static void with_a_check_as_long_as_it_is_well(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim->look = look_busy;
        sim_up(sim, CHECKED, false);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_RUNNING);
        assert_false(zl_mock_is_ready(sim->rt, "shop.web.1"));
        sim->look = NULL;
        sim_settle(sim);
        assert_true(zl_mock_is_ready(sim->rt, "shop.web.1"));
        sim->look = look_ill;
        sim_advance(sim, 10 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_RUNNING);
        assert_false(zl_mock_is_ready(sim->rt, "shop.web.1"));
        sim->look = NULL;
        sim_advance(sim, 120 * ZL_NSEC_PER_SEC);
        assert_true(zl_mock_is_ready(sim->rt, "shop.web.1"));
        sim_free(sim);
}

/* The agent dies; what was well before stays in traffic until somebody has looked and found it ill. */
static void one_taken_over_stays_what_it_was(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, CHECKED, false);
        assert_true(zl_mock_is_ready(sim->rt, "shop.web.1"));
        sim_kill_agent(sim);
        sim->look = look_busy;
        sim_up(sim, CHECKED, true);
        assert_true(zl_mock_is_ready(sim->rt, "shop.web.1"));
        assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_SET_READY), 1);
        sim->look = look_ill;
        sim_settle(sim);
        sim_advance(sim, 10 * ZL_NSEC_PER_SEC);
        assert_false(zl_mock_is_ready(sim->rt, "shop.web.1"));
        sim->look = NULL;
        sim_advance(sim, 120 * ZL_NSEC_PER_SEC);
        assert_true(zl_mock_is_ready(sim->rt, "shop.web.1"));
        sim_free(sim);
}

static void a_fault_is_told_once_and_tried_again(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        zl_mock_fail_next(sim->rt, ZL_MOCK_SET_READY, NULL, ZL_E_IO, 3);
        sim_up(sim, SIM_ONE(""), false);
        assert_false(zl_mock_is_ready(sim->rt, "shop.web.1"));
        sim_advance(sim, 60 * ZL_NSEC_PER_SEC);
        assert_true(zl_mock_is_ready(sim->rt, "shop.web.1"));
        assert_int_equal(sim_count(sim, "warning shop.web.1"), 1);
        assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_SET_READY), 4);
        sim_free(sim);
}

static void a_fault_does_not_hold_up_the_stop(void **state)
{
        struct sim *sim = sim_new();
        struct zl_agent_stop_options stop = { .remove = true };

        (void)state;
        sim_up(sim, SIM_ONE(""), false);
        zl_mock_fail_next(sim->rt, ZL_MOCK_SET_READY, NULL, ZL_E_IO, 1000);
        assert_int_equal(zl_agent_stop(sim->agent, "shop", NULL, &stop, NULL), 0);
        sim_settle(sim);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STOPPED);
        assert_false(sim_exists(sim, "shop.web.1"));
        sim_free(sim);
}

static void a_runtime_that_cannot_is_asked_once(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        zl_mock_fail_next(sim->rt, ZL_MOCK_SET_READY, NULL, ZL_E_UNSUPPORTED, 1);
        sim_up(sim, SIM_ONE(""), false);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(zl_mock_exit(sim->rt, "shop.web.1", 1, 0, false, NULL), 0);
                sim_settle(sim);
                sim_advance(sim, 20 * ZL_NSEC_PER_SEC);
        }
        assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_SET_READY), 1);
        assert_int_equal(sim_count(sim, "warning shop.web.1"), 0);
        sim_free(sim);
}

/* While it is paused it cannot answer. */
static void not_while_it_is_paused(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SIM_ONE(""), false);
        assert_int_equal(zl_runtime_pause(sim->rt, "shop.web.1", true, NULL), 0);
        sim_settle(sim);
        assert_false(zl_mock_is_ready(sim->rt, "shop.web.1"));
        assert_int_equal(zl_runtime_pause(sim->rt, "shop.web.1", false, NULL), 0);
        sim_settle(sim);
        assert_true(zl_mock_is_ready(sim->rt, "shop.web.1"));
        sim_free(sim);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(without_a_check_as_soon_as_it_runs),
                cmocka_unit_test(with_a_check_as_long_as_it_is_well),
                cmocka_unit_test(one_taken_over_stays_what_it_was),
                cmocka_unit_test(a_fault_is_told_once_and_tried_again),
                cmocka_unit_test(a_fault_does_not_hold_up_the_stop),
                cmocka_unit_test(a_runtime_that_cannot_is_asked_once),
                cmocka_unit_test(not_while_it_is_paused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
