/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Health: when is a replica looked at, and what do the looks mean. The looking itself is the host's (probe.c).
 *
 * A replica that begins to run is looked at at once and then at growing distances, so that one which is quick counts as
 * healthy quickly. Until the start grace is over a failure means nothing; after that so many failures in a row as
 * `retries` says make it unhealthy, and one success makes it healthy again. An unhealthy replica that is not restarted is looked at
 * less and less often, up to once a minute.
 *
 * The check is the spec's; a spec with the default (tcp, port 0) leaves it to the image's HEALTHCHECK, and without
 * one to a connection to the first endpoint with http, https or websocket. If there is none of all these, nobody looks.
 */
#include "agent/core.h"
#include "base/strv.h"
#include "spec/spec.h"

#define DEFAULT_GRACE (5 * ZL_NSEC_PER_SEC)
#define DEFAULT_INTERVAL (10 * ZL_NSEC_PER_SEC)
#define DEFAULT_TIMEOUT (5 * ZL_NSEC_PER_SEC)
#define FIRST_DISTANCE (50 * ZL_NSEC_PER_MSEC)
#define MAX_BACKOFF (60 * ZL_NSEC_PER_SEC)
#define MIN_INTERVAL (10 * ZL_NSEC_PER_MSEC)

static const char *const names[] = {
        [ZL_HEALTH_NONE] = "none",
        [ZL_HEALTH_STARTING] = "starting",
        [ZL_HEALTH_HEALTHY] = "healthy",
        [ZL_HEALTH_UNHEALTHY] = "unhealthy",
};

const char *zl_health_name(enum zl_health health)
{
        return names[health];
}

/* ---- the plan -------------------------------------------------------------------------------------------------- */

void zl_health_plan_done(struct health_plan *plan)
{
        zl_url_done(&plan->url);
        zl_strv_free(plan->argv);
        *plan = (struct health_plan){ 0 };
}

static int plan_http(const struct zl_health_check *check, struct health_plan *plan,
                     struct zl_error *err)
{
        plan->kind = ZL_PROBE_HTTP;
        plan->expect_status = check->expect_status;
        return zl_url_parse("health.check.url", check->url, &plan->url, err);
}

static int plan_command(const struct zl_health_check *check, struct health_plan *plan,
                        struct zl_error *err)
{
        plan->kind = ZL_PROBE_COMMAND;
        if (zl_strv_push(&plan->argv, "/bin/sh") < 0 || zl_strv_push(&plan->argv, "-c") < 0 ||
            zl_strv_push(&plan->argv, check->command) < 0)
                return zl_fail_oom(err);
        return 0;
}

static bool has_web_endpoint(const struct zl_service_spec *spec)
{
        for (size_t i = 0; i < spec->n_endpoints; i++)
                if (spec->endpoints[i].protocol == ZL_PROTOCOL_HTTP ||
                    spec->endpoints[i].protocol == ZL_PROTOCOL_HTTPS ||
                    spec->endpoints[i].protocol == ZL_PROTOCOL_WEBSOCKET)
                        return true;
        return false;
}

int zl_health_plan_make(const struct zl_service_spec *spec, struct health_plan *ret,
                        struct zl_error *err)
{
        const struct zl_health_spec *h = &spec->health;
        struct health_plan plan = {
                .wanted = true,
                .grace = h->has_start_grace ? h->start_grace : DEFAULT_GRACE,
                .interval = h->has_interval ? ZL_MAX(h->interval, MIN_INTERVAL) : DEFAULT_INTERVAL,
                .timeout = h->has_timeout ? ZL_MAX(h->timeout, MIN_INTERVAL) : DEFAULT_TIMEOUT,
                .retries = ZL_MAX(h->retries, 1U),
        };
        int r = 0;

        switch (h->check.type) {
        case ZL_HEALTH_TCP:
                plan.kind = ZL_PROBE_TCP;
                plan.ask_image = h->check.port == 0;
                plan.url.port = h->check.port ?: zl_spec_health_port(spec);
                plan.wanted = h->check.port != 0 || has_web_endpoint(spec);
                break;
        case ZL_HEALTH_HTTP:
                r = plan_http(&h->check, &plan, err);
                break;
        case ZL_HEALTH_COMMAND:
                r = plan_command(&h->check, &plan, err);
                break;
        }
        /* What runs once is judged by its end. */
        if (spec->rtype != ZL_RTYPE_SERVICE)
                plan.wanted = plan.ask_image = false;
        if (r < 0) {
                zl_health_plan_done(&plan);
                return r;
        }
        *ret = plan;
        return 0;
}

/* ---- the image's own check ------------------------------------------------------------------------------------ */

static void take_image_health(struct health_plan *plan, struct zl_image_health *image)
{
        if (!image->test)
                return;
        plan->wanted = true;
        plan->kind = ZL_PROBE_COMMAND;
        plan->argv = zl_take_ptr(image->test);
        /* Docker's defaults are for what the image leaves open. */
        plan->grace = image->start_period;
        plan->interval = image->interval > 0 ? image->interval : 30 * ZL_NSEC_PER_SEC;
        plan->timeout = image->timeout > 0 ? image->timeout : 30 * ZL_NSEC_PER_SEC;
        plan->retries = image->retries > 0 ? (uint32_t)ZL_MIN(image->retries, 1000) : 3;
}

static void on_asked(struct zl_op *op)
{
        struct revision *rev = op->owner;
        struct deployment *d = rev->d;
        struct zl_agent *agent = d->agent;

        agent->n_ops--;
        d->n_pulls--;
        rev->ask = NULL;
        rev->health.ask_image = false;
        /* An image that is gone, or a runtime without this, has no check to offer. */
        if (op->result >= 0)
                take_image_health(&rev->health, &op->health);
        for (size_t i = 0; i < d->n_replicas; i++)
                if (d->replicas[i]->rev == rev && d->replicas[i]->running_since > 0)
                        zl_health_begin(d->replicas[i]);
        d->dirty = true;
        zl_op_free(op);
        zl_revision_unref(rev);
        zl_agent_settle(agent);
}

static void ask_image(struct revision *rev)
{
        if (rev->ask)
                return;
        rev->ask = zl_op_new(ZL_OP_HEALTH, NULL);
        if (rev->ask)
                rev->ask->image = strdup(rev->spec->image.name);
        if (!rev->ask || !rev->ask->image || zl_replace_str(&rev->ask->pin, zl_pin_of(rev)) < 0) {
                /* Without memory nobody looks: that is what a service without a check gets, too. */
                zl_op_free(zl_take_ptr(rev->ask));
                rev->health.ask_image = false;
                return;
        }
        rev->d->n_pulls++;
        zl_agent_submit(rev->d->agent, rev->ask, zl_revision_ref(rev), on_asked);
}

/* ---- edges ------------------------------------------------------------------------------------------------------- */

static void tell(struct replica *r, enum zl_event_type type, const char *message)
{
        zl_agent_tell(r->d->agent,
                      (struct zl_event){ .type = type, .name = r->name, .message = message });
}

static void set_health(struct replica *r, enum zl_health health)
{
        if (r->health == health)
                return;
        r->health = health;
        r->dirty = true;
        r->d->dirty = true;
        zl_replica_save(r);
}

void zl_health_begin(struct replica *r)
{
        const struct health_plan *plan = &r->rev->health;

        if (r->probe || r->probe_at != INT64_MAX)
                zl_health_end(r);
        r->run++;
        r->was_well = false;
        r->probe_failures = r->n_probes = 0;
        if (plan->ask_image) {
                set_health(r, ZL_HEALTH_STARTING);
                ask_image(r->rev);
                return;
        }
        if (!plan->wanted) {
                set_health(r, ZL_HEALTH_NONE);
                return;
        }
        set_health(r, ZL_HEALTH_STARTING);
        r->probe_at = zl_agent_now(r->d->agent);
        r->dirty = true;
}

void zl_health_end(struct replica *r)
{
        struct zl_host *host = &r->d->agent->host;

        r->run++;
        r->probe_at = INT64_MAX;
        if (r->probe && !r->probe->cancelled)
                host->probe_cancel(host->data, r->probe);
        set_health(r, ZL_HEALTH_NONE);
}

/* ---- looking ------------------------------------------------------------------------------------------------------ */

/* 90 % … 110 %, so that what was started together is not looked at together for ever. */
static int64_t spread(struct replica *r, int64_t span)
{
        struct zl_host *host = &r->d->agent->host;

        return span / 100 * (int64_t)(90 + host->random(host->data) % 21);
}

/* A little later, when others are looked at, too: hundreds cost the machine less together than each at a moment of its own. */
static int64_t in_company(int64_t at, int64_t distance)
{
        int64_t grid = 1;

        while (grid <= distance / 64)
                grid *= 2;
        return (at + grid - 1) / grid * grid;
}

static int64_t doubled(int64_t span, uint32_t times, int64_t max)
{
        while (times-- > 0 && span < max)
                span *= 2;
        return ZL_MIN(span, max);
}

static bool in_grace(const struct replica *r)
{
        return r->health == ZL_HEALTH_STARTING &&
               zl_agent_now(r->d->agent) - r->running_since < r->rev->health.grace;
}

static void plan_next(struct replica *r)
{
        const struct health_plan *plan = &r->rev->health;
        int64_t distance = plan->interval;

        if (r->health == ZL_HEALTH_STARTING)
                distance = doubled(FIRST_DISTANCE, r->n_probes, plan->interval);
        else if (r->health == ZL_HEALTH_UNHEALTHY)
                distance = doubled(plan->interval, r->probe_failures - plan->retries,
                                   ZL_MAX(plan->interval, MAX_BACKOFF));
        if (r->health == ZL_HEALTH_STARTING && !in_grace(r))
                distance = plan->interval;
        r->probe_at = zl_agent_now(r->d->agent) + spread(r, distance);
        if (r->health == ZL_HEALTH_HEALTHY)
                r->probe_at = in_company(r->probe_at, distance);
}

static void on_success(struct replica *r)
{
        bool news = r->health != ZL_HEALTH_HEALTHY;

        r->probe_failures = 0;
        r->was_well = true;
        set_health(r, ZL_HEALTH_HEALTHY);
        if (news)
                tell(r, ZL_EVENT_HEALTHY, NULL);
}

static void on_failure(struct replica *r, const char *why)
{
        if (in_grace(r))
                return;
        if (r->probe_failures < UINT32_MAX)
                r->probe_failures++;
        if (r->probe_failures < r->rev->health.retries || r->health == ZL_HEALTH_UNHEALTHY)
                return;
        set_health(r, ZL_HEALTH_UNHEALTHY);
        tell(r, ZL_EVENT_UNHEALTHY, why);
        zl_replica_unhealthy(r, why);
}

static void on_probe(struct zl_probe *probe)
{
        struct replica *r = probe->owner;
        struct zl_agent *agent = r->d->agent;
        enum zl_health before = r->health;
        bool steady;

        agent->n_ops--;
        r->probe = NULL;
        if (probe->tag == r->run && !probe->cancelled) {
                r->n_probes++;
                if (probe->result >= 0)
                        on_success(r);
                else
                        on_failure(r, zl_error_message(&probe->error));
                if (probe->tag == r->run)
                        plan_next(r);
        }
        /* Once more the same of one that runs on is no news to anybody; there may be hundreds. */
        steady = probe->tag == r->run && !probe->cancelled && r->health == before &&
                 r->goal == ZL_GOAL_RUN && r->phase == ZL_PHASE_RUNNING;
        zl_probe_free(probe);
        zl_revision_unref(zl_take_ptr(r->probing));
        if (steady) {
                zl_agent_arm_by(agent, r->probe_at);
                return;
        }
        r->dirty = r->d->dirty = true;
        zl_agent_settle(agent);
}

bool zl_health_step(struct replica *r)
{
        struct zl_agent *agent = r->d->agent;
        const struct health_plan *plan;
        struct zl_probe *probe;

        if (r->probe_at > zl_agent_now(agent) || r->probe || !r->rev)
                return false;
        plan = &r->rev->health;
        /* A paused one cannot answer, and one that is told to stop need not. */
        if (r->state != ZL_STATE_RUNNING || r->goal != ZL_GOAL_RUN || r->sick || r->again_stop) {
                plan_next(r);
                return false;
        }
        r->probe_at = INT64_MAX;
        probe = zl_probe_new(plan->kind, r->name);
        if (!probe) {
                plan_next(r);
                return false;
        }
        probe->host = plan->url.host;
        probe->port = plan->url.port;
        probe->path = plan->url.path;
        probe->authority = plan->url.authority;
        probe->tls = plan->url.tls;
        probe->expect_status = plan->expect_status;
        probe->argv = plan->argv;
        probe->timeout = plan->timeout;
        probe->done = on_probe;
        probe->owner = r;
        probe->agent = agent;
        probe->tag = r->run;
        r->probe = probe;
        r->probing = zl_revision_ref(r->rev);
        agent->n_ops++;
        agent->host.probe(agent->host.data, probe);
        return true;
}
