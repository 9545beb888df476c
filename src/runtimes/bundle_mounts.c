/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mounts of a bundle: first what every container has, then the three files of the network, then storage, the
 * shallow targets before the deep ones, so that a mount inside another is never hidden by it. A storage entry
 * with the target of a standard mount (/dev/shm, /etc/hosts) takes its place.
 *
 * Targets are checked as text only. That they do not lead out of the root file system by symbolic links of the
 * image is the engine's job, which resolves them inside that root.
 */
#include <stdio.h>
#include <string.h>

#include "base/path.h"
#include "runtimes/bundle_private.h"
#include "spec/spec.h"

int bundle_add_mount(struct bundle_builder *b, const char *destination, const char *type,
                     const char *source, const char *options)
{
        struct zl_oci_config *c = b->config;
        struct zl_oci_mount *m = BUNDLE_APPEND(c->mounts, c->n_mounts);

        if (!m)
                return zl_fail_oom(b->err);
        m->destination = strdup(destination);
        m->type = strdup(type);
        m->source = strdup(source);
        m->options = bundle_words(options);
        return m->destination && m->type && m->source && m->options ? 0 : zl_fail_oom(b->err);
}

int zl_bundle_target(const char *field, const char *target, char **ret, struct zl_error *err)
{
        static const char *const kernel[] = { "/proc", "/sys" };
        _cleanup_free_ char *clean = NULL;

        if (!target || target[0] != '/')
                return zl_fail(err, ZL_E_INVALID, 0, "%s: the target \"%s\" is not absolute", field,
                               target ? target : "");
        clean = zl_path_clean_absolute(target);
        if (!clean)
                return zl_fail_oom(err);
        if (zl_streq(clean, "/"))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "%s: the target must not be the root directory", field);
        /* A mount over procfs would take the kernel's word out of its mouth: masks and checks rely on it. */
        for (size_t i = 0; i < ZL_ARRAY_SIZE(kernel); i++) {
                const char *rest = zl_startswith(clean, kernel[i]);

                if (rest && *rest == 0)
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "%s: the target %s belongs to the kernel", field, clean);
        }
        if (zl_startswith(clean, "/proc/"))
                return zl_fail(err, ZL_E_INVALID, 0, "%s: the target %s lies inside /proc", field,
                               clean);
        *ret = zl_take_ptr(clean);
        return 0;
}

/* ---- what every container has -------------------------------------------------------------------- */

static int standard_mounts(struct bundle_builder *b)
{
        bool privileged = b->spec->privileged;
        const char *ipc = b->spec->ipc_mode;
        int r = bundle_add_mount(b, "/proc", "proc", "proc", "nosuid noexec nodev");

        if (r == 0)
                r = bundle_add_mount(b, "/dev", "tmpfs", "tmpfs",
                                     "nosuid strictatime mode=755 size=65536k");
        if (r == 0)
                r = bundle_add_mount(b, "/dev/pts", "devpts", "devpts",
                                     "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5");
        if (r == 0 && b->host_ipc)
                r = bundle_add_mount(b, "/dev/shm", "bind", "/dev/shm",
                                     "rbind nosuid noexec nodev rprivate");
        else if (r == 0 && !(ipc && zl_streq(ipc, "none")))
                r = bundle_add_mount(b, "/dev/shm", "tmpfs", "shm",
                                     "nosuid noexec nodev mode=1777 " ZL_BUNDLE_SHM_SIZE);
        if (r == 0)
                r = bundle_add_mount(b, "/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev");
        if (r == 0)
                r = bundle_add_mount(b, "/sys", "sysfs", "sysfs",
                                     privileged ? "nosuid noexec nodev" : "nosuid noexec nodev ro");
        if (r == 0)
                r = bundle_add_mount(b, "/sys/fs/cgroup", "cgroup", "cgroup",
                                     privileged ? "nosuid noexec nodev relatime"
                                                : "nosuid noexec nodev relatime ro");
        if (r == 0 && b->in->ipc_of > 0)
                bundle_warn(b, "ipc_mode: /dev/shm is not shared, only System V objects are");
        return r;
}

/* Writable, as in Docker: programs that manage their own resolver write there, and only their own copy. */
static int network_files(struct bundle_builder *b)
{
        const struct {
                const char *target, *source;
        } files[] = { { "/etc/hosts", b->in->hosts },
                      { "/etc/hostname", b->in->hostname_file },
                      { "/etc/resolv.conf", b->in->resolv_conf } };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(files); i++)
                if (files[i].source)
                        r = bundle_add_mount(b, files[i].target, "bind", files[i].source,
                                             "rbind rprivate");
        return r;
}

/* ---- storage ------------------------------------------------------------------------------------- */

struct entry {
        char field[32];
        char *target;
        const char *type, *source;
        char options[160];
        unsigned depth;
        size_t order;
};

static int compare_entries(const void *a, const void *b)
{
        const struct entry *x = a, *y = b;

        if (x->depth != y->depth)
                return x->depth < y->depth ? -1 : 1;
        return (x->order > y->order) - (x->order < y->order);
}

static int tmpfs_options(struct bundle_builder *b, const struct zl_storage_spec *s, struct entry *e)
{
        char size[40] = "", mode[24] = "";

        if (s->size) {
                uint64_t bytes;

                if (zl_spec_size_bytes(s->size, &bytes) < 0 || bytes == 0)
                        return zl_fail(b->err, ZL_E_INVALID, 0, "%s.size: \"%s\" is not a size",
                                       e->field, s->size);
                if (bytes != UINT64_MAX)
                        snprintf(size, sizeof(size), " size=%llu", (unsigned long long)bytes);
        }
        if (s->has_mode && s->mode > 07777)
                return zl_fail(b->err, ZL_E_INVALID, 0,
                               "%s.mode: %u is more than 07777 (write octal numbers as 0o1777)",
                               e->field, s->mode);
        if (s->has_mode)
                snprintf(mode, sizeof(mode), " mode=%o", s->mode);
        snprintf(e->options, sizeof(e->options), "nosuid nodev%s%s", size, mode);
        e->type = "tmpfs";
        e->source = "tmpfs";
        return 0;
}

static void bind_options(struct entry *e, const char *source, bool readonly)
{
        e->type = "bind";
        e->source = source;
        snprintf(e->options, sizeof(e->options), "rbind %s rprivate", readonly ? "ro" : "rw");
}

static int bind_entry(struct bundle_builder *b, const struct zl_storage_spec *s, struct entry *e)
{
        if (!s->source || s->source[0] != '/')
                return zl_fail(b->err, ZL_E_INVALID, 0, "%s.source: \"%s\" is not an absolute path",
                               e->field, s->source ? s->source : "");
        bind_options(e, s->source, s->readonly);
        return 0;
}

/* `*next` counts through the volumes that were made ready for this spec. */
static int storage_entry(struct bundle_builder *b, const struct zl_storage_spec *s, size_t *next,
                         struct entry *e)
{
        switch (s->type) {
        case ZL_STORAGE_BIND:
                return bind_entry(b, s, e);
        case ZL_STORAGE_TMPFS:
                return tmpfs_options(b, s, e);
        case ZL_STORAGE_S3:
                zl_fail(b->err, ZL_E_UNSUPPORTED, 0,
                        "%s: a bucket (type s3) cannot be mounted: there is no helper for it",
                        e->field);
                zl_error_hint(b->err, "copy what is needed with the init steps init.s3_pull and "
                                      "init.s3_push");
                return -EOPNOTSUPP;
        case ZL_STORAGE_NAMED:
        case ZL_STORAGE_ANONYMOUS:
                break;
        }
        if (s->size)
                bundle_warn(b, "%s.size: volumes have no quota, \"%s\" is not enforced", e->field,
                            s->size);
        if (s->tier != ZL_TIER_LOCAL)
                bundle_warn(b, "%s.tier: volumes are always local", e->field);
        if (*next >= b->in->n_volumes)
                return zl_fail(b->err, ZL_E_INTERNAL, 0, "%s: no volume was made", e->field);
        bind_options(e, b->in->volumes[(*next)++].source,
                     s->type == ZL_STORAGE_NAMED && s->readonly);
        return 0;
}

static unsigned count_depth(const char *path)
{
        unsigned depth = 0;

        for (; *path; path++)
                depth += *path == '/';
        return depth;
}

static struct entry *find_target(struct entry *entries, size_t n, const char *target)
{
        for (size_t i = 0; i < n; i++)
                if (zl_streq(entries[i].target, target))
                        return &entries[i];
        return NULL;
}

static int collect_storage(struct bundle_builder *b, struct entry *entries, size_t *n)
{
        size_t next = 0;

        for (size_t i = 0; i < b->spec->n_storage; i++) {
                const struct zl_storage_spec *s = &b->spec->storage[i];
                struct entry *e = &entries[*n];
                int r;

                snprintf(e->field, sizeof(e->field), "storage[%zu]", i);
                r = zl_bundle_target(e->field, s->target, &e->target, b->err);
                if (r == 0 && find_target(entries, *n, e->target))
                        r = zl_fail(b->err, ZL_E_INVALID, 0, "%s: two mounts have the target %s",
                                    e->field, e->target);
                ++*n;
                if (r == 0)
                        r = storage_entry(b, s, &next, e);
                if (r < 0)
                        return r;
        }
        for (; next < b->in->n_volumes; next++) {
                struct entry *e = &entries[(*n)++];

                e->target = strdup(b->in->volumes[next].target);
                if (!e->target)
                        return zl_fail_oom(b->err);
                bind_options(e, b->in->volumes[next].source, b->in->volumes[next].readonly);
        }
        return 0;
}

/* A standard mount gives way to one of the spec with the same target. */
static void drop_mount(struct zl_oci_config *c, const char *destination)
{
        for (size_t i = 0; i < c->n_mounts; i++) {
                struct zl_oci_mount *m = &c->mounts[i];

                if (!zl_streq(m->destination, destination))
                        continue;
                free(m->destination);
                free(m->type);
                free(m->source);
                zl_strv_free(m->options);
                memmove(m, m + 1, (--c->n_mounts - i) * sizeof(*m));
                return;
        }
}

int bundle_mounts(struct bundle_builder *b)
{
        size_t n = 0, max = b->spec->n_storage + b->in->n_volumes;
        struct entry *entries = calloc(max + 1, sizeof(*entries));
        int r;

        if (!entries)
                return zl_fail_oom(b->err);
        r = b->in->wasm ? 0 : standard_mounts(b);
        if (r == 0)
                r = network_files(b);
        if (r == 0)
                r = collect_storage(b, entries, &n);
        for (size_t i = 0; r == 0 && i < n; i++) {
                entries[i].depth = count_depth(entries[i].target);
                entries[i].order = i;
        }
        if (r == 0)
                qsort(entries, n, sizeof(*entries), compare_entries);
        for (size_t i = 0; r == 0 && i < n; i++) {
                drop_mount(b->config, entries[i].target);
                r = bundle_add_mount(b, entries[i].target, entries[i].type, entries[i].source,
                                     entries[i].options);
        }
        for (size_t i = 0; i < n; i++)
                free(entries[i].target);
        free(entries);
        return r;
}
