#!/usr/bin/env python3
"""Send packets that nobody asked for, from here.

  scan.py ports ADDRESS FIRST LAST      one UDP packet and one TCP SYN to each port; prints how many
  scan.py flood ADDRESS PORT SECONDS    UDP as fast as it goes; prints how many
"""
import errno
import socket
import sys
import time

PACE = 200  # packets, then a pause: a client's queue is short


def ports(address, first, last):
    n = 0
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for port in range(int(first), int(last) + 1):
        udp.sendto(b"x", (address, port))
        tcp = socket.socket()
        tcp.setblocking(False)
        assert tcp.connect_ex((address, port)) == errno.EINPROGRESS
        tcp.close()  # before the kernel says it again
        n += 2
        if n % PACE == 0:
            time.sleep(0.05)
    return n


def flood(address, port, seconds):
    n, end = 0, time.monotonic() + float(seconds)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    while time.monotonic() < end:
        for _ in range(64):
            udp.sendto(b"x", (address, int(port)))
        n += 64
    return n


print({"ports": ports, "flood": flood}[sys.argv[1]](*sys.argv[2:]))
