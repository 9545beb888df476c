/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of the config, with their options read, sources made absolute and kinds told apart. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "container/internal.h"
#include "linux/clone.h"

/* An id-mapped mount takes its mapping from a user namespace: a child makes one, and lives just long enough to be asked for it. */
static int map_namespace(const struct zl_oci_mount *m, struct zl_error *err)
{
        char path[64], uid[512] = "", gid[512] = "";
        struct zl_clone how = { .flags = CLONE_NEWUSER, .cgroup_fd = -1 };
        size_t lu = 0, lg = 0;
        pid_t pid;
        int fd, r;

        for (size_t i = 0; i < m->n_uid_mappings && lu < sizeof uid; i++)
                lu += (size_t)snprintf(uid + lu, sizeof uid - lu, "%u %u %u\n",
                                       m->uid_mappings[i].container_id, m->uid_mappings[i].host_id,
                                       m->uid_mappings[i].size);
        for (size_t i = 0; i < m->n_gid_mappings && lg < sizeof gid; i++)
                lg += (size_t)snprintf(gid + lg, sizeof gid - lg, "%u %u %u\n",
                                       m->gid_mappings[i].container_id, m->gid_mappings[i].host_id,
                                       m->gid_mappings[i].size);
        if (lu >= sizeof uid || lg >= sizeof gid)
                return zl_fail(err, ZL_E_INVALID, 0, "mounts: %s: too many mappings",
                               m->destination);
        pid = zl_clone(&how);
        if (pid == 0)
                for (;;)
                        pause();
        if (pid < 0)
                return zl_fail_errno(err, -pid, "cannot make a user namespace for %s",
                                     m->destination);
        snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
        r = zl_write_string_at(AT_FDCWD, path, uid);
        snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
        if (r == 0)
                r = zl_write_string_at(AT_FDCWD, path, gid);
        snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
        fd = r < 0 ? r : open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && r == 0)
                r = -errno;
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        return r < 0 ? zl_fail_errno(err, -r, "mounts: %s: cannot map ids", m->destination) : fd;
}

static int plan_mount(struct zl_plan *plan, const struct zl_oci_mount *m, struct zl_mount_plan *p,
                      struct zl_error *err)
{
        const char *type = m->type && *m->type ? m->type : NULL;
        int r;

        p->userns_fd = -EBADF;
        p->destination = m->destination;
        r = zl_mount_options_parse(m->options, &p->options, err);
        if (r < 0)
                return r;
        if (type && (zl_streq(type, "bind") || zl_streq(type, "rbind")))
                p->options.bind = true;
        p->kind = p->options.bind || p->options.rbind     ? ZL_MOUNT_BIND
                  : type && zl_startswith(type, "cgroup") ? ZL_MOUNT_CGROUP
                                                          : ZL_MOUNT_FS;
        p->type = type ? type : "none";
        p->source = m->source;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(p->options.propagation); i++)
                plan->keep_propagation |= (p->options.propagation[i] & MS_SHARED) != 0;
        if (m->n_uid_mappings || m->n_gid_mappings || p->options.idmap || p->options.ridmap) {
                if (p->kind != ZL_MOUNT_BIND)
                        return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                                       "mounts: %s: only bind mounts can map ids", m->destination);
                if (!m->n_uid_mappings || !m->n_gid_mappings)
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "mounts: %s: id mapping needs uidMappings and gidMappings",
                                       m->destination);
                p->userns_fd = map_namespace(m, err);
                if (p->userns_fd < 0)
                        return p->userns_fd;
        }
        if (p->kind == ZL_MOUNT_BIND) {
                if (!m->source || !*m->source)
                        return zl_fail(err, ZL_E_INVALID, 0, "mounts: %s: a bind needs a source",
                                       m->destination);
                if (*m->source != '/') {
                        char *path = zl_path_join(plan->options->bundle, m->source);

                        p->source = path ? zl_arena_strndup(plan->arena, path, strlen(path)) : NULL;
                        free(path);
                        if (!p->source)
                                return zl_fail_oom(err);
                }
        } else if (!type) {
                return zl_fail(err, ZL_E_INVALID, 0, "mounts: %s has no type", m->destination);
        }
        return 0;
}

int zl_plan_mounts(struct zl_plan *plan, struct zl_error *err)
{
        const struct zl_oci_config *config = plan->config;

        plan->mounts = zl_arena_alloc(plan->arena, (config->n_mounts + 1) * sizeof *plan->mounts);
        if (!plan->mounts)
                return zl_fail_oom(err);
        for (size_t i = 0; i < config->n_mounts; i++) {
                int r = plan_mount(plan, &config->mounts[i], &plan->mounts[plan->n_mounts++], err);

                if (r < 0)
                        return r;
        }
        return 0;
}
