/* SPDX-License-Identifier: Apache-2.0 */
/* All public headers of libzlayer at once. */
#ifndef ZLAYER_ZLAYER_H
#define ZLAYER_ZLAYER_H

#include <zlayer/error.h>
#include <zlayer/runtime.h>
#include <zlayer/spec.h>

#endif
