/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One IP address of either family, and its text. Values, no allocation; safe from any thread.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct zl_ip {
        sa_family_t family; /* AF_INET, AF_INET6; AF_UNSPEC: none */
        uint8_t bytes[16];  /* network order; IPv4 has the first four, the others are 0 */
};

union zl_sockaddr {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
};

enum { ZL_IP_TEXT_MAX = INET6_ADDRSTRLEN };

/* "192.0.2.1" or "2001:db8::1", no scope, no brackets. 0 or -EINVAL. */
int zl_ip_parse(const char *text, struct zl_ip *ret);
/* Returns buf; "" for AF_UNSPEC. */
char *zl_ip_format(const struct zl_ip *ip, char buf[ZL_IP_TEXT_MAX]);

/* 4, 16, or 0 for AF_UNSPEC. */
static inline unsigned zl_ip_size(const struct zl_ip *ip)
{
        return ip->family == AF_INET ? 4 : ip->family == AF_INET6 ? 16 : 0;
}

bool zl_ip_equal(const struct zl_ip *a, const struct zl_ip *b);
/* Do the first `bits` bits agree? false for different families or more bits than there are. */
bool zl_ip_in_prefix(const struct zl_ip *ip, const struct zl_ip *network, unsigned bits);
/* 127.0.0.0/8 or ::1. */
bool zl_ip_is_loopback(const struct zl_ip *ip);

/* `port` in host order. Returns the length of the address. */
socklen_t zl_ip_to_sockaddr(const struct zl_ip *ip, uint16_t port, union zl_sockaddr *ret);
/* AF_UNSPEC and port 0 for other families. */
void zl_ip_from_sockaddr(const union zl_sockaddr *sa, struct zl_ip *ret, uint16_t *ret_port);
