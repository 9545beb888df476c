/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One invocation of zlayer-oci: global options as runc has them, the table of commands, and errors in the forms
 * that callers of runc parse: a line on standard error and, with --log, a record in that file (containerd reads the
 * last JSON record to tell its user why a container did not start).
 */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/path.h"
#include "base/process.h"
#include "cli/oci/oci.h"
#include "linux/self.h"
#include "schema/node.h"

static const struct zl_cli_command *const commands[] = {
        &zl_oci_cmd_create,  &zl_oci_cmd_start,  &zl_oci_cmd_run,      &zl_oci_cmd_exec,
        &zl_oci_cmd_kill,    &zl_oci_cmd_delete, &zl_oci_cmd_state,    &zl_oci_cmd_list,
        &zl_oci_cmd_ps,      &zl_oci_cmd_pause,  &zl_oci_cmd_resume,   &zl_oci_cmd_update,
        &zl_oci_cmd_events,  &zl_oci_cmd_spec,   &zl_oci_cmd_features, &zl_oci_cmd_checkpoint,
        &zl_oci_cmd_restore,
};

enum global_id {
        G_ROOT = 1000,
        G_LOG,
        G_LOG_FORMAT,
        G_SYSTEMD,
        G_ROOTLESS,
        G_DEBUG,
        G_CRIU,
        G_CGROUP_MANAGER
};

static const struct option global_options[] = {
        { "root", required_argument, NULL, G_ROOT },
        { "log", required_argument, NULL, G_LOG },
        { "log-format", required_argument, NULL, G_LOG_FORMAT },
        { "systemd-cgroup", no_argument, NULL, G_SYSTEMD },
        { "rootless", required_argument, NULL, G_ROOTLESS },
        { "debug", no_argument, NULL, G_DEBUG },
        { "criu", required_argument, NULL, G_CRIU },
        { "cgroup-manager", required_argument, NULL, G_CGROUP_MANAGER },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },
        { NULL, 0, NULL, 0 },
};

static void print_help(FILE *f)
{
        fputs("NAME:\n   zlayer-oci - Open Container Initiative runtime\n\n"
              "Usage: zlayer-oci [OPTIONS] COMMAND …\n\n"
              "Runs containers from OCI bundles, with the command line of runc.\n\nCommands:\n",
              f);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(commands); i++)
                fprintf(f, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
        fputs("\nOptions (before the command):\n"
              "  --root DIR           directory of container states (default /run/zlayer-oci;\n"
              "                       for a user zlayer-oci below $XDG_RUNTIME_DIR)\n"
              "  --log FILE           append errors to this file, too\n"
              "  --log-format FORMAT  text or json (default text)\n"
              "  --systemd-cgroup     let systemd make the control groups\n"
              "  --cgroup-manager M   who makes the control groups: cgroupfs, systemd, or disabled\n"
              "  --criu PROGRAM       what checkpoint and restore call (default criu, from $PATH)\n"
              "  --rootless BOOL      do without cgroups that we may not make: true, false, or auto,\n"
              "                       which is true for all but root of the machine (default auto)\n"
              "  --debug              say more\n"
              "  -v, --version        version of the runtime and of the specification\n"
              "  -h, --help           this text, or with a command its own\n",
              f);
}

static int open_log(const struct zl_oci *oci)
{
        return open(oci->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
}

/* A log that cannot be written is told at once, not when there is something to say. */
static int check_log(const struct zl_oci *oci)
{
        int fd = oci->log_path ? open_log(oci) : -EBADF;

        if (oci->log_path && fd < 0) {
                fprintf(stderr, "zlayer-oci: cannot open the log %s: %s\n", oci->log_path,
                        strerror(errno));
                return ZL_EXIT_FAILED;
        }
        zl_close(fd);
        return -1;
}

static void append_log(const struct zl_oci *oci, const char *level, const char *message)
{
        _cleanup_json_ json_t *record = NULL;
        _cleanup_free_ char *line = NULL;
        _cleanup_close_ int fd = -EBADF;
        char now[ZL_RFC3339_SIZE];

        if (!oci->log_path)
                return;
        fd = open_log(oci);
        if (fd < 0)
                return;
        zl_format_rfc3339(zl_now_realtime(), now);
        if (!oci->log_json) {
                _cleanup_buf_ struct zl_buf quoted = ZL_BUF_INIT(1 << 20);

                /* What the message quotes may be anybody's text: it must not look like a line of its own. */
                zl_json_quote(&quoted, message, strlen(message));
                if (!zl_buf_error(&quoted))
                        dprintf(fd, "time=\"%s\" level=%s msg=%s\n", now, level, quoted.data);
                return;
        }
        record = json_pack("{s:s, s:o, s:s}", "level", level, "msg",
                           zl_json_string_lossy(message, strlen(message)), "time", now);
        line = record ? zl_json_dump(record, 0) : NULL;
        if (line)
                dprintf(fd, "%s\n", line);
}

/* Warnings and debug messages of the library. */
static void log_sink(enum zl_log_level level, const char *message, void *data)
{
        const struct zl_oci *oci = data;

        append_log(oci, zl_log_level_name(level), message);
        /* Callers of runc look for its form of debug messages. */
        if (level == ZL_LOG_DEBUG) {
                if (!oci->log_path)
                        fprintf(stderr, "level=debug msg=\"%s\"\n", message);
                return;
        }
        fprintf(stderr, "zlayer-oci: %s: %s\n", zl_log_level_name(level), message);
}

/* Callers look for Go's words of an errno ("no such file or directory", "permission denied"), which are those of libc with a
 * small first letter: Docker makes its exit codes 126 and 127 of them. */
static void say_errno_as_go(struct zl_error *err)
{
        const char *text = err->sys_errno ? strerror(err->sys_errno) : "";
        size_t n = strlen(text), len = strlen(zl_error_message(err));
        char *end;

        if (n == 0 || len < n)
                return;
        end = err->message + len - n;
        /* Not abbreviations such as "RPC struct is bad". */
        if (zl_streq(end, text) && end[0] >= 'A' && end[0] <= 'Z' && end[1] >= 'a')
                end[0] = (char)(end[0] - 'A' + 'a');
}

int zl_oci_fail(struct zl_oci *oci, struct zl_error *err)
{
        say_errno_as_go(err);
        append_log(oci, "error", zl_error_message(err));
        /* By the word callers find out that something went wrong, as in what runc writes. */
        fprintf(stderr, "zlayer-oci: error: %s\n", zl_error_message(err));
        if (err->hint)
                fprintf(stderr, "  hint: %s\n", err->hint);
        zl_error_done(err);
        return ZL_EXIT_FAILED;
}

int zl_oci_load(struct zl_oci *oci, const char *id, struct zl_container **ret, struct zl_error *err)
{
        int r = zl_container_load(oci->root, id, ret, err);

        if (r < 0 && zl_error_is_set(err) && err->code == ZL_E_NOT_FOUND)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "container \"%s\" does not exist", id);
        return r;
}

int zl_oci_write_pid(const char *path, pid_t pid, struct zl_error *err)
{
        char text[16];
        int n = snprintf(text, sizeof(text), "%d", pid);
        int r = zl_write_file_at(AT_FDCWD, path, text, (size_t)n, 0644, 0);

        return r < 0 ? zl_fail_errno(err, -r, "cannot write the pid file %s", path) : 0;
}

static int usage(const char *fmt, const char *what)
{
        fputs("zlayer-oci: ", stderr);
        fprintf(stderr, fmt, what);
        fputs("\n  zlayer-oci --help tells more\n", stderr);
        return ZL_EXIT_USAGE;
}

/* A directory of this user, or of root of a user namespace who was that user a moment ago. As runc, root there is told by $USER from one
 * who is root for longer. */
static bool has_own_runtime_dir(void)
{
        const char *name = getenv("USER");

        return geteuid() != 0 ||
               (!zl_process_is_in_first_userns() && (!name || !zl_streq(name, "root")));
}

static int default_root(char **ret)
{
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        char usual[40];
        struct stat st;

        snprintf(usual, sizeof(usual), "/run/user/%u", geteuid());
        if (!has_own_runtime_dir())
                runtime = NULL;
        else if ((!runtime || *runtime != '/') && geteuid() != 0 && stat(usual, &st) == 0 &&
                 st.st_uid == geteuid())
                runtime = usual;
        if (runtime && *runtime == '/')
                *ret = zl_path_join(runtime, "zlayer-oci");
        else
                *ret = strdup("/run/zlayer-oci");
        return *ret ? 0 : -ENOMEM;
}

/* The default one of a user may be below a directory that others can write: it is his alone, or not used. Sticky, so that nobody who
 * tidies up there takes it for forgotten (XDG Base Directory Specification). */
static int prepare_own_root(const struct zl_oci *oci, struct zl_error *err)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (oci->root_given || geteuid() == 0)
                return 0;
        if (zl_streq(oci->root, "/run/zlayer-oci")) {
                zl_fail(err, ZL_E_CONFIGURATION, 0,
                        "there is no directory for the states of containers: XDG_RUNTIME_DIR is not "
                        "set, and /run/user/%u is not there",
                        geteuid());
                zl_error_hint(err, "--root DIR names one");
                return -EINVAL;
        }
        if (mkdir(oci->root, 0700) < 0 && errno != EEXIST)
                return zl_fail_errno(err, errno, "cannot make the directory of states %s",
                                     oci->root);
        fd = open(oci->root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return zl_fail_errno(err, errno, "cannot open the directory of states %s",
                                     oci->root);
        if (st.st_uid != geteuid() || st.st_mode & 022)
                return zl_fail(err, ZL_E_PERMISSION, 0,
                               "the directory of states %s belongs to somebody else, or others may "
                               "write it",
                               oci->root);
        return fchmod(fd, S_ISVTX | 0700) < 0
                       ? zl_fail_errno(err, errno, "cannot protect %s", oci->root)
                       : 0;
}

bool zl_oci_is_rootless(const struct zl_oci *oci)
{
        if (zl_streq(oci->rootless, "true") || zl_streq(oci->rootless, "false"))
                return zl_streq(oci->rootless, "true");
        return geteuid() != 0 || !zl_process_is_in_first_userns();
}

static int set_rootless(struct zl_oci *oci, const char *text)
{
        bool value;

        oci->rootless = "auto";
        if (*text == 0 || zl_streq(text, "auto"))
                return -1;
        if (zl_parse_bool(text, &value) < 0)
                return usage("--rootless: \"%s\" is not auto, true or false", text);
        oci->rootless = value ? "true" : "false";
        return -1;
}

static int set_root(struct zl_oci *oci, const char *path)
{
        _cleanup_free_ char *cwd = NULL, *joined = NULL;

        if (path[0] != '/') {
                cwd = getcwd(NULL, 0);
                joined = cwd ? zl_path_join(cwd, path) : NULL;
                path = joined;
        }
        free(oci->root);
        oci->root_given = true;
        oci->root = path ? zl_path_clean_absolute(path) : NULL;
        return oci->root ? 0 : -ENOMEM;
}

static int print_version(void)
{
        printf("zlayer-oci version " ZL_VERSION "\nspec: 1.3.0\n");
        return ZL_EXIT_OK;
}

/* Returns -1 to go on, or the exit code. */
static int take_global(struct zl_oci *oci, int c, char **argv)
{
        switch (c) {
        case G_ROOT:
                return set_root(oci, optarg) < 0 ? usage("%s", "out of memory") : -1;
        case G_LOG:
                oci->log_path = optarg;
                return -1;
        case G_LOG_FORMAT:
                if (!zl_streq(optarg, "json") && !zl_streq(optarg, "text"))
                        return usage("--log-format: \"%s\" is neither text nor json", optarg);
                oci->log_json = zl_streq(optarg, "json");
                return -1;
        case G_SYSTEMD:
                oci->systemd_cgroup = true;
                return -1;
        case G_CGROUP_MANAGER:
                if (!zl_streq(optarg, "cgroupfs") && !zl_streq(optarg, "systemd") &&
                    !zl_streq(optarg, "disabled"))
                        return usage(
                                "--cgroup-manager: \"%s\" is not cgroupfs, systemd or disabled",
                                optarg);
                oci->systemd_cgroup = zl_streq(optarg, "systemd");
                oci->no_cgroup = zl_streq(optarg, "disabled");
                return -1;
        case G_ROOTLESS:
                return set_rootless(oci, optarg);
        case G_DEBUG:
                oci->debug = true;
                return -1;
        case G_CRIU:
                oci->criu = optarg;
                return -1;
        case 'h':
                print_help(stdout);
                return zl_cli_finish(&oci->cli, ZL_EXIT_OK);
        case 'v':
                print_version();
                return zl_cli_finish(&oci->cli, ZL_EXIT_OK);
        default:
                return usage("unknown option or missing value: \"%s\"", argv[optind - 1]);
        }
}

static const struct zl_cli_command *find(const char *name)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(commands); i++)
                if (zl_streq(commands[i]->name, name))
                        return commands[i];
        return NULL;
}

/* A command whose options end at its first argument is parsed by the "+" mode of getopt_long, which needs the
 * command's name as argv[0]. */
static int run_command(struct zl_oci *oci, const struct zl_cli_command *cmd, int argc, char **argv)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _Alignas(16) char options[1024] = { 0 };
        int first, n, code;

        oci->cli.command = argv[0];
        zl_debug("%s: state in %s", cmd->name, oci->root);
        if (cmd->options_size > sizeof(options))
                return ZL_EXIT_FAILED;
        first = zl_cli_parse(cmd, argc, argv, options, &oci->cli.json, &err);
        if (first == -EAGAIN) {
                printf("NAME:\n   %s %s - %s\n\n", oci->cli.program, cmd->name, cmd->summary);
                zl_cli_print_help(&oci->cli, cmd, stdout);
                code = zl_cli_finish(&oci->cli, ZL_EXIT_OK);
        } else if (first < 0) {
                code = usage("%s", zl_error_message(&err));
        } else {
                n = argc - first;
                if ((unsigned)n < cmd->min_args || (unsigned)n > cmd->max_args)
                        code = usage("wrong number of arguments for \"%s\"", cmd->name);
                else
                        code = cmd->run(&oci->cli, options, n, argv + first);
        }
        zl_cli_options_done(cmd, options);
        return code;
}

static bool enters_containers(const struct zl_cli_command *cmd)
{
        return cmd == &zl_oci_cmd_create || cmd == &zl_oci_cmd_run || cmd == &zl_oci_cmd_exec ||
               cmd == &zl_oci_cmd_restore;
}

/* Before anything else is done, since it would be done twice: the first of our two lives does nothing but begin the second. Which
 * command it is the options decide; any word that could be one will do. What fails here is told when it is known. */
static bool protect_early(struct zl_oci *oci, char **argv)
{
        for (char **p = argv + 1; *p; p++) {
                const struct zl_cli_command *cmd = find(*p);

                if (cmd && enters_containers(cmd))
                        return zl_self_protect(argv, &oci->idle_fd, NULL) == 0;
        }
        return false;
}

int zl_oci_main(int argc, char **argv)
{
        struct zl_oci oci = { .cli = { .program = "zlayer-oci" },
                              .program = argv[0],
                              .rootless = "auto",
                              .idle_fd = -EBADF };
        struct zl_error err = ZL_ERROR_INIT;
        const struct zl_cli_command *cmd;
        bool protected = argc > 0 && protect_early(&oci, argv);
        int c, code = -1;

        if (default_root(&oci.root) < 0)
                return ZL_EXIT_FAILED;
        opterr = 0;
        while (code < 0 && (c = getopt_long(argc, argv, "+hv", global_options, NULL)) != -1)
                code = take_global(&oci, c, argv);
        if (code < 0)
                code = check_log(&oci);
        if (code < 0) {
                zl_log_set(oci.debug ? ZL_LOG_DEBUG : ZL_LOG_WARNING, log_sink, &oci);
                cmd = optind < argc ? find(argv[optind]) : NULL;
                if (cmd && enters_containers(cmd) &&
                    ((!protected && zl_self_protect(argv, &oci.idle_fd, &err) < 0) ||
                     prepare_own_root(&oci, &err) < 0))
                        code = zl_oci_fail(&oci, &err);
                else if (cmd)
                        code = run_command(&oci, cmd, argc - optind, argv + optind);
                else if (optind < argc && zl_streq(argv[optind], "help"))
                        print_help(stdout), code = ZL_EXIT_OK;
                else
                        code = usage(optind < argc
                                             ? "No help topic for '%s': there is no such command"
                                             : "no command given%s",
                                     optind < argc ? argv[optind] : "");
        }
        free(oci.root);
        return code;
}
