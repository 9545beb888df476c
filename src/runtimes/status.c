/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The states of workloads, their names, and waiting for the end of one. Waiting is built on watches, so a
 * backend only has to be right about events; nothing polls. A watch that breaks (the monitor died between two events)
 * is opened again: its first event is the present state, so no end can be missed.
 */
#include "runtimes/status.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

static const char *const state_names[] = {
        [ZL_STATE_PENDING] = "pending",   [ZL_STATE_INITIALIZING] = "initializing",
        [ZL_STATE_RUNNING] = "running",   [ZL_STATE_PAUSED] = "paused",
        [ZL_STATE_STOPPING] = "stopping", [ZL_STATE_EXITED] = "exited",
        [ZL_STATE_FAILED] = "failed",     [ZL_STATE_REMOVED] = "removed",
};

const char *zl_workload_state_name(enum zl_workload_state state)
{
        return (size_t)state < ZL_ARRAY_SIZE(state_names) ? state_names[state] : "unknown";
}

static void free_ports(struct zl_port *ports, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(ports[i].host_ip);
        free(ports);
}

static int copy_ports(const struct zl_status *status, struct zl_status *ret)
{
        ret->ports = NULL;
        ret->n_ports = 0;
        if (status->n_ports == 0)
                return 0;
        ret->ports = calloc(status->n_ports, sizeof(*ret->ports));
        if (!ret->ports)
                return -ENOMEM;
        for (size_t i = 0; i < status->n_ports; i++) {
                struct zl_port *port = &ret->ports[ret->n_ports++];

                *port = status->ports[i];
                port->host_ip = NULL;
                if (zl_replace_str(&port->host_ip, status->ports[i].host_ip) < 0)
                        return -ENOMEM;
        }
        return 0;
}

void zl_status_done(struct zl_status *status)
{
        if (!status)
                return;
        free(status->name);
        free(status->image);
        free(status->reason);
        free(status->ip);
        free_ports(status->ports, status->n_ports);
        *status = (struct zl_status){ .exit_code = -1 };
}

int zl_status_copy(const struct zl_status *status, struct zl_status *ret)
{
        struct zl_status copy = *status;

        copy.name = copy.image = copy.reason = copy.ip = NULL;
        if (copy_ports(status, &copy) < 0 || zl_replace_str(&copy.name, status->name) < 0 ||
            zl_replace_str(&copy.image, status->image) < 0 ||
            zl_replace_str(&copy.reason, status->reason) < 0 ||
            zl_replace_str(&copy.ip, status->ip) < 0) {
                zl_status_done(&copy);
                return -ENOMEM;
        }
        *ret = copy;
        return 0;
}

json_t *zl_status_ports_json(const struct zl_status *s)
{
        json_t *list = json_array();

        for (size_t i = 0; list && i < s->n_ports; i++) {
                const struct zl_port *p = &s->ports[i];
                json_t *o = json_pack("{s:s,s:i,s:i,s:s}", "host_ip", p->host_ip, "host_port",
                                      p->host_port, "container_port", p->container_port, "protocol",
                                      p->udp ? "udp" : "tcp");

                if (!o || json_array_append_new(list, o) < 0) {
                        json_decref(list);
                        return NULL;
                }
        }
        return list;
}

static json_t *line_json(const struct zl_pressure_line *l)
{
        return json_pack("{s:f,s:f,s:f,s:I}", "avg10", l->avg10, "avg60", l->avg60, "avg300",
                         l->avg300, "total_usec", (json_int_t)l->total_usec);
}

static json_t *pressure_json(const struct zl_pressure *p)
{
        return json_pack("{s:o,s:o}", "some", line_json(&p->some), "full", line_json(&p->full));
}

json_t *zl_stats_pressure_json(const struct zl_stats *s)
{
        if (!s->has_pressure)
                return json_null();
        return json_pack("{s:o,s:o,s:o}", "cpu", pressure_json(&s->cpu_pressure), "memory",
                         pressure_json(&s->memory_pressure), "io", pressure_json(&s->io_pressure));
}

int zl_status_compare(const void *a, const void *b)
{
        const struct zl_status *x = a, *y = b;
        struct zl_ident i, j;
        int r;

        if (zl_ident_parse(x->name, &i) < 0 || zl_ident_parse(y->name, &j) < 0)
                return strcmp(x->name, y->name);
        r = strcmp(i.deployment, j.deployment);
        if (r == 0)
                r = strcmp(i.service, j.service);
        return r != 0 ? r : (i.replica > j.replica) - (i.replica < j.replica);
}

void zl_status_free_all(struct zl_status *all, size_t n)
{
        for (size_t i = 0; i < n; i++)
                zl_status_done(&all[i]);
        free(all);
}

bool zl_status_is_over(const struct zl_status *status)
{
        return status->state == ZL_STATE_EXITED || status->state == ZL_STATE_FAILED;
}

int zl_sleep_on(int fd, int64_t deadline)
{
        struct pollfd pfd = { .fd = fd, .events = POLLIN };
        struct timespec ts, *tsp = NULL;
        int n;

        if (deadline >= 0) {
                int64_t left = deadline - zl_now_monotonic();

                if (left <= 0)
                        return -ETIMEDOUT;
                ts = (struct timespec){ left / ZL_NSEC_PER_SEC, left % ZL_NSEC_PER_SEC };
                tsp = &ts;
        }
        n = ppoll(&pfd, 1, tsp, NULL);
        return n < 0 && errno != EINTR ? -errno : 0;
}

/* Follows one watch to its end: 1 and `*ret` when the workload is over, 0 if the watch broke before. */
static int follow(struct zl_watch *watch, const char *name, int64_t deadline, struct zl_status *ret,
                  struct zl_error *err)
{
        for (;;) {
                struct zl_status status;
                int r = zl_watch_next(watch, &status, NULL);

                if (r < 0)
                        return 0;
                if (r > 0) {
                        if (zl_status_is_over(&status)) {
                                *ret = status;
                                return 1;
                        }
                        zl_status_done(&status);
                        continue;
                }
                r = zl_sleep_on(zl_watch_fd(watch), deadline);
                if (r == -ETIMEDOUT)
                        return zl_fail(err, ZL_E_TIMEOUT, 0, "%s has not ended in time", name);
                if (r < 0)
                        return zl_fail_errno(err, -r, "cannot wait for %s", name);
        }
}

int zl_runtime_wait_by_watch(struct zl_runtime *rt, const char *name, int64_t timeout_nsec,
                             struct zl_status *ret, struct zl_error *err)
{
        int64_t now = zl_now_monotonic();
        int64_t deadline = timeout_nsec < 0 || timeout_nsec > INT64_MAX - now ? -1
                                                                              : now + timeout_nsec;

        for (unsigned broken = 0;; broken++) {
                struct zl_watch *watch = NULL;
                int r = zl_watch_open(rt, name, &watch, err);

                if (r < 0)
                        return r;
                r = follow(watch, name, deadline, ret, err);
                zl_watch_close(watch);
                if (r != 0)
                        return r < 0 ? r : 0;
                /* A watch that breaks at once, again and again, is a fault and not a reason to spin. */
                if (broken == 8)
                        return zl_fail(err, ZL_E_IO, 0, "the watch of %s keeps breaking", name);
        }
}
