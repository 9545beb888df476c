/* SPDX-License-Identifier: Apache-2.0 */
/* zl_agent_update() and zl_agent_scale(): what changes, in which order, and the way back. */
#include "agent_sim.h"

#define SPEC(web, more)                                                                            \
        "version: v1\n"                                                                            \
        "deployment: shop\n"                                                                       \
        "services:\n"                                                                              \
        "  web:\n"                                                                                 \
        "    image: {name: nginx}\n" web "  db:\n"                                                 \
        "    image: {name: postgres}\n"                                                            \
        "    scale: {mode: fixed, replicas: 1}\n" more
#define THREE "    scale: {mode: fixed, replicas: 3}\n"
#define NEW "    env: {VERSION: new}\n"

static void update(struct sim *sim, const char *yaml)
{
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_agent_update(sim->agent, sim_spec(yaml), &err) < 0)
                fail_msg("%s", zl_error_message(&err));
        sim_settle(sim);
}

static size_t count_starts(struct sim *sim)
{
        return sim_count(sim, "started shop.web.1") + sim_count(sim, "started shop.web.2") +
               sim_count(sim, "started shop.web.3");
}

static void only_what_changed_is_replaced_one_by_one(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SPEC(THREE, ""), false);
        update(sim, SPEC(THREE NEW, ""));
        assert_int_equal(count_starts(sim), 4);
        assert_int_equal(sim_count(sim, "updated shop.web"), 0);
        sim_advance(sim, 1100 * ZL_NSEC_PER_MSEC);
        assert_int_equal(count_starts(sim), 5);
        sim_advance(sim, 10 * ZL_NSEC_PER_SEC);
        assert_int_equal(count_starts(sim), 6);
        assert_int_equal(sim_count(sim, "updated shop.web"), 1);
        assert_int_equal(sim_count(sim, "started shop.db.1"), 1);
        assert_int_equal(sim_count(sim, "exited shop.web.2"), 1);
        assert_non_null(strstr(sim->saved_spec, "VERSION"));
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STARTED);
        sim_free(sim);
}

static void what_guides_the_agent_touches_nothing(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SPEC(THREE, ""), false);
        update(sim, SPEC(THREE "    restart_policy: {kind: always}\n"
                               "    depends: [{service: db}]\n",
                         ""));
        sim_advance(sim, 10 * ZL_NSEC_PER_SEC);
        assert_int_equal(count_starts(sim), 3);
        /* and it counts */
        zl_mock_exit(sim->rt, "shop.web.2", 0, 0, false, NULL);
        sim_settle(sim);
        sim_advance(sim, ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "started shop.web.2"), 2);
        sim_free(sim);
}

static void services_come_and_go(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SPEC(THREE, ""), false);
        update(sim,
               "version: v1\ndeployment: shop\nservices:\n"
               "  web:\n    image: {name: nginx}\n" THREE "  cache:\n    image: {name: redis}\n");
        assert_int_equal(sim_count(sim, "started shop.cache.1"), 1);
        assert_int_equal(sim_count(sim, "removed shop.db.1"), 1);
        assert_false(sim_exists(sim, "shop.db.1"));
        assert_int_equal(count_starts(sim), 3);
        sim_free(sim);
}

static void an_image_that_is_missing_takes_nothing_down(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SPEC(THREE, ""), false);
        zl_mock_fail_next(sim->rt, ZL_MOCK_PULL, "docker.io/library/nginx:none", ZL_E_NOT_FOUND, 1);
        update(sim, "version: v1\ndeployment: shop\nservices:\n"
                    "  web:\n    image: {name: 'nginx:none'}\n" THREE
                    "  db:\n    image: {name: postgres}\n    scale: {mode: fixed, replicas: 1}\n");
        sim_advance(sim, 100 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "rolled_back shop.web"), 1);
        assert_int_equal(sim_count(sim, "exited shop.web.1"), 0);
        assert_int_equal(count_starts(sim), 3);
        assert_null(strstr(sim->saved_spec, "nginx:none"));
        sim_free(sim);
}

static int bad_start(const char *name, uint32_t generation, void *data)
{
        struct sim *sim = data;

        (void)generation;
        /* The new revision is the one that was created last. */
        return strcmp(name, "shop.web.1") == 0 && sim_count(sim, "rolling shop.web") > 0 &&
                               sim_count(sim, "rolled_back shop.web") == 0
                       ? 7
                       : -1;
}

static void new_replicas_that_fail_are_taken_back(void **state)
{
        struct sim *sim = sim_new();
        struct zl_mock_hooks hooks = { .now = sim_now, .on_start = bad_start, .data = sim };

        (void)state;
        zl_mock_set_hooks(sim->rt, &hooks);
        sim_up(sim, SPEC(THREE, ""), false);
        update(sim, SPEC(THREE NEW, ""));
        sim_advance(sim, 100 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "rolled_back shop.web"), 1);
        assert_int_equal(sim_count(sim, "updated shop.web"), 0);
        assert_int_equal(sim_count(sim, "exited shop.web.2"), 0);
        assert_int_equal(sim_count(sim, "exited shop.web.3"), 0);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_RUNNING);
        assert_null(strstr(sim->saved_spec, "VERSION"));
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STARTED);
        sim_free(sim);
}

static void a_second_update_in_the_middle_of_the_first(void **state)
{
        (void)state;
        for (int n = 0; n < 12; n++) {
                struct sim *sim = sim_new();

                sim_up(sim, SPEC(THREE, ""), false);
                assert_int_equal(zl_agent_update(sim->agent, sim_spec(SPEC(THREE NEW, "")), NULL),
                                 0);
                for (int i = 0; i < n; i++)
                        sim_do_one(sim);
                update(sim, SPEC(THREE "    env: {VERSION: newer}\n", ""));
                sim_advance(sim, 20 * ZL_NSEC_PER_SEC);
                assert_int_equal(sim_count(sim, "updated shop.web"), 1);
                for (int i = 1; i <= 3; i++) {
                        char name[32];

                        snprintf(name, sizeof(name), "shop.web.%d", i);
                        assert_int_equal(sim_state(sim, name), ZL_STATE_RUNNING);
                        assert_string_equal(zl_map_get(sim->hashes, name),
                                            zl_map_get(sim->hashes, "shop.web.1"));
                }
                sim_free(sim);
        }
}

static void back_to_the_first_is_no_rollout(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SPEC(THREE, ""), false);
        assert_int_equal(zl_agent_update(sim->agent, sim_spec(SPEC(THREE NEW, "")), NULL), 0);
        update(sim, SPEC(THREE, ""));
        sim_advance(sim, 20 * ZL_NSEC_PER_SEC);
        assert_int_equal(count_starts(sim), 3);
        sim_free(sim);
}

static void scale_up_and_down(void **state)
{
        struct sim *sim = sim_new();
        struct zl_error err = ZL_ERROR_INIT;

        (void)state;
        sim_up(sim, SPEC(THREE, ""), false);
        assert_int_equal(zl_agent_scale(sim->agent, "shop", "web", 5, NULL), 0);
        sim_settle(sim);
        assert_int_equal(sim_state(sim, "shop.web.5"), ZL_STATE_RUNNING);
        assert_int_equal(zl_agent_scale(sim->agent, "shop", "web", 2, NULL), 0);
        sim_settle(sim);
        assert_false(sim_exists(sim, "shop.web.3"));
        assert_int_equal(sim_state(sim, "shop.web.2"), ZL_STATE_RUNNING);
        /* a number that was used before */
        assert_int_equal(zl_agent_scale(sim->agent, "shop", "web", 3, NULL), 0);
        sim_settle(sim);
        assert_int_equal(sim_state(sim, "shop.web.3"), ZL_STATE_RUNNING);
        assert_non_null(strstr(sim->saved_spec, "\"replicas\": 3"));
        assert_int_equal(zl_agent_scale(sim->agent, "shop", "web", 0, NULL), 0);
        sim_settle(sim);
        assert_false(sim_exists(sim, "shop.web.1"));
        assert_true(zl_agent_scale(sim->agent, "shop", "none", 1, &err) < 0);
        assert_int_equal(err.code, ZL_E_NOT_FOUND);
        zl_error_done(&err);
        assert_true(zl_agent_scale(sim->agent, "shop", "web", 1000000, &err) < 0);
        zl_error_done(&err);
        assert_true(zl_agent_scale(sim->agent, "none", "web", 1, &err) < 0);
        zl_error_done(&err);
        sim_free(sim);
}

static void scale_down_takes_what_does_not_work(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SPEC(THREE, ""), false);
        zl_mock_exit(sim->rt, "shop.web.1", 1, 0, false, NULL);
        sim_settle(sim);
        assert_int_equal(zl_agent_scale(sim->agent, "shop", "web", 2, NULL), 0);
        sim_settle(sim);
        sim_advance(sim, 100 * ZL_NSEC_PER_SEC);
        assert_false(sim_exists(sim, "shop.web.1"));
        assert_int_equal(sim_count(sim, "exited shop.web.2"), 0);
        assert_int_equal(sim_count(sim, "exited shop.web.3"), 0);
        sim_free(sim);
}

static void adaptive_scale_stays_in_its_bounds(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SPEC("    scale: {mode: adaptive, min: 1, max: 4}\n", ""), false);
        assert_int_equal(zl_agent_scale(sim->agent, "shop", "web", 4, NULL), 0);
        sim_settle(sim);
        assert_int_equal(sim_state(sim, "shop.web.4"), ZL_STATE_RUNNING);
        assert_true(zl_agent_scale(sim->agent, "shop", "web", 5, NULL) < 0);
        assert_true(zl_agent_scale(sim->agent, "shop", "web", 0, NULL) < 0);
        /* an update keeps the number */
        update(sim, SPEC("    scale: {mode: adaptive, min: 1, max: 3}\n", ""));
        assert_int_equal(sim_state(sim, "shop.web.3"), ZL_STATE_RUNNING);
        assert_false(sim_exists(sim, "shop.web.4"));
        sim_free(sim);
}

static void an_adaptive_number_outlives_the_agent(void **state)
{
        static const char yaml[] = SPEC("    scale: {mode: adaptive, min: 1, max: 4}\n", "");
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, yaml, false);
        assert_int_equal(zl_agent_scale(sim->agent, "shop", "web", 3, NULL), 0);
        sim_settle(sim);
        sim_kill_agent(sim);
        sim_up(sim, yaml, true);
        assert_int_equal(sim_count(sim, "adopted shop.web.3"), 1);
        assert_int_equal(sim_state(sim, "shop.web.3"), ZL_STATE_RUNNING);
        sim_free(sim);
}

/* As `why` says: until the next up. The container is the same, for nothing of it has changed. */
static void an_up_starts_what_was_stopped_by_hand(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SPEC(THREE, ""), false);
        assert_int_equal(zl_runtime_stop(sim->rt, "shop.web.2", 0, NULL), 0);
        sim_settle(sim);
        sim_advance(sim, 100 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_state(sim, "shop.web.2"), ZL_STATE_EXITED);
        update(sim, SPEC(THREE, ""));
        assert_int_equal(sim_state(sim, "shop.web.2"), ZL_STATE_RUNNING);
        assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_CREATE), 4);
        assert_int_equal(count_starts(sim), 4);
        sim_free(sim);
}

/* The agent has stopped one to replace it, and dies. The next one wants the new one as well, or the old one again; in no case that
 * it stays down. */
static void one_that_was_being_replaced_is_not_taken_for_stopped(void **state)
{
        static const char *const then[] = { SPEC(NEW, ""), SPEC("", "") };

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(then); i++) {
                struct sim *sim = sim_new();

                sim_up(sim, SPEC("", ""), false);
                zl_mock_fail_next(sim->rt, ZL_MOCK_REMOVE, "shop.web.1", ZL_E_IO, 1);
                update(sim, SPEC(NEW, ""));
                assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_EXITED);
                sim_kill_agent(sim);
                sim_up(sim, then[i], true);
                sim_advance(sim, 10 * ZL_NSEC_PER_SEC);
                assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_RUNNING);
                assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_CREATE), 3);
                sim_free(sim);
        }
}

static void what_cannot_be_is_refused_untouched(void **state)
{
        struct sim *sim = sim_new();
        struct zl_deployment_spec *spec = sim_spec(SPEC(THREE "    env: {A: '$E:NOT_SET'}\n", ""));
        struct zl_agent_stop_options stop = { 0 };
        struct zl_error err = ZL_ERROR_INIT;

        (void)state;
        assert_true(zl_agent_update(sim->agent, spec, &err) < 0);
        assert_int_equal(err.code, ZL_E_NOT_FOUND);
        zl_error_done(&err);
        sim_up(sim, SPEC(THREE, ""), false);
        assert_true(zl_agent_update(sim->agent, spec, &err) < 0);
        zl_error_done(&err);
        zl_spec_free(spec);
        spec = sim_spec(SPEC(THREE NEW, ""));
        sim->fail_save = true;
        assert_true(zl_agent_update(sim->agent, spec, &err) < 0);
        assert_int_equal(err.code, ZL_E_NO_SPACE);
        zl_error_done(&err);
        sim->fail_save = false;
        sim_settle(sim);
        assert_int_equal(count_starts(sim), 3);
        assert_int_equal(zl_agent_stop(sim->agent, "shop", NULL, &stop, NULL), 0);
        assert_true(zl_agent_update(sim->agent, spec, &err) < 0);
        assert_int_equal(err.code, ZL_E_STATE);
        zl_error_done(&err);
        zl_spec_free(spec);
        sim_settle(sim);
        sim_free(sim);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_what_changed_is_replaced_one_by_one),
                cmocka_unit_test(what_guides_the_agent_touches_nothing),
                cmocka_unit_test(services_come_and_go),
                cmocka_unit_test(an_image_that_is_missing_takes_nothing_down),
                cmocka_unit_test(new_replicas_that_fail_are_taken_back),
                cmocka_unit_test(a_second_update_in_the_middle_of_the_first),
                cmocka_unit_test(back_to_the_first_is_no_rollout),
                cmocka_unit_test(scale_up_and_down),
                cmocka_unit_test(scale_down_takes_what_does_not_work),
                cmocka_unit_test(adaptive_scale_stays_in_its_bounds),
                cmocka_unit_test(an_adaptive_number_outlives_the_agent),
                cmocka_unit_test(an_up_starts_what_was_stopped_by_hand),
                cmocka_unit_test(one_that_was_being_replaced_is_not_taken_for_stopped),
                cmocka_unit_test(what_cannot_be_is_refused_untouched),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
