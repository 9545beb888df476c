/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of config.json in the words of cgroup version 1 and version 2.
 *
 * Both are tables of numbers to files where they can be, and code where two values depend on each other: memory and swap (the
 * kernel refuses a memory limit above the one for memory+swap, so the order of writing depends on the direction)
 * and the conversions of version 2 (shares to weight, memory+swap to swap alone), which follow the
 * specification and what runc and crun do.
 *
 * A limit whose controller is missing is an error that names the controller.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/path.h"
#include "linux/cgroup_internal.h"

static int need(struct zl_cgroup *cg, const char *controller, const struct zl_hierarchy **ret,
                struct zl_error *err)
{
        *ret = zl_cgroup_controller(cg, controller);
        if (*ret)
                return 0;
        return zl_fail(
                err, ZL_E_UNSUPPORTED, 0,
                "the cgroup controller \"%s\" is missing on this machine, but a limit needs it",
                controller);
}

static int put_i64(struct zl_cgroup *cg, const struct zl_hierarchy *h, const char *file,
                   int64_t value, struct zl_error *err)
{
        char text[32];

        snprintf(text, sizeof text, "%" PRId64, value);
        return zl_cgroup_write(cg, h, file, text, err);
}

/* Version 2: "max" for no limit. */
static int put_max(struct zl_cgroup *cg, const struct zl_hierarchy *h, const char *file,
                   int64_t value, struct zl_error *err)
{
        if (value < 0)
                return zl_cgroup_write(cg, h, file, "max", err);
        return put_i64(cg, h, file, value, err);
}

static int check_cpu_list(const char *list, const char *what, struct zl_error *err)
{
        if (zl_is_cpu_list(list))
                return 0;
        return zl_fail(err, ZL_E_INVALID, 0, "linux.resources.cpu.%s: \"%s\" is no list", what,
                       list);
}

struct number {
        bool has;
        const char *file;
        int64_t value;
};

static int put_numbers(struct zl_cgroup *cg, const char *controller, const struct number *numbers,
                       size_t n, struct zl_error *err)
{
        const struct zl_hierarchy *h = NULL;
        int r;

        for (size_t i = 0; i < n; i++) {
                if (!numbers[i].has)
                        continue;
                r = need(cg, controller, &h, err);
                if (r == 0)
                        r = put_i64(cg, h, numbers[i].file, numbers[i].value, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* After a failed write: was it the controller that is not there? */
static int name_controller(const struct zl_cgroup *cg, const char *file, int r,
                           struct zl_error *err)
{
        char name[32];

        snprintf(name, sizeof name, "%.*s", (int)strcspn(file, "."), file);
        if (zl_streq(name, "cgroup") || zl_cgroup_controller(cg, name))
                return r;
        zl_error_done(err);
        return zl_fail(
                err, ZL_E_UNSUPPORTED, -r,
                "linux.resources.unified: %s: the requested cgroup controller `%s` is not available",
                file, name);
}

/* Of several lines ("8:0 rbps=1", "8:16 rbps=1" of io.max) the kernel takes one at a time. */
static int write_lines(struct zl_cgroup *cg, const char *file, const char *value,
                       struct zl_error *err)
{
        _cleanup_free_ char *text = strdup(value);
        char *save = NULL, *line = text ? strtok_r(text, "\n", &save) : NULL;
        int r = 0;

        if (!text)
                return zl_fail_oom(err);
        if (!line)
                return zl_cgroup_write(cg, &cg->h[0], file, value, err);
        for (; line && r == 0; line = strtok_r(NULL, "\n", &save))
                r = zl_cgroup_write(cg, &cg->h[0], file, line, err);
        return r;
}

static int apply_unified(struct zl_cgroup *cg, const struct zl_str_map *unified,
                         struct zl_error *err)
{
        for (size_t i = 0; i < unified->n; i++) {
                const char *file = unified->items[i].key;
                int r;

                if (!zl_path_is_name(file) || !strchr(file, '.'))
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "linux.resources.unified: the specified key has not the "
                                       "form CONTROLLER.VALUE `%s`",
                                       file);
                if (!cg->v2)
                        return zl_fail(
                                err, ZL_E_UNSUPPORTED, 0,
                                "invalid configuration: linux.resources.unified needs cgroup version 2");
                r = write_lines(cg, file, unified->items[i].value, err);
                if (r < 0)
                        return name_controller(cg, file, r, err);
        }
        return 0;
}

/* --- version 1 ------------------------------------------------------------------------------------------ */

/* memory+swap must never be below memory, so what grows is written last-limit-first. */
static int memory_and_swap_v1(struct zl_cgroup *cg, const struct zl_hierarchy *h,
                              const struct zl_oci_memory *m, struct zl_error *err)
{
        bool swap_first = false;
        int r = 0;

        /* Without a limit of memory there cannot be one of both, which may be there already (as runc). */
        if (m->has_limit && m->limit < 0 && !m->has_swap &&
            zl_cgroup_read_u64(cg, h, "memory.memsw.limit_in_bytes", 0) > 0)
                r = put_i64(cg, h, "memory.memsw.limit_in_bytes", -1, err);
        if (r < 0)
                return r;
        if (m->has_limit && m->has_swap) {
                uint64_t now = zl_cgroup_read_u64(cg, h, "memory.memsw.limit_in_bytes", UINT64_MAX);

                swap_first = m->swap < 0 || (uint64_t)m->swap > now;
        }
        if (swap_first)
                r = put_i64(cg, h, "memory.memsw.limit_in_bytes", m->swap, err);
        if (r == 0 && m->has_limit)
                r = put_i64(cg, h, "memory.limit_in_bytes", m->limit, err);
        if (r == -EBUSY && err)
                zl_error_hint(err, "the processes of the container use more memory than that");
        if (r == 0 && m->has_swap && !swap_first)
                r = put_i64(cg, h, "memory.memsw.limit_in_bytes", m->swap, err);
        return r;
}

static int memory_v1(struct zl_cgroup *cg, const struct zl_oci_memory *m, struct zl_error *err)
{
        const struct number numbers[] = {
                { m->has_reservation, "memory.soft_limit_in_bytes", m->reservation },
                { m->has_kernel && m->kernel > 0, "memory.kmem.limit_in_bytes", m->kernel },
                { m->has_kernel_tcp, "memory.kmem.tcp.limit_in_bytes", m->kernel_tcp },
                { m->has_swappiness, "memory.swappiness", (int64_t)m->swappiness },
                { m->has_disable_oom_killer && m->disable_oom_killer, "memory.oom_control", 1 },
        };
        const struct zl_hierarchy *h = NULL;
        int r = 0;

        if (m->has_limit || m->has_swap) {
                r = need(cg, "memory", &h, err);
                if (r == 0)
                        r = memory_and_swap_v1(cg, h, m, err);
        }
        return r < 0 ? r : put_numbers(cg, "memory", numbers, ZL_ARRAY_SIZE(numbers), err);
}

static int cpu_v1(struct zl_cgroup *cg, const struct zl_oci_cpu *c, struct zl_error *err)
{
        const struct number numbers[] = {
                { c->has_shares && c->shares, "cpu.shares", (int64_t)c->shares },
                { c->has_period && c->period, "cpu.cfs_period_us", (int64_t)c->period },
                { c->has_quota && c->quota, "cpu.cfs_quota_us", c->quota },
                { c->has_burst, "cpu.cfs_burst_us", (int64_t)c->burst },
                { c->has_realtime_period && c->realtime_period, "cpu.rt_period_us",
                  (int64_t)c->realtime_period },
                { c->has_realtime_runtime && c->realtime_runtime, "cpu.rt_runtime_us",
                  c->realtime_runtime },
                { c->has_idle, "cpu.idle", c->idle },
        };

        bool both = numbers[1].has && numbers[2].has;

        /* Each of the two is checked with the other as it is, against the limit of the parent: a shorter period with the old quota may be
         * too much, and so may be the new quota with the old period. */
        if (both && put_numbers(cg, "cpu", &numbers[1], 1, NULL) < 0)
                put_numbers(cg, "cpu", &numbers[2], 1, NULL);
        return put_numbers(cg, "cpu", numbers, ZL_ARRAY_SIZE(numbers), err);
}

static int cpuset(struct zl_cgroup *cg, const struct zl_oci_cpu *c, struct zl_error *err)
{
        const struct zl_hierarchy *h = NULL;
        int r;

        for (int i = 0; i < 2; i++) {
                const char *value = i ? c->mems : c->cpus;

                if (!value || !*value)
                        continue;
                r = check_cpu_list(value, i ? "mems" : "cpus", err);
                if (r == 0)
                        r = need(cg, "cpuset", &h, err);
                if (r == 0)
                        r = zl_cgroup_write(cg, h, i ? "cpuset.mems" : "cpuset.cpus", value, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

struct throttle {
        const struct zl_oci_throttle_device *items;
        size_t n;
        const char *file_v1, *key_v2;
};

static void throttles(const struct zl_oci_block_io *b, struct throttle ret[4])
{
        ret[0] = (struct throttle){ b->throttle_read_bps_device, b->n_throttle_read_bps_device,
                                    "blkio.throttle.read_bps_device", "rbps" };
        ret[1] = (struct throttle){ b->throttle_write_bps_device, b->n_throttle_write_bps_device,
                                    "blkio.throttle.write_bps_device", "wbps" };
        ret[2] = (struct throttle){ b->throttle_read_iops_device, b->n_throttle_read_iops_device,
                                    "blkio.throttle.read_iops_device", "riops" };
        ret[3] = (struct throttle){ b->throttle_write_iops_device, b->n_throttle_write_iops_device,
                                    "blkio.throttle.write_iops_device", "wiops" };
}

static bool has_file(struct zl_cgroup *cg, const struct zl_hierarchy *h, const char *file)
{
        int fd = zl_cgroup_open_file(cg, h, file, O_WRONLY);

        zl_close(fd);
        return fd >= 0;
}

/* With the BFQ scheduler the files have another name; whichever is there. */
static const char *bfq_or(struct zl_cgroup *cg, const struct zl_hierarchy *h, const char *plain,
                          const char *bfq)
{
        return has_file(cg, h, plain) ? plain : bfq;
}

static int blkio_v1(struct zl_cgroup *cg, const struct zl_oci_block_io *b, struct zl_error *err)
{
        const struct zl_hierarchy *h = NULL;
        struct throttle t[4];
        char text[96];
        int r = need(cg, "blkio", &h, err);

        if (r == 0 && b->has_weight && b->weight)
                r = put_i64(cg, h, bfq_or(cg, h, "blkio.weight", "blkio.bfq.weight"), b->weight,
                            err);
        if (r == 0 && b->has_leaf_weight && b->leaf_weight)
                r = put_i64(cg, h, "blkio.leaf_weight", b->leaf_weight, err);
        for (size_t i = 0; r == 0 && i < b->n_weight_device; i++) {
                const struct zl_oci_weight_device *d = &b->weight_device[i];

                snprintf(text, sizeof text, "%" PRId64 ":%" PRId64 " %u", d->major, d->minor,
                         d->weight);
                r = zl_cgroup_write(cg, h,
                                    bfq_or(cg, h, "blkio.weight_device", "blkio.bfq.weight_device"),
                                    text, err);
        }
        throttles(b, t);
        for (size_t k = 0; k < 4; k++)
                for (size_t i = 0; r == 0 && i < t[k].n; i++) {
                        snprintf(text, sizeof text, "%" PRId64 ":%" PRId64 " %" PRIu64,
                                 t[k].items[i].major, t[k].items[i].minor, t[k].items[i].rate);
                        r = zl_cgroup_write(cg, h, t[k].file_v1, text, err);
                }
        return r;
}

/* What is used and, where the kernel counts it (5.7), what is reserved, as the specification says. */
static int hugetlb(struct zl_cgroup *cg, const struct zl_oci_resources *res, struct zl_error *err)
{
        const struct zl_hierarchy *h = NULL;
        char file[96], value[32];
        int r = 0;

        for (size_t i = 0; r == 0 && i < res->n_hugepage_limits; i++) {
                const struct zl_oci_hugepage_limit *limit = &res->hugepage_limits[i];

                if (!limit->page_size || strpbrk(limit->page_size, "/."))
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "linux.resources.hugepageLimits[%zu]: bad pageSize", i);
                snprintf(value, sizeof value, "%" PRIu64, limit->limit);
                r = need(cg, "hugetlb", &h, err);
                for (int rsvd = 0; rsvd < 2 && r == 0; rsvd++) {
                        snprintf(file, sizeof file, "hugetlb.%s.%s%s", limit->page_size,
                                 rsvd ? "rsvd." : "", cg->v2 ? "max" : "limit_in_bytes");
                        if (!rsvd || has_file(cg, h, file))
                                r = zl_cgroup_write(cg, h, file, value, err);
                }
        }
        return r;
}

static int net_v1(struct zl_cgroup *cg, const struct zl_oci_net_cls *net, struct zl_error *err)
{
        const struct zl_hierarchy *h = NULL;
        char text[128];
        int r = 0;

        if (net->has_class_id) {
                r = need(cg, "net_cls", &h, err);
                if (r == 0)
                        r = put_i64(cg, h, "net_cls.classid", net->class_id, err);
        }
        for (size_t i = 0; r == 0 && i < net->n_priorities; i++) {
                snprintf(text, sizeof text, "%s %u",
                         net->priorities[i].name ? net->priorities[i].name : "",
                         net->priorities[i].priority);
                r = need(cg, "net_prio", &h, err);
                if (r == 0)
                        r = zl_cgroup_write(cg, h, "net_prio.ifpriomap", text, err);
        }
        return r;
}

static int rdma(struct zl_cgroup *cg, const struct zl_oci_resources *res, struct zl_error *err)
{
        const struct zl_hierarchy *h = NULL;
        char text[256], handles[16] = "max", objects[16] = "max";
        int r = 0;

        for (size_t i = 0; r == 0 && i < res->n_rdma; i++) {
                const struct zl_oci_rdma_limit *l = &res->rdma[i].limit;

                if (l->has_hca_handles)
                        snprintf(handles, sizeof handles, "%u", l->hca_handles);
                if (l->has_hca_objects)
                        snprintf(objects, sizeof objects, "%u", l->hca_objects);
                snprintf(text, sizeof text, "%s hca_handle=%s hca_object=%s", res->rdma[i].device,
                         handles, objects);
                r = need(cg, "rdma", &h, err);
                if (r == 0)
                        r = zl_cgroup_write(cg, h, "rdma.max", text, err);
        }
        return r;
}

static int pids(struct zl_cgroup *cg, const struct zl_oci_pids *p, struct zl_error *err)
{
        const struct zl_hierarchy *h = NULL;
        int r;

        if (!p->has_limit)
                return 0;
        r = need(cg, "pids", &h, err);
        /* 0 would not let the first process in: as runc, the least that can be. */
        return r < 0 ? r : put_max(cg, h, "pids.max", p->limit ? p->limit : 1, err);
}

/* Only whoever may make devices on the host may say which can be used; others cannot have made any. */
static int forgive(const struct zl_cgroup *cg, int r, struct zl_error *err)
{
        if (!cg->rootless || (r != -EPERM && r != -EACCES))
                return r;
        zl_error_done(err);
        return 0;
}

static int write_rule_v1(struct zl_cgroup *cg, const struct zl_hierarchy *h,
                         const struct zl_device_rule *rule, int fds[2], struct zl_error *err)
{
        char text[80], major[24] = "*", minor[24] = "*";
        int n;

        if (rule->major >= 0)
                snprintf(major, sizeof major, "%" PRId64, rule->major);
        if (rule->minor >= 0)
                snprintf(minor, sizeof minor, "%" PRId64, rule->minor);
        n = rule->type == 'a' ? snprintf(text, sizeof text, "a")
                              : snprintf(text, sizeof text, "%c %s:%s %s%s%s", rule->type, major,
                                         minor, rule->access & ZL_DEV_READ ? "r" : "",
                                         rule->access & ZL_DEV_WRITE ? "w" : "",
                                         rule->access & ZL_DEV_MKNOD ? "m" : "");
        if (fds[rule->allow] < 0)
                fds[rule->allow] = zl_cgroup_open_file(
                        cg, h, rule->allow ? "devices.allow" : "devices.deny", O_WRONLY);
        if (fds[rule->allow] < 0)
                return zl_fail_errno(err, -fds[rule->allow], "cannot open devices.%s of cgroup %s",
                                     rule->allow ? "allow" : "deny", cg->shown_path);
        if (write(fds[rule->allow], text, (size_t)n) < 0)
                return zl_fail_errno(err, errno, "cannot write \"%s\" to devices.%s of cgroup %s",
                                     text, rule->allow ? "allow" : "deny", cg->shown_path);
        return 0;
}

static int devices_v1(struct zl_cgroup *cg, const struct zl_oci_resources *res,
                      struct zl_error *err)
{
        const struct zl_hierarchy *h = zl_cgroup_controller(cg, "devices");
        _cleanup_free_ struct zl_device_rule *rules = NULL;
        int fds[2] = { -EBADF, -EBADF };
        size_t n = 0;
        int r;

        if (!h && (!res->devices || cg->rootless))
                return 0;
        r = need(cg, "devices", &h, err);
        if (r == 0)
                r = zl_device_rules(res, &rules, &n, err);
        for (size_t i = 0; r == 0 && i < n; i++)
                r = write_rule_v1(cg, h, &rules[i], fds, err);
        zl_close(fds[0]);
        zl_close(fds[1]);
        return forgive(cg, r, err);
}

int zl_cgroup_apply_v1(struct zl_cgroup *cg, const struct zl_oci_resources *res,
                       struct zl_error *err)
{
        int r = 0;

        if (res->memory)
                r = memory_v1(cg, res->memory, err);
        if (r == 0 && res->cpu)
                r = cpu_v1(cg, res->cpu, err);
        if (r == 0 && res->cpu)
                r = cpuset(cg, res->cpu, err);
        if (r == 0 && res->pids)
                r = pids(cg, res->pids, err);
        if (r == 0 && res->block_io)
                r = blkio_v1(cg, res->block_io, err);
        if (r == 0)
                r = hugetlb(cg, res, err);
        if (r == 0 && res->network)
                r = net_v1(cg, res->network, err);
        if (r == 0)
                r = rdma(cg, res, err);
        if (r == 0)
                r = apply_unified(cg, &res->unified, err);
        if (r == 0 && res->devices)
                r = devices_v1(cg, res, err);
        return r;
}

/* --- version 2 ------------------------------------------------------------------------------------------ */

/* Before anything is changed. checkBeforeUpdate: a limit below what is in use is refused, as version 1 always does, and nobody is killed
 * for it. */
static int check_memory(struct zl_cgroup *cg, const struct zl_hierarchy *h,
                        const struct zl_oci_memory *m, struct zl_error *err)
{
        const struct {
                const char *what;
                bool has;
                int64_t value;
        } limits[] = { { "memory+swap", m->has_swap, m->swap },
                       { "memory", m->has_limit, m->limit } };
        uint64_t use = m->check_before_update ? zl_cgroup_read_u64(cg, h, "memory.current", 0) : 0;

        if (m->has_swap && m->swap > 0 && (!m->has_limit || m->limit < 0 || m->swap < m->limit))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "linux.resources.memory.swap: memory+swap must not be below "
                               "the memory limit");
        for (size_t i = 0; i < ZL_ARRAY_SIZE(limits); i++)
                if (limits[i].has && limits[i].value > 0 && (uint64_t)limits[i].value < use)
                        return zl_fail(err, ZL_E_STATE, EBUSY,
                                       "rejecting %s limit %" PRId64 ": cgroup %s uses %" PRIu64
                                       " bytes",
                                       limits[i].what, limits[i].value, cg->shown_path, use);
        return 0;
}

static int memory_v2(struct zl_cgroup *cg, const struct zl_oci_memory *m, struct zl_error *err)
{
        const struct zl_hierarchy *h = NULL;
        int r = need(cg, "memory", &h, err);

        if (r == 0)
                r = check_memory(cg, h, m, err);
        if (r == 0 && m->has_limit && m->limit)
                r = put_max(cg, h, "memory.max", m->limit, err);
        if (r == 0 && m->has_swap && !m->swap && !m->has_limit)
                r = put_max(cg, h, "memory.swap.max", 0, err);
        if (r == 0 && m->has_swap && m->swap)
                r = put_max(cg, h, "memory.swap.max", m->swap < 0 ? -1 : m->swap - m->limit, err);
        /* As on version 1, and as runc: no limit is none on swap either, where the kernel counts it. */
        if (r == 0 && m->has_limit && m->limit < 0 && !m->has_swap)
                (void)put_max(cg, h, "memory.swap.max", -1, NULL);
        if (r == 0 && m->has_reservation && m->reservation)
                r = put_max(cg, h, "memory.low", m->reservation, err);
        return r;
}

/* 2…262144 to 1…10000 by a curve through 1024 and 100, which are the defaults: that of the other runtimes and of Kubernetes since 2025. */
static int64_t weight_of(uint64_t shares)
{
        double l = log2((double)ZL_MIN(ZL_MAX(shares, UINT64_C(2)), UINT64_C(262144)));

        return (int64_t)ceil(pow(10, (l * l + 125 * l) / 612 - 7.0 / 34));
}

/* One file has both: an update of one keeps the other. */
static int quota_v2(struct zl_cgroup *cg, const struct zl_hierarchy *h, const struct zl_oci_cpu *c,
                    struct zl_error *err)
{
        _cleanup_free_ char *present = NULL;
        char text[64], quota[24] = "max";
        uint64_t period = 100000;

        if (zl_cgroup_read(cg, h, "cpu.max", &present) == 0)
                (void)sscanf(present, "%23s %" SCNu64, quota, &period);
        if (c->has_quota && c->quota)
                snprintf(quota, sizeof quota, "max");
        if (c->has_quota && c->quota > 0)
                snprintf(quota, sizeof quota, "%" PRId64, c->quota);
        if (c->has_period && c->period)
                period = c->period;
        snprintf(text, sizeof text, "%s %" PRIu64, quota, period);
        return zl_cgroup_write(cg, h, "cpu.max", text, err);
}

static int cpu_v2(struct zl_cgroup *cg, const struct zl_oci_cpu *c, struct zl_error *err)
{
        const struct zl_hierarchy *h = NULL;
        int r = 0;

        if ((c->has_realtime_period && c->realtime_period) ||
            (c->has_realtime_runtime && c->realtime_runtime))
                return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                               "realtime CPU limits do not exist on cgroup version 2");
        if ((c->has_shares && c->shares) || (c->has_quota && c->quota) ||
            (c->has_period && c->period) || c->has_burst || c->has_idle)
                r = need(cg, "cpu", &h, err);
        if (r == 0 && c->has_idle)
                r = put_i64(cg, h, "cpu.idle", c->idle, err);
        if (r == 0 && c->has_shares && c->shares)
                r = put_i64(cg, h, "cpu.weight", weight_of(c->shares), err);
        if (r == 0 && ((c->has_quota && c->quota) || (c->has_period && c->period)))
                r = quota_v2(cg, h, c, err);
        if (r == 0 && c->has_burst)
                r = put_i64(cg, h, "cpu.max.burst", (int64_t)c->burst, err);
        return r;
}

static int io_v2(struct zl_cgroup *cg, const struct zl_oci_block_io *b, struct zl_error *err)
{
        const struct zl_hierarchy *h = NULL;
        struct throttle t[4];
        char text[96];
        int r = need(cg, "io", &h, err);

        if (r == 0 && b->has_weight && b->weight) {
                const char *file = bfq_or(cg, h, "io.bfq.weight", "io.weight");
                /* 10…1000 of version 1; io.weight goes to 10000. */
                unsigned weight = zl_streq(file, "io.weight") ? 1 + (b->weight - 10) * 9999 / 990
                                                              : b->weight;

                r = put_i64(cg, h, file, weight, err);
        }
        for (size_t i = 0; r == 0 && i < b->n_weight_device; i++) {
                snprintf(text, sizeof text, "%" PRId64 ":%" PRId64 " %u", b->weight_device[i].major,
                         b->weight_device[i].minor, b->weight_device[i].weight);
                r = zl_cgroup_write(cg, h, "io.bfq.weight", text, err);
        }
        throttles(b, t);
        for (size_t k = 0; k < 4; k++)
                for (size_t i = 0; r == 0 && i < t[k].n; i++) {
                        snprintf(text, sizeof text, "%" PRId64 ":%" PRId64 " %s=%" PRIu64,
                                 t[k].items[i].major, t[k].items[i].minor, t[k].key_v2,
                                 t[k].items[i].rate);
                        r = zl_cgroup_write(cg, h, "io.max", text, err);
                }
        return r;
}

static int devices_v2(struct zl_cgroup *cg, const struct zl_oci_resources *res,
                      struct zl_error *err)
{
        _cleanup_free_ struct zl_device_rule *rules = NULL;
        size_t n = 0;
        int r = zl_device_rules(res, &rules, &n, err);

        if (r < 0)
                return r;
        r = zl_device_bpf_attach(cg->dir_fd, rules, n, err);
        return forgive(cg, r, err);
}

int zl_cgroup_apply_v2(struct zl_cgroup *cg, const struct zl_oci_resources *res,
                       struct zl_error *err)
{
        int r = 0;

        if (res->memory)
                r = memory_v2(cg, res->memory, err);
        if (r == 0 && res->cpu)
                r = cpu_v2(cg, res->cpu, err);
        if (r == 0 && res->cpu)
                r = cpuset(cg, res->cpu, err);
        if (r == 0 && res->pids)
                r = pids(cg, res->pids, err);
        if (r == 0 && res->block_io)
                r = io_v2(cg, res->block_io, err);
        if (r == 0)
                r = hugetlb(cg, res, err);
        if (r == 0)
                r = rdma(cg, res, err);
        if (r == 0)
                r = apply_unified(cg, &res->unified, err);
        if (r == 0 && res->devices)
                r = devices_v2(cg, res, err);
        return r;
}
