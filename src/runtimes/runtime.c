/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public functions of <zlayer/runtime.h>: each is one call through the backend's table. What all backends
 * share is done here once, so no backend can forget it: a name is checked against the grammar before it comes
 * near a path, mandatory arguments are looked at, results start out empty, and a missing operation has one
 * answer. Nothing here blocks by itself or keeps state.
 */
#include "runtimes/runtime.h"

#include "base/macro.h"
#include "base/strv.h"
#include "runtimes/runtime_call.h"

int zl_runtime_unsupported(const struct zl_runtime_ops *ops, const char *operation,
                           struct zl_error *err)
{
        return zl_fail(err, ZL_E_UNSUPPORTED, 0, "the %s runtime cannot %s",
                       zl_runtime_kind_name(ops->kind), operation);
}

/* Every operation on a workload begins here. */
int zl_runtime_check_name(const char *name, struct zl_error *err)
{
        struct zl_ident id;

        if (!name || zl_ident_parse(name, &id) < 0) {
                int r = zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is not the name of a workload",
                                name ? name : "");

                zl_error_hint(err, "names look like DEPLOYMENT.SERVICE.REPLICA, as in shop.web.1");
                return r;
        }
        return 0;
}

enum zl_runtime_kind zl_runtime_get_kind(const struct zl_runtime *rt)
{
        return rt->ops->kind;
}

void zl_runtime_free(struct zl_runtime *rt)
{
        if (rt)
                rt->ops->free(rt);
}

int zl_runtime_recover(struct zl_runtime *rt, struct zl_error *err)
{
        /* A backend that keeps nothing has nothing to take up. */
        return rt->ops->recover ? rt->ops->recover(rt, err) : 0;
}

int zl_runtime_pull(struct zl_runtime *rt, const char *image, const struct zl_pull_options *options,
                    char **ret_digest, struct zl_error *err)
{
        static const struct zl_pull_options defaults;

        if (!image || !*image)
                return zl_fail(err, ZL_E_INVALID, 0, "no image is named");
        CHECK_OP(rt->ops, pull, "pull images");
        return rt->ops->pull(rt, image, options ? options : &defaults, ret_digest, err);
}

int zl_runtime_create(struct zl_runtime *rt, const struct zl_create_options *options,
                      struct zl_error *err)
{
        int r = zl_runtime_check_name(options->name, err);

        if (r < 0)
                return r;
        if (!options->spec)
                return zl_fail(err, ZL_E_INVALID, 0, "workload %s has no spec", options->name);
        CHECK_OP(rt->ops, create, "create workloads");
        return rt->ops->create(rt, options, err);
}

int zl_runtime_start(struct zl_runtime *rt, const char *name, struct zl_error *err)
{
        BEGIN(start, "start workloads");
        return rt->ops->start(rt, name, err);
}

int zl_runtime_stop(struct zl_runtime *rt, const char *name, int64_t grace_nsec,
                    struct zl_error *err)
{
        BEGIN(stop, "stop workloads");
        return rt->ops->stop(rt, name, grace_nsec, err);
}

int zl_runtime_kill(struct zl_runtime *rt, const char *name, int sig, bool all,
                    struct zl_error *err)
{
        BEGIN(kill, "send signals");
        if (sig < 1 || sig > 64)
                return zl_fail(err, ZL_E_INVALID, 0, "%d is not a signal", sig);
        return rt->ops->kill(rt, name, sig, all, err);
}

int zl_runtime_pause(struct zl_runtime *rt, const char *name, bool pause, struct zl_error *err)
{
        BEGIN(pause, "pause workloads");
        return rt->ops->pause(rt, name, pause, err);
}

int zl_runtime_set_ready(struct zl_runtime *rt, const char *name, bool ready, struct zl_error *err)
{
        BEGIN(set_ready, "steer traffic to workloads");
        return rt->ops->set_ready(rt, name, ready, err);
}

int zl_runtime_drain(struct zl_runtime *rt, const char *name, int64_t timeout_nsec,
                     struct zl_error *err)
{
        BEGIN(set_ready, "steer traffic to workloads");
        if (!rt->ops->drain)
                return rt->ops->set_ready(rt, name, false, err);
        return rt->ops->drain(rt, name, timeout_nsec, err);
}

int zl_runtime_remove(struct zl_runtime *rt, const char *name, bool force, struct zl_error *err)
{
        BEGIN(remove, "remove workloads");
        return rt->ops->remove(rt, name, force, err);
}

int zl_runtime_state(struct zl_runtime *rt, const char *name, struct zl_status *ret,
                     struct zl_error *err)
{
        BEGIN(state, "tell the state of workloads");
        *ret = (struct zl_status){ .exit_code = -1 };
        return rt->ops->state(rt, name, ret, err);
}

bool zl_list_filter_wants(const struct zl_list_filter *filter, const char *name)
{
        struct zl_ident id;

        return zl_ident_parse(name, &id) == 0 && (!filter || filter->wants(&id, filter->data));
}

int zl_runtime_list_some(struct zl_runtime *rt, const struct zl_list_filter *filter,
                         struct zl_status **ret, size_t *ret_n, struct zl_error *err)
{
        CHECK_OP(rt->ops, list, "list workloads");
        *ret = NULL;
        *ret_n = 0;
        return rt->ops->list(rt, filter, ret, ret_n, err);
}

int zl_runtime_list(struct zl_runtime *rt, struct zl_status **ret, size_t *ret_n,
                    struct zl_error *err)
{
        return zl_runtime_list_some(rt, NULL, ret, ret_n, err);
}

int zl_runtime_inspect(struct zl_runtime *rt, const char *name, char **ret_json,
                       struct zl_error *err)
{
        BEGIN(inspect, "inspect workloads");
        return rt->ops->inspect(rt, name, ret_json, err);
}

int zl_runtime_stats(struct zl_runtime *rt, const char *name, struct zl_stats *ret,
                     struct zl_error *err)
{
        BEGIN(stats, "measure workloads");
        *ret = (struct zl_stats){ .memory_limit = UINT64_MAX, .pids_limit = UINT64_MAX };
        return rt->ops->stats(rt, name, ret, err);
}

/* ---- watching ------------------------------------------------------------------------------------ */

int zl_watch_open(struct zl_runtime *rt, const char *name, struct zl_watch **ret,
                  struct zl_error *err)
{
        BEGIN(watch_open, "watch workloads");
        return rt->ops->watch_open(rt, name, ret, err);
}

int zl_watch_fd(const struct zl_watch *watch)
{
        return watch->ops->watch_fd(watch);
}

int zl_watch_next(struct zl_watch *watch, struct zl_status *ret, struct zl_error *err)
{
        *ret = (struct zl_status){ .exit_code = -1 };
        return watch->ops->watch_next(watch, ret, err);
}

void zl_watch_close(struct zl_watch *watch)
{
        if (watch)
                watch->ops->watch_close(watch);
}

/* Waits with a watch: one code for every backend, and none of them polls. */
int zl_runtime_wait(struct zl_runtime *rt, const char *name, int64_t timeout_nsec,
                    struct zl_status *ret, struct zl_error *err)
{
        BEGIN(watch_open, "wait for workloads");
        return zl_runtime_wait_by_watch(rt, name, timeout_nsec, ret, err);
}

/* ---- logs ---------------------------------------------------------------------------------------- */

int zl_logs_open(struct zl_runtime *rt, const char *name, const struct zl_log_options *options,
                 struct zl_logs **ret, struct zl_error *err)
{
        static const struct zl_log_options defaults = { .tail = -1 };

        BEGIN(logs_open, "read logs");
        return rt->ops->logs_open(rt, name, options ? options : &defaults, ret, err);
}

int zl_logs_fd(const struct zl_logs *logs)
{
        return logs->ops->logs_fd(logs);
}

int zl_logs_next(struct zl_logs *logs, struct zl_log_entry *ret, struct zl_error *err)
{
        return logs->ops->logs_next(logs, ret, err);
}

void zl_logs_close(struct zl_logs *logs)
{
        if (logs)
                logs->ops->logs_close(logs);
}

/* ---- exec ---------------------------------------------------------------------------------------- */

int zl_exec_open(struct zl_runtime *rt, const char *name, const struct zl_exec_options *options,
                 struct zl_exec **ret, struct zl_error *err)
{
        BEGIN(exec_open, "run commands in workloads");
        if (!options->argv || !options->argv[0] || !options->argv[0][0])
                return zl_fail(err, ZL_E_INVALID, 0, "no command is given to run in %s", name);
        return rt->ops->exec_open(rt, name, options, ret, err);
}

int zl_exec_fd(const struct zl_exec *exec)
{
        return exec->ops->exec_fd(exec);
}

int zl_exec_tty_fd(const struct zl_exec *exec)
{
        return exec->ops->exec_tty_fd ? exec->ops->exec_tty_fd(exec) : -1;
}

int zl_exec_resize(struct zl_exec *exec, uint16_t rows, uint16_t cols, struct zl_error *err)
{
        CHECK_OP(exec->ops, exec_resize, "resize the terminal of a command");
        return exec->ops->exec_resize(exec, rows, cols, err);
}

int zl_exec_kill(struct zl_exec *exec, int sig, struct zl_error *err)
{
        CHECK_OP(exec->ops, exec_kill, "send signals to a command");
        return exec->ops->exec_kill(exec, sig, err);
}

int zl_exec_result(struct zl_exec *exec, int *ret_code, struct zl_error *err)
{
        return exec->ops->exec_result(exec, ret_code, err);
}

void zl_exec_close(struct zl_exec *exec)
{
        if (exec)
                exec->ops->exec_close(exec);
}

/* ---- health -------------------------------------------------------------------------------------- */

int zl_runtime_dial(struct zl_runtime *rt, const char *name, const char *host, uint16_t port,
                    int *ret_fd, struct zl_error *err)
{
        BEGIN(dial, "connect to workloads");
        if (port == 0)
                return zl_fail(err, ZL_E_INVALID, 0, "port 0 of %s cannot be connected to", name);
        return rt->ops->dial(rt, name, host, port, ret_fd, err);
}

int zl_runtime_image_health(struct zl_runtime *rt, const char *image, struct zl_image_health *ret,
                            struct zl_error *err)
{
        CHECK_OP(rt->ops, image_health, "read health checks of images");
        *ret = (struct zl_image_health){ 0 };
        return rt->ops->image_health(rt, image, ret, err);
}

void zl_image_health_done(struct zl_image_health *health)
{
        zl_strv_free(health->test);
        *health = (struct zl_image_health){ 0 };
}

/* ---- attach -------------------------------------------------------------------------------------- */

int zl_attach_open(struct zl_runtime *rt, const char *name, struct zl_attach **ret,
                   struct zl_error *err)
{
        BEGIN(attach_open, "attach to workloads");
        return rt->ops->attach_open(rt, name, ret, err);
}

int zl_attach_fd(const struct zl_attach *attach)
{
        return attach->ops->attach_fd(attach);
}

int zl_attach_next(struct zl_attach *attach, int *ret_stream, const char **ret_data,
                   size_t *ret_len, struct zl_error *err)
{
        return attach->ops->attach_next(attach, ret_stream, ret_data, ret_len, err);
}

int zl_attach_write(struct zl_attach *attach, const void *data, size_t len, struct zl_error *err)
{
        CHECK_OP(attach->ops, attach_write, "write to a workload");
        return attach->ops->attach_write(attach, data, len, err);
}

int zl_attach_resize(struct zl_attach *attach, uint16_t rows, uint16_t cols, struct zl_error *err)
{
        CHECK_OP(attach->ops, attach_resize, "resize the terminal of a workload");
        return attach->ops->attach_resize(attach, rows, cols, err);
}

void zl_attach_close(struct zl_attach *attach)
{
        if (attach)
                attach->ops->attach_close(attach);
}
