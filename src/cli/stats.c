/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `stats`: what containers use. Processor use is a difference between two readings, so the first figures come a second
 * after the start; it is per cent of one core, so 200 % are two cores.
 */
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/context.h"
#include "runtimes/runtime.h"

struct options {
        bool no_stream;
};

static const struct zl_cli_option options_table[] = {
        { "no-stream", 0, ZL_CLI_FLAG, offsetof(struct options, no_stream), NULL,
          "show once and end" },
        { 0 },
};

struct sample {
        const struct zl_view *view;
        struct zl_stats now, before;
        bool ok, has_before;
};

struct samples {
        struct sample *items;
        size_t n;
};

static int add(struct zl_cli *cli, const struct zl_cli_context *context, const struct zl_view *view,
               void *data, struct zl_error *err)
{
        struct samples *s = data;
        struct sample *items = reallocarray(s->items, s->n + 1, sizeof(*items));

        (void)cli;
        (void)context;
        if (!items)
                return zl_fail_oom(err);
        s->items = items;
        if (view->status.state != ZL_STATE_RUNNING && view->status.state != ZL_STATE_PAUSED)
                return zl_fail(err, ZL_E_STATE, 0, "%s is not running", view->status.name);
        items[s->n++] = (struct sample){ .view = view };
        return 0;
}

/* Reads all; one that has ended meanwhile is no error. */
static void read_all(struct samples *s, struct zl_runtime *rt)
{
        for (size_t i = 0; i < s->n; i++) {
                struct sample *one = &s->items[i];

                one->before = one->now;
                one->has_before = one->ok;
                one->ok = zl_runtime_stats(rt, one->view->status.name, &one->now, NULL) >= 0;
        }
}

static double cpu_percent(const struct sample *s)
{
        int64_t span = s->now.time - s->before.time;

        if (!s->has_before || span <= 0 || s->now.cpu_usec < s->before.cpu_usec)
                return 0;
        return (double)(s->now.cpu_usec - s->before.cpu_usec) * 1000.0 / (double)span * 100.0;
}

static json_t *limit_json(uint64_t limit)
{
        return limit == UINT64_MAX ? json_null() : json_integer((json_int_t)limit);
}

static json_t *sample_json(const struct sample *s)
{
        const struct zl_stats *now = &s->now;
        char time[ZL_RFC3339_SIZE];

        return json_pack(
                "{s:s, s:s, s:f, s:I, s:I, s:f, s:I, s:I, s:o, s:I, s:o, s:I, s:I, s:I, "
                "s:I, s:I, s:o}",
                "name", s->view->status.name, "time", zl_format_rfc3339(now->time, time),
                "cpu_percent", cpu_percent(s), "cpu_usec", (json_int_t)now->cpu_usec,
                "cpu_throttled_usec", (json_int_t)now->cpu_throttled_usec, "cpu_limit",
                now->cpu_limit, "memory_bytes", (json_int_t)now->memory_bytes, "memory_peak",
                (json_int_t)now->memory_peak, "memory_limit", limit_json(now->memory_limit), "pids",
                (json_int_t)now->pids, "pids_limit", limit_json(now->pids_limit), "io_read_bytes",
                (json_int_t)now->io_read_bytes, "io_write_bytes", (json_int_t)now->io_write_bytes,
                "net_rx_bytes", (json_int_t)now->net_rx_bytes, "net_tx_bytes",
                (json_int_t)now->net_tx_bytes, "oom_kills", (json_int_t)now->oom_kills, "pressure",
                zl_stats_pressure_json(now));
}

static int print_json(const struct samples *s)
{
        _cleanup_json_ json_t *array = json_array();
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; array && i < s->n; i++)
                if (s->items[i].ok && json_array_append_new(array, sample_json(&s->items[i])) < 0)
                        return -ENOMEM;
        text = array ? zl_json_dump(array, 0) : NULL;
        if (!text)
                return -ENOMEM;
        puts(text);
        return 0;
}

static void limited_cell(struct zl_cli_table *table, uint64_t used, uint64_t limit, bool bytes)
{
        char a[ZL_CLI_TEXT_SIZE], b[ZL_CLI_TEXT_SIZE];

        if (!bytes && limit == UINT64_MAX)
                zl_cli_table_cellf(table, "%llu", (unsigned long long)used);
        else if (!bytes)
                zl_cli_table_cellf(table, "%llu / %llu", (unsigned long long)used,
                                   (unsigned long long)limit);
        else if (limit == UINT64_MAX)
                zl_cli_table_cell(table, zl_cli_format_size(used, a));
        else
                zl_cli_table_cellf(table, "%s / %s", zl_cli_format_size(used, a),
                                   zl_cli_format_size(limit, b));
}

static int print_table(const struct zl_cli *cli, const struct samples *s)
{
        static const char *const headers[] = { "NAME",     "CPU",      "MEMORY",
                                               "PIDS",     "IO READ",  "IO WRITE",
                                               "NET RECV", "NET SENT", NULL };
        _cleanup_table_ struct zl_cli_table *table = zl_cli_table_new(headers);
        char size[ZL_CLI_TEXT_SIZE];

        if (!table)
                return -ENOMEM;
        for (size_t i = 0; i < s->n; i++) {
                const struct zl_stats *now = &s->items[i].now;

                if (!s->items[i].ok)
                        continue;
                zl_cli_table_cell(table, s->items[i].view->status.name);
                zl_cli_table_cellf(table, "%.1f%%", cpu_percent(&s->items[i]));
                limited_cell(table, now->memory_bytes, now->memory_limit, true);
                limited_cell(table, now->pids, now->pids_limit, false);
                zl_cli_table_cell(table, zl_cli_format_size(now->io_read_bytes, size));
                zl_cli_table_cell(table, zl_cli_format_size(now->io_write_bytes, size));
                zl_cli_table_cell(table, zl_cli_format_size(now->net_rx_bytes, size));
                zl_cli_table_cell(table, zl_cli_format_size(now->net_tx_bytes, size));
        }
        return zl_cli_table_print(table, cli, stdout);
}

static bool any_alive(const struct samples *s)
{
        for (size_t i = 0; i < s->n; i++)
                if (s->items[i].ok)
                        return true;
        return false;
}

static int show(struct zl_cli *cli, struct samples *s, struct zl_runtime *rt, bool once)
{
        struct timespec pause = { .tv_sec = once ? 0 : 1, .tv_nsec = once ? 250000000 : 0 };
        int r = 0;

        read_all(s, rt);
        do {
                nanosleep(&pause, NULL);
                read_all(s, rt);
                if (!once && cli->color_out && !cli->json)
                        fputs("\033[H\033[2J", stdout);
                r = cli->json ? print_json(s) : print_table(cli, s);
                if (fflush(stdout) != 0)
                        break;
        } while (!once && r >= 0 && any_alive(s));
        return r;
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        const struct options *o = options;
        _cleanup_context_ struct zl_cli_context context = { 0 };
        struct samples s = { 0 };
        struct zl_error err = ZL_ERROR_INIT;
        int code = ZL_EXIT_OK;

        if (zl_cli_context_open(cli, argv, &context, &err) < 0)
                return zl_cli_fail(cli, &err);
        if (argc > 0)
                code = zl_cli_for_each(cli, &context, argv, add, &s);
        for (size_t i = 0; argc == 0 && i < context.views.n; i++) {
                add(cli, &context, &context.views.items[i], &s, &err);
                zl_error_done(&err); /* those that do not run are not meant */
        }
        if ((argc == 0 || s.n > 0) && show(cli, &s, context.rt, o->no_stream || s.n == 0) < 0) {
                zl_fail_oom(&err);
                code = zl_cli_fail(cli, &err);
        }
        free(s.items);
        return code;
}

const struct zl_cli_command zl_cmd_stats = {
        .name = "stats",
        .args = "[NAME…]",
        .summary = "Show what containers use of processor, memory and disk",
        .details = "Without names all that run. 100 % of CPU is one core.",
        .options = options_table,
        .options_size = sizeof(struct options),
        .max_args = UINT32_MAX,
        .run = run,
};
