/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials (see auth.h). Passwords are kept in memory only as long as a pull runs and never appear in messages.
 */
#include "image/auth.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/base64.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"

enum { CONFIG_MAX = 4 << 20 };

static void wipe(char *s)
{
        if (s)
                explicit_bzero(s, strlen(s));
        free(s);
}

void zl_credentials_done(struct zl_credentials *c)
{
        free(c->username);
        wipe(c->password);
        *c = (struct zl_credentials){ 0 };
}

static char *config_path(void)
{
        const char *dir = getenv("DOCKER_CONFIG");
        const char *home = getenv("HOME");

        if (dir && *dir)
                return zl_path_join(dir, "config.json");
        return zl_path_join(home && *home ? home : "/root", ".docker/config.json");
}

/* base64 of "user:password" */
static int decode_auth(const char *text, struct zl_credentials *ret)
{
        _cleanup_free_ char *raw = NULL;
        char *colon;
        size_t len;
        int r;

        if (!*text || strlen(text) > 1 << 20)
                return -EINVAL;
        r = zl_base64_decode(text, &raw, &len);
        if (r < 0)
                return r;
        colon = strchr(raw, ':');
        if (!colon)
                return -EINVAL;
        *colon = 0;
        if (zl_replace_str(&ret->username, raw) < 0 ||
            zl_replace_str(&ret->password, colon + 1) < 0)
                return -ENOMEM;
        explicit_bzero(raw, len);
        return 0;
}

static int take_entry(const json_t *entry, struct zl_credentials *ret)
{
        const char *user = zl_json_str(entry, "username", "");
        const char *password = zl_json_str(entry, "password", "");
        const char *auth = zl_json_str(entry, "auth", "");

        if (*user && *password)
                return zl_replace_str(&ret->username, user) < 0 ||
                                       zl_replace_str(&ret->password, password) < 0
                               ? -ENOMEM
                               : 0;
        return *auth ? decode_auth(auth, ret) : 0;
}

static const json_t *find_entry(const json_t *auths, const char *registry)
{
        const json_t *entry = json_object_get(auths, registry);
        char key[512];

        if (entry)
                return entry;
        snprintf(key, sizeof key, "https://%s", registry);
        entry = json_object_get(auths, key);
        if (!entry &&
            (zl_streq(registry, "docker.io") || zl_streq(registry, "registry-1.docker.io")))
                entry = json_object_get(auths, "https://index.docker.io/v1/");
        return entry;
}

int zl_credentials_load(const char *registry, struct zl_credentials *ret, struct zl_error *err)
{
        _cleanup_free_ char *path = config_path(), *text = NULL;
        _cleanup_json_ json_t *json = NULL;
        const json_t *entry;
        size_t len;
        int r;

        if (!path)
                return zl_fail_oom(err);
        r = zl_read_file_at(AT_FDCWD, path, CONFIG_MAX, &text, &len);
        if (r == -ENOENT || r == -ENOTDIR)
                return 0;
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", path);
        r = zl_json_parse(text, len, path, &json, err);
        if (r < 0)
                return r;
        entry = find_entry(json_object_get(json, "auths"), registry);
        r = entry ? take_entry(entry, ret) : 0;
        explicit_bzero(text, len);
        if (r == -ENOMEM)
                return zl_fail_oom(err);
        return r < 0 ? zl_fail(err, ZL_E_INVALID, 0, "%s: the entry of %s has a malformed \"auth\"",
                               path, registry)
                     : 0;
}

char *zl_credentials_basic(const struct zl_credentials *c)
{
        _cleanup_free_ char *plain = NULL, *code = NULL;
        char *text;
        int n = asprintf(&plain, "%s:%s", c->username ? c->username : "",
                         c->password ? c->password : "");

        if (n < 0) {
                plain = NULL;
                return NULL;
        }
        code = zl_base64_encode(plain, (size_t)n);
        if (!code || asprintf(&text, "Basic %s", code) < 0)
                text = NULL;
        explicit_bzero(plain, (size_t)n);
        if (code)
                explicit_bzero(code, strlen(code));
        return text;
}

/* ---- challenges ------------------------------------------------------------------------------------------ */

void zl_challenge_done(struct zl_challenge *c)
{
        free(c->realm);
        free(c->service);
        free(c->scope);
        *c = (struct zl_challenge){ 0 };
}

/* A token or a quoted string with \ escapes; moves *p behind it. The caller frees it. */
static char *take_value(const char **p)
{
        const char *s = *p;
        char *out, *o;

        if (*s != '"') {
                size_t n = strcspn(s, ", \t");

                *p = s + n;
                return strndup(s, n);
        }
        o = out = malloc(strlen(s) + 1);
        if (!out)
                return NULL;
        for (s++; *s && *s != '"'; s++) {
                if (*s == '\\' && s[1])
                        s++;
                *o++ = *s;
        }
        *o = 0;
        *p = *s ? s + 1 : s;
        return out;
}

int zl_challenge_parse(const char *text, struct zl_challenge *ret)
{
        _cleanup_challenge_ struct zl_challenge c = { 0 };
        const char *p = text;

        c.bearer = strncasecmp(p, "Bearer", 6) == 0;
        c.basic = strncasecmp(p, "Basic", 5) == 0;
        p += c.bearer ? 6 : c.basic ? 5 : 0;
        if ((!c.bearer && !c.basic) || (*p && *p != ' '))
                return -EINVAL;
        for (p += strspn(p, " \t,"); *p; p += strspn(p, " \t,")) {
                size_t n = strcspn(p, "= \t,");
                const char *key = p;
                char **slot = NULL, *value;

                if (p[n] != '=')
                        return -EINVAL;
                p += n + 1;
                value = take_value(&p);
                if (!value)
                        return -ENOMEM;
                if (n == 5 && strncasecmp(key, "realm", n) == 0)
                        slot = &c.realm;
                else if (n == 7 && strncasecmp(key, "service", n) == 0)
                        slot = &c.service;
                else if (n == 5 && strncasecmp(key, "scope", n) == 0)
                        slot = &c.scope;
                if (!slot) {
                        free(value);
                        continue;
                }
                free(*slot);
                *slot = value;
        }
        if (c.bearer && (!c.realm || !*c.realm))
                return -EINVAL;
        *ret = c;
        c = (struct zl_challenge){ 0 };
        return 0;
}
