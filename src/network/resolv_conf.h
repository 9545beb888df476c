/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolv.conf, read as resolv.conf(5) says: the host's, to know where to forward to. A pure function of the text.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "network/ip.h"

enum { ZL_RESOLVERS_MAX = 8 };

struct zl_resolver {
        struct zl_ip address;
        uint32_t scope; /* interface index of an IPv6 link-local address, else 0 */
        uint16_t port;  /* host order; 53 in a resolv.conf */
};

struct zl_resolv_conf {
        struct zl_resolver resolvers[ZL_RESOLVERS_MAX]; /* more are left out */
        size_t n_resolvers;
        char **search;     /* from `search` or `domain`, whichever comes last; NULL: none */
        unsigned ndots;    /* 1 unless set; 0 to 15 */
        unsigned timeout;  /* seconds; 2 unless set: who asks us gives up after 5; 1 to 30 */
        unsigned attempts; /* 2 unless set; 1 to 5 */
};

#define ZL_RESOLV_CONF_INIT                                                                        \
        {                                                                                          \
                .ndots = 1, .timeout = 2, .attempts = 2                                            \
        }

/* Lines and options that are not understood are skipped, as every resolver does. 0 or -ENOMEM; fill `ret` with
 * ZL_RESOLV_CONF_INIT before. A text without any resolver gives none: nothing is put in their place. */
int zl_resolv_conf_parse(const char *text, struct zl_resolv_conf *ret);
/* The words behind a keyword at the beginning of a line; NULL: the line says something else. */
const char *zl_resolv_conf_words(const char *line, const char *keyword);
void zl_resolv_conf_done(struct zl_resolv_conf *conf);
#define _cleanup_resolv_conf_ _cleanup_(zl_resolv_conf_done)
