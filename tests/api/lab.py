"""What the tests of this folder share: the control socket and the weir command against a hub without packets
(hub.c), and how they are run.

usage: test_NAME.py api_hub weir generate.py methods.json weir.bash
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import tap

HERE = os.path.dirname(os.path.abspath(__file__))
HUB, WEIR, GENERATE, METHODS, COMPLETION = sys.argv[1:6]
KEY = "8EeP+06S/GKqpp7AMWjqFScBgEhnWkUwmtQOjV1iO2A="
CONF = """
hub: { tunnel = [ "10.77.0.1/24", "fd77::1/64" ]; endpoint = "vpn.example.org:51820"; preshared_key = "optional"; };
dataplane: { max_peers = 32; };
ports: ( { name = "wan0"; driver = "vdev"; device = "net_null0"; } );
control: { run_dir = "%(dir)s"; store = "%(dir)s/store/weir.db"; };
edge: { https = [ "127.0.0.1:443" ]; };
peers: ( { name = "branch"; public_key = "v8aYBD+pwWb90iRS53SJ4udFyC+dqHWR6lAUWYaxLNA="; } );
"""


class Hub:
    """One hub in a directory of its own; started again on the same store by restart()."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="weir-test-api-")
        self.conf = os.path.join(self.dir, "weir.conf")
        self.socket = os.path.join(self.dir, "control.sock")
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write(CONF % {"dir": self.dir})
        self.start()

    def start(self):
        self.process = subprocess.Popen([HUB, self.conf], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "listening\n", "hub did not start"

    def kill(self, number):
        self.process.send_signal(number)
        code = self.process.wait(10)
        self.process.stdout.close()
        return code

    def restart(self):
        self.kill(signal.SIGKILL)
        self.start()

    def end(self):
        code = self.kill(signal.SIGTERM)
        shutil.rmtree(self.dir)
        return code

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(60)
        client.connect(self.socket)
        return client

    def weir(self, *words, env=None):
        return subprocess.run([WEIR, "-s", self.socket, *words], capture_output=True, text=True,
                              timeout=30, env=env, check=False)

    def ok(self, *words):
        run = self.weir(*words)
        assert run.returncode == 0, f"{words}: {run.returncode} {run.stderr}"
        return run.stdout

    def json(self, *words):
        return json.loads(self.ok("-o", "json", *words))

    def refused(self, code, text, *words):
        run = self.weir(*words)
        assert run.returncode == code, f"{words}: exit {run.returncode}, expected {code}: {run.stderr}"
        assert text in run.stderr, f"{words}: {run.stderr!r} does not say {text!r}"
        assert run.stdout == "", f"{words}: printed {run.stdout!r}"


def lines(client):
    return client.makefile("r", encoding="utf-8")


def ask(client, reader, request):
    client.sendall(request if isinstance(request, bytes) else (json.dumps(request) + "\n").encode())
    return json.loads(reader.readline())


def resident_kb(hub):
    with open(f"/proc/{hub.process.pid}/status", encoding="utf-8") as file:
        return int(next(line.split()[1] for line in file if line.startswith("VmRSS")))


def write(hub, text, name="policy.conf"):
    path = os.path.join(hub.dir, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def trail(hub, *words):
    return hub.json("audit", "trail", *words)["records"]


def on_a_hub(test):
    """Its hub ends in order, and is gone whatever happens."""
    hub = Hub()
    try:
        test(hub)
        code = hub.kill(signal.SIGTERM)
        assert code == 0, f"hub ended with {code}"
    finally:
        if hub.process.poll() is None:
            hub.kill(signal.SIGKILL)
        shutil.rmtree(hub.dir)


def run(names):
    """Run the tests of a file, functions of a hub whose names are what they show; each has a hub of its own.
    Prints TAP, and ends the process."""
    for test in tap.cases_of(names, "hub"):
        tap.run_case(test.__name__, on_a_hub, test)
    tap.done()
