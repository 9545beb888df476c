/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts by descriptor: the target was resolved once and cannot be swapped afterwards for something else, which is how
 * most container escapes by mounts worked. With the newer calls (5.2: fsopen, open_tree, move_mount; 5.12:
 * mount_setattr) no path is looked up again at all. The fallback names the descriptor as /proc/self/fd/N, which is
 * as safe as long as /proc is the host's: it is only used before the root is changed.
 *
 * What may go wrong: after a mount the old descriptor of the target still shows the directory below; the
 * functions therefore return a descriptor of what is on top.
 */
#include "linux/mounts.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/forbid.h"
#include "base/process.h"
#include "base/strv.h"

/* <sys/mount.h> and <linux/mount.h> do not like each other on all systems; the kernel's header has the newer names. */
extern int mount(const char *source, const char *target, const char *type, unsigned long flags,
                 const void *data);

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

enum { CLEAR = 1, RECURSIVE = 2 };

static const struct {
        const char *name;
        unsigned long flags;
        unsigned how;
} flag_options[] = {
        { "async", MS_SYNCHRONOUS, CLEAR },
        { "atime", MS_NOATIME, CLEAR },
        { "defaults", 0, 0 },
        { "dev", MS_NODEV, CLEAR },
        { "diratime", MS_NODIRATIME, CLEAR },
        { "dirsync", MS_DIRSYNC, 0 },
        { "exec", MS_NOEXEC, CLEAR },
        { "iversion", MS_I_VERSION, 0 },
        { "lazytime", MS_LAZYTIME, 0 },
        { "loud", MS_SILENT, CLEAR },
        { "mand", MS_MANDLOCK, 0 },
        { "noatime", MS_NOATIME, 0 },
        { "nodev", MS_NODEV, 0 },
        { "nodiratime", MS_NODIRATIME, 0 },
        { "noexec", MS_NOEXEC, 0 },
        { "noiversion", MS_I_VERSION, CLEAR },
        { "nolazytime", MS_LAZYTIME, CLEAR },
        { "nomand", MS_MANDLOCK, CLEAR },
        { "norelatime", MS_RELATIME, CLEAR },
        { "nostrictatime", MS_STRICTATIME, CLEAR },
        { "nosuid", MS_NOSUID, 0 },
        { "nosymfollow", MS_NOSYMFOLLOW, 0 },
        { "ratime", MS_NOATIME, CLEAR | RECURSIVE },
        { "rdev", MS_NODEV, CLEAR | RECURSIVE },
        { "rdiratime", MS_NODIRATIME, CLEAR | RECURSIVE },
        { "relatime", MS_RELATIME, 0 },
        { "rexec", MS_NOEXEC, CLEAR | RECURSIVE },
        { "rnoatime", MS_NOATIME, RECURSIVE },
        { "rnodev", MS_NODEV, RECURSIVE },
        { "rnodiratime", MS_NODIRATIME, RECURSIVE },
        { "rnoexec", MS_NOEXEC, RECURSIVE },
        { "rnorelatime", MS_RELATIME, CLEAR | RECURSIVE },
        { "rnostrictatime", MS_STRICTATIME, CLEAR | RECURSIVE },
        { "rnosuid", MS_NOSUID, RECURSIVE },
        { "rnosymfollow", MS_NOSYMFOLLOW, RECURSIVE },
        { "ro", MS_RDONLY, 0 },
        { "rrelatime", MS_RELATIME, RECURSIVE },
        { "rro", MS_RDONLY, RECURSIVE },
        { "rrw", MS_RDONLY, CLEAR | RECURSIVE },
        { "rstrictatime", MS_STRICTATIME, RECURSIVE },
        { "rsuid", MS_NOSUID, CLEAR | RECURSIVE },
        { "rsymfollow", MS_NOSYMFOLLOW, CLEAR | RECURSIVE },
        { "rw", MS_RDONLY, CLEAR },
        { "silent", MS_SILENT, 0 },
        { "strictatime", MS_STRICTATIME, 0 },
        { "suid", MS_NOSUID, CLEAR },
        { "symfollow", MS_NOSYMFOLLOW, CLEAR },
        { "sync", MS_SYNCHRONOUS, 0 },
};

static const struct {
        const char *name;
        unsigned long flags;
} propagations[] = {
        { "private", MS_PRIVATE },       { "rprivate", MS_PRIVATE | MS_REC },
        { "shared", MS_SHARED },         { "rshared", MS_SHARED | MS_REC },
        { "slave", MS_SLAVE },           { "rslave", MS_SLAVE | MS_REC },
        { "unbindable", MS_UNBINDABLE }, { "runbindable", MS_UNBINDABLE | MS_REC },
};

static const struct {
        const char *name;
        size_t offset;
} switches[] = {
        { "bind", offsetof(struct zl_mount_options, bind) },
        { "rbind", offsetof(struct zl_mount_options, rbind) },
        { "tmpcopyup", offsetof(struct zl_mount_options, copy_up) },
        { "idmap", offsetof(struct zl_mount_options, idmap) },
        { "ridmap", offsetof(struct zl_mount_options, ridmap) },
        { "copy-symlink", offsetof(struct zl_mount_options, copy_symlink) },
        { "src-nofollow", offsetof(struct zl_mount_options, source_nofollow) },
        { "dest-nofollow", offsetof(struct zl_mount_options, dest_nofollow) },
};

unsigned long zl_propagation_parse(const char *name)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(propagations); i++)
                if (zl_streq(name, propagations[i].name))
                        return propagations[i].flags;
        return 0;
}

const char *const *zl_mount_option_names(void)
{
        static const char *all[ZL_ARRAY_SIZE(flag_options) + ZL_ARRAY_SIZE(propagations) +
                               ZL_ARRAY_SIZE(switches) + 1];
        size_t n = 0;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(flag_options); i++)
                all[n++] = flag_options[i].name;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(propagations); i++)
                all[n++] = propagations[i].name;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(switches); i++)
                all[n++] = switches[i].name;
        return all;
}

static bool take_flag(const char *name, struct zl_mount_options *o)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(flag_options); i++) {
                bool clear = flag_options[i].how & CLEAR;
                bool recursive = flag_options[i].how & RECURSIVE;
                unsigned long *set = recursive ? &o->recursive_flags : &o->flags;
                unsigned long *unset = recursive ? &o->recursive_cleared : &o->cleared;

                if (!zl_streq(name, flag_options[i].name))
                        continue;
                *(clear ? unset : set) |= flag_options[i].flags;
                *(clear ? set : unset) &= ~flag_options[i].flags;
                return true;
        }
        return false;
}

static bool take_switch(const char *name, struct zl_mount_options *o)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(switches); i++)
                if (zl_streq(name, switches[i].name)) {
                        *(bool *)(void *)((char *)o + switches[i].offset) = true;
                        return true;
                }
        return false;
}

int zl_mount_options_parse(char *const *options, struct zl_mount_options *ret, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf data = ZL_BUF_INIT(64 << 10);
        struct zl_mount_options o = { 0 };
        size_t n_propagation = 0;

        for (char *const *p = options; p && *p; p++) {
                unsigned long propagation = zl_propagation_parse(*p);

                if (propagation) {
                        if (n_propagation < ZL_ARRAY_SIZE(o.propagation))
                                o.propagation[n_propagation++] = propagation;
                } else if (!take_flag(*p, &o) && !take_switch(*p, &o)) {
                        if (data.len)
                                zl_buf_putc(&data, ',');
                        zl_buf_puts(&data, *p);
                }
        }
        if (zl_buf_error(&data))
                return zl_fail(err, ZL_E_INVALID, -zl_buf_error(&data), "mount options");
        if (data.len)
                o.data = zl_buf_take(&data);
        *ret = o;
        return 0;
}

/* --- the calls ---------------------------------------------------------------------------------------- */

char *zl_fd_path(int fd, char buf[ZL_FD_PATH_MAX])
{
        char digits[12];
        size_t n = 0, at;

        strcpy(buf, "/proc/self/fd/");
        at = strlen(buf);
        do
                digits[n++] = (char)('0' + fd % 10);
        while ((fd /= 10) > 0);
        while (n > 0)
                buf[at++] = digits[--n];
        buf[at] = 0;
        return buf;
}

static int sys_fsconfig(int fd, unsigned cmd, const char *key, const void *value)
{
        return syscall(SYS_fsconfig, fd, cmd, key, value, 0) < 0 ? -errno : 0;
}

static int attach(int mount_fd, int target_fd)
{
        if (syscall(SYS_move_mount, mount_fd, "", target_fd, "",
                    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
                return -errno;
        return 0;
}

static uint64_t attributes_of(unsigned long flags)
{
        static const struct {
                unsigned long flag;
                uint64_t attribute;
        } map[] = {
                { MS_RDONLY, MOUNT_ATTR_RDONLY },
                { MS_NOSUID, MOUNT_ATTR_NOSUID },
                { MS_NODEV, MOUNT_ATTR_NODEV },
                { MS_NOEXEC, MOUNT_ATTR_NOEXEC },
                { MS_NODIRATIME, MOUNT_ATTR_NODIRATIME },
                { MS_NOATIME, MOUNT_ATTR_NOATIME },
                { MS_STRICTATIME, MOUNT_ATTR_STRICTATIME },
                { MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW },
        };
        uint64_t attributes = 0;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(map); i++)
                if (flags & map[i].flag)
                        attributes |= map[i].attribute;
        return attributes;
}

/* "mode=755,size=64k,nosuid" one by one. Values stay below a page, as the kernel wants. */
static int configure(int fs, const char *data)
{
        while (data && *data) {
                char option[4096];
                size_t n = strcspn(data, ",");
                char *value;
                int r;

                if (n >= sizeof option)
                        return -ENAMETOOLONG;
                memcpy(option, data, n);
                option[n] = 0;
                data += n + (data[n] == ',');
                if (n == 0)
                        continue;
                value = strchr(option, '=');
                if (value)
                        *value++ = 0;
                r = value ? sys_fsconfig(fs, FSCONFIG_SET_STRING, option, value)
                          : sys_fsconfig(fs, FSCONFIG_SET_FLAG, option, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int superblock_flags(int fs, unsigned long flags)
{
        static const struct {
                unsigned long flag;
                const char *name;
        } map[] = {
                { MS_SYNCHRONOUS, "sync" },
                { MS_DIRSYNC, "dirsync" },
                { MS_LAZYTIME, "lazytime" },
                { MS_MANDLOCK, "mand" },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(map); i++)
                if (flags & map[i].flag) {
                        int r = sys_fsconfig(fs, FSCONFIG_SET_FLAG, map[i].name, NULL);

                        if (r < 0)
                                return r;
                }
        return 0;
}

static uint64_t mount_id(int fd, bool *ret_is_root)
{
        struct statx sx;

        if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &sx) < 0)
                return 0;
        *ret_is_root = sx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
        return sx.stx_mask & STATX_MNT_ID ? sx.stx_mnt_id : 0;
}

/* What a classic mount put on top of `target_fd`. The path has to be looked up anew for that, and somebody may have
 * exchanged a part of it meanwhile: what is found must be the root of a mount that lies on the one of the target, and of
 * what was mounted (`source_fd`, for a bind), or later flags would go to another mount. */
static int reopen(int target_fd, int source_fd)
{
        char path[ZL_FD_PATH_MAX];
        char real[4096];
        ssize_t n = readlink(zl_fd_path(target_fd, path), real, sizeof real - 1);
        bool is_root = false, ignored;
        struct stat found, source;
        int fd;

        if (n < 0)
                return -errno;
        real[n] = 0;
        fd = openat(AT_FDCWD, real, O_PATH | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        if (mount_id(fd, &is_root) == mount_id(target_fd, &ignored) || !is_root)
                goto other;
        if (source_fd >= 0 && (fstat(fd, &found) < 0 || fstat(source_fd, &source) < 0 ||
                               found.st_ino != source.st_ino || found.st_dev != source.st_dev))
                goto other;
        return fd;
other:
        close(fd);
        return -EXDEV;
}

static int classic_mount(int target_fd, const char *type, const char *source, unsigned long flags,
                         const char *data)
{
        char path[ZL_FD_PATH_MAX];

        if (mount(source ? source : type, zl_fd_path(target_fd, path), type, flags, data) < 0)
                return -errno;
        return reopen(target_fd, -1);
}

static int classic_bind(int target_fd, int source_fd, bool recursive)
{
        char target[ZL_FD_PATH_MAX], source[ZL_FD_PATH_MAX];

        if (mount(zl_fd_path(source_fd, source), zl_fd_path(target_fd, target), NULL,
                  MS_BIND | (recursive ? MS_REC : 0), NULL) < 0)
                return -errno;
        return reopen(target_fd, source_fd);
}

/* Makes the superblock of an open context, and a mount of it that has no place. Consumes nothing. */
static int make_detached(int fs, unsigned long flags)
{
        int fd, r = sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL);

        if (r < 0)
                return r;
        fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes_of(flags));
        return fd < 0 ? -errno : fd;
}

static int finish_context(int fs, int target_fd, unsigned long flags)
{
        int fd = make_detached(fs, flags), r;

        if (fd < 0)
                return fd;
        r = attach(fd, target_fd);
        if (r < 0) {
                zl_close(fd);
                return r;
        }
        return fd;
}

int zl_mount_fs_on(int target_fd, const char *type, const char *source, unsigned long flags,
                   const char *data)
{
        _cleanup_close_ int fs = -EBADF;
        int r;

        if (!zl_forbidden("mount_api"))
                fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
        else
                errno = ENOSYS;
        if (fs < 0)
                return errno == ENOSYS ? classic_mount(target_fd, type, source, flags, data)
                                       : -errno;
        r = source ? sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", source) : 0;
        if (r == 0)
                r = superblock_flags(fs, flags);
        if (r == 0)
                r = configure(fs, data);
        return r < 0 ? r : finish_context(fs, target_fd, flags);
}

/* lowerdir+ (6.8) takes the directories one by one, highest first, without escaping or a limit on the length. Kernels where overlay
 * does not know the new interface yet (6.1) collect all keys as text and refuse them only at the end, with EINVAL. */
int zl_mount_overlay_new(const struct zl_overlay_plan *o)
{
        _cleanup_close_ int fs = -EBADF;
        int r;

        if (zl_forbidden("mount_api"))
                return -ENOSYS;
        fs = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
        if (fs < 0)
                return -errno;
        for (size_t i = o->n_lower; i-- > 0;) {
                r = sys_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", o->lower_dirs[i]);
                if (r < 0)
                        return r;
        }
        r = o->upper ? sys_fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", o->upper) : 0;
        if (r == 0 && o->work)
                r = sys_fsconfig(fs, FSCONFIG_SET_STRING, "workdir", o->work);
        if (r == 0 && !zl_process_is_in_first_userns())
                r = sys_fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL);
        return r < 0 ? r : make_detached(fs, 0);
}

int zl_mount_overlay_on(int target_fd, const struct zl_overlay_plan *o)
{
        int fd = zl_mount_overlay_new(o), r = fd < 0 ? fd : attach(fd, target_fd);

        if (r >= 0)
                return fd;
        if (fd >= 0)
                zl_close(fd);
        if (r != -ENOSYS && r != -EINVAL)
                return r;
        return classic_mount(target_fd, "overlay", "overlay", 0, o->joined);
}

static void put_escaped(struct zl_buf *buf, const char *path)
{
        for (; *path; path++) {
                if (strchr(":,\\", *path))
                        zl_buf_putc(buf, '\\');
                zl_buf_putc(buf, *path);
        }
}

char *zl_overlay_options(char *const *lower_dirs, const char *upper, const char *work)
{
        _cleanup_buf_ struct zl_buf buf = ZL_BUF_INIT(1 << 20);

        zl_buf_puts(&buf, "lowerdir=");
        for (size_t i = zl_strv_len(lower_dirs); i-- > 0;) {
                put_escaped(&buf, lower_dirs[i]);
                if (i > 0)
                        zl_buf_putc(&buf, ':');
        }
        if (upper) {
                zl_buf_puts(&buf, ",upperdir=");
                put_escaped(&buf, upper);
        }
        if (work) {
                zl_buf_puts(&buf, ",workdir=");
                put_escaped(&buf, work);
        }
        if (!zl_process_is_in_first_userns())
                zl_buf_puts(&buf, ",userxattr");
        return zl_buf_take(&buf);
}

static int open_tree_clone(int source_fd, const char *path, bool recursive)
{
        int fd;

        if (zl_forbidden("mount_api"))
                return -ENOSYS;
        fd = (int)syscall(SYS_open_tree, source_fd, path,
                          (unsigned)(AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                                     (recursive ? AT_RECURSIVE : 0)));
        return fd < 0 ? -errno : fd;
}

int zl_mount_bind_on(int target_fd, int source_fd, bool recursive)
{
        int fd = open_tree_clone(source_fd, "", recursive), r;

        if (fd == -ENOSYS)
                return classic_bind(target_fd, source_fd, recursive);
        if (fd < 0)
                return fd;
        r = attach(fd, target_fd);
        if (r < 0) {
                zl_close(fd);
                return r;
        }
        return fd;
}

static int classic_bind_at(int dir_fd, const char *name, const char *source)
{
        _cleanup_close_ int from = openat(AT_FDCWD, source, O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int target = -EBADF;

        if (from < 0)
                return -errno;
        target = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return target < 0 ? -errno : classic_bind(target, from, false);
}

int zl_mount_bind_at(int dir_fd, const char *name, const char *source)
{
        int fd = open_tree_clone(AT_FDCWD, source, false);

        if (fd == -ENOSYS)
                return classic_bind_at(dir_fd, name, source);
        if (fd < 0)
                return fd;
        if (syscall(SYS_move_mount, fd, "", dir_fd, name, MOVE_MOUNT_F_EMPTY_PATH) < 0) {
                int r = -errno;

                zl_close(fd);
                return r;
        }
        return fd;
}

static int set_attributes(int fd, struct mount_attr *attr, bool recursive)
{
        if (zl_forbidden("mount_api"))
                return -ENOSYS;
        if (syscall(SYS_mount_setattr, fd, "",
                    (unsigned)(AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0)), attr,
                    sizeof *attr) < 0)
                return -errno;
        return 0;
}

int zl_mount_clone_idmapped(int source_fd, bool recursive, int userns_fd, bool map_recursive)
{
        struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns_fd };
        int fd = open_tree_clone(source_fd, "", recursive), r;

        if (fd < 0)
                return fd;
        r = set_attributes(fd, &attr, map_recursive);
        if (r < 0) {
                zl_close(fd);
                return r;
        }
        return fd;
}

int zl_mount_clone(int source_fd, bool recursive)
{
        return open_tree_clone(source_fd, "", recursive);
}

int zl_mount_detached_tmpfs(const char *data)
{
        _cleanup_close_ int fs = -EBADF;
        int fd, r;

        if (zl_forbidden("mount_api"))
                return -ENOSYS;
        fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
        if (fs < 0)
                return -errno;
        r = configure(fs, data);
        if (r == 0)
                r = sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL);
        if (r < 0)
                return r;
        fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0U);
        return fd < 0 ? -errno : fd;
}

int zl_mount_detached_file(int mount_fd, const char *name, unsigned long flags)
{
        int fd = (int)syscall(SYS_open_tree, mount_fd, name,
                              (unsigned)(OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
        int r;

        if (fd < 0)
                return -errno;
        r = zl_mount_set_flags(fd, flags, 0, false);
        if (r < 0) {
                zl_close(fd);
                return r;
        }
        return fd;
}

int zl_mount_move_on(int target_fd, int fd)
{
        return attach(fd, target_fd);
}

/* A remount sets all flags anew: one that is left out is lost ("ro" must not take "nosuid" away). */
static int current_flags(int fd, unsigned long *ret)
{
        static const struct {
                unsigned long fs, mount;
        } map[] = {
                { ST_RDONLY, MS_RDONLY },     { ST_NOSUID, MS_NOSUID },
                { ST_NODEV, MS_NODEV },       { ST_NOEXEC, MS_NOEXEC },
                { ST_NOATIME, MS_NOATIME },   { ST_NODIRATIME, MS_NODIRATIME },
                { ST_RELATIME, MS_RELATIME }, { 0x2000 /* ST_NOSYMFOLLOW */, MS_NOSYMFOLLOW },
        };
        struct statfs fs;

        if (fstatfs(fd, &fs) < 0)
                return -errno;
        *ret = 0;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(map); i++)
                if ((unsigned long)fs.f_flags & map[i].fs)
                        *ret |= map[i].mount;
        return 0;
}

int zl_mount_set_flags(int fd, unsigned long set, unsigned long clear, bool recursive)
{
        const unsigned long atime = MS_NOATIME | MS_STRICTATIME | MS_RELATIME;
        struct mount_attr attr = { .attr_set = attributes_of(set),
                                   .attr_clr = attributes_of(clear) &
                                               ~(uint64_t)MOUNT_ATTR__ATIME };
        char path[ZL_FD_PATH_MAX];
        unsigned long now = 0;
        int r;

        /* The atime family is one value: changing it means clearing all of it. */
        if ((set | clear) & atime)
                attr.attr_clr |= MOUNT_ATTR__ATIME;
        if (!attr.attr_set && !attr.attr_clr)
                return 0;
        r = set_attributes(fd, &attr, recursive);
        if (r != -ENOSYS)
                return r;
        if (recursive) /* nothing before 5.12 can do it in one step, and half of it would be a lie */
                return -ENOSYS;
        r = current_flags(fd, &now);
        if (r < 0)
                return r;
        if ((set | clear) & atime)
                now &= ~atime;
        now = (now & ~clear) | set;
        if (mount(NULL, zl_fd_path(fd, path), NULL, MS_BIND | MS_REMOUNT | now, NULL) < 0)
                return -errno;
        return 0;
}

int zl_mount_set_propagation(int fd, unsigned long propagation)
{
        struct mount_attr attr = { .propagation = propagation & ~(unsigned long)MS_REC };
        char path[ZL_FD_PATH_MAX];
        int r = set_attributes(fd, &attr, propagation & MS_REC);

        if (r != -ENOSYS)
                return r;
        if (mount(NULL, zl_fd_path(fd, path), NULL, propagation, NULL) < 0)
                return -errno;
        return 0;
}
