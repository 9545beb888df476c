/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec: a config.json to begin with, for a root file system in "rootfs" and a shell on a terminal.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/json.h"
#include "cli/oci/oci.h"

struct spec_options {
        const char *bundle;
        bool rootless;
};

static const struct zl_cli_option table[] = {
        { "bundle", 'b', ZL_CLI_STRING, offsetof(struct spec_options, bundle), "DIR",
          "write it there (default: here)" },
        { "rootless", 0, ZL_CLI_FLAG, offsetof(struct spec_options, rootless), NULL,
          "for a user without privileges: a user namespace with the caller as root" },
        { 0 },
};

static const char *const default_caps[] = { "CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE" };

static const struct {
        const char *destination, *type, *source, *options;
} default_mounts[] = {
        { "/proc", "proc", "proc", "" },
        { "/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k" },
        { "/dev/pts", "devpts", "devpts",
          "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5" },
        { "/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777 size=65536k" },
        { "/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev" },
        { "/sys", "sysfs", "sysfs", "nosuid noexec nodev ro" },
        { "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid noexec nodev relatime ro" },
};

static const char *const masked[] = {
        "/proc/acpi",          "/proc/asound",     "/proc/kcore",       "/proc/keys",
        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
        "/sys/firmware",       "/proc/scsi",
};

static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                        "/proc/sysrq-trigger" };

static json_t *string_array(const char *const *items, size_t n)
{
        json_t *array = json_array();

        for (size_t i = 0; i < n; i++)
                json_array_append_new(array, json_string(items[i]));
        return array;
}

/* A mount from its table line; a user without privileges cannot mount sysfs and has no group 5. */
static json_t *mount_entry(size_t i, bool rootless)
{
        json_t *options = json_array();
        const char *s = default_mounts[i].options;

        if (rootless && zl_streq(default_mounts[i].type, "sysfs"))
                return json_pack("{s:s, s:s, s:s, s:[s,s,s,s,s]}", "destination", "/sys", "type",
                                 "none", "source", "/sys", "options", "rbind", "nosuid", "noexec",
                                 "nodev", "ro");
        while (*s) {
                size_t n = strcspn(s, " ");

                if (!(rootless && n == 5 && memcmp(s, "gid=5", 5) == 0))
                        json_array_append_new(options, json_stringn(s, n));
                s += n + (s[n] == ' ');
        }
        return json_pack("{s:s, s:s, s:s, s:o}", "destination", default_mounts[i].destination,
                         "type", default_mounts[i].type, "source", default_mounts[i].source,
                         "options", options);
}

static json_t *process_document(void)
{
        json_t *caps = json_object();

        for (size_t i = 0; i < 3; i++) {
                static const char *const sets[] = { "bounding", "effective", "permitted" };

                json_object_set_new(caps, sets[i],
                                    string_array(default_caps, ZL_ARRAY_SIZE(default_caps)));
        }
        return json_pack("{s:b, s:{s:i, s:i}, s:[s], s:[s,s], s:s, s:o, s:[{s:s, s:i, s:i}], s:b}",
                         "terminal", 1, "user", "uid", 0, "gid", 0, "args", "sh", "env",
                         "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                         "TERM=xterm", "cwd", "/", "capabilities", caps, "rlimits", "type",
                         "RLIMIT_NOFILE", "hard", 1024, "soft", 1024, "noNewPrivileges", 1);
}

static json_t *linux_document(bool rootless)
{
        static const char *const namespaces[] = {
                "pid", "network", "ipc", "uts", "mount", "cgroup"
        };
        json_t *list = json_array();
        json_t *object = json_object();
        struct statfs fs;
        /* As runc: on version 1 callers expect to see the group's path from inside. */
        bool unified = statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(namespaces); i++)
                if (!(rootless && zl_streq(namespaces[i], "network")) &&
                    (unified || !zl_streq(namespaces[i], "cgroup")))
                        json_array_append_new(list, json_pack("{s:s}", "type", namespaces[i]));
        if (rootless) {
                json_array_append_new(list, json_pack("{s:s}", "type", "user"));
                json_object_set_new(object, "uidMappings",
                                    json_pack("[{s:i, s:i, s:i}]", "containerID", 0, "hostID",
                                              (int)geteuid(), "size", 1));
                json_object_set_new(object, "gidMappings",
                                    json_pack("[{s:i, s:i, s:i}]", "containerID", 0, "hostID",
                                              (int)getegid(), "size", 1));
        } else {
                json_object_set_new(
                        object, "resources",
                        json_pack("{s:[{s:b, s:s}]}", "devices", "allow", 0, "access", "rwm"));
        }
        json_object_set_new(object, "namespaces", list);
        json_object_set_new(object, "maskedPaths", string_array(masked, ZL_ARRAY_SIZE(masked)));
        json_object_set_new(object, "readonlyPaths",
                            string_array(readonly, ZL_ARRAY_SIZE(readonly)));
        return object;
}

static json_t *document(bool rootless)
{
        json_t *mounts = json_array();

        for (size_t i = 0; i < ZL_ARRAY_SIZE(default_mounts); i++)
                json_array_append_new(mounts, mount_entry(i, rootless));
        return json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", "1.2.0",
                         "process", process_document(), "root", "path", "rootfs", "readonly", 1,
                         "hostname", "zlayer", "mounts", mounts, "linux", linux_document(rootless));
}

static int write_spec(const struct spec_options *o, struct zl_error *err)
{
        _cleanup_close_ int dir = zl_open_dir_at(AT_FDCWD, o->bundle ? o->bundle : ".", 0, err);
        _cleanup_json_ json_t *json = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        if (dir < 0)
                return dir;
        json = document(o->rootless);
        text = json ? zl_json_dump(json, 4) : NULL;
        if (!text)
                return zl_fail_oom(err);
        r = zl_write_file_at(dir, "config.json", text, strlen(text), 0644, ZL_WRITE_EXCLUSIVE);
        if (r == -EEXIST)
                return zl_fail(err, ZL_E_EXISTS, 0, "config.json exists already; remove it first");
        return r < 0 ? zl_fail_errno(err, -r, "cannot write config.json") : 0;
}

static int cmd_spec(struct zl_cli *cli, void *options, int argc _unused_, char **argv _unused_)
{
        struct zl_error err = ZL_ERROR_INIT;

        if (write_spec(options, &err) < 0)
                return zl_oci_fail(zl_oci_of(cli), &err);
        return ZL_EXIT_OK;
}

const struct zl_cli_command zl_oci_cmd_spec = {
        .name = "spec",
        .args = "",
        .summary = "Write a config.json to begin with",
        .options = table,
        .options_size = sizeof(struct spec_options),
        .run = cmd_spec,
};
