/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draining: a container that is about to be stopped gets no new connections, and is asked for when those it has have ended. The kernel's
 * table of TCP sockets in its namespace tells: also those that its program has not taken yet, and those with data that was sent and
 * not received. The answer to who waits comes when there are none at its published ports, when nobody else could serve instead (then
 * new ones come still), when the container is gone, or when the time is over.
 *
 * The table is looked at every few milliseconds while somebody waits: nothing tells the end of a connection that nobody has taken.
 * It is read from /proc, since not every kernel has the netlink form.
 */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "network/server.h"

#define PAUSE_NSEC (20 * ZL_NSEC_PER_MSEC)

/* In which something may be under way. */
#define BUSY_STATES                                                                                \
        (1U << TCP_ESTABLISHED | 1U << TCP_SYN_RECV | 1U << TCP_FIN_WAIT1 | 1U << TCP_CLOSE_WAIT | \
         1U << TCP_LAST_ACK | 1U << TCP_CLOSING)
/* As the kernel calls a connection whose handshake is not done. */
enum { NEW_SYN_RECV = 12, TABLE_MAX = 16 << 20 };

struct zl_net_drain {
        struct zl_net_drain *next;
        struct zl_net_source *request;
        char *name; /* of the container */
        int64_t until;
};

static void drain_free(struct zl_net_drain *d)
{
        free(d->name);
        free(d);
}

/* Whether a line of the table is a connection at a port of the container. */
static bool is_busy(const struct zl_net_attachment *a, const char *line)
{
        unsigned port, state;

        if (sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &port, &state) != 2 ||
            state > NEW_SYN_RECV || !((BUSY_STATES | 1U << NEW_SYN_RECV) >> state & 1))
                return false;
        for (size_t i = 0; i < a->n_ports; i++)
                if (port == a->ports[i].container)
                        return true;
        return false;
}

/* 1: it has connections; 0: it has none; negative errno. */
static int has_connections(const struct zl_net_attachment *a)
{
        static const char *const tables[] = { "tcp", "tcp6" };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(tables); i++) {
                _cleanup_free_ char *text = NULL;
                char path[64];
                int r;

                snprintf(path, sizeof(path), "/proc/%d/net/%s",
                         (int)zl_json_int(a->document, "pid", 0), tables[i]);
                r = zl_read_file_at(AT_FDCWD, path, TABLE_MAX, &text, NULL);
                if (r == -ENOENT && i > 0)
                        break; /* no IPv6 */
                if (r < 0)
                        return r;
                for (const char *line = text; line; line = strchr(line, '\n')) {
                        line += *line == '\n';
                        if (is_busy(a, line))
                                return 1;
                }
        }
        return 0;
}

static bool is_over(struct zl_net_server *s, struct zl_net_drain *d, int64_t now)
{
        struct zl_net_attachment *a = zl_map_get(s->attachments, d->name);
        int r;

        if (!a || a->ready || now >= d->until || !zl_net_ports_has_ready(s, a))
                return true;
        r = has_connections(a);
        if (r < 0)
                zl_warn("%s: cannot look at its connections (errno %d), nobody waits for them",
                        d->name, -r);
        return r <= 0;
}

void zl_net_drain_look(struct zl_net_server *s)
{
        int64_t now = zl_now_monotonic();
        struct zl_net_drain **at = &s->drains;

        while (*at) {
                struct zl_net_drain *d = *at;

                if (!is_over(s, d, now)) {
                        at = &d->next;
                        continue;
                }
                *at = d->next;
                zl_net_answer(d->request->fd, json_pack("{s:n}", "ok"));
                drain_free(d);
        }
        s->drain_at = s->drains ? now + PAUSE_NSEC : 0;
}

void zl_net_drain_forget(struct zl_net_server *s, const struct zl_net_source *request)
{
        for (struct zl_net_drain **at = &s->drains; *at;) {
                struct zl_net_drain *d = *at;

                if (d->request != request) {
                        at = &d->next;
                        continue;
                }
                *at = d->next;
                drain_free(d);
        }
}

int zl_net_drain_begin(struct zl_net_server *s, struct zl_net_source *request,
                       const struct zl_net_attachment *a, int64_t timeout_nsec,
                       struct zl_error *err)
{
        struct zl_net_drain *d = calloc(1, sizeof(*d));

        if (!d || !(d->name = strdup(a->name))) {
                free(d);
                return zl_fail_oom(err);
        }
        d->request = request;
        d->until = zl_now_monotonic() + timeout_nsec;
        d->next = s->drains;
        s->drains = d;
        s->drain_at = zl_now_monotonic();
        return 0;
}
