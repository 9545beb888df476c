/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a port to the socket that is bound to it, by the tables of the namespace, and from the socket to the process that holds it, by the
 * descriptors of all. What may go wrong: the process is in a namespace of its own, or not ours to look at. Then nobody is named.
 */
#include "network/port_owner.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "network/sockets.h"

struct search {
        uint16_t port;
        bool udp;
        unsigned long inode;
};

static bool is_bound(const struct zl_socket_row *row, void *data)
{
        struct search *s = data;

        if (row->port != s->port || (!s->udp && row->state != TCP_LISTEN))
                return false;
        s->inode = row->inode;
        return true;
}

static bool holds(int proc_fd, const char *pid, const char *socket)
{
        char path[64];
        int fd;
        DIR *dir;
        const struct dirent *de;
        bool found = false;

        snprintf(path, sizeof(path), "%.16s/fd", pid);
        fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir = fd >= 0 ? fdopendir(fd) : NULL;
        if (!dir) {
                zl_close(fd);
                return false;
        }
        while (!found && (de = readdir(dir))) {
                char target[64];
                ssize_t n = readlinkat(fd, de->d_name, target, sizeof(target) - 1);

                if (n > 0) {
                        target[n] = 0;
                        found = strcmp(target, socket) == 0;
                }
        }
        closedir(dir);
        return found;
}

static void describe(int proc_fd, const char *pid, char *ret, size_t size)
{
        _cleanup_free_ char *name = NULL;
        char path[64];

        snprintf(path, sizeof(path), "%.16s/comm", pid);
        if (zl_read_file_at(proc_fd, path, 4096, &name, NULL) < 0)
                snprintf(ret, size, "process %.16s", pid);
        else
                snprintf(ret, size, "%.*s (process %.16s)", (int)strcspn(name, "\n"), name, pid);
}

bool zl_port_owner(uint16_t port, bool udp, char *ret, size_t size)
{
        const char *const tables[] = { udp ? "/proc/net/udp" : "/proc/net/tcp",
                                       udp ? "/proc/net/udp6" : "/proc/net/tcp6" };
        struct search search = { .port = port, .udp = udp };
        const struct dirent *de;
        bool found = false;
        char socket[64];
        DIR *proc;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(tables) && search.inode == 0; i++)
                zl_sockets_each(tables[i], is_bound, &search);
        proc = search.inode ? opendir("/proc") : NULL;
        if (!proc)
                return false;
        snprintf(socket, sizeof(socket), "socket:[%lu]", search.inode);
        while (!found && (de = readdir(proc))) {
                found = de->d_name[0] >= '1' && de->d_name[0] <= '9' &&
                        holds(dirfd(proc), de->d_name, socket);
                if (found)
                        describe(dirfd(proc), de->d_name, ret, size);
        }
        closedir(proc);
        return found;
}
