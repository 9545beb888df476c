/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command and the variables of a container that was made before they were known: they come behind the start, as one
 * message, and take the place of those of the plan.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "base/socket.h"
#include "base/strv.h"
#include "container/internal.h"

/* Behind it the texts, each with its end: the command's, then the variables'. */
struct words_head {
        uint32_t n_args, n_env;
        uint32_t path;     /* which variable is PATH, counted from 1; 0: none */
        uint32_t has_home; /* 0: HOME is what the user's entry says */
};

int zl_words_send(int fd, const struct zl_oci_process *process, struct zl_error *err)
{
        _cleanup_arena_ struct zl_arena *arena = zl_arena_new(0);
        _cleanup_buf_ struct zl_buf buf = ZL_BUF_INIT(ZL_WORDS_MAX);
        struct zl_process_plan p = { .argv = process->args };
        struct words_head head;
        ssize_t n;

        if (!arena || !(p.envp = zl_plan_env(arena, process->env, &p)))
                return zl_fail_oom(err);
        head = (struct words_head){ .n_args = (uint32_t)zl_strv_len(p.argv),
                                    .n_env = (uint32_t)p.n_env,
                                    .has_home = p.has_home };
        for (uint32_t i = 0; i < head.n_env; i++)
                if (p.path_env == p.envp[i] + strlen("PATH="))
                        head.path = i + 1;
        zl_buf_put(&buf, &head, sizeof head);
        ZL_STRV_FOREACH(text, p.argv)
                zl_buf_put(&buf, *text, strlen(*text) + 1);
        ZL_STRV_FOREACH(text, p.envp)
                zl_buf_put(&buf, *text, strlen(*text) + 1);
        if (zl_buf_error(&buf) < 0)
                return zl_fail(err, ZL_E_INVALID, E2BIG,
                               "the command and its variables are longer than %d bytes",
                               ZL_WORDS_MAX);
        /* Only now: who was told to start waits for them. */
        n = zl_sync_tell(fd, ZL_MSG_START, 0);
        if (n == 0)
                n = zl_send_fds(fd, buf.data, buf.len, NULL, 0, MSG_NOSIGNAL);
        return n < 0 ? zl_fail(err, ZL_E_STATE, (int)-n, "the container's process has ended") : 0;
}

/* `n` texts from `*text` on, none beyond `end`. NULL: there are not so many. */
static char **point_at(char **text, const char *end, uint32_t n)
{
        char **list = n > ZL_WORDS_MAX ? NULL : calloc(n + 2, sizeof *list);

        for (uint32_t i = 0; list && i < n; i++) {
                char *zero = memchr(*text, 0, (size_t)(end - *text));

                if (!zero)
                        return NULL;
                list[i] = *text;
                *text = zero + 1;
        }
        return list;
}

int zl_child_words(struct zl_child *c)
{
        static char room[ZL_WORDS_MAX];
        static struct zl_process_plan own;
        struct words_head head;
        char *text = room + sizeof head;
        ssize_t n;

        do
                n = recv(c->report_fd, room, sizeof room, 0);
        while (n < 0 && errno == EINTR);
        if (n < (ssize_t)sizeof head)
                return zl_child_fail(c, ZL_STAGE_SYNC, n < 0 ? errno : EPIPE, "");
        memcpy(&head, room, sizeof head);
        own = *c->process;
        own.argv = point_at(&text, room + n, head.n_args);
        own.envp = own.argv ? point_at(&text, room + n, head.n_env) : NULL;
        if (!own.envp || head.n_args == 0 || head.path > head.n_env)
                return zl_child_fail(c, ZL_STAGE_SYNC, EBADMSG, "");
        own.n_env = head.n_env;
        own.path_env = head.path ? own.envp[head.path - 1] + strlen("PATH=") : NULL;
        own.has_home = head.has_home;
        c->process = &own;
        zl_child_set_home(c);
        return 0;
}
