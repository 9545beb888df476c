/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one container to its end from a program of your own: pull, create, start, wait, print its log, remove. Returns the
 * exit code of the container, or 125 if it could not be run.
 *
 *         embed IMAGE [COMMAND [ARGUMENT…]]
 *
 * Build it outside of this tree with: cc embed.c $(pkg-config --cflags --libs libzlayer)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zlayer/zlayer.h>

static int complain(const char *what, struct zl_error *err)
{
        fprintf(stderr, "embed: %s: %s\n", what, zl_error_message(err));
        if (err->hint)
                fprintf(stderr, "embed: hint: %s\n", err->hint);
        return 125;
}

static void warn(const char *text, void *data)
{
        fprintf(stderr, "embed: warning: %s\n", text);
}

/* The texts of a spec are its own, so the command is copied into it. */
static int set_command(struct zl_service_spec *spec, char **argv, int argc)
{
        if (argc == 0)
                return 0;
        spec->command.entrypoint = calloc((size_t)argc + 1, sizeof(char *));
        if (!spec->command.entrypoint)
                return -1;
        for (int i = 0; i < argc; i++)
                if (!(spec->command.entrypoint[i] = strdup(argv[i])))
                        return -1;
        return 0;
}

static void print_log(struct zl_runtime *rt, const char *name)
{
        struct zl_logs *logs;
        struct zl_log_entry e;

        if (zl_logs_open(rt, name, NULL, &logs, NULL) < 0)
                return;
        while (zl_logs_next(logs, &e, NULL) > 0) {
                FILE *f = e.stream == 2 ? stderr : stdout;

                fwrite(e.data, 1, e.len, f);
                if (!e.partial)
                        putc('\n', f);
        }
        zl_logs_close(logs);
}

/* Everything from the image to the exit code; what was created is removed by the caller. */
static int run(struct zl_runtime *rt, const char *name, const struct zl_service_spec *spec,
               int *ret_created, struct zl_error *err)
{
        const struct zl_pull_options pull = { .policy = spec->image.pull_policy };
        const struct zl_create_options create = { .name = name, .spec = spec, .warn = warn };
        struct zl_status status;
        int code;

        if (zl_runtime_pull(rt, spec->image.name, &pull, NULL, err) < 0)
                return complain("pull", err);
        if (zl_runtime_create(rt, &create, err) < 0)
                return complain("create", err);
        *ret_created = 1;
        if (zl_runtime_start(rt, name, err) < 0) {
                code = err->code == ZL_E_NO_COMMAND     ? 127
                       : err->code == ZL_E_NOT_RUNNABLE ? 126
                                                        : 125;
                complain("start", err);
                return code;
        }
        if (zl_runtime_wait(rt, name, -1, &status, err) < 0)
                return complain("wait", err);
        code = status.state == ZL_STATE_EXITED ? status.exit_code : 125;
        if (status.state != ZL_STATE_EXITED)
                fprintf(stderr, "embed: %s\n", status.reason ? status.reason : "it failed");
        zl_status_done(&status);
        print_log(rt, name);
        return code;
}

int main(int argc, char **argv)
{
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_runtime *rt = NULL;
        struct zl_service_spec *spec = NULL;
        char name[64];
        int created = 0, code;

        if (argc < 2) {
                fprintf(stderr, "usage: embed IMAGE [COMMAND [ARGUMENT…]]\n");
                return 2;
        }
        snprintf(name, sizeof(name), "embed.p%d.1", (int)getpid());
        if (zl_runtime_new(ZL_RUNTIME_AUTO, NULL, &rt, &err) < 0) {
                code = complain("runtime", &err);
        } else if (zl_service_spec_new_default(argv[1], &spec, &err) < 0 ||
                   set_command(spec, argv + 2, argc - 2) < 0) {
                code = complain("spec", &err);
        } else {
                code = run(rt, name, spec, &created, &err);
                zl_error_done(&err);
                if (created && zl_runtime_remove(rt, name, 1, &err) < 0)
                        code = complain("remove", &err);
        }
        zl_service_spec_free(spec);
        zl_runtime_free(rt);
        zl_error_done(&err);
        return code;
}
