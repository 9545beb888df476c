/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP by libcurl's easy interface (see http.h). One blocking transfer per thread keeps the way of the data simple: what
 * arrives is hashed and unpacked right in the write callback, and TCP holds the sender back meanwhile.
 *
 * What may go wrong: a peer that stops sending is given up after LOW_SPEED_SEC; a peer that redirects to plain HTTP from HTTPS is
 * not followed; credentials stay with the host they were meant for (libcurl drops the header on redirects elsewhere).
 */
#include "image/http.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/random.h"
#include "base/strv.h"
#include "image/curl.h"

enum {
        CONNECT_SEC = 30,
        LOW_SPEED_SEC = 60,
        REDIRECTS_MAX = 10,
        RECEIVE_BUFFER = 256 * 1024,
        ERROR_BODY_MAX = 64 * 1024,
        RETRY_AFTER_MAX_SEC = 30,
};

struct zl_http {
        const struct zl_curl *lib;
        CURL *curl;
        zl_http_stop stop;
        void *ctx;
        int64_t deadline;
};

/* One exchange as the callbacks see it. */
struct exchange {
        struct zl_http *http;
        const struct zl_http_request *request;
        struct zl_http_response *response;
        struct zl_error *err;
        int sink_result;
        bool too_large;
        bool began;    /* content has come */
        uint64_t skip; /* bytes that we have already */
        char range[32];
};

int zl_http_new(zl_http_stop stop, void *ctx, struct zl_http **ret, struct zl_error *err)
{
        const struct zl_curl *lib;
        struct zl_http *http;
        int r = zl_curl_load(&lib, err);

        if (r < 0)
                return r;
        http = calloc(1, sizeof *http);
        if (!http)
                return zl_fail_oom(err);
        *http = (struct zl_http){ .lib = lib, .curl = lib->easy_init(), .stop = stop, .ctx = ctx };
        if (!http->curl) {
                free(http);
                return zl_fail_oom(err);
        }
        *ret = http;
        return 0;
}

void zl_http_set_deadline(struct zl_http *http, int64_t deadline)
{
        http->deadline = deadline;
}

static int64_t msec_left(const struct zl_http *http)
{
        return (http->deadline - zl_now_monotonic()) / ZL_NSEC_PER_MSEC;
}

void zl_http_free(struct zl_http *http)
{
        if (!http)
                return;
        http->lib->easy_cleanup(http->curl);
        free(http);
}

void zl_http_response_done(struct zl_http_response *r)
{
        free(r->content_type);
        free(r->content_digest);
        free(r->retry_after);
        free(r->link);
        zl_strv_free(r->www_authenticate);
        zl_buf_done(&r->body);
        *r = (struct zl_http_response){ 0 };
}

static size_t on_header(char *line, size_t size, size_t n, void *data)
{
        struct exchange *x = data;
        struct zl_http_response *r = x->response;
        size_t len = size * n;
        _cleanup_free_ char *text = strndup(line, len);
        char *value;

        if (!text)
                return 0;
        if (zl_startswith(text, "HTTP/")) { /* another answer begins: after a redirect or 100 */
                bool transient = r->transient;

                zl_http_response_done(r);
                r->transient = transient;
                r->body = ZL_BUF_INIT(ZL_MAX(x->request->body_max, (size_t)ERROR_BODY_MAX));
                return len;
        }
        value = strchr(text, ':');
        if (!value)
                return len;
        *value++ = 0;
        value += strspn(value, " \t");
        value[strcspn(value, "\r\n")] = 0;
        if (strcasecmp(text, "content-type") == 0)
                return value[strcspn(value, "; ")] = 0, zl_replace_str(&r->content_type, value),
                                            len;
        if (strcasecmp(text, "docker-content-digest") == 0)
                return zl_replace_str(&r->content_digest, value), len;
        if (strcasecmp(text, "retry-after") == 0)
                return zl_replace_str(&r->retry_after, value), len;
        if (strcasecmp(text, "link") == 0)
                return zl_replace_str(&r->link, value), len;
        if (strcasecmp(text, "www-authenticate") == 0)
                return zl_strv_push(&r->www_authenticate, value), len;
        if (strcasecmp(text, "content-range") == 0) {
                unsigned long long start;

                if (sscanf(value, "bytes %20llu-", &start) == 1)
                        r->range_start = start;
        }
        return len;
}

static size_t give_to_sink(struct exchange *x, const char *data, size_t len)
{
        const struct zl_http_response *r = x->response;
        uint64_t begin = r->status == 206 ? r->range_start : 0;
        size_t skip;

        if (!x->began) {
                x->began = true;
                if (begin > x->request->offset) {
                        x->sink_result = zl_fail(x->err, ZL_E_PROTOCOL, 0,
                                                 "%s: the server sent another range than asked for",
                                                 x->request->url);
                        return 0;
                }
                x->skip = x->request->offset - begin;
        }
        skip = (size_t)ZL_MIN(x->skip, (uint64_t)len);
        x->skip -= skip;
        if (skip < len)
                x->sink_result = x->request->sink(x->request->sink_ctx, data + skip, len - skip,
                                                  x->err);
        return x->sink_result < 0 ? 0 : len;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
        struct exchange *x = ctx;
        struct zl_http_response *r = x->response;
        size_t len = size * n;
        bool success;

        x->http->lib->easy_getinfo(x->http->curl, CURLINFO_RESPONSE_CODE, &r->status);
        success = r->status == 200 || r->status == 206;
        if (success && x->request->sink)
                return give_to_sink(x, data, len);
        if (!success) { /* an error page: keep the beginning */
                if (r->body.len < ERROR_BODY_MAX)
                        zl_buf_put(&r->body, data, ZL_MIN(len, ERROR_BODY_MAX - r->body.len));
                return len;
        }
        if (len > x->request->body_max - ZL_MIN(r->body.len, x->request->body_max)) {
                x->too_large = true;
                return 0;
        }
        return zl_buf_put(&r->body, data, len) < 0 ? 0 : len;
}

static int on_progress(void *ctx, curl_off_t dt _unused_, curl_off_t dn _unused_,
                       curl_off_t ut _unused_, curl_off_t un _unused_)
{
        struct exchange *x = ctx;

        return x->http->stop && x->http->stop(x->http->ctx);
}

static void add_header(const struct zl_curl *lib, struct curl_slist **list, const char *name,
                       const char *value, bool *failed)
{
        _cleanup_free_ char *line = NULL;
        struct curl_slist *more = NULL;

        if (asprintf(&line, "%s: %s", name, value) >= 0)
                more = lib->slist_append(*list, line);
        else
                line = NULL;
        if (more)
                *list = more;
        else
                *failed = true;
}

static int set_headers(const struct zl_curl *lib, const struct zl_http_request *q,
                       struct curl_slist **ret)
{
        struct curl_slist *list = NULL;
        bool failed = false;

        ZL_STRV_FOREACH(type, q->accept)
                add_header(lib, &list, "Accept", *type, &failed);
        if (q->authorization)
                add_header(lib, &list, "Authorization", q->authorization, &failed);
        *ret = list;
        return failed ? -ENOMEM : 0;
}

static void set_options(struct exchange *x, struct curl_slist *headers)
{
        const struct zl_http_request *q = x->request;
        const struct zl_curl *lib = x->http->lib;
        CURL *c = x->http->curl;

        lib->easy_reset(c); /* keeps connections */
        lib->easy_setopt(c, CURLOPT_URL, q->url);
        lib->easy_setopt(c, CURLOPT_HTTPHEADER, headers);
        lib->easy_setopt(c, CURLOPT_USERAGENT, "zlayer-agent/" ZL_VERSION);
        lib->easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
        lib->easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
        lib->easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR,
                         zl_startswith(q->url, "https:") ? "https" : "http,https");
        lib->easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
        lib->easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
        lib->easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SEC);
        lib->easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
        lib->easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)LOW_SPEED_SEC);
        lib->easy_setopt(c, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
        lib->easy_setopt(c, CURLOPT_NOBODY, q->head ? 1L : 0L);
        lib->easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
        lib->easy_setopt(c, CURLOPT_HEADERDATA, x);
        lib->easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
        lib->easy_setopt(c, CURLOPT_WRITEDATA, x);
        lib->easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
        lib->easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
        lib->easy_setopt(c, CURLOPT_XFERINFODATA, x);
        if (x->http->deadline)
                lib->easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)ZL_MAX(msec_left(x->http), 1));
        if (q->loopback)
                lib->easy_setopt(c, CURLOPT_PROXY, "");
        /* Not CURLOPT_RESUME_FROM: that fails when a server ignores the range, we then skip what we have. */
        if (q->offset &&
            snprintf(x->range, sizeof x->range, "%llu-", (unsigned long long)q->offset) > 0)
                lib->easy_setopt(c, CURLOPT_RANGE, x->range);
}

/* What a failed transfer means. */
static int explain(struct exchange *x, CURLcode code, const char *detail, struct zl_error *err)
{
        struct zl_http_response *r = x->response;
        const char *why = *detail ? detail : x->http->lib->easy_strerror(code);

        if (x->sink_result < 0)
                return x->sink_result;
        switch (code) {
        case CURLE_ABORTED_BY_CALLBACK:
                return zl_fail(err, ZL_E_CANCELLED, 0, "cancelled");
        case CURLE_WRITE_ERROR:
                if (x->too_large)
                        return zl_fail(err, ZL_E_PROTOCOL, 0,
                                       "%s: the answer is larger than %zu bytes", x->request->url,
                                       x->request->body_max);
                return zl_fail_oom(err);
        case CURLE_OUT_OF_MEMORY:
                return zl_fail_oom(err);
        case CURLE_OPERATION_TIMEDOUT:
                r->transient = true;
                return zl_fail(err, ZL_E_TIMEOUT, 0, "%s: %s", x->request->url, why);
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
        case CURLE_COULDNT_CONNECT:
        case CURLE_PARTIAL_FILE:
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR:
        case CURLE_GOT_NOTHING:
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_HTTP2:
        case CURLE_HTTP2_STREAM:
                r->transient = true;
                _fallthrough_;
        default:
                return zl_fail(err, ZL_E_NETWORK, 0, "%s: %s", x->request->url, why);
        }
}

int zl_http_do(struct zl_http *http, const struct zl_http_request *request,
               struct zl_http_response *ret, struct zl_error *err)
{
        struct exchange x = { .http = http, .request = request, .response = ret, .err = err };
        const struct zl_curl *lib = http->lib;
        struct curl_slist *headers = NULL;
        char detail[CURL_ERROR_SIZE] = "";
        CURLcode code;
        int r;

        r = set_headers(lib, request, &headers);
        if (r < 0) {
                lib->slist_free_all(headers);
                return zl_fail_oom(err);
        }
        ret->body = ZL_BUF_INIT(ZL_MAX(request->body_max, (size_t)ERROR_BODY_MAX));
        set_options(&x, headers);
        lib->easy_setopt(http->curl, CURLOPT_ERRORBUFFER, detail);
        code = lib->easy_perform(http->curl);
        lib->easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &ret->status);
        lib->easy_setopt(http->curl, CURLOPT_ERRORBUFFER, NULL);
        lib->slist_free_all(headers);
        return code == CURLE_OK ? 0 : explain(&x, code, detail, err);
}

bool zl_http_status_is_transient(long status)
{
        return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
               status == 504;
}

bool zl_http_wait(struct zl_http *http, int attempt, const char *retry_after)
{
        int64_t msec = 250 << ZL_MIN(attempt - 1, 5);
        uint64_t sec;

        msec += (int64_t)(zl_random_u64() % (uint64_t)(msec / 4));
        if (retry_after && zl_parse_u64(retry_after, 10, &sec) == 0)
                msec = ZL_MAX(msec, (int64_t)ZL_MIN(sec, (uint64_t)RETRY_AFTER_MAX_SEC) * 1000);
        if (http->deadline && msec >= msec_left(http))
                return false;
        for (; msec > 0; msec -= 50) {
                if (http->stop && http->stop(http->ctx))
                        return false;
                nanosleep(&(struct timespec){ 0, ZL_MIN(msec, (int64_t)50) * 1000000 }, NULL);
        }
        return true;
}

char *zl_http_escape(const char *text)
{
        static const char plain[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
        char *ret = malloc(strlen(text) * 3 + 1), *p = ret;

        if (!ret)
                return NULL;
        for (; *text; text++)
                if (strchr(plain, *text))
                        *p++ = *text;
                else
                        p += sprintf(p, "%%%02X", (unsigned char)*text);
        *p = 0;
        return ret;
}
