/* SPDX-License-Identifier: Apache-2.0 */
/* The options by which checkpoint and restore tell criu what to do. */
#pragma once

#include "cli/oci/oci.h"

/* Part of a command's options; what one of the two does not have stays as it is. */
struct zl_oci_criu {
        const char *image_path, *work_path, *parent_path, *page_server;
        const char *cgroups_mode, *network_lock, *lsm_profile, *lsm_mount_context;
        char **empty_ns;
        struct zl_cli_u64 status_fd;
        bool leave_running, pre_dump, lazy_pages, auto_dedup;
        bool tcp_established, tcp_skip_in_flight, tcp_close, ext_unix_sk, shell_job, file_locks,
                link_remap;
};

/* Rows of an option table for both, where `member` of `type` is a struct zl_oci_criu. */
#define ZL_OCI_CRIU_OPTIONS(type, member)                                                          \
        { "image-path",  0,                                                                        \
          ZL_CLI_STRING, offsetof(type, member.image_path),                                        \
          "DIR",         "directory of the images (default ./checkpoint)" },                       \
                { "work-path",   0,                                                                \
                  ZL_CLI_STRING, offsetof(type, member.work_path),                                 \
                  "DIR",         "directory of criu's log (default: the image path)" },            \
                { "manage-cgroups-mode",                                                           \
                  0,                                                                               \
                  ZL_CLI_STRING,                                                                   \
                  offsetof(type, member.cgroups_mode),                                             \
                  "MODE",                                                                          \
                  "groups below the container's: soft, full, strict or ignore" },                  \
                { "network-lock", 0,                                                               \
                  ZL_CLI_STRING,  offsetof(type, member.network_lock),                             \
                  "METHOD",       "hold TCP back by iptables, nftables, or skip that" },           \
                { "empty-ns",  0,                                                                  \
                  ZL_CLI_LIST, offsetof(type, member.empty_ns),                                    \
                  "TYPE",      "leave out what is in a namespace (network)" },                     \
                { "tcp-established",                                                               \
                  0,                                                                               \
                  ZL_CLI_FLAG,                                                                     \
                  offsetof(type, member.tcp_established),                                          \
                  NULL,                                                                            \
                  "keep open TCP connections" },                                                   \
                { "ext-unix-sk", 0,                                                                \
                  ZL_CLI_FLAG,   offsetof(type, member.ext_unix_sk),                               \
                  NULL,          "allow unix sockets whose peer is outside" },                     \
                { "shell-job", 0,                                                                  \
                  ZL_CLI_FLAG, offsetof(type, member.shell_job),                                   \
                  NULL,        "the session and the terminal are the caller's" },                  \
                { "file-locks",     0, ZL_CLI_FLAG, offsetof(type, member.file_locks), NULL,       \
                  "keep file locks" },                                                             \
                { "auto-dedup", 0,                                                                 \
                  ZL_CLI_FLAG,  offsetof(type, member.auto_dedup),                                 \
                  NULL,         "drop memory from older images that newer ones have" },            \
        {                                                                                          \
                "lazy-pages", 0, ZL_CLI_FLAG, offsetof(type, member.lazy_pages), NULL,             \
                        "move memory when it is used"                                              \
        }

/* Checks the options. `s` points into `o` and into `*ret_address`, which the caller frees. */
int zl_oci_criu_settings(const struct zl_oci *oci, const struct zl_oci_criu *o,
                         struct zl_criu_settings *s, char **ret_address, struct zl_error *err);
