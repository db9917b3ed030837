"""Backends that fail, clients that are slow or many: limits of time and number."""

import re
import socket
import ssl
import time

from lab import SERVICES, Client, Edge, ask, backend, case, hasty_edge, run, wait_until, websocket

edge = Edge(SERVICES)
hasty = hasty_edge()


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


run()
