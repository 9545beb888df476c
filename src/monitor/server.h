/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of zlayer-monitor: one struct, one thread, one epoll loop. Each file of the server has one subject:
 *
 *   server.c         the loop, signals, timers, memory
 *   server_launch.c  from the launch request to the created container
 *   server_life.c    start, stop, pause, the end and its record
 *   server_conn.c    connections: accept, receive, queues of messages
 *   server_request.c what a message asks for
 *   server_output.c  the workload's output into the log and to those attached; their input
 *   server_exec.c    commands run inside
 *   server_keep.c    instances of a WebAssembly workload that keeps some ready
 *   server_spare.c   a process that waits for its module
 *   server_wait.c    until the launch request: a monitor that was started before there is anything to do
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "container/container.h"
#include "monitor/client_internal.h"
#include "monitor/log_writer.h"
#include "monitor/protocol.h"

enum {
        ZL_SERVER_LAUNCH_FD = 3, /* the socket that it is born with */
        ZL_SERVER_CONNS_MAX = 1024,
        ZL_SERVER_EVENTS = 16, /* taken from epoll at once */
        /* One buffer serves for messages and for output; pages that were never used are no memory. */
        ZL_SERVER_SCRATCH = ZL_WIRE_MAX + 1024,
        /* Above this much unsent output the drain waits for the client, up to STALL nsec in which it takes TAKE_MIN. */
        ZL_SERVER_STALL_AT = 128 * 1024,
        ZL_SERVER_TAKE_MIN = 256 * 1024,
        ZL_SERVER_QUEUE_MAX = 1024 * 1024,
};

#define ZL_SERVER_STALL_NSEC (2 * ZL_NSEC_PER_SEC)
#define ZL_SERVER_DRAIN_NSEC (2 * ZL_NSEC_PER_SEC)
#define ZL_SERVER_LINGER_NSEC (200 * ZL_NSEC_PER_MSEC)
#define ZL_SERVER_FLUSH_NSEC (2 * ZL_NSEC_PER_SEC)

struct zl_server;

/* What epoll hands back. The first member of whoever has a descriptor in the loop. */
struct zl_source {
        int fd;
        uint32_t events; /* registered now; 0: not registered */
        void (*ready)(struct zl_server *s, struct zl_source *source, uint32_t events);
};

enum zl_conn_role {
        ZL_CONN_CONTROL,
        ZL_CONN_SUBSCRIBER,
        ZL_CONN_EXEC,
        ZL_CONN_ATTACHED,
        ZL_CONN_CLOSING, /* closed as soon as its queue is empty */
};

struct zl_conn {
        struct zl_source source;
        struct zl_conn *next;
        enum zl_conn_role role;
        bool dead; /* freed at the end of the round */
        bool waits_start, waits_stop;
        uint32_t start_serial, stop_serial;
        struct zl_buf queue; /* messages not sent yet, each behind its uint32_t length */
        size_t taken;        /* bytes sent since the drain began to wait for it */
};

struct zl_server_exec {
        struct zl_source terminal; /* master, kept so that the end of the client is no hang-up */
        struct zl_server_exec *next;
        struct zl_conn *conn; /* NULL: the client has gone */
        pid_t pid;
        int pidfd;
        uint32_t kept;  /* number of an instance in server_keep.c; 0: it is a child of ours */
        uint32_t asked; /* the client's request for it */
        bool ended; /* freed at the end of the round: its terminal may be among the events that were taken */
};

/* One message of a client. */
struct zl_server_request {
        struct zl_conn *conn;
        struct zl_wire *wire; /* at its body */
        uint32_t serial;
        const int *fds; /* that came along; closed by whoever received them */
        size_t n_fds;
};

struct zl_output {
        struct zl_source source;
        int stream;
};

enum zl_server_phase {
        ZL_LIFE_PENDING,
        ZL_LIFE_RUNNING,
        ZL_LIFE_DEAD,  /* the first process has ended, its output is being drained */
        ZL_LIFE_ENDED, /* on record and told */
};

struct zl_segment {
        void *start;
        size_t len;
};

struct zl_server {
        struct zl_segment clean[4]; /* of the program's file, never written */
        int epoll_fd, lock_fd, state_dir_fd, run_dir_fd;
        int terminal_fd; /* the other side of the terminal, held so that it has no end before the workload's */
        struct zl_source listener, signals;
        struct zl_conn *conns;
        size_t n_conns;
        char *scratch;
        struct zl_buf message; /* the one being made */

        char *name;
        int stop_signal;
        int last_signal; /* the last one that somebody asked us to send */
        int64_t grace_nsec;

        struct zl_oci_config *config; /* the container refers to it as long as it exists */
        bool is_compact;              /* the configuration takes no more memory than it needs */
        struct zl_container *container;
        pid_t pid;
        enum zl_server_phase phase;
        bool init_reaper;
        bool paused, terminal;
        bool dirty, trimmed; /* memory was used that can be given back; some has been */
        bool logs;
        struct zl_error start_error;
        struct zl_exit_record record;
        unsigned record_attempts;

        struct zl_log_writer log;
        struct zl_output outputs[2];
        bool stalled;
        struct zl_source input;     /* the workload's stdin or a copy of its terminal's master */
        struct zl_buf input_queue;  /* what it has not taken yet */
        bool input_ends, has_input; /* has_input: was open at the begin */
        struct zl_server_exec *execs;
        struct zl_source keeper; /* the workload's process, if it keeps instances ready */
        uint32_t keep_most, keep_serial;
        bool prepared;     /* the run directory is ours before there is a launch */
        int overlay_fd;    /* mounted while we waited, for the container to come; negative: none */
        int network_ns_fd; /* made while we waited, for the container to come; negative: none */
        int mount_ns_fd; /* the container's, so that it does not end before that is told; negative: that is not wanted */
        int spare_fd; /* to a process that waits for what it shall run; negative: there is none */
        struct zl_conn
                *owner;    /* of a spare that nobody has adopted: it ends with this connection */
        char **spare_args; /* of one whose process runs */

        /* Monotonic instants; 0: not set. */
        int64_t kill_at, stall_at, drain_until, record_at, linger_until, flush_until, trim_at;
};

/* ---- server.c */
int zl_source_set(struct zl_server *s, struct zl_source *source, uint32_t events);
void zl_source_close(struct zl_server *s, struct zl_source *source);
/* Maps the program's text and constants, for who waits: what runs for the first time then need not be looked up page by page. */
void zl_server_populate(struct zl_server *s);
/* Runs until the workload's end has been told; returns the exit status of the program. */
int zl_server_loop(struct zl_server *s);
/* Takes up children that have ended. */
void zl_server_reap(struct zl_server *s);

/* ---- server_launch.c */
int zl_server_launch(struct zl_server *s, struct zl_monitor_launch *launch, struct zl_error *err);
/* Gives the configuration the form in which it is kept, which nobody has to wait for. */
void zl_server_compact(struct zl_server *s);
/* Takes RUN_DIR: lock and socket. */
int zl_server_enter(struct zl_server *s, struct zl_error *err);
/* Undoes what launch did in RUN_DIR: socket and lock. */
void zl_server_leave(struct zl_server *s);

/* ---- server_life.c */
enum zl_workload_state zl_server_state(const struct zl_server *s);
void zl_server_fill_status(struct zl_server *s, struct zl_monitor_status *ret);
void zl_server_start(struct zl_server *s, struct zl_conn *conn, uint32_t serial);
int zl_server_stop(struct zl_server *s, int sig, int64_t grace_nsec, struct zl_error *err);
int zl_server_pause(struct zl_server *s, bool pause, struct zl_error *err);
void zl_server_init_ended(struct zl_server *s, int code, int sig);
void zl_server_try_finish(struct zl_server *s);
void zl_server_timers(struct zl_server *s, int64_t now);

/* ---- server_conn.c */
int zl_server_add_conn(struct zl_server *s, int fd);
void zl_server_accept(struct zl_server *s, struct zl_source *source, uint32_t events);
/* Sends s->message (begun by the caller), or queues it. Failures make the connection dead. */
void zl_conn_send(struct zl_server *s, struct zl_conn *conn);
void zl_conn_send_ok(struct zl_server *s, struct zl_conn *conn, uint32_t serial);
void zl_conn_send_error(struct zl_server *s, struct zl_conn *conn, uint32_t serial,
                        const struct zl_error *err);
/* As zl_conn_send() with one descriptor; it must go at once. */
void zl_conn_send_fd(struct zl_server *s, struct zl_conn *conn, int fd);
/* A frame of output, without a copy if the socket takes it. */
void zl_conn_send_output(struct zl_server *s, struct zl_conn *conn, int stream, const char *data,
                         size_t len);
void zl_conn_drop(struct zl_server *s, struct zl_conn *conn);
/* Watches for what the connection can do now: read, unless input waits; write, if something is queued. */
void zl_conn_update(struct zl_server *s, struct zl_conn *conn);
/* Puts the state down for those who look without asking (zl_monitor_glance()), then tells it to those who wait for it. */
void zl_server_tell_state(struct zl_server *s);
void zl_server_note_state(struct zl_server *s);
/* Frees what has died in this round. */
void zl_server_bury_conns(struct zl_server *s);

/* ---- server_request.c */
void zl_server_request(struct zl_server *s, struct zl_conn *conn, size_t len, int *fds,
                       size_t n_fds);

/* ---- server_output.c */
void zl_output_ready(struct zl_server *s, struct zl_source *source, uint32_t events);
/* Reads all that is there; true when every output is at its end. */
bool zl_server_drain(struct zl_server *s);
void zl_server_close_outputs(struct zl_server *s);
void zl_server_check_stall(struct zl_server *s, int64_t now);
void zl_input_ready(struct zl_server *s, struct zl_source *source, uint32_t events);
void zl_server_input(struct zl_server *s, const char *data, size_t len);
int zl_server_resize(struct zl_server *s, uint32_t rows, uint32_t cols, struct zl_error *err);

/* ---- server_exec.c */
/* Answers itself; a message that does not decode is left for the caller to see. */
void zl_server_exec(struct zl_server *s, struct zl_server_request *request);
void zl_server_exec_kill(struct zl_server *s, struct zl_conn *conn, int sig);
bool zl_server_exec_ended(struct zl_server *s, pid_t pid, int code);
void zl_server_exec_end(struct zl_server *s, struct zl_server_exec *exec, int code);
/* Frees those that ended in this round. */
void zl_server_bury_execs(struct zl_server *s);
/* The client of a command is gone. */
void zl_server_exec_orphan(struct zl_server *s, struct zl_conn *conn);

/* ---- server_keep.c */
/* Before the workload is created: `*ret_theirs` is to become the standard input of its process; the caller closes it. At most `most`
 * instances run at once. */
int zl_server_keep_open(struct zl_server *s, uint32_t most, int *ret_theirs);
int zl_server_keep_watch(struct zl_server *s);
struct zl_server_keep {
        char *const *argv, *const *env; /* the whole command; all variables */
        int stdio[3];
};
/* Is it a command that runs the module, and the process there to be asked? */
bool zl_server_keep_takes(const struct zl_server *s, const struct zl_server_keep *what);
/* Asks for an instance; the client of `exec` is answered when it runs. */
int zl_server_keep_run(struct zl_server *s, const struct zl_server_keep *what,
                       struct zl_server_exec *exec, struct zl_error *err);
void zl_server_keep_signal(const struct zl_server_exec *exec, int sig);
/* A request of wasm/keep.h with its texts. 0 or -ENOMEM. */
int zl_server_keep_put(struct zl_buf *buf, uint32_t serial, char *const *args, char *const *env);

/* ---- server_spare.c */
/* Before the container is created: `*ret_theirs` is to become the standard input of its process; the caller closes it. */
int zl_server_spare_open(struct zl_server *s, int *ret_theirs);
/* It becomes that workload. Copies what it is given. */
int zl_server_spare_adopt(struct zl_server *s, const struct zl_monitor_adoption *what,
                          struct zl_error *err);
/* Tells the process to run. */
int zl_server_spare_start(struct zl_server *s, struct zl_error *err);
/* The connection is about to go: nobody will ever adopt it. */
void zl_server_spare_orphan(struct zl_server *s, const struct zl_conn *conn);

/* ---- server_wait.c ---------------------------------------------------------------------------------------------------------- */

/* Of a monitor that was started as one that waits (argv says so): does what can be done before it knows for whom. Otherwise, and where that
 * fails, nothing. */
void zl_server_wait_prepare(struct zl_server *s, int argc, char **argv);
/* Receives the launch request, and before that where it will be. -EPROTO: none comes. */
int zl_server_wait(struct zl_server *s, struct zl_monitor_launch *launch);
/* It is this workload's from now on: ps shows it, a spare as one. */
void zl_server_wait_done(int argc, char **argv, const struct zl_monitor_launch *launch);
void zl_server_show_name(const char *name);
