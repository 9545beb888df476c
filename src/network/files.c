/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /etc/hosts, /etc/hostname and /etc/resolv.conf of a container. They are made anew for each start and mounted over
 * whatever the image has, so names resolve although images carry the leftovers of the machine they were built on.
 *
 * What may go wrong: a host that resolves through a stub on its own loopback. In a network namespace of its own
 * that address leads nowhere, so it is left out, and the caller is told how many were; a public resolver
 * is not put in its place, because sending somebody's names to a third party is not ours to decide.
 */
#include "network/files.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/strv.h"
#include "network/resolv_conf.h"

enum { FILE_MAX = 1 << 20 };

static bool is_address(const char *s)
{
        struct zl_ip ip;

        return zl_ip_parse(s, &ip) == 0;
}

static bool is_host_name(const char *s, size_t len)
{
        if (len == 0 || len > 253)
                return false;
        for (size_t i = 0; i < len; i++)
                if (!isalnum((unsigned char)s[i]) && s[i] != '-' && s[i] != '.' && s[i] != '_')
                        return false;
        return true;
}

static int finish(struct zl_buf *buf, char **ret, struct zl_error *err)
{
        char *text = zl_buf_take(buf);

        if (!text)
                return zl_fail_oom(err);
        *ret = text;
        return 0;
}

/* ---- hosts --------------------------------------------------------------------------------------- */

/* One "name:address"; the name ends at the first colon, so the address may be IPv6 (also in brackets). */
static int put_extra_host(struct zl_buf *buf, const char *entry, const struct zl_net_files *in,
                          struct zl_error *err)
{
        const char *colon = strchr(entry, ':');
        const char *value = colon ? colon + 1 : NULL;
        char plain[ZL_IP_TEXT_MAX];
        size_t len = value ? strlen(value) : 0;

        if (!value || !is_host_name(entry, (size_t)(colon - entry)))
                return zl_fail(err, ZL_E_INVALID, 0, "extra_hosts: \"%s\" is not NAME:ADDRESS",
                               entry);
        if (zl_streq(value, "host-gateway")) {
                if (!in->gateway)
                        return zl_fail(
                                err, ZL_E_UNSUPPORTED, 0,
                                "extra_hosts: \"%s\" wants the gateway, but this network has none",
                                entry);
                value = in->gateway;
        } else if (len > 2 && len - 2 < sizeof(plain) && value[0] == '[' && value[len - 1] == ']') {
                memcpy(plain, value + 1, len - 2);
                plain[len - 2] = 0;
                value = plain;
        }
        if (!is_address(value))
                return zl_fail(err, ZL_E_INVALID, 0, "extra_hosts: \"%s\" has no valid address",
                               entry);
        zl_buf_putf(buf, "%s\t%.*s\n", value, (int)(colon - entry), entry);
        return 0;
}

/* "web.shop.example web" for a host name with a domain. */
static void put_own_name(struct zl_buf *buf, const char *address, const char *hostname)
{
        const char *dot = strchr(hostname, '.');

        zl_buf_putf(buf, "%s\t%s", address, hostname);
        if (dot && dot > hostname)
                zl_buf_putf(buf, " %.*s", (int)(dot - hostname), hostname);
        zl_buf_putc(buf, '\n');
}

int zl_net_make_hosts(const struct zl_net_files *in, char **ret, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf buf = ZL_BUF_INIT(2 * FILE_MAX);

        if (in->host_network && in->host_hosts) {
                size_t len = strlen(in->host_hosts);

                zl_buf_put(&buf, in->host_hosts, len);
                if (len > 0 && in->host_hosts[len - 1] != '\n')
                        zl_buf_putc(&buf, '\n');
        } else {
                zl_buf_puts(&buf, "127.0.0.1\tlocalhost\n"
                                  "::1\tlocalhost ip6-localhost ip6-loopback\n"
                                  "fe00::\tip6-localnet\n"
                                  "ff00::\tip6-mcastprefix\n"
                                  "ff02::1\tip6-allnodes\n"
                                  "ff02::2\tip6-allrouters\n");
        }
        /* Without an address of its own the container still has to find itself by name. */
        put_own_name(&buf, in->address ? in->address : "127.0.1.1", in->hostname);
        ZL_STRV_FOREACH(entry, in->extra_hosts) {
                int r = put_extra_host(&buf, *entry, in, err);

                if (r < 0)
                        return r;
        }
        return finish(&buf, ret, err);
}

int zl_net_make_hostname(const struct zl_net_files *in, char **ret, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf buf = ZL_BUF_INIT(FILE_MAX);

        zl_buf_putf(&buf, "%s\n", in->hostname);
        return finish(&buf, ret, err);
}

/* ---- resolv.conf --------------------------------------------------------------------------------- */

/* Does a list of words begin with an address of the loopback device? */
static bool is_loopback(const char *words)
{
        char address[128];
        struct zl_ip ip;

        return snprintf(address, sizeof(address), "%.*s", (int)strcspn(words, " \t\r\n#;"), words) <
                       (int)sizeof(address) &&
               zl_ip_parse(address, &ip) == 0 && zl_ip_is_loopback(&ip);
}

/* Our domain and then what the host searches. */
static int put_search(struct zl_buf *buf, const struct zl_net_files *in)
{
        _cleanup_resolv_conf_ struct zl_resolv_conf host = ZL_RESOLV_CONF_INIT;

        if (!in->search)
                return 0;
        if (in->host_resolv && zl_resolv_conf_parse(in->host_resolv, &host) < 0)
                return -ENOMEM;
        zl_buf_putf(buf, "search %s", in->search);
        ZL_STRV_FOREACH(domain, host.search)
                zl_buf_putf(buf, " %s", *domain);
        return zl_buf_putc(buf, '\n');
}

static void put_host_resolv(struct zl_buf *buf, const struct zl_net_files *in, bool with_servers,
                            size_t *ret_dropped)
{
        const char *end;

        for (const char *line = in->host_resolv; line && *line; line = *end ? end + 1 : end) {
                const char *server = zl_resolv_conf_words(line, "nameserver");
                size_t len;

                end = strchrnul(line, '\n');
                len = (size_t)(end - line);
                if (len == 0 || line[0] == '#' || line[0] == ';')
                        continue;
                if (in->search &&
                    (zl_resolv_conf_words(line, "search") || zl_resolv_conf_words(line, "domain")))
                        continue;
                if (server && !with_servers)
                        continue;
                if (server && !in->host_network && is_loopback(server)) {
                        ++*ret_dropped;
                        continue;
                }
                zl_buf_put(buf, line, len);
                zl_buf_putc(buf, '\n');
        }
}

int zl_net_make_resolv_conf(const struct zl_net_files *in, char **ret, size_t *ret_dropped,
                            struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf buf = ZL_BUF_INIT(2 * FILE_MAX);
        bool own = in->dns && in->dns[0];
        size_t dropped = 0;

        ZL_STRV_FOREACH(server, in->dns) {
                if (!is_address(*server))
                        return zl_fail(err, ZL_E_INVALID, 0, "dns: \"%s\" is not an address",
                                       *server);
                zl_buf_putf(&buf, "nameserver %s\n", *server);
        }
        if (put_search(&buf, in) < 0)
                return zl_fail_oom(err);
        put_host_resolv(&buf, in, !own, &dropped);
        if (dropped > 0)
                zl_buf_puts(&buf, "# resolvers on the loopback address of the host are left out\n");
        if (ret_dropped)
                *ret_dropped = dropped;
        return finish(&buf, ret, err);
}

char *zl_net_read_host_resolv(void)
{
        char *text = NULL, *upstream = NULL;

        if (zl_read_file_at(AT_FDCWD, "/etc/resolv.conf", FILE_MAX, &text, NULL) < 0)
                return strdup("");
        if (strstr(text, "nameserver 127.0.0.53") &&
            zl_read_file_at(AT_FDCWD, "/run/systemd/resolve/resolv.conf", FILE_MAX, &upstream,
                            NULL) == 0) {
                free(text);
                return upstream;
        }
        return text;
}
