/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a workload are passed on as they are, also what is not UTF-8: logs are evidence. An entry that is only a
 * part of a line is continued without a new prefix when the next one follows at once.
 */
#include "cli/log_print.h"

#include "base/clock.h"

static const char *const colors[] = { "\033[36m", "\033[33m", "\033[32m",
                                      "\033[35m", "\033[34m", "\033[31m" };

void zl_log_print(struct zl_log_printer *printer, const struct zl_log_entry *entry)
{
        bool is_err = entry->stream == 2;
        FILE *f = is_err && printer->split ? stderr : stdout;
        char time[ZL_RFC3339_SIZE];

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
