/* SPDX-License-Identifier: Apache-2.0 */
/* The records that zlayer-net keeps: directories of files NAME.json. */
#pragma once

#include "base/json.h"

enum { ZL_NET_DOCUMENT_MAX = 1 << 20 };

/* Is this the name of a record's file, and not of one that is half-written or nobody's? */
bool zl_net_is_record(const char *file);

/* Calls `each` with the name and the document of every record in the directory `path` below `dirfd`, until it returns other than 0.
 * Returns that, 0 at the end, or a negative errno. The document is borrowed, and NULL if it cannot be read: a record may go at
 * any moment, and `each` may remove it. Blocks as the file system does. */
int zl_net_each_record(int dirfd, const char *path,
                       int (*each)(void *data, const char *name, json_t *document), void *data);
