/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See manager.h. A deployment is "kept" from the first wish to its removal. While the core looks after it, we hold its
 * lock and listen where others may ask for its end; at rest (finished, failed, stopped) the core has forgotten it, the lock is
 * free, and only what became of it stays.
 *
 * The core tells what happens by events, in the middle of its steps, when nothing may be asked of it. So an event only
 * wakes a sweep on the next turn of the loop, which looks at the phases and does what follows from them.
 */
#include "agent/manager.h"

#include "agent/control.h"
#include "agent/endpoints.h"
#include "agent/job_request.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/strv.h"
#include "spec/spec.h"

#define RETRY_FIRST (5 * ZL_NSEC_PER_SEC)
#define RETRY_MOST (300 * ZL_NSEC_PER_SEC)

struct kept {
        struct zl_manager *manager;
        char *name;
        struct zl_deployment_lock *lock; /* NULL: at rest */
        struct zl_control *control;
        enum zl_deployment_phase rest; /* meaningful at rest */
        struct zl_error failure;       /* set: its first start failed */
        char *rolled_back;             /* what was taken back of the last change; or NULL */
        char *spec;                    /* of a start that is to be tried again; else NULL */
        int exit_code;
        bool recovered, removing;
        enum zl_begin begin; /* of the next try: until it has been found it is the same start */
        int64_t retry_at, retry_pause; /* monotonic; INT64_MAX: not */
        struct kept *next;
};

struct zl_manager_wait {
        char *name;
        enum zl_manager_until until;
        void (*done)(const struct zl_deployment_info *info, void *data);
        void *data;
        struct zl_manager_wait *next;
};

struct zl_manager {
        struct zl_manager_options options;
        char *root_dir, *runtime_dir;
        struct zl_store *store;
        struct zl_agent_loop *loop;
        struct zl_agent *agent;
        uv_async_t wake;
        uv_timer_t retry;
        bool has_handles;
        struct kept *kept; /* in order of name */
        struct zl_manager_wait *waits;
};

/* ---- kept deployments ---------------------------------------------------------------------------------------- */

static struct kept *find(const struct zl_manager *m, const char *name)
{
        for (struct kept *k = m->kept; k; k = k->next)
                if (zl_streq(k->name, name))
                        return k;
        return NULL;
}

static void release(struct kept *k)
{
        zl_control_close(zl_take_ptr(k->control));
        zl_deployment_lock_release(zl_take_ptr(k->lock));
}

static void forget(struct kept *k)
{
        struct kept **at = &k->manager->kept;

        while (*at != k)
                at = &(*at)->next;
        *at = k->next;
        release(k);
        zl_error_done(&k->failure);
        free(k->rolled_back);
        free(k->spec);
        free(k->name);
        free(k);
}

static struct kept *keep(struct zl_manager *m, const char *name)
{
        struct kept **at = &m->kept, *k = calloc(1, sizeof(*k));

        if (!k)
                return NULL;
        *k = (struct kept){ .manager = m, .name = strdup(name), .retry_at = INT64_MAX };
        if (!k->name) {
                free(k);
                return NULL;
        }
        while (*at && strcmp((*at)->name, name) < 0)
                at = &(*at)->next;
        k->next = *at;
        *at = k;
        return k;
}

static void info_of(const struct kept *k, struct zl_deployment_info *ret)
{
        bool failed = zl_error_is_set(&k->failure);

        *ret = (struct zl_deployment_info){
                .name = k->name,
                .phase = k->lock ? zl_agent_phase(k->manager->agent, k->name) : k->rest,
                .failure = failed ? zl_error_message(&k->failure) : NULL,
                .hint = failed ? k->failure.hint : NULL,
                .rolled_back = k->rolled_back,
                .exit_code = k->lock ? zl_agent_exit_code(k->manager->agent, k->name)
                                     : k->exit_code,
        };
}

static void answer_asker(const struct zl_deployment_info *info, void *data)
{
        zl_control_answer(data, info->failure ? "error not everything could be stopped" : "ok");
}

static void wait_for(struct kept *k, enum zl_manager_until until, struct zl_control_client *client)
{
        if (!zl_manager_wait(k->manager, k->name, until, answer_asker, client))
                zl_control_answer(client, "error out of memory");
}

static void on_request(const char *line, struct zl_control_client *client, void *data)
{
        struct kept *k = data;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_free_ char *answer = NULL;
        bool down = zl_streq(line, "down");
        int r = zl_agent_start_request(k->manager->agent, line, &err);

        if (r < 0)
                zl_control_answer_error(client, &err);
        else if (r > 0)
                wait_for(k, ZL_UNTIL_SETTLED, client);
        else if (zl_job_request(k->manager->agent, k->name, line, &answer))
                zl_control_answer(client, answer);
        else if (!down && !zl_streq(line, "stop"))
                zl_control_answer(client, "error unknown request");
        else if (zl_manager_stop(k->manager, k->name, down, &err) < 0)
                zl_control_answer(client, "error it cannot be stopped now");
        else
                wait_for(k, ZL_UNTIL_STOPPED, client);
}

/* Makes the deployment ours alone. */
static int hold(struct kept *k, struct zl_error *err)
{
        struct zl_control_options control = {
                .uv = zl_agent_loop_uv(k->manager->loop),
                .runtime_dir = k->manager->runtime_dir,
                .deployment = k->name,
                .on_request = on_request,
                .data = k,
        };
        int r = zl_deployment_lock_take(k->manager->root_dir, k->name, false, &k->lock, err);

        if (r >= 0)
                r = zl_deployment_lock_sign(k->lock, err);
        if (r >= 0)
                r = zl_control_listen(&control, &k->control, err);
        if (r < 0)
                release(k);
        return r;
}

/* ---- following the phases -------------------------------------------------------------------------------------- */

static void arm_retry(struct zl_manager *m);

static void rest(struct kept *k, enum zl_deployment_phase phase)
{
        struct zl_manager *m = k->manager;
        const struct zl_error *failure = zl_agent_failure(m->agent, k->name);

        if (failure && !zl_error_is_set(&k->failure)) {
                zl_fail(&k->failure, failure->code, 0, "%s", failure->message);
                if (failure->hint)
                        zl_error_hint(&k->failure, "%s", failure->hint);
        }
        k->exit_code = zl_agent_exit_code(m->agent, k->name);
        k->rest = zl_error_is_set(&k->failure) ? ZL_DEPLOYMENT_FAILED : phase;
        zl_agent_forget(m->agent, k->name);
        if (k->recovered && !k->removing && k->rest == ZL_DEPLOYMENT_FAILED) {
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

                /* The core has stored its end, but the wish is still one. */
                if (k->spec &&
                    zl_store_put_deployment(m->store, k->name, k->spec, ZL_CARE_NOW, &err) < 0)
                        zl_log_error(ZL_LOG_WARNING, &err, "the wish of %s is not stored", k->name);
                k->retry_pause = ZL_MIN(ZL_MAX(2 * k->retry_pause, RETRY_FIRST), RETRY_MOST);
                k->retry_at = zl_now_monotonic() + k->retry_pause;
                arm_retry(m);
        }
}

static void end_failed_start(struct kept *k)
{
        struct zl_agent_stop_options options = { .remove = true, .only_new = true };
        const struct zl_error *failure = zl_agent_failure(k->manager->agent, k->name);
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        bool active;

        zl_error_done(&k->failure);
        zl_fail(&k->failure, failure->code, 0, "%s", failure->message);
        if (failure->hint)
                zl_error_hint(&k->failure, "%s", failure->hint);
        free(zl_take_ptr(k->spec));
        if (k->recovered)
                (void)zl_store_get_deployment(k->manager->store, k->name, &k->spec, &active, NULL);
        if (zl_agent_stop(k->manager->agent, k->name, NULL, &options, &err) < 0)
                zl_log_error(ZL_LOG_WARNING, &err, "%s cannot be ended", k->name);
}

/* True if it came to rest. */
static bool follow(struct kept *k)
{
        enum zl_deployment_phase phase = zl_agent_phase(k->manager->agent, k->name);

        if (zl_agent_has_found(k->manager->agent, k->name))
                k->begin = ZL_BEGIN_RECOVER;
        switch (phase) {
        case ZL_DEPLOYMENT_STARTED:
                zl_error_done(&k->failure);
                k->recovered = true; /* it worked once: from here on it is not given up */
                k->retry_pause = 0;
                return false;
        case ZL_DEPLOYMENT_FAILED:
                end_failed_start(k);
                /* Where nothing had been made yet it has come to its end already. Who waits is to hear of the failure, not of that. */
                phase = zl_agent_phase(k->manager->agent, k->name);
                if (phase != ZL_DEPLOYMENT_STOPPED)
                        return false;
                rest(k, phase);
                return true;
        case ZL_DEPLOYMENT_FINISHED:
        case ZL_DEPLOYMENT_STOPPED:
                rest(k, phase);
                return true;
        default:
                return false;
        }
}

static bool is_met(const struct zl_manager *m, const struct zl_manager_wait *wait,
                   enum zl_deployment_phase phase)
{
        return phase == ZL_DEPLOYMENT_UNKNOWN || phase == ZL_DEPLOYMENT_FINISHED ||
               phase == ZL_DEPLOYMENT_STOPPED ||
               (wait->until == ZL_UNTIL_SETTLED && phase == ZL_DEPLOYMENT_STARTED &&
                !zl_agent_is_changing(m->agent, wait->name));
}

/* A failed one is met only at rest: while the core has it, its failed start is still being ended. */
static struct zl_manager_wait *take_met(struct zl_manager *m, struct zl_deployment_info *ret)
{
        for (struct zl_manager_wait **at = &m->waits; *at; at = &(*at)->next) {
                struct zl_manager_wait *wait = *at;
                struct kept *k = find(m, wait->name);

                *ret = (struct zl_deployment_info){ .name = wait->name };
                if (k)
                        info_of(k, ret);
                if (is_met(m, wait, ret->phase) ||
                    (k && !k->lock && ret->phase == ZL_DEPLOYMENT_FAILED)) {
                        *at = wait->next;
                        return wait;
                }
        }
        return NULL;
}

static void answer_waits(struct zl_manager *m)
{
        struct zl_deployment_info info;
        struct zl_manager_wait *wait;

        while ((wait = take_met(m, &info))) {
                wait->done(&info, wait->data);
                free(wait->name);
                free(wait);
        }
}

static void sweep(uv_async_t *async)
{
        struct zl_manager *m = async->data;

        for (struct kept *k = m->kept, *next; k; k = next) {
                next = k->next;
                if (!k->lock || !follow(k))
                        continue;
                /* Who waits at our socket is answered before it goes. */
                zl_deployment_lock_release(zl_take_ptr(k->lock));
                answer_waits(m);
                zl_control_close(zl_take_ptr(k->control));
                if (k->removing && k->rest != ZL_DEPLOYMENT_FAILED)
                        forget(k);
                else
                        k->removing = false;
        }
        answer_waits(m);
}

static void note_rollback(struct zl_manager *m, const struct zl_event *event)
{
        struct kept *k;
        char *text;

        for (k = m->kept; k; k = k->next) {
                const char *rest = zl_startswith(event->name, k->name);

                if (!rest || *rest != '.')
                        continue;
                if (asprintf(&text, "service %s: %s", rest + 1, event->message ?: "it failed") < 0)
                        return;
                free(k->rolled_back);
                k->rolled_back = text;
                return;
        }
}

static void on_event(const struct zl_event *event, void *data)
{
        struct zl_manager *m = data;

        if (event->type == ZL_EVENT_ROLLED_BACK)
                note_rollback(m, event);
        if (m->options.on_event)
                m->options.on_event(event, m->options.data);
        uv_async_send(&m->wake);
}

void zl_manager_tell(struct zl_manager *m, const struct zl_event *event)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_event copy = *event;

        if (copy.time == 0)
                copy.time = zl_now_realtime();
        if (zl_store_put_event(m->store, &copy, &copy.seq, &err) < 0)
                zl_log_error(ZL_LOG_WARNING, &err, "an event is not stored");
        if (m->options.on_event)
                m->options.on_event(&copy, m->options.data);
}

/* ---- wishes ----------------------------------------------------------------------------------------------------- */

static int begin(struct kept *k, struct zl_deployment_spec *spec, enum zl_begin how,
                 struct zl_error *err)
{
        int r = hold(k, err);

        if (r < 0)
                return r;
        r = zl_agent_up(k->manager->agent, spec, how, err);
        if (r < 0) {
                release(k);
                return r;
        }
        k->begin = how;
        zl_error_done(&k->failure);
        free(zl_take_ptr(k->rolled_back));
        k->retry_at = INT64_MAX;
        k->removing = false;
        return 0;
}

int zl_manager_up(struct zl_manager *m, struct zl_deployment_spec *spec, struct zl_error *err)
{
        struct kept *k = find(m, spec->deployment);
        bool is_new = !k, active = false;
        int r = zl_endpoints_check(spec, err);

        if (r < 0)
                return r;
        if (k && k->lock) {
                r = zl_agent_update(m->agent, spec, err);
                if (r >= 0)
                        free(zl_take_ptr(k->rolled_back));
                return r;
        }
        r = zl_store_get_deployment(m->store, spec->deployment, NULL, &active, err);
        if (r < 0)
                return r;
        if (is_new && !(k = keep(m, spec->deployment)))
                return zl_fail_oom(err);
        /* What another agent has left is taken over by this one as by one that is started. */
        r = begin(k, spec, active ? ZL_BEGIN_RETURN : ZL_BEGIN_ANEW, err);
        if (r < 0 && is_new)
                forget(k);
        else if (r >= 0)
                k->recovered = false;
        if (r >= 0 && active)
                zl_agent_check_images(m->agent, k->name);
        return r;
}

/* The last spec, for the order of the end; NULL if there is none that can be read. */
static struct zl_deployment_spec *last_spec(struct zl_manager *m, const char *name)
{
        _cleanup_free_ char *text = NULL;
        struct zl_deployment_spec *spec = NULL;
        bool active;

        if (zl_store_get_deployment(m->store, name, &text, &active, NULL) <= 0 ||
            zl_spec_load_text(text, strlen(text), &spec, NULL, NULL) < 0)
                return NULL;
        return spec;
}

int zl_manager_stop(struct zl_manager *m, const char *name, bool remove, struct zl_error *err)
{
        struct zl_agent_stop_options options = { .remove = remove };
        struct zl_deployment_spec *spec = NULL;
        struct kept *k = find(m, name);
        bool is_new = !k;
        int r;

        if (is_new && !(k = keep(m, name)))
                return zl_fail_oom(err);
        if (!k->lock) {
                r = hold(k, err);
                if (r < 0) {
                        if (is_new)
                                forget(k);
                        return r;
                }
                spec = last_spec(m, name);
        }
        zl_error_done(&k->failure);
        k->removing = remove;
        k->recovered = false;
        k->retry_at = INT64_MAX;
        r = zl_agent_stop(m->agent, name, spec, &options, err);
        if (r < 0) {
                zl_spec_free(spec);
                release(k);
        }
        return r;
}

static struct zl_scale_spec *find_scale(struct zl_deployment_spec *spec, const char *service)
{
        for (size_t i = 0; spec && i < spec->n_services; i++)
                if (zl_streq(spec->services[i].name, service))
                        return &spec->services[i].spec->scale;
        return NULL;
}

/* One that is at rest, because nothing of it runs: with another number it is a new wish. */
static int scale_at_rest(struct zl_manager *m, const char *name, const char *service,
                         uint32_t replicas, struct zl_error *err)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = last_spec(m, name);
        struct zl_scale_spec *scale = find_scale(spec, service);
        int r;

        if (!spec)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "deployment %s is not up here", name);
        if (!scale)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "deployment %s has no service \"%s\"", name,
                               service);
        if (scale->mode == ZL_SCALE_ADAPTIVE)
                return zl_fail(err, ZL_E_STATE, 0, "deployment %s has ended: up starts it", name);
        *scale = (struct zl_scale_spec){ .mode = ZL_SCALE_FIXED, .replicas = replicas };
        r = zl_manager_up(m, spec, err);
        if (r >= 0)
                spec = NULL;
        return r;
}

int zl_manager_scale(struct zl_manager *m, const char *name, const char *service, uint32_t replicas,
                     struct zl_error *err)
{
        struct kept *k = find(m, name);

        if (!k || !k->lock)
                return scale_at_rest(m, name, service, replicas, err);
        return zl_agent_scale(m->agent, name, service, replicas, err);
}

/* 1: taken up; 0: there is no such deployment, or it has no such service. */
static int take_up_for(struct zl_manager *m, const struct zl_ident *id, const char *name,
                       struct zl_error *err)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = last_spec(m, id->deployment);
        const struct zl_service_spec *service = spec ? zl_spec_get_service(spec, id->service)
                                                     : NULL;
        struct kept *k = find(m, id->deployment);
        bool is_new = !k;
        int r;

        if (!service)
                return 0;
        r = zl_agent_check_start(service, name, err);
        if (r < 0)
                return r;
        if (is_new && !(k = keep(m, id->deployment)))
                return zl_fail_oom(err);
        r = begin(k, spec, ZL_BEGIN_RECOVER, err);
        if (r < 0) {
                if (is_new)
                        forget(k);
                return r;
        }
        spec = NULL;
        k->recovered = true; /* it worked once */
        return 1;
}

int zl_manager_start(struct zl_manager *m, const char *name,
                     const struct zl_agent_start_options *options, struct zl_error *err)
{
        const struct kept *k;
        struct zl_ident id;
        int r = 1;

        if (zl_ident_parse(name, &id) < 0)
                return 0;
        k = find(m, id.deployment);
        if (!k || !k->lock)
                r = take_up_for(m, &id, name, err);
        if (r <= 0)
                return r;
        r = zl_agent_start(m->agent, name, options, err);
        return r < 0 ? r : 1;
}

/* ---- jobs --------------------------------------------------------------------------------------------------------- */

static int wake_finished(struct zl_manager *m, const char *name, const char *service,
                         struct zl_error *err)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        struct kept *k = find(m, name);
        bool is_new = !k;
        int r;

        if (k && k->rest != ZL_DEPLOYMENT_FINISHED)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "deployment %s is not up", name);
        r = zl_job_spec_at_rest(m->store, name, service, k != NULL, &spec, err);
        if (r < 0)
                return r;
        if (is_new && !(k = keep(m, name)))
                return zl_fail_oom(err);
        r = begin(k, spec, ZL_BEGIN_RECOVER, err);
        if (r >= 0)
                spec = NULL;
        else if (is_new)
                forget(k);
        return r;
}

int zl_manager_job_run(struct zl_manager *m, const char *name, const char *service,
                       char ret_name[ZL_IDENT_NAME_MAX], struct zl_error *err)
{
        const struct kept *k = find(m, name);
        int r = k && k->lock ? 0 : wake_finished(m, name, service, err);

        return r < 0 ? r : zl_agent_job_run(m->agent, name, service, ret_name, err);
}

int zl_manager_job_cancel(struct zl_manager *m, const char *execution, struct zl_error *err)
{
        return zl_agent_job_cancel(m->agent, execution, err);
}

int zl_manager_cron_enable(struct zl_manager *m, const char *name, const char *service,
                           bool enabled, struct zl_error *err)
{
        return zl_agent_cron_enable(m->agent, name, service, enabled, err);
}

/* ---- recovery ------------------------------------------------------------------------------------------------------ */

static int take_up(struct zl_manager *m, const char *name, struct zl_error *err)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        _cleanup_free_ char *text = NULL;
        struct kept *k = find(m, name);
        bool active = false;
        int r = zl_store_get_deployment(m->store, name, &text, &active, err);

        if (r > 0 && !active)
                r = zl_store_awaits_start(m->store, name, err);
        if (r <= 0)
                return r;
        if (!k) {
                k = keep(m, name);
                if (!k)
                        return zl_fail_oom(err);
                k->begin = active ? ZL_BEGIN_RETURN : ZL_BEGIN_REVIVE;
        }
        r = zl_spec_load_text(text, strlen(text), &spec, NULL, err);
        if (r < 0) {
                zl_error_prefix(err, "its stored spec cannot be read");
                return r;
        }
        k->recovered = true;
        r = begin(k, spec, k->begin, err);
        if (r >= 0)
                spec = NULL;
        return r;
}

int zl_manager_recover(struct zl_manager *m, struct zl_error *err)
{
        _cleanup_strv_ char **names = NULL;
        int r = zl_store_list_deployments(m->store, &names, err);

        for (char **name = names; r >= 0 && name && *name; name++) {
                _cleanup_error_ struct zl_error fault = ZL_ERROR_INIT;
                struct kept *k;

                if (take_up(m, *name, &fault) >= 0)
                        continue;
                zl_log_error(ZL_LOG_WARNING, &fault, "deployment %s is not taken up", *name);
                k = find(m, *name);
                if (!k)
                        continue;
                if (k->recovered) {
                        forget(k); /* somebody else may have it */
                        continue;
                }
                /* Whoever asks is told why nobody looks after it; a new wish makes it good. */
                zl_error_move(&k->failure, &fault);
                k->rest = ZL_DEPLOYMENT_FAILED;
        }
        return r < 0 ? r : 0;
}

static void on_retry(uv_timer_t *timer)
{
        struct zl_manager *m = timer->data;
        int64_t now = zl_now_monotonic();

        for (struct kept *k = m->kept; k; k = k->next) {
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

                if (k->retry_at > now)
                        continue;
                k->retry_at = INT64_MAX;
                if (take_up(m, k->name, &err) < 0) {
                        zl_log_error(ZL_LOG_WARNING, &err, "deployment %s is not taken up",
                                     k->name);
                        k->retry_pause = ZL_MIN(2 * k->retry_pause, RETRY_MOST);
                        k->retry_at = now + k->retry_pause;
                }
        }
        arm_retry(m);
}

static void arm_retry(struct zl_manager *m)
{
        int64_t at = INT64_MAX, left;

        for (const struct kept *k = m->kept; k; k = k->next)
                at = ZL_MIN(at, k->retry_at);
        if (at == INT64_MAX) {
                uv_timer_stop(&m->retry);
                return;
        }
        left = ZL_MAX(at - zl_now_monotonic(), 0);
        uv_timer_start(&m->retry, on_retry, (uint64_t)(left / ZL_NSEC_PER_MSEC + 1), 0);
}

/* ---- waiting and telling --------------------------------------------------------------------------------------------- */

void zl_manager_each(struct zl_manager *m,
                     void (*each)(const struct zl_deployment_info *info, void *data), void *data)
{
        for (struct kept *k = m->kept; k; k = k->next) {
                struct zl_deployment_info info;

                info_of(k, &info);
                each(&info, data);
        }
}

bool zl_manager_get(struct zl_manager *m, const char *name, struct zl_deployment_info *ret)
{
        struct kept *k = find(m, name);

        if (k)
                info_of(k, ret);
        return k != NULL;
}

struct zl_manager_wait *zl_manager_wait(
        struct zl_manager *m, const char *name, enum zl_manager_until until,
        void (*done)(const struct zl_deployment_info *info, void *data), void *data)
{
        struct zl_manager_wait *wait = calloc(1, sizeof(*wait));

        if (!wait)
                return NULL;
        *wait = (struct zl_manager_wait){
                .name = strdup(name), .until = until, .done = done, .data = data, .next = m->waits
        };
        if (!wait->name) {
                free(wait);
                return NULL;
        }
        m->waits = wait;
        uv_async_send(&m->wake);
        return wait;
}

void zl_manager_unwait(struct zl_manager *m, struct zl_manager_wait *wait)
{
        for (struct zl_manager_wait **at = &m->waits; *at; at = &(*at)->next)
                if (*at == wait) {
                        *at = wait->next;
                        free(wait->name);
                        free(wait);
                        return;
                }
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */

static int open_all(struct zl_manager *m, const struct zl_manager_options *o, struct zl_error *err)
{
        struct zl_agent_loop_options options = { .rt = o->rt, .on_event = on_event, .data = m };
        int r;

        m->root_dir = strdup(o->root_dir);
        m->runtime_dir = strdup(o->runtime_dir);
        if (!m->root_dir || !m->runtime_dir)
                return zl_fail_oom(err);
        r = zl_store_open(o->root_dir, &m->store, err);
        if (r < 0)
                return r;
        options.store = m->store;
        r = zl_agent_loop_new(&options, &m->loop, err);
        if (r < 0)
                return r;
        m->agent = zl_agent_loop_agent(m->loop);
        r = uv_async_init(zl_agent_loop_uv(m->loop), &m->wake, sweep);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot make an event loop");
        uv_timer_init(zl_agent_loop_uv(m->loop), &m->retry);
        m->has_handles = true;
        m->wake.data = m->retry.data = m;
        return 0;
}

int zl_manager_new(const struct zl_manager_options *options, struct zl_manager **ret,
                   struct zl_error *err)
{
        struct zl_manager *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return zl_fail_oom(err);
        m->options = *options;
        r = open_all(m, options, err);
        if (r < 0) {
                zl_manager_free(m);
                return r;
        }
        *ret = m;
        return 0;
}

void zl_manager_free(struct zl_manager *m)
{
        if (!m)
                return;
        while (m->waits)
                zl_manager_unwait(m, m->waits);
        while (m->kept)
                forget(m->kept);
        if (m->has_handles) {
                uv_close((uv_handle_t *)&m->wake, NULL);
                uv_close((uv_handle_t *)&m->retry, NULL);
        }
        zl_agent_loop_free(m->loop);
        zl_store_close(m->store);
        free(m->root_dir);
        free(m->runtime_dir);
        free(m);
}

uv_loop_t *zl_manager_uv(struct zl_manager *m)
{
        return zl_agent_loop_uv(m->loop);
}

struct zl_pool *zl_manager_pool(struct zl_manager *m)
{
        return zl_agent_loop_pool(m->loop);
}

struct zl_store *zl_manager_store(struct zl_manager *m)
{
        return m->store;
}

struct zl_runtime *zl_manager_runtime(struct zl_manager *m)
{
        return m->options.rt;
}

bool zl_manager_is_idle(struct zl_manager *m)
{
        return zl_agent_is_idle(m->agent) && zl_pool_pending(zl_agent_loop_pool(m->loop)) == 0;
}
