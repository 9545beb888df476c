/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spares: containers that are made before anybody asks for them. What a start costs is nearly all the same whatever the command: a monitor,
 * namespaces, groups, mounts. So after a workload was made, one more container of the same shape is made in the background, up to the point
 * where its process waits to be told what to run. A later create of that shape renames its directories to the
 * workload's, writes the files that bear its name, and has the monitor adopt it. Everything else is as in any create.
 *
 * The shape is what the spec says of the container but its names, its command and its environment, which arrive with the request. There are
 * two kinds:
 *
 *   - for a module: the process is the engine, loaded, and waits at its standard input; the module is linked into the state;
 *   - for a command: the process waits at the gate of its start. To the shape belong the digest of the image and the directories of
 *     its layers as they are (they may go away and come back while it waits). It is made when a shape has come a second time
 *     within a minute: a service with replicas, a job, a cron job, services that differ in what their container does not see.
 *
 * A spare has run nothing of anybody's, is used for one workload, and ends with it. Specs that need more than it has (volumes, terminals,
 * devices) are made the usual way. One spare of each kind is kept at a time, for a minute after the last workload of its shape.
 *
 * Beside them a monitor is kept that waits for the launch of whatever comes next: a process without name or container, which has a
 * network namespace ready. It serves every native workload that no spare serves, and ends with us or a minute after the last launch. With
 * it goes a shell (native_shell.c), which has the files of a state: the monitor takes the run directory of the same name, and mounts the root if the last two
 * workloads were laid over the same layers. While launches come in a row neither is made: who is in a hurry has no use for a process that
 * is started beside his own.
 *
 * To recover, a spare is a create that is going on: its directory is locked by us. When we die its monitor ends it, and whoever
 * recovers removes the directories. What may go wrong while one is made is nobody's concern: the usual way remains.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/random.h"
#include "base/strv.h"
#include "base/thread.h"
#include "linux/cgroup.h"
#include "runtimes/native.h"
#include "runtimes/native_network.h"
#include "runtimes/native_wasm.h"
#include "spec/spec.h"

/* So long after the last workload of its shape a spare is kept, and so long a start is left alone before the next is made. */
#define KEPT_NSEC (60 * ZL_NSEC_PER_SEC)
#define QUIET_NSEC (20 * ZL_NSEC_PER_MSEC)
/* The same for a monitor, from the launch of the one before: it has started by then. And from its start, if there is one earlier. */
#define MONITOR_QUIET_NSEC (50 * ZL_NSEC_PER_MSEC)
#define DELEGATE_QUIET_NSEC (500 * ZL_NSEC_PER_MSEC) /* an external runtime takes about fifty */
#define STARTED_NSEC (3 * ZL_NSEC_PER_MSEC)
/* A shell is made so long after the monitor: what comes right after a start, as an exec, comes first. */
#define SHELL_NSEC (3 * ZL_NSEC_PER_MSEC)
/* And so long until its exit record comes to the disk. */
#define PREPARE_NSEC (30 * ZL_NSEC_PER_MSEC)
/* After a directory was renamed: its start comes first, and what comes right after that. A module may have ended by then. */
#define SYNC_NSEC (20 * ZL_NSEC_PER_MSEC)

/* Of one kind. */
struct slot {
        char shape[ZL_DIGEST_TEXT_MAX]; /* of the last workload */
        int64_t seen_at;                /* when that came */
        struct zl_service_spec
                *wanted; /* what the next one is to be like; NULL: nothing is wanted */
        char digest[ZL_DIGEST_TEXT_MAX]; /* of its image */
        struct native_spare *ready;
};

struct native_spares {
        pthread_mutex_t lock; /* guards all below but the thread */
        pthread_cond_t news;
        pthread_t thread;
        bool running, stop;
        struct slot slots[NATIVE_SPARE_KINDS];
        struct zl_monitor *monitor; /* one that waits */
        struct native_shell *shell;
        struct native_layers layers; /* of the last workload */
        bool layers_again;           /* and of the one before */
        bool renamed;                /* a directory was, and that is not on the disk yet */
        int64_t sync_at;             /* when it is brought there: its start comes first */
        int64_t launched_at;         /* 0: neither of the two is wanted */
        int64_t made_at;             /* when the first is made */
};

/* ---- shape ------------------------------------------------------------------------------------------- */

static size_t length_of(char *const *texts)
{
        size_t len = 0;

        ZL_STRV_FOREACH(text, texts)
                len += strlen(*text) + 1;
        return len;
}

/* What is said in the request to the process must fit into one message; secrets go another way altogether. */
static bool words_fit(const struct zl_create_options *o, const struct zl_image *image)
{
        size_t len = length_of(o->spec->command.entrypoint) + length_of(o->spec->command.args) +
                     length_of(o->env) + length_of(image->env) + length_of(image->entrypoint) +
                     length_of(image->cmd);

        for (size_t i = 0; i < o->spec->env.n; i++) {
                if (zl_startswith(o->spec->env.items[i].value, "$S:"))
                        return false;
                len += strlen(o->spec->env.items[i].key) + strlen(o->spec->env.items[i].value) + 2;
        }
        return len < ZL_MONITOR_ADOPT_MAX / 2;
}

static bool is_plain(const struct zl_create_options *o)
{
        const struct zl_service_spec *s = o->spec;

        return s->n_storage == 0 && s->n_devices == 0 && !s->tty && !s->stdin_open &&
               !o->attach_stdin && !s->pid_mode && !s->ipc_mode && !s->extra_groups &&
               s->network_mode.kind != ZL_NETWORK_CONTAINER && !s->resources.gpu;
}

static bool waits_for_module(const struct native *n, const struct zl_create_options *o,
                             const struct zl_image *image)
{
        const struct zl_wasm_spec *w = o->spec->wasm;

        return n->settings.wasm_spare && image->kind == ZL_IMAGE_WASM && is_plain(o) &&
               o->spec->service_type != ZL_SERVICE_WASM_HTTP &&
               !native_network_is_wanted(o->spec) &&
               (!w || (w->min_instances == 0 && w->n_preopens == 0 && w->precompile));
}

static bool waits_for_command(const struct native *n, const struct zl_create_options *o,
                              const struct zl_image *image)
{
        /* To give it its host name takes rights over its namespaces. */
        return n->settings.monitor_spare && !n->host.facts.rootless && !native_wasm_is(image) &&
               is_plain(o) && zl_strv_len(image->volumes) == 0;
}

/* Labels become annotations, of which the engine reads these. */
static bool labels_matter(const struct zl_service_spec *spec)
{
        for (size_t i = 0; i < spec->labels.n; i++)
                if (zl_startswith(spec->labels.items[i].key, "run.oci.") ||
                    zl_startswith(spec->labels.items[i].key, "org."))
                        return true;
        return false;
}

/* What the agent does with a workload, what is said of its names and what its network gets, are none of the container's as it waits. */
static void leave_out(struct zl_service_spec *spec)
{
        if (!labels_matter(spec))
                spec->labels = (struct zl_str_map){ 0 };
        spec->schedule = spec->hostname = NULL;
        spec->n_endpoints = spec->n_port_mappings = spec->n_depends = 0;
        spec->scale = (struct zl_scale_spec){ 0 };
        spec->health = (struct zl_health_spec){ 0 };
        spec->init = (struct zl_init_spec){ 0 };
        spec->errors = (struct zl_errors_spec){ 0 };
        spec->lifecycle = (struct zl_lifecycle_spec){ 0 };
        spec->restart_policy = NULL;
        spec->dns = spec->extra_hosts = spec->expose = NULL;
}

int native_spare_shape(const struct native *n, const struct zl_create_options *options,
                       const struct zl_image *image, char ret[ZL_DIGEST_TEXT_MAX])
{
        _cleanup_buf_ struct zl_buf buf = ZL_BUF_INIT(64 << 10);
        struct zl_service_spec spec = *options->spec;
        bool module = waits_for_module(n, options, image);
        char any[] = "any";
        int r;

        if (n->delegate || n->settings.systemd_cgroup || !words_fit(options, image) ||
            (!module && !waits_for_command(n, options, image)))
                return 0;
        leave_out(&spec);
        if (module)
                spec.image = (struct zl_image_spec){ .name = any };
        spec.command.entrypoint = spec.command.args = NULL;
        spec.env = (struct zl_str_map){ 0 };
        if (zl_spec_service_hash(&spec, ret) < 0)
                return -ENOMEM;
        if (module)
                return 1;
        zl_buf_putf(&buf, "%s\n%s\n", ret, image->digest);
        r = native_mix_layers(&buf, n, image->layer_dirs);
        if (r == 0 && !zl_sha256_text(buf.data, buf.len, ret))
                r = -ENOMEM;
        return r < 0 ? r : 1;
}

/* ---- one spare ---------------------------------------------------------------------------------------- */

void native_spare_free(struct native_spare *s)
{
        if (!s)
                return;
        zl_monitor_close(s->monitor);
        zl_close(s->state_fd);
        free(s->cgroup);
        free(s);
}

void native_spare_discard(struct native *n, struct native_spare *s)
{
        if (!s)
                return;
        if (s->monitor)
                zl_monitor_stop(s->monitor, SIGKILL, 0, NULL, NULL);
        native_erase_dirs(n, s->name, NULL);
        native_spare_free(s);
}

/* Can a module be linked from the cache into the state? Not across file systems. */
static bool can_link(const struct native *n, const struct native_spare *s)
{
        _cleanup_free_ char *from = NULL, *to = NULL;
        bool can = asprintf(&from, "%s/code/lock", n->settings.wasm_cache_dir) > 0 &&
                   asprintf(&to, NATIVE_WASM_CODE_DIR "/" ZL_WASM_CODE) > 0 &&
                   linkat(AT_FDCWD, from, s->state_fd, to, 0) == 0;

        if (can)
                unlinkat(s->state_fd, to, 0);
        return can;
}

static void make_hold(struct native *n)
{
        struct zl_image_store *images;

        if (native_images(n, &images, NULL) == 0)
                zl_image_hold_ahead(images);
}

/* What is wanted of a slot, taken from it. */
struct wish {
        enum native_spare_kind kind;
        struct zl_service_spec *spec; /* NULL: nothing */
        char shape[ZL_DIGEST_TEXT_MAX], digest[ZL_DIGEST_TEXT_MAX];
};

static struct native_spare *make(struct native *n, const struct wish *wish)
{
        bool module = wish->kind == NATIVE_SPARE_MODULE;
        struct native_spare *s = calloc(1, sizeof(*s));
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;

        if (!s)
                return NULL;
        s->state_fd = -EBADF;
        s->kind = wish->kind;
        memcpy(s->name, NATIVE_SPARE, sizeof(NATIVE_SPARE));
        zl_random_hex(s->name + sizeof(NATIVE_SPARE) - 1, 16);
        memcpy(s->shape, wish->shape, sizeof(s->shape));
        if (native_make_spare(n, wish->spec, module ? NULL : wish->digest, s, &why) < 0) {
                zl_log_error(ZL_LOG_DEBUG, &why, "no spare");
                native_spare_free(s);
                return NULL;
        }
        make_hold(n);
        if (!module || can_link(n, s))
                return s;
        zl_debug("no WebAssembly spare: the cache is on another file system than the state");
        native_spare_discard(n, s);
        return NULL;
}

int native_spare_rename(struct native *n, struct native_spare *s, const char *name,
                        const char *source, struct zl_error *err)
{
        int r = 0;

        if ((source &&
             linkat(AT_FDCWD, source, s->state_fd, NATIVE_WASM_CODE_DIR "/" ZL_WASM_CODE, 0) < 0) ||
            renameat2(n->containers_fd, s->name, n->containers_fd, name, RENAME_NOREPLACE) < 0)
                r = zl_fail_errno(err, errno, "cannot make %s of a spare", name);
        if (r == 0 && renameat2(n->run_fd, s->name, n->run_fd, name, RENAME_NOREPLACE) < 0) {
                r = zl_fail_errno(err, errno, "cannot make %s of a spare", name);
                native_erase_dirs(n, name, NULL);
        }
        if (r == 0)
                native_spare_renamed(n, s->kind == NATIVE_SPARE_MODULE);
        if (r < 0) {
                zl_monitor_stop(s->monitor, SIGKILL, 0, NULL, NULL);
                native_erase_dirs(n, s->name, NULL);
        }
        return r;
}

void native_spare_recover(struct native *n, const char *name)
{
        _cleanup_close_ int state = native_lock_state(n, name, false, NULL);
        _cleanup_(zl_monitor_closep) struct zl_monitor *monitor = NULL;
        _cleanup_(zl_cgroup_freep) struct zl_cgroup *cg = NULL;
        _cleanup_free_ char *path = NULL, *own = NULL;
        struct zl_cgroup_options options = { .owned = true };

        if (state == -EBUSY || state == -EWOULDBLOCK)
                return; /* somebody's, who lives */
        if (native_connect(n, name, &monitor, NULL) == 0)
                zl_monitor_stop(monitor, SIGKILL, 0, NULL, NULL);
        if (native_find_group(n, name, &own, NULL) == 0 &&
            asprintf(&path, "zlayer/%s", name + 1) > 0) {
                options.path = *own ? own : path;
                if (zl_cgroup_open(&options, &cg, NULL) >= 0) {
                        zl_cgroup_kill_all(cg, SIGKILL, NULL);
                        zl_cgroup_remove(cg, NULL);
                }
        }
        native_erase_dirs(n, name, NULL);
}

/* ---- the thread that makes them -------------------------------------------------------------------------- */

/* The lock is held. NULL: there is none. */
static struct slot *slot_of(struct native_spares *all, const char *shape)
{
        for (size_t i = 0; i < NATIVE_SPARE_KINDS; i++)
                if (all->slots[i].ready && zl_streq(all->slots[i].ready->shape, shape))
                        return &all->slots[i];
        return NULL;
}

bool native_spare_is_there(struct native *n)
{
        bool there = false;

        if (!n->spares)
                return false;
        pthread_mutex_lock(&n->spares->lock);
        for (size_t i = 0; i < NATIVE_SPARE_KINDS; i++)
                there = there || n->spares->slots[i].ready;
        pthread_mutex_unlock(&n->spares->lock);
        return there;
}

bool native_spare_is_ready(struct native *n, const char *shape)
{
        bool ready;

        pthread_mutex_lock(&n->spares->lock);
        ready = slot_of(n->spares, shape);
        pthread_mutex_unlock(&n->spares->lock);
        return ready;
}

struct native_spare *native_spare_take(struct native *n, const char *shape)
{
        struct native_spares *all = n->spares;
        struct native_spare *s = NULL;
        struct slot *slot;

        pthread_mutex_lock(&all->lock);
        slot = slot_of(all, shape);
        if (slot) {
                s = zl_take_ptr(slot->ready);
                slot->seen_at =
                        zl_now_monotonic(); /* the next is not made before this start is over */
        }
        pthread_mutex_unlock(&all->lock);
        if (s && !zl_monitor_is_waiting(s->monitor)) {
                native_spare_discard(n, s);
                s = NULL;
        }
        return s;
}

static bool has_monitor(const struct native_spares *all)
{
        return all->monitor || (all->shell && all->shell->monitor);
}

/* The same about the monitor. */
static bool step_monitor(struct native *n, struct native_spares *all, int64_t now)
{
        struct zl_monitor *made = NULL;

        if (!all->launched_at || has_monitor(all) || now < all->made_at)
                return false;
        pthread_mutex_unlock(&all->lock);
        zl_monitor_start_ahead(native_monitor_program(n, n->delegate), NULL, &made, NULL);
        pthread_mutex_lock(&all->lock);
        all->monitor = made;
        if (!made)
                all->launched_at = 0; /* until the next launch */
        return true;
}

/* Nothing is left to be done for the next launch. */
static bool is_complete(const struct native_spares *all)
{
        return all->shell && all->shell->is_prepared && !all->monitor;
}

/* And about the shell. */
static bool step_shell(struct native *n, struct native_spares *all, int64_t now)
{
        struct native_shell *shell = all->shell;
        struct native_layers layers = { NULL };
        struct zl_monitor *monitor = NULL;

        if (!all->launched_at || is_complete(all) ||
            now < all->made_at + (shell ? PREPARE_NSEC : SHELL_NSEC))
                return false;
        all->shell = NULL;
        if (!shell || !shell->monitor)
                monitor = zl_take_ptr(all->monitor);
        if (monitor && all->layers_again && zl_strv_dup(all->layers.dirs, &layers.dirs) == 0)
                memcpy(layers.seen, all->layers.seen, sizeof(layers.seen));
        pthread_mutex_unlock(&all->lock);
        if (!shell)
                shell = native_shell_make(n);
        else if (!shell->is_prepared)
                native_shell_prepare(shell);
        if (shell && monitor)
                native_shell_marry(n, shell, monitor, &layers);
        else
                zl_monitor_close(monitor);
        zl_strv_free(layers.dirs);
        make_hold(n);
        pthread_mutex_lock(&all->lock);
        all->shell = shell;
        if (!shell)
                all->launched_at = 0;
        return true;
}

/* What nobody wants any more. */
static bool step_expiry(struct native *n, struct native_spares *all, int64_t now)
{
        struct zl_monitor *monitor;
        struct native_shell *shell;

        if (all->launched_at && now - all->launched_at >= KEPT_NSEC)
                all->launched_at = 0;
        if (all->launched_at || (!all->monitor && !all->shell))
                return false;
        monitor = zl_take_ptr(all->monitor);
        shell = zl_take_ptr(all->shell);
        pthread_mutex_unlock(&all->lock);
        zl_monitor_close(monitor);
        native_shell_discard(n, shell);
        pthread_mutex_lock(&all->lock);
        return true;
}

/* The same about what was renamed. */
static bool step_sync(struct native *n, struct native_spares *all, int64_t now)
{
        if (!all->renamed || now < all->sync_at)
                return false;
        all->renamed = false;
        pthread_mutex_unlock(&all->lock);
        fsync(n->containers_fd); /* whoever must know does it himself */
        pthread_mutex_lock(&all->lock);
        return true;
}

/* What is to be done without the lock, which is held. true: something was. */
static bool step_slot(struct native *n, struct native_spares *all, struct slot *slot, int64_t now)
{
        struct wish wish = { .kind = (enum native_spare_kind)(slot - all->slots) };
        struct native_spare *old = NULL, *made = NULL;
        bool still;

        if (slot->wanted && now - slot->seen_at >= KEPT_NSEC)
                zl_service_spec_free(zl_take_ptr(slot->wanted));
        if (slot->ready && (!slot->wanted || !zl_streq(slot->ready->shape, slot->shape)))
                old = zl_take_ptr(slot->ready);
        else if (slot->wanted && !slot->ready && now - slot->seen_at >= QUIET_NSEC)
                wish.spec = zl_service_spec_copy(slot->wanted);
        if (!old && !wish.spec)
                return false;
        memcpy(wish.shape, slot->shape, sizeof(wish.shape));
        memcpy(wish.digest, slot->digest, sizeof(wish.digest));
        pthread_mutex_unlock(&all->lock);
        native_spare_discard(n, old);
        if (wish.spec)
                made = make(n, &wish);
        pthread_mutex_lock(&all->lock);
        still = wish.spec && slot->wanted && zl_streq(wish.shape, slot->shape);
        if (still && !made)
                zl_service_spec_free(zl_take_ptr(slot->wanted)); /* until the next asks */
        slot->ready = made ? made : slot->ready;
        zl_service_spec_free(wish.spec);
        return true;
}

static bool step(struct native *n, struct native_spares *all, int64_t now)
{
        for (size_t i = 0; i < NATIVE_SPARE_KINDS; i++)
                if (step_slot(n, all, &all->slots[i], now))
                        return true;
        return false;
}

static int64_t next_make(const struct native_spares *all)
{
        if (!has_monitor(all))
                return all->made_at;
        if (!all->shell)
                return all->made_at + SHELL_NSEC;
        return is_complete(all) ? all->launched_at + KEPT_NSEC : all->made_at + PREPARE_NSEC;
}

static void wait_for_news(struct native_spares *all, int64_t now)
{
        const struct sched_param none = { 0 };
        bool is_normal = sched_getscheduler(0) == SCHED_OTHER;
        int64_t until = INT64_MAX;
        struct timespec at;

        for (const struct slot *s = all->slots; s < all->slots + NATIVE_SPARE_KINDS; s++)
                if (s->wanted)
                        until = ZL_MIN(until, s->seen_at + (s->ready ? KEPT_NSEC : QUIET_NSEC));
        if (all->launched_at)
                until = ZL_MIN(until, next_make(all));
        if (all->renamed)
                until = ZL_MIN(until, all->sync_at);
        until = ZL_MAX(until, now);
        at = (struct timespec){ until / ZL_NSEC_PER_SEC, until % ZL_NSEC_PER_SEC };
        /* Who wakes us goes on first: he has a start in his hands. */
        if (is_normal)
                sched_setscheduler(0, SCHED_BATCH, &none);
        if (until < INT64_MAX)
                pthread_cond_timedwait(&all->news, &all->lock, &at);
        else
                pthread_cond_wait(&all->news, &all->lock);
        if (is_normal)
                sched_setscheduler(0, SCHED_OTHER, &none);
}

static void *look_after(void *data)
{
        struct native *n = data;
        struct native_spares *all = n->spares;

        pthread_mutex_lock(&all->lock);
        while (!all->stop) {
                int64_t now = zl_now_monotonic();

                if (!step_sync(n, all, now) && !step_expiry(n, all, now) &&
                    !step_monitor(n, all, now) && !step_shell(n, all, now) && !step(n, all, now) &&
                    !all->stop)
                        wait_for_news(all, now);
        }
        pthread_mutex_unlock(&all->lock);
        return NULL;
}

/* The lock is held. */
static void start_thread(struct native *n)
{
        n->spares->running = zl_thread_start(&n->spares->thread, look_after, n) == 0;
}

/* Those of one workload are not to be found in the memory of another. */
static struct zl_service_spec *copy_without_words(const struct zl_service_spec *spec)
{
        struct zl_service_spec copy = *spec;
        char word[] = "waiting", *words[] = { word, NULL };

        copy.env = (struct zl_str_map){ 0 };
        copy.command.entrypoint = words;
        copy.command.args = NULL;
        return zl_service_spec_copy(&copy);
}

void native_spare_want(struct native *n, const struct zl_service_spec *spec,
                       const struct zl_image *image, const char *shape)
{
        struct native_spares *all = n->spares;
        int64_t now = zl_now_monotonic();
        struct slot *slot;
        bool again;

        if (!*shape)
                return;
        pthread_mutex_lock(&all->lock);
        slot = &all->slots[native_wasm_is(image) ? NATIVE_SPARE_MODULE : NATIVE_SPARE_COMMAND];
        again = zl_streq(slot->shape, shape) && now - slot->seen_at < KEPT_NSEC;
        if (!again) {
                zl_service_spec_free(zl_take_ptr(slot->wanted));
                snprintf(slot->shape, sizeof(slot->shape), "%s", shape);
                snprintf(slot->digest, sizeof(slot->digest), "%s", image->digest);
        }
        slot->seen_at = now;
        if (!slot->wanted && (again || slot == &all->slots[NATIVE_SPARE_MODULE]))
                slot->wanted = copy_without_words(spec);
        if (!all->running)
                start_thread(n);
        pthread_cond_signal(&all->news);
        pthread_mutex_unlock(&all->lock);
}

/* A launch has begun: what is made for the next is made when it is over. The lock is held. */
static void put_off(struct native *n)
{
        struct native_spares *all = n->spares;

        all->launched_at = zl_now_monotonic();
        all->made_at = all->launched_at + (n->delegate ? DELEGATE_QUIET_NSEC : MONITOR_QUIET_NSEC);
        if (!all->running)
                start_thread(n);
        pthread_cond_signal(&all->news);
}

void native_spare_layers(struct native *n, char *const *layers, const char *seen)
{
        struct native_spares *all = n->spares;
        char **dirs = NULL;

        if (!all)
                return;
        pthread_mutex_lock(&all->lock);
        all->layers_again = zl_streq(all->layers.seen, seen);
        if (!all->layers_again && zl_strv_dup(layers, &dirs) == 0) {
                zl_strv_free(all->layers.dirs);
                all->layers.dirs = dirs;
                memcpy(all->layers.seen, seen, sizeof(all->layers.seen));
        }
        pthread_mutex_unlock(&all->lock);
}

struct native_shell *native_spare_shell(struct native *n)
{
        struct native_shell *s;

        if (!n->settings.monitor_spare)
                return NULL;
        pthread_mutex_lock(&n->spares->lock);
        s = zl_take_ptr(n->spares->shell);
        put_off(n);
        pthread_mutex_unlock(&n->spares->lock);
        return s;
}

void native_spare_renamed(struct native *n, bool soon)
{
        pthread_mutex_lock(&n->spares->lock);
        n->spares->renamed = true;
        n->spares->sync_at = soon ? 0 : zl_now_monotonic() + SYNC_NSEC;
        pthread_cond_signal(&n->spares->news);
        pthread_mutex_unlock(&n->spares->lock);
}

struct zl_monitor *native_spare_monitor(struct native *n)
{
        struct native_spares *all = n->spares;
        struct zl_monitor *m;

        if (!n->settings.monitor_spare)
                return NULL;
        pthread_mutex_lock(&all->lock);
        m = zl_take_ptr(all->monitor);
        if (!m && all->shell)
                m = native_shell_divorce(n, all->shell);
        put_off(n);
        pthread_mutex_unlock(&all->lock);
        if (m && !zl_monitor_is_waiting(m)) {
                zl_monitor_close(m);
                m = NULL;
        }
        return m;
}

void native_spare_started(struct native *n)
{
        struct native_spares *all = n->spares;

        if (!all)
                return;
        pthread_mutex_lock(&all->lock);
        if (all->launched_at && (!has_monitor(all) || !all->shell)) {
                all->made_at = zl_now_monotonic() + STARTED_NSEC;
                pthread_cond_signal(&all->news);
        }
        pthread_mutex_unlock(&all->lock);
}

int native_spares_open(struct native *n, struct zl_error *err)
{
        struct native_spares *all;
        pthread_condattr_t attr;

        if (!n->settings.wasm_spare && !n->settings.monitor_spare)
                return 0;
        all = calloc(1, sizeof(*all));
        if (!all)
                return zl_fail_oom(err);
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&all->news, &attr);
        pthread_condattr_destroy(&attr);
        pthread_mutex_init(&all->lock, NULL);
        n->spares = all;
        native_recover_hidden(n);
        return 0;
}

void native_spares_close(struct native *n)
{
        struct native_spares *all = n->spares;

        if (!all)
                return;
        pthread_mutex_lock(&all->lock);
        all->stop = true;
        pthread_cond_signal(&all->news);
        pthread_mutex_unlock(&all->lock);
        if (all->running)
                pthread_join(all->thread, NULL);
        for (size_t i = 0; i < NATIVE_SPARE_KINDS; i++) {
                native_spare_discard(n, all->slots[i].ready);
                zl_service_spec_free(all->slots[i].wanted);
        }
        zl_monitor_close(all->monitor);
        native_shell_discard(n, all->shell);
        zl_strv_free(all->layers.dirs);
        pthread_cond_destroy(&all->news);
        pthread_mutex_destroy(&all->lock);
        free(all);
        n->spares = NULL;
}
