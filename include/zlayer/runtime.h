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
        const char *
                docker_host; /* unix:///PATH, tcp://HOST:PORT; default $DOCKER_HOST or the usual sockets */
        const char *
                wasm_cache_dir; /* compiled modules; default $ZLAYER_WASM_CACHE_DIR or root_dir/wasm */
        /* How long an instance may run; 0: $ZLAYER_WASM_MAX_EXECUTION_TIME, or no limit. */
        int64_t wasm_max_execution_nsec;
        /* Keep a container with the engine ready for the next WebAssembly workload that asks for the same as the last one, for programs
         * that live long; $ZLAYER_WASM_SPARE decides otherwise. */
        bool wasm_spare;
        /* Keep the process that the next native workload needs ready for a minute after the last, and a container of a shape that has come
         * twice; likewise; $ZLAYER_MONITOR_SPARE. */
        bool monitor_spare;
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
        char *version;  /* of the engine behind it, if it is available and tells one; or NULL */
        /* Names of the operations it has, as zl_runtime_operation_name() gives them; NULL if it is not built. */
        char **operations;
};
/* Looks without changing anything. `options` may be NULL. The caller frees with zl_runtime_info_free(). */
ZL_PUBLIC int zl_runtime_probe(const struct zl_runtime_options *options,
                               struct zl_runtime_info **ret, size_t *ret_n, struct zl_error *err);
ZL_PUBLIC void zl_runtime_info_free(struct zl_runtime_info *infos, size_t n);

/* What a backend can do: every operation that some backends lack has a name ("pause", "image_save" ...), from 0 on; NULL
 * behind the last. zl_runtime_can() says whether calling it would answer anything but ZL_E_UNSUPPORTED. */
ZL_PUBLIC const char *zl_runtime_operation_name(size_t i);
ZL_PUBLIC bool zl_runtime_can(const struct zl_runtime *rt, const char *operation);

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
        /* It must be the image of this digest (of its manifest), whatever the name means now; one that is here will do, whatever
         * the policy. NULL: what the name means. */
        const char *digest;
};

/* Makes sure that `image` is present as the policy asks. `options` may be NULL. `*ret_digest` (may be NULL) is the
 * digest of the image's manifest, freed by the caller. Takes as long as the network does. */
ZL_PUBLIC int zl_runtime_pull(struct zl_runtime *rt, const char *image,
                              const struct zl_pull_options *options, char **ret_digest,
                              struct zl_error *err);

/* Images that are here. Names may be given in any form that a pull takes, or as a digest. */
struct zl_image_info {
        char *reference; /* canonical name, or NULL if it has none */
        char *digest; /* of the manifest, or NULL if it is not known (an image that was never in a registry) */
        char *id;                /* digest of its configuration */
        char *os, *architecture; /* or NULL */
        uint64_t size;           /* bytes of all files, unpacked */
        int64_t created;
};
/* One entry per name, in order of name. The caller frees with zl_image_info_free(). */
ZL_PUBLIC int zl_runtime_image_list(struct zl_runtime *rt, struct zl_image_info **ret,
                                    size_t *ret_n, struct zl_error *err);
ZL_PUBLIC void zl_image_info_free(struct zl_image_info *infos, size_t n);
/* What is known of an image, as JSON text in the backend's own form; the caller frees it. */
ZL_PUBLIC int zl_runtime_image_inspect(struct zl_runtime *rt, const char *image, char **ret_json,
                                       struct zl_error *err);
/* How it was built, newest first: a JSON array of {created, created_by, size, comment, empty_layer}. */
ZL_PUBLIC int zl_runtime_image_history(struct zl_runtime *rt, const char *image, char **ret_json,
                                       struct zl_error *err);
/* What the registry behind the backend finds: a JSON array of {name, description, stars, official}. `limit` 0: the
 * registry decides. "REGISTRY/TERM" asks another than docker.io. */
ZL_PUBLIC int zl_runtime_image_search(struct zl_runtime *rt, const char *term, unsigned limit,
                                      char **ret_json, struct zl_error *err);
ZL_PUBLIC int zl_runtime_image_tag(struct zl_runtime *rt, const char *image, const char *name,
                                   struct zl_error *err);
/* Takes a name away, and the content when it was the last one. ZL_E_BUSY if a workload uses it and not `force`. */
ZL_PUBLIC int zl_runtime_image_remove(struct zl_runtime *rt, const char *image, bool force,
                                      struct zl_error *err);
/* Removes what has no name; with `all` also every image that no workload uses. `*ret_freed` (may be NULL): bytes. */
ZL_PUBLIC int zl_runtime_image_prune(struct zl_runtime *rt, bool all, uint64_t *ret_freed,
                                     struct zl_error *err);
/* Writes an archive to `fd` that zl_runtime_image_load() and `docker load` read. Blocks until all is written. */
ZL_PUBLIC int zl_runtime_image_save(struct zl_runtime *rt, const char *image, int fd,
                                    struct zl_error *err);
/* Takes in an archive (of `docker save`, an OCI layout, or a plain root file system) from the file `path`. `name` is
 * what the image is called then; NULL: the names that stand in the archive. `progress` may be NULL. `*ret_digest`
 * (may be NULL) as for a pull. */
ZL_PUBLIC int zl_runtime_image_load(struct zl_runtime *rt, const char *path, const char *name,
                                    const struct zl_pull_options *progress, char **ret_digest,
                                    struct zl_error *err);

/* ---- life ---------------------------------------------------------------------------------------- */

enum zl_workload_state {
        ZL_STATE_PENDING,      /* created, not started */
        ZL_STATE_INITIALIZING, /* being created or running its init actions */
        ZL_STATE_RUNNING,
        ZL_STATE_PAUSED,
        ZL_STATE_STOPPING,
        ZL_STATE_EXITED,  /* exit_code, signal and oom are true */
        ZL_STATE_FAILED,  /* never ran, or we lost sight of it; reason says why */
        ZL_STATE_REMOVED, /* told by zl_watch_open_all() only: there is no such workload any more */
};
ZL_PUBLIC const char *zl_workload_state_name(enum zl_workload_state state);

/* One published port. */
struct zl_port {
        char *host_ip; /* address it listens on; "0.0.0.0" and "::" are all of them */
        uint16_t host_port, container_port;
        bool udp; /* else TCP */
};

struct zl_status {
        char *name; /* DEPLOYMENT.SERVICE.REPLICA */
        char *image;
        enum zl_workload_state state;
        enum zl_runtime_kind runtime;
        pid_t pid;     /* of the workload's first process on this machine, 0 if there is none */
        int exit_code; /* 0..255; 128 + signal if a signal ended it; -1 while it runs */
        int signal;    /* the signal that ended it, or 0 */
        bool oom;      /* the kernel's out-of-memory killer struck in its cgroup */
        bool stop_requested;   /* it ended because somebody asked for it through us */
        char *reason;          /* in words, for exited and failed; or NULL */
        char *ip;              /* address, or NULL */
        struct zl_port *ports; /* published while it exists; host ports are the real ones */
        size_t n_ports;
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
        const char *digest; /* of the image, as for a pull; NULL: what spec->image.name means now */
        /* Called during create when it takes long (a module that is compiled), after 1, 2, 4, 8 ... seconds, with a line that says what
         * takes so long. May be NULL: then it only goes to the log. */
        void (*progress)(const char *text, void *data);
        void *progress_data;
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
/* Whether a workload may get traffic: its service's name resolves to it and the balanced address of the service leads to
 * it. A new workload is not ready, and one that ends is no longer. `false` before a stop begins draining: connections that are there go
 * on. Repeating it is success. ZL_E_UNSUPPORTED from backends that have no network of their own: nothing to do then. */
ZL_PUBLIC int zl_runtime_set_ready(struct zl_runtime *rt, const char *name, bool ready,
                                   struct zl_error *err);
/* The same as `false`, and waits for the end of the connections that are there: until there are none, nobody else is ready to
 * take its place, or `timeout_nsec` is over; all of that is success. Backends that cannot wait return at once. */
ZL_PUBLIC int zl_runtime_drain(struct zl_runtime *rt, const char *name, int64_t timeout_nsec,
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
/* The same for other instants: */
enum zl_wait_condition {
        ZL_WAIT_NOT_RUNNING, /* as zl_runtime_wait() */
        ZL_WAIT_NEXT_EXIT,   /* the next end, also if it has ended already and is started again */
        ZL_WAIT_REMOVED,     /* it is gone; `*ret` is the last that was known of it */
};
ZL_PUBLIC int zl_runtime_wait_for(struct zl_runtime *rt, const char *name,
                                  enum zl_wait_condition condition, int64_t timeout_nsec,
                                  struct zl_status *ret, struct zl_error *err);
/* Gives a workload another name. ZL_E_EXISTS if that is taken; ZL_E_STATE if it runs and the backend (all but Docker) cannot rename
 * what runs. */
ZL_PUBLIC int zl_runtime_rename(struct zl_runtime *rt, const char *name, const char *new_name,
                                struct zl_error *err);
/* Removes every workload that has ended. `*ret_names` (may be NULL): a vector of their names, freed by the caller, element
 * by element. One that cannot be removed is skipped. */
ZL_PUBLIC int zl_runtime_prune(struct zl_runtime *rt, char ***ret_names, struct zl_error *err);
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

/* The same for all workloads of the runtime, also those that come later: first the present state of each, then every
 * change, in the order in which it happened; a workload that is removed is told once more, as ZL_STATE_REMOVED. Never over by
 * itself. A broken source (the engine was restarted) is taken up again inside: what changed meanwhile is told then. */
ZL_PUBLIC int zl_watch_open_all(struct zl_runtime *rt, struct zl_watch **ret, struct zl_error *err);

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
/* The workload must run, or wait for its start. Returns when the command has been executed, or why it cannot (ZL_E_NO_COMMAND, ZL_E_NOT_RUNNABLE ...). */
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

/* ---- looking whether it works ---------------------------------------------------------------------- */

/* Begins a TCP connection from inside the network of a workload: to `host`, a numeric address, or (NULL) to the workload
 * itself, under its own address if it has one, else under loopback. Does not wait: `*ret_fd` is a non-blocking socket, owned
 * by the caller, that becomes writable when the connection stands or has failed (SO_ERROR says which). */
ZL_PUBLIC int zl_runtime_dial(struct zl_runtime *rt, const char *name, const char *host,
                              uint16_t port, int *ret_fd, struct zl_error *err);

/* The health check that an image brings along. */
struct zl_image_health {
        char **test; /* a command with its arguments, to be run inside; NULL: the image has no check */
        int64_t interval, timeout, start_period; /* spans in nanoseconds, 0: not given */
        int64_t retries;                         /* 0: not given */
};
/* `image` must be present. Release `*ret` with zl_image_health_done(). */
ZL_PUBLIC int zl_runtime_image_health(struct zl_runtime *rt, const char *image,
                                      struct zl_image_health *ret, struct zl_error *err);
ZL_PUBLIC void zl_image_health_done(struct zl_image_health *health);

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

/* Of one resource: for how long some of the processes that had work waited for it, and for how long all of them did; the averages
 * are percents of the last 10, 60 and 300 seconds (the kernel's pressure stall information). */
struct zl_pressure {
        struct zl_pressure_line {
                double avg10, avg60, avg300;
                uint64_t total_usec;
        } some, full;
};

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
        bool has_pressure; /* the kernel tells, and there is a group of version 2 */
        struct zl_pressure cpu_pressure, memory_pressure, io_pressure;
};
/* A figure whose controller is missing is 0. */
ZL_PUBLIC int zl_runtime_stats(struct zl_runtime *rt, const char *name, struct zl_stats *ret,
                               struct zl_error *err);

/* The processes of a running workload. */
struct zl_top {
        char **titles; /* of the columns */
        char ***rows;  /* n_rows vectors as long as `titles` */
        size_t n_rows;
};
/* `ps_args` is what `ps` would be told; NULL: the backend's own choice, the only one that native knows. */
ZL_PUBLIC int zl_runtime_top(struct zl_runtime *rt, const char *name, const char *ps_args,
                             struct zl_top *ret, struct zl_error *err);
ZL_PUBLIC void zl_top_done(struct zl_top *top);

/* ---- limits of one that runs -------------------------------------------------------------------------- */

#define ZL_UPDATE_KEEP INT64_MIN /* this one stays as it is */

/* New limits in the terms of Docker and the OCI. How a workload is restarted is no limit: that is the agent's. */
struct zl_update {
        int64_t cpu_shares, cpu_period, cpu_quota; /* microseconds; quota -1: none */
        int64_t cpu_rt_period, cpu_rt_runtime;
        int64_t memory, memory_reservation,
                memory_swap;              /* bytes; swap is memory and swap together; -1: none */
        int64_t blkio_weight, pids_limit; /* pids -1: none */
        const char *cpuset_cpus, *cpuset_mems; /* NULL: stays */
};
#define ZL_UPDATE_INIT                                                                             \
        ((struct zl_update){ ZL_UPDATE_KEEP, ZL_UPDATE_KEEP, ZL_UPDATE_KEEP, ZL_UPDATE_KEEP,       \
                             ZL_UPDATE_KEEP, ZL_UPDATE_KEEP, ZL_UPDATE_KEEP, ZL_UPDATE_KEEP,       \
                             ZL_UPDATE_KEEP, ZL_UPDATE_KEEP, NULL, NULL })
/* Changes the limits of a created or running workload. They last until it ends. ZL_E_UNSUPPORTED names the controller that
 * this machine lacks. */
ZL_PUBLIC int zl_runtime_update(struct zl_runtime *rt, const char *name,
                                const struct zl_update *update, struct zl_error *err);

/* ---- files -------------------------------------------------------------------------------------------- */

struct zl_file_stat {
        char *name; /* last component */
        int64_t size;
        uint32_t mode; /* as st_mode */
        int64_t mtime;
        char *link_target; /* of a symbolic link, or NULL */
};
ZL_PUBLIC void zl_file_stat_done(struct zl_file_stat *stat);

enum zl_archive_flags {
        ZL_ARCHIVE_NO_OVERWRITE_DIR =
                1 << 0, /* a directory never replaces a file, nor the other way */
        ZL_ARCHIVE_COPY_UID_GID =
                1 << 1, /* owners as in the archive; otherwise the workload's root */
};
/* Paths are those of the workload: absolute, links are resolved inside its root and never lead out of it. The last
 * component itself is not followed. It need not run. */
ZL_PUBLIC int zl_runtime_archive_head(struct zl_runtime *rt, const char *name, const char *path,
                                      struct zl_file_stat *ret, struct zl_error *err);
/* Writes a tar of a file or of a directory with all in it to `fd`; names begin with the last component of `path`. Blocks. */
ZL_PUBLIC int zl_runtime_archive_get(struct zl_runtime *rt, const char *name, const char *path,
                                     int fd, struct zl_error *err);
/* Unpacks a tar from `fd` in the directory `path`, which must exist. Blocks. */
ZL_PUBLIC int zl_runtime_archive_put(struct zl_runtime *rt, const char *name, const char *path,
                                     int fd, unsigned flags, struct zl_error *err);
/* The whole file system without what is mounted into it, as a tar to `fd`. Blocks. */
ZL_PUBLIC int zl_runtime_export(struct zl_runtime *rt, const char *name, int fd,
                                struct zl_error *err);

enum zl_change_kind { ZL_CHANGE_MODIFIED, ZL_CHANGE_ADDED, ZL_CHANGE_DELETED };
struct zl_change {
        char *path; /* absolute */
        enum zl_change_kind kind;
};
/* What differs from the image, in order of path; parents of what differs are told as modified. The caller frees with
 * zl_change_free(). */
ZL_PUBLIC int zl_runtime_changes(struct zl_runtime *rt, const char *name, struct zl_change **ret,
                                 size_t *ret_n, struct zl_error *err);
ZL_PUBLIC void zl_change_free(struct zl_change *changes, size_t n);

struct zl_commit_options {
        const char *image;            /* its name */
        const char *comment, *author; /* may be NULL */
        bool no_pause;                /* do not freeze the workload meanwhile */
};
/* Makes an image of the file system as it is now. `*ret_id` (may be NULL), freed by the caller: digest of its
 * configuration. */
ZL_PUBLIC int zl_runtime_commit(struct zl_runtime *rt, const char *name,
                                const struct zl_commit_options *options, char **ret_id,
                                struct zl_error *err);

#ifdef __cplusplus
}
#endif
#endif
