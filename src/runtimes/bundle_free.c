/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frees a configuration that the bundle builder made. The engine's own free function is for configurations that were
 * read from a document, which live in one arena; those built here are made piece by piece, and this lists the pieces.
 * A member that the builder begins to fill must be added here; the unit tests run under a leak checker.
 */
#include "base/strv.h"
#include "runtimes/bundle.h"
#include "runtimes/seccomp_profile.h"

static void free_map(struct zl_str_map *map)
{
        for (size_t i = 0; i < map->n; i++) {
                free(map->items[i].key);
                free(map->items[i].value);
        }
        free(map->items);
}

static void free_process(struct zl_oci_process *p)
{
        if (!p)
                return;
        zl_strv_free(p->args);
        zl_strv_free(p->env);
        free(p->cwd);
        free(p->user.username);
        free(p->user.additional_gids);
        free(p->console_size);
        free(p->apparmor_profile);
        if (p->capabilities) {
                zl_strv_free(p->capabilities->bounding);
                zl_strv_free(p->capabilities->effective);
                zl_strv_free(p->capabilities->permitted);
        }
        free(p->capabilities);
        for (size_t i = 0; i < p->n_rlimits; i++)
                free(p->rlimits[i].type);
        free(p->rlimits);
        free(p);
}

static void free_resources(struct zl_oci_resources *r)
{
        if (!r)
                return;
        for (size_t i = 0; i < r->n_devices; i++) {
                free(r->devices[i].type);
                free(r->devices[i].access);
        }
        free(r->devices);
        free(r->memory);
        if (r->cpu)
                free(r->cpu->cpus);
        free(r->cpu);
        free(r->pids);
        free(r->block_io);
        free(r);
}

static void free_linux(struct zl_oci_linux *l)
{
        if (!l)
                return;
        for (size_t i = 0; i < l->n_namespaces; i++) {
                free(l->namespaces[i].type);
                free(l->namespaces[i].path);
        }
        free(l->namespaces);
        for (size_t i = 0; i < l->n_devices; i++) {
                free(l->devices[i].type);
                free(l->devices[i].path);
        }
        free(l->devices);
        free_resources(l->resources);
        zl_seccomp_profile_free(l->seccomp);
        free(l->cgroups_path);
        free(l->rootfs_propagation);
        zl_strv_free(l->masked_paths);
        zl_strv_free(l->readonly_paths);
        free_map(&l->sysctl);
        free(l);
}

void zl_bundle_done(struct zl_bundle *bundle)
{
        struct zl_oci_config *c = bundle->config;

        if (c) {
                free(c->oci_version);
                free(c->hostname);
                if (c->root)
                        free(c->root->path);
                free(c->root);
                free_process(c->process);
                for (size_t i = 0; i < c->n_mounts; i++) {
                        free(c->mounts[i].destination);
                        free(c->mounts[i].type);
                        free(c->mounts[i].source);
                        zl_strv_free(c->mounts[i].options);
                }
                free(c->mounts);
                free_map(&c->annotations);
                free_linux(c->linux_);
                free(c);
        }
        *bundle = (struct zl_bundle){ 0 };
}
