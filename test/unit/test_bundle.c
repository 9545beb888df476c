/* SPDX-License-Identifier: Apache-2.0 */
/* What a spec and an image become as an OCI configuration: each field, what is refused, what is warned about. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/strv.h"
#include "runtimes/bundle.h"
#include "spec/spec.h"

/* ---- fixture --------------------------------------------------------------------------------------- */

static struct zl_service_spec *spec;
static struct zl_image *image;
static struct zl_bundle_facts facts;
static struct zl_bundle_input in;
static struct zl_ident ident;
static struct zl_bundle bundle;
static struct zl_error err;
static struct zl_buf warnings;

static int fake_devices(const char *path, struct zl_bundle_device **devices, size_t *n)
{
        if (zl_streq(path, "/dev/notadevice"))
                return -ENOTBLK;
        if (!zl_streq(path, "/dev/fuse") && !zl_streq(path, "/dev"))
                return -ENOENT;
        *devices = calloc(1, sizeof(**devices));
        (*devices)[0] = (struct zl_bundle_device){ strdup("/dev/fuse"), 'c', 10, 229 };
        *n = 1;
        return 0;
}

static int fake_file(const char *path, char **ret, size_t *ret_len)
{
        static const char text[] =
                "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\","
                "\"subArchitectures\":[\"SCMP_ARCH_X86\"]}],\"syscalls\":["
                "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"},"
                "{\"names\":[\"mount\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}},"
                "{\"names\":[\"ptrace\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"minKernel\":\"4.8\"}},"
                "{\"names\":[\"kcmp\"],\"action\":\"SCMP_ACT_ALLOW\",\"excludes\":{\"arches\":[\"amd64\"]}}]}";

        if (!zl_streq(path, "/profile.json"))
                return -ENOENT;
        *ret = strdup(text);
        *ret_len = strlen(text);
        return 0;
}

static void note(const char *text, void *data)
{
        zl_buf_putf(&warnings, "%s\n", text);
}

static int setup(void **state)
{
        warnings = ZL_BUF_INIT(1 << 16);
        image = calloc(1, sizeof(*image));
        zl_strv_push(&image->env, "PATH=/image/bin");
        zl_strv_push(&image->env, "FROM=image");
        zl_strv_push(&image->entrypoint, "/entry");
        zl_strv_push(&image->cmd, "cmd");
        facts = (struct zl_bundle_facts){ .machine = "x86_64",
                                          .kernel_major = 6,
                                          .capabilities = (UINT64_C(1) << 41) - 1,
                                          .files_max = UINT64_MAX,
                                          .pids_controller = true,
                                          .find_devices = fake_devices,
                                          .read_file = fake_file };
        if (zl_service_spec_new_default("bb", &spec, NULL) < 0 ||
            zl_ident_make(&ident, "shop", "web", 2, NULL) < 0)
                return -1;
        in = (struct zl_bundle_input){ .name = "shop.web.2",
                                       .ident = &ident,
                                       .spec = spec,
                                       .image = image,
                                       .rootfs = "/r",
                                       .hosts = "/h/hosts",
                                       .hostname_file = "/h/hostname",
                                       .resolv_conf = "/h/resolv.conf",
                                       .facts = &facts,
                                       .warn = note };
        return 0;
}

static int teardown(void **state)
{
        zl_bundle_done(&bundle);
        zl_service_spec_free(spec);
        zl_image_free(image);
        zl_error_done(&err);
        zl_buf_done(&warnings);
        return 0;
}

static const struct zl_oci_config *make(void)
{
        zl_bundle_done(&bundle);
        zl_error_done(&err);
        if (zl_bundle_make(&in, &bundle, &err) < 0)
                fail_msg("%s", zl_error_message(&err));
        return bundle.config;
}

/* The spec must be refused with this code and a message that begins with `field`. */
static void refused(enum zl_code code, const char *field)
{
        zl_bundle_done(&bundle);
        zl_error_done(&err);
        assert_true(zl_bundle_make(&in, &bundle, &err) < 0);
        if (!zl_startswith(err.message, field))
                fail_msg("\"%s\" does not begin with \"%s\"", err.message, field);
        assert_int_equal(err.code, code);
        assert_null(bundle.config);
}

static bool warned(const char *field)
{
        return warnings.data && strstr(warnings.data, field);
}

static void set(char **p, const char *value)
{
        free(*p);
        *p = value ? strdup(value) : NULL;
}

static const struct zl_oci_mount *mount_at(const char *target)
{
        for (size_t i = 0; i < bundle.config->n_mounts; i++)
                if (zl_streq(bundle.config->mounts[i].destination, target))
                        return &bundle.config->mounts[i];
        return NULL;
}

static const struct zl_oci_namespace *namespace_of(const char *type)
{
        const struct zl_oci_linux *l = bundle.config->linux_;

        for (size_t i = 0; i < l->n_namespaces; i++)
                if (zl_streq(l->namespaces[i].type, type))
                        return &l->namespaces[i];
        return NULL;
}

static bool has_cap(const char *name)
{
        return zl_strv_contains(bundle.config->process->capabilities->bounding, name);
}

/* The action of the first rule without arguments for a call; NULL: the default. */
static const char *action_of(const char *name)
{
        const struct zl_oci_seccomp *s = bundle.config->linux_->seccomp;

        for (size_t i = 0; i < s->n_syscalls; i++)
                if (s->syscalls[i].n_args == 0 && zl_strv_contains(s->syscalls[i].names, name))
                        return s->syscalls[i].action;
        return NULL;
}

static struct zl_storage_spec *add_storage(enum zl_storage_type type, const char *source,
                                           const char *target)
{
        struct zl_storage_spec *s;

        spec->storage = realloc(spec->storage, (spec->n_storage + 1) * sizeof(*s));
        s = &spec->storage[spec->n_storage++];
        *s = (struct zl_storage_spec){ .type = type, .target = strdup(target) };
        if (type == ZL_STORAGE_BIND)
                s->source = strdup(source);
        return s;
}

/* ---- process --------------------------------------------------------------------------------------- */

static void test_defaults(void **state)
{
        const struct zl_oci_config *c = make();

        assert_string_equal(c->oci_version, "1.2.0");
        assert_string_equal(c->root->path, "/r");
        assert_false(c->root->readonly);
        assert_string_equal(c->hostname, "web-rep-2");
        assert_string_equal(c->process->args[0], "/entry");
        assert_string_equal(c->process->args[1], "cmd");
        assert_string_equal(c->process->cwd, "/");
        assert_true(c->process->no_new_privileges);
        assert_false(c->process->terminal);
        assert_null(c->process->user.username);
        assert_string_equal(c->linux_->cgroups_path, "/zlayer/shop.web.2");
        assert_string_equal(zl_str_map_get(&c->annotations, "com.zlayer.service"), "web");
        assert_int_equal(bundle.stop_signal, 15);
        assert_int_equal(bundle.grace_nsec, ZL_BUNDLE_GRACE_DEFAULT);
        assert_false(bundle.init_reaper);
        assert_null(warnings.data);
}

static void test_args(void **state)
{
        zl_strv_push(&spec->command.args, "x");
        assert_string_equal(make()->process->args[0],
                            "/entry"); /* args alone keep the entry point */
        assert_string_equal(bundle.config->process->args[1], "x");
        zl_strv_push(&spec->command.entrypoint, "/mine");
        assert_string_equal(make()->process->args[0], "/mine");
        assert_string_equal(bundle.config->process->args[1], "x");
        zl_strv_free(spec->command.args);
        spec->command.args = NULL;
        assert_string_equal(make()->process->args[0], "/mine");
        assert_null(
                bundle.config->process->args[1]); /* the image's CMD goes with its entry point */
        zl_strv_free(spec->command.entrypoint);
        spec->command.entrypoint = NULL;
        zl_strv_free(image->entrypoint);
        zl_strv_free(image->cmd);
        image->entrypoint = image->cmd = NULL;
        assert_string_equal(make()->process->args[0], "/bin/sh");
        set(&spec->command.workdir, "relative");
        refused(ZL_E_INVALID, "command.workdir");
}

static void test_env(void **state)
{
        char *const resolved[] = { (char *)"FROM=resolved", (char *)"EMPTY=", (char *)"EQ=a=b",
                                   NULL };
        char **env;

        zl_str_map_set(&spec->env, "FROM", "spec");
        env = make()->process->env;
        assert_string_equal(zl_env_get(env, "FROM"), "spec");
        assert_string_equal(zl_env_get(env, "PATH"), "/image/bin");
        assert_string_equal(zl_env_get(env, "TERM"), "xterm");
        assert_string_equal(zl_env_get(env, "HOSTNAME"), "web-rep-2");
        in.env = resolved;
        env = make()->process->env;
        assert_string_equal(zl_env_get(env, "FROM"), "resolved");
        assert_string_equal(zl_env_get(env, "EMPTY"), "");
        assert_string_equal(zl_env_get(env, "EQ"), "a=b");
        in.env = NULL;
        zl_str_map_set(&spec->env, "A=B", "x");
        refused(ZL_E_INVALID, "env");
}

static void test_user_and_terminal(void **state)
{
        static const gid_t gids[] = { 5, 6 };

        set(&image->user, "www");
        assert_string_equal(make()->process->user.username, "www");
        set(&spec->user, "1000:50");
        in.extra_gids = gids;
        in.n_extra_gids = 2;
        spec->tty = true;
        in.rows = 24;
        in.cols = 80;
        assert_string_equal(make()->process->user.username, "1000:50");
        assert_int_equal(bundle.config->process->user.n_additional_gids, 2);
        assert_int_equal(bundle.config->process->user.additional_gids[1], 6);
        assert_true(bundle.config->process->terminal);
        assert_int_equal(bundle.config->process->console_size->width, 80);
}

static void test_stop_and_reaper(void **state)
{
        set(&image->stop_signal, "SIGQUIT");
        make();
        assert_int_equal(bundle.stop_signal, 3);
        set(&spec->stop_signal, "INT");
        spec->has_stop_grace_period = true;
        spec->stop_grace_period = 5;
        spec->has_init_container = spec->init_container = true;
        make();
        assert_int_equal(bundle.stop_signal, 2);
        assert_int_equal(bundle.grace_nsec, 5);
        assert_true(bundle.init_reaper);
        set(&spec->stop_signal, "SIGNONSENSE");
        refused(ZL_E_INVALID, "stop_signal");
}

/* ---- namespaces ------------------------------------------------------------------------------------- */

static void test_namespaces(void **state)
{
        static const char *const own[] = { "pid", "ipc", "uts", "mount", "network", "cgroup" };

        make();
        for (size_t i = 0; i < ZL_ARRAY_SIZE(own); i++) {
                assert_non_null(namespace_of(own[i]));
                assert_null(namespace_of(own[i])->path);
        }
        assert_null(namespace_of("user"));
        spec->host_network = true;
        set(&spec->pid_mode, "host");
        set(&spec->ipc_mode, "host");
        make();
        assert_null(namespace_of("network"));
        assert_null(namespace_of("pid"));
        assert_null(namespace_of("ipc"));
        assert_string_equal(mount_at("/dev/shm")->source, "/dev/shm");
}

static void test_joined_namespaces(void **state)
{
        spec->network_mode.kind = ZL_NETWORK_CONTAINER;
        spec->network_mode.name = strdup("db");
        set(&spec->pid_mode, "container:db");
        in.network_of = in.pid_of = 42;
        make();
        assert_string_equal(namespace_of("network")->path, "/proc/42/ns/net");
        assert_string_equal(namespace_of("pid")->path, "/proc/42/ns/pid");
        spec->host_network = true;
        refused(ZL_E_INVALID, "network_mode");
        spec->host_network = false;
        set(&spec->pid_mode, "nonsense");
        refused(ZL_E_INVALID, "pid_mode");
        set(&spec->pid_mode, NULL);
        set(&spec->userns_mode, "auto"); /* a wish for isolation is never dropped */
        refused(ZL_E_UNSUPPORTED, "userns_mode");
}

static void test_names(void **state)
{
        set(&spec->hostname, "web.example");
        assert_string_equal(make()->hostname, "web.example");
        set(&spec->hostname, "bad name");
        refused(ZL_E_INVALID, "hostname");
        set(&spec->hostname, NULL);
        set(&spec->cgroup_parent, "/a/b");
        assert_string_equal(make()->linux_->cgroups_path, "/a/b/shop.web.2");
        /* A user's goes where the engine finds a place, unless he names one. */
        facts.rootless = true;
        assert_string_equal(make()->linux_->cgroups_path, "/a/b/shop.web.2");
        set(&spec->cgroup_parent, NULL);
        assert_null(make()->linux_->cgroups_path);
        facts.rootless = false;
        set(&spec->cgroup_parent, "../x");
        refused(ZL_E_INVALID, "cgroup_parent");
        facts.systemd_cgroup = true;
        set(&spec->cgroup_parent, NULL);
        assert_string_equal(make()->linux_->cgroups_path, "system.slice:zlayer:shop.web.2");
        zl_str_map_set(&spec->labels, "tier", "front");
        assert_string_equal(zl_str_map_get(&make()->annotations, "tier"), "front");
}

/* ---- mounts ------------------------------------------------------------------------------------------ */

static void test_standard_mounts(void **state)
{
        make();
        assert_true(zl_strv_contains(mount_at("/sys")->options, "ro"));
        assert_true(zl_strv_contains(mount_at("/sys/fs/cgroup")->options, "ro"));
        assert_true(zl_strv_contains(mount_at("/proc")->options, "nosuid"));
        assert_true(zl_strv_contains(mount_at("/dev")->options, "mode=755"));
        assert_string_equal(mount_at("/etc/hosts")->source, "/h/hosts");
        assert_string_equal(mount_at("/etc/resolv.conf")->source, "/h/resolv.conf");
        spec->privileged = true;
        make();
        assert_false(zl_strv_contains(mount_at("/sys")->options, "ro"));
        spec->read_only_root_fs = true;
        assert_true(make()->root->readonly);
}

static void test_storage(void **state)
{
        struct zl_bundle_volume volumes[] = {
                { (char *)"/v/shop.data/_data", (char *)"/data", false },
                { (char *)"/v/_anon/x/0", (char *)"/cache", false },
                { (char *)"/v/_anon/x/1", (char *)"/image-volume", false },
        };
        const struct zl_oci_config *c;
        struct zl_storage_spec *s;

        add_storage(ZL_STORAGE_BIND, "/src", "/deep/er/still")->readonly = true;
        s = add_storage(ZL_STORAGE_NAMED, NULL, "/data/");
        s->name = strdup("data");
        s->size = strdup("1Gi");
        add_storage(ZL_STORAGE_ANONYMOUS, NULL, "/cache");
        s = add_storage(ZL_STORAGE_TMPFS, NULL, "/deep");
        s->size = strdup("64Mi");
        s->has_mode = true;
        s->mode = 01777;
        add_storage(ZL_STORAGE_BIND, "/my-hosts", "/etc/hosts");
        in.volumes = volumes;
        in.n_volumes = 3;
        c = make();
        assert_true(zl_strv_contains(mount_at("/deep/er/still")->options, "ro"));
        assert_true(zl_strv_contains(mount_at("/deep/er/still")->options, "rbind"));
        assert_string_equal(mount_at("/data")->source, "/v/shop.data/_data");
        assert_string_equal(mount_at("/cache")->source, "/v/_anon/x/0");
        assert_string_equal(mount_at("/image-volume")->source, "/v/_anon/x/1");
        assert_true(zl_strv_contains(mount_at("/deep")->options, "size=67108864"));
        assert_true(zl_strv_contains(mount_at("/deep")->options, "mode=1777"));
        /* the outer one first, or it would hide the inner one */
        assert_true(mount_at("/deep") < mount_at("/deep/er/still"));
        assert_string_equal(mount_at("/etc/hosts")->source, "/my-hosts");
        for (size_t i = 0, n = 0; i < c->n_mounts; i++) {
                n += zl_streq(c->mounts[i].destination, "/etc/hosts");
                assert_true(n <= 1);
        }
        assert_true(warned("storage[1].size"));
}

static void test_bad_storage(void **state)
{
        static const char *const targets[] = { "relative",  "/",    "/proc",
                                               "/proc/sys", "/sys", "/a/../.." };
        struct zl_storage_spec *s = add_storage(ZL_STORAGE_BIND, "/src", "x");

        for (size_t i = 0; i < ZL_ARRAY_SIZE(targets); i++) {
                set(&s->target, targets[i]);
                refused(ZL_E_INVALID, "storage[0]");
        }
        set(&s->target, "/ok");
        set(&s->source, "relative");
        refused(ZL_E_INVALID, "storage[0].source");
        set(&s->source, "/src");
        add_storage(ZL_STORAGE_BIND, "/src", "/ok/");
        refused(ZL_E_INVALID, "storage[1]: two mounts");
        set(&spec->storage[1].source, NULL);
        spec->storage[1].type = ZL_STORAGE_S3;
        set(&spec->storage[1].target, "/s3");
        refused(ZL_E_UNSUPPORTED, "storage[1]: a bucket (type s3)");
        spec->storage[1].type = ZL_STORAGE_TMPFS;
        set(&spec->storage[1].size, "lots");
        refused(ZL_E_INVALID, "storage[1].size");
}

/* ---- security ---------------------------------------------------------------------------------------- */

static void test_capabilities(void **state)
{
        make();
        assert_true(has_cap("CAP_CHOWN"));
        assert_true(has_cap("CAP_KILL"));
        assert_false(has_cap("CAP_SYS_ADMIN"));
        assert_false(has_cap("CAP_NET_ADMIN"));
        assert_int_equal(zl_strv_len(bundle.config->process->capabilities->bounding), 14);
        assert_int_equal(zl_strv_len(bundle.config->process->capabilities->effective), 14);
        assert_null(bundle.config->process->capabilities->ambient);
        /* added, not replaced; and nothing else is switched off */
        zl_strv_push(&spec->capabilities, "cap_net_admin");
        zl_strv_push(&spec->cap_drop, "MKNOD");
        make();
        assert_true(has_cap("CAP_NET_ADMIN"));
        assert_true(has_cap("CAP_CHOWN"));
        assert_false(has_cap("CAP_MKNOD"));
        assert_true(bundle.config->process->no_new_privileges);
        zl_strv_push(&spec->cap_drop, "ALL");
        make();
        assert_int_equal(zl_strv_len(bundle.config->process->capabilities->bounding), 1);
        zl_strv_push(&spec->cap_drop, "NET_FOO");
        refused(ZL_E_INVALID, "cap_drop");
}

static void test_all_capabilities(void **state)
{
        zl_strv_push(&spec->capabilities, "all");
        make();
        assert_int_equal(zl_strv_len(bundle.config->process->capabilities->bounding), 41);
        zl_strv_push(&spec->cap_drop, "SYS_MODULE");
        make();
        assert_false(has_cap("CAP_SYS_MODULE"));
        assert_true(has_cap("CAP_SYS_ADMIN"));
        zl_strv_free(spec->capabilities);
        zl_strv_free(spec->cap_drop);
        spec->cap_drop = spec->capabilities = NULL;
        facts.capabilities = 1; /* CHOWN only, as in another container */
        make();
        assert_int_equal(zl_strv_len(bundle.config->process->capabilities->bounding), 1);
        zl_strv_push(&spec->capabilities, "SYS_TIME");
        refused(ZL_E_PERMISSION, "capabilities");
        spec->capabilities[0][0] = 'X';
        refused(ZL_E_INVALID, "capabilities");
}

static void test_privileged(void **state)
{
        const struct zl_oci_config *c;

        make();
        assert_true(zl_strv_contains(bundle.config->linux_->masked_paths, "/proc/kcore"));
        assert_true(zl_strv_contains(bundle.config->linux_->readonly_paths, "/proc/sys"));
        spec->privileged = true;
        c = make();
        assert_null(c->linux_->seccomp);
        assert_null(c->linux_->masked_paths);
        assert_false(c->process->no_new_privileges);
        assert_int_equal(zl_strv_len(c->process->capabilities->bounding), 41);
        assert_true(c->linux_->resources->devices[0].allow);
        assert_string_equal(c->linux_->resources->devices[0].type, "a");
        assert_string_equal(c->linux_->devices[0].path, "/dev/fuse");
}

static void test_seccomp(void **state)
{
        make();
        assert_string_equal(bundle.config->linux_->seccomp->default_action, "SCMP_ACT_ERRNO");
        assert_int_equal(bundle.config->linux_->seccomp->default_errno_ret, ENOSYS);
        assert_true(zl_strv_contains(bundle.config->linux_->seccomp->architectures,
                                     "SCMP_ARCH_X86_64"));
        assert_string_equal(action_of("openat"), "SCMP_ACT_ALLOW");
        assert_string_equal(action_of("mount"), "SCMP_ACT_ERRNO");
        assert_string_equal(action_of("chroot"),
                            "SCMP_ACT_ALLOW"); /* SYS_CHROOT is in the default set */
        assert_string_equal(action_of("kexec_load"), "SCMP_ACT_ERRNO");
        assert_string_equal(action_of("clone3"), "SCMP_ACT_ERRNO");
        assert_null(action_of("socket")); /* only with an argument */
        zl_strv_push(&spec->capabilities, "SYS_ADMIN");
        make();
        assert_string_equal(action_of("mount"), "SCMP_ACT_ALLOW");
        assert_string_equal(action_of("clone3"), "SCMP_ACT_ALLOW");
        assert_string_equal(action_of("reboot"), "SCMP_ACT_ERRNO");
}

static void test_seccomp_once(void **state)
{
        const struct zl_oci_seccomp *s;

        /* No call may be both allowed and denied without a condition, whatever the capabilities are. */
        zl_strv_push(&spec->capabilities, "BPF");
        zl_strv_push(&spec->capabilities, "SYSLOG");
        make();
        assert_string_equal(action_of("bpf"), "SCMP_ACT_ALLOW");
        s = bundle.config->linux_->seccomp;
        for (size_t i = 0; i < s->n_syscalls; i++)
                for (size_t k = i + 1; k < s->n_syscalls; k++) {
                        if (s->syscalls[i].n_args || s->syscalls[k].n_args)
                                continue;
                        ZL_STRV_FOREACH(name, s->syscalls[i].names)
                                if (zl_strv_contains(s->syscalls[k].names, *name) &&
                                    !zl_streq(s->syscalls[i].action, s->syscalls[k].action))
                                        fail_msg("%s has two actions", *name);
                }
}

static void test_security_opt(void **state)
{
        zl_strv_push(&spec->security_opt, "no-new-privileges:false");
        zl_strv_push(&spec->security_opt, "seccomp=unconfined");
        zl_strv_push(&spec->security_opt, "systempaths=unconfined");
        zl_strv_push(&spec->security_opt, "label:disable");
        make();
        assert_false(bundle.config->process->no_new_privileges);
        assert_null(bundle.config->linux_->seccomp);
        assert_null(bundle.config->linux_->masked_paths);
        zl_strv_push(&spec->security_opt, "seccomp=/profile.json");
        make();
        assert_string_equal(action_of("read"), "SCMP_ACT_ALLOW");
        assert_string_equal(action_of("ptrace"), "SCMP_ACT_ALLOW");
        assert_null(action_of("mount"));
        assert_null(action_of("kcmp"));
        assert_true(
                zl_strv_contains(bundle.config->linux_->seccomp->architectures, "SCMP_ARCH_X86"));
        zl_strv_push(&spec->security_opt, "apparmor=mine");
        refused(ZL_E_UNSUPPORTED, "security_opt");
        facts.apparmor = true;
        assert_string_equal(make()->process->apparmor_profile, "mine");
        zl_strv_push(&spec->security_opt, "seccomp=/missing.json");
        refused(ZL_E_NOT_FOUND, "security_opt");
        zl_strv_push(&spec->security_opt, "nonsense");
        refused(ZL_E_INVALID, "security_opt");
}

static void test_devices(void **state)
{
        const struct zl_oci_linux *l;
        const struct zl_oci_device_rule *last;

        spec->devices = calloc(1, sizeof(*spec->devices));
        spec->n_devices = 1;
        spec->devices[0].path = strdup("/dev/fuse");
        spec->devices[0].read = true;
        l = make()->linux_;
        assert_int_equal(l->n_devices, 1);
        assert_int_equal(l->devices[0].major, 10);
        assert_int_equal(l->devices[0].minor, 229);
        assert_false(l->resources->devices[0].allow); /* first of all: nothing */
        last = &l->resources->devices[l->resources->n_devices - 1];
        assert_int_equal(last->minor, 229);
        assert_string_equal(last->access, "r");
        spec->devices[0].read = false; /* all false means read and write */
        l = make()->linux_;
        assert_string_equal(l->resources->devices[l->resources->n_devices - 1].access, "rw");
        set(&spec->devices[0].path, "/dev/missing");
        refused(ZL_E_NOT_FOUND, "devices[0].path");
        set(&spec->devices[0].path, "/dev/notadevice");
        refused(ZL_E_INVALID, "devices[0].path");
}

/* ---- resources ----------------------------------------------------------------------------------------- */

static void test_limits(void **state)
{
        struct zl_resources_spec *r = &spec->resources;
        const struct zl_oci_resources *o;

        r->has_cpu = true;
        r->cpu = 0.29;
        r->memory = strdup("512Mi");
        r->memory_swap = strdup("1Gi");
        r->memory_reservation = strdup("100M");
        r->cpuset = strdup("0-3,7");
        r->has_cpu_shares = r->has_pids_limit = r->has_blkio_weight = true;
        r->cpu_shares = 512;
        r->pids_limit = 100;
        r->blkio_weight = 500;
        r->has_oom_score_adj = true;
        r->oom_score_adj = -500;
        o = make()->linux_->resources;
        assert_int_equal(o->cpu->quota, 29000);
        assert_int_equal(o->cpu->period, 100000);
        assert_int_equal(o->cpu->shares, 512);
        assert_string_equal(o->cpu->cpus, "0-3,7");
        assert_int_equal(o->memory->limit, 512 << 20);
        assert_int_equal(o->memory->swap, 1 << 30);
        assert_int_equal(o->memory->reservation, 100000000);
        assert_int_equal(o->pids->limit, 100);
        assert_int_equal(o->block_io->weight, 500);
        assert_int_equal(bundle.config->process->oom_score_adj, -500);
        r->pids_limit = 0;
        set(&r->memory_swap, "-1");
        o = make()->linux_->resources;
        assert_int_equal(o->pids->limit, -1);
        assert_int_equal(o->memory->swap, -1);
}

static void test_default_pids(void **state)
{
        assert_int_equal(make()->linux_->resources->pids->limit, ZL_BUNDLE_PIDS_DEFAULT);
        facts.pids_controller = false;
        assert_null(make()->linux_->resources->pids);
}

static void test_bad_limits(void **state)
{
        struct zl_resources_spec *r = &spec->resources;

        r->memory_swap = strdup("1Gi");
        refused(ZL_E_INVALID, "resources.memory_swap");
        r->memory = strdup("2Gi");
        refused(ZL_E_INVALID, "resources.memory_swap");
        set(&r->memory_swap, NULL);
        r->memory_reservation = strdup("3Gi");
        refused(ZL_E_INVALID, "resources.memory_reservation");
        set(&r->memory_reservation, "much");
        refused(ZL_E_INVALID, "resources.memory_reservation");
        set(&r->memory_reservation, NULL);
        r->has_memory_swappiness = true;
        r->memory_swappiness = 101;
        refused(ZL_E_INVALID, "resources.memory_swappiness");
        r->has_memory_swappiness = false;
        r->cpuset = strdup("a-b");
        refused(ZL_E_INVALID, "resources.cpuset");
        set(&r->cpuset, NULL);
        r->has_blkio_weight = true;
        r->blkio_weight = 5;
        refused(ZL_E_INVALID, "resources.blkio_weight");
        r->has_blkio_weight = false;
        r->has_oom_score_adj = true;
        r->oom_score_adj = 1001;
        refused(ZL_E_INVALID, "resources.oom_score_adj");
}

static void test_ulimits(void **state)
{
        const struct zl_oci_process *p = make()->process;

        assert_int_equal(p->n_rlimits, 1);
        assert_string_equal(p->rlimits[0].type, "RLIMIT_NOFILE");
        assert_int_equal(p->rlimits[0].hard, 524288);
        facts.files_max = 500; /* we have no more to give */
        p = make()->process;
        assert_int_equal(p->rlimits[0].soft, 500);
        assert_int_equal(p->rlimits[0].hard, 500);
        spec->ulimits = calloc(1, sizeof(*spec->ulimits));
        spec->n_ulimits = 1;
        spec->ulimits[0].name = strdup("nofile");
        spec->ulimits[0].limit = (struct zl_ulimit_spec){ 10, -1 };
        p = make()->process;
        assert_int_equal(p->n_rlimits, 1);
        assert_int_equal(p->rlimits[0].soft, 10);
        assert_true(p->rlimits[0].hard == UINT64_MAX);
        spec->ulimits[0].limit = (struct zl_ulimit_spec){ 10, 5 };
        refused(ZL_E_INVALID, "ulimits.nofile");
        set(&spec->ulimits[0].name, "files");
        refused(ZL_E_INVALID, "ulimits");
}

static void test_sysctls(void **state)
{
        zl_str_map_set(&spec->sysctls, "net.core.somaxconn", "1024");
        assert_string_equal(zl_str_map_get(&make()->linux_->sysctl, "net.core.somaxconn"), "1024");
        spec->host_network = true; /* it would be the machine's */
        refused(ZL_E_INVALID, "sysctls");
        spec->host_network = false;
        zl_str_map_set(&spec->sysctls, "vm.swappiness", "0");
        refused(ZL_E_INVALID, "sysctls");
}

/* ---- graphics processors -------------------------------------------------------------------------- */

static int all_devices(const char *path, struct zl_bundle_device **devices, size_t *n)
{
        if (zl_streq(path, "/dev/nvidia-uvm-tools"))
                return -ENOENT;
        *devices = calloc(1, sizeof(**devices));
        (*devices)[0] = (struct zl_bundle_device){ strdup(path), 'c', 195, 7 };
        *n = 1;
        return 0;
}

static void want_gpus(const char *vendor)
{
        spec->resources.gpu = calloc(1, sizeof(*spec->resources.gpu));
        spec->resources.gpu->count = 2;
        spec->resources.gpu->vendor = strdup(vendor);
        facts.find_devices = all_devices;
}

static bool has_node(const char *path)
{
        const struct zl_oci_linux *l = bundle.config->linux_;

        for (size_t i = 0; i < l->n_devices; i++)
                if (zl_streq(l->devices[i].path, path))
                        return true;
        return false;
}

static void test_gpu(void **state)
{
        static struct zl_gpu gpus[] = { { (char *)(uintptr_t) "/dev/nvidia1", NULL, 1 },
                                        { (char *)(uintptr_t) "/dev/nvidia5", NULL, 5 } };
        char **env;

        want_gpus("nvidia");
        spec->resources.gpu->model = strdup("A100");
        in.gpus = (struct zl_gpus){ gpus, 2 };
        env = make()->process->env;
        assert_string_equal(zl_env_get(env, "NVIDIA_VISIBLE_DEVICES"), "1,5");
        assert_string_equal(zl_env_get(env, "CUDA_VISIBLE_DEVICES"), "0,1");
        assert_null(zl_env_get(env, "ZE_AFFINITY_MASK"));
        assert_true(has_node("/dev/nvidia1") && has_node("/dev/nvidia5"));
        assert_true(has_node("/dev/nvidiactl") && has_node("/dev/nvidia-uvm"));
        assert_false(has_node("/dev/nvidia0"));
        assert_true(warned("resources.gpu: /dev/nvidia-uvm-tools"));
        assert_true(warned("resources.gpu: without the libraries of the driver"));
        assert_true(warned("resources.gpu.model"));
        spec->privileged = true; /* it sees all */
        env = make()->process->env;
        assert_string_equal(zl_env_get(env, "CUDA_VISIBLE_DEVICES"), "1,5");
}

static void test_gpu_of_others(void **state)
{
        static struct zl_gpu gpus[] = { { (char *)(uintptr_t) "/dev/dri/renderD129",
                                          (char *)(uintptr_t) "/dev/dri/card3", 1 } };
        char **env;

        want_gpus("amd");
        in.gpus = (struct zl_gpus){ gpus, 1 };
        env = make()->process->env;
        assert_string_equal(zl_env_get(env, "ROCR_VISIBLE_DEVICES"), "0");
        assert_string_equal(zl_env_get(env, "HIP_VISIBLE_DEVICES"), "0");
        assert_true(has_node("/dev/kfd") && has_node("/dev/dri/renderD129"));
        assert_true(has_node("/dev/dri/card3") && !has_node("/dev/nvidiactl"));
        assert_false(warned("resources.gpu"));
        spec->privileged = true;
        env = make()->process->env;
        assert_string_equal(zl_env_get(env, "ROCR_VISIBLE_DEVICES"), "1");
        assert_string_equal(zl_env_get(env, "HIP_VISIBLE_DEVICES"), "0"); /* of what ROCR leaves */
        spec->privileged = false;
        in.gpus.n = 0;
        env = make()->process->env;
        assert_string_equal(zl_env_get(env, "ROCR_VISIBLE_DEVICES"), "");
        assert_false(has_node("/dev/kfd"));
}

static void test_gpu_of_wasm(void **state)
{
        want_gpus("nvidia");
        in.wasm = true;
        image->kind = ZL_IMAGE_WASM;
        assert_null(zl_env_get(make()->process->env, "NVIDIA_VISIBLE_DEVICES"));
        assert_true(warned("resources.gpu: a WebAssembly program"));
}

static void test_warnings(void **state)
{
        spec->port_mappings = calloc(1, sizeof(*spec->port_mappings));
        spec->n_port_mappings = 1;
        spec->port_mappings[0].host_ip = strdup("0.0.0.0");
        make(); /* what is published is on a bridge by itself */
        assert_false(warned("port_mappings"));
        spec->network_mode.kind = ZL_NETWORK_NONE;
        make();
        assert_true(warned("port_mappings"));
}

static void test_platform(void **state)
{
        spec->platform = calloc(1, sizeof(*spec->platform));
        spec->platform->os = ZL_OS_WINDOWS;
        refused(ZL_E_ROUTE_TO_PEER, "platform.os");
        spec->platform->os = ZL_OS_LINUX;
        spec->platform->arch = ZL_ARCH_ARM64;
        refused(ZL_E_ROUTE_TO_PEER, "platform.arch");
        spec->platform->arch = ZL_ARCH_AMD64;
        make();
        spec->service_type = ZL_SERVICE_WASM_HTTP;
        refused(ZL_E_UNSUPPORTED, "shop.web.2");
}

/* What is made must be a document that the engine takes. */
static void test_document(void **state)
{
        struct zl_oci_config *again = NULL;
        char *text = NULL;

        zl_strv_push(&spec->capabilities, "NET_ADMIN");
        assert_int_equal(zl_oci_config_check(make(), &err), 0);
        assert_int_equal(zl_oci_config_dump(bundle.config, &text, NULL), 0);
        assert_int_equal(zl_oci_config_parse(text, strlen(text), "test", &again, NULL), 0);
        assert_string_equal(again->process->args[0], "/entry");
        assert_int_equal(again->n_mounts, bundle.config->n_mounts);
        assert_int_equal(again->linux_->seccomp->n_syscalls,
                         bundle.config->linux_->seccomp->n_syscalls);
        zl_oci_config_free(again);
        free(text);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(test_defaults),
                T(test_args),
                T(test_env),
                T(test_user_and_terminal),
                T(test_stop_and_reaper),
                T(test_namespaces),
                T(test_joined_namespaces),
                T(test_names),
                T(test_standard_mounts),
                T(test_storage),
                T(test_bad_storage),
                T(test_capabilities),
                T(test_all_capabilities),
                T(test_privileged),
                T(test_seccomp),
                T(test_seccomp_once),
                T(test_security_opt),
                T(test_devices),
                T(test_limits),
                T(test_default_pids),
                T(test_bad_limits),
                T(test_ulimits),
                T(test_sysctls),
                T(test_gpu),
                T(test_gpu_of_others),
                T(test_gpu_of_wasm),
                T(test_warnings),
                T(test_platform),
                T(test_document),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
