/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events: what a container uses, once or again and again, and when memory runs out.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "cli/oci/oci.h"

struct events_options {
        struct zl_cli_i64 interval;
        bool stats;
};

static const struct zl_cli_option events_table[] = {
        { "stats", 0, ZL_CLI_FLAG, offsetof(struct events_options, stats), NULL,
          "print the figures once and return" },
        { "interval", 0, ZL_CLI_DURATION, offsetof(struct events_options, interval), "SPAN",
          "time between figures (default 5s)" },
        { 0 },
};

/* runc's field order: some look for text and not for JSON. */
static int print_event(const char *type, struct zl_container *c, bool figures, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(1 << 20);
        int r = 0;

        zl_buf_putf(&b, "{\"type\":\"%s\",\"id\":\"%s\"", type, zl_container_id(c));
        if (figures) {
                zl_buf_puts(&b, ",\"data\":");
                r = zl_oci_put_figures(&b, zl_container_cgroup(c), err);
        }
        zl_buf_puts(&b, "}\n");
        if (r < 0)
                return r;
        if (zl_buf_error(&b))
                return zl_fail_oom(err);
        if (fwrite(b.data, 1, b.len, stdout) != b.len || fflush(stdout) != 0)
                return zl_fail_errno(err, errno, "cannot write");
        return 0;
}

/* Each kill for want of memory that was not told yet. */
static int tell_kills(struct zl_container *c, uint64_t *told, struct zl_error *err)
{
        uint64_t now = zl_cgroup_oom_kills(zl_container_cgroup(c));
        int r = 0;

        for (; r == 0 && *told < now; (*told)++)
                r = print_event("oom", c, false, err);
        return r;
}

/* Figures at every interval and each out-of-memory kill at once, until the container ends. Version 1 notifies when memory runs out, which is
 * a moment before the kill is counted: until then we look again, for as long as that can take. */
static int follow(struct zl_container *c, int64_t interval, struct zl_error *err)
{
        enum { AGAIN_MSEC = 20, AGAIN_SEC = 2 };
        uint64_t told = zl_cgroup_oom_kills(zl_container_cgroup(c));
        _cleanup_close_ int oom = zl_cgroup_oom_fd(zl_container_cgroup(c), err);
        int64_t next = zl_now_monotonic() + interval, again = 0;
        int r = 0;

        if (oom < 0)
                return oom;
        while (r == 0) {
                struct pollfd p[] = { { .fd = zl_container_pidfd(c), .events = POLLIN },
                                      { .fd = oom, .events = POLLIN } };
                int64_t now = zl_now_monotonic();
                int64_t left = ZL_MAX(next - now, 0) / ZL_NSEC_PER_MSEC + 1;
                uint64_t before = told;

                if (now < again)
                        left = ZL_MIN(left, (int64_t)AGAIN_MSEC);
                if (poll(p, 2, (int)ZL_MIN(left, (int64_t)INT_MAX)) < 0 && errno != EINTR)
                        return zl_fail_errno(err, errno, "poll");
                if (p[1].revents) {
                        char drop[4096];

                        (void)!read(oom, drop, sizeof(drop));
                        again = zl_now_monotonic() + AGAIN_SEC * ZL_NSEC_PER_SEC;
                }
                r = tell_kills(c, &told, err);
                if (told != before)
                        again = 0;
                if (p[0].revents)
                        return r;
                if (r == 0 && zl_now_monotonic() >= next) {
                        next += interval;
                        r = print_event("stats", c, true, err);
                }
        }
        return r;
}

static int cmd_events(struct zl_cli *cli, void *options, int argc _unused_, char **argv)
{
        const struct events_options *o = options;
        int64_t interval = o->interval.set ? o->interval.value : 5 * ZL_NSEC_PER_SEC;
        _cleanup_(zl_container_freep) struct zl_container *c = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_oci *oci = zl_oci_of(cli);
        int r = zl_oci_load(oci, argv[0], &c, &err);

        if (r == 0 && interval <= 0)
                r = zl_fail(&err, ZL_E_INVALID, 0, "--interval must be longer than 0");
        if (r == 0 && zl_container_status(c) == ZL_CONTAINER_STOPPED)
                r = zl_fail(&err, ZL_E_STATE, 0, "container not running");
        if (r == 0 && !zl_container_cgroup(c))
                r = zl_fail(&err, ZL_E_UNSUPPORTED, 0,
                            "container %s has no cgroup: there are no figures and no events",
                            argv[0]);
        if (r == 0)
                r = o->stats ? print_event("stats", c, true, &err) : follow(c, interval, &err);
        return r < 0 ? zl_oci_fail(oci, &err) : zl_cli_finish(cli, ZL_EXIT_OK);
}

const struct zl_cli_command zl_oci_cmd_events = {
        .name = "events",
        .args = "ID",
        .summary = "Tell what a container uses, and when memory runs out",
        .options = events_table,
        .options_size = sizeof(struct events_options),
        .min_args = 1,
        .max_args = 1,
        .run = cmd_events,
};
