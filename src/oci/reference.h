/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image references, "[registry/]repository[:tag][@digest]": the grammar, the normal form and what
 * follows from it. Pure text work: nothing here blocks or touches the network.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/macro.h"

enum { ZL_REFERENCE_REPOSITORY_MAX = 255 };

/* Why a text is not a reference. Every fault has a sentence: zl_reference_fault_text(). */
enum zl_reference_fault {
        ZL_REFERENCE_OK,
        ZL_REFERENCE_EMPTY,
        ZL_REFERENCE_FORMAT,
        ZL_REFERENCE_TOO_LONG,         /* the normalised repository has more than 255 bytes */
        ZL_REFERENCE_DIGEST_LENGTH,    /* wrong number of hex digits for the algorithm */
        ZL_REFERENCE_DIGEST_ALGORITHM, /* neither sha256, sha384 nor sha512 */
};

struct zl_reference {
        char *registry;   /* "docker.io", "localhost:5000"; never NULL */
        char *repository; /* "library/nginx"; never NULL */
        char *tag;        /* or NULL; set to "latest" if the text had neither tag nor digest */
        char *digest;     /* "sha256:HEX" as written, or NULL */
};

void zl_reference_done(struct zl_reference *ref);
#define _cleanup_reference_ _cleanup_(zl_reference_done)

/* Reads and normalises: "index.docker.io" becomes "docker.io", a one-component name of docker.io gets
 * "library/", a reference without tag and digest the tag "latest". Returns 0, -EINVAL with the reason
 * in `*ret_fault` (may be NULL) and in `err`, or -ENOMEM; `*ret` is untouched on failure. */
int zl_reference_parse(const char *text, struct zl_reference *ret,
                       enum zl_reference_fault *ret_fault, struct zl_error *err);

/* "the image reference is empty" ...; never NULL. */
const char *zl_reference_fault_text(enum zl_reference_fault fault);

/* The canonical text, "docker.io/library/nginx:latest"; the caller frees it, NULL without memory. */
char *zl_reference_text(const struct zl_reference *ref);

/* Parses and writes canonically in one step; the same returns as zl_reference_parse(). */
int zl_reference_canonical(const char *text, char **ret, enum zl_reference_fault *ret_fault,
                           struct zl_error *err);

/* Does the pull policy "if_not_present" act as "newer" for this reference: tag "latest", or no tag? */
bool zl_reference_is_mutable(const struct zl_reference *ref) _pure_;

/* The host to talk to: the registry itself, but registry-1.docker.io for docker.io. */
const char *zl_reference_host(const struct zl_reference *ref) _pure_;

/* Is the registry "HOST[:PORT]" on loopback (localhost, 127.0.0.0/8, [::1])? Plain HTTP is used there. */
bool zl_registry_is_loopback(const char *registry) _pure_;
