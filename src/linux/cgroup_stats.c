/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures of a group: what it used, its limits, and how often the out-of-memory killer struck.
 *
 * Nothing here fails because a file is missing: controllers and kernels differ, and a figure that nobody knows is 0.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "linux/cgroup_internal.h"

/* Version 1 says "no limit" by a number near 2^63. */
static uint64_t limit_v1(uint64_t value)
{
        return value >= UINT64_C(0x7000000000000000) ? UINT64_MAX : value;
}

/* "8:0 Read 4096" per line (v1). */
static void io_v1(const char *text, struct zl_stats *s)
{
        for (const char *line = text; line && *line; line = strchr(line, '\n')) {
                unsigned long long value;
                char op[16];

                line += *line == '\n';
                if (sscanf(line, "%*u:%*u %15s %llu", op, &value) != 2)
                        continue;
                if (zl_streq(op, "Read"))
                        s->io_read_bytes += value;
                else if (zl_streq(op, "Write"))
                        s->io_write_bytes += value;
        }
}

/* "8:0 rbytes=1 wbytes=2 …" per line (v2). */
static void io_v2(const char *text, struct zl_stats *s)
{
        for (const char *p = text; (p = strstr(p, "bytes=")); p += 6) {
                uint64_t value = strtoull(p + 6, NULL, 10);

                if (p > text && p[-1] == 'r')
                        s->io_read_bytes += value;
                else if (p > text && p[-1] == 'w')
                        s->io_write_bytes += value;
        }
}

static uint64_t working_set(uint64_t usage, const char *stat, const char *key)
{
        uint64_t inactive = stat ? zl_cgroup_stat_value(stat, key, 0) : 0;

        return usage > inactive ? usage - inactive : 0;
}

static void stats_v1(struct zl_cgroup *cg, struct zl_stats *s)
{
        const struct zl_hierarchy *cpu = zl_cgroup_controller(cg, "cpu");
        const struct zl_hierarchy *memory = zl_cgroup_controller(cg, "memory");
        const struct zl_hierarchy *pids = zl_cgroup_controller(cg, "pids");
        const struct zl_hierarchy *blkio = zl_cgroup_controller(cg, "blkio");
        _cleanup_free_ char *cpu_stat = NULL, *mem_stat = NULL, *io = NULL;
        uint64_t quota = zl_cgroup_read_u64(cg, cpu, "cpu.cfs_quota_us", 0);
        uint64_t period = zl_cgroup_read_u64(cg, cpu, "cpu.cfs_period_us", 0);

        if (cpu && zl_cgroup_read(cg, cpu, "cpu.stat", &cpu_stat) == 0)
                s->cpu_throttled_usec = zl_cgroup_stat_value(cpu_stat, "throttled_time", 0) / 1000;
        if (period && quota && quota < UINT64_C(1) << 62)
                s->cpu_limit = (double)quota / (double)period;
        if (memory && zl_cgroup_read(cg, memory, "memory.stat", &mem_stat) == 0)
                s->memory_bytes = working_set(
                        zl_cgroup_read_u64(cg, memory, "memory.usage_in_bytes", 0), mem_stat,
                        "total_inactive_file");
        s->memory_limit = limit_v1(
                zl_cgroup_read_u64(cg, memory, "memory.limit_in_bytes", UINT64_MAX));
        s->pids = zl_cgroup_read_u64(cg, pids, "pids.current", 0);
        s->pids_limit = zl_cgroup_read_u64(cg, pids, "pids.max", UINT64_MAX);
        if (blkio && zl_cgroup_read(cg, blkio, "blkio.throttle.io_service_bytes", &io) == 0)
                io_v1(io, s);
}

static void stats_v2(struct zl_cgroup *cg, struct zl_stats *s)
{
        const struct zl_hierarchy *h = &cg->h[0];
        _cleanup_free_ char *cpu_stat = NULL, *cpu_max = NULL, *mem_stat = NULL, *io = NULL;
        unsigned long long quota, period;

        if (zl_cgroup_read(cg, h, "cpu.stat", &cpu_stat) == 0)
                s->cpu_throttled_usec = zl_cgroup_stat_value(cpu_stat, "throttled_usec", 0);
        if (zl_cgroup_read(cg, h, "cpu.max", &cpu_max) == 0 &&
            sscanf(cpu_max, "%llu %llu", &quota, &period) == 2 && period)
                s->cpu_limit = (double)quota / (double)period;
        if (zl_cgroup_read(cg, h, "memory.stat", &mem_stat) == 0)
                s->memory_bytes = working_set(zl_cgroup_read_u64(cg, h, "memory.current", 0),
                                              mem_stat, "inactive_file");
        s->memory_limit = zl_cgroup_read_u64(cg, h, "memory.max", UINT64_MAX);
        s->pids = zl_cgroup_read_u64(cg, h, "pids.current", 0);
        s->pids_limit = zl_cgroup_read_u64(cg, h, "pids.max", UINT64_MAX);
        if (zl_cgroup_read(cg, h, "io.stat", &io) == 0)
                io_v2(io, s);
}

bool zl_pressure_parse(const char *text, struct zl_pressure *ret)
{
        static const char *const names[] = { "some", "full" };
        struct zl_pressure_line *const lines[] = { &ret->some, &ret->full };
        bool any = false;

        *ret = (struct zl_pressure){ { 0 }, { 0 } };
        for (size_t i = 0; text && i < ZL_ARRAY_SIZE(names); i++) {
                struct zl_pressure_line line;
                const char *at = strstr(text, names[i]);

                if (!at || sscanf(at + 4, " avg10=%lf avg60=%lf avg300=%lf total=%" SCNu64,
                                  &line.avg10, &line.avg60, &line.avg300, &line.total_usec) != 4)
                        continue;
                *lines[i] = line;
                any = true;
        }
        return any;
}

/* Also on a machine with version 1, if that of version 2 is beside it: there no controller is needed. */
static void pressure(struct zl_cgroup *cg, struct zl_stats *s)
{
        const struct {
                const char *file;
                struct zl_pressure *ret;
        } parts[] = { { "cpu.pressure", &s->cpu_pressure },
                      { "memory.pressure", &s->memory_pressure },
                      { "io.pressure", &s->io_pressure } };
        const struct zl_hierarchy *h = zl_cgroup_any(cg);

        for (size_t i = 0; h->v2 && i < ZL_ARRAY_SIZE(parts); i++) {
                _cleanup_free_ char *text = NULL;

                if (zl_cgroup_read(cg, h, parts[i].file, &text) == 0 &&
                    zl_pressure_parse(text, parts[i].ret))
                        s->has_pressure = true;
        }
}

void zl_cgroup_totals(struct zl_cgroup *cg, uint64_t *ret_cpu_usec, uint64_t *ret_memory_peak)
{
        const struct zl_hierarchy *memory = zl_cgroup_controller(cg, "memory");
        _cleanup_free_ char *cpu_stat = NULL;

        *ret_memory_peak = zl_cgroup_read_u64(
                cg, memory, cg->v2 ? "memory.peak" : "memory.max_usage_in_bytes", 0);
        if (!cg->v2)
                *ret_cpu_usec = zl_cgroup_read_u64(cg, zl_cgroup_controller(cg, "cpuacct"),
                                                   "cpuacct.usage", 0) /
                                1000;
        else if (zl_cgroup_read(cg, &cg->h[0], "cpu.stat", &cpu_stat) == 0)
                *ret_cpu_usec = zl_cgroup_stat_value(cpu_stat, "usage_usec", 0);
        else
                *ret_cpu_usec = 0;
}

int zl_cgroup_stats(struct zl_cgroup *cg, struct zl_stats *ret, struct zl_error *err)
{
        struct zl_stats s = { .time = zl_now_realtime() };
        _cleanup_close_ int dir = zl_cgroup_open_file(cg, zl_cgroup_any(cg), ".",
                                                      O_PATH | O_DIRECTORY);

        if (dir < 0)
                return zl_fail_errno(err, -dir, "cannot read cgroup %s", cg->shown_path);
        if (cg->v2)
                stats_v2(cg, &s);
        else
                stats_v1(cg, &s);
        zl_cgroup_totals(cg, &s.cpu_usec, &s.memory_peak);
        s.oom_kills = zl_cgroup_oom_kills(cg);
        pressure(cg, &s);
        *ret = s;
        return 0;
}

int zl_cgroup_read_file(struct zl_cgroup *cg, const char *controller, const char *file, char **ret)
{
        const struct zl_hierarchy *h = controller ? zl_cgroup_controller(cg, controller)
                                                  : zl_cgroup_any(cg);

        return h ? zl_cgroup_read(cg, h, file, ret) : -ENOENT;
}

uint64_t zl_cgroup_oom_kills(struct zl_cgroup *cg)
{
        const struct zl_hierarchy *h = cg ? zl_cgroup_controller(cg, "memory") : NULL;
        _cleanup_free_ char *text = NULL;

        if (!h || zl_cgroup_read(cg, h, cg->v2 ? "memory.events" : "memory.oom_control", &text) < 0)
                return 0;
        return zl_cgroup_stat_value(text, "oom_kill", 0);
}

static int oom_fd_v2(struct zl_cgroup *cg)
{
        _cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        char path[PATH_MAX];

        if (fd < 0)
                return -errno;
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s/memory.events", cg->path);
        if (inotify_add_watch(fd, path, IN_MODIFY) < 0)
                return -errno;
        return zl_take_fd(fd);
}

static int oom_fd_v1(struct zl_cgroup *cg, const struct zl_hierarchy *h)
{
        _cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        _cleanup_close_ int oom = zl_cgroup_open_file(cg, h, "memory.oom_control", O_RDONLY);
        _cleanup_close_ int control = zl_cgroup_open_file(cg, h, "cgroup.event_control", O_WRONLY);
        char text[48];

        if (fd < 0 || oom < 0 || control < 0)
                return fd < 0 ? -errno : oom < 0 ? oom : control;
        snprintf(text, sizeof text, "%d %d", fd, oom);
        if (write(control, text, strlen(text)) < 0)
                return -errno;
        return zl_take_fd(fd);
}

int zl_cgroup_oom_fd(struct zl_cgroup *cg, struct zl_error *err)
{
        const struct zl_hierarchy *h = zl_cgroup_controller(cg, "memory");
        int r;

        if (!h)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0, "cgroup %s has no memory controller",
                               cg->shown_path);
        r = cg->v2 ? oom_fd_v2(cg) : oom_fd_v1(cg, h);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot watch for out-of-memory kills in cgroup %s",
                                     cg->shown_path);
        return r;
}
