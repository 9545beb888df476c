/* SPDX-License-Identifier: Apache-2.0 */
/* What the monitor of a native workload reads: the configuration, the filter, and the files for names that are mounted. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/strv.h"
#include "container/container.h"
#include "network/files.h"
#include "runtimes/native_create.h"
#include "runtimes/native_network.h"
#include "runtimes/seccomp_cache.h"

/* ---- files --------------------------------------------------------------------------------------- */

/* A spare has the file, which is mounted already, and a shell has it, empty. It is cut at the end and not at the beginning: ext4 writes a
 * file out at once that was emptied and filled again. */
int native_write_state(const struct native_creation *c, const char *file, const char *text,
                       mode_t mode, struct zl_error *err)
{
        size_t len = strlen(text);
        _cleanup_close_ int fd = openat(c->state_fd, file,
                                        O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, mode);
        int r = fd < 0 ? -errno : zl_write_full(fd, text, len);

        if (r == 0 && c->spare && ftruncate(fd, (off_t)len) < 0)
                r = -errno;
        /* Whatever our umask is: other users inside must be able to read some. */
        if (r == 0 && !c->shell && fchmod(fd, mode) < 0)
                r = -errno;
        return r < 0 ? zl_fail_errno(err, -r, "cannot write %s/%s", c->dir, file) : 0;
}

int native_describe_names(struct native_creation *c)
{
        _cleanup_free_ char *hostname = NULL, *resolv = zl_net_read_host_resolv(),
                            *etc_hosts = NULL;
        struct zl_net_files in = { .host_network = c->spec->host_network ||
                                                   c->spec->network_mode.kind == ZL_NETWORK_HOST,
                                   .extra_hosts = c->spec->extra_hosts,
                                   .dns = c->spec->dns,
                                   .host_resolv = resolv };
        int r = zl_bundle_hostname(c->spec, &c->ident, &hostname, c->err);

        if (r < 0)
                return r;
        if (!resolv)
                return zl_fail_oom(c->err);
        in.hostname = hostname;
        /* A spare gets its network with its name. */
        if (native_network_is_wanted(c->spec) && !c->is_spare) {
                r = native_network_describe(c->spec, &c->ident, hostname, &c->network, c->err);
                if (r < 0)
                        return r;
                /* Until it is known, for those who check the list; then the file is written anew. */
                in.gateway = "127.0.0.1";
        }
        if (in.host_network) {
                in.gateway = "127.0.0.1";
                if (zl_read_file_at(AT_FDCWD, "/etc/hosts", 1 << 20, &etc_hosts, NULL) == 0)
                        in.host_hosts = etc_hosts;
        }
        r = zl_net_make_hosts(&in, &c->hosts, c->err);
        if (r == 0)
                r = zl_net_make_hostname(&in, &c->name_file, c->err);
        return r < 0 ? r : zl_net_make_resolv_conf(&in, &c->resolv_file, NULL, c->err);
}

int native_write_names(const struct native_creation *c, struct zl_error *err)
{
        int r = native_write_state(c, "hosts", c->hosts, 0644, err);

        if (r == 0)
                r = native_write_state(c, "hostname", c->name_file, 0644, err);
        return r < 0 ? r : native_write_state(c, "resolv.conf", c->resolv_file, 0644, err);
}

/* ---- bundle -------------------------------------------------------------------------------------- */

static char *file_path(const struct native_creation *c, const char *owner, const char *file)
{
        char *path = NULL;

        if (asprintf(&path, "%s/%s/%s", c->n->containers_dir, owner, file) < 0)
                return NULL;
        return path;
}

bool native_has_secrets(const struct native_creation *c)
{
        for (size_t i = 0; i < c->spec->env.n; i++)
                if (zl_startswith(c->spec->env.items[i].value, "$S:"))
                        return true;
        return false;
}

/* From here on the configuration in memory has references in place of the secrets. */
static int hide_secrets(struct native_creation *c)
{
        for (char **pair = c->bundle.config->process->env; pair && *pair; pair++) {
                const char *eq = strchr(*pair, '=');
                _cleanup_free_ char *key = eq ? strndup(*pair, (size_t)(eq - *pair)) : NULL;
                const char *reference = key ? zl_str_map_get(&c->spec->env, key) : NULL;
                char *hidden = NULL;

                if (!reference || !zl_startswith(reference, "$S:"))
                        continue;
                if (asprintf(&hidden, "%s=%s", key, reference) < 0)
                        return zl_fail_oom(c->err);
                explicit_bzero(*pair, strlen(*pair));
                free(*pair);
                *pair = hidden;
        }
        return 0;
}

static int dump_config(const struct native_creation *c, int run)
{
        _cleanup_free_ char *text = NULL;
        int r = zl_oci_config_dump(c->bundle.config, &text, c->err);

        if (r < 0)
                return r;
        if (run < 0)
                return native_write_state(c, NATIVE_CONFIG, text, 0600, c->err);
        r = zl_write_file_at(run, NATIVE_CONFIG, text, strlen(text), 0600, 0);
        explicit_bzero(text, strlen(text));
        return r < 0 ? zl_fail_errno(c->err, -r, "cannot write %s in %s", NATIVE_CONFIG,
                                     c->n->run_dir)
                     : 0;
}

/* Secrets are written to no disk: what the monitor reads is then in the runtime directory, which is in memory, and beside the
 * state there is a copy with references. */
static int write_config(struct native_creation *c)
{
        _cleanup_close_ int run = -EBADF;
        int r = 0;

        if (native_has_secrets(c)) {
                run = native_make_run(c->n, c->options->name, c->err);
                if (run < 0)
                        return run;
                r = dump_config(c, run);
                if (r >= 0)
                        r = hide_secrets(c);
        }
        return r < 0 ? r : dump_config(c, -EBADF);
}

int native_bundle_path(struct native *n, const struct native_record *record, char **ret,
                       struct zl_error *err)
{
        _cleanup_close_ int run = -EBADF;
        int r;

        *ret = zl_path_join(record->secret ? n->run_dir : n->containers_dir, record->name);
        if (!*ret)
                return zl_fail_oom(err);
        if (!record->secret)
                return 0;
        run = native_open_run(n, record->name);
        if (run >= 0 && faccessat(run, NATIVE_CONFIG, F_OK, 0) == 0)
                return 0;
        r = zl_fail(err, ZL_E_STATE, 0, "%s cannot be started again: its secrets are gone",
                    record->name);
        zl_error_hint(err, "a restart of the machine wipes them; it has to be made anew");
        free(*ret);
        *ret = NULL;
        return r;
}

/* The oldest version of the specification that has all we say: some runtimes refuse what is newer than they are. */
static int adapt_to_delegate(struct native_creation *c)
{
        struct zl_oci_config *config = c->bundle.config;

        if (zl_replace_str(&config->oci_version, "1.0.2") < 0 ||
            zl_str_map_set(&config->annotations, ZL_DELEGATE_ANNOTATION, c->n->delegate) < 0)
                return zl_fail_oom(c->err);
        return 0;
}

/* An external runtime compiles the profile of the bundle by itself. Ours is given the filter, and gives it to each process that is
 * executed inside. */
static int take_filter(struct native_creation *c)
{
        struct zl_oci_config *config = c->bundle.config;
        const struct zl_seccomp_facts facts = zl_bundle_filter_facts(&c->n->host.facts, config);

        c->seccomp_fd = c->bundle.builtin_filter
                                ? zl_seccomp_cache_open_builtin(c->n->filters, &facts, c->err)
                                : zl_seccomp_cache_open(c->n->filters, config->linux_->seccomp,
                                                        c->err);
        return c->seccomp_fd < 0 ? c->seccomp_fd : 0;
}

int native_keep_filter(const struct native_creation *c, struct zl_error *err)
{
        /* A spare has it already. */
        int r = c->spare || c->seccomp_fd < 0
                        ? 0
                        : zl_seccomp_cache_keep(c->seccomp_fd, c->state_fd, NATIVE_FILTER);

        return r < 0 ? zl_fail_errno(err, -r, "cannot keep the seccomp filter in %s", c->dir) : 0;
}

int native_make_bundle(struct native_creation *c)
{
        const char *name = c->options->name;
        /* Who shares a network shares its names. */
        const char *network = c->network_name ? c->network_name : name;
        _cleanup_free_ char *rootfs = zl_path_join(c->dir, "rootfs");
        _cleanup_free_ char *hosts = file_path(c, network, "hosts");
        _cleanup_free_ char *hostname = file_path(c, name, "hostname");
        _cleanup_free_ char *resolv = file_path(c, network, "resolv.conf");
        struct zl_bundle_facts facts = c->n->host.facts;
        const struct zl_bundle_input in = {
                .name = native_visible_name(name),
                .ident = &c->ident,
                .spec = c->spec,
                .image = c->image,
                .env = c->options->env,
                .rootfs = rootfs,
                .hosts = hosts,
                .hostname_file = hostname,
                .resolv_conf = resolv,
                .volumes = c->volumes,
                .n_volumes = c->n_volumes,
                .extra_gids = c->gids,
                .n_extra_gids = c->n_gids,
                .gpus = c->gpus,
                .pid_of = c->pid_of,
                .ipc_of = c->ipc_of,
                .network_of = c->network_of,
                .rows = c->options->rows,
                .cols = c->options->cols,
                .facts = &facts,
                .has_builtin_filter = !c->n->delegate,
                .wasm = c->wasm != NULL,
                .warn = native_creation_warn,
                .warn_data = c,
        };
        int r;

        if (!rootfs || !hosts || !hostname || !resolv)
                return zl_fail_oom(c->err);
        facts.machine = c->n->host.machine;
        facts.systemd_cgroup = c->n->settings.systemd_cgroup;
        r = zl_bundle_make(&in, &c->bundle, c->err);
        if (r == 0 && c->wasm)
                r = native_wasm_apply(c->wasm, c->spec, c->dir, c->state_fd, c->bundle.config,
                                      c->err);
        /* A group cannot be renamed. */
        if (r == 0 && c->spare && c->bundle.config->linux_->cgroups_path &&
            zl_replace_str(&c->bundle.config->linux_->cgroups_path, c->spare->cgroup) < 0)
                r = zl_fail_oom(c->err);
        if (r < 0)
                return r;
        /* wasmtime serve finishes what it answers on INT and knows no other signal. */
        if (c->wasm && c->wasm->server && !c->spec->stop_signal)
                c->bundle.stop_signal = SIGINT;
        r = c->n->delegate ? adapt_to_delegate(c) : 0;
        if (r < 0)
                return r;
        if (c->bundle.config->linux_->seccomp && !c->n->delegate)
                r = take_filter(c);
        return r < 0 ? r : write_config(c);
}
