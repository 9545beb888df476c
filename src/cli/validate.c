/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `validate`: does a spec file say something that can be deployed? All problems are told, in the order of the file, each as
 * "FILE:LINE:COL: path: message" as compilers do it, so editors can jump there. What people wrote (keys, values) may
 * hold terminal sequences; it is made harmless before it is printed.
 */
#include <limits.h>

#include <zlayer/spec.h>

#include "base/json.h"
#include "cli/cli.h"
#include "schema/problem.h"
#include "spec/spec.h"

struct options {
        const char *print; /* NULL: no; "" is json or yaml by --json */
};

enum print_format { PRINT_NOTHING, PRINT_JSON, PRINT_YAML };

static const struct zl_cli_option option_table[] = {
        { "print", 0, ZL_CLI_OPTIONAL, offsetof(struct options, print), "[=json|yaml]",
          "print the spec with all defaults (yaml unless said)" },
        { 0 },
};

/* Text from a file: control characters as \xNN. */
static void put_clean(FILE *f, const char *s)
{
        for (; *s; s++) {
                unsigned char c = (unsigned char)*s;

                if (c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)s[1] < 0xa0))
                        fprintf(f, "\\x%02x", c);
                else
                        fputc(c, f);
        }
}

static void print_problem(FILE *f, const char *file, const struct zl_problem *p)
{
        fprintf(f, "%s:%u:%u: ", file, p->line, p->column);
        put_clean(f, p->path);
        fputs(": ", f);
        put_clean(f, p->message ? p->message : "not acceptable");
        fputc('\n', f);
        if (p->hint) {
                fputs("  hint: ", f);
                put_clean(f, p->hint);
                fputc('\n', f);
        }
}

static void print_problems(FILE *f, const char *file, const struct zl_problems *problems)
{
        for (size_t i = 0; i < problems->n; i++)
                print_problem(f, file, &problems->items[i]);
        if (problems->n_dropped)
                fprintf(f, "%s: and %zu more\n", file, problems->n_dropped);
}

static json_t *text_or_null(const char *text)
{
        return text ? zl_json_string_lossy(text, strlen(text)) : json_null();
}

static json_t *problem_json(const struct zl_problem *p)
{
        return json_pack("{s:i,s:i,s:o,s:s,s:o,s:o,s:o}", "line", (int)p->line, "column",
                         (int)p->column, "path", text_or_null(p->path), "phase",
                         zl_phase_name(p->phase), "kind", text_or_null(p->kind), "message",
                         text_or_null(p->message), "hint", text_or_null(p->hint));
}

static json_t *report_json(const char *file, const struct zl_deployment_spec *spec,
                           const struct zl_problems *problems)
{
        json_t *list = json_array();

        for (size_t i = 0; problems && i < problems->n; i++)
                json_array_append_new(list, problem_json(&problems->items[i]));
        return json_pack("{s:o,s:b,s:o,s:I,s:o,s:I}", "file", text_or_null(file), "valid",
                         spec != NULL, "deployment", text_or_null(spec ? spec->deployment : NULL),
                         "services", (json_int_t)(spec ? spec->n_services : 0), "problems", list,
                         "more_problems", (json_int_t)(problems ? problems->n_dropped : 0));
}

/* Files that are refused without a list of problems (too large) get a list of one. */
static struct zl_problems *single_problem(const struct zl_error *err)
{
        struct zl_problems *problems = zl_problems_new();
        struct zl_problem *p = problems ? zl_problems_add(problems, ZL_PHASE_DECODE, 1, 1,
                                                          "(document)")
                                        : NULL;

        if (p) {
                p->message = strdup(zl_error_message(err));
                p->hint = err->hint ? strdup(err->hint) : NULL;
        }
        return problems;
}

static int print_spec(struct zl_cli *cli, const struct zl_deployment_spec *spec,
                      enum print_format format, bool first)
{
        _cleanup_free_ char *text = format == PRINT_JSON ? zl_spec_dump_json(spec)
                                                         : zl_spec_dump_yaml(spec);
        struct zl_error err = ZL_ERROR_INIT;

        if (!text) {
                zl_fail_oom(&err);
                return zl_cli_fail(cli, &err);
        }
        if (!first && format == PRINT_YAML)
                puts("---");
        fputs(text, stdout);
        if (format == PRINT_JSON)
                putchar('\n');
        return ZL_EXIT_OK;
}

/* One file; `report` (may be NULL) collects for --json. */
static int validate(struct zl_cli *cli, const char *file, enum print_format format, bool first,
                    json_t *report)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        _cleanup_(zl_problems_freep) struct zl_problems *problems = NULL;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        int r = zl_spec_load_file(file, &spec, &problems, &err);

        if (r < 0 && err.code != ZL_E_INVALID && !report)
                return zl_cli_fail(cli, &err);
        if (r < 0 && !problems)
                problems = single_problem(&err);
        if (report)
                json_array_append_new(report, report_json(file, spec, problems));
        else if (problems)
                print_problems(format == PRINT_NOTHING ? stdout : stderr, file, problems);
        if (r < 0)
                return ZL_EXIT_FAILED;
        if (format != PRINT_NOTHING)
                return print_spec(cli, spec, format, first);
        if (!report)
                printf("%s: valid: deployment %s, %zu service%s\n", file, spec->deployment,
                       spec->n_services, spec->n_services == 1 ? "" : "s");
        return ZL_EXIT_OK;
}

static int run(struct zl_cli *cli, void *data, int argc, char **argv)
{
        const struct options *options = data;
        _cleanup_json_ json_t *report = NULL;
        enum print_format format = PRINT_NOTHING;
        int code = ZL_EXIT_OK;

        if (options->print && zl_streq(options->print, "json"))
                format = PRINT_JSON;
        else if (options->print && zl_streq(options->print, "yaml"))
                format = PRINT_YAML;
        else if (options->print && !*options->print)
                format = cli->json ? PRINT_JSON : PRINT_YAML;
        else if (options->print)
                return zl_cli_usage(cli, "--print takes json or yaml, not \"%s\"", options->print);
        if (cli->json && format == PRINT_NOTHING)
                report = json_array();
        for (int i = 0; i < argc; i++) {
                int one = validate(cli, argv[i], format, i == 0, report);

                if (one != ZL_EXIT_OK)
                        code = one;
        }
        if (report) {
                _cleanup_free_ char *text = zl_json_dump(report, 2);

                puts(text ? text : "[]");
        }
        return zl_cli_finish(cli, code);
}

const struct zl_cli_command zl_cmd_validate = {
        .name = "validate",
        .args = "FILE…|-",
        .summary = "Check deployment specs and tell everything that is wrong",
        .details =
                "Prints one line per file and returns 0, or returns 1 after one line per problem, "
                "FILE:LINE:COL: path: message, with hints where the cause can be guessed. \"-\" is "
                "standard input. With --json the same as an array of objects.",
        .options = option_table,
        .options_size = sizeof(struct options),
        .min_args = 1,
        .max_args = UINT_MAX,
        .run = run,
};
