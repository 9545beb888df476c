/* SPDX-License-Identifier: Apache-2.0 */
/*
 * criu, which writes running processes to files and makes processes of them again. We talk to `criu swrk`: one program per request,
 * asked over a socket in the form of protocol buffers (images/rpc.proto of criu). Numbers here are those of that file.
 *
 * The caller starts the program: a child of it calls zl_criu_exec(), and the caller zl_criu_ask() on the other end of the socket.
 * Descriptors in options are those of the caller, who must be the process that made the socket pair.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

enum zl_criu_request { ZL_CRIU_DUMP = 1, ZL_CRIU_RESTORE = 2, ZL_CRIU_PRE_DUMP = 4 };

enum zl_criu_option {
        ZL_CRIU_IMAGES_DIR_FD = 1,
        ZL_CRIU_PID = 2,
        ZL_CRIU_LEAVE_RUNNING = 3,
        ZL_CRIU_EXT_UNIX_SK = 4,
        ZL_CRIU_TCP_ESTABLISHED = 5,
        ZL_CRIU_EVASIVE_DEVICES = 6,
        ZL_CRIU_SHELL_JOB = 7,
        ZL_CRIU_FILE_LOCKS = 8,
        ZL_CRIU_LOG_LEVEL = 9,
        ZL_CRIU_LOG_FILE = 10,
        ZL_CRIU_PAGE_SERVER = 11,
        ZL_CRIU_NOTIFY_SCRIPTS = 12,
        ZL_CRIU_ROOT = 13,
        ZL_CRIU_PARENT_IMAGE = 14,
        ZL_CRIU_TRACK_MEMORY = 15,
        ZL_CRIU_AUTO_DEDUP = 16,
        ZL_CRIU_WORK_DIR_FD = 17,
        ZL_CRIU_LINK_REMAP = 18,
        ZL_CRIU_EXTERNAL_MOUNT = 23, /* pairs: mount point, and what stands for it */
        ZL_CRIU_MANAGE_CGROUPS = 24,
        ZL_CRIU_CGROUP_ROOT = 25, /* pairs: controllers, path */
        ZL_CRIU_RESTORE_SIBLING = 26,
        ZL_CRIU_INHERIT_FD = 27,
        ZL_CRIU_MANAGE_CGROUPS_MODE = 34,
        ZL_CRIU_EXTERNAL = 37,
        ZL_CRIU_EMPTY_NAMESPACES = 38,
        ZL_CRIU_JOIN_NAMESPACE = 39, /* pairs: type, path */
        ZL_CRIU_FREEZE_CGROUP = 44,
        ZL_CRIU_TCP_SKIP_IN_FLIGHT = 46,
        ZL_CRIU_LAZY_PAGES = 48,
        ZL_CRIU_ORPHAN_PTS_MASTER = 50,
        ZL_CRIU_CONFIG_FILE = 51,
        ZL_CRIU_TCP_CLOSE = 52,
        ZL_CRIU_LSM_PROFILE = 53,
        ZL_CRIU_CGROUP_YARD = 60,
        ZL_CRIU_LSM_MOUNT_CONTEXT = 63,
        ZL_CRIU_NETWORK_LOCK = 64,
};

/* "soft" … to the number of ZL_CRIU_MANAGE_CGROUPS_MODE; "iptables", "nftables", "skip" to that of ZL_CRIU_NETWORK_LOCK. -EINVAL. */
int zl_criu_cgroups_mode(const char *name);
int zl_criu_network_lock(const char *name);

/* Add one option to `options`, whose errors stick. */
void zl_criu_put(struct zl_buf *options, enum zl_criu_option option, uint64_t value);
void zl_criu_put_text(struct zl_buf *options, enum zl_criu_option option, const char *text);
void zl_criu_put_pair(struct zl_buf *options, enum zl_criu_option option, const char *first,
                      const char *second);
/* ZL_CRIU_INHERIT_FD: the program's descriptor `fd` becomes what the images call `key`. ZL_CRIU_PAGE_SERVER: address and port. */
void zl_criu_put_numbered(struct zl_buf *options, enum zl_criu_option option, const char *text,
                          int number);

/* The child's part: executes `program` with `fds` as descriptors 0, 1, 2 and, behind the socket, 4 …; nothing else stays
 * open. Async-signal-safe. Returns a negative errno if it cannot. */
enum { ZL_CRIU_FIRST_FD = 4, ZL_CRIU_FDS_MAX = 8 };
int zl_criu_exec(const char *program, int socket_fd, const int *fds, size_t n_fds);

/* What criu tells while it works: "setup-namespaces", "post-restore", "orphan-pts-master" (with a descriptor, which the listener
 * owns) … An error makes it give up. */
struct zl_criu_listener {
        int (*on_event)(const char *event, pid_t pid, int fd, void *data, struct zl_error *err);
        void *data;
};

/* Blocks until the work is done. `*ret_pid` (may be NULL) is the restored process. ZL_E_RUNTIME with what criu says of it. */
int zl_criu_ask(int socket_fd, enum zl_criu_request request, const struct zl_buf *options,
                const struct zl_criu_listener *listener, pid_t *ret_pid, struct zl_error *err);
