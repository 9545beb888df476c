/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is an artifact a WebAssembly module? Three rules in a fixed order (artifactType, config media type, layer
 * media types), because publishers follow three conventions. A version that the rule does not tell comes
 * from the first layer that gives a hint.
 */
#include "oci/image.h"

#include <errno.h>

static int version_in(const char *s)
{
        return !s ? 0 : strstr(s, "component") ? 2 : strstr(s, "module") ? 1 : 0;
}

static bool ends_with(const char *s, const char *suffix)
{
        size_t n = strlen(s), m = strlen(suffix);

        return n >= m && zl_streq(s + n - m, suffix);
}

static bool is_wasm_layer(const struct zl_descriptor *d)
{
        return zl_streq(d->media_type, "application/wasm") ||
               zl_startswith(d->media_type, "application/vnd.wasm.content.layer.") ||
               ends_with(d->media_type, "+wasm");
}

static int version_by_layers(const struct zl_document *doc)
{
        for (size_t i = 0; i < doc->n_items; i++) {
                const struct zl_descriptor *d = &doc->items[i];
                int version = version_in(d->media_type);

                if (version)
                        return version;
                if ((d->title && strstr(d->title, "component")) || d->has_wit_component)
                        return 2;
        }
        return 0;
}

struct zl_wasm_info zl_document_wasm(const struct zl_document *doc)
{
        struct zl_wasm_info info = { 0 };

        for (size_t i = 0; i < doc->n_items && !info.layer; i++)
                if (is_wasm_layer(&doc->items[i]))
                        info.layer = &doc->items[i];
        if (doc->artifact_type && strstr(doc->artifact_type, "wasm")) {
                info.is_wasm = true;
                info.version = version_in(doc->artifact_type);
        } else if (zl_startswith(doc->config.media_type ? doc->config.media_type : "",
                                 "application/vnd.wasm.config.") ||
                   info.layer) {
                info.is_wasm = true;
                info.version = version_by_layers(doc);
        }
        return info;
}

int zl_wasm_version_of(const void *data, size_t len)
{
        const unsigned char *p = data;
        uint32_t version;

        if (len < 8 || memcmp(p, "\0asm", 4) != 0)
                return len < 8 && memcmp(p, "\0asm", len < 4 ? len : 4) == 0 ? 0 : -EINVAL;
        version = (uint32_t)p[4] | (uint32_t)p[5] << 8 | (uint32_t)p[6] << 16 |
                  (uint32_t)p[7] << 24;
        if (version == 0)
                return -EINVAL;
        if (len < 9)
                return 0;
        if (version == 1)
                return p[8] <= 0x0c ? 1 : 2;
        return version == 0x1000d ? 2 : 0;
}
