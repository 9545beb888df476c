/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The systemd driver: scopes by D-Bus.
 *
 * A scope is made around processes that exist, so the first one is made first, waits, and finds itself in its group. Limits are written
 * to the group's files as always, before anybody runs in it; systemd is told afterwards what they are, read from these files, so that there is
 * one place that knows how limits of the OCI become files.
 *
 * What may go wrong: the scope ends by itself when its last process does, and then "no such unit" is the answer to all we ask. A unit of
 * the same name that failed stays until it is reset.
 */
#include "linux/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/path.h"
#include "base/process.h"
#include "linux/dbus.h"
#include "linux/scope_internal.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER SYSTEMD ".Manager"
#define ANNOTATION "org.systemd.property."
enum { BODY_MAX = 64 << 10 };

struct zl_scope {
        struct zl_dbus *bus;
        char *slice, *unit, *path;
};

/* --- the bus ------------------------------------------------------------------------------------------------ */

/* Root of the machine, not of a user namespace? */
static bool is_system(void)
{
        return geteuid() == 0 && zl_process_is_in_first_userns();
}

/* The first address of the form "unix:path=…" in a list of the bus. */
static char *address_path(const char *list)
{
        static const char prefix[] = "unix:path=";
        const char *p = list ? strstr(list, prefix) : NULL;

        return p ? strndup(p + sizeof prefix - 1, strcspn(p + sizeof prefix - 1, ",;")) : NULL;
}

static int open_bus(struct zl_dbus **ret, struct zl_error *err)
{
        bool system = is_system();
        _cleanup_free_ char *path = address_path(
                getenv(system ? "DBUS_SYSTEM_BUS_ADDRESS" : "DBUS_SESSION_BUS_ADDRESS"));
        const char *dir = getenv("XDG_RUNTIME_DIR");
        int r;

        if (!path && system)
                path = strdup("/run/dbus/system_bus_socket");
        else if (!path && dir && *dir == '/')
                path = zl_path_join(dir, "bus");
        else if (!path)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "the systemd cgroup driver needs the bus of the user: neither "
                               "DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR tells where it is");
        if (!path)
                return zl_fail_oom(err);
        r = zl_dbus_open(path, ret, err);
        if (r < 0)
                zl_error_hint(err, "--cgroup-manager cgroupfs does without systemd");
        return r;
}

static struct zl_dbus_call manager_call(const char *member, const char *signature,
                                        const struct zl_buf *body)
{
        return (struct zl_dbus_call){ SYSTEMD,   "/org/freedesktop/systemd1",
                                      MANAGER,   member,
                                      signature, body };
}

/* Where systemd has its own tree: "" for that of the system, "/user.slice/…/user@1000.service" for that of a user. */
static int find_tree(struct zl_scope *s, char **ret, struct zl_error *err)
{
        struct zl_dbus_call call = { SYSTEMD,
                                     "/org/freedesktop/systemd1",
                                     "org.freedesktop.DBus.Properties",
                                     "Get",
                                     "ss",
                                     NULL };
        _cleanup_buf_ struct zl_buf body = ZL_BUF_INIT(BODY_MAX);
        struct zl_dbus_message m;
        const char *type, *text;
        int r;

        zl_dbus_put_string(&body, MANAGER);
        zl_dbus_put_string(&body, "ControlGroup");
        call.body = &body;
        r = zl_dbus_call(s->bus, &call, &m, NULL, err);
        if (r < 0)
                return r;
        if (zl_dbus_take_signature(&m, &type) == 0 && zl_streq(type, "s") &&
            zl_dbus_take_string(&m, &text) == 0)
                *ret = strdup(zl_streq(text, "/") ? "" : text);
        else
                *ret = strdup("");
        zl_dbus_message_done(&m);
        return *ret ? 0 : zl_fail_oom(err);
}

/* --- names -------------------------------------------------------------------------------------------------- */

static bool name_is_valid(const char *name)
{
        return *name && strlen(name) < 256 && *name != '.' &&
               strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                            "_+-.@:\\") == strlen(name);
}

/* "a-b.slice" is in "a.slice". "-.slice" is the root. */
static int slice_path(const char *tree, const char *slice, char **ret, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf path = ZL_BUF_INIT(PATH_MAX);
        size_t len = strlen(slice), suffix = strlen(".slice"), stem = len - suffix;

        zl_buf_puts(&path, tree);
        if (len <= suffix || !zl_streq(slice + stem, ".slice") || !name_is_valid(slice) ||
            (!zl_streq(slice, "-.slice") &&
             (*slice == '-' || slice[stem - 1] == '-' || strstr(slice, "--"))))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "linux.cgroupsPath: \"%s\" is no name of a slice", slice);
        for (size_t i = 1; i <= stem && !zl_streq(slice, "-.slice"); i++)
                if (i == stem || slice[i] == '-')
                        zl_buf_putf(&path, "/%.*s.slice", (int)i, slice);
        *ret = zl_buf_take(&path);
        return *ret ? 0 : zl_fail_oom(err);
}

/* Splits the three parts. An empty slice is the usual one. */
static int take_names(struct zl_scope *s, const char *text, const char *id, struct zl_error *err)
{
        const char *prefix = text ? strchr(text, ':') : NULL;
        const char *name = prefix ? strchr(prefix + 1, ':') : NULL;
        const char *usual = is_system() ? "system.slice" : "user.slice";

        if (!text || !*text) {
                s->slice = strdup(usual);
                if (asprintf(&s->unit, "zlayer-%s.scope", id) < 0)
                        s->unit = NULL;
        } else if (!name || strchr(name + 1, ':') || !name[1]) {
                return zl_fail(err, ZL_E_INVALID, 0,
                               "expected cgroupsPath to be of format \"slice:prefix:name\" for "
                               "systemd cgroups, got \"%s\" instead",
                               text);
        } else {
                s->slice = prefix == text ? strdup(usual) : strndup(text, (size_t)(prefix - text));
                if (asprintf(&s->unit, "%.*s%s%s.scope", (int)(name - prefix - 1), prefix + 1,
                             name - prefix > 1 ? "-" : "", name + 1) < 0)
                        s->unit = NULL;
                if (strlen(name + 1) > 6 && zl_streq(name + strlen(name) - 6, ".slice"))
                        return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                                       "linux.cgroupsPath: \"%s\": a container gets a scope, not "
                                       "a slice of its own",
                                       text);
        }
        if (!s->slice || !s->unit)
                return zl_fail_oom(err);
        if (!name_is_valid(s->unit))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "linux.cgroupsPath: \"%s\" is no name of a unit", s->unit);
        return 0;
}

/* Version 2 alone, or hierarchies of version 1 of which systemd has one; those are not delegated to users. */
static int check_layout(struct zl_error *err)
{
        struct statfs fs;

        if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0)
                return 0;
        if (is_system() && statfs("/sys/fs/cgroup/systemd", &fs) == 0 &&
            fs.f_type == CGROUP_SUPER_MAGIC)
                return 0;
        zl_fail(err, ZL_E_UNSUPPORTED, 0,
                is_system()
                        ? "the systemd cgroup driver: systemd has no hierarchy in /sys/fs/cgroup"
                        : "the systemd cgroup driver of a user needs cgroup version 2 alone on "
                          "/sys/fs/cgroup");
        zl_error_hint(err, "--cgroup-manager cgroupfs works here");
        return -EOPNOTSUPP;
}

int zl_scope_plan(const char *cgroups_path, const char *id, struct zl_scope **ret,
                  struct zl_error *err)
{
        _cleanup_(zl_scope_freep) struct zl_scope *s = calloc(1, sizeof *s);
        _cleanup_free_ char *tree = NULL, *parent = NULL;
        int r = s ? check_layout(err) : zl_fail_oom(err);

        if (r == 0)
                r = take_names(s, cgroups_path, id, err);
        if (r == 0)
                r = slice_path("", s->slice, &parent, err); /* before anybody is asked */
        zl_freep(&parent);
        parent = NULL;
        if (r == 0)
                r = open_bus(&s->bus, err);
        if (r == 0)
                r = find_tree(s, &tree, err);
        if (r == 0)
                r = slice_path(tree, s->slice, &parent, err);
        if (r < 0)
                return r;
        if (asprintf(&s->path, "%s/%s", parent, s->unit) < 0) {
                s->path = NULL;
                return zl_fail_oom(err);
        }
        *ret = zl_take_ptr(s);
        return 0;
}

int zl_scope_of(const char *cgroup_path, struct zl_scope **ret, struct zl_error *err)
{
        _cleanup_(zl_scope_freep) struct zl_scope *s = calloc(1, sizeof *s);
        const char *unit = strrchr(cgroup_path, '/');
        int r;

        if (!s)
                return zl_fail_oom(err);
        s->path = strdup(cgroup_path);
        s->unit = strdup(unit ? unit + 1 : cgroup_path);
        if (!s->path || !s->unit)
                return zl_fail_oom(err);
        r = open_bus(&s->bus, err);
        if (r == 0)
                *ret = zl_take_ptr(s);
        return r;
}

void zl_scope_free(struct zl_scope *s)
{
        if (!s)
                return;
        zl_dbus_close(s->bus);
        free(s->slice);
        free(s->unit);
        free(s->path);
        free(s);
}

const char *zl_scope_path(const struct zl_scope *s)
{
        return s->path;
}

/* --- properties --------------------------------------------------------------------------------------------- */

void zl_scope_put_property(struct zl_buf *b, const char *name, const char *signature)
{
        zl_dbus_put_align(b, 8);
        zl_dbus_put_string(b, name);
        zl_dbus_put_signature(b, signature);
}

static void put_bool(struct zl_buf *b, const char *name, bool value)
{
        zl_scope_put_property(b, name, "b");
        zl_dbus_put_u32(b, value);
}

void zl_scope_put_text(struct zl_buf *b, const char *name, const char *value)
{
        zl_scope_put_property(b, name, "s");
        zl_dbus_put_string(b, value);
}

void zl_scope_put_number(struct zl_buf *b, const char *name, uint64_t value)
{
        zl_scope_put_property(b, name, "t");
        zl_dbus_put_u64(b, value);
}

/* A span "…Sec" in seconds is "…USec" on the bus, in microseconds. */
static int put_annotation(struct zl_buf *b, const char *key, const char *value)
{
        size_t len = strlen(key);

        zl_dbus_put_align(b, 8);
        if (len > 3 && zl_streq(key + len - 3, "Sec") &&
            !(len > 4 && zl_streq(key + len - 4, "USec"))) {
                _cleanup_free_ char *name = NULL;
                const char *number = value;
                uint64_t seconds;

                number += strcspn(number, " ") < strlen(number) ? strcspn(number, " ") + 1 : 0;
                if (zl_parse_u64(number, 10, &seconds) < 0 || seconds > UINT64_MAX / 1000000)
                        return -EINVAL;
                if (asprintf(&name, "%.*sUSec", (int)(len - 3), key) < 0) {
                        name = NULL;
                        return -ENOMEM;
                }
                zl_scope_put_number(b, name, seconds * 1000000);
                return zl_buf_error(b);
        }
        zl_dbus_put_string(b, key);
        return zl_scope_put_variant(b, value);
}

static int put_annotations(struct zl_buf *b, const struct zl_str_map *map, struct zl_error *err)
{
        for (size_t i = 0; map && i < map->n; i++) {
                const char *name = zl_startswith(map->items[i].key, ANNOTATION);
                const char *value = map->items[i].value ? map->items[i].value : "";
                int r = name ? put_annotation(b, name, value) : 0;

                if (r == -EINVAL)
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "annotation %s: \"%s\" is neither a number, a boolean, a "
                                       "quoted text nor a list of them",
                                       map->items[i].key, value);
                if (r < 0)
                        return zl_fail_oom(err);
        }
        return 0;
}

/* --- jobs --------------------------------------------------------------------------------------------------- */

/* Calls something that makes a job, and waits for the end of that. */
static int run_job(struct zl_scope *s, const char *member, const char *signature,
                   const struct zl_buf *body, char **ret_refusal, struct zl_error *err)
{
        struct zl_dbus_message answer, signal;
        const char *job = NULL;
        struct zl_dbus_call call = manager_call(member, signature, body);
        int r = zl_dbus_call(s->bus, &call, &answer, ret_refusal, err);

        if (r < 0)
                return r;
        if (zl_dbus_take_string(&answer, &job) < 0)
                r = zl_fail(err, ZL_E_INTERNAL, EBADMSG, "systemd answers %s with no job", member);
        while (r == 0) {
                const char *path = "", *unit = "", *result = "";
                uint32_t number;

                r = zl_dbus_wait_signal(s->bus, "JobRemoved", &signal, err);
                if (r < 0)
                        break;
                if (zl_dbus_take_u32(&signal, &number) == 0 &&
                    zl_dbus_take_string(&signal, &path) == 0 && zl_streq(path, job) &&
                    zl_dbus_take_string(&signal, &unit) == 0 &&
                    zl_dbus_take_string(&signal, &result) == 0) {
                        if (!zl_streq(result, "done"))
                                r = zl_fail(err, ZL_E_CREATE, 0, "%s of %s by systemd: %s", member,
                                            unit, result);
                        zl_dbus_message_done(&signal);
                        break;
                }
                zl_dbus_message_done(&signal);
        }
        zl_dbus_message_done(&answer);
        return r;
}

static int want_jobs(struct zl_scope *s, struct zl_error *err)
{
        return zl_dbus_match(s->bus,
                             "type='signal',sender='" SYSTEMD "',interface='" MANAGER
                             "',member='JobRemoved'",
                             err);
}

static void put_start(const struct zl_scope *s, struct zl_buf *b, pid_t pid,
                      const char *description)
{
        size_t pids;

        zl_scope_put_text(b, "Description", description);
        zl_scope_put_text(b, "Slice", s->slice);
        put_bool(b, "Delegate", true);
        put_bool(b, "DefaultDependencies", false);
        put_bool(b, "MemoryAccounting", true);
        put_bool(b, "CPUAccounting", true);
        put_bool(b, "IOAccounting", true);
        put_bool(b, "TasksAccounting", true);
        zl_scope_put_property(b, "PIDs", "au");
        pids = zl_dbus_array_begin(b, 4);
        zl_dbus_put_u32(b, (uint32_t)pid);
        zl_dbus_array_end(b, pids, 4);
}

int zl_scope_start(struct zl_scope *s, pid_t pid, const char *description,
                   const struct zl_str_map *annotations, const struct zl_oci_resources *resources,
                   struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(BODY_MAX);
        _cleanup_free_ char *refusal = NULL;
        size_t place;
        int r;

        zl_dbus_put_string(&b, s->unit);
        zl_dbus_put_string(&b, "fail");
        place = zl_dbus_array_begin(&b, 8);
        put_start(s, &b, pid, description);
        r = put_annotations(&b, annotations, err);
        if (r == 0 && resources && access("/sys/fs/cgroup/cgroup.controllers", F_OK) < 0)
                r = zl_scope_put_devices(&b, resources, err);
        if (r < 0)
                return r;
        zl_dbus_array_end(&b, place, 8);
        zl_dbus_array_end(&b, zl_dbus_array_begin(&b, 8), 8);
        r = want_jobs(s, err);
        if (r == 0)
                r = run_job(s, "StartTransientUnit", "ssa(sv)a(sa(sv))", &b, &refusal, err);
        if (r < 0 && refusal && zl_streq(refusal, SYSTEMD ".UnitExists"))
                return zl_fail(err, ZL_E_EXISTS, 0, "systemd has a unit %s already", s->unit);
        return r;
}

int zl_scope_attach(struct zl_scope *s, pid_t pid, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(BODY_MAX);
        struct zl_dbus_call call = manager_call("AttachProcessesToUnit", "ssau", &b);
        struct zl_dbus_message answer;
        size_t pids;
        int r;

        zl_dbus_put_string(&b, s->unit);
        zl_dbus_put_string(&b, "/");
        pids = zl_dbus_array_begin(&b, 4);
        zl_dbus_put_u32(&b, (uint32_t)pid);
        zl_dbus_array_end(&b, pids, 4);
        r = zl_dbus_call(s->bus, &call, &answer, NULL, err);
        if (r < 0)
                return r;
        zl_dbus_message_done(&answer);
        return 0;
}

int zl_scope_stop(struct zl_scope *s, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(BODY_MAX);
        _cleanup_free_ char *refusal = NULL;
        struct zl_dbus_call call;
        int r = want_jobs(s, err);

        if (r < 0)
                return r;
        zl_dbus_put_string(&b, s->unit);
        zl_dbus_put_string(&b, "replace");
        r = run_job(s, "StopUnit", "ss", &b, &refusal, err);
        if (r < 0 && refusal && zl_streq(refusal, SYSTEMD ".NoSuchUnit")) {
                zl_error_done(err);
                return 0;
        }
        if (r == 0) { /* one that is not failed is none to it */
                zl_buf_reset(&b);
                zl_dbus_put_string(&b, s->unit);
                call = manager_call("ResetFailedUnit", "s", &b);
                zl_dbus_call(s->bus, &call, NULL, NULL, NULL);
        }
        return r;
}

/* --- limits ------------------------------------------------------------------------------------------------- */

int zl_scope_tell_limits(struct zl_scope *s, struct zl_cgroup *cg, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(BODY_MAX);
        struct zl_dbus_call call;
        size_t place;

        zl_dbus_put_string(&b, s->unit);
        zl_dbus_put_u32(&b, true); /* until the next boot, which it does not live to see */
        place = zl_dbus_array_begin(&b, 8);
        zl_scope_put_limits(&b, cg);
        zl_dbus_array_end(&b, place, 8);
        call = manager_call("SetUnitProperties", "sba(sv)", &b);
        return zl_dbus_call(s->bus, &call, NULL, NULL, err);
}
