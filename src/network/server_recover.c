/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an earlier life left. Records say what should be; links and processes say what is. A container that has ended is forgotten, one
 * that lives gets back what it lacks, and links that bear our tag and stand in no record are removed: that is all it takes,
 * whatever instant the earlier life died at.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/strv.h"
#include "network/pid.h"
#include "network/server.h"

/* Whatever is no record was to become one. */
static int remove_half_written(void *data, const char *file, unsigned char type _unused_)
{
        if (!zl_net_is_record(file) && (file[0] != '.' || file[1] == 't'))
                unlinkat(*(const int *)data, file, 0);
        return 0;
}

static int recover_room(struct zl_net_server *s, const char *room,
                        int (*each)(void *data, const char *name, json_t *document))
{
        _cleanup_close_ int fd = openat(s->dir_fd, room, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = fd < 0 ? -errno : zl_dir_each(fd, remove_half_written, &fd);

        return r < 0 ? r : zl_net_each_record(s->dir_fd, room, each, s);
}

static int recover_network(void *data, const char *name, json_t *document)
{
        struct zl_net_server *s = data;
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        int64_t slot = zl_json_int(document, "slot", -1);
        struct zl_net_network *n;

        if (slot < 0 || slot >= 1 << (ZL_NET_SUBNET_BITS - s->pool_bits)) {
                zl_net_forget(s, "networks", name);
                return 0;
        }
        if (zl_net_network_load(s, name, (unsigned)slot, &n, &why) < 0) {
                zl_log_error(ZL_LOG_ERROR, &why, "network %s", name);
                return 0;
        }
        n->kept = zl_json_bool(document, "kept", false);
        zl_net_services_load(n, document);
        return 0;
}

static int recover_container(void *data, const char *name, json_t *document)
{
        struct zl_net_server *s = data;
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        struct zl_net_attachment *a;
        int pidfd = zl_pid_open((pid_t)zl_json_int(document, "pid", 0),
                                (uint64_t)zl_json_int(document, "started", 0));

        /* Its link is not known then, and goes with the others that are not. */
        if (pidfd < 0 || !zl_streq(zl_json_str(document, "name", ""), name)) {
                zl_close(pidfd);
                zl_net_forget(s, "containers", name);
                return 0;
        }
        if (zl_net_attachment_load(s, document, pidfd, &a, &why) < 0) {
                zl_log_error(ZL_LOG_WARNING, &why, "%s", name);
                zl_net_forget(s, "containers", name);
                return 0;
        }
        if (zl_net_ports_open(s, a, false, &why) < 0)
                zl_log_error(ZL_LOG_WARNING, &why, "%s", name);
        return 0;
}

/* ---- links ---------------------------------------------------------------------------------------- */

struct links {
        const char *tag;
        char **ours;
};

static int collect(const struct zl_link_info *link, void *data)
{
        struct links *l = data;
        size_t n = strlen(l->tag);

        if ((strncmp(link->name, "zl", 2) == 0 || strncmp(link->name, "zv", 2) == 0) &&
            strncmp(link->name + 2, l->tag, n) == 0 && link->name[2 + n] == '-')
                return zl_strv_push(&l->ours, link->name);
        return 0;
}

static bool is_known(const struct zl_net_server *s, const char *link)
{
        const char *name;
        size_t pos = 0;
        void *value;

        while (zl_map_next(s->networks, &pos, &name, &value))
                if (zl_streq(((struct zl_net_network *)value)->bridge, link))
                        return true;
        pos = 0;
        while (zl_map_next(s->attachments, &pos, &name, &value))
                if (zl_streq(((struct zl_net_attachment *)value)->link, link))
                        return true;
        return false;
}

static int recover_links(struct zl_net_server *s, char ***ret, struct zl_error *err)
{
        struct links links = { .tag = s->tag };
        int r;

        do {
                zl_strv_free(links.ours);
                links.ours = NULL;
                r = zl_link_list(&s->route, collect, &links);
        } while (r == -EINTR);
        if (r < 0) {
                zl_strv_free(links.ours);
                return zl_fail_errno(err, -r, "cannot list the links of this host");
        }
        ZL_STRV_FOREACH(link, links.ours) {
                _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;

                if (!is_known(s, *link) && zl_link_delete(&s->route, *link, &why) < 0)
                        zl_log_error(ZL_LOG_WARNING, &why, "a link of an earlier life");
        }
        *ret = links.ours;
        return 0;
}

/* A container whose link is not there: its creator got no answer and gives it up, or somebody removed the link, or it was in the network
 * namespace of an earlier life (network/outside.h), which takes a while to go: its end in the container may be there yet. */
static void plug_again(struct zl_net_server *s, struct zl_net_attachment *a)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        _cleanup_close_ int netns = zl_pid_netns((pid_t)zl_json_int(a->document, "pid", 0),
                                                 a->pid.fd);

        if (netns >= 0)
                zl_net_pull(netns);
        if (netns < 0 || zl_net_plug(s, a, netns, &why) < 0) {
                zl_log_error(ZL_LOG_WARNING, &why, "%s has no network any more", a->name);
                zl_net_detach(s, a);
        }
}

int zl_net_recover(struct zl_net_server *s, struct zl_error *err)
{
        _cleanup_strv_ char **links = NULL;
        const char *name;
        size_t pos = 0;
        void *value;
        int r = recover_room(s, "networks", recover_network);

        if (r == 0)
                r = recover_room(s, "containers", recover_container);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read the records in %s", s->dir);
        r = recover_links(s, &links, err);
        while (r == 0 && zl_map_next(s->networks, &pos, &name, &value)) {
                struct zl_net_network *n = value;

                if (n->users > 0)
                        r = zl_net_network_raise(s, n, err);
        }
        pos = 0;
        while (r == 0 && zl_map_next(s->attachments, &pos, &name, &value))
                if (!zl_strv_contains(links, ((struct zl_net_attachment *)value)->link))
                        plug_again(s, value);
        s->idle_at = zl_now_monotonic();
        return r;
}
