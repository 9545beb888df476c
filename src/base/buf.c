/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer with a maximum (see buf.h). Growth doubles, so appending is amortised
 * linear; the maximum is what keeps hostile input from becoming our memory use.
 */
#include "base/buf.h"

#include <stdio.h>

void zl_buf_done(struct zl_buf *buf)
{
        free(buf->data);
        *buf = ZL_BUF_INIT(buf->max);
}

void *zl_buf_reserve(struct zl_buf *buf, size_t len)
{
        size_t need, size;
        char *data;

        if (buf->error)
                return NULL;
        if (len > buf->max || buf->len > buf->max - len || buf->len + len > SIZE_MAX - 1) {
                buf->error = -E2BIG;
                return NULL;
        }
        need = buf->len + len + 1;
        if (need > buf->size) {
                size = ZL_MAX(buf->size, (size_t)64);
                while (size < need)
                        size = size > SIZE_MAX / 2 ? need : size * 2;
                data = realloc(buf->data, size);
                if (!data) {
                        buf->error = -ENOMEM;
                        return NULL;
                }
                buf->data = data;
                buf->size = size;
                buf->data[buf->len] = 0; /* also if nothing is written to what was reserved */
        }
        return buf->data + buf->len;
}

int zl_buf_put(struct zl_buf *buf, const void *data, size_t len)
{
        void *p = zl_buf_reserve(buf, len);

        if (!p)
                return buf->error;
        if (len > 0)
                memcpy(p, data, len);
        buf->len += len;
        buf->data[buf->len] = 0;
        return 0;
}

int zl_buf_puts(struct zl_buf *buf, const char *s)
{
        return zl_buf_put(buf, s, strlen(s));
}

int zl_buf_putc(struct zl_buf *buf, char c)
{
        return zl_buf_put(buf, &c, 1);
}

int zl_buf_vputf(struct zl_buf *buf, const char *fmt, va_list ap)
{
        va_list copy;
        void *p;
        int n;

        if (buf->error)
                return buf->error;
        va_copy(copy, ap);
        n = vsnprintf(NULL, 0, fmt, copy);
        va_end(copy);
        if (n < 0)
                return buf->error = -EINVAL;
        p = zl_buf_reserve(buf, (size_t)n);
        if (!p)
                return buf->error;
        vsnprintf(p, (size_t)n + 1, fmt, ap);
        buf->len += (size_t)n;
        return 0;
}

int zl_buf_putf(struct zl_buf *buf, const char *fmt, ...)
{
        va_list ap;
        int r;

        va_start(ap, fmt);
        r = zl_buf_vputf(buf, fmt, ap);
        va_end(ap);
        return r;
}

void zl_buf_consume(struct zl_buf *buf, size_t n)
{
        if (n == 0)
                return;
        buf->len -= n;
        memmove(buf->data, buf->data + n, buf->len);
        buf->data[buf->len] = 0;
}

char *zl_buf_take(struct zl_buf *buf)
{
        char *data;

        if (buf->error)
                return NULL;
        if (!buf->data)
                return strdup("");
        data = zl_take_ptr(buf->data);
        *buf = ZL_BUF_INIT(buf->max);
        return data;
}
