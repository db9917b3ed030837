#!/usr/bin/env python3
"""What a check for drift costs a running hub: drift_cost.py SOCKET DATAPLANE_PID CONTROL_PID. Prints, one a line and in
this order: milliseconds of a check that finds nothing, of the busiest worker's CPU time in it, of control's, and the
longest answer of control to another client meanwhile; then the same for one that finds a prefix gone astray."""
import json
import os
import socket
import sys
import threading
import time



class Hub:
    """One connection to the control socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("r")

    def call(self, method, **params):
        self.socket.sendall(json.dumps({"method": method, "params": params}).encode() + b"\n")
        reply = json.loads(self.file.readline())
        if "error" in reply:
            sys.exit(f"{method}: {reply['error']}")
        return reply["result"]


def cpu_ms(pid):
    """Of each thread."""
    times = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            times[task] = int(file.read().split()[0]) / 1e6
    return times


def spent(before, after):
    return max(after[task] - before[task] for task in after if task in before)


def watch(path, stop, longest):
    """The longest wait of a client that asks for little, again and again."""
    hub = Hub(path)
    while not stop.is_set():
        begin = time.monotonic()
        hub.call("peer.show", name="peer1")
        longest[0] = max(longest[0], (time.monotonic() - begin) * 1000)
        time.sleep(0.0005)


def check(path, dataplane, control):
    hub, stop, longest = Hub(path), threading.Event(), [0.0]
    client = threading.Thread(target=watch, args=(path, stop, longest))
    client.start()
    time.sleep(0.5)
    longest[0] = 0.0
    before = cpu_ms(dataplane), cpu_ms(control)
    result = hub.call("audit.drift")
    while result["checking"]:
        time.sleep(0.01)
        result = hub.call("audit.drift", last=True)
    after = cpu_ms(dataplane), cpu_ms(control)
    stop.set()
    client.join()
    print(f"{result['took_ms']:.1f}")
    print(f"{spent(before[0], after[0]):.1f}")
    print(f"{spent(before[1], after[1]):.1f}")
    print(f"{longest[0]:.1f}", flush=True)
    return result["findings"]


def main():
    path, dataplane, control = sys.argv[1:]
    if check(path, dataplane, control):
        sys.exit("drift where nothing was changed")
    Hub(path).call("debug.route", prefix=["10.64.0.9/32"], peer="peer1000")
    found = check(path, dataplane, control)
    if [f["what"] for f in found] != ["10.64.0.9/32"]:
        sys.exit(f"found {found}")


main()
