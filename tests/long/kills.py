#!/usr/bin/env python3
"""Kill processes of a running hub, and say how long it was away: kills.py SOCKET PING_LOG WHAT N.

WHAT is control, dataplane, both (SIGKILL), or upgrade:COMMAND (run instead of a kill). PING_LOG is that of
`ping -D -n -i 0.01` through the hub, still running. One line for each time on standard error; at the end, on
standard output: median and worst seconds until the control socket answers for both processes, median and worst
seconds between two replies, and pings lost.
"""
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time

PATIENCE = 20


def status(path):
    """What the hub says of itself, or None."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(path)
            client.sendall(b'{"method": "status"}\n')
            return json.loads(client.makefile("rb").readline())["result"]
    except (OSError, ValueError, KeyError):
        return None


def pids(path):
    """Those of control and dataplane, once both run and know each other."""
    now = status(path)
    if not now or not now["dataplane"]["ready"]:
        return None
    return now["control"]["pid"], now["dataplane"]["pid"]


def wait(what, condition):
    """Its first true value."""
    end = time.time() + PATIENCE
    while time.time() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise SystemExit(f"kills.py: {what}: not within {PATIENCE} s")


def replies(log):
    """[(time, number)]; the number goes round at 65536."""
    with open(log, encoding="ascii", errors="replace") as file:
        found = re.findall(r"^\[([0-9.]+)\].* icmp_seq=([0-9]+) ", file.read(), re.M)
    return [(float(at), int(number)) for at, number in found]


def gap(log, begin):
    """Longest time between two replies since begin, and pings that have none."""
    seen = replies(log)
    first = max((i for i, (at, _) in enumerate(seen) if at < begin - 0.05), default=0)
    seen = seen[first:]
    longest = max((b[0] - a[0] for a, b in zip(seen, seen[1:])), default=PATIENCE)
    lost = sum((b[1] - a[1] - 1) % 65536 for a, b in zip(seen, seen[1:]))
    return longest, lost


def once(path, log, what):
    """One time: seconds until it is back, seconds without a reply, pings lost."""
    before = wait("both run", lambda: pids(path))
    begin = time.time()
    if what.startswith("upgrade:"):
        subprocess.run(what.removeprefix("upgrade:").split(), check=True, stdout=sys.stderr)
        wait("upgraded", lambda: pids(path))
    else:
        gone = {"control": before[:1], "dataplane": before[1:], "both": before}[what]
        for pid in gone:
            os.kill(pid, signal.SIGKILL)
        wait("back", lambda: all(pid not in (pids(path) or gone) for pid in gone))
    back = time.time() - begin
    wait("pings are answered again", lambda: replies(log)[-1][0] > time.time() - 0.1)
    end = time.time() + 1.5
    wait("time has passed", lambda: replies(log)[-1][0] > end)
    return (back, *gap(log, begin))


def main():
    """Each time, and the figures of all."""
    path, log, what, n = sys.argv[1:]
    turns = []
    for i in range(int(n)):
        turns.append(once(path, log, what))
        print(f"# {what.split(':')[0]} {i + 1}: back after {turns[-1][0]:.3f} s, "
              f"{turns[-1][1]:.3f} s between two replies, {turns[-1][2]} lost", file=sys.stderr, flush=True)
    back, gaps, lost = zip(*turns)
    print(f"{statistics.median(back):.3f} {max(back):.3f} {statistics.median(gaps):.3f} {max(gaps):.3f} {sum(lost)}")


main()
