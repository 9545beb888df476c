/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Until the launch request, which comes over the socket that a monitor was born with.
 *
 * One that was started before there is anything to do makes a network namespace, for which the container would have to wait; not so for
 * an external runtime, which makes its own. It may be told where it will be: then it has a directory, with lock and socket, and perhaps the root of
 * the container mounted. A later word about that takes the place of an earlier one. If who started it ends, so does the socket, and with it the monitor.
 * ps shows it as "waiting", with an argument of blanks behind, which is the room for the name to come. Every monitor has that: a
 * spare gets its name late, too.
 */
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/socket.h"
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

/* One message on the inherited socket. Returns how many descriptors came along, or a negative errno. */
static int receive(struct zl_server *s, struct zl_wire *wire, struct zl_wire_head *head,
                   int fds[ZL_LAUNCH_FDS])
{
        size_t n_fds = ZL_LAUNCH_FDS;
        ssize_t n = zl_recv_fds(ZL_SERVER_LAUNCH_FD, s->scratch, ZL_SERVER_SCRATCH, fds, &n_fds, 0);

        if (n <= 0 || zl_wire_open(wire, s->scratch, (size_t)n, head) < 0)
                return -EPROTO;
        return (int)n_fds;
}

/* What was prepared is not what comes. */
static void unprepare(struct zl_server *s)
{
        s->overlay_fd = zl_close(s->overlay_fd);
        if (s->prepared)
                zl_server_leave(s);
        s->prepared = false;
}

static void take_dirs(struct zl_server *s, int state, int run)
{
        zl_close(s->state_dir_fd);
        zl_close(s->run_dir_fd);
        s->state_dir_fd = state;
        s->run_dir_fd = run;
}

/* Where we shall be. Who asked waits for no answer, so what cannot be had now is tried once more, and told, when the launch comes. */
static int prepare(struct zl_server *s, struct zl_wire *wire, const int *fds, int n_fds)
{
        const char *name = zl_wire_get_str(wire);
        char **lower_dirs = zl_wire_get_strv(wire);
        const char *upper = zl_wire_get_str(wire), *work = zl_wire_get_str(wire);
        bool is_good = name && n_fds == 2 && zl_wire_finish(wire) == 0;

        if (is_good) {
                unprepare(s);
                take_dirs(s, fds[0], fds[1]);
        }
        if (is_good && lower_dirs) {
                const struct zl_rootfs_overlay overlay = { lower_dirs, upper, work };

                s->overlay_fd = zl_container_overlay_ahead(&overlay);
        }
        free(lower_dirs);
        if (!is_good)
                return -EPROTO;
        if (zl_replace_str(&s->name, name) < 0)
                return -ENOMEM;
        s->prepared = zl_server_enter(s, NULL) == 0;
        if (!s->prepared)
                zl_server_leave(s);
        zl_container_look_ahead();
        return 0;
}

static bool is_same(int a, int b)
{
        struct stat one, other;

        return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev &&
               one.st_ino == other.st_ino;
}

int zl_server_wait(struct zl_server *s, struct zl_monitor_launch *launch)
{
        int fds[ZL_LAUNCH_FDS] = { -1, -1, -1 }, next = 0;
        int by_role[ZL_LAUNCH_FDS] = { -1, -1, -1 };
        struct zl_wire_head head;
        struct zl_wire wire;
        uint32_t mask;
        int n = receive(s, &wire, &head, fds);

        while (n >= 0 && head.type == ZL_WIRE_PREPARE) {
                n = prepare(s, &wire, fds, n);
                if (n == 0)
                        n = receive(s, &wire, &head, fds);
        }
        if (n < 0 || head.type != ZL_WIRE_LAUNCH || zl_wire_get_launch(&wire, launch, &mask) < 0 ||
            __builtin_popcount(mask) != n)
                return -EPROTO;
        for (int i = 0; i < ZL_LAUNCH_FDS; i++) {
                if (mask & 1U << i)
                        by_role[i] = fds[next++];
        }
        launch->seccomp_fd = by_role[ZL_LAUNCH_SECCOMP];
        if (by_role[ZL_LAUNCH_STATE_DIR] < 0 || by_role[ZL_LAUNCH_RUN_DIR] < 0)
                return -EPROTO;
        if (s->prepared && !is_same(s->run_dir_fd, by_role[ZL_LAUNCH_RUN_DIR]))
                unprepare(s);
        if (!launch->same_overlay)
                s->overlay_fd = zl_close(s->overlay_fd);
        take_dirs(s, by_role[ZL_LAUNCH_STATE_DIR], by_role[ZL_LAUNCH_RUN_DIR]);
        return 0;
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
