/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the config to the plan of the child: namespaces, root, sysctls, devices, hooks. Mounts and the process have files of their
 * own. Everything lives in the plan's arena or in the config.
 *
 * sysctls: only those that belong to a namespace which the container does not share with the host are allowed; anything
 * else would change the host.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/path.h"
#include "base/process.h"
#include "base/strv.h"
#include "container/internal.h"
#include "linux/netns.h"

/* --- namespaces ------------------------------------------------------------------------------------------------ */

const struct zl_namespace_kind zl_namespace_kinds[] = {
        { "user", "user", CLONE_NEWUSER }, { "ipc", "ipc", CLONE_NEWIPC },
        { "uts", "uts", CLONE_NEWUTS },    { "network", "net", CLONE_NEWNET },
        { "pid", "pid", CLONE_NEWPID },    { "cgroup", "cgroup", CLONE_NEWCGROUP },
        { "time", "time", 0x80 },          { "mount", "mnt", CLONE_NEWNS },
};

static const struct zl_oci_namespace *find_namespace(const struct zl_oci_linux *l, const char *type)
{
        for (size_t i = 0; i < l->n_namespaces; i++)
                if (zl_streq(l->namespaces[i].type, type))
                        return &l->namespaces[i];
        return NULL;
}

static int open_namespace(const struct zl_oci_namespace *ns, struct zl_error *err)
{
        struct stat st;
        int fd = openat(AT_FDCWD, ns->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

        if (fd < 0)
                return zl_fail_errno(err, errno, "linux.namespaces: cannot open %s", ns->path);
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                close(fd);
                return zl_fail(err, ZL_E_INVALID, 0, "linux.namespaces: %s is not a namespace",
                               ns->path);
        }
        return fd;
}

static void plan_new(struct zl_plan *plan, int flag)
{
        switch (flag) {
        case CLONE_NEWCGROUP: /* after the process is in its group */
                plan->new_cgroup_ns = true;
                return;
        case 0x80:
                plan->new_time_ns = true;
                return;
        case CLONE_NEWUSER:
                plan->new_user_ns = true;
                break;
        case CLONE_NEWNET:
                plan->new_net_ns = true;
                break;
        case CLONE_NEWUTS:
                plan->new_uts_ns = true;
                break;
        }
        plan->clone_flags |= (uint64_t)flag;
}

static void plan_join(struct zl_plan *plan, int flag, int fd, const char *path)
{
        plan->joins[plan->n_joins++] = (struct zl_namespace_plan){ flag, fd, path };
}

/* A namespace that was made beforehand belongs to the user namespace of who made it. 1: it is taken; 0: there is none that fits. */
static int plan_ready_network(struct zl_plan *plan, struct zl_error *err)
{
        int ready = plan->options->network_ns_fd, fd;

        if (ready < 0 || find_namespace(plan->config->linux_, "user"))
                return 0;
        fd = fcntl(ready, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return zl_fail_errno(err, errno, "cannot keep the network namespace");
        plan_join(plan, CLONE_NEWNET, fd, "network");
        return 1;
}

int zl_container_network_ahead(void)
{
        return zl_netns_new();
}

int zl_container_overlay_ahead(const struct zl_rootfs_overlay *overlay)
{
        struct zl_overlay_plan plan = { .lower_dirs = overlay->lower_dirs,
                                        .n_lower = zl_strv_len(overlay->lower_dirs),
                                        .upper = overlay->upper,
                                        .work = overlay->work };

        return zl_mount_overlay_new(&plan);
}

/* What we have seen of ourselves: a child of ours ignores what we do. */
static struct {
        bool known;
        uint64_t ignored_signals;
} ahead;

void zl_container_look_ahead(void)
{
        _cleanup_close_ int proc = openat(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

        ahead.ignored_signals = zl_ignored_signals(proc);
        ahead.known = true;
        zl_cgroup_look_ahead();
}

static int plan_namespaces(struct zl_plan *plan, struct zl_error *err)
{
        const struct zl_oci_linux *l = plan->config->linux_;
        int r;

        for (size_t i = 0; i < ZL_NAMESPACE_KINDS; i++) {
                const struct zl_oci_namespace *ns = find_namespace(l, zl_namespace_kinds[i].type);
                int flag = zl_namespace_kinds[i].flag, fd;

                if (!ns)
                        continue;
                if (!ns->path || !*ns->path) {
                        r = flag == CLONE_NEWNET ? plan_ready_network(plan, err) : 0;
                        if (r < 0)
                                return r;
                        if (r == 0)
                                plan_new(plan, flag);
                        continue;
                }
                fd = open_namespace(ns, err);
                if (fd < 0)
                        return fd;
                if (flag == CLONE_NEWPID)
                        plan->join_pid_fd = fd;
                else if (flag == CLONE_NEWUSER)
                        plan->join_user_fd = fd;
                else
                        plan_join(plan, flag, fd, ns->path);
        }
        return 0;
}

/* Without mappings of the config those that we may have, as crun: all ids of root, the subordinate ones of a user. */
static int plan_maps(struct zl_plan *plan, struct zl_error *err)
{
        const struct zl_oci_linux *l = plan->config->linux_;
        struct zl_oci_id_map *storage;

        plan->id_maps = (struct zl_userns_maps){ l->uid_mappings, l->n_uid_mappings,
                                                 l->gid_mappings, l->n_gid_mappings };
        if (l->n_uid_mappings || l->n_gid_mappings)
                return 0;
        storage = zl_arena_alloc(plan->arena, ZL_USERNS_OWN_MAX * sizeof *storage);
        if (!storage)
                return zl_fail_oom(err);
        return zl_userns_own_maps(storage, &plan->id_maps, err);
}

static int plan_ids(struct zl_plan *plan, struct zl_error *err)
{
        const struct zl_oci_linux *l = plan->config->linux_;

        if (plan->new_user_ns) {
                int r = plan_maps(plan, err);

                if (r < 0)
                        return r;
                plan->is_shown = zl_userns_must_show();
                plan->process.no_setgroups = zl_userns_denies_groups(&plan->id_maps);
        } else if (!zl_process_is_in_first_userns()) {
                plan->process.no_setgroups = zl_userns_is_without_groups();
        }
        if (l->n_time_offsets) {
                size_t size = l->n_time_offsets * 64 + 1, len = 0;

                plan->time_offsets = zl_arena_alloc(plan->arena, size);
                if (!plan->time_offsets)
                        return zl_fail_oom(err);
                for (size_t i = 0; i < l->n_time_offsets; i++) {
                        const struct zl_oci_time_offset *o = &l->time_offsets[i];

                        if (!zl_streq(o->clock, "monotonic") && !zl_streq(o->clock, "boottime"))
                                return zl_fail(err, ZL_E_INVALID, 0,
                                               "linux.timeOffsets: unknown clock \"%s\"", o->clock);
                        len += (size_t)snprintf(plan->time_offsets + len, size - len,
                                                "%s %" PRId64 " %u\n", o->clock, o->offset.secs,
                                                o->offset.nanosecs);
                }
        }
        return 0;
}

/* --- sysctls ------------------------------------------------------------------------------------------------------ */

/* Does the container have this namespace apart from us? One that is joined by path may be the host's under another name. */
static bool has_own_namespace(const struct zl_plan *plan, const char *type, const char *file)
{
        const struct zl_oci_namespace *ns = find_namespace(plan->config->linux_, type);
        struct stat own, other;
        char path[48];

        if (!ns || !ns->path || !*ns->path)
                return ns != NULL;
        snprintf(path, sizeof path, "/proc/self/ns/%s", file);
        return stat(path, &own) == 0 && stat(ns->path, &other) == 0 &&
               (own.st_ino != other.st_ino || own.st_dev != other.st_dev);
}

static bool sysctl_is_ours(const struct zl_plan *plan, const char *name, const char *value)
{
        const char *domain = plan->config->domainname;
        static const char *const ipc[] = {
                "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
                "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
        };

        if (zl_startswith(name, "net."))
                return has_own_namespace(plan, "network", "net");
        if (zl_startswith(name, "fs.mqueue."))
                return has_own_namespace(plan, "ipc", "ipc");
        /* "hostname" of the config says it: as runc and crun. */
        if (zl_streq(name, "kernel.hostname"))
                return false;
        if (zl_streq(name, "kernel.domainname"))
                return (!domain || !*domain || zl_streq(domain, value)) &&
                       has_own_namespace(plan, "uts", "uts");
        for (size_t i = 0; i < ZL_ARRAY_SIZE(ipc); i++)
                if (zl_streq(name, ipc[i]))
                        return has_own_namespace(plan, "ipc", "ipc");
        return false;
}

/* "net.ipv4.ip_forward" and "net/ipv4/conf/eth0.1/forwarding" both name a file below /proc/sys; in the second form dots stay. */
static int plan_sysctls(struct zl_plan *plan, struct zl_error *err)
{
        const struct zl_str_map *map = &plan->config->linux_->sysctl;

        plan->sysctls = zl_arena_alloc(plan->arena, (map->n + 1) * sizeof *plan->sysctls);
        if (!plan->sysctls)
                return zl_fail_oom(err);
        for (size_t i = 0; i < map->n; i++) {
                const char *key = map->items[i].key;
                size_t len = strlen(key);
                char *file = zl_arena_alloc(plan->arena, len + 5);
                char *name = zl_arena_strndup(plan->arena, key, len);
                bool slashes = strchr(key, '/') != NULL;

                if (!file || !name)
                        return zl_fail_oom(err);
                memcpy(file, "sys/", 4);
                for (size_t k = 0; k <= len; k++) {
                        file[4 + k] = key[k] == '.' && !slashes ? '/' : key[k];
                        if (slashes)
                                name[k] = key[k] == '/' ? '.' : key[k];
                }
                if (!zl_path_is_clean_relative(file) ||
                    !sysctl_is_ours(plan, name, map->items[i].value))
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "linux.sysctl: \"%s\" is not in a separate kernel namespace",
                                       key);
                plan->sysctls[plan->n_sysctls++] = (struct zl_sysctl_plan){ file,
                                                                            map->items[i].value,
                                                                            key };
        }
        return 0;
}

/* --- devices ------------------------------------------------------------------------------------------------------ */

static const struct zl_device_plan default_devices[] = {
        { "/dev/null", S_IFCHR | 0666, 0x103, 0, 0, -EBADF },
        { "/dev/zero", S_IFCHR | 0666, 0x105, 0, 0, -EBADF },
        { "/dev/full", S_IFCHR | 0666, 0x107, 0, 0, -EBADF },
        { "/dev/random", S_IFCHR | 0666, 0x108, 0, 0, -EBADF },
        { "/dev/urandom", S_IFCHR | 0666, 0x109, 0, 0, -EBADF },
        { "/dev/tty", S_IFCHR | 0666, 0x500, 0, 0, -EBADF },
};

static int plan_device(struct zl_plan *plan, const struct zl_oci_device *d,
                       struct zl_device_plan *ret, struct zl_error *err)
{
        mode_t type = zl_streq(d->type, "b")                             ? S_IFBLK
                      : zl_streq(d->type, "p")                           ? S_IFIFO
                      : zl_streq(d->type, "c") || zl_streq(d->type, "u") ? S_IFCHR
                                                                         : 0;
        const char *path;
        size_t n;

        if (!type)
                return zl_fail(err, ZL_E_INVALID, 0, "linux.devices: %s: unknown type \"%s\"",
                               d->path, d->type);
        if (*d->path != '/')
                return zl_fail(err, ZL_E_INVALID, 0, "linux.devices: \"%s\" is not absolute",
                               d->path);
        if (type != S_IFIFO && (!d->has_major || !d->has_minor || d->major < 0 || d->minor < 0))
                return zl_fail(err, ZL_E_INVALID, 0, "linux.devices: %s has no major and minor",
                               d->path);
        n = strlen(d->path);
        while (n > 1 && d->path[n - 1] == '/')
                n--;
        path = zl_arena_strndup(plan->arena, d->path, n);
        if (!path)
                return zl_fail_oom(err);
        *ret = (struct zl_device_plan){
                .path = path,
                .mode = type | ((d->has_file_mode ? d->file_mode : 0666) & 07777),
                .dev = makedev((unsigned)d->major, (unsigned)d->minor),
                .uid = d->has_uid ? d->uid : 0,
                .gid = d->has_gid ? d->gid : 0,
                .tree_fd = -EBADF,
        };
        return 0;
}

static int plan_devices(struct zl_plan *plan, struct zl_error *err)
{
        const struct zl_oci_linux *l = plan->config->linux_;
        size_t n = l->n_devices + ZL_ARRAY_SIZE(default_devices);

        plan->setup_dev = true;
        for (size_t i = 0; i < plan->n_mounts; i++)
                if (plan->mounts[i].kind == ZL_MOUNT_BIND &&
                    (zl_streq(plan->mounts[i].destination, "/dev") ||
                     zl_streq(plan->mounts[i].destination, "/dev/")))
                        plan->setup_dev = false;
        plan->devices = zl_arena_alloc(plan->arena, n * sizeof *plan->devices);
        if (!plan->devices)
                return zl_fail_oom(err);
        memcpy(plan->devices, default_devices, sizeof default_devices);
        plan->n_devices = ZL_ARRAY_SIZE(default_devices);
        for (size_t i = 0; i < l->n_devices; i++) {
                struct zl_device_plan d;
                size_t k = 0;
                int r = plan_device(plan, &l->devices[i], &d, err);

                if (r < 0)
                        return r;
                /* The config may say something else about a default device. */
                while (k < plan->n_devices && !zl_streq(plan->devices[k].path, d.path))
                        k++;
                plan->devices[k] = d;
                if (k == plan->n_devices)
                        plan->n_devices++;
        }
        if (plan->setup_dev && (plan->new_user_ns || plan->join_user_fd >= 0) && geteuid() == 0)
                zl_plan_nodes(plan);
        return 0;
}

/* --- state for hooks ------------------------------------------------------------------------------------------------- */

/* The document is made once with a status that is found again, and cut there. */
static int plan_state(struct zl_plan *plan, struct zl_error *err)
{
        const struct zl_oci_hooks *h = plan->config->hooks;
        _cleanup_free_ char *text = NULL;
        char *cut, *rest;
        int r;

        if (!h)
                return 0;
        plan->has_host_hooks = h->n_prestart || h->n_create_runtime;
        r = zl_hooks_open(plan->config, &plan->hook_run, err);
        if (r < 0)
                return r;
        text = zl_state_document(plan->config, plan->options->id, "@", 0, plan->options->bundle);
        cut = text ? strstr(text, "\"status\":\"@\",\"pid\":0") : NULL;
        if (!cut)
                return zl_fail_oom(err);
        cut += strlen("\"status\":\"");
        rest = cut + strlen("@\",\"pid\":0");
        plan->state_head = zl_arena_strndup(plan->arena, text, (size_t)(cut - text));
        plan->state_tail = zl_arena_strndup(plan->arena, rest, strlen(rest));
        plan->state_size = strlen(text) + 64;
        plan->state_buf = zl_arena_alloc(plan->arena, plan->state_size);
        if (!plan->state_head || !plan->state_tail || !plan->state_buf)
                return zl_fail_oom(err);
        return 0;
}

/* --- root ---------------------------------------------------------------------------------------------------------------- */

static int plan_root(struct zl_plan *plan, struct zl_error *err)
{
        const struct zl_rootfs_overlay *o = plan->options->overlay;
        const char *path = plan->config->root->path;
        const char *propagation = plan->config->linux_->rootfs_propagation;
        _cleanup_free_ char *joined = NULL;
        struct stat st;

        if (*path != '/') {
                joined = zl_path_join(plan->options->bundle, path);
                path = joined;
        }
        plan->rootfs = path ? zl_arena_strndup(plan->arena, path, strlen(path)) : NULL;
        if (!plan->rootfs)
                return zl_fail_oom(err);
        if (stat(plan->rootfs, &st) < 0)
                return zl_fail_errno(err, errno, "root.path: %s", plan->rootfs);
        if (!S_ISDIR(st.st_mode))
                return zl_fail(err, ZL_E_INVALID, ENOTDIR, "root.path: %s", plan->rootfs);
        if (propagation && *propagation) {
                plan->root_propagation = zl_propagation_parse(propagation);
                if (!plan->root_propagation)
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "linux.rootfsPropagation: unknown \"%s\"", propagation);
                plan->keep_propagation = plan->root_propagation & MS_SHARED;
        }
        if (o) {
                char *text = zl_overlay_options(o->lower_dirs, o->upper, o->work);

                if (!text)
                        return zl_fail_oom(err);
                plan->has_overlay = true;
                plan->overlay = (struct zl_overlay_plan){
                        .lower_dirs = o->lower_dirs,
                        .upper = o->upper,
                        .work = o->work,
                        .joined = zl_arena_strndup(plan->arena, text, strlen(text)),
                };
                free(text);
                while (o->lower_dirs[plan->overlay.n_lower])
                        plan->overlay.n_lower++;
                if (!plan->overlay.joined || plan->overlay.n_lower == 0)
                        return zl_fail(err, ZL_E_INVALID, 0, "the overlay has no layer");
        }
        return 0;
}

static bool has_annotation(const struct zl_oci_config *config, const char *key)
{
        for (size_t i = 0; i < config->annotations.n; i++)
                if (zl_streq(config->annotations.items[i].key, key))
                        return true;
        return false;
}

static int make(struct zl_plan *plan, struct zl_error *err)
{
        static const struct zl_oci_process no_process = { .cwd = (char *)(uintptr_t) "/" };
        const struct zl_oci_process *process = plan->config->process;
        int r = plan_root(plan, err);

        if (r == 0)
                r = plan_namespaces(plan, err);
        if (r == 0)
                r = plan_ids(plan, err);
        if (r == 0)
                r = zl_plan_mounts(plan, err);
        if (r == 0)
                r = zl_plan_check_rights(plan, err);
        if (r == 0)
                r = plan_devices(plan, err);
        if (r == 0)
                r = plan_sysctls(plan, err);
        if (r == 0)
                r = zl_plan_process(plan->arena, process ? process : &no_process, &plan->process,
                                    err);
        if (r == 0)
                r = zl_plan_personality(plan->config->linux_->personality, &plan->process, err);
        if (r == 0 && plan->config->linux_->memory_policy)
                r = zl_plan_memory_policy(plan->arena, plan->config->linux_->memory_policy,
                                          &plan->process, err);
        if (r == 0)
                r = plan_state(plan, err);
        return r;
}

int zl_plan_make(const struct zl_container_options *options, struct zl_plan *plan,
                 struct zl_error *err)
{
        int r;

        *plan = (struct zl_plan){
                .config = options->config,
                .options = options,
                .join_pid_fd = -EBADF,
                .join_user_fd = -EBADF,
                .sync_fd = -EBADF,
                .gate_fd = -EBADF,
                .hook_run = ZL_HOOK_RUN_INIT,
                .knows_ignored = ahead.known,
                .ignored_signals = ahead.ignored_signals,
                .arena = zl_arena_new(0),
        };
        if (!plan->arena)
                return zl_fail_oom(err);
        r = make(plan, err);
        if (r < 0)
                return r;
        plan->lends_namespaces = geteuid() != 0;
        plan->process.keep_groups = has_annotation(plan->config, "run.oci.keep_original_groups");
        plan->process.new_keyring = !options->no_new_keyring;
        plan->process.words_come = options->words_come;
        plan->process.die_with_parent = options->die_with_parent;
        plan->process.preserve_fds = options->preserve_fds;
        plan->process.n_preserve_fds = options->n_preserve_fds;
        return 0;
}

void zl_plan_done(struct zl_plan *plan)
{
        for (size_t i = 0; i < plan->n_joins; i++)
                zl_close(plan->joins[i].fd);
        for (size_t i = 0; i < plan->n_mounts; i++) {
                zl_close(plan->mounts[i].tree_fd);
                zl_close(plan->mounts[i].map_fd);
                free(plan->mounts[i].options.data);
        }
        for (size_t i = 0; i < plan->n_devices; i++)
                zl_close(plan->devices[i].tree_fd);
        zl_close(plan->hook_run.out);
        zl_close(plan->hook_run.err);
        zl_close(plan->join_pid_fd);
        zl_close(plan->join_user_fd);
        zl_close(plan->sync_fd);
        zl_close(plan->gate_fd);
        if (plan->arena)
                zl_arena_free(plan->arena);
        plan->arena = NULL;
}
