/* SPDX-License-Identifier: Apache-2.0 */
/* Running the program zlayer-wasm for what it says. Apart from the rest, because zlayer-oci links nothing else of it. */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "base/strv.h"
#include "wasm/cache.h"
#include "wasm/options.h"

enum { SAID_MAX = 64 << 10 };

static int spawn_helper(const char *helper, char *const *args, const int out[2], pid_t *ret)
{
        _cleanup_strv_ char **env = NULL;
        const char *max = getenv("ZLAYER_WASM_CACHE_MAX");

        /* Nothing else of ours is its business. */
        if (max && zl_strv_pushf(&env, "ZLAYER_WASM_CACHE_MAX=%s", max) < 0)
                return -ENOMEM;
        return zl_process_ask(helper, args, env, out, ret);
}

/* The program says "NAME: WHAT" and perhaps "NAME: hint: WHAT TO DO". */
static int explain(const char *helper, int status, char *said, struct zl_error *err)
{
        static const char own[] = ZL_WASM_PROGRAM ": ", hint[] = "\n" ZL_WASM_PROGRAM ": hint: ";
        enum zl_code code = ZL_E_INTERNAL;
        const char *what = zl_startswith(said, own), *todo = strstr(said, hint);
        int r;

        if (WIFSIGNALED(status))
                return zl_fail(err, ZL_E_INTERNAL, 0, "%s was ended by signal %d", helper,
                               WTERMSIG(status));
        if (WEXITSTATUS(status) == ZL_WASM_EXIT_INVALID)
                code = ZL_E_INVALID;
        else if (WEXITSTATUS(status) == ZL_WASM_EXIT_UNSUPPORTED)
                code = ZL_E_UNSUPPORTED;
        if (!*said)
                return zl_fail(err, code, 0, "%s ended with status %d", helper,
                               WEXITSTATUS(status));
        if (todo) {
                todo += strlen(hint);
                said[(size_t)(todo - said) + strcspn(todo, "\n")] = 0;
        }
        said[strcspn(said, "\n")] = 0;
        r = zl_fail(err, code, 0, "%s", what ? what : said);
        if (todo)
                zl_error_hint(err, "%s", todo);
        return r;
}

/* Both ends of its output are read to their end, one after the other: what it prints is shorter than a pipe holds. */
static int read_outputs(int printed, int said, char **ret_printed, char **ret_said)
{
        size_t len;
        int r = zl_read_fd(said, SAID_MAX, ret_said, &len);

        return r < 0 ? r : zl_read_fd(printed, SAID_MAX, ret_printed, &len);
}

/* Until it says something or ends. */
static void wait_patiently(int fd, const struct zl_wasm_patience *patience)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };

        /* After 1, 2, 4, 8 ... seconds. */
        for (unsigned seconds = 1, last = 0; patience; last = seconds, seconds *= 2) {
                int r = poll(&p, 1, (int)(seconds - last) * 1000);

                if (r != 0)
                        return;
                patience->tick(patience->data, seconds);
        }
}

int zl_wasm_call_helper(const char *helper, char *const *args,
                        const struct zl_wasm_patience *patience, char **ret_printed,
                        struct zl_error *err)
{
        _cleanup_free_ char *said = NULL, *printed = NULL;
        _cleanup_close_ int said_fd = -EBADF, printed_fd = -EBADF;
        _cleanup_strv_ char **argv = NULL;
        int first[2], second[2], status, r;
        char empty[1] = "";
        pid_t pid;

        if (zl_strv_push(&argv, helper) < 0 || zl_strv_extend(&argv, args) < 0)
                return zl_fail_oom(err);
        if (pipe2(first, O_CLOEXEC) < 0)
                return zl_fail_errno(err, errno, "cannot make a pipe");
        printed_fd = first[0];
        if (pipe2(second, O_CLOEXEC) < 0) {
                close(first[1]);
                return zl_fail_errno(err, errno, "cannot make a pipe");
        }
        said_fd = second[0];
        r = spawn_helper(helper, argv, (int[2]){ first[1], second[1] }, &pid);
        close(first[1]);
        close(second[1]);
        if (r < 0)
                return zl_fail(err, ZL_E_CONFIGURATION, -r, "cannot run %s", helper);
        wait_patiently(said_fd, patience);
        r = read_outputs(printed_fd, said_fd, &printed, &said);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return explain(helper, status, said ? said : empty, err);
        if (ret_printed && r < 0)
                return zl_fail_errno(err, -r, "cannot read what %s prints", helper);
        if (ret_printed)
                *ret_printed = zl_take_ptr(printed);
        return 0;
}
