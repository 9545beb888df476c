/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating a native workload. The order is chosen so that at every instant a process that dies leaves something that
 * recover can recognise: first the locked directory (which takes the name), then the volumes that the workload owns (and for them the
 * hold on its image), then the bundle, then the monitor, while it works what can wait (the hold, the rest of the files), and last
 * status.json, whose presence says that the workload exists. On failure everything is taken back in one place, native_erase_wreck(), which reads no document.
 *
 * Nothing is synced here: a create that a power cut undoes is no loss, and syncs would cost more than all the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/strv.h"
#include "container/container.h"
#include "oci/runtime_config.h"
#include "runtimes/native_create.h"
#include "runtimes/native_network.h"

void native_creation_warn(const char *text, void *data)
{
        const struct native_creation *c = data;

        if (c->options->warn)
                c->options->warn(text, c->options->warn_data);
        else
                zl_warn("%s: %s", c->options->name, text);
}

static void creation_done(struct native_creation *c)
{
        for (size_t i = 0; i < c->n_volumes; i++) {
                free(c->volumes[i].source);
                free(c->volumes[i].target);
        }
        free(c->volumes);
        zl_strv_free(c->volume_names);
        free(c->gids);
        zl_gpus_done(&c->gpus);
        free(c->dir);
        free(c->network_name);
        free(c->hosts);
        free(c->name_file);
        free(c->resolv_file);
        zl_image_free(c->image);
        zl_bundle_done(&c->bundle);
        native_wasm_free(c->wasm);
        native_spare_free(c->spare);
        zl_monitor_close(c->monitor);
        json_decref(c->network);
        zl_close(c->seccomp_fd);
        zl_close(c->state_fd);
}

/* ---- the name ------------------------------------------------------------------------------------ */

/* Is what has the name a workload, or the wreck of one? A wreck is removed. 0: the name is free now. */
static int clear_name(struct native_creation *c)
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

static int see_name(void *data _unused_, const char *name _unused_, unsigned char type _unused_)
{
        return 1;
}

/* Its descriptor stands at the beginning. 1, 0 or a negative errno. */
static int is_empty(int fd)
{
        int r = zl_dir_each(fd, see_name, NULL);

        return r < 0 ? r : !r;
}

static int look_up_image(struct native_creation *c, struct zl_error *err)
{
        struct zl_image_store *images;
        int r = native_images(c->n, &images, err);

        return r < 0 ? r
                     : zl_image_lookup(images, c->options->digest ?: c->spec->image.name, &c->image,
                                       err);
}

static void find_shape(struct native_creation *c)
{
        if (native_spare_shape(c->n, c->options, c->image, c->shape) != 1)
                c->shape[0] = 0;
}

/* Takes the name by renaming a spare, if there is one that fits. Whatever stands in the way: not this time. What is wrong with the
 * request is found and told on the usual way. */
static void try_spare(struct native_creation *c)
{
        if (!native_spare_is_there(c->n) || look_up_image(c, NULL) < 0)
                return;
        find_shape(c);
        if (!*c->shape || !native_spare_is_ready(c->n, c->shape))
                return;
        if (native_wasm_is(c->image) &&
            native_wasm_prepare(c->n, c->options, c->image, &c->wasm, NULL) < 0)
                return;
        c->spare = native_spare_take(c->n, c->shape);
        if (!c->spare)
                return;
        if (native_spare_rename(c->n, c->spare, c->options->name, c->wasm ? c->wasm->source : NULL,
                                NULL) < 0) {
                native_spare_free(zl_take_ptr(c->spare));
                return;
        }
        c->state_fd = zl_take_fd(c->spare->state_fd);
        if (c->wasm)
                c->wasm->linked = true;
}

/* By renaming a shell. 1: done. 0: there is none, or it cannot be had. */
static int take_shell(struct native_creation *c)
{
        struct native_shell *shell = native_spare_shell(c->n);
        int r = shell ? -EEXIST : 0;

        if (shell)
                memcpy(c->mounted, shell->layers, sizeof(c->mounted));
        while (r == -EEXIST) {
                r = native_shell_rename(c->n, shell, c->options->name, &c->state_fd, &c->monitor);
                if (r == 0) {
                        c->shell = true;
                        if (!c->monitor) /* it could not come along, and what it has mounted is gone with it */
                                c->mounted[0] = 0;
                        return 1;
                }
                if (r == -EEXIST && clear_name(c) < 0)
                        r = -ECANCELED;
        }
        native_shell_discard(c->n, shell);
        return r == -ECANCELED ? r : 0;
}

static int take_name(struct native_creation *c)
{
        const char *name = c->options->name;
        int r = take_shell(c);

        if (r != 0)
                return r < 0 ? r : 0;
        for (;;) {
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

static int find_image(struct native_creation *c)
{
        const char *name = c->spec->image.name;
        int r = c->image ? 0 : look_up_image(c, c->err);

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
        return 0;
}

/* From here on nobody cleans it away. Who did so before, under the hands of our monitor, leaves nothing to hold. */
static int hold_image(struct native_creation *c, struct zl_error *err)
{
        struct zl_image_store *images;
        int r = c->held ? 0 : native_images(c->n, &images, err);

        if (r == 0 && !c->held)
                r = zl_image_hold(images, c->image->digest, c->options->name, err);
        c->held = r == 0;
        return r;
}

/* What is copied into a volume stays there. */
static int hold_for_volumes(struct native_creation *c)
{
        return c->spec->n_storage > 0 || zl_strv_len(c->image->volumes) > 0 ? hold_image(c, c->err)
                                                                            : 0;
}

static int prepare_wasm(struct native_creation *c)
{
        return native_wasm_is(c->image) && !c->wasm
                       ? native_wasm_prepare(c->n, c->options, c->image, &c->wasm, c->err)
                       : 0;
}

static int make_layers(struct native_creation *c)
{
        int r = c->spare || c->shell ? 0 : native_make_root_dirs(c->state_fd);

        if (r < 0)
                return zl_fail_errno(c->err, -r, "cannot make the directories of the root");
        return c->spare && c->wasm
                       ? 0
                       : native_make_layers(c->n, c->state_fd, &c->image->layer_dirs, c->err);
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
static json_t *cgroup_for_cleanup(const struct native_creation *c)
{
        const char *path = c->bundle.config->linux_->cgroups_path;
        const char *colon = path ? strchr(path, ':') : NULL;

        if (!path)
                return json_string("");
        if (!colon)
                return json_string(path + strspn(path, "/"));
        return json_sprintf("%.*s/zlayer-%s.scope", (int)(colon - path), path, c->options->name);
}

static json_t *make_mounts(const struct native_creation *c)
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

static int fill_document(struct native_creation *c, json_t *d)
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
        r = r ? r : zl_json_set(d, "secret", json_boolean(native_has_secrets(c)));
        r = r ? r : zl_json_set(d, "cgroup", cgroup_for_cleanup(c));
        r = r ? r : zl_json_set(d, "volumes", json_strings(c->volume_names));
        r = r ? r : zl_json_set(d, "lower_dirs", json_strings(c->image->layer_dirs));
        return r ? r : zl_json_set(d, "mounts", make_mounts(c));
}

static int write_document(struct native_creation *c, struct zl_error *err)
{
        _cleanup_json_ json_t *d = json_object();
        _cleanup_free_ char *spec = zl_service_spec_dump_json(c->spec), *text = NULL;
        json_t *parsed = NULL;
        int r;

        if (!d || !spec || fill_document(c, d) < 0)
                return zl_fail_oom(err);
        r = zl_json_parse(spec, strlen(spec), "spec", &parsed, err);
        if (r < 0)
                return r;
        if (zl_json_set(d, "spec", parsed) < 0 || !(text = zl_json_dump(d, 0)))
                return zl_fail_oom(err);
        if (!c->spare && !c->is_spare && c->n->spares)
                find_shape(c);
        return native_write_state(c, NATIVE_SPEC, text, 0600, err);
}

/* The monitor mounts these files: they must be there before it, but not what is in them. */
static int write_names_early(struct native_creation *c)
{
        return c->shell ? 0 : native_write_names(c, c->err);
}

static int draft_status(struct native_creation *c, struct zl_error *err)
{
        _cleanup_free_ char *group = NULL;
        struct native_record record = { .generation = 1,
                                        .image = c->spec->image.name,
                                        .created_at = c->created_at,
                                        .delegate = c->n->delegate,
                                        .wasm = c->wasm != NULL };
        int r = c->spare ? 0 : native_find_group(c->n, c->options->name, &group, err);

        record.cgroup = c->spare ? c->spare->cgroup : group;
        return r < 0 ? r : native_record_draft_status(c->n, c->state_fd, &record, err);
}

/* What there is time for while the monitor makes the container. */
static int do_the_rest(void *data, struct zl_error *err)
{
        struct native_creation *c = data;
        int r = hold_image(c, err);

        if (r == 0 && c->shell)
                r = native_write_names(c, err);
        if (r == 0)
                r = native_keep_filter(c, err);
        if (r == 0)
                r = write_document(c, err);
        return r < 0 ? r : draft_status(c, err);
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

/* `*monitor`: one that was started ahead, or NULL; then, on success, the connection. What is not in `l` is filled in. */
static int launch(struct native *n, const struct native_record *record, struct zl_monitor_launch *l,
                  struct zl_monitor **monitor, struct zl_error *err)
{
        _cleanup_free_ char *bundle = NULL, *upper = NULL, *work = NULL;
        /* A descriptor of its own: a lock travels with a descriptor that is inherited. */
        _cleanup_close_ int state = native_open_state(n, record->name, err), run = -EBADF;
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
        l->name = native_visible_name(record->name);
        l->state_dir_fd = state;
        l->run_dir_fd = run;
        l->bundle = bundle;
        l->lower_dirs = record->lower_dirs;
        l->upper_dir = upper;
        l->work_dir = work;
        l->rows = record->rows;
        l->cols = record->cols;
        l->attach_stdin = record->attach_stdin;
        l->stop_signal = record->stop_signal;
        l->grace_nsec = record->grace_nsec;
        l->log_max_size = record->log_max_size;
        l->keep_most = record->keep_most;
        l->init_reaper = record->init_reaper;
        l->spare = record->spare;
        l->gated = record->spare && !record->wasm;
        l->systemd_cgroup = n->settings.systemd_cgroup;
        if (record->delegate && !n->delegate_monitor)
                return zl_fail(err, ZL_E_CONFIGURATION, 0,
                               "the program zlayer-monitor-oci is nowhere to be found");
        l->ahead = zl_take_ptr(*monitor);
        r = zl_monitor_launch(native_monitor_program(n, record->delegate), l, monitor, err);
        if (r == 0 && record->network) {
                r = native_network_attach(n, state, record, *monitor, err);
                if (r < 0)
                        zl_monitor_stop(*monitor, SIGKILL, 0, NULL, NULL);
        }
        return r;
}

int native_launch(struct native *n, const struct native_record *record, uint32_t generation,
                  int seccomp_fd, struct zl_error *err)
{
        /* What waits is a monitor of the kind that we launch. */
        _cleanup_(zl_monitor_closep) struct zl_monitor *monitor = !record->delegate == !n->delegate
                                                                          ? native_spare_monitor(n)
                                                                          : NULL;
        struct zl_monitor_launch l = ZL_MONITOR_LAUNCH_INIT;

        l.generation = generation;
        l.seccomp_fd = seccomp_fd;
        return launch(n, record, &l, &monitor, err);
}

/* It gets ready while the files are made. What is wrong with it is told by the launch. */
static int start_monitor_ahead(struct native_creation *c)
{
        const char *program = native_monitor_program(c->n, c->n->delegate);
        const char *name = c->options->name;
        _cleanup_close_ int state = -EBADF, run = -EBADF;

        if (c->spare || c->monitor) /* which came with a shell */
                return 0;
        c->monitor = native_spare_monitor(c->n);
        if (!c->monitor && program)
                zl_monitor_start_ahead(program, native_visible_name(name), &c->monitor, NULL);
        if (!c->monitor)
                return 0;
        state = native_open_state(c->n, name, c->err);
        run = state < 0 ? state : native_make_run(c->n, name, c->err);
        if (run < 0)
                return run;
        return zl_monitor_prepare(c->monitor,
                                  &(struct zl_monitor_preparation){
                                          .name = native_visible_name(name),
                                          .state_dir_fd = state,
                                          .run_dir_fd = run,
                                  },
                                  c->err);
}

/* What a monitor has to know; its strings are the creation's. */
static struct native_record first_record(const struct native_creation *c)
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
                .secret = native_has_secrets(c),
                .wasm = c->wasm,
                .spare = c->is_spare,
                .network = c->network,
        };
}

static int adopt_spare(struct native_creation *c)
{
        const struct zl_oci_config *config = c->bundle.config;
        const struct native_record record = first_record(c);
        const struct zl_monitor_adoption what = {
                .name = c->options->name,
                .hostname = c->wasm ? NULL : config->hostname, /* a module cannot ask for it */
                .args = config->process->args + (c->wasm ? ZL_WASM_COMMAND_WORDS : 0),
                .env = config->process->env,
        };
        int r = do_the_rest(c, c->err);

        if (r == 0)
                r = zl_monitor_adopt(c->spare->monitor, &what, c->err);
        if (r == 0 && c->network) {
                r = native_network_attach(c->n, c->state_fd, &record, c->spare->monitor, c->err);
                if (r < 0)
                        zl_monitor_stop(c->spare->monitor, SIGKILL, 0, NULL, NULL);
        }
        return r;
}

/* Its layers, and whether a monitor that came with a shell has mounted just these. They may have been removed and unpacked anew meanwhile. */
static bool is_mounted(struct native_creation *c)
{
        if (native_wasm_is(c->image) ||
            native_see_layers(c->n, c->image->layer_dirs, c->layers) < 0)
                c->layers[0] = 0;
        return c->monitor && *c->layers && zl_streq(c->layers, c->mounted);
}

static int launch_new(struct native_creation *c)
{
        const struct native_record record = first_record(c);
        struct zl_monitor_launch l = ZL_MONITOR_LAUNCH_INIT;

        if (c->spare)
                return adopt_spare(c);
        l.same_overlay = is_mounted(c);
        l.seccomp_fd = c->seccomp_fd;
        l.meanwhile = do_the_rest;
        l.meanwhile_data = c;
        return launch(c->n, &record, &l, &c->monitor, c->err);
}

static int finish(struct native_creation *c)
{
        return native_record_publish_status(c->state_fd, c->err);
}

static void ignore_warning(const char *text, void *data)
{
        (void)text;
        (void)data;
}

/* Is the image what it was when the spare was wished for? */
static int check_shape(struct native_creation *c, const char *shape)
{
        int r = look_up_image(c, c->err);

        if (r < 0)
                return r;
        find_shape(c);
        return zl_streq(c->shape, shape)
                       ? 0
                       : zl_fail_errno(c->err, ESTALE, "image %s", c->spec->image.name);
}

/* Its directories, its bundle, its process. */
static int build_spare(struct native_creation *c, struct native_spare *spare)
{
        struct zl_monitor_launch l = ZL_MONITOR_LAUNCH_INIT;
        struct native_record record;
        const char *path;
        int r = spare->kind == NATIVE_SPARE_MODULE
                        ? native_wasm_prepare_spare(c->n, c->spec, &c->wasm, c->err)
                        : check_shape(c, spare->shape);

        if (r == 0)
                r = make_layers(c);
        if (r == 0)
                r = native_describe_names(c);
        if (r == 0)
                r = native_write_names(c, c->err);
        if (r == 0)
                r = native_make_bundle(c);
        if (r == 0)
                r = native_keep_filter(c, c->err);
        if (r < 0)
                return r;
        path = c->bundle.config->linux_->cgroups_path;
        if (path && !(spare->cgroup = strdup(path)))
                return zl_fail_oom(c->err);
        r = path ? 0 : native_find_group(c->n, spare->name, &spare->cgroup, c->err);
        if (r < 0)
                return r;
        record = first_record(c);
        l.seccomp_fd = c->seccomp_fd;
        l.same_overlay = is_mounted(c);
        spare->monitor = zl_take_ptr(c->monitor);
        r = launch(c->n, &record, &l, &spare->monitor, c->err);
        /* Its monitor has read it, and the workload gets its own under a name that is free: ext4 writes out at once what replaces a file. */
        unlinkat(c->state_fd, NATIVE_CONFIG, 0);
        native_shell_fill(c->state_fd); /* it is as well without */
        return r;
}

int native_make_spare(struct native *n, const struct zl_service_spec *spec, const char *digest,
                      struct native_spare *spare, struct zl_error *err)
{
        const struct zl_create_options options = {
                .name = spare->name, .spec = spec, .digest = digest, .warn = ignore_warning
        };
        struct native_creation c = { .n = n,
                                     .options = &options,
                                     .spec = spec,
                                     .ident = { "zlayer", "spare", 1 },
                                     .is_spare = true,
                                     .state_fd = -EBADF,
                                     .seccomp_fd = -EBADF,
                                     .dir = zl_path_join(n->containers_dir, spare->name),
                                     .err = err };
        int r = c.dir ? take_name(&c) : zl_fail_oom(err);

        if (r == 0 && spare->kind == NATIVE_SPARE_MODULE) {
                c.image = calloc(1, sizeof(*c.image));
                if (c.image)
                        c.image->kind = ZL_IMAGE_WASM;
                else
                        r = zl_fail_oom(err);
        }

        if (r == 0)
                zl_exit_record_prepare(c.state_fd); /* unless it is there; it is as well without */
        if (r == 0) {
                r = build_spare(&c, spare);
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
        static int (*const steps[])(struct native_creation *) = {
                start_monitor_ahead, find_image,
                prepare_wasm,        native_find_groups,
                native_find_joined,  native_choose_gpus,
                hold_for_volumes,    native_make_volumes,
                make_layers,         native_describe_names,
                write_names_early,   native_make_bundle,
                launch_new,          finish,
        };
        struct native *n = native_from(rt);
        struct zl_error own = ZL_ERROR_INIT;
        struct native_creation c = { .n = n,
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
                zl_monitor_close(
                        zl_take_ptr(c.monitor)); /* it leaves what we are about to remove */
                /* Taking back must not hide why. */
                if (c.state_fd >= 0 && native_erase_wreck(n, c.state_fd, options->name, NULL) < 0)
                        zl_warn("%s: what a failed create left could not be removed",
                                options->name);
                zl_error_prefix(&own, "cannot create %s", options->name);
                zl_error_move(err, &own);
        } else {
                native_keep_connection(n, options->name,
                                       zl_take_ptr(*(c.spare ? &c.spare->monitor : &c.monitor)));
                native_spare_want(n, options->spec, c.image, c.shape);
                if (*c.layers)
                        native_spare_layers(n, c.image->layer_dirs, c.layers);
        }
        creation_done(&c);
        zl_error_done(&own);
        return r;
}
