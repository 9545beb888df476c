/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file of the machine, /etc/zlayer/agent.yaml: what stands there counts as if the environment variable of the
 * same meaning were set, unless it is set. So there is one order everywhere (option, variable, file, default) and one place for
 * each setting, and programs that we start see the same.
 */
#include "cli/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/fd.h"
#include "schema/schema.h"
#include "schema/yaml.h"

enum { FILE_MAX = 1 << 20, TREE_MAX = 16 << 20 };

#define DEFAULT_PATH "/etc/zlayer/agent.yaml"

struct config {
        char *root_dir, *runtime_dir, *socket, *runtime, *log_level, *docker_host, *monitor;
        char *wasm_cache_dir;
        bool has_use_systemd, use_systemd;
};

static const struct zl_field fields[] = {
        ZL_FIELD(struct config, "root_dir", root_dir, zl_type_str),
        ZL_FIELD(struct config, "runtime_dir", runtime_dir, zl_type_str),
        ZL_FIELD(struct config, "socket", socket, zl_type_str),
        ZL_FIELD(struct config, "runtime", runtime, zl_type_str),
        ZL_FIELD(struct config, "log_level", log_level, zl_type_str),
        ZL_FIELD(struct config, "docker_host", docker_host, zl_type_str),
        ZL_FIELD(struct config, "monitor", monitor, zl_type_str),
        ZL_FIELD(struct config, "wasm_cache_dir", wasm_cache_dir, zl_type_str),
        ZL_FIELD(struct config, "use_systemd", use_systemd, zl_type_bool,
                 ZL_HAS(struct config, has_use_systemd)),
};
static const struct zl_type config_type = ZL_TYPE_STRUCT(struct config, "Config", fields);

static int apply(const struct config *c, struct zl_error *err)
{
        const struct {
                const char *variable, *value;
        } settings[] = {
                { "ZLAYER_ROOT_DIR", c->root_dir },
                { "ZLAYER_RUNTIME_DIR", c->runtime_dir },
                { "ZLAYER_SOCKET", c->socket },
                { "ZLAYER_RUNTIME", c->runtime },
                { "ZLAYER_LOG_LEVEL", c->log_level },
                { "DOCKER_HOST", c->docker_host },
                { "ZLAYER_MONITOR", c->monitor },
                { "ZLAYER_WASM_CACHE_DIR", c->wasm_cache_dir },
                { "ZLAYER_USE_SYSTEMD", !c->has_use_systemd ? NULL
                                        : c->use_systemd    ? "true"
                                                            : "false" },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(settings); i++) {
                const char *set = getenv(settings[i].variable);

                if (settings[i].value && (!set || !*set) &&
                    setenv(settings[i].variable, settings[i].value, 1) < 0)
                        return zl_fail_oom(err);
        }
        return 0;
}

static int decode(const char *text, size_t len, struct zl_error *err)
{
        _cleanup_arena_ struct zl_arena *arena = zl_arena_new(TREE_MAX);
        _cleanup_(zl_problems_freep) struct zl_problems *problems = zl_problems_new();
        const struct zl_decode_options options = { .arena = arena };
        struct config config = { 0 };
        struct zl_node *root;
        int r;

        if (!arena || !problems)
                return zl_fail_oom(err);
        r = zl_yaml_read(arena, text, len, problems, &root, err);
        if (r < 0)
                return r;
        r = zl_schema_decode(&config_type, root, &options, &config, problems);
        if (r == -ENOMEM)
                return zl_fail_oom(err);
        return r < 0 ? zl_problems_fail(problems, err) : apply(&config, err);
}

int zl_cli_config_load(struct zl_error *err)
{
        const char *own = getenv("ZLAYER_CONFIG");
        const char *path = own && *own ? own : DEFAULT_PATH;
        _cleanup_free_ char *text = NULL;
        const char *data = getenv("ZLAYER_DATA_DIR"), *root = getenv("ZLAYER_ROOT_DIR");
        size_t len;
        int r = zl_read_file_at(AT_FDCWD, path, FILE_MAX, &text, &len);

        /* An older name of the same, before anything that a file says. */
        if (data && *data && (!root || !*root) && setenv("ZLAYER_ROOT_DIR", data, 1) < 0)
                return zl_fail_oom(err);
        /* Nobody needs one; but one that is named has to be there. */
        if ((r == -ENOENT || r == -ENOTDIR || r == -EACCES) && path != own)
                return 0;
        if (r < 0)
                return zl_fail(err, ZL_E_CONFIGURATION, -r, "cannot read %s", path);
        r = decode(text, len, err);
        if (r < 0) {
                zl_error_prefix(err, "%s", path);
                zl_error_recode(err, ZL_E_CONFIGURATION);
        }
        return r;
}
