/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What outlives networks, processes and the machine's restart: which subnet and which balanced addresses a network had. A network that
 * somebody made by hand is in the list until he removes it; what is known of the others only serves to give them the same again, and
 * gives way when the pool has no other slot left.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "network/server.h"

enum { FILE_NAME_MAX = 96 };

bool zl_net_is_network_name(const char *name)
{
        size_t n = strspn(name,
                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");

        return n > 0 && n <= 80 && !name[n] && name[0] != '.' && name[0] != '-';
}

static char *file_name(const char *name, char ret[FILE_NAME_MAX])
{
        snprintf(ret, FILE_NAME_MAX, "%s.json", name);
        return ret;
}

int zl_net_recall(struct zl_net_server *s, const char *name, json_t **ret)
{
        _cleanup_free_ char *text = NULL;
        char file[FILE_NAME_MAX];
        size_t len;
        int r = zl_read_file_at(s->memory_fd, file_name(name, file), ZL_NET_DOCUMENT_MAX, &text,
                                &len);

        return r < 0 ? r : zl_json_parse(text, len, file, ret, NULL);
}

int zl_net_remember(struct zl_net_server *s, const struct zl_net_network *n, const json_t *document,
                    struct zl_error *err)
{
        _cleanup_free_ char *text = zl_json_dump(document, 0);
        char file[FILE_NAME_MAX];
        int r;

        if (!text)
                return zl_fail_oom(err);
        r = zl_write_file_at(s->memory_fd, file_name(n->name, file), text, strlen(text), 0600, 0);
        return r < 0 ? zl_fail_errno(err, -r, "cannot write %s/%s", s->memory_dir, file) : 0;
}

int zl_net_unremember(struct zl_net_server *s, const char *name)
{
        char file[FILE_NAME_MAX];

        return unlinkat(s->memory_fd, file_name(name, file), 0) < 0 ? -errno : 0;
}

struct marks {
        uint8_t *kept, *known;
        unsigned n;
};

static int mark(void *data, const char *name, json_t *document)
{
        const struct marks *m = data;
        int64_t slot = zl_json_int(document, "slot", -1);

        if (zl_net_is_network_name(name) && slot >= 0 && slot < m->n)
                (zl_json_bool(document, "kept", false) ? m->kept : m->known)[slot] = 1;
        return 0;
}

void zl_net_mark_remembered(struct zl_net_server *s, uint8_t *kept, uint8_t *known, unsigned n)
{
        zl_net_each_record(s->memory_fd, ".", mark, &(struct marks){ kept, known, n });
}

struct forget {
        struct zl_net_server *server;
        unsigned slot;
};

static int forget_slot(void *data, const char *name, json_t *document)
{
        const struct forget *f = data;

        if (zl_net_is_network_name(name) && zl_json_int(document, "slot", -1) == f->slot)
                zl_net_unremember(f->server, name);
        return 0;
}

void zl_net_unremember_slot(struct zl_net_server *s, unsigned slot)
{
        zl_net_each_record(s->memory_fd, ".", forget_slot, &(struct forget){ s, slot });
}
