"""The edge as its users see it: clients over loopback, a backend that misbehaves on request.
Run by test_edge.sh in a network namespace of its own; prints TAP."""

import hashlib
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback

from backend import Backend

HOST, WORK = sys.argv[1], sys.argv[2]
PORT, PLAIN = 8443, 8080
cases = []


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
        line = self.process.stdout.readline()
        assert line == "ready\n", f"edge_host said {line!r}"

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


backend = Backend()
other = Backend()
# A backend that never accepts: its queue is full, so SYNs are dropped.
full = socket.socket()
full.bind(("127.0.0.1", 0))
full.listen(0)
fillers = []
for _ in range(3):
    filler = socket.socket()
    filler.setblocking(False)
    filler.connect_ex(full.getsockname())
    fillers.append(filler)
subprocess.run(["ip", "route", "add", "unreachable", "192.0.2.0/24"], check=True)

SERVICES = [
    f"a=a.example=127.0.0.1:{backend.port}",
    f"b=b.example=127.0.0.1:{other.port}",
    "refused=refused.example=127.0.0.1:9",
    "far=far.example=192.0.2.1:80",
]
edge = Edge(SERVICES)
# The same with short limits.
hasty = Edge(
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


# ---- TLS ---------------------------------------------------------------------------------------


@case
def curl_verifies_the_self_signed_certificate():
    result = curl(f"https://a.example:{PORT}/echo")
    assert result.returncode == 0, result.stderr
    assert b"GET /echo HTTP/1.1" in result.stdout


@case
def certificate_of_one_host_does_not_verify_for_another():
    result = curl(
        "--resolve", f"b.example:{PORT}:127.0.0.1", f"https://b.example:{PORT}/", host="a.example"
    )
    assert result.returncode == 60, result.returncode


@case
def tls_1_2_and_1_3_are_spoken():
    for version in ("1.2", "1.3"):
        result = curl("--tlsv" + version, "--tls-max", version, f"https://a.example:{PORT}/")
        assert result.returncode == 0, (version, result.stderr)


@case
def certificate_has_the_host_as_its_only_name():
    shown = s_client("-servername", "a.example").stdout
    text = subprocess.run(
        ["openssl", "x509", "-noout", "-ext", "subjectAltName"], input=shown, capture_output=True
    ).stdout
    assert re.findall(rb"(?:DNS|IP)[^\s,]*", text) == [b"DNS:a.example"], text


@case
def tls_1_1_is_refused():
    result = s_client("-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-servername", "a.example")
    assert result.returncode != 0
    assert b"alert protocol version" in result.stderr, result.stderr


@case
def unknown_name_gets_unrecognized_name_and_is_counted():
    before = edge.counters()["refused_tls"]
    for arguments in (("-servername", "nobody.example"), ("-noservername",)):
        result = s_client(*arguments)
        assert b"unrecognized name" in result.stderr, result.stderr
        assert b"BEGIN CERTIFICATE" not in result.stdout
    assert wait_until(lambda: edge.counters()["refused_tls"] == before + 2)


@case
def plain_text_on_the_tls_port_is_refused():
    before = edge.counters()["refused_tls"]
    sock = socket.create_connection(("127.0.0.1", PORT), 5)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
    data = b""
    try:
        while piece := sock.recv(4096):
            data += piece
    except ConnectionResetError:
        pass
    assert b"HTTP/" not in data
    assert wait_until(lambda: edge.counters()["refused_tls"] == before + 1)


@case
def sessions_resume_by_ticket():
    for version in ("-tls1_2", "-tls1_3"):
        path = f"{WORK}/session"
        request = b"GET /echo HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{PORT}", version]
        command += ["-servername", "a.example", "-ign_eof"]
        for extra in (["-sess_out", path], ["-sess_in", path]):
            result = subprocess.run(command + extra, input=request, capture_output=True, timeout=20)
        assert b"Reused, TLSv1" in result.stdout, result.stdout[-800:]


# ---- routing and fields ------------------------------------------------------------------------


@case
def host_is_matched_without_case_port_and_dot():
    for host in ("a.example", "A.Example", "a.example:8443", "a.example.", "A.EXAMPLE.:443"):
        client = Client()
        client.send(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n")
        status, _, body = client.response()
        assert status == 200, (host, status)
        assert f"Host: {host}\r\n".encode() in body, host
        client.close()


@case
def host_of_another_service_on_this_connection_is_misdirected():
    before = edge.counters()["refused_host"]
    n = (backend.connections, other.connections)
    for host in ("b.example", "nobody.example", "[::1]"):
        client = Client()
        client.send(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n")
        assert client.response()[0] == 421, host
        assert client.is_closed()
    assert (backend.connections, other.connections) == n
    assert edge.counters()["refused_host"] == before + 3


@case
def services_reach_their_own_backends():
    before = (backend.connections, other.connections)
    assert ask(host="a.example")[0] == 200
    assert ask(host="b.example")[0] == 200
    assert (backend.connections, other.connections) == (before[0] + 1, before[1] + 1)


@case
def spoofed_forwarding_fields_are_replaced():
    spoofed = "".join(
        f"{name}: 6.6.6.6\r\n"
        for name in (
            "X-Forwarded-For",
            "x_forwarded_for",
            "X-Forwarded-Proto",
            "X-Forwarded-Host",
            "X-Forwarded-Port",
            "X-Real-IP",
            "Forwarded",
            "Proxy",
        )
    )
    status, _, body = ask(fields=spoofed)
    text = body.decode()
    assert status == 200 and "6.6.6.6" not in text, text
    assert re.findall("(?im)^x-forwarded-for: (.*?)\r?$", text) == ["127.0.0.1"], text
    assert "X-Forwarded-Proto: https\r" in text and "X-Forwarded-Host: a.example\r" in text


@case
def hop_by_hop_fields_stay_here():
    fields = "Connection: X-Private\r\nX-Private: 1\r\nKeep-Alive: 3\r\nTE: trailers\r\n"
    fields += "Proxy-Authorization: Basic x\r\nUpgrade: h2c\r\nCookie: kept=1\r\n"
    text = ask(fields=fields)[2].decode().lower()
    for gone in ("x-private", "keep-alive", "te:", "proxy-", "upgrade"):
        assert gone not in text, gone
    assert "cookie: kept=1" in text


@case
def responses_pass_unchanged():
    status, fields, body = ask("/missing")
    assert (status, fields["x-mine"], body) == (404, "yes", b"my own 404 page")


# ---- framing -----------------------------------------------------------------------------------


@case
def chunked_responses_are_passed_on():
    status, fields, body = ask("/chunked")
    assert status == 200 and body == b"one,two,three" and "trailer" not in fields


@case
def response_until_close_is_chunked_for_1_1_and_bare_for_1_0():
    _, fields, body = ask("/untilclose")
    assert fields["transfer-encoding"] == "chunked" and body == b"all of it"
    _, fields, body = ask("/untilclose", minor=0)
    assert "transfer-encoding" not in fields and body == b"all of it"
    _, fields, body = ask("/chunked", minor=0)
    assert "transfer-encoding" not in fields and body == b"one,two,three"


@case
def bare_line_feeds_of_old_servers_are_read():
    status, fields, body = ask("/oldlf")
    assert (status, fields["server"], body) == (200, "old", b"old")


@case
def responses_without_a_body_keep_the_connection():
    client = Client()
    for path, method, status in (
        ("/nocontent", "GET", 204),
        ("/notmodified", "GET", 304),
        ("/headonly", "HEAD", 200),
        ("/echo", "GET", 200),
    ):
        client.request(path, method=method)
        got, fields, _ = client.response(bodiless=method == "HEAD")
        assert got == status, (path, got)
        if path == "/headonly":
            assert fields["content-length"] == "12345"
        if path == "/nocontent":
            assert "content-length" not in fields
    client.close()


@case
def expect_100_continue_is_answered_by_the_backend():
    client = Client()
    client.request(method="POST", fields="Expect: 100-continue\r\nContent-Length: 5\r\n")
    assert client.response()[0] == 100
    client.send("hello")
    status, _, body = client.response()
    assert status == 200 and b"body 5" in body
    client.close()


@case
def early_hints_reach_1_1_clients_only():
    client = Client()
    client.request("/hints")
    status, fields, _ = client.response()
    assert status == 103 and "link" in fields
    assert client.response()[2] == b"hinted"
    assert ask("/hints", minor=0)[0] == 200


@case
def chunked_uploads_arrive_whole():
    body = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: t\r\n\r\n"
    status, _, answer = ask(method="POST", fields="Transfer-Encoding: chunked\r\n", body=body)
    digest = hashlib.sha256(b"hello world").hexdigest()
    assert status == 200 and f"body 11 {digest}".encode() in answer


@case
def truncated_responses_are_seen_as_truncated():
    for path in ("/truncated", "/cutchunk"):
        client = Client()
        client.request(path)
        try:
            client.response()
            assert False, path
        except (EOFError, ssl.SSLError, ConnectionError):
            pass


@case
def keep_alive_serves_many_requests():
    before = edge.counters()["connections"]
    client = Client()
    for n in range(20):
        client.request(f"/echo?{n}")
        status, _, body = client.response()
        assert status == 200 and f"/echo?{n} ".encode() in body
    client.close()
    assert edge.counters()["connections"] == before + 1


@case
def pipelined_requests_are_answered_in_order():
    client = Client()
    text = ""
    for n in range(50):
        if n % 3 == 0:
            text += f"POST /echo?{n} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc"
        else:
            text += f"GET /chunked?{n} HTTP/1.1\r\nHost: a.example\r\n\r\n"
    client.send(text)
    for n in range(50):
        status, _, body = client.response()
        assert status == 200
        assert (f"/echo?{n} ".encode() in body) if n % 3 == 0 else body == b"one,two,three", n
    client.close()


@case
def connection_close_is_honoured():
    client = Client()
    client.request(fields="Connection: close\r\n")
    status, fields, _ = client.response()
    assert status == 200 and fields["connection"] == "close"
    assert client.is_closed()


@case
def request_byte_by_byte_is_served():
    client = Client()
    text = b"POST /count HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    for byte in text + b"3\r\nabc\r\n0\r\n\r\n":
        client.send(bytes([byte]))
    assert client.response()[2] == b"3"
    client.close()


# ---- streaming and memory ----------------------------------------------------------------------


@case
def first_byte_reaches_the_backend_before_the_last_is_sent():
    for fields, body, end in (
        ("Content-Length: 10\r\n", b"first", b"12345"),
        ("Transfer-Encoding: chunked\r\n", b"5\r\nfirst\r\n", b"5\r\n12345\r\n0\r\n\r\n"),
    ):
        backend.first_byte.clear()
        client = Client()
        client.request("/count", method="POST", fields=fields, body=body)
        assert backend.first_byte.wait(5)
        client.send(end)
        assert client.response()[2] == b"10"
        client.close()


@case
def first_byte_of_the_response_arrives_before_the_last_is_sent():
    client = Client()
    client.request("/held")
    client.until(b"\r\n\r\n")
    assert client.exactly(5) == b"first"
    backend.release.set()
    assert client.exactly(5) == b"secon"
    client.close()


@case
def big_download_in_bounded_memory():
    before = edge.rss_kb()
    client = Client()
    client.request("/bytes/%d" % (100 << 20))
    client.until(b"\r\n\r\n")
    left, peak = (100 << 20) - len(client.data), 0
    buffer = bytearray(1 << 20)
    while left > 0:
        n = client.sock.recv_into(buffer)
        assert n > 0
        left -= n
        peak = max(peak, edge.rss_kb() if left % 16 == 0 else 0)
    client.close()
    assert max(peak, edge.rss_kb()) - before < 8192, (before, peak)


@case
def big_upload_in_bounded_memory():
    before = edge.rss_kb()
    client = Client()
    client.request("/count", method="POST", fields=f"Content-Length: {100 << 20}\r\n")
    block = b"u" * (1 << 20)
    peak = 0
    for _ in range(100):
        client.send(block)
        peak = max(peak, edge.rss_kb())
    assert client.response()[2] == b"%d" % (100 << 20)
    client.close()
    assert peak - before < 8192, (before, peak)


def stalled_reader(size):
    before = edge.rss_kb()
    client = Client()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.request(f"/flood/{size}")
    client.until(b"\r\n\r\n")
    last = -1
    while backend.sent != last:  # until the backend is held up
        last = backend.sent
        time.sleep(0.3)
    grown = edge.rss_kb() - before
    assert last < 32 << 20, last
    assert grown < 4096, grown
    backend.aborted.clear()
    client.close()
    assert backend.aborted.wait(10)


@case
def reader_that_stalls_holds_the_backend_up():
    stalled_reader(1 << 16)


@case
def single_bytes_for_a_stalled_reader_take_little_memory():
    stalled_reader(1)


@case
def client_that_leaves_ends_the_backend_connection():
    backend.aborted.clear()
    client = Client()
    client.request("/never")
    assert wait_until(lambda: "/never" in backend.heads[-1])
    client.close()
    assert backend.aborted.wait(5)


@case
def early_answer_reaches_a_client_that_is_still_sending():
    client = Client()
    client.request("/early", method="POST", fields="Content-Length: 1000000000\r\n")
    try:
        for _ in range(64):
            client.send(b"x" * 65536)
    except (OSError, ssl.SSLError):
        pass
    status, _, body = client.response()
    assert status == 413 and body == b"too much"


@case
def two_hundred_connections_at_once():
    answers = []
    barrier = threading.Barrier(200)

    def one(n):
        client = Client()
        barrier.wait(60)
        client.request(f"/echo?{n}")
        status, _, body = client.response()
        answers.append(status == 200 and f"/echo?{n} ".encode() in body)
        client.close()

    threads = [threading.Thread(target=one, args=(n,)) for n in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 200 and all(answers), (len(answers), answers.count(True))


# ---- upgrades ----------------------------------------------------------------------------------

UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"


def websocket(port=PORT, path="/ws"):
    client = Client(port=port)
    client.request(path, fields=UPGRADE)
    status, fields, _ = client.response()
    assert status == 101 and fields["upgrade"] == "websocket" and fields["connection"] == "Upgrade"
    return client


@case
def websocket_echoes_small_and_large_binary():
    before = edge.counters()["websockets"]
    client = websocket()
    client.send(b"\x81\x85mask")
    assert client.exactly(6) == b"\x81\x85mask"
    blob = os.urandom(1 << 20)
    echo = b""
    for at in range(0, 1 << 20, 1 << 15):  # two pieces under way
        client.send(blob[at : at + (1 << 15)])
        if at > 0:
            echo += client.exactly(1 << 15)
    assert echo + client.exactly(1 << 15) == blob
    client.close()
    assert edge.counters()["websockets"] == before + 1


@case
def bytes_sent_with_the_upgrade_request_are_not_lost():
    client = Client()
    client.request("/ws", fields=UPGRADE, body=b"early bird")
    assert client.response()[0] == 101
    assert client.exactly(10) == b"early bird"
    client.close()


@case
def idle_websocket_outlives_every_other_limit():
    client = websocket(port=hasty.port)
    time.sleep(3.5)  # limits of this edge are 1 and 2 s
    client.send(b"\x89\x00")
    assert client.exactly(2) == b"\x89\x00"
    client.close()


@case
def client_half_close_after_upgrade_still_gets_the_answer():
    context = ssl.create_default_context(cafile=f"{WORK}/{PORT}/a.example.pem")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="a.example")
    sock = socket.create_connection(("127.0.0.1", PORT), 10)

    def step(call):
        while True:
            try:
                result = call()
                sock.sendall(outgoing.read())
                return result
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                data = sock.recv(65536)
                incoming.write(data) if data else incoming.write_eof()

    step(tls.do_handshake)
    step(lambda: tls.write(b"GET /ws HTTP/1.1\r\nHost: a.example\r\n" + UPGRADE.encode() + b"\r\n"))
    data = b""
    while b"\r\n\r\n" not in data:
        data += step(lambda: tls.read(4096))
    step(lambda: tls.write(b"last"))
    try:
        tls.unwrap()  # writes close_notify, and wants the other side's
    except ssl.SSLWantReadError:
        pass
    sock.sendall(outgoing.read())
    sock.shutdown(socket.SHUT_WR)
    encrypted = b"".join(iter(lambda: sock.recv(65536), b""))
    # OpenSSL reads no application data after its own shutdown, so the records are weighed: "last",
    # "bye" and close_notify are 5 + 17 bytes of overhead each (TLS 1.3), 4, 3 and 2 of content.
    sizes = []
    while encrypted:
        size = int.from_bytes(encrypted[3:5], "big")
        sizes.append(size - 17)
        encrypted = encrypted[5 + size :]
    assert sizes[-1] == 2 and sum(sizes[:-1]) == 7, sizes


@case
def backend_half_close_after_upgrade_still_hears_the_client():
    backend.release.clear()
    client = Client()
    client.request("/wsclose", fields="Connection: upgrade\r\nUpgrade: x\r\n")
    assert client.response()[0] == 101
    assert client.rest() == b"last words"
    client.send(b"I still talk")
    client.close()
    assert backend.release.wait(5)
    assert backend.heard == b"I still talk"


@case
def refused_upgrade_is_an_ordinary_response():
    client = Client()
    client.request("/missing", fields=UPGRADE)
    assert client.response()[0] == 404
    client.request("/echo")
    assert client.response()[0] == 200
    client.close()


@case
def switch_that_nobody_asked_for_is_a_bad_gateway():
    assert ask("/unasked")[0] == 502


# ---- refusals ----------------------------------------------------------------------------------

A = "Host: a.example\r\n"
SMUGGLING = [
    (400, "both lengths", f"POST / HTTP/1.1\r\n{A}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, "two lengths", f"POST / HTTP/1.1\r\n{A}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd"),
    (400, "list of lengths", f"POST / HTTP/1.1\r\n{A}Content-Length: 4, 4\r\n\r\nabcd"),
    (400, "signed length", f"POST / HTTP/1.1\r\n{A}Content-Length: +4\r\n\r\nabcd"),
    (501, "unknown coding", f"POST / HTTP/1.1\r\n{A}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    (400, "chunked twice", f"POST / HTTP/1.1\r\n{A}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, "space before colon", f"POST / HTTP/1.1\r\n{A}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    (400, "folded line", f"POST / HTTP/1.1\r\n{A}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    (400, "bare LF", f"GET / HTTP/1.1\r\n{A}X: y\nContent-Length: 4\r\n\r\nabcd"),
    (400, "bare CR", f"GET / HTTP/1.1\r\n{A}X: y\rContent-Length: 4\r\n\r\nabcd"),
    (400, "empty name", f"GET / HTTP/1.1\r\n{A}: Content-Length: 4\r\n\r\nabcd"),
    (400, "NUL", f"GET / HTTP/1.1\r\n{A}X: a\0b\r\n\r\n"),
    (400, "no Host", "GET / HTTP/1.1\r\nX: y\r\n\r\n"),
    (400, "two Hosts", f"GET / HTTP/1.1\r\n{A}{A}\r\n"),
    (400, "other absolute form", f"GET http://b.example/ HTTP/1.1\r\n{A}\r\n"),
    (400, "coding in HTTP/1.0", f"POST / HTTP/1.0\r\n{A}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (405, "CONNECT", f"CONNECT a.example:443 HTTP/1.1\r\n{A}\r\n"),
    (505, "HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (414, "long target", f"GET /{'a' * 9000} HTTP/1.1\r\n{A}\r\n"),
    (414, "endless target", f"GET /{'a' * 20000}"),
    (431, "long field", f"GET / HTTP/1.1\r\n{A}X: {'a' * 17000}\r\n\r\n"),
    (431, "many fields", f"GET / HTTP/1.1\r\n{A}{''.join(f'X{n}: y' + chr(13) + chr(10) for n in range(200))}\r\n"),
]


@case
def smuggling_is_refused_and_reaches_no_backend():
    before = edge.counters()["refused_request"]
    n = backend.connections
    for status, name, text in SMUGGLING:
        client = Client()
        client.send(text + f"GET /smuggled HTTP/1.1\r\n{A}\r\n")
        got, fields, _ = client.response()
        assert got == status, (name, got)
        assert fields["connection"] == "close", name
        assert client.is_closed(), name
        assert b"HTTP/1.1" not in client.data, name
    assert backend.connections == n
    assert edge.counters()["refused_request"] == before + len(SMUGGLING)


@case
def bad_chunks_are_refused_and_the_backend_sees_no_end():
    before = edge.counters()["refused_request"]
    bad = [b"zz\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"3\nabc\r\n", b"ffffffffffffffffff\r\n", b"-1\r\n"]
    for body in bad:
        backend.aborted.clear()
        status, _, _ = ask("/echo", method="POST", fields="Transfer-Encoding: chunked\r\n", body=body)
        assert status == 400, body
    assert edge.counters()["refused_request"] == before + len(bad)


# ---- failing backends --------------------------------------------------------------------------


@case
def backends_that_fail_give_502_without_internals():
    before = edge.counters()["upstream_failed"]
    asked = [("refused.example", "/"), ("far.example", "/")]
    asked += [("a.example", path) for path in ("/garbage", "/hangup", "/twolengths", "/hugehead")]
    for host, path in asked:
        status, fields, body = ask(path, host=host)
        assert status == 502, (host, path, status)
        assert host.split(".")[0].encode() in body
        assert b"127.0.0.1" not in body and b"192.0.2" not in body
        request = re.search(rb"Request: ([0-9a-f]{16})", body).group(1).decode()
        assert wait_until(lambda: f"request={request}" in edge.log_text()), (host, path)
    assert edge.counters()["upstream_failed"] == before + len(asked)


@case
def silent_backend_gives_504():
    status, _, body = ask("/never", port=hasty.port)
    assert status == 504 and b"Service: a" in body


@case
def backend_that_does_not_connect_gives_504():
    assert ask("/", host="full.example", port=hasty.port)[0] == 504


@case
def upload_that_stops_gives_408():
    client = Client(port=hasty.port)
    client.request("/count", method="POST", fields="Content-Length: 10\r\n", body=b"half")
    assert client.response()[0] == 408


@case
def response_that_stops_is_cut():
    client = Client(port=hasty.port)
    client.request("/held")
    client.until(b"\r\n\r\n")
    assert client.exactly(5) == b"first"
    assert client.is_closed()
    backend.release.set()


# ---- slow and many clients ---------------------------------------------------------------------


@case
def slow_head_gives_408_and_silence_is_closed():
    client = Client(port=hasty.port)
    client.send("GET / HTTP/1.1\r\nHost: a.exa")
    assert client.response()[0] == 408
    silent = Client(port=hasty.port)
    assert silent.is_closed() and silent.data == b""


@case
def dripping_head_gets_no_more_time():
    client = Client(port=hasty.port)
    start = time.monotonic()
    client.sock.settimeout(0.1)
    try:
        for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 100:
            client.send(bytes([byte]))
            try:
                if client.more():
                    break
            except TimeoutError:
                pass
    except (OSError, ssl.SSLError):
        pass
    assert time.monotonic() - start < 4
    assert b" 408 " in client.data


@case
def handshake_that_does_not_come_is_closed():
    before = hasty.counters()["refused_tls"]
    sock = socket.create_connection(("127.0.0.1", hasty.port), 5)
    sock.settimeout(10)
    assert sock.recv(1) == b""
    assert hasty.counters()["refused_tls"] == before + 1


@case
def idle_keep_alive_connection_is_closed():
    client = Client(port=hasty.port)
    client.request()
    assert client.response()[0] == 200
    start = time.monotonic()
    assert client.is_closed()
    assert 1.4 < time.monotonic() - start < 5


@case
def more_connections_than_allowed_are_refused_and_counted():
    before = hasty.counters()["refused_full"]
    held = [websocket(port=hasty.port) for _ in range(20)]
    sock = socket.create_connection(("127.0.0.1", hasty.port), 5)
    try:
        assert sock.recv(1) == b""
    except ConnectionResetError:
        pass
    assert hasty.counters()["refused_full"] == before + 1
    for client in held:
        client.close()

    def one_fits():
        try:
            return ask(port=hasty.port)[0] == 200
        except (OSError, ssl.SSLError):
            return False

    assert wait_until(one_fits)


# ---- port 80 -----------------------------------------------------------------------------------


def plain_request(text, port=PLAIN):
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.sendall(text.encode("latin-1"))
    data = b"".join(iter(lambda: sock.recv(65536), b"")).decode("latin-1")
    location = re.search("(?im)^location: (.*?)\r$", data)
    return int(data.split(" ")[1]), location.group(1) if location else None


@case
def port_80_redirects_to_published_hosts_only():
    table = [
        ("GET /x?y=z HTTP/1.1", "a.example", 301, "https://a.example:8443/x?y=z"),
        ("HEAD / HTTP/1.1", "A.Example.:8080", 301, "https://a.example:8443/"),
        ("POST /p HTTP/1.1", "a.example", 308, "https://a.example:8443/p"),
        ("GET / HTTP/1.0", "b.example", 301, "https://b.example:8443/"),
        ("GET //evil.example/ HTTP/1.1", "a.example", 301, "https://a.example:8443//evil.example/"),
        ("GET http://a.example/q HTTP/1.1", "a.example", 301, "https://a.example:8443/q"),
        ("GET / HTTP/1.1", "evil.example", 404, None),
        ("GET / HTTP/1.1", "a.example.evil.example", 404, None),
        ("GET / HTTP/1.1", "127.0.0.1", 404, None),
        ("GET http://evil.example/ HTTP/1.1", "a.example", 400, None),
        ("GET @evil.example/ HTTP/1.1", "a.example", 400, None),
        ("GET / HTTP/1.1", "a.example@evil.example", 400, None),
        ("GET / HTTP/1.1", "a.example\r\nHost: evil.example", 400, None),
        ("GET /\r\nSet-Cookie: x HTTP/1.1", "a.example", 400, None),
    ]
    before = edge.counters()["redirects"]
    for line, host, status, location in table:
        got = plain_request(f"{line}\r\nHost: {host}\r\n\r\n")
        assert got == (status, location), (line, host, got)
    assert edge.counters()["redirects"] == before + 6


@case
def port_80_reaches_no_backend():
    n = backend.connections
    plain_request("GET /echo HTTP/1.1\r\nHost: a.example\r\n\r\n")
    assert backend.connections == n


# ---- change of services ------------------------------------------------------------------------


@case
def services_come_and_go_while_others_go_on():
    download = Client()
    download.request("/bytes/%d" % (64 << 20))
    download.until(b"\r\n\r\n")
    gone = Client(host="b.example")
    gone.request("/ws", fields=UPGRADE)
    assert gone.response()[0] == 101
    idle = Client(host="b.example")
    idle.request()
    assert idle.response()[0] == 200

    start = time.monotonic()
    added = f"c=c.example=127.0.0.1:{other.port}"
    assert edge.order(f"set {SERVICES[0]} {added}") == "0"
    assert gone.is_closed() and idle.is_closed()
    assert time.monotonic() - start < 1
    try:
        Client(host="b.example")
        assert False, "a removed service was still there"
    except ssl.SSLError as error:
        assert "unrecognized name" in str(error).lower(), error
    assert ask(host="c.example")[0] == 200
    assert len(download.exactly(64 << 20)) == 64 << 20
    download.close()
    assert edge.order("set " + " ".join(SERVICES)) == "0"


@case
def new_target_serves_the_next_request_of_an_open_connection():
    client = Client()
    client.request()
    assert client.response()[0] == 200
    n = other.connections
    moved = f"a=a.example=127.0.0.1:{other.port}"
    assert edge.order("set " + " ".join([moved] + SERVICES[1:])) == "0"
    client.request()
    assert client.response()[0] == 200 and other.connections == n + 1
    client.close()
    assert edge.order("set " + " ".join(SERVICES)) == "0"


@case
def bad_table_leaves_the_old_one_in_place():
    assert edge.order("set A=A.EXAMPLE=127.0.0.1:1") == "-22"
    assert edge.order(f"set {SERVICES[0]} {SERVICES[0]}") == "-22"
    assert ask()[0] == 200
    assert edge.order("set " + " ".join(SERVICES)) == "0"


@case
def many_changes_under_load_lose_nothing():
    stop = threading.Event()
    failures = []

    def load():
        try:
            while not stop.is_set():
                client = Client(verify=False)  # certificates are new with every change
                for _ in range(5):
                    client.request()
                    if client.response()[0] != 200:
                        failures.append("status")
                client.close()
        except Exception as error:  # pylint: disable=broad-except
            failures.append(repr(error))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(60):
        extra = f"x=x.example=127.0.0.1:{other.port}" if n % 2 else ""
        assert edge.order("set " + " ".join(SERVICES + [extra])) == "0"
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]


@case
def second_edge_on_the_same_port_is_refused_by_name():
    command = [HOST, "--https", f"127.0.0.1:{PORT}"]
    result = subprocess.run(command, input=b"", capture_output=True, timeout=10)
    assert result.returncode == 1
    assert b"cannot listen on 127.0.0.1:8443" in result.stderr, result.stderr
    assert b"Address already in use" in result.stderr


@case
def both_edges_end_cleanly_with_connections_open():
    held = [websocket(), Client()]
    waiting = Client(port=hasty.port)
    waiting.request("/never")
    assert edge.quit() == 0, edge.log_text()[-3000:]
    assert hasty.quit() == 0, hasty.log_text()[-3000:]
    assert all(client.is_closed() for client in held)


def main():
    failed = 0
    print(f"1..{len(cases)}", flush=True)
    for number, function in enumerate(cases, 1):
        start = time.monotonic()
        try:
            function()
            print(f"ok {number} - {function.__name__}", flush=True)
            if time.monotonic() - start > 5:
                print(f"# took {time.monotonic() - start:.1f} s", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f"not ok {number} - {function.__name__}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"#   {line}", flush=True)
    if failed:
        for one in (edge, hasty):
            for line in one.log_text().splitlines()[-30:]:
                print(f"# edge {one.port}: {line}")
            one.process.kill()
    sys.stdout.flush()
    os._exit(1 if failed else 0)  # backend threads wait for ever


main()
