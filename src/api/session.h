/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that have become somebody's streams: frames both ways (docs/api.md) between a client and a command (exec.c) or a
 * workload (attach.c). What these have in common is here: the descriptors on the loop, the frames, a client that is slow,
 * half-closed or gone, and the end. Everything runs on the loop's thread and nothing blocks.
 */
#pragma once

#include "api/internal.h"

enum {
        ZL_API_CAPTURE_MAX = 1 << 20, /* of each output that is not streamed */
        ZL_API_QUEUE_HIGH = 256 * 1024,
        ZL_API_CHUNK = 16 * 1024,
};

enum zl_api_frame {
        ZL_FRAME_STDIN,
        ZL_FRAME_STDOUT,
        ZL_FRAME_STDERR,
        ZL_FRAME_RESIZE,
        ZL_FRAME_EXIT,
        ZL_FRAME_SIGNAL
};

/* One descriptor and what is waited for at it. */
struct zl_api_end {
        uv_poll_t poll;
        int fd;            /* -EBADF: closed */
        bool open, shared; /* `shared`: the descriptor is somebody else's to close */
        int events;
};

/* DONE becomes readable when the other side has ended. */
enum zl_api_which { ZL_END_IN, ZL_END_OUT, ZL_END_ERR, ZL_END_DONE, ZL_END_CLIENT, ZL_N_ENDS };

/* Each gets the session, and may end it. */
struct zl_api_session_ops {
        int (*open)(struct zl_api_session
                            *s); /* zl_api_session_open() for all there is to be watched */
        void (*take_output)(struct zl_api_session *s, enum zl_api_which which); /* it is readable */
        void (*take_end)(struct zl_api_session *s);   /* DONE is readable */
        void (*give_input)(struct zl_api_session *s); /* what is in s->in, as far as it goes now */
        void (*take_frame)(struct zl_api_session *s, enum zl_api_frame type,
                           const unsigned char *data, size_t len);
        void (*answer)(struct zl_api_session *s); /* not streamed: all is there */
        void (*free)(struct zl_api_session *s);   /* the memory, too */
};

struct zl_api_session {
        const struct zl_api_session_ops *ops;
        struct zl_api *api;
        struct zl_api_request *rq; /* NULL when it is freed */
        struct zl_api_end ends[ZL_N_ENDS];
        struct zl_buf out[2]; /* captured; out[0] is the queue to the client of a stream */
        struct zl_buf in;     /* to the other side */
        struct zl_buf frames; /* from the client, not complete */
        struct MHD_UpgradeResponseHandle *upgrade;
        uv_timer_t linger;
        bool streams, holds; /* `holds`: a reference to the request */
        bool input_over;     /* nothing comes behind what is in s->in */
        bool client_over;    /* the client says nothing more */
        bool ended;          /* the other side has; exit_code is known */
        bool told, closing;
        unsigned n_handles;
        int exit_code;
        struct zl_api_session *next;
};

/* Does the client ask for a stream? */
bool zl_api_wants_stream(const struct zl_api_request *rq);
/* On the worker that has opened the other side: gives the session, zeroed but for what follows it, to the request. */
void zl_api_session_hold(struct zl_api_session *s, struct zl_api_request *rq,
                         const struct zl_api_session_ops *ops);
/* On the loop: the request's session can be written to from here on; zl_api_session_begin() makes it watch. */
void zl_api_session_init(struct zl_api_request *rq);
/* Takes over `fd` unless it is `shared`. 0 or a negative errno. */
int zl_api_session_open(struct zl_api_session *s, enum zl_api_which which, int fd, bool shared);
void zl_api_session_close(struct zl_api_session *s, enum zl_api_which which);
/* Opens all ends, and makes it the client's connection, or lets it run and be answered at its end. */
int zl_api_session_begin(struct zl_api_session *s, struct zl_error *err);
void zl_api_session_end(struct zl_api_session *s);
/* Queues a frame for the client. */
void zl_api_session_put(struct zl_api_session *s, enum zl_api_frame type, const void *data,
                        size_t len);
