/* SPDX-License-Identifier: Apache-2.0 */
/* `scale`: another number of replicas, from now on. A wish, so it goes to the daemon that looks after the deployment. */
#include "base/ident.h"
#include "base/parse.h"
#include "cli/client.h"

struct options {
        bool no_wait;
};

static const struct zl_cli_option options_table[] = {
        { "no-wait", 0, ZL_CLI_FLAG, offsetof(struct options, no_wait), NULL,
          "return at once instead of when it is done" },
        { 0 },
};

struct wish {
        char *service;
        uint32_t replicas;
};

/* SERVICE=NUMBER */
static int parse_wish(const char *text, struct wish *ret, struct zl_error *err)
{
        const char *number = strchr(text, '=');
        _cleanup_free_ char *service = strndup(text, strcspn(text, "="));

        if (!service)
                return zl_fail_oom(err);
        if (!number || zl_parse_u32(number + 1, 10, &ret->replicas) < 0 ||
            !zl_ident_part_is_valid(service))
                return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is not SERVICE=NUMBER", text);
        ret->service = zl_take_ptr(service);
        return 0;
}

static int scale_one(struct zl_cli *cli, const struct options *o, const char *deployment,
                     const struct wish *wish, struct zl_error *err)
{
        _cleanup_free_ char *path = NULL, *body = NULL;
        struct zl_client_request request = { .method = "POST", .type = "application/json" };

        if (asprintf(&path, "/v1/deployments/%s/scale%s", deployment, o->no_wait ? "" : "?wait") <
            0) {
                path = NULL;
                return zl_fail_oom(err);
        }
        if (asprintf(&body, "{\"service\":\"%s\",\"replicas\":%u}", wish->service, wish->replicas) <
            0) {
                body = NULL;
                return zl_fail_oom(err);
        }
        request.path = path;
        request.body = body;
        return zl_client_ask(cli, &request, NULL, err);
}

/* All wishes are read before the first is told: a bad one changes nothing. */
static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        _cleanup_free_ struct wish *wishes = calloc((size_t)argc, sizeof(*wishes));
        struct zl_error err = ZL_ERROR_INIT;
        int code = ZL_EXIT_OK, r = wishes ? 0 : zl_fail_oom(&err);

        if (!zl_ident_part_is_valid(argv[0]))
                return zl_cli_usage(cli, "\"%s\" cannot be the name of a deployment", argv[0]);
        for (int i = 1; i < argc && r == 0; i++)
                r = parse_wish(argv[i], &wishes[i], &err);
        if (r < 0)
                code = zl_cli_fail_argument(cli, &err);
        for (int i = 1; i < argc && r == 0; i++)
                if (scale_one(cli, options, argv[0], &wishes[i], &err) < 0)
                        code = zl_cli_fail(cli, &err);
        for (int i = 0; wishes && i < argc; i++)
                free(wishes[i].service);
        return code;
}

const struct zl_cli_command zl_cmd_scale = {
        .name = "scale",
        .args = "DEPLOYMENT SERVICE=NUMBER…",
        .summary = "Change how many replicas services have",
        .details =
                "Needs the daemon (serve). Returns when the new number runs. Going down, replicas that do not work go\n"
                "first, then those with the highest numbers. A service with mode adaptive refuses what is not between\n"
                "its min and max. The next `up` of the file sets what the file says.",
        .options = options_table,
        .options_size = sizeof(struct options),
        .min_args = 2,
        .max_args = UINT32_MAX,
        .run = run,
};
