/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capabilities without libcap: the process between clone and exec may only make raw calls, and a static program
 * needs nothing of what the library adds.
 *
 * The order around setuid matters: the bounding set can only be shrunk with CAP_SETPCAP; setuid() to a non-zero user
 * clears the effective set and, without PR_SET_KEEPCAPS, the permitted one; ambient capabilities must be permitted and
 * inheritable already.
 */
#include "linux/caps.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

static const char *const names[] = {
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_DAC_READ_SEARCH",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETPCAP",
        "CAP_LINUX_IMMUTABLE",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_BROADCAST",
        "CAP_NET_ADMIN",
        "CAP_NET_RAW",
        "CAP_IPC_LOCK",
        "CAP_IPC_OWNER",
        "CAP_SYS_MODULE",
        "CAP_SYS_RAWIO",
        "CAP_SYS_CHROOT",
        "CAP_SYS_PTRACE",
        "CAP_SYS_PACCT",
        "CAP_SYS_ADMIN",
        "CAP_SYS_BOOT",
        "CAP_SYS_NICE",
        "CAP_SYS_RESOURCE",
        "CAP_SYS_TIME",
        "CAP_SYS_TTY_CONFIG",
        "CAP_MKNOD",
        "CAP_LEASE",
        "CAP_AUDIT_WRITE",
        "CAP_AUDIT_CONTROL",
        "CAP_SETFCAP",
        "CAP_MAC_OVERRIDE",
        "CAP_MAC_ADMIN",
        "CAP_SYSLOG",
        "CAP_WAKE_ALARM",
        "CAP_BLOCK_SUSPEND",
        "CAP_AUDIT_READ",
        "CAP_PERFMON",
        "CAP_BPF",
        "CAP_CHECKPOINT_RESTORE",
};

int zl_cap_parse(const char *name)
{
        if (strncasecmp(name, "CAP_", 4) == 0)
                name += 4;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(names); i++)
                if (strcasecmp(name, names[i] + 4) == 0)
                        return (int)i;
        return -EINVAL;
}

const char *zl_cap_name(unsigned number)
{
        return number < ZL_ARRAY_SIZE(names) ? names[number] : NULL;
}

unsigned zl_cap_count(void)
{
        return ZL_ARRAY_SIZE(names);
}

/* The highest number that PR_CAPBSET_READ accepts, by halving. */
static unsigned kernel_count(void)
{
        unsigned low = 1, high = 64;

        if (prctl(PR_CAPBSET_READ, ZL_ARRAY_SIZE(names) - 1, 0, 0, 0) >= 0 &&
            prctl(PR_CAPBSET_READ, ZL_ARRAY_SIZE(names), 0, 0, 0) < 0)
                return ZL_ARRAY_SIZE(names);
        while (low < high) {
                unsigned middle = (low + high) / 2;

                if (prctl(PR_CAPBSET_READ, middle, 0, 0, 0) >= 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

uint64_t zl_cap_kernel_mask(void)
{
        unsigned n = kernel_count();

        return n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

static void mask_of(char *const *list, const char *field, uint64_t kernel, uint64_t *ret)
{
        *ret = 0;
        for (char *const *p = list; p && *p; p++) {
                int cap = zl_cap_parse(*p);

                if (cap < 0 || !(kernel >> cap & 1))
                        zl_warn("process.capabilities.%s: unknown capability \"%s\" is ignored",
                                field, *p);
                else
                        *ret |= UINT64_C(1) << cap;
        }
}

int zl_caps_from_config(const struct zl_oci_capabilities *config, struct zl_caps *ret,
                        struct zl_error *err)
{
        uint64_t kernel;

        *ret = (struct zl_caps){ 0 };
        if (!config)
                return 0;
        kernel = zl_cap_kernel_mask();
        mask_of(config->bounding, "bounding", kernel, &ret->bounding);
        mask_of(config->effective, "effective", kernel, &ret->effective);
        mask_of(config->permitted, "permitted", kernel, &ret->permitted);
        mask_of(config->inheritable, "inheritable", kernel, &ret->inheritable);
        mask_of(config->ambient, "ambient", kernel, &ret->ambient);
        /* Effective must be permitted; ambient must be permitted and inheritable: as runc, the excess is dropped with a word. */
        if (ret->effective & ~ret->permitted)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "process.capabilities: effective is not within permitted");
        for (unsigned i = 0; i < 64; i++)
                if ((ret->ambient & ~(ret->permitted & ret->inheritable)) >> i & 1)
                        zl_warn("can't raise ambient capability %s: it is not permitted and inheritable",
                                zl_cap_name(i));
        ret->ambient &= ret->permitted & ret->inheritable;
        return 0;
}

int zl_caps_drop_bounding(const struct zl_caps *caps)
{
        for (unsigned i = 0; i < 64; i++) {
                if (caps->bounding >> i & 1)
                        continue;
                if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0)
                        continue;
                if (errno == EINVAL) /* the kernel's last one was before */
                        return 0;
                if (errno == EPERM && prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 0)
                        continue; /* not in it anyway */
                return -errno;
        }
        return 0;
}

int zl_caps_raise_inheritable(const struct zl_caps *caps)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2];

        if (!caps->inheritable)
                return 0;
        if (syscall(SYS_capget, &header, data) < 0)
                return -errno;
        for (int i = 0; i < 2; i++)
                data[i].inheritable |= (uint32_t)(caps->inheritable >> (32 * i)) &
                                       data[i].permitted;
        return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int zl_caps_apply(const struct zl_caps *caps)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct now[2], data[2] = { { 0 } };
        uint64_t permitted;

        if (syscall(SYS_capget, &header, now) < 0)
                return -errno;
        /* What we do not have ourselves cannot be given; a container that is told otherwise would be a surprise only later. */
        permitted = caps->permitted & (now[0].permitted | (uint64_t)now[1].permitted << 32);
        for (int i = 0; i < 2; i++) {
                data[i].permitted = (uint32_t)(permitted >> (32 * i));
                data[i].effective = (uint32_t)((caps->effective & permitted) >> (32 * i));
                data[i].inheritable = (uint32_t)(caps->inheritable >> (32 * i)) &
                                      (data[i].permitted | now[i].inheritable);
        }
        if (syscall(SYS_capset, &header, data) < 0)
                return -errno;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
                return -errno;
        for (unsigned i = 0; i < 64 && caps->ambient; i++)
                if ((caps->ambient & permitted) >> i & 1 &&
                    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
                        return -errno;
        return 0;
}
