/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating a native workload. The order is chosen so that at every instant a process that dies leaves something that
 * recover can recognise: first the locked directory (which takes the name), then what the workload owns
 * (hold on its image, volumes), then its documents, then the monitor, and last status.json, whose presence says that
 * the workload exists. On failure everything is taken back in one place, native_erase_wreck().
 *
 * Nothing is synced here: a create that a power cut undoes is no loss, and syncs would cost more than all the rest.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/path.h"
#include "base/strv.h"
#include "container/container.h"
#include "network/files.h"
#include "oci/runtime_config.h"
#include "runtimes/bundle.h"
#include "runtimes/copy_tree.h"
#include "runtimes/native.h"
#include "runtimes/native_network.h"
#include "runtimes/native_wasm.h"
#include "runtimes/seccomp_cache.h"

/* One create on its way. */
struct creation {
        struct native *n;
        const struct zl_create_options *options;
        const struct zl_service_spec *spec;
        struct zl_ident ident;
        int state_fd;
        char *dir; /* of the state, absolute */
        struct zl_image *image;
        int64_t created_at;
        struct zl_bundle_volume *volumes;
        size_t n_volumes;
        char **volume_names;
        unsigned n_anonymous;
        gid_t *gids;
        size_t n_gids;
        pid_t pid_of, ipc_of, network_of;
        char *network_name; /* container whose network is joined */
        struct zl_bundle bundle;
        struct native_wasm *wasm;   /* NULL: a container */
        struct native_spare *spare; /* it is made of this one */
        json_t *network;            /* what is asked of the networks; NULL: nothing */
        int seccomp_fd;
        struct zl_error *err;
};

/* The directory of a spare is hidden. */
static const char *visible_name(const char *name)
{
        return name + (*name == '.');
}

static void warn(const struct creation *c, const char *text)
{
        if (c->options->warn)
                c->options->warn(text, c->options->warn_data);
        else
                zl_warn("%s: %s", c->options->name, text);
}

static void pass_warning(const char *text, void *data)
{
        warn(data, text);
}

static void creation_done(struct creation *c)
{
        for (size_t i = 0; i < c->n_volumes; i++) {
                free(c->volumes[i].source);
                free(c->volumes[i].target);
        }
        free(c->volumes);
        zl_strv_free(c->volume_names);
        free(c->gids);
        free(c->dir);
        free(c->network_name);
        zl_image_free(c->image);
        zl_bundle_done(&c->bundle);
        native_wasm_free(c->wasm);
        native_spare_free(c->spare);
        json_decref(c->network);
        zl_close(c->seccomp_fd);
        zl_close(c->state_fd);
}

/* ---- the name ------------------------------------------------------------------------------------ */

/* Is what has the name a workload, or the wreck of one? A wreck is removed. 0: the name is free now. */
static int clear_name(struct creation *c)
{
        _cleanup_close_ int fd = native_lock_state(c->n, c->options->name, true, NULL);
        const char *name = c->options->name;
        int r;

        if (fd < 0)
                return fd == -ENOENT ? 0 : zl_fail_errno(c->err, -fd, "cannot look at %s", name);
        if (faccessat(fd, NATIVE_STATUS, F_OK, 0) == 0) {
                r = zl_fail(c->err, ZL_E_EXISTS, 0, "workload %s exists already", name);
                zl_error_hint(c->err, "remove it first, or choose another name");
                return r;
        }
        return native_erase_wreck(c->n, fd, name, c->err);
}

/* 1, 0 or a negative errno. */
static int is_empty(int fd)
{
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = copy < 0 ? NULL : fdopendir(copy);
        const struct dirent *entry;
        int empty = 1;

        if (!dir) {
                int e = errno;

                zl_close(copy);
                return -e;
        }
        while (empty && (entry = readdir(dir)))
                empty = zl_streq(entry->d_name, ".") || zl_streq(entry->d_name, "..");
        closedir(dir);
        return empty;
}

/* Looks the image up and prepares the module, so that the rename of a spare is all that is left to do. */
static int prepare_for_spare(struct creation *c)
{
        struct zl_image_store *images;
        int r = native_images(c->n, &images, NULL);

        if (r == 0)
                r = zl_image_lookup(images, c->options->digest ?: c->spec->image.name, &c->image,
                                    NULL);
        if (r == 0 && c->image->kind != ZL_IMAGE_WASM)
                r = -EINVAL;
        if (r == 0)
                r = native_wasm_prepare(c->n, c->options, c->image, &c->wasm, NULL);
        return r;
}

/* Takes the name by renaming a spare, if there is one that fits. Whatever stands in the way: not this time. What is wrong with the
 * request is found and told on the usual way. */
static void try_spare(struct creation *c)
{
        char shape[ZL_DIGEST_TEXT_MAX];

        if (!c->n->spares || native_spare_shape(c->n, c->options, shape) != 1 ||
            !native_spare_is_ready(c->n, shape) || prepare_for_spare(c) < 0)
                return;
        c->spare = native_spare_take(c->n, shape);
        if (!c->spare)
                return;
        if (native_spare_rename(c->n, c->spare, c->options->name, c->wasm->source, NULL) < 0) {
                native_spare_free(zl_take_ptr(c->spare));
                return;
        }
        c->state_fd = zl_take_fd(c->spare->state_fd);
        c->wasm->linked = true;
}

static int take_name(struct creation *c)
{
        const char *name = c->options->name;

        for (;;) {
                int r;

                if (mkdirat(c->n->containers_fd, name, 0700) == 0) {
                        c->state_fd = native_lock_state(c->n, name, true, NULL);
                        /* Gone: somebody saw it before it was locked and took it for a wreck. Once more. */
                        if (c->state_fd == -ENOENT)
                                continue;
                        if (c->state_fd < 0)
                                return zl_fail_errno(c->err, -c->state_fd, "cannot lock %s", name);
                        r = is_empty(c->state_fd);
                        if (r < 0)
                                return zl_fail_errno(c->err, -r, "cannot look at %s", name);
                        if (r > 0)
                                return 0;
                        /* And a third one has made the directory that was locked here. */
                        c->state_fd = zl_close(c->state_fd);
                        continue;
                }
                if (errno != EEXIST)
                        return zl_fail_errno(c->err, errno, "cannot make %s/%s",
                                             c->n->containers_dir, name);
                r = clear_name(c);
                if (r < 0)
                        return r;
        }
}

/* ---- image and groups ---------------------------------------------------------------------------- */

static int take_image(struct creation *c)
{
        const char *name = c->spec->image.name;
        struct zl_image_store *images;
        int r = native_images(c->n, &images, c->err);

        if (r < 0)
                return r;
        if (!c->image)
                r = zl_image_lookup(images, c->options->digest ?: name, &c->image, c->err);
        if (r < 0) {
                if (zl_error_is_set(c->err) && c->err->code == ZL_E_NOT_FOUND)
                        zl_error_hint(c->err, "pull it with `zlayer-agent image pull %s`", name);
                return r;
        }
        if (!native_wasm_is(c->image) && c->n->ops.kind == ZL_RUNTIME_WASM)
                return zl_fail(c->err, ZL_E_UNSUPPORTED, 0,
                               "image %s is not WebAssembly, the wasm runtime cannot run it", name);
        if (native_wasm_is(c->image) && c->n->delegate)
                return zl_fail(c->err, ZL_E_UNSUPPORTED, 0,
                               "image %s is WebAssembly, the oci runtime cannot run it", name);
        return zl_image_hold(images, c->image->digest, c->options->name, c->err);
}

static int prepare_wasm(struct creation *c)
{
        return native_wasm_is(c->image) && !c->wasm
                       ? native_wasm_prepare(c->n, c->options, c->image, &c->wasm, c->err)
                       : 0;
}

/* The number of a group in the topmost layer that has an /etc/group. */
static int find_group(const struct creation *c, const char *name, gid_t *ret)
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

static int find_groups(struct creation *c)
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

static int push_volume(struct creation *c, char *source, char *target, bool readonly)
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

static int fill_fresh(struct creation *c, const char *path, const char *target)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (!c->image->layer_dirs)
                return 0; /* a module has no files */
        if (fd < 0)
                return zl_fail_errno(c->err, errno, "cannot open the volume %s", path);
        return zl_copy_up(c->image->layer_dirs, target, fd, c->err);
}

static int add_named(struct creation *c, const char *field, const struct zl_storage_spec *s,
                     char *target)
{
        _cleanup_free_ char *owned = target, *full = NULL, *path = NULL;
        struct zl_volumes *volumes;
        bool fresh = false;
        int r = native_volumes(c->n, &volumes, c->err);

        if (r == 0)
                r = zl_volume_full_name(c->ident.deployment, s->name, &full, c->err);
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

static int add_anonymous(struct creation *c, char *target)
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

static int check_bind(struct creation *c, const char *field, const struct zl_storage_spec *s)
{
        if (s->source && s->source[0] == '/' && access(s->source, F_OK) < 0)
                return zl_fail_errno(c->err, errno, "%s.source: cannot mount %s", field, s->source);
        return 0;
}

/* Does the spec mount something at (or, for an image's volume, above) this path? */
static bool spec_has_target(const struct creation *c, const char *path)
{
        for (size_t i = 0; i < c->spec->n_storage; i++) {
                _cleanup_free_ char *target = zl_path_clean_absolute(c->spec->storage[i].target);

                if (target && zl_streq(target, path))
                        return true;
        }
        return false;
}

static int make_spec_volumes(struct creation *c)
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

static int make_image_volumes(struct creation *c)
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
                        warn(c, zl_error_message(&why));
                        continue;
                }
                r = add_anonymous(c, target);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int make_volumes(struct creation *c)
{
        int r = make_spec_volumes(c);

        return r < 0 ? r : make_image_volumes(c);
}

/* ---- containers to join -------------------------------------------------------------------------- */

static int find_joined(struct creation *c, const char *field, const char *id, pid_t *ret,
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

static int find_all_joined(struct creation *c)
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

/* ---- files --------------------------------------------------------------------------------------- */

static int write_file(struct creation *c, const char *path, const char *text)
{
        size_t len = strlen(text);
        _cleanup_close_ int fd = openat(
                c->state_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
        int r = fd < 0 ? -errno : zl_write_full(fd, text, len);

        /* Other users inside must be able to read it, whatever our umask is. */
        if (r == 0 && fchmod(fd, 0644) < 0)
                r = -errno;
        return r < 0 ? zl_fail_errno(c->err, -r, "cannot write %s/%s", c->dir, path) : 0;
}

static int make_network_files(struct creation *c)
{
        _cleanup_free_ char *hostname = NULL, *resolv = zl_net_read_host_resolv(),
                            *etc_hosts = NULL;
        _cleanup_free_ char *hosts = NULL, *name_file = NULL, *resolv_file = NULL;
        struct zl_net_files in = { .host_network = c->spec->host_network ||
                                                   c->spec->network_mode.kind == ZL_NETWORK_HOST,
                                   .extra_hosts = c->spec->extra_hosts,
                                   .dns = c->spec->dns,
                                   .host_resolv = resolv };
        int r = zl_bundle_hostname(c->spec, &c->ident, &hostname, c->err);

        if (r < 0)
                return r;
        if (!resolv)
                return zl_fail_oom(c->err);
        in.hostname = hostname;
        if (native_network_is_wanted(c->spec)) {
                r = native_network_describe(c->spec, &c->ident, hostname, &c->network, c->err);
                if (r < 0)
                        return r;
                /* Until it is known, for those who check the list; then the file is written anew. */
                in.gateway = "127.0.0.1";
        }
        if (in.host_network) {
                in.gateway = "127.0.0.1";
                if (zl_read_file_at(AT_FDCWD, "/etc/hosts", 1 << 20, &etc_hosts, NULL) == 0)
                        in.host_hosts = etc_hosts;
        }
        r = zl_net_make_hosts(&in, &hosts, c->err);
        if (r == 0)
                r = zl_net_make_hostname(&in, &name_file, c->err);
        if (r == 0)
                r = zl_net_make_resolv_conf(&in, &resolv_file, NULL, c->err);
        if (r == 0 && !c->spare && mkdirat(c->state_fd, "files", 0755) < 0)
                r = zl_fail_errno(c->err, errno, "cannot make %s/files", c->dir);
        if (r == 0)
                r = write_file(c, "files/hosts", hosts);
        if (r == 0)
                r = write_file(c, "files/hostname", name_file);
        return r < 0 ? r : write_file(c, "files/resolv.conf", resolv_file);
}

/* The writable layer's root is the root directory that the container sees: as the image has it. */
static int make_upper(struct creation *c)
{
        size_t n = zl_strv_len(c->image->layer_dirs);
        struct stat st;

        if (c->spare)
                return 0;
        if (mkdirat(c->state_fd, "rootfs", 0755) < 0 || mkdirat(c->state_fd, "work", 0700) < 0 ||
            mkdirat(c->state_fd, "upper", 0755) < 0 || mkdirat(c->state_fd, "bundle", 0700) < 0)
                return zl_fail_errno(c->err, errno, "cannot make the directories of %s",
                                     c->options->name);
        if (n == 0)
                return 0;
        if (stat(c->image->layer_dirs[n - 1], &st) < 0)
                return zl_fail_errno(c->err, errno, "cannot look at the layer %s",
                                     c->image->layer_dirs[n - 1]);
        if (fchownat(c->state_fd, "upper", st.st_uid, st.st_gid, 0) < 0 ||
            fchmodat(c->state_fd, "upper", st.st_mode & 07777, 0) < 0)
                return zl_fail_errno(c->err, errno, "cannot set up the writable layer of %s",
                                     c->options->name);
        return 0;
}

/* ---- bundle -------------------------------------------------------------------------------------- */

static char *file_path(const struct creation *c, const char *owner, const char *file)
{
        char *path = NULL;

        if (asprintf(&path, "%s/%s/files/%s", c->n->containers_dir, owner, file) < 0)
                return NULL;
        return path;
}

static bool has_secrets(const struct creation *c)
{
        for (size_t i = 0; i < c->spec->env.n; i++)
                if (zl_startswith(c->spec->env.items[i].value, "$S:"))
                        return true;
        return false;
}

/* From here on the configuration in memory has references in place of the secrets. */
static int hide_secrets(struct creation *c)
{
        for (char **pair = c->bundle.config->process->env; pair && *pair; pair++) {
                const char *eq = strchr(*pair, '=');
                _cleanup_free_ char *key = eq ? strndup(*pair, (size_t)(eq - *pair)) : NULL;
                const char *reference = key ? zl_str_map_get(&c->spec->env, key) : NULL;
                char *hidden = NULL;

                if (!reference || !zl_startswith(reference, "$S:"))
                        continue;
                if (asprintf(&hidden, "%s=%s", key, reference) < 0)
                        return zl_fail_oom(c->err);
                explicit_bzero(*pair, strlen(*pair));
                free(*pair);
                *pair = hidden;
        }
        return 0;
}

static int write_config_at(struct creation *c, int dir, const char *where)
{
        _cleanup_free_ char *text = NULL;
        int r = zl_oci_config_dump(c->bundle.config, &text, c->err);

        if (r < 0)
                return r;
        r = zl_write_file_at(dir, "bundle/config.json", text, strlen(text), 0600, 0);
        explicit_bzero(text, strlen(text));
        return r < 0 ? zl_fail_errno(c->err, -r, "cannot write %s/bundle/config.json", where) : 0;
}

/* Secrets are written to no disk: what the monitor reads is then in the runtime directory, which is in memory, and beside the
 * state there is a copy with references. */
static int write_config(struct creation *c)
{
        _cleanup_close_ int run = -EBADF;
        int r;

        if (!has_secrets(c))
                return write_config_at(c, c->state_fd, c->dir);
        run = native_make_run(c->n, c->options->name, c->err);
        if (run < 0)
                return run;
        if (mkdirat(run, "bundle", 0700) < 0 && errno != EEXIST)
                return zl_fail_errno(c->err, errno, "cannot make %s/%s/bundle", c->n->run_dir,
                                     c->options->name);
        r = write_config_at(c, run, c->n->run_dir);
        if (r >= 0)
                r = hide_secrets(c);
        return r < 0 ? r : write_config_at(c, c->state_fd, c->dir);
}

int native_bundle_path(struct native *n, const struct native_record *record, char **ret,
                       struct zl_error *err)
{
        const char *dir = record->secret ? n->run_dir : n->containers_dir;
        char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s/bundle", dir, record->name) < 0)
                return zl_fail_oom(err);
        if (record->secret && access(path, F_OK) < 0) {
                r = zl_fail(err, ZL_E_STATE, 0, "%s cannot be started again: its secrets are gone",
                            record->name);
                zl_error_hint(err, "a restart of the machine wipes them; it has to be made anew");
                free(path);
                return r;
        }
        *ret = path;
        return 0;
}

/* The oldest version of the specification that has all we say: some runtimes refuse what is newer than they are. */
static int adapt_to_delegate(struct creation *c)
{
        struct zl_oci_config *config = c->bundle.config;

        if (zl_replace_str(&config->oci_version, "1.0.2") < 0 ||
            zl_str_map_set(&config->annotations, ZL_DELEGATE_ANNOTATION, c->n->delegate) < 0)
                return zl_fail_oom(c->err);
        return 0;
}

static int make_bundle(struct creation *c)
{
        const char *name = c->options->name;
        /* Who shares a network shares its names. */
        const char *network = c->network_name ? c->network_name : name;
        _cleanup_free_ char *rootfs = zl_path_join(c->dir, "rootfs");
        _cleanup_free_ char *hosts = file_path(c, network, "hosts");
        _cleanup_free_ char *hostname = file_path(c, name, "hostname");
        _cleanup_free_ char *resolv = file_path(c, network, "resolv.conf");
        struct zl_bundle_facts facts = c->n->host.facts;
        const struct zl_bundle_input in = {
                .name = visible_name(name),
                .ident = &c->ident,
                .spec = c->spec,
                .image = c->image,
                .env = c->options->env,
                .rootfs = rootfs,
                .hosts = hosts,
                .hostname_file = hostname,
                .resolv_conf = resolv,
                .volumes = c->volumes,
                .n_volumes = c->n_volumes,
                .extra_gids = c->gids,
                .n_extra_gids = c->n_gids,
                .pid_of = c->pid_of,
                .ipc_of = c->ipc_of,
                .network_of = c->network_of,
                .rows = c->options->rows,
                .cols = c->options->cols,
                .facts = &facts,
                .wasm = c->wasm != NULL,
                .warn = pass_warning,
                .warn_data = c,
        };
        int r;

        if (!rootfs || !hosts || !hostname || !resolv)
                return zl_fail_oom(c->err);
        facts.machine = c->n->host.machine;
        facts.systemd_cgroup = c->n->settings.systemd_cgroup;
        r = zl_bundle_make(&in, &c->bundle, c->err);
        if (r == 0 && c->wasm)
                r = native_wasm_apply(c->wasm, c->spec, c->dir, c->state_fd, c->bundle.config,
                                      c->err);
        /* A group cannot be renamed. */
        if (r == 0 && c->spare &&
            zl_replace_str(&c->bundle.config->linux_->cgroups_path, c->spare->cgroup) < 0)
                r = zl_fail_oom(c->err);
        if (r < 0)
                return r;
        /* wasmtime serve finishes what it answers on INT and knows no other signal. */
        if (c->wasm && c->wasm->server && !c->spec->stop_signal)
                c->bundle.stop_signal = SIGINT;
        r = c->n->delegate ? adapt_to_delegate(c) : 0;
        if (r < 0)
                return r;
        /* An external runtime compiles the profile of the bundle by itself. */
        if (c->bundle.config->linux_->seccomp && !c->n->delegate) {
                c->seccomp_fd = zl_seccomp_cache_open(c->n->cache_dir,
                                                      c->bundle.config->linux_->seccomp, c->err);
                if (c->seccomp_fd < 0)
                        return c->seccomp_fd;
        }
        return write_config(c);
}

/* ---- spec.json ----------------------------------------------------------------------------------- */

static json_t *json_strings(char *const *strv)
{
        json_t *list = json_array();

        ZL_STRV_FOREACH(s, strv)
                if (json_array_append_new(list, zl_json_string_lossy(*s, strlen(*s))) < 0) {
                        json_decref(list);
                        return NULL;
                }
        return list;
}

/* Where the groups are on each hierarchy, for cleaning up without a monitor. */
static json_t *cgroup_for_cleanup(const struct creation *c)
{
        const char *path = c->bundle.config->linux_->cgroups_path;
        const char *colon = strchr(path, ':');

        if (!colon)
                return json_string(path + strspn(path, "/"));
        return json_sprintf("%.*s/zlayer-%s.scope", (int)(colon - path), path, c->options->name);
}

static json_t *make_mounts(const struct creation *c)
{
        json_t *list = json_array();

        for (size_t i = 0; list && i < c->n_volumes; i++) {
                json_t *v = json_pack("{s:s,s:s,s:b}", "source", c->volumes[i].source, "target",
                                      c->volumes[i].target, "readonly", c->volumes[i].readonly);

                if (!v || json_array_append_new(list, v) < 0) {
                        json_decref(list);
                        return NULL;
                }
        }
        return list;
}

static int fill_document(struct creation *c, json_t *d)
{
        const struct zl_create_options *o = c->options;
        uint64_t log_size = c->spec->logs ? c->spec->logs->max_size_bytes : 0;
        int r = zl_json_set(d, "name", json_string(o->name));

        r = r ? r : zl_json_set(d, "image", json_string(c->spec->image.name));
        r = r ? r : zl_json_set(d, "digest", json_string(c->image->digest));
        c->created_at = zl_now_realtime();
        r = r ? r : zl_json_set(d, "created_at", json_integer(c->created_at));
        r = r ? r : zl_json_set(d, "stop_signal", json_integer(c->bundle.stop_signal));
        r = r ? r : zl_json_set(d, "grace_nsec", json_integer(c->bundle.grace_nsec));
        r = r ? r : zl_json_set(d, "init_reaper", json_boolean(c->bundle.init_reaper));
        r = r ? r
              : zl_json_set(d, "attach_stdin",
                            json_boolean(o->attach_stdin || c->spec->stdin_open));
        r = r ? r : zl_json_set(d, "auto_remove", json_boolean(o->auto_remove));
        r = r ? r : zl_json_set(d, "seccomp", json_boolean(c->seccomp_fd >= 0));
        if (r == 0 && c->n->delegate)
                r = zl_json_set(d, "delegate", json_string(c->n->delegate));
        r = r ? r : zl_json_set(d, "rows", json_integer(o->rows));
        r = r ? r : zl_json_set(d, "cols", json_integer(o->cols));
        r = r ? r
              : zl_json_set(d, "log_max_size",
                            json_integer(log_size > INT64_MAX ? INT64_MAX : (int64_t)log_size));
        if (r == 0 && c->network)
                r = zl_json_set(d, "network", json_incref(c->network));
        r = r ? r : zl_json_set(d, "wasm", json_boolean(c->wasm != NULL));
        if (r == 0 && c->wasm && c->wasm->keep_most)
                r = zl_json_set(d, "keep_most", json_integer(c->wasm->keep_most));
        r = r ? r : zl_json_set(d, "secret", json_boolean(has_secrets(c)));
        r = r ? r : zl_json_set(d, "cgroup", cgroup_for_cleanup(c));
        r = r ? r : zl_json_set(d, "volumes", json_strings(c->volume_names));
        r = r ? r : zl_json_set(d, "lower_dirs", json_strings(c->image->layer_dirs));
        return r ? r : zl_json_set(d, "mounts", make_mounts(c));
}

static int write_document(struct creation *c)
{
        _cleanup_json_ json_t *d = json_object();
        _cleanup_free_ char *spec = zl_service_spec_dump_json(c->spec), *text = NULL;
        json_t *parsed = NULL;
        int r;

        if (!d || !spec || fill_document(c, d) < 0)
                return zl_fail_oom(c->err);
        r = zl_json_parse(spec, strlen(spec), "spec", &parsed, c->err);
        if (r < 0)
                return r;
        if (zl_json_set(d, "spec", parsed) < 0 || !(text = zl_json_dump(d, 0)))
                return zl_fail_oom(c->err);
        r = zl_write_file_at(c->state_fd, NATIVE_SPEC, text, strlen(text), 0600, 0);
        return r < 0 ? zl_fail_errno(c->err, -r, "cannot write %s/%s", c->dir, NATIVE_SPEC) : 0;
}

/* ---- monitor ------------------------------------------------------------------------------------- */

int native_make_run(struct native *n, const char *name, struct zl_error *err)
{
        int fd;

        if (mkdirat(n->run_fd, name, 0700) < 0 && errno != EEXIST)
                return zl_fail_errno(err, errno, "cannot make %s/%s", n->run_dir, name);
        fd = native_open_run(n, name);
        return fd < 0 ? zl_fail_errno(err, -fd, "cannot open %s/%s", n->run_dir, name) : fd;
}

static int launch(struct native *n, const struct native_record *record, uint32_t generation,
                  int seccomp_fd, struct zl_monitor **ret, struct zl_error *err)
{
        _cleanup_free_ char *bundle = NULL, *upper = NULL, *work = NULL;
        /* A descriptor of its own: a lock travels with a descriptor that is inherited. */
        _cleanup_close_ int state = native_open_state(n, record->name, err), run = -EBADF;
        struct zl_monitor_launch l = ZL_MONITOR_LAUNCH_INIT;
        _cleanup_(zl_monitor_closep) struct zl_monitor *monitor = NULL;
        int r;

        if (state < 0)
                return state;
        run = native_make_run(n, record->name, err);
        if (run < 0)
                return run;
        r = native_bundle_path(n, record, &bundle, err);
        if (r < 0)
                return r;
        if (asprintf(&upper, "%s/%s/upper", n->containers_dir, record->name) < 0 ||
            asprintf(&work, "%s/%s/work", n->containers_dir, record->name) < 0)
                return zl_fail_oom(err);
        l.name = visible_name(record->name);
        l.generation = generation;
        l.state_dir_fd = state;
        l.run_dir_fd = run;
        l.bundle = bundle;
        l.lower_dirs = record->lower_dirs;
        l.upper_dir = upper;
        l.work_dir = work;
        l.seccomp_fd = seccomp_fd;
        l.rows = record->rows;
        l.cols = record->cols;
        l.attach_stdin = record->attach_stdin;
        l.stop_signal = record->stop_signal;
        l.grace_nsec = record->grace_nsec;
        l.log_max_size = record->log_max_size;
        l.keep_most = record->keep_most;
        l.init_reaper = record->init_reaper;
        l.spare = record->spare;
        l.systemd_cgroup = n->settings.systemd_cgroup;
        if (record->delegate && !n->delegate_monitor)
                return zl_fail(err, ZL_E_CONFIGURATION, 0,
                               "the program zlayer-monitor-oci is nowhere to be found");
        r = zl_monitor_launch(record->delegate ? n->delegate_monitor : n->settings.monitor_path, &l,
                              &monitor, err);
        if (r == 0 && record->network) {
                r = native_network_attach(n, state, record, monitor, err);
                if (r < 0)
                        zl_monitor_stop(monitor, SIGKILL, 0, NULL, NULL);
        }
        if (r == 0)
                *ret = zl_take_ptr(monitor);
        return r;
}

int native_launch(struct native *n, const struct native_record *record, uint32_t generation,
                  int seccomp_fd, struct zl_error *err)
{
        _cleanup_(zl_monitor_closep) struct zl_monitor *monitor = NULL;

        return launch(n, record, generation, seccomp_fd, &monitor, err);
}

int native_seccomp_again(struct native *n, int state_fd, const char *name, struct zl_error *err)
{
        _cleanup_(zl_oci_config_freep) struct zl_oci_config *config = NULL;
        int r = zl_oci_config_load_at(state_fd, "bundle/config.json", &config, err);

        if (r < 0) {
                zl_error_prefix(err, "%s", name);
                return r;
        }
        if (!config->linux_ || !config->linux_->seccomp)
                return -EBADF;
        return zl_seccomp_cache_open(n->cache_dir, config->linux_->seccomp, err);
}

/* What a monitor has to know; its strings are the creation's. */
static struct native_record first_record(const struct creation *c)
{
        return (struct native_record){
                .name = (char *)(uintptr_t)c->options->name,
                .lower_dirs = c->image->layer_dirs,
                .rows = c->options->rows,
                .cols = c->options->cols,
                .attach_stdin = c->options->attach_stdin || c->spec->stdin_open,
                .stop_signal = c->bundle.stop_signal,
                .grace_nsec = c->bundle.grace_nsec,
                .log_max_size = c->spec->logs ? c->spec->logs->max_size_bytes : 0,
                .keep_most = c->wasm ? c->wasm->keep_most : 0,
                .init_reaper = c->bundle.init_reaper,
                .delegate = c->n->delegate,
                .secret = has_secrets(c),
                .spare = c->wasm && c->wasm->spare,
                .network = c->network,
        };
}

static int launch_new(struct creation *c)
{
        const struct zl_oci_process *process = c->bundle.config->process;
        const struct native_record record = first_record(c);

        if (c->spare)
                return zl_monitor_adopt(c->spare->monitor, c->options->name,
                                        process->args + ZL_WASM_COMMAND_WORDS, process->env,
                                        c->err);
        return native_launch(c->n, &record, 1, c->seccomp_fd, c->err);
}

static int finish(struct creation *c)
{
        const struct native_record record = { .generation = 1,
                                              .image = c->spec->image.name,
                                              .created_at = c->created_at,
                                              .delegate = c->n->delegate,
                                              .wasm = c->wasm != NULL };

        return native_record_save_status(c->n, c->state_fd, &record, c->err);
}

static void ignore_warning(const char *text, void *data)
{
        (void)text;
        (void)data;
}

/* Its directories, its bundle, its process. */
static int make_shell(struct creation *c, struct native_spare *spare)
{
        struct native_record record;
        int r = native_wasm_prepare_spare(c->n, c->spec, &c->wasm, c->err);

        if (r == 0)
                r = make_upper(c);
        if (r == 0)
                r = make_network_files(c);
        if (r == 0)
                r = make_bundle(c);
        if (r < 0)
                return r;
        spare->cgroup = strdup(c->bundle.config->linux_->cgroups_path);
        if (!spare->cgroup)
                return zl_fail_oom(c->err);
        record = first_record(c);
        return launch(c->n, &record, 1, c->seccomp_fd, &spare->monitor, c->err);
}

int native_make_spare(struct native *n, const struct zl_service_spec *spec,
                      struct native_spare *spare, struct zl_error *err)
{
        const struct zl_create_options options = { .name = spare->name,
                                                   .spec = spec,
                                                   .warn = ignore_warning };
        struct creation c = { .n = n,
                              .options = &options,
                              .spec = spec,
                              .ident = { "zlayer", "spare", 1 },
                              .state_fd = -EBADF,
                              .seccomp_fd = -EBADF,
                              .dir = zl_path_join(n->containers_dir, spare->name),
                              .image = calloc(1, sizeof(*c.image)),
                              .err = err };
        int r = c.dir && c.image ? take_name(&c) : zl_fail_oom(err);

        if (r == 0) {
                c.image->kind = ZL_IMAGE_WASM;
                r = make_shell(&c, spare);
                if (r < 0)
                        native_erase_dirs(n, spare->name, NULL);
        }
        if (r == 0)
                spare->state_fd = zl_take_fd(c.state_fd);
        creation_done(&c);
        return r;
}

int native_create(struct zl_runtime *rt, const struct zl_create_options *options,
                  struct zl_error *err)
{
        static int (*const steps[])(struct creation *) = {
                take_image, prepare_wasm,       find_groups, find_all_joined, make_volumes,
                make_upper, make_network_files, make_bundle, write_document,  launch_new,
                finish,
        };
        struct native *n = native_from(rt);
        struct zl_error own = ZL_ERROR_INIT;
        struct creation c = { .n = n,
                              .options = options,
                              .spec = options->spec,
                              .state_fd = -EBADF,
                              .seccomp_fd = -EBADF,
                              .err = &own };
        int r = zl_ident_parse(options->name, &c.ident);

        c.dir = zl_path_join(n->containers_dir, options->name);
        if (r == 0 && !c.dir)
                r = zl_fail_oom(&own);
        if (r == 0)
                try_spare(&c);
        if (r == 0 && c.state_fd < 0)
                r = take_name(&c);
        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(steps); i++)
                r = steps[i](&c);
        if (r < 0) {
                /* Taking back must not hide why. */
                if (c.state_fd >= 0 && native_erase_wreck(n, c.state_fd, options->name, NULL) < 0)
                        zl_warn("%s: what a failed create left could not be removed",
                                options->name);
                zl_error_prefix(&own, "cannot create %s", options->name);
                zl_error_move(err, &own);
        } else if (c.wasm) {
                native_spare_want(n, options);
        }
        creation_done(&c);
        zl_error_done(&own);
        return r;
}
