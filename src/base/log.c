/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log switch. The level and the sink are the only mutable globals of the code base (style rule
 * 8): they are set once at start and read everywhere.
 */
#include "base/log.h"

#include <stdio.h>
#include <strings.h>

static enum zl_log_level current_level = ZL_LOG_WARNING;
static zl_log_sink current_sink;
static void *current_data;

static const char *const level_names[] = {
        [ZL_LOG_ERROR] = "error",
        [ZL_LOG_WARNING] = "warning",
        [ZL_LOG_INFO] = "info",
        [ZL_LOG_DEBUG] = "debug",
};

void zl_log_set(enum zl_log_level level, zl_log_sink sink, void *data)
{
        current_level = level;
        current_sink = sink;
        current_data = data;
}

enum zl_log_level zl_log_level(void)
{
        return current_level;
}

int zl_log_level_parse(const char *s, enum zl_log_level *ret)
{
        if (strcasecmp(s, "warn") == 0)
                s = "warning";
        for (size_t i = 0; i < ZL_ARRAY_SIZE(level_names); i++) {
                if (strcasecmp(s, level_names[i]) == 0) {
                        *ret = (enum zl_log_level)i;
                        return 0;
                }
        }
        return -EINVAL;
}

const char *zl_log_level_name(enum zl_log_level level)
{
        return level_names[level];
}

void zl_log_sink_stderr(enum zl_log_level level, const char *message, void *data)
{
        const char *prefix = data;

        fprintf(stderr, "%s: %s: %s\n", prefix ? prefix : "zlayer", level_names[level], message);
}

static void log_va(enum zl_log_level level, const struct zl_error *err, const char *fmt, va_list ap)
{
        _cleanup_free_ char *what = NULL, *whole = NULL;

        if (!current_sink || level > current_level)
                return;
        if (vasprintf(&what, fmt, ap) < 0)
                return;
        if (zl_error_is_set(err) &&
            asprintf(&whole, "%s: %s%s%s%s", what, zl_error_message(err), err->hint ? " (" : "",
                     err->hint ? err->hint : "", err->hint ? ")" : "") < 0)
                whole = NULL;
        current_sink(level, whole ? whole : what, current_data);
}

void zl_log(enum zl_log_level level, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        log_va(level, NULL, fmt, ap);
        va_end(ap);
}

void zl_log_error(enum zl_log_level level, const struct zl_error *err, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        log_va(level, err, fmt, ap);
        va_end(ap);
}
