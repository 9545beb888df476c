/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which devices a container may use: the rules of config.json in order, then the devices that every container has
 * (runtime-spec, "Default Devices") and mknod of anything, which is harmless without read and write.
 *
 * Version 2 has no files for this: a program of type BPF_PROG_TYPE_CGROUP_DEVICE is asked at every open and mknod. It
 * is assembled here by hand (there is nothing to it but comparisons, and a compiler would weigh megabytes): the
 * rules from the last to the first, since the last match wins, each a run of compares that
 * skips to the next rule; at the end "no".
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/cgroup_internal.h"

static const struct zl_device_rule default_rules[] = {
        { true, 'c', -1, -1, ZL_DEV_MKNOD },
        { true, 'b', -1, -1, ZL_DEV_MKNOD },
        { true, 'c', 1, 3, ZL_DEV_READ | ZL_DEV_WRITE | ZL_DEV_MKNOD },    /* null */
        { true, 'c', 1, 5, ZL_DEV_READ | ZL_DEV_WRITE | ZL_DEV_MKNOD },    /* zero */
        { true, 'c', 1, 7, ZL_DEV_READ | ZL_DEV_WRITE | ZL_DEV_MKNOD },    /* full */
        { true, 'c', 1, 8, ZL_DEV_READ | ZL_DEV_WRITE | ZL_DEV_MKNOD },    /* random */
        { true, 'c', 1, 9, ZL_DEV_READ | ZL_DEV_WRITE | ZL_DEV_MKNOD },    /* urandom */
        { true, 'c', 5, 0, ZL_DEV_READ | ZL_DEV_WRITE | ZL_DEV_MKNOD },    /* tty */
        { true, 'c', 5, 2, ZL_DEV_READ | ZL_DEV_WRITE | ZL_DEV_MKNOD },    /* ptmx */
        { true, 'c', 136, -1, ZL_DEV_READ | ZL_DEV_WRITE | ZL_DEV_MKNOD }, /* pts */
};

static int parse_rule(const struct zl_oci_device_rule *from, size_t i, struct zl_device_rule *ret,
                      struct zl_error *err)
{
        char type = from->type && *from->type ? from->type[0] : 'a';

        *ret = (struct zl_device_rule){
                .allow = from->allow,
                .type = type,
                .major = from->has_major ? from->major : -1,
                .minor = from->has_minor ? from->minor : -1,
        };
        if ((from->type && strlen(from->type) > 1) || !strchr("abc", type))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "linux.resources.devices[%zu].type: \"%s\" is none of a, b, c", i,
                               from->type);
        for (const char *p = from->access && *from->access ? from->access : "rwm"; *p; p++) {
                if (*p == 'a') { /* not in the specification; runc takes it */
                        ret->access = ZL_DEV_READ | ZL_DEV_WRITE | ZL_DEV_MKNOD;
                        continue;
                }
                if (!strchr("rwm", *p))
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "linux.resources.devices[%zu].access: \"%s\" is not made "
                                       "of r, w and m",
                                       i, from->access);
                ret->access |= *p == 'r' ? ZL_DEV_READ : *p == 'w' ? ZL_DEV_WRITE : ZL_DEV_MKNOD;
        }
        /* "a" with numbers or less than rwm cannot be said to the kernel; as runc does, it is everything. */
        if (type == 'a')
                *ret = (struct zl_device_rule){ from->allow, 'a', -1, -1, 7 };
        return 0;
}

int zl_device_rules(const struct zl_oci_resources *r, struct zl_device_rule **ret, size_t *ret_n,
                    struct zl_error *err)
{
        size_t size = 1 + r->n_devices + ZL_ARRAY_SIZE(default_rules), n = 0;
        _cleanup_free_ struct zl_device_rule *rules = calloc(size, sizeof *rules);
        int q;

        if (!rules)
                return zl_fail_oom(err);
        rules[n++] = (struct zl_device_rule){ false, 'a', -1, -1, 7 };
        for (size_t i = 0; i < r->n_devices; i++) {
                struct zl_device_rule rule;

                q = parse_rule(&r->devices[i], i, &rule, err);
                if (q < 0)
                        return q;
                if (rule.type == 'a') /* nothing before it matters any more */
                        n = 0;
                rules[n++] = rule;
        }
        if (!(n == 1 && rules[0].type == 'a' && rules[0].allow)) {
                memcpy(rules + n, default_rules, sizeof default_rules);
                n += ZL_ARRAY_SIZE(default_rules);
        }
        *ret = zl_take_ptr(rules);
        *ret_n = n;
        return 0;
}

/* --- the program of version 2 ------------------------------------------------------------------------- */

enum { INSNS_PER_RULE = 9, INSNS_BEFORE = 6, INSNS_AFTER = 2 };

static struct bpf_insn insn(unsigned code, unsigned dst, unsigned src, int off, int imm)
{
        return (struct bpf_insn){ .code = (uint8_t)code,
                                  .dst_reg = dst & 15,
                                  .src_reg = src & 15,
                                  .off = (int16_t)off,
                                  .imm = imm };
}

/* r2 type, r3 wanted access, r4 major, r5 minor. */
static size_t assemble_rule(struct bpf_insn *p, const struct zl_device_rule *rule)
{
        size_t n = 0, jumps[4], n_jumps = 0;

        if (rule->type != 'a') {
                jumps[n_jumps++] = n;
                p[n++] = insn(BPF_JMP | BPF_JNE | BPF_K, 2, 0, 0,
                              rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
        }
        if (rule->access != 7) {
                /* Everything that is wanted must be in the rule (allow); any of it is enough to deny. */
                p[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_X, 1, 3, 0, 0);
                p[n++] = insn(BPF_ALU | BPF_AND | BPF_K, 1, 0, 0, (int)rule->access);
                jumps[n_jumps++] = n;
                if (rule->allow)
                        p[n++] = insn(BPF_JMP | BPF_JNE | BPF_X, 1, 3, 0, 0);
                else
                        p[n++] = insn(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0, 0);
        }
        if (rule->major >= 0) {
                jumps[n_jumps++] = n;
                p[n++] = insn(BPF_JMP | BPF_JNE | BPF_K, 4, 0, 0, (int)rule->major);
        }
        if (rule->minor >= 0) {
                jumps[n_jumps++] = n;
                p[n++] = insn(BPF_JMP | BPF_JNE | BPF_K, 5, 0, 0, (int)rule->minor);
        }
        p[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, rule->allow);
        p[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
        for (size_t i = 0; i < n_jumps; i++)
                p[jumps[i]].off = (int16_t)(n - jumps[i] - 1);
        return n;
}

static size_t assemble(struct bpf_insn *p, const struct zl_device_rule *rules, size_t n_rules)
{
        size_t n = 0;

        /* struct bpf_cgroup_dev_ctx { u32 access_type (access << 16 | type), major, minor } */
        p[n++] = insn(BPF_LDX | BPF_W | BPF_MEM, 2, 1, 0, 0);
        p[n++] = insn(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
        p[n++] = insn(BPF_LDX | BPF_W | BPF_MEM, 3, 1, 0, 0);
        p[n++] = insn(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16);
        p[n++] = insn(BPF_LDX | BPF_W | BPF_MEM, 4, 1, 4, 0);
        p[n++] = insn(BPF_LDX | BPF_W | BPF_MEM, 5, 1, 8, 0);
        for (size_t i = n_rules; i-- > 0;) {
                n += assemble_rule(p + n, &rules[i]);
                if (rules[i].type ==
                    'a') /* matches everything: the rest is dead, which the verifier refuses */
                        return n;
        }
        p[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
        p[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
        return n;
}

static int bpf_call(int cmd, union bpf_attr *attr)
{
        int r = (int)syscall(SYS_bpf, cmd, attr, sizeof *attr);

        return r < 0 ? -errno : r;
}

int zl_device_bpf_attach(int cgroup_fd, const struct zl_device_rule *rules, size_t n,
                         struct zl_error *err)
{
        size_t size = INSNS_BEFORE + n * INSNS_PER_RULE + INSNS_AFTER;
        _cleanup_free_ struct bpf_insn *insns = calloc(size, sizeof *insns);
        _cleanup_close_ int fd = -EBADF;
        union bpf_attr attr;
        int r;

        if (!insns)
                return zl_fail_oom(err);
        memset(&attr, 0, sizeof attr);
        attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
        attr.insns = (uint64_t)(uintptr_t)insns;
        attr.insn_cnt = (uint32_t)assemble(insns, rules, n);
        attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
        fd = bpf_call(BPF_PROG_LOAD, &attr);
        if (fd < 0)
                return zl_fail_errno(err, -fd, "cannot load the device rules of the cgroup");
        memset(&attr, 0, sizeof attr);
        attr.target_fd = (uint32_t)cgroup_fd;
        attr.attach_bpf_fd = (uint32_t)fd;
        attr.attach_type = BPF_CGROUP_DEVICE;
        attr.attach_flags = BPF_F_ALLOW_MULTI;
        r = bpf_call(BPF_PROG_ATTACH, &attr);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot attach the device rules to the cgroup");
        return 0;
}
