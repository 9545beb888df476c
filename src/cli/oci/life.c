/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start, kill, delete, pause, resume: one call of the engine each. Messages keep the words by which callers of runc tell
 * a container that has ended from one that never was.
 */
#include <dirent.h>
#include <limits.h>
#include <regex.h>
#include <signal.h>

#include "base/parse.h"
#include "cli/oci/oci.h"

struct kill_options {
        bool all;
};

static const struct zl_cli_option kill_table[] = {
        { "all", 'a', ZL_CLI_FLAG, offsetof(struct kill_options, all), NULL,
          "signal every process of the container" },
        { 0 },
};

struct delete_options {
        bool force, regex;
};

static const struct zl_cli_option delete_table[] = {
        { "force", 'f', ZL_CLI_FLAG, offsetof(struct delete_options, force), NULL,
          "kill it if it still runs; a container that does not exist is fine" },
        { "regex", 'r', ZL_CLI_FLAG, offsetof(struct delete_options, regex), NULL,
          "ID is an extended regular expression: delete all that match" },
        { 0 },
};

static int cmd_start(struct zl_cli *cli, void *options _unused_, int argc _unused_, char **argv)
{
        _cleanup_(zl_oci_notify_done) struct zl_oci_notify notify = { .fd = -EBADF };
        _cleanup_(zl_container_freep) struct zl_container *c = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_oci *oci = zl_oci_of(cli);

        if (zl_oci_load(oci, argv[0], &c, &err) < 0 ||
            zl_oci_notify_listen(oci, c, &notify, &err) < 0)
                return zl_oci_fail(oci, &err);
        if (zl_container_start(c, &err) < 0) {
                /* A poststart hook failed: the container ends with it. */
                if (err.code == ZL_E_CREATE)
                        zl_container_delete(c, true, NULL);
                return zl_oci_fail(oci, &err);
        }
        zl_oci_notify_forward(&notify, c, true);
        return ZL_EXIT_OK;
}

static int cmd_kill(struct zl_cli *cli, void *options, int argc, char **argv)
{
        const struct kill_options *o = options;
        _cleanup_(zl_container_freep) struct zl_container *c = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_oci *oci = zl_oci_of(cli);
        /* 0 asks only whether it is there. */
        int sig = argc < 2 ? SIGTERM : zl_streq(argv[1], "0") ? 0 : zl_parse_signal(argv[1]);

        if (sig < 0) {
                zl_fail(&err, ZL_E_INVALID, 0, "unknown signal \"%s\"", argv[1]);
                return zl_oci_fail(oci, &err);
        }
        if (zl_oci_load(oci, argv[0], &c, &err) < 0)
                return zl_oci_fail(oci, &err);
        if (zl_container_kill(c, sig, o->all, &err) < 0) {
                if (err.code == ZL_E_STATE || err.code == ZL_E_NOT_FOUND)
                        zl_fail(&err, ZL_E_STATE, 0, "container not running");
                return zl_oci_fail(oci, &err);
        }
        return ZL_EXIT_OK;
}

static int delete_one(struct zl_oci *oci, const char *id, bool force)
{
        _cleanup_(zl_container_freep) struct zl_container *c = NULL;
        struct zl_error err = ZL_ERROR_INIT;

        /* Gone, or gone while we waited for somebody else at work on it: with --force that is what was asked for. */
        if (zl_oci_load(oci, id, &c, &err) < 0 || zl_container_delete(c, force, &err) < 0) {
                if (!force || err.code != ZL_E_NOT_FOUND)
                        return zl_oci_fail(oci, &err);
                zl_error_done(&err);
        }
        return ZL_EXIT_OK;
}

static int delete_matching(struct zl_oci *oci, const char *pattern, bool force)
{
        struct zl_error err = ZL_ERROR_INIT;
        int code = ZL_EXIT_OK, n;
        struct dirent **names;
        regex_t regex;

        if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
                zl_fail(&err, ZL_E_INVALID, 0, "--regex: \"%s\" is no regular expression", pattern);
                return zl_oci_fail(oci, &err);
        }
        n = scandir(oci->root, &names, NULL, alphasort);
        for (int i = 0; i < n; i++) {
                if (names[i]->d_name[0] != '.' &&
                    regexec(&regex, names[i]->d_name, 0, NULL, 0) == 0 &&
                    delete_one(oci, names[i]->d_name, force) != ZL_EXIT_OK)
                        code = ZL_EXIT_FAILED;
                free(names[i]);
        }
        if (n >= 0)
                free(names);
        regfree(&regex);
        return code;
}

static int cmd_delete(struct zl_cli *cli, void *options, int argc _unused_, char **argv)
{
        const struct delete_options *o = options;
        struct zl_oci *oci = zl_oci_of(cli);

        return o->regex ? delete_matching(oci, argv[0], o->force)
                        : delete_one(oci, argv[0], o->force);
}

static int set_paused(struct zl_cli *cli, const char *id, bool pause)
{
        _cleanup_(zl_container_freep) struct zl_container *c = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_oci *oci = zl_oci_of(cli);

        if (zl_oci_load(oci, id, &c, &err) < 0 || zl_container_pause(c, pause, &err) < 0)
                return zl_oci_fail(oci, &err);
        return ZL_EXIT_OK;
}

static int cmd_pause(struct zl_cli *cli, void *options _unused_, int argc _unused_, char **argv)
{
        return set_paused(cli, argv[0], true);
}

static int cmd_resume(struct zl_cli *cli, void *options _unused_, int argc _unused_, char **argv)
{
        return set_paused(cli, argv[0], false);
}

const struct zl_cli_command zl_oci_cmd_start = {
        .name = "start",
        .args = "ID",
        .summary = "Execute the command of a created container",
        .min_args = 1,
        .max_args = 1,
        .run = cmd_start,
};

const struct zl_cli_command zl_oci_cmd_kill = {
        .name = "kill",
        .args = "ID [SIGNAL]",
        .summary = "Send a signal (default TERM) to the first process",
        .options = kill_table,
        .options_size = sizeof(struct kill_options),
        .min_args = 1,
        .max_args = 2,
        .run = cmd_kill,
};

const struct zl_cli_command zl_oci_cmd_delete = {
        .name = "delete",
        .args = "ID",
        .summary = "Remove what is left of a container",
        .options = delete_table,
        .options_size = sizeof(struct delete_options),
        .min_args = 1,
        .max_args = 1,
        .run = cmd_delete,
};

const struct zl_cli_command zl_oci_cmd_pause = {
        .name = "pause",
        .args = "ID",
        .summary = "Freeze all processes",
        .min_args = 1,
        .max_args = 1,
        .run = cmd_pause,
};

const struct zl_cli_command zl_oci_cmd_resume = {
        .name = "resume",
        .args = "ID",
        .summary = "Thaw a paused container",
        .min_args = 1,
        .max_args = 1,
        .run = cmd_resume,
};
