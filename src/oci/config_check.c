/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a config.json make sense? What the types alone do not say: versions, absolute paths, known names, pairs that contradict each
 * other. What only the kernel can know (does the source exist, is the limit accepted) shows when it is tried.
 */
#include <string.h>

#include "base/parse.h"
#include "oci/runtime_config.h"

static const char *const namespace_types[] = { "pid", "network", "mount",  "ipc",
                                               "uts", "user",    "cgroup", "time" };

static int bad(struct zl_error *err, const char *fmt, const char *value)
{
        return zl_fail(err, ZL_E_INVALID, 0, fmt, value ? value : "");
}

static const char *type_of(const struct zl_oci_linux *l, const char *type, bool *ret_path)
{
        for (size_t i = 0; l && i < l->n_namespaces; i++)
                if (zl_streq(l->namespaces[i].type, type)) {
                        *ret_path = l->namespaces[i].path && *l->namespaces[i].path;
                        return l->namespaces[i].type;
                }
        *ret_path = false;
        return NULL;
}

static int check_namespaces(const struct zl_oci_linux *l, struct zl_error *err)
{
        for (size_t i = 0; i < l->n_namespaces; i++) {
                const struct zl_oci_namespace *n = &l->namespaces[i];
                size_t k = 0;

                while (k < ZL_ARRAY_SIZE(namespace_types) && !zl_streq(n->type, namespace_types[k]))
                        k++;
                if (k == ZL_ARRAY_SIZE(namespace_types))
                        return bad(err, "linux.namespaces: unknown type \"%s\"", n->type);
                if (n->path && *n->path && *n->path != '/')
                        return bad(err, "linux.namespaces: the path \"%s\" is not absolute",
                                   n->path);
                for (k = 0; k < i; k++)
                        if (zl_streq(n->type, l->namespaces[k].type))
                                return bad(err, "linux.namespaces: \"%s\" is there twice", n->type);
        }
        return 0;
}

/* What the kernel takes for a name. "%d" would be a pattern for it. */
static bool is_link_name(const char *name)
{
        size_t len = strlen(name);

        return len > 0 && len < 16 && strcspn(name, "/:% \t\n\v\f\r") == len &&
               !zl_streq(name, ".") && !zl_streq(name, "..");
}

static int check_net_devices(const struct zl_oci_linux *l, struct zl_error *err)
{
        bool path;

        if (l->n_net_devices && !type_of(l, "network", &path))
                return bad(err, "linux.netDevices: there is no network namespace for them%s", "");
        for (size_t i = 0; i < l->n_net_devices; i++) {
                const char *name = zl_oci_net_device_name(&l->net_devices[i]);

                if (!is_link_name(l->net_devices[i].host_name) || !is_link_name(name))
                        return bad(err, "linux.netDevices: \"%s\" is no name of a device",
                                   is_link_name(name) ? l->net_devices[i].host_name : name);
                for (size_t k = 0; k < i; k++)
                        if (zl_streq(name, zl_oci_net_device_name(&l->net_devices[k])))
                                return bad(err, "linux.netDevices: two devices become \"%s\"",
                                           name);
        }
        return 0;
}

static int check_linux(const struct zl_oci_config *c, const struct zl_oci_linux *l,
                       struct zl_error *err)
{
        bool path;
        int r = check_namespaces(l, err);

        if (r < 0)
                return r;
        if ((c->hostname || c->domainname) && *(c->hostname ? c->hostname : c->domainname) &&
            !type_of(l, "uts", &path))
                return bad(err, "hostname: unable to set it without a new UTS namespace%s", "");
        if (!type_of(l, "mount", &path))
                return bad(err,
                           "linux.namespaces: a container without a mount namespace cannot be "
                           "run%s",
                           "");
        if (l->n_uid_mappings && !type_of(l, "user", &path))
                return bad(err, "linux.uidMappings: there is no user namespace%s", "");
        if (type_of(l, "user", &path) && !path && !l->n_uid_mappings != !l->n_gid_mappings)
                return bad(err,
                           "linux.uidMappings: a new user namespace needs both uid and gid "
                           "mappings, or none%s",
                           "");
        for (char *const *p = l->masked_paths; p && *p; p++)
                if (**p != '/') /* what is to be hidden would not be */
                        return bad(err, "linux.maskedPaths: \"%s\" is not absolute", *p);
        if (l->n_time_offsets && (!type_of(l, "time", &path) || path))
                return bad(err, "linux.timeOffsets: there is no new time namespace%s", "");
        if (l->intel_rdt)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0, "linux.intelRdt is not supported");
        return check_net_devices(l, err);
}

static int check_process(const struct zl_oci_process *p, struct zl_error *err)
{
        if (p->command_line && *p->command_line)
                return bad(err, "process.commandLine is for Windows%s", "");
        if (!p->cwd || *p->cwd != '/')
                return bad(err, "process.cwd: \"%s\" is not an absolute path", p->cwd);
        if (!p->args || !p->args[0])
                return bad(err, "process.args is empty: there is no command to run%s", "");
        for (char *const *e = p->env; e && *e; e++)
                if (!strchr(*e, '=') || **e == '=')
                        return bad(err, "process.env: \"%s\" is not NAME=VALUE", *e);
        if (p->has_oom_score_adj && (p->oom_score_adj < -1000 || p->oom_score_adj > 1000))
                return bad(err, "process.oomScoreAdj is not between -1000 and 1000%s", "");
        for (size_t i = 0; i < p->n_rlimits; i++) {
                if (p->rlimits[i].soft > p->rlimits[i].hard)
                        return bad(err, "process.rlimits: %s: the soft limit is above the hard one",
                                   p->rlimits[i].type);
                for (size_t k = 0; k < i; k++)
                        if (zl_streq(p->rlimits[i].type, p->rlimits[k].type))
                                return bad(err, "process.rlimits: %s is there twice",
                                           p->rlimits[i].type);
        }
        return 0;
}

static int check_hooks(const struct zl_oci_hook *hooks, size_t n, struct zl_error *err)
{
        for (size_t i = 0; i < n; i++) {
                if (*hooks[i].path != '/')
                        return bad(err, "hooks: the path \"%s\" is not absolute", hooks[i].path);
                if (hooks[i].has_timeout && hooks[i].timeout <= 0)
                        return bad(err, "hooks: %s: the timeout is not positive", hooks[i].path);
        }
        return 0;
}

static int check_all_hooks(const struct zl_oci_hooks *h, struct zl_error *err)
{
        int r = check_hooks(h->prestart, h->n_prestart, err);

        if (r == 0)
                r = check_hooks(h->create_runtime, h->n_create_runtime, err);
        if (r == 0)
                r = check_hooks(h->create_container, h->n_create_container, err);
        if (r == 0)
                r = check_hooks(h->start_container, h->n_start_container, err);
        if (r == 0)
                r = check_hooks(h->poststart, h->n_poststart, err);
        return r < 0 ? r : check_hooks(h->poststop, h->n_poststop, err);
}

int zl_oci_config_check(const struct zl_oci_config *c, struct zl_error *err)
{
        int r = 0;

        if (!c->oci_version || !zl_startswith(c->oci_version, "1."))
                return bad(err, "ociVersion \"%s\" is not 1.x", c->oci_version);
        if (!c->root || !*c->root->path)
                return bad(err, "root.path is missing%s", "");
        if (!c->linux_)
                return bad(err, "linux is missing: this is no config of a Linux container%s", "");
        for (size_t i = 0; i < c->n_mounts; i++)
                if (!*c->mounts[i].destination)
                        return bad(err, "mounts: an empty destination%s", "");
        if (c->hostname && strlen(c->hostname) > 64)
                return bad(err, "hostname: \"%s\" is longer than 64 bytes", c->hostname);
        r = check_linux(c, c->linux_, err);
        if (r == 0 && c->process)
                r = check_process(c->process, err);
        if (r == 0 && c->hooks)
                r = check_all_hooks(c->hooks, err);
        return r;
}
