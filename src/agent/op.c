/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blocking half of the agent: one operation of the runtime, run on a worker thread. It touches nothing but the
 * operation itself and the runtime, so no lock is needed.
 */
#include "agent/host.h"
#include "base/strv.h"
#include "runtimes/runtime.h"

struct zl_op *zl_op_new(enum zl_op_kind kind, const char *name)
{
        struct zl_op *op = calloc(1, sizeof(*op));

        if (!op)
                return NULL;
        op->kind = kind;
        op->grace = -1;
        snprintf(op->name, sizeof(op->name), "%s", name ?: "");
        return op;
}

void zl_op_free(struct zl_op *op)
{
        if (!op)
                return;
        zl_strv_free(op->env);
        free(op->image);
        free(op->pin);
        free(op->digest);
        zl_strv_free(op->warnings);
        zl_error_done(&op->error);
        zl_image_health_done(&op->health);
        if (op->watch)
                zl_watch_close(op->watch);
        for (size_t i = 0; i < op->n_list; i++)
                zl_status_done(&op->list[i]);
        free(op->list);
        free(op);
}

static void collect_warning(const char *text, void *data)
{
        struct zl_op *op = data;

        /* Without memory for a warning there will be none for the workload either. */
        (void)zl_strv_push(&op->warnings, text);
}

static int run_list(struct zl_op *op, struct zl_runtime *rt)
{
        int r = zl_runtime_recover(rt, &op->error);

        if (r < 0 && op->error.code == ZL_E_UNSUPPORTED)
                zl_error_done(&op->error); /* nothing outlives us in such a runtime */
        else if (r < 0)
                return r;
        return zl_runtime_list(rt, &op->list, &op->n_list, &op->error);
}

static int run_start(struct zl_op *op, struct zl_runtime *rt)
{
        int r = zl_runtime_start(rt, op->name, &op->error);

        /* It runs, watched or not; whoever asked opens a watch later. */
        if (r >= 0 && zl_watch_open(rt, op->name, &op->watch, &op->error) < 0)
                zl_error_done(&op->error);
        return r;
}

static int run_s3(struct zl_op *op, struct zl_runtime *rt)
{
        struct zl_s3_request q = *op->s3;

        q.workload = op->name;
        q.timeout = op->timeout;
        q.cancel = &op->cancel;
        return zl_runtime_s3(rt, &q, &op->error);
}

void zl_op_run(struct zl_op *op, struct zl_runtime *rt)
{
        int r = 0;

        switch (op->kind) {
        case ZL_OP_LIST:
                r = run_list(op, rt);
                break;
        case ZL_OP_PULL: {
                struct zl_pull_options options = { .policy = op->policy,
                                                   .cancel = &op->cancel,
                                                   .digest = op->pin };

                r = zl_runtime_pull(rt, op->image, &options, &op->digest, &op->error);
                break;
        }
        case ZL_OP_CREATE: {
                struct zl_create_options options = {
                        .name = op->name,
                        .spec = op->spec,
                        .env = op->env,
                        .attach_stdin = op->spec->stdin_open,
                        .warn = collect_warning,
                        .warn_data = op,
                        .digest = op->pin,
                };

                r = zl_runtime_create(rt, &options, &op->error);
                break;
        }
        case ZL_OP_START:
                r = run_start(op, rt);
                break;
        case ZL_OP_WATCH:
                r = zl_watch_open(rt, op->name, &op->watch, &op->error);
                break;
        case ZL_OP_STOP:
                r = zl_runtime_stop(rt, op->name, op->grace, &op->error);
                break;
        case ZL_OP_KILL:
                r = zl_runtime_kill(rt, op->name, op->sig, true, &op->error);
                break;
        case ZL_OP_REMOVE:
                r = zl_runtime_remove(rt, op->name, true, &op->error);
                if (r < 0 && op->error.code == ZL_E_NOT_FOUND) {
                        zl_error_done(&op->error);
                        r = 0;
                }
                break;
        case ZL_OP_READY:
                if (!op->ready && op->drain > 0)
                        r = zl_runtime_drain(rt, op->name, op->drain, &op->error);
                else
                        r = zl_runtime_set_ready(rt, op->name, op->ready, &op->error);
                break;
        case ZL_OP_STATS:
                r = zl_runtime_stats(rt, op->name, &op->stats, &op->error);
                break;
        case ZL_OP_S3:
                r = run_s3(op, rt);
                break;
        case ZL_OP_HEALTH:
                /* By the digest alone, which not every runtime knows images by. */
                r = op->pin ? zl_runtime_image_health(rt, op->pin, &op->health, NULL) : -ENOENT;
                if (r < 0)
                        r = zl_runtime_image_health(rt, op->image, &op->health, &op->error);
                break;
        }
        op->result = r;
}

struct zl_probe *zl_probe_new(enum zl_probe_kind kind, const char *workload)
{
        struct zl_probe *probe = calloc(1, sizeof(*probe));

        if (!probe)
                return NULL;
        probe->kind = kind;
        snprintf(probe->workload, sizeof(probe->workload), "%s", workload);
        return probe;
}

void zl_probe_free(struct zl_probe *probe)
{
        if (!probe)
                return;
        zl_error_done(&probe->error);
        free(probe);
}
