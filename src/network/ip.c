/* SPDX-License-Identifier: Apache-2.0 */
/* One type for both families, so that tables and messages need not know which one they hold. */
#include "network/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

int zl_ip_parse(const char *text, struct zl_ip *ret)
{
        static const sa_family_t families[] = { AF_INET, AF_INET6 };

        for (size_t i = 0; i < 2; i++) {
                struct zl_ip ip = { .family = families[i] };

                if (inet_pton(ip.family, text, ip.bytes) == 1) {
                        *ret = ip;
                        return 0;
                }
        }
        return -EINVAL;
}

char *zl_ip_format(const struct zl_ip *ip, char buf[ZL_IP_TEXT_MAX])
{
        if (zl_ip_size(ip) == 0 || !inet_ntop(ip->family, ip->bytes, buf, ZL_IP_TEXT_MAX))
                buf[0] = 0;
        return buf;
}

bool zl_ip_equal(const struct zl_ip *a, const struct zl_ip *b)
{
        return a->family == b->family && memcmp(a->bytes, b->bytes, zl_ip_size(a)) == 0;
}

bool zl_ip_in_prefix(const struct zl_ip *ip, const struct zl_ip *network, unsigned bits)
{
        unsigned whole = bits / 8, rest = bits % 8;

        if (ip->family != network->family || bits > 8 * zl_ip_size(ip) ||
            memcmp(ip->bytes, network->bytes, whole) != 0)
                return false;
        return rest == 0 || (ip->bytes[whole] ^ network->bytes[whole]) >> (8 - rest) == 0;
}

bool zl_ip_is_loopback(const struct zl_ip *ip)
{
        static const struct zl_ip six = { .family = AF_INET6, .bytes = { [15] = 1 } };

        return ip->family == AF_INET ? ip->bytes[0] == 127 : zl_ip_equal(ip, &six);
}

socklen_t zl_ip_to_sockaddr(const struct zl_ip *ip, uint16_t port, union zl_sockaddr *ret)
{
        *ret = (union zl_sockaddr){ .any.sa_family = ip->family };
        if (ip->family == AF_INET) {
                ret->in.sin_port = htons(port);
                memcpy(&ret->in.sin_addr, ip->bytes, 4);
                return sizeof(ret->in);
        }
        ret->in6.sin6_port = htons(port);
        memcpy(&ret->in6.sin6_addr, ip->bytes, 16);
        return sizeof(ret->in6);
}

void zl_ip_from_sockaddr(const union zl_sockaddr *sa, struct zl_ip *ret, uint16_t *ret_port)
{
        *ret = (struct zl_ip){ .family = sa->any.sa_family };
        *ret_port = 0;
        if (ret->family == AF_INET) {
                memcpy(ret->bytes, &sa->in.sin_addr, 4);
                *ret_port = ntohs(sa->in.sin_port);
        } else if (ret->family == AF_INET6) {
                memcpy(ret->bytes, &sa->in6.sin6_addr, 16);
                *ret_port = ntohs(sa->in6.sin6_port);
        } else {
                ret->family = AF_UNSPEC;
        }
}
