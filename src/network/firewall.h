/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nf_tables table of ours: which container may talk to whom, masquerading, published ports and balanced addresses. Every change
 * is one batch: packets meet the old rules or the new ones. The table is a function of what it is told here; when
 * somebody else destroys it, zl_firewall_build() makes it anew.
 *
 * Blocks for as long as the kernel takes to commit. Not thread-safe.
 */
#pragma once

#include "linux/link.h"
#include "linux/nft.h"
#include "network/ip.h"

enum { ZL_FIREWALL_TARGETS_MAX = 1024 };

struct zl_firewall_network {
        const char *bridge;
        struct zl_net_addr four, six; /* subnets; family 0: none */
        /* The parts of them with balanced addresses, which nobody else reaches; family 0: none. */
        struct zl_net_addr services4, services6;
};

struct zl_firewall_target {
        struct zl_ip four, six; /* family 0: none */
        uint16_t port;          /* host order */
};

/* One place where connections arrive, and where they go on to: one of the targets at random. */
struct zl_firewall_front {
        struct zl_ip address; /* AF_UNSPEC: every address of the host */
        uint16_t port;
        bool udp; /* else TCP */
        const struct zl_firewall_target *targets;
        bool is_known;    /* the table has it already, and counts on */
        size_t n_targets; /* 0: nothing is forwarded; the host itself answers */
};

struct zl_firewall {
        struct zl_nl nl;
        char table[32];
        bool lacks_labels; /* the kernel does: connections are counted only */
};

int zl_firewall_open(const char *table, struct zl_firewall *ret, struct zl_error *err);
void zl_firewall_close(struct zl_firewall *fw); /* the table stays */

/* Makes an empty table, or finds the one that is there: a kernel or a right that is missing is noticed. */
int zl_firewall_probe(struct zl_firewall *fw, struct zl_error *err);
/* Replaces the whole table. */
int zl_firewall_build(struct zl_firewall *fw, const struct zl_firewall_network *networks,
                      size_t n_networks, const struct zl_firewall_front *fronts, size_t n_fronts,
                      struct zl_error *err);
/* The networks only. */
int zl_firewall_set_networks(struct zl_firewall *fw, const struct zl_firewall_network *networks,
                             size_t n, struct zl_error *err);
/* Adds fronts or gives them other targets; connections that are there keep theirs. */
int zl_firewall_set_fronts(struct zl_firewall *fw, const struct zl_firewall_front *fronts, size_t n,
                           struct zl_error *err);
/* What a front is called in the table. `what` is "to" for its chain and the counter of what began a connection there, "in" for the
 * counter of all that went to its targets, "out" for that of all that came back. */
enum { ZL_FIREWALL_NAME_MAX = 80 };
void zl_firewall_front_name(const struct zl_firewall_front *front, const char *what,
                            char ret[ZL_FIREWALL_NAME_MAX]);
/* Calls `each` with the counters of all fronts. 0, a negative errno, or what `each` returned. */
int zl_firewall_counts(struct zl_firewall *fw, zl_nft_each_counter *each, void *data);
int zl_firewall_remove_front(struct zl_firewall *fw, const struct zl_firewall_front *front,
                             struct zl_error *err);
/* A descriptor that becomes readable when rules change; zl_firewall_look() reads it empty and tells what others did. The caller
 * closes. */
enum zl_firewall_change {
        ZL_FIREWALL_DESTROYED = 1 << 0, /* our table is gone */
        ZL_FIREWALL_OTHERS = 1 << 1,    /* chains or rules of theirs are new or gone */
};
int zl_firewall_watch(struct zl_error *err);
unsigned zl_firewall_look(const struct zl_firewall *fw, int watch_fd);
/* Removes the table; missing is success. */
int zl_firewall_remove(struct zl_firewall *fw, struct zl_error *err);
