# SPDX-License-Identifier: Apache-2.0
"""An agent of SCMP_ACT_NOTIFY: seccomp_agent.py SOCKET OUT. Takes one listener after another, writes each container's document to
OUT as a line, and answers every call that it is told of with ENOMEDIUM ("No medium found")."""
import errno
import fcntl
import json
import socket
import sys
import threading

RECV, SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, _SEND of x86-64 and arm64


def serve(listener):
    while True:
        request = bytearray(80)
        try:
            fcntl.ioctl(listener, RECV, request)
        except OSError:
            return
        answer = request[:8] + (0).to_bytes(8, "little") + (-errno.ENOMEDIUM).to_bytes(4, "little", signed=True) + bytes(4)
        try:
            fcntl.ioctl(listener, SEND, bytes(answer))
        except OSError:
            pass


def main():
    server = socket.socket(socket.AF_UNIX)
    server.bind(sys.argv[1])
    server.listen()
    while True:
        conn, _ = server.accept()
        data, fds, _, _ = socket.recv_fds(conn, 65536, 1)
        with open(sys.argv[2], "a") as out:
            out.write(json.dumps(json.loads(data)) + "\n")
        threading.Thread(target=serve, args=(fds[0],), daemon=True).start()


main()
