/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See <zlayer/service_manager.h>: agent/manager on a thread of its own. A call from outside is an object on the caller's
 * stack: it is put into a list, the loop is woken, the caller waits until it is answered. So nothing of the core is ever touched by
 * two threads.
 */
#include <zlayer/service_manager.h>

#include <pthread.h>
#include <time.h>

#include "agent/control.h"
#include "agent/manager.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/strv.h"
#include "base/thread.h"
#include "spec/spec.h"

struct call {
        void (*run)(struct zl_service_manager *sm, struct call *call);
        const char *name, *service;
        struct zl_deployment_spec *spec;
        uint32_t replicas;
        bool remove;
        struct zl_service_manager *sm; /* for who answers later */
        struct zl_manager_wait *wait;
        struct call *waiting;           /* that is to be given up */
        struct zl_deployment_info info; /* its texts are not ours */
        struct zl_error error;
        int result;
        bool answered;
        struct call *next;
};

struct zl_service_manager {
        struct zl_service_manager_options options;
        struct zl_runtime *rt;
        struct zl_manager *manager;
        int root_lock;
        uv_async_t wake;
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t answered;
        struct call *calls, **calls_end; /* behind the lock */
        bool ending;                     /* the same */
};

/* ---- calls from other threads --------------------------------------------------------------------------------------- */

static void answer(struct zl_service_manager *sm, struct call *call, int result)
{
        pthread_mutex_lock(&sm->lock);
        call->result = result;
        call->answered = true;
        pthread_cond_broadcast(&sm->answered);
        pthread_mutex_unlock(&sm->lock);
}

static void on_wake(uv_async_t *wake)
{
        struct zl_service_manager *sm = wake->data;
        struct call *call, *next;

        pthread_mutex_lock(&sm->lock);
        call = sm->calls;
        sm->calls = NULL;
        sm->calls_end = &sm->calls;
        pthread_mutex_unlock(&sm->lock);
        for (; call; call = next) {
                next = call->next; /* it may be gone once it is answered */
                call->run(sm, call);
        }
}

static void submit(struct zl_service_manager *sm, struct call *call)
{
        call->next = NULL;
        call->answered = false;
        pthread_mutex_lock(&sm->lock);
        *sm->calls_end = call;
        sm->calls_end = &call->next;
        pthread_mutex_unlock(&sm->lock);
        uv_async_send(&sm->wake);
}

/* False: not within the time. */
static bool await(struct zl_service_manager *sm, const struct call *call, int64_t timeout)
{
        int64_t until = timeout < 0 ? INT64_MAX : zl_now_monotonic() + timeout;
        struct timespec at = { .tv_sec = until / ZL_NSEC_PER_SEC,
                               .tv_nsec = until % ZL_NSEC_PER_SEC };
        int r = 0;

        pthread_mutex_lock(&sm->lock);
        while (!call->answered && r == 0)
                r = timeout < 0 ? pthread_cond_wait(&sm->answered, &sm->lock)
                                : pthread_cond_timedwait(&sm->answered, &sm->lock, &at);
        pthread_mutex_unlock(&sm->lock);
        return r == 0;
}

static int ask(struct zl_service_manager *sm, struct call *call, struct zl_error *err)
{
        submit(sm, call);
        await(sm, call, -1);
        zl_error_move(err, &call->error);
        zl_error_done(&call->error);
        return call->result;
}

/* ---- the calls ----------------------------------------------------------------------------------------------------------- */

static void run_deploy(struct zl_service_manager *sm, struct call *call)
{
        answer(sm, call, zl_manager_up(sm->manager, call->spec, &call->error));
}

int zl_service_manager_deploy(struct zl_service_manager *sm, const struct zl_deployment_spec *spec,
                              struct zl_error *err)
{
        _cleanup_free_ char *text = zl_spec_dump_stored(spec);
        struct call call = { .run = run_deploy };
        int r;

        if (!text)
                return zl_fail_oom(err);
        r = zl_spec_load_text(text, strlen(text), &call.spec, NULL, err);
        if (r < 0)
                return r;
        r = ask(sm, &call, err);
        if (r < 0)
                zl_spec_free(call.spec);
        return r;
}

static void run_scale(struct zl_service_manager *sm, struct call *call)
{
        answer(sm, call,
               zl_manager_scale(sm->manager, call->name, call->service, call->replicas,
                                &call->error));
}

int zl_service_manager_scale(struct zl_service_manager *sm, const char *deployment,
                             const char *service, uint32_t replicas, struct zl_error *err)
{
        struct call call = {
                .run = run_scale, .name = deployment, .service = service, .replicas = replicas
        };

        return ask(sm, &call, err);
}

/* What came of a wait, as a result. */
static int judge(const struct zl_deployment_info *info, struct zl_error *err)
{
        int r = 0;

        if (info->phase == ZL_DEPLOYMENT_UNKNOWN)
                r = zl_fail(err, ZL_E_NOT_FOUND, 0, "no deployment \"%s\"", info->name);
        else if (info->failure)
                r = zl_fail(err, ZL_E_START, 0, "%s", info->failure);
        else if (info->rolled_back)
                r = zl_fail(err, ZL_E_START, 0, "the change was taken back: %s", info->rolled_back);
        if (r < 0 && info->hint)
                zl_error_hint(err, "%s", info->hint);
        return r;
}

static void on_settled(const struct zl_deployment_info *info, void *data)
{
        struct call *call = data;

        call->wait = NULL;
        answer(call->sm, call, judge(info, &call->error));
}

static void begin_wait(struct zl_service_manager *sm, struct call *call,
                       enum zl_manager_until until,
                       void (*done)(const struct zl_deployment_info *info, void *data))
{
        call->sm = sm;
        call->wait = zl_manager_wait(sm->manager, call->name, until, done, call);
        if (!call->wait)
                answer(sm, call, zl_fail_oom(&call->error));
}

static void run_wait(struct zl_service_manager *sm, struct call *call)
{
        begin_wait(sm, call, ZL_UNTIL_SETTLED, on_settled);
}

static void run_unwait(struct zl_service_manager *sm, struct call *call)
{
        if (call->waiting->wait)
                zl_manager_unwait(sm->manager, call->waiting->wait);
        answer(sm, call, 0);
}

int zl_service_manager_wait(struct zl_service_manager *sm, const char *deployment,
                            int64_t timeout_nsec, struct zl_error *err)
{
        struct call call = { .run = run_wait, .name = deployment };
        struct call give_up = { .run = run_unwait, .waiting = &call };

        submit(sm, &call);
        if (!await(sm, &call, timeout_nsec)) {
                ask(sm, &give_up, NULL);
                if (!call.answered)
                        return zl_fail(err, ZL_E_TIMEOUT, 0,
                                       "deployment %s has not settled in time", deployment);
        }
        zl_error_move(err, &call.error);
        zl_error_done(&call.error);
        return call.result;
}

static void on_stopped(const struct zl_deployment_info *info, void *data)
{
        struct call *call = data;

        answer(call->sm, call,
               info->phase == ZL_DEPLOYMENT_UNKNOWN ? 0 : judge(info, &call->error));
}

static void run_stop(struct zl_service_manager *sm, struct call *call)
{
        int r = zl_manager_stop(sm->manager, call->name, call->remove, &call->error);

        if (r < 0)
                answer(sm, call, r);
        else
                begin_wait(sm, call, ZL_UNTIL_STOPPED, on_stopped);
}

int zl_service_manager_stop(struct zl_service_manager *sm, const char *deployment, bool remove,
                            struct zl_error *err)
{
        struct call call = { .run = run_stop, .name = deployment, .remove = remove };

        return ask(sm, &call, err);
}

static void run_state(struct zl_service_manager *sm, struct call *call)
{
        int r = 0;

        if (!zl_manager_get(sm->manager, call->name, &call->info))
                r = zl_fail(&call->error, ZL_E_NOT_FOUND, 0, "no deployment \"%s\"", call->name);
        answer(sm, call, r);
}

int zl_service_manager_state(struct zl_service_manager *sm, const char *deployment,
                             enum zl_deployment_state *ret, int *ret_exit_code,
                             struct zl_error *err)
{
        static const enum zl_deployment_state states[] = {
                [ZL_DEPLOYMENT_UNKNOWN] = ZL_DEPLOYMENT_STATE_STOPPED,
                [ZL_DEPLOYMENT_STARTING] = ZL_DEPLOYMENT_STATE_STARTING,
                [ZL_DEPLOYMENT_STARTED] = ZL_DEPLOYMENT_STATE_UP,
                [ZL_DEPLOYMENT_FAILED] = ZL_DEPLOYMENT_STATE_FAILED,
                [ZL_DEPLOYMENT_FINISHED] = ZL_DEPLOYMENT_STATE_FINISHED,
                [ZL_DEPLOYMENT_STOPPING] = ZL_DEPLOYMENT_STATE_STOPPING,
                [ZL_DEPLOYMENT_STOPPED] = ZL_DEPLOYMENT_STATE_STOPPED,
        };
        struct call call = { .run = run_state, .name = deployment };
        int r = ask(sm, &call, err);

        if (r < 0)
                return r;
        *ret = states[call.info.phase];
        if (ret_exit_code)
                *ret_exit_code = call.info.exit_code;
        return 0;
}

struct zl_runtime *zl_service_manager_runtime(struct zl_service_manager *sm)
{
        return sm->rt;
}

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

static void on_event(const struct zl_event *event, void *data)
{
        struct zl_service_manager *sm = data;
        struct zl_service_event out = {
                .time = event->time,
                .type = zl_event_type_name(event->type),
                .name = event->name,
                .message = event->message,
                .has_exit = event->has_exit,
                .exit_code = event->exit_code,
        };

        if (sm->options.on_event)
                sm->options.on_event(&out, sm->options.data);
}

static bool is_ending(struct zl_service_manager *sm)
{
        bool ending;

        pthread_mutex_lock(&sm->lock);
        ending = sm->ending;
        pthread_mutex_unlock(&sm->lock);
        return ending;
}

static void *serve(void *data)
{
        struct zl_service_manager *sm = data;

        while (!is_ending(sm) || !zl_manager_is_idle(sm->manager))
                uv_run(zl_manager_uv(sm->manager), UV_RUN_ONCE);
        return NULL;
}

static int open_all(struct zl_service_manager *sm, enum zl_runtime_kind kind, struct zl_error *err)
{
        const struct zl_runtime_options *o = sm->options.runtime;
        const char *root = o && o->root_dir ? o->root_dir
                                   : getenv("ZLAYER_ROOT_DIR") ?: getenv("ZLAYER_DATA_DIR");
        const char *run = o && o->runtime_dir ? o->runtime_dir : getenv("ZLAYER_RUNTIME_DIR");
        struct zl_manager_options m = { .root_dir = root ?: "/var/lib/zlayer",
                                        .runtime_dir = run ?: "/var/run/zlayer",
                                        .on_event = on_event,
                                        .data = sm };
        int r = sm->root_lock = zl_root_lock_take(m.root_dir, false, NULL, err);

        if (r >= 0)
                r = zl_runtime_new(kind, o, &sm->rt, err);
        if (r < 0)
                return r;
        m.rt = sm->rt;
        r = zl_manager_new(&m, &sm->manager, err);
        if (r < 0)
                return r;
        r = uv_async_init(zl_manager_uv(sm->manager), &sm->wake, on_wake);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot make an event loop");
        sm->wake.data = sm;
        return sm->options.recover ? zl_manager_recover(sm->manager, err) : 0;
}

static void close_all(struct zl_service_manager *sm)
{
        if (sm->wake.data)
                uv_close((uv_handle_t *)&sm->wake, NULL);
        zl_manager_free(sm->manager);
        zl_runtime_free(sm->rt);
        zl_close(sm->root_lock);
        pthread_cond_destroy(&sm->answered);
        pthread_mutex_destroy(&sm->lock);
        free(sm);
}

int zl_service_manager_new(enum zl_runtime_kind kind,
                           const struct zl_service_manager_options *options,
                           struct zl_service_manager **ret, struct zl_error *err)
{
        struct zl_service_manager *sm = calloc(1, sizeof(*sm));
        pthread_condattr_t attr;
        int r;

        if (!sm)
                return zl_fail_oom(err);
        if (options)
                sm->options = *options;
        sm->calls_end = &sm->calls;
        sm->root_lock = -EBADF;
        pthread_mutex_init(&sm->lock, NULL);
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&sm->answered, &attr);
        pthread_condattr_destroy(&attr);
        r = open_all(sm, kind, err);
        if (r >= 0) {
                r = zl_thread_start(&sm->thread, serve, sm);
                if (r < 0)
                        zl_fail_errno(err, -r, "cannot start the manager's thread");
        }
        if (r < 0) {
                close_all(sm);
                return r;
        }
        *ret = sm;
        return 0;
}

void zl_service_manager_free(struct zl_service_manager *sm)
{
        if (!sm)
                return;
        pthread_mutex_lock(&sm->lock);
        sm->ending = true;
        pthread_mutex_unlock(&sm->lock);
        uv_async_send(&sm->wake);
        pthread_join(sm->thread, NULL);
        close_all(sm);
}
