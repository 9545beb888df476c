/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP exchange after another over libcurl, with the limits and time-outs that a registry client needs. A handle belongs
 * to one thread and keeps its connections open.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/macro.h"

struct zl_http;

/* Tells whether the work shall stop; called often. */
typedef bool (*zl_http_stop)(void *ctx);

int zl_http_new(zl_http_stop stop, void *ctx, struct zl_http **ret, struct zl_error *err);
void zl_http_free(struct zl_http *http);
ZL_DEFINE_CLEANUP(struct zl_http *, zl_http_freep, zl_http_free)

/* From here on all exchanges and waits together end by then (monotonic; 0: whenever they do), with ZL_E_TIMEOUT: for a question
 * whose answer is not worth more. Otherwise a peer that is silent is given up after a minute, four times. */
void zl_http_set_deadline(struct zl_http *http, int64_t deadline);

typedef int (*zl_http_sink)(void *ctx, const void *data, size_t len, struct zl_error *err);

struct zl_http_request {
        const char *url;
        const char *authorization; /* value of the header, or NULL; not sent on to other hosts */
        char *const *accept;       /* media types, or NULL */
        bool head;
        bool loopback;   /* no proxy */
        uint64_t offset; /* ask for the content from here on */
        size_t body_max; /* without a sink: -> ZL_E_PROTOCOL if the body is larger */
        zl_http_sink
                sink; /* takes the content of a 200 or 206; NULL: it is gathered in response.body */
        void *sink_ctx;
};

struct zl_http_response {
        long status;
        char *content_type, *content_digest, *retry_after, *link;
        char **www_authenticate;
        uint64_t range_start; /* of a 206 */
        struct zl_buf body;   /* also of every answer that is not a success, up to 64 KiB */
        bool transient;       /* if the exchange failed: trying again may help */
};
void zl_http_response_done(struct zl_http_response *response);
#define _cleanup_http_response_ _cleanup_(zl_http_response_done)

/* 0 if an answer came, whatever its status. Otherwise the exchange broke (ZL_E_NETWORK, ZL_E_TIMEOUT, ZL_E_CANCELLED), or the
 * sink's error. `ret` must be zeroed and is to be released in every case. */
int zl_http_do(struct zl_http *http, const struct zl_http_request *request,
               struct zl_http_response *ret, struct zl_error *err);

/* Is a status worth another try (408, 429, 5xx)? */
bool zl_http_status_is_transient(long status);

/* Waits before try number `attempt` (from 1): 0.25 s doubling up to 8 s with jitter, or what Retry-After said (30 s at most).
 * False if the work shall stop, or the deadline is nearer. */
bool zl_http_wait(struct zl_http *http, int attempt, const char *retry_after);

/* The text as a part of a URL: all but letters, digits and "-._~" of ASCII as %XX. The caller frees it; NULL without memory. */
char *zl_http_escape(const char *text);
