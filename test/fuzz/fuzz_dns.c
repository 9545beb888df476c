/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a query and as an answer of a resolver: what is accepted is answered by a message that is itself well-formed. */
#include <stdio.h>

#include "network/dns_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct zl_names *make_names(void)
{
        char *list[] = { (char[]){ "1.web.service.local" }, (char[]){ "web" }, NULL };
        struct zl_ip ips[] = { { AF_INET, { 10, 0, 0, 2 } }, { AF_INET6, { 0xfd, [15] = 2 } } };
        struct zl_names_record record = { .network = "n",
                                          .owner = "d.web.1",
                                          .names = list,
                                          .addresses = ips,
                                          .n_addresses = 2,
                                          .ready = true };
        struct zl_names *names = zl_names_new();

        if (!names || zl_names_set(names, &record, NULL) < 0)
                abort();
        return names;
}

static void answer(struct zl_names *names, const uint8_t *data, const struct zl_dns_query *q)
{
        static const struct zl_dns_scope scope = { .network = "n",
                                                   .address = { .family = AF_INET,
                                                                .bytes = { 10, 0, 0, 1 } },
                                                   .prefix_bits = 8 };
        uint8_t out[ZL_DNS_UDP_MIN];
        struct zl_dns_writer w;
        struct zl_dns_reply reply;
        unsigned rcode = 0;

        zl_dns_write_begin(&w, out, sizeof(out), data, q);
        if (!zl_dns_answer(names, &scope, q, &w, &rcode))
                return;
        if (zl_dns_read_reply(out, zl_dns_write_end(&w, rcode), &reply) < 0 || reply.id != q->id ||
            !zl_dns_same_question(data, q->question_end, out, reply.question_end)) {
                fprintf(stderr, "the answer for \"%s\" type %u is not well-formed\n", q->name,
                        q->type);
                abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct zl_names *names;
        struct zl_dns_query q;
        struct zl_dns_reply reply;
        unsigned rcode;

        if (!names)
                names = make_names();
        if (zl_dns_read_query(data, size, &q, &rcode) == ZL_DNS_GOOD)
                answer(names, data, &q);
        if (zl_dns_read_reply(data, size, &reply) == 0 && reply.question_end > size)
                abort();
        return 0;
}
