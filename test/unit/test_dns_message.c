/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages: what is read, what is refused, what is written. */
#include "support.h"

#include "network/dns_answer.h"

/* A literal with NULs in it. */
#define BYTES(s) (s), sizeof(s) - 1

#define HEAD "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
#define HEAD_EDNS "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"
#define WEB_A "\3wEb\0\0\1\0\1"

static enum zl_dns_verdict verdict(const void *data, size_t len, struct zl_dns_query *q,
                                   unsigned *rcode)
{
        /* In memory of its own size, so that the sanitizer sees a step too far. */
        void *copy = malloc(len + !len);
        enum zl_dns_verdict v;

        *rcode = 0;
        memcpy(copy, data, len);
        v = zl_dns_read_query(copy, len, q, rcode);
        free(copy);
        return v;
}

static void test_query(void **state)
{
        struct zl_dns_query q;
        unsigned rcode;

        assert_int_equal(verdict(BYTES(HEAD WEB_A), &q, &rcode), ZL_DNS_GOOD);
        assert_int_equal(q.id, 0x1234);
        assert_string_equal(q.name, "web");
        assert_int_equal(q.type, ZL_DNS_A);
        assert_int_equal(q.class, ZL_DNS_CLASS_IN);
        assert_int_equal(q.udp_size, 512);
        assert_false(q.edns);
        assert_int_equal(q.question_end, 21);

        assert_int_equal(
                verdict(BYTES(HEAD_EDNS WEB_A "\0\0\x29\x10\0\0\0\x80\0\0\4\0\12\0\0"), &q, &rcode),
                ZL_DNS_GOOD);
        assert_true(q.edns);
        assert_true(q.dnssec_ok);
        assert_int_equal(q.udp_size, 4096);

        /* The root; labels with bytes of all kinds. */
        assert_int_equal(verdict(BYTES(HEAD "\0\0\1\0\1"), &q, &rcode), ZL_DNS_GOOD);
        assert_string_equal(q.name, "");
        assert_int_equal(verdict(BYTES(HEAD "\6a.\\\0\xff \1B\0\0\1\0\1"), &q, &rcode),
                         ZL_DNS_GOOD);
        assert_string_equal(q.name, "a\\046\\092\\000\\255\\032.b");
}

static void test_bad_queries(void **state)
{
        static const struct {
                const char *what, *data;
                size_t len;
                enum zl_dns_verdict verdict;
                unsigned rcode;
        } cases[] = {
                { "nothing", BYTES(""), ZL_DNS_IGNORE, 0 },
                { "half a head", BYTES("\x12\x34\x01\0\0\1"), ZL_DNS_IGNORE, 0 },
                { "an answer", BYTES("\x12\x34\x81\0\0\1\0\0\0\0\0\0" WEB_A), ZL_DNS_IGNORE, 0 },
                { "NOTIFY", BYTES("\x12\x34\x20\0\0\1\0\0\0\0\0\0" WEB_A), ZL_DNS_BAD,
                  ZL_DNS_NOTIMP },
                { "no question", BYTES("\x12\x34\1\0\0\0\0\0\0\0\0\0"), ZL_DNS_BAD,
                  ZL_DNS_FORMERR },
                { "two questions", BYTES("\x12\x34\1\0\0\2\0\0\0\0\0\0" WEB_A WEB_A), ZL_DNS_BAD,
                  ZL_DNS_FORMERR },
                { "an answer record", BYTES("\x12\x34\1\0\0\1\0\1\0\0\0\0" WEB_A), ZL_DNS_BAD,
                  ZL_DNS_FORMERR },
                { "no name", BYTES(HEAD), ZL_DNS_BAD, ZL_DNS_FORMERR },
                { "half a label", BYTES(HEAD "\3we"), ZL_DNS_BAD, ZL_DNS_FORMERR },
                { "no root", BYTES(HEAD "\3web"), ZL_DNS_BAD, ZL_DNS_FORMERR },
                { "no type", BYTES(HEAD "\3web\0"), ZL_DNS_BAD, ZL_DNS_FORMERR },
                { "half a class", BYTES(HEAD "\3web\0\0\1\0"), ZL_DNS_BAD, ZL_DNS_FORMERR },
                { "more behind it", BYTES(HEAD WEB_A "x"), ZL_DNS_BAD, ZL_DNS_FORMERR },
                { "a pointer to itself", BYTES(HEAD "\xc0\x0c\0\1\0\1"), ZL_DNS_BAD,
                  ZL_DNS_FORMERR },
                { "a pointer ahead", BYTES(HEAD "\xc0\x12\0\1\0\1\1x\0"), ZL_DNS_BAD,
                  ZL_DNS_FORMERR },
                { "a pointer into the head", BYTES(HEAD "\xc0\x04\0\1\0\1"), ZL_DNS_BAD,
                  ZL_DNS_FORMERR },
                { "a pointer to the label before", BYTES(HEAD "\1a\xc0\x0c\0\1\0\1"), ZL_DNS_BAD,
                  ZL_DNS_FORMERR },
                { "half a pointer", BYTES(HEAD "\xc0"), ZL_DNS_BAD, ZL_DNS_FORMERR },
                { "a label of type 01",
                  BYTES(HEAD "\x41"
                             "a\0\0\1\0\1"),
                  ZL_DNS_BAD, ZL_DNS_FORMERR },
                { "a label of type 10",
                  BYTES(HEAD "\x81"
                             "a\0\0\1\0\1"),
                  ZL_DNS_BAD, ZL_DNS_FORMERR },
                { "a record that is not there", BYTES(HEAD_EDNS WEB_A), ZL_DNS_BAD,
                  ZL_DNS_FORMERR },
                { "half an OPT", BYTES(HEAD_EDNS WEB_A "\0\0\x29\x10\0\0\0"), ZL_DNS_BAD,
                  ZL_DNS_FORMERR },
                { "OPT data too long", BYTES(HEAD_EDNS WEB_A "\0\0\x29\x10\0\0\0\0\0\0\5x"),
                  ZL_DNS_BAD, ZL_DNS_FORMERR },
                { "OPT with half an option",
                  BYTES(HEAD_EDNS WEB_A "\0\0\x29\x10\0\0\0\0\0\0\5\0\12\0\4x"), ZL_DNS_BAD,
                  ZL_DNS_FORMERR },
                { "OPT with a name", BYTES(HEAD_EDNS WEB_A "\1a\0\0\x29\x10\0\0\0\0\0\0\0"),
                  ZL_DNS_BAD, ZL_DNS_FORMERR },
                { "two OPT",
                  BYTES("\x12\x34\1\0\0\1\0\0\0\0\0\2" WEB_A
                        "\0\0\x29\x10\0\0\0\0\0\0\0\0\0\x29\x10\0\0\0\0\0\0\0"),
                  ZL_DNS_BAD, ZL_DNS_FORMERR },
                { "EDNS version 1", BYTES(HEAD_EDNS WEB_A "\0\0\x29\x10\0\0\1\0\0\0\0"), ZL_DNS_BAD,
                  ZL_DNS_BADVERS },
                { "65535 records", BYTES("\x12\x34\1\0\0\1\0\0\0\0\xff\xff" WEB_A), ZL_DNS_BAD,
                  ZL_DNS_FORMERR },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                struct zl_dns_query q;
                unsigned rcode;

                if (verdict(cases[i].data, cases[i].len, &q, &rcode) != cases[i].verdict ||
                    rcode != cases[i].rcode)
                        fail_msg("%s: code %u", cases[i].what, rcode);
        }
}

/* A question with labels that make up `size` bytes with the root. */
static size_t long_name(uint8_t *message, size_t size)
{
        uint8_t *p = message + ZL_DNS_HEADER;

        memcpy(message, HEAD, ZL_DNS_HEADER);
        for (size_t left = size - 1; left > 0;) {
                size_t n = ZL_MIN(left - 1, (size_t)63);

                *p = (uint8_t)n;
                memset(p + 1, '\1', n);
                p += n + 1;
                left -= n + 1;
        }
        memcpy(p, "\0\0\1\0\1", 5);
        return (size_t)(p - message) + 5;
}

static void test_long_names(void **state)
{
        uint8_t message[600];
        struct zl_dns_query q;
        unsigned rcode;

        assert_int_equal(verdict(message, long_name(message, 255), &q, &rcode), ZL_DNS_GOOD);
        assert_int_equal(strlen(q.name), 250 * 4 + 3);
        assert_int_equal(verdict(message, long_name(message, 257), &q, &rcode), ZL_DNS_BAD);
        assert_int_equal(verdict(message, long_name(message, 512), &q, &rcode), ZL_DNS_BAD);
}

#define REPLY_HEAD "\x12\x34\x81\x80\0\1\0\1\0\0\0\0"

static void test_reply(void **state)
{
        struct zl_dns_reply r;

        assert_int_equal(
                zl_dns_read_reply(BYTES(REPLY_HEAD WEB_A "\xc0\x0c\0\1\0\1\0\0\0\5\0\4\1\2\3\4"),
                                  &r),
                0);
        assert_int_equal(r.id, 0x1234);
        assert_int_equal(r.rcode, 0);
        assert_int_equal(r.question_end, 21);
        assert_int_equal(
                zl_dns_read_reply(BYTES(REPLY_HEAD WEB_A "\xc0\x0c\0\1\0\1\0\0\0\5\0\4\1\2\3"), &r),
                -EBADMSG);
        assert_int_equal(
                zl_dns_read_reply(BYTES(REPLY_HEAD WEB_A "\xc0\x0c\0\1\0\1\0\0\0\5\0\4\1\2\3\4x"),
                                  &r),
                -EBADMSG);
        assert_int_equal(
                zl_dns_read_reply(BYTES(REPLY_HEAD WEB_A "\xc0\x15\0\1\0\1\0\0\0\5\0\4\1\2\3\4"),
                                  &r),
                -EBADMSG);
        assert_int_equal(zl_dns_read_reply(BYTES(REPLY_HEAD WEB_A), &r), -EBADMSG);
        assert_int_equal(zl_dns_read_reply(BYTES(HEAD WEB_A), &r), -EBADMSG);
        /* Truncated in the middle of a record. */
        assert_int_equal(
                zl_dns_read_reply(BYTES("\x12\x34\x83\x80\0\1\0\1\0\0\0\0" WEB_A "\xc0\x0c\0"), &r),
                0);
        assert_true(r.truncated);
}

static void test_same_question(void **state)
{
        static const char a[] = HEAD WEB_A, b[] = REPLY_HEAD "\3WeB\0\0\1\0\1",
                          c[] = HEAD "\3wec\0\0\1\0\1", d[] = HEAD "\3web\0\0\x1c\0\1";

        assert_true(zl_dns_same_question(a, 21, b, 21));
        assert_false(zl_dns_same_question(a, 21, c, 21));
        assert_false(zl_dns_same_question(a, 21, d, 21));
        assert_false(zl_dns_same_question(a, 21, b, 20));
        assert_false(zl_dns_same_question(a, 0, b, 0));
}

static void test_reverse_address(void **state)
{
        static const struct {
                const char *name, *address;
        } cases[] = {
                { "4.3.2.10.in-addr.arpa", "10.2.3.4" },
                { "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.a.0.d.f.ip6.arpa",
                  "fd0a::2" },
                { "3.2.10.in-addr.arpa", NULL },
                { "5.4.3.2.10.in-addr.arpa", NULL },
                { "256.3.2.10.in-addr.arpa", NULL },
                { "04.3.2.10.in-addr.arpa", NULL },
                { "4.3.2.10.in-addr.arpa.x", NULL },
                { ".3.2.10.in-addr.arpa", NULL },
                { "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.a.0.d.ip6.arpa", NULL },
                { "g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.a.0.d.f.ip6.arpa",
                  NULL },
                { "in-addr.arpa", NULL },
                { "", NULL },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                char text[ZL_IP_TEXT_MAX];
                struct zl_ip ip;
                int r = zl_dns_reverse_address(cases[i].name, &ip);

                assert_int_equal(r, cases[i].address ? 0 : -EINVAL);
                if (r == 0)
                        assert_string_equal(zl_ip_format(&ip, text), cases[i].address);
        }
}

static void test_below(void **state)
{
        assert_true(zl_dns_name_is_below("service.local", "service.local"));
        assert_true(zl_dns_name_is_below("a.b.service.local", "service.local"));
        assert_false(zl_dns_name_is_below("myservice.local", "service.local"));
        assert_false(zl_dns_name_is_below("local", "service.local"));
        assert_false(zl_dns_name_is_below("service.local.x", "service.local"));
}

/* ---- answers ---------------------------------------------------------------------------------------- */

static size_t make_query(uint8_t *message, const char *name, unsigned type, bool edns)
{
        uint8_t *p = message + ZL_DNS_HEADER;

        memcpy(message, edns ? HEAD_EDNS : HEAD, ZL_DNS_HEADER);
        while (*name) {
                size_t n = strcspn(name, ".");

                *p++ = (uint8_t)n;
                memcpy(p, name, n);
                p += n;
                name += n + (name[n] == '.');
        }
        memcpy(p, "\0\0\0\0\1", 5);
        p[2] = (uint8_t)type;
        p += 5;
        if (edns) {
                memcpy(p, "\0\0\x29\x04\xd0\0\0\0\0\0\0", 11);
                p += 11;
        }
        return (size_t)(p - message);
}

struct answer {
        bool ours;
        unsigned rcode, counts[3];
        bool truncated, authoritative;
        size_t len;
        uint8_t data[ZL_DNS_MESSAGE_MAX];
};

static void ask(struct zl_names *names, const char *name, unsigned type, size_t max,
                struct answer *ret)
{
        static const struct zl_dns_scope scope = { .network = "n",
                                                   .address = { .family = AF_INET,
                                                                .bytes = { 10, 0, 0, 1 } },
                                                   .prefix_bits = 16 };
        struct zl_dns_writer w;
        struct zl_dns_reply reply;
        struct zl_dns_query q;
        uint8_t message[400];
        size_t len = make_query(message, name, type, max == ZL_DNS_UDP_OWN);
        unsigned rcode;

        assert_int_equal(zl_dns_read_query(message, len, &q, &rcode), ZL_DNS_GOOD);
        zl_dns_write_begin(&w, ret->data, max, message, &q);
        ret->ours = zl_dns_answer(names, &scope, &q, &w, &ret->rcode);
        if (!ret->ours)
                return;
        ret->len = zl_dns_write_end(&w, ret->rcode);
        ret->authoritative = w.authoritative;
        memcpy(ret->counts, w.counts, sizeof(ret->counts));
        assert_true(ret->len <= max);
        assert_int_equal(zl_dns_read_reply(ret->data, ret->len, &reply), 0);
        assert_int_equal(reply.id, 0x1234);
        assert_int_equal(reply.rcode, ret->rcode);
        assert_true(zl_dns_same_question(message, q.question_end, ret->data, reply.question_end));
        ret->truncated = reply.truncated;
}

static struct zl_names *make_names(unsigned replicas)
{
        struct zl_names *names = zl_names_new();

        for (unsigned i = 0; i < replicas; i++) {
                char owner[32], name[64];
                char *list[] = { name, (char[]){ "web.service.local" }, (char[]){ "web" }, NULL };
                struct zl_ip ips[] = {
                        { AF_INET, { 10, 0, (uint8_t)(i / 250), (uint8_t)(2 + i % 250) } },
                        { AF_INET6,
                          { 0xfd, [14] = (uint8_t)(i / 250), [15] = (uint8_t)(2 + i % 250) } }
                };
                struct zl_names_record record = { .network = "n",
                                                  .owner = owner,
                                                  .names = list,
                                                  .addresses = ips,
                                                  .n_addresses = 2,
                                                  .ready = true };

                snprintf(owner, sizeof(owner), "d.web.%u", i);
                snprintf(name, sizeof(name), "%u.web.service.local", i);
                assert_int_equal(zl_names_set(names, &record, NULL), 0);
        }
        return names;
}

static void test_answers(void **state)
{
        static const struct {
                const char *name;
                unsigned type;
                bool ours;
                unsigned rcode, answers, authorities;
        } cases[] = {
                { "web", ZL_DNS_A, true, ZL_DNS_NOERROR, 2, 0 },
                { "WEB.service.LOCAL", ZL_DNS_A, true, ZL_DNS_NOERROR, 2, 0 },
                { "web", ZL_DNS_AAAA, true, ZL_DNS_NOERROR, 2, 0 },
                { "web", ZL_DNS_ANY, true, ZL_DNS_NOERROR, 4, 0 },
                { "0.web.service.local", ZL_DNS_A, true, ZL_DNS_NOERROR, 1, 0 },
                { "web", 15, true, ZL_DNS_NOERROR, 0, 1 },      /* MX */
                { "web", 33, true, ZL_DNS_NOERROR, 0, 1 },      /* SRV */
                { "web", 65, true, ZL_DNS_NOERROR, 0, 1 },      /* HTTPS */
                { "web", 255 - 3, true, ZL_DNS_REFUSED, 0, 0 }, /* AXFR */
                { "2.web.service.local", ZL_DNS_A, true, ZL_DNS_NXDOMAIN, 0, 1 },
                { "service.local", ZL_DNS_A, true, ZL_DNS_NOERROR, 0, 1 },
                { "nobody.service.local", ZL_DNS_AAAA, true, ZL_DNS_NXDOMAIN, 0, 1 },
                { "webs", ZL_DNS_A, false, 0, 0, 0 },
                { "example.com", ZL_DNS_A, false, 0, 0, 0 },
                { "myservice.local", ZL_DNS_A, false, 0, 0, 0 },
                { "2.0.0.10.in-addr.arpa", ZL_DNS_PTR, true, ZL_DNS_NOERROR, 1, 0 },
                { "2.0.0.10.in-addr.arpa", ZL_DNS_ANY, true, ZL_DNS_NOERROR, 1, 0 },
                { "2.0.0.10.in-addr.arpa", ZL_DNS_A, true, ZL_DNS_NOERROR, 0, 1 },
                { "200.0.0.10.in-addr.arpa", ZL_DNS_PTR, true, ZL_DNS_NXDOMAIN, 0, 1 },
                { "2.0.1.10.in-addr.arpa", ZL_DNS_PTR, false, 0, 0, 0 },
                { "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
                  ZL_DNS_PTR, true, 0, 1, 0 },
                { "4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
                  ZL_DNS_PTR, false, 0, 0, 0 },
                { "", 2, false, 0, 0, 0 },
        };
        _cleanup_names_ struct zl_names *names = make_names(2);
        static struct answer a;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                static const size_t sizes[] = { ZL_DNS_UDP_MIN, ZL_DNS_UDP_OWN };

                for (size_t j = 0; j < 2; j++) {
                        ask(names, cases[i].name, cases[i].type, sizes[j], &a);
                        if (a.ours != cases[i].ours ||
                            (a.ours &&
                             (a.rcode != cases[i].rcode || a.counts[0] != cases[i].answers ||
                              a.counts[1] != cases[i].authorities || a.counts[2] != j)))
                                fail_msg("%s type %u: ours %d rcode %u, %u %u %u records",
                                         cases[i].name, cases[i].type, a.ours, a.rcode, a.counts[0],
                                         a.counts[1], a.counts[2]);
                }
        }
}

/* The bytes of a whole answer, so that writer and reader do not share a mistake. */
static void test_bytes(void **state)
{
        static const uint8_t wanted[] = "\x12\x34\x85\x80\0\1\0\1\0\0\0\0\3web\0\0\1\0\1"
                                        "\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x0a\0\0\2";
        _cleanup_names_ struct zl_names *names = make_names(1);
        static struct answer a;

        ask(names, "web", ZL_DNS_A, ZL_DNS_UDP_MIN, &a);
        assert_int_equal(a.len, sizeof(wanted) - 1);
        assert_memory_equal(a.data, wanted, a.len);
}

static void test_not_ready(void **state)
{
        _cleanup_names_ struct zl_names *names = make_names(1);
        static struct answer a;

        zl_names_set_ready(names, "n", "d.web.0", false);
        ask(names, "web", ZL_DNS_A, ZL_DNS_UDP_OWN, &a);
        assert_true(a.ours);
        assert_int_equal(a.rcode, ZL_DNS_NOERROR);
        assert_int_equal(a.counts[0], 0);
        assert_int_equal(a.counts[1], 1);
}

static void test_truncation(void **state)
{
        _cleanup_names_ struct zl_names *names = make_names(1000);
        static struct answer a;

        ask(names, "web", ZL_DNS_A, ZL_DNS_UDP_MIN, &a);
        assert_true(a.truncated);
        assert_int_equal(a.counts[0], (512 - 21) / 16);
        ask(names, "web", ZL_DNS_A, ZL_DNS_UDP_OWN, &a);
        assert_true(a.truncated);
        assert_int_equal(a.counts[0], (1232 - 21 - 11) / 16);
        assert_int_equal(a.counts[2], 1);
        ask(names, "web", ZL_DNS_ANY, ZL_DNS_MESSAGE_MAX, &a);
        assert_false(a.truncated);
        assert_int_equal(a.counts[0], 2000);
}

/* Whatever is flipped in good messages: no crash, and a name that is read fits. */
static void test_mutations(void **state)
{
        static const char good[] = HEAD_EDNS
                "\3web\7service\5local\0\0\1\0\1\0\0\x29\x10\0\0\0\0\0\0\4\0\12\0\0";
        uint8_t message[sizeof(good) - 1];
        struct zl_dns_query q;
        struct zl_dns_reply r;
        unsigned rcode;

        for (size_t i = 0; i < sizeof(message); i++) {
                for (unsigned value = 0; value < 256; value++) {
                        memcpy(message, good, sizeof(message));
                        message[i] = (uint8_t)value;
                        for (size_t len = i + 1; len <= sizeof(message); len++) {
                                if (verdict(message, len, &q, &rcode) == ZL_DNS_GOOD)
                                        assert_true(strlen(q.name) < ZL_DNS_TEXT_MAX &&
                                                    q.question_end <= len);
                                message[2] |= 0x80;
                                zl_dns_read_reply(message, len, &r);
                                message[2] = i == 2 ? (uint8_t)value : 1;
                        }
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_query),         cmocka_unit_test(test_bad_queries),
                cmocka_unit_test(test_long_names),    cmocka_unit_test(test_reply),
                cmocka_unit_test(test_same_question), cmocka_unit_test(test_reverse_address),
                cmocka_unit_test(test_below),         cmocka_unit_test(test_answers),
                cmocka_unit_test(test_bytes),         cmocka_unit_test(test_not_ready),
                cmocka_unit_test(test_truncation),    cmocka_unit_test(test_mutations),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
