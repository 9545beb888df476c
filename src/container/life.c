/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to a container after it was created: start, signals, pause, new limits, the end.
 *
 * Each holds the container's lock (a flock on its state directory) while it acts, so that two programs at work on one id
 * see each other's whole steps. Who waited for the lock looks again: the container may be gone.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "base/socket.h"
#include "container/internal.h"

static const char *command_of(const struct zl_container *c)
{
        const struct zl_oci_process *p = c->config ? c->config->process : NULL;

        return p && p->args && p->args[0] ? p->args[0] : "";
}

/* Hooks that may fail without consequence: the specification wants a warning. */
static void run_late_hooks(struct zl_container *c, const struct zl_oci_hook *hooks, size_t n,
                           const char *status)
{
        _cleanup_free_ char *state = NULL;

        if (n == 0)
                return;
        state = zl_state_document(c->config, c->id, status, c->pid, c->bundle);
        for (size_t i = 0; state && i < n; i++) {
                const struct zl_oci_hook *failed = NULL;

                if (zl_hooks_run(&hooks[i], 1, state, &failed) < 0)
                        zl_warn("container %s: hook %s failed", c->id, hooks[i].path);
        }
}

/* --- start --------------------------------------------------------------------------------------------------------- */

static int open_gate(struct zl_container *c, struct zl_error *err)
{
        int r;

        if (c->is_child && faccessat(c->state_fd, ZL_GATE_FILE, F_OK, 0) < 0) {
                r = zl_gate_pass(c->sync_fd, command_of(c), err);
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

int zl_container_start(struct zl_container *c, struct zl_error *err)
{
        enum zl_container_status status;
        const struct zl_oci_config *config;
        int r = zl_container_lock(c, err);

        if (r < 0)
                return r;
        status = zl_container_status(c);
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
                run_late_hooks(c, config->hooks->poststart, config->hooks->n_poststart, "running");
        zl_container_unlock(c);
        return r;
}

/* --- signals, pause, limits ---------------------------------------------------------------------------------------- */

int zl_container_kill(struct zl_container *c, int sig, bool all, struct zl_error *err)
{
        if (all && c->cgroup)
                return zl_cgroup_kill_all(c->cgroup, sig, err);
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
        if (!c->cgroup ||
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
        if (!c->cgroup || zl_container_status(c) == ZL_CONTAINER_STOPPED)
                r = zl_fail(err, ZL_E_STATE, 0, "container not running");
        else
                r = zl_cgroup_apply(c->cgroup, resources, err);
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
        r = wait_end(c, 10 * ZL_NSEC_PER_SEC);
        return r < 0 ? zl_fail(err, ZL_E_TIMEOUT, ETIMEDOUT, "container %s does not die", c->id)
                     : 0;
}

static int remove_state(struct zl_container *c, struct zl_error *err)
{
        _cleanup_free_ char *dir = NULL;
        int r;

        if (c->state_fd < 0)
                return 0;
        dir = zl_path_join(c->root, c->id);
        if (!dir)
                return zl_fail_oom(err);
        r = zl_rm_rf_at(AT_FDCWD, dir);
        return r < 0 ? zl_fail_errno(err, -r, "cannot remove %s", dir) : 0;
}

/* A container whose creator was killed half-way has no state file: all that can be known is the group of its name. */
static void adopt_wreck(struct zl_container *c)
{
        struct zl_cgroup_options options = { .owned = true };

        if (c->cgroup || (c->cgroup_path && *c->cgroup_path))
                return;
        c->cgroup_path = zl_path_join("/zlayer", c->id);
        options.path = c->cgroup_path;
        if (c->cgroup_path && zl_cgroup_open(&options, &c->cgroup, NULL) < 0)
                c->cgroup = NULL;
}

int zl_container_delete(struct zl_container *c, bool force, struct zl_error *err)
{
        const struct zl_oci_config *config;
        enum zl_container_status status;
        int r = zl_container_lock(c, err);

        if (r < 0)
                return r;
        status = zl_container_status(c);
        config = zl_container_config(c);
        /* One that never started has nothing to lose: runc deletes it, too. */
        if (status != ZL_CONTAINER_STOPPED && status != ZL_CONTAINER_CREATED && !force) {
                zl_container_unlock(c);
                return zl_fail(err, ZL_E_STATE, 0,
                               "cannot delete container %s that is not stopped: %s", c->id,
                               zl_container_status_name(status));
        }
        adopt_wreck(c);
        r = end_processes(c, err);
        if (r == 0 && c->cgroup)
                r = zl_cgroup_remove(c->cgroup, err);
        if (r == 0)
                r = remove_state(c, err);
        if (r == 0 && config && config->hooks)
                run_late_hooks(c, config->hooks->poststop, config->hooks->n_poststop, "stopped");
        zl_container_unlock(c);
        return r;
}
