/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostics of our own programs (not workload output). The library never prints by itself: it calls
 * zl_log(), and what happens is decided by the sink a program installs; without one, nothing.
 */
#pragma once

#include "base/error.h"

enum zl_log_level { ZL_LOG_ERROR, ZL_LOG_WARNING, ZL_LOG_INFO, ZL_LOG_DEBUG };

typedef void (*zl_log_sink)(enum zl_log_level level, const char *message, void *data);

/* Not thread-safe: call once at program start. Messages above `level` are dropped unformatted. */
void zl_log_set(enum zl_log_level level, zl_log_sink sink, void *data);
enum zl_log_level zl_log_level(void);
int zl_log_level_parse(const char *s, enum zl_log_level *ret);
const char *zl_log_level_name(enum zl_log_level level);

/* A sink that writes "PREFIX: level: message" lines to standard error; data is the prefix. */
void zl_log_sink_stderr(enum zl_log_level level, const char *message, void *data);

void zl_log(enum zl_log_level level, const char *fmt, ...) ZL_PRINTF(2, 3);
/* Logs "TEXT: message (hint)" of an error. */
void zl_log_error(enum zl_log_level level, const struct zl_error *err, const char *fmt, ...)
        ZL_PRINTF(3, 4);
#define zl_warn(...) zl_log(ZL_LOG_WARNING, __VA_ARGS__)
#define zl_info(...) zl_log(ZL_LOG_INFO, __VA_ARGS__)
#define zl_debug(...) zl_log(ZL_LOG_DEBUG, __VA_ARGS__)
