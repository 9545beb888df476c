/* SPDX-License-Identifier: Apache-2.0 */
/* The types that every table uses. */
#include <zlayer/spec.h>

#include "schema/schema.h"

const struct zl_type zl_type_str = { .kind = ZL_KIND_STR, .size = sizeof(char *) };
const struct zl_type zl_type_bool = { .kind = ZL_KIND_BOOL, .size = sizeof(bool) };
const struct zl_type zl_type_u8 = { .kind = ZL_KIND_UINT, .size = 1 };
const struct zl_type zl_type_u16 = { .kind = ZL_KIND_UINT, .size = 2 };
const struct zl_type zl_type_u32 = { .kind = ZL_KIND_UINT, .size = 4 };
const struct zl_type zl_type_u64 = { .kind = ZL_KIND_UINT, .size = 8 };
const struct zl_type zl_type_i32 = { .kind = ZL_KIND_INT, .size = 4 };
const struct zl_type zl_type_i64 = { .kind = ZL_KIND_INT, .size = 8 };
const struct zl_type zl_type_f64 = { .kind = ZL_KIND_F64, .size = sizeof(double) };
const struct zl_type zl_type_strv = { .kind = ZL_KIND_STRV, .size = sizeof(char **) };
const struct zl_type zl_type_value = { .kind = ZL_KIND_VALUE, .size = sizeof(char *) };
const struct zl_type zl_type_str_map = ZL_TYPE_MAP(struct zl_str_pair, value, zl_type_str);
