/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tags of images that move, and what the store remembers of them. Which image each workload was made from is noted here, so
 * that what pin.c promises can be checked: all replicas of a service are made from the image that its tag meant when the wish was
 * accepted, also by the next agent, until somebody asks again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/ident.h"
#include "sim/world.h"
#include "spec/spec.h"

enum { TAGS = 3 };

struct tags {
        unsigned means[TAGS];
        struct zl_map *pins;    /* "DEPLOYMENT SERVICE IMAGE" -> pin */
        struct zl_map *made;    /* DEPLOYMENT.SERVICE -> "HASH DIGEST" of the last replica */
        struct zl_map *from;    /* name -> digest */
        struct zl_map *rolling; /* services of which old and new replicas are made for a while */
};

static struct zl_map *new_map(void)
{
        struct zl_map *map = zl_map_new(free);

        if (!map)
                abort();
        return map;
}

struct tags *tags_new(void)
{
        struct tags *t = calloc(1, sizeof(*t));

        if (!t)
                abort();
        *t = (struct tags){ { 0 }, new_map(), new_map(), new_map(), new_map() };
        return t;
}

void tags_free(struct world *w)
{
        zl_map_free(w->tags->pins);
        zl_map_free(w->tags->made);
        zl_map_free(w->tags->from);
        zl_map_free(w->tags->rolling);
        free(w->tags);
}

static void put(struct zl_map *map, const char *key, void *value)
{
        if (!value || zl_map_put(map, key, value) < 0)
                abort();
}

/* All whose key begins with a deployment and `separator`. */
static void remove_of(struct zl_map *map, const char *deployment, char separator)
{
        size_t pos = 0, len = strlen(deployment);
        const char *key;

        while (zl_map_next(map, &pos, &key, NULL))
                if (strncmp(key, deployment, len) == 0 && key[len] == separator)
                        zl_map_remove(map, key);
}

/* ---- the store ------------------------------------------------------------------------------------------------- */

static void pin_key(char key[256], const char *deployment, const char *service, const char *image)
{
        snprintf(key, 256, "%s %s %s", deployment, service, image);
}

/* Durable: no power loss takes it away. */
static void host_save_pin(void *data, const char *deployment, const char *service,
                          const char *image, const struct zl_image_pin *pin)
{
        struct zl_image_pin *copy;
        struct world *w = data;
        char key[256];

        if (w->dead)
                return;
        pin_key(key, deployment, service, image);
        copy = malloc(sizeof(*copy));
        if (copy)
                *copy = *pin;
        put(w->tags->pins, key, copy);
}

static bool host_load_pin(void *data, const char *deployment, const char *service,
                          const char *image, struct zl_image_pin *ret)
{
        const struct zl_image_pin *pin;
        char key[256];

        pin_key(key, deployment, service, image);
        pin = zl_map_get(((struct world *)data)->tags->pins, key);
        if (pin)
                *ret = *pin;
        return pin != NULL;
}

void tags_host(struct zl_host *host)
{
        host->save_pin = host_save_pin;
        host->load_pin = host_load_pin;
}

/* ---- the registry ------------------------------------------------------------------------------------------------ */

/* "image:2" */
static unsigned number_of(const char *image)
{
        const char *colon = strrchr(image, ':');

        return colon ? (unsigned)strtoul(colon + 1, NULL, 10) % TAGS : 0;
}

/* What a pull has brought: what was asked for, or what the tag means now. */
void tags_resolve(struct world *w, struct zl_op *op)
{
        unsigned number = number_of(op->image);

        free(op->digest);
        op->digest = NULL;
        if (op->pin)
                op->digest = strdup(op->pin);
        else if (asprintf(&op->digest, "sha256:%032x%032x", number, w->tags->means[number]) < 0)
                abort();
}

void tags_act(struct world *w, const char *deployment)
{
        unsigned number;

        if (!w->tags_move)
                return;
        if (world_random(w) % 4 == 0) {
                number = (unsigned)(world_random(w) % TAGS);
                world_note(w, "world: image:%u means another one from now on", number);
                w->tags->means[number]++;
        }
        if (world_random(w) % 8 == 0) {
                world_note(w, "people: does %s have what it should have?", deployment);
                tags_asked(w, deployment);
                zl_agent_check_images(w->agent, deployment);
        }
}

const char *tags_policy(struct world *w)
{
        static const char *const policies[] = { "", ", pull_policy: newer", ", pull_policy: always",
                                                ", pull_policy: never" };

        return w->tags_move ? policies[world_random(w) % ZL_ARRAY_SIZE(policies)] : "";
}

/* ---- what is promised ---------------------------------------------------------------------------------------------- */

void tags_asked(struct world *w, const char *deployment)
{
        remove_of(w->tags->made, deployment, '.');
}

void tags_forget(struct world *w, const char *deployment)
{
        remove_of(w->tags->pins, deployment, ' ');
        tags_asked(w, deployment);
}

void tags_rolling(struct world *w, const char *service, bool begins)
{
        zl_map_remove(w->tags->made, service);
        if (begins)
                put(w->tags->rolling, service, strdup("yes"));
        else
                zl_map_remove(w->tags->rolling, service);
}

void tags_crash(struct world *w)
{
        zl_map_free(w->tags->rolling);
        w->tags->rolling = new_map();
}

void tags_made(struct world *w, const struct zl_op *op)
{
        put(w->tags->from, op->name, strdup(op->pin));
}

/* "two.s1" of "two.s1.2". */
static void service_of(const char *name, char ret[ZL_IDENT_NAME_MAX])
{
        snprintf(ret, ZL_IDENT_NAME_MAX, "%.*s", (int)(strrchr(name, '.') - name), name);
}

void tags_check_submit(struct world *w, const struct zl_op *op)
{
        struct zl_service_spec view = *op->spec; /* shallow */
        char service[ZL_IDENT_NAME_MAX], hash[ZL_DIGEST_TEXT_MAX], *now = NULL;
        const char *before;

        if (!op->pin)
                world_fail(w, "%s is made from whatever its tag means", op->name);
        service_of(op->name, service);
        view.scale = (struct zl_scale_spec){ .mode = ZL_SCALE_MANUAL };
        if (zl_map_has(w->tags->rolling, service) || zl_spec_service_hash(&view, hash) < 0)
                return;
        before = zl_map_get(w->tags->made, service);
        if (asprintf(&now, "%s %s", hash, op->pin) < 0)
                abort();
        if (before && strncmp(before, hash, strlen(hash)) == 0 && strcmp(before, now) != 0)
                world_fail(w, "%s is made from %s, the replica before it from %s", op->name,
                           op->pin, before + strlen(hash) + 1);
        put(w->tags->made, service, now);
}

/* Of a service that is being replaced some are old and some are new, for as long as that takes: the next may wait for a service that
 * it depends on, and that somebody has taken away. */
static bool is_rolling(struct world *w, const char *name)
{
        char service[ZL_IDENT_NAME_MAX];

        service_of(name, service);
        return zl_map_has(w->tags->rolling, service);
}

void tags_check(struct world *w, const struct zl_status *list, size_t n, const char *prefix)
{
        const char *first = NULL, *other = NULL;

        for (size_t i = 0; i < n; i++) {
                const char *from = zl_map_get(w->tags->from, list[i].name);

                if (list[i].state != ZL_STATE_RUNNING ||
                    strncmp(list[i].name, prefix, strlen(prefix)) != 0 ||
                    is_rolling(w, list[i].name))
                        continue;
                if (first && from && strcmp(first, from) != 0)
                        world_fail(w, "%s is made from %s, %s from %s", list[i].name, from, other,
                                   first);
                first = from;
                other = list[i].name;
        }
}
