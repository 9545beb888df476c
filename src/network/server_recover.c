/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an earlier life left. Records say what should be; links and processes say what is. A container that has ended is forgotten, one
 * that lives gets back what it lacks, and links that bear our tag and stand in no record are removed: that is all it takes,
 * whatever instant the earlier life died at.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/strv.h"
#include "network/pid.h"
#include "network/server.h"

/* Calls `each` for every record of a room. */
static int each_record(struct zl_net_server *s, const char *room,
                       void (*each)(struct zl_net_server *, const char *, json_t *))
{
        int fd = openat(s->dir_fd, room, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *de;

        if (!dir) {
                zl_close(fd);
                return -errno;
        }
        while ((de = readdir(dir))) {
                size_t len = strlen(de->d_name);
                _cleanup_free_ char *text = NULL, *name = NULL;
                json_t *document = NULL;
                size_t size;

                if (len < 6 || !zl_streq(de->d_name + len - 5, ".json")) {
                        if (de->d_name[0] != '.' || de->d_name[1] == 't')
                                unlinkat(fd, de->d_name, 0); /* half-written */
                        continue;
                }
                name = strndup(de->d_name, len - 5);
                if (name && zl_read_file_at(fd, de->d_name, ZL_NET_DOCUMENT_MAX, &text, &size) == 0)
                        zl_json_parse(text, size, de->d_name, &document, NULL);
                if (name)
                        each(s, name, document);
                json_decref(document);
        }
        closedir(dir);
        return 0;
}

static void recover_network(struct zl_net_server *s, const char *name, json_t *document)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        int64_t slot = zl_json_int(document, "slot", -1);
        struct zl_net_network *n;

        if (slot < 0 || slot >= 1 << (ZL_NET_SUBNET_BITS - s->pool_bits)) {
                zl_net_forget(s, "networks", name);
                return;
        }
        if (zl_net_network_load(s, name, (unsigned)slot, &n, &why) < 0) {
                zl_log_error(ZL_LOG_ERROR, &why, "network %s", name);
                return;
        }
        n->kept = zl_json_bool(document, "kept", false);
        zl_net_services_load(n, document);
}

static void recover_container(struct zl_net_server *s, const char *name, json_t *document)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        struct zl_net_attachment *a;
        int pidfd = zl_pid_open((pid_t)zl_json_int(document, "pid", 0),
                                (uint64_t)zl_json_int(document, "started", 0));

        /* Its link is not known then, and goes with the others that are not. */
        if (pidfd < 0 || !zl_streq(zl_json_str(document, "name", ""), name)) {
                zl_close(pidfd);
                zl_net_forget(s, "containers", name);
                return;
        }
        if (zl_net_attachment_load(s, document, pidfd, &a, &why) < 0) {
                zl_log_error(ZL_LOG_WARNING, &why, "%s", name);
                zl_net_forget(s, "containers", name);
                return;
        }
        if (zl_net_ports_open(s, a, &why) < 0)
                zl_log_error(ZL_LOG_WARNING, &why, "%s", name);
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
        int r = each_record(s, "networks", recover_network);

        if (r == 0)
                r = each_record(s, "containers", recover_container);
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
