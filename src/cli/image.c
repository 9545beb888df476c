/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `image`: pull, search, ls, rm, import, save, inspect, prune, tag. They work on the store directly: it is made for several processes,
 * so no daemon is needed and none is asked.
 */
#include "image/image.h"

#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strv.h"
#include "cli/cli.h"
#include "cli/image_progress.h"
#include "oci/image.h"
#include "oci/reference.h"

enum { PASSWORD_MAX = 64 * 1024 };

static int open_store(const struct zl_cli *cli, bool plain_http, struct zl_image_store **ret,
                      struct zl_error *err)
{
        const struct zl_image_store_options options = { .plain_http = plain_http };
        _cleanup_free_ char *path = zl_path_join(cli->root_dir, "images");

        return path ? zl_image_store_open(path, &options, ret, err) : zl_fail_oom(err);
}

/* Names are looked at before anything is done, so that a bad one is wrong usage and the others are not half done. */
static int check_names(char **names, struct zl_error *err)
{
        for (; *names; names++) {
                _cleanup_reference_ struct zl_reference ref = { 0 };
                int r = zl_reference_parse(*names, &ref, NULL, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- pull ---------------------------------------------------------------------------------------------------------- */

struct pull_options {
        const char *platform, *policy, *username;
        bool password_stdin, plain_http, quiet;
};

static int parse_policy(const char *text, enum zl_pull_policy *ret)
{
        static const struct {
                const char *name;
                enum zl_pull_policy policy;
        } names[] = {
                { "always", ZL_PULL_ALWAYS },
                { "newer", ZL_PULL_NEWER },
                { "if_not_present", ZL_PULL_IF_NOT_PRESENT },
                { "never", ZL_PULL_NEVER },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(names); i++)
                if (zl_streq(text, names[i].name)) {
                        *ret = names[i].policy;
                        return 0;
                }
        return -EINVAL;
}

/* The result line of pull and import. */
static void print_result(const struct zl_cli *cli, const char *name, const char *digest)
{
        _cleanup_json_ json_t *json = NULL;
        _cleanup_free_ char *text = NULL;

        if (!cli->json) {
                printf("%s\n", digest);
                return;
        }
        json = json_pack("{s:s, s:s}", "name", name, "digest", digest);
        text = json ? zl_json_dump(json, 0) : NULL;
        if (text)
                printf("%s\n", text);
}

static int pull_all(const struct zl_cli *cli, struct zl_image_store *store,
                    const struct pull_options *o, struct zl_pull_options *options, char **argv)
{
        for (; *argv; argv++) {
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
                _cleanup_free_ char *digest = NULL;

                if (zl_image_pull(store, *argv, o->platform, options, &digest, &err) < 0)
                        return zl_cli_fail(cli, &err);
                print_result(cli, *argv, digest);
        }
        return ZL_EXIT_OK;
}

/* The password for the registry from standard input, if it is to come from there; the caller frees. 0, or the exit code. */
static int read_password(const struct zl_cli *cli, const char *username, bool from_stdin,
                         char **ret)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        if (!username != !from_stdin)
                return zl_cli_usage(cli, "--username and --password-stdin go together");
        if (from_stdin && zl_cli_read_input("-", PASSWORD_MAX, ret, NULL, &err) < 0)
                return zl_cli_fail(cli, &err);
        if (*ret)
                (*ret)[strcspn(*ret, "\r\n")] = 0;
        return 0;
}

static int run_pull(struct zl_cli *cli, void *data, int argc, char **argv)
{
        const struct pull_options *o = data;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_image_store_ struct zl_image_store *store = NULL;
        _cleanup_free_ char *password = NULL;
        struct zl_pull_options options = { .policy = ZL_PULL_ALWAYS, .username = o->username };
        _cleanup_platform_ struct zl_platform platform = { 0 };
        struct zl_image_progress *progress;
        int code, sig;

        (void)argc;
        if (o->policy && parse_policy(o->policy, &options.policy) < 0)
                return zl_cli_usage(cli,
                                    "unknown pull policy \"%s\" (always, newer, if_not_present, "
                                    "never)",
                                    o->policy);
        if (check_names(argv, &err) < 0 ||
            (o->platform && zl_platform_parse(o->platform, &platform, &err) < 0))
                return zl_cli_fail_argument(cli, &err);
        code = read_password(cli, o->username, o->password_stdin, &password);
        if (code != 0)
                return code;
        options.password = password;
        if (open_store(cli, o->plain_http, &store, &err) < 0)
                return zl_cli_fail(cli, &err);
        progress = zl_image_progress_new(cli, o->quiet || cli->json, &options);
        code = pull_all(cli, store, o, &options, argv);
        sig = zl_image_progress_free(progress);
        return code != ZL_EXIT_OK && sig ? 128 + sig : code;
}

static const struct zl_cli_option pull_table[] = {
        { "platform", 0, ZL_CLI_STRING, offsetof(struct pull_options, platform),
          "OS/ARCH[/VARIANT]", "Pull for another platform than this machine's" },
        { "policy", 0, ZL_CLI_STRING, offsetof(struct pull_options, policy), "POLICY",
          "always (the default here), newer, if_not_present or never" },
        { "username", 'u', ZL_CLI_STRING, offsetof(struct pull_options, username), "NAME",
          "User name for the registry" },
        { "password-stdin", 0, ZL_CLI_FLAG, offsetof(struct pull_options, password_stdin), NULL,
          "Read the password from standard input" },
        { "plain-http", 0, ZL_CLI_FLAG, offsetof(struct pull_options, plain_http), NULL,
          "Talk HTTP to the registry (on loopback that is always so)" },
        { "quiet", 'q', ZL_CLI_FLAG, offsetof(struct pull_options, quiet), NULL,
          "Show no progress" },
        { 0 },
};

static const struct zl_cli_command cmd_pull = {
        .name = "pull",
        .args = "IMAGE…",
        .summary = "Fetch images from a registry",
        .details =
                "Credentials come from $DOCKER_CONFIG/config.json or ~/.docker/config.json, as written by\n"
                "`docker login`, unless --username is given. Prints the digest of each image.",
        .options = pull_table,
        .options_size = sizeof(struct pull_options),
        .min_args = 1,
        .max_args = UINT_MAX,
        .run = run_pull,
};

/* ---- search -------------------------------------------------------------------------------------------------------- */

enum { SEARCH_LIMIT = 25 };

struct search_options {
        struct zl_cli_u64 limit;
        const char *username;
        bool password_stdin, plain_http, quiet;
};

static int print_found(const struct zl_cli *cli, const char *text, bool quiet, struct zl_error *err)
{
        static const char *const headers[] = { "NAME", "STARS", "OFFICIAL", "DESCRIPTION", NULL };
        _cleanup_table_ struct zl_cli_table *table = zl_cli_table_new(headers);
        _cleanup_json_ json_t *found = NULL;
        const json_t *one;
        size_t i;
        int r = zl_json_parse(text, strlen(text), "search", &found, err);

        if (r < 0 || !table)
                return r < 0 ? r : zl_fail_oom(err);
        json_array_foreach(found, i, one)
        {
                if (quiet) {
                        printf("%s\n", zl_json_str(one, "name", ""));
                        continue;
                }
                zl_cli_table_cell(table, zl_json_str(one, "name", ""));
                zl_cli_table_cellf(table, "%lld", (long long)zl_json_int(one, "stars", 0));
                zl_cli_table_cell(table, zl_json_bool(one, "official", false) ? "yes" : NULL);
                zl_cli_table_cell(table, zl_json_str(one, "description", NULL));
        }
        return quiet || zl_cli_table_print(table, cli, stdout) == 0 ? 0 : zl_fail_oom(err);
}

static int run_search(struct zl_cli *cli, void *data, int argc, char **argv)
{
        const struct search_options *o = data;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_free_ char *password = NULL, *text = NULL;
        struct zl_image_search options = { .limit = SEARCH_LIMIT,
                                           .plain_http = o->plain_http,
                                           .username = o->username };
        int code = read_password(cli, o->username, o->password_stdin, &password);

        (void)argc;
        if (code != 0)
                return code;
        options.password = password;
        if (o->limit.set)
                options.limit = (unsigned)ZL_MIN(o->limit.value, (uint64_t)UINT_MAX);
        if (zl_image_search(argv[0], &options, &text, &err) < 0)
                return zl_cli_fail_argument(cli, &err);
        if (cli->json)
                printf("%s\n", text);
        else if (print_found(cli, text, o->quiet, &err) < 0)
                return zl_cli_fail(cli, &err);
        return ZL_EXIT_OK;
}

static const struct zl_cli_option search_table[] = {
        { "limit", 0, ZL_CLI_U64, offsetof(struct search_options, limit), "N",
          "At most so many (25; 0: as many as the registry tells)" },
        { "username", 'u', ZL_CLI_STRING, offsetof(struct search_options, username), "NAME",
          "User name for the registry" },
        { "password-stdin", 0, ZL_CLI_FLAG, offsetof(struct search_options, password_stdin), NULL,
          "Read the password from standard input" },
        { "plain-http", 0, ZL_CLI_FLAG, offsetof(struct search_options, plain_http), NULL,
          "Talk HTTP to the registry (on loopback that is always so)" },
        { "quiet", 'q', ZL_CLI_FLAG, offsetof(struct search_options, quiet), NULL,
          "Only the names" },
        { 0 },
};

static const struct zl_cli_command cmd_search = {
        .name = "search",
        .args = "[REGISTRY/]TERM",
        .summary = "Look for images in a registry",
        .details =
                "Without REGISTRY that is docker.io. A registry that cannot search has its catalog gone through for\n"
                "names that contain TERM; \"REGISTRY/\" lists all of it. Credentials are those of `image pull`.",
        .options = search_table,
        .options_size = sizeof(struct search_options),
        .min_args = 1,
        .max_args = 1,
        .run = run_search,
};

/* ---- import and save -------------------------------------------------------------------------------------------------- */

struct import_options {
        bool quiet;
};

static int run_import(struct zl_cli *cli, void *data, int argc, char **argv)
{
        const struct import_options *o = data;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_image_store_ struct zl_image_store *store = NULL;
        _cleanup_free_ char *digest = NULL;
        struct zl_pull_options options = { 0 };
        struct zl_image_progress *progress;
        int r, sig;

        (void)argc;
        if (check_names(argv + 1, &err) < 0)
                return zl_cli_fail_argument(cli, &err);
        if (open_store(cli, false, &store, &err) < 0)
                return zl_cli_fail(cli, &err);
        progress = zl_image_progress_new(cli, o->quiet || cli->json, &options);
        r = zl_image_import(store, argv[0], argv[1], &options, &digest, &err);
        sig = zl_image_progress_free(progress);
        if (r < 0) {
                zl_cli_fail(cli, &err);
                return sig ? 128 + sig : ZL_EXIT_FAILED;
        }
        print_result(cli, argv[1], digest);
        return ZL_EXIT_OK;
}

static const struct zl_cli_option import_table[] = {
        { "quiet", 'q', ZL_CLI_FLAG, offsetof(struct import_options, quiet), NULL,
          "Show no progress" },
        { 0 },
};

static const struct zl_cli_command cmd_import = {
        .name = "import",
        .args = "PATH NAME",
        .summary = "Take an image from a file or directory",
        .details =
                "PATH is an OCI image layout (directory or tar), an archive of `docker save`, a tar of a root file\n"
                "system, or a WebAssembly module (.wasm, or .wat in text form); archives may be compressed with gzip\n"
                "or zstd. An image that was imported is found under NAME without asking any registry.",
        .options = import_table,
        .options_size = sizeof(struct import_options),
        .min_args = 2,
        .max_args = 2,
        .run = run_import,
};

struct save_options {
        const char *output;
};

/* Writes beside the target and renames, so that a failed save leaves what was there. */
static int save_to_file(struct zl_image_store *store, const char *name, const char *path,
                        struct zl_error *err)
{
        _cleanup_free_ char *tmp = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (asprintf(&tmp, "%s.tmp-%d", path, (int)getpid()) < 0) {
                tmp = NULL;
                return zl_fail_oom(err);
        }
        fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0)
                return zl_fail_errno(err, errno, "cannot make %s", tmp);
        r = zl_image_save(store, name, fd, err);
        if (r >= 0 && fsync(fd) < 0)
                r = zl_fail_errno(err, errno, "cannot write %s", tmp);
        if (r >= 0 && rename(tmp, path) < 0)
                r = zl_fail_errno(err, errno, "cannot rename %s to %s", tmp, path);
        if (r < 0)
                unlink(tmp);
        return r;
}

static int run_save(struct zl_cli *cli, void *data, int argc, char **argv)
{
        const struct save_options *o = data;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_image_store_ struct zl_image_store *store = NULL;
        struct stat st;
        int r;

        (void)argc;
        if (!o->output && isatty(STDOUT_FILENO))
                return zl_cli_usage(cli,
                                    "will not write an archive to a terminal: use --output or a "
                                    "pipe");
        if (open_store(cli, false, &store, &err) < 0)
                return zl_cli_fail(cli, &err);
        if (!o->output || zl_streq(o->output, "-"))
                r = zl_image_save(store, argv[0], STDOUT_FILENO, &err);
        else if (stat(o->output, &st) == 0 && !S_ISREG(st.st_mode))
                r = zl_fail(&err, ZL_E_INVALID, 0, "%s is no regular file", o->output);
        else
                r = save_to_file(store, argv[0], o->output, &err);
        return r < 0 ? zl_cli_fail_argument(cli, &err) : ZL_EXIT_OK;
}

static const struct zl_cli_option save_table[] = {
        { "output", 'o', ZL_CLI_STRING, offsetof(struct save_options, output), "FILE",
          "Write to a file instead of standard output" },
        { 0 },
};

static const struct zl_cli_command cmd_save = {
        .name = "save",
        .args = "IMAGE",
        .summary = "Write an image as a tar",
        .details =
                "The archive is an OCI image layout that `docker load`, `podman load` and `image import` read. Its\n"
                "layers are uncompressed; image id and layers are those of the original.",
        .options = save_table,
        .options_size = sizeof(struct save_options),
        .min_args = 1,
        .max_args = 1,
        .run = run_save,
};

/* ---- ls and inspect ----------------------------------------------------------------------------------------------------- */

static json_t *image_json(const struct zl_image *image)
{
        char created[ZL_RFC3339_SIZE];

        return json_pack("{s:s, s:s, s:s?, s:s, s:s?, s:s?, s:s?, s:s?, s:I}", "name",
                         image->reference, "digest", image->digest, "id", image->config_digest,
                         "kind", image->kind == ZL_IMAGE_WASM ? "wasm" : "container", "os",
                         image->os, "architecture", image->architecture, "variant", image->variant,
                         "created",
                         image->created ? zl_format_rfc3339(image->created, created) : NULL, "size",
                         (json_int_t)image->size);
}

static int print_json(struct zl_image **images, size_t n, struct zl_error *err)
{
        _cleanup_json_ json_t *list = json_array();
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; i < n; i++)
                json_array_append_new(list, image_json(images[i]));
        text = list ? zl_json_dump(list, 2) : NULL;
        if (!text)
                return zl_fail_oom(err);
        printf("%s\n", text);
        return 0;
}

/* The first twelve hex digits. */
static const char *short_digest(const char *digest, char buf[13])
{
        snprintf(buf, 13, "%s", digest ? strchr(digest, ':') + 1 : "damaged");
        return buf;
}

static int print_table(const struct zl_cli *cli, struct zl_image **images, size_t n)
{
        static const char *const headers[] = { "NAME", "ID", "PLATFORM", "CREATED", "SIZE", NULL };
        _cleanup_table_ struct zl_cli_table *table = zl_cli_table_new(headers);
        int64_t now = zl_now_realtime();

        if (!table)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const struct zl_image *image = images[i];
                char id[13], age[ZL_RFC3339_SIZE], size[ZL_CLI_TEXT_SIZE];

                zl_cli_table_cell(table, image->reference);
                zl_cli_table_cell(table, short_digest(image->config_digest, id));
                zl_cli_table_cellf(table, "%s/%s%s%s", image->os ? image->os : "?",
                                   image->architecture ? image->architecture : "?",
                                   image->variant ? "/" : "", image->variant ? image->variant : "");
                if (image->created)
                        zl_cli_table_cellf(
                                table, "%s ago",
                                zl_format_age(ZL_MAX(now - image->created, INT64_C(0)), age));
                else
                        zl_cli_table_cell(table, NULL);
                zl_cli_table_cell(table, zl_cli_format_size(image->size, size));
        }
        return zl_cli_table_print(table, cli, stdout);
}

struct ls_options {
        bool quiet;
};

static int run_ls(struct zl_cli *cli, void *data, int argc, char **argv)
{
        const struct ls_options *o = data;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_image_store_ struct zl_image_store *store = NULL;
        struct zl_image **images = NULL;
        size_t n = 0;
        int r;

        (void)argc;
        (void)argv;
        r = open_store(cli, false, &store, &err);
        if (r >= 0)
                r = zl_image_list(store, &images, &n, &err);
        if (r >= 0 && cli->json)
                r = print_json(images, n, &err);
        else if (r >= 0 && o->quiet)
                for (size_t i = 0; i < n; i++)
                        printf("%s\n", images[i]->reference);
        else if (r >= 0 && print_table(cli, images, n) < 0)
                r = zl_fail_oom(&err);
        for (size_t i = 0; i < n; i++)
                zl_image_free(images[i]);
        free(images);
        return r < 0 ? zl_cli_fail(cli, &err) : ZL_EXIT_OK;
}

static const struct zl_cli_option ls_table[] = {
        { "quiet", 'q', ZL_CLI_FLAG, offsetof(struct ls_options, quiet), NULL, "Only the names" },
        { 0 },
};

static const struct zl_cli_command cmd_ls = {
        .name = "ls",
        .args = "",
        .summary = "List the images of this machine",
        .options = ls_table,
        .options_size = sizeof(struct ls_options),
        .run = run_ls,
};

static int run_inspect(struct zl_cli *cli, void *data, int argc, char **argv)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_image_store_ struct zl_image_store *store = NULL;
        _cleanup_buf_ struct zl_buf all = ZL_BUF_INIT((size_t)1 << 30);

        (void)data;
        (void)argc;
        if (open_store(cli, false, &store, &err) < 0)
                return zl_cli_fail(cli, &err);
        for (char **name = argv; *name; name++) {
                _cleanup_free_ char *json = NULL;

                if (zl_image_inspect_json(store, *name, &json, &err) < 0)
                        return zl_cli_fail_argument(cli, &err);
                zl_buf_putf(&all, "%s%s", name == argv ? "[" : ",\n", json);
        }
        if (zl_buf_putc(&all, ']') < 0) {
                zl_fail_oom(&err);
                return zl_cli_fail(cli, &err);
        }
        printf("%s\n", all.data);
        return ZL_EXIT_OK;
}

static const struct zl_cli_command cmd_inspect = {
        .name = "inspect",
        .args = "IMAGE…",
        .summary = "Show all that is known about images, as a JSON array",
        .min_args = 1,
        .max_args = UINT_MAX,
        .run = run_inspect,
};

/* ---- rm, tag, prune ------------------------------------------------------------------------------------------------------ */

struct rm_options {
        bool force;
};

static int run_rm(struct zl_cli *cli, void *data, int argc, char **argv)
{
        const struct rm_options *o = data;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_image_store_ struct zl_image_store *store = NULL;
        int code = ZL_EXIT_OK;

        (void)argc;
        if (open_store(cli, false, &store, &err) < 0)
                return zl_cli_fail(cli, &err);
        for (; *argv; argv++)
                if (zl_image_remove(store, *argv, o->force, &err) < 0)
                        code = zl_cli_fail_argument(cli, &err);
                else if (!cli->json)
                        printf("%s\n", *argv);
        return code;
}

static const struct zl_cli_option rm_table[] = {
        { "force", 'f', ZL_CLI_FLAG, offsetof(struct rm_options, force), NULL,
          "Remove the name of an image in use; its content stays until it is free" },
        { 0 },
};

static const struct zl_cli_command cmd_rm = {
        .name = "rm",
        .args = "IMAGE…",
        .summary = "Remove images",
        .details =
                "A name removes that name, and the content with the last one; a digest or id removes all names.",
        .options = rm_table,
        .options_size = sizeof(struct rm_options),
        .min_args = 1,
        .max_args = UINT_MAX,
        .run = run_rm,
};

static int run_tag(struct zl_cli *cli, void *data, int argc, char **argv)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_image_store_ struct zl_image_store *store = NULL;

        (void)data;
        (void)argc;
        if (open_store(cli, false, &store, &err) < 0 ||
            zl_image_tag(store, argv[0], argv[1], &err) < 0)
                return zl_cli_fail_argument(cli, &err);
        return ZL_EXIT_OK;
}

static const struct zl_cli_command cmd_tag = {
        .name = "tag",
        .args = "IMAGE NEW-NAME",
        .summary = "Give an image one more name",
        .min_args = 2,
        .max_args = 2,
        .run = run_tag,
};

struct prune_options {
        bool all;
};

static int run_prune(struct zl_cli *cli, void *data, int argc, char **argv)
{
        const struct prune_options *o = data;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_image_store_ struct zl_image_store *store = NULL;
        char size[ZL_CLI_TEXT_SIZE];
        uint64_t freed = 0;

        (void)argc;
        (void)argv;
        if (open_store(cli, false, &store, &err) < 0 ||
            zl_image_prune(store, o->all, &freed, &err) < 0)
                return zl_cli_fail(cli, &err);
        if (cli->json)
                printf("{\"freed\":%llu}\n", (unsigned long long)freed);
        else
                printf("freed %s\n", zl_cli_format_size(freed, size));
        return ZL_EXIT_OK;
}

static const struct zl_cli_option prune_table[] = {
        { "all", 'a', ZL_CLI_FLAG, offsetof(struct prune_options, all), NULL,
          "Also remove every image that no container uses" },
        { 0 },
};

static const struct zl_cli_command cmd_prune = {
        .name = "prune",
        .args = "",
        .summary = "Remove layers and documents that no image uses",
        .options = prune_table,
        .options_size = sizeof(struct prune_options),
        .run = run_prune,
};

static const struct zl_cli_command *const commands[] = {
        &cmd_pull, &cmd_search, &cmd_ls,    &cmd_rm,      &cmd_import,
        &cmd_save, &cmd_tag,    &cmd_prune, &cmd_inspect, NULL,
};

const struct zl_cli_command zl_cmd_image = {
        .name = "image",
        .args = "",
        .summary = "Images: pull, search, list, import, save, remove",
        .sub_commands = commands,
};
