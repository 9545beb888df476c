/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See pool.h. One mutex guards two lists (waiting, finished) and the table of threads. A finished task wakes the loop
 * through one eventfd, a brief one only if no other waits; a timer looks for slow tasks, and only while something waits for a
 * thread or to be told. (A uv_async would let the loop spin until the thread that woke it has gone on, which on the same processor it has not.)
 *
 * What may go wrong: a thread cannot be started (limits of the system). Then tasks wait for the threads that there are; if
 * there is none at all the timer tries again.
 */
#include "agent/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"

enum {
        THREADS_MAX = 512,
        STACK_BYTES = 1 << 20,
        IDLE_SEC = 10,
        LOOK_MSEC = 250,
};
#define SLOW_NSEC ZL_NSEC_PER_SEC

struct worker {
        struct zl_pool *pool;
        int64_t begun; /* of its present task; 0: free */
        struct worker *next;
};

struct zl_pool {
        int wake_fd; /* an eventfd: something has finished */
        uv_poll_t finished_wake;
        uv_timer_t look;
        unsigned n_at_once, n_pending, n_open_handles;
        pthread_mutex_t lock;
        pthread_cond_t work, ended;
        struct zl_task *waiting, **waiting_end, *finished, **finished_end;
        struct worker *workers;
        unsigned n_waiting, n_threads, n_running;
        bool sweeping; /* a worker is on its way through all that waits */
        bool closing;
};

/* ---- worker threads ------------------------------------------------------------------------------------------ */

static void remove_worker(struct zl_pool *pool, struct worker *worker)
{
        struct worker **at = &pool->workers;

        while (*at != worker)
                at = &(*at)->next;
        *at = worker->next;
        free(worker);
        pool->n_threads--;
        pthread_cond_signal(&pool->ended);
}

static struct zl_task *take_waiting(struct zl_pool *pool)
{
        struct zl_task *task = pool->waiting;

        if (!task)
                return NULL;
        pool->waiting = task->next;
        if (!pool->waiting)
                pool->waiting_end = &pool->waiting;
        pool->n_waiting--;
        return task;
}

/* Waits for a task; NULL when the thread is to end. The lock is held. */
static struct zl_task *await_task(struct zl_pool *pool)
{
        struct zl_task *task;
        struct timespec until;
        int r = 0;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += IDLE_SEC;
        while (!(task = take_waiting(pool)) && !pool->closing && r == 0) {
                pool->sweeping = false;
                r = pthread_cond_timedwait(&pool->work, &pool->lock, &until);
        }
        return task;
}

static void *work(void *arg)
{
        struct worker *worker = arg;
        struct zl_pool *pool = worker->pool;
        struct zl_task *task;
        bool tell;

        pthread_mutex_lock(&pool->lock);
        while ((task = await_task(pool))) {
                worker->begun = zl_now_monotonic();
                pool->n_running++;
                pthread_mutex_unlock(&pool->lock);
                task->run(task);
                pthread_mutex_lock(&pool->lock);
                pool->n_running--;
                worker->begun = 0;
                task->next = NULL;
                *pool->finished_end = task;
                pool->finished_end = &task->next;
                tell = !task->brief || !pool->waiting || !pool->waiting->brief;
                /* Without the lock: the loop, which may run at once, wants it. We are counted, so the pool stays. */
                pthread_mutex_unlock(&pool->lock);
                if (tell)
                        eventfd_write(pool->wake_fd, 1);
                pthread_mutex_lock(&pool->lock);
        }
        remove_worker(pool, worker);
        pthread_mutex_unlock(&pool->lock);
        return NULL;
}

static int start_worker(struct zl_pool *pool)
{
        struct worker *worker = calloc(1, sizeof(*worker));
        pthread_attr_t attr;
        pthread_t thread;
        int r;

        if (!worker)
                return -ENOMEM;
        worker->pool = pool;
        worker->next = pool->workers;
        pool->workers = worker;
        pool->n_threads++;
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, STACK_BYTES);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        r = pthread_create(&thread, &attr, work, worker);
        pthread_attr_destroy(&attr);
        if (r != 0)
                remove_worker(pool, worker);
        return -r;
}

/* Threads that are free or have not been at their task for long. */
static unsigned count_counted(const struct zl_pool *pool)
{
        int64_t slow_before = zl_now_monotonic() - SLOW_NSEC;
        unsigned n = 0;

        for (const struct worker *w = pool->workers; w; w = w->next)
                n += w->begun == 0 || w->begun > slow_before;
        return n;
}

/* Makes sure that somebody takes what waits, if that is possible now. False: not yet. The lock is held. */
static bool provide_workers(struct zl_pool *pool)
{
        while (pool->n_waiting > pool->n_threads - pool->n_running) {
                if (pool->n_threads >= THREADS_MAX)
                        return false;
                if (pool->n_threads >= pool->n_at_once && count_counted(pool) >= pool->n_at_once)
                        return false;
                if (start_worker(pool) < 0)
                        return false;
        }
        return true;
}

/* ---- the loop's side ------------------------------------------------------------------------------------------- */

static void tell_finished(struct zl_pool *pool)
{
        struct zl_task *task, *next;

        pthread_mutex_lock(&pool->lock);
        task = pool->finished;
        pool->finished = NULL;
        pool->finished_end = &pool->finished;
        if (!pool->waiting)
                uv_timer_stop(&pool->look);
        pthread_mutex_unlock(&pool->lock);
        for (; task; task = next) {
                next = task->next;
                if (--pool->n_pending == 0)
                        uv_unref((uv_handle_t *)&pool->finished_wake);
                task->done(task);
        }
}

static void on_look(uv_timer_t *timer)
{
        struct zl_pool *pool = timer->data;

        pthread_mutex_lock(&pool->lock);
        provide_workers(pool);
        if (pool->waiting)
                pthread_cond_broadcast(&pool->work);
        pthread_mutex_unlock(&pool->lock);
        tell_finished(pool);
}

static void on_finished(uv_poll_t *poll, int status _unused_, int events _unused_)
{
        struct zl_pool *pool = poll->data;
        eventfd_t n;

        eventfd_read(pool->wake_fd, &n);
        tell_finished(pool);
}

void zl_pool_submit(struct zl_pool *pool, struct zl_task *task)
{
        bool provided = false;

        task->next = NULL;
        if (pool->n_pending++ == 0)
                uv_ref((uv_handle_t *)&pool->finished_wake);
        pthread_mutex_lock(&pool->lock);
        *pool->waiting_end = task;
        pool->waiting_end = &task->next;
        pool->n_waiting++;
        if (!task->brief || !pool->sweeping) {
                pool->sweeping |= task->brief;
                provided = provide_workers(pool) && !task->brief;
                pthread_cond_signal(&pool->work);
        }
        pthread_mutex_unlock(&pool->lock);
        if (!provided && !uv_is_active((uv_handle_t *)&pool->look))
                uv_timer_start(&pool->look, on_look, LOOK_MSEC, LOOK_MSEC);
}

unsigned zl_pool_pending(const struct zl_pool *pool)
{
        return pool->n_pending;
}

static void destroy(struct zl_pool *pool)
{
        pthread_cond_destroy(&pool->ended);
        pthread_cond_destroy(&pool->work);
        pthread_mutex_destroy(&pool->lock);
        zl_close(pool->wake_fd);
        free(pool);
}

int zl_pool_new(uv_loop_t *uv, unsigned n_at_once, struct zl_pool **ret)
{
        struct zl_pool *pool = calloc(1, sizeof(*pool));
        pthread_condattr_t attr;
        int r;

        if (!pool)
                return -ENOMEM;
        pool->n_at_once = ZL_MAX(n_at_once, 1U);
        pool->waiting_end = &pool->waiting;
        pool->finished_end = &pool->finished;
        pthread_mutex_init(&pool->lock, NULL);
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&pool->work, &attr);
        pthread_cond_init(&pool->ended, &attr);
        pthread_condattr_destroy(&attr);
        pool->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = pool->wake_fd < 0 ? -errno : uv_poll_init(uv, &pool->finished_wake, pool->wake_fd);
        if (r < 0) {
                destroy(pool);
                return r;
        }
        pool->finished_wake.data = pool->look.data = pool;
        uv_poll_start(&pool->finished_wake, UV_READABLE, on_finished);
        uv_timer_init(uv, &pool->look);
        /* A pool that is only waited with must not keep the loop alive. */
        uv_unref((uv_handle_t *)&pool->finished_wake);
        uv_unref((uv_handle_t *)&pool->look);
        pool->n_open_handles = 2;
        *ret = pool;
        return 0;
}

static void on_closed(uv_handle_t *handle)
{
        struct zl_pool *pool = handle->data;

        if (--pool->n_open_handles == 0)
                destroy(pool);
}

void zl_pool_free(struct zl_pool *pool)
{
        if (!pool)
                return;
        pthread_mutex_lock(&pool->lock);
        pool->closing = true;
        pthread_cond_broadcast(&pool->work);
        while (pool->n_threads > 0)
                pthread_cond_wait(&pool->ended, &pool->lock);
        pthread_mutex_unlock(&pool->lock);
        uv_close((uv_handle_t *)&pool->finished_wake, on_closed);
        uv_close((uv_handle_t *)&pool->look, on_closed);
}
