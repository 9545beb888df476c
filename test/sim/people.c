/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people do (bring up, change, scale, stop, pause, remove behind the agent's back), what workloads do (end, crash, are
 * lost), and whether, in the end, all is as it was wished.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/ident.h"
#include "sim/world.h"
#include "spec/spec.h"

/* ---- wishes ---------------------------------------------------------------------------------------------------- */

static void write_service(struct world *w, struct zl_buf *text, unsigned number)
{
        static const char *const policies[] = {
                "", "    restart_policy: {kind: always}\n",
                "    restart_policy: {kind: unless_stopped, delay: 1s}\n",
                "    restart_policy: {kind: on_failure, delay: 200ms}\n"
        };

        unsigned image = (unsigned)(world_random(w) % 3);

        zl_buf_putf(text, "  s%u:\n    image: {name: 'image:%u'%s}\n", number, image,
                    tags_policy(w));
        zl_buf_putf(text, "    scale: {mode: fixed, replicas: %u}\n",
                    (unsigned)(world_random(w) % 4));
        if (world_random(w) % 2)
                zl_buf_putf(text, "    env: {VERSION: 'v%u'}\n", (unsigned)(world_random(w) % 3));
        zl_buf_puts(text, policies[world_random(w) % ZL_ARRAY_SIZE(policies)]);
        if (world_random(w) % 3 == 0)
                zl_buf_puts(text,
                            "    health: {start_grace: 2s, interval: 3s, timeout: 1s, retries: 2,"
                            " check: {type: tcp, port: 80}}\n");
        if (world_random(w) % 5 == 0)
                zl_buf_puts(text, "    errors: {on_init_failure: {action: backoff}}\n"
                                  "    init: {steps: [{id: a, uses: init.run, retry: 3,"
                                  " with: {command: x}}]}\n");
        if (number > 0 && world_random(w) % 2)
                zl_buf_putf(text, "    depends: [{service: s%u, condition: %s, timeout: 1h}]\n",
                            (unsigned)(world_random(w) % number),
                            world_random(w) % 2 ? "started" : "healthy");
}

static struct zl_deployment_spec *make_spec(struct world *w, size_t d)
{
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(65536);
        struct zl_deployment_spec *spec = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        unsigned n = 1 + (unsigned)(world_random(w) % 3);

        zl_buf_putf(&text, "version: v1\ndeployment: %s\nservices:\n", world_deployment(d));
        for (unsigned i = 0; i < n; i++)
                write_service(w, &text, i);
        jobs_write(w, &text);
        if (zl_spec_load_text(text.data, text.len, &spec, NULL, &err) < 0)
                world_fail(w, "bad spec: %s\n%s", zl_error_message(&err), text.data);
        return spec;
}

static struct zl_deployment_spec *stored_spec(struct world *w, size_t d)
{
        struct zl_deployment_spec *spec = NULL;
        struct zl_error err = ZL_ERROR_INIT;

        if (!w->specs[d])
                return make_spec(w, d);
        if (zl_spec_load_text(w->specs[d], strlen(w->specs[d]), &spec, NULL, &err) < 0)
                world_fail(w, "the stored spec cannot be read: %s", zl_error_message(&err));
        return spec;
}

/* A wish that is refused (the disk is full) was never made. */
static void refused(struct world *w, const char *what, struct zl_deployment_spec *spec,
                    struct zl_error *err)
{
        world_note(w, "%s is refused: %s", what, zl_error_message(err));
        zl_error_done(err);
        zl_spec_free(spec);
}

static void bring_up(struct world *w, size_t d)
{
        struct zl_deployment_spec *spec = stored_spec(w, d);
        struct zl_error err = ZL_ERROR_INIT;

        static const enum zl_begin begins[] = { [ZL_CARE_NONE] = ZL_BEGIN_ANEW,
                                                [ZL_CARE_NOW] = ZL_BEGIN_RETURN,
                                                [ZL_CARE_NEXT_START] = ZL_BEGIN_REVIVE };

        world_note(w, "people: up %s (%d)", world_deployment(d), begins[w->care[d]]);
        if (w->care[d] == ZL_CARE_NONE)
                tags_asked(w, world_deployment(d));
        if (zl_agent_up(w->agent, spec, begins[w->care[d]], &err) < 0)
                refused(w, "up", spec, &err);
}

void people_bring_up(struct world *w)
{
        for (size_t d = 0; d < WORLD_DEPLOYMENTS; d++) {
                enum zl_deployment_phase phase = zl_agent_phase(w->agent, world_deployment(d));
                struct zl_agent_stop_options stop = { .remove = true };

                if (phase == ZL_DEPLOYMENT_UNKNOWN)
                        bring_up(w, d);
                else if (phase == ZL_DEPLOYMENT_FAILED)
                        zl_agent_stop(w->agent, world_deployment(d), NULL, &stop, NULL);
                else if (phase == ZL_DEPLOYMENT_STOPPED)
                        zl_agent_forget(w->agent, world_deployment(d));
        }
}

static void change(struct world *w, size_t d)
{
        struct zl_deployment_spec *spec = make_spec(w, d);
        struct zl_error err = ZL_ERROR_INIT;

        world_note(w, "people: update %s", world_deployment(d));
        tags_asked(w, world_deployment(d));
        if (zl_agent_update(w->agent, spec, &err) < 0)
                refused(w, "update", spec, &err);
}

static void scale(struct world *w, size_t d)
{
        char service[8];
        struct zl_error err = ZL_ERROR_INIT;
        unsigned n = (unsigned)(world_random(w) % 5);

        snprintf(service, sizeof(service), "s%u", (unsigned)(world_random(w) % 3));
        world_note(w, "people: scale %s.%s to %u", world_deployment(d), service, n);
        if (zl_agent_scale(w->agent, world_deployment(d), service, n, &err) < 0)
                refused(w, "scale", NULL, &err);
}

static void stop(struct world *w, size_t d)
{
        struct zl_agent_stop_options options = { .remove = world_random(w) % 2 };

        if (zl_agent_phase(w->agent, world_deployment(d)) == ZL_DEPLOYMENT_UNKNOWN)
                return;
        world_note(w, "people: stop %s", world_deployment(d));
        zl_agent_stop(w->agent, world_deployment(d), NULL, &options, NULL);
}

/* ---- what happens to workloads ------------------------------------------------------------------------------------ */

static void hit_one(struct world *w, const char *name)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        unsigned what = (unsigned)(world_random(w) % 100);
        int r;

        if (what < 60)
                r = zl_mock_exit(w->rt, name, what % 3 ? 1 : 0, what % 7 ? 0 : 9, what % 5 == 0,
                                 &err);
        else if (what < 75)
                r = zl_mock_lose(w->rt, name, "its monitor was killed", &err);
        else if (what < 90)
                r = zl_runtime_pause(w->rt, name, what % 2, &err);
        else if (what < 95)
                r = zl_runtime_stop(w->rt, name, 0, &err);
        else
                r = zl_runtime_remove(w->rt, name, true, &err);
        /* What became of a job by force is not told by a code. */
        if (r >= 0 && jobs_owns(name))
                jobs_ended(w, name, what >= 60 ? -1 : what % 7 ? what % 3 ? 1 : 0 : 128 + 9);
        world_note(w, "world: %s of %s: %d",
                   what < 60   ? "end"
                   : what < 75 ? "loss"
                   : what < 90 ? "pause"
                   : what < 95 ? "stop by hand"
                               : "removal by hand",
                   name, r);
}

static void hit_some(struct world *w)
{
        struct zl_status *list = NULL;
        size_t n = 0;

        if (zl_runtime_list(w->rt, &list, &n, NULL) < 0)
                return;
        if (n > 0)
                hit_one(w, list[world_random(w) % n].name);
        for (size_t i = 0; i < n; i++)
                zl_status_done(&list[i]);
        free(list);
}

/* By hand, whatever it does just now; the agent may refuse. */
static void start_one(struct world *w, const char *name)
{
        const struct zl_agent_start_options options = { .restart = world_random(w) % 2,
                                                        .grace = 0 };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        int r;

        world_forgive(w, name); /* before, for it may begin at once */
        r = zl_agent_start(w->agent, name, &options, &err);
        if (r >= 0 && jobs_owns(name))
                world_fail(w, "%s is an execution of a job and was started by hand", name);
        world_note(w, "people: %s %s: %d", options.restart ? "restart" : "start", name, r);
}

static void start_some(struct world *w)
{
        struct zl_status *list = NULL;
        size_t n = 0;

        if (zl_runtime_list(w->rt, &list, &n, NULL) < 0)
                return;
        if (n > 0)
                start_one(w, list[world_random(w) % n].name);
        for (size_t i = 0; i < n; i++)
                zl_status_done(&list[i]);
        free(list);
}

void people_act(struct world *w)
{
        size_t d = world_random(w) % WORLD_DEPLOYMENTS;
        unsigned what = (unsigned)(world_random(w) % 100);

        people_bring_up(w);
        if (w->calm)
                return;
        if (what < 70)
                hit_some(w);
        else if (what < 80)
                change(w, d);
        else if (what < 90)
                scale(w, d);
        else if (what < 93)
                stop(w, d);
        else if (what < 97)
                start_some(w);
        for (unsigned i = (unsigned)(world_random(w) % 3); i > 0; i--)
                jobs_act(w, world_deployment(d));
        tags_act(w, world_deployment(d));
        world_push(w, w->now + world_delay(w, 60 * ZL_NSEC_PER_SEC), ACT, NULL);
        if (what >= 97)
                world_crash(w, what == 99);
}

/* ---- the end ----------------------------------------------------------------------------------------------------------- */

/* Those for whom it is right not to run. */
static bool is_excused(struct world *w, const char *name)
{
        static const char *const ends[] = { "completed", "exited", "failed", "isolated",
                                            "shutdown" };
        const char *last = zl_map_get(w->last, name);

        for (size_t i = 0; last && i < ZL_ARRAY_SIZE(ends); i++)
                if (strcmp(last, ends[i]) == 0)
                        return true;
        return false;
}

static void check_service(struct world *w, const char *deployment,
                          const struct zl_service_entry *entry)
{
        char prefix[ZL_IDENT_NAME_MAX];
        struct zl_status *list = NULL;
        size_t n = 0, n_there = 0, n_right = 0, len;
        bool excused;

        len = (size_t)snprintf(prefix, sizeof(prefix), "%s.%s", deployment, entry->name);
        /* It was told that it is not started, because of what it depends on. */
        excused = is_excused(w, prefix);
        len += (size_t)snprintf(prefix + len, sizeof(prefix) - len, ".");
        if (zl_runtime_list(w->rt, &list, &n, NULL) < 0)
                abort();
        tags_check(w, list, n, prefix);
        for (size_t i = 0; i < n; i++) {
                bool ours = strncmp(list[i].name, prefix, len) == 0;

                /* Faults have ceased, so every check succeeds. */
                if (ours && list[i].state == ZL_STATE_RUNNING &&
                    !zl_mock_is_ready(w->rt, list[i].name))
                        world_fail(w, "%s runs and gets no traffic", list[i].name);
                n_there += ours;
                n_right += ours &&
                           (list[i].state == ZL_STATE_RUNNING || list[i].state == ZL_STATE_PAUSED ||
                            is_excused(w, list[i].name));
                zl_status_done(&list[i]);
        }
        free(list);
        if (n_there > entry->spec->scale.replicas)
                world_fail(w, "%s%u are wished, %zu are there", prefix, entry->spec->scale.replicas,
                           n_there);
        /* One that was removed by hand stays away. */
        for (uint32_t i = 1; i <= 16 && n_right < entry->spec->scale.replicas; i++) {
                char name[ZL_IDENT_NAME_MAX];
                struct zl_status status = { 0 };

                snprintf(name, sizeof(name), "%s%u", prefix, i);
                if (zl_runtime_state(w->rt, name, &status, NULL) < 0)
                        n_right += zl_map_has(w->last, name);
                else
                        zl_status_done(&status);
        }
        if (n_right < entry->spec->scale.replicas && !excused)
                world_fail(w, "%s%u are wished, %zu are right", prefix, entry->spec->scale.replicas,
                           n_right);
}

void people_check_wishes(struct world *w)
{
        for (size_t d = 0; d < WORLD_DEPLOYMENTS; d++) {
                enum zl_deployment_phase phase = zl_agent_phase(w->agent, world_deployment(d));
                struct zl_deployment_spec *spec;

                if (phase != ZL_DEPLOYMENT_STARTED && phase != ZL_DEPLOYMENT_FINISHED)
                        world_fail(w, "%s has come to phase %d: %s", world_deployment(d), phase,
                                   zl_agent_failure(w->agent, world_deployment(d))
                                           ? zl_error_message(zl_agent_failure(w->agent,
                                                                               world_deployment(d)))
                                           : "");
                spec = stored_spec(w, d);
                for (size_t i = 0; i < spec->n_services; i++)
                        if (spec->services[i].spec->rtype == ZL_RTYPE_SERVICE)
                                check_service(w, world_deployment(d), &spec->services[i]);
                zl_spec_free(spec);
        }
        jobs_check_promises(w);
}

/* ---- stopped by hand, and then another agent --------------------------------------------------------------------------- */

static bool is_stopped(struct world *w, const char *name)
{
        struct zl_status status = { 0 };
        bool stopped;

        if (zl_runtime_state(w->rt, name, &status, NULL) < 0)
                return false;
        stopped = status.state == ZL_STATE_EXITED && status.stop_requested;
        zl_status_done(&status);
        return stopped;
}

static void pass(struct world *w, int64_t span)
{
        int64_t until = w->now + span;

        while (world_step(w, until))
                ;
        w->now = until;
}

/* Whether this one has the policy `always`; false also for all that is no service any more. */
static bool is_always(struct world *w, const char *name, bool *ret_is_service)
{
        const struct zl_service_spec *service = NULL;
        bool always = false;
        struct zl_ident id;

        *ret_is_service = false;
        if (zl_ident_parse(name, &id) < 0)
                return false;
        for (size_t d = 0; d < WORLD_DEPLOYMENTS; d++) {
                struct zl_deployment_spec *spec;

                if (strcmp(id.deployment, world_deployment(d)) != 0)
                        continue;
                spec = stored_spec(w, d);
                service = zl_spec_get_service(spec, id.service);
                *ret_is_service = service && service->rtype == ZL_RTYPE_SERVICE &&
                                  w->care[d] != ZL_CARE_NONE;
                always = service && service->restart_policy &&
                         service->restart_policy->kind == ZL_RESTART_ALWAYS;
                zl_spec_free(spec);
        }
        return always;
}

/* As runtimes do it that stop what runs; who has ended is left. */
static void stop_half(struct world *w)
{
        struct zl_status *list = NULL;
        size_t n = 0;

        if (zl_runtime_list(w->rt, &list, &n, NULL) < 0)
                abort();
        for (size_t i = 0; i < n; i++) {
                bool is_service;

                (void)is_always(w, list[i].name, &is_service);
                if (is_service && list[i].state == ZL_STATE_RUNNING && world_random(w) % 4) {
                        world_note(w, "people: stop %s", list[i].name);
                        zl_runtime_stop(w->rt, list[i].name, 0, NULL);
                }
                zl_status_done(&list[i]);
        }
        free(list);
        world_wake_watches(w);
}

/* With the power it may be lost what a replica was made from: then it is made anew, whatever it was. If one that comes back depends on one that
 * stays down the start of the deployment fails, and nothing more is started. */
static void check_return(struct world *w, const char *name, bool power)
{
        bool is_service, always = is_always(w, name, &is_service);
        struct zl_ident id;

        if (zl_ident_parse(name, &id) == 0 &&
            zl_agent_phase(w->agent, id.deployment) == ZL_DEPLOYMENT_FAILED)
                return;
        if (is_service && always == is_stopped(w, name) && (always || !power))
                world_fail(w, "%s was stopped by hand, and %s", name,
                           always ? "does not come back though it is always to run"
                                  : "comes back with the next agent");
}

void people_check_returns(struct world *w, int64_t span)
{
        _cleanup_strv_ char **stopped = NULL;
        struct zl_status *list = NULL;
        bool power = world_random(w) % 2;
        size_t n = 0;

        stop_half(w);
        /* Either all is told before, or nobody has the time to. */
        if (world_random(w) % 2)
                pass(w, span);
        if (zl_runtime_list(w->rt, &list, &n, NULL) < 0)
                abort();
        for (size_t i = 0; i < n; i++) {
                bool is_service;

                (void)is_always(w, list[i].name, &is_service);
                if (is_service && is_stopped(w, list[i].name) &&
                    zl_strv_push(&stopped, list[i].name) < 0)
                        abort();
                zl_status_done(&list[i]);
        }
        free(list);
        world_crash(w, power);
        pass(w, span);
        ZL_STRV_FOREACH(name, stopped)
                check_return(w, *name, power);
}
