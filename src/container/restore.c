/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a checkpoint in the place of a new one: what zl_container_create() does where others clone.
 *
 * State and group are there already, as for any container. criu needs a root that is a mount of its own and whose parent nobody
 * has mounted over; it gets one in a mount namespace that ends with it, so that the host never sees it. In it the mount
 * points are made as they were at the creation, since the root file system may be a fresh one. criu is in the group when it
 * makes the processes, and makes them as our children.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/path.h"
#include "container/criu.h"
#include "container/restore.h"
#include "schema/schema.h"

#define LOG_FILE "restore.log"

/* --- the root, made by criu's process before it is criu --------------------------------------------------------------- */

/* What is below a tmpfs comes with the tmpfs. */
static bool is_on_tmpfs(const struct zl_plan *plan, const char *path)
{
        for (size_t i = 0; i < plan->n_mounts; i++) {
                const struct zl_mount_plan *m = &plan->mounts[i];
                size_t n = strlen(m->destination);

                if (m->kind == ZL_MOUNT_FS && zl_streq(m->type, "tmpfs") &&
                    strncmp(path, m->destination, n) == 0 && path[n] == '/')
                        return true;
        }
        return false;
}

/* A bind is put there, too: what is to be mounted below needs its mount points in it. Gone before criu comes. */
static int make_mount_point(struct zl_child *c, const struct zl_mount_plan *m)
{
        _cleanup_close_ int source = -EBADF, target = -EBADF;
        struct stat st = { .st_mode = S_IFDIR };
        int r = 0;

        if (m->kind == ZL_MOUNT_CGROUP || m->kind == ZL_MOUNT_LINK ||
            is_on_tmpfs(c->plan, m->destination))
                return 0;
        if (m->kind == ZL_MOUNT_BIND) {
                source = openat(AT_FDCWD, m->source, O_PATH | O_CLOEXEC);
                if (source < 0 || fstat(source, &st) < 0)
                        return zl_child_fail(c, ZL_STAGE_MOUNT_SOURCE, errno, m->source);
        }
        target = zl_child_open_target(c, m, S_ISDIR(st.st_mode));
        if (target < 0)
                return target;
        if (source >= 0) {
                r = zl_mount_bind_on(target, source, true);
                if (r < 0)
                        return zl_child_fail(c, ZL_STAGE_MOUNT, -r, m->destination);
                close(r);
        }
        return 0;
}

static void unmount_points(struct zl_child *c)
{
        const struct zl_plan *plan = c->plan;

        for (size_t i = plan->n_mounts; i > 0; i--) {
                const struct zl_mount_plan *m = &plan->mounts[i - 1];
                char link[ZL_FD_PATH_MAX];
                int fd;

                if (m->kind != ZL_MOUNT_BIND)
                        continue;
                fd = zl_open_in(c->root_fd, m->destination, O_PATH, 0, ZL_PATH_IN_ROOT);
                if (fd >= 0)
                        umount2(zl_fd_path(fd, link), MNT_DETACH);
                zl_close(fd);
        }
}

static int make_root(struct zl_child *c, const char *dir)
{
        const struct zl_plan *plan = c->plan;
        _cleanup_close_ int target = openat(AT_FDCWD, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int source = openat(AT_FDCWD, plan->rootfs,
                                            O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (target < 0 || source < 0)
                return zl_child_fail(c, ZL_STAGE_ROOTFS, errno, plan->rootfs);
        c->root_fd = plan->has_overlay ? zl_mount_overlay_on(target, &plan->overlay)
                                       : zl_mount_bind_on(target, source, true);
        return c->root_fd < 0 ? zl_child_fail(c, ZL_STAGE_ROOTFS, -c->root_fd, plan->rootfs) : 0;
}

struct before {
        const struct zl_plan *plan;
        const char *dir;
        int report_fd;
};

/* In criu's process. Whatever fails is told on the sync socket, which the exec closes. */
static int prepare_root(void *data)
{
        static struct zl_child child; /* large: off the stack */
        const struct before *b = data;
        struct zl_child *c = &child;
        int r;

        *c = (struct zl_child){
                .plan = b->plan, .report_fd = b->report_fd, .proc_fd = -EBADF, .root_fd = -EBADF
        };
        r = make_root(c, b->dir);
        for (size_t i = 0; r == 0 && i < c->plan->n_mounts; i++)
                r = make_mount_point(c, &c->plan->mounts[i]);
        if (r < 0) {
                zl_child_send_report(c);
                return r;
        }
        unmount_points(c);
        return 0;
}

/* --- options --------------------------------------------------------------------------------------------------------- */

struct restoration {
        const struct zl_restore *in;
        struct zl_criu_run run;
        char *dir; /* of the root, on criu's tmpfs */
};

/* What was bound is bound anew: the group that the container has now. */
static void put_cgroup_mounts(struct zl_buf *b, const struct zl_plan *plan, const char *point)
{
        for (char **dir = plan->cgroup_dirs; dir && *dir; dir++) {
                const char *name = *dir + strlen("/sys/fs/cgroup/");
                char path[PATH_MAX];

                if (zl_startswith(name, "./")) { /* version 2; criu wants a clean path */
                        snprintf(path, sizeof path, "/sys/fs/cgroup%s%s", name[2] ? "/" : "",
                                 name + 2);
                        zl_criu_put_pair(b, ZL_CRIU_EXTERNAL_MOUNT, point, path);
                        continue;
                }
                snprintf(path, sizeof path, "%s/%.*s", point, (int)strcspn(name, "/"), name);
                zl_criu_put_pair(b, ZL_CRIU_EXTERNAL_MOUNT, path, *dir);
        }
}

static void put_mounts(struct restoration *k)
{
        const struct zl_plan *plan = k->in->plan;
        const struct zl_oci_config *config = plan->config;
        _cleanup_close_ int root = openat(AT_FDCWD, plan->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct zl_buf *b = &k->run.options;
        char path[PATH_MAX], link[ZL_FD_PATH_MAX], real[PATH_MAX];
        ssize_t len = readlink(zl_fd_path(root, link), real, sizeof real);

        for (size_t i = 0; i < plan->n_mounts; i++) {
                const struct zl_mount_plan *m = &plan->mounts[i];
                const char *point = zl_criu_mount_point(root, (size_t)ZL_MAX(len, 0),
                                                        m->destination, path);

                /* criu looks for the mount that the source is on, by its name. */
                if (m->kind == ZL_MOUNT_BIND)
                        zl_criu_put_pair(b, ZL_CRIU_EXTERNAL_MOUNT, point,
                                         realpath(m->source, real) ? real : m->source);
                else if (m->kind == ZL_MOUNT_CGROUP)
                        put_cgroup_mounts(b, plan, point);
        }
        if (config->linux_->masked_paths && config->linux_->masked_paths[0])
                zl_criu_put_pair(b, ZL_CRIU_EXTERNAL_MOUNT, "/dev/null", "/dev/null");
}

/* Namespaces that are there are joined by path, or handed over where criu can leave them alone. */
static int put_namespaces(struct restoration *k, struct zl_error *err)
{
        const struct zl_oci_linux *l = k->in->plan->config->linux_;
        struct zl_criu_run *run = &k->run;

        for (size_t i = 0; i < l->n_namespaces; i++) {
                const struct zl_oci_namespace *ns = &l->namespaces[i];
                const char *key = zl_criu_namespace_key(ns->type);

                if (!ns->path || !*ns->path)
                        continue;
                if (zl_streq(ns->type, "cgroup"))
                        return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                                       "criu cannot restore into the cgroup namespace %s",
                                       ns->path);
                if (!key) {
                        zl_criu_put_pair(&run->options, ZL_CRIU_JOIN_NAMESPACE,
                                         zl_streq(ns->type, "mount") ? "mnt" : ns->type, ns->path);
                        continue;
                }
                run->fds[run->n_fds] = open(ns->path, O_RDONLY | O_CLOEXEC);
                if (run->fds[run->n_fds] < 0)
                        return zl_fail_errno(err, errno, "the %s namespace %s", ns->type, ns->path);
                zl_criu_put_numbered(&run->options, ZL_CRIU_INHERIT_FD, key,
                                     ZL_CRIU_FIRST_FD - 3 + (int)run->n_fds);
                run->n_fds++;
        }
        return 0;
}

/* Pipes of whoever started the container then are replaced by ours. */
static int put_descriptors(struct restoration *k, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        char **names = NULL;
        size_t len;
        int r = zl_read_file_at(k->run.image_fd, ZL_DESCRIPTORS_FILE, 1 << 20, &text, &len);

        if (r == -ENOENT) /* of somebody who does not write it */
                return 0;
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read " ZL_DESCRIPTORS_FILE);
        r = zl_schema_read_json(&zl_type_strv, text, len, ZL_DESCRIPTORS_FILE, k->in->plan->arena,
                                &names, err);
        for (int i = 0; r == 0 && i < 3 && names && names[i]; i++)
                if (strstr(names[i], "pipe:"))
                        zl_criu_put_numbered(&k->run.options, ZL_CRIU_INHERIT_FD, names[i], i);
        return r;
}

static int put_restore(struct restoration *k, struct zl_error *err)
{
        const struct zl_criu_settings *s = k->in->settings;
        struct zl_buf *b = &k->run.options;
        int r = put_namespaces(k, err);

        zl_criu_put(b, ZL_CRIU_EVASIVE_DEVICES, 1);
        zl_criu_put(b, ZL_CRIU_RESTORE_SIBLING, 1);
        zl_criu_put_text(b, ZL_CRIU_ROOT, k->dir);
        if (s->lsm_profile)
                zl_criu_put_text(b, ZL_CRIU_LSM_PROFILE, s->lsm_profile);
        if (s->lsm_mount_context)
                zl_criu_put_text(b, ZL_CRIU_LSM_MOUNT_CONTEXT, s->lsm_mount_context);
        put_mounts(k);
        return r < 0 ? r : put_descriptors(k, err);
}

/* criu puts the processes where they were, below what it is told to be the root of each hierarchy: where it is itself. */
static int enter_group(struct restoration *k, struct zl_error *err)
{
        struct zl_container *c = k->in->container;
        _cleanup_free_ char *text = NULL;
        char path[48], *save = NULL;
        int r = c->cgroup ? zl_cgroup_attach(c->cgroup, k->run.pid, err) : 0;

        if (r < 0 || !c->cgroup)
                return r;
        snprintf(path, sizeof path, "/proc/%d/cgroup", k->run.pid);
        r = zl_read_file_at(AT_FDCWD, path, 64 << 10, &text, NULL);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", path);
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                char *controllers = strchr(line, ':');
                char *group = controllers ? strchr(controllers + 1, ':') : NULL;

                if (!group)
                        continue;
                *group++ = 0;
                zl_criu_put_pair(&k->run.options, ZL_CRIU_CGROUP_ROOT, controllers + 1, group);
        }
        return 0;
}

/* --- the conversation ------------------------------------------------------------------------------------------------ */

static int on_event(const char *event, pid_t pid, int fd, void *data, struct zl_error *err)
{
        struct restoration *k = data;
        struct zl_container *c = k->in->container;
        const struct zl_restore *in = k->in;

        if (zl_streq(event, "orphan-pts-master"))
                return in->on_console(fd, in->data, err);
        zl_close(fd);
        if (pid > 0 && c->pid <= 0 && zl_streq(event, "setup-namespaces")) {
                c->pid = pid;
                return in->plan->has_host_hooks ? zl_hooks_run_host(in->plan, c, err) : 0;
        }
        return 0;
}

static int restore(struct restoration *k, struct zl_error *err)
{
        struct before before = { k->in->plan, k->dir, k->in->report_fd };
        struct zl_criu_listener listener = { on_event, k };
        struct zl_container *c = k->in->container;
        struct zl_criu_run *run = &k->run;
        pid_t pid = 0;
        int r;

        run->report_fd = zl_take_fd(k->in->plan->sync_fd);
        run->sync_fd = k->in->sync_fd;
        run->before = prepare_root;
        run->data = &before;
        r = zl_criu_start(run, err);
        if (r == 0 && k->in->on_process)
                r = k->in->on_process(run->pid, k->in->data, err);
        if (r == 0)
                r = enter_group(k, err);
        if (r == 0) {
                r = zl_criu_ask(run->socket_fd, ZL_CRIU_RESTORE, &run->options, &listener, &pid,
                                err);
                if (r < 0)
                        r = zl_criu_explain(run, r, err);
        }
        zl_criu_wait(run);
        if (r < 0)
                return r;
        c->pid = pid;
        c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        return c->pidfd < 0 ? zl_fail_errno(err, errno, "the restored process has ended") : 0;
}

int zl_container_restore(const struct zl_restore *in, struct zl_error *err)
{
        struct restoration k = { .in = in, .run = ZL_CRIU_RUN_INIT };
        struct zl_container *c = in->container;
        int r;

        for (int i = 0; i < 3; i++)
                k.run.fds[i] = in->plan->process.stdio[i];
        r = zl_criu_prepare(&k.run, in->settings, c, LOG_FILE, err);
        if (r == 0) {
                k.dir = zl_path_join(k.run.dir, ZL_CRIU_ROOT_DIR);
                if (!k.dir)
                        r = zl_fail_oom(err);
        }
        if (r == 0)
                r = put_restore(&k, err);
        if (r == 0)
                r = restore(&k, err);
        free(k.dir);
        zl_criu_run_done(&k.run);
        return r;
}
