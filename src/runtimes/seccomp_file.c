/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seccomp profiles from files (`security_opt: [seccomp=FILE]`). Two formats are in use: that of Docker and podman, whose
 * rules carry conditions ("includes": only with one of these capabilities, architectures, from this kernel on;
 * "excludes": not with), and that of the OCI specification, which is the same without conditions. Conditions are
 * resolved here, against the container that is being made.
 *
 * What may go wrong: a profile with a rule that is not understood must not be taken half: every unknown action, operator
 * or type is refused with the place where it stands.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/strv.h"
#include "runtimes/seccomp_profile.h"

static const struct {
        const char *docker, *machine;
} arch_names[] = {
        { "amd64", "x86_64" },    { "arm64", "aarch64" }, { "riscv64", "riscv64" },
        { "ppc64le", "ppc64le" }, { "s390x", "s390x" },   { "loong64", "loongarch64" },
        { "x86", "i686" },        { "arm", "armv7l" },
};

static const struct {
        const char *scmp, *machine;
} arch_map_names[] = {
        { "SCMP_ARCH_X86_64", "x86_64" },   { "SCMP_ARCH_AARCH64", "aarch64" },
        { "SCMP_ARCH_RISCV64", "riscv64" }, { "SCMP_ARCH_PPC64LE", "ppc64le" },
        { "SCMP_ARCH_S390X", "s390x" },     { "SCMP_ARCH_LOONGARCH64", "loongarch64" },
};

struct parser {
        const char *what;
        const struct zl_seccomp_facts *facts;
        struct zl_oci_seccomp *profile;
        struct zl_error *err;
};

static int bad(const struct parser *p, const char *path, const char *wish)
{
        return zl_fail(p->err, ZL_E_INVALID, 0, "seccomp profile %s: %s %s", p->what, path, wish);
}

/* ---- conditions ---------------------------------------------------------------------------------- */

static bool arch_is(const struct parser *p, const char *name)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(arch_names); i++)
                if (zl_streq(name, arch_names[i].docker))
                        return zl_streq(p->facts->arch, arch_names[i].machine);
        return zl_streq(p->facts->arch, name);
}

static bool kernel_is_at_least(const struct parser *p, const char *version)
{
        unsigned major = 0, minor = 0;

        if (sscanf(version, "%u.%u", &major, &minor) < 1)
                return false;
        return p->facts->kernel_major > major ||
               (p->facts->kernel_major == major && p->facts->kernel_minor >= minor);
}

/* All conditions of "includes" must hold: every capability, one of the architectures, the kernel. */
static bool includes_hold(const struct parser *p, const json_t *cond)
{
        const json_t *caps = json_object_get(cond, "caps");
        const json_t *arches = json_object_get(cond, "arches");
        const char *kernel = zl_json_str(cond, "minKernel", NULL);
        bool hit = json_array_size(arches) == 0;
        const json_t *v;
        size_t i;

        json_array_foreach(caps, i, v) if (!json_is_string(v) ||
                                           !zl_strv_contains(p->facts->capabilities,
                                                             json_string_value(v))) return false;
        json_array_foreach(arches, i, v)
                hit = hit || (json_is_string(v) && arch_is(p, json_string_value(v)));
        return hit && (!kernel || kernel_is_at_least(p, kernel));
}

/* One condition of "excludes" is enough to leave a rule out. */
static bool excludes_hit(const struct parser *p, const json_t *cond)
{
        const char *kernel = zl_json_str(cond, "minKernel", NULL);
        const json_t *v;
        size_t i;

        json_array_foreach(
                json_object_get(cond, "caps"), i,
                v) if (json_is_string(v) &&
                       zl_strv_contains(p->facts->capabilities, json_string_value(v))) return true;
        json_array_foreach(json_object_get(cond, "arches"), i,
                           v) if (json_is_string(v) &&
                                  arch_is(p, json_string_value(v))) return true;
        return kernel && kernel_is_at_least(p, kernel);
}

/* ---- parts --------------------------------------------------------------------------------------- */

static bool is_action(const char *s)
{
        static const char *const actions[] = {
                "SCMP_ACT_KILL",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",
                "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE",        "SCMP_ACT_ALLOW",       "SCMP_ACT_LOG",
        };

        for (size_t i = 0; s && i < ZL_ARRAY_SIZE(actions); i++)
                if (zl_streq(s, actions[i]))
                        return true;
        return false;
}

static int parse_args(struct parser *p, const json_t *args, struct zl_oci_seccomp_rule *rule)
{
        static const char *const ops[] = { "SCMP_CMP_NE",       "SCMP_CMP_LT", "SCMP_CMP_LE",
                                           "SCMP_CMP_EQ",       "SCMP_CMP_GE", "SCMP_CMP_GT",
                                           "SCMP_CMP_MASKED_EQ" };
        const json_t *v;
        size_t i;

        json_array_foreach(args, i, v)
        {
                const char *op = zl_json_str(v, "op", "");
                int64_t index = zl_json_int(v, "index", -1);
                bool known = false;

                for (size_t k = 0; k < ZL_ARRAY_SIZE(ops); k++)
                        known = known || zl_streq(op, ops[k]);
                if (!known || index < 0 || index > 5)
                        return bad(p, "syscalls[].args[]",
                                   "wants index 0 to 5, value, and a known op");
                if (zl_seccomp_add_arg(rule, (uint32_t)index, (uint64_t)zl_json_int(v, "value", 0),
                                       (uint64_t)zl_json_int(v, "valueTwo", 0), op) < 0)
                        return zl_fail_oom(p->err);
        }
        return 0;
}

static int collect_names(struct parser *p, const json_t *rule, char ***ret)
{
        const char *single = zl_json_str(rule, "name", NULL);
        const json_t *v;
        size_t i;

        if (single && zl_strv_push(ret, single) < 0)
                return zl_fail_oom(p->err);
        json_array_foreach(json_object_get(rule, "names"), i, v)
        {
                if (!json_is_string(v))
                        return bad(p, "syscalls[].names", "must be a list of names");
                if (zl_strv_push(ret, json_string_value(v)) < 0)
                        return zl_fail_oom(p->err);
        }
        return *ret ? 0 : bad(p, "syscalls[]", "must have names");
}

static int parse_rule(struct parser *p, const json_t *v)
{
        const char *action = zl_json_str(v, "action", NULL);
        const json_t *errnum = json_object_get(v, "errnoRet");
        struct zl_oci_seccomp_rule *rule;
        _cleanup_strv_ char **names = NULL;
        int r;

        if (!json_is_object(v) || !is_action(action))
                return bad(p, "syscalls[].action", "must be a known action");
        if (excludes_hit(p, json_object_get(v, "excludes")) ||
            !includes_hold(p, json_object_get(v, "includes")))
                return 0;
        r = collect_names(p, v, &names);
        if (r < 0)
                return r;
        rule = zl_seccomp_add_rule(p->profile, names[0], action);
        if (!rule)
                return zl_fail_oom(p->err);
        zl_strv_free(rule->names);
        rule->names = zl_take_ptr(names);
        if (json_is_integer(errnum)) {
                rule->has_errno_ret = true;
                rule->errno_ret = (uint32_t)json_integer_value(errnum);
        }
        return parse_args(p, json_object_get(v, "args"), rule);
}

static int push_strings(struct parser *p, const json_t *list, const char *path, char ***ret)
{
        const json_t *v;
        size_t i;

        json_array_foreach(list, i, v)
        {
                if (!json_is_string(v))
                        return bad(p, path, "must be a list of texts");
                if (zl_strv_push(ret, json_string_value(v)) < 0)
                        return zl_fail_oom(p->err);
        }
        return 0;
}

/* "architectures" of the OCI format, or the entry of Docker's "archMap" for this machine. */
static int parse_architectures(struct parser *p, const json_t *root)
{
        const json_t *v;
        size_t i;
        int r = push_strings(p, json_object_get(root, "architectures"), "architectures",
                             &p->profile->architectures);

        json_array_foreach(json_object_get(root, "archMap"), i, v)
        {
                const char *name = zl_json_str(v, "architecture", "");

                for (size_t k = 0; r == 0 && k < ZL_ARRAY_SIZE(arch_map_names); k++) {
                        if (!zl_streq(name, arch_map_names[k].scmp) ||
                            !zl_streq(p->facts->arch, arch_map_names[k].machine))
                                continue;
                        r = zl_strv_push(&p->profile->architectures, name);
                        if (r < 0)
                                return zl_fail_oom(p->err);
                        r = push_strings(p, json_object_get(v, "subArchitectures"), "archMap",
                                         &p->profile->architectures);
                }
        }
        return r;
}

static int parse_root(struct parser *p, const json_t *root)
{
        const char *action = zl_json_str(root, "defaultAction", NULL);
        const json_t *errnum = json_object_get(root, "defaultErrnoRet");
        const json_t *v;
        size_t i;
        int r;

        if (!is_action(action))
                return bad(p, "defaultAction", "must be a known action");
        p->profile->default_action = strdup(action);
        if (!p->profile->default_action)
                return zl_fail_oom(p->err);
        if (json_is_integer(errnum)) {
                p->profile->has_default_errno_ret = true;
                p->profile->default_errno_ret = (uint32_t)json_integer_value(errnum);
        }
        r = parse_architectures(p, root);
        if (r == 0)
                r = push_strings(p, json_object_get(root, "flags"), "flags", &p->profile->flags);
        if (r < 0)
                return r;
        if (json_object_get(root, "listenerPath"))
                return bad(p, "listenerPath", "is not supported");
        json_array_foreach(json_object_get(root, "syscalls"), i, v)
        {
                r = parse_rule(p, v);
                if (r < 0)
                        return r;
        }
        return 0;
}

int zl_seccomp_parse(const char *text, size_t len, const char *what,
                     const struct zl_seccomp_facts *facts, struct zl_oci_seccomp **ret,
                     struct zl_error *err)
{
        _cleanup_json_ json_t *root = NULL;
        _cleanup_(zl_seccomp_profile_freep) struct zl_oci_seccomp *profile = calloc(
                1, sizeof(*profile));
        struct parser p = { what, facts, profile, err };
        int r;

        if (!profile)
                return zl_fail_oom(err);
        r = zl_json_parse(text, len, what, &root, err);
        if (r < 0)
                return r;
        if (!json_is_object(root))
                return bad(&p, "the document", "must be an object");
        r = parse_root(&p, root);
        if (r < 0)
                return r;
        *ret = zl_take_ptr(profile);
        return 0;
}
