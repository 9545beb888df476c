/* SPDX-License-Identifier: Apache-2.0 */
/* See records.h. Both sides read them: zlayer-net when it comes up, and who lists networks without starting it. */
#include "network/records.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/dir.h"
#include "base/fd.h"

#define SUFFIX ".json"

struct walk {
        int fd;
        int (*each)(void *data, const char *name, json_t *document);
        void *data;
};

bool zl_net_is_record(const char *file)
{
        size_t len = strlen(file), suffix = strlen(SUFFIX);

        return len > suffix && zl_streq(file + len - suffix, SUFFIX);
}

static int one(void *data, const char *file, unsigned char type _unused_)
{
        const struct walk *w = data;
        _cleanup_free_ char *text = NULL, *name = NULL;
        _cleanup_json_ json_t *document = NULL;
        size_t size;

        if (!zl_net_is_record(file))
                return 0;
        name = strndup(file, strlen(file) - strlen(SUFFIX));
        if (!name)
                return -ENOMEM;
        if (zl_read_file_at(w->fd, file, ZL_NET_DOCUMENT_MAX, &text, &size) == 0)
                zl_json_parse(text, size, file, &document, NULL);
        return w->each(w->data, name, document);
}

int zl_net_each_record(int dirfd, const char *path,
                       int (*each)(void *data, const char *name, json_t *document), void *data)
{
        _cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct walk w = { fd, each, data };

        return fd < 0 ? -errno : zl_dir_each(fd, one, &w);
}
