/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adaptive services: every ten seconds the figures of all replicas are fetched, and with those of the round before it is
 * decided (autoscale.c) whether there should be more or fewer. The rest is reconciliation, as if somebody had scaled by hand.
 *
 * During a rollout nothing is scaled: new replicas that are still warming up say little about how many are needed.
 */
#include "agent/core.h"

static bool is_wanted(const struct service *s)
{
        return zl_autoscale_is_wanted(&s->rev->spec->scale) && s->desired > 0 && !s->fallback;
}

static bool is_at_work(const struct deployment *d)
{
        return d->phase == ZL_DEPLOYMENT_STARTED;
}

/* ---- figures ----------------------------------------------------------------------------------------------- */

static void take_figures(struct replica *r, const struct zl_stats *now)
{
        struct measure *m = &r->measure;
        int64_t span = now->time - m->time;

        m->usage = (struct zl_usage){ 0 };
        /* A counter that went back is that of a new container. */
        if (m->time > 0 && span > 0 && now->cpu_usec >= m->cpu_usec) {
                double cores = (double)(now->cpu_usec - m->cpu_usec) * 1000 / (double)span;

                m->usage.has_cpu = true;
                m->usage.cpu = 100 * cores / (now->cpu_limit > 0 ? now->cpu_limit : 1);
        }
        if (now->memory_limit > 0 && now->memory_limit != UINT64_MAX) {
                m->usage.has_memory = true;
                m->usage.memory = 100 * (double)now->memory_bytes / (double)now->memory_limit;
        }
        m->time = now->time;
        m->cpu_usec = now->cpu_usec;
}

static void on_stats(struct zl_op *op)
{
        struct replica *r = op->owner;
        struct zl_agent *agent = r->d->agent;

        agent->n_ops--;
        r->measure.op = NULL;
        if (op->result >= 0)
                take_figures(r, &op->stats);
        else
                r->measure.usage = (struct zl_usage){ 0 };
        r->dirty = true;
        r->d->dirty = true;
        zl_op_free(op);
        zl_agent_settle(agent);
}

static void measure(struct replica *r)
{
        if (r->measure.op || !zl_replica_is_available(r))
                return;
        r->measure.op = zl_op_new(ZL_OP_STATS, r->name);
        if (r->measure.op)
                zl_agent_submit(r->d->agent, r->measure.op, r, on_stats);
}

/* The mean over those that work. */
static struct zl_usage collect(const struct service *s)
{
        const struct deployment *d = s->d;
        struct zl_usage sum = { 0 };
        unsigned n_cpu = 0, n_memory = 0;

        for (size_t i = 0; i < d->n_replicas; i++) {
                const struct replica *r = d->replicas[i];

                if (r->service != s || !zl_replica_is_available(r))
                        continue;
                n_cpu += r->measure.usage.has_cpu;
                n_memory += r->measure.usage.has_memory;
                sum.cpu += r->measure.usage.cpu;
                sum.memory += r->measure.usage.memory;
        }
        return (struct zl_usage){
                .has_cpu = n_cpu > 0,
                .has_memory = n_memory > 0,
                .cpu = n_cpu ? sum.cpu / n_cpu : 0,
                .memory = n_memory ? sum.memory / n_memory : 0,
        };
}

/* ---- the step ------------------------------------------------------------------------------------------------- */

static bool scale(struct service *s)
{
        struct zl_usage usage = collect(s);
        uint32_t n = zl_autoscale_decide(&s->autoscale, &s->rev->spec->scale, &usage, s->desired,
                                         zl_agent_now(s->d->agent));
        char full[ZL_IDENT_NAME_MAX];

        if (n == s->desired)
                return false;
        zl_agent_tellf(
                s->d->agent,
                (struct zl_event){ .type = ZL_EVENT_SCALED, .name = zl_service_full_name(s, full) },
                "from %u to %u replicas: processor %.0f %%, memory %.0f %%", s->desired, n,
                usage.cpu, usage.memory);
        s->desired = n;
        return true;
}

bool zl_scaler_step(struct deployment *d)
{
        int64_t now = zl_agent_now(d->agent);
        bool moved = false;

        for (size_t i = 0; is_at_work(d) && i < d->services.n; i++) {
                struct service *s = d->services.items[i];

                if (!is_wanted(s) || s->measure_at > now)
                        continue;
                s->measure_at = now + ZL_AUTOSCALE_INTERVAL;
                moved |= scale(s);
                for (size_t k = 0; k < d->n_replicas; k++)
                        if (d->replicas[k]->service == s)
                                measure(d->replicas[k]);
        }
        return moved;
}

int64_t zl_scaler_deadline(const struct deployment *d)
{
        int64_t deadline = INT64_MAX;

        for (size_t i = 0; is_at_work(d) && i < d->services.n; i++)
                if (is_wanted(d->services.items[i]))
                        deadline = ZL_MIN(deadline, d->services.items[i]->measure_at);
        return deadline;
}
