/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads a deployment spec, makes it true, tells what happens, and ends it again: deploy FILE [SECONDS]. Uses the public headers
 * only: cc deploy.c $(pkg-config --cflags --libs libzlayer)
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <zlayer/zlayer.h>

static void print_event(const struct zl_service_event *event, void *data)
{
        (void)data;
        printf("%s %s%s%s\n", event->name, event->type, event->message ? ": " : "",
               event->message ? event->message : "");
        fflush(stdout);
}

static int fail(struct zl_error *err)
{
        fprintf(stderr, "deploy: %s\n", zl_error_message(err));
        if (err->hint)
                fprintf(stderr, "  hint: %s\n", err->hint);
        zl_error_done(err);
        return EXIT_FAILURE;
}

static int deploy(struct zl_service_manager *manager, const struct zl_deployment_spec *spec,
                  unsigned seconds, struct zl_error *err)
{
        const int64_t minute = 60 * INT64_C(1000000000);
        int r = zl_service_manager_deploy(manager, spec, err);

        if (r >= 0)
                r = zl_service_manager_wait(manager, spec->deployment, minute, err);
        if (r >= 0) {
                printf("%s is up\n", spec->deployment);
                fflush(stdout);
                sleep(seconds);
                r = zl_service_manager_stop(manager, spec->deployment, true, err);
        }
        return r;
}

int main(int argc, char **argv)
{
        struct zl_service_manager_options options = { .on_event = print_event };
        struct zl_service_manager *manager = NULL;
        struct zl_deployment_spec *spec = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        int r;

        if (argc < 2) {
                fprintf(stderr, "usage: deploy FILE [SECONDS]\n");
                return 2;
        }
        r = zl_spec_load_file(argv[1], &spec, NULL, &err);
        if (r >= 0)
                r = zl_service_manager_new(ZL_RUNTIME_AUTO, &options, &manager, &err);
        if (r >= 0)
                r = deploy(manager, spec, argc > 2 ? (unsigned)atoi(argv[2]) : 1, &err);
        zl_service_manager_free(manager);
        zl_spec_free(spec);
        return r < 0 ? fail(&err) : EXIT_SUCCESS;
}
