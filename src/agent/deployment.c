/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One deployment: what the runtime had of it before, the wish and the facts for zl_reconcile(), and carrying out what
 * that returns.
 *
 * A failure of the first start of any part fails the start as a whole; a failure later is the affair of the one replica.
 */
#include "agent/core.h"
#include "agent/unhonoured.h"
#include "base/strv.h"
#include "spec/spec.h"

/* ---- life ------------------------------------------------------------------------------------------------ */

int zl_deployment_new(struct zl_agent *agent, const char *name, struct deployment **ret)
{
        struct deployment *d = calloc(1, sizeof(*d));

        if (!d)
                return -ENOMEM;
        d->agent = agent;
        d->name = strdup(name);
        if (!d->name) {
                free(d);
                return -ENOMEM;
        }
        *ret = d;
        return 0;
}

void zl_deployment_drop_spec(struct deployment *d)
{
        zl_services_done(&d->services);
        zl_spec_free(d->spec);
        d->spec = NULL;
}

static void drop_found(struct deployment *d, size_t i)
{
        zl_status_done(&d->found[i].status);
        free(d->found[i].hash);
        d->found[i] = d->found[--d->n_found];
}

void zl_deployment_free(struct deployment *d)
{
        for (size_t i = 0; i < d->n_replicas; i++)
                zl_replica_free(d->replicas[i]);
        free(d->replicas);
        while (d->n_found > 0)
                drop_found(d, 0);
        free(d->found);
        zl_jobs_done(d);
        zl_deployment_drop_spec(d);
        zl_error_done(&d->failure_);
        zl_strv_free(d->wanted);
        free(d->name);
        free(d);
}

int zl_deployment_save(struct deployment *d, const struct zl_deployment_spec *spec,
                       enum zl_care care, struct zl_error *err)
{
        struct zl_host *host = &d->agent->host;
        _cleanup_free_ char *text = NULL;

        if (spec) {
                text = zl_spec_dump_stored(spec);
                if (!text)
                        return zl_fail_oom(err);
        }
        return host->save_deployment(host->data, d->name, text, care, err);
}

static void warn_one(const char *name, const char *text, void *data)
{
        struct deployment *d = data;

        zl_agent_tellf(d->agent, (struct zl_event){ .type = ZL_EVENT_WARNING, .name = name }, "%s",
                       text);
}

void zl_deployment_warn(struct deployment *d)
{
        zl_unhonoured(d->spec, warn_one, d);
}

/* ---- what is there already -------------------------------------------------------------------------------- */

static int take_found(struct deployment *d, struct zl_status *status, const struct zl_ident *id)
{
        struct found *found = reallocarray(d->found, d->n_found + 1, sizeof(*found));
        struct zl_host *host = &d->agent->host;

        if (!found)
                return -ENOMEM;
        d->found = found;
        found += d->n_found++;
        *found = (struct found){ .status = *status, .id = *id };
        *status = (struct zl_status){ 0 };
        found->hash = host->load_hash(host->data, found->status.name, &found->restarts,
                                      &found->failed);
        return 0;
}

struct replica *zl_deployment_add_replica(struct deployment *d, struct service *s,
                                          const char *service_name, uint32_t number)
{
        struct replica **replicas = reallocarray(d->replicas, d->n_replicas + 1, sizeof(*replicas));
        struct replica *r;

        if (!replicas)
                return NULL;
        d->replicas = replicas;
        r = zl_replica_new(d, s, service_name, number);
        if (r)
                d->replicas[d->n_replicas++] = r;
        return r;
}

struct replica *zl_deployment_manage(struct deployment *d, struct service *s, struct found *found)
{
        struct replica *r = zl_deployment_add_replica(d, s, found->id.service, found->id.replica);

        if (!r)
                return NULL;
        r->exists = true;
        r->state = found->status.state;
        r->history.total = found->restarts;
        return r;
}

/* One that ran until its end was told and judged by an earlier agent is not told once more. */
static void adopt(struct deployment *d, struct replica *r, const struct found *found)
{
        bool well;

        if (found->status.state != ZL_STATE_EXITED || !zl_jobs_knows_end(d, &found->id, &well)) {
                zl_replica_adopt(r, &found->status, found->restarts);
                return;
        }
        zl_replica_rest(r);
        r->exit_code = found->status.exit_code;
        r->completed = well;
        if (!well)
                r->phase = ZL_PHASE_FAILED;
        if (!well && d->exit_code == 0)
                d->exit_code = r->exit_code > 0 ? r->exit_code : 1;
}

void zl_deployment_forget_taken(struct deployment *d)
{
        for (size_t i = d->n_found; i-- > 0;)
                for (size_t k = 0; k < d->n_replicas; k++)
                        if (zl_streq(d->replicas[k]->name, d->found[i].status.name)) {
                                drop_found(d, i);
                                break;
                        }
}

/* Executions of jobs are looked after by job.c, also those that are over: their logs are history. */
static int take_executions(struct deployment *d)
{
        for (size_t i = 0; i < d->n_found; i++) {
                struct found *found = &d->found[i];
                struct service *s = zl_services_find(&d->services, found->id.service);
                struct replica *r;

                if (!s || !zl_jobs_owns(d, &found->id))
                        continue;
                r = zl_deployment_manage(d, s, found);
                if (!r)
                        return -ENOMEM;
                zl_jobs_adopt(r);
                if (zl_jobs_is_over(r))
                        zl_replica_rest(r);
                else
                        zl_replica_adopt(r, &found->status, found->restarts);
        }
        zl_jobs_adopted(d);
        zl_deployment_forget_taken(d);
        return 0;
}

/* An adaptive service goes on with the number that its last agent had come to: what runs is not stopped for a restart of the
 * agent. */
static void keep_numbers(struct deployment *d)
{
        for (size_t s = 0; s < d->services.n; s++) {
                struct service *service = d->services.items[s];
                const struct zl_scale_spec *scale = &service->rev->spec->scale;
                uint32_t n = 0;

                for (size_t i = 0; i < d->n_found; i++)
                        n += zl_streq(d->found[i].id.service, service->name) &&
                             (zl_state_is_alive(d->found[i].status.state) ||
                              zl_found_returns(d, &d->found[i]));
                if (d->begin != ZL_BEGIN_ANEW && scale->mode == ZL_SCALE_ADAPTIVE &&
                    service->rev->spec->rtype == ZL_RTYPE_SERVICE)
                        service->desired = ZL_MAX(service->desired, ZL_MIN(n, scale->max));
        }
}

static void forget_ghosts(struct deployment *d)
{
        struct zl_host *host = &d->agent->host;
        _cleanup_strv_ char **names = NULL;

        if (!host->forget_others)
                return;
        for (size_t i = 0; i < d->n_found; i++)
                if (zl_strv_push(&names, d->found[i].status.name) < 0)
                        return; /* a ghost more is better than a replica less */
        host->forget_others(host->data, d->name, names);
}

static void on_list(struct zl_op *op)
{
        struct deployment *d = op->owner;
        struct zl_agent *agent = d->agent;
        int r = op->result;

        agent->n_ops--;
        d->list = NULL;
        for (size_t i = 0; r >= 0 && i < op->n_list; i++) {
                struct zl_ident id;

                if (zl_ident_parse(op->list[i].name, &id) < 0 || !zl_streq(id.deployment, d->name))
                        continue;
                r = take_found(d, &op->list[i], &id);
                if (r < 0)
                        zl_fail_oom(&op->error);
        }
        if (r >= 0)
                forget_ghosts(d);
        if (r >= 0 && take_executions(d) < 0)
                r = zl_fail_oom(&op->error);
        keep_numbers(d);
        if (r >= 0 && d->begin == ZL_BEGIN_REVIVE && zl_deployment_revive(d) < 0)
                r = zl_fail_oom(&op->error);
        if (r < 0)
                zl_deployment_fail(d, d->name, &op->error);
        d->found_all = r >= 0;
        d->listed = true;
        d->dirty = true;
        zl_op_free(op);
        zl_agent_settle(agent);
}

void zl_deployment_list(struct deployment *d)
{
        d->list = zl_op_new(ZL_OP_LIST, NULL);
        if (!d->list) {
                struct zl_error err = ZL_ERROR_INIT;

                zl_fail_oom(&err);
                d->listed = true;
                zl_deployment_fail(d, d->name, &err);
                return;
        }
        zl_agent_submit(d->agent, d->list, d, on_list);
}

void zl_deployment_fail(struct deployment *d, const char *name, struct zl_error *err)
{
        if (!d->failure) {
                zl_error_move(&d->failure_, err);
                d->failure = &d->failure_;
        } else {
                zl_error_done(err);
        }
        if (d->phase == ZL_DEPLOYMENT_STARTING) {
                d->phase = ZL_DEPLOYMENT_FAILED;
                zl_agent_tellf(
                        d->agent,
                        (struct zl_event){ .type = ZL_EVENT_DEPLOYMENT_FAILED, .name = d->name },
                        "%s", zl_error_message(d->failure));
        }
        (void)name;
        d->dirty = true;
}

/* ---- wish and facts --------------------------------------------------------------------------------------- */

struct picture {
        struct zl_wish wish;
        struct zl_wish_service *services;
        struct zl_wish_dependency *depends;
        struct zl_fact *facts; /* replicas first, then what was found */
        size_t n_facts;
};

static void picture_done(struct picture *p)
{
        free(p->services);
        free(p->depends);
        free(p->facts);
}

bool zl_deployment_is_stopping(const struct deployment *d)
{
        return d->phase == ZL_DEPLOYMENT_STOPPING || d->phase == ZL_DEPLOYMENT_STOPPED;
}

static int draw_wish(const struct deployment *d, struct picture *p)
{
        struct zl_wish_dependency *dep;
        size_t n_depends = 0;

        for (size_t i = 0; i < d->services.n; i++)
                n_depends += d->services.items[i]->n_depends;
        p->services = calloc(d->services.n + 1, sizeof(*p->services));
        dep = p->depends = calloc(n_depends + 1, sizeof(*p->depends));
        if (!p->services || !p->depends)
                return -ENOMEM;
        for (size_t i = 0; i < d->services.n; i++) {
                const struct service *s = d->services.items[i];
                struct zl_wish_service *w = &p->services[i];

                *w = (struct zl_wish_service){
                        .name = s->name,
                        .hash = s->rev->hash,
                        .prepared = s->rev->pulled,
                        .replicas = zl_deployment_is_stopping(d) ? 0 : s->desired,
                        .depends = dep,
                };
                for (size_t k = 0; k < s->n_depends; k++)
                        if (zl_deployment_is_stopping(d) || !s->depends[k].dropped) {
                                *dep++ = (struct zl_wish_dependency){ s->depends[k].target,
                                                                      s->depends[k].need };
                                w->n_depends++;
                        }
        }
        p->wish = (struct zl_wish){
                .services = p->services,
                .n_services = d->services.n,
                .recovering = d->begin != ZL_BEGIN_ANEW,
                .remove_ended = !zl_deployment_is_stopping(d) || d->remove,
        };
        return 0;
}

/* On its way out. One that was stopped and is to stay as it is, is not. */
static bool is_going(const struct replica *r)
{
        return r->goal == ZL_GOAL_REMOVE || r->end_failed ||
               (r->goal == ZL_GOAL_STOP && !zl_replica_is_terminal(r));
}

static int draw_facts(const struct deployment *d, struct picture *p)
{
        bool only_new = zl_deployment_is_stopping(d) && d->only_new;

        p->facts = calloc(d->n_replicas + d->n_found + 1, sizeof(*p->facts));
        if (!p->facts)
                return -ENOMEM;
        for (size_t i = 0; i < d->n_replicas; i++) {
                const struct replica *r = d->replicas[i];

                p->facts[i] = (struct zl_fact){
                        .service = r->service_name,
                        .replica = r->number,
                        .state = r->exists ? r->state : ZL_STATE_EXITED,
                        .managed = true,
                        .has_started = r->has_started,
                        .completed = r->completed,
                        .available = zl_replica_is_available(r),
                        .settled = zl_replica_is_terminal(r) || r->state == ZL_STATE_PAUSED,
                        .excused = zl_replica_is_excused(r),
                        .hash = r->rev ? r->rev->hash : NULL,
                        .spent = r->spent,
                        .going = is_going(r) || (only_new && !r->ours) ||
                                 (zl_replica_is_triggered(r) && !zl_deployment_is_stopping(d)),
                };
                if (!r->exists && !zl_replica_is_terminal(r))
                        p->facts[i].state = ZL_STATE_PENDING;
        }
        p->n_facts = d->n_replicas;
        for (size_t i = 0; i < d->n_found; i++)
                p->facts[p->n_facts++] = (struct zl_fact){
                        .service = d->found[i].id.service,
                        .replica = d->found[i].id.replica,
                        .state = d->found[i].status.state,
                        .hash = d->found[i].hash,
                        .going = only_new,
                };
        return 0;
}

/* ---- actions ------------------------------------------------------------------------------------------------ */

static enum zl_replica_goal ending_goal(const struct deployment *d)
{
        return !zl_deployment_is_stopping(d) || d->remove ? ZL_GOAL_REMOVE : ZL_GOAL_STOP;
}

/* `n_managed` is the number of machines when the facts were drawn. */
static int act(struct deployment *d, const struct zl_action *action, size_t n_managed)
{
        struct service *s = action->service == SIZE_MAX ? NULL : d->services.items[action->service];
        struct found *found;
        struct replica *r;

        if (action->kind == ZL_ACTION_START) {
                r = zl_deployment_add_replica(d, s, s->name, action->replica);
                if (!r)
                        return -ENOMEM;
                r->ours = true;
                return 0;
        }
        if (action->fact < n_managed && action->kind == ZL_ACTION_REPLACE) {
                zl_replica_renew(d->replicas[action->fact]);
                return 0;
        }
        if (action->fact < n_managed) {
                zl_replica_set_goal(d->replicas[action->fact], ending_goal(d));
                return 0;
        }
        found = &d->found[action->fact - n_managed];
        r = zl_deployment_manage(d, s, found);
        if (!r)
                return -ENOMEM;
        switch (action->kind) {
        case ZL_ACTION_ADOPT:
                /* One that is to be started again is not judged by its end. */
                r->again = zl_strv_contains(d->wanted, r->name) || zl_found_returns(d, found);
                adopt(d, r, found);
                r->again = r->again && !zl_state_is_alive(r->state);
                break;
        case ZL_ACTION_REPLACE:
                r->stale = true;
                r->ours = true;
                r->history.total = 0;
                break;
        default:
                zl_replica_set_goal(r, ending_goal(d));
                break;
        }
        return 0;
}

/* A removed replica is nothing any more: its number may be used again. */
static bool forget_gone(struct deployment *d)
{
        size_t n = 0;

        if (zl_deployment_is_stopping(d))
                return false;
        for (size_t i = 0; i < d->n_replicas; i++) {
                struct replica *r = d->replicas[i];

                if (r->phase == ZL_PHASE_GONE && !zl_replica_is_busy(r) && !r->spent)
                        zl_replica_free(r);
                else
                        d->replicas[n++] = r;
        }
        if (n == d->n_replicas)
                return false;
        d->n_replicas = n;
        return true;
}

static bool carry_out(struct deployment *d, const struct zl_action *actions, size_t n)
{
        size_t n_managed = d->n_replicas;
        struct zl_error err = ZL_ERROR_INIT;
        bool moved = false;

        for (size_t i = 0; i < n; i++) {
                if (act(d, &actions[i], n_managed) < 0) {
                        zl_fail_oom(&err);
                        zl_deployment_fail(d, d->name, &err);
                        break;
                }
                moved = true;
        }
        zl_deployment_forget_taken(d);
        return moved;
}

/* ---- phases ------------------------------------------------------------------------------------------------- */

static void set_done(struct deployment *d, enum zl_deployment_phase phase)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        bool forget = phase == ZL_DEPLOYMENT_STOPPED && d->remove;
        enum zl_care care = ZL_CARE_NONE;

        d->phase = phase;
        if (phase == ZL_DEPLOYMENT_FINISHED && zl_deployment_returns(d))
                care = ZL_CARE_NEXT_START;
        if (zl_deployment_save(d, forget ? NULL : d->spec, care, &err) < 0)
                zl_agent_tellf(d->agent,
                               (struct zl_event){ .type = ZL_EVENT_WARNING, .name = d->name },
                               "its end is not stored: %s", zl_error_message(&err));
        zl_agent_tell(d->agent,
                      (struct zl_event){ .type = ZL_EVENT_DEPLOYMENT_STOPPED, .name = d->name });
}

static void update_phase(struct deployment *d)
{
        size_t wanted = 0, started = 0, active = 0;

        for (size_t i = 0; i < d->services.n; i++)
                wanted += d->services.items[i]->desired;
        for (size_t i = 0; i < d->n_replicas; i++) {
                const struct replica *r = d->replicas[i];
                bool counts = !(zl_deployment_is_stopping(d) && d->only_new && !r->ours);

                /* One that somebody stopped or removed before it came to run is waited for by nobody. */
                started += (r->has_started || zl_replica_is_terminal(r)) && r->service &&
                           !zl_replica_is_triggered(r);
                active += counts && (!zl_replica_is_terminal(r) || zl_replica_is_busy(r));
        }
        active += d->n_pulls;
        active += !zl_deployment_is_stopping(d) && zl_jobs_are_alive(d);
        if (d->phase == ZL_DEPLOYMENT_STARTING && started >= wanted) {
                d->phase = ZL_DEPLOYMENT_STARTED;
                zl_agent_tell(d->agent, (struct zl_event){ .type = ZL_EVENT_DEPLOYMENT_STARTED,
                                                           .name = d->name });
        }
        if (active > 0 || d->n_kills > 0)
                return;
        if (d->phase == ZL_DEPLOYMENT_STARTED)
                set_done(d, ZL_DEPLOYMENT_FINISHED);
        else if (d->phase == ZL_DEPLOYMENT_STOPPING &&
                 (d->n_found == 0 || d->only_new || !d->remove))
                set_done(d, ZL_DEPLOYMENT_STOPPED);
}

bool zl_deployment_step(struct deployment *d)
{
        struct picture p = { 0 };
        struct zl_action *actions = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        size_t n_actions = 0;
        bool moved = false;
        int r;

        if (!d->listed || d->phase == ZL_DEPLOYMENT_FAILED || d->phase == ZL_DEPLOYMENT_FINISHED ||
            d->phase == ZL_DEPLOYMENT_STOPPED)
                return false;
        r = draw_wish(d, &p);
        if (r >= 0)
                r = draw_facts(d, &p);
        if (r >= 0)
                r = zl_reconcile(&p.wish, p.facts, p.n_facts, &actions, &n_actions);
        if (r >= 0) {
                moved = carry_out(d, actions, n_actions);
        } else {
                zl_fail_oom(&err);
                zl_deployment_fail(d, d->name, &err);
        }
        free(actions);
        picture_done(&p);
        moved |= forget_gone(d);
        zl_waits_check(d);
        moved |= zl_rollout_step(d);
        moved |= zl_jobs_step(d);
        moved |= zl_scaler_step(d);
        /* All that was found has been taken up by now. */
        zl_strv_free(zl_take_ptr(d->wanted));
        if (!moved)
                update_phase(d);
        else
                d->dirty = true;
        return moved || d->dirty;
}
