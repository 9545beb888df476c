/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forbidding newer system calls, so that fallbacks are tested on new kernels:
 * ZL_FORBID=clone3,openat2,mount_api. Only test builds (-Dtest_hooks=true) look at the variable;
 * in release builds zl_forbidden() is a constant false.
 *
 * And being killed at a chosen point: ZL_TEST_STOP_AT=stage kills the process itself there, as if somebody had sent SIGKILL;
 * in release builds zl_test_stop() is nothing.
 */
#pragma once

#include <stdbool.h>

#ifdef ZL_TEST_HOOKS
bool zl_forbidden(const char *feature);
void zl_test_stop(const char *stage);
#else
static inline bool zl_forbidden(const char *feature)
{
        (void)feature;
        return false;
}
static inline void zl_test_stop(const char *stage)
{
        (void)stage;
}
#endif
