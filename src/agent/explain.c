/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See explain.h. A service is looked at replica by replica; one that has none yet is looked at through what it depends on,
 * and so on down, each service once, so a cycle of an old spec ends.
 */
#include "agent/explain.h"

#include <stdarg.h>
#include <stdio.h>

#include "agent/control.h"
#include "base/buf.h"
#include "base/parse.h"
#include "base/strv.h"
#include "spec/spec.h"

enum { TEXT_MAX = 16 * 1024, LINE_MAX_BYTES = 4096 };

struct input {
        struct zl_runtime *rt; /* for logs; NULL: without */
        const struct zl_view_list *views;
        const struct zl_stored_replica *stored;
        size_t n_stored;
        const char *deployment;
        const struct zl_deployment_spec *spec; /* NULL: unknown */
        const char *failure;                   /* of its last start, or NULL */
        bool active;                           /* an agent looks after it */
        size_t n_lines;                        /* of logs */
};

struct explainer {
        const struct input *in;
        struct zl_explanation *out;
        char **seen; /* services */
        struct zl_error *err;
};

void zl_explanation_done(struct zl_explanation *explanation)
{
        for (size_t i = 0; i < explanation->n; i++) {
                free(explanation->causes[i].name);
                free(explanation->causes[i].text);
                zl_strv_free(explanation->causes[i].log);
        }
        free(explanation->causes);
        *explanation = (struct zl_explanation){ 0 };
}

static struct zl_cause *add(struct explainer *e, unsigned depth, const char *name, const char *fmt,
                            ...) ZL_PRINTF(4, 5);

/* NULL without memory. */
static struct zl_cause *add(struct explainer *e, unsigned depth, const char *name, const char *fmt,
                            ...)
{
        struct zl_cause *causes = reallocarray(e->out->causes, e->out->n + 1, sizeof(*causes));
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(TEXT_MAX);
        struct zl_cause *cause;
        va_list ap;

        if (!causes)
                return NULL;
        e->out->causes = causes;
        va_start(ap, fmt);
        zl_buf_vputf(&text, fmt, ap);
        va_end(ap);
        cause = &causes[e->out->n];
        *cause = (struct zl_cause){ .name = strdup(name),
                                    .text = zl_buf_take(&text),
                                    .depth = depth };
        e->out->n++;
        return cause->name && cause->text ? cause : NULL;
}

static void add_log(struct explainer *e, struct zl_cause *cause, const char *name)
{
        struct zl_log_options options = { .tail = (int64_t)e->in->n_lines };
        struct zl_log_entry entry;
        struct zl_logs *logs;

        /* A log that is gone explains nothing. */
        if (!cause || !e->in->rt || e->in->n_lines == 0 ||
            zl_logs_open(e->in->rt, name, &options, &logs, NULL) < 0)
                return;
        while (zl_logs_next(logs, &entry, NULL) > 0)
                if (zl_strv_pushf(&cause->log, "%.*s",
                                  (int)ZL_MIN(entry.len, (size_t)LINE_MAX_BYTES), entry.data) < 0)
                        break;
        zl_logs_close(logs);
}

/* ---- one replica -------------------------------------------------------------------------------------------------- */

static const struct zl_stored_replica *find_stored(const struct explainer *e, const char *name)
{
        for (size_t i = 0; i < e->in->n_stored; i++)
                if (zl_streq(e->in->stored[i].name, name))
                        return &e->in->stored[i];
        return NULL;
}

static const struct zl_service_spec *find_spec(const struct explainer *e, const char *service)
{
        return e->in->spec ? zl_spec_get_service(e->in->spec, service) : NULL;
}

/* What follows from the end of it, by what the agent decided. */
static const char *aftermath(const struct explainer *e, const struct zl_stored_replica *stored,
                             const struct zl_view *view)
{
        static const struct {
                const char *phase, *text;
        } texts[] = {
                { "isolated", "it is left as it is (on_panic: isolate)" },
                { "failed", "it is not started again, by its restart policy" },
                { "stopped", "it stays down until it is started, or the next up" },
        };
        const struct zl_service_spec *spec = find_spec(e, view->id.service);

        if (!e->in->active)
                return "no agent looks after it";
        if (stored && zl_streq(stored->phase, "backoff"))
                return view->restarts >= 5
                               ? "it crashes again and again; the next start comes after a long pause"
                               : "it will be started again";
        if (stored && zl_streq(stored->phase, "stopped") && spec && spec->restart_policy &&
            spec->restart_policy->kind == ZL_RESTART_ALWAYS)
                return "it stays down until it is started, the next up, or the next start of the daemon";
        for (size_t i = 0; stored && i < ZL_ARRAY_SIZE(texts); i++)
                if (zl_streq(stored->phase, texts[i].phase))
                        return texts[i].text;
        return "what follows is being decided";
}

static void explain_exit(struct explainer *e, const struct zl_view *view, unsigned depth)
{
        const struct zl_status *s = &view->status;
        const struct zl_stored_replica *stored = find_stored(e, s->name);
        const char *signal = s->signal > 0 ? zl_signal_name(s->signal) : NULL;
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(TEXT_MAX);
        bool is_done = stored && zl_streq(stored->phase, "completed");

        if (is_done || (s->exit_code == 0 && stored && zl_streq(stored->phase, "gone")))
                return;
        if (s->state == ZL_STATE_FAILED)
                zl_buf_putf(&text, "failed: %s", s->reason ?: "the reason is not known");
        else if (s->stop_requested && stored && zl_streq(stored->phase, "backoff"))
                zl_buf_putf(&text, "was stopped to be started again: %s",
                            stored->reason ?: "it was not well");
        else if (s->stop_requested)
                zl_buf_puts(&text, "was stopped by somebody");
        else if (s->oom)
                zl_buf_puts(&text, "was killed because it ran out of memory");
        else if (s->started_at == 0)
                zl_buf_putf(&text, "could not be started: %s",
                            s->reason ?: "the reason is not known");
        else if (signal)
                zl_buf_putf(&text, "was ended by %s", signal);
        else
                zl_buf_putf(&text, "ended with exit code %d", s->exit_code);
        if (view->restarts > 0)
                zl_buf_putf(&text, " (after %u restart%s)", view->restarts,
                            view->restarts == 1 ? "" : "s");
        if (zl_buf_error(&text) == 0)
                add_log(e, add(e, depth, s->name, "%s; %s", text.data, aftermath(e, stored, view)),
                        s->name);
}

static void explain_replica(struct explainer *e, const struct zl_view *view, unsigned depth)
{
        const struct zl_status *s = &view->status;
        const struct zl_stored_replica *stored = find_stored(e, s->name);
        const char *health = view->health ?: "none", *phase = stored ? stored->phase : "";

        if (!view->is_real && zl_streq(phase, "pulling"))
                add(e, depth, s->name, "waits for its image %s to be pulled", s->image ?: "");
        else if (!view->is_real)
                add(e, depth, s->name, "has not been created (%s): %s", phase, s->reason ?: "");
        else if (s->state == ZL_STATE_EXITED || s->state == ZL_STATE_FAILED)
                explain_exit(e, view, depth);
        else if (s->state == ZL_STATE_PAUSED)
                add(e, depth, s->name, "is paused");
        else if (s->state == ZL_STATE_STOPPING)
                add(e, depth, s->name, "is being stopped");
        else if (s->state == ZL_STATE_PENDING || s->state == ZL_STATE_INITIALIZING)
                add_log(e,
                        add(e, depth, s->name, "is created and has not been started yet (%s)%s%s",
                            *phase ? phase : "pending", stored && stored->reason ? ": " : "",
                            stored && stored->reason ? stored->reason : ""),
                        s->name);
        else if (zl_streq(health, "unhealthy"))
                add_log(e,
                        add(e, depth, s->name, "runs, but its health check fails%s%s",
                            stored && stored->reason ? ": " : "",
                            stored && stored->reason ? stored->reason : ""),
                        s->name);
        else if (zl_streq(health, "starting"))
                add(e, depth, s->name, "runs, but its health check has not succeeded yet");
}

/* ---- one service --------------------------------------------------------------------------------------------------- */

static size_t explain_replicas(struct explainer *e, const char *service, uint32_t replica,
                               unsigned depth)
{
        size_t n = 0;

        for (size_t i = 0; i < e->in->views->n; i++) {
                const struct zl_view *view = &e->in->views->items[i];

                if (!zl_streq(view->id.deployment, e->in->deployment) ||
                    !zl_streq(view->id.service, service) ||
                    (replica > 0 && view->id.replica != replica))
                        continue;
                n++;
                explain_replica(e, view, depth);
        }
        return n;
}

static void explain_service(struct explainer *e, const char *service, uint32_t replica,
                            unsigned depth);

/* False: what is depended on has started, and more is not asked of it. */
static bool explain_dependency(struct explainer *e, const char *full,
                               const struct zl_depends_spec *dep, unsigned depth)
{
        static const char *const verbs[] = {
                [ZL_DEPENDS_STARTED] = "start",
                [ZL_DEPENDS_HEALTHY] = "become healthy",
                [ZL_DEPENDS_READY] = "become ready",
        };
        size_t at = e->out->n;
        char target[ZL_IDENT_NAME_MAX];

        if (!add(e, depth, full, "waits for %s to %s", dep->service, verbs[dep->condition]))
                return true;
        if (zl_strv_contains(e->seen, dep->service))
                return true; /* told above */
        explain_service(e, dep->service, 0, depth + 1);
        if (e->out->n > at + 1)
                return true;
        if (dep->condition != ZL_DEPENDS_STARTED) {
                snprintf(target, sizeof(target), "%s.%s", e->in->deployment, dep->service);
                add(e, depth + 1, target, "runs, and is not known to be well yet");
                return true;
        }
        free(e->out->causes[at].name);
        free(e->out->causes[at].text);
        e->out->n = at;
        return false;
}

static void explain_service(struct explainer *e, const char *service, uint32_t replica,
                            unsigned depth)
{
        const struct zl_service_spec *spec = find_spec(e, service);
        char full[ZL_IDENT_NAME_MAX];
        bool waits = false;

        if (zl_strv_contains(e->seen, service) || zl_strv_push(&e->seen, service) < 0)
                return;
        if (explain_replicas(e, service, replica, depth) > 0 || !spec ||
            spec->rtype == ZL_RTYPE_CRON)
                return;
        snprintf(full, sizeof(full), "%s.%s", e->in->deployment, service);
        if (zl_spec_initial_replicas(&spec->scale) == 0) {
                add(e, depth, full, "is to have no replicas");
                return;
        }
        if (!e->in->active) {
                add(e, depth, full, "does not run, since no agent looks after the deployment");
                return;
        }
        for (size_t i = 0; i < spec->n_depends; i++)
                waits |= explain_dependency(e, full, &spec->depends[i], depth);
        if (!waits)
                add(e, depth, full, "has not been begun yet");
}

/* `service` NULL: all of the deployment; `replica` 0: all of the service. */
static int explain(const struct input *input, const char *service, uint32_t replica,
                   struct zl_explanation *ret, struct zl_error *err)
{
        struct explainer e = { .in = input, .out = ret, .err = err };

        *ret = (struct zl_explanation){ 0 };
        if (!input->active && input->failure)
                add(&e, 0, input->deployment, "its last start failed and was undone: %s",
                    input->failure);
        if (service) {
                explain_service(&e, service, replica, 0);
        } else if (input->spec && input->active) {
                for (size_t i = 0; i < input->spec->n_services; i++)
                        explain_service(&e, input->spec->services[i].name, 0, 0);
        } else {
                for (size_t i = 0; i < input->views->n; i++)
                        if (zl_streq(input->views->items[i].id.deployment, input->deployment))
                                explain_service(&e, input->views->items[i].id.service, 0, 0);
                if (ret->n == 0 && !input->active)
                        add(&e, 0, input->deployment, "is not up: no agent looks after it");
        }
        zl_strv_free(e.seen);
        for (size_t i = 0; i < ret->n; i++)
                if (!ret->causes[i].name || !ret->causes[i].text) {
                        zl_explanation_done(ret);
                        return zl_fail_oom(err);
                }
        return 0;
}

/* ---- by name ------------------------------------------------------------------------------------------------------ */

struct subject {
        char deployment[64], service[64]; /* the latter empty: all */
        uint32_t replica;                 /* 0: all */
};

/* What was told last of the start of the deployment. */
struct last_start {
        const char *deployment;
        char *failure;
};

static int take_event(int64_t seq, int64_t time, const char *text, void *data)
{
        struct last_start *last = data;
        _cleanup_json_ json_t *o = NULL;
        const char *type;

        (void)seq;
        (void)time;
        /* The name stands near the front; what is about others is not worth parsing. */
        if (!strstr(text, last->deployment) ||
            zl_json_parse(text, strlen(text), "event", &o, NULL) < 0 ||
            !zl_streq(zl_json_str(o, "name", ""), last->deployment))
                return 0;
        type = zl_json_str(o, "type", "");
        if (zl_streq(type, "deployment_up") || zl_streq(type, "deployment_started"))
                return zl_replace_str(&last->failure, NULL);
        if (zl_streq(type, "deployment_failed"))
                return zl_replace_str(&last->failure,
                                      zl_json_str(o, "message", "no reason is known"));
        return 0;
}

/* ---- what NAME means ---------------------------------------------------------------------------------------------- */

static struct zl_deployment_spec *load_spec(struct zl_store *store, const char *deployment)
{
        _cleanup_free_ char *text = NULL;
        struct zl_deployment_spec *spec = NULL;
        bool active;

        if (!store || zl_store_get_deployment(store, deployment, &text, &active, NULL) <= 0 ||
            zl_spec_load_text(text, strlen(text), &spec, NULL, NULL) < 0)
                return NULL;
        return spec;
}

static int set_subject(struct subject *subject, const char *deployment, const char *service,
                       uint32_t replica)
{
        snprintf(subject->deployment, sizeof(subject->deployment), "%s", deployment);
        snprintf(subject->service, sizeof(subject->service), "%s", service);
        subject->replica = replica;
        return 1;
}

/* A deployment, or a service that a stored spec has; 0: neither. */
static int find_wished(struct zl_store *store, const char *name, struct subject *ret,
                       struct zl_error *err)
{
        _cleanup_strv_ char **deployments = NULL;
        int r = store ? zl_store_list_deployments(store, &deployments, err) : 0;

        if (r < 0)
                return r;
        ZL_STRV_FOREACH(d, deployments)
                if (zl_streq(*d, name))
                        return set_subject(ret, *d, "", 0);
        ZL_STRV_FOREACH(d, deployments) {
                _cleanup_spec_ struct zl_deployment_spec *spec = load_spec(store, *d);
                const char *rest = zl_startswith(name, *d);
                const char *service = rest && *rest == '.' ? rest + 1 : name;

                if (spec && zl_spec_get_service(spec, service))
                        return set_subject(ret, *d, service, 0);
        }
        return 0;
}

static int find_subject(const struct zl_explain_source *source, const char *name,
                        struct subject *ret, struct zl_error *err)
{
        const struct zl_view_query query = { .rt = source->rt,
                                             .runtime_dir = source->runtime_dir,
                                             .names = (char *[]){ (char *)(uintptr_t)name, NULL },
                                             .deployment = name };
        _cleanup_views_ struct zl_view_list views = { 0 };
        _cleanup_free_ size_t *found = NULL;
        const struct zl_view *view;
        size_t n = 0;
        int r = find_wished(source->store, name, ret, err);

        if (r != 0)
                return r;
        r = zl_view_load(&query, source->store, &views, err);
        for (size_t i = 0; i < views.n; i++)
                if (zl_streq(views.items[i].id.deployment, name))
                        return set_subject(ret, name, "", 0);
        if (r >= 0)
                r = zl_view_find(&views, name, &found, &n, err);
        if (r < 0)
                return r;
        view = &views.items[found[0]];
        return set_subject(ret, view->id.deployment, view->id.service,
                           zl_streq(view->status.name, name) ? view->id.replica : 0);
}

/* Nothing is left of a start that failed but what was told of it. */
static int find_failed(const struct zl_explain_source *source, const char *name,
                       struct subject *ret, struct zl_error *err)
{
        struct last_start last = { .deployment = name };
        int64_t seq;

        if (!source->store || !zl_ident_part_is_valid(name))
                return -ENOENT;
        (void)zl_store_read_events(source->store, 0, take_event, &last, &seq, NULL);
        if (!last.failure)
                return -ENOENT;
        free(last.failure);
        zl_error_done(err);
        return set_subject(ret, name, "", 0);
}

static int explain_subject(const struct zl_explain_source *source, const struct subject *subject,
                           struct zl_explanation *ret, struct zl_error *err)
{
        struct zl_view_query query = { .rt = source->rt, .runtime_dir = source->runtime_dir };
        char name[ZL_IDENT_NAME_MAX], *names[] = { name, NULL };
        _cleanup_views_ struct zl_view_list views = { 0 };
        _cleanup_spec_ struct zl_deployment_spec *spec = load_spec(source->store,
                                                                   subject->deployment);
        struct last_start last = { .deployment = subject->deployment };
        struct input input = {
                .rt = source->rt,
                .views = &views,
                .deployment = subject->deployment,
                .spec = spec,
                .active = zl_control_is_served(source->runtime_dir, subject->deployment),
                .n_lines = source->n_lines,
        };
        struct zl_stored_replica *stored = NULL;
        int64_t seq;
        int r;

        /* A service may wait for others of its deployment, but who is in none (`run`) for nobody. */
        snprintf(name, sizeof(name), "%s.%s", subject->deployment, subject->service);
        if (spec || !*subject->service)
                query.deployment = subject->deployment;
        else
                query.names = names;
        r = zl_view_load(&query, source->store, &views, err);
        if (r >= 0 && source->store) {
                (void)zl_store_read_events(source->store, 0, take_event, &last, &seq, NULL);
                r = zl_store_list_replicas(source->store, subject->deployment, &stored,
                                           &input.n_stored, err);
        }
        input.stored = stored;
        input.failure = last.failure;
        if (r >= 0)
                r = explain(&input, *subject->service ? subject->service : NULL, subject->replica,
                            ret, err);
        zl_stored_replica_free(stored, input.n_stored);
        free(last.failure);
        return r;
}

int zl_explain(const struct zl_explain_source *source, const char *name, struct zl_explanation *ret,
               struct zl_error *err)
{
        struct subject subject = { 0 };
        int r = find_subject(source, name, &subject, err);

        if (r == -ENOENT && find_failed(source, name, &subject, err) >= 0)
                r = 0;
        return r < 0 ? r : explain_subject(source, &subject, ret, err);
}

json_t *zl_explanation_to_json(const struct zl_explanation *x, const char *name)
{
        json_t *o = json_pack("{s:o, s:b, s:[]}", "name", zl_json_string_lossy(name, strlen(name)),
                              "running", x->n == 0, "causes");

        for (size_t i = 0; o && i < x->n; i++) {
                const struct zl_cause *cause = &x->causes[i];
                json_t *log = json_array();

                ZL_STRV_FOREACH(line, cause->log)
                        json_array_append_new(log, zl_json_string_lossy(*line, strlen(*line)));
                json_array_append_new(
                        json_object_get(o, "causes"),
                        json_pack("{s:s, s:o, s:i, s:o}", "name", cause->name, "text",
                                  zl_json_string_lossy(cause->text, strlen(cause->text)), "depth",
                                  (int)cause->depth, "log", log));
        }
        return o;
}
