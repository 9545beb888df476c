/* SPDX-License-Identifier: Apache-2.0 */
/* The process section: names become numbers and masks, so that the child has nothing left to understand. */
#include <inttypes.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strv.h"
#include "container/internal.h"

static int plan_rlimits(struct zl_arena *arena, const struct zl_oci_process *p,
                        struct zl_process_plan *ret, struct zl_error *err)
{
        static const struct {
                const char *name;
                int resource;
        } names[] = {
                { "RLIMIT_AS", RLIMIT_AS },
                { "RLIMIT_CORE", RLIMIT_CORE },
                { "RLIMIT_CPU", RLIMIT_CPU },
                { "RLIMIT_DATA", RLIMIT_DATA },
                { "RLIMIT_FSIZE", RLIMIT_FSIZE },
                { "RLIMIT_LOCKS", RLIMIT_LOCKS },
                { "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
                { "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
                { "RLIMIT_NICE", RLIMIT_NICE },
                { "RLIMIT_NOFILE", RLIMIT_NOFILE },
                { "RLIMIT_NPROC", RLIMIT_NPROC },
                { "RLIMIT_RSS", RLIMIT_RSS },
                { "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
                { "RLIMIT_RTTIME", RLIMIT_RTTIME },
                { "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
                { "RLIMIT_STACK", RLIMIT_STACK },
        };

        ret->rlimits = zl_arena_alloc(arena, (p->n_rlimits + 1) * sizeof *ret->rlimits);
        if (!ret->rlimits)
                return zl_fail_oom(err);
        for (size_t i = 0; i < p->n_rlimits; i++) {
                const struct zl_oci_rlimit *from = &p->rlimits[i];
                size_t k = 0;

                while (k < ZL_ARRAY_SIZE(names) && !zl_streq(from->type, names[k].name))
                        k++;
                if (k == ZL_ARRAY_SIZE(names))
                        return zl_fail(err, ZL_E_INVALID, 0, "process.rlimits: unknown \"%s\"",
                                       from->type);
                ret->rlimits[ret->n_rlimits++] = (struct zl_rlimit_plan){
                        .resource = names[k].resource,
                        .limit = { .rlim_cur = from->soft, .rlim_max = from->hard },
                        .name = from->type,
                };
        }
        return 0;
}

enum { DEADLINE = 6, DEADLINE_RUNTIME_MIN = 1024 };

/* What the kernel would refuse with "invalid argument" for all of it. The words are those of crun. */
static int check_deadline(const struct zl_oci_scheduler *s, struct zl_error *err)
{
#define BAD(...)                                                                                   \
        return zl_fail(err, ZL_E_INVALID, 0,                                                       \
                       "process.scheduler: sched_setattr: `SCHED_DEADLINE` " __VA_ARGS__)

        if (s->has_runtime && s->runtime == 0)
                BAD("runtime must be greater than 0");
        if (!s->has_runtime)
                BAD("requires `runtime`");
        if (s->deadline == 0)
                BAD("requires `deadline`");
        if (s->runtime < DEADLINE_RUNTIME_MIN || s->runtime > INT64_MAX || s->deadline > INT64_MAX)
                BAD("runtime %" PRIu64 " must be between %d and 2^63 - 1", s->runtime,
                    DEADLINE_RUNTIME_MIN);
        if (s->runtime > s->deadline)
                BAD("runtime (%" PRIu64 ") must be <= deadline (%" PRIu64 ")", s->runtime,
                    s->deadline);
        if (s->period && s->deadline > s->period)
                BAD("deadline (%" PRIu64 ") must be <= period (%" PRIu64 ")", s->deadline,
                    s->period);
        return 0;
#undef BAD
}

static int plan_scheduler(struct zl_arena *arena, const struct zl_oci_scheduler *s,
                          struct zl_process_plan *ret, struct zl_error *err)
{
        static const char *const policies[] = { "SCHED_OTHER",   "SCHED_FIFO", "SCHED_RR",
                                                "SCHED_BATCH",   "SCHED_ISO",  "SCHED_IDLE",
                                                "SCHED_DEADLINE" };
        static const struct {
                const char *name;
                uint64_t flag;
        } flags[] = {
                { "SCHED_FLAG_RESET_ON_FORK", 0x01 },  { "SCHED_FLAG_RECLAIM", 0x02 },
                { "SCHED_FLAG_DL_OVERRUN", 0x04 },     { "SCHED_FLAG_KEEP_POLICY", 0x08 },
                { "SCHED_FLAG_KEEP_PARAMS", 0x10 },    { "SCHED_FLAG_UTIL_CLAMP_MIN", 0x20 },
                { "SCHED_FLAG_UTIL_CLAMP_MAX", 0x40 },
        };
        struct zl_sched_attr *attr = zl_arena_alloc(arena, sizeof *attr);
        size_t k = 0;

        if (!attr)
                return zl_fail_oom(err);
        while (k < ZL_ARRAY_SIZE(policies) && !zl_streq(s->policy, policies[k]))
                k++;
        if (k == ZL_ARRAY_SIZE(policies))
                return zl_fail(err, ZL_E_INVALID, 0, "process.scheduler.policy: unknown \"%s\"",
                               s->policy);
        *attr = (struct zl_sched_attr){
                .size = sizeof *attr,
                .policy = (uint32_t)k,
                .nice = s->has_nice ? s->nice : 0,
                .priority = (uint32_t)s->priority,
                .runtime = s->runtime,
                .deadline = s->deadline,
                .period = s->period,
        };
        for (char *const *f = s->flags; f && *f; f++) {
                for (k = 0; k < ZL_ARRAY_SIZE(flags) && !zl_streq(*f, flags[k].name); k++)
                        ;
                if (k == ZL_ARRAY_SIZE(flags))
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "process.scheduler.flags: unknown \"%s\"", *f);
                attr->flags |= flags[k].flag;
        }
        ret->scheduler = attr;
        return attr->policy == DEADLINE ? check_deadline(s, err) : 0;
}

static int plan_io_priority(const struct zl_oci_io_priority *p, struct zl_process_plan *ret,
                            struct zl_error *err)
{
        int class = zl_streq(p->class_, "IOPRIO_CLASS_RT")     ? IOPRIO_CLASS_RT
                    : zl_streq(p->class_, "IOPRIO_CLASS_BE")   ? IOPRIO_CLASS_BE
                    : zl_streq(p->class_, "IOPRIO_CLASS_IDLE") ? IOPRIO_CLASS_IDLE
                                                               : -1;

        if (class < 0 || p->priority < 0 || p->priority > 7)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "process.ioPriority: bad class \"%s\" or priority %d", p->class_,
                               p->priority);
        ret->io_priority = class << 13 | p->priority;
        return 0;
}

/* A list such as "0-3,7" becomes a mask of `words` words. */
static int plan_list(struct zl_arena *arena, const char *list, size_t words, unsigned long **ret,
                     struct zl_error *err)
{
        const size_t bits = 8 * sizeof(long);
        unsigned long *mask;
        const char *p = list;

        if (!list || !*list)
                return 0;
        mask = zl_arena_alloc(arena, words * sizeof *mask);
        if (!mask)
                return zl_fail_oom(err);
        while (*p) {
                char *end;
                unsigned long from = strtoul(p, &end, 10), to = from;

                if (end == p)
                        break;
                if (*end == '-') {
                        p = end + 1;
                        to = strtoul(p, &end, 10);
                }
                if (end == p || to < from || to >= words * bits || (*end && *end != ','))
                        break;
                for (; from <= to; from++)
                        mask[from / bits] |= 1UL << from % bits;
                p = end + (*end == ',');
        }
        if (*p)
                return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is no list of numbers", list);
        *ret = mask;
        return 0;
}

static int plan_cpus(struct zl_arena *arena, const char *list, unsigned long **ret,
                     struct zl_error *err)
{
        int r = plan_list(arena, list, ZL_CPU_WORDS, ret, err);

        if (r < 0)
                zl_error_prefix(err, "process.execCPUAffinity");
        return r;
}

int zl_plan_personality(const struct zl_oci_personality *p, struct zl_process_plan *ret,
                        struct zl_error *err)
{
        if (!p)
                return 0;
        if (p->flags && p->flags[0])
                return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                               "linux.personality.flags is not supported");
        if (zl_streq(p->domain, "LINUX"))
                ret->personality = PER_LINUX;
        else if (zl_streq(p->domain, "LINUX32"))
                ret->personality = PER_LINUX32;
        else
                return zl_fail(err, ZL_E_INVALID, 0, "linux.personality.domain: unknown \"%s\"",
                               p->domain);
        return 0;
}

/* runtime-spec 1.3, config-linux.md "Memory policy"; the numbers are those of linux/mempolicy.h. */
static size_t count_bits(const unsigned long *words, size_t n_words)
{
        size_t n = 0;

        for (size_t i = 0; words && i < n_words; i++)
                n += (size_t)__builtin_popcountl(words[i]);
        return n;
}

int zl_plan_memory_policy(struct zl_arena *arena, const struct zl_oci_memory_policy *policy,
                          struct zl_process_plan *ret, struct zl_error *err)
{
        static const char *const modes[] = { "MPOL_DEFAULT",
                                             "MPOL_PREFERRED",
                                             "MPOL_BIND",
                                             "MPOL_INTERLEAVE",
                                             "MPOL_LOCAL",
                                             "MPOL_PREFERRED_MANY",
                                             "MPOL_WEIGHTED_INTERLEAVE" };
        static const struct {
                const char *name;
                int flag;
        } flags[] = {
                { "MPOL_F_NUMA_BALANCING", 1 << 13 },
                { "MPOL_F_RELATIVE_NODES", 1 << 14 },
                { "MPOL_F_STATIC_NODES", 1 << 15 },
        };
        struct zl_memory_policy_plan *plan = zl_arena_alloc(arena, sizeof *plan);
        const char *mode = policy->mode ? policy->mode : "";
        size_t k = 0, n;
        int r;

        if (!plan)
                return zl_fail_oom(err);
        while (k < ZL_ARRAY_SIZE(modes) && !zl_streq(mode, modes[k]))
                k++;
        if (k == ZL_ARRAY_SIZE(modes))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "linux.memoryPolicy: invalid memory policy mode \"%s\"", mode);
        plan->mode = (int)k;
        for (char *const *f = policy->flags; f && *f; f++) {
                for (k = 0; k < ZL_ARRAY_SIZE(flags) && !zl_streq(*f, flags[k].name); k++)
                        ;
                if (k == ZL_ARRAY_SIZE(flags))
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "linux.memoryPolicy: invalid memory policy flag \"%s\"", *f);
                plan->mode |= flags[k].flag;
        }
        r = plan_list(arena, policy->nodes, ZL_NODE_WORDS, &plan->nodes, err);
        if (r < 0) {
                zl_error_prefix(err, "linux.memoryPolicy.nodes: invalid memory policy node");
                return r;
        }
        n = count_bits(plan->nodes, ZL_NODE_WORDS);
        if (n > 0 && (zl_streq(mode, "MPOL_DEFAULT") || zl_streq(mode, "MPOL_LOCAL")))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "linux.memoryPolicy: %s mode requires 0 nodes but got %zu", mode, n);
        ret->memory_policy = plan;
        return 0;
}

/* A label is refused when the kernel has no such module: dropping it in silence would drop a protection. */
static int plan_labels(struct zl_arena *arena, const struct zl_oci_process *p,
                       struct zl_process_plan *ret, struct zl_error *err)
{
        if (p->apparmor_profile && *p->apparmor_profile) {
                size_t size = strlen(p->apparmor_profile) + 6;
                char *text = zl_arena_alloc(arena, size);

                if (!text)
                        return zl_fail_oom(err);
                if (access("/sys/module/apparmor/parameters/enabled", F_OK) < 0 &&
                    !zl_streq(p->apparmor_profile, "unconfined"))
                        return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                                       "process.apparmorProfile: AppArmor is not enabled on this "
                                       "machine");
                snprintf(text, size, "exec %s", p->apparmor_profile);
                if (!zl_streq(p->apparmor_profile, "unconfined"))
                        ret->apparmor = text;
        }
        if (p->selinux_label && *p->selinux_label) {
                if (access("/sys/fs/selinux/enforce", F_OK) < 0)
                        return zl_fail(
                                err, ZL_E_UNSUPPORTED, 0,
                                "process.selinuxLabel: SELinux is not enabled on this machine");
                ret->selinux = p->selinux_label;
        }
        return 0;
}

static bool same_name(const char *a, const char *b)
{
        size_t n = strcspn(a, "=");

        return strncmp(a, b, n) == 0 && b[n] == '=';
}

/* One slot more than asked for: HOME, when nobody set it (an empty one counts as not set). Of several values for one name the last
 * stays, in the place of the last: as runc. */
char **zl_plan_env(struct zl_arena *arena, char *const *env, struct zl_process_plan *p)
{
        size_t n = zl_strv_len(env);
        char **copy = zl_arena_alloc(arena, (n + 2) * sizeof *copy);

        p->n_env = 0;
        for (size_t i = 0; copy && i < n; i++) {
                const char *value = zl_startswith(env[i], "PATH=");
                size_t k = i + 1;

                while (k < n && !same_name(env[i], env[k]))
                        k++;
                if (k < n || zl_streq(env[i], "HOME="))
                        continue;
                copy[p->n_env++] = env[i];
                if (value)
                        p->path_env = value;
                if (zl_startswith(env[i], "HOME="))
                        p->has_home = true;
        }
        return copy;
}

static int plan_user(struct zl_arena *arena, const struct zl_oci_user *u,
                     struct zl_process_plan *ret, struct zl_error *err)
{
        ret->uid = u->uid;
        ret->gid = u->gid;
        ret->umask = u->has_umask ? u->umask & 0777 : 0022;
        ret->user_text = u->username && *u->username ? u->username : NULL;
        if (u->n_additional_gids > ZL_GROUPS_MAX)
                return zl_fail(err, ZL_E_INVALID, 0, "process.user.additionalGids: more than %d",
                               ZL_GROUPS_MAX);
        ret->groups = zl_arena_alloc(arena, (u->n_additional_gids + 1) * sizeof *ret->groups);
        if (!ret->groups)
                return zl_fail_oom(err);
        for (size_t i = 0; i < u->n_additional_gids; i++)
                ret->groups[i] = u->additional_gids[i];
        ret->n_groups = u->n_additional_gids;
        return 0;
}

int zl_plan_process(struct zl_arena *arena, const struct zl_oci_process *p,
                    struct zl_process_plan *ret, struct zl_error *err)
{
        bool no_setgroups = ret->no_setgroups;
        int r;

        *ret = (struct zl_process_plan){
                .argv = p->args,
                .cwd = p->cwd ? p->cwd : "/",
                .no_new_privs = p->no_new_privileges,
                .no_setgroups = no_setgroups,
                .has_oom_score_adj = p->has_oom_score_adj,
                .io_priority = -1,
                .personality = -1,
                .seccomp_socket = -EBADF,
                .stdio = { -EBADF, -EBADF, -EBADF },
                .tty = p->terminal,
        };
        snprintf(ret->oom_score_adj, sizeof ret->oom_score_adj, "%d", p->oom_score_adj);
        if (p->console_size) {
                ret->rows = (uint16_t)ZL_MIN(p->console_size->height, UINT16_MAX);
                ret->cols = (uint16_t)ZL_MIN(p->console_size->width, UINT16_MAX);
        }
        ret->envp = zl_plan_env(arena, p->env, ret);
        if (!ret->envp)
                return zl_fail_oom(err);
        r = plan_user(arena, &p->user, ret, err);
        if (r == 0)
                r = zl_caps_from_config(p->capabilities, &ret->caps, err);
        if (r == 0)
                r = plan_rlimits(arena, p, ret, err);
        if (r == 0 && p->scheduler)
                r = plan_scheduler(arena, p->scheduler, ret, err);
        if (r == 0 && p->io_priority)
                r = plan_io_priority(p->io_priority, ret, err);
        if (r == 0 && p->exec_cpu_affinity)
                r = plan_cpus(arena, p->exec_cpu_affinity->initial, &ret->cpu_initial, err);
        if (r == 0 && p->exec_cpu_affinity)
                r = plan_cpus(arena, p->exec_cpu_affinity->final, &ret->cpu_final, err);
        return r < 0 ? r : plan_labels(arena, p, ret, err);
}
