/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which graphics processors a machine has, and which of them a workload gets. Functions of their input alone: what the machine is, they ask
 * its facts. Who has which is the business of who calls (native_gpus.c).
 */
#pragma once

#include "runtimes/bundle.h"

/* What is known of the vendors that a spec can name. */
struct zl_gpu_vendor {
        const char *name;
        const char *pci; /* as sysfs writes it, or NULL: not asked */
        const char *cdi; /* the kind of its devices by name, or NULL */
        const char
                *control; /* nodes that each of its workloads needs besides, with blanks between */
        bool has_cards;   /* a workload also gets the node for displays */
        bool needs_libraries; /* the image cannot have them: they have to be of the host's driver */
};
/* Of an unknown one: any devices with a render node. */
const struct zl_gpu_vendor *zl_gpu_vendor_find(const char *name);

/* All there are, in the order of their numbers. The caller clears `ret` with zl_gpus_done(). */
int zl_gpus_find(const struct zl_bundle_facts *facts, const char *vendor, struct zl_gpus *ret,
                 struct zl_error *err);
void zl_gpus_done(struct zl_gpus *gpus);
#define _cleanup_gpus_ _cleanup_(zl_gpus_done)

/* A workload has a device. */
struct zl_gpu_use {
        char *node, *owner;
        bool shared; /* it is content to share it */
};
struct zl_gpu_uses {
        struct zl_gpu_use *items;
        size_t n;
};
int zl_gpu_uses_add(struct zl_gpu_uses *uses, const char *node, const char *owner, bool shared);
void zl_gpu_uses_done(struct zl_gpu_uses *uses);
#define _cleanup_gpu_uses_ _cleanup_(zl_gpu_uses_done)

struct zl_gpu_wish {
        const char *vendor;
        uint32_t count;
        bool shared; /* may be one that others share, the least used first; else one that nobody has */
};
struct zl_gpu_wish zl_gpu_wish_of(const struct zl_gpu_spec *spec);
/* Of all there are those remain that are chosen. ZL_E_BUSY: others have too many of them, and who; ZL_E_UNSUPPORTED: there are not as many. */
int zl_gpus_choose(struct zl_gpus *gpus, const struct zl_gpu_uses *uses,
                   const struct zl_gpu_wish *wish, struct zl_error *err);
