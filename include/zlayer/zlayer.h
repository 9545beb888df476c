/* SPDX-License-Identifier: Apache-2.0 */
/* All public headers of libzlayer at once. */
#ifndef ZLAYER_ZLAYER_H
#define ZLAYER_ZLAYER_H

#include <zlayer/error.h>
#include <zlayer/runtime.h>
#include <zlayer/service_manager.h>
#include <zlayer/spec.h>
#include <zlayer/wasm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of the library in use, such as "0.1.0". Never NULL. */
ZL_PUBLIC const char *zl_version(void);

#ifdef __cplusplus
}
#endif

#endif
