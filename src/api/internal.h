/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the API share: one request from its first byte to its answer, the table of routes, streams.
 *
 * The life of a request: server.c accepts the connection, request.c finds the route, takes the body in, and decodes query
 * and body by the route's tables, so a handler sees typed values only and every unknown or wrong field has been refused by
 * name. Then route->begin() runs on the loop, and route->work(), if there is one, on a worker. Whoever has the answer
 * calls one of zl_api_answer…() on the loop's thread, once. A client that goes away is seen at once (rq->gone) but the
 * request lives until whoever works on it lets go.
 */
#pragma once

#include <jansson.h>

#include "api/api.h"
#include "api/mhd.h"
#include "base/buf.h"
#include "base/json.h"
#include "schema/schema.h"

enum {
        ZL_API_BODY_MAX = 16 << 20,
        ZL_API_ARENA_MAX = 64 << 20,
        ZL_API_CONNECTIONS_MAX = 4096,
};

struct zl_api_request;
struct zl_api_stream;
struct zl_api_events;

struct zl_api_route {
        const char *method;                 /* "GET" … */
        const char *path;                   /* "/v1/containers/{name}/stop": one argument at most */
        const char *id;                     /* operationId of the document */
        const struct zl_type *query, *body; /* tables, or NULL: nothing is taken */
        bool body_optional;
        bool body_text; /* the body is a document that the handler reads from rq->body */
        /* On the loop: checks, and answers or begins what will. May be NULL. A negative return is answered as `err`. */
        int (*begin)(struct zl_api_request *rq, struct zl_error *err);
        /* On a worker: fills rq->result. Answered with `status` when it has returned. May be NULL. */
        int (*work)(struct zl_api_request *rq, struct zl_error *err);
        /* On the loop, behind work(): instead of answering rq->result. May be NULL. */
        int (*finish)(struct zl_api_request *rq, struct zl_error *err);
        unsigned status; /* 200 if 0; 204: no content */
};
extern const struct zl_api_route zl_api_routes[];
extern const size_t zl_api_n_routes;

struct zl_api {
        struct zl_api_options options;
        struct zl_manager *manager;
        struct zl_runtime *rt;
        uv_loop_t *uv;
        struct MHD_Daemon *mhd;
        uv_poll_t listener, epoll;
        uv_timer_t timer;
        uv_idle_t again; /* something is to be run on the next turn */
        struct zl_api_request *requests;
        struct zl_api_stream *streams;
        struct zl_api_events *events;
        struct zl_api_session *sessions; /* exec and attach on upgraded connections */
        uint64_t n_requests;
        unsigned n_connections, n_handles;
        bool running, draining, listening;
        int64_t started_at;
};

struct zl_api_request {
        struct zl_api *api;
        struct MHD_Connection *conn; /* NULL: MHD is through with it */
        const struct zl_api_route *route;
        char *name; /* the argument of the path; NULL without */
        struct zl_arena *arena;
        void *query, *body_value; /* decoded; zeroed defaults if absent */
        struct zl_buf body;
        unsigned refs;
        bool suspended, gone, answered, dispatched;
        struct hangup *hangup; /* while suspended */

        struct zl_task task;
        struct zl_error error;
        const char *
                field; /* what a worker found at fault with the request; NULL: the argument of the path */
        int code;
        json_t *result;
        char *text;               /* a JSON text instead of `result` */
        void *data;               /* of the handler */
        void (*drop)(void *data); /* frees it; may be NULL */
        /* Waits for something that may never come, and is to give up: the client is gone, or we end. Lets go of the request
         * without an answer. NULL: it is nothing that waits. */
        void (*on_gone)(struct zl_api_request *rq);
        struct zl_manager_wait *wait; /* of zl_api_wait_for(), and what it calls */
        void (*waited)(struct zl_api_request *rq, const struct zl_deployment_info *info);

        struct MHD_Response *response;
        unsigned status;
        struct zl_api_request *next, *previous;
};

/* ---- server.c ------------------------------------------------------------------------------------------------- */

/* MHD has something to do: on this turn of the loop, or on the next if it is busy. */
void zl_api_kick(struct zl_api *api);
/* By the credentials of the other side. */
bool zl_api_is_allowed(struct MHD_Connection *conn);

/* ---- request.c ------------------------------------------------------------------------------------------------- */

enum MHD_Result zl_api_on_request(void *data, struct MHD_Connection *conn, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state);
void zl_api_on_completed(void *data, struct MHD_Connection *conn, void **state,
                         enum MHD_RequestTerminationCode how);
/* Percent-decoding; what is not well-formed becomes a character that no name may have. */
size_t zl_api_unescape(void *data, struct MHD_Connection *conn, char *text);
/* Takes the connection out of MHD's hands until zl_api_resume(), and watches for its end. */
void zl_api_suspend(struct zl_api_request *rq);
void zl_api_resume(struct zl_api_request *rq);
struct zl_api_request *zl_api_ref(struct zl_api_request *rq);
void zl_api_unref(struct zl_api_request *rq);

/* Answers. All take over what they are given; each request is answered once. */
void zl_api_answer_json(struct zl_api_request *rq, unsigned status, json_t *json);
void zl_api_answer_text(struct zl_api_request *rq, unsigned status, const char *type, char *text);
void zl_api_answer_empty(struct zl_api_request *rq);
void zl_api_answer_error(struct zl_api_request *rq, struct zl_error *err);
/* The same with what is wrong in a document. */
void zl_api_answer_problems(struct zl_api_request *rq, struct zl_error *err,
                            const struct zl_problems *problems);
void zl_api_answer(struct zl_api_request *rq, unsigned status, struct MHD_Response *response);
/* The same, naming the field that is at fault. */
void zl_api_answer_field(struct zl_api_request *rq, struct zl_error *err, const char *field);
/* The HTTP status of an error. */
unsigned zl_api_status_of(enum zl_code code) _const_;
/* Ends those that only wait for something to happen. */
void zl_api_cancel_waits(struct zl_api *api);
/* Calls `waited` when the deployment is so far, never before it has returned; not if the client has gone. */
int zl_api_wait_for(struct zl_api_request *rq, const char *deployment, enum zl_manager_until until,
                    void (*waited)(struct zl_api_request *rq,
                                   const struct zl_deployment_info *info),
                    struct zl_error *err);
/* Runs `work` on a worker and answers by the route's rules. */
void zl_api_start_work(struct zl_api_request *rq);

/* ---- stream.c: answers that go on ---------------------------------------------------------------------------------- */

struct zl_api_stream_ops {
        /* Everything given has been sent: give more by zl_api_stream_put(), or nothing if there is nothing now. May be NULL. */
        void (*more)(struct zl_api_stream *stream, void *data);
        /* The stream is over, one way or the other. */
        void (*close)(void *data);
};
/* Answers 200 with a stream of `type`; the stream belongs to the request. NULL without memory (answered). */
struct zl_api_stream *zl_api_stream_new(struct zl_api_request *rq, const char *type,
                                        const struct zl_api_stream_ops *ops, void *data);
/* A reader that is this far behind is cut off. -E2BIG then. */
int zl_api_stream_put(struct zl_api_stream *stream, const void *data, size_t len);
/* What was put is still sent. */
void zl_api_stream_end(struct zl_api_stream *stream);
void zl_api_stream_end_all(struct zl_api *api);

/* ---- exec.c ------------------------------------------------------------------------------------------------------- */

/* Ends all; commands that run go on. */
void zl_api_sessions_close(struct zl_api *api);
