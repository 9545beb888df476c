/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by checkpoint.c and restore.c. */
#pragma once

#include <limits.h>

#include "container/internal.h"
#include "linux/criu.h"

/* Beside the images, as runc has it: a list of what 0, 1 and 2 were. */
#define ZL_DESCRIPTORS_FILE "descriptors.json"

#define ZL_CRIU_DIR "criu" /* in the container's state */
#define ZL_CRIU_ROOT_DIR "root"
#define ZL_CRIU_YARD_DIR "yard"

/* The program's descriptors, those of the caller behind its own. */
enum { ZL_CRIU_IMAGE_FD = 3, ZL_CRIU_WORK_FD, ZL_CRIU_MORE_FDS };

/* One request of criu. Begin with ZL_CRIU_RUN_INIT, end with zl_criu_run_done(). */
struct zl_criu_run {
        const struct zl_criu_settings *settings;
        char *program;
        struct zl_buf options;
        int image_fd, work_fd; /* work_fd is -1 where that is image_fd */
        int socket_fd;
        const char *log_file;
        int fds[ZL_CRIU_FDS_MAX]; /* 0, 1, 2, which stay the caller's, and from ZL_CRIU_MORE_FDS on what else there is */
        size_t n_fds;
        int report_fd, sync_fd; /* a pair: what fails in the new process comes out of sync_fd */
        char *dir; /* where criu has a tmpfs that nobody else sees, with the directories ZL_CRIU_ROOT_DIR and ZL_CRIU_YARD_DIR */
        bool has_yard;
        /* Called in the new process; async-signal-safe, says itself what failed; or NULL. */
        int (*before)(void *data);
        void *data;
        pid_t pid;
};
#define ZL_CRIU_RUN_INIT                                                                           \
        ((struct zl_criu_run){ .options = ZL_BUF_INIT(1 << 20),                                    \
                               .image_fd = -EBADF,                                                 \
                               .work_fd = -EBADF,                                                  \
                               .socket_fd = -EBADF,                                                \
                               .fds = { 0, 1, 2 },                                                 \
                               .n_fds = ZL_CRIU_MORE_FDS,                                          \
                               .report_fd = -EBADF,                                                \
                               .sync_fd = -EBADF })

/* Finds the program, opens the directories (those of a dump are made, and run->dir) and puts the settings into the options. */
int zl_criu_prepare(struct zl_criu_run *run, const struct zl_criu_settings *s,
                    struct zl_container *c, const char *log_file, struct zl_error *err);
void zl_criu_run_done(struct zl_criu_run *run);
/* The program, in a mount namespace of its own, waits for its request. Closes report_fd. */
int zl_criu_start(struct zl_criu_run *run, struct zl_error *err);
/* Hangs up and waits for its end. */
void zl_criu_wait(struct zl_criu_run *run);
/* After a failure `r`: puts what the log says in the place of the error. Returns a negative errno. */
int zl_criu_explain(struct zl_criu_run *run, int r, struct zl_error *err);

/* The name of a namespace that was there before the container; NULL for types that criu joins by path. */
const char *zl_criu_namespace_key(const char *type);
/* The place of a mount's destination below `root_fd`, whose own path has `root_len` bytes; as it is where it cannot be resolved. */
const char *zl_criu_mount_point(int root_fd, size_t root_len, const char *destination,
                                char buf[PATH_MAX]);
