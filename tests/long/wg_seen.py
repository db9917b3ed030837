#!/usr/bin/env python3
"""What WireGuard sends, seen from outside.

usage: wg_seen.py record INTERFACE FILE     one line a message: time source:port destination:port type bytes hex
       wg_seen.py keepalives FILE SOURCE:PORT FROM TO
           what that sender sent between the two times (s since 1970): "keepalives N gaps MIN MAX others N". A gap is
           from one keepalive to the next, without those behind a handshake: it ends in a keepalive of its own, and
           the interval begins anew.
       wg_seen.py again FILE SOURCE:PORT DESTINATION:PORT FROM_PORT
           send that sender's last data message once more, and once with its tag broken, from another port
"""
import select
import socket
import struct
import sys
import time


def record(interface, path):
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    sniffer.bind((interface, 0))
    with open(path, "w", buffering=1, encoding="ascii") as out:
        out.write("# ready\n")
        while True:
            select.select([sniffer], [], [])
            frame = sniffer.recv(65535)[14:]
            head = (frame[0] & 15) * 4
            if frame[9] != 17 or len(frame) < head + 12:
                continue
            sport, dport, length = struct.unpack("!HHH", frame[head:head + 6])
            if 51820 not in (sport, dport):
                continue
            payload = frame[head + 8:head + length]
            source, destination = (socket.inet_ntoa(frame[at:at + 4]) for at in (12, 16))
            out.write(f"{time.time():.3f} {source}:{sport} {destination}:{dport} "
                      f"{payload[0]} {len(payload)} {payload.hex()}\n")


def messages(path, source=None):
    with open(path, encoding="ascii") as lines:
        for line in lines:
            word = line.split()
            if line[0] != "#" and len(word) == 6 and source in (None, word[1]):
                yield float(word[0]), word[1], int(word[3]), int(word[4]), word[5]


def keepalives(path, source, begin, end):
    gaps, others, n, last, shaken = [], 0, 0, None, 0.0
    for at, sender, kind, length, _ in messages(path):
        if not float(begin) <= at <= float(end):
            continue
        if kind in (1, 2):
            shaken = at
        if sender != source:
            continue
        if kind == 4 and length == 32:
            n += 1
            if last is not None and at - shaken > 2 and last - shaken > 2:
                gaps.append(at - last)
            last = at
        else:
            others += kind == 4
    print(f"keepalives {n} gaps {min(gaps, default=0):.1f} {max(gaps, default=0):.1f} others {others}")


def again(path, source, destination, port):
    payload = bytes.fromhex([m for m in messages(path, source) if m[2] == 4][-1][4])
    host, to_port = destination.split(":")
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind(("", int(port)))
    broken = payload[:8] + struct.pack("<Q", struct.unpack("<Q", payload[8:16])[0] + 100) + payload[16:]
    for one in (payload, broken):
        sender.sendto(one, (host, int(to_port)))


if __name__ == "__main__":
    {"record": record, "keepalives": keepalives, "again": again}[sys.argv[1]](*sys.argv[2:])
