/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's processes become files, and what checkpoint and restore share: the settings in criu's words.
 *
 * criu looks at the processes from outside and writes everything it finds. What has its other end outside must be named, or
 * criu refuses: mounts whose source is on the host, namespaces that were there before, pipes to whoever started the container.
 * The names under which they are dumped are those by which restore gives new ones (restore.c); they are the same as runc's.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "base/socket.h"
#include "container/criu.h"
#include "linux/clone.h"
#include "schema/node.h"

#define LOG_FILE "dump.log"

/* --- settings ------------------------------------------------------------------------------------------------------- */

static const struct {
        size_t offset;
        enum zl_criu_option option;
} flags[] = {
        { offsetof(struct zl_criu_settings, leave_running), ZL_CRIU_LEAVE_RUNNING },
        { offsetof(struct zl_criu_settings, lazy_pages), ZL_CRIU_LAZY_PAGES },
        { offsetof(struct zl_criu_settings, auto_dedup), ZL_CRIU_AUTO_DEDUP },
        { offsetof(struct zl_criu_settings, tcp_established), ZL_CRIU_TCP_ESTABLISHED },
        { offsetof(struct zl_criu_settings, tcp_skip_in_flight), ZL_CRIU_TCP_SKIP_IN_FLIGHT },
        { offsetof(struct zl_criu_settings, tcp_close), ZL_CRIU_TCP_CLOSE },
        { offsetof(struct zl_criu_settings, ext_unix_sk), ZL_CRIU_EXT_UNIX_SK },
        { offsetof(struct zl_criu_settings, shell_job), ZL_CRIU_SHELL_JOB },
        { offsetof(struct zl_criu_settings, file_locks), ZL_CRIU_FILE_LOCKS },
        { offsetof(struct zl_criu_settings, link_remap), ZL_CRIU_LINK_REMAP },
};

static void put_flags(struct zl_buf *b, const struct zl_criu_settings *s)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(flags); i++)
                if (*(const bool *)((const char *)s + flags[i].offset))
                        zl_criu_put(b, flags[i].option, 1);
}

/* Whoever runs containers may give criu a file of its own options; the annotation names another one for this container, or none. */
static void put_config_file(struct zl_buf *b, const struct zl_oci_config *config)
{
        const char *path = "/etc/criu/runc.conf";

        for (size_t i = 0; i < config->annotations.n; i++)
                if (zl_streq(config->annotations.items[i].key, "org.criu.config"))
                        path = config->annotations.items[i].value;
        if (path && *path)
                zl_criu_put_text(b, ZL_CRIU_CONFIG_FILE, path);
}

static int put_words(struct zl_buf *b, const struct zl_criu_settings *s, struct zl_error *err)
{
        int mode = zl_criu_cgroups_mode(s->cgroups_mode ? s->cgroups_mode : "default");
        int lock = s->network_lock ? zl_criu_network_lock(s->network_lock) : 0;

        if (mode < 0)
                return zl_fail(err, ZL_E_INVALID, 0, "invalid manage-cgroups-mode value \"%s\"",
                               s->cgroups_mode);
        if (lock < 0)
                return zl_fail(err, ZL_E_INVALID, 0, "invalid network-lock value \"%s\"",
                               s->network_lock);
        zl_criu_put(b, ZL_CRIU_MANAGE_CGROUPS, 1);
        zl_criu_put(b, ZL_CRIU_MANAGE_CGROUPS_MODE, (uint64_t)mode);
        if (lock)
                zl_criu_put(b, ZL_CRIU_NETWORK_LOCK, (uint64_t)lock);
        return 0;
}

static int open_dirs(struct zl_criu_run *run, const struct zl_criu_settings *s, bool create,
                     struct zl_error *err)
{
        run->image_fd = zl_open_dir_at(AT_FDCWD, s->image_path, create ? 0700 : 0, err);
        if (run->image_fd < 0)
                return run->image_fd;
        if (!s->work_path)
                return 0;
        run->work_fd = zl_open_dir_at(AT_FDCWD, s->work_path, 0700, err);
        return run->work_fd < 0 ? run->work_fd : 0;
}

/* To look after groups of version 2 criu would mount their hierarchy once more, and so take options of the whole machine's (nsdelegate)
 * away. It need not where it is shown one. */
static int make_dir(struct zl_criu_run *run, struct zl_container *c, struct zl_error *err)
{
        _cleanup_free_ char *state = zl_path_join(c->root, c->id), *yard = NULL;

        run->dir = state ? zl_path_join(state, ZL_CRIU_DIR) : NULL;
        yard = run->dir ? zl_path_join(run->dir, ZL_CRIU_YARD_DIR) : NULL;
        if (!yard)
                return zl_fail_oom(err);
        if (mkdir(run->dir, 0700) < 0 && errno != EEXIST)
                return zl_fail_errno(err, errno, "cannot create %s", run->dir);
        run->has_yard = c->cgroup && zl_cgroup_is_v2(c->cgroup);
        if (run->has_yard)
                zl_criu_put_text(&run->options, ZL_CRIU_CGROUP_YARD, yard);
        return 0;
}

int zl_criu_prepare(struct zl_criu_run *run, const struct zl_criu_settings *s,
                    struct zl_container *c, const char *log_file, struct zl_error *err)
{
        struct zl_buf *b = &run->options;
        int r;

        run->log_file = log_file;
        run->settings = s;
        run->program = s->program && strchr(s->program, '/')
                               ? strdup(s->program)
                               : zl_find_program(s->program ? s->program : "criu");
        if (run->program && access(run->program, X_OK) < 0)
                return zl_fail_errno(err, errno, "cannot run %s", run->program);
        if (!run->program)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                               "%s is not in $PATH: checkpoints are its work",
                               s->program ? s->program : "criu");
        r = put_words(b, s, err);
        if (r == 0)
                r = make_dir(run, c, err);
        if (r == 0)
                r = open_dirs(run, s, zl_streq(log_file, LOG_FILE), err);
        if (r < 0)
                return r;
        zl_criu_put(b, ZL_CRIU_IMAGES_DIR_FD, ZL_CRIU_FIRST_FD + ZL_CRIU_IMAGE_FD - 3);
        zl_criu_put(b, ZL_CRIU_WORK_DIR_FD, ZL_CRIU_FIRST_FD + ZL_CRIU_WORK_FD - 3);
        zl_criu_put(b, ZL_CRIU_LOG_LEVEL, 4);
        zl_criu_put_text(b, ZL_CRIU_LOG_FILE, log_file);
        zl_criu_put(b, ZL_CRIU_NOTIFY_SCRIPTS, 1);
        zl_criu_put(b, ZL_CRIU_ORPHAN_PTS_MASTER, 1);
        if (s->empty_namespaces)
                zl_criu_put(b, ZL_CRIU_EMPTY_NAMESPACES, s->empty_namespaces);
        put_flags(b, s);
        put_config_file(b, zl_container_config(c));
        return 0;
}

void zl_criu_run_done(struct zl_criu_run *run)
{
        zl_buf_done(&run->options);
        zl_close(run->image_fd);
        zl_close(run->work_fd);
        zl_close(run->socket_fd);
        for (size_t i = ZL_CRIU_MORE_FDS; i < run->n_fds; i++)
                zl_close(run->fds[i]);
        if (run->dir)
                rmdir(run->dir);
        free(run->dir);
        free(run->program);
}

/* What criu says of a failure is a number. In its log the cause is the first of the last errors that stand together: what comes after them
 * says only what failed for it, and errors far before were none. */
static char *find_cause(char *log)
{
        char *cause = NULL;
        int distance = 0;

        for (char *line = log; *line;) {
                char *end = line + strcspn(line, "\n"), *error = strstr(line, "Error (");
                bool is_error = error && error < end;
                bool is_last = end - line > 7 && memcmp(end - 7, "FAILED.", 7) == 0;

                if (is_error && !is_last && (!cause || distance > 3))
                        cause = error;
                distance = is_error ? 0 : distance + 1;
                line = *end ? end + 1 : end;
        }
        if (cause)
                cause[strcspn(cause, "\n")] = 0;
        return cause;
}

int zl_criu_explain(struct zl_criu_run *run, int r, struct zl_error *err)
{
        const char *where = run->settings->work_path ? run->settings->work_path
                                                     : run->settings->image_path;
        _cleanup_free_ char *log = NULL;
        const char *cause;

        if (zl_read_file_at(run->work_fd >= 0 ? run->work_fd : run->image_fd, run->log_file,
                            64 << 20, &log, NULL) < 0)
                return r;
        cause = find_cause(log);
        if (cause)
                r = zl_fail(err, ZL_E_INTERNAL, 0, "criu failed: %s", cause);
        zl_error_hint(err, "the whole story is in %s/%s", where, run->log_file);
        return r;
}

/* --- names of what is outside ---------------------------------------------------------------------------------------- */

const char *zl_criu_namespace_key(const char *type)
{
        return zl_streq(type, "network") ? "extRootNetNS"
               : zl_streq(type, "pid")   ? "extRootPidNS"
                                         : NULL;
}

/* Where a mount of the config is, inside: links of the image on the way are followed. */
const char *zl_criu_mount_point(int root_fd, size_t root_len, const char *destination,
                                char buf[PATH_MAX])
{
        _cleanup_close_ int fd = zl_open_in(root_fd, destination, O_PATH, 0, ZL_PATH_IN_ROOT);
        char link[ZL_FD_PATH_MAX];
        ssize_t n = fd < 0 ? -1 : readlink(zl_fd_path(fd, link), buf, PATH_MAX - 1);

        if (n <= (ssize_t)root_len)
                return destination;
        buf[n] = 0;
        return buf + root_len;
}

/* --- dump ------------------------------------------------------------------------------------------------------------ */

static void put_masks(struct zl_buf *b, int root_fd, const struct zl_oci_linux *l)
{
        for (char *const *p = l->masked_paths; p && *p; p++) {
                _cleanup_close_ int fd = zl_open_in(root_fd, *p, O_PATH, 0, ZL_PATH_IN_ROOT);
                struct stat st;

                if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
                        zl_criu_put_pair(b, ZL_CRIU_EXTERNAL_MOUNT, *p, "/dev/null");
        }
}

/* A mount of type cgroup is a bind of the group, or on version 1 several (child_rootfs.c). */
static void put_cgroup_mounts(struct zl_buf *b, struct zl_cgroup *cg, const char *destination)
{
        if (zl_cgroup_is_v2(cg)) {
                zl_criu_put_pair(b, ZL_CRIU_EXTERNAL_MOUNT, destination, destination);
                return;
        }
        for (size_t i = 0; zl_cgroup_hierarchy(cg, i); i++) {
                char path[PATH_MAX];

                snprintf(path, sizeof path, "%s/%s", destination, zl_cgroup_hierarchy(cg, i));
                zl_criu_put_pair(b, ZL_CRIU_EXTERNAL_MOUNT, path, path);
        }
}

static int put_mounts(struct zl_buf *b, struct zl_container *c, struct zl_error *err)
{
        const struct zl_oci_config *config = zl_container_config(c);
        _cleanup_close_ int root = -EBADF;
        char path[PATH_MAX];

        snprintf(path, sizeof path, "/proc/%d/root", c->pid);
        root = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
                return zl_fail_errno(err, errno, "cannot see the root of container %s", c->id);
        for (size_t i = 0; i < config->n_mounts; i++) {
                const struct zl_oci_mount *m = &config->mounts[i];
                const char *point = zl_criu_mount_point(root, 0, m->destination, path);

                if (zl_mount_kind_of(m) == ZL_MOUNT_BIND)
                        zl_criu_put_pair(b, ZL_CRIU_EXTERNAL_MOUNT, point, point);
                else if (zl_mount_kind_of(m) == ZL_MOUNT_CGROUP && c->cgroup)
                        put_cgroup_mounts(b, c->cgroup, point);
        }
        put_masks(b, root, config->linux_);
        return 0;
}

static int put_namespaces(struct zl_buf *b, const struct zl_oci_linux *l, struct zl_error *err)
{
        for (size_t i = 0; i < l->n_namespaces; i++) {
                const struct zl_oci_namespace *ns = &l->namespaces[i];
                const char *key = zl_criu_namespace_key(ns->type);
                char text[96];
                struct stat st;

                if (!key || !ns->path || !*ns->path)
                        continue;
                if (stat(ns->path, &st) < 0)
                        return zl_fail_errno(err, errno, "the %s namespace %s", ns->type, ns->path);
                snprintf(text, sizeof text, "%s[%ju]:%s", zl_streq(ns->type, "pid") ? "pid" : "net",
                         (uintmax_t)st.st_ino, key);
                zl_criu_put_text(b, ZL_CRIU_EXTERNAL, text);
        }
        return 0;
}

/* Frozen by their group the processes are dumped in one state; criu thaws them. */
static void put_freezer(struct zl_buf *b, struct zl_container *c)
{
        char path[PATH_MAX];

        if (!c->cgroup)
                return;
        snprintf(path, sizeof path, "/sys/fs/cgroup%s%s",
                 zl_cgroup_is_v2(c->cgroup) ? "" : "/freezer", zl_cgroup_path(c->cgroup));
        if (access(path, F_OK) == 0)
                zl_criu_put_text(b, ZL_CRIU_FREEZE_CGROUP, path);
}

static int put_dump(struct zl_criu_run *run, struct zl_container *c, struct zl_error *err)
{
        const struct zl_oci_config *config = zl_container_config(c);
        const struct zl_criu_settings *s = run->settings;
        struct zl_buf *b = &run->options;
        int r = put_namespaces(b, config->linux_, err);

        if (r == 0 && !s->pre_dump)
                r = put_mounts(b, c, err);
        zl_criu_put(b, ZL_CRIU_PID, (uint64_t)c->pid);
        zl_criu_put_text(b, ZL_CRIU_ROOT, c->rootfs);
        put_freezer(b, c);
        if (s->page_server)
                zl_criu_put_numbered(b, ZL_CRIU_PAGE_SERVER, s->page_server, s->page_server_port);
        if (s->parent_path) {
                zl_criu_put_text(b, ZL_CRIU_PARENT_IMAGE, s->parent_path);
                zl_criu_put(b, ZL_CRIU_TRACK_MEMORY, 1);
        }
        return r;
}

/* What descriptors 0, 1 and 2 lead to, by the names that criu gives to pipes: restore puts its own in their place. */
static int save_descriptors(struct zl_criu_run *run, struct zl_container *c, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(64 << 10);
        int r;

        for (int i = 0; i < 3; i++) {
                const char *name = c->descriptors[i] ? c->descriptors[i] : "";

                zl_buf_putc(&b, i ? ',' : '[');
                zl_json_quote(&b, name, strlen(name));
        }
        zl_buf_putc(&b, ']');
        r = zl_buf_error(&b)
                    ? zl_buf_error(&b)
                    : zl_write_file_at(run->image_fd, ZL_DESCRIPTORS_FILE, b.data, b.len, 0600, 0);
        return r < 0 ? zl_fail_errno(err, -r, "cannot write " ZL_DESCRIPTORS_FILE) : 0;
}

struct dump {
        struct zl_criu_run run;
        struct zl_container *container;
        int status_fd;
};

/* Lazy pages are waited for as long as it takes: who wants to get rid of the container need not. */
static int on_event(const char *event, pid_t pid _unused_, int fd, void *data,
                    struct zl_error *err _unused_)
{
        struct dump *d = data;

        zl_close(fd);
        if (!zl_streq(event, "status-ready"))
                return 0;
        zl_container_unlock(d->container);
        if (d->status_fd >= 0)
                (void)!write(d->status_fd, "", 1);
        d->status_fd = zl_close(d->status_fd);
        return 0;
}

static int bind_yard(int dir_fd)
{
        _cleanup_close_ int source = openat(AT_FDCWD, "/sys/fs/cgroup",
                                            O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int target = -EBADF;
        int r;

        if (source < 0 || mkdirat(dir_fd, ZL_CRIU_YARD_DIR, 0700) < 0 ||
            mkdirat(dir_fd, ZL_CRIU_YARD_DIR "/unified", 0700) < 0)
                return -errno;
        target = openat(dir_fd, ZL_CRIU_YARD_DIR "/unified", O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = target < 0 ? -errno : zl_mount_bind_on(target, source, false);
        if (r < 0)
                return r;
        close(r);
        return 0;
}

static int make_room(const struct zl_criu_run *run)
{
        _cleanup_close_ int below = openat(AT_FDCWD, run->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int fd = -EBADF;

        if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0 || below < 0)
                return -errno;
        fd = zl_mount_fs_on(below, "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700");
        if (fd < 0)
                return fd;
        if (mkdirat(fd, ZL_CRIU_ROOT_DIR, 0700) < 0)
                return -errno;
        return run->has_yard ? bind_yard(fd) : 0;
}

/* criu takes the numbers of descriptors to be those of whoever made its socket, and makes mounts in the directories behind them. So
 * it is its own process that does both, in its own mount namespace. */
static _Noreturn void be_criu(struct zl_criu_run *run)
{
        const struct zl_criu_settings *s = run->settings;
        struct zl_message m = { .kind = ZL_MSG_READY };
        int fds[2], r = make_room(run);

        if (r < 0) {
                m = (struct zl_message){ .kind = ZL_MSG_ERROR,
                                         .stage = ZL_STAGE_ROOTFS,
                                         .errnum = -r };
                zl_send_fds(run->report_fd, &m, sizeof m, NULL, 0, 0);
        }
        if (r < 0 || (run->before && run->before(run->data) < 0))
                _exit(1);
        run->fds[ZL_CRIU_IMAGE_FD] = open(s->image_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        run->fds[ZL_CRIU_WORK_FD] = open(s->work_path ? s->work_path : s->image_path,
                                         O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0 ||
            zl_send_fds(run->report_fd, &m, sizeof m, &fds[0], 1, 0) < 0)
                _exit(1);
        close(fds[0]);
        zl_child_reset_signals(0);
        zl_criu_exec(run->program, fds[1], run->fds, run->n_fds);
        _exit(127);
}

int zl_criu_start(struct zl_criu_run *run, struct zl_error *err)
{
        struct zl_clone how = { .flags = CLONE_NEWNS, .cgroup_fd = -1 };
        pid_t pid = zl_clone(&how);
        struct zl_message m;
        int r;

        if (pid == 0)
                be_criu(run);
        run->report_fd = zl_close(run->report_fd);
        if (pid < 0)
                return zl_fail_errno(err, -pid, "cannot run criu");
        run->pid = pid;
        r = zl_sync_recv(run->sync_fd, &m, &run->socket_fd);
        if (r > 0 && m.kind == ZL_MSG_ERROR)
                return zl_report_fail(&m, run->program, err);
        return r > 0 ? 0
                     : zl_fail(err, ZL_E_INTERNAL, 0, "the process of %s has ended", run->program);
}

void zl_criu_wait(struct zl_criu_run *run)
{
        run->socket_fd = zl_close(run->socket_fd);
        while (run->pid > 0 && waitpid(run->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        run->pid = 0;
}

static int dump(struct dump *d, struct zl_error *err)
{
        struct zl_criu_listener listener = { on_event, d };
        struct zl_criu_run *run = &d->run;
        _cleanup_close_ int null_fd = -EBADF;
        int fds[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return zl_fail_errno(err, errno, "cannot make a socket pair");
        run->sync_fd = fds[0];
        run->report_fd = fds[1];
        null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int i = 0; i < 3 && null_fd >= 0; i++) /* all it has to say is in its log */
                run->fds[i] = null_fd;
        r = zl_criu_start(run, err);
        if (r == 0) {
                r = zl_criu_ask(run->socket_fd,
                                run->settings->pre_dump ? ZL_CRIU_PRE_DUMP : ZL_CRIU_DUMP,
                                &run->options, &listener, NULL, err);
                if (r < 0)
                        r = zl_criu_explain(run, r, err);
        }
        zl_criu_wait(run);
        close(fds[0]);
        return r;
}

static int checkpoint(struct zl_container *c, const struct zl_criu_settings *settings,
                      struct zl_error *err)
{
        struct dump d = { ZL_CRIU_RUN_INIT, c, settings->status_fd };
        enum zl_container_status status = zl_container_status(c);
        int r;

        if (!zl_container_config(c) ||
            (status != ZL_CONTAINER_RUNNING && status != ZL_CONTAINER_PAUSED))
                return zl_fail(err, ZL_E_STATE, 0, "container %s cannot be checkpointed: it is %s",
                               c->id, zl_container_status_name(status));
        r = zl_criu_prepare(&d.run, settings, c, LOG_FILE, err);
        if (r == 0)
                r = put_dump(&d.run, c, err);
        if (r == 0 && !settings->pre_dump)
                r = save_descriptors(&d.run, c, err);
        if (r == 0)
                r = dump(&d, err);
        zl_criu_run_done(&d.run);
        return r;
}

int zl_container_checkpoint(struct zl_container *c, const struct zl_criu_settings *settings,
                            struct zl_error *err)
{
        int r = zl_container_lock(c, err);

        if (r < 0)
                return r;
        r = checkpoint(c, settings, err);
        zl_container_unlock(c);
        return r;
}
