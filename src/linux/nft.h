/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nf_tables: one batch of changes to one table, carried out by the kernel as a whole or not at all. The words are those of nft(8),
 * the registers those of the kernel: 16 bytes each from NFT_REG_1 on, or 4 bytes each from NFT_REG32_00 on, where
 * NFT_REG_1 begins too. Values that are compared or looked up are in network order unless it says otherwise.
 *
 * A rule is zl_nft_rule(), its expressions in order, zl_nft_rule_end(). Errors stick to the batch.
 */
#pragma once

#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>

#include "linux/nl.h"

/* The kernel's own header of these does not go together with the C library's <netinet/in.h>. */
enum { ZL_NF_INET = 1, ZL_NF_IPV4 = 2, ZL_NF_IPV6 = 10 }; /* families */
enum { ZL_NF_PREROUTING, ZL_NF_INPUT, ZL_NF_FORWARD, ZL_NF_OUTPUT, ZL_NF_POSTROUTING }; /* hooks */
enum { ZL_NF_DROP, ZL_NF_ACCEPT }; /* verdicts */

struct zl_nft {
        struct zl_buf buf;
        const char *table;
        uint8_t family;
        size_t message, list; /* of the rule that is being built */
        uint32_t set_id;
};

void zl_nft_begin(struct zl_nft *nft, uint8_t family, const char *table);
void zl_nft_done(struct zl_nft *nft);
#define _cleanup_nft_ _cleanup_(zl_nft_done)
/* Sends the batch over a NETLINK_NETFILTER socket. The error names the table. */
int zl_nft_commit(struct zl_nft *nft, struct zl_nl *nl, struct zl_error *err);

/* ---- tables, chains, sets --------------------------------------------------------------------------- */

void zl_nft_add_table(struct zl_nft *nft);    /* there already: fine */
void zl_nft_delete_table(struct zl_nft *nft); /* not there: the batch fails */
/* A chain that others jump to; there already: fine. */
void zl_nft_add_chain(struct zl_nft *nft, const char *chain);
/* A chain that the kernel calls: `type` is "nat" or "filter", `hook` ZL_NF_…. */
void zl_nft_add_base_chain(struct zl_nft *nft, const char *chain, const char *type, int hook,
                           int priority);
void zl_nft_flush_chain(struct zl_nft *nft, const char *chain);
void zl_nft_delete_chain(struct zl_nft *nft, const char *chain);

/* A map of keys to chains in which their packets go on. `key_type` is nft's own number, for those who list the table. */
void zl_nft_add_map(struct zl_nft *nft, const char *map, uint32_t key_type, uint32_t key_len);
void zl_nft_add_element(struct zl_nft *nft, const char *map, const void *key, size_t len,
                        const char *chain);
void zl_nft_delete_element(struct zl_nft *nft, const char *map, const void *key, size_t len);

/* A counter with a name, which stays when rules that count with it are replaced. */
void zl_nft_add_counter(struct zl_nft *nft, const char *name);
void zl_nft_delete_counter(struct zl_nft *nft, const char *name);

/* A map of keys to counters with a name. */
void zl_nft_add_counter_map(struct zl_nft *nft, const char *map, uint32_t key_type,
                            uint32_t key_len);
void zl_nft_add_counter_element(struct zl_nft *nft, const char *map, const void *key, size_t len,
                                const char *counter);

enum { /* nft's numbers of types, six bits each where several are joined */
       ZL_NFT_TYPE_IPV4 = 7,
       ZL_NFT_TYPE_IPV6 = 8,
       ZL_NFT_TYPE_PROTO = 12,
       ZL_NFT_TYPE_SERVICE = 13,
       ZL_NFT_TYPE_CT_DIRECTION = 27,
       ZL_NFT_TYPE_IFNAME = 41,
};
#define ZL_NFT_JOIN(a, b) ((uint32_t)(a) << 6 | (b))

/* ---- rules -------------------------------------------------------------------------------------------- */

void zl_nft_rule(struct zl_nft *nft, const char *chain);
/* The same as the first rule of the chain, not the last. */
void zl_nft_rule_first(struct zl_nft *nft, const char *chain);
void zl_nft_rule_end(struct zl_nft *nft);
void zl_nft_delete_rule(struct zl_nft *nft, const char *chain, uint64_t handle);

void zl_nft_meta(struct zl_nft *nft, enum nft_meta_keys key, uint32_t reg);
void zl_nft_ct(struct zl_nft *nft, enum nft_ct_keys key, uint32_t reg);
/* Marks the connection for as long as it lasts; NFT_CT_LABELS reads it back. Uses register 1. */
enum { ZL_NFT_LABEL_SIZE = 16 };
void zl_nft_label(struct zl_nft *nft, const uint8_t label[ZL_NFT_LABEL_SIZE]);
void zl_nft_payload(struct zl_nft *nft, enum nft_payload_bases base, uint32_t offset, uint32_t len,
                    uint32_t reg);
void zl_nft_fib_type(struct zl_nft *nft,
                     uint32_t reg); /* kind of destination (RTN_…), host order */
void zl_nft_compare(struct zl_nft *nft, uint32_t reg, enum nft_cmp_ops op, const void *data,
                    size_t len);
void zl_nft_mask(struct zl_nft *nft, uint32_t reg, const void *mask, size_t len);
void zl_nft_lookup_verdict(struct zl_nft *nft, const char *set, uint32_t reg);
void zl_nft_counter(struct zl_nft *nft);
void zl_nft_named_counter(struct zl_nft *nft, const char *name);
/* Counts with the counter of the key that begins at `reg`; without one the rule ends. */
void zl_nft_counter_of(struct zl_nft *nft, const char *map, uint32_t reg);
void zl_nft_verdict(struct zl_nft *nft, int verdict); /* ZL_NF_ACCEPT, ZL_NF_DROP, NFT_RETURN */
void zl_nft_masquerade(struct zl_nft *nft);

/* One of `n` targets at random: address (4 or 16 bytes) and port, each `size` bytes with the port behind the address,
 * filled up to a multiple of four. The rule's last expression. Uses registers 1 to 2. */
void zl_nft_balance(struct zl_nft *nft, uint8_t family, const void *targets, size_t n);
/* Bytes of one target. */
static inline size_t zl_nft_target_size(uint8_t family)
{
        return family == ZL_NF_IPV4 ? 8 : 20;
}

/* ---- looking ------------------------------------------------------------------------------------------- */

/* A chain that the kernel calls, of anybody. */
struct zl_nft_base_chain {
        uint8_t family; /* ZL_NF_… */
        const char *table, *name;
        uint32_t hook;
        bool filters; /* its type is "filter" */
        bool drops;   /* what no rule decides */
};
/* Both stop when `each` returns non-zero, which is returned. -EINTR: the rules changed meanwhile. */
typedef int zl_nft_each_chain(const struct zl_nft_base_chain *chain, void *data);
int zl_nft_list_base_chains(struct zl_nl *nl, zl_nft_each_chain *each, void *data);
typedef int zl_nft_each_rule(uint64_t handle, const void *expressions, size_t len, void *data);
int zl_nft_list_rules(struct zl_nl *nl, const struct zl_nft_base_chain *chain,
                      zl_nft_each_rule *each, void *data);
struct zl_nft_count {
        uint64_t packets, bytes;
};
typedef int zl_nft_each_counter(const char *name, const struct zl_nft_count *count, void *data);
int zl_nft_list_counters(struct zl_nl *nl, uint8_t family, const char *table,
                         zl_nft_each_counter *each, void *data);
