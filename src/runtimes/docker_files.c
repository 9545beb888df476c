/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures, processes, limits and files of Docker containers: each one question to the engine and a translation of its answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/strv.h"
#include "oci/reference.h"
#include "runtimes/docker.h"

/* A workload of ours? What the engine has besides is not our business. */
static int check_ours(struct docker *d, const char *name, struct zl_error *err)
{
        _cleanup_json_ json_t *document = NULL;

        return docker_get(d, name, &document, err);
}

/* ---- figures ----------------------------------------------------------------------------------------- */

static uint64_t number(const json_t *object, const char *key)
{
        int64_t n = zl_json_int(object, key, 0);

        return n > 0 ? (uint64_t)n : 0;
}

static void fill_io(const json_t *io, struct zl_stats *s)
{
        const json_t *list = json_object_get(io, "io_service_bytes_recursive"), *one;
        size_t i;

        json_array_foreach(list, i, one)
        {
                const char *op = zl_json_str(one, "op", "");

                if (strcasecmp(op, "read") == 0)
                        s->io_read_bytes += number(one, "value");
                else if (strcasecmp(op, "write") == 0)
                        s->io_write_bytes += number(one, "value");
        }
}

static void fill_memory(const json_t *memory, struct zl_stats *s)
{
        const json_t *detail = json_object_get(memory, "stats");
        /* Version 2 of control groups, then version 1. */
        uint64_t cache = number(detail, "inactive_file");
        uint64_t usage = number(memory, "usage"), limit = number(memory, "limit");

        if (!cache)
                cache = number(detail, "total_inactive_file");
        s->memory_bytes = usage > cache ? usage - cache : usage;
        s->memory_peak = number(memory, "max_usage");
        s->memory_limit = limit ? limit : UINT64_MAX;
}

static void fill_stats(json_t *json, struct zl_stats *s)
{
        const json_t *cpu = json_object_get(json, "cpu_stats");
        json_t *networks = json_object_get(json, "networks"), *network;
        uint64_t pids = number(json_object_get(json, "pids_stats"), "limit");
        const char *key;

        s->time = zl_now_realtime();
        s->cpu_usec = number(json_object_get(cpu, "cpu_usage"), "total_usage") / 1000;
        s->cpu_throttled_usec = number(json_object_get(cpu, "throttling_data"), "throttled_time") /
                                1000;
        fill_memory(json_object_get(json, "memory_stats"), s);
        fill_io(json_object_get(json, "blkio_stats"), s);
        s->pids = number(json_object_get(json, "pids_stats"), "current");
        s->pids_limit = pids ? pids : UINT64_MAX;
        json_object_foreach(networks, key, network)
        {
                s->net_rx_bytes += number(network, "rx_bytes");
                s->net_tx_bytes += number(network, "tx_bytes");
        }
}

int docker_stats(struct zl_runtime *rt, const char *name, struct zl_stats *ret,
                 struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        _cleanup_json_ json_t *document = NULL, *json = NULL;
        const json_t *state;
        int r = docker_get(d, name, &document, err);

        if (r < 0)
                return r;
        state = json_object_get(document, "State");
        if (zl_json_int(state, "Pid", 0) <= 0)
                return zl_fail(err, ZL_E_STATE, 0, "%s is not running, it is %s", name,
                               zl_json_str(state, "Status", "unknown"));
        r = docker_ask(d, "GET",
                       docker_path(d, "/containers/" DOCKER_PREFIX "%s/stats?stream=0%s", name,
                                   d->minor >= 41 ? "&one-shot=1" : ""),
                       &json, err);
        if (r < 0)
                return r;
        fill_stats(json, ret);
        ret->cpu_limit = (double)zl_json_int(json_object_get(document, "HostConfig"), "NanoCpus",
                                             0) /
                         1e9;
        return 0;
}

/* ---- processes --------------------------------------------------------------------------------------- */

static int read_strings(const json_t *list, char ***ret)
{
        const json_t *one;
        size_t i;
        int r = 0;

        json_array_foreach(list, i, one) if (r == 0)
                r = zl_strv_push(ret, json_is_string(one) ? json_string_value(one) : "");
        return r;
}

int docker_top(struct zl_runtime *rt, const char *name, const char *ps_args, struct zl_top *ret,
               struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        _cleanup_free_ char *escaped = docker_escape(ps_args ? ps_args : "-ef");
        _cleanup_json_ json_t *json = NULL;
        const json_t *rows, *row;
        size_t i;
        int r = escaped ? check_ours(d, name, err) : zl_fail_oom(err);

        if (r < 0)
                return r;
        r = docker_ask(
                d, "GET",
                docker_path(d, "/containers/" DOCKER_PREFIX "%s/top?ps_args=%s", name, escaped),
                &json, err);
        /* Older engines call a wrong state an internal error. */
        if (r < 0 && err && err->code == ZL_E_IO && strstr(err->message, "is not running"))
                zl_error_recode(err, ZL_E_STATE);
        if (r < 0)
                return r;
        rows = json_object_get(json, "Processes");
        ret->rows = calloc(json_array_size(rows) + 1, sizeof(*ret->rows));
        r = ret->rows ? read_strings(json_object_get(json, "Titles"), &ret->titles) : -ENOMEM;
        json_array_foreach(rows, i, row) if (r == 0)
                r = read_strings(row, &ret->rows[ret->n_rows++]);
        if (r < 0) {
                zl_top_done(ret);
                return zl_fail_oom(err);
        }
        return 0;
}

/* ---- limits ------------------------------------------------------------------------------------------ */

int docker_update(struct zl_runtime *rt, const char *name, const struct zl_update *u,
                  struct zl_error *err)
{
        const struct {
                const char *key;
                int64_t value;
        } numbers[] = { { "CpuShares", u->cpu_shares },
                        { "CpuPeriod", u->cpu_period },
                        { "CpuQuota", u->cpu_quota },
                        { "CpuRealtimePeriod", u->cpu_rt_period },
                        { "CpuRealtimeRuntime", u->cpu_rt_runtime },
                        { "Memory", u->memory },
                        { "MemoryReservation", u->memory_reservation },
                        { "MemorySwap", u->memory_swap },
                        { "BlkioWeight", u->blkio_weight },
                        { "PidsLimit", u->pids_limit } };
        struct docker *d = docker_from(rt);
        _cleanup_json_ json_t *body = json_object();
        _cleanup_free_ char *text = NULL, *path = NULL;
        int r = check_ours(d, name, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(numbers); i++)
                if (numbers[i].value != ZL_UPDATE_KEEP)
                        zl_json_set(body, numbers[i].key, json_integer(numbers[i].value));
        if (u->cpuset_cpus)
                zl_json_set(body, "CpusetCpus", json_string(u->cpuset_cpus));
        if (u->cpuset_mems)
                zl_json_set(body, "CpusetMems", json_string(u->cpuset_mems));
        text = body ? zl_json_dump(body, 0) : NULL;
        if (!text)
                return zl_fail_oom(err);
        path = docker_path(d, "/containers/" DOCKER_PREFIX "%s/update", name);
        const struct zl_docker_request q = {
                .method = "POST", .path = path, .body = text, .len = strlen(text)
        };

        r = docker_call(d, &q, NULL, err);
        return r < 0 ? r : 0;
}

/* ---- files ------------------------------------------------------------------------------------------- */

/* "/containers/zlayer-NAME/archive?path=PATH" and the rest of the query; the caller frees it. */
static char *archive_path(struct docker *d, const char *name, const char *path, const char *rest)
{
        _cleanup_free_ char *escaped = docker_escape(path);

        return escaped ? docker_path(d, "/containers/" DOCKER_PREFIX "%s/archive?path=%s%s", name,
                                     escaped, rest)
                       : NULL;
}

/* Go's mode: the type in the highest bits. */
static uint32_t mode_from_go(uint32_t go)
{
        static const struct {
                unsigned bit;
                uint32_t mode;
        } types[] = { { 31, S_IFDIR }, { 27, S_IFLNK }, { 25, S_IFIFO }, { 24, S_IFSOCK } };
        static const struct {
                unsigned bit;
                uint32_t mode;
        } flags[] = { { 23, S_ISUID }, { 22, S_ISGID }, { 20, S_ISVTX } };
        uint32_t mode = S_IFREG;

        if (go & 1U << 26)
                mode = go & 1U << 21 ? S_IFCHR : S_IFBLK;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(types); i++)
                if (go & 1U << types[i].bit)
                        mode = types[i].mode;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(flags); i++)
                if (go & 1U << flags[i].bit)
                        mode |= flags[i].mode;
        return mode | (go & 0777);
}

static int parse_stat(const char *header, struct zl_file_stat *ret, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *json = NULL;
        const char *link;
        size_t len;
        int r;

        if (!header || zl_base64_decode(header, &text, &len) < 0)
                return zl_fail(err, ZL_E_PROTOCOL, 0, "Docker does not say what the file is");
        r = zl_json_parse(text, len, "a file of Docker", &json, err);
        if (r < 0)
                return r;
        link = zl_json_str(json, "linkTarget", "");
        ret->size = zl_json_int(json, "size", 0);
        ret->mode = mode_from_go((uint32_t)zl_json_int(json, "mode", 0));
        if (zl_parse_rfc3339(zl_json_str(json, "mtime", ""), &ret->mtime) < 0)
                ret->mtime = 0;
        if (zl_replace_str(&ret->name, zl_json_str(json, "name", "")) < 0 ||
            (*link && zl_replace_str(&ret->link_target, link) < 0)) {
                zl_file_stat_done(ret);
                return zl_fail_oom(err);
        }
        return 0;
}

int docker_archive_head(struct zl_runtime *rt, const char *name, const char *path,
                        struct zl_file_stat *ret, struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        _cleanup_free_ char *where = archive_path(d, name, path, "");
        const struct zl_docker_request q = { .method = "HEAD", .path = where };
        _cleanup_docker_conn_ struct zl_docker_conn *conn = NULL;
        int r = check_ours(d, name, err);

        if (r == 0)
                r = docker_open(d, &q, &conn, err);
        /* An answer to HEAD has no words. */
        if (r < 0 && err && err->code == ZL_E_NOT_FOUND && conn == NULL)
                zl_error_prefix(err, "%s in %s", path, name);
        return r < 0 ? r
                     : parse_stat(zl_docker_header(conn, "x-docker-container-path-stat"), ret, err);
}

/* The whole answer to a file descriptor. */
static int fetch(struct docker *d, const char *path, int fd, struct zl_error *err)
{
        const struct zl_docker_request q = { .method = "GET", .path = path };
        _cleanup_docker_conn_ struct zl_docker_conn *conn = NULL;
        int r = docker_open(d, &q, &conn, err);

        return r < 0 ? r : zl_docker_copy(conn, fd, err);
}

int docker_archive_get(struct zl_runtime *rt, const char *name, const char *path, int fd,
                       struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        _cleanup_free_ char *where = archive_path(d, name, path, "");
        int r = check_ours(d, name, err);

        return r < 0 ? r : fetch(d, where, fd, err);
}

int docker_archive_put(struct zl_runtime *rt, const char *name, const char *path, int fd,
                       unsigned flags, struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        _cleanup_free_ char *where = NULL, *rest = NULL;
        int r = check_ours(d, name, err);

        if (r < 0)
                return r;
        if (asprintf(&rest, "%s%s",
                     flags & ZL_ARCHIVE_NO_OVERWRITE_DIR ? "&noOverwriteDirNonDir=1" : "",
                     flags & ZL_ARCHIVE_COPY_UID_GID ? "&copyUIDGID=1" : "") < 0)
                return zl_fail_oom(err);
        where = archive_path(d, name, path, rest);
        const struct zl_docker_request q = { .method = "PUT",
                                             .path = where,
                                             .body_fd = fd,
                                             .type = "application/x-tar",
                                             .timeout = 5 * ZL_DOCKER_TIMEOUT };

        /* 0 stands for none in a request. */
        if (fd == 0)
                return zl_fail(err, ZL_E_INVALID, EBADF,
                               "an archive cannot come from descriptor 0");
        r = docker_call(d, &q, NULL, err);
        return r < 0 ? r : 0;
}

int docker_export(struct zl_runtime *rt, const char *name, int fd, struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        _cleanup_free_ char *path = docker_path(d, "/containers/" DOCKER_PREFIX "%s/export", name);
        int r = check_ours(d, name, err);

        return r < 0 ? r : fetch(d, path, fd, err);
}

static int compare_changes(const void *a, const void *b)
{
        return strcmp(((const struct zl_change *)a)->path, ((const struct zl_change *)b)->path);
}

int docker_changes(struct zl_runtime *rt, const char *name, struct zl_change **ret, size_t *ret_n,
                   struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        _cleanup_json_ json_t *list = NULL;
        struct zl_change *changes;
        const json_t *one;
        size_t i, n = 0;
        int r = check_ours(d, name, err);

        if (r == 0)
                r = docker_ask(d, "GET",
                               docker_path(d, "/containers/" DOCKER_PREFIX "%s/changes", name),
                               &list, err);
        if (r < 0)
                return r;
        changes = calloc(json_array_size(list) + 1, sizeof(*changes));
        json_array_foreach(list, i, one)
        {
                if (!changes)
                        break;
                changes[n].path = strdup(zl_json_str(one, "Path", ""));
                /* 0 modified, 1 added, 2 deleted: the same numbers. */
                changes[n].kind = (enum zl_change_kind)(zl_json_int(one, "Kind", 0) % 3);
                if (!changes[n++].path)
                        break;
        }
        if (!changes || n < json_array_size(list)) {
                zl_change_free(changes, n);
                return zl_fail_oom(err);
        }
        qsort(changes, n, sizeof(*changes), compare_changes);
        *ret = changes;
        *ret_n = n;
        return 0;
}

static char *commit_path(struct docker *d, const char *name, const struct zl_commit_options *o,
                         const struct zl_reference *ref)
{
        _cleanup_free_ char *repo = NULL, *escaped = NULL;
        _cleanup_free_ char *comment = docker_escape(o->comment ? o->comment : "");
        _cleanup_free_ char *author = docker_escape(o->author ? o->author : "");

        if (asprintf(&repo, "%s/%s", ref->registry, ref->repository) < 0 || !comment || !author ||
            !(escaped = docker_escape(repo)))
                return NULL;
        return docker_path(d,
                           "/commit?container=" DOCKER_PREFIX
                           "%s&repo=%s&tag=%s&comment=%s&author=%s&pause=%d",
                           name, escaped, ref->tag, comment, author, !o->no_pause);
}

int docker_commit(struct zl_runtime *rt, const char *name, const struct zl_commit_options *options,
                  char **ret_id, struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        _cleanup_reference_ struct zl_reference ref = { 0 };
        _cleanup_json_ json_t *json = NULL;
        int r = check_ours(d, name, err);

        if (r == 0)
                r = zl_reference_parse(options->image, &ref, NULL, err);
        if (r < 0)
                return r;
        if (ref.digest)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "%s: a name that is given cannot hold a digest", options->image);
        r = docker_ask(d, "POST", commit_path(d, name, options, &ref), &json, err);
        if (r < 0)
                return r;
        if (ret_id && !(*ret_id = strdup(zl_json_str(json, "Id", ""))))
                return zl_fail_oom(err);
        return 0;
}

/* ---- looking whether it works ------------------------------------------------------------------------ */

/* From this machine: the engine has no way to connect from inside, and its networks are reachable from here. */
int docker_dial(struct zl_runtime *rt, const char *name, const char *host, uint16_t port,
                int *ret_fd, struct zl_error *err)
{
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
        struct zl_status status;
        int r = docker_status(docker_from(rt), name, &status, err);
        const char *to;

        if (r < 0)
                return r;
        to = host ? host : status.ip ? status.ip : "127.0.0.1";
        r = inet_pton(AF_INET, to, &a.sin_addr);
        if (r != 1)
                r = zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is not a numeric IPv4 address", to);
        else if (status.pid <= 0)
                r = zl_fail(err, ZL_E_STATE, 0, "%s is not running", name);
        zl_status_done(&status);
        if (r < 0)
                return r;
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0 ||
            (connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS))
                return zl_fail_errno(err, errno, "cannot connect to port %u of %s", port, name);
        *ret_fd = zl_take_fd(fd);
        return 0;
}

int docker_image_health(struct zl_runtime *rt, const char *image, struct zl_image_health *ret,
                        struct zl_error *err)
{
        _cleanup_json_ json_t *json = NULL;
        _cleanup_strv_ char **test = NULL;
        _cleanup_free_ char *text = NULL;
        const json_t *health;
        int r = docker_image_inspect(rt, image, &text, err);

        if (r == 0)
                r = zl_json_parse(text, strlen(text), image, &json, err);
        if (r < 0)
                return r;
        *ret = (struct zl_image_health){ 0 };
        health = json_object_get(json_object_get(json, "Config"), "Healthcheck");
        if (read_strings(json_object_get(health, "Test"), &test) < 0)
                return zl_fail_oom(err);
        if (!test || !test[0] || !test[1] || zl_streq(test[0], "NONE"))
                return 0;
        r = zl_streq(test[0], "CMD-SHELL") ? zl_strv_push(&ret->test, "/bin/sh") : 0;
        if (r == 0 && ret->test)
                r = zl_strv_push(&ret->test, "-c");
        if (r == 0)
                r = zl_strv_extend(&ret->test, test + 1);
        ret->interval = zl_json_int(health, "Interval", 0);
        ret->timeout = zl_json_int(health, "Timeout", 0);
        ret->start_period = zl_json_int(health, "StartPeriod", 0);
        ret->retries = zl_json_int(health, "Retries", 0);
        return r < 0 ? zl_fail_oom(err) : 0;
}
