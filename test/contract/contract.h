/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the contract share: the runtime that is looked at, checks that say why, and the usual steps. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlayer/runtime.h>
#include <zlayer/spec.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/strv.h"
#include "spec/spec.h"

#define SEC INT64_C(1000000000)
#define IMAGE "docker.io/library/bb:latest"

extern struct zl_runtime *rt;
extern struct zl_error err;
extern char why[2000];
extern enum zl_runtime_kind kind;

#define FAIL(...)                                                                                  \
        do {                                                                                       \
                int _n = snprintf(why, sizeof(why), "line %d: ", __LINE__);                        \
                snprintf(why + _n, sizeof(why) - (size_t)_n, __VA_ARGS__);                         \
                return -1;                                                                         \
        } while (0)
#define CHECK(cond)                                                                                \
        do {                                                                                       \
                if (!(cond))                                                                       \
                        FAIL("%s", #cond);                                                         \
        } while (0)
/* The call succeeds. */
#define OK(call)                                                                                   \
        do {                                                                                       \
                zl_error_done(&err);                                                               \
                if ((call) < 0)                                                                    \
                        FAIL("%s: %s: %s", #call, zl_code_name(err.code), zl_error_message(&err)); \
        } while (0)
/* The call fails with this code. */
#define FAILS(call, code_)                                                                         \
        do {                                                                                       \
                zl_error_done(&err);                                                               \
                if ((call) >= 0)                                                                   \
                        FAIL("%s succeeds", #call);                                                \
                if (err.code != (code_))                                                           \
                        FAIL("%s: %s (%s) instead of %s", #call, zl_code_name(err.code),           \
                             zl_error_message(&err), zl_code_name(code_));                         \
        } while (0)

/* A case is asserted if the backend has all that it needs: operations, a "process" (the mock has none), "rights" of a full root, a "shell" (WebAssembly
 * has only what guest.c can). */
struct contract_case {
        const char *name, *needs;
        int (*run)(const char *name);
};
extern const struct contract_case life_cases[], stream_cases[], file_cases[], spec_cases[],
        lack_cases[]; /* up to one without a name */

/* ---- steps: 0, or -1 with `why` ------------------------------------------------------------------------ */

/* `extra` is more of the service, as flow YAML beginning with a comma. */
int create_image(const char *name, const char *image, const char *script, const char *extra);
int create_with(const char *name, const char *script, const char *extra);
int start_image(const char *name, const char *image, const char *script);
int start_with(const char *name, const char *script, const char *extra);
int wait_end(const char *name, int *ret_code, int *ret_signal);
int state_of(const char *name, enum zl_workload_state *ret);
int expect_state(const char *name, enum zl_workload_state wanted);
/* All of a log as "STREAM:LINE|STREAM:LINE|"; streams have no order between them, so one stream at a time. */
int read_log(const char *name, const struct zl_log_options *o, struct zl_buf *ret);
int expect_log(const char *name, const struct zl_log_options *o, const char *wanted);
/* Until the log has a line; a program tells that way that it is ready. */
int wait_line(const char *name, const char *line);
/* The output of a command run inside, and its code. `in` (may be NULL) is its input. */
int exec_in(const char *name, const char *script, const char *in, struct zl_buf *out,
            int *ret_code);
int temporary(void);
/* Is the text in the file? */
bool file_has(int fd, const char *text);

/* ---- contract_mock.c: workloads of the mock do what their script says --------------------------------------- */

void mock_setup(struct zl_runtime *mock);
void mock_script(const char *name, const char *script);
void mock_done(void);
