/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: list, remove, pull. The store of images is made for several users, so each request opens it. A pull streams its
 * progress: the pulling threads leave lines behind a lock, and the loop is woken to send them.
 */
#include <pthread.h>

#include "api/handlers.h"
#include "base/clock.h"
#include "base/path.h"
#include "image/image.h"

static int open_store(struct zl_api_request *rq, struct zl_image_store **ret, struct zl_error *err)
{
        _cleanup_free_ char *path = zl_path_join(rq->api->options.root_dir, "images");

        return path ? zl_image_store_open(path, NULL, ret, err) : zl_fail_oom(err);
}

/* ---- list and remove --------------------------------------------------------------------------------------------- */

static json_t *image_to_json(const struct zl_image *image)
{
        char time[ZL_RFC3339_SIZE];

        return json_pack("{s:s?, s:s, s:s?, s:s?, s:s?, s:I, s:o}", "name", image->reference,
                         "digest", image->digest, "id", image->config_digest, "os", image->os,
                         "architecture", image->architecture, "size", (json_int_t)image->size,
                         "created_at",
                         image->created > 0 ? json_string(zl_format_rfc3339(image->created, time))
                                            : json_null());
}

int zl_api_images_work(struct zl_api_request *rq, struct zl_error *err)
{
        _cleanup_image_store_ struct zl_image_store *store = NULL;
        struct zl_image **images = NULL;
        size_t n = 0;
        int r = open_store(rq, &store, err);

        if (r >= 0)
                r = zl_image_list(store, &images, &n, err);
        rq->result = json_array();
        for (size_t i = 0; i < n; i++) {
                if (r >= 0 && json_array_append_new(rq->result, image_to_json(images[i])) < 0)
                        r = zl_fail_oom(err);
                zl_image_free(images[i]);
        }
        free(images);
        return r;
}

struct image_query {
        char *name;
        bool force;
};

static const struct zl_field image_fields[] = {
        ZL_FIELD(struct image_query, "name", name, zl_type_str, .flags = ZL_REQUIRED),
        ZL_FIELD(struct image_query, "force", force, zl_type_bool, .def = "false"),
};
const struct zl_type zl_api_image_query = ZL_TYPE_STRUCT(struct image_query, "ImageQuery",
                                                         image_fields);

int zl_api_image_remove_work(struct zl_api_request *rq, struct zl_error *err)
{
        const struct image_query *q = rq->query;
        _cleanup_image_store_ struct zl_image_store *store = NULL;
        int r = open_store(rq, &store, err);

        return r < 0 ? r : zl_image_remove(store, q->name, q->force, err);
}

/* ---- pull --------------------------------------------------------------------------------------------------------------- */

struct pull_body {
        char *image, *username, *password;
        enum zl_pull_policy policy;
};

static const struct zl_enum_item policies[] = {
        { "always", ZL_PULL_ALWAYS, NULL },
        { "newer", ZL_PULL_NEWER, NULL },
        { "if_not_present", ZL_PULL_IF_NOT_PRESENT, NULL },
        { "never", ZL_PULL_NEVER, NULL },
};
static const struct zl_type policy_type = ZL_TYPE_ENUM("PullPolicy", policies);

static const struct zl_field pull_fields[] = {
        ZL_FIELD(struct pull_body, "image", image, zl_type_str, .flags = ZL_REQUIRED),
        ZL_FIELD(struct pull_body, "policy", policy, policy_type, .def = "always"),
        ZL_FIELD(struct pull_body, "username", username, zl_type_str, .flags = ZL_OPTIONAL),
        ZL_FIELD(struct pull_body, "password", password, zl_type_str, .flags = ZL_OPTIONAL),
};
const struct zl_type zl_api_pull_body = ZL_TYPE_STRUCT(struct pull_body, "Pull", pull_fields);

/* Lives until both the worker and the stream are through with it. */
struct pull {
        struct zl_task task;
        struct zl_api_request *rq;
        struct zl_api_stream *stream; /* NULL: the client is gone */
        uv_async_t wake;
        pthread_mutex_t lock;
        struct zl_buf lines; /* behind the lock */
        int cancel, result;
        bool done;
        char *digest;
        struct zl_error error;
};

static void free_pull(uv_handle_t *handle)
{
        struct pull *pull = handle->data;

        pthread_mutex_destroy(&pull->lock);
        zl_buf_done(&pull->lines);
        zl_error_done(&pull->error);
        free(pull->digest);
        zl_api_unref(pull->rq);
        free(pull);
}

static void put_line(struct pull *pull, json_t *o)
{
        _cleanup_free_ char *text = o ? zl_json_dump(o, 0) : NULL;

        json_decref(o);
        pthread_mutex_lock(&pull->lock);
        if (text)
                zl_buf_putf(&pull->lines, "%s\n", text);
        pthread_mutex_unlock(&pull->lock);
}

static void on_progress(const struct zl_pull_progress *p, void *data)
{
        struct pull *pull = data;

        put_line(pull, json_pack("{s:s?, s:s, s:I, s:I}", "id", p->id, "status", p->status,
                                 "current", (json_int_t)p->current, "total", (json_int_t)p->total));
        uv_async_send(&pull->wake);
}

static void flush(struct pull *pull)
{
        pthread_mutex_lock(&pull->lock);
        if (pull->stream && pull->lines.len > 0)
                zl_api_stream_put(pull->stream, pull->lines.data, pull->lines.len);
        zl_buf_reset(&pull->lines);
        pthread_mutex_unlock(&pull->lock);
}

static void on_wake(uv_async_t *wake)
{
        flush(wake->data);
}

static void pull_run(struct zl_task *task)
{
        struct pull *pull = (struct pull *)task;
        const struct pull_body *body = pull->rq->body_value;
        struct zl_pull_options options = {
                .policy = body->policy,
                .username = body->username,
                .password = body->password,
                .progress = on_progress,
                .progress_data = pull,
                .cancel = &pull->cancel,
        };

        pull->result = zl_runtime_pull(pull->rq->api->rt, body->image, &options, &pull->digest,
                                       &pull->error);
}

static void pull_done(struct zl_task *task)
{
        struct pull *pull = (struct pull *)task;
        const struct pull_body *body = pull->rq->body_value;

        /* The last line is the outcome, since the status was sent long ago. */
        if (pull->result >= 0)
                put_line(pull, json_pack("{s:s, s:s, s:s?}", "status", "done", "image", body->image,
                                         "digest", pull->digest));
        else
                put_line(pull, json_pack("{s:{s:s, s:s, s:s?}}", "error", "code",
                                         zl_code_name(pull->error.code), "message",
                                         zl_error_message(&pull->error), "hint", pull->error.hint));
        flush(pull);
        if (pull->stream)
                zl_api_stream_end(pull->stream);
        pull->done = true;
        if (!pull->stream)
                uv_close((uv_handle_t *)&pull->wake, free_pull);
}

/* The client has all or is gone: in the latter case the pull ends soon. */
static void close_pull(void *data)
{
        struct pull *pull = data;

        pull->stream = NULL;
        __atomic_store_n(&pull->cancel, 1, __ATOMIC_RELAXED);
        if (pull->done)
                uv_close((uv_handle_t *)&pull->wake, free_pull);
}

static const struct zl_api_stream_ops ops = { .close = close_pull };

int zl_api_pull(struct zl_api_request *rq, struct zl_error *err)
{
        struct pull *pull = calloc(1, sizeof(*pull));

        if (!pull)
                return zl_fail_oom(err);
        pull->task = (struct zl_task){ .run = pull_run, .done = pull_done };
        pull->lines = ZL_BUF_INIT(1 << 20);
        pull->wake.data = pull;
        if (uv_async_init(rq->api->uv, &pull->wake, on_wake) < 0) {
                free(pull);
                return zl_fail_oom(err);
        }
        pthread_mutex_init(&pull->lock, NULL);
        pull->rq = zl_api_ref(rq);
        pull->done = true; /* if the stream cannot be made, its end is the end of all */
        pull->stream = zl_api_stream_new(rq, "application/x-ndjson", &ops, pull);
        if (!pull->stream)
                return 0;
        pull->done = false;
        zl_pool_submit(zl_manager_pool(rq->api->manager), &pull->task);
        return 0;
}
