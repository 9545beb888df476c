/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of forbidden features comes from the environment at every call: it is only read in test
 * builds, where clarity is worth more than speed.
 */
#include "base/forbid.h"

#ifdef ZL_TEST_HOOKS
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool zl_forbidden(const char *feature)
{
        const char *list = getenv("ZL_FORBID");
        size_t n = strlen(feature);

        while (list && *list) {
                size_t len = strcspn(list, ",");

                if (len == n && memcmp(list, feature, n) == 0)
                        return true;
                list += len + (list[len] == ',');
        }
        return false;
}

void zl_test_stop(const char *stage)
{
        const char *wanted = getenv("ZL_TEST_STOP_AT");

        if (!wanted || strcmp(wanted, stage) != 0)
                return;
        kill(getpid(), SIGKILL);
        /* The first process of a pid namespace cannot do that to itself. */
        __builtin_trap();
}
#endif
