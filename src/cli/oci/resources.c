/* SPDX-License-Identifier: Apache-2.0 */
/*
 * update: changing the limits of a container while it runs.
 */

#include "base/parse.h"
#include "cli/oci/oci.h"
#include "schema/arena.h"

enum { MAX_RESOURCES_FILE = 1 << 20 };

struct update_options {
        const char *resources, *cpuset_cpus, *cpuset_mems, *memory, *memory_reservation,
                *memory_swap, *cpu_quota, *pids_limit;
        struct zl_cli_u64 blkio_weight, cpu_period, cpu_share, cpu_idle, cpu_burst;
};

#define AT(member) offsetof(struct update_options, member)

static const struct zl_cli_option update_table[] = {
        { "resources", 'r', ZL_CLI_STRING, AT(resources), "FILE",
          "linux.resources document; \"-\" is standard input" },
        { "memory", 0, ZL_CLI_STRING, AT(memory), "BYTES", "memory limit; -1: none" },
        { "memory-reservation", 0, ZL_CLI_STRING, AT(memory_reservation), "BYTES", "soft limit" },
        { "memory-swap", 0, ZL_CLI_STRING, AT(memory_swap), "BYTES",
          "memory and swap together; -1: none" },
        { "cpu-period", 0, ZL_CLI_U64, AT(cpu_period), "USEC", "period of the quota" },
        { "cpu-quota", 0, ZL_CLI_STRING, AT(cpu_quota), "USEC",
          "processor time per period; -1: none" },
        { "cpu-burst", 0, ZL_CLI_U64, AT(cpu_burst), "USEC", "unused quota that may be saved up" },
        { "cpu-share", 0, ZL_CLI_U64, AT(cpu_share), "N", "weight, 1024 is normal" },
        { "cpu-idle", 0, ZL_CLI_U64, AT(cpu_idle), "0|1", "run only when nobody else wants to" },
        { "cpuset-cpus", 0, ZL_CLI_STRING, AT(cpuset_cpus), "LIST", "processors, such as 0-3,7" },
        { "cpuset-mems", 0, ZL_CLI_STRING, AT(cpuset_mems), "LIST", "memory nodes" },
        { "pids-limit", 0, ZL_CLI_STRING, AT(pids_limit), "N",
          "number of processes; -1: no limit" },
        { "blkio-weight", 0, ZL_CLI_U64, AT(blkio_weight), "N",
          "weight of block input and output" },
        { 0 },
};

/* The document and all its parts, ready to be pointed at. */
struct update {
        struct zl_arena *arena;
        struct zl_oci_resources res;
        struct zl_oci_memory memory;
        struct zl_oci_cpu cpu;
        struct zl_oci_pids pids;
        struct zl_oci_block_io block_io;
};

static void update_done(struct update *u)
{
        zl_arena_free(u->arena);
}

/* As runc (and Docker) reads sizes on its command line: K, M … are powers of 1024, with and without an "i". */
static int parse_bytes(const char *text, uint64_t *ret)
{
        size_t n = strspn(text, "0123456789");
        char binary[32];

        if (text[n] && strchr("KMGTPkmgtp", text[n]) && text[n + 1] != 'i') {
                if (snprintf(binary, sizeof(binary), "%.*si%s", (int)n + 1, text, text + n + 1) >=
                    (int)sizeof(binary))
                        return -ERANGE;
                text = binary;
        }
        return zl_parse_size(text, ret);
}

/* A number of bytes with an optional unit, or -1. */
static int take_amount(const char *name, const char *text, bool *has, int64_t *ret,
                       struct zl_error *err)
{
        uint64_t v;

        if (!text)
                return 0;
        *has = true;
        if (zl_streq(text, "-1")) {
                *ret = -1;
                return 0;
        }
        if (parse_bytes(text, &v) < 0 || v > INT64_MAX)
                return zl_fail(err, ZL_E_INVALID, 0, "--%s: \"%s\" is not a size", name, text);
        *ret = (int64_t)v;
        return 0;
}

static void take_u64(const struct zl_cli_u64 *option, bool *has, uint64_t *ret)
{
        if (option->set) {
                *has = true;
                *ret = option->value;
        }
}

static int take_memory(struct update *u, const struct update_options *o, struct zl_error *err)
{
        struct zl_oci_memory *m = &u->memory;
        int r = take_amount("memory", o->memory, &m->has_limit, &m->limit, err);

        if (r == 0)
                r = take_amount("memory-reservation", o->memory_reservation, &m->has_reservation,
                                &m->reservation, err);
        if (r == 0)
                r = take_amount("memory-swap", o->memory_swap, &m->has_swap, &m->swap, err);
        if (m->has_limit || m->has_reservation || m->has_swap)
                u->res.memory = m;
        return r;
}

static int take_cpu(struct update *u, const struct update_options *o, struct zl_error *err)
{
        struct zl_oci_cpu *c = &u->cpu;

        take_u64(&o->cpu_period, &c->has_period, &c->period);
        take_u64(&o->cpu_share, &c->has_shares, &c->shares);
        take_u64(&o->cpu_burst, &c->has_burst, &c->burst);
        if (o->cpu_idle.set) {
                c->has_idle = true;
                c->idle = (int64_t)o->cpu_idle.value;
        }
        c->cpus = (char *)o->cpuset_cpus;
        c->mems = (char *)o->cpuset_mems;
        if (o->cpu_quota) {
                if (zl_parse_i64(o->cpu_quota, &c->quota) < 0)
                        return zl_fail(err, ZL_E_INVALID, 0, "--cpu-quota: \"%s\" is not a number",
                                       o->cpu_quota);
                c->has_quota = true;
        }
        if (c->has_period || c->has_shares || c->has_burst || c->has_idle || c->has_quota ||
            c->cpus || c->mems)
                u->res.cpu = c;
        return 0;
}

static int take_options(struct update *u, const struct update_options *o, struct zl_error *err)
{
        int r = take_memory(u, o, err);

        if (r == 0)
                r = take_cpu(u, o, err);
        if (r < 0)
                return r;
        if (o->pids_limit) {
                if (zl_parse_i64(o->pids_limit, &u->pids.limit) < 0)
                        return zl_fail(err, ZL_E_INVALID, 0, "--pids-limit: \"%s\" is not a number",
                                       o->pids_limit);
                u->pids.has_limit = true;
                u->res.pids = &u->pids;
        }
        if (o->blkio_weight.set) {
                if (o->blkio_weight.value > UINT16_MAX)
                        return zl_fail(err, ZL_E_INVALID, 0, "--blkio-weight: too large");
                u->block_io.has_weight = true;
                u->block_io.weight = (uint16_t)o->blkio_weight.value;
                u->res.block_io = &u->block_io;
        }
        return 0;
}

static int load_resources(struct update *u, const char *path, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r = zl_cli_read_input(path, MAX_RESOURCES_FILE, &text, &len, err);

        if (r < 0)
                return r;
        u->arena = zl_arena_new(0);
        if (!u->arena)
                return zl_fail_oom(err);
        return zl_oci_resources_parse(text, len, path, u->arena, &u->res, err);
}

static int update(struct zl_oci *oci, const char *id, const struct update_options *o,
                  struct zl_error *err)
{
        _cleanup_(zl_container_freep) struct zl_container *c = NULL;
        _cleanup_(update_done) struct update u = { 0 };
        int r = zl_oci_load(oci, id, &c, err);

        if (r == 0)
                r = o->resources ? load_resources(&u, o->resources, err) : take_options(&u, o, err);
        return r < 0 ? r : zl_container_update(c, &u.res, err);
}

static int cmd_update(struct zl_cli *cli, void *options, int argc _unused_, char **argv)
{
        struct zl_error err = ZL_ERROR_INIT;

        if (update(zl_oci_of(cli), argv[0], options, &err) < 0)
                return zl_oci_fail(zl_oci_of(cli), &err);
        return ZL_EXIT_OK;
}

const struct zl_cli_command zl_oci_cmd_update = {
        .name = "update",
        .args = "ID",
        .summary = "Change the limits of a container",
        .details = "With --resources the other options are not looked at.",
        .options = update_table,
        .options_size = sizeof(struct update_options),
        .min_args = 1,
        .max_args = 1,
        .run = cmd_update,
};
