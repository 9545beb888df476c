/* SPDX-License-Identifier: Apache-2.0 */
/* One line is one socket; the heading and what is not understood are skipped. */
#include "network/sockets.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/macro.h"

enum { TABLE_MAX = 16 << 20 };

int zl_sockets_each(const char *table, bool (*each)(const struct zl_socket_row *row, void *data),
                    void *data)
{
        _cleanup_free_ char *text = NULL;
        int r = zl_read_file_at(AT_FDCWD, table, TABLE_MAX, &text, NULL);

        if (r < 0)
                return r;
        for (const char *line = text; line; line = strchr(line, '\n')) {
                struct zl_socket_row row;
                unsigned port;

                line += *line == '\n';
                if (sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*u %lu",
                           &port, &row.state, &row.inode) != 3)
                        continue;
                row.port = (uint16_t)port;
                if (each(&row, data))
                        return 1;
        }
        return 0;
}
