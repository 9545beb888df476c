/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Docker runtime inside: what docker.c (life), docker_state.c (what is), docker_spec.c (what is asked for),
 * docker_images.c, docker_watch.c, docker_logs.c, docker_exec.c and docker_files.c share.
 *
 * A workload NAME is the container "zlayer-NAME" that carries our root directory as a label. The engine knows nearly everything; what it cannot
 * tell (how often it was started under this name, that its end was asked for) stands in <root_dir>/docker/NAME.json.
 * Watchers look at that directory, too: some ends happen there and not in the engine.
 */
#pragma once

#include <pthread.h>

#include "base/json.h"
#include "runtimes/docker_http.h"
#include "runtimes/runtime.h"
#include "runtimes/select.h"

#define DOCKER_PREFIX "zlayer-"
#define DOCKER_LABEL "com.zlayer."
#define DOCKER_LABEL_ROOT DOCKER_LABEL "root" /* root_dir of the agent that made it */
#define DOCKER_LABEL_IMAGE DOCKER_LABEL "image"
#define DOCKER_LABEL_AUTO_REMOVE DOCKER_LABEL "auto_remove"

enum {
        DOCKER_API_MIN = 40, /* minor versions of the API */
        DOCKER_API_MAX = 47,
        DOCKER_ANSWER_MAX = 64 << 20,
};

struct docker {
        struct zl_runtime rt;
        struct zl_runtime_settings settings;
        struct zl_docker_endpoint ep;
        char *engine; /* version of the daemon, or NULL */
        unsigned minor;
        char *state_dir;
        int state_fd;
        struct docker_cache *cache; /* of docker_list.c */
};

static inline struct docker *docker_from(struct zl_runtime *rt)
{
        return (struct docker *)rt;
}

/* ---- docker.c: asking ----------------------------------------------------------------------------------- */

/* "/v1.41" and the text; the caller frees it. NULL without memory. */
char *docker_path(const struct docker *d, const char *fmt, ...) ZL_PRINTF(2, 3);
/* A part of a URL; the caller frees it. */
char *docker_escape(const char *text);
/* Connects, sends, reads the head. Returns the status; the body is the caller's to read. */
int docker_open(struct docker *d, const struct zl_docker_request *request,
                struct zl_docker_conn **ret, struct zl_error *err);
/* The whole exchange. `ret` (may be NULL) is the JSON document of the answer, NULL if it is empty. Returns the status. */
int docker_call(struct docker *d, const struct zl_docker_request *request, json_t **ret,
                struct zl_error *err);
/* The same for a request without body; takes `path` over, which may be NULL (no memory). */
int docker_ask(struct docker *d, const char *method, char *path, json_t **ret,
               struct zl_error *err);

/* ---- docker_state.c ------------------------------------------------------------------------------------- */

/* What the engine does not know. */
struct docker_record {
        uint32_t generation;
        uint32_t stopped; /* the generation whose end was asked for, or 0 */
        bool killed; /* it was ended before it was started: an end that the engine does not have */
        int64_t killed_at;
};
void docker_record_load(struct docker *d, const char *name, struct docker_record *ret);
int docker_record_save(struct docker *d, const char *name, const struct docker_record *record,
                       struct zl_error *err);
void docker_record_remove(struct docker *d, const char *name);

/* The document of the engine, if the workload is one of ours. ZL_E_NOT_FOUND. */
int docker_get(struct docker *d, const char *name, json_t **ret, struct zl_error *err);
/* Has the container our root directory as its label? */
bool docker_is_ours(const struct docker *d, const json_t *document);
int docker_status(struct docker *d, const char *name, struct zl_status *ret, struct zl_error *err);
int docker_status_fill(struct docker *d, const char *name, const json_t *document,
                       struct zl_status *ret, struct zl_error *err);
/* What is ours, as the filter of a list or (`events`) of events, escaped for a URL; the caller frees it. */
char *docker_filters(const struct docker *d, bool events);
/* "zlayer-NAME" or "/zlayer-NAME" -> "NAME"; NULL if it is none of ours. */
const char *docker_name(const char *container);

int docker_state(struct zl_runtime *rt, const char *name, struct zl_status *ret,
                 struct zl_error *err);
int docker_inspect(struct zl_runtime *rt, const char *name, char **ret_json, struct zl_error *err);
int docker_recover(struct zl_runtime *rt, struct zl_error *err);

/* ---- docker_list.c -------------------------------------------------------------------------------------- */

int docker_cache_new(struct docker *d, struct zl_error *err);
void docker_cache_free(struct docker_cache *cache); /* NULL is allowed */
int docker_list(struct zl_runtime *rt, const struct zl_list_filter *filter, struct zl_status **ret,
                size_t *ret_n, struct zl_error *err);

/* ---- docker_spec.c -------------------------------------------------------------------------------------- */

/* The body of a create. A pure function but for seccomp profiles, which are read. ZL_E_UNSUPPORTED names the field that
 * Docker cannot express. The caller releases `*ret`. */
int docker_spec_make(const struct docker *d, const struct zl_create_options *options, json_t **ret,
                     struct zl_error *err);

/* ---- docker_images.c ------------------------------------------------------------------------------------ */

/* The name by which the engine has the image of a digest, freed by the caller. ZL_E_NOT_FOUND. */
int docker_find_pinned(struct docker *d, const char *image, const char *digest, char **ret,
                       struct zl_error *err);
int docker_pull(struct zl_runtime *rt, const char *image, const struct zl_pull_options *options,
                char **ret_digest, struct zl_error *err);
int docker_image_list(struct zl_runtime *rt, struct zl_image_info **ret, size_t *ret_n,
                      struct zl_error *err);
int docker_image_inspect(struct zl_runtime *rt, const char *image, char **ret_json,
                         struct zl_error *err);
int docker_image_history(struct zl_runtime *rt, const char *image, char **ret_json,
                         struct zl_error *err);
int docker_image_search(struct zl_runtime *rt, const char *term, unsigned limit, char **ret_json,
                        struct zl_error *err);
int docker_image_tag(struct zl_runtime *rt, const char *image, const char *name,
                     struct zl_error *err);
int docker_image_remove(struct zl_runtime *rt, const char *image, bool force, struct zl_error *err);
int docker_image_prune(struct zl_runtime *rt, bool all, uint64_t *ret_freed, struct zl_error *err);
int docker_image_save(struct zl_runtime *rt, const char *image, int fd, struct zl_error *err);
int docker_image_load(struct zl_runtime *rt, const char *path, const char *name,
                      const struct zl_pull_options *progress, char **ret_digest,
                      struct zl_error *err);

/* ---- docker_watch.c, docker_logs.c, docker_exec.c --------------------------------------------------------- */

int docker_watch_open(struct zl_runtime *rt, const char *name, struct zl_watch **ret,
                      struct zl_error *err);
int docker_watch_open_all(struct zl_runtime *rt, struct zl_watch **ret, struct zl_error *err);
int docker_watch_fd(const struct zl_watch *watch);
int docker_watch_next(struct zl_watch *watch, struct zl_status *ret, struct zl_error *err);
void docker_watch_close(struct zl_watch *watch);

int docker_logs_open(struct zl_runtime *rt, const char *name, const struct zl_log_options *options,
                     struct zl_logs **ret, struct zl_error *err);
int docker_logs_fd(const struct zl_logs *logs);
int docker_logs_next(struct zl_logs *logs, struct zl_log_entry *ret, struct zl_error *err);
void docker_logs_close(struct zl_logs *logs);

int docker_exec_open(struct zl_runtime *rt, const char *name, const struct zl_exec_options *options,
                     struct zl_exec **ret, struct zl_error *err);
int docker_exec_fd(const struct zl_exec *exec);
int docker_exec_tty_fd(const struct zl_exec *exec);
int docker_exec_resize(struct zl_exec *exec, uint16_t rows, uint16_t cols, struct zl_error *err);
int docker_exec_kill(struct zl_exec *exec, int sig, struct zl_error *err);
int docker_exec_result(struct zl_exec *exec, int *ret_code, struct zl_error *err);
void docker_exec_close(struct zl_exec *exec);

int docker_attach_open(struct zl_runtime *rt, const char *name, struct zl_attach **ret,
                       struct zl_error *err);
int docker_attach_fd(const struct zl_attach *attach);
int docker_attach_next(struct zl_attach *attach, int *ret_stream, const char **ret_data,
                       size_t *ret_len, struct zl_error *err);
int docker_attach_write(struct zl_attach *attach, const void *data, size_t len,
                        struct zl_error *err);
int docker_attach_resize(struct zl_attach *attach, uint16_t rows, uint16_t cols,
                         struct zl_error *err);
void docker_attach_close(struct zl_attach *attach);

/* ---- docker_files.c ------------------------------------------------------------------------------------- */

int docker_stats(struct zl_runtime *rt, const char *name, struct zl_stats *ret,
                 struct zl_error *err);
int docker_top(struct zl_runtime *rt, const char *name, const char *ps_args, struct zl_top *ret,
               struct zl_error *err);
int docker_update(struct zl_runtime *rt, const char *name, const struct zl_update *update,
                  struct zl_error *err);
int docker_archive_head(struct zl_runtime *rt, const char *name, const char *path,
                        struct zl_file_stat *ret, struct zl_error *err);
int docker_archive_get(struct zl_runtime *rt, const char *name, const char *path, int fd,
                       struct zl_error *err);
int docker_archive_put(struct zl_runtime *rt, const char *name, const char *path, int fd,
                       unsigned flags, struct zl_error *err);
int docker_export(struct zl_runtime *rt, const char *name, int fd, struct zl_error *err);
int docker_changes(struct zl_runtime *rt, const char *name, struct zl_change **ret, size_t *ret_n,
                   struct zl_error *err);
int docker_commit(struct zl_runtime *rt, const char *name, const struct zl_commit_options *options,
                  char **ret_id, struct zl_error *err);

int docker_dial(struct zl_runtime *rt, const char *name, const char *host, uint16_t port,
                int *ret_fd, struct zl_error *err);
int docker_image_health(struct zl_runtime *rt, const char *image, struct zl_image_health *ret,
                        struct zl_error *err);
