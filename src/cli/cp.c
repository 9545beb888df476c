/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cp`: files between here and a container, which need not run. A tar goes through a pipe: one end is a thread of ours, the other an
 * operation of the runtime, which resolves paths inside the container's root.
 *
 * What comes out of a container is not to be trusted. It is unpacked with the target directory as its root, so no link and no ".." leads out of that; devices
 * are refused, and unless --archive is given all is ours and nothing is set-user-id.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/strv.h"
#include "cli/context.h"
#include "image/tar_stream.h"
#include "image/unpack.h"
#include "runtimes/tar_tree.h"

struct options {
        bool archive;
};

static const struct zl_cli_option options_table[] = {
        { "archive", 'a', ZL_CLI_FLAG, offsetof(struct options, archive), NULL,
          "keep owners, set-user-id and set-group-id" },
        { 0 },
};

/* One side of a copy. */
struct place {
        char *container; /* NULL: here */
        char *path;      /* without slashes at the end; "-" here: standard input or output */
        bool contents;   /* "/." at the end: what is in it, not itself */
};

static void place_done(struct place *p)
{
        free(p->container);
        free(p->path);
}

/* "NAME:PATH" is in a container, unless a slash or a dot begins it. */
static int parse_place(const char *text, struct place *ret, struct zl_error *err)
{
        const char *colon = *text == '/' || *text == '.' ? NULL : strchr(text, ':');
        const char *path = colon ? colon + 1 : text;
        size_t len;

        if (colon && memchr(text, '/', (size_t)(colon - text)))
                path = text, colon = NULL;
        if (!*path)
                return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" names no path", text);
        if (colon)
                ret->container = strndup(text, (size_t)(colon - text));
        len = strlen(path);
        ret->contents = zl_streq(path, ".") || (len > 1 && zl_streq(path + len - 2, "/."));
        if (colon && *path != '/') { /* as docker: relative paths are the root's */
                if (asprintf(&ret->path, "/%s", path) < 0)
                        ret->path = NULL;
        } else {
                ret->path = strdup(path);
        }
        if (!ret->path || (colon && !ret->container))
                return zl_fail_oom(err);
        len = strlen(ret->path);
        while (len > 1 &&
               (ret->path[len - 1] == '/' ||
                (ret->contents && ret->path[len - 1] == '.' && ret->path[len - 2] == '/')))
                ret->path[--len] = 0;
        return 0;
}

static const char *base_of(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

/* "/a/b" -> "/a"; "b" -> ".". The caller frees. */
static char *parent_of(const char *path)
{
        const char *slash = strrchr(path, '/');

        if (!slash)
                return strdup(".");
        return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* ---- into a container ---------------------------------------------------------------------------------------- */

struct pack {
        const struct place *from;
        const char *name; /* of the copy */
        int fd;
        int r;
        struct zl_error err;
};

static int pack_tree(struct pack *p)
{
        _cleanup_tar_writer_ struct zl_tar_writer *writer = zl_tar_writer_new(zl_tar_sink_fd,
                                                                              &p->fd);
        _cleanup_free_ char *parent = parent_of(p->from->path);
        bool itself = p->from->contents || !*base_of(p->from->path);
        _cleanup_close_ int dir = -EBADF;
        int r;

        if (!writer || !parent)
                return zl_fail_oom(&p->err);
        dir = open(itself ? p->from->path : parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return zl_fail_errno(&p->err, errno, "cannot open %s",
                                     itself ? p->from->path : parent);
        r = zl_tar_tree(writer, dir, itself ? "." : base_of(p->from->path), p->name, 0, &p->err);
        return r < 0 ? r : zl_tar_writer_finish(writer, &p->err);
}

static void *run_pack(void *data)
{
        struct pack *p = data;

        p->r = pack_tree(p);
        p->fd = zl_close(p->fd);
        return NULL;
}

/* Where it goes and how it is called there: into a directory that exists, else to a new name in one. */
static int find_target(struct zl_runtime *rt, const char *name, struct pack *pack,
                       const struct place *to, char **ret_dir, struct zl_error *err)
{
        const struct place *from = pack->from;
        _cleanup_(zl_file_stat_done) struct zl_file_stat at = { 0 };
        struct stat st = { 0 };
        int r = zl_runtime_archive_head(rt, name, to->path, &at, err);
        bool is_dir = r == 0 && (S_ISDIR(at.mode) || S_ISLNK(at.mode));

        if (r < 0 && err->code != ZL_E_NOT_FOUND)
                return r;
        zl_error_done(err);
        if (lstat(from->path, &st) < 0)
                return zl_fail_errno(err, errno, "cannot open %s", from->path);
        if (r == 0 && !is_dir && S_ISDIR(st.st_mode))
                return zl_fail(err, ZL_E_INVALID, ENOTDIR, "%s in %s is no directory", to->path,
                               name);
        pack->name = !is_dir ? base_of(to->path) : from->contents ? "" : base_of(from->path);
        *ret_dir = is_dir ? strdup(to->path) : parent_of(to->path);
        return *ret_dir ? 0 : zl_fail_oom(err);
}

static int copy_in(struct zl_runtime *rt, const char *name, const struct place *from,
                   const struct place *to, unsigned flags, struct zl_error *err)
{
        struct pack pack = { .from = from, .fd = -EBADF, .err = ZL_ERROR_INIT };
        _cleanup_free_ char *dir = NULL;
        pthread_t thread;
        int fds[2], r;

        if (zl_streq(from->path, "-"))
                return zl_runtime_archive_put(rt, name, to->path, STDIN_FILENO, flags, err);
        r = find_target(rt, name, &pack, to, &dir, err);
        if (r < 0)
                return r;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return zl_fail_errno(err, errno, "cannot make a pipe");
        pack.fd = fds[1];
        r = -pthread_create(&thread, NULL, run_pack, &pack);
        if (r < 0) {
                close(fds[0]);
                close(fds[1]);
                return zl_fail_errno(err, -r, "cannot make a thread");
        }
        r = zl_runtime_archive_put(rt, name, dir, fds[0], flags, err);
        close(fds[0]);
        pthread_join(thread, NULL);
        /* A reader that gave up makes the writer fail, too; the other way round its archive is cut off, and that is the cause. */
        if (pack.r < 0 && pack.r != -EPIPE) {
                zl_error_done(err);
                zl_error_move(err, &pack.err);
                r = pack.r;
        }
        zl_error_done(&pack.err);
        return r;
}

/* ---- out of a container ---------------------------------------------------------------------------------------- */

struct extract {
        int fd, dir;
        size_t old_len;   /* of the first component in the archive */
        const char *name; /* what stands for it; "" for nothing */
        bool archive;
        struct zl_unpack *unpack;
        int r;
        struct zl_error err;
};

/* The archive's names begin with the last component of the path; here they begin with the name of the copy. */
static char *renamed(const struct extract *x, const char *path)
{
        const char *rest = strlen(path) >= x->old_len ? path + x->old_len : "";
        char *name;

        rest += strspn(rest, "/");
        if (asprintf(&name, "%s%s%s", x->name, *x->name && *rest ? "/" : "", rest) < 0)
                return NULL;
        return name;
}

static int on_entry(void *ctx, const struct zl_tar_entry *entry, struct zl_error *err)
{
        struct extract *x = ctx;
        struct zl_tar_entry mine = *entry;
        _cleanup_free_ char *path = renamed(x, entry->path), *link = NULL;

        if (entry->type == '1')
                link = renamed(x, entry->link);
        if (!path || (entry->type == '1' && !link))
                return zl_fail_oom(err);
        if (entry->type == '3' || entry->type == '4')
                return zl_fail(err, ZL_E_UNSUPPORTED, 0, "%s is a device, which is not copied",
                               entry->path);
        mine.path = *path ? path : ".";
        mine.link = link ? link : entry->link;
        if (!x->archive) {
                mine.mode &= 01777;
                mine.n_xattrs = 0;
        }
        return zl_unpack_entry(x->unpack, &mine, err);
}

static int on_data(void *ctx, uint64_t offset, const void *data, size_t len, struct zl_error *err)
{
        return zl_unpack_data(((struct extract *)ctx)->unpack, offset, data, len, err);
}

static int on_entry_end(void *ctx, struct zl_error *err)
{
        return zl_unpack_entry_end(((struct extract *)ctx)->unpack, err);
}

static int extract(struct extract *x)
{
        static const struct zl_tar_handler handler = { on_entry, on_data, on_entry_end, NULL };
        static const struct zl_image_limits none = { .layer_bytes = UINT64_MAX,
                                                     .layer_entries = UINT64_MAX };
        int r = zl_unpack_thread_init(&x->err);

        if (r == 0)
                r = zl_unpack_new(x->dir, x->dir, &none, &x->unpack, &x->err);
        if (r == 0)
                r = zl_unpack_set_live(
                        x->unpack, "",
                        ZL_UNPACK_NO_OVERWRITE_DIR | (x->archive ? ZL_UNPACK_OWNERS : 0U), &x->err);
        if (r == 0)
                r = zl_tar_read_fd(x->fd, &handler, x, &x->err);
        if (r == 0)
                r = zl_unpack_finish(x->unpack, &x->err);
        zl_unpack_free(x->unpack);
        return r;
}

static void *run_extract(void *data)
{
        struct extract *x = data;

        x->r = extract(x);
        x->fd = zl_close(x->fd);
        return NULL;
}

static int open_destination(struct extract *x, const struct place *from, const struct place *to,
                            mode_t mode, struct zl_error *err)
{
        _cleanup_free_ char *parent = parent_of(to->path);
        struct stat st;
        bool exists = stat(to->path, &st) == 0;

        if (!parent)
                return zl_fail_oom(err);
        if (exists && !S_ISDIR(st.st_mode) && S_ISDIR(mode))
                return zl_fail(err, ZL_E_INVALID, ENOTDIR, "%s is no directory", to->path);
        exists = exists && S_ISDIR(st.st_mode);
        x->name = !exists ? base_of(to->path) : from->contents ? "" : base_of(from->path);
        x->dir = open(exists ? to->path : parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return x->dir < 0 ? zl_fail_errno(err, errno, "cannot open %s", exists ? to->path : parent)
                          : 0;
}

static int copy_out(struct zl_runtime *rt, const char *name, const struct place *from,
                    const struct place *to, bool archive, struct zl_error *err)
{
        struct extract x = {
                .fd = -EBADF, .dir = -EBADF, .archive = archive, .err = ZL_ERROR_INIT
        };
        _cleanup_(zl_file_stat_done) struct zl_file_stat at = { 0 };
        pthread_t thread;
        int fds[2], r = zl_runtime_archive_head(rt, name, from->path, &at, err);

        if (r < 0)
                return r;
        if (zl_streq(to->path, "-"))
                return isatty(STDOUT_FILENO)
                               ? zl_fail(err, ZL_E_INVALID, 0,
                                         "will not write an archive to a terminal")
                               : zl_runtime_archive_get(rt, name, from->path, STDOUT_FILENO, err);
        r = open_destination(&x, from, to, at.mode, err);
        if (r == 0 && pipe2(fds, O_CLOEXEC) < 0)
                r = zl_fail_errno(err, errno, "cannot make a pipe");
        if (r < 0) {
                zl_close(x.dir);
                return r;
        }
        x.fd = fds[0];
        x.old_len = strlen(base_of(from->path));
        r = -pthread_create(&thread, NULL, run_extract, &x);
        if (r < 0) {
                close(fds[0]);
                close(fds[1]);
                zl_close(x.dir);
                return zl_fail_errno(err, -r, "cannot make a thread");
        }
        r = zl_runtime_archive_get(rt, name, from->path, fds[1], err);
        close(fds[1]);
        pthread_join(thread, NULL);
        zl_close(x.dir);
        if (x.r < 0 && (r == 0 || r == -EPIPE)) {
                zl_error_done(err);
                zl_error_move(err, &x.err);
                r = x.r;
        }
        zl_error_done(&x.err);
        return r;
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static int copy(struct zl_cli *cli, const struct options *o, const struct place *from,
                const struct place *to, struct zl_error *err)
{
        _cleanup_context_ struct zl_cli_context context = { 0 };
        const struct zl_view *view = NULL;
        char *name = from->container ?: to->container;
        int r;

        if (!from->container == !to->container)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "one of the two is in a container (NAME:PATH), and one is here");
        r = zl_cli_context_open(cli, (char *[]){ name, NULL }, &context, err);
        if (r >= 0)
                r = zl_cli_find_one(&context, name, true, &view, err);
        if (r >= 0 && !view->is_real)
                r = zl_fail(err, ZL_E_STATE, 0, "%s has not been created yet", view->status.name);
        if (r < 0)
                return r;
        signal(SIGPIPE, SIG_IGN);
        return from->container ? copy_out(context.rt, view->status.name, from, to, o->archive, err)
                               : copy_in(context.rt, view->status.name, from, to,
                                         ZL_ARCHIVE_NO_OVERWRITE_DIR |
                                                 (o->archive ? ZL_ARCHIVE_COPY_UID_GID : 0U),
                                         err);
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        _cleanup_(place_done) struct place from = { 0 }, to = { 0 };
        struct zl_error err = ZL_ERROR_INIT;
        int r = parse_place(argv[0], &from, &err);

        (void)argc;
        if (r == 0)
                r = parse_place(argv[1], &to, &err);
        if (r == 0)
                r = copy(cli, options, &from, &to, &err);
        return r < 0 ? zl_cli_fail(cli, &err) : ZL_EXIT_OK;
}

const struct zl_cli_command zl_cmd_cp = {
        .name = "cp",
        .args = "NAME:PATH PATH|-  or  PATH|- NAME:PATH",
        .summary = "Copy files out of a container or into one",
        .details =
                "The container need not run. A directory that exists takes the copy in; otherwise the last part of the\n"
                "target is its new name. \"PATH/.\" means what is in the directory. \"-\" is a tar archive on standard\n"
                "output or input. Links are copied, not followed, and never lead out of the container or of the target.",
        .options = options_table,
        .options_size = sizeof(struct options),
        .min_args = 2,
        .max_args = 2,
        .run = run,
};
