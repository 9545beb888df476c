/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nf_tables messages. Only what the tables of this project need, written as the kernel wants it: an expression is a name and
 * a nest of attributes, most of them 32-bit numbers in network order, so a helper that writes such pairs makes
 * each of them a line or two.
 *
 * An anonymous map belongs to the rule that uses it and dies with it, and so it has to stand in the batch before its rule;
 * that is why the message of a rule that balances is moved behind the map (zl_nft_balance()).
 */
#include "linux/nft.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <sys/socket.h>

enum { NLM_CREATE = NLM_F_CREATE, NLM_APPEND = NLM_F_CREATE | NLM_F_APPEND };

static size_t begin(struct zl_nft *nft, uint16_t type, uint16_t flags)
{
        const struct nfgenmsg head = { .nfgen_family = nft->family, .version = NFNETLINK_V0 };
        size_t at = zl_nl_begin(&nft->buf, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags,
                                &head, sizeof(head));

        /* NFTA_…_TABLE is 1 in all of them but the table's own, where the name is 1, too. */
        zl_nl_put_str(&nft->buf, 1, nft->table);
        return at;
}

static void mark_batch(struct zl_nft *nft, uint16_t type)
{
        const struct nfgenmsg head = { .version = NFNETLINK_V0,
                                       .res_id = htons(NFNL_SUBSYS_NFTABLES) };

        zl_nl_end(&nft->buf, zl_nl_begin(&nft->buf, type, 0, &head, sizeof(head)));
}

void zl_nft_begin(struct zl_nft *nft, uint8_t family, const char *table)
{
        *nft = (struct zl_nft){ .buf = ZL_NL_BUF, .table = table, .family = family };
        mark_batch(nft, NFNL_MSG_BATCH_BEGIN);
}

void zl_nft_done(struct zl_nft *nft)
{
        zl_buf_done(&nft->buf);
}

int zl_nft_commit(struct zl_nft *nft, struct zl_nl *nl, struct zl_error *err)
{
        int r;

        mark_batch(nft, NFNL_MSG_BATCH_END);
        r = zl_nl_transact(nl, &nft->buf, err);
        if (r < 0)
                zl_error_prefix(err, "nf_tables: table %s", nft->table);
        return r;
}

/* ---- tables, chains, sets --------------------------------------------------------------------------- */

void zl_nft_add_table(struct zl_nft *nft)
{
        zl_nl_end(&nft->buf, begin(nft, NFT_MSG_NEWTABLE, NLM_CREATE));
}

void zl_nft_delete_table(struct zl_nft *nft)
{
        zl_nl_end(&nft->buf, begin(nft, NFT_MSG_DELTABLE, 0));
}

void zl_nft_add_chain(struct zl_nft *nft, const char *chain)
{
        size_t at = begin(nft, NFT_MSG_NEWCHAIN, NLM_CREATE);

        zl_nl_put_str(&nft->buf, NFTA_CHAIN_NAME, chain);
        zl_nl_end(&nft->buf, at);
}

void zl_nft_add_base_chain(struct zl_nft *nft, const char *chain, const char *type, int hook,
                           int priority)
{
        size_t at = begin(nft, NFT_MSG_NEWCHAIN, NLM_CREATE), nest;

        zl_nl_put_str(&nft->buf, NFTA_CHAIN_NAME, chain);
        zl_nl_put_str(&nft->buf, NFTA_CHAIN_TYPE, type);
        nest = zl_nl_nest(&nft->buf, NFTA_CHAIN_HOOK);
        zl_nl_put_be32(&nft->buf, NFTA_HOOK_HOOKNUM, (uint32_t)hook);
        zl_nl_put_be32(&nft->buf, NFTA_HOOK_PRIORITY, (uint32_t)priority);
        zl_nl_nest_end(&nft->buf, nest);
        zl_nl_end(&nft->buf, at);
}

void zl_nft_flush_chain(struct zl_nft *nft, const char *chain)
{
        size_t at = begin(nft, NFT_MSG_DELRULE, 0);

        zl_nl_put_str(&nft->buf, NFTA_RULE_CHAIN, chain);
        zl_nl_end(&nft->buf, at);
}

void zl_nft_delete_chain(struct zl_nft *nft, const char *chain)
{
        size_t at = begin(nft, NFT_MSG_DELCHAIN, 0);

        zl_nl_put_str(&nft->buf, NFTA_CHAIN_NAME, chain);
        zl_nl_end(&nft->buf, at);
}

enum { DATA_VERDICT = 0xffffff00U };

void zl_nft_add_map(struct zl_nft *nft, const char *map, uint32_t key_type, uint32_t key_len)
{
        size_t at = begin(nft, NFT_MSG_NEWSET, NLM_CREATE);

        zl_nl_put_str(&nft->buf, NFTA_SET_NAME, map);
        zl_nl_put_be32(&nft->buf, NFTA_SET_FLAGS, NFT_SET_MAP);
        zl_nl_put_be32(&nft->buf, NFTA_SET_KEY_TYPE, key_type);
        zl_nl_put_be32(&nft->buf, NFTA_SET_KEY_LEN, key_len);
        zl_nl_put_be32(&nft->buf, NFTA_SET_DATA_TYPE, (uint32_t)DATA_VERDICT);
        zl_nl_put_be32(&nft->buf, NFTA_SET_DATA_LEN, 0);
        zl_nl_put_be32(&nft->buf, NFTA_SET_ID, ++nft->set_id);
        zl_nl_end(&nft->buf, at);
}

void zl_nft_add_counter_map(struct zl_nft *nft, const char *map, uint32_t key_type,
                            uint32_t key_len)
{
        size_t at = begin(nft, NFT_MSG_NEWSET, NLM_CREATE);

        zl_nl_put_str(&nft->buf, NFTA_SET_NAME, map);
        zl_nl_put_be32(&nft->buf, NFTA_SET_FLAGS, NFT_SET_OBJECT);
        zl_nl_put_be32(&nft->buf, NFTA_SET_KEY_TYPE, key_type);
        zl_nl_put_be32(&nft->buf, NFTA_SET_KEY_LEN, key_len);
        zl_nl_put_be32(&nft->buf, NFTA_SET_OBJ_TYPE, NFT_OBJECT_COUNTER);
        zl_nl_put_be32(&nft->buf, NFTA_SET_ID, ++nft->set_id);
        zl_nl_end(&nft->buf, at);
}

static void put_value(struct zl_buf *buf, uint16_t type, const void *data, size_t len)
{
        size_t nest = zl_nl_nest(buf, type);

        zl_nl_put(buf, NFTA_DATA_VALUE, data, len);
        zl_nl_nest_end(buf, nest);
}

static void put_verdict(struct zl_buf *buf, uint16_t type, int verdict, const char *chain)
{
        size_t nest = zl_nl_nest(buf, type), inner = zl_nl_nest(buf, NFTA_DATA_VERDICT);

        zl_nl_put_be32(buf, NFTA_VERDICT_CODE, (uint32_t)verdict);
        if (chain)
                zl_nl_put_str(buf, NFTA_VERDICT_CHAIN, chain);
        zl_nl_nest_end(buf, inner);
        zl_nl_nest_end(buf, nest);
}

struct element {
        size_t message, list, item;
};

static struct element begin_element(struct zl_nft *nft, uint16_t type, const char *set)
{
        struct element e = { .message = begin(nft, type,
                                              type == NFT_MSG_NEWSETELEM ? NLM_CREATE : 0) };

        zl_nl_put_str(&nft->buf, NFTA_SET_ELEM_LIST_SET, set);
        e.list = zl_nl_nest(&nft->buf, NFTA_SET_ELEM_LIST_ELEMENTS);
        e.item = zl_nl_nest(&nft->buf, NFTA_LIST_ELEM);
        return e;
}

static void end_element(struct zl_nft *nft, const struct element *e)
{
        zl_nl_nest_end(&nft->buf, e->item);
        zl_nl_nest_end(&nft->buf, e->list);
        zl_nl_end(&nft->buf, e->message);
}

void zl_nft_add_element(struct zl_nft *nft, const char *map, const void *key, size_t len,
                        const char *chain)
{
        const struct element e = begin_element(nft, NFT_MSG_NEWSETELEM, map);

        put_value(&nft->buf, NFTA_SET_ELEM_KEY, key, len);
        put_verdict(&nft->buf, NFTA_SET_ELEM_DATA, NFT_GOTO, chain);
        end_element(nft, &e);
}

void zl_nft_add_counter_element(struct zl_nft *nft, const char *map, const void *key, size_t len,
                                const char *counter)
{
        const struct element e = begin_element(nft, NFT_MSG_NEWSETELEM, map);

        put_value(&nft->buf, NFTA_SET_ELEM_KEY, key, len);
        zl_nl_put_str(&nft->buf, NFTA_SET_ELEM_OBJREF, counter);
        end_element(nft, &e);
}

void zl_nft_delete_element(struct zl_nft *nft, const char *map, const void *key, size_t len)
{
        const struct element e = begin_element(nft, NFT_MSG_DELSETELEM, map);

        put_value(&nft->buf, NFTA_SET_ELEM_KEY, key, len);
        end_element(nft, &e);
}

static size_t begin_counter(struct zl_nft *nft, uint16_t type, uint16_t flags, const char *name)
{
        size_t at = begin(nft, type, flags);

        zl_nl_put_str(&nft->buf, NFTA_OBJ_NAME, name);
        zl_nl_put_be32(&nft->buf, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
        return at;
}

void zl_nft_add_counter(struct zl_nft *nft, const char *name)
{
        size_t at = begin_counter(nft, NFT_MSG_NEWOBJ, NLM_CREATE, name);

        zl_nl_nest_end(&nft->buf, zl_nl_nest(&nft->buf, NFTA_OBJ_DATA));
        zl_nl_end(&nft->buf, at);
}

void zl_nft_delete_counter(struct zl_nft *nft, const char *name)
{
        zl_nl_end(&nft->buf, begin_counter(nft, NFT_MSG_DELOBJ, 0, name));
}

/* ---- rules -------------------------------------------------------------------------------------------- */

static void begin_rule(struct zl_nft *nft, const char *chain, uint16_t flags)
{
        nft->message = begin(nft, NFT_MSG_NEWRULE, flags);
        zl_nl_put_str(&nft->buf, NFTA_RULE_CHAIN, chain);
        nft->list = zl_nl_nest(&nft->buf, NFTA_RULE_EXPRESSIONS);
}

void zl_nft_rule(struct zl_nft *nft, const char *chain)
{
        begin_rule(nft, chain, NLM_APPEND);
}

void zl_nft_rule_first(struct zl_nft *nft, const char *chain)
{
        begin_rule(nft, chain, NLM_CREATE);
}

void zl_nft_delete_rule(struct zl_nft *nft, const char *chain, uint64_t handle)
{
        const uint64_t number = htobe64(handle);
        size_t at = begin(nft, NFT_MSG_DELRULE, 0);

        zl_nl_put_str(&nft->buf, NFTA_RULE_CHAIN, chain);
        zl_nl_put(&nft->buf, NFTA_RULE_HANDLE, &number, sizeof(number));
        zl_nl_end(&nft->buf, at);
}

void zl_nft_rule_end(struct zl_nft *nft)
{
        zl_nl_nest_end(&nft->buf, nft->list);
        zl_nl_end(&nft->buf, nft->message);
}

struct expression {
        size_t item, data;
};

static struct expression expression(struct zl_nft *nft, const char *name)
{
        struct expression e = { .item = zl_nl_nest(&nft->buf, NFTA_LIST_ELEM) };

        zl_nl_put_str(&nft->buf, NFTA_EXPR_NAME, name);
        e.data = zl_nl_nest(&nft->buf, NFTA_EXPR_DATA);
        return e;
}

static void expression_end(struct zl_nft *nft, struct expression e)
{
        zl_nl_nest_end(&nft->buf, e.data);
        zl_nl_nest_end(&nft->buf, e.item);
}

struct number {
        uint16_t type;
        uint32_t value;
};

/* An expression that is nothing but numbers. */
static void simple(struct zl_nft *nft, const char *name, const struct number *numbers, size_t n)
{
        struct expression e = expression(nft, name);

        for (size_t i = 0; i < n; i++)
                zl_nl_put_be32(&nft->buf, numbers[i].type, numbers[i].value);
        expression_end(nft, e);
}

#define SIMPLE(nft, name, ...)                                                                     \
        simple(nft, name, (const struct number[]){ __VA_ARGS__ },                                  \
               ZL_ARRAY_SIZE(((const struct number[]){ __VA_ARGS__ })))

void zl_nft_meta(struct zl_nft *nft, enum nft_meta_keys key, uint32_t reg)
{
        SIMPLE(nft, "meta", { NFTA_META_KEY, key }, { NFTA_META_DREG, reg });
}

void zl_nft_ct(struct zl_nft *nft, enum nft_ct_keys key, uint32_t reg)
{
        SIMPLE(nft, "ct", { NFTA_CT_KEY, key }, { NFTA_CT_DREG, reg });
}

void zl_nft_label(struct zl_nft *nft, const uint8_t label[ZL_NFT_LABEL_SIZE])
{
        struct expression e = expression(nft, "immediate");

        zl_nl_put_be32(&nft->buf, NFTA_IMMEDIATE_DREG, NFT_REG_1);
        put_value(&nft->buf, NFTA_IMMEDIATE_DATA, label, ZL_NFT_LABEL_SIZE);
        expression_end(nft, e);
        SIMPLE(nft, "ct", { NFTA_CT_KEY, NFT_CT_LABELS }, { NFTA_CT_SREG, NFT_REG_1 });
}

void zl_nft_payload(struct zl_nft *nft, enum nft_payload_bases base, uint32_t offset, uint32_t len,
                    uint32_t reg)
{
        SIMPLE(nft, "payload", { NFTA_PAYLOAD_DREG, reg }, { NFTA_PAYLOAD_BASE, base },
               { NFTA_PAYLOAD_OFFSET, offset }, { NFTA_PAYLOAD_LEN, len });
}

void zl_nft_fib_type(struct zl_nft *nft, uint32_t reg)
{
        SIMPLE(nft, "fib", { NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR },
               { NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE }, { NFTA_FIB_DREG, reg });
}

void zl_nft_compare(struct zl_nft *nft, uint32_t reg, enum nft_cmp_ops op, const void *data,
                    size_t len)
{
        struct expression e = expression(nft, "cmp");

        zl_nl_put_be32(&nft->buf, NFTA_CMP_SREG, reg);
        zl_nl_put_be32(&nft->buf, NFTA_CMP_OP, op);
        put_value(&nft->buf, NFTA_CMP_DATA, data, len);
        expression_end(nft, e);
}

void zl_nft_mask(struct zl_nft *nft, uint32_t reg, const void *mask, size_t len)
{
        static const uint8_t zeros[16];
        struct expression e = expression(nft, "bitwise");

        zl_nl_put_be32(&nft->buf, NFTA_BITWISE_SREG, reg);
        zl_nl_put_be32(&nft->buf, NFTA_BITWISE_DREG, reg);
        zl_nl_put_be32(&nft->buf, NFTA_BITWISE_LEN, (uint32_t)len);
        put_value(&nft->buf, NFTA_BITWISE_MASK, mask, len);
        put_value(&nft->buf, NFTA_BITWISE_XOR, zeros, len);
        expression_end(nft, e);
}

static void lookup(struct zl_nft *nft, const char *set, const struct number *numbers, size_t n)
{
        struct expression e = expression(nft, "lookup");

        zl_nl_put_str(&nft->buf, NFTA_LOOKUP_SET, set);
        for (size_t i = 0; i < n; i++)
                zl_nl_put_be32(&nft->buf, numbers[i].type, numbers[i].value);
        expression_end(nft, e);
}

void zl_nft_lookup_verdict(struct zl_nft *nft, const char *set, uint32_t reg)
{
        const struct number numbers[] = { { NFTA_LOOKUP_SREG, reg },
                                          { NFTA_LOOKUP_DREG, NFT_REG_VERDICT } };

        lookup(nft, set, numbers, 2);
}

void zl_nft_counter(struct zl_nft *nft)
{
        expression_end(nft, expression(nft, "counter"));
}

void zl_nft_named_counter(struct zl_nft *nft, const char *name)
{
        struct expression e = expression(nft, "objref");

        zl_nl_put_be32(&nft->buf, NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
        zl_nl_put_str(&nft->buf, NFTA_OBJREF_IMM_NAME, name);
        expression_end(nft, e);
}

void zl_nft_counter_of(struct zl_nft *nft, const char *map, uint32_t reg)
{
        struct expression e = expression(nft, "objref");

        zl_nl_put_be32(&nft->buf, NFTA_OBJREF_SET_SREG, reg);
        zl_nl_put_str(&nft->buf, NFTA_OBJREF_SET_NAME, map);
        expression_end(nft, e);
}

void zl_nft_verdict(struct zl_nft *nft, int verdict)
{
        struct expression e = expression(nft, "immediate");

        zl_nl_put_be32(&nft->buf, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
        put_verdict(&nft->buf, NFTA_IMMEDIATE_DATA, verdict, NULL);
        expression_end(nft, e);
}

void zl_nft_masquerade(struct zl_nft *nft)
{
        expression_end(nft, expression(nft, "masq"));
}

/* ---- balancing ---------------------------------------------------------------------------------------- */

enum { ELEMENTS_PER_MESSAGE = 512, TYPE_INTEGER = 4 };

static void add_slots(struct zl_nft *nft, uint32_t id, const char *targets, size_t size, size_t n)
{
        for (size_t i = 0; i < n;) {
                size_t at = begin(nft, NFT_MSG_NEWSETELEM, NLM_CREATE), list, item;

                zl_nl_put_str(&nft->buf, NFTA_SET_ELEM_LIST_SET, "__map%d");
                zl_nl_put_be32(&nft->buf, NFTA_SET_ELEM_LIST_SET_ID, id);
                list = zl_nl_nest(&nft->buf, NFTA_SET_ELEM_LIST_ELEMENTS);
                for (size_t end = ZL_MIN(n, i + ELEMENTS_PER_MESSAGE); i < end; i++) {
                        uint32_t slot = (uint32_t)i; /* as numgen gives it: host order */

                        item = zl_nl_nest(&nft->buf, NFTA_LIST_ELEM);
                        put_value(&nft->buf, NFTA_SET_ELEM_KEY, &slot, sizeof(slot));
                        put_value(&nft->buf, NFTA_SET_ELEM_DATA, targets + i * size, size);
                        zl_nl_nest_end(&nft->buf, item);
                }
                zl_nl_nest_end(&nft->buf, list);
                zl_nl_end(&nft->buf, at);
        }
}

static uint32_t add_map(struct zl_nft *nft, uint8_t family, const void *targets, size_t n)
{
        uint32_t type = family == ZL_NF_IPV4 ? ZL_NFT_TYPE_IPV4 : ZL_NFT_TYPE_IPV6;
        uint32_t size = (uint32_t)zl_nft_target_size(family), id = ++nft->set_id;
        size_t at = begin(nft, NFT_MSG_NEWSET, NLM_CREATE), nest;
        /* For those who list the table: a key in host order (as numgen gives it), data in network order. */
        const struct {
                uint8_t type, len;
                uint32_t value;
        } __attribute__((packed)) orders[] = { { 0, 4, 1 }, { 1, 4, 0 } };

        zl_nl_put(&nft->buf, NFTA_SET_USERDATA, orders, sizeof(orders));
        zl_nl_put_str(&nft->buf, NFTA_SET_NAME, "__map%d");
        zl_nl_put_be32(&nft->buf, NFTA_SET_FLAGS,
                       NFT_SET_ANONYMOUS | NFT_SET_CONSTANT | NFT_SET_MAP);
        zl_nl_put_be32(&nft->buf, NFTA_SET_KEY_TYPE, TYPE_INTEGER);
        zl_nl_put_be32(&nft->buf, NFTA_SET_KEY_LEN, sizeof(uint32_t));
        zl_nl_put_be32(&nft->buf, NFTA_SET_DATA_TYPE, ZL_NFT_JOIN(type, ZL_NFT_TYPE_SERVICE));
        zl_nl_put_be32(&nft->buf, NFTA_SET_DATA_LEN, size);
        zl_nl_put_be32(&nft->buf, NFTA_SET_ID, id);
        nest = zl_nl_nest(&nft->buf, NFTA_SET_DESC);
        zl_nl_put_be32(&nft->buf, NFTA_SET_DESC_SIZE, (uint32_t)n);
        zl_nl_nest_end(&nft->buf, nest);
        zl_nl_end(&nft->buf, at);
        add_slots(nft, id, targets, size, n);
        return id;
}

void zl_nft_balance(struct zl_nft *nft, uint8_t family, const void *targets, size_t n)
{
        size_t from = nft->message, len = nft->buf.len - from, size = zl_nft_target_size(family);
        _cleanup_free_ char *rule = malloc(len + 1);
        uint32_t port_reg = NFT_REG32_00 + (uint32_t)(size - 4) / 4, id;

        if (!rule || zl_buf_error(&nft->buf)) {
                nft->buf.error = nft->buf.error ? nft->buf.error : -ENOMEM;
                return;
        }
        memcpy(rule, nft->buf.data + from, len);
        nft->buf.len = from;
        id = add_map(nft, family, targets, n);
        nft->list = nft->list - from + nft->buf.len;
        nft->message = nft->buf.len;
        zl_buf_put(&nft->buf, rule, len);
        SIMPLE(nft, "numgen", { NFTA_NG_DREG, NFT_REG_1 }, { NFTA_NG_MODULUS, (uint32_t)n },
               { NFTA_NG_TYPE, NFT_NG_RANDOM }, { NFTA_NG_OFFSET, 0 });
        lookup(nft, "__map%d",
               (const struct number[]){ { NFTA_LOOKUP_SREG, NFT_REG_1 },
                                        { NFTA_LOOKUP_DREG, NFT_REG_1 },
                                        { NFTA_LOOKUP_SET_ID, id } },
               3);
        SIMPLE(nft, "nat", { NFTA_NAT_TYPE, NFT_NAT_DNAT }, { NFTA_NAT_FAMILY, family },
               { NFTA_NAT_REG_ADDR_MIN, NFT_REG_1 }, { NFTA_NAT_REG_PROTO_MIN, port_reg });
}
