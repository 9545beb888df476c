/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `up`: makes a deployment file true and keeps it so. The agent is embedded: in the foreground it lives as long as the
 * terminal wants; with -d it goes to the background once everything has been started, so that a failure is still the
 * caller's exit code.
 *
 * The first INT or TERM stops everything, dependents first; the second kills. The process itself may be killed at any time:
 * workloads go on, and the next `up` of the file takes them over as they are.
 *
 * A daemon that comes up asks for the deployment ("yield"). Then the agent here ends as if it had been killed, and in its place
 * we go on as the daemon's client, so whoever looks at the terminal sees little of it.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/control.h"
#include "agent/endpoints.h"
#include "agent/job_request.h"
#include "agent/loop.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "cli/client.h"
#include "cli/up.h"
#include "cli/up_daemon.h"
#include "cli/up_view.h"
#include "spec/spec.h"

/* How long the last lines of the logs may take after the end of everything. */
#define LOGS_TIMEOUT_MSEC 2000
/* How long operations under way may take when a daemon takes over. */
#define YIELD_TIMEOUT_MSEC 5000
/* So many daemons may end, one after the other, before they have answered to one `up`. */
enum { DAEMONS_MAX = 5 };

struct options {
        bool detach;
        struct zl_cli_i64 timeout;
};

static const struct zl_cli_option options_table[] = {
        { "detach", 'd', ZL_CLI_FLAG, offsetof(struct options, detach), NULL,
          "go to the background when everything has been started" },
        { "timeout", 0, ZL_CLI_DURATION, offsetof(struct options, timeout), "SPAN",
          "fail if not everything has been started by then" },
        { 0 },
};

struct up {
        struct zl_cli *cli;
        const struct options *o;
        char *name;
        const char *
                job; /* begin one more execution of it, in the background, and nothing else; or NULL */
        const char *again; /* start this replica, in the background, and nothing else; or NULL */
        struct zl_store *store;
        struct zl_runtime *rt;
        struct zl_agent_loop *loop;
        struct zl_agent *agent;
        struct zl_up_view *view;
        struct zl_control *control;
        struct zl_control_client *asker;   /* waits for the end */
        struct zl_control_client *starter; /* waits until a replica has been started */
        uv_signal_t signals[3];
        uv_timer_t timeout, drain;
        uv_async_t phase_changed;
        unsigned n_signals;
        int notify_fd; /* to the process that the user waits for; -EBADF: none */
        bool failed;   /* not everything could be started */
        bool yielding; /* a daemon takes over */
        bool over;
        struct zl_deployment_spec *handed_over;
};

/* ---- ending ---------------------------------------------------------------------------------------------------- */

static void stop(struct up *up, bool remove, bool only_new)
{
        struct zl_agent_stop_options options = { .remove = remove, .only_new = only_new };
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_agent_stop(up->agent, up->name, NULL, &options, &err) < 0)
                zl_cli_fail(up->cli, &err);
}

static void on_signal(uv_signal_t *handle, int sig)
{
        struct up *up = handle->data;

        if (sig == SIGHUP && up->o->detach)
                return;
        if (up->n_signals++ == 0) {
                fprintf(stderr, "%s: stopping %s (once more kills)\n", up->cli->program, up->name);
                stop(up, false, false);
        } else {
                zl_agent_kill(up->agent, up->name);
        }
}

static void on_drain_timeout(uv_timer_t *timer);

/* What is being stopped is not worth to be handed over. */
static bool yield(struct up *up)
{
        enum zl_deployment_phase phase = zl_agent_phase(up->agent, up->name);

        if (up->asker || up->n_signals > 0 || up->failed ||
            (phase != ZL_DEPLOYMENT_STARTING && phase != ZL_DEPLOYMENT_STARTED))
                return false;
        if (!up->yielding && !up->o->detach)
                fprintf(stderr, "%s: a daemon has come up and takes over %s\n", up->cli->program,
                        up->name);
        if (!up->yielding)
                uv_timer_start(&up->drain, on_drain_timeout, YIELD_TIMEOUT_MSEC, 0);
        up->yielding = true;
        return true;
}

static void answer_starter(struct up *up)
{
        if (up->starter && !zl_agent_is_changing(up->agent, up->name))
                zl_control_answer(zl_take_ptr(up->starter), "ok");
}

/* False if it is another request. */
static bool start_by_hand(struct up *up, const char *line, struct zl_control_client *client)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        int r;

        if (!zl_startswith(line, "start ") && !zl_startswith(line, "restart "))
                return false;
        if (up->starter) {
                zl_control_answer(client, "error another one is being started");
                return true;
        }
        r = zl_agent_start_request(up->agent, line, &err);
        if (r < 0) {
                zl_control_answer_error(client, &err);
                return true;
        }
        up->starter = client;
        answer_starter(up);
        return true;
}

static void on_request(const char *line, struct zl_control_client *client, void *data)
{
        struct up *up = data;
        _cleanup_free_ char *answer = NULL;

        if (start_by_hand(up, line, client))
                return;
        if (zl_job_request(up->agent, up->name, line, &answer)) {
                zl_control_answer(client, answer);
                return;
        }
        if (zl_streq(line, "yield")) {
                zl_control_answer(client, yield(up) ? "ok" : "error it is about to end");
                return;
        }
        if (!zl_streq(line, "down") && !zl_streq(line, "stop")) {
                zl_control_answer(client, "error unknown request");
                return;
        }
        if (up->asker) {
                zl_control_answer(client, "error somebody else has asked already");
                return;
        }
        up->asker = client;
        stop(up, zl_streq(line, "down"), false);
}

static void on_drain_timeout(uv_timer_t *timer)
{
        struct up *up = timer->data;

        up->over = true;
}

/* ---- going to the background --------------------------------------------------------------------------------------- */

static void tell_parent(struct up *up, char how)
{
        if (up->notify_fd < 0)
                return;
        /* a parent that was killed does not wait */
        (void)!write(up->notify_fd, &how, 1);
        up->notify_fd = zl_close(up->notify_fd);
}

/* From here on what we say goes to a file beside the lock. */
static void leave_terminal(struct up *up)
{
        _cleanup_free_ char *path = NULL;
        int fd = -EBADF;

        fflush(stdout);
        fflush(stderr);
        if (asprintf(&path, "%s/deployments/%s.log", up->cli->root_dir, up->name) >= 0)
                fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        if (fd < 0)
                fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
                dup2(fd, STDOUT_FILENO);
                dup2(fd, STDERR_FILENO);
                zl_close(fd);
        }
        up->cli->color_err = false;
}

/* ---- phases ----------------------------------------------------------------------------------------------------------- */

static void on_phase(uv_async_t *handle)
{
        struct up *up = handle->data;

        answer_starter(up);
        switch (zl_agent_phase(up->agent, up->name)) {
        case ZL_DEPLOYMENT_STARTED:
                if (!up->yielding) { /* it may have finished, and goes on */
                        uv_timer_stop(&up->drain);
                        up->over = false;
                }
                uv_timer_stop(&up->timeout);
                if (up->notify_fd >= 0 &&
                    !(up->again && zl_agent_is_changing(up->agent, up->name))) {
                        tell_parent(up, 'S');
                        leave_terminal(up);
                }
                break;
        case ZL_DEPLOYMENT_FAILED:
                uv_timer_stop(&up->timeout);
                up->failed = true;
                stop(up, true, true);
                break;
        case ZL_DEPLOYMENT_FINISHED:
        case ZL_DEPLOYMENT_STOPPED:
                uv_timer_stop(&up->timeout);
                uv_timer_start(&up->drain, on_drain_timeout, LOGS_TIMEOUT_MSEC, 0);
                break;
        default:
                break;
        }
}

static void on_event(const struct zl_event *event, void *data)
{
        struct up *up = data;

        if (up->view)
                zl_up_view_event(up->view, event);
        /* Not from here: the core is in the middle of a step. */
        uv_async_send(&up->phase_changed);
}

static void on_timeout(uv_timer_t *timer)
{
        struct up *up = timer->data;
        struct zl_error err = ZL_ERROR_INIT;
        char span[ZL_CLI_TEXT_SIZE];

        if (zl_agent_phase(up->agent, up->name) != ZL_DEPLOYMENT_STARTING)
                return;
        zl_fail(&err, ZL_E_TIMEOUT, 0, "not all of %s has been started within %s", up->name,
                zl_cli_format_span(up->o->timeout.value, span));
        zl_cli_fail(up->cli, &err);
        up->failed = true;
        stop(up, true, true);
}

/* ---- setting up -------------------------------------------------------------------------------------------------------- */

static int watch_signals(struct up *up, uv_loop_t *uv)
{
        static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
        int r = 0;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(numbers); i++) {
                up->signals[i].data = up;
                if (r >= 0)
                        r = uv_signal_init(uv, &up->signals[i]);
                if (r >= 0)
                        r = uv_signal_start(&up->signals[i], on_signal, numbers[i]);
        }
        up->timeout.data = up->drain.data = up->phase_changed.data = up;
        if (r >= 0)
                r = uv_timer_init(uv, &up->timeout);
        if (r >= 0)
                r = uv_timer_init(uv, &up->drain);
        if (r >= 0)
                r = uv_async_init(uv, &up->phase_changed, on_phase);
        return r;
}

/* Width of the longest SERVICE.REPLICA, so that log lines are aligned. */
static int label_width(const struct zl_deployment_spec *spec)
{
        int width = 0;

        for (size_t i = 0; i < spec->n_services; i++) {
                uint32_t n = zl_spec_initial_replicas(&spec->services[i].spec->scale);

                width = ZL_MAX(width, snprintf(NULL, 0, "%s.%u", spec->services[i].name, n));
        }
        return width;
}

/* Says its name, and that is all there is to wait for. */
static int begin_job(struct up *up, struct zl_error *err)
{
        char name[ZL_IDENT_NAME_MAX];
        int r = zl_agent_job_run(up->agent, up->name, up->job, name, err);

        if (r < 0)
                return r;
        puts(name);
        leave_terminal(up);
        tell_parent(up, 'S');
        return 0;
}

static int begin(struct up *up, struct zl_deployment_spec **spec, struct zl_error *err)
{
        struct zl_agent_loop_options options = { .on_event = on_event, .data = up };
        struct zl_control_options control = { .runtime_dir = up->cli->runtime_dir,
                                              .deployment = up->name,
                                              .on_request = on_request,
                                              .data = up };
        struct zl_up_view_options view = { .cli = up->cli, .quiet_logs = up->o->detach };
        enum zl_begin how = up->job || up->again ? ZL_BEGIN_RECOVER : ZL_BEGIN_ANEW;
        bool active = false;
        int r = zl_endpoints_check(*spec, err);

        if (r >= 0)
                r = zl_cli_runtime(up->cli, &up->rt, err);
        if (r >= 0)
                r = zl_store_open(up->cli->root_dir, &up->store, err);
        if (r >= 0)
                r = zl_store_get_deployment(up->store, up->name, NULL, &active, err);
        if (r < 0)
                return r;
        options.rt = up->rt;
        options.store = up->store;
        r = zl_agent_loop_new(&options, &up->loop, err);
        if (r < 0)
                return r;
        up->agent = zl_agent_loop_agent(up->loop);
        r = watch_signals(up, zl_agent_loop_uv(up->loop));
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot watch signals");
        view.uv = control.uv = zl_agent_loop_uv(up->loop);
        view.rt = up->rt;
        view.name_width = label_width(*spec);
        /* What is begun by `job run` has nobody to show anything to. */
        r = up->job ? 0 : zl_up_view_new(&view, &up->view, err);
        if (r >= 0)
                r = zl_control_listen(&control, &up->control, err);
        if (r >= 0)
                r = zl_agent_up(up->agent, *spec,
                                active && how == ZL_BEGIN_ANEW ? ZL_BEGIN_RETURN : how, err);
        if (r < 0)
                return r;
        *spec = NULL;
        if (up->job)
                return begin_job(up, err);
        if (up->again)
                return zl_agent_start(up->agent, up->again,
                                      &(struct zl_agent_start_options){ .grace = -1 }, err);
        if (active)
                zl_agent_check_images(up->agent, up->name);
        if (up->o->timeout.set)
                uv_timer_start(&up->timeout, on_timeout,
                               (uint64_t)(up->o->timeout.value / ZL_NSEC_PER_MSEC), 0);
        return 0;
}

static bool is_over(struct up *up)
{
        enum zl_deployment_phase phase = zl_agent_phase(up->agent, up->name);
        bool ended = phase == ZL_DEPLOYMENT_STOPPED || phase == ZL_DEPLOYMENT_FINISHED;

        if (up->yielding)
                return up->over || zl_agent_is_idle(up->agent);
        return ended && zl_agent_is_idle(up->agent) &&
               (up->over || !up->view || !zl_up_view_is_busy(up->view));
}

static int finish(struct up *up)
{
        const struct zl_error *failure = zl_agent_failure(up->agent, up->name);
        int code = zl_agent_exit_code(up->agent, up->name);

        if (failure) {
                struct zl_error copy = ZL_ERROR_INIT;

                /* The object is the agent's; printing releases what it prints. */
                zl_fail(&copy, failure->code, 0, "%s", failure->message);
                if (failure->hint)
                        zl_error_hint(&copy, "%s", failure->hint);
                zl_cli_fail(up->cli, &copy);
                up->failed = true;
        }
        if (up->asker) {
                zl_control_answer(up->asker,
                                  failure ? "error not everything could be stopped" : "ok");
                up->asker = NULL;
        }
        return up->failed ? ZL_EXIT_FAILED : code;
}

static void close_all(struct up *up)
{
        zl_up_view_free(up->view);
        zl_control_close(up->control);
        if (up->loop) {
                for (size_t i = 0; i < ZL_ARRAY_SIZE(up->signals); i++)
                        if (up->signals[i].loop)
                                uv_close((uv_handle_t *)&up->signals[i], NULL);
                if (up->timeout.loop)
                        uv_close((uv_handle_t *)&up->timeout, NULL);
                if (up->drain.loop)
                        uv_close((uv_handle_t *)&up->drain, NULL);
                if (up->phase_changed.loop)
                        uv_close((uv_handle_t *)&up->phase_changed, NULL);
        }
        zl_agent_loop_free(up->loop);
        zl_store_close(up->store);
}

/* Before a daemon takes over. What is still under way, and does not end, ends with the process, as if we had been killed. */
static void leave(struct up *up)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_free_ char *text = NULL;
        bool active;

        if (!zl_agent_is_idle(up->agent)) {
                zl_cli_warn(up->cli, "%s is left to the daemon", up->name);
                tell_parent(up, 'S');
                fflush(NULL);
                _exit(ZL_EXIT_OK);
        }
        if (zl_store_get_deployment(up->store, up->name, &text, &active, &err) > 0 &&
            zl_spec_load_text(text, strlen(text), &up->handed_over, NULL, &err) >= 0)
                return;
        zl_cli_warn(up->cli, "%s is left to the daemon", up->name);
}

static int run_by_daemon(struct up *up, const struct zl_deployment_spec *spec, bool may_end)
{
        struct zl_up_daemon_options daemon = {
                .detach = up->o->detach,
                .timeout = up->o->timeout.set ? up->o->timeout.value : -1,
                .name_width = label_width(spec),
                .may_end = may_end,
        };

        return zl_up_daemon(up->cli, spec, &daemon);
}

/* In the background there is nothing left to do once everything has been started. */
static int go_on_as_client(struct up *up)
{
        int code = ZL_EXIT_OK;

        if (!up->handed_over || (up->o->detach && up->notify_fd < 0))
                return code;
        if (zl_client_await_daemon(up->cli)) {
                code = run_by_daemon(up, up->handed_over, false);
        } else {
                zl_cli_warn(up->cli, "no daemon listens on %s; %s goes on", up->cli->socket,
                            up->name);
                code = ZL_EXIT_FAILED;
        }
        tell_parent(up, code == ZL_EXIT_OK ? 'S' : 'F');
        return code;
}

/* The whole life of the agent. Takes over `*spec` if it could begin. */
static int serve(struct up *up, struct zl_deployment_spec **spec)
{
        struct zl_error err = ZL_ERROR_INIT;
        int code;

        if (begin(up, spec, &err) < 0) {
                code = zl_cli_fail(up->cli, &err);
        } else {
                while (!is_over(up))
                        uv_run(zl_agent_loop_uv(up->loop), UV_RUN_ONCE);
                code = up->yielding ? ZL_EXIT_OK : finish(up);
        }
        if (up->yielding)
                leave(up);
        else
                tell_parent(up, code == ZL_EXIT_OK ? 'S' : 'F');
        close_all(up);
        return code;
}

/* ---- the command ---------------------------------------------------------------------------------------------------------- */

/* The parent of a background agent: waits for the word that all has been started, or else for its end, so that nothing of
 * it is there any more when we say that it failed. */
static int await_child(int fd, pid_t pid)
{
        char how = 'F';
        ssize_t n;

        do
                n = read(fd, &how, 1);
        while (n < 0 && errno == EINTR);
        zl_close(fd);
        if (n == 1 && how == 'S')
                return ZL_EXIT_OK;
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        return ZL_EXIT_FAILED;
}

/* Splits. In the parent `*ret_code` is set and 0 is returned, in the child 1. */
static int go_background(struct up *up, int *ret_code, struct zl_error *err)
{
        int fds[2], null;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return zl_fail_errno(err, errno, "cannot make a pipe");
        fflush(NULL);
        pid = fork();
        if (pid < 0) {
                int e = errno;

                zl_close(fds[0]);
                zl_close(fds[1]);
                return zl_fail_errno(err, e, "cannot start the background agent");
        }
        if (pid > 0) {
                zl_close(fds[1]);
                *ret_code = await_child(fds[0], pid);
                return 0;
        }
        zl_close(fds[0]);
        up->notify_fd = fds[1];
        setsid();
        null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null >= 0) {
                dup2(null, STDIN_FILENO);
                zl_close(null);
        }
        return 1;
}

static int load(struct zl_cli *cli, const char *path, struct zl_deployment_spec **ret)
{
        struct zl_problems *problems = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        int r = zl_spec_load_file(path, ret, &problems, &err);

        for (size_t i = 0; r < 0 && problems && i < problems->n; i++) {
                const struct zl_problem *p = &problems->items[i];

                fprintf(stderr, "%s:%u:%u: %s: %s\n", path, p->line, p->column, p->path,
                        p->message);
                if (p->hint)
                        fprintf(stderr, "  hint: %s\n", p->hint);
        }
        if (r < 0 && problems && problems->n > 0) {
                zl_error_done(&err);
                zl_fail(&err, ZL_E_INVALID, 0, "%s cannot be deployed: %zu problem%s", path,
                        problems->n + problems->n_dropped,
                        problems->n + problems->n_dropped == 1 ? "" : "s");
        }
        zl_problems_free(problems);
        if (r < 0)
                zl_cli_fail(cli, &err);
        return r;
}

/* With an agent of our own. The lock of the root directory is held. */
static int run_here(struct up *up, struct zl_deployment_spec **spec, int *root_lock)
{
        struct zl_deployment_lock *lock = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        int r = 1, code = ZL_EXIT_FAILED;

        if (zl_deployment_lock_take(up->cli->root_dir, up->name, false, &lock, &err) < 0)
                return zl_cli_fail(up->cli, &err);
        if (up->o->detach)
                r = go_background(up, &code, &err);
        if (r == 0) {
                zl_deployment_lock_abandon(lock);
                return code;
        }
        if (r > 0)
                r = zl_deployment_lock_sign(lock, &err);
        code = r < 0 ? zl_cli_fail(up->cli, &err) : serve(up, spec);
        zl_deployment_lock_release(lock);
        *root_lock = zl_close(*root_lock);
        if (up->yielding)
                code = go_on_as_client(up);
        zl_spec_free(up->handed_over);
        return code;
}

/* By the daemon, or else here. A daemon that is killed may still take a wish that it never hears. */
static int run_somewhere(struct up *up, struct zl_deployment_spec **spec)
{
        _cleanup_close_ int root_lock = -EBADF;
        struct zl_error err = ZL_ERROR_INIT;

        for (unsigned n = 1;; n++) {
                int code, r = 0;

                if (!zl_client_has_daemon(up->cli))
                        r = zl_client_embed(up->cli, &root_lock, &err);
                if (r < 0)
                        return zl_cli_fail(up->cli, &err);
                if (r > 0)
                        return run_here(up, spec, &root_lock);
                code = run_by_daemon(up, *spec, n < DAEMONS_MAX);
                if (code != ZL_UP_DAEMON_GONE)
                        return code;
                zl_cli_warn(up->cli, "the daemon ended before it answered; %s is brought up anew",
                            up->name);
        }
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        struct up up = { .cli = cli, .o = options, .notify_fd = -EBADF };
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        _cleanup_free_ char *name = NULL;
        struct zl_error err = ZL_ERROR_INIT;

        (void)argc;
        if (load(cli, argv[0], &spec) < 0)
                return ZL_EXIT_FAILED;
        up.name = name = strdup(spec->deployment);
        if (!name) {
                zl_fail_oom(&err);
                return zl_cli_fail(cli, &err);
        }
        return run_somewhere(&up, &spec);
}

int zl_up_for_job(struct zl_cli *cli, const char *deployment, const char *service)
{
        static const struct options options = { .detach = true };
        struct up up = { .cli = cli, .o = &options, .job = service, .notify_fd = -EBADF };
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        struct zl_store *store = NULL;
        _cleanup_close_ int root_lock = -EBADF;
        _cleanup_free_ char *name = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        int r = zl_client_embed(cli, &root_lock, &err);

        if (r == 0)
                return ZL_UP_DAEMON_THERE;
        if (r > 0)
                r = zl_store_open_existing(cli->root_dir, &store, &err);
        if (r >= 0)
                r = store ? zl_job_spec_at_rest(store, deployment, service, false, &spec, &err)
                          : zl_fail(&err, ZL_E_NOT_FOUND, 0, "deployment %s is not up", deployment);
        zl_store_close(store); /* before there are two processes */
        if (r >= 0 && !(up.name = name = strdup(deployment)))
                r = zl_fail_oom(&err);
        if (r < 0 && err.code == ZL_E_NOT_FOUND)
                zl_error_hint(&err, "zlayer-agent up -d FILE, or zlayer-agent serve");
        if (r < 0)
                return zl_cli_fail(cli, &err);
        return run_here(&up, &spec, &root_lock);
}

int zl_up_spec(struct zl_cli *cli, struct zl_deployment_spec **spec, const char *again)
{
        static const struct options options = { .detach = true };
        struct up up = { .cli = cli, .o = &options, .again = again, .notify_fd = -EBADF };
        _cleanup_close_ int root_lock = -EBADF;
        _cleanup_free_ char *name = strdup((*spec)->deployment);
        struct zl_error err = ZL_ERROR_INIT;
        int r;

        /* The agent opens one for itself: it may be another process. */
        zl_runtime_free(zl_take_ptr(cli->rt));
        up.name = name;
        if (!name) {
                zl_fail_oom(&err);
                return zl_cli_fail(cli, &err);
        }
        if (!again)
                return run_somewhere(&up, spec);
        r = zl_client_embed(cli, &root_lock, &err);
        if (r < 0)
                return zl_cli_fail(cli, &err);
        return r == 0 ? ZL_UP_DAEMON_THERE : run_here(&up, spec, &root_lock);
}

const struct zl_cli_command zl_cmd_up = {
        .name = "up",
        .args = "FILE",
        .summary = "Make a deployment file true: start its services and jobs and look after them",
        .details =
                "FILE is a deployment spec, - is standard input. In the foreground the log lines of all replicas are\n"
                "shown; ^C stops everything, dependents first, and a second ^C kills. Ends by itself when all jobs\n"
                "are done and nothing is left to run, with the exit code of the first job that failed, or 0.\n"
                "What still runs from an agent that was killed is taken over as it is.\n\n"
                "If a daemon listens on --socket, the deployment is given to it: services that have changed are replaced\n"
                "replica by replica, others go on untouched, and -d returns when that is done.",
        .options = options_table,
        .options_size = sizeof(struct options),
        .min_args = 1,
        .max_args = 1,
        .run = run,
};
