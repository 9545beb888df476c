/* SPDX-License-Identifier: Apache-2.0 */
/* The shortened filter answers as that of libseccomp: random filters, every call of every architecture, an interpreter of BPF. */
#include <fcntl.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "linux/seccomp.h"
#include "runtimes/seccomp_profile.h"
#include "support.h"

enum { FILTERS = 60, CALLS = 560, LOOKS = 6 };

/* Words that arguments and conditions are made of, so that they meet. */
static const uint32_t words[] = { 0, 1, 2, 7, 0x7e020000, 0x7fffffff, 0x80000000, UINT32_MAX };

static uint64_t random_word(void)
{
        uint64_t low = words[rand() % ZL_ARRAY_SIZE(words)];

        return rand() % 3 ? low : low | (uint64_t)words[rand() % ZL_ARRAY_SIZE(words)] << 32;
}

static uint32_t load(const struct seccomp_data *d, uint32_t offset)
{
        uint32_t word;

        assert_true(offset % 4 == 0 && offset < sizeof *d);
        memcpy(&word, (const char *)d + offset, sizeof word);
        return word;
}

static uint32_t answer(const struct zl_seccomp_program *p, const struct seccomp_data *d)
{
        uint32_t a = 0;

        for (size_t at = 0; at < p->n; at++) {
                const struct sock_filter *i = &p->insns[at];
                bool yes = false;

                switch (i->code) {
                case BPF_LD | BPF_W | BPF_ABS:
                        a = load(d, i->k);
                        continue;
                case BPF_ALU | BPF_AND | BPF_K:
                        a &= i->k;
                        continue;
                case BPF_RET | BPF_K:
                        return i->k;
                case BPF_JMP | BPF_JA:
                        at += i->k;
                        continue;
                case BPF_JMP | BPF_JEQ | BPF_K:
                        yes = a == i->k;
                        break;
                case BPF_JMP | BPF_JGT | BPF_K:
                        yes = a > i->k;
                        break;
                case BPF_JMP | BPF_JGE | BPF_K:
                        yes = a >= i->k;
                        break;
                case BPF_JMP | BPF_JSET | BPF_K:
                        yes = a & i->k;
                        break;
                default:
                        fail_msg("instruction %x", i->code);
                }
                at += yes ? i->jt : i->jf;
        }
        fail_msg("the program has no end");
        return 0;
}

static struct zl_seccomp_program exported(scmp_filter_ctx ctx)
{
        struct zl_seccomp_program p = { NULL };
        int fd = memfd_create("filter", MFD_CLOEXEC);
        off_t len;

        assert_int_equal(seccomp_export_bpf(ctx, fd), 0);
        len = lseek(fd, 0, SEEK_END);
        p.n = (size_t)len / sizeof *p.insns;
        p.insns = malloc((size_t)len);
        assert_int_equal(pread(fd, p.insns, (size_t)len, 0), len);
        close(fd);
        return p;
}

/* A rule for some neighbours, with conditions or without. */
static void add_random_rules(scmp_filter_ctx ctx)
{
        static const uint32_t actions[] = { SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(1), SCMP_ACT_ERRNO(38),
                                            SCMP_ACT_KILL_PROCESS, SCMP_ACT_LOG };
        struct scmp_arg_cmp args[2];
        unsigned n = rand() % 3 ? 0 : 1 + (unsigned)rand() % 2;
        uint32_t action = actions[rand() % 4 ? 0 : rand() % 5];

        for (unsigned i = 0; i < n; i++)
                args[i] = (struct scmp_arg_cmp){ .arg = i + (unsigned)rand() % 3 * 2,
                                                 .op = 1 + (enum scmp_compare)(rand() % 7),
                                                 .datum_a = random_word(),
                                                 .datum_b = random_word() };
        /* Refused where it is the default's, or against another rule. */
        for (int call = rand() % 450, last = call + (n ? 1 : rand() % 40); call <= last; call++)
                (void)seccomp_rule_add_array(ctx, action, call, n, args);
}

static scmp_filter_ctx random_filter(unsigned rules, unsigned optimize)
{
        static const uint32_t defaults[] = { SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(1),
                                             SCMP_ACT_KILL_PROCESS };
        scmp_filter_ctx ctx = seccomp_init(defaults[rand() % 3]);

        assert_non_null(ctx);
        seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, optimize);
        if (rand() % 2)
                seccomp_arch_add(ctx, SCMP_ARCH_X86);
        if (rand() % 2)
                seccomp_arch_add(ctx, SCMP_ARCH_X32);
        if (rand() % 4 == 0)
                seccomp_arch_add(ctx, SCMP_ARCH_AARCH64);
        for (unsigned i = 0; i < rules; i++)
                add_random_rules(ctx);
        return ctx;
}

static void assert_same(const struct zl_seccomp_program *a, const struct zl_seccomp_program *b)
{
        static const uint32_t archs[] = { SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_AARCH64, 0, 1,
                                          UINT32_MAX };
        static const uint32_t bases[] = { 0, 0x40000000, 0x7ffffff0, 0xffffffff - CALLS };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(archs); i++)
                for (uint32_t k = 0; k < ZL_ARRAY_SIZE(bases) * CALLS * LOOKS; k++) {
                        uint32_t nr = bases[k / (CALLS * LOOKS)] + k / LOOKS % (CALLS + 1);
                        struct seccomp_data d = { .nr = (int)nr, .arch = archs[i] };

                        for (size_t arg = 0; arg < ZL_ARRAY_SIZE(d.args); arg++)
                                d.args[arg] = random_word();
                        if (answer(a, &d) != answer(b, &d))
                                fail_msg("architecture %x, call %u: %x, shortened %x", archs[i], nr,
                                         answer(a, &d), answer(b, &d));
                }
}

static void test_random_filters(void **state)
{
        unsigned shorter = 0;

        (void)state;
        srand(20261126);
        for (unsigned i = 0; i < FILTERS; i++) {
                scmp_filter_ctx ctx = random_filter(i < 40 ? 30 : i - 40, 1 + i % 2);
                struct zl_seccomp_program before = exported(ctx), after = exported(ctx);

                seccomp_release(ctx);
                assert_int_equal(zl_seccomp_use_ranges(&after), 0);
                assert_true(after.n <= before.n);
                shorter += after.n < before.n;

                assert_same(&before, &after);
                zl_seccomp_program_done(&before);
                zl_seccomp_program_done(&after);
        }
        assert_true(shorter > FILTERS / 2);
}

/* What looks at the number by a mask is not understood, so it is left as it is. */
static void test_a_foreign_program_is_left_alone(void **state)
{
        const struct sock_filter insns[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_LOG),
        };
        struct zl_seccomp_program p = { .insns = malloc(sizeof insns), .n = ZL_ARRAY_SIZE(insns) };

        (void)state;
        memcpy(p.insns, insns, sizeof insns);
        assert_int_equal(zl_seccomp_use_ranges(&p), 0);
        assert_int_equal(p.n, ZL_ARRAY_SIZE(insns));
        assert_memory_equal(p.insns, insns, sizeof insns);
        zl_seccomp_program_done(&p);
        assert_int_equal(zl_seccomp_use_ranges(&p), 0);
}

/* What is told ahead of a filter must be so, whatever the arguments; and it must tell something. */
static void test_what_is_allowed_is_told_ahead(void **state)
{
        unsigned yes = 0, no = 0;

        (void)state;
        srand(20261127);
        for (unsigned i = 0; i < 40; i++) {
                scmp_filter_ctx ctx = random_filter(30, 1 + i % 2);
                struct zl_seccomp_program p = exported(ctx);

                seccomp_release(ctx);
                for (int nr = 0; nr < 450; nr++) {
                        bool told = zl_seccomp_allows(&p, &nr, 1);
                        struct seccomp_data d = { .nr = nr, .arch = SCMP_ARCH_X86_64 };

                        for (size_t arg = 0; arg < ZL_ARRAY_SIZE(d.args); arg++)
                                d.args[arg] = random_word();
                        if (told)
                                assert_int_equal(answer(&p, &d), SECCOMP_RET_ALLOW);
                        *(told ? &yes : &no) += 1;
                }
                zl_seccomp_program_done(&p);
        }
        assert_true(yes > 1000 && no > 1000);
}

/* The kernel's work for a filter grows with its text: this is what each start and each exec pays. */
static void test_the_builtin_profile_is_short(void **state)
{
        char caps[] = "CAP_CHOWN", *list[] = { caps, NULL };
        const struct zl_seccomp_facts facts = { list, "x86_64", 6, 1 };
        struct zl_oci_seccomp *profile = NULL;
        struct zl_seccomp_program p = { NULL };
        struct zl_error err = ZL_ERROR_INIT;

        (void)state;
        assert_int_equal(zl_seccomp_default(&facts, &profile), 0);
        assert_int_equal(zl_seccomp_compile(profile, &p, &err), 0);
        print_message("%zu instructions\n", p.n);
        assert_true(p.n < 400);
        zl_seccomp_program_done(&p);
        zl_seccomp_profile_free(profile);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_random_filters),
                cmocka_unit_test(test_a_foreign_program_is_left_alone),
                cmocka_unit_test(test_what_is_allowed_is_told_ahead),
                cmocka_unit_test(test_the_builtin_profile_is_short),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
