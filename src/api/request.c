/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request: found in the table of routes, its query and body decoded by the route's tables, handed to its handler,
 * answered. While somebody works on it the connection is suspended in MHD, and only its end is watched, so a client that
 * goes away is noticed and a slow one costs a table entry.
 *
 * What a client may get wrong is refused here, before a handler sees anything: unknown paths and methods, bodies that are too
 * large, of another type or encoding, unknown or wrong fields, bad escapes. The answer names the field.
 */
#include <errno.h>
#include <poll.h>
#include <strings.h>

#include "api/internal.h"
#include "base/parse.h"
#include "schema/json.h"

/* What a bad escape in a URL becomes: no name may hold it. */
#define BAD_ESCAPE '\001'

/* ---- life ---------------------------------------------------------------------------------------------------- */

struct hangup {
        uv_poll_t poll;
        struct zl_api_request *rq;
};

static void free_hangup(uv_handle_t *handle)
{
        free(handle->data);
}

static void stop_hangup(struct zl_api_request *rq)
{
        struct hangup *h = zl_take_ptr(rq->hangup);

        if (!h)
                return;
        uv_poll_stop(&h->poll);
        uv_close((uv_handle_t *)&h->poll, free_hangup);
}

static struct zl_api_request *request_new(struct zl_api *api, struct MHD_Connection *conn)
{
        struct zl_api_request *rq = calloc(1, sizeof(*rq));

        if (!rq)
                return NULL;
        rq->arena = zl_arena_new(ZL_API_ARENA_MAX);
        if (!rq->arena) {
                free(rq);
                return NULL;
        }
        rq->api = api;
        rq->conn = conn;
        rq->refs = 1;
        rq->body = ZL_BUF_INIT(ZL_API_BODY_MAX);
        rq->next = api->requests;
        if (rq->next)
                rq->next->previous = rq;
        api->requests = rq;
        api->n_requests++;
        return rq;
}

struct zl_api_request *zl_api_ref(struct zl_api_request *rq)
{
        rq->refs++;
        return rq;
}

void zl_api_unref(struct zl_api_request *rq)
{
        if (--rq->refs > 0)
                return;
        if (rq->previous)
                rq->previous->next = rq->next;
        else
                rq->api->requests = rq->next;
        if (rq->next)
                rq->next->previous = rq->previous;
        stop_hangup(rq);
        if (rq->drop && rq->data)
                rq->drop(rq->data);
        if (rq->response)
                MHD_destroy_response(rq->response);
        json_decref(rq->result);
        zl_error_done(&rq->error);
        zl_buf_done(&rq->body);
        zl_arena_free(rq->arena);
        free(rq->name);
        free(rq->text);
        free(rq);
}

void zl_api_on_completed(void *data, struct MHD_Connection *conn, void **state,
                         enum MHD_RequestTerminationCode how)
{
        struct zl_api_request *rq = *state;

        (void)data;
        (void)conn;
        (void)how;
        if (!rq)
                return;
        *state = NULL;
        rq->conn = NULL;
        rq->gone = true;
        stop_hangup(rq);
        zl_api_unref(rq);
}

/* ---- suspended ------------------------------------------------------------------------------------------------- */

void zl_api_resume(struct zl_api_request *rq)
{
        if (!rq->suspended || !rq->conn)
                return;
        stop_hangup(rq);
        rq->suspended = false;
        MHD_resume_connection(rq->conn);
        zl_api_kick(rq->api);
}

static void on_hangup(uv_poll_t *handle, int status, int events)
{
        struct hangup *h = handle->data;
        struct zl_api_request *rq = h->rq;
        struct pollfd p = { .events = POLLRDHUP };
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
                rq->conn, MHD_CONNECTION_INFO_CONNECTION_FD);

        (void)status;
        (void)events;
        p.fd = info->connect_fd;
        if (poll(&p, 1, 0) == 1 && !(p.revents & (POLLHUP | POLLERR))) {
                /* It has said all it wants to say and waits for the answer. */
                stop_hangup(rq);
                return;
        }
        rq->gone = true;
        zl_api_ref(rq);
        if (rq->on_gone)
                rq->on_gone(rq);
        zl_api_resume(rq);
        zl_api_unref(rq);
}

void zl_api_suspend(struct zl_api_request *rq)
{
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
                rq->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct hangup *h = calloc(1, sizeof(*h));

        MHD_suspend_connection(rq->conn);
        rq->suspended = true;
        /* Without memory for it the end of the client is noticed later, when the answer cannot be sent. */
        if (!h || uv_poll_init(rq->api->uv, &h->poll, info->connect_fd) < 0) {
                free(h);
                return;
        }
        h->rq = rq;
        h->poll.data = h;
        uv_poll_start(&h->poll, UV_DISCONNECT, on_hangup);
        rq->hangup = h;
}

/* ---- answers -------------------------------------------------------------------------------------------------- */

static const struct {
        enum zl_code code;
        unsigned status;
} statuses[] = {
        { ZL_E_INVALID, 400 },    { ZL_E_NOT_FOUND, 404 },     { ZL_E_EXISTS, 409 },
        { ZL_E_STATE, 409 },      { ZL_E_BUSY, 409 },          { ZL_E_UNSUPPORTED, 501 },
        { ZL_E_PERMISSION, 403 }, { ZL_E_TIMEOUT, 504 },       { ZL_E_NO_SPACE, 507 },
        { ZL_E_NETWORK, 502 },    { ZL_E_PROTOCOL, 502 },      { ZL_E_UNAUTHORIZED, 502 },
        { ZL_E_PULL, 502 },       { ZL_E_NOT_RUNNABLE, 422 },  { ZL_E_NO_COMMAND, 422 },
        { ZL_E_CANCELLED, 503 },  { ZL_E_ROUTE_TO_PEER, 422 }, { ZL_E_CREATE, 422 },
};

unsigned zl_api_status_of(enum zl_code code)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(statuses); i++)
                if (statuses[i].code == code)
                        return statuses[i].status;
        return 500;
}

void zl_api_answer(struct zl_api_request *rq, unsigned status, struct MHD_Response *response)
{
        if (rq->answered || !response) {
                if (response)
                        MHD_destroy_response(response);
                if (!rq->answered)
                        rq->gone = true; /* no memory for an answer: the connection is closed */
                zl_api_resume(rq);
                return;
        }
        rq->answered = true;
        rq->status = status;
        rq->response = response;
        zl_api_resume(rq);
}

void zl_api_answer_text(struct zl_api_request *rq, unsigned status, const char *type, char *text)
{
        struct MHD_Response *response = NULL;

        if (text)
                response = MHD_create_response_from_buffer(strlen(text), text,
                                                           MHD_RESPMEM_MUST_FREE);
        if (response)
                MHD_add_response_header(response, "Content-Type", type);
        else
                free(text);
        zl_api_answer(rq, status, response);
}

void zl_api_answer_json(struct zl_api_request *rq, unsigned status, json_t *json)
{
        char *text = json ? zl_json_dump(json, 0) : NULL;

        json_decref(json);
        zl_api_answer_text(rq, status, "application/json", text);
}

void zl_api_answer_empty(struct zl_api_request *rq)
{
        zl_api_answer(rq, 204, MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
}

static int put_text(json_t *o, const char *key, const char *text)
{
        return text ? zl_json_set(o, key, zl_json_string_lossy(text, strlen(text))) : 0;
}

static json_t *problem_list(const struct zl_problems *problems)
{
        json_t *list = json_array();

        for (size_t i = 0; list && i < problems->n; i++) {
                const struct zl_problem *p = &problems->items[i];
                json_t *o = json_object();

                if (!o || put_text(o, "path", p->path) < 0 ||
                    zl_json_set(o, "line", json_integer(p->line)) < 0 ||
                    zl_json_set(o, "column", json_integer(p->column)) < 0 ||
                    put_text(o, "message", p->message) < 0 || put_text(o, "hint", p->hint) < 0) {
                        json_decref(o);
                        break;
                }
                json_array_append_new(list, o);
        }
        return list;
}

/* `field` and `problems` may be NULL; releases `err`. */
static void answer_fault(struct zl_api_request *rq, unsigned status, struct zl_error *err,
                         const char *field, const struct zl_problems *problems)
{
        json_t *o = json_object(), *outer = json_object();

        if (!field && (err->code == ZL_E_NOT_FOUND || err->code == ZL_E_INVALID))
                field = rq->field ?: rq->name ? "name" : NULL;
        put_text(o, "code", zl_code_name(err->code));
        put_text(o, "message", zl_error_message(err));
        put_text(o, "hint", err->hint);
        put_text(o, "field", field);
        if (problems)
                zl_json_set(o, "problems", problem_list(problems));
        zl_error_done(err);
        if (zl_json_set(outer, "error", o) < 0) {
                json_decref(outer);
                outer = NULL;
        }
        zl_api_answer_json(rq, status, outer);
}

void zl_api_answer_error(struct zl_api_request *rq, struct zl_error *err)
{
        answer_fault(rq, zl_api_status_of(err->code), err, NULL, NULL);
}

void zl_api_answer_field(struct zl_api_request *rq, struct zl_error *err, const char *field)
{
        answer_fault(rq, zl_api_status_of(err->code), err, field, NULL);
}

void zl_api_answer_problems(struct zl_api_request *rq, struct zl_error *err,
                            const struct zl_problems *problems)
{
        const struct zl_problem *first = problems && problems->n > 0 ? &problems->items[0] : NULL;

        answer_fault(rq, zl_api_status_of(err->code), err,
                     first ? first->subject ?: first->path : NULL, first ? problems : NULL);
}

static void refuse(struct zl_api_request *rq, unsigned status, const char *field,
                   const char *message, const char *hint)
{
        struct zl_error err = ZL_ERROR_INIT;

        zl_fail(&err,
                status == 404   ? ZL_E_NOT_FOUND
                : status == 403 ? ZL_E_PERMISSION
                : status == 503 ? ZL_E_BUSY
                                : ZL_E_INVALID,
                0, "%s", message);
        if (hint)
                zl_error_hint(&err, "%s", hint);
        answer_fault(rq, status, &err, field, NULL);
}

static void on_waited(const struct zl_deployment_info *info, void *data)
{
        struct zl_api_request *rq = data;

        rq->on_gone = NULL;
        rq->waited(rq, info);
        zl_api_unref(rq);
}

static void on_waiting_gone(struct zl_api_request *rq)
{
        zl_manager_unwait(rq->api->manager, rq->wait);
        rq->on_gone = NULL;
        zl_api_unref(rq);
}

int zl_api_wait_for(struct zl_api_request *rq, const char *deployment, enum zl_manager_until until,
                    void (*waited)(struct zl_api_request *rq,
                                   const struct zl_deployment_info *info),
                    struct zl_error *err)
{
        rq->wait = zl_manager_wait(rq->api->manager, deployment, until, on_waited, rq);
        if (!rq->wait)
                return zl_fail_oom(err);
        rq->waited = waited;
        rq->on_gone = on_waiting_gone;
        zl_api_ref(rq);
        return 0;
}

void zl_api_cancel_waits(struct zl_api *api)
{
        for (struct zl_api_request *rq = api->requests, *next; rq; rq = next) {
                struct zl_error err = ZL_ERROR_INIT;

                next = rq->next;
                if (!rq->on_gone)
                        continue;
                zl_api_ref(rq);
                rq->on_gone(rq);
                zl_fail(&err, ZL_E_CANCELLED, 0, "the agent is about to end");
                zl_api_answer_error(rq, &err);
                zl_api_unref(rq);
        }
}

/* ---- work on a worker ----------------------------------------------------------------------------------------- */

static struct zl_api_request *of_task(struct zl_task *task)
{
        return (struct zl_api_request *)((char *)task - offsetof(struct zl_api_request, task));
}

static void work_run(struct zl_task *task)
{
        struct zl_api_request *rq = of_task(task);

        rq->code = rq->route->work(rq, &rq->error);
}

static void answer_result(struct zl_api_request *rq)
{
        unsigned status = rq->route->status ?: 200;

        if (status == 204)
                zl_api_answer_empty(rq);
        else if (rq->text)
                zl_api_answer_text(rq, status, "application/json", zl_take_ptr(rq->text));
        else
                zl_api_answer_json(rq, status, zl_take_ptr(rq->result));
}

static void work_done(struct zl_task *task)
{
        struct zl_api_request *rq = of_task(task);

        if (rq->code >= 0 && rq->route->finish)
                rq->code = rq->route->finish(rq, &rq->error);
        else if (rq->code >= 0)
                answer_result(rq);
        if (rq->code < 0)
                zl_api_answer_error(rq, &rq->error);
        zl_api_unref(rq);
}

void zl_api_start_work(struct zl_api_request *rq)
{
        zl_api_ref(rq);
        rq->task.run = work_run;
        rq->task.done = work_done;
        zl_pool_submit(zl_manager_pool(rq->api->manager), &rq->task);
}

/* ---- the route -------------------------------------------------------------------------------------------------- */

/* 1: the path fits; then `*ret_name` is its argument (freed by the caller) or NULL. */
static int match(const struct zl_api_route *route, const char *url, char **ret_name)
{
        const char *brace = strchr(route->path, '{'), *rest, *end;
        size_t before = brace ? (size_t)(brace - route->path) : 0;

        *ret_name = NULL;
        if (!brace)
                return zl_streq(route->path, url);
        rest = strchr(brace, '}') + 1;
        if (strncmp(url, route->path, before) != 0)
                return 0;
        url += before;
        end = url + strcspn(url, "/");
        if (end == url || !zl_streq(end, rest))
                return 0;
        *ret_name = strndup(url, (size_t)(end - url));
        return *ret_name ? 1 : -ENOMEM;
}

static void answer_not_allowed(struct zl_api_request *rq, const char *url)
{
        _cleanup_buf_ struct zl_buf allow = ZL_BUF_INIT(200);
        _cleanup_free_ char *name = NULL;

        for (size_t i = 0; i < zl_api_n_routes; i++) {
                free(zl_take_ptr(name));
                if (match(&zl_api_routes[i], url, &name) > 0)
                        zl_buf_putf(&allow, "%s%s", allow.len ? ", " : "", zl_api_routes[i].method);
        }
        if (allow.len == 0) {
                refuse(rq, 404, "path", "there is no such path", "docs/openapi.yaml lists all");
                return;
        }
        refuse(rq, 405, "method", "this path does not take that method", NULL);
        if (rq->response)
                MHD_add_response_header(rq->response, "Allow", allow.data);
}

static bool find_route(struct zl_api_request *rq, const char *url, const char *method)
{
        if (zl_streq(method, "HEAD"))
                method = "GET";
        for (size_t i = 0; i < zl_api_n_routes; i++) {
                const struct zl_api_route *route = &zl_api_routes[i];

                if (!zl_streq(route->method, method))
                        continue;
                if (match(route, url, &rq->name) > 0) {
                        rq->route = route;
                        return true;
                }
        }
        return false;
}

static const char *header(const struct zl_api_request *rq, const char *name)
{
        return MHD_lookup_connection_value(rq->conn, MHD_HEADER_KIND, name);
}

/* Is the media type in the list, whatever its parameters? */
static bool is_type(const char *value, const char *const *types)
{
        size_t len = strcspn(value, "; \t");

        for (; *types; types++)
                if (strlen(*types) == len && strncasecmp(value, *types, len) == 0)
                        return true;
        return false;
}

static void check_headers(struct zl_api_request *rq)
{
        static const char *const json[] = { "application/json", NULL };
        static const char *const documents[] = { "application/json",
                                                 "application/yaml",
                                                 "application/x-yaml",
                                                 "text/yaml",
                                                 "text/plain",
                                                 "text/x-yaml",
                                                 NULL };
        const char *type = header(rq, "Content-Type"), *length = header(rq, "Content-Length");
        const char *encoding = header(rq, "Content-Encoding");
        uint64_t n;

        if (length && (zl_parse_u64(length, 10, &n) < 0 || n > ZL_API_BODY_MAX))
                refuse(rq, 413, "body", "the body is larger than 16 MiB", NULL);
        else if (encoding && strcasecmp(encoding, "identity") != 0)
                refuse(rq, 415, "Content-Encoding", "the body must not be encoded", NULL);
        else if (rq->route->body && type && !is_type(type, json))
                refuse(rq, 415, "Content-Type", "the body must be JSON",
                       "send Content-Type: application/json");
        else if (rq->route->body_text && type && !is_type(type, documents))
                refuse(rq, 415, "Content-Type", "the body must be YAML or JSON",
                       "send Content-Type: application/yaml");
}

static void begin(struct zl_api_request *rq, const char *url, const char *method)
{
        if (!zl_api_is_allowed(rq->conn))
                refuse(rq, 403, NULL,
                       "only root, the user of the agent and members of its group may use it",
                       NULL);
        else if (strchr(url, BAD_ESCAPE))
                refuse(rq, 400, "path", "the path has a bad escape", NULL);
        else if (rq->api->draining)
                refuse(rq, 503, NULL, "the agent is about to end", NULL);
        else if (!find_route(rq, url, method))
                answer_not_allowed(rq, url);
        else
                check_headers(rq);
}

/* ---- query and body ------------------------------------------------------------------------------------------------ */

struct query {
        struct zl_api_request *rq;
        struct zl_node *map;
        bool failed;
};

/* zl-size: the signature is that of libmicrohttpd */
static enum MHD_Result add_parameter(void *data, enum MHD_ValueKind kind, const char *key,
                                     size_t key_len, const char *value, size_t value_len)
{
        struct query *q = data;
        const struct zl_type *type = q->rq->route->query;
        bool is_text = false;
        struct zl_node *node;

        (void)kind;
        (void)key_len;
        if (memchr(key, BAD_ESCAPE, key_len) || (value && memchr(value, BAD_ESCAPE, value_len))) {
                q->failed = true;
                return MHD_NO;
        }
        for (size_t i = 0; type && i < type->n_fields; i++)
                if (zl_streq(type->fields[i].name, key))
                        is_text = type->fields[i].type->kind == ZL_KIND_STR;
        /* "?follow" says yes */
        node = zl_node_new_text(q->rq->arena, value ?: "true", is_text);
        if (zl_node_put(q->rq->arena, q->map, key, node) < 0) {
                q->failed = true;
                return MHD_NO;
        }
        return MHD_YES;
}

/* Decodes by a table; answers what is wrong and returns false then. */
static bool decode(struct zl_api_request *rq, const struct zl_type *type, struct zl_node *node,
                   unsigned flags, void **ret)
{
        _cleanup_(zl_problems_freep) struct zl_problems *problems = zl_problems_new();
        struct zl_decode_options options = { .flags = flags, .arena = rq->arena };
        struct zl_error err = ZL_ERROR_INIT;
        int r = -ENOMEM;

        *ret = zl_arena_alloc(rq->arena, type->size);
        if (*ret && problems)
                r = zl_schema_decode(type, node, &options, *ret, problems);
        if (r == 0 && problems->n == 0)
                return true;
        if (r == -ENOMEM)
                zl_fail_oom(&err);
        else
                zl_problems_fail(problems, &err);
        zl_api_answer_problems(rq, &err, problems);
        return false;
}

static bool take_query(struct zl_api_request *rq)
{
        static const struct zl_type nothing = { .kind = ZL_KIND_STRUCT, .name = "Nothing" };
        struct query q = { .rq = rq, .map = zl_node_new(rq->arena, ZL_NODE_MAP) };

        if (q.map)
                MHD_get_connection_values_n(rq->conn, MHD_GET_ARGUMENT_KIND, add_parameter, &q);
        if (!q.map || q.failed) {
                refuse(rq, 400, "query", "the query has a bad escape or is too long", NULL);
                return false;
        }
        return decode(rq, rq->route->query ?: &nothing, q.map, ZL_DECODE_UNIQUE_KEYS, &rq->query);
}

static bool take_body(struct zl_api_request *rq)
{
        struct zl_error err = ZL_ERROR_INIT;
        const struct zl_type *type = rq->route->body;
        struct zl_node *node = NULL;

        if (zl_buf_error(&rq->body) < 0) {
                refuse(rq, 413, "body", "the body is larger than 16 MiB", NULL);
                return false;
        }
        if (rq->route->body_text || (rq->body.len == 0 && (!type || rq->route->body_optional))) {
                if (type)
                        rq->body_value = zl_arena_alloc(rq->arena, type->size);
                return true;
        }
        if (!type) {
                refuse(rq, 400, "body", "this request takes no body", NULL);
                return false;
        }
        if (zl_json_read(rq->arena, rq->body.data ?: "", rq->body.len, "body", &node, &err) < 0) {
                answer_fault(rq, zl_api_status_of(err.code), &err, "body", NULL);
                return false;
        }
        return decode(rq, type, node, ZL_DECODE_STRICT | ZL_DECODE_UNIQUE_KEYS, &rq->body_value);
}

static void dispatch(struct zl_api_request *rq)
{
        struct zl_error err = ZL_ERROR_INIT;

        if (!take_query(rq) || !take_body(rq))
                return;
        if (rq->route->begin && rq->route->begin(rq, &err) < 0) {
                if (!rq->answered)
                        zl_api_answer_error(rq, &err);
                zl_error_done(&err);
                return;
        }
        if (!rq->answered && rq->route->work)
                zl_api_start_work(rq);
}

/* ---- what MHD calls --------------------------------------------------------------------------------------------------- */

static enum MHD_Result send_answer(struct zl_api_request *rq)
{
        enum MHD_Result r = MHD_queue_response(rq->conn, rq->status, rq->response);

        MHD_destroy_response(zl_take_ptr(rq->response));
        return r;
}

/* zl-size: the signature is that of libmicrohttpd */
enum MHD_Result zl_api_on_request(void *data, struct MHD_Connection *conn, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
        struct zl_api_request *rq = *state;

        (void)version;
        if (!rq) {
                rq = *state = request_new(data, conn);
                if (!rq)
                        return MHD_NO;
                begin(rq, url, method);
                return rq->answered ? send_answer(rq) : MHD_YES;
        }
        if (*upload_size > 0) {
                if (!rq->answered)
                        zl_buf_put(&rq->body, upload, *upload_size);
                *upload_size = 0;
                return MHD_YES;
        }
        if (!rq->answered && !rq->gone && !rq->dispatched) {
                rq->dispatched = true;
                dispatch(rq);
        }
        if (rq->gone && !rq->response)
                return MHD_NO;
        if (rq->response)
                return send_answer(rq);
        zl_api_suspend(rq);
        return MHD_YES;
}

size_t zl_api_unescape(void *data, struct MHD_Connection *conn, char *text)
{
        char *to = text;

        (void)data;
        (void)conn;
        for (const char *from = text; *from; from++) {
                int high = *from == '%' ? zl_hex_digit(from[1]) : 0;
                int low = *from == '%' && high >= 0 ? zl_hex_digit(from[2]) : 0;

                if (*from != '%') {
                        *to++ = *from;
                } else if (high < 0 || low < 0 || (high == 0 && low == 0)) {
                        *to++ = BAD_ESCAPE;
                } else {
                        *to++ = (char)(high << 4 | low);
                        from += 2;
                }
        }
        *to = 0;
        return (size_t)(to - text);
}
