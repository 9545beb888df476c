/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a workload to and from buckets that speak S3, for init actions. Requests are signed (s3_sign.c); the files are read and written by commands inside the workload, so they are its own, whatever is mounted there, and
 * nothing of its paths is ever resolved on the host. It needs sh, cat, mkdir and mv, and find to push.
 *
 * Between the two lies a file without a name in $TMPDIR: a PUT has to know its length, and a file of the workload is
 * replaced only when the object has come whole.
 *
 * Keys are looked for where other tools do: $AWS_ACCESS_KEY_ID, $AWS_SECRET_ACCESS_KEY and $AWS_SESSION_TOKEN, then the
 * profile $AWS_PROFILE (default) in $AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials). Without any the request is not signed.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/strv.h"
#include "image/curl.h"
#include "runtimes/runtime.h"
#include "runtimes/s3_sign.h"

enum {
        BLOCK_SIZE = 64 << 10,
        ANSWER_MAX = 64 << 10,
        LIST_MAX = 16 << 20,
        CREDENTIALS_MAX = 1 << 20
};

struct keys {
        char *id, *secret, *token;
};

struct transfer {
        struct zl_runtime *rt;
        const struct zl_s3_request *q;
        const struct zl_curl *lib;
        struct keys keys;
        int64_t deadline; /* monotonic */
        int fd;           /* of the file without a name */
        long status;
        struct zl_buf answer; /* of a request that did not succeed */
        CURL *curl;
        bool write_failed;
};

/* ---- keys ----------------------------------------------------------------------------------------------------- */

static void keys_done(struct keys *keys)
{
        free(keys->id);
        if (keys->secret)
                explicit_bzero(keys->secret, strlen(keys->secret));
        free(keys->secret);
        free(keys->token);
}

/* "name = value" → value; cuts `line`. */
static const char *value_of(char *line, const char *name)
{
        size_t len = strlen(name);
        char *end;

        if (strncmp(line, name, len) != 0)
                return NULL;
        line += len;
        line += strspn(line, " \t");
        if (*line++ != '=')
                return NULL;
        line += strspn(line, " \t");
        end = line + strlen(line);
        while (end > line && strchr(" \t\r", end[-1]))
                *--end = 0;
        return line;
}

static int take_line(struct keys *keys, char *line)
{
        const char *v;

        if ((v = value_of(line, "aws_access_key_id")))
                return zl_replace_str(&keys->id, v);
        if ((v = value_of(line, "aws_secret_access_key")))
                return zl_replace_str(&keys->secret, v);
        if ((v = value_of(line, "aws_session_token")))
                return zl_replace_str(&keys->token, v);
        return 0;
}

static int read_profile(struct keys *keys, char *text)
{
        const char *profile = getenv("AWS_PROFILE") ?: "default";
        bool inside = false;
        char *rest = text, *line;
        int r = 0;

        while (r >= 0 && (line = strsep(&rest, "\n"))) {
                if (*line == '[') {
                        line[strcspn(line, "]")] = 0;
                        inside = zl_streq(line + 1, profile);
                } else if (inside) {
                        r = take_line(keys, line);
                }
        }
        return r;
}

static int find_keys(struct keys *keys)
{
        const char *file = getenv("AWS_SHARED_CREDENTIALS_FILE"), *home = getenv("HOME");
        _cleanup_free_ char *path = NULL, *text = NULL;

        if (getenv("AWS_ACCESS_KEY_ID") && getenv("AWS_SECRET_ACCESS_KEY")) {
                if (zl_replace_str(&keys->id, getenv("AWS_ACCESS_KEY_ID")) < 0 ||
                    zl_replace_str(&keys->secret, getenv("AWS_SECRET_ACCESS_KEY")) < 0)
                        return -ENOMEM;
                return zl_replace_str(&keys->token, getenv("AWS_SESSION_TOKEN"));
        }
        if (!file && (!home || asprintf(&path, "%s/.aws/credentials", home) < 0))
                return 0;
        /* No file, no keys. */
        if (zl_read_file_at(AT_FDCWD, file ?: path, CREDENTIALS_MAX, &text, NULL) < 0)
                return 0;
        return read_profile(keys, text);
}

/* ---- one request ------------------------------------------------------------------------------------------------ */

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
        struct transfer *t = ctx;

        t->lib->easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->status);
        if (t->status / 100 != 2 || t->q->push) {
                if (t->answer.len + size * n <= ANSWER_MAX)
                        zl_buf_put(&t->answer, data, size * n);
                return size * n;
        }
        if (zl_write_full(t->fd, data, size * n) < 0) {
                t->write_failed = true;
                return 0;
        }
        return size * n;
}

static size_t on_upload(char *data, size_t size, size_t n, void *ctx)
{
        struct transfer *t = ctx;
        ssize_t got = zl_read_full(t->fd, data, size * n);

        return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
        struct transfer *t = ctx;

        (void)a;
        (void)b;
        (void)c;
        (void)d;
        return t->q->cancel && __atomic_load_n(t->q->cancel, __ATOMIC_RELAXED);
}

static void put_escaped(struct zl_buf *out, const char *s)
{
        for (; *s; s++)
                if ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                    (*s >= '0' && *s <= '9') || strchr("-._~/", *s))
                        zl_buf_putc(out, *s);
                else
                        zl_buf_putf(out, "%%%02X", (unsigned char)*s);
}

static const char *region_of(const struct zl_s3_request *q)
{
        return q->region ?: getenv("AWS_REGION") ?: getenv("AWS_DEFAULT_REGION") ?: "us-east-1";
}

/* With an endpoint the bucket is part of the path, else of the host. `*ret_host` and `*ret_path` point into nothing else. */
static char *make_url(const struct zl_s3_request *q, const char *key, char **ret_host,
                      char **ret_path)
{
        struct zl_buf host = ZL_BUF_INIT(4096), path = ZL_BUF_INIT(16384);
        const char *scheme = "https";
        char *url = NULL;

        if (q->endpoint) {
                const char *rest = strstr(q->endpoint, "://") + 3;

                scheme = zl_startswith(q->endpoint, "https") ? "https" : "http";
                zl_buf_put(&host, rest, strcspn(rest, "/"));
                zl_buf_putf(&path, "/%s", q->bucket);
        } else {
                zl_buf_putf(&host, "%s.s3.%s.amazonaws.com", q->bucket, region_of(q));
        }
        zl_buf_putc(&path, '/');
        put_escaped(&path, *key == '/' ? key + 1 : key);
        *ret_host = zl_buf_take(&host);
        *ret_path = zl_buf_take(&path);
        if (!*ret_host || !*ret_path ||
            asprintf(&url, "%s://%s%s", scheme, *ret_host, *ret_path) < 0)
                return NULL;
        return url;
}

static int fail_answer(struct transfer *t, const char *key, struct zl_error *err)
{
        const char *begin = t->answer.data ? strstr(t->answer.data, "<Code>") : NULL;
        const char *end = begin ? strstr(begin, "</Code>") : NULL;
        enum zl_code code = t->status == 404                       ? ZL_E_NOT_FOUND
                            : t->status == 401 || t->status == 403 ? ZL_E_UNAUTHORIZED
                                                                   : ZL_E_PROTOCOL;
        int r;

        if (end)
                r = zl_fail(err, code, 0, "s3://%s/%s: %.*s (status %ld)", t->q->bucket, key,
                            (int)(end - begin - 6), begin + 6, t->status);
        else
                r = zl_fail(err, code, 0, "s3://%s/%s: status %ld", t->q->bucket, key, t->status);
        if (code == ZL_E_UNAUTHORIZED && !t->keys.id)
                zl_error_hint(err, "there are no keys: set AWS_ACCESS_KEY_ID and "
                                   "AWS_SECRET_ACCESS_KEY for the agent");
        return r;
}

static int fail_curl(struct transfer *t, CURLcode rc, const char *key, struct zl_error *err)
{
        if (t->write_failed)
                return zl_fail(err, ZL_E_NO_SPACE, 0, "no room to keep s3://%s/%s for a moment",
                               t->q->bucket, key);
        if (rc == CURLE_ABORTED_BY_CALLBACK)
                return zl_fail(err, ZL_E_CANCELLED, 0, "s3://%s/%s is not wanted any more",
                               t->q->bucket, key);
        return zl_fail(err, rc == CURLE_OPERATION_TIMEDOUT ? ZL_E_TIMEOUT : ZL_E_NETWORK, 0,
                       "s3://%s/%s: %s", t->q->bucket, key, t->lib->easy_strerror(rc));
}

static int left_msec(const struct transfer *t)
{
        int64_t left = (t->deadline - zl_now_monotonic()) / ZL_NSEC_PER_MSEC;

        return (int)ZL_MAX(1, ZL_MIN(left, INT32_MAX));
}

/* Hex SHA-256 of the file, or of nothing. */
static int hash_payload(struct transfer *t, char text[ZL_DIGEST_TEXT_MAX])
{
        _cleanup_(zl_hash_freep) struct zl_hash *hash = zl_hash_new(ZL_SHA256);
        _cleanup_free_ char *block = malloc(BLOCK_SIZE);
        ssize_t n = 0;

        if (!hash || !block)
                return -ENOMEM;
        while (t->q->push && (n = zl_read_full(t->fd, block, BLOCK_SIZE)) > 0)
                zl_hash_update(hash, block, (size_t)n);
        if (n < 0 || lseek(t->fd, 0, SEEK_SET) < 0)
                return -EIO;
        zl_hash_finish(hash, text);
        return 0;
}

static int sign(struct transfer *t, const char *host, const char *path, struct curl_slist **headers)
{
        char payload[ZL_DIGEST_TEXT_MAX];
        struct zl_s3_signature s = { .method = t->q->push ? "PUT" : "GET",
                                     .host = host,
                                     .path = path,
                                     .id = t->keys.id,
                                     .secret = t->keys.secret,
                                     .token = t->keys.token,
                                     .region = region_of(t->q),
                                     .time = zl_now_realtime() };
        _cleanup_strv_ char **list = NULL;
        int r = hash_payload(t, payload);

        if (r < 0)
                return r;
        s.payload = payload + strlen("sha256:");
        r = zl_s3_sign(&s, &list);
        ZL_STRV_FOREACH(h, list)
                *headers = t->lib->slist_append(*headers, *h);
        return r;
}

static void set_options(struct transfer *t, const char *url, int64_t size)
{
        const struct zl_curl *lib = t->lib;

        lib->easy_setopt(t->curl, CURLOPT_URL, url);
        lib->easy_setopt(t->curl, CURLOPT_PROTOCOLS_STR, "http,https");
        lib->easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
        lib->easy_setopt(t->curl, CURLOPT_TIMEOUT_MS, (long)left_msec(t));
        lib->easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, on_body);
        lib->easy_setopt(t->curl, CURLOPT_WRITEDATA, t);
        lib->easy_setopt(t->curl, CURLOPT_NOPROGRESS, 0L);
        lib->easy_setopt(t->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        lib->easy_setopt(t->curl, CURLOPT_XFERINFODATA, t);
        if (!t->q->push)
                return;
        lib->easy_setopt(t->curl, CURLOPT_UPLOAD, 1L);
        lib->easy_setopt(t->curl, CURLOPT_READFUNCTION, on_upload);
        lib->easy_setopt(t->curl, CURLOPT_READDATA, t);
        lib->easy_setopt(t->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
}

static int request(struct transfer *t, const char *key, struct zl_error *err)
{
        const struct zl_curl *lib = t->lib;
        _cleanup_free_ char *host = NULL, *path = NULL;
        _cleanup_free_ char *url = make_url(t->q, key, &host, &path);
        struct curl_slist *headers = NULL;
        struct stat st = { 0 };
        CURLcode rc;
        int r = 0;

        if (!url || !(t->curl = lib->easy_init()))
                return zl_fail_oom(err);
        if (lseek(t->fd, 0, SEEK_SET) < 0 || fstat(t->fd, &st) < 0)
                st.st_size = 0;
        t->status = 0;
        zl_buf_reset(&t->answer);
        set_options(t, url, st.st_size);
        if (t->q->push)
                headers = lib->slist_append(NULL, "Content-Type: application/octet-stream");
        if (t->keys.id && t->keys.secret)
                r = sign(t, host, path, &headers);
        lib->easy_setopt(t->curl, CURLOPT_HTTPHEADER, headers);
        rc = r < 0 ? CURLE_OUT_OF_MEMORY : lib->easy_perform(t->curl);
        lib->easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->status);
        lib->slist_free_all(headers);
        lib->easy_cleanup(zl_take_ptr(t->curl));
        if (rc != CURLE_OK)
                return fail_curl(t, rc, key, err);
        return t->status / 100 == 2 ? 0 : fail_answer(t, key, err);
}

/* ---- inside the workload --------------------------------------------------------------------------------------------- */

/* Runs a script there with `path` as $1 and waits for it. `in` and `out` may be -1. */
static int run_inside(struct transfer *t, const char *script, const char *path, int in, int out,
                      struct zl_error *err)
{
        char *const argv[] = { (char *)"/bin/sh",         (char *)"-ec",
                               (char *)(uintptr_t)script, (char *)"s3",
                               (char *)(uintptr_t)path,   NULL };
        struct zl_exec_options options = { .argv = argv, .stdio = { in, out, -1 } };
        struct zl_exec *exec;
        int code = 0, r = zl_exec_open(t->rt, t->q->workload, &options, &exec, err);

        if (r < 0)
                return r;
        while ((r = zl_exec_result(exec, &code, err)) == 0) {
                struct pollfd pfd = { .fd = zl_exec_fd(exec), .events = POLLIN };

                if (poll(&pfd, 1, left_msec(t)) == 0) {
                        (void)zl_exec_kill(exec, SIGKILL, NULL);
                        r = zl_fail(err, ZL_E_TIMEOUT, 0, "%s: not done in time", path);
                        break;
                }
        }
        zl_exec_close(exec);
        if (r > 0)
                r = code == 0 ? 0
                              : zl_fail(err, ZL_E_IO, 0, "%s: cannot be %s inside (code %d)", path,
                                        in < 0 ? "read" : "written", code);
        return r;
}

static int new_file(struct zl_error *err)
{
        const char *dir = getenv("TMPDIR") ?: "/tmp";
        int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        return fd >= 0 ? fd : zl_fail_errno(err, errno, "cannot make a file in %s", dir);
}

static int pull(struct transfer *t, struct zl_error *err)
{
        static const char script[] = "d=${1%/*}; [ -z \"$d\" ] || mkdir -p \"$d\"; "
                                     "cat >\"$1.part\"; mv \"$1.part\" \"$1\"";
        int r = request(t, t->q->key, err);

        if (r >= 0 && lseek(t->fd, 0, SEEK_SET) < 0)
                r = zl_fail_errno(err, errno, "cannot read what was received");
        return r < 0 ? r : run_inside(t, script, t->q->path, t->fd, -1, err);
}

static int push_file(struct transfer *t, const char *path, struct zl_error *err)
{
        const char *below = path + strlen(t->q->path);
        _cleanup_free_ char *key = NULL;
        int r;

        if (ftruncate(t->fd, 0) < 0 || lseek(t->fd, 0, SEEK_SET) < 0)
                return zl_fail_errno(err, errno, "cannot empty a file");
        r = run_inside(t, "cat \"$1\"", path, -1, t->fd, err);
        if (r < 0)
                return r;
        if (asprintf(&key, "%s%s", t->q->key, below) < 0)
                return zl_fail_oom(err);
        return request(t, key, err);
}

/* A file, or a directory with all files in it. */
static int push(struct transfer *t, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t n = 0;
        char *rest, *line;
        int r = run_inside(t, "find \"$1\" -type f", t->q->path, -1, t->fd, err);

        if (r < 0)
                return r;
        if (lseek(t->fd, 0, SEEK_SET) < 0 || zl_read_fd(t->fd, LIST_MAX, &text, NULL) < 0)
                return zl_fail(err, ZL_E_IO, 0, "%s: its files cannot be listed", t->q->path);
        rest = text;
        while (r >= 0 && (line = strsep(&rest, "\n"))) {
                if (!*line)
                        continue;
                n++;
                r = push_file(t, line, err);
        }
        if (r >= 0 && n == 0)
                r = zl_fail(err, ZL_E_NOT_FOUND, 0, "%s: there is no file", t->q->path);
        return r;
}

int zl_runtime_s3(struct zl_runtime *rt, const struct zl_s3_request *q, struct zl_error *err)
{
        struct transfer t = { .rt = rt,
                              .q = q,
                              .fd = -EBADF,
                              .deadline = zl_now_monotonic() + q->timeout,
                              .answer = ZL_BUF_INIT(ANSWER_MAX) };
        int r = zl_curl_load(&t.lib, err);

        if (r >= 0 && find_keys(&t.keys) < 0)
                r = zl_fail_oom(err);
        if (r >= 0)
                r = t.fd = new_file(err);
        if (r >= 0)
                r = q->push ? push(&t, err) : pull(&t, err);
        zl_close(t.fd);
        zl_buf_done(&t.answer);
        keys_done(&t.keys);
        return r < 0 ? r : 0;
}
