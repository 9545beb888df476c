/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draining: a container that is about to be stopped gets no new connections, and is asked for when those it has have ended. The kernel's
 * table of TCP sockets in its namespace tells: also those that its program has not taken yet, and those with data that was sent and
 * not received. The answer to who waits comes when there are none at its published ports, when nobody else could serve instead (then
 * new ones come still), when the container is gone, or when the time is over.
 *
 * One that the rules have led to it just before they were changed need not have arrived: its first packet stands in a queue of the
 * kernel, and on a machine with too much to do it stands there for tens of milliseconds. So there has to be none in several looks one after
 * the other. Looks are counted, not time: where packets have to wait for a processor, so do we.
 *
 * The table is looked at every few milliseconds while somebody waits: nothing tells the end of a connection that nobody has taken.
 */
#include <netinet/tcp.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "network/server.h"
#include "network/sockets.h"

#define PAUSE_NSEC (20 * ZL_NSEC_PER_MSEC)
enum { QUIET_LOOKS = 6 };

/* In which something may be under way. */
#define BUSY_STATES                                                                                \
        (1U << TCP_ESTABLISHED | 1U << TCP_SYN_RECV | 1U << TCP_FIN_WAIT1 | 1U << TCP_CLOSE_WAIT | \
         1U << TCP_LAST_ACK | 1U << TCP_CLOSING | 1U << ZL_SOCKET_NEW)

struct zl_net_drain {
        struct zl_net_drain *next;
        struct zl_net_source *request;
        char *name; /* of the container */
        int64_t until;
        unsigned quiet; /* looks without a connection */
};

static void drain_free(struct zl_net_drain *d)
{
        free(d->name);
        free(d);
}

static bool is_busy(const struct zl_socket_row *row, void *data)
{
        const struct zl_net_attachment *a = data;

        if (row->state > ZL_SOCKET_NEW || !(BUSY_STATES >> row->state & 1))
                return false;
        for (size_t i = 0; i < a->n_ports; i++)
                if (row->port == a->ports[i].container)
                        return true;
        return false;
}

/* 1: it has connections; 0: it has none; negative errno. */
static int has_connections(struct zl_net_attachment *a)
{
        static const char *const tables[] = { "tcp", "tcp6" };
        int r = 0;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(tables) && r == 0; i++) {
                char path[64];

                snprintf(path, sizeof(path), "/proc/%d/net/%s",
                         (int)zl_json_int(a->document, "pid", 0), tables[i]);
                r = zl_sockets_each(path, is_busy, a);
                if (r == -ENOENT && i > 0)
                        return 0; /* no IPv6 */
        }
        return r;
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
        d->quiet = r == 0 ? d->quiet + 1 : 0;
        return r < 0 || d->quiet >= QUIET_LOOKS;
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
