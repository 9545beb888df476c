/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules that give the fields of the spec their meaning. Each stands here once, because agent, runtimes and command line must
 * not differ in them.
 */
#include "spec/rules.h"
#include "base/strv.h"
#include "oci/reference.h"
#include "spec/spec.h"

int zl_spec_process_args(const struct zl_command_spec *command, char *const *image_entrypoint,
                         char *const *image_cmd, char ***ret)
{
        _cleanup_strv_ char **argv = NULL;
        bool own_args = zl_strv_len(command->args) > 0;
        int r = 0;

        if (command->entrypoint) {
                r = zl_strv_extend(&argv, command->entrypoint);
                if (r == 0)
                        r = zl_strv_extend(&argv, command->args);
        } else {
                /* The known agent drops the image's ENTRYPOINT when only args are given. Images are built for Docker's
                 * meaning, where args are arguments to the ENTRYPOINT, so that is what happens here. */
                r = zl_strv_extend(&argv, image_entrypoint);
                if (r == 0)
                        r = zl_strv_extend(&argv, own_args ? command->args : image_cmd);
        }
        /* An empty entrypoint list and nothing else: as if the command had not been given. */
        if (r == 0 && !argv)
                r = zl_strv_extend(&argv, image_entrypoint);
        if (r == 0 && command->entrypoint && zl_strv_len(command->entrypoint) == 0 && !own_args)
                r = zl_strv_extend(&argv, image_cmd);
        if (r == 0 && zl_strv_len(argv) == 0)
                r = zl_strv_push(&argv, "/bin/sh");
        if (r == 0)
                *ret = zl_take_ptr(argv);
        return r;
}

enum zl_pull_policy zl_spec_pull_policy(const struct zl_image_spec *image)
{
        _cleanup_reference_ struct zl_reference ref = { 0 };

        if (image->pull_policy == ZL_PULL_IF_NOT_PRESENT &&
            zl_reference_parse(image->name, &ref, NULL, NULL) == 0 && zl_reference_is_mutable(&ref))
                return ZL_PULL_NEWER;
        return image->pull_policy;
}

int zl_spec_memory_parse(const char *text, uint64_t *ret_number, unsigned *ret_shift)
{
        static const char *const suffixes[] = { "Ki", "Mi", "Gi", "Ti" };
        const char *s = text + (*text == '+');
        uint64_t n = 0;

        if (*s < '0' || *s > '9')
                return -EINVAL;
        for (; *s >= '0' && *s <= '9'; s++)
                if (__builtin_mul_overflow(n, 10, &n) ||
                    __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
                        return -EINVAL;
        for (unsigned i = 0; n > 0 && i < ZL_ARRAY_SIZE(suffixes); i++) {
                if (zl_streq(s, suffixes[i])) {
                        *ret_number = n;
                        *ret_shift = 10 * (i + 1);
                        return 0;
                }
        }
        return -EINVAL;
}

int zl_spec_memory_bytes(const char *text, uint64_t *ret)
{
        uint64_t n;
        unsigned shift;
        int r = zl_spec_memory_parse(text, &n, &shift);

        if (r < 0)
                return r;
        if (n > UINT64_MAX >> shift)
                return -ERANGE;
        *ret = n << shift;
        return 0;
}

int zl_spec_size_bytes(const char *text, uint64_t *ret)
{
        static const struct {
                const char *suffix;
                uint64_t factor;
        } units[] = {
                { "", 1 },
                { "Ki", UINT64_C(1) << 10 },
                { "Mi", UINT64_C(1) << 20 },
                { "Gi", UINT64_C(1) << 30 },
                { "Ti", UINT64_C(1) << 40 },
                { "K", 1000 },
                { "M", 1000000 },
                { "G", 1000000000 },
                { "T", UINT64_C(1000000000000) },
                { "k", 1000 },
                { "m", 1000000 },
                { "g", 1000000000 },
                { "t", UINT64_C(1000000000000) },
        };
        const char *s = text + strspn(text, " \t\r\n"), *end = s + strlen(s);
        uint64_t n = 0;
        size_t digits, len;

        while (end > s && strchr(" \t\r\n", end[-1]))
                end--;
        len = (size_t)(end - s);
        if (len == 2 && memcmp(s, "-1", 2) == 0) {
                *ret = UINT64_MAX;
                return 0;
        }
        digits = strspn(s, "0123456789");
        if (digits == 0)
                return -EINVAL;
        for (size_t i = 0; i < digits; i++)
                if (__builtin_mul_overflow(n, 10, &n) ||
                    __builtin_add_overflow(n, (uint64_t)(s[i] - '0'), &n))
                        return -ERANGE;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(units); i++) {
                if (strlen(units[i].suffix) != len - digits ||
                    memcmp(units[i].suffix, s + digits, len - digits) != 0)
                        continue;
                if (__builtin_mul_overflow(n, units[i].factor, &n))
                        return -ERANGE;
                *ret = n;
                return 0;
        }
        return -EINVAL;
}

uint16_t zl_spec_target_port(const struct zl_endpoint_spec *endpoint)
{
        return endpoint->has_target_port && endpoint->target_port ? endpoint->target_port
                                                                  : endpoint->port;
}

bool zl_spec_is_published(const struct zl_service_spec *spec)
{
        return spec->n_port_mappings > 0 || spec->n_endpoints > 0;
}

bool zl_spec_is_on_bridge(const struct zl_service_spec *spec)
{
        return spec->network_mode.kind == ZL_NETWORK_BRIDGE ||
               (spec->network_mode.kind == ZL_NETWORK_DEFAULT && zl_spec_is_published(spec));
}

bool zl_spec_has_network(const struct zl_deployment_spec *spec)
{
        for (size_t i = 0; i < spec->n_services; i++) {
                const struct zl_service_spec *s = spec->services[i].spec;

                if (s->network_mode.kind == ZL_NETWORK_DEFAULT && zl_spec_is_published(s))
                        return true;
        }
        return false;
}

uint32_t zl_spec_initial_replicas(const struct zl_scale_spec *scale)
{
        switch (scale->mode) {
        case ZL_SCALE_FIXED:
                return scale->replicas;
        case ZL_SCALE_ADAPTIVE:
                return scale->min;
        case ZL_SCALE_MANUAL:
                return 1;
        }
        return 1;
}

enum { HEALTH_PORT_FALLBACK = 8080 };

uint16_t zl_spec_health_port(const struct zl_service_spec *spec)
{
        for (size_t i = 0; i < spec->n_endpoints; i++) {
                const struct zl_endpoint_spec *e = &spec->endpoints[i];

                if (e->protocol == ZL_PROTOCOL_HTTP || e->protocol == ZL_PROTOCOL_HTTPS ||
                    e->protocol == ZL_PROTOCOL_WEBSOCKET)
                        return zl_spec_target_port(e);
        }
        return HEALTH_PORT_FALLBACK;
}

bool zl_wasm_capabilities_allowed(enum zl_service_type type, struct zl_wasm_capabilities *ret)
{
        switch (type) {
        case ZL_SERVICE_WASM_HTTP:
        case ZL_SERVICE_WASM_ROUTER:
                *ret = (struct zl_wasm_capabilities){
                        .config = true, .keyvalue = true, .logging = true, .http_client = true
                };
                return true;
        case ZL_SERVICE_WASM_PLUGIN:
                *ret = (struct zl_wasm_capabilities){ true, true, true, true, true,
                                                      true, true, true, false };
                return true;
        case ZL_SERVICE_WASM_TRANSFORMER:
                *ret = (struct zl_wasm_capabilities){ .logging = true, .cli = true };
                return true;
        case ZL_SERVICE_WASM_AUTHENTICATOR:
                *ret = (struct zl_wasm_capabilities){
                        .config = true, .logging = true, .secrets = true, .http_client = true
                };
                return true;
        case ZL_SERVICE_WASM_RATE_LIMITER:
                *ret = (struct zl_wasm_capabilities){ .config = true,
                                                      .keyvalue = true,
                                                      .logging = true,
                                                      .metrics = true,
                                                      .cli = true };
                return true;
        case ZL_SERVICE_WASM_MIDDLEWARE:
                *ret = (struct zl_wasm_capabilities){ .config = true,
                                                      .logging = true,
                                                      .http_client = true };
                return true;
        default:
                return false;
        }
}

const char *zl_rtype_name(enum zl_rtype rtype)
{
        static const char *const names[] = { "service", "job", "cron" };

        return (size_t)rtype < ZL_ARRAY_SIZE(names) ? names[rtype] : "unknown";
}

const char *zl_service_type_name(enum zl_service_type type)
{
        static const char *const names[] = {
                "standard",         "wasm_http",          "wasm_plugin",
                "wasm_transformer", "wasm_authenticator", "wasm_rate_limiter",
                "wasm_middleware",  "wasm_router",        "job",
        };

        return (size_t)type < ZL_ARRAY_SIZE(names) ? names[type] : "unknown";
}
