/* SPDX-License-Identifier: Apache-2.0 */
/* See context.h. The runtime is opened once per invocation, by the kind of the global options. */
#include "cli/context.h"

#include "base/buf.h"
#include "base/strv.h"

int zl_cli_runtime(struct zl_cli *cli, struct zl_runtime **ret, struct zl_error *err)
{
        if (!cli->rt) {
                struct zl_runtime_options options = {
                        .root_dir = cli->root_dir,
                        .runtime_dir = cli->runtime_dir,
                        .oci_name = cli->oci_name,
                        .wasm_spare = cli->spares,
                        .monitor_spare = cli->spares,
                };
                int r = zl_runtime_new(cli->runtime_kind, &options, &cli->rt, err);

                if (r < 0)
                        return r;
        }
        *ret = cli->rt;
        return 0;
}

int zl_cli_context_open(struct zl_cli *cli, char *const *names, struct zl_cli_context *ret,
                        struct zl_error *err)
{
        struct zl_cli_context context = { 0 };
        struct zl_view_query query = { .runtime_dir = cli->runtime_dir,
                                       .names = names && *names ? names : NULL };
        int r = zl_cli_runtime(cli, &context.rt, err);

        if (r < 0)
                return r;
        r = zl_store_open_existing(cli->root_dir, &context.store, err);
        if (r < 0)
                return r;
        query.rt = context.rt;
        r = zl_view_load(&query, context.store, &context.views, err);
        if (r < 0) {
                zl_store_close(context.store);
                return r;
        }
        *ret = context;
        return 0;
}

void zl_cli_context_done(struct zl_cli_context *context)
{
        zl_view_list_done(&context->views);
        zl_store_close(context->store);
        context->store = NULL;
}

int zl_cli_find_one(const struct zl_cli_context *context, const char *name, bool first,
                    const struct zl_view **ret, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf names = ZL_BUF_INIT(2000);
        _cleanup_free_ size_t *found = NULL;
        size_t n = 0;
        int r = zl_view_find(&context->views, name, &found, &n, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                const struct zl_view *view = &context->views.items[found[i]];

                if (n == 1 || (first && view->status.state == ZL_STATE_RUNNING)) {
                        *ret = view;
                        return 0;
                }
                zl_buf_putf(&names, "%s%s", i ? ", " : "", view->status.name);
        }
        if (first)
                return zl_fail(err, ZL_E_STATE, 0, "no replica of \"%s\" is running", name);
        r = zl_fail(err, ZL_E_INVALID, 0, "\"%s\" has %zu replicas", name, n);
        zl_error_hint(err, "say which: %s", zl_buf_error(&names) < 0 ? "see ps" : names.data);
        return r;
}

int zl_cli_fail_not_there(const struct zl_view *view, struct zl_error *err)
{
        int r = zl_fail(err, ZL_E_STATE, 0, "%s has not been created yet", view->status.name);

        zl_error_hint(err, "zlayer-agent down %s ends the whole deployment", view->id.deployment);
        return r;
}

int zl_cli_for_each(struct zl_cli *cli, const struct zl_cli_context *context, char **names,
                    int (*each)(struct zl_cli *cli, const struct zl_cli_context *context,
                                const struct zl_view *view, void *data, struct zl_error *err),
                    void *data)
{
        int code = ZL_EXIT_OK;

        for (; *names; names++) {
                struct zl_error err = ZL_ERROR_INIT;
                _cleanup_free_ size_t *found = NULL;
                size_t n = 0;

                if (zl_view_find(&context->views, *names, &found, &n, &err) < 0)
                        code = zl_cli_fail(cli, &err);
                for (size_t k = 0; k < n; k++)
                        if (each(cli, context, &context->views.items[found[k]], data, &err) < 0)
                                code = zl_cli_fail(cli, &err);
        }
        return code;
}
