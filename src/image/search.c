/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searching a registry, as podman does it. The old search (GET /v1/search) knows descriptions and stars, and is what Docker Hub has;
 * registries of one's own mostly have the catalog alone (GET /v2/_catalog), a list of names, page by page, in which we look for the
 * term. So the search is tried first, and whatever does not answer as one has its catalog read.
 *
 * What may go wrong: a catalog without end, which is given up after PAGES_MAX pages; a next page on another host, which is asked for at our
 * own; a registry that answers every question with a page for people.
 */
#include "image/image.h"

#include <stdio.h>

#include "base/json.h"
#include "image/registry.h"

enum { PAGE = 100, PAGES_MAX = 1000, ANSWER_MAX = 4 << 20 };

struct search {
        const struct zl_image_search *options;
        struct zl_reference ref; /* of its registry */
        const char *term;        /* behind the registry */
        struct zl_registry *registry;
        struct zl_http *http;
        json_t *found;
};

/* A host in front of the term, as in references: with a dot or a port, or localhost. */
static int find_registry(struct search *s, const char *text, struct zl_error *err)
{
        const char *slash = strchr(text, '/');
        size_t len = slash ? (size_t)(slash - text) : 0;
        _cleanup_free_ char *any = NULL;
        bool named = len > 0 && (memchr(text, '.', len) || memchr(text, ':', len) ||
                                 (len == strlen("localhost") && zl_startswith(text, "localhost")));

        s->term = named ? slash + 1 : text;
        if (!named && !*text)
                return zl_fail(err, ZL_E_INVALID, 0, "there is nothing to search for");
        if (asprintf(&any, "%.*s/any", named ? (int)len : (int)strlen("docker.io"),
                     named ? text : "docker.io") < 0) {
                any = NULL;
                return zl_fail_oom(err);
        }
        return zl_reference_parse(any, &s->ref, NULL, err);
}

/* As it can be pulled. */
static char *full_name(const struct search *s, const char *name)
{
        bool official = zl_streq(s->ref.registry, "docker.io") && !strchr(name, '/');
        char *full;

        return asprintf(&full, "%s/%s%s", s->ref.registry, official ? "library/" : "", name) < 0
                       ? NULL
                       : full;
}

static bool is_full(const struct search *s)
{
        return s->options->limit && json_array_size(s->found) >= s->options->limit;
}

static int add(struct search *s, const char *name, const json_t *facts, struct zl_error *err)
{
        _cleanup_free_ char *full = full_name(s, name);
        json_t *one = full ? json_pack("{s:s, s:s, s:I, s:b}", "name", full, "description",
                                       zl_json_str(facts, "description", ""), "stars",
                                       (json_int_t)zl_json_int(facts, "star_count", 0), "official",
                                       (int)zl_json_bool(facts, "is_official", false))
                           : NULL;
        /* Exactly what was asked for comes first. */
        int r = !one                      ? -1
                : zl_streq(name, s->term) ? json_array_insert_new(s->found, 0, one)
                                          : json_array_append_new(s->found, one);

        return r < 0 ? zl_fail_oom(err) : 0;
}

/* 1: it is one who can search, and has; 0: it is none. */
static int try_search(struct search *s, struct zl_error *err)
{
        _cleanup_http_response_ struct zl_http_response answer = { 0 };
        _cleanup_free_ char *escaped = zl_http_escape(s->term), *path = NULL;
        _cleanup_json_ json_t *json = NULL;
        const json_t *results, *one;
        size_t i;
        int r;

        if (!escaped)
                return zl_fail_oom(err);
        r = s->options->limit ? asprintf(&path, "/v1/search?q=%s&n=%u", escaped, s->options->limit)
                              : asprintf(&path, "/v1/search?q=%s", escaped);
        if (r < 0) {
                path = NULL;
                return zl_fail_oom(err);
        }
        r = zl_registry_get(s->registry, s->http, path, ANSWER_MAX, &answer, err);
        if (r < 0)
                return r;
        if (answer.status != 200 || !answer.body.len ||
            zl_json_parse(answer.body.data, answer.body.len, "search", &json, NULL) < 0)
                return 0;
        results = json_object_get(json, "results");
        if (!json_is_array(results))
                return 0;
        json_array_foreach(results, i, one)
        {
                const char *name = zl_json_str(one, "name", "");

                if (*name && !is_full(s) && (r = add(s, name, one, err)) < 0)
                        return r;
        }
        return 1;
}

/* The path in `<…>; rel="next"`; NULL: there is no next page. The caller frees. */
static char *next_page(const char *link)
{
        const char *begin = link && strstr(link, "rel=\"next\"") ? strchr(link, '<') : NULL;
        const char *end = begin ? strchr(begin, '>') : NULL, *host;

        if (!end)
                return NULL;
        begin++;
        host = memmem(begin, (size_t)(end - begin), "://", 3);
        if (host)
                begin = memchr(host + 3, '/', (size_t)(end - host - 3));
        return begin && *begin == '/' ? strndup(begin, (size_t)(end - begin)) : NULL;
}

static int take_page(struct search *s, const struct zl_http_response *answer, struct zl_error *err)
{
        _cleanup_json_ json_t *json = NULL;
        const json_t *names, *name;
        size_t i;
        int r = zl_json_parse(answer->body.data ?: "", answer->body.len, "the catalog", &json, err);

        names = r < 0 ? NULL : json_object_get(json, "repositories");
        if (!json_is_array(names) && !json_is_null(names)) {
                zl_error_done(err);
                return zl_fail(err, ZL_E_PROTOCOL, 0,
                               "registry %s sends something else than a catalog", s->ref.registry);
        }
        json_array_foreach(names, i, name)
        {
                const char *text = json_string_value(name);

                if (!text || !strstr(text, s->term))
                        continue;
                if (is_full(s))
                        break;
                r = add(s, text, NULL, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_catalog(struct search *s, struct zl_error *err)
{
        _cleanup_free_ char *path = NULL;
        int r = asprintf(&path, "/v2/_catalog?n=%d", (int)PAGE);

        for (unsigned pages = 0; r >= 0 && path && !is_full(s); pages++) {
                _cleanup_http_response_ struct zl_http_response answer = { 0 };

                if (pages == PAGES_MAX)
                        return zl_fail(err, ZL_E_PROTOCOL, 0,
                                       "the catalog of registry %s has no end", s->ref.registry);
                r = zl_registry_get(s->registry, s->http, path, ANSWER_MAX, &answer, err);
                if (r >= 0 && answer.status != 200)
                        r = zl_registry_refusal(s->registry, "catalog", &answer, err);
                if (r >= 0)
                        r = take_page(s, &answer, err);
                if (r < 0)
                        return r;
                free(path);
                path = next_page(answer.link);
        }
        return r < 0 ? zl_fail_oom(err) : 0;
}

static int search(struct search *s, struct zl_error *err)
{
        const struct zl_registry_options options = { .plain_http = s->options->plain_http,
                                                     .username = s->options->username,
                                                     .password = s->options->password,
                                                     .all_of_it = true };
        int r = zl_registry_open(&s->ref, &options, &s->registry, err);

        if (r >= 0)
                r = zl_http_new(NULL, NULL, &s->http, err);
        /* Without a term there is no search, but a list. */
        if (r >= 0)
                r = *s->term ? try_search(s, err) : 0;
        return r == 0 ? read_catalog(s, err) : r;
}

int zl_image_search(const char *term, const struct zl_image_search *options, char **ret_json,
                    struct zl_error *err)
{
        struct search s = { .options = options, .found = json_array() };
        int r = s.found ? find_registry(&s, term, err) : zl_fail_oom(err);

        if (r >= 0)
                r = search(&s, err);
        if (r >= 0) {
                *ret_json = zl_json_dump(s.found, 2);
                r = *ret_json ? 0 : zl_fail_oom(err);
        } else {
                zl_error_prefix(err, "search for %s", term);
        }
        json_decref(s.found);
        zl_http_free(s.http);
        zl_registry_close(s.registry);
        zl_reference_done(&s.ref);
        return r;
}
