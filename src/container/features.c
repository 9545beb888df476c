/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The features document (runtime-spec, features.md): what this build can do, from the tables that the engine itself
 * goes by, so that it cannot promise what is not there.
 */
#include <stdio.h>

#include "container/internal.h"
#include "schema/node.h"

static void put_list(struct zl_buf *b, const char *key, const char *const *items)
{
        zl_buf_putf(b, "\"%s\":[", key);
        for (size_t i = 0; items[i]; i++) {
                if (i)
                        zl_buf_putc(b, ',');
                zl_json_quote(b, items[i], strlen(items[i]));
        }
        zl_buf_putc(b, ']');
}

static void put_capabilities(struct zl_buf *b)
{
        zl_buf_puts(b, "\"capabilities\":[");
        for (unsigned i = 0; i < zl_cap_count(); i++)
                zl_buf_putf(b, "%s\"%s\"", i ? "," : "", zl_cap_name(i));
        zl_buf_puts(b, "],");
}

static void put_seccomp(struct zl_buf *b)
{
        static const char *const actions[] = {
                "SCMP_ACT_ALLOW",       "SCMP_ACT_ERRNO",
                "SCMP_ACT_KILL",        "SCMP_ACT_KILL_PROCESS",
                "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
                "SCMP_ACT_NOTIFY",      "SCMP_ACT_TRACE",
                "SCMP_ACT_TRAP",        NULL,
        };
        static const char *const operators[] = {
                "SCMP_CMP_EQ", "SCMP_CMP_GE",        "SCMP_CMP_GT", "SCMP_CMP_LE",
                "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE", NULL,
        };
        static const char *const flags[] = {
                "SECCOMP_FILTER_FLAG_TSYNC",
                "SECCOMP_FILTER_FLAG_LOG",
                "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
                NULL,
        };

        zl_buf_puts(b, "\"seccomp\":{\"enabled\":true,");
        put_list(b, "actions", actions);
        zl_buf_putc(b, ',');
        put_list(b, "operators", operators);
        zl_buf_putc(b, ',');
        put_list(b, "knownFlags", flags);
        zl_buf_putc(b, ',');
        put_list(b, "supportedFlags", flags);
        zl_buf_puts(b, "},");
}

int zl_container_features_json(char **ret, struct zl_error *err)
{
        static const char *const hooks[] = { "prestart",
                                             "createRuntime",
                                             "createContainer",
                                             "startContainer",
                                             "poststart",
                                             "poststop",
                                             NULL };
        static const char *const namespaces[] = { "cgroup", "ipc",  "mount", "network", "pid",
                                                  "time",   "user", "uts",   NULL };
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(64 << 10);
        char *text;

        zl_buf_puts(&b, "{\"ociVersionMin\":\"1.0.0\",\"ociVersionMax\":\"1.3.0\",");
        put_list(&b, "hooks", hooks);
        zl_buf_putc(&b, ',');
        put_list(&b, "mountOptions", zl_mount_option_names());
        zl_buf_puts(&b, ",\"linux\":{");
        put_list(&b, "namespaces", namespaces);
        zl_buf_putc(&b, ',');
        put_capabilities(&b);
        zl_buf_puts(
                &b,
                "\"cgroup\":{\"v1\":true,\"v2\":true,\"systemd\":true,\"systemdUser\":true,\"rdma\":true},");
        put_seccomp(&b);
        zl_buf_puts(
                &b,
                "\"apparmor\":{\"enabled\":true},\"selinux\":{\"enabled\":true},"
                "\"intelRdt\":{\"enabled\":false},"
                "\"memoryPolicy\":{\"modes\":[\"MPOL_DEFAULT\",\"MPOL_PREFERRED\",\"MPOL_BIND\","
                "\"MPOL_INTERLEAVE\",\"MPOL_LOCAL\",\"MPOL_PREFERRED_MANY\",\"MPOL_WEIGHTED_INTERLEAVE\"],"
                "\"flags\":[\"MPOL_F_NUMA_BALANCING\",\"MPOL_F_RELATIVE_NODES\",\"MPOL_F_STATIC_NODES\"]},"
                "\"netDevices\":{\"enabled\":true},"
                "\"mountExtensions\":{\"idmap\":{\"enabled\":true}}},");
        zl_buf_putf(
                &b,
                "\"annotations\":{\"dev.zlayer.version\":\"%s\"},"
                "\"potentiallyUnsafeConfigAnnotations\":[\"run.oci.hooks.\",\"run.oci.keep_original_groups\"]}",
                ZL_VERSION);
        text = zl_buf_take(&b);
        if (!text)
                return zl_fail_oom(err);
        *ret = text;
        return 0;
}
