/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See gpu.h. A processor is known by its node: it is what the kernel tells apart, and what can be given away. NVIDIA's driver numbers its own
 * nodes; the others are render nodes, which all vendors share, so sysfs has to say whose each is. Where it does not, the node counts:
 * somebody made it by hand.
 */
#include "runtimes/gpu.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/strv.h"

enum { MOST = 64, FIRST_RENDER = 128 }; /* of a kind: so many minors has a kind of DRM nodes */

static const struct zl_gpu_vendor vendors[] = {
        { .name = "nvidia",
          .cdi = "nvidia.com/gpu",
          .control = "/dev/nvidiactl /dev/nvidia-uvm /dev/nvidia-uvm-tools",
          .needs_libraries = true },
        { .name = "amd",
          .pci = "0x1002",
          .cdi = "amd.com/gpu",
          .control = "/dev/kfd",
          .has_cards = true },
        { .name = "intel",
          .pci = "0x8086",
          .cdi = "intel.com/gpu",
          .control = "",
          .has_cards = true },
};
static const struct zl_gpu_vendor unknown_vendor = { .control = "" };

const struct zl_gpu_vendor *zl_gpu_vendor_find(const char *name)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(vendors); i++)
                if (zl_streq(name, vendors[i].name))
                        return &vendors[i];
        return &unknown_vendor;
}

void zl_gpus_done(struct zl_gpus *gpus)
{
        for (size_t i = 0; i < gpus->n; i++) {
                free(gpus->items[i].node);
                free(gpus->items[i].card);
        }
        free(gpus->items);
        *gpus = (struct zl_gpus){ 0 };
}

/* ---- what there is ------------------------------------------------------------------------------- */

static bool is_device(const struct zl_bundle_facts *facts, const char *path)
{
        struct zl_bundle_device *found = NULL;
        size_t n = 0;
        bool is = facts->find_devices(path, &found, &n) == 0 && n == 1;

        zl_bundle_devices_free(found, n);
        return is;
}

/* A file that sysfs has about a node of the DRM, or NULL. The caller frees. */
static char *read_about(const struct zl_bundle_facts *facts, const char *node, const char *file)
{
        char path[96], *text = NULL;
        size_t len;

        snprintf(path, sizeof(path), "/sys/class/drm/%s/device/%s", strrchr(node, '/') + 1, file);
        if (!facts->read_file || facts->read_file(path, &text, &len) < 0)
                return NULL;
        text[strcspn(text, "\n")] = 0;
        return text;
}

static bool is_of(const struct zl_bundle_facts *facts, const struct zl_gpu_vendor *vendor,
                  const char *node)
{
        _cleanup_free_ char *pci = vendor->pci ? read_about(facts, node, "vendor") : NULL;

        return !pci || zl_streq(pci, vendor->pci);
}

/* The line of sysfs that says where a device is plugged in, or NULL. */
static char *read_slot(const struct zl_bundle_facts *facts, const char *node)
{
        static const char key[] = "PCI_SLOT_NAME=";
        char path[96], *at;
        _cleanup_free_ char *text = NULL;
        size_t len;

        snprintf(path, sizeof(path), "/sys/class/drm/%s/device/uevent", strrchr(node, '/') + 1);
        if (!facts->read_file || facts->read_file(path, &text, &len) < 0 ||
            !(at = strstr(text, key)))
                return NULL;
        at += sizeof(key) - 1;
        return strndup(at, strcspn(at, "\n"));
}

/* The node for displays of the device with this render node. Their numbers need not go together: a frame buffer of the firmware may have
 * taken the first. Where nothing says which belong together the numbers are believed. */
static char *find_card(const struct zl_bundle_facts *facts, const char *node, unsigned number)
{
        _cleanup_free_ char *slot = read_slot(facts, node);
        char path[48];

        for (unsigned i = 0; slot && i < MOST; i++) {
                _cleanup_free_ char *other = NULL;

                snprintf(path, sizeof(path), "/dev/dri/card%u", i);
                if (is_device(facts, path) && (other = read_slot(facts, path)) &&
                    zl_streq(slot, other))
                        return strdup(path);
        }
        snprintf(path, sizeof(path), "/dev/dri/card%u", number);
        return !slot && is_device(facts, path) ? strdup(path) : NULL;
}

static int add_gpu(struct zl_gpus *gpus, const char *node, unsigned index)
{
        struct zl_gpu *grown = reallocarray(gpus->items, gpus->n + 1, sizeof(*grown));
        char *copy = strdup(node);

        if (grown)
                gpus->items = grown;
        if (!grown || !copy) {
                free(copy);
                return -ENOMEM;
        }
        grown[gpus->n++] = (struct zl_gpu){ .node = copy, .index = index };
        return 0;
}

int zl_gpus_find(const struct zl_bundle_facts *facts, const char *vendor, struct zl_gpus *ret,
                 struct zl_error *err)
{
        const struct zl_gpu_vendor *v = zl_gpu_vendor_find(vendor);
        _cleanup_gpus_ struct zl_gpus gpus = { 0 };
        bool nvidia = zl_streq(vendor, "nvidia");
        char path[48];

        for (unsigned i = 0; i < MOST; i++) {
                snprintf(path, sizeof(path), nvidia ? "/dev/nvidia%u" : "/dev/dri/renderD%u",
                         nvidia ? i : FIRST_RENDER + i);
                if (!is_device(facts, path) || (!nvidia && !is_of(facts, v, path)))
                        continue;
                if (add_gpu(&gpus, path, nvidia ? i : (unsigned)gpus.n) < 0)
                        return zl_fail_oom(err);
                if (v->has_cards)
                        gpus.items[gpus.n - 1].card = find_card(facts, path, i);
        }
        *ret = gpus;
        gpus = (struct zl_gpus){ 0 };
        return 0;
}

/* ---- who has what -------------------------------------------------------------------------------- */

int zl_gpu_uses_add(struct zl_gpu_uses *uses, const char *node, const char *owner, bool shared)
{
        struct zl_gpu_use *grown = reallocarray(uses->items, uses->n + 1, sizeof(*grown));
        struct zl_gpu_use use = { strdup(node), strdup(owner), shared };

        if (grown)
                uses->items = grown;
        if (!grown || !use.node || !use.owner) {
                free(use.node);
                free(use.owner);
                return -ENOMEM;
        }
        grown[uses->n++] = use;
        return 0;
}

void zl_gpu_uses_done(struct zl_gpu_uses *uses)
{
        for (size_t i = 0; i < uses->n; i++) {
                free(uses->items[i].node);
                free(uses->items[i].owner);
        }
        free(uses->items);
        *uses = (struct zl_gpu_uses){ 0 };
}

/* ---- choosing ------------------------------------------------------------------------------------ */

struct zl_gpu_wish zl_gpu_wish_of(const struct zl_gpu_spec *spec)
{
        return (struct zl_gpu_wish){ .vendor = spec->vendor,
                                     .count = spec->count,
                                     .shared = spec->has_sharing &&
                                               spec->sharing != ZL_GPU_EXCLUSIVE };
}

struct candidate {
        struct zl_gpu gpu;
        bool is_taken; /* not to be had */
        size_t users;
};

static int compare_use(const void *a, const void *b)
{
        const struct candidate *x = a, *y = b;

        if (x->is_taken != y->is_taken)
                return x->is_taken ? 1 : -1;
        if (x->users != y->users)
                return x->users < y->users ? -1 : 1;
        return x->gpu.index < y->gpu.index ? -1 : x->gpu.index > y->gpu.index;
}

static int compare_index(const void *a, const void *b)
{
        const struct zl_gpu *x = a, *y = b;

        return x->index < y->index ? -1 : x->index > y->index;
}

static int refuse(const struct zl_gpus *gpus, const struct zl_gpu_uses *uses,
                  const struct zl_gpu_wish *wish, size_t n_free, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf who = ZL_BUF_INIT(1 << 16);
        int r;

        if (wish->count > gpus->n) {
                r = zl_fail(err, ZL_E_UNSUPPORTED, 0,
                            "resources.gpu: %u of %s wanted, this machine has %zu", wish->count,
                            wish->vendor, gpus->n);
                if (gpus->n == 0)
                        zl_error_hint(err, "there is none of its nodes, %s: is the driver there?",
                                      zl_streq(wish->vendor, "nvidia") ? "/dev/nvidia0 …"
                                                                       : "/dev/dri/renderD128 …");
                return r;
        }
        for (size_t i = 0; i < gpus->n; i++)
                for (size_t k = 0; k < uses->n; k++)
                        if (zl_streq(uses->items[k].node, gpus->items[i].node))
                                zl_buf_putf(&who, "%s%s %s %s", who.len ? ", " : "",
                                            uses->items[k].owner,
                                            uses->items[k].shared ? "shares" : "has",
                                            gpus->items[i].node);
        r = zl_fail(err, ZL_E_BUSY, 0, "resources.gpu: %u of %s wanted, %zu of %zu free: %s",
                    wish->count, wish->vendor, n_free, gpus->n, who.data ?: "");
        zl_error_hint(err, "a workload has its own until it is removed, also when it has ended");
        return r;
}

/* The first `count` of the candidates are it. */
static void keep(struct zl_gpus *gpus, struct candidate *all, size_t count)
{
        for (size_t i = 0; i < gpus->n; i++) {
                if (i < count) {
                        gpus->items[i] = all[i].gpu;
                        continue;
                }
                free(all[i].gpu.node);
                free(all[i].gpu.card);
        }
        gpus->n = count;
        if (count > 1)
                qsort(gpus->items, count, sizeof(*gpus->items), compare_index);
}

int zl_gpus_choose(struct zl_gpus *gpus, const struct zl_gpu_uses *uses,
                   const struct zl_gpu_wish *wish, struct zl_error *err)
{
        _cleanup_free_ struct candidate *all = calloc(gpus->n + 1, sizeof(*all));
        size_t n_free = 0;

        if (!all)
                return zl_fail_oom(err);
        for (size_t i = 0; i < gpus->n; i++) {
                struct candidate *c = &all[i];

                c->gpu = gpus->items[i];
                for (size_t k = 0; k < uses->n; k++)
                        if (zl_streq(uses->items[k].node, c->gpu.node)) {
                                c->users++;
                                c->is_taken |= !wish->shared || !uses->items[k].shared;
                        }
                n_free += !c->is_taken;
        }
        if (n_free < wish->count)
                return refuse(gpus, uses, wish, n_free, err);
        qsort(all, gpus->n, sizeof(*all), compare_use);
        keep(gpus, all, wish->count);
        return 0;
}
