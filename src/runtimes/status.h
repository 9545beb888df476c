/* SPDX-License-Identifier: Apache-2.0 */
/* What backends share about struct zl_status: copies, order, and waiting by means of a watch. */
#pragma once

#include "runtimes/runtime.h"

/* A deep copy; `*ret` is untouched on failure. 0 or -ENOMEM. */
int zl_status_copy(const struct zl_status *status, struct zl_status *ret);
/* For qsort(): by deployment, service, and replica as a number. */
int zl_status_compare(const void *a, const void *b);
/* Frees an array as zl_runtime_list() gives it. */
void zl_status_free_all(struct zl_status *all, size_t n);
/* EXITED or FAILED. */
bool zl_status_is_over(const struct zl_status *status) _pure_;
/* Sleeps until `fd` is readable or the deadline (monotonic; negative: none) has passed: -ETIMEDOUT. */
int zl_sleep_on(int fd, int64_t deadline);
