/* SPDX-License-Identifier: Apache-2.0 */
/* Directories without readdir(), which takes 32 KiB of the heap and five more calls, and is not for use after a clone. */
#pragma once

/* Calls `each` with the names in the directory `fd` but "." and "..", and their DT_ types (DT_UNKNOWN where the file system does not
 * say), until it returns other than 0. Returns that, 0 at the end, or a negative errno. Reads from where `fd` stands; blocks as the file
 * system does; async-signal-safe as far as `each` is. */
int zl_dir_each(int fd, int (*each)(void *data, const char *name, unsigned char type), void *data);
