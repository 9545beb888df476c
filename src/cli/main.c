/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One invocation from argv to exit code: global options and their variables, the way down the tree of
 * subcommands, parsing by table, the call. Commands never see the global options; they get the context.
 *
 * What may go wrong here is wrong usage only: it ends with exit code 2 and says where help is to be found.
 */
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/log.h"
#include "base/path.h"
#include "cli/cli.h"
#include "cli/config.h"
#include "cli/world.h"
#include "schema/problem.h"

/* The global options by table, so that help, parsing and variables cannot disagree. */
enum global_id { G_ROOT_DIR, G_RUNTIME_DIR, G_SOCKET, G_RUNTIME, G_LOG_LEVEL, G_JSON, G_MAX_ };

static const struct {
        const char *name, *metavar, *variable, *help;
} globals[G_MAX_] = {
        [G_ROOT_DIR] = { "root-dir", "DIR", "ZLAYER_ROOT_DIR",
                         "what must last: images, containers, volumes (default /var/lib/zlayer)" },
        [G_RUNTIME_DIR] = { "runtime-dir", "DIR", "ZLAYER_RUNTIME_DIR",
                            "sockets and what a reboot may wipe (default /var/run/zlayer)" },
        [G_SOCKET] = { "socket", "PATH", "ZLAYER_SOCKET",
                       "socket of the daemon (default RUNTIME-DIR/agent.sock)" },
        [G_RUNTIME] = { "runtime", "KIND", "ZLAYER_RUNTIME",
                        "auto, native, docker, oci:NAME, … (see info; default auto)" },
        [G_LOG_LEVEL] = { "log-level", "LEVEL", "ZLAYER_LOG_LEVEL",
                          "error, warning, info or debug (default warning)" },
        [G_JSON] = { "json", NULL, "ZLAYER_JSON", "machine-readable output" },
};

static void print_commands(FILE *f, const struct zl_cli_command *const *commands)
{
        fputs("\nCommands:\n", f);
        for (; *commands; commands++)
                fprintf(f, "  %-10s %s\n", (*commands)->name, (*commands)->summary);
}

static void print_main_help(const struct zl_cli *cli, FILE *f)
{
        fprintf(f,
                "Usage: %s [OPTIONS] COMMAND …\n\n"
                "Takes a deployment file and keeps it true: pulls images, runs services and jobs in\n"
                "containers, shows what goes on, and hands back honest logs and exit codes.\n",
                cli->program);
        print_commands(f, zl_cli_commands);
        fputs("\nOptions (before the command; each has a variable, and a line of the same name in\n"
              "/etc/zlayer/agent.yaml or $ZLAYER_CONFIG):\n",
              f);
        for (size_t i = 0; i < G_MAX_; i++) {
                char left[64];

                snprintf(left, sizeof(left), "--%s%s%s", globals[i].name,
                         globals[i].metavar ? " " : "", globals[i].metavar ?: "");
                fprintf(f, "  %-20s %-19s %s\n", left, globals[i].variable, globals[i].help);
        }
        fputs("  -h, --help                               this text, or with a command its own\n"
              "      --version                            version of the program\n\n"
              "Exit codes: 0 done, 1 failed, 2 wrong usage; of run, exec, wait also 125 agent failed,\n"
              "126 not runnable, 127 not found, otherwise the workload's own (128+n after signal n).\n",
              f);
}

static int absolute_path(const char *path, char **ret)
{
        _cleanup_free_ char *cwd = NULL;

        if (path[0] == '/') {
                *ret = strdup(path);
                return *ret ? 0 : -ENOMEM;
        }
        cwd = getcwd(NULL, 0);
        if (!cwd)
                return -errno;
        *ret = zl_path_join(cwd, path);
        return *ret ? 0 : -ENOMEM;
}

/* Somebody who is not root has directories of his own, unless the machine's daemon lets him in. */
static bool is_on_his_own(void)
{
        return geteuid() != 0 && access("/var/run/zlayer/agent.sock", R_OK | W_OK) < 0;
}

/* -ENOENT: nothing says where. */
static int default_dir(const char *variable, const char *below_home, const char *for_root,
                       char **ret)
{
        const char *dir = getenv(variable), *home = getenv("HOME");
        int r;

        if (!is_on_his_own())
                return absolute_path(for_root, ret);
        if (dir && *dir == '/')
                r = asprintf(ret, "%s/zlayer", dir);
        else if (below_home && home && *home == '/')
                r = asprintf(ret, "%s/%s/zlayer", home, below_home);
        else
                return -ENOENT;
        return r < 0 ? -ENOMEM : 0;
}

/* Where the machine makes no directory for the session, the one that it would make is told in the error of who needs it. */
static int default_runtime_dir(char **ret)
{
        int r = default_dir("XDG_RUNTIME_DIR", NULL, "/var/run/zlayer", ret);

        if (r != -ENOENT)
                return r;
        return asprintf(ret, "/run/user/%u/zlayer", geteuid()) < 0 ? -ENOMEM : 0;
}

static int set_paths(struct zl_cli *cli, const char *const *values, struct zl_error *err)
{
        int r;

        r = values[G_ROOT_DIR] ? absolute_path(values[G_ROOT_DIR], &cli->root_dir)
                               : default_dir("XDG_DATA_HOME", ".local/share", "/var/lib/zlayer",
                                             &cli->root_dir);
        if (r >= 0)
                r = values[G_RUNTIME_DIR] ? absolute_path(values[G_RUNTIME_DIR], &cli->runtime_dir)
                                          : default_runtime_dir(&cli->runtime_dir);
        if (r >= 0 && values[G_SOCKET])
                r = absolute_path(values[G_SOCKET], &cli->socket);
        else if (r >= 0)
                r = (cli->socket = zl_path_join(cli->runtime_dir, "agent.sock")) ? 0 : -ENOMEM;
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot make a path absolute");
        return 0;
}

static int apply_globals(struct zl_cli *cli, const char *const *values, struct zl_error *err)
{
        enum zl_log_level level = ZL_LOG_WARNING;
        const char *v;
        int r;

        r = set_paths(cli, values, err);
        if (r < 0)
                return r;
        cli->runtime = values[G_RUNTIME] ?: "auto";
        if (zl_runtime_kind_parse(cli->runtime, &cli->runtime_kind, &cli->oci_name) < 0) {
                r = zl_fail(err, ZL_E_INVALID, 0, "unknown runtime \"%s\"", cli->runtime);
                zl_error_hint(err, "%s info lists the runtimes of this build", cli->program);
                return r;
        }
        v = values[G_LOG_LEVEL];
        if (v && zl_log_level_parse(v, &level) < 0) {
                r = zl_fail(err, ZL_E_INVALID, 0, "unknown log level \"%s\"", v);
                zl_error_hint(err, "allowed: error, warning, info, debug");
                return r;
        }
        zl_log_set(level, zl_log_sink_stderr, (void *)(uintptr_t)cli->program);
        cli->json = values[G_JSON] && !zl_streq(values[G_JSON], "0");
        return 0;
}

/* Reads the global options up to the first argument. Returns its index, or -1 with the exit code set. */
static int parse_globals(struct zl_cli *cli, int argc, char **argv, int *ret_code)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct option table[G_MAX_ + 3] = { 0 };
        const char *values[G_MAX_];
        int c;

        if (zl_cli_config_load(&err) < 0) {
                zl_cli_fail(cli, &err);
                *ret_code = ZL_EXIT_USAGE;
                return -1;
        }
        for (int i = 0; i < G_MAX_; i++) {
                const char *v = getenv(globals[i].variable);

                values[i] = v && *v ? v : NULL;
                table[i] = (struct option){ globals[i].name, globals[i].metavar ? 1 : 0, NULL,
                                            256 + i };
        }
        table[G_MAX_] = (struct option){ "help", 0, NULL, 'h' };
        table[G_MAX_ + 1] = (struct option){ "version", 0, NULL, 'V' };
        opterr = 0;
        optind = 0;
        while ((c = getopt_long(argc, argv, "+:h", table, NULL)) != -1) {
                if (c == 'h') {
                        print_main_help(cli, stdout);
                        *ret_code = zl_cli_finish(cli, ZL_EXIT_OK);
                        return -1;
                }
                if (c == 'V') {
                        *ret_code = zl_cmd_version.run(cli, NULL, 0, NULL);
                        return -1;
                }
                if (c == ':' || c == '?') {
                        *ret_code = zl_cli_usage(cli,
                                                 c == ':' ? "option \"%s\" needs a value"
                                                          : "unknown option \"%s\"",
                                                 argv[optind - 1]);
                        return -1;
                }
                values[c - 256] = optarg ?: "1";
        }
        if (apply_globals(cli, values, &err) < 0) {
                zl_cli_fail(cli, &err);
                *ret_code = ZL_EXIT_USAGE;
                return -1;
        }
        return optind;
}

/* Only our own runtimes need to be root. */
static bool wants_world(const struct zl_cli *cli, const struct zl_cli_command *cmd)
{
        static const struct zl_cli_command *const without[] = { &zl_cmd_validate, &zl_cmd_schema,
                                                                &zl_cmd_version };
        enum zl_runtime_kind kind = cli->runtime_kind;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(without); i++)
                if (cmd == without[i])
                        return false;
        /* Whoever names the socket of somebody else's daemon and may use it leaves all to that one. */
        if (!zl_startswith(cli->socket, cli->runtime_dir) && access(cli->socket, R_OK | W_OK) == 0)
                return false;
        return is_on_his_own() &&
               (kind == ZL_RUNTIME_AUTO || kind == ZL_RUNTIME_NATIVE || kind == ZL_RUNTIME_WASM ||
                kind == ZL_RUNTIME_OCI || kind == ZL_RUNTIME_COMPOSITE);
}

/* Goes on as root of a user namespace. Returns only if that is not possible. */
static int enter_world(const struct zl_cli *cli, struct zl_error *err)
{
        if (setenv("ZLAYER_ROOT_DIR", cli->root_dir, 1) < 0 ||
            setenv("ZLAYER_RUNTIME_DIR", cli->runtime_dir, 1) < 0)
                return zl_fail_oom(err);
        return zl_world_enter(cli->runtime_dir, cli->argv, err);
}

static int run_command(struct zl_cli *cli, const struct zl_cli_command *cmd, int argc, char **argv)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_free_ void *options = calloc(1, ZL_MAX(cmd->options_size, (size_t)1));
        bool json = false;
        unsigned n;
        int first, code;

        if (!options) {
                zl_fail_oom(&err);
                return zl_cli_fail(cli, &err);
        }
        first = zl_cli_parse(cmd, argc, argv, options, &json, &err);
        cli->json |= json;
        if (first == -EAGAIN) {
                zl_cli_print_help(cli, cmd, stdout);
                code = zl_cli_finish(cli, ZL_EXIT_OK);
        } else if (first < 0) {
                code = zl_cli_usage(cli, "%s", zl_error_message(&err));
        } else {
                n = (unsigned)(argc - first);
                if (n < cmd->min_args)
                        code = zl_cli_usage(cli, "missing argument: %s %s", cli->command,
                                            cmd->args);
                else if (n > cmd->max_args)
                        code = zl_cli_usage(cli, "unexpected argument \"%s\"",
                                            argv[first + (int)cmd->max_args]);
                else if (wants_world(cli, cmd) && enter_world(cli, &err) < 0 && cmd != &zl_cmd_info)
                        code = zl_cli_fail(cli, &err);
                else
                        code = zl_cli_finish(cli, cmd->run(cli, options, (int)n, argv + first));
        }
        zl_cli_options_done(cmd, options);
        return code;
}

static const struct zl_cli_command *find_command(const struct zl_cli_command *const *commands,
                                                 const char *name)
{
        for (; *commands; commands++)
                if (zl_streq((*commands)->name, name))
                        return *commands;
        return NULL;
}

static int append_command(struct zl_cli *cli, const char *name)
{
        char *joined = NULL;

        if (!cli->command)
                return (cli->command = strdup(name)) ? 0 : -ENOMEM;
        if (asprintf(&joined, "%s %s", cli->command, name) < 0)
                return -ENOMEM;
        free(cli->command);
        cli->command = joined;
        return 0;
}

static int unknown_command(struct zl_cli *cli, const struct zl_cli_command *const *commands,
                           const char *name)
{
        const char *names[64], *near;
        size_t n = 0;

        while (commands[n] && n < ZL_ARRAY_SIZE(names)) {
                names[n] = commands[n]->name;
                n++;
        }
        near = zl_nearest(name, names, n);
        return zl_cli_usage(cli, "unknown %scommand \"%s\"%s%s%s", cli->command ? "sub" : "", name,
                            near ? ": did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* Walks down the tree of commands. argv[0] is the first candidate. */
static int dispatch(struct zl_cli *cli, int argc, char **argv)
{
        const struct zl_cli_command *const *commands = zl_cli_commands;
        const struct zl_cli_command *cmd = NULL;

        for (;;) {
                const struct zl_cli_command *next;

                if (argc < 1)
                        return zl_cli_usage(cli, "%s",
                                            cmd ? "which one? A subcommand is missing"
                                                : "no command given");
                if (cmd && (zl_streq(argv[0], "--help") || zl_streq(argv[0], "-h"))) {
                        zl_cli_print_help(cli, cmd, stdout);
                        return zl_cli_finish(cli, ZL_EXIT_OK);
                }
                next = find_command(commands, argv[0]);
                if (!next)
                        return unknown_command(cli, commands, argv[0]);
                cmd = next;
                if (append_command(cli, cmd->name) < 0)
                        return ZL_EXIT_FAILED;
                if (!cmd->sub_commands)
                        return run_command(cli, cmd, argc, argv);
                commands = cmd->sub_commands;
                argc--;
                argv++;
        }
}

static bool wants_color(int fd)
{
        const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

        return isatty(fd) && !(no && *no) && !(term && zl_streq(term, "dumb"));
}

int zl_cli_main(int argc, char **argv)
{
        struct zl_cli cli = {
                .program = "zlayer-agent",
                .argv = argv,
                .color_out = wants_color(STDOUT_FILENO),
                .color_err = wants_color(STDERR_FILENO),
        };
        int first, code = ZL_EXIT_OK;

        /* A closed pipe is a failed write with a message, not a silent death. */
        signal(SIGPIPE, SIG_IGN);
        first = parse_globals(&cli, argc, argv, &code);
        if (first >= 0 && first < argc && zl_streq(argv[first], "help")) {
                /* `help CMD` is `CMD --help`, `help` alone is `--help` */
                static char help[] = "--help";
                char *again[] = { first + 1 < argc ? argv[first + 1] : NULL, help, NULL };

                if (again[0])
                        code = dispatch(&cli, 2, again);
                else
                        print_main_help(&cli, stdout);
        } else if (first >= 0) {
                code = dispatch(&cli, argc - first, argv + first);
        }
        zl_runtime_free(cli.rt);
        free(cli.command);
        free(cli.root_dir);
        free(cli.runtime_dir);
        free(cli.socket);
        return code;
}
