/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What systemd is told about a scope's limits: what the files of the group say, in its words. It writes these files itself whenever it comes
 * by (daemon-reload, set-property), so it must know what we have written.
 *
 * What may go wrong: systemd has words for the usual limits only. The others it does not touch.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/fd.h"
#include "linux/cgroup_internal.h"
#include "linux/dbus.h"
#include "linux/scope_internal.h"

enum { CPUS_MAX = 8192 };
#define UNLIMITED_V1 (UINT64_C(1) << 62)

/* "0-3,7" as a set of bits, the lowest first. */
static void put_set(struct zl_buf *b, const char *name, const char *list)
{
        uint8_t bits[CPUS_MAX / 8] = { 0 };
        size_t place, n = 0;

        for (const char *p = list; *p >= '0' && *p <= '9';) {
                char *end;
                unsigned long first = strtoul(p, &end, 10), last = first;

                if (*end == '-')
                        last = strtoul(end + 1, &end, 10);
                for (; first <= last && first < CPUS_MAX; first++) {
                        bits[first / 8] |= (uint8_t)(1 << first % 8);
                        n = ZL_MAX(n, first / 8 + 1);
                }
                p = end + (*end == ',');
        }
        zl_scope_put_property(b, name, "ay");
        place = zl_dbus_array_begin(b, 1);
        zl_buf_put(b, bits, n);
        zl_dbus_array_end(b, place, 1);
}

static void put_quota(struct zl_buf *b, const char *text)
{
        unsigned long long quota, period = 100000;
        uint64_t per_second = UINT64_MAX;

        /* systemd counts microseconds per second, in steps of 10 ms. */
        if (sscanf(text, "%llu %llu", &quota, &period) == 2 && period)
                per_second = (quota * 1000000 / period + 9999) / 10000 * 10000;
        else
                sscanf(text, "max %llu", &period);
        zl_scope_put_number(b, "CPUQuotaPerSecUSec", per_second);
        zl_scope_put_number(b, "CPUQuotaPeriodUSec", period);
}

static void put_limits_v2(struct zl_buf *b, struct zl_cgroup *cg)
{
        static const struct {
                const char *file, *property;
        } numbers[] = {
                { "memory.max", "MemoryMax" }, { "memory.high", "MemoryHigh" },
                { "memory.low", "MemoryLow" }, { "memory.min", "MemoryMin" },
                { "memory.swap.max", "MemorySwapMax" }, { "pids.max", "TasksMax" },
                { "cpu.weight", "CPUWeight" },
        }, sets[] = {
                { "cpuset.cpus", "AllowedCPUs" }, { "cpuset.mems", "AllowedMemoryNodes" },
        };
        _cleanup_free_ char *quota = NULL;
        const struct zl_hierarchy *h = zl_cgroup_any(cg);

        for (size_t i = 0; i < ZL_ARRAY_SIZE(numbers); i++) {
                _cleanup_free_ char *text = NULL;

                if (zl_cgroup_read(cg, h, numbers[i].file, &text) == 0)
                        zl_scope_put_number(b, numbers[i].property,
                                            zl_startswith(text, "max") ? UINT64_MAX
                                                                       : strtoull(text, NULL, 10));
        }
        for (size_t i = 0; i < ZL_ARRAY_SIZE(sets); i++) {
                _cleanup_free_ char *text = NULL;

                if (zl_cgroup_read(cg, h, sets[i].file, &text) == 0)
                        put_set(b, sets[i].property, text);
        }
        if (zl_cgroup_read(cg, h, "cpu.max", &quota) == 0)
                put_quota(b, quota);
}

/* Unlimited is the largest number of whole pages there. */
static void put_limits_v1(struct zl_buf *b, struct zl_cgroup *cg)
{
        static const struct {
                const char *controller, *file, *property;
        } numbers[] = {
                { "memory", "memory.limit_in_bytes", "MemoryLimit" },
                { "pids", "pids.max", "TasksMax" },
                { "cpu", "cpu.shares", "CPUShares" },
                { "blkio", "blkio.weight", "BlockIOWeight" },
        };
        const struct zl_hierarchy *h;
        _cleanup_free_ char *quota = NULL;
        char text[64];

        for (size_t i = 0; i < ZL_ARRAY_SIZE(numbers); i++) {
                uint64_t value;

                h = zl_cgroup_controller(cg, numbers[i].controller);
                value = zl_cgroup_read_u64(cg, h, numbers[i].file, 0);
                if (value > 0)
                        zl_scope_put_number(b, numbers[i].property,
                                            value >= UNLIMITED_V1 ? UINT64_MAX : value);
        }
        h = zl_cgroup_controller(cg, "cpu");
        if (!h || zl_cgroup_read(cg, h, "cpu.cfs_quota_us", &quota) < 0)
                return;
        snprintf(text, sizeof text, "%.*s %" PRIu64, *quota == '-' ? 3 : (int)strcspn(quota, "\n"),
                 *quota == '-' ? "max" : quota,
                 zl_cgroup_read_u64(cg, h, "cpu.cfs_period_us", 100000));
        put_quota(b, text);
}

void zl_scope_put_limits(struct zl_buf *b, struct zl_cgroup *cg)
{
        (zl_cgroup_is_v2(cg) ? put_limits_v2 : put_limits_v1)(b, cg);
}

/* --- devices ------------------------------------------------------------------------------------------------ */

/* What /proc/devices calls a major number; the caller frees. */
static char *driver_of(char type, int64_t major)
{
        _cleanup_free_ char *text = NULL;
        char *save = NULL;
        char section = 0;

        if (zl_read_file_at(AT_FDCWD, "/proc/devices", 1 << 20, &text, NULL) < 0)
                return NULL;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                char *end;
                long number = strtol(line, &end, 10);

                if (zl_startswith(line, "Character"))
                        section = 'c';
                else if (zl_startswith(line, "Block"))
                        section = 'b';
                else if (section == type && end > line && *end == ' ' && number == major)
                        return strdup(end + 1);
        }
        return NULL;
}

/* "/dev/char/1:3", "char-pts" or "char-*". `*ret` is NULL for a driver that is not there, and so has no devices. */
static int device_name(const struct zl_device_rule *rule, char **ret)
{
        const char *kind = rule->type == 'b' ? "block" : "char";
        _cleanup_free_ char *driver = NULL;
        int r;

        *ret = NULL;
        if (rule->major >= 0 && rule->minor < 0) {
                driver = driver_of(rule->type, rule->major);
                if (!driver)
                        return 0;
        }
        if (driver || rule->major < 0)
                r = asprintf(ret, "%s-%s", kind, driver ? driver : "*");
        else
                r = asprintf(ret, "/dev/%s/%" PRId64 ":%" PRId64, kind, rule->major, rule->minor);
        return r < 0 ? -ENOMEM : 0;
}

/* A list of what is allowed is all that systemd knows: rules that take a part of it back, or any major with one minor, cannot be said. */
static bool can_be_said(const struct zl_device_rule *rules, size_t n)
{
        if (n == 0 || rules[0].type != 'a' || rules[0].allow)
                return false;
        for (size_t i = 1; i < n; i++)
                if (!rules[i].allow || rules[i].type == 'a' ||
                    (rules[i].major < 0 && rules[i].minor >= 0))
                        return false;
        return true;
}

int zl_scope_put_devices(struct zl_buf *b, const struct zl_oci_resources *resources,
                         struct zl_error *err)
{
        _cleanup_free_ struct zl_device_rule *rules = NULL;
        size_t n = 0, place;
        int r = zl_device_rules(resources, &rules, &n, err);

        if (r < 0 || !can_be_said(rules, n))
                return r;
        zl_scope_put_text(b, "DevicePolicy", "strict");
        zl_scope_put_property(b, "DeviceAllow", "a(ss)");
        place = zl_dbus_array_begin(b, 8);
        for (size_t i = 1; i < n; i++) {
                _cleanup_free_ char *name = NULL;
                char access[4] = "", *p = access;

                if (device_name(&rules[i], &name) < 0)
                        return zl_fail_oom(err);
                for (size_t k = 0; k < 3; k++)
                        if (rules[i].access &
                            (unsigned[]){ ZL_DEV_READ, ZL_DEV_WRITE, ZL_DEV_MKNOD }[k])
                                *p++ = "rwm"[k];
                if (!name || p == access)
                        continue;
                zl_dbus_put_align(b, 8);
                zl_dbus_put_string(b, name);
                zl_dbus_put_string(b, access);
        }
        zl_dbus_array_end(b, place, 8);
        return 0;
}
