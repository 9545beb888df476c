/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running hooks: a program each, with the state document on standard input, in order, until one fails.
 *
 * The same code runs in the parent (hooks of the host) and in the child between clone and exec (hooks in the container's
 * namespaces), so it allocates nothing. A hook that does not read its input must not block us: the
 * document goes through a memory file, not a pipe.
 */
#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "container/internal.h"
#include "linux/clone.h"

extern char **environ;

struct hook_io {
        int in, out, err; /* -1: as ours */
};

static _Noreturn void hook_main(const struct zl_oci_hook *hook, char *const *env,
                                const struct hook_io *io)
{
        char *only_path[] = { hook->path, NULL };

        zl_child_reset_signals(UINT64_MAX);
        if (dup2(io->in, 0) < 0 || (io->out >= 0 && dup2(io->out, 1) < 0) ||
            (io->err >= 0 && dup2(io->err, 2) < 0))
                _exit(127);
        /* Anything else stays behind. */
        syscall(SYS_close_range, 3U, ~0U, 0U);
        execve(hook->path, hook->args && hook->args[0] ? hook->args : only_path,
               hook->env ? hook->env : env);
        _exit(errno == ENOENT ? 127 : 126);
}

/* Waits with a deadline. */
static int wait_hook(pid_t pid, int pidfd, int64_t deadline, int *ret_end)
{
        siginfo_t info = { 0 };
        int r = 0;

        for (;;) {
                struct pollfd p = { .fd = pidfd, .events = POLLIN };
                int64_t left = deadline < 0 ? -1 : (deadline - zl_now_monotonic()) / 1000000 + 1;
                int n = poll(&p, 1, deadline >= 0 && left < 0 ? 0 : (int)ZL_MIN(left, 1 << 30));

                if (n > 0)
                        break;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n == 0 && left > 0)
                        continue;
                kill(pid, SIGKILL);
                r = -ETIMEDOUT;
                break;
        }
        while (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0)
                if (errno != EINTR)
                        return -errno;
        *ret_end = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
        return r == 0 && *ret_end != 0 ? -ECHILD : r;
}

void zl_hook_end_text(int end, char *text, size_t size)
{
        const char *name = end < 0 ? strsignal(-end) : NULL;

        if (end >= 0)
                snprintf(text, size, "exit status %d", end);
        else
                snprintf(text, size, "signal: %c%s", tolower((unsigned char)name[0]), name + 1);
}

/* The end of what a hook wrote, as one line. */
static void quote_words(int words, off_t size, struct zl_hook_run *run)
{
        off_t from = size > (off_t)sizeof run->said - 1 ? size - (off_t)sizeof run->said + 1 : 0;
        ssize_t n = pread(words, run->said, sizeof run->said - 1, from);

        while (n > 0 && (unsigned char)run->said[n - 1] <= ' ')
                n--;
        run->said[n < 0 ? 0 : n] = 0;
        for (char *p = run->said; *p; p++)
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        *p = ' ';
}

/* What it wrote to standard error goes on to where it would have gone, and into the error when it failed: callers show that and nothing
 * else. */
static void pass_words(int words, bool failed, struct zl_hook_run *run)
{
        off_t size = words < 0 ? 0 : lseek(words, 0, SEEK_END), at = 0;
        char text[4096];
        ssize_t n;

        if (size <= 0)
                return;
        if (failed)
                quote_words(words, size, run);
        /* Not by sendfile(), which refuses descriptors that append. */
        while (at < size && (n = pread(words, text, sizeof text, at)) > 0 &&
               zl_write_full(run->err >= 0 ? run->err : STDERR_FILENO, text, (size_t)n) == 0)
                at += n;
}

static int run_one(const struct zl_oci_hook *hook, struct zl_hook_run *run)
{
        _cleanup_close_ int input = memfd_create("state", MFD_CLOEXEC);
        _cleanup_close_ int words = memfd_create("stderr", MFD_CLOEXEC);
        _cleanup_close_ int pidfd = -EBADF;
        struct zl_clone how = { .cgroup_fd = -1, .pidfd = &pidfd };
        struct hook_io io = { input, run->out, words >= 0 ? words : run->err };
        int64_t deadline = hook->has_timeout ? zl_now_monotonic() + hook->timeout * ZL_NSEC_PER_SEC
                                             : -1;
        pid_t pid;
        int r;

        if (input < 0)
                return -errno;
        r = zl_write_full(input, run->state, strlen(run->state));
        if (r < 0)
                return r;
        if (lseek(input, 0, SEEK_SET) < 0)
                return -errno;
        pid = zl_clone(&how);
        if (pid < 0)
                return pid;
        if (pid == 0)
                hook_main(hook, run->env ? run->env : environ, &io);
        r = wait_hook(pid, pidfd, deadline, &run->end);
        pass_words(words, r < 0, run);
        return r;
}

int zl_hooks_run(const struct zl_oci_hook *hooks, size_t n, struct zl_hook_run *run)
{
        run->said[0] = 0;
        for (size_t i = 0; i < n; i++) {
                int r = run_one(&hooks[i], run);

                if (r < 0) {
                        run->failed = i;
                        return r;
                }
        }
        return 0;
}

int zl_hooks_run_host(struct zl_plan *plan, const struct zl_container *c, struct zl_error *err)
{
        const struct zl_oci_hooks *h = plan->config->hooks;
        _cleanup_free_ char *state = zl_state_document(plan->config, c->id, "creating", c->pid,
                                                       c->bundle);
        const struct zl_oci_hook *hooks = h->prestart;
        struct zl_hook_run *run = &plan->hook_run;
        struct zl_message m = { .stage = ZL_STAGE_HOOK };
        int r;

        if (!state)
                return zl_fail_oom(err);
        run->state = state;
        r = zl_hooks_run(hooks, h->n_prestart, run);
        if (r == 0) {
                hooks = h->create_runtime;
                r = zl_hooks_run(hooks, h->n_create_runtime, run);
        }
        run->state = NULL;
        if (r == 0)
                return 0;
        m.errnum = -r;
        m.value = run->end;
        snprintf(m.subject, sizeof m.subject, "%s hook #%zu: %s",
                 hooks == h->prestart ? "prestart" : "createRuntime", run->failed,
                 hooks[run->failed].path);
        memcpy(m.detail, run->said, sizeof m.detail);
        return zl_report_fail(&m, "", err);
}

int zl_hooks_open(const struct zl_oci_config *config, struct zl_hook_run *run, struct zl_error *err)
{
        const struct zl_str_map *map = &config->annotations;

        for (size_t i = 0; i < map->n; i++) {
                int *fd = zl_streq(map->items[i].key, "run.oci.hooks.stdout")   ? &run->out
                          : zl_streq(map->items[i].key, "run.oci.hooks.stderr") ? &run->err
                                                                                : NULL;
                const char *path = map->items[i].value;

                if (!fd || !path || !*path)
                        continue;
                *fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0700);
                if (*fd < 0)
                        return zl_fail_errno(err, errno, "annotation %s: cannot open %s",
                                             map->items[i].key, path);
        }
        return 0;
}
