/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint, and what its options have in common with those of restore (create.c).
 *
 * As runc: images are in ./checkpoint unless --image-path says otherwise, and a container whose processes ended with its
 * checkpoint is deleted.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/path.h"
#include "cli/oci/criu.h"

struct checkpoint_options {
        struct zl_oci_criu criu;
};

static const struct zl_cli_option checkpoint_table[] = {
        ZL_OCI_CRIU_OPTIONS(struct checkpoint_options, criu),
        { "parent-path", 0, ZL_CLI_STRING, offsetof(struct checkpoint_options, criu.parent_path),
          "DIR", "images of an earlier --pre-dump, relative to the image path" },
        { "leave-running", 'R', ZL_CLI_FLAG,
          offsetof(struct checkpoint_options, criu.leave_running), NULL,
          "let the processes go on afterwards" },
        { "pre-dump", 0, ZL_CLI_FLAG, offsetof(struct checkpoint_options, criu.pre_dump), NULL,
          "write the memory only and let the processes go on" },
        { "tcp-skip-in-flight", 0, ZL_CLI_FLAG,
          offsetof(struct checkpoint_options, criu.tcp_skip_in_flight), NULL,
          "leave out TCP connections that are being made" },
        { "link-remap", 0, ZL_CLI_FLAG, offsetof(struct checkpoint_options, criu.link_remap), NULL,
          "give unlinked files a name again where that can be" },
        { "page-server", 0, ZL_CLI_STRING, offsetof(struct checkpoint_options, criu.page_server),
          "ADDRESS:PORT", "send the memory there" },
        { "status-fd", 0, ZL_CLI_U64, offsetof(struct checkpoint_options, criu.status_fd), "FD",
          "a NUL byte is written there when lazy pages can be asked for" },
        { 0 },
};

/* Where it will be: the image path need not be there yet. */
static char *parent_of(const char *image_path, const char *parent)
{
        _cleanup_free_ char *joined = zl_path_join(image_path, parent);
        _cleanup_free_ char *cwd = NULL, *absolute = NULL;

        if (access(image_path, F_OK) == 0 || !joined)
                return zl_take_ptr(joined);
        cwd = getcwd(NULL, 0);
        absolute = cwd && *joined != '/' ? zl_path_join(cwd, joined) : NULL;
        return zl_path_clean_absolute(absolute ? absolute : joined);
}

/* Relative to the images, so that both can be moved together; a parent that is not there would be found out at the restore. */
static int check_parent(const struct zl_oci_criu *o, const char *image_path, struct zl_error *err)
{
        _cleanup_free_ char *path = NULL;
        struct stat st;

        if (!o->parent_path)
                return 0;
        if (o->parent_path[0] == '/')
                return zl_fail(err, ZL_E_INVALID, 0,
                               "--parent-path: \"%s\" must be relative to the image path",
                               o->parent_path);
        path = parent_of(image_path, o->parent_path);
        if (!path)
                return zl_fail_oom(err);
        if (stat(path, &st) < 0)
                return zl_fail_errno(err, errno, "--parent-path: %s", path);
        if (!S_ISDIR(st.st_mode))
                return zl_fail_errno(err, ENOTDIR, "--parent-path: %s", path);
        return 0;
}

static int take_namespaces(char *const *names, uint64_t *ret, struct zl_error *err)
{
        for (; names && *names; names++) {
                if (!zl_streq(*names, "network"))
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "--empty-ns: \"%s\" is not \"network\"", *names);
                *ret |= CLONE_NEWNET;
        }
        return 0;
}

static int take_page_server(struct zl_criu_settings *s, const char *text, char **ret_address,
                            struct zl_error *err)
{
        const char *colon = text ? strrchr(text, ':') : NULL;
        uint64_t port;

        if (!text)
                return 0;
        if (!colon || colon == text || zl_parse_u64(colon + 1, 10, &port) < 0 || port == 0 ||
            port > UINT16_MAX)
                return zl_fail(err, ZL_E_INVALID, 0, "--page-server: \"%s\" is no ADDRESS:PORT",
                               text);
        *ret_address = strndup(text, (size_t)(colon - text));
        if (!*ret_address)
                return zl_fail_oom(err);
        s->page_server = *ret_address;
        s->page_server_port = (uint16_t)port;
        return 0;
}

static int take_status_fd(struct zl_criu_settings *s, const struct zl_cli_u64 *fd,
                          struct zl_error *err)
{
        int flags;

        if (!fd->set)
                return 0;
        flags = fd->value > INT32_MAX ? -1 : fcntl((int)fd->value, F_GETFL);
        if (flags < 0)
                return zl_fail(err, ZL_E_INVALID, 0, "--status-fd: %llu is not open",
                               (unsigned long long)fd->value);
        if ((flags & O_ACCMODE) == O_RDONLY)
                return zl_fail(err, ZL_E_INVALID, 0, "--status-fd: %llu cannot be written",
                               (unsigned long long)fd->value);
        s->status_fd = (int)fd->value;
        return 0;
}

int zl_oci_criu_settings(const struct zl_oci *oci, const struct zl_oci_criu *o,
                         struct zl_criu_settings *s, char **ret_address, struct zl_error *err)
{
        int r;

        *s = ZL_CRIU_SETTINGS_INIT;
        s->program = oci->criu;
        s->image_path = o->image_path ? o->image_path : "checkpoint";
        s->work_path = o->work_path;
        s->parent_path = o->parent_path;
        s->cgroups_mode = o->cgroups_mode;
        s->network_lock = o->network_lock;
        s->lsm_profile = o->lsm_profile;
        s->lsm_mount_context = o->lsm_mount_context;
        s->leave_running = o->leave_running;
        s->pre_dump = o->pre_dump;
        s->lazy_pages = o->lazy_pages;
        s->auto_dedup = o->auto_dedup;
        s->tcp_established = o->tcp_established;
        s->tcp_skip_in_flight = o->tcp_skip_in_flight;
        s->tcp_close = o->tcp_close;
        s->ext_unix_sk = o->ext_unix_sk;
        s->shell_job = o->shell_job;
        s->file_locks = o->file_locks;
        s->link_remap = o->link_remap;
        r = take_namespaces(o->empty_ns, &s->empty_namespaces, err);
        if (r == 0)
                r = take_page_server(s, o->page_server, ret_address, err);
        if (r == 0)
                r = take_status_fd(s, &o->status_fd, err);
        return r < 0 ? r : check_parent(o, s->image_path, err);
}

static int cmd_checkpoint(struct zl_cli *cli, void *options, int argc _unused_, char **argv)
{
        const struct checkpoint_options *o = options;
        _cleanup_(zl_container_freep) struct zl_container *c = NULL;
        _cleanup_free_ char *address = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_oci *oci = zl_oci_of(cli);
        struct zl_criu_settings s;
        bool ends;

        if (zl_oci_load(oci, argv[0], &c, &err) < 0 ||
            zl_oci_criu_settings(oci, &o->criu, &s, &address, &err) < 0 ||
            zl_container_checkpoint(c, &s, &err) < 0)
                return zl_oci_fail(oci, &err);
        ends = !s.leave_running && !s.pre_dump;
        if (ends && zl_container_delete(c, true, &err) < 0)
                return zl_oci_fail(oci, &err);
        return ZL_EXIT_OK;
}

const struct zl_cli_command zl_oci_cmd_checkpoint = {
        .name = "checkpoint",
        .args = "ID",
        .summary = "Write the processes of a container to files, by criu",
        .options = checkpoint_table,
        .options_size = sizeof(struct checkpoint_options),
        .min_args = 1,
        .max_args = 1,
        .run = cmd_checkpoint,
};
