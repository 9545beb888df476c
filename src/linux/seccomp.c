/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a compiled filter and passing it on in a file. No libseccomp here: the process that loads is between clone and
 * exec, where only raw system calls are safe.
 */
#include "linux/seccomp.h"

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
