# SPDX-License-Identifier: Apache-2.0
"""console.py SOCKET FILE: takes the terminals that arrive on a console socket, types into each of them, and writes what
the last one says to FILE."""
import array
import os
import socket
import sys
import threading


def follow(master, path):
    os.write(master, b"echo answer $((6 * 7))\n")
    with open(path, "wb", buffering=0) as out:
        try:
            while True:
                out.write(os.read(master, 4096))
        except OSError:  # nobody has the other end any more
            os.close(master)


server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
while True:
    peer, _ = server.accept()
    _, control, _, _ = peer.recvmsg(64, socket.CMSG_SPACE(4))
    master = array.array("i", control[0][2])[0]
    threading.Thread(target=follow, args=(master, sys.argv[2]), daemon=True).start()
