/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A double of the container engine for the tests of the monitor: a "container" is a plain child process that waits at a gate, so
 * that pipes, terminals, signals, exit records and the protocol are the real ones and only namespaces and cgroups are
 * missing. The config.json it reads knows args, env, terminal and annotations only.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/strv.h"
#include "container/container.h"

struct zl_container {
        pid_t pid;
        int gate, report, console;
        char **env;
};

static char **get_strv(const json_t *json, const char *key)
{
        const json_t *array = json_object_get(json, key);
        char **strv = calloc(1, sizeof(*strv));
        const json_t *value;
        size_t i;

        json_array_foreach(array, i, value) zl_strv_push(&strv, json_string_value(value));
        return strv;
}

int zl_oci_config_load_without_calls_at(int dirfd, const char *path, struct zl_oci_config **ret,
                                        struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *json = NULL;
        struct zl_oci_config *config;
        const json_t *process;
        size_t len;
        int r = zl_read_file_at(dirfd, path, 1 << 20, &text, &len);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", path);
        r = zl_json_parse(text, len, path, &json, err);
        if (r < 0)
                return r;
        process = json_object_get(json, "process");
        config = calloc(1, sizeof(*config));
        config->process = calloc(1, sizeof(*config->process));
        config->process->args = get_strv(process, "args");
        config->process->env = get_strv(process, "env");
        config->process->terminal = zl_json_bool(process, "terminal", false);
        *ret = config;
        return 0;
}

int zl_oci_config_compact(struct zl_oci_config **config, struct zl_error *err)
{
        return 0;
}

void zl_oci_config_free(struct zl_oci_config *config)
{
        if (!config)
                return;
        zl_strv_free(config->process->args);
        zl_strv_free(config->process->env);
        free(config->process);
        free(config);
}

int zl_seccomp_program_read_fd(int fd, struct zl_seccomp_program *ret, struct zl_error *err)
{
        return zl_fail(err, ZL_E_UNSUPPORTED, 0, "the double has no seccomp");
}

void zl_seccomp_program_done(struct zl_seccomp_program *prog)
{
}

static int open_terminal(int *ret_slave)
{
        int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

        if (master < 0 || unlockpt(master) < 0)
                return -1;
        *ret_slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        return master;
}

struct command {
        const int *stdio;
        bool tty;
        int gate[2];
        char *const *argv, *const *env;
};

/* The child: streams, gate, exec; the errno of a failed exec goes into the report. */
static void child(const struct command *command, int slave, int report)
{
        int gate = command->gate[0];
        sigset_t none;
        char c;
        int e;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setsid();
        for (int i = 0; i < 3; i++) {
                int fd = slave >= 0 ? slave : command->stdio[i];

                if (fd < 0)
                        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
                dup2(fd, i);
        }
        if (slave >= 0)
                ioctl(0, TIOCSCTTY, 0);
        if (gate >= 0 && read(gate, &c, 1) != 1)
                _exit(1);
        execvpe(command->argv[0], command->argv, command->env);
        e = errno;
        if (write(report, &e, sizeof(e)) < 0)
                _exit(1);
        _exit(e == ENOENT ? 127 : 126);
}

static int spawn(const struct command *command, struct zl_container *ret)
{
        int slave = -1, report[2];

        ret->console = command->tty ? open_terminal(&slave) : -1;
        if (pipe2(report, O_CLOEXEC) < 0)
                return -errno;
        ret->pid = fork();
        if (ret->pid == 0) {
                zl_close(command->gate[1]);
                child(command, slave, report[1]);
        }
        close(report[1]);
        zl_close(slave);
        ret->report = report[0];
        return 0;
}

static int await_exec(struct zl_container *c, struct zl_error *err)
{
        int e = 0;
        ssize_t n = zl_read_full(c->report, &e, sizeof(e));

        c->report = zl_close(c->report);
        if (n == 0)
                return 0;
        return zl_fail(err, e == ENOENT ? ZL_E_NO_COMMAND : ZL_E_NOT_RUNNABLE, e, "exec");
}

int zl_container_create(const struct zl_container_options *options, struct zl_container **ret,
                        struct zl_error *err)
{
        struct zl_container *c = calloc(1, sizeof(*c));
        const struct zl_oci_process *process = options->config->process;
        struct command command = { .stdio = options->stdio,
                                   .tty = process->terminal,
                                   .argv = process->args,
                                   .env = process->env };

        if (!process->args[0]) {
                free(c);
                return zl_fail(err, ZL_E_CREATE, ENOSYS, "no args");
        }
        if (pipe2(command.gate, O_CLOEXEC) < 0 || spawn(&command, c) < 0)
                abort();
        close(command.gate[0]);
        c->gate = command.gate[1];
        zl_strv_dup(process->env, &c->env);
        *ret = c;
        return 0;
}

void zl_container_free(struct zl_container *c)
{
        zl_close(c->gate);
        zl_close(c->report);
        zl_strv_free(c->env);
        free(c);
}

pid_t zl_container_pid(const struct zl_container *c)
{
        return c->pid;
}

void zl_container_set_config(struct zl_container *c, const struct zl_oci_config *config)
{
        (void)c;
        (void)config;
}

int zl_container_overlay_ahead(const struct zl_rootfs_overlay *overlay)
{
        (void)overlay;
        return -EOPNOTSUPP;
}

void zl_container_look_ahead(void)
{
}

int zl_container_network_ahead(void)
{
        return -EOPNOTSUPP;
}

struct zl_cgroup *zl_container_cgroup(struct zl_container *c)
{
        return NULL;
}

int zl_container_take_console(struct zl_container *c)
{
        return zl_take_fd(c->console);
}

int zl_container_set_hostname(struct zl_container *c _unused_, const char *name _unused_,
                              struct zl_error *err _unused_)
{
        return 0;
}

int zl_container_start(struct zl_container *c, struct zl_error *err)
{
        if (write(c->gate, "", 1) != 1)
                return zl_fail(err, ZL_E_START, errno, "gate");
        return await_exec(c, err);
}

void zl_container_expect_exec(struct zl_container *c _unused_)
{
}

int zl_container_exec(struct zl_container *c, const struct zl_exec_process *process,
                      struct zl_exec_result *ret, struct zl_error *err)
{
        struct command command = { .stdio = process->stdio,
                                   .tty = process->tty,
                                   .gate = { -1, -1 },
                                   .argv = process->argv,
                                   .env = process->env ? process->env : c->env };
        struct zl_container run = { 0 };
        int r;

        if (spawn(&command, &run) < 0)
                abort();
        if (process->tty) {
                struct winsize size = { .ws_row = process->rows, .ws_col = process->cols };

                ioctl(run.console, TIOCSWINSZ, &size);
        }
        r = await_exec(&run, err);
        if (r < 0) {
                waitpid(run.pid, NULL, 0);
                zl_close(run.console);
                return r;
        }
        *ret = (struct zl_exec_result){ .pid = run.pid, .pidfd = -1, .console_fd = run.console };
        return 0;
}

int zl_container_kill(struct zl_container *c, int sig, bool all, struct zl_error *err)
{
        return kill(all ? -c->pid : c->pid, sig) < 0 ? zl_fail_errno(err, errno, "kill") : 0;
}

int zl_container_pause(struct zl_container *c, bool pause, struct zl_error *err)
{
        return zl_container_kill(c, pause ? SIGSTOP : SIGCONT, false, err);
}

int zl_container_delete(struct zl_container *c, bool force, struct zl_error *err)
{
        kill(-c->pid, SIGKILL);
        return 0;
}

void zl_cgroup_totals(struct zl_cgroup *cg, uint64_t *ret_cpu_usec, uint64_t *ret_memory_peak)
{
        *ret_cpu_usec = *ret_memory_peak = 0;
}

uint64_t zl_cgroup_oom_kills(struct zl_cgroup *cg)
{
        return 0;
}

int zl_cgroup_kill_all(struct zl_cgroup *cg, int sig, struct zl_error *err)
{
        return 0;
}
