/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A monitor that was started before there is anything to do: it waits for its launch request, which comes over the socket that it was
 * born with. Meanwhile it makes a network namespace, for which the container would have to wait; not so for an external runtime, which
 * makes its own.
 *
 * It has no directory, no lock and no name yet. If who started it ends, so does the socket, and with it the monitor.
 * ps shows it as "waiting", with an argument of blanks behind, which is the room for the name to come.
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
        s->network_ns_fd = zl_container_network_ahead();
}

void zl_server_wait_done(int argc, char **argv, const char *name)
{
        size_t room, len = strlen(name);
        char *begin, *end;

        if (argc != ARGS)
                return;
        prctl(PR_SET_NAME, "zlayer-monitor");
        /* The kernel lays the arguments one behind the other. */
        begin = argv[1];
        end = argv[2] + strlen(argv[2]);
        room = (size_t)(end - begin);
        len = ZL_MIN(len, room);
        memset(begin, 0, room);
        memcpy(begin, name, len);
}
