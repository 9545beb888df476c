/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of names, one JSON file that is replaced as a whole. It is small (a few hundred bytes per image), read
 * for every question and never cached, because other processes change it too.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "image/store.h"
#include "oci/reference.h"

enum { INDEX_MAX = 64 << 20, SHORT_DIGEST_MIN = 6 };

void zl_index_entry_free(struct zl_index_entry *entry)
{
        if (!entry)
                return;
        free(entry->digest);
        free(entry->source);
        free(entry);
}

static void entry_free_value(void *value)
{
        zl_index_entry_free(value);
}

static struct zl_index_entry *entry_new(const char *digest, const char *source, bool local,
                                        int64_t updated)
{
        struct zl_index_entry *entry = calloc(1, sizeof *entry);

        if (!entry)
                return NULL;
        entry->local = local;
        entry->updated = updated;
        if (zl_replace_str(&entry->digest, digest) < 0 ||
            zl_replace_str(&entry->source, source ? source : digest) < 0) {
                zl_index_entry_free(entry);
                return NULL;
        }
        return entry;
}

static int put(struct zl_map *map, const char *name, struct zl_index_entry *entry)
{
        if (entry && zl_map_put(map, name, entry) == 0)
                return 0;
        zl_index_entry_free(entry);
        return -ENOMEM;
}

static int decode(json_t *json, struct zl_map *map, const char *path, struct zl_error *err)
{
        json_t *names = json_object_get(json, "names"), *value;
        const char *name;

        if (!json_is_object(names))
                return zl_fail(err, ZL_E_CORRUPT, 0, "%s/index.json holds no names", path);
        json_object_foreach(names, name, value)
        {
                const char *digest = zl_json_str(value, "digest", "");
                int64_t updated = 0;

                if (zl_digest_check(digest, NULL) < 0)
                        return zl_fail(err, ZL_E_CORRUPT, 0, "%s/index.json: %s has no digest",
                                       path, name);
                (void)zl_parse_rfc3339(zl_json_str(value, "updated", ""), &updated);
                if (put(map, name,
                        entry_new(digest, zl_json_str(value, "source", NULL),
                                  zl_json_bool(value, "local", false), updated)) < 0)
                        return zl_fail_oom(err);
        }
        return 0;
}

int zl_index_load(struct zl_image_store *store, struct zl_map **ret, struct zl_error *err)
{
        _cleanup_map_ struct zl_map *map = zl_map_new(entry_free_value);
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *json = NULL;
        size_t len;
        int r;

        if (!map)
                return zl_fail_oom(err);
        r = zl_read_file_at(store->fd, "index.json", INDEX_MAX, &text, &len);
        if (r < 0 && r != -ENOENT)
                return zl_fail_errno(err, -r, "cannot read %s/index.json", store->path);
        if (r >= 0) {
                r = zl_json_parse(text, len, "index.json", &json, err);
                if (r >= 0)
                        r = decode(json, map, store->path, err);
                if (r < 0) {
                        zl_error_recode(err, ZL_E_CORRUPT);
                        zl_error_hint(err, "remove the file and pull or import the images again; "
                                           "layers that are there are not fetched twice");
                        return r;
                }
        }
        *ret = zl_take_ptr(map);
        return 0;
}

static json_t *encode(const struct zl_map *index)
{
        _cleanup_json_ json_t *json = json_object();
        json_t *names = json_object();
        const char *name;
        void *value;
        size_t pos = 0;

        if (zl_json_set(json, "version", json_integer(1)) < 0 ||
            zl_json_set(json, "names", names) < 0)
                return NULL;
        while (zl_map_next(index, &pos, &name, &value)) {
                const struct zl_index_entry *entry = value;
                char updated[ZL_RFC3339_SIZE];
                json_t *object = json_pack("{s:s, s:s, s:b, s:s}", "digest", entry->digest,
                                           "source", entry->source, "local", entry->local,
                                           "updated", zl_format_rfc3339(entry->updated, updated));

                if (zl_json_set(names, name, object) < 0)
                        return NULL;
        }
        return zl_take_ptr(json);
}

int zl_index_save(struct zl_image_store *store, const struct zl_map *index, struct zl_error *err)
{
        _cleanup_json_ json_t *json = encode(index);
        _cleanup_free_ char *text = json ? zl_json_dump(json, 1) : NULL;
        int r;

        if (!text)
                return zl_fail_oom(err);
        r = zl_write_file_at(store->fd, "index.json", text, strlen(text), 0600, ZL_WRITE_SYNC);
        return r < 0 ? zl_fail_errno(err, -r, "cannot write %s/index.json", store->path) : 0;
}

/* zl-size: the fields of one entry and the usual store and error */
int zl_index_set(struct zl_image_store *store, const char *name, const char *digest,
                 const char *source, bool local, struct zl_error *err)
{
        _cleanup_close_ int lock = zl_store_lock(store, true, err);
        _cleanup_map_ struct zl_map *index = NULL;
        int r;

        if (lock < 0)
                return lock;
        r = zl_index_load(store, &index, err);
        if (r < 0)
                return r;
        if (put(index, name, entry_new(digest, source, local, zl_now_realtime())) < 0)
                return zl_fail_oom(err);
        return zl_index_save(store, index, err);
}

/* ---- finding ------------------------------------------------------------------------------------------ */

static int found(const char *digest, const char *name, char **ret_digest, char **ret_name,
                 struct zl_error *err)
{
        _cleanup_free_ char *copy = strdup(digest);

        if (!copy || (ret_name && zl_replace_str(ret_name, name) < 0))
                return zl_fail_oom(err);
        *ret_digest = zl_take_ptr(copy);
        return 0;
}

/* The config digest in the stored manifest; "" if it cannot be told. */
static char *config_digest_of(struct zl_image_store *store, const char *manifest)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *json = NULL;
        size_t len;

        if (zl_store_get_blob(store, manifest, &text, &len, NULL) < 0 ||
            zl_json_parse(text, len, manifest, &json, NULL) < 0)
                return strdup("");
        return strdup(zl_json_str(json_object_get(json, "config"), "digest", ""));
}

static bool digest_begins(const char *digest, const char *hex)
{
        const char *colon = strchr(digest, ':');

        return zl_startswith(digest, hex) || (colon && zl_startswith(colon + 1, hex));
}

/* By the (first digits of the) digest of a manifest, index or config. */
static int resolve_digest(struct zl_image_store *store, const struct zl_map *index, const char *hex,
                          char **ret_digest, struct zl_error *err)
{
        const char *name, *match = NULL;
        size_t pos = 0;
        void *value;

        while (zl_map_next(index, &pos, &name, &value)) {
                const struct zl_index_entry *entry = value;
                _cleanup_free_ char *config = NULL;

                if (!digest_begins(entry->digest, hex) && !digest_begins(entry->source, hex)) {
                        config = config_digest_of(store, entry->digest);
                        if (!config || !digest_begins(config, hex))
                                continue;
                }
                if (match && !zl_streq(match, entry->digest))
                        return zl_fail(err, ZL_E_INVALID, 0, "%s could be several images", hex);
                match = entry->digest;
        }
        /* A held image may have lost its names. */
        if (!match && zl_digest_check(hex, NULL) == 0 && zl_store_has_blob(store, hex))
                match = hex;
        return match ? found(match, NULL, ret_digest, NULL, err) : -ENOENT;
}

/* "repo@digest", "repo:tag@digest": any name of that repository that has the digest. */
static int resolve_pinned(const struct zl_map *index, const struct zl_reference *ref,
                          char **ret_digest, char **ret_name, struct zl_error *err)
{
        const char *name;
        size_t pos = 0;
        void *value;

        while (zl_map_next(index, &pos, &name, &value)) {
                const struct zl_index_entry *entry = value;
                const char *rest = zl_startswith(name, ref->registry);

                rest = rest && *rest == '/' ? zl_startswith(rest + 1, ref->repository) : NULL;
                if (rest && (*rest == ':' || *rest == '@') &&
                    (strcasecmp(entry->digest, ref->digest) == 0 ||
                     strcasecmp(entry->source, ref->digest) == 0))
                        return found(entry->digest, name, ret_digest, ret_name, err);
        }
        return -ENOENT;
}

static int not_found(const char *name, struct zl_error *err)
{
        zl_fail(err, ZL_E_NOT_FOUND, 0, "image %.300s is not in the store", name);
        zl_error_hint(err, "`zlayer-agent image pull` or `image import` brings images in");
        return -ENOENT;
}

/* zl-size: two results that callers want separately */
int zl_index_resolve(struct zl_image_store *store, const struct zl_map *index, const char *name,
                     char **ret_digest, char **ret_name, struct zl_error *err)
{
        _cleanup_reference_ struct zl_reference ref = { 0 };
        _cleanup_free_ char *canonical = NULL;
        const struct zl_index_entry *entry;
        size_t n_hex = strspn(name, "0123456789abcdef");
        int r;

        if (zl_digest_check(name, NULL) == 0) {
                r = resolve_digest(store, index, name, ret_digest, err);
                return r == -ENOENT ? not_found(name, err) : r;
        }
        entry = zl_map_get(index, name); /* canonical already */
        if (entry)
                return found(entry->digest, name, ret_digest, ret_name, err);
        r = zl_reference_parse(name, &ref, NULL, err);
        if (r < 0)
                return r;
        canonical = zl_reference_text(&ref);
        if (!canonical)
                return zl_fail_oom(err);
        entry = zl_map_get(index, canonical);
        if (entry)
                return found(entry->digest, canonical, ret_digest, ret_name, err);
        r = ref.digest ? resolve_pinned(index, &ref, ret_digest, ret_name, err) : -ENOENT;
        if (r == -ENOENT && n_hex >= SHORT_DIGEST_MIN && name[n_hex] == 0)
                r = resolve_digest(store, index, name, ret_digest, err);
        return r == -ENOENT ? not_found(canonical, err) : r;
}
