/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to a container after it was created: start, signals, pause, new limits, the end.
 *
 * Each holds the container's lock (a flock on its state directory) while it acts, so that two programs at work on one id
 * see each other's whole steps. Who waited for the lock looks again: the container may be gone.
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/path.h"
#include "base/socket.h"
#include "container/internal.h"
#include "linux/scope.h"

static const char *command_of(const struct zl_container *c)
{
        const struct zl_oci_process *p = c->config ? c->config->process : NULL;

        return p && p->args && p->args[0] ? p->args[0] : "";
}

/* Hooks that may fail without consequence: the specification wants a warning. */
static void run_poststop(struct zl_container *c, const struct zl_oci_hook *hooks, size_t n)
{
        struct zl_hook_run run = ZL_HOOK_RUN_INIT;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_free_ char *state = NULL;

        if (n == 0)
                return;
        if (zl_hooks_open(c->config, &run, &err) < 0)
                zl_warn("container %s: poststop hooks: %s", c->id, zl_error_message(&err));
        run.state = state = zl_state_document(c->config, c->id, "stopped", c->pid, c->bundle);
        for (size_t i = 0; state && i < n; i++) {
                int r = zl_hooks_run(&hooks[i], 1, &run);

                if (r < 0)
                        zl_warn("container %s: error executing poststop hook %s: %s", c->id,
                                hooks[i].path,
                                r == -ECHILD ? "poststop hook failed with exit code other than 0"
                                             : strerror(-r));
        }
        zl_close(run.out);
        zl_close(run.err);
}

static int end_processes(struct zl_container *c, struct zl_error *err);

/* The command runs already, but a container whose poststart hook fails must not go on (runtime-spec 1.3, "Lifecycle"): it is ended
 * here, and the caller deletes it. */
static int run_poststart(struct zl_container *c, const struct zl_oci_hooks *hooks,
                         struct zl_error *err)
{
        struct zl_hook_run run = ZL_HOOK_RUN_INIT;
        _cleanup_free_ char *state = NULL;
        char end[64];
        int r;

        if (hooks->n_poststart == 0)
                return 0;
        run.state = state = zl_state_document(c->config, c->id, "running", c->pid, c->bundle);
        if (!state)
                return zl_fail_oom(err);
        r = zl_hooks_open(c->config, &run, err);
        if (r == 0)
                r = zl_hooks_run(hooks->poststart, hooks->n_poststart, &run);
        zl_close(run.out);
        zl_close(run.err);
        if (r == 0)
                return 0;
        end_processes(c, NULL);
        if (r == -ECHILD)
                zl_hook_end_text(run.end, end, sizeof end);
        return zl_fail(err, ZL_E_CREATE, 0, "error running poststart hook #%zu: %s: %s %s",
                       run.failed, hooks->poststart[run.failed].path,
                       r == -ECHILD      ? end
                       : r == -ETIMEDOUT ? "it took too long"
                                         : "it failed",
                       run.said);
}

/* --- start --------------------------------------------------------------------------------------------------------- */

static int pass_with_words(struct zl_container *c, struct zl_error *err)
{
        int r = zl_words_send(c->sync_fd, c->config->process, err);

        return r < 0 ? r : zl_gate_hear(c->sync_fd, command_of(c), err);
}

static int open_gate(struct zl_container *c, struct zl_error *err)
{
        int r;

        if (c->words_come) {
                r = pass_with_words(c, err);
                c->sync_fd = zl_close(c->sync_fd);
                return r;
        }
        if (c->start_sent || (c->is_child && faccessat(c->state_fd, ZL_GATE_FILE, F_OK, 0) < 0)) {
                r = (c->start_sent ? zl_gate_hear : zl_gate_pass)(c->sync_fd, command_of(c), err);
                c->sync_fd = zl_close(c->sync_fd);
                return r;
        }
        {
                _cleanup_close_ int fd = zl_unix_connect_at(c->state_fd, ZL_GATE_FILE,
                                                            SOCK_SEQPACKET);

                if (fd < 0)
                        return zl_fail(err, ZL_E_STATE, -fd, "container %s cannot be started",
                                       c->id);
                unlinkat(c->state_fd, ZL_GATE_FILE, 0);
                return zl_gate_pass(fd, command_of(c), err);
        }
}

static bool has_own_names(const struct zl_container *c)
{
        const struct zl_oci_linux *l = c->config->linux_;

        for (size_t i = 0; i < l->n_namespaces; i++)
                if (zl_streq(l->namespaces[i].type, "uts"))
                        return !l->namespaces[i].path || !*l->namespaces[i].path;
        return false;
}

void zl_container_set_config(struct zl_container *c, const struct zl_oci_config *config)
{
        c->config = config;
}

int zl_container_set_hostname(struct zl_container *c, const char *name, struct zl_error *err)
{
        _cleanup_close_ int own = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC), its = -EBADF;
        char path[48];
        int r;

        if (!has_own_names(c))
                return 0;
        snprintf(path, sizeof path, "/proc/%d/ns/uts", c->pid);
        its = open(path, O_RDONLY | O_CLOEXEC);
        if (own < 0 || its < 0 || setns(its, CLONE_NEWUTS) < 0)
                return zl_fail_errno(err, errno, "cannot enter the names of container %s", c->id);
        r = sethostname(name, strlen(name)) < 0 ? -errno : 0;
        if (setns(own, CLONE_NEWUTS) < 0)
                return zl_fail_errno(err, errno, "cannot leave the names of container %s", c->id);
        return r < 0 ? zl_fail_errno(err, -r, "cannot name the host of container %s", c->id) : 0;
}

int zl_container_start(struct zl_container *c, struct zl_error *err)
{
        enum zl_container_status status;
        const struct zl_oci_config *config;
        int r = zl_container_lock(c, err);

        if (r < 0)
                return r;
        /* Nobody but us knows our own child before it is started: it need not be asked whether it is paused. One that was allowed to
         * start at once may have come to its end already. */
        status = c->is_child && !c->started && (c->start_sent || !zl_container_has_ended(c))
                         ? ZL_CONTAINER_CREATED
                         : zl_container_status(c);
        config = zl_container_config(c);
        if (status != ZL_CONTAINER_CREATED) {
                zl_container_unlock(c);
                return zl_fail(err, ZL_E_STATE, 0,
                               status == ZL_CONTAINER_STOPPED
                                       ? "cannot start a container that has stopped"
                                       : "cannot start an already %s container",
                               zl_container_status_name(status));
        }
        if (config && !config->process) {
                zl_container_unlock(c);
                return zl_fail(err, ZL_E_INVALID, 0, "container %s has no process to start", c->id);
        }
        r = open_gate(c, err);
        c->started = true;
        if (r == 0 && config && config->hooks)
                r = run_poststart(c, config->hooks, err);
        zl_container_unlock(c);
        return r;
}

/* --- signals, pause, limits ---------------------------------------------------------------------------------------- */

static bool shares_pids(struct zl_container *c)
{
        const struct zl_oci_config *config = zl_container_config(c);

        for (size_t i = 0; config && i < config->linux_->n_namespaces; i++) {
                const struct zl_oci_namespace *ns = &config->linux_->namespaces[i];

                if (zl_streq(ns->type, "pid"))
                        return ns->path && *ns->path;
        }
        return config != NULL;
}

struct members {
        struct stat ns;
        pid_t *pids;
        size_t n, size;
};

static int add_member(struct members *m, pid_t pid)
{
        if (m->n == m->size) {
                size_t size = m->size ? 2 * m->size : 16;
                pid_t *more = reallocarray(m->pids, size, sizeof *more);

                if (!more)
                        return -ENOMEM;
                m->pids = more;
                m->size = size;
        }
        m->pids[m->n++] = pid;
        return 0;
}

static int look_for_member(void *data, const char *name, _unused_ unsigned char type)
{
        struct members *m = data;
        char path[48];
        struct stat st;
        uint32_t pid;

        if (zl_parse_u32(name, 10, &pid) < 0)
                return 0;
        snprintf(path, sizeof path, "/proc/%u/ns/pid", pid);
        if (stat(path, &st) < 0 || st.st_ino != m->ns.st_ino || st.st_dev != m->ns.st_dev)
                return 0;
        return add_member(m, (pid_t)pid);
}

int zl_container_pids(struct zl_container *c, pid_t **ret, size_t *ret_n, struct zl_error *err)
{
        _cleanup_close_ int proc = -EBADF;
        struct members m = { .pids = NULL };
        char path[48];
        int r = 0;

        if (c->cgroup)
                return zl_cgroup_pids(c->cgroup, ret, ret_n, err);
        snprintf(path, sizeof path, "/proc/%d/ns/pid", c->pid);
        if (zl_container_has_ended(c)) {
                r = 0;
        } else if (shares_pids(c) || stat(path, &m.ns) < 0) {
                r = add_member(&m, c->pid);
        } else {
                proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                r = proc < 0 ? -errno : zl_dir_each(proc, look_for_member, &m);
        }
        if (r < 0) {
                free(m.pids);
                return zl_fail_errno(err, -r, "cannot list the processes of container %s", c->id);
        }
        *ret = m.pids;
        *ret_n = m.n;
        return 0;
}

/* Without a group: each that can be found. */
static int kill_members(struct zl_container *c, int sig, struct zl_error *err)
{
        _cleanup_free_ pid_t *pids = NULL;
        size_t n = 0;
        int r = zl_container_pids(c, &pids, &n, err);

        if (r < 0)
                return r;
        if (n == 0)
                return zl_fail(err, ZL_E_STATE, 0, "container not running");
        for (size_t i = 0; i < n; i++)
                if (kill(pids[i], sig) < 0 && errno != ESRCH)
                        return zl_fail_errno(err, errno, "cannot signal process %d of container %s",
                                             pids[i], c->id);
        return 0;
}

static int no_group(const struct zl_container *c, const char *what, struct zl_error *err)
{
        return zl_fail(err, ZL_E_UNSUPPORTED, 0, "container %s has no cgroup: %s", c->id, what);
}

int zl_container_kill(struct zl_container *c, int sig, bool all, struct zl_error *err)
{
        if (all && c->cgroup)
                return zl_cgroup_kill_all(c->cgroup, sig, err);
        if (all && sig != SIGKILL) /* which is for all of its pid namespace anyway */
                return kill_members(c, sig, err);
        /* Without a pid namespace of its own the rest would outlive the first process: as runc, KILL is for all of them. */
        if (sig == SIGKILL && c->cgroup && shares_pids(c)) {
                _cleanup_free_ pid_t *pids = NULL;
                size_t n = 0;

                if (zl_cgroup_pids(c->cgroup, &pids, &n, NULL) == 0 && n > 0)
                        return zl_cgroup_kill_all(c->cgroup, sig, err);
        }
        if (zl_container_status(c) == ZL_CONTAINER_STOPPED || c->pidfd < 0)
                return zl_fail(err, ZL_E_STATE, 0, "container not running");
        if (syscall(SYS_pidfd_send_signal, c->pidfd, sig, NULL, 0) < 0)
                return zl_fail_errno(err, errno, "cannot send signal %d to container %s", sig,
                                     c->id);
        /* Frozen processes of version 1 would only take it when thawed; KILL is meant now. */
        if (sig == SIGKILL && c->cgroup && zl_cgroup_is_frozen(c->cgroup))
                return zl_cgroup_freeze(c->cgroup, false, err);
        return 0;
}

int zl_container_pause(struct zl_container *c, bool pause, struct zl_error *err)
{
        enum zl_container_status status;
        int r = zl_container_lock(c, err);

        if (r < 0)
                return r;
        status = zl_container_status(c);
        if (!c->cgroup && status != ZL_CONTAINER_STOPPED)
                r = no_group(c, "it cannot be paused", err);
        else if (!c->cgroup ||
                 (pause && status != ZL_CONTAINER_RUNNING && status != ZL_CONTAINER_CREATED))
                r = zl_fail(err, ZL_E_STATE, 0, "container not running: %s",
                            zl_container_status_name(status));
        else if (!pause && status != ZL_CONTAINER_PAUSED)
                r = zl_fail(err, ZL_E_STATE, 0, "container not paused");
        else
                r = zl_cgroup_freeze(c->cgroup, pause, err);
        zl_container_unlock(c);
        return r;
}

int zl_container_update(struct zl_container *c, const struct zl_oci_resources *resources,
                        struct zl_error *err)
{
        int r = zl_container_lock(c, err);

        if (r < 0)
                return r;
        if (zl_container_status(c) == ZL_CONTAINER_STOPPED)
                r = zl_fail(err, ZL_E_STATE, 0, "container not running");
        else if (!c->cgroup)
                r = no_group(c, "it cannot have limits", err);
        else
                r = zl_cgroup_apply(c->cgroup, resources, err);
        if (r == 0 && c->systemd_cgroup) {
                _cleanup_(zl_scope_freep) struct zl_scope *scope = NULL;

                r = zl_scope_of(c->cgroup_path, &scope, err);
                if (r == 0)
                        r = zl_scope_tell_limits(scope, c->cgroup, err);
        }
        zl_container_unlock(c);
        return r;
}

/* --- the end ------------------------------------------------------------------------------------------------------------ */

static int wait_end(struct zl_container *c, int64_t nsec)
{
        int64_t until = zl_now_monotonic() + nsec;

        while (c->pidfd >= 0) {
                struct pollfd p = { .fd = c->pidfd, .events = POLLIN };
                int64_t left = until - zl_now_monotonic();
                int n = poll(&p, 1, left < 0 ? 0 : (int)(left / ZL_NSEC_PER_MSEC));

                if (n > 0)
                        return 0;
                if (n == 0 && left <= 0)
                        return -ETIMEDOUT;
        }
        return 0;
}

/* KILL to all of it: by the group where there is one, and by the first process (whose pid namespace goes with it). */
static int end_processes(struct zl_container *c, struct zl_error *err)
{
        int r;

        if (c->pidfd >= 0)
                syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0);
        if (c->cgroup) {
                r = zl_cgroup_kill_all(c->cgroup, SIGKILL, err);
                if (r < 0)
                        return r;
        }
        r = wait_end(c, ZL_NSEC_PER_SEC / 5);
        if (r < 0) {
                /* Somebody may have moved it into a frozen group of another name. */
                zl_cgroup_thaw_process(c->pid);
                r = wait_end(c, 10 * ZL_NSEC_PER_SEC);
        }
        return r < 0 ? zl_fail(err, ZL_E_TIMEOUT, ETIMEDOUT, "container %s does not die", c->id)
                     : 0;
}

/* What has ended by itself has left an empty group: removing that is the whole work, and the proof. */
static int end_and_remove_group(struct zl_container *c, struct zl_error *err)
{
        int r;

        if (c->cgroup && zl_container_has_ended(c) && zl_cgroup_remove_unused(c->cgroup) == 0)
                return 0;
        r = end_processes(c, err);
        return r == 0 && c->cgroup ? zl_cgroup_remove(c->cgroup, err) : r;
}

/* It ends with its last process; that nothing of it is left is known when systemd says so. */
static void end_scope(struct zl_container *c)
{
        _cleanup_(zl_scope_freep) struct zl_scope *scope = NULL;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        if (!c->systemd_cgroup || !c->cgroup_path)
                return;
        if (zl_scope_of(c->cgroup_path, &scope, &err) < 0 || zl_scope_stop(scope, &err) < 0)
                zl_warn("container %s: %s", c->id, zl_error_message(&err));
}

static int remove_state(struct zl_container *c, struct zl_error *err)
{
        static const char *const files[] = { ZL_STATE_FILE, ZL_CONFIG_FILE, ZL_GATE_FILE,
                                             ZL_HOOKS_FILE, ZL_CGROUP_LINK };
        _cleanup_free_ char *dir = NULL;
        int r;

        if (c->state_fd < 0)
                return 0;
        dir = zl_path_join(c->root, c->id);
        if (!dir)
                return zl_fail_oom(err);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(files); i++)
                unlinkat(c->state_fd, files[i], 0);
        /* Whatever else is in it (a creator that was killed) goes the long way. */
        r = rmdir(dir) < 0 && errno != ENOENT ? zl_rm_rf_at(AT_FDCWD, dir) : 0;
        return r < 0 ? zl_fail_errno(err, -r, "cannot remove %s", dir) : 0;
}

/* A container whose creator was killed half-way has no state file, but a note of its group. Its process may wait at the gate: whoever
 * comes and goes without a word lets it end. */
static void adopt_wreck(struct zl_container *c)
{
        struct zl_cgroup_options options = { .owned = true };
        char path[PATH_MAX];
        ssize_t n;

        if (c->state_fd < 0 || c->pid_start)
                return;
        zl_close(zl_unix_connect_at(c->state_fd, ZL_GATE_FILE, SOCK_SEQPACKET));
        n = readlinkat(c->state_fd, ZL_CGROUP_LINK, path, sizeof path - 1);
        if (n <= 0 || c->cgroup)
                return;
        path[n] = 0;
        options.path = path;
        if (zl_replace_str(&c->cgroup_path, path) < 0 ||
            zl_cgroup_open(&options, &c->cgroup, NULL) < 0)
                c->cgroup = NULL;
}

/* Whoever deletes what he has just seen end is not to be refused because we are faster than the kernel's burial. */
static enum zl_container_status status_in_a_moment(struct zl_container *c)
{
        enum { PATIENCE_MS = 100 };
        enum zl_container_status status = zl_container_status(c);
        struct pollfd p = { .fd = c->pidfd, .events = POLLIN };

        if (status != ZL_CONTAINER_RUNNING || c->pidfd < 0 || poll(&p, 1, PATIENCE_MS) <= 0)
                return status;
        return zl_container_status(c);
}

int zl_container_delete(struct zl_container *c, bool force, struct zl_error *err)
{
        const struct zl_oci_config *config;
        enum zl_container_status status;
        int r = zl_container_lock(c, err);

        if (r < 0)
                return r;
        status = force ? zl_container_status(c) : status_in_a_moment(c);
        config = zl_container_config(c);
        /* One that never started has nothing to lose: runc deletes it, too. */
        if (status != ZL_CONTAINER_STOPPED && status != ZL_CONTAINER_CREATED && !force) {
                zl_container_unlock(c);
                return zl_fail(err, ZL_E_STATE, 0,
                               "cannot delete container %s that is not stopped: %s", c->id,
                               zl_container_status_name(status));
        }
        adopt_wreck(c);
        r = end_and_remove_group(c, err);
        if (r == 0)
                end_scope(c);
        if (r == 0)
                r = remove_state(c, err);
        if (r == 0 && config && config->hooks)
                run_poststop(c, config->hooks->poststop, config->hooks->n_poststop);
        zl_container_unlock(c);
        return r;
}
