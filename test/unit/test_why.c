/* SPDX-License-Identifier: Apache-2.0 */
/* What zl_agent_why() says in which situation. */
#include "agent_sim.h"

#include "agent/why.h"

static const char yaml[] = "version: v1\ndeployment: shop\nservices:\n"
                           "  web:\n    image: {name: nginx}\n"
                           "    depends: [{service: app, condition: healthy}]\n"
                           "  app:\n    image: {name: nginx}\n"
                           "    depends: [{service: db, condition: healthy}]\n"
                           "  db:\n    image: {name: postgres}\n"
                           "    scale: {mode: fixed, replicas: 2}\n"
                           "    health: {check: {type: tcp, port: 5432}}\n";

/* Each text stands in a line of its own, in this order. */
static void assert_why(struct sim *sim, const char *name, const char *const *texts)
{
        struct zl_error err = ZL_ERROR_INIT;
        char **lines = NULL;
        size_t i = 0;

        if (zl_agent_why(sim->agent, name, &lines, &err) < 0)
                fail_msg("%s", zl_error_message(&err));
        for (; *texts; texts++) {
                while (lines && lines[i] && !strstr(lines[i], *texts))
                        i++;
                if (!lines || !lines[i]) {
                        for (size_t k = 0; lines && lines[k]; k++)
                                print_error("  %s\n", lines[k]);
                        fail_msg("nothing says \"%s\" there", *texts);
                }
                i++;
        }
        zl_strv_free(lines);
}

static int bad(struct sim *sim, const struct zl_probe *probe)
{
        (void)sim;
        return strstr(probe->workload, ".db.2") ? -EIO : 0;
}

static void a_chain_is_followed_to_its_root(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim->look = bad;
        sim_up(sim, yaml, false);
        assert_why(sim, "shop.web",
                   (const char *const[]){
                           "shop.web waits: of the service app 0 of 1",
                           "shop.app waits: of the service db 1 of 2 replicas are healthy",
                           "shop.db.1 runs and is healthy",
                           "shop.db.2 runs, but its health check has not succeeded", NULL });
        assert_why(sim, "shop",
                   (const char *const[]){ "deployment shop is starting", "shop.db.2 runs, but",
                                          NULL });
        sim_free(sim);
}

static void ends_and_policies_are_told(void **state)
{
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim,
               "version: v1\ndeployment: shop\nservices:\n  a:\n    image: {name: nginx}\n"
               "  b:\n    image: {name: nginx}\n    restart_policy: {kind: 'no'}\n"
               "  c:\n    image: {name: nginx}\n    scale: {mode: fixed, replicas: 0}\n",
               false);
        zl_mock_exit(sim->rt, "shop.a.1", 3, 0, false, NULL);
        zl_mock_exit(sim->rt, "shop.b.1", 4, 0, false, NULL);
        sim_settle(sim);
        assert_why(sim, "shop.a.1",
                   (const char *const[]){ "shop.a.1 is started again in 0.1 s (restart 1)",
                                          "shop.a.1: exited with 3", NULL });
        assert_why(sim, "shop.b",
                   (const char *const[]){ "restart policy is \"no\"", "exited with 4", NULL });
        assert_why(sim, "shop.c", (const char *const[]){ "no replica of it is wished", NULL });
        sim_advance(sim, ZL_NSEC_PER_SEC);
        assert_int_equal(zl_runtime_stop(sim->rt, "shop.a.1", 0, NULL), 0);
        sim_settle(sim);
        assert_why(sim, "shop.a.1", (const char *const[]){ "was stopped on request", NULL });
        sim_free(sim);
}

static void what_is_unknown_is_an_error(void **state)
{
        static const char *const names[] = { "none", "shop.none", "shop.none.1", "shop." };
        struct sim *sim = sim_new();

        (void)state;
        sim_up(sim, yaml, false);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(names); i++) {
                struct zl_error err = ZL_ERROR_INIT;
                char **lines = NULL;

                assert_true(zl_agent_why(sim->agent, names[i], &lines, &err) < 0);
                assert_int_equal(err.code, ZL_E_NOT_FOUND);
                zl_error_done(&err);
        }
        sim_free(sim);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_chain_is_followed_to_its_root),
                cmocka_unit_test(ends_and_policies_are_told),
                cmocka_unit_test(what_is_unknown_is_an_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
