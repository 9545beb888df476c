/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A monitor that was started before there is anything to do: it waits for its launch request, which comes over the socket that it was
 * born with. Meanwhile it makes a network namespace, for which the container would have to wait; not so for an external runtime, which
 * makes its own.
 *
 * It has no directory, no lock and no name yet. If who started it ends, so does the socket, and with it the monitor.
 * ps shows it as "waiting", with an argument of blanks behind, which is the room for the name to come. Every monitor has that: a
 * spare gets its name late, too.
 */
#include <string.h>
#include <sys/prctl.h>

#include "monitor/server.h"

enum { ARGS = 3 }; /* program, ZL_MONITOR_WAITING, room */

void zl_server_wait_prepare(struct zl_server *s, int argc, char **argv)
{
        if (argc != ARGS || !zl_streq(argv[1], ZL_MONITOR_WAITING))
                return;
        prctl(PR_SET_NAME, "zlayer-waiting");
        zl_server_populate(s);
        s->network_ns_fd = zl_container_network_ahead();
}

/* Where the arguments are, one behind the other as the kernel laid them. */
static char *room;
static size_t room_size;

void zl_server_show_name(const char *name)
{
        size_t len = ZL_MIN(strlen(name), room_size);

        prctl(PR_SET_NAME, "zlayer-monitor");
        if (!room)
                return;
        memset(room, 0, room_size);
        memcpy(room, name, len);
}

void zl_server_wait_done(int argc, char **argv, const struct zl_monitor_launch *launch)
{
        if (argc == ARGS) {
                room = argv[1];
                room_size = (size_t)(argv[2] + strlen(argv[2]) - room);
                zl_server_show_name(launch->name);
        }
        if (launch->spare)
                prctl(PR_SET_NAME, "zlayer-spare");
}
