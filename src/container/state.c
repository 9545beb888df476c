/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What zlayer-oci remembers of a container between its runs: <root>/<id>/{state.json,config.json,start.sock}, readable by the
 * owner alone.
 *
 * A pid alone says little: it may have been given to somebody else. The start time beside it makes the pair unique
 * for one boot. Whether a container is still "created" is told by start.sock: whoever starts it removes it.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/path.h"
#include "base/process.h"
#include "container/internal.h"
#include "schema/schema.h"

#define CREATOR_WAIT_NSEC (10 * ZL_NSEC_PER_SEC)

struct state_file {
        char *id, *bundle, *rootfs, *cgroup;
        char **descriptors;
        int64_t pid;
        uint64_t pid_start;
        int64_t created;
        bool systemd_cgroup, no_new_keyring, is_restored;
};

static const struct zl_field state_fields[] = {
        ZL_FIELD(struct state_file, "id", id, zl_type_str, .flags = ZL_REQUIRED),
        ZL_FIELD(struct state_file, "bundle", bundle, zl_type_str, .flags = ZL_REQUIRED),
        ZL_FIELD(struct state_file, "rootfs", rootfs, zl_type_str, .flags = ZL_REQUIRED),
        ZL_FIELD(struct state_file, "cgroup", cgroup, zl_type_str, .flags = ZL_REQUIRED),
        ZL_FIELD(struct state_file, "pid", pid, zl_type_i64, .def = "0"),
        ZL_FIELD(struct state_file, "pidStart", pid_start, zl_type_u64, .def = "0"),
        ZL_FIELD(struct state_file, "created", created, zl_type_i64, .def = "0"),
        ZL_FIELD(struct state_file, "systemdCgroup", systemd_cgroup, zl_type_bool, .def = "false"),
        ZL_FIELD(struct state_file, "noNewKeyring", no_new_keyring, zl_type_bool, .def = "false"),
        ZL_FIELD(struct state_file, "restored", is_restored, zl_type_bool, .def = "false"),
        ZL_FIELD(struct state_file, "descriptors", descriptors, zl_type_strv),
};
static const struct zl_type state_type = ZL_TYPE_STRUCT(struct state_file, "state", state_fields,
                                                        .ignore_unknown = true);

struct zl_container *zl_container_new(const char *id, const char *bundle)
{
        struct zl_container *c = calloc(1, sizeof *c);

        if (!c)
                return NULL;
        c->state_fd = c->staged_fd = c->pidfd = c->sync_fd = c->console_fd = -EBADF;
        c->id = strdup(id);
        c->bundle = strdup(bundle);
        if (!c->id || !c->bundle) {
                zl_container_free(c);
                return NULL;
        }
        return c;
}

void zl_container_free(struct zl_container *c)
{
        if (!c)
                return;
        zl_container_unlock(c);
        zl_close(c->state_fd);
        zl_close(c->staged_fd);
        zl_close(c->pidfd);
        zl_close(c->sync_fd);
        zl_close(c->console_fd);
        zl_cgroup_doors_close(&c->doors);
        zl_cgroup_free(c->cgroup);
        zl_oci_config_free(c->own_config);
        zl_seccomp_program_done(&c->seccomp);
        free(c->id);
        free(c->bundle);
        free(c->rootfs);
        free(c->root);
        free(c->cgroup_path);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(c->descriptors); i++)
                free(c->descriptors[i]);
        free(c);
}

int zl_state_note_stdio(struct zl_container *c, const int stdio[3])
{
        for (int i = 0; i < 3; i++) {
                char link[ZL_FD_PATH_MAX], text[PATH_MAX] = "/dev/null";
                ssize_t n = stdio[i] < 0
                                    ? 0
                                    : readlink(zl_fd_path(stdio[i], link), text, sizeof text - 1);

                if (n > 0)
                        text[n] = 0;
                if (zl_replace_str(&c->descriptors[i], text) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static char *state_text(struct zl_container *c)
{
        struct state_file s = {
                .id = c->id,
                .bundle = c->bundle,
                .rootfs = c->rootfs,
                .cgroup = c->cgroup_path,
                .pid = c->pid,
                .pid_start = c->pid_start,
                .created = c->created,
                .systemd_cgroup = c->systemd_cgroup,
                .no_new_keyring = c->no_new_keyring,
                .is_restored = c->is_restored,
        };
        char *descriptors[ZL_ARRAY_SIZE(c->descriptors) + 1] = { NULL };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(c->descriptors) && c->descriptors[i]; i++)
                descriptors[i] = c->descriptors[i];
        s.descriptors = descriptors;

        return zl_schema_dump_json(&state_type, &s, 0);
}

int zl_state_stage(struct zl_container *c, struct zl_error *err)
{
        _cleanup_free_ char *text = state_text(c);

        if (!text)
                return zl_fail_oom(err);
        c->staged_fd = zl_file_stage_at(c->state_fd, ZL_STATE_FILE, text, strlen(text), 0600);
        return 0;
}

int zl_state_publish(struct zl_container *c, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        int r = c->staged_fd;

        if (r >= 0)
                r = zl_file_publish_at(c->staged_fd, c->state_fd, ZL_STATE_FILE);
        c->staged_fd = zl_close(c->staged_fd);
        if (c->config && c->config->hooks)
                unlinkat(c->state_fd, ZL_HOOKS_FILE, 0);
        if (r == 0)
                return 0;
        text = state_text(c);
        if (!text)
                return zl_fail_oom(err);
        r = zl_write_file_at(c->state_fd, ZL_STATE_FILE, text, strlen(text), 0600, 0);
        return r < 0 ? zl_fail_errno(err, -r, "cannot write the state of container %s", c->id) : 0;
}

static int read_state(struct zl_container *c, struct zl_error *err);

/* Who waited for the lock looks again: the container may be complete by now, or gone. */
static int look_again(struct zl_container *c, struct zl_error *err)
{
        struct stat st;

        if (fstat(c->state_fd, &st) < 0 || st.st_nlink == 0)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "container %s does not exist any more",
                               c->id);
        return c->is_child || c->pid_start ? 0 : read_state(c, err);
}

int zl_container_lock(struct zl_container *c, struct zl_error *err)
{
        int r;

        if (c->state_fd < 0)
                return 0;
        r = zl_lock_fd(c->state_fd, true, true);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot lock container %s", c->id);
        c->is_locked = true;
        r = look_again(c, err);
        if (r < 0)
                zl_container_unlock(c);
        return r;
}

void zl_container_unlock(struct zl_container *c)
{
        /* Closing would not be enough: the container's process has a copy of the descriptor until it waits at the gate. */
        if (c->is_locked)
                flock(c->state_fd, LOCK_UN);
        c->is_locked = false;
}

static int take_state(struct zl_container *c, const struct state_file *s, struct zl_error *err)
{
        struct zl_cgroup_options options = { .path = s->cgroup, .owned = true };
        struct zl_error ignored = ZL_ERROR_INIT;

        if (zl_replace_str(&c->bundle, s->bundle) < 0 ||
            zl_replace_str(&c->rootfs, s->rootfs) < 0 ||
            zl_replace_str(&c->cgroup_path, s->cgroup) < 0)
                return zl_fail_oom(err);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(c->descriptors) && s->descriptors && s->descriptors[i];
             i++)
                if (zl_replace_str(&c->descriptors[i], s->descriptors[i]) < 0)
                        return zl_fail_oom(err);
        c->created = s->created;
        c->systemd_cgroup = s->systemd_cgroup;
        c->no_new_keyring = s->no_new_keyring;
        c->is_restored = s->is_restored;
        if (s->pid > 0) {
                c->pidfd = (int)syscall(SYS_pidfd_open, (pid_t)s->pid, 0);
                if (c->pidfd >= 0 && zl_process_start_time((pid_t)s->pid) != s->pid_start)
                        c->pidfd = zl_close(c->pidfd);
                c->pid = c->pidfd >= 0 ? (pid_t)s->pid : 0;
                c->pid_start = s->pid_start;
        }
        /* A group that is gone is no fault: the container may have been killed half-way. */
        if (*s->cgroup && zl_cgroup_open(&options, &c->cgroup, &ignored) < 0)
                c->cgroup = NULL;
        zl_error_done(&ignored);
        return 0;
}

static int read_state(struct zl_container *c, struct zl_error *err)
{
        _cleanup_arena_ struct zl_arena *arena = zl_arena_new(0);
        _cleanup_free_ char *text = NULL;
        struct state_file s;
        size_t len;
        int r;

        if (!arena)
                return zl_fail_oom(err);
        r = zl_read_file_at(c->state_fd, ZL_STATE_FILE, 1 << 20, &text, &len);
        if (r ==
            -ENOENT) /* its creator is at work, or was killed: delete --force can take it from here */
                return 0;
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read the state of container %s", c->id);
        r = zl_schema_read_json(&state_type, text, len, ZL_STATE_FILE, arena, &s, err);
        return r < 0 ? r : take_state(c, &s, err);
}

/* A container without a state file is being made by whoever holds the lock: it is "created" in a moment, and that is what callers want to
 * know. Hooks may ask, too, while their creator waits for them: they get "creating". */
static void await_creator(struct zl_container *c)
{
        _cleanup_close_ int lock = openat(c->state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const struct timespec step = { .tv_nsec = ZL_NSEC_PER_MSEC };
        int64_t until = zl_now_monotonic() + CREATOR_WAIT_NSEC;

        while (lock >= 0 && zl_lock_fd(lock, false, false) < 0 &&
               faccessat(c->state_fd, ZL_HOOKS_FILE, F_OK, 0) < 0 && zl_now_monotonic() < until)
                nanosleep(&step, NULL);
}

int zl_container_load(const char *root, const char *id, struct zl_container **ret,
                      struct zl_error *err)
{
        _cleanup_(zl_container_freep) struct zl_container *c = NULL;
        _cleanup_free_ char *dir = NULL;
        int r;

        if (!zl_path_is_name(id))
                return zl_fail(err, ZL_E_INVALID, 0, "invalid container id \"%s\"", id);
        c = zl_container_new(id, "");
        dir = zl_path_join(root, id);
        if (!c || !dir || zl_replace_str(&c->root, root) < 0)
                return zl_fail_oom(err);
        c->state_fd = openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (c->state_fd < 0 && errno == ENOENT)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "container %s does not exist", id);
        if (c->state_fd < 0)
                return zl_fail_errno(err, errno, "cannot open the state of container %s", id);
        r = read_state(c, err);
        if (r == 0 && c->pid_start == 0) {
                await_creator(c);
                r = read_state(c, err);
        }
        if (r < 0)
                return r;
        *ret = zl_take_ptr(c);
        return 0;
}

const struct zl_oci_config *zl_container_config(struct zl_container *c)
{
        struct zl_error ignored = ZL_ERROR_INIT;

        if (!c->config && c->state_fd >= 0 &&
            zl_oci_config_load_at(c->state_fd, ZL_CONFIG_FILE, &c->own_config, &ignored) == 0)
                c->config = c->own_config;
        zl_error_done(&ignored);
        return c->config;
}

/* --- what it looks like ---------------------------------------------------------------------------------------- */

const char *zl_container_status_name(enum zl_container_status status)
{
        static const char *const names[] = { "creating", "created", "running", "paused",
                                             "stopped" };

        return names[status];
}

bool zl_container_has_ended(const struct zl_container *c)
{
        struct pollfd p = { .fd = c->pidfd, .events = POLLIN };

        return c->pidfd < 0 || poll(&p, 1, 0) > 0;
}

enum zl_container_status zl_container_status(struct zl_container *c)
{
        if (c->pid == 0 && c->pid_start == 0 && c->state_fd >= 0)
                return ZL_CONTAINER_CREATING;
        if (zl_container_has_ended(c))
                return ZL_CONTAINER_STOPPED;
        if (c->cgroup && zl_cgroup_is_frozen(c->cgroup))
                return ZL_CONTAINER_PAUSED;
        if (c->is_child)
                return c->started ? ZL_CONTAINER_RUNNING : ZL_CONTAINER_CREATED;
        return faccessat(c->state_fd, ZL_GATE_FILE, F_OK, 0) == 0 ? ZL_CONTAINER_CREATED
                                                                  : ZL_CONTAINER_RUNNING;
}

static void put_string(struct zl_buf *b, const char *key, const char *value)
{
        zl_buf_putf(b, "%s\"%s\":", b->len > 1 ? "," : "", key);
        zl_json_quote(b, value, strlen(value));
}

static void put_annotations(struct zl_buf *b, const struct zl_oci_config *config)
{
        if (!config || config->annotations.n == 0)
                return;
        zl_buf_puts(b, ",\"annotations\":{");
        for (size_t i = 0; i < config->annotations.n; i++) {
                const struct zl_str_pair *p = &config->annotations.items[i];

                if (i)
                        zl_buf_putc(b, ',');
                zl_json_quote(b, p->key, strlen(p->key));
                zl_buf_putc(b, ':');
                zl_json_quote(b, p->value ? p->value : "", strlen(p->value ? p->value : ""));
        }
        zl_buf_putc(b, '}');
}

char *zl_state_document(const struct zl_oci_config *config, const char *id, const char *status,
                        pid_t pid, const char *bundle)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(1 << 20);

        zl_buf_putc(&b, '{');
        put_string(&b, "ociVersion", config && config->oci_version ? config->oci_version : "1.2.0");
        put_string(&b, "id", id);
        put_string(&b, "status", status);
        zl_buf_putf(&b, ",\"pid\":%d", pid);
        put_string(&b, "bundle", bundle);
        put_annotations(&b, config);
        zl_buf_putc(&b, '}');
        return zl_buf_take(&b);
}

int zl_container_state_json(struct zl_container *c, char **ret, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(1 << 20);
        const struct zl_oci_config *config = zl_container_config(c);
        enum zl_container_status status = zl_container_status(c);
        char created[ZL_RFC3339_SIZE];
        char *text;

        zl_buf_putc(&b, '{');
        put_string(&b, "ociVersion", config && config->oci_version ? config->oci_version : "1.2.0");
        put_string(&b, "id", c->id);
        zl_buf_putf(&b, ",\"pid\":%d", status == ZL_CONTAINER_STOPPED ? 0 : c->pid);
        put_string(&b, "status", zl_container_status_name(status));
        put_string(&b, "bundle", c->bundle);
        put_string(&b, "rootfs", c->rootfs ? c->rootfs : "");
        put_string(&b, "created", zl_format_rfc3339(c->created, created));
        put_annotations(&b, config);
        put_string(&b, "owner", "");
        zl_buf_putc(&b, '}');
        text = zl_buf_take(&b);
        if (!text)
                return zl_fail_oom(err);
        *ret = text;
        return 0;
}

pid_t zl_container_pid(const struct zl_container *c)
{
        return c->pid;
}

int zl_container_pidfd(const struct zl_container *c)
{
        return c->pidfd;
}

struct zl_cgroup *zl_container_cgroup(struct zl_container *c)
{
        return c->cgroup;
}

const char *zl_container_id(const struct zl_container *c)
{
        return c->id;
}

const char *zl_container_bundle(const struct zl_container *c)
{
        return c->bundle;
}

int zl_container_take_console(struct zl_container *c)
{
        return zl_take_fd(c->console_fd);
}
