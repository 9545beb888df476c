/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Callers without privileges: what is different for them, and what they cannot have.
 *
 * Nearly everything works as for root, since the container's process is root of its user namespace. Two things do not: control groups, of
 * which a user has only what was delegated to him, and what changes the host (devices of the network, ids of mounts). What cannot be
 * is refused before anything is made; the kernel would say "operation not permitted" in the middle and not why.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/path.h"
#include "container/internal.h"

/* --- ids of mounts -------------------------------------------------------------------------------------------- */

static bool is_mapped(const struct zl_oci_id_map *maps, size_t n, uint32_t id)
{
        for (size_t i = 0; i < n; i++)
                if (id >= maps[i].container_id && id - maps[i].container_id < maps[i].size)
                        return true;
        return false;
}

/* "uid=" and "gid=" of a file system that is mounted in a new user namespace are ids of that. */
static int check_ids(const struct zl_plan *plan, const struct zl_mount_plan *m,
                     struct zl_error *err)
{
        const struct zl_userns_maps *maps = &plan->id_maps;

        for (const char *p = m->options.data; p && *p; p += strcspn(p, ","), p += *p == ',') {
                bool user = zl_startswith(p, "uid=") != NULL;
                char digits[16];
                uint32_t id;
                size_t n;

                if (!user && !zl_startswith(p, "gid="))
                        continue;
                n = strcspn(p + 4, ",");
                if (n >= sizeof digits)
                        continue;
                memcpy(digits, p + 4, n);
                digits[n] = 0;
                if (zl_parse_u32(digits, 10, &id) < 0 ||
                    is_mapped(user ? maps->uids : maps->gids, user ? maps->n_uids : maps->n_gids,
                              id))
                        continue;
                zl_fail(err, ZL_E_INVALID, 0,
                        "mounts: %s: the option \"%.*s\" names nobody: linux.%s does not map it",
                        m->destination, (int)(n + 4), p, user ? "uidMappings" : "gidMappings");
                zl_error_hint(err, "leave the option out, or map the id");
                return -EINVAL;
        }
        return 0;
}

int zl_plan_check_rights(const struct zl_plan *plan, struct zl_error *err)
{
        bool has_user_ns = plan->new_user_ns || plan->join_user_fd >= 0;
        int r = 0;

        for (size_t i = 0; plan->new_user_ns && r == 0 && i < plan->n_mounts; i++)
                if (plan->mounts[i].kind == ZL_MOUNT_FS)
                        r = check_ids(plan, &plan->mounts[i], err);
        if (r < 0 || geteuid() == 0)
                return r;
        if (!has_user_ns) {
                r = zl_fail(err, ZL_E_PERMISSION, EPERM,
                            "linux.namespaces: a container of a user without privileges needs a "
                            "user namespace");
                zl_error_hint(err,
                              "zlayer-oci spec --rootless writes a configuration that has one");
                return r;
        }
        if (plan->config->linux_->n_net_devices)
                return zl_fail(err, ZL_E_PERMISSION, EPERM,
                               "linux.netDevices: only root can move devices of the host");
        return 0;
}

/* --- control groups ------------------------------------------------------------------------------------------- */

static bool leads_up(const char *path)
{
        for (const char *p = path; p && *p; p += strcspn(p, "/"), p += strspn(p, "/"))
                if (strncmp(p, "..", 2) == 0 && (p[2] == 0 || p[2] == '/'))
                        return true;
        return false;
}

int zl_container_cgroup_path(const struct zl_container_options *o, char **ret, struct zl_error *err)
{
        const char *path = o->config->linux_->cgroups_path;
        const char *parent = o->default_cgroup ? o->default_cgroup : "zlayer";
        _cleanup_free_ char *delegated = NULL, *joined = NULL;

        if (leads_up(path))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "linux.cgroupsPath: \"%s\" leads upwards; name the group itself",
                               path);
        if (path && *path == '/') {
                joined = strdup(path);
        } else {
                if (o->rootless && zl_cgroup_find_delegated(&delegated) < 0)
                        return zl_fail_oom(err);
                if (asprintf(&joined, "%s/%s/%s", delegated ? delegated : "", parent,
                             path && *path ? path : o->id) < 0)
                        joined = NULL;
        }
        *ret = joined ? zl_path_clean_absolute(joined) : NULL;
        if (!*ret)
                return zl_fail_oom(err);
        if (zl_streq(*ret, "/"))
                return zl_fail(err, ZL_E_INVALID, 0, "linux.cgroupsPath: \"%s\" is the root group",
                               path ? path : "");
        return 0;
}

/* Device rules are none: they are left out for lack of rights anyway. */
static bool has_limits(const struct zl_oci_resources *r)
{
        static const struct zl_oci_memory no_memory;
        static const struct zl_oci_cpu no_cpu;
        static const struct zl_oci_block_io no_block_io;

        if (!r)
                return false;
        return (r->memory && memcmp(r->memory, &no_memory, sizeof no_memory) != 0) ||
               (r->cpu && memcmp(r->cpu, &no_cpu, sizeof no_cpu) != 0) ||
               (r->pids && r->pids->has_limit && r->pids->limit > 0) ||
               (r->block_io && memcmp(r->block_io, &no_block_io, sizeof no_block_io) != 0) ||
               r->n_hugepage_limits || r->network || r->n_rdma || r->unified.n;
}

int zl_container_without_cgroup(const struct zl_container_options *o, int r, struct zl_error *err)
{
        const struct zl_oci_linux *l = o->config->linux_;
        bool limits = has_limits(l->resources);
        const char *hint = "a group that was delegated to the user will do: with systemd "
                           "\"systemd-run --user --scope -p Delegate=yes\", or --systemd-cgroup";

        if (r != -EACCES && r != -EPERM && r != -EROFS && r != -ENOENT && r != -EOPNOTSUPP)
                return r;
        if (!o->rootless || limits || (l->cgroups_path && *l->cgroups_path)) {
                if (limits && o->rootless)
                        zl_error_prefix(err, "linux.resources: limits need a cgroup");
                if (geteuid() != 0 || o->rootless)
                        zl_error_hint(err, "%s", hint);
                return r;
        }
        zl_error_done(err);
        return 0;
}
