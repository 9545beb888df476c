/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `run`: one container without a deployment file, through the same runtime. Its name is run.NAME.1. In the foreground our
 * streams and signals are its own and its exit code is ours; with -d it goes on alone under its monitor. A file FILE.wasm or
 * FILE.wat may stand in the place of the image.
 *
 * What may go wrong before its command runs is exit code 125 (126, 127 if the command is at fault) and leaves nothing
 * behind.
 */
#include <unistd.h>

#include "agent/event.h"
#include "agent/kept_run.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/strv.h"
#include "cli/attached.h"
#include "cli/context.h"
#include "cli/image_progress.h"
#include "cli/run_module.h"
#include "cli/run_spec.h"
#include "cli/terminal.h"
#include "cli/up.h"
#include "spec/spec.h"

#define AT(member) offsetof(struct zl_run_options, member)

static const struct zl_cli_option options_table[] = {
        { "name", 0, ZL_CLI_STRING, AT(name), "NAME", "name of the container (default: random)" },
        { "rm", 0, ZL_CLI_FLAG, AT(rm), NULL, "remove it when it has ended" },
        { "detach", 'd', ZL_CLI_FLAG, AT(detach), NULL, "print its name and leave it running" },
        { "interactive", 'i', ZL_CLI_FLAG, AT(interactive), NULL, "pass standard input on" },
        { "tty", 't', ZL_CLI_FLAG, AT(tty), NULL, "give it a terminal" },
        { "env", 'e', ZL_CLI_LIST, AT(env), "NAME=VALUE",
          "set a variable; NAME alone takes it from here" },
        { "volume", 'v', ZL_CLI_LIST, AT(volumes), "SRC:DST[:ro]",
          "bind a directory or a named volume; DST alone is anonymous" },
        { "tmpfs", 0, ZL_CLI_LIST, AT(tmpfs), "DST[:size=N]", "mount an empty tmpfs" },
        { "publish", 'p', ZL_CLI_LIST, AT(ports), "[IP:]HOST:CONT",
          "publish a port, or a range of them" },
        { "network", 0, ZL_CLI_STRING, AT(network), "MODE",
          "default, none, host, bridge[:NAME] or container:NAME" },
        { "network-alias", 0, ZL_CLI_LIST, AT(network_aliases), "NAME",
          "one more name in its network" },
        { "hostname", 0, ZL_CLI_STRING, AT(hostname), "NAME", "host name inside" },
        { "dns", 0, ZL_CLI_LIST, AT(dns), "ADDRESS", "name server" },
        { "add-host", 0, ZL_CLI_LIST, AT(add_hosts), "NAME:IP", "line in /etc/hosts" },
        { "user", 'u', ZL_CLI_STRING, AT(user), "USER[:GROUP]", "user, by name or number" },
        { "workdir", 'w', ZL_CLI_STRING, AT(workdir), "DIR", "working directory" },
        { "entrypoint", 0, ZL_CLI_STRING, AT(entrypoint), "COMMAND",
          "run this instead of the image's entry point" },
        { "memory", 'm', ZL_CLI_SIZE, AT(memory), "SIZE", "memory limit" },
        { "cpus", 0, ZL_CLI_DOUBLE, AT(cpus), "N", "processor limit in cores" },
        { "pids-limit", 0, ZL_CLI_U64, AT(pids_limit), "N", "process limit" },
        { "ulimit", 0, ZL_CLI_LIST, AT(ulimits), "NAME=SOFT[:HARD]", "resource limit" },
        { "sysctl", 0, ZL_CLI_LIST, AT(sysctls), "NAME=VALUE", "kernel setting inside" },
        { "device", 0, ZL_CLI_LIST, AT(devices), "PATH[:rwm]",
          "give it a device, or VENDOR/CLASS=NAME (CDI)" },
        { "read-only", 0, ZL_CLI_FLAG, AT(read_only), NULL, "make its root read-only" },
        { "privileged", 0, ZL_CLI_FLAG, AT(privileged), NULL, "all capabilities and devices" },
        { "cap-add", 0, ZL_CLI_LIST, AT(cap_add), "CAP", "add a capability" },
        { "cap-drop", 0, ZL_CLI_LIST, AT(cap_drop), "CAP", "drop a capability" },
        { "security-opt", 0, ZL_CLI_LIST, AT(security_opt), "OPT",
          "no-new-privileges:true, seccomp=…" },
        { "label", 'l', ZL_CLI_LIST, AT(labels), "NAME=VALUE", "label" },
        { "init", 0, ZL_CLI_FLAG, AT(init), NULL, "run a tiny init as its first process" },
        { "stop-signal", 0, ZL_CLI_STRING, AT(stop_signal), "SIGNAL", "signal that stops it" },
        { "stop-timeout", 0, ZL_CLI_DURATION, AT(stop_timeout), "SPAN",
          "from the stop signal to the kill" },
        { "timeout", 0, ZL_CLI_DURATION, AT(timeout), "SPAN", "stop it after this time" },
        { "restart", 0, ZL_CLI_STRING, AT(restart), "POLICY",
          "no, always, unless-stopped or on-failure[:N]; needs -d" },
        { "pull", 0, ZL_CLI_STRING, AT(pull), "POLICY", "missing, always, newer or never" },
        { 0 },
};

struct job {
        struct zl_cli *cli;
        const struct zl_run_options *o;
        const char *module; /* path of a WebAssembly file that is run; NULL: an image */
        struct zl_runtime *rt;
        struct zl_service_spec *spec;
        char **env;
        struct zl_store *store; /* opened by the first event */
        char name[ZL_IDENT_NAME_MAX];
};

static int make_name(struct job *job, struct zl_error *err)
{
        char random[9];
        struct zl_ident id;
        int r;

        zl_random_hex(random, 8);
        if (zl_kept_run_is_wanted(job->spec))
                r = zl_kept_run_ident(job->o->name ?: random, &id, err);
        else
                r = zl_ident_make(&id, ZL_IDENT_RUN_DEPLOYMENT, job->o->name ?: random, 1, err);
        if (r < 0) {
                zl_error_prefix(err, "--name");
                return r;
        }
        zl_ident_name(&id, job->name);
        return 0;
}

static void print_warning(const char *text, void *data)
{
        const struct job *job = data;

        zl_cli_warn(job->cli, "%s", text);
}

static void print_progress(const char *text, void *data)
{
        const struct job *job = data;

        fprintf(stderr, "%s: %s\n", job->cli->program, text);
}

/* For `events`. A history that cannot be written is no reason to fail a container. */
static void note(struct job *job, enum zl_event_type type, const struct zl_status *status)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_event event = { .time = zl_now_realtime(), .type = type, .name = job->name };

        if (status && type == ZL_EVENT_EXITED) {
                event.has_exit = true;
                event.exit_code = status->exit_code;
                event.signal = status->signal;
                event.oom = status->oom;
                event.stop_requested = status->stop_requested;
                event.message = status->reason;
        }
        if ((!job->store && zl_store_open(job->cli->root_dir, &job->store, &err) < 0) ||
            zl_store_put_event(job->store, &event, NULL, &err) < 0)
                zl_cli_warn(job->cli, "the event is not stored: %s", zl_error_message(&err));
}

static int pull(const struct job *job, struct zl_error *err)
{
        struct zl_pull_options options = { .policy = zl_spec_pull_policy(&job->spec->image) };
        struct zl_image_progress *progress = zl_image_progress_new(job->cli, false, &options);
        int r;

        if (!progress)
                return zl_fail_oom(err);
        r = job->module ? zl_runtime_image_load(job->rt, job->module, job->spec->image.name,
                                                &options, NULL, err)
                        : zl_runtime_pull(job->rt, job->spec->image.name, &options, NULL, err);
        if (r < 0 && err->code == ZL_E_INVALID)
                err->code = ZL_E_PULL; /* what is wrong is the image, not what was asked for */
        zl_image_progress_free(progress);
        return r;
}

static int create(struct job *job, struct zl_error *err)
{
        struct zl_create_options c = {
                .name = job->name,
                .spec = job->spec,
                .attach_stdin = job->o->interactive,
                .auto_remove = job->o->rm && job->o->detach,
                .warn = print_warning,
                .warn_data = job,
                .progress = print_progress,
                .progress_data = job,
        };
        int r;

        r = pull(job, err);
        if (r < 0)
                return r;
        /* Values given here are literal: "$E:" has a meaning in files only. */
        for (size_t i = 0; i < job->spec->env.n; i++)
                if (zl_strv_pushf(&job->env, "%s=%s", job->spec->env.items[i].key,
                                  job->spec->env.items[i].value) < 0)
                        return zl_fail_oom(err);
        c.env = job->env;
        if (job->o->tty)
                (void)zl_terminal_size(STDIN_FILENO, &c.rows, &c.cols);
        return zl_runtime_create(job->rt, &c, err);
}

static void remove_it(struct job *job)
{
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_runtime_remove(job->rt, job->name, true, &err) < 0 && err.code != ZL_E_NOT_FOUND)
                zl_cli_fail(job->cli, &err);
        zl_error_done(&err);
}

static int detached(struct job *job, struct zl_error *err)
{
        int r = zl_runtime_start(job->rt, job->name, err);

        if (r < 0)
                return r;
        puts(job->name);
        return 0;
}

static int exit_code_of(struct job *job, const struct zl_status *status)
{
        struct zl_error err = ZL_ERROR_INIT;

        if (status->oom)
                zl_cli_warn(job->cli, "%s ran out of memory", job->name);
        if (status->state != ZL_STATE_FAILED && status->exit_code >= 0)
                return status->exit_code;
        zl_fail(&err, ZL_E_STATE, 0, "%s: %s", job->name, status->reason ?: "reason unknown");
        zl_cli_fail(job->cli, &err);
        return ZL_EXIT_AGENT;
}

static int foreground(struct job *job, struct zl_error *err)
{
        struct zl_attached a = { .rt = job->rt,
                                 .name = job->name,
                                 .input = job->o->interactive,
                                 .tty = job->o->tty,
                                 .signals = true,
                                 .timeout = job->o->timeout.set ? job->o->timeout.value : -1 };
        struct zl_status status = { 0 };
        int r, code;

        r = zl_foreground_prepare(err);
        if (r >= 0)
                r = zl_attach_open(job->rt, job->name, &a.attach, err);
        if (r >= 0)
                r = zl_watch_open(job->rt, job->name, &a.watch, err);
        if (r >= 0)
                r = zl_runtime_start(job->rt, job->name, err);
        if (r >= 0) {
                note(job, ZL_EVENT_STARTED, NULL);
                r = zl_attached_run(&a, &status, err);
        }
        if (a.attach)
                zl_attach_close(a.attach);
        if (a.watch)
                zl_watch_close(a.watch);
        if (r < 0)
                return r;
        note(job, ZL_EVENT_EXITED, &status);
        code = exit_code_of(job, &status);
        zl_status_done(&status);
        if (job->o->rm)
                remove_it(job);
        return code;
}

/* As a deployment: somebody has to look after it. Returns the exit code. */
static int keep(struct job *job, struct zl_error *err)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        pid_t self = getpid();
        struct zl_ident id;
        int code, r = zl_ident_parse(job->name, &id);

        if (r >= 0)
                r = zl_kept_run_spec(&id, job->spec, &spec, err);
        if (r >= 0)
                r = pull(job, err);
        if (r < 0)
                return r;
        code = zl_up_spec(job->cli, &spec, NULL);
        if (getpid() != self)
                return code; /* the agent, at its end */
        if (code != ZL_EXIT_OK)
                return ZL_EXIT_AGENT;
        puts(job->name);
        return ZL_EXIT_OK;
}

static int run_job(struct job *job, struct zl_error *err)
{
        bool kept = zl_kept_run_is_wanted(job->spec);
        int r = make_name(job, err);

        if (r >= 0)
                r = zl_cli_runtime(job->cli, &job->rt, err);
        if (r >= 0 && job->o->name)
                r = zl_kept_run_check_free(job->rt, job->o->name, kept, err);
        if (r >= 0 && kept)
                return keep(job, err);
        if (r >= 0)
                r = create(job, err);
        if (r < 0)
                return r;
        r = job->o->detach ? detached(job, err) : foreground(job, err);
        if (r < 0) {
                remove_it(job);
                return r;
        }
        if (job->o->detach)
                note(job, ZL_EVENT_STARTED, NULL);
        return r;
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        struct job job = { .cli = cli, .o = options };
        struct zl_error err = ZL_ERROR_INIT;
        _cleanup_free_ char *name = NULL;
        int r = 0;

        (void)argc;
        if (job.o->detach && job.o->timeout.set)
                return zl_cli_usage(cli, "--timeout needs the foreground");
        if (job.o->restart && !zl_streq(job.o->restart, "no")) {
                if (job.o->rm)
                        return zl_cli_usage(cli, "--restart and --rm exclude each other");
                if (!job.o->detach)
                        return zl_cli_usage(cli, "--restart needs -d");
        }
        if (job.o->tty && job.o->interactive && !job.o->detach && !isatty(STDIN_FILENO))
                return zl_cli_usage(cli, "-it: standard input is not a terminal");
        if (zl_run_is_module_file(argv[0])) {
                job.module = argv[0];
                r = zl_run_module_name(argv[0], &name, &err);
        }
        if (r >= 0)
                r = zl_run_spec_build(job.o, name ? name : argv[0], argv + 1, &job.spec, &err);
        if (r >= 0)
                r = run_job(&job, &err);
        zl_store_close(job.store);
        zl_service_spec_free(job.spec);
        zl_strv_free(job.env);
        return r < 0 ? zl_cli_fail_workload(cli, &err) : r;
}

const struct zl_cli_command zl_cmd_run = {
        .name = "run",
        .args = "IMAGE|FILE.wasm [COMMAND [ARG…]]",
        .summary = "Run a command in a new container",
        .details =
                "Returns the exit code of the command (128+n after signal n), 126 if it cannot be executed, 127 if\n"
                "it does not exist, 125 if the agent failed. Signals are passed on; the third INT or TERM kills.\n"
                "With --restart it is a deployment of its own, run-NAME, which the daemon looks after, or else an agent in the\n"
                "background; only the daemon takes it up again after a reboot. What was stopped by hand stays down until\n"
                "`start`, with always also until the daemon is started again; `rm` ends it.\n"
                "A WebAssembly file (.wasm, or .wat in text form) is imported and run; what follows are its arguments.",
        .options = options_table,
        .options_size = sizeof(struct zl_run_options),
        .min_args = 1,
        .max_args = UINT32_MAX,
        .stop_at_first = true,
        .run = run,
};
