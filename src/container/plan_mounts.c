/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of the config, with their options read, sources made absolute and kinds told apart. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/forbid.h"
#include "base/path.h"
#include "container/internal.h"
#include "linux/clone.h"

/* An id-mapped mount takes its mapping from a user namespace: a child makes one, and lives just long enough to be asked for it. */
static int map_namespace(const struct zl_oci_mount *m, const struct zl_userns_maps *maps,
                         struct zl_error *err)
{
        struct zl_clone how = { .flags = CLONE_NEWUSER, .cgroup_fd = -1 };
        char path[64];
        pid_t pid;
        int fd, r;

        pid = zl_clone(&how);
        if (pid == 0)
                for (;;)
                        pause();
        if (pid < 0)
                return zl_fail_errno(err, -pid, "cannot make a user namespace for %s",
                                     m->destination);
        r = zl_userns_write_maps(pid, maps, err);
        snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
        fd = r < 0 ? r : openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && r == 0)
                r = zl_fail_errno(err, errno, "cannot open a user namespace");
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        if (r < 0)
                zl_error_prefix(err, "mounts: %s: cannot map ids", m->destination);
        return r < 0 ? r : fd;
}

/* Whose ids: those of the mount's own mappings; without them, those of the container's user namespace. */
static int open_mapping(struct zl_plan *plan, const struct zl_oci_mount *m, struct zl_error *err)
{
        struct zl_userns_maps maps = plan->id_maps;
        int fd;

        if (m->n_uid_mappings && m->n_gid_mappings) {
                maps = (struct zl_userns_maps){ m->uid_mappings, m->n_uid_mappings, m->gid_mappings,
                                                m->n_gid_mappings };
        } else if (m->n_uid_mappings || m->n_gid_mappings) {
                return zl_fail(err, ZL_E_INVALID, 0,
                               "mounts: %s: id mapping needs both uidMappings and gidMappings",
                               m->destination);
        } else if (plan->join_user_fd >= 0) {
                fd = fcntl(plan->join_user_fd, F_DUPFD_CLOEXEC, 3);
                return fd < 0 ? zl_fail_errno(err, errno, "cannot keep the user namespace") : fd;
        } else if (!plan->new_user_ns) {
                return zl_fail(err, ZL_E_INVALID, 0,
                               "mounts: %s: id mapping needs uidMappings and gidMappings, or a "
                               "user namespace",
                               m->destination);
        }
        return map_namespace(m, &maps, err);
}

/* What we clone is a twin of the host's mount: whatever the container mounts on it would show up there. Ours only follows, like all
 * mounts of a container, unless it is to be shared. */
static int unshare_twin(const struct zl_plan *plan, const struct zl_mount_plan *p)
{
        bool shared = plan->root_propagation & MS_SHARED;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(p->options.propagation); i++)
                shared = shared || p->options.propagation[i] & MS_SHARED;
        return shared ? 0 : zl_mount_set_propagation(p->tree_fd, MS_SLAVE | MS_REC);
}

/* Is the source what an earlier mount of the container will have put there? */
static bool is_inside(const struct zl_plan *plan, const char *source)
{
        size_t len = strlen(plan->rootfs);

        return strncmp(source, plan->rootfs, len) == 0 && source[len] == '/';
}

/* By us and now, for in a user namespace nobody could; but what lies in the container's root is to be seen as the child will. */
static int plan_idmapped(struct zl_plan *plan, const struct zl_oci_mount *m,
                         struct zl_mount_plan *p, struct zl_error *err)
{
        _cleanup_close_ int userns = open_mapping(plan, m, err), source = -EBADF;
        int r;

        if (userns < 0)
                return userns;
        if (is_inside(plan, p->source) && !plan->new_user_ns && plan->join_user_fd < 0) {
                p->map_fd = zl_take_fd(userns);
                return 0;
        }
        source = open(p->source,
                      O_PATH | O_CLOEXEC | (p->options.source_nofollow ? O_NOFOLLOW : 0));
        if (source < 0)
                return zl_fail_errno(err, errno, "mounts: cannot open the source %s", p->source);
        p->tree_fd = zl_mount_clone_idmapped(source, p->options.rbind, userns, p->options.ridmap);
        if (p->tree_fd < 0)
                return zl_fail_errno(err, -p->tree_fd, "mounts: cannot map the ids of %s",
                                     m->destination);
        r = unshare_twin(plan, p);
        return r < 0 ? zl_fail_errno(err, -r, "mounts: %s: propagation", m->destination) : 0;
}

/* A source that only we may reach; best effort. */
static void take_along(const struct zl_plan *plan, struct zl_mount_plan *p)
{
        _cleanup_close_ int source = open(
                p->source, O_PATH | O_CLOEXEC | (p->options.source_nofollow ? O_NOFOLLOW : 0));

        if (source >= 0)
                p->tree_fd = zl_mount_clone(source, p->options.rbind);
        if (p->tree_fd >= 0 && unshare_twin(plan, p) < 0)
                p->tree_fd = zl_close(p->tree_fd);
}

/* As runc: a destination that begins with the path of the root file system on the host means the place below it. */
static char *below_root(const struct zl_plan *plan, char *destination)
{
        size_t len = plan->rootfs ? strlen(plan->rootfs) : 0;

        while (len > 0 && plan->rootfs[len - 1] == '/')
                len--;
        if (len == 0 || strncmp(destination, plan->rootfs, len) != 0 ||
            (destination[len] && destination[len] != '/'))
                return destination;
        return destination[len] ? destination + len : (char *)"/";
}

enum zl_mount_kind zl_mount_kind_of(const struct zl_oci_mount *m)
{
        const char *type = m->type ? m->type : "";

        for (char *const *o = m->options; o && *o; o++)
                if (zl_streq(*o, "bind") || zl_streq(*o, "rbind"))
                        return ZL_MOUNT_BIND;
        return zl_streq(type, "bind") || zl_streq(type, "rbind") ? ZL_MOUNT_BIND
               : zl_startswith(type, "cgroup")                   ? ZL_MOUNT_CGROUP
                                                                 : ZL_MOUNT_FS;
}

/* As crun: a source that is a symbolic link is not mounted but made anew. 1 if this one is. */
static int plan_link(struct zl_plan *plan, struct zl_mount_plan *p, struct zl_error *err)
{
        char text[PATH_MAX];
        ssize_t n;

        if (p->options.source_nofollow || p->options.dest_nofollow)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "mounts: %s: \"copy-symlink\" does not go with \"src-nofollow\" or "
                               "\"dest-nofollow\"",
                               p->destination);
        n = readlink(p->source, text, sizeof text);
        if (n < 0 && errno == EINVAL)
                return 0;
        if (n < 0)
                return zl_fail_errno(err, errno, "mounts: cannot read the source %s", p->source);
        p->kind = ZL_MOUNT_LINK;
        p->source = zl_arena_strndup(plan->arena, text, (size_t)n);
        return p->source ? 1 : zl_fail_oom(err);
}

/* rootfsPropagation with a whole tree would be the last word; where a mount says something of its own, that is. */
static int plan_propagation(struct zl_plan *plan, struct zl_error *err)
{
        bool own = false;

        for (size_t i = 0; i < plan->n_mounts; i++) {
                struct zl_mount_plan *m = &plan->mounts[i];
                unsigned long all = 0;

                for (size_t k = 0; k < ZL_ARRAY_SIZE(m->options.propagation); k++)
                        all |= m->options.propagation[k];
                own = own || all;
                plan->keep_propagation |= (all & MS_SHARED) != 0;
                plan->follow_propagation |= (all & MS_SLAVE) != 0;
                m->wants_peers = all & (MS_SHARED | MS_SLAVE) && m->kind == ZL_MOUNT_BIND &&
                                 m->tree_fd < 0 && m->map_fd < 0 && !is_inside(plan, m->source);
        }
        if (!own || !(plan->root_propagation & MS_REC) || plan->root_propagation & MS_SHARED)
                return 0;
        plan->own_propagation = zl_arena_alloc(plan->arena,
                                               plan->n_mounts * sizeof *plan->own_propagation);
        return plan->own_propagation ? 0 : zl_fail_oom(err);
}

static int plan_mount(struct zl_plan *plan, const struct zl_oci_mount *m, struct zl_mount_plan *p,
                      struct zl_error *err)
{
        const char *type = m->type && *m->type ? m->type : NULL;
        bool mapped;
        int r;

        p->tree_fd = p->map_fd = -EBADF;
        p->destination = below_root(plan, m->destination);
        r = zl_mount_options_parse(m->options, &p->options, err);
        if (r < 0)
                return r;
        p->kind = zl_mount_kind_of(m);
        p->type = type ? type : "none";
        p->source = m->source;
        mapped = m->n_uid_mappings || m->n_gid_mappings || p->options.idmap || p->options.ridmap;
        if (mapped && p->kind != ZL_MOUNT_BIND)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0, "mounts: %s: only bind mounts can map ids",
                               m->destination);
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
        if (p->kind == ZL_MOUNT_BIND && p->options.copy_symlink) {
                r = plan_link(plan, p, err);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        p->mapped = mapped;
        if (mapped)
                return plan_idmapped(plan, m, p, err);
        if (p->kind == ZL_MOUNT_BIND && (plan->new_user_ns || plan->join_user_fd >= 0))
                take_along(plan, p);
        return 0;
}

static char *kernel_fs_of(char *line)
{
        const char *kind = strstr(line, " - ");
        char *save = NULL, *word = NULL;

        if (!kind || (!zl_startswith(kind, " - proc ") && !zl_startswith(kind, " - sysfs ")))
                return NULL;
        for (int i = 0; i < 5; i++)
                word = strtok_r(i ? NULL : line, " ", &save);
        return word;
}

/* Where procfs and sysfs are mounted. Names with blanks (escaped there) are not looked for: nobody has them. */
static int plan_kernel_fs(struct zl_plan *plan, struct zl_error *err)
{
        enum { MAX = 256 };
        _cleanup_free_ char *text = NULL;
        char *line, *save = NULL;
        size_t n = 0;
        int r = zl_read_file_at(AT_FDCWD, "/proc/self/mountinfo", 16 << 20, &text, NULL);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read /proc/self/mountinfo");
        plan->kernel_fs = zl_arena_alloc(plan->arena, (MAX + 1) * sizeof *plan->kernel_fs);
        if (!plan->kernel_fs)
                return zl_fail_oom(err);
        for (line = strtok_r(text, "\n", &save); line && n < MAX;
             line = strtok_r(NULL, "\n", &save)) {
                const char *place = kernel_fs_of(line);

                if (!place)
                        continue;
                plan->kernel_fs[n] = zl_arena_strndup(plan->arena, place, strlen(place));
                if (!plan->kernel_fs[n++])
                        return zl_fail_oom(err);
        }
        return 0;
}

/* --- devices ------------------------------------------------------------------------------------------------------ */

/* What an id inside is outside; false if it is nobody there. */
static bool map_id(const struct zl_oci_id_map *maps, size_t n, uint32_t id, uint32_t *ret)
{
        for (size_t i = 0; i < n; i++)
                if (id >= maps[i].container_id && id - maps[i].container_id < maps[i].size) {
                        *ret = maps[i].host_id + (id - maps[i].container_id);
                        return true;
                }
        return false;
}

static int make_node(const struct zl_plan *plan, int dir, size_t number)
{
        const struct zl_device_plan *d = &plan->devices[number];
        const struct zl_userns_maps *maps = &plan->id_maps;
        uint32_t uid, gid;
        char name[24];

        snprintf(name, sizeof name, "%zu", number);
        if (mknodat(dir, name, d->mode, d->dev) < 0 || fchmodat(dir, name, d->mode & 07777, 0) < 0)
                return -errno;
        if (map_id(maps->uids, maps->n_uids, d->uid, &uid) &&
            map_id(maps->gids, maps->n_gids, d->gid, &gid) &&
            fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return 0;
}

static int copy_node(int dir, size_t number)
{
        char name[24];

        snprintf(name, sizeof name, "%zu", number);
        return zl_mount_detached_file(dir, name, MS_NOSUID | MS_NOEXEC);
}

/* In a child that shares our descriptors, in a mount namespace of its own. */
static _Noreturn void copy_nodes(const struct zl_plan *plan, int dir)
{
        int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (root < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            zl_mount_move_on(root, dir) < 0)
                _exit(1);
        close(root);
        for (size_t i = 0; i < plan->n_devices; i++) {
                int fd = copy_node(dir, i);

                if (fd < 0 || dup3(fd, plan->devices[i].tree_fd, O_CLOEXEC) < 0)
                        _exit(1);
                close(fd);
        }
        _exit(0);
}

/* Kernels before 6.15 copy only from mounts that are in the namespace of whoever copies: a child has one for that, and puts the copies in
 * the place of descriptors that stand for them. */
static void copy_nodes_elsewhere(struct zl_plan *plan, int dir)
{
        struct zl_clone how = { .flags = CLONE_NEWNS | CLONE_FILES, .cgroup_fd = -1 };
        bool done = true;
        int status = -1;
        pid_t pid;

        for (size_t i = 0; i < plan->n_devices; i++) {
                plan->devices[i].tree_fd = fcntl(dir, F_DUPFD_CLOEXEC, 3);
                done = done && plan->devices[i].tree_fd >= 0;
        }
        pid = done ? zl_clone(&how) : -1;
        if (pid == 0)
                copy_nodes(plan, dir);
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        for (size_t i = 0; status != 0 && i < plan->n_devices; i++)
                plan->devices[i].tree_fd = zl_close(plan->devices[i].tree_fd);
}

void zl_plan_nodes(struct zl_plan *plan)
{
        _cleanup_close_ int dir = zl_mount_detached_tmpfs("size=64k,mode=755");
        bool elsewhere = zl_forbidden("detached_copy");

        if (dir < 0)
                return;
        for (size_t i = 0; i < plan->n_devices; i++)
                if (make_node(plan, dir, i) < 0)
                        return;
        for (size_t i = 0; i < plan->n_devices && !elsewhere; i++) {
                plan->devices[i].tree_fd = copy_node(dir, i);
                elsewhere = i == 0 && plan->devices[i].tree_fd == -EINVAL;
                if (plan->devices[i].tree_fd < 0)
                        break;
        }
        if (elsewhere)
                copy_nodes_elsewhere(plan, dir);
}

int zl_plan_mounts(struct zl_plan *plan, struct zl_error *err)
{
        const struct zl_oci_config *config = plan->config;
        int r;

        plan->mounts = zl_arena_alloc(plan->arena, (config->n_mounts + 1) * sizeof *plan->mounts);
        if (!plan->mounts)
                return zl_fail_oom(err);
        for (size_t i = 0; i < config->n_mounts; i++) {
                r = plan_mount(plan, &config->mounts[i], &plan->mounts[plan->n_mounts++], err);

                if (r < 0)
                        return r;
        }
        r = plan_propagation(plan, err);
        return r == 0 && plan->options->no_pivot ? plan_kernel_fs(plan, err) : r;
}
