/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in seccomp profile: which system calls a container may make that asks for nothing special. It
 * follows the idea of Docker's: a list of what is allowed, and more of it for each capability the container was
 * given, because a program that may use a capability needs the calls that go with it.
 *
 * Why the default is ENOSYS and not EPERM: the C library tries a new call and falls back to an old one on ENOSYS
 * only. A call that this list does not know because it is newer must therefore look as if the kernel did not have it.
 * Calls that are known and refused on purpose answer EPERM, so that people see why. clone3 hides its flags in
 * memory where a filter cannot look, so without CAP_SYS_ADMIN it answers ENOSYS and programs use clone, whose
 * namespace flags are refused.
 *
 * Names that an architecture does not have are skipped when the filter is compiled.
 */
#include "runtimes/seccomp_profile.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/strv.h"

#define ALLOW "SCMP_ACT_ALLOW"
#define DENY "SCMP_ACT_ERRNO"

static const char always[] =
        "accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown "
        "chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
        "clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect "
        "copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old "
        "epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit "
        "exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod "
        "fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock "
        "fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate "
        "ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat "
        "getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 "
        "getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority "
        "getrandom getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage "
        "getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 getxattr "
        "getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl "
        "io_destroy io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup "
        "io_submit ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown "
        "lchown32 lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek "
        "lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create "
        "memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect "
        "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend "
        "mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall "
        "munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause "
        "pidfd_getfd pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll "
        "ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv "
        "process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead "
        "readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages "
        "removexattr removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq "
        "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
        "rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr "
        "sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler "
        "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
        "sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop "
        "semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 "
        "setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority "
        "setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit "
        "set_robust_list setsid setsockopt set_thread_area set_tid_address setuid setuid32 setxattr "
        "setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask "
        "sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink "
        "symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete "
        "timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create "
        "timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate "
        "truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat "
        "utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev "
        "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls "
        "modify_ldt s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr riscv_flush_icache";

/* Allowed with the capability, EPERM without. A call may stand in several lines: any of them allows it. */
static const struct {
        const char *capability, *names;
} conditional[] = {
        { "CAP_DAC_READ_SEARCH", "open_by_handle_at" },
        { "CAP_SYS_ADMIN",
          "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie "
          "lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount "
          "open_tree open_tree_attr perf_event_open quotactl quotactl_fd setdomainname sethostname "
          "setns syslog umount umount2 unshare" },
        { "CAP_SYS_BOOT", "reboot" },
        { "CAP_SYS_CHROOT", "chroot" },
        { "CAP_SYS_MODULE", "delete_module init_module finit_module" },
        { "CAP_SYS_PACCT", "acct" },
        { "CAP_SYS_PTRACE", "kcmp process_madvise" },
        { "CAP_SYS_RAWIO", "iopl ioperm" },
        { "CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64" },
        { "CAP_SYS_TTY_CONFIG", "vhangup" },
        { "CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node migrate_pages "
                          "move_pages" },
        { "CAP_SYSLOG", "syslog" },
        { "CAP_BPF", "bpf" },
        { "CAP_PERFMON", "perf_event_open" },
};

/* Refused whatever the container may do otherwise: each was a way out of containers, and none is needed inside. */
static const char never[] =
        "add_key keyctl request_key kexec_load kexec_file_load swapon swapoff userfaultfd "
        "io_uring_setup io_uring_enter io_uring_register nfsservctl create_module get_kernel_syms "
        "query_module uselib ustat sysfs _sysctl vm86 vm86old pivot_root";

/* Namespace flags of clone(2): NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET. */
#define CLONE_NAMESPACES UINT64_C(0x7e020000)

static const struct {
        const char *machine, *architectures;
} machines[] = {
        { "x86_64", "SCMP_ARCH_X86_64 SCMP_ARCH_X86 SCMP_ARCH_X32" },
        { "aarch64", "SCMP_ARCH_AARCH64 SCMP_ARCH_ARM" },
        { "riscv64", "SCMP_ARCH_RISCV64" },
        { "ppc64le", "SCMP_ARCH_PPC64LE" },
        { "s390x", "SCMP_ARCH_S390X SCMP_ARCH_S390" },
        { "loongarch64", "SCMP_ARCH_LOONGARCH64" },
        { "i686", "SCMP_ARCH_X86" },
        { "armv7l", "SCMP_ARCH_ARM" },
};

/* ---- building ------------------------------------------------------------------------------------ */

/* Hundreds at each start of a container, so not word by word into a vector that grows. */
static char **split(const char *text)
{
        size_t n = 1;
        char **words;

        for (const char *p = text; *p; p++)
                n += *p == ' ';
        words = calloc(n + 1, sizeof(*words));
        for (n = 0; words && *text; text += strspn(text, " ")) {
                size_t len = strcspn(text, " ");

                if (len > 0 && !(words[n++] = strndup(text, len))) {
                        zl_strv_free(words);
                        return NULL;
                }
                text += len;
        }
        return words;
}

static void rule_done(struct zl_oci_seccomp_rule *rule)
{
        zl_strv_free(rule->names);
        free(rule->action);
        for (size_t i = 0; i < rule->n_args; i++)
                free(rule->args[i].op);
        free(rule->args);
}

void zl_seccomp_profile_free(struct zl_oci_seccomp *p)
{
        if (!p)
                return;
        for (size_t i = 0; i < p->n_syscalls; i++)
                rule_done(&p->syscalls[i]);
        free(p->syscalls);
        free(p->default_action);
        zl_strv_free(p->architectures);
        zl_strv_free(p->flags);
        free(p->listener_path);
        free(p->listener_metadata);
        free(p);
}

struct zl_oci_seccomp_rule *zl_seccomp_add_rule(struct zl_oci_seccomp *p, const char *names,
                                                const char *action)
{
        struct zl_oci_seccomp_rule *rules = reallocarray(p->syscalls, p->n_syscalls + 1,
                                                         sizeof(*rules));
        struct zl_oci_seccomp_rule rule = { .names = split(names), .action = strdup(action) };

        if (rules)
                p->syscalls = rules;
        if (!rules || !rule.names || !rule.action) {
                rule_done(&rule);
                return NULL;
        }
        rules[p->n_syscalls] = rule;
        return &rules[p->n_syscalls++];
}

int zl_seccomp_add_arg(struct zl_oci_seccomp_rule *rule, uint32_t index, uint64_t value,
                       uint64_t value_two, const char *op)
{
        struct zl_oci_seccomp_arg *args = reallocarray(rule->args, rule->n_args + 1, sizeof(*args));
        char *copy = strdup(op);

        if (args)
                rule->args = args;
        if (!args || !copy) {
                free(copy);
                return -ENOMEM;
        }
        args[rule->n_args++] = (struct zl_oci_seccomp_arg){
                .index = index, .value = value, .value_two = value_two, .op = copy
        };
        return 0;
}

static int deny(struct zl_oci_seccomp *p, const char *names, uint32_t errnum)
{
        struct zl_oci_seccomp_rule *rule = zl_seccomp_add_rule(p, names, DENY);

        if (!rule)
                return -ENOMEM;
        rule->has_errno_ret = true;
        rule->errno_ret = errnum;
        return 0;
}

static int allow_if(struct zl_oci_seccomp *p, const char *name,
                    const struct zl_oci_seccomp_arg *arg)
{
        struct zl_oci_seccomp_rule *rule = zl_seccomp_add_rule(p, name, ALLOW);

        if (!rule)
                return -ENOMEM;
        return zl_seccomp_add_arg(rule, arg->index, arg->value, arg->value_two, arg->op);
}

/* Is one call of a line also allowed by a capability the container has? Then it must not be denied as well. */
static bool is_allowed(const char *name, char *const *capabilities)
{
        size_t n = strlen(name);

        for (size_t i = 0; i < ZL_ARRAY_SIZE(conditional); i++) {
                const char *p = conditional[i].names;

                if (!zl_strv_contains(capabilities, conditional[i].capability))
                        continue;
                for (; *p; p += strcspn(p, " "), p += strspn(p, " "))
                        if (strncmp(p, name, n) == 0 && (p[n] == ' ' || p[n] == 0))
                                return true;
        }
        return false;
}

/* All that is denied becomes one rule: names by the dozen, which somebody has to read at each start. */
static int add_conditional(struct zl_oci_seccomp *p, char *const *capabilities)
{
        _cleanup_buf_ struct zl_buf denied = ZL_BUF_INIT(sizeof(never) + 64 * 1024);

        zl_buf_puts(&denied, never);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(conditional); i++) {
                _cleanup_strv_ char **names = split(conditional[i].names);

                if (!names)
                        return -ENOMEM;
                if (zl_strv_contains(capabilities, conditional[i].capability)) {
                        if (!zl_seccomp_add_rule(p, conditional[i].names, ALLOW))
                                return -ENOMEM;
                        continue;
                }
                ZL_STRV_FOREACH(name, names) {
                        /* clone is allowed with some flags and clone3 looks absent, see below. */
                        if (zl_streq(*name, "clone") || zl_streq(*name, "clone3") ||
                            is_allowed(*name, capabilities))
                                continue;
                        zl_buf_putf(&denied, " %s", *name);
                }
        }
        return zl_buf_error(&denied) ? -ENOMEM : deny(p, denied.data, EPERM);
}

static int add_by_argument(struct zl_oci_seccomp *p, const struct zl_seccomp_facts *facts)
{
        /* Personalities that people use: Linux, UNAME26, 32 bit addresses, both, and the question. */
        static const uint64_t personalities[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };
        const struct zl_oci_seccomp_arg no_vsock = { 0, 40 /* AF_VSOCK */, 0,
                                                     (char *)(uintptr_t) "SCMP_CMP_NE" };
        struct zl_oci_seccomp_arg arg = { 0, 0, 0, (char *)(uintptr_t) "SCMP_CMP_EQ" };

        /* A machine-wide address space that no namespace separates: sockets to hypervisor and siblings. */
        if (allow_if(p, "socket", &no_vsock) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(personalities); i++) {
                arg.value = personalities[i];
                if (allow_if(p, "personality", &arg) < 0)
                        return -ENOMEM;
        }
        if (zl_strv_contains(facts->capabilities, "CAP_SYS_ADMIN"))
                return 0;
        /* s390 has the flags of clone in its second argument. */
        arg = (struct zl_oci_seccomp_arg){ zl_startswith(facts->arch, "s390") ? 1 : 0,
                                           CLONE_NAMESPACES, 0,
                                           (char *)(uintptr_t) "SCMP_CMP_MASKED_EQ" };
        if (allow_if(p, "clone", &arg) < 0)
                return -ENOMEM;
        return deny(p, "clone3", ENOSYS);
}

int zl_seccomp_refuse_all(struct zl_oci_seccomp **ret)
{
        struct zl_oci_seccomp *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        p->default_action = strdup(DENY);
        if (!p->default_action) {
                zl_seccomp_profile_free(p);
                return -ENOMEM;
        }
        *ret = p;
        return 0;
}

int zl_seccomp_default(const struct zl_seccomp_facts *facts, struct zl_oci_seccomp **ret)
{
        struct zl_oci_seccomp *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        p->default_action = strdup(DENY);
        p->has_default_errno_ret = true;
        p->default_errno_ret = ENOSYS;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(machines); i++)
                if (zl_streq(facts->arch, machines[i].machine))
                        p->architectures = split(machines[i].architectures);
        if (!p->default_action || !zl_seccomp_add_rule(p, always, ALLOW) ||
            add_by_argument(p, facts) < 0 || add_conditional(p, facts->capabilities) < 0) {
                zl_seccomp_profile_free(p);
                return -ENOMEM;
        }
        *ret = p;
        return 0;
}
