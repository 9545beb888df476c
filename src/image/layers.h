/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several layers at a time into the store, each in a thread that is free of other work. Used by pull and import, which differ
 * only in where the bytes come from.
 */
#pragma once

#include "image/layer.h"

struct zl_layers_task {
        struct zl_layer_source source;
        size_t index;                     /* for the producer */
        char diff_id[ZL_DIGEST_TEXT_MAX]; /* filled when the layer is in the store */
};

struct zl_layers_job {
        struct zl_image_store *store;
        struct zl_store_tmp *tmp;
        struct zl_layers_task *tasks;
        size_t n_tasks;
        const struct zl_pull_options *options; /* progress and cancel; may be NULL */
        /* Sends all bytes of one layer to zl_layers_feed(transfer, ...). `*worker` is the thread's own, NULL at first. */
        int (*produce)(void *ctx, void **worker, const struct zl_layers_task *task, void *transfer,
                       struct zl_error *err);
        void (*free_worker)(void *worker); /* may be NULL */
        void *ctx;
};

/* Runs all tasks whose layers are not in the store yet. The first fault stops the others and is returned. */
int zl_layers_run(struct zl_layers_job *job, struct zl_error *err);

/* The sink for producers (a zl_http_sink). */
int zl_layers_feed(void *transfer, const void *data, size_t len, struct zl_error *err);
/* Shall the work behind this transfer stop (a zl_http_stop)? */
bool zl_layers_stopped(void *transfer);

/* Tells progress about the image as a whole. `options` may be NULL. */
void zl_layers_tell(const struct zl_pull_options *options, const char *status);
