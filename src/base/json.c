/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jansson with our limits. jansson's parser recurses (its own limit is 2048 levels); depth is counted
 * beforehand so that refusing deep input does not depend on how the library was built.
 */
#include "base/json.h"

#include "base/parse.h"

enum { MAX_DEPTH = 512 };

static bool is_too_deep(const char *text, size_t len)
{
        bool in_string = false;
        int depth = 0;

        for (size_t i = 0; i < len; i++) {
                char c = text[i];

                if (in_string) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                in_string = false;
                } else if (c == '"') {
                        in_string = true;
                } else if (c == '{' || c == '[') {
                        if (++depth > MAX_DEPTH)
                                return true;
                } else if (c == '}' || c == ']') {
                        depth--;
                }
        }
        return false;
}

int zl_json_parse(const char *text, size_t len, const char *what, json_t **ret,
                  struct zl_error *err)
{
        json_error_t fault;
        json_t *json;

        if (is_too_deep(text, len))
                return zl_fail(err, ZL_E_INVALID, 0, "%s: nested deeper than %d levels", what,
                               MAX_DEPTH);
        json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
        if (!json)
                return zl_fail(err, ZL_E_INVALID, 0, "%s:%d:%d: not valid JSON: %s", what,
                               fault.line, fault.column, fault.text);
        *ret = json;
        return 0;
}

char *zl_json_dump(const json_t *json, int indent)
{
        return json_dumps(json, JSON_ENCODE_ANY |
                                        (indent > 0 ? JSON_INDENT((size_t)indent) : JSON_COMPACT));
}

const char *zl_json_str(const json_t *object, const char *key, const char *fallback)
{
        const char *s = json_string_value(json_object_get(object, key));

        return s ? s : fallback;
}

int64_t zl_json_int(const json_t *object, const char *key, int64_t fallback)
{
        const json_t *v = json_object_get(object, key);

        return json_is_integer(v) ? json_integer_value(v) : fallback;
}

bool zl_json_bool(const json_t *object, const char *key, bool fallback)
{
        const json_t *v = json_object_get(object, key);

        return json_is_boolean(v) ? json_is_true(v) : fallback;
}

int zl_json_set(json_t *object, const char *key, json_t *value)
{
        if (!value || json_object_set_new(object, key, value) < 0)
                return -ENOMEM;
        return 0;
}

json_t *zl_json_string_lossy(const char *s, size_t len)
{
        _cleanup_buf_ struct zl_buf buf = ZL_BUF_INIT(len * 3 + 1);
        size_t run = 0;

        if (zl_utf8_is_valid(s, len))
                return json_stringn(s, len);
        for (size_t i = 0; i < len; i += run) {
                size_t left = ZL_MIN(len - i, (size_t)4);

                for (run = left; run > 1 && !zl_utf8_is_valid(s + i, run); run--)
                        ;
                if (zl_utf8_is_valid(s + i, run))
                        zl_buf_put(&buf, s + i, run);
                else
                        zl_buf_puts(&buf, "\xef\xbf\xbd");
        }
        return zl_buf_error(&buf) ? NULL : json_stringn(buf.data ? buf.data : "", buf.len);
}
