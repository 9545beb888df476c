/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another command in a running container.
 *
 * A process cannot enter a pid namespace itself, only its children are born there, so the caller enters it for the length of one
 * clone and comes back. The child then joins the other namespaces through the container's pidfd (5.8; by
 * /proc/PID/ns files without it), and goes the same last way as the first process.
 *
 * The child is not dumpable before it joins anything: a process of the container could otherwise trace it, or open its
 * /proc/PID/exe, which is our own program, and overwrite it (CVE-2019-5736, CVE-2016-9962). It is put into the
 * cgroup before it joins, so it is under the container's limits from the start.
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "base/strv.h"
#include "container/internal.h"
#include "linux/clone.h"

struct execution {
        struct zl_container *c;
        const struct zl_exec_process *want;
        struct zl_oci_process process; /* merged */
        struct zl_oci_capabilities caps;
        struct zl_plan plan;
        struct zl_seccomp_program seccomp;
        struct zl_cgroup *cgroup; /* below the container's own, or NULL */
        int join_flags;           /* all at once through the pidfd */
        int user_fd, mount_fd;
        int parent_fd, null_fd;
        pid_t pid;
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
        if (x->plan.process.seccomp && x->plan.process.seccomp->notify)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                               "exec in a container with a seccomp listener is not supported");
        return 0;
}

static int plan(struct execution *x, struct zl_error *err)
{
        struct zl_plan *plan = &x->plan;
        int r = merge(x, err);

        if (r < 0)
                return r;
        plan->arena = zl_arena_new(0);
        plan->config = x->c->config;
        plan->gate_fd = plan->join_pid_fd = plan->join_user_fd = plan->sync_fd = -EBADF;
        if (!plan->arena)
                return zl_fail_oom(err);
        r = zl_plan_process(plan->arena, &x->process, &plan->process, err);
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
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? zl_fail_errno(err, errno, "cannot open the %s namespace of container %s",
                                      name, x->c->id)
                      : fd;
}

/* Only namespaces that differ from ours are joined: entering one's own user namespace is an error, and the others cost time.
 * One that cannot be looked at counts as another: to open it then fails, while not to join it would run the command outside. */
static bool is_other(struct execution *x, const char *name)
{
        char path[48];
        struct stat own, other;

        snprintf(path, sizeof path, "/proc/self/ns/%s", name);
        if (stat(path, &own) < 0)
                return true;
        snprintf(path, sizeof path, "/proc/%d/ns/%s", x->c->pid, name);
        return stat(path, &other) < 0 || own.st_ino != other.st_ino;
}

static int find_namespaces(struct execution *x, struct zl_error *err)
{
        static const struct {
                const char *type, *name;
                int flag;
        } all[] = {
                { "user", "user", CLONE_NEWUSER },       { "ipc", "ipc", CLONE_NEWIPC },
                { "uts", "uts", CLONE_NEWUTS },          { "network", "net", CLONE_NEWNET },
                { "cgroup", "cgroup", CLONE_NEWCGROUP }, { "time", "time", 0x80 },
                { "mount", "mnt", CLONE_NEWNS },         { "pid", "pid", CLONE_NEWPID },
        };
        const struct zl_oci_linux *l = x->c->config->linux_;

        for (size_t i = 0; i < l->n_namespaces; i++)
                for (size_t k = 0; k < ZL_ARRAY_SIZE(all); k++) {
                        int fd;

                        if (!zl_streq(l->namespaces[i].type, all[k].type) ||
                            !is_other(x, all[k].name))
                                continue;
                        fd = open_ns(x, all[k].name, err);
                        if (fd < 0)
                                return fd;
                        if (all[k].flag == CLONE_NEWPID)
                                x->plan.join_pid_fd = fd;
                        else if (all[k].flag == CLONE_NEWUSER)
                                x->plan.join_user_fd = fd;
                        else if (all[k].flag == CLONE_NEWNS)
                                x->mount_fd = fd;
                        else
                                x->plan.joins[x->plan.n_joins++] = (struct zl_namespace_plan){
                                        all[k].flag, fd, all[k].type
                                };
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

static int open_cgroup(struct execution *x, struct zl_error *err)
{
        struct zl_cgroup_options options = { .create = true };
        _cleanup_free_ char *path = NULL;

        if (!x->want->cgroup || !*x->want->cgroup || zl_streq(x->want->cgroup, "/"))
                return 0;
        path = zl_path_join(x->c->cgroup_path, x->want->cgroup);
        options.path = path;
        return path ? zl_cgroup_open(&options, &x->cgroup, err) : zl_fail_oom(err);
}

/* --- the child ---------------------------------------------------------------------------------------------------------- */

static int wait_joined(struct zl_child *c)
{
        struct zl_message m;
        ssize_t n;

        do
                n = recv(c->sync_fd, &m, sizeof m, 0);
        while (n < 0 && errno == EINTR);
        if (n != (ssize_t)sizeof m || m.kind != ZL_MSG_JOINED)
                _exit(1);
        c->host_pid = m.value;
        return 0;
}

static int join(struct zl_child *c, struct execution *x)
{
        const struct zl_plan *plan = &x->plan;

        if (plan->join_user_fd >= 0 && setns(plan->join_user_fd, CLONE_NEWUSER) < 0)
                return zl_child_fail(c, ZL_STAGE_NAMESPACE, errno, "user");
        for (size_t i = 0; i < plan->n_joins; i++)
                if (setns(plan->joins[i].fd, plan->joins[i].flag) < 0)
                        return zl_child_fail(c, ZL_STAGE_NAMESPACE, errno, plan->joins[i].path);
        if (x->mount_fd >= 0 && setns(x->mount_fd, CLONE_NEWNS) < 0)
                return zl_child_fail(c, ZL_STAGE_NAMESPACE, errno, "mount");
        if (plan->join_user_fd >= 0 &&
            (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0))
                return zl_child_fail(c, ZL_STAGE_ID_MAP, errno, "");
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        /* Joining a mount namespace put us at its root. */
        c->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return c->root_fd < 0 ? zl_child_fail(c, ZL_STAGE_CWD, errno, "/") : 0;
}

static int run(struct zl_child *c, struct execution *x)
{
        int r = wait_joined(c);

        if (r == 0)
                r = zl_child_open_proc(c);
        if (r == 0 && c->process->has_oom_score_adj &&
            zl_child_write_proc(c, "self/oom_score_adj", c->process->oom_score_adj) < 0)
                r = zl_child_fail(c, ZL_STAGE_OOM_SCORE, EACCES, c->process->oom_score_adj);
        if (r == 0)
                r = join(c, x);
        if (r == 0)
                r = zl_child_console(c, false);
        if (r == 0)
                r = zl_child_keyring(c);
        if (r == 0)
                r = zl_child_user_lookup(c);
        if (r == 0)
                r = zl_child_attributes(c);
        if (r == 0)
                r = zl_child_stdio(c);
        if (r == 0)
                r = zl_child_privileges(c);
        return r < 0 ? r : zl_child_exec(c);
}

static _Noreturn void child(struct execution *x)
{
        static struct zl_child child_state;
        struct zl_child *c = &child_state;

        close(x->parent_fd);
        *c = (struct zl_child){
                .plan = &x->plan,
                .process = &x->plan.process,
                .sync_fd = x->plan.sync_fd,
                .report_fd = x->plan.sync_fd,
                .proc_fd = -EBADF,
                .root_fd = -EBADF,
                .tty_fd = -EBADF,
        };
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        if (c->process->die_with_parent)
                prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        setsid();
        umask(0);
        run(c, x);
        zl_child_send_report(c);
        _exit(c->report.stage == ZL_STAGE_EXEC ? (c->report.errnum == ENOENT ? 127 : 126) : 255);
}

/* --- the parent ---------------------------------------------------------------------------------------------------------- */

static int do_clone(struct execution *x, bool *ret_in_cgroup, struct zl_error *err)
{
        struct zl_cgroup *cg = x->cgroup ? x->cgroup : x->c->cgroup;
        struct zl_clone how = { .cgroup_fd = cg ? zl_cgroup_dir_fd(cg) : -1,
                                .pidfd = &x->pidfd,
                                .hidden = 1 };
        _cleanup_close_ int own = -EBADF;
        pid_t pid;

        if (x->plan.join_pid_fd >= 0) {
                own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
                if (own < 0 || setns(x->plan.join_pid_fd, CLONE_NEWPID) < 0)
                        return zl_fail_errno(err, errno, "cannot enter the pid namespace");
        }
        pid = zl_clone(&how);
        if (pid == 0)
                child(x);
        if (own >= 0 && setns(own, CLONE_NEWPID) < 0 && pid > 0) {
                x->pid = pid;
                return zl_fail_errno(err, errno, "cannot leave the pid namespace");
        }
        if (pid < 0)
                return zl_fail_errno(err, -pid, "cannot make a process in container %s", x->c->id);
        x->pid = pid;
        *ret_in_cgroup = how.cgroup_done;
        return 0;
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
        struct zl_cgroup *cg = x->cgroup ? x->cgroup : x->c->cgroup;
        bool in_cgroup = false;
        int fds[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return zl_fail_errno(err, errno, "cannot make a socket pair");
        x->parent_fd = fds[0];
        x->plan.sync_fd = fds[1];
        r = do_clone(x, &in_cgroup, err);
        x->plan.sync_fd = zl_close(x->plan.sync_fd);
        if (r == 0 && !in_cgroup && cg)
                r = zl_cgroup_attach(cg, x->pid, err);
        if (r == 0) {
                r = zl_sync_tell(x->parent_fd, ZL_MSG_JOINED, x->pid);
                if (r < 0)
                        zl_fail_errno(err, -r, "the process has ended");
        }
        return r < 0 ? r : talk(x, err);
}

static int execute(struct execution *x, struct zl_error *err)
{
        enum zl_container_status status = zl_container_status(x->c);
        int r;

        if (status == ZL_CONTAINER_PAUSED)
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
        siginfo_t info;

        if (x->pid > 0) {
                kill(x->pid, SIGKILL);
                while (waitid(P_PID, (id_t)x->pid, &info, WEXITED) < 0 && errno == EINTR)
                        ;
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
                .user_fd = -EBADF,
                .mount_fd = -EBADF,
                .parent_fd = -EBADF,
                .null_fd = -EBADF,
                .pidfd = -EBADF,
                .console_fd = -EBADF,
        };
        int r = execute(&x, err);

        if (r < 0)
                undo(&x);
        else
                *ret = (struct zl_exec_result){ x.pid, x.pidfd, x.console_fd };
        if (x.plan.arena)
                zl_plan_done(&x.plan);
        zl_seccomp_program_done(&x.seccomp);
        zl_cgroup_free(x.cgroup);
        zl_close(x.mount_fd);
        zl_close(x.parent_fd);
        zl_close(x.null_fd);
        return r;
}
