/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the fixed record of a child to one clear message. The table is the whole vocabulary: what was attempted, in words, with
 * the subject in its place.
 */
#include <stdio.h>
#include <unistd.h>

#include "container/internal.h"

static const char *const texts[ZL_STAGE_MAX_] = {
        [ZL_STAGE_NONE] = "%s",
        [ZL_STAGE_SYNC] = "the container's process lost its creator%s",
        [ZL_STAGE_NAMESPACE] = "cannot enter the %s namespace",
        [ZL_STAGE_ID_MAP] = "cannot become root of the new user namespace%s",
        [ZL_STAGE_TIME_OFFSET] = "linux.timeOffsets: cannot set %s",
        [ZL_STAGE_HOSTNAME] = "cannot set the host name \"%s\"",
        [ZL_STAGE_LOOPBACK] = "cannot bring up the loopback interface%s",
        [ZL_STAGE_PROC_HANDLE] = "%s is not a procfs",
        [ZL_STAGE_OOM_SCORE] = "process.oomScoreAdj: cannot set %s",
        [ZL_STAGE_PROPAGATION] = "cannot set the mount propagation of %s",
        [ZL_STAGE_ROOTFS] = "cannot mount the root file system %s",
        [ZL_STAGE_OVERLAY] = "cannot mount the overlay on %s",
        [ZL_STAGE_MOUNT_SOURCE] = "mounts: cannot open the source %s",
        [ZL_STAGE_MOUNT_TARGET] = "mounts: cannot make the mount point %s in the root file system",
        [ZL_STAGE_MOUNT_LINK] = "mounts: %s must be mounted on ordinary directory",
        [ZL_STAGE_MOUNT] = "mounts: cannot mount %s",
        [ZL_STAGE_MOUNT_FLAGS] = "mounts: cannot set the options of %s",
        [ZL_STAGE_COPY_UP] = "mounts: tmpcopyup: cannot copy %s",
        [ZL_STAGE_DEVICE] = "linux.devices: cannot make %s",
        [ZL_STAGE_SYMLINK] = "cannot make the symbolic link %s",
        [ZL_STAGE_MASK] = "linux.maskedPaths: cannot mask %s",
        [ZL_STAGE_READONLY] = "linux.readonlyPaths: cannot make %s read-only",
        [ZL_STAGE_CONSOLE] = "cannot set up the terminal (%s)",
        [ZL_STAGE_HOOK] = "error running %s",
        [ZL_STAGE_PIVOT] = "cannot change the root to %s",
        [ZL_STAGE_SYSCTL] = "linux.sysctl: cannot set %s",
        [ZL_STAGE_CGROUP_NAMESPACE] = "cannot make a cgroup namespace%s",
        [ZL_STAGE_KEYRING] = "cannot make a session keyring%s",
        [ZL_STAGE_USER] = "process.user: cannot be user \"%s\"",
        [ZL_STAGE_GROUPS] = "process.user: cannot set the groups of user %s",
        [ZL_STAGE_RLIMIT] = "process.rlimits: cannot set %s",
        [ZL_STAGE_SCHEDULER] = "process.scheduler: cannot set %s",
        [ZL_STAGE_IO_PRIORITY] = "process.ioPriority: cannot set it%s",
        [ZL_STAGE_PERSONALITY] = "linux.personality: cannot set it%s",
        [ZL_STAGE_LABEL] = "cannot set the security label \"%s\"",
        [ZL_STAGE_CWD] = "chdir to cwd (\"%s\") set in config.json failed",
        [ZL_STAGE_CAPABILITIES] = "process.capabilities: cannot set the %s set",
        [ZL_STAGE_NO_NEW_PRIVS] = "cannot set no_new_privs%s",
        [ZL_STAGE_SECCOMP] = "linux.seccomp: cannot load the filter%s",
        [ZL_STAGE_STDIO] = "cannot set up %s",
        [ZL_STAGE_MEMORY_POLICY] = "linux.memoryPolicy: cannot set it%s",
        [ZL_STAGE_CPU_AFFINITY] = "process.execCPUAffinity: cannot set %s",
};

static int fail_exec(const struct zl_message *m, const char *command, struct zl_error *err)
{
        switch (m->errnum) {
        case ENOENT:
        case ENOTDIR:
                if (!strchr(command, '/'))
                        return zl_fail(err, ZL_E_NO_COMMAND, 0,
                                       "exec: \"%s\": executable file not found in $PATH", command);
                /* It is there as a file, so what the kernel misses is its interpreter: the words of runc tell the two apart. */
                if (!m->value)
                        return zl_fail(err, ZL_E_NO_COMMAND, m->errnum, "exec %s", command);
                return zl_fail(err, ZL_E_NO_COMMAND, m->errnum, "exec: \"%s\"", command);
        default:
                return zl_fail(err, ZL_E_NOT_RUNNABLE, m->errnum, "exec: \"%s\"", command);
        }
}

int zl_report_fail(const struct zl_message *m, const char *command, struct zl_error *err)
{
        char text[512], subject[sizeof m->subject + 1], end[64];
        int stage = m->stage, errnum = m->errnum;

        memcpy(subject, m->subject, sizeof m->subject);
        subject[sizeof m->subject] = 0;
        if (stage == ZL_STAGE_EXEC)
                return fail_exec(m, command, err);
        if (stage <= 0 || stage >= ZL_STAGE_MAX_ || !texts[stage])
                return zl_fail(err, ZL_E_INTERNAL, errnum, "the container's process failed");
        snprintf(text, sizeof text, texts[stage], subject);
        if (stage == ZL_STAGE_HOOK && errnum == ECHILD) {
                zl_hook_end_text(m->value, end, sizeof end);
                return zl_fail(err, ZL_E_CREATE, 0, "%s: %s%s%.*s", text, end,
                               *m->detail ? ": " : "", (int)sizeof m->detail, m->detail);
        }
        if (stage == ZL_STAGE_USER && errnum == ENOENT)
                return zl_fail(err, ZL_E_CREATE, 0,
                               "%s: no such user or group in the container's /etc/passwd and "
                               "/etc/group",
                               text);
        zl_fail_errno(err, errnum, "%s", text);
        if (stage == ZL_STAGE_LOOPBACK && errnum == EPERM)
                zl_error_hint(err,
                              "a network of its own needs CAP_NET_ADMIN, which this process does "
                              "not have; the host's network needs nothing");
        if (stage == ZL_STAGE_MOUNT && errnum == EPERM && geteuid() != 0)
                zl_error_hint(
                        err,
                        "a user may only mount what belongs to namespaces of the container: proc to a new pid "
                        "namespace, mqueue to a new ipc namespace; and may change no ids");
        if ((stage == ZL_STAGE_USER || stage == ZL_STAGE_ID_MAP) && errnum == EINVAL)
                zl_error_hint(err, "is the id in linux.uidMappings?");
        if (stage == ZL_STAGE_GROUPS && errnum == EINVAL)
                zl_error_hint(err, "are all ids in linux.gidMappings?");
        if (stage == ZL_STAGE_GROUPS && errnum == EPERM)
                zl_error_hint(
                        err, "the user namespace denies setgroups: there can be no additionalGids");
        if (stage == ZL_STAGE_OOM_SCORE && errnum == EACCES)
                zl_error_hint(err, "without CAP_SYS_RESOURCE it can only be raised");
        if (stage == ZL_STAGE_RLIMIT && errnum == EPERM)
                zl_error_hint(
                        err,
                        "raising a hard limit needs CAP_SYS_RESOURCE, which this process does not have");
        return -errnum;
}
