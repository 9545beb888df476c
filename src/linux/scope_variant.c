/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of annotations "org.systemd.property.…", in as much of the text form of GVariant as properties of units need: booleans, numbers
 * with or without their type, texts, and lists of texts. What is something else is refused, not guessed.
 */
#include <errno.h>

#include "base/parse.h"
#include "linux/dbus.h"
#include "linux/scope.h"

static const char *skip_blanks(const char *p)
{
        return p + strspn(p, " \t");
}

/* 'a text' or "a text", with \ before what is meant by itself. Returns what follows, or NULL. */
static const char *put_text(struct zl_buf *b, const char *p)
{
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(4096);
        char quote = *p;

        if (quote != '\'' && quote != '"')
                return NULL;
        for (p++; *p && *p != quote; p++) {
                if (*p == '\\' && p[1])
                        p++;
                zl_buf_putc(&text, *p);
        }
        if (*p != quote || zl_buf_error(&text))
                return NULL;
        zl_dbus_put_string(b, text.data ? text.data : "");
        return p + 1;
}

static int put_list(struct zl_buf *b, const char *p)
{
        size_t place;

        zl_dbus_put_signature(b, "as");
        place = zl_dbus_array_begin(b, 4);
        p = skip_blanks(p + 1);
        while (*p != ']') {
                p = put_text(b, p);
                if (!p)
                        return -EINVAL;
                p = skip_blanks(p);
                if (*p == ',')
                        p = skip_blanks(p + 1);
                else if (*p != ']')
                        return -EINVAL;
        }
        zl_dbus_array_end(b, place, 4);
        return *skip_blanks(p + 1) ? -EINVAL : 0;
}

static int put_number(struct zl_buf *b, const char *p)
{
        static const struct {
                const char *name, *signature;
                bool is_signed, is_wide;
        } types[] = {
                { "uint32 ", "u", false, false }, { "int32 ", "i", true, false },
                { "uint64 ", "t", false, true },  { "int64 ", "x", true, true },
                { "", "i", true, false }, /* as GVariant has it */
        };
        size_t i = 0;
        uint64_t v = 0;
        int64_t s = 0;
        int r;

        while (*types[i].name && !zl_startswith(p, types[i].name))
                i++;
        p = skip_blanks(p + strlen(types[i].name));
        r = types[i].is_signed ? zl_parse_i64(p, &s) : zl_parse_u64(p, 10, &v);
        if (r < 0 || (!types[i].is_wide && (v > UINT32_MAX || s > INT32_MAX || s < INT32_MIN)))
                return -EINVAL;
        if (types[i].is_signed)
                v = (uint64_t)s;
        zl_dbus_put_signature(b, types[i].signature);
        if (types[i].is_wide)
                zl_dbus_put_u64(b, v);
        else
                zl_dbus_put_u32(b, (uint32_t)v);
        return 0;
}

int zl_scope_put_variant(struct zl_buf *b, const char *text)
{
        const char *p = skip_blanks(text);
        int r = 0;

        if (zl_streq(p, "true") || zl_streq(p, "false")) {
                zl_dbus_put_signature(b, "b");
                zl_dbus_put_u32(b, *p == 't');
        } else if (*p == '[') {
                r = put_list(b, p);
        } else if (*p == '\'' || *p == '"') {
                zl_dbus_put_signature(b, "s");
                p = put_text(b, p);
                r = p && !*skip_blanks(p) ? 0 : -EINVAL;
        } else {
                r = put_number(b, p);
        }
        return r < 0 ? r : zl_buf_error(b);
}
