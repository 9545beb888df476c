/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error object of libzlayer.
 *
 * Every function of the library that can fail returns 0 (or a positive value that it documents) on
 * success and a negative errno value on failure, and takes a `struct zl_error *` as its last
 * parameter. That parameter may be NULL. When it is not, a failing function fills it exactly once,
 * at the place where the fault is known; callers on the way up only put a prefix in front.
 *
 * Ownership: the caller owns the object, initialises it with ZL_ERROR_INIT and releases what it
 * holds with zl_error_done(). An object may be used again after zl_error_done().
 * Threads: an object belongs to one thread at a time. No function here blocks.
 */
#ifndef ZLAYER_ERROR_H
#define ZLAYER_ERROR_H

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define ZL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define ZL_PUBLIC __attribute__((visibility("default")))
#else
#define ZL_PRINTF(fmt, args)
#define ZL_PUBLIC
#endif

/* Stable codes: programs may switch on them, and their names (zl_code_name) are what the JSON
 * output and the HTTP API show. New codes are only ever appended. */
enum zl_code {
        ZL_OK = 0,
        ZL_E_INVALID,       /* the input is wrong: spec, config.json, argument */
        ZL_E_NOT_FOUND,     /* the named thing does not exist */
        ZL_E_EXISTS,        /* a thing of that name exists already */
        ZL_E_STATE,         /* the thing is not in a state that allows the operation */
        ZL_E_BUSY,          /* in use by somebody else */
        ZL_E_UNSUPPORTED,   /* this backend, kernel or build cannot do it */
        ZL_E_PERMISSION,    /* not allowed */
        ZL_E_TIMEOUT,       /* time is up */
        ZL_E_CANCELLED,     /* the caller asked to stop */
        ZL_E_NO_SPACE,      /* disk, memory or another quota is exhausted */
        ZL_E_IO,            /* reading or writing failed */
        ZL_E_NETWORK,       /* a peer cannot be reached or broke the connection */
        ZL_E_PROTOCOL,      /* a peer answered, but not what the protocol says */
        ZL_E_CORRUPT,       /* stored or fetched data does not match its digest or format */
        ZL_E_UNAUTHORIZED,  /* a peer refuses our credentials */
        ZL_E_PULL,          /* an image could not be pulled */
        ZL_E_CREATE,        /* a workload could not be created */
        ZL_E_START,         /* a workload could not be started */
        ZL_E_NOT_RUNNABLE,  /* the command was found but cannot be executed (exit code 126) */
        ZL_E_NO_COMMAND,    /* the command does not exist (exit code 127) */
        ZL_E_CONFIGURATION, /* no usable runtime, or settings that contradict each other */
        ZL_E_ROUTE_TO_PEER, /* another machine must run this workload (wrong operating system) */
        ZL_E_INTERNAL,      /* a bug of ours */
        ZL_E_MAX_,
};

struct zl_error {
        enum zl_code code;
        int sys_errno; /* positive errno value behind the fault, 0 if there is none */
        char *message; /* what failed, on which subject, and why; never NULL once set */
        char *hint;    /* what to do about it, or NULL */
};

#define ZL_ERROR_INIT ((struct zl_error){ ZL_OK, 0, 0, 0 })

/* Frees what `err` holds and makes it ready for use again. NULL is allowed. */
ZL_PUBLIC void zl_error_done(struct zl_error *err);

/* The stable lower-case name of a code, such as "not_found". Never NULL. */
ZL_PUBLIC const char *zl_code_name(enum zl_code code);

/* The message, or "no error" if none is set. Never NULL; valid until the object changes. */
ZL_PUBLIC const char *zl_error_message(const struct zl_error *err);

#ifdef __cplusplus
}
#endif
#endif
