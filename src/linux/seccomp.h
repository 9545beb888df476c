/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seccomp filters. Compiling (seccomp_compile.c, needs libseccomp, dependency seccomp_compile_dep) and loading
 * (seccomp.c, raw system calls) are apart, so that a program which only loads a filter does not carry the compiler.
 */
#pragma once

#include <linux/filter.h>
/* This room is called linux, so the kernel header of this name is the next one on the path. */
#include_next <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>

#include "oci/runtime_config.h"

struct zl_seccomp_program {
        struct sock_filter *insns; /* malloc()ed */
        size_t n;
        unsigned flags; /* SECCOMP_FILTER_FLAG_… */
        bool notify;    /* has SCMP_ACT_NOTIFY: loading makes a listener */
};

void zl_seccomp_program_done(struct zl_seccomp_program *prog);

/* The BPF text of a filter for this kernel: unknown system call names are skipped, as runc does; unknown actions, operators,
 * architectures and flags are errors. A default action of ALLOW without rules gives n == 0: nothing to load. */
int zl_seccomp_compile(const struct zl_oci_seccomp *config, struct zl_seccomp_program *ret,
                       struct zl_error *err);

/* Makes a program that answers as before and is shorter, where it can; zl_seccomp_compile() has done it. Returns 0 or -ENOMEM. */
int zl_seccomp_use_ranges(struct zl_seccomp_program *prog);

/* A program as bytes in a file (memfd, cache): written with a header that is checked when read. */
int zl_seccomp_program_write_fd(const struct zl_seccomp_program *prog, int fd);
int zl_seccomp_program_read_fd(int fd, struct zl_seccomp_program *ret, struct zl_error *err);

/* Loads into the calling thread; async-signal-safe. Returns 0 (or the listener's descriptor when prog->notify) or a
 * negative errno. Needs no_new_privs or CAP_SYS_ADMIN. */
int zl_seccomp_load(const struct zl_seccomp_program *prog);

/* Are these `n` calls of this architecture allowed, whatever their arguments? False also where the program does not let it be said. */
bool zl_seccomp_allows(const struct zl_seccomp_program *prog, const int *calls, size_t n);
