/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has which graphics processor. Each workload's choice is a file in the directory of its state, so it goes where the state goes: it
 * stays over restarts and the agent's death, is renamed with it and is free again with its removal. There is no other list that
 * could say something else.
 *
 * Whoever chooses looks through all states, under one lock for all processes of the root: the lock is on the directory that the states are in.
 * It is taken while the own state is locked; others' states are never waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/path.h"
#include "runtimes/gpu.h"
#include "runtimes/native_create.h"
#include "runtimes/status.h"

#define GPUS "gpus.json"
enum { GPUS_MAX = 1 << 16 };

static int lock_all(const struct native *n, struct zl_error *err)
{
        int fd = openat(n->containers_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = fd < 0 ? -errno : zl_lock_fd(fd, true, true);

        if (r == 0)
                return fd;
        zl_close(fd);
        return zl_fail_errno(err, -r, "cannot lock %s", n->containers_dir);
}

/* 1, or 0 if it has none. */
static int load(int state_fd, const char *name, json_t **ret, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r = zl_read_file_at(state_fd, GPUS, GPUS_MAX, &text, &len);

        if (r == -ENOENT)
                return 0;
        r = r < 0 ? zl_fail_errno(err, -r, "cannot read %s", GPUS)
                  : zl_json_parse(text, len, GPUS, ret, err);
        if (r < 0)
                zl_error_prefix(err, "%s", name);
        return r < 0 ? r : 1;
}

/* ---- those that others have ---------------------------------------------------------------------- */

struct look {
        struct native *n;
        const char *own;
        int64_t until;
        struct zl_gpu_uses *uses;
        struct zl_error *err;
};

/* A create that was interrupted has no status, and nobody works on it. */
static bool is_wreck(const struct look *l, int state_fd, const char *name)
{
        _cleanup_close_ int lock = -EBADF;

        if (faccessat(state_fd, NATIVE_STATUS, F_OK, 0) == 0)
                return false;
        lock = native_lock_state(l->n, name, false, NULL);
        /* Once more: it may have become complete before. */
        return lock >= 0 && faccessat(lock, NATIVE_STATUS, F_OK, 0) < 0;
}

/* What has ended and is never started again by itself needs none any more. */
static bool has_done_with_it(const struct look *l, const char *name, const json_t *gpus)
{
        int64_t launches = zl_json_int(gpus, "launches", 0);
        struct zl_status status;
        bool done;

        if (launches == 0 || native_look(l->n, name, l->until, &status, NULL) < 0)
                return false;
        done = zl_status_is_over(&status) &&
               (status.generation >= launches || status.exit_code == 0 || status.stop_requested);
        zl_status_done(&status);
        return done;
}

static int note_uses(void *data, const char *name, unsigned char type _unused_)
{
        const struct look *l = data;
        _cleanup_close_ int state = -EBADF;
        _cleanup_json_ json_t *gpus = NULL;
        const json_t *node;
        size_t i;
        int r;

        if (*name == '.' || zl_streq(name, l->own))
                return 0;
        state = native_open_state(l->n, name, NULL);
        if (state < 0)
                return 0; /* gone */
        r = load(state, name, &gpus, l->err);
        if (r <= 0 || is_wreck(l, state, name) || has_done_with_it(l, name, gpus))
                return r < 0 ? r : 0;
        json_array_foreach(json_object_get(gpus, "devices"), i, node)
        {
                if (json_is_string(node) &&
                    zl_gpu_uses_add(l->uses, json_string_value(node), name,
                                    zl_json_bool(gpus, "shared", false)) < 0)
                        return zl_fail_oom(l->err);
        }
        return 0;
}

/* `lock` is a descriptor of the directory, at its beginning. */
static int find_uses(struct native *n, int lock, const char *own, struct zl_gpu_uses *ret,
                     struct zl_error *err)
{
        struct look look = { .n = n,
                             .own = own,
                             .until = zl_now_monotonic() + NATIVE_LOOK_SPAN,
                             .uses = ret,
                             .err = err };
        int r = zl_dir_each(lock, note_uses, &look);

        return r < 0 && !zl_error_is_set(err)
                       ? zl_fail_errno(err, -r, "cannot list %s", n->containers_dir)
                       : r;
}

/* ---- choosing ------------------------------------------------------------------------------------ */

/* After how many launches its end is the end, so that others may have its devices; 0: it can be started again any time. */
static json_int_t launches_of(const struct native_creation *c)
{
        const struct zl_restart_policy *policy = c->spec->restart_policy;

        if (c->options->auto_remove)
                return 1;
        if (c->spec->rtype == ZL_RTYPE_SERVICE)
                return 0;
        if (!policy || policy->kind != ZL_RESTART_ON_FAILURE)
                return 1;
        return policy->has_max_attempts && policy->max_attempts ? policy->max_attempts + 1LL
                                                                : UINT32_MAX;
}

static int save(const struct native_creation *c, bool shared)
{
        _cleanup_json_ json_t *d = json_pack("{s:s, s:b, s:I, s:[]}", "vendor",
                                             c->spec->resources.gpu->vendor, "shared", (int)shared,
                                             "launches", launches_of(c), "devices");
        _cleanup_free_ char *text = NULL;
        int r;

        for (size_t i = 0; d && i < c->gpus.n; i++)
                if (json_array_append_new(json_object_get(d, "devices"),
                                          json_string(c->gpus.items[i].node)) < 0)
                        return zl_fail_oom(c->err);
        if (!d || !(text = zl_json_dump(d, 0)))
                return zl_fail_oom(c->err);
        r = zl_write_file_at(c->state_fd, GPUS, text, strlen(text), 0600, 0);
        return r < 0 ? zl_fail_errno(c->err, -r, "cannot write %s/%s", c->dir, GPUS) : 0;
}

int native_choose_gpus(struct native_creation *c)
{
        const struct zl_gpu_spec *gpu = c->spec->resources.gpu;
        _cleanup_gpu_uses_ struct zl_gpu_uses uses = { 0 };
        _cleanup_close_ int lock = -EBADF;
        struct zl_gpu_wish wish;
        int r;

        if (!gpu || gpu->count == 0 || c->wasm)
                return 0;
        wish = zl_gpu_wish_of(gpu);
        lock = lock_all(c->n, c->err);
        if (lock < 0)
                return lock;
        r = find_uses(c->n, lock, c->options->name, &uses, c->err);
        if (r == 0)
                r = zl_gpus_find(&c->n->host.facts, gpu->vendor, &c->gpus, c->err);
        if (r == 0)
                r = zl_gpus_choose(&c->gpus, &uses, &wish, c->err);
        return r < 0 ? r : save(c, wish.shared);
}

static int check_node(const char *node, bool shared, const struct zl_gpu_uses *uses,
                      struct zl_error *err)
{
        for (size_t i = 0; i < uses->n; i++) {
                const struct zl_gpu_use *use = &uses->items[i];

                if (zl_streq(use->node, node) && !(shared && use->shared))
                        return zl_fail(err, ZL_E_BUSY, 0, "resources.gpu: %s has %s now",
                                       use->owner, node);
        }
        return 0;
}

int native_claim_gpus(struct native *n, int state_fd, const char *name, int *ret_lock,
                      struct zl_error *err)
{
        _cleanup_gpu_uses_ struct zl_gpu_uses uses = { 0 };
        _cleanup_close_ int lock = -EBADF;
        _cleanup_json_ json_t *gpus = NULL;
        const json_t *node;
        size_t i;
        int r = load(state_fd, name, &gpus, err);

        /* Whatever can be started any time has kept its own. */
        if (r <= 0 || zl_json_int(gpus, "launches", 0) == 0)
                return r < 0 ? r : 0;
        lock = lock_all(n, err);
        if (lock < 0)
                return lock;
        r = find_uses(n, lock, name, &uses, err);
        json_array_foreach(json_object_get(gpus, "devices"), i, node)
        {
                if (r == 0 && json_is_string(node))
                        r = check_node(json_string_value(node), zl_json_bool(gpus, "shared", false),
                                       &uses, err);
        }
        if (r < 0) {
                zl_error_prefix(err, "cannot start %s again", name);
                return r;
        }
        *ret_lock = zl_take_fd(lock);
        return 0;
}

json_t *native_gpus_json(int state_fd, const char *name)
{
        _cleanup_json_ json_t *gpus = NULL;

        return load(state_fd, name, &gpus, NULL) == 1
                       ? json_incref(json_object_get(gpus, "devices"))
                       : NULL;
}
