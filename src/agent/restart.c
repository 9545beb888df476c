/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting and restarting a replica by hand. Both are one flag of its machine (`again`): what ends with it set is started again and not
 * judged. So the stop of a restart and the news of its end may come in any order, and nobody mistakes it for a wish that the workload
 * stay down.
 *
 * What may go wrong: it cannot be stopped, then it goes on as it was; it cannot be started, which is judged like any failed start.
 */
#include "agent/core.h"
#include "base/parse.h"
#include "base/strv.h"

int zl_agent_check_start(const struct zl_service_spec *service, const char *name,
                         struct zl_error *err)
{
        int r;

        if (service->rtype == ZL_RTYPE_SERVICE)
                return 0;
        r = zl_fail(err, ZL_E_STATE, 0, "%s is an execution of a job", name);
        zl_error_hint(err, "zlayer-agent job run begins another");
        return r;
}

static int refuse(const struct replica *r, struct zl_error *err)
{
        if (r->goal != ZL_GOAL_RUN || !r->service || r->spent)
                return zl_fail(err, ZL_E_STATE, 0, "%s is on its way out", r->name);
        return 0;
}

static struct replica *find_replica(const struct deployment *d, const char *name)
{
        for (size_t i = 0; i < d->n_replicas; i++)
                if (zl_streq(d->replicas[i]->name, name))
                        return d->replicas[i];
        return NULL;
}

static bool is_alive(const struct replica *r)
{
        return r->exists && zl_state_is_alive(r->state) && r->state != ZL_STATE_PENDING;
}

static void start(struct replica *r, const struct zl_agent_start_options *o)
{
        if (is_alive(r) && !o->restart)
                return;
        r->history = (struct zl_restart_history){ .total = r->history.total };
        r->sick = false;
        if (is_alive(r)) {
                r->again = r->again_stop = true;
                r->again_grace = o->grace;
                r->dirty = r->d->dirty = true;
        } else if (zl_replica_is_terminal(r) || r->phase == ZL_PHASE_BACKOFF) {
                zl_replica_again(r);
        }
        /* Else it is being started already. */
}

int zl_agent_start(struct zl_agent *agent, const char *name,
                   const struct zl_agent_start_options *options, struct zl_error *err)
{
        const struct service *service;
        struct deployment *d;
        struct replica *r;
        struct zl_ident id;
        int e;

        if (zl_ident_parse(name, &id) < 0)
                return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is no name of a replica", name);
        d = zl_agent_find(agent, id.deployment);
        if (!d || d->phase == ZL_DEPLOYMENT_STOPPED)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "deployment %s is not up", id.deployment);
        if (d->phase == ZL_DEPLOYMENT_STOPPING || d->phase == ZL_DEPLOYMENT_FAILED)
                return zl_fail(err, ZL_E_STATE, 0, "deployment %s is being stopped", id.deployment);
        service = zl_services_find(&d->services, id.service);
        if (!service)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "deployment %s has no service %s",
                               id.deployment, id.service);
        e = zl_agent_check_start(service->rev->spec, name, err);
        if (e < 0)
                return e;
        if (!d->listed)
                return zl_strv_push(&d->wanted, name) < 0 ? zl_fail_oom(err) : 0;
        r = find_replica(d, name);
        if (!r)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "deployment %s has no replica %s",
                               id.deployment, name);
        e = refuse(r, err);
        if (e >= 0)
                e = zl_deployment_wake(d, err);
        if (e < 0)
                return e;
        start(r, options);
        zl_agent_settle(agent);
        return 0;
}

int zl_agent_start_request(struct zl_agent *agent, const char *line, struct zl_error *err)
{
        struct zl_agent_start_options options = { .grace = -1 };
        const char *rest = zl_startswith(line, "start "), *blank = NULL;
        char name[ZL_IDENT_NAME_MAX];
        int r;

        if (!rest) {
                rest = zl_startswith(line, "restart ");
                options.restart = true;
                blank = rest ? strchr(rest, ' ') : NULL;
        }
        if (!rest)
                return 0;
        if ((options.restart && (!blank || zl_parse_i64(blank + 1, &options.grace) < 0)) ||
            strlen(rest) >= sizeof(name))
                return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is no request", line);
        snprintf(name, sizeof(name), "%.*s", blank ? (int)(blank - rest) : (int)strlen(rest), rest);
        r = zl_agent_start(agent, name, &options, err);
        return r < 0 ? r : 1;
}
