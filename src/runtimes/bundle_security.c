/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a workload may do: capabilities, no-new-privileges, seccomp, AppArmor, masked paths.
 *
 * Capabilities follow Docker: those of the spec are added to the default set, those of cap_drop are taken from it
 * first, "ALL" means all; asking for one never takes others away, and never switches another protection off. Unknown
 * names are refused: a typing error in cap_drop must not leave a right in place.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "runtimes/bundle_private.h"
#include "runtimes/seccomp_profile.h"

/* By number, <linux/capability.h>. */
static const char *const capability_names[] = {
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
};

static const char default_capabilities[] =
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
        "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE";

static const char masked_paths[] =
        "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats "
        "/proc/sched_debug /proc/scsi /proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap "
        "/sys/firmware";
static const char readonly_paths[] = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger";

/* What security_opt says. */
struct options {
        bool new_privileges;
        bool no_seccomp, no_masks;
        const char *seccomp_file, *apparmor;
};

/* ---- capabilities -------------------------------------------------------------------------------- */

static int read_capability(struct bundle_builder *b, const char *field, const char *name,
                           uint64_t *ret)
{
        const char *rest = strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name;

        if (strcasecmp(rest, "ALL") == 0) {
                *ret = UINT64_MAX;
                return 0;
        }
        for (size_t i = 0; i < ZL_ARRAY_SIZE(capability_names); i++)
                if (strcasecmp(rest, capability_names[i]) == 0) {
                        *ret = UINT64_C(1) << i;
                        return 0;
                }
        return zl_fail(b->err, ZL_E_INVALID, 0, "%s: \"%s\" is not a capability", field, name);
}

static int read_set(struct bundle_builder *b, const char *field, char *const *names, uint64_t *ret)
{
        *ret = 0;
        ZL_STRV_FOREACH(name, names) {
                uint64_t bit = 0;
                int r = read_capability(b, field, *name, &bit);

                if (r < 0)
                        return r;
                *ret |= bit;
        }
        return 0;
}

static uint64_t default_set(void)
{
        uint64_t set = 0;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(capability_names); i++) {
                const char *hit = strstr(default_capabilities, capability_names[i]);
                size_t n = strlen(capability_names[i]);

                for (; hit; hit = strstr(hit + 1, capability_names[i]))
                        if ((hit == default_capabilities || hit[-1] == ' ') &&
                            (hit[n] == ' ' || hit[n] == 0))
                                set |= UINT64_C(1) << i;
        }
        return set;
}

static int choose_capabilities(struct bundle_builder *b, uint64_t *ret)
{
        uint64_t have = b->in->facts->capabilities, add, drop, set;
        int r = read_set(b, "capabilities", b->spec->capabilities, &add);

        if (r == 0)
                r = read_set(b, "cap_drop", b->spec->cap_drop, &drop);
        if (r < 0)
                return r;
        if (b->in->wasm) {
                *ret = 0; /* the guest has no way to use one */
                return 0;
        }
        if (b->spec->privileged || add == UINT64_MAX) {
                *ret = have & ~(b->spec->privileged ? 0 : drop);
                return 0;
        }
        for (size_t i = 0; i < ZL_ARRAY_SIZE(capability_names); i++)
                if (add & ~have & (UINT64_C(1) << i))
                        return zl_fail(b->err, ZL_E_PERMISSION, 0,
                                       "capabilities: %s is not ours to give", capability_names[i]);
        set = drop == UINT64_MAX ? 0 : default_set() & ~drop;
        *ret = (set & have) | add;
        return 0;
}

static int name_capabilities(struct bundle_builder *b, uint64_t set, char ***ret)
{
        /* An empty list is not the same as none: the vector must exist. */
        char **names = calloc(1, sizeof(*names));
        int r = names ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(capability_names); i++)
                if (set & (UINT64_C(1) << i))
                        r = zl_strv_pushf(&names, "CAP_%s", capability_names[i]);
        if (r < 0) {
                zl_strv_free(names);
                return zl_fail_oom(b->err);
        }
        *ret = names;
        return 0;
}

static int make_capabilities(struct bundle_builder *b)
{
        struct zl_oci_capabilities *caps;
        uint64_t set = 0;
        int r = choose_capabilities(b, &set);

        if (r < 0)
                return r;
        caps = b->config->process->capabilities = calloc(1, sizeof(*caps));
        if (!caps)
                return zl_fail_oom(b->err);
        r = name_capabilities(b, set, &caps->bounding);
        if (r == 0)
                r = name_capabilities(b, set, &caps->effective);
        return r < 0 ? r : name_capabilities(b, set, &caps->permitted);
}

/* ---- security_opt -------------------------------------------------------------------------------- */

static int read_no_new_privileges(struct bundle_builder *b, const char *value, struct options *o)
{
        bool on = true;

        if (*value && zl_parse_bool(value, &on) < 0)
                return zl_fail(b->err, ZL_E_INVALID, 0,
                               "security_opt: no-new-privileges:\"%s\" is neither true nor false",
                               value);
        o->new_privileges = !on;
        return 0;
}

static int read_apparmor(struct bundle_builder *b, const char *value, struct options *o)
{
        /* We never choose a profile ourselves. */
        if (zl_streq(value, "unconfined"))
                return 0;
        if (!*value)
                return zl_fail(b->err, ZL_E_INVALID, 0, "security_opt: apparmor= names no profile");
        if (!b->in->facts->apparmor)
                return zl_fail(
                        b->err, ZL_E_UNSUPPORTED, 0,
                        "security_opt: the profile apparmor=%s cannot be used, this kernel has no AppArmor",
                        value);
        o->apparmor = value;
        return 0;
}

/* SELinux: switching it off is fine where there is none; anything else would be a promise. */
static int read_label(struct bundle_builder *b, const char *value)
{
        if (zl_streq(value, "disable") && !b->in->facts->selinux)
                return 0;
        return zl_fail(b->err, ZL_E_UNSUPPORTED, 0, "security_opt: label=%s is not available",
                       value);
}

/* "KEY=VALUE" or "KEY:VALUE"; the value if `text` has that key. */
static const char *option_value(const char *text, const char *key)
{
        const char *rest = zl_startswith(text, key);

        return rest && (*rest == '=' || *rest == ':') ? rest + 1 : NULL;
}

static int read_option(struct bundle_builder *b, const char *text, struct options *o)
{
        const char *value;

        if (zl_streq(text, "no-new-privileges"))
                return read_no_new_privileges(b, "", o);
        if ((value = option_value(text, "no-new-privileges")))
                return read_no_new_privileges(b, value, o);
        if ((value = option_value(text, "seccomp"))) {
                o->no_seccomp = zl_streq(value, "unconfined");
                o->seccomp_file = o->no_seccomp || zl_streq(value, "builtin") ? NULL : value;
                return 0;
        }
        if ((value = option_value(text, "apparmor")))
                return read_apparmor(b, value, o);
        if ((value = option_value(text, "label")))
                return read_label(b, value);
        if ((value = option_value(text, "systempaths")) && zl_streq(value, "unconfined")) {
                o->no_masks = true;
                return 0;
        }
        return zl_fail(b->err, ZL_E_INVALID, 0, "security_opt: \"%s\" is not a known option", text);
}

/* ---- seccomp ------------------------------------------------------------------------------------- */

struct zl_seccomp_facts zl_bundle_filter_facts(const struct zl_bundle_facts *facts,
                                               const struct zl_oci_config *config)
{
        return (struct zl_seccomp_facts){
                .capabilities = config->process->capabilities->bounding,
                .arch = facts->machine,
                .kernel_major = facts->kernel_major,
                .kernel_minor = facts->kernel_minor,
        };
}

static int make_seccomp(struct bundle_builder *b, const struct options *o)
{
        const struct zl_bundle_facts *f = b->in->facts;
        const struct zl_seccomp_facts facts = zl_bundle_filter_facts(f, b->config);
        struct zl_oci_seccomp **ret = &b->config->linux_->seccomp;
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r;

        if (o->no_seccomp || (b->spec->privileged && !o->seccomp_file))
                return 0;
        if (!o->seccomp_file) {
                b->builtin_filter = true;
                r = b->in->has_builtin_filter ? zl_seccomp_refuse_all(ret)
                                              : zl_seccomp_default(&facts, ret);
                return r < 0 ? zl_fail_oom(b->err) : 0;
        }
        if (o->seccomp_file[0] != '/')
                return zl_fail(b->err, ZL_E_INVALID, 0,
                               "security_opt: the seccomp profile \"%s\" is not an absolute path",
                               o->seccomp_file);
        r = f->read_file(o->seccomp_file, &text, &len);
        if (r < 0)
                return zl_fail_errno(b->err, -r, "security_opt: cannot read the seccomp profile %s",
                                     o->seccomp_file);
        return zl_seccomp_parse(text, len, o->seccomp_file, &facts, ret, b->err);
}

int bundle_security(struct bundle_builder *b)
{
        struct zl_oci_linux *l = b->config->linux_;
        struct options o = { .new_privileges = b->spec->privileged };
        int r = make_capabilities(b);

        ZL_STRV_FOREACH(text, b->spec->security_opt)
                if (r == 0)
                        r = read_option(b, *text, &o);
        if (r == 0)
                r = make_seccomp(b, &o);
        if (r < 0)
                return r;
        b->config->process->no_new_privileges = !o.new_privileges;
        if (o.apparmor && !(b->config->process->apparmor_profile = strdup(o.apparmor)))
                return zl_fail_oom(b->err);
        if (b->spec->privileged || o.no_masks)
                return 0;
        if (b->in->wasm)
                return 0; /* neither /proc nor /sys */
        l->masked_paths = bundle_words(masked_paths);
        l->readonly_paths = bundle_words(readonly_paths);
        return l->masked_paths && l->readonly_paths ? 0 : zl_fail_oom(b->err);
}
