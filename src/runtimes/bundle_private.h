/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the bundle builder share: bundle.c (process, namespaces), bundle_cdi.c, bundle_gpu.c, bundle_mounts.c,
 * bundle_resources.c and bundle_security.c. */
#pragma once

#include <errno.h>

#include "base/strv.h"
#include "runtimes/bundle.h"

struct bundle_builder {
        const struct zl_bundle_input *in;
        const struct zl_service_spec *spec;
        struct zl_oci_config *config;
        struct zl_error *err;
        bool host_network, host_pid, host_ipc;
        bool builtin_filter;
        char **cdi_files; /* whose devices have something in common, which is there already */
};

void bundle_warn(const struct bundle_builder *b, const char *fmt, ...) ZL_PRINTF(2, 3);

/* Appends a zeroed element to one of the configuration's arrays; NULL without memory. */
void *bundle_append(void *array, size_t *n, size_t size);
#define BUNDLE_APPEND(array, n) ((__typeof__(array))bundle_append(&(array), &(n), sizeof(*(array))))

/* Blank-separated words as a vector; NULL without memory. */
char **bundle_words(const char *text);
/* A mount with its options in one blank-separated text. */
int bundle_add_mount(struct bundle_builder *b, const char *destination, const char *type,
                     const char *source, const char *options);

/* A node at `path` and the right to use it. `like` (may be NULL) says owner and mode; else any user inside may use it. One that is there stays. */
struct zl_cdi_node;
int bundle_add_device(struct bundle_builder *b, const char *path, const struct zl_bundle_device *d,
                      const struct zl_cdi_node *like, const char *access);
/* The device at `path` of the host, or all below it. A negative errno without an error. */
int bundle_add_devices(struct bundle_builder *b, const char *path, const char *access);

/* ---- bundle_cdi.c ---- */

struct zl_cdi_spec;
struct zl_cdi_device;
/* What a device of the file brings along. */
int bundle_cdi_add(struct bundle_builder *b, const struct zl_cdi_spec *spec,
                   const struct zl_cdi_device *device, const char *access);
/* The same for the spec's device `i`, a CDI name. */
int bundle_cdi_device(struct bundle_builder *b, size_t i, const char *access);

/* ---- bundle_gpu.c ---- */

int bundle_gpu_env(struct bundle_builder *b, char ***env); /* 0 or -ENOMEM */
int bundle_gpus(struct bundle_builder *b);

int bundle_mounts(struct bundle_builder *b);
int bundle_resources(struct bundle_builder *b);
int bundle_devices(struct bundle_builder *b);
int bundle_security(struct bundle_builder *b);
int bundle_limits(struct bundle_builder *b);
