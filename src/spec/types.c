/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Custom types of the spec: values that are one text in the file and something else here.
 */
#include "oci/reference.h"
#include "spec/duration.h"
#include "spec/tables.h"

/* ---- durations ---------------------------------------------------------------------------------------- */

static int duration_decode(struct zl_decoder *dec, const struct zl_node *node, void *value)
{
        const char *text, *why = NULL;
        int r = zl_decode_text(dec, node, &text);

        if (r < 0)
                return r;
        if (zl_duration_parse(text, value, &why) < 0)
                return zl_decode_problem(dec, node, "for example 30s, 1m 30s, 750ms, 2h, 7days",
                                         "'%.60s' is not a duration: %s", text, why);
        return 0;
}

static struct zl_node *duration_encode(struct zl_encoder *enc, const void *value)
{
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(256);

        zl_duration_format(*(const int64_t *)value, &text);
        return zl_buf_error(&text) ? NULL : zl_node_new_text(zl_encode_arena(enc), text.data, true);
}

static const struct zl_custom duration_custom = {
        .decode = duration_decode,
        .encode = duration_encode,
        .schema = "{\"type\":[\"string\",\"number\"],\"examples\":[\"30s\",\"1m 30s\",\"750ms\"],"
                  "\"description\":\"Numbers with units that add up: ns us ms s m h d w M y.\"}",
};

const struct zl_type zl_duration_type = { .kind = ZL_KIND_CUSTOM,
                                          .size = sizeof(int64_t),
                                          .name = "Duration",
                                          .custom = &duration_custom };

/* ---- texts -------------------------------------------------------------------------------------------- */

static void text_free(void *value)
{
        free(*(char **)value);
}

static int text_copy(const void *src, void *dst)
{
        const char *s = *(char *const *)src;
        char *copy = s ? strdup(s) : NULL;

        *(char **)dst = copy;
        return s && !copy ? -ENOMEM : 0;
}

static int image_decode(struct zl_decoder *dec, const struct zl_node *node, void *value)
{
        _cleanup_free_ char *canonical = NULL, *again = NULL;
        enum zl_reference_fault fault = ZL_REFERENCE_OK;
        const char *text;
        int r = zl_decode_text(dec, node, &text);

        if (r < 0)
                return r;
        r = zl_reference_canonical(text, &canonical, &fault, NULL);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return zl_decode_problem(dec, node,
                                         "[registry/]repository[:tag][@digest], for example "
                                         "ghcr.io/acme/web:2.4",
                                         "'%.120s': %s", text, zl_reference_fault_text(fault));
        /* "UPPER/x" is accepted (its first part has the form of a host), but not "docker.io/UPPER/x", which would be
         * its canonical form: then it stays as written, so that what is stored can be read again. */
        r = zl_reference_canonical(canonical, &again, NULL, NULL);
        if (r == -ENOMEM)
                return r;
        *(char **)value = zl_decode_strdup(dec, r < 0 ? text : canonical);
        return *(char **)value ? 0 : -ENOMEM;
}

static struct zl_node *image_encode(struct zl_encoder *enc, const void *value)
{
        const char *text = *(char *const *)value;

        return zl_node_new_text(zl_encode_arena(enc), text ? text : "", true);
}

static const struct zl_custom image_custom = {
        .decode = image_decode,
        .encode = image_encode,
        .free = text_free,
        .copy = text_copy,
        .schema = "{\"type\":[\"string\",\"number\"],\"description\":\"Image reference: "
                  "[registry/]repository[:tag][@digest].\"}",
};

const struct zl_type zl_image_name_type = { .kind = ZL_KIND_CUSTOM,
                                            .size = sizeof(char *),
                                            .name = "ImageReference",
                                            .custom = &image_custom };

/* ---- maps of any values, kept as JSON ------------------------------------------------------------------------ */

static int json_map_decode(struct zl_decoder *dec, const struct zl_node *node, void *value)
{
        static const struct zl_node nothing = { .kind = ZL_NODE_MAP };

        if (node->kind == ZL_NODE_SCALAR && !node->quoted && node->len == 0 &&
            !zl_decode_is_strict(dec))
                node = &nothing;
        if (node->kind != ZL_NODE_MAP)
                return zl_decode_problem(dec, node, NULL, "expected a map, found %s",
                                         zl_node_describe(node));
        return zl_decode_json(dec, node, value);
}

static struct zl_node *json_map_encode(struct zl_encoder *enc, const void *value)
{
        const char *text = *(char *const *)value;
        struct zl_node *node = zl_node_new_text(zl_encode_arena(enc), text ? text : "{}", false);

        if (node)
                node->raw_json = true;
        return node;
}

static bool json_map_is_empty(const void *value)
{
        const char *text = *(char *const *)value;

        return !text || zl_streq(text, "{}");
}

static const struct zl_custom json_map_custom = {
        .decode = json_map_decode,
        .encode = json_map_encode,
        .free = text_free,
        .copy = text_copy,
        .is_empty = json_map_is_empty,
        .schema = "{\"type\":\"object\"}",
};

const struct zl_type zl_json_map_type = { .kind = ZL_KIND_CUSTOM,
                                          .size = sizeof(char *),
                                          .name = "Parameters",
                                          .custom = &json_map_custom };

/* ---- network mode (spec §6.3) ------------------------------------------------------------------------------- */

static const char mode_hint[] =
        "allowed: default, host, none, bridge, bridge:NAME, container:ID, !bridge {name: NAME}, "
        "!container {id: ID}";

static int keep_name(struct zl_decoder *dec, struct zl_network_mode *mode, const char *name)
{
        mode->name = zl_decode_strdup(dec, name);
        return mode->name ? 0 : -ENOMEM;
}

static int mode_from_text(struct zl_decoder *dec, const struct zl_node *node, const char *text,
                          struct zl_network_mode *mode)
{
        static const char *const words[] = { "default", "host", "none", "bridge" };
        const char *rest;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(words); i++) {
                if (zl_streq(text, words[i])) {
                        mode->kind = (enum zl_network_mode_kind)i;
                        return 0;
                }
        }
        rest = zl_startswith(text, "bridge:");
        if (rest) {
                mode->kind = ZL_NETWORK_BRIDGE;
                return *rest ? keep_name(dec, mode, rest) : 0;
        }
        rest = zl_startswith(text, "container:");
        if (rest && *rest) {
                mode->kind = ZL_NETWORK_CONTAINER;
                return keep_name(dec, mode, rest);
        }
        return zl_decode_problem(
                dec, node, mode_hint,
                rest ? "the container id is empty" : "unknown network mode '%.60s'", text);
}

/* The one key of a tagged form; others are ignored. 0 also if it is absent (`*ret` NULL). */
static int tagged_member(struct zl_decoder *dec, const struct zl_node *map, const char *key,
                         const char **ret)
{
        const struct zl_node *found = NULL;

        *ret = NULL;
        ZL_NODE_FOREACH(child, map)
        {
                if (!zl_streq(child->key->text, key))
                        continue;
                if (found)
                        return zl_decode_problem(dec, child->key, NULL,
                                                 "the field '%s' is given twice", key);
                found = child;
        }
        if (!found || (zl_node_is_null(found) && zl_streq(key, "name")))
                return 0;
        if (found->kind != ZL_NODE_SCALAR ||
            (!found->quoted && zl_core_type(found->text) != ZL_CORE_STR) ||
            (found->tag && found->tag[0] == '!'))
                return zl_decode_problem(dec, found, "write it in quotes", "'%s' must be text",
                                         key);
        *ret = found->text;
        return 0;
}

static int mode_from_tag(struct zl_decoder *dec, const struct zl_node *node,
                         struct zl_network_mode *mode)
{
        const char *tag = node->tag + 1, *name;
        bool bridge = zl_streq(tag, "bridge"), container = zl_streq(tag, "container");
        int r;

        if (node->kind == ZL_NODE_SCALAR && (node->quoted || node->len > 0))
                return mode_from_text(dec, node, node->text, mode);
        if (node->kind == ZL_NODE_SCALAR && !bridge && !container)
                return mode_from_text(dec, node, tag, mode);
        if (node->kind != ZL_NODE_MAP || (!bridge && !container))
                return zl_decode_problem(dec, node, mode_hint,
                                         bridge || container ? "a map must follow the tag %s"
                                                             : "nothing may follow the tag %s",
                                         node->tag);
        r = tagged_member(dec, node, bridge ? "name" : "id", &name);
        if (r < 0)
                return r;
        mode->kind = bridge ? ZL_NETWORK_BRIDGE : ZL_NETWORK_CONTAINER;
        if (name)
                return keep_name(dec, mode, name);
        if (bridge)
                return 0;
        return zl_decode_problem(dec, node, mode_hint, "the field 'id' is missing");
}

static int mode_decode(struct zl_decoder *dec, const struct zl_node *node, void *value)
{
        bool tagged_text = node->tag && node->tag[0] != '!'; /* !!str host */

        if (node->tag && node->tag[0] == '!')
                return mode_from_tag(dec, node, value);
        if (node->kind != ZL_NODE_SCALAR)
                return zl_decode_problem(dec, node, mode_hint, "expected text, found %s",
                                         zl_node_describe(node));
        if (!node->quoted && !tagged_text && zl_core_type(node->text) != ZL_CORE_STR)
                return zl_decode_problem(dec, node, mode_hint, "expected text, found %s",
                                         zl_node_describe(node));
        return mode_from_text(dec, node, node->text, value);
}

static struct zl_node *mode_encode(struct zl_encoder *enc, const void *value)
{
        static const char *const words[] = { "default", "host", "none", "bridge", "container" };
        static const char *const tags[] = { NULL, NULL, NULL, "!bridge", "!container" };
        const struct zl_network_mode *mode = value;
        struct zl_arena *arena = zl_encode_arena(enc);
        enum zl_encode_form form = zl_encode_form(enc);
        struct zl_node *map, *outer;

        if (!tags[mode->kind])
                return zl_node_new_text(arena, words[mode->kind], true);
        if (form == ZL_FORM_STORED) {
                _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(1 << 20);

                zl_buf_putf(&text, "%s:%s", words[mode->kind], mode->name ? mode->name : "");
                return zl_buf_error(&text) ? NULL : zl_node_new_text(arena, text.data, true);
        }
        map = zl_node_new(arena, ZL_NODE_MAP);
        if (!map)
                return NULL;
        if (mode->name && zl_node_put(arena, map, mode->kind == ZL_NETWORK_BRIDGE ? "name" : "id",
                                      zl_node_new_text(arena, mode->name, true)) < 0)
                return NULL;
        if (form == ZL_FORM_YAML) {
                map->tag = tags[mode->kind];
                return map;
        }
        outer = zl_node_new(arena, ZL_NODE_MAP);
        if (!outer || zl_node_put(arena, outer, words[mode->kind], map) < 0)
                return NULL;
        return outer;
}

static void mode_free(void *value)
{
        free(((struct zl_network_mode *)value)->name);
}

static int mode_copy(const void *src, void *dst)
{
        const struct zl_network_mode *from = src;
        struct zl_network_mode *to = dst;

        to->kind = from->kind;
        return text_copy(&from->name, &to->name);
}

static const struct zl_custom mode_custom = {
        .decode = mode_decode,
        .encode = mode_encode,
        .free = mode_free,
        .copy = mode_copy,
        .schema =
                "{\"type\":[\"string\",\"object\"],\"description\":\"default, host, none, bridge, "
                "bridge:NAME, container:ID, or tagged: !bridge {name: NAME}, !container {id: ID}.\","
                "\"examples\":[\"host\",\"bridge:lan\",\"container:app\"]}",
};

const struct zl_type zl_network_mode_type = { .kind = ZL_KIND_CUSTOM,
                                              .size = sizeof(struct zl_network_mode),
                                              .name = "NetworkMode",
                                              .custom = &mode_custom };

int zl_service_finish(struct zl_decoder *dec, const struct zl_node *node, void *value)
{
        struct zl_service_spec *spec = value;

        (void)dec;
        (void)node;
        if (spec->host_network && spec->network_mode.kind == ZL_NETWORK_DEFAULT)
                spec->network_mode.kind = ZL_NETWORK_HOST;
        spec->host_network = spec->host_network || spec->network_mode.kind == ZL_NETWORK_HOST;
        return 0;
}
