"""What the tests of this folder share: edge_host over loopback, a client that sees every byte, and a backend that
misbehaves on request. Each test runs in a network namespace of its own (in_namespace.sh), with edges of its own.

usage: in_namespace.sh test_NAME.py edge_host
"""

import os
import re
import socket
import ssl
import subprocess
import sys
import time

import tap
from backend import Backend

HOST, WORK = sys.argv[1], sys.argv[2]
PORT, PLAIN = 8443, 8080
A = "Host: a.example\r\n"
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"
cases = []
edges = []


def case(function):
    cases.append(function)
    return function


def wait_until(condition, seconds=10):
    """Poll a condition that another process or thread makes true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


class Edge:
    """One edge_host process."""

    def __init__(self, services, port=PORT, plain=PLAIN, threads=2, limits=()):
        self.port, self.plain = port, plain
        self.args = [HOST, "--https", f"127.0.0.1:{port}", "--http", f"127.0.0.1:{plain}"]
        os.makedirs(f"{WORK}/{port}", exist_ok=True)
        self.args += ["--threads", str(threads), "--certs", f"{WORK}/{port}"]
        for limit in limits:
            self.args += ["--limit", limit]
        self.log = open(f"{WORK}/edge-{port}.log", "w+")
        self.process = subprocess.Popen(
            self.args + services,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        edges.append(self)
        line = self.process.stdout.readline()
        assert line == "ready\n", f"edge_host said {line!r}: {self.log_text()}"

    def order(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def counters(self):
        return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", self.order("counters"))}

    def rss_kb(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))

    def log_text(self):
        with open(self.log.name) as log:
            return log.read()

    def ends_in_order(self):
        code = self.quit()
        assert code == 0, f"exit {code}: {self.log_text()[-3000:]}"

    def quit(self):
        self.process.stdin.write("quit\n")
        self.process.stdin.flush()
        return self.process.wait(10)


class Client:
    """One TLS connection; bytes out, responses in."""

    def __init__(self, host="a.example", sni=None, port=PORT, verify=True):
        context = ssl.create_default_context()
        if verify:
            context.load_verify_locations(f"{WORK}/{port}/{sni or host}.pem")
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self.host = host
        raw = socket.create_connection(("127.0.0.1", port), 10)
        raw.settimeout(15)
        self.sock = context.wrap_socket(raw, server_hostname=sni or host)
        self.data = bytearray()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def request(self, path="/", method="GET", fields="", body=b"", minor=1):
        self.send(f"{method} {path} HTTP/1.{minor}\r\nHost: {self.host}\r\n{fields}\r\n")
        if body:
            self.send(body)

    def more(self):
        piece = self.sock.recv(1 << 20)
        self.data += piece
        return bool(piece)

    def until(self, text):
        while text not in self.data:
            if not self.more():
                raise EOFError(f"closed after {self.data[:200]!r}")
        return self.take(self.data.index(text), len(text))

    def take(self, n, skip=0):
        part = bytes(self.data[:n])
        del self.data[: n + skip]
        return part

    def exactly(self, n):
        while len(self.data) < n:
            if not self.more():
                raise EOFError(f"closed after {len(self.data)} of {n} bytes")
        return self.take(n)

    def rest(self):
        while self.more():
            pass
        return bytes(self.data)

    def is_closed(self):
        """True when the edge closes, in order or not."""
        try:
            return not self.more()
        except (ssl.SSLError, ConnectionError):
            return True

    def response(self, bodiless=False):
        """Returns status, fields (lower case), body."""
        head = self.until(b"\r\n\r\n").decode("latin-1")
        line, *lines = head.split("\r\n")
        status = int(line.split(" ")[1])
        fields = {}
        for one in lines:
            name, value = one.split(":", 1)
            fields.setdefault(name.lower(), value.strip())
        if bodiless or status // 100 == 1 or status in (204, 304):
            return status, fields, b""
        if "content-length" in fields:
            return status, fields, self.exactly(int(fields["content-length"]))
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size = int(self.until(b"\r\n"), 16)
                body += self.exactly(size)
                assert self.exactly(2) == b"\r\n"
                if size == 0:
                    return status, fields, body
        body = self.rest()
        self.data.clear()
        return status, fields, body

    def close(self):
        self.sock.close()


def ask(path="/", **options):
    client = Client(**{k: options.pop(k) for k in ("host", "sni", "port") if k in options})
    client.request(path, **options)
    answer = client.response(bodiless=options.get("method") == "HEAD")
    client.close()
    return answer


def curl(*arguments, host="a.example", port=PORT):
    return subprocess.run(
        ["curl", "-sS", "--max-time", "20", "--cacert", f"{WORK}/{port}/{host}.pem", "--noproxy", "*"]
        + ["--resolve", f"{host}:{port}:127.0.0.1", *arguments],
        capture_output=True,
        timeout=30,
    )


def s_client(*arguments):
    return subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{PORT}", *arguments],
        input=b"",
        capture_output=True,
        timeout=20,
    )


def websocket(port=PORT, path="/ws"):
    client = Client(port=port)
    client.request(path, fields=UPGRADE)
    status, fields, _ = client.response()
    assert status == 101 and fields["upgrade"] == "websocket" and fields["connection"] == "Upgrade"
    return client


backend = Backend()
other = Backend()
subprocess.run(["ip", "route", "add", "unreachable", "192.0.2.0/24"], check=True)

SERVICES = [
    f"a=a.example=127.0.0.1:{backend.port}",
    f"b=b.example=127.0.0.1:{other.port}",
    "refused=refused.example=127.0.0.1:9",
    "far=far.example=192.0.2.1:80",
]


def hasty_edge():
    """One with short limits, and a service whose backend never accepts: its queue is full, so SYNs are dropped."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = []
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
        fillers.append(filler)
    edge = Edge(
        [
            f"a=a.example=127.0.0.1:{backend.port}",
            f"full=full.example=127.0.0.1:{full.getsockname()[1]}",
        ],
        port=8444,
        plain=8081,
        threads=1,
        limits=[
            "handshake=1000",
            "head=1000",
            "keepalive=2000",
            "connect=1000",
            "response=1000",
            "stall=2000",
            "stream=2000",
            "connections=20",
        ],
    )
    edge.full = (full, fillers)  # as long as the edge
    return edge


def run():
    """The cases in their order; then each edge that they left running ends in order, whatever is open. Ends the
    process."""
    tap.run_cases(cases)
    for edge in edges:
        if edge.process.poll() is None:
            tap.run_case(f"edge_{edge.port}_ends_in_order", edge.ends_in_order)
    if tap.failed():
        for edge in edges:
            for line in edge.log_text().splitlines()[-30:]:
                print(f"# edge {edge.port}: {line}")
            edge.process.kill()
    tap.plan()
    os._exit(1 if tap.failed() else 0)  # backend threads wait for ever
