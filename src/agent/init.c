/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Init actions: what happens between the creation of a container and its start. The container is complete by then
 * (files, network, limits, user) and only its first command waits, so `init.run` is an ordinary command inside it; the waits
 * are probes, repeated at growing distances. Steps run one after the other, once per container: one that is started
 * again after a crash does not initialise anew.
 *
 * Everything that can be known from the spec is checked when the wish is: an unknown action or a missing parameter is
 * refused before anything starts.
 */
#include "agent/core.h"
#include "agent/url.h"
#include "base/json.h"
#include "base/strv.h"
#include "spec/spec.h"

#define DEFAULT_STEP_TIMEOUT (300 * ZL_NSEC_PER_SEC)
#define FIRST_DISTANCE (100 * ZL_NSEC_PER_MSEC)
#define MAX_DISTANCE (2 * ZL_NSEC_PER_SEC)
#define TCP_PATIENCE (2 * ZL_NSEC_PER_SEC)
#define HTTP_PATIENCE (5 * ZL_NSEC_PER_SEC)
/* The last try comes when the time is over. Its reason is the one that is told, so it has the time to be answered. */
#define LEAST_PATIENCE (500 * ZL_NSEC_PER_MSEC)
#define RETRY_DELAY ZL_NSEC_PER_SEC
#define MAX_RETRY_DELAY (30 * ZL_NSEC_PER_SEC)
/* of the whole list, by errors.on_init_failure */
enum { MAX_ROUNDS = 3 };
#define ROUND_DELAY (100 * ZL_NSEC_PER_MSEC)
#define ROUND_BACKOFF ZL_NSEC_PER_SEC

/* ---- the plan ------------------------------------------------------------------------------------------------- */

void zl_init_plan_done(struct init_plan *plan)
{
        for (size_t i = 0; i < plan->n; i++) {
                struct init_step *s = &plan->steps[i];

                zl_url_done(&s->url);
                free((char *)(uintptr_t)s->s3.bucket);
                free((char *)(uintptr_t)s->s3.key);
                free((char *)(uintptr_t)s->s3.path);
                free((char *)(uintptr_t)s->s3.endpoint);
                free((char *)(uintptr_t)s->s3.region);
                zl_strv_free(s->argv);
                free(s->id);
        }
        free(plan->steps);
        *plan = (struct init_plan){ 0 };
}

static int need_text(const json_t *with, const char *key, const char **ret, struct zl_error *err)
{
        *ret = zl_json_str(with, key, NULL);
        if (!*ret || !**ret)
                return zl_fail(err, ZL_E_INVALID, 0, "with.%s: a text is needed", key);
        return 0;
}

static int read_wait_tcp(const json_t *with, struct init_step *s, struct zl_error *err)
{
        int64_t port = zl_json_int(with, "port", 0);
        const char *host;
        int r = need_text(with, "host", &host, err);

        if (r < 0)
                return r;
        if (port < 1 || port > UINT16_MAX)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "with.port: a number from 1 to 65535 is needed");
        s->kind = ZL_PROBE_TCP;
        s->url.port = (uint16_t)port;
        s->url.host = strdup(host);
        return s->url.host ? 0 : zl_fail_oom(err);
}

static int read_wait_http(const json_t *with, struct init_step *s, struct zl_error *err)
{
        int64_t status = zl_json_int(with, "expect_status", 0);
        const char *url;
        int r = need_text(with, "url", &url, err);

        if (r >= 0)
                r = zl_url_parse("with.url", url, &s->url, err);
        if (r < 0)
                return r;
        if (status < 0 || status > 999)
                return zl_fail(err, ZL_E_INVALID, 0, "with.expect_status: %lld is no status",
                               (long long)status);
        s->kind = ZL_PROBE_HTTP;
        s->expect_status = (uint16_t)status;
        return 0;
}

static int read_run(const json_t *with, struct init_step *s, struct zl_error *err)
{
        const char *command;
        int r = need_text(with, "command", &command, err);

        if (r < 0)
                return r;
        s->kind = ZL_PROBE_COMMAND;
        if (zl_strv_push(&s->argv, "/bin/sh") < 0 || zl_strv_push(&s->argv, "-c") < 0 ||
            zl_strv_push(&s->argv, command) < 0)
                return zl_fail_oom(err);
        return 0;
}

static int copy_text(const json_t *with, const char *key, bool needed, const char **ret,
                     struct zl_error *err)
{
        const char *text = zl_json_str(with, key, NULL);

        if (needed) {
                int r = need_text(with, key, &text, err);

                if (r < 0)
                        return r;
        }
        if (!text || !*text)
                return 0;
        *ret = strdup(text);
        return *ret ? 0 : zl_fail_oom(err);
}

static int check_s3(const struct zl_s3_request *s3, struct zl_error *err)
{
        if (strchr(s3->bucket, '/') || strchr(s3->bucket, ' '))
                return zl_fail(err, ZL_E_INVALID, 0, "with.bucket: \"%s\" is none", s3->bucket);
        if (s3->path[0] != '/')
                return zl_fail(err, ZL_E_INVALID, 0, "with.%s: \"%s\" is not absolute",
                               s3->push ? "source" : "destination", s3->path);
        if (s3->endpoint && strncmp(s3->endpoint, "http://", 7) != 0 &&
            strncmp(s3->endpoint, "https://", 8) != 0)
                return zl_fail(
                        err, ZL_E_INVALID, 0,
                        "with.endpoint: \"%s\" begins neither with http:// nor with https://",
                        s3->endpoint);
        return 0;
}

static int read_s3(const json_t *with, struct init_step *s, struct zl_error *err)
{
        int r = copy_text(with, "bucket", true, &s->s3.bucket, err);

        s->is_s3 = true;
        r = r < 0 ? r : copy_text(with, "key", true, &s->s3.key, err);
        r = r < 0 ? r
                  : copy_text(with, s->s3.push ? "source" : "destination", true, &s->s3.path, err);
        r = r < 0 ? r : copy_text(with, "endpoint", false, &s->s3.endpoint, err);
        r = r < 0 ? r : copy_text(with, "region", false, &s->s3.region, err);
        return r < 0 ? r : check_s3(&s->s3, err);
}

static int read_s3_push(const json_t *with, struct init_step *s, struct zl_error *err)
{
        s->s3.push = true;
        return read_s3(with, s, err);
}

static const struct {
        const char *uses;
        int (*read)(const json_t *with, struct init_step *s, struct zl_error *err);
        int64_t timeout; /* seconds */
} actions[] = {
        { "init.wait_tcp", read_wait_tcp, 30 }, { "init.wait_http", read_wait_http, 30 },
        { "init.run", read_run, 300 },          { "init.s3_push", read_s3_push, 300 },
        { "init.s3_pull", read_s3, 300 },
};

static int fail_unknown(const char *uses, struct zl_error *err)
{
        int r = zl_fail(err, ZL_E_INVALID, 0, "uses: there is no action \"%s\"", uses);

        zl_error_hint(err, "there are init.wait_tcp, init.wait_http, init.run, init.s3_push and "
                           "init.s3_pull");
        return r;
}

static int read_step(const struct zl_init_step *spec, struct init_step *s, struct zl_error *err)
{
        _cleanup_json_ json_t *with = NULL;
        int64_t timeout;
        int r;

        s->id = strdup(spec->id);
        if (!s->id)
                return zl_fail_oom(err);
        s->retries = spec->has_retry ? spec->retry : 0;
        s->timeout = spec->has_timeout ? spec->timeout : DEFAULT_STEP_TIMEOUT;
        s->on_failure = spec->on_failure;
        r = zl_json_parse(spec->with, strlen(spec->with), "with", &with, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(actions); i++) {
                if (!zl_streq(spec->uses, actions[i].uses))
                        continue;
                timeout = zl_json_int(with, "timeout", actions[i].timeout);
                if (timeout < 0 || timeout > 86400)
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "with.timeout: a number of seconds up to a day is needed");
                s->action_timeout = timeout * ZL_NSEC_PER_SEC;
                return actions[i].read(with, s, err);
        }
        return fail_unknown(spec->uses, err);
}

int zl_init_plan_make(const struct zl_service_spec *spec, struct init_plan *ret,
                      struct zl_error *err)
{
        struct init_plan plan = { .on_failure = spec->errors.on_init_failure.action };

        if (spec->init.n_steps == 0)
                return 0;
        plan.steps = calloc(spec->init.n_steps, sizeof(*plan.steps));
        if (!plan.steps)
                return zl_fail_oom(err);
        for (size_t i = 0; i < spec->init.n_steps; i++) {
                int r;

                plan.n = i + 1;
                r = read_step(&spec->init.steps[i], &plan.steps[i], err);
                if (r < 0) {
                        zl_error_prefix(err, "init step \"%s\"", spec->init.steps[i].id);
                        zl_init_plan_done(&plan);
                        return r;
                }
        }
        *ret = plan;
        return 0;
}

/* ---- the course ------------------------------------------------------------------------------------------------ */

static const struct init_plan *plan_of(const struct replica *r)
{
        return &r->rev->init;
}

bool zl_init_is_done(const struct replica *r)
{
        return !r->rev || r->init.step >= plan_of(r)->n;
}

void zl_init_reset(struct replica *r)
{
        zl_init_cancel(r);
        r->init = (struct init_state){
                .probe = r->init.probe, .op = r->init.op, .rev = r->init.rev, .run = r->init.run
        };
}

void zl_init_cancel(struct replica *r)
{
        struct zl_host *host = &r->d->agent->host;

        r->init.run++;
        if (r->init.op)
                __atomic_store_n(&r->init.op->cancel, 1, __ATOMIC_RELAXED);
        if (r->init.probe && !r->init.probe->cancelled)
                host->probe_cancel(host->data, r->init.probe);
}

static void begin_step(struct replica *r, size_t step)
{
        r->init.step = step;
        r->init.attempt = r->init.tries = 0;
        r->init.step_began = r->init.began = zl_agent_now(r->d->agent);
        if (r->phase == ZL_PHASE_INITIALIZING)
                zl_replica_save(r); /* how far it is */
}

const char *zl_init_describe(const struct replica *r, char *buf, size_t size)
{
        const struct init_plan *plan = r->rev ? plan_of(r) : NULL;

        if (!plan || r->init.step >= plan->n)
                return NULL;
        snprintf(buf, size, "init step \"%s\" (%zu of %zu) is not done",
                 plan->steps[r->init.step].id, r->init.step + 1, plan->n);
        return buf;
}

static void pause_for(struct replica *r, int64_t delay)
{
        r->deadline = zl_agent_now(r->d->agent) + delay;
}

static int64_t doubled(int64_t first, uint32_t times, int64_t max)
{
        while (times-- > 0 && first < max)
                first *= 2;
        return ZL_MIN(first, max);
}

/* The whole list failed once. */
static void round_failed(struct replica *r, struct zl_error *err)
{
        const struct init_plan *plan = plan_of(r);
        unsigned round = r->init.round;

        if (plan->on_failure == ZL_INIT_FAILURE_FAIL || round >= MAX_ROUNDS ||
            r->rev->spec->rtype != ZL_RTYPE_SERVICE) {
                zl_replica_init_failed(r, err);
                return;
        }
        zl_agent_tellf(r->d->agent, (struct zl_event){ .type = ZL_EVENT_WARNING, .name = r->name },
                       "%s; its init steps begin again", zl_error_message(err));
        zl_error_done(err);
        begin_step(r, 0);
        r->init.began_at_all = false;
        r->init.round = round + 1;
        pause_for(r, plan->on_failure == ZL_INIT_FAILURE_RESTART
                             ? ROUND_DELAY
                             : doubled(ROUND_BACKOFF, round, 60 * ZL_NSEC_PER_SEC));
}

/* The step is over, and failed; its policy decides. Moves `err`. */
static void step_failed(struct replica *r, struct zl_error *err)
{
        const struct init_step *s = &plan_of(r)->steps[r->init.step];

        zl_error_prefix(err, "init step \"%s\"", s->id);
        if (s->on_failure == ZL_ON_FAULT_FAIL) {
                round_failed(r, err);
                return;
        }
        if (s->on_failure == ZL_ON_FAULT_WARN)
                zl_agent_tellf(r->d->agent,
                               (struct zl_event){ .type = ZL_EVENT_WARNING, .name = r->name },
                               "%s; it is started all the same", zl_error_message(err));
        zl_error_done(err);
        begin_step(r, r->init.step + 1);
}

static bool is_wait(const struct init_step *s)
{
        return !s->is_s3 && s->kind != ZL_PROBE_COMMAND;
}

/* One try failed. A wait goes on until its time is over; then, and for all others at once, it is the turn of `retry`. */
static void try_failed(struct replica *r, struct zl_error *err)
{
        const struct init_step *s = &plan_of(r)->steps[r->init.step];
        int64_t now = zl_agent_now(r->d->agent);
        bool over = now - r->init.step_began >= s->timeout;

        if (!over && is_wait(s) && now - r->init.began < s->action_timeout) {
                pause_for(r, doubled(FIRST_DISTANCE, r->init.tries++, MAX_DISTANCE));
                zl_error_done(err);
                return;
        }
        if (over || r->init.attempt >= s->retries) {
                step_failed(r, err);
                return;
        }
        zl_error_done(err);
        pause_for(r, doubled(RETRY_DELAY, r->init.attempt++, MAX_RETRY_DELAY));
        r->init.tries = 0;
        r->init.began = r->deadline;
}

static void tried(struct replica *r, uint64_t run, int result, struct zl_error *err)
{
        r->dirty = true;
        r->d->dirty = true;
        if (run != r->init.run)
                return;
        if (result < 0)
                try_failed(r, err);
        else
                begin_step(r, r->init.step + 1);
}

static void on_probe(struct zl_probe *probe)
{
        struct replica *r = probe->owner;
        struct zl_agent *agent = r->d->agent;

        agent->n_ops--;
        r->init.probe = NULL;
        tried(r, probe->tag, probe->result, &probe->error);
        zl_probe_free(probe);
        zl_revision_unref(zl_take_ptr(r->init.rev));
        zl_agent_settle(agent);
}

static void on_s3(struct zl_op *op)
{
        struct replica *r = op->owner;
        struct zl_agent *agent = r->d->agent;

        agent->n_ops--;
        r->init.op = NULL;
        tried(r, op->tag, op->result, &op->error);
        zl_op_free(op);
        zl_revision_unref(zl_take_ptr(r->init.rev));
        zl_agent_settle(agent);
}

/* A service of this deployment is reached directly, whatever names the network has for it. */
static bool aim_at_service(struct replica *r, const char *host, struct zl_probe *probe)
{
        struct deployment *d = r->d;
        uint32_t n = 0, wanted = r->init.tries;
        const struct replica *any = NULL;
        bool is_service = false;

        for (size_t i = 0; i < d->services.n; i++)
                is_service |= zl_streq(d->services.items[i]->name, host);
        for (size_t i = 0; i < d->n_replicas; i++) {
                const struct replica *t = d->replicas[i];

                if (zl_streq(t->service_name, host) && t->running_since > 0 &&
                    (!any || n++ <= wanted % 16))
                        any = t;
        }
        if (!is_service)
                return false;
        probe->host = NULL;
        snprintf(probe->workload, sizeof(probe->workload), "%s.%s.%u", d->name, host,
                 any ? any->number : 1);
        return true;
}

static int64_t patience(const struct replica *r, const struct init_step *s)
{
        int64_t now = zl_agent_now(r->d->agent);
        int64_t left = ZL_MIN(r->init.began + s->action_timeout, r->init.step_began + s->timeout) -
                       now;

        if (s->is_s3)
                return ZL_MAX(left, LEAST_PATIENCE);
        if (s->kind == ZL_PROBE_TCP)
                left = ZL_MIN(left, TCP_PATIENCE);
        else if (s->kind == ZL_PROBE_HTTP)
                left = ZL_MIN(left, HTTP_PATIENCE);
        return ZL_MAX(left, LEAST_PATIENCE);
}

static void fail_try_oom(struct replica *r)
{
        struct zl_error err = ZL_ERROR_INIT;

        zl_fail_oom(&err);
        try_failed(r, &err);
}

static void submit_s3(struct replica *r, const struct init_step *s)
{
        struct zl_op *op = zl_op_new(ZL_OP_S3, r->name);

        if (!op) {
                fail_try_oom(r);
                return;
        }
        op->s3 = &s->s3;
        op->timeout = patience(r, s);
        op->tag = r->init.run;
        r->init.op = op;
        r->init.rev = zl_revision_ref(r->rev);
        zl_agent_submit(r->d->agent, op, r, on_s3);
}

static void submit_probe(struct replica *r, const struct init_step *s)
{
        struct zl_agent *agent = r->d->agent;
        struct zl_probe *probe = zl_probe_new(s->kind, s->kind == ZL_PROBE_COMMAND ? r->name : "");

        if (!probe) {
                fail_try_oom(r);
                return;
        }
        if (s->kind != ZL_PROBE_COMMAND && !(s->url.host && aim_at_service(r, s->url.host, probe)))
                probe->host = s->url.host;
        probe->port = s->url.port;
        probe->path = s->url.path;
        probe->authority = s->url.authority;
        probe->tls = s->url.tls;
        probe->expect_status = s->expect_status;
        probe->argv = s->argv;
        probe->timeout = patience(r, s);
        probe->done = on_probe;
        probe->owner = r;
        probe->agent = agent;
        probe->tag = r->init.run;
        r->init.probe = probe;
        r->init.rev = zl_revision_ref(r->rev);
        agent->n_ops++;
        agent->host.probe(agent->host.data, probe);
}

bool zl_init_step(struct replica *r)
{
        const struct init_step *s;

        if (r->init.probe || r->init.op)
                return false;
        if (!r->init.began_at_all) {
                r->init.began_at_all = true;
                begin_step(r, 0);
        }
        s = &plan_of(r)->steps[r->init.step];
        if (s->is_s3)
                submit_s3(r, s);
        else
                submit_probe(r, s);
        return true;
}
