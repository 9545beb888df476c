/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A WebAssembly workload from a program of your own: pull the artifact, create an instance, start it, wait for its exit
 * code, remove it.
 *
 *         wasm IMAGE [ARGUMENT…]
 *
 * Returns the exit code of the guest, or 125 if it could not be run. Build it outside of this tree with:
 * cc wasm.c $(pkg-config --cflags --libs libzlayer)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zlayer/zlayer.h>

/* The guest's exit code, or negative. What has been created is left to the caller. */
static int run_wasm_module(struct zl_runtime *rt, const char *name,
                           const struct zl_service_spec *spec, struct zl_error *err)
{
        const struct zl_pull_options pull = { .policy = spec->image.pull_policy };
        const struct zl_create_options create = { .name = name, .spec = spec };
        struct zl_status status;
        int r = zl_runtime_pull(rt, spec->image.name, &pull, NULL, err);

        if (r >= 0)
                r = zl_runtime_create(rt, &create, err);
        if (r < 0)
                return r;
        r = zl_runtime_start(rt, name, err);
        if (r >= 0)
                r = zl_runtime_wait(rt, name, -1, &status, err);
        if (r >= 0) {
                r = status.exit_code;
                if (status.reason)
                        fprintf(stderr, "wasm: %s\n", status.reason);
                zl_status_done(&status);
        }
        if (zl_runtime_remove(rt, name, true, r < 0 ? NULL : err) < 0 && r >= 0)
                r = -1;
        return r;
}

int main(int argc, char **argv)
{
        const struct zl_runtime_options options = {
                .wasm_max_execution_nsec = 3600 * INT64_C(1000000000)
        };
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_runtime *rt = NULL;
        struct zl_service_spec *spec = NULL;
        char name[64];
        int r;

        if (argc < 2) {
                fprintf(stderr, "usage: wasm IMAGE [ARGUMENT…]\n");
                return 2;
        }
        /* An instance is SERVICE, REPLICA of a deployment. */
        snprintf(name, sizeof(name), "example.wasm-%d.1", (int)getpid());
        r = zl_runtime_new(ZL_RUNTIME_WASM, &options, &rt, &err);
        if (r >= 0)
                r = zl_service_spec_new_default(argv[1], &spec, &err);
        if (r >= 0 && argc > 2) {
                spec->command.args = calloc((size_t)argc - 1, sizeof(char *));
                for (int i = 2; i < argc && spec->command.args; i++)
                        spec->command.args[i - 2] = strdup(argv[i]);
        }
        if (r >= 0)
                r = run_wasm_module(rt, name, spec, &err);
        if (r < 0) {
                fprintf(stderr, "wasm: %s\n", zl_error_message(&err));
                if (err.hint)
                        fprintf(stderr, "wasm: hint: %s\n", err.hint);
        }
        zl_service_spec_free(spec);
        zl_runtime_free(rt);
        zl_error_done(&err);
        return r < 0 ? 125 : r;
}
