/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error object. An error is filled where the fault is known and prefixed on the way up, so a
 * message reads like a path through the program: "service web: image busybox: connect ...".
 *
 * What may go wrong here is memory: when even the message cannot be allocated, a constant text
 * stands in for it, and zl_error_done() knows not to free it.
 */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

static char oom_message[] = "out of memory";

static const struct {
        const char *name;
        int errnum; /* what zl_fail() returns when there is no errno behind the fault */
} code_table[ZL_E_MAX_] = {
        [ZL_OK] = { "ok", 0 },
        [ZL_E_INVALID] = { "invalid", EINVAL },
        [ZL_E_NOT_FOUND] = { "not_found", ENOENT },
        [ZL_E_EXISTS] = { "exists", EEXIST },
        [ZL_E_STATE] = { "wrong_state", EINVAL },
        [ZL_E_BUSY] = { "busy", EBUSY },
        [ZL_E_UNSUPPORTED] = { "unsupported", EOPNOTSUPP },
        [ZL_E_PERMISSION] = { "permission", EPERM },
        [ZL_E_TIMEOUT] = { "timeout", ETIMEDOUT },
        [ZL_E_CANCELLED] = { "cancelled", ECANCELED },
        [ZL_E_NO_SPACE] = { "no_space", ENOSPC },
        [ZL_E_IO] = { "io", EIO },
        [ZL_E_NETWORK] = { "network", ECONNREFUSED },
        [ZL_E_PROTOCOL] = { "protocol", EPROTO },
        [ZL_E_CORRUPT] = { "corrupt", EBADMSG },
        [ZL_E_UNAUTHORIZED] = { "unauthorized", EACCES },
        [ZL_E_PULL] = { "pull_failed", EIO },
        [ZL_E_CREATE] = { "create_failed", EIO },
        [ZL_E_START] = { "start_failed", EIO },
        [ZL_E_NOT_RUNNABLE] = { "not_runnable", EACCES },
        [ZL_E_NO_COMMAND] = { "no_command", ENOENT },
        [ZL_E_CONFIGURATION] = { "configuration", EINVAL },
        [ZL_E_ROUTE_TO_PEER] = { "route_to_peer", EXDEV },
        [ZL_E_INTERNAL] = { "internal", ENOTRECOVERABLE },
};

void zl_error_done(struct zl_error *err)
{
        if (!err)
                return;
        if (err->message != oom_message)
                free(err->message);
        free(err->hint);
        *err = ZL_ERROR_INIT;
}

const char *zl_code_name(enum zl_code code)
{
        if ((unsigned)code >= ZL_E_MAX_)
                return "unknown";
        return code_table[code].name;
}

const char *zl_error_message(const struct zl_error *err)
{
        return err && err->message ? err->message : "no error";
}

enum zl_code zl_code_from_errno(int errnum)
{
        switch (errnum) {
        case ENOENT:
        case ESRCH:
                return ZL_E_NOT_FOUND;
        case EEXIST:
                return ZL_E_EXISTS;
        case EBUSY:
        case ETXTBSY:
                return ZL_E_BUSY;
        case EACCES:
        case EPERM:
        case EROFS:
                return ZL_E_PERMISSION;
        case ENOSYS:
        case EOPNOTSUPP:
                return ZL_E_UNSUPPORTED;
        case ENOSPC:
        case ENOMEM:
        case EDQUOT:
        case EMFILE:
        case ENFILE:
                return ZL_E_NO_SPACE;
        case ETIMEDOUT:
                return ZL_E_TIMEOUT;
        case ECANCELED:
                return ZL_E_CANCELLED;
        case ECONNREFUSED:
        case ECONNRESET:
        case EHOSTUNREACH:
        case ENETUNREACH:
                return ZL_E_NETWORK;
        case EINVAL:
        case EILSEQ:
        case ENAMETOOLONG:
        case ERANGE:
                return ZL_E_INVALID;
        default:
                return ZL_E_IO;
        }
}

/* Takes ownership of `message`; NULL means that it could not be allocated. */
static void error_fill(struct zl_error *err, enum zl_code code, int errnum, char *message)
{
        zl_error_done(err);
        err->code = code;
        err->sys_errno = errnum;
        err->message = message ? message : oom_message;
}

static char *format_with_errno(int errnum, const char *fmt, va_list ap)
{
        _cleanup_free_ char *what = NULL;
        char *whole = NULL;

        if (vasprintf(&what, fmt, ap) < 0) {
                what = NULL;
                return NULL;
        }
        if (errnum == 0)
                return zl_take_ptr(what);
        if (asprintf(&whole, "%s: %s", what, strerror(errnum)) < 0)
                return NULL;
        return whole;
}

int zl_fail(struct zl_error *err, enum zl_code code, int errnum, const char *fmt, ...)
{
        va_list ap;

        if (err) {
                va_start(ap, fmt);
                error_fill(err, code, errnum, format_with_errno(errnum, fmt, ap));
                va_end(ap);
        }
        return -(errnum ? errnum : code_table[code].errnum);
}

int zl_fail_errno(struct zl_error *err, int errnum, const char *fmt, ...)
{
        va_list ap;

        if (err) {
                va_start(ap, fmt);
                error_fill(err, zl_code_from_errno(errnum), errnum,
                           format_with_errno(errnum, fmt, ap));
                va_end(ap);
        }
        return -errnum;
}

int zl_fail_oom(struct zl_error *err)
{
        if (err)
                error_fill(err, ZL_E_NO_SPACE, ENOMEM, NULL);
        return -ENOMEM;
}

void zl_error_hint(struct zl_error *err, const char *fmt, ...)
{
        va_list ap;
        char *hint = NULL;

        if (!zl_error_is_set(err))
                return;
        va_start(ap, fmt);
        if (vasprintf(&hint, fmt, ap) < 0)
                hint = NULL;
        va_end(ap);
        if (!hint)
                return;
        free(err->hint);
        err->hint = hint;
}

void zl_error_prefix(struct zl_error *err, const char *fmt, ...)
{
        _cleanup_free_ char *prefix = NULL;
        char *whole = NULL;
        va_list ap;

        if (!zl_error_is_set(err))
                return;
        va_start(ap, fmt);
        if (vasprintf(&prefix, fmt, ap) < 0)
                prefix = NULL;
        va_end(ap);
        if (!prefix || asprintf(&whole, "%s: %s", prefix, err->message) < 0)
                return;
        if (err->message != oom_message)
                free(err->message);
        err->message = whole;
}

void zl_error_recode(struct zl_error *err, enum zl_code code)
{
        if (zl_error_is_set(err))
                err->code = code;
}

void zl_error_move(struct zl_error *dst, struct zl_error *src)
{
        if (!src || src == dst)
                return;
        if (dst) {
                zl_error_done(dst);
                *dst = *src;
                *src = ZL_ERROR_INIT;
        } else {
                zl_error_done(src);
        }
}

int zl_replace_str(char **p, const char *s)
{
        char *copy = NULL;

        if (s) {
                copy = strdup(s);
                if (!copy)
                        return -ENOMEM;
        }
        free(*p);
        *p = copy;
        return 0;
}
