/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runtimes: one door to everything that can run a workload.
 *
 * A `struct zl_runtime` is one backend (native Linux containers, Docker, WebAssembly ...) or a composite of
 * several. Operations are blocking but short and may be called from several threads at once; calls for
 * one workload are serialised inside. What takes long (the end of a workload, its log, a command run in
 * it) is a handle with a descriptor that becomes readable when there is something to fetch, so a
 * caller can wait for thousands of them in one poll(). Handles belong to one thread at a time.
 *
 * A backend that lacks an operation answers ZL_E_UNSUPPORTED.
 *
 * Times are nanoseconds since 1970 UTC, 0 where unknown; sizes are bytes. All functions follow the
 * error convention of <zlayer/error.h>.
 */
#ifndef ZLAYER_RUNTIME_H
#define ZLAYER_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <zlayer/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct zl_runtime;
struct zl_service_spec; /* <zlayer/spec.h> */

/* ---- kinds and construction -------------------------------------------------------------------- */

enum zl_runtime_kind {
        ZL_RUNTIME_AUTO,   /* the best one that works here */
        ZL_RUNTIME_NATIVE, /* our own Linux container engine; "youki" is an alias */
        ZL_RUNTIME_OCI,    /* an external OCI runtime with the runc command line: "oci:NAME" */
        ZL_RUNTIME_DOCKER,
        ZL_RUNTIME_WASM,
        ZL_RUNTIME_LIBKRUN_VM,
        ZL_RUNTIME_SEATBELT,
        ZL_RUNTIME_HCS,
        ZL_RUNTIME_WSL,
        ZL_RUNTIME_COMPOSITE,
        ZL_RUNTIME_MOCK, /* in memory, for tests */
        ZL_RUNTIME_KIND_MAX_,
};

/* All strings may be NULL for the default and are copied. */
struct zl_runtime_options {
        const char *root_dir; /* what must last; default $ZLAYER_ROOT_DIR or /var/lib/zlayer */
        const char *
                runtime_dir; /* what a reboot may wipe; default $ZLAYER_RUNTIME_DIR or /var/run/zlayer */
        const char *oci_name; /* for ZL_RUNTIME_OCI: name or path of the runtime */
        const char *
                monitor_path; /* program zlayer-monitor; default: beside this program, then libexecdir */
        bool systemd_cgroup; /* let systemd make the cgroups; default $ZLAYER_USE_SYSTEMD */
        bool plain_http;     /* talk HTTP to registries that are not on loopback, too */
};

/* Reads "auto", "native", "youki", "oci:NAME", "docker" ... `*ret_oci_name` points into `text`. */
ZL_PUBLIC int zl_runtime_kind_parse(const char *text, enum zl_runtime_kind *ret,
                                    const char **ret_oci_name);
ZL_PUBLIC const char *zl_runtime_kind_name(enum zl_runtime_kind kind);

/* Makes a runtime. `options` may be NULL. The directories are created when missing. */
ZL_PUBLIC int zl_runtime_new(enum zl_runtime_kind kind, const struct zl_runtime_options *options,
                             struct zl_runtime **ret, struct zl_error *err);
/* Workloads go on without us. All handles must be closed before. NULL is allowed. */
ZL_PUBLIC void zl_runtime_free(struct zl_runtime *rt);
/* The kind that was chosen (never AUTO). */
ZL_PUBLIC enum zl_runtime_kind zl_runtime_get_kind(const struct zl_runtime *rt);

/* Takes up what an earlier life of ours left: finishes the records of workloads whose monitor died, reports those of an
 * earlier boot, removes half-made ones. Called once, before anything else, by a program that manages workloads;
 * short-lived programs need not. Never disturbs what runs. */
ZL_PUBLIC int zl_runtime_recover(struct zl_runtime *rt, struct zl_error *err);

/* What this machine and this build can do, one entry per kind, in the order in which "auto" prefers them. */
struct zl_runtime_info {
        enum zl_runtime_kind kind;
        bool built;     /* compiled in */
        bool available; /* works here and now */
        char *detail;   /* why not; or, if available, a short description; never NULL */
};
/* Looks without changing anything. `options` may be NULL. The caller frees with zl_runtime_info_free(). */
ZL_PUBLIC int zl_runtime_probe(const struct zl_runtime_options *options,
                               struct zl_runtime_info **ret, size_t *ret_n, struct zl_error *err);
ZL_PUBLIC void zl_runtime_info_free(struct zl_runtime_info *infos, size_t n);

/* ---- images ------------------------------------------------------------------------------------ */

enum zl_pull_policy { ZL_PULL_IF_NOT_PRESENT, ZL_PULL_ALWAYS, ZL_PULL_NEWER, ZL_PULL_NEVER };

struct zl_pull_progress {
        const char *id;          /* short digest of the layer, or NULL for the image as a whole */
        const char *status;      /* "resolving", "downloading", "unpacking", "done" ... */
        uint64_t current, total; /* bytes; total 0 if unknown */
};

struct zl_pull_options {
        enum zl_pull_policy policy;
        const char *username,
                *password; /* NULL: from the Docker configuration file, else anonymous */
        /* Called from the pulling thread(s), one call at a time; may be NULL. */
        void (*progress)(const struct zl_pull_progress *progress, void *data);
        void *progress_data;
        const int *cancel; /* pull stops soon after *cancel becomes non-zero; may be NULL */
};

/* Makes sure that `image` is present as the policy asks. `options` may be NULL. `*ret_digest` (may be NULL) is the
 * digest of the image's manifest, freed by the caller. Takes as long as the network does. */
ZL_PUBLIC int zl_runtime_pull(struct zl_runtime *rt, const char *image,
                              const struct zl_pull_options *options, char **ret_digest,
                              struct zl_error *err);

/* ---- life ---------------------------------------------------------------------------------------- */

enum zl_workload_state {
        ZL_STATE_PENDING,      /* created, not started */
        ZL_STATE_INITIALIZING, /* being created or running its init actions */
        ZL_STATE_RUNNING,
        ZL_STATE_PAUSED,
        ZL_STATE_STOPPING,
        ZL_STATE_EXITED, /* exit_code, signal and oom are true */
        ZL_STATE_FAILED, /* never ran, or we lost sight of it; reason says why */
};
ZL_PUBLIC const char *zl_workload_state_name(enum zl_workload_state state);

struct zl_status {
        char *name; /* DEPLOYMENT.SERVICE.REPLICA */
        char *image;
        enum zl_workload_state state;
        enum zl_runtime_kind runtime;
        pid_t pid;     /* of the workload's first process on this machine, 0 if there is none */
        int exit_code; /* 0..255; 128 + signal if a signal ended it; -1 while it runs */
        int signal;    /* the signal that ended it, or 0 */
        bool oom;      /* the kernel's out-of-memory killer struck in its cgroup */
        bool stop_requested; /* it ended because somebody asked for it through us */
        char *reason;        /* in words, for exited and failed; or NULL */
        char *ip;            /* address, or NULL */
        uint32_t generation; /* how often it has been started under this name, from 1 */
        int64_t created_at, started_at, finished_at;
};
ZL_PUBLIC void zl_status_done(struct zl_status *status);

struct zl_create_options {
        const char *name; /* DEPLOYMENT.SERVICE.REPLICA */
        const struct zl_service_spec *spec;
        char *const *
                env; /* resolved environment that replaces spec->env, "NAME=VALUE"; NULL: spec->env as it is */
        bool attach_stdin;   /* keep standard input open for an attach handle */
        bool auto_remove;    /* remove by itself after the exit has been recorded */
        uint16_t rows, cols; /* first size of its terminal, if the spec asks for one; 0: unknown */
        /* Called for each wish of the spec that is accepted but cannot be honoured, during create; `text` is one
         * sentence that names the field. May be NULL: then the texts only go to the log. */
        void (*warn)(const char *text, void *data);
        void *warn_data;
};

/* The image must be present. After this the workload is PENDING: all is set up, the command does not run. On failure
 * nothing is left behind. ZL_E_EXISTS if the name is taken. */
ZL_PUBLIC int zl_runtime_create(struct zl_runtime *rt, const struct zl_create_options *options,
                                struct zl_error *err);
/* ZL_E_NO_COMMAND / ZL_E_NOT_RUNNABLE if the command cannot be executed (the workload is then EXITED with
 * 127 / 126). */
ZL_PUBLIC int zl_runtime_start(struct zl_runtime *rt, const char *name, struct zl_error *err);
/* Sends the stop signal of the workload, and KILL to everything in it when `grace_nsec` is over (negative: the
 * workload's own grace period). Returns when it has ended. Success if it had ended already. A workload that was never started is
 * killed at once: EXITED with 137. */
ZL_PUBLIC int zl_runtime_stop(struct zl_runtime *rt, const char *name, int64_t grace_nsec,
                              struct zl_error *err);
/* Sends a signal to the first process, or to all with `all`. An end by KILL sent through here was asked for
 * (stop_requested). */
ZL_PUBLIC int zl_runtime_kill(struct zl_runtime *rt, const char *name, int sig, bool all,
                              struct zl_error *err);
ZL_PUBLIC int zl_runtime_pause(struct zl_runtime *rt, const char *name, bool pause,
                               struct zl_error *err);
/* Removes everything of an ended (or pending) workload: writable layer, logs, exit record. With `force` kills it first. */
ZL_PUBLIC int zl_runtime_remove(struct zl_runtime *rt, const char *name, bool force,
                                struct zl_error *err);
ZL_PUBLIC int zl_runtime_state(struct zl_runtime *rt, const char *name, struct zl_status *ret,
                               struct zl_error *err);
/* Blocks until the workload has ended or `timeout_nsec` is over (ZL_E_TIMEOUT; negative: no limit). */
ZL_PUBLIC int zl_runtime_wait(struct zl_runtime *rt, const char *name, int64_t timeout_nsec,
                              struct zl_status *ret, struct zl_error *err);
/* Every workload of this runtime, also those that ended and those left by an earlier life of ours, in order of name. The
 * caller releases each with zl_status_done() and frees the array. Wreckage of an earlier boot is reported as FAILED. */
ZL_PUBLIC int zl_runtime_list(struct zl_runtime *rt, struct zl_status **ret, size_t *ret_n,
                              struct zl_error *err);
/* The document that describes a workload in full, as JSON text; the caller frees it. */
ZL_PUBLIC int zl_runtime_inspect(struct zl_runtime *rt, const char *name, char **ret_json,
                                 struct zl_error *err);

/* ---- watching ------------------------------------------------------------------------------------ */

/* Tells every change of state of one workload. The first event is the present state. */
struct zl_watch;
ZL_PUBLIC int zl_watch_open(struct zl_runtime *rt, const char *name, struct zl_watch **ret,
                            struct zl_error *err);
ZL_PUBLIC int zl_watch_fd(const struct zl_watch *watch);
/* 1: an event, `*ret` filled (release it); 0: nothing now; negative: the watch is over (after EXITED or FAILED
 * was told: -ENODATA). Does not block. */
ZL_PUBLIC int zl_watch_next(struct zl_watch *watch, struct zl_status *ret, struct zl_error *err);
ZL_PUBLIC void zl_watch_close(struct zl_watch *watch);

/* ---- logs ---------------------------------------------------------------------------------------- */

struct zl_logs;
struct zl_log_options {
        bool follow;          /* wait for more until the workload has ended and all is read */
        int64_t tail;         /* only the last N entries; negative: all */
        int64_t since, until; /* instants; 0: no bound */
        bool no_stdout, no_stderr;
};
struct zl_log_entry {
        int64_t time;
        int stream;       /* 1 stdout, 2 stderr */
        const char *data; /* bytes of one line without its newline; valid until the next call */
        size_t len;
        bool partial; /* the line goes on in the next entry of this stream */
};
ZL_PUBLIC int zl_logs_open(struct zl_runtime *rt, const char *name,
                           const struct zl_log_options *options, struct zl_logs **ret,
                           struct zl_error *err);
ZL_PUBLIC int zl_logs_fd(const struct zl_logs *logs);
/* 1: an entry; 0: nothing now (follow only); -ENODATA: the end. Does not block. */
ZL_PUBLIC int zl_logs_next(struct zl_logs *logs, struct zl_log_entry *ret, struct zl_error *err);
ZL_PUBLIC void zl_logs_close(struct zl_logs *logs);

/* ---- running a command inside --------------------------------------------------------------------- */

struct zl_exec;
struct zl_exec_options {
        char *const *argv; /* at least one */
        char *const *env;  /* added to the workload's environment; NULL: nothing */
        const char *cwd;   /* NULL: the workload's */
        const char *user;  /* NULL: the workload's; names are looked up inside */
        bool privileged;
        bool tty; /* give it a terminal: use zl_exec_tty_fd(), `stdio` is ignored */
        uint16_t rows, cols;
        int stdio
                [3]; /* its stdin, stdout, stderr; -1: /dev/null. Duplicated, still the caller's. */
};
/* Returns when the command has been executed, or why it cannot (ZL_E_NO_COMMAND, ZL_E_NOT_RUNNABLE ...). */
ZL_PUBLIC int zl_exec_open(struct zl_runtime *rt, const char *name,
                           const struct zl_exec_options *options, struct zl_exec **ret,
                           struct zl_error *err);
ZL_PUBLIC int zl_exec_fd(const struct zl_exec *exec); /* readable when it has ended */
/* The two-way stream of its terminal, owned by the handle; -1 without one. */
ZL_PUBLIC int zl_exec_tty_fd(const struct zl_exec *exec);
ZL_PUBLIC int zl_exec_resize(struct zl_exec *exec, uint16_t rows, uint16_t cols,
                             struct zl_error *err);
ZL_PUBLIC int zl_exec_kill(struct zl_exec *exec, int sig, struct zl_error *err);
/* 1: it has ended, `*ret_code` (128 + signal if one ended it); 0: it still runs; negative: unknown, the connection broke. */
ZL_PUBLIC int zl_exec_result(struct zl_exec *exec, int *ret_code, struct zl_error *err);
/* The command goes on if it still runs. */
ZL_PUBLIC void zl_exec_close(struct zl_exec *exec);

/* ---- attaching to the workload's own streams -------------------------------------------------------- */

struct zl_attach;
ZL_PUBLIC int zl_attach_open(struct zl_runtime *rt, const char *name, struct zl_attach **ret,
                             struct zl_error *err);
ZL_PUBLIC int zl_attach_fd(const struct zl_attach *attach);
/* Output from now on. 1: bytes of stream 1 or 2, valid until the next call; 0: nothing now; -ENODATA: the end. */
ZL_PUBLIC int zl_attach_next(struct zl_attach *attach, int *ret_stream, const char **ret_data,
                             size_t *ret_len, struct zl_error *err);
/* Input; blocks while the workload does not read. len 0 closes its standard input. */
ZL_PUBLIC int zl_attach_write(struct zl_attach *attach, const void *data, size_t len,
                              struct zl_error *err);
ZL_PUBLIC int zl_attach_resize(struct zl_attach *attach, uint16_t rows, uint16_t cols,
                               struct zl_error *err);
ZL_PUBLIC void zl_attach_close(struct zl_attach *attach);

/* ---- figures ----------------------------------------------------------------------------------------- */

struct zl_stats {
        int64_t time;      /* when the figures were read */
        uint64_t cpu_usec; /* processor time used so far */
        uint64_t cpu_throttled_usec;
        double cpu_limit;          /* cores; 0: no limit */
        uint64_t memory_bytes;     /* without inactive page cache (the working set) */
        uint64_t memory_peak;      /* 0 if unknown */
        uint64_t memory_limit;     /* UINT64_MAX: no limit */
        uint64_t pids, pids_limit; /* limit UINT64_MAX: none */
        uint64_t io_read_bytes, io_write_bytes;
        uint64_t net_rx_bytes, net_tx_bytes;
        uint64_t oom_kills;
};
/* A figure whose controller is missing is 0. */
ZL_PUBLIC int zl_runtime_stats(struct zl_runtime *rt, const char *name, struct zl_stats *ret,
                               struct zl_error *err);

#ifdef __cplusplus
}
#endif
#endif
