/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of things to look at over HTTP. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct zl_url {
        char *host; /* NULL: this machine, or the workload itself ("localhost", 127.0.0.1, ::1) */
        char *path; /* what to ask for, begins with "/" */
        char *authority; /* HOST[:PORT] as written, for the Host header */
        uint16_t port;
        bool tls;
};

/* Reads "http://HOST[:PORT][/PATH]", or the same with https. `what` names the field in errors. Release with zl_url_done(). */
int zl_url_parse(const char *what, const char *text, struct zl_url *ret, struct zl_error *err);
void zl_url_done(struct zl_url *url);
