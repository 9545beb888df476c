/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See secrets.h. The document is small and changes rarely, so it is read anew for each call and replaced as a whole: what
 * another process changed is seen at once, and a crash leaves the old one or the new one.
 *
 *     {"version": 1, "salt": TEXT, "check": BASE64, "secrets": {SCOPE: {NAME: {"sealed": BASE64, "updated_at": NSEC}}}}
 *
 * "check" is a known text sealed with the key: a wrong key is told as such, and cannot add values that nobody could read.
 */
#include "agent/secrets.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/seal.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/random.h"

enum { FILE_MAX = 256 << 20, KEY_FILE_MAX = 4096, SALT_LEN = 32, VERSION = 1 };

static const char file_name[] = "secrets.json", lock_name[] = "secrets.lock";
static const char check_label[] = "check", check_text[] = "zlayer secrets";

struct zl_secrets {
        struct zl_secrets_options options;
        char *root_dir, *key_path;
        int dir;
        bool has_key;
        struct zl_seal_key key;
};

static void free_sealed(struct zl_sealed *sealed)
{
        free(sealed->data);
}
#define _cleanup_sealed_ _cleanup_(free_sealed)

/* ---- small things ------------------------------------------------------------------------------------------- */

void zl_secret_wipe(char *value)
{
        if (value)
                explicit_bzero(value, strlen(value));
        free(value);
}

bool zl_secret_name_is_valid(const char *name)
{
        size_t len = strlen(name);

        if (len == 0 || len > ZL_SECRET_NAME_MAX)
                return false;
        for (const char *p = name; *p; p++)
                if (!isalnum((unsigned char)*p) && !strchr("_-.", *p))
                        return false;
        return true;
}

char *zl_secret_scope(const char *deployment, const struct zl_secret_ref *ref)
{
        char *scope;
        int n;

        if (ref->environment)
                n = asprintf(&scope, "%s:%s", ref->project ? ref->project : "", ref->environment);
        else if (ref->service)
                n = asprintf(&scope, "%s/%s", deployment, ref->service);
        else
                return strdup(deployment);
        return n < 0 ? NULL : scope;
}

static json_t *sealed_json(const struct zl_sealed *sealed)
{
        _cleanup_free_ char *text = zl_base64_encode(sealed->data, sealed->len);

        return text ? json_string(text) : NULL;
}

/* 0, -EINVAL or -ENOMEM. */
static int parse_sealed(const json_t *text, struct zl_sealed *ret)
{
        char *data;
        size_t len;
        int r = json_is_string(text) ? zl_base64_decode(json_string_value(text), &data, &len)
                                     : -EINVAL;

        if (r == 0)
                *ret = (struct zl_sealed){ (uint8_t *)data, len };
        return r;
}

static int fail_corrupt(const struct zl_secrets *s, const char *what, struct zl_error *err)
{
        return zl_fail(err, ZL_E_CORRUPT, 0, "%s/%s is damaged: %s", s->root_dir, file_name, what);
}

/* ---- opening ------------------------------------------------------------------------------------------------- */

int zl_secrets_open(const struct zl_secrets_options *options, struct zl_secrets **ret,
                    struct zl_error *err)
{
        const char *key_path = options->getenv(options->getenv_data, "ZLAYER_SECRETS_KEY_FILE");
        struct zl_secrets *s = calloc(1, sizeof(*s));
        int dir;

        if (!s)
                return zl_fail_oom(err);
        s->dir = -EBADF;
        s->options = *options;
        s->root_dir = strdup(options->root_dir);
        s->key_path = key_path && *key_path ? strdup(key_path)
                                            : zl_path_join(options->root_dir, "secrets.key");
        if (!s->root_dir || !s->key_path) {
                zl_secrets_close(s);
                return zl_fail_oom(err);
        }
        s->options.root_dir = s->root_dir;
        dir = zl_open_dir_at(AT_FDCWD, s->root_dir, 0711, err);
        if (dir < 0) {
                zl_secrets_close(s);
                return dir;
        }
        s->dir = dir;
        *ret = s;
        return 0;
}

void zl_secrets_close(struct zl_secrets *s)
{
        if (!s)
                return;
        zl_seal_key_wipe(&s->key);
        zl_close(s->dir);
        free(s->root_dir);
        free(s->key_path);
        free(s);
}

/* ---- the key --------------------------------------------------------------------------------------------------- */

static const char *setting(const struct zl_secrets *s, const char *name)
{
        const char *value = s->options.getenv(s->options.getenv_data, name);

        return value && *value ? value : NULL;
}

/* 1: read; 0: there is no such file. Others must not be able to read it. */
static int read_key_file(struct zl_secrets *s, struct zl_error *err)
{
        _cleanup_close_ int fd = open(s->key_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct stat st;
        char *text;
        int r;

        if (fd < 0 && errno == ENOENT)
                return 0;
        if (fd < 0 || fstat(fd, &st) < 0)
                return zl_fail_errno(err, errno, "cannot open the key of the secrets, %s",
                                     s->key_path);
        if (!S_ISREG(st.st_mode) || (st.st_mode & 077) || st.st_uid != geteuid()) {
                zl_fail(err, ZL_E_PERMISSION, 0,
                        "the key of the secrets, %s, can be read by others or is no file of ours",
                        s->key_path);
                zl_error_hint(err, "chmod 600 %s", s->key_path);
                return -EACCES; /* as zl_fail() gives it */
        }
        r = zl_read_fd(fd, KEY_FILE_MAX, &text, NULL);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", s->key_path);
        r = zl_seal_key_parse(text, &s->key);
        zl_secret_wipe(text);
        if (r < 0)
                return zl_fail(err, ZL_E_INVALID, 0, "%s does not hold 64 hexadecimal digits",
                               s->key_path);
        return 1;
}

static int make_key_file(struct zl_secrets *s, struct zl_error *err)
{
        char text[2 * ZL_SEAL_KEY_LEN + 2];
        int r;

        zl_random_hex(text, sizeof(text) - 2);
        text[sizeof(text) - 2] = '\n';
        r = zl_write_file_at(AT_FDCWD, s->key_path, text, sizeof(text) - 1, 0600,
                             ZL_WRITE_SYNC | ZL_WRITE_EXCLUSIVE);
        explicit_bzero(text, sizeof(text));
        if (r < 0 && r != -EEXIST)
                return zl_fail_errno(err, -r, "cannot make the key of the secrets, %s",
                                     s->key_path);
        r = read_key_file(s, err);
        return r == 0 ? zl_fail(err, ZL_E_IO, 0, "%s is gone again", s->key_path) : r;
}

static int get_key(struct zl_secrets *s, json_t *document, bool make, struct zl_error *err)
{
        const char *text = setting(s, "ZLAYER_SECRETS_KEY");
        const char *password = setting(s, "ZLAYER_SECRETS_PASSWORD");
        const char *salt = zl_json_str(document, "salt", "");
        int r;

        if (text && zl_seal_key_parse(text, &s->key) < 0)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "ZLAYER_SECRETS_KEY does not hold 64 hexadecimal digits");
        if (text)
                return 0;
        if (password) {
                if (zl_seal_key_derive(password, salt, strlen(salt), &s->key) < 0)
                        return zl_fail(err, ZL_E_INTERNAL, 0,
                                       "no key can be made of ZLAYER_SECRETS_PASSWORD");
                return 0;
        }
        r = read_key_file(s, err);
        if (r == 0 && make)
                r = make_key_file(s, err);
        if (r == 0) {
                r = zl_fail(err, ZL_E_CONFIGURATION, 0, "the key of the secrets, %s, is missing",
                            s->key_path);
                zl_error_hint(err, "restore it, or set ZLAYER_SECRETS_KEY, "
                                   "ZLAYER_SECRETS_PASSWORD or ZLAYER_SECRETS_KEY_FILE");
        }
        return r < 0 ? r : 0;
}

static int check_key(struct zl_secrets *s, json_t *document, struct zl_error *err)
{
        _cleanup_sealed_ struct zl_sealed sealed = { 0 };
        _cleanup_free_ char *text = NULL;
        size_t len;

        if (parse_sealed(json_object_get(document, "check"), &sealed) < 0)
                return fail_corrupt(s, "no check of the key", err);
        if (zl_unseal(&s->key, check_label, &sealed, &text, &len) == 0 &&
            zl_streq(text, check_text))
                return 0;
        zl_fail(err, ZL_E_PERMISSION, 0, "%s/%s was made with another key", s->root_dir, file_name);
        zl_error_hint(err, "use the key or the password with which the first secret was set");
        return -EACCES;
}

/* The key that fits `document`; for a new document it is chosen, and its check put in. */
static int fit_key(struct zl_secrets *s, json_t *document, struct zl_error *err)
{
        _cleanup_sealed_ struct zl_sealed sealed = { 0 };
        bool is_new = !json_object_get(document, "check");
        int r;

        if (s->has_key && !is_new && check_key(s, document, NULL) == 0)
                return 0;
        r = get_key(s, document, is_new, err);
        if (r == 0 && is_new) {
                r = zl_seal(&s->key, check_label, check_text, strlen(check_text), &sealed);
                if (r < 0)
                        return zl_fail_errno(err, -r, "cannot encrypt");
                r = zl_json_set(document, "check", sealed_json(&sealed));
                r = r < 0 ? zl_fail_oom(err) : 0;
        } else if (r == 0) {
                r = check_key(s, document, err);
        }
        s->has_key = r == 0;
        return r;
}

/* ---- the document ------------------------------------------------------------------------------------------------ */

static json_t *new_document(void)
{
        char salt[SALT_LEN + 1];

        zl_random_hex(salt, SALT_LEN);
        return json_pack("{s:i, s:s, s:{}}", "version", VERSION, "salt", salt, "secrets");
}

static int load(struct zl_secrets *s, json_t **ret, struct zl_error *err)
{
        _cleanup_json_ json_t *document = NULL;
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r = zl_read_file_at(s->dir, file_name, FILE_MAX, &text, &len);

        if (r == -ENOENT) {
                *ret = new_document();
                return *ret ? 0 : zl_fail_oom(err);
        }
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s/%s", s->root_dir, file_name);
        r = zl_json_parse(text, len, file_name, &document, err);
        if (r < 0)
                return r;
        if (zl_json_int(document, "version", 0) != VERSION ||
            !json_is_object(json_object_get(document, "secrets")))
                return fail_corrupt(s, "not a store of this version", err);
        *ret = zl_take_ptr(document);
        return 0;
}

static int save(struct zl_secrets *s, json_t *document, struct zl_error *err)
{
        _cleanup_free_ char *text = zl_json_dump(document, 0);
        int r;

        if (!text)
                return zl_fail_oom(err);
        r = zl_write_file_at(s->dir, file_name, text, strlen(text), 0600, ZL_WRITE_SYNC);
        return r < 0 ? zl_fail_errno(err, -r, "cannot write %s/%s", s->root_dir, file_name) : 0;
}

static int lock(struct zl_secrets *s, struct zl_error *err)
{
        _cleanup_close_ int fd = openat(s->dir, lock_name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        int r = fd < 0 ? -errno : zl_lock_fd(fd, true, true);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot lock the secrets in %s", s->root_dir);
        return zl_take_fd(fd);
}

static json_t *find(json_t *document, const char *scope, const char *name)
{
        json_t *secrets = json_object_get(document, "secrets");

        return json_object_get(json_object_get(secrets, scope), name);
}

static char *make_label(const char *scope, const char *name)
{
        char *label;

        return asprintf(&label, "%s/%s", scope, name) < 0 ? NULL : label;
}

/* ---- changing ------------------------------------------------------------------------------------------------------ */

static int seal_value(struct zl_secrets *s, const char *label, const void *value, size_t len,
                      json_t **ret)
{
        _cleanup_sealed_ struct zl_sealed sealed = { 0 };
        int r = zl_seal(&s->key, label, value, len, &sealed);

        if (r < 0)
                return r;
        *ret = json_pack("{s:o, s:I}", "sealed", sealed_json(&sealed), "updated_at",
                         (json_int_t)zl_now_realtime());
        return *ret ? 0 : -ENOMEM;
}

static int put_entry(json_t *document, const char *scope, const char *name, json_t *entry)
{
        json_t *secrets = json_object_get(document, "secrets");
        json_t *in_scope = json_object_get(secrets, scope);

        if (!in_scope) {
                in_scope = json_object();
                if (zl_json_set(secrets, scope, in_scope) < 0) {
                        json_decref(entry);
                        return -ENOMEM;
                }
        }
        return zl_json_set(in_scope, name, entry);
}

static int check_name(const char *name, struct zl_error *err)
{
        if (zl_secret_name_is_valid(name))
                return 0;
        return zl_fail(err, ZL_E_INVALID, 0,
                       "\"%s\" cannot be the name of a secret: letters, digits, '_', '-' "
                       "and '.', at most %d",
                       name, ZL_SECRET_NAME_MAX);
}

int zl_secret_put(struct zl_secrets *s, const char *scope, const char *name, const void *value,
                  size_t len, struct zl_error *err)
{
        _cleanup_free_ char *label = make_label(scope, name);
        _cleanup_json_ json_t *document = NULL;
        _cleanup_close_ int locked = -EBADF;
        json_t *entry;
        int r;

        if (!label)
                return zl_fail_oom(err);
        r = check_name(name, err);
        if (r < 0)
                return r;
        if (len > ZL_SECRET_VALUE_MAX)
                return zl_fail(err, ZL_E_INVALID, 0, "secret %s: %zu bytes are more than %d", name,
                               len, ZL_SECRET_VALUE_MAX);
        locked = lock(s, err);
        if (locked < 0)
                return locked;
        r = load(s, &document, err);
        if (r == 0)
                r = fit_key(s, document, err);
        if (r < 0)
                return r;
        r = seal_value(s, label, value, len, &entry);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot encrypt the secret %s", name);
        if (put_entry(document, scope, name, entry) < 0)
                return zl_fail_oom(err);
        return save(s, document, err);
}

int zl_secret_remove(struct zl_secrets *s, const char *scope, const char *name,
                     struct zl_error *err)
{
        _cleanup_json_ json_t *document = NULL;
        _cleanup_close_ int locked = lock(s, err);
        json_t *secrets, *in_scope;
        int r;

        if (locked < 0)
                return locked;
        r = load(s, &document, err);
        if (r < 0)
                return r;
        if (!find(document, scope, name))
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "there is no secret %s%s%s", name,
                               *scope ? " of " : "", scope);
        secrets = json_object_get(document, "secrets");
        in_scope = json_object_get(secrets, scope);
        json_object_del(in_scope, name);
        if (json_object_size(in_scope) == 0)
                json_object_del(secrets, scope);
        return save(s, document, err);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct value {
        char *text; /* owned; a NUL behind `len` bytes */
        size_t len;
};

static int open_value(struct zl_secrets *s, json_t *document, const char *scope, const char *name,
                      struct value *ret, struct zl_error *err)
{
        _cleanup_sealed_ struct zl_sealed sealed = { 0 };
        _cleanup_free_ char *label = make_label(scope, name);
        int r = fit_key(s, document, err);

        if (r < 0)
                return r;
        if (!label)
                return zl_fail_oom(err);
        if (parse_sealed(json_object_get(find(document, scope, name), "sealed"), &sealed) < 0)
                return fail_corrupt(s, "a value is not base64", err);
        r = zl_unseal(&s->key, label, &sealed, &ret->text, &ret->len);
        if (r == -ENOMEM)
                return zl_fail_oom(err);
        return r < 0 ? fail_corrupt(s, "a value was changed or moved", err) : 0;
}

/* The member of a JSON object as text: null is empty, objects and arrays are JSON. */
static int take_field(const char *name, const char *field, const struct value *value, char **ret,
                      struct zl_error *err)
{
        _cleanup_json_ json_t *document = NULL;
        json_t *member;

        if (zl_json_parse(value->text, value->len, name, &document, NULL) < 0 ||
            !json_is_object(document))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "the secret %s is no JSON object, so it has no field \"%s\"", name,
                               field);
        member = json_object_get(document, field);
        if (!member)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "the secret %s has no field \"%s\"", name,
                               field);
        if (json_is_null(member))
                *ret = strdup("");
        else if (json_is_string(member))
                *ret = strdup(json_string_value(member));
        else
                *ret = json_dumps(member, JSON_COMPACT | JSON_ENCODE_ANY);
        return *ret ? 0 : zl_fail_oom(err);
}

static int resolve_in(struct zl_secrets *s, const char *scope, const struct zl_secret_ref *ref,
                      json_t *document, char **ret, struct zl_error *err)
{
        struct value value;
        char *text = NULL;
        int r = open_value(s, document, scope, ref->name, &value, err);

        if (r < 0)
                return r;
        if (!ref->field && strlen(value.text) == value.len) {
                *ret = value.text;
                return 0;
        }
        if (!ref->field)
                r = zl_fail(err, ZL_E_INVALID, 0,
                            "the secret %s holds a zero byte and cannot be a variable", ref->name);
        else
                r = take_field(ref->name, ref->field, &value, &text, err);
        explicit_bzero(value.text, value.len);
        free(value.text);
        if (r == 0)
                *ret = text;
        return r;
}

int zl_secret_resolve(struct zl_secrets *s, const char *deployment, const struct zl_secret_ref *ref,
                      char **ret, struct zl_error *err)
{
        _cleanup_free_ char *own = zl_secret_scope(deployment, ref);
        _cleanup_json_ json_t *document = NULL;
        const char *scope = own;
        int r;

        if (!own)
                return zl_fail_oom(err);
        r = load(s, &document, err);
        if (r < 0)
                return r;
        if (!find(document, scope, ref->name) && !ref->service && !ref->environment)
                scope = "";
        if (find(document, scope, ref->name))
                return resolve_in(s, scope, ref, document, ret, err);
        r = zl_fail(err, ZL_E_NOT_FOUND, 0, "there is no secret %s of %s", ref->name, own);
        if (ref->environment)
                zl_error_hint(err, "zlayer-agent secret set %s/%s", own, ref->name);
        else
                zl_error_hint(err, "zlayer-agent secret set --deployment %s %s%s%s%s", deployment,
                              ref->service ? "@" : "", ref->service ? ref->service : "",
                              ref->service ? "/" : "", ref->name);
        return r;
}

/* ---- listing ----------------------------------------------------------------------------------------------------- */

void zl_secret_info_free(struct zl_secret_info *infos, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                free(infos[i].scope);
                free(infos[i].name);
        }
        free(infos);
}

static int compare_infos(const void *a, const void *b)
{
        const struct zl_secret_info *x = a, *y = b;
        int c = strcmp(x->scope, y->scope);

        return c ? c : strcmp(x->name, y->name);
}

static size_t count(json_t *secrets)
{
        const char *scope;
        json_t *in_scope;
        size_t n = 0;

        json_object_foreach(secrets, scope, in_scope) n += json_object_size(in_scope);
        return n;
}

int zl_secret_list(struct zl_secrets *s, struct zl_secret_info **ret, size_t *ret_n,
                   struct zl_error *err)
{
        _cleanup_json_ json_t *document = NULL;
        struct zl_secret_info *infos;
        const char *scope, *name;
        json_t *secrets, *in_scope, *entry;
        size_t n = 0;
        int r = load(s, &document, err);

        if (r < 0)
                return r;
        secrets = json_object_get(document, "secrets");
        infos = calloc(count(secrets) + 1, sizeof(*infos));
        if (!infos)
                return zl_fail_oom(err);
        json_object_foreach(secrets, scope, in_scope) json_object_foreach(in_scope, name, entry)
        {
                infos[n].scope = strdup(scope);
                infos[n].name = strdup(name);
                infos[n].updated_at = zl_json_int(entry, "updated_at", 0);
                if (!infos[n].scope || !infos[n++].name) {
                        zl_secret_info_free(infos, n);
                        return zl_fail_oom(err);
                }
        }
        qsort(infos, n, sizeof(*infos), compare_infos);
        *ret = infos;
        *ret_n = n;
        return 0;
}

/* ---- what people write ---------------------------------------------------------------------------------------- */

void zl_secret_target_done(struct zl_secret_target *t)
{
        zl_secret_ref_done(&t->ref);
        free(t->scope);
}

int zl_secret_target_parse(const char *text, const char *deployment, struct zl_secret_target *ret,
                           struct zl_error *err)
{
        struct zl_secret_target t = { 0 };
        int r = zl_secret_ref_parse(text, &t.ref);

        if (r == -ENOMEM)
                return zl_fail_oom(err);
        if (r < 0 || t.ref.field) {
                r = zl_fail(err, ZL_E_INVALID, 0, "\"%s\" names no secret", text);
                zl_error_hint(err, "forms: NAME, @SERVICE/NAME, :ENVIRONMENT/NAME, "
                                   "PROJECT:ENVIRONMENT/NAME");
        } else if (t.ref.service && !deployment) {
                r = zl_fail(err, ZL_E_INVALID, 0, "\"%s\": of which deployment?", text);
                zl_error_hint(err, "name the deployment, too");
        } else if (t.ref.environment && deployment) {
                r = zl_fail(err, ZL_E_INVALID, 0,
                            "\"%s\" belongs to an environment, not to a deployment", text);
        }
        if (r == 0)
                r = check_name(t.ref.name, err);
        if (r == 0 && !(t.scope = zl_secret_scope(deployment ? deployment : "", &t.ref)))
                r = zl_fail_oom(err);
        if (r < 0)
                zl_secret_target_done(&t);
        else
                *ret = t;
        return r;
}
