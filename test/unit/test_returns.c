/* SPDX-License-Identifier: Apache-2.0 */
/* What was stopped by hand, and what the next agent does with it. */
#include "agent_sim.h"

static const char *const policies[] = { "always", "unless_stopped", "on_failure", "no" };

#define SERVICE(name, policy, more)                                                                \
        "  " name ": {image: {name: nginx}, restart_policy: {kind: " policy "}" more "}\n"
#define HEAD "version: v1\ndeployment: shop\nservices:\n"

static const char *one_with(const char *policy)
{
        static char text[256];

        snprintf(text, sizeof(text),
                 SIM_ONE("    restart_policy: {kind: %s}\n") "  other: {image: {name: nginx}}\n",
                 policy);
        return text;
}

static void stop_by_hand(struct sim *sim, const char *name)
{
        assert_int_equal(zl_runtime_stop(sim->rt, name, 0, NULL), 0);
        sim_settle(sim);
}

/* As a host does that is started. */
static void next_agent(struct sim *sim, const char *yaml)
{
        static const enum zl_begin begins[] = { [ZL_CARE_NONE] = ZL_BEGIN_ANEW,
                                                [ZL_CARE_NOW] = ZL_BEGIN_RETURN,
                                                [ZL_CARE_NEXT_START] = ZL_BEGIN_REVIVE };

        assert_int_not_equal(sim->saved_care, ZL_CARE_NONE);
        sim_kill_agent(sim);
        sim_up(sim, yaml, begins[sim->saved_care]);
}

static void only_always_comes_back(void **state)
{
        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(policies); i++) {
                enum zl_workload_state expected = i == 0 ? ZL_STATE_RUNNING : ZL_STATE_EXITED;
                struct sim *sim = sim_new();

                sim_up(sim, one_with(policies[i]), ZL_BEGIN_ANEW);
                stop_by_hand(sim, "shop.web.1");
                sim_advance(sim, 1000 * ZL_NSEC_PER_SEC);
                assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_EXITED);
                next_agent(sim, one_with(policies[i]));
                assert_int_equal(sim_state(sim, "shop.web.1"), expected);
                /* it is the same container, and nobody else was touched */
                assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_CREATE), 2);
                assert_int_equal(sim_count(sim, "started shop.other.1"), 1);
                assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STARTED);
                assert_false(zl_agent_is_changing(sim->agent, "shop"));
                /* stopped once more it stays down again: each start brings it back once */
                if (i == 0)
                        stop_by_hand(sim, "shop.web.1");
                sim_advance(sim, 1000 * ZL_NSEC_PER_SEC);
                assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_EXITED);
                sim_free(sim);
        }
}

static void it_does_not_matter_whether_an_agent_lived(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, one_with("always"), ZL_BEGIN_ANEW);
        zl_agent_free(sim->agent);
        assert_int_equal(zl_runtime_stop(sim->rt, "shop.web.1", 0, NULL), 0);
        sim_new_agent(sim);
        sim_up(sim, one_with("always"), ZL_BEGIN_RETURN);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_RUNNING);
        sim_free(sim);
}

/* It is no start of an agent when a deployment is taken up for something else. */
static void another_beginning_brings_nothing_back(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, one_with("always"), ZL_BEGIN_ANEW);
        stop_by_hand(sim, "shop.web.1");
        sim_kill_agent(sim);
        sim_up(sim, one_with("always"), ZL_BEGIN_RECOVER);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_EXITED);
        assert_true(zl_agent_has_found(sim->agent, "shop"));
        sim_free(sim);
}

static void one_that_cannot_be_started_is_tried_again(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, one_with("always"), ZL_BEGIN_ANEW);
        stop_by_hand(sim, "shop.web.1");
        zl_mock_fail_next(sim->rt, ZL_MOCK_START, "shop.web.1", ZL_E_IO, 1);
        next_agent(sim, one_with("always"));
        assert_int_equal(sim_count(sim, "restarting shop.web.1"), 1);
        sim_advance(sim, ZL_NSEC_PER_SEC);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_RUNNING);
        sim_free(sim);
}

static void nothing_is_known_before_it_was_listed(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, one_with("always"), ZL_BEGIN_ANEW);
        sim_kill_agent(sim);
        zl_mock_fail_next(sim->rt, ZL_MOCK_LIST, NULL, ZL_E_IO, 1);
        sim_up(sim, one_with("always"), ZL_BEGIN_RETURN);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_FAILED);
        assert_false(zl_agent_has_found(sim->agent, "shop"));
        sim_free(sim);
}

/* ---- all of it was stopped ------------------------------------------------------------------------------------ */

static void what_was_at_rest_is_revived(void **state)
{
        static const char yaml[] = HEAD SERVICE("a", "always",
                                                ", scale: {mode: fixed, replicas: 3}")
                SERVICE("u", "unless_stopped", "") SERVICE("f", "no", "")
                        SERVICE("w", "on_failure", "");
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, yaml, ZL_BEGIN_ANEW);
        assert_int_equal(zl_mock_exit(sim->rt, "shop.f.1", 3, 0, false, NULL), 0);
        assert_int_equal(zl_mock_exit(sim->rt, "shop.w.1", 0, 0, false, NULL), 0);
        sim_settle(sim);
        stop_by_hand(sim, "shop.u.1");
        stop_by_hand(sim, "shop.a.1");
        stop_by_hand(sim, "shop.a.2");
        assert_int_equal(sim->saved_care, ZL_CARE_NOW);
        stop_by_hand(sim, "shop.a.3");
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_FINISHED);
        assert_int_equal(sim->saved_care, ZL_CARE_NEXT_START);
        assert_int_equal(zl_runtime_remove(sim->rt, "shop.a.2", false, NULL), 0);
        next_agent(sim, yaml);
        assert_int_equal(sim_state(sim, "shop.a.1"), ZL_STATE_RUNNING);
        assert_int_equal(sim_state(sim, "shop.a.3"), ZL_STATE_RUNNING);
        /* nobody made anew what was removed, and nothing else was tried once more */
        assert_false(sim_exists(sim, "shop.a.2"));
        sim_advance(sim, 1000 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "started shop.u.1"), 1);
        assert_int_equal(sim_count(sim, "started shop.f.1"), 1);
        assert_int_equal(sim_count(sim, "started shop.w.1"), 1);
        assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_CREATE), 6);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STARTED);
        assert_false(zl_agent_is_changing(sim->agent, "shop"));
        assert_int_equal(sim->saved_care, ZL_CARE_NOW);
        /* until the next `up` */
        assert_int_equal(zl_agent_update(sim->agent, sim_spec(yaml), NULL), 0);
        sim_settle(sim);
        assert_int_equal(sim_state(sim, "shop.u.1"), ZL_STATE_RUNNING);
        assert_int_equal(sim_state(sim, "shop.a.2"), ZL_STATE_RUNNING);
        sim_free(sim);
}

static void all_removed_it_stays_at_rest(void **state)
{
        static const char yaml[] = HEAD SERVICE("a", "always", "");
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, yaml, ZL_BEGIN_ANEW);
        stop_by_hand(sim, "shop.a.1");
        assert_int_equal(zl_runtime_remove(sim->rt, "shop.a.1", false, NULL), 0);
        next_agent(sim, yaml);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_FINISHED);
        assert_int_equal(sim->saved_care, ZL_CARE_NONE);
        assert_false(sim_exists(sim, "shop.a.1"));
        sim_free(sim);
}

static void others_are_not_noted(void **state)
{
        (void)state;
        for (size_t i = 1; i < ZL_ARRAY_SIZE(policies); i++) {
                struct sim *sim = sim_new();

                sim_up(sim, one_with(policies[i]), ZL_BEGIN_ANEW);
                stop_by_hand(sim, "shop.web.1");
                stop_by_hand(sim, "shop.other.1");
                assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_FINISHED);
                assert_int_equal(sim->saved_care, ZL_CARE_NONE);
                sim_free(sim);
        }
}

/* The wish ends, not the container: whether it is stopped while it runs or when it has come to rest. */
static void stopped_as_a_whole_it_stays_so(void **state)
{
        struct zl_agent_stop_options stop = { 0 };

        (void)state;
        for (unsigned at_rest = 0; at_rest < 2; at_rest++) {
                struct sim *sim = sim_new();

                sim_up(sim, SIM_ONE("    restart_policy: {kind: always}\n"), ZL_BEGIN_ANEW);
                if (at_rest)
                        stop_by_hand(sim, "shop.web.1");
                assert_int_equal(zl_agent_stop(sim->agent, "shop", NULL, &stop, NULL), 0);
                sim_settle(sim);
                assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STOPPED);
                assert_int_equal(sim->saved_care, ZL_CARE_NONE);
                assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_EXITED);
                sim_free(sim);
        }
}

/* ---- on_panic: shutdown ------------------------------------------------------------------------------------------- */

static void who_was_shut_down_does_not_come_back_alone(void **state)
{
        static const char yaml[] = HEAD SERVICE(
                "web", "always",
                ", scale: {mode: fixed, replicas: 3}, errors: {on_panic: {action: shutdown}}")
                SERVICE("keep", "always", "");

        (void)state;
        for (unsigned at_rest = 0; at_rest < 2; at_rest++) {
                struct sim *sim = sim_new();

                sim_up(sim, yaml, ZL_BEGIN_ANEW);
                assert_int_equal(zl_mock_exit(sim->rt, "shop.web.2", 9, 0, false, NULL), 0);
                sim_settle(sim);
                assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_EXITED);
                if (at_rest)
                        stop_by_hand(sim, "shop.keep.1");
                next_agent(sim, yaml);
                assert_int_equal(sim_state(sim, "shop.keep.1"), ZL_STATE_RUNNING);
                assert_int_equal(sim_count(sim, "started shop.keep.1"), 1 + at_rest);
                for (unsigned i = 1; i <= 3; i++) {
                        char name[32], event[64];

                        snprintf(name, sizeof(name), "shop.web.%u", i);
                        snprintf(event, sizeof(event), "started %s", name);
                        assert_int_equal(sim_state(sim, name), ZL_STATE_EXITED);
                        assert_int_equal(sim_count(sim, event), 1);
                }
                sim_free(sim);
        }
}

static int sick(struct sim *sim, const struct zl_probe *probe)
{
        (void)sim;
        return strcmp(probe->workload, "shop.web.2") == 0 ? -ECONNREFUSED : 0;
}

/* Then even the one that failed has been stopped by us: only the store knows. */
static void nor_when_one_was_unhealthy(void **state)
{
        static const char yaml[] = HEAD SERVICE(
                "web", "always",
                ", scale: {mode: fixed, replicas: 2}, errors: {on_panic: {action: shutdown}},"
                " health: {start_grace: 1s, interval: 1s, retries: 2, check: {type: tcp, port: 80}}")
                SERVICE("keep", "always", "");
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, yaml, ZL_BEGIN_ANEW);
        sim->look = sick;
        sim_advance(sim, 60 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_EXITED);
        assert_int_equal(sim_state(sim, "shop.web.2"), ZL_STATE_EXITED);
        next_agent(sim, yaml);
        sim_advance(sim, 60 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_state(sim, "shop.keep.1"), ZL_STATE_RUNNING);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        assert_int_equal(sim_count(sim, "started shop.web.2"), 1);
        sim_free(sim);
}

/* ---- the number of an adaptive service ----------------------------------------------------------------------------- */

static void an_adaptive_service_counts_who_returns(void **state)
{
        static const char yaml[] = HEAD SERVICE("web", "always",
                                                ", scale: {mode: adaptive, min: 1, max: 4}");
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, yaml, ZL_BEGIN_ANEW);
        assert_int_equal(zl_agent_scale(sim->agent, "shop", "web", 3, NULL), 0);
        sim_settle(sim);
        stop_by_hand(sim, "shop.web.2");
        next_agent(sim, yaml);
        for (unsigned i = 1; i <= 3; i++) {
                char name[32];

                snprintf(name, sizeof(name), "shop.web.%u", i);
                assert_int_equal(sim_state(sim, name), ZL_STATE_RUNNING);
        }
        sim_free(sim);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_always_comes_back),
                cmocka_unit_test(it_does_not_matter_whether_an_agent_lived),
                cmocka_unit_test(another_beginning_brings_nothing_back),
                cmocka_unit_test(one_that_cannot_be_started_is_tried_again),
                cmocka_unit_test(nothing_is_known_before_it_was_listed),
                cmocka_unit_test(what_was_at_rest_is_revived),
                cmocka_unit_test(all_removed_it_stays_at_rest),
                cmocka_unit_test(others_are_not_noted),
                cmocka_unit_test(stopped_as_a_whole_it_stays_so),
                cmocka_unit_test(who_was_shut_down_does_not_come_back_alone),
                cmocka_unit_test(nor_when_one_was_unhealthy),
                cmocka_unit_test(an_adaptive_service_counts_who_returns),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
