/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `events`: what agents on this root directory have done and seen, from the store, and from then on as it happens. There
 * is no polling: the kernel tells when the database's log grows (inotify), and each time all new rows are read.
 */
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"
#include "cli/context.h"

struct options {
        bool no_stream;
        const char *since;
        struct zl_cli_u64 after;
};

static const struct zl_cli_option options_table[] = {
        { "no-stream", 0, ZL_CLI_FLAG, offsetof(struct options, no_stream), NULL,
          "show what there is and end" },
        { "since", 0, ZL_CLI_STRING, offsetof(struct options, since), "TIME",
          "begin with those at or after a time (RFC 3339) or a span back from now (10m)" },
        { "after", 0, ZL_CLI_U64, offsetof(struct options, after), "SEQ",
          "begin with those behind this number (0: all that are kept)" },
        { 0 },
};

struct reader {
        struct zl_cli *cli;
        char **names; /* of arguments; none: all */
        int n_names;
        int64_t since;
};

/* NAME itself, or something below it: "shop" means "shop.web.1" too. */
static bool is_wanted(const struct reader *reader, const char *name)
{
        for (int i = 0; i < reader->n_names; i++) {
                const char *rest = zl_startswith(name, reader->names[i]);

                if (rest && (*rest == 0 || *rest == '.'))
                        return true;
        }
        return reader->n_names == 0;
}

static void print_text(const json_t *o)
{
        json_int_t code = zl_json_int(o, "exit_code", -1);

        printf("%s  %-19s %s", zl_json_str(o, "time", "?"), zl_json_str(o, "type", "?"),
               zl_json_str(o, "name", "?"));
        if (code >= 0)
                printf("  exit code %lld%s%s", (long long)code,
                       zl_json_bool(o, "oom", false) ? ", out of memory" : "",
                       zl_json_bool(o, "stop_requested", false) ? ", on request" : "");
        if (zl_json_int(o, "delay_ms", 0) > 0)
                printf("  in %lld ms", (long long)zl_json_int(o, "delay_ms", 0));
        printf("%s%s\n", zl_json_str(o, "message", NULL) ? "  " : "",
               zl_json_str(o, "message", ""));
}

static int print_event(int64_t seq, int64_t time, const char *text, void *data)
{
        const struct reader *reader = data;
        _cleanup_json_ json_t *o = NULL;
        int r;

        (void)seq;
        if (time < reader->since)
                return 0;
        r = zl_json_parse(text, strlen(text), "event", &o, NULL);
        if (r < 0)
                return r;
        if (!is_wanted(reader, zl_json_str(o, "name", "")))
                return 0;
        if (reader->cli->json)
                puts(text);
        else
                print_text(o);
        return fflush(stdout) == 0 ? 0 : -EPIPE;
}

/* Watches the directory, since the database's log comes and goes. */
static int wait_for_change(int watch, struct zl_error *err)
{
        _Alignas(struct inotify_event) char buf[4096];
        struct pollfd p[] = { { .fd = watch, .events = POLLIN },
                              { .fd = STDOUT_FILENO, .events = 0 } };

        /* A reader of ours that went away shows as an error on the pipe: then nobody is left to tell. */
        if (poll(p, ZL_ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
                return zl_fail_errno(err, errno, "cannot wait for events");
        if (p[1].revents & (POLLERR | POLLHUP | POLLNVAL))
                return 1;
        while (read(watch, buf, sizeof(buf)) > 0)
                ;
        return 0;
}

static int stream(struct zl_store *store, struct reader *reader, int64_t after, const char *root,
                  struct zl_error *err)
{
        _cleanup_close_ int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        int r;

        if (watch < 0 || inotify_add_watch(watch, root, IN_MODIFY | IN_CREATE) < 0)
                return zl_fail_errno(err, errno, "cannot watch %s", root);
        do {
                r = zl_store_read_events(store, after, print_event, reader, &after, err);
                if (r >= 0)
                        r = wait_for_change(watch, err);
        } while (r == 0);
        return r;
}

/* The number behind which the events begin. */
static int begin(struct zl_store *store, const struct options *o, int64_t *after,
                 struct zl_error *err)
{
        if (o->after.set)
                *after = (int64_t)ZL_MIN(o->after.value, (uint64_t)INT64_MAX);
        else if (!o->since && !o->no_stream) /* only what comes */
                return zl_store_last_event(store, after, err);
        return 0;
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        const struct options *o = options;
        struct reader reader = { .cli = cli, .names = argv, .n_names = argc };
        _cleanup_store_ struct zl_store *store = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        int64_t after = 0;
        int r;

        if (o->since && zl_cli_parse_instant(o->since, &reader.since) < 0)
                return zl_cli_usage(cli, "--since: \"%s\" is no time and no span", o->since);
        r = zl_store_open(cli->root_dir, &store, &err);
        if (r >= 0)
                r = begin(store, o, &after, &err);
        if (r >= 0 && o->no_stream)
                r = zl_store_read_events(store, after, print_event, &reader, &after, &err);
        else if (r >= 0)
                r = stream(store, &reader, after, cli->root_dir, &err);
        if (r < 0 && r != -EPIPE)
                return zl_cli_fail(cli, &err);
        return ZL_EXIT_OK;
}

const struct zl_cli_command zl_cmd_events = {
        .name = "events",
        .args = "[NAME…]",
        .summary = "Show what happens, as it happens",
        .details =
                "With --json one object per line: seq, time, type, name, and what belongs to the type. NAME is a\n"
                "deployment, DEPLOYMENT.SERVICE or a full name.",
        .options = options_table,
        .options_size = sizeof(struct options),
        .max_args = UINT32_MAX,
        .run = run,
};
