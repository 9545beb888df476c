/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is mounted and unmounted on one side of a mount namespace, and who sees it on the other.
 *
 * Nothing that we mount may show up on the host, so everything becomes a slave before we begin, or private if the root is to be. If a
 * mount must stay shared with the host the tree is left as it is; then the mount that holds the root file system, and ours on top of
 * it, become private instead.
 *
 * At the end the root gets the propagation that is asked for, often with all that is below. A mount that says something of its own keeps
 * that: a copy of it is made before, and put in its place afterwards, since what has left a peer group cannot come back. The
 * original is no peer any more when it is unmounted, so that nothing of what lies on it goes from the host.
 *
 * What may go wrong: kernels without the mount API (5.2) cannot make that copy; there the root has the last word.
 */
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/path.h"
#include "container/internal.h"

/* The mount that `path` lies on must not pass on what we mount: walks up to its root. */
static int make_parent_private(const char *path)
{
        char p[PATH_MAX];

        if (strlen(path) >= sizeof p)
                return -ENAMETOOLONG;
        strcpy(p, path);
        for (;;) {
                struct statx sx;
                char *slash;

                if (syscall(SYS_statx, AT_FDCWD, p, AT_SYMLINK_NOFOLLOW, 0, &sx) < 0)
                        return -errno;
                if (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT || zl_streq(p, "/"))
                        break;
                slash = strrchr(p, '/');
                if (slash == p)
                        slash++;
                *slash = 0;
        }
        return mount(NULL, p, NULL, MS_PRIVATE, NULL) < 0 ? -errno : 0;
}

/* Bundle and volume may lie on the same mount, which is about to leave its peers. */
static void copy_sources(const struct zl_plan *plan)
{
        for (size_t i = 0; i < plan->n_mounts; i++) {
                struct zl_mount_plan *m = &plan->mounts[i];
                int nofollow = m->options.source_nofollow ? O_NOFOLLOW : 0;
                _cleanup_close_ int source = m->wants_peers ? openat(AT_FDCWD, m->source,
                                                                     O_PATH | O_CLOEXEC | nofollow)
                                                            : -EBADF;

                if (source >= 0)
                        m->tree_fd = zl_mount_clone(source, m->options.rbind);
                m->has_peers = source >= 0 && m->tree_fd >= 0;
        }
}

int zl_child_propagation(struct zl_child *c)
{
        const struct zl_plan *plan = c->plan;
        unsigned long flags = MS_SLAVE | MS_REC;
        int r;

        if (plan->keep_propagation) {
                copy_sources(plan);
                r = make_parent_private(plan->rootfs);
                return r < 0 ? zl_child_fail(c, ZL_STAGE_PROPAGATION, -r, plan->rootfs) : 0;
        }
        if (plan->root_propagation & MS_PRIVATE && !plan->follow_propagation)
                flags = MS_PRIVATE | MS_REC;
        if (mount(NULL, "/", NULL, flags, NULL) < 0)
                return zl_child_fail(c, ZL_STAGE_PROPAGATION, errno, "/");
        return 0;
}

void zl_child_note_propagation(struct zl_child *c, const struct zl_mount_plan *m, int target,
                               int fd)
{
        struct zl_own_propagation *own = c->plan->own_propagation;

        if (!own || !m->options.propagation[0])
                return;
        own[c->n_own_propagation++] = (struct zl_own_propagation){
                .target_fd = fcntl(target, F_DUPFD_CLOEXEC, 3),
                .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3),
                .copy_fd = -EBADF,
        };
}

/* One that lay on another of them has gone, and is in the copy of that. */
static int put_back(struct zl_child *c, struct zl_own_propagation *own)
{
        char path[ZL_FD_PATH_MAX];
        int r;

        if (umount2(zl_fd_path(own->fd, path), MNT_DETACH) < 0)
                return errno == EINVAL ? 0
                                       : zl_child_fail(c, ZL_STAGE_PROPAGATION, errno, "a mount");
        r = zl_mount_move_on(own->target_fd, own->copy_fd);
        return r < 0 ? zl_child_fail(c, ZL_STAGE_PROPAGATION, -r, "a mount") : 0;
}

int zl_child_root_propagation(struct zl_child *c)
{
        struct zl_own_propagation *own = c->plan->own_propagation;
        size_t n = c->n_own_propagation;
        int r = 0;

        for (size_t i = 0; i < n && r == 0; i++) {
                own[i].copy_fd = zl_mount_clone(own[i].fd, true);
                if (own[i].copy_fd < 0)
                        r = own[i].copy_fd;
        }
        if (n > 0 && r == 0) {
                r = zl_mount_set_propagation(c->root_fd, c->plan->root_propagation);
                c->has_propagation = r == 0;
        }
        if (r < 0 && r != -ENOSYS)
                zl_child_fail(c, ZL_STAGE_PROPAGATION, -r, "/");
        for (size_t i = 0; i < n && c->has_propagation && r == 0; i++)
                r = put_back(c, &own[i]);
        for (size_t i = 0; i < n; i++) {
                zl_close(own[i].target_fd);
                zl_close(own[i].fd);
                zl_close(own[i].copy_fd);
        }
        return r == -ENOSYS ? 0 : r;
}
