#!/usr/bin/env python3
"""1000 peers are added and removed, five times: churn.py WAY SOCKET CONTROL_PID [DEVICE]. WAY is

wg        one `wg addconf` for all, one `wg set` that removes them
together  a request each, on one connection, that is not kept waiting for the answer before
loop      a request each, and the next one when its answer is there: each waits for the disk alone

For each turn, seconds to add, to remove, together, control's CPU time of them, and what the disk takes for as many
single syncs as a loop needs; at the end, the medians of these last three.
"""
import base64
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PEERS = 1000


class Hub:
    """One connection to the control socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("r")

    def send(self, calls):
        """Requests, as text, all at once."""
        self.socket.sendall("".join(json.dumps({"method": m, "params": p}) + "\n" for m, p in calls).encode())

    def receive(self):
        """One answer, which must be good."""
        reply = json.loads(self.file.readline())
        if "result" not in reply:
            sys.exit(f"churn.py: {reply}")


def loop(hub, calls):
    """One after the other."""
    for call in calls:
        hub.send([call])
        hub.receive()


def together(hub, calls):
    """All at once."""
    sender = threading.Thread(target=hub.send, args=(calls,))
    sender.start()
    for _ in calls:
        hub.receive()
    sender.join()


def wg(device, words, text=""):
    """One transaction."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(text)
        file.flush()
        subprocess.run(["wg", words[0], device, *words[1:]] + ([file.name] if text else []), check=True)


def turn(way, hub, device):
    """Seconds to add, and to remove."""
    keys = [base64.b64encode(os.urandom(31) + b"@").decode() for _ in range(PEERS)]
    begin = time.monotonic()
    if way == "wg":
        wg(device, ["addconf"], "".join(
            f"[Peer]\nPublicKey = {key}\nAllowedIPs = 10.77.{100 + i // 250}.{i % 250}/32\n" for i, key in enumerate(keys)))
        added = time.monotonic()
        wg(device, ["set"] + [word for key in keys for word in ("peer", key, "remove")])
    else:
        do = {"together": together, "loop": loop}[way]
        do(hub, [("peer.add", {"name": f"churn-{i}", "public_key": key}) for i, key in enumerate(keys)])
        added = time.monotonic()
        do(hub, [("peer.remove", {"name": f"churn-{i}"}) for i in range(PEERS)])
    return added - begin, time.monotonic() - added


def cpu_s(pid):
    """Of all its threads."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def disk_s():
    """2000 syncs, reckoned from the median of 100."""
    times = []
    with tempfile.TemporaryFile() as file:
        for _ in range(100):
            os.write(file.fileno(), os.urandom(8192))
            begin = time.monotonic()
            os.fdatasync(file.fileno())
            times.append(time.monotonic() - begin)
    return 2 * PEERS * statistics.median(times)


def main():
    """Five turns."""
    way, path, pid = sys.argv[1:4]
    hub, totals = Hub(path), []
    for i in range(5):
        before = cpu_s(pid)
        added, removed = turn(way, hub, sys.argv[4] if len(sys.argv) > 4 else "")
        totals.append((added + removed, cpu_s(pid) - before, disk_s()))
        print(f"# {way} {i + 1}: 1000 added in {added:.2f} s, removed in {removed:.2f} s, together {added + removed:.2f}; "
              f"control's CPU {totals[-1][1]:.2f} s; 2000 syncs of this disk {totals[-1][2]:.2f} s", flush=True)
    print(*(f"{statistics.median(column):.2f}" for column in zip(*totals)))


main()
