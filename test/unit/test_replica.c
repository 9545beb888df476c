/* SPDX-License-Identifier: Apache-2.0 */
/* The agent core on a virtual clock with a mock runtime: starting, restarting, stopping, adopting. */
#include "agent_sim.h"

#define TWO_SERVICES                                                                               \
        "version: v1\n"                                                                            \
        "deployment: shop\n"                                                                       \
        "services:\n"                                                                              \
        "  web:\n"                                                                                 \
        "    image: {name: nginx}\n"                                                               \
        "    scale: {mode: fixed, replicas: 2}\n"                                                  \
        "    depends: [{service: db, condition: started}]\n"                                       \
        "  db:\n"                                                                                  \
        "    image: {name: postgres}\n"                                                            \
        "    scale: {mode: fixed, replicas: 1}\n"

static void starts_in_order_and_stops_against_it(void **state)
{
        struct sim *sim = sim_new();
        struct zl_agent_stop_options stop = { .remove = true };

        (void)state;
        sim_up(sim, TWO_SERVICES, false);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STARTED);
        assert_true(sim->saved_active);
        assert_true(sim_index(sim, "started shop.db.1") < sim_index(sim, "created shop.web.1"));
        assert_true(sim_index(sim, "started shop.db.1") < sim_index(sim, "created shop.web.2"));
        assert_int_equal(sim_state(sim, "shop.web.2"), ZL_STATE_RUNNING);
        assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_PULL), 2); /* once per service */

        assert_int_equal(zl_agent_stop(sim->agent, "shop", NULL, &stop, NULL), 0);
        sim_settle(sim);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STOPPED);
        assert_true(sim_index(sim, "exited shop.web.1") < sim_index(sim, "stopping shop.db.1"));
        assert_true(sim_index(sim, "exited shop.web.2") < sim_index(sim, "stopping shop.db.1"));
        assert_false(sim_exists(sim, "shop.web.1"));
        assert_false(sim_exists(sim, "shop.db.1"));
        assert_null(sim->saved_spec);
        assert_true(zl_agent_is_idle(sim->agent));
        sim_free(sim);
}

/* An agent removed a replica and died before it could forget it. */
static void ghosts_of_an_earlier_agent_are_forgotten(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        assert_int_equal(zl_map_put(sim->hashes, "shop.web.9", strdup("x")), 0);
        assert_int_equal(zl_map_put(sim->hashes, "shopping.web.1", strdup("x")), 0);
        sim_up(sim, TWO_SERVICES, true);
        assert_null(zl_map_get(sim->hashes, "shop.web.9"));
        assert_non_null(zl_map_get(sim->hashes, "shopping.web.1"));
        assert_non_null(zl_map_get(sim->hashes, "shop.web.1"));
        sim_free(sim);
}

static void stopping_without_removing_keeps_records(void **state)
{
        struct sim *sim = sim_new();
        struct zl_agent_stop_options stop = { 0 };

        (void)state;
        sim_up(sim, TWO_SERVICES, false);
        assert_int_equal(zl_agent_stop(sim->agent, "shop", NULL, &stop, NULL), 0);
        sim_settle(sim);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STOPPED);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_EXITED);
        assert_non_null(sim->saved_spec);
        assert_false(sim->saved_active);
        sim_free(sim);
}

static void restarts_with_growing_pauses_and_crash_loop(void **state)
{
        struct sim *sim = sim_new();
        static const int64_t pauses_msec[] = { 100, 200, 400, 800, 1600, 30000, 60000 };

        (void)state;
        sim_up(sim, SIM_ONE(""), false);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(pauses_msec); i++) {
                size_t started = sim_count(sim, "started shop.web.1");

                assert_int_equal(zl_mock_exit(sim->rt, "shop.web.1", 3, 0, false, NULL), 0);
                sim_settle(sim);
                sim_advance(sim, pauses_msec[i] * ZL_NSEC_PER_MSEC - ZL_NSEC_PER_MSEC);
                assert_int_equal(sim_count(sim, "started shop.web.1"), started);
                sim_advance(sim, ZL_NSEC_PER_MSEC);
                assert_int_equal(sim_count(sim, "started shop.web.1"), started + 1);
        }
        assert_int_equal(sim_count(sim, "restarting shop.web.1"), 5);
        assert_int_equal(sim_count(sim, "crash_loop shop.web.1"), 2);
        assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_CREATE), 1); /* restarted, not made anew */
        sim_free(sim);
}

static void success_of_a_service_is_not_restarted(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SIM_ONE(""), false);
        zl_mock_exit(sim->rt, "shop.web.1", 0, 0, false, NULL);
        sim_settle(sim);
        sim_advance(sim, 1000 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "completed shop.web.1"), 1);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_FINISHED);
        assert_false(sim->saved_active);
        sim_free(sim);
}

static void stopped_by_hand_stays_down(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SIM_ONE("    restart_policy: {kind: always}\n"), false);
        assert_int_equal(zl_runtime_stop(sim->rt, "shop.web.1", 0, NULL), 0);
        sim_settle(sim);
        sim_advance(sim, 1000 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        assert_int_equal(sim_count(sim, "exited shop.web.1"), 1);
        sim_free(sim);
}

static const struct zl_agent_start_options again = { .grace = -1 };
static const struct zl_agent_start_options restart = { .restart = true, .grace = -1 };

static void restarted_by_hand_is_the_same_and_not_judged(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SIM_ONE("    restart_policy: {kind: \"no\"}\n"), false);
        assert_int_equal(zl_agent_start(sim->agent, "shop.web.1", &again, NULL), 0); /* it runs */
        sim_settle(sim);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        assert_int_equal(zl_agent_start(sim->agent, "shop.web.1", &restart, NULL), 0);
        assert_true(zl_agent_is_changing(sim->agent, "shop"));
        sim_settle(sim);
        assert_false(zl_agent_is_changing(sim->agent, "shop"));
        assert_int_equal(sim_count(sim, "stopping shop.web.1"), 1);
        assert_int_equal(sim_count(sim, "exited shop.web.1"), 1);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 2);
        assert_int_equal(sim_count(sim, "restarting shop.web.1"), 0);
        assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_CREATE), 1);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STARTED);
        /* The next end is judged as ever. */
        zl_mock_exit(sim->rt, "shop.web.1", 1, 0, false, NULL);
        sim_settle(sim);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 2);
        sim_free(sim);
}

/* Somebody stopped it, and the news has not come when it is to be started. */
static void a_stop_that_is_not_told_yet_does_not_win(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SIM_ONE(""), false);
        assert_int_equal(zl_runtime_stop(sim->rt, "shop.web.1", 0, NULL), 0);
        assert_int_equal(zl_agent_start(sim->agent, "shop.web.1", &restart, NULL), 0);
        sim_settle(sim);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_RUNNING);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 2);
        sim_free(sim);
}

static void started_by_hand_goes_on(void **state)
{
        struct sim *sim = sim_new();
        struct zl_error err = ZL_ERROR_INIT;

        (void)state;
        sim_up(sim, SIM_ONE(""), false);
        zl_runtime_stop(sim->rt, "shop.web.1", 0, NULL);
        sim_settle(sim);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_FINISHED);
        assert_int_equal(zl_agent_start(sim->agent, "shop.web.1", &again, NULL), 0);
        sim_settle(sim);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STARTED);
        assert_true(sim->saved_active);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_RUNNING);
        /* A pause before a restart is not waited for, and what was counted is forgiven. */
        for (unsigned i = 0; i < 5; i++) {
                zl_mock_exit(sim->rt, "shop.web.1", 1, 0, false, NULL);
                sim_settle(sim);
                assert_int_equal(zl_agent_start(sim->agent, "shop.web.1", &again, NULL), 0);
                sim_settle(sim);
                assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_RUNNING);
        }
        zl_mock_exit(sim->rt, "shop.web.1", 1, 0, false, NULL);
        sim_settle(sim);
        assert_int_equal(sim_count(sim, "crash_loop shop.web.1"), 0);
        assert_int_equal(zl_agent_start(sim->agent, "shop.web.7", &again, &err), -ENOENT);
        zl_error_done(&err);
        assert_true(zl_agent_start(sim->agent, "market.web.1", &again, &err) < 0);
        assert_int_equal(err.code, ZL_E_NOT_FOUND);
        zl_error_done(&err);
        sim_free(sim);
}

/* A deployment at rest is taken up for one replica: that alone is started, and it is the same container. */
static void one_is_started_of_a_deployment_that_is_taken_up(void **state)
{
        struct sim *sim = sim_new();
        struct zl_agent_stop_options stop = { 0 };

        (void)state;
        sim_up(sim, TWO_SERVICES, false);
        for (unsigned i = 0; i < 2; i++) {
                zl_runtime_stop(sim->rt, i ? "shop.web.2" : "shop.web.1", 0, NULL);
                zl_runtime_stop(sim->rt, "shop.db.1", 0, NULL);
        }
        sim_settle(sim);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_FINISHED);
        zl_agent_forget(sim->agent, "shop");
        assert_int_equal(zl_agent_up(sim->agent, sim_spec(TWO_SERVICES), true, NULL), 0);
        assert_int_equal(zl_agent_start(sim->agent, "shop.web.2", &again, NULL), 0);
        sim_settle(sim);
        assert_int_equal(sim_state(sim, "shop.web.2"), ZL_STATE_RUNNING);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_EXITED);
        assert_int_equal(sim_state(sim, "shop.db.1"), ZL_STATE_EXITED);
        assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_CREATE), 3);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STARTED);
        assert_int_equal(zl_agent_stop(sim->agent, "shop", NULL, &stop, NULL), 0);
        sim_settle(sim);
        sim_free(sim);
}

static void a_restart_that_cannot_stop_leaves_it_running(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SIM_ONE(""), false);
        zl_mock_fail_next(sim->rt, ZL_MOCK_STOP, "shop.web.1", ZL_E_IO, 1);
        assert_int_equal(zl_agent_start(sim->agent, "shop.web.1", &restart, NULL), 0);
        sim_settle(sim);
        assert_false(zl_agent_is_changing(sim->agent, "shop"));
        assert_int_equal(sim_count(sim, "failed shop.web.1"), 1);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_RUNNING);
        assert_int_equal(zl_agent_start(sim->agent, "shop.web.1", &restart, NULL), 0);
        sim_settle(sim);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 2);
        sim_free(sim);
}

static void requests_to_start_are_read(void **state)
{
        static const char *const bad[] = { "restart shop.web.1", "restart shop.web.1 x",
                                           "start shop", "start shop.web.1.2" };
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SIM_ONE(""), false);
        assert_int_equal(zl_agent_start_request(sim->agent, "stop", NULL), 0);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                assert_true(zl_agent_start_request(sim->agent, bad[i], NULL) < 0);
        assert_int_equal(zl_agent_start_request(sim->agent, "restart shop.web.1 -1", NULL), 1);
        sim_settle(sim);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 2);
        sim_free(sim);
}

static void always_restarts_after_success(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SIM_ONE("    restart_policy: {kind: always, delay: 2s}\n"), false);
        zl_mock_exit(sim->rt, "shop.web.1", 0, 0, false, NULL);
        sim_settle(sim);
        sim_advance(sim, 1999 * ZL_NSEC_PER_MSEC);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        sim_advance(sim, ZL_NSEC_PER_MSEC);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 2);
        sim_free(sim);
}

static void max_attempts_end_in_failure(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SIM_ONE("    restart_policy: {kind: on_failure, max_attempts: 2}\n"), false);
        for (int i = 0; i < 3; i++) {
                zl_mock_exit(sim->rt, "shop.web.1", 1, 0, false, NULL);
                sim_settle(sim);
                sim_advance(sim, 10 * ZL_NSEC_PER_SEC);
        }
        assert_int_equal(sim_count(sim, "started shop.web.1"), 3);
        assert_int_equal(sim_count(sim, "failed shop.web.1"), 1);
        sim_free(sim);
}

static void shutdown_stops_the_whole_service(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim,
               "version: v1\ndeployment: shop\nservices:\n  web:\n    image: {name: nginx}\n"
               "    scale: {mode: fixed, replicas: 3}\n    errors: {on_panic: {action: shutdown}}\n"
               "  other:\n    image: {name: nginx}\n",
               false);
        zl_mock_exit(sim->rt, "shop.web.2", 9, 0, false, NULL);
        sim_settle(sim);
        assert_int_equal(sim_count(sim, "shutdown shop.web.2"), 1);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_EXITED);
        assert_int_equal(sim_state(sim, "shop.web.3"), ZL_STATE_EXITED);
        assert_int_equal(sim_state(sim, "shop.other.1"), ZL_STATE_RUNNING);
        sim_advance(sim, 1000 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        sim_free(sim);
}

static void isolate_leaves_the_others(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim,
               "version: v1\ndeployment: shop\nservices:\n  web:\n    image: {name: nginx}\n"
               "    scale: {mode: fixed, replicas: 2}\n    errors: {on_panic: {action: isolate}}\n",
               false);
        zl_mock_exit(sim->rt, "shop.web.2", 9, 0, false, NULL);
        sim_settle(sim);
        sim_advance(sim, 1000 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "isolated shop.web.2"), 1);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_RUNNING);
        assert_int_equal(sim_count(sim, "started shop.web.2"), 1);
        sim_free(sim);
}

static void job_runs_once_and_tells_its_code(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim,
               "version: v1\ndeployment: shop\nservices:\n  work:\n    rtype: job\n"
               "    image: {name: nginx}\n",
               false);
        zl_mock_exit(sim->rt, "shop.work.1", 42, 0, false, NULL);
        sim_settle(sim);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_FINISHED);
        assert_int_equal(zl_agent_exit_code(sim->agent, "shop"), 42);
        assert_int_equal(sim_count(sim, "started shop.work.1"), 1);
        sim_free(sim);
}

static void dependents_wait_for_the_success_of_a_job(void **state)
{
        static const char yaml[] =
                "version: v1\ndeployment: shop\nservices:\n"
                "  web:\n    image: {name: nginx}\n    depends: [{service: migrate}]\n"
                "  migrate:\n    rtype: job\n    image: {name: nginx}\n";
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, yaml, false);
        assert_int_equal(sim_count(sim, "created shop.web.1"), 0);
        assert_int_equal(sim_count(sim, "waiting shop.web"), 1);
        zl_mock_exit(sim->rt, "shop.migrate.1", 0, 0, false, NULL);
        sim_settle(sim);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STARTED);
        sim_free(sim);

        sim = sim_new();
        sim_up(sim, yaml, false);
        zl_mock_exit(sim->rt, "shop.migrate.1", 7, 0, false, NULL);
        sim_settle(sim);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_FAILED);
        assert_non_null(
                strstr(zl_error_message(zl_agent_failure(sim->agent, "shop")), "ended with 7"));
        assert_int_equal(sim_count(sim, "created shop.web.1"), 0);
        sim_free(sim);
}

static void dependency_times_out(void **state)
{
        static const char form[] =
                "version: v1\ndeployment: shop\nservices:\n"
                "  web:\n    image: {name: nginx}\n"
                "    depends: [{service: migrate, timeout: 10s, on_timeout: %s}]\n"
                "  migrate:\n    rtype: job\n    image: {name: nginx}\n";
        char yaml[512];
        struct sim *sim = sim_new();

        (void)state;
        snprintf(yaml, sizeof(yaml), form, "fail");
        sim_up(sim, yaml, false);
        sim_advance(sim, 10 * ZL_NSEC_PER_SEC);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_FAILED);
        sim_free(sim);

        sim = sim_new();
        snprintf(yaml, sizeof(yaml), form, "warn");
        sim_up(sim, yaml, false);
        sim_advance(sim, 9 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 0);
        sim_advance(sim, ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        assert_true(sim_count(sim, "warning shop.web") >= 1);
        sim_free(sim);
}

static void failed_first_start_fails_the_deployment(void **state)
{
        static const enum zl_mock_op ops[] = { ZL_MOCK_PULL, ZL_MOCK_CREATE, ZL_MOCK_START };
        struct zl_agent_stop_options stop = { .remove = true, .only_new = true };

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(ops); i++) {
                struct sim *sim = sim_new();

                zl_mock_fail_next(sim->rt, ops[i], NULL, ZL_E_IO, 1);
                sim_up(sim, TWO_SERVICES, false);
                assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_FAILED);
                assert_non_null(zl_agent_failure(sim->agent, "shop"));
                assert_int_equal(zl_agent_stop(sim->agent, "shop", NULL, &stop, NULL), 0);
                sim_settle(sim);
                assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STOPPED);
                assert_false(sim_exists(sim, "shop.db.1"));
                assert_false(sim_exists(sim, "shop.web.1"));
                sim_free(sim);
        }
}

static void later_failure_is_tried_again(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, SIM_ONE(""), false);
        zl_mock_fail_next(sim->rt, ZL_MOCK_START, "shop.web.1", ZL_E_NO_SPACE, 1);
        zl_mock_exit(sim->rt, "shop.web.1", 1, 0, false, NULL);
        sim_settle(sim);
        sim_advance(sim, 10 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_RUNNING);
        assert_int_equal(sim_count(sim, "restarting shop.web.1"), 2);
        sim_free(sim);
}

/* It dies when all it began is done; what was told so far is forgotten. */
static void kill_agent(struct sim *sim)
{
        while (sim->n_ops > 0)
                sim_do_one(sim);
        sim_kill_agent(sim);
        zl_strv_free(sim->events);
        sim->events = NULL;
}

static void adopts_what_runs(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, TWO_SERVICES, false);
        kill_agent(sim);
        zl_mock_exit(sim->rt, "shop.web.2", 5, 0, false, NULL); /* while nobody looked */
        sim_up(sim, TWO_SERVICES, true);
        assert_int_equal(sim_count(sim, "adopted shop.db.1"), 1);
        assert_int_equal(sim_count(sim, "adopted shop.web.1"), 1);
        assert_int_equal(sim_count(sim, "exited shop.web.2"), 1);
        assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_CREATE), 3);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STARTED);
        sim_advance(sim, ZL_NSEC_PER_SEC);
        assert_int_equal(sim_state(sim, "shop.web.2"), ZL_STATE_RUNNING);
        /* and it is really looked after */
        zl_mock_exit(sim->rt, "shop.db.1", 5, 0, false, NULL);
        sim_settle(sim);
        sim_advance(sim, ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "started shop.db.1"), 1);
        sim_free(sim);
}

static void adopted_job_that_ended_is_not_run_again(void **state)
{
        static const char yaml[] = "version: v1\ndeployment: shop\nservices:\n  work:\n"
                                   "    rtype: job\n    image: {name: nginx}\n";
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, yaml, false);
        kill_agent(sim);
        zl_mock_exit(sim->rt, "shop.work.1", 7, 0, false, NULL);
        sim_up(sim, yaml, true);
        assert_int_equal(zl_agent_exit_code(sim->agent, "shop"), 7);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_FINISHED);
        assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_START), 1);
        kill_agent(sim);
        /* an orderly `up` afterwards does run it again */
        sim_up(sim, yaml, false);
        assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_START), 2);
        sim_free(sim);
}

static void changed_spec_replaces_and_surplus_goes(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, TWO_SERVICES, false);
        kill_agent(sim);
        sim_up(sim,
               "version: v1\ndeployment: shop\nservices:\n"
               "  web:\n    image: {name: nginx}\n    scale: {mode: fixed, replicas: 1}\n"
               "    depends: [{service: db, condition: started}]\n"
               "  db:\n    image: {name: postgres}\n    scale: {mode: fixed, replicas: 1}\n"
               "    env: {NEW: yes}\n",
               true);
        sim_settle(sim);
        assert_int_equal(sim_count(sim, "adopted shop.web.1"), 1); /* another number is no change */
        assert_false(sim_exists(sim, "shop.web.2"));
        assert_int_equal(sim_count(sim, "adopted shop.db.1"), 0);
        assert_int_equal(sim_count(sim, "started shop.db.1"), 1);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STARTED);
        sim_free(sim);
}

static void orphans_are_ended_without_a_spec(void **state)
{
        struct sim *sim = sim_new();
        struct zl_agent_stop_options stop = { .remove = true };

        (void)state;
        sim_up(sim, TWO_SERVICES, false);
        kill_agent(sim);
        assert_int_equal(zl_agent_stop(sim->agent, "shop", NULL, &stop, NULL), 0);
        sim_settle(sim);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STOPPED);
        assert_false(sim_exists(sim, "shop.web.1"));
        kill_agent(sim);

        sim_up(sim, TWO_SERVICES, false);
        kill_agent(sim);
        assert_int_equal(zl_agent_stop(sim->agent, "shop", sim_spec(TWO_SERVICES), &stop, NULL), 0);
        sim_settle(sim);
        assert_true(sim_index(sim, "removed shop.web.1") < sim_index(sim, "removed shop.db.1"));
        sim_free(sim);
}

static void bad_wishes_are_refused_untouched(void **state)
{
        static const char *const yamls[] = {
                SIM_ONE("    env: {A: '$E:NOT_SET'}\n"),
                SIM_ONE("    env: {A: '$S:secret'}\n"),
                SIM_ONE("    restart_policy: {kind: always, delay: soon}\n"),
                "version: v1\ndeployment: shop\nservices:\n  'a b':\n    image: {name: nginx}\n",
                "version: v1\ndeployment: shop\nservices:\n  a:\n    image: {name: nginx}\n"
                "    scale: {mode: fixed, replicas: 4000000000}\n",
                "version: v1\ndeployment: shop\nservices:\n  a:\n    image: {name: nginx}\n"
                "    depends: [{service: b}]\n  b:\n    image: {name: nginx}\n"
                "    depends: [{service: a}]\n",
        };
        struct sim *sim = sim_new();

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(yamls); i++) {
                struct zl_error err = ZL_ERROR_INIT;
                struct zl_deployment_spec *spec = sim_spec(yamls[i]);

                assert_true(zl_agent_up(sim->agent, spec, false, &err) < 0);
                assert_true(strlen(zl_error_message(&err)) > 0);
                zl_error_done(&err);
                zl_spec_free(spec);
        }
        assert_null(sim->events);
        assert_int_equal(zl_mock_count(sim->rt, ZL_MOCK_LIST), 0);
        sim_free(sim);
}

static void wish_that_cannot_be_stored_is_refused(void **state)
{
        struct sim *sim = sim_new();
        struct zl_deployment_spec *spec = sim_spec(TWO_SERVICES);
        struct zl_error err = ZL_ERROR_INIT;

        (void)state;
        sim->fail_save = true;
        assert_true(zl_agent_up(sim->agent, spec, false, &err) < 0);
        assert_int_equal(err.code, ZL_E_NO_SPACE);
        zl_error_done(&err);
        zl_spec_free(spec);
        assert_true(zl_agent_is_idle(sim->agent));
        sim_free(sim);
}

static void stop_in_the_middle_of_a_start(void **state)
{
        struct zl_agent_stop_options stop = { .remove = true };

        (void)state;
        /* after any number of operations */
        for (int n = 0; n < 12; n++) {
                struct sim *sim = sim_new();

                assert_int_equal(zl_agent_up(sim->agent, sim_spec(TWO_SERVICES), false, NULL), 0);
                for (int i = 0; i < n; i++)
                        sim_do_one(sim);
                assert_int_equal(zl_agent_stop(sim->agent, "shop", NULL, &stop, NULL), 0);
                sim_settle(sim);
                sim_advance(sim, 5 * ZL_NSEC_PER_SEC);
                assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STOPPED);
                assert_true(zl_agent_is_idle(sim->agent));
                assert_false(sim_exists(sim, "shop.web.1"));
                assert_false(sim_exists(sim, "shop.web.2"));
                assert_false(sim_exists(sim, "shop.db.1"));
                sim_free(sim);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(starts_in_order_and_stops_against_it),
                cmocka_unit_test(stopping_without_removing_keeps_records),
                cmocka_unit_test(ghosts_of_an_earlier_agent_are_forgotten),
                cmocka_unit_test(restarts_with_growing_pauses_and_crash_loop),
                cmocka_unit_test(success_of_a_service_is_not_restarted),
                cmocka_unit_test(stopped_by_hand_stays_down),
                cmocka_unit_test(restarted_by_hand_is_the_same_and_not_judged),
                cmocka_unit_test(a_stop_that_is_not_told_yet_does_not_win),
                cmocka_unit_test(started_by_hand_goes_on),
                cmocka_unit_test(one_is_started_of_a_deployment_that_is_taken_up),
                cmocka_unit_test(a_restart_that_cannot_stop_leaves_it_running),
                cmocka_unit_test(requests_to_start_are_read),
                cmocka_unit_test(always_restarts_after_success),
                cmocka_unit_test(max_attempts_end_in_failure),
                cmocka_unit_test(shutdown_stops_the_whole_service),
                cmocka_unit_test(isolate_leaves_the_others),
                cmocka_unit_test(job_runs_once_and_tells_its_code),
                cmocka_unit_test(dependents_wait_for_the_success_of_a_job),
                cmocka_unit_test(dependency_times_out),
                cmocka_unit_test(failed_first_start_fails_the_deployment),
                cmocka_unit_test(later_failure_is_tried_again),
                cmocka_unit_test(adopts_what_runs),
                cmocka_unit_test(adopted_job_that_ended_is_not_run_again),
                cmocka_unit_test(changed_spec_replaces_and_surplus_goes),
                cmocka_unit_test(orphans_are_ended_without_a_spec),
                cmocka_unit_test(bad_wishes_are_refused_untouched),
                cmocka_unit_test(wish_that_cannot_be_stored_is_refused),
                cmocka_unit_test(stop_in_the_middle_of_a_start),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
