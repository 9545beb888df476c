/* SPDX-License-Identifier: Apache-2.0 */
/* What a device by its CDI name (cdi.h) brings into the configuration. Vendors' variables replace others of the same name. */
#include <string.h>

#include "runtimes/bundle_private.h"
#include "runtimes/cdi.h"

static int add_env(struct bundle_builder *b, const char *pair)
{
        char ***env = &b->config->process->env;
        size_t key = strcspn(pair, "=");

        if (key == 0 || pair[key] != '=')
                return zl_fail(b->err, ZL_E_INVALID, 0, "env \"%s\" is not KEY=VALUE", pair);
        for (char **old = *env; old && *old; old++)
                if (strncmp(*old, pair, key + 1) == 0)
                        return zl_replace_str(old, pair) < 0 ? zl_fail_oom(b->err) : 0;
        return zl_strv_push(env, pair) < 0 ? zl_fail_oom(b->err) : 0;
}

/* Its numbers, where the file does not say them. */
static int look_at_host(struct bundle_builder *b, const struct zl_cdi_node *n,
                        struct zl_bundle_device *ret)
{
        const char *path = n->host_path && *n->host_path ? n->host_path : n->path;
        struct zl_bundle_device *found = NULL;
        size_t n_found = 0;
        int r = b->in->facts->find_devices(path, &found, &n_found);

        if (r == 0 && n_found != 1)
                r = -ENOTBLK;
        if (r == 0)
                *ret = (struct zl_bundle_device){ .type = found[0].type,
                                                  .major = found[0].major,
                                                  .minor = found[0].minor };
        zl_bundle_devices_free(found, n_found);
        return r < 0 ? zl_fail_errno(b->err, -r, "cannot use the device %s", path) : 0;
}

static int add_node(struct bundle_builder *b, const struct zl_cdi_node *n, const char *access)
{
        struct zl_bundle_device d = { .type = n->type && *n->type ? n->type[0] : 0,
                                      .major = (unsigned)n->major,
                                      .minor = (unsigned)n->minor };
        const char *wanted = n->permissions && *n->permissions ? n->permissions : "rwm";
        char allowed[4] = "", *end = allowed;
        int r = 0;

        if (n->path[0] != '/' || strstr(n->path, "/../"))
                return zl_fail(b->err, ZL_E_INVALID, 0, "deviceNodes: \"%s\" is not absolute",
                               n->path);
        if (wanted[strspn(wanted, "rwm")])
                return zl_fail(b->err, ZL_E_INVALID, 0, "permissions \"%s\" of %s", wanted,
                               n->path);
        if (!d.type || !n->has_major || !n->has_minor)
                r = look_at_host(b, n, &d);
        if (r < 0)
                return r;
        if (!strchr("cbu", d.type))
                return zl_fail(b->err, ZL_E_INVALID, 0, "%s is of type \"%c\"", n->path, d.type);
        /* To make nodes is no harm; what the spec does not allow, the file does not either. */
        for (const char *c = "rwm"; *c; c++)
                if (strchr(wanted, *c) && (*c == 'm' || strchr(access, *c)))
                        *end++ = *c;
        *end = 0;
        return bundle_add_device(b, n->path, &d, n, allowed);
}

static int add_mount(struct bundle_builder *b, const struct zl_cdi_mount *m)
{
        _cleanup_free_ char *target = NULL;
        struct zl_oci_mount *mount;
        int r = zl_bundle_target("containerPath", m->container_path, &target, b->err);

        if (r < 0)
                return r;
        mount = BUNDLE_APPEND(b->config->mounts, b->config->n_mounts);
        if (!mount || !(mount->source = strdup(m->host_path)) ||
            !(mount->type = strdup(m->type && *m->type ? m->type : "bind")) ||
            zl_strv_dup(m->options, &mount->options) < 0)
                return zl_fail_oom(b->err);
        mount->destination = zl_take_ptr(target);
        if (zl_streq(mount->type, "bind") && !zl_strv_contains(mount->options, "bind") &&
            !zl_strv_contains(mount->options, "rbind") &&
            zl_strv_push(&mount->options, "rbind") < 0)
                return zl_fail_oom(b->err);
        return 0;
}

static struct zl_oci_hook *new_hook(struct zl_oci_hooks *h, const char *name)
{
        if (zl_streq(name, "prestart"))
                return BUNDLE_APPEND(h->prestart, h->n_prestart);
        if (zl_streq(name, "createRuntime"))
                return BUNDLE_APPEND(h->create_runtime, h->n_create_runtime);
        if (zl_streq(name, "createContainer"))
                return BUNDLE_APPEND(h->create_container, h->n_create_container);
        if (zl_streq(name, "startContainer"))
                return BUNDLE_APPEND(h->start_container, h->n_start_container);
        if (zl_streq(name, "poststart"))
                return BUNDLE_APPEND(h->poststart, h->n_poststart);
        if (zl_streq(name, "poststop"))
                return BUNDLE_APPEND(h->poststop, h->n_poststop);
        return NULL;
}

static int add_hook(struct bundle_builder *b, const struct zl_cdi_hook *h)
{
        struct zl_oci_hook *hook;

        if (!b->config->hooks && !(b->config->hooks = calloc(1, sizeof(*b->config->hooks))))
                return zl_fail_oom(b->err);
        hook = new_hook(b->config->hooks, h->name);
        if (!hook)
                return zl_fail(b->err, ZL_E_INVALID, 0, "hookName \"%s\"", h->name);
        if (!(hook->path = strdup(h->path)) || zl_strv_dup(h->args, &hook->args) < 0 ||
            zl_strv_dup(h->env, &hook->env) < 0)
                return zl_fail_oom(b->err);
        hook->has_timeout = h->has_timeout;
        hook->timeout = h->timeout;
        return 0;
}

static int add_edits(struct bundle_builder *b, const struct zl_cdi_edits *e, const char *access)
{
        struct zl_oci_user *user = &b->config->process->user;
        int r = 0;

        ZL_STRV_FOREACH(pair, e->env)
                if (r == 0)
                        r = add_env(b, *pair);
        for (size_t i = 0; i < e->n_nodes && r == 0; i++)
                r = add_node(b, &e->nodes[i], access);
        for (size_t i = 0; i < e->n_mounts && r == 0; i++)
                r = add_mount(b, &e->mounts[i]);
        for (size_t i = 0; i < e->n_hooks && r == 0; i++)
                r = add_hook(b, &e->hooks[i]);
        for (size_t i = 0; i < e->n_gids && r == 0; i++) {
                uint32_t *gid = BUNDLE_APPEND(user->additional_gids, user->n_additional_gids);

                if (!gid)
                        return zl_fail_oom(b->err);
                *gid = e->gids[i];
        }
        return r;
}

int bundle_cdi_add(struct bundle_builder *b, const struct zl_cdi_spec *spec,
                   const struct zl_cdi_device *device, const char *access)
{
        int r = 0;

        /* What all devices of the file share comes once. */
        if (!zl_strv_contains(b->cdi_files, spec->path)) {
                if (zl_strv_push(&b->cdi_files, spec->path) < 0)
                        return zl_fail_oom(b->err);
                r = add_edits(b, &spec->edits, access);
        }
        return r < 0 ? r : add_edits(b, &device->edits, access);
}

int bundle_cdi_device(struct bundle_builder *b, size_t i, const char *access)
{
        _cleanup_(zl_cdi_spec_freep) struct zl_cdi_spec *spec = NULL;
        const struct zl_cdi_device *device;
        int r = zl_cdi_find(b->in->facts->cdi_dirs, b->spec->devices[i].path, &spec, &device,
                            b->err);

        if (r < 0) {
                zl_error_prefix(b->err, "devices[%zu].path", i);
                return r;
        }
        r = bundle_cdi_add(b, spec, device, access);
        if (r < 0)
                zl_error_prefix(b->err, "devices[%zu].path: %s", i, spec->path);
        return r;
}
