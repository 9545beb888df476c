/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last part of the way to the command, the same for the first process and for an exec.
 *
 * Order, and why:
 *   1. what needs privileges or the host's /proc: oom_score_adj, rlimits, scheduler, I/O priority, CPU affinity, labels;
 *   2. a filter that may be loaded only with CAP_SYS_ADMIN (no no_new_privs): before the capabilities go;
 *   3. bounding set (needs CAP_SETPCAP), groups (CAP_SETGID), gid, uid with KEEPCAPS, the other sets;
 *   4. the working directory, as the user it will be used by, and only if it lies inside the root (a descriptor of
 *      the host that leaked in as cwd would be a way out: CVE-2024-21626);
 *   5. no_new_privs, and then the filter: while it waits for its start, if it allows what is left to do; otherwise as the very last
 *      thing before exec.
 *
 * ids are changed by raw calls: libc's setuid() would signal threads that only the parent has.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include "base/forbid.h"
#include "container/internal.h"

int zl_child_fail(struct zl_child *c, enum zl_stage stage, int errnum, const char *subject)
{
        c->report = (struct zl_message){ .kind = ZL_MSG_ERROR, .stage = stage, .errnum = errnum };
        strncpy(c->report.subject, subject ? subject : "", sizeof c->report.subject - 1);
        return errnum > 0 ? -errnum : -EIO;
}

void zl_child_send_report(struct zl_child *c)
{
        /* A filter may say EINTR as well. */
        for (int tries = 0; tries < 64; tries++)
                if (send(c->report_fd, &c->report, sizeof c->report, MSG_NOSIGNAL) >= 0 ||
                    errno != EINTR)
                        return;
}

void zl_child_end(struct zl_child *c, int otherwise)
{
        zl_child_send_report(c);
        syscall(SYS_exit_group, c->report.stage == ZL_STAGE_EXEC
                                        ? (c->report.errnum == ENOENT ? 127 : 126)
                                        : otherwise);
        /* The filter refuses even that, and _exit() would try for ever. */
        __builtin_trap();
}

/* The kernel says it in one text. */
uint64_t zl_ignored_signals(int proc_fd)
{
        _cleanup_close_ int fd = -EBADF;
        char text[2048];
        const char *line;
        ssize_t n;

        if (proc_fd >= 0 && !zl_forbidden("proc_status"))
                fd = openat(proc_fd, "thread-self/status", O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        text[n < 0 ? 0 : n] = 0;
        line = strstr(text, "\nSigIgn:\t");
        return line && strchr(line + 1, '\n') ? strtoull(line + 9, NULL, 16) : UINT64_MAX;
}

/* Ignored signals survive exec; a caller that ignores SIGPIPE must not make the container do so. Handlers do not. */
void zl_child_reset_signals(uint64_t ignored)
{
        /* The kernel's own call: a C library keeps a few real-time signals to itself and refuses to change them. */
        static const unsigned long by_default[8];
        sigset_t none;

        for (int sig = 1; sig < NSIG; sig++)
                if (ignored >> (sig - 1) & 1 && sig != SIGKILL && sig != SIGSTOP)
                        syscall(SYS_rt_sigaction, sig, by_default, NULL, 8);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The host's procfs, opened before the root changes; nothing in the container can stand in for it. */
int zl_child_open_proc(struct zl_child *c)
{
        struct statfs fs;

        c->proc_fd = openat(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (c->proc_fd < 0 || fstatfs(c->proc_fd, &fs) < 0)
                return zl_child_fail(c, ZL_STAGE_PROC_HANDLE, errno, "/proc");
        if (fs.f_type != PROC_SUPER_MAGIC)
                return zl_child_fail(c, ZL_STAGE_PROC_HANDLE, ENODEV, "/proc");
        c->ignored_signals = c->plan->knows_ignored ? c->plan->ignored_signals
                                                    : zl_ignored_signals(c->proc_fd);
        return 0;
}

void zl_child_look_at_groups(struct zl_child *c)
{
        _cleanup_close_ int fd = openat(AT_FDCWD, "/proc/self/setgroups", O_RDONLY | O_CLOEXEC);
        char text[8];
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);

        c->no_setgroups = n >= 4 && memcmp(text, "deny", 4) == 0;
}

int zl_child_write_proc(struct zl_child *c, const char *file, const char *value)
{
        return zl_write_string_at(c->proc_fd, file, value);
}

/* --- who ------------------------------------------------------------------------------------------------------------ */

/* For the hooks in the container as for the command. */
void zl_child_set_home(struct zl_child *c)
{
        static char home[sizeof c->home + 5];
        const struct zl_process_plan *p = c->process;

        if (!p->has_home) {
                strcpy(home, "HOME=");
                strcat(home, c->home[0] ? c->home : "/");
                p->envp[p->n_env] = home;
        }
}

int zl_child_user_lookup(struct zl_child *c)
{
        const struct zl_process_plan *p = c->process;
        /* Large, and used once. */
        static struct zl_user_result found;
        int r;

        found = (struct zl_user_result){ .groups = c->groups };
        c->uid = p->uid;
        c->gid = p->gid;
        c->n_groups = p->n_groups;
        for (size_t i = 0; i < p->n_groups; i++)
                c->groups[i] = p->groups[i];
        if (!p->user_text) {
                if (!p->has_home || p->words_come)
                        zl_user_home(c->root_fd, p->uid, c->home, sizeof c->home);
                zl_child_set_home(c);
                return 0;
        }
        found.n_groups = c->n_groups;
        r = zl_user_lookup(c->root_fd, p->user_text, &found);
        if (r < 0)
                return zl_child_fail(c, ZL_STAGE_USER, -r, p->user_text);
        c->uid = found.uid;
        c->gid = found.gid;
        c->n_groups = found.n_groups;
        if (!p->has_home || p->words_come)
                memcpy(c->home, found.home, sizeof c->home);
        zl_child_set_home(c);
        return 0;
}

/* A session keyring of its own, so that the caller's keys stay out of reach. */
int zl_child_keyring(struct zl_child *c)
{
        if (c->process->new_keyring &&
            syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL) < 0 && errno != ENOSYS &&
            errno != EPERM && errno != EDQUOT)
                return zl_child_fail(c, ZL_STAGE_KEYRING, errno, "");
        return 0;
}

void zl_child_reset_affinity(struct zl_child *c)
{
        unsigned long all[ZL_CPU_WORDS];

        memset(all, 0xff, sizeof all);
        if (!c->process->cpu_initial)
                syscall(SYS_sched_setaffinity, 0, sizeof all, all);
}

/* --- attributes --------------------------------------------------------------------------------------------------------- */

static int set_scheduler(struct zl_child *c)
{
        const struct zl_process_plan *p = c->process;

        if (p->cpu_initial &&
            syscall(SYS_sched_setaffinity, 0, ZL_CPU_WORDS * sizeof(long), p->cpu_initial) < 0)
                return zl_child_fail(c, ZL_STAGE_CPU_AFFINITY, errno, "initial");
        if (p->scheduler && syscall(SYS_sched_setattr, 0, p->scheduler, 0) < 0)
                return zl_child_fail(c, ZL_STAGE_SCHEDULER, errno, "the policy");
        if (p->io_priority >= 0 &&
            syscall(SYS_ioprio_set, 1 /* a process */, 0, p->io_priority) < 0)
                return zl_child_fail(c, ZL_STAGE_IO_PRIORITY, errno, "");
        if (p->memory_policy &&
            syscall(SYS_set_mempolicy, p->memory_policy->mode, p->memory_policy->nodes,
                    p->memory_policy->nodes ? ZL_NODE_WORDS * 8 * sizeof(long) : 0) < 0)
                return zl_child_fail(c, ZL_STAGE_MEMORY_POLICY, errno, "");
        if (p->personality >= 0 && personality((unsigned long)p->personality) < 0)
                return zl_child_fail(c, ZL_STAGE_PERSONALITY, errno, "");
        return 0;
}

int zl_child_labels(struct zl_child *c)
{
        const struct zl_process_plan *p = c->process;
        int r;

        if (p->apparmor) {
                r = zl_child_write_proc(c, "thread-self/attr/apparmor/exec", p->apparmor);
                if (r == -ENOENT)
                        r = zl_child_write_proc(c, "thread-self/attr/exec", p->apparmor);
                if (r < 0)
                        return zl_child_fail(c, ZL_STAGE_LABEL, -r, p->apparmor);
        }
        if (p->selinux) {
                r = zl_child_write_proc(c, "thread-self/attr/exec", p->selinux);
                if (r < 0)
                        return zl_child_fail(c, ZL_STAGE_LABEL, -r, p->selinux);
        }
        return 0;
}

int zl_child_attributes(struct zl_child *c)
{
        const struct zl_process_plan *p = c->process;

        for (size_t i = 0; i < p->n_rlimits; i++)
                if (syscall(SYS_prlimit64, 0, p->rlimits[i].resource, &p->rlimits[i].limit, NULL) <
                    0)
                        return zl_child_fail(c, ZL_STAGE_RLIMIT, errno, p->rlimits[i].name);
        return set_scheduler(c);
}

/* --- privileges ----------------------------------------------------------------------------------------------------------- */

static int enter_cwd(struct zl_child *c)
{
        const char *cwd = c->process->cwd;
        char real[PATH_MAX];
        long n;

        if (chdir(cwd) < 0)
                return -errno;
        /* "(unreachable)/…" is what the kernel says of a directory outside the root. */
        n = syscall(SYS_getcwd, real, sizeof real);
        if (n < 0)
                return -errno;
        return real[0] == '/' ? 0 : -EXDEV;
}

static int change_ids(struct zl_child *c)
{
        char text[12];

        snprintf(text, sizeof text, "%u", c->uid);
        /* To the calls below -1 means "leave it as it is", which is root. */
        if (c->uid == (uid_t)-1)
                return zl_child_fail(c, ZL_STAGE_USER, EINVAL, text);
        if (c->gid == (gid_t)-1)
                return zl_child_fail(c, ZL_STAGE_GROUPS, EINVAL, text);
        /* What the user's entry in the container's /etc/group would add is a right less; what was asked for by number must be. */
        if (c->no_setgroups && !c->process->keep_groups && c->process->n_groups > 0)
                return zl_child_fail(c, ZL_STAGE_GROUPS, EPERM, text);
        if (!c->no_setgroups && !c->process->keep_groups &&
            syscall(SYS_setgroups, c->n_groups, c->groups) < 0)
                return zl_child_fail(c, ZL_STAGE_GROUPS, errno, text);
        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
                return zl_child_fail(c, ZL_STAGE_CAPABILITIES, errno, "permitted");
        if (syscall(SYS_setresgid, c->gid, c->gid, c->gid) < 0)
                return zl_child_fail(c, ZL_STAGE_GROUPS, errno, text);
        if (syscall(SYS_setresuid, c->uid, c->uid, c->uid) < 0)
                return zl_child_fail(c, ZL_STAGE_USER, errno, text);
        return 0;
}

/* --- finding the command -------------------------------------------------------------------------------------------------- */

/* The search of execvp(), without its allocation and without /bin/sh for files that have no header. `try` returns 0 to end the
 * search, or an errno value; what is not there or not permitted lets it go on. */
static int search(const struct zl_process_plan *p,
                  int (*try)(const struct zl_process_plan *p, const char *file))
{
        const char *command = p->argv[0];
        const char *path = p->path_env ? p->path_env : "/bin:/usr/bin";
        int result = ENOENT, error;
        char file[PATH_MAX];

        if (*command == 0)
                return ENOENT;
        if (strchr(command, '/'))
                return try(p, command);
        for (;;) {
                size_t n = strcspn(path, ":");
                struct stat st;

                if (n + strlen(command) + 2 <= sizeof file) {
                        memcpy(file, path, n);
                        file[n] = '/';
                        strcpy(file + (n ? n + 1 : 0), command);
                        if (stat(file, &st) == 0 && !S_ISDIR(st.st_mode)) {
                                error = try(p, file);
                                if (error != EACCES && error != ENOENT && error != ENOTDIR)
                                        return error;
                                if (error == EACCES)
                                        result = error;
                        }
                }
                if (path[n] == 0)
                        return result;
                path += n + 1;
        }
}

static int try_exec(const struct zl_process_plan *p, const char *file)
{
        execve(file, p->argv, p->envp);
        return errno;
}

static int try_look(const struct zl_process_plan *p _unused_, const char *file)
{
        struct stat st;

        if (stat(file, &st) < 0)
                return errno == ENOENT || errno == ENOTDIR ? errno : 0;
        return S_ISREG(st.st_mode) && !(st.st_mode & 0111) ? EACCES : 0;
}

/* A command that is certainly not there is an error of create where start is a call of its own, as in runc: callers undo a failed
 * create, but keep a container whose start failed. Only stat() is asked, before a filter could forbid it and with all rights; what
 * execve() will say of the rest is an error of start. */
static int look_for_command(struct zl_child *c, bool in_cwd)
{
        const char *command = c->process->argv[0];
        int error;

        if (!command || (!in_cwd && command[0] != '/' && strchr(command, '/')))
                return 0;
        error = search(c->process, try_look);
        if (error == 0)
                return 0;
        error = zl_child_fail(c, ZL_STAGE_EXEC, error, command);
        c->report.value = 1; /* looked for, not executed */
        return error;
}

int zl_child_privileges(struct zl_child *c)
{
        const struct zl_process_plan *p = c->process;
        int cwd, r = zl_child_shed(c);

        if (r < 0)
                return r;
        /* With the present rights first (the directory may be closed to the user but meant for it: as runc), later as the user. */
        cwd = enter_cwd(c);
        if (c->plan->gate_fd >= 0) {
                r = look_for_command(c, cwd == 0);
                if (r < 0)
                        return r;
        }
        if (!p->no_new_privs) {
                r = zl_child_seccomp(c, false);
                if (r < 0)
                        return r;
        }
        r = zl_caps_raise_inheritable(&p->caps);
        if (r < 0)
                return zl_child_fail(c, ZL_STAGE_CAPABILITIES, -r, "inheritable");
        r = zl_caps_drop_bounding(&p->caps);
        if (r < 0)
                return zl_child_fail(c, ZL_STAGE_CAPABILITIES, -r, "bounding");
        r = change_ids(c);
        if (r < 0)
                return r;
        r = zl_caps_apply(&p->caps);
        if (r < 0)
                return zl_child_fail(c, ZL_STAGE_CAPABILITIES, -r, "effective");
        if (cwd < 0)
                cwd = enter_cwd(c);
        if (cwd < 0)
                return zl_child_fail(c, ZL_STAGE_CWD, -cwd, p->cwd);
        if (p->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return zl_child_fail(c, ZL_STAGE_NO_NEW_PRIVS, errno, "");
        /* Changing ids cleared it. */
        if (p->die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
                return zl_child_fail(c, ZL_STAGE_SYNC, errno, "");
        umask(p->umask);
        return 0;
}

/* --- seccomp -------------------------------------------------------------------------------------------------------------- */

/* The listener goes to whoever watches, with the state of the container beside it (runtime-spec, "containerProcessState"). */
static int send_listener(struct zl_child *c, int listener)
{
        const struct zl_process_plan *p = c->process;
        char pid[16];
        struct iovec iov[3];
        union {
                char buf[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control = { { 0 } };
        struct msghdr msg = { .msg_iov = iov,
                              .msg_iovlen = 2,
                              .msg_control = control.buf,
                              .msg_controllen = sizeof control.buf };
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

        snprintf(pid, sizeof pid, "%d}", c->host_pid);
        iov[0] = (struct iovec){ (void *)(uintptr_t)p->seccomp_state, strlen(p->seccomp_state) };
        iov[1] = (struct iovec){ pid, strlen(pid) };
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &listener, sizeof listener);
        return sendmsg(c->listener_socket ? c->listener_socket : p->seccomp_socket, &msg,
                       MSG_NOSIGNAL) < 0
                       ? -errno
                       : 0;
}

int zl_child_seccomp(struct zl_child *c, bool late)
{
        const struct zl_process_plan *p = c->process;
        int r;

        if (!p->seccomp || p->seccomp->n == 0 || late != p->no_new_privs || c->filtered)
                return 0;
        r = zl_seccomp_load(p->seccomp);
        if (r < 0)
                return zl_child_fail(c, ZL_STAGE_SECCOMP, -r, "");
        c->filtered = true;
        if (p->seccomp->notify) {
                int listener = r;

                r = send_listener(c, listener);
                close(listener);
                if (r < 0)
                        return zl_child_fail(c, ZL_STAGE_SECCOMP, -r, " (listener)");
        }
        return 0;
}

/* What is left to do between the gate and the exec, and on the way to an error. The C library may take another call for it. */
static const int calls_to_come[] = {
        SYS_accept4,        SYS_recvfrom,
        SYS_recvmsg,        SYS_sendto,
        SYS_sendmsg,        SYS_close,
        SYS_close_range,    SYS_fcntl,
        SYS_dup3,           SYS_rt_sigaction,
        SYS_rt_sigprocmask, SYS_rt_sigreturn,
        SYS_prlimit64,      SYS_sched_setaffinity,
        SYS_prctl,          SYS_openat,
        SYS_read,           SYS_lseek,
        SYS_fstat,          SYS_newfstatat,
        SYS_statx,          SYS_brk,
        SYS_mmap,           SYS_munmap,
        SYS_mremap,         SYS_madvise,
        SYS_futex,          SYS_execve,
        SYS_exit_group,
#ifdef SYS_dup2
        SYS_dup2,
#endif
#ifdef SYS_getrlimit
        SYS_getrlimit,
#endif
#ifdef SYS_stat
        SYS_stat,
#endif
#ifdef SYS_open
        SYS_open,
#endif
};

int zl_child_seccomp_ahead(struct zl_child *c)
{
        const struct zl_seccomp_program *filter = c->process->seccomp;

        if (!filter || filter->notify ||
            !zl_seccomp_allows(filter, calls_to_come, ZL_ARRAY_SIZE(calls_to_come)))
                return 0;
        return zl_child_seccomp(c, true);
}

/* --- descriptors ------------------------------------------------------------------------------------------------------------- */

/* A command that is not root must be able to open /dev/stdout anew. Not the null device, which is everybody's; what does not let
 * itself be given away (another's file, a read-only mount) stays as it is, as in runc. */
static void give_stdio(const struct zl_child *c)
{
        for (int i = 0; i < 3; i++) {
                struct stat st;

                if (fstat(i, &st) < 0 || st.st_uid == c->uid ||
                    (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
                        continue;
                (void)!fchown(i, c->uid, c->gid);
        }
}

/* The null device of the host becomes the container's own: what stands open on a mount of the host cannot be dumped (checkpoint.c). */
static void own_null(void)
{
        _cleanup_close_ int own = -EBADF;
        struct stat st;

        for (int i = 0; i < 3; i++) {
                if (fstat(i, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
                        continue;
                if (own < 0)
                        own = openat(AT_FDCWD, "/dev/null",
                                     O_RDWR | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
                if (own < 0 || fstat(own, &st) < 0 || !S_ISCHR(st.st_mode) ||
                    st.st_rdev != makedev(1, 3))
                        return;
                (void)!dup2(own, i);
        }
}

int zl_child_stdio(struct zl_child *c)
{
        const struct zl_process_plan *p = c->process;

        if (p->tty) {
                /* A session of its own, so that the terminal can be its controlling one. */
                if (ioctl(c->tty_fd, TIOCSCTTY, 0) < 0)
                        return zl_child_fail(c, ZL_STAGE_CONSOLE, errno, "controlling terminal");
                if (c->uid && fchown(c->tty_fd, c->uid, (gid_t)-1) < 0 && errno != EINVAL &&
                    errno != EROFS)
                        return zl_child_fail(c, ZL_STAGE_CONSOLE, errno, "owner");
        }
        for (int i = 0; i < 3; i++)
                if (dup2(p->tty ? c->tty_fd : p->stdio[i], i) < 0)
                        return zl_child_fail(c, ZL_STAGE_STDIO, errno, "standard input or output");
        if (c->tty_fd > STDERR_FILENO)
                c->tty_fd = zl_close(c->tty_fd);
        if (p->tty)
                return 0;
        own_null();
        if (c->uid)
                give_stdio(c);
        return 0;
}

static int close_from(unsigned first)
{
        struct rlimit limit;

        if (syscall(SYS_close_range, first, ~0U, 0U) == 0)
                return 0;
        if (errno != ENOSYS && errno != EPERM) /* EPERM: an old filter around ourselves */
                return -errno;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return -errno;
        limit.rlim_max = ZL_MIN(ZL_MAX(limit.rlim_max, (rlim_t)65536), (rlim_t)1 << 20);
        for (rlim_t fd = first; fd < limit.rlim_max; fd++)
                close((int)fd);
        return 0;
}

/* What is not needed any more is closed, whoever left it open: the working directory and the command must not be found through a
 * descriptor of a directory (CVE-2024-21626), and nobody may find one while the container waits between create and start. */
int zl_child_shed(struct zl_child *c)
{
        const struct zl_process_plan *p = c->process;
        int keep[256 + 5 + ZL_NAMESPACE_KINDS];
        size_t n = 0;
        unsigned next = 3;

        if (p->n_preserve_fds > 256)
                return zl_child_fail(c, ZL_STAGE_STDIO, E2BIG, "descriptors");
        keep[n++] = c->sync_fd;
        keep[n++] = c->report_fd;
        keep[n++] = c->plan->gate_fd;
        keep[n++] = p->seccomp_socket;
        keep[n++] = c->tty_fd; /* not in its place yet */
        for (size_t i = 0; i < p->n_preserve_fds; i++)
                keep[n++] = p->preserve_fds[i];
        for (size_t i = 0; i < c->n_namespaces; i++)
                keep[n++] = c->namespaces[i];
        for (;;) {
                unsigned first = ~0U;

                for (size_t i = 0; i < n; i++)
                        if (keep[i] >= 0 && (unsigned)keep[i] >= next)
                                first = ZL_MIN(first, (unsigned)keep[i]);
                if (first > next && syscall(SYS_close_range, next, first - 1, 0U) < 0 &&
                    errno != ENOSYS && errno != EPERM)
                        return zl_child_fail(c, ZL_STAGE_STDIO, errno, "descriptors");
                if (first == ~0U)
                        break;
                next = first + 1;
        }
        c->proc_fd = c->root_fd = -EBADF;
        return 0;
}

/*
 * Descriptors for the command become 3, 4 …; all others are closed here and now, whoever left them open. To have them
 * closed by exec would be too late: exec looks the command up before, and "/proc/self/fd/7/../../bin/sh", through one of our
 * directories of the host, would run a program of the host in the container (CVE-2024-21626).
 */
static int arrange_fds(struct zl_child *c)
{
        const struct zl_process_plan *p = c->process;
        int first = 3 + (int)p->n_preserve_fds, socket = p->seccomp_socket;
        int high[256];

        if (p->n_preserve_fds > ZL_ARRAY_SIZE(high))
                return -E2BIG;
        /* Out of the way of what comes to 3 … first + 1. */
        c->report_fd = fcntl(c->report_fd, F_DUPFD_CLOEXEC, first + 2);
        if (c->report_fd < 0)
                return -errno;
        if (socket >= 0) {
                socket = fcntl(socket, F_DUPFD_CLOEXEC, first + 2);
                if (socket < 0)
                        return -errno;
        }
        for (size_t i = 0; i < p->n_preserve_fds; i++) {
                high[i] = -1;
                if (p->preserve_fds[i] < 0)
                        continue;
                high[i] = fcntl(p->preserve_fds[i], F_DUPFD_CLOEXEC, first);
                if (high[i] < 0)
                        return -errno;
        }
        for (size_t i = 0; i < p->n_preserve_fds; i++)
                if (high[i] < 0)
                        close(3 + (int)i);
                else if (dup2(high[i], 3 + (int)i) < 0)
                        return -errno;
        /* What is left above is the way to report: a socket, which leads nowhere. */
        if (dup3(c->report_fd, first, O_CLOEXEC) < 0)
                return -errno;
        c->report_fd = first++;
        if (socket >= 0 && p->no_new_privs) { /* needed until the filter is loaded */
                if (dup3(socket, first, O_CLOEXEC) < 0)
                        return -errno;
                c->listener_socket = first++;
        }
        c->proc_fd = c->root_fd = c->tty_fd = -EBADF;
        return close_from((unsigned)first);
}

/* --- exec ---------------------------------------------------------------------------------------------------------------------- */

int zl_child_exec(struct zl_child *c)
{
        const struct zl_process_plan *p = c->process;
        int r;

        zl_child_reset_signals(c->ignored_signals);
        r = arrange_fds(c);
        if (r < 0)
                return zl_child_fail(c, ZL_STAGE_STDIO, -r, "descriptors");
        if (p->cpu_final &&
            syscall(SYS_sched_setaffinity, 0, ZL_CPU_WORDS * sizeof(long), p->cpu_final) < 0)
                return zl_child_fail(c, ZL_STAGE_CPU_AFFINITY, errno, "final");
        r = zl_child_seccomp(c, true);
        if (r < 0)
                return r;
        return zl_child_fail(c, ZL_STAGE_EXEC, search(p, try_exec), p->argv[0]);
}
