/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See loop.h. Operations run on a pool of workers of our own (pool.h), so those that hang hold up nobody else.
 *
 * A store that fails does not stop the agent: workloads matter more than their history. It is told once.
 */
#include "agent/loop.h"

#include <unistd.h>
#ifdef __linux__
#include <sys/timerfd.h>
#endif

#include "agent/probe.h"
#include "agent/secrets.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/random.h"
#include "base/strv.h"

enum { OPS_AT_ONCE = 16 };

struct zl_agent_loop {
        struct zl_agent_loop_options options;
        uv_loop_t uv;
        uv_timer_t timer, fail_timer;
        struct zl_pool *pool;
        struct zl_agent *agent;
        struct zl_op *failed;       /* could not even be queued */
        struct zl_secrets *secrets; /* opened when the first is asked for */
        int clock_fd;               /* tells that the wall clock was set; -EBADF: nobody cares */
        struct zl_loop_poll *clock_poll;
        bool store_failed;
};

struct zl_loop_poll {
        uv_poll_t handle;
        void (*cb)(void *data);
        void *data;
};

struct work {
        struct zl_task task;
        struct zl_op *op;
        struct zl_runtime *rt;
};

/* ---- descriptors ------------------------------------------------------------------------------------------ */

static void on_readable(uv_poll_t *handle, int status, int events)
{
        struct zl_loop_poll *poll = handle->data;

        /* An error is found, and told better, by whoever reads. */
        (void)status;
        (void)events;
        poll->cb(poll->data);
}

int zl_loop_poll_start(uv_loop_t *uv, int fd, void (*cb)(void *data), void *data,
                       struct zl_loop_poll **ret)
{
        struct zl_loop_poll *poll = calloc(1, sizeof(*poll));
        int r;

        if (!poll)
                return -ENOMEM;
        poll->cb = cb;
        poll->data = data;
        r = uv_poll_init(uv, &poll->handle, fd);
        if (r < 0) {
                free(poll);
                return r;
        }
        poll->handle.data = poll;
        r = uv_poll_start(&poll->handle, UV_READABLE | UV_DISCONNECT, on_readable);
        if (r < 0) {
                zl_loop_poll_stop(poll);
                return r;
        }
        *ret = poll;
        return 0;
}

static void free_poll(uv_handle_t *handle)
{
        free(handle->data);
}

void zl_loop_poll_stop(struct zl_loop_poll *poll)
{
        if (!poll)
                return;
        uv_poll_stop(&poll->handle);
        uv_close((uv_handle_t *)&poll->handle, free_poll);
}

/* ---- the host ------------------------------------------------------------------------------------------------ */

static int64_t host_monotonic(void *data)
{
        (void)data;
        return zl_now_monotonic();
}

static int64_t host_wall(void *data)
{
        (void)data;
        return zl_now_realtime();
}

static uint64_t host_random(void *data)
{
        (void)data;
        return zl_random_u64();
}

static const char *host_getenv(void *data, const char *name)
{
        (void)data;
        return getenv(name);
}

static int host_secret(void *data, const char *deployment, const struct zl_secret_ref *ref,
                       char **ret, struct zl_error *err)
{
        struct zl_agent_loop *loop = data;
        struct zl_secrets_options options = { .root_dir = zl_store_root_dir(loop->options.store),
                                              .getenv = host_getenv };
        int r = loop->secrets ? 0 : zl_secrets_open(&options, &loop->secrets, err);

        return r < 0 ? r : zl_secret_resolve(loop->secrets, deployment, ref, ret, err);
}

static void work_run(struct zl_task *task)
{
        struct work *work = (struct work *)task;

        zl_op_run(work->op, work->rt);
}

static void work_done(struct zl_task *task)
{
        struct zl_op *op = ((struct work *)task)->op;

        free(task);
        op->done(op);
}

/* Without memory for a request an operation fails, but on the next turn of the loop, as the contract wants. */
static void fail_later(uv_timer_t *timer)
{
        struct zl_agent_loop *loop = timer->data;
        struct zl_op *op;

        while ((op = loop->failed)) {
                loop->failed = op->next;
                op->result = zl_fail_oom(&op->error);
                op->done(op);
        }
}

static void host_submit(void *data, struct zl_op *op)
{
        struct zl_agent_loop *loop = data;
        struct work *work = calloc(1, sizeof(*work));

        if (work) {
                *work = (struct work){
                        .task = { .run = work_run, .done = work_done },
                        .op = op,
                        .rt = loop->options.rt,
                };
                zl_pool_submit(loop->pool, &work->task);
                return;
        }
        op->next = loop->failed;
        loop->failed = op;
        uv_timer_start(&loop->fail_timer, fail_later, 0, 0);
}

static void host_probe(void *data, struct zl_probe *probe)
{
        struct zl_agent_loop *loop = data;

        zl_probe_run(&loop->uv, loop->pool, loop->options.rt, probe);
}

static void host_probe_cancel(void *data, struct zl_probe *probe)
{
        (void)data;
        zl_probe_abort(probe);
}

struct watch_poll {
        struct zl_agent_loop *loop;
        struct zl_loop_poll *poll;
        void *cookie;
};

static void on_watch_readable(void *data)
{
        struct watch_poll *w = data;

        zl_agent_on_watch(w->loop->agent, w->cookie);
}

static int host_watch_add(void *data, struct zl_watch *watch, void *cookie, void **ret_token)
{
        struct zl_agent_loop *loop = data;
        struct watch_poll *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        *w = (struct watch_poll){ .loop = loop, .cookie = cookie };
        r = zl_loop_poll_start(&loop->uv, zl_watch_fd(watch), on_watch_readable, w, &w->poll);
        if (r < 0) {
                free(w);
                return r;
        }
        *ret_token = w;
        return 0;
}

static void host_watch_remove(void *data, void *token)
{
        struct watch_poll *w = token;

        (void)data;
        zl_loop_poll_stop(w->poll);
        free(w);
}

static void on_timer(uv_timer_t *timer)
{
        struct zl_agent_loop *loop = timer->data;

        zl_agent_on_time(loop->agent);
}

static void host_arm(void *data, int64_t deadline)
{
        struct zl_agent_loop *loop = data;
        int64_t left;

        if (deadline == INT64_MAX) {
                uv_timer_stop(&loop->timer);
                return;
        }
        left = ZL_MAX(deadline - zl_now_monotonic(), 0);
        uv_update_time(&loop->uv);
        /* rounded up: a timer that fires early would find nothing due */
        uv_timer_start(&loop->timer, on_timer, (uint64_t)(left / ZL_NSEC_PER_MSEC + 1), 0);
}

static void store_fault(struct zl_agent_loop *loop, struct zl_error *err)
{
        if (!loop->store_failed)
                zl_log_error(ZL_LOG_WARNING, err, "the history is incomplete from here on");
        loop->store_failed = true;
        zl_error_done(err);
}

static int host_save_deployment(void *data, const char *name, const char *spec, enum zl_care care,
                                struct zl_error *err)
{
        struct zl_agent_loop *loop = data;

        return zl_store_put_deployment(loop->options.store, name, spec, care, err);
}

static void host_save_replica(void *data, const struct zl_replica_record *record)
{
        struct zl_agent_loop *loop = data;
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_store_put_replica(loop->options.store, record, &err) < 0)
                store_fault(loop, &err);
}

static void host_forget_replica(void *data, const char *name)
{
        struct zl_agent_loop *loop = data;
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_store_forget_replica(loop->options.store, name, &err) < 0)
                store_fault(loop, &err);
}

static void host_forget_others(void *data, const char *deployment, char *const *names)
{
        struct zl_agent_loop *loop = data;
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_stored_replica *list = NULL;
        size_t n = 0;

        if (zl_store_list_replicas(loop->options.store, deployment, &list, &n, &err) < 0)
                store_fault(loop, &err);
        for (size_t i = 0; i < n; i++) {
                const char *rest = zl_startswith(list[i].name, deployment);

                if (rest && *rest == '.' && !zl_strv_contains(names, list[i].name))
                        host_forget_replica(loop, list[i].name);
        }
        zl_stored_replica_free(list, n);
}

static char *host_load_hash(void *data, const char *name, uint32_t *ret_restarts, bool *ret_failed)
{
        struct zl_agent_loop *loop = data;
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_stored_replica *list = NULL;
        char *hash = NULL;
        size_t n = 0;

        *ret_restarts = 0;
        *ret_failed = false;
        if (zl_store_list_replicas(loop->options.store, name, &list, &n, &err) < 0)
                store_fault(loop, &err);
        if (n == 1) {
                *ret_restarts = list[0].restarts;
                *ret_failed = zl_streq(list[0].phase, "failed");
                hash = zl_take_ptr(list[0].hash);
        }
        zl_stored_replica_free(list, n);
        return hash;
}

static void host_save_execution(void *data, const struct zl_execution_record *record)
{
        struct zl_agent_loop *loop = data;
        struct zl_store *store = loop->options.store;
        struct zl_error err = ZL_ERROR_INIT;
        int r = zl_store_put_execution(store, record, &err);

        if (r >= 0 && record->finished_at > 0)
                r = zl_store_trim_executions(store, record->deployment, record->service, &err);
        if (r < 0)
                store_fault(loop, &err);
}

static void host_load_executions(void *data, const char *deployment, const char *service,
                                 int (*each)(const struct zl_execution_record *record, void *to),
                                 void *to)
{
        struct zl_agent_loop *loop = data;
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_store_read_executions(loop->options.store, deployment, service, each, to, &err) < 0)
                store_fault(loop, &err);
}

static void host_save_schedule(void *data, const char *deployment, const char *service,
                               const struct zl_schedule *schedule)
{
        struct zl_agent_loop *loop = data;
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_store_put_schedule(loop->options.store, deployment, service, schedule, &err) < 0)
                store_fault(loop, &err);
}

#ifdef __linux__
/* A timer that never comes, but tells when somebody sets the clock. */
static void arm_clock(struct zl_agent_loop *loop)
{
        struct itimerspec never = { .it_value.tv_sec = INT32_MAX };

        (void)timerfd_settime(loop->clock_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never,
                              NULL);
}

static void on_clock(void *data)
{
        struct zl_agent_loop *loop = data;
        uint64_t n;

        (void)!read(loop->clock_fd, &n, sizeof(n)); /* ECANCELED: the news itself */
        arm_clock(loop);
        zl_agent_on_clock(loop->agent);
}

/* Only those with a schedule need it. Without it a schedule is late by as much as the clock was set. */
static void watch_clock(struct zl_agent_loop *loop)
{
        if (loop->clock_fd >= 0)
                return;
        loop->clock_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
        if (loop->clock_fd < 0)
                return;
        arm_clock(loop);
        if (zl_loop_poll_start(&loop->uv, loop->clock_fd, on_clock, loop, &loop->clock_poll) < 0)
                loop->clock_fd = zl_close(loop->clock_fd);
}
#else
static void watch_clock(struct zl_agent_loop *loop)
{
        (void)loop;
}
#endif

static void host_load_schedule(void *data, const char *deployment, const char *service,
                               struct zl_schedule *schedule)
{
        struct zl_agent_loop *loop = data;
        struct zl_error err = ZL_ERROR_INIT;

        watch_clock(loop);
        if (zl_store_get_schedule(loop->options.store, deployment, service, schedule, &err) < 0)
                store_fault(loop, &err);
}

static void host_save_pin(void *data, const char *deployment, const char *service,
                          const char *image, const struct zl_image_pin *pin)
{
        const struct zl_stored_pin stored = { deployment, service, image, *pin };
        struct zl_agent_loop *loop = data;
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_store_put_pin(loop->options.store, &stored, &err) < 0)
                store_fault(loop, &err);
}

static bool host_load_pin(void *data, const char *deployment, const char *service,
                          const char *image, struct zl_image_pin *ret)
{
        struct zl_stored_pin stored = { .deployment = deployment,
                                        .service = service,
                                        .image = image };
        struct zl_agent_loop *loop = data;
        struct zl_error err = ZL_ERROR_INIT;
        int r = zl_store_get_pin(loop->options.store, &stored, &err);

        if (r < 0)
                store_fault(loop, &err);
        else if (r > 0)
                *ret = stored.pin;
        return r > 0;
}

static void host_event(void *data, const struct zl_event *event)
{
        struct zl_agent_loop *loop = data;
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_event copy = *event;

        if (zl_store_put_event(loop->options.store, event, &copy.seq, &err) < 0)
                store_fault(loop, &err);
        if (loop->options.on_event)
                loop->options.on_event(&copy, loop->options.data);
}

static const struct zl_host host_template = {
        .monotonic = host_monotonic,
        .wall = host_wall,
        .random = host_random,
        .getenv = host_getenv,
        .secret = host_secret,
        .submit = host_submit,
        .probe = host_probe,
        .probe_cancel = host_probe_cancel,
        .watch_add = host_watch_add,
        .watch_remove = host_watch_remove,
        .arm = host_arm,
        .save_deployment = host_save_deployment,
        .save_replica = host_save_replica,
        .forget_replica = host_forget_replica,
        .forget_others = host_forget_others,
        .load_hash = host_load_hash,
        .save_execution = host_save_execution,
        .load_executions = host_load_executions,
        .save_schedule = host_save_schedule,
        .load_schedule = host_load_schedule,
        .save_pin = host_save_pin,
        .load_pin = host_load_pin,
        .event = host_event,
};

/* ---- life ------------------------------------------------------------------------------------------------------ */

int zl_agent_loop_new(const struct zl_agent_loop_options *options, struct zl_agent_loop **ret,
                      struct zl_error *err)
{
        struct zl_agent_loop *loop = calloc(1, sizeof(*loop));
        struct zl_host host = host_template;
        int r;

        if (!loop)
                return zl_fail_oom(err);
        r = uv_loop_init(&loop->uv);
        if (r < 0) {
                free(loop);
                return zl_fail_errno(err, -r, "cannot make an event loop");
        }
        loop->options = *options;
        loop->clock_fd = -EBADF;
        loop->timer.data = loop;
        loop->fail_timer.data = loop;
        uv_timer_init(&loop->uv, &loop->timer);
        uv_timer_init(&loop->uv, &loop->fail_timer);
        host.data = loop;
        r = zl_pool_new(&loop->uv, OPS_AT_ONCE, &loop->pool);
        loop->agent = r < 0 ? NULL : zl_agent_new(&host);
        if (!loop->agent) {
                zl_agent_loop_free(loop);
                return zl_fail_oom(err);
        }
        *ret = loop;
        return 0;
}

void zl_agent_loop_free(struct zl_agent_loop *loop)
{
        if (!loop)
                return;
        zl_agent_free(loop->agent);
        zl_loop_poll_stop(loop->clock_poll);
        zl_close(loop->clock_fd);
        zl_secrets_close(loop->secrets);
        zl_pool_free(loop->pool);
        uv_close((uv_handle_t *)&loop->timer, NULL);
        uv_close((uv_handle_t *)&loop->fail_timer, NULL);
        uv_run(&loop->uv, UV_RUN_DEFAULT);
        uv_loop_close(&loop->uv);
        free(loop);
}

uv_loop_t *zl_agent_loop_uv(struct zl_agent_loop *loop)
{
        return &loop->uv;
}

struct zl_agent *zl_agent_loop_agent(struct zl_agent_loop *loop)
{
        return loop->agent;
}

struct zl_pool *zl_agent_loop_pool(struct zl_agent_loop *loop)
{
        return loop->pool;
}
