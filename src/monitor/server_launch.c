/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the inherited socket to the created container.
 *
 * The program forks once: the first process, whose parent is the launcher, ends; the second lives in a session of its own
 * and nobody has to wait for it. Then RUN_DIR is taken by a lock that the kernel keeps for this process alone. Only after
 * the container exists is the old exit record removed: a failed launch leaves the state directory as it was.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/process.h"
#include "base/socket.h"
#include "linux/seccomp.h"
#include "monitor/main.h"
#include "monitor/server.h"

enum { MONITOR_LOG_MAX = 256 * 1024 };

#define MONITOR_LOG_NAME "monitor.log"

/* ---- the program's own word ------------------------------------------------------------------------------- */

static void log_sink(enum zl_log_level level, const char *message, void *data)
{
        const struct zl_server *s = data;
        _cleanup_close_ int fd = openat(s->state_dir_fd, MONITOR_LOG_NAME,
                                        O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC,
                                        0640);
        char time[ZL_RFC3339_SIZE];
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > MONITOR_LOG_MAX)
                return;
        dprintf(fd, "%s %s: %s\n", zl_format_rfc3339(zl_now_realtime(), time),
                zl_log_level_name(level), message);
}

/* ---- taking the directory ------------------------------------------------------------------------------------ */

static int lock_run_dir(struct zl_server *s, struct zl_error *err)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        for (;;) {
                _cleanup_close_ int fd = openat(s->run_dir_fd, ZL_MONITOR_PID_FILE,
                                                O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
                struct stat ours, there;

                if (fd < 0)
                        return zl_fail_errno(err, errno, "cannot make %s", ZL_MONITOR_PID_FILE);
                if (fcntl(fd, F_SETLK, &lock) < 0)
                        return zl_fail(err, ZL_E_EXISTS, EEXIST, "%s has a monitor already",
                                       s->name);
                /* Its last owner may have removed it between our open and our lock. */
                if (fstat(fd, &ours) < 0 ||
                    fstatat(s->run_dir_fd, ZL_MONITOR_PID_FILE, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
                    ours.st_ino != there.st_ino)
                        continue;
                if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", getpid()) < 0)
                        return zl_fail_errno(err, errno, "cannot write %s", ZL_MONITOR_PID_FILE);
                s->lock_fd = zl_take_fd(fd);
                return 0;
        }
}

static int listen_in_run_dir(struct zl_server *s, struct zl_error *err)
{
        int r;

        /* We have the lock: a socket that is there is a dead monitor's. */
        if (unlinkat(s->run_dir_fd, ZL_MONITOR_SOCKET, 0) < 0 && errno != ENOENT)
                return zl_fail_errno(err, errno, "cannot remove the old %s", ZL_MONITOR_SOCKET);
        s->listener.fd = zl_unix_listen_at(s->run_dir_fd, ZL_MONITOR_SOCKET, SOCK_SEQPACKET, 0600);
        if (s->listener.fd < 0)
                return zl_fail_errno(err, -s->listener.fd, "cannot listen on %s",
                                     ZL_MONITOR_SOCKET);
        r = zl_fd_set_nonblock(s->listener.fd, true);
        if (r >= 0)
                r = zl_source_set(s, &s->listener, EPOLLIN);
        return r < 0 ? zl_fail_errno(err, -r, "cannot watch %s", ZL_MONITOR_SOCKET) : 0;
}

int zl_server_enter(struct zl_server *s, struct zl_error *err)
{
        int r = lock_run_dir(s, err);

        return r < 0 ? r : listen_in_run_dir(s, err);
}

void zl_server_leave(struct zl_server *s)
{
        if (s->listener.fd >= 0)
                unlinkat(s->run_dir_fd, ZL_MONITOR_SOCKET, 0);
        zl_source_close(s, &s->listener);
        if (s->lock_fd >= 0)
                unlinkat(s->run_dir_fd, ZL_MONITOR_PID_FILE, 0);
        s->lock_fd = zl_close(s->lock_fd);
}

/* ---- the container ----------------------------------------------------------------------------------------------- */

struct pipes {
        int ours[3], theirs[3];
};

static void pipes_done(struct pipes *p)
{
        for (int i = 0; i < 3; i++) {
                zl_close(p->ours[i]);
                zl_close(p->theirs[i]);
        }
}

static int open_pipes(struct pipes *p, bool with_input)
{
        for (int i = with_input ? 0 : 1; i < 3; i++) {
                int fds[2];

                if (pipe2(fds, O_CLOEXEC) < 0)
                        return -errno;
                p->ours[i] = fds[i == 0];
                p->theirs[i] = fds[i != 0];
                /* A command that is not root opens /dev/stdout again, and it may be looked up by name inside only: so everybody
                 * may. Only who may look into the process gets at it anyway. */
                if (fchmod(p->theirs[i], 0666) < 0 || zl_fd_set_nonblock(p->ours[i], true) < 0)
                        return -errno;
        }
        return 0;
}

static void set_window_size(int fd, const struct zl_monitor_launch *launch,
                            const struct zl_oci_console_size *console)
{
        struct winsize size = { .ws_row = launch->rows, .ws_col = launch->cols };

        if (!size.ws_row && console)
                size.ws_row = (uint16_t)console->height;
        if (!size.ws_col && console)
                size.ws_col = (uint16_t)console->width;
        if (!size.ws_row)
                size.ws_row = 24;
        if (!size.ws_col)
                size.ws_col = 80;
        ioctl(fd, TIOCSWINSZ, &size);
}

static int take_terminal(struct zl_server *s, const struct zl_monitor_launch *launch,
                         const struct zl_oci_console_size *console, struct zl_error *err)
{
        int fd = zl_container_take_console(s->container);

        if (fd < 0)
                return zl_fail(err, ZL_E_INTERNAL, 0, "the container has no terminal");
        s->outputs[0].source.fd = fd;
        /* A copy, since reading and writing wait for different things. */
        s->input.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (s->input.fd < 0 || zl_fd_set_nonblock(fd, true) < 0)
                return zl_fail_errno(err, errno, "cannot set up the terminal");
        set_window_size(fd, launch, console);
        /* Without it (a kernel before 4.13) the terminal would end whenever nobody has it open. */
        s->terminal_fd = ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        return 0;
}

struct log_opening {
        struct zl_server *s;
        const struct zl_monitor_launch *launch;
};

/* Its files are made while the container builds its mounts; if that fails they stay, and hold nothing of it. */
static int open_log(void *data, struct zl_error *err)
{
        struct log_opening *o = data;
        const struct zl_monitor_launch *launch = o->launch;
        int r;

        if (o->s->logs || launch->no_log)
                return 0;
        r = zl_log_writer_open(&o->s->log, o->s->state_dir_fd, launch->generation,
                               launch->log_max_size ? launch->log_max_size : 10U << 20,
                               launch->log_max_files ? launch->log_max_files : 5, err);
        o->s->logs = r >= 0;
        return r;
}

/* The last process of a mount namespace waits for an RCU grace period before it has ended. Where no writable layer is to be free by then,
 * we are the last. */
static void hold_mounts(struct zl_server *s)
{
        char path[48];

        snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)s->pid);
        s->mount_ns_fd = open(path, O_RDONLY | O_CLOEXEC);
}

static int create(struct zl_server *s, const struct zl_monitor_launch *launch,
                  const struct zl_oci_config *config, struct zl_error *err)
{
        struct zl_container_options options = ZL_CONTAINER_OPTIONS_INIT;
        struct zl_rootfs_overlay overlay = { .lower_dirs = launch->lower_dirs,
                                             .upper = launch->upper_dir,
                                             .work = launch->work_dir };
        struct zl_seccomp_program seccomp = { 0 };
        struct log_opening opening = { s, launch };
        _cleanup_(pipes_done) struct pipes pipes = { { -1, -1, -1 }, { -1, -1, -1 } };
        int r = 0;

        s->terminal = config->process && config->process->terminal;
        if (!s->terminal)
                r = open_pipes(&pipes,
                               launch->attach_stdin && !launch->keep_most && !launch->spare);
        if (r >= 0 && launch->keep_most)
                r = zl_server_keep_open(s, launch->keep_most, &pipes.theirs[0]);
        else if (r >= 0 && launch->spare && !launch->gated)
                r = zl_server_spare_open(s, &pipes.theirs[0]);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot make pipes");
        if (launch->seccomp_fd >= 0) {
                r = zl_seccomp_program_read_fd(launch->seccomp_fd, &seccomp, err);
                if (r < 0)
                        return r;
                options.seccomp = &seccomp;
        }
        options.id = s->name;
        options.bundle = launch->bundle;
        options.config = config;
        memcpy(options.stdio, pipes.theirs, sizeof(options.stdio));
        options.overlay = launch->lower_dirs ? &overlay : NULL;
        options.overlay_fd = s->overlay_fd;
        options.die_with_parent = true;
        options.words_come = launch->gated;
        options.init_reaper = launch->init_reaper;
        options.no_pivot = launch->no_pivot;
        options.no_new_keyring = launch->no_new_keyring;
        options.systemd_cgroup = launch->systemd_cgroup;
        options.network_ns_fd = s->network_ns_fd;
        options.rootless = !zl_process_is_in_first_userns();
        options.meanwhile = open_log;
        options.meanwhile_data = &opening;
        r = zl_container_create(&options, &s->container, err);
        /* Mounted by nobody but the container. */
        s->overlay_fd = zl_close(s->overlay_fd);
        zl_seccomp_program_done(&seccomp);
        if (r < 0)
                return r;
        s->pid = zl_container_pid(s->container);
        s->record.created_at = zl_now_realtime();
        if (!launch->lower_dirs)
                hold_mounts(s);
        if (s->terminal)
                return take_terminal(s, launch, config->process->console_size, err);
        s->input.fd = zl_take_fd(pipes.ours[0]);
        s->outputs[0].source.fd = zl_take_fd(pipes.ours[1]);
        s->outputs[1].source.fd = zl_take_fd(pipes.ours[2]);
        return 0;
}

static int load_and_create(struct zl_server *s, const struct zl_monitor_launch *launch,
                           struct zl_error *err)
{
        _cleanup_close_ int bundle = zl_open_dir_at(AT_FDCWD, launch->bundle, 0, err);
        int r;

        if (bundle < 0)
                return bundle;
        /* We compile no filter: it came with the request, or an external program makes it. */
        r = zl_oci_config_load_without_calls_at(bundle, "config.json", &s->config, err);
        if (r >= 0)
                r = create(s, launch, s->config, err);
        /* An adoption changes it. Nobody waits for a spare. */
        if (r >= 0 && launch->spare)
                zl_server_compact(s);
        return r;
}

void zl_server_compact(struct zl_server *s)
{
        if (s->is_compact || !s->container || zl_oci_config_compact(&s->config, NULL) < 0)
                return;
        zl_container_set_config(s->container, s->config);
        s->is_compact = true;
}

static int watch_streams(struct zl_server *s, struct zl_error *err)
{
        int r = 0;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(s->outputs) && r >= 0; i++) {
                s->outputs[i].stream = (int)i + 1;
                s->outputs[i].source.ready = zl_output_ready;
                r = zl_source_set(s, &s->outputs[i].source, EPOLLIN);
        }
        s->input.ready = zl_input_ready;
        s->has_input = s->input.fd >= 0;
        if (r >= 0)
                r = zl_server_keep_watch(s);
        return r < 0 ? zl_fail_errno(err, -r, "cannot watch the output") : 0;
}

static void undo(struct zl_server *s)
{
        if (s->container) {
                zl_container_delete(s->container, true, NULL);
                zl_container_free(s->container);
                s->container = NULL;
        }
        if (s->logs)
                zl_log_writer_close(&s->log);
        zl_server_leave(s);
}

static int check_launch(const struct zl_monitor_launch *launch, struct zl_error *err)
{
        if (launch->stop_signal < 0 || launch->stop_signal > SIGRTMAX)
                return zl_fail(err, ZL_E_INVALID, 0, "%d is no signal", launch->stop_signal);
        return 0;
}

int zl_server_launch(struct zl_server *s, struct zl_monitor_launch *launch, struct zl_error *err)
{
        struct log_opening opening = { s, launch };
        int r = check_launch(launch, err);

        if (zl_replace_str(&s->name, launch->name) < 0)
                return zl_fail_oom(err);
        s->init_reaper = launch->init_reaper;
        s->record.generation = launch->generation;
        s->stop_signal = launch->stop_signal ? launch->stop_signal : SIGTERM;
        s->grace_nsec = launch->grace_nsec >= 0 ? launch->grace_nsec : 10 * ZL_NSEC_PER_SEC;
        if (r >= 0 && !s->prepared)
                r = zl_server_enter(s, err);
        if (r >= 0)
                r = load_and_create(s, launch, err);
        if (r >= 0)
                r = open_log(&opening, err);
        if (r >= 0 && s->logs)
                r = zl_log_writer_begin(&s->log, err);
        if (r >= 0)
                r = watch_streams(s, err);
        if (r >= 0)
                r = zl_exit_record_remove(s->state_dir_fd, err);
        if (r >= 0 && launch->spare && !launch->gated)
                r = zl_container_start(s->container, err);
        if (r < 0)
                undo(s);
        else
                zl_server_note_state(s);
        return r;
}

/* ---- the program --------------------------------------------------------------------------------------------------- */

static int become_daemon(void)
{
        int fd, r;
        pid_t pid = fork();

        if (pid != 0)
                _exit(pid < 0);
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        for (int i = 0; i < 3; i++) {
                if (dup2(fd, i) < 0)
                        return -errno;
        }
        if (fd > 2)
                zl_close(fd);
        r = chdir("/");
        umask(022);
        prctl(PR_SET_NAME, "zlayer-monitor");
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        return r < 0 ? -errno : 0;
}

static int server_init(struct zl_server *s)
{
        s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        s->lock_fd = s->terminal_fd = s->state_dir_fd = s->run_dir_fd = s->listener.fd =
                s->signals.fd = s->keeper.fd = s->spare_fd = s->network_ns_fd = s->overlay_fd =
                        s->mount_ns_fd = -EBADF;
        s->input.fd = s->outputs[0].source.fd = s->outputs[1].source.fd = -EBADF;
        s->listener.ready = zl_server_accept;
        s->message = ZL_BUF_INIT(2 * ZL_WIRE_MAX);
        s->input_queue = ZL_BUF_INIT(2 * ZL_WIRE_MAX);
        s->record = ZL_EXIT_RECORD_INIT;
        s->scratch = mmap(NULL, ZL_SERVER_SCRATCH, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return s->epoll_fd < 0 || s->scratch == MAP_FAILED ? -ENOMEM : 0;
}

int zl_monitor_main(int argc, char **argv)
{
        static struct zl_server server;
        struct zl_monitor_launch launch = ZL_MONITOR_LAUNCH_INIT;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_server *s = &server;
        struct stat st;
        int r;

        if (fstat(ZL_SERVER_LAUNCH_FD, &st) < 0 || !S_ISSOCK(st.st_mode)) {
                dprintf(STDERR_FILENO, "zlayer-monitor is started by zlayer-agent, one for each "
                                       "workload, and not by hand\n");
                return 2;
        }
        if (become_daemon() < 0 || server_init(s) < 0)
                return EXIT_FAILURE;
        zl_server_wait_prepare(s, argc, argv);
        if (zl_server_wait(s, &launch) < 0) {
                zl_server_leave(s);
                return EXIT_FAILURE;
        }
        zl_server_wait_done(argc, argv, &launch);
        zl_fd_set_cloexec(ZL_SERVER_LAUNCH_FD, true);
        zl_log_set(ZL_LOG_INFO, log_sink, s);
        r = zl_server_launch(s, &launch, &err);
        free((void *)launch.lower_dirs);
        zl_close(launch.seccomp_fd);
        /* The launcher's socket becomes a connection like any other. */
        if (r >= 0 && zl_server_add_conn(s, ZL_SERVER_LAUNCH_FD) < 0)
                r = zl_fail_oom(&err);
        if (r < 0) {
                zl_wire_begin(&s->message, ZL_WIRE_ERROR, 1);
                zl_wire_put_error(&s->message, &err);
                if (zl_wire_end(&s->message) >= 0)
                        zl_send_fds(ZL_SERVER_LAUNCH_FD, s->message.data, s->message.len, NULL, 0,
                                    0);
                return EXIT_FAILURE;
        }
        if (launch.spare)
                s->owner = s->conns;
        zl_conn_send_ok(s, s->conns, 1);
        /* The container's by now, or of no use: then the kernel has it to take down, for which nobody waits. */
        s->network_ns_fd = zl_close(s->network_ns_fd);
        s->dirty = true;
        return zl_server_loop(s);
}
