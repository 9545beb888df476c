/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of an instance as a command line, by a table of the members. Values are complete texts behind "=", so
 * nothing has to be quoted; a directory is HOST, GUEST and mode with a length in front of the first two, because both may
 * hold any character.
 */
#include "wasm/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/strv.h"

enum kind { TEXT, NUMBER, DURATION, FLAG };

#define OPTION(name_, member_, kind_)                                                              \
        {                                                                                          \
                name_, kind_, offsetof(struct zl_wasm_options, member_)                            \
        }

static const struct option_row {
        const char *name;
        enum kind kind;
        size_t offset;
} table[] = {
        OPTION("compiled", compiled, TEXT),
        OPTION("argv0", argv0, TEXT),
        OPTION("memory", memory_max, NUMBER),
        OPTION("fuel", fuel, NUMBER),
        OPTION("epoch", epoch_nsec, DURATION),
        OPTION("epoch-deadline", epoch_deadline, NUMBER),
        OPTION("timeout", timeout_nsec, DURATION),
        OPTION("ready", ready, NUMBER),
        OPTION("reason", reason, TEXT),
        OPTION("http", http, FLAG),
        OPTION("network", network, FLAG),
        OPTION("no-args", no_args, FLAG),
        OPTION("no-env", no_env, FLAG),
        OPTION("no-home", no_home, FLAG),
        OPTION("no-stdin", no_stdin, FLAG),
        OPTION("no-output", no_output, FLAG),
};

static void *member(const struct zl_wasm_options *o, const struct option_row *row)
{
        return (char *)(uintptr_t)o + row->offset;
}

void zl_wasm_options_done(struct zl_wasm_options *o)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(table); i++)
                if (table[i].kind == TEXT)
                        free(*(char **)member(o, &table[i]));
        for (size_t i = 0; i < o->n_dirs; i++) {
                free(o->dirs[i].host);
                free(o->dirs[i].guest);
        }
        free(o->dirs);
        free(o->module);
        zl_strv_free(o->args);
        *o = (struct zl_wasm_options){ 0 };
}

int zl_wasm_options_add_dir(struct zl_wasm_options *o, const char *host, const char *guest,
                            bool readonly)
{
        struct zl_wasm_dir *dirs = reallocarray(o->dirs, o->n_dirs + 1, sizeof(*dirs));
        struct zl_wasm_dir dir = { strdup(host), strdup(guest), readonly };

        if (dirs)
                o->dirs = dirs;
        if (!dirs || !dir.host || !dir.guest) {
                free(dir.host);
                free(dir.guest);
                return -ENOMEM;
        }
        dirs[o->n_dirs++] = dir;
        return 0;
}

static int put_option(const struct zl_wasm_options *o, const struct option_row *row, char ***argv)
{
        const void *p = member(o, row);

        switch (row->kind) {
        case TEXT: {
                const char *s = *(char *const *)p;

                return s ? zl_strv_pushf(argv, "--%s=%s", row->name, s) : 0;
        }
        case NUMBER: {
                uint64_t n = *(const uint64_t *)p;

                return n ? zl_strv_pushf(argv, "--%s=%llu", row->name, (unsigned long long)n) : 0;
        }
        case DURATION: {
                int64_t n = *(const int64_t *)p;

                return n ? zl_strv_pushf(argv, "--%s=%lld", row->name, (long long)n) : 0;
        }
        case FLAG:
                return *(const bool *)p ? zl_strv_pushf(argv, "--%s", row->name) : 0;
        }
        return 0;
}

int zl_wasm_options_to_argv(const struct zl_wasm_options *o, char ***argv)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(table); i++)
                r = put_option(o, &table[i], argv);
        for (size_t i = 0; r == 0 && i < o->n_dirs; i++) {
                const struct zl_wasm_dir *d = &o->dirs[i];

                r = zl_strv_pushf(argv, "--dir=%s:%zu:%zu:%s%s", d->readonly ? "ro" : "rw",
                                  strlen(d->host), strlen(d->guest), d->host, d->guest);
        }
        if (r == 0)
                r = zl_strv_push(argv, "--");
        if (r == 0)
                r = zl_strv_push(argv, o->module);
        return r ? r : zl_strv_extend(argv, o->args);
}

int zl_wasm_command(const struct zl_wasm_options *o, const char *word, char ***argv)
{
        const char *const start[] = { ZL_WASM_ENGINE_MOUNT "/" ZL_WASM_LOADER, "--library-path",
                                      ZL_WASM_ENGINE_MOUNT,
                                      ZL_WASM_ENGINE_MOUNT "/" ZL_WASM_PROGRAM, word };
        int r = 0;

        _Static_assert(ZL_ARRAY_SIZE(start) == ZL_WASM_COMMAND_WORDS, "options.h");
        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(start); i++)
                r = zl_strv_push(argv, start[i]);
        return r < 0 ? r : zl_wasm_options_to_argv(o, argv);
}

/* ---- reading ---------------------------------------------------------------------------------------- */

static int read_value(struct zl_wasm_options *o, const struct option_row *row, const char *value)
{
        void *p = member(o, row);
        char *copy;

        switch (row->kind) {
        case TEXT:
                copy = value ? strdup(value) : NULL;
                if (!copy)
                        return value ? -ENOMEM : -EINVAL;
                free(*(char **)p);
                *(char **)p = copy;
                return 0;
        case NUMBER:
                return value ? zl_parse_u64(value, 10, p) : -EINVAL;
        case DURATION:
                return value ? zl_parse_i64(value, p) : -EINVAL;
        case FLAG:
                *(bool *)p = true;
                return value ? -EINVAL : 0;
        }
        return -EINVAL;
}

/* "ro:HOST-LENGTH:GUEST-LENGTH:HOSTGUEST" */
static int read_dir(struct zl_wasm_options *o, const char *value)
{
        bool readonly = strncmp(value, "ro:", 3) == 0;
        _cleanup_free_ char *host = NULL;
        size_t host_len, guest_len;
        int n = 0;

        if (!readonly && strncmp(value, "rw:", 3) != 0)
                return -EINVAL;
        if (sscanf(value + 3, "%zu:%zu:%n", &host_len, &guest_len, &n) != 2 || n == 0)
                return -EINVAL;
        value += 3 + n;
        if (host_len + guest_len != strlen(value) || host_len > strlen(value))
                return -EINVAL;
        host = strndup(value, host_len);
        return host ? zl_wasm_options_add_dir(o, host, value + host_len, readonly) : -ENOMEM;
}

static int read_option(struct zl_wasm_options *o, const char *text)
{
        const char *eq = strchr(text, '='), *value = eq ? eq + 1 : NULL;
        size_t len = eq ? (size_t)(eq - text) : strlen(text);

        if (len == 3 && value && memcmp(text, "dir", 3) == 0)
                return read_dir(o, value);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(table); i++)
                if (strlen(table[i].name) == len && memcmp(table[i].name, text, len) == 0)
                        return read_value(o, &table[i], value);
        return -EINVAL;
}

int zl_wasm_options_from_argv(char *const *argv, struct zl_wasm_options *ret, struct zl_error *err)
{
        size_t i = 0;

        for (; argv[i] && !zl_streq(argv[i], "--"); i++) {
                const char *text = zl_startswith(argv[i], "--");
                int r = text ? read_option(ret, text) : -EINVAL;

                if (r == -ENOMEM)
                        return zl_fail_oom(err);
                if (r < 0)
                        return zl_fail(err, ZL_E_INVALID, 0, "option \"%s\" is not understood",
                                       argv[i]);
        }
        if (!argv[i] || !argv[i + 1])
                return zl_fail(err, ZL_E_INVALID, 0, "no module is named");
        ret->module = strdup(argv[i + 1]);
        if (!ret->module || zl_strv_extend(&ret->args, &argv[i + 2]) < 0)
                return zl_fail_oom(err);
        return 0;
}
