/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Platforms: what this machine is in the words of the image specification (Go's names), and which
 * offer of an index fits it best. Variants are ordered where the processors are: an arm v7 runs
 * code for v6, an amd64 of level v3 runs v1, never the other way round.
 */
#include "oci/image.h"

#include <stdio.h>
#include <sys/utsname.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

void zl_platform_done(struct zl_platform *p)
{
        free(p->os);
        free(p->architecture);
        free(p->variant);
        free(p->os_version);
        *p = (struct zl_platform){ 0 };
}

static const struct {
        const char *machine, *architecture, *variant;
} machines[] = {
        { "x86_64", "amd64", NULL },
        { "aarch64", "arm64", "v8" },
        { "arm64", "arm64", "v8" },
        { "armv8l", "arm", "v7" },
        { "armv7l", "arm", "v7" },
        { "armv6l", "arm", "v6" },
        { "i686", "386", NULL },
        { "i386", "386", NULL },
        { "ppc64le", "ppc64le", NULL },
        { "s390x", "s390x", NULL },
        { "riscv64", "riscv64", NULL },
        { "mips64", "mips64le", NULL },
        { "loongarch64", "loong64", NULL },
};

/* Level of the x86-64 psABI that the processor reaches, 1 to 3 (4 differs too much between makers to choose by). */
static int amd64_level(void)
{
#ifdef __x86_64__
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
            __builtin_cpu_supports("fma"))
                return 3;
        return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt") ? 2 : 1;
#else
        return 1;
#endif
}

int zl_platform_host(struct zl_platform *ret)
{
        struct zl_platform p = { 0 };
        const char *architecture, *variant = NULL;
        struct utsname u;

        uname(&u);
        architecture = u.machine;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(machines); i++)
                if (zl_streq(u.machine, machines[i].machine)) {
                        architecture = machines[i].architecture;
                        variant = machines[i].variant;
                        break;
                }
        if (zl_replace_str(&p.os, zl_streq(u.sysname, "Darwin") ? "darwin" : "linux") < 0 ||
            zl_replace_str(&p.architecture, architecture) < 0 ||
            zl_replace_str(&p.variant, variant) < 0 ||
            (zl_streq(architecture, "amd64") && asprintf(&p.variant, "v%d", amd64_level()) < 0)) {
                zl_platform_done(&p);
                return -ENOMEM;
        }
        *ret = p;
        return 0;
}

int zl_platform_parse(const char *text, struct zl_platform *ret, struct zl_error *err)
{
        const char *slash = strchr(text, '/');
        const char *second = slash ? strchr(slash + 1, '/') : NULL;
        struct zl_platform p = { 0 };

        if (!slash || slash == text || slash[1] == 0 || slash + 1 == second ||
            (second && (second[1] == 0 || strchr(second + 1, '/')))) {
                zl_fail(err, ZL_E_INVALID, 0, "%.100s is not a platform", text);
                zl_error_hint(err, "write os/architecture or os/architecture/variant, such as "
                                   "linux/arm64");
                return -EINVAL;
        }
        p.os = strndup(text, (size_t)(slash - text));
        p.architecture = second ? strndup(slash + 1, (size_t)(second - slash - 1))
                                : strdup(slash + 1);
        if (second)
                p.variant = strdup(second + 1);
        if (!p.os || !p.architecture || (second && !p.variant)) {
                zl_platform_done(&p);
                return zl_fail_oom(err);
        }
        *ret = p;
        return 0;
}

/* The 7 of "v7", 0 if it is not of that form. */
static int variant_level(const char *variant)
{
        return variant && variant[0] == 'v' && variant[1] >= '1' && variant[1] <= '9' && !variant[2]
                       ? variant[1] - '0'
                       : 0;
}

int zl_platform_match(const struct zl_platform *want, const struct zl_platform *offer)
{
        int want_level, offer_level;

        if (!zl_streq_ptr(want->os, offer->os) ||
            !zl_streq_ptr(want->architecture, offer->architecture))
                return 0;
        if (zl_streq_ptr(want->variant, offer->variant))
                return 100;
        want_level = variant_level(want->variant);
        offer_level = variant_level(offer->variant);
        if (!offer->variant) /* the plain one runs on every variant */
                return 50;
        if (!want->variant) /* we do not know what we are: better the least demanding one */
                return 40 - offer_level;
        return want_level && offer_level && offer_level < want_level ? 60 + offer_level : 0;
}
