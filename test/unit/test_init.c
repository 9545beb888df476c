/* SPDX-License-Identifier: Apache-2.0 */
/* Init steps on a virtual clock: order, retries, time-outs, and what a failure brings about. */
#include "agent_sim.h"

#define STEPS(steps) "    init:\n      steps:\n" steps
#define RUN(id, more) "      - {id: " id ", uses: init.run, with: {command: " id "}" more "}\n"

/* "two" etc.: the commands that fail, and how often they still do. */
static char failing[64];
static int failures;
static char seen[256];
static int64_t shortest; /* time that a probe was given */

static int look(struct sim *sim, const struct zl_probe *probe)
{
        const char *what = probe->kind == ZL_PROBE_COMMAND ? probe->argv[2]
                           : probe->host                   ? probe->host
                                                           : probe->workload;

        (void)sim;
        shortest = ZL_MIN(shortest, probe->timeout);
        strncat(seen, what, sizeof(seen) - strlen(seen) - 1);
        strncat(seen, " ", sizeof(seen) - strlen(seen) - 1);
        if (strcmp(what, failing) == 0 && failures != 0) {
                failures--;
                return -EIO;
        }
        return 0;
}

static struct sim *begin(const char *yaml, const char *bad, int times)
{
        struct sim *sim = sim_new();

        snprintf(failing, sizeof(failing), "%s", bad);
        failures = times;
        seen[0] = 0;
        shortest = INT64_MAX;
        sim->look = look;
        sim_up(sim, yaml, false);
        return sim;
}

static void steps_run_in_order_before_the_start(void **state)
{
        struct sim *sim = begin(SIM_ONE(STEPS(RUN("one", "") RUN("two", ""))), "", 0);

        (void)state;
        assert_string_equal(seen, "one two ");
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        /* a restart is no new container */
        zl_mock_exit(sim->rt, "shop.web.1", 1, 0, false, NULL);
        sim_settle(sim);
        sim_advance(sim, ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 2);
        assert_string_equal(seen, "one two ");
        sim_free(sim);
}

static void a_failed_step_fails_the_start(void **state)
{
        struct sim *sim = begin(SIM_ONE(STEPS(RUN("one", "") RUN("two", ""))), "one", -1);

        (void)state;
        sim_advance(sim, 100 * ZL_NSEC_PER_SEC);
        assert_string_equal(seen, "one ");
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_FAILED);
        assert_non_null(strstr(zl_error_message(zl_agent_failure(sim->agent, "shop")),
                               "shop.web.1: init step \"one\""));
        assert_int_equal(sim_count(sim, "started shop.web.1"), 0);
        sim_free(sim);
}

static void retry_tries_again_after_a_pause(void **state)
{
        struct sim *sim = begin(SIM_ONE(STEPS(RUN("one", ", retry: 2"))), "one", 2);

        (void)state;
        assert_string_equal(seen, "one ");
        sim_advance(sim, 1100 * ZL_NSEC_PER_MSEC);
        assert_string_equal(seen, "one one ");
        sim_advance(sim, 2100 * ZL_NSEC_PER_MSEC);
        assert_string_equal(seen, "one one one ");
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        sim_free(sim);
}

static void warn_and_continue_go_on(void **state)
{
        struct sim *sim;

        (void)state;
        sim = begin(SIM_ONE(STEPS(RUN("one", ", on_failure: warn") RUN("two", ""))), "one", -1);
        assert_string_equal(seen, "one two ");
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        assert_int_equal(sim_count(sim, "warning shop.web.1"), 1);
        sim_free(sim);
        sim = begin(SIM_ONE(STEPS(RUN("one", ", on_failure: continue"))), "one", -1);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        assert_int_equal(sim_count(sim, "warning shop.web.1"), 0);
        sim_free(sim);
}

static void the_whole_list_begins_again(void **state)
{
        static const char yaml[] = SIM_ONE(
                "    errors: {on_init_failure: {action: backoff}}\n" STEPS(RUN("one", "")
                                                                                   RUN("two", "")));
        struct sim *sim = begin(yaml, "two", 2);

        (void)state;
        assert_string_equal(seen, "one two ");
        sim_advance(sim, 1100 * ZL_NSEC_PER_MSEC);
        assert_string_equal(seen, "one two one two ");
        sim_advance(sim, 2100 * ZL_NSEC_PER_MSEC);
        assert_string_equal(seen, "one two one two one two ");
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        sim_free(sim);

        sim = begin(yaml, "one", -1);
        sim_advance(sim, 100 * ZL_NSEC_PER_SEC);
        assert_string_equal(seen, "one one one one ");
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_FAILED);
        sim_free(sim);
}

static void a_wait_looks_until_it_works_or_its_time_is_over(void **state)
{
        static const char yaml[] = SIM_ONE(STEPS(
                "      - {id: w, uses: init.wait_tcp, with: {host: other.org, port: 80, timeout: 20}}\n"));
        struct sim *sim = begin(yaml, "other.org", 5);

        (void)state;
        sim_advance(sim, 5 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        assert_int_equal(sim->n_probed, 6);
        sim_free(sim);

        sim = begin(yaml, "other.org", -1);
        sim_advance(sim, 19 * ZL_NSEC_PER_SEC);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STARTING);
        sim_advance(sim, 4 * ZL_NSEC_PER_SEC);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_FAILED);
        /* Also the last try, whose reason is told, can be answered on a machine with a lot to do. */
        assert_true(shortest >= ZL_NSEC_PER_SEC / 2);
        sim_free(sim);
}

static void services_are_reached_directly(void **state)
{
        struct sim *sim = begin(
                SIM_ONE(STEPS(
                        "      - {id: w, uses: init.wait_http, with: {url: 'http://db:81/x'}}\n") "    depends: [{service: db, condition: started}]\n"
                                                                                                  "  db:\n    image: {name: postgres}\n"),
                "", 0);

        (void)state;
        assert_string_equal(seen, "shop.db.1 ");
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        sim_free(sim);
}

static int hang(struct sim *sim, const struct zl_probe *probe)
{
        (void)sim;
        (void)probe;
        return -EAGAIN;
}

static void a_stop_in_the_middle_ends_it(void **state)
{
        struct zl_agent_stop_options stop = { .remove = true };
        struct sim *sim = sim_new();

        (void)state;
        sim->look = hang;
        sim_up(sim, SIM_ONE(STEPS(RUN("one", ""))), false);
        assert_int_equal(sim->n_probes, 1);
        assert_int_equal(zl_agent_stop(sim->agent, "shop", NULL, &stop, NULL), 0);
        assert_true(sim->probes[0]->cancelled);
        sim_settle(sim);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STOPPED);
        assert_false(sim_exists(sim, "shop.web.1"));
        assert_int_equal(sim_count(sim, "started shop.web.1"), 0);
        assert_true(zl_agent_is_idle(sim->agent));
        sim_free(sim);
}

static void what_cannot_be_is_refused(void **state)
{
        static const char *const steps[] = {
                "      - {id: x, uses: init.dance}\n",
                "      - {id: x, uses: init.run}\n",
                "      - {id: x, uses: init.run, with: {command: 7}}\n",
                "      - {id: x, uses: init.run, with: {command: a, timeout: -1}}\n",
                "      - {id: x, uses: init.wait_tcp, with: {host: a}}\n",
                "      - {id: x, uses: init.wait_tcp, with: {host: a, port: 70000}}\n",
                "      - {id: x, uses: init.wait_http, with: {url: 'ftp://a'}}\n",
                "      - {id: x, uses: init.wait_http, with: {url: 'http://a', expect_status: 1000}}\n",
        };
        struct sim *sim = sim_new();

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(steps); i++) {
                struct zl_error err = ZL_ERROR_INIT;
                struct zl_deployment_spec *spec;
                char yaml[1024];

                snprintf(yaml, sizeof(yaml), "%s%s", SIM_ONE(STEPS("")), steps[i]);
                spec = sim_spec(yaml);
                assert_true(zl_agent_up(sim->agent, spec, false, &err) < 0);
                if (!strstr(zl_error_message(&err), "service web: init step \"x\": "))
                        fail_msg("%s: %s", steps[i], zl_error_message(&err));
                zl_error_done(&err);
                zl_spec_free(spec);
        }
        sim_free(sim);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(steps_run_in_order_before_the_start),
                cmocka_unit_test(a_failed_step_fails_the_start),
                cmocka_unit_test(retry_tries_again_after_a_pause),
                cmocka_unit_test(warn_and_continue_go_on),
                cmocka_unit_test(the_whole_list_begins_again),
                cmocka_unit_test(a_wait_looks_until_it_works_or_its_time_is_over),
                cmocka_unit_test(services_are_reached_directly),
                cmocka_unit_test(a_stop_in_the_middle_ends_it),
                cmocka_unit_test(what_cannot_be_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
