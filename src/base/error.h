/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How our own code fills a struct zl_error. The convention is in <zlayer/error.h>: report or
 * return, never both; fill once, prefix on the way up.
 */
#pragma once

#include <errno.h>

#include <zlayer/error.h>

#include "base/macro.h"

/*
 * Fills `err` (may be NULL) and returns -errnum, so that a failure is one line:
 *
 *         if (fd < 0)
 *                 return zl_fail(err, ZL_E_IO, errno, "cannot open %s", path);
 *
 * `errnum` is a positive errno value; its text is appended to the message ("cannot open /x: No such
 * file or directory"). 0 means that there is no errno behind it: nothing is appended and the
 * value returned is the code's usual errno (ZL_E_INVALID: -EINVAL, ZL_E_NOT_FOUND: -ENOENT ...).
 * An error that is set already is replaced.
 */
int zl_fail(struct zl_error *err, enum zl_code code, int errnum, const char *fmt, ...)
        ZL_PRINTF(4, 5);

/* The same with the code chosen from `errnum` (ENOENT: ZL_E_NOT_FOUND, EACCES: ZL_E_PERMISSION ...).
 * `errnum` must be positive. */
int zl_fail_errno(struct zl_error *err, int errnum, const char *fmt, ...) ZL_PRINTF(3, 4);

/* Out of memory; always returns -ENOMEM. Allocates nothing that must succeed. */
int zl_fail_oom(struct zl_error *err);

/* Adds advice to an error that is set. No-op if `err` is NULL or not set. */
void zl_error_hint(struct zl_error *err, const char *fmt, ...) ZL_PRINTF(2, 3);

/* Puts "TEXT: " in front of the message. No-op if `err` is NULL or not set. */
void zl_error_prefix(struct zl_error *err, const char *fmt, ...) ZL_PRINTF(2, 3);

/* Changes the code of an error that is set and keeps everything else. */
void zl_error_recode(struct zl_error *err, enum zl_code code);

/* Moves `src` to `dst`, replacing what `dst` held; either may be NULL. */
void zl_error_move(struct zl_error *dst, struct zl_error *src);

/* The code that fits an errno value. */
enum zl_code zl_code_from_errno(int errnum) _const_;

static inline int zl_error_is_set(const struct zl_error *err)
{
        return err && err->code != ZL_OK;
}

#define _cleanup_error_ _cleanup_(zl_error_done)
