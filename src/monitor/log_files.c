/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of log files, shared by writer and reader: which numbers a directory holds.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "monitor/log_writer.h"

uint32_t zl_log_file_number(const char *name)
{
        char again[ZL_LOG_NAME_SIZE];
        uint32_t number = 0;

        if (strlen(name) != strlen("0000000000.zlog"))
                return 0;
        for (int i = 0; i < 10; i++) {
                if (name[i] < '0' || name[i] > '9')
                        return 0;
                number = number * 10 + (uint32_t)(name[i] - '0');
        }
        snprintf(again, sizeof(again), ZL_LOG_FILE_FORMAT, number);
        return zl_streq(again, name) ? number : 0;
}

struct range {
        uint32_t first, last;
};

static int widen(void *data, const char *name, unsigned char type _unused_)
{
        struct range *range = data;
        uint32_t number = zl_log_file_number(name);

        if (number && (!range->first || number < range->first))
                range->first = number;
        range->last = ZL_MAX(range->last, number);
        return 0;
}

int zl_log_file_range(int log_dir_fd, uint32_t *ret_first, uint32_t *ret_last)
{
        _cleanup_close_ int fd = openat(log_dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct range range = { 0 };
        int r = fd < 0 ? -errno : zl_dir_each(fd, widen, &range);

        if (r < 0)
                return r;
        *ret_first = range.first;
        *ret_last = range.last;
        return 0;
}
