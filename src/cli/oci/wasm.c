/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bundles whose command is WebAssembly: containerd, CRI-O and podman mark them with annotations that crun has established.
 *
 *   run.oci.handler = wasm                     the command is WebAssembly
 *   module.wasm.image/variant = compat         the same
 *   module.wasm.image/variant = compat-smart   look at the command: sidecars of the same pod are programs
 *
 * The bundle is changed before it becomes a container: the command is zlayer-wasm, which with the libraries it needs and the
 * compiled module is bound into the root. The guest sees that root as "/", as it would under crun; namespaces, user,
 * capabilities and limits are those of the bundle. This program cannot load the engine, so it asks zlayer-wasm to compile.
 *
 * The module is opened inside the root of the container and handed on as a descriptor of ours: no link of the image leads to a
 * file of the host.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/strv.h"
#include "cli/oci/oci.h"
#include "schema/arena.h"
#include "wasm/cache.h"
#include "wasm/options.h"

#ifndef ZL_LIBEXECDIR
#define ZL_LIBEXECDIR "/usr/local/libexec"
#endif
#define CACHE_DIR "/var/lib/zlayer/wasm"

enum wish { NO_WASM, WASM, WASM_IF_IT_IS };

static enum wish wish_of(const struct zl_oci_config *config)
{
        for (size_t i = 0; i < config->annotations.n; i++) {
                const struct zl_str_pair *a = &config->annotations.items[i];
                bool handler = zl_streq(a->key, "run.oci.handler");

                if (handler && (zl_streq(a->value, "wasm") || zl_streq(a->value, "wasmtime")))
                        return WASM;
                if (!zl_streq(a->key, "module.wasm.image/variant"))
                        continue;
                if (zl_streq(a->value, "compat"))
                        return WASM;
                if (zl_streq(a->value, "compat-smart"))
                        return WASM_IF_IT_IS;
        }
        return NO_WASM;
}

/* A guest that is not to see even the files beside it. */
static bool sees_root(const struct zl_oci_config *config)
{
        for (size_t i = 0; i < config->annotations.n; i++)
                if (zl_streq(config->annotations.items[i].key, "com.zlayer.wasm.root"))
                        return !zl_streq(config->annotations.items[i].value, "none");
        return true;
}

/* ---- the module ---------------------------------------------------------------------------------------- */

/* Binary by its first bytes, text by its name. */
static bool is_module(int fd, const char *name)
{
        size_t len = strlen(name);
        char magic[4];

        if (pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
            memcmp(magic, "\0asm", 4) == 0)
                return true;
        return len > 4 && zl_streq(name + len - 4, ".wat");
}

/* The command as a file of the container, never one of the host: a descriptor, and its path inside. */
static int open_command(int root, const char *cwd, const char *command, char **ret_path)
{
        _cleanup_free_ char *path = command[0] == '/' ? strdup(command)
                                                      : zl_path_join(cwd ? cwd : "/", command);
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (!path)
                return -ENOMEM;
        fd = zl_open_in(root, path, O_RDONLY | O_NONBLOCK, 0, ZL_PATH_IN_ROOT);
        if (fd < 0 || fstat(fd, &st) < 0)
                return fd < 0 ? fd : -errno;
        if (!S_ISREG(st.st_mode))
                return -ENOEXEC;
        if (ret_path)
                *ret_path = zl_take_ptr(path);
        return zl_take_fd(fd);
}

/* ---- zlayer-wasm --------------------------------------------------------------------------------------- */

static char *beside(const char *program)
{
        _cleanup_free_ char *real = realpath(program, NULL);
        char *slash = real ? strrchr(real, '/') : NULL, *path = NULL;

        if (!slash)
                return NULL;
        *slash = 0;
        path = zl_path_join(real, ZL_WASM_PROGRAM);
        if (path && access(path, X_OK) == 0)
                return path;
        free(path);
        return NULL;
}

static int find_helper(const struct zl_oci *oci, char **ret, struct zl_error *err)
{
        const char *named = getenv("ZLAYER_WASM");
        /* A name without a slash was found in $PATH by whoever started us. */
        _cleanup_free_ char *self = strchr(oci->program, '/') ? strdup(oci->program)
                                                              : zl_find_program(oci->program);
        char *path = NULL;
        int r;

        if (named && *named)
                path = strdup(named);
        else if (self)
                path = beside(self);
        if (!path)
                path = strdup(ZL_LIBEXECDIR "/zlayer/" ZL_WASM_PROGRAM);
        if (path && access(path, X_OK) == 0) {
                *ret = path;
                return 0;
        }
        free(path);
        r = zl_fail(err, ZL_E_CONFIGURATION, 0,
                    "the bundle wants WebAssembly, and the program zlayer-wasm is not there");
        zl_error_hint(err, "build with -Dwasm=enabled; it is looked for beside zlayer-oci and in "
                           "$ZLAYER_WASM");
        return r;
}

/* Two lines: where the engine is, where the compiled module is. */
static int compile(const struct zl_oci *oci, int fd, char **ret_engine, char **ret_code,
                   struct zl_error *err)
{
        _cleanup_free_ char *helper = NULL, *said = NULL;
        const char *cache = getenv("ZLAYER_WASM_CACHE_DIR");
        char module[48], *second, *end;
        char *args[] = { (char *)(uintptr_t) "prepare", (char *)(uintptr_t)cache, module, NULL };
        int r = find_helper(oci, &helper, err);

        if (r < 0)
                return r;
        if (!cache || !*cache)
                args[1] = (char *)(uintptr_t)CACHE_DIR;
        snprintf(module, sizeof(module), "/proc/%d/fd/%d", getpid(), fd);
        r = zl_wasm_call_helper(helper, args, NULL, &said, err);
        if (r < 0)
                return r;
        second = strchr(said, '\n');
        end = second ? strchr(second + 1, '\n') : NULL;
        if (!end)
                return zl_fail(err, ZL_E_INTERNAL, 0, "%s does not say where its files are",
                               helper);
        *second = *end = 0;
        *ret_engine = strdup(said);
        *ret_code = strdup(second + 1);
        return *ret_engine && *ret_code ? 0 : zl_fail_oom(err);
}

/* ---- the bundle ---------------------------------------------------------------------------------------- */

static char *dup_in(struct zl_arena *arena, const char *s)
{
        return zl_arena_strndup(arena, s, strlen(s));
}

static int fill_bind(struct zl_arena *arena, struct zl_oci_mount *m, const char *source,
                     const char *target)
{
        static const char *const options[] = { "bind", "ro", "nosuid", "nodev" };

        m->destination = dup_in(arena, target);
        m->type = dup_in(arena, "bind");
        m->source = dup_in(arena, source);
        m->options = zl_arena_alloc(arena, (ZL_ARRAY_SIZE(options) + 1) * sizeof(char *));
        for (size_t i = 0; m->options && i < ZL_ARRAY_SIZE(options); i++)
                m->options[i] = dup_in(arena, options[i]);
        return m->destination && m->type && m->source && m->options ? 0 : -ENOMEM;
}

static int add_mounts(struct zl_oci_config *config, const char *engine, const char *code)
{
        struct zl_oci_mount *mounts = zl_arena_alloc(config->arena,
                                                     (config->n_mounts + 2) * sizeof(*mounts));

        if (!mounts)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_mounts; i++)
                mounts[i] = config->mounts[i];
        if (fill_bind(config->arena, &mounts[config->n_mounts], engine, ZL_WASM_ENGINE_MOUNT) < 0 ||
            fill_bind(config->arena, &mounts[config->n_mounts + 1], code, ZL_WASM_MODULE_MOUNT) < 0)
                return -ENOMEM;
        config->mounts = mounts;
        config->n_mounts += 2;
        return 0;
}

/* zlayer-wasm for a command of the container, as an array in the arena. */
static int make_command(struct zl_arena *arena, const struct zl_oci_config *config,
                        char *const *args, const char *module, char ***ret)
{
        bool compiled = zl_streq(module, ZL_WASM_MODULE_MOUNT);
        char root[] = "/";
        struct zl_wasm_dir dir = { .host = root, .guest = root };
        const struct zl_wasm_options options = {
                .module = (char *)(uintptr_t)module,
                .compiled = compiled ? (char *)(uintptr_t)module : NULL,
                .argv0 = args[0],
                .args = (char **)(uintptr_t)args + 1,
                .dirs = &dir,
                .n_dirs = sees_root(config),
                .http = true,
                .network = true,
                /* The engine of containers sets it for programs; a guest gets what the bundle says. */
                .no_home = !zl_env_get(config->process->env, "HOME"),
        };
        _cleanup_strv_ char **command = NULL;
        size_t n;
        char **copy;

        if (zl_wasm_command(&options, "run", &command) < 0)
                return -ENOMEM;
        n = zl_strv_len(command);
        copy = zl_arena_alloc(arena, (n + 1) * sizeof(*copy));
        for (size_t i = 0; copy && i < n; i++)
                if (!(copy[i] = dup_in(arena, command[i])))
                        return -ENOMEM;
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

int zl_oci_wasm_prepare(const struct zl_oci *oci, struct zl_oci_config *config, const char *bundle,
                        struct zl_error *err)
{
        _cleanup_free_ char *rootfs = NULL, *engine = NULL, *code = NULL;
        _cleanup_close_ int root = -EBADF, fd = -EBADF;
        enum wish wish = wish_of(config);
        struct zl_oci_process *p = config->process;
        int r;

        if (wish == NO_WASM || !config->root || !config->root->path || !p || !p->args ||
            !p->args[0])
                return 0;
        rootfs = config->root->path[0] == '/' ? strdup(config->root->path)
                                              : zl_path_join(bundle, config->root->path);
        if (!rootfs)
                return zl_fail_oom(err);
        root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
        fd = root < 0 ? -errno : open_command(root, p->cwd, p->args[0], NULL);
        if (wish == WASM_IF_IT_IS && (fd < 0 || !is_module(fd, p->args[0])))
                return 0;
        if (fd < 0)
                return zl_fail(err, ZL_E_NO_COMMAND, -fd, "cannot open the WebAssembly module %s",
                               p->args[0]);
        r = compile(oci, fd, &engine, &code, err);
        if (r < 0) {
                zl_error_prefix(err, "%s", p->args[0]);
                return r;
        }
        if (add_mounts(config, engine, code) < 0 ||
            make_command(config->arena, config, p->args, ZL_WASM_MODULE_MOUNT, &p->args) < 0)
                return zl_fail_oom(err);
        return 0;
}

/* ---- exec ------------------------------------------------------------------------------------------------ */

/* The module that the container was made for: what follows "--argv0=" in the command that it got. */
static const char *own_module(const struct zl_oci_config *config)
{
        ZL_STRV_FOREACH(arg, config->process->args) {
                const char *name = zl_startswith(*arg, "--argv0=");

                if (name)
                        return name;
        }
        return NULL;
}

int zl_oci_wasm_exec(struct zl_container *c, struct zl_arena *arena, const char *cwd,
                     char *const **args, struct zl_error *err)
{
        const struct zl_oci_config *config = zl_container_config(c);
        _cleanup_close_ int root = -EBADF, fd = -EBADF;
        _cleanup_free_ char *path = NULL;
        char name[48], **command;
        bool own;

        if (!config || wish_of(config) == NO_WASM || !config->process || !config->process->args ||
            !zl_streq(config->process->args[0], ZL_WASM_ENGINE_MOUNT "/" ZL_WASM_LOADER))
                return 0;
        snprintf(name, sizeof(name), "/proc/%d/root", zl_container_pid(c));
        root = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        fd = root < 0 ? -errno
                      : open_command(root, cwd ? cwd : config->process->cwd, (*args)[0], &path);
        if (fd < 0 || !is_module(fd, (*args)[0]))
                return 0; /* a program, or an error of the exec itself */
        own = zl_streq(own_module(config), (*args)[0]);
        if (make_command(arena, config, *args, own ? ZL_WASM_MODULE_MOUNT : path, &command) < 0)
                return zl_fail_oom(err);
        *args = command;
        return 0;
}
