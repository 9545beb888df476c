/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time zones: the offset from UTC at any instant, from the system's zoneinfo files (RFC 9636, versions 1 to 4). A zone is a
 * sequence of periods, each with one offset; that is all that a calendar needs to do the right thing at the changes.
 *
 * The C library has one zone per process; this has as many as are loaded, and reads no environment.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct zl_timezone;

/* "UTC", or the name of a file below the zoneinfo directory ("Europe/Berlin"). Nothing else: no path, no rule. ZL_E_NOT_FOUND
 * if there is no such zone here, ZL_E_CORRUPT if the file is damaged. Reads a file; may block. */
int zl_timezone_load(const char *name, struct zl_timezone **ret, struct zl_error *err);
/* From the content of such a file. */
int zl_timezone_parse(const void *data, size_t len, struct zl_timezone **ret, struct zl_error *err);
void zl_timezone_free(struct zl_timezone *zone);
ZL_DEFINE_CLEANUP(struct zl_timezone *, zl_timezone_freep, zl_timezone_free)
#define _cleanup_timezone_ _cleanup_(zl_timezone_freep)

/* Seconds since 1970 UTC, half open: begin <= t < end. */
struct zl_timezone_period {
        int64_t begin, end; /* INT64_MIN, INT64_MAX: unbounded */
        int32_t offset;     /* seconds east of UTC */
        int32_t before;     /* offset of the period before; the same as `offset` if there is none */
};
/* The period that `t` lies in. NULL is UTC. Thread-safe. */
void zl_timezone_period(const struct zl_timezone *zone, int64_t t, struct zl_timezone_period *ret);
