/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One layer on its way into the store: compressed bytes go in as they arrive; they are hashed, decompressed,
 * hashed again and unpacked at once. Nothing is seen by others before all digests and sizes are right.
 */
#pragma once

#include "image/store.h"

struct zl_layer;

struct zl_layer_source {
        const char *digest;     /* of the bytes that will come; NULL: not known */
        uint64_t size;          /* their number, if digest is set */
        const char *diff_id;    /* digest of the unpacked archive; NULL: not known */
        const char *media_type; /* for the records; may be NULL */
};

/* Works below the directory `tmp`. All strings must stay. To be used by one thread that zl_unpack_thread_init()
 * has prepared. */
int zl_layer_new(struct zl_image_store *store, struct zl_store_tmp *tmp,
                 const struct zl_layer_source *source, struct zl_layer **ret, struct zl_error *err);
void zl_layer_free(struct zl_layer *layer); /* what is unfinished goes with `tmp` */
ZL_DEFINE_CLEANUP(struct zl_layer *, zl_layer_freep, zl_layer_free)

int zl_layer_feed(struct zl_layer *layer, const void *data, size_t len, struct zl_error *err);
/* Bytes taken so far, for resuming. */
uint64_t zl_layer_position(const struct zl_layer *layer);

/* Verifies, makes durable and publishes. The caller holds the layer's lock if the diff id was known. `ret_diff_id`
 * has room for ZL_DIGEST_TEXT_MAX bytes and may be NULL. */
int zl_layer_finish(struct zl_layer *layer, char *ret_diff_id, struct zl_error *err);
