/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `logs`: what containers said, from their own records, whether they run or not. Several containers are followed
 * together, each line with the name in front.
 */
#include <poll.h>

#include "base/clock.h"
#include "base/parse.h"
#include "cli/context.h"
#include "cli/log_print.h"

struct options {
        bool follow, times, no_stdout, no_stderr;
        const char *tail, *since, *until;
};

static const struct zl_cli_option options_table[] = {
        { "follow", 'f', ZL_CLI_FLAG, offsetof(struct options, follow), NULL,
          "wait for more until it has ended" },
        { "tail", 'n', ZL_CLI_STRING, offsetof(struct options, tail), "LINES",
          "only the last ones, or \"all\"" },
        { "since", 0, ZL_CLI_STRING, offsetof(struct options, since), "TIME",
          "from then on: a time (RFC 3339) or a span back from now (10m)" },
        { "until", 0, ZL_CLI_STRING, offsetof(struct options, until), "TIME", "up to then" },
        { "timestamps", 't', ZL_CLI_FLAG, offsetof(struct options, times), NULL,
          "put the time in front of each line" },
        { "no-stdout", 0, ZL_CLI_FLAG, offsetof(struct options, no_stdout), NULL,
          "only standard error" },
        { "no-stderr", 0, ZL_CLI_FLAG, offsetof(struct options, no_stderr), NULL,
          "only standard output" },
        { 0 },
};

struct source {
        struct zl_logs *logs;
        struct zl_log_printer printer;
};

struct sources {
        struct source *items;
        size_t n, n_open;
        struct zl_log_options log;
        struct zl_log_printer like;
};

static int parse_tail(const char *text, int64_t *ret)
{
        uint64_t lines;

        if (!text || zl_streq(text, "all"))
                return 0;
        if (zl_parse_u64(text, 10, &lines) < 0)
                return -EINVAL;
        *ret = (int64_t)ZL_MIN(lines, (uint64_t)INT64_MAX);
        return 0;
}

static int open_one(struct zl_cli *cli, const struct zl_cli_context *context,
                    const struct zl_view *view, void *data, struct zl_error *err)
{
        struct sources *s = data;
        struct source *items = reallocarray(s->items, s->n + 1, sizeof(*items));
        int r;

        (void)cli;
        if (!items)
                return zl_fail_oom(err);
        s->items = items;
        if (!view->is_real)
                return zl_fail(err, ZL_E_STATE, 0, "%s has not been created yet",
                               view->status.name);
        items[s->n] = (struct source){ .printer = s->like };
        items[s->n].printer.name = view->status.name;
        items[s->n].printer.index = (unsigned)s->n;
        r = zl_logs_open(context->rt, view->status.name, &s->log, &items[s->n].logs, err);
        if (r >= 0) {
                s->n++;
                s->n_open++;
        }
        return r;
}

/* All that is there now. 0, or negative with `err` set. */
static int drain(struct sources *s, struct source *source, struct zl_error *err)
{
        struct zl_log_entry entry;
        int r;

        while ((r = zl_logs_next(source->logs, &entry, err)) > 0) {
                zl_log_print(&source->printer, &entry);
                if (ferror(stdout))
                        return zl_fail_errno(err, EPIPE, "cannot write to standard output");
        }
        if (r == 0)
                return 0;
        zl_logs_close(source->logs);
        source->logs = NULL;
        s->n_open--;
        if (r != -ENODATA)
                return r;
        zl_error_done(err);
        return 0;
}

static int follow(struct sources *s, struct zl_error *err)
{
        _cleanup_free_ struct pollfd *p = calloc(s->n + 1, sizeof(*p));

        if (!p)
                return zl_fail_oom(err);
        for (;;) {
                for (size_t i = 0; i < s->n; i++) {
                        int r = s->items[i].logs ? drain(s, &s->items[i], err) : 0;

                        if (r < 0)
                                return r;
                }
                fflush(stdout);
                if (s->n_open == 0)
                        return 0;
                for (size_t i = 0; i < s->n; i++)
                        p[i] = (struct pollfd){
                                .fd = s->items[i].logs ? zl_logs_fd(s->items[i].logs) : -1,
                                .events = POLLIN,
                        };
                if (poll(p, s->n, -1) < 0 && errno != EINTR)
                        return zl_fail_errno(err, errno, "cannot wait for logs");
        }
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        const struct options *o = options;
        _cleanup_context_ struct zl_cli_context context = { 0 };
        struct sources s = {
                .log = { .follow = o->follow,
                         .tail = -1,
                         .no_stdout = o->no_stdout,
                         .no_stderr = o->no_stderr },
                .like = { .color = cli->color_out,
                          .times = o->times,
                          .split = true,
                          .json = cli->json },
        };
        struct zl_error err = ZL_ERROR_INIT;
        int code;

        if (parse_tail(o->tail, &s.log.tail) < 0)
                return zl_cli_usage(cli, "--tail: \"%s\" is neither a number nor \"all\"", o->tail);
        if (o->since && zl_cli_parse_instant(o->since, &s.log.since) < 0)
                return zl_cli_usage(cli, "--since: \"%s\" is no time and no span", o->since);
        if (o->until && zl_cli_parse_instant(o->until, &s.log.until) < 0)
                return zl_cli_usage(cli, "--until: \"%s\" is no time and no span", o->until);
        if (zl_cli_context_open(cli, argv, &context, &err) < 0)
                return zl_cli_fail(cli, &err);
        code = zl_cli_for_each(cli, &context, argv, open_one, &s);
        for (size_t i = 0; i < s.n; i++) {
                struct zl_log_printer *p = &s.items[i].printer;

                p->width = 0;
                if (s.n == 1 && !p->json)
                        p->name = NULL;
                for (size_t k = 0; k < s.n && p->name; k++)
                        p->width = ZL_MAX(p->width, (int)strlen(s.items[k].printer.name));
        }
        if (follow(&s, &err) < 0)
                code = zl_cli_fail(cli, &err);
        for (size_t i = 0; i < s.n; i++)
                if (s.items[i].logs)
                        zl_logs_close(s.items[i].logs);
        free(s.items);
        return code;
}

const struct zl_cli_command zl_cmd_logs = {
        .name = "logs",
        .args = "NAME…",
        .summary = "Show what containers said",
        .details =
                "With --json one object per line: time, name, stream, text; partial is true of a piece of a line that\n"
                "goes on in the next one.",
        .options = options_table,
        .options_size = sizeof(struct options),
        .min_args = 1,
        .max_args = UINT32_MAX,
        .run = run,
};
