/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of threads that brings layers in (see layers.h). Threads, because each layer is a chain of blocking work (receive,
 * hash, inflate, write) and the kernel is the better scheduler; few of them, because memory and the disk are
 * shared. Signals stay with the caller's threads.
 */
#include "image/layers.h"

#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/thread.h"
#include "image/unpack.h"

enum { THREADS_MAX = 4 };
#define TELL_NSEC (100 * ZL_NSEC_PER_MSEC)

struct pool {
        struct zl_layers_job *job;
        size_t next;          /* task; atomic */
        int stop;             /* atomic */
        pthread_mutex_t lock; /* of the fields below, and of the progress callback */
        int result;
        struct zl_error error;
};

struct transfer {
        struct pool *pool;
        const struct zl_layers_task *task;
        struct zl_layer *layer;
        int64_t told;
};

static bool cancelled(const struct zl_pull_options *options)
{
        return options && options->cancel && __atomic_load_n(options->cancel, __ATOMIC_RELAXED);
}

bool zl_layers_stopped(void *data)
{
        const struct transfer *t = data;

        return __atomic_load_n(&t->pool->stop, __ATOMIC_RELAXED) ||
               cancelled(t->pool->job->options);
}

static void tell(struct transfer *t, const char *status, uint64_t current)
{
        const struct zl_pull_options *o = t->pool->job->options;
        const struct zl_layer_source *source = &t->task->source;
        const char *digest = source->digest ? source->digest : source->diff_id;
        char id[13] = "layer";
        struct zl_pull_progress progress = { id, status, current,
                                             source->digest ? source->size : 0 };

        if (!o || !o->progress)
                return;
        if (digest) {
                memcpy(id, strchr(digest, ':') + 1, sizeof id - 1);
                id[sizeof id - 1] = 0;
        }
        pthread_mutex_lock(&t->pool->lock);
        o->progress(&progress, o->progress_data);
        pthread_mutex_unlock(&t->pool->lock);
}

void zl_layers_tell(const struct zl_pull_options *options, const char *status)
{
        if (options && options->progress)
                options->progress(&(struct zl_pull_progress){ NULL, status, 0, 0 },
                                  options->progress_data);
}

int zl_layers_feed(void *data, const void *bytes, size_t len, struct zl_error *err)
{
        struct transfer *t = data;
        int64_t now = zl_now_monotonic();

        if (zl_layers_stopped(t))
                return zl_fail(err, ZL_E_CANCELLED, 0, "cancelled");
        if (now - t->told >= TELL_NSEC) {
                t->told = now;
                tell(t, "downloading", zl_layer_position(t->layer));
        }
        return zl_layer_feed(t->layer, bytes, len, err);
}

static int run_task(struct pool *pool, struct zl_layers_task *task, void **worker,
                    struct zl_error *err)
{
        struct zl_layers_job *job = pool->job;
        _cleanup_(zl_layer_freep) struct zl_layer *layer = NULL;
        struct transfer t = { pool, task, NULL, 0 };
        int r = zl_layer_new(job->store, job->tmp, &task->source, &layer, err);

        if (r < 0)
                return r;
        t.layer = layer;
        r = job->produce(job->ctx, worker, task, &t, err);
        if (r >= 0) {
                tell(&t, "unpacking", task->source.size);
                r = zl_layer_finish(layer, task->diff_id, err);
        }
        if (r >= 0)
                tell(&t, "done", task->source.size);
        return r;
}

/* One layer, unless somebody else has made it. */
static int run_locked(struct pool *pool, struct zl_layers_task *task, void **worker,
                      struct zl_error *err)
{
        struct zl_image_store *store = pool->job->store;
        struct transfer t = { pool, task, NULL, 0 };
        const char *diff_id = task->source.diff_id;
        char name[ZL_LAYER_NAME_MAX];
        int lock, r = 0;

        if (!diff_id)
                return run_task(pool, task, worker, err);
        if (!zl_store_has_layer(store, diff_id)) {
                tell(&t, "waiting", 0);
                lock = zl_store_lock_layer(store, diff_id, &pool->stop, err);
                if (lock < 0)
                        return lock;
                if (!zl_store_has_layer(store, diff_id))
                        r = run_task(pool, task, worker, err);
                unlinkat(store->locks_fd, zl_layer_name(diff_id, name), 0);
                zl_close(lock);
        } else {
                tell(&t, "exists", task->source.size);
        }
        if (r >= 0)
                memcpy(task->diff_id, diff_id, strlen(diff_id) + 1);
        return r;
}

static void *worker_main(void *data)
{
        struct pool *pool = data;
        struct zl_layers_job *job = pool->job;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        void *worker = NULL;
        int r = zl_unpack_thread_init(&err);

        while (r >= 0 && !__atomic_load_n(&pool->stop, __ATOMIC_RELAXED)) {
                size_t i = __atomic_fetch_add(&pool->next, 1, __ATOMIC_RELAXED);

                if (i >= job->n_tasks)
                        break;
                r = run_locked(pool, &job->tasks[i], &worker, &err);
        }
        if (worker && job->free_worker)
                job->free_worker(worker);
        if (r < 0) {
                pthread_mutex_lock(&pool->lock);
                if (pool->result == 0) { /* what follows is only its echo */
                        pool->result = r;
                        zl_error_move(&pool->error, &err);
                }
                pthread_mutex_unlock(&pool->lock);
                __atomic_store_n(&pool->stop, 1, __ATOMIC_RELAXED);
        }
        return NULL;
}

int zl_layers_run(struct zl_layers_job *job, struct zl_error *err)
{
        struct pool pool = { .job = job,
                             .lock = PTHREAD_MUTEX_INITIALIZER,
                             .error = ZL_ERROR_INIT };
        size_t n = ZL_MIN(job->n_tasks, (size_t)THREADS_MAX), started = 0;
        pthread_t threads[THREADS_MAX];
        int r = 0;

        while (started < n) {
                r = zl_thread_start(&threads[started], worker_main, &pool);
                if (r < 0)
                        break;
                started++;
        }
        for (size_t i = 0; i < started; i++)
                pthread_join(threads[i], NULL);
        if (pool.result < 0) {
                zl_error_move(err, &pool.error);
                return pool.result;
        }
        if (n > 0 && started == 0)
                return zl_fail_errno(err, -r, "cannot start a thread");
        if (cancelled(job->options))
                return zl_fail(err, ZL_E_CANCELLED, 0, "cancelled");
        return 0;
}
