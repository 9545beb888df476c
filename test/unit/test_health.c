/* SPDX-License-Identifier: Apache-2.0 */
/* Health on a virtual clock: thresholds, grace, what an unhealthy replica brings about, who waits for it. */
#include "agent_sim.h"

#include "agent/core.h"

#define HEALTH                                                                                     \
        "    health: {start_grace: 10s, interval: 4s, timeout: 2s, retries: 3,\n"                  \
        "             check: {type: tcp, port: 80}}\n"

static bool is_bad; /* what sim->look finds */
static char bad_one[64];

static int look(struct sim *sim, const struct zl_probe *probe)
{
        (void)sim;
        if (bad_one[0])
                return strcmp(probe->workload, bad_one) == 0 ? -EIO : 0;
        return is_bad ? -EIO : 0;
}

static struct sim *begin(const char *yaml)
{
        struct sim *sim = sim_new();

        sim->look = look;
        bad_one[0] = 0;
        sim_up(sim, yaml, false);
        return sim;
}

static void a_quick_one_is_healthy_at_once(void **state)
{
        struct sim *sim;

        (void)state;
        is_bad = false;
        sim = begin(SIM_ONE(HEALTH));
        sim_advance(sim, 10 * ZL_NSEC_PER_MSEC);
        assert_int_equal(sim_count(sim, "healthy shop.web.1"), 1);
        sim->n_probed = 0;
        sim_advance(sim, 40 * ZL_NSEC_PER_SEC);
        /* every 4 s, give or take a tenth */
        assert_in_range(sim->n_probed, 8, 12);
        assert_int_equal(sim_count(sim, "healthy shop.web.1"), 1);
        sim_free(sim);
}

static void failures_count_only_after_the_grace_and_in_a_row(void **state)
{
        struct sim *sim;

        (void)state;
        is_bad = true;
        sim = begin(SIM_ONE(HEALTH "    restart_policy: {kind: 'no'}\n"));
        sim_advance(sim, 9900 * ZL_NSEC_PER_MSEC);
        assert_true(sim->n_probed >= 5); /* at growing distances */
        assert_int_equal(sim_count(sim, "unhealthy shop.web.1"), 0);
        sim_advance(sim, 8 * ZL_NSEC_PER_SEC); /* two failures */
        is_bad = false;
        sim_advance(sim, 5 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "healthy shop.web.1"), 1);
        is_bad = true;
        sim_advance(sim, 9 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "unhealthy shop.web.1"), 0);
        sim_advance(sim, 5 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "unhealthy shop.web.1"), 1);
        /* kind no: it is left, and looked at less and less often */
        sim->n_probed = 0;
        sim_advance(sim, 600 * ZL_NSEC_PER_SEC);
        assert_in_range(sim->n_probed, 8, 20);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_RUNNING);
        is_bad = false;
        sim_advance(sim, 70 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "healthy shop.web.1"), 2);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        sim_free(sim);
}

static void an_unhealthy_one_is_restarted_by_its_policy(void **state)
{
        struct sim *sim;

        (void)state;
        is_bad = false;
        sim = begin(SIM_ONE(HEALTH));
        sim_advance(sim, ZL_NSEC_PER_SEC);
        is_bad = true;
        sim_advance(sim, 15 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "unhealthy shop.web.1"), 1);
        assert_int_equal(sim_count(sim, "stopping shop.web.1"), 1);
        assert_int_equal(sim_count(sim, "restarting shop.web.1"), 1);
        is_bad = false;
        sim_advance(sim, ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 2);
        assert_int_equal(sim_count(sim, "healthy shop.web.1"), 2);
        sim_free(sim);
}

static void isolate_and_shutdown_have_their_way(void **state)
{
        struct sim *sim;

        (void)state;
        is_bad = false;
        sim = begin(SIM_ONE(HEALTH "    errors: {on_panic: {action: isolate}}\n"));
        sim_advance(sim, ZL_NSEC_PER_SEC);
        is_bad = true;
        sim_advance(sim, 60 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "isolated shop.web.1"), 1);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_RUNNING);
        sim_free(sim);

        is_bad = false;
        sim = begin(SIM_ONE(HEALTH "    errors: {on_panic: {action: shutdown}}\n"));
        sim_advance(sim, ZL_NSEC_PER_SEC);
        is_bad = true;
        sim_advance(sim, 600 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "shutdown shop.web.1"), 1);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        assert_int_equal(sim_state(sim, "shop.web.1"), ZL_STATE_EXITED);
        sim_free(sim);
}

static void dependents_wait_for_health(void **state)
{
        static const char yaml[] = "version: v1\ndeployment: shop\nservices:\n"
                                   "  app:\n    image: {name: nginx}\n"
                                   "    depends: [{service: web, condition: healthy}]\n"
                                   "  web:\n    image: {name: nginx}\n" HEALTH;
        struct sim *sim;

        (void)state;
        is_bad = true;
        sim = begin(yaml);
        sim_advance(sim, 3 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 1);
        assert_int_equal(sim_count(sim, "created shop.app.1"), 0);
        is_bad = false;
        sim_advance(sim, 5 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "started shop.app.1"), 1);
        assert_int_equal(zl_agent_phase(sim->agent, "shop"), ZL_DEPLOYMENT_STARTED);
        sim_free(sim);
}

static int image_check(const char *image, struct zl_image_health *ret, void *data)
{
        (void)data;
        (void)image;
        ret->interval = 2 * ZL_NSEC_PER_SEC;
        ret->retries = 2;
        return zl_strv_push(&ret->test, "/bin/check");
}

static int look_for_command(struct sim *sim, const struct zl_probe *probe)
{
        assert_int_equal(probe->kind, ZL_PROBE_COMMAND);
        assert_string_equal(probe->argv[0], "/bin/check");
        return look(sim, probe);
}

static void the_check_of_the_image_counts_if_the_spec_has_none(void **state)
{
        struct sim *sim = sim_new();
        struct zl_mock_hooks hooks = { .now = sim_now,
                                       .on_image_health = image_check,
                                       .data = sim };

        (void)state;
        zl_mock_set_hooks(sim->rt, &hooks);
        sim->look = look_for_command;
        is_bad = false;
        sim_up(sim, SIM_ONE(""), false);
        sim_advance(sim, ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "healthy shop.web.1"), 1);
        is_bad = true;
        sim_advance(sim, 5 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "unhealthy shop.web.1"), 1);
        sim_free(sim);
}

static void a_new_revision_that_is_never_healthy_is_taken_back(void **state)
{
        static const char old[] = "version: v1\ndeployment: shop\nservices:\n  web:\n"
                                  "    image: {name: nginx}\n"
                                  "    scale: {mode: fixed, replicas: 3}\n" HEALTH;
        static const char new[] = "version: v1\ndeployment: shop\nservices:\n  web:\n"
                                  "    image: {name: nginx}\n    env: {NEW: yes}\n"
                                  "    scale: {mode: fixed, replicas: 3}\n" HEALTH;
        struct sim *sim;

        (void)state;
        is_bad = false;
        sim = begin(old);
        sim_advance(sim, ZL_NSEC_PER_SEC);
        snprintf(bad_one, sizeof(bad_one), "shop.web.1");
        assert_int_equal(zl_agent_update(sim->agent, sim_spec(new), NULL), 0);
        sim_settle(sim);
        sim_advance(sim, 9 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "rolled_back shop.web"), 0);
        for (int i = 0; i < 40 && sim_count(sim, "rolled_back shop.web") == 0; i++)
                sim_advance(sim, ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "rolled_back shop.web"), 1);
        bad_one[0] = 0;
        sim_advance(sim, 30 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "exited shop.web.1"), 2); /* the old one, the bad one */
        assert_int_equal(sim_count(sim, "exited shop.web.2"), 0);
        assert_int_equal(sim_count(sim, "exited shop.web.3"), 0);
        assert_string_equal(zl_map_get(sim->hashes, "shop.web.1"),
                            zl_map_get(sim->hashes, "shop.web.2"));
        sim_free(sim);
}

static int hang(struct sim *sim, const struct zl_probe *probe)
{
        (void)sim;
        (void)probe;
        return -EAGAIN;
}

static void a_late_result_of_an_earlier_run_does_not_count(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim->look = hang;
        sim_up(sim, SIM_ONE(HEALTH), false);
        assert_int_equal(sim->n_probes, 1);
        zl_mock_exit(sim->rt, "shop.web.1", 1, 0, false, NULL);
        sim->look = look;
        is_bad = true;
        sim_settle(sim);
        sim_advance(sim, ZL_NSEC_PER_SEC);
        assert_int_equal(sim_count(sim, "started shop.web.1"), 2);
        assert_int_equal(sim_count(sim, "healthy shop.web.1"), 0);
        sim_free(sim);
}

static void a_paused_one_is_not_looked_at(void **state)
{
        struct sim *sim;

        (void)state;
        is_bad = false;
        sim = begin(SIM_ONE(HEALTH));
        sim_advance(sim, ZL_NSEC_PER_SEC);
        assert_int_equal(zl_runtime_pause(sim->rt, "shop.web.1", true, NULL), 0);
        sim_settle(sim);
        is_bad = true;
        sim->n_probed = 0;
        sim_advance(sim, 100 * ZL_NSEC_PER_SEC);
        assert_int_equal(sim->n_probed, 0);
        is_bad = false;
        assert_int_equal(zl_runtime_pause(sim->rt, "shop.web.1", false, NULL), 0);
        sim_settle(sim);
        sim_advance(sim, 10 * ZL_NSEC_PER_SEC);
        assert_true(sim->n_probed > 0);
        assert_int_equal(sim_count(sim, "unhealthy shop.web.1"), 0);
        sim_free(sim);
}

static void urls_are_read(void **state)
{
        static const struct {
                const char *url, *host, *path;
                uint16_t port;
        } good[] = {
                { "http://localhost", NULL, "/", 80 },
                { "http://127.0.0.1:8080/health?x=1#top", NULL, "/health?x=1", 8080 },
                { "HTTP://db:5000/", "db", "/", 5000 },
                { "http://[::2]:81/a", "::2", "/a", 81 },
                { "http://10.0.0.1?q", "10.0.0.1", "/?q", 80 },
                { "https://localhost", NULL, "/", 443 },
                { "HTTPS://db:8443/x", "db", "/x", 8443 },
        };
        static const char *const bad[] = { "ftp://localhost", "localhost:80", "http://",
                                           "http://:80",      "http://a:0",   "http://a:99999",
                                           "http://a:b",      "http://u@a",   "http://a/b c",
                                           "http://[::1" };

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(good); i++) {
                struct zl_service_spec *spec = NULL;
                struct health_plan plan = { 0 };

                assert_int_equal(zl_service_spec_new_default("nginx", &spec, NULL), 0);
                spec->health.check.type = ZL_HEALTH_HTTP;
                spec->health.check.url = strdup(good[i].url);
                assert_int_equal(zl_health_plan_make(spec, &plan, NULL), 0);
                assert_int_equal(plan.url.port, good[i].port);
                assert_string_equal(plan.url.path, good[i].path);
                assert_int_equal(plan.url.tls, (good[i].url[4] | 32) == 's');
                if (good[i].host)
                        assert_string_equal(plan.url.host, good[i].host);
                else
                        assert_null(plan.url.host);
                zl_health_plan_done(&plan);
                zl_service_spec_free(spec);
        }
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++) {
                struct zl_service_spec *spec = NULL;
                struct health_plan plan = { 0 };
                struct zl_error err = ZL_ERROR_INIT;

                assert_int_equal(zl_service_spec_new_default("nginx", &spec, NULL), 0);
                spec->health.check.type = ZL_HEALTH_HTTP;
                spec->health.check.url = strdup(bad[i]);
                if (zl_health_plan_make(spec, &plan, &err) >= 0)
                        fail_msg("%s was accepted", bad[i]);
                zl_error_done(&err);
                zl_service_spec_free(spec);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_quick_one_is_healthy_at_once),
                cmocka_unit_test(failures_count_only_after_the_grace_and_in_a_row),
                cmocka_unit_test(an_unhealthy_one_is_restarted_by_its_policy),
                cmocka_unit_test(isolate_and_shutdown_have_their_way),
                cmocka_unit_test(dependents_wait_for_health),
                cmocka_unit_test(the_check_of_the_image_counts_if_the_spec_has_none),
                cmocka_unit_test(a_new_revision_that_is_never_healthy_is_taken_back),
                cmocka_unit_test(a_late_result_of_an_earlier_run_does_not_count),
                cmocka_unit_test(a_paused_one_is_not_looked_at),
                cmocka_unit_test(urls_are_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
