/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared library is made of the rooms' static libraries; this file only says which version it is, so that a
 * program can compare what it was built with and what it found.
 */
#include <zlayer/zlayer.h>

const char *zl_version(void)
{
        return ZL_VERSION;
}
