/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people and scripts read: errors with their hint, warnings, sizes, spans, tables. Errors go to standard
 * error in one form everywhere, so that tests and users find them by "zlayer-agent: ".
 *
 * Text that comes from outside (names of processes, messages of registries) may hold control characters; on
 * their way to a terminal they are replaced.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strv.h"
#include "cli/cli.h"

#define RED "\033[31m"
#define YELLOW "\033[33m"
#define BOLD "\033[1m"
#define PLAIN "\033[0m"

/* Control characters other than newline and tab could drive the reader's terminal. */
static void put_clean(FILE *f, const char *text)
{
        for (const char *p = text; *p; p++) {
                unsigned char c = (unsigned char)*p;

                if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
                        fprintf(f, "\\x%02x", c);
                else
                        fputc(c, f);
        }
}

static void put_error(const struct zl_cli *cli, const char *where, const struct zl_error *err)
{
        fflush(stdout);
        fprintf(stderr, "%s%s:%s %s%s", cli->color_err ? RED : "", cli->program,
                cli->color_err ? PLAIN : "", where ?: "", where ? ": " : "");
        put_clean(stderr, zl_error_message(err));
        fputc('\n', stderr);
        if (err && err->hint) {
                fputs("  hint: ", stderr);
                put_clean(stderr, err->hint);
                fputc('\n', stderr);
        }
}

int zl_cli_fail(const struct zl_cli *cli, struct zl_error *err)
{
        put_error(cli, NULL, err);
        zl_error_done(err);
        return ZL_EXIT_FAILED;
}

static void put_usage_hint(const struct zl_cli *cli)
{
        fprintf(stderr, "  hint: %s %s%s--help tells more\n", cli->program, cli->command ?: "",
                cli->command ? " " : "");
}

int zl_cli_fail_argument(const struct zl_cli *cli, struct zl_error *err)
{
        if (err->code != ZL_E_INVALID)
                return zl_cli_fail(cli, err);
        put_error(cli, cli->command, err);
        if (!err->hint)
                put_usage_hint(cli);
        zl_error_done(err);
        return ZL_EXIT_USAGE;
}

int zl_cli_fail_workload(const struct zl_cli *cli, struct zl_error *err)
{
        int code = err->code == ZL_E_NO_COMMAND     ? ZL_EXIT_NO_COMMAND
                   : err->code == ZL_E_NOT_RUNNABLE ? ZL_EXIT_NOT_RUNNABLE
                                                    : ZL_EXIT_AGENT;

        return zl_cli_fail_argument(cli, err) == ZL_EXIT_USAGE ? ZL_EXIT_USAGE : code;
}

int zl_cli_each(const struct zl_cli *cli, char **argv,
                int (*each)(void *data, const char *arg, struct zl_error *err), void *data)
{
        int code = ZL_EXIT_OK;

        for (; *argv; argv++) {
                struct zl_error err = ZL_ERROR_INIT;

                if (each(data, *argv, &err) < 0)
                        code = zl_cli_fail_argument(cli, &err);
                else
                        puts(*argv);
        }
        return code;
}

int zl_cli_usage(const struct zl_cli *cli, const char *fmt, ...)
{
        va_list ap;

        fflush(stdout);
        fprintf(stderr, "%s: %s%s", cli->program, cli->command ?: "", cli->command ? ": " : "");
        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
        fputc('\n', stderr);
        put_usage_hint(cli);
        return ZL_EXIT_USAGE;
}

void zl_cli_warn(const struct zl_cli *cli, const char *fmt, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&text, fmt, ap);
        va_end(ap);
        fflush(stdout);
        fprintf(stderr, "%s%s: warning:%s ", cli->color_err ? YELLOW : "", cli->program,
                cli->color_err ? PLAIN : "");
        put_clean(stderr, n < 0 ? "out of memory" : text);
        fputc('\n', stderr);
        if (n < 0)
                text = NULL;
}

int zl_cli_finish(const struct zl_cli *cli, int code)
{
        if (fflush(stdout) == 0 && !ferror(stdout))
                return code;
        fprintf(stderr, "%s: cannot write to standard output: %s\n", cli->program, strerror(errno));
        return code == ZL_EXIT_OK ? ZL_EXIT_FAILED : code;
}

int zl_cli_read_input(const char *path, size_t max, char **ret, size_t *ret_len,
                      struct zl_error *err)
{
        bool is_stdin = zl_streq(path, "-");
        _cleanup_close_ int opened = -EBADF;
        int fd = STDIN_FILENO, r;

        if (!is_stdin) {
                fd = opened = open(path, O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        return zl_fail_errno(err, errno, "cannot open %s", path);
        }
        r = zl_read_fd(fd, max, ret, ret_len);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", is_stdin ? "standard input" : path);
        return 0;
}

char *zl_cli_format_size(uint64_t bytes, char buf[ZL_CLI_TEXT_SIZE])
{
        static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
        double v = (double)bytes;
        size_t i = 0;

        while (v >= 1024 && i + 1 < ZL_ARRAY_SIZE(names)) {
                v /= 1024;
                i++;
        }
        snprintf(buf, ZL_CLI_TEXT_SIZE, i == 0 || v >= 100 ? "%.0f%s" : "%.1f%s", v, names[i]);
        return buf;
}

char *zl_cli_format_span(int64_t nsec, char buf[ZL_CLI_TEXT_SIZE])
{
        long long s = nsec / ZL_NSEC_PER_SEC;

        if (nsec < ZL_NSEC_PER_SEC)
                snprintf(buf, ZL_CLI_TEXT_SIZE, "%lldms", (long long)(nsec / ZL_NSEC_PER_MSEC));
        else if (s < 60)
                snprintf(buf, ZL_CLI_TEXT_SIZE, "%.1fs", (double)nsec / (double)ZL_NSEC_PER_SEC);
        else if (s < 3600)
                snprintf(buf, ZL_CLI_TEXT_SIZE, "%lldm%llds", s / 60, s % 60);
        else
                snprintf(buf, ZL_CLI_TEXT_SIZE, "%lldh%lldm", s / 3600, s / 60 % 60);
        return buf;
}

int zl_cli_print_json(const json_t *value)
{
        _cleanup_free_ char *text = value ? zl_json_dump(value, 2) : NULL;

        if (!text)
                return -ENOMEM;
        puts(text);
        return 0;
}

/* ---- tables ----------------------------------------------------------------------------------------- */

struct zl_cli_table {
        const char *const *headers;
        size_t n_columns;
        char **cells; /* string vector, row by row */
        size_t n_cells;
        int error;
};

struct zl_cli_table *zl_cli_table_new(const char *const *headers)
{
        struct zl_cli_table *table = calloc(1, sizeof(*table));

        if (!table)
                return NULL;
        table->headers = headers;
        while (headers[table->n_columns])
                table->n_columns++;
        return table;
}

void zl_cli_table_free(struct zl_cli_table *table)
{
        if (!table)
                return;
        zl_strv_free(table->cells);
        free(table);
}

void zl_cli_table_cell(struct zl_cli_table *table, const char *text)
{
        char *copy = strdup(text && *text ? text : "-");

        if (copy)
                for (char *p = copy; *p; p++)
                        if ((unsigned char)*p < 0x20 || *p == 0x7f)
                                *p = ' ';
        if (!copy || zl_strv_push_take(&table->cells, copy) < 0)
                table->error = -ENOMEM;
        else
                table->n_cells++;
}

void zl_cli_table_cellf(struct zl_cli_table *table, const char *fmt, ...)
{
        char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&text, fmt, ap);
        va_end(ap);
        if (n < 0) {
                table->error = -ENOMEM;
                return;
        }
        zl_cli_table_cell(table, text);
        free(text);
}

/* Columns on the screen: bytes that do not continue a UTF-8 character. */
static size_t width_of(const char *s)
{
        size_t n = 0;

        for (; *s; s++)
                n += ((unsigned char)*s & 0xc0) != 0x80;
        return n;
}

static void print_cell(FILE *f, const char *text, size_t width, bool last)
{
        fputs(text, f);
        if (!last)
                for (size_t n = width_of(text); n < width + 2; n++)
                        fputc(' ', f);
}

int zl_cli_table_print(const struct zl_cli_table *table, const struct zl_cli *cli, FILE *f)
{
        size_t n = table->n_columns;
        _cleanup_free_ size_t *widths = calloc(n ? n : 1, sizeof(size_t));

        if (table->error < 0 || !widths)
                return -ENOMEM;
        for (size_t c = 0; c < n; c++)
                widths[c] = width_of(table->headers[c]);
        for (size_t i = 0; i < table->n_cells; i++)
                widths[i % n] = ZL_MAX(widths[i % n], width_of(table->cells[i]));
        fputs(cli->color_out ? BOLD : "", f);
        for (size_t c = 0; c < n; c++)
                print_cell(f, table->headers[c], widths[c], c + 1 == n);
        fprintf(f, "%s\n", cli->color_out ? PLAIN : "");
        for (size_t i = 0; i < table->n_cells; i++) {
                print_cell(f, table->cells[i], widths[i % n], i % n + 1 == n);
                if (i % n + 1 == n)
                        fputc('\n', f);
        }
        return 0;
}
