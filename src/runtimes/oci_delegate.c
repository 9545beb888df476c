/* SPDX-License-Identifier: Apache-2.0 */
/*
 * External OCI runtimes: finding the program and asking what it is. The rest of the "oci" runtime is the native one with another
 * monitor (zlayer-monitor-oci, container/delegate.c): images, bundles, volumes, logs and exit records are the same code.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strv.h"
#include "runtimes/select.h"
#include "runtimes/status.h"

enum { ANSWER_MAX = 1 << 20 };

#define ANSWER_TIME (10 * ZL_NSEC_PER_SEC)

/* ---- finding ----------------------------------------------------------------------------------------- */

int zl_oci_find(const char *name, char **ret, struct zl_error *err)
{
        static const char *const usual[] = { "crun", "runc", "youki" };
        int r;

        *ret = NULL;
        for (size_t i = 0; !name && !*ret && i < ZL_ARRAY_SIZE(usual); i++)
                *ret = zl_find_program(usual[i]);
        if (name && strchr(name, '/'))
                *ret = access(name, X_OK) == 0 ? realpath(name, NULL) : NULL;
        else if (name)
                *ret = zl_find_program(name);
        if (*ret)
                return 0;
        r = name ? zl_fail(err, ZL_E_CONFIGURATION, 0, "there is no OCI runtime \"%s\" to run",
                           name)
                 : zl_fail(err, ZL_E_CONFIGURATION, 0, "none of crun, runc and youki is installed");
        zl_error_hint(err, "install one, or name a path: --runtime oci:/usr/local/bin/runc");
        return r;
}

char *zl_oci_monitor(const char *monitor)
{
        char *path = zl_path_beside(monitor, "zlayer-monitor-oci");

        if (path && access(path, X_OK) == 0)
                return path;
        free(path);
        return NULL;
}

/* ---- asking ------------------------------------------------------------------------------------------ */

static pid_t spawn(const char *program, const char *word, int out)
{
        extern char **environ;
        char *argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t)word, NULL };
        posix_spawn_file_actions_t actions;
        pid_t pid;
        int r;

        if (posix_spawn_file_actions_init(&actions) != 0)
                return -ENOMEM;
        r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
        r = r ? r : posix_spawn_file_actions_adddup2(&actions, out, 1);
        r = r ? r : posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_RDWR, 0);
        r = r ? r : posix_spawn(&pid, program, &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        return r ? -r : pid;
}

/* What `program word` prints, in bounded time. */
static int ask(const char *program, const char *word, char **ret, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(ANSWER_MAX);
        int64_t deadline = zl_now_monotonic() + ANSWER_TIME;
        _cleanup_close_ int from = -EBADF;
        int fds[2], status, r = 0;
        char part[4096];
        pid_t pid;
        ssize_t n = 1;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return zl_fail_errno(err, errno, "cannot make a pipe");
        from = fds[0];
        pid = spawn(program, word, fds[1]);
        zl_close(fds[1]);
        if (pid < 0)
                return zl_fail(err, ZL_E_CONFIGURATION, -pid, "cannot run %s", program);
        while (r == 0 && n > 0) {
                r = zl_sleep_on(from, deadline);
                n = r == 0 ? read(from, part, sizeof(part)) : 0;
                if (n > 0)
                        r = zl_buf_put(&text, part, (size_t)n);
        }
        if (r < 0)
                kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (r < 0)
                return zl_fail(err, ZL_E_TIMEOUT, 0, "%s %s does not end", program, word);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return zl_fail(err, ZL_E_CONFIGURATION, 0, "%s %s fails", program, word);
        *ret = zl_buf_take(&text);
        return *ret ? 0 : zl_fail_oom(err);
}

int zl_oci_probe(const struct zl_runtime_options *options, char **ret_version, struct zl_error *err)
{
        _cleanup_free_ char *program = NULL, *monitor = NULL, *text = NULL;
        int r = zl_native_probe(options, err);

        if (r == 0)
                r = zl_oci_find(options->oci_name, &program, err);
        if (r < 0)
                return r;
        monitor = zl_oci_monitor(options->monitor_path);
        if (!monitor)
                return zl_fail(err, ZL_E_CONFIGURATION, 0,
                               "the program zlayer-monitor-oci is nowhere to be found");
        if (!ret_version)
                return 0;
        r = ask(program, "--version", &text, err);
        if (r < 0)
                return r;
        text[strcspn(text, "\n")] = 0;
        *ret_version = zl_take_ptr(text);
        return 0;
}
