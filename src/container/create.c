/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a container: the parent's side.
 *
 * Order, and why: first everything that can be wrong with the input (config, plan, filter), then what leaves traces: the
 * state directory, the cgroup with its limits (so that nobody is ever in it without them) as far as the child is born into it
 * (version 2), the child; the groups of version 1, which the child enters when its mounts stand and which cost as much time as
 * these; with the systemd driver all groups, since a scope is made around a process. Then the two talk until the child waits at the gate. Whatever fails, undo() takes it all back: kill, wait, group, state.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/forbid.h"
#include "base/log.h"
#include "base/path.h"
#include "base/process.h"
#include "base/socket.h"
#include "container/restore.h"
#include "linux/clone.h"
#include "linux/scope.h"
#include "schema/node.h"

struct creation {
        const struct zl_container_options *options;
        struct zl_plan plan;
        struct zl_container *c;
        int parent_fd; /* our end of the sync socket */
        int null_fd;
        bool made_state;
        struct zl_seccomp_program seccomp; /* compiled here */
        _Bool compiled;
        struct zl_net_devices devices;
        struct zl_scope *scope; /* the systemd driver's */
        bool in_scope;          /* it was made: what is in its group is ours */
};

static bool id_is_valid(const char *id)
{
        if (!id || !*id || strlen(id) > 1024 || !zl_path_is_name(id))
                return false;
        if (*id == '.') /* as files that nobody sees */
                return false;
        for (const char *p = id; *p; p++)
                if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.",
                            *p))
                        return false;
        return true;
}

/* --- preparations ------------------------------------------------------------------------------------------------ */

static int prepare_state(struct creation *k, struct zl_error *err)
{
        const struct zl_container_options *o = k->options;
        _cleanup_free_ char *dir = NULL;
        int r;

        if (!o->root)
                return 0;
        r = zl_mkdir_p_at(AT_FDCWD, o->root, 0700);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot create %s", o->root);
        dir = zl_path_join(o->root, o->id);
        if (!dir || zl_replace_str(&k->c->root, o->root) < 0)
                return zl_fail_oom(err);
        if (mkdir(dir, 0700) < 0) {
                if (errno == EEXIST)
                        return zl_fail(err, ZL_E_EXISTS, 0,
                                       "container with given ID already exists: %s", o->id);
                return zl_fail_errno(err, errno, "cannot create %s", dir);
        }
        /* Whoever deletes at this moment may be faster; the directory of that name is not ours then. It is from here on: who wants to
         * delete waits for the lock. */
        k->c->state_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (k->c->state_fd < 0 && errno == ENOENT)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "container %s does not exist any more",
                               o->id);
        if (k->c->state_fd < 0)
                return zl_fail_errno(err, errno, "cannot open %s", dir);
        r = zl_container_lock(k->c, err);
        k->made_state = r == 0;
        if (r == 0 && o->notify_dir && mkdirat(k->c->state_fd, ZL_NOTIFY_DIR, 0755) < 0)
                return zl_fail_errno(err, errno, "cannot create %s/" ZL_NOTIFY_DIR, dir);
        return r;
}

static int prepare_seccomp(struct creation *k, struct zl_error *err)
{
        const struct zl_container_options *o = k->options;
        const struct zl_oci_seccomp *config = o->config->linux_->seccomp;
        struct zl_process_plan *p = &k->plan.process;
        int r;

        if (o->seccomp) {
                p->seccomp = o->seccomp;
        } else if (config) {
                if (!o->seccomp_compile)
                        return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                                       "linux.seccomp: this program cannot compile filters");
                r = o->seccomp_compile(config, &k->seccomp, err);
                if (r < 0)
                        return r;
                p->seccomp = &k->seccomp;
        }
        if (p->seccomp && p->seccomp->n)
                zl_debug("seccomp filter flags: %u",
                         (p->seccomp->flags & ~(unsigned)SECCOMP_FILTER_FLAG_TSYNC) |
                                 (p->seccomp->notify ? (unsigned)SECCOMP_FILTER_FLAG_NEW_LISTENER
                                                     : 0U));
        if (p->seccomp && p->seccomp->notify && config && !o->restore) {
                _cleanup_free_ char *state = zl_state_document(o->config, o->id, "creating", 0,
                                                               o->bundle);

                return zl_listener_connect(&k->plan, config, state, err);
        }
        return 0;
}

/* By either driver; "" without groups. */
static int find_cgroup(struct creation *k, struct zl_error *err)
{
        const struct zl_container_options *o = k->options;
        int r;

        if (o->no_cgroup)
                return zl_replace_str(&k->c->cgroup_path, "") < 0 ? zl_fail_oom(err) : 0;
        if (!o->systemd_cgroup)
                return zl_container_cgroup_path(o, &k->c->cgroup_path, err);
        k->c->systemd_cgroup = true;
        r = zl_scope_plan(o->config->linux_->cgroups_path, o->id, &k->scope, err);
        if (r == 0 && zl_replace_str(&k->c->cgroup_path, zl_scope_path(k->scope)) < 0)
                r = zl_fail_oom(err);
        return r;
}

/* The limits, and the ways in: nobody is ever in the group without its limits. */
static int equip_cgroup(struct creation *k, struct zl_error *err)
{
        static const struct zl_oci_resources no_resources;
        const struct zl_oci_resources *res = k->options->config->linux_->resources;
        int r = zl_cgroup_apply(k->c->cgroup, res ? res : &no_resources, err);

        if (r == 0 && k->scope)
                r = zl_scope_tell_limits(k->scope, k->c->cgroup, err);
        return r < 0 ? r : zl_cgroup_doors_open(k->c->cgroup, &k->plan.doors, err);
}

static int do_without_cgroup(struct creation *k, int r, struct zl_error *err)
{
        struct zl_container *c = k->c;

        r = zl_container_without_cgroup(k->options, r, err);
        if (r < 0)
                return r;
        if (c->state_fd >= 0 && unlinkat(c->state_fd, ZL_CGROUP_LINK, 0) < 0)
                return zl_fail_errno(err, errno, "cannot forget the cgroup of container %s", c->id);
        return zl_replace_str(&c->cgroup_path, "") < 0 ? zl_fail_oom(err) : 0;
}

/* What the child is born in must be there before it. The groups of version 1 it enters later: they are made while it builds its
 * mounts (send_doors). */
static int prepare_cgroup(struct creation *k, struct zl_error *err)
{
        struct zl_cgroup_options options = { .create = true, .exclusive = true };
        const struct zl_oci_resources *res = k->options->config->linux_->resources;
        struct zl_container *c = k->c;
        int r = find_cgroup(k, err);

        if (r < 0)
                return r;
        if (k->options->no_cgroup) {
                if (res && (res->memory || res->cpu || res->pids))
                        zl_warn("container %s: linux.resources have no effect without a cgroup",
                                c->id);
                return 0;
        }
        /* For whoever has to clean up after us if we are killed before the state is written. */
        if (c->state_fd >= 0 && symlinkat(c->cgroup_path, c->state_fd, ZL_CGROUP_LINK) < 0) {
                if (errno == EEXIST) { /* made anew by somebody else before we had it locked */
                        k->made_state = false;
                        return zl_fail(err, ZL_E_EXISTS, 0,
                                       "container with given ID already exists: %s", c->id);
                }
                return zl_fail_errno(err, errno, "cannot note the cgroup of container %s", c->id);
        }
        options.path = c->cgroup_path;
        options.late = k->scope != NULL;
        options.exclusive = !options.late; /* the process is in it when we come */
        options.rootless = k->options->rootless;
        options.born_only = !options.rootless && !zl_forbidden("late_doors");
        r = zl_cgroup_open(&options, &c->cgroup, err);
        if (r < 0 && !k->scope)
                return do_without_cgroup(k, r, err);
        k->plan.doors_come = r == 0 &&
                             (options.late || (options.born_only && !zl_cgroup_is_v2(c->cgroup)));
        return r < 0 || k->plan.doors_come ? r : equip_cgroup(k, err);
}

static int start_scope(struct creation *k, pid_t pid, struct zl_error *err)
{
        const struct zl_oci_config *config = k->options->config;
        _cleanup_free_ char *description = NULL;
        int r;

        if (asprintf(&description, "container %s", k->c->id) < 0) {
                description = NULL;
                return zl_fail_oom(err);
        }
        r = zl_scope_start(k->scope, pid, description, &config->annotations,
                           config->linux_->resources, err);
        k->in_scope = r == 0;
        return r;
}

/* What was put off, with its limits. */
static int make_cgroup(struct creation *k, struct zl_error *err)
{
        int r = zl_cgroup_make(k->c->cgroup, err);

        return r < 0 ? r : equip_cgroup(k, err);
}

/* The group of version 1, or the one that systemd makes around the child: made, limited, and handed to the child. */
static int send_doors(struct creation *k, struct zl_error *err)
{
        struct zl_message m = { .kind = ZL_MSG_DOORS };
        int r = k->scope ? start_scope(k, k->c->pid, err) : 0;
        ssize_t n;

        if (r == 0)
                r = make_cgroup(k, err);
        if (r < 0)
                return r;
        n = zl_send_fds(k->parent_fd, &m, sizeof m, k->plan.doors.fds, k->plan.doors.n, 0);
        return n < 0 ? zl_fail_errno(err, (int)-n, "the container's process has ended") : 0;
}

static int add_cgroup_dir(struct zl_arena *arena, char **dirs, size_t *n, const char *hierarchy,
                          const char *path)
{
        char text[PATH_MAX];

        snprintf(text, sizeof text, "/sys/fs/cgroup/%s%s", hierarchy, path);
        dirs[*n] = zl_arena_strndup(arena, text, strlen(text));
        return dirs[(*n)++] ? 0 : -ENOMEM;
}

/* The group's own directory is bound, so the kernel does not see the file system's options: they are its hierarchy's already, and what is
 * none of them must not be dropped in silence. */
static int check_cgroup_options(const struct zl_mount_plan *m, struct zl_error *err)
{
        static const char *const known[] = { "nsdelegate",
                                             "favordynmods",
                                             "memory_localevents",
                                             "memory_recursiveprot",
                                             "memory_hugetlb_accounting",
                                             "pids_localevents",
                                             "seclabel" };
        const char *word = m->options.data;

        while (word && *word) {
                size_t len = strcspn(word, ","), i = 0;

                while (i < ZL_ARRAY_SIZE(known) &&
                       (strlen(known[i]) != len || strncmp(known[i], word, len) != 0))
                        i++;
                if (i == ZL_ARRAY_SIZE(known))
                        return zl_fail(
                                err, ZL_E_INVALID, EINVAL,
                                "mounts: %s: Invalid argument \"%.*s\": cgroup version 2 has "
                                "no such option",
                                m->destination, (int)len, word);
                word += len + (word[len] == ',');
        }
        return 0;
}

/* Version 2, as runc and crun: in the host's cgroup namespace the names in /proc/self/cgroup are the host's, and so is what the container sees. */
static bool sees_all_groups(const struct creation *k)
{
        const struct zl_oci_linux *l = k->plan.config->linux_;

        for (size_t i = 0; i < l->n_namespaces; i++)
                if (zl_streq(l->namespaces[i].type, "cgroup"))
                        return false;
        return k->c->cgroup && zl_cgroup_is_v2(k->c->cgroup);
}

/* Only where a mount of type cgroup asks for them. */
static int prepare_cgroup_dirs(struct creation *k, struct zl_error *err)
{
        struct zl_plan *plan = &k->plan;
        bool wanted = false;
        size_t n = 0;

        for (size_t i = 0; i < plan->n_mounts; i++)
                wanted = wanted || plan->mounts[i].kind == ZL_MOUNT_CGROUP;
        if (!wanted)
                return 0;
        plan->cgroup_dirs = zl_arena_alloc(plan->arena, 32 * sizeof *plan->cgroup_dirs);
        if (!plan->cgroup_dirs)
                return zl_fail_oom(err);
        for (size_t i = 0; i < 31; i++) {
                const char *dir = zl_cgroup_hierarchy(k->c->cgroup, i);

                if (!dir)
                        break;
                if (add_cgroup_dir(plan->arena, plan->cgroup_dirs, &n, dir,
                                   sees_all_groups(k) ? "/" : k->c->cgroup_path) < 0)
                        return zl_fail_oom(err);
        }
        for (size_t i = 0; i < plan->n_mounts; i++) {
                int r = 0;

                if (plan->mounts[i].kind == ZL_MOUNT_CGROUP && n > 0 &&
                    zl_startswith(plan->cgroup_dirs[0], "/sys/fs/cgroup/./"))
                        r = check_cgroup_options(&plan->mounts[i], err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int prepare_sockets(struct creation *k, struct zl_error *err)
{
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return zl_fail_errno(err, errno, "cannot make a socket pair");
        k->parent_fd = fds[0];
        k->plan.sync_fd = fds[1];
        if (k->c->state_fd >= 0 && !k->options->start_here) {
                k->plan.gate_fd = zl_unix_listen_at(k->c->state_fd, ZL_GATE_FILE, SOCK_SEQPACKET,
                                                    0600);
                if (k->plan.gate_fd < 0)
                        return zl_fail_errno(err, -k->plan.gate_fd, "cannot make the start gate");
        }
        return zl_process_equip(&k->plan.process, k->options->stdio, &k->null_fd, err);
}

/* --- the child ------------------------------------------------------------------------------------------------------- */

static _Noreturn void child(struct creation *k)
{
        close(k->parent_fd);
        zl_close(k->options->idle_fd);
        zl_child_main(&k->plan);
}

/* As host's root, before we are only root of a user namespace: namespaces to join may belong to another one. What cannot be entered now is
 * left for then. */
static void join_early(struct zl_plan *plan)
{
        for (size_t i = 0; i < plan->n_joins; i++)
                if (setns(plan->joins[i].fd, plan->joins[i].flag) == 0)
                        plan->joins[i].fd = zl_close(plan->joins[i].fd);
}

/* In a user namespace that others live in the process may not be owner of its own /proc: what is written there comes first. */
static void hide_helper(struct creation *k)
{
        struct zl_process_plan *p = &k->plan.process;

        if (k->plan.join_user_fd >= 0 && p->has_oom_score_adj &&
            zl_write_string_at(AT_FDCWD, "/proc/self/oom_score_adj", p->oom_score_adj) == 0)
                p->has_oom_score_adj = false;
        if (!k->plan.is_shown)
                prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* A user namespace to join must be entered before the others are made in it, and namespaces to join are entered before one is made:
 * a helper does that and makes the process as our child (CLONE_PARENT), tells its pid, and is gone. */
static int clone_by_helper(struct creation *k, uint64_t flags, struct zl_error *err)
{
        struct zl_clone helper_how = { .cgroup_fd = -1, .hidden = geteuid() == 0 };
        int fds[2], status = 0, pid = 0;
        pid_t helper;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return zl_fail_errno(err, errno, "cannot make a pipe");
        helper = zl_clone(&helper_how);
        if (helper == 0) {
                long made;

                /* The pid namespace here and not in the parent: in one of another, the helper would be told a number that means
                 * some other process outside. */
                bool in_pid;

                hide_helper(k);
                in_pid = k->plan.join_pid_fd < 0 || setns(k->plan.join_pid_fd, CLONE_NEWPID) == 0;

                join_early(&k->plan);
                if (k->plan.join_user_fd >= 0 && setns(k->plan.join_user_fd, CLONE_NEWUSER) < 0)
                        _exit(errno);
                /* Without privileges of our own only as root of the user namespace. */
                if (!in_pid && setns(k->plan.join_pid_fd, CLONE_NEWPID) < 0)
                        _exit(errno);
                made = syscall(SYS_clone, (unsigned long)flags | CLONE_PARENT | SIGCHLD, NULL, NULL,
                               NULL, NULL);
                if (made == 0)
                        child(k);
                pid = (int)made;
                if (made < 0 || write(fds[1], &pid, sizeof pid) != (ssize_t)sizeof pid)
                        _exit(errno);
                _exit(0);
        }
        close(fds[1]);
        if (helper > 0)
                while (waitpid(helper, &status, 0) < 0 && errno == EINTR)
                        ;
        if (helper < 0 || read(fds[0], &pid, sizeof pid) != (ssize_t)sizeof pid) {
                close(fds[0]);
                return zl_fail_errno(err,
                                     helper < 0            ? -helper
                                     : WEXITSTATUS(status) ? WEXITSTATUS(status)
                                                           : EIO,
                                     "cannot enter the user namespace");
        }
        close(fds[0]);
        k->c->pid = pid;
        k->c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        return k->c->pidfd < 0 ? zl_fail_errno(err, errno, "cannot watch process %d", pid) : 0;
}

static int do_clone(struct creation *k, struct zl_error *err)
{
        struct zl_clone how = {
                .flags = k->plan.clone_flags,
                .cgroup_fd = zl_cgroup_dir_fd(k->c->cgroup),
                .pidfd = &k->c->pidfd,
                .hidden = k->plan.join_pid_fd >= 0,
        };
        _cleanup_close_ int own_pid_ns = -EBADF;
        pid_t pid;

        k->plan.left_outside = how.cgroup_fd >= 0;
        if (k->plan.join_user_fd >= 0 || (k->plan.new_user_ns && k->plan.n_joins > 0))
                return clone_by_helper(k, how.flags, err);
        /* A pid namespace takes effect for children only: we enter it for the clone and come back. */
        if (k->plan.join_pid_fd >= 0) {
                own_pid_ns = openat(AT_FDCWD, "/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
                if (own_pid_ns < 0 || setns(k->plan.join_pid_fd, CLONE_NEWPID) < 0)
                        return zl_fail_errno(err, errno, "cannot enter the pid namespace");
        }
        pid = zl_clone(&how);
        if (pid == 0) {
                k->plan.left_outside = how.cgroup_fd >= 0 && !how.cgroup_done;
                child(k);
        }
        if (own_pid_ns >= 0 && setns(own_pid_ns, CLONE_NEWPID) < 0 && pid > 0) {
                kill(pid, SIGKILL);
                return zl_fail_errno(err, errno, "cannot leave the pid namespace");
        }
        if (pid < 0)
                return zl_fail_errno(err, -pid, "cannot make the container's process");
        k->c->pid = pid;
        return 0;
}

static int write_maps(struct creation *k, struct zl_error *err)
{
        int r = zl_userns_write_maps(k->c->pid, &k->plan.id_maps, err);

        if (r < 0)
                return r;
        r = zl_sync_tell(k->parent_fd, ZL_MSG_MAPPED, 0);
        return r < 0 ? zl_fail_errno(err, -r, "the container's process has ended") : 0;
}

static int run_host_hooks(struct creation *k, struct zl_error *err)
{
        int r = zl_hooks_run_host(&k->plan, k->c, err);

        if (r < 0)
                return r;
        zl_test_stop("hooks");
        r = zl_sync_tell(k->parent_fd, ZL_MSG_HOOKS_DONE, 0);
        return r < 0 ? zl_fail_errno(err, -r, "the container's process has ended") : 0;
}

static int attach(struct creation *k, struct zl_error *err)
{
        int r = zl_cgroup_attach(k->c->cgroup, k->c->pid, err);

        if (r < 0)
                return r;
        r = zl_sync_tell(k->parent_fd, ZL_MSG_JOINED, 0);
        return r < 0 ? zl_fail_errno(err, -r, "the container's process has ended") : 0;
}

static int take_console(struct creation *k, int fd, struct zl_error *err)
{
        int r = 0;

        if (fd < 0)
                return zl_fail(err, ZL_E_INTERNAL, 0, "the terminal did not arrive");
        if (k->options->console_socket_fd >= 0) {
                r = zl_console_send(k->options->console_socket_fd, fd, err);
                close(fd);
        } else {
                zl_close(k->c->console_fd);
                k->c->console_fd = fd;
        }
        return r;
}

static const char *command_of(const struct zl_oci_config *config)
{
        return config->process && config->process->args && config->process->args[0]
                       ? config->process->args[0]
                       : "";
}

/* Why a child that says nothing is gone. */
static int explain_end(struct creation *k, struct zl_error *err)
{
        uint64_t kills = zl_cgroup_oom_kills(k->c->cgroup);
        siginfo_t info = { 0 };

        waitid(P_PID, (id_t)k->c->pid, &info, WEXITED | WNOWAIT | WNOHANG);
        if (kills > 0)
                return zl_fail(err, ZL_E_CREATE, ENOMEM,
                               "the container's process was killed for want of memory while it was "
                               "being created; the limit is too low");
        if (info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED)
                return zl_fail(err, ZL_E_CREATE, 0,
                               "the container's process was killed by signal %d while it was being "
                               "created",
                               info.si_status);
        return zl_fail(err, ZL_E_CREATE, 0,
                       "the container's process ended while it was being created");
}

static int talk(struct creation *k, struct zl_error *err)
{
        for (;;) {
                struct zl_message m;
                int fd = -EBADF, r = zl_sync_recv(k->parent_fd, &m, &fd);

                if (r < 0)
                        return zl_fail_errno(err, -r, "cannot hear from the container's process");
                if (r == 0)
                        return explain_end(k, err);
                if (m.kind == ZL_MSG_READY) {
                        zl_debug("child process in init(): mounts, root and privileges are done");
                        zl_debug("init: closing the pipe to signal completion");
                        return 0;
                }
                if (m.kind == ZL_MSG_CONSOLE)
                        r = take_console(k, fd, err);
                else if (m.kind == ZL_MSG_ATTACH)
                        r = attach(k, err);
                else if (m.kind == ZL_MSG_RUN_HOOKS)
                        r = run_host_hooks(k, err);
                else if (m.kind == ZL_MSG_ERROR)
                        r = zl_report_fail(&m, command_of(k->options->config), err);
                else
                        r = zl_fail(err, ZL_E_INTERNAL, 0, "unknown message %d", m.kind);
                if (r < 0)
                        return r;
        }
}

/* A child that failed early makes our own calls fail too (it is gone, or its socket is): what it said is the better message. */
static int prefer_report(struct creation *k, int r, struct zl_error *err)
{
        struct zl_message m;
        int fd = -EBADF;

        zl_close(zl_take_fd(k->plan.sync_fd));
        while (recv(k->parent_fd, NULL, 0, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC) > 0 &&
               zl_sync_recv(k->parent_fd, &m, &fd) > 0) {
                fd = zl_close(fd);
                if (m.kind == ZL_MSG_ERROR)
                        return zl_report_fail(&m, command_of(k->options->config), err);
        }
        return r;
}

/* While the child builds its mounts there is time to write down what is known already. */
static int remember(struct creation *k, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        struct zl_container *c = k->c;
        int r;

        c->created = zl_now_realtime();
        if (c->state_fd < 0)
                return 0;
        c->pid_start = zl_process_start_time(c->pid);
        if (k->options->config->hooks)
                zl_write_file_at(c->state_fd, ZL_HOOKS_FILE, "", 0, 0600, 0);
        if (zl_state_note_stdio(c, k->options->stdio) < 0)
                return zl_fail_oom(err);
        r = zl_oci_config_dump(k->options->config, &text, err);
        if (r < 0)
                return r;
        r = zl_write_file_at(c->state_fd, ZL_CONFIG_FILE, text, strlen(text), 0600,
                             ZL_WRITE_EXCLUSIVE);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot save the config of container %s", c->id);
        return zl_state_stage(c, err);
}

static int on_console(int fd, void *data, struct zl_error *err)
{
        return take_console(data, fd, err);
}

/* With the systemd driver: a scope is made around a process, and criu's is the first. */
static int on_restorer(pid_t pid, void *data, struct zl_error *err)
{
        struct creation *k = data;
        int r = start_scope(k, pid, err);

        return r < 0 ? r : make_cgroup(k, err);
}

/* Instead of a new process those of a checkpoint. */
static int restore(struct creation *k, struct zl_error *err)
{
        struct zl_restore restore = {
                .settings = k->options->restore,
                .plan = &k->plan,
                .container = k->c,
                .report_fd = k->plan.sync_fd,
                .sync_fd = k->parent_fd,
                .on_process = k->scope ? on_restorer : NULL,
                .on_console = on_console,
                .data = k,
        };
        int r = k->plan.doors_come && !k->scope ? make_cgroup(k, err) : 0;

        if (r == 0)
                r = zl_container_restore(&restore, err);
        zl_cgroup_doors_close(&k->plan.doors);
        k->c->started = k->c->is_restored = r == 0;
        return r < 0 ? r : remember(k, err);
}

static int launch(struct creation *k, struct zl_error *err)
{
        int r = do_clone(k, err);

        if (r < 0)
                return r;
        zl_debug("nsexec container setup: process %d of container %s is made", k->c->pid, k->c->id);
        zl_test_stop("cloned");
        k->plan.sync_fd = zl_close(k->plan.sync_fd);
        k->plan.gate_fd = zl_close(k->plan.gate_fd);
        if (k->plan.new_user_ns)
                r = write_maps(k, err);
        if (r == 0 && k->plan.doors_come)
                r = send_doors(k, err);
        zl_cgroup_doors_close(&k->plan.doors);
        if (r == 0)
                r = zl_net_devices_move(&k->plan, k->c->pid, &k->devices, err);
        if (r == 0)
                r = remember(k, err);
        zl_test_stop("remembered");
        /* It waits there for the child, and not the child for it. */
        if (r == 0 && k->options->start_at_once)
                k->c->start_sent = zl_sync_tell(k->parent_fd, ZL_MSG_START, 0) == 0;
        zl_close(k->options->idle_fd);
        if (r == 0 && k->options->meanwhile)
                r = k->options->meanwhile(k->options->meanwhile_data, err);
        return r < 0 ? prefer_report(k, r, err) : talk(k, err);
}

/* --- all of it ----------------------------------------------------------------------------------------------------------- */

static void undo(struct creation *k)
{
        struct zl_container *c = k->c;

        zl_net_devices_return(&k->plan, &k->devices);
        if (c->pid > 0) {
                siginfo_t info;

                kill(c->pid, SIGKILL);
                while (waitid(P_PID, (id_t)c->pid, &info, WEXITED) < 0 && errno == EINTR)
                        ;
        }
        if (c->cgroup && (!k->scope || k->in_scope)) {
                zl_cgroup_kill_all(c->cgroup, SIGKILL, NULL);
                zl_cgroup_remove(c->cgroup, NULL);
        }
        if (k->in_scope)
                zl_scope_stop(k->scope, NULL);
        if (k->made_state) {
                _cleanup_free_ char *dir = zl_path_join(k->options->root, c->id);

                if (dir)
                        zl_rm_rf_at(AT_FDCWD, dir);
        }
}

static int create(struct creation *k, struct zl_error *err)
{
        const struct zl_container_options *o = k->options;
        int r = zl_oci_config_check(o->config, err);

        if (r == 0)
                r = zl_plan_make(o, &k->plan, err);
        if (r == 0 && zl_replace_str(&k->c->rootfs, k->plan.rootfs) < 0)
                r = zl_fail_oom(err);
        if (r == 0 && k->plan.process.tty && o->console_socket_fd < 0 && o->root && !o->start_here)
                r = zl_fail(
                        err, ZL_E_INVALID, 0,
                        "cannot allocate tty if runc will detach without setting console socket");
        /* A filter comes with the process; here it is compiled for those of an exec, and no agent is told of it. */
        if (r == 0)
                r = prepare_seccomp(k, err);
        if (r == 0)
                r = prepare_state(k, err);
        zl_test_stop("state");
        if (r == 0)
                r = prepare_cgroup(k, err);
        zl_test_stop("cgroup");
        if (r == 0)
                r = prepare_cgroup_dirs(k, err);
        if (r == 0)
                r = prepare_sockets(k, err);
        zl_test_stop("sockets");
        if (r == 0)
                r = (o->restore ? restore : launch)(k, err);
        zl_test_stop("ready");
        if (r == 0 && k->c->state_fd >= 0)
                r = zl_state_publish(k->c, err);
        zl_test_stop("published");
        return r;
}

static int keep_seccomp(struct creation *k, struct zl_error *err)
{
        const struct zl_seccomp_program *from = k->options->seccomp;
        struct zl_container *c = k->c;

        if (!from) { /* compiled here: moved */
                c->seccomp = k->seccomp;
                k->seccomp = (struct zl_seccomp_program){ NULL };
                return 0;
        }
        c->seccomp = *from;
        c->seccomp.insns = malloc(from->n * sizeof *from->insns + 1);
        if (!c->seccomp.insns)
                return zl_fail_oom(err);
        memcpy(c->seccomp.insns, from->insns, from->n * sizeof *from->insns);
        return 0;
}

int zl_container_create(const struct zl_container_options *options, struct zl_container **ret,
                        struct zl_error *err)
{
        struct creation k = { .options = options,
                              .parent_fd = -EBADF,
                              .null_fd = -EBADF,
                              .devices.netns_fd = -EBADF };
        int r;

        if (!id_is_valid(options->id))
                return zl_fail(
                        err, ZL_E_INVALID, 0,
                        "invalid container ID format: \"%s\": empty, too long, a leading dot, or an invalid character in the container ID",
                        options->id ? options->id : "");
        k.c = zl_container_new(options->id, options->bundle);
        if (!k.c)
                return zl_fail_oom(err);
        k.c->is_child = true;
        k.c->config = options->config;
        k.c->no_new_keyring = options->no_new_keyring;
        k.c->words_come = options->words_come;
        r = create(&k, err);
        if (r == 0)
                r = keep_seccomp(&k, err);
        if (r < 0)
                undo(&k);
        zl_seccomp_program_done(&k.seccomp);
        zl_net_devices_done(&k.devices);
        zl_scope_free(k.scope);
        zl_close(k.plan.process.seccomp_socket);
        zl_cgroup_doors_close(&k.plan.doors);
        zl_plan_done(&k.plan);
        zl_close(k.null_fd);
        zl_container_unlock(k.c);
        if (r < 0) {
                zl_close(k.parent_fd);
                zl_container_free(k.c);
                return r;
        }
        k.c->sync_fd = k.parent_fd;
        *ret = k.c;
        return 0;
}
