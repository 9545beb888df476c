/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See why.h. A cause is followed to its own cause: a service that waits leads to the replicas of what it waits for, these to
 * their last end, their failed check, their image. Each service is told once, so a long chain stays readable and a
 * shared root is not repeated.
 */
#include "agent/why.h"

#include <stdarg.h>

#include "agent/core.h"
#include "base/strv.h"

struct chain {
        const struct deployment *d;
        char **lines;
        bool *told; /* per service */
        bool no_memory;
};

static void say(struct chain *c, const char *fmt, ...) ZL_PRINTF(2, 3);
static void say(struct chain *c, const char *fmt, ...)
{
        char *line = NULL;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&line, fmt, ap) < 0)
                line = NULL;
        va_end(ap);
        if (!line || zl_strv_push_take(&c->lines, line) < 0)
                c->no_memory = true;
}

/* ---- one replica ---------------------------------------------------------------------------------------------- */

static double seconds_until(const struct replica *r, int64_t at)
{
        return (double)ZL_MAX(at - zl_agent_now(r->d->agent), 0) / 1e9;
}

static void say_running(struct chain *c, const struct replica *r)
{
        if (r->state == ZL_STATE_PAUSED)
                say(c, "%s is paused", r->name);
        else if (r->sick)
                say(c, "%s is unhealthy and is being stopped, to be started again", r->name);
        else if (r->health == ZL_HEALTH_STARTING)
                say(c, "%s runs, but its health check has not succeeded yet (%u tries)", r->name,
                    r->n_probes);
        else if (r->health == ZL_HEALTH_UNHEALTHY)
                say(c, "%s runs, but is unhealthy after %u failed checks", r->name,
                    r->probe_failures);
        else
                say(c, "%s runs%s", r->name,
                    r->health == ZL_HEALTH_HEALTHY ? " and is healthy" : "");
}

static void say_backoff(struct chain *c, const struct replica *r)
{
        const char *how = r->history.loops > 0 ? "crashes again and again; it is" : "is";

        say(c, "%s %s started again in %.1f s (restart %u)", r->name, how,
            seconds_until(r, r->deadline), r->history.total);
}

static void say_initializing(struct chain *c, const struct replica *r)
{
        const struct init_plan *plan = &r->rev->init;

        if (r->init.step < plan->n)
                say(c, "%s is not started yet: its init step \"%s\" (%zu of %zu) is not done",
                    r->name, plan->steps[r->init.step].id, r->init.step + 1, plan->n);
}

static void say_failed(struct chain *c, const struct replica *r)
{
        const struct zl_restart_rule *rule = r->rev ? &r->rev->rule : NULL;

        if (r->end_failed)
                say(c, "%s cannot be stopped or removed", r->name);
        else if (!rule)
                say(c, "%s has failed", r->name);
        else if (rule->panic == ZL_PANIC_SHUTDOWN)
                say(c,
                    "%s has failed, and with it its whole service is stopped (on_panic: shutdown)",
                    r->name);
        else if (rule->kind == ZL_RESTART_NO)
                say(c, "%s has failed, and its restart policy is \"no\"", r->name);
        else if (rule->max_attempts > 0 && r->history.consecutive >= rule->max_attempts)
                say(c,
                    "%s has failed and was started again %u times, as often as max_attempts says",
                    r->name, rule->max_attempts);
        else
                say(c, "%s has failed and is not started again", r->name);
}

static void say_replica(struct chain *c, const struct replica *r)
{
        switch (r->phase) {
        case ZL_PHASE_WAITING:
                say(c, "%s is about to be made", r->name);
                break;
        case ZL_PHASE_PULLING:
                say(c, "%s waits for its image %s, which is being fetched", r->name,
                    r->rev->spec->image.name);
                break;
        case ZL_PHASE_CREATING:
        case ZL_PHASE_STARTING:
                say(c, "%s is being %s", r->name,
                    r->phase == ZL_PHASE_CREATING ? "created" : "started");
                break;
        case ZL_PHASE_INITIALIZING:
                say_initializing(c, r);
                break;
        case ZL_PHASE_RUNNING:
                say_running(c, r);
                break;
        case ZL_PHASE_BACKOFF:
                say_backoff(c, r);
                break;
        case ZL_PHASE_STOPPING:
        case ZL_PHASE_REMOVING:
                say(c, "%s is being %s", r->name,
                    r->phase == ZL_PHASE_STOPPING ? "stopped" : "removed");
                break;
        case ZL_PHASE_STOPPED:
                say(c, "%s was stopped on request and stays so until the next up", r->name);
                break;
        case ZL_PHASE_COMPLETED:
                say(c, "%s has ended well and need not run again", r->name);
                break;
        case ZL_PHASE_FAILED:
                say_failed(c, r);
                break;
        case ZL_PHASE_ISOLATED:
                say(c, "%s has failed and is left as it is (on_panic: isolate)", r->name);
                break;
        case ZL_PHASE_GONE:
                say(c, "%s has been removed", r->name);
                break;
        }
        if (r->reason && !(r->phase == ZL_PHASE_RUNNING && r->health <= ZL_HEALTH_HEALTHY &&
                           r->health != ZL_HEALTH_STARTING))
                say(c, "%s: %s", r->name, r->reason);
}

/* ---- a service -------------------------------------------------------------------------------------------------- */

static void say_service(struct chain *c, size_t index);

static bool satisfies(const struct replica *r, enum zl_need need)
{
        if (need == ZL_NEED_COMPLETED)
                return r->completed;
        return need == ZL_NEED_AVAILABLE ? zl_replica_is_available(r) : r->has_started;
}

static void say_dependency(struct chain *c, const struct service *s, const struct dependency *dep)
{
        static const char *const needs[] = {
                [ZL_NEED_STARTED] = "started",
                [ZL_NEED_AVAILABLE] = "healthy",
                [ZL_NEED_COMPLETED] = "done",
        };
        const struct service *target = c->d->services.items[dep->target];
        uint32_t n = 0;

        for (size_t i = 0; i < c->d->n_replicas; i++)
                n += c->d->replicas[i]->service == target &&
                     satisfies(c->d->replicas[i], dep->need);
        if (dep->dropped || n >= target->desired)
                return;
        say(c, "%s.%s %s: of the service %s %u of %u replicas are %s", c->d->name, s->name,
            dep->given_up ? "was given up" : "waits", target->name, n, target->desired,
            needs[dep->need]);
        say_service(c, dep->target);
}

static void say_rollout(struct chain *c, const struct service *s)
{
        uint32_t n_new = 0;

        for (size_t i = 0; i < c->d->n_replicas; i++)
                n_new += c->d->replicas[i]->service == s &&
                         zl_replica_is_current(c->d->replicas[i]);
        if (!s->rev->pulled && n_new == 0)
                say(c, "%s.%s is to be replaced: its new image %s is being fetched", c->d->name,
                    s->name, s->rev->spec->image.name);
        else
                say(c, "%s.%s is being replaced: %u of %u replicas are of the new version",
                    c->d->name, s->name, n_new, s->desired);
}

static void say_service(struct chain *c, size_t index)
{
        const struct service *s = c->d->services.items[index];
        uint32_t n = 0;

        if (c->told[index])
                return;
        c->told[index] = true;
        if (s->desired == 0)
                say(c, "%s.%s: %s", c->d->name, s->name,
                    s->rev->spec->rtype == ZL_RTYPE_CRON ? "it runs by its schedule"
                                                         : "no replica of it is wished");
        if (s->fallback)
                say_rollout(c, s);
        for (size_t i = 0; i < c->d->n_replicas; i++)
                if (c->d->replicas[i]->service == s) {
                        say_replica(c, c->d->replicas[i]);
                        n++;
                }
        for (size_t k = 0; k < s->n_depends && n < s->desired; k++)
                say_dependency(c, s, &s->depends[k]);
}

/* ---- a deployment ------------------------------------------------------------------------------------------------- */

static void say_deployment(struct chain *c)
{
        static const char *const phases[] = {
                [ZL_DEPLOYMENT_UNKNOWN] = "is unknown",
                [ZL_DEPLOYMENT_STARTING] = "is starting",
                [ZL_DEPLOYMENT_STARTED] = "is up",
                [ZL_DEPLOYMENT_FAILED] = "could not be started",
                [ZL_DEPLOYMENT_FINISHED] = "has ended: nothing of it needs to run any more",
                [ZL_DEPLOYMENT_STOPPING] = "is being stopped",
                [ZL_DEPLOYMENT_STOPPED] = "is stopped",
        };

        say(c, "deployment %s %s", c->d->name, phases[c->d->phase]);
        if (c->d->failure)
                say(c, "%s", zl_error_message(c->d->failure));
        for (size_t i = 0; i < c->d->services.n; i++)
                say_service(c, i);
}

static int fail_unknown(const char *name, struct zl_error *err)
{
        return zl_fail(err, ZL_E_NOT_FOUND, 0, "nothing called \"%s\" is looked after", name);
}

static int explain(struct chain *c, const char *rest)
{
        const char *number = rest ? strchr(rest, '.') : NULL;
        size_t len = number ? (size_t)(number - rest) : rest ? strlen(rest) : 0;

        if (!rest) {
                say_deployment(c);
                return 0;
        }
        for (size_t i = 0; number && i < c->d->n_replicas; i++)
                if (zl_streq(c->d->replicas[i]->name + strlen(c->d->name) + 1, rest)) {
                        say_replica(c, c->d->replicas[i]);
                        return 0;
                }
        for (size_t i = 0; i < c->d->services.n; i++)
                if (strlen(c->d->services.items[i]->name) == len &&
                    memcmp(c->d->services.items[i]->name, rest, len) == 0) {
                        say_service(c, i);
                        return 0;
                }
        return -ENOENT;
}

int zl_agent_why(const struct zl_agent *agent, const char *name, char ***ret, struct zl_error *err)
{
        const char *dot = strchr(name, '.');
        _cleanup_free_ char *deployment = dot ? strndup(name, (size_t)(dot - name)) : strdup(name);
        _cleanup_free_ bool *told = NULL;
        struct chain c = { 0 };
        int r;

        if (!deployment)
                return zl_fail_oom(err);
        c.d = zl_agent_find(agent, deployment);
        if (!c.d)
                return fail_unknown(name, err);
        c.told = told = calloc(c.d->services.n + 1, sizeof(bool));
        if (!told)
                return zl_fail_oom(err);
        r = explain(&c, dot ? dot + 1 : NULL);
        if (r < 0 || c.no_memory) {
                zl_strv_free(c.lines);
                return r < 0 ? fail_unknown(name, err) : zl_fail_oom(err);
        }
        *ret = c.lines;
        return 0;
}
