#!/usr/bin/env python3
"""Kill a running hub's processes at random while it is told changes, and see that every acknowledged one is kept:
chaos.py SOCKET WEIR KILLS SEED.

One client adds and removes peers without pause, three more rotate keys of peers, make and remove grants, and import drop lists.
Meanwhile control, dataplane or both are killed -9, at any moment: while they work, while they start again after the last
kill, and in the middle of an upgrade. Each client remembers what was acknowledged (must be so), what was refused and
what was on its way when a connection broke (may be so, and is settled by asking). At the end all that is compared with what
the hub has, also after one more kill of both. Prints a line a kind of kill, and a line of what was compared.
"""
import base64
import collections
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time


class Broken(Exception):
    """The connection ended, or there is none."""


class Hub:
    """A connection that is made again when it breaks."""

    def __init__(self, path):
        self.path, self.socket = path, None

    def call(self, method, /, **params):
        """(result, error); Broken: nobody knows whether it was done."""
        try:
            if not self.socket:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.settimeout(20)
                self.socket.connect(self.path)
                self.file = self.socket.makefile("rb")
            self.socket.sendall(json.dumps({"method": method, "params": params}).encode() + b"\n")
            line = self.file.readline()
            reply = json.loads(line)
        except (OSError, ValueError) as error:
            self.close()
            raise Broken(str(error)) from error
        return reply.get("result"), reply.get("error")

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def ask(self, method, /, **params):
        """A question, until it is answered."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                return self.call(method, **params)
            except Broken:
                time.sleep(0.01)
        sys.exit(f"chaos.py: {method}: no answer within 30 s")


def key():
    return base64.b64encode(os.urandom(31) + b"@").decode()


class Client(threading.Thread):
    """Tells the hub changes until the end, and knows what must be so."""

    def __init__(self, path, seed):
        super().__init__(daemon=True)
        self.hub, self.random, self.is_over = Hub(path), random.Random(seed), threading.Event()
        self.wanted, self.count, self.problems = {}, collections.Counter(), []  # wanted: name -> value, None = gone

    def run(self):
        n = 0
        while not self.is_over.is_set():
            n += 1
            try:
                self.step(n)
            except Broken:
                self.count["broken"] += 1
                time.sleep(0.002)
            except Exception as error:  # pylint: disable=broad-except
                self.problems.append(f"{type(self).__name__}: {error!r}")
                return
        self.hub.close()

    def change(self, name, value, method, /, **params):
        """name is to become value (None: be gone). In doubt the hub is asked at once, since what it has once had it must keep."""
        before = self.wanted.get(name)
        try:
            _, error = self.hub.call(method, **params)
        except Broken:
            self.count["in doubt"] += 1
            self.wanted[name] = self.look(name)
            if self.wanted[name] not in (value, before):
                self.problems.append(f"{name}: {method} was cut off; is {self.wanted[name]!r}, neither {before!r} nor {value!r}")
            return
        if error and error["code"] == "failed":
            raise RuntimeError(f"{method} {params}: {error}")
        if error:
            self.problems.append(f"{method} {params}: {error['message']}")
            return
        self.count["acknowledged"] += 1
        self.wanted[name] = value


class Peers(Client):
    """Adds and removes peers."""

    def __init__(self, path, seed, names):
        super().__init__(path, seed)
        self.names = names

    def step(self, n):
        name = f"{self.names}-{self.random.randrange(60)}"
        if self.wanted.get(name):
            self.change(name, None, "peer.remove", name=name)
        else:
            public = key()
            self.change(name, public, "peer.add", name=name, public_key=public)

    def look(self, name):
        result, _ = self.hub.ask("peer.show", name=name)
        return result["peer"]["public_key"] if result else None


class Rotations(Peers):
    """One peer's key is changed again and again, without an overlap."""

    def step(self, n):
        name = f"{self.names}-{self.random.randrange(5)}"
        public = key()
        if name in self.wanted and self.wanted[name]:
            self.change(name, public, "peer.rotate", name=name, next_key=public, emergency=True)
        else:
            self.change(name, public, "peer.add", name=name, public_key=public)


class Grants(Client):
    """Makes and removes grants."""

    def step(self, n):
        name = f"grant-{self.random.randrange(20)}"
        if self.wanted.get(name):
            self.change(name, None, "grant.remove", name=name)
        else:
            port = str(self.random.randrange(1, 60000))
            self.change(name, port, "grant.add", name=name, who="any", to="any", protocol="udp", ports=[port])

    def look(self, name):
        result, _ = self.hub.ask("grant.show", name=name)
        return str(result["grant"]["ports"][0]) if result else None


class Imports(Client):
    """Replaces a drop list by another, whole."""

    def step(self, n):
        size = self.random.randrange(1000, 20000)
        text = "".join(f"11.{i >> 8 & 255}.{i & 255}.{n & 255}\n" for i in range(size))
        self.change("list", size, "block.import", file={"name": "list.txt", "text": text}, source="chaos", replace=True)

    def look(self, name):
        result, _ = self.hub.ask("block.list")
        return result["total"] or None


def kill(path, weir, rand):
    """One of the processes that there are, at any moment."""
    what = rand.choice(["control", "control", "dataplane", "both", "upgrade"])
    status, _ = Hub(path).ask("status")
    pids = {"control": status["control"]["pid"], "dataplane": status["dataplane"]["pid"]}
    victims = {"both": ["control", "dataplane"], "upgrade": [rand.choice(["control", "dataplane"])]}.get(what, [what])
    upgrade = None
    if what == "upgrade":
        upgrade = subprocess.Popen([weir, "upgrade", "-s", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rand.random() * 0.6)
    for victim in victims:
        if pids[victim]:
            try:
                os.kill(pids[victim], signal.SIGKILL)
            except ProcessLookupError:
                pass  # replaced by the upgrade
    if upgrade:
        upgrade.wait(60)
    time.sleep(rand.random() ** 3 * 1.5)  # often while it starts
    return what


def compare(clients, moment):
    """What must be so, and is not."""
    problems, n = [], 0
    for client in clients:
        for name, value in client.wanted.items():
            n += 1
            found = client.look(name)
            if found != value:
                problems.append(f"{moment}: {name} is {found!r}, must be {value!r}")
    return n, problems


def main():
    path, weir, kills, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    rand = random.Random(seed)
    print(f"# seed {seed}")
    clients = [Peers(path, seed + 1, "peer"), Peers(path, seed + 2, "other"), Rotations(path, seed + 3, "key"), Grants(path, seed + 4),
               Imports(path, seed + 5)]
    for client in clients:
        client.start()
    kinds = collections.Counter(kill(path, weir, rand) for _ in range(kills))
    for client in clients:
        client.is_over.set()
    for client in clients:
        client.join(60)
    print("# kills:", ", ".join(f"{what} {n}" for what, n in sorted(kinds.items())))
    problems = [problem for client in clients for problem in client.problems]
    total = sum((client.count for client in clients), collections.Counter())
    for moment in ("at the end", "after one more"):
        n, found = compare(clients, moment)
        problems += found
        print(f"# {moment}: {n} things compared; {total['acknowledged']} changes acknowledged, {total['in doubt']} cut off")
        status, _ = Hub(path).ask("status")
        for process in ("control", "dataplane"):
            if moment == "at the end" and status[process]["pid"]:
                os.kill(status[process]["pid"], signal.SIGKILL)
    print("\n".join(problems), file=sys.stderr)
    sys.exit(1 if problems else 0)


main()
