/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of the command line: global options, the table of subcommands, options by table, help,
 * errors, tables for people. A subcommand is one file with one `const struct zl_cli_command`; the
 * frame parses its options into a struct of the command's own, prints its help, checks the number of
 * its arguments, and then calls it. To add a command: write the file, declare the object below and put
 * it into the table of commands.c.
 *
 * Exit codes: the values of enum zl_exit_code, or what a command documents. A command prints its result to
 * standard output, everything else (errors, warnings, progress) to standard error.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include <zlayer/runtime.h>

#include "base/error.h"

enum zl_exit_code {
        ZL_EXIT_OK = 0,
        ZL_EXIT_FAILED = 1,
        ZL_EXIT_USAGE = 2,
        ZL_EXIT_AGENT = 125,        /* `run` and `exec`: we failed, not the workload */
        ZL_EXIT_NOT_RUNNABLE = 126, /* the command was found but cannot be executed */
        ZL_EXIT_NO_COMMAND = 127,   /* the command does not exist */
};

/* One invocation of the program. Strings belong to it and are never NULL unless said so. */
struct zl_cli {
        const char *program; /* name for messages: "zlayer-agent" */
        char **argv;         /* of the process */
        char *command;       /* "image pull"; for messages; NULL before a command is known */
        char *root_dir;      /* absolute */
        char *runtime_dir;   /* absolute */
        char *socket;        /* of the daemon */
        const char *runtime; /* kind as text: "auto", "native", "oci:crun" … */
        enum zl_runtime_kind runtime_kind;
        const char *oci_name; /* "crun" of "oci:crun", or NULL */
        bool json;            /* machine-readable output is wanted */
        bool color_out;       /* standard output takes colour */
        bool color_err;
        bool spares;           /* for a runtime that lives long */
        struct zl_runtime *rt; /* opened by the first zl_cli_runtime() */
};

/* ---- options ------------------------------------------------------------------------------------ */

enum zl_cli_option_type {
        ZL_CLI_FLAG,   /* bool: set to true; no argument */
        ZL_CLI_STRING, /* const char *: points into argv; the last one counts */
        ZL_CLI_LIST,   /* char **: a string vector that grows (freed by the frame) */
        ZL_CLI_U64,    /* struct zl_cli_u64 */
        ZL_CLI_DURATION, /* struct zl_cli_i64 in nanoseconds: "90s", "1h30m", "500ms", plain seconds */
        ZL_CLI_SIZE,     /* struct zl_cli_u64 in bytes: "512Mi", "1g", "100M" (as zl_parse_size) */
        ZL_CLI_DOUBLE,   /* struct zl_cli_double, finite and > 0 */
        ZL_CLI_SIGNAL,   /* int: "TERM", "SIGTERM", "15" */
        ZL_CLI_OPTIONAL, /* const char *: what stands behind '=', "" without; the metavar is "[=X]" */
};

struct zl_cli_u64 {
        uint64_t value;
        bool set;
};
struct zl_cli_i64 {
        int64_t value;
        bool set;
};
struct zl_cli_double {
        double value;
        bool set;
};

struct zl_cli_option {
        const char *name; /* long name without dashes; NULL ends the table */
        char letter;      /* short name, or 0 */
        enum zl_cli_option_type type;
        size_t offset;       /* in the command's options struct */
        const char *metavar; /* "NAME", "PATH" …; NULL for flags */
        const char *help;    /* one line, no full stop */
};

/* ---- commands ------------------------------------------------------------------------------------ */

struct zl_cli_command {
        const char *name;
        const char *args;    /* synopsis behind the options: "IMAGE [COMMAND [ARG…]]" */
        const char *summary; /* one line, no full stop */
        const char *details; /* more paragraphs for --help, or NULL */
        const struct zl_cli_option *options; /* or NULL */
        size_t options_size;                 /* of the options struct; it starts zeroed */
        const struct zl_cli_command *const *sub_commands; /* NULL-terminated; then no run() */
        unsigned min_args;
        unsigned max_args;  /* UINT_MAX: any number */
        bool stop_at_first; /* options end at the first argument (`run IMAGE -x`) */
        /* Returns the exit code. `options` is the filled struct; `argv` holds the arguments only and is
         * NULL-terminated. */
        int (*run)(struct zl_cli *cli, void *options, int argc, char **argv);
};

/* Runs one whole invocation; returns the exit code. */
int zl_cli_main(int argc, char **argv);

/* Parses argv[1…] by `cmd` into `ret_options` (zeroed, of cmd->options_size bytes). Returns the index of the first
 * argument in the (permuted) argv, -EAGAIN if help was asked for, or -EINVAL with `err` filled. Lists must be freed
 * by zl_cli_options_done() in every case. `*ret_json` is set if --json was given. */
int zl_cli_parse(const struct zl_cli_command *cmd, int argc, char **argv, void *ret_options,
                 bool *ret_json, struct zl_error *err);
void zl_cli_options_done(const struct zl_cli_command *cmd, void *options);

void zl_cli_print_help(const struct zl_cli *cli, const struct zl_cli_command *cmd, FILE *f);

extern const struct zl_cli_command *const zl_cli_commands[]; /* NULL-terminated, in order of help */

/* "90s", "1h30m", "500ms", "1.5s" or plain seconds "90". 0 or -EINVAL; never negative. */
int zl_cli_parse_duration(const char *s, int64_t *ret_nsec);
/* An instant in nanoseconds since 1970: a time as in RFC 3339, or a span back from now. 0 or -EINVAL. */
int zl_cli_parse_instant(const char *s, int64_t *ret_nsec);

/* ---- what commands use ----------------------------------------------------------------------------- */

/* The runtime of the global options, opened at the first call; belongs to `cli`. Does not recover it. */
int zl_cli_runtime(struct zl_cli *cli, struct zl_runtime **ret, struct zl_error *err);

/* Prints "zlayer-agent: MESSAGE" and the hint to standard error and releases `err`. Returns ZL_EXIT_FAILED, so
 * that a command ends with `return zl_cli_fail(cli, &err)`. */
int zl_cli_fail(const struct zl_cli *cli, struct zl_error *err);
/* The same for a fault that may lie in an argument: that (ZL_E_INVALID) is wrong usage, told with the name of the command and
 * where to find help unless there is a better hint, and returns ZL_EXIT_USAGE. */
int zl_cli_fail_argument(const struct zl_cli *cli, struct zl_error *err);
/* The same in commands whose exit code else is that of a workload: not runnable, no such command, or the agent failed. */
int zl_cli_fail_workload(const struct zl_cli *cli, struct zl_error *err);
/* Does something with each of `argv`: prints those that went well, tells the others like zl_cli_fail_argument() and goes on. The
 * exit code of the last fault, or ZL_EXIT_OK. */
int zl_cli_each(const struct zl_cli *cli, char **argv,
                int (*each)(void *data, const char *arg, struct zl_error *err), void *data);
/* Wrong usage: prints the message and where to find help; returns ZL_EXIT_USAGE. */
int zl_cli_usage(const struct zl_cli *cli, const char *fmt, ...) ZL_PRINTF(2, 3);
/* "zlayer-agent: warning: …" on standard error. */
void zl_cli_warn(const struct zl_cli *cli, const char *fmt, ...) ZL_PRINTF(2, 3);
/* Flushes standard output; a failed write (disk full, closed pipe) becomes ZL_EXIT_FAILED with a message. */
int zl_cli_finish(const struct zl_cli *cli, int code);

/* Reads an answer of at most `max` bytes from a path or, for "-", standard input. Caller frees. */
int zl_cli_read_input(const char *path, size_t max, char **ret, size_t *ret_len,
                      struct zl_error *err);

/* "12.5MiB", "900B"; "1m3s"; returns buf. */
enum { ZL_CLI_TEXT_SIZE = 64 };
char *zl_cli_format_size(uint64_t bytes, char buf[ZL_CLI_TEXT_SIZE]);
char *zl_cli_format_span(int64_t nsec, char buf[ZL_CLI_TEXT_SIZE]);

/* Prints a document, indented, with a line break. 0 or -ENOMEM, also for NULL. */
int zl_cli_print_json(const json_t *value);

/* ---- tables ----------------------------------------------------------------------------------------- */

/* Left-aligned columns as wide as their content, two blanks between them; the header is bold on a terminal. */
struct zl_cli_table;
/* `headers` is NULL-terminated and must stay. NULL without memory. */
struct zl_cli_table *zl_cli_table_new(const char *const *headers);
void zl_cli_table_free(struct zl_cli_table *table);
ZL_DEFINE_CLEANUP(struct zl_cli_table *, zl_cli_table_freep, zl_cli_table_free)
#define _cleanup_table_ _cleanup_(zl_cli_table_freep)
/* Appends a cell (row by row, left to right); NULL prints as "-". Control characters are replaced. Errors stick and
 * are told by print. */
void zl_cli_table_cell(struct zl_cli_table *table, const char *text);
void zl_cli_table_cellf(struct zl_cli_table *table, const char *fmt, ...) ZL_PRINTF(2, 3);
int zl_cli_table_print(const struct zl_cli_table *table, const struct zl_cli *cli, FILE *f);

/* ---- the commands ------------------------------------------------------------------------------------ */

extern const struct zl_cli_command zl_cmd_attach;
extern const struct zl_cli_command zl_cmd_cp;
extern const struct zl_cli_command zl_cmd_cron;
extern const struct zl_cli_command zl_cmd_down;
extern const struct zl_cli_command zl_cmd_events;
extern const struct zl_cli_command zl_cmd_exec;
extern const struct zl_cli_command zl_cmd_image;
extern const struct zl_cli_command zl_cmd_info;
extern const struct zl_cli_command zl_cmd_inspect;
extern const struct zl_cli_command zl_cmd_job;
extern const struct zl_cli_command zl_cmd_kill;
extern const struct zl_cli_command zl_cmd_logs;
extern const struct zl_cli_command zl_cmd_ps;
extern const struct zl_cli_command zl_cmd_restart;
extern const struct zl_cli_command zl_cmd_rm;
extern const struct zl_cli_command zl_cmd_run;
extern const struct zl_cli_command zl_cmd_schema;
extern const struct zl_cli_command zl_cmd_secret;
extern const struct zl_cli_command zl_cmd_scale;
extern const struct zl_cli_command zl_cmd_serve;
extern const struct zl_cli_command zl_cmd_start;
extern const struct zl_cli_command zl_cmd_stats;
extern const struct zl_cli_command zl_cmd_stop;
extern const struct zl_cli_command zl_cmd_top;
extern const struct zl_cli_command zl_cmd_up;
extern const struct zl_cli_command zl_cmd_validate;
extern const struct zl_cli_command zl_cmd_version;
extern const struct zl_cli_command zl_cmd_volume;
extern const struct zl_cli_command zl_cmd_network;
extern const struct zl_cli_command zl_cmd_wait;
extern const struct zl_cli_command zl_cmd_why;
