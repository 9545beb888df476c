/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the seccomp section of config.json to BPF, by libseccomp.
 *
 * System calls that libseccomp does not know are skipped, as every runtime does: profiles list calls of newer kernels, and what is
 * unknown falls to the default action anyway. Everything else that is unknown (actions, operators, architectures,
 * flags) is refused: dropping it would weaken the filter in silence.
 */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/seccomp.h"

enum { DEFAULT_ERRNO = EPERM };

static int action_of(const char *name, bool has_errno, uint32_t errno_ret, uint32_t *ret)
{
        static const struct {
                const char *name;
                uint32_t action;
        } actions[] = {
                { "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD },
                { "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
                { "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
                { "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
                { "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
                { "SCMP_ACT_LOG", SCMP_ACT_LOG },
                { "SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY },
        };
        uint32_t value = has_errno ? errno_ret : DEFAULT_ERRNO;

        if (!name || value > 4095)
                return -EINVAL;
        if (zl_streq(name, "SCMP_ACT_ERRNO")) {
                *ret = SCMP_ACT_ERRNO(value);
                return 0;
        }
        if (zl_streq(name, "SCMP_ACT_TRACE")) {
                *ret = SCMP_ACT_TRACE(value);
                return 0;
        }
        for (size_t i = 0; i < ZL_ARRAY_SIZE(actions); i++)
                if (zl_streq(name, actions[i].name)) {
                        *ret = actions[i].action;
                        return 0;
                }
        return -EINVAL;
}

static int compare_of(const char *name, enum scmp_compare *ret)
{
        static const struct {
                const char *name;
                enum scmp_compare op;
        } ops[] = {
                { "SCMP_CMP_NE", SCMP_CMP_NE },
                { "SCMP_CMP_LT", SCMP_CMP_LT },
                { "SCMP_CMP_LE", SCMP_CMP_LE },
                { "SCMP_CMP_EQ", SCMP_CMP_EQ },
                { "SCMP_CMP_GE", SCMP_CMP_GE },
                { "SCMP_CMP_GT", SCMP_CMP_GT },
                { "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
        };

        for (size_t i = 0; name && i < ZL_ARRAY_SIZE(ops); i++)
                if (zl_streq(name, ops[i].name)) {
                        *ret = ops[i].op;
                        return 0;
                }
        return -EINVAL;
}

/* Without a list of flags SPEC_ALLOW, as runc and crun: since Linux 5.16 the kernel's own default, too, does not slow down whoever has a
 * filter. Who wants that says so with an empty list. */
static int flags_of(char *const *names, unsigned *ret, struct zl_error *err)
{
        static const struct {
                const char *name;
                unsigned flag;
        } flags[] = {
                { "SECCOMP_FILTER_FLAG_TSYNC", 0 }, /* one thread only: nothing to synchronise */
                { "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
                { "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
                { "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
                  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV },
        };

        if (!names)
                *ret |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
        for (char *const *p = names; p && *p; p++) {
                size_t i = 0;

                while (i < ZL_ARRAY_SIZE(flags) && !zl_streq(*p, flags[i].name))
                        i++;
                if (i == ZL_ARRAY_SIZE(flags))
                        return zl_fail(err, ZL_E_INVALID, 0, "linux.seccomp.flags: unknown \"%s\"",
                                       *p);
                *ret |= flags[i].flag;
        }
        return 0;
}

static int add_architectures(scmp_filter_ctx ctx, char *const *names, struct zl_error *err)
{
        for (char *const *p = names; p && *p; p++) {
                const char *rest = zl_startswith(*p, "SCMP_ARCH_");
                char lower[32] = "";
                uint32_t arch = 0;
                int r;

                for (size_t i = 0; rest && rest[i] && i + 1 < sizeof lower; i++)
                        lower[i] = (char)(rest[i] >= 'A' && rest[i] <= 'Z' ? rest[i] | 32
                                                                           : rest[i]);
                if (rest)
                        arch = seccomp_arch_resolve_name(lower);
                if (!arch)
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "linux.seccomp.architectures: unknown \"%s\"", *p);
                r = seccomp_arch_add(ctx, arch);
                if (r < 0 && r != -EEXIST)
                        return zl_fail_errno(err, -r, "seccomp: cannot add architecture %s", *p);
        }
        return 0;
}

/* Conditions on the same argument are alternatives in the eyes of runc's users: libseccomp refuses two of them in one rule,
 * so each becomes a rule of its own then. */
static bool arguments_repeat(const struct zl_oci_seccomp_rule *rule)
{
        for (size_t i = 0; i < rule->n_args; i++)
                for (size_t k = 0; k < i; k++)
                        if (rule->args[i].index == rule->args[k].index)
                                return true;
        return false;
}

static int add_call(scmp_filter_ctx ctx, uint32_t action, int call,
                    const struct zl_oci_seccomp_rule *rule, struct zl_error *err)
{
        struct scmp_arg_cmp args[6];
        bool apart = arguments_repeat(rule);
        int r = 0;

        if (rule->n_args > ZL_ARRAY_SIZE(args))
                return zl_fail(err, ZL_E_INVALID, 0, "linux.seccomp: more than 6 arguments");
        for (size_t i = 0; i < rule->n_args; i++) {
                enum scmp_compare op;

                if (compare_of(rule->args[i].op, &op) < 0 || rule->args[i].index > 5)
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "linux.seccomp: bad condition \"%s\" on argument %u",
                                       rule->args[i].op ? rule->args[i].op : "",
                                       rule->args[i].index);
                args[i] = SCMP_CMP(rule->args[i].index, op, rule->args[i].value,
                                   rule->args[i].value_two);
        }
        if (!apart)
                r = seccomp_rule_add_array(ctx, action, call, (unsigned)rule->n_args, args);
        for (size_t i = 0; apart && r == 0 && i < rule->n_args; i++)
                r = seccomp_rule_add_array(ctx, action, call, 1, &args[i]);
        /* The rule says what the default says already, or exists. */
        if (r == -EACCES || r == -EEXIST)
                return 0;
        return r < 0 ? zl_fail_errno(err, -r, "seccomp: cannot add a rule for system call %d", call)
                     : 0;
}

/* The listener is on its way by sendmsg when the filter is loaded already: nobody could answer. write is refused by runc, too. */
static bool hides_listener(const struct zl_oci_seccomp_rule *rule, struct zl_error *err)
{
        for (char *const *name = rule->names; name && *name; name++)
                if (zl_streq(*name, "sendmsg") || zl_streq(*name, "write")) {
                        zl_fail(err, ZL_E_INVALID, 0,
                                "linux.seccomp: SCMP_ACT_NOTIFY cannot be used for the %s syscall",
                                *name);
                        return true;
                }
        return false;
}

static int add_rules(scmp_filter_ctx ctx, const struct zl_oci_seccomp *config,
                     uint32_t default_action, bool *ret_notify, struct zl_error *err)
{
        for (size_t i = 0; i < config->n_syscalls; i++) {
                const struct zl_oci_seccomp_rule *rule = &config->syscalls[i];
                uint32_t action;

                if (action_of(rule->action, rule->has_errno_ret, rule->errno_ret, &action) < 0)
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "linux.seccomp.syscalls[%zu]: bad action \"%s\"", i,
                                       rule->action ? rule->action : "");
                if (action == default_action)
                        continue;
                *ret_notify = *ret_notify || action == SCMP_ACT_NOTIFY;
                if (action == SCMP_ACT_NOTIFY && hides_listener(rule, err))
                        return -EINVAL;
                for (char *const *name = rule->names; name && *name; name++) {
                        int call = seccomp_syscall_resolve_name(*name), r;

                        if (call == __NR_SCMP_ERROR)
                                continue;
                        r = add_call(ctx, action, call, rule, err);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int export_program(scmp_filter_ctx ctx, struct zl_seccomp_program *ret, struct zl_error *err)
{
        _cleanup_close_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
        _cleanup_free_ char *bytes = NULL;
        size_t len = 0;
        int r;

        if (fd < 0)
                return zl_fail_errno(err, errno, "cannot create a memory file");
        r = seccomp_export_bpf(ctx, fd);
        if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
                r = -errno;
        if (r == 0)
                r = zl_read_fd(fd, BPF_MAXINSNS * sizeof(struct sock_filter), &bytes, &len);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot compile the seccomp filter");
        ret->insns = (struct sock_filter *)(void *)zl_take_ptr(bytes);
        ret->n = len / sizeof(struct sock_filter);
        return 0;
}

/* --- calls that are newer than the profile --------------------------------------------------------------------------- */

/* A profile with an errno as its default means "not this one" for calls it knew of, and knows nothing of those that came later. Of these
 * programs expect ENOSYS, on which they take an older way; EPERM makes them fail. So calls with numbers beyond the largest that the
 * profile names are answered first, as runc does. A default that kills or traps means what it says and stays. */

#define X32_BIT UINT32_C(0x40000000)

enum { LOAD = BPF_LD | BPF_W | BPF_ABS, RETURN = BPF_RET | BPF_K, TO_FILTER = -1 };

struct newer {
        struct sock_filter insns[64];
        size_t n;
};

static void put(struct newer *b, struct sock_filter insn)
{
        if (b->n < ZL_ARRAY_SIZE(b->insns))
                b->insns[b->n] = insn;
        b->n++;
}

static uint32_t largest_call(const struct zl_oci_seccomp *config, uint32_t arch)
{
        int largest = 0;

        for (size_t i = 0; i < config->n_syscalls; i++)
                for (char *const *name = config->syscalls[i].names; name && *name; name++)
                        largest = ZL_MAX(largest, seccomp_syscall_resolve_name_arch(arch, *name));
        return (uint32_t)largest;
}

/* Beyond `largest` it is ENOSYS; anything else is for the filter. */
static void put_limit(struct newer *b, uint32_t largest)
{
        if (largest > 0) {
                put(b, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, largest, 0, 1));
                put(b, (struct sock_filter)BPF_STMT(RETURN, SECCOMP_RET_ERRNO | ENOSYS));
        }
        put(b, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, (uint32_t)TO_FILTER));
}

static void put_arch(struct newer *b, const struct zl_oci_seccomp *config, uint32_t arch, bool x32)
{
        size_t begin = b->n, branch;

        put(b, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 0, 0));
        put(b, (struct sock_filter)BPF_STMT(LOAD, offsetof(struct seccomp_data, nr)));
        branch = b->n;
        if (arch == SCMP_ARCH_X86_64)
                put(b, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 0));
        put_limit(b, largest_call(config, arch));
        if (arch == SCMP_ARCH_X86_64) {
                uint32_t largest = x32 ? largest_call(config, SCMP_ARCH_X32) : 0;

                b->insns[branch].jt = (uint8_t)(b->n - branch - 1);
                put_limit(b, largest > 0 ? largest | X32_BIT : 0);
        }
        b->insns[begin].jf = (uint8_t)(b->n - begin - 1);
}

static bool has_arch(scmp_filter_ctx ctx, uint32_t arch)
{
        return seccomp_arch_exist(ctx, arch) == 0;
}

/* Puts the part in front of the program. Architectures that are not the filter's are its own affair. */
static int answer_newer(scmp_filter_ctx ctx, const struct zl_oci_seccomp *config,
                        struct zl_seccomp_program *prog)
{
        const uint32_t archs[] = { seccomp_arch_native(), SCMP_ARCH_X86_64, SCMP_ARCH_X86,
                                   SCMP_ARCH_AARCH64,     SCMP_ARCH_ARM,    SCMP_ARCH_RISCV64 };
        struct newer b = { .n = 0 };
        struct sock_filter *insns;

        put(&b, (struct sock_filter)BPF_STMT(LOAD, offsetof(struct seccomp_data, arch)));
        for (size_t i = 0; i < ZL_ARRAY_SIZE(archs); i++)
                if (has_arch(ctx, archs[i]) && (i == 0 || archs[i] != archs[0]))
                        put_arch(&b, config, archs[i], has_arch(ctx, SCMP_ARCH_X32));
        if (b.n > ZL_ARRAY_SIZE(b.insns) || prog->n + b.n > BPF_MAXINSNS)
                return -E2BIG;
        for (size_t i = 0; i < b.n; i++)
                if (b.insns[i].code == (BPF_JMP | BPF_JA) && b.insns[i].k == (uint32_t)TO_FILTER)
                        b.insns[i].k = (uint32_t)(b.n - i - 1);
        insns = reallocarray(prog->insns, prog->n + b.n, sizeof *insns);
        if (!insns)
                return -ENOMEM;
        memmove(insns + b.n, insns, prog->n * sizeof *insns);
        memcpy(insns, b.insns, b.n * sizeof *insns);
        prog->insns = insns;
        prog->n += b.n;
        return 0;
}

static bool is_errno_but_enosys(uint32_t action)
{
        return (action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO &&
               (action & SECCOMP_RET_DATA) != ENOSYS;
}

/* --- the whole -------------------------------------------------------------------------------------------------------- */

static int build(scmp_filter_ctx ctx, const struct zl_oci_seccomp *config, uint32_t default_action,
                 struct zl_seccomp_program *prog, struct zl_error *err)
{
        int r = flags_of(config->flags, &prog->flags, err);

        /* Binary search instead of one long list: quicker to look through for zl_seccomp_use_ranges(), and where that leaves it as it is. */
        seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        if (r == 0)
                r = add_architectures(ctx, config->architectures, err);
        if (r == 0)
                r = add_rules(ctx, config, default_action, &prog->notify, err);
        if (r == 0)
                r = export_program(ctx, prog, err);
        if (r < 0)
                return r;
        if (is_errno_but_enosys(default_action))
                r = answer_newer(ctx, config, prog);
        if (r == 0)
                r = zl_seccomp_use_ranges(prog);
        return r < 0 ? zl_fail_errno(err, -r, "cannot complete the seccomp filter") : 0;
}

int zl_seccomp_compile(const struct zl_oci_seccomp *config, struct zl_seccomp_program *ret,
                       struct zl_error *err)
{
        struct zl_seccomp_program prog = { NULL };
        uint32_t default_action;
        scmp_filter_ctx ctx;
        int r;

        if (action_of(config->default_action, config->has_default_errno_ret,
                      config->default_errno_ret, &default_action) < 0 ||
            default_action == SCMP_ACT_NOTIFY)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "linux.seccomp.defaultAction: bad action \"%s\"",
                               config->default_action ? config->default_action : "");
        if (default_action == SCMP_ACT_ALLOW && config->n_syscalls == 0) {
                *ret = prog;
                return 0;
        }
        ctx = seccomp_init(default_action);
        if (!ctx)
                return zl_fail_oom(err);
        r = build(ctx, config, default_action, &prog, err);
        seccomp_release(ctx);
        if (r < 0) {
                zl_seccomp_program_done(&prog);
                return r;
        }
        if (prog.notify && !config->listener_path) {
                zl_seccomp_program_done(&prog);
                return zl_fail(err, ZL_E_INVALID, 0,
                               "linux.seccomp: SCMP_ACT_NOTIFY needs a listenerPath");
        }
        *ret = prog;
        return 0;
}
