/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a service spec and an image to an OCI runtime configuration. A pure function: it reads nothing but its
 * input, so every rule (what a field becomes, what is refused, what is only warned about) is tested without a
 * kernel. What depends on the machine stands in struct zl_bundle_facts; host.c fills it.
 *
 * A wish of the spec that is understood but cannot be honoured yet is named in a warning; one that would be unsafe to
 * ignore is refused (ZL_E_UNSUPPORTED), one that makes no sense too (ZL_E_INVALID). Errors and warnings begin with the
 * field's name.
 */
#pragma once

#include <zlayer/spec.h>

#include "base/ident.h"
#include "image/image.h"
#include "oci/runtime_config.h"
#include "runtimes/seccomp_profile.h"

struct zl_bundle_device {
        char *path; /* inside and outside */
        char type;  /* 'c' or 'b' */
        uint32_t major, minor;
};

/* The machine, as far as it matters. */
struct zl_bundle_facts {
        const char *machine; /* uname -m */
        unsigned kernel_major, kernel_minor;
        uint64_t capabilities;  /* bits of those we may give away */
        uint64_t files_max;     /* highest limit of open files that we may set */
        bool apparmor, selinux; /* switched on in the kernel */
        bool pids_controller;   /* processes can be limited */
        bool rootless; /* the engine looks for a cgroup, and does without where it may make none */
        bool systemd_cgroup; /* cgroup paths are SLICE:PREFIX:NAME */
        /* The device at a host path, or all below it if it is a directory; appends to an array that the caller frees with
         * zl_bundle_devices_free(). -ENOENT, -ENOTBLK if it is neither device nor directory, other errnos. */
        int (*find_devices)(const char *path, struct zl_bundle_device **devices, size_t *n);
        const char
                *cdi_dirs; /* where devices by name are described: directories with ":" between */
        /* Reads a profile of the host. */
        int (*read_file)(const char *path, char **ret, size_t *ret_len);
};
void zl_bundle_devices_free(struct zl_bundle_device *devices, size_t n);

/* A graphics processor (gpu.h). */
struct zl_gpu {
        char *node;     /* "/dev/nvidia0", "/dev/dri/renderD128" */
        char *card;     /* its node for displays, or NULL */
        uint32_t index; /* by which its vendor's tools call it on the host */
};
struct zl_gpus {
        struct zl_gpu *items;
        size_t n;
};

/* A volume that has been made ready. */
struct zl_bundle_volume {
        char *source, *target;
        bool readonly;
};

struct zl_bundle_input {
        const char *name;
        const struct zl_ident *ident;
        const struct zl_service_spec *spec;
        const struct zl_image *image;
        char *const *env;   /* resolved, replaces spec->env; NULL: spec->env */
        const char *rootfs; /* root.path */
        const char *hosts, *hostname_file,
                *resolv_conf; /* files of the host to mount; NULL: none */
        /* For the named and anonymous entries of spec->storage in their order, and then those the image declares. */
        const struct zl_bundle_volume *volumes;
        size_t n_volumes;
        struct zl_gpus gpus;     /* those it gets for spec->resources.gpu */
        const gid_t *extra_gids; /* spec->extra_groups, looked up */
        size_t n_extra_gids;
        /* First process of the containers whose namespaces are joined; 0 where the spec wants none. */
        pid_t pid_of, ipc_of, network_of;
        uint16_t rows, cols;
        /* Whoever runs it has the filter of the built-in profile already: its hundreds of names are left out, and the configuration
         * by itself refuses every call. */
        bool has_builtin_filter;
        bool wasm; /* a WebAssembly program: nothing of a Linux system, no environment but what is asked for, no rights */
        const struct zl_bundle_facts *facts;
        void (*warn)(const char *text, void *data); /* may be NULL */
        void *warn_data;
};

struct zl_bundle {
        struct zl_oci_config *config;
        bool builtin_filter; /* its profile is the built-in one */
        bool init_reaper;
        int stop_signal;
        int64_t grace_nsec;
};

int zl_bundle_make(const struct zl_bundle_input *in, struct zl_bundle *ret, struct zl_error *err);
void zl_bundle_done(struct zl_bundle *bundle);

/* What a filter for `config` depends on; its strings are theirs. */
struct zl_seccomp_facts zl_bundle_filter_facts(const struct zl_bundle_facts *facts,
                                               const struct zl_oci_config *config);

/* The host name inside: the spec's, or SERVICE-rep-N cut to 63 bytes. */
int zl_bundle_hostname(const struct zl_service_spec *spec, const struct zl_ident *ident, char **ret,
                       struct zl_error *err);
/* A mount target in clean form. ZL_E_INVALID if it is relative, the root, or something that belongs to the kernel. */
int zl_bundle_target(const char *field, const char *target, char **ret, struct zl_error *err);
/* The container that "container:ID" names, or NULL if `mode` (may be NULL) is something else. */
const char *zl_bundle_joined(const char *mode);
/* cgroupsPath of a workload. ZL_E_INVALID for a bad cgroup_parent. */
int zl_bundle_cgroup(const struct zl_bundle_input *in, char **ret, struct zl_error *err);

#define ZL_BUNDLE_GRACE_DEFAULT (INT64_C(10) * 1000000000)
#define ZL_BUNDLE_PIDS_DEFAULT 4096
#define ZL_BUNDLE_SHM_SIZE "size=65536k"
