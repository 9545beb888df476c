/* SPDX-License-Identifier: Apache-2.0 */
/* How every public function of the interface begins (runtime.c, runtime_more.c): the name is checked, then the operation. */
#pragma once

#include "runtimes/runtime.h"

#define CHECK_OP(ops_, member, operation)                                                          \
        do {                                                                                       \
                if (!(ops_)->member)                                                               \
                        return zl_runtime_unsupported((ops_), (operation), err);                   \
        } while (0)

#define BEGIN(member, operation)                                                                   \
        do {                                                                                       \
                int _r = zl_runtime_check_name(name, err);                                         \
                                                                                                   \
                if (_r < 0)                                                                        \
                        return _r;                                                                 \
                CHECK_OP(rt->ops, member, operation);                                              \
        } while (0)
