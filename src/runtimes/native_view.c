/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people look at: figures and the full document of a native workload. Figures come from its cgroup, so they cover
 * every process in it; those of the network from the namespace of its first process, without loopback.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/path.h"
#include "linux/cgroup.h"
#include "runtimes/native.h"

/* ---- figures ------------------------------------------------------------------------------------- */

/* "  eth0: RX_BYTES packets errs drop fifo frame compressed multicast TX_BYTES ..." */
static void add_interface(const char *line, struct zl_stats *stats)
{
        const char *colon = strchr(line, ':');
        unsigned long long rx, tx;
        const char *name = line + strspn(line, " ");

        if (!colon || (colon - name == 2 && memcmp(name, "lo", 2) == 0))
                return;
        if (sscanf(colon + 1, "%llu %*u %*u %*u %*u %*u %*u %*u %llu", &rx, &tx) == 2) {
                stats->net_rx_bytes += rx;
                stats->net_tx_bytes += tx;
        }
}

static void read_network(pid_t pid, struct zl_stats *stats)
{
        _cleanup_free_ char *text = NULL;
        char path[64];
        char *save = NULL;

        snprintf(path, sizeof(path), "/proc/%d/net/dev", (int)pid);
        if (zl_read_file_at(AT_FDCWD, path, 1 << 20, &text, NULL) < 0)
                return; /* it has just ended */
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                add_interface(line, stats);
}

int native_stats(struct zl_runtime *rt, const char *name, struct zl_stats *ret,
                 struct zl_error *err)
{
        _cleanup_(zl_cgroup_freep) struct zl_cgroup *cg = NULL;
        pid_t pid;
        int r = native_open_group(native_from(rt), name, &cg, &pid, err);

        if (r == 0)
                r = zl_cgroup_stats(cg, ret, err);
        if (r < 0)
                return r;
        read_network(pid, ret);
        ret->time = zl_now_realtime();
        return 0;
}

/* ---- the document -------------------------------------------------------------------------------- */

static json_t *json_time(int64_t nsec)
{
        char text[ZL_RFC3339_SIZE];

        return nsec > 0 ? json_string(zl_format_rfc3339(nsec, text)) : json_null();
}

static json_t *json_text(const char *s)
{
        return s ? zl_json_string_lossy(s, strlen(s)) : json_null();
}

static int put_status(json_t *d, const struct zl_status *s)
{
        int r = zl_json_set(d, "state", json_string(zl_workload_state_name(s->state)));

        r = r ? r : zl_json_set(d, "pid", json_integer(s->pid));
        r = r ? r
              : zl_json_set(d, "exit_code",
                            s->exit_code < 0 ? json_null() : json_integer(s->exit_code));
        r = r ? r : zl_json_set(d, "signal", s->signal ? json_integer(s->signal) : json_null());
        r = r ? r : zl_json_set(d, "oom", json_boolean(s->oom));
        r = r ? r : zl_json_set(d, "stop_requested", json_boolean(s->stop_requested));
        r = r ? r : zl_json_set(d, "reason", json_text(s->reason));
        r = r ? r : zl_json_set(d, "ip", json_text(s->ip));
        r = r ? r : zl_json_set(d, "ports", zl_status_ports_json(s));
        r = r ? r : zl_json_set(d, "generation", json_integer(s->generation));
        r = r ? r : zl_json_set(d, "created_at", json_time(s->created_at));
        r = r ? r : zl_json_set(d, "started_at", json_time(s->started_at));
        return r ? r : zl_json_set(d, "finished_at", json_time(s->finished_at));
}

static int put_identity(json_t *d, const char *name)
{
        struct zl_ident id;
        int r = zl_json_set(d, "name", json_string(name));

        if (r < 0 || zl_ident_parse(name, &id) < 0)
                return r;
        r = zl_json_set(d, "deployment", json_string(id.deployment));
        r = r ? r : zl_json_set(d, "service", json_string(id.service));
        r = r ? r : zl_json_set(d, "replica", json_integer(id.replica));
        return r ? r : zl_json_set(d, "runtime", json_string("native"));
}

static int put_path(json_t *d, const struct native *n, const char *name, const char *key,
                    const char *file)
{
        return zl_json_set(d, key, json_sprintf("%s/%s/%s", n->containers_dir, name, file));
}

static int put_files(json_t *d, const struct native *n, const struct native_record *record)
{
        json_t *paths = json_object();
        int r = paths ? 0 : -ENOMEM;

        r = r ? r
              : zl_json_set(paths, "bundle",
                            json_sprintf("%s/%s", n->containers_dir, record->name));
        r = r ? r : put_path(paths, n, record->name, "rootfs", "rootfs");
        r = r ? r : put_path(paths, n, record->name, "upper", "upper");
        r = r ? r : put_path(paths, n, record->name, "log", "log");
        r = r ? r
              : zl_json_set(paths, "cgroup",
                            record->cgroup && *record->cgroup ? json_sprintf("/%s", record->cgroup)
                                                              : json_null());
        if (r < 0) {
                json_decref(paths);
                return r;
        }
        return zl_json_set(d, "paths", paths);
}

/* The process as it was made: arguments, environment, user. From the bundle, which is what really runs,
 * but for secrets: there it has the references of the spec. */
static void put_process(json_t *d, int state_fd)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *config = NULL;
        json_t *process;
        size_t len;

        if (zl_read_file_at(state_fd, NATIVE_CONFIG, 32 << 20, &text, &len) < 0 ||
            zl_json_parse(text, len, "config.json", &config, NULL) < 0)
                return;
        process = json_object_get(config, "process");
        if (process)
                json_object_set(d, "process", process);
        process = json_object_get(config, "hostname");
        if (process)
                json_object_set(d, "hostname", process);
}

int native_inspect(struct zl_runtime *rt, const char *name, char **ret_json, struct zl_error *err)
{
        static const char *const taken[] = { "image",        "digest",      "mounts", "auto_remove",
                                             "attach_stdin", "init_reaper", "spec" };
        struct native *n = native_from(rt);
        _cleanup_close_ int state = native_open_state(n, name, err);
        _cleanup_record_ struct native_record record = { 0 };
        _cleanup_json_ json_t *d = json_object(), *gpus = NULL;
        struct zl_status status;
        int r;

        if (state < 0)
                return state;
        if (!d)
                return zl_fail_oom(err);
        r = native_record_load(n, state, name, &record, err);
        if (r == 0)
                r = native_look(n, name, zl_now_monotonic() + NATIVE_LOOK_SPAN, &status, err);
        if (r < 0)
                return r;
        r = put_identity(d, name);
        if (r == 0)
                r = put_status(d, &status);
        zl_status_done(&status);
        if (r == 0)
                r = zl_json_set(d, "stop_signal", json_text(zl_signal_name(record.stop_signal)));
        if (r == 0)
                r = put_files(d, n, &record);
        put_process(d, state);
        gpus = native_gpus_json(state, name);
        if (r == 0 && gpus && zl_json_set(d, "gpus", json_incref(gpus)) < 0)
                r = -ENOMEM;
        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(taken); i++) {
                json_t *v = json_object_get(record.document, taken[i]);

                if (v && json_object_set(d, taken[i], v) < 0)
                        r = -ENOMEM;
        }
        if (r < 0 || !(*ret_json = zl_json_dump(d, 2)))
                return zl_fail_oom(err);
        return 0;
}
