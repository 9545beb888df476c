/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zlayer-oci: the engine as an OCI runtime with runc's command line. Thin: parse, call src/container, print. The
 * program is static and small, so nothing here may use libraries beyond those of the engine.
 */
#pragma once

#include "base/fd.h"
#include "cli/cli.h"
#include "container/container.h"

struct zl_arena;
struct zl_buf;

/* One invocation. `cli` is first, so commands of the common frame find their way. */
struct zl_oci {
        struct zl_cli cli;
        const char *program;  /* argv[0]: what belongs to us is beside it */
        char *root;           /* directory of states, absolute */
        bool root_given;      /* by --root: then it must be there to be listed */
        const char *log_path; /* --log, or NULL: errors go to standard error only */
        bool log_json;
        bool debug;
        bool systemd_cgroup, no_cgroup;
        const char *rootless; /* "true", "false"; else to be found out */
        const char *criu;     /* name or path of the program, or NULL */
        int idle_fd;          /* to be closed by whoever has time: struct zl_container_options */
};

static inline struct zl_oci *zl_oci_of(struct zl_cli *cli)
{
        return (struct zl_oci *)(void *)cli;
}

/* Writes the error to standard error and to the log, releases it, and returns the exit code: 1 always, as callers of runc
 * expect of a runtime that failed. */
int zl_oci_fail(struct zl_oci *oci, struct zl_error *err);

/* The container of a name from the state directory; the error says "container does not exist" as callers of runc parse it. */
int zl_oci_load(struct zl_oci *oci, const char *id, struct zl_container **ret,
                struct zl_error *err);

/* Is what cgroups a user may not have to be done without? By --rootless; else for all but root of the machine. */
bool zl_oci_is_rootless(const struct zl_oci *oci);

/* Writes a pid and nothing else; an empty path is refused. */
int zl_oci_write_pid(const char *path, pid_t pid, struct zl_error *err);
/* Connects to the unix socket that an option names. Returns the descriptor. */
int zl_oci_connect(const char *option, const char *path, struct zl_error *err);
/* Hands a pidfd to whoever listens for it; nothing to do if `socket_fd` is negative. */
int zl_oci_send_pidfd(int socket_fd, int pidfd, struct zl_error *err);

/* 3, 4 … for --preserve-fds and LISTEN_FDS; -1 for those that are not open. `*ret` is freed by the caller. */
int zl_oci_preserved_fds(uint64_t preserve, uint64_t listen, int **ret, size_t *ret_n,
                         struct zl_error *err);
/* LISTEN_FDS of our own environment, 0 if it is not meant for us. */
uint64_t zl_oci_listen_fds(void);

/* The figures of a group as runc's events tell them (JSON). */
int zl_oci_put_figures(struct zl_buf *out, struct zl_cgroup *cg, struct zl_error *err);

/* notify.c. A container under a service manager that has given us $NOTIFY_SOCKET gets a socket of its own, on which it may say that it
 * is ready; that is told on, with the pid of what is to be watched. Begin with `.fd = -EBADF`. */
#define ZL_OCI_NOTIFY_INSIDE "/run/notify/notify.sock"
struct zl_oci_notify {
        int fd;
        char *dir;
        struct zl_oci_mount
                *mounts; /* the config's and ours, which stand in it until zl_oci_notify_done() */
        struct zl_oci_config *config;
        struct zl_oci_mount *config_mounts;
};
/* Adds the mount; nothing to do without $NOTIFY_SOCKET. */
int zl_oci_notify_prepare(const struct zl_oci *oci, const char *id, struct zl_oci_config *config,
                          struct zl_oci_notify *n, struct zl_error *err);
/* Before the start: the socket, if the container was created for one. */
int zl_oci_notify_listen(const struct zl_oci *oci, const struct zl_container *c,
                         struct zl_oci_notify *n, struct zl_error *err);
/* After it. With `wait` blocks until the container is ready or has ended; else a process of its own does so. */
void zl_oci_notify_forward(struct zl_oci_notify *n, const struct zl_container *c, bool wait);
void zl_oci_notify_done(struct zl_oci_notify *n);

/* wasm.c. A bundle whose annotations say that its command is WebAssembly becomes one that runs it by zlayer-wasm; others stay as they
 * are. Blocks for as long as the module has to be compiled. */
int zl_oci_wasm_prepare(const struct zl_oci *oci, struct zl_oci_config *config, const char *bundle,
                        struct zl_error *err);
/* In such a container a command that is WebAssembly becomes one of zlayer-wasm: `*args` is replaced by one in the arena. */
int zl_oci_wasm_exec(struct zl_container *c, struct zl_arena *arena, const char *cwd,
                     char *const **args, struct zl_error *err);

/* Waits for the first process in the foreground: terminal, signals, status. Returns its exit code, 128 + signal if a signal ended
 * it. `console` (the pty master, or -1) stays the caller's. */
struct zl_oci_wait {
        pid_t pid;
        int pidfd;
        int console;
};
/* A terminal whose output goes to a file or pipe of the caller gives lines that end as the command wrote them (as runc); before the
 * command runs, where that can be. -1 is fine. */
void zl_oci_plain_lines(int console);
int zl_oci_wait_foreground(const struct zl_oci_wait *wait, int *ret_code, struct zl_error *err);

extern const struct zl_cli_command zl_oci_cmd_create, zl_oci_cmd_run, zl_oci_cmd_start,
        zl_oci_cmd_kill, zl_oci_cmd_delete, zl_oci_cmd_pause, zl_oci_cmd_resume, zl_oci_cmd_exec,
        zl_oci_cmd_state, zl_oci_cmd_list, zl_oci_cmd_ps, zl_oci_cmd_spec, zl_oci_cmd_features,
        zl_oci_cmd_update, zl_oci_cmd_events, zl_oci_cmd_checkpoint, zl_oci_cmd_restore;

int zl_oci_main(int argc, char **argv);
