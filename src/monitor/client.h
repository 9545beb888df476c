/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of zlayer-monitor: launch one, talk to it.
 *
 * One monitor process per start of a workload. Directories, both the caller's:
 *
 *   STATE_DIR  lasts:  config.json (or anywhere else), log/ (written by the monitor), exit.json, monitor.log (its
 *                      own complaints, if there are any)
 *   RUN_DIR    a reboot may wipe it: monitor.sock, monitor.pid (locked as long as the monitor lives and the exit is not
 *                      yet on record)
 *
 * The rule that makes it safe: when the workload ends, the monitor writes exit.json durably, removes cgroup and
 * mounts, removes monitor.sock, unlocks monitor.pid, tells everybody, and ends. So for a workload that was launched:
 *
 *   - zl_monitor_connect() works              it is alive, ask it
 *   - ZL_E_NOT_FOUND, or ZL_E_NETWORK later   zl_monitor_is_alive() is false: read exit.json. If there is none of this
 *                                             generation, the monitor was killed and the container with it: clean up
 *                                             (cgroup), then zl_exit_record_save() with ZL_EXIT_REASON_MONITOR_DIED.
 *
 * Calls block until the monitor answers, at most 60 s where nothing else is said (ZL_E_TIMEOUT). Errors of the monitor
 * arrive whole: code, errno, message and hint. A connection belongs to one thread at a time. Clients must run under
 * the monitor's user or root.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <zlayer/runtime.h>

#include "base/error.h"
#include "monitor/record.h"

/* ---- launching ----------------------------------------------------------------------------------- */

struct zl_monitor_launch {
        const char *name;    /* container id; shown by ps */
        uint32_t generation; /* from 1; stands in status, logs and exit record */
        int state_dir_fd;    /* STATE_DIR */
        int run_dir_fd;      /* RUN_DIR */
        const char *bundle;  /* absolute path of the bundle directory (config.json) */
        /* An overlay as root file system, mounted in the container's own mount namespace over root.path. NULL: root.path
         * is used as it is. Absolute paths, LOWEST first. */
        char *const *lower_dirs;
        const char *upper_dir, *work_dir;
        int seccomp_fd; /* memfd with the compiled BPF program; negative: none */

        /* A terminal (process.terminal of config.json decides): its first size, 0: 24 x 80. */
        uint16_t rows, cols;
        bool attach_stdin; /* keep standard input open for attach; otherwise it is /dev/null */

        int stop_signal;        /* 0: SIGTERM */
        int64_t grace_nsec;     /* until a stop becomes a kill; negative: 10 s */
        uint64_t log_max_size;  /* bytes of one log file; 0: 10 MiB */
        uint32_t log_max_files; /* at least 1; 0: 5 */
        bool no_log;            /* drain the output, keep nothing of it */
        uint32_t
                keep_most; /* its process keeps instances ready (wasm/keep.h): so many at once; 0: it does not */

        bool init_reaper; /* our tiny init as PID 1 in front of the command */
        bool systemd_cgroup;
        bool no_pivot;
        bool no_new_keyring;
        /* It becomes a workload by zl_monitor_adopt(); until then it ends when the connection of the launch is closed. Its process runs
         * already and waits to be told what to do (`zlayer-wasm spare`); `gated`: it waits for its start, with a command that is none. */
        bool spare, gated;
        bool same_overlay; /* as it was prepared */
        /* From zl_monitor_start_ahead(); taken over, also on failure. NULL: the program is started now. */
        struct zl_monitor *ahead;
        /* Called while the monitor is at work: what the caller has to do anyway. If it fails so does the launch, but there is a monitor then,
         * which has to be stopped. NULL: nothing. */
        int (*meanwhile)(void *data, struct zl_error *err);
        void *meanwhile_data;
};
#define ZL_MONITOR_LAUNCH_INIT                                                                     \
        ((struct zl_monitor_launch){ .generation = 1,                                              \
                                     .state_dir_fd = -EBADF,                                       \
                                     .run_dir_fd = -EBADF,                                         \
                                     .seccomp_fd = -EBADF,                                         \
                                     .grace_nsec = -1 })

struct zl_monitor; /* a connection */

/* Starts `program` before it is known what it is to launch, so that it gets ready meanwhile. It has touched nothing, and
 * ends when `*ret` is closed. `name` NULL: it is not even known for whom; such a one has the time to make a network namespace, too. */
int zl_monitor_start_ahead(const char *program, const char *name, struct zl_monitor **ret,
                           struct zl_error *err);
/* Does such a one wait still, or a spare? */
bool zl_monitor_is_waiting(const struct zl_monitor *monitor);

/* Tells one that was started ahead where it will be: it takes RUN_DIR while the rest of the launch is thought of, and leaves it if there
 * is none and `monitor` is closed (which waits for that), or if the launch names another. Both directories may be renamed meanwhile, and the
 * name be another then. Does not wait; what goes wrong there is told by the launch. The descriptors are the caller's. */
struct zl_monitor_preparation {
        const char *name;
        int state_dir_fd, run_dir_fd;
        /* An overlay, as in the launch, that is mounted now. Launches with `same_overlay` get it. NULL: none. */
        char *const *lower_dirs;
        const char *upper_dir, *work_dir;
};
int zl_monitor_prepare(struct zl_monitor *monitor, const struct zl_monitor_preparation *what,
                       struct zl_error *err);

/* Starts `program` (or tells launch->ahead) and waits until the container is created: everything is set up, the command does not run yet. An
 * older exit.json is then gone. On failure the container's own error is returned and nothing is left behind. `*ret` (may
 * be NULL) is a connection to the new monitor, ready for zl_monitor_start(). The monitor is no child of the caller. */
int zl_monitor_launch(const char *program, const struct zl_monitor_launch *launch,
                      struct zl_monitor **ret, struct zl_error *err);

/* Of a spare, on the connection of its launch: from now on it is a workload like any other that waits for its start, under this
 * name. ZL_E_STATE if it has ended meanwhile. */
enum { ZL_MONITOR_ADOPT_MAX = 60 << 10 }; /* bytes of args and env together */
struct zl_monitor_adoption {
        const char *name, *hostname;
        char *const *
                args; /* what stands behind the word "run" in a command of zlayer-wasm; of one that is gated, its command */
        char *const *env; /* all of it */
};
int zl_monitor_adopt(struct zl_monitor *monitor, const struct zl_monitor_adoption *what,
                     struct zl_error *err);

/* Does a monitor hold RUN_DIR? 1: yes, `*ret_pid` (may be NULL) is its pid; 0: no; negative: cannot tell. Safe against
 * reuse of pids. Does not wait for the monitor, which may even be stopped. */
int zl_monitor_is_alive(int run_dir_fd, pid_t *ret_pid, struct zl_error *err);

/* Removes what a dead monitor left in RUN_DIR (socket, lock). Call only if zl_monitor_is_alive() says 0. */
int zl_monitor_clean_run_dir(int run_dir_fd, struct zl_error *err);

/* ---- one connection: questions and orders --------------------------------------------------------- */

/* ZL_E_NOT_FOUND if no monitor listens there. */
int zl_monitor_connect(int run_dir_fd, struct zl_monitor **ret, struct zl_error *err);
/* The same for somebody who only looks: no answer may take longer than that. ZL_E_BUSY if too many wait there already. */
int zl_monitor_connect_within(int run_dir_fd, int timeout_msec, struct zl_monitor **ret,
                              struct zl_error *err);
void zl_monitor_close(struct zl_monitor *monitor);
ZL_DEFINE_CLEANUP(struct zl_monitor *, zl_monitor_closep, zl_monitor_close)

struct zl_monitor_status {
        enum zl_workload_state state; /* PENDING RUNNING PAUSED STOPPING EXITED FAILED */
        pid_t monitor_pid, pid;       /* pid: the workload's first process; 0 when it has ended */
        bool terminal;                /* its output comes from a pseudo terminal */
        uint32_t n_execs, n_attached;
        /* generation, times and log figures are always true; the rest once it has ended (EXITED, FAILED) */
        struct zl_exit_record record;
};
#define ZL_MONITOR_STATUS_INIT ((struct zl_monitor_status){ .record.exit_code = -1 })
void zl_monitor_status_done(struct zl_monitor_status *status);

int zl_monitor_get_status(struct zl_monitor *monitor, struct zl_monitor_status *ret,
                          struct zl_error *err);

/* What the monitor of the run directory DIRFD/NAME has put down at its last change of state, without waking it. 1; or 0 if no
 * monitor holds the directory or what is there is just being written: then ask. Figures of the log and the numbers of commands
 * and of those attached are as old as the change. */
int zl_monitor_glance(int dirfd, const char *name, struct zl_monitor_status *ret);

/* The same for who does something with what was seen and then wants to know whether it was true all the time: the descriptor
 * in *ret_fd, which the caller closes, and `*ret_sum` are for zl_monitor_glance_holds(). */
int zl_monitor_glance_open(int dirfd, const char *name, struct zl_monitor_status *ret, int *ret_fd,
                           uint64_t *ret_sum);
bool zl_monitor_glance_holds(int fd, uint64_t sum);

/* Lets the command run. Returns when it has been executed, or why it cannot be: ZL_E_NO_COMMAND / ZL_E_NOT_RUNNABLE
 * (the workload is then EXITED with 127 / 126), others (it is then FAILED). The record is written in each case. */
int zl_monitor_start(struct zl_monitor *monitor, struct zl_error *err);

/* Sends `sig` (0: the workload's stop signal), and KILL to everything in the cgroup after `grace_nsec` (negative: the
 * workload's own). Returns when the end is on record and, with `ret_record`, tells it (released by the caller). A
 * workload that never started is killed at once. */
int zl_monitor_stop(struct zl_monitor *monitor, int sig, int64_t grace_nsec,
                    struct zl_exit_record *ret_record, struct zl_error *err);
/* Sends a signal to the first process, or to all in the cgroup. Does not wait for an effect. */
int zl_monitor_kill(struct zl_monitor *monitor, int sig, bool all, struct zl_error *err);
int zl_monitor_pause(struct zl_monitor *monitor, bool pause, struct zl_error *err);
/* Size of the workload's terminal. ZL_E_STATE without one. */
int zl_monitor_resize(struct zl_monitor *monitor, uint16_t rows, uint16_t cols,
                      struct zl_error *err);

/* Turns the connection into a stream of states: the present one first, then one at each change; the last is EXITED or
 * FAILED. Afterwards only the two calls below (and close) are allowed on it. Returns without waiting for an answer. */
int zl_monitor_subscribe(struct zl_monitor *monitor, struct zl_error *err);
int zl_monitor_fd(const struct zl_monitor *monitor);
/* 1: `*ret` is filled (release it); 0: nothing now; -ENODATA: the last was told; ZL_E_NETWORK: the monitor is gone
 * without a last word. Does not block. */
int zl_monitor_next_event(struct zl_monitor *monitor, struct zl_monitor_status *ret,
                          struct zl_error *err);

/* ---- running a command inside --------------------------------------------------------------------- */

struct zl_monitor_exec; /* has a connection of its own */

struct zl_monitor_exec_options {
        char *const *argv; /* at least one */
        char *const *env;  /* added to the workload's environment; NULL: nothing */
        const char *cwd;   /* NULL: the workload's */
        const char *user;  /* NULL: the workload's; "name", "uid", "uid:gid", "name:group" */
        bool privileged;
        bool tty; /* `stdio` is ignored, the terminal is zl_monitor_exec_tty_fd() */
        uint16_t rows, cols;
        int stdio[3]; /* negative: /dev/null; the caller's */
};

/* Returns when the command has been executed, or why it cannot be (ZL_E_NO_COMMAND, ZL_E_NOT_RUNNABLE, ZL_E_STATE if the
 * workload does not run or is paused). All of the options together at most 120 KiB (ZL_E_INVALID). */
int zl_monitor_exec_open(int run_dir_fd, const struct zl_monitor_exec_options *options,
                         struct zl_monitor_exec **ret, struct zl_error *err);
int zl_monitor_exec_fd(const struct zl_monitor_exec *exec); /* readable when it has ended */
pid_t zl_monitor_exec_pid(const struct zl_monitor_exec *exec);
/* Master side of its terminal, owned by the handle; -EBADF without one. */
int zl_monitor_exec_tty_fd(const struct zl_monitor_exec *exec);
int zl_monitor_exec_resize(struct zl_monitor_exec *exec, uint16_t rows, uint16_t cols,
                           struct zl_error *err);
int zl_monitor_exec_kill(struct zl_monitor_exec *exec, int sig, struct zl_error *err);
/* 1: it has ended, `*ret_code` (128 + signal if one ended it); 0: it still runs; ZL_E_NETWORK: the monitor is gone.
 * Does not block. */
int zl_monitor_exec_result(struct zl_monitor_exec *exec, int *ret_code, struct zl_error *err);
/* The command goes on if it still runs; its terminal is then drained by the monitor. */
void zl_monitor_exec_close(struct zl_monitor_exec *exec);
ZL_DEFINE_CLEANUP(struct zl_monitor_exec *, zl_monitor_exec_closep, zl_monitor_exec_close)

/* ---- attaching to the workload's own streams -------------------------------------------------------- */

struct zl_monitor_attach; /* has a connection of its own */

int zl_monitor_attach_open(int run_dir_fd, struct zl_monitor_attach **ret, struct zl_error *err);
int zl_monitor_attach_fd(const struct zl_monitor_attach *attach);
/* Output from now on. 1: bytes of stream 1 or 2, valid until the next call; 0: nothing now; -ENODATA: the end;
 * ZL_E_BUSY: we were too slow and have been dropped (128 KiB/s are asked for); ZL_E_NETWORK: the monitor is gone. Does
 * not block. */
int zl_monitor_attach_next(struct zl_monitor_attach *attach, int *ret_stream, const char **ret_data,
                           size_t *ret_len, struct zl_error *err);
/* Input; blocks while the workload does not read. len 0 closes its standard input (on a terminal: end of file, ^D).
 * ZL_E_STATE if its standard input is not open. */
int zl_monitor_attach_write(struct zl_monitor_attach *attach, const void *data, size_t len,
                            struct zl_error *err);
int zl_monitor_attach_resize(struct zl_monitor_attach *attach, uint16_t rows, uint16_t cols,
                             struct zl_error *err);
void zl_monitor_attach_close(struct zl_monitor_attach *attach);
ZL_DEFINE_CLEANUP(struct zl_monitor_attach *, zl_monitor_attach_closep, zl_monitor_attach_close)
