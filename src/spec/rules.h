/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of the rules that only this room needs. */
#pragma once

#include <stdint.h>

/* The two parts of "512Mi": the number (1 to 2^64-1) and log2 of the unit. The product may overflow: the spec
 * accepts such texts when it is loaded. 0 or -EINVAL. */
int zl_spec_memory_parse(const char *text, uint64_t *ret_number, unsigned *ret_shift);
