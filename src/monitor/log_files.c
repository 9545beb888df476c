/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of log files, shared by writer and reader: which numbers a directory holds.
 *
 * The directory is read with getdents64 into a small buffer on the stack: opendir() would take 32 KiB from the heap of
 * a monitor that wants to be small.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

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

int zl_log_file_range(int log_dir_fd, uint32_t *ret_first, uint32_t *ret_last)
{
        uint32_t first = 0, last = 0;
        _Alignas(struct dirent64) char entries[2048];
        _cleanup_close_ int fd = openat(log_dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        for (;;) {
                long n = syscall(SYS_getdents64, fd, entries, sizeof(entries));

                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                for (long pos = 0; pos < n;) {
                        const struct dirent64 *entry = (const void *)(entries + pos);
                        uint32_t number = zl_log_file_number(entry->d_name);

                        pos += entry->d_reclen;
                        if (!number)
                                continue;
                        if (!first || number < first)
                                first = number;
                        if (number > last)
                                last = number;
                }
        }
        *ret_first = first;
        *ret_last = last;
        return 0;
}
