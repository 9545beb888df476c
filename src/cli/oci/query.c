/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state, list, ps, features: what there is. Documents have runc's shapes, because callers parse them.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/parse.h"
#include "base/strv.h"
#include "cli/oci/oci.h"

extern char **environ;

static int cmd_state(struct zl_cli *cli, void *options _unused_, int argc _unused_, char **argv)
{
        _cleanup_(zl_container_freep) struct zl_container *c = NULL;
        _cleanup_json_ json_t *state = NULL;
        _cleanup_free_ char *text = NULL, *pretty = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_oci *oci = zl_oci_of(cli);

        if (zl_oci_load(oci, argv[0], &c, &err) < 0 ||
            zl_container_state_json(c, &text, &err) < 0 ||
            zl_json_parse(text, strlen(text), "state", &state, &err) < 0)
                return zl_oci_fail(oci, &err);
        pretty = zl_json_dump(state, 2);
        puts(pretty ? pretty : text);
        return zl_cli_finish(cli, ZL_EXIT_OK);
}

const struct zl_cli_command zl_oci_cmd_state = {
        .name = "state",
        .args = "ID",
        .summary = "Print the state of a container as JSON",
        .min_args = 1,
        .max_args = 1,
        .run = cmd_state,
};

/* ---- list ---------------------------------------------------------------------------------------- */

struct list_options {
        const char *format;
        bool quiet;
};

static const struct zl_cli_option list_table[] = {
        { "format", 'f', ZL_CLI_STRING, offsetof(struct list_options, format), "FORMAT",
          "table or json (default table)" },
        { "quiet", 'q', ZL_CLI_FLAG, offsetof(struct list_options, quiet), NULL, "ids only" },
        { 0 },
};

/* The states of all containers in order of name. One that vanishes meanwhile, or is half made, is left out. */
static int collect_states(struct zl_oci *oci, json_t *list, struct zl_error *err)
{
        struct dirent **names;
        int n = scandir(oci->root, &names, NULL, alphasort);

        if (n < 0)
                return errno == ENOENT && !oci->root_given
                               ? 0
                               : zl_fail_errno(err, errno, "cannot list %s", oci->root);
        for (int i = 0; i < n; i++) {
                _cleanup_(zl_container_freep) struct zl_container *c = NULL;
                _cleanup_free_ char *text = NULL;
                json_t *state;

                if (names[i]->d_name[0] != '.' &&
                    zl_container_load(oci->root, names[i]->d_name, &c, NULL) == 0 &&
                    zl_container_state_json(c, &text, NULL) == 0 &&
                    zl_json_parse(text, strlen(text), "state", &state, NULL) == 0)
                        json_array_append_new(list, state);
                free(names[i]);
        }
        free(names);
        return 0;
}

static int print_states(const struct zl_cli *cli, const json_t *list)
{
        static const char *const headers[] = { "ID",      "PID",   "STATUS", "BUNDLE",
                                               "CREATED", "OWNER", NULL };
        _cleanup_table_ struct zl_cli_table *table = zl_cli_table_new(headers);
        json_t *state;
        size_t i;

        if (!table)
                return -ENOMEM;
        json_array_foreach(list, i, state)
        {
                zl_cli_table_cell(table, zl_json_str(state, "id", NULL));
                zl_cli_table_cellf(table, "%" PRId64, zl_json_int(state, "pid", 0));
                zl_cli_table_cell(table, zl_json_str(state, "status", NULL));
                zl_cli_table_cell(table, zl_json_str(state, "bundle", NULL));
                zl_cli_table_cell(table, zl_json_str(state, "created", NULL));
                zl_cli_table_cell(table, zl_json_str(state, "owner", NULL));
        }
        return zl_cli_table_print(table, cli, stdout);
}

static int cmd_list(struct zl_cli *cli, void *options, int argc _unused_, char **argv _unused_)
{
        const struct list_options *o = options;
        bool as_json = cli->json || (o->format && zl_streq(o->format, "json"));
        _cleanup_json_ json_t *list = json_array();
        _cleanup_free_ char *text = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_oci *oci = zl_oci_of(cli);
        json_t *state;
        size_t i;

        if (o->format && !zl_streq(o->format, "json") && !zl_streq(o->format, "table")) {
                zl_fail(&err, ZL_E_INVALID, 0, "--format: \"%s\" is neither table nor json",
                        o->format);
                return zl_oci_fail(oci, &err);
        }
        if (!list || collect_states(oci, list, &err) < 0)
                return zl_oci_fail(oci, &err);
        if (o->quiet) {
                json_array_foreach(list, i, state) puts(zl_json_str(state, "id", ""));
        } else if (as_json) {
                text = zl_json_dump(list, 0);
                puts(text ? text : "null");
        } else if (print_states(cli, list) < 0) {
                zl_fail_oom(&err);
                return zl_oci_fail(oci, &err);
        }
        return zl_cli_finish(cli, ZL_EXIT_OK);
}

const struct zl_cli_command zl_oci_cmd_list = {
        .name = "list",
        .args = "",
        .summary = "List the containers of this state directory",
        .options = list_table,
        .options_size = sizeof(struct list_options),
        .run = cmd_list,
};

/* ---- ps ------------------------------------------------------------------------------------------ */

struct ps_options {
        const char *format;
};

static const struct zl_cli_option ps_table[] = {
        { "format", 'f', ZL_CLI_STRING, offsetof(struct ps_options, format), "FORMAT",
          "table or json (default table)" },
        { 0 },
};

static bool is_member(const char *line, int column, const pid_t *pids, size_t n)
{
        char word[32];
        uint32_t pid;

        for (int i = 0; i <= column; i++) {
                size_t len;

                line += strspn(line, " \t");
                len = strcspn(line, " \t\n");
                if (len == 0 || len >= sizeof(word))
                        return false;
                memcpy(word, line, len);
                word[len] = 0;
                line += len;
        }
        if (zl_parse_u32(word, 10, &pid) < 0)
                return false;
        for (size_t i = 0; i < n; i++)
                if ((uint32_t)pids[i] == pid)
                        return true;
        return false;
}

/* Which column of the header of ps(1) is "PID"? */
static int pid_column(const char *header)
{
        for (int i = 0;; i++) {
                size_t len;

                header += strspn(header, " \t");
                len = strcspn(header, " \t\n");
                if (len == 0)
                        return -1;
                if (len == 3 && memcmp(header, "PID", 3) == 0)
                        return i;
                header += len;
        }
}

/* Starts ps(1) with its output on a stream of ours. */
static int start_ps(char **args, pid_t *ret_pid, FILE **ret, struct zl_error *err)
{
        posix_spawn_file_actions_t actions;
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return zl_fail_errno(err, errno, "cannot make a pipe");
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
        r = posix_spawnp(ret_pid, args[0], &actions, NULL, args, environ);
        posix_spawn_file_actions_destroy(&actions);
        zl_close(fds[1]);
        *ret = r == 0 ? fdopen(fds[0], "r") : NULL;
        if (*ret)
                return 0;
        zl_close(fds[0]);
        return zl_fail_errno(err, r ? r : ENOMEM, "cannot run ps");
}

static int print_table(char *const *ps_args, const pid_t *pids, size_t n, struct zl_error *err)
{
        _cleanup_strv_ char **args = NULL;
        _cleanup_free_ char *line = NULL;
        size_t size = 0;
        int column = -1, status, r;
        pid_t pid;
        FILE *f;

        if (zl_strv_push(&args, "ps") < 0 ||
            (*ps_args ? zl_strv_extend(&args, ps_args) : zl_strv_push(&args, "-ef")) < 0)
                return zl_fail_oom(err);
        r = start_ps(args, &pid, &f, err);
        if (r < 0)
                return r;
        if (getline(&line, &size, f) > 0) {
                column = pid_column(line);
                if (column >= 0)
                        fputs(line, stdout);
        }
        while (column >= 0 && getline(&line, &size, f) > 0)
                if (is_member(line, column, pids, n))
                        fputs(line, stdout);
        fclose(f);
        waitpid(pid, &status, 0);
        if (column < 0)
                return zl_fail(err, ZL_E_INVALID, 0, "the output of ps has no column PID");
        return 0;
}

static void print_pids(const pid_t *pids, size_t n)
{
        putchar('[');
        for (size_t i = 0; i < n; i++)
                printf("%s%d", i ? "," : "", pids[i]);
        puts("]");
}

static int cmd_ps(struct zl_cli *cli, void *options, int argc _unused_, char **argv)
{
        const struct ps_options *o = options;
        _cleanup_(zl_container_freep) struct zl_container *c = NULL;
        _cleanup_free_ pid_t *pids = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_oci *oci = zl_oci_of(cli);
        size_t n = 0;

        if (zl_oci_load(oci, argv[0], &c, &err) < 0 || zl_container_pids(c, &pids, &n, &err) < 0)
                return zl_oci_fail(oci, &err);
        if (cli->json || (o->format && zl_streq(o->format, "json")))
                print_pids(pids, n);
        else if (print_table(argv + 1, pids, n, &err) < 0)
                return zl_oci_fail(oci, &err);
        return zl_cli_finish(cli, ZL_EXIT_OK);
}

const struct zl_cli_command zl_oci_cmd_ps = {
        .name = "ps",
        .args = "ID [PS-OPTION…]",
        .summary = "Show the processes of a container",
        .options = ps_table,
        .options_size = sizeof(struct ps_options),
        .min_args = 1,
        .max_args = UINT_MAX,
        .stop_at_first = true,
        .run = cmd_ps,
};

/* ---- features ------------------------------------------------------------------------------------ */

static int cmd_features(struct zl_cli *cli, void *options _unused_, int argc _unused_,
                        char **argv _unused_)
{
        _cleanup_free_ char *text = NULL;
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_container_features_json(&text, &err) < 0)
                return zl_oci_fail(zl_oci_of(cli), &err);
        puts(text);
        return zl_cli_finish(cli, ZL_EXIT_OK);
}

const struct zl_cli_command zl_oci_cmd_features = {
        .name = "features",
        .args = "",
        .summary = "Print what this runtime can do as JSON",
        .run = cmd_features,
};
