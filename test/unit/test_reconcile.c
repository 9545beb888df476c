/* SPDX-License-Identifier: Apache-2.0 */
/* The pure function from wish and facts to actions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/reconcile.h"
#include "base/macro.h"

static struct zl_action *actions;
static size_t n_actions;

static void reconcile(const struct zl_wish *wish, const struct zl_fact *facts, size_t n)
{
        free(actions);
        actions = NULL;
        assert_int_equal(zl_reconcile(wish, facts, n, &actions, &n_actions), 0);
}

static void assert_action(size_t i, enum zl_action_kind kind, size_t service, uint32_t replica)
{
        assert_true(i < n_actions);
        assert_int_equal(actions[i].kind, kind);
        assert_int_equal(actions[i].service, service);
        assert_int_equal(actions[i].replica, replica);
}

static const struct zl_wish_dependency on_first[] = { { 0, ZL_NEED_STARTED } };
static const struct zl_wish_dependency on_first_complete[] = { { 0, ZL_NEED_COMPLETED } };
static const struct zl_wish_service chain[] = {
        { .name = "db", .hash = "h1", .replicas = 1, .prepared = true },
        { .name = "web", .hash = "h2", .replicas = 2, .depends = on_first, .n_depends = 1 },
};
static const struct zl_wish wish_chain = { .services = chain, .n_services = 2 };

static void nothing_there_starts_what_depends_on_nothing(void **state)
{
        (void)state;
        reconcile(&wish_chain, NULL, 0);
        assert_int_equal(n_actions, 1);
        assert_action(0, ZL_ACTION_START, 0, 1);
}

static void dependents_start_when_all_of_it_has_started(void **state)
{
        struct zl_fact facts[] = {
                { .service = "db", .replica = 1, .state = ZL_STATE_PENDING, .managed = true },
        };

        (void)state;
        reconcile(&wish_chain, facts, 1);
        assert_int_equal(n_actions, 0);
        facts[0].state = ZL_STATE_RUNNING;
        facts[0].has_started = true;
        reconcile(&wish_chain, facts, 1);
        assert_int_equal(n_actions, 2);
        assert_action(0, ZL_ACTION_START, 1, 1);
        assert_action(1, ZL_ACTION_START, 1, 2);
}

static void completion_is_more_than_a_start(void **state)
{
        const struct zl_wish_service services[] = {
                { .name = "job", .hash = "h", .replicas = 1 },
                { .name = "web",
                  .hash = "h",
                  .replicas = 1,
                  .depends = on_first_complete,
                  .n_depends = 1 },
        };
        const struct zl_wish wish = { .services = services, .n_services = 2 };
        struct zl_fact facts[] = {
                { .service = "job",
                  .replica = 1,
                  .state = ZL_STATE_RUNNING,
                  .managed = true,
                  .has_started = true },
        };

        (void)state;
        reconcile(&wish, facts, 1);
        assert_int_equal(n_actions, 0);
        facts[0].state = ZL_STATE_EXITED;
        facts[0].completed = true;
        reconcile(&wish, facts, 1);
        assert_int_equal(n_actions, 1);
        assert_action(0, ZL_ACTION_START, 1, 1);
}

static void released_service_does_not_wait(void **state)
{
        const struct zl_wish_service services[] = {
                { .name = "db", .hash = "h", .replicas = 1 },
                { .name = "web",
                  .hash = "h",
                  .replicas = 1,
                  .released = true,
                  .depends = on_first,
                  .n_depends = 1 },
        };
        const struct zl_wish wish = { .services = services, .n_services = 2 };

        (void)state;
        reconcile(&wish, NULL, 0);
        assert_int_equal(n_actions, 2);
}

static enum zl_action_kind kind_for(enum zl_workload_state s, const char *hash, bool recovering)
{
        const struct zl_wish wish = { .services = chain,
                                      .n_services = 1,
                                      .recovering = recovering };
        const struct zl_fact fact = { .service = "db", .replica = 1, .state = s, .hash = hash };

        reconcile(&wish, &fact, 1);
        assert_int_equal(n_actions, 1);
        assert_int_equal(actions[0].fact, 0);
        return actions[0].kind;
}

static void what_is_found_is_adopted_or_replaced(void **state)
{
        (void)state;
        assert_int_equal(kind_for(ZL_STATE_RUNNING, "h1", false), ZL_ACTION_ADOPT);
        assert_int_equal(kind_for(ZL_STATE_PAUSED, "h1", false), ZL_ACTION_ADOPT);
        assert_int_equal(kind_for(ZL_STATE_RUNNING, NULL, false), ZL_ACTION_ADOPT);
        assert_int_equal(kind_for(ZL_STATE_RUNNING, "other", false), ZL_ACTION_REPLACE);
        assert_int_equal(kind_for(ZL_STATE_RUNNING, "other", true), ZL_ACTION_REPLACE);
        /* created, but its agent died before the start */
        assert_int_equal(kind_for(ZL_STATE_PENDING, "h1", true), ZL_ACTION_REPLACE);
        assert_int_equal(kind_for(ZL_STATE_EXITED, "h1", false), ZL_ACTION_REPLACE);
        assert_int_equal(kind_for(ZL_STATE_EXITED, "h1", true), ZL_ACTION_ADOPT);
        assert_int_equal(kind_for(ZL_STATE_EXITED, "other", true), ZL_ACTION_REPLACE);
        assert_int_equal(kind_for(ZL_STATE_FAILED, "h1", true), ZL_ACTION_REPLACE);
}

static void managed_ones_are_left_to_their_machine(void **state)
{
        const struct zl_wish wish = { .services = chain, .n_services = 1 };
        const struct zl_fact fact = {
                .service = "db", .replica = 1, .state = ZL_STATE_EXITED, .managed = true
        };

        (void)state;
        reconcile(&wish, &fact, 1);
        assert_int_equal(n_actions, 0);
}

static void surplus_goes_dependents_first(void **state)
{
        const struct zl_wish_service services[] = {
                { .name = "db" },
                { .name = "web", .depends = on_first, .n_depends = 1 },
        };
        const struct zl_wish wish = { .services = services, .n_services = 2, .remove_ended = true };
        struct zl_fact facts[] = {
                { .service = "db", .replica = 1, .state = ZL_STATE_RUNNING, .managed = true },
                { .service = "web", .replica = 1, .state = ZL_STATE_RUNNING, .managed = true },
                { .service = "gone", .replica = 3, .state = ZL_STATE_RUNNING },
        };

        (void)state;
        reconcile(&wish, facts, 3);
        assert_int_equal(n_actions, 2);
        assert_action(0, ZL_ACTION_STOP, 1, 1);
        assert_action(1, ZL_ACTION_STOP, SIZE_MAX, 3);
        facts[1].going = true; /* told, but not down yet */
        facts[2].going = true;
        reconcile(&wish, facts, 3);
        assert_int_equal(n_actions, 0);
        facts[1].state = ZL_STATE_EXITED;
        reconcile(&wish, facts, 3);
        assert_int_equal(n_actions, 1);
        assert_action(0, ZL_ACTION_STOP, 0, 1);
}

static void ended_surplus_is_removed_only_if_wished(void **state)
{
        struct zl_wish wish = { .remove_ended = true };
        const struct zl_fact fact = { .service = "db", .replica = 1, .state = ZL_STATE_EXITED };

        (void)state;
        reconcile(&wish, &fact, 1);
        assert_int_equal(n_actions, 1);
        assert_action(0, ZL_ACTION_REMOVE, SIZE_MAX, 1);
        wish.remove_ended = false;
        reconcile(&wish, &fact, 1);
        assert_int_equal(n_actions, 0);
}

static void replicas_above_the_number_are_surplus(void **state)
{
        const struct zl_fact facts[] = {
                { .service = "db", .replica = 1, .state = ZL_STATE_RUNNING, .managed = true },
                { .service = "db", .replica = 2, .state = ZL_STATE_RUNNING, .managed = true },
                { .service = "db", .replica = 0, .state = ZL_STATE_RUNNING },
        };
        const struct zl_wish wish = { .services = chain, .n_services = 1 };

        (void)state;
        reconcile(&wish, facts, 3);
        assert_int_equal(n_actions, 2);
        assert_action(0, ZL_ACTION_STOP, 0, 2);
        assert_action(1, ZL_ACTION_STOP, 0, 0);
}

#define RUNNING(number, hash_, available_)                                                         \
        {                                                                                          \
                .service = "db", .replica = (number), .state = ZL_STATE_RUNNING, .managed = true,  \
                .has_started = true, .hash = (hash_), .available = (available_)                    \
        }

static void the_least_useful_go_first(void **state)
{
        const struct zl_fact facts[] = {
                RUNNING(1, "h", true),
                RUNNING(2, "h", false),
                RUNNING(3, "h", true),
                { .service = "db", .replica = 4, .state = ZL_STATE_EXITED, .managed = true },
        };
        struct zl_wish_service service = { .name = "db", .hash = "h", .replicas = 3 };
        const struct zl_wish wish = { .services = &service, .n_services = 1, .remove_ended = true };

        (void)state;
        reconcile(&wish, facts, 4);
        assert_int_equal(n_actions, 1);
        assert_action(0, ZL_ACTION_REMOVE, 0, 4);
        service.replicas = 2;
        reconcile(&wish, facts, 4);
        assert_int_equal(n_actions, 2);
        assert_action(0, ZL_ACTION_STOP, 0, 2);
        assert_action(1, ZL_ACTION_REMOVE, 0, 4);
        service.replicas = 1;
        reconcile(&wish, facts, 4);
        assert_int_equal(n_actions, 3);
        assert_action(0, ZL_ACTION_STOP, 0, 2);
        assert_action(1, ZL_ACTION_STOP, 0, 3);
}

static void the_lowest_free_numbers_are_given(void **state)
{
        struct zl_fact facts[] = { RUNNING(2, "h", true), RUNNING(3, "h", true) };
        const struct zl_wish_service service = { .name = "db", .hash = "h", .replicas = 3 };
        const struct zl_wish wish = { .services = &service, .n_services = 1 };

        (void)state;
        reconcile(&wish, facts, 2);
        assert_int_equal(n_actions, 1);
        assert_action(0, ZL_ACTION_START, 0, 1);
        /* a number that is still being freed is waited for */
        facts[1].going = true;
        reconcile(&wish, facts, 2);
        assert_int_equal(n_actions, 1);
        assert_action(0, ZL_ACTION_START, 0, 1);
}

static void one_at_a_time_is_replaced(void **state)
{
        struct zl_fact facts[] = { RUNNING(1, "old", true), RUNNING(2, "old", false),
                                   RUNNING(3, "old", true) };
        struct zl_wish_service service = { .name = "db", .hash = "new", .replicas = 3 };
        const struct zl_wish wish = { .services = &service, .n_services = 1 };

        (void)state;
        reconcile(&wish, facts, 3);
        assert_int_equal(n_actions, 0); /* the image is not here */
        service.prepared = true;
        reconcile(&wish, facts, 3);
        assert_int_equal(n_actions, 1);
        assert_action(0, ZL_ACTION_REPLACE, 0, 2); /* the one that does not work anyway */
        facts[1].hash = "new";
        reconcile(&wish, facts, 3);
        assert_int_equal(n_actions, 0); /* until it is well */
        facts[1].available = true;
        reconcile(&wish, facts, 3);
        assert_int_equal(n_actions, 1);
        assert_action(0, ZL_ACTION_REPLACE, 0, 1);
}

static void rollouts_follow_the_dependencies(void **state)
{
        const struct zl_wish_service services[] = {
                { .name = "db", .hash = "new", .replicas = 1, .prepared = true },
                { .name = "web",
                  .hash = "new",
                  .replicas = 1,
                  .prepared = true,
                  .depends = on_first,
                  .n_depends = 1 },
        };
        const struct zl_wish wish = { .services = services, .n_services = 2 };
        struct zl_fact facts[] = { RUNNING(1, "old", true), RUNNING(1, "old", true) };

        (void)state;
        facts[1].service = "web";
        reconcile(&wish, facts, 2);
        assert_int_equal(n_actions, 1);
        assert_action(0, ZL_ACTION_REPLACE, 0, 1);
        facts[0].hash = "new";
        reconcile(&wish, facts, 2);
        assert_int_equal(n_actions, 1);
        assert_action(0, ZL_ACTION_REPLACE, 1, 1);
}

static void thousands_are_no_trouble(void **state)
{
        enum { N = 10000 };
        const struct zl_wish_service service = { .name = "db", .hash = "h", .replicas = N };
        const struct zl_wish wish = { .services = &service, .n_services = 1 };
        struct zl_fact *facts = calloc(N, sizeof(*facts));

        (void)state;
        for (uint32_t i = 0; i < N; i++)
                facts[i] = (struct zl_fact){ .service = "db",
                                             .replica = N - i,
                                             .state = ZL_STATE_RUNNING,
                                             .managed = i != 77 };
        reconcile(&wish, facts, N);
        assert_int_equal(n_actions, 1);
        assert_action(0, ZL_ACTION_ADOPT, 0, N - 77);
        free(facts);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing_there_starts_what_depends_on_nothing),
                cmocka_unit_test(dependents_start_when_all_of_it_has_started),
                cmocka_unit_test(completion_is_more_than_a_start),
                cmocka_unit_test(released_service_does_not_wait),
                cmocka_unit_test(what_is_found_is_adopted_or_replaced),
                cmocka_unit_test(managed_ones_are_left_to_their_machine),
                cmocka_unit_test(surplus_goes_dependents_first),
                cmocka_unit_test(ended_surplus_is_removed_only_if_wished),
                cmocka_unit_test(replicas_above_the_number_are_surplus),
                cmocka_unit_test(the_least_useful_go_first),
                cmocka_unit_test(the_lowest_free_numbers_are_given),
                cmocka_unit_test(one_at_a_time_is_replaced),
                cmocka_unit_test(rollouts_follow_the_dependencies),
                cmocka_unit_test(thousands_are_no_trouble),
        };
        int r = cmocka_run_group_tests(tests, NULL, NULL);

        free(actions);
        return r;
}
