/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One contract for all runtimes: the same cases through <zlayer/runtime.h> against the backend that is named.
 *
 *         contract KIND [CASE]...        all cases, or those named
 *
 * $CONTRACT_IMAGE is an archive of the busybox image, or for wasm the compiled guest.c (for backends with image_load). For every case one
 * line "case NAME ok" or "case NAME FAILED: why", then for every operation of the interface "op NAME yes|no". A case whose operations the
 * backend lacks asserts nothing and is told as "case NAME lacks OPERATION"; but an operation that is lacking has to answer
 * "unsupported", and that is asserted. The exit code is 1 if a case failed.
 */
#include <sys/prctl.h>

#include "contract.h"

struct zl_runtime *rt;
struct zl_error err;
char why[2000];

enum zl_runtime_kind kind;

/* Docker gives a privileged workload all capabilities, or fails where it does not have them itself. */
static bool has_all_rights(void)
{
        int r = 1;

        for (int cap = 0; r == 1; cap++)
                r = prctl(PR_CAPBSET_READ, cap);
        return r < 0;
}

/* The first thing of `needs` that is lacking, or NULL. */
static const char *lacking(const char *needs)
{
        static char word[64];

        while (*needs) {
                size_t len = strcspn(needs, " ");
                bool has;

                snprintf(word, sizeof(word), "%.*s", (int)len, needs);
                if (zl_streq(word, "process"))
                        has = kind != ZL_RUNTIME_MOCK;
                else if (zl_streq(word, "rights"))
                        has = kind != ZL_RUNTIME_DOCKER || has_all_rights();
                else if (zl_streq(word, "shell"))
                        has = kind != ZL_RUNTIME_MOCK && kind != ZL_RUNTIME_WASM;
                else
                        has = zl_runtime_can(rt, word);
                if (!has)
                        return word;
                needs += len + (needs[len] == ' ');
        }
        return NULL;
}

static bool is_wanted(const char *name, char **names)
{
        if (!*names)
                return true;
        for (; *names; names++)
                if (zl_streq(name, *names))
                        return true;
        return false;
}

static int run_case(const struct contract_case *c)
{
        const char *missing = lacking(c->needs);
        char name[64];
        int r;

        if (missing) {
                printf("case %s lacks %s\n", c->name, missing);
                return 0;
        }
        snprintf(name, sizeof(name), "contract.%s.1", c->name);
        r = c->run(name);
        printf("case %s %s%s\n", c->name, r < 0 ? "FAILED: " : "ok", r < 0 ? why : "");
        fflush(stdout);
        zl_runtime_remove(rt, name, true, NULL);
        return r;
}

/* How many have failed. */
static int run_cases(char **wanted)
{
        static const struct contract_case *const all[] = { life_cases, stream_cases, file_cases,
                                                           spec_cases, lack_cases };
        int failed = 0;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(all); i++)
                for (const struct contract_case *c = all[i]; c->name; c++)
                        if (is_wanted(c->name, wanted))
                                failed += run_case(c) < 0;
        return failed;
}

int main(int argc, char **argv)
{
        const char *image = getenv("CONTRACT_IMAGE");
        struct zl_runtime_options o = { 0 };
        const char *op;
        int failed;

        if (argc < 2 || zl_runtime_kind_parse(argv[1], &kind, &o.oci_name) < 0) {
                fprintf(stderr, "usage: contract KIND [CASE]...\n");
                return 2;
        }
        setenv("CONTRACT_KIND", argv[1], 1);
        signal(SIGPIPE, SIG_IGN);
        if (zl_runtime_new(kind, &o, &rt, &err) < 0 ||
            (image && zl_runtime_can(rt, "image_load") &&
             zl_runtime_image_load(rt, image, "bb", NULL, NULL, &err) < 0)) {
                fprintf(stderr, "contract: %s\n", zl_error_message(&err));
                return 1;
        }
        if (kind == ZL_RUNTIME_MOCK)
                mock_setup(rt);
        failed = run_cases(argv + 2);
        for (size_t i = 0; (op = zl_runtime_operation_name(i)); i++)
                printf("op %s %s\n", op, zl_runtime_can(rt, op) ? "yes" : "no");
        mock_done();
        zl_runtime_free(rt);
        zl_error_done(&err);
        return failed ? 1 : 0;
}
