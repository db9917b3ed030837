#!/usr/bin/env python3
"""One TCP connection that must last: talk.py ADDRESS PORT FILE. An echo server is asked every 20 ms and must answer; each
answer is a line with its time in FILE. Ends with exit code 1 when the connection does."""
import socket
import sys
import time


def main():
    """Until somebody ends it."""
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as peer, open(sys.argv[3], "w", encoding="ascii") as out:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = peer.makefile("rb")
        n = 0
        answers.readline()  # its greeting
        while True:
            peer.sendall(b"%d\n" % n)
            if answers.readline() != b"%d\n" % n:
                sys.exit("talk.py: not what was asked")
            n += 1
            print(f"{time.time():.3f}", file=out, flush=True)
            time.sleep(0.02)


main()
