/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits and devices of a bundle. Numbers are turned into the units of the OCI specification here; what they become on
 * cgroup version 1 or 2 is the engine's. Limits that contradict each other are refused here in words, because the
 * kernel would only say "invalid argument".
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "runtimes/bundle_private.h"
#include "runtimes/cdi.h"
#include "spec/spec.h"

#define CPU_PERIOD 100000 /* microseconds */
#define CPU_QUOTA_MIN 1000
#define FILES_SOFT 1024
#define FILES_HARD 524288

/* ---- memory -------------------------------------------------------------------------------------- */

/* Reads a size; UINT64_MAX ("-1") becomes -1, the specification's word for no limit. */
static int read_size(struct bundle_builder *b, const char *field, const char *text, int64_t *ret)
{
        uint64_t bytes;

        if (zl_spec_size_bytes(text, &bytes) < 0 || (bytes > INT64_MAX && bytes != UINT64_MAX))
                return zl_fail(b->err, ZL_E_INVALID, 0, "resources.%s: \"%s\" is not a size", field,
                               text);
        *ret = bytes == UINT64_MAX ? -1 : (int64_t)bytes;
        return 0;
}

static int read_limit(struct bundle_builder *b, struct zl_oci_memory *m)
{
        uint64_t bytes;

        if (!b->spec->resources.memory)
                return 0;
        if (zl_spec_memory_bytes(b->spec->resources.memory, &bytes) < 0 || bytes > INT64_MAX)
                return zl_fail(b->err, ZL_E_INVALID, 0, "resources.memory: \"%s\" is not a size",
                               b->spec->resources.memory);
        m->has_limit = true;
        m->limit = (int64_t)bytes;
        return 0;
}

static int check_memory(struct bundle_builder *b, const struct zl_oci_memory *m)
{
        if (m->has_swap && !m->has_limit)
                return zl_fail(
                        b->err, ZL_E_INVALID, 0,
                        "resources.memory_swap: needs resources.memory, it limits both together");
        if (m->has_swap && m->swap != -1 && m->swap < m->limit)
                return zl_fail(
                        b->err, ZL_E_INVALID, 0,
                        "resources.memory_swap: is memory and swap together and so cannot be less than resources.memory");
        if (m->has_reservation && m->has_limit && m->reservation > m->limit)
                return zl_fail(b->err, ZL_E_INVALID, 0,
                               "resources.memory_reservation: is more than resources.memory");
        if (m->has_swappiness && m->swappiness > 100)
                return zl_fail(b->err, ZL_E_INVALID, 0,
                               "resources.memory_swappiness: %u is not between 0 and 100",
                               (unsigned)m->swappiness);
        return 0;
}

static int make_memory(struct bundle_builder *b, struct zl_oci_resources *res)
{
        const struct zl_resources_spec *s = &b->spec->resources;
        struct zl_oci_memory m = { 0 };
        int r = read_limit(b, &m);

        if (r == 0 && s->memory_swap) {
                m.has_swap = true;
                r = read_size(b, "memory_swap", s->memory_swap, &m.swap);
        }
        if (r == 0 && s->memory_reservation) {
                m.has_reservation = true;
                r = read_size(b, "memory_reservation", s->memory_reservation, &m.reservation);
        }
        if (s->has_memory_swappiness) {
                m.has_swappiness = true;
                m.swappiness = s->memory_swappiness;
        }
        if (s->has_oom_kill_disable && s->oom_kill_disable) {
                m.has_disable_oom_killer = m.disable_oom_killer = true;
                if (!m.has_limit)
                        bundle_warn(
                                b,
                                "resources.oom_kill_disable: without resources.memory a leak can take the whole machine down");
        }
        if (r == 0)
                r = check_memory(b, &m);
        if (r < 0)
                return r;
        if (!m.has_limit && !m.has_reservation && !m.has_swappiness && !m.has_disable_oom_killer)
                return 0;
        res->memory = malloc(sizeof(m));
        if (!res->memory)
                return zl_fail_oom(b->err);
        *res->memory = m;
        return 0;
}

/* ---- cpu, pids, io ------------------------------------------------------------------------------- */

static int make_cpu(struct bundle_builder *b, struct zl_oci_resources *res)
{
        const struct zl_resources_spec *s = &b->spec->resources;
        struct zl_oci_cpu *cpu;

        if (!s->has_cpu && !s->has_cpu_shares && !s->cpuset)
                return 0;
        cpu = res->cpu = calloc(1, sizeof(*cpu));
        if (!cpu)
                return zl_fail_oom(b->err);
        if (s->has_cpu && (!isfinite(s->cpu) || s->cpu > 1e6)) {
                bundle_warn(b, "resources.cpu: not a number of cores, so there is no limit");
        } else if (s->has_cpu) {
                double quota = s->cpu * CPU_PERIOD;

                /* The kernel takes no quota below a millisecond. */
                cpu->has_quota = cpu->has_period = true;
                cpu->period = CPU_PERIOD;
                /* Truncated, but 0.29 cores are 29000 although 0.29 has no exact binary form. */
                cpu->quota = quota < CPU_QUOTA_MIN ? CPU_QUOTA_MIN : (int64_t)(quota + 0.001);
        }
        if (s->has_cpu_shares && s->cpu_shares > 0) {
                cpu->has_shares = true;
                cpu->shares = s->cpu_shares < 2 ? 2 : s->cpu_shares;
        }
        if (s->cpuset && *s->cpuset) {
                if (!zl_is_cpu_list(s->cpuset))
                        return zl_fail(
                                b->err, ZL_E_INVALID, 0,
                                "resources.cpuset: \"%s\" is not a list of CPUs like \"0-3,7\"",
                                s->cpuset);
                cpu->cpus = strdup(s->cpuset);
                if (!cpu->cpus)
                        return zl_fail_oom(b->err);
        }
        return 0;
}

/* A container without a limit on processes can stop the machine with one line of shell, so there is always one
 * unless the spec asks for none. */
static int make_pids(struct bundle_builder *b, struct zl_oci_resources *res)
{
        const struct zl_resources_spec *s = &b->spec->resources;

        if (!s->has_pids_limit && !b->in->facts->pids_controller)
                return 0;
        res->pids = calloc(1, sizeof(*res->pids));
        if (!res->pids)
                return zl_fail_oom(b->err);
        res->pids->has_limit = true;
        res->pids->limit = s->has_pids_limit ? s->pids_limit : ZL_BUNDLE_PIDS_DEFAULT;
        if (res->pids->limit <= 0)
                res->pids->limit = -1;
        return 0;
}

static int make_io(struct bundle_builder *b, struct zl_oci_resources *res)
{
        uint16_t weight = b->spec->resources.blkio_weight;

        if (!b->spec->resources.has_blkio_weight || weight == 0)
                return 0;
        if (weight < 10 || weight > 1000)
                return zl_fail(b->err, ZL_E_INVALID, 0,
                               "resources.blkio_weight: %u is not between 10 and 1000", weight);
        res->block_io = calloc(1, sizeof(*res->block_io));
        if (!res->block_io)
                return zl_fail_oom(b->err);
        res->block_io->has_weight = true;
        res->block_io->weight = weight;
        return 0;
}

static int make_oom_score(struct bundle_builder *b)
{
        int32_t adj = b->spec->resources.oom_score_adj;

        if (!b->spec->resources.has_oom_score_adj)
                return 0;
        if (adj < -1000 || adj > 1000)
                return zl_fail(b->err, ZL_E_INVALID, 0,
                               "resources.oom_score_adj: %d is not between -1000 and 1000", adj);
        b->config->process->has_oom_score_adj = true;
        b->config->process->oom_score_adj = adj;
        return 0;
}

static struct zl_oci_resources *get_resources(struct bundle_builder *b)
{
        struct zl_oci_linux *l = b->config->linux_;

        if (!l->resources)
                l->resources = calloc(1, sizeof(*l->resources));
        return l->resources;
}

int bundle_resources(struct bundle_builder *b)
{
        struct zl_oci_resources *res = get_resources(b);
        int r;

        if (!res)
                return zl_fail_oom(b->err);
        r = make_memory(b, res);
        if (r == 0)
                r = make_cpu(b, res);
        if (r == 0)
                r = make_pids(b, res);
        if (r == 0)
                r = make_io(b, res);
        return r < 0 ? r : make_oom_score(b);
}

/* ---- ulimits ------------------------------------------------------------------------------------- */

static const char *const rlimit_names[] = {
        "AS",   "CORE",   "CPU",   "DATA", "FSIZE",  "LOCKS",  "MEMLOCK",    "MSGQUEUE",
        "NICE", "NOFILE", "NPROC", "RSS",  "RTPRIO", "RTTIME", "SIGPENDING", "STACK",
};

static const char *find_rlimit(const char *name)
{
        const char *rest = zl_startswith(name, "RLIMIT_");

        for (size_t i = 0; i < ZL_ARRAY_SIZE(rlimit_names); i++)
                if (strcasecmp(rest ? rest : name, rlimit_names[i]) == 0)
                        return rlimit_names[i];
        return NULL;
}

static int add_rlimit(struct bundle_builder *b, const char *name, int64_t soft, int64_t hard)
{
        struct zl_oci_process *p = b->config->process;
        struct zl_oci_rlimit *limit = BUNDLE_APPEND(p->rlimits, p->n_rlimits);

        if (!limit)
                return zl_fail_oom(b->err);
        if (asprintf(&limit->type, "RLIMIT_%s", name) < 0) {
                limit->type = NULL;
                return zl_fail_oom(b->err);
        }
        limit->soft = soft < 0 ? UINT64_MAX : (uint64_t)soft;
        limit->hard = hard < 0 ? UINT64_MAX : (uint64_t)hard;
        return 0;
}

int bundle_limits(struct bundle_builder *b)
{
        bool has_nofile = false;
        uint64_t files;

        for (size_t i = 0; i < b->spec->n_ulimits; i++) {
                const struct zl_ulimit_entry *u = &b->spec->ulimits[i];
                const char *name = find_rlimit(u->name);
                int r;

                if (!name)
                        return zl_fail(b->err, ZL_E_INVALID, 0,
                                       "ulimits: \"%s\" is not the name of a limit", u->name);
                if (u->limit.hard >= 0 && (u->limit.soft < 0 || u->limit.soft > u->limit.hard))
                        return zl_fail(b->err, ZL_E_INVALID, 0,
                                       "ulimits.%s: the soft limit is above the hard one", u->name);
                for (size_t k = 0; k < b->config->process->n_rlimits; k++)
                        if (zl_streq(b->config->process->rlimits[k].type + strlen("RLIMIT_"), name))
                                return zl_fail(b->err, ZL_E_INVALID, 0, "ulimits: %s is set twice",
                                               name);
                r = add_rlimit(b, name, u->limit.soft, u->limit.hard);
                if (r < 0)
                        return r;
                has_nofile = has_nofile || zl_streq(name, "NOFILE");
        }
        if (has_nofile)
                return 0;
        /* What systemd gives services: old programs that loop over all descriptors stay fast, servers may raise it. */
        files = ZL_MIN(b->in->facts->files_max, (uint64_t)FILES_HARD);
        return add_rlimit(b, "NOFILE", (int64_t)ZL_MIN(files, (uint64_t)FILES_SOFT),
                          (int64_t)files);
}

/* ---- devices ------------------------------------------------------------------------------------- */

struct rule {
        char type;            /* 'a' for all, then the numbers do not count */
        int64_t major, minor; /* -1: any */
};

static int add_rule(struct bundle_builder *b, bool allow, const struct rule *what,
                    const char *access)
{
        struct zl_oci_resources *res = get_resources(b);
        struct zl_oci_device_rule *rule;
        char text[2] = { what->type, 0 };

        if (!res)
                return zl_fail_oom(b->err);
        rule = BUNDLE_APPEND(res->devices, res->n_devices);
        if (!rule)
                return zl_fail_oom(b->err);
        rule->allow = allow;
        rule->type = strdup(text);
        rule->access = strdup(access);
        if (!rule->type || !rule->access)
                return zl_fail_oom(b->err);
        rule->has_major = what->type != 'a' && what->major >= 0;
        rule->major = rule->has_major ? what->major : 0;
        rule->has_minor = what->type != 'a' && what->minor >= 0;
        rule->minor = rule->has_minor ? what->minor : 0;
        return 0;
}

static int add_node(struct bundle_builder *b, const char *path, const struct zl_bundle_device *d,
                    const struct zl_cdi_node *like)
{
        struct zl_oci_linux *l = b->config->linux_;
        struct zl_oci_device *node;
        char type[2] = { d->type, 0 };

        for (size_t i = 0; i < l->n_devices; i++)
                if (zl_streq(l->devices[i].path, path))
                        return 0;
        node = BUNDLE_APPEND(l->devices, l->n_devices);
        if (!node || !(node->type = strdup(type)) || !(node->path = strdup(path)))
                return zl_fail_oom(b->err);
        node->has_major = node->has_minor = true;
        node->major = d->major;
        node->minor = d->minor;
        /* Who may use it is decided by the device rules; inside, any user of the workload. */
        node->has_file_mode = node->has_uid = node->has_gid = true;
        node->file_mode = like && like->has_file_mode ? like->file_mode & 07777 : 0666;
        node->uid = like ? like->uid : 0;
        node->gid = like ? like->gid : 0;
        return 0;
}

int bundle_add_device(struct bundle_builder *b, const char *path, const struct zl_bundle_device *d,
                      const struct zl_cdi_node *like, const char *access)
{
        const struct rule rule = { d->type, d->major, d->minor };
        int r = add_node(b, path, d, like);

        /* A rule without any access would be one for all. */
        return r < 0 || !*access ? r : add_rule(b, true, &rule, access);
}

int bundle_add_devices(struct bundle_builder *b, const char *path, const char *access)
{
        struct zl_bundle_device *devices = NULL;
        size_t n = 0;
        int r = b->in->facts->find_devices(path, &devices, &n);

        if (r == 0 && n == 0)
                r = -ENOTBLK; /* a directory without any */
        for (size_t i = 0; r == 0 && i < n; i++)
                r = bundle_add_device(b, devices[i].path, &devices[i], NULL, access);
        zl_bundle_devices_free(devices, n);
        return r;
}

static int spec_device(struct bundle_builder *b, size_t i)
{
        const struct zl_device_spec *d = &b->spec->devices[i];
        bool none = !d->read && !d->write && !d->mknod;
        char access[4];
        int r;

        snprintf(access, sizeof(access), "%s%s%s", d->read || none ? "r" : "",
                 d->write || none ? "w" : "", d->mknod ? "m" : "");
        if (zl_cdi_is_name(d->path))
                return bundle_cdi_device(b, i, access);
        if (d->path[0] != '/' || strstr(d->path, "/../"))
                return zl_fail(b->err, ZL_E_INVALID, 0,
                               "devices[%zu].path: \"%s\" is not an absolute path", i, d->path);
        r = bundle_add_devices(b, d->path, access);
        if (r == -ENOTBLK)
                return zl_fail(b->err, ZL_E_INVALID, 0,
                               "devices[%zu].path: %s is no device and has none below it", i,
                               d->path);
        return r < 0 ? zl_fail_errno(b->err, -r, "devices[%zu].path: cannot use %s", i, d->path)
                     : 0;
}

int bundle_devices(struct bundle_builder *b)
{
        static const struct rule all = { 'a', -1, -1 },
                                 nodes[] = { { 'c', -1, -1 }, { 'b', -1, -1 } };
        static const struct rule standard[] = { { 'c', 1, 3 }, { 'c', 1, 5 }, { 'c', 1, 7 },
                                                { 'c', 1, 8 }, { 'c', 1, 9 }, { 'c', 5, 0 },
                                                { 'c', 5, 1 }, { 'c', 5, 2 }, { 'c', 136, -1 } };
        int r;

        if (b->spec->privileged) {
                r = add_rule(b, true, &all, "rwm");
                if (r == 0)
                        r = bundle_add_devices(b, "/dev", "rwm");
                if (r < 0 && r != -ENOMEM)
                        bundle_warn(b, "privileged: cannot list the devices of the host (%s)",
                                    strerror(-r));
                r = r == -ENOMEM ? zl_fail_oom(b->err) : 0;
                /* What has a name may be more than nodes. */
                for (size_t i = 0; r == 0 && i < b->spec->n_devices; i++)
                        if (zl_cdi_is_name(b->spec->devices[i].path))
                                r = spec_device(b, i);
                return r < 0 ? r : bundle_gpus(b);
        }
        r = add_rule(b, false, &all, "rwm");
        /* Making nodes is harmless, using them is what the rules are for (and what runc allows, too). */
        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(nodes); i++)
                r = add_rule(b, true, &nodes[i], "m");
        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(standard); i++)
                r = add_rule(b, true, &standard[i], "rwm");
        for (size_t i = 0; r == 0 && i < b->spec->n_devices; i++)
                r = spec_device(b, i);
        return r < 0 ? r : bundle_gpus(b);
}
