/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebAssembly in the process itself: compiles a module, runs an instance of it, shows how it ended.
 *
 *         instantiate [--times N] [--threads N] FILE [ARGUMENT…]
 *
 * With --times it runs that many instances, one after the other, from memory that is reserved for them, and tells what one takes;
 * with --threads so many at once do that. Returns the exit code of the guest, or 125. Build it outside of this tree with:
 * cc instantiate.c $(pkg-config --cflags --libs libzlayer) -pthread
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <zlayer/zlayer.h>

struct work {
        struct zl_wasm_module *module;
        struct zl_wasm_call call;
        long times;
        int64_t best; /* nsec of the fastest */
        int code;     /* exit code of the last; 125 if one could not be run */
};

static int64_t now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int complain(const struct zl_error *err)
{
        fprintf(stderr, "instantiate: %s\n", zl_error_message(err));
        if (err->hint)
                fprintf(stderr, "instantiate: hint: %s\n", err->hint);
        return 125;
}

static void *work(void *data)
{
        struct work *w = data;
        struct zl_error err = ZL_ERROR_INIT;

        for (long i = 0; i < w->times && w->code != 125; i++) {
                struct zl_wasm_outcome end = { 0 };
                int64_t begin = now(), took;

                if (zl_wasm_module_run(w->module, &w->call, &end, &err) < 0) {
                        w->code = complain(&err);
                        break;
                }
                took = now() - begin;
                if (i == 0 || took < w->best)
                        w->best = took;
                w->code = end.exit_code;
                if (end.reason)
                        fprintf(stderr, "instantiate: %s\n", end.reason);
                zl_wasm_outcome_done(&end);
        }
        zl_error_done(&err);
        return NULL;
}

static char *read_file(const char *path, size_t *ret_len)
{
        FILE *f = fopen(path, "rb");
        char *bytes = NULL;
        long len = -1;

        if (f && fseek(f, 0, SEEK_END) == 0)
                len = ftell(f);
        if (len >= 0 && fseek(f, 0, SEEK_SET) == 0)
                bytes = malloc((size_t)len + 1);
        if (bytes && fread(bytes, 1, (size_t)len, f) != (size_t)len) {
                free(bytes);
                bytes = NULL;
        }
        if (f)
                fclose(f);
        *ret_len = (size_t)len;
        return bytes;
}

static int run(const struct work *first, long threads)
{
        struct work *all = calloc((size_t)threads, sizeof(*all));
        pthread_t *ids = calloc((size_t)threads, sizeof(*ids));
        int64_t begin = now(), took;
        int code = 125;

        for (long i = 0; all && ids && i < threads; i++) {
                all[i] = *first;
                if (pthread_create(&ids[i], NULL, work, &all[i]) != 0)
                        abort();
        }
        for (long i = 0; all && ids && i < threads; i++) {
                pthread_join(ids[i], NULL);
                code = i == 0 || all[i].code == 125 ? all[i].code : code;
        }
        took = now() - begin;
        if (all && first->times > 1)
                fprintf(stderr, "instantiate: %ld runs, %.1f us each, the fastest %.1f us\n",
                        first->times * threads,
                        (double)took / 1000 / (double)(first->times * threads),
                        (double)all[0].best / 1000);
        free(all);
        free(ids);
        return code;
}

int main(int argc, char **argv)
{
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_wasm_library_options options = { 0 };
        struct zl_wasm_library *library = NULL;
        struct work w = { .times = 1 };
        long threads = 1;
        char *bytes;
        size_t len;
        int code;

        for (; argc > 2 && strncmp(argv[1], "--t", 3) == 0; argv += 2, argc -= 2)
                *(strcmp(argv[1], "--times") == 0 ? &w.times : &threads) = atol(argv[2]);
        if (argc < 2 || w.times < 1 || threads < 1) {
                fprintf(stderr, "usage: instantiate [--times N] [--threads N] FILE [ARGUMENT…]\n");
                return 2;
        }
        bytes = read_file(argv[1], &len);
        if (!bytes) {
                fprintf(stderr, "instantiate: cannot read %s\n", argv[1]);
                return 125;
        }
        if (w.times > 1)
                options.pool = (uint32_t)threads;
        w.call.argv0 = argv[1];
        w.call.args = (const char *const *)argv + 2;
        code = zl_wasm_library_open(&options, &library, &err);
        if (code == 0)
                code = zl_wasm_module_new(library, bytes, len, &w.module, &err);
        code = code < 0 ? complain(&err) : run(&w, threads);
        zl_wasm_module_free(w.module);
        zl_wasm_library_close(library);
        zl_error_done(&err);
        free(bytes);
        return code;
}
