/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages. Everything that is read comes from somebody else, so the reader is strict and its work bounded: a compression pointer leads
 * to a place before the name that it is part of (each jump goes further back, so there is no loop), a name has 255 bytes at most, the
 * numbers of records in the head must be what is there, and nothing may follow the last one.
 */
#include "network/dns_message.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/macro.h"

enum {
        FLAG_QR = 0x8000,
        FLAG_AA = 0x0400,
        FLAG_TC = 0x0200,
        FLAG_RD = 0x0100,
        FLAG_RA = 0x0080,
        FLAG_CD = 0x0010,
        OPCODE_MASK = 0x7800,
        EDNS_DO = 0x8000,
        OPT_SIZE = 11,
        POINTER = 0xc0,
        LABEL_MAX = 63,
};

/* ---- reading ---------------------------------------------------------------------------------------- */

/* A place in a message. After the first fault `bad` is set and everything reads as 0. */
struct reader {
        const uint8_t *data;
        size_t len, pos;
        bool bad;
};

static const uint8_t *take(struct reader *r, size_t n)
{
        const uint8_t *p = r->data + r->pos;

        if (r->bad || n > r->len - r->pos) {
                r->bad = true;
                return NULL;
        }
        r->pos += n;
        return p;
}

static unsigned take_u8(struct reader *r)
{
        const uint8_t *p = take(r, 1);

        return p ? *p : 0;
}

static unsigned take_u16(struct reader *r)
{
        const uint8_t *p = take(r, 2);

        return p ? (unsigned)p[0] << 8 | p[1] : 0;
}

static uint32_t take_u32(struct reader *r)
{
        uint32_t high = take_u16(r);

        return high << 16 | take_u16(r);
}

/* One label as text; `text` (may be NULL) has room for four characters per byte. */
static char *put_label(char *text, const uint8_t *label, size_t len)
{
        for (size_t i = 0; i < len; i++) {
                if (label[i] > ' ' && label[i] < 127 && label[i] != '.' && label[i] != '\\')
                        *text++ = (char)tolower(label[i]);
                else
                        text += sprintf(text, "\\%03u", label[i]);
        }
        return text;
}

/* Takes a name. `text` (ZL_DNS_TEXT_MAX) may be NULL. */
static void take_name(struct reader *r, char *text)
{
        struct reader at = *r;
        size_t total = 0, start = r->pos;
        bool jumped = false;
        char *end = text;

        for (;;) {
                unsigned n = take_u8(&at);
                const uint8_t *label;

                if (at.bad || (n > LABEL_MAX && n < POINTER))
                        break;
                if (n >= POINTER) {
                        size_t target = (n & ~(unsigned)POINTER) << 8 | take_u8(&at);

                        if (!jumped)
                                r->pos = at.pos;
                        jumped = true;
                        if (at.bad || target < ZL_DNS_HEADER || target >= start)
                                break;
                        at.pos = start = target;
                        continue;
                }
                label = take(&at, n);
                total += n + 1;
                if (!label || total > ZL_DNS_NAME_MAX)
                        break;
                if (n > 0) {
                        if (end && end != text)
                                *end++ = '.';
                        end = end ? put_label(end, label, n) : NULL;
                        continue;
                }
                if (!jumped)
                        r->pos = at.pos;
                if (end)
                        *end = 0;
                return;
        }
        r->bad = true;
}

struct head {
        unsigned id, flags, counts[4];
};

static void take_head(struct reader *r, struct head *ret)
{
        ret->id = take_u16(r);
        ret->flags = take_u16(r);
        for (size_t i = 0; i < 4; i++)
                ret->counts[i] = take_u16(r);
}

static bool options_are_whole(const uint8_t *data, size_t len)
{
        struct reader r = { .data = data, .len = len };

        while (r.pos < r.len && !r.bad) {
                take_u16(&r);
                take(&r, take_u16(&r));
        }
        return !r.bad;
}

/* A record behind the question of a query; only OPT means something. */
static void take_query_record(struct reader *r, struct zl_dns_query *q)
{
        char owner[ZL_DNS_TEXT_MAX];
        unsigned type, class;
        const uint8_t *data;
        uint32_t ttl;
        size_t len;

        take_name(r, owner);
        type = take_u16(r);
        class = take_u16(r);
        ttl = take_u32(r);
        len = take_u16(r);
        data = take(r, len);
        if (r->bad || type != ZL_DNS_OPT)
                return;
        if (q->edns || owner[0] || !options_are_whole(data, len)) {
                r->bad = true;
                return;
        }
        q->edns = true;
        q->udp_size = (uint16_t)ZL_MAX(class, (unsigned)ZL_DNS_UDP_MIN);
        q->edns_version = ttl >> 16 & 0xff;
        q->dnssec_ok = ttl & EDNS_DO;
}

static enum zl_dns_verdict bad(unsigned rcode, unsigned *ret_rcode)
{
        *ret_rcode = rcode;
        return ZL_DNS_BAD;
}

enum zl_dns_verdict zl_dns_read_query(const void *data, size_t len, struct zl_dns_query *ret,
                                      unsigned *ret_rcode)
{
        struct reader r = { .data = data, .len = len };
        struct head head;

        take_head(&r, &head);
        if (r.bad || head.flags & FLAG_QR)
                return ZL_DNS_IGNORE;
        ret->id = (uint16_t)head.id;
        ret->flags = (uint16_t)head.flags;
        ret->question_end = 0;
        ret->edns = ret->dnssec_ok = false;
        ret->edns_version = 0;
        ret->udp_size = ZL_DNS_UDP_MIN;
        ret->name[0] = 0;
        if (head.flags & OPCODE_MASK)
                return bad(ZL_DNS_NOTIMP, ret_rcode);
        if (head.counts[0] != 1 || head.counts[1] != 0 || head.counts[2] != 0)
                return bad(ZL_DNS_FORMERR, ret_rcode);
        take_name(&r, ret->name);
        ret->type = (uint16_t)take_u16(&r);
        ret->class = (uint16_t)take_u16(&r);
        if (r.bad)
                return bad(ZL_DNS_FORMERR, ret_rcode);
        ret->question_end = r.pos;
        for (unsigned i = 0; i < head.counts[3] && !r.bad; i++)
                take_query_record(&r, ret);
        if (r.bad || r.pos != r.len)
                return bad(ZL_DNS_FORMERR, ret_rcode);
        return ret->edns_version > 0 ? bad(ZL_DNS_BADVERS, ret_rcode) : ZL_DNS_GOOD;
}

int zl_dns_read_reply(const void *data, size_t len, struct zl_dns_reply *ret)
{
        struct reader r = { .data = data, .len = len };
        struct head head;
        unsigned records;

        take_head(&r, &head);
        if (r.bad || !(head.flags & FLAG_QR) || head.flags & OPCODE_MASK || head.counts[0] != 1)
                return -EBADMSG;
        take_name(&r, NULL);
        take(&r, 4);
        if (r.bad)
                return -EBADMSG;
        *ret = (struct zl_dns_reply){
                .id = (uint16_t)head.id,
                .rcode = head.flags & 0xf,
                .truncated = head.flags & FLAG_TC,
                .question_end = r.pos,
        };
        /* A truncated one may end in the middle of a record, and is asked for again. */
        if (ret->truncated)
                return 0;
        records = head.counts[1] + head.counts[2] + head.counts[3];
        for (unsigned i = 0; i < records && !r.bad; i++) {
                take_name(&r, NULL);
                take(&r, 8);
                take(&r, take_u16(&r));
        }
        return r.bad || r.pos != r.len ? -EBADMSG : 0;
}

bool zl_dns_same_question(const void *a, size_t a_end, const void *b, size_t b_end)
{
        const uint8_t *x = a, *y = b;

        if (a_end != b_end || a_end < ZL_DNS_HEADER + 4)
                return false;
        /* Lengths of labels are below every letter. */
        for (size_t i = ZL_DNS_HEADER; i < a_end - 4; i++)
                if (tolower(x[i]) != tolower(y[i]))
                        return false;
        return memcmp(x + a_end - 4, y + a_end - 4, 4) == 0;
}

/* ---- names ------------------------------------------------------------------------------------------ */

bool zl_dns_name_is_below(const char *name, const char *domain)
{
        size_t len = strlen(name), n = strlen(domain);

        return len >= n && zl_streq(name + len - n, domain) &&
               (len == n || name[len - n - 1] == '.');
}

/* "d.c.b.a." */
static const char *parse_reverse4(const char *s, struct zl_ip *ret)
{
        ret->family = AF_INET;
        for (int i = 3; i >= 0; i--) {
                unsigned n = 0, digits = 0;

                for (; isdigit((unsigned char)*s) && digits < 3; s++, digits++)
                        n = 10 * n + (unsigned)(*s - '0');
                if (digits == 0 || n > 255 || (digits > 1 && s[-(int)digits] == '0') || *s++ != '.')
                        return NULL;
                ret->bytes[i] = (uint8_t)n;
        }
        return s;
}

/* 32 nibbles, the last one first. */
static const char *parse_reverse6(const char *s, struct zl_ip *ret)
{
        static const char digits[] = "0123456789abcdef";

        ret->family = AF_INET6;
        for (int i = 31; i >= 0; i--, s += 2) {
                const char *digit = *s ? strchr(digits, *s) : NULL;

                if (!digit || s[1] != '.')
                        return NULL;
                ret->bytes[i / 2] |= (uint8_t)((digit - digits) << (i % 2 ? 0 : 4));
        }
        return s;
}

int zl_dns_reverse_address(const char *name, struct zl_ip *ret)
{
        static const struct {
                const char *domain;
                const char *(*parse)(const char *s, struct zl_ip *ret);
        } trees[] = { { "in-addr.arpa", parse_reverse4 }, { "ip6.arpa", parse_reverse6 } };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(trees); i++) {
                struct zl_ip ip = { 0 };
                const char *rest = trees[i].parse(name, &ip);

                if (rest && zl_streq(rest, trees[i].domain)) {
                        *ret = ip;
                        return 0;
                }
        }
        return -EINVAL;
}

/* ---- writing ---------------------------------------------------------------------------------------- */

static void store_u16(uint8_t *p, unsigned value)
{
        p[0] = (uint8_t)(value >> 8);
        p[1] = (uint8_t)value;
}

/* The room that OPT needs at the end is kept free. */
static size_t room(const struct zl_dns_writer *w)
{
        return w->max - w->len - (w->edns ? OPT_SIZE : 0);
}

static void put(struct zl_dns_writer *w, const void *data, size_t len)
{
        if (w->truncated || len > room(w)) {
                w->truncated = true;
                return;
        }
        memcpy(w->data + w->len, data, len);
        w->len += len;
}

static void put_u16(struct zl_dns_writer *w, unsigned value)
{
        uint8_t bytes[2];

        store_u16(bytes, value);
        put(w, bytes, sizeof(bytes));
}

static void put_u32(struct zl_dns_writer *w, uint32_t value)
{
        put_u16(w, value >> 16);
        put_u16(w, value & 0xffff);
}

static void put_pointer(struct zl_dns_writer *w, size_t target)
{
        put_u16(w, POINTER << 8 | (unsigned)target);
}

/* A host name: labels of letters and the like, none longer than it may be. */
static void put_name(struct zl_dns_writer *w, const char *name)
{
        while (*name) {
                size_t len = strcspn(name, ".");
                uint8_t n = (uint8_t)ZL_MIN(len, (size_t)LABEL_MAX);

                put(w, &n, 1);
                put(w, name, n);
                name += len + (name[len] == '.');
        }
        put(w, "", 1);
}

/* The head of a record without its data. The length of the data is filled in by end_record(). */
static void begin_record(struct zl_dns_writer *w, unsigned type, uint32_t ttl)
{
        put_u16(w, type);
        put_u16(w, ZL_DNS_CLASS_IN);
        put_u32(w, ttl);
        put_u16(w, 0);
}

/* Counts what was put since `start`, whose data begins at `data`, or takes it back if it did not fit. */
static bool end_record(struct zl_dns_writer *w, size_t start, size_t data, unsigned section)
{
        if (w->truncated) {
                w->len = start;
                return false;
        }
        store_u16(w->data + data - 2, (unsigned)(w->len - data));
        w->counts[section]++;
        return true;
}

void zl_dns_write_begin(struct zl_dns_writer *w, void *data, size_t max, const void *query_data,
                        const struct zl_dns_query *query)
{
        unsigned flags = FLAG_QR | FLAG_RA | (query->flags & (OPCODE_MASK | FLAG_RD | FLAG_CD));

        *w = (struct zl_dns_writer){
                .data = data, .max = max, .edns = query->edns, .dnssec_ok = query->dnssec_ok
        };
        w->len = ZL_MAX(query->question_end, (size_t)ZL_DNS_HEADER);
        memset(w->data, 0, ZL_DNS_HEADER);
        store_u16(w->data, query->id);
        store_u16(w->data + 2, flags);
        store_u16(w->data + 4, query->question_end > 0);
        memcpy(w->data + ZL_DNS_HEADER, (const uint8_t *)query_data + ZL_DNS_HEADER,
               w->len - ZL_DNS_HEADER);
}

bool zl_dns_write_address(struct zl_dns_writer *w, const struct zl_ip *address, uint32_t ttl)
{
        size_t start = w->len, data;

        put_pointer(w, ZL_DNS_HEADER);
        begin_record(w, address->family == AF_INET ? ZL_DNS_A : ZL_DNS_AAAA, ttl);
        data = w->len;
        put(w, address->bytes, zl_ip_size(address));
        return end_record(w, start, data, 0);
}

bool zl_dns_write_ptr(struct zl_dns_writer *w, const char *target, uint32_t ttl)
{
        size_t start = w->len, data;

        put_pointer(w, ZL_DNS_HEADER);
        begin_record(w, ZL_DNS_PTR, ttl);
        data = w->len;
        put_name(w, target);
        return end_record(w, start, data, 0);
}

bool zl_dns_write_soa(struct zl_dns_writer *w, const char *zone, uint32_t ttl)
{
        size_t start = w->len, data, name = zone ? w->len : ZL_DNS_HEADER;
        const uint32_t numbers[] = { 1, 3600, 600, 86400, ttl }; /* serial … minimum */

        if (zone)
                put_name(w, zone);
        else
                put_pointer(w, name);
        begin_record(w, ZL_DNS_SOA, ttl);
        data = w->len;
        put_pointer(w, name); /* server and mailbox: there is no other name */
        put_pointer(w, name);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(numbers); i++)
                put_u32(w, numbers[i]);
        return end_record(w, start, data, 1);
}

static void put_opt(struct zl_dns_writer *w, unsigned rcode)
{
        bool truncated = w->truncated;

        w->edns = false; /* its room is used now */
        w->truncated = false;
        put(w, "", 1);
        put_u16(w, ZL_DNS_OPT);
        put_u16(w, ZL_DNS_UDP_OWN);
        put_u32(w, (uint32_t)rcode >> 4 << 24 | (w->dnssec_ok ? EDNS_DO : 0));
        put_u16(w, 0);
        w->counts[2]++;
        w->truncated = truncated;
}

size_t zl_dns_write_end(struct zl_dns_writer *w, unsigned rcode)
{
        unsigned flags = (unsigned)w->data[2] << 8 | w->data[3];

        if (w->edns)
                put_opt(w, rcode);
        flags |= (rcode & 0xf) | (w->truncated ? FLAG_TC : 0) | (w->authoritative ? FLAG_AA : 0);
        store_u16(w->data + 2, flags);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(w->counts); i++)
                store_u16(w->data + 6 + 2 * i, w->counts[i]);
        return w->len;
}
