/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pool.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/clock.h"
#include "support.h"

struct job {
        struct zl_task task;
        sem_t *gate; /* or NULL */
        unsigned *n_done;
        pthread_t loop;
        unsigned now, most; /* of all: kept in the first job */
        struct job *all;
};

static void run_job(struct zl_task *task)
{
        struct job *job = (struct job *)task;
        unsigned now = __atomic_add_fetch(&job->all->now, 1, __ATOMIC_SEQ_CST), most;

        do
                most = __atomic_load_n(&job->all->most, __ATOMIC_SEQ_CST);
        while (now > most && !__atomic_compare_exchange_n(&job->all->most, &most, now, false,
                                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
        assert_false(pthread_equal(pthread_self(), job->loop));
        if (job->gate)
                sem_wait(job->gate);
        else
                nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
        __atomic_sub_fetch(&job->all->now, 1, __ATOMIC_SEQ_CST);
}

static void job_done(struct zl_task *task)
{
        struct job *job = (struct job *)task;

        assert_true(pthread_equal(pthread_self(), job->loop));
        ++*job->n_done;
}

static struct job *make_jobs(size_t n, sem_t *gate, unsigned *n_done)
{
        struct job *jobs = calloc(n, sizeof(*jobs));

        assert_non_null(jobs);
        for (size_t i = 0; i < n; i++)
                jobs[i] = (struct job){
                        .task = { .run = run_job, .done = job_done },
                        .gate = gate,
                        .n_done = n_done,
                        .loop = pthread_self(),
                        .all = jobs,
                };
        return jobs;
}

static void run_until(uv_loop_t *uv, const unsigned *n_done, unsigned wanted)
{
        while (*n_done < wanted)
                assert_true(uv_run(uv, UV_RUN_ONCE) || *n_done >= wanted);
}

static void finish(uv_loop_t *uv, struct zl_pool *pool)
{
        assert_int_equal(zl_pool_pending(pool), 0);
        zl_pool_free(pool);
        uv_run(uv, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(uv), 0);
}

static void all_tasks_are_done_on_the_loop(void **state)
{
        unsigned n_done = 0;
        struct zl_pool *pool;
        struct job *jobs;
        uv_loop_t uv;

        (void)state;
        assert_int_equal(uv_loop_init(&uv), 0);
        assert_int_equal(zl_pool_new(&uv, 4, &pool), 0);
        jobs = make_jobs(200, NULL, &n_done);
        for (size_t i = 0; i < 200; i++)
                zl_pool_submit(pool, &jobs[i].task);
        assert_int_equal(zl_pool_pending(pool), 200);
        assert_int_equal(n_done, 0);
        run_until(&uv, &n_done, 200);
        assert_in_range(jobs[0].most, 2, 4);
        finish(&uv, pool);
        free(jobs);
}

static void tasks_that_hang_hold_up_nobody(void **state)
{
        unsigned n_hung_done = 0, n_done = 0;
        struct job *hung, *jobs;
        struct zl_pool *pool;
        int64_t begun;
        uv_loop_t uv;
        sem_t gate;

        (void)state;
        sem_init(&gate, 0, 0);
        assert_int_equal(uv_loop_init(&uv), 0);
        assert_int_equal(zl_pool_new(&uv, 2, &pool), 0);
        hung = make_jobs(10, &gate, &n_hung_done);
        jobs = make_jobs(20, NULL, &n_done);
        begun = zl_now_monotonic();
        for (size_t i = 0; i < 10; i++)
                zl_pool_submit(pool, &hung[i].task);
        for (size_t i = 0; i < 20; i++)
                zl_pool_submit(pool, &jobs[i].task);
        run_until(&uv, &n_done, 20);
        assert_int_equal(n_hung_done, 0);
        /* Ten in front of them, two at a time, each counted for a second. */
        assert_true(zl_now_monotonic() - begun < 9 * ZL_NSEC_PER_SEC);
        for (size_t i = 0; i < 10; i++)
                sem_post(&gate);
        run_until(&uv, &n_hung_done, 10);
        finish(&uv, pool);
        sem_destroy(&gate);
        free(hung);
        free(jobs);
}

static void submit_brief(struct zl_pool *pool, struct job *jobs, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                jobs[i].task.brief = true;
                zl_pool_submit(pool, &jobs[i].task);
        }
}

static void brief_tasks_share_a_worker(void **state)
{
        unsigned n_done = 0;
        struct zl_pool *pool;
        struct job *jobs;
        uv_loop_t uv;

        (void)state;
        assert_int_equal(uv_loop_init(&uv), 0);
        assert_int_equal(zl_pool_new(&uv, 4, &pool), 0);
        jobs = make_jobs(30, NULL, &n_done);
        submit_brief(pool, jobs, 30);
        run_until(&uv, &n_done, 30);
        assert_int_equal(jobs[0].most, 1);
        finish(&uv, pool);
        free(jobs);
}

/* The first hangs: the rest is done all the same, and told, also what was done by the one that hangs now. */
static void a_brief_task_that_hangs_holds_up_nobody(void **state)
{
        unsigned n_hung_done = 0, n_done = 0, n_after = 0;
        struct job *hung, *jobs, *after;
        struct zl_pool *pool;
        uv_loop_t uv;
        sem_t gate;

        (void)state;
        sem_init(&gate, 0, 0);
        assert_int_equal(uv_loop_init(&uv), 0);
        assert_int_equal(zl_pool_new(&uv, 2, &pool), 0);
        hung = make_jobs(3, &gate, &n_hung_done);
        jobs = make_jobs(20, NULL, &n_done);
        after = make_jobs(1, NULL, &n_after);
        submit_brief(pool, jobs, 10);
        submit_brief(pool, hung, 3);
        submit_brief(pool, jobs + 10, 10);
        run_until(&uv, &n_done, 20);
        assert_int_equal(n_hung_done, 0);
        zl_pool_submit(pool, &after->task);
        run_until(&uv, &n_after, 1);
        assert_int_equal(n_hung_done, 0);
        for (size_t i = 0; i < 3; i++)
                sem_post(&gate);
        run_until(&uv, &n_hung_done, 3);
        finish(&uv, pool);
        sem_destroy(&gate);
        free(hung);
        free(jobs);
        free(after);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(all_tasks_are_done_on_the_loop),
                cmocka_unit_test(tasks_that_hang_hold_up_nobody),
                cmocka_unit_test(brief_tasks_share_a_worker),
                cmocka_unit_test(a_brief_task_that_hangs_holds_up_nobody),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
