/* SPDX-License-Identifier: Apache-2.0 */
/* What a watch of all workloads tells: what is new, once, in order, and what is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "runtimes/news.h"

static struct zl_status status(const char *name, enum zl_workload_state state, uint32_t generation)
{
        return (struct zl_status){
                .name = strdup(name), .state = state, .generation = generation, .exit_code = -1
        };
}

static void learn(struct zl_news *news, struct zl_status s)
{
        assert_int_equal(zl_news_learn(news, &s), 0);
}

static void expect(struct zl_news *news, const char *name, enum zl_workload_state state)
{
        struct zl_status s;

        assert_true(zl_news_next(news, &s));
        assert_string_equal(s.name, name);
        assert_int_equal(s.state, state);
        zl_status_done(&s);
}

static void expect_nothing(struct zl_news *news)
{
        struct zl_status s;

        assert_false(zl_news_next(news, &s));
}

static void test_told_once(void **state)
{
        struct zl_news news = { 0 };
        struct zl_status stopped = status("a.b.1", ZL_STATE_RUNNING, 2);

        assert_int_equal(zl_news_init(&news), 0);
        expect_nothing(&news);
        learn(&news, status("a.b.1", ZL_STATE_RUNNING, 1));
        learn(&news, status("a.b.1", ZL_STATE_RUNNING, 1));
        learn(&news, status("a.b.2", ZL_STATE_PENDING, 1));
        expect(&news, "a.b.1", ZL_STATE_RUNNING);
        learn(&news, status("a.b.1", ZL_STATE_RUNNING, 2));
        expect(&news, "a.b.2", ZL_STATE_PENDING);
        expect(&news, "a.b.1", ZL_STATE_RUNNING);
        expect_nothing(&news);
        stopped.stop_requested = true;
        learn(&news, stopped);
        expect(&news, "a.b.1", ZL_STATE_RUNNING);
        expect_nothing(&news);
        /* What nobody has asked for is freed. */
        learn(&news, status("a.b.3", ZL_STATE_PENDING, 1));
        zl_news_done(&news);
}

static void test_gone(void **state)
{
        struct zl_news news = { 0 };
        struct zl_status there[] = { status("a.b.2", ZL_STATE_RUNNING, 1),
                                     status("a.b.9", ZL_STATE_RUNNING, 1) };

        assert_int_equal(zl_news_init(&news), 0);
        assert_int_equal(zl_news_forget(&news, "a.b.1"), 0);
        expect_nothing(&news); /* it was never told */
        for (int i = 1; i <= 3; i++) {
                char name[] = "a.b.0";

                name[4] = (char)('0' + i);
                learn(&news, status(name, ZL_STATE_RUNNING, 1));
                expect(&news, name, ZL_STATE_RUNNING);
        }
        assert_int_equal(zl_news_forget_others(&news, there, 2), 0);
        expect(&news, "a.b.1", ZL_STATE_REMOVED);
        expect(&news, "a.b.3", ZL_STATE_REMOVED);
        expect_nothing(&news);
        /* Another one under the name is news, as it is. */
        learn(&news, status("a.b.1", ZL_STATE_RUNNING, 1));
        expect(&news, "a.b.1", ZL_STATE_RUNNING);
        for (int i = 0; i < 2; i++)
                zl_status_done(&there[i]);
        zl_news_done(&news);
        zl_news_done(&(struct zl_news){ 0 });
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_told_once),
                cmocka_unit_test(test_gone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
