/* SPDX-License-Identifier: Apache-2.0 */
/* A service that says on $NOTIFY_SOCKET what its arguments are, one datagram each, and then waits. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
        struct sockaddr_un addr = { .sun_family = AF_UNIX };
        const char *path = getenv("NOTIFY_SOCKET");
        int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

        if (!path || strlen(path) >= sizeof(addr.sun_path))
                return 2;
        memcpy(addr.sun_path, path, strlen(path) + 1);
        for (int i = 1; i < argc; i++)
                if (sendto(fd, argv[i], strlen(argv[i]), 0, (struct sockaddr *)&addr, sizeof addr) <
                    0)
                        return 3;
        sleep(2);
        return 0;
}
