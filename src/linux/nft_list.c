/* SPDX-License-Identifier: Apache-2.0 */
/* Reading back: which chains the kernel calls, of anybody, what stands in one of them, and what named counters have counted. */
#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "base/macro.h"
#include "linux/nft.h"

static uint32_t number_in(const void *attrs, size_t len, uint16_t type, uint32_t otherwise)
{
        const void *p = zl_nl_find_in(attrs, len, type, sizeof(uint32_t), NULL);
        uint32_t v;

        if (!p)
                return otherwise;
        memcpy(&v, p, sizeof(v));
        return ntohl(v);
}

static uint64_t big_number_in(const void *attrs, size_t len, uint16_t type)
{
        const void *p = zl_nl_find_in(attrs, len, type, sizeof(uint64_t), NULL);
        uint64_t v = 0;

        if (p)
                memcpy(&v, p, sizeof(v));
        return be64toh(v);
}

/* NULL if it is missing or does not end. */
static const char *text_of(const struct nlmsghdr *m, uint16_t type)
{
        size_t len = 0;
        const char *s = zl_nl_find(m, sizeof(struct nfgenmsg), type, 1, &len);

        return s && s[len - 1] == 0 ? s : NULL;
}

static uint8_t family_of(const struct nlmsghdr *m)
{
        struct nfgenmsg head;

        memcpy(&head, NLMSG_DATA(m), sizeof(head));
        return head.nfgen_family;
}

struct chains {
        zl_nft_each_chain *each;
        void *data;
};

static int take_chain(const struct nlmsghdr *m, void *data)
{
        const struct chains *c = data;
        size_t len = 0;
        const void *hook = zl_nl_find(m, sizeof(struct nfgenmsg), NFTA_CHAIN_HOOK, 1, &len);
        const void *policy = zl_nl_find(m, sizeof(struct nfgenmsg), NFTA_CHAIN_POLICY,
                                        sizeof(uint32_t), NULL);
        const char *type = text_of(m, NFTA_CHAIN_TYPE);
        uint32_t verdict = htonl(ZL_NF_ACCEPT);
        struct zl_nft_base_chain chain = { .family = family_of(m),
                                           .table = text_of(m, NFTA_CHAIN_TABLE),
                                           .name = text_of(m, NFTA_CHAIN_NAME),
                                           .filters = type && strcmp(type, "filter") == 0 };

        if (!hook || !chain.table || !chain.name)
                return 0;
        chain.hook = number_in(hook, len, NFTA_HOOK_HOOKNUM, UINT32_MAX);
        if (policy)
                memcpy(&verdict, policy, sizeof(verdict));
        chain.drops = ntohl(verdict) == ZL_NF_DROP;
        return c->each(&chain, c->data);
}

static size_t begin_dump(struct zl_buf *buf, uint16_t type, uint8_t family)
{
        const struct nfgenmsg head = { .nfgen_family = family, .version = NFNETLINK_V0 };

        return zl_nl_begin(buf, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), NLM_F_DUMP, &head,
                           sizeof(head));
}

int zl_nft_list_base_chains(struct zl_nl *nl, zl_nft_each_chain *each, void *data)
{
        _cleanup_buf_ struct zl_buf buf = ZL_NL_BUF;
        struct chains chains = { each, data };

        zl_nl_end(&buf, begin_dump(&buf, NFT_MSG_GETCHAIN, 0));
        return zl_nl_dump(nl, &buf, take_chain, &chains);
}

struct rules {
        const struct zl_nft_base_chain *chain;
        zl_nft_each_rule *each;
        void *data;
};

static int take_rule(const struct nlmsghdr *m, void *data)
{
        const struct rules *r = data;
        const char *table = text_of(m, NFTA_RULE_TABLE), *chain = text_of(m, NFTA_RULE_CHAIN);
        const void *handle = zl_nl_find(m, sizeof(struct nfgenmsg), NFTA_RULE_HANDLE,
                                        sizeof(uint64_t), NULL);
        size_t len = 0;
        const void *list = zl_nl_find(m, sizeof(struct nfgenmsg), NFTA_RULE_EXPRESSIONS, 0, &len);
        uint64_t number;

        /* An older kernel tells all rules, whatever was asked for. */
        if (!table || !chain || !handle || !list || strcmp(table, r->chain->table) != 0 ||
            strcmp(chain, r->chain->name) != 0)
                return 0;
        memcpy(&number, handle, sizeof(number));
        return r->each(be64toh(number), list, len, r->data);
}

int zl_nft_list_rules(struct zl_nl *nl, const struct zl_nft_base_chain *chain,
                      zl_nft_each_rule *each, void *data)
{
        _cleanup_buf_ struct zl_buf buf = ZL_NL_BUF;
        struct rules rules = { chain, each, data };
        size_t at = begin_dump(&buf, NFT_MSG_GETRULE, chain->family);

        zl_nl_put_str(&buf, NFTA_RULE_TABLE, chain->table);
        zl_nl_put_str(&buf, NFTA_RULE_CHAIN, chain->name);
        zl_nl_end(&buf, at);
        return zl_nl_dump(nl, &buf, take_rule, &rules);
}

struct counters {
        const char *table;
        zl_nft_each_counter *each;
        void *data;
};

static int take_counter(const struct nlmsghdr *m, void *data)
{
        const struct counters *c = data;
        const char *table = text_of(m, NFTA_OBJ_TABLE), *name = text_of(m, NFTA_OBJ_NAME);
        size_t len = 0;
        const void *counts = zl_nl_find(m, sizeof(struct nfgenmsg), NFTA_OBJ_DATA, 1, &len);
        struct zl_nft_count count = { 0 };

        if (!table || !name || !counts || strcmp(table, c->table) != 0)
                return 0;
        count.packets = big_number_in(counts, len, NFTA_COUNTER_PACKETS);
        count.bytes = big_number_in(counts, len, NFTA_COUNTER_BYTES);
        return c->each(name, &count, c->data);
}

int zl_nft_list_counters(struct zl_nl *nl, uint8_t family, const char *table,
                         zl_nft_each_counter *each, void *data)
{
        _cleanup_buf_ struct zl_buf buf = ZL_NL_BUF;
        struct counters counters = { table, each, data };
        size_t at = begin_dump(&buf, NFT_MSG_GETOBJ, family);

        zl_nl_put_str(&buf, NFTA_OBJ_TABLE, table);
        zl_nl_put_be32(&buf, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
        zl_nl_end(&buf, at);
        return zl_nl_dump(nl, &buf, take_counter, &counters);
}
