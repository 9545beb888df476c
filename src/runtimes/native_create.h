/* SPDX-License-Identifier: Apache-2.0 */
/* What the files share that make a native workload: one create on its way. Each step leaves its error in c->err. */
#pragma once

#include "oci/runtime_config.h"
#include "runtimes/bundle.h"
#include "runtimes/gpu.h"
#include "runtimes/native.h"
#include "runtimes/native_wasm.h"

/* One create on its way. */
struct native_creation {
        struct native *n;
        const struct zl_create_options *options;
        const struct zl_service_spec *spec;
        struct zl_ident ident;
        int state_fd;
        char *dir; /* of the state, absolute */
        struct zl_image *image;
        int64_t created_at;
        struct zl_bundle_volume *volumes;
        size_t n_volumes;
        char **volume_names;
        unsigned n_anonymous;
        gid_t *gids;
        size_t n_gids;
        struct zl_gpus gpus;
        pid_t pid_of, ipc_of, network_of;
        char *network_name; /* container whose network is joined */
        struct zl_bundle bundle;
        struct native_wasm *wasm;   /* NULL: a container */
        struct native_spare *spare; /* it is made of this one */
        bool is_spare;              /* it is one */
        char shape
                [ZL_DIGEST_TEXT_MAX]; /* of a spare that it could be made of; "": of none, or not looked at yet */
        bool shell;                   /* its state was one */
        bool held;                    /* the image is */
        char *hosts, *name_file, *resolv_file; /* files for names, as text */
        struct zl_monitor *monitor;            /* started ahead */
        char layers[ZL_DIGEST_TEXT_MAX],
                mounted[ZL_DIGEST_TEXT_MAX]; /* of the image, and those that the monitor has mounted */
        json_t *network;                     /* what is asked of the networks; NULL: nothing */
        int seccomp_fd;
        struct zl_error *err;
};

/* The directory of a spare is hidden. */
static inline const char *native_visible_name(const char *name)
{
        return name + (*name == '.');
}

/* A zl_bundle_input.warn for a creation. */
void native_creation_warn(const char *text, void *data);

/* A file of the state, whole when this returns. It has its name from the start: nobody reads it before there is a status.json. */
int native_write_state(const struct native_creation *c, const char *file, const char *text,
                       mode_t mode, struct zl_error *err);

/* ---- native_create_sources.c: what is taken from elsewhere -------------------------------------------- */

/* extra_groups, as numbers. */
int native_find_groups(struct native_creation *c);
/* Those of the spec and of the image: made, filled and attached. */
int native_make_volumes(struct native_creation *c);
/* Workloads whose namespaces it joins: they run. */
int native_find_joined(struct native_creation *c);

/* ---- native_gpus.c ------------------------------------------------------------------------------------ */

/* Those of resources.gpu, and puts down that they are this workload's. Its state is locked. */
int native_choose_gpus(struct native_creation *c);

/* ---- native_create_bundle.c: what the monitor reads -------------------------------------------------- */

/* Names and resolver, as texts; and what its network is to be told. */
int native_describe_names(struct native_creation *c);
/* As the files that are mounted. */
int native_write_names(const struct native_creation *c, struct zl_error *err);
/* Configuration and filter. */
int native_make_bundle(struct native_creation *c);
/* Beside the state, for the starts to come. */
int native_keep_filter(const struct native_creation *c, struct zl_error *err);
bool native_has_secrets(const struct native_creation *c);
