/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images of the Docker Engine. A pull's answer is a stream of messages under status 200, in which a failure is just one more
 * message; both this and a refusal before the stream are errors here. Credentials are those of the caller or of Docker's
 * configuration file, as everywhere in this house.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/strv.h"
#include "image/auth.h"
#include "oci/reference.h"
#include "runtimes/docker.h"
#include "runtimes/status.h"

#define PULL_IDLE (300 * ZL_NSEC_PER_SEC)
/* What is here need not wait longer for the registry's word on it. */
#define QUESTION_SPAN (10 * ZL_NSEC_PER_SEC)
#define CANCEL_STEP (200 * ZL_NSEC_PER_MSEC)

/* ---- credentials ------------------------------------------------------------------------------------- */

/* X-Registry-Auth: base64 of the URL-safe kind. NULL in `*ret` for nobody. */
static int make_auth(const struct zl_reference *ref, const struct zl_pull_options *o, char **ret,
                     struct zl_error *err)
{
        _cleanup_credentials_ struct zl_credentials c = { 0 };
        const char *server = zl_streq(ref->registry, "docker.io") ? "https://index.docker.io/v1/"
                                                                  : ref->registry;
        _cleanup_json_ json_t *json = NULL;
        _cleanup_free_ char *text = NULL;
        const char *user = o->username, *password = o->password;
        int r = user ? 0 : zl_credentials_load(ref->registry, &c, err);

        if (r < 0)
                return r;
        if (!user) {
                user = c.username;
                password = c.password;
        }
        *ret = NULL;
        if (!user)
                return 0;
        json = json_pack("{s:s, s:s, s:s}", "username", user, "password", password ? password : "",
                         "serveraddress", server);
        text = json ? zl_json_dump(json, 0) : NULL;
        *ret = text ? zl_base64_encode(text, strlen(text)) : NULL;
        if (!*ret)
                return zl_fail_oom(err);
        for (char *p = *ret; *p; p++)
                *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
        return 0;
}

/* ---- messages ---------------------------------------------------------------------------------------- */

static enum zl_code pull_code(const char *text)
{
        static const struct {
                const char *text;
                enum zl_code code;
        } known[] = { { "unauthorized", ZL_E_UNAUTHORIZED },
                      { "authentication required", ZL_E_UNAUTHORIZED },
                      { "no basic auth", ZL_E_UNAUTHORIZED },
                      { "access denied", ZL_E_UNAUTHORIZED },
                      { "access to the resource is denied", ZL_E_UNAUTHORIZED },
                      { "manifest unknown", ZL_E_NOT_FOUND },
                      { "not found", ZL_E_NOT_FOUND },
                      { "connection refused", ZL_E_NETWORK },
                      { "no such host", ZL_E_NETWORK },
                      { "i/o timeout", ZL_E_NETWORK },
                      { "no space left", ZL_E_NO_SPACE } };

        for (size_t i = 0; text && i < ZL_ARRAY_SIZE(known); i++)
                if (strcasestr(text, known[i].text))
                        return known[i].code;
        return ZL_E_PULL;
}

static int tell(const json_t *message, const struct zl_pull_options *o, struct zl_error *err)
{
        const json_t *detail = json_object_get(message, "progressDetail");
        const char *fault = zl_json_str(json_object_get(message, "errorDetail"), "message",
                                        zl_json_str(message, "error", NULL));
        struct zl_pull_progress p = {
                .id = zl_json_str(message, "id", NULL),
                .status = zl_json_str(message, "status", NULL),
                .current = (uint64_t)ZL_MAX(zl_json_int(detail, "current", 0), INT64_C(0)),
                .total = (uint64_t)ZL_MAX(zl_json_int(detail, "total", 0), INT64_C(0)),
        };

        if (fault)
                return zl_fail(err, pull_code(fault), 0, "Docker: %s", fault);
        if (p.status && o->progress)
                o->progress(&p, o->progress_data);
        return 0;
}

/* Waits in short steps only if somebody may cancel. */
static int wait_message(struct zl_docker_conn *conn, const struct zl_pull_options *o,
                        int64_t deadline, struct zl_error *err)
{
        int r;

        do {
                int64_t step = zl_now_monotonic() + CANCEL_STEP;

                if (o->cancel && *(const volatile int *)o->cancel)
                        return zl_fail(err, ZL_E_CANCELLED, 0, "cancelled");
                r = zl_sleep_on(zl_docker_fd(conn), o->cancel && step < deadline ? step : deadline);
        } while (r == -ETIMEDOUT && zl_now_monotonic() < deadline);
        if (r == -ETIMEDOUT)
                return zl_fail(err, ZL_E_TIMEOUT, 0, "Docker reports no progress any more");
        return r < 0 ? zl_fail_errno(err, -r, "cannot wait for Docker") : 0;
}

/* The messages of a pull or a load to their end; `*ret_loaded` (may be NULL): the names or ids told. */
static int follow(struct zl_docker_conn *conn, const struct zl_pull_options *o, char ***ret_loaded,
                  struct zl_error *err)
{
        int64_t deadline = zl_now_monotonic() + PULL_IDLE;

        for (;;) {
                _cleanup_json_ json_t *message = NULL;
                const char *text;
                int r = zl_docker_next_json(conn, &message, err);

                if (r == -ENODATA)
                        return 0;
                if (r > 0) {
                        r = tell(message, o, err);
                        text = zl_json_str(message, "stream", zl_json_str(message, "status", ""));
                        if (r == 0 && ret_loaded && zl_strv_push(ret_loaded, text) < 0)
                                r = zl_fail_oom(err);
                        deadline = zl_now_monotonic() + PULL_IDLE;
                } else if (r == 0) {
                        r = wait_message(conn, o, deadline, err);
                }
                if (r < 0)
                        return r;
        }
}

/* ---- pulling ----------------------------------------------------------------------------------------- */

struct pull {
        struct docker *d;
        struct zl_reference ref;
        char *name; /* escaped for paths */
        char *auth;
        const struct zl_pull_options *o;
};

static void pull_done(struct pull *p)
{
        zl_reference_done(&p->ref);
        free(p->name);
        free(p->auth);
}

/* REPOSITORY as the engine writes it in RepoDigests: familiar for the Hub, else with the registry. */
static bool is_same_repository(const char *digest, const struct zl_reference *ref)
{
        _cleanup_reference_ struct zl_reference other = { 0 };

        return zl_reference_parse(digest, &other, NULL, NULL) == 0 &&
               zl_streq(other.registry, ref->registry) &&
               zl_streq(other.repository, ref->repository);
}

/* The manifest's digest of a local image for this repository, or NULL: it never was there. */
static const char *digest_of(const json_t *image, const struct zl_reference *ref)
{
        const json_t *list = json_object_get(image, "RepoDigests"), *one;
        size_t i;

        json_array_foreach(list, i, one)
        {
                const char *text = json_string_value(one), *at = text ? strchr(text, '@') : NULL;

                if (at && is_same_repository(text, ref))
                        return at + 1;
        }
        return NULL;
}

/* What the registry has now; NULL if it cannot be asked: then what is here is good enough. */
static char *remote_digest(struct pull *p)
{
        _cleanup_free_ char *path = docker_path(p->d, "/distribution/%s/json", p->name);
        const struct zl_docker_request q = {
                .method = "GET", .path = path, .auth = p->auth, .timeout = QUESTION_SPAN
        };
        _cleanup_json_ json_t *json = NULL;
        const char *digest = NULL;

        if (docker_call(p->d, &q, &json, NULL) >= 0)
                digest = zl_json_str(json_object_get(json, "Descriptor"), "digest", NULL);
        return digest ? strdup(digest) : NULL;
}

/* Is the image that is here what the policy wants? */
static bool is_good(struct pull *p, const json_t *image)
{
        const char *local = digest_of(image, &p->ref);
        _cleanup_free_ char *remote = NULL;

        if (p->o->policy == ZL_PULL_ALWAYS)
                return false;
        if (p->ref.digest || (p->o->policy != ZL_PULL_NEWER && !zl_reference_is_mutable(&p->ref)) ||
            p->o->policy == ZL_PULL_NEVER)
                return true;
        /* Loaded or built here: no registry knows better. */
        if (!local)
                return true;
        remote = remote_digest(p);
        return !remote || zl_streq(remote, local);
}

static int fetch(struct pull *p, struct zl_error *err)
{
        _cleanup_docker_conn_ struct zl_docker_conn *conn = NULL;
        _cleanup_free_ char *from = NULL, *escaped = NULL, *path = NULL;
        struct zl_docker_request q = { .method = "POST", .auth = p->auth, .timeout = PULL_IDLE };
        int r;

        if (asprintf(&from, "%s/%s", p->ref.registry, p->ref.repository) < 0 ||
            !(escaped = docker_escape(from)))
                return zl_fail_oom(err);
        q.path = path = docker_path(p->d, "/images/create?fromImage=%s&tag=%s", escaped,
                                    p->ref.digest ? p->ref.digest : p->ref.tag);
        r = docker_open(p->d, &q, &conn, err);
        if (r >= 0)
                r = follow(conn, p->o, NULL, err);
        else if (zl_error_is_set(err) && (err->code == ZL_E_IO || err->code == ZL_E_NOT_FOUND))
                zl_error_recode(err, pull_code(err->message));
        return r < 0 ? r : 0;
}

static int find_image(struct docker *d, const char *escaped, json_t **ret, struct zl_error *err)
{
        return docker_ask(d, "GET", docker_path(d, "/images/%s/json", escaped), ret, err);
}

static int ensure(struct pull *p, json_t **ret_image, struct zl_error *err)
{
        _cleanup_error_ struct zl_error own = ZL_ERROR_INIT;
        _cleanup_json_ json_t *image = NULL;
        bool kept;
        int r = find_image(p->d, p->name, &image, &own);

        if (r < 0 && own.code != ZL_E_NOT_FOUND) {
                zl_error_move(err, &own);
                return r;
        }
        if (r < 0 && p->o->policy == ZL_PULL_NEVER)
                return zl_fail(err, ZL_E_NOT_FOUND, 0,
                               "it is not in Docker's store, and its policy is never to pull it");
        if (image && is_good(p, image)) {
                *ret_image = zl_take_ptr(image);
                return 0;
        }
        zl_error_done(&own);
        r = fetch(p, &own);
        kept = r < 0 && image && p->o->policy != ZL_PULL_ALWAYS && own.code != ZL_E_CANCELLED;
        if (kept) {
                *ret_image = zl_take_ptr(image);
                return 0;
        }
        if (r < 0) {
                zl_error_move(err, &own);
                return r;
        }
        r = find_image(p->d, p->name, ret_image, err);
        return r < 0 ? r : 0;
}

/* The name as the engine wants it in a path; digests stay as they are. The caller frees. */
static char *image_path(const char *image)
{
        _cleanup_free_ char *canonical = NULL;

        if (zl_startswith(image, "sha256:") ||
            zl_reference_canonical(image, &canonical, NULL, NULL) < 0)
                return docker_escape(image);
        return docker_escape(canonical);
}

/* "REPOSITORY[:TAG]" and a digest as one reference. */
static char *pinned_reference(const char *image, const char *digest)
{
        char *text;

        return asprintf(&text, "%.*s@%s", (int)strcspn(image, "@"), image, digest) < 0 ? NULL
                                                                                       : text;
}

/* A digest is that of a manifest in the image's repository, or the image's own where no registry has it. */
int docker_find_pinned(struct docker *d, const char *image, const char *digest, char **ret,
                       struct zl_error *err)
{
        _cleanup_free_ char *in_repository = pinned_reference(image, digest);
        const char *const names[] = { in_repository, digest };
        int r = in_repository ? 0 : zl_fail_oom(err);

        for (size_t i = 0; r >= 0 && i < ZL_ARRAY_SIZE(names); i++) {
                _cleanup_error_ struct zl_error own = ZL_ERROR_INIT;
                _cleanup_json_ json_t *found = NULL;
                _cleanup_free_ char *path = image_path(names[i]);

                r = path ? find_image(d, path, &found, &own) : zl_fail_oom(&own);
                if (r >= 0)
                        return (*ret = strdup(names[i])) ? 0 : zl_fail_oom(err);
                if (own.code != ZL_E_NOT_FOUND) {
                        zl_error_move(err, &own);
                        return r;
                }
                r = 0;
        }
        return r < 0 ? r
                     : zl_fail(err, ZL_E_NOT_FOUND, 0, "%s@%s is not in Docker's store", image,
                               digest);
}

static int pull_pinned(struct zl_runtime *rt, const char *image,
                       const struct zl_pull_options *options, char **ret_digest,
                       struct zl_error *err)
{
        _cleanup_error_ struct zl_error own = ZL_ERROR_INIT;
        _cleanup_free_ char *name = NULL, *reference = NULL;
        struct zl_pull_options unpinned = *options;
        int r = docker_find_pinned(docker_from(rt), image, options->digest, &name, &own);

        if (r < 0 && own.code != ZL_E_NOT_FOUND) {
                zl_error_move(err, &own);
                return r;
        }
        if (r >= 0) {
                if (ret_digest && !(*ret_digest = strdup(options->digest)))
                        return zl_fail_oom(err);
                return 0;
        }
        reference = pinned_reference(image, options->digest);
        if (!reference)
                return zl_fail_oom(err);
        unpinned.digest = NULL;
        if (unpinned.policy != ZL_PULL_NEVER)
                unpinned.policy = ZL_PULL_IF_NOT_PRESENT;
        return docker_pull(rt, reference, &unpinned, ret_digest, err);
}

int docker_pull(struct zl_runtime *rt, const char *image, const struct zl_pull_options *options,
                char **ret_digest, struct zl_error *err)
{
        _cleanup_(pull_done) struct pull p = { .d = docker_from(rt), .o = options };
        _cleanup_json_ json_t *found = NULL;
        _cleanup_free_ char *text = NULL;
        const char *digest;
        int r = zl_reference_parse(image, &p.ref, NULL, err);

        if (r < 0)
                return r;
        if (options->digest)
                return pull_pinned(rt, image, options, ret_digest, err);
        text = zl_reference_text(&p.ref);
        p.name = text ? docker_escape(text) : NULL;
        r = p.name ? make_auth(&p.ref, options, &p.auth, err) : zl_fail_oom(err);
        if (r == 0)
                r = ensure(&p, &found, err);
        if (r < 0) {
                zl_error_prefix(err, "pull of %s", image);
                return r;
        }
        digest = digest_of(found, &p.ref);
        if (ret_digest && !(*ret_digest = strdup(digest ? digest : zl_json_str(found, "Id", ""))))
                return zl_fail_oom(err);
        return 0;
}

/* ---- looking ----------------------------------------------------------------------------------------- */

/* A request about one image; takes no ownership. */
static int ask_image(struct docker *d, const char *method, const char *image, const char *rest,
                     json_t **ret, struct zl_error *err)
{
        _cleanup_free_ char *name = image_path(image);
        int r;

        if (!name)
                return zl_fail_oom(err);
        r = docker_ask(d, method, docker_path(d, "/images/%s%s", name, rest), ret, err);
        return r < 0 ? r : 0;
}

static int dump(const json_t *json, char **ret_json, struct zl_error *err)
{
        *ret_json = json ? zl_json_dump(json, 2) : NULL;
        return *ret_json ? 0 : zl_fail_oom(err);
}

int docker_image_inspect(struct zl_runtime *rt, const char *image, char **ret_json,
                         struct zl_error *err)
{
        _cleanup_json_ json_t *json = NULL;
        int r = ask_image(docker_from(rt), "GET", image, "/json", &json, err);

        return r < 0 ? r : dump(json, ret_json, err);
}

/* A copy of some members under other names. */
static json_t *pick(const json_t *from, const char *const (*names)[2], size_t n)
{
        json_t *to = json_object();

        for (size_t i = 0; to && i < n; i++) {
                json_t *v = json_object_get(from, names[i][0]);

                if (v)
                        json_object_set(to, names[i][1], v);
        }
        return to;
}

int docker_image_history(struct zl_runtime *rt, const char *image, char **ret_json,
                         struct zl_error *err)
{
        static const char *const names[][2] = { { "CreatedBy", "created_by" },
                                                { "Size", "size" },
                                                { "Comment", "comment" } };
        _cleanup_json_ json_t *list = NULL, *history = json_array();
        const json_t *one;
        size_t i;
        int r = ask_image(docker_from(rt), "GET", image, "/history", &list, err);

        if (r < 0)
                return r;
        json_array_foreach(list, i, one)
        {
                json_t *step = pick(one, names, ZL_ARRAY_SIZE(names));
                char text[ZL_RFC3339_SIZE];

                zl_json_set(step, "created",
                            json_string(zl_format_rfc3339(
                                    zl_json_int(one, "Created", 0) * ZL_NSEC_PER_SEC, text)));
                if (zl_json_int(one, "Size", 0) == 0)
                        zl_json_set(step, "empty_layer", json_true());
                if (json_array_append_new(history, step) < 0)
                        return zl_fail_oom(err);
        }
        return dump(history, ret_json, err);
}

int docker_image_search(struct zl_runtime *rt, const char *term, unsigned limit, char **ret_json,
                        struct zl_error *err)
{
        static const char *const names[][2] = { { "name", "name" },
                                                { "description", "description" },
                                                { "star_count", "stars" },
                                                { "is_official", "official" } };
        struct docker *d = docker_from(rt);
        _cleanup_json_ json_t *list = NULL, *found = json_array();
        _cleanup_free_ char *escaped = docker_escape(term);
        const json_t *one;
        size_t i;
        int r;

        if (!escaped)
                return zl_fail_oom(err);
        r = docker_ask(d, "GET",
                       limit ? docker_path(d, "/images/search?term=%s&limit=%u", escaped, limit)
                             : docker_path(d, "/images/search?term=%s", escaped),
                       &list, err);
        if (r < 0)
                return r;
        json_array_foreach(
                list, i,
                one) if (json_array_append_new(found, pick(one, names, ZL_ARRAY_SIZE(names))) <
                         0) return zl_fail_oom(err);
        return dump(found, ret_json, err);
}

static int fill_info(const json_t *image, const char *name, struct zl_image_info *ret)
{
        const json_t *digests = json_object_get(image, "RepoDigests"), *one;
        _cleanup_reference_ struct zl_reference ref = { 0 };
        const char *digest = NULL;
        size_t i;
        int r = 0;

        if (name) {
                r = zl_reference_canonical(name, &ret->reference, NULL, NULL);
                if (r == 0 && zl_reference_parse(name, &ref, NULL, NULL) == 0)
                        digest = digest_of(image, &ref);
        } else {
                json_array_foreach(digests, i,
                                   one) if (strchr(json_string_value(one), '@') && !digest)
                        digest = strchr(json_string_value(one), '@') + 1;
        }
        r = r ? r : zl_replace_str(&ret->digest, digest);
        r = r ? r : zl_replace_str(&ret->id, zl_json_str(image, "Id", NULL));
        ret->size = (uint64_t)ZL_MAX(zl_json_int(image, "Size", 0), INT64_C(0));
        ret->created = zl_json_int(image, "Created", 0) * ZL_NSEC_PER_SEC;
        return r;
}

static int compare_infos(const void *a, const void *b)
{
        const struct zl_image_info *x = a, *y = b;

        return strcmp(x->reference ? x->reference : "", y->reference ? y->reference : "");
}

struct infos {
        struct zl_image_info *items;
        size_t n;
};

static int add_info(struct infos *all, const json_t *image, const char *name)
{
        struct zl_image_info *grown = reallocarray(all->items, all->n + 1, sizeof(*grown));

        if (!grown)
                return -ENOMEM;
        all->items = grown;
        grown[all->n] = (struct zl_image_info){ 0 };
        return fill_info(image, name, &grown[all->n++]);
}

int docker_image_list(struct zl_runtime *rt, struct zl_image_info **ret, size_t *ret_n,
                      struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        _cleanup_json_ json_t *list = NULL;
        struct infos all = { 0 };
        const json_t *image, *tag;
        size_t i, k;
        int r = docker_ask(d, "GET", docker_path(d, "/images/json"), &list, err);

        if (r < 0)
                return r;
        r = 0;
        json_array_foreach(list, i, image)
        {
                const json_t *tags = json_object_get(image, "RepoTags");
                bool named = false;

                json_array_foreach(tags, k, tag)
                {
                        const char *name = json_string_value(tag);

                        if (r == 0 && name && !zl_startswith(name, "<none>")) {
                                r = add_info(&all, image, name);
                                named = true;
                        }
                }
                if (r == 0 && !named)
                        r = add_info(&all, image, NULL);
        }
        if (r < 0) {
                zl_image_info_free(all.items, all.n);
                return zl_fail_oom(err);
        }
        if (all.n)
                qsort(all.items, all.n, sizeof(*all.items), compare_infos);
        *ret = all.items;
        *ret_n = all.n;
        return 0;
}

/* ---- changing ---------------------------------------------------------------------------------------- */

int docker_image_tag(struct zl_runtime *rt, const char *image, const char *name,
                     struct zl_error *err)
{
        _cleanup_reference_ struct zl_reference ref = { 0 };
        _cleanup_free_ char *repo = NULL, *escaped = NULL, *rest = NULL;
        int r = zl_reference_parse(name, &ref, NULL, err);

        if (r < 0)
                return r;
        if (ref.digest)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "%s: a name that is given cannot hold a digest", name);
        if (asprintf(&repo, "%s/%s", ref.registry, ref.repository) < 0 ||
            !(escaped = docker_escape(repo)) ||
            asprintf(&rest, "/tag?repo=%s&tag=%s", escaped, ref.tag) < 0)
                return zl_fail_oom(err);
        return ask_image(docker_from(rt), "POST", image, rest, NULL, err);
}

int docker_image_remove(struct zl_runtime *rt, const char *image, bool force, struct zl_error *err)
{
        int r = ask_image(docker_from(rt), "DELETE", image, force ? "?force=1" : "", NULL, err);

        if (r < 0 && err && err->code == ZL_E_STATE)
                zl_error_recode(err, ZL_E_BUSY);
        return r;
}

int docker_image_prune(struct zl_runtime *rt, bool all, uint64_t *ret_freed, struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        _cleanup_free_ char *filters = docker_escape(all ? "{\"dangling\":[\"false\"]}"
                                                         : "{\"dangling\":[\"true\"]}");
        _cleanup_json_ json_t *json = NULL;
        int r;

        if (!filters)
                return zl_fail_oom(err);
        r = docker_ask(d, "POST", docker_path(d, "/images/prune?filters=%s", filters), &json, err);
        if (r < 0)
                return r;
        if (ret_freed)
                *ret_freed = (uint64_t)ZL_MAX(zl_json_int(json, "SpaceReclaimed", 0), INT64_C(0));
        return 0;
}

int docker_image_save(struct zl_runtime *rt, const char *image, int fd, struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        _cleanup_docker_conn_ struct zl_docker_conn *conn = NULL;
        _cleanup_free_ char *name = image_path(image), *path = NULL;
        int r;

        if (!name)
                return zl_fail_oom(err);
        path = docker_path(d, "/images/%s/get", name);
        const struct zl_docker_request q = { .method = "GET", .path = path, .timeout = PULL_IDLE };

        r = docker_open(d, &q, &conn, err);
        return r < 0 ? r : zl_docker_copy(conn, fd, err);
}

/* ---- loading ----------------------------------------------------------------------------------------- */

/* "Loaded image: bb:latest" or "Loaded image ID: sha256:...": what was loaded last. */
static const char *loaded_name(char *const *lines)
{
        const char *found = NULL;

        ZL_STRV_FOREACH(line, lines) {
                const char *name = zl_startswith(*line, "Loaded image: ");

                if (!name)
                        name = zl_startswith(*line, "Loaded image ID: ");
                if (name)
                        found = name;
        }
        return found;
}

static int finish_load(struct zl_runtime *rt, const char *loaded, const char *name,
                       char **ret_digest, struct zl_error *err)
{
        _cleanup_json_ json_t *image = NULL;
        _cleanup_free_ char *text = strndup(loaded, strcspn(loaded, "\n"));
        int r = text ? 0 : zl_fail_oom(err);

        if (r == 0 && name)
                r = docker_image_tag(rt, text, name, err);
        if (r == 0)
                r = ask_image(docker_from(rt), "GET", text, "/json", &image, err);
        if (r == 0 && ret_digest && !(*ret_digest = strdup(zl_json_str(image, "Id", ""))))
                r = zl_fail_oom(err);
        return r;
}

/* Hands the engine an archive; "lines" is what it has told of it. Frees the path. */
static int send_archive(struct docker *d, char *to, int fd, const struct zl_pull_options *o,
                        char ***lines, struct zl_error *err)
{
        _cleanup_docker_conn_ struct zl_docker_conn *conn = NULL;
        _cleanup_free_ char *path = to;
        const struct zl_docker_request q = { .method = "POST",
                                             .path = path,
                                             .body_fd = fd,
                                             .type = "application/x-tar",
                                             .timeout = PULL_IDLE };
        int r = docker_open(d, &q, &conn, err);

        return r < 0 ? r : follow(conn, o, lines, err);
}

int docker_image_load(struct zl_runtime *rt, const char *path, const char *name,
                      const struct zl_pull_options *progress, char **ret_digest,
                      struct zl_error *err)
{
        struct docker *d = docker_from(rt);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_strv_ char **lines = NULL;
        _cleanup_error_ struct zl_error own = ZL_ERROR_INIT;
        const char *loaded;
        size_t n;
        int r;

        if (fd < 0)
                return zl_fail_errno(err, errno, "cannot open %s", path);
        r = send_archive(d, docker_path(d, "/images/load?quiet=%d", !progress->progress), fd,
                         progress, &lines, &own);
        loaded = loaded_name(lines);
        if (r >= 0 && loaded)
                return finish_load(rt, loaded, name, ret_digest, err);
        /* No image in the archive: what the archive is, then, is the image. */
        if (own.code == ZL_E_NETWORK || own.code == ZL_E_TIMEOUT || lseek(fd, 0, SEEK_SET) < 0) {
                zl_error_move(err, &own);
                return r < 0 ? r : zl_fail(err, ZL_E_INVALID, 0, "%s holds no image", path);
        }
        zl_strv_free(zl_take_ptr(lines));
        /* It becomes an image of one layer. */
        r = send_archive(d, docker_path(d, "/images/create?fromSrc=-"), fd, progress, &lines, err);
        n = zl_strv_len(lines);
        if (r < 0) {
                zl_error_prefix(err, "load of %s", path);
                return r;
        }
        return n ? finish_load(rt, lines[n - 1], name, ret_digest, err)
                 : zl_fail(err, ZL_E_PROTOCOL, 0, "Docker does not tell what it made of %s", path);
}
