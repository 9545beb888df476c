/* SPDX-License-Identifier: Apache-2.0 */
/* What the bundle builder has to know about this machine, read from it. */
#pragma once

#include "runtimes/bundle.h"

struct zl_host {
        char machine[65];
        char boot_id[64]; /* "" if the kernel does not tell */
        struct zl_bundle_facts facts;
};

/* Reads a dozen small files; cheap, but made once per runtime. */
void zl_host_read(struct zl_host *ret);

/* find_devices and read_file of struct zl_bundle_facts. */
int zl_host_find_devices(const char *path, struct zl_bundle_device **devices, size_t *n);
int zl_host_read_file(const char *path, char **ret, size_t *ret_len);
