/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public face of specs: text in, structs out, and back. Loading goes text → tree (schema/yaml) → structs (schema/decode with the
 * tables) → rules (validate.c). The tree lives in an arena that is bounded, so a hostile file costs at most that.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "oci/reference.h"
#include "schema/json.h"
#include "schema/yaml.h"
#include "spec/spec.h"
#include "spec/tables.h"

enum {
        TREE_MAX_BYTES = 512 << 20,
        DUMP_MAX_BYTES = 256 << 20,
};

/* ---- loading ----------------------------------------------------------------------------------------- */

static int decode_spec(const struct zl_node *root, struct zl_deployment_spec *spec,
                       struct zl_problems *problems, struct zl_error *err)
{
        struct zl_decode_options options = { 0 };
        int r = zl_schema_decode(&zl_deployment_type, root, &options, spec, problems);

        if (r == -ENOMEM || zl_spec_validate(spec, root, problems) < 0)
                return zl_fail_oom(err);
        if (r == 0 && problems->n == 0)
                return 0;
        zl_problems_sort(problems);
        return zl_problems_fail(problems, err);
}

static int load(const char *text, size_t len, struct zl_deployment_spec **ret,
                struct zl_problems *problems, struct zl_error *err)
{
        _cleanup_arena_ struct zl_arena *arena = zl_arena_new(TREE_MAX_BYTES);
        _cleanup_spec_ struct zl_deployment_spec *spec = calloc(1, sizeof(*spec));
        struct zl_node *root;
        int r;

        if (!arena || !spec)
                return zl_fail_oom(err);
        r = zl_yaml_read(arena, text, len, problems, &root, err);
        if (r == 0)
                r = decode_spec(root, spec, problems, err);
        if (r == 0)
                *ret = zl_take_ptr(spec);
        return r;
}

int zl_spec_load_text(const char *text, size_t len, struct zl_deployment_spec **ret,
                      struct zl_problems **ret_problems, struct zl_error *err)
{
        _cleanup_(zl_problems_freep) struct zl_problems *problems = zl_problems_new();
        _cleanup_free_ char *copy = NULL;
        int r;

        if (ret_problems)
                *ret_problems = NULL;
        if (!problems)
                return zl_fail_oom(err);
        if (len > ZL_SPEC_MAX_BYTES)
                return zl_fail(err, ZL_E_INVALID, EFBIG, "the spec is larger than %d MiB",
                               ZL_SPEC_MAX_BYTES >> 20);
        copy = malloc(len + 1); /* the readers want a NUL behind the text */
        if (!copy)
                return zl_fail_oom(err);
        memcpy(copy, text, len);
        copy[len] = 0;
        r = load(copy, len, ret, problems, err);
        if (r == -EINVAL && ret_problems)
                *ret_problems = zl_take_ptr(problems);
        return r;
}

int zl_spec_load_file(const char *path, struct zl_deployment_spec **ret,
                      struct zl_problems **ret_problems, struct zl_error *err)
{
        bool is_stdin = zl_streq(path, "-");
        const char *what = is_stdin ? "standard input" : path;
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r;

        if (ret_problems)
                *ret_problems = NULL;
        if (!is_stdin) {
                fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        return zl_fail_errno(err, errno, "cannot open %s", path);
        }
        r = zl_read_fd(is_stdin ? STDIN_FILENO : fd, ZL_SPEC_MAX_BYTES, &text, &len);
        if (r == -EFBIG)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "%s is larger than the %d MiB that a spec may have", what,
                               ZL_SPEC_MAX_BYTES >> 20);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", what);
        r = zl_spec_load_text(text, len, ret, ret_problems, err);
        if (r < 0)
                zl_error_prefix(err, "%s", what);
        return r;
}

void zl_spec_free(struct zl_deployment_spec *spec)
{
        if (!spec)
                return;
        zl_schema_free(&zl_deployment_type, spec);
        free(spec);
}

const struct zl_service_spec *zl_spec_get_service(const struct zl_deployment_spec *spec,
                                                  const char *name)
{
        for (size_t i = 0; i < spec->n_services; i++)
                if (zl_streq(spec->services[i].name, name))
                        return spec->services[i].spec;
        return NULL;
}

/* ---- writing -------------------------------------------------------------------------------------------- */

static char *dump(const struct zl_type *type, const void *value, enum zl_encode_form form,
                  unsigned indent)
{
        _cleanup_arena_ struct zl_arena *arena = zl_arena_new(0);
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(DUMP_MAX_BYTES);
        struct zl_node *node = arena ? zl_schema_encode(type, value, form, arena) : NULL;

        if (!node)
                return NULL;
        if (form == ZL_FORM_YAML)
                zl_node_write_yaml(node, &out);
        else
                zl_node_write_json(node, indent, &out);
        return zl_buf_error(&out) ? NULL : zl_buf_take(&out);
}

char *zl_spec_dump_json(const struct zl_deployment_spec *spec)
{
        return dump(&zl_deployment_type, spec, ZL_FORM_JSON, 2);
}

char *zl_spec_dump_yaml(const struct zl_deployment_spec *spec)
{
        return dump(&zl_deployment_type, spec, ZL_FORM_YAML, 0);
}

char *zl_spec_dump_stored(const struct zl_deployment_spec *spec)
{
        return dump(&zl_deployment_type, spec, ZL_FORM_STORED, 2);
}

char *zl_service_spec_dump_json(const struct zl_service_spec *spec)
{
        return dump(&zl_service_type_table, spec, ZL_FORM_STORED, 0);
}

char *zl_spec_json_schema(void)
{
        return zl_schema_describe(&zl_deployment_type, "ZLayer deployment spec v1");
}

/* ---- single services ---------------------------------------------------------------------------------------- */

int zl_service_spec_load_json(const char *text, size_t len, struct zl_service_spec **ret,
                              struct zl_error *err)
{
        _cleanup_arena_ struct zl_arena *arena = zl_arena_new(TREE_MAX_BYTES);
        _cleanup_service_spec_ struct zl_service_spec *spec = calloc(1, sizeof(*spec));
        _cleanup_(zl_problems_freep) struct zl_problems *problems = zl_problems_new();
        struct zl_decode_options options = { 0 };
        struct zl_node *root;
        int r;

        if (!arena || !spec || !problems)
                return zl_fail_oom(err);
        r = zl_json_read(arena, text, len, "service", &root, err);
        if (r < 0)
                return r;
        r = zl_schema_decode(&zl_service_type_table, root, &options, spec, problems);
        if (r == -ENOMEM)
                return zl_fail_oom(err);
        if (r < 0)
                return zl_problems_fail(problems, err);
        *ret = zl_take_ptr(spec);
        return 0;
}

int zl_service_spec_new_default(const char *image, struct zl_service_spec **ret,
                                struct zl_error *err)
{
        static const char text[] = "{\"image\":{\"name\":\"scratch\"}}";
        _cleanup_service_spec_ struct zl_service_spec *spec = NULL;
        char *canonical = NULL;
        int r;

        r = zl_reference_canonical(image, &canonical, NULL, err);
        if (r < 0)
                return r;
        r = zl_service_spec_load_json(text, strlen(text), &spec, err);
        if (r < 0) {
                free(canonical);
                return r;
        }
        free(spec->image.name);
        spec->image.name = canonical;
        *ret = zl_take_ptr(spec);
        return 0;
}

struct zl_service_spec *zl_service_spec_copy(const struct zl_service_spec *spec)
{
        struct zl_service_spec *copy = malloc(sizeof(*copy));

        if (copy && zl_schema_copy(&zl_service_type_table, spec, copy) < 0) {
                free(copy);
                return NULL;
        }
        return copy;
}

void zl_service_spec_free(struct zl_service_spec *spec)
{
        if (!spec)
                return;
        zl_schema_free(&zl_service_type_table, spec);
        free(spec);
}

int zl_spec_service_hash(const struct zl_service_spec *spec, char ret[ZL_DIGEST_TEXT_MAX])
{
        _cleanup_free_ char *text = zl_service_spec_dump_json(spec);

        if (!text)
                return -ENOMEM;
        zl_sha256_text(text, strlen(text), ret);
        return 0;
}

/* ---- maps of texts -------------------------------------------------------------------------------------------- */

const char *zl_str_map_get(const struct zl_str_map *map, const char *key)
{
        for (size_t i = 0; i < map->n; i++)
                if (zl_streq(map->items[i].key, key))
                        return map->items[i].value;
        return NULL;
}

int zl_str_map_set(struct zl_str_map *map, const char *key, const char *value)
{
        struct zl_str_pair *items;
        char *k;

        for (size_t i = 0; i < map->n; i++)
                if (zl_streq(map->items[i].key, key))
                        return zl_replace_str(&map->items[i].value, value);
        items = reallocarray(map->items, map->n + 1, sizeof(*items));
        if (!items)
                return -ENOMEM;
        map->items = items;
        k = strdup(key);
        items[map->n] = (struct zl_str_pair){ k, strdup(value) };
        if (!k || !items[map->n].value) {
                free(k);
                free(items[map->n].value);
                return -ENOMEM;
        }
        map->n++;
        return 0;
}
