/* SPDX-License-Identifier: Apache-2.0 */
/* See control.h. Requests are accepted from root and from the agent's own user only. */
#include "agent/control.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/loop.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/ident.h"
#include "base/path.h"
#include "base/socket.h"

enum { LINE_MAX_BYTES = 4096, NAME_BYTES = 63 + 16 };

/* ---- locks ------------------------------------------------------------------------------------------------------- */

/* How long a lock of the dead is waited for. */
#define DEAD_SPAN (2 * ZL_NSEC_PER_SEC)

/* Does a lock file name a process that is there no more? */
static bool is_of_dead(int fd)
{
        char text[32] = "";
        const char *digits;

        if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
                return false;
        digits = strpbrk(text, "123456789");
        return digits && kill((pid_t)atoi(digits), 0) < 0 && errno == ESRCH;
}

/* Who was killed while a child of it had not yet executed its program leaves that child the lock, for an instant. */
static int lock_file(int fd, bool alone, bool wait)
{
        int64_t until = zl_now_monotonic() + DEAD_SPAN;
        int r;

        while ((r = zl_lock_fd(fd, alone, wait)) == -EWOULDBLOCK && is_of_dead(fd) &&
               zl_now_monotonic() < until)
                usleep(5000);
        return r;
}

/* ---- the lock of the root directory ------------------------------------------------------------------------------ */

int zl_root_lock_take(const char *root_dir, bool alone, pid_t *ret_holder, struct zl_error *err)
{
        _cleanup_close_ int dir = zl_open_dir_at(AT_FDCWD, root_dir, 0711, err), fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        char pid[32];
        int r, n;

        if (dir < 0)
                return dir;
        fd = openat(dir, "agent.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return zl_fail_errno(err, errno, "cannot make %s/agent.lock", root_dir);
        r = lock_file(fd, alone, false);
        if (r == -EWOULDBLOCK) {
                /* The file may still name one that was killed. Whom we can join has it not alone. */
                if (!alone || zl_lock_fd(fd, false, false) < 0)
                        (void)zl_read_file_at(dir, "agent.lock", sizeof(pid), &text, NULL);
                if (ret_holder)
                        *ret_holder = text && *text ? atoi(text) : 0;
                if (text && *text)
                        return zl_fail(err, ZL_E_BUSY, 0, "another daemon has %s (pid %s)",
                                       root_dir, text);
                return zl_fail(err, ZL_E_BUSY, 0, "another agent looks after deployments of %s",
                               root_dir);
        }
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot lock %s/agent.lock", root_dir);
        /* Who shares it is many: then nobody is named. */
        n = alone ? snprintf(pid, sizeof(pid), "%ld", (long)getpid()) : 0;
        if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
                return zl_fail_errno(err, errno, "cannot write %s/agent.lock", root_dir);
        return zl_take_fd(fd);
}

/* ---- the lock of a deployment ---------------------------------------------------------------------------------------------- */

struct zl_deployment_lock {
        int dir, fd;
        char file[NAME_BYTES];
};

static int open_dir(const char *parent, bool create, struct zl_error *err)
{
        _cleanup_free_ char *path = zl_path_join(parent, "deployments");

        if (!path)
                return zl_fail_oom(err);
        return zl_open_dir_at(AT_FDCWD, path, create ? 0700 : 0, err);
}

static int fail_held(const struct zl_deployment_lock *lock, const char *deployment,
                     struct zl_error *err)
{
        _cleanup_free_ char *pid = NULL;
        int r;

        if (zl_read_file_at(lock->dir, lock->file, 64, &pid, NULL) < 0 || !*pid)
                r = zl_fail(err, ZL_E_BUSY, 0, "deployment %s is up already", deployment);
        else
                r = zl_fail(err, ZL_E_BUSY, 0, "deployment %s is up already (agent %s)", deployment,
                            pid);
        zl_error_hint(err, "zlayer-agent down %s ends it", deployment);
        return r;
}

/* The holder removes the file when it lets go, so what we locked may be a file without a name: then once more. */
static int lock_once(struct zl_deployment_lock *lock, const char *deployment, bool wait,
                     struct zl_error *err)
{
        struct stat ours, named;
        int r;

        lock->fd = openat(lock->dir, lock->file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (lock->fd < 0)
                return zl_fail_errno(err, errno, "cannot make the lock of deployment %s",
                                     deployment);
        r = lock_file(lock->fd, true, wait);
        if (r == -EWOULDBLOCK)
                return fail_held(lock, deployment, err);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot lock deployment %s", deployment);
        if (fstat(lock->fd, &ours) == 0 && fstatat(lock->dir, lock->file, &named, 0) == 0 &&
            ours.st_ino == named.st_ino && ours.st_dev == named.st_dev)
                return 1;
        lock->fd = zl_close(lock->fd);
        return 0;
}

int zl_deployment_lock_take(const char *root_dir, const char *deployment, bool wait,
                            struct zl_deployment_lock **ret, struct zl_error *err)
{
        struct zl_deployment_lock *lock;
        int r = 0;

        if (!zl_ident_part_is_valid(deployment))
                return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" cannot be the name of a deployment",
                               deployment);
        lock = calloc(1, sizeof(*lock));
        if (!lock)
                return zl_fail_oom(err);
        lock->fd = -EBADF;
        snprintf(lock->file, sizeof(lock->file), "%s.lock", deployment);
        lock->dir = open_dir(root_dir, true, err);
        if (lock->dir < 0)
                r = lock->dir;
        while (r == 0)
                r = lock_once(lock, deployment, wait, err);
        if (r < 0) {
                zl_deployment_lock_abandon(lock);
                return r;
        }
        *ret = lock;
        return 0;
}

int zl_deployment_lock_sign(struct zl_deployment_lock *lock, struct zl_error *err)
{
        char text[32];
        int n = snprintf(text, sizeof(text), "pid %ld", (long)getpid());

        if (ftruncate(lock->fd, 0) < 0 || pwrite(lock->fd, text, (size_t)n, 0) != n)
                return zl_fail_errno(err, errno, "cannot write the lock %s", lock->file);
        return 0;
}

void zl_deployment_lock_abandon(struct zl_deployment_lock *lock)
{
        if (!lock)
                return;
        zl_close(lock->fd);
        zl_close(lock->dir);
        free(lock);
}

void zl_deployment_lock_release(struct zl_deployment_lock *lock)
{
        if (lock)
                unlinkat(lock->dir, lock->file, 0);
        zl_deployment_lock_abandon(lock);
}

/* ---- listening -------------------------------------------------------------------------------------------------- */

struct zl_control_client {
        int fd;
        struct zl_control *control;
        struct zl_loop_poll *poll;
        struct zl_buf line;
        struct zl_control_client *next;
};

struct zl_control {
        uv_loop_t *uv;
        int dir, fd;
        char file[NAME_BYTES];
        struct zl_loop_poll *poll;
        struct zl_control_client *clients;
        void (*on_request)(const char *line, struct zl_control_client *client, void *data);
        void *data;
};

static void client_free(struct zl_control_client *client)
{
        struct zl_control_client **at = &client->control->clients;

        while (*at != client)
                at = &(*at)->next;
        *at = client->next;
        zl_loop_poll_stop(client->poll);
        zl_close(client->fd);
        zl_buf_done(&client->line);
        free(client);
}

static void on_client(void *data)
{
        struct zl_control_client *client = data;
        char chunk[256];
        ssize_t n = recv(client->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        char *end;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0 || zl_buf_put(&client->line, chunk, (size_t)n) < 0) {
                client_free(client);
                return;
        }
        end = memchr(client->line.data, '\n', client->line.len);
        if (!end)
                return;
        *end = 0;
        /* One request per connection: nothing more is read. */
        zl_loop_poll_stop(client->poll);
        client->poll = NULL;
        client->control->on_request(client->line.data, client, client->control->data);
}

static void on_listener(void *data)
{
        struct zl_control *control = data;
        struct zl_control_client *client;
        _cleanup_close_ int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        uid_t uid = 0;
        gid_t gid = 0;
        pid_t pid = 0;

        if (fd < 0 || zl_unix_peer(fd, &pid, &uid, &gid) < 0 || (uid != 0 && uid != geteuid()))
                return;
        client = calloc(1, sizeof(*client));
        if (!client)
                return;
        *client = (struct zl_control_client){
                .control = control,
                .line = ZL_BUF_INIT(LINE_MAX_BYTES),
                .next = control->clients,
        };
        control->clients = client;
        client->fd = zl_take_fd(fd);
        if (zl_loop_poll_start(control->uv, client->fd, on_client, client, &client->poll) < 0)
                client_free(client);
}

int zl_control_listen(const struct zl_control_options *o, struct zl_control **ret,
                      struct zl_error *err)
{
        struct zl_control *control = calloc(1, sizeof(*control));
        int r;

        if (!control)
                return zl_fail_oom(err);
        *control = (struct zl_control){
                .uv = o->uv, .fd = -EBADF, .on_request = o->on_request, .data = o->data
        };
        snprintf(control->file, sizeof(control->file), "%s.sock", o->deployment);
        r = control->dir = open_dir(o->runtime_dir, true, err);
        if (r < 0) {
                free(control);
                return r;
        }
        unlinkat(control->dir, control->file, 0);
        r = control->fd = zl_unix_listen_at(control->dir, control->file, SOCK_STREAM, 0600);
        if (r >= 0)
                r = zl_loop_poll_start(o->uv, control->fd, on_listener, control, &control->poll);
        if (r < 0) {
                zl_control_close(control);
                return zl_fail_errno(err, -r, "cannot listen on %s/deployments/%s.sock",
                                     o->runtime_dir, o->deployment);
        }
        *ret = control;
        return 0;
}

void zl_control_answer(struct zl_control_client *client, const char *line)
{
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(LINE_MAX_BYTES);

        /* One line: what a message has more is told in one, too. */
        for (const char *p = line; *p; p++)
                zl_buf_putc(&out, *p == '\n' ? ' ' : *p);
        zl_buf_putc(&out, '\n');
        /* Whoever asked may be gone; then nobody misses the answer. */
        if (zl_buf_error(&out) == 0)
                (void)!send(client->fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        client_free(client);
}

void zl_control_answer_error(struct zl_control_client *client, const struct zl_error *err)
{
        _cleanup_free_ char *line = NULL;

        if (asprintf(&line, "error %s", zl_error_message(err)) < 0)
                line = NULL;
        zl_control_answer(client, line ?: "error out of memory");
}

void zl_control_close(struct zl_control *control)
{
        if (!control)
                return;
        while (control->clients)
                client_free(control->clients);
        zl_loop_poll_stop(control->poll);
        if (control->fd >= 0)
                unlinkat(control->dir, control->file, 0);
        zl_close(control->fd);
        zl_close(control->dir);
        free(control);
}

void zl_control_forget(const char *runtime_dir, const char *deployment)
{
        _cleanup_close_ int dir = open_dir(runtime_dir, false, NULL);
        char file[NAME_BYTES];

        snprintf(file, sizeof(file), "%s.sock", deployment);
        if (dir >= 0)
                unlinkat(dir, file, 0);
}

int zl_control_each(const char *runtime_dir, void (*each)(const char *deployment, void *data),
                    void *data, struct zl_error *err)
{
        _cleanup_error_ struct zl_error ignored = ZL_ERROR_INIT;
        int fd = open_dir(runtime_dir, false, &ignored);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        struct dirent *entry;

        if (fd == -ENOENT)
                return 0;
        if (!dir) {
                int e = fd < 0 ? -fd : errno;

                zl_close(fd);
                return zl_fail_errno(err, e, "cannot read %s/deployments", runtime_dir);
        }
        while ((entry = readdir(dir))) {
                char *suffix = strrchr(entry->d_name, '.');

                if (!suffix || !zl_streq(suffix, ".sock"))
                        continue;
                *suffix = 0;
                if (zl_ident_part_is_valid(entry->d_name))
                        each(entry->d_name, data);
        }
        closedir(dir);
        return 0;
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static int read_answer(int fd, struct zl_buf *answer, int64_t deadline)
{
        for (;;) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                char chunk[512];
                int timeout = -1, r;
                ssize_t n;

                if (deadline >= 0) {
                        int64_t left = deadline - zl_now_monotonic();

                        if (left <= 0)
                                return -ETIMEDOUT;
                        timeout = (int)ZL_MIN(left / ZL_NSEC_PER_MSEC + 1, INT64_C(1000000));
                }
                r = poll(&p, 1, timeout);
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r <= 0)
                        continue;
                n = read(fd, chunk, sizeof(chunk));
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        return 0;
                if (n > 0 && zl_buf_put(answer, chunk, (size_t)n) < 0)
                        return -E2BIG;
        }
}

static int connect_to(const char *runtime_dir, const char *deployment)
{
        _cleanup_close_ int dir = open_dir(runtime_dir, false, NULL);
        char file[NAME_BYTES];

        if (dir < 0)
                return dir;
        snprintf(file, sizeof(file), "%s.sock", deployment);
        return zl_unix_connect_at(dir, file, SOCK_STREAM);
}

bool zl_control_is_served(const char *runtime_dir, const char *deployment)
{
        _cleanup_close_ int fd = connect_to(runtime_dir, deployment);

        return fd >= 0;
}

int zl_control_ask(const char *runtime_dir, const char *deployment, const char *line,
                   int64_t timeout_nsec, struct zl_error *err)
{
        _cleanup_free_ char *answer = NULL;

        return zl_control_query(runtime_dir, deployment, line, timeout_nsec, &answer, err);
}

int zl_control_query(const char *runtime_dir, const char *deployment, const char *line,
                     int64_t timeout_nsec, char **ret_answer, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(LINE_MAX_BYTES);
        _cleanup_close_ int fd = -EBADF;
        const char *rest;
        int r;

        fd = connect_to(runtime_dir, deployment);
        if (fd == -ENOENT || fd == -ECONNREFUSED)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "no agent looks after deployment %s",
                               deployment);
        if (fd < 0)
                return zl_fail_errno(err, -fd, "cannot reach the agent of deployment %s",
                                     deployment);
        zl_buf_putf(&text, "%s\n", line);
        r = zl_write_full(fd, text.data, text.len);
        zl_buf_reset(&text);
        if (r >= 0)
                r = read_answer(fd, &text,
                                timeout_nsec < 0 ? -1 : zl_now_monotonic() + timeout_nsec);
        if (r < 0)
                return zl_fail_errno(err, -r, "the agent of deployment %s does not answer",
                                     deployment);
        if (text.len > 0 && text.data[text.len - 1] == '\n')
                text.data[text.len - 1] = 0;
        rest = text.len > 0 ? zl_startswith(text.data, "ok") : NULL;
        if (rest && (!*rest || *rest == ' ')) {
                *ret_answer = strdup(*rest ? rest + 1 : rest);
                return *ret_answer ? 0 : zl_fail_oom(err);
        }
        rest = text.len > 0 ? zl_startswith(text.data, "error ") : NULL;
        return zl_fail(err, ZL_E_STATE, 0, "the agent of deployment %s: %s", deployment,
                       rest ?: "it ended without an answer");
}
