/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress of pulls and imports (see image_progress.h). The callback comes from several threads, one call at a time. A terminal
 * line is cut to the terminal's width, because a line that wraps would break the redrawing.
 */
#include "cli/image_progress.h"

#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/map.h"
#include "cli/terminal.h"

enum { BAR_MAX = 30 };

struct line {
        char status[24];
        uint64_t current, total;
};

struct zl_image_progress {
        bool terminal;
        struct zl_map *lines; /* id -> struct line, in order of appearance */
        size_t drawn;         /* lines on the screen */
        int64_t drawn_at;
        struct sigaction old_int, old_term;
};

/* The signal handler can reach nothing else. */
static volatile sig_atomic_t stop_signal;
static int stop;

static void on_signal(int sig)
{
        stop_signal = sig;
        __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
}

static void draw_line(const char *id, const struct line *l, unsigned width)
{
        char a[ZL_CLI_TEXT_SIZE], b[ZL_CLI_TEXT_SIZE], text[256], bar[BAR_MAX + 1];
        size_t filled = l->total ? (size_t)(ZL_MIN(l->current, l->total) * BAR_MAX / l->total) : 0;

        for (size_t i = 0; i < BAR_MAX; i++)
                bar[i] = i < filled ? '#' : '.';
        bar[BAR_MAX] = 0;
        if (zl_streq(l->status, "downloading") || zl_streq(l->status, "unpacking"))
                snprintf(text, sizeof text, "%s  %-11s  [%s]  %s / %s", id, l->status, bar,
                         zl_cli_format_size(l->current, a), zl_cli_format_size(l->total, b));
        else
                snprintf(text, sizeof text, "%s  %-11s  %s", id, l->status,
                         l->total ? zl_cli_format_size(l->total, b) : "");
        fprintf(stderr, "\033[2K%.*s\n", (int)ZL_MIN(width, 255U), text);
}

static void draw(struct zl_image_progress *p)
{
        uint16_t rows = 24, cols = 80;
        size_t pos = 0, n = zl_map_size(p->lines), skip;
        const char *id;
        void *value;

        (void)zl_terminal_size(STDERR_FILENO, &rows, &cols);
        if (p->drawn)
                fprintf(stderr, "\033[%zuA\r", p->drawn);
        /* More layers than rows: show the last ones. */
        skip = rows > 2 && n > (size_t)rows - 2 ? n - (rows - 2) : 0;
        p->drawn = 0;
        for (size_t i = 0; zl_map_next(p->lines, &pos, &id, &value); i++) {
                if (i < skip)
                        continue;
                draw_line(id, value, cols ? cols - 1U : 79U);
                p->drawn++;
        }
        fflush(stderr);
}

static struct line *line_of(struct zl_image_progress *p, const char *id)
{
        struct line *l = zl_map_get(p->lines, id);

        if (l)
                return l;
        l = calloc(1, sizeof *l);
        if (l && zl_map_put(p->lines, id, l) < 0) {
                free(l);
                l = NULL;
        }
        return l;
}

static void on_progress(const struct zl_pull_progress *progress, void *data)
{
        struct zl_image_progress *p = data;
        int64_t now = zl_now_monotonic();
        struct line *l = progress->id ? line_of(p, progress->id) : NULL;
        char size[ZL_CLI_TEXT_SIZE];
        bool changed;

        if (!l)
                return;
        changed = !zl_streq(l->status, progress->status);
        snprintf(l->status, sizeof l->status, "%s", progress->status);
        l->current = progress->current;
        l->total = ZL_MAX(progress->total, l->total);
        if (p->terminal && (changed || now - p->drawn_at >= 50 * ZL_NSEC_PER_MSEC)) {
                p->drawn_at = now;
                draw(p);
        } else if (!p->terminal && changed &&
                   (zl_streq(l->status, "done") || zl_streq(l->status, "exists"))) {
                fprintf(stderr, "layer %s: %s%s%s\n", progress->id, l->status, l->total ? ", " : "",
                        l->total ? zl_cli_format_size(l->total, size) : "");
        }
}

struct zl_image_progress *zl_image_progress_new(const struct zl_cli *cli, bool quiet,
                                                struct zl_pull_options *options)
{
        struct zl_image_progress *p = calloc(1, sizeof *p);
        struct sigaction sa = { .sa_handler = on_signal };

        (void)cli;
        if (!p || !(p->lines = zl_map_new(free))) {
                free(p);
                return NULL;
        }
        p->terminal = isatty(STDERR_FILENO);
        stop_signal = 0;
        stop = 0;
        sigaction(SIGINT, &sa, &p->old_int);
        sigaction(SIGTERM, &sa, &p->old_term);
        options->cancel = &stop;
        if (!quiet) {
                options->progress = on_progress;
                options->progress_data = p;
        }
        return p;
}

int zl_image_progress_free(struct zl_image_progress *p)
{
        int sig = stop_signal;

        if (!p)
                return 0;
        sigaction(SIGINT, &p->old_int, NULL);
        sigaction(SIGTERM, &p->old_term, NULL);
        zl_map_free(p->lines);
        free(p);
        return sig;
}
