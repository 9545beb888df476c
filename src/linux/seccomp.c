/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a compiled filter and passing it on in a file. No libseccomp here: the process that loads is between clone and
 * exec, where only raw system calls are safe.
 */
#include "linux/seccomp.h"

#include <linux/audit.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/* "zlSCMP2\0"; what 1 stood for was longer. */
#define MAGIC UINT64_C(0x0032504d43536c7a)

struct header {
        uint64_t magic;
        uint32_t flags;
        uint16_t notify;
        uint16_t n;
};

void zl_seccomp_program_done(struct zl_seccomp_program *prog)
{
        free(prog->insns);
        *prog = (struct zl_seccomp_program){ NULL };
}

int zl_seccomp_program_write_fd(const struct zl_seccomp_program *prog, int fd)
{
        struct header header = {
                .magic = MAGIC,
                .flags = prog->flags,
                .notify = prog->notify,
                .n = (uint16_t)prog->n,
        };
        int r = zl_write_full(fd, &header, sizeof header);

        return r < 0 ? r : zl_write_full(fd, prog->insns, prog->n * sizeof *prog->insns);
}

int zl_seccomp_program_read_fd(int fd, struct zl_seccomp_program *ret, struct zl_error *err)
{
        struct header header;
        struct sock_filter *insns;
        ssize_t n = pread(fd, &header, sizeof header, 0);

        if (n != (ssize_t)sizeof header || header.magic != MAGIC || header.n > BPF_MAXINSNS)
                return zl_fail(err, ZL_E_CORRUPT, 0, "the seccomp program is damaged");
        insns = calloc(header.n ? header.n : 1, sizeof *insns);
        if (!insns)
                return zl_fail_oom(err);
        n = pread(fd, insns, header.n * sizeof *insns, sizeof header);
        if (n != (ssize_t)(header.n * sizeof *insns)) {
                free(insns);
                return zl_fail(err, ZL_E_CORRUPT, 0, "the seccomp program is cut short");
        }
        *ret = (struct zl_seccomp_program){
                .insns = insns, .n = header.n, .flags = header.flags, .notify = header.notify
        };
        return 0;
}

int zl_seccomp_load(const struct zl_seccomp_program *prog)
{
        struct sock_fprog fprog = { .len = (unsigned short)prog->n, .filter = prog->insns };
        unsigned flags = prog->flags | (prog->notify ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
        int r;

        if (prog->n == 0)
                return 0;
        r = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &fprog);
        if (r < 0 && errno == EINVAL && prog->flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
                flags &= ~SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV; /* kernels before 5.19 */
                r = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &fprog);
        }
        if (r < 0)
                return -errno;
        return prog->notify ? r : 0;
}

/* ---- looking ahead ---------------------------------------------------------------------------------- */

#if defined __x86_64__
enum { NATIVE = AUDIT_ARCH_X86_64 };
#elif defined __aarch64__
enum { NATIVE = AUDIT_ARCH_AARCH64 };
#elif defined __riscv && __riscv_xlen == 64
enum { NATIVE = AUDIT_ARCH_RISCV64 };
#else
enum { NATIVE = 0 };
#endif

/* One step of the program; `a` is its register. Returns the index of the next, or -1: not to be said, as where arguments are looked at. */
static ssize_t step(const struct sock_filter *i, size_t at, uint32_t nr, uint32_t *a)
{
        bool yes;

        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
                if (i->k != offsetof(struct seccomp_data, nr) &&
                    i->k != offsetof(struct seccomp_data, arch))
                        return -1;
                *a = i->k == offsetof(struct seccomp_data, nr) ? nr : (uint32_t)NATIVE;
                return (ssize_t)at + 1;
        case BPF_JMP | BPF_JA:
                return (ssize_t)(at + 1 + i->k);
        case BPF_JMP | BPF_JEQ | BPF_K:
                yes = *a == i->k;
                break;
        case BPF_JMP | BPF_JGT | BPF_K:
                yes = *a > i->k;
                break;
        case BPF_JMP | BPF_JGE | BPF_K:
                yes = *a >= i->k;
                break;
        default:
                return -1;
        }
        return (ssize_t)(at + 1 + (yes ? i->jt : i->jf));
}

static bool allows(const struct zl_seccomp_program *prog, uint32_t nr)
{
        ssize_t at = 0;
        uint32_t a = 0;

        /* Jumps lead forward only, or the kernel would not take the program. */
        while (at >= 0 && (size_t)at < prog->n) {
                const struct sock_filter *i = &prog->insns[at];

                if (i->code == (BPF_RET | BPF_K))
                        return i->k == SECCOMP_RET_ALLOW;
                at = step(i, (size_t)at, nr, &a);
        }
        return false;
}

bool zl_seccomp_allows(const struct zl_seccomp_program *prog, const int *calls, size_t n)
{
        bool all = NATIVE != 0;

        for (size_t i = 0; all && i < n; i++)
                all = allows(prog, (uint32_t)calls[i]);
        return all;
}
