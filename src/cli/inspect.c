/* SPDX-License-Identifier: Apache-2.0 */
/* `inspect`: everything that is known of containers, as a JSON array. */
#include "cli/context.h"

/* The runtime's document, with the row of `ps` beside it so that one call tells all. */
static int inspect_one(struct zl_cli *cli, const struct zl_cli_context *context,
                       const struct zl_view *view, void *data, struct zl_error *err)
{
        json_t *array = data;
        _cleanup_json_ json_t *o = NULL, *status = zl_view_to_json(view);
        _cleanup_free_ char *text = NULL;
        int r;

        (void)cli;
        if (!status)
                return zl_fail_oom(err);
        if (view->is_real) {
                r = zl_runtime_inspect(context->rt, view->status.name, &text, err);
                if (r < 0)
                        return r;
                r = zl_json_parse(text, strlen(text), view->status.name, &o, err);
                if (r < 0)
                        return r;
        } else {
                o = json_object();
        }
        if (!json_is_object(o) || zl_json_set(o, "status", zl_take_ptr(status)) < 0 ||
            json_array_append(array, o) < 0)
                return zl_fail_oom(err);
        return 0;
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        _cleanup_context_ struct zl_cli_context context = { 0 };
        _cleanup_json_ json_t *array = json_array();
        _cleanup_free_ char *text = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        int code;

        (void)options;
        if (zl_cli_context_open(cli, argv, &context, &err) < 0)
                return zl_cli_fail(cli, &err);
        code = zl_cli_for_each(cli, &context, argv, inspect_one, array);
        text = array ? zl_json_dump(array, 2) : NULL;
        if (!text) {
                zl_fail_oom(&err);
                return zl_cli_fail(cli, &err);
        }
        puts(text);
        return code;
}

const struct zl_cli_command zl_cmd_inspect = {
        .name = "inspect",
        .args = "NAME…",
        .summary = "Show everything about containers as JSON",
        .min_args = 1,
        .max_args = UINT32_MAX,
        .run = run,
};
