/* SPDX-License-Identifier: Apache-2.0 */
/* What calls answer under a filter whose default is EPERM: one that it allows, one that it knows and does not, one that is newer than it. */
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static int answer(long number)
{
        return syscall(number, -1, 0, 0) < 0 ? errno : 0;
}

/* The same as a 32-bit program would call it. */
static int answer32(int number)
{
#ifdef __x86_64__
        int r;

        __asm__ volatile("int $0x80" : "=a"(r) : "a"(number), "b"(-1), "c"(0), "d"(0) : "memory");
        return -r;
#else
        return ENOSYS;
#endif
}

int main(void)
{
        printf("%d %d %d %d %d\n", answer(SYS_getpid), answer(SYS_unshare), answer(1000),
               answer32(1000), answer(0x40000000 | 1000));
        return 0;
}
