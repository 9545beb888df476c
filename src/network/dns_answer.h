/* SPDX-License-Identifier: Apache-2.0 */
/* What the name service itself has to say to a question, and which questions it passes on. Does not block or allocate. */
#pragma once

#include "network/dns_message.h"
#include "network/names.h"

/* Who asks where. */
struct zl_dns_scope {
        const char *network;
        struct zl_ip address; /* of the listener */
        unsigned prefix_bits; /* 0: none */
};

/* Adds the records of the answer to `w` and gives the result code for zl_dns_write_end(). false: the name is not ours; nothing
 * was written. */
bool zl_dns_answer(struct zl_names *names, const struct zl_dns_scope *scope,
                   const struct zl_dns_query *query, struct zl_dns_writer *w, unsigned *ret_rcode);
