/* SPDX-License-Identifier: Apache-2.0 */
/* `why`: why something is not running, in plain words. agent/explain finds the causes. */
#include "agent/explain.h"
#include "base/strv.h"
#include "cli/context.h"

struct options {
        struct zl_cli_u64 lines;
};

static const struct zl_cli_option options_table[] = {
        { "lines", 'n', ZL_CLI_U64, offsetof(struct options, lines), "N",
          "so many last lines of logs (default 5)" },
        { 0 },
};

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

static int explain(struct zl_cli *cli, const struct options *o, const char *name,
                   struct zl_error *err)
{
        _cleanup_explanation_ struct zl_explanation x = { 0 };
        _cleanup_store_ struct zl_store *store = NULL;
        _cleanup_json_ json_t *json = NULL;
        struct zl_explain_source source = { .runtime_dir = cli->runtime_dir,
                                            .n_lines = o->lines.set ? (size_t)o->lines.value : 5 };
        int r = zl_cli_runtime(cli, &source.rt, err);

        if (r >= 0)
                r = zl_store_open_existing(cli->root_dir, &store, err);
        source.store = store;
        if (r >= 0)
                r = zl_explain(&source, name, &x, err);
        if (r < 0)
                return r;
        if (!cli->json) {
                print_text(&x, name);
                return 0;
        }
        json = zl_explanation_to_json(&x, name);
        return zl_cli_print_json(json) < 0 ? zl_fail_oom(err) : 0;
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
