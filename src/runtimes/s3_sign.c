/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See s3_sign.h; the recipe is "Authenticating Requests (AWS Signature Version 4)" of the Amazon S3 API reference.
 * By hand, because libcurl before 8 signs without x-amz-content-sha256, which S3 wants.
 */
#include "runtimes/s3_sign.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/parse.h"
#include "base/strv.h"

enum { BLOCK = 64, DIGEST = 32, TEXT_MAX_BYTES = 64 << 10 };

/* The digest of two pieces, as bytes. */
static int digest(const void *a, size_t a_len, const void *b, size_t b_len, uint8_t out[DIGEST])
{
        _cleanup_(zl_hash_freep) struct zl_hash *hash = zl_hash_new(ZL_SHA256);
        char text[ZL_DIGEST_TEXT_MAX];
        const char *hex;

        if (!hash)
                return -ENOMEM;
        zl_hash_update(hash, a, a_len);
        zl_hash_update(hash, b, b_len);
        hex = zl_hash_finish(hash, text) + strlen("sha256:");
        for (size_t i = 0; i < DIGEST; i++)
                out[i] = (uint8_t)(zl_hex_digit(hex[2 * i]) << 4 | zl_hex_digit(hex[2 * i + 1]));
        return 0;
}

static int hmac(const void *key, size_t key_len, const char *text, uint8_t out[DIGEST])
{
        uint8_t inner[BLOCK] = { 0 }, outer[BLOCK], middle[DIGEST];
        int r = 0;

        if (key_len > BLOCK)
                r = digest(key, key_len, "", 0, inner);
        else
                memcpy(inner, key, key_len);
        for (size_t i = 0; i < BLOCK; i++) {
                outer[i] = inner[i] ^ 0x5c;
                inner[i] ^= 0x36;
        }
        if (r >= 0)
                r = digest(inner, BLOCK, text, strlen(text), middle);
        if (r >= 0)
                r = digest(outer, BLOCK, middle, DIGEST, out);
        explicit_bzero(inner, sizeof(inner));
        explicit_bzero(outer, sizeof(outer));
        return r;
}

static void put_hex(struct zl_buf *out, const uint8_t bytes[DIGEST])
{
        for (size_t i = 0; i < DIGEST; i++)
                zl_buf_putf(out, "%02x", bytes[i]);
}

static const char *signed_names(const struct zl_s3_signature *s)
{
        return s->token ? "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
                        : "host;x-amz-content-sha256;x-amz-date";
}

/* "ALGORITHM, date, scope, digest of the request in its canonical form". */
static int string_to_sign(const struct zl_s3_signature *s, const char *date, const char *scope,
                          struct zl_buf *out)
{
        _cleanup_buf_ struct zl_buf request = ZL_BUF_INIT(TEXT_MAX_BYTES);
        uint8_t hash[DIGEST];
        int r;

        zl_buf_putf(&request, "%s\n%s\n\nhost:%s\nx-amz-content-sha256:%s\nx-amz-date:%s\n",
                    s->method, s->path, s->host, s->payload, date);
        if (s->token)
                zl_buf_putf(&request, "x-amz-security-token:%s\n", s->token);
        zl_buf_putf(&request, "\n%s\n%s", signed_names(s), s->payload);
        r = zl_buf_error(&request);
        if (r >= 0)
                r = digest(request.data, request.len, "", 0, hash);
        if (r < 0)
                return r;
        zl_buf_putf(out, "AWS4-HMAC-SHA256\n%s\n%s\n", date, scope);
        put_hex(out, hash);
        return zl_buf_error(out);
}

static int signing_key(const struct zl_s3_signature *s, const char *day, uint8_t key[DIGEST])
{
        _cleanup_free_ char *first = NULL;
        int r;

        if (asprintf(&first, "AWS4%s", s->secret) < 0)
                return -ENOMEM;
        r = hmac(first, strlen(first), day, key);
        explicit_bzero(first, strlen(first));
        r = r < 0 ? r : hmac(key, DIGEST, s->region, key);
        r = r < 0 ? r : hmac(key, DIGEST, "s3", key);
        return r < 0 ? r : hmac(key, DIGEST, "aws4_request", key);
}

int zl_s3_sign(const struct zl_s3_signature *s, char ***ret_headers)
{
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(TEXT_MAX_BYTES);
        _cleanup_buf_ struct zl_buf value = ZL_BUF_INIT(TEXT_MAX_BYTES);
        _cleanup_strv_ char **headers = NULL;
        _cleanup_free_ char *scope = NULL;
        uint8_t key[DIGEST], signature[DIGEST];
        time_t seconds = s->time / ZL_NSEC_PER_SEC;
        char date[32], day[16];
        struct tm tm;
        int r;

        gmtime_r(&seconds, &tm);
        strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm);
        strftime(day, sizeof(day), "%Y%m%d", &tm);
        if (asprintf(&scope, "%s/%s/s3/aws4_request", day, s->region) < 0)
                return -ENOMEM;
        r = string_to_sign(s, date, scope, &text);
        r = r < 0 ? r : signing_key(s, day, key);
        r = r < 0 ? r : hmac(key, DIGEST, text.data, signature);
        if (r < 0)
                return r;
        zl_buf_putf(&value,
                    "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=", s->id, scope,
                    signed_names(s));
        put_hex(&value, signature);
        if (zl_buf_error(&value) < 0 || zl_strv_pushf(&headers, "x-amz-date: %s", date) < 0 ||
            zl_strv_pushf(&headers, "x-amz-content-sha256: %s", s->payload) < 0 ||
            (s->token && zl_strv_pushf(&headers, "x-amz-security-token: %s", s->token) < 0) ||
            zl_strv_pushf(&headers, "Authorization: %s", value.data) < 0)
                return -ENOMEM;
        *ret_headers = zl_take_ptr(headers);
        return 0;
}
