/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native runtime inside: what native.c (life), native_create.c, native_record.c (what is on disk), native_recover.c
 * and native_streams.c (handles) share.
 *
 * A workload NAME on disk:
 *   <root_dir>/containers/NAME/     locked (flock) by whoever creates, restarts or removes it
 *       spec.json                   what was asked for, and what was made of it; complete before there is a status.json
 *       status.json                 generation and boot, and of spec.json what lists show; its presence says that create has
 *                                   succeeded
 *       gpus.json                   the graphics processors that are its own, if any (native_gpus.c)
 *       exit.json, log/             the monitor's
 *       config.json                 the directory is the bundle, too
 *       seccomp.bpf                 the compiled filter; config.json has no names of calls then (not for an external runtime)
 *       rootfs  upper  work  hosts  hostname  resolv.conf
 *   <runtime_dir>/containers/NAME/  the monitor's socket; config.json where it has secrets
 *   <root_dir>/containers/.shell-X/ what the next state will be (native_shell.c); .spare-X a container that waits (native_spare.c)
 *   <root_dir>/skeleton             the lowest layer of all (native_layers.c)
 */
#pragma once

#include <pthread.h>

#include "base/hash.h"
#include "base/json.h"
#include "image/image.h"
#include "monitor/client.h"
#include "network/client.h"
#include "runtimes/host.h"
#include "runtimes/runtime.h"
#include "runtimes/select.h"
#include "runtimes/volume.h"

#define NATIVE_SPEC "spec.json"
#define NATIVE_STATUS "status.json"
#define NATIVE_STATUS_NEW "status.json.new" /* of a shell; becomes the above */
#define NATIVE_CONFIG "config.json"
#define NATIVE_FILTER "seccomp.bpf" /* compiled; see native_create_bundle.c */
#define NATIVE_TRASH ".trash-"
#define NATIVE_SPARE ".spare-" /* no workload yet: native_spare.c */
#define NATIVE_SHELL ".shell-" /* not even that: native_shell.c */

struct zl_cgroup;
struct zl_seccomp_cache;

struct native {
        struct zl_runtime rt;
        struct zl_runtime_ops ops; /* zl_native_ops, under the kind that we are */
        char *delegate;         /* program that new workloads are given to; NULL: our own engine */
        char *delegate_monitor; /* zlayer-monitor-oci, or NULL if it is nowhere to be found */
        struct zl_runtime_settings settings;
        struct zl_host host;
        char *containers_dir, *run_dir;
        struct zl_seccomp_cache *filters;
        char *net_program, *net_dir, *net_memory; /* zlayer-net */
        int containers_fd, run_fd;
        pthread_mutex_t
                lock; /* guards what is below but the last; the first two are opened when first needed */
        struct zl_image_store *images;
        struct zl_volumes *volumes;
        struct {
                char *name;
                ino_t run; /* its run directory, by which it is known */
                struct zl_monitor *monitor;
        } last; /* launch, over whose connection its start goes, if that comes before the next; or nothing */
        struct native_spares *spares; /* NULL: none are kept */
};

static inline struct native *native_from(struct zl_runtime *rt)
{
        return (struct native *)rt;
}

/* What is launched for a workload, of a delegate or of our own. NULL: it is nowhere to be found. */
static inline const char *native_monitor_program(const struct native *n, const char *delegate)
{
        return delegate ? n->delegate_monitor : n->settings.monitor_path;
}

/* Opened once, then shared; owned by the runtime. */
int native_images(struct native *n, struct zl_image_store **ret, struct zl_error *err);
int native_volumes(struct native *n, struct zl_volumes **ret, struct zl_error *err);

/* ---- native_record.c: what is known of one workload ------------------------------------------------ */

struct native_record {
        char *name;
        char *boot_id;
        uint32_t generation;
        int64_t created_at;
        char *image, *digest; /* reference as asked for, manifest */
        char *cgroup; /* relative to the hierarchies' roots; of a user's, where this start of it would be; "": unknown */
        char **volumes; /* full names of the named volumes it uses */
        int stop_signal;
        int64_t grace_nsec;
        uint64_t log_max_size;
        uint32_t keep_most; /* instances of WebAssembly that are forked from its process; 0: none */
        bool init_reaper, attach_stdin, auto_remove, seccomp, wasm;
        bool spare;        /* its process waits for what it shall run */
        bool secret;       /* what it runs from is in the runtime directory, not beside its state */
        char **lower_dirs; /* LOWEST first */
        char *delegate;    /* the OCI runtime that made it; NULL: our own engine */
        uint16_t rows, cols;
        json_t *document; /* all of spec.json */
        json_t *network;  /* its member "network"; NULL: in no network of ours */
};
void native_record_done(struct native_record *record);
#define _cleanup_record_ _cleanup_(native_record_done)

/* Reads spec.json and status.json. ZL_E_NOT_FOUND if the workload does not exist or is not complete. */
int native_record_load(struct native *n, int state_fd, const char *name, struct native_record *ret,
                       struct zl_error *err);
/* Writes status.json: generation, image, created_at, delegate, wasm of the record; a user's: its group, too. */
int native_record_save_status(struct native *n, int state_fd, const struct native_record *record,
                              struct zl_error *err);
/* The same in two steps: with the second the workload exists. */
int native_record_draft_status(struct native *n, int state_fd, const struct native_record *record,
                               struct zl_error *err);
int native_record_publish_status(int state_fd, struct zl_error *err);

/* Directory of a workload; ZL_E_NOT_FOUND. The caller closes. */
int native_open_state(struct native *n, const char *name, struct zl_error *err);
/* The same, locked. Another process may hold it for as long as a create takes; -EWOULDBLOCK if !wait. */
int native_lock_state(struct native *n, const char *name, bool wait, struct zl_error *err);
/* Directory of the monitor's socket; -ENOENT (no error filled) if there is none. */
int native_open_run(struct native *n, const char *name);

/* The present truth, from the monitor or from the records. Settles workloads whose monitor was killed. */
int native_status(struct native *n, const char *name, struct zl_status *ret, struct zl_error *err);
/* The same for a caller that holds the lock of the workload. */
int native_status_locked(struct native *n, int state_fd, const char *name, struct zl_status *ret,
                         struct zl_error *err);
/* The same for whoever only looks: waits for nobody beyond the monotonic instant `until` (but a moment, so that many
 * who look one after the other until the same instant hear all that answer). Of a workload whose monitor does not answer, what it
 * last put down, with a reason that says so; of one that somebody works on: INITIALIZING. */
int native_look(struct native *n, const char *name, int64_t until, struct zl_status *ret,
                struct zl_error *err);
/* How long a look may take. */
#define NATIVE_LOOK_SPAN (ZL_NSEC_PER_SEC)
/* Where the engine makes the group of a user's workload that is launched now, as `cgroup` of a record: beside us, so that each start can
 * have another. "" where there is nothing. The caller frees. */
int native_find_group(const struct native *n, const char *name, char **ret, struct zl_error *err);
/* The group of a workload that runs, and its first process where asked for; else ZL_E_STATE, or ZL_E_UNSUPPORTED if it has none. */
int native_open_group(struct native *n, const char *name, struct zl_cgroup **ret, pid_t *ret_pid,
                      struct zl_error *err);
/* The status of a workload that lives, from what its monitor has put down: no process is woken. 1; 0 if native_status() has
 * to say. For lists of many. */
int native_glance(struct native *n, const char *name, struct zl_status *ret);
/* A status out of what a monitor says. */
int native_status_from_monitor(const struct native_record *record,
                               const struct zl_monitor_status *m, struct zl_status *ret,
                               struct zl_error *err);
/* Puts down the end of a workload whose monitor is gone without a record: cleans up, then writes the record. The lock
 * is held. `reason` stands in the record. */
int native_settle(struct native *n, int state_fd, const struct native_record *record,
                  const char *reason, struct zl_error *err);

/* Takes over the connection of a launch, for the start. */
void native_keep_connection(struct native *n, const char *name, struct zl_monitor *monitor);
/* The same back, the caller's; NULL: another was launched since, or it is not there any more. */
struct zl_monitor *native_take_connection(struct native *n, const char *name);
/* A connection to its monitor; ZL_E_NOT_FOUND if it has none. `*ret_run_fd` may be NULL. */
int native_connect(struct native *n, const char *name, struct zl_monitor **ret,
                   struct zl_error *err);

/* ---- native_create.c -------------------------------------------------------------------------------- */

int native_create(struct zl_runtime *rt, const struct zl_create_options *options,
                  struct zl_error *err);
/* Spawns the monitor of a workload. The lock is held. */
int native_launch(struct native *n, const struct native_record *record, uint32_t generation,
                  int seccomp_fd, struct zl_error *err);
/* The bundle that its monitor reads, freed by the caller. ZL_E_STATE if it had secrets and a reboot has wiped it. */
int native_bundle_path(struct native *n, const struct native_record *record, char **ret,
                       struct zl_error *err);
/* Makes the run directory; the caller closes. */
int native_make_run(struct native *n, const char *name, struct zl_error *err);
/* A new monitor for a workload that has none: the same writable layer and log. The lock is held. If it fails the end is on record. */
int native_relaunch(struct native *n, int state_fd, struct native_record *record,
                    uint32_t generation, struct zl_error *err);

/* ---- native_gpus.c ---------------------------------------------------------------------------------- */

/* Before what has ended is started again: others may have got what it had. ZL_E_BUSY then. `*ret_lock` (untouched where there is nothing
 * to guard) is to be closed when it counts as started. Its state is locked. */
int native_claim_gpus(struct native *n, int state_fd, const char *name, int *ret_lock,
                      struct zl_error *err);
/* The nodes of those that it has, an array; NULL if it has none. The caller releases. */
json_t *native_gpus_json(int state_fd, const char *name);

/* What a container that waits, waits for (native_spare.c): a module with its words, or a command. */
enum native_spare_kind { NATIVE_SPARE_MODULE, NATIVE_SPARE_COMMAND, NATIVE_SPARE_KINDS };

struct native_spare {
        enum native_spare_kind kind;
        char name[sizeof(NATIVE_SPARE) + 16]; /* of its two directories */
        char shape[ZL_DIGEST_TEXT_MAX];
        int state_fd;               /* locked */
        struct zl_monitor *monitor; /* of its launch: it ends with this connection */
        char *cgroup;               /* cgroupsPath; of a user's, which has none: as in a record */
};
/* Makes one for workloads like `spec`; name, kind and shape are filled. `digest`: of the image; NULL for a module. On failure nothing is
 * left. -ESTALE: the shape is another one by now. */
int native_make_spare(struct native *n, const struct zl_service_spec *spec, const char *digest,
                      struct native_spare *spare, struct zl_error *err);

/* ---- native_spare.c --------------------------------------------------------------------------------- */

int native_spares_open(struct native *n, struct zl_error *err);
void native_spares_close(struct native *n);
/* Are there any? Who finds none need not know his shape yet. */
bool native_spare_is_there(struct native *n);
/* Can a spare become this workload, which has this image? Then 1 and what has to be equal; 0: no; negative errno. */
int native_spare_shape(const struct native *n, const struct zl_create_options *options,
                       const struct zl_image *image, char ret[ZL_DIGEST_TEXT_MAX]);
bool native_spare_is_ready(struct native *n, const char *shape);
/* One of this shape, the caller's from now on, or NULL. */
struct native_spare *native_spare_take(struct native *n, const char *shape);
/* For a launch that comes now: a monitor that waits for it, the caller's, or NULL. In a while there is another. */
struct zl_monitor *native_spare_monitor(struct native *n);
/* A workload has started: the next monitor can be made. */
void native_spare_started(struct native *n);
/* It gets the name of a workload, and the module `source` (NULL: none); its descriptor and connection stay in it. On failure it is gone. */
int native_spare_rename(struct native *n, struct native_spare *spare, const char *name,
                        const char *source, struct zl_error *err);
void native_spare_discard(struct native *n, struct native_spare *spare); /* NULL is allowed */
void native_spare_free(struct native_spare *spare);                      /* NULL is allowed */
/* A workload of this shape was made: the next one may come. Nothing is done for the shape "". */
void native_spare_want(struct native *n, const struct zl_service_spec *spec,
                       const struct zl_image *image, const char *shape);
/* A workload was laid over these: the next may be, too. */
void native_spare_layers(struct native *n, char *const *dirs, const char *seen);
/* What an earlier life of ours has left of it. */
void native_spare_recover(struct native *n, const char *name);
/* A directory for the state of a workload that is made now, the caller's, or NULL. In a while there is another. */
struct native_shell *native_spare_shell(struct native *n);
/* A shell or a spare has another name now: it comes to the disk, `soon` or in a while, so that the end of the workload need not wait for it. */
void native_spare_renamed(struct native *n, bool soon);

/* ---- native_shell.c --------------------------------------------------------------------------------- */

struct native_shell {
        char name[sizeof(NATIVE_SHELL) + 16]; /* of its directory, or two */
        int state_fd;                         /* locked */
        bool is_prepared;
        struct zl_monitor *monitor; /* in a run directory of that name; NULL: there is none */
        char layers
                [ZL_DIGEST_TEXT_MAX]; /* as they were when that mounted the root; "": it has not */
};
/* What the next workload may be laid over. */
struct native_layers {
        char **dirs; /* LOWEST first, with ours; NULL: unknown */
        char seen[ZL_DIGEST_TEXT_MAX];
};
/* NULL: none can be had. */
struct native_shell *native_shell_make(struct native *n);
/* The files that a state begins with, empty where they are missing. 0 or a negative errno. */
int native_shell_fill(int state_fd);
/* The file of its exit record comes to the disk. Blocks for it. */
void native_shell_prepare(struct native_shell *shell);
/* A monitor that waits takes its run directory, and is its own from now on; it mounts the root, if that is known. On failure both are
 * gone. */
void native_shell_marry(struct native *n, struct native_shell *shell, struct zl_monitor *monitor,
                        const struct native_layers *layers);
/* It is the caller's again, and the run directory gone. NULL: there was none, or it has ended. */
struct zl_monitor *native_shell_divorce(struct native *n, struct native_shell *shell);
/* It gets the name of a workload: 0, its descriptor, and its monitor or NULL. Else a negative errno, -EEXIST if the name is taken; then the
 * shell remains. */
int native_shell_rename(struct native *n, struct native_shell *shell, const char *name, int *ret_fd,
                        struct zl_monitor **ret_monitor);
void native_shell_discard(struct native *n, struct native_shell *shell); /* NULL is allowed */
/* What an earlier life of ours has left of it. */
void native_shell_recover(struct native *n, const char *name);

/* ---- native_recover.c ------------------------------------------------------------------------------- */

/* Takes away everything that belongs to a workload but its monitor, which must have ended. The lock is held. */
int native_erase(struct native *n, const char *name, char *const *volumes, struct zl_error *err);
/* Its two directories alone. */
int native_erase_dirs(struct native *n, const char *name, struct zl_error *err);
/* What a create that died in the middle left. The lock is held. */
int native_erase_wreck(struct native *n, int state_fd, const char *name, struct zl_error *err);
int native_recover(struct zl_runtime *rt, struct zl_error *err);
/* Removes what no list shows: half-removed directories, spares of those who have died. */
void native_recover_hidden(struct native *n);
int native_list(struct zl_runtime *rt, const struct zl_list_filter *filter, struct zl_status **ret,
                size_t *ret_n, struct zl_error *err);

/* ---- native_rename.c -------------------------------------------------------------------------------- */

int native_rename(struct zl_runtime *rt, const char *name, const char *new_name,
                  struct zl_error *err);
/* Brings everything into line with the name of the directory, if its documents are written for another. The lock is held. */
int native_rename_finish(struct native *n, int state_fd, struct native_record *record,
                         struct zl_error *err);

/* ---- native_streams.c, native_view.c ------------------------------------------------------------------ */

int native_watch_open(struct zl_runtime *rt, const char *name, struct zl_watch **ret,
                      struct zl_error *err);
int native_watch_fd(const struct zl_watch *watch);
int native_watch_next(struct zl_watch *watch, struct zl_status *ret, struct zl_error *err);
void native_watch_close(struct zl_watch *watch);
int native_logs_open(struct zl_runtime *rt, const char *name, const struct zl_log_options *options,
                     struct zl_logs **ret, struct zl_error *err);
int native_logs_fd(const struct zl_logs *logs);
int native_logs_next(struct zl_logs *logs, struct zl_log_entry *ret, struct zl_error *err);
void native_logs_close(struct zl_logs *logs);
int native_exec_open(struct zl_runtime *rt, const char *name, const struct zl_exec_options *options,
                     struct zl_exec **ret, struct zl_error *err);
int native_exec_fd(const struct zl_exec *exec);
int native_exec_tty_fd(const struct zl_exec *exec);
int native_exec_resize(struct zl_exec *exec, uint16_t rows, uint16_t cols, struct zl_error *err);
int native_exec_kill(struct zl_exec *exec, int sig, struct zl_error *err);
int native_exec_result(struct zl_exec *exec, int *ret_code, struct zl_error *err);
void native_exec_close(struct zl_exec *exec);
int native_attach_open(struct zl_runtime *rt, const char *name, struct zl_attach **ret,
                       struct zl_error *err);
int native_attach_fd(const struct zl_attach *attach);
int native_attach_next(struct zl_attach *attach, int *ret_stream, const char **ret_data,
                       size_t *ret_len, struct zl_error *err);
int native_attach_write(struct zl_attach *attach, const void *data, size_t len,
                        struct zl_error *err);
int native_attach_resize(struct zl_attach *attach, uint16_t rows, uint16_t cols,
                         struct zl_error *err);
void native_attach_close(struct zl_attach *attach);
int native_stats(struct zl_runtime *rt, const char *name, struct zl_stats *ret,
                 struct zl_error *err);

/* ---- native_root.c, native_files.c --------------------------------------------------------------------- */

typedef int (*native_visitor)(int root, void *data, struct zl_error *err);
struct native_visit {
        native_visitor run;
        void *data;
};
enum native_root_flags {
        NATIVE_ROOT_WRITE = 1 << 0,
        NATIVE_ROOT_BARE = 1 << 1, /* what is mounted in it does not matter */
};
/* native_layers.c: the directories of a new workload's root. 0 or a negative errno. */
int native_make_root_dirs(int state_fd);
bool native_is_skeleton(const struct native *n, const char *layer); /* our own layer */
/* The writable layer's root is the root directory that the workload sees: as the uppermost of `layers` has it, of which there is one. */
int native_copy_root(char *const *layers, int state_fd, struct zl_error *err);
/* The directories of an image's layers as they are now, each by what is never the same again once it was removed: as text, or its digest.
 * 0 or a negative errno. */
int native_mix_layers(struct zl_buf *buf, const struct native *n, char *const *layers);
int native_see_layers(const struct native *n, char *const *layers, char ret[ZL_DIGEST_TEXT_MAX]);
/* They become what the image wants, and our layer comes below those in *layers, which may be NULL. */
int native_make_layers(struct native *n, int state_fd, char ***layers, struct zl_error *err);

/* Calls visit->run in a thread of its own, which sees the file system of the workload: `root` (O_PATH) is its root. Absolute paths of ours mean nothing there. Returns
 * what it returns. ZL_E_UNSUPPORTED for WebAssembly, which has no files. */
int native_visit_root(struct native *n, const char *name, unsigned flags,
                      const struct native_visit *visit, struct zl_error *err);
int native_archive_head(struct zl_runtime *rt, const char *name, const char *path,
                        struct zl_file_stat *ret, struct zl_error *err);
int native_archive_get(struct zl_runtime *rt, const char *name, const char *path, int fd,
                       struct zl_error *err);
int native_archive_put(struct zl_runtime *rt, const char *name, const char *path, int fd,
                       unsigned flags, struct zl_error *err);
int native_export(struct zl_runtime *rt, const char *name, int fd, struct zl_error *err);
int native_commit(struct zl_runtime *rt, const char *name, const struct zl_commit_options *options,
                  char **ret_id, struct zl_error *err);

/* ---- native_health.c ------------------------------------------------------------------------------------ */

int native_dial(struct zl_runtime *rt, const char *name, const char *host, uint16_t port,
                int *ret_fd, struct zl_error *err);
int native_image_health(struct zl_runtime *rt, const char *image, struct zl_image_health *ret,
                        struct zl_error *err);
int native_inspect(struct zl_runtime *rt, const char *name, char **ret_json, struct zl_error *err);

/* ---- native_images.c ------------------------------------------------------------------------------------ */

int native_pull(struct zl_runtime *rt, const char *image, const struct zl_pull_options *options,
                char **ret_digest, struct zl_error *err);
int native_image_list(struct zl_runtime *rt, struct zl_image_info **ret, size_t *ret_n,
                      struct zl_error *err);
int native_image_inspect(struct zl_runtime *rt, const char *image, char **ret_json,
                         struct zl_error *err);
int native_image_history(struct zl_runtime *rt, const char *image, char **ret_json,
                         struct zl_error *err);
int native_image_search(struct zl_runtime *rt, const char *term, unsigned limit, char **ret_json,
                        struct zl_error *err);
int native_image_tag(struct zl_runtime *rt, const char *image, const char *name,
                     struct zl_error *err);
int native_image_remove(struct zl_runtime *rt, const char *image, bool force, struct zl_error *err);
int native_image_prune(struct zl_runtime *rt, bool all, uint64_t *ret_freed, struct zl_error *err);
int native_image_save(struct zl_runtime *rt, const char *image, int fd, struct zl_error *err);
int native_image_load(struct zl_runtime *rt, const char *path, const char *name,
                      const struct zl_pull_options *progress, char **ret_digest,
                      struct zl_error *err);

/* ---- native_watch_all.c ----------------------------------------------------------------------------------- */

int native_watch_open_all(struct zl_runtime *rt, struct zl_watch **ret, struct zl_error *err);

/* ---- native_limits.c, native_changes.c -------------------------------------------------------------------- */

int native_update(struct zl_runtime *rt, const char *name, const struct zl_update *update,
                  struct zl_error *err);
int native_top(struct zl_runtime *rt, const char *name, const char *ps_args, struct zl_top *ret,
               struct zl_error *err);
int native_changes(struct zl_runtime *rt, const char *name, struct zl_change **ret, size_t *ret_n,
                   struct zl_error *err);
