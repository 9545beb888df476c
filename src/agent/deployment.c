/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One deployment: its services in order of dependency, what the runtime had of it before, the wish and the facts for
 * zl_reconcile(), and carrying out what that returns.
 *
 * A failure of the first start of any part fails the start as a whole; a failure later is the affair of the one replica.
 */
#include "agent/core.h"
#include "agent/depends.h"
#include "agent/env.h"
#include "agent/unhonoured.h"
#include "base/strv.h"
#include "spec/spec.h"

#define DEFAULT_DEPENDS_TIMEOUT (300 * ZL_NSEC_PER_SEC)

char *zl_service_full_name(const struct service *s, char buf[ZL_IDENT_NAME_MAX])
{
        snprintf(buf, ZL_IDENT_NAME_MAX, "%s.%s", s->d->name, s->name);
        return buf;
}

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
        for (size_t i = 0; i < d->n_services; i++)
                free(d->services[i].depends);
        free(d->services);
        d->services = NULL;
        d->n_services = 0;
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
        zl_deployment_drop_spec(d);
        zl_error_done(&d->failure_);
        free(d->name);
        free(d);
}

/* ---- checking the wish --------------------------------------------------------------------------------- */

/* The hash of what makes a container; how many there are does not change any of them. */
static int container_hash(const struct zl_service_spec *spec, char hash[ZL_DIGEST_TEXT_MAX])
{
        _cleanup_service_spec_ struct zl_service_spec *copy = zl_service_spec_copy(spec);

        if (!copy)
                return -ENOMEM;
        copy->scale = (struct zl_scale_spec){ .mode = ZL_SCALE_MANUAL };
        return zl_spec_service_hash(copy, hash);
}

static size_t position_of(const struct deployment *d, const char *name)
{
        for (size_t i = 0; i < d->n_services; i++)
                if (d->services[i].name && zl_streq(d->services[i].name, name))
                        return i;
        return SIZE_MAX; /* excluded by the order */
}

static int prepare_depends(struct deployment *d, struct service *s, struct zl_error *err)
{
        if (s->spec->n_depends == 0)
                return 0;
        s->depends = calloc(s->spec->n_depends, sizeof(*s->depends));
        if (!s->depends)
                return zl_fail_oom(err);
        for (size_t i = 0; i < s->spec->n_depends; i++) {
                const struct zl_depends_spec *dep = &s->spec->depends[i];
                size_t target = position_of(d, dep->service);
                bool is_job = d->services[target].spec->rtype == ZL_RTYPE_JOB;

                s->depends[s->n_depends++] = (struct dependency){
                        .target = target,
                        .complete = is_job && dep->condition != ZL_DEPENDS_STARTED,
                        .timeout = dep->has_timeout ? dep->timeout : DEFAULT_DEPENDS_TIMEOUT,
                        .on_timeout = dep->on_timeout,
                };
        }
        return 0;
}

static int prepare_service(struct deployment *d, struct service *s,
                           const struct zl_service_entry *entry, struct zl_error *err)
{
        struct zl_ident id;
        int r;

        s->d = d;
        s->name = entry->name;
        s->spec = entry->spec;
        r = zl_ident_make(&id, d->name, s->name, 1, err);
        if (r < 0)
                return r;
        s->desired = zl_spec_initial_replicas(&s->spec->scale);
        if (s->spec->rtype == ZL_RTYPE_CRON)
                s->desired = 0;
        if (s->desired > ZL_REPLICAS_MAX)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "service %s: %u replicas are more than the %d of one machine",
                               s->name, s->desired, ZL_REPLICAS_MAX);
        if (zl_restart_rule_from_spec(s->spec, &s->rule) < 0)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "service %s: restart_policy.delay: \"%s\" is not a duration",
                               s->name, s->spec->restart_policy->delay);
        if (container_hash(s->spec, s->hash) < 0)
                return zl_fail_oom(err);
        return 0;
}

/* Everything that a start would need, so that a wish is refused as a whole before anything has been touched. */
int zl_deployment_check_env(struct deployment *d, struct zl_error *err)
{
        struct zl_host *host = &d->agent->host;
        struct zl_env_source source = { .getenv = host->getenv, .getenv_data = host->data };

        for (size_t i = 0; i < d->n_services; i++) {
                _cleanup_strv_ char **env = NULL;
                int r = zl_env_resolve(&d->services[i].spec->env, &source, &env, err);

                if (r < 0) {
                        zl_error_prefix(err, "service %s", d->services[i].name);
                        return r;
                }
        }
        return 0;
}

int zl_deployment_prepare(struct deployment *d, struct zl_error *err)
{
        _cleanup_free_ size_t *order = NULL;
        int r;

        r = zl_depends_order(d->spec, &order, err);
        if (r < 0)
                return r;
        d->services = calloc(d->spec->n_services + 1, sizeof(*d->services));
        if (!d->services)
                return zl_fail_oom(err);
        for (size_t i = 0; i < d->spec->n_services; i++) {
                d->n_services = i + 1;
                r = prepare_service(d, &d->services[i], &d->spec->services[order[i]], err);
                if (r < 0)
                        return r;
                r = prepare_depends(d, &d->services[i], err);
                if (r < 0)
                        return r;
        }
        return 0;
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
        found->hash = host->load_hash(host->data, found->status.name, &found->restarts);
        return 0;
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
        if (r < 0)
                zl_deployment_fail(d, d->name, &op->error);
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

static bool is_stopping(const struct deployment *d)
{
        return d->phase == ZL_DEPLOYMENT_STOPPING || d->phase == ZL_DEPLOYMENT_STOPPED;
}

static int draw_wish(const struct deployment *d, struct picture *p)
{
        struct zl_wish_dependency *dep;
        size_t n_depends = 0;

        for (size_t i = 0; i < d->n_services; i++)
                n_depends += d->services[i].n_depends;
        p->services = calloc(d->n_services + 1, sizeof(*p->services));
        dep = p->depends = calloc(n_depends + 1, sizeof(*p->depends));
        if (!p->services || !p->depends)
                return -ENOMEM;
        for (size_t i = 0; i < d->n_services; i++) {
                const struct service *s = &d->services[i];
                struct zl_wish_service *w = &p->services[i];

                *w = (struct zl_wish_service){
                        .name = s->name,
                        .hash = s->hash,
                        .replicas = is_stopping(d) ? 0 : s->desired,
                        .depends = dep,
                };
                for (size_t k = 0; k < s->n_depends; k++)
                        if (is_stopping(d) || !s->depends[k].dropped) {
                                *dep++ = (struct zl_wish_dependency){ s->depends[k].target,
                                                                      s->depends[k].complete };
                                w->n_depends++;
                        }
        }
        p->wish = (struct zl_wish){
                .services = p->services,
                .n_services = d->n_services,
                .recovering = d->recovering,
                .remove_ended = !is_stopping(d) || d->remove,
        };
        return 0;
}

static int draw_facts(const struct deployment *d, struct picture *p)
{
        bool only_new = is_stopping(d) && d->only_new;

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
                        .going = r->goal != ZL_GOAL_RUN || (only_new && !r->ours),
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

static struct replica *add_replica(struct deployment *d, struct service *s,
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

static enum zl_replica_goal ending_goal(const struct deployment *d)
{
        return !is_stopping(d) || d->remove ? ZL_GOAL_REMOVE : ZL_GOAL_STOP;
}

/* Gives a found one a machine. Its place in `found` is freed by the caller later. */
static struct replica *manage_found(struct deployment *d, struct service *s, struct found *found)
{
        struct replica *r = add_replica(d, s, found->id.service, found->id.replica);

        if (!r)
                return NULL;
        r->exists = true;
        r->state = found->status.state;
        r->history.total = found->restarts;
        return r;
}

/* `n_managed` is the number of machines when the facts were drawn. */
static int act(struct deployment *d, const struct zl_action *action, size_t n_managed)
{
        struct service *s = action->service == SIZE_MAX ? NULL : &d->services[action->service];
        struct found *found;
        struct replica *r;

        if (action->kind == ZL_ACTION_START) {
                r = add_replica(d, s, s->name, action->replica);
                if (!r)
                        return -ENOMEM;
                r->ours = true;
                return 0;
        }
        if (action->fact < n_managed) {
                zl_replica_set_goal(d->replicas[action->fact], ending_goal(d));
                return 0;
        }
        found = &d->found[action->fact - n_managed];
        r = manage_found(d, s, found);
        if (!r)
                return -ENOMEM;
        switch (action->kind) {
        case ZL_ACTION_ADOPT:
                zl_replica_adopt(r, &found->status, found->restarts);
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

/* Facts are addressed by index, so what has been taken over leaves `found` only after all actions. */
static void forget_taken(struct deployment *d)
{
        for (size_t i = d->n_found; i-- > 0;)
                for (size_t k = 0; k < d->n_replicas; k++)
                        if (zl_streq(d->replicas[k]->name, d->found[i].status.name)) {
                                drop_found(d, i);
                                break;
                        }
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
        forget_taken(d);
        return moved;
}

/* ---- dependencies and phases --------------------------------------------------------------------------------- */

static bool has_replicas(const struct deployment *d, const struct service *s)
{
        for (size_t i = 0; i < d->n_replicas; i++)
                if (d->replicas[i]->service == s)
                        return true;
        return false;
}

/* Is the dependency met, or can it never be? 1 met, 0 not yet, -1 never. */
static int judge_dependency(const struct deployment *d, const struct dependency *dep,
                            const struct replica **ret_culprit)
{
        const struct service *target = &d->services[dep->target];
        uint32_t met = 0;

        for (size_t i = 0; i < d->n_replicas; i++) {
                const struct replica *r = d->replicas[i];

                if (r->service != target)
                        continue;
                if (dep->complete ? r->completed : r->has_started)
                        met++;
                else if (zl_replica_is_terminal(r)) {
                        *ret_culprit = r;
                        return -1;
                }
        }
        return met >= target->desired;
}

static void dependency_failed(struct service *s, struct dependency *dep, const char *why)
{
        struct deployment *d = s->d;
        struct zl_error err = ZL_ERROR_INIT;
        char full[ZL_IDENT_NAME_MAX];

        if (dep->on_timeout != ZL_ON_FAULT_FAIL) {
                dep->dropped = true;
                d->dirty = true;
                if (dep->on_timeout == ZL_ON_FAULT_WARN)
                        zl_agent_tellf(d->agent,
                                       (struct zl_event){ .type = ZL_EVENT_WARNING,
                                                          .name = zl_service_full_name(s, full) },
                                       "it is started although %s", why);
                return;
        }
        zl_fail(&err, ZL_E_START, 0, "service %s is not started: %s", s->name, why);
        zl_deployment_fail(d, s->name, &err);
}

/* Tells who waits for whom, and ends waits that are over time or hopeless. */
static void check_waits(struct deployment *d)
{
        int64_t now = zl_agent_now(d->agent);

        for (size_t i = 0; i < d->n_services && d->phase == ZL_DEPLOYMENT_STARTING; i++) {
                struct service *s = &d->services[i];
                char full[ZL_IDENT_NAME_MAX], why[256];

                for (size_t k = 0; k < s->n_depends && !has_replicas(d, s); k++) {
                        struct dependency *dep = &s->depends[k];
                        const char *target = d->services[dep->target].name;
                        const struct replica *culprit = NULL;
                        int met;

                        if (dep->dropped || s->desired == 0)
                                continue;
                        met = judge_dependency(d, dep, &culprit);
                        if (met > 0)
                                continue;
                        if (met < 0)
                                snprintf(why, sizeof(why), "%s, which it depends on, ended with %d",
                                         culprit->name, culprit->exit_code);
                        else
                                snprintf(why, sizeof(why), "%s did not %s in time", target,
                                         dep->complete ? "complete" : "start");
                        if (met < 0 || now - d->begun >= dep->timeout) {
                                dependency_failed(s, dep, why);
                        } else if (!s->told_waiting) {
                                s->told_waiting = true;
                                zl_agent_tellf(
                                        d->agent,
                                        (struct zl_event){ .type = ZL_EVENT_WAITING,
                                                           .name = zl_service_full_name(s, full) },
                                        "%s", target);
                        }
                }
        }
}

int64_t zl_deployment_deadline(const struct deployment *d)
{
        int64_t deadline = INT64_MAX;

        for (size_t i = 0; i < d->n_services && d->phase == ZL_DEPLOYMENT_STARTING; i++) {
                const struct service *s = &d->services[i];

                for (size_t k = 0; k < s->n_depends && s->desired > 0; k++)
                        if (!s->depends[k].dropped && !has_replicas(d, s) &&
                            s->depends[k].timeout < INT64_MAX - d->begun)
                                deadline = ZL_MIN(deadline, d->begun + s->depends[k].timeout);
        }
        return deadline;
}

static void set_done(struct deployment *d, enum zl_deployment_phase phase)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_host *host = &d->agent->host;
        _cleanup_free_ char *text = NULL;

        d->phase = phase;
        if (!(phase == ZL_DEPLOYMENT_STOPPED && d->remove) && d->spec)
                text = zl_spec_dump_json(d->spec);
        if (host->save_deployment(host->data, d->name, text, false, &err) < 0)
                zl_agent_tellf(d->agent,
                               (struct zl_event){ .type = ZL_EVENT_WARNING, .name = d->name },
                               "its end is not stored: %s", zl_error_message(&err));
        zl_agent_tell(d->agent,
                      (struct zl_event){ .type = ZL_EVENT_DEPLOYMENT_STOPPED, .name = d->name });
}

static void update_phase(struct deployment *d)
{
        size_t wanted = 0, started = 0, active = 0;

        for (size_t i = 0; i < d->n_services; i++)
                wanted += d->services[i].desired;
        for (size_t i = 0; i < d->n_replicas; i++) {
                const struct replica *r = d->replicas[i];
                bool counts = !(is_stopping(d) && d->only_new && !r->ours);

                started += r->has_started && r->service;
                active += counts && (!zl_replica_is_terminal(r) || r->op);
        }
        for (size_t i = 0; i < d->n_services; i++)
                active += d->services[i].pull != NULL;
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
        check_waits(d);
        if (!moved)
                update_phase(d);
        else
                d->dirty = true;
        return moved || d->dirty;
}
