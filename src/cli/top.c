/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `top`: the processes of a container, as this machine sees them. Which they are is told by the kernel: all whose control
 * group is the one of the container's first process, or below it. A user's container may have no group of its own; then it is in
 * that of its monitor, with all else that the user started there, and its pid namespace tells.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/parse.h"
#include "cli/context.h"

enum { PROC_TEXT_MAX = 1 << 16 };

/* Path of a process in the hierarchy that every layout of control groups has: "pids" of v1 or the unified one. The
 * caller frees it; NULL if the process is gone. */
static char *group_of(int proc, const char *pid)
{
        _cleanup_free_ char *path = NULL, *text = NULL;
        char *save = NULL, *unified = NULL;

        if (asprintf(&path, "%s/cgroup", pid) < 0 ||
            zl_read_file_at(proc, path, PROC_TEXT_MAX, &text, NULL) < 0)
                return NULL;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                char *first = strchr(line, ':'), *second = first ? strchr(first + 1, ':') : NULL;

                if (!second)
                        continue;
                *second = 0;
                if (zl_streq(first + 1, "pids"))
                        return strdup(second + 1);
                if (!first[1])
                        unified = second + 1;
        }
        return unified ? strdup(unified) : NULL;
}

static bool is_below(const char *group, const char *top)
{
        const char *rest = zl_startswith(group, top);

        return rest && (*rest == 0 || *rest == '/');
}

/* The command line, or the name in brackets for what has none. */
static char *command_of(int proc, const char *pid)
{
        _cleanup_free_ char *path = NULL, *text = NULL;
        size_t len = 0;
        char *name = NULL;

        if (asprintf(&path, "%s/cmdline", pid) < 0 ||
            zl_read_file_at(proc, path, PROC_TEXT_MAX, &text, &len) < 0)
                return NULL;
        if (len > 0) {
                for (size_t i = 0; i + 1 < len; i++)
                        if (!text[i])
                                text[i] = ' ';
                return zl_take_ptr(text);
        }
        free(zl_take_ptr(path));
        free(zl_take_ptr(text));
        if (asprintf(&path, "%s/comm", pid) < 0 ||
            zl_read_file_at(proc, path, PROC_TEXT_MAX, &text, &len) < 0)
                return NULL;
        text[strcspn(text, "\n")] = 0;
        return asprintf(&name, "[%s]", text) < 0 ? NULL : name;
}

struct process {
        long ppid;
        unsigned long long ticks, rss_pages;
        char state;
};

static bool read_stat(int proc, const char *pid, struct process *ret)
{
        _cleanup_free_ char *path = NULL, *text = NULL;
        unsigned long long utime, stime;
        const char *p;

        if (asprintf(&path, "%s/stat", pid) < 0 ||
            zl_read_file_at(proc, path, PROC_TEXT_MAX, &text, NULL) < 0)
                return false;
        p = strrchr(text, ')'); /* the name may hold anything, also parentheses */
        if (!p || sscanf(p + 1,
                         " %c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d "
                         "%*d %*d %*u %*u %llu",
                         &ret->state, &ret->ppid, &utime, &stime, &ret->rss_pages) != 5)
                return false;
        ret->ticks = utime + stime;
        return true;
}

static int add_process(json_t *array, struct zl_cli_table *table, int proc, const char *pid)
{
        struct process p;
        _cleanup_free_ char *command = NULL;
        char size[ZL_CLI_TEXT_SIZE];
        unsigned long long bytes;
        double seconds;

        if (!read_stat(proc, pid, &p) || !(command = command_of(proc, pid)))
                return 0; /* ended meanwhile */
        bytes = p.rss_pages * (unsigned long long)sysconf(_SC_PAGESIZE);
        seconds = (double)p.ticks / (double)sysconf(_SC_CLK_TCK);
        zl_cli_table_cell(table, pid);
        zl_cli_table_cellf(table, "%ld", p.ppid);
        zl_cli_table_cellf(table, "%c", p.state);
        zl_cli_table_cellf(table, "%.2fs", seconds);
        zl_cli_table_cell(table, zl_cli_format_size(bytes, size));
        zl_cli_table_cell(table, command);
        return json_array_append_new(
                array, json_pack("{s:I, s:I, s:f, s:I, s:o}", "pid", (json_int_t)atol(pid), "ppid",
                                 (json_int_t)p.ppid, "cpu_seconds", seconds, "rss_bytes",
                                 (json_int_t)bytes, "command",
                                 zl_json_string_lossy(command, strlen(command))));
}

/* What all processes of a container have in common. */
struct mark {
        char *group;
        ino_t pid_ns; /* 0: the group is its own and tells */
};

static ino_t pid_ns_of(int proc, const char *pid)
{
        char path[64];
        struct stat st;

        snprintf(path, sizeof(path), "%s/ns/pid", pid);
        return fstatat(proc, path, &st, 0) == 0 ? st.st_ino : 0;
}

static int find_mark(int proc, const struct zl_view *view, struct mark *ret, struct zl_error *err)
{
        _cleanup_free_ char *monitors = NULL;
        char pid[32], parent[32];
        struct process p;

        snprintf(pid, sizeof(pid), "%ld", (long)view->status.pid);
        ret->group = group_of(proc, pid);
        if (view->status.pid <= 0 || !ret->group || !read_stat(proc, pid, &p))
                return zl_fail(err, ZL_E_STATE, 0, "%s has no processes on this machine",
                               view->status.name);
        snprintf(parent, sizeof(parent), "%ld", p.ppid);
        monitors = group_of(proc, parent);
        if (monitors && !zl_streq(monitors, ret->group))
                return 0;
        ret->pid_ns = pid_ns_of(proc, pid);
        if (ret->pid_ns && ret->pid_ns != pid_ns_of(proc, "self"))
                return 0;
        return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                       "%s has neither a cgroup nor a pid namespace of its own", view->status.name);
}

static bool has_mark(int proc, const char *pid, const struct mark *mark)
{
        _cleanup_free_ char *group = NULL;

        if (mark->pid_ns)
                return pid_ns_of(proc, pid) == mark->pid_ns;
        group = group_of(proc, pid);
        return group && is_below(group, mark->group);
}

static int list(const struct zl_view *view, json_t *array, struct zl_cli_table *table,
                struct zl_error *err)
{
        _cleanup_close_ int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct mark mark = { 0 };
        _cleanup_free_ char *group = NULL;
        struct dirent *entry;
        DIR *dir;
        int r = 0;

        if (proc < 0)
                return zl_fail_errno(err, errno, "cannot open /proc");
        r = find_mark(proc, view, &mark, err);
        group = mark.group;
        if (r < 0)
                return r;
        dir = opendir("/proc");
        if (!dir)
                return zl_fail_errno(err, errno, "cannot list /proc");
        while (r >= 0 && (entry = readdir(dir))) {
                if (isdigit((unsigned char)entry->d_name[0]) &&
                    has_mark(proc, entry->d_name, &mark))
                        r = add_process(array, table, proc, entry->d_name);
        }
        closedir(dir);
        return r < 0 ? zl_fail_oom(err) : 0;
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        static const char *const headers[] = { "PID",    "PPID",    "STATE", "CPU",
                                               "MEMORY", "COMMAND", NULL };
        _cleanup_context_ struct zl_cli_context context = { 0 };
        _cleanup_table_ struct zl_cli_table *table = zl_cli_table_new(headers);
        _cleanup_json_ json_t *array = json_array();
        _cleanup_free_ char *text = NULL;
        const struct zl_view *view = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        int r;

        (void)options;
        (void)argc;
        r = table && array ? zl_cli_context_open(cli, argv, &context, &err) : zl_fail_oom(&err);
        if (r >= 0)
                r = zl_cli_find_one(&context, argv[0], false, &view, &err);
        if (r >= 0)
                r = list(view, array, table, &err);
        if (r < 0)
                return zl_cli_fail(cli, &err);
        if (!cli->json) {
                r = zl_cli_table_print(table, cli, stdout);
        } else {
                text = zl_json_dump(array, 2);
                r = text ? puts(text) : -ENOMEM;
        }
        if (r < 0) {
                zl_fail_oom(&err);
                return zl_cli_fail(cli, &err);
        }
        return ZL_EXIT_OK;
}

const struct zl_cli_command zl_cmd_top = {
        .name = "top",
        .args = "NAME",
        .summary = "List the processes of a container",
        .min_args = 1,
        .max_args = 1,
        .run = run,
};
