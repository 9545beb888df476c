/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The executor of jobs and cron jobs. An execution is a replica of its service with a number of its own, so creating,
 * logs, exit codes, retries and taking over after the agent's death are those of every replica (replica.c); here it is
 * decided when one begins, when it has to end, and what is remembered of it. zl_reconcile() leaves them alone.
 *
 * Like the rest of the core this is driven by levels: zl_jobs_step() looks at what is and moves what can move. The record
 * of an execution is stored when it is queued, when its process has started, and when it is over; so after a death in
 * between, one that is queued may safely be begun, and one that runs is found or is told to be lost.
 */
#include "agent/core.h"
#include "base/log.h"
#include "base/strv.h"

#define NAME_FMT "%s.%s.%u"

static int64_t wall(const struct deployment *d)
{
        return d->agent->host.wall(d->agent->host.data);
}

bool zl_replica_is_triggered(const struct replica *r)
{
        return r->execution && !r->execution->wished;
}

static bool is_over(const struct execution *e)
{
        return e->record.state >= ZL_EXECUTION_SUCCEEDED;
}

/* It is in the queue. */
static bool is_waiting(const struct execution *e)
{
        return !is_over(e) && !e->replica && !e->wished && !e->cancelled;
}

/* Something of it is on the machine or about to be. */
static bool is_active(const struct execution *e)
{
        return e->replica && !is_over(e);
}

static void save(struct execution *e)
{
        struct zl_host *host = &e->job->d->agent->host;

        e->record.reason = e->reason;
        if (host->save_execution)
                host->save_execution(host->data, &e->record);
}

static void save_schedule(struct job *job)
{
        struct zl_host *host = &job->d->agent->host;

        if (host->save_schedule)
                host->save_schedule(host->data, job->d->name, job->name,
                                    &(struct zl_schedule){ job->enabled, job->last });
}

static void tell(const struct execution *e, enum zl_event_type type, const char *message)
{
        char name[ZL_IDENT_NAME_MAX];

        snprintf(name, sizeof(name), NAME_FMT, e->record.deployment, e->record.service,
                 e->record.number);
        zl_agent_tell(e->job->d->agent,
                      (struct zl_event){ .type = type, .name = name, .message = message });
}

/* ---- objects ------------------------------------------------------------------------------------------------- */

static struct job *find_job(const struct deployment *d, const char *service)
{
        for (size_t i = 0; i < d->n_jobs; i++)
                if (zl_streq(d->jobs[i]->name, service))
                        return d->jobs[i];
        return NULL;
}

static struct service *service_of(const struct job *job)
{
        return zl_services_find(&job->d->services, job->name);
}

static struct execution *find_execution(const struct job *job, uint32_t number)
{
        for (size_t i = job->n; i-- > 0;)
                if (job->executions[i]->record.number == number)
                        return job->executions[i];
        return NULL;
}

static void free_execution(struct execution *e)
{
        if (e->replica)
                e->replica->execution = NULL;
        free(e->reason);
        free(e);
}

static void free_job(struct job *job)
{
        for (size_t i = 0; i < job->n; i++)
                free_execution(job->executions[i]);
        free(job->executions);
        zl_job_settings_done(&job->settings);
        free(job->name);
        free(job);
}

void zl_jobs_done(struct deployment *d)
{
        for (size_t i = 0; i < d->n_jobs; i++)
                free_job(d->jobs[i]);
        free(d->jobs);
        d->jobs = NULL;
        d->n_jobs = 0;
}

static struct execution *add_execution(struct job *job, const struct zl_execution_record *record)
{
        struct execution **more = reallocarray(job->executions, job->n + 1, sizeof(*more));
        struct execution *e;

        if (!more)
                return NULL;
        job->executions = more;
        e = calloc(1, sizeof(*e));
        if (!e)
                return NULL;
        e->job = job;
        e->deadline = INT64_MAX;
        e->record = *record;
        e->record.deployment = job->d->name;
        e->record.service = job->name;
        e->reason = record->reason ? strdup(record->reason) : NULL;
        job->executions[job->n++] = e;
        job->last_number = ZL_MAX(job->last_number, record->number);
        return e;
}

/* Identities grow with time, and never come twice in one life of the agent. */
static int64_t next_id(struct job *job)
{
        struct zl_agent *agent = job->d->agent;

        agent->last_execution = ZL_MAX(agent->last_execution + 1, wall(job->d));
        return agent->last_execution;
}

static struct execution *make_execution(struct job *job, uint32_t number, enum zl_trigger trigger)
{
        return add_execution(job, &(struct zl_execution_record){
                                          .id = next_id(job),
                                          .number = number,
                                          .trigger = trigger,
                                          .created_at = wall(job->d),
                                          .exit_code = -1,
                                  });
}

/* ---- from the spec and the store -------------------------------------------------------------------------------- */

static int restore_one(const struct zl_execution_record *record, void *data)
{
        struct job *job = data;
        struct execution *e = add_execution(job, record);

        if (!e)
                return -ENOMEM;
        job->d->agent->last_execution = ZL_MAX(job->d->agent->last_execution, record->id);
        e->wished = record->trigger == ZL_TRIGGER_UP;
        return 0;
}

static void restore(struct job *job)
{
        struct zl_host *host = &job->d->agent->host;
        struct zl_schedule schedule = { .enabled = true, .last = wall(job->d) };

        if (host->load_schedule)
                host->load_schedule(host->data, job->d->name, job->name, &schedule);
        job->enabled = schedule.enabled;
        job->last = schedule.last;
        if (host->load_executions)
                host->load_executions(host->data, job->d->name, job->name, restore_one, job);
}

static struct job *make_job(struct deployment *d, const char *name)
{
        struct job **more = reallocarray(d->jobs, d->n_jobs + 1, sizeof(*more));
        struct job *job;

        if (!more)
                return NULL;
        d->jobs = more;
        job = calloc(1, sizeof(*job));
        if (!job || !(job->name = strdup(name))) {
                free(job);
                return NULL;
        }
        job->d = d;
        job->next = INT64_MAX;
        restore(job);
        /* What is left of the same job from before it was taken out of the spec keeps its number. */
        for (size_t i = 0; i < d->n_replicas; i++)
                if (zl_streq(d->replicas[i]->service_name, name))
                        job->last_number = ZL_MAX(job->last_number, d->replicas[i]->number);
        d->jobs[d->n_jobs++] = job;
        return job;
}

static void plan_next(struct job *job)
{
        int64_t next;

        job->next = INT64_MAX;
        if (job->settings.is_cron && job->enabled &&
            zl_job_next_times(&job->settings, ZL_MAX(job->last, 0), &next, 1) == 1)
                job->next = next;
}

static int sync_job(struct deployment *d, const struct service *s)
{
        struct job *job = find_job(d, s->name);
        struct zl_job_settings settings;

        if (!job)
                job = make_job(d, s->name);
        if (!job)
                return -ENOMEM;
        /* They were read once before, so nothing but memory can be missing. */
        if (zl_job_settings_load(s->rev->spec, &settings, NULL) < 0)
                return -ENOMEM;
        zl_job_settings_done(&job->settings);
        job->settings = settings;
        job->last_number = ZL_MAX(job->last_number, s->desired);
        save_schedule(job);
        plan_next(job);
        return 0;
}

static bool runs_once(const struct service *s)
{
        return s && s->rev->spec->rtype != ZL_RTYPE_SERVICE;
}

static void finish(struct execution *e, enum zl_execution_state state, const char *reason);

/* The service is gone: what waits is dropped, what runs is surplus like any other replica. */
static void drop_job(struct deployment *d, size_t at)
{
        struct job *job = d->jobs[at];

        for (size_t i = 0; i < job->n; i++)
                if (!is_over(job->executions[i]))
                        finish(job->executions[i], ZL_EXECUTION_CANCELLED,
                               "the service is no part of the deployment any more");
        free_job(job);
        d->jobs[at] = d->jobs[--d->n_jobs];
}

struct strays {
        const struct deployment *d;
        char **services;
};

static int note_stray(const struct zl_execution_record *record, void *data)
{
        struct strays *strays = data;

        if (record->state >= ZL_EXECUTION_SUCCEEDED || find_job(strays->d, record->service) ||
            zl_strv_contains(strays->services, record->service))
                return 0;
        return zl_strv_push(&strays->services, record->service);
}

/* Jobs of which the store has an execution that is not over, though the service is gone: its end was stored after the wish that
 * took it out of the spec, and an agent that died in between could not do so. */
static int find_strays(struct deployment *d)
{
        struct zl_host *host = &d->agent->host;
        struct strays strays = { .d = d };
        int r = 0;

        if (host->load_executions)
                host->load_executions(host->data, d->name, NULL, note_stray, &strays);
        ZL_STRV_FOREACH(name, strays.services)
                if (r == 0 && !make_job(d, *name))
                        r = -ENOMEM;
        zl_strv_free(strays.services);
        return r;
}

int zl_jobs_sync(struct deployment *d)
{
        int r = find_strays(d);

        for (size_t i = d->n_jobs; i-- > 0;)
                if (!runs_once(service_of(d->jobs[i])))
                        drop_job(d, i);
        for (size_t i = 0; r == 0 && i < d->services.n; i++)
                if (runs_once(d->services.items[i]))
                        r = sync_job(d, d->services.items[i]);
        d->dirty = true;
        return r;
}

/* ---- what was there before ---------------------------------------------------------------------------------------- */

bool zl_jobs_owns(const struct deployment *d, const struct zl_ident *id)
{
        const struct job *job = find_job(d, id->service);
        const struct service *s = job ? service_of(job) : NULL;
        const struct execution *e = job ? find_execution(job, id->replica) : NULL;

        if (!s)
                return false;
        return job->settings.is_cron || (e && !e->wished) || id->replica > s->desired;
}

void zl_jobs_adopt(struct replica *r)
{
        struct job *job = find_job(r->d, r->service_name);
        struct execution *e = find_execution(job, r->number);

        if (!e) {
                e = make_execution(job, r->number, ZL_TRIGGER_MANUAL);
                if (!e)
                        return;
                e->record.state = ZL_EXECUTION_RUNNING;
        }
        e->wished = false;
        e->replica = r;
        r->execution = e;
        if (!is_over(e) && job->settings.timeout > 0 && e->record.started_at > 0)
                e->deadline = zl_agent_now(r->d->agent) +
                              ZL_MAX(e->record.started_at + job->settings.timeout - wall(r->d), 0);
}

bool zl_jobs_is_over(const struct replica *r)
{
        return r->execution && is_over(r->execution);
}

bool zl_jobs_knows_end(const struct deployment *d, const struct zl_ident *id, bool *ret_well)
{
        const struct job *job = find_job(d, id->service);
        const struct execution *e = job ? find_execution(job, id->replica) : NULL;

        if (!e || !e->wished || !is_over(e))
                return false;
        *ret_well = e->record.state == ZL_EXECUTION_SUCCEEDED;
        return true;
}

/* What ran when the agent died and has left nothing behind. */
void zl_jobs_adopted(struct deployment *d)
{
        for (size_t i = 0; i < d->n_jobs; i++)
                for (size_t k = 0; k < d->jobs[i]->n; k++) {
                        struct execution *e = d->jobs[i]->executions[k];

                        if (e->record.state == ZL_EXECUTION_RUNNING && !e->replica && !e->wished)
                                finish(e, ZL_EXECUTION_FAILED,
                                       "its container was gone when the agent came back");
                }
}

/* ---- the course of one execution -------------------------------------------------------------------------------- */

static void finish(struct execution *e, enum zl_execution_state state, const char *reason)
{
        static const enum zl_event_type types[] = {
                [ZL_EXECUTION_CANCELLED] = ZL_EVENT_CANCELLED,
                [ZL_EXECUTION_TIMED_OUT] = ZL_EVENT_TIMED_OUT,
        };
        const struct replica *r = e->replica;

        e->record.state = state;
        e->record.finished_at = wall(e->job->d);
        e->deadline = INT64_MAX;
        if (r) {
                e->record.exit_code = r->exit_code;
                e->record.retries = r->history.total;
        }
        if (reason)
                (void)zl_replace_str(&e->reason, reason);
        save(e);
        if (state == ZL_EXECUTION_CANCELLED || state == ZL_EXECUTION_TIMED_OUT)
                tell(e, types[state], e->reason);
}

static void begin(struct execution *e, struct service *s)
{
        struct job *job = e->job;
        struct replica *r = zl_deployment_add_replica(job->d, s, s->name, e->record.number);

        if (!r)
                return; /* without memory it goes on waiting */
        r->ours = true;
        r->execution = e;
        e->replica = r;
        if (job->settings.timeout > 0)
                e->deadline = zl_agent_now(job->d->agent) + job->settings.timeout;
}

static void stop(struct execution *e)
{
        if (e->replica->goal == ZL_GOAL_RUN)
                zl_replica_set_goal(e->replica, ZL_GOAL_STOP);
}

/* Its replica has come to its end. */
static void conclude(struct execution *e)
{
        const struct replica *r = e->replica;
        bool stopping = e->job->d->phase == ZL_DEPLOYMENT_STOPPING;

        if (e->timed_out)
                finish(e, ZL_EXECUTION_TIMED_OUT, "it took longer than zlayer.job.timeout");
        else if (e->cancelled)
                finish(e, ZL_EXECUTION_CANCELLED, "somebody cancelled it");
        else if (r->completed)
                finish(e, ZL_EXECUTION_SUCCEEDED, NULL);
        else if (stopping || r->phase == ZL_PHASE_STOPPED || (r->goal != ZL_GOAL_RUN && !r->spent))
                finish(e, ZL_EXECUTION_CANCELLED,
                       stopping ? "the deployment was stopped" : "somebody stopped it");
        else
                finish(e, ZL_EXECUTION_FAILED, r->reason);
}

/* Somebody cancelled it, and nothing of it is on the machine. */
static bool end_cancelled(struct execution *e)
{
        if (is_over(e) || !e->cancelled)
                return false;
        finish(e, ZL_EXECUTION_CANCELLED, "somebody cancelled it");
        return true;
}

static bool step_execution(struct execution *e)
{
        struct replica *r = e->replica;

        if (!r)
                return end_cancelled(e);
        if (is_over(e))
                return false;
        if (r->has_started && e->record.state == ZL_EXECUTION_QUEUED) {
                e->record.state = ZL_EXECUTION_RUNNING;
                e->record.started_at = wall(e->job->d);
                save(e);
        }
        if (zl_replica_is_terminal(r) && !zl_replica_is_busy(r)) {
                conclude(e);
                return true;
        }
        if (e->cancelled && r->goal == ZL_GOAL_RUN) {
                stop(e);
                return true;
        }
        if (e->deadline <= zl_agent_now(e->job->d->agent) && !e->timed_out) {
                e->timed_out = true;
                stop(e);
                return true;
        }
        return false;
}

/* ---- queue and history ------------------------------------------------------------------------------------------- */

static size_t count_active(const struct job *job)
{
        size_t n = 0;

        for (size_t i = 0; i < job->n; i++)
                n += is_active(job->executions[i]);
        return n;
}

static size_t count_waiting(const struct job *job)
{
        size_t n = 0;

        for (size_t i = 0; i < job->n; i++)
                n += is_waiting(job->executions[i]);
        return n;
}

/* What is left of the same job from before it was taken out of the spec, and is still being ended. */
static size_t count_leftovers(const struct job *job)
{
        size_t n = 0;

        for (size_t i = 0; i < job->d->n_replicas; i++) {
                const struct replica *r = job->d->replicas[i];

                n += !r->execution && r->exists && zl_state_is_alive(r->state) &&
                     zl_streq(r->service_name, job->name);
        }
        return n;
}

static bool start_waiting(struct job *job, struct service *s)
{
        size_t active = count_active(job) + count_leftovers(job);
        bool moved = false;

        for (size_t i = 0; i < job->n && active < job->settings.concurrency; i++) {
                struct execution *e = job->executions[i];

                if (!is_waiting(e))
                        continue;
                begin(e, s);
                active++;
                moved |= e->replica != NULL;
        }
        return moved;
}

/* Lets go of the oldest ended containers, and of ended executions that have none. */
static bool trim_history(struct job *job)
{
        size_t kept = 0, n = 0;
        bool moved = false;

        for (size_t i = job->n; i-- > 0;) {
                struct execution *e = job->executions[i];

                if (!is_over(e) || !e->replica || e->wished)
                        continue;
                if (e->replica->phase != ZL_PHASE_GONE && ++kept <= job->settings.history)
                        continue;
                e->replica->execution = NULL;
                e->replica->spent = false;
                zl_replica_set_goal(e->replica, ZL_GOAL_REMOVE);
                e->replica = NULL;
                moved = true;
        }
        for (size_t i = 0; i < job->n; i++) {
                struct execution *e = job->executions[i];

                if (is_over(e) && (!e->replica || e->wished))
                        free_execution(e);
                else
                        job->executions[n++] = e;
        }
        job->n = n;
        return moved;
}

/* The execution of a wished run that is not linked to its replica yet: from before the agent's death. */
static struct execution *find_unlinked(const struct job *job, uint32_t number)
{
        for (size_t i = 0; i < job->n; i++) {
                struct execution *e = job->executions[i];

                if (e->wished && !e->replica && !is_over(e) && e->record.number == number)
                        return e;
        }
        return NULL;
}

static void attach(struct job *job, struct replica *r)
{
        struct execution *e = find_unlinked(job, r->number);
        bool is_new = !e;

        if (is_new && (zl_deployment_is_stopping(r->d) || r->goal != ZL_GOAL_RUN ||
                       zl_replica_is_terminal(r)))
                return;
        if (is_new)
                e = make_execution(job, r->number, ZL_TRIGGER_UP);
        if (!e)
                return;
        e->wished = true;
        e->replica = r;
        r->execution = e;
        if (job->settings.timeout > 0)
                e->deadline = zl_agent_now(job->d->agent) + job->settings.timeout;
        if (is_new)
                save(e);
}

/* A run that the deployment itself wants is remembered like the others; reconciliation looks after it. */
static void attach_wished(struct deployment *d)
{
        for (size_t i = 0; i < d->n_replicas; i++) {
                struct replica *r = d->replicas[i];
                struct job *job = r->execution || !r->service ? NULL : find_job(d, r->service_name);

                if (job)
                        attach(job, r);
        }
}

/* ---- the calendar -------------------------------------------------------------------------------------------------- */

static int enqueue(struct job *job, enum zl_trigger trigger, int64_t scheduled_at,
                   struct execution **ret, struct zl_error *err)
{
        struct execution *e;

        /* One that can begin at once does not wait. */
        if (count_waiting(job) >= job->settings.queue &&
            count_active(job) + count_waiting(job) >= job->settings.concurrency)
                return zl_fail(err, ZL_E_BUSY, 0,
                               "%s.%s: %zu executions run and %zu wait: no more are taken",
                               job->d->name, job->name, count_active(job), count_waiting(job));
        e = make_execution(job, job->last_number + 1, trigger);
        if (!e)
                return zl_fail_oom(err);
        e->record.scheduled_at = scheduled_at;
        save(e);
        tell(e, ZL_EVENT_QUEUED, NULL);
        job->d->dirty = true;
        if (ret)
                *ret = e;
        return 0;
}

static void skip(struct job *job, const char *why)
{
        char full[ZL_IDENT_NAME_MAX];

        snprintf(full, sizeof(full), "%s.%s", job->d->name, job->name);
        zl_agent_tell(job->d->agent, (struct zl_event){
                                             .type = ZL_EVENT_SKIPPED,
                                             .name = full,
                                             .message = why,
                                     });
}

static void cancel(struct execution *e)
{
        e->cancelled = true;
        if (e->replica)
                stop(e);
        else if (e->job->d->listed)
                end_cancelled(e);
        /* else it may be on the machine, and not have been found yet: the first step ends it */
        e->job->d->dirty = true;
}

static void fire(struct job *job, int64_t at, int64_t now)
{
        bool late = now - at > ZL_CRON_TOLERANCE;
        struct zl_error err = ZL_ERROR_INIT;
        bool busy = count_active(job) + count_waiting(job) > 0;

        if (busy && job->settings.overlap == ZL_OVERLAP_FORBID) {
                skip(job, "it is time, but the last execution is not over");
                return;
        }
        for (size_t i = 0; busy && job->settings.overlap == ZL_OVERLAP_REPLACE && i < job->n; i++)
                if (!is_over(job->executions[i]))
                        cancel(job->executions[i]);
        if (enqueue(job, late ? ZL_TRIGGER_CATCH_UP : ZL_TRIGGER_SCHEDULE, at, NULL, &err) < 0)
                skip(job, zl_error_message(&err));
        zl_error_done(&err);
}

static bool step_calendar(struct job *job)
{
        int64_t now = wall(job->d);
        struct zl_cron_due due;
        char text[80];

        if (job->next > now)
                return false;
        zl_cron_due(&job->settings, job->last, now, &due);
        job->last = now;
        save_schedule(job);
        plan_next(job);
        if (due.n_skipped > 0) {
                snprintf(text, sizeof(text), "%llu of its times passed while nobody was there",
                         (unsigned long long)due.n_skipped);
                skip(job, text);
        }
        for (size_t i = 0; i < due.n; i++)
                fire(job, due.times[i], now);
        return due.n > 0;
}

/* ---- the step --------------------------------------------------------------------------------------------------------- */

bool zl_jobs_step(struct deployment *d)
{
        bool moved = false;

        attach_wished(d);
        for (size_t i = 0; i < d->n_jobs; i++) {
                struct job *job = d->jobs[i];
                struct service *s = service_of(job);

                for (size_t k = 0; k < job->n; k++)
                        moved |= step_execution(job->executions[k]);
                if (zl_deployment_is_stopping(d)) {
                        for (size_t k = 0; k < job->n; k++)
                                if (!is_over(job->executions[k]) && !job->executions[k]->replica)
                                        finish(job->executions[k], ZL_EXECUTION_CANCELLED,
                                               "the deployment was stopped");
                        continue;
                }
                moved |= step_calendar(job);
                if (s)
                        moved |= start_waiting(job, s);
                moved |= trim_history(job);
        }
        return moved;
}

int64_t zl_jobs_deadline(const struct deployment *d)
{
        int64_t deadline = INT64_MAX, now = zl_agent_now(d->agent), now_wall = wall(d);

        /* Before it is known what there is, nothing is begun. */
        if (!d->listed || (d->phase != ZL_DEPLOYMENT_STARTING && d->phase != ZL_DEPLOYMENT_STARTED))
                return INT64_MAX;
        for (size_t i = 0; i < d->n_jobs; i++) {
                const struct job *job = d->jobs[i];

                if (job->next != INT64_MAX)
                        deadline = ZL_MIN(deadline, now + ZL_MAX(job->next - now_wall, 0));
                for (size_t k = 0; k < job->n; k++)
                        if (!job->executions[k]->timed_out)
                                deadline = ZL_MIN(deadline, job->executions[k]->deadline);
        }
        return deadline;
}

bool zl_jobs_are_alive(const struct deployment *d)
{
        for (size_t i = 0; i < d->n_jobs; i++)
                if (d->jobs[i]->next != INT64_MAX || count_waiting(d->jobs[i]) > 0 ||
                    (d->jobs[i]->settings.is_cron && !d->jobs[i]->enabled))
                        return true;
        return false;
}

/* ---- called from outside ------------------------------------------------------------------------------------------------ */

static int find_for(struct zl_agent *agent, const char *deployment, const char *service,
                    struct job **ret, struct zl_error *err)
{
        struct deployment *d = zl_agent_find(agent, deployment);
        struct job *job = d ? find_job(d, service) : NULL;

        if (!d || zl_deployment_is_stopping(d))
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "deployment %s is not up", deployment);
        if (!job)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "%s.%s is no job", deployment, service);
        *ret = job;
        return 0;
}

int zl_agent_job_run(struct zl_agent *agent, const char *deployment, const char *service,
                     char ret_name[ZL_IDENT_NAME_MAX], struct zl_error *err)
{
        struct execution *e;
        struct job *job;
        int r = find_for(agent, deployment, service, &job, err);

        if (r < 0)
                return r;
        r = zl_deployment_wake(job->d, err);
        if (r == 0)
                r = enqueue(job, ZL_TRIGGER_MANUAL, 0, &e, err);
        if (r < 0)
                return r;
        snprintf(ret_name, ZL_IDENT_NAME_MAX, NAME_FMT, deployment, service, e->record.number);
        zl_agent_settle(agent);
        return 0;
}

int zl_agent_job_cancel(struct zl_agent *agent, const char *name, struct zl_error *err)
{
        struct execution *e;
        struct zl_ident id;
        struct job *job;
        int r;

        if (zl_ident_parse(name, &id) < 0)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "\"%s\" is not the name of an execution (DEPLOYMENT.JOB.NUMBER)",
                               name);
        r = find_for(agent, id.deployment, id.service, &job, err);
        if (r < 0)
                return r;
        e = find_execution(job, id.replica);
        if (!e)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "there is no execution %s", name);
        if (is_over(e))
                return zl_fail(err, ZL_E_STATE, 0, "%s is over already", name);
        cancel(e);
        zl_agent_settle(agent);
        return 0;
}

int zl_agent_cron_enable(struct zl_agent *agent, const char *deployment, const char *service,
                         bool enabled, struct zl_error *err)
{
        struct job *job;
        int r = find_for(agent, deployment, service, &job, err);

        if (r < 0)
                return r;
        if (!job->settings.is_cron)
                return zl_fail(err, ZL_E_INVALID, 0, "%s.%s has no schedule", deployment, service);
        /* What passed while it was switched off was not missed. */
        if (enabled && !job->enabled)
                job->last = wall(job->d);
        job->enabled = enabled;
        save_schedule(job);
        plan_next(job);
        job->d->dirty = true;
        zl_agent_settle(agent);
        return 0;
}
