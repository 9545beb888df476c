/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer with a maximum. The content is always followed by a NUL that is not
 * counted, so `data` is a C string as long as nobody puts a NUL into it.
 *
 * Errors stick: after a failed append every later append is a no-op and zl_buf_error() tells the
 * first fault (-ENOMEM, or -E2BIG when the maximum would be exceeded), so a writer may append many
 * times and look once.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "base/error.h"

struct zl_buf {
        char *data; /* NULL until the first append */
        size_t len;
        size_t size; /* allocated */
        size_t max;  /* most bytes it may hold */
        int error;
};

#define ZL_BUF_INIT(max_) ((struct zl_buf){ .max = (max_) })

void zl_buf_done(struct zl_buf *buf);
#define _cleanup_buf_ _cleanup_(zl_buf_done)

/* Each returns 0 or the sticky error. */
int zl_buf_put(struct zl_buf *buf, const void *data, size_t len);
int zl_buf_puts(struct zl_buf *buf, const char *s);
int zl_buf_putc(struct zl_buf *buf, char c);
int zl_buf_putf(struct zl_buf *buf, const char *fmt, ...) ZL_PRINTF(2, 3);
int zl_buf_vputf(struct zl_buf *buf, const char *fmt, va_list ap) ZL_PRINTF(2, 0);

/* Makes room for `len` more bytes behind the content and returns where they begin, or NULL (error
 * set). The caller writes there and then adds what it wrote to `len`. */
void *zl_buf_reserve(struct zl_buf *buf, size_t len);

/* Drops the first `n` bytes (n ≤ len). */
void zl_buf_consume(struct zl_buf *buf, size_t n);

static inline void zl_buf_reset(struct zl_buf *buf)
{
        buf->len = 0;
        buf->error = 0;
        if (buf->data)
                buf->data[0] = 0;
}

static inline int zl_buf_error(const struct zl_buf *buf)
{
        return buf->error;
}

/* Moves the content out as a NUL-terminated string that the caller frees; "" if nothing was
 * written. NULL if the buffer is in error. */
char *zl_buf_take(struct zl_buf *buf);
