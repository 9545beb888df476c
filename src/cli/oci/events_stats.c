/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures of `events` in runc's words (its types/events.go), which callers decode: cpu, cpuset, memory, pids, blkio, hugetlb, intel_rdt,
 * network_interfaces. Written as text, because they are 64 bits without a sign: "no limit" of version 2 is 2^64 - 1.
 *
 * What a kernel does not tell is left out, or 0 where runc always writes it.
 */
#include <inttypes.h>

#include "base/buf.h"
#include "base/strv.h"
#include "cli/oci/oci.h"

struct figures {
        struct zl_buf *out;
        struct zl_cgroup *cg;
        bool v2;
};

/* ---- reading --------------------------------------------------------------------------------------- */

static char *read_file(const struct figures *f, const char *controller, const char *file)
{
        char *text = NULL;

        return zl_cgroup_read_file(f->cg, controller, file, &text) < 0 ? NULL : text;
}

/* "max" is the largest number; missing is `missing`. */
static uint64_t number_of(const struct figures *f, const char *controller, const char *file,
                          uint64_t missing)
{
        _cleanup_free_ char *text = read_file(f, controller, file);

        if (!text)
                return missing;
        return zl_startswith(text, "max") ? UINT64_MAX : strtoull(text, NULL, 10);
}

/* 0 if it is not there. */
static uint64_t value_of(const char *text, const char *key)
{
        return zl_cgroup_stat_value(text, key, 0);
}

/* ---- writing --------------------------------------------------------------------------------------- */

/* A comma where something stands before it. */
static void put_key(struct zl_buf *b, const char *name)
{
        if (b->len > 0 && b->data[b->len - 1] != '{' && b->data[b->len - 1] != '[')
                zl_buf_putc(b, ',');
        zl_buf_putf(b, "\"%s\":", name);
}

static void put_u64(struct zl_buf *b, const char *name, uint64_t value)
{
        put_key(b, name);
        zl_buf_putf(b, "%" PRIu64, value);
}

static void open_object(struct zl_buf *b, const char *name)
{
        put_key(b, name);
        zl_buf_putc(b, '{');
}

static void close_object(struct zl_buf *b)
{
        zl_buf_putc(b, '}');
}

/* Numbers apart by blanks, times `unit`. */
static void put_numbers(struct zl_buf *b, const char *name, const char *text, uint64_t unit)
{
        char *end = NULL;

        put_key(b, name);
        zl_buf_putc(b, '[');
        for (const char *p = text; *p && *p != '\n'; p = end) {
                uint64_t v = strtoull(p, &end, 10);

                if (end == p)
                        break;
                zl_buf_putf(b, "%s%" PRIu64, b->data[b->len - 1] == '[' ? "" : ",", v * unit);
        }
        zl_buf_putc(b, ']');
}

static void put_pressure_line(struct zl_buf *b, const char *name, const struct zl_pressure_line *l)
{
        open_object(b, name);
        zl_buf_putf(b, "\"avg10\":%.2f,\"avg60\":%.2f,\"avg300\":%.2f", l->avg10, l->avg60,
                    l->avg300);
        put_u64(b, "total", l->total_usec);
        close_object(b);
}

static void put_pressure(const struct figures *f, const char *file)
{
        _cleanup_free_ char *text = f->v2 ? read_file(f, NULL, file) : NULL;
        struct zl_pressure p;

        if (!zl_pressure_parse(text, &p))
                return;
        open_object(f->out, "psi");
        put_pressure_line(f->out, "some", &p.some);
        put_pressure_line(f->out, "full", &p.full);
        close_object(f->out);
}

/* ---- the parts ------------------------------------------------------------------------------------- */

/* cpuacct.usage_all has a line "CPU USER SYSTEM" for each processor: column 1 or 2 of it. */
static void put_column(struct zl_buf *b, const char *name, const char *table, int column)
{
        _cleanup_buf_ struct zl_buf numbers = ZL_BUF_INIT(64 << 10);

        for (const char *p = table ? strchr(table, '\n') : NULL; p && p[1];
             p = strchr(p + 1, '\n')) {
                uint64_t v[2];

                if (sscanf(p + 1, "%*u %" SCNu64 " %" SCNu64, &v[0], &v[1]) == 2)
                        zl_buf_putf(&numbers, "%" PRIu64 " ", v[column]);
        }
        if (numbers.len)
                put_numbers(b, name, numbers.data, 1);
}

static void put_usage_v1(const struct figures *f)
{
        _cleanup_free_ char *percpu = read_file(f, "cpuacct", "cpuacct.usage_percpu");
        _cleanup_free_ char *all = read_file(f, "cpuacct", "cpuacct.usage_all");

        put_u64(f->out, "total", number_of(f, "cpuacct", "cpuacct.usage", 0));
        put_u64(f->out, "kernel", number_of(f, "cpuacct", "cpuacct.usage_sys", 0));
        put_u64(f->out, "user", number_of(f, "cpuacct", "cpuacct.usage_user", 0));
        if (percpu)
                put_numbers(f->out, "percpu", percpu, 1);
        put_column(f->out, "percpu_user", all, 0);
        put_column(f->out, "percpu_kernel", all, 1);
}

static void put_cpu(const struct figures *f)
{
        _cleanup_free_ char *stat = read_file(f, "cpu", "cpu.stat");

        open_object(f->out, "cpu");
        open_object(f->out, "usage");
        if (f->v2) {
                put_u64(f->out, "total", value_of(stat, "usage_usec") * 1000);
                put_u64(f->out, "kernel", value_of(stat, "system_usec") * 1000);
                put_u64(f->out, "user", value_of(stat, "user_usec") * 1000);
        } else {
                put_usage_v1(f);
        }
        close_object(f->out);
        open_object(f->out, "throttling");
        put_u64(f->out, "periods", value_of(stat, "nr_periods"));
        put_u64(f->out, "throttledPeriods", value_of(stat, "nr_throttled"));
        put_u64(f->out, "throttledTime",
                f->v2 ? value_of(stat, "throttled_usec") * 1000 : value_of(stat, "throttled_time"));
        close_object(f->out);
        put_pressure(f, "cpu.pressure");
        close_object(f->out);
}

/* "0-2,5" as [0,1,2,5]. */
static void put_list(const struct figures *f, const char *name, const char *file)
{
        _cleanup_buf_ struct zl_buf numbers = ZL_BUF_INIT(256 << 10);
        _cleanup_free_ char *text = read_file(f, "cpuset", file);

        for (const char *p = text; p && *p && *p != '\n'; p += strcspn(p, ","), p += *p == ',') {
                unsigned first, last;
                int n = sscanf(p, "%u-%u", &first, &last);

                if (n < 1)
                        break;
                for (unsigned i = first; i <= (n == 2 ? last : first); i++)
                        zl_buf_putf(&numbers, "%u ", i);
        }
        if (numbers.len)
                put_numbers(f->out, name, numbers.data, 1);
}

static void put_cpuset(const struct figures *f)
{
        static const char *const flags[] = { "cpu_exclusive",      "mem_exclusive",
                                             "mem_hardwall",       "memory_migrate",
                                             "memory_pressure",    "memory_spread_page",
                                             "memory_spread_slab", "sched_load_balance" };

        open_object(f->out, "cpuset");
        put_list(f, "cpus", f->v2 ? "cpuset.cpus.effective" : "cpuset.cpus");
        put_list(f, "mems", f->v2 ? "cpuset.mems.effective" : "cpuset.mems");
        for (size_t i = 0; i < ZL_ARRAY_SIZE(flags); i++) {
                char file[48];

                snprintf(file, sizeof(file), "cpuset.%s", flags[i]);
                put_u64(f->out, flags[i], f->v2 ? 0 : number_of(f, "cpuset", file, 0));
        }
        put_key(f->out, "sched_relax_domain_level");
        zl_buf_puts(f->out, f->v2 ? "0" : "-1");
        close_object(f->out);
}

struct memory_files {
        const char *name, *prefix; /* "memory", "memory.memsw" */
};

static void put_memory_v1(const struct figures *f)
{
        static const struct memory_files parts[] = { { "usage", "memory" },
                                                     { "swap", "memory.memsw" },
                                                     { "kernel", "memory.kmem" },
                                                     { "kernelTCP", "memory.kmem.tcp" } };
        static const char *const files[][2] = { { "usage", "usage_in_bytes" },
                                                { "max", "max_usage_in_bytes" },
                                                { "limit", "limit_in_bytes" },
                                                { "failcnt", "failcnt" } };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(parts); i++) {
                open_object(f->out, parts[i].name);
                for (size_t k = 0; k < ZL_ARRAY_SIZE(files); k++) {
                        char file[64];

                        snprintf(file, sizeof(file), "%s.%s", parts[i].prefix, files[k][1]);
                        put_u64(f->out, files[k][0], number_of(f, "memory", file, 0));
                }
                close_object(f->out);
        }
}

static uint64_t add_limits(uint64_t a, uint64_t b)
{
        return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* runc's "swap" is memory and swap together, as version 1 counts it. */
static void put_memory_v2(const struct figures *f)
{
        _cleanup_free_ char *events = read_file(f, "memory", "memory.events");
        uint64_t usage = number_of(f, "memory", "memory.current", 0);
        uint64_t limit = number_of(f, "memory", "memory.max", UINT64_MAX);

        open_object(f->out, "usage");
        put_u64(f->out, "usage", usage);
        put_u64(f->out, "max", number_of(f, "memory", "memory.peak", 0));
        put_u64(f->out, "limit", limit);
        put_u64(f->out, "failcnt", value_of(events, "max"));
        close_object(f->out);
        open_object(f->out, "swap");
        put_u64(f->out, "usage", usage + number_of(f, "memory", "memory.swap.current", 0));
        put_u64(f->out, "limit",
                add_limits(limit, number_of(f, "memory", "memory.swap.max", UINT64_MAX)));
        put_u64(f->out, "failcnt", 0);
        close_object(f->out);
}

static void put_memory(const struct figures *f)
{
        _cleanup_free_ char *stat = read_file(f, "memory", "memory.stat");

        open_object(f->out, "memory");
        put_u64(f->out, "cache", value_of(stat, f->v2 ? "file" : "cache"));
        if (f->v2)
                put_memory_v2(f);
        else
                put_memory_v1(f);
        open_object(f->out, "raw");
        for (const char *p = stat; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
                char key[64];
                uint64_t v;

                if (sscanf(p, "%63[a-z0-9_] %" SCNu64, key, &v) == 2)
                        put_u64(f->out, key, v);
        }
        close_object(f->out);
        put_pressure(f, "memory.pressure");
        close_object(f->out);
}

static void put_pids(const struct figures *f)
{
        uint64_t limit = number_of(f, "pids", "pids.max", UINT64_MAX);

        open_object(f->out, "pids");
        put_u64(f->out, "current", number_of(f, "pids", "pids.current", 0));
        put_u64(f->out, "limit", limit == UINT64_MAX ? 0 : limit);
        close_object(f->out);
}

static void put_io(struct zl_buf *b, unsigned major, unsigned minor, const char *op, uint64_t v)
{
        if (b->data[b->len - 1] != '[')
                zl_buf_putc(b, ',');
        zl_buf_putf(b, "{\"major\":%u,\"minor\":%u,\"op\":\"%s\",\"value\":%" PRIu64 "}", major,
                    minor, op, v);
}

/* Of version 1 "8:0 Read 4096", of version 2 "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …" a line. */
static void put_io_list(const struct figures *f, const char *name, const char *text,
                        const char *const keys[2])
{
        put_key(f->out, name);
        zl_buf_putc(f->out, '[');
        for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
                unsigned major, minor;
                uint64_t v;
                char op[16];

                if (sscanf(p, "%u:%u", &major, &minor) != 2)
                        continue;
                if (!f->v2 && sscanf(p, "%*u:%*u %15s %" SCNu64, op, &v) == 2)
                        put_io(f->out, major, minor, op, v);
                for (size_t i = 0; f->v2 && i < 2; i++) {
                        const char *at = strstr(p, keys[i]), *end = strchr(p, '\n');

                        if (at && (!end || at < end))
                                put_io(f->out, major, minor, i == 0 ? "Read" : "Write",
                                       strtoull(at + strlen(keys[i]), NULL, 10));
                }
        }
        zl_buf_putc(f->out, ']');
}

static void put_blkio(const struct figures *f)
{
        static const char *const bytes[] = { " rbytes=", " wbytes=" };
        static const char *const operations[] = { " rios=", " wios=" };
        _cleanup_free_ char *first = read_file(f, f->v2 ? "io" : "blkio",
                                               f->v2 ? "io.stat"
                                                     : "blkio.throttle.io_service_bytes_recursive");
        _cleanup_free_ char *second = read_file(f, f->v2 ? "io" : "blkio",
                                                f->v2 ? "io.stat"
                                                      : "blkio.throttle.io_serviced_recursive");

        open_object(f->out, "blkio");
        put_io_list(f, "ioServiceBytesRecursive", first, bytes);
        put_io_list(f, "ioServicedRecursive", second, operations);
        put_pressure(f, "io.pressure");
        close_object(f->out);
}

/* Sizes as the kernel names the files: "2MB". */
static void put_hugetlb(const struct figures *f)
{
        static const char *const sizes[] = { "64KB", "2MB", "32MB", "512MB", "1GB", "16GB" };

        open_object(f->out, "hugetlb");
        for (size_t i = 0; i < ZL_ARRAY_SIZE(sizes); i++) {
                char file[64];
                uint64_t usage;

                snprintf(file, sizeof(file), "hugetlb.%s.%s", sizes[i],
                         f->v2 ? "current" : "usage_in_bytes");
                usage = number_of(f, "hugetlb", file, UINT64_MAX);
                if (usage == UINT64_MAX)
                        continue;
                open_object(f->out, sizes[i]);
                put_u64(f->out, "usage", usage);
                snprintf(file, sizeof(file), "hugetlb.%s.%s", sizes[i],
                         f->v2 ? "events" : "failcnt");
                if (f->v2) {
                        _cleanup_free_ char *events = read_file(f, "hugetlb", file);

                        put_u64(f->out, "failcnt", value_of(events, "max"));
                } else {
                        put_u64(f->out, "failcnt", number_of(f, "hugetlb", file, 0));
                        snprintf(file, sizeof(file), "hugetlb.%s.max_usage_in_bytes", sizes[i]);
                        put_u64(f->out, "max", number_of(f, "hugetlb", file, 0));
                }
                close_object(f->out);
        }
        close_object(f->out);
}

int zl_oci_put_figures(struct zl_buf *out, struct zl_cgroup *cg, struct zl_error *err)
{
        const struct figures f = { out, cg, zl_cgroup_is_v2(cg) };
        struct zl_stats probe;
        int r = zl_cgroup_stats(cg, &probe, err); /* is the group there at all? */

        if (r < 0)
                return r;
        zl_buf_putc(out, '{');
        put_cpu(&f);
        put_cpuset(&f);
        put_memory(&f);
        put_pids(&f);
        put_blkio(&f);
        put_hugetlb(&f);
        zl_buf_puts(out, ",\"intel_rdt\":{},\"network_interfaces\":null}");
        return zl_buf_error(out) ? zl_fail_errno(err, -zl_buf_error(out), "cannot tell the figures")
                                 : 0;
}
