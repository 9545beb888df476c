/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits and processes of a native workload, both by its control group: new limits are written there and last as long as it does; the
 * processes are those that the kernel counts in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/strv.h"
#include "linux/cgroup.h"
#include "oci/runtime_config.h"
#include "runtimes/native.h"
#include "runtimes/native_create.h"

enum { PROC_TEXT_MAX = 1 << 16 };

int native_find_group(const struct native *n, const char *name, char **ret, struct zl_error *err)
{
        _cleanup_free_ char *delegated = NULL;

        *ret = NULL;
        if (n->host.facts.rootless && !n->settings.systemd_cgroup && !n->delegate &&
            zl_cgroup_find_delegated(&delegated) < 0)
                return zl_fail_oom(err);
        if (!delegated)
                *ret = strdup("");
        else if (asprintf(ret, "%s/zlayer/%s", delegated + strspn(delegated, "/"),
                          native_visible_name(name)) < 0)
                *ret = NULL;
        return *ret ? 0 : zl_fail_oom(err);
}

int native_open_group(struct native *n, const char *name, struct zl_cgroup **ret, pid_t *ret_pid,
                      struct zl_error *err)
{
        _cleanup_close_ int state = native_open_state(n, name, err);
        _cleanup_record_ struct native_record record = { 0 };
        struct zl_status status;
        int r;

        if (state < 0)
                return state;
        r = native_record_load(n, state, name, &record, err);
        if (r == 0)
                r = native_look(n, name, zl_now_monotonic() + NATIVE_LOOK_SPAN, &status, err);
        if (r < 0)
                return r;
        if (status.pid <= 0)
                r = zl_fail(err, ZL_E_STATE, 0, "%s is not running, it is %s", name,
                            zl_workload_state_name(status.state));
        if (ret_pid)
                *ret_pid = status.pid;
        zl_status_done(&status);
        if (r < 0)
                return r;
        if (!record.cgroup || !*record.cgroup) {
                r = zl_fail(err, ZL_E_UNSUPPORTED, 0, "%s has no cgroup of its own", name);
                zl_error_hint(
                        err,
                        "a user's workload has one where a cgroup of version 2 was delegated to him: with "
                        "systemd \"systemd-run --user --scope -p Delegate=yes\"");
                return r;
        }
        const struct zl_cgroup_options options = { .path = record.cgroup };

        return zl_cgroup_open(&options, ret, err);
}

/* ---- limits ------------------------------------------------------------------------------------------ */

static bool is_set(int64_t value)
{
        return value != ZL_UPDATE_KEEP;
}

static int check_weights(const struct zl_update *u, struct zl_error *err)
{
        const struct {
                const char *what;
                int64_t value;
        } positive[] = { { "cpu_shares", u->cpu_shares },
                         { "cpu_period", u->cpu_period },
                         { "cpu_rt_period", u->cpu_rt_period },
                         { "blkio_weight", u->blkio_weight } };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(positive); i++)
                if (is_set(positive[i].value) && positive[i].value < 0)
                        return zl_fail(err, ZL_E_INVALID, 0, "%s cannot be %lld", positive[i].what,
                                       (long long)positive[i].value);
        return u->blkio_weight > UINT16_MAX
                       ? zl_fail(err, ZL_E_INVALID, 0, "blkio_weight is at most 1000")
                       : 0;
}

int native_update(struct zl_runtime *rt, const char *name, const struct zl_update *u,
                  struct zl_error *err)
{
        struct zl_oci_memory memory = { .has_limit = is_set(u->memory),
                                        .limit = u->memory,
                                        .has_reservation = is_set(u->memory_reservation),
                                        .reservation = u->memory_reservation,
                                        .has_swap = is_set(u->memory_swap),
                                        .swap = u->memory_swap };
        struct zl_oci_cpu cpu = { .has_shares = is_set(u->cpu_shares),
                                  .shares = (uint64_t)u->cpu_shares,
                                  .has_quota = is_set(u->cpu_quota),
                                  .quota = u->cpu_quota,
                                  .has_period = is_set(u->cpu_period),
                                  .period = (uint64_t)u->cpu_period,
                                  .has_realtime_runtime = is_set(u->cpu_rt_runtime),
                                  .realtime_runtime = u->cpu_rt_runtime,
                                  .has_realtime_period = is_set(u->cpu_rt_period),
                                  .realtime_period = (uint64_t)u->cpu_rt_period,
                                  .cpus = (char *)(uintptr_t)u->cpuset_cpus,
                                  .mems = (char *)(uintptr_t)u->cpuset_mems };
        struct zl_oci_pids pids = { .has_limit = is_set(u->pids_limit), .limit = u->pids_limit };
        struct zl_oci_block_io io = { .has_weight = is_set(u->blkio_weight),
                                      .weight = (uint16_t)u->blkio_weight };
        const struct zl_oci_resources resources = {
                .memory = memory.has_limit || memory.has_reservation || memory.has_swap ? &memory
                                                                                        : NULL,
                .cpu = &cpu,
                .pids = pids.has_limit ? &pids : NULL,
                .block_io = io.has_weight ? &io : NULL,
        };
        _cleanup_(zl_cgroup_freep) struct zl_cgroup *group = NULL;
        int r = check_weights(u, err);

        if (r == 0)
                r = native_open_group(native_from(rt), name, &group, NULL, err);
        if (r == 0)
                r = zl_cgroup_apply(group, &resources, err);
        if (r < 0)
                zl_error_prefix(err, "cannot change the limits of %s", name);
        return r;
}

/* ---- processes --------------------------------------------------------------------------------------- */

static const char *const titles[] = { "PID", "PPID", "STATE", "TIME", "RSS", "COMMAND" };

static int read_proc(pid_t pid, const char *file, char **ret, size_t *ret_len)
{
        char path[64];

        snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
        return zl_read_file_at(AT_FDCWD, path, PROC_TEXT_MAX, ret, ret_len);
}

/* The command line, or the name in brackets for what has none. */
static char *command_of(pid_t pid)
{
        _cleanup_free_ char *text = NULL, *name = NULL;
        char *out = NULL;
        size_t len = 0;

        if (read_proc(pid, "cmdline", &text, &len) == 0 && len > 0) {
                for (size_t i = 0; i + 1 < len; i++)
                        if (!text[i])
                                text[i] = ' ';
                return zl_take_ptr(text);
        }
        if (read_proc(pid, "comm", &name, NULL) < 0)
                return NULL;
        name[strcspn(name, "\n")] = 0;
        return asprintf(&out, "[%s]", name) < 0 ? NULL : out;
}

/* One row; 0 without one if the process has just ended. */
static int add_row(struct zl_top *top, pid_t pid)
{
        _cleanup_free_ char *text = NULL, *command = command_of(pid);
        unsigned long long utime, stime, rss, seconds;
        char **row = NULL, state;
        const char *p;
        long ppid;
        int r;

        if (!command || read_proc(pid, "stat", &text, NULL) < 0)
                return 0;
        p = strrchr(text, ')'); /* the name may hold anything, also parentheses */
        if (!p || sscanf(p + 1,
                         " %c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d "
                         "%*d %*d %*u %*u %llu",
                         &state, &ppid, &utime, &stime, &rss) != 5)
                return 0;
        seconds = (utime + stime) / (unsigned long long)sysconf(_SC_CLK_TCK);
        r = zl_strv_pushf(&row, "%d", (int)pid);
        r = r ? r : zl_strv_pushf(&row, "%ld", ppid);
        r = r ? r : zl_strv_pushf(&row, "%c", state);
        r = r ? r
              : zl_strv_pushf(&row, "%02llu:%02llu:%02llu", seconds / 3600, seconds / 60 % 60,
                              seconds % 60);
        r = r ? r : zl_strv_pushf(&row, "%llu", rss * (unsigned long long)sysconf(_SC_PAGESIZE));
        r = r ? r : zl_strv_push(&row, command);
        if (r < 0) {
                zl_strv_free(row);
                return r;
        }
        top->rows[top->n_rows++] = row;
        return 0;
}

int native_top(struct zl_runtime *rt, const char *name, const char *ps_args, struct zl_top *ret,
               struct zl_error *err)
{
        _cleanup_(zl_cgroup_freep) struct zl_cgroup *group = NULL;
        _cleanup_free_ pid_t *pids = NULL;
        size_t n = 0;
        int r;

        if (ps_args && *ps_args)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                               "the native runtime has one list of processes and knows no \"%s\"",
                               ps_args);
        r = native_open_group(native_from(rt), name, &group, NULL, err);
        if (r == 0)
                r = zl_cgroup_pids(group, &pids, &n, err);
        if (r < 0)
                return r;
        ret->rows = calloc(n + 1, sizeof(*ret->rows));
        r = ret->rows ? 0 : -ENOMEM;
        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(titles); i++)
                r = zl_strv_push(&ret->titles, titles[i]);
        for (size_t i = 0; r == 0 && i < n; i++)
                r = add_row(ret, pids[i]);
        if (r < 0) {
                zl_top_done(ret);
                return zl_fail_oom(err);
        }
        return 0;
}
