/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another command in a running container.
 *
 * From the moment a process is born in the container's pid namespace, processes of the container see it. It is not dumpable, so most
 * of them can do no more; but one with CAP_SYS_PTRACE may follow its /proc/PID/root, cwd and fd/N, or trace it (CVE-2016-9962).
 * So nothing of the host's may be there to follow: a helper, which the container does not see, enters the cgroup, joins all
 * namespaces, closes every descriptor that does not belong to the command, and only then makes the process, as our child. What remains
 * is the socket it reports on and a copy of our memory. Our own program (/proc/PID/exe) is read-only by then (CVE-2019-5736).
 *
 * The helper itself works on our memory, and we sleep until it has ended (clone.h); no process of the container ever does.
 *
 * A container in the host's pid namespace sees all processes of the host anyway; there the process joins by itself.
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/forbid.h"
#include "base/log.h"
#include "base/path.h"
#include "base/process.h"
#include "base/socket.h"
#include "base/strv.h"
#include "container/internal.h"
#include "linux/clone.h"
#include "linux/scope.h"

struct execution {
        struct zl_container *c;
        const struct zl_exec_process *want;
        struct zl_oci_process process; /* merged */
        struct zl_oci_capabilities caps;
        struct zl_plan plan;
        struct zl_seccomp_program seccomp;
        struct zl_cgroup *cgroup;         /* another than the container's own, or NULL */
        bool own_group;                   /* "/" was asked for: that and no other */
        struct zl_cgroup_doors own_doors; /* of `cgroup` */
        size_t n_doors; /* of the group, somebody else's; those behind are ours, for single controllers */
        int lent[ZL_NAMESPACE_KINDS]; /* namespaces that the container's process gave us; -1: look for it */
        int at_once; /* CLONE_NEW…: joined by one call on its pidfd, not one by one */
        int mount_fd;
        int parent_fd, null_fd;
        pid_t pid, helper;
        pid_t *born; /* shared with the helper: the pid of what it made, there before the process runs */
        pid_t born_here; /* the same, of a helper that has our memory */
        bool borrows;    /* it has */
        bool must_talk;  /* but cannot do without us */
        int pidfd, console_fd;
};

/* --- what to run -------------------------------------------------------------------------------------------------- */

/* Everything the caller did not say is as the container's own process has it. */
static int merge(struct execution *x, struct zl_error *err)
{
        const struct zl_exec_process *w = x->want;
        const struct zl_oci_config *config = zl_container_config(x->c);
        struct zl_oci_process *p = &x->process;

        if (!config)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "container %s has no config any more",
                               x->c->id);
        if (w->process) {
                *p = *w->process;
        } else {
                if (config->process)
                        *p = *config->process;
                p->args = (char **)(uintptr_t)w->argv;
                p->terminal = w->tty;
                p->console_size = NULL;
                p->exec_cpu_affinity = config->process ? config->process->exec_cpu_affinity : NULL;
        }
        if (w->env)
                p->env = (char **)(uintptr_t)w->env;
        if (w->cwd)
                p->cwd = (char *)(uintptr_t)w->cwd;
        if (w->no_new_privs)
                p->no_new_privileges = true;
        if (w->additional_gids && w->n_additional_gids) {
                p->user.additional_gids = (uint32_t *)(uintptr_t)w->additional_gids;
                p->user.n_additional_gids = w->n_additional_gids;
        }
        if (w->user) {
                p->user.username = (char *)(uintptr_t)w->user;
                if (!w->additional_gids)
                        p->user.n_additional_gids = 0;
        }
        if (!p->args || !p->args[0])
                return zl_fail(err, ZL_E_INVALID, 0, "exec: there is no command");
        if (!p->cwd)
                p->cwd = (char *)(uintptr_t) "/";
        if (*p->cwd != '/')
                return zl_fail(err, ZL_E_INVALID, 0, "exec: cwd \"%s\" is not absolute", p->cwd);
        return 0;
}

static int plan_caps(struct execution *x, struct zl_error *err)
{
        struct zl_caps *caps = &x->plan.process.caps;

        for (char *const *p = x->want->caps; p && *p; p++) {
                int cap = zl_cap_parse(*p);

                if (cap < 0)
                        return zl_fail(err, ZL_E_INVALID, 0, "unknown capability \"%s\"", *p);
                caps->bounding |= UINT64_C(1) << cap;
                caps->permitted |= UINT64_C(1) << cap;
                caps->effective |= UINT64_C(1) << cap;
                /* As runc: where the config lets it be inherited, a command that is not root shall have it, too. */
                caps->ambient |= caps->inheritable & UINT64_C(1) << cap;
        }
        if (x->want->privileged) {
                caps->bounding = caps->permitted = caps->effective = zl_cap_kernel_mask();
                x->plan.process.no_new_privs = x->want->no_new_privs;
        }
        return 0;
}

static int plan_seccomp(struct execution *x, struct zl_error *err)
{
        const struct zl_oci_linux *l = x->c->config->linux_;
        const struct zl_seccomp_program *given = x->want->seccomp  ? x->want->seccomp
                                                 : x->c->seccomp.n ? &x->c->seccomp
                                                                   : NULL;
        int r;

        if (x->want->privileged)
                return 0;
        if (given) {
                x->plan.process.seccomp = given;
        } else if (l->seccomp) {
                if (!x->want->seccomp_compile)
                        return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                                       "linux.seccomp: this program cannot compile filters");
                r = x->want->seccomp_compile(l->seccomp, &x->seccomp, err);
                if (r < 0)
                        return r;
                x->plan.process.seccomp = &x->seccomp;
        }
        if (x->plan.process.seccomp && x->plan.process.seccomp->notify && l->seccomp) {
                _cleanup_free_ char *state = zl_state_document(
                        x->c->config, x->c->id, zl_container_status_name(zl_container_status(x->c)),
                        x->c->pid, x->c->bundle);

                return zl_listener_connect(&x->plan, l->seccomp, state, err);
        }
        return 0;
}

/* A monitor executes checks all day long, and stays what it is. */
static void know_caller(struct zl_container *c)
{
        _cleanup_close_ int proc = -EBADF;

        if (c->knows_caller)
                return;
        proc = openat(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        c->ignored_signals = zl_ignored_signals(proc);
        c->no_setgroups = !zl_process_is_in_first_userns() && zl_userns_is_without_groups();
        c->knows_caller = true;
}

static int plan(struct execution *x, struct zl_error *err)
{
        struct zl_plan *plan = &x->plan;
        int r = merge(x, err);

        if (r < 0)
                return r;
        plan->arena = zl_arena_new(0);
        plan->config = x->c->config;
        plan->hook_run = ZL_HOOK_RUN_INIT;
        plan->gate_fd = plan->join_pid_fd = plan->join_user_fd = plan->sync_fd = -EBADF;
        if (!plan->arena)
                return zl_fail_oom(err);
        know_caller(x->c);
        plan->process.no_setgroups = x->c->no_setgroups;
        r = zl_plan_process(plan->arena, &x->process, &plan->process, err);
        if (r == 0 && x->c->config->linux_->memory_policy)
                r = zl_plan_memory_policy(plan->arena, x->c->config->linux_->memory_policy,
                                          &plan->process, err);
        if (r == 0)
                r = zl_plan_personality(x->c->config->linux_->personality, &plan->process, err);
        if (r == 0)
                r = plan_caps(x, err);
        if (r == 0)
                r = plan_seccomp(x, err);
        if (r < 0)
                return r;
        /* A session keyring comes with the caller, not with a namespace: the keys of the host's session are none of theirs. */
        plan->process.new_keyring = !x->c->no_new_keyring;
        if (x->want->rows || x->want->cols) {
                plan->process.rows = x->want->rows;
                plan->process.cols = x->want->cols;
        }
        plan->process.preserve_fds = x->want->preserve_fds;
        plan->process.n_preserve_fds = x->want->n_preserve_fds;
        plan->process.die_with_parent = x->want->die_with_parent;
        if (x->want->process && x->want->tty)
                plan->process.tty = true;
        return zl_process_equip(&plan->process, x->want->stdio, &x->null_fd, err);
}

/* --- where to run it ------------------------------------------------------------------------------------------------ */

static int open_ns(struct execution *x, const char *name, struct zl_error *err)
{
        char path[48];
        int fd;

        snprintf(path, sizeof path, "/proc/%d/ns/%s", x->c->pid, name);
        fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        return fd >= 0 ? fd
                       : zl_fail_errno(err, errno, "cannot open the %s namespace of container %s",
                                       name, x->c->id);
}

/* Only namespaces that differ from ours are joined: entering one's own user namespace is an error, and the others cost time. One that was
 * made for the container is another; one that it joined by path may be ours.
 * One that cannot be looked at counts as another: to open it then fails, while not to join it would run the command outside. */
static bool is_other(const struct execution *x, const char *name, int lent)
{
        char path[48];
        struct stat own, other;

        snprintf(path, sizeof path, "/proc/self/ns/%s", name);
        if (stat(path, &own) < 0)
                return true;
        snprintf(path, sizeof path, "/proc/%d/ns/%s", x->c->pid, name);
        return (lent < 0 ? stat(path, &other) : fstat(lent, &other)) < 0 ||
               own.st_ino != other.st_ino;
}

/* Until it is started a container's process has the runtime's memory, and a user without privileges may not look at it. It tells him its
 * namespaces itself. If it does not (it is being started at this moment), they are to be found as always. */
static void ask_for_namespaces(struct execution *x)
{
        _cleanup_close_ int gate = zl_unix_connect_at(x->c->state_fd, ZL_GATE_FILE, SOCK_SEQPACKET);
        struct zl_message m;
        int fds[ZL_NAMESPACE_KINDS];
        size_t n = ZL_NAMESPACE_KINDS, k = 0;

        if (gate < 0 || zl_sync_tell(gate, ZL_MSG_NAMESPACES, 0) < 0 ||
            zl_recv_fds(gate, &m, sizeof m, fds, &n, 0) != (ssize_t)sizeof m)
                return;
        for (size_t i = 0; i < ZL_NAMESPACE_KINDS && k < n; i++)
                if ((uint32_t)m.value >> i & 1)
                        x->lent[i] = fds[k++];
        while (k < n)
                close(fds[k++]);
}

/* By the config. criu gives every container that it restores a time namespace, so that its clocks go on where they were. */
static bool is_to_join(const struct execution *x, const struct zl_namespace_kind *kind, int lent)
{
        const struct zl_oci_linux *l = x->c->config->linux_;

        for (size_t i = 0; i < l->n_namespaces; i++)
                if (zl_streq(l->namespaces[i].type, kind->type))
                        return !l->namespaces[i].path || is_other(x, kind->file, lent);
        return x->c->is_restored && zl_streq(kind->type, "time") && is_other(x, kind->file, lent);
}

/* Of a user namespace there is more to do between joining it and the others, and who has no privileges may not look at the process. */
static bool joins_at_once(const struct execution *x)
{
        const struct zl_oci_linux *l = x->c->config->linux_;

        for (size_t i = 0; i < l->n_namespaces; i++)
                if (zl_streq(l->namespaces[i].type, "user"))
                        return false;
        return geteuid() == 0 && !zl_forbidden("setns_pidfd");
}

static int find_namespaces(struct execution *x, struct zl_error *err)
{
        if (joins_at_once(x)) {
                for (size_t i = 0; i < ZL_NAMESPACE_KINDS; i++)
                        if (is_to_join(x, &zl_namespace_kinds[i], -1))
                                x->at_once |= zl_namespace_kinds[i].flag;
                return 0;
        }
        if (geteuid() != 0 && zl_container_status(x->c) == ZL_CONTAINER_CREATED)
                ask_for_namespaces(x);
        for (size_t i = 0; i < ZL_NAMESPACE_KINDS; i++) {
                const struct zl_namespace_kind *kind = &zl_namespace_kinds[i];
                int fd;

                if (!is_to_join(x, kind, x->lent[i]))
                        continue;
                fd = x->lent[i] >= 0 ? zl_take_fd(x->lent[i]) : open_ns(x, kind->file, err);
                if (fd < 0)
                        return fd;
                if (kind->flag == CLONE_NEWPID)
                        x->plan.join_pid_fd = fd;
                else if (kind->flag == CLONE_NEWUSER)
                        x->plan.join_user_fd = fd;
                else if (kind->flag == CLONE_NEWNS)
                        x->mount_fd = fd;
                else
                        x->plan.joins[x->plan.n_joins++] = (struct zl_namespace_plan){ kind->flag,
                                                                                       fd,
                                                                                       kind->type };
        }
        return 0;
}

/* The namespaces were found by a number. It was the container's all the time if its process still lives now. */
static int check_alive(struct execution *x, struct zl_error *err)
{
        struct pollfd p = { .fd = x->c->pidfd, .events = POLLIN };

        if (x->c->pidfd < 0 || poll(&p, 1, 0) != 0)
                return zl_fail(err, ZL_E_STATE, 0, "cannot exec in a stopped container");
        return 0;
}

static bool is_own_group(const char *path)
{
        return !*path || zl_streq(path, "/");
}

static int check_group_path(const char *path, struct zl_error *err)
{
        if (is_own_group(path) || zl_path_is_clean_relative(path + strspn(path, "/")))
                return 0;
        return zl_fail(err, ZL_E_INVALID, 0,
                       "bad sub cgroup path \"%s\": empty, `.` and `..` components are not allowed",
                       path);
}

/* Version 2: where the first process is, when there is no room in the group that we made. That has given its controllers to groups below (systemd
 * in a container does so), or it is gone since the process, which may write to the host's hierarchy, went elsewhere. `r` if it is not to be found. */
static int open_group_of_first(struct execution *x, int r, struct zl_error *err)
{
        struct zl_cgroup_options options = { 0 };
        _cleanup_(zl_cgroup_freep) struct zl_cgroup *cg = NULL;
        _cleanup_free_ char *text = NULL;
        _cleanup_free_ pid_t *pids = NULL;
        bool is_there = false;
        char path[64];
        size_t n = 0;

        snprintf(path, sizeof path, "/proc/%d/cgroup", x->c->pid);
        if (x->own_group || zl_read_file_at(AT_FDCWD, path, 1 << 16, &text, NULL) < 0)
                return r;
        text[strcspn(text, "\n")] = 0;
        options.path = zl_startswith(text, "0::/");
        if (!options.path || !*options.path || zl_cgroup_open(&options, &cg, NULL) < 0)
                return r;
        /* What /proc says is seen from our namespace, what is mounted may not be. */
        if (!zl_cgroup_is_v2(cg) || zl_cgroup_pids(cg, &pids, &n, NULL) < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                is_there |= pids[i] == x->c->pid;
        if (!is_there)
                return r;
        zl_error_done(err);
        x->cgroup = zl_take_ptr(cg);
        return 0;
}

/* A container that had a group and has it no more: its commands must not land in ours. */
static int replace_lost_group(struct execution *x, struct zl_error *err)
{
        if (x->cgroup || x->c->cgroup || !x->c->cgroup_path || !*x->c->cgroup_path)
                return 0;
        return open_group_of_first(x,
                                   zl_fail(err, ZL_E_NOT_FOUND, ENOENT,
                                           "the cgroup %s of container %s is gone",
                                           x->c->cgroup_path, x->c->id),
                                   err);
}

/* The group for all controllers, if one is named. */
static int open_cgroup(struct execution *x, struct zl_error *err)
{
        for (char *const *g = x->want->cgroups; g && *g; g++) {
                struct zl_cgroup_options options = { 0 };
                _cleanup_free_ char *path = NULL;
                int r = strchr(*g, ':') ? 0 : check_group_path(*g, err);

                if (r < 0)
                        return r;
                x->own_group |= zl_streq(*g, "/");
                if (strchr(*g, ':') || is_own_group(*g))
                        continue;
                if (x->cgroup)
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "a second group for all controllers: \"%s\"", *g);
                path = zl_path_join(x->c->cgroup_path, *g + strspn(*g, "/"));
                options.path = path;
                if (!path)
                        return zl_fail_oom(err);
                r = zl_cgroup_open(&options, &x->cgroup, err);
                if (r < 0) {
                        zl_error_prefix(err, "error adding pid to the sub cgroup");
                        return r;
                }
        }
        return replace_lost_group(x, err);
}

/* Those for some, "CONTROLLER,CONTROLLER:PATH": entered after the others, so they are the last word. */
static int open_controllers(struct execution *x, const char *group, struct zl_error *err)
{
        const char *colon = strchr(group, ':');
        _cleanup_free_ char *names = colon ? strndup(group, (size_t)(colon - group)) : NULL;
        char *save = NULL;
        int r = colon ? check_group_path(colon + 1, err) : 0;

        if (r < 0 || !colon)
                return r;
        if (!names)
                return zl_fail_oom(err);
        for (char *name = strtok_r(names, ",", &save); name && r == 0;
             name = strtok_r(NULL, ",", &save))
                r = zl_cgroup_doors_add(x->c->cgroup, name, colon + 1 + strspn(colon + 1, "/"),
                                        &x->plan.doors, err);
        return r;
}

/* A monitor executes checks all day long: the doors of its container's group stay open. */
static int open_doors(struct execution *x, struct zl_error *err)
{
        struct zl_cgroup_doors *doors = x->cgroup ? &x->own_doors : &x->c->doors;
        struct zl_cgroup *cg = x->cgroup ? x->cgroup : x->c->cgroup;
        int r = cg && doors->n == 0 ? zl_cgroup_doors_open(cg, doors, err) : 0;

        x->plan.doors = *doors;
        x->n_doors = doors->n;
        for (char *const *g = x->want->cgroups; g && *g && r == 0; g++)
                r = open_controllers(x, *g, err);
        return r;
}

void zl_container_expect_exec(struct zl_container *c)
{
        know_caller(c);
        if (c->cgroup && c->doors.n == 0)
                (void)!zl_cgroup_doors_open(c->cgroup, &c->doors, NULL);
}

static void close_doors(struct execution *x)
{
        while (x->plan.doors.n > x->n_doors)
                zl_close(x->plan.doors.fds[--x->plan.doors.n]);
        zl_cgroup_doors_close(&x->own_doors);
}

/* --- the child ---------------------------------------------------------------------------------------------------------- */

static int join(struct zl_child *c, struct execution *x)
{
        const struct zl_plan *plan = &x->plan;

        if (x->at_once && setns(x->c->pidfd, x->at_once) < 0)
                return zl_child_fail(c, ZL_STAGE_NAMESPACE, errno, "container's");
        if (plan->join_user_fd >= 0 && setns(plan->join_user_fd, CLONE_NEWUSER) < 0)
                return zl_child_fail(c, ZL_STAGE_NAMESPACE, errno, "user");
        if (plan->join_user_fd >= 0)
                zl_child_look_at_groups(c);
        if (plan->join_pid_fd >= 0 && setns(plan->join_pid_fd, CLONE_NEWPID) < 0)
                return zl_child_fail(c, ZL_STAGE_NAMESPACE, errno, "pid");
        for (size_t i = 0; i < plan->n_joins; i++)
                if (setns(plan->joins[i].fd, plan->joins[i].flag) < 0)
                        return zl_child_fail(c, ZL_STAGE_NAMESPACE, errno, plan->joins[i].path);
        /* This puts us at its root, too. */
        if (x->mount_fd >= 0 && setns(x->mount_fd, CLONE_NEWNS) < 0)
                return zl_child_fail(c, ZL_STAGE_NAMESPACE, errno, "mount");
        if (plan->join_user_fd >= 0 &&
            (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0))
                return zl_child_fail(c, ZL_STAGE_ID_MAP, errno, "");
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        return 0;
}

/* Without the parent, who waits until we have ended and cannot answer. */
static int enter_group_alone(struct execution *x)
{
        struct zl_cgroup_doors doors = x->plan.doors;

        if (zl_cgroup_doors_enter(&doors) < 0) {
                x->must_talk = true;
                _exit(0);
        }
        zl_cgroup_doors_close(&doors);
        return 0;
}

static bool needs_proc(const struct zl_process_plan *p)
{
        return p->tty || p->has_oom_score_adj || p->apparmor || p->selinux;
}

/* All that needs the host: its procfs, the cgroup, the namespaces' descriptors. */
static int enter(struct zl_child *c, struct execution *x)
{
        int r = x->borrows ? enter_group_alone(x) : zl_child_enter_cgroup(c);

        if (r == 0)
                zl_child_reset_affinity(c);
        if (r == 0 && needs_proc(c->process))
                r = zl_child_open_proc(c);
        if (r == 0 && c->process->has_oom_score_adj &&
            zl_child_write_proc(c, "self/oom_score_adj", c->process->oom_score_adj) < 0)
                r = zl_child_fail(c, ZL_STAGE_OOM_SCORE, EACCES, c->process->oom_score_adj);
        if (r == 0) /* meant for the next execve, and so inherited until then */
                r = zl_child_labels(c);
        /* From here on nobody may look: the last moment in which a user without privileges is owner of his own /proc is over. */
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        if (r == 0)
                r = join(c, x);
        if (r < 0)
                return r;
        c->root_fd = openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = c->root_fd < 0 ? zl_child_fail(c, ZL_STAGE_CWD, errno, "/")
                           : zl_child_console(c, false);
        c->proc_fd = zl_close(c->proc_fd);
        return r;
}

/* The rest of the way, inside. */
static _Noreturn void finish(struct zl_child *c)
{
        int r;

        if (c->process->die_with_parent)
                prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        setsid();
        umask(0);
        if (c->root_fd < 0) /* the helper closed it */
                c->root_fd = openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = c->root_fd < 0 ? zl_child_fail(c, ZL_STAGE_CWD, errno, "/") : zl_child_keyring(c);
        if (r == 0)
                r = zl_child_user_lookup(c);
        if (r == 0)
                r = zl_child_attributes(c);
        if (r == 0)
                r = zl_child_stdio(c);
        if (r == 0)
                r = zl_child_privileges(c);
        if (r == 0)
                zl_child_exec(c);
        zl_child_end(c, 255);
}

/* The helper: makes the process where nothing of the host is left, and is gone. */
static _Noreturn void make_inside(struct zl_child *c, struct execution *x)
{
        struct zl_process_plan *p = &x->plan.process;
        int r = 0;

        for (int i = 0; !p->tty && r == 0 && i < 3; i++) {
                if (dup2(p->stdio[i], i) < 0)
                        r = zl_child_fail(c, ZL_STAGE_STDIO, errno, "standard input or output");
                p->stdio[i] = i;
        }
        if (r == 0)
                r = zl_child_shed(c);
        if (r == 0) {
                long pid;

                zl_stay_here();
                pid = syscall(SYS_clone, CLONE_PARENT | CLONE_PARENT_SETTID | SIGCHLD, NULL,
                              x->born, NULL, NULL);

                if (pid == 0) {
                        zl_child_reset_affinity(c);
                        c->host_pid = *x->born;
                        finish(c);
                }
                if (pid > 0)
                        _exit(0);
                zl_child_fail(c, ZL_STAGE_NAMESPACE, errno, "pid");
        }
        zl_child_send_report(c);
        _exit(255);
}

static bool is_inside(const struct execution *x)
{
        return x->plan.join_pid_fd >= 0 || x->at_once & CLONE_NEWPID;
}

static _Noreturn void child(struct execution *x)
{
        static struct zl_child child_state;
        struct zl_child *c = &child_state;

        close(x->parent_fd);
        zl_close(x->want->idle_fd);
        *c = (struct zl_child){
                .plan = &x->plan,
                .process = &x->plan.process,
                .sync_fd = x->plan.sync_fd,
                .report_fd = x->plan.sync_fd,
                .proc_fd = -EBADF,
                .root_fd = -EBADF,
                .tty_fd = -EBADF,
                .ignored_signals = x->c->ignored_signals,
                .no_setgroups = x->plan.process.no_setgroups,
        };
        if (enter(c, x) < 0) {
                zl_child_send_report(c);
                _exit(255);
        }
        if (!is_inside(x)) {
                c->host_pid = getpid();
                finish(c);
        }
        make_inside(c, x);
}

/* --- the parent ---------------------------------------------------------------------------------------------------------- */

static void reap(pid_t pid)
{
        siginfo_t info;

        while (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 && errno == EINTR)
                ;
}

/* A helper does not need a copy of our memory, whose making takes longer than all that it does. It cannot ask us for anything then, has our
 * ids and our way of being looked at, and no thread beside it (a time namespace demands that). The process that it makes has a copy as ever. */
static bool may_borrow(const struct execution *x)
{
        return x->at_once & CLONE_NEWPID && !(x->at_once & CLONE_NEWTIME) &&
               !(x->plan.process.seccomp && x->plan.process.seccomp->notify);
}

static void run_child(void *data)
{
        child(data);
}

/* True if there was a helper, and it needed nobody. */
static bool clone_borrowing(struct execution *x, struct zl_clone *how)
{
        x->born = &x->born_here;
        x->borrows = true;
        x->helper = zl_clone_borrowing(how, run_child, x);
        if (x->helper > 0 && !x->must_talk)
                return true;
        if (x->helper > 0)
                reap(x->helper);
        x->helper = 0;
        x->borrows = false;
        return false;
}

static int clone_copying(struct execution *x, struct zl_clone *how, struct zl_error *err)
{
        bool inside = is_inside(x);
        pid_t pid;

        if (inside) {
                x->born = mmap(NULL, sizeof *x->born, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
                if (x->born == MAP_FAILED) {
                        x->born = NULL;
                        return zl_fail_oom(err);
                }
        } else {
                how->pidfd = &x->pidfd;
        }
        pid = zl_clone(how);
        if (pid == 0) {
                x->plan.left_outside = how->cgroup_fd >= 0 && !how->cgroup_done;
                child(x);
        }
        if (pid < 0)
                return zl_fail_errno(err, -pid, "cannot make a process in container %s", x->c->id);
        if (inside)
                x->helper = pid;
        else
                x->pid = pid;
        return 0;
}

static int do_clone(struct execution *x, struct zl_error *err)
{
        struct zl_cgroup *cg = x->cgroup ? x->cgroup : x->c->cgroup;
        struct zl_clone how = { .cgroup_fd = cg ? zl_cgroup_dir_fd(cg) : -1,
                                .hidden = geteuid() == 0 };

        if (may_borrow(x) && clone_borrowing(x, &how))
                return 0;
        return clone_copying(x, &how, err);
}

/* Takes over what the helper made, whatever became of the talk; `r` is how that ended. */
static int take_over(struct execution *x, int r, struct zl_error *err)
{
        if (x->helper <= 0)
                return r;
        if (r < 0)
                kill(x->helper, SIGKILL);
        reap(x->helper);
        x->pid = *x->born;
        if (!x->borrows)
                munmap(x->born, sizeof *x->born);
        if (r < 0)
                return r;
        if (x->pid <= 0)
                return zl_fail(err, ZL_E_STATE, 0,
                               "the process ended while it was being made in container %s",
                               x->c->id);
        /* Our child, and not waited for: the number is still its own. */
        x->pidfd = (int)syscall(SYS_pidfd_open, x->pid, 0);
        return x->pidfd < 0 ? zl_fail_errno(err, errno, "cannot watch process %d", x->pid) : 0;
}

static int join_group(struct execution *x, pid_t pid, struct zl_error *err)
{
        _cleanup_(zl_scope_freep) struct zl_scope *scope = NULL;
        int r = zl_cgroup_attach(x->cgroup ? x->cgroup : x->c->cgroup, pid, err);

        if ((r == -EBUSY || r == -ENOENT) && !x->cgroup && zl_cgroup_is_v2(x->c->cgroup)) {
                r = open_group_of_first(x, r, err);
                return r < 0 ? r : zl_cgroup_attach(x->cgroup, pid, err);
        }
        if (r != -EACCES || x->cgroup || !x->c->systemd_cgroup)
                return r;
        zl_error_done(err);
        r = zl_scope_of(x->c->cgroup_path, &scope, err);
        return r < 0 ? r : zl_scope_attach(scope, pid, err);
}

static int attach(struct execution *x, struct zl_error *err)
{
        pid_t pid = x->helper > 0 ? x->helper : x->pid;
        int r = join_group(x, pid, err);

        if (r < 0) {
                zl_error_prefix(err, "error adding pid %d to cgroups", pid);
                return r;
        }
        for (size_t i = x->n_doors; i < x->plan.doors.n; i++)
                if (dprintf(x->plan.doors.fds[i], "%d", pid) < 0)
                        return zl_fail_errno(err, errno, "error adding pid to the sub cgroup");
        r = zl_sync_tell(x->parent_fd, ZL_MSG_JOINED, 0);
        return r < 0 ? zl_fail_errno(err, -r, "the process has ended") : 0;
}

/* Until the end of the stream, which is the exec, or the child's error. */
static int talk(struct execution *x, struct zl_error *err)
{
        for (;;) {
                struct zl_message m;
                int fd = -EBADF, r = zl_sync_recv(x->parent_fd, &m, &fd);

                if (r < 0)
                        return zl_fail_errno(err, -r, "cannot hear from the process");
                if (r == 0)
                        return 0;
                if (m.kind == ZL_MSG_ERROR)
                        return zl_report_fail(&m, x->process.args[0], err);
                if (m.kind == ZL_MSG_ATTACH) {
                        r = attach(x, err);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (m.kind != ZL_MSG_CONSOLE || fd < 0)
                        return zl_fail(err, ZL_E_INTERNAL, 0, "unknown message %d", m.kind);
                if (x->want->console_socket_fd >= 0) {
                        r = zl_console_send(x->want->console_socket_fd, fd, err);
                        close(fd);
                        if (r < 0)
                                return r;
                } else {
                        x->console_fd = fd;
                }
        }
}

static int launch(struct execution *x, struct zl_error *err)
{
        int fds[2], r = open_doors(x, err);

        if (r < 0)
                return r;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return zl_fail_errno(err, errno, "cannot make a socket pair");
        x->parent_fd = fds[0];
        x->plan.sync_fd = fds[1];
        r = do_clone(x, err);
        x->plan.sync_fd = zl_close(x->plan.sync_fd);
        zl_close(x->want->idle_fd);
        if (r == 0 && x->plan.process.cpu_initial)
                zl_debug("nsexec container setup: affinity: 0x%lx", *x->plan.process.cpu_initial);
        if (r == 0)
                zl_debug(
                        "nsexec container setup: child process in init() of container %s; setns_init: about to exec %s",
                        x->c->id, x->process.args[0]);
        return r < 0 ? r : take_over(x, talk(x, err), err);
}

static int execute(struct execution *x, struct zl_error *err)
{
        enum zl_container_status status = zl_container_status(x->c);
        int r;

        if (status == ZL_CONTAINER_PAUSED && !x->want->ignore_paused)
                return zl_fail(err, ZL_E_STATE, 0, "cannot exec in a paused container");
        if (status == ZL_CONTAINER_STOPPED || status == ZL_CONTAINER_CREATING)
                return zl_fail(err, ZL_E_STATE, 0, "cannot exec in a stopped container");
        r = plan(x, err);
        if (r == 0)
                r = find_namespaces(x, err);
        if (r == 0)
                r = check_alive(x, err);
        if (r == 0)
                r = open_cgroup(x, err);
        return r < 0 ? r : launch(x, err);
}

static void undo(struct execution *x)
{
        if (x->pid > 0) {
                kill(x->pid, SIGKILL);
                reap(x->pid);
        }
        zl_close(x->pidfd);
        zl_close(x->console_fd);
}

int zl_container_exec(struct zl_container *c, const struct zl_exec_process *process,
                      struct zl_exec_result *ret, struct zl_error *err)
{
        struct execution x = {
                .c = c,
                .want = process,
                .plan.process.seccomp_socket = -EBADF,
                .mount_fd = -EBADF,
                .parent_fd = -EBADF,
                .null_fd = -EBADF,
                .pidfd = -EBADF,
                .console_fd = -EBADF,
        };
        int r;

        for (size_t i = 0; i < ZL_NAMESPACE_KINDS; i++)
                x.lent[i] = -EBADF;
        r = execute(&x, err);
        if (r < 0)
                undo(&x);
        else
                *ret = (struct zl_exec_result){ x.pid, x.pidfd, x.console_fd };
        close_doors(&x);
        zl_close(x.plan.process.seccomp_socket);
        if (x.plan.arena)
                zl_plan_done(&x.plan);
        zl_seccomp_program_done(&x.seccomp);
        zl_cgroup_free(x.cgroup);
        for (size_t i = 0; i < ZL_NAMESPACE_KINDS; i++)
                zl_close(x.lent[i]);
        zl_close(x.mount_fd);
        zl_close(x.parent_fd);
        zl_close(x.null_fd);
        return r;
}
