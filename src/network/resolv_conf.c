/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's resolv.conf for a forwarder. What glibc and musl agree on is what counts: keywords at the begin of a line, '#' and ';'
 * begin a comment there, the last of `search` and `domain` wins, numbers beyond their range are cut to it.
 */
#include "network/resolv_conf.h"

#include <net/if.h>
#include <string.h>

#include "base/parse.h"
#include "base/strv.h"

static const char blanks[] = " \t\r";

void zl_resolv_conf_done(struct zl_resolv_conf *conf)
{
        zl_strv_free(conf->search);
        conf->search = NULL;
        conf->n_resolvers = 0;
}

static int add_resolver(char *words, struct zl_resolv_conf *conf)
{
        struct zl_resolver resolver = { .port = 53 };
        char *address = strtok_r(NULL, blanks, &words), *scope;

        if (!address || conf->n_resolvers == ZL_RESOLVERS_MAX)
                return 0;
        scope = strchr(address, '%');
        if (scope) {
                *scope++ = 0;
                if (zl_parse_u32(scope, 10, &resolver.scope) < 0)
                        resolver.scope = if_nametoindex(scope);
        }
        if (zl_ip_parse(address, &resolver.address) == 0)
                conf->resolvers[conf->n_resolvers++] = resolver;
        return 0;
}

static int set_search(char *words, struct zl_resolv_conf *conf)
{
        _cleanup_strv_ char **search = NULL;
        char *word;

        while ((word = strtok_r(NULL, blanks, &words)))
                if (zl_strv_push(&search, word) < 0)
                        return -ENOMEM;
        zl_strv_free(conf->search);
        conf->search = zl_take_ptr(search);
        return 0;
}

static int set_options(char *words, struct zl_resolv_conf *conf)
{
        const struct {
                const char *name;
                unsigned *value, min, max;
        } options[] = {
                { "ndots:", &conf->ndots, 0, 15 },
                { "timeout:", &conf->timeout, 1, 30 },
                { "attempts:", &conf->attempts, 1, 5 },
        };
        char *word;

        while ((word = strtok_r(NULL, blanks, &words))) {
                for (size_t i = 0; i < ZL_ARRAY_SIZE(options); i++) {
                        const char *number = zl_startswith(word, options[i].name);
                        uint32_t n;

                        if (number && zl_parse_u32(number, 10, &n) == 0)
                                *options[i].value = ZL_MAX(options[i].min,
                                                           ZL_MIN(options[i].max, n));
                }
        }
        return 0;
}

const char *zl_resolv_conf_words(const char *line, const char *keyword)
{
        const char *rest = zl_startswith(line, keyword);

        return rest && *rest && strchr(blanks, *rest) ? rest + strspn(rest, blanks) : NULL;
}

static int take_line(char *line, struct zl_resolv_conf *conf)
{
        static const struct {
                const char *keyword;
                int (*take)(char *words, struct zl_resolv_conf *conf);
        } keywords[] = {
                { "nameserver", add_resolver },
                { "search", set_search },
                { "domain", set_search },
                { "options", set_options },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(keywords); i++) {
                const char *words = zl_resolv_conf_words(line, keywords[i].keyword);

                if (words)
                        return keywords[i].take(line + (words - line), conf);
        }
        return 0;
}

int zl_resolv_conf_parse(const char *text, struct zl_resolv_conf *ret)
{
        _cleanup_free_ char *copy = strdup(text);
        char *rest = copy, *line;

        if (!copy)
                return -ENOMEM;
        while ((line = strsep(&rest, "\n"))) {
                int r = take_line(line, ret);

                if (r < 0)
                        return r;
        }
        return 0;
}
