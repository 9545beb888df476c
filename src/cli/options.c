/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of a command by table, over getopt_long: permuted (options may stand behind arguments) unless the
 * command stops at its first argument. Every value is checked here, so a command sees only good ones, and the
 * message names the option as it was written. --help and --json are known to every command.
 */
#include <getopt.h>
#include <math.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/strv.h"
#include "cli/cli.h"
#include "schema/problem.h"

enum { MAX_OPTIONS = 64, VALUE_HELP = 1000, VALUE_JSON = 1001, VALUE_FIRST = 2000 };

struct unit {
        const char *name;
        int64_t nsec;
};

/* The longer spelling first, so that "ms" is not read as "m". */
static const struct unit units[] = {
        { "ns", 1 },
        { "us", ZL_NSEC_PER_USEC },
        { "ms", ZL_NSEC_PER_MSEC },
        { "s", ZL_NSEC_PER_SEC },
        { "m", 60 * ZL_NSEC_PER_SEC },
        { "h", 3600 * ZL_NSEC_PER_SEC },
        { "d", 86400 * ZL_NSEC_PER_SEC },
};

static const struct unit *match_unit(const char **s)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(units); i++) {
                const char *rest = zl_startswith(*s, units[i].name);

                if (rest) {
                        *s = rest;
                        return &units[i];
                }
        }
        return NULL;
}

/* Digits with an optional fraction, independent of the locale. */
static bool take_number(const char **s, double *ret)
{
        const char *p = *s;
        double v = 0, scale = 1;

        while (*p >= '0' && *p <= '9')
                v = v * 10 + (*p++ - '0');
        if (p == *s)
                return false;
        if (*p == '.') {
                const char *fraction = ++p;

                while (*p >= '0' && *p <= '9')
                        v += (*p++ - '0') * (scale /= 10);
                if (p == fraction)
                        return false;
        }
        *s = p;
        *ret = v;
        return true;
}

int zl_cli_parse_duration(const char *s, int64_t *ret_nsec)
{
        double total = 0, v;
        bool first = true;

        if (!*s)
                return -EINVAL;
        for (; *s; first = false) {
                const struct unit *unit;

                if (!take_number(&s, &v))
                        return -EINVAL;
                /* A number without unit is seconds, and only as the whole text. */
                if (!*s && first) {
                        total = v * (double)ZL_NSEC_PER_SEC;
                        break;
                }
                unit = match_unit(&s);
                if (!unit)
                        return -EINVAL;
                total += v * (double)unit->nsec;
        }
        if (!(total < (double)INT64_MAX / 2))
                return -EINVAL;
        *ret_nsec = (int64_t)(total + 0.5);
        return 0;
}

int zl_cli_parse_instant(const char *s, int64_t *ret_nsec)
{
        int64_t span;

        if (zl_parse_rfc3339(s, ret_nsec) == 0)
                return 0;
        if (zl_cli_parse_duration(s, &span) < 0)
                return -EINVAL;
        *ret_nsec = zl_now_realtime() - span;
        return 0;
}

static int bad_value(const struct zl_cli_option *o, const char *value, const char *wanted,
                     struct zl_error *err)
{
        return zl_fail(err, ZL_E_INVALID, 0, "--%s: \"%s\" is not %s", o->name, value, wanted);
}

static int store_double(const struct zl_cli_option *o, struct zl_cli_double *at, const char *value,
                        struct zl_error *err)
{
        char *end;
        double v = strtod(value, &end);

        if (end == value || *end || !isfinite(v) || v <= 0)
                return bad_value(o, value, "a number above 0", err);
        *at = (struct zl_cli_double){ v, true };
        return 0;
}

static int store(const struct zl_cli_option *o, void *options, char *value, struct zl_error *err)
{
        void *at = (char *)options + o->offset;
        struct zl_cli_u64 *u = at;
        struct zl_cli_i64 *i = at;
        int r;

        switch (o->type) {
        case ZL_CLI_FLAG:
                *(bool *)at = true;
                return 0;
        case ZL_CLI_STRING:
                *(const char **)at = value;
                return 0;
        case ZL_CLI_OPTIONAL:
                *(const char **)at = value ? value : "";
                return 0;
        case ZL_CLI_LIST:
                return zl_strv_push((char ***)at, value) < 0 ? zl_fail_oom(err) : 0;
        case ZL_CLI_U64:
                if (zl_parse_u64(value, 10, &u->value) < 0)
                        return bad_value(o, value, "a whole number", err);
                u->set = true;
                return 0;
        case ZL_CLI_SIZE:
                if (zl_parse_size(value, &u->value) < 0)
                        return bad_value(o, value, "a size such as 64Mi, 512K or 1G", err);
                u->set = true;
                return 0;
        case ZL_CLI_DURATION:
                if (zl_cli_parse_duration(value, &i->value) < 0)
                        return bad_value(o, value, "a span such as 10, 90s, 1h30m or 500ms", err);
                i->set = true;
                return 0;
        case ZL_CLI_DOUBLE:
                return store_double(o, at, value, err);
        case ZL_CLI_SIGNAL:
                r = zl_parse_signal(value);
                if (r <= 0)
                        return bad_value(o, value, "a signal such as TERM, SIGTERM or 15", err);
                *(int *)at = r;
                return 0;
        }
        return zl_fail(err, ZL_E_INTERNAL, 0, "--%s has an unknown type", o->name);
}

/* Builds what getopt_long() wants. Values: VALUE_FIRST + index in the command's table. */
static void build_tables(const struct zl_cli_command *cmd, struct option *longs, char *shorts)
{
        size_t n = 0, s = 0;

        if (cmd->stop_at_first)
                shorts[s++] = '+';
        shorts[s++] = ':';
        shorts[s++] = 'h';
        for (size_t i = 0; cmd->options && cmd->options[i].name && n < MAX_OPTIONS - 3; i++) {
                const struct zl_cli_option *o = &cmd->options[i];
                bool takes = o->type != ZL_CLI_FLAG && o->type != ZL_CLI_OPTIONAL;
                int has_arg = o->type == ZL_CLI_OPTIONAL ? optional_argument : takes;

                longs[n++] = (struct option){ o->name, has_arg, NULL, VALUE_FIRST + (int)i };
                if (!o->letter)
                        continue;
                shorts[s++] = o->letter;
                if (takes)
                        shorts[s++] = ':';
        }
        longs[n++] = (struct option){ "help", 0, NULL, VALUE_HELP };
        longs[n++] = (struct option){ "json", 0, NULL, VALUE_JSON };
        longs[n] = (struct option){ 0 };
        shorts[s] = 0;
}

static const struct zl_cli_option *find_option(const struct zl_cli_command *cmd, int c)
{
        if (c >= VALUE_FIRST)
                return &cmd->options[c - VALUE_FIRST];
        for (size_t i = 0; cmd->options && cmd->options[i].name; i++)
                if (cmd->options[i].letter == c)
                        return &cmd->options[i];
        return NULL;
}

/* What getopt_long() stopped at: `c` is ':' if the value is missing, else '?'. */
static int fail_option(const struct zl_cli_command *cmd, int c, const char *word,
                       struct zl_error *err)
{
        const char *names[MAX_OPTIONS], *near;
        char letter[3] = { '-', (char)optopt, 0 };
        bool is_letter = optopt > 0 && optopt < 256;
        size_t n = 0;

        if (is_letter)
                word = letter;
        if (c == ':')
                return zl_fail(err, ZL_E_INVALID, 0, "option \"%s\" needs a value", word);
        for (; cmd->options && cmd->options[n].name && n < ZL_ARRAY_SIZE(names); n++)
                names[n] = cmd->options[n].name;
        near = is_letter ? NULL : zl_nearest(word + strspn(word, "-"), names, n);
        return zl_fail(err, ZL_E_INVALID, 0, "unknown option \"%s\"%s%s%s", word,
                       near ? ": did you mean \"--" : "", near ? near : "", near ? "\"?" : "");
}

int zl_cli_parse(const struct zl_cli_command *cmd, int argc, char **argv, void *ret_options,
                 bool *ret_json, struct zl_error *err)
{
        struct option longs[MAX_OPTIONS] = { 0 };
        char shorts[2 * MAX_OPTIONS + 4];
        int c;

        build_tables(cmd, longs, shorts);
        opterr = 0;
        optind = 0; /* glibc: begin anew, also with the permutation state */
        while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
                const struct zl_cli_option *o;
                int r;

                if (c == 'h' || c == VALUE_HELP)
                        return -EAGAIN;
                if (c == VALUE_JSON) {
                        *ret_json = true;
                        continue;
                }
                if (c == ':' || c == '?')
                        return fail_option(cmd, c, argv[optind - 1], err);
                o = find_option(cmd, c);
                r = store(o, ret_options, optarg, err);
                if (r < 0)
                        return -EINVAL;
        }
        return optind;
}

void zl_cli_options_done(const struct zl_cli_command *cmd, void *options)
{
        for (size_t i = 0; cmd->options && cmd->options[i].name; i++)
                if (cmd->options[i].type == ZL_CLI_LIST) {
                        char ***list = (char ***)(void *)((char *)options + cmd->options[i].offset);

                        zl_strv_free(*list);
                        *list = NULL;
                }
}

static void print_option(const struct zl_cli_option *o, FILE *f)
{
        char left[64];

        snprintf(left, sizeof(left), "%c%c%s --%s%s%s", o->letter ? '-' : ' ',
                 o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
                 o->metavar && o->type != ZL_CLI_OPTIONAL ? " " : "", o->metavar ?: "");
        fprintf(f, "  %-28s %s\n", left, o->help);
}

void zl_cli_print_help(const struct zl_cli *cli, const struct zl_cli_command *cmd, FILE *f)
{
        if (cmd->sub_commands) {
                fprintf(f, "Usage: %s %s COMMAND …\n\n%s.\n\nCommands:\n", cli->program,
                        cli->command, cmd->summary);
                for (size_t i = 0; cmd->sub_commands[i]; i++)
                        fprintf(f, "  %-10s %s\n", cmd->sub_commands[i]->name,
                                cmd->sub_commands[i]->summary);
                fprintf(f, "\n%s %s COMMAND --help tells more.\n", cli->program, cli->command);
                return;
        }
        fprintf(f, "Usage: %s %s [OPTIONS]%s%s\n\n%s.\n", cli->program, cli->command,
                *cmd->args ? " " : "", cmd->args, cmd->summary);
        if (cmd->details)
                fprintf(f, "\n%s\n", cmd->details);
        fputs("\nOptions:\n", f);
        for (size_t i = 0; cmd->options && cmd->options[i].name; i++)
                print_option(&cmd->options[i], f);
        fputs("      --json                   machine-readable output, where there is any\n"
              "  -h, --help                   this text\n",
              f);
}
