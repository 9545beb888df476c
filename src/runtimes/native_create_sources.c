/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a native workload takes from elsewhere: groups that the image names, volumes, workloads whose namespaces it joins.
 *
 * A volume is noted before it is attached, so that a failure of whatever follows releases it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/path.h"
#include "base/strv.h"
#include "runtimes/copy_tree.h"
#include "runtimes/native_create.h"

/* ---- groups -------------------------------------------------------------------------------------- */

/* The number of a group in the topmost layer that has an /etc/group. */
static int find_group(const struct native_creation *c, const char *name, gid_t *ret)
{
        size_t n = zl_strv_len(c->image->layer_dirs), len = strlen(name);
        _cleanup_free_ char *text = NULL;

        while (!text && n-- > 0) {
                _cleanup_close_ int root = open(c->image->layer_dirs[n],
                                                O_PATH | O_DIRECTORY | O_CLOEXEC);
                _cleanup_close_ int fd = root < 0 ? -errno
                                                  : zl_open_in(root, "etc/group", O_RDONLY, 0,
                                                               ZL_PATH_IN_ROOT);

                if (fd >= 0 && zl_read_fd(fd, 4 << 20, &text, NULL) < 0)
                        return -EIO;
        }
        for (const char *line = text; line && *line; line += *line == '\n') {
                const char *end = strchrnul(line, '\n');
                const char *second = memchr(line, ':', (size_t)(end - line));
                const char *third = second ? memchr(second + 1, ':', (size_t)(end - second - 1))
                                           : NULL;

                if (third && (size_t)(second - line) == len && memcmp(line, name, len) == 0) {
                        char number[16];

                        snprintf(number, sizeof(number), "%.*s", (int)strcspn(third + 1, ":\n"),
                                 third + 1);
                        return zl_parse_u32(number, 10, ret);
                }
                line = end;
        }
        return -ENOENT;
}

int native_find_groups(struct native_creation *c)
{
        size_t n = zl_strv_len(c->spec->extra_groups);

        if (n == 0)
                return 0;
        c->gids = calloc(n, sizeof(*c->gids));
        if (!c->gids)
                return zl_fail_oom(c->err);
        ZL_STRV_FOREACH(group, c->spec->extra_groups) {
                gid_t *gid = &c->gids[c->n_gids++];

                if (zl_parse_u32(*group, 10, gid) < 0 && find_group(c, *group, gid) < 0)
                        return zl_fail(c->err, ZL_E_INVALID, 0,
                                       "extra_groups: the image has no group \"%s\"", *group);
        }
        return 0;
}

/* ---- volumes ------------------------------------------------------------------------------------- */

static int push_volume(struct native_creation *c, char *source, char *target, bool readonly)
{
        struct zl_bundle_volume *v = reallocarray(c->volumes, c->n_volumes + 1,
                                                  sizeof(*c->volumes));

        if (!v) {
                free(source);
                free(target);
                return zl_fail_oom(c->err);
        }
        c->volumes = v;
        v[c->n_volumes++] = (struct zl_bundle_volume){ .source = source,
                                                       .target = target,
                                                       .readonly = readonly };
        return 0;
}

static int fill_fresh(struct native_creation *c, const char *path, const char *target)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (!c->image->layer_dirs)
                return 0; /* a module has no files */
        if (fd < 0)
                return zl_fail_errno(c->err, errno, "cannot open the volume %s", path);
        return zl_copy_up(c->image->layer_dirs, target, fd, c->err);
}

static int add_named(struct native_creation *c, const char *field, const struct zl_storage_spec *s,
                     char *target)
{
        _cleanup_free_ char *owned = target, *full = NULL, *path = NULL;
        struct zl_volumes *volumes;
        bool fresh = false;
        int r = native_volumes(c->n, &volumes, c->err);

        if (r == 0)
                r = zl_volume_full_name(&c->ident, s->name, &full, c->err);
        if (r < 0) {
                zl_error_prefix(c->err, "%s.name", field);
                return r;
        }
        /* Noted before it is attached, so that a failure releases it. */
        if (zl_strv_push(&c->volume_names, full) < 0)
                return zl_fail_oom(c->err);
        r = zl_volume_attach(volumes, full, c->options->name, &path, &fresh, c->err);
        if (r == 0 && fresh)
                r = fill_fresh(c, path, target);
        if (r < 0)
                return r;
        return push_volume(c, zl_take_ptr(path), zl_take_ptr(owned), s->readonly);
}

static int add_anonymous(struct native_creation *c, char *target)
{
        _cleanup_free_ char *owned = target, *path = NULL;
        struct zl_volumes *volumes;
        bool fresh = false;
        int r = native_volumes(c->n, &volumes, c->err);

        if (r == 0)
                r = zl_volume_make_anonymous(volumes, c->options->name, c->n_anonymous++, &path,
                                             &fresh, c->err);
        if (r == 0 && fresh)
                r = fill_fresh(c, path, target);
        if (r < 0)
                return r;
        return push_volume(c, zl_take_ptr(path), zl_take_ptr(owned), false);
}

static int check_bind(struct native_creation *c, const char *field, const struct zl_storage_spec *s)
{
        if (s->source && s->source[0] == '/' && access(s->source, F_OK) < 0)
                return zl_fail_errno(c->err, errno, "%s.source: cannot mount %s", field, s->source);
        return 0;
}

/* Does the spec mount something at (or, for an image's volume, above) this path? */
static bool spec_has_target(const struct native_creation *c, const char *path)
{
        for (size_t i = 0; i < c->spec->n_storage; i++) {
                _cleanup_free_ char *target = zl_path_clean_absolute(c->spec->storage[i].target);

                if (target && zl_streq(target, path))
                        return true;
        }
        return false;
}

static int make_spec_volumes(struct native_creation *c)
{
        for (size_t i = 0; i < c->spec->n_storage; i++) {
                const struct zl_storage_spec *s = &c->spec->storage[i];
                char field[32];
                char *target = NULL;
                int r;

                snprintf(field, sizeof(field), "storage[%zu]", i);
                r = zl_bundle_target(field, s->target, &target, c->err);
                if (r < 0)
                        return r;
                if (s->type == ZL_STORAGE_NAMED) {
                        r = add_named(c, field, s, target);
                } else if (s->type == ZL_STORAGE_ANONYMOUS) {
                        r = add_anonymous(c, target);
                } else {
                        free(target);
                        r = s->type == ZL_STORAGE_BIND ? check_bind(c, field, s) : 0;
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

static int make_image_volumes(struct native_creation *c)
{
        ZL_STRV_FOREACH(path, c->image->volumes) {
                _cleanup_free_ char *clean = zl_path_clean_absolute(*path);
                _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
                char *target = NULL;
                int r;

                if (!clean)
                        return zl_fail_oom(c->err);
                if (spec_has_target(c, clean))
                        continue;
                if (zl_bundle_target("image volume", clean, &target, &why) < 0) {
                        native_creation_warn(zl_error_message(&why), c);
                        continue;
                }
                r = add_anonymous(c, target);
                if (r < 0)
                        return r;
        }
        return 0;
}

int native_make_volumes(struct native_creation *c)
{
        int r = make_spec_volumes(c);

        return r < 0 ? r : make_image_volumes(c);
}

/* ---- containers to join -------------------------------------------------------------------------- */

static int find_joined(struct native_creation *c, const char *field, const char *id, pid_t *ret,
                       char **ret_name)
{
        char name[ZL_IDENT_NAME_MAX];
        struct zl_status status;
        int r;

        if (!id)
                return 0;
        if (zl_ident_resolve(id, c->ident.deployment, name) < 0)
                return zl_fail(c->err, ZL_E_INVALID, 0, "%s: \"%s\" is not the name of a workload",
                               field, id);
        r = native_status(c->n, name, &status, c->err);
        if (r < 0) {
                zl_error_prefix(c->err, "%s", field);
                return r;
        }
        *ret = status.pid;
        zl_status_done(&status);
        if (*ret <= 0)
                return zl_fail(c->err, ZL_E_STATE, 0, "%s: %s does not run", field, name);
        if (ret_name && !(*ret_name = strdup(name)))
                return zl_fail_oom(c->err);
        return 0;
}

int native_find_joined(struct native_creation *c)
{
        const struct zl_network_mode *mode = &c->spec->network_mode;
        int r = find_joined(c, "pid_mode", zl_bundle_joined(c->spec->pid_mode), &c->pid_of, NULL);

        if (r == 0)
                r = find_joined(c, "ipc_mode", zl_bundle_joined(c->spec->ipc_mode), &c->ipc_of,
                                NULL);
        if (r == 0 && mode->kind == ZL_NETWORK_CONTAINER)
                r = find_joined(c, "network_mode", mode->name, &c->network_of, &c->network_name);
        return r;
}
