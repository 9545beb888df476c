/* SPDX-License-Identifier: Apache-2.0 */
/* What plain scalars mean: the core types and the grammars of numbers (spec §2.3 and §2.4). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum zl_core {
        ZL_CORE_NULL,
        ZL_CORE_BOOL,
        ZL_CORE_INT,
        ZL_CORE_HUGE, /* an integer that fits neither u64 nor i64 */
        ZL_CORE_FLOAT,
        ZL_CORE_STR,
};

struct zl_number {
        bool negative;
        uint64_t magnitude;
};

/* The type of a plain scalar by itself. */
enum zl_core zl_core_type(const char *text);

bool zl_core_is_null(const char *text);
int zl_core_bool(const char *text, bool *ret);
/* 0, -EINVAL (not the grammar) or -ERANGE (larger than 64 bits). */
int zl_core_int(const char *text, struct zl_number *ret);
/* Also infinities and not-a-number in their spellings with a dot; -EINVAL else. */
int zl_core_f64(const char *text, double *ret);

/* Shortest text that reads back as the same number, always with a fraction or exponent; JSON has no
 * spelling for non-finite ones: ".inf" etc. Locale-free. */
enum { ZL_F64_TEXT_MAX = 40 };
void zl_f64_text(double value, char ret[ZL_F64_TEXT_MAX]);
