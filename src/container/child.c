/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of the container's first process from clone to exec.
 *
 * Order, and why:
 *   1. user namespace: wait for the id maps, become its root; only then do we have rights over the rest;
 *   2. join namespaces given by path; a procfs handle of the host and what is written through it, before the root changes;
 *      then the pieces that belong to our namespaces: time offsets, host name, loopback;
 *   3. the root file system (child_rootfs.c);
 *   4. the cgroup, which the parent made meanwhile where we were not born in it (version 1). Before what takes memory or
 *      starts programs: a tmpfs that is filled (tmpcopyup) and the hooks wait for it, as does a mount that shows the group;
 *   5. hooks that must see the finished mounts before the root changes;
 *   6. change the root, the rest of the process (child_process.c), the cgroup namespace (whose root is the group we are in
 *      by now), and tell the parent that all is ready;
 *   7. the gate: wait for start. Then the startContainer hooks and exec.
 *
 * Only async-signal-safe calls: the parent may have threads. (The fallbacks of base/path.h for kernels without openat2
 * allocate; programs that create containers have one thread.)
 *
 * Not dumpable from the first moment: until exec nobody inside may read our memory or /proc/self/exe, which is
 * the runtime's own binary (CVE-2019-5736). In a new user namespace it is while nobody but us is in there, to be owner of its own /proc.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/forbid.h"
#include "base/socket.h"
#include "container/internal.h"
#include "linux/clone.h"
#include "linux/netns.h"

/* --- talking to the parent ---------------------------------------------------------------------------------------- */

static int tell(struct zl_child *c, int kind)
{
        struct zl_message m = { .kind = kind };

        while (send(c->sync_fd, &m, sizeof m, MSG_NOSIGNAL) < 0)
                if (errno != EINTR)
                        return zl_child_fail(c, ZL_STAGE_SYNC, errno, "");
        return 0;
}

int zl_child_await(struct zl_child *c, int fd, int kind)
{
        struct zl_message m;
        ssize_t n;

        do {
                n = recv(fd, &m, sizeof m, 0);
                /* The gate may be opened at any time; it is passed when it is reached. */
                if (n == (ssize_t)sizeof m && m.kind == ZL_MSG_START && kind != ZL_MSG_START) {
                        c->start_came = true;
                        n = -1;
                        errno = EINTR;
                }
        } while (n < 0 && errno == EINTR);
        if (n != (ssize_t)sizeof m || m.kind != kind) {
                /* The parent died or gave up: nobody will read a report. */
                zl_child_fail(c, ZL_STAGE_SYNC, n < 0 ? errno : EPIPE, "");
                _exit(1);
        }
        return 0;
}

/* Nobody else writes to us before it has sent them, but for the id maps, for which we have waited. */
static void await_doors(struct zl_child *c, struct zl_cgroup_doors *ret)
{
        struct zl_message m;
        ssize_t n;

        ret->n = ZL_ARRAY_SIZE(ret->fds);
        n = zl_recv_fds(c->sync_fd, &m, sizeof m, ret->fds, &ret->n, 0);
        if (n == (ssize_t)sizeof m && m.kind == ZL_MSG_DOORS)
                return;
        /* The parent died or gave up: nobody will read a report. */
        zl_child_fail(c, ZL_STAGE_SYNC, n < 0 ? (int)-n : EPIPE, "");
        _exit(1);
}

int zl_child_enter_cgroup(struct zl_child *c)
{
        struct zl_cgroup_doors doors = c->plan->doors;
        int r;

        if (c->in_cgroup)
                return 0;
        c->in_cgroup = true;
        if (c->plan->doors_come)
                await_doors(c, &doors);
        r = c->plan->left_outside ? -ENOENT : zl_cgroup_doors_enter(&doors);
        zl_cgroup_doors_close(&doors);
        if (r == 0)
                return 0;
        r = tell(c, ZL_MSG_ATTACH);
        return r < 0 ? r : zl_child_await(c, c->sync_fd, ZL_MSG_JOINED);
}

/* Our pid as the host sees it: what its procfs calls us. */
static pid_t host_pid(struct zl_child *c)
{
        char text[16];
        ssize_t n = readlinkat(c->proc_fd, "self", text, sizeof text - 1);

        text[n < 0 ? 0 : n] = 0;
        return (pid_t)strtol(text, NULL, 10);
}

/* --- namespaces --------------------------------------------------------------------------------------------------- */

static int become_root(struct zl_child *c)
{
        if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
                return zl_child_fail(c, ZL_STAGE_ID_MAP, errno, "");
        if (c->plan->join_user_fd >= 0)
                zl_child_look_at_groups(c);
        if (!c->no_setgroups && !c->process->keep_groups && syscall(SYS_setgroups, 0, NULL) < 0)
                return zl_child_fail(c, ZL_STAGE_ID_MAP, errno, "");
        /* What we write in /proc/self must be ours again; we are alone in the new namespace until the root is changed. */
        if (c->plan->new_user_ns)
                prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        return 0;
}

static int enter_namespaces(struct zl_child *c)
{
        const struct zl_plan *plan = c->plan;
        int r = 0;

        if (plan->new_user_ns)
                r = zl_child_await(c, c->sync_fd, ZL_MSG_MAPPED);
        if (r == 0 && (plan->new_user_ns || plan->join_user_fd >= 0))
                r = become_root(c);
        for (size_t i = 0; r == 0 && i < plan->n_joins; i++)
                if (plan->joins[i].fd >= 0 && setns(plan->joins[i].fd, plan->joins[i].flag) < 0)
                        r = zl_child_fail(c, ZL_STAGE_NAMESPACE, errno, plan->joins[i].path);
        return r;
}

/* Offsets can only be set while nobody is inside yet, so the namespace is unshared, set, and then entered. */
static int enter_time_namespace(struct zl_child *c)
{
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!c->plan->new_time_ns)
                return 0;
        if (unshare(0x80 /* CLONE_NEWTIME */) < 0)
                return zl_child_fail(c, ZL_STAGE_NAMESPACE, errno, "time");
        if (c->plan->time_offsets) {
                r = zl_child_write_proc(c, "self/timens_offsets", c->plan->time_offsets);
                if (r < 0)
                        return zl_child_fail(c, ZL_STAGE_TIME_OFFSET, -r, c->plan->time_offsets);
        }
        fd = openat(c->proc_fd, "self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, 0x80) < 0)
                return zl_child_fail(c, ZL_STAGE_NAMESPACE, errno, "time");
        return 0;
}

static int loopback_up(struct zl_child *c)
{
        int r = c->plan->new_net_ns ? zl_netns_loopback_up() : 0;

        return r < 0 ? zl_child_fail(c, ZL_STAGE_LOOPBACK, -r, "") : 0;
}

static int name_host(struct zl_child *c)
{
        const char *host = c->plan->config->hostname, *domain = c->plan->config->domainname;

        if (host && *host && sethostname(host, strlen(host)) < 0)
                return zl_child_fail(c, ZL_STAGE_HOSTNAME, errno, host);
        if (domain && *domain && setdomainname(domain, strlen(domain)) < 0)
                return zl_child_fail(c, ZL_STAGE_HOSTNAME, errno, domain);
        return 0;
}

/* sysctls of our namespaces, through the host's procfs: it shows each process those of its own namespaces. */
static int set_sysctls(struct zl_child *c)
{
        const struct zl_plan *plan = c->plan;

        for (size_t i = 0; i < plan->n_sysctls; i++) {
                int r = zl_child_write_proc(c, plan->sysctls[i].file, plan->sysctls[i].value);

                if (r < 0)
                        return zl_child_fail(c, ZL_STAGE_SYSCTL, -r, plan->sysctls[i].name);
        }
        return 0;
}

static int set_oom_score(struct zl_child *c)
{
        int r;

        if (!c->process->has_oom_score_adj)
                return 0;
        r = zl_child_write_proc(c, "self/oom_score_adj", c->process->oom_score_adj);
        return r < 0 ? zl_child_fail(c, ZL_STAGE_OOM_SCORE, -r, c->process->oom_score_adj) : 0;
}

/* Our files in /proc are closed to a user without privileges as long as we have the runtime's memory, so these are all he could enter. */
static void keep_namespaces(struct zl_child *c)
{
        const struct zl_oci_linux *l = c->plan->config->linux_;
        char path[32] = "self/ns/";

        if (!c->plan->lends_namespaces || c->plan->gate_fd < 0)
                return;
        for (size_t i = 0; i < ZL_NAMESPACE_KINDS; i++) {
                int fd = -EBADF;

                strcpy(path + strlen("self/ns/"), zl_namespace_kinds[i].file);
                for (size_t k = 0; k < l->n_namespaces; k++) /* no descriptor of the host's */
                        if (fd < 0 && zl_streq(l->namespaces[k].type, zl_namespace_kinds[i].type))
                                fd = openat(c->proc_fd, path, O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        continue;
                c->namespaces[c->n_namespaces++] = fd;
                c->namespace_mask |= 1U << i;
        }
}

/* --- hooks ----------------------------------------------------------------------------------------------------------- */

static int run_hooks(struct zl_child *c, const struct zl_oci_hook *hooks, size_t n, bool start)
{
        const struct zl_plan *plan = c->plan;
        struct zl_hook_run run = start ? ZL_HOOK_RUN_INIT : plan->hook_run;
        char subject[sizeof c->report.subject];
        int r;

        if (n == 0)
                return 0;
        snprintf(plan->state_buf, plan->state_size, "%s%s\",\"pid\":%d%s", plan->state_head,
                 start ? "created" : "creating", c->host_pid, plan->state_tail);
        run.env = start ? c->process->envp : NULL; /* the programs are the container's */
        run.state = plan->state_buf;
        r = zl_hooks_run(hooks, n, &run);
        if (r == 0)
                return 0;
        snprintf(subject, sizeof subject, "%s hook #%zu: %s",
                 start ? "startContainer" : "createContainer", run.failed, hooks[run.failed].path);
        zl_child_fail(c, ZL_STAGE_HOOK, -r, subject);
        c->report.value = run.end;
        memcpy(c->report.detail, run.said, sizeof c->report.detail);
        return r;
}

static int hooks_before_pivot(struct zl_child *c)
{
        const struct zl_oci_hooks *h = c->plan->config->hooks;
        int r = 0;

        if (c->plan->has_host_hooks) {
                r = tell(c, ZL_MSG_RUN_HOOKS);
                if (r == 0)
                        r = zl_child_await(c, c->sync_fd, ZL_MSG_HOOKS_DONE);
        }
        /* As runc: in the container's root, while crun stays in the bundle. */
        if (r == 0 && h && h->n_create_container && fchdir(c->root_fd) < 0)
                r = zl_child_fail(c, ZL_STAGE_HOOK, errno, "createContainer hooks");
        if (r == 0 && h)
                r = run_hooks(c, h->create_container, h->n_create_container, false);
        return r;
}

/* --- the stages -------------------------------------------------------------------------------------------------------- */

static int build(struct zl_child *c)
{
        int r = zl_child_open_proc(c);

        if (r == 0 && (c->plan->config->hooks || c->process->seccomp_socket >= 0))
                c->host_pid = host_pid(c);
        if (r == 0)
                r = enter_time_namespace(c);
        if (r == 0)
                r = name_host(c);
        if (r == 0)
                r = loopback_up(c);
        if (r == 0)
                r = set_oom_score(c);
        if (r == 0)
                r = zl_child_rootfs(c);
        if (r == 0)
                r = zl_child_console(c, true);
        if (r == 0)
                r = zl_child_readonly_dev(c);
        if (r == 0)
                r = zl_child_mask(c);
        if (r == 0)
                r = set_sysctls(c);
        return r < 0 ? r : zl_child_enter_cgroup(c);
}

static int settle(struct zl_child *c)
{
        int r = 0;

        if (c->plan->new_cgroup_ns && unshare(CLONE_NEWCGROUP) < 0)
                r = zl_child_fail(c, ZL_STAGE_CGROUP_NAMESPACE, errno, "");
        if (r == 0)
                r = hooks_before_pivot(c);
        if (r == 0)
                r = zl_child_pivot(c);
        /* The user's name is read after the pivot as before it: root_fd is the same directory. */
        if (r == 0)
                r = zl_child_user_lookup(c);
        if (r == 0)
                r = zl_child_keyring(c);
        if (r == 0)
                r = zl_child_attributes(c);
        if (r == 0)
                r = zl_child_labels(c);
        keep_namespaces(c);
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        if (r == 0)
                r = zl_child_stdio(c);
        return r;
}

static void give_up(int sig)
{
        _exit(128 + sig);
}

/* The first process of a pid namespace is deaf to signals that it does not handle. One that waits for its start shall end by them, as
 * in runc; the exec makes the handlers those of the command. */
static void hear_signals(void)
{
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
        struct sigaction action = { .sa_handler = give_up };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(signals); i++)
                sigaction(signals[i], &action, NULL);
}

/* Is it an exec, and not the start, who has come to the gate? It gets what it needs and goes. */
static bool lend_namespaces(struct zl_child *c)
{
        struct zl_message m;
        ssize_t n;

        do
                n = recv(c->report_fd, &m, sizeof m, MSG_PEEK);
        while (n < 0 && errno == EINTR);
        if (n != (ssize_t)sizeof m || m.kind != ZL_MSG_NAMESPACES)
                return false;
        recv(c->report_fd, &m, sizeof m, 0); /* what is left unread would be told as a reset */
        m.value = (int32_t)c->namespace_mask;
        zl_send_fds(c->report_fd, &m, sizeof m, c->namespaces, c->n_namespaces, 0);
        close(c->report_fd);
        return true;
}

static int wait_for_start(struct zl_child *c)
{
        if (c->plan->gate_fd < 0)
                return c->start_came ? 0 : zl_child_await(c, c->sync_fd, ZL_MSG_START);
        do {
                do
                        c->report_fd = accept4(c->plan->gate_fd, NULL, NULL, SOCK_CLOEXEC);
                while (c->report_fd < 0 && (errno == EINTR || errno == ECONNABORTED));
                if (c->report_fd < 0)
                        _exit(1);
        } while (lend_namespaces(c));
        close(c->plan->gate_fd); /* a second start finds nobody */
        while (c->n_namespaces > 0)
                close(c->namespaces[--c->n_namespaces]);
        return zl_child_await(c, c->report_fd, ZL_MSG_START);
}

/* Waits at the gate; from then on errors go to whoever opened it. To load the filter takes a tenth of a millisecond, for which nobody
 * waits here. Not where more is to be done under it than one command. */
static int pass_gate(struct zl_child *c)
{
        const struct zl_oci_hooks *h = c->plan->config->hooks;
        int filter = 0, r;

        if (c->plan->gate_fd >= 0)
                hear_signals();
        r = tell(c, ZL_MSG_READY);
        if (r == 0 && !c->plan->options->init_reaper && !(h && h->n_start_container))
                filter = zl_child_seccomp_ahead(c);
        if (r == 0)
                r = wait_for_start(c);
        return r < 0 ? r : filter;
}

/* --- our own PID 1 --------------------------------------------------------------------------------------------------------- */

void zl_child_reaper(pid_t main_pid)
{
        sigset_t all;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        for (;;) {
                siginfo_t info;
                int sig, status;
                pid_t pid;

                sig = sigwaitinfo(&all, &info);
                if (sig < 0)
                        continue;
                if (sig != SIGCHLD) {
                        kill(main_pid, sig);
                        continue;
                }
                while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                        if (pid != main_pid)
                                continue;
                        /* PID 1 cannot be ended by a signal of its own namespace: the status says it in the shell's way. */
                        _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
                }
        }
}

/* The command becomes a child; we stay as PID 1 with nothing open and reap. */
static void split_reaper(struct zl_child *c)
{
        struct zl_clone how = { .cgroup_fd = -1 };
        sigset_t all, old;
        pid_t pid;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &old);
        pid = zl_clone(&how);
        if (pid < 0) {
                zl_child_fail(c, ZL_STAGE_EXEC, -pid, c->process->argv[0]);
                zl_child_send_report(c);
                _exit(126);
        }
        if (pid > 0) {
                prctl(PR_SET_NAME, "init", 0, 0, 0);
                /* Whoever may trace us must not find a process without the filter. With a listener there is one to tell. */
                if (c->process->seccomp && !c->process->seccomp->notify &&
                    zl_child_seccomp(c, true) < 0)
                        _exit(126);
                syscall(SYS_close_range, 0U, ~0U, 0U);
                zl_child_reaper(pid);
        }
        sigprocmask(SIG_SETMASK, &old, NULL);
        /* The terminal's session goes on with us as its leader's child; job control needs us in the foreground. */
        if (c->process->tty) {
                setpgid(0, 0);
                signal(SIGTTOU, SIG_IGN);
                tcsetpgrp(0, getpid());
                signal(SIGTTOU, SIG_DFL);
        }
}

static int run(struct zl_child *c)
{
        const struct zl_oci_hooks *h = c->plan->config->hooks;
        int r = enter_namespaces(c);

        zl_test_stop("child-namespaces");
        if (r == 0 && !c->plan->doors_come)
                r = zl_child_enter_cgroup(c);
        zl_test_stop("child-cgroup");
        if (r == 0)
                zl_child_reset_affinity(c);
        if (r == 0)
                r = build(c);
        zl_test_stop("child-mounts");
        if (r == 0)
                r = settle(c);
        zl_test_stop("child-root");
        /* Privileges go before the gate, so that what cannot be had is an error of create, and before the startContainer
         * hooks: their programs are the container's, and so must their rights be. */
        if (r == 0)
                r = zl_child_privileges(c);
        /* The agent of a filter that notifies hears of the container when it is created, as in runc. */
        if (r == 0 && c->process->seccomp && c->process->seccomp->notify)
                r = zl_child_seccomp(c, true);
        zl_test_stop("child-privileges");
        if (r == 0)
                r = pass_gate(c);
        if (r == 0 && c->process->words_come)
                r = zl_child_words(c);
        /* The hooks are programs of the container, and under its filter. */
        if (r == 0 && h && h->n_start_container)
                r = zl_child_seccomp(c, true);
        if (r == 0 && h)
                r = run_hooks(c, h->start_container, h->n_start_container, true);
        if (r < 0)
                return r;
        if (c->plan->options->init_reaper)
                split_reaper(c);
        return zl_child_exec(c);
}

void zl_child_main(const struct zl_plan *plan)
{
        static struct zl_child child; /* large: off the stack */
        struct zl_child *c = &child;

        *c = (struct zl_child){
                .plan = plan,
                .process = &plan->process,
                .sync_fd = plan->sync_fd,
                .report_fd = plan->sync_fd,
                .proc_fd = -EBADF,
                .root_fd = -EBADF,
                .tty_fd = -EBADF,
                .no_setgroups = plan->process.no_setgroups,
        };
        if (!plan->is_shown)
                prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        if (plan->process.die_with_parent)
                prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        setsid();
        umask(0);
        run(c);
        zl_child_end(c, 1);
}
