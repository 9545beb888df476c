/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See up_view.h. Events go to standard error, logs to standard output, so `up >file` keeps the logs alone. With --json
 * the events are objects, one per line, on standard output, and logs are not shown.
 *
 * A log is followed from the start of its workload; when that is started again, from behind the last line shown. Of a
 * workload that ran before we came only what is new is shown.
 */
#include "cli/up_view.h"

#include "agent/loop.h"
#include "base/clock.h"
#include "base/ident.h"
#include "base/log.h"
#include "base/map.h"
#include "cli/log_print.h"

struct stream {
        struct zl_up_view *view;
        char name[ZL_IDENT_NAME_MAX], label[ZL_IDENT_NAME_MAX];
        struct zl_log_printer printer;
        struct zl_logs *logs;
        struct zl_loop_poll *poll;
        int64_t last; /* time of the last entry shown */
};

struct zl_up_view {
        const struct zl_cli *cli;
        struct zl_runtime *rt;
        uv_loop_t *uv;
        bool quiet_logs;
        int width;
        struct zl_map *streams; /* by full name */
};

static void close_stream(struct stream *s)
{
        zl_loop_poll_stop(s->poll);
        s->poll = NULL;
        if (s->logs)
                zl_logs_close(s->logs);
        s->logs = NULL;
}

static void free_stream(void *data)
{
        close_stream(data);
        free(data);
}

int zl_up_view_new(const struct zl_up_view_options *o, struct zl_up_view **ret,
                   struct zl_error *err)
{
        struct zl_up_view *view = calloc(1, sizeof(*view));

        if (!view)
                return zl_fail_oom(err);
        *view = (struct zl_up_view){ .cli = o->cli,
                                     .rt = o->rt,
                                     .uv = o->uv,
                                     .quiet_logs = o->quiet_logs || o->cli->json,
                                     .width = o->name_width,
                                     .streams = zl_map_new(free_stream) };
        if (!view->streams) {
                free(view);
                return zl_fail_oom(err);
        }
        *ret = view;
        return 0;
}

void zl_up_view_free(struct zl_up_view *view)
{
        if (!view)
                return;
        zl_map_free(view->streams);
        free(view);
}

bool zl_up_view_is_busy(const struct zl_up_view *view)
{
        const char *key;
        size_t pos = 0;
        void *value;

        while (zl_map_next(view->streams, &pos, &key, &value))
                if (((struct stream *)value)->logs)
                        return true;
        return false;
}

/* ---- logs ------------------------------------------------------------------------------------------------------ */

static void on_logs(void *data)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct stream *s = data;
        struct zl_log_entry entry;
        int r;

        while ((r = zl_logs_next(s->logs, &entry, &err)) > 0) {
                zl_log_print(&s->printer, &entry);
                s->last = entry.time;
        }
        fflush(stdout);
        if (r == 0)
                return;
        if (r != -ENODATA)
                zl_log_error(ZL_LOG_WARNING, &err, "the log of %s is not shown further", s->name);
        close_stream(s);
}

static struct stream *get_stream(struct zl_up_view *view, const char *name)
{
        struct stream *s = zl_map_get(view->streams, name);
        const char *dot = strchr(name, '.');

        if (s)
                return s;
        s = calloc(1, sizeof(*s));
        if (!s)
                return NULL;
        s->view = view;
        snprintf(s->name, sizeof(s->name), "%s", name);
        snprintf(s->label, sizeof(s->label), "%s", dot ? dot + 1 : name);
        s->printer = (struct zl_log_printer){ .color = view->cli->color_out,
                                              .name = s->label,
                                              .width = view->width,
                                              .index = (unsigned)zl_map_size(view->streams) };
        if (zl_map_put(view->streams, name, s) < 0) {
                free(s);
                return NULL;
        }
        return s;
}

static void follow(struct zl_up_view *view, const char *name, bool adopted)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_log_options options = { .follow = true, .tail = -1 };
        struct stream *s = get_stream(view, name);
        int r;

        if (!s)
                return;
        if (s->logs)
                on_logs(s);
        close_stream(s);
        if (adopted && s->last == 0)
                options.since = zl_now_realtime();
        else if (s->last > 0)
                options.since = s->last + 1;
        r = zl_logs_open(view->rt, name, &options, &s->logs, &err);
        if (r >= 0)
                r = zl_loop_poll_start(view->uv, zl_logs_fd(s->logs), on_logs, s, &s->poll);
        if (r < 0) {
                zl_log_error(ZL_LOG_WARNING, &err, "the log of %s is not shown", name);
                close_stream(s);
                return;
        }
        on_logs(s);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static void describe_exit(const struct zl_event *event, char *buf, size_t size)
{
        snprintf(buf, size, "exited with code %d%s%s", event->exit_code,
                 event->oom ? ", out of memory" : "",
                 event->stop_requested ? ", as it was asked to" : "");
}

/* What a human wants to read of it; NULL: nothing. */
static const char *describe(const struct zl_event *event, char *buf, size_t size)
{
        char span[ZL_CLI_TEXT_SIZE];

        switch (event->type) {
        case ZL_EVENT_STARTED:
        case ZL_EVENT_ADOPTED:
                snprintf(buf, size, "%s%s",
                         event->type == ZL_EVENT_STARTED ? "started" : "runs already",
                         event->restarts > 0 && event->type == ZL_EVENT_STARTED ? " again" : "");
                return buf;
        case ZL_EVENT_EXITED:
                describe_exit(event, buf, size);
                return buf;
        case ZL_EVENT_RESTARTING:
        case ZL_EVENT_CRASH_LOOP:
                snprintf(buf, size, "%sstarts again in %s (restart %u)",
                         event->type == ZL_EVENT_CRASH_LOOP ? "crashes again and again; " : "",
                         zl_cli_format_span(event->delay_nsec, span), event->restarts);
                return buf;
        case ZL_EVENT_ROLLING:
                return event->message ? "is replaced" : NULL;
        case ZL_EVENT_WAITING:
                return "waits for";
        case ZL_EVENT_DEPLOYMENT_STARTED:
                return "is up";
        case ZL_EVENT_DEPLOYMENT_STOPPED:
                return "has ended";
        case ZL_EVENT_DEPLOYMENT_UP:
        case ZL_EVENT_DEPLOYMENT_FAILED: /* the error is printed with its hint */
        case ZL_EVENT_CREATED:
        case ZL_EVENT_PULLED:
                return NULL;
        default:
                return zl_event_type_name(event->type);
        }
}

static void print_json(const struct zl_event *event)
{
        _cleanup_json_ json_t *o = zl_event_to_json(event);
        _cleanup_free_ char *text = o ? zl_json_dump(o, 0) : NULL;

        if (text) {
                puts(text);
                fflush(stdout);
        }
}

static void print_text(const struct zl_cli *cli, const struct zl_event *event)
{
        char buf[256];
        const char *text = describe(event, buf, sizeof(buf));

        if (event->type == ZL_EVENT_WARNING) {
                zl_cli_warn(cli, "%s: %s", event->name, event->message ?: "");
                return;
        }
        if (!text)
                return;
        fprintf(stderr, "%s%s %s%s", cli->color_err ? "\033[2m" : "", event->name, text,
                cli->color_err ? "\033[0m" : "");
        if (event->message && event->type != ZL_EVENT_RESTARTING)
                fprintf(stderr, ": %s", event->message);
        fputc('\n', stderr);
}

void zl_up_view_event(struct zl_up_view *view, const struct zl_event *event)
{
        if (view->cli->json)
                print_json(event);
        else
                print_text(view->cli, event);
        if (!view->quiet_logs &&
            (event->type == ZL_EVENT_STARTED || event->type == ZL_EVENT_ADOPTED))
                follow(view, event->name, event->type == ZL_EVENT_ADOPTED);
}
