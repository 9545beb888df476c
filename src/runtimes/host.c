/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about the machine. What cannot be read counts as "not there": a fact only ever switches something off or
 * turns a wish into a clear error, so a wrong "no" is safe.
 */
#include "runtimes/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"
#include "linux/cgroup.h"

enum { CAPABILITY_MAX = 63, CAPABILITY_SYS_RESOURCE = 24, DEVICE_DEPTH_MAX = 8 };

static uint64_t read_capabilities(void)
{
        uint64_t set = 0;

        for (unsigned i = 0; i <= CAPABILITY_MAX; i++) {
                int r = prctl(PR_CAPBSET_READ, i, 0, 0, 0);

                if (r < 0)
                        break;
                if (r == 1)
                        set |= UINT64_C(1) << i;
        }
        return set;
}

/* Without CAP_SYS_RESOURCE of the machine nobody may go beyond what he was given himself. */
static uint64_t read_files_max(uint64_t capabilities)
{
        struct rlimit limit;

        if (capabilities & (UINT64_C(1) << CAPABILITY_SYS_RESOURCE) &&
            zl_process_is_in_first_userns())
                return UINT64_MAX;
        return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : 0;
}

static bool file_begins_with(const char *path, char c)
{
        _cleanup_free_ char *text = NULL;

        return zl_read_file_at(AT_FDCWD, path, 4096, &text, NULL) == 0 && text[0] == c;
}

static bool has_pids_controller(void)
{
        _cleanup_free_ char *text = NULL;

        if (access("/sys/fs/cgroup/pids/cgroup.procs", F_OK) == 0)
                return true;
        return zl_read_file_at(AT_FDCWD, "/sys/fs/cgroup/cgroup.controllers", 4096, &text, NULL) ==
                       0 &&
               strstr(text, "pids");
}

/* For a user: in the group that was delegated to him. */
static bool is_pids_controller_delegated(void)
{
        _cleanup_free_ char *path = NULL;

        return zl_cgroup_find_delegated(&path) == 0 && path && zl_cgroup_hands_on(path, "pids");
}

void zl_host_read(struct zl_host *ret)
{
        _cleanup_free_ char *boot = NULL;
        const char *cdi_dirs = getenv("ZLAYER_CDI_DIRS");
        struct utsname uts;

        *ret = (struct zl_host){ 0 };
        if (uname(&uts) == 0) {
                snprintf(ret->machine, sizeof(ret->machine), "%s", uts.machine);
                if (sscanf(uts.release, "%u.%u", &ret->facts.kernel_major,
                           &ret->facts.kernel_minor) < 1)
                        ret->facts.kernel_major = 0;
        }
        if (zl_read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 256, &boot, NULL) == 0)
                snprintf(ret->boot_id, sizeof(ret->boot_id), "%.*s", (int)strcspn(boot, "\n"),
                         boot);
        ret->facts.machine = ret->machine;
        ret->facts.capabilities = read_capabilities();
        ret->facts.files_max = read_files_max(ret->facts.capabilities);
        ret->facts.apparmor = file_begins_with("/sys/module/apparmor/parameters/enabled", 'Y');
        ret->facts.selinux = access("/sys/fs/selinux/enforce", F_OK) == 0;
        ret->facts.rootless = !zl_process_is_in_first_userns();
        ret->facts.pids_controller = ret->facts.rootless ? is_pids_controller_delegated()
                                                         : has_pids_controller();
        ret->facts.find_devices = zl_host_find_devices;
        ret->facts.cdi_dirs = cdi_dirs && *cdi_dirs ? cdi_dirs : "/etc/cdi:/var/run/cdi";
        ret->facts.read_file = zl_host_read_file;
}

int zl_host_read_file(const char *path, char **ret, size_t *ret_len)
{
        return zl_read_file_at(AT_FDCWD, path, 4 << 20, ret, ret_len);
}

/* ---- devices ------------------------------------------------------------------------------------- */

static int push_device(const char *path, const struct stat *st, struct zl_bundle_device **devices,
                       size_t *n)
{
        struct zl_bundle_device *grown = reallocarray(*devices, *n + 1, sizeof(*grown));
        char *copy = strdup(path);

        if (grown)
                *devices = grown;
        if (!grown || !copy) {
                free(copy);
                return -ENOMEM;
        }
        grown[(*n)++] = (struct zl_bundle_device){ .path = copy,
                                                   .type = S_ISCHR(st->st_mode) ? 'c' : 'b',
                                                   .major = major(st->st_rdev),
                                                   .minor = minor(st->st_rdev) };
        return 0;
}

/* Below /dev these are not devices of the machine but of this mount, or every container has them anyway. */
static bool is_private(const char *path)
{
        static const char *const skip[] = { "/dev/pts",     "/dev/shm",      "/dev/mqueue",
                                            "/dev/fd",      "/dev/console",  "/dev/ptmx",
                                            "/dev/.udev",   "/dev/null",     "/dev/zero",
                                            "/dev/full",    "/dev/tty",      "/dev/random",
                                            "/dev/urandom", "/dev/hugepages" };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(skip); i++)
                if (zl_streq(path, skip[i]))
                        return true;
        return false;
}

static int walk(const char *path, unsigned depth, struct zl_bundle_device **devices, size_t *n)
{
        DIR *dir = opendir(path);
        const struct dirent *de;
        int r = 0;

        if (!dir)
                return depth == 0 ? -errno : 0;
        while (r == 0 && (de = readdir(dir))) {
                _cleanup_free_ char *child = NULL;
                struct stat st;

                if (zl_streq(de->d_name, ".") || zl_streq(de->d_name, ".."))
                        continue;
                child = zl_path_join(path, de->d_name);
                if (!child)
                        r = -ENOMEM;
                else if (is_private(child) || lstat(child, &st) < 0)
                        continue;
                else if (S_ISDIR(st.st_mode) && depth < DEVICE_DEPTH_MAX)
                        r = walk(child, depth + 1, devices, n);
                else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
                        r = push_device(child, &st, devices, n);
        }
        closedir(dir);
        return r;
}

int zl_host_find_devices(const char *path, struct zl_bundle_device **devices, size_t *n)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return -errno;
        if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
                return push_device(path, &st, devices, n);
        return S_ISDIR(st.st_mode) ? walk(path, 0, devices, n) : -ENOTBLK;
}
