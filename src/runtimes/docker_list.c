/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All workloads of Docker. The engine's list has neither process numbers nor times, so the document of each container is asked for, many
 * requests at a time on a few connections, and kept: a document is used again as long as the list tells the same state for the same container, it
 * was not started again by us, and no event of the engine names it.
 *
 * The engine remembers its last events (256 of them, all kinds together). Each list asks for those since the last one that was seen, which has to be
 * among the answer: if it is not, the engine was restarted or has forgotten some, and all documents are asked for again. So the
 * second list of 500 containers costs what the engine's own list costs, and nothing is ever older than the call.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"
#include "runtimes/docker.h"
#include "runtimes/status.h"

enum { LANES = 4, LANE_MAX = 64 };

struct cached {
        json_t *document; /* the parts that a status is made of */
        uint32_t generation;
};

struct docker_cache {
        pthread_mutex_t lock;
        struct zl_map *items; /* identifier of the container -> struct cached */
        char *marker;         /* the last event that was seen; NULL: none */
        char since[40];       /* its time, as the engine wants it in a query */
};

/* ---- documents that are known ------------------------------------------------------------------------------ */

static void cached_free(void *p)
{
        struct cached *c = p;

        json_decref(c->document);
        free(c);
}

static void forget_all(struct docker_cache *cache)
{
        zl_map_free(cache->items);
        cache->items = zl_map_new(cached_free);
        free(cache->marker);
        cache->marker = NULL;
}

int docker_cache_new(struct docker *d, struct zl_error *err)
{
        struct docker_cache *cache = calloc(1, sizeof(*cache));

        if (!cache)
                return zl_fail_oom(err);
        pthread_mutex_init(&cache->lock, NULL);
        d->cache = cache;
        forget_all(cache);
        return cache->items ? 0 : zl_fail_oom(err);
}

void docker_cache_free(struct docker_cache *cache)
{
        if (!cache)
                return;
        zl_map_free(cache->items);
        free(cache->marker);
        pthread_mutex_destroy(&cache->lock);
        free(cache);
}

/* A small part of a document: whole ones would cost more memory than the agent itself. */
static void keep(struct docker *d, const char *id, const char *name, const json_t *document)
{
        static const char *const parts[] = { "Name", "Created", "State", "NetworkSettings" };
        const json_t *config = json_object_get(document, "Config");
        struct cached *c = calloc(1, sizeof(*c));
        struct docker_record record;

        if (!c || !d->cache->items)
                goto fail;
        docker_record_load(d, name, &record);
        c->generation = record.generation;
        c->document = json_pack("{s:{s:O?, s:O?}}", "Config", "Labels",
                                json_object_get(config, "Labels"), "Image",
                                json_object_get(config, "Image"));
        for (size_t i = 0; c->document && i < ZL_ARRAY_SIZE(parts); i++) {
                json_t *part = json_object_get(document, parts[i]);

                if (part && json_object_set(c->document, parts[i], part) < 0)
                        goto fail;
        }
        if (c->document && zl_map_put(d->cache->items, id, c) == 0)
                return;
fail:
        if (c)
                cached_free(c);
}

/* What is known of an entry of the list, if that is still true. */
static const json_t *known(struct docker *d, const json_t *entry)
{
        const struct cached *c = d->cache->items
                                         ? zl_map_get(d->cache->items, zl_json_str(entry, "Id", ""))
                                         : NULL;
        const char *name = c ? docker_name(zl_json_str(c->document, "Name", NULL)) : NULL;
        struct docker_record record;

        if (!name || !zl_streq(zl_json_str(json_object_get(c->document, "State"), "Status", ""),
                               zl_json_str(entry, "State", "-")))
                return NULL;
        docker_record_load(d, name, &record);
        return record.generation == c->generation ? c->document : NULL;
}

/* ---- events since the last list ---------------------------------------------------------------------------- */

static void take_event(struct docker_cache *cache, const json_t *event, const char *text)
{
        const json_t *actor = json_object_get(event, "Actor");
        int64_t nsec = zl_json_int(event, "timeNano", 0);

        zl_map_remove(cache->items, zl_json_str(actor, "ID", ""));
        /* Those of networks name the container besides. */
        zl_map_remove(cache->items,
                      zl_json_str(json_object_get(actor, "Attributes"), "container", ""));
        if (zl_replace_str(&cache->marker, text) < 0)
                cache->marker = NULL;
        snprintf(cache->since, sizeof(cache->since), "%lld.%09lld",
                 (long long)(nsec / ZL_NSEC_PER_SEC), (long long)(nsec % ZL_NSEC_PER_SEC));
}

/* One JSON document a line. Whether the marker was among them. Without one nothing is known that an event could make untrue: then
 * the last alone counts, which is where the next look begins. */
static bool take_events(struct docker_cache *cache, char *text)
{
        _cleanup_free_ char *marker = zl_take_ptr(cache->marker);
        bool seen = false;
        char *save = NULL, *end = text + strlen(text);

        while (end > text && end[-1] == '\n')
                *--end = 0;
        if (!marker && strrchr(text, '\n'))
                text = strrchr(text, '\n') + 1;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                _cleanup_json_ json_t *event = NULL;

                seen = seen || zl_streq_ptr(marker, line);
                if (zl_json_parse(line, strlen(line), "an event of Docker", &event, NULL) == 0)
                        take_event(cache, event, line);
        }
        return seen;
}

/* Those since the last one that was seen, up to now. NULL if it cannot be asked. */
static struct zl_docker_conn *ask_for_events(struct docker *d)
{
        struct docker_cache *cache = d->cache;
        int64_t now = zl_now_realtime();
        _cleanup_free_ char *path = docker_path(
                d, "/events?since=%s&until=%lld.%09lld", cache->marker ? cache->since : "1",
                (long long)(now / ZL_NSEC_PER_SEC), (long long)(now % ZL_NSEC_PER_SEC));
        const struct zl_docker_request q = { .method = "GET", .path = path };
        _cleanup_docker_conn_ struct zl_docker_conn *conn = NULL;

        if (!cache->items || !path || zl_docker_connect(&d->ep, &conn, NULL) < 0 ||
            zl_docker_send(conn, &q, NULL) < 0)
                return NULL;
        return zl_take_ptr(conn);
}

static void look_at_events(struct docker *d, struct zl_docker_conn *conn)
{
        static const struct zl_docker_request q = { .method = "GET" };
        struct docker_cache *cache = d->cache;
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(DOCKER_ANSWER_MAX);

        if (!conn || zl_docker_receive(conn, &q, NULL) < 0 ||
            zl_docker_read_all(conn, &text, NULL) < 0) {
                forget_all(cache);
                return;
        }
        if (!take_events(cache, text.data ? text.data : (char[]){ 0 })) {
                char *marker = zl_take_ptr(cache->marker);

                forget_all(cache);
                cache->marker = marker;
        }
}

/* ---- asking for documents ----------------------------------------------------------------------------------- */

/* One connection with many requests under way: those of every LANES-th container of the list. */
struct lane {
        struct zl_docker_conn *conn;
        char *paths[LANE_MAX];
        size_t n;
};

static int send_lane(struct docker *d, struct lane *lane, struct zl_error *err)
{
        int r = zl_docker_connect(&d->ep, &lane->conn, err);

        for (size_t i = 0; r == 0 && i < lane->n; i++) {
                const struct zl_docker_request q = { .method = "GET",
                                                     .path = lane->paths[i],
                                                     .keep = i + 1 < lane->n };

                r = zl_docker_send(lane->conn, &q, err);
        }
        return r;
}

/* The next document of a lane: 1, or 0 if that container has just gone. */
static int receive_one(struct lane *lane, json_t **ret, struct zl_error *err)
{
        static const struct zl_docker_request q = { .method = "GET" };
        _cleanup_error_ struct zl_error own = ZL_ERROR_INIT;
        _cleanup_buf_ struct zl_buf body = ZL_BUF_INIT(DOCKER_ANSWER_MAX);
        int r = zl_docker_receive(lane->conn, &q, &own);

        if (r >= 0)
                r = zl_docker_read_all(lane->conn, &body, &own);
        if (r >= 0)
                r = zl_json_parse(body.data, body.len, "a container of Docker", ret, &own);
        zl_docker_conn_next(lane->conn);
        if (r < 0 && own.code != ZL_E_NOT_FOUND)
                zl_error_move(err, &own);
        return r >= 0 ? 1 : own.code == ZL_E_NOT_FOUND ? 0 : r;
}

static void lane_done(struct lane *lane)
{
        for (size_t i = 0; i < lane->n; i++)
                free(lane->paths[i]);
        zl_docker_conn_free(lane->conn);
        *lane = (struct lane){ 0 };
}

struct listing {
        const struct zl_list_filter *filter;
        const json_t *list;
        size_t *missing; /* places in `list` of those whose document is not known */
        size_t n_missing;
        struct zl_status *items;
        size_t n;
};

static int add(struct docker *d, struct listing *l, const json_t *document, struct zl_error *err)
{
        const char *name = docker_name(zl_json_str(document, "Name", NULL));
        int r;

        if (!name || !docker_is_ours(d, document))
                return 0;
        r = docker_status_fill(d, name, document, &l->items[l->n], err);
        l->n += r == 0;
        return r;
}

/* As many of the missing as the lanes take, from `first` on. */
static int fetch_batch(struct docker *d, struct listing *l, size_t first, struct zl_error *err)
{
        size_t n = ZL_MIN(l->n_missing - first, (size_t)LANES * LANE_MAX);
        struct lane lanes[LANES] = { 0 };
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++) {
                const json_t *entry = json_array_get(l->list, l->missing[first + i]);
                struct lane *lane = &lanes[i % LANES];

                lane->paths[lane->n] = docker_path(d, "/containers/%s/json",
                                                   zl_json_str(entry, "Id", ""));
                r = lane->paths[lane->n++] ? 0 : zl_fail_oom(err);
        }
        for (size_t i = 0; r == 0 && i < LANES && i < n; i++)
                r = send_lane(d, &lanes[i], err);
        for (size_t i = 0; r >= 0 && i < n; i++) {
                _cleanup_json_ json_t *document = NULL;
                const char *name;

                r = receive_one(&lanes[i % LANES], &document, err);
                if (r <= 0)
                        continue;
                r = add(d, l, document, err);
                name = docker_name(zl_json_str(document, "Name", NULL));
                if (r == 0 && name)
                        keep(d, zl_json_str(document, "Id", ""), name, document);
        }
        for (size_t i = 0; i < LANES; i++)
                lane_done(&lanes[i]);
        return r < 0 ? r : 0;
}

/* By its first name, which is the one of its document. What has none that can be read is asked for, as without a filter. */
static bool is_wanted(const struct zl_list_filter *filter, const json_t *entry)
{
        const char *text = json_string_value(json_array_get(json_object_get(entry, "Names"), 0));
        const char *name = filter ? docker_name(text) : NULL;

        return !name || zl_list_filter_wants(filter, name);
}

static int list_all(struct docker *d, struct listing *l, struct zl_error *err)
{
        size_t n = json_array_size(l->list);
        int r = 0;

        l->items = calloc(n + 1, sizeof(*l->items));
        l->missing = calloc(n + 1, sizeof(*l->missing));
        if (!l->items || !l->missing)
                return zl_fail_oom(err);
        for (size_t i = 0; r == 0 && i < n; i++) {
                const json_t *entry = json_array_get(l->list, i), *document;

                if (!is_wanted(l->filter, entry))
                        continue;
                document = known(d, entry);
                if (document)
                        r = add(d, l, document, err);
                else
                        l->missing[l->n_missing++] = i;
        }
        for (size_t first = 0; r == 0 && first < l->n_missing; first += (size_t)LANES * LANE_MAX)
                r = fetch_batch(d, l, first, err);
        return r;
}

int docker_list(struct zl_runtime *rt, const struct zl_list_filter *filter, struct zl_status **ret,
                size_t *ret_n, struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        _cleanup_free_ char *filters = docker_filters(d, false);
        _cleanup_docker_conn_ struct zl_docker_conn *events = NULL;
        _cleanup_json_ json_t *list = NULL;
        struct listing l = { .filter = filter };
        int r;

        if (!filters)
                return zl_fail_oom(err);
        pthread_mutex_lock(&d->cache->lock);
        /* First the events: what changes from here on is told by those of the next list. The engine looks for them while it makes the
         * list. */
        events = ask_for_events(d);
        r = docker_ask(d, "GET", docker_path(d, "/containers/json?all=1&filters=%s", filters),
                       &list, err);
        look_at_events(d, events);
        l.list = list;
        if (r >= 0)
                r = list_all(d, &l, err);
        pthread_mutex_unlock(&d->cache->lock);
        free(l.missing);
        if (r < 0) {
                zl_status_free_all(l.items, l.n);
                return r;
        }
        qsort(l.items, l.n, sizeof(*l.items), zl_status_compare);
        *ret = l.items;
        *ret_n = l.n;
        return 0;
}
