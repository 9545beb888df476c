/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registry client (see registry.h). Authentication follows the challenges: nothing is sent before the registry asks, then Basic, or
 * a token fetched from where the challenge says. The answer is kept for all threads of the pull; when a token
 * expires in mid-pull the next 401 fetches another.
 *
 * What may go wrong: a hostile registry names a token server of its choice. Credentials go there only over HTTPS unless
 * the registry itself is on plain HTTP, which is the same trust that Docker gives.
 */
#include "image/registry.h"

#include <pthread.h>
#include <stdio.h>

#include "base/json.h"
#include "base/log.h"
#include "base/strv.h"
#include "image/auth.h"
#include "image/store.h"

enum {
        TRIES_MAX = 4,       /* of a request that fails without progress */
        BLOB_TRIES_MAX = 50, /* of a blob in all, however much each brings */
        TOKEN_MAX = 1 << 20,
        URLS_MAX = 5,
};

struct zl_registry {
        char *name; /* as in the reference, for messages and credentials */
        char *base; /* "https://host:port" */
        char *repository;
        char *scope; /* what a token is asked for, where the registry does not say */
        bool loopback, plain;
        struct zl_credentials credentials;
        pthread_mutex_t lock;
        char *authorization; /* the header that worked last, or NULL; under `lock` */
        unsigned generation; /* counts its changes */
};

static char *const manifest_types[] = {
        (char *)ZL_MEDIA_OCI_INDEX,
        (char *)ZL_MEDIA_OCI_MANIFEST,
        (char *)ZL_MEDIA_DOCKER_LIST,
        (char *)ZL_MEDIA_DOCKER_MANIFEST,
        NULL,
};

void zl_manifest_text_done(struct zl_manifest_text *m)
{
        free(m->text);
        free(m->media_type);
        free(m->digest);
        *m = (struct zl_manifest_text){ 0 };
}

/* Docker Hub has its search elsewhere than its images. */
static const char *search_host(const struct zl_reference *ref)
{
        return zl_streq(ref->registry, "docker.io") ? "index.docker.io" : zl_reference_host(ref);
}

int zl_registry_open(const struct zl_reference *ref, const struct zl_registry_options *options,
                     struct zl_registry **ret, struct zl_error *err)
{
        _cleanup_(zl_registry_closep) struct zl_registry *reg = calloc(1, sizeof *reg);
        int r = 0;

        if (!reg)
                return zl_fail_oom(err);
        pthread_mutex_init(&reg->lock, NULL);
        reg->loopback = zl_registry_is_loopback(ref->registry);
        reg->plain = reg->loopback || options->plain_http;
        reg->name = strdup(ref->registry);
        reg->repository = strdup(ref->repository);
        if (asprintf(&reg->base, "%s://%s", reg->plain ? "http" : "https",
                     options->all_of_it ? search_host(ref) : zl_reference_host(ref)) < 0)
                reg->base = NULL;
        if (options->all_of_it)
                reg->scope = strdup("registry:catalog:*");
        else if (asprintf(&reg->scope, "repository:%s:pull", ref->repository) < 0)
                reg->scope = NULL;
        if (!reg->name || !reg->repository || !reg->base || !reg->scope)
                return zl_fail_oom(err);
        if (options->username && *options->username) {
                if (zl_replace_str(&reg->credentials.username, options->username) < 0 ||
                    zl_replace_str(&reg->credentials.password,
                                   options->password ? options->password : "") < 0)
                        r = zl_fail_oom(err);
        } else {
                r = zl_credentials_load(reg->name, &reg->credentials, err);
        }
        if (r >= 0)
                *ret = zl_take_ptr(reg);
        return r;
}

void zl_registry_close(struct zl_registry *reg)
{
        if (!reg)
                return;
        pthread_mutex_destroy(&reg->lock);
        zl_credentials_done(&reg->credentials);
        free(reg->authorization);
        free(reg->name);
        free(reg->base);
        free(reg->repository);
        free(reg->scope);
        free(reg);
}

/* ---- authentication ---------------------------------------------------------------------------------------- */

static char *current_authorization(struct zl_registry *reg, unsigned *ret_generation)
{
        char *copy;

        pthread_mutex_lock(&reg->lock);
        copy = reg->authorization ? strdup(reg->authorization) : NULL;
        *ret_generation = reg->generation;
        pthread_mutex_unlock(&reg->lock);
        return copy;
}

/* Called with the lock held. */
static void set_authorization(struct zl_registry *reg, char *value)
{
        free(reg->authorization);
        reg->authorization = value;
        reg->generation++;
}

static int token_url(struct zl_registry *reg, const struct zl_challenge *c, char **ret,
                     struct zl_error *err)
{
        _cleanup_free_ char *service = NULL, *escaped_scope = NULL;
        int n;

        service = zl_http_escape(c->service ? c->service : "");
        escaped_scope = zl_http_escape(c->scope && *c->scope ? c->scope : reg->scope);
        n = service && escaped_scope
                    ? asprintf(ret, "%s%cservice=%s&scope=%s", c->realm,
                               strchr(c->realm, '?') ? '&' : '?', service, escaped_scope)
                    : -1;
        return n < 0 ? (*ret = NULL, zl_fail_oom(err)) : 0;
}

static int take_token(struct zl_registry *reg, const struct zl_http_response *answer,
                      struct zl_error *err)
{
        _cleanup_json_ json_t *json = NULL;
        const char *token;
        char *header;
        int r = zl_json_parse(answer->body.data ? answer->body.data : "", answer->body.len,
                              "the answer of the token server", &json, err);

        if (r < 0) {
                zl_error_recode(err, ZL_E_PROTOCOL);
                return r;
        }
        token = zl_json_str(json, "token", zl_json_str(json, "access_token", NULL));
        if (!token || strpbrk(token, "\r\n"))
                return zl_fail(err, ZL_E_PROTOCOL, 0, "the token server of %s sent no token",
                               reg->name);
        if (asprintf(&header, "Bearer %s", token) < 0)
                return zl_fail_oom(err);
        set_authorization(reg, header);
        return 0;
}

static int fetch_token(struct zl_registry *reg, struct zl_http *http, const struct zl_challenge *c,
                       struct zl_error *err)
{
        _cleanup_free_ char *url = NULL, *basic = NULL;
        _cleanup_http_response_ struct zl_http_response answer = { 0 };
        struct zl_http_request q = { .loopback = reg->loopback, .body_max = TOKEN_MAX };
        int r;

        if (!zl_startswith(c->realm, "https://") &&
            !(reg->plain && zl_startswith(c->realm, "http://")))
                return zl_fail(err, ZL_E_PROTOCOL, 0,
                               "registry %s sends us for a token to %.200s, which is not HTTPS",
                               reg->name, c->realm);
        r = token_url(reg, c, &url, err);
        if (r < 0)
                return r;
        if (reg->credentials.username) {
                basic = zl_credentials_basic(&reg->credentials);
                if (!basic)
                        return zl_fail_oom(err);
        }
        q.url = url;
        q.authorization = basic;
        for (int attempt = 1;; attempt++) {
                zl_http_response_done(&answer);
                r = zl_http_do(http, &q, &answer, err);
                if (r < 0 ? !answer.transient : !zl_http_status_is_transient(answer.status))
                        break;
                if (attempt == TRIES_MAX || !zl_http_wait(http, attempt, answer.retry_after))
                        break;
        }
        if (r < 0)
                return r;
        if (answer.status == 401 || answer.status == 403)
                return zl_fail(err, ZL_E_UNAUTHORIZED, 0, "the token server of %s refuses %s",
                               reg->name,
                               basic ? "our user name and password" : "anonymous access");
        if (answer.status != 200)
                return zl_fail(err, ZL_E_PROTOCOL, 0, "the token server of %s answered %ld",
                               reg->name, answer.status);
        return take_token(reg, &answer, err);
}

/* Answers a 401. Success means that the request is worth repeating. */
static int authenticate(struct zl_registry *reg, struct zl_http *http,
                        const struct zl_http_response *refusal, unsigned generation,
                        struct zl_error *err)
{
        int r = -EACCES;

        pthread_mutex_lock(&reg->lock);
        if (reg->generation != generation) { /* another thread has answered meanwhile */
                pthread_mutex_unlock(&reg->lock);
                return 0;
        }
        ZL_STRV_FOREACH(text, refusal->www_authenticate) {
                _cleanup_challenge_ struct zl_challenge c = { 0 };

                if (zl_challenge_parse(*text, &c) < 0)
                        continue;
                if (c.bearer) {
                        r = fetch_token(reg, http, &c, err);
                        break;
                }
                if (c.basic && reg->credentials.username) {
                        char *basic = zl_credentials_basic(&reg->credentials);

                        r = basic ? 0 : zl_fail_oom(err);
                        if (basic)
                                set_authorization(reg, basic);
                        break;
                }
        }
        pthread_mutex_unlock(&reg->lock);
        if (r == -EACCES && !zl_error_is_set(err)) {
                zl_fail(err, ZL_E_UNAUTHORIZED, 0, "registry %s wants a user name and password",
                        reg->name);
                zl_error_hint(err,
                              "log in with `docker login %s`, or give --username and --password",
                              reg->name);
        }
        return r;
}

/* ---- requests ---------------------------------------------------------------------------------------------- */

/* What the registry says about a failure: "CODE: message", or "". */
static void describe(const struct zl_http_response *answer, char *buf, size_t size)
{
        _cleanup_json_ json_t *json = NULL;
        const json_t *first;

        buf[0] = 0;
        if (!answer->body.len ||
            zl_json_parse(answer->body.data, answer->body.len, "answer", &json, NULL) < 0)
                return;
        first = json_array_get(json_object_get(json, "errors"), 0);
        if (first)
                snprintf(buf, size, " (%.60s: %.200s)", zl_json_str(first, "code", ""),
                         zl_json_str(first, "message", ""));
}

static int fail_status(struct zl_registry *reg, const char *what,
                       const struct zl_http_response *answer, struct zl_error *err)
{
        char said[300];
        int r;

        describe(answer, said, sizeof said);
        if (answer->status == 404)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "registry %s has no %s of %s%s", reg->name,
                               what, reg->repository, said);
        if (answer->status == 401 || answer->status == 403) {
                r = zl_fail(err, ZL_E_UNAUTHORIZED, 0, "registry %s refuses access to %s%s",
                            reg->name, reg->repository, said);
                zl_error_hint(err, "it may not exist, or needs other credentials");
                return r;
        }
        return zl_fail(
                err, answer->status >= 500 || answer->status == 429 ? ZL_E_NETWORK : ZL_E_PROTOCOL,
                0, "registry %s answered %ld for %s of %s%s", reg->name, answer->status, what,
                reg->repository, said);
}

/* One request with authentication, without retries of other kinds. */
static int request_once(struct zl_registry *reg, struct zl_http *http, struct zl_http_request *q,
                        struct zl_http_response *answer, struct zl_error *err)
{
        for (int round = 0;; round++) {
                _cleanup_free_ char *authorization = NULL;
                unsigned generation;
                int r;

                authorization = current_authorization(reg, &generation);
                q->authorization = authorization;
                q->loopback = reg->loopback;
                zl_http_response_done(answer);
                r = zl_http_do(http, q, answer, err);
                q->authorization = NULL;
                if (r < 0 || answer->status != 401 || round == 2)
                        return r;
                r = authenticate(reg, http, answer, generation, err);
                if (r < 0)
                        return r;
        }
}

/* The same with retries. */
static int request_any(struct zl_registry *reg, struct zl_http *http, struct zl_http_request *q,
                       struct zl_http_response *answer, struct zl_error *err)
{
        for (int attempt = 1;; attempt++) {
                int r = request_once(reg, http, q, answer, err);
                bool again = r < 0 ? answer->transient
                                   : zl_http_status_is_transient(answer->status);

                if (again && attempt < TRIES_MAX &&
                    zl_http_wait(http, attempt, answer->retry_after))
                        continue;
                return r;
        }
}

/* zl-size: the state of one request, passed on unchanged */
static int request(struct zl_registry *reg, struct zl_http *http, struct zl_http_request *q,
                   const char *what, struct zl_http_response *answer, struct zl_error *err)
{
        int r = request_any(reg, http, q, answer, err);

        return r < 0 || answer->status == 200 ? r : fail_status(reg, what, answer, err);
}

/* zl-size: registry, connection, question, bound, answer, error */
int zl_registry_get(struct zl_registry *reg, struct zl_http *http, const char *path, size_t max,
                    struct zl_http_response *ret, struct zl_error *err)
{
        struct zl_http_request q = { .body_max = max };
        _cleanup_free_ char *url = NULL;

        if (asprintf(&url, "%s%s", reg->base, path) < 0) {
                url = NULL;
                return zl_fail_oom(err);
        }
        q.url = url;
        return request_any(reg, http, &q, ret, err);
}

int zl_registry_refusal(struct zl_registry *reg, const char *what,
                        const struct zl_http_response *answer, struct zl_error *err)
{
        enum zl_code code = answer->status == 404 || answer->status == 405   ? ZL_E_UNSUPPORTED
                            : answer->status >= 500 || answer->status == 429 ? ZL_E_NETWORK
                                                                             : ZL_E_PROTOCOL;
        char said[300];
        int r;

        describe(answer, said, sizeof said);
        if (answer->status != 401 && answer->status != 403)
                return zl_fail(err, code, 0, "registry %s answered %ld for its %s%s", reg->name,
                               answer->status, what, said);
        r = zl_fail(err, ZL_E_UNAUTHORIZED, 0, "registry %s refuses access to its %s%s", reg->name,
                    what, said);
        zl_error_hint(err, "it may let nobody have that, or needs other credentials");
        return r;
}

static char *make_url(struct zl_registry *reg, const char *kind, const char *name)
{
        /* Tags may hold letters beyond ASCII; the colon of a digest stays as everybody writes it. */
        _cleanup_free_ char *escaped = strchr(name, ':') ? NULL : zl_http_escape(name);
        char *url;

        if (asprintf(&url, "%s/v2/%s/%s/%s", reg->base, reg->repository, kind,
                     escaped ? escaped : name) < 0)
                url = NULL;
        return url;
}

/* zl-size: registry, connection, question, bound, answer, error */
int zl_registry_manifest(struct zl_registry *reg, struct zl_http *http, const char *tag_or_digest,
                         size_t max, struct zl_manifest_text *ret, struct zl_error *err)
{
        _cleanup_http_response_ struct zl_http_response answer = { 0 };
        _cleanup_free_ char *url = make_url(reg, "manifests", tag_or_digest);
        struct zl_http_request q = { .url = url, .accept = manifest_types, .body_max = max };
        _cleanup_(zl_hash_freep) struct zl_hash *hash = NULL;
        enum zl_hash_kind kind = ZL_SHA256;
        char digest[ZL_DIGEST_TEXT_MAX];
        bool by_digest = zl_digest_check(tag_or_digest, &kind) == 0;
        int r;

        if (!url)
                return zl_fail_oom(err);
        r = request(reg, http, &q, tag_or_digest, &answer, err);
        if (r < 0)
                return r;
        hash = zl_hash_new(kind);
        ret->media_type = zl_take_ptr(answer.content_type);
        ret->len = answer.body.len;
        ret->text = zl_buf_take(&answer.body);
        if (!hash || !ret->text)
                return zl_fail_oom(err);
        zl_hash_update(hash, ret->text, ret->len);
        ret->digest = strdup(zl_hash_finish(hash, digest));
        if (!ret->digest)
                return zl_fail_oom(err);
        if (by_digest && !zl_streq(ret->digest, tag_or_digest))
                return zl_fail(err, ZL_E_CORRUPT, 0,
                               "registry %s sent another manifest than %s: its digest is %s",
                               reg->name, tag_or_digest, ret->digest);
        return 0;
}

int zl_registry_digest(struct zl_registry *reg, struct zl_http *http, const char *tag,
                       char **ret_digest, struct zl_error *err)
{
        _cleanup_http_response_ struct zl_http_response answer = { 0 };
        _cleanup_manifest_text_ struct zl_manifest_text manifest = { 0 };
        _cleanup_free_ char *url = make_url(reg, "manifests", tag);
        struct zl_http_request q = { .url = url, .accept = manifest_types, .head = true };
        int r;

        if (!url)
                return zl_fail_oom(err);
        r = request(reg, http, &q, tag, &answer, err);
        if (r < 0)
                return r;
        if (answer.content_digest && zl_digest_check(answer.content_digest, NULL) == 0) {
                *ret_digest = zl_take_ptr(answer.content_digest);
                return 0;
        }
        /* Old registries do not tell: then the manifest itself does. */
        r = zl_registry_manifest(reg, http, tag, zl_image_limits_default.manifest_bytes, &manifest,
                                 err);
        if (r >= 0)
                *ret_digest = zl_take_ptr(manifest.digest);
        return r;
}

/* ---- blobs ---------------------------------------------------------------------------------------------------- */

/* Counts what went through, so that a broken transfer can go on where it stopped. */
struct counted {
        struct zl_http *http;
        const struct zl_descriptor *blob;
        zl_http_sink sink;
        void *ctx;
        uint64_t position;
        bool foreign; /* the place is not our registry: no credentials */
};

static int count(void *ctx, const void *data, size_t len, struct zl_error *err)
{
        struct counted *c = ctx;
        int r = c->sink(c->ctx, data, len, err);

        if (r >= 0)
                c->position += len;
        return r;
}

/* The blob from one place, until it is complete or trying again is of no use. */
/* zl-size: everything belongs to the caller; the loop is apart only so that it can be read */
static int blob_from(struct zl_registry *reg, const char *url, struct counted *c,
                     struct zl_http_response *answer, struct zl_error *err)
{
        const struct zl_descriptor *blob = c->blob;
        struct zl_http *http = c->http;
        int attempt = 1;

        for (int round = 0; round < BLOB_TRIES_MAX; round++) {
                struct zl_http_request q = {
                        .url = url, .sink = count, .sink_ctx = c, .offset = c->position
                };
                uint64_t before = c->position;
                bool again;
                int r;

                zl_http_response_done(answer);
                r = c->foreign ? zl_http_do(http, &q, answer, err)
                               : request_once(reg, http, &q, answer, err);
                /* A server that closes early without an error has cut the connection, too. */
                if (r >= 0 && (answer->status == 200 || answer->status == 206) &&
                    c->position >= blob->size)
                        return 0;
                again = r < 0 ? answer->transient
                              : zl_http_status_is_transient(answer->status) ||
                                        answer->status == 200 || answer->status == 206;
                attempt = c->position > before ? 1 : attempt + 1;
                if (!again || attempt > TRIES_MAX)
                        return r < 0 ? r : -ENODATA;
                if (r < 0 && err) {
                        zl_debug("blob %s: %s; going on at byte %llu", blob->digest,
                                 zl_error_message(err), (unsigned long long)c->position);
                        zl_error_done(err);
                }
                if (!zl_http_wait(http, attempt, answer->retry_after))
                        return zl_fail(err, ZL_E_CANCELLED, 0, "cancelled");
        }
        return -ENODATA;
}

/* zl-size: registry, connection, blob, sink with context, error */
int zl_registry_blob(struct zl_registry *reg, struct zl_http *http,
                     const struct zl_descriptor *blob, zl_http_sink sink, void *ctx,
                     struct zl_error *err)
{
        _cleanup_free_ char *url = make_url(reg, "blobs", blob->digest);
        _cleanup_http_response_ struct zl_http_response answer = { 0 };
        struct counted c = { .http = http, .blob = blob, .sink = sink, .ctx = ctx };
        int r, n = 0;

        if (!url)
                return zl_fail_oom(err);
        r = blob_from(reg, url, &c, &answer, err);
        /* Layers that the publisher does not let registries store name other places. */
        for (char *const *u = blob->urls;
             u && *u && r == -ENODATA && answer.status == 404 && n < URLS_MAX; u++, n++) {
                c.foreign = true;
                r = blob_from(reg, *u, &c, &answer, err);
        }
        if (r == -ENODATA && (answer.status == 200 || answer.status == 206))
                return zl_fail(err, ZL_E_NETWORK, 0,
                               "registry %s sent only %llu of the %llu bytes of %s", reg->name,
                               (unsigned long long)c.position, (unsigned long long)blob->size,
                               blob->digest);
        if (r == -ENODATA)
                return fail_status(reg, blob->digest, &answer, err);
        return r;
}

static int gather(void *ctx, const void *data, size_t len, struct zl_error *err)
{
        struct zl_buf *buf = ctx;

        if (zl_buf_put(buf, data, len) == 0)
                return 0;
        return zl_buf_error(buf) == -E2BIG
                       ? zl_fail(err, ZL_E_CORRUPT, 0, "it is larger than its manifest says")
                       : zl_fail_oom(err);
}

/* zl-size: registry, connection, blob, bound, answer, error */
int zl_registry_small_blob(struct zl_registry *reg, struct zl_http *http,
                           const struct zl_descriptor *blob, size_t max, char **ret,
                           struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf buf = ZL_BUF_INIT(blob->size);
        int r;

        if (blob->size > max)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "%s: a document of %llu bytes is beyond the limit of %zu",
                               blob->digest, (unsigned long long)blob->size, max);
        r = zl_registry_blob(reg, http, blob, gather, &buf, err);
        if (r < 0) {
                zl_error_prefix(err, "%s", blob->digest);
                return r;
        }
        if (buf.len != blob->size ||
            !zl_digest_matches(blob->digest, buf.data ? buf.data : "", buf.len))
                return zl_fail(err, ZL_E_CORRUPT, 0,
                               "registry %s: %s does not match its digest or size", reg->name,
                               blob->digest);
        *ret = zl_buf_take(&buf);
        return *ret ? 0 : zl_fail_oom(err);
}
