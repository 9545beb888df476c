/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a container (container.h) by any program with the command line of runc instead of by our own engine. The
 * monitor is linked with this file in place of the engine and is otherwise the same: it prepares the root file system, runs
 * the program for each operation, and as the subreaper is the parent of what the program leaves behind, so logs, exit records and
 * recovery are the same code for both.
 *
 * Which program stands in the bundle (annotation ZL_DELEGATE_ANNOTATION), so a workload is started again by the one
 * that made it. Its state lies in the directory "runtime" of the bundle.
 *
 * What may go wrong: programs look for the command already when they create. The interface tells that at the start,
 * so such a container gets a process that only waits, and the start is refused with the program's words. And a program
 * cannot be told to let its container die with us: whoever finds a dead monitor ends what is left in the control group.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/path.h"
#include "base/socket.h"
#include "base/strv.h"
#include "container/container.h"
#include "container/user.h"
#include "linux/mounts.h"

/* Of the program, in the bundle. */
#define STATE_DIR "runtime"

enum { LOG_MAX = 1 << 20, CONSOLE_WAIT_MSEC = 30000 };

struct delegate {
        const char *program;
        char *state_dir;         /* absolute */
        struct zl_error refused; /* why the start will fail */
        int console_fd;
        const struct zl_container_options *making; /* during the creation */
        bool started, mounted, systemd;
};

/* The engine's object, with other contents. */
struct zl_container {
        char *id, *bundle;
        const struct zl_oci_config *config;
        struct zl_cgroup *cgroup;
        pid_t pid;
        int pidfd;
        struct delegate d;
};

/* ---- running the program ----------------------------------------------------------------------------- */

static char *state_file(const struct zl_container *c, const char *file)
{
        return zl_path_join(c->d.state_dir, file);
}

static int begin_command(const struct zl_container *c, const char *operation, char ***ret)
{
        _cleanup_free_ char *log = state_file(c, "log.json");

        if (!log)
                return -ENOMEM;
        unlink(log);
        if (zl_strv_push(ret, c->d.program) < 0 || zl_strv_push(ret, "--root") < 0 ||
            zl_strv_push(ret, c->d.state_dir) < 0 || zl_strv_push(ret, "--log") < 0 ||
            zl_strv_push(ret, log) < 0 || zl_strv_push(ret, "--log-format") < 0 ||
            zl_strv_push(ret, "json") < 0 ||
            (c->d.systemd && zl_strv_push(ret, "--systemd-cgroup") < 0) ||
            zl_strv_push(ret, operation) < 0)
                return -ENOMEM;
        return 0;
}

static int begin(char *const *argv, const int stdio[3], pid_t *ret_pid)
{
        extern char **environ;
        posix_spawn_file_actions_t actions;
        int r;

        if (posix_spawn_file_actions_init(&actions) != 0)
                return -ENOMEM;
        for (int i = 0; i < 3; i++) {
                r = stdio && stdio[i] >= 0
                            ? posix_spawn_file_actions_adddup2(&actions, stdio[i], i)
                            : posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDWR, 0);
                if (r != 0)
                        break;
        }
        if (r == 0)
                r = posix_spawn(ret_pid, argv[0], &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        return -r;
}

/* Waits for it, too. Returns its exit status (128 + signal), or a negative errno. */
static int run(const struct zl_container *c, char *const *argv, const int stdio[3])
{
        const struct zl_container_options *o = c->d.making;
        int status, r;
        pid_t pid;

        r = begin(argv, stdio, &pid);
        if (r < 0)
                return r;
        /* If that fails the caller will see it by himself. */
        if (o && o->meanwhile)
                o->meanwhile(o->meanwhile_data, NULL);
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* What follows the last `key` of a text; NULL if it has none. */
static const char *behind_last(const char *text, const char *key)
{
        const char *found = NULL, *p = text;

        for (; (p = strstr(p, key)); p += strlen(key))
                found = p + strlen(key);
        return found;
}

/* The last message of the program's log, in which the usual escapes are undone; the caller frees. NULL if there is none. The
 * member is called "msg" by runc and crun, "message" by youki. */
static char *last_message(const struct zl_container *c)
{
        _cleanup_free_ char *log = state_file(c, "log.json"), *text = NULL;
        const char *found, *p;
        char *out, *to;

        if (!log || zl_read_file_at(AT_FDCWD, log, LOG_MAX, &text, NULL) < 0)
                return NULL;
        found = behind_last(text, "\"msg\":") ?: behind_last(text, "\"message\":");
        if (!found || !(found = strchr(found, '"')) || !(out = to = malloc(strlen(found) + 1)))
                return NULL;
        for (p = found + 1; *p && *p != '"'; p++) {
                if (*p == '\\' && p[1])
                        p++;
                *to++ = *p;
        }
        *to = 0;
        return out;
}

static enum zl_code code_of(const char *message)
{
        if (strstr(message, "exec") &&
            (strstr(message, "not found in $PATH") || strstr(message, "no such file or directory")))
                return ZL_E_NO_COMMAND;
        if (strstr(message, "exec") && (strcasestr(message, "permission denied") ||
                                        strstr(message, "does not have correct permissions")))
                return ZL_E_NOT_RUNNABLE;
        if (strstr(message, "not running") || strstr(message, "does not exist"))
                return ZL_E_STATE;
        return ZL_E_CREATE;
}

/* Runs it; what it says is the error. */
static int perform(const struct zl_container *c, char *const *argv, const int stdio[3],
                   struct zl_error *err)
{
        int r = run(c, argv, stdio);

        if (r == 0)
                return 0;
        if (r < 0)
                return zl_fail(err, ZL_E_CONFIGURATION, -r, "cannot run %s", argv[0]);

        _cleanup_free_ char *message = last_message(c);

        if (message)
                return zl_fail(err, code_of(message), 0, "%s: %s", argv[0], message);
        return zl_fail(err, ZL_E_CREATE, 0, "%s ends with status %d and does not say why", argv[0],
                       r);
}

/* OPERATION [ARGUMENT] ID [LAST], with nothing to say to it. */
static int perform_simple(const struct zl_container *c, const char *const words[],
                          struct zl_error *err)
{
        _cleanup_strv_ char **argv = NULL;
        int r = begin_command(c, words[0], &argv);

        for (size_t i = 1; r == 0 && words[i]; i++)
                r = zl_strv_push(&argv, words[i]);
        return r < 0 ? zl_fail_oom(err) : perform(c, argv, NULL, err);
}

static pid_t read_pid(const char *file)
{
        _cleanup_free_ char *text = NULL;
        uint32_t pid;

        if (zl_read_file_at(AT_FDCWD, file, 64, &text, NULL) < 0)
                return 0;
        text[strcspn(text, "\n")] = 0;
        return zl_parse_u32(text, 10, &pid) < 0 ? 0 : (pid_t)pid;
}

/* ---- terminals --------------------------------------------------------------------------------------- */

/* A socket on which the program hands over the terminal's master; its path for the command line. */
static int listen_console(const struct zl_container *c, char **ret_path)
{
        _cleanup_free_ char *path = state_file(c, "console");
        int fd;

        if (!path)
                return -ENOMEM;
        unlink(path);
        fd = zl_unix_listen_at(AT_FDCWD, path, SOCK_STREAM, 0600);
        if (fd < 0)
                return fd;
        /* The name may be longer than an address of a socket can be; this one is short. */
        if (asprintf(ret_path, "/proc/%d/cwd/console", (int)getpid()) < 0 ||
            chdir(c->d.state_dir) < 0) {
                zl_close(fd);
                return -ENOMEM;
        }
        return fd;
}

static int accept_console(int listener)
{
        struct pollfd pfd = { .fd = listener, .events = POLLIN };
        _cleanup_close_ int conn = -EBADF;
        char name[256];
        int fd = -EBADF;
        size_t n = 1;
        ssize_t len;

        if (poll(&pfd, 1, CONSOLE_WAIT_MSEC) <= 0)
                return -ETIMEDOUT;
        conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (conn < 0)
                return -errno;
        len = zl_recv_fds(conn, name, sizeof(name), &fd, &n, 0);
        return len < 0 ? (int)len : n == 1 ? fd : -EPROTO;
}

static void end_console(const struct zl_container *c, int listener)
{
        _cleanup_free_ char *path = state_file(c, "console");

        if (listener < 0)
                return;
        zl_close(listener);
        if (path)
                unlink(path);
        if (chdir("/") < 0)
                return; /* nowhere to go; harmless */
}

/* ---- create ------------------------------------------------------------------------------------------ */

static const char *program_of(const struct zl_oci_config *config)
{
        for (size_t i = 0; i < config->annotations.n; i++)
                if (zl_streq(config->annotations.items[i].key, ZL_DELEGATE_ANNOTATION))
                        return config->annotations.items[i].value;
        return NULL;
}

/* In a mount namespace of our own, so that the machine never sees it and it goes with us. */
static int mount_root(struct zl_container *c, const struct zl_rootfs_overlay *o,
                      struct zl_error *err)
{
        _cleanup_free_ char *options = NULL;

        if (!o)
                return 0;
        options = zl_overlay_options(o->lower_dirs, o->upper, o->work);
        if (!options)
                return zl_fail_oom(err);
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
                return zl_fail_errno(err, errno, "cannot make a mount namespace");
        if (mount("overlay", c->config->root->path, "overlay", 0, options) < 0)
                return zl_fail_errno(err, errno, "cannot mount the root file system");
        c->d.mounted = true;
        return 0;
}

/* Stands for the container that the program could not make, until somebody starts it. */
static int make_placeholder(struct zl_container *c)
{
        pid_t pid = fork();

        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                syscall(SYS_close_range, 3U, ~0U, 0U);
                for (;;)
                        pause();
        }
        if (pid < 0)
                return -errno;
        c->pid = pid;
        return 0;
}

static int create_command(const struct zl_container *c, const char *pid_file, const char *console,
                          char ***ret)
{
        int r = begin_command(c, "create", ret);

        r = r ? r : zl_strv_push(ret, "--bundle");
        r = r ? r : zl_strv_push(ret, c->bundle);
        r = r ? r : zl_strv_push(ret, "--pid-file");
        r = r ? r : zl_strv_push(ret, pid_file);
        if (r == 0 && console) {
                r = zl_strv_push(ret, "--console-socket");
                r = r ? r : zl_strv_push(ret, console);
        }
        return r ? r : zl_strv_push(ret, c->id);
}

static int create_by_program(struct zl_container *c, const struct zl_container_options *o,
                             struct zl_error *err)
{
        bool terminal = c->config->process && c->config->process->terminal;
        _cleanup_free_ char *pid_file = state_file(c, "pid"), *console = NULL;
        _cleanup_strv_ char **argv = NULL;
        int listener = terminal ? listen_console(c, &console) : -EBADF;
        int r;

        if (terminal && listener < 0)
                return zl_fail_errno(err, -listener, "cannot make a socket for the terminal");
        if (!pid_file || create_command(c, pid_file, console, &argv) < 0)
                r = zl_fail_oom(err);
        else
                r = perform(c, argv, terminal ? NULL : o->stdio, err);
        if (r == 0 && terminal) {
                c->d.console_fd = accept_console(listener);
                if (c->d.console_fd < 0)
                        r = zl_fail_errno(err, -c->d.console_fd, "%s hands over no terminal",
                                          c->d.program);
        }
        end_console(c, listener);
        if (r == 0 && (c->pid = read_pid(pid_file)) <= 0)
                r = zl_fail(err, ZL_E_PROTOCOL, 0, "%s does not tell the process it made",
                            c->d.program);
        return r;
}

/* Our own engine looks a user up by itself; the programs know numbers only, and would run as root whoever has a name. `groups` has room for
 * ZL_GROUPS_MAX and lives as long as the result. */
static int number_user(int root, const char *text, struct zl_oci_user *user, gid_t *groups)
{
        struct zl_user_result found = { .groups = groups };
        int r;

        for (size_t i = 0; i < user->n_additional_gids && i < ZL_GROUPS_MAX; i++)
                groups[found.n_groups++] = user->additional_gids[i];
        r = root < 0 ? root : zl_user_lookup(root, text, &found);
        if (r < 0)
                return r;
        user->uid = found.uid;
        user->gid = found.gid;
        user->additional_gids = groups;
        user->n_additional_gids = found.n_groups;
        return 0;
}

/* The name stays in the configuration, so that the next start looks again. */
static int settle_user(const struct zl_container *c, int bundle, struct zl_error *err)
{
        _cleanup_(zl_oci_config_freep) struct zl_oci_config *config = NULL;
        _cleanup_close_ int root = -EBADF;
        gid_t groups[ZL_GROUPS_MAX];
        _cleanup_free_ char *text = NULL;
        struct zl_oci_user *user;
        int r;

        if (!c->config->process || !c->config->process->user.username)
                return 0;
        /* What we were given may have been read in part. */
        r = zl_oci_config_load_at(bundle, "config.json", &config, err);
        if (r < 0)
                return r;
        user = &config->process->user;
        root = open(c->config->root->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = number_user(root < 0 ? -errno : root, user->username, user, groups);
        if (r < 0)
                return zl_fail(err, ZL_E_INVALID, -r, "there is no user \"%s\" in %s",
                               user->username, c->id);
        r = zl_oci_config_dump(config, &text, err);
        if (r < 0)
                return r;
        r = zl_write_file_at(bundle, "config.json", text, strlen(text), 0600, 0);
        return r < 0 ? zl_fail_errno(err, -r, "cannot write %s/config.json", c->bundle) : 0;
}

static int prepare(struct zl_container *c, const struct zl_container_options *o,
                   struct zl_error *err)
{
        _cleanup_close_ int bundle = -EBADF;
        int r;

        c->pidfd = c->d.console_fd = -EBADF;
        c->config = o->config;
        c->d.program = program_of(o->config);
        c->d.systemd = o->systemd_cgroup;
        if (!c->d.program)
                return zl_fail(err, ZL_E_CONFIGURATION, 0, "the bundle of %s names no runtime",
                               o->id);
        if (o->init_reaper)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                               "init_container: %s has no first process of its own", c->d.program);
        if (zl_replace_str(&c->id, o->id) < 0 || zl_replace_str(&c->bundle, o->bundle) < 0 ||
            !(c->d.state_dir = zl_path_join(o->bundle, STATE_DIR)))
                return zl_fail_oom(err);
        bundle = zl_open_dir_at(AT_FDCWD, o->bundle, 0, err);
        if (bundle < 0)
                return bundle;
        /* What an earlier life left there is of processes that are gone. */
        if (mkdirat(bundle, STATE_DIR, 0700) < 0 &&
            (zl_rm_rf_at(bundle, STATE_DIR) < 0 || mkdirat(bundle, STATE_DIR, 0700) < 0))
                return zl_fail_errno(err, errno, "cannot make %s", c->d.state_dir);
        r = mount_root(c, o->overlay, err);
        return r < 0 ? r : settle_user(c, bundle, err);
}

int zl_container_create(const struct zl_container_options *o, struct zl_container **ret,
                        struct zl_error *err)
{
        struct zl_container *c = calloc(1, sizeof(*c));
        struct zl_error own = ZL_ERROR_INIT;
        int r;

        if (!c)
                return zl_fail_oom(err);
        r = prepare(c, o, &own);
        c->d.making = o;
        if (r == 0)
                r = create_by_program(c, o, &own);
        c->d.making = NULL;
        if (r < 0 && (own.code == ZL_E_NO_COMMAND || own.code == ZL_E_NOT_RUNNABLE)) {
                r = make_placeholder(c);
                if (r == 0)
                        zl_error_move(&c->d.refused, &own);
        }
        if (r == 0) {
                c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
                if (c->pidfd < 0)
                        r = zl_fail_errno(&own, errno, "cannot open process %d", (int)c->pid);
        }
        if (r < 0) {
                if (c->d.state_dir)
                        zl_container_delete(c, true, NULL);
                zl_container_free(c);
                zl_error_move(err, &own);
                return r;
        }
        *ret = c;
        return 0;
}

void zl_container_free(struct zl_container *c)
{
        if (!c)
                return;
        zl_cgroup_free(c->cgroup);
        zl_close(c->pidfd);
        zl_close(c->d.console_fd);
        zl_error_done(&c->d.refused);
        free(c->d.state_dir);
        free(c->id);
        free(c->bundle);
        free(c);
}

pid_t zl_container_pid(const struct zl_container *c)
{
        return c->pid;
}

/* Opened when somebody asks: nobody does before the workload has ended or is to be ended. */
struct zl_cgroup *zl_container_cgroup(struct zl_container *c)
{
        const char *path = c->config->linux_ ? c->config->linux_->cgroups_path : NULL;
        struct zl_cgroup_options options = { .owned = true };

        if (c->cgroup || !path || strchr(path, ':'))
                return c->cgroup;
        options.path = path + strspn(path, "/");
        /* Figures and the end of all processes come from it; a program may have put it somewhere else. */
        if (zl_cgroup_open(&options, &c->cgroup, NULL) < 0)
                c->cgroup = NULL;
        return c->cgroup;
}

int zl_container_network_ahead(void)
{
        return -EOPNOTSUPP;
}

void zl_container_set_config(struct zl_container *c, const struct zl_oci_config *config)
{
        c->config = config;
        c->d.program = program_of(config);
}

int zl_container_overlay_ahead(const struct zl_rootfs_overlay *overlay _unused_)
{
        return -EOPNOTSUPP;
}

void zl_container_look_ahead(void)
{
}

int zl_container_take_console(struct zl_container *c)
{
        return zl_take_fd(c->d.console_fd);
}

/* ---- life -------------------------------------------------------------------------------------------- */

int zl_container_set_hostname(struct zl_container *c, const char *name, struct zl_error *err)
{
        return zl_fail(err, ZL_E_UNSUPPORTED, 0, "%s is not called %s: its runtime cannot say so",
                       c->id, name);
}

int zl_container_start(struct zl_container *c, struct zl_error *err)
{
        const char *const words[] = { "start", c->id, NULL };
        int r;

        if (zl_error_is_set(&c->d.refused)) {
                zl_error_move(err, &c->d.refused);
                return -ENOENT;
        }
        r = perform_simple(c, words, err);
        c->d.started = r == 0;
        if (r < 0 && err && err->code == ZL_E_CREATE)
                zl_error_recode(err, ZL_E_START);
        return r;
}

int zl_container_kill(struct zl_container *c, int sig, bool all, struct zl_error *err)
{
        struct zl_cgroup *group = all ? zl_container_cgroup(c) : NULL;
        char number[16];
        const char *const one[] = { "kill", c->id, number, NULL };

        snprintf(number, sizeof(number), "%d", sig);
        if (group)
                return zl_cgroup_kill_all(group, sig, err);
        /* A container that is only created has no process yet that would understand a signal. */
        if (zl_error_is_set(&c->d.refused))
                return kill(c->pid, sig) < 0 ? zl_fail_errno(err, errno, "cannot signal %s", c->id)
                                             : 0;
        return perform_simple(c, one, err);
}

int zl_container_pause(struct zl_container *c, bool pause, struct zl_error *err)
{
        const char *const words[] = { pause ? "pause" : "resume", c->id, NULL };

        return perform_simple(c, words, err);
}

int zl_container_delete(struct zl_container *c, bool force, struct zl_error *err)
{
        const char *const words[] = { "delete", force ? "--force" : c->id, force ? c->id : NULL,
                                      NULL };
        struct zl_error own = ZL_ERROR_INIT;
        int r = c->pid > 0 || c->d.mounted ? perform_simple(c, words, &own) : 0;
        struct zl_cgroup *group = zl_container_cgroup(c);

        /* Whatever became of it, nothing of it shall stay. */
        if (group && zl_cgroup_remove(group, NULL) == 0)
                r = 0;
        if (c->d.mounted)
                umount2(c->config->root->path, MNT_DETACH);
        c->d.mounted = false;
        zl_rm_rf_at(AT_FDCWD, c->d.state_dir);
        if (r < 0 && own.code != ZL_E_STATE)
                zl_error_move(err, &own);
        else
                r = 0;
        zl_error_done(&own);
        return r;
}

/* ---- exec -------------------------------------------------------------------------------------------- */

/* Another user than the workload's, or the workload's if that one is told by name. */
static int choose_user(const struct zl_container *c, const char *text, struct zl_oci_user *user,
                       gid_t *groups, struct zl_error *err)
{
        _cleanup_close_ int root = -EBADF;
        char path[64];
        int r;

        if (!text)
                return 0;
        snprintf(path, sizeof(path), "/proc/%d/root", (int)c->pid);
        root = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = number_user(root < 0 ? -errno : root, text, user, groups);
        if (r < 0)
                return zl_fail(err, ZL_E_CREATE, -r, "there is no user \"%s\" in %s", text, c->id);
        user->username = NULL;
        return 0;
}

/* The process of the container as it is to be this time. A file says all of it in one form, options do not: youki takes no
 * --tty. And what is in a command line, everybody can read. */
static int write_process(const struct zl_container *c, const struct zl_exec_process *p,
                         const char *path, struct zl_error *err)
{
        struct zl_oci_process process = *c->config->process;
        struct zl_oci_console_size size = { .height = p->rows, .width = p->cols };
        _cleanup_free_ char *text = NULL;
        gid_t groups[ZL_GROUPS_MAX];
        int r = choose_user(c, p->user ?: process.user.username, &process.user, groups, err);

        if (r < 0)
                return r;
        process.args = (char **)(uintptr_t)p->argv;
        if (p->env)
                process.env = (char **)(uintptr_t)p->env;
        if (p->cwd)
                process.cwd = (char *)(uintptr_t)p->cwd;
        process.terminal = p->tty;
        process.console_size = p->tty ? &size : NULL;
        r = zl_oci_process_dump(&process, &text, err);
        if (r < 0)
                return r;
        r = zl_write_file_at(AT_FDCWD, path, text, strlen(text), 0600, 0);
        explicit_bzero(text, strlen(text));
        return r < 0 ? zl_fail_errno(err, -r, "cannot write %s", path) : 0;
}

static int exec_command(const struct zl_container *c, const char *file, const char *pid_file,
                        const char *console, char ***ret, struct zl_error *err)
{
        int r = begin_command(c, "exec", ret);

        r = r ? r : zl_strv_push(ret, "--detach");
        r = r ? r : zl_strv_push(ret, "--pid-file");
        r = r ? r : zl_strv_push(ret, pid_file);
        r = r ? r : zl_strv_push(ret, "--process");
        r = r ? r : zl_strv_push(ret, file);
        if (r == 0 && console) {
                r = zl_strv_push(ret, "--console-socket");
                r = r ? r : zl_strv_push(ret, console);
        }
        r = r ? r : zl_strv_push(ret, c->id);
        return r < 0 ? zl_fail_oom(err) : 0;
}

/* Writes what is to run, runs it, takes the file away. */
static int perform_exec(const struct zl_container *c, const struct zl_exec_process *p,
                        const char *pid_file, const char *console, struct zl_error *err)
{
        _cleanup_free_ char *file = state_file(c, "process.json");
        _cleanup_strv_ char **argv = NULL;
        int r;

        if (!file || !pid_file)
                return zl_fail_oom(err);
        r = write_process(c, p, file, err);
        if (r == 0)
                r = exec_command(c, file, pid_file, console, &argv, err);
        if (r == 0) {
                unlink(pid_file);
                r = perform(c, argv, p->tty ? NULL : p->stdio, err);
        }
        unlink(file);
        return r;
}

void zl_container_expect_exec(struct zl_container *c _unused_)
{
}

int zl_container_exec(struct zl_container *c, const struct zl_exec_process *p,
                      struct zl_exec_result *ret, struct zl_error *err)
{
        _cleanup_free_ char *pid_file = state_file(c, "exec-pid"), *console = NULL;
        struct zl_exec_result result = { .pidfd = -EBADF, .console_fd = -EBADF };
        int r, listener;

        if (p->privileged)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                               "%s cannot run a command with all privileges", c->d.program);
        if (zl_error_is_set(&c->d.refused))
                return zl_fail(err, ZL_E_STATE, 0, "%s could not be created", c->id);
        listener = p->tty ? listen_console(c, &console) : -EBADF;
        if (p->tty && listener < 0)
                return zl_fail_errno(err, -listener, "cannot make a socket for the terminal");
        r = perform_exec(c, p, pid_file, console, err);
        if (r == 0 && p->tty)
                result.console_fd = accept_console(listener);
        end_console(c, listener);
        if (r < 0)
                return r;
        result.pid = read_pid(pid_file);
        result.pidfd = result.pid > 0 ? (int)syscall(SYS_pidfd_open, result.pid, 0) : -1;
        if (result.pidfd < 0 || (p->tty && result.console_fd < 0)) {
                zl_close(result.console_fd);
                zl_close(result.pidfd);
                return zl_fail(err, ZL_E_PROTOCOL, 0, "%s does not tell the process it made",
                               c->d.program);
        }
        *ret = result;
        return 0;
}
