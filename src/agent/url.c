/* SPDX-License-Identifier: Apache-2.0 */
/* See url.h. What could be smuggled into a request (blanks, control characters, a user) is refused. */
#include "agent/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/macro.h"
#include "base/parse.h"

void zl_url_done(struct zl_url *url)
{
        free(url->host);
        free(url->path);
        free(url->authority);
        *url = (struct zl_url){ 0 };
}

static int fail_url(const char *what, const char *text, const char *why, struct zl_error *err)
{
        int r = zl_fail(err, ZL_E_INVALID, 0, "%s \"%s\": %s", what, text, why);

        zl_error_hint(err, "for example http://localhost:8080/health");
        return r;
}

static bool is_itself(const char *host)
{
        return zl_streq(host, "localhost") || zl_streq(host, "127.0.0.1") || zl_streq(host, "::1");
}

/* HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT. NULL, or what is wrong. */
static const char *split_authority(struct zl_url *url)
{
        const char *a = url->authority, *port = NULL;
        size_t len = strcspn(a, ":");
        uint64_t n = url->tls ? 443 : 80;

        if (a[0] == '[') {
                len = strcspn(a, "]");
                if (a[len] != ']' || (a[len + 1] && a[len + 1] != ':'))
                        return "the address in brackets does not end well";
                if (a[len + 1])
                        port = a + len + 2;
                url->host = strndup(a + 1, len - 1);
        } else {
                if (a[len])
                        port = a + len + 1;
                url->host = strndup(a, len);
        }
        if (!url->host)
                return "out of memory";
        if (!url->host[0] || strchr(a, '@'))
                return "it has no host, or one with a user";
        if (port && (zl_parse_u64(port, 10, &n) < 0 || n == 0 || n > UINT16_MAX))
                return "its port is none";
        url->port = (uint16_t)n;
        if (is_itself(url->host)) {
                free(url->host);
                url->host = NULL;
        }
        return NULL;
}

/* Behind the scheme; NULL: it is another one. */
static const char *skip_scheme(const char *text, struct zl_url *url)
{
        static const char plain[] = "http://", tls[] = "https://";

        url->tls = strncasecmp(text, tls, strlen(tls)) == 0;
        if (url->tls)
                return text + strlen(tls);
        return strncasecmp(text, plain, strlen(plain)) == 0 ? text + strlen(plain) : NULL;
}

static const char *split(const char *text, struct zl_url *url)
{
        const char *rest = skip_scheme(text, url);
        size_t len;

        if (!rest)
                return "only http:// and https:// can be checked";
        for (const char *p = text; *p; p++)
                if ((unsigned char)*p <= ' ' || *p == 127)
                        return "a blank or control character";
        len = strcspn(rest, "/?#");
        url->authority = strndup(rest, len);
        rest += len;
        if (asprintf(&url->path, "%s%.*s", *rest == '/' ? "" : "/", (int)strcspn(rest, "#"), rest) <
            0)
                url->path = NULL;
        return url->authority && url->path ? split_authority(url) : "out of memory";
}

int zl_url_parse(const char *what, const char *text, struct zl_url *ret, struct zl_error *err)
{
        struct zl_url url = { 0 };
        const char *why = split(text, &url);

        if (why) {
                zl_url_done(&url);
                return fail_url(what, text, why, err);
        }
        *ret = url;
        return 0;
}
