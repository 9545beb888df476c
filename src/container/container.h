/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one Linux container after the OCI runtime specification: create, start, exec, kill, pause, delete.
 *
 * A struct zl_container is made by zl_container_create() (and then knows its process as a child of the caller)
 * or by zl_container_load() from state.json (zlayer-oci: another process made it). It holds descriptors
 * only; forgetting it (zl_container_free) changes nothing in the world.
 *
 * The process of the container and those of zl_container_exec() are children of the caller, who must wait for them
 * (waitid with P_PIDFD). The library installs no signal handlers and never waits for children that are not its own.
 *
 * Threads: one thread per object. The calling process may have other threads: between clone and exec the child
 * calls only async-signal-safe functions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "linux/cgroup.h"
#include "linux/seccomp.h"
#include "oci/runtime_config.h"

struct zl_container;

/* Annotation of a bundle that names the program (absolute path) which container/delegate.c runs in place of the engine. */
#define ZL_DELEGATE_ANNOTATION "com.zlayer.oci-runtime"

/* An overlay that the container's own process mounts over root.path inside its mount namespace, so that the host never
 * sees a mount. All paths absolute. */
struct zl_rootfs_overlay {
        char *const *lower_dirs;  /* LOWEST first */
        const char *upper, *work; /* both NULL: read-only */
};

/* What criu(8) is told, for zl_container_checkpoint() and for zl_container_options.restore. Begin with ZL_CRIU_SETTINGS_INIT. */
struct zl_criu_settings {
        const char *program;     /* NULL: "criu" of PATH */
        const char *image_path;  /* directory of the images */
        const char *work_path;   /* directory of log files; NULL: image_path */
        const char *parent_path; /* of an earlier checkpoint, relative to image_path; or NULL */
        const char
                *page_server; /* address that gets the memory instead of the directory, or NULL */
        uint16_t page_server_port;
        const char *lsm_profile,
                *lsm_mount_context; /* TYPE:NAME, and a context, other than those in the images; or NULL */
        const char *cgroups_mode; /* "soft", "full", "strict", "ignore"; NULL: criu's default */
        const char *network_lock; /* "iptables", "nftables", "skip"; NULL: criu's default */
        int status_fd; /* gets a NUL byte when a lazy checkpoint waits for readers, and is closed; or -1 */
        uint64_t empty_namespaces; /* CLONE_NEW…, whose content is not dumped or restored */
        bool leave_running, pre_dump, lazy_pages, auto_dedup;
        bool tcp_established, tcp_skip_in_flight, tcp_close, ext_unix_sk, shell_job, file_locks,
                link_remap;
};
#define ZL_CRIU_SETTINGS_INIT ((struct zl_criu_settings){ .status_fd = -1 })

/* Begin with ZL_CONTAINER_OPTIONS_INIT. */
#define ZL_NOTIFY_DIR "notify"

enum { ZL_WORDS_MAX = 60 << 10 };

struct zl_container_options {
        const char *id;
        const char *bundle; /* absolute path; relative root.path and mount sources begin here */
        const struct zl_oci_config *config; /* must live as long as the object */
        const char *root; /* directory of states; NULL: keep no state (the caller remembers) */
        int stdio[3];     /* for a container without terminal; -1: /dev/null. Stay the caller's. */
        int console_socket_fd; /* terminal: the pty master is sent there; -1: zl_container_take_console() */
        const int *
                preserve_fds; /* become 3, 4, 5 … in the container, in this order; -1: none there */
        size_t n_preserve_fds;
        const struct zl_rootfs_overlay *overlay;
        int overlay_fd; /* from zl_container_overlay_ahead() of the same; or -1. Stays the caller's, who closes it when the process exists */
        /* The filter to load; NULL: compiled from config->linux_->seccomp by `seccomp_compile`, which is
         * zl_seccomp_compile or NULL (a config with seccomp is then an error). */
        const struct zl_seccomp_program *seccomp;
        int (*seccomp_compile)(const struct zl_oci_seccomp *config, struct zl_seccomp_program *ret,
                               struct zl_error *err);
        const char *default_cgroup; /* parent when the config has no cgroupsPath; NULL: "zlayer" */
        /* The container's processes die with the thread that created it (PR_SET_PDEATHSIG SIGKILL on the first process).
         * Call create from a thread that lives as long as the program. */
        bool die_with_parent;
        bool start_here; /* zl_container_start() will be called on this object: no gate for others is made */
        /* With start_here: the command may begin as soon as it can, before zl_container_create() returns; zl_container_start() tells how
         * that went. Spares two changes of processes. */
        bool start_at_once;
        /* A descriptor whose closing takes the kernel a while (zl_self_protect()), or -1: it is closed when there is nothing else to do,
         * in any case before zl_container_create() returns having made a process. */
        int idle_fd;
        /* From zl_container_network_ahead(), for a config that asks for a new network namespace; or -1. Not used beside a user namespace of
         * the container's own. Stays the caller's. */
        int network_ns_fd;
        /* Called once the process is at work by itself and before its answer is waited for: what the caller has to do anyway. A failure is
         * that of the creation. Not called by every kind of creation, by some more than once. */
        int (*meanwhile)(void *data, struct zl_error *err);
        void *meanwhile_data;
        /* Command and variables are those that the config has when zl_container_start() is called on this object; they may have changed by
         * then, and take ZL_WORDS_MAX bytes at most. */
        bool words_come;
        bool init_reaper; /* our own PID 1 in front of the command: forwards signals, reaps */
        bool no_pivot;
        bool no_new_keyring;
        bool systemd_cgroup;
        bool notify_dir; /* make ZL_NOTIFY_DIR in the state directory, for a mount of the config to lead to */
        /* The caller may not have all rights over cgroups: a group that he may not make is done without, when the config names none and asks
         * for no limit; device rules that he may not set are left out (nobody makes devices in his user namespace anyway). */
        bool rootless;
        bool no_cgroup; /* the process stays in the group of the caller; resources have no effect */
        const struct zl_criu_settings *
                restore; /* not a new process but those of a checkpoint, which run when zl_container_create() returns */
};
#define ZL_CONTAINER_OPTIONS_INIT                                                                  \
        ((struct zl_container_options){ .stdio = { -1, -1, -1 },                                   \
                                        .console_socket_fd = -1,                                   \
                                        .idle_fd = -1,                                             \
                                        .network_ns_fd = -1,                                       \
                                        .overlay_fd = -1 })

/* The same configuration in another place: from now on that one has to stay. */
void zl_container_set_config(struct zl_container *c, const struct zl_oci_config *config);

/* For who has time before it is known what to create: a network namespace with a loopback device that is up. The caller, a process of one
 * thread, closes. Negative: not here, or there is no use for it. */
int zl_container_network_ahead(void);

/* And the root of one whose layers are known, mounted where nobody sees it. To make it the file system creates and removes a few files. */
int zl_container_overlay_ahead(const struct zl_rootfs_overlay *overlay);

/* The same, for who is about to create: looks at the machine and at itself as zl_container_create() would, which then does not. Until then
 * this process may not begin or cease to ignore signals. */
void zl_container_look_ahead(void);

/* On success the first process exists, namespaces, cgroup and mounts are done, the hooks of creation have run, and it waits at
 * the start gate. On failure nothing is left. Blocks for milliseconds (and for hooks). ZL_E_EXISTS if the id is taken. */
int zl_container_create(const struct zl_container_options *options, struct zl_container **ret,
                        struct zl_error *err);

/* From the state directory. ZL_E_NOT_FOUND if there is none. */
int zl_container_load(const char *root, const char *id, struct zl_container **ret,
                      struct zl_error *err);
void zl_container_free(struct zl_container *c);
ZL_DEFINE_CLEANUP(struct zl_container *, zl_container_freep, zl_container_free)

/* 0 when it has ended (loaded containers); the pid in our namespace otherwise. */
pid_t zl_container_pid(const struct zl_container *c);
/* Owned by the object; -1 if the process is gone. */
int zl_container_pidfd(const struct zl_container *c);
/* NULL: it has none. */
struct zl_cgroup *zl_container_cgroup(struct zl_container *c);
/* Its processes: those of its group; without one, those in its pid namespace that we may look at; without either, the first alone. The
 * caller frees. */
int zl_container_pids(struct zl_container *c, pid_t **ret, size_t *ret_n, struct zl_error *err);
const char *zl_container_id(const struct zl_container *c);
const char *zl_container_bundle(const struct zl_container *c);
/* The pty master when the config asks for a terminal and there was no console socket; the caller owns it then. -1 else. */
int zl_container_take_console(struct zl_container *c);

/* The config it was made from; for a loaded container read from the state directory the first time. NULL if it cannot be read. */
const struct zl_oci_config *zl_container_config(struct zl_container *c);
/* Sets new limits and remembers them. */
int zl_container_update(struct zl_container *c, const struct zl_oci_resources *resources,
                        struct zl_error *err);

/* Opens the gate: returns after the command has been executed, or with why not: ZL_E_NO_COMMAND, ZL_E_NOT_RUNNABLE (the process then
 * ends with 127 or 126). Then runs the poststart hooks. ZL_E_STATE if it was started already. */
int zl_container_start(struct zl_container *c, struct zl_error *err);

/* Before the start, by a caller of one thread with rights over it: the name of its host. Nothing is done if it has the host's own. */
int zl_container_set_hostname(struct zl_container *c, const char *name, struct zl_error *err);

enum zl_container_status {
        ZL_CONTAINER_CREATING,
        ZL_CONTAINER_CREATED,
        ZL_CONTAINER_RUNNING,
        ZL_CONTAINER_PAUSED,
        ZL_CONTAINER_STOPPED,
};
enum zl_container_status zl_container_status(struct zl_container *c);
const char *zl_container_status_name(enum zl_container_status status);

/* Begin with ZL_EXEC_PROCESS_INIT. NULL members: as the container's own process. */
struct zl_exec_process {
        char *const *argv; /* at least one */
        char *const *env;  /* complete environment "NAME=VALUE"; NULL: the container's */
        const char *cwd;
        const char *user; /* "name", "uid", "uid:gid", "name:group": looked up inside */
        const gid_t *additional_gids;
        size_t n_additional_gids;
        char *const *caps;                    /* added to the container's sets */
        const struct zl_oci_process *process; /* complete description instead of all the above */
        bool privileged;                      /* all capabilities the kernel knows, no seccomp */
        bool no_new_privs;                    /* in addition to the container's own setting */
        bool tty;
        uint16_t rows, cols;
        int stdio[3];          /* without tty; -1: /dev/null. Stay the caller's. */
        int console_socket_fd; /* with tty: where the master goes; -1: into the result */
        const int *preserve_fds;
        size_t n_preserve_fds;
        bool ignore_paused; /* it waits for the thaw, instead of an error */
        /* Groups below the container's own: one PATH, or CONTROLLERS:PATH of version 1, a comma between controllers. NULL: its own. */
        char *const *cgroups;
        const struct zl_seccomp_program
                *seccomp; /* the container's, when it was not created by this object */
        int (*seccomp_compile)(const struct zl_oci_seccomp *config, struct zl_seccomp_program *ret,
                               struct zl_error *err);
        bool die_with_parent;
        int idle_fd; /* as in zl_container_options */
};
#define ZL_EXEC_PROCESS_INIT                                                                       \
        ((struct zl_exec_process){                                                                 \
                .stdio = { -1, -1, -1 }, .console_socket_fd = -1, .idle_fd = -1 })

struct zl_exec_result {
        pid_t pid;      /* child of the caller */
        int pidfd;      /* caller closes */
        int console_fd; /* pty master, caller closes; -1 without */
};

/* Makes ready for zl_container_exec() what is the same each time and stays open: for whoever has nothing to do and executes often. */
void zl_container_expect_exec(struct zl_container *c);
/* Runs another command in the container; returns when it has been executed, or why not (codes as start). */
int zl_container_exec(struct zl_container *c, const struct zl_exec_process *process,
                      struct zl_exec_result *ret, struct zl_error *err);

/* Signals the first process, or every process of the cgroup with `all`. ZL_E_STATE if it has ended. */
int zl_container_kill(struct zl_container *c, int sig, bool all, struct zl_error *err);
int zl_container_pause(struct zl_container *c, bool pause, struct zl_error *err);

/* Writes all its processes to files by criu. They end with that, unless settings->leave_running or pre_dump; the caller then deletes the
 * container. ZL_E_STATE if it does not run. Blocks for as long as criu works. */
int zl_container_checkpoint(struct zl_container *c, const struct zl_criu_settings *settings,
                            struct zl_error *err);

/* Removes cgroup and state and runs the poststop hooks. ZL_E_STATE if it still runs, unless `force`, which kills all
 * first. If the process is a child of the caller the caller still waits for it. The object must be freed afterwards. */
int zl_container_delete(struct zl_container *c, bool force, struct zl_error *err);

/* The state in runc's words: ociVersion, id, pid, status, bundle, rootfs, created, annotations, owner (JSON, caller frees). */
int zl_container_state_json(struct zl_container *c, char **ret, struct zl_error *err);
/* The OCI features document (features.md) from the engine's own tables (JSON, caller frees). */
int zl_container_features_json(char **ret, struct zl_error *err);
