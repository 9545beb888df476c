/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files of the container engine; not for other rooms.
 *
 * The shape: the parent turns the config into a struct zl_plan (plan*.c) in which nothing is left to look up, parse or
 * allocate; then it clones. The child (child*.c) walks through the plan with raw calls only and tells
 * what went wrong by one fixed record; report.c makes the message.
 */
#pragma once

#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/fd.h"
#include "container/container.h"
#include "container/user.h"
#include "linux/caps.h"
#include "linux/mounts.h"
#include "linux/userns.h"
#include "schema/arena.h"

/* ---- the wire between parent and child (SOCK_SEQPACKET, both on this machine and of one binary) ----------- */

enum zl_stage {
        ZL_STAGE_NONE,
        ZL_STAGE_SYNC,
        ZL_STAGE_NAMESPACE,
        ZL_STAGE_ID_MAP,
        ZL_STAGE_TIME_OFFSET,
        ZL_STAGE_HOSTNAME,
        ZL_STAGE_LOOPBACK,
        ZL_STAGE_PROC_HANDLE,
        ZL_STAGE_OOM_SCORE,
        ZL_STAGE_PROPAGATION,
        ZL_STAGE_ROOTFS,
        ZL_STAGE_OVERLAY,
        ZL_STAGE_MOUNT_SOURCE,
        ZL_STAGE_MOUNT_TARGET,
        ZL_STAGE_MOUNT_LINK,
        ZL_STAGE_MOUNT,
        ZL_STAGE_MOUNT_FLAGS,
        ZL_STAGE_COPY_UP,
        ZL_STAGE_DEVICE,
        ZL_STAGE_SYMLINK,
        ZL_STAGE_MASK,
        ZL_STAGE_READONLY,
        ZL_STAGE_CONSOLE,
        ZL_STAGE_HOOK,
        ZL_STAGE_PIVOT,
        ZL_STAGE_SYSCTL,
        ZL_STAGE_CGROUP_NAMESPACE,
        ZL_STAGE_KEYRING,
        ZL_STAGE_USER,
        ZL_STAGE_GROUPS,
        ZL_STAGE_RLIMIT,
        ZL_STAGE_SCHEDULER,
        ZL_STAGE_IO_PRIORITY,
        ZL_STAGE_PERSONALITY,
        ZL_STAGE_LABEL,
        ZL_STAGE_CWD,
        ZL_STAGE_CAPABILITIES,
        ZL_STAGE_NO_NEW_PRIVS,
        ZL_STAGE_SECCOMP,
        ZL_STAGE_STDIO,
        ZL_STAGE_EXEC,
        ZL_STAGE_CPU_AFFINITY,
        ZL_STAGE_MEMORY_POLICY,
        ZL_STAGE_MAX_,
};

enum zl_message_kind {
        ZL_MSG_ERROR = 1,
        ZL_MSG_RUN_HOOKS, /* child: run the hooks of the host, then answer */
        ZL_MSG_CONSOLE,   /* child: here is the pty master (one descriptor) */
        ZL_MSG_READY,     /* child: all done, waiting at the gate */
        ZL_MSG_MAPPED,    /* parent: the id maps are written */
        ZL_MSG_ATTACH,    /* child: could not enter the cgroup by itself, please move it */
        ZL_MSG_JOINED,    /* parent: you are in your cgroup */
        ZL_MSG_HOOKS_DONE,
        ZL_MSG_DOORS, /* parent: the doors of your cgroup (descriptors) */
        ZL_MSG_START,
        ZL_MSG_NAMESPACES, /* at the gate: lend me yours; and the answer (descriptors, `value`: of which kinds) */
};

struct zl_message {
        int32_t kind;
        int32_t stage;
        int32_t errnum;
        int32_t value;
        char subject[240];
        char detail[200]; /* what a hook said */
};

/* Fills `err` from a record of the child. `what` is the prefix ("container x"). Returns a negative errno. */
int zl_report_fail(const struct zl_message *m, const char *command, struct zl_error *err);

/* ---- the plan ----------------------------------------------------------------------------------------------- */

/* In the order of joining: the user namespace first, for the rights; the mount namespace last, since paths change. */
struct zl_namespace_kind {
        const char *type, *file; /* in the config, and in /proc/PID/ns */
        int flag;                /* CLONE_NEW… */
};
enum { ZL_NAMESPACE_KINDS = 8 };
extern const struct zl_namespace_kind zl_namespace_kinds[ZL_NAMESPACE_KINDS];

struct zl_namespace_plan {
        int flag; /* CLONE_NEW… */
        int fd;   /* of the namespace to join */
        const char *path;
};

enum zl_mount_kind { ZL_MOUNT_FS, ZL_MOUNT_BIND, ZL_MOUNT_CGROUP, ZL_MOUNT_LINK };

struct zl_mount_plan {
        enum zl_mount_kind kind;
        const char *destination, *type, *source; /* of a link: what it says */
        struct zl_mount_options options;
        int tree_fd; /* the detached mount to put there, or -1 */
        int map_fd; /* the user namespace whose ids it shall have, where the child is to clone it; or -1 */
        bool mapped; /* its ids are: it must be that one. Otherwise it serves where the source cannot be reached */
        bool wants_peers; /* of the host: what is mounted on one side is to be seen on the other */
        bool has_peers;   /* and `tree_fd` has them */
};

struct zl_device_plan {
        const char *path; /* in the container */
        mode_t mode;      /* with the type */
        dev_t dev;
        uid_t uid;
        gid_t gid;
        int tree_fd; /* the detached node to put there, or -1 */
};

struct zl_rlimit_plan {
        int resource;
        struct rlimit limit;
        const char *name;
};

struct zl_sysctl_plan {
        const char *file; /* below /proc/sys */
        const char *value;
        const char *name;
};

/* struct sched_attr of the kernel; its header clashes with libc's. */
struct zl_sched_attr {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
        uint32_t util_min, util_max;
};

/* For set_mempolicy(): the mode with its flags, and a mask of ZL_NODE_WORDS words or NULL. */
struct zl_memory_policy_plan {
        int mode;
        unsigned long *nodes;
};

/* What the first process and an exec have in common. */
struct zl_process_plan {
        char *const *argv;
        char **envp; /* the slot before the final NULL is free for HOME */
        size_t n_env;
        const char *path_env; /* value of PATH for the search */
        bool has_home;
        bool words_come; /* the above is not known yet: words.c */
        const char *cwd;
        const char *user_text; /* looked up inside; or NULL: uid and gid */
        uid_t uid;
        gid_t gid;
        gid_t *groups; /* room for ZL_GROUPS_MAX */
        size_t n_groups;
        bool keep_groups; /* those of the caller: annotation run.oci.keep_original_groups, as crun */
        bool no_setgroups; /* the user namespace denies it */
        mode_t umask;
        struct zl_caps caps;
        bool no_new_privs;
        bool new_keyring;
        struct zl_rlimit_plan *rlimits;
        size_t n_rlimits;
        bool has_oom_score_adj;
        char oom_score_adj[12];
        struct zl_sched_attr *scheduler;
        int io_priority;  /* encoded, or -1 */
        long personality; /* or -1 */
        const struct zl_memory_policy_plan *memory_policy;
        unsigned long *cpu_initial, *cpu_final; /* masks of ZL_CPU_WORDS words, or NULL */
        const char *apparmor, *selinux;         /* "exec …" texts, or NULL */
        const struct zl_seccomp_program *seccomp;
        const char *seccomp_state; /* JSON that goes with the listener: head … */
        int seccomp_socket;        /* where the listener goes, or -1 */
        int stdio[3];
        bool tty;
        uint16_t rows, cols;
        const int *preserve_fds;
        size_t n_preserve_fds;
        bool die_with_parent;
};
enum { ZL_CPU_WORDS = 128, ZL_NODE_WORDS = 128 };

/* How hooks run, and what became of them. Begin with ZL_HOOK_RUN_INIT. */
struct zl_hook_run {
        char *const *env;  /* of hooks whose config names none; NULL: ours (as runc) */
        const char *state; /* on their standard input */
        int out, err;      /* where what they write goes; -1: where ours goes */
        size_t failed;     /* the index of the one that failed */
        int end;           /* how: its exit status, or a signal as a negative number */
        char said[200];    /* the end of what it wrote to standard error, as one line */
};
#define ZL_HOOK_RUN_INIT ((struct zl_hook_run){ .out = -1, .err = -1 })

/* A mount that has a propagation of its own, in a root whose propagation is set for the whole tree. */
struct zl_own_propagation {
        int target_fd, fd, copy_fd; /* what it lies on, its root, and its copy */
};

struct zl_plan {
        struct zl_arena *arena;
        const struct zl_oci_config *config;
        const struct zl_container_options *options;
        struct zl_process_plan process;
        uint64_t clone_flags; /* new namespaces made by clone */
        bool new_cgroup_ns, new_time_ns, new_user_ns, new_net_ns, new_uts_ns;
        struct zl_namespace_plan joins[8]; /* in the order in which to join them */
        size_t n_joins;
        int join_pid_fd;               /* joined before clone, by the parent */
        int join_user_fd;              /* joined first of all */
        struct zl_userns_maps id_maps; /* of a new user namespace */
        bool is_shown; /* the child must be dumpable until these are written: we have no privileges */
        bool lends_namespaces; /* to whoever wants to exec before the start, and may not look at us */
        char *time_offsets;    /* text for /proc/self/timens_offsets */
        const char *rootfs;    /* absolute */
        struct zl_overlay_plan overlay;
        bool has_overlay;
        unsigned long root_propagation; /* asked for, or 0 */
        bool keep_propagation;          /* a mount must stay shared with the host */
        bool follow_propagation;        /* a mount is to follow the host's */
        struct zl_own_propagation
                *own_propagation; /* room for one per mount; NULL where nobody needs it */
        struct zl_mount_plan *mounts;
        size_t n_mounts;
        bool setup_dev;
        struct zl_device_plan *devices;
        size_t n_devices;
        struct zl_sysctl_plan *sysctls;
        size_t n_sysctls;
        char **kernel_fs; /* where the host has procfs and sysfs, when these stay below us (no pivot) */
        char **cgroup_dirs; /* absolute paths of the group in each hierarchy, for type "cgroup" */
        const char *state_head, *state_tail; /* the state document around status and pid */
        char *state_buf;
        size_t state_size;
        bool has_host_hooks;
        struct zl_hook_run hook_run;
        uint64_t ignored_signals; /* by us, if `knows_ignored` */
        bool knows_ignored;
        struct zl_cgroup_doors doors;
        bool doors_come; /* by a message, while the child is at work */
        bool left_outside; /* of the v2 group: it was not born there, and nobody can enter by itself */
        int sync_fd;       /* child's end */
        int gate_fd;       /* listening socket, or -1: the gate is sync_fd */
};

int zl_plan_make(const struct zl_container_options *options, struct zl_plan *plan,
                 struct zl_error *err);
void zl_plan_done(struct zl_plan *plan);
/* The part of the process; `base` gives what `p` leaves open (exec), or NULL. */
int zl_plan_process(struct zl_arena *arena, const struct zl_oci_process *p,
                    struct zl_process_plan *ret, struct zl_error *err);
/* linux.memoryPolicy, for the first process and, from the container's config, for an exec. */
int zl_plan_personality(const struct zl_oci_personality *personality, struct zl_process_plan *ret,
                        struct zl_error *err);
int zl_plan_memory_policy(struct zl_arena *arena, const struct zl_oci_memory_policy *policy,
                          struct zl_process_plan *ret, struct zl_error *err);
/* Refuses what a caller without privileges cannot have, and file systems whose ids nobody is inside. After zl_plan_mounts(). */
int zl_plan_check_rights(const struct zl_plan *plan, struct zl_error *err);
int zl_plan_mounts(struct zl_plan *plan, struct zl_error *err);
enum zl_mount_kind zl_mount_kind_of(const struct zl_oci_mount *m);
/* Nodes of the plan's devices, which nobody can make in a user namespace. Best effort: without, those of the host are bound. */
void zl_plan_nodes(struct zl_plan *plan);
char **zl_plan_env(struct zl_arena *arena, char *const *env, struct zl_process_plan *p);

/* ---- the child ------------------------------------------------------------------------------------------------ */

struct zl_child {
        const struct zl_plan *plan;
        const struct zl_process_plan *process;
        int sync_fd;
        int report_fd;       /* where errors go: sync_fd, or the connection at the gate */
        int proc_fd;         /* the host's procfs, verified */
        int root_fd;         /* of the container's root mount */
        int tty_fd;          /* slave, or -1 */
        bool readonly_dev;   /* once all is in it */
        int listener_socket; /* seccomp_socket once it was moved, or 0 */
        pid_t host_pid;
        int namespaces[ZL_NAMESPACE_KINDS]; /* to be lent: n_namespaces of the kinds in the mask */
        size_t n_namespaces;
        uint32_t namespace_mask;
        size_t n_own_propagation;
        bool has_propagation;     /* the root, and what is below */
        bool filtered;            /* the seccomp filter is loaded */
        uint64_t ignored_signals; /* what we were started with */
        bool in_cgroup, start_came;
        bool no_setgroups; /* process->no_setgroups, or what the namespace that was joined says */
        struct zl_message report;
        gid_t groups[ZL_GROUPS_MAX];
        size_t n_groups;
        uid_t uid;
        gid_t gid;
        char home[4096];
};

/* Fills the report; returns -errnum. */
int zl_child_fail(struct zl_child *c, enum zl_stage stage, int errnum, const char *subject);
void zl_child_send_report(struct zl_child *c);
/* The same, and the end of the process: 127 or 126 if its command could not be executed, `otherwise` if something else failed. */
_Noreturn void zl_child_end(struct zl_child *c, int otherwise);
void zl_child_main(const struct zl_plan *plan) __attribute__((noreturn));

/* The processors of whoever called us are none of the container's: all that its group allows, as runc. */
void zl_child_reset_affinity(struct zl_child *c);
/* Into the cgroup, by itself or with the parent's help; may be called again. */
int zl_child_enter_cgroup(struct zl_child *c);
int zl_child_await(struct zl_child *c, int fd, int kind);
int zl_child_open_proc(struct zl_child *c);
int zl_child_write_proc(struct zl_child *c, const char *file, const char *value);
/* After a user namespace was joined: does it deny setgroups(2)? With the host's root still ours. */
void zl_child_look_at_groups(struct zl_child *c);
int zl_child_rootfs(struct zl_child *c); /* mounts, devices, masks */
/* Before the first mount; after one that is in place; before the root is changed. */
int zl_child_propagation(struct zl_child *c);
void zl_child_note_propagation(struct zl_child *c, const struct zl_mount_plan *m, int target,
                               int fd);
int zl_child_root_propagation(struct zl_child *c);
/* The place of a mount in c->root_fd, made if it is missing. Returns a descriptor (O_PATH). */
int zl_child_open_target(struct zl_child *c, const struct zl_mount_plan *m, bool directory);
int zl_child_dev(struct zl_child *c); /* nodes and links in /dev */
int zl_child_readonly_dev(struct zl_child *c);
int zl_child_mask(struct zl_child *c); /* masked and read-only paths */
int zl_child_copy_up(int from_fd, int to_fd);
int zl_child_console(struct zl_child *c, bool mount_console);
int zl_child_pivot(struct zl_child *c);
/* Everything between "in the namespaces" and exec; see child_process.c for the order. */
int zl_child_keyring(struct zl_child *c);
int zl_child_user_lookup(struct zl_child *c);
/* HOME into the free slot of the environment, unless it is there. */
void zl_child_set_home(struct zl_child *c);
/* After the start: takes the words that come (words.c). */
int zl_child_words(struct zl_child *c);
int zl_child_attributes(struct zl_child *c); /* rlimits, scheduler … needing privileges */
int zl_child_labels(struct zl_child *c);     /* for the next execve; through proc_fd */
int zl_child_privileges(struct zl_child *c); /* groups, ids, capabilities */
int zl_child_stdio(struct zl_child *c);
int zl_child_shed(struct zl_child *c);
int zl_child_seccomp(struct zl_child *c, bool late);
/* The same before the start comes, if the filter allows all that we have to do until the exec. */
int zl_child_seccomp_ahead(struct zl_child *c);
int zl_child_exec(struct zl_child *c); /* returns only on failure */
void zl_child_reaper(pid_t main_pid) __attribute__((noreturn));
/* Which signals we ignore: bit n - 1 is signal n. All of them if it cannot be had. */
uint64_t zl_ignored_signals(int proc_fd);
/* The signal mask and dispositions a command expects; bit n - 1 of `ignored`: signal n may be ignored by now. */
void zl_child_reset_signals(uint64_t ignored);

/* The home directory of a uid; "" if there is no entry. */
void zl_user_home(int root_fd, uid_t uid, char *home, size_t size);

/* ---- hooks ------------------------------------------------------------------------------------------------------- */

/* Runs hooks in order; async-signal-safe. 0, or a negative errno with `failed` and `said` filled: -ETIMEDOUT; -ECHILD: the hook
 * ended with a status other than 0, and `end` says which. */
int zl_hooks_run(const struct zl_oci_hook *hooks, size_t n, struct zl_hook_run *run);
/* "exit status 3", "signal: bad system call": the words of runc, which tell what to look for. */
void zl_hook_end_text(int end, char *text, size_t size);
/* Those of the host before anything of the container runs: prestart, then createRuntime. */
int zl_hooks_run_host(struct zl_plan *plan, const struct zl_container *c, struct zl_error *err);
/* Opens the files of the annotations run.oci.hooks.stdout and .stderr, as crun; the caller closes out and err. */
int zl_hooks_open(const struct zl_oci_config *config, struct zl_hook_run *run,
                  struct zl_error *err);

/* ---- groups ---------------------------------------------------------------------------------------------------------- */

/* cgroupsPath for the cgroupfs driver: absolute below the hierarchies' roots, relative below our parent group, which for a caller without
 * privileges is where he may make groups. The caller frees. */
int zl_container_cgroup_path(const struct zl_container_options *o, char **ret,
                             struct zl_error *err);
/* A group could not be made, for `r`. 0 if the container can do without (rootless, nothing asked for); else `r` with a better message. */
int zl_container_without_cgroup(const struct zl_container_options *o, int r, struct zl_error *err);

/* ---- the container object ------------------------------------------------------------------------------------------ */

struct zl_container {
        char *id;
        char *bundle;
        char *rootfs;
        char *root;     /* directory of states, or NULL */
        int state_fd;   /* our directory in it */
        bool is_locked; /* by a flock on it */
        int staged_fd;  /* state.json without a name */
        pid_t pid;
        bool no_new_keyring;
        uint64_t pid_start; /* start time from /proc, against reused pids */
        int pidfd;
        int sync_fd; /* parent's end; the gate when there is no socket */
        int console_fd;
        bool is_child; /* of this process */
        bool start_sent;
        bool words_come; /* as in the options */
        bool started;
        bool systemd_cgroup;
        bool is_restored; /* from a checkpoint */
        int64_t created;
        char *descriptors[3]; /* what 0, 1 and 2 led to: "pipe:[123]"; or NULL */
        struct zl_cgroup *cgroup;
        struct zl_cgroup_doors
                doors; /* of it, open from the first exec on, or before (zl_container_expect_exec) */
        bool knows_caller; /* so is this, of ourselves */
        bool no_setgroups; /* our user namespace denies it */
        uint64_t ignored_signals;
        char *cgroup_path;
        const struct zl_oci_config *config;
        struct zl_oci_config *own_config;
        struct zl_seccomp_program seccomp; /* for exec */
};

/* Keeps state.json and config.json as long as the container exists; the socket is the gate of created ones. */
#define ZL_STATE_FILE "state.json"
#define ZL_CONFIG_FILE "config.json"
#define ZL_GATE_FILE "start.sock"
#define ZL_CGROUP_LINK "cgroup" /* a link whose text is the group, from before that is made */
#define ZL_HOOKS_FILE "hooks"   /* while hooks of the creation run */

/* A container's object with everything at "none". */
struct zl_container *zl_container_new(const char *id, const char *bundle);
/* Sends one message; negative errno. */
int zl_sync_tell(int fd, int kind, int value);
/* Receives one: 1, 0 at the end of the stream, negative errno. A descriptor that comes along goes to *ret_fd (may be NULL). */
int zl_sync_recv(int fd, struct zl_message *m, int *ret_fd);
/* The gate's other side: sends START and waits for the exec or its error. */
int zl_gate_pass(int fd, const char *command, struct zl_error *err);
/* START, and behind it the command and the variables, for a process that has none yet. */
int zl_words_send(int fd, const struct zl_oci_process *process, struct zl_error *err);
/* Its second half: START was sent before. */
int zl_gate_hear(int fd, const char *command, struct zl_error *err);
/* Sends a pty master to a console socket, as runc does: the descriptor and a name. */
int zl_console_send(int socket_fd, int master, struct zl_error *err);
/* A filter with SCMP_ACT_NOTIFY: connects `plan`'s process to the agent of config->listener_path, with the container's `state` (JSON; NULL is
 * want of memory). Nothing to do for other filters. The caller closes plan->process.seccomp_socket. */
int zl_listener_connect(struct zl_plan *plan, const struct zl_oci_seccomp *config,
                        const char *state, struct zl_error *err);

/* Moves the devices of linux.netDevices to where `pid` is. After a failure, of this or of what follows, zl_net_devices_return(). */
struct zl_net_devices {
        int netns_fd;
        size_t n_moved;
};
int zl_net_devices_move(const struct zl_plan *plan, pid_t pid, struct zl_net_devices *d,
                        struct zl_error *err);
void zl_net_devices_return(const struct zl_plan *plan, struct zl_net_devices *d);
void zl_net_devices_done(struct zl_net_devices *d);

/* Fills what the process needs beyond its plan: seccomp (compiled into `own` if need be), stdio, personality. `null_fd` is
 * opened here and closed by the caller. */
int zl_process_equip(struct zl_process_plan *p, const int stdio[3], int *null_fd,
                     struct zl_error *err);

/* Its first process, that is. */
bool zl_container_has_ended(const struct zl_container *c);
/* state.json, in two steps: what it says is written while there is time, and it appears when the container is created. */
int zl_state_stage(struct zl_container *c, struct zl_error *err);
int zl_state_publish(struct zl_container *c, struct zl_error *err);
/* Before: what its standard descriptors lead to, for a checkpoint. -ENOMEM. */
int zl_state_note_stdio(struct zl_container *c, const int stdio[3]);
/* The state document of the OCI with a given status. */
char *zl_state_document(const struct zl_oci_config *config, const char *id, const char *status,
                        pid_t pid, const char *bundle);
int zl_container_lock(struct zl_container *c, struct zl_error *err);
void zl_container_unlock(struct zl_container *c);
