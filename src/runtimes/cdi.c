/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See cdi.h. All files are read at each call: they are few and short, and their writers change them while we run.
 *
 * What may go wrong: a file of another vendor is broken. It does not stand in the way of the others, but is named where a device is not
 * found, for it may have been in there.
 */
#include "runtimes/cdi.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/strv.h"
#include "schema/arena.h"
#include "schema/schema.h"
#include "schema/yaml.h"

enum { FILE_MAX = 4 << 20, TREE_MAX = 64 << 20 };

/* ---- the document --------------------------------------------------------------------------------------------- */

#define STR(S, key, member)                                                                        \
        ZL_FIELD(struct zl_cdi_##S, key, member, zl_type_str, .flags = ZL_OPTIONAL)
#define REQ(S, key, member)                                                                        \
        ZL_FIELD(struct zl_cdi_##S, key, member, zl_type_str, .flags = ZL_REQUIRED)
#define STRV(S, key, member) ZL_FIELD(struct zl_cdi_##S, key, member, zl_type_strv)
#define OPT(S, key, member, type)                                                                  \
        ZL_FIELD(struct zl_cdi_##S, key, member, type, ZL_HAS(struct zl_cdi_##S, has_##member))
#define LIST(S, key, member, type)                                                                 \
        ZL_FIELD(struct zl_cdi_##S, key, member, type, ZL_COUNT(struct zl_cdi_##S, n_##member))
#define TYPE(S)                                                                                    \
        static const struct zl_type S##_type = ZL_TYPE_STRUCT(struct zl_cdi_##S, #S, S##_fields,   \
                                                              .ignore_unknown = true)
#define TYPE_AND_LIST(S)                                                                           \
        TYPE(S);                                                                                   \
        static const struct zl_type S##s_type = ZL_TYPE_LIST(S##_type)

static const struct zl_type u32s_type = ZL_TYPE_LIST(zl_type_u32);

static const struct zl_field node_fields[] = {
        REQ(node, "path", path),
        STR(node, "hostPath", host_path),
        STR(node, "type", type),
        OPT(node, "major", major, zl_type_i64),
        OPT(node, "minor", minor, zl_type_i64),
        OPT(node, "fileMode", file_mode, zl_type_u32),
        OPT(node, "uid", uid, zl_type_u32),
        OPT(node, "gid", gid, zl_type_u32),
        STR(node, "permissions", permissions),
};
TYPE_AND_LIST(node);

static const struct zl_field mount_fields[] = {
        REQ(mount, "hostPath", host_path),
        REQ(mount, "containerPath", container_path),
        STR(mount, "type", type),
        STRV(mount, "options", options),
};
TYPE_AND_LIST(mount);

static const struct zl_field hook_fields[] = {
        REQ(hook, "hookName", name),
        REQ(hook, "path", path),
        STRV(hook, "args", args),
        STRV(hook, "env", env),
        OPT(hook, "timeout", timeout, zl_type_i64),
};
TYPE_AND_LIST(hook);

static const struct zl_field edits_fields[] = {
        STRV(edits, "env", env),
        LIST(edits, "deviceNodes", nodes, nodes_type),
        LIST(edits, "mounts", mounts, mounts_type),
        LIST(edits, "hooks", hooks, hooks_type),
        LIST(edits, "additionalGids", gids, u32s_type),
};
TYPE(edits);

static const struct zl_field device_fields[] = {
        REQ(device, "name", name),
        ZL_FIELD(struct zl_cdi_device, "containerEdits", edits, edits_type),
};
TYPE_AND_LIST(device);

static const struct zl_field spec_fields[] = {
        REQ(spec, "kind", kind),
        LIST(spec, "devices", devices, devices_type),
        ZL_FIELD(struct zl_cdi_spec, "containerEdits", edits, edits_type),
};
TYPE(spec);

void zl_cdi_spec_free(struct zl_cdi_spec *spec)
{
        if (!spec)
                return;
        zl_arena_free(spec->arena);
        free(spec->path);
        free(spec);
}

static int decode_yaml(struct zl_cdi_spec *spec, const char *text, size_t len, struct zl_error *err)
{
        _cleanup_(zl_problems_freep) struct zl_problems *problems = zl_problems_new();
        const struct zl_decode_options options = {
                .arena = spec->arena, .flags = ZL_DECODE_NULL_IS_ABSENT | ZL_DECODE_IGNORE_UNKNOWN
        };
        struct zl_node *root;
        int r = problems ? zl_yaml_read(spec->arena, text, len, problems, &root, err)
                         : zl_fail_oom(err);

        if (r < 0)
                return zl_error_is_set(err) ? r : zl_problems_fail(problems, err);
        r = zl_schema_decode(&spec_type, root, &options, spec, problems);
        if (r == -ENOMEM)
                return zl_fail_oom(err);
        return r < 0 ? zl_problems_fail(problems, err) : 0;
}

static int read_checked(int dir, const char *file, char **ret, size_t *ret_len)
{
        _cleanup_close_ int fd = openat(dir, file, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) ||
            (st.st_mode & 022))
                return -EPERM;
        return zl_read_fd(fd, FILE_MAX, ret, ret_len);
}

static bool has_suffix(const char *text, const char *suffix)
{
        size_t len = strlen(text), n = strlen(suffix);

        return len > n && zl_streq(text + len - n, suffix);
}

static int load(int dir, const char *dir_path, const char *file, struct zl_cdi_spec **ret,
                struct zl_error *err)
{
        _cleanup_(zl_cdi_spec_freep) struct zl_cdi_spec *spec = calloc(1, sizeof(*spec));
        struct zl_arena *arena = zl_arena_new(TREE_MAX);
        _cleanup_free_ char *text = NULL;
        size_t len = 0;
        char *path;
        int r;

        if (!spec || !arena || !(path = spec->path = zl_path_join(dir_path, file))) {
                zl_arena_free(arena);
                return zl_fail_oom(err);
        }
        spec->arena = arena;
        r = read_checked(dir, file, &text, &len);
        if (r == -EPERM)
                return zl_fail(
                        err, ZL_E_PERMISSION, 0,
                        "%s is not believed: others than root and the present user may write it",
                        path);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", path);
        r = has_suffix(file, ".json")
                    ? zl_schema_read_json(&spec_type, text, len, path, arena, spec, err)
                    : decode_yaml(spec, text, len, err);
        /* Decoding begins with an empty value. */
        spec->arena = arena;
        spec->path = path;
        if (r < 0) {
                zl_error_prefix(err, "%s", path);
                return r;
        }
        *ret = zl_take_ptr(spec);
        return 0;
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

/* Letters and digits at both ends, of the rest `more`, too. */
static bool is_word(const char *text, size_t len, bool letter_first, const char *more)
{
        if (len == 0 || !isalnum((unsigned char)text[0]) ||
            (letter_first && !isalpha((unsigned char)text[0])) ||
            !isalnum((unsigned char)text[len - 1]))
                return false;
        for (size_t i = 0; i < len; i++)
                if (!isalnum((unsigned char)text[i]) && !strchr(more, text[i]))
                        return false;
        return true;
}

bool zl_cdi_is_name(const char *text)
{
        const char *slash = strchr(text, '/'), *equal = strchr(text, '=');

        return slash && equal && slash < equal &&
               is_word(text, (size_t)(slash - text), true, "_-.") &&
               is_word(slash + 1, (size_t)(equal - slash - 1), true, "_-") &&
               is_word(equal + 1, strlen(equal + 1), false, "_-.:");
}

/* ---- looking for one --------------------------------------------------------------------------------------------- */

struct search {
        const char *name; /* all of it */
        size_t kind_len;
        struct zl_cdi_spec *spec;
        const struct zl_cdi_device *device;
        struct zl_error *broken; /* the first file that could not be used */
};

static int look_into(struct search *s, int dir, const char *dir_path, const char *file,
                     struct zl_error *err)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        _cleanup_(zl_cdi_spec_freep) struct zl_cdi_spec *spec = NULL;

        if (load(dir, dir_path, file, &spec, &why) < 0) {
                if (!zl_error_is_set(s->broken))
                        zl_error_move(s->broken, &why);
                return 0;
        }
        if (strlen(spec->kind) != s->kind_len || strncmp(spec->kind, s->name, s->kind_len) != 0)
                return 0;
        for (size_t i = 0; i < spec->n_devices; i++) {
                if (!zl_streq(spec->devices[i].name, s->name + s->kind_len + 1))
                        continue;
                if (s->device)
                        return zl_fail(err, ZL_E_NOT_FOUND, 0, "device %s is in %s and in %s",
                                       s->name, s->spec->path, spec->path);
                s->device = &spec->devices[i];
                s->spec = zl_take_ptr(spec);
                return 0;
        }
        return 0;
}

static int is_spec_file(const struct dirent *de)
{
        return de->d_name[0] != '.' &&
               (has_suffix(de->d_name, ".json") || has_suffix(de->d_name, ".yaml") ||
                has_suffix(de->d_name, ".yml"));
}

static int look_into_dir(struct search *s, const char *path, struct zl_error *err)
{
        _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct dirent **files = NULL;
        int r = 0, n = dir < 0 ? 0 : scandirat(dir, ".", &files, is_spec_file, alphasort);

        for (int i = 0; i < n; i++) {
                if (r == 0)
                        r = look_into(s, dir, path, files[i]->d_name, err);
                free(files[i]);
        }
        free(files);
        return r;
}

int zl_cdi_find(const char *dirs, const char *name, struct zl_cdi_spec **ret,
                const struct zl_cdi_device **ret_device, struct zl_error *err)
{
        _cleanup_error_ struct zl_error broken = ZL_ERROR_INIT;
        struct search s = { .name = name, .kind_len = strcspn(name, "="), .broken = &broken };
        _cleanup_free_ char *copy = strdup(dirs ? dirs : "");
        char *colon = copy;
        int r = copy ? 0 : zl_fail_oom(err);

        /* From the last to the first. */
        while (r == 0 && colon && !s.device) {
                colon = strrchr(copy, ':');
                r = look_into_dir(&s, colon ? colon + 1 : copy, err);
                if (colon)
                        *colon = 0;
        }
        if (r == 0 && !s.device) {
                r = zl_fail(err, ZL_E_NOT_FOUND, 0, "device %s is in no file of %s%s%s", name, dirs,
                            zl_error_is_set(&broken) ? "; " : "",
                            zl_error_is_set(&broken) ? zl_error_message(&broken) : "");
                zl_error_hint(err, "the tools of its vendor write such files, as `nvidia-ctk cdi "
                                   "generate --output=/etc/cdi/nvidia.yaml`");
        }
        if (r < 0) {
                zl_cdi_spec_free(s.spec);
                return r;
        }
        *ret = s.spec;
        *ret_device = s.device;
        return 0;
}
