/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet has to pass every chain at its hook: what ours accepts, another may drop. Two kinds of others are known to drop what is
 * forwarded without meaning us: the filter table of iptables whose policy is DROP, which Docker and ufw set, and firewalld. They get
 * rules that accept what comes from and goes to our bridges, and the questions to our name service. In iptables' chains the
 * rules stand last, in front of the policy, so whatever the owner says is said before; they have the form that iptables itself
 * writes, and are listed by it. firewalld's chains end with a refusal, and so ours stand first there.
 *
 * Anybody else's chain with such a policy may mean it, and is only told in the log. What may go wrong: iptables of the old kind
 * (legacy), which nf_tables does not show; firewalld that owns its table exclusively. Both are in docs/network.md.
 */
#include "network/passage.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/log.h"
#include "base/macro.h"
#include "linux/nft.h"

enum { DNS_PORT = 53, PORT_OFFSET = 2, RULES_MAX = 8 };

static const struct place {
        uint8_t family;
        const char *table, *chain;
        uint32_t hook;
        bool first; /* our rules stand first, and whatever the policy says */
} places[] = {
        { ZL_NF_IPV4, "filter", "FORWARD", ZL_NF_FORWARD, false },
        { ZL_NF_IPV6, "filter", "FORWARD", ZL_NF_FORWARD, false },
        { ZL_NF_IPV4, "filter", "INPUT", ZL_NF_INPUT, false },
        { ZL_NF_IPV6, "filter", "INPUT", ZL_NF_INPUT, false },
        { ZL_NF_INET, "firewalld", "filter_FORWARD", ZL_NF_FORWARD, true },
        { ZL_NF_INET, "firewalld", "filter_INPUT", ZL_NF_INPUT, true },
};

struct look {
        const char *own_table;
        bool tell;
        bool is_there[ZL_ARRAY_SIZE(places)], drops[ZL_ARRAY_SIZE(places)];
};

static int look_at(const struct zl_nft_base_chain *c, void *data)
{
        struct look *look = data;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(places); i++) {
                const struct place *p = &places[i];

                if (c->family != p->family || c->hook != p->hook || !c->filters ||
                    strcmp(c->table, p->table) != 0 || strcmp(c->name, p->chain) != 0)
                        continue;
                look->is_there[i] = true;
                look->drops[i] = c->drops;
                return 0;
        }
        if (look->tell && c->drops && c->hook == ZL_NF_FORWARD &&
            strcmp(c->table, look->own_table) != 0)
                zl_warn("the chain %s of the table %s drops what is forwarded: containers reach "
                        "nobody beyond this host, and nobody reaches them, unless it accepts our "
                        "bridges",
                        c->name, c->table);
        return 0;
}

/* ---- rules ------------------------------------------------------------------------------------------ */

struct ours {
        const char *prefix;
        uint64_t handles[RULES_MAX];
        size_t n;
};

/* Whatever names our bridges. */
static int find_ours(uint64_t handle, const void *expressions, size_t len, void *data)
{
        struct ours *ours = data;

        if (ours->n < RULES_MAX && memmem(expressions, len, ours->prefix, strlen(ours->prefix)))
                ours->handles[ours->n++] = handle;
        return 0;
}

static int list_ours(struct zl_nl *nl, const struct place *p, struct ours *ours)
{
        const struct zl_nft_base_chain chain = { .family = p->family,
                                                 .table = p->table,
                                                 .name = p->chain };
        int r;

        do {
                ours->n = 0;
                r = zl_nft_list_rules(nl, &chain, find_ours, ours);
        } while (r == -EINTR);
        return r;
}

static void begin_accept(struct zl_nft *nft, const struct place *p, enum nft_meta_keys key,
                         const char *prefix)
{
        if (p->first)
                zl_nft_rule_first(nft, p->chain);
        else
                zl_nft_rule(nft, p->chain);
        zl_nft_meta(nft, key, NFT_REG_1);
        zl_nft_compare(nft, NFT_REG_1, NFT_CMP_EQ, prefix, strlen(prefix));
}

static void end_accept(struct zl_nft *nft)
{
        zl_nft_counter(nft);
        zl_nft_verdict(nft, ZL_NF_ACCEPT);
        zl_nft_rule_end(nft);
}

static void accept_names(struct zl_nft *nft, const struct place *p, const char *prefix)
{
        static const uint8_t protocols[] = { IPPROTO_UDP, IPPROTO_TCP };
        const uint16_t port = htons(DNS_PORT);

        for (size_t i = 0; i < ZL_ARRAY_SIZE(protocols); i++) {
                begin_accept(nft, p, NFT_META_IIFNAME, prefix);
                zl_nft_meta(nft, NFT_META_L4PROTO, NFT_REG_1);
                zl_nft_compare(nft, NFT_REG_1, NFT_CMP_EQ, &protocols[i], 1);
                zl_nft_payload(nft, NFT_PAYLOAD_TRANSPORT_HEADER, PORT_OFFSET, sizeof(port),
                               NFT_REG_1);
                zl_nft_compare(nft, NFT_REG_1, NFT_CMP_EQ, &port, sizeof(port));
                end_accept(nft);
        }
}

static void open_one(struct zl_nl *nl, const struct place *p, const char *prefix)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        struct ours ours = { .prefix = prefix };
        _cleanup_nft_ struct zl_nft nft;

        zl_nft_begin(&nft, p->family, p->table);
        if (list_ours(nl, p, &ours) < 0 || ours.n > 0)
                return;
        if (p->hook == ZL_NF_INPUT) {
                accept_names(&nft, p, prefix);
        } else {
                begin_accept(&nft, p, NFT_META_IIFNAME, prefix);
                end_accept(&nft);
                begin_accept(&nft, p, NFT_META_OIFNAME, prefix);
                end_accept(&nft);
        }
        if (zl_nft_commit(&nft, nl, &why) < 0)
                zl_log_error(ZL_LOG_WARNING, &why, "the chain %s cannot be opened for containers",
                             p->chain);
}

static void close_one(struct zl_nl *nl, const struct place *p, const char *prefix)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        struct ours ours = { .prefix = prefix };
        _cleanup_nft_ struct zl_nft nft;

        zl_nft_begin(&nft, p->family, p->table);
        if (list_ours(nl, p, &ours) < 0 || ours.n == 0)
                return;
        for (size_t i = 0; i < ours.n; i++)
                zl_nft_delete_rule(&nft, p->chain, ours.handles[i]);
        if (zl_nft_commit(&nft, nl, &why) < 0)
                zl_log_error(ZL_LOG_WARNING, &why, "rules of ours stay in the chain %s", p->chain);
}

/* ---- the whole -------------------------------------------------------------------------------------- */

static int look(struct zl_nl *nl, const char *own_table, bool tell, struct look *ret)
{
        int r;

        do {
                *ret = (struct look){ .own_table = own_table, .tell = tell };
                r = zl_nft_list_base_chains(nl, look_at, ret);
        } while (r == -EINTR);
        if (r < 0)
                zl_warn("cannot look at the chains of other firewalls (errno %d)", -r);
        return r;
}

void zl_passage_open(struct zl_nl *nl, const char *own_table, const char *prefix, bool is_first)
{
        struct look l;

        if (look(nl, own_table, is_first, &l) < 0)
                return;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(places); i++)
                if (l.is_there[i] && (l.drops[i] || places[i].first))
                        open_one(nl, &places[i], prefix);
}

void zl_passage_close(struct zl_nl *nl, const char *prefix)
{
        struct look l;

        if (look(nl, "", false, &l) < 0)
                return;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(places); i++)
                if (l.is_there[i])
                        close_one(nl, &places[i], prefix);
}
