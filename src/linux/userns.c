/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Id maps of user namespaces. The rules are the kernel's (user_namespaces(7), "Defining user and group ID mappings") and those of
 * newuidmap(1); what they refuse is told with the ids that were asked for, since neither says much by itself.
 *
 * What may go wrong: the helpers trust nothing but the owner of /proc/PID, so a child that is not dumpable is refused; and each looks only
 * at its own file, so that a user may have uids but no gids.
 */
#include "linux/userns.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/process.h"
#include "base/strv.h"

enum { SAID_MAX = 4096, FILE_MAX = 1 << 20 };

/* What is different for the two kinds of ids. */
static const struct kind {
        const char *what, *map, *helper, *subordinate;
        int capability;
} uids = { "linux.uidMappings", "uid_map", "newuidmap", "/etc/subuid", CAP_SETUID },
  gids = { "linux.gidMappings", "gid_map", "newgidmap", "/etc/subgid", CAP_SETGID };

bool zl_userns_is_without_groups(void)
{
        _cleanup_free_ char *text = NULL;

        return zl_read_file_at(AT_FDCWD, "/proc/self/setgroups", 64, &text, NULL) == 0 &&
               zl_startswith(text, "deny");
}

bool zl_userns_has_capability(int capability)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = { { 0 } };

        return syscall(SYS_capget, &header, data) == 0 &&
               data[capability / 32].effective >> (capability % 32) & 1;
}

static bool is_own_alone(const struct zl_oci_id_map *maps, size_t n, uint32_t id)
{
        return n == 1 && maps[0].size == 1 && maps[0].host_id == id;
}

bool zl_userns_denies_groups(const struct zl_userns_maps *maps)
{
        return (!zl_userns_has_capability(CAP_SETGID) &&
                is_own_alone(maps->gids, maps->n_gids, getegid())) ||
               zl_userns_is_without_groups();
}

bool zl_userns_must_show(void)
{
        return !zl_userns_has_capability(CAP_SETUID) || !zl_userns_has_capability(CAP_SETGID);
}

char *zl_userns_map_text(const struct zl_oci_id_map *maps, size_t n)
{
        size_t size = n * 36 + 1, len = 0;
        char *text = calloc(1, size);

        for (size_t i = 0; text && i < n; i++)
                len += (size_t)snprintf(text + len, size - len, "%u %u %u\n", maps[i].container_id,
                                        maps[i].host_id, maps[i].size);
        return text;
}

/* --- the helpers -------------------------------------------------------------------------------------------- */

/* Not through $PATH: whoever starts us may have anything in it. */
static char *find_helper(const char *name)
{
        static const char *const directories[] = { "/usr/bin",         "/bin",
                                                   "/usr/sbin",        "/sbin",
                                                   "/usr/local/bin",   "/usr/local/sbin",
                                                   "/run/wrappers/bin" };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(directories); i++) {
                char *path = NULL;

                if (asprintf(&path, "%s/%s", directories[i], name) < 0)
                        return NULL;
                if (access(path, X_OK) == 0)
                        return path;
                free(path);
        }
        return NULL;
}

/* "newuidmap PID INSIDE OUTSIDE COUNT …". */
static int make_args(const char *helper, pid_t pid, const struct zl_oci_id_map *maps, size_t n,
                     char ***ret)
{
        _cleanup_strv_ char **args = NULL;
        char word[16];

        snprintf(word, sizeof word, "%d", pid);
        if (zl_strv_push(&args, helper) < 0 || zl_strv_push(&args, word) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const uint32_t numbers[] = { maps[i].container_id, maps[i].host_id, maps[i].size };

                for (size_t k = 0; k < ZL_ARRAY_SIZE(numbers); k++) {
                        snprintf(word, sizeof word, "%u", numbers[k]);
                        if (zl_strv_push(&args, word) < 0)
                                return -ENOMEM;
                }
        }
        *ret = zl_take_ptr(args);
        return 0;
}

/* Its status, or a negative errno. `*ret_said` is what it wrote, as one line. */
static int call_helper(const char *helper, char *const *args, char **ret_said)
{
        _cleanup_close_ int from = -EBADF;
        int fds[2], status, r;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        from = fds[0];
        r = zl_process_ask(helper, args, NULL, (const int[]){ fds[1], fds[1] }, &pid);
        close(fds[1]);
        if (r < 0)
                return r;
        if (zl_read_fd(from, SAID_MAX, ret_said, NULL) < 0)
                *ret_said = NULL;
        from = zl_close(from); /* one that says more must not wait for us for ever */
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        if (*ret_said)
                (*ret_said)[strcspn(*ret_said, "\n")] = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int map_by_helper(pid_t pid, const struct kind *kind, const struct zl_oci_id_map *maps,
                         size_t n, struct zl_error *err)
{
        _cleanup_free_ char *helper = find_helper(kind->helper), *said = NULL;
        _cleanup_strv_ char **args = NULL;
        int r;

        if (!helper) {
                r = zl_fail(err, ZL_E_CONFIGURATION, 0,
                            "%s: more ids than our own need the program %s, which is not there",
                            kind->what, kind->helper);
                zl_error_hint(err, "it is in the package uidmap (Debian) or shadow-utils");
                return r;
        }
        if (make_args(helper, pid, maps, n, &args) < 0)
                return zl_fail_oom(err);
        r = call_helper(helper, args, &said);
        if (r == 0)
                return 0;
        if (r < 0)
                return zl_fail_errno(err, -r, "%s: cannot run %s", kind->what, helper);
        r = zl_fail(err, ZL_E_PERMISSION, 0, "%s: %s", kind->what,
                    said && *said ? said : "the helper failed");
        zl_error_hint(err, "%s must give the ids outside to user %u; the file is root's to write",
                      kind->subordinate, getuid());
        return r;
}

/* --- writing ------------------------------------------------------------------------------------------------ */

static int write_proc(pid_t pid, const char *file, const char *text)
{
        char path[48];

        snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
        return zl_write_string_at(AT_FDCWD, path, text);
}

static int map_directly(pid_t pid, const struct kind *kind, const struct zl_oci_id_map *maps,
                        size_t n, struct zl_error *err)
{
        _cleanup_free_ char *text = zl_userns_map_text(maps, n);
        int r = text ? write_proc(pid, kind->map, text) : -ENOMEM;

        if (r == 0)
                return 0;
        if (r == -ENOMEM)
                return zl_fail_oom(err);
        zl_fail_errno(err, -r, "%s: cannot write them", kind->what);
        if (r == -EPERM && !zl_process_is_in_first_userns())
                zl_error_hint(err,
                              "only ids that exist in our own user namespace can be mapped: "
                              "see /proc/self/%s",
                              kind->map);
        return r;
}

static int write_map(pid_t pid, const struct kind *kind, const struct zl_oci_id_map *maps, size_t n,
                     struct zl_error *err)
{
        bool own = is_own_alone(maps, n, kind == &uids ? geteuid() : getegid());

        if (!own && !zl_userns_has_capability(kind->capability))
                return map_by_helper(pid, kind, maps, n, err);
        return map_directly(pid, kind, maps, n, err);
}

int zl_userns_write_maps(pid_t pid, const struct zl_userns_maps *maps, struct zl_error *err)
{
        int r = 0;

        if (!zl_userns_has_capability(CAP_SETGID) &&
            is_own_alone(maps->gids, maps->n_gids, getegid()))
                r = write_proc(pid, "setgroups", "deny");
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot deny setgroups in the new user namespace");
        r = write_map(pid, &gids, maps->gids, maps->n_gids, err);
        return r < 0 ? r : write_map(pid, &uids, maps->uids, maps->n_uids, err);
}

/* --- what we may have --------------------------------------------------------------------------------------- */

struct own {
        struct zl_oci_id_map *maps;
        size_t n, max;
        uint32_t next; /* inside */
};

static void add(struct own *own, uint32_t outside, uint32_t count)
{
        if (own->n == own->max || count == 0 || count > UINT32_MAX - own->next ||
            outside > UINT32_MAX - count)
                return;
        own->maps[own->n++] = (struct zl_oci_id_map){ own->next, outside, count };
        own->next += count;
}

/* "NAME:FIRST:COUNT" or "UID:FIRST:COUNT"; lines that are something else are not ours. */
static void take_line(struct own *own, char *line, const char *name, const char *number)
{
        char *save = NULL, *who = strtok_r(line, ":", &save), *first = strtok_r(NULL, ":", &save),
             *count = strtok_r(NULL, ":", &save);
        uint32_t from, n;

        if (!count || !(zl_streq(who, number) || (name && zl_streq(who, name))) ||
            zl_parse_u32(first, 10, &from) < 0 || zl_parse_u32(count, 10, &n) < 0)
                return;
        add(own, from, n);
}

/* Our name in /etc/passwd ("NAME:PASSWORD:UID:…"); the caller frees. NULL if it is not there: who is known to a directory service only needs lines with his number.
 * Not by getpwuid(3), for which a static glibc loads modules of whatever glibc the machine has. */
static char *own_name(const char *number)
{
        _cleanup_free_ char *text = NULL;
        char *save = NULL;

        if (zl_read_file_at(AT_FDCWD, "/etc/passwd", FILE_MAX, &text, NULL) < 0)
                return NULL;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                char *password = strchr(line, ':');
                char *uid = password ? strchr(password + 1, ':') : NULL;

                if (!uid++)
                        continue;
                *password = uid[strcspn(uid, ":")] = 0;
                if (zl_streq(uid, number))
                        return strdup(line);
        }
        return NULL;
}

static int take_subordinate(struct own *own, const struct kind *kind, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL, *name = NULL, *helper = find_helper(kind->helper);
        char number[16], *save = NULL;
        int r = zl_read_file_at(AT_FDCWD, kind->subordinate, FILE_MAX, &text, NULL);

        if (!helper || r == -ENOENT)
                return 0;
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", kind->subordinate);
        snprintf(number, sizeof number, "%u", getuid());
        name = own_name(number);
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                take_line(own, line, name, number);
        return 0;
}

/* All that is there, as it is: what is mapped in our own namespace. */
static int take_all(struct own *own, const struct kind *kind, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        char path[32], *save = NULL;
        int r;

        snprintf(path, sizeof path, "/proc/self/%s", kind->map);
        r = zl_read_file_at(AT_FDCWD, path, FILE_MAX, &text, NULL);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", path);
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                uint32_t inside, count;

                if (own->n < own->max &&
                    sscanf(line, "%" SCNu32 " %*u %" SCNu32, &inside, &count) == 2)
                        own->maps[own->n++] = (struct zl_oci_id_map){ inside, inside, count };
        }
        return 0;
}

static int own_maps(struct own *own, const struct kind *kind, uint32_t id, struct zl_error *err)
{
        if (zl_userns_has_capability(kind->capability))
                return take_all(own, kind, err);
        add(own, id, 1);
        return take_subordinate(own, kind, err);
}

int zl_userns_own_maps(struct zl_oci_id_map storage[ZL_USERNS_OWN_MAX], struct zl_userns_maps *ret,
                       struct zl_error *err)
{
        struct own u = { storage, 0, ZL_USERNS_OWN_MAX / 2, 0 };
        struct own g = { storage + ZL_USERNS_OWN_MAX / 2, 0, ZL_USERNS_OWN_MAX / 2, 0 };
        int r = own_maps(&u, &uids, geteuid(), err);

        if (r == 0)
                r = own_maps(&g, &gids, getegid(), err);
        if (r == 0)
                *ret = (struct zl_userns_maps){ u.maps, u.n, g.maps, g.n };
        return r;
}
