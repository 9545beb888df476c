/* SPDX-License-Identifier: Apache-2.0 */
/* What several unit tests need: cmocka with what it wants included first, and a directory of their own. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"

struct place {
        char path[64];
        int fd;
};

/* A group setup and teardown: *state is a struct place. */
static inline int place_setup(void **state)
{
        struct place *p = calloc(1, sizeof *p);

        if (!p)
                return -1;
        strcpy(p->path, "/tmp/zl-unit-XXXXXX");
        if (!mkdtemp(p->path))
                return -1;
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = p;
        return p->fd < 0 ? -1 : 0;
}

static inline int place_teardown(void **state)
{
        struct place *p = *state;
        int r = zl_rm_rf_at(AT_FDCWD, p->path);

        close(p->fd);
        free(p);
        return r;
}

/* Makes a file with this text. */
static inline void put_file(int dirfd, const char *path, const char *text)
{
        int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(zl_write_full(fd, text, strlen(text)), 0);
        close(fd);
}

/* Asserts that the file holds this text. */
static inline void check_file(int dirfd, const char *path, const char *text)
{
        char *got = NULL;

        assert_int_equal(zl_read_file_at(dirfd, path, 1 << 20, &got, NULL), 0);
        assert_string_equal(got, text);
        free(got);
}

static inline size_t count_fds(void)
{
        size_t n = 0;

        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}
