/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages (RFC 1035, 6891): a strict reader of queries and of answers, a writer of answers. Pure functions of bytes:
 * nothing blocks or allocates; safe from any thread.
 *
 * Names are texts in lower case without a dot at the end ("" is the root). A byte of a label that is no printable ASCII character, a
 * dot or a backslash is written "\DDD", so two different names never have the same text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network/ip.h"

enum {
        ZL_DNS_HEADER = 12,
        ZL_DNS_NAME_MAX = 255,                     /* bytes of a name in a message */
        ZL_DNS_TEXT_MAX = 4 * ZL_DNS_NAME_MAX + 1, /* its longest text with the NUL */
        ZL_DNS_UDP_MIN = 512,                      /* what every client takes */
        ZL_DNS_UDP_OWN = 1232,                     /* what we take and send: never a fragment */
        ZL_DNS_MESSAGE_MAX = 65535,
};

enum zl_dns_type {
        ZL_DNS_A = 1,
        ZL_DNS_SOA = 6,
        ZL_DNS_PTR = 12,
        ZL_DNS_AAAA = 28,
        ZL_DNS_OPT = 41,
        ZL_DNS_IXFR = 251,
        ZL_DNS_AXFR = 252,
        ZL_DNS_ANY = 255,
};

enum { ZL_DNS_CLASS_IN = 1, ZL_DNS_CLASS_ANY = 255 };

enum zl_dns_rcode {
        ZL_DNS_NOERROR = 0,
        ZL_DNS_FORMERR = 1,
        ZL_DNS_SERVFAIL = 2,
        ZL_DNS_NXDOMAIN = 3,
        ZL_DNS_NOTIMP = 4,
        ZL_DNS_REFUSED = 5,
        ZL_DNS_BADVERS = 16,
};

struct zl_dns_query {
        uint16_t id;
        uint16_t flags; /* as received */
        uint16_t type, class;
        size_t question_end; /* offset behind the question */
        bool edns;
        bool dnssec_ok;
        uint8_t edns_version;
        uint16_t udp_size; /* what the client takes over UDP, 512 at least */
        char name[ZL_DNS_TEXT_MAX];
};

enum zl_dns_verdict {
        ZL_DNS_GOOD,
        ZL_DNS_BAD,    /* answer with `*ret_rcode` */
        ZL_DNS_IGNORE, /* no query at all (too short, or an answer): a reply could start a ping-pong */
};

/* Reads a query as a server sees it. With ZL_DNS_BAD `ret` has id and flags, and the question if question_end is not 0. */
enum zl_dns_verdict zl_dns_read_query(const void *data, size_t len, struct zl_dns_query *ret,
                                      unsigned *ret_rcode);

/* What a forwarder has to know of an answer. 0, or -EBADMSG for what is no well-formed answer. */
struct zl_dns_reply {
        uint16_t id;
        unsigned rcode; /* without the upper bits of EDNS */
        bool truncated;
        size_t question_end;
};
int zl_dns_read_reply(const void *data, size_t len, struct zl_dns_reply *ret);
/* Is the question of both messages the same (names without regard to case)? Both have been read successfully. */
bool zl_dns_same_question(const void *a, size_t a_end, const void *b, size_t b_end);

/* The address that a name of in-addr.arpa or ip6.arpa stands for; -EINVAL if it is not such a complete name. */
int zl_dns_reverse_address(const char *name, struct zl_ip *ret);

/* The domain itself or a name below it. */
bool zl_dns_name_is_below(const char *name, const char *domain);

/*
 * An answer being written. It never exceeds `max`: a record that does not fit sets the TC bit and is left out.
 */
struct zl_dns_writer {
        uint8_t *data;
        size_t len, max;
        unsigned counts[3]; /* answers, authorities, additional ones */
        bool truncated, edns, dnssec_ok;
        bool authoritative; /* false at first; set it for an answer of our own */
};

/* Begins the answer to a query: head, and question if there is one. `max` is the room in `data`, ZL_DNS_UDP_MIN at least. */
void zl_dns_write_begin(struct zl_dns_writer *w, void *data, size_t max, const void *query_data,
                        const struct zl_dns_query *query);
/* Records of the question's name. A and AAAA by the family of the address. */
bool zl_dns_write_address(struct zl_dns_writer *w, const struct zl_ip *address, uint32_t ttl);
bool zl_dns_write_ptr(struct zl_dns_writer *w, const char *target, uint32_t ttl);
/* SOA of a negative answer (RFC 2308): how long, in seconds, it may be kept. `zone` NULL: the question's name itself. */
bool zl_dns_write_soa(struct zl_dns_writer *w, const char *zone, uint32_t ttl);
/* Ends it with OPT if the query had one. The length of the answer. */
size_t zl_dns_write_end(struct zl_dns_writer *w, unsigned rcode);
