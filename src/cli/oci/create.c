/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create, run and restore: a bundle becomes a container. `run` is create + start + wait + delete in one process, or
 * with --detach create + start.
 *
 * What may go wrong after the container exists (pid file, start): it is deleted again, so a failed command leaves
 * nothing behind.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/strv.h"
#include "cli/oci/criu.h"
#include "cli/terminal.h"

struct create_options {
        const char *bundle, *config, *console_socket, *pidfd_socket, *pid_file;
        struct zl_cli_u64 preserve_fds;
        bool no_pivot, no_new_keyring, detach, no_subreaper, keep;
        bool is_restore;
        struct zl_oci_criu criu;
};

#define COMMON_OPTIONS                                                                                \
        { "bundle",      'b',                                                                         \
          ZL_CLI_STRING, offsetof(struct create_options, bundle),                                     \
          "DIR",         "directory of config.json (default: here)" },                                \
                { "config",      'f',                                                                 \
                  ZL_CLI_STRING, offsetof(struct create_options, config),                             \
                  "FILE",        "configuration, beside or below the bundle (default config.json)" }, \
                { "console-socket", 0,                                                                \
                  ZL_CLI_STRING,    offsetof(struct create_options, console_socket),                  \
                  "PATH",           "unix socket that gets the master of the container's terminal" }, \
                { "pidfd-socket", 0,                                                                  \
                  ZL_CLI_STRING,  offsetof(struct create_options, pidfd_socket),                      \
                  "PATH",         "unix socket that gets a pidfd of the first process" },             \
                { "pid-file",    0,                                                                   \
                  ZL_CLI_STRING, offsetof(struct create_options, pid_file),                           \
                  "PATH",        "write the pid of the first process there" },                        \
                { "preserve-fds",                                                                     \
                  0,                                                                                  \
                  ZL_CLI_U64,                                                                         \
                  offsetof(struct create_options, preserve_fds),                                      \
                  "N",                                                                                \
                  "pass descriptors 3 … 3+N-1 on" },                                                  \
                { "no-pivot",  0,                                                                     \
                  ZL_CLI_FLAG, offsetof(struct create_options, no_pivot),                             \
                  NULL,        "do not use pivot_root (for a root on a ramdisk)" },                   \
        {                                                                                             \
                "no-new-keyring", 0, ZL_CLI_FLAG, offsetof(struct create_options, no_new_keyring),    \
                        NULL, "keep the session keyring of the caller"                                \
        }

static const struct zl_cli_option create_table[] = { COMMON_OPTIONS, { 0 } };

#define RUN_OPTIONS                                                                                \
        { "detach",    'd',                                                                        \
          ZL_CLI_FLAG, offsetof(struct create_options, detach),                                    \
          NULL,        "leave the container running and return" },                                 \
                { "no-subreaper", 0,                                                               \
                  ZL_CLI_FLAG,    offsetof(struct create_options, no_subreaper),                   \
                  NULL,           "do not adopt processes that the container leaves behind" },     \
        {                                                                                          \
                "keep", 0, ZL_CLI_FLAG, offsetof(struct create_options, keep), NULL,               \
                        "keep the container's state after it has ended"                            \
        }

static const struct zl_cli_option run_table[] = { COMMON_OPTIONS, RUN_OPTIONS, { 0 } };

static const struct zl_cli_option restore_table[] = {
        COMMON_OPTIONS,
        RUN_OPTIONS,
        ZL_OCI_CRIU_OPTIONS(struct create_options, criu),
        { "tcp-close", 0, ZL_CLI_FLAG, offsetof(struct create_options, criu.tcp_close), NULL,
          "restore TCP connections as closed" },
        { "lsm-profile", 0, ZL_CLI_STRING, offsetof(struct create_options, criu.lsm_profile),
          "TYPE:NAME", "another profile of a security module than the processes had" },
        { "lsm-mount-context", 0, ZL_CLI_STRING,
          offsetof(struct create_options, criu.lsm_mount_context), "CONTEXT",
          "another context for the mounts" },
        { 0 },
};

/* What one creation holds besides the container itself. */
struct launch {
        struct zl_oci_config *config;
        char *bundle;
        int console_socket, pidfd_socket;
        int *fds;
        size_t n_fds;
        bool detached;
        bool start_here;          /* the same process starts it: no gate for others */
        char **env, **config_env; /* the environment with what we add, and the one it replaces */
        struct zl_oci_notify notify;
        struct zl_criu_settings criu; /* of a restore */
        char *page_server;
};

static void launch_done(struct launch *l)
{
        if (l->env && l->config->process)
                l->config->process->env = l->config_env;
        zl_oci_notify_done(&l->notify);
        zl_strv_free(l->env);
        zl_oci_config_free(l->config);
        zl_close(l->console_socket);
        zl_close(l->pidfd_socket);
        free(l->page_server);
        free(l->bundle);
        free(l->fds);
}

static int load_bundle(struct launch *l, const char *path, const char *config, struct zl_error *err)
{
        _cleanup_close_ int dir = -EBADF;
        int r;

        l->bundle = realpath(path ? path : ".", NULL);
        if (!l->bundle)
                return zl_fail_errno(err, errno, "cannot find the bundle %s", path ? path : ".");
        dir = zl_open_dir_at(AT_FDCWD, l->bundle, 0, err);
        if (dir < 0)
                return dir;
        r = zl_oci_config_load_at(dir, config ? config : "config.json", &l->config, err);
        if (r < 0)
                zl_error_prefix(err, "bundle %s", l->bundle);
        return r;
}

/* Socket activation: descriptors that were passed to us go on to the container, which must find itself named. And the socket on which it
 * may tell that it is ready. */
static int pass_services(struct launch *l, uint64_t listen, struct zl_error *err)
{
        char text[24];

        if ((listen == 0 && !l->notify.mounts) || !l->config->process)
                return 0;
        snprintf(text, sizeof(text), "%llu", (unsigned long long)listen);
        if (zl_strv_dup(l->config->process->env, &l->env) < 0 ||
            (listen > 0 && (zl_env_set(&l->env, "LISTEN_FDS", text) < 0 ||
                            zl_env_set(&l->env, "LISTEN_PID", "1") < 0)) ||
            (l->notify.mounts && zl_env_set(&l->env, "NOTIFY_SOCKET", ZL_OCI_NOTIFY_INSIDE) < 0))
                return zl_fail_oom(err);
        l->config_env = l->config->process->env;
        l->config->process->env = l->env;
        return 0;
}

static int prepare(const struct zl_oci *oci, const char *id, struct launch *l,
                   const struct create_options *o, struct zl_error *err)
{
        uint64_t listen = zl_oci_listen_fds();
        int r = load_bundle(l, o->bundle, o->config, err);

        if (r == 0)
                r = zl_oci_wasm_prepare(oci, l->config, l->bundle, err);
        if (r < 0)
                return r;
        if (o->console_socket) {
                l->console_socket = zl_oci_connect("console-socket", o->console_socket, err);
                if (l->console_socket < 0)
                        return l->console_socket;
        }
        if (o->pidfd_socket) {
                l->pidfd_socket = zl_oci_connect("pidfd-socket", o->pidfd_socket, err);
                if (l->pidfd_socket < 0)
                        return l->pidfd_socket;
        }
        r = zl_oci_preserved_fds(o->preserve_fds.value, listen, &l->fds, &l->n_fds, err);
        if (r == 0)
                r = zl_oci_notify_prepare(oci, id, l->config, &l->notify, err);
        return r < 0 ? r : pass_services(l, listen, err);
}

static int check_terminal(const struct launch *l, const struct create_options *o, bool detached,
                          struct zl_error *err)
{
        bool terminal = l->config->process && l->config->process->terminal;

        if (terminal && detached && !o->console_socket)
                return zl_fail(
                        err, ZL_E_INVALID, 0,
                        "cannot allocate a terminal for a detached container without --console-socket");
        if (!terminal && o->console_socket)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "--console-socket was given, but process.terminal is false");
        return 0;
}

static int prepare_restore(const struct zl_oci *oci, const struct create_options *o,
                           struct launch *l, struct zl_error *err)
{
        int r = zl_oci_criu_settings(oci, &o->criu, &l->criu, &l->page_server, err);

        if (r == 0 && o->preserve_fds.value > 0)
                r = zl_fail(
                        err, ZL_E_INVALID, 0,
                        "--preserve-fds: restored processes have the descriptors of their checkpoint");
        if (r == 0 && access(l->criu.image_path, R_OK | X_OK) < 0)
                r = zl_fail_errno(err, errno, "--image-path: %s", l->criu.image_path);
        return r;
}

/* `l` must outlive the container's object, which reads the config. Creates; on success the container is at its gate and the pid file is written. */
static int create(struct zl_oci *oci, const char *id, const struct create_options *o,
                  struct launch *l, struct zl_container **ret, struct zl_error *err)
{
        _cleanup_(zl_container_freep) struct zl_container *c = NULL;
        struct zl_container_options options = ZL_CONTAINER_OPTIONS_INIT;
        int r = o->is_restore ? prepare_restore(oci, o, l, err) : 0;

        if (r == 0)
                r = prepare(oci, id, l, o, err);
        if (r == 0)
                r = check_terminal(l, o, l->detached, err);
        if (r < 0)
                return r;
        options.id = id;
        options.bundle = l->bundle;
        options.config = l->config;
        options.root = oci->root;
        options.start_here = l->start_here;
        /* Not where something has to be there before the command is: the pid file, the terminal's mode. */
        options.restore = o->is_restore ? &l->criu : NULL;
        options.start_at_once = l->start_here && !o->is_restore && l->config->process &&
                                !l->config->process->terminal && !o->pid_file && !o->pidfd_socket &&
                                !l->notify.mounts;
        for (int i = 0; i < 3; i++)
                options.stdio[i] = i;
        options.console_socket_fd = l->console_socket;
        options.preserve_fds = l->fds;
        options.n_preserve_fds = l->n_fds;
        options.seccomp_compile = zl_seccomp_compile;
        options.notify_dir = l->notify.mounts != NULL;
        options.no_pivot = o->no_pivot;
        options.no_new_keyring = o->no_new_keyring;
        options.systemd_cgroup = oci->systemd_cgroup;
        options.rootless = zl_oci_is_rootless(oci);
        options.no_cgroup = oci->no_cgroup;
        options.idle_fd = oci->idle_fd;
        r = zl_container_create(&options, &c, err);
        if (r < 0)
                return r;
        r = zl_oci_send_pidfd(l->pidfd_socket, zl_container_pidfd(c), err);
        if (r == 0 && o->pid_file)
                r = zl_oci_write_pid(o->pid_file, zl_container_pid(c), err);
        if (r < 0) {
                zl_container_delete(c, true, NULL);
                return r;
        }
        *ret = zl_take_ptr(c);
        return 0;
}

static int cmd_create(struct zl_cli *cli, void *options, int argc _unused_, char **argv)
{
        _cleanup_(launch_done) struct launch l = { .console_socket = -EBADF,
                                                   .pidfd_socket = -EBADF,
                                                   .notify.fd = -EBADF,
                                                   .detached = true };
        _cleanup_(zl_container_freep) struct zl_container *c = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_oci *oci = zl_oci_of(cli);

        if (create(oci, argv[0], options, &l, &c, &err) < 0)
                return zl_oci_fail(oci, &err);
        return ZL_EXIT_OK;
}

static int start(struct zl_oci *oci, struct zl_container *c, struct launch *l,
                 const struct create_options *o, struct zl_error *err)
{
        int r = zl_oci_notify_listen(oci, c, &l->notify, err);

        if (r == 0)
                r = zl_container_start(c, err);
        if (r == 0)
                zl_oci_notify_forward(&l->notify, c, o->detach);
        return r;
}

static int run(struct zl_oci *oci, const char *id, const struct create_options *o, int *ret_code,
               struct zl_error *err)
{
        _cleanup_(launch_done) struct launch l = { .console_socket = -EBADF,
                                                   .pidfd_socket = -EBADF,
                                                   .notify.fd = -EBADF,
                                                   .detached = o->detach,
                                                   .start_here = true };
        _cleanup_(zl_container_freep) struct zl_container *c = NULL;
        _cleanup_close_ int console = -EBADF;
        int r;

        if (!o->detach) {
                r = zl_foreground_prepare(err);
                if (r < 0)
                        return r;
                if (!o->no_subreaper && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
                        return zl_fail_errno(err, errno, "cannot become a subreaper");
        }
        r = create(oci, id, o, &l, &c, err);
        if (r < 0)
                return r;
        if (!o->detach && !o->console_socket)
                console = zl_container_take_console(c);
        zl_oci_plain_lines(console);
        if (!o->is_restore)
                r = start(oci, c, &l, o, err);
        if (r == 0 && !o->detach) {
                struct zl_oci_wait w = { zl_container_pid(c), zl_container_pidfd(c), console };

                r = zl_oci_wait_foreground(&w, ret_code, err);
        }
        if (r < 0 || (!o->detach && !o->keep)) {
                int d = zl_container_delete(c, true, r < 0 ? NULL : err);

                if (r == 0)
                        r = d;
        }
        return r;
}

static int cmd_run(struct zl_cli *cli, void *options, int argc _unused_, char **argv)
{
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_oci *oci = zl_oci_of(cli);
        int code = ZL_EXIT_OK;

        if (run(oci, argv[0], options, &code, &err) < 0)
                return zl_oci_fail(oci, &err);
        return code;
}

static int cmd_restore(struct zl_cli *cli, void *options, int argc, char **argv)
{
        struct create_options *o = options;

        o->is_restore = true;
        return cmd_run(cli, o, argc, argv);
}

const struct zl_cli_command zl_oci_cmd_create = {
        .name = "create",
        .args = "ID",
        .summary = "Create a container, ready to start",
        .options = create_table,
        .options_size = sizeof(struct create_options),
        .min_args = 1,
        .max_args = 1,
        .run = cmd_create,
};

const struct zl_cli_command zl_oci_cmd_run = {
        .name = "run",
        .args = "ID",
        .summary = "Create and start a container, wait for its end, delete it",
        .options = run_table,
        .options_size = sizeof(struct create_options),
        .min_args = 1,
        .max_args = 1,
        .run = cmd_run,
};

const struct zl_cli_command zl_oci_cmd_restore = {
        .name = "restore",
        .args = "ID",
        .summary = "Make a container of a checkpoint's processes, wait for its end, delete it",
        .options = restore_table,
        .options_size = sizeof(struct create_options),
        .min_args = 1,
        .max_args = 1,
        .run = cmd_restore,
};
