/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a workload are passed on as they are, also what is not UTF-8: logs are evidence. An entry that is only a
 * part of a line is continued without a new prefix when the next one follows at once.
 */
#include "cli/log_print.h"

#include "base/clock.h"
#include "base/json.h"

static const char *const colors[] = { "\033[36m", "\033[33m", "\033[32m",
                                      "\033[35m", "\033[34m", "\033[31m" };

static void print_json(const struct zl_log_printer *printer, const struct zl_log_entry *entry)
{
        char time[ZL_RFC3339_SIZE];
        _cleanup_json_ json_t *o = json_pack(
                "{s:s, s:s, s:s, s:o*, s:b}", "time", zl_format_rfc3339(entry->time, time), "name",
                printer->name, "stream", entry->stream == 2 ? "stderr" : "stdout", "text",
                zl_json_string_lossy(entry->data, entry->len), "partial", (int)entry->partial);
        _cleanup_free_ char *text = o ? zl_json_dump(o, 0) : NULL;

        if (text)
                puts(text);
}

void zl_log_print(struct zl_log_printer *printer, const struct zl_log_entry *entry)
{
        bool is_err = entry->stream == 2;
        FILE *f = is_err && printer->split ? stderr : stdout;
        char time[ZL_RFC3339_SIZE];

        if (printer->json) {
                print_json(printer, entry);
                return;
        }
        if (!printer->in_line[is_err]) {
                if (printer->name)
                        fprintf(f, "%s%-*s |%s ",
                                printer->color ? colors[printer->index % ZL_ARRAY_SIZE(colors)]
                                               : "",
                                printer->width, printer->name, printer->color ? "\033[0m" : "");
                if (printer->times)
                        fprintf(f, "%s ", zl_format_rfc3339(entry->time, time));
        }
        fwrite(entry->data, 1, entry->len, f);
        printer->in_line[is_err] = entry->partial;
        if (!entry->partial)
                fputc('\n', f);
}
