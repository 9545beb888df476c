/* SPDX-License-Identifier: Apache-2.0 */
/* `why`: why something is not running, in plain words. Finds what NAME means and lets agent/explain find the causes. */
#include "agent/control.h"
#include "agent/explain.h"
#include "base/clock.h"
#include "base/strv.h"
#include "cli/context.h"
#include "spec/spec.h"

struct options {
        struct zl_cli_u64 lines;
};

static const struct zl_cli_option options_table[] = {
        { "lines", 'n', ZL_CLI_U64, offsetof(struct options, lines), "N",
          "so many last lines of logs (default 5)" },
        { 0 },
};

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

static int set(struct subject *subject, const char *deployment, const char *service,
               uint32_t replica)
{
        snprintf(subject->deployment, sizeof(subject->deployment), "%s", deployment);
        snprintf(subject->service, sizeof(subject->service), "%s", service);
        subject->replica = replica;
        return 1;
}

/* A deployment, or a service that a stored spec has; 0: neither. */
static int find_stored(struct zl_store *store, const char *name, struct subject *ret,
                       struct zl_error *err)
{
        _cleanup_strv_ char **deployments = NULL;
        int r = store ? zl_store_list_deployments(store, &deployments, err) : 0;

        if (r < 0)
                return r;
        ZL_STRV_FOREACH(d, deployments)
                if (zl_streq(*d, name))
                        return set(ret, *d, "", 0);
        ZL_STRV_FOREACH(d, deployments) {
                _cleanup_spec_ struct zl_deployment_spec *spec = load_spec(store, *d);
                const char *rest = zl_startswith(name, *d);
                const char *service = rest && *rest == '.' ? rest + 1 : name;

                if (spec && zl_spec_get_service(spec, service))
                        return set(ret, *d, service, 0);
        }
        return 0;
}

static int find(const struct zl_cli_context *context, const char *name, struct subject *ret,
                struct zl_error *err)
{
        _cleanup_free_ size_t *found = NULL;
        const struct zl_view *view;
        size_t n = 0;
        int r = find_stored(context->store, name, ret, err);

        if (r != 0)
                return r;
        for (size_t i = 0; i < context->views.n; i++)
                if (zl_streq(context->views.items[i].id.deployment, name))
                        return set(ret, name, "", 0);
        r = zl_view_find(&context->views, name, &found, &n, err);
        if (r < 0)
                return r;
        view = &context->views.items[found[0]];
        return set(ret, view->id.deployment, view->id.service,
                   zl_streq(view->status.name, name) ? view->id.replica : 0);
}

/* ---- telling --------------------------------------------------------------------------------------------------------- */

static void print_text(const struct zl_explanation *x, const char *name)
{
        if (x->n == 0)
                printf("%s runs as it should\n", name);
        for (size_t i = 0; i < x->n; i++) {
                const struct zl_cause *cause = &x->causes[i];

                printf("%*s%s %s\n", (int)(4 * cause->depth), "", cause->name, cause->text);
                ZL_STRV_FOREACH(line, cause->log)
                        printf("%*s| %s\n", (int)(4 * cause->depth + 4), "", *line);
        }
}

static int print_json(const struct zl_explanation *x, const char *name)
{
        _cleanup_json_ json_t *o = json_pack("{s:s, s:b, s:[]}", "name", name, "running", x->n == 0,
                                             "causes");
        _cleanup_free_ char *text = NULL;

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
        text = o ? zl_json_dump(o, 2) : NULL;
        if (text)
                puts(text);
        return text ? 0 : -ENOMEM;
}

static int explain(struct zl_cli *cli, const struct options *o, const char *name,
                   struct zl_error *err)
{
        _cleanup_context_ struct zl_cli_context context = { 0 };
        _cleanup_explanation_ struct zl_explanation x = { 0 };
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        _cleanup_free_ char *failure = NULL;
        struct zl_stored_replica *stored = NULL;
        struct subject subject = { 0 };
        struct last_start last;
        struct zl_explain_input input;
        size_t n = 0;
        int64_t seq;
        int r = zl_cli_context_open(cli, &context, err);

        if (r >= 0)
                r = find(&context, name, &subject, err);
        /* Nothing is left of a start that failed but what was told of it. */
        if (r == -ENOENT && context.store && zl_ident_part_is_valid(name)) {
                last = (struct last_start){ .deployment = name };
                (void)zl_store_read_events(context.store, 0, take_event, &last, &seq, NULL);
                if (last.failure) {
                        free(last.failure);
                        zl_error_done(err);
                        r = set(&subject, name, "", 0);
                }
        }
        if (r >= 0 && context.store)
                r = zl_store_list_replicas(context.store, NULL, &stored, &n, err);
        if (r < 0)
                return r;
        last = (struct last_start){ .deployment = subject.deployment };
        if (context.store)
                (void)zl_store_read_events(context.store, 0, take_event, &last, &seq, NULL);
        failure = last.failure;
        spec = load_spec(context.store, subject.deployment);
        input = (struct zl_explain_input){
                .rt = context.rt,
                .views = &context.views,
                .stored = stored,
                .n_stored = n,
                .deployment = subject.deployment,
                .spec = spec,
                .failure = failure,
                .active = zl_control_is_served(cli->runtime_dir, subject.deployment),
                .n_lines = o->lines.set ? (size_t)o->lines.value : 5,
        };
        r = zl_explain(&input, *subject.service ? subject.service : NULL, subject.replica, &x, err);
        if (r >= 0 && !cli->json)
                print_text(&x, name);
        else if (r >= 0 && print_json(&x, name) < 0)
                r = zl_fail_oom(err);
        zl_stored_replica_free(stored, n);
        return r;
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        struct zl_error err = ZL_ERROR_INIT;

        (void)argc;
        return explain(cli, options, argv[0], &err) < 0 ? zl_cli_fail(cli, &err) : ZL_EXIT_OK;
}

const struct zl_cli_command zl_cmd_why = {
        .name = "why",
        .args = "NAME",
        .summary = "Explain why something is not running",
        .details =
                "NAME is a deployment, a service or a container. Tells the chain of causes down to what is at the\n"
                "bottom, with the last lines of its log.",
        .options = options_table,
        .options_size = sizeof(struct options),
        .min_args = 1,
        .max_args = 1,
        .run = run,
};
